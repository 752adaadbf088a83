package watch_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"qkv/index"
	"qkv/index/kv"
	"qkv/index/watch"
	"qkv/internal/limits"
)

// event is a change as the tests' format has it.
type event struct {
	Revision, Sub int64
	Key           string
	Deleted       bool
	Value         string
	Create        int64
	Before        *string
}

var format = &kv.WatchFormat{Append: func(dst []byte, e *kv.Event, before *kv.KeyValue) []byte {
	one := event{
		Revision: e.KV.ModRevision, Sub: e.Sub, Key: string(e.KV.Key), Deleted: e.Deleted, Value: string(e.KV.Value), Create: e.KV.CreateRevision,
	}
	if before != nil {
		value := string(before.Value)
		one.Before = &value
	}
	line, err := json.Marshal(one)
	if err != nil {
		panic(err)
	}
	return append(append(dst, line...), '\n')
}}

// world is a state, a hub, and streams that compare their deliveries with the history.
type world struct {
	t       fataler
	state   *index.State
	hub     *watch.Hub
	view    *index.View
	now     time.Duration
	applied uint64
	values  map[string]string
	before  map[string]string // before the newest revision
	history []event           // with what was before it
	streams []*stream
	next    uint64

	stepping bool            // the hub runs: it must not read a file
	missing  []*index.Unread // that the hub waits for
	brought  int
	stored   int64
	broken   error // of each value that is read
}

// archive has the values of a world's history up to a revision.
type archive struct {
	w  *world
	to int64
}

func (a *archive) To() int64 { return a.to }

func (a *archive) Value(key []byte, at index.Position, sound func([]byte) bool) ([]byte, error) {
	if a.w.stepping {
		a.w.t.Fatalf("the hub waits for a disk")
	}
	i, found := slices.BinarySearchFunc(a.w.history, at, func(e event, at index.Position) int {
		return index.Position{Revision: e.Revision, Sub: e.Sub}.Compare(at)
	})
	switch {
	case a.w.broken != nil:
		return nil, a.w.broken
	case !found || at.Revision > a.to || a.w.history[i].Key != string(key) || !sound([]byte(a.w.history[i].Value)):
		return nil, index.ErrElsewhere
	}
	return []byte(a.w.history[i].Value), nil
}

func (a *archive) ReadTogether([]*index.Unread) {}

// store says that files have the changes up to a revision.
func (w *world) store(to int64) {
	to = max(to, w.stored) // files have what earlier ones had
	w.stored = to
	w.state.Stored(to, to, &archive{w, to})
	for w.state.Reclaim() {
	}
	w.view = w.state.View()
}

// step lets the hub do a step, and notes which values it is missing.
func (w *world) step(resting bool) (again bool) {
	w.stepping = true
	again = w.hub.Step(w.now, w.view, resting)
	if missing := w.hub.Missing(); missing != nil {
		if w.missing != nil {
			w.t.Fatalf("values are wanted while others are being read")
		}
		w.missing = missing
		bytes := 0
		for _, one := range missing[:len(missing)-1] { // the last one may exceed the limit
			bytes += one.Size()
		}
		if len(missing) > watch.ReadValues || bytes >= watch.ReadBytes {
			w.t.Fatalf("%d values, %d bytes without the last, are wanted at once: more than the limit", len(missing), bytes)
		}
	}
	w.stepping = false
	return again
}

// bring reads the values that the hub is missing.
func (w *world) bring() (brought bool) {
	all := make([]watch.Read, len(w.missing))
	for i, one := range w.missing {
		all[i].Position = one.Position()
		all[i].Value, all[i].Err = one.Read()
	}
	if brought = w.missing != nil; brought {
		w.hub.Bring(all)
	}
	w.missing, w.brought = nil, w.brought+len(all)
	return brought
}

type fataler interface{ Fatalf(string, ...any) }

