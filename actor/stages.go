package actor

import (
	"sync/atomic"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/meter"
)

// Stage is a part of a write's way through the member that its client is connected to.
type Stage int

// The stages, in their order: each begins where the one before ends.
const (
	StageQueue     Stage = iota // from the endpoint until consensus has put it into a batch
	StageBatch                  // until the log writer begins the group that it is in: mostly the sync before
	StageSync                   // until that group is durable here
	StageReplicate              // until the applier has it: a quorum, and the way there; of a follower the way to the leader, too
	StageApply                  // until it is applied and readers see it
	StageReply                  // until the answer is written to the client's stream; nothing where that is not known
	StageCount
)

var stageNames = [StageCount]string{"queue", "batch", "sync", "replicate", "apply", "reply"}

func (s Stage) String() string { return stageNames[s] }

// Stages follow one write at a time, one of stageOf that arrive and at most one in stageEvery, so that they cost nothing that
// could be measured: who meets no write that is followed touches one atomic. Nothing is decided by them. A write is chosen by
// when it comes and not by when the one before has ended: otherwise those behind slow ones would be followed more often.
//
// Invariants:
//
//  1. While taken is false, no write is followed. Who sets it follows one, and it is unset when that one's answer is
//     written, or it is dropped.
//  2. first is the number of the first command of the followed write's batch from when that is proposed until its entry is
//     ordered; then index is that entry's. At most one of them is above 0.
//  3. The marks are written by one goroutine each, in the order of the stages, and read by the applier after index.
type Stages struct {
	Times [StageCount]*meter.Histogram

	now   func() time.Duration
	count atomic.Uint64 // of writes that have arrived
	taken atomic.Bool
	next  atomic.Int64 // not before, the next one is followed
	index atomic.Uint64

	arrived, syncBegun, syncEnded, handedOut atomic.Int64

	// Owned by consensus until index is set, and then the applier's to read.
	proposed time.Duration
	first    uint64
	leads    bool
	to       kv.ReplyTo
}

const (
	// stageOf is how many writes there are for one that is followed; the first is.
	stageOf = 8
	// stageEvery is how long no write is followed after one was.
	stageEvery = time.Millisecond
	// stageMost is how long one is followed that may never come to its end: its leader is another one by now.
	stageMost = 5 * time.Second
	// stageShortest is the end of the first bucket.
	stageShortest = 5 * time.Microsecond
)

// begin lets writes be followed; the zero value follows none.
func (s *Stages) begin(now func() time.Duration) {
	s.now = now
	for i := range s.Times {
		s.Times[i] = meter.NewHistogram(stageShortest)
	}
}

// Arrive says when a write arrived that is to be followed; 0: this one is not.
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

// drop follows the write no longer that consensus has.
func (s *Stages) drop() {
	s.first, s.to = 0, nil
	s.finish()
}

// finish lets another one be followed, after a while.
func (s *Stages) finish() {
	s.next.Store(int64(s.now() + stageEvery))
	s.taken.Store(false)
}

// lost drops a write that does not come to its end. Called by consensus' clock.
func (s *Stages) lost(now time.Duration) {
	if !s.taken.Load() || now-time.Duration(s.arrived.Load()) <= stageMost {
		return
	}
	if s.index.Swap(0) != 0 || s.first != 0 { // otherwise the applier has it
		s.first, s.to = 0, nil
	}
	s.finish()
}

// propose notes that raft has the batch of the followed write, or the leader will.
func (s *Stages) propose(first uint64, leads bool, to kv.ReplyTo) {
	s.proposed, s.first, s.leads, s.to = s.now(), first, leads, to
}

// order looks for the followed write among entries that are about to be written.
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

// among tells whether the followed write is one of these entries.
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
	s.Times[StageQueue].Observe(s.proposed - time.Duration(s.arrived.Load()))
	batch, replicate := begun-s.proposed, taken-ended
	if !s.leads {
		batch, replicate = 0, batch+replicate
	}
	s.Times[StageBatch].Observe(batch)
	s.Times[StageSync].Observe(ended - begun)
	s.Times[StageReplicate].Observe(replicate)
	s.Times[StageApply].Observe(now - taken)
	s.handedOut.Store(int64(now))
	if w, can := to.(kv.WriteWatcher); can {
		w.WhenWritten(s)
		return
	}
	s.Times[StageReply].Observe(0)
	s.finish()
}

// Written implements kv.Written: the followed write has been answered.
func (s *Stages) Written() {
	if s.taken.Load() {
		s.Times[StageReply].Observe(s.now() - time.Duration(s.handedOut.Load()))
		s.finish()
	}
}
