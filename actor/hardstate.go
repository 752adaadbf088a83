package actor

import (
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/log"
)

// hardStates decides which orders to the log writer carry raft's hard state. A new commit index without a waiting response is no order of
// its own: it would wake the log writer for nothing, twice for each write of a lone client. It goes with the next order, or with a fence
// when the log is idle.
//
// Invariants:
//
//  1. ordered is the hard state of the newest order that carried one.
//  2. commit is raft's newest commit index; piggyback is true while no order carries it.
type hardStates struct {
	ordered   log.HardState
	commit    uint64
	piggyback bool

	lastOrder time.Duration // when the log writer last got an order
	fenced    bool          // a fence was sent since
}

// absorb keeps an order that only has a new commit index for the next order, and reports whether it did. Otherwise it adds the kept commit
// index to the order.
func (h *hardStates) absorb(m *raftpb.Message) bool {
	if m.Commit != nil {
		h.commit = m.GetCommit()
	}
	alone := len(m.GetEntries()) == 0 && m.GetSnapshot() == nil && len(m.GetResponses()) == 0
	voted := m.Term != nil && (m.GetTerm() != h.ordered.Term || m.GetVote() != h.ordered.Vote)
	if alone && !voted {
		h.piggyback = h.piggyback || m.Commit != nil
		return true
	}
	switch {
	case m.Term != nil:
		h.ordered = log.HardState{Term: m.GetTerm(), Vote: m.GetVote(), Commit: m.GetCommit()}
	case h.piggyback:
		h.ordered.Commit = h.commit
		hard := h.ordered
		m.Term, m.Vote, m.Commit = &hard.Term, &hard.Vote, &hard.Commit
	}
	h.piggyback = false
	return false
}

// recordOrder notes that the log writer got an order.
func (h *hardStates) recordOrder(now time.Duration) { h.lastOrder, h.fenced = now, false }

// fenceAfter is how long the log is idle before the log writer records on the disk how far the log is synced.
const fenceAfter = 100 * time.Millisecond

// fence reports, once, that the log has been idle for long enough for a fence, which carries the commit index.
func (h *hardStates) fence(now time.Duration) (commit uint64, due bool) {
	if h.fenced || now-h.lastOrder < fenceAfter {
		return 0, false
	}
	h.fenced, h.piggyback = true, false
	return h.commit, true
}
