package etcd_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/checks"
	"qkv/internal/limits"
	"qkv/internal/testlong"
	"qkv/net/etcd"
	"qkv/net/server/servertest"
	"qkv/net/wire"
)

// raw connects to an endpoint and sends what it is given.
func raw(t testing.TB, s *etcd.Server, first string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(wait))
	if _, err := io.WriteString(c, first); err != nil {
		t.Fatal(err)
	}
	return c
}

// ends returns all that comes until the other side closes.
func ends(t *testing.T, c net.Conn) string {
	t.Helper()
	all, err := io.ReadAll(c)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		t.Fatal("the connection is not closed")
	}
	return string(all)
}

func get(t *testing.T, s *etcd.Server, path string) (int, string) {
	t.Helper()
	r, err := http.Get("http://" + s.Addr().String() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, strings.TrimSpace(string(body))
}

func TestWeb(t *testing.T) {
	m := newMember()
	s := start(t, m, nil)
	for path, want := range map[string]string{
		"/version":                            `200 {"etcdserver":"3.7.3","etcdcluster":"3.7.0","storage":"3.7.0","qkv":"","interface":"","mtu":0}`,
		"/health":                             `200 {"health":"true","reason":""}`,
		"/nothing":                            `404 404 page not found`,
		"/livez":                              "200 ok",
		"/readyz":                             "200 ok",
		"/readyz?verbose&exclude=non_learner": "200 [+]data_corruption ok\n[+]serializable_read ok\n[+]linearizable_read ok\n[+]certificate ok\nok",
		"/readyz/linearizable_read?verbose":   "200 [+]linearizable_read ok\nok",
	} {
		if code, body := get(t, s, path); fmt.Sprint(code, " ", body) != want {
			t.Errorf("%s: %d %s, want %s", path, code, body, want)
		}
	}
	m.set(etcd.RaftStatus{Term: 7})
	if code, body := get(t, s, "/health"); code != 503 || body != `{"health":"false","reason":"RAFT NO LEADER"}` {
		t.Errorf("without a leader: %d %s", code, body)
	}
	want := "[+]data_corruption ok\n[+]serializable_read ok\n[-]linearizable_read failed: etcdserver: no leader; " + checks.ProbeNamed("linearizable_read").Do + "\n[+]non_learner ok\n[+]certificate ok"
	if code, body := get(t, s, "/readyz"); code != 503 || body != want {
		t.Errorf("without a leader: %d %s", code, body)
	}
	if code, body := get(t, s, "/livez"); code != 200 || body != "ok" {
		t.Errorf("without a leader: %d %s", code, body)
	}
	m.set(etcd.RaftStatus{Term: 7})
	if code, body := get(t, s, "/health?serializable=true"); code != 200 {
		t.Errorf("this member alone: %d %s", code, body)
	}
	m.set(etcd.RaftStatus{Term: 7, Leader: 1})
	raise := &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, MemberID: 1, Alarm: pb.AlarmType_NOSPACE}
	if _, err := pb.NewMaintenanceClient(dial(t, s)).Alarm(t.Context(), raise); err != nil {
		t.Fatal(err)
	}
	if code, body := get(t, s, "/health"); code != 503 || body != `{"health":"false","reason":"ALARM NOSPACE"}` {
		t.Errorf("with an alarm: %d %s", code, body)
	}
	if code, _ := get(t, s, "/health?exclude=NOSPACE"); code != 200 {
		t.Errorf("without that alarm: %d", code)
	}
	r, err := http.Post("http://"+s.Addr().String()+"/etcdserverpb.KV/Put", "application/grpc", strings.NewReader("\x00\x00\x00\x00\x00"))
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close()
	if r.StatusCode != http.StatusNotFound {
		t.Errorf("gRPC over HTTP/1.1: %s", r.Status)
	}
}

// TestGarbage sends what is no protocol: the connection is closed, and others do not notice.
func TestGarbage(t *testing.T) {
	testlong.Skip(t)
	s := start(t, newMember(), nil)
	c := dial(t, s)
	for _, first := range []string{
		"\x00", "\xff\xff\xff\xff", "get / HTTP/1.1\r\n\r\n", "PRIVATE", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\ngarbage and more of it",
		strings.Repeat("A", 1<<20) + "\r\n\r\n", "GET /version HTTP/9.9\r\n\r\n",
	} {
		ends(t, raw(t, s, first))
		if _, err := pb.NewKVClient(c).Put(t.Context(), &pb.PutRequest{Key: []byte("a")}); err != nil {
			t.Fatalf("behind %.20q: %v", first, err)
		}
	}
}

