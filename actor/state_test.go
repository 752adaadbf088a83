package actor

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/log"
	"qkv/net/wire/peerframe"
)

// The states that consensus is made of, each by itself: what is done to one, step by step, and what it says then.

// firsts are the numbers of the batches in flight.
func firsts(batches []forwardedBatch) (n []uint64) {
	for _, b := range batches {
		n = append(n, b.first)
	}
	return n
}

func TestForwardsInFlight(t *testing.T) {
	const heartbeat, election = 100 * time.Millisecond, time.Second
	var f forwards
	var again []uint64
	for _, step := range []struct {
		what     string
		do       func()
		now      time.Duration
		inFlight []uint64
		bytes    int64
		due      bool
	}{
		{"nothing is in flight", func() {}, 10 * election, nil, 0, false},
		{"three batches", func() {
			for _, first := range []uint64{5, 9, 12} {
				f.add(first, make([]byte, first), 0)
			}
		}, election - 1, []uint64{5, 9, 12}, 26, false},
		{"an election timeout later", func() {}, election, []uint64{5, 9, 12}, 26, true},
		{"sent again", func() { f.resend(election) }, 3*election - 1, []uint64{5, 9, 12}, 26, false},
		{"twice as long later", func() {}, 3 * election, []uint64{5, 9, 12}, 26, true},
		{"one more batch does not shorten the wait", func() { f.add(20, nil, 2*election) }, 3*election - 1, []uint64{5, 9, 12, 20}, 26, false},
		{"an older batch is seen", func() { f.inLog(4, 3*election) }, 3 * election, []uint64{5, 9, 12, 20}, 26, true},
		{"the second is seen, and so the first", func() { f.inLog(9, 3*election) }, 3*election + 2*heartbeat - 1, []uint64{12, 20}, 12, false},
		{"the wait is short: the leader takes something, and what was sent again may be lost, too", func() {}, 3*election + 2*heartbeat, []uint64{12, 20}, 12, true},
		{"the leader has the first of them", func() { f.acknowledged(13, 4*election) }, 5 * election, []uint64{12, 20}, 12, true},
		{"only the other one is sent again", func() { again = firsts(f.resend(5 * election)) }, 6 * election, []uint64{12, 20}, 12, false},
		{"an old word of the leader's", func() { f.acknowledged(12, 6*election) }, 7 * election, []uint64{12, 20}, 12, true},
		{"the leader has both", func() { f.acknowledged(25, 7*election) }, 100 * election, []uint64{12, 20}, 12, false},
		{"all are seen", func() { f.inLog(20, 4*election) }, 100 * election, nil, 0, false},
		{"a new term", func() { f.add(30, []byte("x"), 0); f.reset() }, 100 * election, nil, 0, false},
	} {
		step.do()
		due := f.due(step.now, election) || f.probeDue(step.now, heartbeat)
		if got := firsts(f.inFlight); !slices.Equal(got, step.inFlight) || f.bytes != step.bytes || due != step.due {
			t.Errorf("%s: in flight %v of %d bytes, due %v", step.what, got, f.bytes, due)
		}
	}
	if !slices.Equal(again, []uint64{20}) {
		t.Errorf("sent again were %v", again)
	}
	f.add(31, nil, 0)
	for range 40 {
		f.resend(0)
	}
	if f.due(16*election-1, election) || !f.due(16*election, election) {
		t.Error("the intervals do not end at sixteen election timeouts")
	}
}

