package watch

import (
	"time"

	"github.com/tidwall/btree"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
)

// Hub is all watches of a member. It is for one goroutine.
//
//  1. A subscription is in exactly one queue, as its field queue says.
//  2. Subscriptions in a pass have received everything before its position, except the body of their group. All others have
//     received everything before their cursor.
//  3. Waiting subscriptions lag and no walk has reached them, or they begin in the future.
//  4. A stream's level counts its subscriptions in the live pass.
type Hub struct {
	limits limits.Watches

	streams map[kv.WatchStream]*stream
	order   []*stream // the same streams; the order is arbitrary but deterministic
	watches int
	number  uint64

	live, sweep *pass
	waiting     *btree.BTreeG[*subscription] // by cursor
	// lagging, of a single key each; entries that have left this queue are skipped
	keys   []*subscription
	ended  []*stream // streams whose subscriptions are not all removed
	asking []*stream // streams that wait for progress

	sent    int            // events that this step sent to subscriptions in the sweep
	begun   index.Position // where the sweep began
	newest  int64          // the newest revision at that time
	now     time.Duration
	auth    *index.Auth  // the users and roles by which the watches were permitted
	encoded []encoding   // encodings of the current change
	matched []*group     // groups that want the current change
	before  *kv.KeyValue // its key before its revision, if one of them wants it and it was there
	values  values
	// keyStuck says that the last subscription of a single key needs a value that is in files, and keysStuck that one of them does.
	keyStuck, keysStuck bool
}

// stream is one stream's watches.
type stream struct {
	to            kv.WatchStream
	watches       map[uint64]*subscription
	subscriptions []*subscription
	blocked       []*subscription // wait until the stream accepts more; entries that have left this queue are skipped
	level         int
	notified      int // subscriptions that want progress
	asks          bool
	gone          bool
	slot          int // index in Hub.order
}

// encoding is a change encoded for the groups with one format and prevKV.
type encoding struct {
	format *kv.WatchFormat
	prevKV bool
	bytes  []byte
}

// NewHub returns a hub without watches. The seed must be unpredictable for clients.
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

// Watches returns the number of watches.
func (h *Hub) Watches() int { return h.watches }

// Request handles a stream's request. The View is the newest one.
func (h *Hub) Request(v *index.View, to kv.WatchStream, r *kv.WatchRequest) {
	if r.Kind == kv.WatchEcho {
		to.Deliver(&kv.WatchDelivery{Kind: kv.WatchEchoed})
		return
	}
	s := h.streams[to]
	if s == nil {
		if r.Kind != kv.WatchCreate {
			return // all other requests need a watch
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
			s.to.Deliver(&kv.WatchDelivery{Kind: kv.WatchCanceled, IDs: []uint64{r.ID}, Revision: h.delivered()})
		}
	case kv.WatchProgress:
		if !s.asks && len(s.watches) > 0 {
			s.asks = true
			h.asking = append(h.asking, s)
		}
	case kv.WatchRoom:
		h.unblock(s)
	case kv.WatchEnd:
		h.end(s)
	}
}

// EndAll ends all streams and delivers the reason to them.
func (h *Hub) EndAll(why *kv.Error) {
	for len(h.order) > 0 {
		s := h.order[len(h.order)-1]
		s.to.Deliver(&kv.WatchDelivery{Kind: kv.WatchEnded, Revision: h.delivered(), Err: why})
		h.end(s)
	}
}

// catchUpGain is how many revisions the sweep must gain for each written one before it can wait.
const catchUpGain = 4

// Sent returns how many events the last step sent to lagging subscriptions, counted once per receiving stream. ahead says
// that the sweep gains so much on the new writes that it can wait.
func (h *Hub) Sent(v *index.View) (events int, ahead bool) {
	return h.sent, h.sweep.at.Revision-h.begun.Revision >= catchUpGain*(v.Revision()-h.newest)
}

// delivered returns the revision that the live pass has reached.
func (h *Hub) delivered() int64 { return h.live.at.Revision - 1 }

