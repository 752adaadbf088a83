package actor

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"syscall"
	"time"

	"qkv/actor/space"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/log"
	"qkv/log/disk"
)

// spareStepQuick is the time of a step after which the next one fills, and syncs, four times as much.
const spareStepQuick = 5 * time.Millisecond

// SegmentMakerConfig is the configuration of the segment maker.
type SegmentMakerConfig struct {
	Maker        *log.Maker
	FS           disk.FS
	Dir          string // the log's
	SegmentBytes int64
	Inbox        *Mailbox[SegmentMakerMessage]
	LogWriter    *Mailbox[LogWriterMessage]
	Status       *Status
	Limits       limits.Tunable
	Fail         func(error)
	Logger       *slog.Logger
}

// SegmentMaker keeps files ready for the log, recycled or filled with zeros: a sync then never has to commit the file system's journal. It
// owns the spare files. It is never in the path of a commit, and works in small steps, with rests.
//
// It measures how fast the log is written. A fast log's released segments wait for reuse in larger number ([space.Disk.Recycles]), so in
// the long run no new files are made. They give way to everything else that needs the disk. Above limits.ReserveRate new files are only
// reserved: each byte is then written once. After such a load, a slow log still fills at most the ready spares, with slower syncs.
//
// In each segment it writes the name of the next one, when that one is begun and synced: the loss of a segment is then detected.
//
// It also watches the free space. The spares are the log's reserve: a member that accepts no more writes can still agree on deletions and
// on leaders. Below a low mark it refuses everything that enlarges the state; above a high mark it accepts everything again. The reported
// free space may be more than files can use. A disk without space for the next spare therefore counts as below the low mark; otherwise
// the reserve would be gone before the alarm.
type SegmentMaker struct {
	// Constant after construction.
	SegmentMakerConfig

	// Owned by the actor.
	ordered      int // spares that the log writer waits for
	now          time.Duration
	failed       bool   // until the next Retry
	advised      string // the logged advice about the failure; empty: none yet
	refusesFiles bool   // the disk has no space for the next file, whatever it reports, until it accepts one
	records      int64  // written to the log by the time at
	at           time.Duration
	rate         int64 // bytes per second written to the log: the newest second's, or less and less of an earlier one's
}

// NewSegmentMaker builds the actor.
func NewSegmentMaker(c SegmentMakerConfig) *SegmentMaker {
	c.Status.reportDisk(func(d *space.Disk) { d.SegmentBytes = c.SegmentBytes })
	return &SegmentMaker{SegmentMakerConfig: c}
}

