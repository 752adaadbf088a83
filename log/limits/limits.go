// Package limits is the one table of qkv's bounds: every length, queue, buffer and count that a member or a client
// enforces, with its reason. What is past a limit gets an error that names it; nothing is cut silently.
//
// A limit on writing is never above the limit on reading the same thing back: an entry that was once written can
// always be read (etcd bug 14025 bricked members at restart).
package limits

import "time"

const (
	// KeyBytes bounds a key. etcd has no bound of its own; 4 KiB holds any path, and keeps tree compares short.
	KeyBytes = 4 << 10
	// ValueBytes bounds a value by default: 1.5 MiB, as etcd bounds a request. A member may be set lower.
	ValueBytes = 3 << 19
	// RequestBytes bounds one native request's frame: the largest key and value, and 64 KiB for all around them.
	RequestBytes = ValueBytes + KeyBytes + 64<<10
	// ResponseBytes bounds one response's frame: a range is answered in pages that end below it.
	ResponseBytes = 8 << 20
	// RangePageBytes is how many bytes of keys and values one page of a range holds; one larger pair still fits
	// ResponseBytes.
	RangePageBytes = 2 << 20
	// RangePageKeys is how many keys one page of a range holds, so that counting and encoding stay short.
	RangePageKeys = 10_000

	// BatchBytes and BatchCommands bound what consensus packs into one entry. Measured: anything from 64 KiB to
	// 1 MiB is alike. One larger command still makes an entry of its own.
	BatchBytes    = 256 << 10
	BatchCommands = 1024
	// EnvelopeBytes bounds an entry's data: a full batch and one command of the largest size.
	EnvelopeBytes = BatchBytes + RequestBytes
	// RecordBytes bounds a record of the log when it is read: an entry's data and its frame around it.
	RecordBytes = EnvelopeBytes + 64<<10
	// GroupBytes bounds one group of the log, and so what one sync covers.
	GroupBytes = 16 << 20

	// MessageEntriesBytes is raft's MaxSizePerMsg, and bounds one cold read.
	MessageEntriesBytes = 1 << 20
	// InflightBytes and InflightMessages are raft's window of unacknowledged appends to one peer.
	InflightBytes    = 16 << 20
	InflightMessages = 512
	// UncommittedBytes is raft's MaxUncommittedEntriesSize: past it proposals wait in their mailbox.
	UncommittedBytes = 64 << 20
	// ApplyingBytes is raft's MaxCommittedSizePerReady: what the applier may have before it.
	ApplyingBytes = 32 << 20
	// WindowBytes is how much of the newest log consensus keeps in memory; older entries are read from disk.
	WindowBytes = 16 << 20
	// PeerFrameBytes bounds one frame between members: a full append message, or a forwarded batch, or a chunk.
	PeerFrameBytes = MessageEntriesBytes + EnvelopeBytes + 64<<10
	// SnapshotBlockBytes is when a block of a snapshot is closed: small enough to be checked and held at once, large
	// enough that its checksums and calls cost nothing.
	SnapshotBlockBytes = 256 << 10
	// SnapshotBlockMost bounds a block when it is read: a full one, and one more key with the largest value that an
	// entry can hold.
	SnapshotBlockMost = SnapshotBlockBytes + RecordBytes
	// SnapshotHeadBytes bounds a snapshot's head: a few numbers, and raft's configuration, 20 bytes a member.
	SnapshotHeadBytes = 64 << 10
	// SnapshotSyncBytes is how much of a snapshot is written before it is synced, so that the last sync is short.
	// Measured with 300 MB on ext4: the log's p99 sync beside it is 0.2 ms, and 0.7 ms with one sync at the end.
	SnapshotSyncBytes = 8 << 20
	// SnapshotChunkBytes is one piece of a streamed snapshot.
	SnapshotChunkBytes = 256 << 10
	// SnapshotChunksInflight is how many pieces may be on their way: 2 MiB, a LAN's bandwidth times delay.
	SnapshotChunksInflight = 8

	// ProposalBytesWaiting bounds the commands that wait in consensus' mailbox and in consensus itself: some hundred
	// full batches, which no quorum needs more of. When it is full, connections wait, and QUIC's flow control makes
	// clients wait.
	ProposalBytesWaiting = 64 << 20
	// SnapshotFramesWaiting bounds the snapshotter's frames from peers: two windows of pieces, and the requests of
	// all members.
	SnapshotFramesWaiting = 64
	// PeerMessagesWaiting bounds messages from peers in consensus' mailbox; what is past it is dropped, raft sends again.
	PeerMessagesWaiting = 16384
	// PeerQueueBytes bounds what waits to be sent to one peer on one stream; what is past it is dropped.
	PeerQueueBytes = 2*InflightBytes + PeerFrameBytes
	// ForwardBytesInflight bounds the batches that a follower has sent to the leader and not seen in its log, and so what
	// a leader keeps for each follower when raft has no room for it. Twice as much fits the queue to the leader.
	ForwardBytesInflight = InflightBytes / 2
	// PeerStreamBytes is QUIC's receive window of one stream between members. A connection's is that of its streams
	// together, so that bulk data that is taken slowly holds up nothing else. Measured on loopback: 256 KiB loses no
	// packets to QUIC's bound of 256 that are not read yet but is 20 % slower in bulk, 1 MiB and more lose many.
	PeerStreamBytes = 512 << 10
	// PeerHandshakes bounds connections to the peers' port that did not say who they are yet; from PeerHandshakesTrusted
	// on, a new one must first show that it can be reached at the address it claims (QUIC's Retry).
	PeerHandshakes        = 64
	PeerHandshakesTrusted = 16
	// PeerHelloBytes bounds what two members tell each other before anything else.
	PeerHelloBytes = 16 << 10
	// PeerReasonBytes bounds the text with which a member refuses another: it must fit one packet.
	PeerReasonBytes = 512
	// RequestsInflight bounds the requests of one client connection that are not answered yet.
	RequestsInflight = 16384
	// RequestBytesInflight bounds the bytes of those requests: forty of the largest.
	RequestBytesInflight = 64 << 20
	// MemberBytesInflight bounds the bytes of all clients' requests that a member has not answered.
	MemberBytesInflight = 512 << 20
	// ClientConnections bounds native client connections of one member.
	ClientConnections = 4096
	// ClientHandshakes bounds the native handshakes that are under way at one member: each costs a signature.
	ClientHandshakes = 256
	// ClientHandshakesTrusted is how many of them may be under way before a client must first show, by one more round
	// trip, that its address is its own.
	ClientHandshakesTrusted = 32
	// ClientStreams bounds the streams that one client connection may have open.
	ClientStreams = 64
	// ClientStreamWindow and ClientConnectionWindow are QUIC's receive windows, on both sides of a native connection.
	// Measured on loopback, 1 MiB was best for small requests: larger bursts overrun the 256 packets that quic-go
	// keeps of a connection. A stream has half of it, so that one that is not read does not hold up the others.
	ClientStreamWindow     = 512 << 10
	ClientConnectionWindow = 1 << 20
	// AnswerBytesWaiting is how many bytes of answers may wait on a stream before its requests are not read any more.
	AnswerBytesWaiting = 256 << 10

	// HistoryBytes bounds the memory of versions that are superseded: past it the oldest revisions are compacted,
	// by the same step on every member. Until compaction by age and size can be set, it is fixed.
	HistoryBytes = 64 << 20
	// HistoryRevisions bounds the revisions that are kept for reads of the past and for watches, likewise.
	HistoryRevisions = 10_000_000

	// CertificateFileBytes bounds a file of certificates or of a key: hundreds of CAs.
	CertificateFileBytes = 1 << 20

	// RequestTimeout bounds how long a member keeps a request that asks for no shorter time.
	RequestTimeout = 60 * time.Second
	// ClientHandshakeTimeout ends a native handshake during which nothing comes from the other side.
	ClientHandshakeTimeout = 5 * time.Second
	// ClientIdleTimeout ends a native connection on which nothing comes; clients send something each ClientKeepAlive.
	ClientIdleTimeout = 15 * time.Second
	ClientKeepAlive   = 5 * time.Second
	// ClientWriteTimeout ends the connection of a client that takes nothing of what is sent to it.
	ClientWriteTimeout = 30 * time.Second
	// DiskStall is how long one write to the disk may take before the member ends itself.
	DiskStall = 20 * time.Second
	// SnapshotInterval is the least time between two snapshots of one member: each commits the file system's
	// journal and stalls the log's sync.
	SnapshotInterval = 10 * time.Second
	// SnapshotBytes is the least amount of new records that makes a snapshot worth its cost.
	SnapshotBytes = 64 << 20
	// SegmentBytes is the size of a segment of the log by default.
	SegmentBytes = 64 << 20
	// SpareSegments is how many segments are kept ready; SparesMost is how many recycled ones are kept at most.
	SpareSegments = 2
	SparesMost    = 4
)
