package node

import (
	"fmt"
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
			if o.kind == opPut {
				o.value = fmt.Sprintf("v%d", i)
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
	old := live[o.key]
	switch {
	case o.kind == opRead:
		if old != nil {
			o.pairs = []pairSeen{{key: old.key, value: old.value, create: old.create, mod: old.revision, version: old.version}}
		}
	case o.kind == opDelete && old == nil:
	default:
		h.revision++
		h.visible = append(h.visible, clock)
		e := event{revision: h.revision, key: o.key, value: o.value, create: h.revision, version: 1, deleted: o.kind == opDelete}
		if o.kind == opDelete {
			o.deleted = 1
			delete(live, o.key)
		} else {
			if old != nil {
				e.create, e.version = old.create, old.version+1
			}
			live[o.key] = &e
		}
		h.events = append(h.events, e)
	}
	o.revision = h.revision
}

func (h *recorded) check() error {
	t, err := newTruth(slices.Clone(h.events), h.revision, h.visible)
	if err != nil {
		return err
	}
	return checkHistory(t, h.operations)
}

// Both judges accept what is right.
func TestJudgesAccept(t *testing.T) {
	for seed := range uint64(200) {
		h := record(rand.New(rand.NewPCG(seed, 1)), 200)
		if err := h.check(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if found := byPorcupine(h.operations); found == porcupine.Illegal {
			t.Fatalf("seed %d: porcupine finds no order", seed)
		}
	}
}

// What a store could get wrong, and what the first judge says then. Where porcupine must find it, too, it is asked.
var wrongs = []struct {
	name      string
	porcupine bool
	spoil     func(r *rand.Rand, h *recorded) bool // false when there is nothing to spoil
	want      string
}{
	{"a stale read", true, func(r *rand.Rand, h *recorded) bool {
		for _, o := range h.operations {
			if o.kind != opRead || len(o.pairs) == 0 || slices.ContainsFunc(h.operations, func(d *operation) bool { return d.kind == opDelete && d.key == o.key }) {
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
		for i := len(h.events) / 2; i < len(h.events); i++ {
			h.events[i].revision++
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
				if !wrong.spoil(r, h) {
					continue
				}
				tried++
				if err := h.check(); err == nil || !strings.Contains(err.Error(), wrong.want) {
					t.Fatalf("seed %d: %v", seed, err)
				}
				if wrong.porcupine && byPorcupine(h.operations) != porcupine.Illegal {
					t.Fatalf("seed %d: porcupine accepts it", seed)
				}
			}
			if tried == 0 {
				t.Fatal("there was nothing to spoil")
			}
		})
	}
}
