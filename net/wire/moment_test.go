package wire

import (
	"testing"
	"time"
	"unsafe"
)

// How long ago something was does not change with the time of day.
func TestMoment(t *testing.T) {
	const ago = 3 * time.Second
	for _, set := range []time.Duration{0, time.Hour, -time.Hour} {
		var m Moment
		now := time.Now()
		m.Set(now.Add(-ago))
		later := now
		*(*uint64)(unsafe.Pointer(&later)) += uint64(int64(set/time.Second) << 30) // what the clock shows, and not what has passed
		if got := time.Unix(0, later.UnixNano()).Sub(time.Unix(0, now.UnixNano())); got != set {
			t.Fatalf("the clock was set by %v, want %v", got, set)
		}
		if got := m.Ago(later); got != ago {
			t.Errorf("the clock was set by %v, and what was %v ago is said to be %v ago", set, ago, got)
		}
	}
}
