package client_test

import (
	"crypto/tls"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"qkv/index/kv"
	"qkv/internal/testlong"
	"qkv/internal/testport"
	"qkv/net/client"
	"qkv/net/server"
	"qkv/net/server/servertest"
	"qkv/net/wire"
)

// Clients with one list spread over the members.
func TestClientsSpread(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	trust := servertest.NewTrust(t)
	var members []*servertest.Member
	var endpoints []string
	for i := range 3 {
		m := servertest.NewMember(members[:min(i, 1)]...)
		members = append(members, m)
		endpoints = append(endpoints, servertest.Endpoint(servertest.Start(t, trust, m, nil)))
	}
	const clients = 60
	for range clients {
		c, err := client.Open(ctxOf(t, wait), client.Config{Endpoints: endpoints, Credentials: trust.Client, DialStagger: wait})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		must[client.Written](t)(c.Put(ctxOf(t, wait), []byte("k"), []byte("v"))) // connections say nothing: a client looks at all members
	}
	for i, m := range members { // each has 20, give or take 4 at random: fewer than 3 once in a million
		if n := m.Proposals.Load(); n < 3 {
			t.Errorf("member %d serves %d of %d clients", i, n, clients)
		}
	}
}

// A client comes back to the member that it began with when that serves again, and not before; calls do not notice.
func TestFailBack(t *testing.T) {
	t.Parallel()
	trust := servertest.NewTrust(t)
	a := servertest.NewMember()
	a.SetStatus(kv.Status{Name: "a", Role: "candidate"})
	first := servertest.Start(t, trust, a, nil)
	second := servertest.Start(t, trust, servertest.NewMember(a), nil)
	endpoint := servertest.Endpoint(first)
	c, err := client.Open(ctxOf(t, wait), client.Config{
		Endpoints: []string{endpoint, servertest.Endpoint(second)}, InOrder: true, Credentials: trust.Client, ReturnAfter: 100 * time.Millisecond, DialStagger: wait,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	put := func() {
		t.Helper()
		must[client.Written](t)(c.Put(ctxOf(t, wait), []byte("k"), []byte("v")))
		time.Sleep(5 * time.Millisecond)
	}
	put()
	first.Drain(ctxOf(t, wait))
	_ = first.Close()
	put()
	first = servertest.Start(t, trust, a, func(c *server.Config) { c.Address = endpoint })
	for what, one := range map[string]kv.Status{
		"has no leader": {Name: "a", Role: "candidate"},
		"still starts":  {Name: "a", Role: "follower", Leader: 2, Stage: wire.Starting},
	} {
		a.SetStatus(one)
		looks := first.Stats().Accepted
		for begun := time.Now(); first.Stats().Accepted < looks+2; put() {
			if time.Since(begun) > wait {
				t.Fatalf("the client does not look whether its first member, which %s, serves", what)
			}
		}
		if n := a.Proposals.Load(); n != 1 {
			t.Errorf("%d writes at a member that %s", n-1, what)
		}
	}
	a.SetStatus(kv.Status{Name: "a", Role: "follower", Leader: 2})
	for begun := time.Now(); a.Proposals.Load() < 10; put() {
		if time.Since(begun) > wait {
			t.Fatal("the client stays away")
		}
	}
	for begun := time.Now(); second.Stats().Connections > 0; put() {
		if time.Since(begun) > wait {
			t.Fatal("the other connection is not closed")
		}
	}
}

// A client begins with a member that has started, if there is one; else with one that is starting.
func TestBeginsWithAStartedMember(t *testing.T) {
	t.Parallel()
	trust := servertest.NewTrust(t)
	a := servertest.NewMember()
	a.SetStatus(kv.Status{Name: "a", Role: "follower", Leader: 2, Stage: wire.Starting})
	first := servertest.Start(t, trust, a, nil)
	second := servertest.Start(t, trust, servertest.NewMember(a), nil)
	for i := range int64(2) {
		c, err := client.Open(ctxOf(t, wait), client.Config{
			Endpoints: []string{servertest.Endpoint(first), servertest.Endpoint(second)}, InOrder: true, Credentials: trust.Client, DialStagger: 50 * time.Millisecond,
		})
		if err != nil {
			t.Fatal(err)
		}
		must[client.Written](t)(c.Put(ctxOf(t, wait), []byte("k"), []byte("v")))
		if n := a.Proposals.Load(); n != i {
			t.Errorf("%d writes at the member that is starting, not %d", n, i)
		}
		_ = c.Close()
		_ = second.Close() // and then there is no other one
	}
}

// A client whose certificate is refused does not ask again for each call: a handshake costs the members a signature.
func TestRefusedClientPauses(t *testing.T) {
	t.Parallel()
	trust, foreign := servertest.NewTrust(t), servertest.NewTrust(t)
	s := servertest.Start(t, trust, servertest.NewMember(), nil)
	endpoint := servertest.Endpoint(s)
	c := open(t, trust, endpoint)
	s.Drain(ctxOf(t, wait))
	_ = s.Close()
	var handshakes atomic.Int64
	var at [2]time.Time // of the first two
	config := wire.ServerTLS(foreign.Member, wire.ProtocolClient, wire.ClassClient)
	socket, err := testport.Listen(endpoint, listenUDP)
	if err != nil {
		t.Fatal(err)
	}
	under := &quic.Transport{Conn: socket}
	t.Cleanup(func() { _, _ = under.Close(), socket.Close() })
	listener, err := under.Listen(&tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		if n := handshakes.Load(); n < int64(len(at)) {
			at[n] = time.Now()
		}
		handshakes.Add(1)
		return config, nil
	}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	calls := 0
	for ; handshakes.Load() < int64(len(at)); calls++ {
		_, err := c.Put(ctxOf(t, wait), []byte("k"), []byte("v"))
		var refused *wire.TrustError
		if !errors.As(err, &refused) {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	if pause := at[1].Sub(at[0]); pause < 900*time.Millisecond || calls < 10 {
		t.Errorf("another handshake after %v, and %d calls", pause, calls)
	}
}

// The address of the first member belongs to a member of another cluster now. A client looks at it and does not go there.
func TestFailBackStaysInItsCluster(t *testing.T) {
	t.Parallel()
	trust := servertest.NewTrust(t)
	first := servertest.Start(t, trust, ofCluster(1, "n1"), nil)
	second := servertest.Start(t, trust, ofCluster(1, "n2"), nil)
	endpoint := servertest.Endpoint(first)
	c, err := client.Open(ctxOf(t, wait), client.Config{
		Endpoints: []string{endpoint, servertest.Endpoint(second)}, InOrder: true, Credentials: trust.Client, ReturnAfter: 20 * time.Millisecond, DialStagger: wait,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	put := func() {
		t.Helper()
		must[client.Written](t)(c.Put(ctxOf(t, wait), []byte("k"), []byte("v")))
		time.Sleep(5 * time.Millisecond)
	}
	put()
	first.Drain(ctxOf(t, wait))
	_ = first.Close()
	put()
	other := ofCluster(2, "other")
	first = servertest.Start(t, trust, other, func(c *server.Config) { c.Address = endpoint })
	for begun := time.Now(); first.Stats().Accepted < 3 && other.Proposals.Load() == 0; put() {
		if time.Since(begun) > wait {
			t.Fatal("the client does not look at its first endpoint")
		}
	}
	if n := other.Proposals.Load(); n > 0 {
		t.Errorf("%d writes in another cluster", n)
	}
}
