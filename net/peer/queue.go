package peer

import (
	"runtime"
	"sync"

	"qkv/internal/limits"
)

// frameCost is what a frame in a queue costs besides its bytes, so that many tiny ones cannot cost much more than the
// limit says.
const frameCost = 32

// queue is what waits to be written to one stream: many put, one goroutine takes all at once.
//
// Its size is in bytes, of the frames that wait and of those being written; its user says which, and what does not fit
// is dropped, because raft sends again what is lost and nobody can wait here.
type queue struct {
	most int
	wake chan struct{} // holds a token from when frames become ready until they are taken

	mu     sync.Mutex
	frames [][]byte
	bytes  int
	ready  bool // not all of the frames are lazy
	closed bool
}

func newQueue(most int) *queue { return &queue{most: most, wake: make(chan struct{}, 1)} }

// put adds a frame, which must not change any more, and says whether there was room.
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

// take waits for frames and returns all of them, at least one, or nil when the queue was closed. The slice that was
// taken before is used again.
func (q *queue) take(before [][]byte) [][]byte {
	clear(before)
	if cap(before) > limits.PeerFramesReused {
		before = nil
	}
	<-q.wake
	// Whoever is about to put more gets to do so: this is what makes many small frames one packet.
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

// written gives back the room of frames that were taken, of so many bytes together.
func (q *queue) written(frames, bytes int) {
	q.mu.Lock()
	q.bytes -= frames*frameCost + bytes
	q.mu.Unlock()
}

// waiting returns how many bytes are not written yet.
func (q *queue) waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes
}

// close drops what waits, and says how many frames that were.
func (q *queue) close() int {
	q.mu.Lock()
	dropped := len(q.frames)
	q.frames, q.closed = nil, true
	q.mu.Unlock()
	q.signal()
	return dropped
}
