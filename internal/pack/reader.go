package pack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// ErrMalformed is the error for bytes that are not the expected msgpack.
var ErrMalformed = errors.New("malformed msgpack")

// ErrNewer is the error of a struct with more fields than this qkv knows, where none may be skipped: see
// [NewExactReader]. Callers of a Reader wrap it for an unknown version, kind or feature level.
var ErrNewer = errors.New("it was written by a newer qkv, upgrade this member")

// Reader reads consecutive msgpack values from a slice. Its first failure stays: all later reads return zero values,
// and Err returns the failure. A caller therefore reads a whole record and checks once.
//
// A Reader is a value; copy it to look ahead. It is not safe for concurrent use.
type Reader struct {
	rest  []byte
	err   error
	short uint8 // how many structs with missing fields the Reader is in; rest ends with the innermost of them
	exact bool
}

// NewReader returns a Reader of b. Slices that Bytes returns are part of b.
func NewReader(b []byte) Reader { return Reader{rest: b} }

// NewExactReader returns a Reader of b that fails with [ErrNewer] at a struct with unknown fields. It is for replicated
// state: a member that skipped a field would have a different state than members that know it.
func NewExactReader(b []byte) Reader { return Reader{rest: b, exact: true} }

// Rest returns the unread bytes.
func (r *Reader) Rest() []byte { return r.rest }

// Drop drops the next n bytes.
func (r *Reader) Drop(n int) { r.take(uint64(n)) }

// Err returns the first failure, which wraps ErrMalformed or ErrNewer.
func (r *Reader) Err() error { return r.err }

// Done returns the first failure, or an error if bytes are left over.
func (r *Reader) Done() error {
	if r.err == nil && len(r.rest) > 0 {
		r.fail("%d bytes are left over", len(r.rest))
	}
	return r.err
}

func (r *Reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
	}
	r.rest = nil
}

// Fail makes the Reader fail with the caller's reason, such as a number out of range.
func (r *Reader) Fail(reason string) { r.fail("%s", reason) }

