package limits

import "time"

// Limits of the log, and of the disk space that log and snapshots use.
const (
	// RecordBytes bounds a record of the log when it is read: an entry's data and its frame.
	RecordBytes = EnvelopeBytes + 64<<10
	// GroupBytes bounds one group of the log, unless one order alone is larger, and thus the bytes of one sync: a disk of 2 MB/s
	// acknowledges every two seconds.
	GroupBytes = 4 << 20
	// orderBytes is how much of entries consensus hands raft before it gives the log writer an order for them. An order is acknowledged as
	// a whole and belongs to one group. It overshoots by at most one message or batch.
	orderBytes = 1 << 20
	// DiskBytesPerSecond is the throughput below which a disk counts as stalled and another member with a better disk takes the lead: each
	// byte in flight extends the disk's timeout.
	DiskBytesPerSecond = 1 << 20
	// DiskStall is how long one write to the disk may take, in addition to the time for its bytes, before the member ends itself.
	DiskStall = 20 * time.Second
	// SlowSync is the duration of a log sync that is worth a line, at most one each SlowSyncPause: a heartbeat takes as long.
	SlowSync      = 100 * time.Millisecond
	SlowSyncPause = time.Minute
	// PrefetchBytes is the read-ahead of segments and snapshots at a start, before they are decoded. It is some milliseconds of a fast
	// disk, enough to keep the disk busy, and small compared with a member's memory.
	PrefetchBytes = 16 << 20
	// WindowBytes is how much of the newest log consensus keeps in memory; older entries are read from disk.
	WindowBytes = 16 << 20
	// ColdReads bounds the ordered reads and the reads that wait for their rate limit: one for each other member and one for the applier,
	// and the next one of each.
	ColdReads = 2 * (Members + Learners)
	// SegmentBytes is the default size of a log segment. On a smaller disk package node makes it smaller.
	SegmentBytes = 64 << 20
	// SpareSegments is how many prepared segments are kept. With the released segments that wait for reuse they are SparesMost, or more
	// while the log is written quickly (space.Disk.Recycles).
	SpareSegments = 2
	SparesMost    = 4
	// ReserveRate is the bytes per second written to the log above which new segments are only reserved. Zeros written ahead save each
	// sync a commit of the file system's journal, but double the bytes of a log that is not recycled yet.
	ReserveRate = 48 << 20
	// LogKept is how many quarters of a segment a full disk's log reserves for terms, votes and raft's own entries; commands cannot use
	// it. An election takes four pages of it: there is space for some two thousand.
	LogKept = 2
	// SpaceMargin is a low watermark of free space above the log's reserve (space.Disk.LogReserve): below it a member refuses writes
	// that enlarge the state. With a segment more it accepts all writes again. On smaller disks it is lower (space.Disk). A fast disk writes
	// this much in a third of a second: the free space is checked with each new segment, and all members must learn of it. SpaceCheck is
	// the interval of additional checks.
	SpaceMargin = 32 << 20
	SpaceCheck  = time.Second
)

// Limits of snapshots, as files and in transfer to another member.
const (
	// SnapshotBytes is how much new log justifies the cost of a snapshot; on a small disk less does (space.Disk).
	SnapshotBytes = 64 << 20
	// SnapshotsKept is how many published snapshots stay: one bad file loses no data.
	SnapshotsKept = 2
	// SnapshotRetry is the pause before a failed save is retried. It doubles with each failure, up to SnapshotRetryMost. The backoff uses
	// returned space or disks soon, and a broken disk does not flood the log.
	SnapshotRetry     = time.Second
	SnapshotRetryMost = time.Minute
	// SnapshotHeadBytes bounds a snapshot's head: raft's configuration, 20 bytes a member, and 65 bytes for each of 20,000 parts.
	SnapshotHeadBytes = 3 << 19
	// SnapshotStepBytes is one step of saving or checking a snapshot: about two milliseconds, after which waiting work gets the processor.
	// A longer save costs more: superseded versions are kept for it and must be skipped. In single runs on a busy machine, at 240,000
	// puts/s, steps of 256 KiB with equal pauses made a save last about three times as long. A put then cost some 7 % more of the
	// processor; p99 was the same.
	SnapshotStepBytes = 1 << 20
	// SnapshotPieceBytes is how much of a step is written or read with one call on a fast disk: in a disk with an ordered queue the log's
	// sync waits behind the whole call. Each slow step doubles the piece, up to a whole step, since a disk may
	// take long for each call of any size. A step in a quarter of that time halves it. Each step of a save that the log would outrun also
	// doubles it. Measured: three members on a disk took 11.5 s for 540 MB in these pieces and 5.5 in whole steps; by then a log of 75
	// MB/s had exceeded its space.
	//
	// Measured with 16 KiB of a log that are written and synced repeatedly, beside 100 MB that are written, or read. The median was 0.7
	// and 2.0 ms with 1 MiB at once, 0.3 and 0.35 with 128 KiB, 0.25 and 0.23 with this, and 0.15 with neither. The 100 MB took 0.10 to
	// 0.12, 0.15, and 0.14 to 0.23 s.
	SnapshotPieceBytes = 64 << 10
	// snapshotFramesWaiting bounds the snapshotter's frames from peers: offers, and the words of all members about them.
	snapshotFramesWaiting = 32
)

// Limits of members that catch up.
const (
	// CatchUpBytes, or three times the newest snapshot's size, bounds the log's files while a reachable follower needs more log than the
	// snapshots do. It covers the writes at 50 MB/s while the follower receives a snapshot, loads it and catches up. Beyond it the follower
	// needs another snapshot, which takes as long and does not help more.
	CatchUpBytes = 512 << 20
	// CatchUpLeast is the guaranteed rate, in bytes per second, for each lagging member, even if the leader's commits slow down.
	CatchUpLeast = 32 << 20
)
