package watch

import (
	"slices"
	"time"

	"github.com/tidwall/btree"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
)

// Hub is all watches of a member. It is for one goroutine.
//
//  1. A subscription is in one place, and its place is where it says.
//  2. Those in a pass have been told of everything before the place of the pass; all others of everything before their cursor.
//  3. Waiting are those behind live that no walk has come to, and those that begin in the future.
//  4. A stream's level counts its subscriptions in live.
type Hub struct {
	limits limits.Watches

	streams map[kv.WatchStream]*stream
	order   []*stream // the same, in no order that matters, but in the same one in each run
	watches int
	number  uint64

	live, sweep *pass
	waiting     *btree.BTreeG[*subscription] // by cursor
	keys        []*subscription              // behind, of one key each; those that are not in this place any more are skipped
	ended       []*stream                    // whose subscriptions are not all taken out
	asking      []*stream                    // that wait for progress

	now     time.Duration
	encoded []encoding // of the change that is looked at
	matched []*group   // that watch its key
}

// stream is one stream's watches.
type stream struct {
	to            kv.WatchStream
	watches       map[uint64]*subscription
	subscriptions []*subscription
	blocked       []*subscription // wait for room; those that are not in this place any more are skipped
	level         int
	notified      int // subscriptions that want progress
	asks          bool
	gone          bool
	slot          int // in order
}

// encoding is a change as one kind of groups gets it.
type encoding struct {
	format *kv.WatchFormat
	prevKV bool
	bytes  []byte
}

// NewHub returns a hub without watches. The seed is any number that clients cannot know.
func NewHub(l limits.Watches, seed uint64) *Hub {
	return &Hub{
		limits: l, streams: map[kv.WatchStream]*stream{}, live: newPass(seed), sweep: newPass(^seed),
		waiting: btree.NewBTreeGOptions(func(a, b *subscription) bool {
			if c := a.cursor.Compare(b.cursor); c != 0 {
				return c < 0
			}
			return a.number < b.number
		}, btree.Options{NoLocks: true}),
	}
}

// Watches returns how many watches there are.
func (h *Hub) Watches() int { return h.watches }

// Request does what a stream asks for. The View is the newest one.
func (h *Hub) Request(v *index.View, to kv.WatchStream, r *kv.WatchRequest) {
	s := h.streams[to]
	if s == nil {
		if r.Kind != kv.WatchCreate {
			return // all that is asked for needs a watch
		}
		s = &stream{to: to, watches: map[uint64]*subscription{}, slot: len(h.order)}
		h.streams[to] = s
		h.order = append(h.order, s)
	}
	switch r.Kind {
	case kv.WatchCreate:
		h.create(v, s, r)
	case kv.WatchCancel:
		if one := s.watches[r.ID]; one != nil {
			h.cancel(one, r.ID)
			s.to.Deliver(&kv.WatchDelivery{Kind: kv.WatchCanceled, IDs: []uint64{r.ID}, Revision: h.told()})
		}
	case kv.WatchProgress:
		if !s.asks && len(s.watches) > 0 {
			s.asks = true
			h.asking = append(h.asking, s)
		}
	case kv.WatchRoom:
		h.room(s)
	case kv.WatchEnd:
		h.end(s)
	}
}

// EndAll ends all streams, and tells them why.
func (h *Hub) EndAll(why *kv.Error) {
	for len(h.order) > 0 {
		s := h.order[len(h.order)-1]
		s.to.Deliver(&kv.WatchDelivery{Kind: kv.WatchEnded, Revision: h.told(), Err: why})
		h.end(s)
	}
}

// told is the revision up to which live is.
func (h *Hub) told() int64 { return h.live.at.Revision - 1 }

func (h *Hub) create(v *index.View, s *stream, r *kv.WatchRequest) {
	if s.watches[r.ID] != nil {
		s.to.Deliver(&kv.WatchDelivery{
			Kind: kv.WatchCanceled, Revision: v.Revision(),
			Err: kv.Errorf(kv.BadRequest, "watch %d is there already: the ids of the watches of one stream are different", r.ID),
		})
		return
	}
	w := &r.Watch
	h.number++
	one := &subscription{
		spec: spec{
			key: string(w.Key), end: string(w.End), prevKV: w.PrevKV, progress: w.ProgressNotify, noPut: w.NoPut, noDelete: w.NoDelete,
			format: s.to.Format(),
		},
		stream: s, ids: []uint64{r.ID}, cursor: index.Position{Revision: w.Revision}, number: h.number, told: int64(h.now),
	}
	if w.Revision == 0 {
		one.cursor.Revision = v.Revision() + 1
	}
	s.watches[r.ID] = one
	h.watches++
	h.list(one)
	s.to.Deliver(&kv.WatchDelivery{Kind: kv.WatchCreated, IDs: one.ids, Revision: v.Revision()})
	if one.cursor.Revision < v.Compacted() {
		h.compacted(one, v)
		return
	}
	if h.live.count == 0 && h.waiting.Len() == 0 {
		h.skip(v)
	}
	h.put(one)
}

