package actor

import (
	"errors"
	"slices"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/wire/peerframe"
)

// What a member decides about itself by what others say: one word holds it back, a leader's or a second one ends its
// part, and who commits with a quorum without the accuser goes on.
func TestSuspension(t *testing.T) {
	const me, n2, n3, n4, n5 = 1, 2, 3, 4, 5
	const election = time.Second
	type step func(q *suspension, now time.Duration) string
	// decide takes what a word leads to.
	says := func(by uint64, leads, serving bool) step {
		return func(q *suspension, _ time.Duration) string {
			next, overruled := q.accuse(by, Refusal{Forgot: true, Leads: leads, Text: "forgot"}, serving)
			if overruled {
				return "overruled"
			}
			if next != q.Suspension {
				if err := q.set(next); err != nil {
					return err.Error()
				}
			}
			return ""
		}
	}
	// doubts is the word of one that takes no part itself.
	doubts := func(by uint64) step {
		return func(q *suspension, _ time.Duration) string {
			if next, _ := q.accuse(by, Refusal{Forgot: true, Suspended: true, Text: "forgot"}, false); next != q.Suspension {
				_ = q.set(next)
			}
			return ""
		}
	}
	lift := func(over bool, q *suspension) string {
		if !over {
			return ""
		}
		if err := q.set(Suspension{}); err != nil {
			return err.Error()
		}
		return "lifted"
	}
	admits := func(by uint64) step {
		return func(q *suspension, _ time.Duration) string { return lift(q.admitted(by, false), q) }
	}
	leads := func(leader, term uint64) step {
		return func(q *suspension, now time.Duration) string {
			return lift(q.recordHeartbeat(leader, term, now, election), q)
		}
	}
	three, five := []uint64{me, n2, n3}, []uint64{me, n2, n3, n4, n5}
	accused := func(of, by uint64, voters []uint64) step {
		return func(q *suspension, now time.Duration) string {
			return lift(q.recordAccusation(accusation{by: by, of: of, at: now}, election, me, voters), q)
		}
	}
	type turn struct {
		at   time.Duration
		do   step
		said string
		then string // part, held or out
	}
	for _, c := range []struct {
		name  string
		turns []turn
	}{
		{"a leader's word", []turn{{0, says(n2, true, false), "", "out"}}},
		{"one member's word", []turn{{0, says(n2, false, false), "", "held"}, {0, says(n2, false, false), "", "held"}}},
		{"two members' words", []turn{{0, says(n2, false, false), "", "held"}, {0, says(n3, false, false), "", "out"}}},
		{"two words of those that take no part", []turn{
			{0, doubts(n2), "", "held"},
			{0, doubts(n3), "", "held"},
			{0, leads(n4, 7), "", "held"},
			{election, leads(n4, 7), "", "held"},
			{2 * election, leads(n4, 7), "", "held"},
			{3 * election, leads(n4, 7), "lifted", "part"},
		}},
		{"one of two takes part", []turn{{0, doubts(n2), "", "held"}, {0, says(n3, false, false), "", "held"}, {0, admits(n2), "", "held"}, {0, doubts(n2), "", "held"}, {0, says(n4, false, false), "", "out"}}},
		{"one of two took part once", []turn{{0, says(n2, false, false), "", "held"}, {0, doubts(n2), "", "held"}, {0, says(n3, false, false), "", "held"}}},
		{"a leader's word behind that of one that takes no part", []turn{{0, doubts(n2), "", "held"}, {0, says(n3, true, false), "", "out"}}},
		{"the same member leads now", []turn{{0, says(n2, false, false), "", "held"}, {0, says(n2, true, false), "", "out"}}},
		{"in a quorum without the accuser", []turn{{0, says(n2, false, true), "overruled", "part"}, {0, says(n3, false, true), "overruled", "part"}}},
		{"in a quorum without somebody who thinks that it leads", []turn{{0, says(n2, true, true), "overruled", "part"}}},
		{"the accuser admits it", []turn{{0, says(n2, false, false), "", "held"}, {0, admits(n3), "", "held"}, {0, admits(n2), "lifted", "part"}}},
		{"nothing ends the second word", []turn{
			{0, says(n2, false, false), "", "held"},
			{0, says(n3, false, false), "", "out"},
			{0, admits(n2), "", "out"},
			{0, admits(n3), "", "out"},
			{0, leads(n4, 7), "", "out"},
			{5 * election, leads(n4, 7), "", "out"},
			{0, accused(n4, n2, three), "", "out"},
			{0, accused(n3, n2, three), "", "out"},
		}},
		{"a leader goes on without it", []turn{
			{0, says(n2, false, false), "", "held"},
			{0, leads(n3, 7), "", "held"},
			{election, leads(n3, 7), "", "held"},
			{2 * election, leads(n3, 7), "", "held"},
			{3 * election, leads(n3, 7), "lifted", "part"},
		}},
		{"a leader that is heard, and the word once more", []turn{
			{0, says(n2, false, false), "", "held"},
			{0, leads(n3, 7), "", "held"},
			{election, leads(n3, 7), "", "held"},
			{2 * election, leads(n3, 7), "", "held"},
			{3 * election, leads(n3, 7), "lifted", "part"},
			{3 * election, says(n2, false, false), "", "held"},
			{3*election + 1, leads(n3, 7), "", "held"},
		}},
		{"a leader with a break", []turn{
			{0, says(n2, false, false), "", "held"},
			{0, leads(n3, 7), "", "held"},
			{election, leads(n3, 7), "", "held"},
			{3 * election, leads(n3, 7), "", "held"},
			{4 * election, leads(n3, 7), "", "held"},
		}},
		{"leaders of several terms", []turn{
			{0, says(n2, false, false), "", "held"},
			{0, leads(n3, 7), "", "held"},
			{election, leads(n3, 7), "", "held"},
			{2 * election, leads(n3, 8), "", "held"},
			{3 * election, leads(n3, 8), "", "held"},
		}},
		{"the accuser does not show that a quorum admits it", []turn{
			{0, says(n2, false, false), "", "held"},
			{0, leads(n2, 7), "", "held"},
			{election, leads(n2, 7), "", "held"},
			{2 * election, leads(n2, 7), "", "held"},
			{3 * election, leads(n2, 7), "", "held"},
		}},
		{"a quorum of three is accused by the third", []turn{{0, says(n2, false, false), "", "held"}, {0, accused(n3, n2, three), "lifted", "part"}}},
		{"the other one told first", []turn{{0, accused(n3, n2, three), "", "part"}, {0, says(n2, false, false), "", "held"}, {election, accused(n3, n2, three), "lifted", "part"}}},
		{"a learner is accused, and no other voter of three", []turn{{0, says(n2, false, false), "", "held"}, {0, accused(n4, n2, three), "", "held"}}},
		{"a learner that is held back is not of the quorum", []turn{{0, says(n2, false, false), "", "held"}, {0, accused(n3, n2, []uint64{n2, n3, n4}), "", "held"}}},
		{"two of five are accused", []turn{{0, says(n2, false, false), "", "held"}, {0, accused(n3, n2, five), "", "held"}, {election, accused(n3, n2, five), "", "held"}}},
		{"three of five are accused", []turn{{0, says(n2, false, false), "", "held"}, {0, accused(n3, n2, five), "", "held"}, {election, accused(n4, n2, five), "lifted", "part"}}},
		{"accused by different ones", []turn{{0, says(n2, false, false), "", "held"}, {0, accused(n3, n5, three), "", "held"}}},
		{"what was told long ago", []turn{{0, says(n2, false, false), "", "held"}, {0, accused(n3, n2, five), "", "held"}, {4 * election, accused(n4, n2, five), "", "held"}}},
	} {
		var written []Suspension
		q := newSuspension(Suspension{}, func(q Suspension) error { written = append(written, q); return nil })
		for i, turn := range c.turns {
			said := turn.do(&q, turn.at)
			is := "part"
			switch {
			case q.heldBack():
				is = "held"
			case q.active():
				is = "out"
			}
			if said != turn.said || is != turn.then {
				t.Errorf("%s: after turn %d it is %s (%q), want %s (%q)", c.name, i+1, is, said, turn.then, turn.said)
				break
			}
			if len(written) > 0 && written[len(written)-1] != q.Suspension {
				t.Errorf("%s: after turn %d it is %+v, and written is %+v", c.name, i+1, q.Suspension, written)
			}
		}
	}
}

