package front

import (
	"log/slog"
	"net"
	"testing"
	"time"

	"qkv/internal/logx"
	"qkv/net/etcd/h2"
)

// TestTakenMessages: the messages of a stream count until its handler takes them, and those of an ended account never.
func TestTakenMessages(t *testing.T) {
	m := NewAccounts(1<<40, logx.NewLimited(slog.New(slog.DiscardHandler)))
	s := m.Begin(&net.TCPAddr{IP: net.IPv4(10, 0, 0, 1)}, func() {})
	var watch, half h2.StreamCharge
	data := func(want int64) {
		t.Helper()
		if _, bytes := s.holds(); bytes != want {
			t.Errorf("%d bytes of requests are held, want %d", bytes, want)
		}
	}
	s.Begin(&watch, 10)
	s.Begin(&half, 10)
	s.Data(&watch, 1000)
	s.Data(&half, 100)
	data(1100)
	s.Data(&watch, -400)
	data(700)
	s.HalfClosed(&watch) // its client sends no more: what it has sent is in service
	data(100)
	s.Data(&watch, -600)
	data(100) // what is taken of one stream is not taken of another
	s.Over(&watch)
	s.end()
	s.Data(&half, 1)
	s.Over(&half)
	if data(0); m.Total() != 0 || m.Serving() != 0 || m.servedBytes.Load() != 0 {
		t.Errorf("%d bytes, %d requests and %d bytes in service stay counted", m.Total(), m.Serving(), m.servedBytes.Load())
	}
}

// TestLargestClientPays has a client hold most with many connections, each of which holds less than a connection of
// another client. The connections of the first client are closed, largest first, and the other client keeps its own.
// Afterwards nothing stays counted.
func TestLargestClientPays(t *testing.T) {
	const connections, each, large = 64, 1 << 20, 3 << 20
	m := NewAccounts(connections*each+large, logx.NewLimited(slog.New(slog.DiscardHandler)))
	var closed []int
	var all []*Account
	for i := range connections {
		s := m.Begin(&net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 1 + i}, func() { closed = append(closed, i) })
		if i == connections/2 {
			s.Charge(each + 1000)
		} else {
			s.Charge(each)
		}
		all = append(all, s)
	}
	spared := func() { t.Error("a connection of the client that holds less is closed") }
	good, idle := m.Begin(&net.TCPAddr{IP: net.IPv4(10, 0, 0, 2)}, spared), m.Begin(&net.TCPAddr{IP: net.IPv4(10, 0, 0, 2)}, spared)
	var watch h2.StreamCharge
	idle.Begin(&watch, 10)
	good.Charge(large)
	if len(closed) != 1 || closed[0] != connections/2 {
		t.Errorf("the connections %d are closed, want the largest one of the largest client", closed)
	}
	for range connections { // the client opens a connection for each that is closed
		s := m.Begin(&net.TCPAddr{IP: net.IPv4(10, 0, 0, 1)}, func() { closed = append(closed, -1) })
		s.Charge(each)
		all = append(all, s)
	}
	if m.resetLimit.blamed("10.0.0.2", time.Now()) || !m.resetLimit.blamed("10.0.0.1", time.Now()) {
		t.Error("the wrong client is blamed")
	}
	for _, s := range append(all, good, idle) {
		s.end()
	}
	if total := m.Total(); total != 0 || len(m.clients) != 0 || good.with.held.Load() != 0 || all[0].with.held.Load() != 0 {
		t.Errorf("with all connections closed %d bytes of %d clients count", total, len(m.clients))
	}
}
