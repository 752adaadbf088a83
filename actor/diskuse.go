package actor

import (
	"errors"
	"slices"
	"time"

	"qkv/actor/space"
	"qkv/index"
	"qkv/internal/limits"
	"qkv/snapshot"
)

// unwritten returns the weight of the changes that the next snapshot has to write, if parts have those up to a revision. A newer base is not
// counted.
func unwritten(v *index.View, stored int64) (n int64) {
	if v.Base() == 0 || stored < v.Base() { // a file with all keys
		return v.LiveBytes() + v.HistoryBytes()
	}
	for _, e := range slices.Backward(v.Extents()) {
		if e.To <= stored {
			break
		}
		n += e.Weight
	}
	return n + v.OpenExtent().Weight
}

// outgrown reports whether the log has taken three quarters of its space. The last quarter is for writes while the newer of two snapshots
// is verified again, if necessary, before the older one can be deleted.
func (s *Snapshotter) outgrown() bool {
	disk := s.Status.Disk()
	budget := disk.LogBudget(&s.Limits)
	return s.Status.Durable().FileBytes > budget-budget/4
}

// full reports whether the disk itself lacks space for the snapshot being saved and a set of spares.
func (s *Snapshotter) full() bool {
	free, err := s.FS.Free(s.Dir)
	disk := s.Status.Disk()
	return err != nil || disk.Accepts() != space.Left || free < s.growth()+disk.SpareBytes()
}

// bytes returns the size of this member's own files, with the snapshot being saved or received at its full size.
func (s *Snapshotter) bytes() int64 {
	n := s.written()
	if s.order != nil && !s.order.Backup {
		n += s.growth()
	}
	if r := s.receive; r != nil && !r.handed {
		n += r.left - r.file.Offset()
	}
	return n
}

// written returns the present size of this member's own files.
func (s *Snapshotter) written() (n int64) {
	for _, k := range s.files {
		n += k.Bytes
	}
	n += s.parts.bytes
	if s.saves() {
		n += s.order.written()
	}
	switch r := s.receive; {
	case r == nil:
	case r.handed:
		n += r.offer.Size
	default:
		n += r.file.Offset()
	}
	return n
}

// forBackup returns the present size of files for backups.
func (s *Snapshotter) forBackup() int64 {
	if s.writing() && s.order.Backup {
		return s.backup.Bytes + s.order.written()
	}
	return s.backup.Bytes
}

// endBackup removes the file for backups when none reads it any more, or when the disk needs its space. A backup that reads it goes on
// until it closes the file.
func (s *Snapshotter) endBackup() {
	disk := s.Status.Disk()
	needed := disk.Accepts() != space.Left
	if needed && s.writing() && s.order.Backup {
		s.saveFailed(errors.New("the disk is nearly full: free space there"))
	}
	if s.backup.Path != "" && (needed || s.now-s.backedUp >= limits.BackupFileIdle) {
		s.remove(s.backup)
		s.backup = snapshot.Info{}
	}
}

// growth estimates the bytes that the snapshot being saved still needs.
func (s *Snapshotter) growth() int64 {
	if s.order == nil {
		return 0
	}
	if s.writing() {
		return max(s.order.bytes-s.order.written(), 0)
	}
	return s.order.bytes
}

// makeRoom deletes the snapshots older than the newest if their space is needed. The newest is verified first, unless it was found sound
// lately. On a full disk makeRoom does not wait for a third snapshot: without writes none becomes due.
func (s *Snapshotter) makeRoom() {
	waits, disk := s.order != nil && !s.writing() && !s.order.Backup, s.Status.Disk()
	switch {
	case s.check != nil || len(s.suspects) > 0 || !s.droppable() || !s.outgrown() && disk.Accepts() == space.Left && !disk.Helps && !(waits && s.full()):
	case s.soundNow():
		s.dropOlder()
	case s.now >= s.sound.noCheck:
		s.suspects = append(s.suspects, s.files[0])
	}
}

// pieceAfter returns the size of a step's disk requests, from the time of the previous step and its size. Halving the size at most
// doubles a step's time, so the size does not oscillate. In haste the delay of other requests does not matter.
func pieceAfter(took time.Duration, before int, haste bool) int {
	switch {
	case haste, took > limits.SnapshotStepQuick:
		return min(2*before, limits.SnapshotStepBytes)
	case took <= limits.SnapshotStepQuick/4:
		return max(before/2, limits.SnapshotPieceBytes)
	}
	return before
}

// outrun reports whether the log fills its space faster than the save progresses. Half of the space is for the log before the save's
// order, and half of the rest for the log until the file is published: the next save is then not due by that time. If the log is large
// for another reason (kept for a follower, or this member lags), haste would only take disk bandwidth from that.
func (s *Snapshotter) outrun() bool {
	disk := s.Status.Disk()
	if !s.writing() || disk.LogKept || disk.CatchesUp() {
		return false
	}
	budget := float64(disk.LogBudget(&s.Limits))
	return float64(s.Status.Durable().FileBytes) > budget/2+budget/4*s.order.done()
}

// Rest implements Paced. There is hardly any rest after a step that the disk did not delay, and none if the log outruns a save. Otherwise
// the rest is as long as the step while the log is empty, and shrinks until the log has taken half of its space. From there on it is a
// fixed part of the step, because the log must be freed before its space is full. In that part the log's next group gets its turn: the
// disk has just finished a group, and its responses must go to the other members and back.
func (s *Snapshotter) Rest(took time.Duration) time.Duration {
	s.Status.DiskGoesOn(s.now + took)
	haste := s.outrun()
	s.pieceBytes = pieceAfter(took, s.pieceBytes, haste)
	switch {
	case took > limits.SnapshotStepQuick:
		disk := s.Status.Disk()
		half := max(disk.LogBudget(&s.Limits)/2, 1)
		left := max(half-s.Status.Durable().FileBytes, 0)
		return restAfter(max(time.Duration(float64(took)*float64(left)/float64(half)), took/limits.SnapshotRest))
	case haste:
		return 0
	}
	return restAfter(0)
}
