package node

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"qkv/index/kv"
	"qkv/internal/figures"
	"qkv/internal/limits"
	"qkv/log"
	"qkv/net/server"
)

// backupDuty has the backup of --backup made while this member leads. Two members that both believe to lead cannot harm it (package
// snapshot/backup).
type backupDuty struct {
	// Constant.
	member *member
	target BackupTarget

	// Owned by the clock that calls look.
	cancel  context.CancelFunc // of the run; nil: there is none
	ended   chan struct{}      // closed when the goroutine of the newest run has ended; nil: there was none
	alarmed bool

	mu    sync.Mutex
	leads bool
	// by the driver's clock: when the backup last had everything, or when this member began to lead
	complete time.Duration
	entry    uint64        // that it had then
	revision int64         // of the state there
	newest   time.Time     // the time of that state
	problem  string        // the newest failure since then; empty: none
	stuck    string        // why nothing is removed from the backup; empty: it is
	since    time.Duration // when the first of these failures was
	known    bool          // the backup has been complete since this member began to lead
	began    bool          // this process has made the backup before: without it, the folder's disk is not mounted
}

// newBackupDuty returns the duty of a member; nil without --backup.
func newBackupDuty(m *member) *backupDuty {
	if m.config.Backup.Store == nil {
		return nil
	}
	return &backupDuty{member: m, target: m.config.Backup}
}

// asked returns the duty for requests; nil: there is none.
func (d *backupDuty) asked() server.Backups {
	if d == nil {
		return nil
	}
	return d
}

// start starts the clock.
func (d *backupDuty) start() {
	if d != nil {
		d.member.env.Driver.Every(lookInterval, d.look)
	}
}

func (d *backupDuty) now() time.Duration { return d.member.env.Driver.Time().Now }

// look begins a run when this member leads, ends it when another one does, and raises the alarm.
func (d *backupDuty) look() {
	m := d.member
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
		d.complete, d.entry, d.problem, d.stuck, d.known = d.now(), 0, "", "", false
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

// begin starts a run.
func (d *backupDuty) begin() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	d.cancel, d.ended = cancel, ended
	d.member.logger.Info("this member leads, and makes the backup", "to", d.place())
	run := d.newRun(waitFor)
	go func() {
		defer close(ended)
		run.run(ctx)
	}()
}

func (d *backupDuty) newRun(wait func(context.Context, logTold, time.Duration) (logAnswer, bool)) *backupRun {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &backupRun{duty: d, member: d.member, target: d.target, began: d.began, wait: wait, log: log.NewReader(d.member.env.FS)}
}

// place is where the backup is.
func (d *backupDuty) place() string { return d.target.Store.Path("") }

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

// completed notes that the backup has everything up to an entry, all that this member had applied some time ago: the disk may have taken that
// long.
func (d *backupDuty) completed(ago time.Duration, entry uint64, revision int64, newest time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.problem, d.began, d.known, d.entry, d.revision, d.newest = "", true, true, entry, revision, newest
	d.complete = max(d.complete, d.now()-ago)
}

// BackUpNow implements server.Backups: it waits until the backup has an entry, or with 0 all that this member has applied. The linearizable read
// before it has seen to it that these are all acknowledged writes.
func (d *backupDuty) BackUpNow(ctx context.Context, entry uint64) (kv.BackedUp, *kv.Error) {
	applied, _ := d.member.status.View().Applied()
	got := kv.BackedUp{Place: d.place(), Entry: cmp.Or(entry, applied)}
	for {
		d.mu.Lock()
		leads := d.leads
		got.Done, got.Revision, got.Wall, got.Problem = d.entry >= got.Entry, d.revision, d.newest.UnixNano(), d.problem
		d.mu.Unlock()
		if !leads {
			return got, kv.Errorf(kv.Unavailable, "%s does not lead, and the leader makes the backup: ask that member", d.member.config.Name)
		}
		if got.Done || ctx.Err() != nil {
			return got, nil
		}
		_, _ = waitFor(ctx, nil, backupPoll)
	}
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
		d.member.logger.Warn("the backup's store does not answer: its last write may be lost, and the next backup makes up for it", "to", d.place())
	}
}
