package limits

import "time"

// Tunable holds those limits of one member that a test or the simulation sets small, to make rare events frequent. No format and no other
// member relies on them. The default of each field is the constant of the same name, whose comment gives the reason.
type Tunable struct {
	BatchBytes, BatchCommands int
	GroupBytes, OrderBytes    int64

	MessageEntriesBytes  uint64
	InflightBytes        uint64
	InflightMessages     int
	UncommittedBytes     uint64
	ApplyingBytes        uint64
	WindowBytes          int64
	ForwardBytesInflight int64

	ProposalBytesWaiting  int64
	PeerMessagesWaiting   int
	SnapshotFramesWaiting int
	WatchRequestsWaiting  int64

	ReserveRate       int64
	SnapshotBytes     int64
	SnapshotStepBytes int
	CatchUpBytes      int64
	CatchUpLeast      int64

	HistoryRevisions int64 // kept revisions; 0: no bound

	LeaseLengthening time.Duration
	HistoryEvery     time.Duration

	DiskStall     time.Duration
	CheckInterval time.Duration

	Index   Index
	Watches Watches
	Clients Clients
	Etcd    Etcd

	// Reached is called with the name of a bound that delays or refuses something; nil: no call. A simulation that never reaches a bound
	// does not test it.
	Reached func(bound string)
}

// Index holds the bounds of a state. They decide its cost, never its content: all members have equal content, even with different builds.
type Index struct {
	CompactionWork int64

	SlabBytes       int
	EvacuationBytes int64
	CountedRows     int

	// Sessions decides the content of a state, and is therefore part of feature level 1. A simulation sets the same different values for
	// all members. The zero value means the rules of the level.
	Sessions SessionRules

	// ExtentBytes decides the content of a state as well: it is part of feature level 1. 0 means the constant of that name.
	ExtentBytes int64
	// BaseLeast is the least weight of compacted extents that a newer base replaces; 0: the constant of that name.
	BaseLeast int64
	// ColdBytes is the smallest value that leaves memory; 0: 64.
	ColdBytes int
	// MemoryBytes is the memory that keys and values may take; 0: as much as they need. Above it, values of live keys leave memory.
	MemoryBytes int64
	// AloneInMemory keeps the values of live keys in memory while the cluster has one member: nobody else has a copy of a damaged file.
	AloneInMemory bool
	// PieceBytes is a quarter of the largest piece of a base; 0: 8 MiB. All members must have the same.
	PieceBytes int64

	Reached func(bound string) // as in Tunable
}

// SessionRules holds the limits of clients' sessions. The default of each field is the constant of the same name, whose comment gives the
// reason.
type SessionRules struct {
	Sessions, Outcomes, Window int64
	TTL, Idle, Pause           time.Duration
	Ends                       int
}

// FirstSessionRules are the session rules of feature level 1.
var FirstSessionRules = SessionRules{sessions, sessionOutcomes, SessionWindow, SessionTTL, sessionIdle, SessionPause, sessionEnds}

// Reach reports that a bound delays or refuses something.
func (i *Index) Reach(bound string) {
	if i.Reached != nil {
		i.Reached(bound)
	}
}

// Watches holds the bounds of a member's watch hub.
type Watches struct {
	StepWork, FrameBytes, FragmentBytes, PendingBytes, KeyVersions int

	Progress time.Duration // silence after which a progress notification is sent

	Reached func(bound string) // as in Tunable
}

// Reach reports that a bound delays or refuses something.
func (w *Watches) Reach(bound string) {
	if w.Reached != nil {
		w.Reached(bound)
	}
}

// Clients holds the bounds of the endpoint for native clients.
type Clients struct {
	Connections      int
	Handshakes       int
	Streams          int
	RequestsInflight int64         // of a connection; one stream may have half of them
	Bytes            int64         // memory budget of all clients together
	Watches          int           // of a connection
	PlaceIdle        time.Duration // idle time after which another connection of the same identity may evict it
	WriteTimeout     time.Duration // within which a client must take some bytes of a stream
	IdleTimeout      time.Duration
}

// Etcd holds the bounds of the endpoint for etcd's clients.
type Etcd struct {
	Connections int
	Streams     int // of a connection
	Requests    int // waiting for the member
	Watches     int
	Locks       int           // waiting for locks and elections
	BuiltBytes  int64         // memory budget of answers held as a whole
	AnswerHeld  time.Duration // how long a large answer keeps the state it was measured in
	Bytes       int64         // memory budget of partial requests and unread answers
	Handshake   time.Duration // in which a connection must identify its protocol
	Web         time.Duration // for an answer over HTTP, and for a connection without a request

	PlaceIdle    time.Duration // idle time after which a connection may be evicted
	GatewayBytes int64         // memory budget of requests over HTTP; fits at least one of the largest
	Stall        time.Duration // how long a client may stand still while it holds a resource that others wait for
}

// Reach reports that a bound delays or refuses something.
func (t *Tunable) Reach(bound string) {
	if t.Reached != nil {
		t.Reached(bound)
	}
}

// Defaults returns the bounds of a member in production, for callers to change.
func Defaults() Tunable {
	return Tunable{
		BatchBytes: BatchBytes, BatchCommands: BatchCommands, GroupBytes: GroupBytes, OrderBytes: orderBytes,
		MessageEntriesBytes: messageEntriesBytes, InflightBytes: InflightBytes, InflightMessages: inflightMessages,
		UncommittedBytes: uncommittedBytes, ApplyingBytes: ApplyingBytes, WindowBytes: WindowBytes,
		ForwardBytesInflight: forwardBytesInflight,
		ProposalBytesWaiting: proposalBytesWaiting, PeerMessagesWaiting: peerMessagesWaiting, SnapshotFramesWaiting: snapshotFramesWaiting,
		WatchRequestsWaiting: WatchRequestsWaiting,
		ReserveRate:          ReserveRate, SnapshotBytes: SnapshotBytes, SnapshotStepBytes: SnapshotStepBytes,
		CatchUpBytes: CatchUpBytes, CatchUpLeast: CatchUpLeast,
		LeaseLengthening: LeaseLengthening, HistoryEvery: HistoryEvery,
		DiskStall: DiskStall, CheckInterval: CheckInterval,
		Clients: Clients{
			Connections: ClientConnections, Handshakes: ClientHandshakes, Streams: ClientStreams, RequestsInflight: RequestsInflight,
			Watches: ClientWatches, Bytes: ClientBytes, PlaceIdle: placeIdle, WriteTimeout: ClientWriteTimeout, IdleTimeout: ClientIdleTimeout,
		},
		Etcd: Etcd{Bytes: EtcdBytes, Locks: EtcdLocks, BuiltBytes: EtcdBuiltBytes, AnswerHeld: PagesHeld, Connections: EtcdConnections, Streams: EtcdStreams, Requests: etcdRequests, Watches: etcdWatches, Handshake: EtcdHandshakeTimeout, Web: EtcdWebTimeout, PlaceIdle: placeIdle, GatewayBytes: etcdGatewayRoom, Stall: EtcdStall},
		Watches: Watches{
			StepWork: watchStepWork, FrameBytes: WatchFrameBytes, FragmentBytes: watchFragmentBytes, PendingBytes: watchPendingBytes, KeyVersions: watchKeyVersions,
			Progress: WatchProgressInterval,
		},
		Index: Index{
			CompactionWork: compactionWork,
			SlabBytes:      slabBytes, EvacuationBytes: evacuationBytes, CountedRows: countedRows,
		},
	}
}