// TestHalf leaves connections when half a word is said: they are closed after a while, and one that says nothing gives its
// place to another one in a full server.
func TestHalf(t *testing.T) {
	s := start(t, newMember(), func(c *etcd.Config) { c.Limits.Handshake = 50 * time.Millisecond })
	for _, first := range []string{"", "P", "PRI", "G", "\x16", "\x16\x03\x01\x02\x00\x01", "\x16\x03\x01\x00\x05hello", "GET /version HTTP/1.1\r\nHost: x\r\n"} {
		ends(t, raw(t, s, first))
	}
	m := newMember()
	s = start(t, m, func(c *etcd.Config) { c.Limits.Connections = 2 })
	var silent []net.Conn
	for range 80 {
		silent = append(silent, raw(t, s, ""))
	}
	ends(t, silent[0]) // it was closed for another one
	for _, c := range silent {
		_ = c.Close()
	}
	eventually(t, func() bool { return s.Stats().Connections == 0 })
	if code, body := get(t, s, "/version"); code != 200 {
		t.Errorf("behind them: %d %s", code, body)
	}
}

// TestHandshakesThatAreLeft begins more handshakes than are made at a time, and leaves them: others make theirs.
func TestHandshakesThatAreLeft(t *testing.T) {
	trust := servertest.NewTrust(t)
	s := start(t, newMember(), func(c *etcd.Config) {
		c.Listeners[0].TLS, c.Listeners[0].Plain = wire.EtcdTLS(trust.Member), false
		c.Limits.Handshake = wait
	})
	const connections = 128 // twice as many as may be in a handshake at a time
	for range connections {
		raw(t, s, "\x16\x03\x01\x00\xc8")
	}
	eventually(t, func() bool { return s.Stats().Connections == connections })
	c, err := grpc.NewClient(s.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(tlsOf(trust, true))))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), wait/2)
	defer cancel()
	if _, err := pb.NewKVClient(c).Put(ctx, &pb.PutRequest{Key: []byte("a")}); err != nil {
		t.Errorf("beside handshakes that nobody goes on with: %v", err)
	}
}

// TestHandshakesGiveWay fills a port with handshakes that nobody goes on with: the oldest makes room for a newcomer.
func TestHandshakesGiveWay(t *testing.T) {
	trust := servertest.NewTrust(t)
	s := start(t, newMember(), func(c *etcd.Config) {
		c.Listeners[0].TLS, c.Listeners[0].Plain = wire.EtcdTLS(trust.Member), false
		c.Limits.Connections, c.Limits.Handshake, c.Limits.PlaceIdle = 1, 2*wait, time.Hour
	})
	const record = "\x16\x03\x01\x00\xc8"
	oldest := raw(t, s, record)
	for range limits.ClientConnectionsOver {
		raw(t, s, record)
	}
	eventually(t, func() bool { return s.Stats().Connections == 1+limits.ClientConnectionsOver })
	raw(t, s, record)
	ends(t, oldest)
}

// eventually waits for less than tests give their streams: what an ended one gives back is no proof that it gave back what it had to
// before.
func eventually(t testing.TB, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(wait / 2); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not come true")
		}
	}
}

// TestFull has more connections than the limit: what is too much is told so, in gRPC and in HTTP.
func TestFull(t *testing.T) {
	s := start(t, newMember(), func(c *etcd.Config) { c.Limits.Connections, c.Limits.PlaceIdle = 3, time.Hour })
	for range 3 {
		c := dial(t, s)
		if _, err := pb.NewKVClient(c).Put(t.Context(), &pb.PutRequest{Key: []byte("a")}); err != nil {
			t.Fatal(err)
		}
	}
	const limit = "this member serves 3 client connections at this address, its limit"
	if said := ends(t, raw(t, s, "GET /version HTTP/1.1\r\nHost: x\r\n\r\n")); !strings.Contains(said, limit) || !strings.HasPrefix(said, "HTTP/1.1 503") {
		t.Errorf("HTTP is told %q", said)
	}
	if said := ends(t, raw(t, s, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")); !strings.Contains(said, limit) {
		t.Errorf("gRPC is told %q", said)
	}
	notServed(t, s)
}

// notServed dials as clients of gRPC do, and is refused: it has seen no connection that works, and waits before it dials again.
func notServed(t *testing.T, s *etcd.Server) {
	t.Helper()
	var dials atomic.Int32
	c, err := grpc.NewClient("passthrough:///"+s.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: time.Hour, Multiplier: 1, MaxDelay: time.Hour}, MinConnectTimeout: wait}),
		grpc.WithContextDialer(func(ctx context.Context, at string) (net.Conn, error) {
			dials.Add(1)
			return (&net.Dialer{}).DialContext(ctx, "tcp", at)
		}))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	if _, err := pb.NewKVClient(c).Put(ctx, &pb.PutRequest{Key: []byte("a")}); status.Code(err) != codes.Unavailable {
		t.Errorf("a client of gRPC sees %v", err)
	}
	if n, state := dials.Load(), c.GetState(); n != 1 || state != connectivity.TransientFailure {
		t.Errorf("a client of gRPC has dialled %d times and is in state %v", n, state)
	}
}

