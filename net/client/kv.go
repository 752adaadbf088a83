package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/wire"
)

// Written is the outcome of a write.
type Written struct {
	// Revision is the write's own revision: the ModRevision of the keys that it changed. If the write changed no key, it is the store's
	// newest revision at that time.
	Revision int64
	Deleted  int64         // number of keys that a delete, or a revocation, removed
	Previous []kv.KeyValue // with PrevKV: the keys before the write, without those that did not exist
}

// From is the End of a range without an upper bound. It must not be changed. All keys are kv.Range{Key: From, End: From}.
var From = []byte{0}

// Prefix returns the End of the range of all keys that begin with prefix, which is the Key. An empty prefix cannot be a Key: see [From].
func Prefix(prefix []byte) []byte { return kv.PrefixEnd(prefix) }

// Put sets the value of a key, and creates the key if it does not exist. The key has no lease afterwards: [Client.PutWith] gives it one, or
// keeps it.
func (c *Client) Put(ctx context.Context, key, value []byte) (Written, error) {
	x := c.newCall(ctx, wire.OpPut)
	x.body = kv.AppendPut(room(x.body, len(key)+len(value)+slotWeight), &kv.Put{Key: key, Value: value})
	return c.written(ctx, x)
}

// Delete removes a key. A missing key is not an error: [Written.Deleted] is 0.
func (c *Client) Delete(ctx context.Context, key []byte) (Written, error) {
	return c.DeleteRange(ctx, key, nil)
}

// DeleteRange removes all keys from key up to end, without end, in one revision. The end may be [From] or that of a [Prefix]; an empty end
// means the single key.
func (c *Client) DeleteRange(ctx context.Context, key, end []byte) (Written, error) {
	return c.DeleteWith(ctx, kv.Delete{Key: key, End: end})
}

func (c *Client) written(ctx context.Context, x *call) (Written, error) {
	if err := tooLarge(x); err != nil {
		return Written{}, err
	}
	if err := c.do(ctx, x); err != nil {
		return Written{}, err
	}
	defer x.recycle()
	p, err := wire.ReadResponse(x.answer)
	if err != nil {
		return Written{}, unknown(x.op, x.where.Load(), err)
	}
	return readWritten(x, &p)
}

// readWritten reads the answer to a write that happened.
func readWritten(x *call, p *wire.Response) (w Written, err error) {
	w.Revision, w.Deleted, w.Previous, err = p.Written()
	if w.Previous != nil {
		w.Previous = ownPage(&kv.RangeResult{KVs: w.Previous}).KVs
	}
	if err != nil {
		return Written{}, unknown(x.op, x.where.Load(), err)
	}
	return w, nil
}

// Get reads the newest version of one key. A missing key is not an error: found is false. The read is linearizable. [Client.Range] also
// reads an older revision, or from one member alone.
func (c *Client) Get(ctx context.Context, key []byte) (pair kv.KeyValue, found bool, err error) {
	answer, err := c.Range(ctx, kv.Range{Key: key})
	if err != nil || len(answer.KVs) == 0 {
		return kv.KeyValue{}, false, err
	}
	return answer.KVs[0], true, nil
}

// Range reads a key or a whole range, in ascending order of keys unless q has another order. The result must fit into memory:
// [Client.Pages] reads larger ranges. All of it is from one revision, however many requests it takes. If ctx has no deadline, each request
// may take Config.Timeout. A range without keys is not an error.
//
// After a read of the newest revision, a watch from [kv.RangeResult.Revision] + 1 on delivers every later change, and none twice.
func (c *Client) Range(ctx context.Context, q kv.Range) (kv.RangeResult, error) {
	var whole kv.RangeResult
	first := true
	for page, err := range c.Pages(ctx, q) {
		if err != nil {
			return kv.RangeResult{}, err
		}
		if first {
			whole, first = page, false
			continue
		}
		whole.KVs = append(whole.KVs, page.KVs...)
		whole.More = page.More
	}
	return whole, nil
}

