package actor

import (
	"slices"
	"time"

	"qkv/index"
	"qkv/internal/limits"
)

const (
	// the longest step without a disk delay; after a longer one the disk gets an equal pause
	snapshotStepQuick = 20 * time.Millisecond
	// the part of such a step that the pause has at least, even if the log has little space left
	snapshotRest = 8
)

// unwritten returns the weight of the changes that the next snapshot has to write, if parts have those up to a revision. A newer base is
// not counted.
func unwritten(v *index.View, stored int64) int64 {
	n := v.OpenExtent().Bytes
	for _, e := range slices.Backward(v.Extents()) {
		if e.To <= stored {
			break
		}
		n += e.Bytes
	}
	return n
}

// bytes returns the size of this member's own files, with the snapshot being saved or received at its full size.
func (s *Snapshotter) bytes() int64 {
	n := s.written() + s.out.growth(&s.snapshotCore)
	if t := s.receive.current; t != nil {
		n += t.left - t.has
	}
	return n
}

// written returns the present size of this member's own files.
func (s *Snapshotter) written() (n int64) {
	for _, k := range s.files {
		n += k.Bytes
	}
	n += s.parts.bytes + s.out.fileBytes()
	if t := s.receive.current; t != nil {
		n += t.has
	}
	return n
}

// pieceAfter returns the size of a step's disk requests, from the time of the previous step and its size. Halving the size at most
// doubles a step's time, so the size does not oscillate. In haste the delay of other requests does not matter.
func pieceAfter(took time.Duration, before int, haste bool) int {
	switch {
	case haste, took > snapshotStepQuick:
		return min(2*before, limits.SnapshotStepBytes)
	case took <= snapshotStepQuick/4:
		return max(before/2, limits.SnapshotPieceBytes)
	}
	return before
}

// outrun reports whether the log fills its space while a file is written: half of the space is for the log before a snapshot is ordered. If
// the log is large for another reason (kept for a follower, or this member lags), haste would only take disk bandwidth from that.
func (s *Snapshotter) outrun() bool {
	disk := s.Status.Disk()
	if s.out.file == nil || disk.LogKept || disk.CatchesUp() {
		return false
	}
	return s.Status.Durable().FileBytes > disk.LogBudget(&s.Limits)/2
}

// Rest implements paced. There is hardly any rest after a step that the disk did not delay, and none if the log outruns a save. Otherwise
// the rest is as long as the step while the log is empty, and shrinks until the log has taken half of its space. From there on it is a
// fixed part of the step, because the log must be freed before its space is full. In that part the log's next group gets its turn: the
// disk has just finished a group, and its responses must go to the other members and back.
func (s *Snapshotter) Rest(took time.Duration) time.Duration {
	s.Status.diskGoesOn(s.now + took)
	haste := s.outrun()
	s.pieceBytes = pieceAfter(took, s.pieceBytes, haste)
	switch {
	case took > snapshotStepQuick:
		disk := s.Status.Disk()
		half := max(disk.LogBudget(&s.Limits)/2, 1)
		left := max(half-s.Status.Durable().FileBytes, 0)
		return restAfter(max(time.Duration(float64(took)*float64(left)/float64(half)), took/snapshotRest))
	case haste:
		return 0
	}
	return restAfter(0)
}
