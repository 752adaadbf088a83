//go:build !linux

package cli

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"qkv/internal/checks"
)

// This file stands for the commands that only Linux has: members, and all commands that read or measure a member's disk. Their files have
// the constraint `//go:build linux`, and each command has a line here. On macOS and Windows qkv is a client.

func serveCommand() *cli.Command   { return onLinux("serve") }
func configCommand() *cli.Command  { return onLinux("config") }
func etcdCommand() *cli.Command    { return onLinux("etcd") }
func demoCommand() *cli.Command    { return onLinux("demo") }
func recoverCommand() *cli.Command { return onLinux("recover") }
func migrateCommand() *cli.Command { return onLinux("migrate") }
func inspectCommand() *cli.Command { return onLinux("inspect") }
func branchCommand() *cli.Command  { return onLinux("branch") }
func backupCommand() *cli.Command  { return onLinux("backup") }
func restoreCommand() *cli.Command { return onLinux("restore") }
func benchCommand() *cli.Command   { return onLinux("bench") }

// linuxOnly is the text behind the usage of a command that this system does not have.
const linuxOnly = " (Linux only)"

func onLinux(name string) *cli.Command { return &cli.Command{Name: name, Usage: linuxOnly} }

// runMemberLine refuses the commands of Linux, before their flags are looked at.
func runMemberLine(_ context.Context, args []string, _, stderr io.Writer) (code int, ok bool) {
	if len(args) < 2 || !slices.ContainsFunc(newApp().Commands, func(c *cli.Command) bool { return c.Name == args[1] && strings.HasSuffix(c.Usage, linuxOnly) }) {
		return 0, false
	}
	fmt.Fprintf(stderr, "qkv: `qkv %s` runs on Linux only, and this system is %s: here qkv is a client of members on other hosts\n", args[1], runtime.GOOS)
	return exitUsage, true
}

// folderFacts examines no folder: members run on Linux only.
func folderFacts(_ context.Context, dir string) *checks.Folder {
	return &checks.Folder{Dir: dir, Error: "members run on Linux only", TimerSlackSkip: linuxOnly, ClockSkip: linuxOnly, UDPSkip: linuxOnly}
}

// prepareProcess does nothing: no member runs in this process.
func prepareProcess([]string) {}
