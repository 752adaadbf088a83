//go:build linux

// Package data has the commands on files of a member and of a backup: recover, backup, restore, migrate and inspect.
// All but `backup now` and `migrate` with a running cluster work without a member, and refuse a folder that a member has.
//
// It exists on Linux only, as members do.
package data

import (
	"github.com/urfave/cli/v2"

	"qkv/cli/form"
)

// Commands returns the commands of this package.
func Commands() []*cli.Command {
	return form.Commands(form.Calls{
		"recover": recoverFolder, "restore": form.Interruptible(restore), "inspect": inspect,
		"backup now": form.Interruptible(backupNow), "backup list": onBackup(backupList), "backup verify": onBackup(backupVerify),
		"migrate from-etcd": form.Interruptible(migrateFrom), "migrate to-etcd": form.Interruptible(migrateTo),
	})
}
