package cli

import (
	"testing"
	"time"

	"qkv/cli/form/formtest"
)

// Days are a unit of every time: on the command line, in the environment, and in a file.
func TestDays(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"7d": 7 * day, "1d12h": day + 12*time.Hour, "0d": 0, "1d1ms": day + time.Millisecond, "5s": 5 * time.Second, "-1h": -time.Hour, "106751d": 106751 * day,
	} {
		if got, err := parseDuration(text); err != nil || got != want {
			t.Errorf("%s is %v, not %v: %v", text, got, want, err)
		}
	}
	for _, text := range []string{"", "d", "7", "-7d", "1.5d", "7dd", "7d-1h", "7d+1h", "1h7d", "106752d", "106751d24h", "99999999999d", "7 d", "7days"} {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("%q is read as %v", text, got)
		}
	}
}

// Days are a unit of the settings of a member.
func TestDaysInSettings(t *testing.T) {
	file := formtest.File(t, "qkv.yaml", "history-age: 3d\n")
	if got := settingsOf(t, file).Duration("history-age"); got != 72*time.Hour {
		t.Errorf("by the file: %v", got)
	}
	if got := settingsOf(t, file, "--history-age", "2d").Duration("history-age"); got != 48*time.Hour {
		t.Errorf("by the flag: %v", got)
	}
	t.Setenv("QKV_HISTORY_AGE", "2d12h")
	if got := settingsOf(t, file).Duration("history-age"); got != 60*time.Hour {
		t.Errorf("by the variable: %v", got)
	}
}

// Days that are none are refused.
func TestRefusedDays(t *testing.T) {
	runQkv(t, []string{"QKV_HISTORY_AGE=1.5d"}, "serve").exits(t, exitUsage, `QKV_HISTORY_AGE="1.5d" is no value of --history-age`)
	runQkv(t, nil, "serve", "--history-age", "7days").exits(t, exitUsage, `invalid value "7days" for --history-age: a time has a unit, as in 5s or 7d`)
}
