package server_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/testretry"
	"qkv/net/server"
	"qkv/net/wire"
)

func pagesOf(id uint64, q kv.Range) []byte {
	return wire.AppendRequest(nil, id, wire.OpPages, wait, wire.AppendPagesBody(nil, &q))
}

// Who takes nothing of a streamed range is reset, costs little meanwhile, and holds up nobody.
func TestPagesSlowIsReset(t *testing.T) { testretry.Longer(t, time.Second, pagesSlowIsReset) } // on a busy host the puts take long

func pagesSlowIsReset(t testing.TB, limit time.Duration) {
	e := newEndpoint(t, func(c *server.Config) { c.Limits.WriteTimeout = limit })
	r := e.raw(t)
	value := strings.Repeat("x", 64<<10)
	for i := range uint64(100) {
		r.send(put(i, fmt.Sprintf("k%03d", i), value))
		r.want(i, kv.OK)
	}
	slow := rawOf(t, r.conn)
	slow.send(pagesOf(7, kv.Range{Key: []byte("k"), End: []byte{0}}))
	slow.want(7, kv.OK)
	for i := range uint64(50) { // on the same connection
		r.send(get(i, "k001"))
		r.want(i, kv.OK)
		if bytes := e.server.Stats().Bytes; bytes > 1<<20 {
			t.Fatalf("%d bytes are kept", bytes)
		}
	}
	e.idle(t)
	_ = slow.stream.SetReadDeadline(time.Now().Add(wait))
	for {
		if _, err := slow.stream.Read(make([]byte, 1<<20)); err != nil {
			if reset, ok := errors.AsType[*quic.StreamError](err); !ok || reset.ErrorCode != quic.StreamErrorCode(wire.StreamSlow) ||
				!strings.Contains(wire.Explain(err).Error(), limits.ClientWriteTimeout.String()) {
				t.Errorf("the stream ends with %v", wire.Explain(err))
			}
			break
		}
	}
	r.send(get(1, "k001"))
	r.want(1, kv.OK)
}

// What cannot be streamed is refused, and what fails on the way is the last answer.
func TestPagesRefused(t *testing.T) {
	e := newEndpoint(t, nil)
	r := e.raw(t)
	r.send(put(1, "a", "1"))
	r.want(1, kv.OK)
	for i, q := range []kv.Range{{Key: []byte("a")}, {Key: []byte("a"), End: []byte{0}, Order: kv.SortDescend, Continued: true}, {Key: []byte("a"), End: []byte{0}, Limit: -1}} {
		r.send(pagesOf(uint64(i), q))
		r.want(uint64(i), kv.BadRequest)
	}
	r.send(pagesOf(5, kv.Range{Key: []byte("a"), End: []byte{0}, Revision: 99}))
	r.want(5, kv.FutureRevision)
	r.send(pagesOf(6, kv.Range{Key: []byte("a"), End: []byte{0}, CountOnly: true}))
	p := r.want(6, kv.OK)
	var page kv.RangeResult
	if err := p.Range(&page); err != nil || page.Count != 1 || page.More || len(page.KVs) != 0 {
		t.Errorf("%+v %v", page, err)
	}
	r.send(get(7, "a")) // the stream goes on
	r.want(7, kv.OK)
	e.idle(t)
}

// A sorted range is streamed as long as there is room for what sorting it notes, which is given back.
func TestPagesSorted(t *testing.T) {
	e, _ := crowd(t)
	q := kv.Range{Key: []byte("0"), End: []byte("1"), Order: kv.SortDescend}
	r := e.raw(t)
	r.send(pagesOf(1, q))
	for seen := manyKeys; ; {
		var page kv.RangeResult
		p := r.want(1, kv.OK)
		if err := p.Range(&page); err != nil || page.Count != manyKeys {
			t.Fatalf("count %d, %v", page.Count, err)
		}
		for _, pair := range page.KVs {
			if seen--; string(pair.Key) != fmt.Sprintf("%06d", seen) {
				t.Fatalf("%q at place %d from the end", pair.Key, seen)
			}
		}
		if !page.More {
			if seen != 0 {
				t.Errorf("%d are missing", seen)
			}
			break
		}
	}
	e.idle(t)
	small := newEndpoint(t, func(c *server.Config) { c.Limits.Bytes = 4 << 20 }) // 512 KiB for one stream: 32,000 keys
	small.fill(manyKeys, func(i int) []byte { return fmt.Appendf(nil, "%06d", i) })
	r = small.raw(t)
	r.send(pagesOf(1, q))
	p := r.want(1, kv.AnswerTooLarge)
	if err := p.Failed(); !strings.Contains(err.Message, "give a limit") {
		t.Error(err)
	}
	q.Limit = 3
	r.send(pagesOf(2, q))
	var page kv.RangeResult
	p = r.want(2, kv.OK)
	if err := p.Range(&page); err != nil || len(page.KVs) != 3 || !page.More || string(page.KVs[0].Key) != fmt.Sprintf("%06d", manyKeys-1) {
		t.Errorf("%+v %v", page, err)
	}
	small.idle(t)
}
