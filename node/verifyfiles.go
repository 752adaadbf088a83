package node

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
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

// fileCheck reads the member's snapshots and log from the medium once, and has the damage repaired that it finds. As backups do, it works
// beside the actors, in a goroutine of its own: no save, no transfer and no sync of the log waits for it. The actors get orders only.
type fileCheck struct {
	member  *member
	rate    int64 // bytes a second
	stopped func() error
	sleep   func(time.Duration)

	begun  time.Time     // when the pace let the newest read begin
	orders []func() bool // for damaged files: given at the end, because new snapshots replace files that are not read yet
	found  kv.Verified
	away   error // why the parts in the backup cannot be read now, of a branch; nil: they can
}

var errStopped = errors.New("the member stops, or reads all files anew")

// scrubbed is the content of the small file scrub: the week outlives a restart.
type scrubbed struct {
	Begun int64       `msgpack:"b"` // when the newest read of all files began, in nanoseconds since 1970
	Ended bool        `msgpack:"e"` // it found no damage
	Sound kv.Verified `msgpack:"s"` // the newest one without damage
}

const (
	// scrubEvery is the time between the beginnings of two reads of all files, and scrubRate bounds the bytes a second: 2.4 TB take as
	// long. A read that has not ended soundly is repeated scrubAgain after its beginning. None begins within scrubFirst after a start.
	scrubEvery = 7 * 24 * time.Hour
	scrubAgain = 24 * time.Hour
	scrubFirst = time.Hour
	scrubRate  = 4 << 20
	// verifyRate bounds the bytes a second of a read that a client waits for. It is that of a backup's base, for the same reason.
	verifyRate = limits.BackupBaseRate
	// verifyPieceBytes is the size of one read: the log's sync may wait behind it, as limits.SnapshotPieceBytes says.
	verifyPieceBytes = limits.SnapshotPieceBytes
	// verifyDamaged bounds the damaged files of one report, about 1 KiB each in the answer. With so many the disk is broken, and more names
	// say nothing new.
	verifyDamaged = 64
)

// scrub reads all files when that is due, and when a client asks for it, until the member ends.
func (b *backups) scrub() {
	defer close(b.ended)
	for first := scrubFirst; ; first = 0 {
		select {
		case <-b.ctx.Done():
			return
		case <-time.After(max(first, b.kept.due())):
			b.readAll(scrubRate)
		case <-b.requests:
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

// Verify implements server.Backups. A request joins another one that is under way.
func (b *backups) Verify(now bool) kv.Verified {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now && !b.found.Asked {
		b.found.Asked = true
		b.requests <- struct{}{}
	}
	return b.found
}

// readAll reads all files, and keeps the result. A request ends a scrub, which then leaves no result.
func (b *backups) readAll(rate int64) {
	c := &fileCheck{member: b.member, rate: rate, begun: time.Now(), sleep: time.Sleep, stopped: func() error {
		if b.ctx.Err() != nil || rate < verifyRate && len(b.requests) > 0 {
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
		text := "not all files could be read to find damage: look at the disk, and run `qkv verify --now`"
		if errors.Is(err, c.away) {
			text = "the parts in the backup could not be read to find damage, and are read later: make its place available, and run `qkv verify --now`"
		}
		b.member.logger.Error(text, "because", err)
	} else if len(c.found.Damaged) == 0 {
		c.endAlarms()
		b.kept.Sound, b.kept.Ended = c.found, true
		b.keep()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil {
		b.allRead = c.found.Wall
	}
	c.found.Asked, c.found.Reads = len(b.requests) > 0, b.found.Reads+1
	b.found = c.found
}

func (b *backups) keep() {
	if err := b.member.folder.write("scrub", codec.Append(nil, &b.kept)); err != nil {
		b.member.logger.Warn("when all files were last read cannot be saved: a restart may have them read again", "error", err)
	}
}

// report adds the newest complete read of all files to a status.
func (b *backups) report(to *figures.Values) {
	b.mu.Lock()
	defer b.mu.Unlock()
	figures.Set(to, figures.Damaged, len(b.found.Damaged))
	if b.allRead != 0 {
		figures.Set(to, figures.ScrubAge, max(time.Since(time.Unix(0, b.allRead)), time.Microsecond))
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
		if err := c.snapshot(info.Path, snapshotHelp, snapshot.VerifyFile(medium, info.Path)); err != nil {
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
		if err := c.snapshot(name, partHelp, snapshot.VerifyPart(medium, name, part)); err != nil {
			return err
		}
	}
	return c.away
}

const (
	segmentHelp = "nothing is lost while the member runs: it saves two snapshots, and removes the file once they cover it and a newer " +
		"segment has begun. Check the disk, write something, and run `qkv verify --now` before a restart"
	partHelp     = "nothing is lost if another member has that file: this one fetches it. Otherwise it writes the file again from memory, or its alarm CORRUPT says what to do. Check the disk, and run `qkv verify --now`"
	backupHelp   = "no other member has that file: it is in the backup alone. If it is damaged there, as `qkv backup verify` says, begin a new branch, of another moment if need be"
	snapshotHelp = "nothing is lost: the member moves the file to damaged/, and saves another snapshot. Check the disk, and run `qkv verify --now`"
)

// segment counts a segment. If it is damaged, new snapshots are saved until the log needs no entry of it. Then the file is removed instead
// of reused. A start before that needs the first of these snapshots.
func (c *fileCheck) segment(name string, fault error) error {
	if err := c.stopped(); err != nil || fault == nil { // an end fails all reads
		c.found.Files++
		return err
	}
	m := c.member
	c.damaged("wal", name, fault, segmentHelp)
	text := fmt.Sprintf("a segment of the log is damaged, and nothing is lost: this member goes on, and saves snapshots that cover it: look at the disk, and run `qkv verify --now`: %v", fault)
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
func (c *fileCheck) snapshot(name, help string, fault error) error {
	if err := c.stopped(); err != nil || fault == nil {
		c.found.Files++
		return err
	}
	switch inBackup := c.member.inBackup(name); {
	case inBackup && !errors.Is(fault, damage.ErrDamaged):
		c.away = fmt.Errorf("the backup: %w", fault)
		return nil
	case inBackup:
		help = backupHelp
	case disk.Gone(c.member.env.FS, name) && !c.listed(name):
		return nil // newer ones have replaced it
	}
	c.damaged("snap", name, fault, help)
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
func (c *fileCheck) damaged(folder, name string, fault error, help string) {
	reason := fault.Error()
	if one, ok := errors.AsType[*damage.Error](fault); ok {
		reason = one.Place()
	}
	c.found.Files++
	if len(c.found.Damaged) < verifyDamaged {
		c.found.Damaged = append(c.found.Damaged, kv.DamagedFile{Name: path.Join(folder, path.Base(name)), Reason: reason, Help: help})
	}
}
