package cli

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"
)

// outcome is what the caller of a put was told.
type outcome uint8

const (
	acknowledged outcome = iota
	unknown              // it may have happened, or may happen yet
	refused              // it certainly did not happen, and will not
)

// putDone is one put of a load. Its number is its value, and no other put's.
type putDone struct {
	key          int
	number       int64
	revision     int64 // of an acknowledged one
	outcome      outcome
	begun, ended time.Duration // of the caller's clock
}

// getDone is one linearizable read of a key.
type getDone struct {
	key          int
	number       int64 // its value; 0: there was no such key
	revision     int64 // of the key
	store        int64 // revision of the store that was read
	begun, ended time.Duration
}

// written is what stands at a revision.
type written struct {
	key    int
	number int64
}

// history is what a load was told, and what the store says happened. It is linearizable when the store's revisions
// are an order of all operations that agrees with the callers' clock: each put is at its own revision, each get at the
// one that the store had when it was read.
type history struct {
	puts  []putDone
	gets  []getDone
	store map[int64]written // by revision
	last  int64             // revision of the store
	// Revisions up to this one were compacted: what stood there is known only from those who were told.
	compacted int64
	others    map[int64]bool // revisions of changes that the test made beside the load
}

// firstRevision is that of the first write.
const firstRevision = 2

// problems are all ways in which the store is wrong.
func (h *history) problems() (found []string) {
	complain := func(format string, values ...any) {
		if len(found) < 20 {
			found = append(found, fmt.Sprintf(format, values...))
		}
	}
	at := h.placePuts(complain)
	h.checkOrder(at, complain)
	h.checkGets(complain)
	return found
}

// placePuts finds the revision of each put that happened, and complains of puts that are lost, there twice, or there
// although they were refused, and of revisions at which nothing that was sent stands.
func (h *history) placePuts(complain func(string, ...any)) map[int64]int64 {
	for _, g := range h.gets { // what was compacted may have been read before
		if _, known := h.store[g.revision]; !known && g.number != 0 && g.revision <= h.compacted {
			h.store[g.revision] = written{g.key, g.number}
		}
	}
	found := map[int64]int64{} // revision by number
	for revision, w := range h.store {
		if first, twice := found[w.number]; twice {
			complain("put %d is there twice, at revisions %d and %d", w.number, first, revision)
		}
		found[w.number] = revision
	}
	sent := map[int64]bool{}
	for _, p := range h.puts {
		sent[p.number] = true
		revision, there := found[p.number]
		switch {
		case p.outcome == acknowledged && p.revision <= h.compacted && !there:
			found[p.number] = p.revision
		case p.outcome == acknowledged && !there:
			complain("put %d was acknowledged at revision %d and is lost", p.number, p.revision)
		case p.outcome == acknowledged && revision != p.revision:
			complain("put %d was acknowledged at revision %d and is at %d", p.number, p.revision, revision)
		case p.outcome == refused && there:
			complain("put %d certainly did not happen, and is at revision %d", p.number, revision)
		case there && h.store[revision].key != p.key:
			complain("put %d was of key %d and is at key %d", p.number, p.key, h.store[revision].key)
		}
	}
	for revision := int64(firstRevision); revision <= h.last; revision++ {
		if w, there := h.store[revision]; there && !sent[w.number] {
			complain("nobody put what is at revision %d", revision)
		} else if !there && revision > h.compacted && !h.others[revision] {
			complain("nothing that was sent is at revision %d", revision)
		}
	}
	return found
}

// checkOrder complains of an operation that began when another had ended, and is not behind it.
func (h *history) checkOrder(at map[int64]int64, complain func(string, ...any)) {
	type operation struct {
		place        int64 // twice the revision, and one more for a get
		begun, ended time.Duration
		what         string
		number       int64
	}
	var all []operation
	for _, p := range h.puts {
		if revision, happened := at[p.number]; happened {
			ended := p.ended
			if p.outcome != acknowledged {
				ended = math.MaxInt64
			}
			all = append(all, operation{2 * revision, p.begun, ended, "put", p.number})
		}
	}
	for _, g := range h.gets {
		all = append(all, operation{2*g.store + 1, g.begun, g.ended, "get of", g.number})
	}
	byBegin := slices.Clone(all)
	slices.SortFunc(byBegin, func(a, b operation) int { return cmp.Compare(a.begun, b.begun) })
	slices.SortFunc(all, func(a, b operation) int { return cmp.Compare(a.ended, b.ended) })
	var newest operation // of those that have ended, the one with the highest place
	for _, o := range byBegin {
		for ; len(all) > 0 && all[0].ended < o.begun; all = all[1:] {
			if all[0].place > newest.place {
				newest = all[0]
			}
		}
		if o.place < newest.place {
			complain("the %s %d is at revision %d and began at %v, when the %s %d at revision %d had ended at %v",
				o.what, o.number, o.place/2, o.begun, newest.what, newest.number, newest.place/2, newest.ended)
		}
	}
}

