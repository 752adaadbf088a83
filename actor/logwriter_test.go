package actor

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"syscall"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/actor/space"
	"qkv/index"
	"qkv/internal/limits"
	"qkv/log"
	"qkv/log/disk/simdisk"
	"qkv/net/wire/peerframe"
)

// heardPeers notes what a log writer tells others, and what its log had synced by then.
type heardPeers struct {
	t     *testing.T
	log   *log.Log
	heard []string
}

func (p *heardPeers) Send(to uint64, message peerframe.Message, _ bool) {
	m, s := message.(peerframe.Raft), p.log.Stats()
	p.heard = append(p.heard, fmt.Sprintf("%v of term %d, entry %d, to %d: term %d, vote %d, last %d of term %d", m.GetType(),
		m.GetTerm(), m.GetIndex(), to, s.HardState.Term, s.HardState.Vote, s.Index, s.Term))
}

// SetMembers implements Peers.
func (*heardPeers) SetMembers(index.Members) {}

// CheckAlive implements Peers.
func (*heardPeers) CheckAlive(uint64) {}

// response waits for an order to be durable.
func response(kind raftpb.MessageType, to, term, index uint64) *raftpb.Message {
	return &raftpb.Message{Type: &kind, From: u(1), To: u(to), Term: u(term), Index: u(index)}
}

// testMembers are those of the cluster that openTestLog founds.
var testMembers = &raftpb.ConfState{Voters: []uint64{1, 2, 3, 4, 5}}

// openTestLog opens the log of member 1, and makes it where there is none.
func openTestLog(t *testing.T, fs *simdisk.Disk) (*log.Log, *log.Recovered) {
	t.Helper()
	return openLogOf(t, fs, 64<<10, nil)
}

// openLogOf opens that log with segments of a size, and a reserve.
func openLogOf(t *testing.T, fs *simdisk.Disk, segmentBytes int64, reserve func() int64) (*log.Log, *log.Recovered) {
	t.Helper()
	n := uint64(7)
	o := log.Options{
		FS: fs, Dir: "wal", Cluster: 1, Member: 1, SegmentBytes: segmentBytes, WindowBytes: limits.WindowBytes,
		Salt: func() uint64 { n++; return n }, Reserve: reserve,
	}
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
	room := Capacity{Send: 1 << 20, Offer: 1000, MustPost: 1000}
	consensus := NewMailbox[ConsensusMessage]("c", room)
	return NewLogWriter(LogWriterConfig{
		Member: 1, Log: l, Inbox: NewMailbox[LogWriterMessage]("l", room), Consensus: consensus,
		Applier: NewMailbox[ApplierMessage]("a", room), SegmentMaker: NewMailbox[SegmentMakerMessage]("m", room),
		Peers: peers, Status: &Status{}, Limits: limits.Defaults(), Clock: func() Time { return Time{} }, Yield: func() {}, Fail: fail, Logger: slog.New(slog.DiscardHandler),
	}), consensus
}

// handleAll lets a log writer work until nothing waits for it.
func handleAll(w *LogWriter, batch []LogWriterMessage) {
	for again := w.Handle(Time{}, batch); again; {
		again = w.Handle(Time{}, nil)
	}
}

// What a start has to say in segments, and the files that it lets go of, come to the segment maker in this order.
func TestNextSegmentsBeforeRecycle(t *testing.T) {
	l, _ := openTestLog(t, simdisk.New(1))
	l.Release(1)
	w, _ := newTestLogWriter(l, noPeers{}, func(err error) { t.Error(err) })
	var kinds []string
	for _, m := range drainBox(w.SegmentMaker) {
		kinds = append(kinds, fmt.Sprintf("%T", m))
	}
	if want := []string{"actor.nextSegments", "actor.recycle"}; len(kinds) < 2 || !slices.Equal(kinds[:2], want) {
		t.Errorf("the segment maker gets %q, and first %q are wanted", kinds, want)
	}
}

// What waits for the disk is written in groups of a bounded size, and each is reported before the next one begins.
func TestGroupsAreBounded(t *testing.T) {
	fs := simdisk.New(1)
	l, _ := openTestLog(t, fs)
	w, consensus := newTestLogWriter(l, noPeers{}, func(err error) { t.Error(err) })
	const orders, size = 20, 700 << 10
	var batch []LogWriterMessage
	for i := range uint64(orders) {
		e := someEntry(2+i, 1)
		e.Data = make([]byte, size)
		batch = append(batch, appendOrder{Message: &raftpb.Message{Entries: []*raftpb.Entry{e}}})
	}
	reported := 0
	for again := true; again; batch = nil {
		before := w.Status.Durable().Last
		again = w.Handle(Time{}, batch)
		bytes, n := int64(w.Status.Durable().Last-before)*size, 0
		for _, m := range drainBox(consensus) {
			if a, ok := m.(appended); ok {
				n += a.Orders
			}
		}
		if bytes > limits.GroupBytes || bytes < limits.GroupBytes/2 && again || n == 0 {
			t.Errorf("a group of %d bytes, %d orders reported", bytes, n)
		}
		reported += n
	}
	if reported != orders {
		t.Errorf("%d of %d orders are reported", reported, orders)
	}
}

