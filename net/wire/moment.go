package wire

import (
	"sync/atomic"
	"time"
)

// momentsBegan is the zero point of Moments. It contains a reading of the monotonic clock.
var momentsBegan = time.Now()

// Moment is the time of the last occurrence of an event, for any number of goroutines. Its zero value is the start of the process.
// It uses the monotonic clock, not the time of day. If the time of day were set back by an hour, no connection would seem silent
// for an hour; if it were set ahead, all connections would.
type Moment struct{ since atomic.Int64 }

// Set stores now, a time that time.Now has returned, as the time of the event.
func (m *Moment) Set(now time.Time) { m.since.Store(int64(now.Sub(momentsBegan))) }

// Ago returns the time from the event to now.
func (m *Moment) Ago(now time.Time) time.Duration {
	return now.Sub(momentsBegan) - time.Duration(m.since.Load())
}
