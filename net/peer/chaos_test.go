package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"qkv/internal/testretry"
	"qkv/net/wire"
	"qkv/net/wire/peerframe"
)

// Members are stopped, killed and started again, alone and together, while all of them send: in the end all are connected,
// nothing came out of order, and what was told about connections makes sense.
func TestRestarts(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	members := newMembers(t, 3)
	for _, m := range members {
		m.start()
	}
	rounds := 12
	if testing.Short() {
		rounds = 4
	}
	number := 0
	for range rounds {
		victims := random.Perm(3)[:1+random.IntN(3)]
		for _, i := range victims {
			if m := members[i]; random.IntN(2) == 0 {
				m.kill()
			} else {
				m.stop()
			}
		}
		time.Sleep(time.Duration(random.IntN(100)) * time.Millisecond)
		var all sync.WaitGroup
		for _, i := range victims {
			all.Go(members[i].start)
		}
		all.Wait()
		for range 200 {
			number++
			for _, from := range members {
				for to := range uint64(4) {
					from.Send(to, peerframe.Class(number%3), fmt.Appendf(nil, "%06d", number), number%2 == 0)
				}
			}
			time.Sleep(100 * time.Microsecond)
		}
	}
	awaitAll(t, members)
	for _, to := range members {
		if strings.Contains(to.logged.String(), "violated the protocol") {
			t.Errorf("%s blames a peer for what were lost connections", to.config.Name)
		}
		for _, from := range members {
			for class := range peerframe.Classes {
				last := ""
				for _, f := range to.frames(from.config.Member, class) {
					if f <= last {
						t.Fatalf("%s got %s after %s from %s", to.config.Name, f, last, from.config.Name)
					}
					last = f
				}
			}
			h := strings.ReplaceAll(to.history(from.config.Member)+" ", "connected disconnected ", "")
			if h != "connected " && from != to {
				t.Errorf("%s saw of %s: %s", to.config.Name, from.config.Name, to.history(from.config.Member))
			}
		}
	}
}

// Only one of two can reach the other one: that is enough.
func TestOneWayReachable(t *testing.T) { testretry.Again(t, 5, oneWayReachable) }

func oneWayReachable(t testing.TB) {
	for _, deaf := range []int{0, 1} {
		members := newMembers(t, 2)
		peers := append([]Peer(nil), members[deaf].peers...)
		peers[1-deaf].Addresses = []string{"127.0.0.1:1"} // nobody there, and nothing says so
		members[deaf].peers = peers
		for _, m := range members {
			m.start()
		}
		took := await(t, "they are connected", wait, func() bool {
			return members[0].connectedTo(2) && members[1].connectedTo(1)
		})
		if took > time.Second { // a dial that nobody answers takes two
			t.Errorf("it took %v though n%d could dial", took, 2-deaf)
		}
		if !members[1-deaf].Status()[0].Dialled {
			t.Error("the one that can dial did not")
		}
	}
}

// A connection that came into use after the link looked, and before it dials, is not missed: a dial that nobody answers
// would keep it waiting.
func TestNoDialBesideAConnection(t *testing.T) {
	transport, err := New(newMembers(t, 1)[0].config)
	if err != nil {
		t.Fatal(err)
	}
	l := newLink(transport, Peer{ID: 2, Name: "n2", Addresses: []string{"127.0.0.1:1"}})
	l.choice.inUse = &conn{}
	l.dial(t.Context()) // a transport that was not started cannot dial: it panics
	if l.failures != 0 || l.dialling != nil {
		t.Errorf("%d failures, dialling %t", l.failures, l.dialling != nil)
	}
}