// Pages reads a range page by page, all from one revision, and sends nothing before the iteration. The member streams the pages after the
// first, with backpressure. It holds their state, which keeps compaction from overtaking them, for up to a minute. If the stream is lost,
// the rest comes from another member, as long as the revision is kept. If ctx has no deadline, each page may take Config.Timeout.
//
// [kv.RangeResult.Revision] and Count are those of the first page. More says that another page follows, or, in the last page, that the
// limit left some pairs out. The caller may keep the pairs of a page. An error is the last element; the pages before it are valid.
//
// A sorted range, except one in ascending order of keys, comes as one page of up to 17 MiB, and otherwise in several pages. The member that
// sorts it notes 16 bytes of each key. If that exceeds its memory budget, the result is an Error with the code AnswerTooLarge. A limit
// makes the notes smaller.
func (c *Client) Pages(ctx context.Context, q kv.Range) iter.Seq2[kv.RangeResult, error] {
	return func(yield func(kv.RangeResult, error) bool) {
		q.Continued, q.Usage = false, false // a member would refuse the later pages of such a query
		r := pager{client: c, query: q}
		defer r.close()
		for {
			page, err := r.next(ctx)
			if err != nil {
				yield(kv.RangeResult{}, err)
				return
			}
			if !yield(page, nil) || r.over {
				return
			}
		}
	}
}

// pager reads a range page by page.
type pager struct {
	client *Client
	query  kv.Range
	first  kv.RangeResult // without its pairs
	paged  bool           // the first page was read
	over   bool
	stream *pageStream // nil: there is none

	// Of a sorted range that is too large for one answer.
	sorting bool
	sent    int64 // pairs that were returned
	skip    int64 // of the pairs that the stream repeats
}

func (r *pager) close() {
	if r.stream != nil {
		r.stream.close()
		r.stream = nil
	}
}

// fetch reads the next page: from a stream, after the first page, or by a request if there is no stream. The request is retried
// elsewhere.
func (r *pager) fetch(ctx context.Context) (kv.RangeResult, error) {
	if r.query.Sorted() && len(r.query.End) > 0 {
		return r.fetchSorted(ctx)
	}
	if r.paged && r.stream == nil {
		q := r.query
		q.Serializable, q.Continued = true, true
		r.stream = r.client.openPages(ctx, &q)
	}
	if r.stream != nil {
		page, err := r.stream.next(ctx)
		if err == nil || ctx.Err() != nil || !resumable(err) {
			return page, err
		}
		r.close()
	}
	return r.read(ctx, r.query.Serializable || r.paged)
}

// fetchSorted reads a sorted range in one answer, and as a stream of pages if it is too large for that.
func (r *pager) fetchSorted(ctx context.Context) (kv.RangeResult, error) {
	if !r.sorting {
		page, err := r.read(ctx, r.query.Serializable)
		if answer, is := errors.AsType[*kv.Error](err); !is || answer.Code != kv.AnswerTooLarge || r.query.CountOnly {
			return page, err
		}
		if page, err = r.count(ctx, r.query.Serializable); err != nil {
			return kv.RangeResult{}, err
		}
		r.first = kv.RangeResult{Revision: page.Revision, Count: page.Count}
		if r.sorting, r.paged = true, true; r.query.Revision == 0 {
			r.query.Revision = page.Revision
		}
	}
	for tries := 1; ; tries++ {
		page, lost, err := r.nextSorted(ctx)
		if !lost {
			return page, err
		}
		if tries == sortedTries {
			return kv.RangeResult{}, err
		}
		// Another member starts again, from the beginning. This linearizable read waits until a member has the revision.
		if _, err := r.count(ctx, false); err != nil {
			return kv.RangeResult{}, err
		}
	}
}

// sortedTries is how many times in a row a sorted range is started again without a page.
const sortedTries = 5

// nextSorted returns the next page of a sorted range, or reports that its stream is lost.
func (r *pager) nextSorted(ctx context.Context) (page kv.RangeResult, lost bool, err error) {
	if r.stream == nil {
		q := r.query
		q.Serializable = true
		if r.stream = r.client.openPages(ctx, &q); r.stream == nil {
			return page, true, errStopping
		}
		r.skip = r.sent
	}
	for {
		page, err = r.stream.next(ctx)
		if err != nil {
			r.close()
			return kv.RangeResult{}, ctx.Err() == nil && resumable(err), err
		}
		known := min(r.skip, int64(len(page.KVs)))
		r.skip -= known
		page.KVs = page.KVs[known:]
		if r.sent += int64(len(page.KVs)); len(page.KVs) > 0 || !page.More {
			return page, false, nil
		}
	}
}

