package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"qkv/index/kv"
	"qkv/internal/figures"
	"qkv/internal/limits"
	"qkv/internal/testlong"
	"qkv/net/client"
	"qkv/net/server"
	"qkv/net/server/servertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(withExampleCluster{m}) }

// wait is for how long a test waits for what must come.
const wait = 60 * time.Second

func await(t testing.TB, what string, come func() bool) {
	t.Helper()
	for begun := time.Now(); !come(); time.Sleep(time.Millisecond) {
		if time.Since(begun) > wait {
			t.Fatalf("not within %v: %s", wait, what)
		}
	}
}

// cluster is a server and a client of it.
type cluster struct {
	trust  servertest.Trust
	member *servertest.Member
	server *server.Server
	*client.Client
}

func newCluster(t testing.TB, change func(*server.Config)) *cluster {
	t.Helper()
	c := &cluster{trust: servertest.NewTrust(t), member: servertest.NewMember()}
	c.server = servertest.Start(t, c.trust, c.member, change)
	c.Client = open(t, c.trust, servertest.Endpoint(c.server))
	return c
}

func open(t testing.TB, trust servertest.Trust, endpoints ...string) *client.Client {
	t.Helper()
	c, err := client.Open(ctxOf(t, wait), client.Config{Endpoints: endpoints, InOrder: true, Credentials: trust.Client, Timeout: wait})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func ctxOf(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func must[T any](t testing.TB) func(T, error) T {
	t.Helper()
	return func(x T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
}

func TestStory(t *testing.T) {
	c := newCluster(t, nil)
	ctx := t.Context()
	b := func(s string) []byte { return []byte(s) }

	if w := must[client.Written](t)(c.Put(ctx, b("greeting"), b("hello"))); w.Revision != 2 {
		t.Errorf("the first write is revision %d", w.Revision)
	}
	pair, found, err := c.Get(ctx, b("greeting"))
	if err != nil || !found || string(pair.Value) != "hello" || pair.CreateRevision != 2 || pair.ModRevision != 2 || pair.Version != 1 {
		t.Errorf("get: %+v %v %v", pair, found, err)
	}
	if _, found, err := c.Get(ctx, b("nothing")); found || err != nil {
		t.Errorf("a key that is not there: %v %v", found, err)
	}
	must[client.Written](t)(c.Put(ctx, b("greeting"), b("")))
	if pair, found, _ := c.Get(ctx, b("greeting")); !found || len(pair.Value) != 0 || pair.Version != 2 {
		t.Errorf("an empty value: %+v", pair)
	}
	for i := range 5 {
		must[client.Written](t)(c.Put(ctx, fmt.Appendf(nil, "k%d", i), fmt.Appendf(nil, "v%d", i)))
	}
	a := must[kv.RangeResult](t)(c.Range(ctx, kv.Range{Key: b("k"), End: client.Prefix(b("k")), Limit: 3}))
	if a.Count != 5 || !a.More || len(a.KVs) != 3 || string(a.KVs[2].Value) != "v2" || a.Revision != 8 {
		t.Errorf("range: %+v", a)
	}
	a = must[kv.RangeResult](t)(c.Range(ctx, kv.Range{Key: b("k3"), End: client.From, Serializable: true, KeysOnly: true}))
	if a.Count != 2 || a.More || len(a.KVs) != 2 || string(a.KVs[1].Key) != "k4" || len(a.KVs[1].Value) != 0 {
		t.Errorf("from k3, keys only: %+v", a)
	}
	a = must[kv.RangeResult](t)(c.Range(ctx, kv.Range{Key: b("k"), End: client.From, CountOnly: true}))
	if a.Count != 5 || len(a.KVs) != 0 {
		t.Errorf("count only: %+v", a)
	}
	a = must[kv.RangeResult](t)(c.Range(ctx, kv.Range{Key: b("k1"), CountOnly: true}))
	if a.Count != 1 || len(a.KVs) != 0 {
		t.Errorf("count of one: %+v", a)
	}
	if w := must[client.Written](t)(c.DeleteRange(ctx, b("k"), client.Prefix(b("k")))); w.Deleted != 5 || w.Revision != 9 {
		t.Errorf("delete: %+v", w)
	}
	if w := must[client.Written](t)(c.Delete(ctx, b("k"))); w.Deleted != 0 {
		t.Errorf("delete of nothing: %+v", w)
	}
	s := must[kv.Status](t)(c.Admin().Status(ctx, ""))
	if s.Name != "test" || s.Role != "leader" || s.Get(figures.Revision) != 9 {
		t.Errorf("status: %+v", s)
	}
}

func TestErrorsOfRequests(t *testing.T) {
	testlong.Skip(t)
	c := newCluster(t, func(config *server.Config) { config.MaxRequestBytes = 6000 })
	ctx := t.Context()
	for name, x := range map[string]struct {
		do   func() error
		code kv.Code
		want string
	}{
		"empty key":    {func() error { _, err := c.Put(ctx, nil, nil); return err }, kv.EmptyKey, "the key is empty"},
		"large value":  {func() error { _, err := c.Put(ctx, []byte("k"), make([]byte, 6000)); return err }, kv.ValueTooLarge, "bytes, over the limit of 6000 (--max-request-bytes of the member)"},
		"huge value":   {func() error { _, err := c.Put(ctx, []byte("k"), make([]byte, 2<<20)); return err }, kv.ValueTooLarge, "over the limit of 6000"},
		"unreadable":   {func() error { _, err := c.Put(ctx, []byte("k"), make([]byte, 17<<20)); return err }, kv.ValueTooLarge, "over the limit of 16777216"},
		"large key":    {func() error { _, err := c.Delete(ctx, make([]byte, 33000)); return err }, kv.KeyTooLarge, "33000 bytes, over the limit of 32768"},
		"huge key":     {func() error { _, _, err := c.Get(ctx, make([]byte, 17<<20)); return err }, kv.ValueTooLarge, "over the limit of"},
		"the future":   {func() error { _, err := c.Range(ctx, kv.Range{Key: []byte("k"), Revision: 99}); return err }, kv.FutureRevision, "99"},
		"negative rev": {func() error { _, err := c.Range(ctx, kv.Range{Key: []byte("k"), Revision: -1}); return err }, kv.BadRequest, "-1 is negative"},
	} {
		err := x.do()
		var answer *kv.Error
		if !errors.As(err, &answer) || answer.Code != x.code || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v, wanted %v %q", name, err, x.code, x.want)
		}
		if errors.Is(err, client.ErrOutcomeUnknown) {
			t.Errorf("%s: an unknown outcome", name)
		}
	}
	called := false
	c.PutAsync([]byte("k"), make([]byte, 17<<20), func(_ client.Written, err error) { called = err != nil })
	if !called {
		t.Error("a huge value was taken")
	}
}

// Large values and many pages come and go whole, and Count and More are those of the whole range.
func TestPages(t *testing.T) {
	testlong.Skip(t)
	c := newCluster(t, nil)
	ctx := t.Context()
	value := bytes.Repeat([]byte("0123456789abcdef"), limits.RequestBytesWritten/16-4)
	const n = 7
	for i := range n {
		must[client.Written](t)(c.Put(ctx, fmt.Appendf(nil, "big%d", i), value))
	}
	whole := kv.Range{Key: []byte("big"), End: client.Prefix([]byte("big"))}
	a := must[kv.RangeResult](t)(c.Range(ctx, whole))
	if a.Count != n || a.More || len(a.KVs) != n {
		t.Fatalf("%d of %d, more %v", len(a.KVs), a.Count, a.More)
	}
	for i, pair := range a.KVs {
		if string(pair.Key) != fmt.Sprintf("big%d", i) || !bytes.Equal(pair.Value, value) {
			t.Errorf("pair %d: %q, %d bytes", i, pair.Key, len(pair.Value))
		}
	}
	pages := 0
	for page, err := range c.Pages(ctx, whole) {
		if err != nil {
			t.Fatal(err)
		}
		if pages == 0 { // what comes after the first page is not seen
			must[client.Written](t)(c.Put(ctx, []byte("big9"), nil))
		}
		pages++
		if page.Count != n || page.Revision != n+1 {
			t.Errorf("page %d: count %d, revision %d", pages, page.Count, page.Revision)
		}
	}
	if pages < 3 {
		t.Errorf("%d pages of %d bytes", pages, n*len(value))
	}
	limited := whole
	limited.Limit = n - 1
	if a := must[kv.RangeResult](t)(c.Range(ctx, limited)); len(a.KVs) != n-1 || !a.More || a.Count != n+1 {
		t.Errorf("with a limit: %d of %d, more %v", len(a.KVs), a.Count, a.More)
	}
	for range c.Pages(ctx, whole) {
		break // leaves nothing behind
	}
}

// Keys of the greatest length are paged over as well.
func TestPagesOfLongKeys(t *testing.T) {
	c := newCluster(t, nil)
	value := make([]byte, limits.RangePageBytes/2)
	const n = 5
	for i := range n {
		key := append(bytes.Repeat([]byte("k"), limits.KeyBytes-1), byte('a'+i))
		must[client.Written](t)(c.Put(t.Context(), key, value))
	}
	for _, end := range [][]byte{client.From, client.Prefix([]byte("k"))} {
		if a := must[kv.RangeResult](t)(c.Range(t.Context(), kv.Range{Key: []byte("k"), End: end})); len(a.KVs) != n || a.Count != n || a.More {
			t.Errorf("%d of %d, more %v", len(a.KVs), a.Count, a.More)
		}
	}
}

// Many callers at once: each sees its own answers, and revisions are dense.
func TestManyCallers(t *testing.T) {
	c := newCluster(t, nil)
	const callers, each = 200, 20
	revisions := make([][]int64, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			key := fmt.Appendf(nil, "key%03d", i)
			for j := range each {
				w, err := c.Put(t.Context(), key, fmt.Appendf(nil, "%d", j))
				if err != nil {
					t.Error(err)
					return
				}
				revisions[i] = append(revisions[i], w.Revision)
				pair, found, err := c.Get(t.Context(), key)
				if err != nil || !found || pair.ModRevision != w.Revision || string(pair.Value) != fmt.Sprint(j) {
					t.Errorf("%s after revision %d: %+v %v", key, w.Revision, pair, err)
				}
			}
		})
	}
	wg.Wait()
	all := slices.Concat(revisions...)
	slices.Sort(all)
	for i, r := range all {
		if r != int64(i)+2 {
			t.Fatalf("revision %d at place %d", r, i)
		}
	}
	for i, rs := range revisions {
		if !slices.IsSorted(rs) {
			t.Errorf("caller %d: %v", i, rs)
		}
	}
	if p := c.member.Proposals.Load(); p >= callers*each {
		t.Errorf("%d proposals for %d puts: nothing was batched", p, callers*each)
	}
}

