package actor

import (
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/index"
	"qkv/index/kv"
	"qkv/log"
	"qkv/net/wire/peerframe"
	"qkv/snapshot"
)

// An order asks an actor for work, and has an imperative as its name: appendOrder, apply. A report says what has happened: appended, applied.

// ConsensusMessage is a message to consensus.
type ConsensusMessage interface{ consensusMessage() }

type (
	// Propose requests agreement on commands. Their completions go to Proposal.ReplyTo. Clients send it. A member's own commands, its
	// announcement and the checks of states, are offered: its clock proposes them again.
	Propose struct {
		Proposal kv.Proposal
		Own      bool          // of the member itself
		Followed time.Duration // arrival time of a proposal that Stages follow
	}
	// ReadIndex asks whether reads may be answered. A kv.Completion of kind ReadReady follows once the View holds every write
	// acknowledged before the read was requested. Sent.
	ReadIndex struct {
		ReplyTo  kv.ReplyTo
		Requests []uint64
		Timeout  time.Duration
	}
	// AskLeases asks the leader's clock about leases, Requests[i] for Asks[i]. A kv.Completion of kind LeaseTold follows for each. Sent.
	AskLeases struct {
		ReplyTo  kv.ReplyTo
		Requests []uint64
		Asks     []kv.LeaseAsk
		Timeout  time.Duration
	}
	// Received is a frame from another member, decoded. Offered.
	Received struct {
		From    uint64
		Message peerframe.Message
	}
	// Tick is 10 ms of raft's time. Offered.
	Tick struct{}
	// Transfer requests a leader to hand its leadership to a voter; 0 means the best voter. Offered.
	Transfer struct{ To uint64 }
	// Connected and Disconnected report the connection to a peer. Posted: they are rare, and a lost report would keep a member from
	// forwarding to its leader.
	// Last is the index of the newest entry in the peer's log, by its handshake
	Connected    struct{ Peer, Last uint64 }
	Disconnected struct{ Peer uint64 }
	// PeerDied reports that a process of a peer has ended. Offered: a member that suspects the peer asks again.
	PeerDied struct{ Peer uint64 }
	// Refused reports that a peer refuses this member. Offered: this member tries to connect again.
	Refused struct {
		Peer    uint64
		Refusal Refusal
	}
	// Differs reports that this member's state differs from the others'. Offered: it is reported again.
	Differs struct{ Reason string }
	// Readmit lifts a suspension by an operator's order. Offered.
	Readmit struct{}
	// AskLog asks for entries behind an index, up to an applied one, at most Bytes of them unless the first one is larger. Offered.
	AskLog struct {
		After, UpTo, Bytes uint64
		To                 LogReply
	}
	// appended reports that entries are on the disk, and returns raft's responses to itself. Posted.
	appended struct {
		Entries   []*raftpb.Entry
		Positions []log.Position
		Marker    *log.Marker // a snapshot was installed before the entries
		Responses []*raftpb.Message
		Segments  *log.SegmentList // if they changed
		Orders    int              // number of appendOrder orders that this reports
		Commit    uint64           // the highest commit index that the disk holds
		FileBytes int64
	}
	// logRead reports that older entries were read, or the error. Posted.
	logRead struct {
		Order   log.ColdRead
		Entries []*raftpb.Entry
		Err     error
	}
	// restoring reports that the oldest order's snapshot is marked on the disk, and was handed to the applier. Posted.
	restoring struct{}
	// membersChanged reports the members' records as of entry At, or of a snapshot at it. It precedes the applied that holds the entry.
	// Change is the change for raft; nil means none. Restored says that the records are a snapshot's, which raft has taken over already.
	// Posted.
	membersChanged struct {
		Members  index.Members
		At       uint64
		Change   *raftpb.ConfChangeV2
		Restored bool
	}
	// leasesChanged reports changes of leases, before the applied of the entries that made them. Posted.
	leasesChanged struct{ Changes []index.LeaseChange }
	// applied reports that committed entries are in the state. Posted.
	applied struct{ Response *raftpb.Message }
	// snapshotSaved reports a published snapshot, and the index from which the log must be kept. Posted.
	snapshotSaved struct {
		Snapshot *raftpb.Snapshot
		KeepFrom uint64 // index of the older of the retained snapshots
	}
	// logCovered reports that the snapshot at an index was verified, and is the only retained one: the log up to it may be deleted.
	// Posted.
	logCovered struct{ UpTo uint64 }
	// snapshotReceived reports that a leader's snapshot is complete, verified and published. Posted.
	snapshotReceived struct {
		Message *raftpb.Message
		State   *index.State // the snapshot's state; it is the applier's if raft takes the snapshot
	}
	// snapshotSent reports how sending a snapshot to a peer ended. Posted.
	snapshotSent struct {
		Peer      uint64
		Installed bool
	}
)

