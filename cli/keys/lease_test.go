package keys

import (
	"io"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
)

// A time to live that no lease can have is refused with the number that was given, before a member is asked.
func TestLeasesThatAreTooLong(t *testing.T) {
	connection := []string{"--home", t.TempDir(), "--timeout", "100ms"}
	for _, words := range [][]string{
		append(append([]string{"lease", "grant"}, connection...), "99999999999"),
		append(append([]string{"lock", "--ttl", "99999999999"}, connection...), "k"),
		append(append([]string{"elect", "--ttl", "99999999999"}, connection...), "k", "v"),
	} {
		app := &cli.App{Commands: Commands(), Writer: io.Discard, ErrWriter: io.Discard, ExitErrHandler: func(*cli.Context, error) {}}
		err := app.Run(append([]string{"qkv"}, words...))
		if form.ExitCode(err) != form.ExitFailed || !strings.Contains(err.Error(), "a lease of 99999999999 seconds, over the limit") {
			t.Errorf("%v: exit code %d, %v", words, form.ExitCode(err), err)
		}
	}
}
