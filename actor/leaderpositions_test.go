package actor

import (
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/log"
	"qkv/net/wire/peerframe"
)

// What is heard of a leader's disk: the newest of a term, and what of all of it is committed.
func TestLeaderEnds(t *testing.T) {
	type told struct{ term, durable, commit uint64 }
	for name, c := range map[string]struct {
		told []told
		want leaderPosition
	}{
		"nothing":                       {nil, leaderPosition{}},
		"not told":                      {[]told{{5, 0, 9}}, leaderPosition{}},
		"committed without it":          {[]told{{5, 7, 9}}, leaderPosition{5, 7, 7}},
		"not committed yet":             {[]told{{5, 9, 7}}, leaderPosition{5, 9, 7}},
		"a heartbeat to one that lags":  {[]told{{5, 9, 8}, {5, 9, 2}}, leaderPosition{5, 9, 8}},
		"a heartbeat that is overtaken": {[]told{{5, 9, 8}, {5, 8, 7}}, leaderPosition{5, 9, 8}},
		"another term, after a cut":     {[]told{{5, 9, 6}, {7, 8, 6}}, leaderPosition{7, 8, 6}},
	} {
		ends, status := leaderPositions{reported: map[uint64]leaderPosition{}}, &Status{}
		for _, told := range c.told {
			kind := raftpb.MsgHeartbeat
			ends.record(2, peerframe.Raft{Message: &raftpb.Message{Type: &kind, Term: &told.term, Commit: &told.commit}, Durable: told.durable})
		}
		ends.publish(status)
		if got := status.leaderPosition(2); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// A leader tells of an entry when it is on its disk, not before: what a loss of power takes nobody may miss. With the commit of an
// entry that needs its disk, it tells that.
func TestLeaderTellsWhatIsDurable(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	c.lead()
	was := c.last
	if was != c.elections.positions.durable {
		t.Fatalf("it leads with entry %d on its disk, and would tell %d", was, c.elections.positions.durable)
	}
	told := func(sent []peerframe.Message, kind raftpb.MessageType) (durable uint64, commit uint64) {
		for _, m := range sent {
			if r, ok := m.(peerframe.Raft); ok && r.GetType() == kind {
				durable, commit = max(durable, r.Durable), max(commit, r.GetCommit())
			}
		}
		return durable, commit
	}
	put := kv.Proposal{ReplyTo: nobody{}, Requests: []uint64{1}, Commands: []kv.Command{new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k")})}, Timeout: time.Minute}
	c.stalled = true // the disk
	sent := c.turn(Propose{Proposal: put})
	sent = append(sent, c.pass(c.HeartbeatInterval)...)
	for _, kind := range []raftpb.MessageType{raftpb.MsgApp, raftpb.MsgHeartbeat} {
		if durable, _ := told(sent, kind); durable != was {
			t.Errorf("%v tells of entry %d while the disk has %d", kind, durable, was)
		}
	}
	c.stalled = false
	c.pass(TickInterval)
	sent = c.turn(from(2, raftpb.MsgAppResp, c.term, func(m *raftpb.Message) { m.Index = u(was + 1) }))
	if durable, commit := told(sent, raftpb.MsgApp); durable != was+1 || commit != was+1 {
		t.Errorf("with the commit of entry %d it tells of entry %d, both are %d", commit, durable, was+1)
	}
	for _, m := range sent {
		if r, ok := m.(peerframe.Raft); ok && r.Durable != 0 && !carriesPosition(r.Message) {
			t.Errorf("%v tells", r.GetType())
		}
	}
}

// The end of the log may go back, by a leader that replaces entries, and by a snapshot: what is told follows it.
func TestDurableEndFollowsTheLog(t *testing.T) {
	ends := leaderPositions{durable: 9}
	for _, c := range []struct {
		m    appended
		want uint64
	}{
		{appended{Orders: 1}, 9},
		{appended{Entries: []*raftpb.Entry{someEntry(10, 1), someEntry(11, 1)}}, 11},
		{appended{Entries: []*raftpb.Entry{someEntry(8, 2)}}, 8},
		{appended{Marker: &log.Marker{Index: 20}}, 20},
		{appended{Marker: &log.Marker{Index: 30}, Entries: []*raftpb.Entry{someEntry(31, 3)}}, 31},
	} {
		if ends.synced(c.m); ends.durable != c.want {
			t.Errorf("after %+v it is %d, want %d", c.m, ends.durable, c.want)
		}
	}
}

// Who leads no more is not heard: its disk says nothing of a term that is over.
func TestEndOfAnOldLeaderIsNotHeard(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	tells := func(by, term, durable uint64) {
		kind := raftpb.MsgHeartbeat
		c.turn(Received{From: by, Message: peerframe.Raft{Message: &raftpb.Message{Type: &kind, From: u(by), To: u(1), Term: &term, Commit: u(1)}, Durable: durable}})
		c.pass(TickInterval)
	}
	tells(2, 5, 7)
	tells(3, 4, 8)
	tells(3, 1<<60, 9)
	if two, three := c.Status.leaderPosition(2), c.Status.leaderPosition(3); two != (leaderPosition{5, 7, 1}) || three != (leaderPosition{}) {
		t.Errorf("heard of n2 %+v, of n3 %+v", two, three)
	}
}
