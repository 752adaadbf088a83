package node

import (
	"fmt"
	"math"
	"slices"
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
	// an alarm or a drop. File system tables and small files take as much, and a comfortable machine is far from full.
	historyOfHeld = 8
	historySlack  = 16
	// historyDropFull is the delay before history is dropped once full disks of a quorum have refused writes for as long. It is longer than
	// a restart, and writes are worth more than history.
	historyDropFull = time.Minute
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

// historyDrop is the leader's decision to drop history that its settings keep and that no quorum of the voters holds. Only history that
// no quorum has held for the whole of limits.HistoryDropAfter is dropped: the bound is the largest size that a quorum held in that time.
// So a shortage that ends in time costs nothing, also where a smaller shortage has lasted for longer. Once the disks of a quorum have
// been full for historyDropFull, the delay is as short: full disks refuse writes. The alarm comes first, while there is still
// room. During the delay the history may grow up to the size that a quorum holds. If the space has shrunk below that, the
// history may grow by a quarter of its size when the shortage began. Another leader begins again with the alarm, and allows no other
// quarter: leaders change when disks fill.
//
// Invariants:
//
//  1. fits is empty without the alarm. The first entry is in force, and the others wait for their delay. Each entry is smaller than the
//     one before by a part in historySlack at least, so there are some hundred entries at most.
type historyDrop struct {
	fits      []historyFits
	kept      int64         // bytes of history that the settings keep
	weighs    int64         // bytes of history now
	first     int64         // bytes of history when the alarm began, or would have begun if this member led
	weighed   int64         // bytes of history when the last entry of fits began: they stay during the delay
	most      int64         // bytes of history that may stay now
	delay     time.Duration // limits.HistoryDropAfter
	full      bool          // the disks of a quorum are full
	fullSince time.Duration // when that began, but not before the alarm; by the driver's clock
	drops     bool          // history was dropped since the alarm began
}

// historyFits is the most bytes of history that a quorum has held since a time by the driver's clock.
type historyFits struct {
	since time.Duration
	bytes int64
}

// bound returns how many bytes of history may stay now; 0 is no bound. full says that the disks of a quorum are full.
func (d *historyDrop) bound(c *Config, after time.Duration, view *index.View, held actor.QuorumCapacity, full bool, now time.Duration) int64 {
	kept, fits := c.historyKept(view, held), c.historyBound(view, held)
	if fits >= kept-kept/historySlack || view.HistoryBytes() < fits/4*3 {
		*d = historyDrop{}
		return kept
	}
	if full && !d.full {
		d.fullSince = now
	}
	d.kept, d.weighs, d.delay, d.full = kept, view.HistoryBytes(), after, full
	d.note(fits, now)
	for len(d.fits) > 1 && now >= d.dropsAt(d.fits[1]) {
		d.fits, d.drops = d.fits[1:], true
	}
	d.most = min(kept, d.fits[0].bytes)
	if len(d.fits) > 1 {
		d.most = min(d.most, max(fits, d.first/4*5, d.weighed))
		d.drops = d.drops || d.weighs > d.most
	}
	return d.most
}

// note records how much history a quorum holds now. Before the alarm all history fitted.
func (d *historyDrop) note(fits int64, now time.Duration) {
	if len(d.fits) == 0 {
		d.fits = []historyFits{{now, math.MaxInt64}}
	}
	since, n := now, len(d.fits)
	for n > 0 && d.fits[n-1].bytes <= fits {
		n--
		since = d.fits[n].since
	}
	d.fits = d.fits[:n]
	if n > 0 && fits >= d.fits[n-1].bytes-d.fits[n-1].bytes/historySlack {
		return // the difference is too small for an entry of its own
	}
	if d.fits = append(d.fits, historyFits{since, fits}); since == now {
		d.weighed = d.weighs
	}
	if d.first == 0 {
		d.first = d.weighs
	}
}

// follow prepares a member that does not lead: if it becomes the leader, the delay begins, and the history may grow as far as under the
// leader before. A member that lags does not know the history of that shortage: as the leader it begins with what there is then.
func (d *historyDrop) follow(lags bool, now time.Duration) {
	if lags {
		*d = historyDrop{}
	}
	if n := len(d.fits); n > 0 {
		d.fits = []historyFits{{now, math.MaxInt64}, {now, d.fits[n-1].bytes}}
	}
	d.drops, d.fullSince = false, now
}

// dropsAt returns when a waiting entry comes into force, by the driver's clock.
func (d *historyDrop) dropsAt(f historyFits) time.Duration {
	at := f.since + d.delay
	if d.full {
		at = min(at, max(f.since, d.fullSince)+historyDropFull)
	}
	return at
}

// text returns the text of the alarm, or an empty one. voter is the name of the voter that limits what a quorum holds.
func (d *historyDrop) text(held actor.QuorumCapacity, voter string, now actor.Time) string {
	if len(d.fits) == 0 {
		return ""
	}
	drop := ""
	if d.drops {
		drop = fmt.Sprintf("history beyond %.1f MiB is dropped", mib(d.most))
	}
	if waiting := d.fits[1:]; len(waiting) > 0 {
		next := waiting[len(waiting)-1]
		if i := slices.IndexFunc(waiting, func(f historyFits) bool { return f.bytes < d.weighs }); i >= 0 {
			next = waiting[i]
		}
		from := time.Unix(0, now.Wall).Add(d.dropsAt(next) - now.Now).UTC().Format("2006-01-02 15:04 MST")
		if d.drops {
			drop += fmt.Sprintf(", and beyond %.1f MiB from %s on", mib(next.bytes), from)
		} else {
			drop = fmt.Sprintf("history beyond %.1f MiB will be dropped from %s on, or sooner if writes would be refused", mib(next.bytes), from)
		}
	}
	return fmt.Sprintf("%s, although the settings keep %.1f MiB: no quorum has capacity for more than %.1f MiB of keys and history, and %s has the least; "+
		"free space on its disk, give it a larger disk or more memory, or set a lower --history-bytes", drop, mib(d.kept), mib(held.Now), voter)
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
