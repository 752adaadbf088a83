//go:build linux

// Package data has the commands on files of a member and of a backup: recover, backup, restore, migrate and inspect.
// All but `backup now` and `migrate` with a running cluster work without a member, and refuse a folder that a member has.
//
// It exists on Linux only, as members do.
package data

import "github.com/urfave/cli/v2"

// Commands returns the commands of this package.
func Commands() []*cli.Command {
	return []*cli.Command{
		recoverCommand(), backupCommand(), restoreCommand(), migrateCommand(), inspectCommand(),
	}
}
