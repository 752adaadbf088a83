package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"qkv/index"
	"qkv/log/limits"
	"qkv/net/client"
	"qkv/net/server"
	"qkv/net/server/servertest"
	"qkv/net/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(withExampleCluster{m}) }

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
	c, err := client.Open(t.Context(), client.Config{Endpoints: endpoints, Credentials: trust.Client})
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
	kv, found, err := c.Get(ctx, b("greeting"))
	if err != nil || !found || string(kv.Value) != "hello" || kv.CreateRevision != 2 || kv.ModRevision != 2 || kv.Version != 1 {
		t.Errorf("get: %+v %v %v", kv, found, err)
	}
	if _, found, err := c.Get(ctx, b("nothing")); found || err != nil {
		t.Errorf("a key that is not there: %v %v", found, err)
	}
	must[client.Written](t)(c.Put(ctx, b("greeting"), b("")))
	if kv, found, _ := c.Get(ctx, b("greeting")); !found || len(kv.Value) != 0 || kv.Version != 2 {
		t.Errorf("an empty value: %+v", kv)
	}
	for i := range 5 {
		must[client.Written](t)(c.Put(ctx, fmt.Appendf(nil, "k%d", i), fmt.Appendf(nil, "v%d", i)))
	}
	a := must[client.Answer](t)(c.Range(ctx, client.Query{Key: b("k"), End: client.Prefix(b("k")), Limit: 3}))
	if a.Count != 5 || !a.More || len(a.KVs) != 3 || string(a.KVs[2].Value) != "v2" || a.Revision != 8 {
		t.Errorf("range: %+v", a)
	}
	a = must[client.Answer](t)(c.Range(ctx, client.Query{Key: b("k3"), End: client.From, Serializable: true, KeysOnly: true}))
	if a.Count != 2 || a.More || len(a.KVs) != 2 || string(a.KVs[1].Key) != "k4" || len(a.KVs[1].Value) != 0 {
		t.Errorf("from k3, keys only: %+v", a)
	}
	a = must[client.Answer](t)(c.Range(ctx, client.Query{Key: b("k"), End: client.From, CountOnly: true}))
	if a.Count != 5 || len(a.KVs) != 0 {
		t.Errorf("count only: %+v", a)
	}
	a = must[client.Answer](t)(c.Range(ctx, client.Query{Key: b("k1"), CountOnly: true}))
	if a.Count != 1 || len(a.KVs) != 0 {
		t.Errorf("count of one: %+v", a)
	}
	if w := must[client.Written](t)(c.DeleteRange(ctx, b("k"), client.Prefix(b("k")))); w.Deleted != 5 || w.Revision != 9 {
		t.Errorf("delete: %+v", w)
	}
	if w := must[client.Written](t)(c.Delete(ctx, b("k"))); w.Deleted != 0 {
		t.Errorf("delete of nothing: %+v", w)
	}
	s := must[client.Status](t)(c.Status(ctx, ""))
	if s.Name != "test" || s.Role != "leader" || s.Revision != 9 {
		t.Errorf("status: %+v", s)
	}
}

func TestErrorsOfRequests(t *testing.T) {
	c := newCluster(t, func(config *server.Config) { config.ValueBytes = 1000 })
	ctx := t.Context()
	for name, x := range map[string]struct {
		do   func() error
		code wire.Code
		want string
	}{
		"empty key":    {func() error { _, err := c.Put(ctx, nil, nil); return err }, wire.EmptyKey, "the key is empty"},
		"large value":  {func() error { _, err := c.Put(ctx, []byte("k"), make([]byte, 1001)); return err }, wire.ValueTooLarge, "1001 bytes, over the limit of 1000"},
		"huge value":   {func() error { _, err := c.Put(ctx, []byte("k"), make([]byte, 2<<20)); return err }, wire.ValueTooLarge, "over the limit of"},
		"large key":    {func() error { _, err := c.Delete(ctx, make([]byte, 5000)); return err }, wire.KeyTooLarge, "5000 bytes, over the limit of 4096"},
		"huge key":     {func() error { _, _, err := c.Get(ctx, make([]byte, 2<<20)); return err }, wire.ValueTooLarge, "over the limit of"},
		"the future":   {func() error { _, err := c.Range(ctx, client.Query{Key: []byte("k"), Revision: 99}); return err }, wire.FutureRevision, "99"},
		"negative rev": {func() error { _, err := c.Range(ctx, client.Query{Key: []byte("k"), Revision: -1}); return err }, wire.BadRequest, "-1 is negative"},
	} {
		err := x.do()
		var answer *client.Error
		if !errors.As(err, &answer) || answer.Code != x.code || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v, wanted %v %q", name, err, x.code, x.want)
		}
		if errors.Is(err, client.ErrOutcomeUnknown) {
			t.Errorf("%s: an unknown outcome", name)
		}
	}
	called := false
	c.PutAsync([]byte("k"), make([]byte, 2<<20), func(_ client.Written, err error) { called = err != nil })
	if !called {
		t.Error("a huge value was taken")
	}
}

