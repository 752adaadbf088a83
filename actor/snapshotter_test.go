package actor

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/log/disk"
	"qkv/snapshot"
)

// snapshotterTurns is a snapshotter whose turns a test gives.
type snapshotterTurns struct {
	*Snapshotter
	fs        *disk.Mem
	consensus *Mailbox[ConsensusMessage]
	at        time.Duration
}

func newTestSnapshotter(t *testing.T, view *index.View) *snapshotterTurns {
	t.Helper()
	fs := disk.NewMem(1)
	if err := fs.MkdirAll("snap"); err != nil {
		t.Fatal(err)
	}
	room := Capacity{Send: 1 << 20, Offer: 1000, MustPost: 1000}
	consensus, status := NewMailbox[ConsensusMessage]("c", room), &Status{}
	status.view.Store(view)
	return &snapshotterTurns{fs: fs, consensus: consensus, Snapshotter: NewSnapshotter(SnapshotterConfig{
		Cluster: 1, Member: 1, FS: fs, Dir: "snap", Inbox: NewMailbox[SnapshotterMessage]("s", room), Consensus: consensus,
		Applier: NewMailbox[ApplierMessage]("a", room), Peers: noPeers{}, Status: status, Limits: limits.Defaults(), Logger: slog.New(slog.DiscardHandler),
	})}
}

func (s *snapshotterTurns) turn(m ...SnapshotterMessage) {
	s.at += 100 * time.Millisecond
	for again := s.Handle(Time{Now: s.at}, m); again; {
		again = s.Handle(Time{Now: s.at}, nil)
	}
}

func (s *snapshotterTurns) problems() []string {
	var texts []string
	for _, a := range s.Status.Alarms() {
		texts = append(texts, string(a.Name)+": "+a.Text)
	}
	return texts
}

// viewAt is the state after entries up to one, each with a put of so many bytes.
func viewAt(t *testing.T, last uint64, bytes int) *index.View { return stateAt(t, last, bytes).View() }

func stateAt(t *testing.T, last uint64, bytes int) *index.State {
	t.Helper()
	state := index.NewState(limits.Defaults().Index)
	for i := uint64(1); i <= last; i++ {
		put := index.AppendPut(nil, &kv.Put{Key: fmt.Appendf(nil, "key %d", i), Value: slices.Repeat([]byte{'v'}, bytes)})
		e := index.AppendEnvelope(nil, index.Envelope{Level: 1, Member: 2, Incarnation: 1, First: i, Wall: int64(i)}, [][]byte{put})
		if _, err := state.Apply(i, 1, e, nil); err != nil {
			t.Fatal(err)
		}
	}
	return state
}

// An alarm is of a matter, not of each failure with its own numbers: it ends when the matter is right again, and however
// often it comes it hides no other one.
func TestAlarmEnds(t *testing.T) {
	view := viewAt(t, 3, 10)
	s := newTestSnapshotter(t, view)
	for i := range int64(40) {
		s.fs.SetCapacity(s.fs.Used() + 100 + i)
		s.turn(FromPeer{From: 2, Message: Offer{Index: 100, Term: 1, Size: 1 << 20, MessageTerm: 2}})
	}
	if got := s.problems(); len(got) != 1 || !strings.Contains(got[0], "snapshot could not be received") {
		t.Errorf("on a full disk: %q", got)
	}
	s.Status.Alarm(Alarm{Name: Amnesia, Text: "it forgot"})
	if !slices.Contains(s.problems(), "AMNESIA: it forgot") {
		t.Errorf("amnesia is not among %q", s.problems())
	}
	s.Status.Alarm(Alarm{Name: Amnesia})
	s.fs.SetCapacity(1 << 30)
	s.turn(FromPeer{From: 2, Message: Offer{Index: 100, Term: 1, Size: 1 << 20, MessageTerm: 2}})
	if got := s.problems(); len(got) != 1 {
		t.Errorf("offered again, and not installed: %q", got)
	}
	s.Status.view.Store(viewAt(t, 100, 1)) // it came by another way
	if s.turn(Wait{}); len(s.problems()) > 0 {
		t.Errorf("when the state is there: %q", s.problems())
	}
	s.Status.view.Store(view)

	save := Save{View: view, Index: 3, Term: 1, ConfState: &raftpb.ConfState{Voters: []uint64{1}}}
	s.fs.Fail(disk.Fault{Call: 1, Op: disk.OpCreate, Err: syscall.ENOSPC})
	if s.turn(save); len(s.problems()) != 1 {
		t.Errorf("after a failed save: %q", s.problems())
	}
	if s.turn(save); len(s.problems()) > 0 {
		t.Errorf("after a save: %q", s.problems())
	}
}

