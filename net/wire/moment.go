package wire

import (
	"sync/atomic"
	"time"
)

// momentsBegan is what Moments are counted from: it has the reading of the clock that nobody sets.
var momentsBegan = time.Now()

// Moment is when something happened last, for any number of goroutines: when the process began, where nobody has set it. It is held
// by the monotonic clock, and not by the time of day: when that was put back by an hour, nothing would seem to be silent for so long,
// and when it was put ahead, all would.
type Moment struct{ since atomic.Int64 }

// Set notes that it happens at a time that time.Now has returned.
func (m *Moment) Set(now time.Time) { m.since.Store(int64(now.Sub(momentsBegan))) }

// Ago is how long ago it happened, at such a time.
func (m *Moment) Ago(now time.Time) time.Duration {
	return now.Sub(momentsBegan) - time.Duration(m.since.Load())
}
