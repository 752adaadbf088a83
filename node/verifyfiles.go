package node

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"qkv/actor"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/log"
	"qkv/log/disk"
	"qkv/snapshot"
)

// fileCheck reads the member's snapshots and log from the medium, and has the damage repaired that it finds. As backups do, it works beside
// the actors, in a goroutine of its own: no save, no transfer and no sync of the log waits for it. The actors get orders only.
type fileCheck struct {
	// Constant.
	member *member
	rate   int64
	ctx    context.Context // ends with the member, and when no client asks any more
	cancel context.CancelCauseFunc
	idle   *time.Timer   // cancels ctx
	done   chan struct{} // closed at the end
	sleep  func(time.Duration)

	// Of the check's goroutine.
	begun  time.Time     // when the pace let the newest read begin
	orders []func() bool // for damaged files: given at the end, because new snapshots replace files that are not read yet

	mu    sync.Mutex
	found kv.Verified
	err   error // why it has ended early
}

var (
	errVerifyUnasked = errors.New("the verification was stopped: its command has ended")
	errVerifyStop    = errors.New("the verification was stopped: the member is shutting down")
)

// Verify implements server.Backups. A request without a number begins a verification, or joins the one that is under way.
func (b *backups) Verify(ctx context.Context, run uint64, rate int64) (kv.Verified, *kv.Error) {
	c, refusal := b.checkOf(run, rate)
	if refusal != nil {
		return kv.Verified{}, refusal
	}
	c.idle.Reset(limits.VerifyIdle)
	select {
	case <-c.done:
	case <-time.After(limits.VerifyWait):
	case <-ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return kv.Verified{}, kv.Errorf(kv.Internal, "the files of %s could not be verified: %v", b.member.config.Name, c.err)
	}
	found := c.found
	found.Damaged = slices.Clone(found.Damaged)
	return found, nil
}

// checkOf returns the check with a number, or for 0 the one that is under way or a new one.
func (b *backups) checkOf(run uint64, rate int64) (*fileCheck, *kv.Error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch c := b.check; {
	case b.closed:
		return nil, kv.Errorf(kv.Unavailable, "the member is shutting down")
	case c != nil && (c.found.Run == run || run == 0 && !c.ended()):
	case run != 0:
		return nil, kv.Errorf(kv.BadRequest, "that verification of %s is over: the member was restarted, or another one has begun", b.member.config.Name)
	default:
		b.checks++
		b.check = newFileCheck(b.member, b.member.incarnation+b.checks, rate)
		go b.check.run()
	}
	return b.check, nil
}

func newFileCheck(m *member, run uint64, rate int64) *fileCheck {
	c := &fileCheck{member: m, rate: rate, done: make(chan struct{}), begun: time.Now(), found: kv.Verified{Run: run}}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	c.idle = time.AfterFunc(limits.VerifyIdle, func() { c.cancel(errVerifyUnasked) })
	c.sleep = func(d time.Duration) {
		select {
		case <-time.After(d):
		case <-c.ctx.Done():
		}
	}
	return c
}

func (c *fileCheck) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// close ends the check. A disk that does not answer delays it only for a while.
func (c *fileCheck) close() {
	c.cancel(errVerifyStop)
	select {
	case <-c.done:
	case <-time.After(limits.BackupStop):
	}
}

func (c *fileCheck) run() {
	defer close(c.done)
	err := c.read()
	for _, offer := range c.orders {
		for !offer() && c.ctx.Err() == nil { // until the actor has space for it
			c.sleep(backupPoll)
		}
	}
	c.idle.Stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.found.Done, c.err = true, err
	if err == nil && len(c.found.Damaged) == 0 {
		c.endAlarms()
	}
}

// endAlarms ends the alarms about damaged files: all files are sound now.
func (c *fileCheck) endAlarms() {
	for _, a := range c.member.status.Alarms() {
		if a.Name == kv.CorruptAlarm && (a.Subject == c.member.folder.path("wal") || strings.HasPrefix(a.Subject, c.member.folder.path("snap")+"/")) {
			a.Text = ""
			c.member.status.Alarm(a)
		}
	}
}

// pace waits before a read of so many bytes: it keeps to the rate, and leaves others at least half of the time of a slow disk.
func (c *fileCheck) pace(bytes int) error {
	took := time.Since(c.begun)
	c.sleep(max(took, time.Duration(bytes)*time.Second/time.Duration(c.rate)-took))
	c.begun = time.Now()
	c.count(0, int64(bytes))
	return context.Cause(c.ctx)
}

func (c *fileCheck) count(files, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.found.Files += files
	c.found.Bytes += bytes
}

