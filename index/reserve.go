package index

import (
	"sync/atomic"

	"qkv/internal/limits"
)

// Reserve is memory that is made ready for a state which will need it: that the kernel zeroes what is touched for the first time
// is a third of what loading and applying again cost, and another processor can do it meanwhile. It belongs to one state.
type Reserve struct {
	ledger *ledger
	closed atomic.Bool
}

// NewReserve returns an empty reserve.
func NewReserve() *Reserve { return &Reserve{ledger: &ledger{}} }

// Fill makes so many bytes ready, unless Close comes first. It is for a goroutine of its own.
func (r *Reserve) Fill(bytes int64) {
	for left := bytes; left >= slabAlign && !r.closed.Load(); left -= slabAlign {
		r.ledger.prepare()
	}
}

// Close gives back what the state has not taken so far, but for as many spares as a state keeps.
func (r *Reserve) Close() {
	r.closed.Store(true)
	r.ledger.trim()
}

// NewStateIn is NewState, for a state that takes its memory from a reserve.
func NewStateIn(r *Reserve, l limits.Index) *State { return newState(r.ledger, l) }