// Large values and many pages come and go whole, and Count and More are those of the whole range.
func TestPages(t *testing.T) {
	c := newCluster(t, nil)
	ctx := t.Context()
	value := bytes.Repeat([]byte("0123456789abcdef"), limits.ValueBytes/16)
	const n = 7
	for i := range n {
		must[client.Written](t)(c.Put(ctx, fmt.Appendf(nil, "big%d", i), value))
	}
	whole := client.Query{Key: []byte("big"), End: client.Prefix([]byte("big"))}
	a := must[client.Answer](t)(c.Range(ctx, whole))
	if a.Count != n || a.More || len(a.KVs) != n {
		t.Fatalf("%d of %d, more %v", len(a.KVs), a.Count, a.More)
	}
	for i, kv := range a.KVs {
		if string(kv.Key) != fmt.Sprintf("big%d", i) || !bytes.Equal(kv.Value, value) {
			t.Errorf("pair %d: %q, %d bytes", i, kv.Key, len(kv.Value))
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
	if a := must[client.Answer](t)(c.Range(ctx, limited)); len(a.KVs) != n-1 || !a.More || a.Count != n+1 {
		t.Errorf("with a limit: %d of %d, more %v", len(a.KVs), a.Count, a.More)
	}
	for range c.Pages(ctx, whole) {
		break // leaves nothing behind
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
				kv, found, err := c.Get(t.Context(), key)
				if err != nil || !found || kv.ModRevision != w.Revision || string(kv.Value) != fmt.Sprint(j) {
					t.Errorf("%s after revision %d: %+v %v", key, w.Revision, kv, err)
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
		c.GetAsync([]byte("key"), left%2 == 0, func(kv client.KeyValue, found bool, err error) {
			if err != nil || !found || string(kv.Value) != fmt.Sprint(n-1) {
				chain <- fmt.Errorf("%q %v %w", kv.Value, found, err)
			} else if left > 0 {
				next(left - 1)
			} else {
				c.DeleteAsync([]byte("key"), func(w client.Written, err error) {
					if err == nil && w.Deleted != 1 {
						err = fmt.Errorf("deleted %d", w.Deleted)
					}
					chain <- err
				})
			}
		})
	}
	next(100)
	if err := <-chain; err != nil {
		t.Error(err)
	}
	c.GetAsync([]byte("key"), false, func(_ client.KeyValue, found bool, err error) {
		if found || err != nil {
			err = fmt.Errorf("found %v: %w", found, err)
		}
		chain <- err
	})
	if err := <-chain; err != nil {
		t.Error(err)
	}
}

// blackhole is a UDP port at which packets vanish.
func blackhole(t testing.TB) string {
	t.Helper()
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	return socket.LocalAddr().String()
}

// closedPort is a UDP port at which nobody listens.
func closedPort(t testing.TB) string {
	t.Helper()
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	return socket.LocalAddr().String()
}

// A dead endpoint costs a fraction of a second, one at which nobody listens nothing.
func TestDeadEndpoints(t *testing.T) {
	trust := servertest.NewTrust(t)
	s := servertest.Start(t, trust, servertest.NewMember(), nil)
	start := time.Now()
	open(t, trust, closedPort(t), closedPort(t), servertest.Endpoint(s))
	if took := time.Since(start); took > 150*time.Millisecond {
		t.Errorf("two closed ports cost %v", took)
	}
	start = time.Now()
	open(t, trust, blackhole(t), blackhole(t), servertest.Endpoint(s))
	if took := time.Since(start); took < 400*time.Millisecond || took > 900*time.Millisecond {
		t.Errorf("two black holes cost %v, with a stagger of 200 ms", took)
	}
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	trust := servertest.NewTrust(t)
	hole, closed := blackhole(t), closedPort(t)
	start := time.Now()
	_, err := client.Open(ctxOf(t, 3*time.Second), client.Config{Endpoints: []string{hole, closed}, Credentials: trust.Client})
	var unavailable *client.UnavailableError
	if !errors.As(err, &unavailable) || !errors.Is(err, client.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	want := fmt.Sprintf("no member can be reached (context deadline exceeded): %s: no answer within 2s; %s: nobody listens there", hole, closed)
	if err.Error() != want {
		t.Errorf("%v\nwanted\n%v", err, want)
	}
	if took := time.Since(start); took < 2900*time.Millisecond || took > 3500*time.Millisecond {
		t.Errorf("took %v", took)
	}
	start = time.Now()
	_, err = client.Open(t.Context(), client.Config{Endpoints: []string{closed}, Credentials: trust.Client, FailFast: true})
	if !errors.Is(err, client.ErrUnavailable) || time.Since(start) > time.Second {
		t.Errorf("fail fast: %v after %v", err, time.Since(start))
	}
}

// Certificates that are not believed are told at once, from both sides.
func TestForeignCertificates(t *testing.T) {
	trust, foreign := servertest.NewTrust(t), servertest.NewTrust(t)
	s := servertest.Start(t, trust, servertest.NewMember(), nil)
	start := time.Now()
	_, err := client.Open(t.Context(), client.Config{Endpoints: []string{servertest.Endpoint(s)}, Credentials: foreign.Client})
	var unbelieved *wire.TrustError
	if !errors.As(err, &unbelieved) || !strings.Contains(err.Error(), "is of another CA") {
		t.Errorf("a foreign client: %v", err)
	}
	// A client that believes the member, but is not believed by it.
	half := wire.ClientTLS(trust.Client, wire.ProtocolClient, wire.Identity{Class: wire.ClassMember})
	half.GetClientCertificate = wire.ClientTLS(foreign.Client, wire.ProtocolClient, wire.Identity{Class: wire.ClassMember}).GetClientCertificate
	_, err = client.Open(t.Context(), client.Config{Endpoints: []string{servertest.Endpoint(s)}, TLS: half})
	if !errors.As(err, &unbelieved) || !strings.Contains(err.Error(), "refused this certificate") {
		t.Errorf("a client that is refused: %v", err)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("took %v", took)
	}
	if _, err := client.Open(t.Context(), client.Config{Endpoints: []string{"x"}, Credentials: trust.Client}); err == nil || !strings.Contains(err.Error(), `"x" is not of the form host:port`) {
		t.Error(err)
	}
	if _, err := client.Open(t.Context(), client.Config{Endpoints: []string{"x:1"}}); err == nil {
		t.Error("no credentials")
	}
	if _, err := client.Open(t.Context(), client.Config{Credentials: trust.Client}); err == nil {
		t.Error("no endpoints")
	}
	// A member may be a client as well.
	member := must[*client.Client](t)(client.Open(t.Context(), client.Config{Endpoints: []string{servertest.Endpoint(s)}, Credentials: trust.Member}))
	_ = member.Close()
}

// When a member goes, calls go on at another one that it told of; reads are not even noticed.
func TestFailOver(t *testing.T) {
	trust := servertest.NewTrust(t)
	a := servertest.NewMember()
	b := servertest.NewMember(a)
	first, second := servertest.Start(t, trust, a, nil), servertest.Start(t, trust, b, nil)
	a.SetStatus(wire.Status{Members: []wire.Member{
		{ID: 1, Name: "a", Clients: []string{servertest.Endpoint(first)}},
		{ID: 2, Name: "b", Clients: []string{servertest.Endpoint(second), ":1", "0.0.0.0:2379"}},
	}})
	c := open(t, trust, servertest.Endpoint(first))
	if got := c.Endpoints(); len(got) != 2 || got[1] != servertest.Endpoint(second) {
		t.Fatalf("endpoints %v", got)
	}
	if m := must[[]client.Member](t)(c.Members(t.Context())); len(m) != 2 || m[1].Name != "b" {
		t.Errorf("members %+v", m)
	}
	must[client.Written](t)(c.Put(t.Context(), []byte("k"), []byte("v")))

	stop := make(chan struct{})
	var reads, writes, unknown atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, _, err := c.Get(t.Context(), []byte("k")); err != nil {
					t.Errorf("a read failed: %v", err)
				}
				reads.Add(1)
				_, err := c.Put(t.Context(), []byte("k"), []byte("v"))
				if errors.Is(err, client.ErrOutcomeUnknown) {
					unknown.Add(1)
				} else if err != nil {
					t.Errorf("a write failed: %v", err)
				}
				writes.Add(1)
			}
		})
	}
	time.Sleep(100 * time.Millisecond)
	_ = first.Close()
	time.Sleep(300 * time.Millisecond)
	close(stop)
	wg.Wait()
	if b.Proposals.Load() == 0 || unknown.Load() > 8 {
		t.Errorf("%d reads, %d writes, %d unknown; %d proposals at the second", reads.Load(), writes.Load(), unknown.Load(), b.Proposals.Load())
	}
}

