package actor

import (
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
	"qkv/internal/meter"
	"qkv/internal/testlong"
	"qkv/log"
	"qkv/log/disk/simdisk"
	"qkv/net/wire/peerframe"
)

func saveOf(view *index.View) save {
	applied, term := view.Applied()
	return save{View: view, Index: applied, Term: term, ConfState: &raftpb.ConfState{Voters: []uint64{1, 2}}}
}

func sendOf(view *index.View, to uint64) sendSnapshot {
	applied, term := view.Applied()
	return sendSnapshot{Peer: to, Message: &raftpb.Message{Term: &term, Snapshot: snapshotAt(applied, term, &raftpb.ConfState{Voters: []uint64{1, 2}})}}
}

// has says whether a message of a kind is in a box.
func has[M, K any](box []M) bool {
	return slices.ContainsFunc(box, func(m M) bool {
		_, ok := any(m).(K)
		return ok
	})
}

// A snapshot that its receiver finds damaged is verified by its sender, put aside, named by an alarm, and saved again; and
// nothing is sent again without a pause.
func TestSentSnapshotIsDamaged(t *testing.T) {
	view := viewAt(t, 20, 1000)
	s := newTestSnapshotter(t, view)
	s.Damaged = "damaged"
	s.turn(saveOf(view))
	path := s.files[0].Path
	s.turn(sendOf(view, 2))
	if len(s.sends.transfers) != 1 || s.sends.transfers[0].offer == nil {
		t.Fatal("nothing is sent")
	}
	if err := s.fs.Rot(path, 5000, 1); err != nil {
		t.Fatal(err)
	}
	drainBox(s.Applier)
	s.turn(FromPeer{From: 2, Message: peerframe.SnapshotResult{Index: 20, Term: 1, Damaged: true}})
	if got := s.problems(); len(got) != 1 || !strings.HasPrefix(got[0], "CORRUPT: ") || !strings.Contains(got[0], path) {
		t.Errorf("alarms %q", got)
	}
	if names, err := s.fs.List("damaged"); err != nil || len(names) != 1 || len(s.files) != 0 {
		t.Errorf("put aside: %v %v, kept %v", names, err, s.files)
	}
	if !has[ApplierMessage, SnapshotWanted](drainBox(s.Applier)) || !has[ConsensusMessage, snapshotSent](drainBox(s.consensus)) {
		t.Error("the applier does not know that a snapshot is missing, or raft that it did not arrive")
	}
	s.turn(sendOf(view, 2)) // raft asks again at once
	if len(s.sends.transfers) != 1 || s.sends.transfers[0].offer != nil || has[ConsensusMessage, snapshotSent](drainBox(s.consensus)) {
		t.Error("without a snapshot to send there is no pause")
	}
	s.turn(saveOf(view))
	for range 10 {
		s.turn(Wait{})
	}
	if len(s.sends.transfers) != 1 || s.sends.transfers[0].offer == nil {
		t.Errorf("the new snapshot is not sent after the pause: %+v", s.sends.transfers)
	}
	if len(s.problems()) != 1 {
		t.Errorf("the damage is forgotten: %q", s.problems())
	}
}

// A snapshot that is gone when it is to be sent, or that the disk cannot read, is named by an alarm, and another one is saved
// and sent: an idle cluster would order none, and who needs one would wait for ever.
func TestSentSnapshotIsGone(t *testing.T) {
	for gone, words := range map[bool]string{true: "a snapshot is gone", false: "a snapshot cannot be read"} {
		s := newTestSnapshotter(t, viewAt(t, 20, 1000))
		s.turn(saveOf(viewAt(t, 20, 1000)))
		drainBox(s.Applier)
		path := s.files[0].Path
		if gone {
			if err := s.fs.Remove(path); err != nil {
				t.Fatal(err)
			}
		} else {
			s.fs.Fail(simdisk.Fault{Op: simdisk.OpRead, Err: syscall.EIO, Stays: true})
		}
		s.turn(sendOf(viewAt(t, 20, 1000), 2))
		if got := s.problems(); len(got) != 1 || !strings.HasPrefix(got[0], "CORRUPT: "+words) || !strings.Contains(got[0], path) {
			t.Errorf("gone %v: alarms %q", gone, got)
		}
		if !has[ApplierMessage, SnapshotWanted](drainBox(s.Applier)) || !has[ConsensusMessage, snapshotSent](drainBox(s.consensus)) {
			t.Errorf("gone %v: the applier does not know that a snapshot is missing, or raft that it was not sent", gone)
		}
		if len(s.files) == 0 != gone {
			t.Errorf("gone %v: kept %v", gone, s.files)
		}
		s.fs.ClearFaults()
		view := viewAt(t, 30, 1000)
		s.turn(saveOf(view))
		s.turn(sendOf(view, 2))
		for range 10 {
			s.turn(Wait{})
		}
		if len(s.sends.transfers) != 1 || s.sends.transfers[0].offer == nil {
			t.Errorf("gone %v: the new snapshot is not sent: %+v", gone, s.sends.transfers)
		}
	}
}

