package cli

import (
	"testing"

	"qkv/cli/form"
)

// Days that are none are refused.
func TestRefusedDays(t *testing.T) {
	runQkv(t, []string{"QKV_HISTORY_AGE=1.5d"}, "serve").exits(t, form.ExitUsage, `QKV_HISTORY_AGE="1.5d" is no value of --history-age`)
	runQkv(t, nil, "serve", "--history-age", "7days").exits(t, form.ExitUsage, `invalid value "7days" for --history-age: a time has a unit, as in 5s or 7d`)
}
