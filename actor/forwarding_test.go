package actor

import (
	"log/slog"
	"slices"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/log/disk/simdisk"
	"qkv/net/wire/peerframe"
)

// sentForwards counts the batches that are forwarded to peers.
type sentForwards int

func (f *sentForwards) Send(_ uint64, m peerframe.Message, _ bool) {
	if _, ok := m.(peerframe.Forward); ok {
		*f++
	}
}

// SetMembers implements Peers.
func (*sentForwards) SetMembers(index.Members) {}

// CheckAlive implements Peers.
func (*sentForwards) CheckAlive(uint64) {}

// replies keeps completions.
type replies []kv.Completion

func (r *replies) Complete(done []kv.Completion) { *r = append(*r, done...) }

// A follower sends a batch that does not come in again, at longer and longer intervals: on a way that is only slow, all
// that it sends again lies before what comes next.
func TestForwardedAgainLessAndLess(t *testing.T) {
	const leader, election = 2, time.Second
	l, recovered := openTestLog(t, simdisk.New(1))
	defer l.Close()
	plenty := Capacity{MustPost: 1 << 20}
	sent := new(sentForwards)
	status := &Status{}
	status.view.Store(index.NewState(limits.Defaults().Index).View())
	c, err := NewConsensus(ConsensusConfig{
		CoreConfig: CoreConfig{
			Member: 1, Incarnation: 7, HeartbeatInterval: election / 10, ElectionTimeout: election, Window: recovered.Window,
			Status: status, Admission: testAdmission(status), Limits: limits.Defaults(), Fail: func(err error) { t.Error(err) }, Logger: slog.New(slog.DiscardHandler),
		},
		ConsensusMailboxes: ConsensusMailboxes{
			Inbox:     NewMailbox[ConsensusMessage]("consensus", plenty),
			LogWriter: NewMailbox[LogWriterMessage]("log writer", plenty), Applier: NewMailbox[ApplierMessage]("applier", plenty),
			Snapshotter: NewMailbox[SnapshotterMessage]("snapshotter", plenty), Peers: sent,
		},
		HardState: recovered.HardState, ConfState: testMembers,
	})
	if err != nil {
		t.Fatal(err)
	}
	heartbeat := func(now time.Duration, more ...ConsensusMessage) {
		kind, term := raftpb.MsgHeartbeat, recovered.HardState.Term+1
		m := peerframe.Raft{Message: &raftpb.Message{Type: &kind, To: u(1), From: u(leader), Term: &term, Commit: u(0)}}
		c.Handle(Time{Now: now}, append([]ConsensusMessage{Received{From: leader, Message: m}, Tick{}}, more...))
		for _, m := range drainBox(c.LogWriter) {
			if _, ok := m.(appendOrder); ok {
				c.Handle(Time{Now: now}, []ConsensusMessage{appended{Orders: 1}})
			}
		}
	}
	now := election
	heartbeat(now, Connected{Peer: leader})
	heartbeat(now, Propose{Proposal: kv.Proposal{Requests: []uint64{1}, Commands: []kv.Command{new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k")})}, Timeout: time.Hour}})
	if n := *sent; n != 1 {
		t.Fatalf("the batch was sent %d times, want once", n)
	}
	var at []time.Duration
	for begun, seen := now, sentForwards(1); now < begun+60*election; now += TickInterval {
		heartbeat(now)
		if *sent > seen {
			seen = *sent
			at = append(at, (now - begun).Round(election))
		}
	}
	want := []time.Duration{1 * election, 3 * election, 7 * election, 15 * election, 31 * election, 47 * election}
	if len(at) != len(want) {
		t.Fatalf("sent again at %v, want %v", at, want)
	}
	for i := range want {
		if at[i] != want[i] {
			t.Errorf("sent again at %v, want %v", at, want)
			break
		}
	}
	// What the cluster has no feature level for does not leave this member, and its client is told.
	before := *sent
	later := new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k")})
	later.Level = index.MaxLevel + 1
	var answers replies
	heartbeat(now, Propose{Proposal: kv.Proposal{ReplyTo: &answers, Requests: []uint64{7}, Commands: []kv.Command{later}, Timeout: time.Hour}})
	if len(answers) != 1 || answers[0].Request != 7 || answers[0].Kind != kv.CommandDone || answers[0].Result.Err == nil ||
		answers[0].Result.Err.Code != kv.FeatureLevel || !answers[0].Result.Err.Certain() || *sent != before {
		t.Errorf("a command of a later version: %+v, sent %d times", answers, *sent-before)
	}
	heartbeat(now, Disconnected{Peer: leader})
	heartbeat(now, Connected{Peer: leader})
	if *sent != before+1 {
		t.Error("not sent again by a new connection")
	}
}

// forwardedFirsts are the numbers of the batches that are forwarded among messages.
func forwardedFirsts(t *testing.T, sent []peerframe.Message) (all []uint64) {
	t.Helper()
	for _, m := range sent {
		if f, ok := m.(peerframe.Forward); ok {
			e, err := index.ReadEnvelope(f.Envelope)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, e.First)
		}
	}
	return all
}

// A batch that the leader's words say is lost is sent again at once, with half as many as were on their way, and once for all
// words about it; what the leader has is not, nor by a word that is older.
func TestLostForwardsAreSentAgainAtOnce(t *testing.T) {
	const leader = 2
	c := newTestConsensus(t, limits.Defaults())
	c.follow(leader)
	put := func() []peerframe.Message {
		return c.turn(Propose{Proposal: kv.Proposal{Requests: []uint64{1}, Commands: []kv.Command{new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k")})}, Timeout: time.Minute}})
	}
	for n := range uint64(8) {
		if got := forwardedFirsts(t, put()); !slices.Equal(got, []uint64{n + 1}) {
			t.Fatalf("batch %d: forwarded are %v", n+1, got)
		}
	}
	for _, step := range []struct {
		what string
		word peerframe.Accepted
		want []uint64
	}{
		{"the leader has two", peerframe.Accepted{Next: 3}, nil},
		{"a word of a loss that is over", peerframe.Accepted{Next: 2, Lost: true}, nil},
		{"the third is lost", peerframe.Accepted{Next: 3, Lost: true}, []uint64{3, 4, 5}},
		{"a later one that it ignores, too", peerframe.Accepted{Next: 3, Lost: true}, nil},
		{"an older word", peerframe.Accepted{Next: 2, Lost: true}, nil},
		{"of another process", peerframe.Accepted{Incarnation: 1, Next: 5, Lost: true}, nil},
		{"it has the third", peerframe.Accepted{Next: 4}, []uint64{6, 7}},
		{"the next is lost again", peerframe.Accepted{Next: 4, Lost: true}, []uint64{4, 5}},
		{"it has that, and what was on its way behind it", peerframe.Accepted{Next: 7}, []uint64{7, 8}},
		{"it has all", peerframe.Accepted{Next: 9}, nil},
		{"nothing is left that may be lost", peerframe.Accepted{Next: 9, Lost: true}, nil},
	} {
		step.word.Term = c.term
		if step.word.Incarnation == 0 {
			step.word.Incarnation = c.Incarnation
		}
		if got := forwardedFirsts(t, c.turn(Received{From: leader, Message: step.word})); !slices.Equal(got, step.want) {
			t.Errorf("%s: sent again are %v, want %v", step.what, got, step.want)
		}
	}
	if got := forwardedFirsts(t, put()); !slices.Equal(got, []uint64{9}) {
		t.Errorf("what comes next is not sent at once: %v", got)
	}
}

// Each batch says which is the oldest that its sender has not seen in the log, so that a leader takes none behind one that was
// lost; and where the log shows first what the leader has, more follows as by its word.
func TestForwardsFollowWhatTheLogShows(t *testing.T) {
	const leader = 2
	c := newTestConsensus(t, limits.Defaults())
	c.follow(leader)
	var sent []peerframe.Message
	for range 6 {
		sent = append(sent, c.turn(Propose{Proposal: kv.Proposal{Requests: []uint64{1}, Commands: []kv.Command{new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k")})}, Timeout: time.Minute}})...)
	}
	for _, m := range sent {
		if f, ok := m.(peerframe.Forward); ok && f.Oldest != 1 {
			t.Errorf("the oldest is %d", f.Oldest)
		}
	}
	c.turn(Disconnected{Peer: leader})
	if got := forwardedFirsts(t, c.turn(Connected{Peer: leader})); !slices.Equal(got, []uint64{1}) {
		t.Fatalf("sent again by a new connection are %v", got)
	}
	before := c.last
	sent = c.turn(from(leader, raftpb.MsgApp, c.term, func(m *raftpb.Message) {
		e := someEntry(before+1, c.term)
		e.Data = envelope(c.Member, c.Incarnation, 1, 1)
		m.Index, m.LogTerm, m.Entries = u(before), u(before), []*raftpb.Entry{e}
	}))
	if got := forwardedFirsts(t, sent); c.last != before+1 || !slices.Equal(got, []uint64{2, 3}) {
		t.Errorf("behind entry %d, which has the first, are sent %v", c.last, got)
	}
	for _, m := range sent {
		if f, ok := m.(peerframe.Forward); ok && f.Oldest != 2 {
			t.Errorf("the oldest is %d", f.Oldest)
		}
	}
}

// How long a follower waited for a word by one connection is no matter by the next one.
func TestForwardsWaitAnewWhenConnected(t *testing.T) {
	const leader = 2
	c := newTestConsensus(t, limits.Defaults())
	c.follow(leader)
	silent := func(d time.Duration) (sent []peerframe.Message) {
		for end := c.at + d; c.at < end; {
			c.turn(from(leader, raftpb.MsgHeartbeat, c.term, nil))
			sent = append(sent, c.pass(TickInterval)...)
		}
		return sent
	}
	c.turn(Propose{Proposal: kv.Proposal{Requests: []uint64{1}, Commands: []kv.Command{new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k")})}, Timeout: time.Minute}})
	if got := forwardedFirsts(t, silent(20*c.ElectionTimeout)); len(got) != 4 {
		t.Fatalf("sent again are %v", got)
	}
	c.turn(Disconnected{Peer: leader})
	c.turn(Connected{Peer: leader})
	if got := forwardedFirsts(t, silent(2*c.ElectionTimeout)); !slices.Equal(got, []uint64{1}) {
		t.Errorf("sent again are %v", got)
	}
}

// The last of what was sent again has nothing behind it to tell that it was lost. It is sent once more while the leader is silent,
// less and less often, for which it is no matter whether it has come; all begins anew when it was silent for an election timeout.
func TestLastForwardIsProbed(t *testing.T) {
	const leader = 2
	c := newTestConsensus(t, limits.Defaults())
	c.follow(leader)
	for range 8 {
		c.turn(Propose{Proposal: kv.Proposal{Requests: []uint64{1}, Commands: []kv.Command{new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k")})}, Timeout: time.Minute}})
	}
	word := func(next uint64, lost bool) []peerframe.Message {
		return c.turn(Received{From: leader, Message: peerframe.Accepted{Term: c.term, Incarnation: c.Incarnation, Next: next, Lost: lost}})
	}
	silent := func(d time.Duration) (sent []peerframe.Message) {
		for end := c.at + d; c.at < end; { // but for its heartbeats
			c.turn(from(leader, raftpb.MsgHeartbeat, c.term, nil))
			sent = append(sent, c.pass(TickInterval)...)
		}
		return sent
	}
	probe := 2 * c.HeartbeatInterval
	for _, step := range []struct {
		what string
		do   func() []peerframe.Message
		want []uint64
	}{
		{"nothing was lost", func() []peerframe.Message { word(3, false); return silent(probe) }, nil},
		{"the third is", func() []peerframe.Message { return word(3, true) }, []uint64{3, 4, 5}},
		{"not yet", func() []peerframe.Message { return silent(probe - TickInterval) }, nil},
		{"silence", func() []peerframe.Message { return silent(TickInterval) }, []uint64{5}},
		{"one before it is lost", func() []peerframe.Message { return word(3, true) }, []uint64{3}},
		{"not yet for a second time", func() []peerframe.Message { return silent(2*probe - TickInterval) }, nil},
		{"that is lost, too", func() []peerframe.Message { return silent(TickInterval) }, []uint64{3}},
		{"and again", func() []peerframe.Message { return silent(4 * probe) }, []uint64{3}},
		{"not yet for an election timeout", func() []peerframe.Message { return silent(c.ElectionTimeout - TickInterval) }, nil},
		{"an election timeout is over", func() []peerframe.Message { return silent(TickInterval) }, []uint64{3}},
		{"it takes what was lost", func() []peerframe.Message { return word(4, false) }, []uint64{4, 5}},
		{"silence", func() []peerframe.Message { return silent(probe) }, []uint64{5}},
		{"it was slow", func() []peerframe.Message { return word(6, false) }, []uint64{6, 7, 8}},
		{"silence", func() []peerframe.Message { return silent(probe) }, []uint64{8}},
		{"it has all", func() []peerframe.Message { word(9, false); return silent(2 * c.ElectionTimeout) }, nil},
	} {
		if got := forwardedFirsts(t, step.do()); !slices.Equal(got, step.want) {
			t.Errorf("%s: sent are %v, want %v", step.what, got, step.want)
		}
	}
}

// The leader says that a batch was lost when a later one comes, and no more once the lost one has come; what it has already
// says nothing.
func TestLeaderTellsOfLostForwards(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	c.lead()
	forward := func(first uint64) Received {
		return Received{From: 3, Message: peerframe.Forward{Term: c.term, Oldest: 1, Envelope: envelope(3, 5, first, 10)}}
	}
	for _, step := range []struct {
		what  string
		comes []ConsensusMessage
		next  uint64
		lost  bool
	}{
		{"in order", []ConsensusMessage{forward(1), forward(2)}, 3, false},
		{"one is lost", []ConsensusMessage{forward(4)}, 3, true},
		{"another behind it, and one that is there", []ConsensusMessage{forward(5), forward(1)}, 3, true},
		{"one that is there alone", []ConsensusMessage{forward(2)}, 3, false},
		{"one behind it, and then itself", []ConsensusMessage{forward(6), forward(3)}, 4, false},
	} {
		var words []peerframe.Accepted
		for _, m := range c.turn(step.comes...) {
			if a, ok := m.(peerframe.Accepted); ok {
				words = append(words, a)
			}
		}
		if len(words) != 1 || words[0].Next != step.next || words[0].Lost != step.lost || words[0].Incarnation != 5 {
			t.Errorf("%s: the leader says %+v, want %d and lost %v", step.what, words, step.next, step.lost)
		}
	}
}

// TestAcceptedBatchesThatDoNotExist has a leader acknowledge batches that this member never packed. Later batches are still sent again
// until the leader has them.
func TestAcceptedBatchesThatDoNotExist(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	c.follow(5)
	c.turn(Received{From: 2, Message: peerframe.Accepted{Term: c.term, Incarnation: c.Incarnation, Next: 1 << 40, Commit: 1 << 40}})
	if c.forwards.next != 0 || c.own.lag.missing(0) > 1<<20 {
		t.Errorf("batches below %d count as accepted, and %d entries as missing", c.forwards.next, c.own.lag.missing(0))
	}
	c.turn(Connected{Peer: 2}, Propose{Proposal: kv.Proposal{Requests: []uint64{1}, Commands: []kv.Command{new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k")})}, Timeout: time.Hour}})
	if n := len(c.forwards.unaccepted()); n != 1 {
		t.Errorf("%d batches wait for the leader's answer, want the one that was forwarded", n)
	}
}
