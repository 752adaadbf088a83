package actor

import (
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"qkv/net/wire/peerframe"
)

// raft uses the configuration that a member has applied: a member without a vote in it never campaigns. But its log may be longer than
// the logs of all voters. The commit of the change that makes it a voter, or another member the only voter, may be known to one side
// alone:
//
//	the leader of two voters removes the other one. Both have the removal on disk, and the removed member learns that it is
//	committed, and has later entries. Power fails at the leader: it comes back without those, and knows of no commit. It needs
//	the vote of the other member, whose log is longer, and which never campaigns.
//
// A committed entry stays committed, whichever member reports it. A member that denies a vote, and has none itself, therefore reports its
// commit index. A member that gets such a report and knows a higher index answers with that. Two voters need no report: the voter with
// the longer log can campaign. TiKV's raft solves the same problem in the answers to votes (raft-rs, maybe_commit_by_vote).

// denied returns the reports of the commit index to the candidates that this member denies a vote, if this member has no vote itself.
func (c *core) denied(responses []*raftpb.Message) (reports []toPeer) {
	if c.role(c.soft.RaftState) != roleLearner {
		return nil
	}
	for _, r := range responses {
		if r.GetType() == raftpb.MsgPreVoteResp && r.GetReject() {
			reports = append(reports, c.commitReport(r.GetTo())...)
		}
	}
	return reports
}

// commitReport returns the report of this member's commit index to a peer.
func (c *core) commitReport(peer uint64) []toPeer {
	index := c.raft.BasicStatus().GetCommit()
	term, err := c.Window.Term(index)
	if err != nil {
		return nil // the entry is not on this disk yet; the peer asks again
	}
	return []toPeer{{peer, peerframe.Committed{Index: index, Term: term}}}
}

// adoptCommit adopts a peer's commit index while there is no leader to report it: as an empty append after that entry, without a sender.
// raft compares the entry's term with its own log's. committed returns the answer to a peer that knows less.
func (c *core) adoptCommit(peer uint64, m peerframe.Committed) (answer []toPeer) {
	known := c.raft.BasicStatus()
	switch {
	case c.leader() != raft.None || m.Term > known.GetTerm() || m.Index > c.last:
	case m.Index > known.GetCommit():
		c.step(&raftpb.Message{
			Type: raftpb.MsgApp.Enum(), To: new(c.Member), Term: new(known.GetTerm()), Index: new(m.Index), LogTerm: new(m.Term), Commit: new(m.Index),
		})
	case m.Index < known.GetCommit():
		return c.commitReport(peer)
	}
	return nil
}
