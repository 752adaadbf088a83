package limits

import "time"

// The log, and what it and the snapshots take of a disk.
const (
	// RecordBytes bounds a record of the log when it is read: an entry's data and its frame around it.
	RecordBytes = EnvelopeBytes + 64<<10
	// GroupBytes bounds one group of the log, unless one order alone is larger, and so what one sync covers: a disk of
	// 2 MB/s acknowledges every two seconds.
	GroupBytes = 4 << 20
	// OrderBytes is how much of entries consensus hands raft before it gives the log writer an order for them. An order is
	// acknowledged as a whole, so it is part of a group, and overshoots by at most one message or batch.
	OrderBytes = 1 << 20
	// DiskBytesPerSecond is how slow a disk may be before it counts as stalled, so that another member leads if it has a better one:
	// each byte under way gives it time. DiskBytesLeast is how slow one may be that is not dead.
	DiskBytesPerSecond = 1 << 20
	DiskBytesLeast     = 64 << 10
	// DiskStall is how long one write to the disk may take, beside the time for its bytes, before the member ends itself.
	DiskStall = 20 * time.Second
	// SlowSync is a sync of the log that is worth a line, at most one each SlowSyncPause: a heartbeat takes as long. As
	// many as SlowSyncsAlarm in a minute, or so many that the disk was at them for SlowSyncsTime, and more than one in a hundred,
	// are an alarm, and one that has taken SlowSyncsTime so far: the slowest disks end few of them.
	SlowSync       = 100 * time.Millisecond
	SlowSyncPause  = time.Minute
	SlowSyncsAlarm = 5
	SlowSyncsTime  = 5 * time.Second
	// PrefetchBytes is how much of a segment, and of a snapshot, a disk is asked for before it is decoded, at a start: some
	// milliseconds of a quick disk, so that it is never idle, and little beside what a member takes anyway.
	PrefetchBytes = 16 << 20
	// WindowBytes is how much of the newest log consensus keeps in memory; older entries are read from disk.
	WindowBytes = 16 << 20
	// ColdReadBytes bounds one read of older entries, at most a quarter of the window: the log's sync waits for it, and a disk that
	// takes 30 ms for a read gives a follower 26 MB a second. Measured on such a disk, three members on one: others' puts took 2.7
	// times as long at the 99th percentile with 4 MiB, 1.9 to 2.1 with 2 MiB and 1.3 to 1.9 with this. What was read is kept within
	// WindowBytes, too.
	ColdReadBytes = 1 << 20
	// ColdReads bounds the reads on order, and those that wait for their pace: one for each other member and one for the applier,
	// and the next one of each.
	ColdReads = 2 * (Members + Learners)
	// SegmentBytes is the size of a segment of the log by default, on a smaller disk what fits it SegmentsOfDisk times: there are up
	// to SparesMost spares, and room for five is kept free. But the largest entry fits in one, with SegmentOver for its headers and
	// what is kept, in whole SegmentBytesSmall. SegmentBytesLeast and SegmentBytesMost are what it may be set to.
	SegmentsOfDisk    = 64
	SegmentBytesSmall = 1 << 20
	SegmentOver       = 64 << 10
	SegmentBytes      = 64 << 20
	SegmentBytesLeast = 64 << 10
	SegmentBytesMost  = 1 << 30
	// BatchesOfSegment is how many batches a segment holds at least: what is batched, as deletions are, never needs a file of its own.
	BatchesOfSegment = 4
	// SpareSegments is how many segments are kept ready; SparesMost is how many recycled ones are kept at most.
	SpareSegments = 2
	SparesMost    = 4
	// SpareStepBytes is how much of a spare is filled at a time: on a slow disk the log's sync waits for it. SpareSyncBytes is
	// how much is filled between two syncs: a whole segment at once would hold up the log's own.
	SpareStepBytes = 256 << 10
	SpareSyncBytes = 1 << 20
	// SpareQuickTimes is how many times as much both are after a step of at most SpareStepQuick: a commit of the journal and two
	// wake-ups for each MiB cost more than its zeros.
	SpareQuickTimes = 4
	SpareStepQuick  = 5 * time.Millisecond
	// LogKept is how many quarters of a segment the log of a full disk keeps for terms, votes and raft's own entries, in place
	// of commands: an election takes four pages of it, so there is room for some two thousand. LogKeptLast is how many it
	// still keeps when nothing is proposed any more, and what another member's log has more must be taken so that they agree.
	LogKept     = 2
	LogKeptLast = 1
	// DiskUse bounds what snapshots, log and spares take of a member's disk, in multiples of the keys and values and the history
	// that is kept; DiskUseLeast is what they may take however little that is: spares of 64 MiB, and the log that a follower
	// needs.
	DiskUse      = 4
	DiskUseLeast = 3 << 29
	// DiskUseCatchUp is by how much more that is while the log is kept for a follower: of DiskUse the next snapshot, which is saved
	// meanwhile, leaves the log less than what is written while a large state is sent.
	DiskUseCatchUp = 2
	// SpaceMargin, or a part in SpaceMarginOfDisk of a smaller disk, but at least a segment, is how much more than the log must leave
	// (actor.Status.LogReserve) makes a member refuse what makes the state larger; with a segment more it takes everything again. It is
	// what a fast disk is given in a third of a second: the free space is looked at with each segment that is made, and all must hear
	// of it. SpaceCheck is how often it is looked at beside that.
	SpaceMargin       = 32 << 20
	SpaceMarginOfDisk = 16
	SpaceCheck        = time.Second
)

