package peerframe

import (
	"testing"

	"qkv/internal/limits"
)

// A frame has room for what it was asked for, and little more, and what is taken back has as much as what it is given for.
func TestSizes(t *testing.T) {
	sizes := map[int]int{} // by class
	for most := limits.PeerCopyBytes + 1; most <= limits.PeerFrameBytes; most = most*33/32 + 1 {
		for _, n := range []int{most, 1 << 18, 1<<18 + 1, limits.PeerFrameBytes} {
			size, class := sizeFor(n)
			if again, same := sizeFor(size); size < n || size > n+n/4+1 || again != size || same != class {
				t.Fatalf("%d bytes get %d of class %d, and these %d of class %d", n, size, class, again, same)
			}
			if was := sizes[class]; was != 0 && was != size {
				t.Fatalf("class %d has %d and %d bytes", class, was, size)
			}
			sizes[class] = size
		}
	}
	for class, size := range sizes {
		Free(make([]byte, 5, size))
		Free(make([]byte, 0, size-1)) // of somebody else
		if got := memory(size); len(got) != 0 || cap(got) < size {
			t.Errorf("class %d: %d of %d bytes", class, len(got), cap(got))
		}
	}
}
