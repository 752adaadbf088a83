package actor

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/index"
	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/log/disk/simdisk"
)

// A sender of whom nothing comes any more is not waited for, as far as that keeps this member from anything; and what the log has
// brought, from another leader, is not received any longer.
func TestSenderOfASnapshotIsGone(t *testing.T) {
	whole, o := sentSnapshot(t, stateAt(t, 20, 100_000), 20)
	half := len(whole) / 2
	s := newTestSnapshotter(t, index.NewState(limits.Defaults().Index).View())
	s.comes(whole[:half])
	s.turn(FromPeer{From: 2, Message: o})
	if s.turn(Wait{}); !s.Status.Disk().Receives {
		t.Error("it does not know that a snapshot comes")
	}
	s.at += snapshotSendTimeout
	if s.turn(Wait{}); s.Status.Disk().Receives || s.receive.current == nil {
		t.Error("it waits for a sender that is gone, or forgets what has come")
	}
	s.unread = true
	s.turn(FromPeer{From: 2, Message: o}, pieceCame{s.receive.current.file})
	if !s.Status.Disk().Receives {
		t.Error("it does not know that it goes on")
	}
	s.at += snapshotSendTimeout
	if s.turn(Wait{}); !s.Status.Disk().Receives {
		t.Error("what has come is read for long, and counts as a sender that is gone")
	}
	s.unread = false
	s.turn()
	s.turn(pieceCame{s.receive.current.file}, pulled{File: s.receive.current.file, Away: errAway})
	for _, at := range []uint64{19, 20} {
		s.Status.view.Store(viewAt(t, at, 100))
		s.turn(Wait{})
		if needed := at < 20; (s.receive.current != nil) != needed || s.Status.Disk().Receives != needed || (len(names(t, s.fs)) > 0) != needed {
			t.Errorf("with entry %d applied: %v is there", at, names(t, s.fs))
		}
	}
	if len(drainBox(s.consensus)) > 0 || len(s.problems()) > 0 {
		t.Errorf("consensus hears of it: %q", s.problems())
	}
	s.comes(whole)
	s.turn(FromPeer{From: 2, Message: o})
	if s.receive.current != nil || len(names(t, s.fs)) > 0 {
		t.Errorf("it begins again: %v is there", names(t, s.fs))
	}
}

// A snapshot that comes slowly is in the log, with how much there is of it: at once, and then now and then.
func TestWhatComesIsSaid(t *testing.T) {
	whole, o := sentSnapshot(t, stateAt(t, 20, 100_000), 20)
	s := newTestSnapshotter(t, index.NewState(limits.Defaults().Index).View())
	var said bytes.Buffer
	s.Logger = slog.New(slog.NewTextHandler(&said, nil))
	lines := func(want int, last string) {
		t.Helper()
		all := slices.DeleteFunc(strings.Split(strings.TrimSpace(said.String()), "\n"), func(line string) bool { return !strings.Contains(line, `"a snapshot comes"`) })
		if len(all) != want || !strings.HasSuffix(all[want-1], last) {
			t.Errorf("it has said %q, and not %d lines, the last with %s", all, want, last)
		}
	}
	half := len(whole) / 2
	s.comes(whole[:half])
	s.unread = true
	s.turn(FromPeer{From: 2, Message: o})
	lines(1, fmt.Sprintf("from=%s index=20 bytes=%d has=0", s.Status.NameOf(2), len(whole)))
	s.unread = false
	s.turn()
	s.at += snapshotSays - time.Second
	s.turn(Wait{})
	lines(1, "has=0")
	s.at += time.Second
	s.turn(Wait{}, Wait{})
	lines(2, fmt.Sprintf("has=%d", half))
}

