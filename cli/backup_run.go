//go:build linux

package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"filippo.io/age"
	"github.com/urfave/cli/v2"

	"qkv/log/disk"
	"qkv/snapshot/backup"
)

func backupRunCommand() *cli.Command {
	return &cli.Command{
		Name: "run", Usage: "back a running cluster up all the time",
		Description: "Makes a base, and then copies every change as soon as it is committed, usually within a second. Any moment can be restored " +
			"from it. It runs until a signal, and then exits with 0. If a member or the folder fails, it says so, and goes on with " +
			"another member, or when the folder is back. A folder that was there and is gone is not created again: its disk may not be " +
			"mounted. One process writes a folder at a time; another one waits for its lock.",
		Flags: clientFlags(
			&cli.StringFlag{Name: "to", EnvVars: []string{"QKV_BACKUP_TO"}, Usage: "`DIR` of the backup, on another disk than the members' (required)"},
			&cli.DurationFlag{Name: "every", EnvVars: []string{"QKV_BACKUP_EVERY"}, Value: time.Hour, Usage: "`TIME` between bases; a restore applies the changes since the base before it", Action: positive("every")},
			&cli.DurationFlag{Name: "keep", EnvVars: []string{"QKV_BACKUP_KEEP"}, Value: 7 * 24 * time.Hour, Usage: "`TIME` for which every moment can be restored; older data is removed with each new base", Action: positive("keep")},
			&cli.StringFlag{Name: "metrics-file", EnvVars: []string{"QKV_BACKUP_METRICS_FILE"}, Usage: "`FILE` for the textfile collector of Prometheus' node exporter, with the time of the last success"},
			recipientFlag("QKV_BACKUP_RECIPIENT"),
		),
		Action: backupRun,
	}
}

// backupRunner follows a cluster. The member and the folder change after failures; the run goes on.
type backupRunner struct {
	target  target
	dir     string
	to      []age.Recipient
	every   time.Duration
	keep    time.Duration
	metrics string
	log     io.Writer

	cluster uint64 // 0 before the first connection
	known   []string
	turn    int
	lacking int       // how many members in a row had no log behind the end of the backup
	based   time.Time // when the newest base was made
	failing bool

	complaint  string // the newest reported failure, at complained
	complained time.Time
}

const (
	// backupPause is the first pause after a failure, and backupPauseMost the longest.
	backupPause     = 500 * time.Millisecond
	backupPauseMost = 5 * time.Second
	// backupComplaint is the time between two reports of the same failure.
	backupComplaint = time.Minute
	// backupAnswer bounds the wait for a part of the log.
	backupAnswer = 5 * time.Second
)

func backupRun(c *cli.Context) error {
	if err := arguments(c, 0, 0); err != nil {
		return err
	}
	if c.String("to") == "" {
		return usagef("give the folder of the backup: --to DIR")
	}
	to, err := recipients(c)
	if err != nil {
		return err
	}
	t, err := targetOf(c)
	if err != nil {
		return err
	}
	r := &backupRunner{
		target: t, dir: c.String("to"), to: to, every: c.Duration("every"), keep: c.Duration("keep"), metrics: c.String("metrics-file"),
		log: c.App.ErrWriter, known: t.endpoints,
	}
	ctx, forget := withSignals(c.Context, true)
	defer forget()
	return r.run(ctx)
}

func (r *backupRunner) say(format string, arguments ...any) {
	fmt.Fprintf(r.log, "%s "+format+"\n", append([]any{time.Now().Format(time.RFC3339)}, arguments...)...)
}

// run goes on until the context ends. Only a mistake in the command ends it earlier.
func (r *backupRunner) run(ctx context.Context) error {
	for pause := backupPause; ; {
		begun := time.Now()
		err := r.session(ctx)
		if ctx.Err() != nil {
			r.say("backup stopped: %v", context.Cause(ctx))
			return nil
		}
		if errors.Is(err, backup.ErrForeign) || errors.Is(err, backup.ErrNone) || errors.Is(err, backup.ErrFormat) || exitCode(err) == exitUsage {
			return backupError(err)
		}
		if time.Since(begun) > backupPauseMost {
			pause = backupPause
		}
		r.failing = true
		r.turn++
		r.complain(err)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, backupPauseMost)
	}
}

// complain reports a failure. The same one is reported again after a while only: a process that waits for the folder's lock is no fault.
func (r *backupRunner) complain(err error) {
	text := err.Error()
	if text != r.complaint || time.Since(r.complained) >= backupComplaint {
		r.say("backup failed, and is tried again: %s", text)
		r.complaint, r.complained = text, time.Now()
	}
}

