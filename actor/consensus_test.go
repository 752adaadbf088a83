package actor

import (
	"bytes"
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/log/disk/simdisk"
	"qkv/net/wire/peerframe"
)

// consensusTurns is the consensus of member 1 of three, with a log writer and an applier that do at once what they are
// told. Its peers are the test.
type consensusTurns struct {
	*Consensus
	config  ConsensusConfig
	t       *testing.T
	writer  *LogWriter
	state   *index.State
	at      time.Duration
	stalled bool // the disk finishes nothing
	sent    []peerframe.Message
	applied [][]byte // data of the entries that were committed
	waits   []readReady
	applier *Applier        // nil: entries only come to applied
	told    []index.Members // what Peers were told of the members
	checked []uint64        // whose hosts were asked whether their processes are there
}

// Send implements Peers.
func (c *consensusTurns) Send(_ uint64, m peerframe.Message, _ bool) { c.sent = append(c.sent, m) }

// SetMembers implements Peers.
func (c *consensusTurns) SetMembers(m index.Members) { c.told = append(c.told, m) }

// CheckAlive implements Peers.
func (c *consensusTurns) CheckAlive(peer uint64) { c.checked = append(c.checked, peer) }

// testAdmission is that of member 1, which knows nobody.
func testAdmission(s *Status) *Admission {
	return NewAdmission(&Admission{Self: 1, Folder: [16]byte{1}, Status: s, Remember: func([]Known) error { return nil }}, nil)
}

func newTestConsensus(t *testing.T, l limits.Tunable) *consensusTurns {
	t.Helper()
	own, recovered := openTestLog(t, simdisk.New(1))
	t.Cleanup(func() { own.Close() })
	c := &consensusTurns{t: t, state: index.NewState(limits.Defaults().Index)}
	fail := func(err error) { t.Error(err) }
	var inbox *Mailbox[ConsensusMessage]
	c.writer, inbox = newTestLogWriter(own, c, fail)
	founders := index.Founders(map[string]uint64{"n1": 1, "n2": 2, "n3": 3})
	for id := uint64(1); id <= 3; id++ {
		founders, _ = founders.Change(&kv.MemberChange{Kind: kv.BindMember, ID: id, Folder: [16]byte{byte(id)}}, 0)
	}
	c.state.Found(founders)
	if _, err := c.state.Apply(1, 1, nil, nil); err != nil {
		t.Fatal(err)
	}
	c.writer.Status.view.Store(c.state.View())
	c.config = ConsensusConfig{
		CoreConfig: CoreConfig{
			Member: 1, Incarnation: 7, HeartbeatInterval: 100 * time.Millisecond, ElectionTimeout: time.Second, Window: recovered.Window,
			Status: c.writer.Status, Admission: testAdmission(c.writer.Status), Limits: l, Fail: fail, Logger: slog.New(slog.DiscardHandler),
		},
		ConsensusMailboxes: ConsensusMailboxes{
			Inbox: inbox, LogWriter: c.writer.Inbox, Applier: c.writer.Applier,
			Snapshotter: NewMailbox[SnapshotterMessage]("s", Capacity{Offer: 100, MustPost: 1000}), Peers: c,
		},
		HardState: recovered.HardState, Applied: 1, ConfState: &raftpb.ConfState{Voters: []uint64{1, 2, 3}}, Members: c.state.Members(),
		Suspend: func(Suspension) error { return nil },
	}
	var err error
	c.Consensus, err = NewConsensus(c.config)
	if err != nil {
		t.Fatal(err)
	}
	c.turn(Connected{Peer: 2}, Connected{Peer: 3})
	return c
}

