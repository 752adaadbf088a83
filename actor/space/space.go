// Package space decides how a member uses its disk: which writes it accepts, how much its log and spare segments may take, and how large a
// state the disk holds. [Needs] is the one formula of disk space; everything else follows from it and from the files that there are.
//
// Every decision is a function of one value, [Disk]. Four actors report to it. The segment maker measures the disk, and the
// log writer tells how full the log is. The snapshotter tells the sizes of its files, and consensus whether a follower needs the log.
// actor.Status holds the newest value, and hands out copies: a decision never sees a report that arrives while it is made.
//
// The disk has three levels of free space, from the top:
//
//	high mark     above it, all writes are accepted again
//	low mark      below it, writes that enlarge the state are refused ([Low])
//	log's reserve new segments never use it: it holds what the next snapshot has to write, and growth until the log's files are full
//
// Between the low mark and the log's reserve there is space for writes until all members know that the disk is full.
package space

import (
	"cmp"
	"math"
	"math/bits"
	"time"

	"qkv/internal/limits"
)

const (
	// sparesTime is how much time's writes of the log may wait as released segments, within the log's budget. A snapshot releases the log
	// of a second or more at once, and a released segment that is removed costs a new file later. More than limits.SparesMost take one part
	// in sparesOfFree of the disk beyond a member's [Needs]: snapshots of other members and other programs find space there.
	sparesTime   = 10 * time.Second
	sparesOfFree = 8
	// logSnapshots times SnapshotBytes bounds the log: two snapshots need twice SnapshotBytes, and the rest is for writes while the next one
	// is saved. From three quarters on, the older snapshot goes with its log.
	logSnapshots = 8
	// marginOfDisk is the part of a small disk that replaces limits.SpaceMargin; it is at least a segment. snapshotOfDisk is the part of
	// a small disk that replaces SnapshotBytes. catchUpSnapshots is explained at limits.CatchUpBytes.
	marginOfDisk     = 16
	snapshotOfDisk   = 16
	catchUpSnapshots = 3
	// On a disk without space for limits.BaseLeast, a newer base is made from one part in baseOfLive of the live keys on. It must be written
	// before the space for it is gone.
	baseOfLive = 4
)

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

	// Of the newest state.
	Live int64 // weight of the live keys
	Next int64 // weight of what the next snapshot has to write: its own file, and extents that are in no file yet

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
	NextHas   int64 // of Next: the part already written, or the size of the files that can be deleted for it
	Stored    int64 // the last revision that parts on the disk have
	Receives  bool  // a snapshot is being received
	Lacks     bool  // a file found no space lately

	// Of consensus.
	LogKept   bool // the log is kept for a follower, or for the backup
	ForBackup bool // it is kept for the backup
	Lags      bool // this member lags behind its leader
	Helps     bool // the newest snapshot frees space on the disk of a full follower
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

// Recycles returns how many released segments wait for reuse, in addition to the ready spares. They are as many as the log fills in
// sparesTime, at a rate in bytes per second. Its files and they stay within its budget. They also take only one part in
// sparesOfFree of the space beyond [Needs]. If a snapshot finds no space, or the disk is full, only those of a slow log are left.
func (d Disk) Recycles(l *limits.Tunable, files, rate int64) int {
	n := int64(limits.SparesMost - limits.SpareSegments)
	if d.Full || d.Lacks {
		return int(n)
	}
	beyond := d.Capacity - d.Needs(l, d.Live, max(d.Snapshots-d.Live, 0)).most()
	bytes := min(rate*int64(sparesTime/time.Second), d.LogBudget(l)-files, beyond/sparesOfFree)
	return int(max(n, bytes/d.SegmentBytes))
}

// Needs is the disk space that a member takes, by its purpose, in bytes. Each figure is an upper bound, but a newer base
// may also have keys overwritten and deleted since its compaction: it is begun only where there is space.
type Needs struct {
	Base    int64 // the live keys, once
	History int64 // the extents that the history needs
	Own     int64 // files of two snapshots and of the one being saved: the changes of the open extent
	Log     int64 // of two snapshots and of the one being saved, its newest segment, and the spares

	Waiting int64 // extents of compacted changes: they wait for a newer base
	// a newer base of the live keys, and the changes until two snapshots list it: so long the older one stays
	Newer int64

	Incoming  int64 // parts that another member sends while this member keeps its own: at most a whole state
	Followers int64 // of the log, kept for members that catch up
	Free      int64 // the high mark: with less, writes may be refused
}

// Needs returns the space that a state takes on this disk, by the weight of its live keys and of its history.
func (d Disk) Needs(l *limits.Tunable, live, history int64) Needs {
	n := Needs{Base: live, History: history, Waiting: BaseAfter(l, live, live+limits.BaseLeast), Followers: l.CatchUpBytes}
	n.Own = (limits.SnapshotsKept + 1) * cmp.Or(l.Index.ExtentBytes, limits.ExtentBytes)
	n.Log = (limits.SnapshotsKept+1)*d.saveBytes(l) + d.logLeaves()
	n.Newer = live + limits.SnapshotsKept*d.saveBytes(l)
	n.Incoming = n.Base + n.History + n.Waiting
	_, n.Free = d.marks()
	return n
}

// AtRest returns the space just after a newer base has taken the place of the older one.
func (n Needs) AtRest() int64 { return n.Base + n.History + n.Own + n.Log }

// most returns the size of a disk that never is nearly full.
func (n Needs) most() int64 {
	return n.AtRest() + n.Waiting + max(n.Newer, n.Incoming) + n.Followers + n.Free
}