// On a disk without room one snapshot must do, when it was read back: an older one goes, and the log behind the newest may,
// without another one being ordered. A damaged one does not count.
func TestOneSnapshotOnAFullDisk(t *testing.T) {
	for _, c := range []struct {
		saved   []uint64
		damaged bool // long after it was saved
	}{{[]uint64{3}, false}, {[]uint64{3, 6}, false}, {[]uint64{3, 6}, true}} {
		s := newTestSnapshotter(t, nil)
		for _, last := range c.saved {
			view := viewAt(t, last, 10_000)
			s.Status.view.Store(view)
			s.turn(Save{View: view, Index: last, Term: 1, ConfState: &raftpb.ConfState{Voters: []uint64{1}}})
		}
		state, older := s.Status.View().LiveBytes()+s.Status.View().HistoryBytes(), int64(0)
		if len(s.files) > 1 {
			older = s.files[1].Bytes
		}
		if got := s.Status.SnapshotNeeds(); got != state-older {
			t.Errorf("%+v: the next of %d bytes needs %d, when %d go first", c, state, got, older)
		}
		drainBox(s.consensus)
		if s.turn(Wait{}); len(s.files) != len(c.saved) || len(drainBox(s.consensus)) > 0 {
			t.Errorf("%+v: with room %d snapshots are kept", c, len(s.files))
		}
		want := s.files[0]
		if c.damaged {
			if err := s.fs.Rot(want.Path, want.Bytes/2, 1); err != nil {
				t.Fatal(err)
			}
			s.at += limits.SnapshotSound
			want = s.files[1]
		}
		s.Status.noSpace.Store(true)
		var got []ConsensusMessage
		for range 3 { // once is enough
			s.turn(Wait{})
			got = append(got, drainBox(s.consensus)...)
		}
		if len(s.files) != 1 || s.files[0].Path != want.Path || !slices.Equal(got, []ConsensusMessage{LogCovered{UpTo: want.Index}}) {
			t.Errorf("%+v: %d are kept, the log %+v", c, len(s.files), got)
		}
		if got := s.Status.SnapshotNeeds(); got != state {
			t.Errorf("%+v: the next of %d bytes needs %d, beside one that stays", c, state, got)
		}
	}
}

// A snapshot of which a part is there already goes on where there is room for the rest of it.
func TestReceiveGoesOnInLittleRoom(t *testing.T) {
	leader := newTestSnapshotter(t, viewAt(t, 20, 100_000))
	leader.turn(Save{View: leader.Status.View(), Index: 20, Term: 1, ConfState: &raftpb.ConfState{Voters: []uint64{1, 2}}})
	file, err := snapshot.Open(leader.fs, leader.files[0].Path)
	if err != nil {
		t.Fatal(err)
	}
	whole := make([]byte, file.Size())
	if _, err := file.ReadAt(whole, 0); err != nil {
		t.Fatal(err)
	}
	s := newTestSnapshotter(t, index.NewState(limits.Defaults().Index).View())
	s.fs.SetCapacity(s.fs.Used() + file.Size() + 64<<10)
	o := Offer{Index: 20, Term: 1, Size: file.Size(), SHA: file.SHA(), MessageTerm: 2}
	half := file.Size() / 2
	s.turn(FromPeer{From: 2, Message: o}, FromPeer{From: 2, Message: Chunk{Index: 20, Term: 1, Bytes: whole[:half]}})
	s.at += 2 * limits.SnapshotReceiveIdle
	s.turn(FromPeer{From: 3, Message: o}) // another leader has the same one
	if s.receive == nil || s.receive.from != 3 {
		t.Fatalf("half of the snapshot is there, and the other half is refused: %q", s.problems())
	}
	from := s.receive.file.Offset()
	if from == 0 {
		t.Error("what was there is sent again")
	}
	s.turn(FromPeer{From: 3, Message: Chunk{Index: 20, Term: 1, Offset: from, Bytes: whole[from:]}})
	for _, m := range drainBox(s.consensus) {
		if _, ok := m.(SnapshotReceived); ok {
			return
		}
	}
	t.Errorf("the snapshot is not complete: %q", s.problems())
}
