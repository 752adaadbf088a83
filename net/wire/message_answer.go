package wire

import (
	"fmt"
	"math"
	"slices"

	"qkv/index/kv"
	"qkv/internal/codec"
	"qkv/internal/limits"
	"qkv/internal/pack"
)

// pairHeader is the maximum size of a pair without its key and value.
const pairHeader = 1 + 2*5 + 4*9

// AnswerBytes bounds the size of an answer without its message or its pairs.
const AnswerBytes = 5 + 1 + 9 + 2 + 9 + 9 + 1 + 5

// PairBytes bounds the bytes that AppendPair appends for a key and a value of these lengths.
func PairBytes(key, value int) int { return pairHeader + key + value }

// AppendWritten appends the frame that answers a put or a delete.
func AppendWritten(dst []byte, id uint64, revision, deleted int64) []byte {
	const guess = 16
	dst, start := beginFrame(dst, guess)
	dst = pack.AppendUint(pack.AppendUint(pack.AppendArray(dst, 4), id), uint64(kv.OK))
	return endFrame(pack.AppendInt(pack.AppendInt(dst, revision), deleted), start, guess)
}

// AppendDone appends the frame that answers a request without a result.
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

// Page is a range's answer under construction: BeginPage, then one AppendPair for each announced pair, then EndPage.
type Page struct{ start, guess int }

// BeginPage begins the answer to a range with the given number of pairs, of about bytes bytes in all.
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

// Response is an answer, decoded up to its outcome. The method that fits the request reads the rest; the answer itself does not say
// which method that is.
type Response struct {
	ID     uint64
	Code   kv.Code
	fields int
	rest   pack.Reader
}

// ReadResponse reads the frame of an answer. An error wraps ErrFrame, and the stream cannot be used any more.
func ReadResponse(frame []byte) (Response, error) {
	r := pack.NewReader(frame)
	fields := r.Array()
	id, code := r.Uint(), r.Uint()
	if err := r.Err(); err != nil {
		return Response{}, fmt.Errorf("%w: an answer without id and code: %w", ErrFrame, err)
	}
	// A later version's code that does not fit becomes 255, which is unknown.
	return Response{ID: id, Code: kv.Code(min(code, math.MaxUint8)), fields: fields - 2, rest: r}, nil
}

// body returns a reader of the fields after the code; this version knows the first known of them. The reader has failed if an
// answer has fewer fields than least.
func (p *Response) body(least, known int) (pack.Reader, pack.Struct) {
	r := p.rest
	if p.fields < least {
		r.Fail(fmt.Sprintf("%d fields, of %d", p.fields, least))
	}
	return r, r.Fields(p.fields, known)
}

// end skips the remaining fields after the code, and returns the error of reading them.
func (p *Response) end(r *pack.Reader, s pack.Struct) error {
	r.End(s)
	if err := r.Done(); err != nil {
		return fmt.Errorf("%w: an answer that cannot be read: %w", ErrFrame, err)
	}
	return nil
}

// Failed returns the answer's error if its code is not OK, else nil.
func (p *Response) Failed() *kv.Error {
	if p.Code == kv.OK {
		return nil
	}
	r, _ := p.body(0, 1)
	return &kv.Error{Code: p.Code, Message: r.String()}
}

// Written reads the answer to a put or a delete, with the previous pairs if the request asked for them. Their slices are parts of
// the frame.
func (p *Response) Written() (revision, deleted int64, previous []kv.KeyValue, err error) {
	r, s := p.body(2, 3)
	revision, deleted, previous = r.Int(), r.Int(), readArray(&r, readPair)
	return revision, deleted, previous, p.end(&r, s)
}

// Range reads the answer to a range into into, and reuses its KVs. The pairs' slices are parts of the frame.
func (p *Response) Range(into *kv.RangeResult) error {
	r, s := p.body(4, 4)
	into.Revision, into.Count, into.More = r.Int(), r.Int(), r.Bool()
	n := r.Array()
	into.KVs = slices.Grow(into.KVs[:0], min(n, limits.RangeRows))
	for range n {
		if r.Err() != nil {
			break
		}
		into.KVs = append(into.KVs, readPair(&r))
	}
	return p.end(&r, s)
}

func readPair(r *pack.Reader) kv.KeyValue {
	const known = 6
	s := r.Struct(known)
	pair := kv.KeyValue{Key: r.Bytes(), Value: r.Bytes()}
	pair.CreateRevision, pair.ModRevision, pair.Version, pair.Lease = r.Int(), r.Int(), r.Int(), r.Int()
	r.End(s)
	return pair
}

// AppendAnswer appends the frame of an answer that is a value of package codec: of Status, List, Login, Self, AuthStatus, AuthCheck,
// LeaseKeys and kv.BackedUp.
func AppendAnswer(dst []byte, id uint64, value any) []byte {
	const guess = 1 << 10
	dst, start := beginAnswer(dst, id, 1, guess)
	return endFrame(codec.Append(dst, value), start, guess)
}

func beginAnswer(dst []byte, id uint64, fields, guess int) (out []byte, start int) {
	dst, start = beginFrame(dst, guess)
	return pack.AppendUint(pack.AppendUint(pack.AppendArray(dst, 2+fields), id), uint64(kv.OK)), start
}

// ReadAnswer reads an answer of AppendAnswer.
func ReadAnswer[T any](p *Response) (value T, err error) {
	r, s := p.body(1, 1)
	codec.ReadNext(&r, &value)
	return value, p.end(&r, s)
}
