package wire

import (
	"fmt"
	"time"

	"qkv/log/limits"
	"qkv/log/pack"
)

// Op is what a request asks for.
type Op uint8

// The ops; doc.go draws their bodies.
const (
	OpPut    Op = 1
	OpDelete Op = 2
	OpRange  Op = 3
	OpStatus Op = 4
	ops         = 5
)

// bodyFields is how many elements each op's body has.
var bodyFields = [ops]int{OpPut: 3, OpDelete: 2, OpRange: 5, OpStatus: 0}

var opNames = [ops]string{OpPut: "put", OpDelete: "delete", OpRange: "range", OpStatus: "status"}

// String returns the op's name.
func (o Op) String() string {
	if o > 0 && o < ops {
		return opNames[o]
	}
	return fmt.Sprintf("op %d", uint8(o))
}

// Write says that the op changes something.
func (o Op) Write() bool { return o == OpPut || o == OpDelete }

// Flags are a range's.
type Flags uint8

// The flags; doc.go says what they do.
const (
	Serializable Flags = 1 << iota
	KeysOnly
	CountOnly
	Continued
	knownFlags = 1<<iota - 1
)

// requestHeader is the most that the header of a request takes: array, id, op, timeout.
const requestHeader = 1 + 9 + 1 + 9

// Request is a request that was read. Its byte slices are parts of the frame.
type Request struct {
	ID      uint64
	Op      Op
	Timeout time.Duration // more than 0, at most limits.RequestTimeout

	Key             []byte
	Value           []byte // put
	Lease           int64  // put
	End             []byte // delete, range
	Revision, Limit int64  // range
	Flags           Flags  // range
}

// AppendPutBody appends the body of a put.
func AppendPutBody(dst, key, value []byte, lease int64) []byte {
	return pack.AppendInt(pack.AppendBytes(pack.AppendBytes(dst, key), value), lease)
}

// AppendDeleteBody appends the body of a delete.
func AppendDeleteBody(dst, key, end []byte) []byte {
	return pack.AppendBytes(pack.AppendBytes(dst, key), end)
}

// AppendRangeBody appends the body of a range.
func AppendRangeBody(dst, key, end []byte, revision, limit int64, flags Flags) []byte {
	dst = pack.AppendBytes(pack.AppendBytes(dst, key), end)
	return pack.AppendUint(pack.AppendInt(pack.AppendInt(dst, revision), limit), uint64(flags))
}

// AppendRequest appends the frame of a request, whose body one of the functions above has made.
func AppendRequest(dst []byte, id uint64, op Op, timeout time.Duration, body []byte) []byte {
	guess := requestHeader/2 + len(body)
	dst, start := beginFrame(dst, guess)
	dst = pack.AppendArray(dst, 3+bodyFields[op])
	dst = pack.AppendUint(pack.AppendUint(dst, id), uint64(op))
	dst = pack.AppendUint(dst, uint64(max(timeout.Milliseconds(), 1)))
	return endFrame(append(dst, body...), start, guess)
}

// ReadRequest reads the frame of a request. An [*Error] is the answer to the request that q.ID names. Any other
// error wraps ErrFrame: there is nothing to answer, and the stream is of no more use.
func ReadRequest(frame []byte, q *Request) error {
	r := pack.NewReader(frame)
	*q = Request{}
	fields := r.Array()
	q.ID = r.Uint()
	if err := r.Err(); err != nil {
		return fmt.Errorf("%w: a request without an id: %w", ErrFrame, err)
	}
	op, ms := r.Uint(), r.Uint()
	if err := r.Err(); err != nil {
		return Errorf(BadRequest, "a request without op and timeout: %v", err)
	}
	if op == 0 || op >= ops {
		return Errorf(BadRequest, "op %d is not known here: this member knows 1 to %d", op, ops-1)
	}
	q.Op = Op(op)
	if want := 3 + bodyFields[op]; fields != want {
		return Errorf(BadRequest, "a %s of %d fields: this member knows %d", q.Op, fields, want)
	}
	q.Timeout = limits.RequestTimeout
	if ms > 0 && ms < uint64(limits.RequestTimeout/time.Millisecond) {
		q.Timeout = time.Duration(ms) * time.Millisecond
	}
	q.readBody(&r)
	if err := r.Done(); err != nil {
		return Errorf(BadRequest, "a %s that cannot be read: %v", q.Op, err)
	}
	return nil
}

func (q *Request) readBody(r *pack.Reader) {
	switch q.Op {
	case OpPut:
		q.Key, q.Value, q.Lease = r.Bytes(), r.Bytes(), r.Int()
	case OpDelete:
		q.Key, q.End = r.Bytes(), r.Bytes()
	case OpRange:
		q.Key, q.End = r.Bytes(), r.Bytes()
		q.Revision, q.Limit = r.Int(), r.Int()
		flags := r.Uint()
		if flags&^knownFlags != 0 {
			r.Fail(fmt.Sprintf("flags %#x, of which %#x are known here", flags, uint64(knownFlags)))
		}
		q.Flags = Flags(flags)
	}
}

// Check returns the answer to a request that asks for what no member can do, and nil for all others. A value may
// have valueBytes.
func (q *Request) Check(valueBytes int) *Error {
	if q.Op == OpStatus {
		return nil
	}
	switch {
	case len(q.Key) == 0:
		return &Error{Code: EmptyKey, Message: "the key is empty"}
	case len(q.Key) > limits.KeyBytes:
		return Errorf(KeyTooLarge, "the key has %d bytes, over the limit of %d", len(q.Key), limits.KeyBytes)
	case len(q.End) > limits.KeyBytes:
		return Errorf(KeyTooLarge, "the end of the range has %d bytes, over the limit of %d", len(q.End), limits.KeyBytes)
	case len(q.Value) > valueBytes:
		return Errorf(ValueTooLarge, "the value has %d bytes, over the limit of %d", len(q.Value), valueBytes)
	case q.Revision < 0:
		return Errorf(BadRequest, "revision %d is negative", q.Revision)
	case q.Limit < 0:
		return Errorf(BadRequest, "limit %d is negative", q.Limit)
	case q.Lease != 0:
		return Errorf(FeatureLevel, "lease %x: this version has no leases yet", q.Lease)
	}
	return nil
}
