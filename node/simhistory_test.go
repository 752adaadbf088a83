package node

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"qkv/index/kv"
)

// cramp is a member whose machine holds little, by number. 0 bytes are a large machine.
type cramp struct {
	member       int
	disk, memory int64
}

// drawCramped draws members with small disks, with disks that another program fills later, and with little memory: a minority of them,
// or more. In such a life no client compacts, so that nothing but the settings and these machines bounds the history.
func drawCramped(r *rand.Rand, s *shape) {
	if s.calm || s.spares > 0 || s.liar != nil && s.liar.alone || r.IntN(3) > 0 {
		return
	}
	s.limits.HistoryEvery = pick(r, time.Second, 3*time.Second, time.Hour)
	if r.IntN(3) > 0 {
		s.quota = 0
	}
	if r.IntN(2) == 0 {
		s.limits.HistoryRevisions = 0
	}
	if r.IntN(3) == 0 {
		s.historyBytes = int64(logUniform(r, 256<<10, 1<<20))
	}
	if r.IntN(3) == 0 {
		s.historyAge = logUniform(r, 4*time.Second, 20*time.Second)
	}
	for _, member := range r.Perm(s.members)[:1+r.IntN(s.members)] {
		c := cramp{member: member}
		switch r.IntN(3) {
		case 0:
			c.disk = int64(logUniform(r, 1<<20, 8<<20))
		case 1:
			c.memory = int64(logUniform(r, 64<<10, 1<<20))
		default:
			s.faults = append(s.faults, fault{
				kind: occupyDisk, member: member, strength: r.Float64(), at: time.Second/2 + time.Duration(r.Int64N(int64(s.faulty-time.Second))),
			})
		}
		s.cramped = append(s.cramped, c)
	}
}

// cramp gives the members of a shape their machines. A lying member may report a small one.
func (w *world) cramp() {
	if l := w.shape.liar; l != nil {
		w.hosts[l.member].cramped = true
	}
	for _, c := range w.shape.cramped {
		h := w.hosts[c.member]
		h.cramped, h.memory = true, c.memory
		if c.disk > 0 {
			h.disk.SetCapacity(c.disk)
		}
	}
}

// keepsHistory checks that each member serves all revisions that the settings keep, where a quorum of the members has had disks and
// memory for them all the time.
func (w *world) keepsHistory() {
	sound := w.sound()
	cramped, all := 0, w.members()
	for _, h := range all {
		if h.cramped {
			cramped++
		}
	}
	if 2*(len(all)-cramped) <= len(all) || w.shape.spares > 0 && cramped > 0 {
		w.totals.CrampedQuorums++
		return
	}
	if cramped > 0 {
		w.totals.CrampedMinorities++
	}
	oldest := w.oldestKept()
	for _, h := range sound {
		if !h.alive() {
			continue
		}
		if view := h.member.status.View(); view.Compacted() > oldest {
			w.failf("%s has lost the revisions from %d to %d, which the settings keep and a quorum has room for: %d of %d members are cramped", h.name(), oldest, view.Compacted()-1, cramped, len(all))
			return
		}
		if oldest >= 2 || len(w.watch.changes) > 0 {
			w.readAt(h, max(oldest, 2))
		}
	}
}

// readAt reads all keys at a revision from one member.
func (w *world) readAt(h *host, revision int64) {
	var o *operation
	// A refusal has another reason, such as an election, which is over soon.
	for until := w.sim.Now() + 20*w.shape.election; o == nil || w.sim.Now() < until; w.run(w.shape.election / 4) {
		c := &client{w: w, number: 2000 + h.number, at: h, user: user{name: kv.Root}, open: math.MaxInt}
		c.session = newSession(c, h)
		o = &operation{kind: opRead, client: c.number, member: h.name(), key: "k", end: "l", at: revision, invoked: w.history.moment()}
		w.history.operations = append(w.history.operations, o)
		c.session.confirm(o, clientTimeout)
		if w.until(2*clientTimeout, func() bool { return o.returned != 0 }); o.outcome == outcomeDone {
			w.totals.OldestRead++
			return
		}
		if o.code == kv.Compacted {
			break
		}
	}
	w.failf("%s does not serve the oldest revision that the settings keep: %v", h.name(), o)
}

// oldestKept returns the oldest revision that must be readable: what clients have compacted is gone, and what is beyond the settings may
// be. It is worked out from what members have shown, and leaves each bound the slack that its measure has.
func (w *world) oldestKept() (oldest int64) {
	newest := int64(len(w.watch.visible)) - 1
	for _, o := range w.history.operations {
		if o.kind == opCompact {
			oldest = max(oldest, o.at)
		}
	}
	if n := w.shape.limits.HistoryRevisions; n > 0 {
		oldest = max(oldest, newest-n/8*7)
	}
	if age := w.shape.historyAge; age > 0 { // clocks that differ take a part of it with each change of the leader
		i, _ := slices.BinarySearch(w.watch.shown, w.sim.Now()-age/4)
		oldest = max(oldest, min(int64(i), newest))
	}
	config := w.hosts[0].config
	bound := config.HistoryBytes
	if config.QuotaBytes > 0 {
		bound = min(bound, config.QuotaBytes/20)
	}
	return max(oldest, w.lightest(bound/8*7, newest))
}

// lightest returns the oldest revision from which on all changes, with the versions that they have superseded, weigh so much at most.
// Members measure a history in steps of 64 KiB and a millisecond.
func (w *world) lightest(bytes, newest int64) int64 {
	const step = 64 << 10
	weight := func(e event) int64 { return int64(64 + len(e.key) + len(e.value)) }
	before, costs, heaviest := map[string]event{}, map[int64]int64{}, int64(0)
	changes := slices.SortedStableFunc(slices.Values(w.watch.changes), func(a, b event) int { return int(a.revision - b.revision) })
	for _, e := range changes {
		cost := weight(e)
		if last, known := before[e.key]; known {
			cost += weight(last)
		}
		before[e.key] = e
		costs[e.revision] += cost
		heaviest = max(heaviest, costs[e.revision])
	}
	left, oldest := bytes-2*step-4*heaviest, newest+1
	for oldest > 2 && left >= costs[oldest-1] {
		oldest--
		left -= costs[oldest]
	}
	if oldest == 2 {
		return 0 // all of it
	}
	return min(oldest, newest)
}
