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
		c := &conn{Conn: own, port: p, client: "10.0.0.1"}
		p.refused.serve(c.client, 1)
		c.account.Store(m.Begin(own.RemoteAddr(), func() {}))
		open = append(open, c)
	}
	for range 2 {
		_ = open[0].Close()
		if n := p.refused.served["10.0.0.1"]; n != 1 {
			t.Errorf("with one of two connections closed %d count as served", n)
		}
	}
	if _ = open[1].Close(); len(p.refused.served) != 0 || len(m.clients) != 0 {
		t.Errorf("with all connections closed %d addresses and %d clients count", len(p.refused.served), len(m.clients))
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
