package node

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"qkv/actor"
	"qkv/index/kv"
	"qkv/internal/codec"
	"qkv/internal/damage"
	"qkv/internal/figures"
	"qkv/internal/limits"
	"qkv/log"
	"qkv/log/disk"
	"qkv/snapshot"
)

// fileCheck reads the member's snapshots and log from the medium once, and has the damage repaired that it finds. It works
// beside the actors, in a goroutine of its own: no save, no transfer and no sync of the log waits for it. The actors get orders only.
type fileCheck struct {
	member  *member
	rate    int64 // bytes a second
	stopped func() error
	sleep   func(time.Duration)

	begun time.Time // when the pace let the newest read begin
	// for damaged files: given at the end, because new snapshots replace files that are not read yet
	orders []func() bool
	found  filesRead
	away   error // why the parts in the backup cannot be read now, of a branch; nil: they can
}

var errStopped = errors.New("the member stops, or reads all files anew")

// filesRead is the result of a read of all files.
type filesRead struct {
	Wall    int64         `msgpack:"t"` // when it ended, in nanoseconds since 1970; 0: there was none
	Files   int64         `msgpack:"f"` // snapshots and segments of the log
	Bytes   int64         `msgpack:"b"`
	Failed  string        `msgpack:"-"` // why not all files could be read
	Damaged []damagedFile `msgpack:"-"`
}

type damagedFile struct {
	name   string // in the data folder
	reason string // the place in the file, and what is wrong there
}

// scrubbed is the content of the small file scrub: the week outlives a restart.
type scrubbed struct {
	Begun int64     `msgpack:"b"` // when the newest read of all files began, in nanoseconds since 1970
	Ended bool      `msgpack:"e"` // it found no damage
	Sound filesRead `msgpack:"s"` // the newest one without damage
}

const (
	// scrubEvery is the time between the beginnings of two reads of all files, and scrubRate bounds the bytes a second: 2.4 TB take as
	// long. A read that has not ended soundly is repeated scrubAgain after its beginning. None begins within scrubFirst after a start, unless
	// CORRUPT is raised: then all files are read at once, and again scrubCorrupt after each end.
	scrubEvery   = 7 * 24 * time.Hour
	scrubAgain   = 24 * time.Hour
	scrubFirst   = time.Hour
	scrubRate    = 4 << 20
	scrubCorrupt = 10 * time.Minute
	// verifyRate bounds the bytes a second of a read because of CORRUPT. It is that of a backup's base, for the same reason.
	verifyRate = limits.BackupBaseRate
	// verifyPieceBytes is the size of one read: the log's sync may wait behind it, as limits.SnapshotPieceBytes says.
	verifyPieceBytes = limits.SnapshotPieceBytes
	// verifyDamaged bounds the damaged files of one read. With so many the disk is broken, and more names say nothing new.
	verifyDamaged = 64
)

// scrubDuty has all files of a member read now and then.
type scrubDuty struct {
	member *member
	ctx    context.Context // ends when the member stops
	cancel context.CancelFunc

	corrupt chan struct{} // the alarm CORRUPT stands
	stood   bool          // it stood at the last look
	ended   chan struct{} // closed when scrub ends; nil: it was not started
	kept    scrubbed      // of the goroutine of scrub, as is raised
	raised  []kv.Alarm    // at the end of the newest read

	mu      sync.Mutex
	again   time.Time // when all files are read again if CORRUPT stands then
	found   filesRead
	allRead int64 // when the newest complete read ended, in nanoseconds since 1970; 0: there was none
}

func newScrubDuty(m *member) *scrubDuty {
	b := &scrubDuty{member: m, corrupt: make(chan struct{}, 1)}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	return b
}

// start begins to scrub the member's files. Without a readable file scrub the week begins anew.
func (b *scrubDuty) start() {
	if raw, err := b.member.folder.read("scrub"); err == nil {
		_ = codec.ReadFile(raw, &b.kept)
	} else if errors.Is(err, damage.ErrDamaged) { // keep makes it anew; it never writes over a damaged file
		err = b.member.env.FS.Remove(b.member.folder.path("scrub"))
		b.member.logger.Warn("the file with the time of the last scrub was damaged, and is removed; nothing is lost, but look at the disk", "error", err)
	}
	b.found, b.allRead = b.kept.Sound, b.kept.Sound.Wall
	b.ended = make(chan struct{})
	go b.scrub()
}