// BaseAfter returns how much a newer base must free to be worth its writing: three quarters of the weight of the live keys. Where the disk,
// or memory, has less than that to spare, a newer base is made earlier, but not before a quarter of the live keys: else there would be no
// space left to write it.
func BaseAfter(l *limits.Tunable, live, spare int64) int64 {
	return min(max(live/4*3, cmp.Or(l.Index.BaseLeast, limits.BaseLeast)), live/baseOfLive+max(spare, 0))
}

// Holds returns the size of a state, live keys and history together, that this machine holds. ease is by the size of the disk, and leaves
// space for a whole state from another member: a member that was away for long can then return. now is without that, and without the space
// that files of other programs take. Both are rounded down, so that they seldom change. memory is the size that the memory holds. 0 is not
// known.
func (d Disk) Holds(l *limits.Tunable, memory int64) (ease, now int64) {
	memory = cmp.Or(memory, math.MaxInt64)
	waiting := func(live int64) int64 { return live + live/baseOfLive } // of a disk that has nothing to spare
	if bytes := d.stateSpace(l, d.Size); bytes > 0 {
		live := min(d.Live, bytes/2*baseOfLive/(baseOfLive+1))
		ease = min(memory, bytes/2-waiting(live)+live)
	}
	if bytes := d.stateSpace(l, d.Capacity); bytes > 0 {
		live := min(d.Live, bytes/(2*baseOfLive+1)*baseOfLive)
		now = min(memory, bytes-waiting(live))
	}
	return coarse(ease), coarse(now)
}

// stateSpace returns the space of a disk of that capacity for the state; 0 is not known.
func (d Disk) stateSpace(l *limits.Tunable, capacity int64) int64 {
	if capacity == 0 {
		return 0
	}
	d.Capacity = capacity
	fixed := d.Needs(l, 0, 0)
	return max(capacity-fixed.AtRest()-fixed.Newer-fixed.Free, 2)
}

func coarse(bytes int64) int64 {
	if bytes == 0 {
		return 0
	}
	step := int64(1) << max(20, bits.Len64(uint64(bytes))-7)
	return max(bytes/step*step, 1)
}

// LogBudget returns how much the log's segments may take. It is larger while the log is kept for a follower or for the backup, or this member catches up.
func (d Disk) LogBudget(l *limits.Tunable) int64 {
	bytes := logSnapshots * d.saveBytes(l)
	if d.LogKept || d.CatchesUp() {
		bytes += d.followers(l)
	}
	if d.ForBackup {
		bytes = max(bytes, d.BackupLogBudget())
	}
	return d.beside(bytes)
}

// BackupLogBudget returns the maximum size of a log kept for the backup: half of what the disk has for the log. Nothing is kept on a disk of
// unknown size.
func (d Disk) BackupLogBudget() int64 {
	if d.Capacity == 0 {
		return 0
	}
	return d.beside(math.MaxInt64) / 2
}

// FollowerLogBudget returns the maximum size of a log kept for a follower that receives a snapshot, or catches up after one.
func (d Disk) FollowerLogBudget(l *limits.Tunable) int64 { return d.beside(d.followers(l)) }

func (d Disk) followers(l *limits.Tunable) int64 {
	return max(l.CatchUpBytes, catchUpSnapshots*d.Newest)
}

// beside bounds a size of the log by the disk: snapshots, spares and the high mark leave the rest.
func (d Disk) beside(bytes int64) int64 {
	if d.Capacity > 0 {
		_, high := d.marks()
		bytes = min(bytes, d.Capacity-high-d.SpareBytes()-d.Snapshots)
	}
	return max(bytes, 0)
}

// SaveDue reports whether the log behind the last snapshot is large enough for another one, by the bytes of its records, or of its files if
// these have grown for another reason than a follower. A full disk accepts nothing until a snapshot has freed log.
func (d Disk) SaveDue(l *limits.Tunable, records, files int64) bool {
	after := d.saveAfter(l)
	if d.Accepts() != Left {
		after = l.SnapshotBytes / 64
	}
	return records > after || files > 4*after && records > after/8 && !d.LogKept
}

// saveAfter returns the bytes of log since the last snapshot from which on the next one is due. While this member catches up they are half
// of the log's budget: a snapshot would be old when it is saved.
func (d Disk) saveAfter(l *limits.Tunable) int64 {
	if d.CatchesUp() {
		return max(d.saveBytes(l), d.LogBudget(l)/2)
	}
	return d.saveBytes(l)
}

func (d Disk) saveBytes(l *limits.Tunable) int64 {
	if d.Capacity > 0 {
		return min(l.SnapshotBytes, max(d.Capacity/snapshotOfDisk, 1))
	}
	return l.SnapshotBytes
}

// marks returns the low and the high mark of free space, in addition to the next snapshot's space.
func (d Disk) marks() (low, high int64) {
	low = d.logLeaves() + max(d.SegmentBytes, min(limits.SpaceMargin, d.Capacity/marginOfDisk))
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

// SnapshotNeeds returns how much of the free space the next snapshot takes, with all pending log entries. A newer base is not counted: it
// is written only where there is space, and the snapshot lists the older one meanwhile.
func (d Disk) SnapshotNeeds() int64 { return max(d.Next+d.Unapplied-d.NextHas, 0) }

// Wants returns the free space that the state may still need as it is: the high mark, and a newer base.
func (d Disk) Wants() int64 {
	_, high := d.Marks()
	return high + d.Live
}
