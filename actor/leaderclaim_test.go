package actor

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/wire/peerframe"
)

// claims are one message of each kind that only a leader sends, of a term. Each would do harm if it came from another member.
func claims(from, term uint64) []Received {
	beyond := uint64(100_000)
	raftClaim := func(kind raftpb.MessageType) Received {
		m := &raftpb.Message{Type: &kind, From: u(from), To: u(1), Term: &term, Commit: &beyond}
		if kind == raftpb.MsgApp {
			m.Index, m.LogTerm, m.Entries = u(1), u(1), []*raftpb.Entry{someEntry(2, term)}
		}
		return Received{From: from, Message: peerframe.Raft{Message: m}}
	}
	return []Received{
		raftClaim(raftpb.MsgHeartbeat), raftClaim(raftpb.MsgApp), raftClaim(raftpb.MsgTimeoutNow), raftClaim(raftpb.MsgReadIndexResp),
		{From: from, Message: peerframe.Accepted{Term: term, Incarnation: 7, Next: 100, Commit: beyond}},
		{From: from, Message: peerframe.SnapshotOffer{Index: 100, Term: term, MessageTerm: term}},
	}
}

// offers are the offers of snapshots that consensus passes on.
func (c *consensusTurns) offers() (n int) {
	for _, m := range drainBox(c.Snapshotter) {
		if _, ok := m.(FromPeer); ok {
			n++
		}
	}
	return n
}

// A claim of the present term does nothing to a member that knows another leader, nor to the leader itself, and is counted.
func TestClaimsOfAMemberThatDoesNotLead(t *testing.T) {
	for _, leads := range []bool{false, true} {
		c := newTestConsensus(t, limits.Defaults())
		if leads {
			c.lead()
		} else {
			c.follow(5)
		}
		before, last := c.raft.BasicStatus(), c.last
		all := claims(3, before.GetTerm())
		for i, claim := range all {
			for _, m := range c.turn(claim) {
				t.Errorf("leads %v: %T is answered by %v", leads, claim.Message, m)
			}
			if n := c.Status.Observer.Counters.FalseClaims.Load(); n != uint64(i+1) {
				t.Errorf("leads %v: after %T %d claims are counted, of %d", leads, claim.Message, n, i+1)
			}
		}
		now := c.raft.BasicStatus()
		if c.suspension.active() || now.Lead != before.Lead || now.RaftState != before.RaftState || now.GetTerm() != before.GetTerm() || now.GetCommit() != before.GetCommit() {
			t.Errorf("leads %v: %v became %v, suspension %q", leads, before, now, c.suspension.Reason)
		}
		if n := c.offers(); c.last != last || n != 0 {
			t.Errorf("leads %v: the log ends at %d, before at %d; %d offers are taken", leads, c.last, last, n)
		}
	}
}

// The leader of the term is believed, and so is a claim of a later term, and one that comes when no leader of the term is known.
func TestClaimsOfALeader(t *testing.T) {
	appended := func(from, term uint64) ConsensusMessage { return claims(from, term)[1] }
	offer := func(from, term uint64) ConsensusMessage { return claims(from, term)[5] }
	for name, claim := range map[string]struct {
		forget     bool // the leader, as a member does when it campaigns
		from, term uint64
	}{
		"the leader":                  {false, 2, 5},
		"a leader of a later term":    {false, 3, 6},
		"the first to claim the term": {true, 3, 5},
	} {
		c := newTestConsensus(t, limits.Defaults())
		c.follow(5)
		if claim.forget {
			if err := c.raft.ForgetLeader(); err != nil {
				t.Fatal(err)
			}
		}
		c.turn(appended(claim.from, claim.term), offer(claim.from, claim.term))
		if now := c.raft.BasicStatus(); now.Lead != claim.from || now.GetTerm() != claim.term || c.last != 2 || c.offers() != 1 {
			t.Errorf("%s: %v, the log ends at %d", name, now, c.last)
		}
	}
	// A former leader learns from an answer that its term is over; its offer is void.
	c := newTestConsensus(t, limits.Defaults())
	c.follow(5)
	told := c.turn(from(3, raftpb.MsgHeartbeat, 4, nil), offer(3, 4))
	if m, ok := told[0].(peerframe.Raft); !ok || m.GetType() != raftpb.MsgAppResp || m.GetTerm() != 5 || c.offers() != 0 || c.Status.Observer.Counters.FalseClaims.Load() != 0 {
		t.Errorf("a former leader is told %v", told)
	}
}

