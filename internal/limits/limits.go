// Package limits is the one table of qkv's bounds: every length, queue, buffer and count that a member or a client
// enforces, with its reason. What is past a limit gets an error that names it; nothing is cut silently.
//
// A limit on writing is never above the limit on reading the same thing back: an entry that was once written can
// always be read (etcd bug 14025 bricked members at restart).
//
// Some decide what apply makes of an entry. They are parts of feature level 1 and stay as they are, since members of two builds must
// have the same state: TestLevelOneStays of package index has them all.
//
//	limits.go    requests, the state, clients and members
//	disk.go      log, snapshots and their disk
//	peers.go     connections between members
//	tunable.go   those that a test or the simulation sets small
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
	// LeaseRevocations is how many revocations of the lease clock one entry has at most, so that the puts behind them wait for
	// little: neighbours take about 0.5 us each to apply, and scattered ones 4 us (BenchmarkRevoke of package index).
	LeaseRevocations = 512
	// LeaseRevocationRate is how many of them go in a second: so fast that nothing is left of 100,000 leases that end at once after
	// 5 s, which their clients may ask for, and not as fast as they could, since three members and who watches have some 30 us of
	// work with each: no processor would be left for puts. Where more wait, all go in about as long as LeaseRevocationTime.
	LeaseRevocationRate = 21_000
	LeaseRevocationTime = 4 * time.Second
	// LeaseRevocationsAlone is how many have come together, what comes in 6 ms, before they have an entry and a
	// sync of their own: beside others' writes any number goes.
	LeaseRevocationsAlone = 128
	// LeaseRevocationKeys is how many keys more of a lease are as much work as another lease: a key takes some 0.4 us where many go
	// together. So an entry that revokes leases of a thousand keys each has four of them.
	LeaseRevocationKeys = 8
	// LeaseRevocationsInflight is how many are under way at a time: with LeaseRevocationRate an entry may take 48 ms.
	LeaseRevocationsInflight = 1024
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
	// four decide what apply does: they are a part of feature level 1.
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
	// LongWriteRows is from how many keys on, compared or deleted by their ranges, a write is a long one: it takes some milliseconds of
	// the applier of each member. A member hands over one of those after the other, from each endpoint, so that others' writes stand
	// behind few. TxnRows is how many a transaction may compare and delete so, or as many as there are. Measured before, with 100,000
	// keys: one transaction of 64 others, of 64 comparisons of all keys each, held up all writes for 24 s, and of deletions for 8 s.
	LongWriteRows = 16 << 10
	TxnRows       = 256 << 10
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
	// PagesRetired is how much of memory that is given up may wait before streamed ranges, and answers of etcd's API, let go of the
	// state that they hold. They go on with newer ones, and end when what they read is compacted.
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

	// MessageEntriesBytes is raft's MaxSizePerMsg.
	MessageEntriesBytes = 1 << 20
	// InflightBytes and InflightMessages are raft's window of unacknowledged appends to one peer.
	InflightBytes    = 16 << 20
	InflightMessages = 512
	// UncommittedBytes is raft's MaxUncommittedEntriesSize: past it proposals wait in their mailbox.
	UncommittedBytes = 64 << 20
	// ApplyingBytes is raft's MaxCommittedSizePerReady: what the applier may have before it.
	ApplyingBytes = 32 << 20

	// ProposalBytesWaiting bounds the commands that wait in consensus' mailbox and in consensus itself: some hundred
	// full batches, which no quorum needs more of. When it is full, connections wait, and QUIC's flow control makes
	// clients wait.
	ProposalBytesWaiting = 64 << 20
	// PeerMessagesWaiting bounds messages from peers in consensus' mailbox; what is past it is dropped, raft sends again.
	PeerMessagesWaiting = 16384
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
	// HeapSmall is below how much that lives a member's garbage is collected at CollectedSeldom hundredths of it: at Go's own hundred
	// collections were an eighth of the processor's time of a put by etcd's API (measured). So such a heap takes at most what one with
	// half as much again alive does.
	HeapSmall       = 24 << 20
	CollectedSeldom = 200
	// MemoryKept is which part of the memory that a process may use is left to the kernel, stacks and what else Go's heap is not; and
	// HeapOfMemory is which part of it the heap may have at any rate, since a collector with less room than lives does nothing else. A
	// member with 216 MB in 1 MB values started again with 578 MB at the most without a bound, and with 363 MB with one of 150 MiB.
	MemoryKept   = 8
	HeapOfMemory = 4
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
	// ClientWatchBytes is how much of what a watch was told may wait in the client for its program. Beyond it the watch ends at the
	// member, and is resumed when all that was read: it holds up none of the others on its stream.
	ClientWatchBytes = 1 << 20
	// WatchBytesWaiting is how much of events may wait on a stream of watches. Beyond it they wait in the history. A delivery
	// that is larger is alone, and counts for WatchDeliveryShare of ClientBytes at most in the client's share, which a stream that is
	// alone has twice: a member whose setting is lower delivers what another one has let be written.
	WatchBytesWaiting  = 1 << 20
	WatchDeliveryShare = 16
	// EtcdRequestOver is by how much a message may be larger than --max-request-bytes before gRPC refuses it, as etcd has it.
	EtcdRequestOver = 512 << 10
	// EtcdAnswerBytes bounds one answer of etcd's API, which has no pages of its own: a million keys of 256 bytes are 300 MiB.
	// EtcdMessageBytes is gRPC's own bound, as in etcd. An answer to a range of more than EtcdWholeBytes, or EtcdPieceBytes while clients
	// hold a quarter of EtcdBytes, is encoded as it is written, in pieces of EtcdPieceBytes: each of its pieces takes EtcdPartBytes until
	// then, and the answer EtcdLaterBytes (a member's page of 500 objects is below that, and read once).
	EtcdAnswerBytes  = 1 << 30
	EtcdMessageBytes = math.MaxInt32
	EtcdWholeBytes   = 4 << 20
	EtcdPieceBytes   = 64 << 10
	EtcdPartBytes    = 192
	EtcdLaterBytes   = 4 << 10
	// EtcdBuiltBytes bounds the answers together that are in memory as a whole: sorted, filtered, of transactions, and with what was
	// deleted. There is room for a million keys of 256 bytes. Who takes none of an answer in EtcdStall, or would take longer for it than
	// EtcdBuiltTime, is closed while others wait.
	EtcdBuiltBytes = 320 << 20
	// EtcdCollected is from what size on one that was written is collected before others have its room: Go's collector would come later,
	// and both would be in memory.
	EtcdCollected = 64 << 20
	// EtcdWideReads is how many reads there are at a time that hold all that they have read until it is encoded: some 250 bytes for each
	// of a million keys. EtcdWideSteps is how many times RangeRows keys a read may look at before it is one of them: pages look at less,
	// and what has no place holds no more than that.
	EtcdWideReads = 2
	EtcdWideSteps = 8
	// EtcdBuilds is how many wait for room among EtcdBuiltBytes at a time: what they have read waits, too.
	EtcdBuilds = 8
	// EtcdTxns is how many transactions with more parts than EtcdTxnFew are decoded at a time: of 8,192 parts each takes 3.2 MiB, and came
	// in 70 KiB.
	EtcdTxns   = 32
	EtcdTxnFew = 64
	// EtcdMemberBytes bounds a request that adds or updates a member, of which each address may be two bytes and becomes 50.
	EtcdMemberBytes = 64 << 10
	// EtcdLocks is how many requests may wait for locks and elections, at some 15 KiB each; one host's are half of them.
	EtcdLocks = 8192
	// EtcdConnections bounds the connections to the port of etcd's API. One with gRPC takes about 100 KiB.
	EtcdConnections = 8192
	// FilesKept is how many of the files that a process may have open are for the log, snapshots and sockets: connections to TCP
	// ports get none of them, since a log that can open no file ends its member. EtcdConnectionsLeast is what they get at least: where
	// that is not left, a member does not start.
	FilesKept            = 192
	EtcdConnectionsLeast = 16
	// EtcdPlaceIdle is for how long nothing was asked on a connection that gives up its place to one more of the same client, when
	// all are taken: one that begins or goes on has asked. A place is looked for once in EtcdPlaceEach: that takes half as long.
	EtcdPlaceIdle = time.Second
	EtcdPlaceEach = time.Millisecond
	// EtcdBytes bounds what gRPC's clients hold together by open streams, requests that are not whole and answers that are not read, but
	// for those that have EtcdBuiltBytes. It is half of what clients may cost a member, since Go's collector leaves as much garbage.
	EtcdBytes = 256 << 20
	// EtcdStreamBytes is what a stream takes that its client has begun and not ended, with the goroutines that serve it: of what
	// EtcdStreamsAll says, what Go's collector leaves is in EtcdBytes already. As many as that leave hardly any of it to others.
	EtcdStreamBytes = 20 << 10
	// EtcdAskedBytes is what one takes whose client has said all, until its answer is written.
	EtcdAskedBytes = 3 << 10
	// EtcdLeasesSorted is how many leases are listed by when they end: the leader's clock is asked for each. EtcdLeasesAsking is how many
	// lists do that at a time: they take a quarter of EtcdRequests.
	EtcdLeasesSorted = 4096
	EtcdLeasesAsking = 4
	// EtcdStreamsAll bounds the streams of all connections together, of watches and others; EtcdHubCallers is how many of them wait for
	// the watch hub at a time. A stream of watches is two goroutines, with 8 KiB of stack each, and 9 KiB of the heap, of which Go's
	// collector may keep as much again: 35 KiB resident (measured; 20,480 of them were 719 MiB).
	EtcdStreamsAll = 12 << 10
	EtcdHubCallers = 64
	// EtcdResets is how many streams a second all connections together may give up before they are over: a tenth of a core. Past it
	// those who do are read slower.
	EtcdResets = 2000
	// EtcdBlamed is for how long a client's new streams count as resets of which a connection was closed for what it held, beyond
	// EtcdStreamsFew on a connection. Measured without: 16 connections opened 40,000 a second, and others' p99 was 2.7 s (load 30).
	EtcdBlamed     = time.Minute
	EtcdStreamsFew = 256
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
	EtcdGatewayRoom  = EtcdGatewayBytes * EtcdGatewayTimes
	EtcdGatewayTimes = 6
	EtcdGatewaySmall = 16 << 10
	// EtcdGatewayObject is how many bytes of JSON a message has for each of its objects at least, but for EtcdGatewayObjects of them: the
	// shortest operation, of two objects, has 33. An object becomes 200 bytes, also an empty one, so that a transaction is counted
	// EtcdGatewayDense times more. Measured before: 8 transactions of 450,000 empty operations took 700 MiB.
	EtcdGatewayObject  = 12
	EtcdGatewayObjects = 512
	EtcdGatewayDense   = 3
	// EtcdGatewayReads is how many ranges are read for answers as JSON at a time, each of EtcdGatewayBytes at most: what was read waits
	// for that room, too.
	EtcdGatewayReads = 2
	// EtcdGatewayStreamed bounds a message of a stream of requests over HTTP: a watch's two keys, as base64.
	EtcdGatewayStreamed = 4 * KeyBytes
	// EtcdGatewayPace is what a request that has room must move in EtcdStall while others wait for some: 16 KiB a second.
	EtcdGatewayPace = 32 << 10
	// EtcdStall is for how long a client of etcd's API may stand still that has what others wait for.
	EtcdStall     = 2 * time.Second
	EtcdBuiltTime = time.Minute
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
	// EtcdServed is how many requests of all connections are served at a time before those of a connection that has more than
	// EtcdServedFew of them are read slower, of which each waits for EtcdServedWait at most. Measured without, beside 20 connections
	// of 8,000 gets that nobody read: another's put took 4 s (etcd: 4), and 900 MiB more were resident (etcd: 1.1 GiB; load 25).
	EtcdServed     = 4096
	EtcdServedFew  = 256
	EtcdServedWait = 500 * time.Millisecond
	// EtcdServedBytes and EtcdServedBytesFew are the same for the bytes of those requests: what is written is in memory two to three times
	// until it is answered, and others' puts stand behind it, for half a second on a disk of 64 MiB/s. Measured without, beside 16
	// connections of up to 500 puts of 1.4 MiB each: another's put took 20 s, and 9 GiB more were resident.
	EtcdServedBytes    = 32 << 20
	EtcdServedBytesFew = 64 << 10
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
	// log's segments go on growing. Of a small state it is EtcdSnapshotLeast, in which bbolt's smallest file has room twice, and four
	// times the state's bytes: it is written in a moment.
	// EtcdSnapshots is how many are on their way at a time, and EtcdSnapshotPace what a client must take of one in EtcdStall while
	// others wait: half a mebibyte a second.
	EtcdSnapshots     = 2
	EtcdSnapshotPace  = 1 << 20
	EtcdSnapshotChunk = 32 << 10
	EtcdSnapshotBytes = 4 << 20
	EtcdSnapshotRoom  = 512 << 20
	EtcdSnapshotLeast = 32 << 20
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
	// DiskUse and what is kept free for the next snapshot of it, beside the log's spares and what it leaves; and twice, for what
	// snapshots, reads and Go's collector hold. History gives way where the least machine of a cluster holds less, but for a part in
	// HistoryOfHeld of that, so that watches can resume.
	StateOfDisk   = DiskUse + 1
	StateOfMemory = 2
	HistoryOfHeld = 8
	// HistoryShort is how far back the history should reach at least, by the leader's clock: Kubernetes counts on five
	// minutes.
	HistoryShort = 5 * time.Minute
	// ClocksApart is how far the clocks of members may be apart: NTP keeps them within a second, and who compares them sees what
	// somebody said a while ago. Beyond it, a time does not tell a revision, and the member whose clock differs is named.
	ClocksApart = time.Minute
	// HistorySamples is into how many steps the age is divided after which history goes, and HistoryPauses how many pauses, each as
	// long as it may be, are taken for that age at a start: how long members were down, or nothing was written, is known from
	// their clocks alone, and one that is wrong takes one part in so many of history.
	HistorySamples = 64
	HistoryPauses  = 8
	// HistoryLoaded bounds the revisions of a state that is loaded: what is said of a snapshot is not believed beyond
	// what fits a large machine's memory, eight bytes each.
	HistoryLoaded = 1 << 33
	// CompactionWork is how much compaction one entry always may do, beside what its commands and what it adds allow, in
	// units of about 20 ns: a thousand changes.
	CompactionWork = 16 << 10
	// ChangesKept is for how many changes of one revision a state keeps the lists in which it collects them: half a MiB each. Those
	// of a larger deletion are given back.
	ChangesKept = 1 << 16
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
	// MemberBytes bounds what one command says of a member: all that it may say, with all its addresses.
	MemberBytes = 16 << 10
	// MemberAddresses bounds the addresses of one kind that a member may have: a few networks, with both families.
	MemberAddresses = 16
	// AddressBytes is the longest HOST:PORT: a name as long as DNS allows, and five digits.
	AddressBytes = HostBytes + 1 + 5
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
	// WatchSentRate is how many events a second a member sends those that are behind, while somebody has written within WatchCalm and
	// they gain WatchGain revisions and more for each that is written: an event takes its stream and its client some microseconds,
	// and puts wait for the processors that these keep busy. WatchRestMost is the longest rest for one step's.
	WatchSentRate = 150_000
	WatchCalm     = 100 * time.Millisecond
	WatchGain     = 4
	WatchRestMost = 5 * time.Millisecond
	// WatchFrameBytes is when events are delivered to a watch that is behind before the step is over, and WatchFragmentBytes
	// when that is done within a revision: with one more event of the largest size it is below ResponseBytes. It is also up to
	// where what waits for a watch of etcd's is joined to one message: with eight times as much, clients took in no more.
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
	// LogRepeats is how many lines that others can cause are written about one thing, until LogRepeatsPause after the
	// first; LogSubjects is how many things are told apart.
	LogRepeats      = 3
	LogRepeatsPause = 10 * time.Second
	LogSubjects     = 256
	// LogRepeatsPauseMost is how long that pause becomes, doubled each time, as long as the thing goes on: a peer that is
	// dead for a day is 150 lines.
	LogRepeatsPauseMost = 10 * time.Minute
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
	// ReadAhead is how much of a snapshot is read ahead while it is loaded: as much as is asked for at once.
	ReadAhead = 1 << 20
	// ReserveFillers is how many goroutines have memory zeroed for a state that is loaded: one is slower than what takes it
	// where the host itself gives a page at its first touch.
	ReserveFillers = 2
	// ReserveMore is which part more than in a file the versions of a state take in memory: with values of 256 bytes a sixth. Who
	// has smaller ones has fewer bytes to wait for.
	ReserveMore = 4
	// IdleLooks is at how many looks in a row a member has applied nothing when it gives back what it does not use, five seconds, if
	// it has applied IdleEntries since it did so last, or IdleBytes wait for it: a collection of garbage costs milliseconds.
	IdleLooks   = 25
	IdleEntries = 64
	IdleBytes   = 8 << 20
	// QueueKept is how many places a queue of the core keeps when it is empty: a lone client's writes need one, and what is under way at
	// once some hundred.
	QueueKept = 256
	// RetiredBytes of the state's memory that are given up, or a RetiredPart of what is in use, are worth a collection of garbage:
	// a member under load makes enough of it elsewhere, this is for one that does not. In a RetiredInterval a compaction gives up some
	// 50 MiB.
	RetiredBytes    = 128 << 20
	RetiredPart     = 4
	RetiredInterval = 100 * time.Millisecond
	// AnnounceTimeout is how long a member waits for what it writes to the log about itself.
	AnnounceTimeout = 2 * time.Second
	// ElectionsKept is of how many of its elections a member recognises late votes: disks are behind by a few.
	ElectionsKept = 8
)
