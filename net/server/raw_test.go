package server_test

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	mrand "math/rand/v2"
	"net"
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

// endpoint is a server and what a client needs to misbehave at it.
type endpoint struct {
	trust  servertest.Trust
	member *servertest.Member
	server *server.Server
}

func newEndpoint(t testing.TB, change func(*server.Config)) *endpoint {
	e := &endpoint{trust: servertest.NewTrust(t), member: servertest.NewMember()}
	e.server = servertest.Start(t, e.trust, e.member, change)
	return e
}

// dial makes a connection, from a port of its own.
func (e *endpoint) dial(t testing.TB) (*quic.Conn, error) {
	t.Helper()
	config := wire.ClientTLS(e.trust.Client, wire.ProtocolClient, wire.Identity{Class: wire.ClassMember})
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	conn, err := quic.DialAddr(ctx, servertest.Endpoint(e.server), config, &quic.Config{MaxIdleTimeout: 10 * time.Second})
	if err == nil {
		t.Cleanup(func() { _ = conn.CloseWithError(0, "") })
	}
	return conn, err
}

// raw is one stream of a client that writes what it likes.
type raw struct {
	t      testing.TB
	conn   *quic.Conn
	stream *quic.Stream
	frames *wire.FrameReader
}

func (e *endpoint) raw(t testing.TB) *raw {
	t.Helper()
	conn, err := e.dial(t)
	if err != nil {
		t.Fatal(err)
	}
	return rawOf(t, conn)
}

func rawOf(t testing.TB, conn *quic.Conn) *raw {
	t.Helper()
	stream, err := conn.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	return &raw{t: t, conn: conn, stream: stream, frames: wire.NewFrameReader(stream, limits.ResponseBytes)}
}

func (r *raw) send(b []byte) {
	r.t.Helper()
	if _, err := r.stream.Write(b); err != nil {
		r.t.Fatal(err)
	}
}

// next returns the next answer.
func (r *raw) next() (wire.Response, error) {
	_ = r.stream.SetReadDeadline(time.Now().Add(5 * time.Second))
	for {
		frame, err := r.frames.Next()
		if err != nil {
			return wire.Response{}, err
		}
		if frame != nil {
			return wire.ReadResponse(frame)
		}
		if err := r.frames.Fill(); err != nil {
			return wire.Response{}, err
		}
	}
}

// want fails unless the next answer is to id, with the code.
func (r *raw) want(id uint64, code wire.Code) wire.Response {
	r.t.Helper()
	p, err := r.next()
	if err != nil || p.ID != id || p.Code != code {
		r.t.Fatalf("answer %d %v, wanted %d %v: %v", p.ID, p.Code, id, code, err)
	}
	return p
}

// closed returns why the connection was closed, by the member.
func (r *raw) closed(code wire.CloseCode) string {
	r.t.Helper()
	select {
	case <-r.conn.Context().Done():
	case <-time.After(5 * time.Second):
		r.t.Fatal("the connection is still open")
	}
	var app *quic.ApplicationError
	if err := context.Cause(r.conn.Context()); !errors.As(err, &app) || !app.Remote || app.ErrorCode != quic.ApplicationErrorCode(code) {
		r.t.Fatalf("closed by %v, wanted code %d", err, code)
	}
	return app.ErrorMessage
}

func put(id uint64, key, value string) []byte {
	return wire.AppendRequest(nil, id, wire.OpPut, time.Second, wire.AppendPutBody(nil, []byte(key), []byte(value), 0))
}

func get(id uint64, key string, flags wire.Flags) []byte {
	return wire.AppendRequest(nil, id, wire.OpRange, time.Second, wire.AppendRangeBody(nil, []byte(key), nil, 0, 0, flags))
}

// settled waits until nothing is under way.
func (e *endpoint) settled(t testing.TB) {
	t.Helper()
	for start := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		s := e.server.Stats()
		if s.Requests == 0 && s.RequestBytes == 0 {
			return
		}
		if time.Since(start) > 5*time.Second {
			t.Fatalf("still under way: %+v", s)
		}
	}
}

