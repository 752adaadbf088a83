package actor

import "time"

// Time is all that a handler knows of time: it is handed in with every batch.
type Time struct {
	// Now grows steadily from an unknown start. Waiting is measured with it.
	Now time.Duration
	// Wall is the host's clock in nanoseconds since 1970. It jumps; nothing that must be safe depends on it.
	Wall int64
	// Resting says that the call is for messages only: the rest after the last step of a Paced actor is not over.
	Resting bool
}

// Paced is of a handler whose steps, those for which it wants to be called again, are background work. After each it
// rests for a time that depends on how long the step took, so that others get at least half of what it uses: of the
// processor, and of a disk that is the slower the more wait for it.
type Paced interface {
	Rest(took time.Duration) time.Duration
}

// restLeast is the shortest rest: a step that took no time is followed by one that other goroutines can use. restMost
// bounds it: a disk that stood still for long does not stop what the steps are for.
const (
	restLeast = 500 * time.Microsecond
	restMost  = 5 * time.Second
)

// restAfter is a rest as long as the step.
func restAfter(took time.Duration) time.Duration { return min(max(took, restLeast), restMost) }

// Handler is the state of an actor with the one function that changes it. Handle works off a batch, in order, and
// returns true when it wants to be called again although no message may come. It never waits. A batch may be empty.
type Handler[M any] interface {
	Handle(t Time, batch []M) (again bool)
}

// Driver runs actors: [Runtime] in goroutines, [Sim] in one seeded loop.
type Driver interface {
	spawn(a spawned)
	// Every calls tick again and again, by the driver's clock, until the driver stops.
	Every(interval time.Duration, tick func())
	// Time is the present moment.
	Time() Time
	// hold returns what keeps a handler's effects back until its disk calls are over; nil where they leave at once.
	hold() func(deliver func())
}

// spawned is an actor as a driver sees it, whatever its messages are.
type spawned struct {
	name string
	// step hands the waiting messages to the handler.
	step func(t Time) (again bool)
	// idle reports that no message waits for a turn.
	idle func() bool
	// bind connects the mailbox to the driver.
	bind func(wake, pass func(), hold func(deliver func()))
	// close ends the mailbox.
	close func()
	// rest is that of a Paced handler, nil of others.
	rest func(took time.Duration) time.Duration
}

// Spawn gives a handler its mailbox and a driver to run it.
func Spawn[M any](d Driver, box *Mailbox[M], h Handler[M]) {
	var spare []M
	d.spawn(spawned{
		name: box.name,
		step: func(t Time) bool {
			batch := box.take(spare)
			again := h.Handle(t, batch)
			box.turnEnds()
			clear(batch) // so that a message's memory does not live until the next large batch
			spare = batch
			return again
		},
		idle: box.idle,
		bind: func(wake, pass func(), hold func(func())) {
			box.mu.Lock()
			box.wake, box.pass, box.hold = wake, pass, hold
			waiting := len(box.waiting) > 0
			box.woken.Store(waiting)
			box.mu.Unlock()
			if waiting {
				wake()
			}
		},
		close: box.close,
		rest:  restOf(h),
	})
}

func restOf(h any) func(took time.Duration) time.Duration {
	if paced, ok := h.(Paced); ok {
		return paced.Rest
	}
	return nil
}