// An answer for leases from a member that does not lead is dropped: the client waits for the leader's.
func TestLeaseAnswersOfAnotherMember(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	c.follow(5)
	var answered replies
	sent := c.turn(AskLeases{ReplyTo: &answered, Requests: []uint64{1}, Asks: []kv.LeaseAsk{{Lease: 9, Renew: true}}, Timeout: time.Second}, Tick{})
	number := uint64(0)
	for _, m := range sent {
		if asks, ok := m.(peerframe.LeaseAsks); ok {
			number = asks.Asks[0].Number
		}
	}
	told := peerframe.LeaseTimes{Times: []peerframe.LeaseTime{{Number: number, LeaseTime: kv.LeaseTime{TTL: 9, Granted: 9}}}}
	if c.turn(Received{From: 3, Message: told}); len(answered) != 0 {
		t.Errorf("a follower's word is the answer: %v", answered)
	}
	if c.turn(Received{From: 2, Message: told}); len(answered) != 1 {
		t.Errorf("the leader's answers: %v", answered)
	}
}

// An append with an entry that could not be applied is dropped whole, also from the leader: in the log it would end this member at
// every start. The log tells an entry that this member takes after an upgrade from a damaged one.
func TestUndecodableEntryIsRefused(t *testing.T) {
	change := raftpb.EntryConfChangeV2
	batch := func(level uint64, command []byte) []byte {
		return index.AppendEnvelope(nil, index.Envelope{Level: level, Member: 2, Incarnation: 5, First: 1}, [][]byte{command})
	}
	put := new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k"), Value: []byte("v")}).Bytes
	const first = index.FirstLevel
	for name, corrupt := range map[string]func(e *raftpb.Entry){
		"no envelope":            func(e *raftpb.Entry) { e.Data = []byte("nonsense") },
		"an empty command":       func(e *raftpb.Entry) { e.Data = batch(first, []byte{0x90}) },
		"a command that is cut":  func(e *raftpb.Entry) { e.Data = batch(first, put[:len(put)-1]) },
		"no membership change":   func(e *raftpb.Entry) { e.Type, e.Data = &change, []byte("nonsense") },
		"an older kind of entry": func(e *raftpb.Entry) { e.Type = raftpb.EntryConfChange.Enum() },

		"newer: a version of the envelope": func(e *raftpb.Entry) {
			e.Data = append([]byte{0x97, index.EnvelopeVersion + 1}, batch(first, put)[2:]...)
		},
		"newer: a batch's level":        func(e *raftpb.Entry) { e.Data = batch(index.MaxLevel+1, put) },
		"newer: the cluster's level":    func(e *raftpb.Entry) { e.Data = batch(first, index.AppendFeatureLevel(nil, index.MaxLevel+1).Bytes) },
		"newer: a kind of command":      func(e *raftpb.Entry) { e.Data = batch(first, append([]byte{0x97, 100}, put[2:]...)) },
		"newer: a version of a command": func(e *raftpb.Entry) { e.Data = batch(first, append([]byte{0x97, put[1], 100}, put[3:]...)) },
		"newer: a field":                func(e *raftpb.Entry) { e.Data = batch(first, append(append([]byte{0x98}, put[1:]...), 0)) },
	} {
		c := newTestConsensus(t, limits.Defaults())
		var lines bytes.Buffer
		c.Logger = slog.New(slog.NewTextHandler(&lines, nil))
		c.follow(5)
		good, bad := someEntry(2, 5), someEntry(3, 5)
		corrupt(bad)
		append2 := func(entries ...*raftpb.Entry) []peerframe.Message {
			return c.turn(from(2, raftpb.MsgApp, 5, func(m *raftpb.Message) {
				m.Index, m.LogTerm, m.Commit, m.Entries = u(1), u(1), u(3), entries
			}))
		}
		if sent := append2(good, bad); len(sent) > 0 || c.last != 1 || c.Status.Observer.Counters.Undecodable.Load() != 1 {
			t.Errorf("%s: the log ends at %d, sent %v", name, c.last, sent)
		}
		says := "stop its sender"
		if strings.HasPrefix(name, "newer") {
			says = "upgrade this member; if its sender runs no newer version, stop the sender"
		}
		if !strings.Contains(lines.String(), says) {
			t.Errorf("%s: the log does not say %q: %s", name, says, &lines)
		}
		if append2(good, someEntry(3, 5)); c.last != 3 || c.raft.BasicStatus().GetCommit() != 3 {
			t.Errorf("%s: behind it the log ends at %d", name, c.last)
		}
	}
}

