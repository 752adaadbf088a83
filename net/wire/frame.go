package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
)

// ErrFrame is the error of bytes that are no frame. The stream they came on is of no more use.
var ErrFrame = errors.New("not a qkv frame")

const (
	// frameBufferLeast is what a [FrameReader] begins with, so that a thousand idle streams stay cheap.
	frameBufferLeast = 4 << 10
	// frameBufferMost is what it grows to while data flows; only a longer frame makes it larger, and only for itself.
	frameBufferMost = 64 << 10
)

// uvarintLen returns how many bytes the length n takes.
func uvarintLen(n int) int { return (bits.Len64(uint64(n)|1) + 6) / 7 }

// beginFrame leaves room for the length of a frame of about guess bytes and returns where the frame begins.
func beginFrame(dst []byte, guess int) ([]byte, int) {
	var room [binary.MaxVarintLen64]byte
	return append(dst, room[:uvarintLen(guess)]...), len(dst)
}

// endFrame writes the length of the frame that was begun at start with the same guess. Where the guess was so wrong
// that the length takes another number of bytes, the frame is moved.
func endFrame(dst []byte, start, guess int) []byte {
	room := uvarintLen(guess)
	size := len(dst) - start - room
	need := uvarintLen(size)
	switch {
	case need > room:
		var more [binary.MaxVarintLen64]byte
		dst = append(dst, more[:need-room]...)
		copy(dst[start+need:], dst[start+room:start+room+size])
	case need < room:
		copy(dst[start+need:], dst[start+room:])
		dst = dst[:start+need+size]
	}
	binary.PutUvarint(dst[start:start+need], uint64(size))
	return dst
}

// SplitFrame returns the first frame of b and what follows it. With ok false b ends before the frame does.
func SplitFrame(b []byte, most int) (frame, rest []byte, ok bool, err error) {
	size, header, err := frameSize(b, most)
	if err != nil || header == 0 || len(b)-header < size {
		return nil, b, false, err
	}
	end := header + size
	return b[header:end:end], b[end:], true, nil
}

// frameSize reads a frame's length and how many bytes that took: none when b ends within it.
func frameSize(b []byte, most int) (size, header int, err error) {
	n, header := binary.Uvarint(b)
	switch {
	case header == 0 && len(b) < binary.MaxVarintLen64:
		return 0, 0, nil
	case header <= 0:
		return 0, 0, fmt.Errorf("%w: its length has no end", ErrFrame)
	case n == 0:
		return 0, 0, fmt.Errorf("%w: its length is 0", ErrFrame)
	case n > uint64(most):
		return 0, 0, fmt.Errorf("%w: its length of %d bytes is over the limit of %d", ErrFrame, n, most)
	case header != uvarintLen(int(n)):
		return 0, 0, fmt.Errorf("%w: its length %d takes %d bytes", ErrFrame, n, header)
	}
	return int(n), header, nil
}

// FrameReader cuts a stream into frames: many to one Read, when they came together. It is for one goroutine.
//
//	for {
//		if err := r.Fill(); err != nil { ... }
//		for {
//			frame, err := r.Next()
//			if frame == nil || err != nil { ... break }
//			// the frame is valid until the next Fill
//		}
//		// here ends a batch: what arrived together
//	}
type FrameReader struct {
	// Constant.
	from io.Reader
	most int          // the longest frame
	room FrameBuffers // who is asked for room; nil: nobody

	buf        []byte // at least frameBufferLeast; what is above that, room granted
	start, end int    // buf[start:end] was read and not handed out yet
	full       bool   // the last read filled buf
	skip       int    // bytes still to come of a frame for which there was no room; buf is empty while it is not 0
}

// FrameBuffers bounds the memory of many readers together. Take asks for so many bytes more than a reader begins with;
// Give returns them.
type FrameBuffers interface {
	Take(bytes int) bool
	Give(bytes int)
}

// NoRoomError is a frame for which there was no room. It is skipped, and the stream goes on behind it.
type NoRoomError struct {
	Head []byte // how the frame's body begins; valid until the next Fill
	Size int    // of the body
}

func (e *NoRoomError) Error() string {
	return fmt.Sprintf("no room for a frame of %d bytes", e.Size)
}

// NewFrameReader returns a reader that refuses frames of more than most bytes.
func NewFrameReader(from io.Reader, most int) *FrameReader {
	return NewBoundedFrameReader(from, most, nil)
}

// NewBoundedFrameReader returns a reader that asks room before its buffer grows beyond frameBufferLeast. Release gives
// back what it has.
func NewBoundedFrameReader(from io.Reader, most int, room FrameBuffers) *FrameReader {
	return &FrameReader{from: from, most: most, room: room, buf: make([]byte, frameBufferLeast)}
}

