package actor

import (
	"math"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/wire/peerframe"
)

// answerRounds answers the heartbeats among what was sent, for member 2.
func (c *consensusTurns) answerRounds(sent []peerframe.Message) (more []peerframe.Message) {
	for _, m := range sent {
		if r, ok := m.(peerframe.Raft); ok && r.GetType() == raftpb.MsgHeartbeat && r.GetTo() == 2 {
			more = append(more, c.turn(from(2, raftpb.MsgHeartbeatResp, r.GetTerm(), func(h *raftpb.Message) { h.Context = r.GetContext() }))...)
		}
	}
	return more
}

// A keep-alive is answered only when a quorum has shown, after it came, that this member leads; and what has expired is
// revoked only then.
func TestKeepAliveWaitsForAQuorum(t *testing.T) {
	c := newTestMembers(t)
	var to replies
	c.turn(Propose{Proposal: kv.Proposal{ReplyTo: &to, Requests: []uint64{1}, Commands: []kv.Command{new(index.Head).AppendGrant(nil, kv.Lease{ID: 7, TTL: 5})}}})
	c.acknowledge()
	if len(to) != 1 || to[0].Result.Err != nil {
		t.Fatalf("granted: %+v", to)
	}
	to = nil
	ask := AskLeases{ReplyTo: &to, Requests: []uint64{2, 3, 4}, Asks: []kv.LeaseAsk{{Lease: 7, Renew: true}, {Lease: 8, Renew: true}, {Lease: 7}}}
	before := c.turn(ask)
	before = append(before, c.pass(TickInterval)...)
	if len(to) > 0 {
		t.Fatalf("answered before a quorum was heard: %+v", to)
	}
	c.answerRounds(before)
	if len(to) != 3 || to[0].Lease == nil || *to[0].Lease != (kv.LeaseTime{TTL: 5, Granted: 5}) || *to[1].Lease != (kv.LeaseTime{}) || *to[2].Lease != (kv.LeaseTime{TTL: 5, Granted: 5}) {
		t.Fatalf("answered: %+v", to)
	}
	for _, done := range to {
		if done.Kind != kv.LeaseTold {
			t.Errorf("answered as %+v", done)
		}
	}
	// A follower's, likewise.
	number := peerframe.LeaseAsk{Number: 99, LeaseAsk: kv.LeaseAsk{Lease: 7, Renew: true}}
	c.turn(Received{From: 3, Message: peerframe.LeaseAsks{Asks: []peerframe.LeaseAsk{number}}})
	var told []peerframe.LeaseTimes
	for _, m := range c.answerRounds(c.pass(TickInterval)) {
		if m, ok := m.(peerframe.LeaseTimes); ok {
			told = append(told, m)
		}
	}
	if len(told) != 1 || len(told[0].Times) != 1 || told[0].Times[0] != (peerframe.LeaseTime{Number: 99, LeaseTime: kv.LeaseTime{TTL: 5, Granted: 5}}) {
		t.Errorf("a follower is told %+v", told)
	}
	revoking := func() bool { return c.leases.clock.leases[7] == nil || c.leases.clock.leases[7].revoking }
	for end := c.at + 4900*time.Millisecond; c.at < end; {
		c.answerRounds(c.pass(TickInterval))
	}
	if revoking() {
		t.Error("revoked before its end")
	}
	c.pass(300 * time.Millisecond) // nobody answers
	if revoking() {
		t.Error("revoked without a quorum")
	}
	for range 150 {
		c.answerRounds(c.pass(TickInterval))
	}
	if !revoking() {
		t.Error("not revoked after its end")
	}
	c.acknowledge()
	if len(c.leases.clock.leases) != 0 || c.Status.View().LeaseCount() != 0 {
		t.Error("the lease is still there")
	}
}

