package actor

import (
	"container/heap"
	"encoding/binary"
	"hash"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"time"

	"qkv/log/disk"
)

// Sim runs the actors of many members in one loop: virtual time, one event after the other, every choice drawn from
// one seed. The handlers are the very same that Runtime runs in goroutines.
//
// An actor's disk calls of one batch are made at once, but take a drawn time: until it is over the actor is busy, and
// what it sends is held back. A crash before that leaves a random part of those calls on the disk. So a slow sync, a
// stalled disk and a leader change in the middle of a sync really happen.
type Sim struct {
	random *rand.Rand
	now    time.Duration
	events eventHeap
	number uint64
	trace  hash.Hash64

	running *simActor // whose handler is being called
	observe func(l *Life, name string)
	lag     func(l *Life, name string) time.Duration
}

// NewSim returns a simulation that a seed decides.
func NewSim(seed uint64) *Sim {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return &Sim{random: rand.New(rand.NewChaCha8(key)), trace: fnv.New64a()}
}

// Random is the simulation's only source of chance.
func (s *Sim) Random() *rand.Rand { return s.random }

// Now is the virtual time.
func (s *Sim) Now() time.Duration { return s.now }

// Trace is a hash over every event so far: two runs of a seed must agree.
func (s *Sim) Trace() uint64 { return s.trace.Sum64() }

// Note puts something that happened into the trace.
func (s *Sim) Note(what string, n uint64) {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], uint64(s.now))
	binary.LittleEndian.PutUint64(b[8:], n)
	s.trace.Write(b[:])
	s.trace.Write([]byte(what))
}

// After calls f when a time has passed.
func (s *Sim) After(d time.Duration, f func()) {
	s.number++
	heap.Push(&s.events, event{at: s.now + max(d, 0), number: s.number, do: f})
}

// Observe calls f after each turn of an actor, when its disk calls are over and before its effects are seen.
func (s *Sim) Observe(f func(l *Life, name string)) { s.observe = f }

// Lag asks f how much longer an actor with messages waits for its turn: a busy processor, a garbage collection.
func (s *Sim) Lag(f func(l *Life, name string) time.Duration) { s.lag = f }

// Post calls f now, or, while a handler runs, when that handler's disk calls are over: everything that leaves a
// member must go through it.
func (s *Sim) Post(f func()) {
	if s.running == nil {
		f()
		return
	}
	s.running.held = append(s.running.held, f)
}

// Run lets events happen until a time, and reports whether any are left.
func (s *Sim) Run(until time.Duration) bool {
	for len(s.events) > 0 {
		if s.events[0].at > until {
			s.now = until
			return true
		}
		e := heap.Pop(&s.events).(event)
		s.now = e.at
		e.do()
	}
	return false
}

type event struct {
	at     time.Duration
	number uint64 // events of the same moment happen in the order in which they were made
	do     func()
}

type eventHeap []event

func (h eventHeap) Len() int { return len(h) }
func (h eventHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || (h[i].at == h[j].at && h[i].number < h[j].number)
}
func (h eventHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *eventHeap) Push(x any)   { *h = append(*h, x.(event)) }
func (h *eventHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = event{}
	*h = old[:len(old)-1]
	return last
}

// Life is one life of one simulated member, from its start to its crash. It implements Driver.
type Life struct {
	sim         *Sim
	name        string
	disk        *disk.Mem
	duration    func(b *disk.Batch) time.Duration
	skew        float64       // how much faster than the others its clock goes
	wall        time.Duration // how far its wall clock is off
	actors      []*simActor
	pausedUntil time.Duration
	over        bool
}

// simActor is an actor in the loop.
type simActor struct {
	spawned
	life      *Life
	held      []func()
	scheduled bool
	busy      bool
	again     bool
}

// NewLife begins a member's life on a disk. The duration of a batch of disk calls is drawn by its caller; skew and
// wall say how its clocks differ from the simulation's.
func (s *Sim) NewLife(name string, d *disk.Mem, duration func(b *disk.Batch) time.Duration, skew float64, wall time.Duration) *Life {
	return &Life{sim: s, name: name, disk: d, duration: duration, skew: skew, wall: wall}
}

// End ends the life: nothing of it happens any more.
func (l *Life) End() {
	l.over = true
	for _, a := range l.actors {
		a.held = nil
		a.close()
	}
}

// Over reports whether the life has ended.
func (l *Life) Over() bool { return l.over }

// Busy reports whether disk calls of an actor are under way.
func (l *Life) Busy() bool {
	return slices.ContainsFunc(l.actors, func(a *simActor) bool { return a.busy })
}

// Pause stops the member until a time, as a stopped process or host is.
func (l *Life) Pause(d time.Duration) { l.pausedUntil = max(l.pausedUntil, l.sim.now+d) }

// JumpWall moves the member's wall clock.
func (l *Life) JumpWall(d time.Duration) { l.wall += d }

// Time implements Driver.
func (l *Life) Time() Time {
	const epoch = 1_700_000_000 * int64(time.Second)
	return Time{Now: time.Duration(float64(l.sim.now) * l.skew), Wall: epoch + int64(l.sim.now+l.wall)}
}

// after calls f in this life only, and not while it is paused.
func (l *Life) after(d time.Duration, f func()) {
	l.sim.After(d, func() {
		switch {
		case l.over:
		case l.sim.now < l.pausedUntil:
			l.after(l.pausedUntil-l.sim.now, f)
		default:
			f()
		}
	})
}

// Every implements Driver.
func (l *Life) Every(interval time.Duration, tick func()) {
	step := time.Duration(float64(interval) / l.skew)
	var again func()
	again = func() {
		tick()
		l.after(step, again)
	}
	l.after(time.Duration(l.sim.random.Int64N(int64(step)+1)), again)
}

func (l *Life) spawn(s spawned) {
	a := &simActor{spawned: s, life: l}
	l.actors = append(l.actors, a)
	s.bind(a.wake, a.wake, l.sim.Post)
}

// wakeUpMost is the longest that a ready actor waits for its turn.
const wakeUpMost = 60 * time.Microsecond

func (a *simActor) wake() {
	if a.scheduled || a.busy || a.life.over {
		return
	}
	a.scheduled = true
	s := a.life.sim
	d := time.Duration(s.random.Int64N(int64(wakeUpMost)))
	if s.lag != nil {
		d += s.lag(a.life, a.name)
	}
	a.life.after(d, a.run)
}

// run hands the actor its batch, and ends it when its disk calls are over.
func (a *simActor) run() {
	s, l := a.life.sim, a.life
	a.scheduled = false
	s.Note(a.name, uint64(len(l.name)))
	b := l.disk.StartBatch()
	s.running = a
	a.again = a.step(l.Time())
	s.running = nil
	l.disk.StopBatch()
	if l.over {
		return
	}
	if b.Calls() == 0 {
		a.finish(b)
		return
	}
	a.busy = true
	l.after(l.duration(b), func() { a.finish(b) })
}

// finish makes the disk calls final and lets the effects go, in order.
func (a *simActor) finish(b *disk.Batch) {
	b.Finish()
	a.busy = false
	if s := a.life.sim; s.observe != nil {
		s.observe(a.life, a.name)
	}
	held := a.held
	a.held = nil
	for _, deliver := range held {
		deliver()
		if a.life.over {
			return
		}
	}
	if a.again || !a.idle() {
		a.wake()
	}
}
