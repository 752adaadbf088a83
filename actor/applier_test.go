package actor

import (
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/actor/space"
	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
)

// reader looks at the published View as soon as it is told that something is done.
type reader struct {
	t      *testing.T
	status *Status
	told   int
}

func (r *reader) Complete(all []kv.Completion) {
	for _, one := range all {
		r.told++
		view := r.status.View()
		applied, _ := view.Applied()
		if one.Kind == kv.CommandDone && view.Revision() < one.Result.Revision {
			r.t.Errorf("told of revision %d, it reads a View of revision %d", one.Result.Revision, view.Revision())
		}
		if one.Kind == kv.ReadReady && applied < one.Request {
			r.t.Errorf("told to read what entry %d shows, it reads a View of entry %d", one.Request, applied)
		}
	}
}

// Who is told that a write is done, or that a read may be answered, finds it in the View at once.
func TestViewBeforeAnswers(t *testing.T) {
	a, client := newTestApplier(t)
	for at := uint64(2); at < 6; at++ {
		a.Handle(Time{}, []ApplierMessage{
			expect{Term: 1, First: at, Until: 1, Requests: []Request{{ReplyTo: client, Number: 1000 + at}}},
			readReady{Index: at, Until: 1, Requests: []Request{{ReplyTo: client, Number: at}}}, // a read has its entry's number
			applies(at, envelope(1, 7, at, 10)),
		})
	}
	if client.told != 8 {
		t.Errorf("%d answers, want those of 4 writes and 4 reads", client.told)
	}
}

// A read is answered when the entry that it waits for is applied, not before.
func TestReadWaitsForItsEntry(t *testing.T) {
	a, client := newTestApplier(t)
	if a.Handle(Time{}, []ApplierMessage{readReady{Index: 2, Until: 1, Requests: []Request{{ReplyTo: client, Number: 2}}}}); client.told != 0 {
		t.Error("answered before")
	}
	if a.Handle(Time{}, []ApplierMessage{applies(2, envelope(1, 7, 2, 10))}); client.told != 1 {
		t.Errorf("answered %d times", client.told)
	}
}

// newTestApplier builds the applier of member 1's process 7, and the client that its answers go to.
func newTestApplier(t *testing.T) (*Applier, *reader) {
	t.Helper()
	plenty := Capacity{MustPost: 1000}
	state, status := index.NewState(limits.Defaults().Index), &Status{}
	if _, err := state.Apply(1, 1, nil, nil); err != nil {
		t.Fatal(err)
	}
	return NewApplier(ApplierConfig{
		Member: 1, Incarnation: 7, State: state, Inbox: NewMailbox[ApplierMessage]("a", plenty),
		Consensus: NewMailbox[ConsensusMessage]("c", plenty), LogWriter: NewMailbox[LogWriterMessage]("l", plenty),
		Snapshotter: NewMailbox[SnapshotterMessage]("s", plenty), Status: status, Limits: limits.Defaults(),
		Fail: func(err error) { t.Error(err) },
	}), &reader{t: t, status: status}
}

// applies is an order to apply one entry.
func applies(at uint64, data []byte) apply {
	kind, e := raftpb.MsgStorageApplyResp, someEntry(at, 1)
	e.Data = data
	return apply{Message: &raftpb.Message{Entries: []*raftpb.Entry{e}, Responses: []*raftpb.Message{{Type: &kind}}}}
}

// An entry of an earlier process of this member answers nobody, though its numbers are those that clients wait for now.
func TestEarlierProcessAnswersNobody(t *testing.T) {
	a, client := newTestApplier(t)
	a.Handle(Time{}, []ApplierMessage{
		expect{Term: 1, First: 5, Until: 1, Requests: []Request{{ReplyTo: client, Number: 1}}},
		applies(2, envelope(1, 6, 5, 10)), applies(3, envelope(2, 7, 5, 10)),
	})
	if client.told != 0 {
		t.Error("a client is told that another process's write is its own")
	}
	if a.Handle(Time{}, []ApplierMessage{applies(4, envelope(1, 7, 5, 10))}); client.told != 1 {
		t.Errorf("its own write is told %d times", client.told)
	}
}

// A read that is confirmed, and whose entry does not come in its time, is answered: the member has much to catch up with,
// or waits for a snapshot.
func TestConfirmedReadIsAnsweredInItsTime(t *testing.T) {
	a, _ := newTestApplier(t)
	var told clientHeard
	a.Handle(Time{}, []ApplierMessage{readReady{Index: 100, Until: time.Second, Requests: []Request{{ReplyTo: &told, Number: 41}}}})
	if a.Handle(Time{Now: time.Second - 1}, []ApplierMessage{expire{}}); len(told) != 0 {
		t.Errorf("before its time it is told %+v", told)
	}
	if a.Handle(Time{Now: time.Second}, []ApplierMessage{expire{}}); len(told) != 1 || told[0].Request != 41 || told[0].Result.Err == nil {
		t.Errorf("in its time it is told %+v", told)
	}
}

