package client

import (
	"sync"
	"time"

	"qkv/index/kv"
	"qkv/internal/figures"
	"qkv/net/wire"
)

// health is a member's latest health report while writes wait for it. A slow disk delays writes for long, and a retry at another
// member adds load to all disks: a slow cluster would stall. So a write is retried when its member reports that it has no leader,
// still starts, or does not apply committed entries; lateness alone is no reason.
//
// Invariants:
//
//  1. told is whether the member has answered since asked; well is the content of that answer.
//  2. mark was the newest reported commit index at the time marked, and the member had applied less then, unless mark is applied
//     now.
type health struct {
	mu     sync.Mutex
	asked  time.Time
	told   bool
	well   bool
	mark   uint64
	marked time.Time
}

// due reports whether the member must be asked now, because no valid report is known, and records the question.
func (h *health) due(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.asked.IsZero() && (!h.told || now.Sub(h.asked) < wellFor) {
		return false
	}
	h.asked, h.told = now, false
	return true
}

// ill reports whether the member has answered that it makes no progress on writes.
func (h *health) ill() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.told && !h.well
}

// heard records the member's answer. nil is an answer without a report: the member is asked again.
func (h *health) heard(s *kv.Status, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.told, h.well = true, true
	if s == nil {
		return
	}
	if s.Count(figures.Applied) >= h.mark {
		h.mark, h.marked = s.Count(figures.Commit), now
	}
	h.well = serves(s) && (s.Count(figures.Applied) >= h.mark || now.Sub(h.marked) < stuckAfter)
}

// waits reports whether a late write stays at its member: the member is healthy, or has not reported otherwise. The keeper detects
// a silent member.
func (k *conn) waits(x *call, now time.Time) bool {
	if !x.write || !now.Before(x.latest) {
		return false
	}
	if k.health.due(now) {
		k.askHealth()
	}
	return !k.health.ill()
}

// askHealth asks for the status, on the stream without writes, where it waits for none.
func (k *conn) askHealth() {
	x := k.link.newCall(k.link.ctx, wire.OpStatus)
	x.attempts = attemptsLast
	x.done = func(x *call) {
		if x.err != nil {
			k.health.heard(nil, time.Now())
			return
		}
		status, err := wire.ReadAnswer[kv.Status](x.response)
		if err != nil { // the stream's own error handling closes the connection
			return
		}
		k.health.heard(&status, time.Now())
	}
	if !k.streams[bulkStream].send(x) {
		x.recycle()
		k.health.heard(nil, time.Now())
	}
}
