package watch

import (
	"math"
	"slices"
	"time"

	"qkv/index"
	"qkv/index/kv"
)

// Step does one step of delivering the changes up to the View. If resting, it leaves lagging subscriptions out. It
// returns whether there is more to do.
func (h *Hub) Step(now time.Duration, v *index.View, resting bool) (again bool) {
	h.now, h.sent = now, 0
	h.cancelForbidden(v)
	work := h.limits.StepWork
	if h.live.count == 0 {
		h.skip(v)
	}
	h.stepLive(v, &work)
	if !resting {
		work = h.limits.StepWork
		if h.removeEnded(&work); h.live.count == 0 {
			h.skip(v)
		}
		h.catchUp(v, &work)
	}
	h.answerProgress()
	waits := h.values.waits()
	lagging := h.Behind() && !(waits && (h.sweep.stuck || h.keysStuck))
	again = lagging || len(h.ended) > 0 || h.live.count > 0 && !(waits && h.live.stuck) && h.delivered() < v.Revision()
	if again {
		h.limits.Reach("watch step")
	}
	return again
}

// Behind says whether any watch lags behind the live pass.
func (h *Hub) Behind() bool { return h.sweep.count > 0 || len(h.keys) > 0 || h.hasLaggingWaiter() }

// hasLaggingWaiter says whether any waiting subscription is not in the future.
func (h *Hub) hasLaggingWaiter() bool {
	first, ok := h.waiting.Min()
	return ok && first.cursor.Compare(h.live.at) <= 0
}

// stepLive moves the live pass toward the newest revision.
func (h *Hub) stepLive(v *index.View, work *int) {
	for *work > 0 {
		if !h.joinWaiting(h.live, inLive, work) || h.live.count == 0 {
			break
		}
		at := h.live.at
		h.walk(h.live, v, h.nextJoin(h.live.at), work)
		left := math.MaxInt
		h.deliverAll(h.live, &left)
		*work -= math.MaxInt - left
		if h.live.at == at {
			break
		}
	}
	if h.live.count == 0 {
		h.skip(v)
	}
}

// catchUp moves lagging subscriptions toward the live pass: those of a single key by its versions, the others by the sweep.
func (h *Hub) catchUp(v *index.View, work *int) {
	h.catchUpKeys(v, work)
	for *work > 0 {
		if h.sweep.count == 0 {
			first, ok := h.waiting.Min()
			if !ok || first.cursor.Compare(h.live.at) >= 0 {
				return
			}
			h.sweep.at, h.begun, h.newest = first.cursor, first.cursor, v.Revision()
		}
		if h.sweep.due && !h.deliverAll(h.sweep, work) || !h.joinWaiting(h.sweep, inSweep, work) {
			return
		}
		if h.sweep.at == h.live.at {
			h.promoteSweep(work)
			continue
		}
		to := h.live.at
		if next := h.nextJoin(h.sweep.at); next.Compare(to) < 0 {
			to = next
		}
		at := h.sweep.at
		if h.walk(h.sweep, v, to, work); h.sweep.at == at && h.sweep.count > 0 {
			return
		}
	}
}

// never is after all positions.
var never = index.Position{Revision: 1<<63 - 1}

// nextJoin returns the first position after at where a subscription waits.
func (h *Hub) nextJoin(at index.Position) index.Position {
	next := never
	h.waiting.Ascend(&subscription{cursor: at, number: 1<<64 - 1}, func(one *subscription) bool {
		next = one.cursor
		return false
	})
	return next
}

// joinWaiting adds the subscriptions that wait at a pass's position to it. It returns false if the work budget ends first.
func (h *Hub) joinWaiting(p *pass, as queue, work *int) bool {
	for *work > 0 {
		var one *subscription
		h.waiting.Ascend(&subscription{cursor: p.at}, func(first *subscription) bool {
			one = first
			return false
		})
		if one == nil || one.cursor != p.at {
			return true
		}
		h.leave(one)
		h.enter(p, one, as)
		*work -= joinWork
	}
	return false
}

// promoteSweep moves subscriptions from the sweep to the live pass, which is at the same position.
func (h *Hub) promoteSweep(work *int) {
	for len(h.sweep.list) > 0 && *work > 0 {
		subscriptions := h.sweep.list[len(h.sweep.list)-1].subscriptions
		one := subscriptions[len(subscriptions)-1]
		h.leave(one)
		h.enter(h.live, one, inLive)
		*work -= joinWork
	}
}

// The costs in units of about 100 ns.
const (
	joinWork    = 8  // a subscription joins a pass
	changeWork  = 1  // a change is examined
	encodeWork  = 4  // a change is encoded, and each 256 bytes of it
	deliverWork = 4  // a body is delivered to one stream
	keyWork     = 20 // a watch of a single key is brought up, besides its changes
	// bytes sent to a lagging subscription per unit: encryption and system calls in the stream's goroutines
	sentWork = 8
)

