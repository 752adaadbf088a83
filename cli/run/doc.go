//go:build linux

// Package run has the commands that run members: serve, config, etcd, demo, branch and bench. serve, etcd and branch
// build one node in this process. demo and bench run members as processes of the same program (local.go, process.go,
// package local), which die with their parent, even if it is killed.
//
// It exists on Linux only, as members do.
package run

import (
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"qkv/bench"
	"qkv/cli/form"
)

// Commands returns the commands of this package. The line of `qkv etcd` has etcd's syntax, and is never parsed as those
// of the others: it is here for its help.
func Commands() []*cli.Command {
	return form.Commands(form.Calls{
		"serve": serve, "config check": configCheck, "config example": configExample, etcdName: nil, "demo": runDemo,
		"branch": form.Interruptible(branch), "bench disk": form.Interruptible(benchDisk), "bench run": form.Interruptible(benchRun),
		"bench report": benchReport,
	}, words()...)
}

// words are the words of commands.txt that this package knows.
func words() []string {
	return []string{
		"{heartbeat}", heartbeatInterval.String(), "{election}", electionTimeout.String(), "{backup-every}", backupEvery.String(),
		"{backup-keep}", backupKeep.String(), "{members}", strconv.Itoa(mostMembers),
		"{loads}", strings.Join(bench.WorkNames(bench.Works(1, 1)), ", "), "{special-loads}", strings.Join(bench.WorkNames(bench.SpecialWorks()), ", "),
	}
}
