package actor

import (
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/actor/space"
	"qkv/internal/limits"
	"qkv/log"
)

// stepper is background work whose steps take a time.
type stepper struct {
	takes   time.Duration
	steps   atomic.Int64
	resting atomic.Int64 // turns that came during a rest
}

func (s *stepper) Handle(t Time, _ []int) bool {
	if t.Resting {
		s.resting.Add(1)
		return true
	}
	s.steps.Add(1)
	for end := time.Now().Add(s.takes); time.Now().Before(end); {
	}
	return true
}

type pacedStepper struct{ *stepper }

func (pacedStepper) Rest(took time.Duration) time.Duration { return restAfter(took) }

// A paced actor rests after each step for as long as it took, also when messages come meanwhile; another goes on at once.
func TestPacedActorRests(t *testing.T) {
	const takes = 5 * time.Millisecond
	run := func(h Handler[int], s *stepper) (steps, resting int64) {
		r := NewRuntime()
		box := NewMailbox[int]("s", Capacity{Offer: 1})
		Spawn(r, box, h)
		r.Every(time.Millisecond, func() { box.Offer(1) })
		begun := time.Now()
		for s.steps.Load() < 20 && time.Since(begun) < 2*time.Minute {
			time.Sleep(time.Millisecond)
		}
		r.Stop()
		return int64(time.Since(begun) / takes), s.resting.Load()
	}
	paced := &stepper{takes: takes}
	units, resting := run(pacedStepper{paced}, paced)
	if steps := paced.steps.Load(); units < 2*steps-3 || resting == 0 {
		t.Errorf("%d steps in the time of %d, %d turns while it rested", steps, units, resting)
	}
}

// The snapshotter rests for a disk that held it up, and not for the processor; the less room the log has, the shorter.
func TestSnapshotterRests(t *testing.T) {
	s := newTestSnapshotter(t, viewAt(t, 1, 1))
	const slow = 3 * snapshotStepQuick
	half := s.Status.Disk().LogBudget(&s.Limits) / 2
	for _, c := range []struct {
		took, want time.Duration
		log        int64
	}{
		{0, restLeast, 0},
		{snapshotStepQuick, restLeast, 0},
		{slow, slow, 0},
		{slow, slow / 2, half / 2},
		{slow, slow / snapshotRest, half},
		{slow, slow / snapshotRest, 2 * half},
		{time.Hour, restMost, 0},
	} {
		s.Status.publishDurable(log.Stats{Bytes: c.log})
		if got := s.Rest(c.took); got < c.want-time.Microsecond || got > c.want+time.Microsecond {
			t.Errorf("a rest of %v after %v with a log of %d MiB, %v is wanted", got, c.took, c.log>>20, c.want)
		}
	}
}

// What a save, and a check, ask the disk for at once follows how long their steps take: a disk that is quick is asked for small pieces,
// which nobody waits long behind; one that takes long for each call is asked seldom.
func TestPiecesFollowTheDisk(t *testing.T) {
	const quick, least, most = snapshotStepQuick, limits.SnapshotPieceBytes, limits.SnapshotStepBytes
	s := newTestSnapshotter(t, viewAt(t, 1, 1))
	for i, c := range []struct {
		took time.Duration
		want int
	}{
		{0, least},
		{quick / 4, least},
		{quick + 1, 2 * least},
		{quick, 2 * least},
		{quick/4 + 1, 2 * least},
		{quick / 4, least},
		{time.Second, 2 * least},
		{time.Second, 4 * least},
		{time.Second, 8 * least},
		{time.Second, most},
		{time.Second, most},
		{quick / 2, most},
		{0, most / 2},
	} {
		if s.Rest(c.took); s.pieceBytes != c.want {
			t.Fatalf("step %d: %d bytes at once after %v, %d are wanted", i, s.pieceBytes, c.took, c.want)
		}
	}
	const asks = 4 << 10
	s.pieceBytes = asks
	view := viewAt(t, 3, 10)
	s.Status.view.Store(view)
	s.out.order = &ordered{save: save{View: view, Index: 3, Term: 1, ConfState: &raftpb.ConfState{Voters: []uint64{1}}}}
	s.out.next(&s.snapshotCore, &s.repair, false)
	saver := s.out.file.saver
	for s.out.file != nil {
		if s.out.step(&s.snapshotCore, &s.repair); saver.CallBytes != asks {
			t.Fatalf("a save asks for %d at once", saver.CallBytes)
		}
	}
	s.suspects = s.files[:1]
	s.check.next(&s.snapshotCore, &s.repair, &s.sends)
	verifier := s.check.current.verifier
	if s.check.step(&s.snapshotCore, &s.repair, &s.sends); verifier.CallBytes != asks {
		t.Fatalf("a check asks for %d at once", verifier.CallBytes)
	}
}

