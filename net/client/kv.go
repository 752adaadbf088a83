package client

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"slices"

	"qkv/log/limits"
	"qkv/net/wire"
)

// KeyValue is a key with its value and its place among the revisions.
type KeyValue struct {
	Key, Value []byte
	// CreateRevision and ModRevision are those at which the key was made and last written; Version counts its
	// writes since it was made. Lease is 0: none.
	CreateRevision, ModRevision, Version, Lease int64
}

// Written is the outcome of a write.
type Written struct {
	Revision int64 // of the store, with this write in it
	Deleted  int64 // keys that a delete removed
}

// Query says what to read. Only Key must be set.
type Query struct {
	// Key alone is one key; with End it is all keys from Key to, and without, End. Prefix and From make an End.
	Key, End []byte
	// Revision is the one to read at; 0: the newest.
	Revision int64
	// Limit is how many pairs to read at most; 0: all.
	Limit int64
	// Serializable reads are answered by one member from what it has, without asking the others: faster, also
	// without a quorum, but perhaps of the past.
	Serializable bool
	KeysOnly     bool // values come empty
	CountOnly    bool // no pairs, only Count
}

// Answer is what a query found.
type Answer struct {
	Revision int64 // of the store when it was read, whatever revision was asked for
	Count    int64 // keys in the range, whatever the limit
	More     bool  // there are more keys than were asked for
	KVs      []KeyValue
}

// From is the end of a range that has no end.
var From = []byte{0}

// Prefix returns the end of the range of all keys that begin with prefix.
func Prefix(prefix []byte) []byte {
	end := slices.Clone(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] < 0xff {
			end[i]++
			return end[:i+1]
		}
	}
	return From
}

// Put writes a value. Key and value are the caller's again when it returns.
func (c *Client) Put(ctx context.Context, key, value []byte) (Written, error) {
	x := c.newCall(ctx, wire.OpPut)
	x.body = wire.AppendPutBody(x.body[:0], key, value, 0)
	return c.written(ctx, x)
}

// Delete removes a key. That it was not there is no error: Deleted is 0.
func (c *Client) Delete(ctx context.Context, key []byte) (Written, error) {
	return c.DeleteRange(ctx, key, nil)
}

// DeleteRange removes all keys from key to, and without, end.
func (c *Client) DeleteRange(ctx context.Context, key, end []byte) (Written, error) {
	x := c.newCall(ctx, wire.OpDelete)
	x.body = wire.AppendDeleteBody(x.body[:0], key, end)
	return c.written(ctx, x)
}

func (c *Client) written(ctx context.Context, x *call) (Written, error) {
	if err := tooLarge(x); err != nil {
		return Written{}, err
	}
	if err := c.do(ctx, x); err != nil {
		return Written{}, err
	}
	defer x.recycle()
	return readWritten(x)
}

// readWritten reads an answer that says that the write happened.
func readWritten(x *call) (w Written, err error) {
	p, err := wire.ReadResponse(x.answer)
	if err == nil {
		w.Revision, w.Deleted, err = p.Written()
	}
	if err != nil {
		return Written{}, unknown(x.op, x.where.Load(), err)
	}
	return w, nil
}

// Get reads one key.
func (c *Client) Get(ctx context.Context, key []byte) (kv KeyValue, found bool, err error) {
	answer, err := c.Range(ctx, Query{Key: key})
	if err != nil || len(answer.KVs) == 0 {
		return KeyValue{}, false, err
	}
	return answer.KVs[0], true, nil
}

