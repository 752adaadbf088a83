package actor

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"qkv/internal/limits"
	"qkv/net/wire/peerframe"
)

// preVotes are those that are asked for.
func preVotes(sent []peerframe.Message) (n int) {
	for _, m := range sent {
		if m, ok := m.(peerframe.Raft); ok && m.GetType() == raftpb.MsgPreVote {
			n++
		}
	}
	return n
}

func heartbeatOf(leader, term uint64) Received {
	return from(leader, raftpb.MsgHeartbeat, term, func(m *raftpb.Message) { m.Commit = u(1) })
}

// A voter whose leader is late has its host asked, and elects another one when that says that the process has died.
func TestLeaderHasDied(t *testing.T) {
	const term, late = 5, 150 * time.Millisecond
	c := newTestConsensus(t, limits.Defaults())
	c.follow(term)
	c.pass(late - TickInterval)
	if len(c.checked) != 0 {
		t.Fatalf("its host is asked after %v, when it is not late", c.at)
	}
	c.pass(TickInterval)
	if !slices.Equal(c.checked, []uint64{2}) {
		t.Fatalf("a late leader's host is not asked: %v", c.checked)
	}
	if sent := append(c.turn(PeerDied{Peer: 2}), c.pass(campaignFirst*TickInterval)...); preVotes(sent) != 2 {
		t.Fatalf("its leader has died, and the first of the voters asks for %d votes", preVotes(sent))
	}
	if sent := c.pass(campaignApart * TickInterval); preVotes(sent) != 0 {
		t.Fatal("it campaigns when it is the next one's turn")
	}
	if sent := c.pass(campaignApart * TickInterval); preVotes(sent) != 2 {
		t.Fatalf("nobody has answered, and it asks for %d votes again", preVotes(sent))
	}
	c.turn(from(3, raftpb.MsgPreVoteResp, term+1, nil))
	if s := c.raft.BasicStatus(); s.RaftState != raft.StateCandidate || s.GetTerm() != term+1 {
		t.Errorf("the other one votes for it, and it is %v in term %d", s.RaftState, s.GetTerm())
	}
}

// A leader that is late again has its host asked again.
func TestLateLeaderIsAskedAgain(t *testing.T) {
	const term, late = 5, 150 * time.Millisecond
	c := newTestConsensus(t, limits.Defaults())
	c.follow(term)
	for n := range 3 {
		c.pass(late)
		if len(c.checked) != n+1 {
			t.Fatalf("late for the %d. time, its host was asked %d times", n+1, len(c.checked))
		}
		c.turn(heartbeatOf(2, term))
	}
}

