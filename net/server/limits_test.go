package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/testlong"
	"qkv/internal/testretry"
	"qkv/net/server"
	"qkv/net/server/servertest"
	"qkv/net/wire"
)

// slowMember holds what it is asked until it is released.
type slowMember struct {
	*servertest.Member
	mu   sync.Mutex
	held []kv.Proposal
}

func (m *slowMember) Propose(p kv.Proposal) {
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

// await waits until the member has so many requests. That the endpoint has counted them says less: one whose client goes meanwhile
// is not handed over.
func (m *slowMember) await(requests int) {
	for begun := time.Now(); ; time.Sleep(time.Millisecond) {
		m.mu.Lock()
		n := m.count()
		m.mu.Unlock()
		if n >= requests {
			return
		}
		if time.Since(begun) > wait {
			panic(fmt.Sprintf("the member has %d requests, and not %d", n, requests))
		}
	}
}

// release lets requests go, when there are so many.
func (m *slowMember) release(requests int) {
	m.await(requests)
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.held {
		m.Member.Propose(p)
	}
	m.held = nil
}

// Requests past a limit are refused; those of another stream are taken, and so are more when others have ended.
func TestRequestLimits(t *testing.T) {
	for name, x := range map[string]struct {
		change func(l *limits.Clients)
		want   string
	}{
		"requests": {func(l *limits.Clients) { l.RequestsInflight = 20 }, "this stream has 10 in progress and its connection 10; the limit for both together is 20"},
		"bytes":    {func(l *limits.Clients) { l.Bytes = 128 << 10 }, "bytes: this client has used its share of the 131072 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			testretry.Longer(t, 300*time.Millisecond, func(t testing.TB, limit time.Duration) {
				requestLimit(t, x.want, func(c *server.Config) {
					x.change(&c.Limits)
					c.Limits.WriteTimeout = limit // a large buffer is kept for as long
				})
			})
		})
	}
}

func requestLimit(t testing.TB, want string, change func(*server.Config)) {
	trust, slow := servertest.NewTrust(t), &slowMember{Member: servertest.NewMember()}
	e := &endpoint{trust: trust, member: slow.Member}
	e.server = servertest.Start(t, trust, slow, change)
	r := e.raw(t)
	const all = 40
	for i := range uint64(all) {
		r.send(put(i, "k", strings.Repeat("v", 1000)))
	}
	p, err := r.next()
	if err != nil {
		t.Fatal(err)
	}
	taken := p.ID // those before the first that is refused
	if err := p.Failed(); err == nil || !strings.Contains(err.Message, want) || !err.Certain() || taken < 5 {
		t.Fatalf("%d: %v", taken, err)
	}
	for i := taken + 1; i < all; i++ {
		r.want(i, kv.Overloaded)
	}
	other := rawOf(t, r.conn) // has a share of its own
	other.send(getSerializable(20, "k"))
	other.want(20, kv.OK)
	slow.release(int(taken))
	for i := range taken {
		r.want(i, kv.OK)
	}
	r.send(put(taken, "k", "v"))
	slow.release(1)
	r.want(taken, kv.OK)
	e.idle(t)
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
	slow.await(10)
	_ = r.conn.CloseWithError(0, "")
	for e.server.Stats().Connections > 0 {
		time.Sleep(time.Millisecond)
	}
	if s := e.server.Stats(); s.Requests != 10 {
		t.Errorf("%+v", s)
	}
	slow.release(10)
	e.idle(t)
}

func TestStreamLimit(t *testing.T) {
	e := newEndpoint(t, func(c *server.Config) { c.Limits.Streams = 3 })
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
		s.want(uint64(i), kv.OK)
	}
	_ = streams[2].stream.Close() // makes room, when both directions are over
	if _, err := streams[2].next(); err != io.EOF {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	if _, err := r.conn.OpenStreamSync(ctx); err != nil {
		t.Errorf("after one was closed: %v", err)
	}
}

