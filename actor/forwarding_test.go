package actor

import (
	"log/slog"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/log/disk"
)

// sentForwards counts the batches that are forwarded to peers.
type sentForwards int

func (f *sentForwards) Send(_ uint64, m PeerMessage, _ bool) {
	if _, ok := m.(Forward); ok {
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
	l, recovered := openTestLog(t, disk.NewMem(1))
	defer l.Close()
	plenty := Capacity{MustPost: 1 << 20}
	sent := new(sentForwards)
	status := &Status{}
	status.view.Store(index.NewState(limits.Defaults().Index).View())
	c, err := NewConsensus(ConsensusConfig{
		Member: 1, Cluster: 1, Incarnation: 7, HeartbeatInterval: election / 10, ElectionTimeout: election,
		HardState: recovered.HardState, ConfState: testMembers, Window: recovered.Window, Inbox: NewMailbox[ConsensusMessage]("consensus", plenty),
		LogWriter: NewMailbox[LogWriterMessage]("log writer", plenty), Applier: NewMailbox[ApplierMessage]("applier", plenty),
		Snapshotter: NewMailbox[SnapshotterMessage]("snapshotter", plenty), Peers: sent, Status: status, Limits: limits.Defaults(),
		Fail: func(err error) { t.Error(err) }, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	heartbeat := func(now time.Duration, more ...ConsensusMessage) {
		kind, term := raftpb.MsgHeartbeat, recovered.HardState.Term+1
		m := RaftMessage{Message: &raftpb.Message{Type: &kind, To: u(1), From: u(leader), Term: &term, Commit: u(0)}}
		c.Handle(Time{Now: now}, append([]ConsensusMessage{Received{From: leader, Message: m}, Tick{}}, more...))
		for _, m := range drainBox(c.LogWriter) {
			if _, ok := m.(Append); ok {
				c.Handle(Time{Now: now}, []ConsensusMessage{Appended{Orders: 1}})
			}
		}
	}
	now := election
	heartbeat(now, Connected{Peer: leader})
	heartbeat(now, Propose{Proposal: kv.Proposal{Requests: []uint64{1}, Commands: [][]byte{index.AppendPut(nil, &kv.Put{Key: []byte("k")})}, Timeout: time.Hour}})
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
	later := index.AppendPut(nil, &kv.Put{Key: []byte("k")})
	later[1] = 99
	var answers replies
	heartbeat(now, Propose{Proposal: kv.Proposal{ReplyTo: &answers, Requests: []uint64{7}, Commands: [][]byte{later}, Timeout: time.Hour}})
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