func TestOneBatch(t *testing.T) {
	e := newEndpoint(t, nil)
	r := e.raw(t)
	var all []byte
	for i := range uint64(100) {
		all = append(all, put(i, "k", fmt.Sprint(i))...)
	}
	r.send(append(all, get(100, "k", 0)...))
	for i := range uint64(100) {
		p := r.want(i, wire.OK)
		if revision, _, err := p.Written(); err != nil || revision != int64(i)+2 {
			t.Fatalf("put %d: revision %d, %v", i, revision, err)
		}
	}
	p := r.want(100, wire.OK)
	var page wire.Range
	if err := p.Range(&page); err != nil || page.Revision != 101 || string(page.Pairs[0].Value) != "99" {
		t.Fatalf("%+v, %v", page, err)
	}
	if n := e.member.Proposals.Load(); n > 10 {
		t.Errorf("%d proposals for a hundred puts that came together", n)
	}
	e.settled(t)
}

// What cannot be understood is answered, and the stream goes on.
func TestStreamGoesOn(t *testing.T) {
	e := newEndpoint(t, func(c *server.Config) { c.ValueBytes = 10 })
	r := e.raw(t)
	r.send(wire.AppendFrame(nil, []byte{0x93, 7, 99, 1})) // op 99
	p := r.want(7, wire.BadRequest)
	if err := p.Failed(); !strings.Contains(err.Message, "op 99 is not known here") {
		t.Error(err)
	}
	r.send(wire.AppendFrame(nil, []byte{0x94, 8, 1, 1, 1})) // a put of too little
	r.want(8, wire.BadRequest)
	r.send(put(9, "", ""))
	r.want(9, wire.EmptyKey)
	r.send(put(10, "k", "longer than ten bytes"))
	r.want(10, wire.ValueTooLarge)
	r.send(put(11, "k", "v"))
	r.want(11, wire.OK)
	r.send(put(12, "k", "1"))
	r.send(put(12, "k", "2")) // the same id twice: two answers, and nobody else is troubled
	r.want(12, wire.OK)
	r.want(12, wire.OK)
	r.send(get(13, "k", wire.Serializable))
	r.want(13, wire.OK)
	e.settled(t)
}

func TestValueLimit(t *testing.T) {
	_, err := server.Start(server.Config{
		Address: "127.0.0.1:0", Credentials: servertest.NewTrust(t).Member, Member: servertest.NewMember(), ValueBytes: limits.ValueBytes + 1,
	})
	if err == nil || !strings.Contains(err.Error(), "between 1 and 1572864") {
		t.Error(err)
	}
}

func TestAddress(t *testing.T) {
	e := newEndpoint(t, nil)
	config := server.Config{Address: servertest.Endpoint(e.server), Credentials: e.trust.Member, Member: e.member}
	if _, err := server.Start(config); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("an address in use: %v", err)
	}
	config.Address = "nowhere"
	if _, err := server.Start(config); err == nil || !strings.Contains(err.Error(), `"nowhere", is none`) {
		t.Errorf("no address: %v", err)
	}
}

// What is no frame ends the connection, with the reason in words; nobody else notices.
func TestNoFrames(t *testing.T) {
	e := newEndpoint(t, nil)
	good := e.raw(t)
	for name, x := range map[string]struct {
		bytes []byte
		want  string
	}{
		"a huge length":      {binary.AppendUvarint(nil, 1<<40), "its length of 1099511627776 bytes is over the limit"},
		"a length of 0":      {[]byte{0}, "its length is 0"},
		"an endless length":  {[]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), "its length has no end"},
		"no array":           {wire.AppendFrame(nil, []byte{0xc0}), "a request without an id"},
		"a hostile array":    {wire.AppendFrame(nil, []byte{0xdd, 0xff, 0xff, 0xff, 0xff}), "a request without an id"},
		"HTTP":               {[]byte("GET / HTTP/1.1\r\nHost: example.org\r\nAccept: */*\r\nUser-Agent: a browser that lost its way, and more\r\n"), "a request without an id"},
		"a good one, before": {append(put(1, "k", "v"), 0), "its length is 0"},
	} {
		r := e.raw(t)
		r.send(x.bytes)
		if reason := r.closed(wire.CloseProtocol); !strings.Contains(reason, x.want) {
			t.Errorf("%s: %s", name, reason)
		}
	}
	good.send(put(1, "k", "v"))
	good.want(1, wire.OK)
	e.settled(t)
}

