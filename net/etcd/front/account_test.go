package front

import (
	"log/slog"
	"net"
	"testing"
	"time"

	"qkv/internal/admit"
	"qkv/internal/logx"
	"qkv/net/etcd/h2"
)

// TestAnswerOfAnEndedConnection: an answer holds its memory budget until its connection ends. An answer that is complete only after that
// holds none.
func TestAnswerOfAnEndedConnection(t *testing.T) {
	m := NewAccounts(1<<40, logx.NewLimited(slog.New(slog.DiscardHandler)))
	budget := admit.NewBudget(1000, time.Hour, nil)
	s := m.Begin(&net.TCPAddr{IP: net.IPv4(10, 0, 0, 1)}, func() {})
	answer := func() *admit.Reservation {
		r := budget.Answer(func() {}, 1)
		if err := r.Set(t.Context(), 100); err != nil {
			t.Fatal(err)
		}
		return r
	}
	early, late := answer(), answer()
	s.Carry(early)
	if n := budget.Reserved(); n != 200 {
		t.Fatalf("two answers reserve %d bytes", n)
	}
	s.end()
	if n := budget.Reserved(); n != 100 {
		t.Errorf("behind the end of a connection, its answer and an incomplete one reserve %d bytes, want 100", n)
	}
	s.Carry(late)
	if n := budget.Reserved(); n != 0 {
		t.Errorf("answers of an ended connection reserve %d bytes", n)
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
