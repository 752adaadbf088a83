package index

import (
	"bytes"
	"slices"
	"unsafe"

	"github.com/tidwall/btree"
)

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
