package watch_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"qkv/index"
	"qkv/index/kv"
	"qkv/index/watch"
	"qkv/internal/limits"
	"qkv/internal/testlong"
)

// log is a stream that takes everything, and notes it for each watch.
type log struct {
	events map[uint64][]string
	ended  map[uint64]*kv.WatchDelivery
}

func newLog() *log { return &log{map[uint64][]string{}, map[uint64]*kv.WatchDelivery{}} }

func (l *log) Format() *kv.WatchFormat { return format }

func (l *log) Deliver(d *kv.WatchDelivery) bool {
	for _, id := range d.IDs {
		for lines := json.NewDecoder(bytes.NewReader(d.Events)); lines.More(); {
			var e event
			if err := lines.Decode(&e); err != nil {
				panic(err)
			}
			text := fmt.Sprintf("%d %s %d", e.Revision, e.Key, len(e.Value))
			if e.Before != nil {
				text += fmt.Sprintf(" before %d", len(*e.Before))
			}
			l.events[id] = append(l.events[id], text)
		}
		if d.Kind == kv.WatchCanceled {
			l.ended[id] = d
		}
	}
	return true
}

// coldWorld is a world whose values of 10 bytes and more leave memory.
func coldWorld(t *testing.T) *world {
	l := limits.Defaults().Index
	l.ColdBytes = 10
	return newWorld(t, l, limits.Defaults().Watches)
}

func (w *world) put(key string, bytes int) {
	w.apply(new(index.Head).AppendPut(nil, &kv.Put{Key: []byte(key), Value: []byte(strings.Repeat("v", bytes))}).Bytes)
}

// complete lets the hub go on until it has nothing to do.
func (w *world) complete(t *testing.T) {
	t.Helper()
	for range 1000 {
		again := w.step(false)
		if again = w.bring() || again; !again {
			return
		}
	}
	t.Fatal("the hub does not come to rest")
}

// A watch that needs a value which cannot be read receives the events before, and is then canceled. Others go on. Once the file is
// repaired, the watch can be resumed.
func TestUnreadableValueCancels(t *testing.T) {
	w := coldWorld(t)
	w.put("a", 1)
	from := w.view.Revision()
	w.put("b", 5)
	w.put("a", 100)
	unreadable := w.view.Revision()
	w.put("a", 2)
	w.put("a", 3)
	w.store(w.view.Revision())
	to := newLog()
	create := func(id uint64, q kv.Watch) {
		w.hub.Request(w.view, to, &kv.WatchRequest{Kind: kv.WatchCreate, ID: id, Watch: q})
	}
	w.broken = errors.New("input/output error")
	create(1, kv.Watch{Key: []byte("a"), Revision: from})
	create(2, kv.Watch{Key: []byte("a"), End: []byte("z"), Revision: from})
	create(3, kv.Watch{Key: []byte("a"), End: []byte("z"), Revision: unreadable + 1, PrevKV: true})
	create(4, kv.Watch{Key: []byte("a"), Revision: unreadable + 1})
	create(5, kv.Watch{Key: []byte("a"), End: []byte("z"), Revision: unreadable + 1})
	create(6, kv.Watch{Key: []byte("b"), Revision: from})
	create(7, kv.Watch{Key: []byte("a"), Revision: unreadable + 1, PrevKV: true})
	w.complete(t)
	before, a, b, rest := fmt.Sprintf("%d a 1", from), fmt.Sprintf("%d a 100", unreadable), fmt.Sprintf("%d b 5", from+1),
		[]string{fmt.Sprintf("%d a 2", unreadable+1), fmt.Sprintf("%d a 3", unreadable+2)}
	for id, want := range map[uint64][]string{1: {before}, 2: {before, b}, 3: nil, 4: rest, 5: rest, 6: {b}, 7: nil} {
		if !slices.Equal(to.events[id], want) {
			t.Errorf("watch %d: %q, want %q", id, to.events[id], want)
		}
	}
	for id, told := range map[uint64]int64{1: unreadable - 1, 2: unreadable - 1, 3: unreadable, 7: unreadable} {
		d := to.ended[id]
		if d == nil || d.Err == nil || d.Err.Code != kv.Unavailable || !strings.Contains(d.Err.Message, "input/output error") || d.Revision != told {
			t.Errorf("watch %d, told of all up to %d: %+v", id, told, d)
		}
	}
	if len(to.ended) != 4 || w.hub.Watches() != 3 {
		t.Errorf("%d watches ended, the hub has %d", len(to.ended), w.hub.Watches())
	}
	w.broken = nil
	w.now += watch.ReadAgain
	create(11, kv.Watch{Key: []byte("a"), Revision: unreadable})
	create(12, kv.Watch{Key: []byte("a"), End: []byte("z"), Revision: unreadable})
	create(13, kv.Watch{Key: []byte("a"), End: []byte("z"), Revision: unreadable + 1, PrevKV: true})
	w.complete(t)
	all := slices.Concat([]string{a}, rest)
	for id, want := range map[uint64][]string{11: all, 12: all, 13: {rest[0] + " before 100", rest[1] + " before 2"}} {
		if !slices.Equal(to.events[id], want) || to.ended[id] != nil {
			t.Errorf("watch %d, resumed: %q, want %q; %+v", id, to.events[id], want, to.ended[id])
		}
	}
	if w.missing != nil || w.hub.Missing() != nil {
		t.Error("values are missing at rest")
	}
}