// read reads all files.
func (c *fileCheck) read() error {
	m := c.member
	medium := disk.Medium(m.env.FS, limits.VerifyPieceBytes, c.pace)
	applied, _ := m.status.View().Applied()
	least := min(applied, m.status.Durable().Last) // an applied entry is durable, and is never replaced
	var snapshots []snapshot.Info
	listed := func() (newest uint64, err error) {
		listing, err := snapshot.List(m.env.FS, m.folder.path("snap"))
		if snapshots = listing.Published; len(snapshots) > 0 {
			newest = snapshots[0].Index
		}
		return newest, err
	}
	if err := log.Verify(medium, m.folder.path("wal"), least, listed, c.segment); err != nil {
		return err
	}
	var parts []snapshot.Part // both snapshots usually list the same
	seen := map[snapshot.Part]bool{}
	for _, info := range snapshots {
		for _, part := range info.Parts {
			if !seen[part] {
				parts, seen[part] = append(parts, part), true
			}
		}
		if err := c.snapshot(info.Path, snapshotHelp, snapshot.VerifyFile(medium, info.Path)); err != nil {
			return err
		}
	}
	for _, part := range parts {
		name := m.folder.path("snap/" + part.Name())
		if err := c.snapshot(name, partHelp, snapshot.VerifyPart(medium, name, part)); err != nil {
			return err
		}
	}
	return nil
}

const (
	segmentHelp = "nothing is lost while the member runs: it saves two snapshots, and removes the file once they cover it and a newer " +
		"segment has begun. Check the disk, write something, and run `qkv verify` again before a restart"
	partHelp     = "nothing is lost if another member has that file: this one fetches it. Otherwise it saves a snapshot with all keys. Check the disk, and run `qkv verify` again"
	snapshotHelp = "nothing is lost: the member moves the file to quarantine/, and saves another snapshot. Check the disk, and run `qkv verify` again"
)

// segment counts a segment. If it is damaged, new snapshots are saved until the log needs no entry of it. Then the file is removed instead
// of reused. A start before that needs the first of these snapshots.
func (c *fileCheck) segment(name string, damage error) error {
	if err := context.Cause(c.ctx); err != nil || damage == nil { // an end fails all reads
		c.count(1, 0)
		return err
	}
	m, reason := c.member, damage.Error()
	if one, ok := errors.AsType[*log.CorruptError](damage); ok {
		reason = one.Place()
	}
	c.damaged("wal", name, reason, segmentHelp)
	text := fmt.Sprintf("a segment of the log is damaged, and nothing is lost: this member goes on, and saves snapshots that cover it: look at the disk, and run `qkv verify` again: %s %s", name, reason)
	m.logger.Error(text)
	m.status.Alarm(kv.Alarm{Name: kv.CorruptAlarm, Subject: m.folder.path("wal"), Text: text})
	last := m.status.Durable().Last // a start needs a snapshot of the last entry that may be damaged
	c.orders = append(c.orders,
		func() bool { return m.actors.logWriter.Inbox.Offer(actor.SegmentDamaged{Name: name}) },
		func() bool { return m.actors.applier.Offer(actor.SnapshotWanted{Above: last - 1, Twice: true}) })
	return nil
}

// snapshot counts a snapshot, or a part. If it is damaged, the snapshotter reads it again and replaces it.
func (c *fileCheck) snapshot(name, help string, damage error) error {
	if ended := context.Cause(c.ctx); ended != nil || damage == nil {
		c.count(1, 0)
		return ended
	}
	if disk.Gone(c.member.env.FS, name) && !c.listed(name) {
		return nil // newer ones have replaced it
	}
	c.damaged("snap", name, damage.Error(), help)
	c.orders = append(c.orders, func() bool { return c.member.actors.snapshots.Offer(actor.Suspect{Path: name}) })
	return nil
}

// listed says whether a snapshot lists a part now.
func (c *fileCheck) listed(name string) bool {
	listing, _ := snapshot.List(c.member.env.FS, c.member.folder.path("snap"))
	return slices.ContainsFunc(listing.Published, func(info snapshot.Info) bool {
		return slices.ContainsFunc(info.Parts, func(p snapshot.Part) bool { return p.Name() == path.Base(name) })
	})
}

// damaged notes a damaged file.
func (c *fileCheck) damaged(folder, name, reason, help string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.found.Files++
	if len(c.found.Damaged) < limits.VerifyDamaged {
		c.found.Damaged = append(c.found.Damaged, kv.DamagedFile{Name: path.Join(folder, path.Base(name)), Reason: reason, Help: help})
	}
}
