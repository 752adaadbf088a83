package node

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/anishathalye/porcupine"
)

// recorded is a history that a simple store made: clients whose operations overlap, each of which takes effect at one
// moment between its beginning and its end.
type recorded struct {
	events     []event
	operations []*operation
	visible    []int64
	revision   int64
}

// record makes a linearizable history.
func record(r *rand.Rand, n int) *recorded {
	h := &recorded{revision: 1, visible: []int64{0, 0}}
	live := map[string]*event{}
	clock := int64(0)
	type pending struct {
		o    *operation
		done bool
	}
	var open []*pending
	for i := 0; i < n || len(open) > 0; {
		clock++
		switch {
		case i < n && (len(open) == 0 || len(open) < 8 && r.IntN(2) == 0):
			o := &operation{client: i, member: "n1", key: fmt.Sprintf("k%d", r.IntN(4)), kind: pick(r, opPut, opPut, opDelete, opRead, opRead), invoked: clock}
			if o.key == "k0" && o.kind == opDelete { // one key is never deleted
				o.kind = opRead
			}
			switch {
			case o.kind == opPut:
				o.value = fmt.Sprintf("v%d", i)
			case r.IntN(4) == 0 && o.kind == opDelete:
				o.key, o.end = "k1", "l"
			case r.IntN(4) == 0 && o.kind == opRead:
				o.key, o.end = "k", "l"
			}
			h.operations = append(h.operations, o)
			open = append(open, &pending{o: o})
			i++
		default:
			k := r.IntN(len(open))
			p := open[k]
			if !p.done {
				p.done = true
				h.effect(p.o, live, clock)
				continue
			}
			p.o.returned, p.o.outcome = clock, outcomeDone
			if r.IntN(20) == 0 && p.o.write() {
				p.o.outcome = outcomeUnknown
				p.o.revision, p.o.deleted = 0, 0
			}
			open = slices.Delete(open, k, k+1)
		}
	}
	return h
}

// effect carries an operation out.
func (h *recorded) effect(o *operation, live map[string]*event, clock int64) {
	var covered []*event
	for _, key := range slices.Sorted(maps.Keys(live)) {
		if o.covers(key) {
			covered = append(covered, live[key])
		}
	}
	switch {
	case o.kind == opRead:
		for _, e := range covered {
			o.pairs = append(o.pairs, pairSeen{key: e.key, value: e.value, create: e.create, mod: e.revision, version: e.version})
		}
	case o.kind == opDelete && len(covered) == 0:
	default:
		h.revision++
		h.visible = append(h.visible, clock)
		for sub, e := range covered {
			if o.kind == opDelete {
				h.events = append(h.events, event{revision: h.revision, sub: int64(sub), key: e.key, deleted: true})
				o.deleted++
				delete(live, e.key)
			}
		}
		if o.kind == opPut {
			e := event{revision: h.revision, key: o.key, value: o.value, create: h.revision, version: 1}
			if old := live[o.key]; old != nil {
				e.create, e.version = old.create, old.version+1
			}
			live[o.key] = &e
			h.events = append(h.events, e)
		}
	}
	o.revision = h.revision
}

func (h *recorded) truth() (*truth, error) {
	return newTruth(slices.Clone(h.events), h.revision, h.visible)
}

func (h *recorded) check() error {
	t, err := h.truth()
	if err != nil {
		return err
	}
	return checkHistory(t, h.operations)
}

// byPorcupine asks the second judge; t is what it is told of the history.
func (h *recorded) byPorcupine(t *testing.T) verdict {
	truth, err := h.truth()
	if err != nil {
		t.Fatal(err)
	}
	return byPorcupine(truth, h.operations, wait)
}

