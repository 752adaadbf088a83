package front

import (
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"qkv/internal/logx"
	"qkv/net/etcd/h2"
)

// TestServed has a client ask on two connections for more than is served at a time: both wait until an answer begins,
// or a request is over in any other way. A client that asks for little does not, and no connection waits for longer
// than it is told.
func TestServed(t *testing.T) {
	m := NewAccounts(1<<40, logx.NewLimited(slog.New(slog.DiscardHandler)))
	begin := func(host byte) *Account { return m.Begin(&net.TCPAddr{IP: net.IPv4(10, 0, 0, host)}, func() {}) }
	ask := func(s *Account, c *h2.StreamCharge) { s.Begin(c, 10); s.HalfClosed(c) }
	greedy, second, unused, modest := begin(1), begin(1), begin(1), begin(2)
	for i := range etcdServed { // each connection alone has as many as the two together may not have
		ask([]*Account{greedy, second}[i%2], new(h2.StreamCharge))
	}
	if greedy.overloads() {
		t.Fatal("as many as are served at a time are too many")
	}
	rested := func() {}
	for name, over := range map[string]func(*h2.StreamCharge){
		"its answer begins":   greedy.Answered,
		"it waits for a lock": func(*h2.StreamCharge) { rested = greedy.Rest() },
		"it is over":          greedy.Over,
		"it begins, and ends": func(c *h2.StreamCharge) { greedy.Answered(c); greedy.Answered(c); greedy.Over(c) },
	} {
		var last h2.StreamCharge
		ask(greedy, &last)
		if !greedy.overloads() || !second.overloads() || !unused.overloads() || modest.overloads() {
			t.Fatalf("%s: before, the client that asks too much waits: %v, %v, where it asks nothing: %v, another: %v",
				name, greedy.overloads(), second.overloads(), unused.overloads(), modest.overloads())
		}
		modest.throttle(time.Hour)
		greedy.throttle(time.Millisecond)
		waited := make(chan struct{})
		go func() {
			defer close(waited)
			greedy.throttle(time.Hour)
		}()
		over(&last)
		select {
		case <-waited:
		case <-time.After(time.Minute):
			t.Fatalf("%s: it goes on waiting", name)
		}
		greedy.Over(&last)
		rested()
		rested = func() {}
		if n := m.serving.Load(); n != etcdServed {
			t.Fatalf("%s: %d are served", name, n)
		}
	}
	// Many that ask for little each do not wait, however many they are.
	for range etcdServedFew {
		ask(modest, new(h2.StreamCharge))
	}
	if modest.overloads() || !greedy.overloads() {
		t.Errorf("the one that asks for little waits: %v, the other: %v", modest.overloads(), greedy.overloads())
	}
	waited := make(chan struct{})
	go func() {
		defer close(waited)
		greedy.throttle(time.Hour)
	}()
	rested = greedy.Rest()
	greedy.end()
	rested()
	select {
	case <-waited:
	case <-time.After(time.Minute):
		t.Error("who waits does not see that the connection is over")
	}
	second.end()
	unused.end()
	modest.end()
	if n := m.serving.Load(); n != 0 {
		t.Errorf("%d are served when all connections are over", n)
	}
}