// A leader that drops all but two frames of what comes at once, as one with a full mailbox does, gets all batches in twice
// as many round trips as that takes at most, and not in as many election timeouts; one that drops nothing gets none of them twice.
func TestForwardsAgainAsTheyAreAccepted(t *testing.T) {
	const heartbeat, election, roundTrip, batches = 100 * time.Millisecond, time.Second, time.Millisecond, 200
	for _, tt := range []struct {
		room, roundTrips, sends int
		log                     bool // the log says what is accepted, before the leader's word does
	}{
		{1, 2 * batches, 3 * batches, false},
		{2, batches, 3 * batches, false},
		{batches, 10, batches + 1, false},
		{2, batches, 3 * batches, true},
		{batches, 10, batches + 1, true},
	} {
		var f forwards
		var a acceptedBatches
		a.reset()
		now, who, sends, trips, waits := time.Duration(0), forwarder{1, 7}, 0, 0, 0
		for n := range batches {
			if got := f.add(uint64(n+1), []byte("x"), now); len(got) != 1 {
				t.Fatal("a batch is not sent at once")
			}
		}
		now += election
		for sent := f.resend(now); len(f.unaccepted()) > 0; trips++ {
			if len(sent) == 0 { // the last one was dropped, and none behind it tells
				waits++
				now += 2 * heartbeat
				if !f.probeDue(now, heartbeat) {
					t.Fatalf("room %d: nothing is sent any more, %d are missing", tt.room, len(f.unaccepted()))
				}
				sent = f.probe(now)
			}
			if trips == 3 {
				sent = append(slices.Clip(sent), f.add(batches+1, []byte("x"), now)...)
			}
			sends += len(sent)
			oldest := f.inFlight[0].first
			for _, b := range sent[:min(tt.room, len(sent))] {
				a.accept(who, b.first, 1, oldest)
			}
			now += roundTrip
			if tt.log {
				sent = f.inLog(a.next[who]-1, now)
				if more := f.acknowledged(a.next[who], now); len(more) > 0 {
					t.Errorf("%d batches are sent again at the second word", len(more))
				}
			} else {
				sent = f.acknowledged(a.next[who], now)
			}
			if a.unanswered[0].lost {
				sent = append(slices.Clip(sent), f.lost(a.next[who], now)...)
			}
			a.unanswered = nil
		}
		if trips > tt.roundTrips || sends > tt.sends || waits > 1 || a.next[who] != batches+2 {
			t.Errorf("room %d: %d round trips, %d waits, %d sent again for %d, accepted below %d", tt.room, trips, waits, sends, batches, a.next[who])
		}
		if got := f.add(batches+2, []byte("x"), now); len(got) != 1 {
			t.Error("a batch is not sent at once although the leader has all before it")
		}
	}
}

// A follower whose batches were lost with a connection is level again after some round trips, also when its clients go on
// to write and the leader's words, or the entries of the log, come batch by batch: nobody waits the longer the longer it lasts,
// also where a round trip is longer than the wait for a word of the leader's.
func TestForwardsAgainWhileOthersCome(t *testing.T) {
	const (
		heartbeat, election, each = 100 * time.Millisecond, time.Second, 2 * time.Millisecond
		lost                      = 100
	)
	for _, tt := range []struct {
		oneWay, level time.Duration
		log           bool
		probes        int
	}{
		{25 * time.Millisecond, 500 * time.Millisecond, false, 0},
		{25 * time.Millisecond, 500 * time.Millisecond, true, 0},
		{200 * time.Millisecond, 6 * time.Second, false, 15},
		{200 * time.Millisecond, 6 * time.Second, true, 15},
	} {
		oneWay := tt.oneWay
		var f forwards
		var a acceptedBatches
		a.reset()
		type frame struct {
			arrives       time.Duration
			first, oldest uint64
		}
		type word struct {
			arrives time.Duration
			next    uint64
			lost    bool
		}
		var frames []frame
		var words []word
		who, sends, added := forwarder{1, 7}, 0, map[uint64]time.Duration{}
		send := func(now time.Duration, batches []forwardedBatch) {
			for _, b := range batches {
				sends++
				frames = append(frames, frame{now + oneWay, b.first, f.inFlight[0].first})
			}
		}
		number := uint64(0)
		add := func(now time.Duration) []forwardedBatch {
			number++
			added[number] = now
			return f.add(number, []byte("x"), now)
		}
		for range lost {
			add(0)
		}
		send(0, f.resend(0)) // it is connected again
		var longest time.Duration
		for now := each; now < 2*tt.level; now += each {
			for ; len(frames) > 0 && frames[0].arrives <= now; frames = frames[1:] {
				a.unanswered = nil
				a.accept(who, frames[0].first, 1, frames[0].oldest)
				words = append(words, word{now + oneWay, a.next[who], a.unanswered[0].lost})
			}
			for ; len(words) > 0 && words[0].arrives <= now; words = words[1:] {
				if tt.log {
					send(now, f.inLog(words[0].next-1, now))
				}
				send(now, f.acknowledged(words[0].next, now))
				if words[0].lost {
					send(now, f.lost(words[0].next, now))
				}
			}
			send(now, add(now))
			if f.due(now, election) {
				send(now, f.resend(now))
			} else if f.probeDue(now, heartbeat) {
				send(now, f.probe(now))
			}
			for n, at := range added {
				if n < f.next {
					delete(added, n)
				} else if now > tt.level {
					longest = max(longest, now-at)
				}
			}
		}
		if longest > 2*oneWay+2*each || sends > int(number)+tt.probes {
			t.Errorf("%v away, by the log %v: after %v a batch waits up to %v for the leader, and %d were sent for %d", oneWay, tt.log, tt.level, longest, sends, number)
		}
	}
}