// impossible is a heartbeat with a commit index that this member cannot have acknowledged.
func impossible(c *consensusTurns, leader, term uint64) ConsensusMessage {
	return from(leader, raftpb.MsgHeartbeat, term, func(m *raftpb.Message) { m.Commit = u(c.last + 100_000) })
}

// A leader's impossible commit index holds a member back and no more. It is lifted by a possible one, by a vote request of the same
// member with a log that is too short, by another leader that goes on, and by a quorum that the same member accuses. A second member that says the same ends this member's part.
func TestImpossibleCommitHoldsBack(t *testing.T) {
	held := func() *consensusTurns {
		c := newTestConsensus(t, limits.Defaults())
		c.follow(5)
		c.turn(from(2, raftpb.MsgApp, 5, func(m *raftpb.Message) { m.Index, m.LogTerm, m.Entries = u(1), u(1), []*raftpb.Entry{someEntry(2, 5)} }))
		if c.turn(impossible(c, 2, 5)); !c.suspension.heldBack() {
			t.Fatalf("it is not held back: %+v", c.suspension.Suspension)
		}
		for range 3 {
			c.turn(impossible(c, 2, 5), Received{From: 2, Message: peerframe.DiskSpace{}}, from(2, raftpb.MsgApp, 5, nil), from(2, raftpb.MsgHeartbeat, 4, nil))
		}
		if !c.suspension.heldBack() {
			t.Fatalf("the leader repeats it, and it is not held back: %+v", c.suspension.Suspension)
		}
		return c
	}
	c := held()
	if c.turn(from(2, raftpb.MsgHeartbeat, 5, func(m *raftpb.Message) { m.Commit = u(1) })); c.suspension.active() {
		t.Errorf("the leader takes it back: %+v", c.suspension.Suspension)
	}
	c = held()
	for range 40 {
		c.turn(from(3, raftpb.MsgHeartbeat, 6, nil))
		c.at += c.HeartbeatInterval
	}
	if c.suspension.active() {
		t.Errorf("another leader has a quorum: %+v", c.suspension.Suspension)
	}
	c = held()
	if c.turn(Received{From: 3, Message: peerframe.Accused{By: 2}}); c.suspension.active() {
		t.Errorf("two of three voters are accused by the same member: %+v", c.suspension.Suspension)
	}
	c = held()
	if c.turn(Connected{Peer: 2}, Received{From: 2, Message: peerframe.DiskSpace{}}); c.suspension.active() {
		t.Errorf("it has connected anew, and looked at this member's log: %+v", c.suspension.Suspension)
	}
	for _, kind := range []raftpb.MessageType{raftpb.MsgPreVote, raftpb.MsgVote} {
		c = held()
		asks := func(end, term uint64) ConsensusMessage {
			return from(2, kind, term, func(m *raftpb.Message) { m.Index, m.LogTerm = u(end), u(5) })
		}
		claimed := c.suspension.claim.index
		if c.turn(asks(claimed, 6)); !c.suspension.heldBack() {
			t.Errorf("%v: its log may hold the entry that it called committed: %+v", kind, c.suspension.Suspension)
		}
		if c.turn(asks(claimed-1, 5)); !c.suspension.heldBack() {
			t.Errorf("%v: it may have asked before it called the entry committed: %+v", kind, c.suspension.Suspension)
		}
		if c.turn(asks(claimed-1, 6)); c.suspension.active() {
			t.Errorf("%v: its log does not hold the entry that it called committed: %+v", kind, c.suspension.Suspension)
		}
		c = held()
		c.turn(from(2, raftpb.MsgHeartbeat, 5, func(m *raftpb.Message) { m.Commit = u(c.last + 1) }))
		if c.turn(asks(c.last+1, 6)); !c.suspension.heldBack() {
			t.Errorf("%v: its log holds the entry that it called committed later: %+v", kind, c.suspension.Suspension)
		}
	}
	c = held()
	if c.turn(impossible(c, 3, 6)); !c.suspension.active() || c.suspension.heldBack() {
		t.Errorf("a second leader says the same: %+v", c.suspension.Suspension)
	}
}

