package limits

import "time"

// Limits of the log, and of the disk space that log and snapshots use.
const (
	// RecordBytes bounds a record of the log when it is read: an entry's data and its frame.
	RecordBytes = EnvelopeBytes + 64<<10
	// GroupBytes bounds one group of the log, unless one order alone is larger, and thus the bytes of one sync: a disk of 2 MB/s
	// acknowledges every two seconds.
	GroupBytes = 4 << 20
	// OrderBytes is how much of entries consensus hands raft before it gives the log writer an order for them. An order is acknowledged as
	// a whole and belongs to one group. It overshoots by at most one message or batch.
	OrderBytes = 1 << 20
	// DiskBytesPerSecond is the throughput below which a disk counts as stalled and another member with a better disk takes the lead: each
	// byte in flight extends the disk's timeout. DiskBytesLeast is the throughput below which a disk counts as dead.
	DiskBytesPerSecond = 1 << 20
	DiskBytesLeast     = 64 << 10
	// DiskStall is how long one write to the disk may take, in addition to the time for its bytes, before the member ends itself.
	DiskStall = 20 * time.Second
	// SlowSync is the duration of a log sync that is worth a line, at most one each SlowSyncPause: a heartbeat takes as long. The alarm
	// needs slow syncs that are more than one in a hundred. In a minute they must number SlowSyncsAlarm, or have taken SlowSyncsTime in
	// total. A single sync that has taken SlowSyncsTime so far also raises it: the slowest disks finish few syncs.
	SlowSync       = 100 * time.Millisecond
	SlowSyncPause  = time.Minute
	SlowSyncsAlarm = 5
	SlowSyncsTime  = 5 * time.Second
	// PrefetchBytes is the read-ahead of segments and snapshots at a start, before they are decoded. It is some milliseconds of a fast
	// disk, enough to keep the disk busy, and small compared with a member's memory.
	PrefetchBytes = 16 << 20
	// WindowBytes is how much of the newest log consensus keeps in memory; older entries are read from disk.
	WindowBytes = 16 << 20
	// ColdReadBytes bounds one read of older entries, at most a quarter of the window. The log's sync waits for it, and a disk that takes
	// 30 ms for a read gives a follower 26 MB a second. Measured on such a disk, three members on one: the p99 of other clients' puts was
	// 2.7 times as long with 4 MiB, 1.9 to 2.1 with 2 MiB and 1.3 to 1.9 with this. The entries read also stay within WindowBytes.
	ColdReadBytes = 1 << 20
	// ColdReads bounds the ordered reads and the reads that wait for their rate limit: one for each other member and one for the applier,
	// and the next one of each.
	ColdReads = 2 * (Members + Learners)
	// SegmentBytes is the default size of a log segment. On a smaller disk package node makes it smaller.
	SegmentBytes = 64 << 20
	// SpareSegments is how many prepared segments are kept. With the released segments that wait for reuse they are SparesMost, or more
	// while the log is written quickly: what the log writes in SparesTime can wait, within the log's budget. A snapshot releases the
	// log of a second or more at once, and a released segment that is removed costs a new file later. More than SparesMost take one part
	// in SparesOfFree of the disk beyond a member's needs (space.Needs): snapshots of other members and other programs find space there.
	SpareSegments = 2
	SparesMost    = 4
	SparesTime    = 10 * time.Second
	SparesOfFree  = 8
	// ReserveRate is the bytes per second written to the log above which new segments are only reserved. Zeros written ahead save each
	// sync a commit of the file system's journal, but double the bytes of a log that is not recycled yet.
	ReserveRate = 48 << 20
	// SpareStepBytes is how much of a spare is filled at a time: on a slow disk the log's sync waits for it. SpareSyncBytes is how much is
	// filled between two syncs: a whole segment at once would delay the log's own.
	SpareStepBytes = 256 << 10
	SpareSyncBytes = 1 << 20
	// SpareQuickTimes multiplies both after a step of at most SpareStepQuick: a journal commit and two wake-ups for each MiB cost more
	// than its zeros.
	SpareQuickTimes = 4
	// SpareStepQuick is the longest step of filling a spare after which the next steps are larger.
	SpareStepQuick = 5 * time.Millisecond
	// LogKept is how many quarters of a segment a full disk's log reserves for terms, votes and raft's own entries; commands cannot use
	// it. An election takes four pages of it: there is space for some two thousand. LogKeptLast is the part that stays reserved when the
	// member proposes nothing more. Additional entries of another member's log must then be accepted to make the logs agree.
	LogKept     = 2
	LogKeptLast = 1
	// LogSnapshots times SnapshotBytes bounds the log: two snapshots need twice SnapshotBytes, and the rest is for writes while the next one
	// is saved. From three quarters on, the older snapshot goes with its log.
	LogSnapshots = 8
	// SpaceMargin is a low watermark of free space above the log's reserve (space.Disk.LogReserve): below it a member refuses writes
	// that enlarge the state. With a segment more it accepts all writes again. On smaller disks it is one part in SpaceMarginOfDisk, but
	// at least a segment. A fast disk writes this much in a third of a second: the free space is checked with each new segment, and all
	// members must learn of it. SpaceCheck is the interval of additional checks.
	SpaceMargin       = 32 << 20
	SpaceMarginOfDisk = 16
	SpaceCheck        = time.Second
)