func TestForwardsAreAcceptedOnce(t *testing.T) {
	one, restarted, other := forwarder{2, 70}, forwarder{2, 71}, forwarder{3, 70}
	var a acceptedBatches
	a.reset()
	for _, step := range []struct {
		what          string
		who           forwarder
		first, oldest uint64
		commands      int
		want          bool
	}{
		{"its first batch in this term", one, 5, 5, 4, true},
		{"the same again", one, 5, 5, 4, false},
		{"one is lost before it", one, 12, 5, 1, false},
		{"the lost one", one, 9, 5, 3, true},
		{"the one behind it again", one, 12, 5, 1, true},
		{"what the sender does not want any more is passed over", one, 40, 40, 1, true},
		{"an old one", one, 9, 9, 3, false},
		{"a follower that restarted begins anew", restarted, 1, 1, 2, true},
		{"another follower with the same numbers", other, 5, 5, 4, true},
	} {
		if got := a.accept(step.who, step.first, step.commands, step.oldest); got != step.want {
			t.Errorf("%s: %v", step.what, got)
		}
	}
	if len(a.unanswered) != 3 {
		t.Errorf("answers are due to %v", a.unanswered)
	}
	a.reset()
	if !a.accept(one, 41, 1, 41) {
		t.Error("a new term begins with what its followers have in flight")
	}
}

func TestFollowersAreToldAtOnce(t *testing.T) {
	var a acceptedBatches
	a.reset()
	a.add(deferredBatch{2, []byte("a"), nil})
	a.add(deferredBatch{3, []byte("b"), nil})
	a.add(deferredBatch{2, []byte("c"), nil})
	a.proposed()
	a.proposed()
	a.recordEntry(10)
	if len(a.deferred) != 1 || string(a.deferred[0].envelope) != "c" {
		t.Fatalf("deferred are %v", a.deferred)
	}
	a.proposed()
	a.recordEntry(11)
	for _, step := range []struct {
		follower, commit uint64
		want             bool
	}{{2, 10, false}, {2, 11, true}, {2, 12, false}, {3, 9, false}, {3, 15, true}, {4, 15, false}} {
		if got := a.takeAwaited(step.follower, step.commit); got != step.want {
			t.Errorf("commit %d to follower %d at once: %v", step.commit, step.follower, got)
		}
	}
}

