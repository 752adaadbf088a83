package actor

import (
	"time"

	"go.etcd.io/raft/v3"

	"qkv/actor/space"
)

// replicationLag tracks how far this member lags behind its leader's log.
//
// Invariants:
//
//  1. commit is the newest commit index that the present leader has reported, or that raft knows.
//  2. mark is at most the newest commit index at since. It was not applied then, unless it is applied now.
//  3. took is how long it took to apply the previous mark.
type replicationLag struct {
	commit, mark uint64
	since        time.Duration
	took         time.Duration
}

// recordCommit notes a leader's commit index.
func (l *replicationLag) recordCommit(commit uint64) { l.commit = max(l.commit, commit) }

// changed drops the commit index reported by a former leader, which may have been wrong. known is raft's own commit index.
func (l *replicationLag) changed(known uint64) { l.commit, l.mark = known, min(l.mark, known) }

// tick begins a new measurement when the mark is applied.
func (l *replicationLag) tick(applied uint64, now time.Duration) {
	if applied >= l.mark {
		l.mark, l.since, l.took = l.commit, now, now-l.since
	}
}

// excludeStop begins a new measurement after a stop of this process.
func (l *replicationLag) excludeStop(now time.Duration) { l.mark, l.since = l.commit, now }

// missing returns the number of committed entries that are not applied.
func (l *replicationLag) missing(applied uint64) uint64 { return max(l.commit, applied) - applied }

// far reports whether entries committed at least that long ago are still not applied.
func (l *replicationLag) far(applied uint64, now, after time.Duration) bool {
	return applied < l.mark && now-l.since >= after
}

// catchesUp reports whether the last mark took at least that long to apply, or the present one already does.
func (l *replicationLag) catchesUp(applied uint64, now, after time.Duration) bool {
	return l.took >= after || l.far(applied, now, after)
}

// watch measures the lag at each tick, and publishes whether this member lags behind its leader.
func (l *replicationLag) watch(c *core) {
	applied := c.raft.BasicStatus().Applied
	l.tick(applied, c.now.Now)
	lags := c.soft.RaftState == raft.StateFollower && l.catchesUp(applied, c.now.Now, c.ElectionTimeout)
	c.Status.reportDisk(func(d *space.Disk) { d.Lags = lags })
}

// farBehind reports that this member follows a leader whose log it will not catch up with while its clients wait.
func (l *replicationLag) farBehind(c *core) bool {
	return c.soft.RaftState == raft.StateFollower && c.leader() != raft.None && l.far(c.raft.BasicStatus().Applied, c.now.Now, 2*c.ElectionTimeout)
}
