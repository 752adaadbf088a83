package actor

import (
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/tracker"

	"qkv/actor/space"
)

// logRetention decides how much of the log stays on the disk.
//
// Invariants:
//
//  1. Snapshots hold the log up to covered.
//  2. keptSince is the last time at which no entry up to covered was kept.
type logRetention struct {
	fileBytes int64 // size of the log on the disk
	covered   uint64
	keptSince time.Duration
}

// cover notes that snapshots hold the log up to an index.
func (l *logRetention) cover(upTo uint64) { l.covered = max(l.covered, upTo) }

// release deletes the log that snapshots cover, except for entries that a reachable follower still needs. Otherwise a follower that
// returns under load would fall behind the log again when it has installed a snapshot, and need one snapshot after another. These do not
// count: unreachable followers, and a follower whose full disk needs the snapshot to free space. The log kept for followers has a bound,
// and none is kept on a disk that is nearly full.
//
// The entries behind the newest slice of the backup stay while the disk has room for them, on each member: the next leader then goes on where
// this one ended, however long the place was away.
//
// release returns the newest entry that is deleted, if there is any.
func (l *logRetention) release(c *core, spaces *spaces) (upTo uint64, due bool) {
	first, err := c.Window.FirstIndex()
	if err != nil || l.covered < first {
		l.keptSince = c.now.Now
		c.Status.reportDisk(func(d *space.Disk) { d.LogKept, d.ForBackup = false, false })
		return 0, false
	}
	upTo = l.covered
	disk := c.Status.Disk()
	if c.soft.RaftState == raft.StateLeader && disk.Accepts() == space.Left && l.fileBytes <= disk.FollowerLogBudget(&c.Limits) {
		c.raft.WithProgress(func(id uint64, _ raft.ProgressType, p tracker.Progress) {
			if id != c.Member && c.connected[id] && !(disk.Helps && spaces.ofPeer[id].Own == uint64(space.None)) {
				upTo = min(upTo, neededFrom(p, first-1))
			}
		})
	}
	behind := c.Status.backedUp.Load()
	forBackup := behind > 0 && behind < upTo && disk.Accepts() == space.Left && l.fileBytes <= disk.BackupLogBudget()
	if forBackup {
		upTo = behind
	}
	if upTo == l.covered {
		l.keptSince = c.now.Now
	}
	kept := c.now.Now-l.keptSince > c.ElectionTimeout // a follower that briefly lacks a little does not count
	c.Status.reportDisk(func(d *space.Disk) { d.LogKept, d.ForBackup = kept, forBackup })
	if upTo < first {
		return 0, false
	}
	term, err := c.Window.Term(upTo)
	if err != nil {
		return 0, false
	}
	c.Window.Release(upTo, term)
	return upTo, true
}

// neededFrom returns the last entry that a follower does not need from a log that begins behind base.
func neededFrom(p tracker.Progress, base uint64) uint64 {
	switch p.State {
	case tracker.StateSnapshot:
		return max(p.PendingSnapshot, base)
	case tracker.StateReplicate:
		return max(p.Match, base)
	default:
		return base // raft is still probing the follower's log
	}
}
