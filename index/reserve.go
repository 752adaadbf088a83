package index

import (
	"fmt"
	"sync/atomic"
)

// Reserve is memory that is prepared for a state that will need it. The kernel's zeroing of newly touched memory is a
// third of the cost of loading and applying after a restart, and another processor can do it in advance. A Reserve
// belongs to one state.
type Reserve struct {
	ledger  *ledger
	wanted  atomic.Int64 // bytes whose preparation has not begun
	fillers atomic.Int32
	closed  atomic.Bool
}

const (
	// reserveFillers is how many goroutines zero memory for a loaded state. If the host allocates pages at first touch, one is slower than
	// the loader.
	reserveFillers = 2
	// A state's versions get 1/reserveMore more reserved memory than they take in the file: with values of 256 bytes they take a sixth
	// more. A state of smaller values has fewer bytes to wait for.
	reserveMore = 4
)

// OutOfMemory is the value of the panic of a state that gets no more memory.
type OutOfMemory struct {
	bytes int64
	err   error
}

func (e *OutOfMemory) Error() string {
	return fmt.Sprintf("out of memory: this process got no %d bytes more for the state (%v): raise its limit of memory", e.bytes, e.err)
}

// NewReserve returns an empty reserve.
func NewReserve() *Reserve { return &Reserve{ledger: &ledger{}} }

// want adds to the number of bytes to be prepared.
func (r *Reserve) want(bytes int64) { r.wanted.Add(bytes) }

// Prepare has goroutines of background prepare memory for versions that take so many bytes in files. most bounds the memory; 0: there is no
// bound.
func (r *Reserve) Prepare(bytes, most int64, background func(func())) {
	if bytes += bytes / reserveMore; most > 0 {
		bytes = min(bytes, most)
	}
	r.want(bytes)
	for range reserveFillers {
		background(r.fill)
	}
}

// fill prepares the wanted memory until there is no more to do, or until Close. Run it in goroutines of its own; if
// reserveFillers already run, it returns at once.
func (r *Reserve) fill() {
	defer r.fillers.Add(-1)
	if r.fillers.Add(1) > reserveFillers {
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

// Close frees the memory that the state has not taken so far, except as many spares as a state keeps.
func (r *Reserve) Close() {
	r.closed.Store(true)
	r.ledger.trim()
}

// Discard frees the memory of a state that is not used, and reports whether all of it is free. Memory that was in use needs a collection of
// garbage first: the caller drops its references, collects, and calls Discard again.
func (r *Reserve) Discard() bool {
	r.closed.Store(true)
	free := r.ledger.mapped.Load() == 0 && r.fillers.Load() == 0
	r.ledger.rest()
	return free
}
