//go:build linux

package data

// This file is `qkv backup`: wait for the backup, look at backups, and verify them.

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"filippo.io/age"
	"github.com/urfave/cli/v2"

	"qkv/cli/form"
	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/log/disk"
	"qkv/node"
	"qkv/snapshot/backup"
	"qkv/snapshot/backup/store"
)

// Identities reads the file of --identity.
func Identities(c *cli.Context) ([]age.Identity, error) {
	name := c.String("identity")
	if name == "" {
		return nil, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, form.Usagef("--identity: %w", err)
	}
	defer f.Close()
	keys, err := age.ParseIdentities(f)
	if err != nil {
		return nil, form.Usagef("--identity %s holds no age identity: %w", name, err)
	}
	return keys, nil
}

// onBackup opens the backup that the argument names.
func onBackup(do func(c *cli.Context, r *backup.Reader) error) cli.ActionFunc {
	return form.Interruptible(func(ctx context.Context, c *cli.Context) error {
		r, err := openBackup(ctx, c, c.Args().First())
		if err != nil {
			return err
		}
		return backupError(do(c, r))
	})
}

func openBackup(ctx context.Context, c *cli.Context, place string) (*backup.Reader, error) {
	keys, err := Identities(c)
	if err != nil {
		return nil, err
	}
	s, err := OpenStore("PLACE", place)
	if err != nil {
		return nil, err
	}
	if err := isThere(s); err != nil {
		return nil, err
	}
	r, err := backup.Open(ctx, s, keys...)
	if err != nil {
		return nil, backupError(err)
	}
	r.Background, r.Memory = func(do func()) { go do() }, node.StateMemory()
	return r, nil
}

// OpenStore opens the store that an argument or a flag names.
func OpenStore(what, place string) (store.Store, error) {
	if place == "" {
		return nil, form.Usagef("give %s: a folder, or s3://BUCKET/PREFIX", what)
	}
	s, err := store.Open(disk.OS(), place)
	if err != nil {
		return nil, form.Usagef("%s %s: %w", what, place, err)
	}
	if at, err := os.Stat(place); err == nil && !at.IsDir() {
		return nil, form.Usagef("no backup: %s is a file, and a backup is a folder: give that; a single file of qkv 0.2 is restored by that qkv", place)
	}
	return s, nil
}

// isThere refuses a folder that does not exist.
func isThere(s store.Store) error {
	_, err := os.Stat(s.Path(""))
	if _, folder := s.(*store.Folder); folder && errors.Is(err, fs.ErrNotExist) {
		return form.Usagef("no backup: the folder %s does not exist: mount its disk, or give the place of a backup", s.Path(""))
	}
	return nil
}

// backupError adds the flag that helps, and the exit code.
func backupError(err error) error {
	switch {
	case errors.Is(err, backup.ErrKey):
		return form.Usagef("%w (--identity FILE)", err)
	case errors.Is(err, backup.ErrRange), errors.Is(err, damage.ErrFormat), errors.Is(err, backup.ErrNone), errors.Is(err, backup.ErrForeign):
		return form.Usagef("%w", err)
	}
	return err
}

// zoned formats a time of a state, with its zone.
func zoned(wall int64) string { return time.Unix(0, wall).Format("2006-01-02 15:04:05 -07:00") }

func backupList(c *cli.Context, r *backup.Reader) error {
	bases, damage := []form.Document{}, []string{}
	t := form.Rows{Columns: []string{"ENTRY", "REVISION", "TIME", "SIZE", "LOG-TO", "LOG-TIME", "LOG-SIZE"}}
	faults := r.Faults
	reaches, err := r.Reaches()
	if err != nil {
		return err
	}
	for i := range r.Bases {
		b := &r.Bases[i]
		bytes, encrypted, err := r.Bytes(b)
		if err != nil {
			faults = append(faults, err)
		}
		reach := &reaches[i]
		if reach.Fault != nil {
			faults = append(faults, reach.Fault)
		}
		bases = append(bases, form.Document{
			{"index", b.Index},
			{"term", b.Term},
			{"revision", b.Revision},
			{"time", inUTC(b.Wall)},
			{"level", b.Level},
			{"bytes", bytes},
			{"encrypted", encrypted},
			{"log_index", reach.Index},
			{"log_time", inUTC(reach.Wall)},
			{"log_bytes", reach.Bytes},
		})
		t.Add(b.Index, b.Revision, zoned(b.Wall), form.BytesText(bytes), reach.Index, zoned(reach.Wall), form.BytesText(reach.Bytes))
	}
	for _, fault := range faults {
		damage = append(damage, fault.Error())
	}
	if err := form.WriteAnswer(c, form.Answer{
		Document: form.Document{{"cluster", form.Hex(r.Cluster.ID)}, {"name", r.Cluster.Name}, {"bases", bases}, {"damage", damage}},
		Page: func(p form.Page) {
			fmt.Fprintf(p, "backup of %s, %s\n", r.Cluster.Name, form.Hex(r.Cluster.ID))
			t.Write(p)
			for _, text := range damage {
				fmt.Fprintln(p, "!", text)
			}
		},
	}); err != nil {
		return err
	}
	if len(faults) > 0 {
		return form.Exitf(form.ExitFailed, "%d files are damaged: `qkv backup verify` finds out what can be restored", len(faults))
	}
	return nil
}

