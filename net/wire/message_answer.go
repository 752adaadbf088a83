package wire

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/pack"
)

// pairHeader is the most that a pair takes beside its key and value.
const pairHeader = 1 + 2*5 + 4*9

// AnswerBytes bounds what an answer takes beside its message or its pairs.
const AnswerBytes = 5 + 1 + 9 + 2 + 9 + 9 + 1 + 5

// PairBytes bounds what AppendPair appends for a key and a value of these lengths.
func PairBytes(key, value int) int { return pairHeader + key + value }

// AppendWritten appends the frame that answers a put or a delete.
func AppendWritten(dst []byte, id uint64, revision, deleted int64) []byte {
	const guess = 16
	dst, start := beginFrame(dst, guess)
	dst = pack.AppendUint(pack.AppendUint(pack.AppendArray(dst, 4), id), uint64(kv.OK))
	return endFrame(pack.AppendInt(pack.AppendInt(dst, revision), deleted), start, guess)
}

// AppendDone appends the frame that answers a request of which there is no more to say than that it is done.
func AppendDone(dst []byte, id uint64) []byte {
	const guess = 8
	dst, start := beginFrame(dst, guess)
	return endFrame(pack.AppendUint(pack.AppendUint(pack.AppendArray(dst, 2), id), uint64(kv.OK)), start, guess)
}

// AppendError appends the frame that answers with an error.
func AppendError(dst []byte, id uint64, code kv.Code, message string) []byte {
	guess := 16 + len(message)
	dst, start := beginFrame(dst, guess)
	dst = pack.AppendUint(pack.AppendUint(pack.AppendArray(dst, 3), id), uint64(code))
	return endFrame(pack.AppendString(dst, message), start, guess)
}

// Page is a range's answer that is being appended: BeginPage, as many AppendPair as it was told, EndPage.
type Page struct{ start, guess int }

// BeginPage begins the answer to a range. It holds pairs pairs of about bytes bytes in all.
func BeginPage(dst []byte, id uint64, revision, count int64, more bool, pairs, bytes int) ([]byte, Page) {
	p := Page{guess: 32 + bytes}
	dst, p.start = beginFrame(dst, p.guess)
	dst = pack.AppendUint(pack.AppendUint(pack.AppendArray(dst, 6), id), uint64(kv.OK))
	dst = pack.AppendBool(pack.AppendInt(pack.AppendInt(dst, revision), count), more)
	return pack.AppendArray(dst, pairs), p
}

// AppendPair appends one pair of a page.
func AppendPair(dst []byte, pair *kv.KeyValue) []byte {
	dst = pack.AppendBytes(pack.AppendBytes(pack.AppendArray(dst, 6), pair.Key), pair.Value)
	dst = pack.AppendInt(pack.AppendInt(dst, pair.CreateRevision), pair.ModRevision)
	return pack.AppendInt(pack.AppendInt(dst, pair.Version), pair.Lease)
}

// EndPage ends the answer.
func EndPage(dst []byte, p Page) []byte { return endFrame(dst, p.start, p.guess) }

// Response is an answer that was read as far as its outcome. What follows is read by the method that fits the
// request; the answer itself does not say which one that is.
type Response struct {
	ID     uint64
	Code   kv.Code
	fields int
	body   pack.Reader
}

// ReadResponse reads the frame of an answer. An error wraps ErrFrame, and the stream is of no more use.
func ReadResponse(frame []byte) (Response, error) {
	r := pack.NewReader(frame)
	fields := r.Array()
	id, code := r.Uint(), r.Uint()
	if err := r.Err(); err != nil {
		return Response{}, fmt.Errorf("%w: an answer without id and code: %w", ErrFrame, err)
	}
	// A code of a later version that does not fit is as unknown as any other.
	return Response{ID: id, Code: kv.Code(min(code, math.MaxUint8)), fields: fields - 2, body: r}, nil
}

// errShort is the error of an answer that has fewer fields than its kind has.
var errShort = errors.New("an answer with too few fields")

// bodyOf returns a reader of the fields behind the code, of which there must be at least n.
func (p *Response) bodyOf(n int) (pack.Reader, error) {
	if p.fields < n {
		return p.body, fmt.Errorf("%w: %w: %d, of %d", ErrFrame, errShort, p.fields, n)
	}
	return p.body, nil
}

// end skips the fields behind the n that are known, and returns what was wrong with any.
func (p *Response) end(r *pack.Reader, n int) error {
	for i := n; i < p.fields && r.Err() == nil; i++ {
		r.Skip()
	}
	if err := r.Done(); err != nil {
		return fmt.Errorf("%w: an answer that cannot be read: %w", ErrFrame, err)
	}
	return nil
}

// Failed returns the error that the answer is, when its code is not OK; nil when it is.
func (p *Response) Failed() *kv.Error {
	if p.Code == kv.OK {
		return nil
	}
	r, err := p.bodyOf(1)
	if err != nil {
		return &kv.Error{Code: p.Code}
	}
	return &kv.Error{Code: p.Code, Message: r.String()}
}

// Written reads the answer to a put or a delete, with the keys as they were before where these were asked for: their slices
// are parts of the frame.
func (p *Response) Written() (revision, deleted int64, previous []kv.KeyValue, err error) {
	r, err := p.bodyOf(2)
	if err != nil {
		return 0, 0, nil, err
	}
	known := 2
	revision, deleted = r.Int(), r.Int()
	if p.fields > known {
		known++
		previous = readArray(&r, readPair)
	}
	return revision, deleted, previous, p.end(&r, known)
}

// Range reads the answer to a range into into, whose KVs are used again. The pairs' slices are parts of the frame.
func (p *Response) Range(into *kv.RangeResult) error {
	r, err := p.bodyOf(4)
	if err != nil {
		return err
	}
	into.Revision, into.Count, into.More = r.Int(), r.Int(), r.Bool()
	n := r.Array()
	into.KVs = slices.Grow(into.KVs[:0], min(n, limits.RangeRows))
	for range n {
		if r.Err() != nil {
			break
		}
		into.KVs = append(into.KVs, readPair(&r))
	}
	return p.end(&r, 4)
}

func readPair(r *pack.Reader) kv.KeyValue {
	const known = 6
	n := r.Array()
	if n < known {
		r.Fail(fmt.Sprintf("a pair of %d fields, of %d", n, known))
		return kv.KeyValue{}
	}
	pair := kv.KeyValue{Key: r.Bytes(), Value: r.Bytes()}
	pair.CreateRevision, pair.ModRevision, pair.Version, pair.Lease = r.Int(), r.Int(), r.Int(), r.Int()
	for range n - known {
		r.Skip()
	}
	return pair
}

// Status reads the answer to a status.
func (p *Response) Status() (Status, error) {
	r, err := p.bodyOf(1)
	if err != nil {
		return Status{}, err
	}
	s := readStatus(&r)
	return s, p.end(&r, 1)
}
