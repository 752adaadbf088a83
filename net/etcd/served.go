package etcd

import (
	"time"

	"qkv/internal/limits"
)

// A client may ask limits.EtcdStreams times at once on each of its connections. Each request has a goroutine, whether its answer will be
// read or not, and whoever else asks stands behind all of them.
//
//  1. A request is served from when its client has said all until its answer begins, or it is over.
//  2. While more than limits.EtcdServed are served, a connection that has more than limits.EtcdServedFew of them is read a few requests
//     at a time, and not before fewer are served, or limits.EtcdServedWait is over. Nobody else waits.
//  3. Who waits for a lock or an election, which may be for ever, is not served for so long.
//  4. A connection is read at last in any case: what its answers wait for may come there, as a window that grows.

// asksTooMuch says that the connection has too many requests served.
func (s *share) asksTooMuch() bool {
	return s.serving.Load() > limits.EtcdServedFew && s.of.serving.Load() > limits.EtcdServed
}

// servedLook is how often a connection that waits looks whether it still has to.
const servedLook = 2 * time.Millisecond

// letServe waits while the connection has too many requests served, for no longer than most, or until it is over.
func (s *share) letServe(most time.Duration) {
	if !s.asksTooMuch() {
		return
	}
	look := time.NewTicker(servedLook)
	defer look.Stop()
	for begun := time.Now(); s.asksTooMuch() && time.Since(begun) < most; {
		select {
		case <-look.C:
		case <-s.over:
			return
		}
	}
}

// serveLocked counts requests that are served, or less than none for those that are not any more.
func (s *share) serveLocked(n int64) {
	s.serving.Add(n)
	s.of.serving.Add(n)
}

// askLocked notes that a client has said all on a stream.
func (s *share) askLocked(stream uint32) {
	if _, there := s.asked[stream]; there {
		return
	}
	if s.asked == nil {
		s.asked = map[uint32]bool{}
	}
	s.asked[stream] = false
	s.serveLocked(1)
}

// answered notes that the answer on a stream has begun.
func (s *share) answered(stream uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if begun, there := s.asked[stream]; there && !begun {
		s.asked[stream] = true
		s.serveLocked(-1)
	}
}

// leaveLocked forgets a stream on which the client has said all.
func (s *share) leaveLocked(stream uint32) {
	if begun, there := s.asked[stream]; there && !begun {
		s.serveLocked(-1)
	}
	delete(s.asked, stream)
}

// rests says that a request waits for other clients, until what it returns is called.
func (s *share) rests() (over func()) {
	if s == nil {
		return func() {}
	}
	serve := func(n int64) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.ended {
			s.serveLocked(n)
		}
	}
	serve(-1)
	return func() { serve(1) }
}
