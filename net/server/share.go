package server

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// share is a part of the memory that clients can make a member keep: parts of requests, requests under way, and
// answers. The whole is the member's; an identity has a share of it, a connection a share of its identity's, and a
// stream one of its connection's.
//
//  1. used is what the share and those below it have taken: the sum over the shares below is never more.
//  2. When a share takes something, what it has is afterwards at most what the one above it may still take:
//     free() = (parent.free() - used) / 2, and of the whole total - used.
//
// So the first to come may have much, nobody can have all, and whoever comes later finds room. What the others took since
// can make a share be over what it may have (free() < 0): it need not give back what it uses, but a stream that only
// stands still is then reset. When that was done, of n that take what they can each has about 1/(n+1), and as much is
// left.
type share struct {
	// Constant.
	lock   *sync.Mutex // one for all shares of a member
	parent *share      // nil: this is the whole
	total  int64       // of the whole

	used int64
}

func newWhole(total int64) *share { return &share{lock: new(sync.Mutex), total: total} }

// part returns a share of this one.
func (s *share) part() *share { return &share{lock: s.lock, parent: s} }

// free is how much may be taken; less than 1 is nothing. The lock is held.
func (s *share) free() int64 {
	if s.parent == nil {
		return s.total - s.used
	}
	return (s.parent.free() - s.used) / 2
}

// add changes what is taken, here and above. The lock is held.
func (s *share) add(n int64) {
	for ; s != nil; s = s.parent {
		if s.used += n; s.used < 0 {
			panic(fmt.Sprintf("server: %d bytes of clients in use after %d were returned", s.used, -n))
		}
	}
}

// take takes n bytes, if they are free.
func (s *share) take(n int64) bool {
	s.lock.Lock()
	defer s.lock.Unlock()
	if n > s.free() {
		return false
	}
	s.add(n)
	return true
}

// give returns n bytes.
func (s *share) give(n int64) {
	if n == 0 {
		return
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	s.add(-n)
}

// over says that the share has more than it may have by now.
func (s *share) over() bool {
	s.lock.Lock()
	defer s.lock.Unlock()
	return s.free() < 0
}

// left returns how much may be taken at this moment.
func (s *share) left() int64 {
	s.lock.Lock()
	defer s.lock.Unlock()
	return max(s.free(), 0)
}

// taken returns what is taken at this moment.
func (s *share) taken() int64 {
	s.lock.Lock()
	defer s.lock.Unlock()
	return s.used
}

const (
	// advancePiece is how much an advance takes at once.
	advancePiece = 64 << 10
	// advanceLeast is what it has without taking anything: a few small requests of one stream.
	advanceLeast = 4 << 10
)

// advance takes from a share in pieces, so that a small request costs no lock. One goroutine takes, any may give.
//
// used <= granted, but for a moment when the last request ends while another one begins: the next take makes up for it.
type advance struct {
	share   *share
	used    atomic.Int64
	mu      sync.Mutex
	granted atomic.Int64 // advanceLeast and what was taken from share; changed under mu
}

func newAdvance(from *share) *advance {
	a := &advance{share: from}
	a.granted.Store(advanceLeast)
	return a
}

func (a *advance) take(n int64) bool {
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
		if a.share.take(more) {
			a.granted.Add(more)
			return true
		}
	}
	a.used.Add(-n)
	return false
}

func (a *advance) give(n int64) {
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
		a.share.give(surplus)
	}
}