// turn hands messages in, lets log and state follow, and returns what was sent to peers.
func (c *consensusTurns) turn(batch ...ConsensusMessage) []peerframe.Message {
	c.t.Helper()
	c.sent = nil
	for len(batch) > 0 {
		c.Handle(Time{Now: c.at}, batch)
		if !c.stalled {
			handleAll(c.writer, drainBox(c.LogWriter))
		}
		orders := drainBox(c.Applier)
		if c.applier != nil {
			c.applier.Handle(Time{Now: c.at}, orders)
			orders = nil
		}
		for _, m := range orders {
			switch m := m.(type) {
			case apply:
				for _, e := range m.Message.GetEntries() {
					c.applied = append(c.applied, e.GetData())
				}
				c.Inbox.MustPost(applied{Response: m.Message.GetResponses()[0]})
			case readReady:
				c.waits = append(c.waits, m)
			}
		}
		batch = drainBox(c.Inbox)
	}
	return c.sent
}

// pass lets a time pass, tick by tick.
func (c *consensusTurns) pass(d time.Duration) (sent []peerframe.Message) {
	for end := c.at + d; c.at < end; {
		c.at += TickInterval
		sent = append(sent, c.turn(Tick{})...)
	}
	return sent
}

// from is a raft message of a peer.
func from(peer uint64, kind raftpb.MessageType, term uint64, change func(m *raftpb.Message)) Received {
	m := &raftpb.Message{Type: &kind, From: u(peer), To: u(1), Term: &term}
	if change != nil {
		change(m)
	}
	return Received{From: peer, Message: peerframe.Raft{Message: m}}
}

// lead makes the member the leader of a term, with member 2 as its follower.
func (c *consensusTurns) lead() {
	c.t.Helper()
	answers := map[raftpb.MessageType]raftpb.MessageType{raftpb.MsgPreVote: raftpb.MsgPreVoteResp, raftpb.MsgVote: raftpb.MsgVoteResp}
	for range 500 {
		for sent := c.pass(TickInterval); len(sent) > 0; sent = sent[1:] {
			r, _ := sent[0].(peerframe.Raft)
			if answer, asks := answers[r.GetType()]; asks && r.GetTo() == 2 {
				sent = append(sent, c.turn(from(2, answer, r.GetTerm(), nil))...)
			}
		}
		if c.raft.BasicStatus().RaftState == raft.StateLeader {
			c.acknowledge()
			return
		}
	}
	c.t.Fatal("nobody leads")
}

// acknowledge lets member 2 have everything.
func (c *consensusTurns) acknowledge() []peerframe.Message {
	return c.turn(from(2, raftpb.MsgAppResp, c.term, func(m *raftpb.Message) { m.Index = u(c.last) }))
}

// follow makes the member a follower of member 2 in a term.
func (c *consensusTurns) follow(term uint64) {
	c.t.Helper()
	c.turn(from(2, raftpb.MsgHeartbeat, term, func(m *raftpb.Message) { m.Commit = u(1) }))
	if s := c.raft.BasicStatus(); s.Lead != 2 || s.GetTerm() != term {
		c.t.Fatalf("it follows %d in term %d", s.Lead, s.GetTerm())
	}
}

// envelope is a batch of a member's process: one put, numbered, of so many bytes.
func envelope(member, incarnation, first uint64, bytes int) []byte {
	put := new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k"), Value: slices.Repeat([]byte{'v'}, bytes)}).Bytes
	return index.AppendEnvelope(nil, index.Envelope{Level: 1, Member: member, Incarnation: incarnation, First: first, Wall: 1}, [][]byte{put})
}

// appliedFirsts are the numbers of the batches of a member that were committed.
func (c *consensusTurns) appliedFirsts(member uint64) (n []uint64) {
	for _, data := range c.applied {
		if e, err := index.ReadEnvelope(data); err == nil && e.Member == member {
			n = append(n, e.First)
		}
	}
	return n
}

