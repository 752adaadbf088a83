package server_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"qkv/index"
	"qkv/log/limits"
	"qkv/net/server"
	"qkv/net/server/servertest"
	"qkv/net/wire"
)

// slowMember holds what it is asked until it is released.
type slowMember struct {
	*servertest.Member
	mu   sync.Mutex
	held []index.Proposal
}

func (m *slowMember) Propose(p index.Proposal) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held = append(m.held, p)
}

func (m *slowMember) count() (n int) {
	for _, p := range m.held {
		n += len(p.Requests)
	}
	return n
}

// release lets requests go, when there are so many.
func (m *slowMember) release(requests int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.count() < requests {
		m.mu.Unlock()
		time.Sleep(time.Millisecond)
		m.mu.Lock()
	}
	for _, p := range m.held {
		m.Member.Propose(p)
	}
	m.held = nil
}

func TestRequestLimits(t *testing.T) {
	for name, x := range map[string]struct {
		bounds server.Bounds
		want   string
	}{
		"requests":            {server.Bounds{RequestsInflight: 10}, "this connection has 10 requests under way, its limit"},
		"bytes":               {server.Bounds{RequestBytesInflight: 10_400}, "more than 10400 bytes of requests under way"},
		"bytes of the member": {server.Bounds{MemberBytesInflight: 10_400}, "this member would have more than 10400 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			trust, slow := servertest.NewTrust(t), &slowMember{Member: servertest.NewMember()}
			e := &endpoint{trust: trust, member: slow.Member}
			e.server = servertest.Start(t, trust, slow, func(c *server.Config) { c.Bounds = x.bounds })
			r := e.raw(t)
			for i := range uint64(15) {
				r.send(put(i, "k", strings.Repeat("v", 1000)))
			}
			for i := uint64(10); i < 15; i++ {
				p := r.want(i, wire.Overloaded)
				if err := p.Failed(); !strings.Contains(err.Message, x.want) || !err.Certain() {
					t.Fatal(err)
				}
			}
			r.send(get(20, "k", wire.Serializable)) // needs no room
			r.want(20, wire.OK)
			slow.release(10)
			for i := range uint64(10) {
				r.want(i, wire.OK)
			}
			r.send(put(21, "k", "v"))
			r.send(get(22, "k", wire.Serializable))
			r.want(22, wire.OK)
			slow.release(1)
			r.want(21, wire.OK)
			e.settled(t)
		})
	}
}

// Requests of a client that went count until the member is done with them.
func TestClientGoes(t *testing.T) {
	trust, slow := servertest.NewTrust(t), &slowMember{Member: servertest.NewMember()}
	e := &endpoint{trust: trust, member: slow.Member}
	e.server = servertest.Start(t, trust, slow, nil)
	r := e.raw(t)
	for i := range uint64(10) {
		r.send(put(i, "k", "v"))
	}
	for e.server.Stats().Requests < 10 {
		time.Sleep(time.Millisecond)
	}
	_ = r.conn.CloseWithError(0, "")
	for e.server.Stats().Connections > 0 {
		time.Sleep(time.Millisecond)
	}
	if s := e.server.Stats(); s.Requests != 10 {
		t.Errorf("%+v", s)
	}
	slow.release(10)
	e.settled(t)
}