func TestDiskWatch(t *testing.T) {
	const pause, mib = time.Second, int64(1 << 20)
	second := time.Duration(mib) * time.Second / limits.DiskBytesPerSecond // what a MiB may take
	d := diskWatch{groupBytes: limits.GroupBytes}
	for _, step := range []struct {
		what    string
		do      func()
		now     time.Duration
		stalled time.Duration
		bytes   int64
	}{
		{"idle", func() {}, time.Hour, 0, 0},
		{"two orders", func() { d.ordered(0, 9, 1*time.Second); d.ordered(2*mib, 9, 2*time.Second) }, 3 * time.Second, 2 * time.Second, 2 * mib},
		{"the first is reported: the second's turn begins", func() { d.reported(1, 4*time.Second) }, 4*time.Second + 2*second, 0, 2 * mib},
		{"its bytes do not take longer", func() {}, 5*time.Second + 2*second, time.Second, 2 * mib},
		{"a report of no order", func() { d.reported(0, 5*time.Second) }, 5*time.Second + 2*second, time.Second, 2 * mib},
		{"what comes later is in another group", func() { d.ordered(3*mib, 9, 5*time.Second); d.ordered(mib, 9, 5*time.Second) }, 5*time.Second + 2*second, time.Second, 6 * mib},
		{"what waited is in one", func() { d.reported(1, 6*time.Second) }, 7*time.Second + 4*second, time.Second, 4 * mib},
		{"but for what does not fit", func() { d.ordered(mib, 9, 6*time.Second) }, 7*time.Second + 4*second, time.Second, 5 * mib},
		{"the process stood still", func() { d.excludeStop(2*time.Second, 9*time.Second) }, 9*time.Second + 4*second, time.Second, 5 * mib},
		{"the clock goes on", func() {}, 10*time.Second + 4*second, 2 * time.Second, 5 * mib},
		{"a snapshot is taken over", func() { d.restoring() }, time.Hour, 0, 5 * mib},
		{"all is reported", func() { d.reported(3, time.Hour) }, 2 * time.Hour, 0, 0},
		{"an order given while it stood still", func() { d.ordered(0, 9, 3*pause); d.excludeStop(4*pause, 4*pause) }, 5 * pause, pause, 0},
	} {
		step.do()
		if got := d.stalled(step.now); got != step.stalled || d.bytes() != step.bytes || d.idle() != (len(d.orders) == 0) {
			t.Errorf("%s: stalled for %v, %d bytes", step.what, got, d.bytes())
		}
	}
}

// What the disk is at is one group: the orders that were given when it began, as far as they fit.
func TestDiskIsAtOneGroup(t *testing.T) {
	const mib = int64(1 << 20)
	d := diskWatch{groupBytes: limits.GroupBytes}
	for i, bytes := range []int64{3 * mib, 0, mib, 2 * mib, 2 * mib, 9 * mib, 0} {
		d.ordered(bytes, uint64(10*(i+1)), time.Second)
	}
	d.ordered(0, 80, 2*time.Second)
	for _, want := range []struct {
		report int
		bytes  int64
		last   uint64
	}{{0, limits.GroupBytes, 30}, {3, limits.GroupBytes, 50}, {2, 9 * mib, 60}, {1, 0, 80}, {1, 0, 80}} {
		d.reported(want.report, 3*time.Second)
		if bytes, last := d.underWay(); bytes != want.bytes || last != want.last {
			t.Errorf("the disk is at %d bytes up to entry %d, want %d up to %d", bytes, last, want.bytes, want.last)
		}
	}
}

// A read that the disk does not answer shows, however many are ordered behind it.
func TestReadWatch(t *testing.T) {
	var w readWatch
	w.ordered(0)
	w.ordered(5 * time.Second)
	if got := w.stalled(6 * time.Second); got != 6*time.Second {
		t.Errorf("the first of two reads is under way for %v, want 6s", got)
	}
	w.reported(6 * time.Second)
	if got := w.stalled(7 * time.Second); got != time.Second {
		t.Errorf("the second one is under way for %v, want 1s", got)
	}
	if w.reported(7 * time.Second); w.stalled(8*time.Second) != 0 {
		t.Error("nothing is under way")
	}
}

