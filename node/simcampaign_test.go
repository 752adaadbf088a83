package node

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

var (
	simSeeds   = flag.Int("sim.seeds", 0, "how many seeds TestSimulation runs; 0 is a share that fits go test")
	simSeed    = flag.Uint64("sim.seed", 0, "the one seed to run, with its trace")
	simVerbose = flag.Bool("sim.verbose", false, "with -sim.seed: trace every frame, and what raft says")
	simFirst   = flag.Uint64("sim.first", 1, "the first seed of a campaign")
	simWorkers = flag.Int("sim.workers", 0, "processes that run seeds side by side; 0 is one a core, -1 is this process alone")
)

const (
	simShare = 200 // seeds of a campaign that is not told how many
	simShort = 30  // with -short
	simTwice = 25  // seeds that are run twice
	// simFull is the size of a campaign that must have seen everything.
	simFull = 200
)

// TestSimulation runs clusters whose every step a seed decides, and fails when a rule is broken in one of them, when
// a seed does not replay exactly, or when a large campaign has missed what it is there for.
func TestSimulation(t *testing.T) {
	if *simSeed != 0 {
		replay(t, *simSeed)
		return
	}
	t.Parallel() // its seeds run in other processes
	n := *simSeeds
	switch {
	case n > 0:
	case testing.Short():
		n = simShort
	default:
		n = simShare
	}
	var seeds []uint64
	for i := range n {
		seeds = append(seeds, *simFirst+uint64(i))
	}
	c := &campaign{t: t, start: time.Now()}
	c.run(seeds)
	c.report(n)
}

// replay runs one seed and shows what happens.
func replay(t *testing.T, seed uint64) {
	r := runSeed(seed, os.Stdout)
	t.Logf("seed %d: %v virtual in %v, trace %016x\n%v", r.Seed, r.Virtual.Round(time.Millisecond), r.Elapsed.Round(time.Millisecond), r.Trace, r.Totals)
	if r.Failure != "" {
		t.Fatal(r.Failure)
	}
}

// campaign collects what many seeds show.
type campaign struct {
	t        *testing.T
	start    time.Time
	done     int
	failures int
	totals   totals
	elapsed  time.Duration // of all seeds together
	virtual  time.Duration
	slowest  result
	twice    int
	progress time.Time
}

// run runs seeds, side by side where that is allowed.
func (c *campaign) run(seeds []uint64) {
	jobs := make([]job, len(seeds))
	for i, seed := range seeds {
		jobs[i] = job{Seed: seed, Twice: i%max(1, len(seeds)/simTwice) == 0}
	}
	if *simWorkers < 0 {
		for _, j := range jobs {
			c.take(j.run())
		}
		return
	}
	runWorkers(c.t, *simWorkers, jobs, c.take)
}

// take adds a seed's result.
func (c *campaign) take(r result) {
	c.done++
	c.totals.add(r.Totals)
	c.elapsed += r.Elapsed
	c.virtual += r.Virtual
	if r.Elapsed > c.slowest.Elapsed {
		c.slowest = r
	}
	if r.Twice {
		c.twice++
	}
	if r.Failure != "" {
		c.failures++
		fmt.Fprintf(os.Stderr, "simulation: seed %d fails: %.300s\n", r.Seed, r.Failure)
		c.t.Errorf("seed %d fails; replay it with `make sim SEED=%d`\n%s", r.Seed, r.Seed, r.Failure)
	}
	if time.Since(c.progress) > 10*time.Second {
		c.progress = time.Now()
		fmt.Fprintf(os.Stderr, "simulation: %d seeds, %d failed, %v\n", c.done, c.failures, time.Since(c.start).Round(time.Second))
	}
}

// report says what the campaign has seen, and fails when a large one has missed something.
func (c *campaign) report(n int) {
	if c.done == 0 {
		return
	}
	line := fmt.Sprintf("simulation: %d seeds, %d failed, %d run twice, in %v; %v a seed (slowest %d: %v), %v of virtual time",
		c.done, c.failures, c.twice, time.Since(c.start).Round(time.Second), (c.elapsed / time.Duration(c.done)).Round(time.Millisecond),
		c.slowest.Seed, c.slowest.Elapsed.Round(time.Millisecond), c.virtual.Round(time.Second))
	fmt.Fprintln(os.Stderr, line)
	fmt.Fprintln(os.Stderr, "simulation:", c.totals)
	if none := c.totals.missing(); n >= simFull && len(none) > 0 {
		c.t.Errorf("the campaign has seen no %s", strings.Join(none, ", no "))
	}
}
