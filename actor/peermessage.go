package actor

import (
	"go.etcd.io/raft/v3/raftpb"

	"qkv/index"
	"qkv/index/kv"
)

// PeerMessage is a message between members. Package peerframe defines its encoding.
type PeerMessage interface{ peerMessage() }

type (
	// RaftMessage is a raft message; From is filled in from the sender's certificate. Durable is the newest entry on a leader's disk,
	// sent with appends and heartbeats: the others then know which entries it must have after a restart.
	RaftMessage struct {
		*raftpb.Message
		Durable uint64
	}
	// Forward carries a follower's batch envelope to the leader of a term. In any other term it is void.
	Forward struct {
		Term     uint64
		Oldest   uint64 // first number of the oldest batch that the follower has not seen in its log
		Envelope []byte
	}
	// Accepted answers the forwarded batches of a member's process: batches with numbers below Next need not be sent again in the term.
	// Lost: the batch at Next is missing, since a later one arrived. Commit is the leader's commit index.
	Accepted struct {
		Term, Incarnation, Next, Commit uint64
		Lost                            bool
	}
	// Offer announces a snapshot.
	Offer struct {
		Index, Term uint64
		Size        int64
		SHA         [32]byte
		MessageTerm uint64 // the term of the leader that sends it
		ConfState   []byte
	}
	// Want requests the bytes of an offered snapshot from Offset on.
	Want struct {
		Index, Term uint64
		Offset      int64
	}
	// Chunk is a piece of a snapshot.
	Chunk struct {
		Index, Term uint64
		Offset      int64
		Bytes       []byte
	}
	// SnapshotResult ends a snapshot's transfer: the receiver has installed it, or could not use it, because it was damaged or for
	// another reason.
	SnapshotResult struct {
		Index, Term uint64
		Installed   bool
		Damaged     bool
	}
	// Room reports the space on the sender's disk (Own) and, while the sender leads, on the disks of a quorum (Cluster), each as a
	// [Space]. Why is the reason in words if the cluster does not accept everything. Holds is the size in bytes of a state that the
	// sender's machine holds with ease, by the sizes of its disk and memory. HoldsNow is the same without the space that files of other
	// programs take; 0 is not known. Free is the free space in bytes of a disk that does not accept everything. Wall is the sender's
	// clock, 0 if it is not reported.
	Room struct {
		Own, Cluster uint64
		Why          string
		Holds, Free  int64
		Wall         int64
		HoldsNow     int64
	}
	// LeaseAsks asks the leader's clock about leases. The numbers are the sender's.
	LeaseAsks struct{ Asks []NumberedAsk }
	// LeasesTold answers lease queries, in any order, by the leader's clock. The answers hold from entry Index on.
	LeasesTold struct {
		Index uint64
		Told  []NumberedTime
	}
	// Committed reports that the entry at Index, of Term, is committed. A member without a vote sends it to a candidate that it denies a
	// vote; the candidate may answer with its own.
	Committed struct{ Index, Term uint64 }
	// Accused reports that another member refuses the sender as one with forgotten promises.
	Accused struct{ By uint64 }
)

// NumberedAsk is a lease query.
type NumberedAsk struct {
	Number uint64
	kv.LeaseAsk
}

// NumberedTime answers it.
type NumberedTime struct {
	Number uint64
	kv.LeaseTime
}

func (LeaseAsks) peerMessage()      {}
func (LeasesTold) peerMessage()     {}
func (RaftMessage) peerMessage()    {}
func (Forward) peerMessage()        {}
func (Accepted) peerMessage()       {}
func (Offer) peerMessage()          {}
func (Want) peerMessage()           {}
func (Chunk) peerMessage()          {}
func (SnapshotResult) peerMessage() {}
func (Room) peerMessage()           {}
func (Accused) peerMessage()        {}
func (Committed) peerMessage()      {}

// Peers sends messages to the other members. Send never waits: it drops a message that cannot be sent, and raft sends again. A lazy
// message may wait a millisecond for the next message to the same member. The data that the message refers to must not change until Send
// returns.
type Peers interface {
	Send(to uint64, m PeerMessage, lazy bool)
	// SetMembers sets the present members and their addresses.
	SetMembers(m index.Members)
	// CheckAlive asks the peer's host whether the peer's process runs: PeerDied follows if the host denies it.
	CheckAlive(peer uint64)
}

// sendRaftMessage sends a raft message; prompt says that the receiver's clients wait for it. An append without entries only carries a new
// commit index, and a millisecond's delay saves one packet each.
func sendRaftMessage(p Peers, m *raftpb.Message, durable uint64, prompt bool) {
	lazy := m.GetType() == raftpb.MsgApp && len(m.GetEntries()) == 0
	p.Send(m.GetTo(), RaftMessage{m, durable}, lazy && !prompt)
}
