//go:build linux

package run

// This file is `qkv bench`: measure disks and members.

import (
	"github.com/urfave/cli/v2"

	"qkv/cli/form"
	"qkv/internal/limits"
)

func benchCommand() *cli.Command {
	return &cli.Command{
		Name:        "bench",
		Subcommands: []*cli.Command{benchDiskCommand(), benchRunCommand(), benchReportCommand()},
	}
}

// checkLoad refuses unusable request sizes and counts.
func checkLoad(c *cli.Context) error {
	for _, name := range []string{"in-flight", "keys"} {
		if n := c.Int(name); n < 1 {
			return form.Usagef("--%s %d: at least one is needed", name, n)
		}
	}
	if n := form.SizeOf(c, "value-bytes"); n < 1 || n > limits.RequestBytesWritten {
		return form.Usagef("--value-bytes %d: a value has at least 1 byte, and a member takes requests of %d bytes at most", n, limits.RequestBytesWritten)
	}
	return nil
}
