package index

import (
	"bytes"
	"math/bits"
	"slices"
	"sort"
	"sync/atomic"
	"unsafe"

	"github.com/cespare/xxhash/v2"
	"github.com/tidwall/btree"
)

// frozen is the trees as a View has them.
type frozen struct{ tree, tombstoned *btree.BTreeG[ref] }

// btreeDegree: 16 and 64 were slower.
const btreeDegree = 32

func newTree() *btree.BTreeG[ref] {
	return btree.NewBTreeGOptions(less, btree.Options{Degree: btreeDegree, NoLocks: true})
}

// freeze makes copies of the trees. That writes to the trees themselves, so that only the owner may do it.
func (s *State) freeze() {
	s.frozen, s.changed = frozen{s.tree.Copy(), s.tombstoned.Copy()}, false
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

// flushNewKeys puts the new records into the tree, in the order of their keys: neighbours share the way to their place.
// Whatever looks at the tree calls it before.
func (s *State) flushNewKeys() {
	if len(s.newKeys) == 0 {
		return
	}
	slices.SortFunc(s.newKeys, func(a, b ref) int { return bytes.Compare(a.record().key(), b.record().key()) })
	var hint btree.PathHint
	for _, r := range s.newKeys {
		s.tree.SetHint(r, &hint)
	}
	s.newKeys, s.changed = s.newKeys[:0], true
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

// table finds a key's record by the key's hash: a directory of segments, each an open-addressing table of its own
// that splits in two when it is full, so that growing never takes long (extendible hashing). The owner changes it
// while readers look things up, without a lock: slots are atomic, and a segment or directory that is replaced stays
// as it was.
//
//	hash   63..64-depth      of the directory: which segment
//	       47..32            fingerprint, in the slot beside the record's address
//	       31..0             where in the segment to begin
//
// What a reader finds is never wrong, since it compares the key. What it does not find may be there all the same,
// for three reasons: the key was removed after the reader's View was made, or a record of the same key came back
// since; or the key never went in, since too many keys have its hash (overflow). In those cases the tree decides; the
// lookup tells.
type table struct {
	dir     atomic.Pointer[directory]
	removed atomic.Uint64 // keys that were ever taken out

	count int // owner's: keys in the table
}

type directory struct {
	depth    uint // bits of the hash that name a segment
	segments []atomic.Pointer[segment]
}

const (
	segmentSlots = 511
	// segmentFull is when a segment splits: three quarters.
	segmentFull = 383
	slotRemoved = 1

	fingerShift = refBits
	refMask     = 1<<refBits - 1
)

// segment is 4 KiB.
type segment struct {
	depth    uint16 // constant: bits of the hash that all its keys share
	used     uint16 // owner's: slots that are not empty, removed ones among them
	overflow atomic.Uint32
	slots    [segmentSlots]atomic.Uint64
}

func hashOf(key []byte) uint64 { return xxhash.Sum64(key) }

func finger(hash uint64) uint64 { return hash >> 32 << fingerShift }

func startOf(hash uint64) int { return int(uint64(uint32(hash)) * segmentSlots >> 32) }

// init makes an empty table with room for so many keys.
func (t *table) init(keys int) {
	depth := uint(0)
	for keys>>depth > segmentFull*3/4 {
		depth++
	}
	d := &directory{depth: depth, segments: make([]atomic.Pointer[segment], 1<<depth)}
	for i := range d.segments {
		d.segments[i].Store(&segment{depth: uint16(depth)})
	}
	t.dir.Store(d)
}

func (d *directory) place(hash uint64) int { return int(hash >> 1 >> (63 - d.depth)) }

func (t *table) segment(hash uint64) *segment {
	d := t.dir.Load()
	return d.segments[d.place(hash)].Load()
}

// find returns the record of a key, or 0; then overflow says that this is not certain.
func (t *table) find(hash uint64, key []byte) (found ref, overflow bool) {
	s := t.segment(hash)
	want := finger(hash)
	for i, n := startOf(hash), 0; n < segmentSlots; n++ {
		slot := s.slots[i].Load()
		if slot == 0 {
			break
		}
		if slot&^refMask == want && slot != slotRemoved && bytes.Equal(ref(slot&refMask).record().key(), key) {
			return ref(slot & refMask), false
		}
		if i++; i == segmentSlots {
			i = 0
		}
	}
	return 0, s.overflow.Load() != 0
}

// insert adds a key that is not there.
func (t *table) insert(hash uint64, r ref) {
	s := t.segment(hash)
	for s.used >= segmentFull {
		if !t.divide(hash, s) {
			s.overflow.Store(1)
			return
		}
		s = t.segment(hash)
	}
	s.insert(hash, r)
	t.count++
}

func (s *segment) insert(hash uint64, r ref) {
	i := startOf(hash)
	for s.slots[i].Load() != 0 {
		if i++; i == segmentSlots {
			i = 0
		}
	}
	s.slots[i].Store(finger(hash) | uint64(r))
	s.used++
}

// replace puts another copy of a key's record in the place of the one that is there.
func (t *table) replace(hash uint64, from, to ref) {
	t.put(hash, from, finger(hash)|uint64(to))
}

// remove takes a key out. Readers are warned before.
func (t *table) remove(hash uint64, r ref) {
	t.removed.Add(1)
	if t.put(hash, r, slotRemoved) {
		t.count--
	}
}

// put changes the slot of a record, unless the record did not get in.
func (t *table) put(hash uint64, r ref, to uint64) bool {
	s := t.segment(hash)
	want := finger(hash) | uint64(r)
	for i, n := startOf(hash), 0; n < segmentSlots; n++ {
		switch s.slots[i].Load() {
		case want:
			s.slots[i].Store(to)
			return true
		case 0:
			return false
		}
		if i++; i == segmentSlots {
			i = 0
		}
	}
	return false
}

// divide replaces a full segment: by two, or by one when half of it are removed slots. It does neither when the
// directory is already much larger than any number of keys needs whose hashes are even: then somebody chooses keys
// by their hash, and dividing would go on for ever.
func (t *table) divide(hash uint64, full *segment) bool {
	live := 0
	for i := range full.slots {
		if full.slots[i].Load() > slotRemoved {
			live++
		}
	}
	d := t.dir.Load()
	depth := uint(full.depth)
	if live > segmentSlots/2 {
		if depth >= t.deepest() {
			return false
		}
		depth++
	}
	if depth > d.depth {
		d = t.double(d)
	}
	t.spread(d, d.place(hash), full, depth)
	return true
}

// deepest bounds the directory: sixteen times what even hashes would need.
func (t *table) deepest() uint { return uint(bits.Len(uint(t.count)/segmentFull)) + 4 }

// double makes the directory twice as large; both halves of a place have the same segment.
func (t *table) double(d *directory) *directory {
	twice := &directory{depth: d.depth + 1, segments: make([]atomic.Pointer[segment], 2*len(d.segments))}
	for i := range twice.segments {
		twice.segments[i].Store(d.segments[i/2].Load())
	}
	t.dir.Store(twice)
	return twice
}

// spread puts what is in a full segment into one or two new ones of a depth, and those into the directory.
func (t *table) spread(d *directory, place int, full *segment, depth uint) {
	wide := 1 << (d.depth - uint(full.depth)) // places that the full one has
	each := 1 << (d.depth - depth)            // places that a new one has
	first := place &^ (wide - 1)
	var parts [2]*segment
	for i := range wide / each {
		parts[i] = &segment{depth: uint16(depth)}
		parts[i].overflow.Store(full.overflow.Load())
	}
	for i := range full.slots {
		slot := full.slots[i].Load()
		if slot <= slotRemoved {
			continue
		}
		r := ref(slot & refMask)
		hash := hashOf(r.record().key())
		parts[(d.place(hash)-first)/each].insert(hash, r)
	}
	for i := range wide {
		d.segments[first+i].Store(parts[i/each])
	}
}