// stream is a client's stream, which takes so many deliveries before it refuses events.
type stream struct {
	w        *world
	room     int
	queue    []kv.WatchDelivery
	refused  bool
	watches  map[uint64]*watched
	canceled []*watched
	gone     bool
	asks     bool // and has not heard how far all its watches are
}

// watched is one watch as its client sees it.
type watched struct {
	id       uint64
	request  kv.Watch
	first    int64 // revision from which on it gets events
	since    int64 // the revision that was the compacted one, if it begins with that
	created  bool
	got      []event
	partial  bool
	told     int64
	compact  int64
	closing  bool // the client has asked for its end
	canceled bool
}

func (s *stream) Format() *kv.WatchFormat { return format }

func (s *stream) Deliver(d *kv.WatchDelivery) bool {
	if s.gone {
		s.w.t.Fatalf("a delivery to a stream that is gone: %+v", d)
	}
	notice := d.Kind == kv.WatchProgressed && len(d.IDs) > 0
	if (d.Kind == kv.WatchEvents || notice) && len(s.queue) >= s.room {
		s.refused = true
		return false
	}
	s.queue = append(s.queue, *d) // deliveries are read-only
	return true
}

// ask asks how far all watches of the stream are.
func (s *stream) ask() {
	if !s.gone {
		s.asks = true
		s.w.hub.Request(s.w.view, s, &kv.WatchRequest{Kind: kv.WatchProgress})
	}
}

// take takes n deliveries from the queue and judges them.
func (s *stream) take(n int) {
	for range min(n, len(s.queue)) {
		d := s.queue[0]
		s.queue = s.queue[1:]
		s.judge(&d)
	}
	if s.refused && len(s.queue) < s.room {
		s.refused = false
		s.w.hub.Request(s.w.view, s, &kv.WatchRequest{Kind: kv.WatchRoom})
	}
}

func (s *stream) judge(d *kv.WatchDelivery) {
	t := s.w.t
	var events []event
	for lines := json.NewDecoder(bytes.NewReader(d.Events)); lines.More(); {
		var e event
		if err := lines.Decode(&e); err != nil {
			t.Fatalf("%v", err)
		}
		events = append(events, e)
	}
	if len(events) != d.Count {
		t.Fatalf("%d events, said to be %d", len(events), d.Count)
	}
	ids := d.IDs
	if d.Kind == kv.WatchProgressed && len(ids) == 0 {
		s.asks = false
		for id, one := range s.watches {
			if one.created {
				ids = append(ids, id)
			}
		}
	}
	for _, id := range ids {
		one := s.watches[id]
		if one == nil || one.canceled {
			t.Fatalf("watch %d gets %+v, and is not there", id, d)
		}
		if one.created == (d.Kind == kv.WatchCreated) {
			t.Fatalf("watch %d: created %v gets %+v", id, one.created, d)
		}
		switch d.Kind {
		case kv.WatchCreated:
			one.created = true
			if one.first == 0 {
				one.first = d.Revision + 1
			}
			one.told = one.first - 1
			continue
		case kv.WatchCanceled:
			one.canceled, one.compact = true, d.Compacted
			delete(s.watches, id)
			s.canceled = append(s.canceled, one)
			if d.Err != nil && (d.Err.Code != kv.Compacted || d.Compacted <= one.told) || d.Err == nil && !one.closing {
				t.Fatalf("watch %d, told of all to %d, is canceled: %v at %d", id, one.told, d.Err, d.Compacted)
			}
			continue
		}
		one.got = append(one.got, events...)
		if one.partial = d.Fragment; !d.Fragment {
			s.w.check(one, d.Revision)
		}
	}
}

// check compares a watch's deliveries with the history up to a revision.
func (w *world) check(one *watched, to int64) {
	if to < one.told {
		w.t.Fatalf("watch %d %+v: told of all up to %d, then up to %d", one.id, one.request, one.told, to)
	}
	one.told = to
	if want := w.expected(one, to); !slices.EqualFunc(want, one.got, w.same) {
		w.t.Fatalf("watch %d %+v, from %d to %d:\n got %v\nwant %v", one.id, one.request, one.first, to, show(one.got), show(want))
	}
}

