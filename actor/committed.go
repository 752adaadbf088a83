package actor

import (
	"slices"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// raft goes by the configuration that a member has applied: who has no vote by that never campaigns. But its log may be longer than
// that of all who have one, and what makes it a voter, or another one the only voter, may be known to be committed by one side alone:
//
//	of two voters the leader removes the other one. Both have the removal on disk, and the one that is removed hears that it is
//	committed, and has entries behind it. Power fails at the leader: it comes back without those, and knows of no commit. It needs
//	the vote of the other one, whose log is longer, and who never asks for one.
//
// What is committed stays so, whoever says it. So who denies a vote, and has none, says what it knows of it; and who is told so and
// knows more answers with that. Two voters need not: of those the one with the longer log can campaign. TiKV's raft mends the same in
// the answers to votes (raft-rs, maybe_commit_by_vote).

// denied tells those whom this member denies a vote what is committed, if it has none itself.
func (c *Consensus) denied(responses []*raftpb.Message) {
	if c.role(c.soft.RaftState) != roleLearner {
		return
	}
	for _, r := range responses {
		if r.GetType() == raftpb.MsgPreVoteResp && r.GetReject() {
			c.tellCommitted(r.GetTo())
		}
	}
}

// tellCommitted says what this member knows to be committed.
func (c *Consensus) tellCommitted(peer uint64) {
	index := c.raft.BasicStatus().GetCommit()
	if term, err := c.Window.Term(index); err == nil { // else it is not on this disk yet; it is asked again
		c.Peers.Send(peer, Committed{Index: index, Term: term}, false)
	}
}

// committed takes over what a peer knows to be committed, if nobody leads who would say it: as an append of nothing behind that entry,
// from nobody. raft compares the entry's term with its own log's.
func (c *Consensus) committed(peer uint64, m Committed) {
	known := c.raft.BasicStatus()
	switch {
	case c.leader() != raft.None || m.Term > known.GetTerm() || m.Index > c.last:
	case m.Index > known.GetCommit():
		c.step(&raftpb.Message{
			Type: raftpb.MsgApp.Enum(), To: new(c.Member), Term: new(known.GetTerm()), Index: new(m.Index), LogTerm: new(m.Term), Commit: new(m.Index),
		})
	case m.Index < known.GetCommit():
		c.tellCommitted(peer)
	}
}

// toPeers leaves out what answers nobody.
func toPeers(responses []*raftpb.Message) []*raftpb.Message {
	return slices.DeleteFunc(responses, func(m *raftpb.Message) bool { return m.GetTo() == raft.None })
}
