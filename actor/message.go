package actor

import (
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/index"
	"qkv/log"
)

// Requests are orders (Append, Apply), reports are facts (Appended, Applied).

// ConsensusMessage is what consensus takes.
type ConsensusMessage interface{ consensusMessage() }

type (
	// Propose asks for commands to be agreed on. Their outcomes go to Proposal.From. Sent; the own announcement is offered.
	Propose struct{ Proposal index.Proposal }
	// Confirm asks whether reads may be answered: Done{Kind: Confirmed} comes once the View holds all that was
	// acknowledged before the read was asked for. Sent.
	Confirm struct {
		From     index.Asker
		Requests []uint64
		Timeout  time.Duration
	}
	// Received is a frame from another member, decoded. Offered.
	Received struct {
		From    uint64
		Message PeerMessage
	}
	// Tick is 10 ms of raft's time. Offered.
	Tick struct{}
	// Transfer asks a leader to hand its leadership to the best follower. Offered.
	Transfer struct{}
	// Connected and Disconnected tell of the connection to a peer. Deposited: they are rare, and one that was lost
	// would keep a member from forwarding to its leader.
	Connected    struct{ Peer uint64 }
	Disconnected struct{ Peer uint64 }
	// Refused tells that a peer refuses this member. Offered: it is tried again.
	Refused struct {
		Peer   uint64
		Reason string
	}
	// Appended reports that entries are on the disk, and hands back raft's responses to itself. Deposited.
	Appended struct {
		Entries   []*raftpb.Entry
		Positions []log.Position
		Marker    *log.Marker // a snapshot was installed before the entries
		Responses []*raftpb.Message
		Segments  *log.SegmentList // when they changed
		Orders    int              // how many Append orders this reports
		FileBytes int64
	}
	// Restoring reports that the oldest order's snapshot is marked on the disk, and is being loaded now. Deposited.
	Restoring struct{}
	// Applied reports that committed entries are in the state. Deposited.
	Applied struct{ Response *raftpb.Message }
	// SnapshotSaved reports a published snapshot, and from where on the log must be kept. Deposited.
	SnapshotSaved struct {
		Snapshot *raftpb.Snapshot
		KeepFrom uint64 // index of the older of the snapshots that are kept
	}
	// SnapshotReceived reports that a leader's snapshot is complete, verified and published. Deposited.
	SnapshotReceived struct {
		From    uint64
		Message *raftpb.Message
	}
	// SnapshotSent reports how sending a snapshot to a peer ended. Deposited.
	SnapshotSent struct {
		Peer      uint64
		Installed bool
	}
)

func (Propose) consensusMessage()          {}
func (Confirm) consensusMessage()          {}
func (Received) consensusMessage()         {}
func (Tick) consensusMessage()             {}
func (Transfer) consensusMessage()         {}
func (Connected) consensusMessage()        {}
func (Disconnected) consensusMessage()     {}
func (Refused) consensusMessage()          {}
func (Appended) consensusMessage()         {}
func (Restoring) consensusMessage()        {}
func (Applied) consensusMessage()          {}
func (SnapshotSaved) consensusMessage()    {}
func (SnapshotReceived) consensusMessage() {}
func (SnapshotSent) consensusMessage()     {}

// LogWriterMessage is what the log writer takes. All are deposited: raft bounds the entries on their way.
type LogWriterMessage interface{ logWriterMessage() }

type (
	// Append is raft's MsgStorageAppend: entries, hard state and snapshot to make durable, and what to say then.
	Append struct{ Message *raftpb.Message }
	// Release lets go of entries that a snapshot covers.
	Release struct{ UpTo uint64 }
	// Fence says that the log is idle, so that the disk may be told how far it is known to be synced.
	Fence struct{ Commit uint64 }
	// SpareMade is a zero-filled file of the segment maker.
	SpareMade struct{ Name string }
	// Restored reports that the applier has loaded the snapshot that an Append brought.
	Restored struct{}
)