// A member that drains sends its clients away without a lost call.
func TestDrain(t *testing.T) {
	trust := servertest.NewTrust(t)
	a := servertest.NewMember()
	b := servertest.NewMember(a)
	first, second := servertest.Start(t, trust, a, nil), servertest.Start(t, trust, b, nil)
	c := open(t, trust, servertest.Endpoint(first), servertest.Endpoint(second))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := c.Put(t.Context(), []byte("k"), []byte("v")); err != nil {
					t.Errorf("a write failed: %v", err)
				}
			}
		})
	}
	time.Sleep(50 * time.Millisecond)
	first.Drain(ctxOf(t, time.Second))
	time.Sleep(200 * time.Millisecond)
	_ = first.Close()
	time.Sleep(50 * time.Millisecond)
	close(stop)
	wg.Wait()
	if b.Proposals.Load() == 0 {
		t.Error("nothing came to the second")
	}
}

// A write that was sent and not answered is of unknown outcome, however it ends; one that was not sent is not.
func TestOutcomeUnknown(t *testing.T) {
	t.Parallel()
	c := newCluster(t, nil)
	c.member.Lose.Store(true)
	for name, end := range map[string]func() error{
		"deadline": func() error {
			_, err := c.Put(ctxOf(t, 50*time.Millisecond), []byte("k"), []byte("v"))
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Error("not a deadline")
			}
			return err
		},
		"cancel": func() error {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(50*time.Millisecond, cancel)
			_, err := c.Delete(ctx, []byte("k"))
			if !errors.Is(err, context.Canceled) {
				t.Error("not canceled")
			}
			return err
		},
		"the client's timeout": func() error {
			short := must[*client.Client](t)(client.Open(t.Context(), client.Config{
				Endpoints: c.Endpoints(), Credentials: c.trust.Client, Timeout: 200 * time.Millisecond,
			}))
			defer short.Close()
			_, err := short.Put(context.Background(), []byte("k"), []byte("v"))
			if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no answer within 200ms") {
				t.Error("not a deadline")
			}
			return err
		},
		"close": func() error {
			other := open(t, c.trust, c.Endpoints()...)
			time.AfterFunc(50*time.Millisecond, func() { _ = other.Close() })
			_, err := other.Put(t.Context(), []byte("k"), []byte("v"))
			if !errors.Is(err, client.ErrClosed) {
				t.Error("not closed")
			}
			return err
		},
	} {
		var unknown *client.OutcomeUnknownError
		if err := end(); !errors.As(err, &unknown) || !errors.Is(err, client.ErrOutcomeUnknown) || unknown.Endpoint != servertest.Endpoint(c.server) {
			t.Errorf("%s: %v", name, err)
		}
	}
	done := make(chan error, 1)
	go func() {
		_, err := c.Put(t.Context(), []byte("k"), []byte("v"))
		done <- err
	}()
	time.Sleep(50 * time.Millisecond)
	_ = c.server.Close()
	if err := <-done; !errors.Is(err, client.ErrOutcomeUnknown) || !strings.Contains(err.Error(), "the member is shutting down") {
		t.Errorf("the server closed: %v", err)
	}
	_, err := c.Put(ctxOf(t, 100*time.Millisecond), []byte("k"), []byte("v"))
	if !errors.Is(err, client.ErrUnavailable) || errors.Is(err, client.ErrOutcomeUnknown) {
		t.Errorf("no server: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Put(ctx, []byte("k"), []byte("v")); !errors.Is(err, context.Canceled) || errors.Is(err, client.ErrOutcomeUnknown) {
		t.Errorf("canceled before: %v", err)
	}
	_ = c.Close()
	if _, err := c.Put(t.Context(), []byte("k"), []byte("v")); !errors.Is(err, client.ErrClosed) || errors.Is(err, client.ErrOutcomeUnknown) {
		t.Errorf("after Close: %v", err)
	}
	if _, err := c.Status(t.Context(), servertest.Endpoint(c.server)); !errors.Is(err, client.ErrClosed) {
		t.Errorf("status after Close: %v", err)
	}
}

