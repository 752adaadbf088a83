// Package testlong leaves tests out of `make test` that take long. `make check` runs them.
package testlong

import (
	"os"
	"testing"
)

// Skip skips the calling test with -short: it takes seconds, which a newcomer's first run does not have. With QKV_TEST_LONG set it runs with
// -short, too: `make race` wants every test, each in its short form.
func Skip(t testing.TB) {
	t.Helper()
	if testing.Short() && os.Getenv("QKV_TEST_LONG") == "" {
		t.Skip("it takes long: make check")
	}
}