// Voters campaign one after the other, and who has forgotten its leader gives its vote at once.
func TestCampaignsAreApart(t *testing.T) {
	for _, c := range []struct {
		voters       []uint64
		member, died uint64
		want         int
	}{
		{[]uint64{1, 2, 3}, 1, 2, campaignFirst},
		{[]uint64{1, 2, 3}, 3, 2, campaignFirst + campaignApart},
		{[]uint64{3, 2, 1}, 3, 1, campaignFirst + campaignApart},
		{[]uint64{5, 9, 7, 3}, 9, 3, campaignFirst + 2*campaignApart},
	} {
		if got := firstCampaign(c.voters, c.member, c.died); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
	const term = 5
	c := newTestConsensus(t, limits.Defaults())
	c.follow(term)
	c.turn(PeerDied{Peer: 2})
	c.pass(150 * time.Millisecond)
	sent := c.turn(from(3, raftpb.MsgPreVote, term+1, func(m *raftpb.Message) { m.Index, m.LogTerm = u(1), u(1) }))
	if i := slices.IndexFunc(sent, func(m peerframe.Message) bool {
		r, ok := m.(peerframe.Raft)
		return ok && r.GetType() == raftpb.MsgPreVoteResp && !r.GetReject()
	}); i < 0 {
		t.Errorf("whose leader has died gives nobody its vote: %v", sent)
	}
}

// What contradicts a leader's death, or has nothing to do with it, changes nothing.
func TestLeaderHasNotDied(t *testing.T) {
	const term = 5
	for name, do := range map[string]func(c *consensusTurns){
		"one that is not late": func(c *consensusTurns) {
			c.turn(PeerDied{Peer: 2})
			for range 20 {
				if c.pass(100 * time.Millisecond); c.raft.BasicStatus().Lead != 2 {
					return
				}
				c.turn(heartbeatOf(2, term))
			}
		},
		"one that has spoken since, and is late now": func(c *consensusTurns) {
			c.turn(PeerDied{Peer: 2})
			c.turn(heartbeatOf(2, term))
			c.pass(300 * time.Millisecond)
		},
		"another one": func(c *consensusTurns) {
			c.pass(160 * time.Millisecond)
			c.turn(PeerDied{Peer: 3})
			c.pass(100 * time.Millisecond)
		},
		"of an earlier term": func(c *consensusTurns) {
			c.turn(PeerDied{Peer: 2})
			c.elections.failover.died, c.elections.failover.diedIn = 2, term // not even if it was noted behind the newer one's first word
			c.turn(heartbeatOf(2, term+1))
			c.elections.failover.died = 2
			c.pass(300 * time.Millisecond)
		},
		"this member has no vote": func(c *consensusTurns) {
			c.membership.confState = &raftpb.ConfState{Voters: []uint64{2, 3}, Learners: []uint64{1}}
			c.turn(PeerDied{Peer: 2})
			c.pass(300 * time.Millisecond)
		},
	} {
		c := newTestConsensus(t, limits.Defaults())
		c.follow(term)
		do(c)
		if s := c.raft.BasicStatus(); s.Lead != 2 {
			t.Errorf("%s: it follows %d", name, s.Lead)
		}
	}
}

// In an exchange of voters the one that goes forgets a leader that has died as the others do: its vote is needed, too.
func TestLeaderHasDiedInAnExchange(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	c.follow(5)
	c.membership.confState = &raftpb.ConfState{Voters: []uint64{2, 3, 4}, VotersOutgoing: []uint64{1, 2, 3}}
	c.turn(PeerDied{Peer: 2})
	c.pass(150 * time.Millisecond)
	if lead := c.raft.BasicStatus().Lead; lead != raft.None {
		t.Errorf("it follows %d, which has died", lead)
	}
}

// Who was told wrongly, and has forgotten its leader, follows it again from its next heartbeat on.
func TestLeaderIsHeardAgain(t *testing.T) {
	const term = 5
	c := newTestConsensus(t, limits.Defaults())
	c.follow(term)
	c.pass(160 * time.Millisecond)
	c.turn(PeerDied{Peer: 2})
	if lead := c.raft.BasicStatus().Lead; lead != raft.None {
		t.Fatalf("it follows %d, which has died", lead)
	}
	c.turn(heartbeatOf(2, term))
	if sent := c.pass(100 * time.Millisecond); preVotes(sent) != 0 || c.raft.BasicStatus().Lead != 2 {
		t.Errorf("its leader lives, and it asks for %d votes and follows %d", preVotes(sent), c.raft.BasicStatus().Lead)
	}
}

// A voter that forgets its leader a second time waits for its turn again. One that has heard the leader since, and loses it by raft's own
// clock, has no turn: that clock decides. The turns end after an election timeout.
func TestTurnsToCampaign(t *testing.T) {
	const term, late = 5, 150 * time.Millisecond
	c := newTestConsensus(t, limits.Defaults())
	forget := func() {
		t.Helper()
		c.pass(late)
		if c.turn(PeerDied{Peer: 2}); c.raft.BasicStatus().Lead != raft.None {
			t.Fatal("it follows a leader that has died")
		}
	}
	c.follow(term)
	for range 2 {
		forget()
		if sent := c.pass((campaignFirst - 1) * TickInterval); preVotes(sent) != 0 {
			t.Errorf("it asks for %d votes before its turn", preVotes(sent))
		}
		if sent := c.pass(TickInterval); preVotes(sent) != 2 {
			t.Errorf("in its turn it asks for %d votes", preVotes(sent))
		}
		c.turn(heartbeatOf(2, term))
	}
	if sent := c.pass(3 * c.ElectionTimeout); preVotes(sent) == 0 || preVotes(sent) > 3*2 {
		t.Errorf("raft's clock campaigns at most once in an election timeout, and it asks for %d votes in three", preVotes(sent))
	}
	c = newTestConsensus(t, limits.Defaults())
	c.follow(term)
	forget()
	c.pass(c.ElectionTimeout)
	if sent := c.pass(c.ElectionTimeout); preVotes(sent) > 2*2 {
		t.Errorf("an election timeout after it has forgotten the leader it asks for %d votes in another one", preVotes(sent))
	}
}

// A leader that hears no quorum ends its term and tells the voter that has most of the log, at once and once. One that hears of a later
// leader orders nothing: that election is over.
func TestDeafLeaderOrdersAnElection(t *testing.T) {
	orders := func(sent []peerframe.Message) (to []uint64) {
		for _, m := range sent {
			if m, ok := m.(peerframe.Raft); ok && m.GetType() == raftpb.MsgTimeoutNow {
				to = append(to, m.GetTo(), m.GetTerm())
			}
		}
		return to
	}
	c := newTestConsensus(t, limits.Defaults())
	c.lead()
	term := c.term
	if to := orders(c.pass(2100 * time.Millisecond)); !slices.Equal(to, []uint64{2, term}) {
		t.Errorf("deaf for two election timeouts in term %d, it orders elections (voter, term) %v", term, to)
	}
	c = newTestConsensus(t, limits.Defaults())
	c.lead()
	c.pass(TickInterval)
	sent := append(c.turn(heartbeatOf(3, c.term+1), Tick{}), c.pass(2*time.Second)...)
	if to := orders(sent); len(to) != 0 {
		t.Errorf("it hears of a later leader, and orders elections %v", to)
	}
	c = newTestConsensus(t, limits.Defaults())
	c.lead()
	c.answer(3)
	c.Status.publishMatches(c.raft)
	c.turn(Disconnected{Peer: 2})
	term = c.term
	if to := orders(c.pass(2100 * time.Millisecond)); !slices.Equal(to, []uint64{3, term}) {
		t.Errorf("n2 cannot be reached, and it orders elections (voter, term) %v", to)
	}
}

// learn lets heartbeats of member 2 come in a term until the link is known: late ticks behind their interval.
func (c *consensusTurns) learn(term uint64, late int) {
	c.t.Helper()
	for range linkLeast + 1 {
		c.pass(time.Duration(c.heartbeatTicks()+late) * TickInterval)
		c.turn(heartbeatOf(2, term))
	}
	if c.raft.BasicStatus().Lead != 2 {
		c.t.Fatal("it follows nobody any more")
	}
}

// suspicions counts the reports of a suspicion among messages.
func suspicions(sent []peerframe.Message, of peerframe.Suspects) (n int) {
	for _, m := range sent {
		if m == peerframe.Message(of) {
			n++
		}
	}
	return n
}

// A voter whose leader is silent for longer than its link explains tells the other voters and follows it as before. It forgets the leader
// when another voter says the same, and campaigns.
func TestLeaderIsSuspected(t *testing.T) {
	const term = 5
	of := peerframe.Suspects{Leader: 2, Term: term}
	for _, late := range []int{0, 2} {
		c := newTestConsensus(t, limits.Defaults())
		var lines bytes.Buffer
		c.Logger = slog.New(slog.NewJSONHandler(&lines, nil))
		c.follow(term)
		c.learn(term, late)
		timeout := time.Duration(c.heartbeatTicks()+max(linkGrace, linkFactor*late)) * TickInterval
		if sent := c.pass(timeout - TickInterval); suspicions(sent, of) != 0 {
			t.Errorf("heartbeats are %d ticks late, and the leader is suspected within %v", late, timeout)
		}
		if sent := c.pass(TickInterval); suspicions(sent, of) != 1 {
			t.Errorf("heartbeats are %d ticks late, and the others are told %d times after %v", late, suspicions(sent, of), timeout)
		}
		if sent := c.pass(3 * suspectsApart * TickInterval); preVotes(sent) != 0 || suspicions(sent, of) != 3 || c.raft.BasicStatus().Lead != 2 {
			t.Errorf("alone with its suspicion it asks for %d votes, tells of it %d times and follows %d", preVotes(sent), suspicions(sent, of), c.raft.BasicStatus().Lead)
		}
		c.turn(Received{3, of})
		if sent := c.pass(TickInterval); suspicions(sent, of) != 1 || c.raft.BasicStatus().Lead != raft.None {
			t.Errorf("another voter suspects the leader, too: it tells of it %d times, and follows %d", suspicions(sent, of), c.raft.BasicStatus().Lead)
		}
		if sent := c.pass(campaignFirst * TickInterval); preVotes(sent) != 2 {
			t.Errorf("it asks for %d votes", preVotes(sent))
		}
		silent := fmt.Sprintf(`"silent_for":"%v"`, timeout+(3*suspectsApart+1)*TickInterval)
		if said := lines.String(); !strings.Contains(said, "two members have not heard the leader") || !strings.Contains(said, silent) {
			t.Errorf("the log lacks %s, a time with its unit:\n%s", silent, said)
		}
	}
}

// The second silence of a leader is told as soon as it is suspicious, as the first one. In an exchange of voters those of both
// configurations are told.
func TestSuspicionsAreTold(t *testing.T) {
	const term = 5
	of := peerframe.Suspects{Leader: 2, Term: term}
	c := newTestConsensus(t, limits.Defaults())
	c.follow(term)
	c.learn(term, 0)
	c.membership.confState = &raftpb.ConfState{Voters: []uint64{1, 2, 3}, VotersOutgoing: []uint64{1, 2, 4}}
	for n := range 2 {
		timeout := time.Duration(c.elections.failover.link.timeout(c.heartbeatTicks(), c.electionTicks())) * TickInterval
		if sent := c.pass(timeout - TickInterval); suspicions(sent, of) != 0 {
			t.Errorf("the leader is suspected for the %d. time within %v", n+1, timeout)
		}
		if sent := c.pass(TickInterval); suspicions(sent, of) != 2 {
			t.Errorf("for the %d. time the leader is silent for %v, and %d voters are told", n+1, timeout, suspicions(sent, of))
		}
		c.turn(heartbeatOf(2, term))
	}
}

// A member that takes no part suspects nobody. It has dropped what the leader said meanwhile: once it takes part again, it learns the link
// anew.
func TestSuspendedMemberSuspectsNobody(t *testing.T) {
	const term = 5
	of := peerframe.Suspects{Leader: 2, Term: term}
	c := newTestConsensus(t, limits.Defaults())
	c.follow(term)
	c.learn(term, 0)
	c.turn(Differs{Reason: "its state differs"})
	c.checked = nil
	if sent := c.pass(800 * time.Millisecond); suspicions(sent, of) != 0 || len(c.checked) != 0 {
		t.Errorf("a member that takes no part tells of a suspicion %d times, and has hosts asked: %v", suspicions(sent, of), c.checked)
	}
	for range 100 {
		c.pass(100 * time.Millisecond)
		c.turn(heartbeatOf(2, term))
	}
	c.turn(Readmit{})
	if sent := c.pass(TickInterval); suspicions(sent, of) != 0 {
		t.Error("a member that takes part again suspects the leader, whose heartbeats it has dropped")
	}
	c.turn(heartbeatOf(2, term))
	c.learn(term, 0)
	if got, want := c.elections.failover.link.timeout(c.heartbeatTicks(), c.electionTicks()), c.heartbeatTicks()+linkGrace; got != want {
		t.Errorf("the time in which it took no part counts: a silence of %d ticks is suspicious, not of %d", got, want)
	}
}

// Only heartbeats say how late a leader's link is, whatever else the leader sends between them.
func TestAppendsAreNoHeartbeats(t *testing.T) {
	const term, late = 5, 2
	c := newTestConsensus(t, limits.Defaults())
	c.follow(term)
	for range 2 * linkLeast {
		for range c.heartbeatTicks() + late {
			c.pass(TickInterval)
			c.turn(from(2, raftpb.MsgApp, term, func(m *raftpb.Message) { m.Index, m.LogTerm, m.Commit = u(1), u(1), u(1) }))
		}
		c.turn(heartbeatOf(2, term))
	}
	if got, want := c.elections.failover.link.timeout(c.heartbeatTicks(), c.electionTicks()), c.heartbeatTicks()+linkFactor*late; got != want {
		t.Errorf("heartbeats are %d ticks late between appends: a silence of %d ticks is suspicious, not of %d", late, got, want)
	}
}

// What is no second suspicion of the present leader changes nothing.
func TestLeaderIsNotSuspected(t *testing.T) {
	const term = 5
	silent := func(c *consensusTurns) { c.pass(time.Duration(c.heartbeatTicks()+linkGrace+2) * TickInterval) }
	second := peerframe.Suspects{Leader: 2, Term: term}
	for name, do := range map[string]func(c *consensusTurns){
		"of an earlier term":    func(c *consensusTurns) { silent(c); c.turn(Received{3, peerframe.Suspects{Leader: 2, Term: term - 1}}) },
		"of another member":     func(c *consensusTurns) { silent(c); c.turn(Received{3, peerframe.Suspects{Leader: 3, Term: term}}) },
		"by who has no vote":    func(c *consensusTurns) { silent(c); c.turn(Received{4, second}) },
		"by the leader":         func(c *consensusTurns) { silent(c); c.turn(Received{2, second}) },
		"that is old":           func(c *consensusTurns) { c.turn(Received{3, second}); silent(c) },
		"before it is silent":   func(c *consensusTurns) { c.pass(100 * time.Millisecond); c.turn(Received{3, second}) },
		"that a heartbeat ends": func(c *consensusTurns) { silent(c); c.turn(Received{3, second}, heartbeatOf(2, term)) },
		"by who votes no more": func(c *consensusTurns) {
			c.membership.confState = &raftpb.ConfState{Voters: []uint64{2, 3}, Learners: []uint64{1}}
			silent(c)
			c.turn(Received{3, second})
		},
	} {
		c := newTestConsensus(t, limits.Defaults())
		c.follow(term)
		c.learn(term, 0)
		do(c)
		if sent := c.pass(TickInterval); preVotes(sent) != 0 || c.raft.BasicStatus().Lead != 2 {
			t.Errorf("%s: it asks for %d votes and follows %d", name, preVotes(sent), c.raft.BasicStatus().Lead)
		}
	}
}

// A link counts from the leader's first heartbeat on: another leader's has to be learned. A silence that was none makes the follower wait
// longer the next time.
func TestLinkBelongsToItsLeader(t *testing.T) {
	const term = 5
	c := newTestConsensus(t, limits.Defaults())
	c.follow(term)
	if sent := c.pass(800 * time.Millisecond); suspicions(sent, peerframe.Suspects{Leader: 2, Term: term}) != 0 {
		t.Error("a leader is suspected whose link is not known")
	}
	c.turn(heartbeatOf(2, term))
	c.learn(term, 0)
	c.turn(heartbeatOf(3, term+1))
	c.turn(heartbeatOf(3, term+1))
	if sent := c.pass(800 * time.Millisecond); suspicions(sent, peerframe.Suspects{Leader: 3, Term: term + 1}) != 0 {
		t.Error("the next leader is suspected by the link of the last one")
	}
	c = newTestConsensus(t, limits.Defaults())
	c.follow(term)
	c.learn(term, 0)
	c.pass(20 * time.Second) // another term went by, in which this member led
	c.turn(heartbeatOf(2, c.term+2))
	c.learn(c.term, 0)
	if got, want := c.elections.failover.link.timeout(c.heartbeatTicks(), c.electionTicks()), c.heartbeatTicks()+linkGrace; got != want {
		t.Errorf("n2 leads again, and a silence of %d ticks is suspicious, not of %d: the time between counts", got, want)
	}
	c = newTestConsensus(t, limits.Defaults())
	c.follow(term)
	c.learn(term, 0)
	before := c.elections.failover.link.timeout(c.heartbeatTicks(), c.electionTicks())
	c.pass(300 * time.Millisecond)
	c.turn(heartbeatOf(2, term))
	if after := c.elections.failover.link.timeout(c.heartbeatTicks(), c.electionTicks()); after <= before {
		t.Errorf("a heartbeat was 200 ms late, and the timeout is %d ticks, %d before", after, before)
	}
}

// Who has forgotten its leader takes claims of the term from it alone.
func TestForgottenLeaderIsTheOnlyOne(t *testing.T) {
	const term = 5
	c := newTestConsensus(t, limits.Defaults())
	c.follow(term)
	c.pass(160 * time.Millisecond)
	c.turn(PeerDied{Peer: 2})
	c.turn(heartbeatOf(3, term))
	if lead := c.raft.BasicStatus().Lead; lead != raft.None {
		t.Errorf("it has forgotten n2, the leader of the term, and follows %d", lead)
	}
	c.turn(heartbeatOf(3, term+1))
	if lead := c.raft.BasicStatus().Lead; lead != 3 {
		t.Errorf("n3 leads the next term, and it follows %d", lead)
	}
}

// A faulty member claimed to lead, and died: the true leader of that term is believed after an election timeout, and not before. The other
// members hear that leader, so that no later term would come.
func TestForgottenFalseLeader(t *testing.T) {
	const term = 5
	c := newTestConsensus(t, limits.Defaults())
	c.follow(term)
	c.pass(160 * time.Millisecond)
	c.turn(PeerDied{Peer: 2})
	for at := time.Duration(0); ; at += c.HeartbeatInterval {
		switch c.turn(heartbeatOf(3, term)); {
		case c.raft.BasicStatus().Lead == 3 && at >= c.ElectionTimeout-c.HeartbeatInterval:
			return
		case c.raft.BasicStatus().Lead != raft.None || at > 2*c.ElectionTimeout:
			t.Fatalf("%v after it has forgotten n2, it follows %d", at, c.raft.BasicStatus().Lead)
		}
		c.pass(c.HeartbeatInterval)
	}
}

// A member that starts campaigns in its turn when a quorum is connected, and not before; a vote or a leader that it hears of ends that.
func TestStartCampaignsWhenConnected(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	c.elections.founding.unmet, c.last = []uint64{2}, foundingIndex+1
	if sent := c.pass(600 * time.Millisecond); preVotes(sent) != 0 {
		t.Fatalf("it has not met a founder, and asks for %d votes", preVotes(sent))
	}
	c = newTestConsensus(t, limits.Defaults())
	c.elections.founding.unmet = nil
	c.turn(Disconnected{Peer: 2}, Disconnected{Peer: 3})
	if sent := c.pass(600 * time.Millisecond); preVotes(sent) != 0 {
		t.Fatalf("nobody is connected, and it asks for %d votes", preVotes(sent))
	}
	first := time.Duration(c.heartbeatTicks()+campaignFirst) * TickInterval
	c.turn(Connected{Peer: 3})
	if sent := c.pass(first - TickInterval); preVotes(sent) != 0 {
		t.Errorf("it campaigns within %v", first)
	}
	if sent := c.pass(TickInterval); preVotes(sent) != 2 {
		t.Errorf("a quorum is connected for %v, and it asks for %d votes", first, preVotes(sent))
	}
	c = newTestConsensus(t, limits.Defaults())
	c.elections.founding.unmet = nil
	c.turn(Disconnected{Peer: 2}, Disconnected{Peer: 3})
	for range 4 { // a quorum that comes and goes: nobody would have been heard
		c.turn(Connected{Peer: 3})
		if sent := c.pass(first - TickInterval); preVotes(sent) != 0 {
			t.Fatalf("a quorum is connected again, for less than %v, and it asks for %d votes", first, preVotes(sent))
		}
		c.turn(Disconnected{Peer: 3})
		c.pass(TickInterval)
	}
	c = newTestConsensus(t, limits.Defaults())
	c.elections.founding.unmet = nil
	c.membership.confState = &raftpb.ConfState{Voters: []uint64{1, 2, 3}, VotersOutgoing: []uint64{1, 4, 5}}
	if sent := c.pass(600 * time.Millisecond); preVotes(sent) != 0 {
		t.Errorf("in an exchange of voters one half has no quorum, and it asks for %d votes", preVotes(sent))
	}
	for name, m := range map[string]ConsensusMessage{
		"a leader":    heartbeatOf(2, 3),
		"a candidate": from(3, raftpb.MsgVote, 3, func(m *raftpb.Message) { m.Index, m.LogTerm = u(1), u(1) }),
	} {
		c := newTestConsensus(t, limits.Defaults())
		c.elections.founding.unmet = nil
		c.turn(Connected{Peer: 3}, m)
		if sent := c.pass(3 * first); preVotes(sent) != 0 {
			t.Errorf("it has heard of %s, and asks for %d votes", name, preVotes(sent))
		}
	}
}

// Turns of a busy leader that last 60 ms delay no heartbeat by more than a turn.
func TestBusyLeaderBeats(t *testing.T) {
	const turns, each = 50, 6 // ticks
	c := newTestConsensus(t, limits.Defaults())
	c.lead()
	beats, batch := 0, append(slices.Repeat([]ConsensusMessage{Tick{}}, each), from(2, raftpb.MsgHeartbeatResp, c.term, nil))
	for range turns {
		c.at += each * TickInterval
		for _, m := range c.turn(batch...) {
			if r, ok := m.(peerframe.Raft); ok && r.GetType() == raftpb.MsgHeartbeat && r.GetTo() == 2 {
				beats++
			}
		}
	}
	if want := turns * each / (c.heartbeatTicks() + each); beats < want {
		t.Errorf("%d heartbeats in %d turns of %d ticks, want %d", beats, turns, each, want)
	}
	c.at += time.Hour
	for range 3 {
		c.turn(slices.Repeat([]ConsensusMessage{Tick{}}, 1000)...)
	}
	if s := c.raft.BasicStatus(); s.RaftState != raft.StateLeader {
		t.Errorf("after a pause the leader is %v", s.RaftState)
	}
}

// forget lets a voter suspect member 2, with member 3, and forget it.
func (c *consensusTurns) forget(term uint64) {
	c.t.Helper()
	of := peerframe.Suspects{Leader: 2, Term: term}
	c.pass(time.Duration(c.heartbeatTicks()+linkGrace) * TickInterval)
	c.turn(Received{3, of})
	if c.pass(TickInterval); c.raft.BasicStatus().Lead != raft.None {
		c.t.Fatal("it does not forget its leader")
	}
}

// The report of a voter that has forgotten the leader may be lost: it tells the others again, for an election timeout. A voter whose
// leader's process has died tells nobody.
func TestSuspicionIsToldAgain(t *testing.T) {
	const term = 5
	of := peerframe.Suspects{Leader: 2, Term: term}
	c := newTestConsensus(t, limits.Defaults())
	c.follow(term)
	c.learn(term, 0)
	c.forget(term)
	if sent := c.pass(2 * suspectsApart * TickInterval); suspicions(sent, of) != 2 {
		t.Errorf("it tells %d times that it suspects the leader that it has forgotten", suspicions(sent, of))
	}
	c.pass(time.Second)
	if sent := c.pass(time.Second); suspicions(sent, of) != 0 {
		t.Errorf("after an election timeout it tells %d times of its suspicion", suspicions(sent, of))
	}
	c = newTestConsensus(t, limits.Defaults())
	c.follow(term)
	c.pass(160 * time.Millisecond)
	if sent := append(c.turn(PeerDied{Peer: 2}), c.pass(500*time.Millisecond)...); suspicions(sent, of) != 0 {
		t.Errorf("the leader's process has died, and it tells %d times of a suspicion", suspicions(sent, of))
	}
}

// A leader that is heard within an election timeout was suspected by mistake: the next silence may be twice as long, whoever leads. An end
// of its connection, or a longer silence, shows no mistake; and a mistake is forgotten.
func TestMistakeMakesPatient(t *testing.T) {
	const term = 5
	next := func(c *consensusTurns) (ticks int) {
		c.turn(heartbeatOf(3, term+1))
		for range linkLeast + 1 {
			c.pass(c.HeartbeatInterval)
			c.turn(heartbeatOf(3, term+1))
		}
		for of := (peerframe.Suspects{Leader: 3, Term: term + 1}); ticks < 2*c.electionTicks(); {
			if ticks++; suspicions(c.pass(TickInterval), of) > 0 {
				break
			}
		}
		return ticks
	}
	usual := 10 + linkGrace
	for name, test := range map[string]struct {
		do   func(c *consensusTurns)
		want int
	}{
		"heard again":      {func(c *consensusTurns) { c.pass(90 * time.Millisecond); c.turn(heartbeatOf(2, term)) }, 2 * (usual + 1 + 9)},
		"an answer":        {func(c *consensusTurns) { c.turn(heartbeatOf(3, term+1), Received{2, peerframe.DiskSpace{}}) }, 2 * (usual + 1)},
		"another is heard": {func(c *consensusTurns) { c.turn(Received{3, peerframe.DiskSpace{}}) }, usual},
		"another process":  {func(c *consensusTurns) { c.turn(Disconnected{2}, Connected{Peer: 2}, heartbeatOf(2, term)) }, usual},
		"heard long after": {func(c *consensusTurns) { c.pass(time.Second); c.turn(heartbeatOf(2, term)) }, usual},
		"a mistake is renewed": {func(c *consensusTurns) {
			c.turn(heartbeatOf(2, term))
			c.elections.failover.mistakenFor = 3 * c.electionTicks()
			c.pass(2 * c.HeartbeatInterval)
			c.turn(heartbeatOf(2, term))
			c.pass(2 * c.HeartbeatInterval)
		}, 2 * (usual + 1)},
		"a mistake is aged": {func(c *consensusTurns) { c.turn(heartbeatOf(2, term)); c.elections.failover.mistakenFor = 3 }, usual},
	} {
		c := newTestConsensus(t, limits.Defaults())
		c.follow(term)
		c.learn(term, 0)
		c.forget(term)
		test.do(c)
		if got := next(c); got != test.want {
			t.Errorf("%s: the next leader is suspected after %d ticks, want %d", name, got, test.want)
		}
	}
}
