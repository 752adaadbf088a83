package actor

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/actor/space"
	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/log/disk"
	"qkv/log/disk/simdisk"
	"qkv/net/wire/peerframe"
	"qkv/snapshot"
)

// snapshotterTurns is a snapshotter whose turns a test gives.
type snapshotterTurns struct {
	*Snapshotter
	fs        *simdisk.Disk
	consensus *Mailbox[ConsensusMessage]
	at        time.Duration
	unread    bool // the snapshot reader is busy
	// give has what the other members give of a file; nil: nothing
	give  func(name string, offset int64) ([]byte, error)
	asked []int64 // from where on they were asked
	// the last address at which they were asked
	askedAt string
}

var errAway = errors.New("no piece comes")

// comes has the bytes of all files come up to an end.
func (s *snapshotterTurns) comes(b []byte) {
	s.give = func(_ string, offset int64) ([]byte, error) {
		if offset >= int64(len(b)) {
			return nil, errAway
		}
		return b[offset:min(offset+64<<10, int64(len(b)))], nil
	}
}

func (s *snapshotterTurns) pull(address, name string, _, offset int64) ([]byte, error) {
	s.asked, s.askedAt = append(s.asked, offset), address
	if s.give == nil {
		return nil, errAway
	}
	return s.give(name, offset)
}

func newTestSnapshotter(t *testing.T, view *index.View) *snapshotterTurns {
	t.Helper()
	fs := simdisk.New(1)
	if err := fs.MkdirAll("snap"); err != nil {
		t.Fatal(err)
	}
	room := Capacity{Send: 1 << 20, Offer: 1000, MustPost: 1000}
	consensus, status := NewMailbox[ConsensusMessage]("c", room), &Status{}
	status.view.Store(view)
	return &snapshotterTurns{fs: fs, consensus: consensus, Snapshotter: NewSnapshotter(SnapshotterConfig{
		Cluster: 1, Member: 1, FS: fs, Dir: "snap", Shelf: snapshot.NewShelf(nil), Inbox: NewMailbox[SnapshotterMessage]("s", room), Consensus: consensus, Reader: NewMailbox[SnapshotReaderMessage]("r", room),
		Applier: NewMailbox[ApplierMessage]("a", room), Peers: noPeers{}, Status: status, Limits: limits.Defaults(), Logger: slog.New(slog.DiscardHandler),
	})}
}

func (s *snapshotterTurns) turn(m ...SnapshotterMessage) {
	s.at += 100 * time.Millisecond
	steps := 0
	handle := func(m []SnapshotterMessage) bool {
		if steps++; steps > 100_000 {
			panic("the snapshotter does not come to rest")
		}
		return s.Handle(Time{Now: s.at}, m)
	}
	for again := handle(m); ; again = handle(m) {
		if m = s.read(); !again && len(m) == 0 {
			return
		}
	}
}