// What was compacted is dropped, and that can be seen, also when nothing comes behind the compaction.
func TestCompactedIsDroppedWhileIdle(t *testing.T) {
	a, _ := newTestApplier(t)
	at := uint64(1)
	apply := func(commands ...[]byte) (again bool) {
		at++
		return a.Handle(Time{}, []ApplierMessage{applies(at, index.AppendEnvelope(nil, index.Envelope{Member: 1, Incarnation: 9, First: at}, commands))})
	}
	for range 5 {
		apply(new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k")}).Bytes)
	}
	again := apply(new(index.Head).AppendCompact(nil, a.State.View().Revision()).Bytes)
	if a.Status.View().Dropped() {
		t.Fatal("it was dropped before a View was published that says so: answers are still read from what is gone")
	}
	for steps := 0; again; steps++ {
		if steps > 100 {
			t.Fatal("it is never done")
		}
		again = a.Handle(Time{}, nil)
	}
	if !a.Status.View().Dropped() {
		t.Error("what was compacted is still there, or no View says that it is gone")
	}
}

// A snapshot does not tell whose writes it holds: who waits for one is told at once that it may have happened.
func TestWritesBeneathASnapshotMayHaveHappened(t *testing.T) {
	a, _ := newTestApplier(t)
	var told clientHeard
	state := index.NewState(limits.Defaults().Index)
	if _, err := state.Apply(1, 1, nil, nil); err != nil {
		t.Fatal(err)
	}
	a.Handle(Time{}, []ApplierMessage{
		expect{Term: 1, First: 5, Until: time.Hour, Requests: []Request{{ReplyTo: &told, Number: 41}}},
		expect{Term: 1, First: 6, Until: time.Hour, Requests: []Request{{ReplyTo: &told, Number: 42}}},
	})
	a.Handle(Time{}, []ApplierMessage{restore{Index: 1, State: state}})
	if len(told) != 2 || told[0].Request != 41 || told[1].Request != 42 {
		t.Fatalf("told: %+v", told)
	}
	for _, one := range told {
		if err := one.Result.Err; err == nil || err.Code != kv.Unknown || err.Certain() {
			t.Errorf("told of write %d: %v", one.Request, err)
		}
	}
}

// The pause after a failed save grows with each failure in a row. A save that succeeds ends the row.
func TestPauseAfterAFailedSave(t *testing.T) {
	a, _ := newTestApplier(t)
	at := time.Duration(0)
	ends := func(m saveEnded) time.Duration {
		at += 24 * time.Hour
		a.Handle(Time{Now: at}, []ApplierMessage{m})
		return a.saveTries.notBefore - at
	}
	first, second := ends(saveEnded{Failed: true}), ends(saveEnded{Failed: true})
	if first <= 0 || second <= first {
		t.Errorf("the pauses after two failures are %v and %v", first, second)
	}
	ends(saveEnded{})
	if again := ends(saveEnded{Failed: true}); again != first {
		t.Errorf("the pause after a failure that follows a success is %v, not %v", again, first)
	}
}

// Two snapshots release the log before the first one. A backup reads the changes of the last seconds there: a wanted snapshot waits for it,
// except on a full disk.
func TestSnapshotsApart(t *testing.T) {
	c := newTestMembers(t)
	saves := func(after time.Duration, m ...ApplierMessage) (n int) {
		c.at += after
		last, term := c.applier.state.Applied()
		e := &raftpb.Entry{Index: new(last + 1), Term: &term}
		c.applier.Handle(Time{Now: c.at}, append(m, apply{Message: &raftpb.Message{Entries: []*raftpb.Entry{e}, Responses: []*raftpb.Message{{}}}}))
		for _, order := range drainBox(c.Snapshotter) {
			if _, ok := order.(save); ok {
				n++
			}
		}
		return n
	}
	for i, one := range []struct {
		after time.Duration
		m     ApplierMessage
		want  int
	}{
		{0, SnapshotWanted{Saves: 2}, 1},
		{snapshotsApart - 1, saveEnded{}, 0},
		{1, expire{}, 1},
		{1, saveEnded{Failed: true}, 0},
		{limits.SnapshotRetry, expire{}, 1}, // another try waits for the pause after a failure only
		{1, saveEnded{}, 0},
		{1, SnapshotWanted{Saves: 1}, 0},
	} {
		if got := saves(one.after, one.m); got != one.want {
			t.Errorf("%d: %d saves, not %d", i, got, one.want)
		}
	}
	for saved, free := range []int64{50, 49} {
		c.Status.reportDisk(func(d *space.Disk) { d.Capacity, d.Free = 100<<30, free<<30 })
		if got := saves(1, expire{}); got != saved {
			t.Errorf("%d saves on a disk with %d %% free, not %d", got, free, saved)
		}
	}
}
