package actor

import (
	"testing"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/wire/peerframe"
)

// A lease clock is that of one leadership: what another leader has renewed since, it does not know.
func TestLeaseClockEndsWithItsLeadership(t *testing.T) {
	c := newTestMembers(t)
	var to replies
	c.turn(Propose{Proposal: kv.Proposal{ReplyTo: &to, Requests: []uint64{1}, Commands: []kv.Command{new(index.Head).AppendGrant(nil, kv.Lease{ID: 7, TTL: 5})}}})
	c.acknowledge()
	c.follow(c.term + 1)
	for end := c.at + 10*time.Second; c.at < end; {
		c.turn(heartbeatOf(2, c.term))
		c.pass(c.HeartbeatInterval)
	}
	c.lead()
	for range 200 {
		c.answerRounds(c.pass(TickInterval))
	}
	if one := c.leases.clock.leases[7]; one == nil || one.revoking {
		t.Errorf("10 s of another one's leadership later, and 2 s of the own one, a lease of 5 s is %+v", one)
	}
}

// A leader sends heartbeats however long its disk is at something: the disks of the others may be quicker.
func TestHeartbeatsOfASlowDisk(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	c.lead()
	c.stalled = true
	c.turn(Propose{Proposal: kv.Proposal{ReplyTo: new(replies), Requests: []uint64{1}, Commands: []kv.Command{new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k")})}}})
	heartbeats := 0
	for end := c.at + 2*c.ElectionTimeout; c.at < end; {
		sent := c.pass(TickInterval)
		for _, m := range sent {
			if m, ok := m.(peerframe.Raft); ok && m.GetType() == raftpb.MsgHeartbeat && m.GetTo() == 2 {
				heartbeats++
			}
		}
		c.answerRounds(sent)
	}
	if want := int(2*c.ElectionTimeout/c.HeartbeatInterval) - 1; heartbeats < want || c.raft.BasicStatus().RaftState != raft.StateLeader {
		t.Errorf("in %v of a disk that stands it has sent %d heartbeats, want %d, and is %v", 2*c.ElectionTimeout, heartbeats, want, c.raft.BasicStatus().RaftState)
	}
}

// What comes with the first word of another term's leader is forwarded in that term: who leads now takes nothing else.
func TestForwardWithTheFirstWordOfALeader(t *testing.T) {
	const term = 5
	c := newTestConsensus(t, limits.Defaults())
	c.follow(term)
	put := Propose{Proposal: kv.Proposal{ReplyTo: new(replies), Requests: []uint64{1}, Commands: []kv.Command{new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k")})}}}
	var forwarded []uint64
	for _, m := range c.turn(heartbeatOf(3, term+1), put) {
		if m, ok := m.(peerframe.Forward); ok {
			forwarded = append(forwarded, m.Term)
		}
	}
	if len(forwarded) != 1 || forwarded[0] != term+1 {
		t.Errorf("forwarded in the terms %v, want once in term %d", forwarded, term+1)
	}
}

// Reads whose round was one of another leader go to the next one at once.
func TestReadsGoToTheNextLeader(t *testing.T) {
	const term = 5
	c := newTestConsensus(t, limits.Defaults())
	c.follow(term)
	rounds := func(sent []peerframe.Message) (to []uint64) {
		for _, m := range sent {
			if m, ok := m.(peerframe.Raft); ok && m.GetType() == raftpb.MsgReadIndex {
				to = append(to, m.GetTo())
			}
		}
		return to
	}
	if to := rounds(c.turn(ReadIndex{ReplyTo: new(replies), Requests: []uint64{1}})); len(to) != 1 || to[0] != 2 {
		t.Fatalf("asked are %v", to)
	}
	if to := rounds(c.turn(heartbeatOf(3, term+1))); len(to) != 1 || to[0] != 3 {
		t.Errorf("another one leads, and asked are %v", to)
	}
}

// A log that another leader has cut ends where it was cut: a leader that counts on more than that is wrong about this member.
func TestHeartbeatBeyondACutLog(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	appends := func(leader, term, before, beforeTerm uint64, n int) {
		c.turn(from(leader, raftpb.MsgApp, term, func(m *raftpb.Message) {
			m.Index, m.LogTerm, m.Commit = u(before), u(beforeTerm), u(1)
			for i := range uint64(n) {
				m.Entries = append(m.Entries, someEntry(before+1+i, term))
			}
		}))
	}
	appends(2, 5, 1, 1, 9)
	appends(3, 6, 5, 5, 1)
	if last := lastIndex(c.Window); last != 6 || c.suspension.active() {
		t.Fatalf("the log ends at %d, %+v", last, c.suspension.Suspension)
	}
	c.turn(from(3, raftpb.MsgHeartbeat, 6, func(m *raftpb.Message) { m.Commit = u(8) }))
	if !c.suspension.active() {
		t.Error("the log ends at entry 6, and entry 8 is said to have been acknowledged")
	}
}

// A leader parts from a member that was removed by an entry behind that removal, not behind the one before.
func TestTwoAreRemoved(t *testing.T) {
	c := newTestMembers(t)
	peer := func(id uint64) bool { return c.told[len(c.told)-1].Get(id) != nil }
	for _, id := range []uint64{4, 5} {
		c.change(adding(id))
	}
	c.ask(removing(4))
	c.acknowledge()
	c.pass(TickInterval) // the entry behind it, which nobody else has yet
	c.ask(removing(5))
	c.acknowledge()
	if c.membership.records.Get(5) != nil || !peer(5) {
		t.Fatalf("members %+v, told of %+v", c.membership.records.All(), c.told[len(c.told)-1].All())
	}
	c.pass(TickInterval)
	c.turn(Propose{Proposal: kv.Proposal{ReplyTo: new(replies), Requests: []uint64{1}, Commands: []kv.Command{new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k")})}}})
	c.pass(TickInterval)
	if !peer(5) {
		t.Error("it parts from member 5 when no other disk knows that its removal is committed")
	}
	c.acknowledge()
	c.pass(TickInterval)
	c.acknowledge()
	if c.pass(TickInterval); peer(4) || peer(5) {
		t.Errorf("it still talks to %+v", c.told[len(c.told)-1].All())
	}
}

// What a leader has accepted, and raft had no room for, is void when its term is over: its sender tells its clients that it certainly
// did not happen.
func TestAcceptedForwardsAreVoidInAnotherTerm(t *testing.T) {
	l := limits.Defaults()
	l.UncommittedBytes = 1000
	c := newTestConsensus(t, l)
	c.lead()
	for i := range uint64(3) {
		c.turn(Received{From: 3, Message: peerframe.Forward{Term: c.term, Oldest: 1, Envelope: envelope(3, 5, 1+i, 900)}})
	}
	proposed := 3 - len(c.accepted.deferred)
	if proposed == 3 {
		t.Fatal("raft has room for all of it")
	}
	c.follow(c.term + 1)
	c.lead()
	for range 3 {
		c.acknowledge()
		c.pass(TickInterval)
	}
	if got := c.appliedFirsts(3); len(got) > proposed {
		t.Errorf("%d batches were proposed in the first term, and in the log are %v", proposed, got)
	}
}

// What was forwarded in one term is not forwarded in another one: it may be in the log already.
func TestForwardsAreVoidInAnotherTerm(t *testing.T) {
	const term = 5
	c := newTestConsensus(t, limits.Defaults())
	c.follow(term)
	put := Propose{Proposal: kv.Proposal{ReplyTo: new(replies), Requests: []uint64{1}, Commands: []kv.Command{new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k")})}}}
	if sent := forwardedFirsts(t, c.turn(put)); len(sent) != 1 {
		t.Fatalf("forwarded are %v", sent)
	}
	for begun := c.at; c.at-begun < 5*c.ElectionTimeout; {
		sent := append(c.turn(heartbeatOf(3, term+1)), c.pass(c.HeartbeatInterval)...)
		if again := forwardedFirsts(t, sent); len(again) > 0 {
			t.Fatalf("after %v in the next term %v are forwarded again", c.at-begun, again)
		}
	}
}