// TestRefusedOnThisHost has this host say what is no protocol, again and again: its clients are served all the same.
func TestRefusedOnThisHost(t *testing.T) {
	s := start(t, newMember(), nil)
	for range 260 { // ten more than an address may fail in a second
		ends(t, raw(t, s, "\x00"))
	}
	if _, err := pb.NewKVClient(dial(t, s)).Put(t.Context(), &pb.PutRequest{Key: []byte("a")}); err != nil {
		t.Error(err)
	}
}

// from lets a client connect from an address of this host.
func from(ip string) grpc.DialOption {
	return grpc.WithContextDialer(func(ctx context.Context, at string) (net.Conn, error) {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
		return d.DialContext(ctx, "tcp", at)
	})
}

// TestPlaces fills all places from one address: who comes from another gets one of them, of a connection on which nothing is asked,
// and so does who comes from the same when one has been idle for a while.
func TestPlaces(t *testing.T) {
	const places = 8
	from := func(ip string, s *etcd.Server) *grpc.ClientConn { return dial(t, s, from(ip)) }
	put := func(c *grpc.ClientConn) error {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second) // who gets no place dials for ever
		defer cancel()
		_, err := pb.NewKVClient(c).Put(ctx, &pb.PutRequest{Key: []byte("a")}, grpc.WaitForReady(true))
		return err
	}
	for name, idle := range map[string]time.Duration{"127.0.0.2": time.Hour, "127.0.0.1": time.Millisecond} {
		s := start(t, newMember(), func(c *etcd.Config) { c.Limits.Connections, c.Limits.PlaceIdle = places, idle })
		w := watching(t.Context(), t, from("127.0.0.1", s), &pb.WatchCreateRequest{Key: []byte("a")})
		var attackers []*hostile
		for range places - 1 {
			h := attack(t, s)
			go h.read()
			attackers = append(attackers, h)
		}
		eventually(t, func() bool { return s.Stats().Connections == places })
		time.Sleep(2 * time.Millisecond)
		if err := put(from(name, s)); err != nil {
			t.Fatalf("from %s: %v", name, err)
		}
		eventually(t, func() bool { return slices.ContainsFunc(attackers, (*hostile).over) })
		if _, err := w.Recv(); err != nil { // what is watched has changed
			t.Errorf("from %s: the watch: %v", name, err)
		}
		if n := s.Stats().Connections; n > places {
			t.Errorf("from %s: %d connections, the limit is %d", name, n, places)
		}
	}
}

// tlsOf is what a client dials with; without its certificate, nobody's.
func tlsOf(trust servertest.Trust, shows bool) *tls.Config {
	c := wire.ClientTLS(trust.Client, "h2", wire.Identity{Class: wire.ClassMember})
	if !shows {
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &tls.Certificate{}, nil }
	}
	return c
}