// A file that the log outruns is written in larger pieces, step by step, and without rests: half of the log's space is taken before a
// snapshot is ordered. A disk that is slow has its rest.
func TestOutrunSaveIsInHaste(t *testing.T) {
	const mib = 1 << 20
	view := viewAt(t, 3, 10)
	s := newTestSnapshotter(t, view)
	s.out.order = &ordered{save: save{View: view, Index: 3, Term: 1, ConfState: &raftpb.ConfState{Voters: []uint64{1}}}}
	s.out.next(&s.snapshotCore, &s.repair, false)
	room := func() int64 { return s.Status.Disk().LogBudget(&s.Limits) }
	const least = limits.SnapshotPieceBytes
	for _, c := range []struct {
		what        string
		half, over  int64 // of the log's space
		took, rests time.Duration
		asks        int
	}{
		{"half is taken", 1, -mib, 0, restLeast, least},
		{"more is", 1, mib, 0, 0, 4 * least},
		{"all is, on a slow disk", 2, 0, 8 * snapshotStepQuick, snapshotStepQuick, 4 * least},
	} {
		s.pieceBytes = 2 * least
		s.Status.publishDurable(log.Stats{Bytes: room()/2*c.half + c.over})
		if rests := s.Rest(c.took); rests != c.rests || s.pieceBytes != c.asks {
			t.Errorf("%s: a rest of %v, %d bytes at once; %v and %d are wanted", c.what, rests, s.pieceBytes, c.rests, c.asks)
		}
	}
	for what, why := range map[string]func(*space.Disk) *bool{
		"the log is kept for a follower": func(d *space.Disk) *bool { return &d.LogKept },
		"it lags behind its leader":      func(d *space.Disk) *bool { return &d.Lags },
	} {
		s.Status.reportDisk(func(d *space.Disk) { *why(d) = true })
		s.Status.publishDurable(log.Stats{Bytes: room()})
		if s.Rest(0) != restLeast {
			t.Errorf("%s, and it does not rest", what)
		}
		s.Status.reportDisk(func(d *space.Disk) { *why(d) = false })
	}
	s.out.abort()
	s.Status.publishDurable(log.Stats{Bytes: room()})
	if s.Rest(0) != restLeast {
		t.Error("no file is written, and it does not rest")
	}
}

// A step of the segment maker is as large as the last one says that the disk can do soon.
func TestSpareStepsFollowTheDisk(t *testing.T) {
	s := NewSegmentMaker(SegmentMakerConfig{Maker: &log.Maker{}, Status: &Status{}})
	for _, took := range []time.Duration{0, spareStepQuick + 1, spareStepQuick, time.Second} {
		if s.Rest(took); s.Maker.Quick != (took <= spareStepQuick) {
			t.Errorf("after a step of %v: quick %v", took, s.Maker.Quick)
		}
	}
}

// A rest is as long as the step, for as long as a slow disk may make it.
func TestRestAfter(t *testing.T) {
	for took, want := range map[time.Duration]time.Duration{
		0: restLeast, time.Millisecond: time.Millisecond, 2500 * time.Millisecond: 2500 * time.Millisecond, time.Minute: restMost,
	} {
		if got := restAfter(took); got != want {
			t.Errorf("a rest of %v after %v", got, took)
		}
	}
}

// What a put waits for beside a snapshot that is saved, counted and not timed: a turn of the snapshotter handles one step of
// it, however many messages it takes, a step is limits.SnapshotStepBytes and what one block is more, and a turn within a rest is no
// step. So the member's other actors are never held up for longer than by one step, and between two of them there is a rest.
func TestSavingGoesInSmallSteps(t *testing.T) {
	s := newTestSnapshotter(t, nil)
	const bytes, value = 8 << 20, 64 << 10
	const last = bytes / value
	view := stateAt(t, last, value).ViewToSave()
	s.Status.view.Store(view)
	most := int64(s.Limits.SnapshotStepBytes) + 256<<10
	nothing := []SnapshotterMessage{installed{Index: 1}, installed{Index: 1}, installed{Index: 1}}
	again := s.Handle(Time{Now: s.at}, []SnapshotterMessage{save{View: view, Index: last, Term: 1, ConfState: &raftpb.ConfState{Voters: []uint64{1}}}})
	var steps int64
	for ; again && steps < 1000; steps++ {
		was := s.written()
		s.Handle(Time{Now: s.at, Resting: true}, nothing)
		if got := s.written() - was; got != 0 {
			t.Fatalf("a turn within a rest writes %d bytes", got)
		}
		again = s.Handle(Time{Now: s.at}, nothing)
		if got := s.written() - was; got > most {
			t.Fatalf("step %d writes %d bytes, at most %d are wanted", steps, got, most)
		}
	}
	if len(s.files) != 1 || s.files[0].Bytes < bytes {
		t.Fatalf("saved %+v", s.files)
	}
	if least := 2 * s.files[0].Bytes / most; steps < least { // it is written, and read back
		t.Errorf("%d bytes are written and read back in %d steps, at least %d are wanted", s.files[0].Bytes, steps, least)
	}
}
