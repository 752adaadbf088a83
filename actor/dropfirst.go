package actor

import "qkv/internal/limits"

// dropFirst takes the first n from a queue. One that is empty by that, as that of a lone client's writes is after each, begins anew
// in the memory that it has, unless that is what a burst has left.
func dropFirst[T any](queue []T, n int) []T {
	switch {
	case n < len(queue):
		return queue[n:]
	case cap(queue) > limits.QueueKept:
		return nil
	}
	clear(queue)
	return queue[:0]
}
