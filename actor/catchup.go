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

// lag is how far this member is behind the log of its leader.
//
// Invariants:
//
//  1. commit is the newest commit index that a leader has told.
//  2. mark was the newest one at since, and what was applied by then was less, unless mark is applied now.
//  3. took is how long it took to apply the mark before this one.
type lag struct {
	commit, mark uint64
	since        time.Duration
	took         time.Duration
	seen         time.Duration // the last tick
}

// heard takes over a leader's commit index.
func (l *lag) heard(commit uint64) { l.commit = max(l.commit, commit) }

// tick begins anew when what was committed at the mark is applied, or when the process stood still.
func (l *lag) tick(applied uint64, now, pause time.Duration) {
	switch {
	case now-l.seen >= pause:
		l.mark, l.since = l.commit, now
	case applied >= l.mark:
		l.mark, l.since, l.took = l.commit, now, now-l.since
	}
	l.seen = now
}

// missing is how many entries that are committed are not applied.
func (l *lag) missing(applied uint64) uint64 { return max(l.commit, applied) - applied }

// far tells whether what was committed a time ago is not applied yet.
func (l *lag) far(applied uint64, now, after time.Duration) bool {
	return applied < l.mark && now-l.since >= after
}

// catchesUp tells whether what was committed was applied a time later at last, or is not yet.
func (l *lag) catchesUp(applied uint64, now, after time.Duration) bool {
	return l.took >= after || l.far(applied, now, after)
}

// logRead takes over older entries, and lets raft go on where it found none: it asks again for those that it applies with
// the next Ready, and for those that it sends when it hears of the follower.
func (c *Consensus) logRead(m LogRead) {
	c.readLog.reported(c.now.Now)
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

// sendMore lets raft send what is in memory up to an entry. To raft it looks as if the follower had answered a heartbeat
// once more, so this is done only where nothing else follows from that: one that is counted as active already, and has
// room for more.
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

// raftStorage is what raft reads. What it sends a follower that needs a snapshot is the one that is nearly there.
type raftStorage struct {
	*log.Window
	consensus *Consensus
}

// Snapshot implements raft.Storage. raft asks again with each heartbeat that is answered.
func (s raftStorage) Snapshot() (*raftpb.Snapshot, error) {
	newest, err := s.Window.Snapshot()
	if c := s.consensus; err == nil && c.saveWait.waits(c.Status.saves.Load(), newest.GetMetadata().GetIndex(), c.now.Now, c.ElectionTimeout) {
		c.Limits.Reach("snapshot wait")
		return nil, raft.ErrSnapshotTemporarilyUnavailable
	}
	return newest, err
}

// saveWait is the wait of followers that need a snapshot for the one that is being saved, once more than half of it is written:
// the log between the newest one and that takes longer to catch up with, under load, than the rest of the save.
//
// Invariants:
//
//  1. asked is when raft wanted a snapshot last, and since when it began to, without a pause.
//  2. newest was the index of the newest snapshot at since.
type saveWait struct {
	since, asked time.Duration
	newest       uint64
}

// waits tells whether there is a newer snapshot soon.
func (w *saveWait) waits(saves bool, newest uint64, now, pause time.Duration) bool {
	if now-w.asked >= pause {
		w.since, w.newest = now, newest
	}
	w.asked = now
	return saves && newest == w.newest && now-w.since < limits.SnapshotWait
}

// release lets go of the log that snapshots cover, but for what a follower that can be reached still needs of it. One
// that comes back under load would else fall behind the log again as soon as it has installed a snapshot, and need one
// snapshot after the other. A follower that is away is not waited for, nor one whose full disk a snapshot makes room on,
// no follower holds more than a bound, and none holds anything on a disk that is nearly full.
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
	c.Status.logKept.Store(c.now.Now-c.keptSince > c.ElectionTimeout) // who lacks little for a moment holds nothing
	if upTo < first {
		return
	}
	if term, err := c.Window.Term(upTo); err == nil {
		c.Window.Release(upTo, term)
		c.LogWriter.MustPost(Release{UpTo: upTo})
	}
}

// neededFrom is the last entry that a follower does not need from a log that begins behind base.
func neededFrom(p tracker.Progress, base uint64) uint64 {
	switch p.State {
	case tracker.StateSnapshot:
		return max(p.PendingSnapshot, base)
	case tracker.StateReplicate:
		return max(p.Match, base)
	default:
		return base // what it has is being found out
	}
}