// Snapshots, as files and on their way to another member.
const (
	// SnapshotInterval is the least time between two snapshots of one member: each commits the file system's
	// journal and stalls the log's sync.
	SnapshotInterval = 10 * time.Second
	// SnapshotBytes is the least amount of new records that makes a snapshot worth its cost; of a small disk a part in SnapshotOfDisk
	// is worth it.
	SnapshotBytes  = 64 << 20
	SnapshotOfDisk = 8
	// SnapshotsKept is how many published snapshots stay, so that one bad file loses nothing.
	SnapshotsKept = 2
	// SnapshotSound is how long a snapshot that was read back from the medium counts as sound there when an older one has to
	// go. What rots within minutes of a write that was read back is a disk that loses the log, too.
	SnapshotSound = 10 * time.Minute
	// SnapshotRetry is the pause before a save that failed is tried again, and doubles with each failure up to
	// SnapshotRetryMost: space or a disk that comes back is used soon, and a broken one does not fill the log of messages.
	SnapshotRetry     = time.Second
	SnapshotRetryMost = time.Minute
	// SnapshotBlockBytes is when a block of a snapshot is closed: small enough to be checked and held at once, large
	// enough that its checksums and calls cost nothing.
	SnapshotBlockBytes = 256 << 10
	// SnapshotBlockMost bounds a block when it is read: a full one, and one more key with the largest value that an
	// entry can hold.
	SnapshotBlockMost = SnapshotBlockBytes + RecordBytes
	// SnapshotHeadBytes bounds a snapshot's head: a few numbers, and raft's configuration, 20 bytes a member.
	SnapshotHeadBytes = 64 << 10
	// SnapshotSyncBytes is how much of a snapshot is written before it is synced: the log's syncs wait behind it. Measured
	// on a busy ext4 with a snapshot of 150 MB under way all the time: puts' p99 was 12.5 ms with 8 MiB, 4.4 ms with this,
	// and 3.4 ms without a snapshot.
	SnapshotSyncBytes = 1 << 20
	// SnapshotBackBytes is how much of a snapshot that is received may be on its way to the disk: enough that the disk is never
	// idle, and little enough that another file's sync waits for milliseconds. It is synced at its end only: each sync of a file
	// that grows commits the file system's journal. Measured on ext4, 1 GiB: 220 to 330 MB/s with a sync of each MiB, 590 to
	// 1,200 with one at the end.
	SnapshotBackBytes = 2 << 20
	// SnapshotCacheBytes is how much of a snapshot that is sent, or received and read back, stays in the page cache. The memory of a
	// gigabyte that nobody reads again is one that others must give up, and costs to get: measured on a virtual machine, a member
	// that joins to 1 GB was level after 4.4 s and not 5.6.
	SnapshotCacheBytes = 16 << 20
	// SnapshotStepBytes is what one step of saving or checking a snapshot handles: about two milliseconds, after which
	// whatever waits for the processor has it. The longer a save lasts, the more it costs: versions that are superseded
	// meanwhile are kept for it, and are walked past. In single runs on a busy machine, at 240,000 puts/s, steps of 256 KiB
	// with rests as long made a save last about three times as long, and a put cost some 7 % more of the processor; p99 was
	// the same.
	SnapshotStepBytes = 1 << 20
	// SnapshotPieceBytes is how much of a step is written or read with one call on a disk that is quick: one that serves its queue
	// in order has the log's sync wait behind the whole call. Each step that took longer than SnapshotStepQuick doubles it, up to a
	// whole step, since a disk may take long for each call, however little it is for; one of a quarter of that halves it again. So
	// does each step of a save that the log would outrun: three members on a disk took 11.5 s for 540 MB in these pieces, 5.5 in
	// whole steps, and by then a log of 75 MB/s had taken more than its room.
	// Measured with 16 KiB of a log that are written and synced again and again beside 100 MB that are written, or read: the median
	// was 0.7 and 2.0 ms with 1 MiB at once, 0.3 and 0.35 with 128 KiB, 0.25 and 0.23 with this, and 0.15 with neither; the 100 MB
	// took 0.10 to 0.12, 0.15, and 0.14 to 0.23 s.
	SnapshotPieceBytes = 64 << 10
	// SnapshotStepQuick is what a step takes at most that no disk has held up. After a longer one the disk gets a rest as long.
	SnapshotStepQuick = 20 * time.Millisecond
	// SnapshotRest is what part of such a step the shortest rest is, however little room the log has left.
	SnapshotRest = 8
	// SnapshotChunkBytes is one piece of a streamed snapshot.
	SnapshotChunkBytes = 256 << 10
	// SnapshotChunksInflight is how many pieces may be on their way: 8 MiB. Each is answered when it is written; where that takes
	// 80 ms, on a busy machine, 2 MiB are 25 MB/s, and a member that was away needs longer for a snapshot than the log is kept.
	SnapshotChunksInflight = 32
	// SnapshotFramesWaiting bounds the snapshotter's frames from peers: two windows of pieces, and the requests of
	// all members.
	SnapshotFramesWaiting = 2*SnapshotChunksInflight + 32
	// SnapshotResend is how long the sender of a snapshot waits for an answer before it sends the last piece again,
	// SnapshotSendTimeout how long it goes on without any.
	SnapshotResend      = 500 * time.Millisecond
	SnapshotSendTimeout = 10 * time.Second
	// SnapshotWait is how long a follower that needs a snapshot waits for the one that is being saved, at most: what it would
	// lack less is worth some seconds, and a disk that is too slow for that may be as slow for a minute.
	SnapshotWait = 10 * time.Second
	// SnapshotReceiveIdle is how long a leader may be silent before another one's offer is taken instead.
	SnapshotReceiveIdle = 2 * time.Second
	// SnapshotSays is how often a snapshot that comes is worth a line: most have come before the second one.
	SnapshotSays = 30 * time.Second
	// SnapshotClock is how often the snapshotter looks at these: they are late by as much.
	SnapshotClock = 100 * time.Millisecond
	// SnapshotSendPause bounds the pause before a snapshot is sent again to a peer that could not use the last one: the
	// first pause is SnapshotResend, and each failure doubles it.
	SnapshotSendPause = 10 * time.Second
)