// TestTrust connects with and without TLS to members that want it, and that do not.
func TestTrust(t *testing.T) {
	trust, foreign := servertest.NewTrust(t), servertest.NewTrust(t)
	open := start(t, newMember(), func(c *etcd.Config) { c.Listeners[0].TLS = wire.EtcdTLS(trust.Member) })
	closed := start(t, newMember(), func(c *etcd.Config) { c.Listeners[0].TLS, c.Listeners[0].Plain = wire.EtcdTLS(trust.Member), false })
	put := func(s *etcd.Server, with credentials.TransportCredentials) error {
		c, err := grpc.NewClient(s.Addr().String(), grpc.WithTransportCredentials(with))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, err = pb.NewKVClient(c).Put(t.Context(), &pb.PutRequest{Key: []byte("a")})
		return err
	}
	for _, one := range []struct {
		name string
		s    *etcd.Server
		with credentials.TransportCredentials
		want string
	}{
		{"TLS to an open port", open, credentials.NewTLS(tlsOf(trust, true)), ""},
		{"TLS to a closed port", closed, credentials.NewTLS(tlsOf(trust, true)), ""},
		{"plain text to an open port", open, insecure.NewCredentials(), ""},
		{"no certificate", closed, credentials.NewTLS(tlsOf(trust, false)), "Unavailable"},
		{"another CA's certificate", closed, credentials.NewTLS(tlsOf(foreign, true)), "both sides need the same ca.crt"},
	} {
		err := put(one.s, one.with)
		if err == nil != (one.want == "") || err != nil && !strings.Contains(err.Error(), one.want) {
			t.Errorf("%s: %v, want %q", one.name, err, one.want)
		}
	}
	notServed(t, closed)
	if said := ends(t, raw(t, closed, "GET /version HTTP/1.1\r\nHost: x\r\n\r\n")); !strings.Contains(said, "this port takes TLS only") {
		t.Errorf("HTTP without TLS is told %q", said)
	}
	if said := ends(t, raw(t, closed, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")); !strings.Contains(said, "this port takes TLS only") {
		t.Errorf("gRPC without TLS is told %q", said)
	}
	one := tlsOf(trust, true)
	one.NextProtos = []string{"http/1.1"}
	c, err := tls.Dial("tcp", closed.Addr().String(), one)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET /version HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || r.StatusCode != 200 {
		t.Fatalf("HTTP/1.1 over TLS: %v %v", r, err)
	}
}

// TestLarge sends what is over the one limit and over the other, which a member's setting raises both.
func TestLarge(t *testing.T) {
	const most = 4 << 20
	c := pb.NewKVClient(dial(t, start(t, newMember(), nil)))
	raised := pb.NewKVClient(dial(t, start(t, newMember(), func(c *etcd.Config) { c.MaxRequestBytes = most })))
	for _, one := range []struct {
		c    pb.KVClient
		size int
		want string
	}{
		{c, 1_572_764, ""},
		{c, 1_572_844, "rpc error: code = InvalidArgument desc = etcdserver: request is too large"},
		{c, 2_187_274, "rpc error: code = ResourceExhausted desc = grpc: received message larger than max (2187282 vs. 2097152)"},
		{raised, most - 100, ""},
		{raised, most, "rpc error: code = InvalidArgument desc = etcdserver: request is too large"},
		{raised, most + etcd.EtcdRequestOver, "rpc error: code = ResourceExhausted desc = grpc: received message larger than max (4718600 vs. 4718592)"},
	} {
		_, err := one.c.Put(t.Context(), &pb.PutRequest{Key: []byte("k"), Value: make([]byte, one.size)})
		if said := fmt.Sprint(err); said != one.want && (err != nil || one.want != "") {
			t.Errorf("a value of %d bytes: %s, want %q", one.size, said, one.want)
		}
	}
	_, err := c.Put(t.Context(), &pb.PutRequest{Key: bytes.Repeat([]byte("k"), 33000)})
	if said := fmt.Sprint(err); said != "rpc error: code = InvalidArgument desc = etcdserver: request is too large" {
		t.Errorf("a long key: %s", said)
	}
}

// rawCodec sends and takes messages as they are.
type rawCodec struct{}

func (rawCodec) Name() string                         { return "proto" }
func (rawCodec) Marshal(m any) ([]byte, error)        { return m.([]byte), nil }
func (rawCodec) Unmarshal(b []byte, answer any) error { *answer.(*[]byte) = b; return nil }

// TestManyParts: a transaction of more operations than may be is refused before it is decoded, which would take 50 times as much memory
// as it has bytes.
func TestManyParts(t *testing.T) {
	c := dial(t, start(t, newMember(), nil))
	request := bytes.Repeat([]byte{2<<3 | 2, 0}, 750_000) // empty ones, for success
	var answer []byte
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := c.Invoke(t.Context(), "/etcdserverpb.KV/Txn", request, &answer, grpc.ForceCodec(rawCodec{}))
	runtime.ReadMemStats(&after)
	if said := fmt.Sprint(err); said != "rpc error: code = InvalidArgument desc = etcdserver: too many operations in txn request" {
		t.Errorf("it is answered %s", said)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 16*uint64(len(request)) {
		t.Errorf("a request of %d bytes took %d", len(request), took)
	}
	// So is a member's list of addresses.
	addresses := bytes.Repeat([]byte{1<<3 | 2, 0}, etcd.EtcdMemberBytes/2+1)
	for _, name := range []string{"MemberAdd", "MemberUpdate"} {
		err := c.Invoke(t.Context(), "/etcdserverpb.Cluster/"+name, addresses, &answer, grpc.ForceCodec(rawCodec{}))
		if said := fmt.Sprint(err); !strings.Contains(said, "request is too large") {
			t.Errorf("%s of many addresses is answered %s", name, said)
		}
	}
}

// TestWaiting has more requests wait for the member than the limit.
func TestWaiting(t *testing.T) {
	m, hold, came := newMember(), make(chan struct{}), make(chan struct{}, 10)
	m.SetBefore(func(int, int) *kv.Error {
		came <- struct{}{}
		<-hold
		return nil
	})
	c := pb.NewKVClient(dial(t, start(t, m, func(c *etcd.Config) { c.Limits.Requests = 1 })))
	done := make(chan error, 1)
	go func() {
		_, err := c.Range(t.Context(), &pb.RangeRequest{Key: []byte("a")})
		done <- err
	}()
	<-came
	_, err := c.Range(t.Context(), &pb.RangeRequest{Key: []byte("a")})
	if status.Code(err) != codes.ResourceExhausted || status.Convert(err).Message() != "etcdserver: too many requests" {
		t.Errorf("one more: %v", err)
	}
	close(hold)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestRefusals are those that go by the member, and not by the request.
func TestRefusals(t *testing.T) {
	m := newMember()
	c := pb.NewKVClient(dial(t, start(t, m, nil)))
	key := &pb.RangeRequest{Key: []byte("a")}
	local := &pb.RangeRequest{Key: []byte("a"), Serializable: true}
	leader := metadata.AppendToOutgoingContext(t.Context(), "hasleader", "true")
	for _, one := range []struct {
		name string
		raft etcd.RaftStatus
		ctx  context.Context
		q    *pb.RangeRequest
		want string
	}{
		{"no leader", etcd.RaftStatus{}, leader, local, "etcdserver: no leader"},
		{"no leader, and none is asked for", etcd.RaftStatus{}, t.Context(), local, ""},
	} {
		m.set(one.raft)
		_, err := c.Range(one.ctx, one.q)
		if said := status.Convert(err).Message(); said != one.want {
			t.Errorf("%s: %q, want %q", one.name, said, one.want)
		}
	}
	m.set(etcd.RaftStatus{Leader: 1})
	m.SetRefuse(kv.Errorf(kv.Corrupt, "another state"))
	if _, err := c.Range(t.Context(), key); status.Convert(err).Message() != "etcdserver: corrupt cluster" {
		t.Errorf("a member whose state is another one: %v", err)
	}
}

// TestLearners asks members for what learners do not serve: who stays a learner until somebody promotes it, who becomes a voter by
// itself, and those whose own state is older than what has become of them.
func TestLearners(t *testing.T) {
	testlong.Skip(t)
	key := &pb.RangeRequest{Key: []byte("a")}
	ask := func(s *etcd.Server, q *pb.RangeRequest) string {
		_, err := pb.NewKVClient(dial(t, s)).Range(t.Context(), q)
		return status.Convert(err).Message()
	}
	change := func(m *member, c kv.MemberChange) {
		m.Propose(kv.Proposal{ReplyTo: discard{}, Requests: []uint64{1}, Commands: []kv.Command{new(index.Head).AppendMemberChange(nil, &c)}})
	}
	const refusal = "etcdserver: rpc not supported for learner"

	m := newMember()
	change(m, kv.MemberChange{Kind: kv.AddLearner, ID: 2, Name: "two", Peers: []string{"h:1"}, Manual: true})
	change(m, kv.MemberChange{Kind: kv.AddLearner, ID: 3, Name: "three", Peers: []string{"h:2"}})
	is := func(id uint64) *etcd.Server { return start(t, m, func(c *etcd.Config) { c.ID = id }) }
	for _, one := range []struct {
		name    string
		id      uint64
		q       *pb.RangeRequest
		want    string
		learner bool
	}{
		{"a voter", 1, key, "", false},
		{"a learner", 2, key, refusal, true},
		{"a learner's own state", 2, &pb.RangeRequest{Key: []byte("a"), Serializable: true}, "", true},
		{"one that becomes a voter by itself", 3, key, "", false},
		{"one that nobody knows", 4, key, "etcdserver: no leader", false},
	} {
		s := is(one.id)
		if said := ask(s, one.q); said != one.want {
			t.Errorf("%s: %q, want %q", one.name, said, one.want)
		}
		if is, err := pb.NewMaintenanceClient(dial(t, s)).Status(t.Context(), &pb.StatusRequest{}); err != nil || is.IsLearner != one.learner {
			t.Errorf("%s has the status of a learner: %v %v, want %v", one.name, is.GetIsLearner(), err, one.learner)
		}
		if code, body := get(t, s, "/readyz/non_learner"); one.learner && body != "[-]non_learner failed: not supported for learner; "+checks.ProbeNamed("non_learner").Do || (code == 503) != one.learner {
			t.Errorf("%s is not ready: %d %s", one.name, code, body)
		}
		if _, body := get(t, s, "/metrics"); strings.Contains(body, "\netcd_server_is_learner 1\n") != one.learner {
			t.Errorf("%s has the metric of a learner: %v, want %v", one.name, !one.learner, one.learner)
		}
	}

	// It is promoted meanwhile, and hears of it from the leader that it asks.
	m.SetBefore(func(_, reads int) *kv.Error {
		if reads > 0 {
			m.SetBefore(nil)
			change(m, kv.MemberChange{Kind: kv.PromoteMember, ID: 2})
		}
		return nil
	})
	if said := ask(is(2), key); said != "" {
		t.Errorf("one that was promoted while it was away: %q", said)
	}
	// It cannot ask, and what it knows may be old.
	change(m, kv.MemberChange{Kind: kv.AddLearner, ID: 5, Name: "five", Peers: []string{"h:3"}, Manual: true})
	m.SetBefore(func(_, reads int) *kv.Error { return kv.Errorf(kv.Unavailable, "no leader is known") })
	if said := ask(is(5), key); said != "etcdserver: no leader" {
		t.Errorf("a learner that reaches nobody: %q", said)
	}
}

// discard is who is not interested.
type discard struct{}

func (discard) Complete([]kv.Completion) {}

// watching is a stream with a watch that is made.
func watching(ctx context.Context, t *testing.T, c *grpc.ClientConn, create *pb.WatchCreateRequest) pb.Watch_WatchClient {
	t.Helper()
	w, err := pb.NewWatchClient(c).Watch(ctx)
	if err == nil {
		err = w.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: create}})
	}
	if err == nil {
		_, err = w.Recv()
	}
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// TestSlowWatch has clients that read nothing. What one does not take waits in the history, and it gets all of it in the end. What waits
// for the other counts no longer when its stream has ended.
func TestSlowWatch(t *testing.T) {
	s := start(t, newMember(), nil)
	c := dial(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	create := &pb.WatchCreateRequest{Key: []byte("a")}
	w := watching(t.Context(), t, c, create)
	watching(ctx, t, dial(t, s), create)
	const puts, size = 100, 100 << 10
	for i := range puts {
		if _, err := pb.NewKVClient(c).Put(t.Context(), &pb.PutRequest{Key: []byte("a"), Value: bytes.Repeat([]byte{byte(i)}, size)}); err != nil {
			t.Fatal(err)
		}
		if waits := s.Stats().WatchBytes; waits > 4<<20 {
			t.Fatalf("%d bytes wait for two clients that read nothing", waits)
		}
	}
	for i := 0; i < puts; {
		r, err := w.Recv()
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range r.Events {
			if e.Kv.ModRevision != int64(i+2) {
				t.Fatalf("event %d is of revision %d", i, e.Kv.ModRevision)
			}
			i++
		}
	}
	if s.Stats().WatchBytes == 0 {
		t.Error("nothing waits for a client that reads nothing")
	}
	cancel()
	eventually(t, func() bool { return s.Stats().WatchBytes == 0 })
}

// TestFragments has a revision that is larger than a message should be: in pieces for who takes them, and whole for who does not.
func TestFragments(t *testing.T) {
	c := dial(t, start(t, newMember(), nil))
	var ops []*pb.RequestOp
	for i := range 12 {
		put := &pb.PutRequest{Key: []byte{'a', byte(i)}, Value: make([]byte, 120<<10)}
		ops = append(ops, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: put}})
	}
	for range 2 { // the second time there is something that was before
		if _, err := pb.NewKVClient(c).Txn(t.Context(), &pb.TxnRequest{Success: ops}); err != nil {
			t.Fatal(err)
		}
	}
	for _, fragment := range []bool{false, true} {
		create := &pb.WatchCreateRequest{Key: []byte("a"), RangeEnd: []byte("b"), StartRevision: 3, PrevKv: true, Fragment: fragment}
		w := watching(t.Context(), t, c, create)
		events, messages, open := 0, 0, true
		for open {
			r, err := w.Recv()
			if err != nil {
				t.Fatal(err)
			}
			messages++
			events += len(r.Events)
			if open = r.Fragment; r.Header.Revision != 3 {
				t.Errorf("a header of revision %d", r.Header.Revision)
			}
		}
		if events != len(ops) || fragment != (messages > 1) {
			t.Errorf("fragments %v: %d events in %d messages", fragment, events, messages)
		}
	}
}