func (h *Hub) create(v *index.View, s *stream, r *kv.WatchRequest) {
	if s.watches[r.ID] != nil {
		s.to.Deliver(&kv.WatchDelivery{
			Kind: kv.WatchCanceled, Revision: v.Revision(),
			Err: kv.Errorf(kv.BadRequest, "watch %d exists already: the watch ids of a stream must be unique", r.ID),
		})
		return
	}
	w := &r.Watch
	if err := v.Permits(r.By, kv.AccessRead, w); err != nil {
		s.to.Deliver(&kv.WatchDelivery{Kind: kv.WatchCanceled, IDs: []uint64{r.ID}, Revision: v.Revision(), Err: err})
		return
	}
	h.number++
	one := &subscription{
		spec: spec{
			key: string(w.Key), end: string(w.End), prevKV: w.PrevKV, progress: w.ProgressNotify, noPut: w.NoPut, noDelete: w.NoDelete,
			format: s.to.Format(),
		},
		stream: s, by: kv.Principal{Name: r.By.Name, Login: r.By.Login}, ids: []uint64{r.ID}, cursor: index.Position{Revision: w.Revision},
		number: h.number, lastDelivery: int64(h.now),
	}
	switch w.Revision {
	case 0:
		one.cursor.Revision = v.Revision() + 1
	case v.Compacted():
		one.since = w.Revision
	}
	s.watches[r.ID] = one
	h.watches++
	h.list(one)
	s.to.Deliver(&kv.WatchDelivery{Kind: kv.WatchCreated, IDs: one.ids, Revision: v.Revision()})
	if _, err := v.Watchable(one.cursor.Revision); err != nil {
		h.compacted(one, v)
		return
	}
	if h.live.count == 0 && h.waiting.Len() == 0 {
		h.skip(v)
	}
	h.schedule(one)
}

// skip moves a live pass without subscriptions to the newest revision, without a walk.
func (h *Hub) skip(v *index.View) {
	if now := (index.Position{Revision: v.Revision() + 1}); h.live.at.Compare(now) < 0 {
		h.live.at = now
	}
}

func (h *Hub) list(one *subscription) {
	s := one.stream
	one.listed = len(s.subscriptions)
	s.subscriptions = append(s.subscriptions, one)
	if one.progress {
		s.notified++
	}
}

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

// schedule puts a subscription that is in no queue into the one where its cursor belongs.
func (h *Hub) schedule(one *subscription) {
	switch c := one.cursor.Compare(h.live.at); {
	case c == 0:
		h.enter(h.live, one, inLive)
	case c < 0 && one.end == "" && !one.byPass:
		one.queue = inKeys
		h.keys = append(h.keys, one)
	default:
		one.queue = inWaiting
		h.waiting.Set(one)
	}
}

// enter adds a subscription to the pass that is at its cursor.
func (h *Hub) enter(p *pass, one *subscription, as queue) {
	if one.since < p.at.Revision {
		one.since = 0 // from here on it is like all others
	}
	// flush first: the new subscription must not receive earlier events
	if g := p.groups[one.spec]; g != nil && g.count > 0 {
		h.flush(p, g, p.at, new(int))
	}
	if one.stream.gone || p.add(one) != one {
		h.unlist(one)
		return
	}
	if one.queue = as; as == inLive {
		one.stream.level++
	}
}

// leave removes a subscription from its queue.
func (h *Hub) leave(one *subscription) {
	switch one.queue {
	case inLive:
		h.live.remove(one)
		one.stream.level--
	case inSweep:
		h.sweep.remove(one)
	case inWaiting:
		h.waiting.Delete(one)
	}
	one.queue = nowhere
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

// drop removes a subscription that has no watches any more.
func (h *Hub) drop(one *subscription) {
	h.leave(one)
	h.unlist(one)
}

// compacted cancels the watches of a subscription whose cursor is compacted.
func (h *Hub) compacted(one *subscription, v *index.View) {
	h.dropWatches(one)
	oldest, err := v.Watchable(one.cursor.Revision)
	one.stream.to.Deliver(&kv.WatchDelivery{Kind: kv.WatchCanceled, IDs: one.ids, Revision: one.cursor.Revision - 1, Compacted: oldest, Err: err})
}

// dropWatches removes a subscription with its watches. Its cursor is valid from then on.
func (h *Hub) dropWatches(one *subscription) {
	h.drop(one)
	for _, id := range one.ids {
		delete(one.stream.watches, id)
	}
	h.watches -= len(one.ids)
}

// block makes a subscription wait until its stream accepts more.
func (h *Hub) block(one *subscription) {
	h.limits.Reach("watch room")
	one.queue = inBlocked
	one.stream.blocked = append(one.stream.blocked, one)
}

// unblock schedules the blocked subscriptions of a stream.
func (h *Hub) unblock(s *stream) {
	blocked := s.blocked
	s.blocked = nil
	for _, one := range blocked {
		if one.queue == inBlocked {
			one.queue = nowhere
			h.schedule(one)
		}
	}
}

// end forgets a stream. Its subscriptions are removed in steps.
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
