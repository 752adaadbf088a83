package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/testlong"
	"qkv/net/client"
	"qkv/net/server/servertest"
)

// fill puts n keys of a kilobyte, in transactions.
func fill(t *testing.T, c *client.Client, n int) kv.Range {
	t.Helper()
	for i := 0; i < n; {
		var txn kv.Txn
		for ; i < n && len(txn.Success) < 100; i++ {
			txn.Success = append(txn.Success, kv.Op{Put: &kv.Put{Key: fmt.Appendf(nil, "k/%06d", i), Value: bytes.Repeat([]byte{byte(i)}, 1000)}})
		}
		must[kv.TxnResult](t)(c.Txn(t.Context(), txn))
	}
	return kv.Range{Key: []byte("k/"), End: client.Prefix([]byte("k/"))}
}

// A range is streamed at one revision: what is written and compacted while it is read, and all that there was of it, does not
// matter to it. Others go on while it is not read.
func TestPagesStream(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	c := newCluster(t, nil)
	const n = 20_000
	q := fill(t, c.Client, n)
	seen, pages := 0, 0
	for page, err := range c.Pages(t.Context(), q) {
		if err != nil {
			t.Fatalf("behind %d keys: %v", seen, err)
		}
		for _, pair := range page.KVs {
			if want := fmt.Sprintf("k/%06d", seen); string(pair.Key) != want || len(pair.Value) != 1000 || pair.Value[500] != byte(seen) {
				t.Fatalf("%q with %d bytes, in place of %s", pair.Key, len(pair.Value), want)
			}
			seen++
		}
		if page.Count != n {
			t.Fatalf("%d are counted", page.Count)
		}
		if pages++; pages == 3 { // a stream of the rest has begun
			must[client.Written](t)(c.DeleteRange(t.Context(), q.Key, q.End))
			newest := must[client.Written](t)(c.Put(t.Context(), []byte("k/new"), nil)).Revision
			if err := c.Admin().Compact(t.Context(), newest); err != nil {
				t.Fatal(err)
			}
			must[client.Written](t)(c.Put(t.Context(), []byte("k/newer"), nil))
		}
	}
	if seen != n {
		t.Errorf("%d keys", seen)
	}
	if found := must[kv.RangeResult](t)(c.Range(t.Context(), q)); len(found.KVs) != 2 {
		t.Errorf("%d keys are left", len(found.KVs))
	}
}

// A stream that breaks off goes on at another member, at the same revision.
func TestPagesStreamElsewhere(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	trust := servertest.NewTrust(t)
	first := servertest.NewMember()
	one := servertest.Start(t, trust, first, nil)
	other := servertest.Start(t, trust, servertest.NewMember(first), nil)
	c := open(t, trust, servertest.Endpoint(one), servertest.Endpoint(other))
	const n = 20_000
	q := fill(t, c, n)
	seen, pages := 0, 0
	for page, err := range c.Pages(t.Context(), q) {
		if err != nil {
			t.Fatalf("behind %d keys: %v", seen, err)
		}
		for _, pair := range page.KVs {
			if want := fmt.Sprintf("k/%06d", seen); string(pair.Key) != want {
				t.Fatalf("%q in place of %s", pair.Key, want)
			}
			seen++
		}
		if pages++; pages == 3 {
			if err := one.Close(); err != nil {
				t.Fatal(err)
			}
			for errors.Is(remove(c, q), client.ErrOutcomeUnknown) { // it may still have gone to the one that is closed
			}
		}
	}
	if seen != n {
		t.Errorf("%d keys", seen)
	}
}

// A sorted range that is too large for one answer is streamed, at one revision, and goes on at another member where it was.
func TestPagesSorted(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	trust := servertest.NewTrust(t)
	first := servertest.NewMember()
	one := servertest.Start(t, trust, first, nil)
	other := servertest.Start(t, trust, servertest.NewMember(first), nil)
	c := open(t, trust, servertest.Endpoint(one), servertest.Endpoint(other))
	const n = 20_000
	q := fill(t, c, n)
	q.Sort, q.Order = kv.SortByValue, kv.SortDescend // bytes from 255 down, each value of many keys, in their order
	for _, limit := range []int64{0, n - 500} {
		q.Limit = limit
		want := int64(n)
		if limit > 0 {
			want = limit
		}
		var before kv.KeyValue
		seen, more := int64(0), false
		for page, err := range c.Pages(t.Context(), q) {
			if err != nil {
				t.Fatalf("behind %d keys: %v", seen, err)
			}
			for _, pair := range page.KVs {
				if at := bytes.Compare(before.Value, pair.Value); seen > 0 && (at < 0 || at == 0 && bytes.Compare(before.Key, pair.Key) >= 0) {
					t.Fatalf("%q comes behind %q", pair.Key, before.Key)
				}
				before = pair
				seen++
			}
			if more = page.More; page.Count != n {
				t.Fatalf("%d are counted", page.Count)
			}
			if limit > 0 && seen > n/2 {
				_ = one.Close()
			}
		}
		if seen != want || more != (limit > 0) {
			t.Errorf("%d keys, more %v, of %d", seen, more, want)
		}
	}
	q.Limit = 10
	if found := must[kv.RangeResult](t)(c.Range(t.Context(), q)); len(found.KVs) != 10 || !found.More || found.Count != n {
		t.Errorf("%d of %d", len(found.KVs), found.Count)
	}
}

func remove(c *client.Client, q kv.Range) error {
	_, err := c.DeleteRange(context.Background(), q.Key, q.End)
	return err
}

// A stream ends with its context, and with the client.
func TestPagesStreamEnds(t *testing.T) {
	t.Parallel()
	c := newCluster(t, nil)
	q := fill(t, c.Client, 5000)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	pages := 0
	var last error
	for _, err := range c.Pages(ctx, q) {
		if pages++; pages == 3 {
			cancel()
		}
		last = err
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("canceled: %v", last)
	}
	late, stop := context.WithTimeout(t.Context(), 2*time.Second)
	defer stop()
	pages = 0
	for _, err := range c.Pages(late, q) {
		if pages++; pages == 3 {
			<-late.Done()
		}
		last = err
	}
	if !errors.Is(last, client.ErrUnavailable) || !errors.Is(last, context.DeadlineExceeded) {
		t.Errorf("after its deadline: %v", last)
	}
	pages = 0
	for _, err := range c.Pages(t.Context(), q) {
		if pages++; pages == 3 {
			_ = c.Close()
		}
		last = err
	}
	if !errors.Is(last, client.ErrClosed) {
		t.Errorf("closed: %v", last)
	}
	await(t, "the member has nothing of the streams any more", func() bool { return c.server.Stats().Bytes <= 4*32<<10 })
}

// Range ignores the fields that only the library sets: a range of several pages has all pairs, with their values.
func TestRangeWithFieldsOfTheLibrary(t *testing.T) {
	t.Parallel()
	c := newCluster(t, nil)
	const n = 5000 // over one page
	q := fill(t, c.Client, n)
	q.Usage, q.Continued = true, true
	found := must[kv.RangeResult](t)(c.Range(t.Context(), q))
	if len(found.KVs) != n || found.Count != n || len(found.KVs[n-1].Value) != 1000 {
		t.Errorf("%d pairs of %d", len(found.KVs), found.Count)
	}
}
