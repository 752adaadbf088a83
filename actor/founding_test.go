package actor

import (
	"slices"
	"testing"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/log"
	"qkv/net/wire/peerframe"
)

// found makes member 1 a founder without data that has met no other founder yet.
func (c *consensusTurns) found() { c.elections.founding = newFounding(&c.config) }

// asksVotes tells whether any message asks for a vote.
func asksVotes(sent []peerframe.Message) bool {
	return slices.ContainsFunc(sent, func(m peerframe.Message) bool {
		r, ok := m.(peerframe.Raft)
		return ok && (r.GetType() == raftpb.MsgPreVote || r.GetType() == raftpb.MsgVote)
	})
}

// grants tells whether member 1 grants a vote of a kind in a term to a candidate, member 2, whose log ends at an entry.
func (c *consensusTurns) grants(kind, answer raftpb.MessageType, term, last uint64) bool {
	candidate := func(m *raftpb.Message) { m.Index, m.LogTerm = u(last), u(1) }
	return slices.ContainsFunc(c.turn(from(2, kind, term, candidate)), func(m peerframe.Message) bool {
		r, ok := m.(peerframe.Raft)
		return ok && r.GetType() == answer && !r.GetReject()
	})
}

// waitsFor is what the notice says.
func (c *consensusTurns) waitsFor() string {
	for _, a := range c.Status.Alarms() {
		if a.Name == kv.FoundingNotice {
			return a.Text
		}
	}
	return ""
}

// A founder without data campaigns, and votes for another one without data, only after all founders have said that they have none.
func TestFoundersMeetBeforeTheyVote(t *testing.T) {
	const rest = ": a new cluster needs all its founders once"
	for _, x := range []struct {
		name  string
		met   []ConsensusMessage
		waits string
	}{
		{"none was met", nil, "waiting for n2, n3" + rest},
		{"one was met", []ConsensusMessage{Connected{Peer: 2, Last: 1}}, "waiting for n3" + rest},
		{"one has data", []ConsensusMessage{Connected{Peer: 2, Last: 1}, Connected{Peer: 3, Last: 2}}, "waiting for n3" + rest},
		{"all were met, and one is gone again", []ConsensusMessage{Connected{Peer: 2, Last: 1}, Connected{Peer: 3, Last: 1}, Disconnected{Peer: 3}}, ""},
	} {
		c := newTestConsensus(t, limits.Defaults())
		c.found()
		c.turn(x.met...)
		c.pass(TickInterval)
		if said := c.waitsFor(); said != x.waits {
			t.Errorf("%s: the notice says %q, want %q", x.name, said, x.waits)
		}
		for _, vote := range []struct{ kind, answer raftpb.MessageType }{{raftpb.MsgPreVote, raftpb.MsgPreVoteResp}, {raftpb.MsgVote, raftpb.MsgVoteResp}} {
			if granted := c.grants(vote.kind, vote.answer, 2, foundingIndex); granted != (x.waits == "") {
				t.Errorf("%s: %v of a candidate without data is granted: %v", x.name, vote.kind, granted)
			}
		}
		if campaigned := asksVotes(c.turn(from(2, raftpb.MsgTimeoutNow, c.term, nil))); campaigned != (x.waits == "") {
			t.Errorf("%s: it campaigned when a peer asked for that: %v", x.name, campaigned)
		}
		if campaigned := asksVotes(c.pass(10 * time.Second)); campaigned != (x.waits == "") {
			t.Errorf("%s: it campaigned: %v", x.name, campaigned)
		}
	}
}

// The notice of a founder that waits ends when it has met all others.
func TestNoticeOfFoundersEnds(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	c.found()
	c.pass(TickInterval)
	if c.waitsFor() == "" {
		t.Fatal("a founder waits, and no notice says so")
	}
	c.turn(Connected{Peer: 2, Last: 1}, Connected{Peer: 3, Last: 1})
	c.pass(TickInterval)
	if said := c.waitsFor(); said != "" {
		t.Errorf("all founders have met, and the notice says %q", said)
	}
}

// A founder waits for all other voters, unless its term shows that it has taken part in an election. A member that joins waits for none.
func TestFoundersThatAreAwaited(t *testing.T) {
	for _, x := range []struct {
		name   string
		term   uint64
		voters []uint64
		want   []uint64
	}{
		{"a new folder", 0, []uint64{1, 2, 3}, []uint64{2, 3}},
		{"the founding term", 1, []uint64{1, 2, 3}, []uint64{2, 3}},
		{"a vote", 2, []uint64{1, 2, 3}, nil},
		{"a heartbeat", 2, []uint64{1, 2, 3}, []uint64{2, 3}},
		{"one founder", 1, []uint64{1}, nil},
		{"a member that joins", 0, nil, nil},
	} {
		var known []Known
		if x.name == "a vote" {
			known = []Known{{Member: 1}}
		}
		f := newFounding(&ConsensusConfig{CoreConfig: CoreConfig{Member: 1, Admission: NewAdmission(&Admission{Self: 1}, known)}, HardState: log.HardState{Term: x.term}, ConfState: &raftpb.ConfState{Voters: x.voters}})
		if !slices.Equal(f.unmet, x.want) {
			t.Errorf("%s: it waits for %v, want %v", x.name, f.unmet, x.want)
		}
	}
}

// A founder that restarts while the cluster begins votes for a candidate with data, and is a voter like all others once it has an entry.
func TestFounderFollowsThoseThatHaveBegun(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	c.found()
	if !c.grants(raftpb.MsgPreVote, raftpb.MsgPreVoteResp, 3, 2) || !c.grants(raftpb.MsgVote, raftpb.MsgVoteResp, 3, 2) {
		t.Error("a candidate with data gets no vote")
	}
	c.turn(from(2, raftpb.MsgApp, 3, func(m *raftpb.Message) {
		m.Index, m.LogTerm, m.Entries = u(1), u(1), []*raftpb.Entry{someEntry(2, 3)}
	}))
	sent := c.pass(5 * time.Second)
	if c.last != 2 || !asksVotes(sent) || c.waitsFor() != "" {
		t.Errorf("with an entry: the log ends at %d, it campaigned: %v, it waits: %q", c.last, asksVotes(sent), c.waitsFor())
	}
}

// A founder that still waits does not campaign when its leader dies or goes silent, and can vote for the next candidate with data.
func TestWaitingFounderOutlivesItsLeader(t *testing.T) {
	for _, died := range []bool{false, true} {
		c := newTestConsensus(t, limits.Defaults())
		c.found()
		c.turn(from(3, raftpb.MsgHeartbeat, 2, nil))
		if lead := c.raft.BasicStatus().Lead; lead != 3 {
			t.Fatalf("it follows %d", lead)
		}
		var sent []peerframe.Message
		if died {
			sent = append(c.pass(200*time.Millisecond), c.turn(PeerDied{Peer: 3})...)
		}
		if sent = append(sent, c.pass(2100*time.Millisecond)...); asksVotes(sent) {
			t.Errorf("died %v: it campaigned", died)
		}
		if lead := c.raft.BasicStatus().Lead; lead != raft.None {
			t.Errorf("died %v: it still follows %d", died, lead)
		}
		if !c.grants(raftpb.MsgPreVote, raftpb.MsgPreVoteResp, 3, 2) {
			t.Errorf("died %v: the next leader gets no vote", died)
		}
	}
}
