package actor

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Runtime runs actors in as many goroutines as there are actors. An actor takes its turns in any of them, one at a time. A turn holds one
// goroutine, so a goroutine is always available for a ready actor.
//
// When a handler passes its work on, the receiving actor runs next in the same goroutine. A lone client's write is handed over five
// times, and with a goroutine for each actor most of these woke another thread: 10 to 40 µs each on an idle virtual host. An actor that
// has more to do itself continues with that, and the receiver gets another goroutine.
//
// A panic in an actor ends the process: the next start rebuilds an actor's state from the log, never from partly known memory.
type Runtime struct {
	start      time.Time
	wallOffset atomic.Int64 // the wall clock at start, by its last reading
	read       atomic.Int64 // when it was read, after start; 0: never
	stop       chan struct{}
	clocks     sync.WaitGroup
	workers    sync.WaitGroup
	actors     []*running
	due        chan *running // actors that wait for a goroutine
	// actors that wait for the goroutine of the handler that passed them a message, or any other
	passed chan *running
	ending atomic.Pointer[running]
}

// running is one actor.
//
//  1. The goroutine that sets claimed ensures that the actor gets a turn; claimed is cleared only when no message waits.
//  2. A claimed actor is in one place: in due, in passed, or in a goroutine.
type running struct {
	Actor
	runtime  *Runtime
	claimed  atomic.Bool
	stopping atomic.Bool
	done     chan struct{}

	// Of a paced actor: when the rest after its last step ends, and that it has ended and a turn is due.
	restUntil time.Duration
	restOver  atomic.Bool
}

// actorsMost exceeds a member's number of actors: due and passed never fill up.
const actorsMost = 64

// NewRuntime returns a Runtime without actors.
func NewRuntime() *Runtime {
	return &Runtime{
		start: time.Now(), stop: make(chan struct{}),
		due: make(chan *running, actorsMost), passed: make(chan *running, actorsMost),
	}
}

// wallEvery is the maximum age of the wall clock's reading: a put needs the time at several moments, and each would read two clocks.
const wallEvery = time.Millisecond

// Time implements Driver.
func (r *Runtime) Time() Time {
	now := time.Since(r.start)
	if read := time.Duration(r.read.Load()); read == 0 || now-read >= wallEvery {
		r.wallOffset.Store(time.Now().UnixNano() - int64(now))
		r.read.Store(int64(now))
	}
	return Time{Now: now, Wall: r.wallOffset.Load() + int64(now)}
}

// Delay implements Driver: effects leave at once.
func (r *Runtime) Delay() func(func()) { return nil }

// Drive implements Driver.
func (r *Runtime) Drive(driven Actor) {
	a := &running{Actor: driven, runtime: r, done: make(chan struct{})}
	r.actors = append(r.actors, a)
	a.Bind(a.wake, a.pass)
	r.workers.Go(func() {
		for next := range r.due {
			for next != nil {
				next = next.turns()
			}
		}
	})
}

// wake gives the actor a goroutine, unless it has one.
func (a *running) wake() {
	if a.claimed.CompareAndSwap(false, true) {
		a.runtime.due <- a
	}
}

// pass leaves the actor to the goroutine of the handler that calls it.
func (a *running) pass() {
	if a.claimed.CompareAndSwap(false, true) {
		a.runtime.passed <- a
	}
}

// turns runs a claimed actor until no message waits for it, and returns the actor to run next.
func (a *running) turns() (next *running) {
	for {
		a.restOver.Store(false)
		now := a.runtime.Time()
		now.Resting = now.Now < a.restUntil
		again := a.Step(now)
		if again && a.Rest != nil {
			again = false
			a.restFrom(now)
		}
		if again {
			runtime.Gosched()
		}
		if again = again && !a.stopping.Load(); again || !a.quiet() {
			a.runtime.startAll(a.runtime.takePassed())
			continue
		}
		if a.stopping.Load() {
			a.Close()
			close(a.done)
			return a.runtime.takePassed()
		}
		next = a.runtime.takePassed()
		a.claimed.Store(false)
		if (a.quiet() && !a.stopping.Load()) || !a.claimed.CompareAndSwap(false, true) {
			return next
		}
		a.runtime.startAll(next) // a message arrived just now
	}
}

// quiet reports that no turn is due.
func (a *running) quiet() bool { return a.Idle() && !a.restOver.Load() }

// restFrom schedules a paced actor's next call after its rest from a step. During the rest it takes turns for messages only, and the
// clock for the rest's end already runs.
func (a *running) restFrom(step Time) {
	if step.Resting {
		return
	}
	now := a.runtime.Time().Now
	pause := a.Rest(now - step.Now)
	a.restUntil = now + pause
	time.AfterFunc(pause, func() {
		a.restOver.Store(true)
		a.wake()
	})
}

// takePassed returns one of the passed actors, and gives the others goroutines of their own.
func (r *Runtime) takePassed() (next *running) {
	for {
		select {
		case b := <-r.passed:
			if next != nil {
				r.due <- next
			}
			next = b
		default:
			return next
		}
	}
}

// startAll gives the passed actors goroutines of their own.
func (r *Runtime) startAll(first *running) {
	for next := first; next != nil; next = r.takePassed() {
		r.due <- next
	}
}

// Every implements Driver. All clocks of a runtime tick at multiples of their interval since its start. Clocks that are due together wake
// the process once, and waking it is most of what an idle member costs.
func (r *Runtime) Every(interval time.Duration, tick func()) {
	next := func() time.Duration { return interval - time.Since(r.start)%interval }
	r.clocks.Go(func() {
		timer := time.NewTimer(next())
		defer timer.Stop()
		for {
			select {
			case <-timer.C:
				tick()
				timer.Reset(next())
			case <-r.stop:
				return
			}
		}
	})
}

// Stop stops the clocks, then the actors in the order in which they were spawned, each after it has processed its waiting messages. It
// returns when every goroutine has ended.
func (r *Runtime) Stop() {
	close(r.stop)
	r.clocks.Wait()
	for _, a := range r.actors {
		r.ending.Store(a)
		a.stopping.Store(true)
		a.wake()
		<-a.done
	}
	close(r.due)
	r.workers.Wait()
}

// Ending returns the name of the actor that Stop waits for; empty before it waits for any.
func (r *Runtime) Ending() string {
	if a := r.ending.Load(); a != nil {
		return a.Name
	}
	return ""
}
