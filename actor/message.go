package actor

import (
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/index"
	"qkv/index/kv"
	"qkv/log"
	"qkv/snapshot"
)

// Requests are orders (Append, Apply), reports are facts (Appended, Applied).

// ConsensusMessage is what consensus takes.
type ConsensusMessage interface{ consensusMessage() }

type (
	// Propose requests for commands to be agreed on. Their completions go to Proposal.ReplyTo. Sent by clients; what the
	// member itself proposes, its announcement and comparisons of states, is offered: its clock proposes it again.
	Propose struct {
		Proposal kv.Proposal
		Own      bool          // of the member itself
		Followed time.Duration // when it arrived, of one that Stages follow
	}
	// ReadIndex requests whether reads may be answered: a kv.Completion of kind ReadReady comes once the View holds all that was
	// acknowledged before the read was asked for. Sent.
	ReadIndex struct {
		ReplyTo  kv.ReplyTo
		Requests []uint64
		Timeout  time.Duration
	}
	// AskLeases requests what the leader's clock says of leases, Requests[i] of Asks[i]: a kv.Completion of kind LeaseTold comes
	// for each. Sent.
	AskLeases struct {
		ReplyTo  kv.ReplyTo
		Requests []uint64
		Asks     []kv.LeaseAsk
		Timeout  time.Duration
	}
	// Received is a frame from another member, decoded. Offered.
	Received struct {
		From    uint64
		Message PeerMessage
	}
	// Tick is 10 ms of raft's time. Offered.
	Tick struct{}
	// Transfer requests a leader to hand its leadership to a voter, with 0 to the best one. Offered.
	Transfer struct{ To uint64 }
	// Connected and Disconnected tell of the connection to a peer. Posted: they are rare, and one that was lost
	// would keep a member from forwarding to its leader.
	Connected    struct{ Peer uint64 }
	Disconnected struct{ Peer uint64 }
	// PeerDied tells that a process of a peer has ended. Offered: who stands still for it is asked again.
	PeerDied struct{ Peer uint64 }
	// Refused tells that a peer refuses this member. Offered: it is tried again.
	Refused struct {
		Peer    uint64
		Refusal Refusal
	}
	// Differs tells that this member's state is not what the others have. Offered: it is told again.
	Differs struct{ Reason string }
	// Unban lifts a quarantine, because an operator says so. Offered.
	Unban struct{}
	// Appended reports that entries are on the disk, and hands back raft's responses to itself. Posted.
	Appended struct {
		Entries   []*raftpb.Entry
		Positions []log.Position
		Marker    *log.Marker // a snapshot was installed before the entries
		Responses []*raftpb.Message
		Segments  *log.SegmentList // when they changed
		Orders    int              // how many Append orders this reports
		Commit    uint64           // up to here the disk knows entries to be committed
		FileBytes int64
	}
	// LogRead reports that older entries were read, or why not. Posted.
	LogRead struct {
		Order   log.ColdRead
		Entries []*raftpb.Entry
		Err     error
	}
	// Restoring reports that the oldest order's snapshot is marked on the disk, and is the applier's now. Posted.
	Restoring struct{}
	// MembersChanged reports the members' records behind the entry At, or a snapshot at it, before the Applied that holds it. Change is
	// what raft is to be told, nil for nothing; Restored says that they are a snapshot's, which raft has taken over already.
	// Posted.
	MembersChanged struct {
		Members  index.Members
		At       uint64
		Change   *raftpb.ConfChangeV2
		Restored bool
	}
	// LeasesChanged reports what became of leases, before the Applied of the entries that did it. Posted.
	LeasesChanged struct{ Changes []index.LeaseChange }
	// Applied reports that committed entries are in the state. Posted.
	Applied struct{ Response *raftpb.Message }
	// SnapshotSaved reports a published snapshot, and from where on the log must be kept. Posted.
	SnapshotSaved struct {
		Snapshot *raftpb.Snapshot
		KeepFrom uint64 // index of the older of the snapshots that are kept
	}
	// LogCovered reports that the snapshot at an index was verified, and is the only one that is kept: the log up to it
	// may go. Posted.
	LogCovered struct{ UpTo uint64 }
	// SnapshotReceived reports that a leader's snapshot is complete, verified and published. Posted.
	SnapshotReceived struct {
		Message *raftpb.Message
		State   *index.State // what it holds; it is the applier's, if raft takes the snapshot
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
func (Unban) consensusMessage()            {}
func (Appended) consensusMessage()         {}
func (LogRead) consensusMessage()          {}
func (Restoring) consensusMessage()        {}
func (MembersChanged) consensusMessage()   {}
func (Applied) consensusMessage()          {}
func (SnapshotSaved) consensusMessage()    {}
func (LogCovered) consensusMessage()       {}
func (SnapshotReceived) consensusMessage() {}
func (SnapshotSent) consensusMessage()     {}

// LogWriterMessage is what the log writer takes. All but RoomChecked are posted: raft bounds the entries on their way.
type LogWriterMessage interface{ logWriterMessage() }

type (
	// Append is raft's MsgStorageAppend: entries, hard state and snapshot to make durable, and what to say then.
	Append struct {
		Message *raftpb.Message
		State   *index.State // that of a snapshot in it
	}
	// Release lets go of entries that a snapshot covers.
	Release struct{ UpTo uint64 }
	// Fence says that the log is idle, so that the disk may be told how far it is known to be synced.
	Fence struct{ Commit uint64 }
	// SpareMade is a zero-filled file of the segment maker.
	SpareMade struct{ Name string }
	// RoomChecked comes with each look at the disk's free space: a group that waits for room is tried again. Offered.
	RoomChecked struct{}
	// Restored reports that the state of the snapshot that an Append brought is the applier's, and its View is published.
	Restored struct{}
)

func (Append) logWriterMessage()      {}
func (Release) logWriterMessage()     {}
func (Fence) logWriterMessage()       {}
func (SpareMade) logWriterMessage()   {}
func (RoomChecked) logWriterMessage() {}
func (Restored) logWriterMessage()    {}

// ReadLog is what the log reader takes: an order to read older entries. Posted: the window bounds how many there are.
type ReadLog struct{ Order log.ColdRead }

// ReadSnapshot is what the snapshot reader takes: an order to read back what has arrived of a snapshot, and to build its state.
// Posted: there is one, and those for what was given up meanwhile.
type ReadSnapshot struct {
	Back    *snapshot.Readback
	Arrived int64
}

// SegmentMakerMessage is what the segment maker takes. The log writer's are posted.
type SegmentMakerMessage interface{ segmentMakerMessage() }

type (
	// MakeSpare requests for one more zero-filled file.
	MakeSpare struct{}
	// Recycle hands over files that nothing refers to any more.
	Recycle struct {
		Names   []string
		Damaged []string // are removed, and not used again
	}
	// NextSegments says that segments were begun and synced: the one before each is to say so. It comes before any Recycle that may
	// have that one.
	NextSegments struct{ Pages []log.NextPage }
	// Inlined says that the log has made a segment itself: the free space may go quickly.
	Inlined struct{}
	// Retry is the segment maker's clock: what the disk refused is tried again. Offered.
	Retry struct{}
)

func (MakeSpare) segmentMakerMessage()    {}
func (Recycle) segmentMakerMessage()      {}
func (NextSegments) segmentMakerMessage() {}
func (Inlined) segmentMakerMessage()      {}
func (Retry) segmentMakerMessage()        {}

// ApplierMessage is what the applier takes. All are posted.
type ApplierMessage interface{ applierMessage() }

type (
	// Apply is raft's MsgStorageApply: committed entries.
	Apply struct {
		Message   *raftpb.Message
		FileBytes int64 // of the log, for the snapshot's trigger
	}
	// Expect announces commands of this member's own clients, which were proposed or forwarded in a term. It comes
	// before any Apply that can hold them.
	Expect struct {
		Term     uint64
		First    uint64
		Until    time.Duration // when their clients do not wait any longer
		Requests []Request
	}
	// Expire drops expectations whose clients do not wait any longer, and says why there is no answer.
	Expire struct{ Why string }
	// RefusedWrites are those of sessions for which there is no room: Commands[i] is of Requests[i], and has its own bytes. One that
	// was applied before is answered with what became of it, the others with Why[i].
	RefusedWrites struct {
		Requests []Request
		Commands [][]byte
		Why      []*kv.Error
	}
	// ReadReady lets reads go on as soon as an index is applied. Leases, where it is not nil, is what the leader's clock says to
	// each of the requests.
	ReadReady struct {
		Index    uint64
		Until    time.Duration // when their clients do not wait any longer
		Requests []Request
		Leases   []kv.LeaseTime
	}
	// Restore replaces the state by that of a published snapshot, which is the applier's from then on.
	Restore struct {
		Index uint64
		State *index.State
	}
	// SaveEnded reports that the snapshotter is free again.
	SaveEnded struct {
		Failed bool // it must be tried again
	}
	// SnapshotWanted requests for a snapshot at once: a published one is damaged, gone or unreadable, or there is none and a
	// new member needs one.
	SnapshotWanted struct {
		First bool   // one that is being saved will do
		Above uint64 // it is not due before a later entry is applied
		Twice bool   // another one is due behind that: of two that are kept, the older one decides which of the log is let go of
	}
)

func (Apply) applierMessage()          {}
func (Expect) applierMessage()         {}
func (Expire) applierMessage()         {}
func (RefusedWrites) applierMessage()  {}
func (ReadReady) applierMessage()      {}
func (Restore) applierMessage()        {}
func (SaveEnded) applierMessage()      {}
func (SnapshotWanted) applierMessage() {}

// Request is one request of one connection.
type Request struct {
	ReplyTo kv.ReplyTo
	Number  uint64 // the connection's
}

// SnapshotterMessage is what the snapshotter takes.
type SnapshotterMessage interface{ snapshotterMessage() }

type (
	// Save requests for a snapshot of a View. Posted.
	Save struct {
		View      *index.View
		Index     uint64
		Term      uint64
		ConfState *raftpb.ConfState
	}
	// SendSnapshot requests for the newest snapshot to be streamed to a peer. Posted.
	SendSnapshot struct {
		Peer    uint64
		Message *raftpb.Message
	}
	// FromPeer is a frame of another member's snapshotter. Offered: its sender sends again.
	FromPeer struct {
		From    uint64
		Message PeerMessage
	}
	// Allow lets so many bytes more go to each peer that a snapshot is on its way to. Offered: the next one comes with the next
	// tick.
	Allow struct{ Bytes int64 }
	// Discard drops a received snapshot that raft had no use for. Posted.
	Discard struct{ Index, Term uint64 }
	// SnapshotRead reports what came of an order to the snapshot reader, which has nothing of it any more. Posted.
	SnapshotRead struct {
		Back  *snapshot.Readback
		Sound bool
		Err   error
	}
	// Installed reports that a received snapshot is the state now. Posted.
	Installed struct{ Index, Term uint64 }
	// Wait is the snapshotter's clock. Offered.
	Wait struct{}
)

func (Save) snapshotterMessage()         {}
func (SendSnapshot) snapshotterMessage() {}
func (Allow) snapshotterMessage()        {}
func (FromPeer) snapshotterMessage()     {}
func (Discard) snapshotterMessage()      {}
func (SnapshotRead) snapshotterMessage() {}
func (Installed) snapshotterMessage()    {}
func (Wait) snapshotterMessage()         {}