// A member's errors are tried again as far as their codes allow.
func TestRetries(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		code        index.Code
		write, read bool // tried again
	}{
		{index.CodeUnavailable, true, true},
		{index.CodeOverloaded, true, true},
		{index.CodeUnknown, false, true},
		{index.CodeInternal, false, false},
		{index.CodeCompacted, false, false},
	} {
		c := newCluster(t, nil)
		var left atomic.Int64
		c.member.SetBefore(func(int, int) *index.Error {
			if left.Add(-1) >= 0 {
				return &index.Error{Code: x.code, Message: "for a while"}
			}
			return nil
		})
		left.Store(3)
		_, err := c.Put(t.Context(), []byte("k"), []byte("v"))
		if (err == nil) != x.write {
			t.Errorf("put, %v: %v", wire.Code(x.code), err)
		}
		if x.code == index.CodeUnknown != errors.Is(err, client.ErrOutcomeUnknown) && x.code != index.CodeInternal {
			t.Errorf("put, %v: %v", wire.Code(x.code), err)
		}
		left.Store(3)
		if _, _, err := c.Get(t.Context(), []byte("k")); (err == nil) != x.read {
			t.Errorf("get, %v: %v", wire.Code(x.code), err)
		}
		left.Store(1 << 40)
		_, err = c.Put(ctxOf(t, 300*time.Millisecond), []byte("k"), []byte("v"))
		if x.write && (!errors.Is(err, client.ErrUnavailable) || !strings.Contains(err.Error(), "for a while")) {
			t.Errorf("for ever, %v: %v", wire.Code(x.code), err)
		}
	}
}

