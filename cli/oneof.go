package cli

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// oneOf checks a flag's value. It accepts capital letters, as etcdctl's help has them, and converts them to lower case.
func oneOf(name string, allowed ...string) func(*cli.Context, string) error {
	return func(c *cli.Context, value string) error {
		if small := strings.ToLower(value); slices.Contains(allowed, small) {
			return c.Set(name, small)
		}
		return usagef("--%s %q is not one of %s", name, value, strings.Join(allowed, ", "))
	}
}
