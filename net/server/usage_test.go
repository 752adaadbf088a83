package server_test

import (
	"fmt"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/net/wire"
)

// usage adds up the pages of an answer to the Range of a Usage. between runs behind the first page.
func (r *raw) usage(id uint64, q *kv.Usage, between func()) (all kv.UsageResult) {
	r.t.Helper()
	for first := true; ; first = false {
		p := r.want(id, kv.OK)
		var page kv.RangeResult
		if err := p.Range(&page); err != nil || all.Revision != 0 && (page.Revision != all.Revision || time.Duration(page.Count) != all.Period) {
			r.t.Fatalf("%+v after %+v: %v", page, all.Revision, err)
		}
		if err := all.Add(q, &page); err != nil {
			r.t.Fatal(err)
		}
		if !page.More {
			return all
		}
		if first { // not before Add: the pairs of a page lie in the buffer that the next frame fills
			between()
		}
	}
}

// A usage comes in pages, all as of the revision at which it began, while others write.
func TestUsage(t *testing.T) {
	e := newEndpoint(t, nil)
	e.fill(manyKeys, func(i int) []byte { return fmt.Appendf(nil, "%05d/%d", i/2, i) })
	for _, serializable := range []bool{false, true} {
		r, other := e.raw(t), e.raw(t)
		q := kv.Usage{Separator: []byte("/"), Depth: 1, Serializable: serializable}
		keys, bytes := e.member.View().Keys(), e.member.View().LiveBytes()
		r.send(pagesOf(2, q.Range()))
		wrote := false
		all := r.usage(2, &q, func() {
			for i := range uint64(1000) { // of groups that come later
				other.send(put(i, fmt.Sprintf("%05d/new", 20_000+i), "v"))
				other.want(i, kv.OK)
			}
			wrote = true
		})
		if !wrote {
			t.Error("the usage came in one page")
		}
		var sum kv.UsageRow
		for i := range all.Rows {
			sum.Add(&all.Rows[i])
		}
		if len(all.Rows) != manyKeys/2 || sum.Keys != keys || sum.Bytes != bytes || sum.Changes != keys || all.Period != kv.UsagePeriod {
			t.Errorf("%d groups, %+v, want %d with %d keys of %d bytes", len(all.Rows), sum, manyKeys/2, keys, bytes)
		}
	}
	e.idle(t)
}

// A range with usage has no revision, limit, order or bound, and is no single key. The stream goes on after a refusal.
func TestUsageRefused(t *testing.T) {
	e := newEndpoint(t, nil)
	r := e.raw(t)
	for i, change := range []func(q *kv.Range){
		func(q *kv.Range) { q.End = nil },
		func(q *kv.Range) { q.Revision = 1 },
		func(q *kv.Range) { q.Limit = 1 },
		func(q *kv.Range) { q.CountOnly = true },
		func(q *kv.Range) { q.Continued = true },
		func(q *kv.Range) { q.Order = kv.SortDescend },
		func(q *kv.Range) { q.MinMod = 1 },
	} {
		q := (&kv.Usage{}).Range()
		change(&q)
		r.send(pagesOf(uint64(i), q))
		r.want(uint64(i), kv.BadRequest)
	}
	q := kv.Usage{Separator: []byte("/")}
	r.send(pagesOf(9, q.Range()))
	if all := r.usage(9, &q, func() { t.Error("pages of an empty store") }); len(all.Rows) != 0 || all.Revision != 1 {
		t.Errorf("of an empty store: %+v", all)
	}
	r.send(wire.AppendRequest(nil, 10, 14, wait, nil)) // the op of an older qkv
	r.want(10, kv.BadRequest)
	e.idle(t)
}
