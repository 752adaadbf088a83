package backup

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"qkv/index/kv"
	"qkv/internal/pack"
)

// The layout in doc.go.
const (
	magic         = "qkvback\n"
	chunkMagic    = "qkvc"
	formatVersion = 2

	headerBytes = 128 // of a file's header, and of a chunk's
	checksumAt  = 124
	summedBytes = 80 // of a chunk's header, which its sum covers
)

// kind is the kind of a file: four letters, readable in a hex dump.
type kind uint32

const (
	kindMark kind = 'm' | 'a'<<8 | 'r'<<16 | 'k'<<24
	kindFile kind = 'f' | 'i'<<8 | 'l'<<16 | 'e'<<24
	kindBase kind = 'b' | 'a'<<8 | 's'<<16 | 'e'<<24
	kindLog  kind = 'l' | 'o'<<8 | 'g'<<16 | ' '<<24
)

func (k kind) String() string {
	return string([]byte{byte(k), byte(k >> 8), byte(k >> 16), byte(k >> 24)})
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seal writes the checksum of a header into it.
func seal(b []byte) {
	binary.LittleEndian.PutUint32(b[checksumAt:], crc32.Checksum(b[:checksumAt], castagnoli))
}

// sealed reports whether a header's checksum is right.
func sealed(b []byte) bool {
	return binary.LittleEndian.Uint32(b[checksumAt:]) == crc32.Checksum(b[:checksumAt], castagnoli)
}

// header is the header of a file.
type header struct {
	kind    kind
	cluster uint64
	first   uint64   // log: index of the first entry; base: index of the state
	before  uint64   // log: first entry of the segment that this one continues, 0 if none; base: term of the state
	link    [32]byte // log: sum of the chunk that this one continues; file: its identity
}

// put returns the header's bytes.
func (h *header) put() []byte {
	b := make([]byte, headerBytes)
	copy(b, magic)
	binary.LittleEndian.PutUint32(b[8:], formatVersion)
	binary.LittleEndian.PutUint32(b[20:], uint32(h.kind))
	binary.LittleEndian.PutUint64(b[24:], h.cluster)
	binary.LittleEndian.PutUint64(b[32:], h.first)
	binary.LittleEndian.PutUint64(b[40:], h.before)
	copy(b[48:], h.link[:])
	seal(b)
	return b
}

// readHeader reads the header of a file, which must be of one kind.
func readHeader(path string, b []byte, want kind) (h header, err error) {
	if string(b[:len(magic)]) != magic {
		return h, corruptAt(path, 0, "it begins with %q, a file of a backup begins with %q", b[:len(magic)], magic)
	}
	if !sealed(b) {
		return h, corruptAt(path, 0, "the checksum of its header is wrong")
	}
	switch v := binary.LittleEndian.Uint32(b[8:]); {
	case v < formatVersion:
		return h, fmt.Errorf("%w: %s was %w", ErrFormat, path, pack.ErrOlder)
	case v > formatVersion:
		return h, formatOf(path, "its format version is %d, this qkv reads version %d", v, formatVersion)
	}
	if bits := binary.LittleEndian.Uint32(b[12:]); bits != 0 {
		return h, formatOf(path, "it uses the features %#x, which this qkv does not know", bits)
	}
	h = header{
		kind: kind(binary.LittleEndian.Uint32(b[20:])), cluster: binary.LittleEndian.Uint64(b[24:]),
		first: binary.LittleEndian.Uint64(b[32:]), before: binary.LittleEndian.Uint64(b[40:]), link: [32]byte(b[48:80]),
	}
	if h.kind != want {
		return h, corruptAt(path, 0, "it is of kind %q, and %q belongs here", h.kind, want)
	}
	return h, nil
}

// The flags of a chunk.
const (
	flagEncrypted = 1
	flagLast      = 2 // nothing follows; a segment of the log has no such chunk
	flagsKnown    = flagEncrypted | flagLast
)

// chunk is the header of a chunk.
type chunk struct {
	flags, bytes, number uint32
	first, last          uint64 // log: its entries; file: the range of its bytes in the clear file
	term                 uint64 // log: of the last entry
	wall                 int64  // log: the newest time in the log up to the last entry, in nanoseconds since 1970
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
	seal(b)
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
	if string(b[:len(chunkMagic)]) != chunkMagic || !sealed(b) {
		return c, false
	}
	u := func(i int) uint32 { return binary.LittleEndian.Uint32(b[4+4*i:]) }
	l := func(i int) uint64 { return binary.LittleEndian.Uint64(b[16+8*i:]) }
	return chunk{u(0), u(1), u(2), l(0), l(1), l(2), int64(l(3)), [32]byte(b[48:80]), [32]byte(b[80:112])}, true
}

// decoded returns the error of a payload that was read, or nil.
func decoded(path string, at int64, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pack.ErrNewer):
		return formatOf(path, "at byte %d, %v", at, err)
	}
	return corruptAt(path, at, "%v", err)
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

// Base describes a saved state in a backup.
type Base struct {
	Cluster  uint64 `msgpack:"c"`
	Index    uint64 `msgpack:"i"` // of the newest applied entry
	Term     uint64 `msgpack:"t"` // and its term
	Revision int64  `msgpack:"r"`
	Wall     int64  `msgpack:"w"` // the state's clock, in nanoseconds since 1970
	Digest   uint64 `msgpack:"d"`
	Level    uint64 `msgpack:"l"`
	Version  string `msgpack:"v"` // of the qkv that saved it
	Files    []File `msgpack:"f"`
}

// File is one file of a base.
type File struct {
	SHA   [32]byte `msgpack:"s"` // its identity, as the saver computed it
	Bytes int64    `msgpack:"b"`
}
