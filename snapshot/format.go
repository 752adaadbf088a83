package snapshot

import (
	"encoding/binary"

	"qkv/internal/codec"
	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/internal/pack"
)

// The layout in doc.go.
const (
	preludeBytes = damage.PreludeBytes
	headerBytes  = 32
	tailPayload  = 64
	tailBytes    = headerBytes + tailPayload

	// isPart is the incompatible feature of a part.
	isPart = 1

	// continues is the flag of a block whose last key has more versions in the next block.
	continues = 1
)

// kind is four letters, readable in a hex dump.
type kind uint32

const (
	kindHead kind = 'h' | 'e'<<8 | 'a'<<16 | 'd'<<24
	kindStat kind = 's' | 't'<<8 | 'a'<<16 | 't'<<24
	kindKeys kind = 'k' | 'e'<<8 | 'y'<<16 | 's'<<24
	kindTail kind = 't' | 'a'<<8 | 'i'<<16 | 'l'<<24

	kindChanges kind = 'c' | 'h'<<8 | 'g'<<16 | 's'<<24
)

func (k kind) String() string {
	return string([]byte{byte(k), byte(k >> 8), byte(k >> 16), byte(k >> 24)})
}

var format = damage.Format{Magic: "qkvsnap\n", Version: 2, Features: isPart}

// prelude is the content of a file's first bytes.
type prelude struct {
	chain uint32 // of the first block
	part  bool   // the file is a part
}

// readPrelude returns the prelude, or the reason why the file cannot be read.
func readPrelude(path string, b []byte) (prelude, error) {
	p, err := format.Check(path, b)
	return prelude{p.Sum, p.Features&isPart != 0}, err
}

// header is a block's header. putHeader computes its own checksum, and readHeader checks it.
type header struct {
	kind    kind
	number  uint32
	length  uint32
	records uint32
	chain   uint32
	flags   uint32
	payload uint32 // checksum
}

// putHeader writes h to the first bytes of dst and returns the chain value for the next block.
func putHeader(dst []byte, h header) uint32 {
	for i, v := range [...]uint32{uint32(h.kind), h.number, h.length, h.records, h.chain, h.flags, h.payload} {
		binary.LittleEndian.PutUint32(dst[4*i:], v)
	}
	return damage.Seal(dst[:headerBytes])
}

// readHeader returns the header and the chain value for the next block; ok is false if its checksum is wrong.
func readHeader(b []byte) (h header, chain uint32, ok bool) {
	chain, ok = damage.Sealed(b[:headerBytes])
	u := func(i int) uint32 { return binary.LittleEndian.Uint32(b[4*i:]) }
	return header{kind(u(0)), u(1), u(2), u(3), u(4), u(5), u(6)}, chain, ok
}

// snapshotBlockMost bounds a block when it is read: a full one, and one more key with the largest value of an entry.
const snapshotBlockMost = snapshotBlockBytes + limits.RecordBytes

// blockMost is the longest allowed payload of a block of this kind.
func (k kind) blockMost() uint32 {
	switch k {
	case kindHead:
		return limits.SnapshotHeadBytes
	case kindTail:
		return tailPayload
	default:
		return snapshotBlockMost
	}
}

// Meta describes the state that a snapshot holds.
type Meta struct {
	Cluster   uint64 `msgpack:"c"`
	Member    uint64 `msgpack:"m"` // the member that saved it; a receiver keeps the file byte for byte
	Index     uint64 `msgpack:"i"` // the last applied entry; of a part its number
	Term      uint64 `msgpack:"t"` // and its term
	ConfState []byte `msgpack:"f"` // raft's configuration at that index, protobuf; opaque here
	Digest    uint64 `msgpack:"d"` // of the state, as index computes it
	Revision  int64  `msgpack:"r"`
	Live      int64  `msgpack:"l"` // bytes of the live keys: a load takes that much memory, and more for the history
	Version   string `msgpack:"v"` // of the qkv that saved it
	// Parts are the part files with the older changes: the range files of the base, in key order, and then the extents, in order.
	Parts []Part `msgpack:"p"`
}

// head is the head of a snapshot. That of a part is its number alone, by package pack: all members write the same bytes.
type head struct {
	Meta  `msgpack:"m,noinline"`
	State uint64 `msgpack:"s"` // bytes of state
}

func appendHead(m Meta, state int, part bool) []byte {
	if part {
		return pack.AppendUint(nil, m.Index)
	}
	return codec.Append(nil, &head{m, uint64(state)})
}

// readHead reads a head's payload. Its result shares no memory with b.
func readHead(b []byte, part bool) (h head, err error) {
	if part {
		r := pack.NewExactReader(b)
		h.Index = r.Uint()
		return h, r.Done()
	}
	return h, codec.ReadFile(b, &h)
}

// tail is the last block: counts of the file's content, and the file's identity.
type tail struct {
	bytes, blocks, keys, versions uint64
	sha                           [32]byte
}

func appendTail(dst []byte, t tail) []byte {
	for _, n := range [...]uint64{t.bytes, t.blocks, t.keys, t.versions} {
		dst = binary.LittleEndian.AppendUint64(dst, n)
	}
	return append(dst, t.sha[:]...)
}

// readTail reads a tail's payload, which has tailPayload bytes.
func readTail(b []byte) tail {
	u := func(i int) uint64 { return binary.LittleEndian.Uint64(b[8*i:]) }
	return tail{u(0), u(1), u(2), u(3), [32]byte(b[32:tailPayload])}
}
