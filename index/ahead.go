package index

import (
	"runtime"
	"sync/atomic"
	"unsafe"
)

// PrefetchKeys is how many keys Prefetch takes at once: what they need fits the caches.
const PrefetchKeys = 32

// Prefetch touches what Get will need for at most PrefetchKeys keys: who has many reads together calls it before. A read
// waits for memory as a put does (apply.go), for its value too, and waiting for all of them takes little longer than for
// one. Nothing depends on it but time.
func (v *View) Prefetch(keys [][]byte) {
	if len(keys) < 2 {
		return
	}
	var hashes [PrefetchKeys]uint64
	var segments [PrefetchKeys]*segment
	var room [PrefetchKeys]ref
	d := v.table.dir.Load()
	for i, key := range keys {
		hashes[i] = hashOf(key)
		segments[i] = d.segments[d.place(hashes[i])].Load()
	}
	for i := range keys {
		segments[i].slots[startOf(hashes[i])].Load()
	}
	refs := room[:0]
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
		at.version().touch()
	}
	runtime.KeepAlive(v)
}

// touchBytes is how much of a value is touched: what is behind that, the processor has read ahead by the time it is copied.
const touchBytes = 512

// touch loads a word of each of the version's cache lines.
func (v *version) touch() {
	for at := 64; at < min(v.size(), touchBytes); at += 64 {
		atomic.LoadUint64((*uint64)(unsafe.Add(unsafe.Pointer(v), at)))
	}
}