func TestStreamLimit(t *testing.T) {
	e := newEndpoint(t, func(c *server.Config) { c.Bounds.Streams = 3 })
	r := e.raw(t)
	streams := []*raw{r}
	for range 2 {
		streams = append(streams, rawOf(t, r.conn))
	}
	if _, err := r.conn.OpenStream(); err == nil {
		t.Fatal("a fourth stream")
	}
	if _, err := r.conn.OpenUniStream(); err == nil {
		t.Fatal("a stream of one direction")
	}
	for i, s := range streams {
		s.send(put(uint64(i), "k", "v"))
		s.want(uint64(i), wire.OK)
	}
	_ = streams[2].stream.Close() // makes room, when both directions are over
	if _, err := streams[2].next(); err != io.EOF {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := r.conn.OpenStreamSync(ctx); err != nil {
		t.Errorf("after one was closed: %v", err)
	}
}

func TestConnectionLimit(t *testing.T) {
	e := newEndpoint(t, func(c *server.Config) { c.Bounds.Connections = 3 })
	var all []*raw
	for i := range uint64(3) {
		r := e.raw(t)
		r.send(put(i, "k", "v"))
		r.want(i, wire.OK)
		all = append(all, r)
	}
	over := e.raw(t)
	if reason := over.closed(wire.CloseLimit); reason != "this member serves 3 client connections, its limit" {
		t.Error(reason)
	}
	_ = all[0].conn.CloseWithError(0, "")
	for e.server.Stats().Connections == 3 {
		time.Sleep(time.Millisecond)
	}
	r := e.raw(t)
	r.send(put(9, "k", "v"))
	r.want(9, wire.OK)
}

// Handshakes over the limit are refused unheard, and those under way are forgotten when nothing comes of them.
func TestHandshakeLimit(t *testing.T) {
	e := newEndpoint(t, func(c *server.Config) { c.Bounds.Handshakes = 5 })
	var wg sync.WaitGroup
	var mu sync.Mutex
	refused := 0
	for range 40 {
		wg.Go(func() {
			conn, err := e.dial(t)
			mu.Lock()
			defer mu.Unlock()
			var transport *quic.TransportError
			if err != nil && errors.As(err, &transport) && transport.ErrorCode == quic.ConnectionRefused {
				refused++
			} else if err != nil {
				t.Error(err)
			} else {
				_ = conn.CloseWithError(0, "")
			}
		})
	}
	wg.Wait()
	for start := time.Now(); e.server.Stats().Handshakes > 0; time.Sleep(time.Millisecond) {
		if time.Since(start) > 5*time.Second {
			t.Fatalf("%+v", e.server.Stats())
		}
	}
	r := e.raw(t)
	r.send(put(1, "k", "v"))
	r.want(1, wire.OK)
	t.Logf("%d of 40 refused", refused)
}

// With many handshakes under way a client must first show its address, and is served as before.
func TestRetry(t *testing.T) {
	e := newEndpoint(t, nil)
	e.server.AddHandshakes(limits.ClientHandshakesTrusted)
	defer e.server.AddHandshakes(-limits.ClientHandshakesTrusted)
	r := e.raw(t)
	r.send(put(1, "k", "v"))
	r.want(1, wire.OK)
}

// A client that takes no answers is not read from, and closed after a while; the member is not held up.
func TestSlowClient(t *testing.T) {
	e := newEndpoint(t, func(c *server.Config) { c.Bounds.WriteTimeout = time.Second })
	good, slow := e.raw(t), e.raw(t)
	good.send(put(1, "large", strings.Repeat("x", 1<<20)))
	good.want(1, wire.OK)
	go func() {
		for i := range uint64(1000) { // a gigabyte of answers
			flags := wire.Flags(0)
			if i%2 == 0 {
				flags = wire.Serializable
			}
			if _, err := slow.stream.Write(get(i, "large", flags)); err != nil {
				return
			}
		}
	}()
	for i := range uint64(100) {
		good.send(put(i, "k", "v"))
		good.want(i, wire.OK)
	}
	if reason := slow.closed(wire.CloseSlow); reason != "nothing of the answers was taken for 1s" {
		t.Error(reason)
	}
	e.settled(t)
}

// A large request must arrive as a whole in time.
func TestSlowRequest(t *testing.T) {
	e := newEndpoint(t, func(c *server.Config) { c.Bounds.WriteTimeout = 300 * time.Millisecond })
	r := e.raw(t)
	whole := put(1, "k", strings.Repeat("v", 1<<20))
	r.send(whole)
	r.want(1, wire.OK)
	time.Sleep(400 * time.Millisecond) // no deadline is left
	r.send(whole[:100_000])
	if reason := r.closed(wire.CloseSlow); !strings.Contains(reason, "did not arrive as a whole in 300ms") {
		t.Error(reason)
	}
}

// Only clients and members of the own trust domain come in.
func TestWhoComesIn(t *testing.T) {
	e := newEndpoint(t, nil)
	foreign := servertest.NewTrust(t)
	for name, credentials := range map[string]*wire.Credentials{"a client": e.trust.Client, "a member": e.trust.Member} {
		e.trust.Client = credentials
		r := e.raw(t)
		r.send(put(1, "k", "v"))
		if _, err := r.next(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	config := wire.ClientTLS(foreign.Client, wire.ProtocolClient, wire.Identity{Class: wire.ClassMember})
	config.VerifyConnection = nil
	conn, err := quic.DialAddr(t.Context(), servertest.Endpoint(e.server), config, nil)
	if err == nil {
		<-conn.Context().Done()
		err = context.Cause(conn.Context())
	}
	var transport *quic.TransportError
	if !errors.As(err, &transport) || !transport.Remote || !transport.ErrorCode.IsCryptoError() {
		t.Errorf("a foreign client: %v", err)
	}
	config = wire.ClientTLS(e.trust.Client, wire.ProtocolPeer, wire.Identity{Class: wire.ClassMember})
	if _, err := quic.DialAddr(t.Context(), servertest.Endpoint(e.server), config, nil); err == nil {
		t.Error("a peer's protocol was taken")
	}
}

func TestCloseWhileBusy(t *testing.T) {
	e := newEndpoint(t, nil)
	var wg sync.WaitGroup
	for range 5 {
		r := e.raw(t)
		wg.Go(func() {
			for i := uint64(0); ; i++ {
				if _, err := r.stream.Write(put(i, "k", "v")); err != nil {
					return
				}
				if _, err := r.next(); err != nil {
					return
				}
			}
		})
	}
	time.Sleep(30 * time.Millisecond)
	if err := e.server.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if s := e.server.Stats(); s.Requests != 0 || s.Connections != 0 || s.Handshakes != 0 {
		t.Errorf("%+v", s)
	}
}

// A client that is refused finds its reason in the member's log, at most once a second.
func TestRefusalIsLogged(t *testing.T) {
	var out syncBuffer
	e := newEndpoint(t, func(c *server.Config) { c.Logger = slog.New(slog.NewTextHandler(&out, nil)) })
	e.trust.Client = servertest.NewTrust(t).Client
	config := wire.ClientTLS(e.trust.Client, wire.ProtocolClient, wire.Identity{Class: wire.ClassMember})
	config.VerifyConnection = nil
	for range 3 {
		conn, err := quic.DialAddr(t.Context(), servertest.Endpoint(e.server), config, nil)
		if err == nil {
			<-conn.Context().Done()
		}
	}
	for start := time.Now(); !strings.Contains(out.String(), "a client is refused"); time.Sleep(time.Millisecond) {
		if time.Since(start) > 5*time.Second {
			t.Fatalf("logged: %q", out.String())
		}
	}
	if s := out.String(); strings.Count(s, "refused") != 1 || !strings.Contains(s, "is of another CA") || !strings.Contains(s, "remote=127.0.0.1:") {
		t.Error(s)
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

// twiceMember answers each request twice, and one that nobody asked.
type twiceMember struct{ *servertest.Member }

func (m twiceMember) Propose(p index.Proposal) {
	m.Member.Propose(p)
	again := make([]index.Done, 0, len(p.Requests)+1)
	for _, request := range p.Requests {
		again = append(again, index.Done{Request: request, Kind: index.Applied})
	}
	p.From.Deposit(append(again, index.Done{Request: 1 << 60}))
}

// A fault in the member is told, and costs no client an answer.
func TestAnsweredTwice(t *testing.T) {
	var out syncBuffer
	trust, m := servertest.NewTrust(t), servertest.NewMember()
	e := &endpoint{trust: trust, member: m}
	e.server = servertest.Start(t, trust, twiceMember{m}, func(c *server.Config) { c.Logger = slog.New(slog.NewTextHandler(&out, nil)) })
	r := e.raw(t)
	for i := range uint64(20) {
		r.send(put(i, "k", "v"))
		r.want(i, wire.OK)
	}
	e.settled(t)
	if s := out.String(); !strings.Contains(s, "the member answered a request twice") {
		t.Error(s)
	}
}
