package server_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"qkv/index"
	"qkv/index/kv"
	"qkv/net/wire"
)

// nobody waits for what a test prepares.
type nobody struct{}

func (nobody) Complete([]kv.Completion) {}

const manyKeys = 50_000

// crowd makes an endpoint with manyKeys keys, and returns a revision since which there were more changes than there are
// keys, so that each count at it costs a walk over all of them.
func crowd(t *testing.T) (e *endpoint, old int64) {
	t.Helper()
	e = newEndpoint(t, nil)
	e.fill(manyKeys, func(i int) []byte { return fmt.Appendf(nil, "%06d", i) })
	old = e.member.View().Revision()
	e.fill(manyKeys+1000, func(int) []byte { return []byte("one more") })
	return e, old
}

// fill puts n keys, a multiple of 1000.
func (e *endpoint) fill(n int, key func(i int) []byte) {
	for i := 0; i < n; {
		p := kv.Proposal{ReplyTo: nobody{}}
		for ; len(p.Commands) < 1000; i++ {
			p.Requests = append(p.Requests, uint64(i))
			p.Commands = append(p.Commands, new(index.Head).AppendPut(nil, &kv.Put{Key: key(i)}))
		}
		e.member.Propose(p)
	}
}

func count(id uint64, revision int64, timeout time.Duration) []byte {
	q := kv.Range{Key: []byte{0}, End: []byte{0}, Revision: revision, CountOnly: true, Serializable: id%2 == 0}
	return wire.AppendRequest(nil, id, wire.OpRange, timeout, kv.AppendRange(nil, &q))
}

const manyCounts = 400

// askALot asks for more than any processor does in a moment.
func askALot(r *raw, old int64) {
	var all []byte
	for i := range uint64(manyCounts) {
		all = append(all, count(i, old, time.Minute)...)
	}
	r.send(all)
	if _, err := r.next(); err != nil { // they are under way
		r.t.Fatal(err)
	}
}

// leaves ends a client's connection, and fails unless its ranges end then, long before all of them are read. How many were read before
// is a matter of how quick the host is.
func (e *endpoint) leaves(t *testing.T, r *raw) {
	t.Helper()
	before := e.server.Stats().RangeRows
	_ = r.conn.CloseWithError(0, "")
	e.idle(t)
	if rows := e.server.Stats().RangeRows - before; rows > manyCounts*manyKeys/4 {
		t.Errorf("%d keys were looked at, and nobody was waiting", rows)
	}
}

// Ranges whose client is gone are not read any more.
func TestRangesOfAClientThatIsGone(t *testing.T) {
	e, old := crowd(t)
	r := e.raw(t)
	askALot(r, old)
	e.leaves(t, r)
}

// A member that stops does not read ranges to their end: it answers that it does not.
func TestDrainEndsRanges(t *testing.T) {
	e, old := crowd(t)
	r := e.raw(t)
	askALot(r, old)
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	go e.server.Drain(ctx)
	refused := 0
	for i := range manyCounts - 1 {
		p, err := r.next()
		if err == io.EOF {
			refused += manyCounts - 1 - i // these were not even read
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if p.Code == kv.Unavailable {
			refused++
		}
	}
	if refused < manyCounts/10 { // it would be none
		t.Errorf("only %d of %d were refused", refused, manyCounts)
	}
	e.leaves(t, r)
}

// A range that waits for longer than its client does is refused, and not begun.
func TestRangesTooLate(t *testing.T) {
	e, old := crowd(t)
	r := e.raw(t)
	askALot(r, old)
	late := e.raw(t)
	var all []byte
	for i := range uint64(100) {
		all = append(all, count(i, old, time.Millisecond)...)
	}
	late.send(all)
	refused := 0
	for range 100 {
		p, err := late.next()
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Failed(); err != nil {
			refused++
			if err.Code != kv.Unavailable || !strings.Contains(err.Message, "before the client's deadline") {
				t.Fatal(err)
			}
		}
	}
	if refused < 50 {
		t.Errorf("only %d of 100 were refused", refused)
	}
	e.leaves(t, r)
}

// What is short does not wait for ranges, not even for those of its own stream.
func TestShortBeforeRanges(t *testing.T) {
	e, old := crowd(t)
	r := e.raw(t)
	askALot(r, old)
	const id = 1_000_000
	r.send(append(append(put(id, "k", "v"), get(id+1, "k")...), getSerializable(id+2, "k")...))
	before, short := 0, 0
	for short < 3 {
		p, err := r.next()
		if err != nil {
			t.Fatal(err)
		}
		if p.ID >= id {
			short++
		} else {
			before++
		}
	}
	if before > manyCounts*9/10 { // it would be all; what a slow host's stream takes to arrive is none of a rule
		t.Errorf("%d ranges were read before", before)
	}
	e.leaves(t, r)
}

// All pages of an old revision together are the range, and only the first one is counted.
func TestPagesAreCountedOnce(t *testing.T) {
	e, old := crowd(t)
	r := e.raw(t)
	q := kv.Range{Key: []byte{0}, End: []byte{0}, Revision: old, Limit: 1000, KeysOnly: true}
	var page kv.RangeResult
	keys := 0
	for id := uint64(1); ; id++ {
		before := e.server.Stats().RangeRows
		r.send(getWith(id, q))
		p := r.want(id, kv.OK)
		if err := p.Range(&page); err != nil {
			t.Fatal(err)
		}
		keys += len(page.KVs)
		rows := e.server.Stats().RangeRows - before
		switch {
		case !q.Continued && page.Count != manyKeys:
			t.Fatalf("the first page counts %d keys", page.Count)
		case q.Continued && (page.Count != 0 || rows > 3*1000):
			t.Fatalf("page %d counts %d keys, and looked at %d", id, page.Count, rows)
		}
		if !page.More {
			break
		}
		q.Key, q.Continued = append([]byte{}, append(page.KVs[len(page.KVs)-1].Key, 0)...), true
	}
	if keys != manyKeys {
		t.Errorf("%d keys", keys)
	}
}
