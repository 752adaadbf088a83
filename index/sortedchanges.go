package index

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"runtime"
	"slices"
	"sort"
)

// SortedChanges are the changes of an extent, in key order. They are collected and sorted in steps. It is for one goroutine.
type SortedChanges struct {
	v      *View
	extent Extent
	next   Position // the next change to collect
	runs   []run    // adjacent ones are merged; a key's changes of a run are older than those of the next run
	at     int      // the next run to merge, with the one behind it
	left   run      // what remains of the two that are being merged
	right  run
	merged *run
}

// run is sorted changes, with copies of their keys in the same order: merging runs reads and writes memory in order.
type run struct {
	keys []byte
	all  []keyed
}

// keyed is a change. Its key begins with prefix, which orders most pairs of keys.
type keyed struct {
	prefix uint64
	at     ref
	from   uint32 // of its key, in run.keys
	size   uint16
}

// sortedRun is the number of changes that are sorted at once: about a millisecond.
const sortedRun = 4096

// SortChanges begins to sort the changes of an extent, which must be one that ChangesOf accepts.
func (v *View) SortChanges(e Extent) *SortedChanges {
	return &SortedChanges{v: v, extent: e, next: Position{Revision: e.From}}
}

// Step looks at about n changes, and reports whether all are sorted.
func (c *SortedChanges) Step(n int) (done bool) {
	defer runtime.KeepAlive(c.v)
	for n > 0 && c.next.Revision <= c.extent.To {
		n -= c.collect()
	}
	for n > 0 && !c.sorted() {
		n -= c.merge(n)
	}
	return c.sorted()
}

func (c *SortedChanges) sorted() bool {
	return c.next.Revision > c.extent.To && len(c.runs) <= 1 && c.merged == nil
}

// collect sorts the next run, and returns its length.
func (c *SortedChanges) collect() int {
	refs := make([]ref, 0, sortedRun)
	bytesOf := 0
	h := &c.v.history
	for ; c.next.Revision <= c.extent.To; c.next = (Position{Revision: c.next.Revision + 1}) {
		n := h.changes(c.next.Revision)
		for ; c.next.Sub < n && len(refs) < sortedRun; c.next.Sub++ {
			refs = append(refs, changed(h.change(c.next.Revision, c.next.Sub).Load()))
		}
		if c.next.Sub < n {
			break
		}
	}
	for _, at := range refs { // independent loads, so that the cache misses overlap
		bytesOf += int(ref(at.version().record.Load()).record().size)
	}
	r := run{make([]byte, 0, bytesOf), make([]keyed, 0, len(refs))}
	for _, at := range refs {
		r.add(keyOf(at), at)
	}
	r.skipCommon()
	slices.SortFunc(r.all, func(a, b keyed) int {
		return cmp.Or(cmp.Compare(a.prefix, b.prefix), bytes.Compare(r.key(a), r.key(b)), cmp.Compare(a.from, b.from))
	})
	sorted := run{make([]byte, 0, bytesOf), make([]keyed, 0, len(refs))}
	for _, one := range r.all {
		sorted.add(r.key(one), one.at)
	}
	if len(refs) > 0 {
		c.runs = append(c.runs, sorted)
	}
	return max(len(refs), 1)
}

// skipCommon takes the prefixes behind what all keys of the run begin with: keys often share a long beginning.
func (r *run) skipCommon() {
	if len(r.all) == 0 {
		return
	}
	common := r.key(r.all[0])
	for _, one := range r.all {
		key := r.key(one)
		n := 0
		for n < min(len(common), len(key)) && common[n] == key[n] {
			n++
		}
		common = common[:n]
	}
	for i := range r.all {
		r.all[i].prefix = prefixOf(r.key(r.all[i])[len(common):])
	}
}

func (r *run) key(one keyed) []byte { return r.keys[one.from : one.from+uint32(one.size)] }

func (r *run) add(key []byte, at ref) {
	r.all = append(r.all, keyed{prefixOf(key), at, uint32(len(r.keys)), uint16(len(key))})
	r.keys = append(r.keys, key...)
}

// merge merges two adjacent runs, at most n changes of them.
func (c *SortedChanges) merge(n int) (did int) {
	if c.merged == nil {
		if c.at+1 >= len(c.runs) {
			c.at = 0
		}
		c.left, c.right = c.runs[c.at], c.runs[c.at+1]
		c.merged = &run{make([]byte, 0, len(c.left.keys)+len(c.right.keys)), make([]keyed, 0, len(c.left.all)+len(c.right.all))}
	}
	for ; did < n && len(c.left.all)+len(c.right.all) > 0; did++ {
		from := &c.left
		if len(c.left.all) == 0 || len(c.right.all) > 0 && c.rightFirst() {
			from = &c.right
		}
		one := from.all[0]
		c.merged.add(from.key(one), one.at)
		from.all = from.all[1:]
	}
	if len(c.left.all)+len(c.right.all) == 0 {
		c.runs[c.at] = *c.merged
		c.runs = slices.Delete(c.runs, c.at+1, c.at+2)
		c.left, c.right, c.merged = run{}, run{}, nil
		c.at++
	}
	return did
}

func (c *SortedChanges) rightFirst() bool {
	left, right := c.left.all[0], c.right.all[0]
	if left.prefix != right.prefix {
		return right.prefix < left.prefix
	}
	return bytes.Compare(c.right.key(right), c.left.key(left)) < 0
}

// Scan calls f with each key from on, in key order, and its changes, oldest first, until f returns false. All must be sorted. The
// slices are parts of the View or reused.
func (c *SortedChanges) Scan(from []byte, f func(key []byte, versions []Version) bool) {
	defer runtime.KeepAlive(c.v)
	if len(c.runs) == 0 {
		return
	}
	r := &c.runs[0]
	all := r.all[sort.Search(len(r.all), func(i int) bool { return bytes.Compare(r.key(r.all[i]), from) >= 0 }):]
	var versions []Version
	for len(all) > 0 {
		key := r.key(all[0])
		n := 1
		for n < len(all) && bytes.Equal(r.key(all[n]), key) {
			n++
		}
		versions = slices.Grow(versions[:0], n)[:n]
		for i := range versions {
			versions[i].set(all[i].at.version())
		}
		if !f(key, versions) {
			return
		}
		all = all[n:]
	}
}

// keyOf returns the key of a version.
func keyOf(at ref) []byte { return ref(at.version().record.Load()).record().key() }

// prefixOf returns the first bytes of a key as a number that orders keys as far as it goes.
func prefixOf(key []byte) uint64 {
	if len(key) >= 8 {
		return binary.BigEndian.Uint64(key)
	}
	var b [8]byte
	copy(b[:], key)
	return binary.BigEndian.Uint64(b[:])
}
