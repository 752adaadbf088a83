package pack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// ErrMalformed is the error of bytes that are not the msgpack that was expected.
var ErrMalformed = errors.New("malformed msgpack")

// Reader reads msgpack values from a slice, one after the other. Its first failure stays: all later reads return
// zero values, and Err tells what was wrong, so that a caller reads a whole record and checks once.
//
// A Reader is a value; copy it to look ahead. It is not for several goroutines.
type Reader struct {
	rest []byte
	err  error
}

// NewReader returns a Reader of b. What Bytes returns is part of b.
func NewReader(b []byte) Reader { return Reader{rest: b} }

// Rest returns the bytes that were not read yet.
func (r *Reader) Rest() []byte { return r.rest }

// Err returns the first failure, wrapping ErrMalformed.
func (r *Reader) Err() error { return r.err }

// Done returns the first failure, or an error when bytes are left over.
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

// Fail makes the Reader fail with a reason of its caller's, such as a number out of range.
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

func (r *Reader) code() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0xc1 // never used by msgpack, so every caller refuses it
}

// Nil reads nil if it is next, and says whether it was.
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
		r.fail("%#x is no boolean", c)
		return false
	}
}

// Uint reads an integer that is not negative. Most are below 128.
func (r *Reader) Uint() uint64 {
	if b := r.rest; len(b) > 0 && b[0] < 0x80 {
		r.rest = b[1:]
		return uint64(b[0])
	}
	return r.longUint()
}

// longUint reads what is there as a whole at once: a request has half a dozen such numbers.
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

// anyUint is longUint of what may be cut off, or no number.
func (r *Reader) anyUint() uint64 {
	switch c := r.code(); {
	case c < 0x80:
		return uint64(c)
	case c >= 0xcc && c <= 0xcf:
		return r.bigEndian(1 << (c - 0xcc))
	default:
		r.fail("%#x is no unsigned integer", c)
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
		r.fail("an integer wanted, nothing left")
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

// Bytes reads a binary. The slice is part of what the Reader reads, and its capacity ends with it.
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
		r.fail("%#x is no binary", c)
		return nil
	}
}

// String reads a string.
func (r *Reader) String() string {
	switch c := r.code(); {
	case c >= 0xa0 && c <= 0xbf:
		return string(r.take(uint64(c & 0x1f)))
	case c >= 0xd9 && c <= 0xdb:
		return string(r.take(r.bigEndian(1 << (c - 0xd9))))
	default:
		r.fail("%#x is no string", c)
		return ""
	}
}

// Array reads an array's header and returns its count, which is at most the number of bytes left: an element has
// at least one, so that a caller may allocate by it.
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
		r.fail("%#x is no array", c)
		return 0
	}
	if n > uint64(len(r.rest)) {
		r.fail("an array of %d elements in %d bytes", n, len(r.rest))
		return 0
	}
	return int(n)
}

// ArrayOf reads an array's header and fails unless it has exactly n elements.
func (r *Reader) ArrayOf(n int) {
	if got := r.Array(); r.err == nil && got != n {
		r.fail("an array of %d elements where %d are wanted", got, n)
	}
}

// ArrayFrom reads the header of an array of at least n elements, and returns how many there are beyond: a later version
// may append some.
func (r *Reader) ArrayFrom(n int) (more int) {
	got := r.Array()
	if r.err == nil && got < n {
		r.fail("an array of %d elements where at least %d are wanted", got, n)
	}
	return max(got-n, 0)
}

// Skip reads one value of any kind and drops it, arrays and maps with all they hold. It uses no recursion, so that
// deep nesting costs nothing.
func (r *Reader) Skip() {
	for left := uint64(1); left > 0 && r.err == nil; left-- {
		switch c := r.code(); {
		case c < 0x80 || c >= 0xe0 || c == 0xc0 || c == 0xc2 || c == 0xc3: // in the code itself
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
			r.fail("%#x is no msgpack", c)
		}
	}
}
