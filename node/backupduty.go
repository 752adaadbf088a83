package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"qkv/index/kv"
	"qkv/internal/figures"
	"qkv/internal/limits"
	"qkv/node/backuprun"
	"qkv/snapshot/backup"
	"qkv/snapshot/backup/store"
)

// backupDuty makes the backup of --backup while this member leads. Two members that both believe to lead can only repeat each other (package
// snapshot/backup). A run is a goroutine beside the actors, and no actor waits for it.
type backupDuty struct {
	// Constant.
	source backupSource
	target backuprun.Target

	// Owned by the clock that calls look.
	cancel  context.CancelFunc // of the run; nil: there is none
	ended   chan struct{}      // closed when the goroutine of the newest run has ended; nil: there was none
	alarmed bool

	mu    sync.Mutex
	leads bool
	// by the driver's clock: when the backup last had everything, or when this member began to lead
	complete time.Duration
	problem  string        // the newest failure since then; empty: none
	stuck    string        // why nothing is removed from the backup; empty: it is
	since    time.Duration // when the first of these failures was
	known    bool          // the backup has been complete since this member began to lead
	began    bool          // this process has made the backup before: without it, the folder's disk is not mounted
}

// newBackupDuty returns the duty of a member; nil without --backup.
func newBackupDuty(b *backups) *backupDuty {
	target := b.member.config.Backup
	if target.Store == nil {
		return nil
	}
	return &backupDuty{source: backupSource{b}, target: target}
}

// start starts the clock.
func (d *backupDuty) start() {
	if d != nil {
		d.source.member.env.Driver.Every(lookInterval, d.look)
	}
}

func (d *backupDuty) now() time.Duration { return d.source.member.env.Driver.Time().Now }

// look begins a run when this member leads, ends it when another one does, and raises the alarm.
func (d *backupDuty) look() {
	m := d.source.member
	leads := m.status.Raft().Role == "leader"
	d.turn(leads)
	switch {
	case leads && d.cancel == nil && d.idle():
		d.begin()
	case !leads && d.cancel != nil:
		d.cancel()
		d.cancel = nil
	}
	text := d.text()
	m.status.Alarm(kv.Alarm{Name: kv.BackupAlarm, Text: text})
	if alarmed := text != ""; alarmed != d.alarmed {
		if d.alarmed = alarmed; alarmed {
			m.logger.Warn("BACKUP: " + text)
		} else {
			m.logger.Info("the alarm BACKUP has ended")
		}
	}
}

// turn notes whether this member leads.
func (d *backupDuty) turn(leads bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if leads && !d.leads {
		d.complete, d.problem, d.stuck, d.known = d.now(), "", "", false
	}
	d.leads = leads
}

// idle reports whether no run is at work. A run that has to end may still wait for its folder.
func (d *backupDuty) idle() bool {
	if d.ended == nil {
		return true
	}
	select {
	case <-d.ended:
		return true
	default:
		return false
	}
}

// backupRefused is the pause of a member after a refusal of the folder, which ends by an operator's work.
const backupRefused = 5 * time.Second

// begin starts a run.
func (d *backupDuty) begin() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	d.cancel, d.ended = cancel, ended
	d.source.member.logger.Info("this member leads, and makes the backup", "to", d.place())
	go func() {
		defer close(ended)
		for refused := ""; ctx.Err() == nil; {
			config := d.config()
			if err := backuprun.Run(ctx, config); err != nil {
				if d.note(err.Error()); err.Error() != refused { // the alarm comes later, and again and again
					refused = err.Error()
					config.Say(backuprun.Failed + ", and is tried again: " + refused)
				}
			}
			select {
			case <-ctx.Done():
			case <-time.After(backupRefused):
			}
		}
	}()
}

func (d *backupDuty) config() backuprun.Config {
	d.mu.Lock()
	defer d.mu.Unlock()
	return backuprun.Config{
		Target: d.target, Continue: d.began,
		Open: func(context.Context, int) (backuprun.Source, int, error) { return d.source, 1, d.checkFolder() },
		Say: func(text string) {
			level := slog.LevelInfo
			if strings.HasPrefix(text, backuprun.Failed) {
				level = slog.LevelWarn
			}
			d.source.member.logger.Log(context.Background(), level, "backup: "+text)
		},
		Complete: d.completed,
		Failed:   func(err error) { d.note(err.Error()) },
		Removed:  d.removed,
	}
}

// place is where the backup is.
func (d *backupDuty) place() string { return d.target.Store.Path("") }