// Random bytes, pieces of frames and resets from many clients at once: the others are served, and nothing is left.
func TestGarbageFlood(t *testing.T) {
	e := newEndpoint(t, nil)
	good := e.raw(t)
	var wg sync.WaitGroup
	for seed := range uint64(8) {
		wg.Go(func() {
			rng := mrand.New(mrand.NewPCG(seed, 1))
			for range 10 {
				conn, err := e.dial(t)
				if err != nil {
					continue
				}
				for range 4 {
					stream, err := conn.OpenStream()
					if err != nil {
						break
					}
					_, _ = stream.Write(garbage(rng))
					switch rng.IntN(3) {
					case 0:
						_ = stream.Close()
					case 1:
						stream.CancelWrite(1)
						stream.CancelRead(1)
					}
				}
				time.Sleep(time.Duration(rng.IntN(10)) * time.Millisecond)
				_ = conn.CloseWithError(0, "")
			}
		})
	}
	for i := range uint64(200) {
		good.send(put(i, "good", "v"))
		good.want(i, wire.OK)
	}
	wg.Wait()
	// Packets that are no QUIC at all.
	socket, err := net.Dial("udp", servertest.Endpoint(e.server))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	junk := make([]byte, 1400)
	for range 1000 {
		_, _ = rand.Read(junk)
		_, _ = socket.Write(junk[:1+mrand.IntN(1400)])
	}
	good.send(put(1000, "good", "v"))
	good.want(1000, wire.OK)
	e.settled(t)
}

// garbage is a few frames of which some are cut, turned, or no frames.
func garbage(rng *mrand.Rand) []byte {
	var b []byte
	for range rng.IntN(20) {
		frame := put(rng.Uint64N(1000), "garbage", strings.Repeat("x", rng.IntN(2000)))
		if rng.IntN(2) == 0 {
			frame = get(rng.Uint64N(1000), "good", wire.Flags(rng.IntN(32)))
		}
		switch rng.IntN(6) {
		case 0:
			frame = frame[:rng.IntN(len(frame))]
		case 1:
			frame[rng.IntN(len(frame))] ^= byte(1 << rng.IntN(8))
		case 2:
			for i := range frame {
				frame[i] = byte(rng.Uint32())
			}
		}
		b = append(b, frame...)
	}
	return b
}

// A stream whose client has no more requests gets all answers, and then its end.
func TestHalfClose(t *testing.T) {
	e := newEndpoint(t, nil)
	r := e.raw(t)
	for i := range uint64(10) {
		r.send(put(i, "k", "v"))
	}
	_ = r.stream.Close()
	for i := range uint64(10) {
		r.want(i, wire.OK)
	}
	if p, err := r.next(); err != io.EOF {
		t.Errorf("after the last: %v %v", p, err)
	}
	silent := rawOf(t, r.conn) // asks nothing, and ends
	_ = silent.stream.Close()
	if p, err := silent.next(); err != io.EOF {
		t.Errorf("of a stream without requests: %v %v", p, err)
	}
	cut := rawOf(t, r.conn)
	cut.send(put(1, "k", "v")[:5])
	_ = cut.stream.Close()
	if reason := cut.closed(wire.CloseProtocol); !strings.Contains(reason, "the stream ended within it") {
		t.Error(reason)
	}
	e.settled(t)
}

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
	e := newEndpoint(t, func(c *server.Config) { c.Bounds.WriteTimeout = 300 * time.Millisecond })
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
	if reason := slow.closed(wire.CloseSlow); reason != "nothing of the answers was taken for 300ms" {
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