// A batch that was forwarded to an earlier leadership is void: its sender tells its client so when it applies an entry
// of the later term.
func TestForwardOfAnEarlierTermIsVoid(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	c.lead()
	for _, term := range []uint64{c.term - 1, c.term + 1, c.term} {
		c.turn(Received{From: 2, Message: peerframe.Forward{Term: term, Oldest: 10 * term, Envelope: envelope(2, 5, 10*term, 1)}})
		c.acknowledge()
	}
	if got := c.appliedFirsts(2); !slices.Equal(got, []uint64{10 * c.term}) {
		t.Errorf("in term %d the batches %v were accepted", c.term, got)
	}
}

// A follower that was restarted begins with its first number again, in the same term, and is taken at its word.
func TestForwardsOfARestartedFollower(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	c.lead()
	for _, one := range []struct{ process, first uint64 }{{5, 10}, {5, 11}, {6, 1}, {6, 2}, {5, 12}} {
		c.turn(Received{From: 2, Message: peerframe.Forward{Term: c.term, Oldest: one.first, Envelope: envelope(2, one.process, one.first, 1)}})
		c.acknowledge()
	}
	if got := c.appliedFirsts(2); !slices.Equal(got, []uint64{10, 11, 1, 2, 12}) {
		t.Errorf("in the log are %v", got)
	}
}

// A heartbeat that tells of a commit beyond this member's log is never stepped: raft would panic. It means that the
// member has forgotten what it acknowledged.
func TestHeartbeatBeyondTheLog(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	c.follow(2)
	c.turn(from(2, raftpb.MsgHeartbeat, 2, func(m *raftpb.Message) { m.Commit = u(c.last + 1) }))
	if !c.suspension.active() || !strings.Contains(c.suspension.Reason, "AMNESIA") {
		t.Errorf("it goes on: %q", c.suspension.Reason)
	}
	for _, m := range c.pass(5 * time.Second) {
		if _, says := m.(peerframe.Accused); !says {
			t.Errorf("it takes part: %v", m)
		}
	}
}

// A follower that forwards nothing but what is refused does not fill the leader's log of messages.
func TestRefusedForwardsAreLoggedNowAndThen(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	c.lead()
	var lines bytes.Buffer
	c.Logger = slog.New(slog.NewTextHandler(&lines, nil))
	unknown := index.AppendEnvelope(nil, index.Envelope{Level: 1, Member: 2, Incarnation: 5, First: 1}, [][]byte{{0x90}})
	for range 500 {
		c.turn(
			Received{From: 2, Message: peerframe.Forward{Term: c.term, Oldest: 1, Envelope: []byte("no envelope")}},
			Received{From: 3, Message: peerframe.Forward{Term: c.term, Oldest: 1, Envelope: unknown}},
		)
	}
	if n := strings.Count(lines.String(), "a forwarded batch is refused"); n != 10 || !strings.Contains(lines.String(), "times=512") {
		t.Errorf("of 1000 refused batches %d lines are written:\n%s", n, lines.String())
	}
}

// One message of the last term that there is ends no member, now or at its next election: raft has no term after that one.
func TestAbsurdTerm(t *testing.T) {
	for _, kind := range []raftpb.MessageType{
		raftpb.MsgHeartbeat, raftpb.MsgHeartbeatResp, raftpb.MsgApp, raftpb.MsgAppResp, raftpb.MsgVote, raftpb.MsgVoteResp,
		raftpb.MsgPreVote, raftpb.MsgPreVoteResp, raftpb.MsgTimeoutNow,
	} {
		c := newTestConsensus(t, limits.Defaults())
		c.turn(from(3, kind, math.MaxUint64, func(m *raftpb.Message) { m.Commit, m.Reject = u(math.MaxUint64), new(true) }))
		c.pass(5 * time.Second)
		if term := c.raft.BasicStatus().GetTerm(); term > 10 || c.suspension.active() {
			t.Errorf("after a %v: term %d, suspension %q", kind, term, c.suspension.Reason)
		}
		if at := c.term + termsAhead; c.absurd(at) || !c.absurd(at+1) {
			t.Errorf("in term %d the term %d is absurd: %v, the next one: %v", c.term, at, c.absurd(at), c.absurd(at+1))
		}
		c.lead()
	}
}

