package index

import (
	"sync/atomic"

	"qkv/internal/limits"
)

// Reserve is memory that is made ready for a state which will need it: that the kernel zeroes what is touched for the first time
// is a third of what loading and applying again cost, and another processor can do it meanwhile. It belongs to one state.
type Reserve struct {
	ledger  *ledger
	wanted  atomic.Int64 // bytes that nobody has begun to make ready
	fillers atomic.Int32
	closed  atomic.Bool
}

// NewReserve returns an empty reserve.
func NewReserve() *Reserve { return &Reserve{ledger: &ledger{}} }

// Want says that so many bytes more are to be made ready.
func (r *Reserve) Want(bytes int64) { r.wanted.Add(bytes) }

// Fill makes ready what is wanted, until nothing is, or until Close. It is for goroutines of their own; where
// limits.ReserveFillers do it already it leaves the rest to them.
func (r *Reserve) Fill() {
	defer r.fillers.Add(-1)
	if r.fillers.Add(1) > limits.ReserveFillers {
		return
	}
	for !r.closed.Load() {
		if r.wanted.Add(-slabAlign) < 0 {
			r.wanted.Add(slabAlign)
			return
		}
		r.ledger.prepare()
	}
}

// Close gives back what the state has not taken so far, but for as many spares as a state keeps.
func (r *Reserve) Close() {
	r.closed.Store(true)
	r.ledger.trim()
}
