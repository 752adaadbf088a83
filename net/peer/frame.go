package peer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"qkv/internal/limits"
	"qkv/net/wire/peerframe"
)

// headerBytes is the length before each frame.
const headerBytes = 4

var errFrame = errors.New("not a frame between members")

func appendHeader(dst []byte, size int) []byte {
	return binary.BigEndian.AppendUint32(dst, uint32(size))
}

// frameSize reads a frame's length, and holds it against the limit before anybody allocates by it.
func frameSize(header []byte, most int) (int, error) {
	size := binary.BigEndian.Uint32(header)
	if size == 0 || uint64(size) > uint64(most) {
		return 0, fmt.Errorf("%w: a length of %d bytes, and 1 to %d are allowed", errFrame, size, most)
	}
	return int(size), nil
}

// reader cuts a stream into frames. What it hands out is never written again, so its user may keep it and point into
// it: frames are carved one after the other from pieces of 64 KiB, and a frame that is large beside a piece has
// memory of its own. A kept frame keeps its piece.
type reader struct {
	from  io.Reader
	most  int
	piece []byte // piece[lo:hi] was read and not handed out yet
	lo    int
	hi    int
}

// class returns the class of the stream, its first byte.
func (r *reader) class() (peerframe.Class, error) {
	if err := r.fill(1); err != nil {
		return 0, cut(err)
	}
	class := peerframe.Class(r.piece[r.lo])
	r.lo++
	if class >= peerframe.Classes {
		return 0, fmt.Errorf("%w: a stream of the class %d", errFrame, class)
	}
	return class, nil
}

// next returns the next frame. The error is io.EOF only where a frame could begin.
func (r *reader) next() ([]byte, error) {
	if err := r.fill(headerBytes); err != nil {
		return nil, err
	}
	size, err := frameSize(r.piece[r.lo:r.hi], r.most)
	if err != nil {
		return nil, err
	}
	if headerBytes+size > limits.PeerReadBytes/2 {
		return r.large(size)
	}
	if err := r.fill(headerBytes + size); err != nil {
		return nil, cut(err)
	}
	end := r.lo + headerBytes + size
	frame := r.piece[r.lo+headerBytes : end : end]
	r.lo = end
	return frame, nil
}

// large returns a frame of which the header and maybe some more was read, in memory of its own.
func (r *reader) large(size int) ([]byte, error) {
	r.lo += headerBytes
	frame := make([]byte, size)
	n := copy(frame, r.piece[r.lo:r.hi])
	r.lo += n
	_, err := io.ReadFull(r.from, frame[n:])
	return frame, cut(err)
}

// fill reads until at least n bytes are there, n being at most half a piece. Where the piece ends before, they go on in a new one.
func (r *reader) fill(n int) error {
	if len(r.piece)-r.lo < n {
		piece := make([]byte, limits.PeerReadBytes)
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

// cut turns an end of the stream within a frame into an error.
func cut(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