// While a snapshot comes, there may be another term, with the same leader or another one. It is taken all the same, and the leader
// that there is hears of it; where there is none, the snapshotter is told that nobody has a use for it.
func TestSnapshotOfAnEarlierTerm(t *testing.T) {
	for _, test := range []struct {
		name         string
		sender, lead uint64 // lead leads in term 5; 0: not any more
		offered      uint64 // the term of the offer
		taken        bool
	}{
		{"of this term", 2, 2, 5, true},
		{"the same leader, another term", 2, 2, 2, true},
		{"another leader", 3, 2, 2, true},
		{"no leader", 2, 0, 2, false},
		{"no leader is known, but its sender", 2, 0, 5, true},
		{"of a term that this member has not heard of", 3, 2, 6, true},
	} {
		c := newTestConsensus(t, limits.Defaults())
		if c.follow(5); test.lead == 0 {
			c.pass(3 * c.ElectionTimeout)
		}
		snap := snapshotAt(10, 2, testMembers)
		c.Handle(c.now, []ConsensusMessage{snapshotReceived{Message: &raftpb.Message{
			Type: raftpb.MsgSnap.Enum(), From: &test.sender, To: u(1), Term: &test.offered, Snapshot: snap,
		}}})
		var responds uint64 // to whom, when the snapshot's marker is on the disk
		for _, order := range drainBox(c.LogWriter) {
			if a, ok := order.(appendOrder); ok && a.Message.GetSnapshot() != nil {
				for _, r := range a.Message.GetResponses() {
					if r.GetType() == raftpb.MsgAppResp && r.GetIndex() == 10 {
						responds = r.GetTo()
					}
				}
			}
		}
		discards := 0
		for _, m := range drainBox(c.Snapshotter) {
			if d, ok := m.(discard); ok && d.Index == 10 {
				discards++
			}
		}
		status := c.raft.BasicStatus()
		switch {
		case c.transfers.received != nil:
			t.Errorf("%s: it waits for raft", test.name)
		case !test.taken && (responds != 0 || discards != 1):
			t.Errorf("%s: %d is told that it is there, and the snapshotter %d times that it is of no use", test.name, responds, discards)
		case test.taken && (responds != status.Lead || responds == 0 || discards != 0):
			t.Errorf("%s: %d is told that it is there where %d leads, and the snapshotter %d times that it is of no use", test.name, responds, status.Lead, discards)
		}
	}
}

// The partial file of a transfer stays for the same offer, until the next save removes what is not needed.
func TestAbandonedTransferLeavesNoFile(t *testing.T) {
	whole, o := sentSnapshot(t, stateAt(t, 20, 100), 20)
	s := newTestSnapshotter(t, index.NewState(limits.Defaults().Index).View())
	s.comes(whole[:len(whole)/2])
	s.turn(FromPeer{From: 2, Message: o})
	if s.receive.end(&s.snapshotCore); len(names(t, s.fs)) != 1 {
		t.Errorf("the transfer cannot go on: %v", names(t, s.fs))
	}
	if s.removeParts(); len(names(t, s.fs)) > 0 {
		t.Errorf("%v is still there", names(t, s.fs))
	}
}

// A transfer and a repair remove partial files of others, so neither begins during the other one.
func TestOneFileIsReceivedAtATime(t *testing.T) {
	_, o := sentSnapshot(t, stateAt(t, 20, 100), 20)
	o.Index = 1 << 20
	p, s := newParts(t)
	p.put(100)
	s.save(p)
	offer, bad := FromPeer{From: 2, Message: o}, s.files[0].Parts[0]
	handled := func(batch ...SnapshotterMessage) []SnapshotReaderMessage {
		s.Handle(Time{Now: s.at}, batch)
		return drainBox(s.Reader)
	}
	if got := handled(offer); len(got) != 1 || s.receive.current == nil {
		t.Fatalf("for an offer, %+v is ordered", got)
	}
	s.repair.partDamaged(&s.snapshotCore, bad, damage.ErrDamaged)
	if got := handled(); len(got) > 0 {
		t.Errorf("during a transfer, %+v is ordered", got)
	}
	s.receive.end(&s.snapshotCore)
	if got := handled(); len(got) > 0 {
		t.Errorf("while the reader has a file, %+v is ordered", got)
	}
	if got := handled(pulled{File: s.receive.given}); len(got) != 1 || got[0] != (repairPart{bad}) {
		t.Errorf("after the transfer, %+v is ordered", got)
	}
	if got := handled(offer); len(got) > 0 || s.receive.current != nil {
		t.Errorf("during a repair, %+v is ordered for an offer", got)
	}
	if handled(partRepaired{Part: bad}); len(handled(offer)) != 1 || s.receive.current == nil {
		t.Error("after a repair, an offer is not taken")
	}
}