// A process that stood still finds the ticks of that time all at once, and its leader's heartbeats behind them: that is no election
// timeout.
func TestPauseIsNoElectionTimeout(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	c.follow(2)
	pause := make([]ConsensusMessage, 0, 400)
	for range 300 {
		pause = append(pause, Tick{})
	}
	pause = append(pause, from(2, raftpb.MsgHeartbeat, 2, nil))
	for _, m := range c.turn(pause...) {
		if r, ok := m.(peerframe.Raft); ok && r.GetType() != raftpb.MsgHeartbeatResp {
			t.Errorf("behind a pause it sends %v", r)
		}
	}
	if s := c.raft.BasicStatus(); s.RaftState != raft.StateFollower || s.Lead != 2 || s.GetTerm() != 2 {
		t.Errorf("behind a pause it is a %v of %d in term %d", s.RaftState, s.Lead, s.GetTerm())
	}
}

// A leader counts the heartbeats that it sends later than two intervals after the ones before. A follower sends none.
func TestLateHeartbeatsAreCounted(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	late := &c.Status.Observer.Counters.LateBeats
	step := func(after time.Duration, want uint64) {
		t.Helper()
		before := late.Load()
		c.at += after
		c.turn(Tick{})
		if got := late.Load() - before; got != want {
			t.Errorf("%v after the tick before, %d late heartbeats are counted, want %d", after, got, want)
		}
	}
	most := 2 * time.Duration(c.heartbeatTicks()) * TickInterval
	step(TickInterval, 0)
	step(most+time.Millisecond, 0)
	c.lead()
	step(TickInterval, 0)
	step(most, 0)
	step(most+time.Millisecond, 1)
	step(TickInterval, 0)
}

// A heartbeat that overtakes nothing, behind an append of the same batch, is no sign of anything.
func TestHeartbeatBehindAnAppend(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	c.follow(2)
	c.turn(
		from(2, raftpb.MsgApp, 2, func(m *raftpb.Message) {
			m.Index, m.LogTerm, m.Entries = u(1), u(1), []*raftpb.Entry{someEntry(2, 2), someEntry(3, 2)}
		}),
		from(2, raftpb.MsgHeartbeat, 2, func(m *raftpb.Message) { m.Commit = u(3) }),
	)
	if c.suspension.active() {
		t.Error(c.suspension.Reason)
	}
	if s := c.raft.BasicStatus(); s.GetCommit() != 3 {
		t.Errorf("commit %d", s.GetCommit())
	}
}

// What a leader has accepted of a follower is proposed, if raft has no room for it at the moment then later: the
// follower does not send it again.
func TestAcceptedForwardsWaitForRoom(t *testing.T) {
	l := limits.Defaults()
	l.UncommittedBytes = 1000
	c := newTestConsensus(t, l)
	c.lead()
	for i := range uint64(3) {
		c.turn(Received{From: 3, Message: peerframe.Forward{Term: c.term, Oldest: 1, Envelope: envelope(3, 5, 1+i, 900)}})
	}
	if len(c.accepted.deferred) == 0 {
		t.Fatal("raft has room for all of it")
	}
	for range 3 {
		c.acknowledge()
		c.pass(TickInterval)
	}
	if got := c.appliedFirsts(3); !slices.Equal(got, []uint64{1, 2, 3}) {
		t.Errorf("in the log are %v", got)
	}
}

