package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/testport"
	"qkv/internal/testretry"
	"qkv/net/client"
	"qkv/net/server"
	"qkv/net/server/servertest"
	"qkv/net/wire"
)

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

// closedPort is a UDP port at which nobody listens, and which the system gives to nobody: another one each time.
func closedPort(t testing.TB) string {
	t.Helper()
	for {
		address := fmt.Sprintf("127.0.0.1:%d", 700+closedPorts.Add(1)%300)
		socket, err := net.ListenPacket("udp", address)
		if err == nil {
			_ = socket.Close()
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			return address
		}
	}
}

var closedPorts atomic.Int64

// within fails when f takes longer than most each time of ten: on a busy host anything takes long now and then, and what waits
// for something that it should not wait for takes as long always. It returns the shortest time.
func within(t testing.TB, most time.Duration, f func()) time.Duration {
	t.Helper()
	var took []time.Duration
	for range 10 {
		start := time.Now()
		f()
		took = append(took, time.Since(start))
		if least := slices.Min(took); least <= most {
			return least
		}
	}
	t.Errorf("it took %v, wanted %v", took, most)
	return slices.Min(took)
}

// A dead endpoint costs a fraction of a second, one at which nobody listens nothing.
func TestDeadEndpoints(t *testing.T) {
	trust := servertest.NewTrust(t)
	s := servertest.Start(t, trust, servertest.NewMember(), nil)
	c, err := client.Open(ctxOf(t, wait), client.Config{ // who waits for one at which nobody listens does so for longer than this test
		Endpoints: []string{closedPort(t), closedPort(t), servertest.Endpoint(s)}, InOrder: true, Credentials: trust.Client, DialStagger: 2 * wait,
	})
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	least := within(t, 2*time.Second, func() { // each is tried for two
		open(t, trust, blackhole(t), blackhole(t), servertest.Endpoint(s))
	})
	if least < 400*time.Millisecond {
		t.Errorf("two black holes cost %v, with a stagger of 200 ms", least)
	}
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	trust := servertest.NewTrust(t)
	hole, closed := blackhole(t), closedPort(t)
	testretry.Longer(t, 3*time.Second, func(t testing.TB, limit time.Duration) {
		start := time.Now()
		_, err := client.Open(ctxOf(t, limit), client.Config{Endpoints: []string{hole, closed}, InOrder: true, Credentials: trust.Client})
		var unavailable *client.UnavailableError
		if !errors.As(err, &unavailable) || !errors.Is(err, client.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		want := fmt.Sprintf("no member can be reached (context deadline exceeded): %s: no answer within 2s: it is not running, or UDP packets are blocked (an open TCP port is not enough); %s: connection refused: no process listens there", hole, closed)
		if err.Error() != want {
			t.Errorf("%v\nwanted\n%v", err, want)
		}
		if took := time.Since(start); took < limit-100*time.Millisecond || took > 2*limit {
			t.Errorf("took %v", took)
		}
	})
	_, err := client.Open(ctxOf(t, time.Hour), client.Config{Endpoints: []string{closed}, Credentials: trust.Client, FailFast: true})
	if !errors.Is(err, client.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("fail fast: %v", err)
	}
}

// A call whose context ends before it is sent has the error that the table in doc.go names, and the reason that the context was given.
func TestContextEndsBeforeTheCall(t *testing.T) {
	trust := servertest.NewTrust(t)
	c := open(t, trust, servertest.Endpoint(servertest.Start(t, trust, servertest.NewMember(), nil)))
	why := errors.New("lunch")
	late, stop := context.WithDeadlineCause(t.Context(), time.Now().Add(-time.Second), why)
	defer stop()
	canceled, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	one := kv.Range{Key: []byte("k")}
	for name, call := range map[string]func(ctx context.Context) error{
		"put":   func(ctx context.Context) error { _, err := c.Put(ctx, []byte("k"), nil); return err },
		"range": func(ctx context.Context) error { _, err := c.Range(ctx, one); return err },
		"watch": func(ctx context.Context) error { _, err := c.Watch(ctx, kv.Watch{Key: []byte("k")}); return err },
		"usage": func(ctx context.Context) error {
			_, err := c.Admin().Usage(ctx, kv.Usage{Separator: []byte("/")})
			return err
		},
		"pages": func(ctx context.Context) error {
			for _, err := range c.Pages(ctx, one) {
				return err
			}
			return nil
		},
	} {
		if err := call(late); !errors.Is(err, client.ErrUnavailable) || !errors.Is(err, why) {
			t.Errorf("%s after its deadline: %v", name, err)
		}
		if err := call(canceled); errors.Is(err, client.ErrUnavailable) || !errors.Is(err, why) {
			t.Errorf("%s of a canceled context: %v", name, err)
		}
	}
}

// Certificates that are not believed are told at once, from both sides.
func TestForeignCertificates(t *testing.T) {
	trust, foreign := servertest.NewTrust(t), servertest.NewTrust(t)
	s := servertest.Start(t, trust, servertest.NewMember(), nil)
	_, err := client.Open(ctxOf(t, time.Hour), client.Config{Endpoints: []string{servertest.Endpoint(s)}, Credentials: foreign.Client})
	var unbelieved *wire.TrustError
	if !errors.As(err, &unbelieved) || !strings.Contains(err.Error(), "was signed by another CA") {
		t.Errorf("a foreign client: %v", err)
	}
	// A client that believes the member, but is not believed by it.
	half := wire.ClientTLS(trust.Client, wire.ProtocolClient, wire.Identity{Class: wire.ClassMember})
	half.GetClientCertificate = wire.ClientTLS(foreign.Client, wire.ProtocolClient, wire.Identity{Class: wire.ClassMember}).GetClientCertificate
	_, err = client.Open(ctxOf(t, time.Hour), client.Config{Endpoints: []string{servertest.Endpoint(s)}, TLS: half})
	if !errors.As(err, &unbelieved) || !strings.Contains(err.Error(), "refused this certificate") {
		t.Errorf("a client that is refused: %v", err)
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
	a.SetStatus(kv.Status{Members: []kv.Member{
		{ID: 1, Name: "a", Clients: []string{servertest.Endpoint(first)}},
		{ID: 2, Name: "b", Clients: []string{servertest.Endpoint(second), ":1", "0.0.0.0:2379"}},
	}})
	c := open(t, trust, servertest.Endpoint(first))
	if got := c.Endpoints(); len(got) != 2 || got[1] != servertest.Endpoint(second) {
		t.Fatalf("endpoints %v", got)
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
	await(t, "writes at the second", func() bool { return b.Proposals.Load() > 0 })
	close(stop)
	wg.Wait()
	if unknown.Load() > 8 {
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
	first.Drain(ctxOf(t, wait))
	await(t, "writes at the second", func() bool { return b.Proposals.Load() > 0 })
	_ = first.Close()
	time.Sleep(50 * time.Millisecond)
	close(stop)
	wg.Wait()
}

// A write that was sent and not answered is of unknown outcome, however it ends; one that was not sent is not.
func TestOutcomeUnknown(t *testing.T) {
	t.Parallel()
	trust := servertest.NewTrust(t)
	start := func() (m mute, s *server.Server, c *client.Client) {
		m = mute{servertest.NewMember(), make(chan struct{}, 100)}
		s = servertest.Start(t, trust, m, nil)
		return m, s, open(t, trust, servertest.Endpoint(s))
	}
	unknownOutcome := func(t testing.TB, s *server.Server, err error) {
		t.Helper()
		var unknown *client.OutcomeUnknownError
		if !errors.As(err, &unknown) || !errors.Is(err, client.ErrOutcomeUnknown) || unknown.Endpoint != servertest.Endpoint(s) {
			t.Errorf("%v", err)
		}
	}
	_, s, c := start()
	// The time of these may be over before the write is sent.
	for name, end := range map[string]func(t testing.TB, limit time.Duration) error{
		"deadline": func(t testing.TB, limit time.Duration) error {
			_, err := c.Put(ctxOf(t, limit), []byte("k"), []byte("v"))
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Error("not a deadline")
			}
			return err
		},
		"the client's timeout": func(t testing.TB, limit time.Duration) error {
			short := must[*client.Client](t)(client.Open(ctxOf(t, wait), client.Config{
				Endpoints: []string{servertest.Endpoint(s)}, Credentials: trust.Client, Timeout: limit,
			}))
			defer short.Close()
			_, err := short.Put(context.Background(), []byte("k"), []byte("v"))
			if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no answer within "+limit.String()) {
				t.Errorf("not a deadline: %v", err)
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			testretry.Longer(t, 200*time.Millisecond, func(t testing.TB, limit time.Duration) {
				unknownOutcome(t, s, end(t, limit))
			})
		})
	}
	m, s, c := start()
	ended := make(chan error, 1)
	for name, x := range map[string]struct{ begin, end func() }{
		"cancel": func() (x struct{ begin, end func() }) {
			var ctx context.Context
			ctx, x.end = context.WithCancel(t.Context())
			x.begin = func() {
				_, err := c.Delete(ctx, []byte("k"))
				if !errors.Is(err, context.Canceled) {
					t.Error("not canceled")
				}
				ended <- err
			}
			return x
		}(),
		"close": func() (x struct{ begin, end func() }) {
			other := open(t, trust, servertest.Endpoint(s))
			x.begin = func() {
				_, err := other.Put(ctxOf(t, 2*wait), []byte("k"), []byte("v"))
				if !errors.Is(err, client.ErrClosed) {
					t.Error("not closed")
				}
				ended <- err
			}
			x.end = func() { _ = other.Close() }
			return x
		}(),
	} {
		t.Run(name, func(t *testing.T) {
			go x.begin()
			<-m.asked
			x.end()
			unknownOutcome(t, s, <-ended)
		})
	}
	go func() {
		_, err := c.Put(ctxOf(t, 2*wait), []byte("k"), []byte("v"))
		ended <- err
	}()
	<-m.asked
	_ = s.Close()
	if err := <-ended; !errors.Is(err, client.ErrOutcomeUnknown) || !strings.Contains(err.Error(), "the member is shutting down") {
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
	if _, err := c.Admin().Status(t.Context(), servertest.Endpoint(s)); !errors.Is(err, client.ErrClosed) {
		t.Errorf("status after Close: %v", err)
	}
}

// A member's errors are tried again as far as their codes allow.
func TestRetries(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		code        kv.Code
		write, read bool // tried again
	}{
		{kv.Unavailable, true, true},
		{kv.Overloaded, true, true},
		{kv.Unknown, false, true},
		{kv.Internal, false, false},
		{kv.Compacted, false, false},
	} {
		c := newCluster(t, nil)
		var left atomic.Int64
		c.member.SetBefore(func(int, int) *kv.Error {
			if left.Add(-1) >= 0 {
				return &kv.Error{Code: x.code, Message: "for a while"}
			}
			return nil
		})
		left.Store(3)
		_, err := c.Put(t.Context(), []byte("k"), []byte("v"))
		if (err == nil) != x.write {
			t.Errorf("put, %v: %v", kv.Code(x.code), err)
		}
		if x.code == kv.Unknown != errors.Is(err, client.ErrOutcomeUnknown) && x.code != kv.Internal {
			t.Errorf("put, %v: %v", kv.Code(x.code), err)
		}
		left.Store(3)
		if _, _, err := c.Get(t.Context(), []byte("k")); (err == nil) != x.read {
			t.Errorf("get, %v: %v", kv.Code(x.code), err)
		}
		if !x.write {
			continue
		}
		left.Store(1 << 40)
		for range 30 { // the time may be over just while it is asked, and then the outcome is unknown
			_, err = c.Put(ctxOf(t, 300*time.Millisecond), []byte("k"), []byte("v"))
			if !errors.Is(err, client.ErrOutcomeUnknown) && strings.Contains(err.Error(), "for a while") {
				break
			}
		}
		if !errors.Is(err, client.ErrUnavailable) || !strings.Contains(err.Error(), "for a while") {
			t.Errorf("for ever, %v: %v", kv.Code(x.code), err)
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
	c, err := client.Open(ctxOf(t, wait), client.Config{ // it begins with the first one, however long its handshake takes
		Endpoints: []string{relay.endpoint(), servertest.Endpoint(second)}, InOrder: true, Credentials: trust.Client, Timeout: wait, DialStagger: wait,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	must[client.Written](t)(c.Put(t.Context(), []byte("k"), []byte("v")))
	relay.silent.Store(true)
	unknown := make(chan error, 1)
	go func() {
		_, err := c.Put(ctxOf(t, 2*time.Second), []byte("k"), []byte("v"))
		unknown <- err
	}()
	start := time.Now()
	if _, found, err := c.Get(ctxOf(t, 2*wait), []byte("k")); !found || err != nil {
		t.Errorf("a read: %v %v", found, err)
	}
	if took := time.Since(start); took > wait {
		t.Errorf("a read took %v", took)
	}
	if at := c.Serving(); at != servertest.Endpoint(second) {
		t.Errorf("calls go to %q, not to the member that has answered", at)
	}
	must[client.Written](t)(c.Put(t.Context(), []byte("k"), []byte("v")))
	if err := <-unknown; !errors.Is(err, client.ErrOutcomeUnknown) {
		t.Errorf("the write under way: %v", err)
	}
}

// A client whose link is known leaves a silent host sooner than the bound for one that is not, with one connection to one of two members.
func TestSilenceFollowsTheLink(t *testing.T) {
	t.Parallel()
	const unknown = 500 * time.Millisecond // silenceMost
	const tries = 5                        // a busy machine may be late a few times, and is never early
	trust := servertest.NewTrust(t)
	a := servertest.NewMember()
	first, second := servertest.Start(t, trust, a, nil), servertest.Start(t, trust, servertest.NewMember(a), nil)
	var took []time.Duration
	for range tries {
		relay := newRelay(t, servertest.Endpoint(first))
		c, err := client.Open(ctxOf(t, wait), client.Config{
			Endpoints: []string{relay.endpoint(), servertest.Endpoint(second)}, InOrder: true, Credentials: trust.Client, Timeout: wait, DialStagger: wait,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		must[client.Written](t)(c.Put(t.Context(), []byte("k"), []byte("v")))
		for until := time.Now().Add(2 * time.Second); time.Now().Before(until); { // 80 looks of the client's keeper
			if _, _, err := c.Get(ctxOf(t, wait), []byte("k")); err != nil {
				t.Fatal(err)
			}
		}
		relay.silent.Store(true)
		start := time.Now()
		if _, found, err := c.Get(ctxOf(t, 2*wait), []byte("k")); !found || err != nil {
			t.Fatalf("a read: %v %v", found, err)
		}
		if took = append(took, time.Since(start)); took[len(took)-1] < unknown {
			return
		}
	}
	t.Errorf("a read over a link that is known waits for a silent host for %v, as over one that is not: %v", took, unknown)
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
	must[client.Written](t)(c.Put(ctxOf(t, wait), []byte("k"), []byte("v")))
}

// A path that takes no packets but the smallest that QUIC needs, and says nothing of it, is used all the same, also for what is large.
func TestSmallPackets(t *testing.T) {
	trust := servertest.NewTrust(t)
	relay := newRelay(t, servertest.Endpoint(servertest.Start(t, trust, servertest.NewMember(), nil)))
	const packet = 1280 - 40 - 8 // what IPv6 carries everywhere, without its head and UDP's
	relay.most.Store(packet)
	c := open(t, trust, relay.endpoint())
	value := bytes.Repeat([]byte("v"), 256<<10)
	if _, err := c.Put(t.Context(), []byte("k"), value); err != nil {
		t.Fatal(err)
	}
	if kv, found, err := c.Get(t.Context(), []byte("k")); err != nil || !found || !bytes.Equal(kv.Value, value) {
		t.Errorf("%d bytes, %v, %v", len(kv.Value), found, err)
	}
}

// relay passes packets between clients and one server, as long as it is not silent, and those that are no larger than most.
type relay struct {
	front  net.PacketConn
	silent atomic.Bool
	most   atomic.Int64 // 0: all
}

func (r *relay) passes(n int) bool {
	most := r.most.Load()
	return !r.silent.Load() && (most == 0 || int64(n) <= most)
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
	backs := map[string]*net.UDPConn{} // of the goroutine that reads front, until it has ended
	ended := make(chan struct{})
	go func() {
		defer close(ended)
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
						if r.passes(n) {
							_, _ = front.WriteTo(buf[:n], from)
						}
					}
				})
			}
			if r.passes(n) {
				_, _ = back.Write(buf[:n])
			}
		}
	}()
	t.Cleanup(func() {
		front.Close()
		<-ended
		for _, back := range backs {
			back.Close()
		}
		wg.Wait()
	})
	return r
}

func (r *relay) endpoint() string { return r.front.LocalAddr().String() }

// A member that was killed and started again is noticed by its stateless reset, not by a timeout.
func TestKilledAndStarted(t *testing.T) {
	trust := servertest.NewTrust(t)
	m := servertest.NewMember()
	socket, err := testport.Listen("", listenUDP)
	if err != nil {
		t.Fatal(err)
	}
	first := servertest.Start(t, trust, m, func(c *server.Config) { c.Conn = socket })
	endpoint := servertest.Endpoint(first)
	var out syncBuffer
	c := must[*client.Client](t)(client.Open(t.Context(), client.Config{
		Endpoints: []string{endpoint}, Credentials: trust.Client,
		Logger: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}))
	defer c.Close()
	must[client.Written](t)(c.Put(t.Context(), []byte("k"), []byte("v")))
	_ = socket.Close() // not a word to the client
	servertest.Start(t, trust, servertest.NewMember(m), func(c *server.Config) { c.Address = endpoint })
	if _, found, err := c.Get(t.Context(), []byte("k")); !found || err != nil {
		t.Errorf("get: %v %v", found, err)
	}
	if s := out.String(); !strings.Contains(s, "received a stateless reset") {
		t.Errorf("logged: %s", s)
	}
}

// syncBuffer is a buffer for several goroutines.
type syncBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// A dial that is given up before its first try fails as others do.
func TestDialGivenUp(t *testing.T) {
	trust := servertest.NewTrust(t)
	s := servertest.Start(t, trust, servertest.NewMember(), nil)
	c := open(t, trust, servertest.Endpoint(s))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 {
		if err := client.DialEndpoint(ctx, c, servertest.Endpoint(s)); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
}

// A client that two members have turned away goes on to the third, however the three stand in its list, and not back to the first.
func TestTurnsToEachMember(t *testing.T) {
	t.Parallel()
	trust, whole := servertest.NewTrust(t), servertest.NewMember()
	var addresses []string
	for i := range 4 {
		m := servertest.NewMember(whole)
		if i < 3 {
			m.SetBefore(func(int, int) *kv.Error { return kv.Errorf(kv.Unavailable, "there is no leader") })
		}
		addresses = append(addresses, servertest.Endpoint(servertest.Start(t, trust, m, nil)))
	}
	c, err := client.Open(ctxOf(t, wait), client.Config{Endpoints: addresses, InOrder: true, Credentials: trust.Client})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Put(ctxOf(t, wait), []byte("a"), []byte("b")); err != nil {
		t.Error(err)
	}
}
