package server

import (
	"errors"
	"sync"

	"qkv/index"
	"qkv/log/limits"
	"qkv/net/wire"
)

// query is what a range asks for.
type query struct {
	key, end        []byte
	revision, limit int64
	flags           wire.Flags
}

// read is a range that waits for its confirmation. Its key and end are its own.
type read struct {
	query
	buf []byte
}

var reads = sync.Pool{New: func() any { return new(read) }}

func newRead(q *wire.Request) *read {
	r := reads.Get().(*read)
	r.buf = append(append(r.buf[:0], q.Key...), q.End...)
	r.query = query{
		key: r.buf[:len(q.Key)], end: r.buf[len(q.Key):], revision: q.Revision, limit: q.Limit, flags: q.Flags,
	}
	return r
}

// recycle gives back what newRead returned; nil does nothing.
func (r *read) recycle() {
	if r != nil {
		reads.Put(r)
	}
}

// appendRange appends the answer to a range, read from v, which the caller keeps alive.
func appendRange(dst []byte, id uint64, v *index.View, q query) []byte {
	if len(q.end) == 0 && q.flags&wire.CountOnly == 0 {
		return appendOne(dst, id, v, q)
	}
	answer, err := v.Range(index.Query{
		Key: q.key, End: q.end, Revision: q.revision, Limit: pageLimit(q),
		KeysOnly: q.flags&wire.KeysOnly != 0, CountOnly: q.flags&wire.CountOnly != 0, Bytes: limits.RangePageBytes,
	})
	if err != nil {
		return appendReadError(dst, id, err)
	}
	size := 0
	for i := range answer.KVs {
		size += wire.PairBytes(len(answer.KVs[i].Key), len(answer.KVs[i].Value))
	}
	dst, page := wire.BeginPage(dst, id, answer.Revision, answer.Count, answer.More, len(answer.KVs), size)
	for i := range answer.KVs {
		dst = appendPair(dst, &answer.KVs[i], q.flags)
	}
	return wire.EndPage(dst, page)
}

// pageLimit is how many pairs the page may hold. A client's limit of 0 is none.
func pageLimit(q query) int64 {
	if q.limit > 0 {
		return min(q.limit, limits.RangePageKeys)
	}
	return limits.RangePageKeys
}

// appendOne answers for one key, by the short way.
func appendOne(dst []byte, id uint64, v *index.View, q query) []byte {
	kv, found, err := v.Get(q.key, q.revision)
	if err != nil {
		return appendReadError(dst, id, err)
	}
	if !found {
		dst, page := wire.BeginPage(dst, id, v.Revision(), 0, false, 0, 0)
		return wire.EndPage(dst, page)
	}
	dst, page := wire.BeginPage(dst, id, v.Revision(), 1, false, 1, wire.PairBytes(len(kv.Key), len(kv.Value)))
	return wire.EndPage(appendPair(dst, &kv, q.flags), page)
}

func appendPair(dst []byte, kv *index.KeyValue, flags wire.Flags) []byte {
	pair := wire.KeyValue{Key: kv.Key, Value: kv.Value, Create: kv.Create, Mod: kv.Mod, Version: kv.Version, Lease: kv.Lease}
	if flags&wire.KeysOnly != 0 {
		pair.Value = nil
	}
	return wire.AppendPair(dst, &pair)
}

func appendReadError(dst []byte, id uint64, err error) []byte {
	var known *index.Error
	if errors.As(err, &known) {
		return wire.AppendError(dst, id, wire.Code(known.Code), known.Message)
	}
	return wire.AppendError(dst, id, wire.Internal, err.Error())
}