func TestSuspensionIsDurableFirst(t *testing.T) {
	full := errors.New("no space")
	q := newSuspension(Suspension{}, func(Suspension) error { return full })
	if err := q.set(Suspension{Reason: "forgot"}); !errors.Is(err, full) || q.active() {
		t.Errorf("suspended by what is not on the disk: %v", err)
	}
	q.Suspension = Suspension{Reason: "forgot"}
	if err := q.set(Suspension{}); !errors.Is(err, full) || !q.active() {
		t.Errorf("it takes part, and its disk says that it does not: %v", err)
	}
}

// Whoever asks a member that takes no part is told why, whatever it is.
func TestSuspensionIsSaid(t *testing.T) {
	for _, q := range []Suspension{{Reason: "it has forgotten"}, {Reason: "it has forgotten, says 2", By: 2}, {Reason: "its state differs", Differs: true}} {
		s := &Status{}
		s.Alarm(q.Alarm())
		if said := s.Suspended(); said != q.Alarm() {
			t.Errorf("of %+v is said %+v", q, said)
		}
	}
}

// A connection to the accuser says nothing yet: it may stand on this side before the accuser has judged. Only who admits a
// member sends it anything.
func TestConnectionDoesNotAdmit(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	c.turn(Connected{Peer: 2}, Refused{Peer: 2, Refusal: Refusal{Forgot: true, Text: "it has forgotten"}}, Disconnected{Peer: 2})
	c.turn(Connected{Peer: 2})
	if !c.suspension.heldBack() {
		t.Fatalf("a connection admits it: %+v", c.suspension.Suspension)
	}
	c.turn(from(3, raftpb.MsgPreVote, 2, nil))
	if !c.suspension.heldBack() {
		t.Fatalf("another member than the accuser admits it: %+v", c.suspension.Suspension)
	}
	c.turn(from(2, raftpb.MsgPreVote, 2, nil))
	if c.suspension.active() {
		t.Errorf("what the accuser sends does not admit it: %+v", c.suspension.Suspension)
	}
}

