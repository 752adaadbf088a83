package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
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

func usageOf(id uint64, timeout time.Duration, q kv.Usage) []byte {
	if len(q.Separator) == 0 {
		q.Separator = []byte("/")
	}
	return wire.AppendRequest(nil, id, wire.OpUsage, timeout, wire.AppendUsageBody(nil, &q))
}

// usage reads the pages of an answer, and returns their rows, and the number of pages without rows.
func (r *raw) usage(id uint64) (all kv.UsageResult, empty int) {
	r.t.Helper()
	for {
		p := r.want(id, kv.OK)
		page, err := p.Usage()
		if err != nil || all.Revision != 0 && (page.Revision != all.Revision || page.Period != all.Period) {
			r.t.Fatalf("%+v after %+v: %v", page, all.Revision, err)
		}
		if len(page.Rows) == 0 && page.More {
			empty++
		}
		all.Revision, all.Period = page.Revision, page.Period
		for _, row := range page.Rows {
			row.Prefix = append([]byte{}, row.Prefix...)
			all.Rows = append(all.Rows, row)
		}
		if !page.More {
			return all, empty
		}
	}
}

func sumOf(all kv.UsageResult) (sum kv.UsageRow) {
	for i := range all.Rows {
		sum.Add(&all.Rows[i])
	}
	return sum
}

// A usage of many groups comes in pages, all as of the revision at which it began, while others write.
func TestUsage(t *testing.T) {
	e := newEndpoint(t, nil)
	e.fill(manyKeys, func(i int) []byte { return fmt.Appendf(nil, "%05d/%d", i/2, i) })
	for _, serializable := range []bool{false, true} {
		r, other := e.raw(t), e.raw(t)
		r.send(usageOf(1, time.Minute, kv.Usage{Serializable: serializable}))
		whole, _ := r.usage(1)
		want := sumOf(whole)
		r.send(usageOf(2, time.Minute, kv.Usage{Depth: 1, Serializable: serializable}))
		first := r.want(2, kv.OK)
		page, err := first.Usage()
		if err != nil {
			t.Fatal(err)
		}
		for i := range uint64(1000) { // of groups that come later
			other.send(put(i, fmt.Sprintf("%05d/new", 20_000+i), "v"))
			other.want(i, kv.OK)
		}
		all, _ := r.usage(2)
		if all.Revision != page.Revision {
			t.Errorf("a page of revision %d, the first of %d", all.Revision, page.Revision)
		}
		all.Rows = append(page.Rows, all.Rows...)
		if got := sumOf(all); len(all.Rows) != manyKeys/2 || got.Keys != want.Keys || got.Bytes != want.Bytes || got.Changes != want.Changes || all.Period != time.Minute {
			t.Errorf("%d groups, %+v, want %d and %+v", len(all.Rows), got, manyKeys/2, want)
		}
	}
	e.idle(t)
}

// What cannot be counted is refused, and the stream goes on.
func TestUsageRefused(t *testing.T) {
	e := newEndpoint(t, nil)
	r := e.raw(t)
	long := make([]byte, limits.KeyBytes+1)
	for i, q := range []kv.Usage{{Depth: -1}, {Depth: limits.UsageDepth + 1}, {Separator: long}} {
		r.send(usageOf(uint64(i), wait, q))
		r.want(uint64(i), kv.BadRequest)
	}
	r.send(usageOf(4, wait, kv.Usage{Prefix: long}))
	r.want(4, kv.KeyTooLarge)
	r.send(wire.AppendRequest(nil, 5, wire.OpUsage, wait, wire.AppendUsageBody(nil, &kv.Usage{})))
	r.want(5, kv.BadRequest) // no separator
	r.send(usageOf(6, wait, kv.Usage{}))
	if all, _ := r.usage(6); len(all.Rows) != 0 || all.Revision != 1 {
		t.Errorf("of an empty store: %+v", all)
	}
	e.idle(t)

	small := newEndpoint(t, func(c *server.Config) { c.Limits.Bytes = 1 << 20 }) // 128 KiB for one stream
	r = small.raw(t)
	r.send(usageOf(1, wait, kv.Usage{}))
	p := r.want(1, kv.Overloaded)
	if err := p.Failed(); !strings.Contains(err.Message, fmt.Sprint(limits.UsageBytes)) {
		t.Error(err)
	}
	small.idle(t)
}