// Limits of snapshots, as files and in transfer to another member.
const (
	// SnapshotBytes is how much new log justifies the cost of a snapshot; on a small disk one part in SnapshotOfDisk does.
	SnapshotBytes  = 64 << 20
	SnapshotOfDisk = 16
	// SnapshotsKept is how many published snapshots stay: one bad file loses no data.
	SnapshotsKept = 2
	// SnapshotSound is how long a snapshot that was read back from the medium counts as sound when an older one must be deleted. A medium
	// that corrupts such a file within minutes loses the log, too.
	SnapshotSound = 10 * time.Minute
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
	// sync waits behind the whole call. Each step slower than SnapshotStepQuick doubles the piece, up to a whole step, since a disk may
	// take long for each call of any size. A step in a quarter of that time halves it. Each step of a save that the log would outrun also
	// doubles it. Measured: three members on a disk took 11.5 s for 540 MB in these pieces and 5.5 in whole steps; by then a log of 75
	// MB/s had exceeded its space.
	//
	// Measured with 16 KiB of a log that are written and synced repeatedly, beside 100 MB that are written, or read. The median was 0.7
	// and 2.0 ms with 1 MiB at once, 0.3 and 0.35 with 128 KiB, 0.25 and 0.23 with this, and 0.15 with neither. The 100 MB took 0.10 to
	// 0.12, 0.15, and 0.14 to 0.23 s.
	SnapshotPieceBytes = 64 << 10
	// SnapshotStepQuick is the longest step without a disk delay. After a longer one the disk gets an equal pause.
	SnapshotStepQuick = 20 * time.Millisecond
	// SnapshotRest is the fraction of such a step that the pause has at least, even if the log has little space left.
	SnapshotRest = 8
	// SnapshotChunkBytes is one piece of a streamed snapshot.
	SnapshotChunkBytes = 256 << 10
	// SnapshotChunksInflight bounds the pieces in flight: 8 MiB. Each is acknowledged when it is written. If that takes 80 ms, on a busy
	// machine, 2 MiB would be 25 MB/s, and the log would be released before a returning member has its snapshot.
	SnapshotChunksInflight = 32
	// SnapshotFramesWaiting bounds the snapshotter's frames from peers: two windows of pieces, and the requests of all members.
	SnapshotFramesWaiting = 2*SnapshotChunksInflight + 32
	// SnapshotResend is how long a snapshot's sender waits for an answer before it resends the last piece. SnapshotSendTimeout is how long
	// it continues without any answer.
	SnapshotResend      = 500 * time.Millisecond
	SnapshotSendTimeout = 10 * time.Second
	// SnapshotReceiveIdle is how long a leader may be silent before another leader's offer is accepted.
	SnapshotReceiveIdle = 2 * time.Second
	// SnapshotSays is the interval of log lines about an incoming snapshot: most are complete before the second line.
	SnapshotSays = 30 * time.Second
	// SnapshotSendPause bounds the backoff before a snapshot is sent again to a peer that could not use the last one: the first pause is
	// SnapshotResend, and each failure doubles it.
	SnapshotSendPause = 10 * time.Second
)

// Limits of members that catch up.
const (
	// CatchUpBytes, or CatchUpSnapshots times the newest snapshot's size, bounds the log's files while a reachable follower needs more log
	// than the snapshots do. It covers the writes at 50 MB/s while the follower receives a snapshot, loads it and catches up. Beyond it
	// the follower needs another snapshot, which takes as long and does not help more.
	CatchUpBytes     = 512 << 20
	CatchUpSnapshots = 3
	// CatchUpLeast is the guaranteed rate, in bytes per second, for each lagging member, even if the leader's commits slow down.
	// CatchUpGain is the guaranteed multiple of the write rate: under a constant load, a returning member gets one byte of its lag for
	// every four written. CatchUpMost is more than any disk takes. Measured on four cores that three members and their clients share, puts
	// of 32 KiB at 85 MB/s, a member away for 60 s. It caught up after 33 to 47 s, with puts under 80 % for 2 to 9 s at most, 4 mostly.
	// With 1.5: after 31 to 42 s, and 4 to 8 s. With 2: after 26 to 36 s, and 6 to 11 s.
	//
	// CatchUpGainMost replaces CatchUpGain while the log fills half of its space for lagging members. Saves are SnapshotInterval apart:
	// 200 MiB of state under 100 MB/s have twice as much log after the newest snapshot. While that log is sent at 1.25, eight tenths of
	// the state's size are added. The sum is three times the state, and CatchUpSnapshots is all that is kept. With 2 the sum is two and a
	// half, and falls four times as fast. States from 512 MiB on do not reach this: it is for states between 100 and 300.
	CatchUpLeast    = 32 << 20
	CatchUpGain     = 1.25
	CatchUpGainMost = 2
	CatchUpMost     = 4 << 30
	// CatchUpCost is the factor by which commits may slow down while any member lags, before the rate falls: a whole write slows by less.
	// A commit may always take CatchUpCostLeast longer. For commits of less than a few milliseconds, a fifth is scheduler noise, which a
	// client's round trip hides.
	CatchUpCost      = 1.2
	CatchUpCostLeast = 500 * time.Microsecond
	// CatchUpWindow is how often the leader measures its commit time. The time is smoothed over CatchUpSmooth windows, or over
	// CatchUpSmoothCalm windows while no member lags or commits are faster than before. CatchUpForget windows, nearly a minute, is how
	// long the earlier commit time is the reference: a longer slowdown counts as the load.
	CatchUpWindow     = 100 * time.Millisecond
	CatchUpSmooth     = 4
	CatchUpSmoothCalm = 16
	CatchUpForget     = 512
	// CatchUpBurst bounds the token bucket of late ticks: how much time's bytes are sent at once at most.
	CatchUpBurst = 50 * time.Millisecond
)