// Where raft never has room for all, a leader's own clients and its followers' take turns, and a write of neither side waits
// for the other's end.
func TestProposalsTakeTurns(t *testing.T) {
	const each = 12
	l := limits.Defaults()
	l.UncommittedBytes, l.BatchCommands = 100, 1 // one batch at a time
	c := newTestConsensus(t, l)
	c.lead()
	own := Propose{Proposal: kv.Proposal{Requests: []uint64{1}, Commands: []kv.Command{new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k"), Value: make([]byte, 80)})}, Timeout: time.Minute}}
	for i := range uint64(each) {
		c.turn(Received{From: 3, Message: peerframe.Forward{Term: c.term, Oldest: 1, Envelope: envelope(3, 5, 1+i, 80)}})
		c.turn(own)
	}
	for range each {
		c.acknowledge()
	}
	if mine, others := len(c.appliedFirsts(1)), len(c.appliedFirsts(3)); mine < each/3 || others < each/3 || mine+others > each+1 {
		t.Errorf("of %d that raft had room for %d are the leader's own, and %d its follower's", each, mine, others)
	}
}

// Leases that raft has no room to revoke are revoked when it has some.
func TestRevocationsWaitForRoom(t *testing.T) {
	l := limits.Defaults()
	l.UncommittedBytes = 500
	c := newTestConsensus(t, l)
	c.lead()
	c.leases.clock.start(c.Status.View(), c.now.Now, c.leaseTiming())
	lease := &timedLease{id: 7, ttl: 1, heapIndex: -1}
	c.leases.clock.leases[lease.id] = lease
	c.leases.clock.revocable.add(lease)
	c.turn(Received{From: 3, Message: peerframe.Forward{Term: c.term, Oldest: 1, Envelope: envelope(3, 5, 1, 900)}})
	if c.leases.clock.revoking != 0 {
		t.Fatal("raft has room for it")
	}
	for range 5 {
		c.acknowledge()
		c.pass(TickInterval)
	}
	if c.leases.clock.revoking != 1 || !lease.revoking {
		t.Error("it is not revoked")
	}
}

// Where writes take whatever room raft has, the lease clock has its turn, and they have theirs behind it.
func TestRevocationsTakeTurns(t *testing.T) {
	const leases = 3
	l := limits.Defaults()
	l.UncommittedBytes, l.BatchCommands = 100, 1 // one batch at a time
	c := newTestConsensus(t, l)
	c.lead()
	c.leases.clock.start(c.Status.View(), c.now.Now, c.leaseTiming())
	write := func() {
		c.turn(
			Propose{Proposal: kv.Proposal{Requests: []uint64{1}, Commands: []kv.Command{new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k"), Value: make([]byte, 80)})}, Timeout: time.Minute}},
		)
	}
	write()
	for id := range int64(leases) {
		lease := &timedLease{id: 1 + id, ttl: 1, heapIndex: -1}
		c.leases.clock.leases[lease.id] = lease
		c.leases.clock.revocable.add(lease)
		before := len(c.applied)
		for range 4 {
			write()
			write()
			c.acknowledge()
		}
		if !lease.revoking || len(c.applied) != before+4 {
			t.Errorf("lease %d: it is revoked: %v; %d entries are applied", lease.id, lease.revoking, len(c.applied)-before)
		}
	}
}

// A batch in flight counts as accepted when this process's batch stands in the log. One of an earlier process of this
// member may have the same number.
func TestForwardsOfAnEarlierProcessAreNotSeen(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	c.follow(2)
	c.turn(Propose{Proposal: kv.Proposal{Requests: []uint64{1}, Commands: []kv.Command{new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k")})}, Timeout: time.Minute}})
	if got := firsts(c.forwards.inFlight); !slices.Equal(got, []uint64{1}) {
		t.Fatalf("in flight are %v", got)
	}
	for i, step := range []struct {
		member, incarnation uint64
		inFlight            int
	}{{1, 6, 1}, {3, 7, 1}, {1, 7, 0}} {
		before := c.last
		c.turn(from(2, raftpb.MsgApp, 2, func(m *raftpb.Message) {
			e := someEntry(before+1, 2)
			e.Data = envelope(step.member, step.incarnation, 1, 1)
			m.Index, m.LogTerm, m.Entries = u(before), u(min(before, 2)), []*raftpb.Entry{e}
		}))
		if c.last != before+1 {
			t.Fatalf("entry %d was not appended", before+1)
		}
		if got := len(c.forwards.inFlight); got != step.inFlight {
			t.Errorf("step %d, a batch of member %d's process %d: %d in flight", i, step.member, step.incarnation, got)
		}
	}
}

// A leader whose disk stands hands its leadership to a follower when the disks of a quorum of others have done meanwhile what its own
// is at, and to none whose disk has not. Where fewer have, the next leader's votes would wait for disks such as its own.
func TestStalledLeaderHandsOver(t *testing.T) {
	for _, test := range []struct{ two, three, handed bool }{{false, false, false}, {true, false, false}, {false, true, false}, {true, true, true}} {
		c := newTestConsensus(t, limits.Defaults())
		c.lead()
		before := c.last
		c.stalled = true
		c.turn(Propose{Proposal: kv.Proposal{Requests: []uint64{1}, Commands: []kv.Command{new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k")})}, Timeout: time.Minute}})
		handed := false
		for range 400 {
			for id, fit := range map[uint64]bool{2: test.two, 3: test.three} {
				has := before
				if fit {
					has++
				}
				c.turn(from(id, raftpb.MsgAppResp, c.term, func(m *raftpb.Message) { m.Index = &has }))
			}
			c.pass(TickInterval)
			handed = handed || c.raft.BasicStatus().LeadTransferee != raft.None
		}
		if handed != test.handed {
			t.Errorf("%+v: leadership was handed over: %v", test, handed)
		}
	}
}

// clientHeard is what a client was told.
type clientHeard []kv.Completion

func (c *clientHeard) Complete(all []kv.Completion) { *c = append(*c, all...) }

// A read whose round nobody confirms has an answer when its time is over, also while rounds go on being asked for.
func TestReadWithoutAConfirmationIsAnswered(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	c.follow(2)
	var told clientHeard
	c.turn(ReadIndex{ReplyTo: &told, Requests: []uint64{41}, Timeout: 3 * time.Second})
	rounds := 0
	for range 500 {
		c.turn(from(2, raftpb.MsgHeartbeat, 2, nil))
		for _, m := range c.pass(TickInterval) {
			if r, ok := m.(peerframe.Raft); ok && r.GetType() == raftpb.MsgReadIndex {
				rounds++
			}
		}
	}
	if len(told) != 1 || told[0].Request != 41 || told[0].Result.Err == nil {
		t.Errorf("after 5 s and %d more rounds its client was told %+v", rounds, told)
	}
	if len(c.waits) > 0 {
		t.Errorf("it was confirmed: %+v", c.waits)
	}
}

// numbersTo keeps the numbers of what is answered.
type numbersTo struct{ numbers *[]uint64 }

func (to numbersTo) Complete(all []kv.Completion) {
	for _, one := range all {
		*to.numbers = append(*to.numbers, one.Request)
	}
}

// Of a proposal of which a part is on its way, only the rest certainly did not happen when its client's time is over: what became of
// that part the applier hears.
func TestPartOfAProposalExpires(t *testing.T) {
	l := limits.Defaults()
	l.BatchCommands, l.ForwardBytesInflight = 2, 1
	c := newTestConsensus(t, l)
	c.turn(Connected{Peer: 2})
	c.follow(2)
	var answered []uint64
	p := kv.Proposal{ReplyTo: numbersTo{&answered}, Timeout: 5 * TickInterval}
	for n := range uint64(5) {
		p.Requests = append(p.Requests, 10+n)
		p.Commands = append(p.Commands, new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k")}))
	}
	var forwarded []peerframe.Forward
	for _, m := range slices.Concat(c.turn(Propose{Proposal: p}), c.pass(10*TickInterval)) {
		if f, ok := m.(peerframe.Forward); ok {
			forwarded = append(forwarded, f)
		}
	}
	if len(forwarded) != 1 || !slices.Equal(answered, []uint64{12, 13, 14}) {
		t.Errorf("%d batches are on their way, and %v were answered", len(forwarded), answered)
	}
}
