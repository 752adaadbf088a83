package form

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// OneOf checks a flag's value. It accepts capital letters, as etcdctl's help has them, and converts them to lower case.
func OneOf(name string, allowed ...string) func(*cli.Context, string) error {
	return func(c *cli.Context, value string) error {
		if small := strings.ToLower(value); slices.Contains(allowed, small) {
			return c.Set(name, small)
		}
		return Usagef("--%s %q is not one of %s", name, value, strings.Join(allowed, ", "))
	}
}