// take returns the next n bytes, or nil after a failure.
func (r *Reader) take(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.fail("%d bytes wanted, %d left", n, len(r.rest))
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

// bigEndian reads an unsigned integer of n bytes: 1, 2, 4 or 8.
func (r *Reader) bigEndian(n int) uint64 {
	b := r.take(uint64(n))
	switch len(b) {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(binary.BigEndian.Uint16(b))
	case 4:
		return uint64(binary.BigEndian.Uint32(b))
	case 8:
		return binary.BigEndian.Uint64(b)
	default:
		return 0
	}
}

// noCode is never used by msgpack.
const noCode = 0xc1

// code returns the first byte of the next value, noCode if there is none.
func (r *Reader) code() byte {
	if r.absent() {
		return noCode
	}
	if b := r.take(1); b != nil {
		return b[0]
	}
	return noCode
}

// absent tells whether the next value is a field that is missing in the struct.
func (r *Reader) absent() bool { return r.short > 0 && len(r.rest) == 0 }

// unexpected fails at a first byte of another type than the wanted one. An absent field is no failure: it stays zero. A byte noCode in
// the input never gets here while the Reader is short: otherFields has walked over the elements before.
func (r *Reader) unexpected(code byte, wanted string) {
	if code != noCode || !r.absent() {
		r.fail("%#x does not begin a value of type %s", code, wanted)
	}
}

// Nil reads nil if it is next, and reports whether it was.
func (r *Reader) Nil() bool {
	if len(r.rest) > 0 && r.rest[0] == 0xc0 {
		r.rest = r.rest[1:]
		return true
	}
	return false
}

// Bool reads a boolean.
func (r *Reader) Bool() bool {
	switch c := r.code(); c {
	case 0xc3:
		return true
	case 0xc2:
		return false
	default:
		r.unexpected(c, "boolean")
		return false
	}
}

// Uint reads an integer >= 0. Most are below 128.
func (r *Reader) Uint() uint64 {
	if b := r.rest; len(b) > 0 && b[0] < 0x80 {
		r.rest = b[1:]
		return uint64(b[0])
	}
	return r.longUint()
}

// longUint reads a complete number at once: a request has about six such numbers.
func (r *Reader) longUint() (n uint64) {
	switch b := r.rest; {
	case len(b) > 1 && b[0] == 0xcc:
		n, r.rest = uint64(b[1]), b[2:]
	case len(b) > 2 && b[0] == 0xcd:
		n, r.rest = uint64(binary.BigEndian.Uint16(b[1:])), b[3:]
	case len(b) > 4 && b[0] == 0xce:
		n, r.rest = uint64(binary.BigEndian.Uint32(b[1:])), b[5:]
	case len(b) > 8 && b[0] == 0xcf:
		n, r.rest = binary.BigEndian.Uint64(b[1:]), b[9:]
	default:
		return r.anyUint()
	}
	return n
}

// anyUint is the slow path of longUint, for a number that may be cut off or not a number.
func (r *Reader) anyUint() uint64 {
	switch c := r.code(); {
	case c < 0x80:
		return uint64(c)
	case c >= 0xcc && c <= 0xcf:
		return r.bigEndian(1 << (c - 0xcc))
	default:
		r.unexpected(c, "unsigned integer")
		return 0
	}
}

// Int reads an integer.
func (r *Reader) Int() int64 {
	if b := r.rest; len(b) > 0 && b[0] < 0x80 {
		r.rest = b[1:]
		return int64(b[0])
	}
	return r.longInt()
}

func (r *Reader) longInt() int64 {
	if len(r.rest) == 0 {
		r.unexpected(r.code(), "integer")
		return 0
	}
	switch c := r.rest[0]; {
	case c >= 0xe0:
		r.rest = r.rest[1:]
		return int64(int8(c))
	case c >= 0xd0 && c <= 0xd3:
		r.rest = r.rest[1:]
		size := 1 << (c - 0xd0)
		return int64(r.bigEndian(size)<<(64-8*size)) >> (64 - 8*size)
	default:
		n := r.Uint()
		if n > math.MaxInt64 {
			r.fail("%d does not fit a signed integer", n)
			return 0
		}
		return int64(n)
	}
}

// Bytes reads a binary. The slice is part of the Reader's input, and its capacity ends with it.
func (r *Reader) Bytes() []byte {
	if b := r.rest; len(b) >= 2 && b[0] == 0xc4 && len(b)-2 >= int(b[1]) {
		end := 2 + int(b[1])
		r.rest = b[end:]
		return b[2:end:end]
	}
	switch c := r.code(); {
	case c >= 0xc4 && c <= 0xc6:
		return r.take(r.bigEndian(1 << (c - 0xc4)))
	default:
		r.unexpected(c, "binary")
		return nil
	}
}

// String reads a string.
func (r *Reader) String() string { return string(r.Text()) }

// Text reads a string as a part of the Reader's input.
func (r *Reader) Text() []byte {
	switch c := r.code(); {
	case c >= 0xa0 && c <= 0xbf:
		return r.take(uint64(c & 0x1f))
	case c >= 0xd9 && c <= 0xdb:
		return r.take(r.bigEndian(1 << (c - 0xd9)))
	default:
		r.unexpected(c, "string")
		return nil
	}
}

// Array reads an array's header and returns its count. The count is at most the number of remaining bytes, since an
// element has at least one byte. A caller may therefore allocate by it.
func (r *Reader) Array() int {
	if b := r.rest; len(b) > 0 && b[0]&0xf0 == 0x90 && int(b[0]&0x0f) < len(b) {
		r.rest = b[1:]
		return int(b[0] & 0x0f)
	}
	var n uint64
	switch c := r.code(); {
	case c >= 0x90 && c <= 0x9f:
		n = uint64(c & 0x0f)
	case c == 0xdc || c == 0xdd:
		n = r.bigEndian(2 << (c - 0xdc))
	default:
		r.unexpected(c, "array")
		return 0
	}
	if n > uint64(len(r.rest)) {
		r.fail("an array of %d elements in %d bytes", n, len(r.rest))
		return 0
	}
	return int(n)
}

// Map reads a map's header and returns its count of pairs: for each, a key and a value follow. Like Array's count, it may be allocated by.
func (r *Reader) Map() int {
	var n uint64
	switch c := r.code(); {
	case c >= 0x80 && c <= 0x8f:
		n = uint64(c & 0x0f)
	case c == 0xde || c == 0xdf:
		n = r.bigEndian(2 << (c - 0xde))
	default:
		r.unexpected(c, "map")
		return 0
	}
	if 2*n > uint64(len(r.rest)) {
		r.fail("a map of %d pairs in %d bytes", n, len(r.rest))
		return 0
	}
	return int(n)
}

// Fixed reads a binary of exactly len(into) bytes.
func (r *Reader) Fixed(into []byte) {
	missing := r.absent()
	if b := r.Bytes(); len(b) != len(into) && !missing {
		r.fail("%d bytes instead of %d", len(b), len(into))
	} else {
		copy(into, b)
	}
}

// Strings reads an array of strings. It is nil if the array is empty.
func (r *Reader) Strings() (all []string) {
	for range r.Array() {
		one := r.String()
		if r.err != nil {
			return nil
		}
		all = append(all, one)
	}
	return all
}

// Struct is the struct that a Reader is reading, from [Reader.Struct] to [Reader.End].
type Struct struct {
	more  int    // unknown fields behind the known ones
	cut   bool   // some of the known fields are missing
	after []byte // the bytes behind the struct, if it is cut
}

// shortDepth bounds the nesting of structs with missing fields: the elements of each one are walked over, and so once for each level.
const shortDepth = 4

// Struct reads the header of an array that holds a struct of so many known fields. The caller reads all of them, and then calls End.
// A field that an older qkv did not write is read as zero; End skips the fields that a newer qkv has appended. So a reader must be free to
// ignore an appended field: a change of meaning takes a new kind, flag, version or feature level.
func (r *Reader) Struct(known int) Struct { return r.Fields(r.Array(), known) }

// Fields is [Reader.Struct] for an array whose header, and maybe first elements, were read: have elements of it are left, and known fields
// of the struct.
func (r *Reader) Fields(have, known int) Struct {
	if have == known {
		return Struct{}
	}
	return r.otherFields(have, known)
}

func (r *Reader) otherFields(have, known int) Struct {
	switch {
	case r.err != nil:
		return Struct{}
	case have > known && r.exact:
		r.err = fmt.Errorf("%w: a struct has %d fields, this qkv knows %d", ErrNewer, have, known)
		r.rest = nil
		return Struct{}
	case have > known:
		return Struct{more: have - known}
	case have < 0 && !r.absent():
		r.fail("a struct lacks the fields that identify it")
		return Struct{}
	case r.short == shortDepth:
		r.fail("structs with missing fields are nested more than %d deep", shortDepth)
		return Struct{}
	}
	walk := *r
	for range have {
		walk.Skip()
	}
	if walk.err != nil {
		r.err, r.rest = walk.err, nil
		return Struct{}
	}
	end := len(r.rest) - len(walk.rest)
	r.rest = r.rest[:end:end]
	r.short++
	return Struct{cut: true, after: walk.rest}
}

// End ends a struct.
func (r *Reader) End(s Struct) {
	for ; s.more > 0 && r.err == nil; s.more-- {
		r.Skip()
	}
	if s.cut {
		if r.short--; r.err == nil {
			r.rest = s.after
		}
	}
}

// Skip reads one value of any kind and drops it, including the content of arrays and maps. It does not recurse, so deep
// nesting is cheap.
func (r *Reader) Skip() {
	for left := uint64(1); left > 0 && r.err == nil; left-- {
		switch c := r.code(); {
		case c < 0x80 || c >= 0xe0 || c == 0xc0 || c == 0xc2 || c == 0xc3: // the code is the whole value
		case c <= 0x8f:
			left += 2 * uint64(c&0x0f)
		case c <= 0x9f:
			left += uint64(c & 0x0f)
		case c <= 0xbf:
			r.take(uint64(c & 0x1f))
		case c >= 0xc4 && c <= 0xc6:
			r.take(r.bigEndian(1 << (c - 0xc4)))
		case c >= 0xc7 && c <= 0xc9: // extensions: length, kind, bytes
			r.take(r.bigEndian(1<<(c-0xc7)) + 1)
		case c == 0xca:
			r.take(4)
		case c == 0xcb:
			r.take(8)
		case c >= 0xcc && c <= 0xcf:
			r.take(1 << (c - 0xcc))
		case c >= 0xd0 && c <= 0xd3:
			r.take(1 << (c - 0xd0))
		case c >= 0xd4 && c <= 0xd8:
			r.take(1<<(c-0xd4) + 1)
		case c >= 0xd9 && c <= 0xdb:
			r.take(r.bigEndian(1 << (c - 0xd9)))
		case c == 0xdc || c == 0xdd:
			left += r.bigEndian(2 << (c - 0xdc))
		case c == 0xde || c == 0xdf:
			left += 2 * r.bigEndian(2<<(c-0xde))
		default:
			r.fail("%#x is not valid msgpack", c)
		}
	}
}
