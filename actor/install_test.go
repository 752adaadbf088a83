package actor

import (
	"log/slog"
	"slices"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/index"
	"qkv/internal/limits"
	"qkv/log/disk/simdisk"
	"qkv/net/wire/peerframe"
	"qkv/snapshot"
)

type noPeers struct{}

func (noPeers) Send(uint64, peerframe.Message, bool) {}

// SetMembers implements Peers.
func (noPeers) SetMembers(index.Members) {}

// CheckAlive implements Peers.
func (noPeers) CheckAlive(uint64) {}

func u(n uint64) *uint64 { return &n }

func someEntry(i, term uint64) *raftpb.Entry {
	k := raftpb.EntryNormal
	return &raftpb.Entry{Index: u(i), Term: u(term), Type: &k, Data: envelope(2, 5, i, 1)}
}

func drainBox[M any](b *Mailbox[M]) []M { return append([]M{}, b.take(nil)...) }

// Entries that were ordered before a snapshot, in the same turn of the log writer, must not come back behind its marker.
func TestEntriesOrderedBeforeASnapshot(t *testing.T) {
	fs := simdisk.New(1)
	l, rec := openTestLog(t, fs)
	w, cons := newTestLogWriter(l, noPeers{}, func(err error) { t.Fatal(err) })
	// order 1: entries 2..20 of term 2 (an old leader's), order 2: a snapshot at 10 of term 3
	var es []*raftpb.Entry
	for i := uint64(2); i <= 20; i++ {
		es = append(es, someEntry(i, 2))
	}
	a1 := appendOrder{Message: &raftpb.Message{Term: u(2), Vote: u(0), Commit: u(1), Entries: es}}
	a2 := appendOrder{Message: &raftpb.Message{Term: u(4), Vote: u(0), Commit: u(10), Snapshot: snapshotAt(10, 3, testMembers)}}
	handleAll(w, []LogWriterMessage{a1, a2})
	handleAll(w, []LogWriterMessage{stateRestored{}})
	for _, m := range drainBox(cons) {
		d, ok := m.(appended)
		if !ok {
			continue
		}
		if d.Marker != nil {
			rec.Window.Reset(*d.Marker)
		}
		if len(d.Entries) > 0 {
			rec.Window.Append(d.Entries, d.Positions)
		}
	}
	last, _ := rec.Window.LastIndex()
	t.Logf("durable last %d, window last %d", w.Status.Durable().Last, last)
	if last != w.Status.Durable().Last {
		t.Errorf("raft's storage shows entries up to %d, the log on disk ends at %d", last, w.Status.Durable().Last)
	}
	// raft goes on at 11 from the new leader, or, becoming leader, behind the phantoms:
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("panic: %v", p)
		}
	}()
	handleAll(w, []LogWriterMessage{appendOrder{Message: &raftpb.Message{Entries: []*raftpb.Entry{someEntry(last+1, 5)}}}})
}

