package actor

import (
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/tracker"

	"qkv/internal/limits"
)

// pace decides how fast this member sends others what they lack: pieces of a snapshot, and entries that are not in memory any
// more; each of those that are behind gets as much. What a leader has to spare shows in how long its writes take until they
// are committed: whatever they share with what is sent, of this machine's processors, network and disk and of a quorum's, is in
// that. So the rate grows while it is hardly longer than before anybody was behind, and falls while it is longer. But it is
// never below a multiple of what is written: who is behind would else never be level.
//
// Invariants:
//
//  1. orders are those that this leader gave its log and that are not committed, in their order.
//  2. rate is at least limits.CatchUpLeast and gain() times writes, and at most limits.CatchUpMost.
//  3. calm is what a commit takes while nobody is behind, as far as that is known; where it takes less now, it is soon that.
//  4. credit is what may be read for those that are behind. It is below 0 for as long as the last read is ahead of the rate.
type pace struct {
	least   int64 // limits.Tunable's CatchUpLeast
	presses bool  // the log has taken half of the room in which it is kept for those that are behind

	rate   float64       // bytes a second for each that is behind
	behind int           // how many there are
	at     time.Duration // the last tick
	credit float64

	orders []commitWait
	calm   float64 // what a commit takes, in seconds, smoothed; 0 is not known
	busy   float64 // what it takes while anybody is behind
	writes float64 // bytes a second, smoothed
	pieces int64   // of snapshots that were sent, in bytes, as far as the snapshotter has told

	// Of the window that has begun.
	since   time.Duration
	commits int
	waited  time.Duration // until they were committed, all together
	written int64
	sent    int64
}

// commitWait is an order that waits until it is committed.
type commitWait struct {
	last uint64
	at   time.Duration
}

// ordered notes what a leader has given its log.
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

// deposed forgets the orders of one that leads no more.
func (p *pace) deposed() { p.orders = nil }

// tick returns how much may be sent to each of those that are behind, of whom logs lack older entries. Much at once after this
// process stood still would be what it is to prevent.
func (p *pace) tick(behind, logs int, pieces int64, now time.Duration) (allowed int64) {
	p.sent += pieces - p.pieces
	p.pieces = pieces
	if p.behind == 0 {
		p.rate, p.busy = 0, p.calm
	}
	if p.behind = behind; now-p.since >= limits.CatchUpWindow {
		p.look(now)
	}
	p.rate = min(max(p.rate, float64(p.least), p.gain()*p.writes), limits.CatchUpMost)
	bytes := p.rate * min(now-p.at, limits.CatchUpBurst).Seconds()
	p.at = now
	p.credit = min(p.credit+bytes*float64(logs), bytes)
	return int64(bytes)
}

// gain is how many times what is written each of those that are behind gets at least. Who gains little needs more log to be kept, and
// needs another snapshot where there is no room for that.
func (p *pace) gain() float64 {
	if p.presses {
		return limits.CatchUpGainMost
	}
	return limits.CatchUpGain
}

// look ends a window. One in which the disk stood is no measure of the others: it counts for twice what they take.
func (p *pace) look(now time.Duration) {
	took := (now - p.since).Seconds()
	p.writes += (float64(p.written)/took - p.writes) / limits.CatchUpSmooth
	commit, known := p.waited.Seconds()/float64(max(p.commits, 1)), p.commits > 0
	if !known && len(p.orders) > 0 { // it has not ended
		commit, known = (now - p.orders[0].at).Seconds(), true
	}
	sent := float64(p.sent) / took / float64(max(p.behind, 1))
	p.since, p.commits, p.waited, p.written, p.sent = now, 0, 0, 0, 0
	switch {
	case !known: // nobody writes
		p.rate *= 2
	case p.calm == 0:
		p.calm, p.busy = commit, commit
	case p.behind == 0:
		p.calm += (min(commit, 2*p.calm) - p.calm) / limits.CatchUpSmoothCalm
	default:
		p.busy += (min(commit, 2*p.busy) - p.busy) / limits.CatchUpSmooth
		if p.busy > p.calm {
			p.calm += (p.busy - p.calm) / limits.CatchUpForget
		} else { // not at once: among few commits some are faster than others, and the fastest are not the norm
			p.calm += (p.busy - p.calm) / limits.CatchUpSmoothCalm
		}
		switch {
		case p.busy > max(p.calm*limits.CatchUpCost, p.calm+limits.CatchUpCostLeast.Seconds()):
			p.rate = min(p.rate, sent) * 3 / 4
		case sent > p.rate/2: // else something else holds it back
			p.rate *= 5. / 4
		}
	}
}

// read takes the bytes of a read from the credit, if there is any.
func (p *pace) read(bytes int64) bool {
	if p.credit <= 0 {
		return false
	}
	p.credit -= float64(bytes)
	p.sent += bytes
	return true
}

// sendMissing lets what others lack be sent, as far as there is something to spare.
func (c *Consensus) sendMissing() {
	logs := 0
	if c.soft.RaftState == raft.StateLeader {
		hot := c.Window.InMemory()
		c.raft.WithProgress(func(id uint64, _ raft.ProgressType, p tracker.Progress) {
			if id != c.Member && c.connected[id] && p.State != tracker.StateSnapshot && p.Next < hot {
				logs++
			}
		})
	}
	c.pace.presses = 2*c.fileBytes > c.Status.catchUpRoom(&c.Limits, c.Status.snapshots.Load())
	allowed := c.pace.tick(logs+len(c.sending), logs, c.Status.piecesSent.Load(), c.now.Now)
	if len(c.sending) > 0 {
		c.Snapshotter.Offer(Allow{Bytes: allowed})
	}
}

// mayRead tells whether older entries may be read now. What is applied already is read for those that are behind.
func (c *Consensus) mayRead(first uint64, bytes int64) bool {
	if c.soft.RaftState != raft.StateLeader || first > c.raft.BasicStatus().Applied {
		return true
	}
	if !c.pace.read(bytes) {
		c.Limits.Reach("catch-up rate")
		return false
	}
	return true
}
