package cli

import (
	"os"
	"strings"
	"testing"
	"time"
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
	value := func(want string, environment []string, argv ...string) {
		t.Helper()
		r := runQkv(t, environment, append([]string{"config", "show"}, argv...)...)
		r.exits(t, 0)
		for line := range strings.Lines(r.stdout) {
			if f := strings.Fields(line); len(f) > 1 && f[0] == "history-age" {
				if f[1] != want {
					t.Errorf("%v %v: %s", environment, argv, line)
				}
				return
			}
		}
		t.Errorf("no history-age in\n%s", r.stdout)
	}
	value("48h0m0s", nil, "--history-age", "2d")
	value("60h0m0s", []string{"QKV_HISTORY_AGE=2d12h"})
	file := t.TempDir() + "/qkv.yaml"
	must(t, os.WriteFile(file, []byte("history-age: 3d\n"), 0o600))
	value("72h0m0s", nil, file)
	runQkv(t, []string{"QKV_HISTORY_AGE=1.5d"}, "config", "show").exits(t, exitUsage, `QKV_HISTORY_AGE="1.5d" is no value of --history-age`)
	runQkv(t, nil, "config", "show", "--history-age", "7days").exits(t, exitUsage, `invalid value "7days" for --history-age: a time has a unit, as in 5s or 7d`)
}