// Fill waits until something can be read and reads it. Frames that Next returned earlier are overwritten. After a
// [NoRoomError] the reader goes on with the next frame.
func (r *FrameReader) Fill() error {
	if err := r.makeRoom(); err != nil {
		return err
	}
	n, err := r.from.Read(r.buf[r.end:])
	r.end += n
	skipped := min(r.skip, n)
	r.skip -= skipped
	r.start += skipped
	r.full = r.end == len(r.buf) && r.skip == 0
	if n > 0 {
		return nil // an error that came along comes again
	}
	if err == io.EOF && (r.end > r.start || r.skip > 0) {
		return fmt.Errorf("%w: the stream ended within it, after %d bytes", ErrFrame, r.end-r.start)
	}
	return err
}

// makeRoom moves what is left to the front of the buffer: of a larger one when reads fill this one or a frame does not
// fit, of a smaller one when a large frame is gone. A frame's claimed length is believed only once
// frameBufferMost bytes of it have arrived.
func (r *FrameReader) makeRoom() error {
	left := r.end - r.start
	size := len(r.buf)
	switch {
	case left == size && size >= frameBufferMost:
		size = r.sizeOfFirst()
	case left == size, r.full && size < frameBufferMost:
		size *= 2
	case size > frameBufferMost && left <= frameBufferMost/2:
		size = frameBufferMost
	}
	if !r.resize(size) && left == len(r.buf) {
		return r.skipFirst()
	}
	copy(r.buf, r.buf[r.start:r.end])
	r.start, r.end = 0, left
	return nil
}

// resize makes the buffer one of size bytes, unless there is no room for it.
func (r *FrameReader) resize(size int) bool {
	more := size - len(r.buf)
	switch {
	case more == 0:
		return true
	case r.room == nil:
	case more < 0:
		defer r.room.Give(-more)
	case !r.room.Take(more):
		return false
	}
	other := make([]byte, size)
	r.end = copy(other, r.buf[r.start:r.end])
	r.buf, r.start = other, 0
	return true
}

// skipFirst gives up the frame that fills the buffer.
func (r *FrameReader) skipFirst() error {
	size, header, err := frameSize(r.buf[r.start:r.end], r.most)
	if err != nil {
		return err
	}
	r.skip = header + size - (r.end - r.start)
	refused := &NoRoomError{Head: r.buf[r.start+header : r.end], Size: size}
	r.start, r.end, r.full = 0, 0, false
	return refused
}

// Grown says that the buffer is larger than the one that the reader began with.
func (r *FrameReader) Grown() bool { return len(r.buf) > frameBufferLeast }

// Trim makes the buffer as small as what is in it allows, for a stream on which nothing has come for a while.
func (r *FrameReader) Trim() {
	if r.end-r.start <= frameBufferLeast {
		r.resize(frameBufferLeast)
		r.full = false
	}
}

// Release gives back the room of a reader that is not used any more.
func (r *FrameReader) Release() {
	if r.room != nil {
		r.room.Give(len(r.buf) - frameBufferLeast)
	}
	r.buf, r.start, r.end = nil, 0, 0
}

// sizeOfFirst returns how large a buffer the frame needs that fills this one: with some room behind it, so that
// the buffer is never full without a whole frame.
func (r *FrameReader) sizeOfFirst() int {
	size, header, err := frameSize(r.buf[r.start:r.end], r.most)
	if err != nil || header+size < len(r.buf) {
		panic(fmt.Sprintf("wire: Fill after Next was not called until nil: %d bytes, a frame of %d", r.end-r.start, size))
	}
	return header + size + frameBufferLeast
}

// Next returns the next frame that is there as a whole, or nil when there is none before the next Fill.
func (r *FrameReader) Next() ([]byte, error) {
	frame, _, ok, err := SplitFrame(r.buf[r.start:r.end], r.most)
	if !ok || err != nil {
		return nil, err
	}
	r.start += uvarintLen(len(frame)) + len(frame)
	return frame, nil
}

// Partial returns how many bytes there are of a frame that has not arrived as a whole.
func (r *FrameReader) Partial() int { return r.end - r.start }

const (
	// reuseMost is the largest buffer that is used again: thousands of small frames.
	reuseMost = 512 << 10
	// reuseSmall is how often in a row a buffer may turn out to be far too large before it is given up.
	reuseSmall = 32
)

// Reuse decides about buffers of frames that were written: it keeps those that are large for good reason, and gives up
// those that are left of a burst.
type Reuse struct{ small int }

// Of returns the buffer, emptied, or none.
func (r *Reuse) Of(b []byte) []byte {
	if cap(b) <= frameBufferMost || len(b) >= cap(b)/8 {
		r.small = 0
	} else {
		r.small++
	}
	if cap(b) > reuseMost || r.small > reuseSmall {
		r.small = 0
		return nil
	}
	return b[:0]
}
