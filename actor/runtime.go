package actor

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Runtime runs actors in as many goroutines as there are actors. An actor takes its turns in any of them, one at a
// time; and since a turn holds one goroutine, there is always one for an actor that has something to do.
//
// A handler that passes its work on is followed, in the same goroutine, by the actor that it passed it to. A lone
// client's write is handed over five times, and with a goroutine for each actor most of these woke another thread: 10
// to 40 µs each on an idle virtual host. An actor that has more to do itself goes on with that, and the other one gets
// another goroutine.
//
// A panic in an actor ends the process: what an actor knows is rebuilt from the log at the next start, never from a
// half-known memory.
type Runtime struct {
	start   time.Time
	apart   atomic.Int64 // the wall clock at start, by what it said when it was read last
	read    atomic.Int64 // when that was, after start; 0: never
	stop    chan struct{}
	clocks  sync.WaitGroup
	workers sync.WaitGroup
	actors  []*running
	due     chan *running // wait for a goroutine
	passed  chan *running // wait for the goroutine of the handler that passed them something, or any other
	ending  atomic.Pointer[running]
}

// running is one actor.
//
//  1. Who sets claimed sees to it that the actor gets a turn; it is cleared only when no message waits.
//  2. A claimed actor is at one place: in due, in passed, or in a goroutine.
type running struct {
	spawned
	runtime  *Runtime
	claimed  atomic.Bool
	stopping atomic.Bool
	done     chan struct{}

	// Of a paced actor: when the rest after its last step is over, and that it is, so that a turn is due.
	restUntil time.Duration
	restOver  atomic.Bool
}

// actorsMost is more than a member has, so that due and passed never fill up.
const actorsMost = 64

// NewRuntime returns a Runtime without actors.
func NewRuntime() *Runtime {
	return &Runtime{
		start: time.Now(), stop: make(chan struct{}),
		due: make(chan *running, actorsMost), passed: make(chan *running, actorsMost),
	}
}

// wallEvery is how old what is known of the wall clock may be: the time of a put has several moments, and each would read two clocks.
const wallEvery = time.Millisecond

// Time implements Driver.
func (r *Runtime) Time() Time {
	now := time.Since(r.start)
	if read := time.Duration(r.read.Load()); read == 0 || now-read >= wallEvery {
		r.apart.Store(time.Now().UnixNano() - int64(now))
		r.read.Store(int64(now))
	}
	return Time{Now: now, Wall: r.apart.Load() + int64(now)}
}

func (r *Runtime) hold() func(func()) { return nil }

func (r *Runtime) spawn(s spawned) {
	a := &running{spawned: s, runtime: r, done: make(chan struct{})}
	r.actors = append(r.actors, a)
	s.bind(a.wake, a.pass, nil)
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

// turns lets a claimed actor work until no message waits for it, and returns the actor that is to follow it.
func (a *running) turns() (next *running) {
	for {
		a.restOver.Store(false)
		now := a.runtime.Time()
		now.Resting = now.Now < a.restUntil
		again := a.step(now)
		if again && a.rest != nil {
			again = false
			a.restFrom(now)
		}
		if again {
			runtime.Gosched()
		}
		if again = again && !a.stopping.Load(); again || !a.quiet() {
			a.runtime.spread(a.runtime.takePassed())
			continue
		}
		if a.stopping.Load() {
			a.close()
			close(a.done)
			return a.runtime.takePassed()
		}
		next = a.runtime.takePassed()
		a.claimed.Store(false)
		if (a.quiet() && !a.stopping.Load()) || !a.claimed.CompareAndSwap(false, true) {
			return next
		}
		a.runtime.spread(next) // a message came just now
	}
}

// quiet tells that no turn is due.
func (a *running) quiet() bool { return a.idle() && !a.restOver.Load() }

// restFrom has a paced actor called again when it has rested from a step. During the rest it takes turns for messages
// only, and the clock for its end runs already.
func (a *running) restFrom(step Time) {
	if step.Resting {
		return
	}
	now := a.runtime.Time().Now
	pause := a.rest(now - step.Now)
	a.restUntil = now + pause
	time.AfterFunc(pause, func() {
		a.restOver.Store(true)
		a.wake()
	})
}

// takePassed returns one of the actors that were passed something, and gives the others goroutines of their own.
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

// spread gives the actors that were passed something goroutines of their own.
func (r *Runtime) spread(first *running) {
	for next := first; next != nil; next = r.takePassed() {
		r.due <- next
	}
}

// Every implements Driver.
func (r *Runtime) Every(interval time.Duration, tick func()) {
	r.clocks.Go(func() {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				tick()
			case <-r.stop:
				return
			}
		}
	})
}

// Stop stops the clocks, then the actors in the order in which they were spawned, each after it has worked off what
// waited. It returns when every goroutine has ended.
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

// Ending is the name of the actor that Stop waits for, empty before it waits for any.
func (r *Runtime) Ending() string {
	if a := r.ending.Load(); a != nil {
		return a.name
	}
	return ""
}