// The lease clock begins with a state that holds an entry of the leader's term: before, notes of what is left may be committed and not
// be in it, and leases that were renewed since would end by older ones.
func TestLeaseClockWaitsForTheTerm(t *testing.T) {
	c := newTestMembers(t)
	c.leases.clock.stop()
	c.membership.appliedTerm--
	if c.leases.startClock(&c.core); c.leases.clock.running {
		t.Error("it begins with a state of the term before")
	}
	c.membership.appliedTerm++
	if c.leases.startClock(&c.core); !c.leases.clock.running {
		t.Error("it does not begin")
	}
}

// A round says what was committed when it began: a lease that was granted by then is known when that is applied.
func TestAsksWaitForWhatIsCommitted(t *testing.T) {
	c := newTestMembers(t)
	k, applied := &c.leases.clock, c.raft.BasicStatus().Applied
	k.openAsks++
	k.confirmed = []leaseRound{{index: applied + 1, asks: []clockAsk{{LeaseAsk: peerframe.LeaseAsk{Number: 1, LeaseAsk: kv.LeaseAsk{Lease: 7, Renew: true}}, from: 2}}}}
	if c.leases.answerAsks(&c.core); len(k.confirmed) != 1 || len(k.unsent) != 0 {
		t.Errorf("entry %d is applied, and a question that needs the next one is answered with %+v", applied, k.unsent)
	}
	k.confirmed[0].index = applied
	if c.leases.answerAsks(&c.core); len(k.confirmed) != 0 || len(k.unsent) != 1 {
		t.Errorf("told are %+v", k.unsent)
	}
}

// Before a planned stop or transfer the remaining times of leases are checkpointed, in entries that the next leader must have. A renewed
// lease needs none. Without a voter that could take over, too: a single member's lease goes on after its restart.
func TestTransferCheckpointsLeases(t *testing.T) {
	for _, connected := range []bool{true, false} {
		c := newTestMembers(t)
		c.grant(15, 7, 3)
		for end := c.at + 5*time.Second; c.at < end; {
			c.answerRounds(c.pass(TickInterval))
		}
		var to replies
		c.answerRounds(append(c.turn(AskLeases{ReplyTo: &to, Requests: []uint64{1}, Asks: []kv.LeaseAsk{{Lease: 8, Renew: true}}}), c.pass(TickInterval)...))
		if len(to) != 1 || c.checkpointed() != 0 {
			t.Fatalf("answered: %+v; %d leases have a checkpoint before the transfer", to, c.checkpointed())
		}
		if !connected {
			c.connected = map[uint64]bool{}
		}
		last := c.last
		for _, m := range c.turn(Transfer{}, Transfer{}) {
			if r, ok := m.(peerframe.Raft); ok && r.GetType() == raftpb.MsgTimeoutNow {
				t.Error("a member is told to lead that does not have the checkpoints")
			}
		}
		if c.last != last+1 {
			t.Errorf("%d entries are proposed, want one with the checkpoints", c.last-last)
		}
		told := false
		for _, m := range c.acknowledge() {
			r, ok := m.(peerframe.Raft)
			told = told || ok && r.GetType() == raftpb.MsgTimeoutNow
		}
		if told != connected {
			t.Errorf("a connected voter: %v; a voter is told to lead: %v", connected, told)
		}
		left := map[int64]int64{}
		c.Status.View().Leases(math.MinInt64, func(l kv.Lease) bool {
			left[l.ID] = l.Remaining
			return true
		})
		if left[7] != 10 || left[8] != 0 || left[9] != 10 {
			t.Errorf("remaining seconds by lease are %v", left)
		}
	}
}

