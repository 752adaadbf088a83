package index

import (
	"runtime"
	"sync/atomic"
	"unsafe"
)

// PrefetchKeys is the number of keys that Prefetch takes at once. Their memory fits the caches.
const PrefetchKeys = 32

// Prefetch loads the memory that Get will need for at most PrefetchKeys keys. Call it before a batch of reads. A read has
// the same cache misses as a put (apply.go), plus its value's, and all of them in parallel take little longer than one.
// It affects only the timing.
func (v *View) Prefetch(keys [][]byte) {
	if len(keys) < 2 {
		return
	}
	var hashes [PrefetchKeys]uint64
	var segments [PrefetchKeys]*segment
	var found [PrefetchKeys]ref
	d := v.table.dir.Load()
	for i, key := range keys {
		hashes[i] = hashOf(key)
		segments[i] = d.segments[d.entry(hashes[i])].Load()
	}
	for i := range keys {
		segments[i].slots[startOf(hashes[i])].Load()
	}
	refs := found[:0]
	for i := range keys {
		if r := segments[i].guess(hashes[i]); r != 0 {
			refs = append(refs, r)
		}
	}
	for _, r := range refs {
		r.record().head.Load()
	}
	for i, r := range refs {
		refs[i] = ref(r.record().head.Load())
	}
	for _, at := range refs {
		at.version().prev.Load()
	}
	for _, at := range refs {
		at.version().prefetchValue()
	}
	runtime.KeepAlive(v)
}

// touchBytes is how much of a value is loaded. The processor reads the remainder ahead while the value is copied.
const touchBytes = 512

// prefetchValue loads a word of each of the version's cache lines.
func (v *version) prefetchValue() {
	for at := 64; at < min(v.size(), touchBytes); at += 64 {
		atomic.LoadUint64((*uint64)(unsafe.Add(unsafe.Pointer(v), at)))
	}
}
