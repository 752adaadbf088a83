//go:build linux

package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"qkv/internal/checks"
	"qkv/internal/figures"
	"qkv/log/disk"
	"qkv/node/backuprun"
	"qkv/snapshot/backup"
)

func backupSaveCommand() *cli.Command {
	return &cli.Command{
		Name: "save", Usage: "back a running cluster up", ArgsUsage: "DIR",
		Description: "Copies everything that the cluster has acknowledged: keys, history, times, leases and users. Writes go on meanwhile. DIR is " +
			"a new folder, or holds earlier backups of the same cluster: then only what it lacks is copied. An interrupted backup " +
			"continues when the same command runs again. The state comes from the newest snapshot of one member and from its log. Every " +
			"byte is verified, and read back from the disk. With authentication enabled, the user needs the role root.\n\n" +
			"With --single-file, DIR is a new file instead, which `qkv restore` reads as well; it is removed if the backup is interrupted.",
		Flags: clientFlags(
			recipientFlag("QKV_BACKUP_RECIPIENT"),
			&cli.BoolFlag{Name: "single-file", EnvVars: []string{"QKV_BACKUP_SINGLE_FILE"}, Usage: "write one new file instead of a folder"},
			writeOutFlag(),
		),
		Action: backupSave,
	}
}

func backupSave(c *cli.Context) error {
	to, err := recipients(c, "recipient")
	if err != nil {
		return err
	}
	t, err := targetOf(c)
	if err != nil {
		return err
	}
	path, single := c.Args().First(), c.Bool("single-file")
	if err := noAddress("DIR", path); err != nil {
		return err
	}
	return interruptible(c, func(ctx context.Context) error {
		var errs []error
		for _, endpoint := range t.endpoints {
			m, err := t.openMember(ctx, endpoint)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			defer m.Close()
			var w *backup.Writer
			if single {
				w, err = backup.CreateFile(disk.OS(), path, m.cluster, to...)
			} else {
				w, err = backupFolder(m, path, to)
			}
			if err != nil {
				return backupError(err)
			}
			err = saveFrom(ctx, c, m, w, path)
			if err != nil || !single {
				return backupError(errors.Join(err, w.Close()))
			}
			return w.Finish()
		}
		return errors.Join(errs...)
	})
}

// saveFrom brings a backup up to the end of the member's log, which has everything that was acknowledged before.
func saveFrom(ctx context.Context, c *cli.Context, m *backupMember, w *backup.Writer, path string) error {
	if _, err := m.AuthStatus(ctx); err != nil { // a linearizable read: afterwards the member has all acknowledged writes
		return err
	}
	status, err := m.Status(ctx, "")
	if err != nil {
		return err
	}
	if err := backuprun.Continues(ctx, m, w); err != nil {
		return fmt.Errorf("%s: %w", m.Name(), err)
	}
	bar := newBytesProgress(c.App.ErrWriter, "base")
	base, copied, err := backuprun.CopyBase(ctx, m, w, 0, func(done, total int64) error { progressTo(bar)(done, total); return nil })
	bar.end()
	if err != nil {
		return err
	}
	entries, bytes := 0, int64(0)
	for after := backuprun.EndOf(w); after < status.Count(figures.Applied); {
		part, err := m.BackupLog(ctx, after)
		if err == nil {
			err = w.Append(part.Entries)
		}
		if backuprun.NeedsBase(err) && after < base.Index {
			after = base.Index // the moments between are lost to the backup
			continue
		}
		if err != nil {
			return err
		}
		for _, e := range part.Entries {
			entries, bytes, after = entries+1, bytes+int64(len(e.Envelope)), e.Index
		}
		if err := context.Cause(ctx); err != nil {
			return err
		}
	}
	revision, entry, file := status.Get(figures.Revision), status.Count(figures.Applied), base.Bytes() // the backup may have later ones, too
	if c.String("write-out") == formatJSON {
		return writeJSON(c.App.Writer, document{
			{"revision", revision}, {"entry", entry}, {"base_entry", base.Index}, {"base_bytes", file}, {"new_base_bytes", copied}, {"new_entries", entries}, {"new_log_bytes", bytes},
		})
	}
	writeOne(c, fmt.Sprintf("%s has everything up to revision %d: the base of entry %d, %s of which %s are new, and behind it %s, %s\n",
		path, revision, base.Index, bytesText(file), bytesText(copied), checks.Plural(entries, "new entry", "new entries"), bytesText(bytes)),
		document{{"revision", revision}, {"entry", entry}, {"base", base.Index}, {"base_bytes", file}, {"new_base_bytes", copied}, {"entries", entries}, {"log_bytes", bytes}})
	return nil
}
