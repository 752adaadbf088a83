// Package limits is the table of all of qkv's limits: every length, queue, buffer and count that a member or a client bounds, with its
// reason. A request beyond a limit gets an error that names the limit; nothing is truncated silently.
//
// A limit for writing data is at most the limit for reading the same data back: every written entry stays readable (in etcd, bug 14025 made
// members unable to restart).
//
// Some limits decide the result of apply. They belong to feature level 1 and never change, because members of two builds must compute the
// same state. TestLevelOneStays of package index lists all of them.
//
//	limits.go    requests, the state, clients and members
//	disk.go      log, snapshots and their disk
//	peers.go     connections between members
//	audit.go     the audit log
//	auth.go      users and roles; authproof.go: passwords and tokens
//	dashboard.go the dashboard and `qkv top`
//	tunable.go   limits that a test or the simulation sets small
package limits

import (
	"math"
	"time"
)

const (
	// KeyBytes bounds a key. etcd has no such bound; 32 KiB holds any path and keeps tree comparisons short.
	KeyBytes = 32 << 10
	// RequestBytes bounds every request that is read, from a client or from the log, whatever write limit a member has. It is a quarter of
	// a segment, and fits a client's share of a member's memory.
	RequestBytes = 16 << 20
	// RequestBytesWritten is the default size limit of a written request, as in etcd: --max-request-bytes. The flag accepts
	// RequestBytesLeast, which any read request fits, to RequestBytes.
	RequestBytesWritten = 3 << 19
	RequestBytesLeast   = 128 << 10
	// ValueBytes bounds a value: a request minus the largest key and 32 KiB of overhead.
	ValueBytes = RequestBytes - KeyBytes - 32<<10
	// LeaseSeconds is the longest TTL of a lease, as in etcd: three centuries.
	LeaseSeconds = 9_000_000_000
	// LeaseCheckpoints bounds the leases of one command that checkpoints their remaining time.
	LeaseCheckpoints = 1024
	// LeaseLengthening bounds how much one failover lengthens a lease. For long leases the bound is a tenth of the TTL, for short ones the
	// TTL. Before this much of a lease has passed, its remaining time is checkpointed in the log.
	LeaseLengthening = 30 * time.Second
	// LeaseKeys is how many keys, or leases, one page has: less than a millisecond of work.
	LeaseKeys = 2048
	// StatusesTold bounds the unsolicited statuses in flight to one client. EndpointsTold bounds the endpoints that a member can announce
	// to a client: far more than a cluster has, and all are dialled within some seconds.
	StatusesTold  = 4
	EndpointsTold = 64
	// LeaseAsks is how many keep-alives and lease queries a frame between members has.
	LeaseAsks = 4096
	// Sessions bounds the sessions of all clients. sessionOutcomes bounds their outcomes, at some 64 bytes each. When this
	// space is full, a session without a write for sessionIdle is evicted; a client that merely looks for other work writes again sooner.
	// SessionWindow bounds the writes of one session that are in flight or queued behind one in flight. A busy cluster applies as many
	// while a lost write is detected and retried. These and the next four decide the result of apply: they are part of feature level 1.
	Sessions        = 1 << 16
	sessionOutcomes = 1 << 20
	SessionWindow   = 1 << 16
	sessionIdle     = 30 * time.Second
	// SessionSequence is the highest sequence in a session: sums of sequences and windows do not overflow. At a million writes a second,
	// a client reaches it after 140,000 years.
	SessionSequence = 1 << 62
	// SessionTTL ends a session without a write for this long: no client waits longer for a retried write.
	SessionTTL = 5 * time.Minute
	// SessionPause bounds how far one entry advances the session clock. While no quorum accepts writes, no session expires.
	SessionPause = 10 * time.Second
	// SessionClocks is the number of members whose entries the session clock follows: every possible member, and a few that were removed
	// recently.
	SessionClocks = Members + Learners + 2
	// sessionEnds is how many expired sessions one entry ends, in addition to one for each of its commands.
	sessionEnds = 64
	// TxnOperations bounds the comparisons of a transaction and each list of its operations, by default as in etcd. A nested transaction
	// may use the rest of that number.
	TxnOperations = 128
	// TxnDepth and TxnParts bound the decoding of a transaction with all nested ones. Each nesting level takes at least one operation, and
	// 64 times as many parts exceed any real use. They are part of the log's format.
	TxnDepth = TxnOperations
	TxnParts = 64 * TxnOperations
	// LongWriteRows is the number of keys, compared or deleted by range, from which a write is long: it takes some milliseconds of each
	// member's applier. A member accepts one long write at a time from each endpoint: other writes queue behind few of them. TxnRows
	// bounds the keys that a transaction may compare and delete by range; a transaction may always cover all existing keys once. Measured
	// before, with 100,000 keys: one transaction of 64 nested ones, of 64 comparisons of all keys each, delayed all writes for 24 s; one
	// of deletions for 8 s.
	LongWriteRows = 16 << 10
	TxnRows       = 256 << 10
	// ResponseBytes bounds one response's frame. A range is answered in smaller pages; an event with the largest value, before and after,
	// fits it.
	ResponseBytes = 2*RequestBytes + 4<<20
	// BodyBytes bounds the keys and values of an answer without pages: of a transaction, and previous values. Any single value fits it.
	BodyBytes = RequestBytes + 1<<20
	// TxnPartBytes is the memory charged for a comparison or operation of a transaction while its answer waits.
	TxnPartBytes = 192
	// RangePageBytes bounds the keys and values in one page of a range; one larger pair still fits ResponseBytes.
	RangePageBytes = 2 << 20
	// PageBytes bounds the keys and values in one page of a streamed range. With its overhead the page fits the usual buffer of a frame
	// reader.
	PageBytes = 48 << 10
	// PagesRetired is how many bytes of retired memory held Views may keep from being freed. Beyond it, streamed ranges and answers of
	// etcd's API release the View that they hold. They continue with newer Views, and end if their revision is compacted.
	PagesRetired = 256 << 20
	// RangeShare is the divisor for the processors of ranges: all ranges together use 1/RangeShare of the processors, and at least one.
	RangeShare = 4
	// RangeRows is how many keys a range visits between two checks of the clock, some 50 us, and thus the number of keys in a page.
	RangeRows = 256
	// RangeRest is the ratio of the pause after a turn to the turn itself while other requests are in flight. Results must also be sent
	// and received, which costs the machine more than reading them.
	RangeRest = 4

	// BatchBytes and BatchCommands bound the commands that consensus packs into one entry. Measured: anything from 64 KiB to 1 MiB
	// performs alike. One larger command still gets an entry of its own.
	BatchBytes    = 256 << 10
	BatchCommands = 1024
	// EnvelopeBytes bounds an entry's data: a full batch and one command of the largest size.
	EnvelopeBytes = BatchBytes + RequestBytes

	// MessageEntriesBytes is raft's MaxSizePerMsg.
	MessageEntriesBytes = 1 << 20
	// InflightBytes and InflightMessages are raft's window of unacknowledged appends to one peer.
	InflightBytes    = 16 << 20
	InflightMessages = 512
	// UncommittedBytes is raft's MaxUncommittedEntriesSize: beyond it proposals wait in their mailbox.
	UncommittedBytes = 64 << 20
	// ApplyingBytes is raft's MaxCommittedSizePerReady: it bounds the entries queued at the applier.
	ApplyingBytes = 32 << 20

	// ProposalBytesWaiting bounds the commands that wait in consensus' mailbox and in consensus itself: some hundred full batches, more
	// than any quorum needs. When it is full, connections wait, and QUIC's flow control exerts backpressure on clients.
	ProposalBytesWaiting = 64 << 20
	// PeerMessagesWaiting bounds messages from peers in consensus' mailbox; further ones are dropped, and raft retries.
	PeerMessagesWaiting = 16384
	// PostsWaiting bounds the messages that actors post to each other. raft's own bounds are far below it; more is a bug.
	PostsWaiting = 1 << 20
	// RequestsInflight bounds the unanswered requests of one client connection.
	RequestsInflight = 16384
	// ClientBytes is the memory budget of all native clients of a member: partial requests, unanswered requests, and answers that wait for
	// the client. No client gets all of it: an identity may take at most as much as it leaves free, and so may each of its connections and
	// each stream (package net/server). A lone client may have 24 MiB in flight on one stream, fifteen of the largest requests of the
	// default write limit. Under attack by one identity half of it is used. Go's collector may keep as much again, and QUIC has its own
	// memory for each connection. If larger requests are allowed, the budget is at least ClientRequests times the largest. A lone stream
	// has an eighth, and needs three times the request: for its buffer, the request, and a copy that waits for the answer.
	ClientBytes    = 192 << 20
	ClientRequests = 32
	// RequestOverhead is charged for a request in addition to its bytes, for its entries in the endpoint's and the member's tables.
	RequestOverhead = 256
	// ClientStreamBytes is charged for a stream, with its two goroutines, its buffers and QUIC's state. The first ClientStreamsFree of a
	// connection are free: qkv's own client uses as many, and the connection limit bounds them.
	ClientStreamBytes = 32 << 10
	ClientStreamsFree = 2
	// ClientConnections bounds native client connections of one member. When all slots are taken, a new connection evicts the longest idle
	// one of the identity that has most. It evicts a connection of its own identity only if that was idle for clientPlaceIdle.
	ClientConnections = 4096
	clientPlaceIdle   = time.Second
	// ClientConnectionBytes is the memory that an idle connection holds in a member: 42 KiB of the heap and of its goroutines' stacks
	// (measured), for QUIC and TLS. ClientsMany is a watermark on the memory of all connections plus their charges to ClientBytes. Above
	// it, Go's collector runs at CollectedOften percent of the live heap until the sum falls to half. At its default the collector keeps
	// as much again, which is 120 KiB per connection.
	ClientConnectionBytes = 56 << 10
	ClientsMany           = 64 << 20
	CollectedOften        = 50
	// HeapSmall is the live heap below which a member's collector runs at CollectedSeldom percent. At Go's default of one hundred,
	// collections took an eighth of the processor time of a put by etcd's API (measured). Such a heap grows at most as large as a heap
	// with half as much more live data does.
	HeapSmall       = 24 << 20
	CollectedSeldom = 200
	// 1/MemoryKept of a process's memory is left to the kernel, stacks and other memory outside Go's heap. The heap may always have
	// 1/HeapOfMemory of it, because a collector with less space than live data runs constantly. A member with 216 MB in 1 MB values
	// restarted with a peak of 578 MB without a bound, and of 363 MB with a bound of 150 MiB.
	MemoryKept   = 8
	HeapOfMemory = 4
	// ClientConnectionsOver is how many connections beyond that limit are accepted to receive an error.
	ClientConnectionsOver = 64
	// ClientHandshakes bounds the native handshakes in progress at one member: each costs a signature and 130 KiB (measured). With
	// HandshakeHurry, an attacker must start as many new ones each second, from at least sixteen addresses, to keep others out. With 256
	// slots of five seconds each, 200 abandoned handshakes a second did.
	ClientHandshakes = 1024
	// ClientHandshakesTrusted is how many handshakes may be in progress before a client must first prove its source address, by one more
	// round trip.
	ClientHandshakesTrusted = 32
	// ClientHandshakesAddress bounds the handshakes of one source address, to leave slots for others.
	ClientHandshakesAddress = ClientHandshakes / 16
	// PacketLeast is the packet size that QUIC's standard guarantees on any path, and with which every connection begins; larger packets
	// are probed. It works on paths that silently drop packets of 1,281 bytes, as tunnels do.
	PacketLeast = 1200
	// ClientStreams bounds the open streams of one client connection.
	ClientStreams = 64
	// ClientStreamWindow is QUIC's receive window of a stream, on both sides of a native connection. ClientConnectionWindow is the window
	// of a client's whole connection: the sum of its streams, which prevents an unread stream from blocking the others. Measured on
	// loopback, 1 MiB for both of a client's streams was best for small requests: larger bursts overrun the 256 packets that quic-go keeps
	// of a connection.
	ClientStreamWindow     = 512 << 10
	ClientConnectionWindow = ClientStreams * ClientStreamWindow
	// MemberConnectionWindow is a member's receive window for one client's connection. The member always reads all streams, except those
	// of clients that exceed their limits and take no answers.
	MemberConnectionWindow = 1 << 20
	// ClientConnectionsWide is how many connections of a member get that window. Further ones get MemberNarrowWindow, because a client
	// that leaves a gap makes QUIC keep a full window: 64 KiB per round trip suffice on a LAN, and all connections together need 320 MiB.
	ClientConnectionsWide = 64
	MemberNarrowWindow    = 64 << 10
	// AnswerBytesWaiting bounds the refusals and statuses that wait on a stream before its requests are no longer read. Other answers are
	// encoded when they are written.
	AnswerBytesWaiting = 4 << 10
	// ClientWatches bounds the watches of one client connection, on all its streams. Each watch is charged WatchOverhead and its keys in
	// the client's share of ClientBytes: for its entries in the tables of endpoint and hub.
	ClientWatches = 16384
	WatchOverhead = 768
	// ClientWatchBytes bounds the events of one watch that wait in the client for its program. Beyond it the client cancels the watch at
	// the member, and resumes it when its queue is read: other watches of the stream are not blocked.
	ClientWatchBytes = 1 << 20
	// WatchBytesWaiting bounds the events that wait on a stream of watches. Further ones wait in the history. A larger delivery travels
	// alone, and is charged at most WatchDeliveryShare of ClientBytes in the client's share; a lone stream has twice that. A member with a
	// lower write limit thus delivers values that another member accepted.
	WatchBytesWaiting  = 1 << 20
	WatchDeliveryShare = 16
	// EtcdRequestOver is by how much a message may exceed --max-request-bytes before gRPC refuses it, as in etcd.
	EtcdRequestOver = 512 << 10
	// EtcdAnswerBytes bounds one answer of etcd's API, which has no pages of its own: a million keys of 256 bytes are 300 MiB.
	// EtcdMessageBytes is gRPC's own bound, as in etcd. EtcdWholeBytes is the largest range answer that is encoded as a whole; it is
	// EtcdPieceBytes while clients hold a quarter of EtcdBytes. A larger answer is encoded as it is written, in pieces of EtcdPieceBytes.
	// Until then each piece takes EtcdPartBytes, and the answer EtcdLaterBytes. (A page of 500 Kubernetes objects is smaller, and read
	// once.)
	EtcdAnswerBytes  = 1 << 30
	EtcdMessageBytes = math.MaxInt32
	EtcdWholeBytes   = 4 << 20
	EtcdPieceBytes   = 64 << 10
	EtcdPartBytes    = 192
	EtcdLaterBytes   = 4 << 10
	// EtcdBuiltBytes bounds the answers that are in memory as a whole: sorted, filtered, of transactions, and with deleted pairs. It fits
	// a million keys of 256 bytes. While other answers wait, a connection that takes none of its answer in EtcdStall, or would need longer
	// than EtcdBuiltTime, is closed.
	EtcdBuiltBytes = 320 << 20
	// EtcdCollected is the size from which a written answer is garbage-collected before others get its memory. Go's collector would run
	// later, and both answers would be in memory.
	EtcdCollected = 64 << 20
	// EtcdWideReads bounds the concurrent reads that hold all their results until they are encoded: some 250 bytes for each of a million
	// keys. EtcdWideSteps times RangeRows is the number of keys beyond which a read is such a wide read. Pages visit fewer, and a read
	// that waits holds no more than that.
	EtcdWideReads = 2
	EtcdWideSteps = 8
	// EtcdBuilds bounds the answers that wait for memory of EtcdBuiltBytes: their results wait in memory, too.
	EtcdBuilds = 8
	// EtcdTxns bounds the transactions of more than EtcdTxnFew parts that are decoded at a time: one of 8,192 parts takes 3.2 MiB, and was
	// 70 KiB on the wire.
	EtcdTxns   = 32
	EtcdTxnFew = 64
	// EtcdMemberBytes bounds a request that adds or updates a member. Each address in it may be two bytes and becomes 50.
	EtcdMemberBytes = 64 << 10
	// EtcdLocks bounds the requests that wait for locks and elections, at some 15 KiB each; one host gets at most half.
	EtcdLocks = 8192
	// EtcdConnections bounds the connections to the port of etcd's API. One with gRPC takes about 100 KiB.
	EtcdConnections = 8192
	// FilesKept is how many of a process's file descriptors are reserved for the log, snapshots and sockets. TCP connections get none of
	// these, because a member whose log cannot open a file ends. EtcdConnectionsLeast is the minimum left for TCP connections: with fewer,
	// a member does not start.
	FilesKept            = 192
	EtcdConnectionsLeast = 16
	// etcdPlaceIdle is how long a connection must be without requests before, at a full port, a new connection of the same client evicts
	// it. A request that begins or continues counts as activity. A search for such a connection runs at most once per EtcdPlaceEach: it
	// takes half as long.
	etcdPlaceIdle = time.Second
	EtcdPlaceEach = time.Millisecond
	// EtcdBytes bounds the memory that gRPC clients hold together: open streams, partial requests and unread answers, except answers
	// charged to EtcdBuiltBytes. It is half of the memory that clients may cost a member, since Go's collector leaves as much garbage.
	EtcdBytes = 256 << 20
	// EtcdStreamBytes is charged for a stream that its client has begun and not ended, with the goroutines that serve it. Of the memory
	// given at EtcdStreamsAll, EtcdBytes already includes the collector's part. The maximum number of such streams leaves hardly any of
	// EtcdBytes to others.
	EtcdStreamBytes = 20 << 10
	// EtcdAskedBytes is charged for a stream whose client has sent everything, until its answer is written.
	EtcdAskedBytes = 3 << 10
	// EtcdLeasesSorted bounds the leases that are listed in order of expiry: the leader's clock is queried for each. EtcdLeasesAsking
	// bounds the concurrent lists of this kind: they take a quarter of etcdRequests.
	EtcdLeasesSorted = 4096
	EtcdLeasesAsking = 4
	// EtcdStreamsAll bounds the streams of all connections together, watches and others. EtcdHubCallers bounds how many of them wait for
	// the watch hub at a time. A stream of watches is two goroutines with 8 KiB of stack each, and 9 KiB of the heap, of which Go's
	// collector may keep as much again: 35 KiB resident (measured; 20,480 of them were 719 MiB).
	EtcdStreamsAll = 12 << 10
	EtcdHubCallers = 64
	// EtcdHealthStreams bounds the health watches of all connections. A client has at most one per connection. They do not count for
	// EtcdStreamsAll: otherwise five connections with 3,000 of them would leave none for a watch of keys. All of them hold 3 MiB of
	// EtcdBytes (EtcdAskedBytes each), in addition to the 240 MiB of EtcdStreamsAll.
	EtcdHealthStreams = 1 << 10
	// EtcdResets is the rate limit of stream resets per second for all connections together: a tenth of a core. Beyond it, the connections
	// that reset streams are throttled.
	EtcdResets = 2000
	// EtcdBlamed is for how long a client is throttled whose connection was closed because it held most memory: its new streams beyond
	// EtcdStreamsFew per connection count as resets. Measured without: 16 connections opened 40,000 a second, and the p99 of other clients
	// was 2.7 s (load 30).
	EtcdBlamed     = time.Minute
	EtcdStreamsFew = 256
	// EtcdFramesReset is how many frames without a request cost as much as a reset: 0.2 µs each (measured). Sixteen connections sent 3.7
	// million a second before, and took a core.
	EtcdFramesReset = 200
	// EtcdRefused bounds the failed connections of one address per second; beyond it the address is ignored for a while. As many failed
	// TLS handshakes take a tenth of a core. A port check every second counts as one failure. Measured with 15,000 a second, from other
	// processors than the member's: a third of a core, and twice the usual median of puts.
	EtcdRefused = 250
	// EtcdGatewayBytes bounds an answer as JSON over HTTP, which is in memory several times.
	EtcdGatewayBytes = 64 << 20
	// etcdGatewayRoom bounds the memory of all requests over HTTP together. Each message is charged EtcdGatewayTimes its bytes: encoded,
	// decoded, as JSON, and in doubled buffers. At least one of the largest fits. Messages of at most EtcdGatewaySmall are not charged:
	// those of all connections are half as much. Measured before: 200 unread answers of 40 MiB took 2.1 GiB and more.
	etcdGatewayRoom  = EtcdGatewayBytes * EtcdGatewayTimes
	EtcdGatewayTimes = 6
	EtcdGatewaySmall = 16 << 10
	// EtcdGatewayObject is the minimum of JSON bytes per object in a message, apart from its first EtcdGatewayObjects objects: the
	// shortest operation, of two objects, has 33. An object becomes 200 bytes, even if empty; a transaction is therefore charged
	// EtcdGatewayDense times more. Measured before: 8 transactions of 450,000 empty operations took 700 MiB.
	EtcdGatewayObject  = 12
	EtcdGatewayObjects = 512
	EtcdGatewayDense   = 3
	// EtcdGatewayReads bounds the concurrent range reads for JSON answers, each of at most EtcdGatewayBytes: their results wait in memory
	// for etcdGatewayRoom.
	EtcdGatewayReads = 2
	// EtcdGatewayStreamed bounds a message of a stream of requests over HTTP: a watch's two keys, as base64.
	EtcdGatewayStreamed = 4 * KeyBytes
	// EtcdGatewayPace is the least that a request with memory of etcdGatewayRoom must transfer per EtcdStall while other requests wait: 16
	// KiB a second.
	EtcdGatewayPace = 32 << 10
	// EtcdStall is how long a client of etcd's API may transfer nothing while it holds a resource that others wait for. EtcdBuiltTime is
	// the time in which such a client must read a whole large answer.
	EtcdStall     = 2 * time.Second
	EtcdBuiltTime = time.Minute
	// MetricsReaders bounds the concurrent scrapes of the metrics. EtcdClientVersions bounds the library versions by which clients are
	// counted, because the clients themselves send them.
	MetricsReaders     = 4
	EtcdClientVersions = 16
	// MetricsURLs bounds the metrics-only addresses: a supervisor's, and a collector's, in both families.
	MetricsURLs = 8
	// EtcdMetricsConnections bounds the connections to all metrics-only addresses, which a few supervisors use. One more evicts an idle
	// connection: of the client that has most, or of any client if none has two more than the new one's.
	EtcdMetricsConnections = 64
	// EtcdStreams bounds the streams, and thus the requests in flight, of one connection; further ones wait at the client. etcdRequests
	// bounds the requests of all connections that wait for the member.
	EtcdStreams  = 8192
	etcdRequests = 64 << 10
	// EtcdServed is how many requests of all connections are served before busy connections are throttled: a connection with more than
	// EtcdServedFew of them reads more slowly, with a delay of at most EtcdServedWait per request. Measured without, beside 20 connections
	// of 8,000 unread gets: another client's put took 4 s (etcd: 4), and 900 MiB more were resident (etcd: 1.1 GiB; load 25).
	EtcdServed     = 4096
	EtcdServedFew  = 256
	EtcdServedWait = 500 * time.Millisecond
	// EtcdServedBytes and EtcdServedBytesFew are the same for the bytes of those requests. A write is in memory two to three times until
	// it is answered, and other clients' puts queue behind it: half a second on a disk of 64 MiB/s. Measured without, beside 16
	// connections of up to 500 puts of 1.4 MiB each: another client's put took 20 s, and 9 GiB more were resident.
	EtcdServedBytes    = 32 << 20
	EtcdServedBytesFew = 64 << 10
	// etcdWatches bounds the watches of all etcd clients together; a stream has at most ClientWatches. EtcdWatchBytes bounds the waiting
	// events of all of them: beyond it each stream has one delivery.
	etcdWatches    = 256 << 10
	EtcdWatchBytes = 192 << 20
	// EtcdWatchAnswers bounds the bytes of answers other than events that wait on a stream of watches. Beyond it, the stream's requests are
	// no longer read. It is a thousand answers, which a reading client takes in a moment. A client that never read made a member keep 200
	// MiB more each second.
	EtcdWatchAnswers = 1024 * RequestOverhead
	// EtcdSnapshotChunk is one message of a snapshot for etcd, as in etcd. EtcdSnapshotBytes is one write transaction of its file, which
	// is in memory until then. EtcdSnapshotRoom is the free disk space required in addition to twice the state's bytes, because the log's
	// segments continue to grow. A small state needs EtcdSnapshotLeast, which fits bbolt's smallest file twice, and four times the state's
	// bytes: it is written in a moment. EtcdSnapshots bounds the concurrent snapshots. EtcdSnapshotPace is the least that a client must
	// take of its snapshot in EtcdStall while others wait: half a mebibyte a second.
	EtcdSnapshots     = 2
	EtcdSnapshotPace  = 1 << 20
	EtcdSnapshotChunk = 32 << 10
	EtcdSnapshotBytes = 4 << 20
	EtcdSnapshotRoom  = 512 << 20
	EtcdSnapshotLeast = 32 << 20
	// ImportBytes is how many bytes of another store's records are taken before what is compacted is dropped: about a large entry.
	ImportBytes = 512 << 10
	// ImportRevision bounds the compacted revision and the version numbers of another store: none of them overflows later.
	ImportRevision = 1 << 61
	// EtcdKeepAlives bounds the keep-alives of one stream in flight.
	EtcdKeepAlives = 4096
	// EtcdHandshakes bounds the concurrent TLS handshakes: each costs a signature, and further ones wait.
	EtcdHandshakes = 64
	// EtcdHeaderBytes bounds a request's metadata, at most a token. On the wire each byte may refer to a whole earlier field. The
	// connection is therefore charged EtcdHeaderTimes per byte, and at most EtcdHeaderMost (measured: 4.6 times EtcdHeaderBytes, with
	// garbage, for metadata of such bytes only).
	EtcdHeaderBytes = 16 << 10
	EtcdHeaderTimes = 32
	EtcdHeaderMost  = 4 * EtcdHeaderBytes
	// TimesAsked bounds the revisions in one request for times: 9 KiB of an answer.
	TimesAsked = 1000
	// HistoryBytes bounds the superseded versions, in bytes; a larger live state allows as much history as itself. Beyond it the leader
	// compacts the oldest revisions, down to seven eighths of the bound. It is five minutes of 10,000 small writes a second.
	HistoryBytes = 1 << 30
	// QuotaBytes is the default bound on keys, their history and leases, as in etcd: the state is in memory, and a new member must receive
	// all of it. QuotaWarning is the percentage of the quota from which a warning is given. QuotaHistory is the percentage of the total
	// above which history is compacted, before any warning. NOSPACE ends below QuotaCleared percent: this hysteresis keeps the alarm from
	// toggling with each write.
	QuotaBytes   = 2 << 30
	QuotaWarning = 80
	QuotaHistory = 75
	QuotaCleared = 90
	// QuotaHistoryLeast is the percentage of the quota that history may always have, to let watches resume.
	QuotaHistoryLeast = 5
	// EtcdCompaction is how often etcd compacts all but a number of revisions.
	EtcdCompaction = 5 * time.Minute
	// QuotaLeast is the smallest quota of `qkv serve`: with less, history would be compacted at once. With etcd's command line history does
	// not yield to the quota.
	QuotaLeast = 1 << 20
	// StateOfMemory is the multiple of a state that a machine's memory must hold for comfortable operation: for snapshots, reads and Go's
	// collector. History beyond the capacity of a quorum of the voters is compacted. One part in HistoryOfHeld of a quorum's capacity always
	// stays, to let watches resume. HistorySlack is a tolerance: one part in it of the configured history may be missing in a quorum's
	// capacity without an alarm or a drop. File system tables and small files take as much, and a comfortable machine is far from full.
	StateOfMemory = 2
	HistoryOfHeld = 8
	HistorySlack  = 16
	// HistoryDropAfter is the default delay before history is dropped that the settings keep and that no quorum can hold: in this time an
	// operator can free a disk. Once full disks of a quorum have refused writes for HistoryDropFull, that is the delay. It is longer than a
	// restart, and writes are worth more than history.
	HistoryDropAfter = time.Hour
	HistoryDropFull  = time.Minute
	// HistoryShort is how far back the history should reach at least, by the leader's clock: Kubernetes relies on five minutes.
	HistoryShort = 5 * time.Minute
	// ClocksApart bounds the difference between members' clocks: NTP keeps them within a second, and a comparison sees a value that is
	// slightly old. Beyond it, a time does not identify a revision, and the member whose clock differs is named.
	ClocksApart = time.Minute
	// ClockStable is how long a clock that was set must go on undisturbed before the time of writes follows it, where no other clock
	// confirms it. A wrong clock that is put right earlier leaves no trace; a clock that NTP has put right is followed that much later.
	ClockStable = 10 * time.Minute
	// HistorySamples is the number of steps into which the retention age is divided. At a start, a pause counts for at most one part in
	// HistoryPauses of that age. Only members' clocks tell how long they were down or without writes, and a wrong clock costs at most one
	// such part of history.
	HistorySamples = 64
	HistoryPauses  = 8
	// HistoryLoaded bounds the revisions of a loaded state, at eight bytes each: a snapshot's own count is not trusted beyond a large
	// machine's memory.
	HistoryLoaded = 1 << 33

	// CompactionWork is the compaction that one entry may always do, in addition to the allowance for its commands and its new rows. The
	// unit is about 20 ns: a thousand changes.
	CompactionWork = 16 << 10
	// ChangesKept is the size, in changes of one revision, up to which a state keeps its collecting lists: half a MiB each. Lists of a
	// larger deletion are released.
	ChangesKept = 1 << 16
	// SlabBytes is the size of a large slab of the index, on systems that give memory aligned to it: a huge page or two. Then few pages
	// hold much.
	SlabBytes = 4 << 20
	// EvacuationBytes is how much of a sparse slab one entry may always scan, in addition to its own additions.
	EvacuationBytes = 64 << 10
	// CountedRows is how many keys of a range are counted one by one before counting by the trees is faster.
	CountedRows = 2000

	// Members bounds the voters of a cluster: each further voter makes writes wait for more disks without more safety.
	Members = 7
	// Learners bounds the members that catch up at a time: each reads the leader's data, in addition to the leader's own work.
	Learners = 3
	// NameBytes is the longest name of a member or client: twice a host name, after which etcd members are often named. The names of all
	// founders fit in one of the data folder's small files. LabelBytes is the longest label of a host name, and the longest name of a
	// cluster; HostBytes is the longest host name. Source: RFC 1035.
	NameBytes  = 512
	LabelBytes = 63
	HostBytes  = 253
	// MemberBytes bounds the description of a member in one command, with all its addresses.
	MemberBytes = 16 << 10
	// MemberAddresses bounds the addresses of one kind that a member may have: a few networks, with both families.
	MemberAddresses = 16
	// AddressBytes is the longest HOST:PORT: the longest DNS name, and five digits.
	AddressBytes = HostBytes + 1 + 5
	// FolderFileBytes bounds a small file of the data folder: names, addresses and the processes of the last starts.
	FolderFileBytes = 8192
	// SuspensionReasonBytes bounds the stored reason of a suspension.
	SuspensionReasonBytes = 2048
	// CertificateFileBytes bounds a file of certificates or of a key: hundreds of CAs.
	CertificateFileBytes = 1 << 20
	// ClusterSecrets bounds the cluster secrets in force: a new one and the one that it replaces.
	ClusterSecrets = 2

	// EtcdHandshakeTimeout is how long a connection to the port of etcd's API may take to identify its protocol.
	EtcdHandshakeTimeout = 5 * time.Second
	// EtcdWebTimeout bounds an answer over HTTP, and the life of a connection without a request.
	EtcdWebTimeout = 30 * time.Second
	// EtcdProbeTimeout bounds /livez and /readyz: a member without a quorum answers within three seconds.
	EtcdProbeTimeout = 2 * time.Second
	// EtcdAuthTries bounds how often a write is proposed that changes of users or roles overtake. Each try takes as long as a write: only a
	// flood of such changes, far over a hundred a second, overtakes a write more often.
	EtcdAuthTries = 8
	// EtcdRequestTime is how long a request of etcd's API may wait, in addition to two election timeouts, as in etcd.
	EtcdRequestTime = 5 * time.Second
	// EtcdLearnerAsks is how long a member that would refuse a request as a learner asks the leader for its current role: an election
	// takes less.
	EtcdLearnerAsks = 3 * time.Second
	// EtcdPingLeast is the shortest interval of a client's pings. EtcdPing is the silence after which the server pings a client.
	// EtcdPingTimeout bounds the wait for the answer. All are as in etcd.
	EtcdPingLeast   = 5 * time.Second
	EtcdPing        = 2 * time.Hour
	EtcdPingTimeout = 20 * time.Second
	// PagesHeld is how long a streamed range holds the state that it began with: a fast client reads 10 GB in this time.
	PagesHeld = time.Minute
	// RangeTurn is how long one range is read before the next one continues, and thus the longest delay of other ready work. Measured:
	// longer turns show in the p99 of puts; in shorter ones the switch costs more than the read.
	RangeTurn = 500 * time.Microsecond
	// WatchRequestsWaiting bounds the bytes of watch requests that wait for the hub, with 256 for each; beyond it clients wait.
	WatchRequestsWaiting = 4 << 20
	// WatchAlone is how many election timeouts a member may be without a leader before it ends its watches, as in etcd: they resume at a
	// better-connected member.
	WatchAlone = 3
	// WatchStepWork is the work of one step of the watch hub, in units of about 100 ns: half a millisecond, the longest delay of other
	// work on that processor.
	WatchStepWork = 5000
	// WatchGain is how many revisions the lagging watches must gain per written one for the pause of their hub to make them slower.
	WatchGain = 4
	// WatchFrameBytes is the size at which events are delivered to a lagging watch before the step ends. watchFragmentBytes is the size at
	// which a revision itself is split: one more event of the largest size still fits ResponseBytes. It also bounds the events of an etcd
	// watch that are joined to one message: with eight times as much, clients were no faster.
	WatchFrameBytes    = 128 << 10
	watchFragmentBytes = 1 << 20
	// WatchReadValues and WatchReadBytes bound the values that are read from files for lagging watches at once: no value is added to a list
	// that has reached one of them. The hub keeps at most about four such lists.
	WatchReadValues = 1024
	WatchReadBytes  = 1 << 20
	// WatchReadAgain is how long a value that could not be read is not read again: its watches are canceled, and clients resume them at once.
	WatchReadAgain = time.Second
	// WatchPendingBytes bounds the events collected for lagging watches before a delivery: fewer and larger deliveries cost less
	// everywhere.
	WatchPendingBytes = 4 << 20
	// watchKeyVersions bounds the versions of one key from which a watch of that key catches up. With more, the hub reads the history
	// instead, for all lagging watches at once.
	watchKeyVersions = 1000
	// WatchProgressInterval is the silence after which a watch that asked for it gets a progress notification, as in etcd.
	WatchProgressInterval = 10 * time.Minute
	// WatchProgressLeast is the shortest setting of that interval, as in etcd.
	WatchProgressLeast = 100 * time.Millisecond
	// CheckInterval is how often the members compare their states, if anything has changed. A difference is found within it, at the cost
	// of one small entry and one of each member.
	CheckInterval = time.Minute
	// VerifyVersions is how many versions in memory a member checksums each LookInterval, to detect damage: less than a millisecond. One
	// pass over all of them takes at least CheckInterval, and ten minutes for ten million. VerifyTold is for how many checks a member with
	// damage tries to inform the others before it stops.
	VerifyVersions = 4096
	VerifyTold     = 5
	// StartRead is the timeout of the read index that ends a member's start, which is repeated. It is short, because the reads of one
	// round wait for the longest of their timeouts.
	StartRead = time.Second
	// WatchStart is how long a watch waits for the end of a member's start: its client then turns to another member.
	WatchStart = 5 * time.Second
	// RequestTimeout bounds how long a member keeps a request that sets no shorter timeout.
	RequestTimeout = 60 * time.Second
	// ClientHandshakeTimeout ends a native handshake during which the other side sends nothing. HandshakeHurry replaces it when a quarter
	// of all slots is taken, of clients or of peers: a round trip takes less.
	ClientHandshakeTimeout = 5 * time.Second
	HandshakeHurry         = time.Second
	// ClientIdleTimeout ends a silent native connection; clients send a packet each ClientKeepAlive.
	ClientIdleTimeout = 15 * time.Second
	ClientKeepAlive   = 5 * time.Second
	// ClientWriteTimeout ends a stream whose client takes no sent data, or sends only part of a large request.
	ClientWriteTimeout = 30 * time.Second
	// ClientStall is how long a client may let a stream stand still while the stream holds more than its share of ClientBytes. A silent
	// stream also keeps the buffer of a large request for this long. A network that loses packets stalls for less.
	ClientStall = 2 * time.Second
	// LogRepeats bounds the lines about one subject that other parties can cause, until LogRepeatsPause after the first. LogSubjects
	// bounds the distinct subjects.
	LogRepeats      = 3
	LogRepeatsPause = 10 * time.Second
	LogSubjects     = 256
	// LogRepeatsPauseMost bounds that pause, which doubles each time while the cause continues: a peer that is dead for a day makes 150
	// lines.
	LogRepeatsPauseMost = 10 * time.Minute
	// ElectionTimeoutMost is the longest election timeout, as in etcd: longer ones leave a cluster without a leader for minutes.
	// HeartbeatLeast is raft's tick. An election timeout spans HeartbeatsPerElection: one lost packet causes no election.
	ElectionTimeoutMost   = 50 * time.Second
	HeartbeatLeast        = 10 * time.Millisecond
	HeartbeatsPerElection = 5
	// DrainTimeout bounds a stopping member's wait for requests in flight: without a quorum they would not end.
	DrainTimeout = 2 * time.Second
	// DrainLinger is how long clients may take to close their connections after that: live clients take a tenth.
	DrainLinger = time.Second
	// LookInterval is how often a member compares the log's description of itself and of its state with the facts.
	LookInterval = 200 * time.Millisecond
	// SendErrorsNotice is how long the notice NETWORK lasts after datagrams were refused. SendErrorsFew is the number that raises it: Linux
	// sometimes refuses the first datagram of a socket.
	SendErrorsNotice = time.Minute
	SendErrorsFew    = 3
	// ReadAhead is how much of a snapshot is read ahead while it is loaded: the size of one request.
	ReadAhead = 1 << 20
	// ReserveFillers is how many goroutines zero memory for a loaded state. If the host allocates pages at first touch, one is slower than
	// the loader.
	ReserveFillers = 2
	// A state's versions get 1/ReserveMore more reserved memory than they take in the file: with values of 256 bytes they take a sixth
	// more. A state of smaller values has fewer bytes to wait for.
	ReserveMore = 4
	// IdleLooks is how many consecutive checks without an applied entry, five seconds, make a member release unused memory. A release also
	// needs IdleEntries applied since the last one, or IdleBytes waiting: a garbage collection costs milliseconds.
	IdleLooks   = 25
	IdleEntries = 64
	IdleBytes   = 8 << 20
	// A garbage collection is started when RetiredBytes of the state's memory, or 1/RetiredPart of the memory in use, are retired. A member
	// under load collects often enough because of other garbage; this is for a member without load. In a RetiredInterval a compaction
	// releases some 50 MiB.
	RetiredBytes    = 128 << 20
	RetiredPart     = 4
	RetiredInterval = 100 * time.Millisecond
	// AnnounceTimeout bounds a member's wait for its own log entry about itself.
	AnnounceTimeout = 2 * time.Second
)
