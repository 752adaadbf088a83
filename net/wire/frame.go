package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"

	"qkv/internal/buffers"
)

// ErrFrame is the error of bytes that are not a frame. Their stream cannot be used any more.
var ErrFrame = errors.New("not a qkv frame")

const (
	// frameBufferLeast is the initial size of a [FrameReader]'s buffer: a thousand idle streams stay cheap.
	frameBufferLeast = 4 << 10
	// frameBufferMost is the size to which the buffer grows while data flows. Only a longer frame makes it larger, and only for
	// that frame.
	frameBufferMost = 64 << 10
)

// uvarintLen returns the number of bytes of the encoded length n.
func uvarintLen(n int) int { return (bits.Len64(uint64(n)|1) + 6) / 7 }

// beginFrame reserves space for the length of a frame of about guess bytes and returns where the frame begins.
func beginFrame(dst []byte, guess int) ([]byte, int) {
	var room [binary.MaxVarintLen64]byte
	return append(dst, room[:uvarintLen(guess)]...), len(dst)
}

// endFrame writes the length of the frame that began at start with the same guess. If the length needs another number of bytes than
// the guess, the frame is moved.
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

// SplitFrame returns the first frame of b and the bytes after it. If ok is false, b ends before the frame does.
func SplitFrame(b []byte, most int) (frame, rest []byte, ok bool, err error) {
	size, header, err := frameSize(b, most)
	if err != nil || header == 0 || len(b)-header < size {
		return nil, b, false, err
	}
	end := header + size
	return b[header:end:end], b[end:], true, nil
}

// frameSize reads a frame's length and returns the size of its header: 0 if b ends within the header.
func frameSize(b []byte, most int) (size, header int, err error) {
	n, header := binary.Uvarint(b)
	switch {
	case header == 0 && len(b) < binary.MaxVarintLen64:
		return 0, 0, nil
	case header <= 0:
		return 0, 0, fmt.Errorf("%w: its length field is not terminated", ErrFrame)
	case n == 0:
		return 0, 0, fmt.Errorf("%w: its length is 0", ErrFrame)
	case n > uint64(most):
		return 0, 0, fmt.Errorf("%w: its length of %d bytes is over the limit of %d", ErrFrame, n, most)
	case header != uvarintLen(int(n)):
		return 0, 0, fmt.Errorf("%w: its length %d is encoded in %d bytes", ErrFrame, n, header)
	}
	return int(n), header, nil
}

// FrameReader splits a stream into frames. One Read may return many frames. It is for one goroutine.
//
//	for {
//		if err := r.Fill(); err != nil { ... }
//		for {
//			frame, err := r.Next()
//			if frame == nil || err != nil { ... break }
//			// the frame is valid until the next Fill
//		}
//		// here a batch ends: the frames that arrived together
//	}
type FrameReader struct {
	// Constant.
	from io.Reader
	most int          // the longest frame
	room FrameBuffers // the memory budget; nil: unlimited

	buf        []byte // at least frameBufferLeast; the bytes above that are reserved from room
	start, end int    // buf[start:end] was read and not returned yet
	full       bool   // the last read filled buf
	skip       int    // remaining bytes of a frame that the budget refused; buf is empty while it is not 0
}

// FrameBuffers is a memory budget that many readers share. Take reserves bytes beyond a reader's initial buffer; Give returns them.
type FrameBuffers interface {
	Take(bytes int) bool
	Give(bytes int)
}

// NoBudgetError is the error of a frame that exceeds the memory budget. The reader skips the frame, and the stream goes on after it.
type NoBudgetError struct {
	Head []byte // the beginning of the frame's body; valid until the next Fill
	Size int    // of the body
}

func (e *NoBudgetError) Error() string {
	return fmt.Sprintf("no memory budget left for a frame of %d bytes", e.Size)
}

// NewFrameReader returns a reader that refuses frames of more than most bytes.
func NewFrameReader(from io.Reader, most int) *FrameReader {
	return NewBoundedFrameReader(from, most, nil)
}