// A refusal of a peer that says that it leads, and does not as far as this member knows, is the word of one peer.
func TestRefusalOfAFalseLeader(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	c.follow(5)
	if c.turn(Refused{Peer: 3, Refusal: Refusal{Forgot: true, Leads: true, Text: "forgot"}}); !c.suspension.heldBack() {
		t.Errorf("it says that it leads: %+v", c.suspension.Suspension)
	}
}

// A refusal of a peer that says that it leads counts as a leader's word while no other leader is known.
func TestRefusalOfAnUnknownLeader(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	c.turn(Refused{Peer: 3, Refusal: Refusal{Forgot: true, Leads: true, Text: "forgot"}})
	if !c.suspension.active() || c.suspension.heldBack() {
		t.Errorf("nobody else is known to lead: %+v", c.suspension.Suspension)
	}
}

// A forwarded batch cannot move the state's time further ahead than clocks of members may be apart, also when the leader refuses its commands.
func TestWallClockOfAForward(t *testing.T) {
	own := int64(50 * 365 * 24 * time.Hour)
	for _, step := range []struct {
		wall, want int64
	}{
		{own + int64(70*365*24*time.Hour), own},
		{own + int64(limits.ClocksApart) + 1, own},
		{own + int64(limits.ClocksApart), own + int64(limits.ClocksApart)},
		{own - int64(time.Hour), own - int64(time.Hour)},
	} {
		put := new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k"), Value: []byte("v")}).Bytes
		for _, command := range [][]byte{put, {0xc0}} { // the second one is refused, by an entry of the same head
			c := newTestConsensus(t, limits.Defaults())
			c.lead()
			c.clocks = newClocks() // its clock is not set now
			batch := index.AppendEnvelope(nil, index.Envelope{Level: 1, Member: 2, Incarnation: 5, First: 1, Wall: step.wall}, [][]byte{put, command})
			c.Handle(Time{Now: c.at, Wall: own}, []ConsensusMessage{Received{From: 2, Message: peerframe.Forward{Term: c.term, Oldest: 1, Envelope: batch}}})
			handleAll(c.writer, drainBox(c.LogWriter))
			c.turn(drainBox(c.Inbox)...)
			c.acknowledge()
			e, err := index.ReadEnvelope(c.applied[len(c.applied)-1])
			_, checked := index.CheckEnvelope(c.applied[len(c.applied)-1])
			if err != nil || checked != nil || e.Wall != step.want || e.Count != 2 || e.First != 1 || e.Member != 2 {
				t.Errorf("a wall clock of %d, with the command % x, is %d in the log, wanted %d: %+v, %v", step.wall, command, e.Wall, step.want, e, err)
			}
		}
	}
}

// A commit index that was believed while no leader was known does not count when another leader leads: this member would take itself
// for far behind for ever, and refuse writes.
func TestFalseCommitIsForgotten(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	for range 2 {
		c.turn(from(3, raftpb.MsgApp, 5, func(m *raftpb.Message) { m.Index, m.LogTerm, m.Commit = u(1), u(1), u(100_000) }))
	}
	if missing := c.own.lag.missing(1); missing < 90_000 {
		t.Fatalf("the only leader that it knows is ahead by %d", missing)
	}
	c.pass(time.Minute)
	c.turn(from(2, raftpb.MsgApp, c.term+1, func(m *raftpb.Message) { m.Index, m.LogTerm, m.Commit = u(1), u(1), u(1) }))
	c.pass(500 * time.Millisecond)
	if missing := c.own.lag.missing(1); missing != 0 || c.own.lag.far(1, c.at, time.Second) || c.Status.Disk().Lags {
		t.Errorf("behind another leader it lacks %d", missing)
	}
}