// same compares an event with a delivered one. An event that was encoded when its revision was compacted has no previous
// value.
func (w *world) same(a, b event) bool {
	if b.Before == nil && b.Revision <= w.view.Compacted() {
		a.Before = nil
	}
	if (a.Before == nil) != (b.Before == nil) || a.Before != nil && *a.Before != *b.Before {
		return false
	}
	a.Before, b.Before = nil, nil
	return a == b
}

func show(events []event) string {
	line, _ := json.Marshal(events)
	return string(line)
}

// expected returns the events that a watch must receive up to a revision.
func (w *world) expected(one *watched, to int64) (want []event) {
	q := &one.request
	for i, e := range w.history {
		key, end := string(q.Key), string(q.End)
		in := e.Key == key && end == "" || e.Key >= key && end != "" && (end == "\x00" || e.Key < end)
		if !in || e.Revision < one.first || e.Revision > to || e.Deleted && q.NoDelete || !e.Deleted && q.NoPut {
			continue
		}
		if e.Revision == one.since && slices.ContainsFunc(w.history[i+1:], func(later event) bool { return later.Revision == e.Revision && later.Key == e.Key }) {
			continue
		}
		if !q.PrevKV {
			e.Before = nil
		}
		want = append(want, e)
	}
	return want
}

func newWorld(t fataler, l limits.Index, hub limits.Watches) *world {
	w := &world{t: t, state: index.NewState(l), hub: watch.NewHub(hub, 1), values: map[string]string{}}
	w.state.Found(index.Founders(map[string]uint64{"a": 1}))
	w.view = w.state.View()
	return w
}

func (w *world) apply(commands ...[]byte) {
	w.applied++
	from := w.view.Revision() + 1
	entry := index.AppendEnvelope(nil, index.Envelope{Member: 1, Incarnation: 1, Wall: int64(w.applied)}, commands)
	if _, err := w.state.Apply(w.applied, 1, entry, nil); err != nil {
		w.t.Fatalf("%v", err)
	}
	w.view = w.state.View()
	begun := len(w.history)
	err := w.view.Events(max(from, w.view.Compacted()), func(e *kv.Event) bool {
		one := event{
			Revision: e.KV.ModRevision, Sub: e.Sub, Key: string(e.KV.Key), Deleted: e.Deleted, Value: string(e.KV.Value), Create: e.KV.CreateRevision,
		}
		w.remember(one)
		return true
	})
	if err != nil || len(w.history) > begun && w.history[begun].Revision != from {
		w.t.Fatalf("revisions from %d on were compacted at once: %v", from, err)
	}
}

// remember adds a change to the history.
func (w *world) remember(one event) {
	if n := len(w.history); n > 0 && w.history[n-1].Revision < one.Revision {
		w.before = maps.Clone(w.values)
	}
	if before, ok := w.before[one.Key]; ok {
		one.Before = &before
	}
	w.history = append(w.history, one)
	if w.values[one.Key] = one.Value; one.Deleted {
		delete(w.values, one.Key)
	}
}

func (w *world) watch(s *stream, q kv.Watch) *watched {
	w.next++
	one := &watched{id: w.next, request: q, first: q.Revision}
	if one.first > 0 && one.first == w.view.Compacted() {
		one.since = one.first
	}
	s.watches[one.id] = one
	w.hub.Request(w.view, s, &kv.WatchRequest{Kind: kv.WatchCreate, ID: one.id, Watch: q})
	return one
}

func (w *world) open(room int) *stream {
	s := &stream{w: w, room: room, watches: map[uint64]*watched{}}
	w.streams = append(w.streams, s)
	return s
}