// An order that finds no room waits alone: all that was ordered before it is reported, so that it can be applied, and a snapshot of
// it makes room. What it brings counts as room that the next snapshot takes.
func TestOrderWithoutRoomWaitsAlone(t *testing.T) {
	fs := simdisk.New(1)
	fs.SetCapacity(1 << 30)
	reserve := int64(0)
	l, _ := openLogOf(t, fs, 64<<10, func() int64 { return reserve })
	reserve = 1 << 40 // no other segment may be made
	w, consensus := newTestLogWriter(l, noPeers{}, func(err error) { t.Error(err) })
	w.Status.view.Store(index.NewState(limits.Defaults().Index).View())
	w.Status.reportDisk(func(d *space.Disk) { d.Full = true })
	var batch []LogWriterMessage
	for i := range uint64(12) {
		e := someEntry(2+i, 1)
		e.Data = make([]byte, 10_000)
		batch = append(batch, appendOrder{Message: &raftpb.Message{Entries: []*raftpb.Entry{e}}})
	}
	handleAll(w, batch)
	reported := 0
	for _, m := range drainBox(consensus) {
		if a, ok := m.(appended); ok {
			reported += a.Orders
		}
	}
	if last := int(w.Status.Durable().Last) - 1; reported != 4 || last != reported || !w.Status.Disk().LogWaits {
		t.Errorf("%d orders are reported, %d entries are in the log, it waits %v", reported, last, w.Status.Disk().LogWaits)
	}
	if got := w.Status.Disk().Unapplied; got < 5*10_000 || got >= 6*10_000 {
		t.Errorf("%d bytes are not applied", got)
	}
}

// A group waits for room. A spare segment and a snapshot come in one turn: the snapshot takes the place of the group, and the spare is
// kept. A log writer that lost the spare would count it as ordered for ever, and order one less from then on.
func TestSpareThatComesWithASnapshotIsKept(t *testing.T) {
	fs := simdisk.New(1)
	fs.SetCapacity(1 << 30)
	reserve := int64(0)
	l, _ := openLogOf(t, fs, 64<<10, func() int64 { return reserve })
	reserve = 1 << 40 // no other segment may be made
	w, _ := newTestLogWriter(l, noPeers{}, func(err error) { t.Error(err) })
	w.Status.view.Store(index.NewState(limits.Defaults().Index).View())
	if w.ordered != limits.SpareSegments {
		t.Fatalf("%d spares are on order, not %d", w.ordered, limits.SpareSegments)
	}
	e := someEntry(2, 1)
	e.Data = make([]byte, 100_000)
	handleAll(w, []LogWriterMessage{appendOrder{Message: &raftpb.Message{Entries: []*raftpb.Entry{e}}}})
	if w.waiting == nil {
		t.Fatal("no group waits for room")
	}
	handleAll(w, []LogWriterMessage{
		spareMade{Name: "wal/spare-test"},
		appendOrder{Message: &raftpb.Message{Term: u(4), Vote: u(0), Commit: u(10), Snapshot: snapshotAt(10, 3, testMembers)}},
	})
	handleAll(w, []LogWriterMessage{stateRestored{}})
	if spares := l.Stats().Spares; spares != 1 || spares+w.ordered != limits.SpareSegments || l.Stats().Index != 10 {
		t.Errorf("%d spares are there and %d on order, of %d; the log ends at %d", spares, w.ordered, limits.SpareSegments, l.Stats().Index)
	}
}

// When released files are handed on, the published size of the log is already without them: the segment maker keeps as many as that size
// leaves of the log's budget.
func TestReleasedFilesAreOfTheLogNoMore(t *testing.T) {
	l, _ := openLogOf(t, simdisk.New(1), 64<<10, nil)
	w, _ := newTestLogWriter(l, noPeers{}, func(err error) { t.Error(err) })
	w.Status.view.Store(index.NewState(limits.Defaults().Index).View())
	for i := range uint64(10) {
		e := someEntry(2+i, 1)
		e.Data = make([]byte, 20_000)
		handleAll(w, []LogWriterMessage{appendOrder{Message: &raftpb.Message{Entries: []*raftpb.Entry{e}}}})
	}
	before := w.Status.Durable().FileBytes
	drainBox(w.SegmentMaker)
	w.Handle(Time{}, []LogWriterMessage{release{UpTo: 11}})
	released := 0
	for _, m := range drainBox(w.SegmentMaker) {
		if r, ok := m.(recycle); ok {
			released += len(r.Names)
		}
	}
	if got := w.Status.Durable().FileBytes; released < 3 || got != l.Stats().Bytes || got > before-3*64<<10 {
		t.Errorf("%d files are released; the log had %d bytes, has %d, and publishes %d", released, before, l.Stats().Bytes, got)
	}
}

