package watch

import (
	"slices"

	"qkv/index"
	"qkv/index/kv"
)

// walk passes the changes from the pass's position up to another one to the groups, as far as the work budget allows.
// Where a value is in files and not here, the walk stops; it looks ahead for other values that will be needed.
func (h *Hub) walk(p *pass, v *index.View, to index.Position, work *int) {
	p.stuck = false
	stop := p.at
	next, err := v.Changes(p.at, func(c *index.Change) bool {
		*work -= changeWork
		behind := c.Behind()
		if p.stuck {
			_, _, _ = h.match(p, c)
			return *work > 0 && !h.values.full() && behind.Compare(to) < 0
		}
		if !h.collect(p, c, work) {
			p.stuck, stop = true, index.Position{Revision: c.KV.ModRevision, Sub: c.Sub}
			return *work > 0 && !h.values.full()
		}
		if behind.Sub == 0 {
			if len(p.open) > 0 {
				p.closeRevision(behind)
			}
			return *work > 0 && behind.Compare(to) < 0
		}
		return *work > -revisionWork*h.limits.StepWork && behind.Compare(to) < 0
	})
	if err != nil {
		h.cancelAll(p, v)
		return
	}
	if p.at = next; p.stuck {
		p.at = stop
	}
	p.due = p == h.live || p.at == h.live.at || p.pending >= h.limits.PendingBytes
}

// deliverAll delivers the collected events of a pass. It returns false if the work budget ends first.
func (h *Hub) deliverAll(p *pass, work *int) bool {
	for n := len(p.touched) - 1; n >= 0; n-- {
		if *work <= 0 {
			return false
		}
		g := p.touched[n]
		p.touched[n] = nil
		p.touched = p.touched[:n]
		if g.touched {
			h.flush(p, g, p.at, work)
		}
	}
	p.due = false
	return true
}

// revisionWork is how many times StepWork a step may exceed its budget so as not to split a revision.
const revisionWork = 3

// match finds the groups that want a change, and completes it for them as fetch does.
func (h *Hub) match(p *pass, c *index.Change) (before *kv.KeyValue, here bool, failed unread) {
	h.matched = p.groupsOf(c.KV.Key, h.matched[:0])
	if len(h.matched) == 0 {
		return nil, true, failed
	}
	prevKV := false
	h.matched = slices.DeleteFunc(h.matched, func(g *group) bool {
		wants := g.wants(c)
		prevKV = prevKV || wants && g.prevKV
		return !wants
	})
	if len(h.matched) == 0 {
		return nil, true, failed
	}
	return h.fetch(c, prevKV)
}

// collect adds a change to the bodies of the groups that watch its key. It returns false if a value is missing; then it did nothing.
func (h *Hub) collect(p *pass, c *index.Change, work *int) (here bool) {
	var failed unread
	if h.before, here, failed = h.match(p, c); !here || len(h.matched) == 0 {
		return here
	}
	clear(h.encoded)
	h.encoded = h.encoded[:0]
	for _, g := range h.matched {
		if err := failed.errorFor(&g.spec); err != nil {
			h.unreadable(p, g, index.Position{Revision: c.KV.ModRevision, Sub: c.Sub}, err, work)
			continue
		}
		event := h.encode(g, c, work)
		p.touch(g, index.Position{Revision: c.KV.ModRevision, Sub: c.Sub})
		if g.count == 0 {
			g.body = event[:len(event):len(event)] // the event's bytes are shared with other groups
		} else {
			g.body = append(g.body, event...)
			*work -= len(event) / 1024
		}
		p.pending += len(event)
		g.count++
		g.newest = c.KV.ModRevision
		*work -= changeWork
		if behind := c.Behind(); len(g.body) >= h.limits.FragmentBytes || behind.Sub == 0 && len(g.body) >= h.limits.FrameBytes {
			h.flush(p, g, behind, work)
		}
	}
	clear(h.matched)
	return true
}

// encode returns a change encoded for a group.
func (h *Hub) encode(g *group, c *index.Change, work *int) []byte {
	for i := range h.encoded {
		if e := &h.encoded[i]; e.format == g.format && e.prevKV == g.prevKV {
			return e.bytes
		}
	}
	event := g.append(nil, c, h.before)
	h.encoded = append(h.encoded, encoding{g.format, g.prevKV, event})
	*work -= encodeWork + len(event)/256
	return event
}

func (s *spec) append(dst []byte, c *index.Change, before *kv.KeyValue) []byte {
	if !s.prevKV {
		before = nil
	}
	return s.format.Append(dst, &c.Event, before)
}

// flush delivers a group's collected events before a position.
func (h *Hub) flush(p *pass, g *group, behind index.Position, work *int) {
	fragment := behind.Sub > 0 && g.count > 0 && g.newest == behind.Revision
	d := &kv.WatchDelivery{
		Kind: kv.WatchEvents, Revision: behind.Revision - 1, Events: g.body, Count: g.count, Fragment: fragment,
	}
	each := deliverWork
	if p == h.sweep {
		each += len(g.body) / sentWork
		h.sent += g.count * len(g.subscriptions)
	}
	p.pending -= len(g.body)
	g.body = nil
	*work -= each * len(g.subscriptions)
	for i := len(g.subscriptions) - 1; i >= 0; i-- {
		if one := g.subscriptions[i]; !h.deliver(one, d) {
			h.leave(one) // its cursor is where this body begins
			h.block(one)
		}
	}
	if g.body, g.count, g.touched = nil, 0, false; fragment {
		p.leaveOpen(g)
	} else {
		g.open = false
	}
}

// deliver delivers to a subscription, and says whether its stream accepted it.
func (h *Hub) deliver(one *subscription, d *kv.WatchDelivery) bool {
	if one.stream.gone {
		return true
	}
	own := *d
	own.IDs = one.ids
	if !one.stream.to.Deliver(&own) {
		return false
	}
	one.lastDelivery = int64(h.now)
	return true
}

// cancelAll cancels all watches of a pass whose position is compacted.
func (h *Hub) cancelAll(p *pass, v *index.View) {
	for _, s := range h.order {
		for i := len(s.subscriptions) - 1; i >= 0; i-- {
			one := s.subscriptions[i]
			if p == h.live && one.queue == inLive || p == h.sweep && one.queue == inSweep {
				one.cursor = p.at
				h.compacted(one, v)
			}
		}
	}
	for _, g := range p.touched { // groups of streams that have ended
		g.body, g.count, g.touched = nil, 0, false
	}
	p.touched, p.open, p.pending, p.due = nil, nil, 0, false
}
