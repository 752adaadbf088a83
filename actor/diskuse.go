package actor

import (
	"time"

	"qkv/internal/limits"
)

// diskUse is how much of this member's disk snapshots, log and spares may take together. They leave the space at which all writes are
// accepted.
func (s *Status) diskUse(least int64) int64 { return s.timesState(limits.DiskUse, least) }

// timesState returns a multiple of the state's size, or least if that is more, bounded by the disk's capacity.
func (s *Status) timesState(times, least int64) int64 {
	view := s.View()
	use := max(times*(view.LiveBytes()+view.HistoryBytes()), least)
	if capacity := s.capacity.Load(); capacity > 0 {
		_, high := s.spaceMarks()
		use = min(use, capacity-high)
	}
	return use
}

// spaceMarks returns two marks of free space, in addition to the next snapshot's space. Below low, this member refuses writes that
// enlarge the state. From high on, it accepts everything again. Between low and the space that the log never uses for new segments there
// is space for writes until all members know that the disk is full.
func (s *Status) spaceMarks() (low, high int64) {
	segment := s.segmentBytes()
	low = s.logKeeps(segment) + max(segment, min(limits.SpaceMargin, s.capacity.Load()/limits.SpaceMarginOfDisk))
	return low, low + segment
}

// segmentBytes returns the size of a segment of the log.
func (s *Status) segmentBytes() int64 { return s.spareBytes.Load() / limits.SparesMost }

// logKeeps is the free space that the log never uses for new segments, in addition to the next snapshot's space.
func (s *Status) logKeeps(segmentBytes int64) int64 { return (limits.SpareSegments + 1) * segmentBytes }

// CatchesUp reports whether this member lags behind its leader: a snapshot would be old when it is saved.
func (s *Status) CatchesUp() bool { return s.lags.Load() || s.receives.Load() }

// logRoom returns the part of diskUse left for the log's segments, after the given bytes of snapshots. The budget is larger while the log
// is kept for a follower, or this member catches up.
func (s *Status) logRoom(l *limits.Tunable, snapshots int64) int64 {
	use := s.diskUse(l.DiskUseLeast)
	if s.logKept.Load() || s.CatchesUp() {
		use = s.timesState(limits.DiskUse+limits.DiskUseCatchUp, l.DiskUseLeast)
	}
	return max(use-s.spareBytes.Load()-snapshots, 0)
}

// catchUpRoom is the maximum size of a log kept for a follower that receives a snapshot, or catches up after one.
func (s *Status) catchUpRoom(l *limits.Tunable, snapshots int64) int64 {
	use := s.timesState(limits.DiskUse+limits.DiskUseCatchUp, l.DiskUseLeast)
	return min(max(l.CatchUpBytes, limits.CatchUpSnapshots*s.SnapshotBytes()), max(use-s.spareBytes.Load()-snapshots, 0))
}

// worthSaving is the size of records that triggers a snapshot even if the state is small; on a small disk it is a fraction of the
// capacity.
func (s *Status) worthSaving(most int64) int64 {
	if capacity := s.capacity.Load(); capacity > 0 {
		return min(most, max(capacity/limits.SnapshotOfDisk, 1))
	}
	return most
}

// outgrown reports whether the log has taken three quarters of its space. The last quarter is for writes while the newer of two snapshots
// is verified again, if necessary, before the older one can be deleted.
func (s *Snapshotter) outgrown() bool {
	room := s.Status.logRoom(&s.Limits, s.bytes())
	return s.Status.Durable().FileBytes > room-room/4
}

// full reports whether the disk itself lacks space for the snapshot being saved and a set of spares.
func (s *Snapshotter) full() bool {
	free, err := s.FS.Free(s.Dir)
	return err != nil || s.short() || free < s.growth()+s.Status.spareBytes.Load()
}

// bytes returns the size of the folder's files, with the snapshot being saved or received at its full size.
func (s *Snapshotter) bytes() int64 {
	n := s.written() + s.growth()
	if r := s.receive; r != nil && !r.handed {
		n += r.offer.Size - r.file.Offset()
	}
	return n
}

// written returns the present size of the folder's files.
func (s *Snapshotter) written() (n int64) {
	for _, k := range s.files {
		n += k.Bytes
	}
	if s.writing() {
		n += s.order.saver.Info().Bytes
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

// growth estimates the bytes that the snapshot being saved still needs.
func (s *Snapshotter) growth() int64 {
	if s.order == nil {
		return 0
	}
	if s.writing() {
		return max(s.order.bytes-s.order.saver.Info().Bytes, 0)
	}
	return s.order.bytes
}

// short reports whether the disk lacks space for the log and the next snapshot, whichever files have taken it.
func (s *Snapshotter) short() bool { return s.Status.Space() != SpaceLeft }

// makeRoom deletes the snapshots older than the newest if their space is needed. The newest is verified first, unless it was found sound
// lately. On a full disk makeRoom does not wait for a third snapshot: without writes none becomes due.
func (s *Snapshotter) makeRoom() {
	waits := s.order != nil && !s.writing()
	switch {
	case s.check != nil || len(s.suspects) > 0 || !s.droppable() || !s.outgrown() && !s.short() && !s.Status.helps.Load() && !(waits && s.full()):
	case s.soundNow():
		s.dropOlder()
	case s.now >= s.noCheck:
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
	if !s.writing() || s.Status.logKept.Load() || s.Status.CatchesUp() {
		return false
	}
	room := float64(s.Status.logRoom(&s.Limits, s.bytes()))
	return float64(s.Status.Durable().FileBytes) > room/2+room/4*s.order.done()
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
		half := max(s.Status.logRoom(&s.Limits, s.bytes())/2, 1)
		left := max(half-s.Status.Durable().FileBytes, 0)
		return restAfter(max(time.Duration(float64(took)*float64(left)/float64(half)), took/limits.SnapshotRest))
	case haste:
		return 0
	}
	return restAfter(0)
}
