package wire

import (
	"bytes"
	"fmt"
	"time"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/pack"
)

// requestHeader is the maximum size of the header of a request: array, id, op, timeout, and a write's name.
const requestHeader = 1 + 9 + 1 + 9 + 4*9

// Request is a decoded request. Of the fields after Timeout, only the one that Op selects is set. Its byte slices are parts of the
// frame.
type Request struct {
	ID      uint64
	Op      Op
	Timeout time.Duration // more than 0, at most limits.RequestTimeout
	Once    kv.WriteName

	Put    kv.Put
	Delete kv.Delete
	Range  kv.Range
	Txn    *kv.Txn

	Lease LeaseRequest // of a grant, a revocation and a keep-alive
	Ask   *Ask         // the body of the rare ops; else nil

	// reader reads the body. It is a field because the functions of the op table would move a local Reader to the heap.
	reader pack.Reader
}

// AppendPagesBody appends the body of a streamed range.
func AppendPagesBody(dst []byte, q *kv.Range) []byte {
	return pack.AppendBool(kv.AppendRange(dst, q), q.Usage)
}

// AppendRequest appends the frame of a request. Its body comes from AppendPagesBody, AppendAsk, AppendLeaseBody, or package kv's functions.
func AppendRequest(dst []byte, id uint64, op Op, timeout time.Duration, body []byte) []byte {
	return AppendWrite(dst, id, op, timeout, &noName, body)
}

var noName kv.WriteName

// AppendWrite is AppendRequest for a write with a name.
func AppendWrite(dst []byte, id uint64, op Op, timeout time.Duration, once *kv.WriteName, body []byte) []byte {
	guess := requestHeader/2 + len(body)
	dst, start := beginFrame(dst, guess)
	dst = pack.AppendArray(dst, ops[op].elements())
	dst = pack.AppendUint(pack.AppendUint(dst, id), uint64(op))
	dst = pack.AppendUint(dst, uint64(max(timeout.Milliseconds(), 1)))
	if op.Once() {
		dst = kv.AppendWriteName(dst, once)
	}
	return endFrame(append(dst, body...), start, guess)
}

// ReadRequest reads the frame of a request. If the error is a [*kv.Error], it is the answer to the request q.ID. Any other error
// wraps ErrFrame: no answer is possible, and the stream cannot be used any more.
func ReadRequest(frame []byte, q *Request) error {
	q.reset()
	q.reader = pack.NewReader(frame)
	r := &q.reader
	fields := r.Array()
	q.ID = r.Uint()
	if err := r.Err(); err != nil {
		return fmt.Errorf("%w: a request without an id: %w", ErrFrame, err)
	}
	number, ms := r.Uint(), r.Uint()
	if err := r.Err(); err != nil {
		return kv.Errorf(kv.BadRequest, "a request without op and timeout: %v", err)
	}
	if !declared(number) || ops[number].path == pathWatch {
		return kv.Errorf(kv.BadRequest, "op %d is not known here: another version of qkv may know it", number)
	}
	q.Op = Op(number)
	op := &ops[number]
	if op.keeps {
		*r = pack.NewReader(bytes.Clone(r.Rest()))
	}
	s := r.Fields(fields-3, op.elements()-3)
	q.Timeout = limits.RequestTimeout
	if ms > 0 && ms < uint64(limits.RequestTimeout/time.Millisecond) {
		q.Timeout = time.Duration(ms) * time.Millisecond
	}
	if op.once {
		q.Once = kv.ReadWriteName(r)
	} else {
		q.Once = kv.WriteName{} // reset leaves it to the next request
	}
	if op.read != nil {
		op.read(r, q)
	}
	r.End(s)
	err := r.Done()
	q.reader = pack.Reader{}
	if err != nil {
		return kv.Errorf(kv.BadRequest, "a %s that cannot be read: %v", q.Op, err)
	}
	return nil
}

// reset clears the previous request. After the most frequent ops, it clears only the body of that op.
func (q *Request) reset() {
	switch q.Op {
	case OpPut:
		q.Put = kv.Put{}
	case OpRange:
		q.Range = kv.Range{}
	default:
		*q = Request{}
	}
	q.ID, q.Op, q.Timeout = 0, 0, 0
}

// RequestID returns the id of the request whose frame begins with head.
func RequestID(head []byte) (uint64, error) {
	r := pack.NewReader(head)
	r.Array()
	id := r.Uint()
	if err := r.Err(); err != nil {
		return 0, fmt.Errorf("%w: a request without an id: %w", ErrFrame, err)
	}
	return id, nil
}

func readFlags(r *pack.Reader, known uint64) uint64 {
	flags := r.Uint()
	if flags&^known != 0 {
		r.Fail(fmt.Sprintf("flags %#x, of which %#x are known here", flags, known))
	}
	return flags
}
