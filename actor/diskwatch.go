package actor

import (
	"fmt"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/tracker"

	"qkv/internal/limits"
)

// diskWatch follows the orders that the log writer has not reported yet, and tells a disk that stands from one that is
// slow: a slow one finishes a group now and then, and a group takes the longer the more there is in it.
//
// Invariants:
//
//  1. orders are those that were given and not reported, in their order.
//  2. orders[0].since is when the disk could begin with it: when it was given, or when the one before it was reported.
//     Those that were given by then are in the same group, as far as they fit.
type diskWatch struct {
	groupBytes int64 // the most that one sync covers
	orders     []diskOrder
	seen       time.Duration // the last tick, by which a pause of the whole process shows
	overtaken  overtaken
}

// overtaken is what is known of another disk that has done what this one is at.
type overtaken struct {
	begun time.Duration // when this one began with it
	took  time.Duration // the other one, since then
}

// overtake notes that another disk has done what this one is at, and says whether that one is clearly faster: by half.
// Equal disks that are slow are done with a group at about the same time.
func (d *diskWatch) overtake(now time.Duration) (clearly bool) {
	if d.overtaken.begun != d.begun() || d.overtaken.took == 0 {
		d.overtaken = overtaken{begun: d.begun(), took: now - d.begun()}
	}
	return now-d.begun() >= d.overtaken.took*3/2
}

// diskOrder is an order that the log writer works on.
type diskOrder struct {
	given   time.Duration
	since   time.Duration
	bytes   int64  // of its entries' data
	last    uint64 // the newest entry in it, or in one before it
	loading bool   // its snapshot is being loaded: the disk has done its part
}

// ordered adds an order.
func (d *diskWatch) ordered(bytes int64, last uint64, now time.Duration) {
	d.orders = append(d.orders, diskOrder{given: now, since: now, bytes: bytes, last: last})
}

// reported removes the n oldest orders.
func (d *diskWatch) reported(n int, now time.Duration) {
	d.orders = d.orders[n:]
	if n > 0 && len(d.orders) > 0 {
		d.orders[0].since = now // its turn begins now
	}
}

// loading notes that the oldest order's snapshot is on the disk and being loaded, which is no sign of the disk.
func (d *diskWatch) loading() { d.orders[0].loading = true }

// idle tells that the disk has nothing to do.
func (d *diskWatch) idle() bool { return len(d.orders) == 0 }

// bytes is what the disk has before it.
func (d *diskWatch) bytes() int64 {
	n := int64(0)
	for _, o := range d.orders {
		n += o.bytes
	}
	return n
}

// tick does not hold it against the disk that this process stood still, stopped or with its whole host, for longer than
// a time that its clock never takes otherwise.
func (d *diskWatch) tick(now, pause time.Duration) {
	still := now - d.seen
	d.seen = now
	if still < pause {
		return
	}
	for i := range d.orders {
		d.orders[i].given = min(d.orders[i].given+still, now)
		d.orders[i].since = min(d.orders[i].since+still, now)
	}
}

// begun is when the disk began with what it is at.
func (d *diskWatch) begun() time.Duration { return d.orders[0].since }

// underWay is what the disk is at: the bytes of entries of one group, and the newest entry up to it.
func (d *diskWatch) underWay() (bytes int64, last uint64) {
	for i, o := range d.orders {
		if i > 0 && (o.given > d.begun() || bytes+o.bytes > d.groupBytes) {
			break
		}
		bytes, last = bytes+o.bytes, o.last
	}
	return bytes, last
}

// stalled is for how long the disk has been at one group, or only since a later time, beyond the time that its bytes may
// take.
func (d *diskWatch) stalled(now, since time.Duration) time.Duration {
	if d.idle() || d.orders[0].loading {
		return 0
	}
	bytes, _ := d.underWay()
	return max(now-max(d.begun(), since)-time.Duration(bytes)*time.Second/limits.DiskBytesPerSecond, 0)
}

// readWatch follows the orders to read older entries. Nothing but what needs them waits for these, so a slow one does no
// harm.
//
// Invariants:
//
//  1. orders is how many are on their way.
//  2. since is when the oldest of them could begin.
type readWatch struct {
	orders int
	since  time.Duration
}

func (w *readWatch) ordered(now time.Duration) {
	if w.orders == 0 {
		w.since = now
	}
	w.orders++
}

func (w *readWatch) reported(now time.Duration) { w.orders, w.since = w.orders-1, now }

// stalled is for how long the disk has been at one read.
func (w *readWatch) stalled(now time.Duration) time.Duration {
	if w.orders == 0 {
		return 0
	}
	return now - w.since
}

// watchDisk gives leadership up when the disk stands for two election timeouts and a follower's disk has done since what
// this one is at, and was clearly faster; where there is none, nobody would do better as the leader. It ends the member
// when the disk does not answer at all: on a very slow one a group waits for what others gave it before, and is not late
// when that is done. What raft says of a follower's activity is no sign of its disk.
func (c *Consensus) watchDisk() {
	if c.Status.logWaits.Load() { // it is full, and not to blame
		if !c.disk.idle() {
			c.disk.orders[0].since = c.now.Now
		}
		return
	}
	if read := c.readLog.stalled(c.now.Now); read > c.Limits.DiskStall {
		c.Fail(fmt.Errorf("%w: it has not answered a read of the log for %v; what was acknowledged is safe, anything else is unknown", ErrDisk, read.Round(time.Millisecond)))
		return
	}
	if dead := c.disk.stalled(c.now.Now, time.Duration(c.Status.otherDone.Load())); dead > c.Limits.DiskStall {
		c.Fail(fmt.Errorf("%w: it has not finished a write for %v; what was acknowledged is safe, anything else is unknown", ErrDisk, dead.Round(time.Millisecond)))
		return
	}
	stalled := c.disk.stalled(c.now.Now, 0)
	if stalled <= c.ElectionTimeout/2 || c.soft.RaftState != raft.StateLeader {
		return
	}
	_, goal := c.disk.underWay()
	if c.hasFollower(func(p tracker.Progress) bool { return p.Match >= goal }) && c.disk.overtake(c.now.Now) && stalled > 2*c.ElectionTimeout {
		c.transferLeadership(fmt.Sprintf("its disk has been writing for %v", (c.now.Now-c.disk.begun()).Round(time.Millisecond)), func(_ uint64, p tracker.Progress) bool {
			return p.Match >= goal
		})
	}
}

// hasFollower tells whether a voter that can be reached has made such progress.
func (c *Consensus) hasFollower(fit func(p tracker.Progress) bool) (has bool) {
	c.raft.WithProgress(func(id uint64, kind raft.ProgressType, p tracker.Progress) {
		has = has || id != c.Member && kind == raft.ProgressTypePeer && c.connected[id] && fit(p)
	})
	return has
}

// transferLeadership hands leadership to the most advanced follower that can be reached and is fit, if there is one.
func (c *Consensus) transferLeadership(why string, fit func(id uint64, p tracker.Progress) bool) {
	if c.soft.RaftState != raft.StateLeader {
		return
	}
	best, match := uint64(0), uint64(0)
	c.raft.WithProgress(func(id uint64, kind raft.ProgressType, p tracker.Progress) {
		if id != c.Member && kind == raft.ProgressTypePeer && p.Match > match && c.connected[id] && fit(id, p) {
			best, match = id, p.Match
		}
	})
	if best != 0 && c.raft.BasicStatus().LeadTransferee != best {
		c.Logger.Info("handing leadership over", "to", c.Status.NameOf(best), "because", why)
		c.raft.TransferLeader(best)
	}
}