// close ends the scrub. A disk that does not answer delays it only for a while.
func (b *scrubDuty) close() {
	b.cancel()
	if b.ended != nil {
		select {
		case <-b.ended:
		case <-time.After(limits.BackupStop):
		}
	}
}

// scrub reads all files when that is due, and while CORRUPT stands, until the member ends.
func (b *scrubDuty) scrub() {
	defer close(b.ended)
	for first := scrubFirst; ; first = 0 {
		select {
		case <-b.ctx.Done():
			return
		case <-time.After(max(first, b.kept.due())):
			b.readAll(scrubRate)
		case <-b.corrupt:
			b.readAll(verifyRate)
		}
	}
}

// due returns the time until the next scrub. One that seems to begin in the future was noted by a clock that was ahead: the next is due now.
func (s *scrubbed) due() time.Duration {
	every, since := scrubEvery, time.Since(time.Unix(0, s.Begun))
	if !s.Ended {
		every = scrubAgain
	}
	if since < 0 {
		return 0
	}
	return every - since
}

// look has all files read when CORRUPT is raised about one of them, or when a read has failed, and again while that lasts.
func (b *scrubDuty) look() {
	b.mu.Lock()
	failed, due := b.found.Failed != "", time.Until(b.again) <= 0
	b.mu.Unlock()
	stands := failed || len(b.alarms()) > 0
	if stands && (due || !b.stood) {
		select {
		case b.corrupt <- struct{}{}:
		default:
		}
	}
	b.stood = stands
}

// rest sets when the next read because of CORRUPT may begin.
func (b *scrubDuty) rest(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.again = time.Now().Add(d)
}

// alarms returns the alarms CORRUPT about files.
func (b *scrubDuty) alarms() []kv.Alarm {
	wal, snap := b.member.folder.path("wal"), b.member.folder.path("snap")+"/"
	return slices.DeleteFunc(b.member.status.Alarms(), func(a kv.Alarm) bool {
		return a.Name != kv.CorruptAlarm || a.Subject != wal && !strings.HasPrefix(a.Subject, snap)
	})
}

// readAll reads all files, and keeps the result. CORRUPT ends a scrub, which then leaves no result. If all files are sound, the alarms end
// that stood at the end of the read before: an operator sees each of them for a while.
func (b *scrubDuty) readAll(rate int64) {
	b.rest(math.MaxInt64)
	defer b.rest(scrubCorrupt)
	c := &fileCheck{member: b.member, rate: rate, begun: time.Now(), sleep: time.Sleep, stopped: func() error {
		if b.ctx.Err() != nil || rate < verifyRate && len(b.corrupt) > 0 {
			return errStopped
		}
		return nil
	}}
	b.kept.Begun, b.kept.Ended = c.begun.UnixNano(), false
	b.keep()
	err := c.read()
	for _, offer := range c.orders {
		for !offer() && b.ctx.Err() == nil { // until the actor has space for it
			time.Sleep(backupPoll)
		}
	}
	if errors.Is(err, errStopped) {
		return
	}
	c.found.Wall = time.Now().UnixNano()
	if err != nil {
		c.found.Failed = err.Error()
		text := "not all files could be read to find damage, and are read again: look at the disk"
		if errors.Is(err, c.away) {
			text = "the parts in the backup could not be read to find damage, and are read again: make its place available"
		}
		b.member.logger.Error(text, "because", err)
	} else if len(c.found.Damaged) == 0 {
		for _, a := range b.raised {
			a.Text = ""
			b.member.status.Alarm(a)
		}
		b.kept.Sound, b.kept.Ended = c.found, true
		b.keep()
	}
	b.raised = b.alarms()
	b.member.logger.Info("the files of the log and of snapshots were read", "files", c.found.Files, "bytes", c.found.Bytes, "damaged", len(c.found.Damaged))
	b.mu.Lock()
	if err == nil {
		b.allRead = c.found.Wall
	}
	b.found = c.found
	b.mu.Unlock()
}

func (b *scrubDuty) keep() {
	if err := b.member.folder.write("scrub", codec.Append(nil, &b.kept)); err != nil {
		b.member.logger.Warn("when all files were last read cannot be saved: a restart may have them read again", "error", err)
	}
}

// report adds the newest complete read of all files to a status.
func (b *scrubDuty) report(to *figures.Values) {
	b.mu.Lock()
	defer b.mu.Unlock()
	figures.Set(to, figures.Damaged, len(b.found.Damaged))
	if b.allRead != 0 {
		figures.Set(to, figures.ScrubAge, max(time.Since(time.Unix(0, b.allRead)), time.Microsecond))
	}
}