// Handle implements Handler.
func (s *SegmentMaker) Handle(t Time, batch []SegmentMakerMessage) bool {
	s.now = t.Now
	for _, m := range batch {
		switch m := m.(type) {
		case makeSpare:
			s.ordered++
		case recycle:
			s.limitReuse()
			for _, name := range m.Names {
				if err := s.Maker.Recycle(name); err != nil {
					s.fail(fmt.Errorf("recycle %s: %w", name, err))
				}
			}
			for _, name := range m.Damaged {
				if err := s.Maker.Remove(name); err != nil {
					s.Logger.Warn("a damaged file of the log, which is not needed, could not be removed: remove it when this member is stopped", "file", name, "error", err)
				}
			}
		case nextSegments:
			s.writeNextNames(m.Pages)
		case Retry:
			s.failed = false
			s.measure()
			s.checkSpace()
		case inlined:
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
		s.refusesFiles = !errors.Is(err, log.ErrReserve)
		s.checkSpace()
	}
	if err != nil {
		s.fail(err)
		return false
	}
	if done {
		s.advised, s.refusesFiles = "", false
		s.ordered--
		s.LogWriter.MustPost(spareMade{Name: name})
		s.checkSpace()
	}
	return s.ordered > 0
}

// Rest implements paced: on a slow disk the log's own files, which are not zero-filled, cost less than filled ones.
func (s *SegmentMaker) Rest(took time.Duration) time.Duration {
	s.Status.diskGoesOn(s.now + took)
	s.Maker.Quick = took <= spareStepQuick
	return restAfter(took)
}

// measure updates the rate at which the log is written, and what depends on the rate. The rate falls by a quarter a second at most, so a
// pause of a load does not remove the files that its next second needs.
func (s *SegmentMaker) measure() {
	d := s.Status.Durable()
	if took := s.now - s.at; took > 0 {
		s.rate = max(int64(float64(d.RecordBytes-s.records)/took.Seconds()), s.rate/4*3)
		s.records, s.at = d.RecordBytes, s.now
	}
	s.Maker.Reserve = s.rate > s.Limits.ReserveRate
}

// limitReuse decides how many released segments wait for reuse, by the log's size without them.
func (s *SegmentMaker) limitReuse() {
	s.Maker.Keeps = s.Status.Disk().Recycles(&s.Limits, s.Status.Durable().FileBytes, s.rate)
}

// trimReuse removes the waiting segments whose space has another use, and reports whether there were any.
func (s *SegmentMaker) trimReuse() bool {
	before := s.Maker.Bytes()
	s.limitReuse()
	if err := s.Maker.Trim(); err != nil {
		s.fail(err)
	}
	return s.Maker.Bytes() < before
}

// checkSpace measures the disk. Segments that wait for reuse give way before the disk counts as nearly full.
func (s *SegmentMaker) checkSpace() {
	if s.Status.Disk().LogWaits {
		s.LogWriter.Offer(spaceChecked{})
	}
	free, known := s.measureSpace()
	if known && s.trimReuse() {
		free, known = s.measureSpace()
	}
	if known {
		s.updateAlarm(free)
	}
}

// measureSpace reports the disk's free space and its capacity for this member.
func (s *SegmentMaker) measureSpace() (free int64, known bool) {
	free, err := s.FS.Free(s.Dir)
	size := int64(0)
	if err == nil {
		size, err = s.FS.Size(s.Dir)
	}
	// checked not only when the next segment begins: the log writes to files that no later start finds
	if errors.Is(err, fs.ErrNotExist) {
		s.Fail(logFailed(err))
		return 0, false
	}
	if err != nil {
		s.Logger.Error("the disk does not say how much space is left", "error", err)
		return 0, false
	}
	s.Status.reportDisk(func(d *space.Disk) {
		// The free space includes files that were just removed, and the size of the log or the snapshots may still count them.
		d.Capacity = min(free+s.Status.Durable().FileBytes+d.Spares*s.SegmentBytes+s.Maker.Bytes()+d.Written, size)
		d.Size, d.Free = size, free
	})
	return free, true
}

// updateAlarm raises or ends the alarm of a nearly full disk.
func (s *SegmentMaker) updateAlarm(free int64) {
	disk := s.Status.Disk()
	low, high := disk.Marks()
	waits := disk.LogWaits // for more space than the low mark reserves: one entry may be larger than that
	switch {
	case free < low || s.refusesFiles || waits:
		s.Status.reportDisk(func(d *space.Disk) { d.Full = true })
		if !disk.Full {
			s.Logger.Error("the disk is full, or nearly: if the disks of a quorum are, only deletions and reads are accepted until there is space", "left", free, "until", high)
		}
		text := fmt.Sprintf("the disk of %s has %d MiB left, and needs %d MiB: free space there, or delete keys; if the disks of a quorum are full, only deletions and reads are accepted", s.Dir, free>>20, high>>20)
		switch {
		case free < low:
		case waits:
			text = fmt.Sprintf("the log waits for space on the disk of %s, which has %d MiB free: free space there; if the logs of a quorum wait, only reads are accepted", s.Dir, free>>20)
		default:
			text = fmt.Sprintf("the disk of %s refuses new files, although %d MiB are free: check for exhausted inodes (df -i) or a disk quota; if the disks of a quorum do, only deletions and reads are accepted", s.Dir, free>>20)
		}
		s.Status.Alarm(kv.Alarm{Name: kv.NoSpaceAlarm, Text: text})
	case free >= high:
		s.Status.reportDisk(func(d *space.Disk) { d.Full = false })
		if disk.Full {
			s.Logger.Info("the disk has space again: all writes are accepted", "left", free)
		}
		s.Status.Alarm(kv.Alarm{Name: kv.NoSpaceAlarm})
	}
}

// diskAdvice returns the advice for a disk that refuses a file: freeing space helps only if the disk is full or its quota is reached.
func diskAdvice(err error) string {
	if errors.Is(err, syscall.ENOSPC) {
		return "free space on the disk"
	}
	return "look at the disk, at how it is mounted, and at the kernel's messages"
}

// writeNextNames writes into segments which segment follows.
func (s *SegmentMaker) writeNextNames(pages []log.NextPage) {
	for _, p := range pages {
		if err := s.Maker.WriteNext(p); err != nil {
			s.Logger.Warn("should the log's newest file be lost, the next start will not see it, unless that start comes first and can write this", "error", err)
		}
	}
}

// fail suspends making spares for a while: the log then makes its own files, slower, and waits if these do not fit either.
func (s *SegmentMaker) fail(err error) {
	s.failed = true
	if advice := diskAdvice(err); advice != s.advised {
		s.advised = advice
		s.Logger.Error("no files can be made ahead for the log, so writes become slower; "+advice, "error", err)
	}
}