func (Propose) consensusMessage()          {}
func (ReadIndex) consensusMessage()        {}
func (AskLeases) consensusMessage()        {}
func (leasesChanged) consensusMessage()    {}
func (Received) consensusMessage()         {}
func (Tick) consensusMessage()             {}
func (Transfer) consensusMessage()         {}
func (Connected) consensusMessage()        {}
func (Disconnected) consensusMessage()     {}
func (PeerDied) consensusMessage()         {}
func (Refused) consensusMessage()          {}
func (Differs) consensusMessage()          {}
func (Readmit) consensusMessage()          {}
func (AskLog) consensusMessage()           {}
func (appended) consensusMessage()         {}
func (logRead) consensusMessage()          {}
func (restoring) consensusMessage()        {}
func (membersChanged) consensusMessage()   {}
func (applied) consensusMessage()          {}
func (snapshotSaved) consensusMessage()    {}
func (logCovered) consensusMessage()       {}
func (snapshotReceived) consensusMessage() {}
func (snapshotSent) consensusMessage()     {}

// LogWriterMessage is a message to the log writer. All but SegmentDamaged and spaceChecked are posted: raft bounds the entries under way.
type LogWriterMessage interface{ logWriterMessage() }

type (
	// appendOrder is raft's MsgStorageAppend: entries, hard state and snapshot to make durable, and the responses to send after that.
	appendOrder struct {
		Message *raftpb.Message
		State   *index.State // of the snapshot in it
	}
	// release deletes entries that a snapshot covers.
	release struct{ UpTo uint64 }
	// fence says that the log is idle: the log writer may record on the disk how far the log is known to be synced.
	fence struct{ Commit uint64 }
	// spareMade is a zero-filled file of the segment maker.
	spareMade struct{ Name string }
	// SegmentDamaged says that a segment's file was found damaged: it is not reused. Offered.
	SegmentDamaged struct{ Name string }
	// spaceChecked follows each check of the disk's free space: a group that waits for space is tried again. Offered.
	spaceChecked struct{}
	// stateRestored reports that the applier has the state of the snapshot that an appendOrder brought, and has published its View.
	stateRestored struct{}
)

func (appendOrder) logWriterMessage()    {}
func (release) logWriterMessage()        {}
func (fence) logWriterMessage()          {}
func (spareMade) logWriterMessage()      {}
func (SegmentDamaged) logWriterMessage() {}
func (spaceChecked) logWriterMessage()   {}
func (stateRestored) logWriterMessage()  {}

// ReadLog is a message to the log reader: an order to read older entries. Posted: the window bounds their number.
type ReadLog struct{ Order log.ColdRead }

// pull is a message to the snapshot reader: an order to get the next piece of a file from a member. Posted: one at a time.
type pull struct {
	File *snapshot.Incoming
	From string // the member's address
}

// SegmentMakerMessage is a message to the segment maker. The log writer posts its messages.
type SegmentMakerMessage interface{ segmentMakerMessage() }

type (
	// makeSpare requests one more zero-filled file.
	makeSpare struct{}
	// recycle hands over files without any references.
	recycle struct {
		Names   []string
		Damaged []string // are deleted, and not reused
	}
	// nextSegments says that segments were begun and synced: the segment before each must name it. It precedes any recycle that may
	// contain that segment.
	nextSegments struct{ Pages []log.NextPage }
	// inlined says that the log has made a segment itself: the free space may shrink quickly.
	inlined struct{}
	// Retry is the segment maker's clock: it measures the log's rate, checks the free space, and tries calls again that the disk refused.
	// Offered.
	Retry struct{}
)

func (makeSpare) segmentMakerMessage()    {}
func (recycle) segmentMakerMessage()      {}
func (nextSegments) segmentMakerMessage() {}
func (inlined) segmentMakerMessage()      {}
func (Retry) segmentMakerMessage()        {}

// ApplierMessage is a message to the applier. All are posted, but package node may offer a SnapshotWanted.
type ApplierMessage interface{ applierMessage() }

