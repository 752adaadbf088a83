package actor

import (
	"fmt"
	"slices"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/tracker"

	"qkv/internal/limits"
)

// diskWatch follows the orders that the log writer has not reported yet, and distinguishes a stalled disk from a slow one. A slow disk
// finishes a group now and then, and the time of a group grows with its size.
//
// Invariants:
//
//  1. orders are the given and not yet reported orders, in their order.
//  2. orders[0].since is when the disk could begin with it: when it was given, or when the previous order was reported.
//     Orders that were given by then are in the same group, as far as they fit.
type diskWatch struct {
	groupBytes int64 // the most that one sync covers
	orders     []diskOrder
	done       uint64 // the last entry of the newest reported order
	reads      readWatch
	others     map[uint64][]diskProgress
}

// diskProgress is the time at which another member's disk had the log up to an entry.
type diskProgress struct {
	match uint64
	at    time.Duration
}

const (
	diskBytesLeast = 64 << 10 // bytes a second below which a disk counts as dead
	diskProgresses = 64       // kept for each member: there are a few for each group that this disk may lag
)

// progressed notes the progress of another disk.
func (d *diskWatch) progressed(id, match uint64, now time.Duration) {
	all := d.others[id]
	switch n := len(all); {
	case n > 0 && all[n-1].match == match:
		return
	case n > 0 && all[n-1].match > match: // the member begins anew
		all = nil
	case n == diskProgresses:
		all = slices.Delete(all, 0, 1)
	}
	if d.others == nil {
		d.others = map[uint64][]diskProgress{}
	}
	d.others[id] = append(all, diskProgress{match, now})
}

// overtaken reports whether another disk has synced this disk's current work, up to an entry, and is clearly faster: by half. It compares
// the other disk's own working time, in however many groups: the time since it finished the work that this disk has finished. Equally
// slow disks take about the same time, and this one may lag by a group or two after more turns of other actors.
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
	last      uint64 // the newest entry in it, or in an earlier order
	restoring bool   // the applier takes over its snapshot: the disk has finished its part
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

// restoring notes that the oldest order's snapshot is marked on the disk. The applier now takes it over, and its time says nothing about
// the disk.
func (d *diskWatch) restoring() { d.orders[0].restoring = true }

// idle reports that the disk has no order.
func (d *diskWatch) idle() bool { return len(d.orders) == 0 }

// bytes returns the bytes of all pending orders.
func (d *diskWatch) bytes() int64 {
	n := int64(0)
	for _, o := range d.orders {
		n += o.bytes
	}
	return n
}

// excludeStop excludes a stop of this process from the disk's times. The progress of the others is measured anew.
func (d *diskWatch) excludeStop(stop, now time.Duration) {
	d.others, d.reads.since = nil, min(d.reads.since+stop, now)
	for i := range d.orders {
		d.orders[i].given = min(d.orders[i].given+stop, now)
		d.orders[i].since = min(d.orders[i].since+stop, now)
	}
}

// begun returns when the disk began with its current order.
func (d *diskWatch) begun() time.Duration { return d.orders[0].since }

// busy returns for how long the disk has been at its current order.
func (d *diskWatch) busy(now time.Duration) time.Duration {
	if d.idle() {
		return 0
	}
	return now - d.begun()
}

// underWay returns the disk's current work: the bytes of one group's entries, and the newest entry up to it.
func (d *diskWatch) underWay() (bytes int64, last uint64) {
	for i, o := range d.orders {
		if i > 0 && (o.given > d.begun() || bytes+o.bytes > d.groupBytes) {
			break
		}
		bytes, last = bytes+o.bytes, o.last
	}
	return bytes, last
}

// stalled returns for how long the disk has been at one group, beyond the time that the group's bytes may take.
func (d *diskWatch) stalled(now time.Duration) time.Duration {
	if d.idle() {
		return 0
	}
	bytes, _ := d.underWay()
	return d.beyond(now, d.begun(), bytes, limits.DiskBytesPerSecond)
}