// A value that cannot be read is not read again for each of many watches.
func TestUnreadableValueIsReadOnce(t *testing.T) {
	w := coldWorld(t)
	w.put("a", 100)
	from := w.view.Revision()
	w.put("a", 1)
	w.store(w.view.Revision())
	w.broken = errors.New("input/output error")
	to := newLog()
	for id := range uint64(100) {
		w.hub.Request(w.view, to, &kv.WatchRequest{Kind: kv.WatchCreate, ID: id + 1, Watch: kv.Watch{Key: []byte("a"), Revision: from, NoDelete: id%2 == 0, PrevKV: id%3 == 0}})
		w.complete(t)
		w.now += watch.ReadAgain / 200
	}
	if len(to.ended) != 100 || w.brought != 1 {
		t.Errorf("%d watches ended, %d values were read", len(to.ended), w.brought)
	}
}

// An event whose value and previous value each reach the limit of what is read at once, among others of its kind.
func TestLargeValues(t *testing.T) {
	testlong.Skip(t)
	w := coldWorld(t)
	w.put("a", 1)
	w.put("b", 1)
	from := w.view.Revision() + 1
	var want [2][]string
	before := [2]int{1, 1}
	for n := range 8 {
		size := watch.ReadBytes + n
		w.put(string(rune('a'+n%2)), size)
		want[n%2] = append(want[n%2], fmt.Sprintf("%d %c %d before %d", w.view.Revision(), 'a'+n%2, size, before[n%2]))
		before[n%2] = size
	}
	w.put("a", 1)
	w.put("b", 1)
	w.store(w.view.Revision())
	to := newLog()
	for id, q := range []kv.Watch{{Key: []byte("a")}, {Key: []byte("b")}, {Key: []byte("a"), End: []byte("b")}, {Key: []byte("b"), End: []byte("z")}} {
		q.Revision, q.PrevKV = from, true
		w.hub.Request(w.view, to, &kv.WatchRequest{Kind: kv.WatchCreate, ID: uint64(id + 1), Watch: q})
	}
	w.complete(t)
	for id := range uint64(4) {
		if got := to.events[id+1]; len(got) != 5 || !slices.Equal(got[:4], want[id%2]) {
			t.Errorf("watch %d: %q, want %q", id+1, got, want[id%2])
		}
	}
	if w.brought > 3*8 {
		t.Errorf("%d values were read for 8", w.brought)
	}
}

// deliveries is a stream that takes and keeps everything.
type deliveries struct{ all []kv.WatchDelivery }

func (d *deliveries) Format() *kv.WatchFormat { return format }

func (d *deliveries) Deliver(one *kv.WatchDelivery) bool {
	d.all = append(d.all, *one)
	return true
}