// A client over the limit is refused as long as no connection of its identity is idle, and gets the place of the one that was
// idle for longest.
func TestConnectionLimit(t *testing.T) {
	trust := servertest.NewTrust(t)
	for name, placeIdle := range map[string]time.Duration{"none is idle": time.Hour, "all are idle": 0} {
		t.Run(name, func(t *testing.T) {
			slow := &slowMember{Member: servertest.NewMember()}
			e := &endpoint{trust: trust, member: slow.Member}
			e.server = servertest.Start(t, trust, slow, func(c *server.Config) {
				c.Limits.Connections = 3
				c.Limits.PlaceIdle = placeIdle
			})
			var all []*raw
			for i := range uint64(3) {
				r := e.raw(t)
				r.send(get(i, "k"))
				r.want(i, kv.OK)
				all = append(all, r)
			}
			all[0].send(put(7, "k", "v")) // is under way until it is released
			slow.await(1)
			all[1].send(get(8, "k"))
			all[1].want(8, kv.OK)
			if placeIdle > 0 {
				if reason := e.refused(t); reason != "too many connections: this member serves 3 client connections, its limit, and none of qkv://test/client/test is idle" {
					t.Error(reason)
				}
			} else {
				late := e.raw(t)
				late.send(get(9, "k"))
				late.want(9, kv.OK)
				if reason := all[2].closed(wire.CloseLimit); reason != "too many connections: this member serves 3 client connections, its limit; this idle one was closed for another client" {
					t.Error(reason)
				}
			}
			// Another identity needs nobody to be idle.
			member := *e
			member.trust.Client = trust.Member
			other := member.raw(t)
			other.send(get(10, "k"))
			other.want(10, kv.OK)
			slow.release(1)
			e.idle(t)
		})
	}
}

// Connections beyond those that have a wide window can make the member keep less of what it has not read.
func TestWindows(t *testing.T) {
	e := newEndpoint(t, nil)
	hold := make(chan struct{})
	defer close(hold)
	before := servertest.Before(func(int, int) *kv.Error {
		<-hold
		return nil
	})
	unread := func(r *raw, least int) (taken int) {
		r.send(put(1, "k", "v")) // the reader waits for the member, and reads nothing more
		for still := 0; still < 3 || taken < least && still < 30; still++ {
			_ = r.stream.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
			n, err := r.stream.Write(make([]byte, 2<<20))
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal(err)
			}
			if taken += n; n > 0 {
				still = 0
			}
		}
		return taken
	}
	first := e.raw(t)
	for range server.ClientConnectionsWide - 1 {
		e.raw(t)
	}
	late := e.raw(t)
	e.member.SetBefore(before)
	const leastWide, leastNarrow = limits.ClientStreamWindow - 100<<10, server.MemberNarrowWindow / 2
	wide, narrow := unread(first, leastWide), unread(late, leastNarrow)
	if wide < leastWide || wide > limits.ClientStreamWindow+100<<10 || narrow > server.MemberNarrowWindow+20<<10 || narrow < leastNarrow {
		t.Errorf("a member that reads nothing took %d bytes of the first connection, and %d of one that came late", wide, narrow)
	}
}

// Handshakes over the limit are refused unheard, and those under way are forgotten when nothing comes of them.
func TestHandshakeLimit(t *testing.T) { testretry.Again(t, 3, handshakeLimit) } // on a busy host one is silent for too long

func handshakeLimit(t testing.TB) {
	e := newEndpoint(t, func(c *server.Config) { c.Limits.Handshakes = 5 })
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
		if time.Since(start) > wait {
			t.Fatalf("%+v", e.server.Stats())
		}
	}
	r := e.raw(t)
	r.send(put(1, "k", "v"))
	r.want(1, kv.OK)
	t.Logf("%d of 40 refused", refused)
}

