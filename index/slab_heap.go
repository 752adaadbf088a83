//go:build !linux || race

package index

import (
	"runtime"
	"unsafe"
)

// slabAlign is smaller here, since that much is wasted in each slab.
const slabAlign = 64 << 10

// mapSlab takes memory from the heap: where there is no mmap of our own, and under the race detector, which sees only
// the heap.
func mapSlab(size int) *slab {
	room := make([]byte, size+slabAlign)
	at := uintptr(unsafe.Pointer(unsafe.SliceData(room)))
	s := &slab{base: ref((at + slabAlign - 1) &^ (slabAlign - 1)), size: size}
	runtime.AddCleanup(s, func([]byte) {}, room) // keeps the memory until then
	return s
}
