// Package buffers is a pool of byte slices by size, for requests, frames and answers over 4 KiB. Fresh memory would be cleared for each of
// them, and would be garbage afterwards. All functions are for any goroutine.
package buffers

import (
	"math/bits"
	"sync"
	"unsafe"
)

const (
	// Least is the largest size that is not pooled: allocating it costs less than copying it.
	Least = 4 << 10
	// most is the largest pooled size: larger than one frame between members.
	most = 18 << 20

	// Up to quarters bytes, four sizes are pooled for each power of two; above, all multiples of step. So a buffer is larger than asked
	// for by at most a quarter, or by step.
	quarters     = 256 << 10
	step         = 64 << 10
	leastShift   = 10 // of the sizes from 4 to 8 KiB
	quarterSizes = 24 // from 5 to 256 KiB
)

// pools holds the buffers of each size, as pointers to their first bytes.
var pools [quarterSizes + (most-quarters)/step]sync.Pool

// place returns the index of the pool for buffers of at least n bytes, and the size of these buffers. It is false if they are not pooled.
func place(n int) (at, size int, pooled bool) {
	switch {
	case n <= Least || n > most:
		return 0, n, false
	case n > quarters:
		steps := (n + step - 1) / step
		return quarterSizes + steps - quarters/step - 1, steps * step, true
	default:
		shift := bits.Len(uint(n-1)) - 3
		parts := (n + 1<<shift - 1) >> shift // 5 to 8
		return 4*(shift-leastShift) + parts - 5, parts << shift, true
	}
}

// Get returns an empty buffer with a capacity of at least n bytes. The capacity may hold bytes of an earlier use.
func Get(n int) []byte {
	at, size, pooled := place(n)
	if pooled {
		if first, found := pools[at].Get().(*byte); found {
			return unsafe.Slice(first, size)[:0]
		}
	}
	return make([]byte, 0, size)
}

// Put takes back a buffer that Get returned, with or without bytes appended to it. The caller must not use the buffer any more. A buffer
// of a size that is not pooled is left to the garbage collector.
func Put(b []byte) {
	if at, size, pooled := place(cap(b)); pooled && size == cap(b) {
		pools[at].Put(unsafe.SliceData(b))
	}
}
