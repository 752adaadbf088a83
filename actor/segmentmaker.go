package actor

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"syscall"
	"time"

	"qkv/internal/limits"
	"qkv/log"
	"qkv/log/disk"
)

// SegmentMakerConfig is what the segment maker is built from.
type SegmentMakerConfig struct {
	Maker        *log.Maker
	FS           disk.FS
	Dir          string // the log's
	SegmentBytes int64
	Inbox        *Mailbox[SegmentMakerMessage]
	LogWriter    *Mailbox[LogWriterMessage]
	Status       *Status
	Fail         func(error)
	Logger       *slog.Logger
}

// SegmentMaker keeps zero-filled files ready for the log, so that a sync never has to commit the file system's
// journal. It owns the spare files; it is never on the way of a commit, and works in small steps, with rests.
//
// It says in each segment which one follows, when that one is begun and synced, so that its loss is seen.
//
// It also watches the space that is left: the spares are the log's reserve, so that a member that takes no writes any more
// can still agree on deletions and on leaders. Below a low mark nothing that makes the state larger is taken, above a
// high one all is again. What a disk says is left may not be all that files need: one that has no room for the next spare is as
// full as one below the low mark, or the reserve would be gone before anybody knows.
type SegmentMaker struct {
	// Constant after construction.
	SegmentMakerConfig

	// Owned by the actor.
	ordered int // spares that the log writer waits for
	now     time.Duration
	failed  bool   // until the next Retry
	advised string // what was logged to be done about the failure; empty: nothing yet
	refuses bool   // the disk has no room for the next file, whatever it says is free, until it takes one
}

// NewSegmentMaker builds the actor.
func NewSegmentMaker(c SegmentMakerConfig) *SegmentMaker {
	c.Status.spareBytes.Store(limits.SparesMost * c.SegmentBytes)
	return &SegmentMaker{SegmentMakerConfig: c}
}

// Handle implements Handler.
func (s *SegmentMaker) Handle(t Time, batch []SegmentMakerMessage) bool {
	s.now = t.Now
	for _, m := range batch {
		switch m := m.(type) {
		case MakeSpare:
			s.ordered++
		case Recycle:
			for _, name := range m.Names {
				if err := s.Maker.Recycle(name); err != nil {
					s.fail(fmt.Errorf("recycle %s: %w", name, err))
				}
			}
			for _, name := range m.Damaged {
				if err := s.Maker.Remove(name); err != nil {
					s.Logger.Warn("a damaged file of the log, which nobody needs, could not be removed: remove it when this member is stopped", "file", name, "error", err)
				}
			}
		case NextSegments:
			s.sayNext(m.Pages)
		case Retry:
			s.failed = false
			s.checkSpace()
		case Inlined:
			s.checkSpace()
		}
	}
	if s.ordered == 0 || s.failed {
		return false
	}
	if t.Resting {
		return true
	}
	name, done, err := s.Maker.Step()
	if errors.Is(err, syscall.ENOSPC) {
		s.refuses = !errors.Is(err, log.ErrReserve)
		s.checkSpace()
	}
	if err != nil {
		s.fail(err)
		return false
	}
	if done {
		s.advised, s.refuses = "", false
		s.ordered--
		s.LogWriter.MustPost(SpareMade{Name: name})
		s.checkSpace()
	}
	return s.ordered > 0
}

// Rest implements Paced: on a disk that is slow the log's own files, which are not filled, cost less than filled ones.
func (s *SegmentMaker) Rest(took time.Duration) time.Duration {
	s.Status.DiskGoesOn(s.now + took)
	s.Maker.Quick = took <= limits.SpareStepQuick
	return restAfter(took)
}

// checkSpace raises the alarm of a disk that is nearly full, or ends it, and lets a log that waits for room try again.
func (s *SegmentMaker) checkSpace() {
	if s.Status.logWaits.Load() {
		s.LogWriter.Offer(RoomChecked{})
	}
	free, err := s.FS.Free(s.Dir)
	if errors.Is(err, fs.ErrNotExist) { // not when the next segment is begun only: the log writes to files that nobody finds again
		s.Fail(logFailed(err))
		return
	}
	if err != nil {
		s.Logger.Error("the disk does not say how much space is left", "error", err)
		return
	}
	s.Status.free.Store(free)
	s.Status.capacity.Store(free + s.Status.Durable().FileBytes + s.Status.spares.Load()*s.SegmentBytes + s.Maker.Bytes() + s.Status.snapFiles.Load())
	low, high := s.Status.spaceMarks()
	low, high = low+s.Status.SnapshotNeeds(), high+s.Status.SnapshotNeeds()
	waits := s.Status.logWaits.Load() // for more than it makes a segment of: one entry may be larger than that
	switch {
	case free < low || s.refuses || waits:
		if !s.Status.noSpace.Swap(true) {
			s.Logger.Error("the disk is full, or nearly: where a quorum's are, only deletions and reads are taken until there is space", "left", free, "until", high)
		}
		text := fmt.Sprintf("the disk of %s has %d MiB left, and lacks room until %d MiB are free: make room there, or delete keys; where the disks of a quorum lack it, only deletions and reads are taken", s.Dir, free>>20, high>>20)
		switch {
		case free < low:
		case waits:
			text = fmt.Sprintf("the log waits for room on the disk of %s, of which %d MiB are free: make room there; where the logs of a quorum wait, only reads are taken", s.Dir, free>>20)
		default:
			text = fmt.Sprintf("the disk of %s takes no more files, although %d MiB are free: look for inodes (df -i) or a quota that is used up; where the disks of a quorum take none, only deletions and reads are taken", s.Dir, free>>20)
		}
		s.Status.Alarm(Alarm{Name: NoSpace, Text: text})
	case free >= high:
		if s.Status.noSpace.Swap(false) {
			s.Logger.Info("the disk has space again: everything is taken", "left", free)
		}
		s.Status.Alarm(Alarm{Name: NoSpace})
	}
}

// whatHelps is what to do about a disk that refuses a file: free space helps one that is full, or whose quota is reached, and no other.
func whatHelps(err error) string {
	if errors.Is(err, syscall.ENOSPC) {
		return "free space on the disk"
	}
	return "look at the disk, at how it is mounted, and at the kernel's messages"
}

// sayNext writes into segments which one follows.
func (s *SegmentMaker) sayNext(pages []log.NextPage) {
	for _, p := range pages {
		if err := s.Maker.WriteNext(p); err != nil {
			s.Logger.Warn("should the log's newest file be lost, the next start will not see it, unless that start comes first and can write this", "error", err)
		}
	}
}

// fail gives up making spares for a while: the log makes its own files then, slower, and waits when that finds no room either.
func (s *SegmentMaker) fail(err error) {
	s.failed = true
	if advice := whatHelps(err); advice != s.advised {
		s.advised = advice
		s.Logger.Error("no files can be made ahead for the log, so writes become slower; "+advice, "error", err)
	}
}
