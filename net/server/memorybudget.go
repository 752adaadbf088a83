package server

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// memoryBudget is a part of the memory budget that clients may use at a member: parts of requests, requests under way, and answers. The
// whole budget is the member's. An identity has a share of it, a connection a share of its identity's, and a stream a share of its
// connection's.
//
//  1. used is the memory reserved by this budget and the budgets below it: the sum over the budgets below is never more.
//  2. After a reservation, a budget's used is at most what the budget above it has left:
//     free() = (parent.free() - used) / 2, and of the whole total - used.
//
// So the first client may use much, no client can use all, and a late client still finds budget. Reservations of other clients can
// put a budget over its limit (free() < 0). It need not return memory in use, but a stream that makes no progress is then reset.
// After that, n clients with maximum reservations each have about 1/(n+1), and as much is left.
type memoryBudget struct {
	// Constant.
	lock   *sync.Mutex   // one for all budgets of a member
	parent *memoryBudget // nil: this is the whole budget
	total  int64         // of the whole budget

	used int64
}

func newMemoryBudget(total int64) *memoryBudget {
	return &memoryBudget{lock: new(sync.Mutex), total: total}
}

// child returns a new budget below this one.
func (s *memoryBudget) child() *memoryBudget { return &memoryBudget{lock: s.lock, parent: s} }

// free returns the bytes that may be reserved; less than 1 is none. The lock is held.
func (s *memoryBudget) free() int64 {
	if s.parent == nil {
		return s.total - s.used
	}
	return (s.parent.free() - s.used) / 2
}

// add changes the reserved bytes, here and above. The lock is held.
func (s *memoryBudget) add(n int64) {
	for ; s != nil; s = s.parent {
		if s.used += n; s.used < 0 {
			panic(fmt.Sprintf("server: %d bytes of clients in use after %d were returned", s.used, -n))
		}
	}
}

// reserve reserves n bytes, if they are free.
func (s *memoryBudget) reserve(n int64) bool {
	s.lock.Lock()
	defer s.lock.Unlock()
	if n > s.free() {
		return false
	}
	s.add(n)
	return true
}

// release gives n reserved bytes back.
func (s *memoryBudget) release(n int64) {
	if n == 0 {
		return
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	s.add(-n)
}

// over reports whether the budget has reserved more than its current limit.
func (s *memoryBudget) over() bool {
	s.lock.Lock()
	defer s.lock.Unlock()
	return s.free() < 0
}

// left returns the bytes that may be reserved at this moment.
func (s *memoryBudget) left() int64 {
	s.lock.Lock()
	defer s.lock.Unlock()
	return max(s.free(), 0)
}

// reserved returns the bytes that are reserved at this moment.
func (s *memoryBudget) reserved() int64 {
	s.lock.Lock()
	defer s.lock.Unlock()
	return s.used
}

const (
	// advancePiece is the size of one reservation of an advance.
	advancePiece = 64 << 10
	// advanceLeast is free of any reservation: a few small requests of one stream.
	advanceLeast = 4 << 10
)

// advance reserves from a share in pieces: a small request costs no lock. One goroutine takes, any goroutine may give.
//
// used <= granted, except for a moment when the last request ends while another one begins: the next take makes up for it.
type advance struct {
	share   *memoryBudget
	used    atomic.Int64
	mu      sync.Mutex
	granted atomic.Int64 // advanceLeast and the bytes reserved from share; changed under mu
}

func newAdvance(from *memoryBudget) *advance {
	a := &advance{share: from}
	a.granted.Store(advanceLeast)
	return a
}

func (a *advance) reserve(n int64) bool {
	if a.used.Add(n) <= a.granted.Load() {
		return true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	missing := a.used.Load() - a.granted.Load()
	for _, more := range []int64{max(missing, advancePiece), missing} {
		if missing <= 0 {
			return true
		}
		if a.share.reserve(more) {
			a.granted.Add(more)
			return true
		}
	}
	a.used.Add(-n)
	return false
}

func (a *advance) release(n int64) {
	used := a.used.Add(-n)
	if used < 0 {
		panic(fmt.Sprintf("server: %d bytes of requests under way after %d ended", used, n))
	}
	granted := a.granted.Load()
	if granted == advanceLeast || used > 0 && granted-used <= 2*advancePiece {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	keep := int64(advanceLeast)
	if used := a.used.Load(); used > 0 {
		keep = max(used+advancePiece, advanceLeast)
	}
	if surplus := a.granted.Load() - keep; surplus > 0 {
		a.granted.Store(keep)
		a.share.release(surplus)
	}
}
