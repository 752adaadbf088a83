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
//  5. The bytes of requests that are served are bounded as their number is, since what is written is in memory several times over until
//     the disks have it: while all have more than limits.EtcdServedBytes, a connection that has more than limits.EtcdServedBytesFew,
//     with what has come of requests that are not whole, is read slower.

// asksTooMuch says that the connection has too many requests served.
func (s *share) asksTooMuch() bool {
	return s.serving.Load() > limits.EtcdServedFew && s.of.serving.Load() > limits.EtcdServed ||
		s.of.servedBytes.Load() > limits.EtcdServedBytes && s.brought() > limits.EtcdServedBytesFew
}

// brought is how many bytes of requests the connection has that are not answered, whole or not.
func (s *share) brought() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.servedBytes + max(s.got-s.taken, 0)
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

// serveLocked counts requests that are served, and their bytes, or less than none for those that are not any more.
func (s *share) serveLocked(n, bytes int64) {
	s.serving.Add(n)
	s.of.serving.Add(n)
	if bytes != 0 {
		s.servedBytes += bytes
		s.of.servedBytes.Add(bytes)
	}
}

// askLocked notes that a client has said all on a stream, in so many bytes.
func (s *share) askLocked(stream uint32, bytes int64) {
	if _, there := s.asked[stream]; there {
		return
	}
	if s.asked == nil {
		s.asked = map[uint32]question{}
	}
	s.asked[stream] = question{bytes: bytes}
	s.serveLocked(1, bytes)
}

// answered notes that the answer on a stream has begun.
func (s *share) answered(stream uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q, there := s.asked[stream]; there && !q.answered {
		s.asked[stream] = question{answered: true}
		s.serveLocked(-1, -q.bytes)
	}
}

// leaveLocked forgets a stream on which the client has said all.
func (s *share) leaveLocked(stream uint32) {
	if q, there := s.asked[stream]; there && !q.answered {
		s.serveLocked(-1, -q.bytes)
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
			s.serveLocked(n, 0)
		}
	}
	serve(-1)
	return func() { serve(1) }
}