// NewBoundedFrameReader returns a reader that reserves memory from room before its buffer grows beyond frameBufferLeast. Release
// returns the reserved memory.
func NewBoundedFrameReader(from io.Reader, most int, room FrameBuffers) *FrameReader {
	return &FrameReader{from: from, most: most, room: room, buf: make([]byte, frameBufferLeast)}
}

// Fill waits until bytes arrive and reads them. It overwrites the frames that Next returned earlier. After a [NoBudgetError] the
// reader goes on with the next frame.
func (r *FrameReader) Fill() error {
	if err := r.grow(); err != nil {
		return err
	}
	n, err := r.from.Read(r.buf[r.end:])
	r.end += n
	skipped := min(r.skip, n)
	r.skip -= skipped
	r.start += skipped
	r.full = r.end == len(r.buf) && r.skip == 0
	if n > 0 {
		return nil // the same error comes again from the next read
	}
	if err == io.EOF && (r.end > r.start || r.skip > 0) {
		return fmt.Errorf("%w: the stream ended within it, after %d bytes", ErrFrame, r.end-r.start)
	}
	return err
}

// grow moves the remaining bytes to the front of the buffer. The buffer grows if reads fill it or a frame does not fit, and
// shrinks after a large frame. A frame's claimed length counts only after frameBufferMost bytes of the frame have arrived.
func (r *FrameReader) grow() error {
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

// resize makes the buffer size bytes long; it returns false if the memory budget refuses that.
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
	other := buffers.Get(size)[:size]
	r.end = copy(other, r.buf[r.start:r.end])
	buffers.Put(r.buf)
	r.buf, r.start = other, 0
	return true
}

// skipFirst skips the frame that fills the buffer.
func (r *FrameReader) skipFirst() error {
	size, header, err := frameSize(r.buf[r.start:r.end], r.most)
	if err != nil {
		return err
	}
	r.skip = header + size - (r.end - r.start)
	refused := &NoBudgetError{Head: r.buf[r.start+header : r.end], Size: size}
	r.start, r.end, r.full = 0, 0, false
	return refused
}

// Grown reports whether the buffer is larger than its initial size.
func (r *FrameReader) Grown() bool { return len(r.buf) > frameBufferLeast }

// Trim shrinks the buffer as far as its content allows, for a stream that has been idle for a while.
func (r *FrameReader) Trim() {
	if r.end-r.start <= frameBufferLeast {
		r.resize(frameBufferLeast)
		r.full = false
	}
}

// Release returns the reserved memory of a reader that is not used any more.
func (r *FrameReader) Release() {
	if r.room != nil {
		r.room.Give(len(r.buf) - frameBufferLeast)
	}
	buffers.Put(r.buf)
	r.buf, r.start, r.end = nil, 0, 0
}

// sizeOfFirst returns the buffer size for the frame that fills this buffer. Some extra space keeps the buffer from being full
// without a complete frame.
func (r *FrameReader) sizeOfFirst() int {
	size, header, err := frameSize(r.buf[r.start:r.end], r.most)
	if err != nil || header+size < len(r.buf) {
		panic(fmt.Sprintf("wire: Fill after Next was not called until nil: %d bytes, a frame of %d", r.end-r.start, size))
	}
	return header + size + frameBufferLeast
}

// Next returns the next complete frame, or nil if none is complete before the next Fill.
func (r *FrameReader) Next() ([]byte, error) {
	frame, _, ok, err := SplitFrame(r.buf[r.start:r.end], r.most)
	if !ok || err != nil {
		return nil, err
	}
	r.start += uvarintLen(len(frame)) + len(frame)
	return frame, nil
}

// Partial returns the number of buffered bytes of an incomplete frame.
func (r *FrameReader) Partial() int { return r.end - r.start }

const (
	// reuseMost is the largest buffer that is reused: it holds thousands of small frames.
	reuseMost = 512 << 10
	// reuseSmall is how many times in a row a buffer may be far too large before it is dropped.
	reuseSmall = 32
)

// Reuse is a policy for write buffers. It keeps a buffer whose size the traffic needs, and drops a large buffer after a burst.
type Reuse struct{ small int }

// Of returns the emptied buffer for reuse, or nil.
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