// A host that falls silent is left within a second, with the reads that were under way.
func TestSilence(t *testing.T) {
	t.Parallel()
	trust := servertest.NewTrust(t)
	a := servertest.NewMember()
	b := servertest.NewMember(a)
	first, second := servertest.Start(t, trust, a, nil), servertest.Start(t, trust, b, nil)
	relay := newRelay(t, servertest.Endpoint(first))
	c := open(t, trust, relay.endpoint(), servertest.Endpoint(second))
	must[client.Written](t)(c.Put(t.Context(), []byte("k"), []byte("v")))
	relay.silent.Store(true)
	unknown := make(chan error, 1)
	go func() {
		_, err := c.Put(ctxOf(t, 2*time.Second), []byte("k"), []byte("v"))
		unknown <- err
	}()
	start := time.Now()
	if _, found, err := c.Get(t.Context(), []byte("k")); !found || err != nil {
		t.Errorf("a read: %v %v", found, err)
	}
	if took := time.Since(start); took > 1200*time.Millisecond {
		t.Errorf("a read took %v", took)
	}
	start = time.Now()
	must[client.Written](t)(c.Put(t.Context(), []byte("k"), []byte("v")))
	if took := time.Since(start); took > 200*time.Millisecond {
		t.Errorf("the next write took %v", took)
	}
	if err := <-unknown; !errors.Is(err, client.ErrOutcomeUnknown) {
		t.Errorf("the write under way: %v", err)
	}
}

// After a pause that is shorter than the caller's time, even writes on the old connection are answered.
func TestPause(t *testing.T) {
	t.Parallel()
	trust := servertest.NewTrust(t)
	s := servertest.Start(t, trust, servertest.NewMember(), nil)
	relay := newRelay(t, servertest.Endpoint(s))
	c := open(t, trust, relay.endpoint())
	must[client.Written](t)(c.Put(t.Context(), []byte("k"), []byte("v")))
	relay.silent.Store(true)
	time.AfterFunc(time.Second, func() { relay.silent.Store(false) })
	must[client.Written](t)(c.Put(ctxOf(t, 4*time.Second), []byte("k"), []byte("v")))
}

// relay passes packets between clients and one server, as long as it is not silent.
type relay struct {
	front  net.PacketConn
	silent atomic.Bool
}

func newRelay(t testing.TB, to string) *relay {
	t.Helper()
	target, err := net.ResolveUDPAddr("udp", to)
	if err != nil {
		t.Fatal(err)
	}
	front, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{front: front}
	var wg sync.WaitGroup
	backs := map[string]*net.UDPConn{}
	wg.Go(func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := front.ReadFrom(buf)
			if err != nil {
				return
			}
			back := backs[from.String()]
			if back == nil {
				if back, err = net.DialUDP("udp", nil, target); err != nil {
					return
				}
				backs[from.String()] = back
				wg.Go(func() {
					buf := make([]byte, 2048)
					for {
						n, err := back.Read(buf)
						if err != nil {
							return
						}
						if !r.silent.Load() {
							_, _ = front.WriteTo(buf[:n], from)
						}
					}
				})
			}
			if !r.silent.Load() {
				_, _ = back.Write(buf[:n])
			}
		}
	})
	t.Cleanup(func() {
		front.Close()
		time.Sleep(10 * time.Millisecond)
		for _, back := range backs {
			back.Close()
		}
		wg.Wait()
	})
	return r
}

func (r *relay) endpoint() string { return r.front.LocalAddr().String() }