// Handshakes that flood the port from one address keep out nobody else. Who is kept out is told why, and so is the log.
func TestHandshakesOfOneAddress(t *testing.T) {
	var logged syncBuffer
	e := newEndpoint(t, func(c *server.Config) { c.Logger = slog.New(slog.NewTextHandler(&logged, nil)) })
	end := e.server.BeginHandshakes(limits.ClientHandshakes, func(int) net.IP { return net.IPv4(127, 0, 0, 1) })
	if _, err := e.dial(t); err == nil || !strings.Contains(wire.Explain(err).Error(), "it accepts no more handshakes for now") {
		t.Errorf("from the same address: %v", wire.Explain(err))
	}
	if !strings.Contains(logged.String(), "64 handshakes from 127.0.0.1/32 are under way, the limit for one address") {
		t.Errorf("the log says %s", logged.String())
	}
	config := wire.ClientTLS(e.trust.Client, wire.ProtocolClient, wire.Identity{Class: wire.ClassMember})
	socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2)})
	if err != nil {
		t.Skipf("no second address on loopback: %v", err)
	}
	defer socket.Close()
	to, _ := net.ResolveUDPAddr("udp", servertest.Endpoint(e.server))
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	other, err := quic.Dial(ctx, socket, to, config, nil)
	if err != nil {
		t.Fatalf("from another address: %v", err)
	}
	_ = other.CloseWithError(0, "")
	end()
	r := e.raw(t)
	r.send(put(1, "k", "v"))
	r.want(1, kv.OK)
}

// With a quarter of all handshakes under way a new one has less time, and then its usual time again.
func TestHandshakesHurry(t *testing.T) { testretry.Again(t, 3, handshakesHurry) } // on a busy host its own is silent for too long

func handshakesHurry(t testing.TB) {
	e := newEndpoint(t, nil)
	for range 2 {
		if took := e.server.HandshakeTimeout(t); took != server.ClientHandshakeTimeout {
			t.Errorf("a handshake has %v, want %v", took, server.ClientHandshakeTimeout)
		}
		end := e.server.BeginHandshakes(limits.ClientHandshakes/4, func(i int) net.IP { return net.IPv4(10, 9, byte(i>>8), byte(i)) })
		if took := e.server.HandshakeTimeout(t); took != limits.HandshakeHurry {
			t.Errorf("a handshake beside many has %v, want %v", took, limits.HandshakeHurry)
		}
		r := e.raw(t)
		r.send(put(1, "k", "v"))
		r.want(1, kv.OK)
		end()
	}
}

// With many handshakes under way a client must first show its address, and is served as before.
func TestRetry(t *testing.T) {
	e := newEndpoint(t, nil)
	defer e.server.BeginHandshakes(server.ClientHandshakesTrusted, func(i int) net.IP { return net.IPv4(10, 9, 0, byte(i)) })()
	r := e.raw(t)
	r.send(put(1, "k", "v"))
	r.want(1, kv.OK)
}

// Streams whose answers are not taken are reset after a while, and hold up neither the member nor the other streams of
// their connection, which are not reset.
func TestSlowStreams(t *testing.T) { testretry.Longer(t, 2*limits.ClientStall, slowStreams) }