// silent returns for how long the disk has shown no progress, beyond the time that the slowest disk takes; done is its last known
// progress. Partial progress in a group is invisible: if the log wrote in parts, it would alternate with the other actors after each
// part, and get only half of the disk. If enough bytes were given, the group counts as a full one: orders given a moment later are in it,
// too, if the log writer ran later.
func (d *diskWatch) silent(now, done time.Duration) time.Duration {
	if d.idle() {
		return 0
	}
	bytes, _ := d.underWay()
	return d.beyond(now, max(d.begun(), done), max(bytes, min(d.bytes(), d.groupBytes)), diskBytesLeast)
}

func (d *diskWatch) beyond(now, since time.Duration, bytes, rate int64) time.Duration {
	if d.orders[0].restoring {
		return 0
	}
	return max(now-since-time.Duration(bytes)*time.Second/time.Duration(rate), 0)
}

// readWatch follows the orders to read older entries. Only the users of these entries wait for them, so a slow read does no harm.
//
// Invariants:
//
//  1. orders is the number of reads under way.
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

// stalled returns for how long the disk has been at one read.
func (w *readWatch) stalled(now time.Duration) time.Duration {
	if w.orders == 0 {
		return 0
	}
	return now - w.since
}

// watch gives leadership up if the own disk stalls for two election timeouts while a quorum of followers has synced its current work
// clearly faster. With fewer such followers no other leader would do better: each write, and the vote for the next leader, would wait for
// a disk such as this one, and votes slower than an election timeout may repeatedly be late. watch ends the member if the disk does
// not respond at all. On a very slow disk a group waits for other actors' earlier requests, and is not late when they finish. raft's view
// of a follower's activity says nothing about its disk.
func (d *diskWatch) watch(c *core) {
	d.watchOthers(c)
	if c.Status.Disk().LogWaits { // the disk is full, not stalled
		if !d.idle() {
			d.orders[0].since = c.now.Now
		}
		return
	}
	if read := d.reads.stalled(c.now.Now); read > c.Limits.DiskStall {
		c.Fail(fmt.Errorf("%w: it has not answered a read of the log for %v; what was acknowledged is safe, anything else is unknown", ErrDisk, read.Round(time.Millisecond)))
		return
	}
	if dead := d.silent(c.now.Now, time.Duration(c.Status.diskDone.Load())); dead > c.Limits.DiskStall {
		c.Fail(fmt.Errorf("%w: it has not finished a write for %v; what was acknowledged is safe, anything else is unknown", ErrDisk, dead.Round(time.Millisecond)))
		return
	}
	stalled := d.stalled(c.now.Now)
	if stalled <= 2*c.ElectionTimeout || c.soft.RaftState != raft.StateLeader {
		return
	}
	_, goal := d.underWay()
	faster := map[uint64]bool{}
	c.raft.WithProgress(func(id uint64, _ raft.ProgressType, p tracker.Progress) {
		faster[id] = id != c.Member && p.Match >= goal && d.overtaken(id, goal, c.now.Now)
	})
	if !quorumOf(c.membership.confState.GetVoters(), faster) || !quorumOf(c.membership.confState.GetVotersOutgoing(), faster) {
		return
	}
	c.transferLeadership(fmt.Sprintf("its disk has been writing for %v", (c.now.Now-d.begun()).Round(time.Millisecond)), func(id uint64, _ tracker.Progress) bool {
		return faster[id]
	})
}

// watchOthers follows the progress of the others' disks while this member leads.
func (d *diskWatch) watchOthers(c *core) {
	if c.soft.RaftState != raft.StateLeader {
		d.others = nil
		return
	}
	c.raft.WithProgress(func(id uint64, _ raft.ProgressType, p tracker.Progress) {
		if id != c.Member {
			d.progressed(id, p.Match, c.now.Now)
		}
	})
}

// quorumOf reports whether a quorum of the given voters, if there are any, is in a set.
func quorumOf(voters []uint64, among map[uint64]bool) bool {
	n := 0
	for _, id := range voters {
		if among[id] {
			n++
		}
	}
	return n > len(voters)/2 || len(voters) == 0
}