// What is written and not applied counts until it is applied, or others are written in its place.
func TestUnapplied(t *testing.T) {
	var u unapplied
	entries := func(first, last uint64) (all []*raftpb.Entry) {
		for i := first; i <= last; i++ {
			e := someEntry(i, 1)
			e.Data = make([]byte, 100)
			all = append(all, e)
		}
		return all
	}
	one := entryBytes(entries(1, 1))
	for i, step := range []struct {
		entries []*raftpb.Entry
		applied uint64
		want    int64
	}{
		{entries(2, 4), 0, 3},
		{entries(5, 5), 1, 4},
		{nil, 3, 4},
		{nil, 4, 1},
		{entries(6, 9), 4, 5},
		{entries(6, 7), 5, 2},
		{nil, 7, 0},
		{nil, 9, 0},
		{entries(8, 8), 7, 1},
		{entries(8, 8), 7, 1},
		{entries(3, 3), 2, 1},
		{nil, 20, 0},
	} {
		u.add(step.entries)
		if got := u.bytesAfter(step.applied); got != step.want*one {
			t.Errorf("step %d: %d entries of %d bytes", i, got/one, one)
		}
	}
}

// While a sync lasts, a member may be given entries of one leader, campaign, and be given entries of another leader in
// their place. One group holds all that: nothing is said of any before its sync, then everything is, in order. What is
// said of the replaced entries is late, as if the network had delayed it, and does no harm: a quorum has voted for a
// leader without them, and none of it will ever accept them.
func TestReplacedInOneGroup(t *testing.T) {
	orders := []LogWriterMessage{
		appendOrder{Message: &raftpb.Message{
			Term: u(2), Vote: u(2), Commit: u(1), Entries: []*raftpb.Entry{someEntry(2, 2), someEntry(3, 2), someEntry(4, 2)},
			Responses: []*raftpb.Message{response(raftpb.MsgAppResp, 2, 2, 4)},
		}},
		appendOrder{Message: &raftpb.Message{
			Term: u(3), Vote: u(1), Commit: u(1), Responses: []*raftpb.Message{response(raftpb.MsgVote, 3, 3, 4)},
		}},
		appendOrder{Message: &raftpb.Message{
			Entries: []*raftpb.Entry{someEntry(2, 3)}, Responses: []*raftpb.Message{response(raftpb.MsgAppResp, 3, 3, 2)},
		}},
	}
	begin := func(fs *simdisk.Disk) (*LogWriter, *heardPeers, *error) {
		l, _ := openTestLog(t, fs)
		peers, failure := &heardPeers{t: t, log: l}, new(error)
		w, _ := newTestLogWriter(l, peers, func(err error) { *failure = err })
		return w, peers, failure
	}

	fs := simdisk.New(1)
	w, peers, failure := begin(fs)
	groups, syncs := w.Log.Stats().Groups, fs.Count(simdisk.OpSync)
	handleAll(w, orders)
	if g, s := w.Log.Stats().Groups-groups, fs.Count(simdisk.OpSync)-syncs; g != 1 || s != 1 || *failure != nil {
		t.Errorf("%d groups and %d syncs, error %v", g, s, *failure)
	}
	const durable = ": term 3, vote 1, last 2 of term 3"
	want := []string{
		"MsgAppResp of term 2, entry 4, to 2" + durable, "MsgVote of term 3, entry 4, to 3" + durable, "MsgAppResp of term 3, entry 2, to 3" + durable,
	}
	if !slices.Equal(peers.heard, want) {
		t.Errorf("heard\n%s\nnot\n%s", strings.Join(peers.heard, "\n"), strings.Join(want, "\n"))
	}
	fs.Crash(simdisk.Mixture)
	l, _ := openTestLog(t, fs)
	if s := l.Stats(); s.HardState.Term != 3 || s.HardState.Vote != 1 || s.Index != 2 || s.Term != 3 {
		t.Errorf("after a crash the log is %+v", s)
	}

	fs = simdisk.New(2)
	w, peers, failure = begin(fs)
	fs.Fail(simdisk.Fault{Call: 1, Op: simdisk.OpSync, Err: syscall.EIO})
	handleAll(w, orders)
	if len(peers.heard) > 0 || *failure == nil {
		t.Errorf("after a failed sync, error %v, others hear %q", *failure, peers.heard)
	}
}

// A log whose files were removed has lost what it acknowledged: nobody is told that it is safe.
func TestRemovedLogIsNotCalledSafe(t *testing.T) {
	gone := logFailed(fmt.Errorf("opening the spare segment: %w", fs.ErrNotExist))
	if !errors.Is(gone, ErrDisk) || strings.Contains(gone.Error(), "acknowledged writes are safe") || !strings.Contains(gone.Error(), "A lost member") {
		t.Errorf("of files that were removed it says: %v", gone)
	}
	if failed := logFailed(errors.New("a sync failed")); !errors.Is(failed, ErrDisk) || !strings.Contains(failed.Error(), "acknowledged writes are safe") {
		t.Errorf("of a sync that failed it says: %v", failed)
	}
}