// catchUpKeys brings subscriptions of a single key up by the key's versions.
func (h *Hub) catchUpKeys(v *index.View, work *int) {
	h.keysStuck = false
	for at := 0; at < len(h.keys) && *work > 0; {
		one := h.keys[at]
		if one.queue == inKeys && !one.stream.gone && !h.catchUpKey(v, one, work) {
			if !h.keyStuck {
				continue
			}
			if h.keysStuck = true; h.values.full() {
				break
			}
			at++ // others may have their values, or need more
			continue
		}
		if at > 0 {
			h.keys = slices.Delete(h.keys, at, at+1)
			continue
		}
		h.keys[0] = nil
		h.keys = h.keys[1:]
	}
	if len(h.keys) == 0 {
		h.keys = nil
	}
}

// catchUpKey brings one subscription up, as far as the work budget allows, and says whether it is done with it.
func (h *Hub) catchUpKey(v *index.View, one *subscription, work *int) bool {
	d := kv.WatchDelivery{Kind: kv.WatchEvents, Revision: v.Revision()}
	behind := index.Position{Revision: v.Revision() + 1}
	done := true
	var unreadable error
	newest := int64(0) // the revision of the last event
	*work -= keyWork
	h.keyStuck = false
	ok, err := v.KeyChanges([]byte(one.key), one.cursor, h.limits.KeyVersions, func(c *index.Change) bool {
		g := group{spec: one.spec}
		*work -= changeWork
		if wants := g.wants(c); wants {
			before, here, failed := h.fetch(c, one.prevKV)
			err := failed.errorFor(&one.spec)
			if (!here || err != nil) && done {
				done, h.keyStuck, unreadable = false, !here, err
				behind = index.Position{Revision: c.KV.ModRevision, Sub: c.Sub}
				d.Revision = behind.Revision - 1
			}
			if h.keyStuck { // look ahead
				return *work > 0 && !h.values.full()
			}
			if unreadable != nil {
				return false
			}
			size := len(d.Events)
			newest = c.KV.ModRevision
			d.Events = one.append(d.Events, c, before)
			d.Count++
			*work -= encodeWork + (len(d.Events)-size)/256
		} else if h.keyStuck {
			return *work > 0
		}
		if done = !c.Last || *work > 0 && len(d.Events) < h.limits.FrameBytes; !done {
			behind = c.Behind()
			d.Revision = behind.Revision - 1
		}
		return done
	})
	switch {
	case err != nil:
		h.compacted(one, v)
		return true
	case !ok:
		one.queue, one.byPass = nowhere, true
		h.schedule(one)
		return true
	case d.Count > 0 || one.open && behind.Revision > one.cursor.Revision:
		if d.Fragment = behind.Sub > 0 && newest == behind.Revision; !h.deliver(one, &d) {
			h.block(one)
			return true
		}
		one.open = d.Fragment
		*work -= deliverWork + len(d.Events)/sentWork
	}
	if one.cursor = behind; unreadable != nil {
		h.cancelUnreadable(one, behind.Revision-1, unreadable)
		return true
	}
	if done {
		one.queue = nowhere
		h.schedule(one)
	}
	return done
}

// removeEnded removes the subscriptions of streams that have ended.
func (h *Hub) removeEnded(work *int) {
	for len(h.ended) > 0 {
		s := h.ended[0]
		for len(s.subscriptions) > 0 {
			if *work <= 0 {
				return
			}
			h.drop(s.subscriptions[len(s.subscriptions)-1])
			*work -= joinWork
		}
		h.ended = slices.Delete(h.ended, 0, 1)
	}
}

// answerProgress answers the streams that asked for progress, as soon as all their watches have caught up.
func (h *Hub) answerProgress() {
	h.asking = slices.DeleteFunc(h.asking, func(s *stream) bool {
		switch {
		case s.gone || len(s.watches) == 0:
		case s.level == len(s.subscriptions) && h.live.at.Sub == 0:
			s.to.Deliver(&kv.WatchDelivery{Kind: kv.WatchProgressed, Revision: h.delivered()})
		default:
			return false
		}
		s.asks = false
		return true
	})
}

// Notify sends progress to watches that want it and have received nothing for an interval: the revision up to which there
// are no more events.
func (h *Hub) Notify(now, interval time.Duration) {
	h.now = now
	if h.live.at.Sub > 0 {
		return
	}
	d := kv.WatchDelivery{Kind: kv.WatchProgressed, Revision: h.delivered()}
	for _, s := range h.order {
		for i := 0; s.notified > 0 && i < len(s.subscriptions); i++ {
			if one := s.subscriptions[i]; one.progress && one.queue == inLive && now-time.Duration(one.lastDelivery) >= interval {
				h.deliver(one, &d)
			}
		}
	}
}
