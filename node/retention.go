package node

import (
	"fmt"
	"time"

	"qkv/actor"
	"qkv/index"
	"qkv/internal/limits"
)

// HistoryAuto is, as Config.HistoryBytes, as much as what is live weighs, and at least limits.HistoryBytes.
const HistoryAuto = -1

// historyBound is what the history of a state may weigh; 0 is no bound. What is bounded gives way to what is live, so that neither a
// quota is reached for the sake of the past, nor what the machine of a member holds.
func (c *Config) historyBound(view *index.View, least actor.Held) int64 {
	most := c.HistoryBytes
	if most == HistoryAuto {
		most = max(limits.HistoryBytes, view.LiveBytes())
	}
	live := view.LiveUsedBytes()
	if most > 0 && c.QuotaBytes > 0 {
		most = min(most, max(c.hundredths(limits.QuotaHistory)-live, c.hundredths(limits.QuotaHistoryLeast), 1))
	}
	if most > 0 && least.Bytes > 0 {
		most = min(most, max(least.Bytes-live, least.Bytes/limits.HistoryOfHeld, 1))
	}
	return most
}

// oldestKept is the oldest revision that should stay readable, where aged is the newest one that is as old as history may be; none
// below the compacted one. What is bounded goes down to seven eighths of its bound, so that a compaction is not due with each write.
func (c *Config) oldestKept(view *index.View, least actor.Held, aged, revisions int64) int64 {
	oldest := view.Compacted()
	if most := c.historyBound(view, least); most > 0 && view.HistoryBytes() > most {
		oldest = view.RevisionOfHistory(most / 8 * 7)
	}
	if revisions > 0 && view.Revision()-oldest > revisions {
		oldest = view.Revision() - revisions/8*7
	}
	if aged > max(oldest, 1) {
		oldest = aged
	}
	return oldest
}

// autoCompaction is when a leader compacts as etcd does: the first time when its member has run for as long as history is to stay,
// then at regular times.
type autoCompaction struct {
	ages  historyAges
	next  time.Duration // by the driver's clock; 0: not known yet
	to    int64         // what is being compacted up to; 0: nothing
	begun time.Duration // when that was decided
}

// due returns the revision that is to be compacted up to, or 0. It is asked again until the state has done so.
func (a *autoCompaction) due(c *Etcd, view *index.View, now actor.Time) int64 {
	first, then := c.CompactAfter, min(c.CompactAfter, time.Hour)
	if c.CompactRevisions > 0 {
		first, then = limits.EtcdCompaction, limits.EtcdCompaction
	}
	switch {
	case first == 0:
		return 0
	case a.next == 0:
		a.next = now.Now + first
	case a.to > 0 && view.Compacted() >= a.to:
		a.next, a.to = a.begun+then, 0
	}
	if now.Now < a.next {
		return 0
	}
	if a.to == 0 {
		a.to, a.begun = a.ages.older(c.CompactAfter, now.Now), now.Now
		if c.CompactRevisions > 0 {
			a.to = view.Revision() - c.CompactRevisions
		}
	}
	if a.to <= max(view.Compacted(), 1) { // nothing yet: as soon as there is something
		a.to = 0
	}
	return a.to
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
func (c *Config) short(view *index.View, least actor.Held, now, oldest int64) (back time.Duration, short bool) {
	wall, ok := view.TimeOf(oldest)
	back = time.Duration(now - wall)
	most := c.historyBound(view, least)
	return back, ok && back < limits.HistoryShort && most > 0 && view.HistoryBytes() > most
}

const shortHistory = "who resumes a watch after a longer pause, as Kubernetes may, has to begin anew; raise --history-bytes, or --quota-bytes where that is the bound, or give the least member a larger disk or more memory"

// historyText is a notice of a history that reaches back for a short time because of its weight, or empty. Behind a compaction
// it weighs nearly as much as it may.
func (c *Config) historyText(view *index.View, least actor.Held, now int64) string {
	back, most := historyAge(view, now), c.historyBound(view, least)
	if most == 0 || view.HistoryBytes() < most/4*3 || view.Compacted() == 0 || back >= limits.HistoryShort {
		return ""
	}
	return fmt.Sprintf("the history reaches back for %v: %s", back.Round(time.Second), shortHistory)
}

// historyAge is how long ago the oldest revision was written that can be read; 0 when nothing was written yet.
func historyAge(view *index.View, now int64) time.Duration {
	wall, ok := view.TimeOf(max(view.Compacted(), 2))
	if !ok {
		return 0
	}
	return max(time.Duration(now-wall), 0)
}