// Asynchronous puts of one goroutine are applied in order, and callbacks may go on.
func TestAsync(t *testing.T) {
	c := newCluster(t, nil)
	const n = 5000
	var got []int64
	done := make(chan struct{})
	for i := range n {
		c.PutAsync([]byte("key"), fmt.Append(nil, i), func(w client.Written, err error) {
			if err != nil {
				t.Error(err)
			}
			if got = append(got, w.Revision); len(got) == n {
				close(done)
			}
		})
	}
	<-done
	for i, r := range got {
		if r != int64(i)+2 {
			t.Fatalf("put %d has revision %d", i, r)
		}
	}
	chain := make(chan error)
	var next func(left int)
	next = func(left int) {
		c.GetAsync([]byte("key"), client.ReadOptions{Serializable: left%2 == 0}, func(pair kv.KeyValue, found bool, err error) {
			if err != nil || !found || string(pair.Value) != fmt.Sprint(n-1) {
				chain <- fmt.Errorf("%q %v %w", pair.Value, found, err)
			} else if left > 0 {
				next(left - 1)
			} else {
				chain <- nil
			}
		})
	}
	next(100)
	if err := <-chain; err != nil {
		t.Error(err)
	}
	if w, err := c.Delete(t.Context(), []byte("key")); err != nil || w.Deleted != 1 {
		t.Errorf("delete: %+v, %v", w, err)
	}
	c.GetAsync([]byte("key"), client.ReadOptions{}, func(_ kv.KeyValue, found bool, err error) {
		if found || err != nil {
			err = fmt.Errorf("found %v: %w", found, err)
		}
		chain <- err
	})
	if err := <-chain; err != nil {
		t.Error(err)
	}
}