type (
	// apply is raft's MsgStorageApply: committed entries.
	apply struct {
		Message   *raftpb.Message
		FileBytes int64 // of the log, for the snapshot's trigger
		done      int   // entries that are applied
	}
	// expect announces commands of this member's own clients, proposed or forwarded in a term. It precedes any apply that can hold them.
	expect struct {
		Term     uint64
		First    uint64
		Until    time.Duration // when the last of their clients' timeouts expires
		Requests []Request
	}
	// expire drops expectations and reads whose clients' timeouts have expired, and gives the reason for the missing answer.
	expire struct{ Why string }
	// refusedWrites are writes of sessions that a full disk refuses. Commands[i] belongs to Requests[i], and has its own bytes. A command
	// that was applied before is answered with its earlier result, each other command with Why[i].
	refusedWrites struct {
		Requests []Request
		Commands [][]byte
		Why      []*kv.Error
	}
	// readReady holds requests until an index is applied. They complete as reads or, if Leases is set, as LeaseTold: Leases[i] is the answer
	// of the leader's lease clock to Requests[i].
	readReady struct {
		Index    uint64
		Until    time.Duration // when the last of their clients' timeouts expires
		Requests []Request
		Leases   []kv.LeaseTime
	}
	// restore replaces the state by a published snapshot's state. The applier owns that state from then on.
	restore struct {
		Index uint64
		State *index.State
	}
	// stored reports which revisions are in parts: the state keeps the others, though they are compacted.
	stored struct{ Shelf *snapshot.Shelf }
	// saveEnded reports that the snapshotter is free again.
	saveEnded struct {
		Failed bool // it must be tried again
	}
	// SnapshotWanted requests snapshots at once: a published one is damaged, gone or unreadable, or none exists and a new member needs
	// one; a backup needs a later one; or two are to list a newer base, or to cover damage of the log.
	SnapshotWanted struct {
		Saves int    // each of a later entry: of two retained snapshots, the older one decides how much log goes
		Above uint64 // the first one is of a later entry than this one
	}
)

func (apply) applierMessage()          {}
func (expect) applierMessage()         {}
func (expire) applierMessage()         {}
func (refusedWrites) applierMessage()  {}
func (readReady) applierMessage()      {}
func (restore) applierMessage()        {}
func (stored) applierMessage()         {}
func (saveEnded) applierMessage()      {}
func (SnapshotWanted) applierMessage() {}

// Request is one request of one ReplyTo: a stream of a native client, the calls of etcd's API, or the member itself.
type Request struct {
	ReplyTo kv.ReplyTo
	Number  uint64 // given by the ReplyTo's owner
}

// SnapshotterMessage is a message to the snapshotter.
type SnapshotterMessage interface{ snapshotterMessage() }

type (
	// save requests a snapshot of a View. Posted.
	save struct {
		View      *index.View
		Index     uint64
		Term      uint64
		ConfState *raftpb.ConfState
	}
	// sendSnapshot requests the newest snapshot to be streamed to a peer. Posted.
	sendSnapshot struct {
		Peer    uint64
		Message *raftpb.Message
	}
	// FromPeer is a frame of another member's snapshotter. Offered: its sender sends again.
	FromPeer struct {
		From    uint64
		Message peerframe.Message
	}
	// discard drops a received snapshot that raft did not take. Posted.
	discard struct{ Index, Term uint64 }
	// pieceCame reports that a piece has come, which the snapshot reader reads now: with the first piece of a snapshot it loads all parts.
	// Posted.
	pieceCame struct{ File *snapshot.Incoming }
	// pulled reports the result of an order to the snapshot reader, which has released everything of it. Away says why no piece came. Err is
	// of the piece, or of this member's disk. Posted.
	pulled struct {
		File      *snapshot.Incoming
		Away, Err error
	}
	// partRepaired reports the result of an order to the snapshot reader. Posted.
	partRepaired struct {
		Part snapshot.Part
		Err  error
	}
	// installed reports that a received snapshot is the current state. Posted.
	installed struct{ Index, Term uint64 }
	// Suspect has a published snapshot verified whose file, or one of whose parts, a reader has found damaged, or a part that no snapshot lists
	// yet. Offered.
	Suspect struct{ Path string }
	// Wait is the snapshotter's clock. Offered.
	Wait struct{}
)

func (save) snapshotterMessage()         {}
func (sendSnapshot) snapshotterMessage() {}
func (FromPeer) snapshotterMessage()     {}
func (discard) snapshotterMessage()      {}
func (pieceCame) snapshotterMessage()    {}
func (pulled) snapshotterMessage()       {}
func (partRepaired) snapshotterMessage() {}
func (installed) snapshotterMessage()    {}
func (Suspect) snapshotterMessage()      {}
func (Wait) snapshotterMessage()         {}
