package watch_test

import (
	"fmt"
	"testing"

	"qkv/index"
	"qkv/index/kv"
	"qkv/index/watch"
	"qkv/internal/limits"
)

// sink is a stream that takes everything and keeps nothing.
type sink struct{ format *kv.WatchFormat }

func (s *sink) Format() *kv.WatchFormat { return s.format }

func (s *sink) Deliver(*kv.WatchDelivery) bool { return true }

// benchWorld returns a world with so many revisions, of 1000 keys.
func benchWorld(b testing.TB, revisions int) (w *world, first int64) {
	b.Helper()
	w = newWorld(b, limits.Defaults().Index, limits.Defaults().Watches)
	first = w.view.Revision() + 1
	for i := 0; i < revisions; {
		var commands [][]byte
		for ; len(commands) < 100 && i < revisions; i++ {
			commands = append(commands, new(index.Head).AppendPut(nil, &kv.Put{Key: fmt.Appendf(nil, "p%03d/%d", i%1000, i), Value: make([]byte, 64)}).Bytes)
		}
		w.applied++
		entry := index.AppendEnvelope(nil, index.Envelope{Member: 1, Incarnation: 1, Wall: int64(w.applied)}, commands)
		if _, err := w.state.Apply(w.applied, 1, entry, nil); err != nil {
			b.Fatal(err)
		}
	}
	w.view = w.state.View()
	return w, first
}

// steps lets the hub do all there is to do.
func (w *world) steps() {
	for w.hub.Step(0, w.view, false) {
	}
}

// BenchmarkIdle is the cost of one change without watches, with 1000 watches on other keys.
func BenchmarkIdle(b *testing.B) {
	const revisions = 100_000
	w, first := benchWorld(b, revisions)
	plain := w.view
	for b.Loop() {
		b.StopTimer()
		w.hub, w.view = watch.NewHub(limits.Defaults().Watches, 1), plain
		for i := range 1000 {
			q := kv.Watch{Key: fmt.Appendf(nil, "idle/%d", i), Revision: first}
			if i%2 == 0 {
				q.End = append(fmt.Appendf(nil, "idle/%d", i), '~')
			} else {
				q.End = []byte(fmt.Sprintf("idle/%d0", i)) // a range, so it does not catch up by versions
			}
			w.hub.Request(w.view, &sinks[0], &kv.WatchRequest{Kind: kv.WatchCreate, ID: uint64(i), Watch: q})
		}
		b.StartTimer()
		w.steps()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*revisions), "ns/change")
}

var sinks = [10]sink{{format}, {format}, {format}, {format}, {format}, {format}, {format}, {format}, {format}, {format}}

// BenchmarkResume is the cost of 10,000 watches on 1000 prefixes that lag by 100,000 revisions.
func BenchmarkResume(b *testing.B) {
	const revisions = 100_000
	w, first := benchWorld(b, revisions)
	for b.Loop() {
		w.hub = watch.NewHub(limits.Defaults().Watches, 1)
		for i := range 10_000 {
			key := fmt.Appendf(nil, "p%03d/", i%1000)
			q := kv.Watch{Key: key, End: append(key[:len(key)-1:len(key)-1], '0'), Revision: first + int64(i)}
			w.hub.Request(w.view, &sinks[i/1000], &kv.WatchRequest{Kind: kv.WatchCreate, ID: uint64(i), Watch: q})
		}
		w.steps()
	}
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/resume")
}