func slowStreams(t testing.TB, limit time.Duration) {
	e := newEndpoint(t, func(c *server.Config) { c.Limits.WriteTimeout = limit })
	good := e.raw(t)
	good.send(put(1, "large", strings.Repeat("x", 1<<20)))
	good.want(1, kv.OK)
	var slow []*raw
	for i := range 50 {
		r := rawOf(t, good.conn)
		var all []byte
		for id := range uint64(10) {
			all = append(all, getWith(id, kv.Range{Key: []byte("large"), Serializable: i%2 == 1})...)
		}
		r.send(all)
		slow = append(slow, r)
	}
	for begun := time.Now(); e.server.Stats().Bytes < 30<<20; time.Sleep(time.Millisecond) {
		if time.Since(begun) > limit {
			t.Fatalf("%+v", e.server.Stats())
		}
	}
	for i := range uint64(20) {
		good.send(put(i, "k", "v"))
		good.want(i, kv.OK)
	}
	if s := e.server.Stats(); s.Bytes < 30<<20 {
		t.Errorf("20 puts beside streams that are not read were answered when those had been reset: %+v", s)
	}
	begun := time.Now()
	for i := uint64(0); e.server.Stats().Bytes > 3<<20; i++ {
		good.send(put(i, "k", "v"))
		good.want(i, kv.OK)
		if time.Sleep(time.Millisecond); time.Since(begun) > limit+wait {
			t.Fatalf("%+v", e.server.Stats())
		}
	}
	resets := 0
	for i, r := range slow {
		p, err := r.next()
		var reset *quic.StreamError
		switch {
		case errors.As(err, &reset) && reset.Remote && reset.ErrorCode == quic.StreamErrorCode(wire.StreamSlow):
			resets++
		case err != nil || p.Code != kv.Overloaded: // the others left it no room for its answers
			t.Errorf("stream %d: %v, %v", i, p.Code, err)
		}
	}
	if resets < len(slow)/2 {
		t.Errorf("%d of %d streams were reset", resets, len(slow))
	}
	_ = good.conn.CloseWithError(0, "")
	e.idle(t)
}

// Streams that stand still and keep more than their share are reset long before the time is over that they would have
// otherwise, when others of their identity need room.
func TestSlowStreamsGiveWay(t *testing.T) {
	testlong.Skip(t)
	value := strings.Repeat("x", 1<<20)
	for name, large := range map[string][]byte{"answers": get(1, "large"), "requests": put(1, "k", value)[:1<<20]} {
		t.Run(name, func(t *testing.T) {
			e := newEndpoint(t, func(c *server.Config) {
				c.Limits.WriteTimeout = time.Hour
				c.Limits.Bytes = 16 << 20
			})
			good := e.raw(t)
			good.send(put(1, "large", value))
			good.want(1, kv.OK)
			_ = good.conn.CloseWithError(0, "")
			var taken int64
			takes := func(r *raw) *raw {
				t.Helper()
				taken += 1 << 20
				r.send(large) // nothing of the answer is read, or the end does not come
				for begun := time.Now(); e.server.Stats().Bytes < taken; time.Sleep(time.Millisecond) {
					if time.Since(begun) > wait {
						t.Fatalf("%+v", e.server.Stats())
					}
				}
				return r
			}
			// The first connection may have two while it is alone, and only one when there are two others.
			first := takes(e.raw(t))
			takes(rawOf(t, first.conn))
			for range 2 {
				takes(e.raw(t))
			}
			late := e.raw(t)
			for begun, id := time.Now(), uint64(2); ; id++ {
				late.send(get(id, "large"))
				p, err := late.next()
				if err != nil {
					t.Fatal(err)
				}
				if p.Code == kv.OK {
					break
				}
				if time.Since(begun) > 2*time.Minute {
					t.Fatalf("no room: %v; %+v", p.Failed(), e.server.Stats())
				}
				time.Sleep(50 * time.Millisecond)
			}
		})
	}
}

// A large request must arrive as a whole in time. Its stream is reset, and the connection goes on.
func TestSlowRequest(t *testing.T) { testretry.Longer(t, 300*time.Millisecond, slowRequest) }

func slowRequest(t testing.TB, limit time.Duration) {
	e := newEndpoint(t, func(c *server.Config) { c.Limits.WriteTimeout = limit })
	r := e.raw(t)
	whole := put(1, "k", strings.Repeat("v", 1<<20))
	r.send(whole)
	r.want(1, kv.OK)
	time.Sleep(2 * limit) // no deadline is left
	other := rawOf(t, r.conn)
	r.send(whole[:100_000])
	_, err := r.next()
	var reset *quic.StreamError
	if !errors.As(err, &reset) || reset.ErrorCode != quic.StreamErrorCode(wire.StreamSlow) {
		t.Error(err)
	}
	other.send(whole)
	other.want(1, kv.OK)
	e.idle(t)
}

