package backup

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"qkv/index/kv"
	"qkv/internal/damage"
	"qkv/internal/pack"
)

// The layout in doc.go.
const (
	older       = "qkvback\n" // began all files of a backup in qkv 0.2
	chunkMagic  = "qkvc"
	headerBytes = 128 // of a file's header, and of a chunk's
	summedBytes = 80  // of a chunk's header, which its sum covers
)

// The formats of the files in a backup.
var (
	markFormat = damage.Format{Magic: "qkvmark\n", Version: 2, Older: older}
	baseFormat = damage.Format{Magic: "qkvbase\n", Version: 2, Older: older}
	logFormat  = damage.Format{Magic: "qkvlogs\n", Version: 1, Older: older}
)

// header is the header of a segment: the content of its prelude, which has the cluster as its number.
type header struct {
	cluster uint64
	first   uint64   // index of the first entry
	before  uint64   // first entry of the segment that this one continues, 0 if none
	link    [32]byte // sum of the chunk that this one continues
}

// put returns the header's bytes.
func (h *header) put() []byte {
	b := make([]byte, headerBytes-damage.PreludeBytes)
	binary.LittleEndian.PutUint64(b, h.first)
	binary.LittleEndian.PutUint64(b[8:], h.before)
	copy(b[16:], h.link[:])
	return logFormat.Append(nil, 0, h.cluster, b)
}

// readHeader reads the header of a file.
func readHeader(path string, b []byte) (h header, err error) {
	p, err := logFormat.Check(path, b)
	if err == nil && len(p.Content) != headerBytes-damage.PreludeBytes {
		err = damage.At(path, 0, "its header has %d bytes of content", len(p.Content))
	}
	if err != nil {
		return h, err
	}
	u := func(at int) uint64 { return binary.LittleEndian.Uint64(p.Content[at:]) }
	return header{p.Number, u(0), u(8), [32]byte(p.Content[16:48])}, nil
}

// The flags of a chunk.
const (
	flagEncrypted = 1
	flagsKnown    = flagEncrypted
)

// chunk is the header of a chunk.
type chunk struct {
	flags, bytes, number uint32
	first, last          uint64 // its entries
	term                 uint64 // of the last entry
	wall                 int64  // the newest time in the log up to the last entry, in nanoseconds since 1970
	previous             [32]byte
	sum                  [32]byte
}

// put computes the sum and returns the header's bytes.
func (c *chunk) put(payload []byte) []byte {
	b := make([]byte, headerBytes)
	copy(b, chunkMagic)
	for i, v := range [...]uint32{c.flags, c.bytes, c.number} {
		binary.LittleEndian.PutUint32(b[4+4*i:], v)
	}
	for i, v := range [...]uint64{c.first, c.last, c.term, uint64(c.wall)} {
		binary.LittleEndian.PutUint64(b[16+8*i:], v)
	}
	copy(b[48:], c.previous[:])
	c.sum = sumOf(b, payload)
	copy(b[summedBytes:], c.sum[:])
	damage.Seal(b)
	return b
}

// sumOf returns the sum of a chunk: of its header and of its payload as it is stored.
func sumOf(header, payload []byte) (sum [32]byte) {
	h := sha256.New()
	h.Write(header[:summedBytes])
	h.Write(payload)
	h.Sum(sum[:0])
	return sum
}

// readChunk reads a chunk's header; ok is false if its bytes are no such header.
func readChunk(b []byte) (c chunk, ok bool) {
	if _, ok = damage.Sealed(b); !ok || string(b[:len(chunkMagic)]) != chunkMagic {
		return c, false
	}
	u := func(i int) uint32 { return binary.LittleEndian.Uint32(b[4+4*i:]) }
	l := func(i int) uint64 { return binary.LittleEndian.Uint64(b[16+8*i:]) }
	return chunk{u(0), u(1), u(2), l(0), l(1), l(2), int64(l(3)), [32]byte(b[48:80]), [32]byte(b[80:112])}, true
}

// Entry is one committed entry of the log, as the state applies it.
type Entry = kv.LogEntry

// readEntries reads the entries of a chunk, which must be the entries of its header. They share memory with b.
func readEntries(b []byte, c *chunk) (entries []Entry, err error) {
	if entries, err = kv.ReadLogEntries(b); err != nil {
		return nil, err
	}
	n := uint64(len(entries))
	if n == 0 || c.first+n-1 != c.last || entries[n-1].Term != c.term {
		return nil, errForeignEntries
	}
	for i, e := range entries {
		if e.Index != c.first+uint64(i) {
			return nil, errForeignEntries
		}
	}
	return entries, nil
}

var errForeignEntries = fmt.Errorf("%w: its entries are not those of its header", pack.ErrMalformed)

// Base describes a saved state in a backup: a snapshot, and the parts that it lists.
type Base struct {
	Cluster  uint64 `msgpack:"c"`
	Index    uint64 `msgpack:"i"` // of the newest applied entry
	Term     uint64 `msgpack:"t"` // and its term
	Revision int64  `msgpack:"r"`
	Wall     int64  `msgpack:"w"` // the state's clock, in nanoseconds since 1970
	Digest   uint64 `msgpack:"d"`
	Level    uint64 `msgpack:"l"`
	Version  string `msgpack:"v"` // of the qkv that saved it
	Files    []File `msgpack:"f"` // the snapshot, and its parts in their order
}

// Bytes is the size of the files.
func (b *Base) Bytes() (n int64) {
	for _, f := range b.Files {
		n += f.Bytes
	}
	return n
}

// File is one file of a base. It is stored as the member has it, or as an age stream of that.
type File struct {
	SHA       [32]byte `msgpack:"s"` // its identity, as the saver computed it
	Bytes     int64    `msgpack:"b"`
	Sum       [32]byte `msgpack:"h"` // SHA-256 of the bytes that are stored
	Stored    int64    `msgpack:"n"` // how many these are
	Encrypted bool     `msgpack:"e"`
}
