// Package sim drives the actors of whole clusters in one seeded loop, for tests. [Simulation] has the virtual time and the order of
// events, and [Life] is the actor.Driver of one member from its start to its crash. The simulated disk is package simdisk. The
// campaign in the tests of package node adds networks, clients and faults.
package sim

import (
	"container/heap"
	"encoding/binary"
	"hash"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"qkv/actor"
	"qkv/log/disk/simdisk"
)

// Simulation runs the actors of many members in one loop: virtual time, one event at a time, every choice drawn from one seed. The
// handlers are the same as those that actor.Runtime runs in goroutines.
//
// An actor's disk calls of one turn are made at once, but take a drawn time. Until it is over the actor is busy, and each effect is
// delayed until the earlier calls are over. A crash before that leaves a random part of those calls on the disk, but always the calls
// whose effects were seen. So slow syncs, stalled disks and leader changes in the middle of a sync really occur, and effects before a
// sync are seen before it. A crash may also occur between two effects.
type Simulation struct {
	random *rand.Rand
	now    time.Duration
	events eventHeap
	number uint64
	trace  hash.Hash64

	running *simActor // the actor whose handler is running
	observe func(l *Life, name string, ends bool) (later func())
	leaves  func(l *Life)
	lag     func(l *Life, name string) time.Duration
}

// New returns a simulation that a seed decides.
func New(seed uint64) *Simulation {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return &Simulation{random: rand.New(rand.NewChaCha8(key)), trace: fnv.New64a()}
}

// Random is the simulation's only source of randomness.
func (s *Simulation) Random() *rand.Rand { return s.random }

// Now is the virtual time.
func (s *Simulation) Now() time.Duration { return s.now }

// Trace returns a hash of all events so far: two runs of a seed must agree.
func (s *Simulation) Trace() uint64 { return s.trace.Sum64() }

// Note adds an event to the trace.
func (s *Simulation) Note(what string, n uint64) {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], uint64(s.now))
	binary.LittleEndian.PutUint64(b[8:], n)
	s.trace.Write(b[:])
	s.trace.Write([]byte(what))
}

// After calls f after a delay.
func (s *Simulation) After(d time.Duration, f func()) {
	s.number++
	heap.Push(&s.events, event{at: s.now + max(d, 0), number: s.number, do: f})
}

// Observe sets f, called when a handler emits an effect after a further disk call, and when its turn ends. The function returned by f is
// called when the disk calls so far are over, before the later effects are seen.
func (s *Simulation) Observe(f func(l *Life, name string, ends bool) (later func())) { s.observe = f }

// Leaving sets f, called before each effect of a handler; f may end the life.
func (s *Simulation) Leaving(f func(l *Life)) { s.leaves = f }

// Lag sets f, which returns the extra delay of an actor with messages: a busy processor, a garbage collection.
func (s *Simulation) Lag(f func(l *Life, name string) time.Duration) { s.lag = f }

// Post calls f now, or, while a handler runs, when that handler's earlier disk calls are over: everything that leaves a member must go
// through it.
func (s *Simulation) Post(f func()) {
	a := s.running
	if a == nil {
		f()
		return
	}
	a.reach(false)
	last := &a.held[len(a.held)-1]
	last.effects = append(last.effects, f)
}

// reach notes the effects to show after the disk calls so far.
func (a *simActor) reach(ends bool) {
	calls := a.batch.Calls()
	same := len(a.held) > 0 && a.held[len(a.held)-1].calls == calls
	if !same {
		a.held = append(a.held, held{calls: calls})
	}
	if observe := a.life.sim.observe; observe != nil && (ends || !same) {
		a.held[len(a.held)-1].seen = observe(a.life, a.Name, ends)
	}
}