// Range reads all that a query asks for, which the caller should know to fit into memory: see Pages. It comes from
// one revision, however many pages it takes.
func (c *Client) Range(ctx context.Context, q Query) (Answer, error) {
	var whole Answer
	first := true
	for page, err := range c.Pages(ctx, q) {
		if err != nil {
			return Answer{}, err
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

// Pages reads what a query asks for page by page, all from one revision. Revision and Count are those of the first
// page; More says in each that another follows, or in the last one that the limit left some out. After an error
// nothing follows.
func (c *Client) Pages(ctx context.Context, q Query) iter.Seq2[Answer, error] {
	return func(yield func(Answer, error) bool) {
		r := pager{client: c, query: q}
		for {
			page, err := r.next(ctx)
			if err != nil {
				yield(Answer{}, err)
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
	query  Query
	first  Answer // without its pairs
	paged  bool   // the first page was read
	over   bool
}

func (r *pager) next(ctx context.Context) (Answer, error) {
	page, err := r.read(ctx, r.query.Serializable || r.paged)
	var answer *wire.Error
	if r.paged && errors.As(err, &answer) && answer.Code == wire.FutureRevision {
		// Another member answers now, and it is behind the one that answered first.
		page, err = r.read(ctx, false)
	}
	if err != nil {
		return Answer{}, err
	}
	if !r.paged {
		r.first = Answer{Revision: page.Revision, Count: page.Count}
		r.paged = true
		if r.query.Revision == 0 {
			r.query.Revision = page.Revision
		}
	}
	page.Revision, page.Count = r.first.Revision, r.first.Count
	r.over = r.advance(page)
	return page, nil
}

// advance makes the query one for the pairs behind the page, and says whether there is nothing to ask for any more.
func (r *pager) advance(page Answer) bool {
	n := int64(len(page.KVs))
	if !page.More || n == 0 || n == r.query.Limit {
		return true
	}
	if r.query.Limit > 0 {
		r.query.Limit -= n
	}
	r.query.Key = following(page.KVs[n-1].Key)
	return r.query.Key == nil
}

// following returns the least key behind a key, or nil when there is none.
func following(key []byte) []byte {
	if len(key) < limits.KeyBytes {
		return append(slices.Clone(key), 0)
	}
	if next := Prefix(key); !bytes.Equal(next, From) {
		return next
	}
	return nil
}

// read reads one page. What lies at a revision that was read before never changes, so that pages behind the first
// need no confirmation.
func (r *pager) read(ctx context.Context, serializable bool) (Answer, error) {
	x := r.client.newCall(ctx, wire.OpRange)
	x.bulk = len(r.query.End) > 0
	x.body = appendQuery(x.body[:0], &r.query, serializable, r.paged)
	if err := tooLarge(x); err != nil {
		return Answer{}, err
	}
	if err := r.client.do(ctx, x); err != nil {
		return Answer{}, err
	}
	defer x.recycle()
	p, err := wire.ReadResponse(x.answer)
	if err != nil {
		return Answer{}, err
	}
	var page wire.Range
	if err := p.Range(&page); err != nil {
		return Answer{}, err
	}
	return ownAnswer(&page), nil
}

func appendQuery(dst []byte, q *Query, serializable, continued bool) []byte {
	var flags wire.Flags
	set := func(flag wire.Flags, on bool) {
		if on {
			flags |= flag
		}
	}
	set(wire.Serializable, serializable)
	set(wire.KeysOnly, q.KeysOnly)
	set(wire.CountOnly, q.CountOnly)
	set(wire.Continued, continued)
	return wire.AppendRangeBody(dst, q.Key, q.End, q.Revision, q.Limit, flags)
}

// ownAnswer copies a page out of the frame that it was read from, all bytes into one piece.
func ownAnswer(page *wire.Range) Answer {
	answer := Answer{Revision: page.Revision, Count: page.Count, More: page.More}
	if len(page.Pairs) == 0 {
		return answer
	}
	size := 0
	for i := range page.Pairs {
		size += len(page.Pairs[i].Key) + len(page.Pairs[i].Value)
	}
	piece := make([]byte, 0, size)
	own := func(b []byte) []byte {
		start := len(piece)
		piece = append(piece, b...)
		return piece[start:len(piece):len(piece)]
	}
	answer.KVs = make([]KeyValue, len(page.Pairs))
	for i := range page.Pairs {
		answer.KVs[i] = fromWire(&page.Pairs[i])
		answer.KVs[i].Key, answer.KVs[i].Value = own(page.Pairs[i].Key), own(page.Pairs[i].Value)
	}
	return answer
}

func fromWire(kv *wire.KeyValue) KeyValue {
	return KeyValue{
		Key: kv.Key, Value: kv.Value,
		CreateRevision: kv.Create, ModRevision: kv.Mod, Version: kv.Version, Lease: kv.Lease,
	}
}