func backupVerify(c *cli.Context, r *backup.Reader) error {
	bar := form.NewBytesProgress(c.App.ErrWriter, "verify")
	defer bar.End()
	for _, fault := range r.Faults {
		one := form.Answer{
			Document: form.Document{{"index", 0}, {"revision", 0}, {"time", ""}, {"whole", false}, {"damage", []string{fault.Error()}}},
			Text:     fmt.Sprintf("! %v\n", fault),
		}
		if err := form.WriteAnswer(c, one); err != nil {
			return err
		}
	}
	from, to, gaps := "", "", 0
	err := r.Verify(limits.Defaults().Index, progressTo(bar), func(v *backup.Verified) {
		if from == "" {
			from = zoned(v.Base.Wall)
		}
		if v.Gap != nil {
			gaps++
		}
		if v.Wall != 0 {
			to = zoned(v.Wall)
		}
		_ = form.WriteAnswer(c, form.Answer{Document: documentOfVerified(v), Page: func(p form.Page) { writeVerified(p, v) }}) // the writer keeps its first error
	})
	if err != nil || c.String("write-out") == form.JSON {
		return err
	}
	if gaps > 0 {
		fmt.Fprintf(c.App.Writer, "undamaged; the moments in %d gaps cannot be restored\n", gaps)
		return nil
	}
	fmt.Fprintf(c.App.Writer, "undamaged: every moment from %s to %s can be restored\n", from, to)
	return nil
}

func progressTo(bar *form.Progress) func(done, total int64) {
	return func(done, total int64) { bar.Set(done, total-done) }
}

func writeVerified(w form.Page, v *backup.Verified) {
	fmt.Fprintf(w, "base of entry %d, revision %d, %s: ", v.Base.Index, v.Base.Revision, zoned(v.Base.Wall))
	switch {
	case v.Fault != nil:
		fmt.Fprintf(w, "damaged\n! %v\n", v.Fault)
	case !v.Replayed:
		fmt.Fprintln(w, "undamaged")
	default:
		fmt.Fprintf(w, "undamaged; its log leads to entry %d, revision %d, %s\n", v.Index, v.Revision, zoned(v.Wall))
	}
	if v.Log != nil {
		fmt.Fprintf(w, "! %v\n", v.Log)
	}
	if v.Gap != nil {
		fmt.Fprintf(w, "  %v\n", v.Gap)
	}
}

// documentOfVerified is a line of `qkv backup verify -w json`. It has no end of the log if that of an earlier base leads on.
func documentOfVerified(v *backup.Verified) form.Document {
	d := form.Document{
		{"index", v.Base.Index},
		{"revision", v.Base.Revision},
		{"time", inUTC(v.Base.Wall)},
		{"whole", v.Fault == nil},
		{"log_index", form.Some(v.Index)},
		{"log_revision", form.Some(v.Revision)},
	}
	if v.Wall != 0 {
		d = append(d, form.Field{"log_time", inUTC(v.Wall)})
	}
	var damage []string
	for _, err := range []error{v.Fault, v.Log} {
		if err != nil {
			damage = append(damage, err.Error())
		}
	}
	if len(damage) > 0 {
		d = append(d, form.Field{"damage", damage})
	}
	if v.Gap != nil {
		d = append(d, form.Field{"gap", v.Gap.Error()})
	}
	return d
}

// inUTC formats a time of a state for programs.
func inUTC(wall int64) string { return time.Unix(0, wall).UTC().Format(time.RFC3339Nano) }
