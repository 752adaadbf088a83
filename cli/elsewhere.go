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

func serveCommand() *cli.Command { return onLinux("serve", "cluster", "run one member") }

func configCommand() *cli.Command {
	return onLinux("config", "cluster", "check a file of settings, and print an example")
}

func etcdCommand() *cli.Command {
	return onLinux("etcd", "cluster", "run one member by etcd's own command line")
}
func demoCommand() *cli.Command { return onLinux("demo", "cluster", "run a cluster to try qkv") }
func recoverCommand() *cli.Command {
	return onLinux("recover", "cluster", "restart a cluster that lost its quorum")
}

func migrateCommand() *cli.Command {
	return onLinux("migrate", "cluster", "move data from and to etcd")
}
func inspectCommand() *cli.Command { return onLinux("inspect", "cluster", "show a member's files") }
func branchCommand() *cli.Command {
	return onLinux("branch", "cluster", "serve a copy of a backup's data")
}

func backupCommand() *cli.Command {
	return onLinux("backup", "cluster", "wait for the backup, look at backups, and verify them")
}

func restoreCommand() *cli.Command {
	return onLinux("restore", "cluster", "make a new cluster of a backup, as of any moment")
}

func benchCommand() *cli.Command { return onLinux("bench", "program", "measure disks and clusters") }

// linuxOnly is the text behind the usage of a command that this system does not have.
const linuxOnly = " (Linux only)"

func onLinux(name, category, usage string) *cli.Command {
	return &cli.Command{Name: name, Category: category, Usage: usage + linuxOnly}
}

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
