package node

import (
	"fmt"
	"math"
	"time"

	"qkv/actor"
	"qkv/index"
	"qkv/internal/limits"
)

// HistoryAuto, as Config.HistoryBytes, means the size of the live data, and at least limits.HistoryBytes.
const HistoryAuto = -1

const (
	// quotaHistory is the percentage of the quota above which history is compacted, before any warning. quotaHistoryLeast is the percentage
	// that history may always have, to let watches resume.
	quotaHistory      = 75
	quotaHistoryLeast = 5
	// etcdCompaction is how often etcd compacts all but a number of revisions.
	etcdCompaction = 5 * time.Minute
	// History beyond the capacity of a quorum of the voters is compacted. One part in historyOfHeld of that capacity always stays, to let
	// watches resume. historySlack is a tolerance: one part in it of the configured history may be missing in a quorum's capacity without
	// an alarm. File system tables and small files take as much, and a comfortable machine is far from full.
	historyOfHeld = 8
	historySlack  = 16
)

// historyKept returns how many bytes of history the settings keep; 0 is no bound. History gives way to live data under the quota. The
// automatic bound also gives way to it on the machines of a quorum, by their sizes, which other programs do not change.
func (c *Config) historyKept(view *index.View, held actor.QuorumCapacity) int64 {
	most, live := c.HistoryBytes, view.LiveUsedBytes()
	if most == HistoryAuto {
		most = max(limits.HistoryBytes, view.LiveBytes())
		if held.Bytes > 0 {
			most = min(most, besideLive(held.Bytes, live))
		}
	}
	if most > 0 && c.QuotaBytes > 0 {
		most = min(most, max(c.hundredths(quotaHistory)-live, c.hundredths(quotaHistoryLeast), 1))
	}
	return most
}

// historyBound returns how many bytes of the history that the settings keep fit on a quorum of the voters now; 0 is no bound.
func (c *Config) historyBound(view *index.View, held actor.QuorumCapacity) int64 {
	most := c.historyKept(view, held)
	if most > 0 && held.Now > 0 {
		most = min(most, besideLive(held.Now, view.LiveUsedBytes()))
	}
	return most
}

// besideLive returns how much history a machine holds beside live data: at least a part in historyOfHeld of all that it holds.
func besideLive(held, live int64) int64 { return max(held-live, held/historyOfHeld, 1) }

// historyRoom is the leader's decision how much history stays: what the settings keep, and no more than a quorum of the voters holds beside
// the live data. It drops what is there already once in limits.HistoryEvery, down to the most that a quorum has held since the decision
// before. So a shortage that ends within that time costs no more history than is written meanwhile. New history that does not fit takes the
// place of older one at once: the disks would fill. The zero value is that of a member that has just begun to lead.
type historyRoom struct {
	kept   int64         // bytes of history that the settings keep
	fits   int64         // bytes of history that a quorum holds now
	stays  int64         // bytes of history that stay until the next decision although they do not fit: what there was when it began
	short  bool          // the history does not fit
	most   int64         // the largest fits since the decision before
	next   time.Duration // when that is, by the driver's clock; 0: at once
	weighs int64         // bytes of history now
}

// bound returns how many bytes of history may stay now; 0 is no bound.
func (r *historyRoom) bound(c *Config, every time.Duration, view *index.View, held actor.QuorumCapacity, now time.Duration) int64 {
	r.kept, r.fits, r.weighs = c.historyKept(view, held), c.historyBound(view, held), view.HistoryBytes()
	if short := r.weighs > r.fits; !short || !r.short {
		r.stays, r.short = r.weighs, short
	}
	if r.next == 0 {
		r.most = math.MaxInt64
	}
	if r.most = max(r.most, r.fits); now >= r.next {
		r.stays, r.most, r.next = min(r.stays, r.most), r.fits, now+every
	}
	return min(r.kept, max(r.fits, r.stays))
}

// drops reports whether history is dropped that the settings keep.
func (r *historyRoom) drops() bool { return r.fits < r.kept && r.weighs > max(r.fits, r.stays) }

