package actor

import (
	"sync/atomic"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/meter"
)

// Stage is a part of a write's path through the member that its client is connected to.
type Stage int

// The stages, in order: each begins at the end of the previous one.
const (
	stageQueue Stage = iota // from the endpoint until consensus has put it into a batch
	stageBatch              // until the log writer begins the write's group: mostly the previous sync
	stageSync               // until that group is durable here
	// until the applier has it: a quorum, and the network; at a follower the path to the leader, too
	stageReplicate
	stageApply // until it is applied and readers see it
	stageReply // until the answer is written to the client's stream; 0 where that is not known
	stageCount
)

var stageNames = [stageCount]string{"queue", "batch", "sync", "replicate", "apply", "reply"}

func (s Stage) String() string { return stageNames[s] }

// Stages follow one write at a time, one of stageOf that arrive and at most one per stageEvery. Their cost is too small to measure: a
// write that is not followed touches one atomic. No decision depends on them. A write is chosen by its arrival, not by the end of the
// previous one: otherwise writes after slow ones would be followed more often.
//
// Invariants:
//
//  1. While taken is false, no write is followed. The goroutine that sets it follows one. It is reset when that write's answer is
//     written, or it is dropped.
//  2. first is the number of the first command of the followed write's batch from when that is proposed until its entry is
//     ordered; then index is that entry's. At most one of them is above 0.
//  3. The marks are written by one goroutine each, in the order of the stages, and read by the applier after index.
type Stages struct {
	Times [stageCount]*meter.Histogram

	now   func() time.Duration
	count atomic.Uint64 // of arrived writes
	taken atomic.Bool
	next  atomic.Int64 // the next write is followed no earlier
	index atomic.Uint64

	arrived, syncBegun, syncEnded, handedOut atomic.Int64

	// Owned by consensus until index is set, and from then on read by the applier.
	proposed time.Duration
	first    uint64
	leads    bool
	to       kv.ReplyTo
}

const (
	// stageOf: one of so many writes is followed, beginning with the first.
	stageOf = 8
	// stageEvery is the pause after a followed write.
	stageEvery = time.Millisecond
	// stageMost bounds the time for which a write is followed: it may never end, because the leader has changed.
	stageMost = 5 * time.Second
	// stageShortest is the end of the first bucket.
	stageShortest = 5 * time.Microsecond
)

// begin enables the following of writes; the zero value follows none.
func (s *Stages) begin(now func() time.Duration) {
	s.now = now
	for i := range s.Times {
		s.Times[i] = meter.NewHistogram(stageShortest)
	}
}

// Arrive returns the arrival time of a write to follow; 0: this one is not followed.
func (s *Stages) Arrive() time.Duration {
	if s.now == nil || s.count.Add(1)%stageOf != 1 || s.taken.Load() {
		return 0
	}
	now := s.now()
	if int64(now) < s.next.Load() || now <= 0 || !s.taken.CompareAndSwap(false, true) {
		return 0
	}
	s.arrived.Store(int64(now))
	return now
}

// drop stops following the write, while consensus has it.
func (s *Stages) drop() {
	s.first, s.to = 0, nil
	s.finish()
}

// finish allows the next write to be followed, after a pause.
func (s *Stages) finish() {
	s.next.Store(int64(s.now() + stageEvery))
	s.taken.Store(false)
}

// dropOverdue drops a write that never ended. Called by consensus's clock.
func (s *Stages) dropOverdue(now time.Duration) {
	if !s.taken.Load() || now-time.Duration(s.arrived.Load()) <= stageMost {
		return
	}
	if s.index.Swap(0) != 0 || s.first != 0 { // otherwise the applier has it
		s.first, s.to = 0, nil
	}
	s.finish()
}

// propose notes that raft has the followed write's batch, or that it was forwarded to the leader.
func (s *Stages) propose(first uint64, leads bool, to kv.ReplyTo) {
	s.proposed, s.first, s.leads, s.to = s.now(), first, leads, to
}

// order looks for the followed write among entries about to be written.
func (s *Stages) order(member, incarnation uint64, entries []*raftpb.Entry) {
	if s.first == 0 {
		return
	}
	for _, e := range entries {
		if e.GetType() != raftpb.EntryNormal || len(e.GetData()) == 0 {
			continue
		}
		v, err := index.ReadEnvelope(e.GetData())
		if err == nil && v.Member == member && v.Incarnation == incarnation && v.First == s.first {
			s.first = 0
			s.syncBegun.Store(0)
			s.syncEnded.Store(0)
			s.index.Store(e.GetIndex())
			return
		}
	}
}

// among reports whether the followed write is one of these entries.
func (s *Stages) among(entries []*raftpb.Entry) bool {
	at := s.index.Load()
	return at != 0 && len(entries) > 0 && entries[0].GetIndex() <= at && at <= entries[len(entries)-1].GetIndex()
}

// applied notes that the followed write is applied, and is handed out next; taken is when the applier took it.
func (s *Stages) applied(taken time.Duration) {
	if s.index.Swap(0) == 0 {
		return
	}
	now, to := s.now(), s.to
	begun, ended := time.Duration(s.syncBegun.Load()), time.Duration(s.syncEnded.Load())
	if begun == 0 || begun > taken { // others have agreed before this member's disk had begun
		begun = taken
	}
	if ended == 0 || ended > taken { // or before it was done
		ended = taken
	}
	s.Times[stageQueue].Observe(s.proposed - time.Duration(s.arrived.Load()))
	batch, replicate := begun-s.proposed, taken-ended
	if !s.leads {
		batch, replicate = 0, batch+replicate
	}
	s.Times[stageBatch].Observe(batch)
	s.Times[stageSync].Observe(ended - begun)
	s.Times[stageReplicate].Observe(replicate)
	s.Times[stageApply].Observe(now - taken)
	s.handedOut.Store(int64(now))
	if w, can := to.(kv.WriteWatcher); can {
		w.WhenWritten(s)
		return
	}
	s.Times[stageReply].Observe(0)
	s.finish()
}

// Written implements kv.Written: the followed write has been answered.
func (s *Stages) Written() {
	if s.taken.Load() {
		s.Times[stageReply].Observe(s.now() - time.Duration(s.handedOut.Load()))
		s.finish()
	}
}