// finish lets everything be delivered, and judges that all of it was, and that streams hear of their progress.
func (w *world) finish() {
	for _, s := range w.streams {
		s.ask()
	}
	for rounds := 0; ; rounds++ {
		again := w.step(false)
		again = w.bring() || again
		for _, s := range w.streams {
			again = again || len(s.queue) > 0
			s.take(len(s.queue))
		}
		if !again {
			break
		}
		if rounds == 100_000 {
			w.t.Fatalf("the hub does not come to rest")
		}
	}
	watches := 0
	for _, s := range w.streams {
		caughtUp := len(s.watches) > 0
		for _, one := range s.watches {
			caughtUp = caughtUp && one.first <= w.view.Revision()+1
			if watches++; one.partial {
				w.t.Fatalf("watch %d waits for the rest of a revision", one.id)
			}
			if !one.created {
				w.t.Fatalf("watch %d was not created", one.id)
			}
			if want := w.expected(one, w.view.Revision()); !slices.EqualFunc(want, one.got, w.same) {
				w.t.Fatalf("watch %d %+v in the end, from %d:\n got %v\nwant %v", one.id, one.request, one.first, show(one.got), show(want))
			}
		}
		if caughtUp && s.asks {
			w.t.Fatalf("a stream that asks how far its watches are hears nothing")
		}
	}
	if n := w.hub.Watches(); n != watches {
		w.t.Fatalf("the hub has %d watches, its streams %d", n, watches)
	}
}

// counter is a stream that takes everything, and counts its bytes.
type counter struct{ bytes, largest int }

func (c *counter) Format() *kv.WatchFormat { return format }

func (c *counter) Deliver(d *kv.WatchDelivery) bool {
	c.bytes, c.largest = c.bytes+len(d.Events), max(c.largest, len(d.Events))
	return true
}

// TestStepSendsLittle: one step gives the streams no more to send than they can send in about the same time, however much
// was collected for lagging watches, and however many they are.
func TestStepSendsLittle(t *testing.T) {
	const revisions, value, streams = 256, 1 << 10, 20
	l := limits.Defaults().Watches
	w := newWorld(t, limits.Defaults().Index, l)
	first := w.view.Revision() + 1
	for i := range revisions {
		w.apply(new(index.Head).AppendPut(nil, &kv.Put{Key: fmt.Appendf(nil, "p%d", i), Value: make([]byte, value)}).Bytes)
	}
	var to counter
	for i := range streams {
		one := &struct{ *counter }{&to}
		for j := range revisions {
			key := fmt.Appendf(nil, "p%d", j)
			q := kv.Watch{Key: key, End: append(fmt.Appendf(nil, "p%d", j), 0), Revision: first} // a range of one key: no shortcut by its versions
			w.hub.Request(w.view, one, &kv.WatchRequest{Kind: kv.WatchCreate, ID: uint64(i*revisions + j + 1), Watch: q})
		}
	}
	most, again := 0, true
	for again {
		before := to.bytes
		again = w.hub.Step(0, w.view, false)
		most = max(most, to.bytes-before)
	}
	if to.bytes < revisions*value*streams {
		t.Fatalf("%d bytes were sent", to.bytes)
	}
	if bound := 8*l.StepWork + to.largest*streams; most > bound { // the last one of a step goes to all its watchers
		t.Errorf("one step sends %d bytes, %d at most are expected", most, bound)
	}
	t.Logf("%d bytes in all, %d at most in one step", to.bytes, most)
}

// twice puts a key and deletes all keys, in one revision.
func twice(key []byte) []byte {
	put := kv.Op{Put: &kv.Put{Key: key, Value: []byte("twice")}}
	remove := kv.Op{Delete: &kv.Delete{Key: []byte("a"), End: []byte("z")}}
	nested := func(o kv.Op) kv.Op { return kv.Op{Txn: &kv.Txn{Success: []kv.Op{o}}} }
	return new(index.Head).AppendTxn(nil, &kv.Txn{Success: []kv.Op{nested(put), nested(remove)}}).Bytes
}

