package actor

import (
	"time"

	"qkv/internal/limits"
)

// diskUse is what snapshots, log and spares may take together of this member's disk, and leave of it what takes all writes.
func (s *Status) diskUse(least int64) int64 { return s.timesState(limits.DiskUse, least) }

// timesState is so many times the state, or least where that is more, as far as the disk's capacity goes.
func (s *Status) timesState(times, least int64) int64 {
	view := s.View()
	use := max(times*(view.LiveBytes()+view.HistoryBytes()), least)
	if capacity := s.capacity.Load(); capacity > 0 {
		_, high := s.spaceMarks()
		use = min(use, capacity-high)
	}
	return use
}

// spaceMarks are how much free space, beside what the next snapshot takes, makes this member refuse what makes the state larger,
// and from how much on it takes everything again. Between the lower one and what the log makes no segment of there is room for
// what is written until all know that there is none.
func (s *Status) spaceMarks() (low, high int64) {
	segment := s.spareBytes.Load() / limits.SparesMost
	low = s.logKeeps(segment) + max(segment, min(limits.SpaceMargin, s.capacity.Load()/limits.SpaceMarginOfDisk))
	return low, low + segment
}

// logKeeps is what the log makes no segment of, beside what the next snapshot takes.
func (s *Status) logKeeps(segmentBytes int64) int64 { return (limits.SpareSegments + 1) * segmentBytes }

// catchesUp tells whether this member is behind its leader: what it saves then is old when it is saved.
func (s *Status) catchesUp() bool { return s.lags.Load() || s.receives.Load() }

// logRoom is what of that is left for the log's segments beside so many bytes of snapshots, or what of more is while the log is kept
// for a follower, or this member catches up.
func (s *Status) logRoom(l *limits.Tunable, snapshots int64) int64 {
	use := s.diskUse(l.DiskUseLeast)
	if s.logKept.Load() || s.catchesUp() {
		use = s.timesState(limits.DiskUse+limits.DiskUseCatchUp, l.DiskUseLeast)
	}
	return max(use-s.spareBytes.Load()-snapshots, 0)
}

// catchUpRoom is how large the log may be that is kept for a follower which gets a snapshot, or catches up behind one.
func (s *Status) catchUpRoom(l *limits.Tunable, snapshots int64) int64 {
	use := s.timesState(limits.DiskUse+limits.DiskUseCatchUp, l.DiskUseLeast)
	return min(max(l.CatchUpBytes, limits.CatchUpSnapshots*s.SnapshotBytes()), max(use-s.spareBytes.Load()-snapshots, 0))
}

// worthSaving is how much of records is worth a snapshot however small the state is; of a small disk it is not half of it.
func (s *Status) worthSaving(most int64) int64 {
	if capacity := s.capacity.Load(); capacity > 0 {
		return min(most, max(capacity/limits.SnapshotOfDisk, 1))
	}
	return most
}

// outgrown tells whether the log has taken three quarters of its room; the last one is for what is written while the newer
// of two snapshots is looked at again, where it has to be, so that the older one can go.
func (s *Snapshotter) outgrown() bool {
	room := s.Status.logRoom(&s.Limits, s.bytes())
	return s.Status.Durable().FileBytes > room-room/4
}

// full tells whether the disk itself has no room for the snapshot that is being saved and a set of spares beside it.
func (s *Snapshotter) full() bool {
	free, err := s.FS.Free(s.Dir)
	return err != nil || s.short() || free < s.growth()+s.Status.spareBytes.Load()
}

// bytes is what the folder's files take, or will have taken when the one that is being saved or received is complete.
func (s *Snapshotter) bytes() int64 {
	n := s.written() + s.growth()
	if r := s.receive; r != nil && !r.handed {
		n += r.offer.Size - r.file.Offset()
	}
	return n
}

// written is what the folder's files take.
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

// growth is about what the snapshot that is being saved still takes.
func (s *Snapshotter) growth() int64 {
	if s.order == nil {
		return 0
	}
	if s.writing() {
		return max(s.order.bytes-s.order.saver.Info().Bytes, 0)
	}
	return s.order.bytes
}

// short tells whether the disk has no room for the log beside the next snapshot, whoever has taken it.
func (s *Snapshotter) short() bool { return s.Status.Space() != SpaceLeft }

// makeRoom lets what is older than the newest snapshot go when it has to, and has the newest checked first unless it was
// found sound lately. On a full disk that does not wait for a third one: nothing is written that would make one due.
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

// pieceAfter is how much a step asks the disk for at once, by how long the one before took with so much. Half as much makes a
// step take twice as long at most, so that it does not go to and fro. Where there is haste it does not matter who waits.
func pieceAfter(took time.Duration, before int, haste bool) int {
	switch {
	case haste, took > limits.SnapshotStepQuick:
		return min(2*before, limits.SnapshotStepBytes)
	case took <= limits.SnapshotStepQuick/4:
		return max(before/2, limits.SnapshotPieceBytes)
	}
	return before
}

// outrun tells whether the log takes its room faster than the save goes on: half of it is before the save is ordered, and half of
// what is left is for what comes until the file is published, so that the next save is not due by then. Where the log is large for
// another reason, a follower that it is kept for, or a leader that this member is behind, haste would take the disk from that.
func (s *Snapshotter) outrun() bool {
	if !s.writing() || s.Status.logKept.Load() || s.Status.catchesUp() {
		return false
	}
	room := float64(s.Status.logRoom(&s.Limits, s.bytes()))
	return float64(s.Status.Durable().FileBytes) > room/2+room/4*s.order.done()
}

// Rest implements Paced: hardly any after a step that the disk has not held up, and none where the log outruns a save. Else as long
// as the step took while the log has taken none of its room, less and less up to half of that, and from there on a part of it: what
// lets go of the log has to be ready before there is no room. In that part the log's next group comes, so that it has its turn: the
// disk has just done one, and what follows from that must go to the other members and back.
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
