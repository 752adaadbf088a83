package actor

const queueKept = 256 // slots of an empty queue: a lone client's writes need one, and concurrent ones some hundred

// dropFirst drops the first n elements of a queue. If the queue becomes empty, as after each write of a lone client, it reuses its
// memory, unless a burst has made that memory large.
func dropFirst[T any](queue []T, n int) []T {
	switch {
	case n < len(queue):
		return queue[n:]
	case cap(queue) > queueKept:
		return nil
	}
	clear(queue)
	return queue[:0]
}