// checkFolder refuses a folder that does not exist, since its disk may not be mounted.
func (d *backupDuty) checkFolder() error {
	if _, is := d.target.Store.(*store.Folder); !is {
		return nil
	}
	_, err := os.Stat(d.place())
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the folder %s does not exist: mount its disk, or make the folder", d.place())
	}
	return err
}

// note takes the newest failure.
func (d *backupDuty) note(problem string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.problem = problem
}

// removed notes whether objects that no kept moment needs were removed.
func (d *backupDuty) removed(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stuck == "" {
		d.since = d.now()
	}
	if d.stuck = ""; err != nil {
		d.stuck = err.Error()
	}
}

// completed notes that the backup has everything that this member had applied some time ago: the disk may have taken that long.
func (d *backupDuty) completed(ago time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.problem, d.began, d.known = "", true, true
	d.complete = max(d.complete, d.now()-ago)
}

// age returns how long the backup has not been complete, and the newest failure since then. It is zero for a member that does not lead.
func (d *backupDuty) age() (age time.Duration, problem string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.leads {
		return 0, ""
	}
	return max(0, d.now()-d.complete), d.problem
}

// text returns the alarm; empty: there is none.
func (d *backupDuty) text() string {
	age, problem := d.age()
	switch {
	case problem != "" && age >= limits.BackupFailing:
		return fmt.Sprintf("the backup in %s has not been complete for %v: %s", d.place(), age.Round(time.Second), problem)
	case age >= limits.BackupOld:
		return fmt.Sprintf("the backup in %s has not been complete for %v: its store does not answer, or is slower than the writes; look at that disk or server",
			d.place(), age.Round(time.Second))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.leads && d.stuck != "" && d.now()-d.since >= limits.BackupStuck {
		return fmt.Sprintf("nothing has been removed from the backup in %s for %v, and it grows: %s", d.place(), (d.now() - d.since).Round(time.Second), d.stuck)
	}
	return ""
}

// report adds the backup to a status. A new leader does not know yet whether its backup is complete: the age is 0 until the backup is, or
// until it would be an alarm.
func (d *backupDuty) report(s *kv.Status) {
	if d == nil {
		return
	}
	s.Backup = d.place()
	age, _ := d.age()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.leads && (d.known || age >= limits.BackupFailing) {
		figures.Set(&s.Values, figures.BackupAge, max(age, time.Microsecond))
	}
}

// stop ends the run. It waits for the folder's disk for a limited time only: a write that the disk does not finish ends with the process.
func (d *backupDuty) stop() {
	if d == nil || d.cancel == nil {
		return
	}
	d.cancel()
	select {
	case <-d.ended:
	case <-time.After(limits.BackupStop):
		d.source.member.logger.Warn("the backup's store does not answer: its last write may be lost, and the next backup makes up for it", "to", d.place())
	}
}

// backupSource is this member as a source of its own backup.
type backupSource struct{ *backups }

// Name implements backuprun.Source.
func (s backupSource) Name() string { return s.member.config.Name }

// Cluster implements backuprun.Source.
func (s backupSource) Cluster() backup.Cluster {
	return backuprun.ClusterOf(s.member.folder.Cluster, s.member.Status().Members, s.member.config.Name, s.member.config.Version)
}

// BackupBase implements backuprun.Source.
func (s backupSource) BackupBase(ctx context.Context, least uint64) (kv.BackupBase, error) {
	base, refusal := s.Base(ctx, least)
	return base, errorOf(refusal)
}

// BackupPiece implements backuprun.Source.
func (s backupSource) BackupPiece(_ context.Context, name string, offset int64) ([]byte, error) {
	piece, refusal := s.Piece(name, offset)
	return piece, errorOf(refusal)
}

// BackupLog implements backuprun.Source.
func (s backupSource) BackupLog(ctx context.Context, after uint64) (kv.LogPart, error) {
	ctx, cancel := context.WithTimeout(ctx, limits.BackupLogWait)
	defer cancel()
	part, refusal := s.Log(ctx, after)
	return part, errorOf(refusal)
}

// BackupHold implements backuprun.Source.
func (s backupSource) BackupHold(ctx context.Context, hold kv.BackupHold) (kv.BackupHold, error) {
	hold, refusal := s.Hold(ctx, hold)
	return hold, errorOf(refusal)
}

// Close implements backuprun.Source: the member goes on.
func (s backupSource) Close() error { return nil }

// errorOf returns a refusal as an error: nil if there is none.
func errorOf(refusal *kv.Error) error {
	if refusal == nil {
		return nil
	}
	return refusal
}