// text returns the text of the alarm, or an empty one: it begins when the history has three quarters of what fits. voter is the name of the
// voter that limits what a quorum holds.
func (r *historyRoom) text(held actor.QuorumCapacity, voter string) string {
	if r.fits >= r.kept-r.kept/historySlack || r.weighs < r.fits/4*3 {
		return ""
	}
	return fmt.Sprintf("history beyond %.1f MiB is dropped, although the settings keep %.1f MiB: no quorum has capacity for more than %.1f MiB of keys and history, "+
		"and %s has the least; free space on its disk, give it a larger disk or more memory, or set a lower --history-bytes",
		mib(r.fits), mib(r.kept), mib(held.Now), voter)
}

// oldestKept returns the oldest revision that should stay readable; it is never below the compacted revision. most is the bound of the
// history in bytes, and revisions its bound in revisions; 0 is no bound. aged is the newest revision that is too old. A compaction takes
// the history down to seven eighths of its bound, so that the next write needs no other one.
func (c *Config) oldestKept(view *index.View, most, aged, revisions int64) int64 {
	oldest := view.Compacted()
	if most > 0 && view.HistoryBytes() > most {
		oldest = view.RevisionOfHistory(most / 8 * 7)
	}
	if revisions > 0 && oldest < view.Back(revisions) {
		oldest = view.Back(revisions / 8 * 7)
	}
	if aged > max(oldest, 1) {
		oldest = aged
	}
	return oldest
}

// autoCompaction decides when a leader compacts as etcd does: first when its member has run for the history's retention time, then at
// regular intervals.
type autoCompaction struct {
	ages  historyAges
	next  time.Duration // by the driver's clock; 0: not known yet
	to    int64         // the target revision of the running compaction; 0: none
	begun time.Duration // the time of that decision
}

// due returns the revision to compact up to, or 0. It returns the same until the state has done so.
func (a *autoCompaction) due(c *Etcd, view *index.View, now actor.Time) int64 {
	first, then := c.CompactAfter, min(c.CompactAfter, time.Hour)
	if c.CompactRevisions > 0 {
		first, then = etcdCompaction, etcdCompaction
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
			a.to = view.Back(c.CompactRevisions)
		}
	}
	if a.to <= max(view.Compacted(), 1) { // as soon as there is history
		a.to = 0
	}
	return a.to
}

// pause is a rate limit: one log line in limits.LogRepeatsPauseMost.
type pause struct{ next time.Duration }

func (p *pause) due(now time.Duration) bool {
	if now < p.next {
		return false
	}
	p.next = now + limits.LogRepeatsPauseMost
	return true
}

// short returns the age of the oldest readable revision, and whether a history of more than most bytes is too short by that.
func short(view *index.View, most, now, oldest int64) (back time.Duration, short bool) {
	wall, ok := view.TimeOf(oldest)
	back = time.Duration(now - wall)
	return back, ok && back < limits.HistoryShort && most > 0 && view.HistoryBytes() > most
}

const shortHistory = "a watch that resumes after a longer pause, as in Kubernetes, must start again; raise --history-bytes (or --quota-bytes, if that is the limit), or give the members larger disks or more memory"

// historyText returns the notice of a history that reaches back for a short time because of its size, or an empty text. Just after a
// compaction it has nearly its maximum size.
func (c *Config) historyText(view *index.View, held actor.QuorumCapacity, now int64) string {
	back, most := historyAge(view, now), c.historyBound(view, held)
	if most == 0 || view.HistoryBytes() < most/4*3 || view.Compacted() == 0 || back >= limits.HistoryShort {
		return ""
	}
	return fmt.Sprintf("the history reaches back for %v: %s", back.Round(time.Second), shortHistory)
}

// historyAge returns the age of the oldest readable revision, or the age of the import of that revision; 0 before the first write.
func historyAge(view *index.View, now int64) time.Duration {
	wall, ok := view.KnownTime(max(view.Compacted(), 2))
	if !ok {
		return 0
	}
	return max(time.Duration(now-wall), 0)
}
