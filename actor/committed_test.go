package actor

import (
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/internal/limits"
	"qkv/net/wire/peerframe"
)

// followWith makes the member a follower of member 2 in term 2, with entries 2 to last, of which those up to commit are committed.
func (c *consensusTurns) followWith(last, commit uint64) {
	c.t.Helper()
	c.follow(2)
	c.turn(from(2, raftpb.MsgApp, 2, func(m *raftpb.Message) {
		m.Index, m.LogTerm, m.Commit = u(1), u(1), u(commit)
		for i := uint64(2); i <= last; i++ {
			m.Entries = append(m.Entries, &raftpb.Entry{Index: u(i), Term: u(2)})
		}
	}))
	if at := c.raft.BasicStatus().GetCommit(); c.last != last || at != commit {
		c.t.Fatalf("it has entry %d and knows %d to be committed", c.last, at)
	}
}

// saidOfCommits is what peers are told of what is committed.
func saidOfCommits(sent []peerframe.Message) (said []peerframe.Committed) {
	for _, m := range sent {
		if one, ok := m.(peerframe.Committed); ok {
			said = append(said, one)
		}
	}
	return said
}

// Who denies a vote and has none itself says what is committed: nobody else may know it. Who has a vote campaigns, and says nothing.
func TestWhoHasNoVoteSaysWhatIsCommitted(t *testing.T) {
	for _, voter := range []bool{true, false} {
		c := newTestConsensus(t, limits.Defaults())
		c.followWith(9, 7)
		if !voter {
			c.membership.confState = &raftpb.ConfState{Voters: []uint64{2, 3}}
			c.raft.ApplyConfChange(&raftpb.ConfChangeV2{Changes: []*raftpb.ConfChangeSingle{{Type: raftpb.ConfChangeRemoveNode.Enum(), NodeId: u(1)}}})
		}
		c.turn(Disconnected{Peer: 2})
		c.pass(3 * c.ElectionTimeout)
		ask := func(last uint64) []peerframe.Committed {
			return saidOfCommits(c.turn(from(3, raftpb.MsgPreVote, c.term+1, func(m *raftpb.Message) { m.LogTerm, m.Index = u(2), u(last) })))
		}
		if said := ask(8); voter && said != nil || !voter && (len(said) != 1 || said[0] != peerframe.Committed{Index: 7, Term: 2}) {
			t.Errorf("a voter: %v; it denies a vote and says %v", voter, said)
		}
		if said := ask(9); said != nil {
			t.Errorf("a voter: %v; it gives its vote and says %v", voter, said)
		}
	}
}

// What a peer knows to be committed is, where the log has that entry and nobody leads who would say it.
func TestCommittedIsTakenOver(t *testing.T) {
	for name, one := range map[string]struct {
		said   peerframe.Committed
		led    bool
		commit uint64
		answer bool
	}{
		"an entry of the log":            {said: peerframe.Committed{Index: 6, Term: 2}, commit: 6},
		"the last one":                   {said: peerframe.Committed{Index: 9, Term: 2}, commit: 9},
		"one of another term":            {said: peerframe.Committed{Index: 6, Term: 1}, commit: 4},
		"one of a later term":            {said: peerframe.Committed{Index: 6, Term: 3}, commit: 4},
		"one beyond the log":             {said: peerframe.Committed{Index: 10, Term: 2}, commit: 4},
		"where somebody leads":           {said: peerframe.Committed{Index: 6, Term: 2}, led: true, commit: 4},
		"what is known":                  {said: peerframe.Committed{Index: 4, Term: 2}, commit: 4},
		"less than what is known":        {said: peerframe.Committed{Index: 3, Term: 2}, commit: 4, answer: true},
		"less, where somebody leads":     {said: peerframe.Committed{Index: 3, Term: 2}, led: true, commit: 4},
		"an entry of which nobody knows": {said: peerframe.Committed{Index: 1 << 62, Term: 1 << 62}, commit: 4},
	} {
		c := newTestConsensus(t, limits.Defaults())
		c.followWith(9, 4)
		if !one.led {
			c.turn(Disconnected{Peer: 2})
			c.pass(3 * c.ElectionTimeout)
		}
		before := c.term
		said := saidOfCommits(c.turn(Received{From: 3, Message: one.said}))
		if at := c.raft.BasicStatus().GetCommit(); at != one.commit {
			t.Errorf("%s: %d is committed", name, at)
		}
		if one.answer != (len(said) == 1 && said[0] == peerframe.Committed{Index: 4, Term: 2}) {
			t.Errorf("%s: it answers %v", name, said)
		}
		if c.term != before {
			t.Errorf("%s: its term is %d", name, c.term)
		}
		if sent := c.pass(3 * c.ElectionTimeout); !one.led && len(sent) == 0 {
			t.Errorf("%s: it asks for no vote afterwards", name)
		}
	}
}
