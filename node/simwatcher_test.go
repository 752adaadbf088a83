package node

import (
	"fmt"
	"slices"
	"time"

	"qkv/index/kv"
)

// A watcher is a client with one stream of watches, which it loses whenever its member's process ends, and sometimes
// without a reason. It begins again elsewhere, behind what it was told. Each delivery is held against the history.
type watcher struct {
	w       *world
	number  int
	stream  *watchStream
	watches []*simWatch
	next    uint64
}

// simWatch is one watch as its client sees it.
type simWatch struct {
	request kv.Watch
	user    string // whose permission it needs
	refused bool   // it was not created, or has ended, because its user may not read it
	id      uint64 // on the stream that there is
	created bool   // likewise
	next    int64  // it was told of everything before; 0: it was never created
	partial []watchedEvent
	open    bool // a revision has not come as a whole
}

// watchedEvent is a change, as the simulation's format has it.
type watchedEvent struct {
	event
	before string // the value before its revision; empty where there is none, or none is wanted
	was    bool
}

// simFormat is that of events that are not encoded: the bytes are their numbers in a table.
type simFormat struct {
	kv.WatchFormat
	events []watchedEvent
}

// watchFormat returns the world's format.
func watchFormat() *simFormat {
	f := &simFormat{}
	f.Append = func(dst []byte, e *kv.Event, before *kv.KeyValue) []byte {
		one := watchedEvent{event: event{
			revision: e.KV.ModRevision, sub: e.Sub, key: string(e.KV.Key), value: string(e.KV.Value), deleted: e.Deleted,
			create: e.KV.CreateRevision, version: e.KV.Version,
		}}
		if before != nil {
			one.before, one.was = string(before.Value), true
		}
		f.events = append(f.events, one)
		return fmt.Appendf(dst, "%010d%s", len(f.events)-1, make([]byte, len(one.value))) // as long as a real one, about
	}
	return f
}

// read returns the events of a delivery.
func (f *simFormat) read(b []byte) (events []watchedEvent) {
	for len(b) > 0 {
		n := 0
		for _, digit := range b[:10] {
			n = n*10 + int(digit-'0')
		}
		events = append(events, f.events[n])
		b = b[10+len(f.events[n].value):]
	}
	return events
}

// watchStream is the connection of a watcher to one member.
type watchStream struct {
	of      *watcher
	member  *member
	life    *simLife
	room    int
	waiting int           // events that the client has not read
	arrives time.Duration // when what was delivered last does
	reads   time.Duration // when the client has read what came before
	refused bool
	closed  bool
	asked   map[uint64]*askedWatch
}

// Format implements kv.WatchStream.
func (s *watchStream) Format() *kv.WatchFormat { return &s.of.w.watchers.format.WatchFormat }

// Deliver implements kv.WatchStream.
func (s *watchStream) Deliver(d *kv.WatchDelivery) bool {
	w := s.of.w
	if s.closed || s.life.Over() {
		return true
	}
	refusable := d.Kind == kv.WatchEvents || d.Kind == kv.WatchProgressed && len(d.IDs) > 0
	if refusable && s.waiting >= s.room {
		s.refused = true
		return false
	}
	if refusable {
		s.waiting++
	}
	s.permitted(d)
	own := *d
	own.IDs = slices.Clone(d.IDs)
	w.sim.Post(func() {
		s.arrives = max(s.arrives, w.sim.Now()+w.between(0, 2*w.shape.delay))
		s.reads = max(s.reads, s.arrives)
		if w.probably(0.02) { // the client does something else for a while
			s.reads += w.between(0, time.Second)
		}
		w.sim.After(s.reads-w.sim.Now(), func() { s.read(&own, refusable) })
	})
	return true
}

// askedWatch is a watch as its stream has asked for it.
type askedWatch struct {
	request kv.Watch
	by      kv.Principal
	created bool
}