func TestHardStatesRide(t *testing.T) {
	order := func(term, vote, commit uint64, entries int, responses int) *raftpb.Message {
		m := &raftpb.Message{}
		if term > 0 {
			m.Term, m.Vote, m.Commit = &term, &vote, &commit
		}
		for range entries {
			m.Entries = append(m.Entries, someEntry(1, 1))
		}
		for range responses {
			m.Responses = append(m.Responses, &raftpb.Message{})
		}
		return m
	}
	h := hardStates{ordered: log.HardState{Term: 3, Vote: 1, Commit: 5}, commit: 5}
	for _, step := range []struct {
		what string
		m    *raftpb.Message
		held bool
		want string // the order's hard state
	}{
		{"a commit index alone", order(3, 1, 6, 0, 0), true, ""},
		{"a newer one", order(3, 1, 7, 0, 0), true, ""},
		{"an order with entries takes it along", order(0, 0, 0, 1, 0), false, "3 1 7"},
		{"nothing waits any more", order(0, 0, 0, 1, 0), false, ""},
		{"a commit index with entries", order(3, 1, 8, 1, 0), false, "3 1 8"},
		{"a commit index with a response", order(3, 1, 9, 0, 1), false, "3 1 9"},
		{"one alone again", order(3, 1, 10, 0, 0), true, ""},
		{"a response alone takes it along", order(0, 0, 0, 0, 1), false, "3 1 10"},
		{"a new term alone", order(4, 0, 10, 0, 0), false, "4 0 10"},
		{"a vote alone", order(4, 2, 10, 0, 0), false, "4 2 10"},
		{"a commit index behind a vote", order(4, 2, 11, 0, 0), true, ""},
		{"an order takes it along, and the vote", order(0, 0, 0, 1, 0), false, "4 2 11"},
		{"a snapshot", &raftpb.Message{Snapshot: snapshotAt(20, 4, testMembers)}, false, ""},
	} {
		held := h.absorb(step.m)
		got := ""
		if step.m.Term != nil && !held {
			got = fmt.Sprint(step.m.GetTerm(), step.m.GetVote(), step.m.GetCommit())
		}
		if held != step.held || got != step.want {
			t.Errorf("%s: held %v, hard state %q", step.what, held, got)
		}
	}
	h.absorb(order(4, 2, 11, 0, 0))
	h.recordOrder(0)
	if _, due := h.fence(fenceAfter - 1); due {
		t.Error("a fence before the log is idle")
	}
	if commit, due := h.fence(fenceAfter); !due || commit != 11 {
		t.Errorf("a fence with commit index %d, due %v", commit, due)
	}
	if _, due := h.fence(2 * fenceAfter); due {
		t.Error("a second fence in the same rest")
	}
	if m := order(0, 0, 0, 1, 0); h.absorb(m) || m.Term != nil {
		t.Error("the fence has carried the commit index, and an order carries it again")
	}
}

func TestLag(t *testing.T) {
	const after, pause = 2 * time.Second, time.Second
	var l replicationLag
	var before time.Duration
	for _, step := range []struct {
		what            string
		commit, applied uint64
		now             time.Duration // in tenths of a second
		missing         uint64
		far             bool
	}{
		{"nothing is known", 0, 50, 0, 0, false},
		{"level", 50, 50, 5, 0, false},
		{"the leader is ahead", 1000, 60, 10, 940, false},
		{"it goes on, and so does this member", 2000, 900, 19, 1100, false},
		{"the first mark is reached", 3000, 1000, 28, 2000, false},
		{"the next one is not", 3500, 1100, 37, 2400, false},
		{"it has time", 4000, 1150, 46, 2850, false},
		{"after two seconds it is not reached", 4000, 1200, 49, 2800, true},
		{"the process stood still", 4000, 1200, 60, 2800, false},
		{"level again", 4000, 4000, 69, 0, false},
		{"and later", 4100, 4000, 78, 100, false},
	} {
		l.recordCommit(step.commit)
		now := step.now * time.Second / 10
		if now-before >= pause {
			l.excludeStop(now)
		}
		l.tick(step.applied, now)
		before = now
		if l.missing(step.applied) != step.missing || l.far(step.applied, now, after) != step.far {
			t.Errorf("%s: %d missing, far %v", step.what, l.missing(step.applied), l.far(step.applied, now, after))
		}
	}
}

func TestLogIsKeptForFollowers(t *testing.T) {
	const base = 100
	for _, test := range []struct {
		p    tracker.Progress
		want uint64
	}{
		{tracker.Progress{State: tracker.StateReplicate, Match: 150, Next: 190}, 150},
		{tracker.Progress{State: tracker.StateReplicate, Match: 90, Next: 190}, base},
		{tracker.Progress{State: tracker.StateSnapshot, Match: 20, PendingSnapshot: 130}, 130},
		{tracker.Progress{State: tracker.StateProbe, Match: 150, Next: 160}, base},
	} {
		if got := neededFrom(test.p, base); got != test.want {
			t.Errorf("%v %d: needs what is behind %d, want %d", test.p.State, test.p.Match, got, test.want)
		}
	}
}

// requests are the numbers of the requests of some reads.
func requests(reads []waitingRead) (n []uint64) {
	for _, r := range reads {
		n = append(n, r.Requests...)
	}
	return n
}

