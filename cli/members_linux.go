package cli

import (
	"context"
	"io"
	"slices"

	"github.com/urfave/cli/v2"

	"qkv/cli/data"
	"qkv/cli/form"
	"qkv/cli/run"
)

// memberCommands returns the commands that only a system on which members run has.
func memberCommands() []*cli.Command { return slices.Concat(data.Commands(), run.Commands()) }

// prepareProcess does what a process needs before its first goroutine.
func prepareProcess(args []string) {
	if runsMember(args) {
		form.RelaxTimers()
	}
}

// runsMember reports whether a command line runs a member in this process.
func runsMember(args []string) bool {
	if _, _, ok := run.EtcdLine(args); ok {
		return true
	}
	a, err := form.Arrange(newApp(), args)
	return err == nil && !a.Help && slices.Equal(a.Commands, []string{"serve"})
}

// runMemberLine runs the line if it is one of `qkv etcd`, whose flags are etcd's.
func runMemberLine(ctx context.Context, args []string, stdout, stderr io.Writer) (code int, ok bool) {
	return run.RunMemberLine(ctx, args, stdout, stderr)
}