// Who has admitted this member is no second one that refuses it.
func TestAdmittingAccuserIsNoSecond(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	forgot := Refusal{Forgot: true, Text: "it has forgotten"}
	c.turn(Refused{2, forgot}, Connected{Peer: 2}, from(2, raftpb.MsgPreVote, 2, nil))
	if c.suspension.active() {
		t.Fatalf("its accuser has admitted it: %+v", c.suspension.Suspension)
	}
	if c.turn(Refused{3, forgot}, Refused{3, forgot}); !c.suspension.heldBack() {
		t.Errorf("on the word of one member: %+v", c.suspension.Suspension)
	}
}

// A learner has no vote, so that its part is none of a quorum's: with one that the accuser refuses too, the others are as many voters
// as before.
func TestAccusedLearnerIsNoVoter(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	const learner = 9
	c.membership.confState.Learners, c.last = []uint64{learner}, foundingIndex+1
	c.turn(Refused{Peer: 2, Refusal: Refusal{Forgot: true, Text: "it has forgotten"}})
	c.turn(Received{From: learner, Message: peerframe.Accused{By: 2}})
	if !c.suspension.heldBack() {
		t.Fatalf("with a learner that is accused, too, it takes part again: %+v", c.suspension.Suspension)
	}
	c.turn(Received{From: 3, Message: peerframe.Accused{By: 2}})
	if c.suspension.active() {
		t.Errorf("two of three voters are accused by the third, and it takes no part: %+v", c.suspension.Suspension)
	}
}

// A learner may be the only one that knows more than voters that were all put back to an earlier moment, and one that was added since
// is not even known to them. They tell each other of it as of a voter, and a quorum of them goes on.
func TestAccusationOfWhoHasNoVoteIsTold(t *testing.T) {
	for _, learners := range [][]uint64{{9}, nil} {
		c := newTestConsensus(t, limits.Defaults())
		c.membership.confState.Learners, c.last = learners, foundingIndex+1
		sent := c.turn(Refused{Peer: 9, Refusal: Refusal{Forgot: true, Text: "it has forgotten"}})
		if told := slices.DeleteFunc(sent, func(m peerframe.Message) bool { return m != peerframe.Message(peerframe.Accused{By: 9}) }); !c.suspension.heldBack() || len(told) != 2 {
			t.Fatalf("learners %v: two other voters are told %v, held back: %v", learners, told, c.suspension.heldBack())
		}
		if c.turn(Received{From: 3, Message: peerframe.Accused{By: 9}}); c.suspension.active() {
			t.Errorf("learners %v: two of three voters are accused by one that has no vote, and it takes no part: %+v", learners, c.suspension.Suspension)
		}
	}
}