// Many leaders in a row, each for less than a checkpoint takes to become due, end a lease nevertheless, and never early.
func TestLeaseEndsWhileTheLeaderIsMoved(t *testing.T) {
	const ttl, tenure = 15, 2100 * time.Millisecond // an election timeout of it, and what rounding adds, count for nothing
	l := kv.Lease{ID: 7, TTL: ttl, Remaining: ttl}
	lived := time.Duration(0)
	for moves := 0; ; moves++ {
		c := newClockTest(t, l)
		for end := c.now + tenure; c.now < end; c.now += TickInterval {
			lived += TickInterval
			c.k.tick(c.now, testTiming)
			c.round()
		}
		if len(c.k.due) == 0 {
			break
		}
		c.k.queueCheckpoints(c.k.time(c.now))
		c.propose()
		c.apply(len(c.log))
		if l.Remaining = c.k.leases[7].checkpointed; moves > 3*ttl {
			t.Fatalf("after %d moves %d s are left", moves, l.Remaining)
		}
	}
	if lived < ttl*time.Second {
		t.Errorf("the lease lived for %v", lived)
	}
}

// grant grants leases of a TTL, from an id on.
func (c *consensusTurns) grant(ttl, id int64, n int) {
	c.t.Helper()
	for ; n > 0; n -= limits.BatchCommands {
		var to replies
		p := kv.Proposal{ReplyTo: &to}
		for range min(n, limits.BatchCommands) {
			p.Requests, p.Commands = append(p.Requests, uint64(id)), append(p.Commands, new(index.Head).AppendGrant(nil, kv.Lease{ID: id, TTL: ttl}))
			id++
		}
		c.turn(Propose{Proposal: p})
		c.acknowledge()
		for _, done := range to {
			if done.Result.Err != nil {
				c.t.Fatalf("granted: %+v", done)
			}
		}
	}
}

// checkpointed is the number of leases whose remaining time is in the state.
func (c *consensusTurns) checkpointed() (n int) {
	c.Status.View().Leases(math.MinInt64, func(l kv.Lease) bool {
		if l.Remaining != 0 {
			n++
		}
		return true
	})
	return n
}

// Checkpoints that are due together are entries of a bounded size. Peers drop an append with an entry beyond limits.EnvelopeBytes, and
// nothing is committed after it.
func TestEntriesOfCheckpoints(t *testing.T) {
	c := newTestMembers(t)
	const all = 32 * limits.LeaseCheckpoints
	c.grant(60, math.MaxInt64-all, all)
	c.leases.clock.stopped -= 26 * time.Second // as if nobody had renewed them for so long
	longest := 0
	for n := 0; c.checkpointed() < all; n++ {
		if n == 100 {
			t.Fatalf("%d of %d leases have a checkpoint after %d ticks", c.checkpointed(), all, n)
		}
		for _, m := range append(c.pass(TickInterval), c.acknowledge()...) {
			if r, ok := m.(peerframe.Raft); ok {
				for _, e := range r.GetEntries() {
					longest = max(longest, len(e.GetData()))
				}
			}
		}
	}
	if most := 32 * limits.LeaseCheckpoints; longest > most {
		t.Errorf("an entry has %d bytes, at most %d are wanted", longest, most)
	}
}