// read has the snapshot reader do what it is told to.
func (s *snapshotterTurns) read() []SnapshotterMessage {
	if s.unread {
		return nil
	}
	(&SnapshotReader{Snapshotter: s.Inbox, Pull: s.pull, Repair: func(snapshot.Part) error { return errors.New("there is no other member") }}).Handle(Time{}, drainBox(s.Reader))
	return drainBox(s.Inbox)
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
		put := new(index.Head).AppendPut(nil, &kv.Put{Key: fmt.Appendf(nil, "key %d", i), Value: slices.Repeat([]byte{'v'}, bytes)}).Bytes
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
		s.turn(FromPeer{From: 2, Message: peerframe.SnapshotOffer{Index: 100, Term: 1, Size: 1 << 20, MessageTerm: 2}})
	}
	if got := s.problems(); len(got) != 1 || !strings.Contains(got[0], "snapshot could not be received") {
		t.Errorf("on a full disk: %q", got)
	}
	s.Status.Alarm(kv.Alarm{Name: kv.AmnesiaAlarm, Text: "it forgot"})
	if !slices.Contains(s.problems(), "AMNESIA: it forgot") {
		t.Errorf("amnesia is not among %q", s.problems())
	}
	s.Status.Alarm(kv.Alarm{Name: kv.AmnesiaAlarm})
	s.fs.SetCapacity(1 << 30)
	s.turn(FromPeer{From: 2, Message: peerframe.SnapshotOffer{Index: 100, Term: 1, Size: 1 << 20, MessageTerm: 2}})
	if got := s.problems(); len(got) != 1 {
		t.Errorf("offered again, and not installed: %q", got)
	}
	s.Status.view.Store(viewAt(t, 100, 1)) // it came by another way
	if s.turn(Wait{}); len(s.problems()) > 0 {
		t.Errorf("when the state is there: %q", s.problems())
	}
	s.Status.view.Store(view)

	save := save{View: view, Index: 3, Term: 1, ConfState: &raftpb.ConfState{Voters: []uint64{1}}}
	s.fs.Fail(simdisk.Fault{Call: 1, Op: simdisk.OpCreate, Err: syscall.ENOSPC})
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
			s.turn(save{View: view, Index: last, Term: 1, ConfState: &raftpb.ConfState{Voters: []uint64{1}}})
		}
		state, older := s.Status.View().OpenExtent().Bytes, int64(0)
		if len(s.files) > 1 {
			older = s.files[1].Bytes
		}
		if got := s.Status.Disk().SnapshotNeeds(); got != state-older {
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
			s.at += snapshotSound
			want = s.files[1]
		}
		s.Status.reportDisk(func(d *space.Disk) { d.Full = true })
		var got []ConsensusMessage
		for range 3 { // once is enough
			s.turn(Wait{})
			got = append(got, drainBox(s.consensus)...)
		}
		if len(s.files) != 1 || s.files[0].Path != want.Path || !slices.Equal(got, []ConsensusMessage{logCovered{UpTo: want.Index}}) {
			t.Errorf("%+v: %d are kept, the log %+v", c, len(s.files), got)
		}
		if got := s.Status.Disk().SnapshotNeeds(); got != state {
			t.Errorf("%+v: the next of %d bytes needs %d, beside one that stays", c, state, got)
		}
	}
}

// Where the disk lacks space for a snapshot, the older one goes first.
func TestSaveTakesTheSpaceOfTheOlderSnapshot(t *testing.T) {
	s := newTestSnapshotter(t, nil)
	for _, last := range []uint64{3, 6, 9} {
		view := viewAt(t, last, 10_000)
		if s.Status.view.Store(view); last == 9 {
			s.fs.SetCapacity(s.fs.Used() + view.OpenExtent().Bytes - 1)
		}
		s.turn(save{View: view, Index: last, Term: 1, ConfState: &raftpb.ConfState{Voters: []uint64{1}}})
	}
	if len(s.files) != 2 || s.files[0].Index != 9 || len(s.problems()) > 0 {
		t.Errorf("there are the snapshots %+v, alarms %q", s.files, s.problems())
	}
}

// A snapshot of which a part is there already goes on where there is room for the rest of it.
func TestReceiveGoesOnInLittleRoom(t *testing.T) {
	leader := newTestSnapshotter(t, viewAt(t, 20, 100_000))
	leader.turn(save{View: leader.Status.View(), Index: 20, Term: 1, ConfState: &raftpb.ConfState{Voters: []uint64{1, 2}}})
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
	o := peerframe.SnapshotOffer{Index: 20, Term: 1, Size: file.Size(), SHA: file.SHA(), MessageTerm: 2}
	half := file.Size() / 2
	s.comes(whole[:half])
	s.turn(FromPeer{From: 2, Message: o})
	s.at += 2 * snapshotReceiveIdle
	s.asked = nil
	s.turn(FromPeer{From: 3, Message: o}) // another leader has the same one
	if s.receive.current == nil || s.receive.current.from != 3 {
		t.Fatalf("half of the snapshot is there, and the other half is refused: %q", s.problems())
	}
	if len(s.asked) == 0 || s.asked[0] == 0 {
		t.Errorf("what was there is sent again: it asks from %v on", s.asked)
	}
	s.removeParts() // as after a save: the partial file stays
	s.comes(whole)
	s.turn(FromPeer{From: 3, Message: o})
	for _, m := range drainBox(s.consensus) {
		if _, ok := m.(snapshotReceived); ok {
			return
		}
	}
	t.Errorf("the snapshot is not complete: %q", s.problems())
}