// Two of three that lost their disks, and were founded anew, are a quorum, but of an empty cluster: the third one has what was
// acknowledged.
func TestAccusedWithoutLogIsHeldBack(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	c.turn(Refused{Peer: 2, Refusal: Refusal{Forgot: true, Text: "it has forgotten"}})
	if c.turn(Received{From: 3, Message: peerframe.Accused{By: 2}}); !c.suspension.heldBack() {
		t.Errorf("its log is empty, and it takes part: %+v", c.suspension.Suspension)
	}
}

// Whose word was overruled, and who was removed then, is none of the two that end a member's part.
func TestRemovedAccuserIsNoSecond(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	c.follow(2)
	c.applyingTerm = c.term // what the leader has begun its term with is committed
	forgot := Refusal{Forgot: true, Text: "it has forgotten"}
	if c.turn(Refused{3, forgot}); c.suspension.active() {
		t.Fatalf("in a quorum without the accuser: %+v", c.suspension.Suspension)
	}
	without, refused := c.membership.records.Change(&kv.MemberChange{Kind: kv.RemoveMember, ID: 3}, 0)
	if refused != nil {
		t.Fatal(refused)
	}
	c.turn(membersChanged{Members: without, At: 2, Change: configurationChange(c.membership.records.Configuration(), without.Configuration())})
	c.pass(3 * c.ElectionTimeout) // the leader is silent
	if c.turn(Refused{2, forgot}, Refused{2, forgot}); !c.suspension.heldBack() {
		t.Errorf("on the word of one member: %+v", c.suspension.Suspension)
	}
}

// Who commits with a leader's quorum does not overrule that leader: it is in that quorum.
func TestOwnLeaderIsNotOverruled(t *testing.T) {
	for _, said := range []Refusal{{Forgot: true, Leads: true, Text: "it has forgotten"}, {Forgot: true, Text: "it has forgotten"}} {
		c := newTestConsensus(t, limits.Defaults())
		c.follow(2)
		c.applyingTerm = c.term
		if c.turn(Refused{2, said}); !c.suspension.active() || c.suspension.heldBack() == said.Leads {
			t.Errorf("on the word of its leader (%+v): %+v", said, c.suspension.Suspension)
		}
	}
}

// A leader of a term that is over has no quorum, however long its heartbeats go on.
func TestOldLeaderAdmitsNobody(t *testing.T) {
	for _, term := range []uint64{4, 5} {
		c := newTestConsensus(t, limits.Defaults())
		c.follow(5)
		c.turn(Refused{Peer: 3, Refusal: Refusal{Forgot: true, Text: "it has forgotten"}})
		for begun := c.at; c.at-begun < 4*c.ElectionTimeout; c.at += c.HeartbeatInterval {
			c.turn(from(2, raftpb.MsgHeartbeat, term, nil))
		}
		if c.suspension.heldBack() != (term < 5) {
			t.Errorf("in term 5, with heartbeats of term %d: %+v", term, c.suspension.Suspension)
		}
	}
}

// A suspension that is lifted takes its alarm with it, whichever it was.
func TestLiftedSuspensionIsSaidNoMore(t *testing.T) {
	for _, why := range []ConsensusMessage{Differs{Reason: "its state differs"}, Refused{Peer: 2, Refusal: Refusal{Forgot: true, Leads: true, Text: "it has forgotten"}}} {
		c := newTestConsensus(t, limits.Defaults())
		if c.turn(why); !c.suspension.active() || len(c.Status.Alarms()) != 1 {
			t.Fatalf("%+v: %+v, alarms %+v", why, c.suspension.Suspension, c.Status.Alarms())
		}
		if c.turn(Readmit{}); c.suspension.active() || len(c.Status.Alarms()) != 0 {
			t.Errorf("%+v, and lifted: %+v, alarms %+v", why, c.suspension.Suspension, c.Status.Alarms())
		}
	}
}