// A snapshot that was being saved while a newer one was installed must not become the newest one.
func TestSaveAcrossInstall(t *testing.T) {
	fs := simdisk.New(1)
	if err := fs.MkdirAll("snap"); err != nil {
		t.Fatal(err)
	}
	cs := &raftpb.ConfState{Voters: []uint64{1, 2, 3}}
	mk := func(upTo uint64) *index.State {
		s := index.NewState(limits.Defaults().Index)
		for i := uint64(1); i <= upTo; i++ {
			if _, err := s.Apply(i, 1, nil, nil); err != nil {
				t.Fatal(err)
			}
		}
		return s
	}
	// the leader's snapshot at 100
	other := simdisk.New(2)
	_ = other.MkdirAll("snap")
	v := mk(100).View()
	sv, err := snapshot.Begin(other, "snap", snapshot.Meta{Cluster: 1, Member: 2, Index: 100, Term: 1}, v)
	if err != nil {
		t.Fatal(err)
	}
	for done := false; !done; {
		if done, err = sv.Step(1 << 20); err != nil {
			t.Fatal(err)
		}
	}
	rd, err := snapshot.Open(other, sv.Info().Path)
	if err != nil {
		t.Fatal(err)
	}
	whole := make([]byte, rd.Size())
	if _, err := rd.ReadAt(whole, 0); err != nil {
		t.Fatal(err)
	}

	room := Capacity{Send: 1 << 20, Offer: 1000, MustPost: 1000}
	cons := NewMailbox[ConsensusMessage]("c", room)
	app := NewMailbox[ApplierMessage]("a", room)
	st := &Status{}
	mine := mk(50).View()
	st.view.Store(mine)
	small := limits.Defaults()
	small.SnapshotStepBytes = 1
	s := NewSnapshotter(SnapshotterConfig{
		Cluster: 1, Member: 1, FS: fs, Dir: "snap", Shelf: snapshot.NewShelf(nil), Inbox: NewMailbox[SnapshotterMessage]("s", room),
		Consensus: cons, Applier: app, Reader: NewMailbox[SnapshotReaderMessage]("r", room), Peers: noPeers{}, Status: st, Limits: small, Logger: slog.New(slog.DiscardHandler),
	})
	var now time.Duration
	turn := func(m ...SnapshotterMessage) bool { now += time.Millisecond; return s.Handle(Time{Now: now}, m) }
	turn(save{View: mine, Index: 50, Term: 1, ConfState: cs}) // begun, not finished: steps of one byte
	turn(FromPeer{From: 2, Message: peerframe.SnapshotOffer{Index: 100, Term: 1, Size: rd.Size(), SHA: rd.SHA(), MessageTerm: 2}})
	// (a large state takes thousands of steps; here the step budget is held back by installing at once)
	if s.out.file == nil {
		t.Fatal("the save is over already")
	}
	(&SnapshotReader{Snapshotter: s.Inbox, Pull: func(_, _ string, _, offset int64) ([]byte, error) { return whole[offset:], nil }}).Handle(Time{}, drainBox(s.Reader))
	for _, m := range drainBox(s.Inbox) {
		if m, is := m.(pulled); is {
			s.receive.pulled(&s.snapshotCore, &s.repair, m)
		}
	}
	s.installed(installed{Index: 100, Term: 1})
	if !slices.Contains(drainBox(app), ApplierMessage(saveEnded{})) {
		t.Error("the applier is not told that nothing is saved any more, and would order no other one")
	}
	st.view.Store(mk(100).View())
	for s.out.file != nil {
		turn()
	}
	for i, k := range s.files {
		t.Logf("kept %d: index %d", i, k.Index)
	}
	var lastSaved uint64
	for _, m := range drainBox(cons) {
		if x, ok := m.(snapshotSaved); ok {
			lastSaved = x.Snapshot.GetMetadata().GetIndex()
			t.Logf("consensus is told: newest snapshot %d, keep from %d", lastSaved, x.KeepFrom)
		}
	}
	if s.files[0].Index != 100 {
		t.Errorf("the newest kept snapshot is %d, the installed one is 100; raft's Storage.Snapshot becomes %d with a log that begins at 101", s.files[0].Index, lastSaved)
	}
	// the next save drops the installed one: the second of the two kept is one that the log does not continue
	v150 := mk(150).View()
	for turn(save{View: v150, Index: 150, Term: 1, ConfState: cs}); s.out.file != nil; {
		turn()
	}
	for i, k := range s.files {
		t.Logf("after the next save, kept %d: index %d (log begins at 101)", i, k.Index)
	}
	for _, k := range s.files {
		if k.Index < 100 {
			t.Errorf("snapshot %d is kept and 100 was removed", k.Index)
		}
	}
}

// What followers are offered is the newest snapshot, also when one that was begun earlier is saved behind the installation of a
// newer one.
func TestNewestSnapshotIsOffered(t *testing.T) {
	c := newTestConsensus(t, limits.Defaults())
	for _, x := range []struct{ saved, want uint64 }{{10, 10}, {5, 10}, {12, 12}} {
		c.turn(snapshotSaved{Snapshot: snapshotAt(x.saved, 1, testMembers)})
		offered, err := c.Window.Snapshot()
		if err != nil || offered.GetMetadata().GetIndex() != x.want {
			t.Errorf("with one at index %d saved, the one at index %d is offered, %d is wanted: %v", x.saved, offered.GetMetadata().GetIndex(), x.want, err)
		}
	}
}

// The segments of before a snapshot go once it is installed: on a disk that is nearly full there may be no later snapshot that releases them.
func TestInstalledSnapshotReleasesTheLog(t *testing.T) {
	l, _ := openLogOf(t, simdisk.New(1), 64<<10, func() int64 { return 0 })
	w, _ := newTestLogWriter(l, noPeers{}, func(err error) { t.Error(err) })
	w.Status.view.Store(index.NewState(limits.Defaults().Index).View())
	for i := uint64(2); i <= 9; i++ {
		e := someEntry(i, 1)
		e.Data = make([]byte, 40_000)
		handleAll(w, []LogWriterMessage{appendOrder{Message: &raftpb.Message{Entries: []*raftpb.Entry{e}}}})
	}
	before := l.Stats().Bytes
	handleAll(w, []LogWriterMessage{appendOrder{Message: &raftpb.Message{Term: u(4), Vote: u(0), Commit: u(10), Snapshot: snapshotAt(10, 3, testMembers)}}})
	handleAll(w, []LogWriterMessage{stateRestored{}})
	if after := l.Stats().Bytes; before < 300_000 || after > before/2 {
		t.Errorf("the log has %d bytes behind the snapshot, and had %d before it", after, before)
	}
}