// TestWaitsForALeader writes and reads while there is no leader: what certainly did not happen is handed over again.
func TestWaitsForALeader(t *testing.T) {
	m := newMember()
	var left atomic.Int64
	m.SetBefore(func(int, int) *kv.Error {
		if left.Add(-1) >= 0 {
			return kv.Errorf(kv.Unavailable, "no leader is known")
		}
		return nil
	})
	c := pb.NewKVClient(dial(t, start(t, m, nil)))
	left.Store(3)
	put, err := c.Put(t.Context(), &pb.PutRequest{Key: []byte("a")})
	if err != nil || put.Header.Revision != 2 {
		t.Errorf("a write: %v %v", put, err)
	}
	left.Store(3)
	if found, err := c.Range(t.Context(), &pb.RangeRequest{Key: []byte("a")}); err != nil || found.Count != 1 {
		t.Errorf("a read: %v %v", found, err)
	}
	m.SetBefore(func(int, int) *kv.Error { return kv.Errorf(kv.Unknown, "who knows") })
	before := m.Proposals.Load()
	_, err = c.Put(t.Context(), &pb.PutRequest{Key: []byte("a")})
	if status.Convert(err).Message() != "etcdserver: request timed out" || m.Proposals.Load() != before+1 {
		t.Errorf("a write that may have happened: %v, handed over %d times", err, m.Proposals.Load()-before)
	}
}