// A snapshot that is not on the disk as it was written is a failed save: the older one stays, with the log behind it.
func TestSnapshotIsReadBack(t *testing.T) {
	s := newTestSnapshotter(t, viewAt(t, 20, 1000))
	syncs := meter.NewHistogram(time.Millisecond)
	s.Status.Observer.Counters.SaveSyncs = syncs
	s.turn(saveOf(viewAt(t, 20, 1000)))
	if n := syncs.Times().Count; n != 1 {
		t.Errorf("of one file %d syncs are counted", n)
	}
	drainBox(s.Applier)
	drainBox(s.consensus)
	s.fs.Fail(simdisk.Fault{Op: simdisk.OpRead, Err: syscall.EIO})
	s.turn(saveOf(viewAt(t, 30, 1000)))
	if !slices.Contains(drainBox(s.Applier), ApplierMessage(saveEnded{Failed: true})) || len(drainBox(s.consensus)) > 0 {
		t.Error("the save did not fail")
	}
	names, err := s.fs.List("snap")
	if err != nil || len(names) != 1 || len(s.files) != 1 || s.files[0].Index != 20 || len(s.problems()) != 1 {
		t.Errorf("there are %v %v, %d are kept, problems %q", names, err, len(s.files), s.problems())
	}
	if s.turn(saveOf(viewAt(t, 30, 1000))); len(s.files) != 2 || len(s.problems()) != 0 {
		t.Errorf("then %d are kept, problems %q", len(s.files), s.problems())
	}
}

// A newest snapshot that the disk cannot read takes the place of no older one, and a full disk does not have it read again without a pause.
func TestUnreadableSnapshotIsNotSound(t *testing.T) {
	s := newTestSnapshotter(t, viewAt(t, 30, 1000))
	s.turn(saveOf(viewAt(t, 20, 1000)))
	s.turn(saveOf(viewAt(t, 30, 1000)))
	s.fs.Fail(simdisk.Fault{Op: simdisk.OpOpen, Name: s.files[0].Path, Err: syscall.EIO, Stays: true})
	s.Status.reportDisk(func(d *space.Disk) { d.Full = true })
	drainBox(s.Applier)
	s.turn(Suspect{Path: s.files[0].Path})
	for _, pause := range []time.Duration{0, limits.SnapshotRetryMost} {
		s.at += pause
		for range 3 {
			s.turn(Wait{})
		}
		if wanted := drainBox(s.Applier); len(s.files) != 2 || len(wanted) != 1 || wanted[0] != (SnapshotWanted{Saves: 1}) {
			t.Errorf("%d snapshots are kept, the applier gets %+v", len(s.files), wanted)
		}
	}
}

// Where there is room for one snapshot, the older one goes when the newer one was found sound a short while ago. Later that
// proves nothing any more: the newer one is looked at again, and what rots it in between does not take both.
func TestOlderSnapshotStaysUntilTheNewerIsSoundNow(t *testing.T) {
	for _, c := range []struct {
		later  time.Duration
		rotten bool
		kept   uint64
		reads  bool
	}{
		{later: snapshotSound / 2, kept: 30},
		{later: snapshotSound, kept: 30, reads: true},
		{later: snapshotSound, rotten: true, kept: 20, reads: true},
	} {
		s := newTestSnapshotter(t, viewAt(t, 30, 1000))
		s.Damaged = "damaged"
		s.turn(saveOf(viewAt(t, 20, 1000)))
		s.turn(saveOf(viewAt(t, 30, 1000)))
		if c.rotten {
			if err := s.fs.Rot(s.files[0].Path, 5000, 1); err != nil {
				t.Fatal(err)
			}
		}
		var calls strings.Builder
		s.fs.SetTrace(&calls)
		s.at += c.later
		s.Status.reportDisk(func(d *space.Disk) { d.Full = true })
		s.turn(Wait{})
		if len(s.files) != 1 || s.files[0].Index != c.kept || strings.Contains(calls.String(), "dropcache") != c.reads {
			t.Errorf("%+v: %d are kept, calls\n%s", c, len(s.files), calls.String())
		}
	}
}