// skip lets live, in which nobody is, go on without a walk.
func (h *Hub) skip(v *index.View) {
	if now := (index.Position{Revision: v.Revision() + 1}); h.live.at.Compare(now) < 0 {
		h.live.at = now
	}
}

// list notes a subscription in its stream.
func (h *Hub) list(one *subscription) {
	s := one.stream
	one.listed = len(s.subscriptions)
	s.subscriptions = append(s.subscriptions, one)
	if one.progress {
		s.notified++
	}
}

// unlist forgets it.
func (h *Hub) unlist(one *subscription) {
	s, last := one.stream, len(one.stream.subscriptions)-1
	moved := s.subscriptions[last]
	s.subscriptions[one.listed], moved.listed = moved, one.listed
	s.subscriptions[last] = nil
	s.subscriptions = s.subscriptions[:last]
	if one.progress {
		s.notified--
	}
}

// put puts a subscription that is nowhere where its cursor belongs.
func (h *Hub) put(one *subscription) {
	switch c := one.cursor.Compare(h.live.at); {
	case c == 0:
		h.enter(h.live, one, inLive)
	case c < 0 && one.end == "" && !one.byPass:
		one.place = inKeys
		h.keys = append(h.keys, one)
	default:
		one.place = inWaiting
		h.waiting.Set(one)
	}
}

// enter puts a subscription into the pass that is at its cursor.
func (h *Hub) enter(p *pass, one *subscription, as place) {
	if one.stream.gone || p.add(one) != one {
		h.unlist(one)
		return
	}
	if one.place = as; as == inLive {
		one.stream.level++
	}
}

// leave takes a subscription from where it is.
func (h *Hub) leave(one *subscription) {
	switch one.place {
	case inLive:
		h.live.remove(one)
		one.stream.level--
	case inSweep:
		h.sweep.remove(one)
	case inWaiting:
		h.waiting.Delete(one)
	}
	one.place = nowhere
}

// cancel ends one watch.
func (h *Hub) cancel(one *subscription, id uint64) {
	delete(one.stream.watches, id)
	h.watches--
	if len(one.ids) == 1 {
		h.drop(one)
		return
	}
	others := make([]uint64, 0, len(one.ids)-1)
	for _, other := range one.ids {
		if other != id {
			others = append(others, other)
		}
	}
	one.ids = others
}

// drop ends a subscription whose watches are not there any more.
func (h *Hub) drop(one *subscription) {
	h.leave(one)
	h.unlist(one)
}

// compacted cancels the watches of a subscription whose cursor is compacted.
func (h *Hub) compacted(one *subscription, v *index.View) {
	h.drop(one)
	for _, id := range one.ids {
		delete(one.stream.watches, id)
	}
	h.watches -= len(one.ids)
	one.stream.to.Deliver(&kv.WatchDelivery{
		Kind: kv.WatchCanceled, IDs: one.ids, Revision: one.cursor.Revision - 1, Compacted: v.Compacted(),
		Err: kv.Errorf(kv.Compacted, "revision %d was compacted, the oldest that can be watched is %d", one.cursor.Revision, v.Compacted()),
	})
}

// block has a subscription wait until its stream takes more.
func (h *Hub) block(one *subscription) {
	h.limits.Reach("watch room")
	one.place = inBlocked
	one.stream.blocked = append(one.stream.blocked, one)
}

// room puts those that waited for room back.
func (h *Hub) room(s *stream) {
	blocked := s.blocked
	s.blocked = nil
	for _, one := range blocked {
		if one.place == inBlocked {
			one.place = nowhere
			h.put(one)
		}
	}
}

// end forgets a stream. Its subscriptions are taken out in steps.
func (h *Hub) end(s *stream) {
	delete(h.streams, s.to)
	last := len(h.order) - 1
	moved := h.order[last]
	h.order[s.slot], moved.slot = moved, s.slot
	h.order[last] = nil
	h.order = h.order[:last]
	h.watches -= len(s.watches)
	s.gone, s.watches = true, nil
	h.ended = append(h.ended, s)
}

// Step tells watches of what there is, as far as one step goes. Resting, it leaves out those that are behind. It returns
// whether more is to be done.
func (h *Hub) Step(now time.Duration, v *index.View, resting bool) (again bool) {
	h.now = now
	work := h.limits.StepWork
	if h.live.count == 0 {
		h.skip(v)
	}
	h.follow(v, &work)
	if !resting {
		work = h.limits.StepWork
		if h.removeEnded(&work); h.live.count == 0 {
			h.skip(v)
		}
		h.catchUp(v, &work)
	}
	h.tellProgress()
	again = h.behindWaits() || h.sweep.count > 0 || len(h.keys) > 0 || len(h.ended) > 0 || h.live.count > 0 && h.told() < v.Revision()
	if again {
		h.limits.Reach("watch step")
	}
	return again
}

