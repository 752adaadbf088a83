package form

import (
	"testing"
	"time"
)

// Days are a unit of every time: on the command line, in the environment, and in a file.
func TestDays(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"7d": 7 * Day, "1d12h": Day + 12*time.Hour, "0d": 0, "1d1ms": Day + time.Millisecond, "5s": 5 * time.Second, "-1h": -time.Hour, "106751d": 106751 * Day,
	} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%s is %v, not %v: %v", text, got, want, err)
		}
	}
	for _, text := range []string{"", "d", "7", "-7d", "1.5d", "7dd", "7d-1h", "7d+1h", "1h7d", "106752d", "106751d24h", "99999999999d", "7 d", "7days"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q is read as %v", text, got)
		}
	}
}
