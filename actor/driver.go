package actor

import "time"

// Time is a handler's only source of time: the driver passes it in with every batch.
type Time struct {
	// Now grows steadily from an unknown start. Intervals are measured with it.
	Now time.Duration
	// Wall is the host's clock in nanoseconds since 1970. It jumps; nothing that must be safe depends on it.
	Wall int64
	// Resting says that the call is for messages only: the rest after a paced actor's last step is not over.
	Resting bool
}

// paced is a handler with background steps, for which it asks to be called again. After each step it rests for a time that depends on the
// step's duration. The rest leaves others at least half of the resources that it uses: of the processor, and of a disk that slows down as
// its queue grows.
type paced interface {
	Rest(took time.Duration) time.Duration
}

// restLeast is the shortest rest: after a step that took no time, other goroutines get time. restMost bounds the rest: a long stall of
// the disk does not stop the background work.
const (
	restLeast = 500 * time.Microsecond
	restMost  = 5 * time.Second
)

// restAfter is a rest as long as the step.
func restAfter(took time.Duration) time.Duration { return min(max(took, restLeast), restMost) }

// Handler is the state of an actor with the one function that changes it. Handle processes a batch in order. It returns true to be called
// again even without a message. A batch may be empty. Handle waits for no other actor. The actors that use files wait for the disk, the
// snapshot reader also for another member's part, and consensus for its rare decisions that must be durable.
type Handler[M any] interface {
	Handle(t Time, batch []M) (again bool)
}

// Driver runs actors: [Runtime] in goroutines, the simulator of the tests of package node in one seeded loop.
type Driver interface {
	// Drive begins to run an actor. Handlers reach it by Spawn.
	Drive(a Actor)
	// Every calls tick periodically, by the driver's clock, until the driver stops.
	Every(interval time.Duration, tick func())
	// Time is the present moment.
	Time() Time
	// Delay returns the function that delays a handler's effects until its disk calls have returned; nil if they leave at once.
	Delay() func(deliver func())
}

// Actor is an actor as a driver sees it, independent of its message type.
type Actor struct {
	Name string
	// Step hands the waiting messages to the handler. The driver calls it for one turn at a time.
	Step func(t Time) (again bool)
	// Idle reports that no message waits for a turn.
	Idle func() bool
	// Bind connects the mailbox to the driver: the mailbox calls wake when a message waits for a turn, and pass when the handler that
	// sent the message is also nearly done.
	Bind func(wake, pass func())
	// Close ends the mailbox.
	Close func()
	// Rest is a paced handler's Rest, nil for other handlers.
	Rest func(took time.Duration) time.Duration
}

// Spawn connects a handler with its mailbox, and has a driver run it.
func Spawn[M any](d Driver, box *Mailbox[M], h Handler[M]) {
	var spare []M
	d.Drive(Actor{
		Name: box.name,
		Step: func(t Time) bool {
			batch := box.take(spare)
			again := h.Handle(t, batch)
			box.endTurn()
			clear(batch) // otherwise a message's memory would live until the next large batch
			spare = batch
			return again
		},
		Idle: box.idle,
		Bind: func(wake, pass func()) {
			box.mu.Lock()
			box.wake, box.pass, box.delay = wake, pass, d.Delay()
			waiting := len(box.waiting) > 0
			box.woken.Store(waiting)
			box.mu.Unlock()
			if waiting {
				wake()
			}
		},
		Close: box.close,
		Rest:  restOf(h),
	})
}

func restOf(h any) func(took time.Duration) time.Duration {
	if paced, ok := h.(paced); ok {
		return paced.Rest
	}
	return nil
}
