package actor

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"syscall"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/log"
	"qkv/log/disk"
)

// heardPeers notes what a log writer tells others, and what its log had synced by then.
type heardPeers struct {
	t     *testing.T
	log   *log.Log
	heard []string
}

func (p *heardPeers) Send(to uint64, _ Class, frame []byte, _ bool) {
	message, err := DecodePeerMessage(frame, 1, to)
	if err != nil {
		p.t.Fatal(err)
	}
	m, s := message.(RaftMessage), p.log.Stats()
	p.heard = append(p.heard, fmt.Sprintf("%v of term %d, entry %d, to %d: term %d, vote %d, last %d of term %d", m.GetType(),
		m.GetTerm(), m.GetIndex(), to, s.HardState.Term, s.HardState.Vote, s.Index, s.Term))
}

// response waits for an order to be durable.
func response(kind raftpb.MessageType, to, term, index uint64) *raftpb.Message {
	return &raftpb.Message{Type: &kind, From: u(1), To: u(to), Term: u(term), Index: u(index)}
}

// testMembers are those of the cluster that openTestLog founds.
var testMembers = &raftpb.ConfState{Voters: []uint64{1, 2, 3, 4, 5}}

// openTestLog opens the log of member 1, and makes it where there is none.
func openTestLog(t *testing.T, fs *disk.Mem) (*log.Log, *log.Recovered) {
	t.Helper()
	n := uint64(7)
	o := log.Options{FS: fs, Dir: "wal", Cluster: 1, Member: 1, SegmentBytes: 64 << 10, Salt: func() uint64 { n++; return n }}
	if names, err := fs.List("wal"); err != nil || len(names) == 0 {
		if err := log.Create(o, log.Marker{Index: 1, Term: 1, ConfState: testMembers}); err != nil {
			t.Fatal(err)
		}
	}
	l, recovered, err := log.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return l, recovered
}

// newTestLogWriter builds the log writer of member 1, and the mailbox that its reports go to.
func newTestLogWriter(l *log.Log, peers Peers, fail func(error)) (*LogWriter, *Mailbox[ConsensusMessage]) {
	room := Room{Send: 1 << 20, Offer: 1000, Deposit: 1000}
	consensus := NewMailbox[ConsensusMessage]("c", room)
	return NewLogWriter(LogWriterConfig{
		Member: 1, Log: l, Inbox: NewMailbox[LogWriterMessage]("l", room), Consensus: consensus,
		Applier: NewMailbox[ApplierMessage]("a", room), SegmentMaker: NewMailbox[SegmentMakerMessage]("m", room),
		Peers: peers, Status: &Status{}, Yield: func() {}, Fail: fail, Logger: slog.New(slog.DiscardHandler),
	}), consensus
}

// While a sync lasts, a member may be given entries of one leader, campaign, and be given entries of another leader in
// their place. One group holds all that: nothing is said of any before its sync, then everything is, in order. What is
// said of the replaced entries is late, as if the network had delayed it, and does no harm: a quorum has voted for a
// leader without them, and none of it will ever accept them.
func TestReplacedInOneGroup(t *testing.T) {
	orders := []LogWriterMessage{
		Append{Message: &raftpb.Message{
			Term: u(2), Vote: u(2), Commit: u(1), Entries: []*raftpb.Entry{someEntry(2, 2), someEntry(3, 2), someEntry(4, 2)},
			Responses: []*raftpb.Message{response(raftpb.MsgAppResp, 2, 2, 4)},
		}},
		Append{Message: &raftpb.Message{
			Term: u(3), Vote: u(1), Commit: u(1), Responses: []*raftpb.Message{response(raftpb.MsgVote, 3, 3, 4)},
		}},
		Append{Message: &raftpb.Message{
			Entries: []*raftpb.Entry{someEntry(2, 3)}, Responses: []*raftpb.Message{response(raftpb.MsgAppResp, 3, 3, 2)},
		}},
	}
	begin := func(fs *disk.Mem) (*LogWriter, *heardPeers, *error) {
		l, _ := openTestLog(t, fs)
		peers, failure := &heardPeers{t: t, log: l}, new(error)
		w, _ := newTestLogWriter(l, peers, func(err error) { *failure = err })
		return w, peers, failure
	}

	fs := disk.NewMem(1)
	w, peers, failure := begin(fs)
	groups, syncs := w.Log.Stats().Groups, fs.Count(disk.OpSync)
	w.Handle(Time{}, orders)
	if g, s := w.Log.Stats().Groups-groups, fs.Count(disk.OpSync)-syncs; g != 1 || s != 1 || *failure != nil {
		t.Errorf("%d groups and %d syncs, error %v", g, s, *failure)
	}
	const durable = ": term 3, vote 1, last 2 of term 3"
	want := []string{
		"MsgAppResp of term 2, entry 4, to 2" + durable, "MsgVote of term 3, entry 4, to 3" + durable, "MsgAppResp of term 3, entry 2, to 3" + durable,
	}
	if !slices.Equal(peers.heard, want) {
		t.Errorf("heard\n%s\nnot\n%s", strings.Join(peers.heard, "\n"), strings.Join(want, "\n"))
	}
	fs.Crash(disk.Mixture)
	l, _ := openTestLog(t, fs)
	if s := l.Stats(); s.HardState.Term != 3 || s.HardState.Vote != 1 || s.Index != 2 || s.Term != 3 {
		t.Errorf("after a crash the log is %+v", s)
	}

	fs = disk.NewMem(2)
	w, peers, failure = begin(fs)
	fs.Fail(disk.Fault{Call: 1, Op: disk.OpSync, Err: syscall.EIO})
	w.Handle(Time{}, orders)
	if len(peers.heard) > 0 || *failure == nil {
		t.Errorf("after a failed sync, error %v, others hear %q", *failure, peers.heard)
	}
}
