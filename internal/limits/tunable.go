package limits

import "time"

// Tunable are the bounds of one member that a test or the simulation sets small, so that what is rare happens often.
// No format and no other member relies on them. Each is the constant of its name, which gives the reason.
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

	SnapshotBytes      int64
	SnapshotInterval   time.Duration
	SnapshotStepBytes  int
	SnapshotChunkBytes int64
	CatchUpBytes       int64
	CatchUpLeast       int64
	DiskUseLeast       int64

	HistoryRevisions int64 // that are kept; 0: as many as there are

	LeaseLengthening time.Duration

	DiskStall     time.Duration
	CheckInterval time.Duration

	Index   Index
	Watches Watches
	Clients Clients
	Etcd    Etcd

	// Reached hears of a bound that holds something back, by its name here; nil is nobody. A simulation that never
	// reaches a bound says nothing of what happens there.
	Reached func(bound string)
}

// Index are the bounds of a state. They decide what it costs, and nothing of what it holds: that is equal on all members,
// also on those of another build.
type Index struct {
	CompactionWork int64

	SlabBytes       int
	EvacuationBytes int64
	CountedRows     int

	// Sessions decides what a state holds, and so is a part of feature level 1: a simulation has other ones, for all members
	// alike. The zero Sessions are those of the level.
	Sessions SessionRules

	Reached func(bound string) // as Tunable's
}

// SessionRules are the bounds of clients' sessions. Each is the constant of its name, which gives the reason.
type SessionRules struct {
	Sessions, Outcomes, Window int64
	TTL, Idle, Pause           time.Duration
	Ends                       int
}

// FirstSessionRules are those of feature level 1.
var FirstSessionRules = SessionRules{Sessions, SessionOutcomes, SessionWindow, SessionTTL, SessionIdle, SessionPause, SessionEnds}

// Reach says that a bound holds something back.
func (i *Index) Reach(bound string) {
	if i.Reached != nil {
		i.Reached(bound)
	}
}

// Watches are the bounds of a member's watch hub.
type Watches struct {
	StepWork, FrameBytes, FragmentBytes, PendingBytes, KeyVersions int

	Progress time.Duration // how long without an event is worth a notice of progress

	Reached func(bound string) // as Tunable's
}

// Reach says that a bound holds something back.
func (w *Watches) Reach(bound string) {
	if w.Reached != nil {
		w.Reached(bound)
	}
}

// Clients are the bounds of the endpoint for clients.
type Clients struct {
	Connections      int
	Handshakes       int
	Streams          int
	RequestsInflight int64         // of a connection; one stream may have half of them
	Bytes            int64         // of memory that all clients together may use
	Watches          int           // of a connection
	PlaceIdle        time.Duration // for how long a connection is idle before another one of its identity may have its place
	WriteTimeout     time.Duration // during which a client must take something of a stream
	IdleTimeout      time.Duration
}

// Etcd are the bounds of the endpoint for etcd's clients.
type Etcd struct {
	Connections int
	Streams     int // of a connection
	Requests    int // that wait for the member
	Watches     int
	Locks       int           // that wait
	BuiltBytes  int64         // of answers that are in memory as a whole
	AnswerHeld  time.Duration // that a large answer keeps the state it was measured in
	Bytes       int64         // of requests that are not whole, and of answers that are not read
	Handshake   time.Duration // that a connection may take to say what it is

	PlaceIdle    time.Duration // for which a connection was idle that gives up its place
	GatewayBytes int64         // of requests over HTTP; what one of the largest takes at least
	Stall        time.Duration // for which a client may stand still that has what others wait for
}

// Reach says that a bound holds something back.
func (t *Tunable) Reach(bound string) {
	if t.Reached != nil {
		t.Reached(bound)
	}
}

// Defaults returns the bounds of a member in production. Who wants others changes what it got.
func Defaults() Tunable {
	return Tunable{
		BatchBytes: BatchBytes, BatchCommands: BatchCommands, GroupBytes: GroupBytes, OrderBytes: OrderBytes,
		MessageEntriesBytes: MessageEntriesBytes, InflightBytes: InflightBytes, InflightMessages: InflightMessages,
		UncommittedBytes: UncommittedBytes, ApplyingBytes: ApplyingBytes, WindowBytes: WindowBytes,
		ForwardBytesInflight: ForwardBytesInflight,
		ProposalBytesWaiting: ProposalBytesWaiting, PeerMessagesWaiting: PeerMessagesWaiting, SnapshotFramesWaiting: SnapshotFramesWaiting,
		WatchRequestsWaiting: WatchRequestsWaiting,
		SnapshotBytes:        SnapshotBytes, SnapshotInterval: SnapshotInterval, SnapshotStepBytes: SnapshotStepBytes,
		SnapshotChunkBytes: SnapshotChunkBytes, CatchUpBytes: CatchUpBytes, CatchUpLeast: CatchUpLeast, DiskUseLeast: DiskUseLeast,
		LeaseLengthening: LeaseLengthening,
		DiskStall:        DiskStall, CheckInterval: CheckInterval,
		Clients: Clients{
			Connections: ClientConnections, Handshakes: ClientHandshakes, Streams: ClientStreams, RequestsInflight: RequestsInflight,
			Watches: ClientWatches, Bytes: ClientBytes, PlaceIdle: ClientPlaceIdle, WriteTimeout: ClientWriteTimeout, IdleTimeout: ClientIdleTimeout,
		},
		Etcd: Etcd{Bytes: EtcdBytes, Locks: EtcdLocks, BuiltBytes: EtcdBuiltBytes, AnswerHeld: PagesHeld, Connections: EtcdConnections, Streams: EtcdStreams, Requests: EtcdRequests, Watches: EtcdWatches, Handshake: EtcdHandshakeTimeout, PlaceIdle: EtcdPlaceIdle, GatewayBytes: EtcdGatewayRoom, Stall: EtcdStall},
		Watches: Watches{
			StepWork: WatchStepWork, FrameBytes: WatchFrameBytes, FragmentBytes: WatchFragmentBytes, PendingBytes: WatchPendingBytes, KeyVersions: WatchKeyVersions,
			Progress: WatchProgressInterval,
		},
		Index: Index{
			CompactionWork: CompactionWork,
			SlabBytes:      SlabBytes, EvacuationBytes: EvacuationBytes, CountedRows: CountedRows,
		},
	}
}
