package actor

import (
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/index"
	"qkv/index/kv"
)

// stageWriter is a connection that says when it has written.
type stageWriter struct{ told kv.Written }

func (*stageWriter) Complete([]kv.Completion)         {}
func (w *stageWriter) WhenWritten(written kv.Written) { w.told = written }

func entryOf(at uint64, v index.Envelope) *raftpb.Entry {
	return &raftpb.Entry{Index: &at, Data: index.AppendEnvelope(nil, v, [][]byte{{0}})}
}

// TestStages follows a write on a leader and on a follower: the stages add up to all of its time, and nothing is followed
// beside it, or soon after.
func TestStages(t *testing.T) {
	const member, incarnation, first = 7, 3, 42
	for _, leads := range []bool{true, false} {
		now := time.Second
		var s Stages
		s.begin(func() time.Duration { return now })
		pass := func(us int) time.Duration { now += time.Duration(us) * time.Microsecond; return now }
		arrive := func() (followed int) { // as many writes as there is one followed of
			for range stageOf {
				if s.Arrive() != 0 {
					followed++
				}
			}
			return followed
		}
		if arrive() != 1 || arrive() != 0 {
			t.Fatal("not one write is followed, or one beside another")
		}
		to := &stageWriter{}
		pass(10)
		s.propose(first, leads, to)
		others := []*raftpb.Entry{entryOf(5, index.Envelope{Member: member, Incarnation: incarnation, First: first - 1}), entryOf(6, index.Envelope{Member: 8, Incarnation: incarnation, First: first})}
		s.order(member, incarnation, others)
		if s.among(others) {
			t.Fatal("another write's entry is followed")
		}
		own := []*raftpb.Entry{entryOf(7, index.Envelope{Member: member, Incarnation: incarnation, First: first})}
		s.order(member, incarnation, own)
		if !s.among(own) || s.among(others) {
			t.Fatal("the write's entry is not the one that is followed")
		}
		s.syncBegun.Store(int64(pass(20)))
		s.syncEnded.Store(int64(pass(40)))
		taken := pass(80)
		pass(160)
		s.applied(taken)
		pass(320)
		to.told.Written()
		want := [stageCount]int{10, 20, 40, 80, 160, 320}
		if !leads { // the way to the leader is no wait for this disk
			want = [stageCount]int{10, 0, 40, 100, 160, 320}
		}
		for stage, us := range want {
			if got := s.Times[stage].Times(); got.Count != 1 || got.Sum != time.Duration(us)*time.Microsecond {
				t.Errorf("leads %v: %v took %v, not %d us", leads, Stage(stage), got.Sum, us)
			}
		}
		if arrive() != 0 {
			t.Error("the next one is followed at once")
		}
		now += stageEvery
		if arrive() != 1 {
			t.Error("the next one is not followed after a while")
		}
	}
}

// TestStagesQuorumFirst: a write that others have agreed on before this member's disk was done has no time twice.
func TestStagesQuorumFirst(t *testing.T) {
	now := time.Second
	var s Stages
	s.begin(func() time.Duration { return now })
	s.Arrive()
	s.propose(1, true, nil)
	s.order(1, 1, []*raftpb.Entry{entryOf(1, index.Envelope{Member: 1, Incarnation: 1, First: 1})})
	s.syncBegun.Store(int64(now + 10))
	now += 100
	s.applied(now)
	sum := time.Duration(0)
	for _, h := range s.Times {
		sum += h.Times().Sum
	}
	if got := s.Times[stageSync].Times().Sum; got != 90 || sum != 100 {
		t.Errorf("the sync took %v of 90 ns, everything %v of 100", got, sum)
	}
	if s.taken.Load() {
		t.Error("a connection that does not say when it has written keeps the place")
	}
}

// TestStagesLost: a write that never comes to its end is followed for so long, and its end is none of the next one's.
func TestStagesLost(t *testing.T) {
	now := time.Second
	var s Stages
	s.begin(func() time.Duration { return now })
	s.Arrive()
	s.propose(1, true, nil)
	entries := []*raftpb.Entry{entryOf(1, index.Envelope{Member: 1, Incarnation: 1, First: 1})}
	s.order(1, 1, entries)
	s.dropOverdue(now + stageMost)
	if !s.among(entries) {
		t.Error("it was given up too early")
	}
	s.dropOverdue(now + stageMost + 1)
	if s.among(entries) || s.taken.Load() {
		t.Error("it is still followed")
	}
	s.applied(now)
	if s.Times[stageApply].Times().Count != 0 {
		t.Error("its end is counted")
	}
}

// TestStagesCost: who is not followed costs no memory.
func TestStagesCost(t *testing.T) {
	var s Stages
	s.begin(func() time.Duration { return time.Second })
	entries := []*raftpb.Entry{entryOf(1, index.Envelope{First: 1})}
	s.Arrive()
	if n := testing.AllocsPerRun(100, func() {
		s.Arrive()
		s.order(1, 1, entries)
		s.among(entries)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkStagesArrive(b *testing.B) {
	var s Stages
	begun := time.Now()
	s.begin(func() time.Duration { return time.Since(begun) })
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			s.Arrive()
		}
	})
}
