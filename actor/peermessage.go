package actor

import (
	"go.etcd.io/raft/v3/raftpb"

	"qkv/index"
	"qkv/index/kv"
)

// PeerMessage is what members say to each other. What it looks like in bytes is package peerframe's page.
type PeerMessage interface{ peerMessage() }

type (
	// RaftMessage is a message of raft's; From is filled in from the sender's certificate. Durable is the newest entry on a leader's
	// disk, which it tells with appends and heartbeats: so others know what it must have when it comes back.
	RaftMessage struct {
		*raftpb.Message
		Durable uint64
	}
	// Forward brings a follower's batch envelope to the leader of a term. In any other term it is void.
	Forward struct {
		Term     uint64
		Oldest   uint64 // first number of the oldest batch that the follower has not seen in its log
		Envelope []byte
	}
	// Accepted answers batches that were forwarded by a process of a member: those with numbers below Next need not be sent
	// again in the term. Lost: the one at Next did not come, since a later one did. Commit is what the leader has committed.
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
	// Want requests for the bytes of an offered snapshot from Offset on.
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
	// SnapshotResult ends a snapshot's way: it is the receiver's state now, or it was of no use, because what came was
	// damaged or for another reason.
	SnapshotResult struct {
		Index, Term uint64
		Installed   bool
		Damaged     bool
	}
	// Room says how much its sender's disk takes (Own) and, while the sender leads, what a quorum's disks take (Cluster), each as
	// a [Space]. Why says in words why that is not everything. Holds is how large a state the sender's machine holds with ease;
	// 0 is not known. Free is what its disk has left where that does not take everything. Wall is the sender's clock, 0 where it is
	// not told.
	Room struct {
		Own, Cluster uint64
		Why          string
		Holds, Free  int64
		Wall         int64
	}
	// LeaseAsks asks the leader's clock for leases. The numbers are the sender's.
	LeaseAsks struct{ Asks []NumberedAsk }
	// LeasesTold is what the leader's clock says, to questions in any order. What it says of leases holds from entry Index on.
	LeasesTold struct {
		Index uint64
		Told  []NumberedTime
	}
	// Committed says that the entry at Index, of Term, is committed, to one whom the sender denies a vote without having one itself,
	// or who does so.
	Committed struct{ Index, Term uint64 }
	// Accused says that another member refuses the sender, as one that has forgotten what it promised.
	Accused struct{ By uint64 }
)

// NumberedAsk is a question for a lease.
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

// Peers is the way to the other members. Send never waits: what cannot be sent is dropped, and raft sends again. A
// lazy message may wait a millisecond for the next one to the same member. What the message refers to must not change
// until Send returns.
type Peers interface {
	Send(to uint64, m PeerMessage, lazy bool)
	// SetMembers says who the members are now, and where they can be reached.
	SetMembers(m index.Members)
	// CheckAlive lets the peer's host be asked whether a process of it is there: PeerDied comes when it says that there is none.
	CheckAlive(peer uint64)
}

// sendRaftMessage sends a message of raft's; prompt, when the receiver's clients wait for it. An append without entries
// only tells a new commit index, and a millisecond's delay saves a packet for each.
func sendRaftMessage(p Peers, m *raftpb.Message, durable uint64, prompt bool) {
	lazy := m.GetType() == raftpb.MsgApp && len(m.GetEntries()) == 0
	p.Send(m.GetTo(), RaftMessage{m, durable}, lazy && !prompt)
}