// Run runs events until a time, and reports whether any are left.
func (s *Simulation) Run(until time.Duration) bool {
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
	number uint64 // events of the same time run in the order of their creation
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

// Life is one life of one simulated member, from its start to its crash. It implements actor.Driver.
type Life struct {
	sim         *Simulation
	name        string
	disk        *simdisk.Disk
	duration    func(b *simdisk.Batch) time.Duration
	caller      *simActor     // the caller of disk calls outside any actor
	calls       []func()      // its pending calls
	zero        time.Duration // when its clock was 0
	skew        float64       // the clock's rate, relative to the others
	wall        time.Duration // offset of its wall clock
	actors      []*simActor
	pausedUntil time.Duration
	over        bool
}

// held is a list of effects behind a number of disk calls.
type held struct {
	calls   int
	seen    func()
	effects []func()
}

// simActor is an actor in the loop.
type simActor struct {
	actor.Actor
	life      *Life
	batch     *simdisk.Batch
	held      []held
	scheduled bool
	busy      bool
	again     bool
	stepped   time.Duration // when its last step began
	restUntil time.Duration // of a paced actor: when its next step is permitted
}

// NewLife begins a member's life on a disk. duration draws the time of a batch of disk calls; skew, zero and wall are the deviations of
// its clocks from the simulation's.
func (s *Simulation) NewLife(name string, d *simdisk.Disk, duration func(b *simdisk.Batch) time.Duration, skew float64, zero, wall time.Duration) *Life {
	l := &Life{sim: s, name: name, disk: d, duration: duration, skew: skew, zero: zero, wall: wall}
	l.caller = &simActor{life: l, Actor: actor.Actor{
		Name: "caller", Close: func() { l.calls = nil }, Idle: func() bool { return len(l.calls) == 0 },
		Step: func(actor.Time) bool {
			call := l.calls[0]
			l.calls = l.calls[1:]
			call()
			return false
		},
	}}
	l.actors = append(l.actors, l.caller)
	return l
}

// End ends the life: none of its events run any more.
func (l *Life) End() {
	l.over = true
	for _, a := range l.actors {
		a.Close()
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

// Time implements actor.Driver.
func (l *Life) Time() actor.Time {
	const epoch = 1_700_000_000 * int64(time.Second)
	return actor.Time{Now: time.Duration(float64(l.sim.now-l.zero) * l.skew), Wall: epoch + int64(l.sim.now+l.wall)}
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

// clockCalls is the shortest interval of a clock that may call the disk.
const clockCalls = 100 * time.Millisecond

// Every implements actor.Driver.
func (l *Life) Every(interval time.Duration, tick func()) {
	step := time.Duration(float64(interval) / l.skew)
	var again func()
	again = func() {
		if interval < clockCalls {
			tick()
		} else {
			l.Call(tick)
		}
		l.after(step, again)
	}
	l.after(time.Duration(l.sim.random.Int64N(int64(step)+1)), again)
}

// Call runs code outside any actor in the member, as a turn of its own: its disk calls take time.
func (l *Life) Call(f func()) {
	l.calls = append(l.calls, f)
	l.caller.wake()
}

// Delay implements actor.Driver.
func (l *Life) Delay() func(deliver func()) { return l.sim.Post }

// Drive implements actor.Driver.
func (l *Life) Drive(driven actor.Actor) {
	a := &simActor{Actor: driven, life: l}
	l.actors = append(l.actors, a)
	a.Bind(a.wake, a.wake)
}

// wakeUpMost is the longest wait of a ready actor for its turn.
const wakeUpMost = 60 * time.Microsecond

func (a *simActor) wake() {
	if a.scheduled || a.busy || a.life.over {
		return
	}
	a.scheduled = true
	s := a.life.sim
	d := time.Duration(s.random.Int64N(int64(wakeUpMost)))
	if s.lag != nil {
		d += s.lag(a.life, a.Name)
	}
	a.life.after(d, a.run)
}

// run hands the actor its messages, and emits its effects one after the other while its disk calls take their time.
func (a *simActor) run() {
	s, l := a.life.sim, a.life
	a.scheduled = false
	s.Note(a.Name, uint64(len(l.name)))
	a.batch = l.disk.StartBatch()
	s.running = a
	now := l.Time()
	now.Resting = s.now < a.restUntil
	a.again = a.Step(now)
	if a.again && a.Rest != nil && !now.Resting {
		a.stepped, a.restUntil = s.now, math.MaxInt64 // until finish knows its duration
	}
	a.reach(true)
	s.running = nil
	l.disk.StopBatch()
	if l.over {
		return
	}
	a.busy = true
	if a.batch.Calls() == 0 {
		a.finish()
		return
	}
	takes, all := l.duration(a.batch), a.batch.Calls()
	for i, h := range a.held[:len(a.held)-1] {
		l.after(takes*time.Duration(h.calls)/time.Duration(all), func() {
			a.batch.Happened(h.calls)
			a.release(&a.held[i])
		})
	}
	l.after(takes, a.finish)
}

// release shows effects.
func (a *simActor) release(h *held) {
	if h.seen != nil {
		h.seen()
	}
	for _, deliver := range h.effects {
		if leaves := a.life.sim.leaves; leaves != nil {
			leaves(a.life)
		}
		if a.life.over {
			return
		}
		deliver()
	}
}

// finish makes the disk calls final and emits the last effects.
func (a *simActor) finish() {
	a.batch.Finish()
	a.busy = false
	if a.release(&a.held[len(a.held)-1]); a.life.over {
		return
	}
	clear(a.held)
	a.held = a.held[:0]
	s := a.life.sim
	if a.again && a.Rest != nil {
		if a.restUntil == math.MaxInt64 {
			a.restUntil = s.now + a.Rest(s.now-a.stepped)
		}
		a.life.after(max(a.restUntil-s.now, 0), a.wake)
	}
	if a.again && a.Rest == nil || !a.Idle() {
		a.wake()
	}
}