// sentSnapshot is a snapshot on a leader's disk: its bytes, and the offer of it.
func sentSnapshot(t *testing.T, state *index.State, at uint64) ([]byte, peerframe.SnapshotOffer) {
	t.Helper()
	leader := newTestSnapshotter(t, state.View())
	confState := ConfStateOf(state.Members().Configuration())
	leader.turn(save{View: state.ViewToSave(), Index: at, Term: 1, ConfState: confState})
	file, err := snapshot.Open(leader.fs, leader.files[0].Path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	whole := make([]byte, file.Size())
	if _, err := file.ReadAt(whole, 0); err != nil {
		t.Fatal(err)
	}
	return whole, peerframe.SnapshotOffer{Index: at, Term: 1, Size: file.Size(), SHA: file.SHA(), MessageTerm: 2, ConfState: ConfStateBytes(confState)}
}

// The state of a snapshot is built while its pieces come, and handed to consensus when the file is published; what is wrong
// with one shows before all has come.
func TestStateIsBuiltWhileItComes(t *testing.T) {
	state := stateAt(t, 20, 100_000)
	whole, o := sentSnapshot(t, state, 20)
	s := newTestSnapshotter(t, index.NewState(limits.Defaults().Index).View())
	s.comes(whole)
	s.turn(FromPeer{From: 2, Message: o})
	received := drainBox(s.consensus)
	if len(received) != 1 {
		t.Fatalf("consensus hears of %+v", received)
	}
	installing := &s.Status.Observer.Counters.Installing
	if !installing.Load() {
		t.Error("a received snapshot is not said to become the state")
	}
	if s.turn(installed{Index: 20, Term: 1}); installing.Load() {
		t.Error("the state of a received snapshot is said to be installed still")
	}
	if m, ok := received[0].(snapshotReceived); !ok || m.State.View().Digest() != state.View().Digest() || m.State.View().Revision() != state.View().Revision() {
		t.Errorf("consensus hears of %+v", received[0])
	}

	s = newTestSnapshotter(t, index.NewState(limits.Defaults().Index).View())
	wrong := slices.Clone(whole)
	wrong[len(wrong)/4] ^= 1
	s.comes(wrong[:len(wrong)*3/4])
	s.turn(FromPeer{From: 2, Message: o})
	if got := s.problems(); s.receive.current != nil || len(got) != 1 || !strings.Contains(got[0], "checksum") {
		t.Errorf("with a damaged piece it goes on: %q", got)
	}
	if got := names(t, s.fs); len(got) != 0 {
		t.Errorf("what was received of it is still there: %v", got)
	}
}

// The members that a snapshot is said to have are those in it.
func TestReceivedSnapshotOfOtherMembers(t *testing.T) {
	whole, o := sentSnapshot(t, stateAt(t, 20, 100), 20)
	o.ConfState = ConfStateBytes(&raftpb.ConfState{Voters: []uint64{1, 2}})
	s := newTestSnapshotter(t, index.NewState(limits.Defaults().Index).View())
	s.comes(whole)
	s.turn(FromPeer{From: 2, Message: o})
	if got := s.problems(); len(drainBox(s.consensus)) != 0 || s.receive.current != nil || len(got) != 1 || !strings.Contains(got[0], "its configuration is not that of its members") {
		t.Errorf("%q", got)
	}
	if got := names(t, s.fs); len(got) != 0 {
		t.Errorf("it is still there: %v", got)
	}
}

// What the snapshot reader says of a snapshot that was given up meanwhile is not taken for the next one's.
func TestSnapshotGivenUpWhileItIsRead(t *testing.T) {
	first, o1 := sentSnapshot(t, stateAt(t, 20, 100), 20)
	second, o2 := sentSnapshot(t, stateAt(t, 30, 100), 30)
	o2.MessageTerm = 3
	s := newTestSnapshotter(t, index.NewState(limits.Defaults().Index).View())
	s.give = func(name string, offset int64) ([]byte, error) {
		if name == snapshot.Name(20, 1) {
			return first[offset:], nil
		}
		return second[offset:], nil
	}
	s.unread = true
	s.turn(FromPeer{From: 2, Message: o1})
	if s.turn(FromPeer{From: 3, Message: o2}); s.receive.current != nil {
		t.Error("another snapshot comes while the reader has the file of the first one")
	}
	s.unread = false
	s.turn()
	s.turn(FromPeer{From: 3, Message: o2})
	received := drainBox(s.consensus)
	if len(received) == 1 {
		if at, _ := received[0].(snapshotReceived).State.View().Applied(); at == 30 {
			return
		}
	}
	t.Errorf("consensus hears of %+v", received)
}

// names are the files in the snapshots' folder.
func names(t *testing.T, fs disk.FS) []string {
	t.Helper()
	got, err := fs.List("snap")
	if err != nil {
		t.Fatal(err)
	}
	return got
}
