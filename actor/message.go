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

// An order asks an actor for work, and has an imperative as its name: Append, Apply. A report says what has happened: Appended, Applied.

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
	Connected    struct{ Peer, Last uint64 } // Last is the index of the newest entry in the peer's log, by its handshake
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
	// Appended reports that entries are on the disk, and returns raft's responses to itself. Posted.
	Appended struct {
		Entries   []*raftpb.Entry
		Positions []log.Position
		Marker    *log.Marker // a snapshot was installed before the entries
		Responses []*raftpb.Message
		Segments  *log.SegmentList // if they changed
		Orders    int              // number of Append orders that this reports
		Commit    uint64           // the highest commit index that the disk holds
		FileBytes int64
	}
	// LogRead reports that older entries were read, or the error. Posted.
	LogRead struct {
		Order   log.ColdRead
		Entries []*raftpb.Entry
		Err     error
	}
	// Restoring reports that the oldest order's snapshot is marked on the disk, and was handed to the applier. Posted.
	Restoring struct{}
	// MembersChanged reports the members' records as of entry At, or of a snapshot at it. It precedes the Applied that holds the entry.
	// Change is the change for raft; nil means none. Restored says that the records are a snapshot's, which raft has taken over already.
	// Posted.
	MembersChanged struct {
		Members  index.Members
		At       uint64
		Change   *raftpb.ConfChangeV2
		Restored bool
	}
	// LeasesChanged reports changes of leases, before the Applied of the entries that made them. Posted.
	LeasesChanged struct{ Changes []index.LeaseChange }
	// Applied reports that committed entries are in the state. Posted.
	Applied struct{ Response *raftpb.Message }
	// SnapshotSaved reports a published snapshot, and the index from which the log must be kept. Posted.
	SnapshotSaved struct {
		Snapshot *raftpb.Snapshot
		KeepFrom uint64 // index of the older of the retained snapshots
	}
	// LogCovered reports that the snapshot at an index was verified, and is the only retained one: the log up to it may be deleted.
	// Posted.
	LogCovered struct{ UpTo uint64 }
	// SnapshotReceived reports that a leader's snapshot is complete, verified and published. Posted.
	SnapshotReceived struct {
		Message *raftpb.Message
		State   *index.State // the snapshot's state; it is the applier's if raft takes the snapshot
	}
	// SnapshotSent reports how sending a snapshot to a peer ended. Posted.
	SnapshotSent struct {
		Peer      uint64
		Installed bool
	}
)

func (Propose) consensusMessage()          {}
func (ReadIndex) consensusMessage()        {}
func (AskLeases) consensusMessage()        {}
func (LeasesChanged) consensusMessage()    {}
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
func (Appended) consensusMessage()         {}
func (LogRead) consensusMessage()          {}
func (Restoring) consensusMessage()        {}
func (MembersChanged) consensusMessage()   {}
func (Applied) consensusMessage()          {}
func (SnapshotSaved) consensusMessage()    {}
func (LogCovered) consensusMessage()       {}
func (SnapshotReceived) consensusMessage() {}
func (SnapshotSent) consensusMessage()     {}

// LogWriterMessage is a message to the log writer. All but SegmentDamaged and SpaceChecked are posted: raft bounds the entries under way.
type LogWriterMessage interface{ logWriterMessage() }

type (
	// Append is raft's MsgStorageAppend: entries, hard state and snapshot to make durable, and the responses to send after that.
	Append struct {
		Message *raftpb.Message
		State   *index.State // of the snapshot in it
	}
	// Release deletes entries that a snapshot covers.
	Release struct{ UpTo uint64 }
	// Fence says that the log is idle: the log writer may record on the disk how far the log is known to be synced.
	Fence struct{ Commit uint64 }
	// SpareMade is a zero-filled file of the segment maker.
	SpareMade struct{ Name string }
	// SegmentDamaged says that a segment's file was found damaged: it is not reused. Offered.
	SegmentDamaged struct{ Name string }
	// SpaceChecked follows each check of the disk's free space: a group that waits for space is tried again. Offered.
	SpaceChecked struct{}
	// Restored reports that the applier has the state of the snapshot that an Append brought, and has published its View.
	Restored struct{}
)

func (Append) logWriterMessage()         {}
func (Release) logWriterMessage()        {}
func (Fence) logWriterMessage()          {}
func (SpareMade) logWriterMessage()      {}
func (SegmentDamaged) logWriterMessage() {}
func (SpaceChecked) logWriterMessage()   {}
func (Restored) logWriterMessage()       {}

// ReadLog is a message to the log reader: an order to read older entries. Posted: the window bounds their number.
type ReadLog struct{ Order log.ColdRead }

// ReadSnapshot is a message to the snapshot reader: an order to read back a snapshot's received bytes, and to build its state. Posted:
// there is one order at a time, and orders for transfers that were given up meanwhile.
type ReadSnapshot struct {
	Back    *snapshot.Readback
	Arrived int64
}

// SegmentMakerMessage is a message to the segment maker. The log writer posts its messages.
type SegmentMakerMessage interface{ segmentMakerMessage() }

type (
	// MakeSpare requests one more zero-filled file.
	MakeSpare struct{}
	// Recycle hands over files without any references.
	Recycle struct {
		Names   []string
		Damaged []string // are deleted, and not reused
	}
	// NextSegments says that segments were begun and synced: the segment before each must name it. It precedes any Recycle that may
	// contain that segment.
	NextSegments struct{ Pages []log.NextPage }
	// Inlined says that the log has made a segment itself: the free space may shrink quickly.
	Inlined struct{}
	// Retry is the segment maker's clock: it measures the log's rate, checks the free space, and tries calls again that the disk refused.
	// Offered.
	Retry struct{}
)

