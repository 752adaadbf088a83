// Package space decides how a member uses its disk: which writes it accepts, and how much its snapshots, its log and the log's spare
// segments may take.
//
// Every decision is a function of one value, [Disk]. Four actors report to it. The segment maker measures the disk, and the
// log writer tells how full the log is. The snapshotter tells the sizes of its files, and consensus whether a follower needs the log.
// actor.Status holds the newest value, and hands out copies: a decision never sees a report that arrives while it is made.
//
// The disk has three levels of free space, from the top:
//
//	high mark     above it, all writes are accepted again
//	low mark      below it, writes that enlarge the state are refused ([Low])
//	log's reserve new segments never use it: it holds the next snapshot, and growth until the log's files are full
//
// Between the low mark and the log's reserve there is space for writes until all members know that the disk is full.
package space

import "qkv/internal/limits"

// Level is the disk space of a member or a cluster, as the class of writes that it accepts.
type Level int

const (
	// Left: everything is accepted.
	Left Level = iota
	// Low: the disk is nearly full; commands that enlarge the state are refused.
	Low
	// None: the log has no spare either. No write is accepted until a snapshot, or an operator, has freed space. The rest of the log's
	// segment is for commands proposed before a leader knew, and for terms, votes and a new leader's first entry. There is a leader
	// therefore, and reads continue.
	None
)

// Disk is what is known of a member's disk and of the files on it. Sizes are in bytes.
type Disk struct {
	// Constant.
	SegmentBytes int64 // size of a segment of the log
	Memory       int64 // of the machine; 0: not known

	State int64 // size of the keys and values with the kept history

	// The segment maker's.
	Size     int64 // of the file system; 0: not known
	Capacity int64 // the free space and this member's files; 0: not known
	Free     int64 // at the last check
	Full     bool  // Free is below the low mark, or files are refused

	// The log writer's.
	Spares    int64 // number of spare segments
	Quarters  int32 // remaining quarters of a segment, without another file
	LogWaits  bool  // the log waits for space
	Unapplied int64 // written entries that are not applied

	// The snapshotter's.
	Newest    int64 // size of the newest snapshot
	Snapshots int64 // all its files, the snapshot being saved or received at its full size
	Written   int64 // all its files at their present size
	NextHas   int64 // of the next snapshot: the part already written, or the files that can be deleted for it
	Receives  bool  // a snapshot is being received
	Saves     bool  // a snapshot is being saved, and more than half of it is written

	// Of consensus.
	LogKept bool // the log is kept for a follower
	Lags    bool // this member lags behind its leader
	Helps   bool // the newest snapshot frees space on the disk of a full follower
}

// Accepts returns which writes the member accepts.
func (d Disk) Accepts() Level {
	switch {
	case d.LogWaits:
		return None
	case !d.Full:
		return Left
	case d.Spares == 0:
		return None
	default:
		return Low
	}
}

// LogTakes reports whether the log accepts commands: on a full disk only while it has that many quarters of a segment left without
// another file (limits.LogKept).
func (d Disk) LogTakes(quarters int32) bool {
	return !d.LogWaits && (!d.Full || d.Quarters >= quarters)
}

// CatchesUp reports whether this member lags behind its leader: a snapshot would be old when it is saved.
func (d Disk) CatchesUp() bool { return d.Lags || d.Receives }

// SpareBytes returns the maximum size of the log's spare segments.
func (d Disk) SpareBytes() int64 { return limits.SparesMost * d.SegmentBytes }

// Budget returns how much snapshots, log and spares may take together, at least least on a disk with that capacity. They leave the space
// at which all writes are accepted.
func (d Disk) Budget(least int64) int64 { return d.timesState(limits.DiskUse, least) }

// timesState returns a multiple of the state's size, or least if that is more, bounded by the disk's capacity.
func (d Disk) timesState(times, least int64) int64 {
	bytes := max(times*d.State, least)
	if d.Capacity > 0 {
		_, high := d.marks()
		bytes = min(bytes, d.Capacity-high)
	}
	return bytes
}

// marks returns the low and the high mark of free space, in addition to the next snapshot's space.
func (d Disk) marks() (low, high int64) {
	low = d.logLeaves() + max(d.SegmentBytes, min(limits.SpaceMargin, d.Capacity/limits.SpaceMarginOfDisk))
	return low, low + d.SegmentBytes
}

// Marks returns the low and the high mark of free space.
func (d Disk) Marks() (low, high int64) {
	low, high = d.marks()
	return low + d.SnapshotNeeds(), high + d.SnapshotNeeds()
}

// logLeaves is the free space that the log never uses for new segments, in addition to the next snapshot's space.
func (d Disk) logLeaves() int64 { return (limits.SpareSegments + 1) * d.SegmentBytes }

// LogReserve returns the free space that a new segment must leave: the next snapshot's space, and the growth by entries until the
// current segment and the spares are full.
func (d Disk) LogReserve() int64 { return d.SnapshotNeeds() + d.logLeaves() }

// SnapshotNeeds returns how much of the free space the next snapshot takes. It is the size of a state with all pending log entries, minus
// the part already written, or minus the older snapshot, which can be deleted first.
func (d Disk) SnapshotNeeds() int64 { return max(d.State+d.Unapplied-d.NextHas, 0) }

// LogBudget returns the part of the budget left for the log's segments, after the given bytes of snapshots. It is larger while the log is
// kept for a follower, or this member catches up.
func (d Disk) LogBudget(l *limits.Tunable, snapshots int64) int64 {
	bytes := d.Budget(l.DiskUseLeast)
	if d.LogKept || d.CatchesUp() {
		bytes = d.timesState(limits.DiskUse+limits.DiskUseCatchUp, l.DiskUseLeast)
	}
	return max(bytes-d.SpareBytes()-snapshots, 0)
}

// FollowerLogBudget returns the maximum size of a log kept for a follower that receives a snapshot, or catches up after one.
func (d Disk) FollowerLogBudget(l *limits.Tunable) int64 {
	bytes := d.timesState(limits.DiskUse+limits.DiskUseCatchUp, l.DiskUseLeast)
	return min(max(l.CatchUpBytes, limits.CatchUpSnapshots*d.Newest), max(bytes-d.SpareBytes()-d.Snapshots, 0))
}

// WorthSaving returns the size of records that triggers a snapshot even if the state is small; on a small disk it is a fraction of the
// capacity.
func (d Disk) WorthSaving(most int64) int64 {
	if d.Capacity > 0 {
		return min(most, max(d.Capacity/limits.SnapshotOfDisk, 1))
	}
	return most
}

// Holds returns the state size that this machine holds with ease on a disk of that capacity, in whole MiB: the value then seldom changes.
// 0 is not known. cold is the part of the state that is on the disk only.
func (d Disk) Holds(capacity, cold int64) int64 {
	held := d.Memory / limits.StateOfMemory
	if held > 0 {
		held += cold
	}
	if capacity > 0 { // without the space that is kept free besides the next snapshot, and without the spares
		_, high := d.marks()
		onDisk := max((capacity-high-d.SpareBytes())/limits.StateOfDisk, 1)
		if held == 0 || onDisk < held {
			held = onDisk
		}
	}
	if held == 0 {
		return 0
	}
	return max(held>>20<<20, 1)
}