// A snapshot that raft had no use for leaves nothing: nobody lists it, and it would take its room until the next start.
func TestDiscardedSnapshotIsGone(t *testing.T) {
	whole, o := sentSnapshot(t, stateAt(t, 20, 100), 20)
	s := newTestSnapshotter(t, index.NewState(limits.Defaults().Index).View())
	s.comes(whole)
	s.turn(FromPeer{From: 2, Message: o})
	if r := s.receive.current; r == nil || !s.installing {
		t.Fatalf("raft has none: %q", s.problems())
	}
	s.turn(discard{Index: 20, Term: 1})
	if got := names(t, s.fs); s.receive.current != nil || len(got) != 0 || len(s.fs.OpenFiles()) != 0 {
		t.Errorf("it is still there: %v, open are %q", got, s.fs.OpenFiles())
	}
}

// A leader that offers again what it is sending may have a newer term by then: raft hears of that one, and not of one that it takes
// for over.
func TestSnapshotOfferedAgainInANewerTerm(t *testing.T) {
	for _, again := range []uint64{5, 1} { // a message of before may come late
		whole, o := sentSnapshot(t, stateAt(t, 20, 100), 20)
		s := newTestSnapshotter(t, index.NewState(limits.Defaults().Index).View())
		newer := o
		newer.MessageTerm = again
		half := len(whole) / 2
		s.comes(whole[:half])
		s.turn(FromPeer{From: 2, Message: o})
		s.comes(whole)
		s.turn(FromPeer{From: 2, Message: newer})
		got := drainBox(s.consensus)
		if len(got) != 1 {
			t.Fatalf("consensus hears of %+v: %q", got, s.problems())
		}
		if m := got[0].(snapshotReceived).Message; m.GetTerm() != max(o.MessageTerm, again) {
			t.Errorf("offered in term %d, then in %d: raft hears of it in %d", o.MessageTerm, again, m.GetTerm())
		}
	}
}

// The files come from the address in the newest offer: the sender may have come back at another one.
func TestSnapshotComesFromTheOfferedAddress(t *testing.T) {
	whole, o := sentSnapshot(t, stateAt(t, 20, 100), 20)
	s := newTestSnapshotter(t, index.NewState(limits.Defaults().Index).View())
	for _, at := range []string{"10.0.0.1:1", "10.0.0.2:1"} {
		o.Address = at
		if s.turn(FromPeer{From: 2, Message: o}); s.askedAt != at {
			t.Errorf("offered at %q, asked for at %q", at, s.askedAt)
		}
		s.comes(whole[:len(whole)/2])
	}
}

// Who could save no snapshot, and got one, has one: nothing is wrong any more.
func TestInstalledSnapshotEndsTheAlarmOfSaving(t *testing.T) {
	whole, o := sentSnapshot(t, stateAt(t, 20, 100), 20)
	view := viewAt(t, 3, 1)
	s := newTestSnapshotter(t, view)
	s.fs.Fail(simdisk.Fault{Call: 1, Op: simdisk.OpCreate, Err: syscall.ENOSPC})
	if s.turn(saveOf(view)); len(s.problems()) != 1 {
		t.Fatalf("after a save that failed: %q", s.problems())
	}
	s.comes(whole)
	s.turn(FromPeer{From: 2, Message: o})
	if s.turn(installed{Index: 20, Term: 1}); len(s.files) != 1 || len(s.problems()) != 0 {
		t.Errorf("with the snapshot of the leader %d are kept, problems %q", len(s.files), s.problems())
	}
}