// TestLongestTimeoutOfABatchCounts: reads, lease questions and proposals travel in batches. A batch is answered as expired only when the
// longest timeout in it is over, wherever in the batch the request with that timeout stands.
func TestLongestTimeoutOfABatchCounts(t *testing.T) {
	for _, timeouts := range [][]time.Duration{{time.Second, 3 * time.Second, 2 * time.Second}, {3 * time.Second, time.Second}, {time.Second, 3 * time.Second}} {
		var r reads
		var p proposals
		for i, timeout := range timeouts {
			r.add(ReadIndex{Requests: []uint64{uint64(i)}, Timeout: timeout}, time.Minute)
			one, _ := proposalOf(1)
			one.Timeout = timeout
			p.add(Propose{Proposal: one}, time.Minute)
		}
		const want = time.Minute + 3*time.Second
		context, _ := r.begin(time.Minute)
		if all, until, ok := r.confirmed(context); !ok || len(all) != len(timeouts) || until != want {
			t.Errorf("reads with timeouts of %v, begun after 1m: %d wait until %v, not until %v", timeouts, len(all), until, want)
		}
		if b := p.pack(limits.Defaults()); len(b.commands) != len(timeouts) || b.until != want {
			t.Errorf("proposals with timeouts of %v, begun after 1m: %d wait until %v, not until %v", timeouts, len(b.commands), b.until, want)
		}

		c := newTestConsensus(t, limits.Defaults())
		c.turn(from(2, raftpb.MsgHeartbeat, 5, func(m *raftpb.Message) { m.Commit = u(0) }))
		begun, told := c.at, peerframe.LeaseTimes{Index: 1}
		for i, timeout := range timeouts {
			c.turn(AskLeases{ReplyTo: nobody{}, Requests: []uint64{uint64(i)}, Asks: []kv.LeaseAsk{{Lease: int64(i)}}, Timeout: timeout})
		}
		for _, m := range c.pass(TickInterval) {
			if m, ok := m.(peerframe.LeaseAsks); ok {
				for _, ask := range m.Asks {
					told.Times = append(told.Times, peerframe.LeaseTime{Number: ask.Number})
				}
			}
		}
		c.Handle(Time{Now: c.at}, []ConsensusMessage{Received{From: 2, Message: told}})
		ready, _ := drainBox(c.Applier)[0].(readReady)
		if len(ready.Leases) != len(timeouts) || ready.Until != begun+3*time.Second {
			t.Errorf("lease questions with timeouts of %v, begun after %v: %d wait until %v", timeouts, begun, len(ready.Leases), ready.Until)
		}
	}
}

func TestReadAttempts(t *testing.T) {
	r := reads{next: 100}
	read := func(request uint64, timeout time.Duration) {
		r.add(ReadIndex{Requests: []uint64{request}, Timeout: timeout}, 0)
	}
	context := func(id uint64) []byte { return binary.BigEndian.AppendUint64(nil, id) }
	var asked [][]byte
	begin := func() {
		if c, begun := r.begin(0); begun {
			asked = append(asked, c)
		}
	}
	var answered []uint64
	confirm := func(c []byte) {
		requests, _, _ := r.confirmed(c)
		for _, a := range requests {
			answered = append(answered, a.Number)
		}
	}
	for _, step := range []struct {
		what     string
		do       func()
		asked    int
		waiting  []uint64
		answered []uint64
	}{
		{"nothing to read", begin, 0, nil, nil},
		{"two reads, one round", func() { read(1, time.Second); read(2, time.Second); begin() }, 1, nil, nil},
		{"a second round beside it", func() { read(3, time.Second); begin() }, 2, nil, nil},
		{"no third", func() { read(4, time.Second); begin() }, 2, []uint64{4}, nil},
		{"an unknown round", func() { confirm(context(1)) }, 2, []uint64{4}, nil},
		{"no round at all", func() { confirm(nil) }, 2, []uint64{4}, nil},
		{"the second round first", func() { confirm(context(102)) }, 2, []uint64{4}, []uint64{3}},
		{"a leader changes: the first round's reads wait again", func() { r.void() }, 2, []uint64{4, 1, 2}, []uint64{3}},
		{"the void round's answer comes late", func() { confirm(context(101)) }, 2, []uint64{4, 1, 2}, []uint64{3}},
		{"the next round", begin, 3, nil, []uint64{3}},
		{"it is lost", func() { r.retry(time.Second-1, time.Second) }, 3, nil, []uint64{3}},
		{"for long", func() { r.retry(time.Second, time.Second) }, 3, []uint64{4, 1, 2}, []uint64{3}},
	} {
		step.do()
		if got := requests(r.waiting); len(asked) != step.asked || !slices.Equal(got, step.waiting) || !slices.Equal(answered, step.answered) {
			t.Errorf("%s: %d rounds, waiting %v, answered %v", step.what, len(asked), got, answered)
		}
	}
	read(5, time.Hour)
	begin()
	read(6, time.Minute)
	read(7, 2*time.Hour)
	if got := requests(r.takeExpired(time.Second)); !slices.Equal(got, []uint64{4, 1, 2}) {
		t.Errorf("expired in an attempt are %v", got)
	}
	if got := requests(r.takeExpired(limits.RequestTimeout)); !slices.Equal(got, []uint64{6, 7, 5}) {
		t.Errorf("expired, a timeout of hours is bounded: %v", got)
	}
	for range readsDeferred + 10 {
		r.deferRead(&raftpb.Message{})
	}
	if n := len(r.deferred); n != readsDeferred {
		t.Errorf("%d reads of peers are kept", n)
	}
}

