package index

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"
	"sort"
	"sync/atomic"
	"unsafe"

	"github.com/cespare/xxhash/v2"
	"github.com/tidwall/btree"
)

// keyspace finds the keys' records. Its memory layout is different on each member. Views share the table and the slabs with it.
type keyspace struct {
	// memory has all slabs; table and tree refer into them.
	memory *memory
	// table finds a key's record by its hash. It has all records except the ones that overflow a segment.
	table *table
	// tree has all records except newKeys, in key order. tombstoned has the records in tree whose newest version is a
	// tombstone.
	tree, tombstoned *btree.BTreeG[ref]
	// newKeys are new records that only the table has, until flushNewKeys.
	newKeys []ref
	// frozen are copies of the trees for Views, equal to them unless changed.
	frozen  frozen
	changed bool
	// epoch is the newest epoch. Slabs that are retired now are kept by the Views made until now.
	epoch *epoch

	// records and versions allocate new objects. relocated receives old versions that outlive their slab and tend to
	// stay. cold receives versions without their values, which are dropped in the order in which they come.
	records, versions, relocated, cold arena
	evacuation                         evacuation

	// Scratch space, empty between calls of Apply.
	probe       probe
	prefetching prefetching
}

func newKeyspace(memories *ledger, slabBytes int) keyspace {
	k := keyspace{
		memory: &memory{most: min(slabBytes, slabAlign), ledger: memories},
		table:  &table{}, tree: newTree(), tombstoned: newTree(), records: arena{records: true}, epoch: &epoch{},
	}
	k.table.init(0)
	return k
}

// frozen is the trees as a View has them.
type frozen struct{ tree, tombstoned *btree.BTreeG[ref] }

// btreeDegree: 16 and 64 were slower.
const btreeDegree = 32

func newTree() *btree.BTreeG[ref] {
	return btree.NewBTreeGOptions(less, btree.Options{Degree: btreeDegree, NoLocks: true})
}

// freeze copies the trees. That writes to the trees themselves, so only the owner may call it.
func (s *keyspace) freeze() {
	s.frozen, s.changed = frozen{s.tree.Copy(), s.tombstoned.Copy()}, false
}

// less orders records by key.
func less(a, b ref) bool { return bytes.Compare(a.record().key(), b.record().key()) < 0 }

// probe is a record outside the slabs, for lookups in the tree.
type probe struct{ words []uint64 }

// set returns a reference to a record with the key. It is valid while the probe is reachable, until the next set.
func (p *probe) set(key []byte) ref {
	if n := recordSize(len(key)) / 8; len(p.words) < n {
		p.words = onHeap(n + 8)
	}
	r := ref(uintptr(unsafe.Pointer(unsafe.SliceData(p.words))))
	r.record().size = uint16(len(key))
	copy(r.record().key(), key)
	return r
}

// onHeap makes a slice that does not move, unlike a slice on a stack.
//
//go:noinline
func onHeap(words int) []uint64 { return make([]uint64, words) }

// flushNewKeys adds the new records to the tree in key order: neighbours share the path to their position. Callers that
// read the tree call it first.
func (s *keyspace) flushNewKeys() {
	if len(s.newKeys) == 0 {
		return
	}
	if len(s.newKeys) > manyKeys {
		s.loadNewKeys()
	} else {
		slices.SortFunc(s.newKeys, func(a, b ref) int { return bytes.Compare(a.record().key(), b.record().key()) })
		var hint btree.PathHint
		for _, r := range s.newKeys {
			s.tree.SetHint(r, &hint)
		}
	}
	s.newKeys, s.changed = s.newKeys[:0], true
}

// manyKeys is a number of new keys that only the load of a state has: they come in any order, millions of them.
const manyKeys = 1 << 14

// loadNewKeys is flushNewKeys for very many keys. Nearly all of them differ in the eight bytes behind what they have in common: the sort seldom
// looks at a record.
func (s *keyspace) loadNewKeys() {
	first := s.newKeys[0].record().key()
	common := len(first)
	for _, r := range s.newKeys {
		key := r.record().key()
		for common = min(common, len(key)); !bytes.Equal(key[:common], first[:common]); common-- {
		}
	}
	all := make([]sortable, len(s.newKeys))
	for i, r := range s.newKeys {
		var eight [8]byte
		copy(eight[:], r.record().key()[common:])
		all[i] = sortable{binary.BigEndian.Uint64(eight[:]), r}
	}
	slices.SortFunc(all, func(a, b sortable) int {
		if a.by != b.by {
			return cmp.Compare(a.by, b.by)
		}
		return bytes.Compare(a.at.record().key(), b.at.record().key())
	})
	var hint btree.PathHint
	for empty, i := s.tree.Len() == 0, 0; i < len(all); i++ {
		if empty {
			s.tree.Load(all[i].at)
		} else {
			s.tree.SetHint(all[i].at, &hint)
		}
	}
	s.newKeys = nil
}