func (Append) logWriterMessage()    {}
func (Release) logWriterMessage()   {}
func (Fence) logWriterMessage()     {}
func (SpareMade) logWriterMessage() {}
func (Restored) logWriterMessage()  {}

// SegmentMakerMessage is what the segment maker takes. The log writer's are deposited.
type SegmentMakerMessage interface{ segmentMakerMessage() }

type (
	// MakeSpare asks for one more zero-filled file.
	MakeSpare struct{}
	// Recycle hands over files that nothing refers to any more.
	Recycle struct{ Names []string }
	// Retry is the segment maker's clock: what the disk refused is tried again. Offered.
	Retry struct{}
)

func (MakeSpare) segmentMakerMessage() {}
func (Recycle) segmentMakerMessage()   {}
func (Retry) segmentMakerMessage()     {}

// ApplierMessage is what the applier takes. All are deposited.
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
		Term  uint64
		First uint64
		Until time.Duration // when their clients do not wait any longer
		Asks  []Ask
	}
	// Expire drops expectations whose clients do not wait any longer.
	Expire struct{}
	// Confirmed lets reads go on as soon as an index is applied.
	Confirmed struct {
		Index uint64
		Until time.Duration // when their clients do not wait any longer
		Asks  []Ask
	}
	// Restore replaces the state by a published snapshot's.
	Restore struct {
		Index, Term uint64
		ConfState   *raftpb.ConfState
	}
	// ConfStateChanged tells of the members after a membership entry.
	ConfStateChanged struct {
		Index     uint64
		ConfState *raftpb.ConfState
	}
	// SaveEnded reports that the snapshotter is free again.
	SaveEnded struct{ Saved bool }
)

func (Apply) applierMessage()            {}
func (Expect) applierMessage()           {}
func (Expire) applierMessage()           {}
func (Confirmed) applierMessage()        {}
func (Restore) applierMessage()          {}
func (ConfStateChanged) applierMessage() {}
func (SaveEnded) applierMessage()        {}

// Ask is one request of one connection.
type Ask struct {
	From    index.Asker
	Request uint64
}

// SnapshotterMessage is what the snapshotter takes.
type SnapshotterMessage interface{ snapshotterMessage() }

type (
	// Save asks for a snapshot of a View. Deposited.
	Save struct {
		View      *index.View
		Index     uint64
		Term      uint64
		ConfState *raftpb.ConfState
	}
	// SendSnapshot asks for the newest snapshot to be streamed to a peer. Deposited.
	SendSnapshot struct {
		Peer    uint64
		Message *raftpb.Message
	}
	// FromPeer is a frame of another member's snapshotter. Offered: its sender sends again.
	FromPeer struct {
		From    uint64
		Message PeerMessage
	}
	// Discard drops a received snapshot that raft had no use for. Deposited.
	Discard struct{ Index, Term uint64 }
	// Installed reports that a received snapshot is the state now. Deposited.
	Installed struct{ Index, Term uint64 }
	// Wait is the snapshotter's clock. Offered.
	Wait struct{}
)

func (Save) snapshotterMessage()         {}
func (SendSnapshot) snapshotterMessage() {}
func (FromPeer) snapshotterMessage()     {}
func (Discard) snapshotterMessage()      {}
func (Installed) snapshotterMessage()    {}
func (Wait) snapshotterMessage()         {}

// Class says which stream to a peer a frame takes.
type Class uint8

const (
	// Urgent is for votes and heartbeats: nothing may hold them up.
	Urgent Class = iota
	// Replication is for appends, forwarded commands and reads.
	Replication
	// Bulk is for pieces of snapshots.
	Bulk
)

// Peers is the way to the other members. Send never waits: what cannot be sent is dropped, and raft sends again. A
// lazy frame may wait a millisecond for the next one to the same member. The frame belongs to Peers from then on.
type Peers interface {
	Send(to uint64, class Class, frame []byte, lazy bool)
}
