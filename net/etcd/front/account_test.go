package front

import (
	"log/slog"
	"net"
	"testing"
	"time"

	"qkv/internal/admit"
	"qkv/internal/logx"
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
