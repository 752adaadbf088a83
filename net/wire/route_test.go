package wire

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"qkv/internal/testlong"
)

// narrowing is a UDP socket on a path whose MTU can fall: longer datagrams vanish. Rows of datagrams are split, as a network card does.
type narrowing struct {
	*net.UDPConn
	most atomic.Int64 // the longest datagram that passes
}

func (n *narrowing) WriteMsgUDP(b, oob []byte, addr *net.UDPAddr) (int, int, error) {
	if int64(len(b)) > n.most.Load() {
		return len(b), len(oob), nil
	}
	return n.UDPConn.WriteMsgUDP(b, oob, addr)
}

// routeEnds connects two ends over narrowing sockets.
func routeEnds(t *testing.T) (dialled, accepted *quic.Conn, sockets [2]*narrowing) {
	t.Helper()
	t.Setenv("QUIC_GO_DISABLE_GSO", "1")
	var over [2]*quic.Transport
	for i := range over {
		udp, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		must(t, err)
		sockets[i] = &narrowing{UDPConn: udp}
		sockets[i].most.Store(1 << 16)
		over[i] = &quic.Transport{Conn: receiveOffload(lossyConn{sockets[i]})}
		t.Cleanup(func() { _, _ = over[i].Close(), udp.Close() })
	}
	identity := httptest.NewTLSServer(nil)
	defer identity.Close()
	config := &quic.Config{EnableDatagrams: true, InitialPacketSize: 1200, MaxIdleTimeout: 30 * time.Second, KeepAlivePeriod: time.Second}
	listener, err := over[1].Listen(&tls.Config{Certificates: identity.TLS.Certificates, NextProtos: []string{"test"}}, config)
	must(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	dialled, err = over[0].Dial(ctx, sockets[1].LocalAddr(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"test"}}, config)
	must(t, err)
	accepted, err = listener.Accept(ctx)
	must(t, err)
	return dialled, accepted, sockets
}

// watched runs both ends of a Route, and returns where Watch reports.
func watched(dialled, accepted *quic.Conn, hears func() bool) chan error {
	stalled, r := make(chan error, 1), NewRoute(dialled)
	go NewRoute(accepted).Answer()
	go r.Answer()
	go func() { stalled <- r.Watch(300*time.Millisecond, hears) }()
	return stalled
}

// pour writes to a new stream without end; read reads it or not.
func pour(t *testing.T, from, to *quic.Conn, read bool) {
	t.Helper()
	s, err := from.OpenUniStream()
	must(t, err)
	go func() {
		for {
			if _, err := s.Write(make([]byte, 1<<16)); err != nil {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	other, err := to.AcceptUniStream(context.Background())
	must(t, err)
	if read {
		go func() { _, _ = io.Copy(io.Discard, other) }()
	}
}

// TestRouteNoticesAFallenMTU lets long datagrams vanish in one direction or the other after packets have grown: Watch reports it within
// seconds, and not before.
func TestRouteNoticesAFallenMTU(t *testing.T) {
	testlong.Skip(t)
	for direction, what := range []string{"out", "back"} {
		dialled, accepted, sockets := routeEnds(t)
		stalled := watched(dialled, accepted, nil)
		pour(t, dialled, accepted, true)
		pour(t, accepted, dialled, true)
		select {
		case err := <-stalled:
			t.Fatalf("%s: on a healthy path: %v", what, err)
		case <-time.After(2 * time.Second):
		}
		before, began := PathStalls(), time.Now()
		sockets[direction].most.Store(1300)
		select {
		case err := <-stalled:
			t.Logf("%s: after %v: %v", what, time.Since(began), err)
			if err == nil || PathStalls() == before {
				t.Errorf("%s: %v, %d counted", what, err, PathStalls()-before)
			}
		case <-time.After(20 * time.Second):
			t.Errorf("%s: not noticed", what)
		}
	}
}

// TestRouteOfASlowReader checks that a reader which takes nothing for seconds, so that its flow-control window is exhausted, is no fault of
// the path.
func TestRouteOfASlowReader(t *testing.T) {
	testlong.Skip(t)
	dialled, accepted, _ := routeEnds(t)
	stalled := watched(dialled, accepted, nil)
	pour(t, dialled, accepted, false)
	pour(t, accepted, dialled, false)
	wait := 11 * time.Second
	if testing.Short() {
		wait = 3 * time.Second
	}
	select {
	case err := <-stalled:
		t.Errorf("a slow reader: %v", err)
	case <-time.After(wait):
	}
}

// TestRouteOfADeafHost lets a host hear nothing while it goes on to send: its connection is kept for what arrives on it.
func TestRouteOfADeafHost(t *testing.T) {
	dialled, accepted, sockets := routeEnds(t)
	asked := make(chan bool, 100)
	stalled := watched(dialled, accepted, func() bool { asked <- true; return false })
	pour(t, accepted, dialled, true)
	before := PathStalls()
	sockets[0].most.Store(0)
	for range 2 {
		select {
		case <-asked:
		case err := <-stalled:
			t.Fatalf("given up without a question: %v", err)
		case <-time.After(20 * time.Second):
			t.Fatal("its host is not asked")
		}
	}
	if n := PathStalls() - before; n != 0 || len(stalled) > 0 {
		t.Errorf("given up: %d counted", n)
	}
}

// TestRouteWithLoss loses each tenth datagram of any length, for some seconds: that is no reason to dial again.
func TestRouteWithLoss(t *testing.T) {
	testlong.Skip(t)
	dialled, accepted, sockets := routeEnds(t)
	stalled := watched(dialled, accepted, nil)
	pour(t, dialled, accepted, true)
	stop := time.After(4 * time.Second)
	for {
		select {
		case err := <-stalled:
			t.Fatalf("random loss: %v", err)
		case <-stop:
			return
		case <-time.After(9 * time.Millisecond):
			sockets[0].most.Store(0)
			time.Sleep(time.Millisecond)
			sockets[0].most.Store(1 << 16)
		}
	}
}
