package etcd

import (
	"bytes"
	"context"
	"runtime"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
)

// chunks is a streamed range. Each chunk is read from the newest View, at the revision pinned by the first chunk. A slow client therefore
// keeps no old state in memory, and gets an error if compaction passes its revision. Header, more and count are in the last chunk.
type chunks struct {
	s    *core
	ctx  context.Context
	send func(message) error
	r    kv.Range                   // the rest
	by   pb.RangeRequest_SortTarget // sort target of the pairs in a chunk
	bare bool                       // values are read only to sort by them
	left int64                      // pairs until the client's limit; 0: no limit
	size int64                      // pairs of the next chunk

	permission rangePermission

	head int64 // newest revision at the first chunk; 0 before it
	sent int64
}

// firstChunk is the number of pairs in the first chunk. Each further chunk has twice as many, until a chunk is about as large as a request
// may be.
const firstChunk = 10

func newChunks(ctx context.Context, s *core, q *pb.RangeRequest, send func(message) error) *chunks {
	byValue := q.KeysOnly && q.SortTarget == pb.RangeRequest_VALUE
	return &chunks{
		permission: rangePermission{s: s, ctx: ctx, r: kv.Range{Key: q.Key, End: q.RangeEnd}},
		s:          s, ctx: ctx, send: send, by: q.SortTarget, bare: byValue, size: firstChunk, left: max(q.Limit, 0),
		r: kv.Range{Key: q.Key, End: q.RangeEnd, Revision: max(q.Revision, 0), KeysOnly: q.KeysOnly && !byValue, CountOnly: q.CountOnly},
	}
}

func (c *chunks) run() error {
	for {
		last, err := c.next()
		if err != nil || last {
			return err
		}
	}
}

// next reads and sends one chunk, and reports whether it was the last.
func (c *chunks) next() (last bool, err error) {
	var a rangeAnswer
	c.r.Limit = c.size
	if c.left > 0 {
		c.r.Limit = min(c.size, c.left)
	}
	more, err := c.read(&a)
	if err != nil {
		return false, err
	}
	if c.left > 0 {
		if c.left -= c.r.Limit; c.left == 0 && more {
			count, err := c.count()
			if err != nil {
				return false, err
			}
			return true, c.send(a.finish(c.s.header(c.head), true, c.sent+count).inStream())
		}
	}
	if !more {
		return true, c.send(a.finish(c.s.header(c.head), false, c.sent).inStream())
	}
	switch {
	case a.size < c.s.config.MaxRequestBytes/2:
		c.size *= 2
	case a.size > c.s.config.MaxRequestBytes*2:
		c.size = max(1, c.size/2)
	}
	return false, c.send(a.finish(nil, false, 0).inStream())
}

// read reads the pairs of one chunk, and reports whether more remain.
func (c *chunks) read(a *rangeAnswer) (more bool, err error) {
	whole := index.NewUnpagedReader(c.r, etcdAnswerBytes)
	defer runtime.KeepAlive(whole)
	err = c.s.read(c.ctx, func() (bool, error) {
		v := c.s.config.Member.View()
		if err := c.permission.in(v); err != nil {
			return false, err
		}
		found, done, err := whole.Step(v, limits.RangeRows)
		if err != nil || !done {
			return false, err
		}
		if c.head == 0 {
			c.head = found.Revision
			if c.r.Revision == 0 {
				c.r.Revision = found.Revision
			}
			if c.r.CountOnly {
				c.sent = found.Count
			}
		}
		if n := len(found.KVs); n > 0 {
			c.sent += int64(n)
			c.r.Key, c.r.Continued = append(bytes.Clone(found.KVs[n-1].Key), 0), true
		}
		if c.by != pb.RangeRequest_KEY {
			sortPairs(found.KVs, c.by)
		}
		for i := range found.KVs {
			if c.bare {
				found.KVs[i].Value = nil
			}
			a.add(&found.KVs[i])
		}
		more = found.More
		return true, nil
	})
	return more, err
}

// count returns the number of remaining keys.
func (c *chunks) count() (n int64, err error) {
	q := c.r
	q.CountOnly, q.Continued, q.Limit = true, false, 0
	reads := index.NewRangeReader(q, 0)
	err = c.s.read(c.ctx, func() (bool, error) {
		v := c.s.config.Member.View()
		if err := c.permission.in(v); err != nil {
			return false, err
		}
		found, done, err := reads.Step(v, limits.RangeRows)
		n = found.Count
		return done, err
	})
	return n, err
}