// A watch of a single key that waits for a value in a file is told of no revision from that value on.
func TestNoPositionBehindAMissingValue(t *testing.T) {
	w := coldWorld(t)
	w.put("a", 1)
	from := w.view.Revision()
	w.put("a", 100)
	missing := w.view.Revision()
	w.put("a", 2)
	w.store(w.view.Revision())
	to := &deliveries{}
	w.hub.Request(w.view, to, &kv.WatchRequest{Kind: kv.WatchCreate, ID: 1, Watch: kv.Watch{Key: []byte("a"), Revision: from}})
	for range 10 { // it is not listed again while it is read
		w.step(false)
	}
	last := to.all[len(to.all)-1]
	if w.missing == nil || last.Kind != kv.WatchEvents || last.Count != 1 || last.Revision != missing-1 {
		t.Errorf("before the value of revision %d is here, the last delivery is %+v", missing, last)
	}
	w.complete(t)
	if last = to.all[len(to.all)-1]; last.Count != 2 || last.Revision != w.view.Revision() || w.brought != 1 {
		t.Errorf("then the last delivery is %+v, and %d values were read", last, w.brought)
	}
}

// No list of missing values exceeds its limits, however many watches need values in the same step; world.step checks it.
func TestMissingValuesAreLimited(t *testing.T) {
	testlong.Skip(t)
	for _, c := range []struct{ keys, bytes int }{{watch.ReadValues + 100, 100}, {100, watch.ReadBytes / 10}} {
		w := coldWorld(t)
		from := w.view.Revision() + 1
		for range 2 {
			for n := range c.keys {
				w.put(fmt.Sprintf("key %d", n), c.bytes)
			}
		}
		w.store(w.view.Revision())
		to := newLog()
		ask := func(id, n int, end string) {
			q := kv.Watch{Key: fmt.Appendf(nil, "key %d", n), End: []byte(end), Revision: from + int64(n)}
			w.hub.Request(w.view, to, &kv.WatchRequest{Kind: kv.WatchCreate, ID: uint64(id), Watch: q})
		}
		for n := range c.keys {
			ask(n+1, n, "")
		}
		ask(c.keys+1, 0, "l")
		w.complete(t)
		for n := range c.keys {
			if got := len(to.events[uint64(n+1)]); got != 2 {
				t.Fatalf("%d values of %d bytes: the watch of key %d received %d events of 2", c.keys, c.bytes, n, got)
			}
		}
		if got := len(to.events[uint64(c.keys+1)]); got != 2*c.keys {
			t.Errorf("%d values of %d bytes: the watch of all keys received %d events", c.keys, c.bytes, got)
		}
	}
}

// The hub forgets values that were brought when as many bytes again have come.
func TestValuesAreForgotten(t *testing.T) {
	w := coldWorld(t)
	from := w.view.Revision() + 1
	const values = 6
	for range values {
		w.put("a", watch.ReadBytes)
	}
	w.put("a", 1)
	w.store(w.view.Revision())
	for round := range 2 {
		to := newLog()
		w.hub.Request(w.view, to, &kv.WatchRequest{Kind: kv.WatchCreate, ID: 1, Watch: kv.Watch{Key: []byte("a"), Revision: from}})
		w.complete(t)
		if got := len(to.events[1]); got != values+1 || w.brought != (round+1)*values {
			t.Errorf("round %d: %d events came, and %d values were read", round, got, w.brought)
		}
	}
}

// A revision is not ended while one of its values is missing, nor when it cannot be read.
func TestMissingValueWithinARevision(t *testing.T) {
	for _, broken := range []error{nil, errors.New("input/output error")} {
		for _, end := range []string{"", "b"} {
			w := coldWorld(t)
			w.put("a", 1)
			w.apply(new(index.Head).AppendTxn(nil, &kv.Txn{Success: []kv.Op{
				{Delete: &kv.Delete{Key: []byte("a"), End: []byte{0}}},
				{Put: &kv.Put{Key: []byte("a"), Value: bytes.Repeat([]byte("v"), 100)}},
			}}).Bytes)
			split := w.view.Revision()
			w.put("a", 2)
			w.store(w.view.Revision())
			w.broken = broken
			to := &deliveries{}
			w.hub.Request(w.view, to, &kv.WatchRequest{Kind: kv.WatchCreate, ID: 1, Watch: kv.Watch{Key: []byte("a"), End: []byte(end), Revision: split}})
			for range 5 {
				w.step(false)
			}
			w.complete(t)
			events := 0
			for i := range to.all {
				if one := &to.all[i]; one.Kind == kv.WatchEvents {
					if events += one.Count; events < 2 && !one.Fragment {
						t.Errorf("%v, end %q: the revision ended after %d of 2 events: %+v", broken, end, events, one)
					}
				}
			}
			if broken == nil && events != 3 {
				t.Errorf("end %q: %d of 3 events came", end, events)
			}
		}
	}
}
