package actor

import (
	"fmt"
	"slices"
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
	done       uint64        // the last entry of the newest order that was reported
	others     map[uint64][]diskProgress
}

// diskProgress says when another member's disk was done with the log up to an entry.
type diskProgress struct {
	match uint64
	at    time.Duration
}

// diskProgresses is how many of them are kept of a member: there are a few for each group that this disk may be behind.
const diskProgresses = 64

// progressed notes how far another disk is.
func (d *diskWatch) progressed(id, match uint64, now time.Duration) {
	all := d.others[id]
	switch n := len(all); {
	case n > 0 && all[n-1].match == match:
		return
	case n > 0 && all[n-1].match > match: // it begins anew
		all = nil
	case n == diskProgresses:
		all = slices.Delete(all, 0, 1)
	}
	if d.others == nil {
		d.others = map[uint64][]diskProgress{}
	}
	d.others[id] = append(all, diskProgress{match, now})
}

// overtaken says whether another disk has done what this one is at, up to an entry, and is clearly faster: by half. What counts
// is how long it was at that itself, in however many groups: since it was done with what this one has done. Equal disks that are
// slow take about as long, and this one may be a group or two behind when it had more turns of other actors.
func (d *diskWatch) overtaken(id, goal uint64, now time.Duration) bool {
	all := d.others[id]
	i := slices.IndexFunc(all, func(p diskProgress) bool { return p.match >= goal })
	if i < 0 {
		return false
	}
	began := d.orders[0].given
	for _, p := range all[:i] {
		if p.match <= d.done {
			began = max(began, p.at)
		}
	}
	return now-d.begun() >= (all[i].at-began)*3/2
}

// diskOrder is an order that the log writer works on.
type diskOrder struct {
	given     time.Duration
	since     time.Duration
	bytes     int64  // of its entries' data
	last      uint64 // the newest entry in it, or in one before it
	restoring bool   // the applier takes over its snapshot: the disk has done its part
}

// ordered adds an order.
func (d *diskWatch) ordered(bytes int64, last uint64, now time.Duration) {
	d.orders = append(d.orders, diskOrder{given: now, since: now, bytes: bytes, last: last})
}

// reported removes the n oldest orders.
func (d *diskWatch) reported(n int, now time.Duration) {
	if n > 0 {
		d.done = d.orders[n-1].last
	}
	d.orders = dropFirst(d.orders, n)
	if n > 0 && len(d.orders) > 0 {
		d.orders[0].since = now // its turn begins now
	}
}

// restoring notes that the oldest order's snapshot is marked on the disk, and that the applier takes it over, which is no sign of the
// disk.
func (d *diskWatch) restoring() { d.orders[0].restoring = true }

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
// a time that its clock never takes otherwise. It returns for how long it did; 0: it did not.
func (d *diskWatch) tick(now, pause time.Duration) (still time.Duration) {
	still = now - d.seen
	d.seen = now
	if still < pause {
		return 0
	}
	for i := range d.orders {
		d.orders[i].given = min(d.orders[i].given+still, now)
		d.orders[i].since = min(d.orders[i].since+still, now)
	}
	return still
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

// stalled is for how long the disk has been at one group beyond the time that its bytes may take.
func (d *diskWatch) stalled(now time.Duration) time.Duration {
	if d.idle() {
		return 0
	}
	bytes, _ := d.underWay()
	return d.beyond(now, d.begun(), bytes, limits.DiskBytesPerSecond)
}

// silent is for how long the disk has done nothing at all beyond the time that the slowest one takes; it did something at done.
// What it has done of a group does not show before it has done all of it: a part at a time, the log would be in turn with the
// others for each, and have half of the disk. The group counts as a full one where so much was given: what was given a moment
// later is in it, too, when the log writer had its turn later.
func (d *diskWatch) silent(now, done time.Duration) time.Duration {
	if d.idle() {
		return 0
	}
	bytes, _ := d.underWay()
	return d.beyond(now, max(d.begun(), done), max(bytes, min(d.bytes(), d.groupBytes)), limits.DiskBytesLeast)
}

func (d *diskWatch) beyond(now, since time.Duration, bytes, rate int64) time.Duration {
	if d.orders[0].restoring {
		return 0
	}
	return max(now-since-time.Duration(bytes)*time.Second/time.Duration(rate), 0)
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

// stood does not hold it against the disk that this process stood still.
func (w *readWatch) stood(still, now time.Duration) { w.since = min(w.since+still, now) }

// stalled is for how long the disk has been at one read.
func (w *readWatch) stalled(now time.Duration) time.Duration {
	if w.orders == 0 {
		return 0
	}
	return now - w.since
}

// watchDisk gives leadership up when the disk stands for two election timeouts and the disks of a quorum of followers have done
// since what this one is at, and were clearly faster. Where there are fewer, nobody would do better as the leader: each write, and
// the vote for the next leader, would wait for a disk such as this one, and a vote that takes longer than an election timeout may
// come too late again and again. It ends the member when the disk does not answer at all: on a very slow one a group waits for
// what others gave it before, and is not late when that is done. What raft says of a follower's activity is no sign of its disk.
func (c *Consensus) watchDisk() {
	c.watchOthers()
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
	if dead := c.disk.silent(c.now.Now, time.Duration(c.Status.diskDone.Load())); dead > c.Limits.DiskStall {
		c.Fail(fmt.Errorf("%w: it has not finished a write for %v; what was acknowledged is safe, anything else is unknown", ErrDisk, dead.Round(time.Millisecond)))
		return
	}
	stalled := c.disk.stalled(c.now.Now)
	if stalled <= 2*c.ElectionTimeout || c.soft.RaftState != raft.StateLeader {
		return
	}
	_, goal := c.disk.underWay()
	faster := map[uint64]bool{}
	c.raft.WithProgress(func(id uint64, _ raft.ProgressType, p tracker.Progress) {
		faster[id] = id != c.Member && p.Match >= goal && c.disk.overtaken(id, goal, c.now.Now)
	})
	if !quorumOf(c.membership.confState.GetVoters(), faster) || !quorumOf(c.membership.confState.GetVotersOutgoing(), faster) {
		return
	}
	c.transferLeadership(fmt.Sprintf("its disk has been writing for %v", (c.now.Now-c.disk.begun()).Round(time.Millisecond)), func(id uint64, _ tracker.Progress) bool {
		return faster[id]
	})
}

// quorumOf tells whether a quorum of some voters, if there are any, are among others.
func quorumOf(voters []uint64, among map[uint64]bool) bool {
	n := 0
	for _, id := range voters {
		if among[id] {
			n++
		}
	}
	return n > len(voters)/2 || len(voters) == 0
}

// watchOthers follows how far the disks of the others are, while this member leads.
func (c *Consensus) watchOthers() {
	if c.soft.RaftState != raft.StateLeader {
		c.disk.others = nil
		return
	}
	c.raft.WithProgress(func(id uint64, _ raft.ProgressType, p tracker.Progress) {
		if id != c.Member {
			c.disk.progressed(id, p.Match, c.now.Now)
		}
	})
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
