package index

import "slices"

// fifo is a queue of numbered elements, to which the owner adds at the end and from which it takes at the beginning.
// A copy of the struct is a view of it: elements stay where they are, and what is trimmed lives as long as the copy.
type fifo[T any] struct {
	chunks     []*[chunkLen]T
	first, end int64 // numbers of the first element, and behind the last one
}

const (
	chunkBits = 10
	chunkLen  = 1 << chunkBits
)

// startAt makes the empty queue begin with a number.
func (q *fifo[T]) startAt(n int64) {
	q.chunks, q.first, q.end = nil, n, n
}

func (q *fifo[T]) at(n int64) *T {
	return &q.chunks[n>>chunkBits-q.first>>chunkBits][n&(chunkLen-1)]
}

// push adds an element and returns it, for the caller to set. No copy of the queue sees it.
func (q *fifo[T]) push() *T {
	if n := q.end>>chunkBits - q.first>>chunkBits; n == int64(len(q.chunks)) {
		q.chunks = append(q.chunks, new([chunkLen]T))
	}
	q.end++
	return q.at(q.end - 1)
}

// trim drops the elements before a number, which is at most end.
func (q *fifo[T]) trim(first int64) {
	drop := min(first>>chunkBits-q.first>>chunkBits, int64(len(q.chunks)))
	if q.first = first; drop > 0 {
		q.chunks = slices.Clone(q.chunks[drop:]) // so that nothing holds the dropped ones but older copies
	}
}

func (q *fifo[T]) len() int64 { return q.end - q.first }