// Streams beyond those that are free count, and there are no more of them than there is room.
func TestStreamsWithoutRoom(t *testing.T) {
	e := newEndpoint(t, func(c *server.Config) { c.Limits.Bytes = 16 * server.ClientStreamBytes })
	r := e.raw(t)
	all := []*raw{r}
	for range limits.ClientStreams - 1 {
		all = append(all, rawOf(t, r.conn))
	}
	served := 0
	for i, s := range all {
		s.send(put(1, "k", "v"))
		_, err := s.next()
		var reset *quic.StreamError
		switch {
		case err == nil:
			served++
		case i < server.ClientStreamsFree || !errors.As(err, &reset) || reset.ErrorCode != quic.StreamErrorCode(wire.StreamLimit):
			t.Fatalf("stream %d: %v", i, err)
		}
	}
	if served < server.ClientStreamsFree+2 || served > server.ClientStreamsFree+4 {
		t.Errorf("%d streams are served", served)
	}
	_ = r.conn.CloseWithError(0, "")
	e.idle(t)
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

// logRepeats is how many lines package logx writes about one subject before it pauses.
const logRepeats = 3

// A client that is refused finds its reason in the member's log, in a few lines.
func TestRefusalIsLogged(t *testing.T) {
	var out syncBuffer
	e := newEndpoint(t, func(c *server.Config) { c.Logger = slog.New(slog.NewTextHandler(&out, nil)) })
	e.trust.Client = servertest.NewTrust(t).Client
	config := wire.ClientTLS(e.trust.Client, wire.ProtocolClient, wire.Identity{Class: wire.ClassMember})
	config.VerifyConnection = nil
	for range logRepeats + 3 {
		conn, err := quic.DialAddr(t.Context(), servertest.Endpoint(e.server), config, nil)
		if err == nil {
			<-conn.Context().Done()
		}
	}
	for start := time.Now(); !strings.Contains(out.String(), "refused a client"); time.Sleep(time.Millisecond) {
		if time.Since(start) > wait {
			t.Fatalf("logged: %q", out.String())
		}
	}
	s := out.String()
	if n, most := strings.Count(s, "refused"), logRepeats; n > most || !strings.Contains(s, "was signed by another CA") || !strings.Contains(s, "remote=127.0.0.1:") {
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

func (m twiceMember) Propose(p kv.Proposal) {
	m.Member.Propose(p)
	again := make([]kv.Completion, 0, len(p.Requests)+1)
	for _, request := range p.Requests {
		again = append(again, kv.Completion{Request: request, Kind: kv.CommandDone})
	}
	p.ReplyTo.Complete(append(again, kv.Completion{Request: 1 << 60}))
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
		r.want(i, kv.OK)
	}
	e.idle(t)
	if s := out.String(); !strings.Contains(s, "a request was answered twice") {
		t.Error(s)
	}
}

// The lists of a request are charged as they are decoded: an empty element takes one byte of the frame.
func TestListsOfARequestAreCharged(t *testing.T) {
	e := newEndpoint(t, nil)
	hold := make(chan struct{})
	e.member.SetBefore(func(int, int) *kv.Error {
		<-hold
		return nil
	})
	defer e.idle(t)
	defer close(hold)
	for name, list := range map[string]wire.Ask{
		"changes": {Changes: make([]kv.Change, 400)}, "revisions": {Revisions: make([]int64, 400)},
	} {
		before := e.server.Stats()
		r := e.raw(t)
		r.send(wire.AppendRequest(nil, 1, wire.OpUsers, wait, ask(list)))
		e.until(t, "the request is not under way", func() bool { return e.server.Stats().Requests > before.Requests })
		if took := e.server.Stats().Bytes - before.Bytes; took < 400*8 {
			t.Errorf("%d bytes are charged for 400 %s", took, name)
		}
	}
}
