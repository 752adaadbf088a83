package etcd

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"qkv/internal/admit"
	"qkv/internal/limits"
	"qkv/internal/logx"
	"qkv/net/etcd/front"
)

// slow is a client that takes limits.EtcdGatewayPace bytes of an answer in each stall interval.
type slow struct {
	http.ResponseWriter
	between func() // an interval passes
	taken   int
}

func (s *slow) Write(b []byte) (int, error) {
	for range len(b) / limits.EtcdGatewayPace {
		if s.taken > 0 {
			s.between()
		}
		s.taken += limits.EtcdGatewayPace
	}
	return s.ResponseWriter.Write(b)
}

// TestPacedAnswers writes a large answer to a client that takes limits.EtcdGatewayPace of it in each stall interval: its connection
// stays open while others wait for room, and is closed when the client stops.
func TestPacedAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const stall = time.Second
		b := admit.NewBudget(1<<20, stall, nil)
		var closed atomic.Bool
		r := b.Message(func() { closed.Store(true) })
		if err := r.Set(t.Context(), 1<<20); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = b.Message(func() {}).Set(ctx, 1) }() // it looks at whole seconds
		time.Sleep(stall / 2)
		pass := func() {
			time.Sleep(stall)
			synctest.Wait()
		}
		p := paced{&slow{ResponseWriter: httptest.NewRecorder(), between: pass}, r}
		if n, err := p.Write(make([]byte, 10*limits.EtcdGatewayPace)); n != 10*limits.EtcdGatewayPace || err != nil {
			t.Fatal(n, err)
		}
		if pass(); closed.Load() {
			t.Error("the connection of a client that reads is closed")
		}
		if pass(); !closed.Load() {
			t.Error("the connection of a client that has stopped to read is not closed")
		}
	})
}

// TestListGivenUp cancels a request for a list while the list is encoded: its room is given back.
func TestListGivenUp(t *testing.T) {
	bounds := limits.Defaults().Etcd
	s := &core{config: Config{Limits: bounds, Timeout: time.Minute}, accounts: front.NewAccounts(bounds.Bytes, logx.NewLimited(slog.New(slog.DiscardHandler)))}
	s.admission = newAdmission(s)
	ctx, cancel := context.WithCancel(t.Context())
	listings := 0
	_, err := leaseService{s}.listed(ctx, nil, nil, func() lister {
		listings++
		return func(take taker) bool {
			if listings == 1 { // it is measured
				take(2*etcdWholeBytes, nil)
				return true
			}
			if s.admission.buffered.Reserved() == 0 {
				t.Error("a list is encoded without room")
			}
			cancel()
			return false
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a list that is given up: %v", err)
	}
	if n := s.admission.buffered.Reserved(); n != 0 {
		t.Errorf("a list that was given up keeps %d bytes", n)
	}
}

// TestAnswerThatFindsNoRoom: an answer that waits for room in vain, or whose client gives up, gives its place back.
func TestAnswerThatFindsNoRoom(t *testing.T) {
	const size = 2 * etcdWholeBytes
	bounds := limits.Defaults().Etcd
	bounds.BuiltBytes = size
	s := &core{config: Config{Limits: bounds, Timeout: time.Millisecond}, accounts: front.NewAccounts(bounds.Bytes, logx.NewLimited(slog.New(slog.DiscardHandler)))}
	s.admission = newAdmission(s)
	s.admission.building = make(admit.Slots, 1)
	holds, err := s.build(t.Context(), nil, size)
	if err != nil {
		t.Fatal(err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for _, ctx := range []context.Context{t.Context(), gone, t.Context()} {
		if _, err := s.build(ctx, nil, size); err == nil {
			t.Error("there is room twice")
		}
	}
	holds.Release()
	again, err := s.build(t.Context(), nil, size)
	if err != nil {
		t.Fatalf("there is room again, and no place: %v", err)
	}
	again.Release()
}

// TestReservedAnswer writes an answer that has a reservation: each written piece shows progress, the reservation ends with the last one,
// and no byte is charged to the connection.
func TestReservedAnswer(t *testing.T) {
	const size = 3*limits.EtcdGatewayPace + 2000
	m := front.NewAccounts(1<<40, logx.NewLimited(slog.New(slog.DiscardHandler)))
	budget := admit.NewBudget(size, time.Hour, nil)
	r := budget.Answer(func() {}, 0)
	if err := r.Set(t.Context(), size); err != nil {
		t.Fatal(err)
	}
	a := reserving(message{make([]byte, size-1500), make([]byte, 1500)}, r).charge(m.Begin(&net.TCPAddr{}, func() {}))
	pieces, err := a.(bufferedAnswer).buffers()
	if err != nil || pieces.Len() != size || len(pieces) != 5 {
		t.Fatalf("%d pieces of %d bytes: %v", len(pieces), pieces.Len(), err)
	}
	for _, one := range pieces {
		if budget.Reserved() != size || m.Total() != 0 {
			t.Errorf("before its end, an answer reserves %d bytes, and %d are charged", budget.Reserved(), m.Total())
		}
		one.Free()
	}
	if budget.Reserved() != 0 || m.Total() != 0 {
		t.Errorf("behind its end, an answer reserves %d bytes, and %d are charged", budget.Reserved(), m.Total())
	}
}
