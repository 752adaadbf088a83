package actor

import (
	"runtime"
	"sync"
	"time"
)

// Time is all that a handler knows of time: it is handed in with every batch.
type Time struct {
	// Now grows steadily from an unknown start. Waiting is measured with it.
	Now time.Duration
	// Wall is the host's clock in nanoseconds since 1970. It jumps; nothing that must be safe depends on it.
	Wall int64
}

// Handler is the state of an actor with the one function that changes it. Handle works off a batch, in order, and
// returns true when it wants to be called again although no message may come. It never waits.
type Handler[M any] interface {
	Handle(t Time, batch []M) (again bool)
}

// Driver runs actors: [Runtime] with a goroutine each, [Sim] in one seeded loop.
type Driver interface {
	spawn(a spawned)
	// Every offers a message to a mailbox again and again, by the driver's clock, until the driver stops.
	Every(interval time.Duration, tick func())
	// Time is the present moment.
	Time() Time
}

// spawned is an actor as a driver sees it, whatever its messages are.
type spawned struct {
	name string
	// step hands the waiting messages to the handler.
	step func(t Time) (again bool)
	// idle reports that no message waits.
	idle func() bool
	// bind connects the mailbox to the driver.
	bind func(wake func(), hold func(deliver func()))
	// close ends the mailbox.
	close func()
}

// Spawn gives a handler its mailbox and a driver to run it.
func Spawn[M any](d Driver, box *Mailbox[M], h Handler[M]) {
	var spare []M
	d.spawn(spawned{
		name: box.name,
		step: func(t Time) bool {
			batch := box.take(spare)
			again := h.Handle(t, batch)
			clear(batch) // so that a message's memory does not live until the next large batch
			spare = batch
			return again
		},
		idle: box.empty,
		bind: func(wake func(), hold func(func())) {
			box.mu.Lock()
			box.wake, box.hold = wake, hold
			waiting := len(box.waiting) > 0
			box.mu.Unlock()
			if waiting {
				wake()
			}
		},
		close: box.close,
	})
}

// Runtime runs each actor in a goroutine of its own.
//
// A panic in an actor ends the process: what an actor knows is rebuilt from the log at the next start, never from a
// half-known memory.
type Runtime struct {
	start  time.Time
	stop   chan struct{}
	clocks sync.WaitGroup
	actors []*running
}

// running is one actor's goroutine.
type running struct {
	spawned
	token chan struct{} // one wake-up; a second one while it lies there would say nothing new
	stop  chan struct{}
	done  chan struct{}
}

// NewRuntime returns a Runtime without actors.
func NewRuntime() *Runtime {
	return &Runtime{start: time.Now(), stop: make(chan struct{})}
}

// Time implements Driver.
func (r *Runtime) Time() Time {
	now := time.Now()
	return Time{Now: now.Sub(r.start), Wall: now.UnixNano()}
}

func (r *Runtime) spawn(s spawned) {
	a := &running{spawned: s, token: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	r.actors = append(r.actors, a)
	s.bind(func() {
		select {
		case a.token <- struct{}{}:
		default:
		}
	}, nil)
	go a.run(r)
}

// run hands batches to the handler until the actor is stopped; what waits then is worked off before.
func (a *running) run(r *Runtime) {
	defer close(a.done)
	for {
		select {
		case <-a.token:
		case <-a.stop:
			for !a.idle() {
				a.step(r.Time())
			}
			a.close()
			return
		}
		for again := true; again; {
			again = a.step(r.Time())
			if again {
				runtime.Gosched()
				select {
				case <-a.stop:
					again = false
				default:
				}
			}
		}
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
		close(a.stop)
		<-a.done
	}
}
