package client

import (
	"context"
	"math/bits"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"qkv/index/kv"
	"qkv/internal/figures"
	"qkv/internal/limits"
	"qkv/net/wire"
)

// naming gives writes their names, which makes retries idempotent.
type naming struct {
	clock atomic.Int64 // the newest reported session clock; 0: none, and writes have no names
	using atomic.Bool  // a request for a member's clock is under way

	mu      sync.Mutex
	current *session // nil before the first write
}

// session is a session of writes. A client has one at a time, and begins another when it has ended; requests under way in the old
// session keep their names.
//
//  1. first <= n < next are the sequences that may be retried; all earlier ones are over.
//  2. over has a bit for each of them, by n % limits.SessionWindow: it is set if the sequence is over while an earlier one is not.
type session struct {
	id     uint64
	opened int64 // 0 after the first answered write: the session exists
	first  uint64
	next   uint64
	over   []uint64
	ended  bool
	used   time.Time // when a write last got a name
}

// sessionIdle is when an idle session is assumed to have ended: beginning another one is cheaper than an error.
const sessionIdle = limits.SessionTTL / 2

// name gives a write its name, unless it has one, and returns the name. It returns false if the session's window of retryable
// writes is full.
func (x *call) name(n *naming) (w kv.WriteName, ok bool) {
	clock := n.clock.Load()
	if clock == 0 {
		return w, true
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	s := x.session
	if s == nil {
		if s = n.current; s == nil || s.ended || s.first == s.next && x.begun.Sub(s.used) > sessionIdle {
			s = newSession(clock)
			n.current = s
		}
		if s.next-s.first == limits.SessionWindow {
			return w, false
		}
		x.session, x.sequence, s.used = s, s.next, x.begun
		s.next++
	}
	return kv.WriteName{Session: s.id, Sequence: x.sequence, Window: x.sequence + 1 - s.first, Opened: s.opened}, true
}

func newSession(clock int64) *session {
	s := &session{opened: clock, first: 1, next: 1, over: make([]uint64, sessionWords)}
	for s.id == 0 {
		s.id = rand.Uint64()
	}
	return s
}

// releaseName records that a write is not retried under its name any more. answered says that its session exists.
func (x *call) releaseName(answered bool) {
	s := x.session
	if s == nil {
		return
	}
	n := &x.link.naming
	n.mu.Lock()
	defer n.mu.Unlock()
	x.session = nil
	s.release(x.sequence, answered)
	s.advance()
}

// releaseAnswered is releaseName for all successful writes among some answers.
func (n *naming) releaseAnswered(came []arrival) {
	var last *session
	for i := range came {
		x := came[i].call
		if x == nil || x.session == nil || came[i].answer.Code != kv.OK {
			continue
		}
		if last == nil {
			n.mu.Lock()
			defer n.mu.Unlock()
		} else if last != x.session {
			last.advance()
		}
		last, x.session = x.session, nil
		last.release(x.sequence, true)
	}
	if last != nil {
		last.advance()
	}
}

// release marks a sequence as over; advance follows.
func (s *session) release(sequence uint64, answered bool) {
	if answered {
		s.opened = 0
	}
	s.over[sequence/64%sessionWords] |= 1 << (sequence % 64)
}

const sessionWords = limits.SessionWindow / 64

// advance moves first to the first sequence that may still be retried.
func (s *session) advance() {
	for s.first < s.next {
		word := &s.over[s.first/64%sessionWords]
		done := uint64(bits.TrailingZeros64(^(*word >> (s.first % 64))))
		if done == 0 {
			return
		}
		*word &^= (1<<done - 1) << (s.first % 64)
		s.first += done
	}
}

// endSession ends the session of a write, after a member has reported that the session does not exist. The next one begins with a
// newer clock.
func (l *link) endSession(x *call, k *conn) {
	n := &l.naming
	n.mu.Lock()
	x.session.ended = true
	n.mu.Unlock()
	if n.using.CompareAndSwap(false, true) {
		l.start(func() {
			defer n.using.Store(false)
			ctx, cancel := context.WithTimeout(l.ctx, l.config.Timeout)
			defer cancel()
			if status, err := k.status(ctx, l.newCall(ctx, wire.OpStatus)); err == nil {
				l.learnClock(&status)
			}
		})
	}
}

// learnClock keeps the newest session clock.
func (l *link) learnClock(s *kv.Status) {
	for old := l.naming.clock.Load(); !l.config.NoNames && s.Get(figures.SessionClock) > old; old = l.naming.clock.Load() {
		l.naming.clock.CompareAndSwap(old, s.Get(figures.SessionClock))
	}
}
