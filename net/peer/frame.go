package peer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"qkv/net/wire/peerframe"
)

// headerBytes is the size of the length before each frame.
const headerBytes = 4

var errFrame = errors.New("invalid peer frame")

func appendHeader(dst []byte, size int) []byte {
	return binary.BigEndian.AppendUint32(dst, uint32(size))
}

// frameSize reads a frame's length, and checks its limit before any allocation.
func frameSize(header []byte, most int) (int, error) {
	size := binary.BigEndian.Uint32(header)
	if size == 0 || uint64(size) > uint64(most) {
		return 0, fmt.Errorf("%w: length %d bytes, allowed are 1 to %d", errFrame, size, most)
	}
	return int(size), nil
}

// reader splits a stream into frames. It never overwrites a returned frame: the receiver may keep the frame and point into it.
// Frames are consecutive slices of 64 KiB pieces; a large frame has memory of its own. A kept frame keeps its piece in memory.
type reader struct {
	from  io.Reader
	most  int
	piece []byte // piece[lo:hi] was read and not returned yet
	lo    int
	hi    int
	kept  bool // a frame of the piece was returned
}

// class returns the class of the stream, its first byte.
func (r *reader) class() (peerframe.Class, error) {
	if err := r.fill(1); err != nil {
		return 0, cut(err)
	}
	class := peerframe.Class(r.piece[r.lo])
	r.lo++
	if class >= peerframe.Classes {
		return 0, fmt.Errorf("%w: unknown stream class %d", errFrame, class)
	}
	return class, nil
}

// peerReadBytes is the buffer that the reader of a peer's stream allocates at a time and cuts frames from; a large frame gets memory of its
// own.
const peerReadBytes = 64 << 10

// next returns the next frame. The error is io.EOF only at the boundary of a frame.
func (r *reader) next() ([]byte, error) {
	if err := r.fill(headerBytes); err != nil {
		return nil, err
	}
	size, err := frameSize(r.piece[r.lo:r.hi], r.most)
	if err != nil {
		return nil, err
	}
	if headerBytes+size > peerReadBytes/2 {
		return r.large(size)
	}
	if err := r.fill(headerBytes + size); err != nil {
		return nil, cut(err)
	}
	r.kept = true
	end := r.lo + headerBytes + size
	frame := r.piece[r.lo+headerBytes : end : end]
	r.lo = end
	return frame, nil
}

// large returns a frame in memory of its own, after its header and perhaps more of it was read.
func (r *reader) large(size int) ([]byte, error) {
	r.lo += headerBytes
	frame := make([]byte, size)
	n := copy(frame, r.piece[r.lo:r.hi])
	r.lo += n
	_, err := io.ReadFull(r.from, frame[n:])
	return frame, cut(err)
}

// fill reads until at least n bytes are buffered; n is at most half a piece. If the piece is full before, the bytes move to a new
// piece.
func (r *reader) fill(n int) error {
	if len(r.piece)-r.lo < n {
		piece := r.piece // large frames leave no bytes in it
		if r.kept || piece == nil {
			piece, r.kept = make([]byte, peerReadBytes), false
		}
		r.hi = copy(piece, r.piece[r.lo:r.hi])
		r.piece, r.lo = piece, 0
	}
	for r.hi-r.lo < n {
		got, err := r.from.Read(r.piece[r.hi:])
		r.hi += got
		if err != nil && r.hi-r.lo < n {
			if r.hi > r.lo {
				err = cut(err)
			}
			return err
		}
	}
	return nil
}

// cut turns an end of the stream within a frame into io.ErrUnexpectedEOF.
func cut(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