// checkGets complains of a get that did not read the newest value at the store's revision.
func (h *history) checkGets(complain func(string, ...any)) {
	revisions := map[int][]int64{}
	for revision, w := range h.store {
		revisions[w.key] = append(revisions[w.key], revision)
	}
	for _, all := range revisions {
		slices.Sort(all)
	}
	for _, g := range h.gets {
		all := revisions[g.key]
		behind, exact := slices.BinarySearch(all, g.store)
		if exact {
			behind++
		}
		want, number := int64(0), int64(0)
		if behind > 0 {
			want = all[behind-1]
			number = h.store[want].number
		}
		if want <= h.compacted && g.revision <= h.compacted && g.revision >= want {
			continue // what was between them is not known
		}
		if g.revision != want || g.number != number {
			complain("a get of key %d at revision %d of the store returned put %d of revision %d, not put %d of revision %d",
				g.key, g.store, g.number, g.revision, number, want)
		}
	}
}

// longestGap is the longest time in which no put was acknowledged.
func (h *history) longestGap() (gap time.Duration) {
	var ends []time.Duration
	for _, p := range h.puts {
		if p.outcome == acknowledged {
			ends = append(ends, p.ended)
		}
	}
	slices.Sort(ends)
	for i := 1; i < len(ends); i++ {
		gap = max(gap, ends[i]-ends[i-1])
	}
	return gap
}

func (h *history) count(o outcome) (n int) {
	for _, p := range h.puts {
		if p.outcome == o {
			n++
		}
	}
	return n
}

// TestHistory: the check finds each kind of wrong answer, and nothing in a right one.
func TestHistory(t *testing.T) {
	right := func() *history {
		return &history{
			puts: []putDone{
				{key: 1, number: 10, revision: 2, begun: 0, ended: 5},
				{key: 1, number: 11, revision: 3, begun: 6, ended: 9},
				{key: 2, number: 12, outcome: unknown, begun: 6, ended: 20},
				{key: 2, number: 13, outcome: unknown, begun: 7, ended: 8},
				{key: 2, number: 14, outcome: refused, begun: 7, ended: 8},
				{key: 2, number: 15, revision: 5, begun: 7, ended: 30},
			},
			gets: []getDone{
				{key: 1, number: 10, revision: 2, store: 2, begun: 6, ended: 8},
				{key: 2, number: 0, revision: 0, store: 3, begun: 10, ended: 11},
				{key: 2, number: 12, revision: 4, store: 4, begun: 10, ended: 12},
			},
			store: map[int64]written{2: {1, 10}, 3: {1, 11}, 4: {2, 12}, 5: {2, 15}},
			last:  5,
		}
	}
	if found := right().problems(); len(found) > 0 {
		t.Errorf("a right history is called wrong: %q", found)
	}
	for name, break_ := range map[string]func(h *history){
		"lost":             func(h *history) { delete(h.store, 3) },
		"another revision": func(h *history) { h.store[3], h.store[2] = h.store[2], h.store[3] },
		"twice":            func(h *history) { h.store[6], h.last = written{2, 12}, 6 },
		"refused":          func(h *history) { h.store[6], h.last = written{2, 14}, 6 },
		"from nowhere":     func(h *history) { h.store[6], h.last = written{2, 99}, 6 },
		"a hole":           func(h *history) { h.last = 6 },
		"another key":      func(h *history) { h.store[4] = written{1, 12} },
		"put too early":    func(h *history) { h.puts[0].begun, h.puts[0].ended = 40, 41 },
		"unknown too early": func(h *history) {
			h.puts[2].begun, h.gets = 31, nil
		},
		"stale get":        func(h *history) { h.gets[0].begun = 10; h.gets[0].ended = 11 },
		"get from ahead":   func(h *history) { h.gets[2].ended = 5; h.gets[2].begun = 4 },
		"get goes back":    func(h *history) { h.gets[1].begun, h.gets[1].ended = 13, 14 },
		"get of a part":    func(h *history) { h.gets[2].number, h.gets[2].revision = 0, 0 },
		"get of no value":  func(h *history) { h.gets[2].number = 15 },
		"compacted get":    func(h *history) { h.compacted = 3; h.gets[2].number, h.gets[2].revision = 0, 0 },
		"compacted refuse": func(h *history) { h.compacted = 4; delete(h.store, 4); h.gets[2].number = 14 },
	} {
		h := right()
		break_(h)
		if len(h.problems()) == 0 {
			t.Errorf("%s: it is not found", name)
		}
	}
	h := right()
	h.compacted = 4
	delete(h.store, 2)
	delete(h.store, 3)
	if found := h.problems(); len(found) > 0 {
		t.Errorf("a history that was compacted is called wrong: %q", found)
	}
}