// TestServedBytes has few requests bring many bytes: the client that brings them waits until they are answered, with
// all its connections, and no other client does.
func TestServedBytes(t *testing.T) {
	m := NewAccounts(1<<40, logx.NewLimited(slog.New(slog.DiscardHandler)))
	begin := func(host byte) *Account { return m.Begin(&net.TCPAddr{IP: net.IPv4(10, 0, 0, host)}, func() {}) }
	const large = 1 << 20
	ask := func(s *Account, c *h2.StreamCharge, bytes int) {
		s.Begin(c, 10)
		s.Data(c, bytes)
		s.HalfClosed(c)
	}
	greedy, half, modest := begin(1), begin(1), begin(2)
	var one h2.StreamCharge
	ask(greedy, &one, large)
	for range etcdServedBytes/large - 1 {
		ask(greedy, new(h2.StreamCharge), large)
	}
	var whole h2.StreamCharge
	half.Begin(&whole, 10)
	half.Data(&whole, large)
	ask(modest, new(h2.StreamCharge), 1000)
	ask(modest, new(h2.StreamCharge), 0)
	for name, over := range map[string]func(){
		"its answer begins": func() { greedy.Answered(&one) },
		"it is over":        func() { greedy.Over(&one) },
	} {
		if !greedy.overloads() || !half.overloads() || modest.overloads() {
			t.Fatalf("%s: before, who brings much waits: %v, in the middle of one: %v, who brings little: %v", name, greedy.overloads(), half.overloads(), modest.overloads())
		}
		over()
		if greedy.overloads() || half.overloads() {
			t.Fatalf("%s: it goes on waiting", name)
		}
		greedy.Over(&one)
		ask(greedy, &one, large)
	}
	for _, s := range []*Account{greedy, half, modest} {
		s.end()
	}
	if n := m.servedBytes.Load(); n != 0 {
		t.Errorf("%d bytes are served when all connections are over", n)
	}
}

// TestOneIsEnough has many connections go over the bound together at one moment: one of them is closed, since that makes room for all.
func TestOneIsEnough(t *testing.T) {
	const connections, each = 16, 1 << 20
	var closed atomic.Int32
	m := NewAccounts(connections*each, logx.NewLimited(slog.New(slog.DiscardHandler)))
	var all []*Account
	for range connections {
		s := m.Begin(&net.TCPAddr{IP: net.IPv4(10, 0, 0, 1)}, func() { closed.Add(1) })
		s.Charge(each)
		all = append(all, s)
	}
	var running sync.WaitGroup
	m.closing.Lock() // so that all have found it before one is closed
	for _, s := range all {
		running.Go(func() { s.Charge(1) })
	}
	for m.held.Load() < connections*(each+1) {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(100 * time.Millisecond) // for what each does with it
	m.closing.Unlock()
	running.Wait()
	if n := closed.Load(); n != 1 {
		t.Fatalf("%d connections are closed where one is enough", n)
	}
}

// TestRestWithoutService: a request of the JSON gateway is not in service, so it does not leave it while it waits for a lock.
func TestRestWithoutService(t *testing.T) {
	m := NewAccounts(1<<40, logx.NewLimited(slog.New(slog.DiscardHandler)))
	s := m.Begin(&net.TCPAddr{IP: net.IPv4(10, 0, 0, 1)}, func() {})
	over := s.Rest()
	if n, all := s.serving, m.serving.Load(); n != 0 || all != 0 {
		t.Errorf("%d requests of the connection and %d of all are in service while one waits", n, all)
	}
	over()
	if n, all := s.serving, m.serving.Load(); n != 0 || all != 0 {
		t.Errorf("afterwards, %d requests of the connection and %d of all are in service", n, all)
	}
}

// TestOpenUntilAnswered: a connection is in use until its last request is answered, also when its client has ended its side.
func TestOpenUntilAnswered(t *testing.T) {
	m := NewAccounts(1<<40, logx.NewLimited(slog.New(slog.DiscardHandler)))
	s := m.Begin(&net.TCPAddr{IP: net.IPv4(10, 0, 0, 1)}, func() {})
	var waits h2.StreamCharge // for a lock, perhaps
	c := &conn{}
	c.account.Store(s)
	s.Begin(&waits, 10)
	s.HalfClosed(&waits)
	if s.Rest(); c.idle(time.Now()) >= 0 {
		t.Error("a connection whose request waits is taken for idle")
	}
	if s.Over(&waits); c.idle(time.Now()) < 0 {
		t.Error("a connection without a request is taken for one in use")
	}
}
