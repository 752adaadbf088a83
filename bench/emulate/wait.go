package emulate

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// spinLeast and spinMost bound how long before its end a wait wakes up to spin: a kernel's timers are late by some 50 us, and
	// where the processor slept meanwhile by some more.
	spinLeast = 20 * time.Microsecond
	spinMost  = 500 * time.Microsecond
	// spinShare is how much of what is known about lateness a new sleep changes: an eighth.
	spinShare = 8
)

// waiter waits until a moment, neither too short nor, as far as the machine lets it, too long.
type waiter struct {
	now   func() time.Duration
	sleep func(time.Duration)
	spin  atomic.Int64 // before its end, a wait wakes up; it follows how late sleeps were
}

func newWaiter() *waiter {
	begun := time.Now()
	w := &waiter{now: func() time.Duration { return time.Since(begun) }, sleep: nanosleep}
	w.spin.Store(int64(100 * time.Microsecond))
	return w
}

// until returns at a moment.
func (w *waiter) until(due time.Duration) {
	now := w.now()
	spin := time.Duration(w.spin.Load())
	if rest := due - now - spin; rest > 0 {
		w.sleep(rest)
		late := w.now() - now - rest
		// Twice the usual lateness is rarely exceeded; a single one beyond all bounds is another process's turn.
		want := min(max(2*late, spinLeast), spinMost)
		w.spin.Store(int64(spin + (want-spin)/spinShare))
	}
	for w.now() < due { //nolint:revive // it spins
	}
}

// nanosleep sleeps in the kernel: the runtime's own timers are as late as a millisecond where nothing else runs.
func nanosleep(d time.Duration) {
	t := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&t, nil) // a signal ends it early: what is left is spun
}