// permitted holds a delivery against the users and roles of the View that the hub has: events are only for users who may read them in it,
// and a watch is ended, or not created, for want of permission exactly if its user has none.
func (s *watchStream) permitted(d *kv.WatchDelivery) {
	w, view := s.of.w, s.member.status.View()
	ends := d.Kind == kv.WatchCanceled && refuses(d.Err)
	if w.watch.verdicts == nil || !ends && d.Kind != kv.WatchEvents && d.Kind != kv.WatchCreated {
		return
	}
	for _, id := range d.IDs {
		one, want := s.asked[id], kv.OK
		if ends {
			want = d.Err.Code
		}
		if got := w.readable(view, one); got != want {
			w.failf("watcher %d at %s: the watch of %q to %q by %+v is %v, and gets %+v", s.of.number, s.member.config.Name, one.request.Key, one.request.End, one.by, got, d)
		}
		one.created = true
	}
}

// read is the client that takes a delivery.
func (s *watchStream) read(d *kv.WatchDelivery, counted bool) {
	if s.closed || s.life.Over() {
		return
	}
	if counted {
		s.waiting--
	}
	s.of.judge(s, d)
	if s.refused && s.waiting <= s.room/2 && !s.closed {
		s.refused = false
		endpoint{s.member}.Watch(s, kv.WatchRequest{Kind: kv.WatchRoom})
	}
}

// ask sends a request, unless there is no room for it.
func (s *watchStream) ask(r kv.WatchRequest) bool {
	if !s.member.actors.watches.Fits(1000) {
		return false
	}
	endpoint{s.member}.Watch(s, r)
	return true
}

// watchers are all watchers of a world, and the history in order.
type watchers struct {
	all     []*watcher
	format  *simFormat
	history []watchedEvent // by revision, with what was before
	values  map[string]string
}

// watchAll begins the watchers.
func (w *world) watchAll() {
	w.watchers = watchers{format: watchFormat(), values: map[string]string{}}
	for i := range 1 + w.random.IntN(4) {
		one := &watcher{w: w, number: i}
		for range 1 + w.random.IntN(4) {
			one.watches = append(one.watches, w.drawWatch())
		}
		w.watchers.all = append(w.watchers.all, one)
		w.sim.After(w.between(0, time.Second), one.turn)
	}
}

func (w *world) drawWatch() *simWatch {
	q := kv.Watch{Key: []byte("k"), End: []byte("l"), PrevKV: w.probably(0.5), ProgressNotify: w.probably(0.5)}
	switch {
	case w.probably(0.4):
		q.Key, q.End = []byte(w.key()), nil
	case w.probably(0.3):
		q.Key, q.End = []byte(w.key()), []byte{0}
	}
	q.NoPut, q.NoDelete = w.probably(0.1), w.probably(0.1)
	one := &simWatch{request: q, user: w.drawUser()}
	switch known := int64(len(w.watch.visible)) - 1; {
	case w.probably(0.2): // from the beginning, which may be compacted
		one.next = 1
	case w.probably(0.5):
		one.next = max(1, known+int64(w.random.IntN(40))-20)
	}
	return one
}

// turn is the watcher's clock: it connects, changes what it watches, goes away.
func (c *watcher) turn() {
	w := c.w
	if w.watchers.all == nil { // their cluster is gone
		return
	}
	w.sim.After(w.between(10*time.Millisecond, 200*time.Millisecond), c.turn)
	switch s := c.stream; {
	case s == nil || s.life.Over():
		c.connect()
	case w.probably(0.03):
		c.leave()
	case w.probably(0.4):
		c.tryAgain()
	case w.probably(0.1):
		s.ask(kv.WatchRequest{Kind: kv.WatchProgress})
	case w.probably(0.1):
		i := w.random.IntN(len(c.watches))
		old := c.watches[i]
		if s.ask(kv.WatchRequest{Kind: kv.WatchCancel, ID: old.id}) {
			c.watches[i] = w.drawWatch()
			c.create(c.watches[i])
		}
	}
}

