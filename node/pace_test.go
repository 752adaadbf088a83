package node

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"qkv/actor"
	"qkv/internal/limits"
)

// TestPutsBesideSnapshot: beside snapshots that are saved, the p99 of puts is at most 1.5 times what it is without one. One member
// is measured with and without in turns, for as many puts, so that both find the host as it is and the log goes on to new segments
// as often, and the median of the ratios is judged. What makes it so is held without a clock by TestSavingGoesInSmallSteps,
// TestSnapshotterRests and TestPiecesFollowTheDisk in package actor, and TestSaveInPieces in package snapshot.
func TestPutsBesideSnapshot(t *testing.T) {
	if os.Getenv("QKV_FULL") == "" {
		t.Skip("it measures: make full")
	}
	const rounds, together, saves = 7, 64, 2
	dir := filepath.Join(t.TempDir(), "d")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	bounds := limits.Defaults()
	bounds.SnapshotBytes = 1 << 40    // none but those that are asked for
	bounds.HistoryRevisions = 100_000 // each snapshot is as large as the one before
	start := func() *alone {
		a, err := startAloneWith(t, dir, 8<<20, bounds) // so that spares are made in each run, and not in some
		if err != nil {
			t.Fatal(err)
		}
		a.put(t, "up", "now") // it has applied what it found
		return a
	}
	a := start()
	for i := range 1000 {
		a.put(t, fmt.Sprintf("fill %d", i), strings.Repeat("f", 100_000))
	}
	a.stop(t)
	puts := 0
	measure := func(snapshots bool) time.Duration {
		const some = 20_000
		a := start()
		before, saved := newestSnapshot(t, dir), 0
		var times []time.Duration
		for len(times) < puts || snapshots && saved < saves && len(times) < 200*some {
			if snapshots {
				a.m.actors.logWriter.Applier.MustPost(actor.SnapshotWanted{Saves: 1})
			}
			a.putMany(t, some, 100, together, &times)
			if now := newestSnapshot(t, dir); now != before {
				before = now
				saved++
			}
		}
		a.stop(t)
		if snapshots != (saved >= saves) {
			t.Fatalf("%d snapshots were saved meanwhile, wanted any: %v", saved, snapshots)
		}
		puts = max(puts, len(times))
		slices.Sort(times)
		return times[len(times)*99/100]
	}
	measure(true) // which also says how many puts there are beside two of them
	var ratios []float64
	for round := range rounds {
		var p99 [2]time.Duration
		for i := range 2 {
			with := (round + i) % 2
			p99[with] = measure(with == 1)
		}
		ratios = append(ratios, float64(p99[1])/float64(p99[0]))
	}
	slices.Sort(ratios)
	t.Logf("figures: p99 of %d puts beside snapshots of 100 MB that are saved, times that without: %.2f at the median of %.2f", puts, ratios[rounds/2], ratios)
	if ratios[rounds/2] > 1.5 {
		t.Errorf("%.2f times, 1.5 are wanted", ratios[rounds/2])
	}
}

// newestSnapshot is the name of the newest snapshot that is published, or empty.
func newestSnapshot(t *testing.T, dir string) string {
	t.Helper()
	all := list(t, dir, "snap/*.snap")
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1]
}
