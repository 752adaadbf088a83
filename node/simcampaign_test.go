package node

import (
	"flag"
	"os"
	"testing"
)

var (
	simSeeds = flag.Int("sim.seeds", 0, "how many seeds `TestSimulation` runs; 0 is a share that fits go test")
	simSeed  = flag.Uint64("sim.seed", 0, "the one seed to run, with its trace")
	simFirst = flag.Uint64("sim.first", 1, "the first seed of a campaign")
)

// TestSimulation runs clusters whose every step a seed decides.
func TestSimulation(t *testing.T) {
	if *simSeed != 0 {
		r := runSeed(*simSeed, os.Stdout)
		t.Logf("seed %d: %v virtual in %v, trace %016x\n%v", r.Seed, r.Virtual, r.Elapsed, r.Trace, r.Totals)
		if r.Failure != "" {
			t.Fatal(r.Failure)
		}
		return
	}
	var all totals
	for i := range *simSeeds {
		r := runSeed(*simFirst+uint64(i), nil)
		all.add(r.Totals)
		if r.Failure != "" {
			t.Errorf("seed %d: %s", r.Seed, r.Failure)
		}
		t.Logf("seed %d: %v virtual in %v", r.Seed, r.Virtual, r.Elapsed)
	}
	t.Log(all)
}