// session follows one member until something fails.
func (r *backupRunner) session(ctx context.Context) error {
	endpoint := r.known[r.turn%len(r.known)]
	opening, cancel := context.WithTimeout(ctx, r.target.timeout)
	m, err := r.target.openMember(opening, endpoint)
	cancel()
	if err != nil {
		return err
	}
	defer m.Close()
	if r.cluster != 0 && m.cluster.ID != r.cluster {
		return fmt.Errorf("%s belongs to the cluster %s, and the backup to %s", endpoint, hex(m.cluster.ID), hex(r.cluster))
	}
	open := backup.OpenFolder
	if r.cluster != 0 {
		open = backup.ContinueFolder
	}
	w, err := open(disk.OS(), r.dir, m.cluster, r.to...)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is gone: mount its disk again; it is not created anew: %w", r.dir, err)
	}
	if err != nil {
		return err
	}
	defer w.Close()
	r.cluster = m.cluster.ID
	for _, other := range m.others() {
		if !r.target.given && !slices.Contains(r.known, other) {
			r.known = append(r.known, other)
		}
	}
	if bases := w.Bases(); r.based.IsZero() && len(bases) > 0 {
		r.based = time.Unix(0, bases[len(bases)-1].Wall)
	}
	return r.follow(ctx, m, w)
}

// there reports whether the folder still holds the backup.
func (r *backupRunner) there() bool {
	_, err := os.Stat(filepath.Join(r.dir, "backup"))
	return err == nil
}

// follow copies bases and entries. A new base of the end of the backup is made after every interval, if anything was written since.
func (r *backupRunner) follow(ctx context.Context, m *backupMember, w *backup.Writer) error {
	after := endOf(w)
	if len(w.Bases()) == 0 {
		if err := r.base(ctx, m, w, 0); err != nil {
			return err
		}
		after = endOf(w)
	}
	for {
		if newest := w.Bases()[len(w.Bases())-1]; time.Since(r.based) >= r.every && after > newest.Index {
			if err := r.base(ctx, m, w, after); err != nil {
				return err
			}
			after = max(after, endOf(w))
		}
		asked, cancel := context.WithTimeout(ctx, backupAnswer)
		part, err := m.BackupLog(asked, after)
		cancel()
		if err == nil && !r.there() {
			err = fmt.Errorf("%s is gone", r.dir)
		}
		if err == nil {
			err = w.Append(part.Entries)
		}
		switch {
		case needsBase(err) && r.lacking < len(r.known):
			r.lacking++ // another member's log may go further back
			return fmt.Errorf("%s: %w", m.status.Name, err)
		case needsBase(err):
			r.say("%s: a new base is needed: %v", m.status.Name, err)
			if err := r.base(ctx, m, w, after+1); err != nil {
				return err
			}
			after = max(after, w.Bases()[len(w.Bases())-1].Index)
		case err != nil:
			return fmt.Errorf("%s: %w", cmp.Or(m.status.Name, m.endpoint), err)
		}
		if n := len(part.Entries); err == nil && n > 0 {
			r.lacking = 0
			after = part.Entries[n-1].Index
		}
		if err == nil && after >= part.Applied {
			r.upToDate(m, after)
		}
	}
}

// base makes a base of entry least or later, and removes what is older than allowed.
func (r *backupRunner) base(ctx context.Context, m *backupMember, w *backup.Writer, least uint64) error {
	begun := time.Now()
	base, err := copyBase(ctx, m, w, least, r.changesBeside(ctx, m, w))
	if err != nil {
		return fmt.Errorf("%s: %w", m.status.Name, err)
	}
	r.based = time.Now()
	r.say("base of entry %d, revision %d, %s, from %s in %v", base.Index, base.Revision, bytesText(base.Files[0].Bytes), m.status.Name, time.Since(begun).Round(time.Millisecond))
	removed, err := w.Retain(time.Now(), r.keep)
	if len(removed) > 0 {
		r.say("removed %d files that are not needed for the last %v", len(removed), r.keep)
	}
	return err
}

// changesBeside returns a function that appends the changes of the time in which a base is made. It leaves failures of the member to follow.
func (r *backupRunner) changesBeside(ctx context.Context, m *backupMember, w *backup.Writer) func(done, total int64) error {
	last := time.Now()
	return func(int64, int64) error {
		for more := time.Since(last) >= baseBeside && len(w.Bases()) > 0; more; last = time.Now() {
			asked, cancel := context.WithTimeout(ctx, baseBeside/2) // the member waits for an entry for half of it
			part, err := m.BackupLog(asked, endOf(w))
			cancel()
			if !r.there() {
				return fmt.Errorf("%s is gone", r.dir)
			}
			n := len(part.Entries)
			more = err == nil && n > 0 && part.Entries[n-1].Index < part.Applied
			if failed := w.Append(part.Entries); needsBase(failed) {
				return nil
			} else if failed != nil {
				return failed
			}
		}
		return nil
	}
}

// upToDate notes that the backup has everything that the member has.
func (r *backupRunner) upToDate(m *backupMember, entry uint64) {
	if r.failing {
		r.say("backup goes on with %s, and has everything up to entry %d", m.status.Name, entry)
		r.failing, r.complaint = false, ""
	}
	if r.metrics == "" {
		return
	}
	text := fmt.Sprintf("# HELP qkv_backup_last_success_timestamp_seconds When the backup last had everything that its member had applied.\n"+
		"# TYPE qkv_backup_last_success_timestamp_seconds gauge\nqkv_backup_last_success_timestamp_seconds %d\n", time.Now().Unix())
	temporary := r.metrics + ".tmp"
	if err := errors.Join(os.WriteFile(temporary, []byte(text), 0o644), os.Rename(temporary, r.metrics)); err != nil {
		r.say("the metrics file cannot be written: %v", err)
	}
}
