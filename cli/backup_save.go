//go:build linux

package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"qkv/cli/form"
	"qkv/internal/checks"
	"qkv/internal/figures"
	"qkv/node/backuprun"
	"qkv/snapshot/backup"
)

func backupSaveCommand() *cli.Command {
	return &cli.Command{
		Name: "save", Usage: "back a running cluster up", ArgsUsage: "PLACE",
		Description: "Copies everything that the cluster has acknowledged: keys, history, times, leases and users. Writes go on meanwhile. PLACE is " +
			"a folder or s3://BUCKET/PREFIX. It is new, or holds earlier backups of the same cluster: then only what it lacks is copied. An " +
			"interrupted backup continues when the same command runs again. The state comes from the newest snapshot of one member and from its " +
			"log. Every byte is verified, and compared with what the disk or the server has. With authentication enabled, the user needs the role root.",
		Flags:  clientFlags(recipientFlag(), writeOutFlag()),
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
	place, err := openStore("PLACE", c.Args().First())
	if err != nil {
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
			hold := backuprun.NewHold()
			w, err := hold.Write(ctx, m, place, true, to...)
			if err != nil {
				return backupError(err)
			}
			err = saveFrom(ctx, c, m, hold, w, place.Path(""))
			hold.Leave(ctx, m)
			return backupError(errors.Join(err, w.Close()))
		}
		return errors.Join(errs...)
	})
}

// saveFrom brings a backup up to the end of the member's log, which has everything that was acknowledged before.
func saveFrom(ctx context.Context, c *cli.Context, m *backupMember, hold *backuprun.Hold, w *backup.Writer, path string) error {
	// a linearizable read: afterwards the member has all acknowledged writes
	if _, err := m.AuthStatus(ctx); err != nil {
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
	base, copied, err := hold.CopyBase(ctx, m, w, 0, func(done, total int64) error { progressTo(bar)(done, total); return nil })
	bar.end()
	if err != nil {
		return err
	}
	entries, bytes := 0, int64(0)
	for after := backuprun.EndOf(w); after < status.Count(figures.Applied); {
		part, err := m.BackupLog(ctx, after)
		if err == nil {
			err = w.Append(ctx, part.Entries)
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
	// the backup may have later ones, too
	revision, entry, file := status.Get(figures.Revision), status.Count(figures.Applied), base.Bytes()
	return writeAnswer(c, form.Answer{
		Document: form.Document{
			{"revision", revision}, {"entry", entry}, {"base_entry", base.Index}, {"base_bytes", file}, {"new_base_bytes", copied}, {"new_entries", entries}, {"new_log_bytes", bytes},
		},
		Text: fmt.Sprintf("%s has everything up to revision %d: the base of entry %d, %s of which %s are new, and behind it %s, %s\n",
			path, revision, base.Index, bytesText(file), bytesText(copied), checks.Plural(entries, "new entry", "new entries"), bytesText(bytes)),
	})
}
