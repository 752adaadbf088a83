//go:build !linux || race

package index

import (
	"bytes"
	"runtime"
	"sync/atomic"
	"unsafe"
)

// slabAlign is smaller here because each slab wastes that much.
const slabAlign = 64 << 10

// spareSlabs is 0: the garbage collector manages the memory.
const spareSlabs = 0

// ledger counts the memory of retired slabs. It refers to no slab.
type ledger struct {
	retired atomic.Int64
	mapped  atomic.Int64 // slabs that something may refer to
	resting atomic.Bool  // rest was called, and no slab was requested since
}

// There are no spares here.
func (*ledger) prepare() {}
func (*ledger) trim()    {}

// rest has no spares to unmap here.
func (l *ledger) rest()        { l.resting.Store(true) }
func (l *ledger) atRest() bool { return l.resting.Load() }

// mapSlab takes memory from the heap. It is used without mmap, and under the race detector, which sees only the heap.
func (l *ledger) mapSlab(size int) *slab {
	l.resting.Store(false)
	room := make([]byte, size+slabAlign)
	at := uintptr(unsafe.Pointer(unsafe.SliceData(room)))
	before := int(-at & (slabAlign - 1))
	copy(room[before:before+size], bytes.Repeat([]byte{0xa5}, size)) // code that relies on zeros fails
	l.mapped.Add(1)
	s := &slab{address: ref(at) + ref(before), size: size, given: new(atomic.Bool)}
	given := s.given
	runtime.AddCleanup(s, func([]byte) { // keeps the memory until then
		l.mapped.Add(-1)
		if given.Load() {
			l.retired.Add(-int64(size))
		}
	}, room)
	return s
}