// Each failure to send is followed by a longer pause, and an installed snapshot ends that.
func TestSendingBacksOff(t *testing.T) {
	view := viewAt(t, 20, 1000)
	s := newTestSnapshotter(t, view)
	s.turn(saveOf(view))
	tries := 0
	for s.at < time.Minute {
		s.turn(sendOf(view, 2))
		for len(s.sends.transfers) == 1 && s.sends.transfers[0].offer == nil {
			s.turn(Wait{})
		}
		tries++
		s.turn(FromPeer{From: 2, Message: peerframe.SnapshotResult{Index: 20, Term: 1}})
	}
	if tries > 12 || tries < 6 {
		t.Errorf("%d attempts in %v", tries, s.at)
	}
	s.turn(sendOf(view, 2))
	s.turn(FromPeer{From: 2, Message: peerframe.SnapshotResult{Index: 20, Term: 1, Installed: true}})
	if s.turn(sendOf(view, 2)); len(s.sends.transfers) != 1 || s.sends.transfers[0].offer == nil {
		t.Error("there is a pause after a success")
	}
}

// A save that failed is tried again, after pauses that grow; it is not begun on a disk that has no room for it.
func TestFailedSaveIsTriedAgain(t *testing.T) {
	state := stateAt(t, 20, 1000)
	s := newTestSnapshotter(t, state.View())
	small := limits.Defaults()
	small.SnapshotBytes = 1000
	a := NewApplier(ApplierConfig{
		Member: 1, State: state, Inbox: s.Applier, Consensus: s.consensus,
		Snapshotter: s.Inbox, Status: s.Status, Limits: small,
	})
	a.records = 1 << 20
	s.fs.SetCapacity(s.fs.Used() + 5000)
	var attempts []time.Duration
	for s.at < 3*time.Minute {
		a.Handle(Time{Now: s.at}, append(drainBox(s.Applier), expire{}))
		orders := drainBox(s.Inbox)
		if len(orders) > 0 {
			attempts = append(attempts, s.at)
		}
		if len(attempts) > 4 {
			s.fs.SetCapacity(1 << 30)
		}
		s.turn(orders...)
		if len(s.files) > 0 {
			break
		}
		if names, _ := s.fs.List("snap"); len(names) > 0 {
			t.Fatalf("a save was begun without room: %v", names)
		}
	}
	if len(s.files) != 1 || len(attempts) != 5 || len(s.problems()) != 0 {
		t.Fatalf("attempts at %v, kept %v, alarms %q", attempts, s.files, s.problems())
	}
	for i := 2; i < len(attempts); i++ {
		if attempts[i]-attempts[i-1] <= attempts[i-1]-attempts[i-2] {
			t.Errorf("pauses do not grow: %v", attempts)
		}
	}
}

// A snapshot is due when the log behind the last one is large. On a full disk, which a snapshot frees, a small log makes it due.
func TestSaveIsDueOnFullDisk(t *testing.T) {
	view := viewAt(t, 20, 1000)
	for _, c := range []struct {
		records        int64
		noSpace, waits bool
		due            bool
	}{
		{records: 2 << 20},
		{records: limits.SnapshotBytes + 1, due: true},
		{noSpace: true},
		{noSpace: true, records: 2 << 20, due: true},
		{waits: true, records: 2 << 20, due: true},
	} {
		s := newTestSnapshotter(t, view)
		a := NewApplier(ApplierConfig{
			Member: 1, State: index.NewState(limits.Defaults().Index), Inbox: s.Applier, Consensus: s.consensus,
			Snapshotter: s.Inbox, Status: s.Status, Limits: limits.Defaults(),
		})
		a.publish(view)
		a.records = c.records
		s.Status.reportDisk(func(d *space.Disk) { d.Full, d.LogWaits = c.noSpace, c.waits })
		a.Handle(Time{Now: time.Hour}, []ApplierMessage{expire{}})
		if orders := drainBox(s.Inbox); (len(orders) > 0) != c.due {
			t.Errorf("%+v: ordered %d", c, len(orders))
		}
	}
}

