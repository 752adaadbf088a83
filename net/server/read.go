package server

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/wire"
)

// read is a range that waits for its confirmation or its turn, or a request with a body that waits for its outcome. Its key and end
// are its own copies.
type read struct {
	kv.Range
	buf  []byte
	body *body
	// permitted are the users and roles by which a read in steps was last permitted.
	permitted *index.Auth
	until     time.Time // its deadline; only set for a read of many keys
}

// long reports whether it may look at many keys: it is read in turns.
func (r *read) long() bool { return r != nil && (len(r.End) > 0 || r.body != nil && r.body.long) }

var reads = sync.Pool{New: func() any { return new(read) }}

func newRead(q *kv.Range, timeout time.Duration) *read {
	r := reads.Get().(*read)
	r.buf = append(append(r.buf[:0], q.Key...), q.End...)
	r.Range, r.permitted = *q, nil
	r.Key, r.End = r.buf[:len(q.Key)], r.buf[len(q.Key):]
	if r.long() {
		r.until = time.Now().Add(timeout)
	}
	return r
}

// recycle returns a read of newRead to the pool; it ignores nil and a read with a body.
func (r *read) recycle() {
	if r != nil && r.body == nil {
		reads.Put(r)
	}
}

// appendPage appends the answer to a range to an empty buffer. The page is as large as the memory budget allows.
func (b *buffer) appendPage(id uint64, found kv.RangeResult) {
	for {
		size := pairsSize(found.KVs)
		if n := len(found.KVs); !b.fit(wire.AnswerBytes + size) {
			if n < 2 {
				b.appendOverBudget(id, size)
				return
			}
			found.KVs, found.More = found.KVs[:n/2], true
			continue
		}
		b.putPage(id, found)
		return
	}
}

func pairsSize(pairs []kv.KeyValue) (size int) {
	for i := range pairs {
		size += wire.PairBytes(len(pairs[i].Key), len(pairs[i].Value))
	}
	return size
}

// putPage appends a page that fits.
func (b *buffer) putPage(id uint64, found kv.RangeResult) {
	var page wire.Page
	b.out, page = wire.BeginPage(b.out, id, found.Revision, found.Count, found.More, len(found.KVs), pairsSize(found.KVs))
	for i := range found.KVs {
		b.out = wire.AppendPair(b.out, &found.KVs[i])
	}
	b.out = wire.EndPage(b.out, page)
}

// pageBytes returns the maximum size of a page. A small page, of one pair for each of its bytes, always fits.
func (b *buffer) pageBytes() int64 {
	return max(min(b.share.left()+int64(b.reserved-len(b.out)), limits.RangePageBytes), smallBuffer/64)
}

func (b *buffer) appendOverBudget(id uint64, size int) bool {
	return b.appendError(id, kv.Overloaded, fmt.Sprintf("no memory budget left for an answer of %d bytes: unread answers fill this client's share of the member's memory", size))
}

// pageLimit returns the maximum number of pairs of a page. A client's limit of 0 means no limit.
func pageLimit(limit int64) int64 {
	if limit > 0 {
		return min(limit, limits.RangeRows)
	}
	return limits.RangeRows
}

// appendOne appends the answer for one key, read from v, which the caller keeps alive. It returns false if the answer does not fit
// after the buffered answers, or if unread says that it needs a value from files.
func (b *buffer) appendOne(id uint64, v *index.View, q *kv.Range) bool {
	size, done := b.tryOne(id, v, q)
	return done || b.unread == 0 && len(b.out) == 0 && b.appendOverBudget(id, size)
}

// tryOne appends the answer if it fits, and returns the answer's size otherwise.
func (b *buffer) tryOne(id uint64, v *index.View, q *kv.Range) (int, bool) {
	pair, unread, found, err := v.Peek(q.Key, q.Revision)
	if err != nil {
		return 0, b.appendReadError(id, err)
	}
	if q.KeysOnly || q.CountOnly {
		pair.Value, unread = nil, nil
	}
	pairs, size := 0, 0
	if found && !q.CountOnly && q.Passes(&pair) {
		pairs, size = 1, wire.PairBytes(len(pair.Key), len(pair.Value))
	}
	if unread != nil && !b.waits {
		b.unread = wire.AnswerBytes + size
		return size, false
	}
	if !b.fit(wire.AnswerBytes + size) {
		return size, false
	}
	if unread != nil {
		if pair.Value, err = unread.Read(); err != nil {
			return 0, b.appendReadError(id, err)
		}
	}
	var page wire.Page
	count := int64(0)
	if found {
		count = 1
	}
	b.out, page = wire.BeginPage(b.out, id, v.Revision(), count, false, pairs, size)
	if pairs > 0 {
		b.out = wire.AppendPair(b.out, &pair)
	}
	b.out = wire.EndPage(b.out, page)
	return size, true
}

func (b *buffer) appendReadError(id uint64, err error) bool {
	if known, ok := errors.AsType[*kv.Error](err); ok {
		return b.appendError(id, known.Code, known.Message)
	}
	return b.appendError(id, kv.Internal, err.Error())
}