// tryAgain asks for the watches again that were refused.
func (c *watcher) tryAgain() {
	for _, one := range c.watches {
		if one.refused {
			c.create(one)
		}
	}
}

// leave ends the stream.
func (c *watcher) leave() {
	if s := c.stream; s != nil && !s.life.Over() {
		endpoint{s.member}.Watch(s, kv.WatchRequest{Kind: kv.WatchEnd})
	}
	c.forget()
}

func (c *watcher) forget() {
	if c.stream != nil {
		c.stream.closed = true
	}
	c.stream = nil
}

// connect begins all watches at a member.
func (c *watcher) connect() {
	c.forget()
	h := c.w.any()
	if !h.alive() || (endpoint{h.member}).Refuse() != nil {
		return
	}
	c.stream = &watchStream{of: c, member: h.member, life: h.life, room: 1 + c.w.random.IntN(8), asked: map[uint64]*askedWatch{}}
	for _, one := range c.watches {
		if one.next > 0 {
			c.w.totals.WatchesResumed++
		}
		c.create(one)
	}
}

func (c *watcher) create(one *simWatch) {
	c.next++
	one.id, one.created, one.partial, one.open, one.refused = c.next, false, nil, false, false
	r := kv.WatchRequest{Kind: kv.WatchCreate, ID: one.id, Watch: one.request}
	r.Watch.Revision = one.next
	if s := c.stream; s != nil {
		r.By = s.member.status.View().By(one.user)
		s.asked[one.id] = &askedWatch{request: one.request, by: r.By}
		if !s.ask(r) {
			c.leave()
		}
	}
}

// judge holds a delivery against the history.
func (c *watcher) judge(s *watchStream, d *kv.WatchDelivery) {
	w := c.w
	events := w.watchers.format.read(d.Events)
	if d.Kind == kv.WatchEnded {
		w.totals.WatchesEnded++
		c.forget()
		return
	}
	for _, one := range slices.Clone(c.watches) {
		if !slices.Contains(d.IDs, one.id) && !(d.Kind == kv.WatchProgressed && len(d.IDs) == 0 && one.created) {
			continue
		}
		if d.Kind == kv.WatchCanceled && refuses(d.Err) {
			if one.created {
				w.totals.WatchesEndedByRoles++
			} else {
				w.totals.WatchesRefused++
			}
			one.refused, one.created, one.partial, one.open = true, false, nil, false
			continue
		}
		if d.Kind == kv.WatchCanceled && d.Err != nil && d.Err.Code == kv.Unavailable { // a value could not be read: it resumes
			w.totals.WatchesUnread++
			c.create(one)
			continue
		}
		if one.created == (d.Kind == kv.WatchCreated) {
			w.failf("watcher %d: a watch that was created %v gets %+v", c.number, one.created, d)
			return
		}
		switch d.Kind {
		case kv.WatchCreated:
			if one.created = true; one.next == 0 {
				one.next = d.Revision + 1
			}
			continue
		case kv.WatchCanceled:
			w.totals.WatchesCompacted++
			if d.Err == nil || d.Err.Code != kv.Compacted || d.Compacted <= one.next {
				w.failf("watcher %d, told of all before %d, is canceled: %+v", c.number, one.next, d)
				return
			}
			one.next = d.Compacted
			c.create(one)
			continue
		case kv.WatchProgressed:
			w.totals.WatchProgress++
		}
		one.partial = append(one.partial, events...)
		if one.open = d.Fragment; one.open {
			w.totals.WatchFragments++
			continue
		}
		c.check(s, one, d)
	}
}