// Both judges accept what is right, and the second one looks at everything.
func TestJudgesAccept(t *testing.T) {
	for seed := range uint64(200) {
		h := record(rand.New(rand.NewPCG(seed, 1)), 200)
		found := h.byPorcupine(t)
		if found.result == porcupine.Illegal {
			t.Fatalf("seed %d: porcupine finds no order", seed)
		}
		if found.checked < 200*3/4 {
			t.Fatalf("seed %d: porcupine looked at %d of 200 operations, and was undecided of %d", seed, found.checked, found.undecided)
		}
		if err := h.check(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// What a store could get wrong, and what the first judge says then. Where porcupine must find it, too, it is asked.
var wrongs = []struct {
	name      string
	porcupine bool
	corrupt   func(r *rand.Rand, h *recorded) bool // false when there is nothing to corrupt
	want      string
}{
	{"a stale read", true, func(r *rand.Rand, h *recorded) bool {
		for _, o := range h.operations {
			if o.kind != opRead || o.end != "" || len(o.pairs) == 0 || slices.ContainsFunc(h.operations, func(d *operation) bool { return d.kind == opDelete && d.covers(o.key) }) {
				continue
			}
			// It began after a write to the key had ended, which nobody has deleted, and shows what was before.
			for _, w := range h.operations {
				if w.kind == opPut && w.key == o.key && w.outcome == outcomeDone && w.returned < o.invoked {
					o.pairs, o.revision = nil, 1
					return true
				}
			}
		}
		return false
	}, "began after another one had ended"},
	{"a range delete that left a key", true, func(r *rand.Rand, h *recorded) bool {
		for _, d := range h.operations {
			if d.kind != opDelete || d.end == "" || d.deleted != 3 || d.outcome != outcomeDone {
				continue
			}
			// A read that begins after it still shows a key that nobody has written since.
			for _, o := range h.operations {
				if o.kind != opRead || o.end != "" || !d.covers(o.key) || o.invoked < d.returned || len(o.pairs) > 0 {
					continue
				}
				if slices.ContainsFunc(h.operations, func(w *operation) bool {
					return w.kind == opPut && w.key == o.key && (w.outcome == outcomeUnknown || w.returned > d.invoked)
				}) {
					continue
				}
				for _, e := range h.events {
					if e.key == o.key && !e.deleted {
						o.pairs = []pairSeen{{key: e.key, value: e.value, create: e.create, mod: e.revision, version: e.version}}
					}
				}
				return len(o.pairs) > 0
			}
		}
		return false
	}, "a read shows other things"},
	{"a read of a range that misses a key", true, func(r *rand.Rand, h *recorded) bool {
		for _, o := range h.operations {
			// k0 is never deleted
			if o.kind == opRead && o.end != "" && len(o.pairs) > 1 && o.pairs[0].key == "k0" {
				o.pairs = o.pairs[1:]
				return slices.ContainsFunc(h.operations, func(w *operation) bool {
					return w.kind == opPut && w.key == "k0" && w.outcome == outcomeDone && w.returned < o.invoked
				})
			}
		}
		return false
	}, "a read shows other things"},
	{"a read answered by nothing", false, func(r *rand.Rand, h *recorded) bool {
		for _, o := range h.operations {
			if o.kind == opRead && o.outcome == outcomeDone && len(o.pairs) > 0 {
				o.pairs, o.revision = nil, 0
				return true
			}
		}
		return false
	}, "of no revision"},
	{"an acknowledged delete that did nothing", false, func(r *rand.Rand, h *recorded) bool {
		for _, o := range h.operations {
			if o.kind == opDelete && o.outcome == outcomeDone && o.deleted == 0 {
				o.revision = 0
				return true
			}
		}
		return false
	}, "of no revision"},
	{"an acknowledged delete that found nothing", false, func(r *rand.Rand, h *recorded) bool {
		for _, o := range h.operations {
			if o.kind != opDelete || o.end != "" || o.deleted != 1 || o.outcome != outcomeDone || slices.ContainsFunc(h.operations, func(u *operation) bool {
				return u.kind == opDelete && u.outcome == outcomeUnknown
			}) {
				continue
			}
			o.deleted = 0 // its change stays in the history
			return true
		}
		return false
	}, "nobody asked"},
	{"a lost write", false, func(r *rand.Rand, h *recorded) bool {
		for _, o := range h.operations {
			if o.kind == opPut && o.outcome == outcomeDone && o.revision == h.revision {
				h.events, h.visible, h.revision = h.events[:len(h.events)-1], h.visible[:len(h.visible)-1], h.revision-1
				return true
			}
		}
		return false
	}, "is lost"},
	{"a write of another client's value", false, func(r *rand.Rand, h *recorded) bool {
		at := slices.IndexFunc(h.events, func(e event) bool { return !e.deleted })
		h.events[at].value = "nobody's"
		return true
	}, ""},
	{"a failed write that happened", false, func(r *rand.Rand, h *recorded) bool {
		for _, o := range h.operations {
			if o.kind == opPut && o.outcome == outcomeDone {
				o.outcome = outcomeFailed
				return true
			}
		}
		return false
	}, "certainly did not happen"},
	{"a delete that nobody asked for", false, func(r *rand.Rand, h *recorded) bool {
		at := slices.IndexFunc(h.operations, func(o *operation) bool {
			return o.kind == opDelete && o.outcome == outcomeDone && o.deleted > 0
		})
		if at < 0 {
			return false
		}
		h.operations = slices.DeleteFunc(h.operations, func(o *operation) bool {
			return o == h.operations[at] || (o.kind == opDelete && o.outcome == outcomeUnknown)
		})
		return true
	}, "nobody asked"},
	{"a revision that is missing", false, func(r *rand.Rand, h *recorded) bool {
		from := h.events[len(h.events)/2].revision
		for i := range h.events {
			if e := &h.events[i]; e.revision >= from {
				e.revision++
				if e.create >= from {
					e.create++
				}
			}
		}
		h.revision++
		return true
	}, "follows"},
	{"a version that was counted twice", false, func(r *rand.Rand, h *recorded) bool {
		for i := range h.events {
			if e := &h.events[i]; !e.deleted {
				e.version++
				return true
			}
		}
		return false
	}, "right are"},
	{"a value written twice", false, func(r *rand.Rand, h *recorded) bool {
		for i := range h.events {
			for k := range h.events[:i] {
				if !h.events[i].deleted && !h.events[k].deleted {
					h.events[i].value = h.events[k].value
					return true
				}
			}
		}
		return false
	}, "written twice"},
	{"an answer of another revision", false, func(r *rand.Rand, h *recorded) bool {
		for _, o := range h.operations {
			if o.kind == opPut && o.outcome == outcomeDone && o.revision > 2 {
				o.revision--
				return true
			}
		}
		return false
	}, "is revision"},
}

// The first judge finds each of them, and porcupine does where it can.
func TestJudgesRefuse(t *testing.T) {
	for _, wrong := range wrongs {
		t.Run(wrong.name, func(t *testing.T) {
			tried := 0
			for seed := range uint64(100) {
				r := rand.New(rand.NewPCG(seed, 2))
				h := record(r, 150)
				if !wrong.corrupt(r, h) {
					continue
				}
				tried++
				if err := h.check(); err == nil || !strings.Contains(err.Error(), wrong.want) {
					t.Fatalf("seed %d: %v", seed, err)
				}
				if wrong.porcupine && h.byPorcupine(t).result != porcupine.Illegal {
					t.Fatalf("seed %d: porcupine accepts it", seed)
				}
			}
			if tried == 0 {
				t.Fatal("there was nothing to corrupt")
			}
		})
	}
}

// Deletes of unknown outcome are given the changes that nobody else made so that all fit, not as the first guess has it: a
// delete of one key may have made either of two changes, the other delete only one of them.
func TestDeletesOfUnknownOutcome(t *testing.T) {
	h := &recorded{revision: 5, visible: []int64{0, 0, 10, 20, 30, 40}, events: []event{
		{revision: 2, key: "a", value: "1", create: 2, version: 1},
		{revision: 3, key: "a", deleted: true},
		{revision: 4, key: "a", value: "2", create: 4, version: 1},
		{revision: 5, key: "a", deleted: true},
	}}
	put := func(value string, revision, from, to int64) *operation {
		return &operation{kind: opPut, key: "a", value: value, revision: revision, outcome: outcomeDone, invoked: from, returned: to}
	}
	early := &operation{kind: opDelete, key: "a", invoked: 11, returned: 50}
	late := &operation{kind: opDelete, key: "a", invoked: 25, returned: 51} // not before the third revision was seen
	for _, deletes := range [][]*operation{{early, late}, {late, early}} {
		early.revision, late.revision = 0, 0
		h.operations = append([]*operation{put("1", 2, 1, 10), put("2", 4, 21, 30)}, deletes...)
		if err := h.check(); err != nil || early.revision != 3 || late.revision != 5 {
			t.Errorf("the deletes are given revisions %d and %d: %v", early.revision, late.revision, err)
		}
	}
	early.invoked = 26 // now nobody can have deleted it at first
	if err := h.check(); err == nil || !strings.Contains(err.Error(), "nobody asked") {
		t.Errorf("a change before all deletes: %v", err)
	}
}
