package actor

import (
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/tracker"
)

const (
	// catchUpGain is the guaranteed multiple of the write rate: under a constant load, a returning member gets one byte of its lag for
	// every four written. catchUpMost is more than any disk takes. Measured on four cores that three members and their clients share, puts
	// of 32 KiB at 85 MB/s, a member away for 60 s. It caught up after 33 to 47 s, with puts under 80 % for 2 to 9 s at most, 4 mostly.
	// With 1.5: after 31 to 42 s, and 4 to 8 s. With 2: after 26 to 36 s, and 6 to 11 s.
	//
	// catchUpGainMost replaces catchUpGain while the log fills half of its space for lagging members. Saves are SnapshotInterval apart:
	// 200 MiB of state under 100 MB/s have twice as much log after the newest snapshot. While that log is sent at 1.25, eight tenths of
	// the state's size are added. The sum is three times the state, and that is all that is kept (space.Disk). With 2 the sum is two and a
	// half, and falls four times as fast. States from 512 MiB on do not reach this: it is for states between 100 and 300.
	catchUpGain     = 1.25
	catchUpGainMost = 2
	catchUpMost     = 4 << 30
	// catchUpCost is the factor by which commits may slow down while any member lags, before the rate falls: a whole write slows by less.
	// A commit may always take catchUpCostLeast longer. For commits of less than a few milliseconds, a fifth is scheduler noise, which a
	// client's round trip hides.
	catchUpCost      = 1.2
	catchUpCostLeast = 500 * time.Microsecond
	// catchUpWindow is how often the leader measures its commit time. The time is smoothed over catchUpSmooth windows, or over
	// catchUpSmoothCalm windows while no member lags or commits are faster than before. catchUpForget windows, nearly a minute, is how
	// long the earlier commit time is the reference: a longer slowdown counts as the load.
	catchUpWindow     = 100 * time.Millisecond
	catchUpSmooth     = 4
	catchUpSmoothCalm = 16
	catchUpForget     = 512
	// catchUpBurst bounds the token bucket of late ticks: how much time's bytes are sent at once at most.
	catchUpBurst = 50 * time.Millisecond
)

// pace decides how fast this member sends lagging members the data that they lack: pieces of a snapshot, and entries that are no longer
// in memory. Each lagging member gets the same rate. A leader's spare capacity shows in the time until its writes are committed, because
// that time includes all shared resources: processors, network and disk of this machine and of a quorum's. The rate grows while commits
// are hardly slower than before any member lagged, and falls while they are slower. But it never falls below a multiple of the write
// rate: otherwise a lagging member would never catch up.
//
// Invariants:
//
//  1. orders are the orders to this leader's log that are not committed, in their order.
//  2. rate is at least limits.CatchUpLeast and gain() times writes, and at most catchUpMost.
//  3. calm is the commit time without lagging members, as far as it is known; if commits are faster now, calm soon follows.
//  4. credit is how many bytes may be read for lagging members. It is negative while the last read is ahead of the rate.
type pace struct {
	least       int64 // limits.Tunable's CatchUpLeast
	logHalfFull bool  // the log has taken half of the space in which it is kept for lagging members

	rate   float64       // bytes a second for each lagging member
	behind int           // number of lagging members
	at     time.Duration // the last tick
	credit float64

	orders []commitWait
	calm   float64 // commit time without lagging members, in seconds, smoothed; 0 is not known
	busy   float64 // commit time while a member lags
	writes float64 // bytes a second, smoothed
	pieces int64   // bytes of snapshots sent, as Status counts them

	// Of the present window.
	since   time.Duration
	commits int
	waited  time.Duration // sum of the commit times
	written int64
	sent    int64
}

// commitWait is an order that waits until it is committed.
type commitWait struct {
	last uint64
	at   time.Duration
}

// ordered notes a leader's order to its log.
func (p *pace) ordered(last uint64, bytes int64, now time.Duration) {
	p.orders = append(p.orders, commitWait{last, now})
	p.written += bytes
}