// check compares what came since the last check with the history.
func (c *watcher) check(s *watchStream, one *simWatch, d *kv.WatchDelivery) {
	w := c.w
	if d.Revision < one.next-1 {
		w.failf("watcher %d, told of all before %d, is told of %d changes, and of all to %d", c.number, one.next, len(one.partial), d.Revision)
		return
	}
	want := w.watchers.expected(w, one, d.Revision)
	compacted := s.member.status.View().Compacted() // when it was encoded, or later
	for i := range min(len(want), len(one.partial)) {
		if e := &want[i]; e.revision <= compacted && !one.partial[i].was {
			e.before, e.was = "", false // as etcd has it: the revision before cannot be read
		}
	}
	if !slices.Equal(one.partial, want) {
		w.failf("watcher %d at %s, %+v, from revision %d to %d gets\n%+v\nand not\n%+v", c.number, s.member.config.Name, one.request, one.next, d.Revision, one.partial, want)
	}
	w.totals.Watched += len(want)
	one.next, one.partial = d.Revision+1, nil
}

// expected is what a watch gets that was told of nothing from next on, up to a revision.
func (ws *watchers) expected(w *world, one *simWatch, to int64) (want []watchedEvent) {
	ws.follow(w.watch.changes)
	at, _ := slices.BinarySearchFunc(ws.history, one.next, func(e watchedEvent, r int64) int { return int(e.revision - r) })
	q := &one.request
	for ; at < len(ws.history) && ws.history[at].revision <= to; at++ {
		e := ws.history[at]
		key, end := string(q.Key), string(q.End)
		in := e.key == key && end == "" || e.key >= key && end != "" && (end == "\x00" || e.key < end)
		if !in || e.deleted && q.NoDelete || !e.deleted && q.NoPut {
			continue
		}
		if !q.PrevKV {
			e.before, e.was = "", false
		}
		want = append(want, e)
	}
	return want
}

// follow takes on changes that were not there yet.
func (ws *watchers) follow(changes []event) {
	more := slices.Clone(changes[len(ws.history):])
	slices.SortFunc(more, func(a, b event) int {
		if a.revision != b.revision {
			return int(a.revision - b.revision)
		}
		return int(a.sub - b.sub)
	})
	for i := 0; i < len(more); {
		end := i
		for end < len(more) && more[end].revision == more[i].revision {
			one := watchedEvent{event: more[end]}
			one.before, one.was = ws.values[one.key]
			ws.history = append(ws.history, one)
			end++
		}
		for ; i < end; i++ {
			if ws.values[more[i].key] = more[i].value; more[i].deleted {
				delete(ws.values, more[i].key)
			}
		}
	}
}

// awaitWatchers waits until every watch was told of everything.
func (w *world) awaitWatchers() {
	newest := int64(len(w.watch.visible)) - 1
	var waits *watcher
	told := func() bool {
		waits = nil
		for _, c := range w.watchers.all {
			for i, one := range c.watches {
				switch {
				case one.refused && w.refusedForGood(one):
				case one.refused:
					c.create(one)
					waits = c
				case one.next > newest+1: // its revision does not come any more
					if s := c.stream; s != nil && s.ask(kv.WatchRequest{Kind: kv.WatchCancel, ID: one.id}) {
						c.watches[i] = &simWatch{request: one.request, user: one.user, next: newest + 1}
						c.create(c.watches[i])
					}
					waits = c
				case one.next <= newest || one.open:
					waits = c
				}
			}
			if waits == c && c.stream != nil {
				c.stream.ask(kv.WatchRequest{Kind: kv.WatchProgress})
			}
		}
		return waits == nil
	}
	if !w.until(time.Minute, told) && w.failure == "" {
		w.failf("watcher %d waits for changes up to revision %d: %+v", waits.number, newest, waits.say())
	}
}

func (c *watcher) say() string {
	text := fmt.Sprintf("connected %v", c.stream != nil)
	for _, one := range c.watches {
		text += fmt.Sprintf("; %q to %q, told of all before %d, created %v, open %v", one.request.Key, one.request.End, one.next, one.created, one.open)
	}
	return text
}
