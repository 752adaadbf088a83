package damage

import (
	"encoding/binary"
	"hash/crc32"
)

// A prelude begins a file, or is a small file:
//
//	 0  8  magic
//	 8  4  format version
//	12  4  incompatible features: a reader that does not know one refuses the file
//	16  4  bytes of the content
//	20  8  number
//	28     content
//	    4  CRC-32C of all before it
//
// Integers are little-endian. The layout is the same in every version of every format, which distinguishes an intact file of a newer qkv
// from a damaged one.
const (
	contentAt = 28
	// PreludeBytes is the size of a prelude without content.
	PreludeBytes = contentAt + 4
)

// Format is the format of a kind of file.
type Format struct {
	Magic    string // 8 bytes
	Version  uint32
	Features uint32 // those that this qkv knows
	Older    string // the magic of qkv 0.2
}

// Prelude is a prelude whose checksum is right.
type Prelude struct {
	Version, Features uint32
	Number            uint64
	Content           []byte // part of the bytes that were read
	Sum               uint32 // the checksum
}

// Append appends a prelude.
func (f *Format) Append(dst []byte, features uint32, number uint64, content []byte) []byte {
	begin := len(dst)
	dst = append(dst, f.Magic...)
	for _, n := range [...]uint32{f.Version, features, uint32(len(content))} {
		dst = binary.LittleEndian.AppendUint32(dst, n)
	}
	dst = binary.LittleEndian.AppendUint64(dst, number)
	dst = append(append(dst, content...), 0, 0, 0, 0)
	Seal(dst[begin:])
	return dst
}

// Read reads the prelude at the beginning of b, which lies at an offset of the file. It may be of another version: see Known.
func (f *Format) Read(file string, offset int64, b []byte) (p Prelude, err error) {
	if len(b) < PreludeBytes {
		return p, At(file, offset+int64(len(b)), "the file ends inside the prelude: it was cut")
	}
	switch magic := string(b[:8]); magic {
	case f.Magic:
	case f.Older:
		return p, Of(file, offset, ErrOlder)
	default:
		return p, At(file, offset, "it begins with %q instead of %q: it is damaged, or was written by qkv 0.2 or older: see docs/upgrading.md", magic, f.Magic)
	}
	u := func(at int) uint32 { return binary.LittleEndian.Uint32(b[at:]) }
	n := u(16)
	if int64(n) > int64(len(b)-PreludeBytes) {
		return p, At(file, offset, "the prelude claims %d bytes of content, and has at most %d", n, len(b)-PreludeBytes)
	}
	b = b[:PreludeBytes+n]
	sum, ok := Sealed(b)
	if !ok {
		return p, At(file, offset, "the prelude's checksum is %08x, its bytes give %08x", sum, Sum(b[:len(b)-4]))
	}
	return Prelude{u(8), u(12), binary.LittleEndian.Uint64(b[20:]), b[contentAt : contentAt+n], sum}, nil
}

// Check is Read for the beginning of a file that must be of this version.
func (f *Format) Check(file string, b []byte) (p Prelude, err error) {
	if p, err = f.Read(file, 0, b); err == nil {
		err = f.Known(file, p)
	}
	return p, err
}

// Known returns the reason why this qkv does not read a file with this prelude; nil: it does.
func (f *Format) Known(file string, p Prelude) error {
	switch unknown := p.Features &^ f.Features; {
	case p.Version < f.Version:
		return Of(file, 0, ErrOlder)
	case p.Version > f.Version:
		return Newer(file, "its format version is %d, this qkv reads version %d", p.Version, f.Version)
	case unknown != 0:
		return Newer(file, "it uses the features %#x, which this qkv does not know", unknown)
	}
	return nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Sum is the CRC-32C of b.
func Sum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// Seal writes the checksum of b into its last four bytes, and returns it.
func Seal(b []byte) uint32 {
	sum := Sum(b[:len(b)-4])
	binary.LittleEndian.PutUint32(b[len(b)-4:], sum)
	return sum
}

// Sealed returns the checksum in the last four bytes of b, and whether it is right.
func Sealed(b []byte) (sum uint32, ok bool) {
	sum = binary.LittleEndian.Uint32(b[len(b)-4:])
	return sum, sum == Sum(b[:len(b)-4])
}
