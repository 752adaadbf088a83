package peer

import (
	"runtime"
	"sync"
)

// frameCost is the cost of a queued frame besides its bytes: many tiny frames cannot use much more memory than the limit.
const frameCost = 32

// queue holds the frames for one stream: many goroutines put, one goroutine takes all at once.
//
// Its size is in bytes and includes the frames being written; its user sets the limit. A frame that does not fit is dropped: raft
// sends lost messages again, and the callers must not block.
type queue struct {
	most int
	wake chan struct{} // holds a token from when frames become ready until they are taken

	mu     sync.Mutex
	frames [][]byte
	bytes  int
	ready  bool // at least one frame is not lazy
	closed bool
}

func newQueue(most int) *queue { return &queue{most: most, wake: make(chan struct{}, 1)} }

// put adds a frame, which must not change any more, and reports whether it fit.
func (q *queue) put(frame []byte, lazy bool) bool {
	q.mu.Lock()
	if q.closed || q.bytes+frameCost+len(frame) > q.most {
		q.mu.Unlock()
		return false
	}
	q.frames = append(q.frames, frame)
	q.bytes += frameCost + len(frame)
	woken := !lazy && !q.ready
	q.ready = q.ready || !lazy
	q.mu.Unlock()
	if woken {
		q.signal()
	}
	return true
}

// hurry makes lazy frames ready, if there are any.
func (q *queue) hurry() {
	q.mu.Lock()
	woken := !q.ready && len(q.frames) > 0
	q.ready = q.ready || woken
	q.mu.Unlock()
	if woken {
		q.signal()
	}
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// peerFramesReused bounds the list of frames that is reused after a burst.
const peerFramesReused = 4096

// take waits for frames and returns all of them, at least one, or nil after close. It reuses the slice of the previous take.
func (q *queue) take(before [][]byte) [][]byte {
	clear(before)
	if cap(before) > peerFramesReused {
		before = nil
	}
	<-q.wake
	// Yield: goroutines that are about to put more frames run first. This coalesces many small frames into one packet.
	runtime.Gosched()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil
	}
	taken := q.frames
	q.frames, q.ready = before[:0], false
	return taken
}

// written releases the space of frames that were taken, with so many bytes in all.
func (q *queue) written(frames, bytes int) {
	q.mu.Lock()
	q.bytes -= frames*frameCost + bytes
	q.mu.Unlock()
}

// waiting returns the number of bytes that are not written yet.
func (q *queue) waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes
}

// close drops the queued frames, and returns their number.
func (q *queue) close() int {
	q.mu.Lock()
	dropped := len(q.frames)
	q.frames, q.closed = nil, true
	q.mu.Unlock()
	q.signal()
	return dropped
}