func TestProposalsArePacked(t *testing.T) {
	small, large := make([]byte, 10), make([]byte, limits.BatchBytes-5)
	proposal := func(commands ...[]byte) kv.Proposal {
		var p kv.Proposal
		for i, c := range commands {
			p.Commands = append(p.Commands, kv.Command{Bytes: c})
			p.Requests = append(p.Requests, uint64(i))
		}
		return p
	}
	many := make([][]byte, limits.BatchCommands+1)
	for i := range many {
		many[i] = []byte{1}
	}
	for _, test := range []struct {
		what      string
		proposals []kv.Proposal
		batches   []int // commands of each
	}{
		{"of two clients in one", []kv.Proposal{proposal(small), proposal(small, small)}, []int{3}},
		{"a proposal over two batches", []kv.Proposal{proposal(small, large, small)}, []int{1, 1, 1}},
		{"one too large for any", []kv.Proposal{proposal(make([]byte, 2*limits.BatchBytes)), proposal(small)}, []int{1, 1}},
		{"one too many", []kv.Proposal{proposal(many...)}, []int{limits.BatchCommands, 1}},
	} {
		p := proposals{next: 7}
		want := int64(0)
		for _, one := range test.proposals {
			p.add(Propose{Proposal: one}, 0)
			want += kv.CommandBytes(one.Commands)
		}
		if p.bytes != want {
			t.Errorf("%s: %d bytes, want %d", test.what, p.bytes, want)
		}
		next := uint64(7)
		for i, n := range test.batches {
			again := p.pack(limits.Defaults())
			again.commands = slices.Clone(again.commands)
			b := p.pack(limits.Defaults())
			if len(b.commands) != n || len(b.requests) != n || b.first != next || len(again.commands) != n {
				t.Fatalf("%s: batch %d has %d commands from %d on, want %d from %d on", test.what, i, len(b.commands), b.first, n, next)
			}
			p.take(b)
			next += uint64(n)
		}
		if len(p.waiting) != 0 || p.bytes != 0 {
			t.Errorf("%s: %d proposals and %d bytes are left", test.what, len(p.waiting), p.bytes)
		}
	}
	p := proposals{}
	for _, timeout := range []time.Duration{2 * time.Second, time.Second} {
		one := proposal(small)
		one.Timeout = timeout
		p.add(Propose{Proposal: one}, 0)
	}
	b := p.pack(limits.Defaults())
	if p.take(b); len(b.commands) != 2 || b.until != 2*time.Second {
		t.Errorf("a batch of %d commands is waited for until %v, want 2 until 2s", len(b.commands), b.until)
	}
	half := proposal(large, small)
	half.Timeout = time.Second
	p.add(Propose{Proposal: half}, 0)
	p.add(Propose{Proposal: proposal(small)}, 0)
	p.take(p.pack(limits.Defaults()))
	if expired := p.takeExpired(time.Second); len(expired) != 1 || expired[0].packed != 1 || p.bytes != 10 || len(p.waiting) != 1 {
		t.Errorf("expired %d, %d bytes and %d proposals are left", len(expired), p.bytes, len(p.waiting))
	}
}
