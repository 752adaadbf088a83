package server

import (
	"bytes"
	"time"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/wire"
)

// usage is a question for usage whose keys are being counted.
type usage struct {
	*index.UsageReader
	since time.Time // when it took its View
	sent  time.Time // when its last page was encoded

	// page is a page that is not encoded yet; waiting says that there is one, and last that it is the last page.
	page          kv.UsageResult
	waiting, last bool
}

// newUsageRead returns the read of a question for usage, with copies of its own.
func newUsageRead(q *wire.Request) *read {
	r, of := newRead(&q.Range, q.Timeout), q.Usage
	of.Prefix, of.Separator = r.Key[:len(of.Prefix)], bytes.Clone(of.Separator)
	r.usage = &of
	return r
}

// heldTooLong reports whether the count must replace its View by a newer one. The rule is that of streamed ranges, but a
// View is held for limits.ClientStall at least.
func (u *usage) heldTooLong(now time.Time, retired int64) bool {
	held := now.Sub(u.since)
	return held > limits.PagesHeld || held > limits.ClientStall && retired > limits.PagesRetired
}

// beginUsage begins to count for the oldest range, unless the memory budget refuses that.
func (w *writer) beginUsage(x *slot, now time.Time) bool {
	if !w.share.take(limits.UsageBytes) {
		return false
	}
	w.usage = &usage{UsageReader: index.NewUsageReader(*x.read.usage, limits.PageBytes, now.UnixNano()), since: now, sent: now}
	return true
}

// readUsage counts for the oldest range for one turn, and reports whether the last page is encoded. A client that keeps reading does not
// time out: the full time starts again in each turn.
func (s *stream) readUsage(w *writer, x *slot, begun time.Time) bool {
	if w.usage == nil && !w.beginUsage(x, begun) {
		return w.appendNoRoom(x.id, limits.UsageBytes)
	}
	u := w.usage
	x.read.until = begun.Add(limits.RequestTimeout)
	for {
		newest := s.conn.server.config.Member.View()
		if refusal := s.conn.permitsStep(newest, x); refusal != nil {
			return w.appendError(x.id, refusal.Code, refusal.Message)
		}
		if !u.waiting {
			if u.heldTooLong(begun, newest.RetiredBytes()) {
				u.Renew(newest)
				u.since = begun
			}
			page, done, last, err := u.Step(newest, limits.RangeRows)
			s.conn.server.rangeRows.Add(limits.RangeRows)
			switch {
			case err != nil:
				return w.appendReadError(x.id, err)
			case !done && time.Since(begun) < limits.RangeTurn:
				continue
			case !done && begun.Sub(u.sent) < limits.UsagePulse:
				return false
			}
			u.page, u.last, u.waiting = page, last, true
		}
		if size := wire.UsageBytes(u.page.Rows); !w.fit(size) {
			return len(w.out) == 0 && w.appendNoRoom(x.id, size)
		}
		w.out = wire.AppendUsage(w.out, x.id, &u.page)
		u.page, u.waiting, u.sent = kv.UsageResult{}, false, begun
		if u.last || len(w.out) >= writeBytes || time.Since(begun) >= limits.RangeTurn {
			return u.last
		}
	}
}