// TestReload replaces certificate and CA while the server runs: the next connection is by the new ones, whom the old CA has signed
// is refused, and a connection that is there goes on.
func TestReload(t *testing.T) {
	trust, next := servertest.NewTrust(t), servertest.NewTrust(t)
	s := start(t, newMember(), func(c *etcd.Config) { c.Listeners[0].TLS, c.Listeners[0].Plain = wire.EtcdTLS(trust.Member), false })
	put := func(c *grpc.ClientConn) error {
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		defer cancel()
		_, err := pb.NewKVClient(c).Put(ctx, &pb.PutRequest{Key: []byte("a")})
		return err
	}
	dialBy := func(by servertest.Trust) *grpc.ClientConn {
		c, err := grpc.NewClient(s.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(tlsOf(by, true))))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	before := dialBy(trust)
	if err := put(before); err != nil {
		t.Fatal(err)
	}
	if err := put(dialBy(next)); err == nil {
		t.Fatal("another CA's client was let in")
	}
	copyFile := func(name string) {
		b, err := os.ReadFile(filepath.Join(next.Dir, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(trust.Dir, name), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"member-test.crt", "member-test.key"} {
		copyFile(name)
		if err := put(dialBy(next)); err == nil {
			t.Fatal("another CA's client was let in, before its CA was there")
		}
	}
	copyFile("ca.crt")
	if err := put(dialBy(next)); err != nil {
		t.Errorf("the new CA's client: %v", err)
	}
	old := tlsOf(trust, true)
	old.VerifyConnection = nil // it would refuse the new member's certificate itself
	if c, err := tls.Dial("tcp", s.Addr().String(), old); err == nil {
		_ = c.SetDeadline(time.Now().Add(wait))
		if _, err = c.Read(make([]byte, 1)); err == nil {
			t.Error("the old CA's client was let in")
		}
		_ = c.Close()
	}
	if err := put(before); err != nil {
		t.Errorf("the connection that was there: %v", err)
	}
}