// behindWaits says whether any of those that wait is not one of the future.
func (h *Hub) behindWaits() bool {
	first, ok := h.waiting.Min()
	return ok && first.cursor.Compare(h.live.at) <= 0
}

// follow brings live to the newest revision.
func (h *Hub) follow(v *index.View, work *int) {
	for *work > 0 {
		if !h.takeOn(h.live, inLive, work) || h.live.count == 0 {
			break
		}
		at := h.live.at
		h.walk(h.live, v, h.nextJoin(h.live.at), work)
		if h.live.at == at {
			break
		}
	}
	if h.live.count == 0 {
		h.skip(v)
	}
}

// catchUp brings those that are behind nearer to live.
func (h *Hub) catchUp(v *index.View, work *int) {
	h.catchUpKeys(v, work)
	for *work > 0 {
		if h.sweep.count == 0 {
			first, ok := h.waiting.Min()
			if !ok || first.cursor.Compare(h.live.at) >= 0 {
				return
			}
			h.sweep.at = first.cursor
		}
		if !h.takeOn(h.sweep, inSweep, work) {
			return
		}
		if h.sweep.at == h.live.at {
			h.handOver(work)
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

// never is behind all places.
var never = index.Position{Revision: 1<<63 - 1}

// nextJoin is the first place behind at where one waits.
func (h *Hub) nextJoin(at index.Position) index.Position {
	next := never
	h.waiting.Ascend(&subscription{cursor: at, number: 1<<64 - 1}, func(one *subscription) bool {
		next = one.cursor
		return false
	})
	return next
}

// takeOn takes those on that wait where a pass is. It returns false when there is more to do than there is time.
func (h *Hub) takeOn(p *pass, as place, work *int) bool {
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

// handOver moves subscriptions from the sweep to live, which is at the same place.
func (h *Hub) handOver(work *int) {
	for len(h.sweep.list) > 0 && *work > 0 {
		subscriptions := h.sweep.list[len(h.sweep.list)-1].subscriptions
		one := subscriptions[len(subscriptions)-1]
		h.leave(one)
		h.enter(h.live, one, inLive)
		*work -= joinWork
	}
}

// What things cost, in units of about 100 ns.
const (
	joinWork    = 8 // a subscription joins a pass
	changeWork  = 1 // a change is looked at
	encodeWork  = 4 // it is encoded, and each 256 bytes of it
	deliverWork = 4 // a body is delivered to one stream
	keyWork     = 20
)

// walk tells a pass of the changes from its place to another one, as far as there is time.
func (h *Hub) walk(p *pass, v *index.View, to index.Position, work *int) {
	next, err := v.Changes(p.at, func(c *index.Change) bool {
		*work -= changeWork
		h.collect(p, c, work)
		behind := c.Behind()
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
	p.at = next
	for _, g := range p.touched {
		if g.touched {
			h.flush(p, g, next, work)
		}
	}
	clear(p.touched)
	p.touched = p.touched[:0]
}

// revisionWork is how many steps longer a step may be so that a revision is not split.
const revisionWork = 3

// collect adds a change to what the groups that watch its key are told.
func (h *Hub) collect(p *pass, c *index.Change, work *int) {
	h.matched = p.of(c.KV.Key, h.matched[:0])
	if len(h.matched) == 0 {
		return
	}
	clear(h.encoded)
	h.encoded = h.encoded[:0]
	for _, g := range h.matched {
		if !g.wants(c) {
			continue
		}
		event := h.encode(g, c, work)
		p.touch(g, index.Position{Revision: c.KV.ModRevision, Sub: c.Sub})
		if g.count == 0 {
			g.body = event[:len(event):len(event)] // it is shared
		} else {
			g.body = append(g.body, event...)
			*work -= len(event) / 1024
		}
		g.count++
		g.newest = c.KV.ModRevision
		*work -= changeWork
		if behind := c.Behind(); len(g.body) >= h.limits.FragmentBytes || behind.Sub == 0 && len(g.body) >= h.limits.FrameBytes {
			h.flush(p, g, behind, work)
		}
	}
	clear(h.matched)
}

// encode returns a change as a group gets it.
func (h *Hub) encode(g *group, c *index.Change, work *int) []byte {
	for i := range h.encoded {
		if e := &h.encoded[i]; e.format == g.format && e.prevKV == g.prevKV {
			return e.bytes
		}
	}
	event := appendChange(nil, g.spec, c)
	h.encoded = append(h.encoded, encoding{g.format, g.prevKV, event})
	*work -= encodeWork + len(event)/256
	return event
}

func appendChange(dst []byte, s spec, c *index.Change) []byte {
	var before *kv.KeyValue
	if s.prevKV {
		if pair, ok := c.Before(); ok {
			before = &pair
		}
	}
	return s.format.Append(dst, &c.Event, before)
}

// flush delivers what was collected for a group before a place.
func (h *Hub) flush(p *pass, g *group, behind index.Position, work *int) {
	fragment := behind.Sub > 0 && g.count > 0 && g.newest == behind.Revision
	d := &kv.WatchDelivery{
		Kind: kv.WatchEvents, Revision: behind.Revision - 1, Events: g.body, Count: g.count, Fragment: fragment,
	}
	for i := len(g.subscriptions) - 1; i >= 0; i-- {
		if one := g.subscriptions[i]; !h.deliver(one, d) {
			from := g.from
			h.leave(one)
			one.cursor = from
			h.block(one)
		}
	}
	*work -= deliverWork * len(g.subscriptions)
	if g.body, g.count, g.touched = nil, 0, false; fragment {
		p.leaveOpen(g)
	} else {
		g.open = false
	}
}

// deliver delivers to a subscription, and says whether its stream took it.
func (h *Hub) deliver(one *subscription, d *kv.WatchDelivery) bool {
	if one.stream.gone {
		return true
	}
	own := *d
	own.IDs = one.ids
	if !one.stream.to.Deliver(&own) {
		return false
	}
	one.told = int64(h.now)
	return true
}

// cancelAll cancels all watches of a pass whose place is compacted.
func (h *Hub) cancelAll(p *pass, v *index.View) {
	for _, s := range h.order {
		for i := len(s.subscriptions) - 1; i >= 0; i-- {
			one := s.subscriptions[i]
			if p == h.live && one.place == inLive || p == h.sweep && one.place == inSweep {
				one.cursor = p.at
				h.compacted(one, v)
			}
		}
	}
	for _, g := range p.touched { // of streams that are gone
		g.body, g.count, g.touched = nil, 0, false
	}
	p.touched, p.open = nil, nil
}

// catchUpKeys brings watches of one key up by the versions of the key.
func (h *Hub) catchUpKeys(v *index.View, work *int) {
	for len(h.keys) > 0 && *work > 0 {
		one := h.keys[0]
		if one.place == inKeys && !one.stream.gone && !h.catchUpKey(v, one, work) {
			continue
		}
		h.keys[0] = nil
		h.keys = h.keys[1:]
	}
	if len(h.keys) == 0 {
		h.keys = nil
	}
}

// catchUpKey does that for one subscription, and says whether it is done.
func (h *Hub) catchUpKey(v *index.View, one *subscription, work *int) bool {
	d := kv.WatchDelivery{Kind: kv.WatchEvents, Revision: v.Revision()}
	behind := index.Position{Revision: v.Revision() + 1}
	done := true
	*work -= keyWork
	ok, err := v.KeyChanges([]byte(one.key), one.cursor, h.limits.KeyVersions, func(c *index.Change) bool {
		g := group{spec: one.spec}
		if *work -= changeWork; g.wants(c) {
			before := len(d.Events)
			d.Events = appendChange(d.Events, one.spec, c)
			d.Count++
			*work -= encodeWork + (len(d.Events)-before)/256
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
		one.place, one.byPass = nowhere, true
		h.put(one)
		return true
	case d.Count > 0 || one.open:
		if !h.deliver(one, &d) {
			h.block(one)
			return true
		}
		one.open = false
		*work -= deliverWork
	}
	if one.cursor = behind; done {
		one.place = nowhere
		h.put(one)
	}
	return done
}

// removeEnded takes the subscriptions of streams out that are gone.
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

// tellProgress answers the streams that asked how far they are, as soon as all of their watches are level.
func (h *Hub) tellProgress() {
	h.asking = slices.DeleteFunc(h.asking, func(s *stream) bool {
		switch {
		case s.gone || len(s.watches) == 0:
		case s.level == len(s.subscriptions) && h.live.at.Sub == 0:
			s.to.Deliver(&kv.WatchDelivery{Kind: kv.WatchProgressed, Revision: h.told()})
		default:
			return false
		}
		s.asks = false
		return true
	})
}

// Notify tells watches that want it, and have heard nothing for an interval, up to which revision there is nothing.
func (h *Hub) Notify(now, interval time.Duration) {
	h.now = now
	if h.live.at.Sub > 0 {
		return
	}
	d := kv.WatchDelivery{Kind: kv.WatchProgressed, Revision: h.told()}
	for _, s := range h.order {
		for i := 0; s.notified > 0 && i < len(s.subscriptions); i++ {
			if one := s.subscriptions[i]; one.progress && one.place == inLive && now-time.Duration(one.told) >= interval {
				h.deliver(one, &d)
			}
		}
	}
}
