//go:build linux

// Package run has the commands that run members: serve, config, etcd, demo, branch and bench. serve, etcd and branch
// build one node in this process. demo and bench run members as processes of the same program (local.go, process.go,
// package local), which die with their parent, even if it is killed.
//
// It exists on Linux only, as members do.
package run

import "github.com/urfave/cli/v2"

// Commands returns the commands of this package.
func Commands() []*cli.Command {
	return []*cli.Command{
		serveCommand(), configCommand(), etcdCommand(), demoCommand(), branchCommand(), benchCommand(),
	}
}