// pace waits before a read of so many bytes: it keeps to the rate, and leaves others at least half of the time of a slow disk.
func (c *fileCheck) pace(bytes int) error {
	took := time.Since(c.begun)
	c.sleep(max(took, time.Duration(bytes)*time.Second/time.Duration(c.rate)-took))
	c.begun = time.Now()
	c.found.Bytes += int64(bytes)
	return c.stopped()
}

// read reads all files.
func (c *fileCheck) read() error {
	m := c.member
	medium := disk.Medium(m.env.FS, verifyPieceBytes, c.pace)
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
	for _, info := range snapshots {
		if err := c.snapshot(info.Path, snapshot.VerifyFile(medium, info.Path)); err != nil {
			return err
		}
	}
	if at, is := m.env.FS.(besideParts); is { // which names the parts as the backup does
		medium = struct {
			disk.FS
			snapshot.InBackup
		}{medium, at}
	}
	for _, part := range c.parts(snapshots) {
		name := m.folder.path("snap/" + part.Name())
		if c.away != nil && m.inBackup(name) {
			continue
		}
		if err := c.snapshot(name, snapshot.VerifyPart(medium, name, part)); err != nil {
			return err
		}
	}
	return c.away
}

// segment counts a segment. If it is damaged, new snapshots are saved until the log needs no entry of it. Then the file is removed instead
// of reused. A start before that needs the first of these snapshots.
func (c *fileCheck) segment(name string, fault error) error {
	if err := c.stopped(); err != nil || fault == nil { // an end fails all reads
		c.found.Files++
		return err
	}
	m := c.member
	c.damaged("wal", name, fault)
	text := fmt.Sprintf("a segment of the log is damaged, and nothing is lost: this member goes on, and saves snapshots that cover it: do not restart it before, and look at the disk: %v", fault)
	m.logger.Error(text)
	m.status.Alarm(kv.Alarm{Name: kv.CorruptAlarm, Subject: m.folder.path("wal"), Text: text})
	last := m.status.Durable().Last // a start needs a snapshot of the last entry that may be damaged
	c.orders = append(c.orders,
		func() bool { return m.actors.logWriter.Inbox.Offer(actor.SegmentDamaged{Name: name}) },
		func() bool {
			return m.actors.applier.Offer(actor.SnapshotWanted{Saves: limits.SnapshotsKept, Above: last - 1})
		})
	return nil
}

// snapshot counts a snapshot, or a part. If it is damaged, the snapshotter reads it again and replaces it.
func (c *fileCheck) snapshot(name string, fault error) error {
	if err := c.stopped(); err != nil || fault == nil {
		c.found.Files++
		return err
	}
	switch inBackup := c.member.inBackup(name); {
	case inBackup && !errors.Is(fault, damage.ErrDamaged):
		c.away = fmt.Errorf("the backup: %w", fault)
		return nil
	case !inBackup && disk.Gone(c.member.env.FS, name) && !c.listed(name):
		return nil // newer ones have replaced it
	}
	c.damaged("snap", name, fault)
	c.orders = append(c.orders, func() bool { return c.member.actors.snapshots.Offer(actor.Suspect{Path: name}) })
	return nil
}

// parts returns the parts of the snapshots and of the next snapshot: values are read from the latter already.
func (c *fileCheck) parts(snapshots []snapshot.Info) (all []snapshot.Part) {
	if shelf := snapshot.ShelfOf(c.member.status.View()); shelf != nil {
		all = shelf.Parts()
	}
	for _, info := range snapshots {
		for _, part := range info.Parts { // most are the same
			if !slices.ContainsFunc(all, func(one snapshot.Part) bool { return one.SHA == part.SHA }) {
				all = append(all, part)
			}
		}
	}
	return all
}

// listed says whether a part is needed now.
func (c *fileCheck) listed(name string) bool {
	listing, _ := snapshot.List(c.member.env.FS, c.member.folder.path("snap"))
	return slices.ContainsFunc(c.parts(listing.Published), func(p snapshot.Part) bool { return p.Name() == path.Base(name) })
}

// damaged notes a damaged file.
func (c *fileCheck) damaged(folder, name string, fault error) {
	reason := fault.Error()
	if one, ok := errors.AsType[*damage.Error](fault); ok {
		reason = one.Place()
	}
	c.found.Files++
	if len(c.found.Damaged) < verifyDamaged {
		c.found.Damaged = append(c.found.Damaged, damagedFile{name: path.Join(folder, path.Base(name)), reason: reason})
	}
}
