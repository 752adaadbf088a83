package log_test

import (
	"testing"
)

func TestRandomWork(t *testing.T) {
	seeds := 60
	if *full {
		seeds = 2000
	}
	for seed := range uint64(seeds) {
		w := newWorld(t, seed)
		must(t, w.found())
		must(t, w.open())
		for i := range 300 {
			if err := w.step(); err != nil {
				t.Fatalf("seed %d step %d: %v", seed, i, err)
			}
		}
		if err := w.sync(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		must(t, w.l.Close())
		if err := w.open(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}