// Two processes under one certificate and id: both hear of each other through Admit of the others, and neither takes
// down the transport.
func TestOwnNameFromOutside(t *testing.T) {
	m := newMembers(t, 1)[0]
	m.start()
	q, err := dialAs(t, m.address(), wire.ClientTLS(credentials(t, authority(), "n1"), wire.ProtocolPeer, wire.Identity{Class: wire.ClassMember}))
	if err := whyEnded(t, q, err); !strings.Contains(err.Error(), "own name") { // before it has begun, or behind that
		t.Errorf("ended by %v", err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	for want, change := range map[string]func(c *Config){
		"is the certificate of":    func(c *Config) { c.Trust = credentials(t, authority(), "n2") },
		"qkv://test/client/alice,": func(c *Config) { c.Trust, _ = wire.LoadClient(authority(), "alice", time.Now) },
	} {
		m := newMembers(t, 2)[0]
		change(&m.config)
		if _, err := New(m.config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestAddressInUse(t *testing.T) {
	first, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if _, err := Listen(first.LocalAddr().String()); err == nil || !strings.Contains(err.Error(), "another process uses it") {
		t.Errorf("%v", err)
	}
	if _, err := Listen("nonsense"); err == nil || !strings.Contains(err.Error(), "HOST:PORT") {
		t.Errorf("%v", err)
	}
}

func TestDelays(t *testing.T) {
	l := &link{jitter: rand.New(rand.NewPCG(1, 2))}
	if l.delay() != 0 {
		t.Error("the first dial must not wait")
	}
	for failures, most := range map[int]time.Duration{1: peerDialPause, 2: 2 * peerDialPause, 4: 8 * peerDialPause, 6: peerDialPauseMost, 1000: peerDialPauseMost} {
		l.failures = failures
		for range 100 {
			if d := l.delay(); d < most/2 || d > most {
				t.Fatalf("after %d failures: %v", failures, d)
			}
		}
	}
}

func TestReasonsAreCutBetweenCharacters(t *testing.T) {
	if got := truncate("grün", 3); got != "gr" {
		t.Errorf("%q", got)
	}
	if got := truncate("grün", 4); got != "grü" {
		t.Errorf("%q", got)
	}
	long := newMembers(t, 2)
	long[0].admit = func(uint64) error { return errors.New(strings.Repeat("ü", 5000)) }
	for _, m := range long {
		m.start()
	}
	await(t, "a long refusal arrives", wait, func() bool { return len(long[1].refused()) > 0 })
	if got := long[1].refused()[0].Text; got != strings.Repeat("ü", 256) {
		t.Errorf("%d bytes: %s", len(got), got)
	}
}

func TestResolve(t *testing.T) {
	for address, want := range map[string]string{"127.0.0.1:2380": "127.0.0.1:2380", "[::1]:7": "[::1]:7"} {
		if got, err := resolve(t.Context(), address, 3); err != nil || got.String() != want {
			t.Errorf("%s: %v %v", address, got, err)
		}
	}
	for attempt := range 3 {
		if got, err := resolve(t.Context(), "localhost:2380", attempt); err != nil || !got.IP.IsLoopback() || got.Port != 2380 {
			t.Errorf("localhost: %v %v", got, err)
		}
	}
	for _, address := range []string{"nowhere", "127.0.0.1:99999", "host.invalid:1"} {
		if got, err := resolve(t.Context(), address, 0); err == nil || !strings.Contains(err.Error(), address) {
			t.Errorf("%s: %v %v", address, got, err)
		}
	}
}

// Of a name with several addresses each attempt takes the next: the peer may be reached at one of them only.
func TestResolveTakesTurns(t *testing.T) {
	names, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer names.Close()
	go answerNames(names, [4]byte{10, 0, 0, 1}, [4]byte{10, 0, 0, 2}, [4]byte{10, 0, 0, 3})
	before := net.DefaultResolver
	defer func() { net.DefaultResolver = before }()
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", names.LocalAddr().String())
	}}
	tried := map[string]int{}
	for attempt := range 6 {
		at, err := resolve(t.Context(), "peer.example.org.:2380", attempt)
		if err != nil {
			t.Fatal(err)
		}
		tried[at.String()]++
	}
	if want := map[string]int{"10.0.0.1:2380": 2, "10.0.0.2:2380": 2, "10.0.0.3:2380": 2}; !maps.Equal(tried, want) {
		t.Errorf("tried %v", tried)
	}
}

// answerNames says of each name that it has these addresses (RFC 1035, 4), and none of IPv6.
func answerNames(names net.PacketConn, addresses ...[4]byte) {
	const head, kindA = 12, 1
	b := make([]byte, 512)
	for {
		n, from, err := names.ReadFrom(b)
		if err != nil {
			return
		}
		end := head + bytes.IndexByte(b[head:n], 0) + 5 // of the first question
		answer := append([]byte{b[0], b[1], 0x84, 0, 0, 1, 0, 0, 0, 0, 0, 0}, b[head:end]...)
		if b[end-3] == kindA {
			answer[7] = byte(len(addresses))
			for _, a := range addresses {
				answer = append(answer, 0xc0, head, 0, kindA, 0, 1, 0, 0, 0, 60, 0, 4, a[0], a[1], a[2], a[3])
			}
		}
		_, _ = names.WriteTo(answer, from)
	}
}

func TestCloseTwice(t *testing.T) {
	m := newMembers(t, 1)[0]
	m.start()
	for range 2 {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestOwnHostIsNotBlamedOnThePeer ends a stream by the error of a send that this host's kernel refuses: the log names this host.
func TestOwnHostIsNotBlamedOnThePeer(t *testing.T) {
	members := startAll(t, 2)
	awaitAll(t, members)
	c := members[0].link(2).out.Load()
	c.end(&net.OpError{Op: "write", Net: "udp", Err: os.NewSyscallError("sendmsg", syscall.EIO)})
	await(t, "the end is logged", wait, func() bool {
		return strings.Contains(members[0].logged.String(), "this host cannot send to a peer")
	})
	if log := members[0].logged.String(); strings.Contains(log, "violated the protocol") {
		t.Errorf("the peer is blamed: %s", log)
	}
}
