package peer

import (
	"testing"
	"time"

	"qkv/internal/limits"
)

// A reminder says how many lines were held back since the one before it, and not since the beginning.
func TestRemindersCountAnew(t *testing.T) {
	var r rateLimitedLog
	now := time.Now()
	for range limits.LogRepeats {
		if held, ok := r.pass("it", now); !ok || held != 0 {
			t.Fatalf("one of the first lines: %v, %d held back", ok, held)
		}
	}
	for round, pause := range []time.Duration{limits.LogRepeatsPause, 2 * limits.LogRepeatsPause} {
		for range 3 {
			if _, ok := r.pass("it", now); ok {
				t.Fatalf("round %d: it is said again at once", round)
			}
		}
		now = now.Add(pause)
		if held, ok := r.pass("it", now); !ok || held != 3 {
			t.Errorf("round %d: %v, %d held back, want 3", round, ok, held)
		}
	}
}