// resumable reports whether the rest of a stream of pages may come by another request: from another member, or after a new login, which
// only calls make.
func resumable(err error) bool {
	answer, is := errors.AsType[*kv.Error](err)
	return !is || answer.Retryable() || answer.Code == kv.FutureRevision || answer.Code == kv.BadToken
}

// count returns the number of keys.
func (r *pager) count(ctx context.Context, serializable bool) (kv.RangeResult, error) {
	one := pager{client: r.client, query: r.query}
	one.query.CountOnly, one.query.Limit, one.query.Sort, one.query.Order = true, 0, kv.SortByKey, kv.SortNone
	return one.read(ctx, serializable)
}

func (r *pager) next(ctx context.Context) (kv.RangeResult, error) {
	page, err := r.fetch(ctx)
	var answer *kv.Error
	if r.paged && !r.sorting && errors.As(err, &answer) && answer.Code == kv.FutureRevision {
		// Another member answers now, and it lags the member that answered first.
		page, err = r.read(ctx, false)
	}
	if err != nil {
		return kv.RangeResult{}, err
	}
	// without a last key, the next start is unknown
	if page.More && len(page.KVs) == 0 && !r.query.CountOnly && !r.query.Sorted() && !r.query.Filtered() {
		return kv.RangeResult{}, fmt.Errorf("%w: an empty page that is not the last one", wire.ErrFrame)
	}
	if !r.paged {
		r.first = kv.RangeResult{Revision: page.Revision, Count: page.Count}
		r.paged = true
		if r.query.Revision == 0 {
			r.query.Revision = page.Revision
		}
	}
	page.Revision, page.Count = r.first.Revision, r.first.Count
	r.over = r.advance(page)
	return page, nil
}

// advance moves the query to the pairs after the page, and reports whether the range is complete.
func (r *pager) advance(page kv.RangeResult) bool {
	n := int64(len(page.KVs))
	if r.sorting {
		return !page.More || r.query.Limit > 0 && r.sent >= r.query.Limit
	}
	if !page.More || n == 0 || n == r.query.Limit {
		return true
	}
	if r.query.Limit > 0 {
		r.query.Limit -= n
	}
	r.query.Key = following(page.KVs[n-1].Key)
	return r.query.Key == nil
}

// following returns the smallest key after a key, or nil if there is none.
func following(key []byte) []byte {
	if len(key) < limits.KeyBytes {
		return append(slices.Clone(key), 0)
	}
	if next := Prefix(key); !bytes.Equal(next, From) {
		return next
	}
	return nil
}

// read reads one page. An older revision never changes: the pages after the first need no confirmation.
func (r *pager) read(ctx context.Context, serializable bool) (kv.RangeResult, error) {
	x := r.client.newCall(ctx, wire.OpRange)
	x.bulk = len(r.query.End) > 0
	query := r.query
	query.Serializable, query.Continued = serializable, r.paged
	x.body = kv.AppendRange(x.body[:0], &query)
	if err := tooLarge(x); err != nil {
		return kv.RangeResult{}, err
	}
	if err := r.client.do(ctx, x); err != nil {
		return kv.RangeResult{}, err
	}
	defer x.recycle()
	p, err := wire.ReadResponse(x.answer)
	if err != nil {
		return kv.RangeResult{}, err
	}
	var page kv.RangeResult
	if err := p.Range(&page); err != nil {
		return kv.RangeResult{}, err
	}
	return ownPage(&page), nil
}

// ownPage copies the pairs of a page out of its frame, all bytes into one piece.
func ownPage(page *kv.RangeResult) kv.RangeResult {
	size := 0
	for i := range page.KVs {
		size += len(page.KVs[i].Key) + len(page.KVs[i].Value)
	}
	piece := make([]byte, 0, size)
	own := func(b []byte) []byte {
		start := len(piece)
		piece = append(piece, b...)
		return piece[start:len(piece):len(piece)]
	}
	for i := range page.KVs {
		pair := &page.KVs[i]
		pair.Key, pair.Value = own(pair.Key), own(pair.Value)
	}
	return *page
}
