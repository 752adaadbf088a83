package emulate

import (
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// spinLeast and spinMost bound how long before its end a wait wakes up to spin: kernel timers are some 50 us late, and more after the
	// processor slept.
	spinLeast = 20 * time.Microsecond
	spinMost  = 500 * time.Microsecond
	// spinShare is the weight of a new sleep in the smoothed lateness: an eighth.
	spinShare = 8
)

// waiter waits until a given time: never too short, and as exactly as the machine allows.
type waiter struct {
	now   func() time.Duration
	sleep func(time.Duration)
	spin  atomic.Int64 // how long before its end a wait wakes up; follows the lateness of sleeps
}

func newWaiter() *waiter {
	begun := time.Now()
	w := &waiter{now: func() time.Duration { return time.Since(begun) }, sleep: nanosleep}
	w.spin.Store(int64(100 * time.Microsecond))
	return w
}

// until returns at the given time.
func (w *waiter) until(due time.Duration) {
	now := w.now()
	spin := time.Duration(w.spin.Load())
	if rest := due - now - spin; rest > 0 {
		w.sleep(rest)
		late := w.now() - now - rest
		// Twice the usual lateness is rarely exceeded; a single extreme value is another process's time slice.
		want := min(max(2*late, spinLeast), spinMost)
		w.spin.Store(int64(spin + (want-spin)/spinShare))
	}
	for w.now() < due { //nolint:revive // it spins
	}
}

// nanosleep sleeps in the kernel, because the runtime's own timers may be a millisecond late on an idle machine. A member has a timer
// slack of that size; the thread has none while it sleeps, since a disk's answer has none.
func nanosleep(d time.Duration) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	slack, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err == nil && unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) == nil {
		defer unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(slack), 0, 0, 0)
	}
	t := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&t, nil) // a signal ends it early: the rest is spun
}