// TestWatches lets random watches on random streams see random changes, and judges each by the history: ordered, unique, reliable,
// atomic, resumable and bookmarkable, with previous values, creations and filters.
func TestWatches(t *testing.T) {
	reached := map[string]int{}
	check := func(t *rapid.T) {
		hub := limits.Watches{
			StepWork: rapid.SampledFrom([]int{1, 1, 30, 300, 5000}).Draw(t, "step"), FrameBytes: rapid.SampledFrom([]int{1, 300, 10_000}).Draw(t, "frame"),
			KeyVersions: rapid.SampledFrom([]int{1, 4, 1000}).Draw(t, "versions"), Reached: func(bound string) { reached[bound]++ },
		}
		hub.PendingBytes = rapid.SampledFrom([]int{1, 500, 10_000}).Draw(t, "pending")
		hub.FragmentBytes = hub.FrameBytes * rapid.IntRange(1, 3).Draw(t, "fragment")
		l := limits.Defaults().Index
		l.SlabBytes, l.ColdBytes = 4<<10, 1
		w := newWorld(t, l, hub)
		for range rapid.IntRange(1, 4).Draw(t, "streams") {
			w.open(rapid.IntRange(1, 8).Draw(t, "room"))
		}
		for range rapid.IntRange(50, 200).Draw(t, "turns") {
			w.now += time.Second
			w.turn(t)
		}
		w.finish()
		reached["values brought"] += w.brought
		for _, s := range w.streams {
			for _, one := range s.canceled {
				if one.compact > 0 {
					reached["compacted"]++
				}
				if one.partial {
					reached["canceled within a revision"]++
				}
			}
		}
	}
	for range 3 { // 300 in all: some bugs show in few of them
		rapid.Check(t, check)
	}
	for _, bound := range []string{"watch room", "watch step", "compacted", "values brought"} {
		if reached[bound] == 0 {
			t.Errorf("no run has reached: %s", bound)
		}
	}
	t.Log(reached)
}

var letters = []string{"a", "aa", "ab", "b", "ba", "c"}

