//go:build !linux

package cli

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
)

// linuxCommands are the commands that only Linux has: those that run members, and those that read or measure a member's
// disk. On macOS and Windows qkv is a client.
var linuxCommands = []string{
	"serve", "config", "etcd", "demo", "recover", "migrate", "inspect", "branch", "backup", "restore", "bench",
}

// memberCommands returns a line of help for each of linuxCommands.
func memberCommands() (all []*cli.Command) {
	for _, name := range linuxCommands {
		one := form.Commands(form.Calls{name: nil})[0]
		one.Usage, one.Flags = one.Usage+" (Linux only)", nil
		all = append(all, one)
	}
	return all
}

// runMemberLine refuses the commands of Linux, before their flags are looked at.
func runMemberLine(_ context.Context, args []string, _, stderr io.Writer) (code int, ok bool) {
	if len(args) < 2 || !slices.Contains(linuxCommands, args[1]) {
		return 0, false
	}
	fmt.Fprintf(stderr, "qkv: `qkv %s` runs on Linux only, and this system is %s: here qkv is a client of members on other hosts\n", args[1], runtime.GOOS)
	return form.ExitUsage, true
}

// prepareProcess does nothing: no member runs in this process.
func prepareProcess([]string) {}
