// Package limits is the one table of qkv's bounds: every length, queue, buffer and count that a member or a client
// enforces, with its reason. What is past a limit gets an error that names it; nothing is cut silently.
//
// A limit on writing is never above the limit on reading the same thing back: an entry that was once written can
// always be read (etcd bug 14025 bricked members at restart).
package limits

import (
	"math"
	"time"
)

const (
	// KeyBytes bounds a key. etcd has no bound of its own; 32 KiB holds any path, and keeps tree compares short.
	KeyBytes = 32 << 10
	// RequestBytes bounds what can be read as a request, from a client and from the log, whatever a member lets be written. It is a
	// quarter of a segment, and what a client's share of a member's memory holds.
	RequestBytes = 16 << 20
	// RequestBytesWritten is what a member lets be written by default, as etcd has it: --max-request-bytes, from RequestBytesLeast,
	// which any read fits in, to RequestBytes.
	RequestBytesWritten = 3 << 19
	RequestBytesLeast   = 128 << 10
	// ValueBytes bounds a value: with the largest key, and 32 KiB for all around them, it is a request.
	ValueBytes = RequestBytes - KeyBytes - 32<<10
	// LeaseSeconds is the longest TTL of a lease, as etcd has it: three centuries.
	LeaseSeconds = 9_000_000_000
	// LeaseCheckpoints bounds the leases of one command that notes what is left of them.
	LeaseCheckpoints = 1024
	// LeaseLengthening is by how much a failover lengthens a lease at most, or by a tenth of its TTL: each time that so much of
	// it has passed is noted in the log.
	LeaseLengthening = 30 * time.Second
	// LeaseKeys is how many keys, or leases, one page has: less than a millisecond of work.
	LeaseKeys = 2048
	// LeaseRevocations is how many revocations of the lease clock are under way at a time, so that the puts behind them wait
	// for little: each takes about 3.3 us to apply (BenchmarkRevoke of package index), so that many are below a millisecond. 100,000
	// leases that end at once are 400 entries, one after the other: they go within 5 s where an entry takes no longer than 12 ms.
	LeaseRevocations = 256
	// ReadsDeferred bounds the peers' reads that wait for the first entry of a leader's term; what is past it is asked again.
	ReadsDeferred = 1024
	// StatusesTold is how many statuses a member may have on their way to a client that has not asked. EndpointsTold bounds how many
	// endpoints a member can make a client know: far more than a cluster has, and what is dialled in some seconds.
	StatusesTold  = 4
	EndpointsTold = 64
	// LeaseAsks is how many keep-alives and questions for leases a frame between members has.
	LeaseAsks = 4096
	// LeaseAsksWaiting bounds those that wait at the leader; what is past it is dropped, and asked again. It is what
	// 60,000 clients send at once.
	LeaseAsksWaiting = 1 << 16
	// Sessions bounds the sessions of all clients, and SessionOutcomes the places for outcomes in all their windows: 24 bytes
	// each. When there is no place, a session that wrote nothing for SessionIdle makes room; a client that only looks for
	// something else to do writes again before. SessionWindow is how many writes of one session may be under way, or wait behind
	// one that is: as many as go through a busy cluster while one that was lost is noticed and sent again. These and the next
	// three decide what apply does: they are a part of feature level 1.
	Sessions        = 1 << 16
	SessionOutcomes = 1 << 20
	SessionWindow   = 1 << 16
	SessionIdle     = 30 * time.Second
	// SessionTTL ends a session that writes nothing for so long: nobody waits so long for a write that was sent again.
	SessionTTL = 5 * time.Minute
	// SessionPause is how much an entry moves the sessions' clock at most: while nothing can be written, because a quorum is
	// away, no session ends.
	SessionPause = 10 * time.Second
	// SessionClocks is of how many members the sessions' clock follows the entries: of all that there may be, and of some that were
	// removed a moment ago.
	SessionClocks = Members + Learners + 2
	// SessionEnds is how many sessions one entry ends by their TTL, beside one for each of its commands.
	SessionEnds = 64
	// TxnOperations bounds the comparisons of a transaction and each list of its operations, as etcd does by default; a
	// transaction in it may have what that leaves.
	TxnOperations = 128
	// TxnDepth and TxnParts bound what is read as a transaction, with all that are in it: nesting takes an operation at
	// least, and 64 times as many parts are more than anybody writes. They are a part of the log's format.
	TxnDepth = TxnOperations
	TxnParts = 64 * TxnOperations
	// ResponseBytes bounds one response's frame: a range is answered in pages that end below it, and an event with the largest
	// value, before and after, fits it.
	ResponseBytes = 2*RequestBytes + 4<<20
	// BodyBytes bounds the keys and values of an answer that is no page: of a transaction, and previous values. Any one value fits
	// it.
	BodyBytes = RequestBytes + 1<<20
	// TxnPartBytes is what a comparison or operation of a transaction counts for while its answer waits.
	TxnPartBytes = 192
	// RangePageBytes is how many bytes of keys and values one page of a range holds; one larger pair still fits
	// ResponseBytes.
	RangePageBytes = 2 << 20
	// PageBytes is how many bytes of keys and values one page of a streamed range holds; with what is around them it fits the
	// buffer that a reader of frames usually has.
	PageBytes = 48 << 10
	// PagesRetired is how much of memory that is given up may wait before streamed ranges let go of the state that they hold.
	// They go on with newer ones, and end when what they read is compacted.
	PagesRetired = 256 << 20
	// RangeShare is how many processors there are to one that ranges may use, all of them together; of a member with
	// fewer processors they may use one.
	RangeShare = 4
	// RangeRows is how many keys a range looks at between two looks at the clock, some 50 us, and so how many a page holds.
	RangeRows = 256
	// RangeRest is how much longer than a turn the rest after it is, while anything but ranges is under way: what is read
	// must also be sent and taken, which costs the machine more than reading.
	RangeRest = 4

	// BatchBytes and BatchCommands bound what consensus packs into one entry. Measured: anything from 64 KiB to
	// 1 MiB is alike. One larger command still makes an entry of its own.
	BatchBytes    = 256 << 10
	BatchCommands = 1024
	// EnvelopeBytes bounds an entry's data: a full batch and one command of the largest size.
	EnvelopeBytes = BatchBytes + RequestBytes
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

	// MessageEntriesBytes is raft's MaxSizePerMsg.
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
	// ColdReadBytes bounds one read of older entries, at most a quarter of the window: a disk that takes 30 ms for a read
	// gives a follower 130 MB a second. What was read is kept within WindowBytes, too.
	ColdReadBytes = 4 << 20
	// ColdReads bounds the reads on order: one for each follower that catches up and one for the applier, and the next one
	// of each.
	ColdReads = 16
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
	// SnapshotSyncBytes is how much of a snapshot is written before it is synced: the log's syncs wait behind it. Measured
	// on a busy ext4 with a snapshot of 150 MB under way all the time: puts' p99 was 12.5 ms with 8 MiB, 4.4 ms with this,
	// and 3.4 ms without a snapshot.
	SnapshotSyncBytes = 1 << 20
	// SnapshotBackBytes is how much of a snapshot that is received may be on its way to the disk: enough that the disk is never
	// idle, and little enough that another file's sync waits for milliseconds. It is synced at its end only: each sync of a file
	// that grows commits the file system's journal. Measured on ext4, 1 GiB: 220 to 330 MB/s with a sync of each MiB, 590 to
	// 1,200 with one at the end.
	SnapshotBackBytes = 2 << 20
	// SnapshotStepBytes is what one step of saving or checking a snapshot handles: about two milliseconds, after which
	// whatever waits for the processor has it. The longer a save lasts, the more it costs: versions that are superseded
	// meanwhile are kept for it, and are walked past. In single runs on a busy machine, at 240,000 puts/s, steps of 256 KiB
	// with rests as long made a save last about three times as long, and a put cost some 7 % more of the processor; p99 was
	// the same.
	SnapshotStepBytes = 1 << 20
	// SnapshotStepQuick is what a step takes at most that no disk has held up. After a longer one the disk gets a rest as long.
	SnapshotStepQuick = 20 * time.Millisecond
	// SnapshotRest is what part of such a step the shortest rest is, however little room the log has left.
	SnapshotRest = 8
	// SnapshotChunkBytes is one piece of a streamed snapshot.
	SnapshotChunkBytes = 256 << 10
	// SnapshotChunksInflight is how many pieces may be on their way: 8 MiB. Each is answered when it is written; where that takes
	// 80 ms, on a busy machine, 2 MiB are 25 MB/s, and a member that was away needs longer for a snapshot than the log is kept.
	SnapshotChunksInflight = 32

	// ProposalBytesWaiting bounds the commands that wait in consensus' mailbox and in consensus itself: some hundred
	// full batches, which no quorum needs more of. When it is full, connections wait, and QUIC's flow control makes
	// clients wait.
	ProposalBytesWaiting = 64 << 20
	// SnapshotFramesWaiting bounds the snapshotter's frames from peers: two windows of pieces, and the requests of
	// all members.
	SnapshotFramesWaiting = 2*SnapshotChunksInflight + 32
	// PeerMessagesWaiting bounds messages from peers in consensus' mailbox; what is past it is dropped, raft sends again.
	PeerMessagesWaiting = 16384
	// TermsAhead is how far another member's term may be ahead: an election a second for a century.
	TermsAhead = 1 << 32
	// PeerQueueBytes bounds what waits to be sent to one peer on one stream; what is past it is dropped.
	PeerQueueBytes = 2*InflightBytes + PeerFrameBytes
	// ForwardBytesInflight bounds the batches that a follower has sent to the leader and not seen in its log, and so what
	// a leader keeps for each follower when raft has no room for it. Twice as much fits the queue to the leader.
	ForwardBytesInflight = InflightBytes / 2
	// PeerStreamBytes is QUIC's receive window of one stream between members at first. Measured on loopback: 256 KiB
	// loses no packets to QUIC's bound of 256 that are not read yet but is 20 % slower in bulk, 1 MiB and more lose many.
	// While what comes takes less than four measured round trips for a window, it doubles, up to PeerStreamBytesMost: raft
	// has no more on its way to one peer. A connection's window is that of its streams together at their largest, so that
	// bulk data that is taken slowly holds up nothing else.
	PeerStreamBytes     = 512 << 10
	PeerStreamBytesMost = InflightBytes
	// PeerHandshakes bounds connections to the peers' port that did not say who they are yet; from PeerHandshakesTrusted
	// on, a new one must first show that it can be reached at the address it claims (QUIC's Retry).
	PeerHandshakes        = 256
	PeerHandshakesTrusted = 16
	// PeerHandshakesAddress is how many of them one source address may have, so that it keeps nobody else out. From a
	// quarter of that on it must be shown, too.
	PeerHandshakesAddress = PeerHandshakes / 16
	// PeerHandshakeBytes bounds what two members tell each other before anything else.
	PeerHandshakeBytes = 16 << 10
	// JoinRequestBytes and JoinAnswerBytes bound a joiner's question and what it is told: all members with all their
	// addresses fit.
	JoinRequestBytes = 1 << 10
	JoinAnswerBytes  = 256 << 10
	// PeerPastBytes bounds what a handshake tells of the last starts' processes: 256 of 8 bytes. A folder that was
	// restored from a copy and started more often than that before it met another member could not be told from one
	// that was not.
	PeerPastBytes = 256 * 8
	// PeerReadBytes is what the reader of a peer's stream allocates at a time and carves frames from; a frame that is
	// large beside it has memory of its own.
	PeerReadBytes = 64 << 10
	// PeerWriteBytes is what the writer of a stream hands to QUIC at a time; a frame over PeerCopyBytes goes without being
	// copied.
	PeerWriteBytes = 64 << 10
	PeerCopyBytes  = 16 << 10
	// PeerFramesReused bounds the list of frames that is used again after a burst.
	PeerFramesReused = 4096
	// PeerReasonBytes bounds the text with which a member refuses another: it must fit one packet.
	PeerReasonBytes = 512
	// PostsWaiting bounds what actors post to each other: raft's own bounds are far below it, and more is a bug.
	PostsWaiting = 1 << 20
	// RequestsInflight bounds the requests of one client connection that are not answered yet.
	RequestsInflight = 16384
	// ClientBytes bounds the memory that all native clients together can make a member keep: parts of requests, requests
	// that are not answered yet, and answers that are not taken. Nobody has all of it: an identity may take as much as it
	// leaves to others, and a connection and a stream of it likewise (package net/server). A client that is alone may
	// have 24 MiB under way on one stream, fifteen of the largest requests that are written by default. Under attack by one
	// identity half of it is used, Go's collector may keep as much again, and QUIC has its own memory for each connection
	// beside it. Where larger requests are let in, it is ClientRequests times one of them at least: a stream that is alone has
	// an eighth, and needs three for its buffer, the request, and a copy while that waits for its answer.
	ClientBytes    = 192 << 20
	ClientRequests = 32
	// RequestOverhead is what a request counts for beside its bytes: its places in the endpoint's and the member's tables.
	RequestOverhead = 256
	// ClientStreamBytes is what a stream counts for, with its two goroutines, its buffers and QUIC's state. The first
	// ClientStreamsFree of a connection are free: they are what qkv's own client has, and the places for connections
	// bound them.
	ClientStreamBytes = 32 << 10
	ClientStreamsFree = 2
	// ClientConnections bounds native client connections of one member. When all places are taken, a newcomer gets the
	// one that was idle for longest, of the identity that has most; of its own identity's only one that has been idle for
	// ClientPlaceIdle.
	ClientConnections = 4096
	ClientPlaceIdle   = time.Second
	// ClientConnectionBytes is what a connection holds of a member's memory, in which nothing happens: 42 KiB of the heap and its
	// goroutines' stacks (measured), of QUIC and TLS. When all clients together, with what counts for ClientBytes, hold ClientsMany, the
	// member has its garbage collected at CollectedOften hundredths of what lives, until they hold half as much: Go's collector
	// else keeps as much again, which is 120 KiB for each connection.
	ClientConnectionBytes = 56 << 10
	ClientsMany           = 64 << 20
	CollectedOften        = 50
	// ClientConnectionsOver is how many connections over that limit are let in to be told of it.
	ClientConnectionsOver = 64
	// ClientHandshakes bounds the native handshakes that are under way at one member: each costs a signature, and 130 KiB (measured).
	// With HandshakeHurry it takes as many new ones each second, from sixteen addresses at least, to keep others out: 200 a second
	// that were left did so when there were 256 places for five seconds.
	ClientHandshakes = 1024
	// ClientHandshakesTrusted is how many of them may be under way before a client must first show, by one more round
	// trip, that its address is its own.
	ClientHandshakesTrusted = 32
	// ClientHandshakesAddress is how many of them one source address may have, so that it keeps nobody else out.
	ClientHandshakesAddress = ClientHandshakes / 16
	// PacketLeast is how large a packet of QUIC may be on any path, as its standard has it, and of which all connections begin;
	// larger ones are tried out. A path that drops packets of 1,281 bytes and says nothing, as tunnels do, is used so.
	PacketLeast = 1200
	// ClientStreams bounds the streams that one client connection may have open.
	ClientStreams = 64
	// ClientStreamWindow is QUIC's receive window of a stream, on both sides of a native connection, and
	// ClientConnectionWindow that of a client's whole connection: that of all its streams together, so that streams that
	// are not read hold up no other. Measured on loopback, 1 MiB for both of a client's streams was best for small
	// requests: larger bursts overrun the 256 packets that quic-go keeps of a connection.
	ClientStreamWindow     = 512 << 10
	ClientConnectionWindow = ClientStreams * ClientStreamWindow
	// MemberConnectionWindow is a member's receive window for one client's connection. It reads all streams at all times,
	// but those whose clients go beyond their limits and take no answers.
	MemberConnectionWindow = 1 << 20
	// ClientConnectionsWide is how many connections of a member have that window. Those that come when there are as many
	// have MemberNarrowWindow, since a client can make QUIC keep as much of it by leaving a gap: 64 KiB each round trip are
	// enough on a LAN, and all places together 320 MiB.
	ClientConnectionsWide = 64
	MemberNarrowWindow    = 64 << 10
	// AnswerBytesWaiting is how many bytes of refusals and statuses may wait on a stream before its requests are not
	// read any more. Other answers are encoded when they are written.
	AnswerBytesWaiting = 4 << 10
	// ClientWatches bounds the watches of one client connection, on all its streams. Each counts for WatchOverhead and its keys
	// in the client's share of ClientBytes: its places in the tables of endpoint and hub.
	ClientWatches = 16384
	WatchOverhead = 768
	// WatchBytesWaiting is how much of events may wait on a stream of watches. Beyond it they wait in the history. A delivery
	// that is larger is alone, and counts for WatchDeliveryShare of ClientBytes at most in the client's share, which a stream that is
	// alone has twice: a member whose setting is lower delivers what another one has let be written.
	WatchBytesWaiting  = 1 << 20
	WatchDeliveryShare = 16
	// EtcdRequestOver is by how much a message may be larger than --max-request-bytes before gRPC refuses it, as etcd has it.
	EtcdRequestOver = 512 << 10
	// EtcdAnswerBytes bounds one answer of etcd's API, which has no pages of its own: a million keys of 256 bytes are 300 MiB.
	// EtcdMessageBytes is gRPC's own bound, as in etcd.
	EtcdAnswerBytes  = 1 << 30
	EtcdMessageBytes = math.MaxInt32
	// EtcdConnections bounds the connections to the port of etcd's API. One with gRPC takes about 100 KiB.
	EtcdConnections = 8192
	// FilesKept is how many of the files that a process may have open are for the log, snapshots and sockets: connections to TCP
	// ports get none of them, since a log that can open no file ends its member. EtcdConnectionsLeast is what they get at any rate.
	FilesKept            = 192
	EtcdConnectionsLeast = 16
	// EtcdPlaceIdle is for how long nothing was asked on a connection that gives up its place to one more of the same client, when
	// all are taken: one that begins or goes on has asked. A place is looked for once in EtcdPlaceEach: that takes half as long.
	EtcdPlaceIdle = time.Second
	EtcdPlaceEach = time.Millisecond
	// EtcdBytes bounds what gRPC's clients hold together by open streams, requests that are not whole and answers that are not read:
	// one answer of the largest, and half as much of others.
	EtcdBytes = 3 << 29
	// EtcdStreamBytes is what a stream takes that its client has begun and not ended, with the goroutine that serves it.
	EtcdStreamBytes = 10 << 10
	// EtcdLeasesSorted is how many leases are listed by when they end: the leader's clock is asked for each.
	EtcdLeasesSorted = 4096
	// EtcdStreamsAll bounds the streams of all connections together, of watches and others, at some 10 KiB each; EtcdHubCallers is how
	// many of them wait for the watch hub at a time.
	EtcdStreamsAll = 64 << 10
	EtcdHubCallers = 64
	// EtcdResets is how many streams a second all connections together may give up before they are over: a tenth of a core. Past it
	// those who do are read slower.
	EtcdResets = 2000
	// EtcdFramesReset is how many frames that ask for nothing cost as much as a reset: 0.2 µs each (measured). Sixteen connections sent
	// 3.7 million a second before, and took a core.
	EtcdFramesReset = 200
	// EtcdRefused is how many connections of one address may come to nothing within a second before it is not heard for a while: as
	// many handshakes of TLS that fail take a tenth of a core. Who looks every second whether the port is open is one of them. Measured
	// with 15,000 a second, from other processors than the member's: a third of a core, and puts' median twice what it was.
	EtcdRefused = 250
	// EtcdGatewayBytes bounds an answer as JSON over HTTP, which is in memory several times over.
	EtcdGatewayBytes = 64 << 20
	// EtcdGatewayRoom bounds the memory that all requests over HTTP use together, EtcdGatewayTimes as much as their messages have
	// bytes: encoded, decoded, as JSON, and in buffers that were doubled. There is room for one of the largest at least. Messages of
	// EtcdGatewaySmall are not counted: those of all connections are half as much. Measured before: 200 answers of 40 MiB that nobody
	// read took 2.1 GiB and more.
	EtcdGatewayRoom  = 512 << 20
	EtcdGatewayTimes = 6
	EtcdGatewaySmall = 16 << 10
	// EtcdGatewayReads is how many ranges are read for answers as JSON at a time, each of EtcdGatewayBytes at most: what was read waits
	// for that room, too.
	EtcdGatewayReads = 4
	// EtcdGatewayStreamed bounds a message of a stream of requests over HTTP: a watch's two keys, as base64.
	EtcdGatewayStreamed = 4 * KeyBytes
	// EtcdGatewayPace is what a request that has room must move in EtcdStall while others wait for some: 16 KiB a second.
	EtcdGatewayPace = 32 << 10
	// EtcdStall is for how long a client of etcd's API may stand still that has what others wait for.
	EtcdStall = 2 * time.Second
	// MetricsReaders is how many look at the metrics at a time, and EtcdClientVersions how many versions of their libraries clients
	// are counted by: it is they who say them.
	MetricsReaders     = 4
	EtcdClientVersions = 16
	// MetricsURLs bounds the addresses for metrics alone: a supervisor's, and a collector's, in both families.
	MetricsURLs = 8
	// EtcdMetricsConnections bounds the connections to an address for metrics alone, which a few supervisors use; more wait.
	EtcdMetricsConnections = 64
	// EtcdStreams bounds the streams, and so the requests under way, of one connection; further ones wait at the client.
	// EtcdRequests bounds what all of them together have waiting for the member.
	EtcdStreams  = 8192
	EtcdRequests = 64 << 10
	// EtcdStreamWorkers are the goroutines that serve gRPC's streams, one after the other; what finds all of them busy gets one
	// of its own. A new one grows its stack with each request, some 8 % of a get; they cost 2 KiB each until they have served.
	EtcdStreamWorkers = 1024
	// EtcdWatches bounds the watches of all of etcd's clients together; a stream has ClientWatches at most. EtcdWatchBytes bounds
	// the events that wait for all of them: past it each stream has one delivery.
	EtcdWatches    = 256 << 10
	EtcdWatchBytes = 192 << 20
	// EtcdWatchAnswers is how much of other answers may wait on a stream of watches before its requests are not read any more: a
	// thousand, which a client that reads has taken in a moment. One that never reads made a member keep 200 MiB more each second.
	EtcdWatchAnswers = 1024 * RequestOverhead
	// EtcdSnapshotChunk is one message of a snapshot for etcd, as etcd has it; EtcdSnapshotBytes is what is written of its file at
	// a time, which is in memory until then; EtcdSnapshotRoom is what the disk must have free beside twice the state's bytes: the
	// log's segments go on growing.
	EtcdSnapshotChunk = 32 << 10
	EtcdSnapshotBytes = 4 << 20
	EtcdSnapshotRoom  = 512 << 20
	// FollowBytes is what of a source's records goes into one command, and FollowPendingBytes bounds the records of one of its
	// revisions, which wait in the state until all are there: a deletion of four million keys. FollowNameBytes bounds what a source
	// is called. They are parts of feature level 1.
	FollowBytes        = 512 << 10
	FollowPendingBytes = 512 << 20
	FollowNameBytes    = 1 << 10
	// EtcdKeepAlives is how many keep-alives of one stream are under way.
	EtcdKeepAlives = 4096
	// EtcdHandshakes is how many handshakes of TLS are made at a time: each costs a signature, and the others wait.
	EtcdHandshakes = 64
	// EtcdHeaderBytes bounds a request's metadata, which is a token at most. On its way each byte of it may stand for a whole field
	// that came before: it counts EtcdHeaderTimes for what the connection holds, and EtcdHeaderMost at most (measured: 4.6 times
	// EtcdHeaderBytes, with what is garbage, of a head that is nothing but such bytes).
	EtcdHeaderBytes = 16 << 10
	EtcdHeaderTimes = 32
	EtcdHeaderMost  = 4 * EtcdHeaderBytes
	// TimesAsked bounds the revisions whose times one request asks for: 9 KiB of an answer.
	TimesAsked = 1000
	// HistoryBytes is what the versions may weigh that are superseded, or as much as what is live where that is more: past it the
	// leader has the oldest revisions compacted, down to seven eighths of it. It is five minutes of 10,000 small writes a second.
	HistoryBytes = 1 << 30
	// QuotaBytes is what keys, their history and leases may weigh by default, as etcd has it: the state is in memory, and a new member
	// has to get all of it. QuotaWarning is the hundredths of it from which on that is said. History has to go when all together would
	// be more than QuotaHistory hundredths: it gives way before anybody is warned. NOSPACE ends below QuotaCleared hundredths, so that
	// it does not come and go with each write.
	QuotaBytes   = 2 << 30
	QuotaWarning = 80
	QuotaHistory = 75
	QuotaCleared = 90
	// QuotaHistoryLeast is how many hundredths of it history may have at any rate, so that watches can resume.
	QuotaHistoryLeast = 5
	// EtcdCompaction is how often etcd compacts all but a number of revisions.
	EtcdCompaction = 5 * time.Minute
	// QuotaLeast is the least that a quota may be: the history of less would be gone at once.
	QuotaLeast = 1 << 20
	// StateOfDisk and StateOfMemory are how many times a state fits the disk and the memory of a machine that holds it with ease:
	// DiskUse and what is kept free for the next snapshot of it, and twice, for what snapshots, reads and Go's collector hold. History
	// gives way where the least machine of a cluster holds less, but for a part in HistoryOfHeld of that, so that watches can resume.
	StateOfDisk   = DiskUse + 1
	StateOfMemory = 2
	HistoryOfHeld = 8
	// HistoryShort is how far back the history should reach at least, by the leader's clock: Kubernetes counts on five
	// minutes.
	HistoryShort = 5 * time.Minute
	// HistoryLoaded bounds the revisions of a state that is loaded: what is said of a snapshot is not believed beyond
	// what fits a large machine's memory, eight bytes each.
	HistoryLoaded = 1 << 33
	// CompactionWork is how much compaction one entry always may do, beside what its commands and what it adds allow, in
	// units of about 20 ns: a thousand changes.
	CompactionWork = 16 << 10
	// SlabBytes is the size of a large slab of the index, where the system gives memory that is aligned to it: a huge
	// page or two, so that few of them hold much.
	SlabBytes = 4 << 20
	// EvacuationBytes is how much of a sparse slab one entry always may go through, beside what it adds.
	EvacuationBytes = 64 << 10
	// CountedRows is how many keys of a range are counted one by one before counting by the trees is quicker.
	CountedRows = 2000

	// Members bounds the voters of a cluster: each more makes writes wait for more disks and is no safer.
	Members = 7
	// Learners bounds the members that are brought up to date at a time: each reads what the leader has, beside its work.
	Learners = 3
	// LearnerLevelEntries is how many entries a learner may lack and count as level, as etcd has it: less than it gets in the
	// time of a heartbeat.
	LearnerLevelEntries = 1000
	// NameBytes is the longest name of a cluster, member or client: what DNS allows a label. HostBytes is the longest name of a host,
	// as DNS has it.
	NameBytes = 63
	HostBytes = 253
	// MemberAddresses bounds the addresses of one kind that a member may have: a few networks, with both families.
	MemberAddresses = 16
	// AddressBytes is the longest HOST:PORT: a name as long as DNS allows, and five digits.
	AddressBytes = 253 + 1 + 5
	// FolderFileBytes bounds what a small file of the data folder holds: names, addresses and the processes of the last
	// starts.
	FolderFileBytes = 8192
	// QuarantineReasonBytes is how much of the reason of a quarantine is kept.
	QuarantineReasonBytes = 2048
	// CertificateFileBytes bounds a file of certificates or of a key: hundreds of CAs.
	CertificateFileBytes = 1 << 20

	// EtcdHandshakeTimeout is how long a connection to the port of etcd's API may take to say what it is.
	EtcdHandshakeTimeout = 5 * time.Second
	// EtcdWebTimeout is how long an answer over HTTP may take, and a connection without a request may stay.
	EtcdWebTimeout = 30 * time.Second
	// EtcdProbeTimeout is how long /livez and /readyz may take: who has no quorum says so within three seconds.
	EtcdProbeTimeout = 2 * time.Second
	// EtcdRequestTime is how long a request of etcd's API may wait, beside two election timeouts, as etcd has it.
	EtcdRequestTime = 5 * time.Second
	// EtcdLearnerAsks is for how long a member that would refuse a request as a learner asks the leader whether it still is one: an
	// election lasts less.
	EtcdLearnerAsks = 3 * time.Second
	// EtcdPingLeast is how often a client may ping, EtcdPing when one is that says nothing, and EtcdPingTimeout how long its
	// answer may take: as etcd has them.
	EtcdPingLeast   = 5 * time.Second
	EtcdPing        = 2 * time.Hour
	EtcdPingTimeout = 20 * time.Second
	// PagesHeld is for how long a streamed range holds the state that it began with: a fast client has read 10 GB by then.
	PagesHeld = time.Minute
	// RangeTurn is for how long a range is read before another one goes on: what becomes ready meanwhile waits for no
	// longer. Measured: longer turns show in the p99 of puts, shorter ones cost more to pass on than to read.
	RangeTurn = 500 * time.Microsecond
	// WatchRequestsWaiting bounds the bytes of requests for watches that wait for the hub, with 256 for each: clients wait.
	WatchRequestsWaiting = 4 << 20
	// WatchAlone is for how many election timeouts a member may know of no leader before it ends its watches, as etcd has it:
	// they resume at a member that knows more.
	WatchAlone = 3
	// WatchStepWork is what one step of the watch hub does, in units of about 100 ns: half a millisecond, so that what waits for
	// the processor waits no longer.
	WatchStepWork = 5000
	// WatchRest is how many times as long as a step the hub rests while any watch is behind. Measured with 10,000 on three members
	// of one busy host: 3 halves the p99 of puts meanwhile, in comparison with 1, and costs no time that could be seen.
	WatchRest = 3
	// WatchFrameBytes is when events are delivered to a watch that is behind before the step is over, and WatchFragmentBytes
	// when that is done within a revision: with one more event of the largest size it is below ResponseBytes.
	WatchFrameBytes    = 128 << 10
	WatchFragmentBytes = 1 << 20
	// WatchPendingBytes is how much of events is collected for watches that are behind before it is delivered: fewer and larger
	// deliveries cost everybody less.
	WatchPendingBytes = 4 << 20
	// WatchKeyVersions is how many versions of its key bring a watch of one key up to date at most; with more the history is
	// read instead, for all that are behind at once.
	WatchKeyVersions = 1000
	// WatchProgressInterval is for how long a watch that wants it hears nothing before it is told that there is nothing, as
	// etcd has it.
	WatchProgressInterval = 10 * time.Minute
	// WatchProgressLeast is the shortest that this may be set to, as etcd's.
	WatchProgressLeast = 100 * time.Millisecond
	// CheckInterval is how often the members compare their states, if anything has changed: a difference is found within
	// it, for one small entry and one of each member.
	CheckInterval = time.Minute
	// VerifyVersions is how many versions in memory a member sums anew each LookInterval, to see whether they are what was
	// written: less than a millisecond. It goes through all of them once in CheckInterval at most, and through ten million in ten
	// minutes. VerifyTold is for how many looks a member that found damage tries to have the others know before it stops.
	VerifyVersions = 4096
	VerifyTold     = 5
	// RequestTimeout bounds how long a member keeps a request that asks for no shorter time.
	RequestTimeout = 60 * time.Second
	// ClientHandshakeTimeout ends a native handshake during which nothing comes from the other side. HandshakeHurry does when a quarter
	// of all places is taken, of clients or of peers: round trips take less.
	ClientHandshakeTimeout = 5 * time.Second
	HandshakeHurry         = time.Second
	// ClientIdleTimeout ends a native connection on which nothing comes; clients send something each ClientKeepAlive.
	ClientIdleTimeout = 15 * time.Second
	ClientKeepAlive   = 5 * time.Second
	// ClientWriteTimeout ends a stream whose client takes nothing of what is sent on it, or that brings a part of a large
	// request and not the rest.
	ClientWriteTimeout = 30 * time.Second
	// ClientStall is for how long a client may let a stream stand still that keeps more than its share of ClientBytes, and
	// for how long a stream on which nothing comes keeps the buffer that a large request needed. A network that loses
	// packets stands still for less.
	ClientStall = 2 * time.Second
	// DiskStall is how long one write to the disk may take, beside the time for its bytes, before the member ends itself.
	DiskStall = 20 * time.Second
	// PeerLazyWait is how long a lazy frame between members waits for company.
	PeerLazyWait = time.Millisecond
	// PeerHandshakeTimeout ends a peer's connection on which nothing comes before it is in use, PeerDialTimeout an own
	// attempt with everything that belongs to it.
	PeerHandshakeTimeout = 2 * time.Second
	PeerDialTimeout      = 5 * time.Second
	// PeerDialPause is the pause before a peer is dialled again; each attempt in a row that comes to nothing doubles it, up to
	// PeerDialPauseMost: who comes back is connected within a second. A connection that lasted PeerStable begins anew.
	PeerDialPause     = 50 * time.Millisecond
	PeerDialPauseMost = time.Second
	PeerStable        = time.Second
	// PeerRefusedPause and PeerRefusedPauseMost are between which both sides wait after one refused the other: what is
	// wrong is not going to be right in a moment.
	PeerRefusedPause     = 2 * time.Second
	PeerRefusedPauseMost = 4 * time.Second
	// JoinRefusedTimeout is for how long a joiner that was refused asks again: the one that it asked may be behind.
	JoinRefusedTimeout = 5 * time.Second
	// PeerAliveTimeout is for how long a peer's host is asked whether a process of that member is there: a host that is there
	// says so within a round trip, and an election that waits longer begins by itself.
	PeerAliveTimeout = time.Second / 2
	// PeerIdleTimeout is when a peer that says nothing is given up; something is said each PeerKeepAlive.
	PeerIdleTimeout = 3 * time.Second
	PeerKeepAlive   = time.Second
	// LogRepeats is how many lines that others can cause are written about one thing, until LogRepeatsPause after the
	// first; LogSubjects is how many things are told apart.
	LogRepeats      = 3
	LogRepeatsPause = 10 * time.Second
	// LogRepeatsPauseMost is how long that pause becomes, doubled each time, as long as the thing goes on: a peer that is
	// dead for a day is 150 lines.
	LogRepeatsPauseMost = 10 * time.Minute
	// SlowSync is a sync of the log that is worth a line, at most one each SlowSyncPause: a heartbeat takes as long. As
	// many as SlowSyncsAlarm in a minute, and more than one in a hundred, are an alarm.
	SlowSync       = 100 * time.Millisecond
	SlowSyncPause  = time.Minute
	SlowSyncsAlarm = 5
	LogSubjects    = 256
	// ElectionTimeoutMost is the longest election timeout, as etcd's: longer ones leave a cluster without a leader for
	// minutes. HeartbeatLeast is raft's tick, and an election timeout spans HeartbeatsPerElection, so that one lost packet
	// is no election.
	ElectionTimeoutMost   = 50 * time.Second
	HeartbeatLeast        = 10 * time.Millisecond
	HeartbeatsPerElection = 5
	// DrainTimeout bounds a stopping member's wait for requests that are under way: without a quorum they would not end.
	DrainTimeout = 2 * time.Second
	// DrainLinger is how long clients may take to close their connections after it: those that are alive take a tenth.
	DrainLinger = time.Second
	// ExpireInterval is how often a member looks for clients that do not wait any longer: they get their answer at most so
	// much later.
	ExpireInterval = time.Second
	// LookInterval is how often a member compares what the log says of it, and of its state, with what is true.
	LookInterval = 200 * time.Millisecond
	// IdleLooks is at how many looks in a row a member has applied nothing when it gives back what it does not use, five seconds, if
	// it has applied IdleEntries since it did so last, or IdleBytes wait for it: a collection of garbage costs milliseconds.
	IdleLooks   = 25
	IdleEntries = 64
	IdleBytes   = 8 << 20
	// AnnounceTimeout is how long a member waits for what it writes to the log about itself.
	AnnounceTimeout = 2 * time.Second
	// SnapshotResend is how long the sender of a snapshot waits for an answer before it sends the last piece again,
	// SnapshotSendTimeout how long it goes on without any.
	SnapshotResend      = 500 * time.Millisecond
	SnapshotSendTimeout = 10 * time.Second
	// SnapshotReceiveIdle is how long a leader may be silent before another one's offer is taken instead.
	SnapshotReceiveIdle = 2 * time.Second
	// SnapshotClock is how often the snapshotter looks at these: they are late by as much.
	SnapshotClock = 100 * time.Millisecond
	// SnapshotSendPause bounds the pause before a snapshot is sent again to a peer that could not use the last one: the
	// first pause is SnapshotResend, and each failure doubles it.
	SnapshotSendPause = 10 * time.Second
	// SnapshotRetry is the pause before a save that failed is tried again, and doubles with each failure up to
	// SnapshotRetryMost: space or a disk that comes back is used soon, and a broken one does not fill the log of messages.
	SnapshotRetry     = time.Second
	SnapshotRetryMost = time.Minute
	// SnapshotSound is how long a snapshot that was read back from the medium counts as sound there when an older one has to
	// go. What rots within minutes of a write that was read back is a disk that loses the log, too.
	SnapshotSound = 10 * time.Minute
	// CatchUpBytes is how large the log's files may be, or CatchUpSnapshots times as large as the newest snapshot, while a follower
	// that can be reached needs more of them than the snapshots do: what is written at 50 MB/s while it gets and loads a snapshot,
	// and catches up. Past that it has to begin with another snapshot, which takes as long, and is of no more use.
	CatchUpBytes     = 512 << 20
	CatchUpSnapshots = 3
	// CatchUpLeast is how many bytes a second each member gets that is behind, however long the leader's writes take meanwhile,
	// and CatchUpGain how many times what is written: of a load that goes on, one that was away gets what it lacks in the time in
	// which so much was written. CatchUpMost is more than a disk takes.
	CatchUpLeast = 32 << 20
	CatchUpGain  = 2
	CatchUpMost  = 4 << 30
	// CatchUpCost is how many times as long as before a commit may take while anybody is behind, before less is sent: the
	// whole of a write takes a part of that more.
	CatchUpCost = 1.2
	// CatchUpWindow is how often the leader looks what its commits take, which is smoothed over CatchUpSmooth times as long, and
	// over CatchUpSmoothCalm times while nobody is behind; CatchUpForget windows, nearly a minute, is for how long it holds what they
	// took before: what goes on for longer is the load.
	CatchUpWindow     = 100 * time.Millisecond
	CatchUpSmooth     = 4
	CatchUpSmoothCalm = 16
	CatchUpForget     = 512
	// CatchUpBurst is how much time's bytes are sent at once at most, when ticks are late.
	CatchUpBurst = 50 * time.Millisecond
	// SnapshotInterval is the least time between two snapshots of one member: each commits the file system's
	// journal and stalls the log's sync.
	SnapshotInterval = 10 * time.Second
	// SnapshotBytes is the least amount of new records that makes a snapshot worth its cost; of a small disk a part in SnapshotOfDisk
	// is worth it.
	SnapshotBytes  = 64 << 20
	SnapshotOfDisk = 8
	// SnapshotsKept is how many published snapshots stay, so that one bad file loses nothing.
	SnapshotsKept = 2
	// DiskUse bounds what snapshots, log and spares take of a member's disk, in multiples of the keys and values and the history
	// that is kept; DiskUseLeast is what they may take however little that is: spares of 64 MiB, and the log that a follower
	// needs.
	DiskUse      = 4
	DiskUseLeast = 3 << 29
	// DiskUseCatchUp is by how much more that is while the log is kept for a follower: of DiskUse the next snapshot, which is saved
	// meanwhile, leaves the log less than what is written while a large state is sent.
	DiskUseCatchUp = 2
	// SegmentBytes is the size of a segment of the log by default, on a smaller disk what fits it SegmentsOfDisk times, but not less
	// than SegmentBytesSmall: there are up to SparesMost spares, and room for five is kept free. SegmentBytesLeast and
	// SegmentBytesMost are what it may be set to.
	SegmentsOfDisk    = 64
	SegmentBytesSmall = 1 << 20
	SegmentBytes      = 64 << 20
	SegmentBytesLeast = 64 << 10
	SegmentBytesMost  = 1 << 30
	// SpareSegments is how many segments are kept ready; SparesMost is how many recycled ones are kept at most.
	SpareSegments = 2
	// LogKept is how many quarters of a segment the log of a full disk keeps for terms, votes and raft's own entries, in place
	// of commands: an election takes four pages of it, so there is room for some two thousand. LogKeptLast is how many it
	// still keeps when nothing is proposed any more, and what another member's log has more must be taken so that they agree.
	LogKept     = 2
	LogKeptLast = 1
	// SpareStepBytes is how much of a spare is filled at a time: on a slow disk the log's sync waits for it. SpareSyncBytes is
	// how much is filled between two syncs: a whole segment at once would hold up the log's own.
	SpareStepBytes = 256 << 10
	SpareSyncBytes = 1 << 20
	// SpareQuickTimes is how many times as much both are after a step of at most SpareStepQuick: a commit of the journal and two
	// wake-ups for each MiB cost more than its zeros.
	SpareQuickTimes = 4
	SpareStepQuick  = 5 * time.Millisecond
	// SpaceMargin, or a part in SpaceMarginOfDisk of a smaller disk, but at least a segment, is how much more than the log must leave
	// (actor.Status.LogReserve) makes a member refuse what makes the state larger; with a segment more it takes everything again. It is
	// what a fast disk is given in a third of a second: the free space is looked at with each segment that is made, and all must hear
	// of it. SpaceCheck is how often it is looked at beside that.
	SpaceMargin       = 32 << 20
	SpaceMarginOfDisk = 16
	SpaceCheck        = time.Second
	SparesMost        = 4
	// ElectionsKept is of how many of its elections a member recognises late votes: disks are behind by a few.
	ElectionsKept = 8
)
