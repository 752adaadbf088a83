//go:build !linux || race

package index

import (
	"bytes"
	"runtime"
	"sync/atomic"
	"unsafe"
)

// slabAlign is smaller here, since that much is wasted in each slab.
const slabAlign = 64 << 10

// spareSlabs is none: the garbage collector has them.
const spareSlabs = 0

// ledger is what slabs report to when nothing refers to them any longer. It refers to no slab.
type ledger struct {
	retired atomic.Int64
	resting atomic.Bool // rest was called, and no slab wanted since
}

// There are no spares here.
func (*ledger) prepare() {}
func (*ledger) trim()    {}

// rest has no spares to give back here.
func (l *ledger) rest()        { l.resting.Store(true) }
func (l *ledger) atRest() bool { return l.resting.Load() }

// mapSlab takes memory from the heap: where there is no mmap of our own, and under the race detector, which sees only
// the heap.
func (l *ledger) mapSlab(size int) *slab {
	l.resting.Store(false)
	room := make([]byte, size+slabAlign)
	at := uintptr(unsafe.Pointer(unsafe.SliceData(room)))
	before := int(-at & (slabAlign - 1))
	copy(room[before:before+size], bytes.Repeat([]byte{0xa5}, size)) // whoever relies on zeros is found out
	s := &slab{base: ref(at) + ref(before), size: size, given: new(atomic.Bool)}
	given := s.given
	runtime.AddCleanup(s, func([]byte) { // keeps the memory until then
		if given.Load() {
			l.retired.Add(-int64(size))
		}
	}, room)
	return s
}