// countIn returns the number of records from a record to the end of a range. It descends the tree for each of about
// twenty steps of a binary search, whatever the size of the range.
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

// table finds a key's record by the key's hash. It is a directory of segments (extendible hashing). Each segment is a
// small open-addressing table that splits in two when it is full, so no single step of growing takes long. The owner
// changes the table while readers look keys up without a lock: slots are atomic, and a replaced segment or directory
// stays unchanged.
//
//	hash   63..64-depth      of the directory: which segment
//	       47..32            fingerprint, in the slot beside the record's address
//	       31..0             where in the segment to begin
//
// A found record is always right because the reader compares the key. A key that is not found may still exist, for three
// reasons: it was removed after the reader's View was made; a new record of the key was added since; or the key never
// entered the table because too many keys have its hash (overflow). The lookup reports these cases, and the tree decides.
type table struct {
	dir     atomic.Pointer[directory]
	removed atomic.Uint64 // number of keys ever removed

	count int // owner's: keys in the table
}

type directory struct {
	depth    uint // number of hash bits that select a segment
	segments []atomic.Pointer[segment]
}

const (
	segmentSlots = 511
	// segmentFull is the number of used slots at which a segment splits: three quarters.
	segmentFull = 383
	slotRemoved = 1

	fingerShift = refBits
	refMask     = 1<<refBits - 1
)

// segment is 4 KiB.
type segment struct {
	depth    uint16 // constant: number of hash bits that all its keys share
	used     uint16 // owner's: slots that are not empty, including removed ones
	overflow atomic.Uint32
	slots    [segmentSlots]atomic.Uint64
}

func hashOf(key []byte) uint64 { return xxhash.Sum64(key) }

func finger(hash uint64) uint64 { return hash >> 32 << fingerShift }

func startOf(hash uint64) int { return int(uint64(uint32(hash)) * segmentSlots >> 32) }

// init makes an empty table with space for the given number of keys.
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

func (d *directory) entry(hash uint64) int { return int(hash >> 1 >> (63 - d.depth)) }

func (t *table) segment(hash uint64) *segment {
	d := t.dir.Load()
	return d.segments[d.entry(hash)].Load()
}

// find returns the record of a key, or 0. If it returns 0, overflow says that the key may still exist.
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

// insert adds a key that is not in the table.
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

// replace replaces a key's record with another copy of it.
func (t *table) replace(hash uint64, from, to ref) {
	t.replaceSlot(hash, from, finger(hash)|uint64(to))
}

// remove removes a key. It increments the readers' counter first.
func (t *table) remove(hash uint64, r ref) {
	t.removed.Add(1)
	if t.replaceSlot(hash, r, slotRemoved) {
		t.count--
	}
}

// replaceSlot changes the slot of a record. It returns false if the record is not in the table.
func (t *table) replaceSlot(hash uint64, r ref, to uint64) bool {
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

// divide replaces a full segment: by two, or by one if half of its slots are removed ones. It does neither if the
// directory is already much larger than keys with evenly distributed hashes could need. Then an attacker chooses keys by
// their hash, and dividing would never end.
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
	t.spread(d, d.entry(hash), full, depth)
	return true
}

// deepest bounds the directory's depth: sixteen times the size that evenly distributed hashes need.
func (t *table) deepest() uint { return uint(bits.Len(uint(t.count)/segmentFull)) + 4 }

// double doubles the directory; both halves of an entry refer to the same segment.
func (t *table) double(d *directory) *directory {
	twice := &directory{depth: d.depth + 1, segments: make([]atomic.Pointer[segment], 2*len(d.segments))}
	for i := range twice.segments {
		twice.segments[i].Store(d.segments[i/2].Load())
	}
	t.dir.Store(twice)
	return twice
}

// spread moves the records of a full segment into one or two new ones of the given depth, and adds those to the
// directory.
func (t *table) spread(d *directory, entry int, full *segment, depth uint) {
	wide := 1 << (d.depth - uint(full.depth)) // number of directory entries of the full segment
	each := 1 << (d.depth - depth)            // number of directory entries of a new segment
	first := entry &^ (wide - 1)
	var halves [2]*segment
	for i := range wide / each {
		halves[i] = &segment{depth: uint16(depth)}
		halves[i].overflow.Store(full.overflow.Load())
	}
	for i := range full.slots {
		slot := full.slots[i].Load()
		if slot <= slotRemoved {
			continue
		}
		r := ref(slot & refMask)
		hash := hashOf(r.record().key())
		halves[(d.entry(hash)-first)/each].insert(hash, r)
	}
	for i := range wide {
		d.segments[first+i].Store(halves[i/each])
	}
}
