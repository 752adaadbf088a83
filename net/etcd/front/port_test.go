package front

import (
	"log/slog"
	"net"
	"testing"
	"time"

	"qkv/internal/limits"
	"qkv/internal/logx"
)

// TestConnectionThatEndedIsNotServed closes connections, one of them twice: their address counts as served until the last one ends.
func TestConnectionThatEndedIsNotServed(t *testing.T) {
	m := NewAccounts(limits.Defaults().Etcd.Bytes, logx.NewLimited(slog.New(slog.DiscardHandler)))
	p := &Port{conns: map[*conn]struct{}{}, clients: map[string]map[*conn]struct{}{}}
	var open []*conn
	for range 2 {
		own, other := net.Pipe()
		defer other.Close()
		from := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1)}
		c := &conn{Conn: own, port: p, client: clientAt(from)}
		c.account.Store(m.Begin(from, func() {}))
		open = append(open, c)
	}
	for range 2 {
		_ = open[0].Close()
		if !m.serves("10.0.0.1") || m.serves("10.0.0.2") {
			t.Error("with one of two connections closed, the address does not count as served, or another does")
		}
	}
	if _ = open[1].Close(); m.serves("10.0.0.1") || len(m.clients) != 0 {
		t.Errorf("with all connections closed, the address or %d clients count", len(m.clients))
	}
}

// A search for an idle connection may have begun before the newest bytes of one came: a connection with a request is not idle then either.
func TestBusyConnectionIsNotIdle(t *testing.T) {
	own, other := net.Pipe()
	defer other.Close()
	defer own.Close()
	a := NewAccounts(limits.Defaults().Etcd.Bytes, logx.NewLimited(slog.New(slog.DiscardHandler))).Begin(own.RemoteAddr(), func() {})
	c, now := &conn{Conn: own}, time.Now()
	c.account.Store(a)
	c.lastReceived.Set(now)
	a.CountHTTP(1)
	for _, after := range []time.Duration{-time.Second, 0, time.Hour} {
		if d := c.idle(now.Add(after)); d >= 0 {
			t.Errorf("with a request, %v after its bytes, it is idle for %v", after, d)
		}
	}
	a.CountHTTP(-1)
	if d := c.idle(now.Add(time.Minute)); d != time.Minute {
		t.Errorf("a minute after the last bytes, it is idle for %v", d)
	}
}
