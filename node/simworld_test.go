package node

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"runtime/debug"
	"slices"
	"sort"
	"time"
)

// world is one simulated cluster with its clients: members built by build itself, in one loop that a seed decides.
// Only disks, the network, clocks and randomness are not the real ones.
type world struct {
	seed   uint64
	shape  shape
	sim    *simulation
	random *mrand.Rand // of the simulation

	hosts     []*host // by name
	byID      map[uint64]*host
	net       *network
	clients   []*client
	watchers  watchers
	leases    leasing
	repeaters []*repeater
	history   history
	watch     *checker
	undo      clearers

	interrupt func(from, to *host) // strikes when a piece of a snapshot is sent; nil is nothing
	tears     int                  // replacements of entries that are to be struck
	totals    totals
	admin     administrator
	authority authority
	backup    *simBackup // nil: none follows the cluster

	stopping bool                                    // clients begin nothing new
	healed   time.Duration                           // when the last fault ended; 0 before
	strict   int64                                   // the moment from which on nothing may be refused; 0 is never
	listen   func(from, to *host, frame []byte)      // hears every frame; nil is nobody
	lose     func(from, to *host, frame []byte) bool // tells which frames are lost; nil is none
	hear     func(member, message string)            // hears what members log; nil is nobody
	pulled   func(by, from *host)                    // hears of each piece of a snapshot; nil is nobody
	tracing  bool
	verbose  bool // trace what members say for the search of faults, too
	trace    func(format string, args ...any)
	failure  string // the first broken rule
}

// newWorld builds a cluster that is not started yet.
func newWorld(seed uint64, s shape, trace io.Writer) *world {
	w := &world{seed: seed, shape: s, sim: newSimulation(seed), byID: map[uint64]*host{}, trace: func(string, ...any) {}}
	w.random = w.sim.Random()
	if trace != nil {
		w.tracing, w.verbose = true, *simVerbose
		w.trace = func(format string, args ...any) {
			fmt.Fprintf(trace, "%12.6f  %s\n", w.sim.Now().Seconds(), fmt.Sprintf(format, args...))
		}
	}
	w.shape.limits.Reached, w.shape.limits.Index.Reached = w.reached, w.reached
	cluster := make([]Founder, s.members)
	for i := range cluster {
		cluster[i] = Founder{Name: fmt.Sprintf("n%d", i+1), Address: fmt.Sprintf("10.0.0.%d:2380", i+1)}
	}
	for i, m := range cluster {
		w.hosts = append(w.hosts, newHost(w, i, m, cluster))
	}
	for i := range s.spares {
		w.hosts = append(w.hosts, newSpare(w, s.members+i))
	}
	w.admin.w, w.authority.w = w, w
	for _, h := range w.hosts[:s.members] {
		w.byID[h.id()] = h
	}
	w.net = newNetwork(w)
	w.watch = newChecker(w)
	w.sim.Observe(w.watch.turn)
	w.sim.Leaving(w.leaving)
	if s.lagging != "" {
		w.sim.Lag(w.lag)
	}
	return w
}

// failf notes a broken rule; the first one counts.
func (w *world) failf(format string, args ...any) {
	if w.failure == "" {
		w.failure = fmt.Sprintf("at %v: %s", w.sim.Now(), fmt.Sprintf(format, args...))
		w.trace("FAILURE %s", w.failure)
	}
}

// leaving lets a member lose power between two effects of a handler, when it is to.
func (w *world) leaving(l *simLife) {
	h := w.watch.hostOf(l)
	if h == nil || h.cutIn == 0 {
		return
	}
	if h.cutIn--; h.cutIn > 0 || w.healed != 0 {
		return
	}
	w.totals.CutsInside++
	h.crash()
	w.lasting(w.between(10*time.Millisecond, time.Second), h.start)
}

// reached counts a bound that held something back.
func (w *world) reached(bound string) {
	if w.totals.Bounds == nil {
		w.totals.Bounds = map[string]int{}
	}
	w.totals.Bounds[bound]++
}

// lag lets one kind of actor fall behind the others.
func (w *world) lag(_ *simLife, name string) time.Duration {
	if name != w.shape.lagging || w.healed != 0 || w.probably(0.5) {
		return 0
	}
	return time.Duration(w.random.ExpFloat64() * float64(w.shape.lag))
}

// note puts something that happened into the trace and its hash.
func (w *world) note(what string, n uint64) { w.sim.Note(what, n) }

// probably is true with a probability.
func (w *world) probably(p float64) bool { return p > 0 && w.random.Float64() < p }

// between draws a duration.
func (w *world) between(least, most time.Duration) time.Duration {
	return least + time.Duration(w.random.Int64N(int64(most-least)+1))
}