// Members that are behind.
const (
	// CatchUpBytes is how large the log's files may be, or CatchUpSnapshots times as large as the newest snapshot, while a follower
	// that can be reached needs more of them than the snapshots do: what is written at 50 MB/s while it gets and loads a snapshot,
	// and catches up. Past that it has to begin with another snapshot, which takes as long, and is of no more use.
	CatchUpBytes     = 512 << 20
	CatchUpSnapshots = 3
	// CatchUpLeast is how many bytes a second each member gets that is behind, however long the leader's writes take meanwhile,
	// and CatchUpGain how many times what is written: of a load that goes on, one that was away gets what it lacks, a byte for every
	// four that are written. Measured on four cores that three members and their clients share, puts of 32 KiB at 85 MB/s, a
	// member away for 60 s: level again after 33 to 47 s, puts under 80 % for 2 to 9 s at most, 4 mostly; with 1.5 after 31 to 42 s, and 4 to
	// 8 s; with 2 after 26 to 36 s, and 6 to 11 s. CatchUpMost is more than a disk takes.
	//
	// CatchUpGainMost is it while the log has taken half of the room in which it is kept for them. Saves are SnapshotInterval apart, so
	// that 200 MiB of state under 100 MB/s have twice as much of log behind the newest snapshot, and while that is sent at 1.25 there
	// comes eight tenths as much as the state: three times the state, and CatchUpSnapshots is all that is kept. With 2 it is two and a
	// half, and falls four times as fast. States from 512 MiB on do not come to this: it is for those between 100 and 300.
	CatchUpLeast    = 32 << 20
	CatchUpGain     = 1.25
	CatchUpGainMost = 2
	CatchUpMost     = 4 << 30
	// CatchUpCost is how many times as long as before a commit may take while anybody is behind, before less is sent: the
	// whole of a write takes a part of that more. A commit may at any rate take CatchUpCostLeast longer: where it takes less than a
	// few milliseconds, a fifth of that is what schedulers make of it, and is not seen beside a client's round trip.
	CatchUpCost      = 1.2
	CatchUpCostLeast = 500 * time.Microsecond
	// CatchUpWindow is how often the leader looks what its commits take, which is smoothed over CatchUpSmooth times as long, and
	// over CatchUpSmoothCalm times while nobody is behind, or where they take less than before; CatchUpForget windows, nearly a minute,
	// is for how long it holds what they took before: what goes on for longer is the load.
	CatchUpWindow     = 100 * time.Millisecond
	CatchUpSmooth     = 4
	CatchUpSmoothCalm = 16
	CatchUpForget     = 512
	// CatchUpBurst is how much time's bytes are sent at once at most, when ticks are late.
	CatchUpBurst = 50 * time.Millisecond
)
