package actor

import (
	"fmt"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"qkv/internal/limits"
	"qkv/log"
)

// lag tracks how far this member lags behind its leader's log.
//
// Invariants:
//
//  1. commit is the newest commit index that the present leader has reported, or that raft knows.
//  2. mark is at most the newest commit index at since. It was not applied then, unless it is applied now.
//  3. took is how long it took to apply the previous mark.
type lag struct {
	commit, mark uint64
	since        time.Duration
	took         time.Duration
	seen         time.Duration // the last tick
}

// heard notes a leader's commit index.
func (l *lag) heard(commit uint64) { l.commit = max(l.commit, commit) }

// changed drops the commit index reported by a former leader, which may have been wrong. known is raft's own commit index.
func (l *lag) changed(known uint64) { l.commit, l.mark = known, min(l.mark, known) }

// tick begins a new measurement when the mark is applied, or when the process was stopped.
func (l *lag) tick(applied uint64, now, pause time.Duration) {
	switch {
	case now-l.seen >= pause:
		l.mark, l.since = l.commit, now
	case applied >= l.mark:
		l.mark, l.since, l.took = l.commit, now, now-l.since
	}
	l.seen = now
}

// missing returns the number of committed entries that are not applied.
func (l *lag) missing(applied uint64) uint64 { return max(l.commit, applied) - applied }

// far reports whether entries committed at least that long ago are still not applied.
func (l *lag) far(applied uint64, now, after time.Duration) bool {
	return applied < l.mark && now-l.since >= after
}

// catchesUp reports whether the last mark took at least that long to apply, or the present one already does.
func (l *lag) catchesUp(applied uint64, now, after time.Duration) bool {
	return l.took >= after || l.far(applied, now, after)
}

// logRead adds older entries to the window, and lets raft continue where it found none. raft asks again for the entries that it applies
// with the next Ready, and for the entries that it sends with the follower's next answer.
func (c *Consensus) logRead(m LogRead) {
	c.disk.reads.reported(c.now.Now)
	lo, hi, err := c.Window.Load(m.Order, m.Entries, m.Err)
	if err != nil {
		c.failed = true
		c.Fail(fmt.Errorf("entries cannot be read back from the log: %w", err))
		return
	}
	if c.soft.RaftState != raft.StateLeader {
		return
	}
	var waiting []uint64
	c.raft.WithProgress(func(id uint64, _ raft.ProgressType, p tracker.Progress) {
		if id != c.Member && lo <= p.Next && p.Next < hi {
			waiting = append(waiting, id)
		}
	})
	for _, id := range waiting {
		c.sendMore(id, hi)
	}
}

// sendMore lets raft send entries from memory up to an index. To raft it looks as if the follower had answered a heartbeat once more. It
// is therefore done only if that has no other effect: for a follower that already counts as active and is not paused.
func (c *Consensus) sendMore(id, upTo uint64) {
	for before := uint64(0); ; {
		var p tracker.Progress
		c.raft.WithProgress(func(i uint64, _ raft.ProgressType, one tracker.Progress) {
			if i == id {
				p = one
			}
		})
		if p.State != tracker.StateReplicate || !p.RecentActive || p.MsgAppFlowPaused || p.Next == before || p.Next >= upTo {
			return
		}
		before = p.Next
		kind, term := raftpb.MsgHeartbeatResp, c.raft.BasicStatus().GetTerm()
		c.step(&raftpb.Message{Type: &kind, From: &id, To: &c.Member, Term: &term})
	}
}

// raftStorage is raft's Storage. A follower that needs a snapshot gets the one that is nearly saved.
type raftStorage struct {
	*log.Window
	consensus *Consensus
}

// Snapshot implements raft.Storage. raft asks again with each answered heartbeat.
func (s raftStorage) Snapshot() (*raftpb.Snapshot, error) {
	newest, err := s.Window.Snapshot()
	if c := s.consensus; err == nil && c.saveWait.waits(c.Status.saves.Load(), newest.GetMetadata().GetIndex(), c.now.Now, c.ElectionTimeout) {
		c.Limits.Reach("snapshot wait")
		return nil, raft.ErrSnapshotTemporarilyUnavailable
	}
	return newest, err
}

// saveWait makes followers that need a snapshot wait for the one being saved, once more than half of it is written. Under load, catching
// up with the log between the newest snapshot and that one takes longer than the rest of the save.
//
// Invariants:
//
//  1. asked is the last time at which raft wanted a snapshot; since is when it began to, without a pause.
//  2. newest was the index of the newest snapshot at since.
type saveWait struct {
	since, asked time.Duration
	newest       uint64
}

// waits reports whether a newer snapshot is expected soon.
func (w *saveWait) waits(saves bool, newest uint64, now, pause time.Duration) bool {
	if now-w.asked >= pause {
		w.since, w.newest = now, newest
	}
	w.asked = now
	return saves && newest == w.newest && now-w.since < limits.SnapshotWait
}

// release deletes the log that snapshots cover, except for entries that a reachable follower still needs. Otherwise a follower that
// returns under load would fall behind the log again when it has installed a snapshot, and need one snapshot after another. These do not
// count: unreachable followers, and a follower whose full disk needs the snapshot to free space. The log kept for followers has a bound,
// and none is kept on a disk that is nearly full.
func (c *Consensus) release() {
	first, err := c.Window.FirstIndex()
	if err != nil || c.covered < first {
		c.keptSince = c.now.Now
		c.Status.logKept.Store(false)
		return
	}
	upTo := c.covered
	if c.soft.RaftState == raft.StateLeader && c.Status.Space() == SpaceLeft && c.fileBytes <= c.Status.catchUpRoom(&c.Limits, c.Status.snapshots.Load()) {
		c.raft.WithProgress(func(id uint64, _ raft.ProgressType, p tracker.Progress) {
			if id != c.Member && c.connected[id] && !(c.Status.helps.Load() && c.spaces.rooms[id].Own == uint64(SpaceNone)) {
				upTo = min(upTo, neededFrom(p, first-1))
			}
		})
	}
	if upTo == c.covered {
		c.keptSince = c.now.Now
	}
	c.Status.logKept.Store(c.now.Now-c.keptSince > c.ElectionTimeout) // a follower that briefly lacks a little does not count
	if upTo < first {
		return
	}
	if term, err := c.Window.Term(upTo); err == nil {
		c.Window.Release(upTo, term)
		c.LogWriter.MustPost(Release{UpTo: upTo})
	}
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