// Checkpoints that raft has no space for are proposed when it has.
func TestCheckpointsThatAreNotProposed(t *testing.T) {
	bounds := limits.Defaults()
	bounds.UncommittedBytes = 1
	c := newTestMembersWith(t, bounds)
	c.grant(60, 7, 3)
	var to replies
	c.turn(Propose{Proposal: kv.Proposal{ReplyTo: &to, Requests: []uint64{1}, Commands: []kv.Command{new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k")})}}})
	c.leases.clock.stopped -= 26 * time.Second
	if c.pass(3 * TickInterval); c.checkpointed() != 0 || !c.leases.clock.retryFirst {
		t.Fatal("raft has taken checkpoints")
	}
	c.acknowledge()
	c.acknowledge()
	if n := c.checkpointed(); n != 3 {
		t.Errorf("%d leases have a checkpoint", n)
	}
}

// A leader whose process stood still for longer than a lease lives renews it: nobody could while it did. A keep-alive that waited meanwhile
// may be the first message of the next turn, and the turn may have no tick.
func TestKeepAliveBehindAStandstill(t *testing.T) {
	own := AskLeases{Requests: []uint64{2}, Asks: []kv.LeaseAsk{{Lease: 7, Renew: true}}}
	others := Received{From: 3, Message: peerframe.LeaseAsks{Asks: []peerframe.LeaseAsk{{Number: 2, LeaseAsk: own.Asks[0]}}}}
	for what, wakes := range map[string][][]ConsensusMessage{
		"a tick, then its own client":            {{Tick{}}, {own}},
		"its own client and a tick":              {{own, Tick{}}},
		"its own client":                         {{own}},
		"another member's client and a tick":     {{others, Tick{}}},
		"another member's client":                {{others}},
		"another member's client before a while": {{others}, {Tick{}}},
	} {
		c := newTestMembers(t)
		c.grant(5, 7, 1)
		c.answerRounds(c.pass(TickInterval))
		c.at += time.Minute
		var to replies
		var sent []peerframe.Message
		for _, batch := range wakes {
			if ask, ok := batch[0].(AskLeases); ok {
				ask.ReplyTo = &to
				batch[0] = ask
			}
			sent = append(sent, c.answerRounds(c.turn(batch...))...)
		}
		for range 10 {
			sent = append(sent, c.answerRounds(c.pass(TickInterval))...)
		}
		for _, m := range sent {
			if m, ok := m.(peerframe.LeaseTimes); ok {
				to = append(to, kv.Completion{Lease: &m.Times[0].LeaseTime})
			}
		}
		if len(to) != 1 || to[0].Lease == nil || *to[0].Lease != (kv.LeaseTime{TTL: 5, Granted: 5}) {
			t.Errorf("%s: answered %+v", what, to)
		}
	}
}

// A renewal that waits for its checkpoint is answered although this process stood still before the checkpoint was applied.
func TestCheckpointBehindAStandstill(t *testing.T) {
	c := newTestMembers(t)
	c.grant(60, 7, 1)
	c.leases.clock.stopped -= 26 * time.Second
	c.pass(TickInterval)
	if c.acknowledge(); c.checkpointed() != 1 {
		t.Fatal("the lease has no checkpoint")
	}
	var to replies
	c.turn(AskLeases{ReplyTo: &to, Requests: []uint64{2}, Asks: []kv.LeaseAsk{{Lease: 7, Renew: true}}})
	if c.answerRounds(c.pass(TickInterval)); len(to) > 0 {
		t.Fatalf("answered before its checkpoint was committed: %+v", to)
	}
	c.at += 2 * time.Minute
	if c.acknowledge(); len(to) != 1 || to[0].Lease == nil || *to[0].Lease != (kv.LeaseTime{TTL: 60, Granted: 60}) {
		t.Errorf("answered: %+v", to)
	}
}

// A follower's clients ask its leader, and another one when there is another one.
func TestFollowerAsksItsLeader(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	var to replies
	heartbeat := func(leader, term uint64) []peerframe.Message {
		return c.turn(from(leader, raftpb.MsgHeartbeat, term, func(m *raftpb.Message) { m.Commit = u(0) }))
	}
	asked := func(of uint64, sent []peerframe.Message) (numbers []uint64) {
		for _, m := range sent {
			if m, ok := m.(peerframe.LeaseAsks); ok {
				for _, one := range m.Asks {
					if one.Lease != 7 || !one.Renew {
						t.Errorf("%d is asked %+v", of, one)
					}
					numbers = append(numbers, one.Number)
				}
			}
		}
		return numbers
	}
	heartbeat(2, 5)
	c.turn(AskLeases{ReplyTo: &to, Requests: []uint64{1}, Asks: []kv.LeaseAsk{{Lease: 7, Renew: true}}})
	first := asked(2, c.pass(TickInterval))
	again := asked(2, c.pass(TickInterval))
	if len(first) != 1 || len(again) != 0 {
		t.Fatalf("asked %v, then %v", first, again)
	}
	heartbeat(3, 6)
	second := asked(3, c.pass(TickInterval))
	if len(second) != 1 {
		t.Fatalf("the next leader is asked %v", second)
	}
	c.turn(Received{From: 2, Message: peerframe.LeaseTimes{Times: []peerframe.LeaseTime{{Number: first[0], LeaseTime: kv.LeaseTime{}}}}})
	if len(to) != 0 {
		t.Errorf("the word of the leader before is taken: %+v", to)
	}
	c.turn(Received{From: 3, Message: peerframe.LeaseTimes{Times: []peerframe.LeaseTime{{Number: second[0], LeaseTime: kv.LeaseTime{TTL: 9, Granted: 9}}}}})
	if len(to) != 1 || to[0].Request != 1 || *to[0].Lease != (kv.LeaseTime{TTL: 9, Granted: 9}) {
		t.Errorf("answered: %+v", to)
	}
}

// The questions of a follower's clients go in frames that the leader takes, and none is lost.
func TestQuestionsForLeasesFitFrames(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	c.turn(from(2, raftpb.MsgHeartbeat, 5, func(m *raftpb.Message) { m.Commit = u(0) }))
	const all = 2*limits.LeaseAsks + 1
	var to replies
	c.turn(AskLeases{ReplyTo: &to, Requests: make([]uint64, all), Asks: make([]kv.LeaseAsk, all)})
	asked := 0
	for _, m := range c.pass(TickInterval) {
		if m, ok := m.(peerframe.LeaseAsks); ok {
			if asked += len(m.Asks); len(m.Asks) > limits.LeaseAsks {
				t.Errorf("a frame with %d questions, the leader takes %d", len(m.Asks), limits.LeaseAsks)
			}
		}
	}
	if asked != all {
		t.Errorf("%d of %d questions were sent", asked, all)
	}
}

// A member that has installed a snapshot follows the leases of the state that came with it.
func TestLeasesBehindASnapshot(t *testing.T) {
	a, _ := newTestApplier(t)
	other := index.NewState(limits.Defaults().Index)
	other.Found(index.Founders(map[string]uint64{"n1": 1, "n2": 2, "n3": 3}))
	for i := range uint64(10) {
		if _, err := other.Apply(i+1, 2, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	envelope := index.AppendEnvelope(nil, index.Envelope{Level: index.FirstLevel}, [][]byte{new(index.Head).AppendGrant(nil, kv.Lease{ID: 7, TTL: 5}).Bytes})
	entry := someEntry(11, 2)
	entry.Data = envelope
	a.Handle(Time{}, []ApplierMessage{
		restore{Index: 10, State: other},
		apply{Message: &raftpb.Message{Entries: []*raftpb.Entry{entry}, Responses: []*raftpb.Message{{}}}},
	})
	for _, m := range drainBox(a.Consensus) {
		if m, ok := m.(leasesChanged); ok && len(m.Changes) == 1 && m.Changes[0].Lease.ID == 7 {
			return
		}
	}
	t.Error("nobody is told of a lease that was granted behind a snapshot")
}

// A leader that hears of no quorum keeps so many keep-alives and no more: members ask again as long as their clients wait.
func TestLeaseAsksOfAQuorumThatIsAway(t *testing.T) {
	c := newTestMembers(t)
	asks := make([]peerframe.LeaseAsk, limits.LeaseAsks)
	for range leaseAsksWaiting/limits.LeaseAsks + 2 {
		c.turn(Received{From: 3, Message: peerframe.LeaseAsks{Asks: asks}})
	}
	if n := len(c.leases.clock.unproven); n != leaseAsksWaiting || c.leases.clock.openAsks != n {
		t.Errorf("%d wait, counted are %d", n, c.leases.clock.openAsks)
	}
	told := 0
	for _, m := range c.answerRounds(c.pass(TickInterval)) {
		if m, ok := m.(peerframe.LeaseTimes); ok {
			told += len(m.Times)
		}
	}
	if told != leaseAsksWaiting || c.leases.clock.openAsks != 0 {
		t.Errorf("a quorum is there: %d were answered, %d wait", told, c.leases.clock.openAsks)
	}
}
