package node

import (
	"time"

	"qkv/index"
	"qkv/internal/limits"
)

// oldestKept is the oldest revision that should stay readable, at a time in nanoseconds since 1970; none below the compacted
// one. What is bounded goes down to seven eighths of its bound, so that a compaction is not due with each write.
func (c *Config) oldestKept(view *index.View, now int64, revisions int64) int64 {
	oldest := view.Compacted()
	if c.HistoryBytes > 0 && view.HistoryBytes() > c.HistoryBytes {
		oldest = view.RevisionOfHistory(c.HistoryBytes / 8 * 7)
	}
	if revisions > 0 && view.Revision()-oldest > revisions {
		oldest = view.Revision() - revisions/8*7
	}
	if c.HistoryAge > 0 {
		// A clock that was set back says that all of it is newer.
		if revision, ok := view.RevisionAt(now - c.HistoryAge.Nanoseconds()); ok && revision > max(oldest, 1) {
			oldest = revision
		}
	}
	return oldest
}

// pause lets something be said once in limits.LogRepeatsPauseMost.
type pause struct{ next time.Duration }

func (p *pause) due(now time.Duration) bool {
	if now < p.next {
		return false
	}
	p.next = now + limits.LogRepeatsPauseMost
	return true
}

// short says for how long revisions stay readable as things go, when the history's weight makes a revision the oldest one
// that is, and whether that is too short.
func (c *Config) short(view *index.View, now, oldest int64) (back time.Duration, short bool) {
	wall, ok := view.TimeOf(oldest)
	back = time.Duration(now - wall)
	return back, ok && back < limits.HistoryShort && c.HistoryBytes > 0 && view.HistoryBytes() > c.HistoryBytes
}

// historyAge is how long ago the oldest revision was written that can be read; 0 when nothing was written yet.
func historyAge(view *index.View, now int64) time.Duration {
	wall, ok := view.TimeOf(max(view.Compacted(), 2))
	if !ok {
		return 0
	}
	return max(time.Duration(now-wall), 0)
}
