package node

import (
	"slices"
	"testing"
	"time"

	"qkv/internal/limits"
)

// While no member runs, the simulation harms parts again and again: one member keeps all of its own, and the others lack only what it has.
// So all start, however often those that lack parts fail before it.
func TestHarmedPartsAreElsewhere(t *testing.T) {
	w, _ := quietCluster(t, shape{segmentBytes: 64 << 10, partHarm: 1}, func(l *limits.Tunable) {
		l.SnapshotBytes, l.Index.ExtentBytes, l.Index.BaseLeast = 64<<10, 20_000, 1
	})
	f := newFlood(w, 3000)
	fewest := func() int {
		least := 1 << 30
		for _, h := range w.hosts {
			least = min(least, len(h.holding().sound))
		}
		return least
	}
	for fewest() < 5 {
		before := f.puts
		if !w.until(time.Minute, func() bool {
			f.follow()
			f.fill(1)
			return f.puts > before+50
		}) {
			t.Fatalf("%d puts: %s", f.puts, w.failure)
		}
	}
	if !w.until(time.Minute, func() bool { return f.open == 0 }) {
		t.Fatal("writes are not answered")
	}
	w.run(10 * time.Second)
	for _, h := range w.hosts {
		h.kill()
	}
	for range 10 {
		for _, h := range w.hosts {
			w.harmParts(h)
		}
	}
	if w.totals.PartsLost == 0 || w.totals.PartsRotten == 0 {
		t.Errorf("%d parts are lost, %d rotten", w.totals.PartsLost, w.totals.PartsRotten)
	}
	all := w.holdings()
	var sound *host
	for _, h := range w.hosts {
		if len(all[h].broken) == 0 {
			sound = h
		}
	}
	if sound == nil {
		t.Fatal("all members lack parts")
	}
	for _, h := range w.hosts {
		for _, part := range all[h].broken {
			if !slices.Contains(all[sound].sound, part) {
				t.Errorf("nobody can give %s the part %s", h.name(), part)
			}
		}
	}
	w.shape.partHarm = 0
	for _, h := range w.hosts {
		if h != sound {
			h.start()
		}
	}
	w.run(5 * time.Second)
	if w.totals.PartsAwaited == 0 {
		t.Error("members that lack parts have started alone")
	}
	sound.start()
	if !w.until(time.Minute, w.agreed) || w.failure != "" {
		t.Fatalf("they do not come to agree: %s; %v", w.failure, w.places())
	}
	if w.totals.PartsPutBack != 0 || w.totals.PartsFetched == 0 {
		t.Errorf("%d parts were put back by hand, %d were fetched", w.totals.PartsPutBack, w.totals.PartsFetched)
	}
}