func (MakeSpare) segmentMakerMessage()    {}
func (Recycle) segmentMakerMessage()      {}
func (NextSegments) segmentMakerMessage() {}
func (Inlined) segmentMakerMessage()      {}
func (Retry) segmentMakerMessage()        {}

// ApplierMessage is a message to the applier. All are posted, but package node may offer a SnapshotWanted.
type ApplierMessage interface{ applierMessage() }

type (
	// Apply is raft's MsgStorageApply: committed entries.
	Apply struct {
		Message   *raftpb.Message
		FileBytes int64 // of the log, for the snapshot's trigger
	}
	// Expect announces commands of this member's own clients, proposed or forwarded in a term. It precedes any Apply that can hold them.
	Expect struct {
		Term     uint64
		First    uint64
		Until    time.Duration // when the last of their clients' timeouts expires
		Requests []Request
	}
	// Expire drops expectations and reads whose clients' timeouts have expired, and gives the reason for the missing answer.
	Expire struct{ Why string }
	// RefusedWrites are writes of sessions that a full disk refuses. Commands[i] belongs to Requests[i], and has its own bytes. A command
	// that was applied before is answered with its earlier result, each other command with Why[i].
	RefusedWrites struct {
		Requests []Request
		Commands [][]byte
		Why      []*kv.Error
	}
	// ReadReady holds requests until an index is applied. They complete as reads or, if Leases is set, as LeaseTold: Leases[i] is the answer
	// of the leader's lease clock to Requests[i].
	ReadReady struct {
		Index    uint64
		Until    time.Duration // when the last of their clients' timeouts expires
		Requests []Request
		Leases   []kv.LeaseTime
	}
	// Restore replaces the state by a published snapshot's state. The applier owns that state from then on.
	Restore struct {
		Index uint64
		State *index.State
	}
	// Stored reports which revisions are in parts: the state keeps the others, though they are compacted.
	Stored struct{ Shelf *snapshot.Shelf }
	// SaveEnded reports that the snapshotter is free again.
	SaveEnded struct {
		Failed bool // it must be tried again
	}
	// SnapshotWanted requests snapshots at once: a published one is damaged, gone or unreadable, or none exists and a new member needs
	// one; a backup needs a later one; or two are to list a newer base, or to cover damage of the log.
	SnapshotWanted struct {
		Saves int    // each of a later entry: of two retained snapshots, the older one decides how much log goes
		Above uint64 // the first one is of a later entry than this one
	}
)

func (Apply) applierMessage()          {}
func (Expect) applierMessage()         {}
func (Expire) applierMessage()         {}
func (RefusedWrites) applierMessage()  {}
func (ReadReady) applierMessage()      {}
func (Restore) applierMessage()        {}
func (Stored) applierMessage()         {}
func (SaveEnded) applierMessage()      {}
func (SnapshotWanted) applierMessage() {}

// Request is one request of one ReplyTo: a stream of a native client, the calls of etcd's API, or the member itself.
type Request struct {
	ReplyTo kv.ReplyTo
	Number  uint64 // given by the ReplyTo's owner
}

// SnapshotterMessage is a message to the snapshotter.
type SnapshotterMessage interface{ snapshotterMessage() }

type (
	// Save requests a snapshot of a View. Posted.
	Save struct {
		View      *index.View
		Index     uint64
		Term      uint64
		ConfState *raftpb.ConfState
	}
	// SendSnapshot requests the newest snapshot to be streamed to a peer. Posted.
	SendSnapshot struct {
		Peer    uint64
		Message *raftpb.Message
	}
	// FromPeer is a frame of another member's snapshotter. Offered: its sender sends again.
	FromPeer struct {
		From    uint64
		Message peerframe.Message
	}
	// Allow permits that number of additional bytes to each peer with a snapshot transfer. Offered: the next one follows with the next
	// tick.
	Allow struct{ Bytes int64 }
	// Discard drops a received snapshot that raft did not take. Posted.
	Discard struct{ Index, Term uint64 }
	// SnapshotRead reports the result of an order to the snapshot reader, which has released everything of it. Posted.
	SnapshotRead struct {
		Back  *snapshot.Readback
		Sound bool
		Err   error
	}
	// PartRepaired reports the result of an order to the snapshot reader. Posted.
	PartRepaired struct {
		Part snapshot.Part
		Err  error
	}
	// Installed reports that a received snapshot is the current state. Posted.
	Installed struct{ Index, Term uint64 }
	// Suspect has a published snapshot verified whose file, or one of whose parts, a reader has found damaged, or a part that no snapshot lists
	// yet. Offered.
	Suspect struct{ Path string }
	// Wait is the snapshotter's clock. Offered.
	Wait struct{}
)

func (Save) snapshotterMessage()         {}
func (SendSnapshot) snapshotterMessage() {}
func (Allow) snapshotterMessage()        {}
func (FromPeer) snapshotterMessage()     {}
func (Discard) snapshotterMessage()      {}
func (SnapshotRead) snapshotterMessage() {}
func (PartRepaired) snapshotterMessage() {}
func (Installed) snapshotterMessage()    {}
func (Suspect) snapshotterMessage()      {}
func (Wait) snapshotterMessage()         {}
