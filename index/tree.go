package index

import (
	"bytes"
	"slices"
	"sort"
	"unsafe"

	"github.com/tidwall/btree"
)

// frozen is the trees as a View has them.
type frozen struct{ tree, graves *btree.BTreeG[ref] }

// btreeDegree: 16 and 64 were slower.
const btreeDegree = 32

func newTree() *btree.BTreeG[ref] {
	return btree.NewBTreeGOptions(less, btree.Options{Degree: btreeDegree, NoLocks: true})
}

// freeze makes copies of the trees. That writes to the trees themselves, so that only the owner may do it.
func (s *State) freeze() {
	s.frozen, s.changed = frozen{s.tree.Copy(), s.graves.Copy()}, false
}

// less orders records in the tree.
func less(a, b ref) bool { return bytes.Compare(a.record().key(), b.record().key()) < 0 }

// probe is a record of no slab, to look for a key in the tree.
type probe struct{ words []uint64 }

// set makes the probe one for a key. It is valid as long as the probe is reachable and not set again.
func (p *probe) set(key []byte) ref {
	if n := recordSize(len(key)) / 8; len(p.words) < n {
		p.words = onHeap(n + 8)
	}
	r := ref(uintptr(unsafe.Pointer(unsafe.SliceData(p.words))))
	r.record().size = uint16(len(key))
	copy(r.record().key(), key)
	return r
}

// onHeap makes a slice that does not move, as one on a stack would.
//
//go:noinline
func onHeap(words int) []uint64 { return make([]uint64, words) }

// plant puts the new records into the tree, in the order of their keys: neighbours share the way to their place. Whatever
// looks at the tree calls it before.
func (s *State) plant() {
	if len(s.fresh) == 0 {
		return
	}
	slices.SortFunc(s.fresh, func(a, b ref) int { return bytes.Compare(a.record().key(), b.record().key()) })
	var hint btree.PathHint
	for _, r := range s.fresh {
		s.tree.SetHint(r, &hint)
	}
	s.fresh, s.changed = s.fresh[:0], true
}

// countIn returns how many records lie from one up to the end of a range. It goes down the tree for each of about
// twenty steps of a binary search, however many there are between.
func countIn(tree *btree.BTreeG[ref], from ref, end []byte) int {
	rank := func(before func(r ref) bool) int {
		return sort.Search(tree.Len(), func(i int) bool {
			r, _ := tree.GetAt(i)
			return !before(r)
		})
	}
	lo := rank(func(r ref) bool { return less(r, from) })
	hi := rank(func(r ref) bool { return !beyond(r.record().key(), end) })
	return max(hi-lo, 0)
}