// run lets a time pass, unless a rule is broken.
func (w *world) run(d time.Duration) {
	const slice = 50 * time.Millisecond
	for end := w.sim.Now() + d; w.failure == "" && w.sim.Now() < end; {
		w.sim.Run(min(w.sim.Now()+slice, end))
	}
}

// until lets time pass until something is true, and reports whether it came true in time.
func (w *world) until(most time.Duration, what func() bool) bool {
	const slice = 20 * time.Millisecond
	for end := w.sim.Now() + most; w.failure == "" && !what(); {
		if w.sim.Now() >= end {
			return false
		}
		w.sim.Run(w.sim.Now() + slice)
	}
	return w.failure == ""
}

// clearers are the ends of the faults that have begun.
type clearers struct {
	next int
	open map[int]func()
}

// lasting makes a fault end after a time, or when everything heals.
func (w *world) lasting(d time.Duration, end func()) {
	if w.undo.open == nil {
		w.undo.open = map[int]func(){}
	}
	number := w.undo.next
	w.undo.next++
	w.undo.open[number] = end
	w.sim.After(d, func() { w.end(number) })
}

func (w *world) end(number int) {
	if end := w.undo.open[number]; end != nil {
		delete(w.undo.open, number)
		end()
	}
}

// members returns the hosts that have had a member so far: all, unless the membership changes.
func (w *world) members() []*host {
	if w.shape.spares == 0 {
		return w.hosts
	}
	return slices.DeleteFunc(slices.Clone(w.hosts), func(h *host) bool { return h.spare })
}

// any draws one of them.
func (w *world) any() *host {
	all := w.members()
	return all[w.random.IntN(len(all))]
}

// heal ends all faults, and starts every member that is down.
func (w *world) heal() {
	numbers := make([]int, 0, len(w.undo.open))
	for n := range w.undo.open {
		numbers = append(numbers, n)
	}
	sort.Ints(numbers)
	for _, n := range numbers {
		w.end(n)
	}
	w.healed = w.sim.Now()
	for _, h := range w.hosts {
		if h.harmed != nil && h.alive() && len(h.holding().broken) > 0 {
			h.kill()
		}
		h.heal()
	}
	w.net.heal()
	w.trace("everything heals")
	w.note("heal", 0)
}

// result is what a seed's run shows.
type result struct {
	Seed    uint64
	Failure string
	Trace   uint64
	Totals  totals
	Elapsed time.Duration // of real time
	Virtual time.Duration
	Twice   bool
}

// runSeed runs everything that a seed decides. The process's source of randomness is seeded meanwhile, because raft
// takes its election timeouts from there: one simulation runs in a process at a time.
func runSeed(seed uint64, trace io.Writer) (r result) {
	start := time.Now()
	defer seedGlobalRandom(seed)()
	w := newWorld(seed, drawShape(seed), trace)
	defer func() {
		if p := recover(); p != nil {
			w.failf("panic: %v\n%s", p, debug.Stack())
		}
		r = result{Seed: seed, Failure: w.failure, Trace: w.sim.Trace(), Totals: w.totals, Elapsed: time.Since(start), Virtual: w.sim.Now()}
	}()
	w.live()
	return r
}

// seedGlobalRandom replaces crypto/rand's source, and returns what puts it back.
func seedGlobalRandom(seed uint64) (restore func()) {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	key[31] = 1
	before := rand.Reader
	rand.Reader = mrand.NewChaCha8(key)
	return func() { rand.Reader = before }
}

// live is a seed's story: start, faults under load, healing, and then everything must be well.
func (w *world) live() {
	w.cramp()
	w.watch.verdicts = newVerdicts(w)
	for _, h := range w.members() {
		w.sim.After(w.between(0, 300*time.Millisecond), h.start)
	}
	for range w.shape.clients {
		w.clients = append(w.clients, newClient(w))
	}
	w.watchAll()
	w.leaseAll()
	w.repeatAll()
	if w.shape.spares > 0 {
		w.admin.begin()
	}
	if w.shape.auth {
		w.totals.LivesWithUsers++
		w.authority.begin()
	}
	for _, f := range w.shape.faults {
		w.sim.After(f.at, func() { w.inject(f) })
	}
	w.watchLiar()
	w.backUp()
	w.verifyFiles(0)
	if w.shape.calm {
		w.serve(elections*w.shape.election + 5*time.Second) // one that starts late may need a snapshot, on a slow disk
		w.expectService()
	}
	w.run(w.shape.faulty)
	if w.failure != "" {
		return
	}
	w.heal()
	if w.shape.spares > 0 {
		w.admin.complete()
	}
	if w.shape.auth && w.failure == "" {
		w.authority.complete()
	}
	w.awaitService()
	if w.backup != nil && w.failure == "" {
		w.backup.finish()
	}
	if w.shape.spares > 0 && w.failure == "" && w.probably(0.3) {
		w.recover()
	}
}
