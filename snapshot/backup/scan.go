package backup

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"

	"qkv/internal/codec"
	"qkv/internal/damage"
	"qkv/internal/limits"
)

// file is an open file of a backup.
type file interface {
	io.ReaderAt
	io.Closer
	Size() (int64, error)
}

// scanner reads the chunks of a segment in order.
//
// Invariants:
//
//  1. All chunks before next are in place: each header is intact, has its number, and holds the sum of the chunk before.
//  2. sum is that of the last one of them, and of the file's header before the first one.
type scanner struct {
	path string
	f    file
	size int64
	header

	at, next int64 // where the newest chunk begins, and ends
	sum      [32]byte
	number   uint32 // of the next chunk
	torn     bool   // the error may come from a torn write
	cut      bool   // the file ends inside that write, so it was never whole
	raw      []byte // the newest chunk's header
}

// scan reads the header of a segment, and returns a scanner before the first chunk. It does not close f.
func scan(path string, f file) (*scanner, error) {
	size, err := f.Size()
	if err != nil {
		return nil, fmt.Errorf("size of %s: %w", path, err)
	}
	s := &scanner{path: path, f: f, size: size, next: headerBytes, raw: make([]byte, headerBytes)}
	if size < headerBytes {
		return s, damage.At(path, size, "it has %d bytes, and its header alone has %d: it was cut", size, headerBytes)
	}
	if err := damage.ReadAt(s.path, s.f, s.raw, 0); err != nil {
		return s, err
	}
	if s.header, err = readHeader(path, s.raw); err != nil {
		return s, err
	}
	s.sum = sha256.Sum256(s.raw)
	return s, nil
}

// chunk reads the next chunk's header. At the end of the file it returns io.EOF. After any other error the rest of the
// file cannot be read.
func (s *scanner) chunk() (c chunk, err error) {
	s.at, s.torn, s.cut = s.next, false, false
	if s.size == s.next {
		return c, io.EOF
	}
	if s.torn, s.cut = true, true; s.size-s.next < headerBytes {
		return c, damage.At(s.path, s.next, "%d bytes are left, and the next chunk's header has %d: it was cut", s.size-s.next, headerBytes)
	}
	if err := damage.ReadAt(s.path, s.f, s.raw, s.next); err != nil {
		return c, err
	}
	c, ok := readChunk(s.raw)
	s.cut = ok
	switch {
	case !ok:
		return c, damage.At(s.path, s.next, "the header of chunk %d is damaged", s.number)
	case int64(c.bytes) > s.size-s.next-headerBytes:
		return c, damage.At(s.path, s.next, "chunk %d has %d bytes, the file ends after %d: it was cut", c.number, c.bytes, s.size-s.next-headerBytes)
	}
	switch s.torn, s.cut = false, false; {
	case c.flags&^flagsKnown != 0:
		return c, damage.Newer(s.path, "chunk %d has the flags %#x, which this qkv does not know", c.number, c.flags)
	case c.number != s.number || c.previous != s.sum:
		return c, damage.At(s.path, s.next, "chunk %d does not continue the chunk before it: it belongs to another file or place", c.number)
	case c.bytes > limits.BackupChunkMost:
		return c, damage.At(s.path, s.next, "chunk %d claims %d bytes, the limit is %d", c.number, c.bytes, limits.BackupChunkMost)
	case c.last < c.first:
		return c, damage.At(s.path, s.next, "chunk %d ends at %d, before its begin at %d", c.number, c.last, c.first)
	}
	s.next += headerBytes + int64(c.bytes)
	s.sum = c.sum
	s.number++
	return c, nil
}

// payload reads the stored payload of the newest chunk into memory that it takes from into, and checks the sum.
func (s *scanner) payload(c *chunk, into []byte) ([]byte, error) {
	if cap(into) < int(c.bytes) {
		into = make([]byte, c.bytes)
	}
	into = into[:c.bytes]
	if err := damage.ReadAt(s.path, s.f, into, s.at+headerBytes); err != nil {
		return nil, err
	}
	if sumOf(s.raw, into) != c.sum {
		s.torn = true
		return nil, damage.At(s.path, s.at, "the SHA-256 of chunk %d is not that of its header: its bytes are damaged", c.number)
	}
	return into, nil
}

// tornEnd reports, after an error of chunk or payload, whether it may come from a torn write. A torn write is the last
// thing in a file, since each chunk is synced before the next one is written: no intact header of a chunk follows it.
func (s *scanner) tornEnd() (bool, error) {
	if !s.torn {
		return false, nil
	}
	behind, err := s.intactBehind()
	return behind.last == 0, err
}

// intactBehind returns, after an error of chunk or payload, the last chunk behind it whose header is intact; zero if there is none.
func (s *scanner) intactBehind() (last chunk, err error) {
	const step = 1 << 20
	window := make([]byte, step+headerBytes)
	for from := max(s.next, s.at+1); from+headerBytes <= s.size; from += step {
		b := window[:min(int64(len(window)), s.size-from)]
		if err := damage.ReadAt(s.path, s.f, b, from); err != nil {
			return last, err
		}
		for i := 0; ; i++ {
			n := bytes.Index(b[i:], []byte(chunkMagic))
			if n < 0 || i+n+headerBytes > len(b) {
				break
			}
			i += n
			if c, ok := readChunk(b[i : i+headerBytes]); ok {
				last = c
			}
		}
	}
	return last, nil
}

// single reads the value of package codec that is a file's only content.
func single(s store, name string, want *damage.Format, to any) error {
	f, err := s.open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	path := s.path(name)
	size, err := f.Size()
	if err != nil {
		return fmt.Errorf("size of %s: %w", path, err)
	}
	b := make([]byte, min(size, limits.BackupChunkMost))
	if err := damage.ReadAt(path, f, b, 0); err != nil {
		return err
	}
	p, err := want.Check(path, b)
	if end := int64(len(p.Content)) + damage.PreludeBytes; err == nil && end != size {
		err = damage.At(path, end, "%d bytes follow its content", size-end)
	}
	if err != nil {
		return err
	}
	return damage.Of(path, 0, codec.ReadFile(p.Content, to))
}