func (w *world) turn(t *rapid.T) {
	s := rapid.SampledFrom(w.streams).Draw(t, "stream")
	key := func(name string) []byte { return []byte(rapid.SampledFrom(letters).Draw(t, name)) }
	switch kind := rapid.IntRange(0, 24).Draw(t, "kind"); {
	case kind == 22:
		w.store(rapid.Int64Range(1, w.view.Revision()).Draw(t, "stored"))
	case kind > 22:
		w.bring()
	case kind == 20:
		if newest := w.view.Revision(); newest > w.view.Compacted() {
			w.apply(new(index.Head).AppendCompact(nil, rapid.Int64Range(max(w.view.Compacted(), 1), newest).Draw(t, "compacted")).Bytes)
		}
	case kind == 21: // a key changes twice in a revision
		w.apply(twice(key("key")))
		if rapid.Bool().Draw(t, "compacted") {
			w.apply(new(index.Head).AppendCompact(nil, w.view.Revision()).Bytes)
		}
	case kind < 7:
		var commands [][]byte
		for range rapid.IntRange(1, 4).Draw(t, "commands") {
			switch rapid.IntRange(0, 5).Draw(t, "command") {
			case 0: // a revision of many changes
				var all kv.Txn
				for i := range rapid.IntRange(2, len(letters)).Draw(t, "puts") {
					all.Success = append(all.Success, kv.Op{Put: &kv.Put{Key: []byte(letters[i]), Value: fmt.Append(nil, i)}})
				}
				commands = append(commands, new(index.Head).AppendTxn(nil, &all).Bytes)
			case 1:
				end := []byte(nil)
				if rapid.Bool().Draw(t, "range") {
					end = []byte("z")
				}
				commands = append(commands, new(index.Head).AppendDelete(nil, &kv.Delete{Key: key("key"), End: end}).Bytes)
			default:
				commands = append(commands, new(index.Head).AppendPut(nil, &kv.Put{Key: key("key"), Value: fmt.Appendf(nil, "%d", w.view.Revision())}).Bytes)
			}
		}
		w.apply(commands...)
	case kind < 10:
		if s.gone {
			return
		}
		q := kv.Watch{
			Key: key("key"), PrevKV: rapid.Bool().Draw(t, "prev"), ProgressNotify: rapid.Bool().Draw(t, "notify"),
			NoPut: rapid.IntRange(0, 5).Draw(t, "no put") == 0, NoDelete: rapid.IntRange(0, 5).Draw(t, "no delete") == 0,
		}
		switch rapid.IntRange(0, 3).Draw(t, "end") {
		case 0:
			q.End = []byte{0}
		case 1:
			q.End = append(slices.Clone(q.Key), '~')
		}
		if rapid.Bool().Draw(t, "from") {
			q.Revision = rapid.Int64Range(1, w.view.Revision()+10).Draw(t, "revision")
			if rapid.IntRange(0, 3).Draw(t, "compacted") == 0 {
				q.Revision = max(w.view.Compacted(), 1)
			}
		}
		if one := w.anyOf(t, s); one != nil && rapid.Bool().Draw(t, "equal") {
			q = one.request
		}
		w.watch(s, q)
	case kind < 14:
		if rapid.Bool().Draw(t, "idle") {
			w.state.Reclaim()
		}
		w.step(rapid.Bool().Draw(t, "resting"))
	case kind < 17:
		s.take(rapid.IntRange(1, 5).Draw(t, "taken"))
	case kind == 17:
		if one := w.anyOf(t, s); one != nil {
			one.closing = true
			w.hub.Request(w.view, s, &kv.WatchRequest{Kind: kv.WatchCancel, ID: one.id})
		}
	case kind == 18:
		s.ask()
		w.hub.Notify(w.now, rapid.SampledFrom([]time.Duration{0, 10 * time.Second}).Draw(t, "silent"))
	case rapid.IntRange(0, 4).Draw(t, "end") == 0 && !s.gone:
		w.hub.Request(w.view, s, &kv.WatchRequest{Kind: kv.WatchEnd})
		s.gone, s.queue, s.watches, s.refused = true, nil, nil, false
	}
}

// anyOf draws one of a stream's watches.
func (w *world) anyOf(t *rapid.T, s *stream) *watched {
	var ids []uint64
	for id := range s.watches {
		ids = append(ids, id)
	}
	if len(ids) == 0 || s.gone {
		return nil
	}
	slices.Sort(ids)
	return s.watches[rapid.SampledFrom(ids).Draw(t, "watch")]
}

// A watch that is within a revision when its stream has no room is told that the revision is over when there is some, also where the
// rest of it is none of its keys.
func TestRoomWithinARevision(t *testing.T) {
	var all kv.Txn
	for _, key := range []string{"k0", "k1", "k2", "z0", "z1", "z2", "z3"} {
		all.Success = append(all.Success, kv.Op{Put: &kv.Put{Key: []byte(key)}})
	}
	waited := 0
	for room := range 3 {
		for steps := range 40 {
			w := newWorld(t, limits.Defaults().Index, limits.Watches{StepWork: 1, FrameBytes: 1, FragmentBytes: 1, KeyVersions: 1000, PendingBytes: 1})
			s := w.open(room + 1)
			one := w.watch(s, kv.Watch{Key: []byte("k"), End: []byte("l")})
			w.finish()
			w.apply(new(index.Head).AppendTxn(nil, &all).Bytes)
			for range steps {
				w.hub.Step(w.now, w.view, false)
			}
			refused := s.refused
			s.take(len(s.queue))
			if refused && one.partial {
				waited++
			}
			w.finish()
		}
	}
	if waited == 0 {
		t.Error("no watch was within a revision when it waited for room")
	}
}
