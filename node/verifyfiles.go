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
	stop   chan struct{} // closed when the member stops
	done   chan struct{} // closed when everything is read
	sleep  func(time.Duration)

	// Of the check's goroutine.
	begun  time.Time     // when the pace let the newest read begin
	orders []func() bool // for damaged files: given at the end, because new snapshots replace files that are not read yet

	mu    sync.Mutex
	found kv.Verified
	err   error     // why it has ended early
	asked time.Time // when a client asked last
}

var (
	errVerifyStopped = errors.New("the verification was stopped")
	errVerifyFull    = errors.New("too many files are damaged")
)

// Verify implements server.Backups. A request without a number begins a verification, or joins the one that is under way.
func (b *backups) Verify(ctx context.Context, run uint64, rate int64) (kv.Verified, *kv.Error) {
	c, refusal := b.checkOf(run, rate)
	if refusal != nil {
		return kv.Verified{}, refusal
	}
	select {
	case <-c.done:
	case <-time.After(limits.VerifyWait):
	case <-ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	found := c.found
	found.Damaged = slices.Clone(found.Damaged)
	if c.err != nil {
		return found, kv.Errorf(kv.Internal, "the files of %s could not be verified: %v", b.member.config.Name, c.err)
	}
	return found, nil
}

// checkOf returns the check with a number, or for 0 the one that is under way or a new one.
func (b *backups) checkOf(run uint64, rate int64) (*fileCheck, *kv.Error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.check
	switch {
	case run != 0 && (c == nil || c.found.Run != run):
		return nil, kv.Errorf(kv.BadRequest, "that verification of %s is over: the member was restarted, or another one has begun", b.member.config.Name)
	case b.closed:
		return nil, kv.Errorf(kv.Unavailable, "the member is shutting down")
	case run == 0 && (c == nil || c.ended()):
		b.checks++
		c = newFileCheck(b.member, b.member.incarnation+b.checks, rate)
		b.check = c
		go c.run()
	}
	c.mu.Lock()
	c.asked = time.Now()
	c.mu.Unlock()
	return c, nil
}

func newFileCheck(m *member, run uint64, rate int64) *fileCheck {
	c := &fileCheck{member: m, rate: rate, stop: make(chan struct{}), done: make(chan struct{}), begun: time.Now(), asked: time.Now(), found: kv.Verified{Run: run}}
	c.sleep = func(d time.Duration) {
		select {
		case <-time.After(d):
		case <-c.stop:
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
	close(c.stop)
	select {
	case <-c.done:
	case <-time.After(limits.BackupStop):
	}
}

func (c *fileCheck) run() {
	defer close(c.done)
	err := c.read()
	c.order()
	c.mu.Lock()
	defer c.mu.Unlock()
	if errors.Is(err, errVerifyFull) {
		err = nil
	}
	c.found.Done, c.err = true, err
	if err == nil && len(c.found.Damaged) == 0 {
		c.endAlarms()
	}
}

// endAlarms ends the alarms about damaged files: what is there now is sound.
func (c *fileCheck) endAlarms() {
	for _, a := range c.member.status.Alarms() {
		if a.Name == kv.CorruptAlarm && (a.Subject == c.member.folder.path("wal") || strings.HasPrefix(a.Subject, c.member.folder.path("snap")+"/")) {
			a.Text = ""
			c.member.status.Alarm(a)
		}
	}
}

// stopped returns the error of a check that goes no further.
func (c *fileCheck) stopped() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.stop:
		return fmt.Errorf("%w: the member is shutting down", errVerifyStopped)
	default:
	}
	if time.Since(c.asked) > limits.VerifyIdle {
		return fmt.Errorf("%w: its command has ended", errVerifyStopped)
	}
	return nil
}

// pace waits before a read of so many bytes: it keeps to the rate, and leaves others at least half of the time of a slow disk.
func (c *fileCheck) pace(bytes int) error {
	took := time.Since(c.begun)
	c.sleep(max(took, time.Duration(bytes)*time.Second/time.Duration(c.rate)-took))
	c.begun = time.Now()
	c.add(0, int64(bytes), 0)
	return c.stopped()
}

func (c *fileCheck) add(files, bytes, total int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.found.Files += files
	c.found.Bytes += bytes
	c.found.Total += total
}

// read reads all files.
func (c *fileCheck) read() error {
	m := c.member
	medium := disk.Medium(m.env.FS, limits.VerifyPieceBytes, c.pace)
	applied, _ := m.status.View().Applied()
	least := min(applied, m.status.Durable().Last) // an applied entry is durable, and is never replaced
	var snapshots []snapshot.Info
	begun := func(bytes int64) (newest uint64, err error) { // after the log was listed: it is released behind the snapshots
		c.add(0, 0, bytes)
		listing, err := snapshot.List(m.env.FS, m.folder.path("snap"))
		snapshots = listing.Published
		for _, info := range snapshots {
			c.add(0, 0, info.Bytes)
			newest = max(newest, info.Index)
		}
		return newest, err
	}
	if err := log.Verify(medium, m.folder.path("wal"), least, begun, c.segment); err != nil {
		return err
	}
	for _, info := range snapshots {
		if err := c.snapshot(medium, info.Path); err != nil {
			return err
		}
	}
	return nil
}

const (
	segmentHelp = "nothing is lost while the member runs: it saves two snapshots, and removes the file once they cover it and a newer " +
		"segment has begun. Check the disk, write something, and run `qkv verify` again before a restart"
	snapshotHelp = "nothing is lost: the member moves the file to quarantine/, and saves another snapshot. Check the disk, and run `qkv verify` again"
)

// segment counts a segment. If it is damaged, new snapshots are saved until the log needs no entry of it; the file is removed then, and not
// reused. A start meanwhile needs the first of these snapshots.
func (c *fileCheck) segment(one log.Checked) error {
	if one.Damage == nil {
		c.add(1, 0, 0)
		return nil
	}
	m := c.member
	err := c.damaged("wal", one.Name, one.Damage, segmentHelp)
	if err != nil {
		return err
	}
	reason := fmt.Sprintf("a segment of the log is damaged, and nothing is lost: this member goes on, and saves snapshots that cover it: look at the disk, and run `qkv verify` again: %s %s", one.Name, placeOf(one.Name, one.Damage))
	m.logger.Error(reason)
	m.status.Alarm(actor.Alarm{Name: kv.CorruptAlarm, Subject: m.folder.path("wal"), Text: reason})
	last := m.status.Durable().Last // a start needs a snapshot of the last entry that may be damaged
	c.orders = append(c.orders,
		func() bool { return m.actors.logWriter.Inbox.Offer(actor.SegmentDamaged{Name: one.Name}) },
		func() bool { return m.actors.applier.Offer(actor.SnapshotWanted{Above: last - 1, Twice: true}) })
	return nil
}

// snapshot reads a snapshot. If it is damaged, the snapshotter reads it again, moves it aside and has another one saved.
func (c *fileCheck) snapshot(medium disk.FS, name string) error {
	err := verifySnapshot(medium, name)
	switch {
	case err == nil:
		c.add(1, 0, 0)
		return nil
	case disk.Gone(c.member.env.FS, name):
		return c.stopped() // a newer one has replaced it
	}
	if err := c.damaged("snap", name, err, snapshotHelp); err != nil {
		return err
	}
	c.orders = append(c.orders, func() bool { return c.member.actors.snapshots.Offer(actor.Suspect{Path: name}) })
	return nil
}

func verifySnapshot(medium disk.FS, name string) error {
	v, err := snapshot.BeginVerify(medium, name)
	if err != nil {
		return err
	}
	defer v.Close()
	for done := false; !done && err == nil; {
		done, err = v.Step(limits.SnapshotStepBytes)
	}
	return err
}

// damaged notes a damaged file, unless the check was stopped, which fails all reads.
func (c *fileCheck) damaged(folder, name string, damage error, help string) error {
	if err := c.stopped(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.found.Files++
	c.found.Damaged = append(c.found.Damaged, kv.DamagedFile{Name: path.Join(folder, path.Base(name)), Reason: placeOf(name, damage), Help: help})
	if len(c.found.Damaged) < limits.VerifyDamaged {
		return nil
	}
	reason := fmt.Sprintf("%d files are damaged, and the rest was not read", limits.VerifyDamaged)
	c.found.Damaged = append(c.found.Damaged, kv.DamagedFile{Name: "other files", Reason: reason, Help: "replace the disk, and the member: docs/emergencies.md, A lost member"})
	return errVerifyFull
}

// placeOf returns the place and the reason of damage, without the file's name.
func placeOf(name string, damage error) string {
	if one, ok := errors.AsType[*log.CorruptError](damage); ok {
		text := fmt.Sprintf("at byte %d: %s", one.Offset, one.Reason)
		if one.Cause != nil {
			text += ": " + one.Cause.Error()
		}
		return text
	}
	_, text, found := strings.Cut(damage.Error(), name+" ")
	if !found {
		text = damage.Error()
	}
	return text
}

// order gives the actors the orders for what was found. It repeats an order until the actor has space for it.
func (c *fileCheck) order() {
	for _, offer := range c.orders {
		for !offer() && c.stopped() == nil {
			c.sleep(backupPoll)
		}
	}
}
