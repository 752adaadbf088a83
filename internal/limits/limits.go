// Package limits holds the limits that several packages share, with their reasons. A limit of one package stands beside its code. A
// request beyond a limit gets an error that names the limit; nothing is truncated silently.
//
// A limit for writing data is at most the limit for reading the same data back: every written entry stays readable (in etcd, bug 14025 made
// members unable to restart).
//
// Some limits decide the result of apply. They belong to feature level 1 and never change, because members of two builds must compute the
// same state. TestLevelOneStays of package index lists all of them.
//
// Limits that a test or the simulation sets small are in tunable.go.
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
	// LeaseAsks is how many keep-alives and lease queries a frame between members has.
	LeaseAsks = 4096
	// sessions bounds the sessions of all clients. sessionOutcomes bounds their outcomes, at some 64 bytes each. When this
	// space is full, a session without a write for sessionIdle is evicted; a client that merely looks for other work writes again sooner.
	// SessionWindow bounds the writes of one session that are in flight or queued behind one in flight. A busy cluster applies as many
	// while a lost write is detected and retried. These and the next three decide the result of apply: they are part of feature level 1.
	sessions        = 1 << 16
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
	// ColdCompared is the most bytes of values, all in files only, that the ranged comparisons of a transaction may look at. Apply waits for
	// the disk while it reads them.
	ColdCompared = 16 << 20
	// ResponseBytes bounds one response's frame. A range is answered in smaller pages; an event with the largest value, before and after,
	// fits it.
	ResponseBytes = 2*RequestBytes + 4<<20
	// BodyBytes bounds the keys and values of an answer without pages: of a transaction, and previous values. Any single value fits it.
	BodyBytes = RequestBytes + 1<<20
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

	// BatchBytes and BatchCommands bound the commands that consensus packs into one entry. Measured: anything from 64 KiB to 1 MiB
	// performs alike. One larger command still gets an entry of its own.
	BatchBytes    = 256 << 10
	BatchCommands = 1024
	// EnvelopeBytes bounds an entry's data: a full batch and one command of the largest size.
	EnvelopeBytes = BatchBytes + RequestBytes

	// messageEntriesBytes is raft's MaxSizePerMsg.
	messageEntriesBytes = 1 << 20
	// InflightBytes and inflightMessages are raft's window of unacknowledged appends to one peer.
	InflightBytes    = 16 << 20
	inflightMessages = 512
	// uncommittedBytes is raft's MaxUncommittedEntriesSize: beyond it proposals wait in their mailbox.
	uncommittedBytes = 64 << 20
	// ApplyingBytes is raft's MaxCommittedSizePerReady: it bounds the entries queued at the applier.
	ApplyingBytes = 32 << 20

	// proposalBytesWaiting bounds the commands that wait in consensus' mailbox and in consensus itself: some hundred full batches, more
	// than any quorum needs. When it is full, connections wait, and QUIC's flow control exerts backpressure on clients.
	proposalBytesWaiting = 64 << 20
	// peerMessagesWaiting bounds messages from peers in consensus' mailbox; further ones are dropped, and raft retries.
	peerMessagesWaiting = 16384
	// RequestsInflight bounds the unanswered requests of one client connection.
	RequestsInflight = 16384
	// ClientBytes is the memory budget of all native clients of a member: partial requests, unanswered requests, and answers that wait for
	// the client. No client gets all of it: an identity may take at most as much as it leaves free, and so may each of its connections and
	// each stream (package net/server). A lone client may have 24 MiB in flight on one stream, fifteen of the largest requests of the
	// default write limit. Under attack by one identity half of it is used. Go's collector may keep as much again, and QUIC has its own
	// memory for each connection.
	ClientBytes = 192 << 20
	// RequestOverhead is charged for a request in addition to its bytes, for its entries in the endpoint's and the member's tables.
	RequestOverhead = 256
	// ClientConnections bounds native client connections of one member. When all slots are taken, a new connection evicts the longest idle
	// one of the identity that has most. It evicts a connection of its own identity only if that was idle for placeIdle.
	ClientConnections = 4096
	// ClientConnectionsOver is how many connections beyond that limit are accepted to receive an error.
	ClientConnectionsOver = 64
	// ClientHandshakes bounds the native handshakes in progress at one member: each costs a signature and 130 KiB (measured). With
	// HandshakeHurry, an attacker must start as many new ones each second, from at least sixteen addresses, to keep others out. With 256
	// slots of five seconds each, 200 abandoned handshakes a second did.
	ClientHandshakes = 1024
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
	// ClientWatches bounds the watches of one client connection, on all its streams.
	ClientWatches = 16384
	// WatchBytesWaiting bounds the events that wait on a stream of watches. Further ones wait in the history. A larger delivery travels
	// alone: a member with a lower write limit thus delivers values that another member accepted.
	WatchBytesWaiting = 1 << 20
	// EtcdMessageBytes is gRPC's own bound on a message, as in etcd.
	EtcdMessageBytes = math.MaxInt32
	// EtcdBuiltBytes bounds the answers that are in memory as a whole: sorted, filtered, of transactions, and with deleted pairs. It fits
	// a million keys of 256 bytes. While other answers wait, a connection that takes none of its answer in EtcdStall, or would need longer
	// than a minute, is closed.
	EtcdBuiltBytes = 320 << 20
	// EtcdLocks bounds the requests that wait for locks and elections, at some 15 KiB each; one host gets at most half.
	EtcdLocks = 8192
	// EtcdConnections bounds the connections to the port of etcd's API. One with gRPC takes about 100 KiB.
	EtcdConnections = 8192
	// FilesKept is how many of a process's file descriptors are reserved for the log, snapshots and sockets. TCP connections get none of
	// these, because a member whose log cannot open a file ends.
	FilesKept = 192
	// placeIdle is how long a connection must be without requests before, at a full port, a new connection of the same client evicts it. A
	// request that begins or continues counts as activity.
	placeIdle = time.Second
	// EtcdBytes bounds the memory that gRPC clients hold together: open streams, partial requests and unread answers, except answers
	// charged to EtcdBuiltBytes. It is half of the memory that clients may cost a member, since Go's collector leaves as much garbage.
	EtcdBytes = 256 << 20
	// EtcdStreamBytes is charged for a stream that its client has begun and not ended, with the goroutines that serve it. Of the memory
	// that package etcd states for it, EtcdBytes already includes the collector's part. The maximum number of such streams leaves hardly any of
	// EtcdBytes to others.
	EtcdStreamBytes = 20 << 10
	// EtcdAskedBytes is charged for a stream whose client has sent everything, until its answer is written.
	EtcdAskedBytes = 3 << 10
	// EtcdResets is the rate limit of stream resets per second for all connections together: a tenth of a core. Beyond it, the connections
	// that reset streams are throttled.
	EtcdResets = 2000
	// EtcdBlamed is for how long a client is throttled whose connection was closed because it held most memory: its new streams count as
	// resets while those of the connection are charged more than EtcdStreamsFew open ones. Measured without: 16 connections opened 40,000 a second, and the p99 of other clients
	// was 2.7 s (load 30).
	EtcdBlamed     = time.Minute
	EtcdStreamsFew = 256
	// EtcdGatewayBytes bounds an answer as JSON over HTTP, which is in memory several times.
	EtcdGatewayBytes = 64 << 20
	// etcdGatewayRoom bounds the memory of all requests over HTTP together. Each message is charged EtcdGatewayTimes its bytes: encoded,
	// decoded, as JSON, and in doubled buffers. At least one of the largest fits. Measured before: 200 unread answers of 40 MiB took 2.1 GiB
	// and more.
	etcdGatewayRoom  = EtcdGatewayBytes * EtcdGatewayTimes
	EtcdGatewayTimes = 6
	// EtcdGatewayPace is the least that a request with memory of etcdGatewayRoom must transfer per EtcdStall while other requests wait: 16
	// KiB a second.
	EtcdGatewayPace = 32 << 10
	// EtcdStall is how long a client of etcd's API may transfer nothing while it holds a resource that others wait for.
	EtcdStall = 2 * time.Second
	// EtcdMetricsConnections bounds the connections to all metrics-only addresses, which a few supervisors use. One more evicts an idle
	// connection: of the client that has most, or of any client if none has two more than the new one's.
	EtcdMetricsConnections = 64
	// EtcdStreams bounds the streams, and thus the requests in flight, of one connection; further ones wait at the client. etcdRequests
	// bounds the requests of all connections that wait for the member.
	EtcdStreams  = 8192
	etcdRequests = 64 << 10
	// etcdWatches bounds the watches of all etcd clients together; a stream has at most ClientWatches.
	etcdWatches = 256 << 10
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
	// StateOfMemory is the multiple of a state that a machine's memory must hold for comfortable operation: for snapshots, reads and Go's
	// collector.
	StateOfMemory = 2
	// HistoryShort is how far back the history should reach at least, by the leader's clock: Kubernetes relies on five minutes.
	HistoryShort = 5 * time.Minute
	// ClocksApart bounds the difference between members' clocks: NTP keeps them within a second, and a comparison sees a value that is
	// slightly old. Beyond it, a time does not identify a revision, and the member whose clock differs is named.
	ClocksApart = time.Minute
	// ClockStable is how long a clock that was set must go on undisturbed before the time of writes follows it, where no other clock
	// confirms it. A wrong clock that is put right earlier leaves no trace; a clock that NTP has put right is followed that much later.
	ClockStable = 10 * time.Minute

	// compactionWork is the compaction that one entry may always do, in addition to the allowance for its commands and its new rows. The
	// unit is about 20 ns: a thousand changes.
	compactionWork = 16 << 10
	// slabBytes is the size of a large slab of the index, on systems that give memory aligned to it: a huge page or two. Then few pages
	// hold much.
	slabBytes = 4 << 20
	// evacuationBytes is how much of a sparse slab one entry may always scan, in addition to its own additions.
	evacuationBytes = 64 << 10
	// countedRows is how many keys of a range are counted one by one before counting by the trees is faster.
	countedRows = 2000

	// Members bounds the voters of a cluster: each further voter makes writes wait for more disks without more safety.
	Members = 7
	// Learners bounds the members that catch up at a time: each reads the leader's data, in addition to the leader's own work.
	Learners = 3
	// NameBytes is the longest name of a member or client: twice a host name, after which etcd members are often named. The names of all
	// founders fit in one of the data folder's small files.
	NameBytes = 512
	// HostBytes is the longest host name. Source: RFC 1035.
	HostBytes = 253
	// MemberAddresses bounds the addresses of one kind that a member may have: a few networks, with both families.
	MemberAddresses = 16
	// AddressBytes is the longest HOST:PORT: the longest DNS name, and five digits.
	AddressBytes = HostBytes + 1 + 5
	// FolderFileBytes bounds a small file of the data folder: names, addresses and the processes of the last starts.
	FolderFileBytes = 8192
	// ClusterSecrets bounds the cluster secrets in force: a new one and the one that it replaces.
	ClusterSecrets = 2

	// EtcdHandshakeTimeout is how long a connection to the port of etcd's API may take to identify its protocol.
	EtcdHandshakeTimeout = 5 * time.Second
	// EtcdWebTimeout bounds an answer over HTTP, and the life of a connection without a request.
	EtcdWebTimeout = 30 * time.Second
	// PagesHeld is how long a streamed range holds the state that it began with: a fast client reads 10 GB in this time.
	PagesHeld = time.Minute
	// RangeTurn is how long one range is read before the next one continues, and thus the longest delay of other ready work. Measured:
	// longer turns show in the p99 of puts; in shorter ones the switch costs more than the read.
	RangeTurn = 500 * time.Microsecond
	// WatchRequestsWaiting bounds the bytes of watch requests that wait for the hub, with 256 for each; beyond it clients wait.
	WatchRequestsWaiting = 4 << 20
	// watchStepWork is the work of one step of the watch hub, in units of about 100 ns: half a millisecond, the longest delay of other
	// work on that processor.
	watchStepWork = 5000
	// WatchFrameBytes is the size at which events are delivered to a lagging watch before the step ends. watchFragmentBytes is the size at
	// which a revision itself is split: one more event of the largest size still fits ResponseBytes. It also bounds the events of an etcd
	// watch that are joined to one message: with eight times as much, clients were no faster.
	WatchFrameBytes    = 128 << 10
	watchFragmentBytes = 1 << 20
	// watchPendingBytes bounds the events collected for lagging watches before a delivery: fewer and larger deliveries cost less
	// everywhere.
	watchPendingBytes = 4 << 20
	// watchKeyVersions bounds the versions of one key from which a watch of that key catches up. With more, the hub reads the history
	// instead, for all lagging watches at once.
	watchKeyVersions = 1000
	// HistoryEvery is how often the leader decides whether history is dropped that the settings keep and that no quorum of the voters holds.
	// It is longer than a restart.
	HistoryEvery = time.Minute
	// WatchProgressInterval is the silence after which a watch that asked for it gets a progress notification, as in etcd.
	WatchProgressInterval = 10 * time.Minute
	// WatchProgressLeast is the shortest setting of that interval, as in etcd.
	WatchProgressLeast = 100 * time.Millisecond
	// CheckInterval is how often the members compare their states, if anything has changed. A difference is found within it, at the cost
	// of one small entry and one of each member.
	CheckInterval = time.Minute
	// RequestTimeout bounds how long a member keeps a request that sets no shorter timeout.
	RequestTimeout = 60 * time.Second
	// HandshakeHurry is the timeout of a handshake when a quarter of all slots is taken, of clients or of peers: a round trip takes less.
	HandshakeHurry = time.Second
	// ClientIdleTimeout ends a silent native connection; clients send a packet in each third of it.
	ClientIdleTimeout = 15 * time.Second
	// ClientWriteTimeout ends a stream whose client takes no sent data, or sends only part of a large request.
	ClientWriteTimeout = 30 * time.Second
	// ClientStall is how long a client may let a stream stand still while the stream holds more than its share of ClientBytes. A silent
	// stream also keeps the buffer of a large request for this long. A network that loses packets stalls for less.
	ClientStall = 2 * time.Second
	// LogRepeatsPauseMost bounds that pause, which doubles each time while the cause continues: a peer that is dead for a day makes 150
	// lines.
	LogRepeatsPauseMost = 10 * time.Minute
	// DrainLinger is how long clients may take to close their connections after that: live clients take a tenth.
	DrainLinger = time.Second
	// A garbage collection is started when RetiredBytes of the state's memory, or 1/RetiredPart of the memory in use, are retired. A member
	// under load collects often enough because of other garbage; this is for a member without load. In a RetiredInterval a compaction
	// releases some 50 MiB.
	RetiredBytes    = 128 << 20
	RetiredPart     = 4
	RetiredInterval = 100 * time.Millisecond
	// DashboardClients bounds the clients of a live page; clients with more unread bytes and more requests come first.
	DashboardClients = 100
)