// askUsage asks for more than any processor counts in a moment.
func askUsage(r *raw) {
	var all []byte
	for i := range uint64(manyCounts) {
		all = append(all, usageOf(i, time.Minute, kv.Usage{Depth: 1})...)
	}
	r.send(all)
	if _, err := r.next(); err != nil {
		r.t.Fatal(err)
	}
}

// A count whose client is gone ends.
func TestUsageOfAClientThatIsGone(t *testing.T) {
	e, _ := crowd(t)
	r := e.raw(t)
	askUsage(r)
	e.leaves(t, r)
}

// A member that stops refuses the rest of its counts.
func TestDrainEndsUsage(t *testing.T) {
	e, _ := crowd(t)
	r := e.raw(t)
	askUsage(r)
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	go e.server.Drain(ctx)
	for refused := 0; ; {
		p, err := r.next()
		if err == io.EOF && refused > 0 {
			break
		}
		if err != nil {
			t.Fatalf("after %d refusals: %v", refused, err)
		}
		if p.Code == kv.Unavailable {
			refused++
		}
	}
	e.leaves(t, r)
}

// A client that does not read a usage is reset, and keeps little memory meanwhile.
func TestUsageSlowIsReset(t *testing.T) { testretry.Longer(t, time.Second, usageSlowIsReset) }

func usageSlowIsReset(t testing.TB, limit time.Duration) {
	e := newEndpoint(t, func(c *server.Config) { c.Limits.WriteTimeout = limit })
	e.fill(10_000, func(i int) []byte { return fmt.Appendf(nil, "%s%d/", strings.Repeat("k", 1000), i) })
	r := e.raw(t)
	slow := rawOf(t, r.conn)
	slow.send(usageOf(7, wait, kv.Usage{Depth: 1}))
	slow.want(7, kv.OK)
	for i := range uint64(50) {
		r.send(get(i, "k"))
		r.want(i, kv.OK)
		if bytes := e.server.Stats().Bytes; bytes > 1<<20 {
			t.Fatalf("%d bytes are kept", bytes)
		}
	}
	e.idle(t)
	_ = slow.stream.SetReadDeadline(time.Now().Add(wait))
	for {
		if _, err := slow.stream.Read(make([]byte, 1<<20)); err != nil {
			if reset, ok := errors.AsType[*quic.StreamError](err); !ok || reset.ErrorCode != quic.StreamErrorCode(wire.StreamSlow) {
				t.Errorf("the stream ends with %v", wire.Explain(err))
			}
			break
		}
	}
}

// A count with few groups tells its client that it goes on.
func TestUsagePulse(t *testing.T) {
	e := newEndpoint(t, nil)
	const keys = 300_000
	e.fill(keys, func(i int) []byte { return fmt.Appendf(nil, "%06d", i) })
	release := make(chan struct{})
	e.member.SetBefore(func(int, int) *kv.Error {
		<-release
		return nil
	})
	other := e.raw(t)
	other.send(put(1, "k", "v")) // while it waits, counts rest after each turn
	begun := time.Now()
	var streams []*raw
	for range 8 { // they take turns
		r := e.raw(t)
		r.send(usageOf(1, wait, kv.Usage{Serializable: true}))
		streams = append(streams, r)
	}
	for i, r := range streams {
		all, empty := r.usage(1)
		if len(all.Rows) != 1 || all.Rows[0].Keys != keys {
			t.Errorf("stream %d: %+v", i, all)
		}
		if most := int(time.Since(begun) / limits.UsagePulse); empty == 0 || empty > most {
			t.Errorf("stream %d: %d pages without rows, at most %d", i, empty, most)
		}
	}
	close(release)
	other.want(1, kv.OK)
	e.idle(t)
}
