package actor

import (
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/tracker"
)

const (
	// catchUpGain is the multiple of the write rate that a lagging member gets: under a constant load it gets one byte of its lag for every
	// two. A smaller gain keeps more log for it, and without the space for that the member needs another snapshot.
	catchUpGain = 2
	// catchUpMost is more than any disk takes.
	catchUpMost = 4 << 30
	// catchUpWindow is how often the leader measures its write rate, which is smoothed over catchUpSmooth windows.
	catchUpWindow = 100 * time.Millisecond
	catchUpSmooth = 4
	// catchUpBurst bounds the token bucket of late ticks: how much time's bytes are sent at once at most.
	catchUpBurst = 50 * time.Millisecond
)

// pace limits how fast this member sends lagging members the data that they lack: pieces of a snapshot, and entries that are no longer in
// memory. Each lagging member gets the same share: catchUpGain times the write rate, and at least limits.CatchUpLeast. Without writes there is no
// limit.
//
// credit is how many bytes may be read for lagging members. It is negative while the last read is ahead of the rate.
type pace struct {
	least int64 // limits.Tunable's CatchUpLeast

	rate   float64       // bytes a second for each lagging member
	at     time.Duration // the last tick
	credit float64

	writes  float64       // bytes a second, smoothed
	since   time.Duration // the beginning of the present window
	written int64         // bytes that were ordered in it
}

// tick returns how much may be read for each lagging member; logs is how many of them lack older entries, and busy whether writes wait for their
// commit. A large amount at once after a stop of this process would be a burst that delays writes.
func (p *pace) tick(logs int, busy bool, now time.Duration) (allowed int64) {
	if took := now - p.since; took >= catchUpWindow {
		p.writes += (float64(p.written)/took.Seconds() - p.writes) / catchUpSmooth
		if p.rate = max(float64(p.least), catchUpGain*p.writes); p.written == 0 && !busy {
			p.rate = catchUpMost
		}
		p.since, p.written = now, 0
	}
	bytes := p.rate * min(now-p.at, catchUpBurst).Seconds()
	p.at = now
	p.credit = min(p.credit+bytes*float64(logs), bytes)
	return int64(bytes)
}

// takeCredit deducts a read's bytes from the credit, and reports whether there was any credit.
func (p *pace) takeCredit(bytes int64) bool {
	if p.credit <= 0 {
		return false
	}
	p.credit -= float64(bytes)
	return true
}

// allow decides how fast files of snapshots may be sent to each receiver.
func (p *pace) allow(c *core) {
	logs := 0
	if c.soft.RaftState == raft.StateLeader {
		hot := c.Window.InMemory()
		c.raft.WithProgress(func(id uint64, _ raft.ProgressType, one tracker.Progress) {
			if id != c.Member && c.connected[id] && one.State != tracker.StateSnapshot && one.Next < hot {
				logs++
			}
		})
	}
	p.tick(logs, c.raft.BasicStatus().GetCommit() < c.last, c.now.Now)
	c.Status.pieceRate.Store(int64(p.rate))
}

// mayRead reports whether older entries may be read now. Reads of applied entries are for lagging members, and are paced.
func (p *pace) mayRead(c *core, first uint64, bytes int64) bool {
	if c.soft.RaftState != raft.StateLeader || first > c.raft.BasicStatus().Applied {
		return true
	}
	if !p.takeCredit(bytes) {
		c.Limits.Reach("catch-up rate")
		return false
	}
	return true
}