// committed notes that entries are committed.
func (p *pace) committed(upTo uint64, now time.Duration) {
	n := 0
	for ; n < len(p.orders) && p.orders[n].last <= upTo; n++ {
		p.commits++
		p.waited += now - p.orders[n].at
	}
	p.orders = dropFirst(p.orders, n)
}

// deposed forgets the orders of a former leader.
func (p *pace) deposed() { p.orders = nil }

// tick returns how much may be read for each lagging member; logs is how many of them lack older entries. A large amount at once after a
// stop of this process would be the very burst that pace prevents.
func (p *pace) tick(behind, logs int, pieces int64, now time.Duration) (allowed int64) {
	p.sent += pieces - p.pieces
	p.pieces = pieces
	if p.behind == 0 {
		p.rate, p.busy = 0, p.calm
	}
	if p.behind = behind; now-p.since >= catchUpWindow {
		p.endWindow(now)
	}
	p.rate = min(max(p.rate, float64(p.least), p.gain()*p.writes), catchUpMost)
	bytes := p.rate * min(now-p.at, catchUpBurst).Seconds()
	p.at = now
	p.credit = min(p.credit+bytes*float64(logs), bytes)
	return int64(bytes)
}

// gain is the factor of the write rate that each lagging member gets at least. With a small gain more log must be kept, and without the
// space for it the member needs another snapshot.
func (p *pace) gain() float64 {
	if p.logHalfFull {
		return catchUpGainMost
	}
	return catchUpGain
}

// endWindow adapts the rate to the window's commit times. A window in which the disk stalled does not measure the catch-up's cost: it
// counts for twice the usual time.
func (p *pace) endWindow(now time.Duration) {
	took := (now - p.since).Seconds()
	p.writes += (float64(p.written)/took - p.writes) / catchUpSmooth
	commit, known := p.waited.Seconds()/float64(max(p.commits, 1)), p.commits > 0
	if !known && len(p.orders) > 0 { // it has not ended
		commit, known = (now - p.orders[0].at).Seconds(), true
	}
	sent := float64(p.sent) / took / float64(max(p.behind, 1))
	p.since, p.commits, p.waited, p.written, p.sent = now, 0, 0, 0, 0
	switch {
	case !known: // there are no writes
		p.rate *= 2
	case p.calm == 0:
		p.calm, p.busy = commit, commit
	case p.behind == 0:
		p.calm += (min(commit, 2*p.calm) - p.calm) / catchUpSmoothCalm
	default:
		p.busy += (min(commit, 2*p.busy) - p.busy) / catchUpSmooth
		if p.busy > p.calm {
			p.calm += (p.busy - p.calm) / catchUpForget
		} else { // not at once: among few commits some are faster than others, and the fastest are not the norm
			p.calm += (p.busy - p.calm) / catchUpSmoothCalm
		}
		switch {
		case p.busy > max(p.calm*catchUpCost, p.calm+catchUpCostLeast.Seconds()):
			p.rate = min(p.rate, sent) * 3 / 4
		case sent > p.rate/2: // otherwise another limit holds it back
			p.rate *= 5. / 4
		}
	}
}

// takeCredit deducts a read's bytes from the credit, and reports whether there was any credit.
func (p *pace) takeCredit(bytes int64) bool {
	if p.credit <= 0 {
		return false
	}
	p.credit -= float64(bytes)
	p.sent += bytes
	return true
}

// allow decides how fast files of snapshots may be sent to each receiver, as far as there is spare capacity; receivers is their number.
func (p *pace) allow(c *core, receivers int, logBytes int64) {
	logs := 0
	if c.soft.RaftState == raft.StateLeader {
		hot := c.Window.InMemory()
		c.raft.WithProgress(func(id uint64, _ raft.ProgressType, one tracker.Progress) {
			if id != c.Member && c.connected[id] && one.State != tracker.StateSnapshot && one.Next < hot {
				logs++
			}
		})
	}
	disk := c.Status.Disk()
	p.logHalfFull = 2*logBytes > disk.FollowerLogBudget(&c.Limits)
	p.tick(logs+receivers, logs, c.Status.piecesSent.Load(), c.now.Now)
	rate := int64(0)
	if receivers > 0 {
		rate = int64(p.rate)
	}
	c.Status.pieceRate.Store(rate)
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
