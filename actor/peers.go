package actor

import (
	"go.etcd.io/raft/v3/raftpb"

	"qkv/index"
	"qkv/net/wire/peerframe"
)

// Peers sends messages to the other members; package peerframe declares the messages. Send never waits: it drops a message that cannot be
// sent, and raft sends again. A lazy message may wait a millisecond for the next message to the same member. The data that the message
// refers to must not change until Send returns.
type Peers interface {
	Send(to uint64, m peerframe.Message, lazy bool)
	// SetMembers sets the present members and their addresses.
	SetMembers(m index.Members)
	// CheckAlive asks the peer's host whether the peer's process runs: PeerDied follows if the host denies it.
	CheckAlive(peer uint64)
}

// toPeer is a message to a peer.
type toPeer struct {
	to      uint64
	message peerframe.Message
}

// sendRaftMessage sends a raft message; prompt says that the receiver's clients wait for it. An append without entries only carries a new
// commit index, and a millisecond's delay saves one packet each.
func sendRaftMessage(p Peers, m *raftpb.Message, durable uint64, prompt bool) {
	lazy := m.GetType() == raftpb.MsgApp && len(m.GetEntries()) == 0
	p.Send(m.GetTo(), peerframe.Raft{Message: m, Durable: durable}, lazy && !prompt)
}
