package client

import (
	"sync"
	"time"

	"qkv/net/wire"
)

// health is what a member has said of itself while writes waited for it. A disk that is slow makes them wait for long, and what
// is sent again meanwhile, at another member, goes to all disks once more: that is how a slow cluster becomes one that stands. So
// a write is sent again when its member says that it has no leader, or does not apply what is committed; not because it is late.
//
// Invariants:
//
//  1. told is whether the member has answered since asked; well is what it said then.
//  2. mark was the newest commit index that it told at marked, and it applied less then, unless mark is applied now.
type health struct {
	mu     sync.Mutex
	asked  time.Time
	told   bool
	well   bool
	mark   uint64
	marked time.Time
}

// due says that the member must be asked before anything is known, and that this is done now.
func (h *health) due(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.asked.IsZero() && (!h.told || now.Sub(h.asked) < wellFor) {
		return false
	}
	h.asked, h.told = now, false
	return true
}

// ill says that the member has answered, and that it does nothing for writes.
func (h *health) ill() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.told && !h.well
}

// heard takes the member's answer. nil is one that tells nothing: it is asked again.
func (h *health) heard(s *wire.Status, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.told, h.well = true, true
	if s == nil {
		return
	}
	if s.Applied >= h.mark {
		h.mark, h.marked = s.Commit, now
	}
	h.well = led(s) && (s.Applied >= h.mark || now.Sub(h.marked) < stuckAfter)
}

// waits says that a write that is late stays where it is: its member is well, or has not said anything else. Whether it says
// anything at all is the keeper's affair.
func (k *conn) waits(x *call, now time.Time) bool {
	if !x.write || !now.Before(x.latest) {
		return false
	}
	if k.health.due(now) {
		k.askHealth()
	}
	return !k.health.ill()
}

// askHealth asks for the status, on the stream that has no writes which it would wait for.
func (k *conn) askHealth() {
	x := k.client.newCall(k.client.ctx, wire.OpStatus)
	x.attempts = attemptsLast
	x.done = func(x *call) {
		if x.err != nil {
			k.health.heard(nil, time.Now())
			return
		}
		status, err := x.response.Status()
		if err != nil { // the connection ends for what it sends
			return
		}
		k.health.heard(&status, time.Now())
	}
	if !k.streams[bulkStream].send(x) {
		x.recycle()
		k.health.heard(nil, time.Now())
	}
}
