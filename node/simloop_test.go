package node

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

// simulation runs the actors of many members in one loop: virtual time, one event at a time, every choice drawn from one seed. The
// handlers are the same as those that actor.Runtime runs in goroutines.
//
// An actor's disk calls of one turn are made at once, but take a drawn time. Until it is over the actor is busy, and each effect is
// delayed until the earlier calls are over. A crash before that leaves a random part of those calls on the disk, but always the calls
// whose effects were seen. So slow syncs, stalled disks and leader changes in the middle of a sync really occur, and effects before a
// sync are seen before it. A crash may also occur between two effects.
type simulation struct {
	random *rand.Rand
	now    time.Duration
	events timedEvents
	number uint64
	trace  hash.Hash64

	running *simActor // the actor whose handler is running
	observe func(l *simLife, name string, ends bool) (later func())
	leaves  func(l *simLife)
	lag     func(l *simLife, name string) time.Duration
}

// newSimulation returns a simulation that a seed decides.
func newSimulation(seed uint64) *simulation {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return &simulation{random: rand.New(rand.NewChaCha8(key)), trace: fnv.New64a()}
}

// Random is the simulation's only source of randomness.
func (s *simulation) Random() *rand.Rand { return s.random }

// Now is the virtual time.
func (s *simulation) Now() time.Duration { return s.now }

// Trace returns a hash of all events so far: two runs of a seed must agree.
func (s *simulation) Trace() uint64 { return s.trace.Sum64() }

// Note adds an event to the trace.
func (s *simulation) Note(what string, n uint64) {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], uint64(s.now))
	binary.LittleEndian.PutUint64(b[8:], n)
	s.trace.Write(b[:])
	s.trace.Write([]byte(what))
}

// After calls f after a delay.
func (s *simulation) After(d time.Duration, f func()) {
	s.number++
	heap.Push(&s.events, timedEvent{at: s.now + max(d, 0), number: s.number, do: f})
}

// Observe sets f, called when a handler emits an effect after a further disk call, and when its turn ends. The function returned by f is
// called when the disk calls so far are over, before the later effects are seen.
func (s *simulation) Observe(f func(l *simLife, name string, ends bool) (later func())) {
	s.observe = f
}

// Leaving sets f, called before each effect of a handler; f may end the life.
func (s *simulation) Leaving(f func(l *simLife)) { s.leaves = f }

// Lag sets f, which returns the extra delay of an actor with messages: a busy processor, a garbage collection.
func (s *simulation) Lag(f func(l *simLife, name string) time.Duration) { s.lag = f }

// Post calls f now, or, while a handler runs, when that handler's earlier disk calls are over: everything that leaves a member must go
// through it.
func (s *simulation) Post(f func()) {
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
func (s *simulation) Run(until time.Duration) bool {
	for len(s.events) > 0 {
		if s.events[0].at > until {
			s.now = until
			return true
		}
		e := heap.Pop(&s.events).(timedEvent)
		s.now = e.at
		e.do()
	}
	return false
}

type timedEvent struct {
	at     time.Duration
	number uint64 // events of the same time run in the order of their creation
	do     func()
}

type timedEvents []timedEvent

func (h timedEvents) Len() int { return len(h) }
func (h timedEvents) Less(i, j int) bool {
	return h[i].at < h[j].at || (h[i].at == h[j].at && h[i].number < h[j].number)
}
func (h timedEvents) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *timedEvents) Push(x any)   { *h = append(*h, x.(timedEvent)) }
func (h *timedEvents) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = timedEvent{}
	*h = old[:len(old)-1]
	return last
}

// simLife is one life of one simulated member, from its start to its crash. It implements actor.Driver.
type simLife struct {
	sim         *simulation
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
	waits       time.Duration // for another host, in the turn of the running actor
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
	life      *simLife
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
func (s *simulation) NewLife(name string, d *simdisk.Disk, duration func(b *simdisk.Batch) time.Duration, skew float64, zero, wall time.Duration) *simLife {
	l := &simLife{sim: s, name: name, disk: d, duration: duration, skew: skew, zero: zero, wall: wall}
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
func (l *simLife) End() {
	l.over = true
	for _, a := range l.actors {
		a.Close()
	}
}

// Over reports whether the life has ended.
func (l *simLife) Over() bool { return l.over }

// Busy reports whether disk calls of an actor are under way.
func (l *simLife) Busy() bool {
	return slices.ContainsFunc(l.actors, func(a *simActor) bool { return a.busy })
}

// Pause stops the member until a time, as a stopped process or host is.
func (l *simLife) Pause(d time.Duration) { l.pausedUntil = max(l.pausedUntil, l.sim.now+d) }

// JumpWall moves the member's wall clock.
func (l *simLife) JumpWall(d time.Duration) { l.wall += d }

// Time implements actor.Driver.
func (l *simLife) Time() actor.Time {
	const epoch = 1_700_000_000 * int64(time.Second)
	return actor.Time{Now: time.Duration(float64(l.sim.now-l.zero) * l.skew), Wall: epoch + int64(l.sim.now+l.wall)}
}

// after calls f in this life only, and not while it is paused.
func (l *simLife) after(d time.Duration, f func()) {
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
func (l *simLife) Every(interval time.Duration, tick func()) {
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
func (l *simLife) Call(f func()) {
	l.calls = append(l.calls, f)
	l.caller.wake()
}

// Delay implements actor.Driver.
func (l *simLife) Delay() func(deliver func()) { return l.sim.Post }

// Drive implements actor.Driver.
func (l *simLife) Drive(driven actor.Actor) {
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
	waits := l.waits
	if l.waits = 0; a.batch.Calls() == 0 {
		if waits == 0 {
			a.finish()
		} else {
			l.after(waits, a.finish)
		}
		return
	}
	takes, all := waits+l.duration(a.batch), a.batch.Calls()
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
