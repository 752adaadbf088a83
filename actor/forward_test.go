package actor

import (
	"log/slog"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/index"
	"qkv/log/disk"
)

// sentFrames counts what is sent to peers.
type sentFrames map[Class]int

func (s sentFrames) Send(_ uint64, class Class, _ []byte, _ bool) { s[class]++ }

// A follower sends a batch that does not come in again, at longer and longer intervals: on a way that is only slow, all
// that it sends again lies before what comes next.
func TestForwardedAgainLessAndLess(t *testing.T) {
	const leader, election = 2, time.Second
	l, recovered := openTestLog(t, disk.NewMem(1))
	defer l.Close()
	sent := sentFrames{}
	deposits := Room{Deposit: 1 << 20}
	status := &Status{}
	status.view.Store(index.NewState().View())
	c, err := NewConsensus(ConsensusConfig{
		Member: 1, Cluster: 1, Incarnation: 7, HeartbeatInterval: election / 10, ElectionTimeout: election,
		HardState: recovered.HardState, ConfState: testMembers, Window: recovered.Window, Inbox: NewMailbox[ConsensusMessage]("consensus", deposits),
		LogWriter: NewMailbox[LogWriterMessage]("log writer", deposits), Applier: NewMailbox[ApplierMessage]("applier", deposits),
		Snapshotter: NewMailbox[SnapshotterMessage]("snapshotter", deposits), Peers: sent, Status: status,
		NameOf: func(uint64) string { return "" }, Fail: func(err error) { t.Error(err) }, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	heartbeat := func(now time.Duration, more ...ConsensusMessage) {
		kind, term := raftpb.MsgHeartbeat, recovered.HardState.Term+1
		m := RaftMessage{&raftpb.Message{Type: &kind, To: u(1), From: u(leader), Term: &term, Commit: u(0)}}
		c.Handle(Time{Now: now}, append([]ConsensusMessage{Received{From: leader, Message: m}, Tick{}}, more...))
		for _, m := range drainBox(c.LogWriter) {
			if _, ok := m.(Append); ok {
				c.Handle(Time{Now: now}, []ConsensusMessage{Appended{Orders: 1}})
			}
		}
	}
	now := election
	heartbeat(now, Connected{Peer: leader})
	heartbeat(now, Propose{Proposal: index.Proposal{Requests: []uint64{1}, Commands: [][]byte{index.AppendPut(nil, []byte("k"), nil, 0)}, Timeout: time.Hour}})
	if n := sent[Replication]; n != 1 {
		t.Fatalf("the batch was sent %d times, want once", n)
	}
	var at []time.Duration
	for begun, seen := now, 1; now < begun+60*election; now += TickInterval {
		heartbeat(now)
		if sent[Replication] > seen {
			seen = sent[Replication]
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
	before := sent[Replication]
	heartbeat(now, Disconnected{Peer: leader})
	heartbeat(now, Connected{Peer: leader})
	if sent[Replication] != before+1 {
		t.Error("not sent again by a new connection")
	}
}

// The clock notices that consensus has had no turn, and that it has one again.
func TestClockWatchesConsensus(t *testing.T) {
	s := &Status{}
	for i := range 100 {
		if silent, want := s.Tick(), time.Duration(i+1)*TickInterval; silent != want {
			t.Fatalf("silent for %v after %d ticks, want %v", silent, i+1, want)
		}
	}
	s.turn()
	if silent := s.Tick(); silent != TickInterval {
		t.Errorf("silent for %v after a turn", silent)
	}
}
