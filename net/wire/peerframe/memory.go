package peerframe

import (
	"math/bits"
	"sync"

	"qkv/internal/limits"
)

// freed keeps the memory of large frames that were written, by their sizes, four for each power of two. Under load there are
// hundreds a second, of a batch of writes or of a piece of a snapshot each: new memory for each is cleared first, and is garbage that
// is collected beside the writes of others.
var freed [4 * 32]sync.Pool

// memory returns an empty slice with room for so many bytes.
func memory(most int) []byte {
	if most <= limits.PeerCopyBytes {
		return make([]byte, 0, most)
	}
	size, class := sizeFor(most)
	if kept, ok := freed[class].Get().(*[]byte); ok {
		return (*kept)[:0]
	}
	return make([]byte, 0, size)
}

// Free takes back a frame of Encode's that was written, when nobody reads it any more. A smaller one is left to the collector.
func Free(frame []byte) {
	if most := cap(frame); most > limits.PeerCopyBytes {
		if size, class := sizeFor(most); size == most { // else it is nobody's here
			freed[class].Put(&frame)
		}
	}
}

// sizeFor returns the size of the frames in which so many bytes fit, at most a quarter more, and its number.
func sizeFor(most int) (size, class int) {
	n := bits.Len(uint(most - 1))
	step := 1 << max(n-3, 0)
	size = (most + step - 1) / step * step
	return size, 4*n + (size-1)/step&3
}
