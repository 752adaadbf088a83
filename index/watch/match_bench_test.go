//go:build !race

// The race detector causes other allocations than the ones counted here.

package watch_test

import (
	"fmt"
	"testing"

	"qkv/index/kv"
	"qkv/index/watch"
	"qkv/internal/limits"
	"qkv/internal/testlong"
)

// matched lets 1000 watches of keys, and as many of prefixes, be told of so many changes, of which each matches one of both.
func matched(w *world, first int64) {
	w.hub = watch.NewHub(limits.Defaults().Watches, 1)
	for i := range 2000 {
		q := kv.Watch{Key: fmt.Appendf(nil, "p%03d/%d", i/2, i/2), Revision: first}
		if i%2 == 1 {
			q = kv.Watch{Key: fmt.Appendf(nil, "p%03d/", i/2), End: fmt.Appendf(nil, "p%03d0", i/2), Revision: first}
		}
		w.hub.Request(w.view, &sinks[i%10], &kv.WatchRequest{Kind: kv.WatchCreate, ID: uint64(i), Watch: q})
	}
	w.steps()
}

func BenchmarkMatch(b *testing.B) {
	const revisions = 100_000
	w, first := benchWorld(b, revisions)
	b.ReportAllocs()
	for b.Loop() {
		matched(w, first)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*revisions), "ns/change")
}

// TestMatchCost bounds the cost of a change for two watches that receive it while they catch up, each in a frame of its
// own: the two deliveries, and the events in them.
func TestMatchCost(t *testing.T) {
	testlong.Skip(t)
	const few, many = 1000, 11_000
	cost := func(revisions int) float64 {
		w, first := benchWorld(t, revisions)
		return testing.AllocsPerRun(2, func() { matched(w, first) })
	}
	each := (cost(many) - cost(few)) / (many - few)
	if each > 7 { // 5.8
		t.Errorf("%.2f allocations for a change", each)
	}
	t.Logf("%.2f allocations for a change", each)
}