// While a state is overwritten again and again, the files stay within what the formula says, also while a newer base or a snapshot is saved
// beside many writes. The older of two snapshots stays until there is a third one. The member's log counts bytes only, and grows by a value with
// each two steps of saving.
func TestDiskUseUnderOverwriting(t *testing.T) {
	testlong.Skip(t)
	const live, value, history = 4 << 20, 64 << 10, 64 << 20
	small := limits.Defaults()
	small.SnapshotBytes, small.Index.ExtentBytes, small.Index.BaseLeast = 2<<20, 1<<20, 1
	need := space.Disk{}.Needs(&small, live, history)
	state := index.NewState(small.Index)
	state.Found(index.Founders(map[string]uint64{"n1": 1, "n2": 2, "n3": 3}))
	s := newTestSnapshotter(t, state.View())
	s.shelf.Attach(state)
	s.Limits = small
	a := NewApplier(ApplierConfig{
		Member: 1, State: state, Inbox: s.Applier, Consensus: s.consensus,
		Snapshotter: s.Inbox, Status: s.Status, Limits: small,
		Fail: func(err error) { t.Fatal(err) },
	})
	const keys = live / value
	released, peak, saved, bases, dropped := uint64(0), int64(0), 0, 0, 0
	for i := uint64(1); i <= 90*keys; i++ {
		put := new(index.Head).AppendPut(nil, &kv.Put{Key: []byte{byte(i % keys), byte(i % keys >> 8)}, Value: slices.Repeat([]byte{byte(i)}, value)}).Bytes
		commands := [][]byte{put}
		view := s.Status.View()
		if view.HistoryBytes() > history { // as a leader has it compacted
			commands = append(commands, new(index.Head).AppendCompact(nil, view.RevisionOfHistory(history/8*7)).Bytes)
		}
		if base, weight := view.NextBase(); base > 0 && weight >= space.BaseAfter(&small, view.LiveUsedBytes(), live/2) && s.Status.Parts().Base == view.Base() { // and as it orders a newer base
			commands, bases = append(commands, index.AppendRebase(nil, base).Bytes), bases+1
		}
		e := index.AppendEnvelope(nil, index.Envelope{Level: 1, Member: 9, Incarnation: 1, First: i, Wall: int64(i) * 1e6}, commands)
		kind, last, term := raftpb.MsgStorageApply, i, uint64(1)
		logBytes := int64(i-released) * int64(value+512)
		s.Status.publishDurable(log.Stats{Bytes: logBytes})
		a.Handle(Time{Now: time.Duration(i) * time.Millisecond}, append(drainBox(s.Applier), apply{FileBytes: logBytes, Message: &raftpb.Message{
			Type: &kind, Entries: []*raftpb.Entry{{Index: &last, Term: &term, Data: e}}, Responses: []*raftpb.Message{{}},
		}}))
		for range 2 {
			s.Handle(Time{Now: time.Duration(i) * time.Millisecond}, drainBox(s.Inbox))
		}
		peak = max(peak, s.fs.Used()+logBytes)
		for _, m := range drainBox(s.consensus) {
			switch m := m.(type) {
			case logCovered:
				released = m.UpTo
				dropped++
			case snapshotSaved:
				saved, released = saved+1, max(released, m.KeepFrom)
			}
		}
	}
	most := need.AtRest() + live/4*3 + need.Newer
	t.Logf("%d snapshots and %d bases, at most %d MiB of %d", saved, bases, peak>>20, most>>20)
	if peak > most || peak < most/4*3 || bases < 3 || dropped > 0 {
		t.Errorf("files take %d MiB of %d, with %d bases; %d times only one snapshot was left", peak>>20, most>>20, bases, dropped)
	}
}
