package wire

import (
	"qkv/internal/pack"
)

// arrayAhead is the number of array elements that are allocated at once: growing the array would cause most of the garbage of a
// client whose watches catch up.
const arrayAhead = 256

// readArray reads an array's elements with read. It allocates at most arrayAhead elements before they arrive: the claimed length is
// not trusted. A Reader that is passed to a function value escapes to the heap. So readArray copies the Reader: the callers'
// Readers stay on the stack, and most messages have no array.
func readArray[T any](from *pack.Reader, read func(*pack.Reader) T) (all []T) {
	r := *from
	n := r.Array()
	if n > 0 {
		all = make([]T, 0, min(n, arrayAhead))
	}
	for range n {
		if r.Err() != nil {
			break
		}
		all = append(all, read(&r))
	}
	*from = r
	return all
}
