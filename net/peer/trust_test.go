package peer

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	mathrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"qkv/internal/limits"
	"qkv/internal/testlong"
	"qkv/net/wire"
	"qkv/net/wire/peerframe"
)

// expectRefused starts two members, and waits for what they log about each other.
func expectRefused(t *testing.T, change func(n1, n2 *member), atN1, atN2 string) {
	t.Helper()
	members := newMembers(t, 2)
	change(members[0], members[1])
	begun := time.Now()
	for _, m := range members {
		m.start()
	}
	await(t, "n1 logs "+atN1, wait, func() bool { return strings.Contains(members[0].logged.String(), atN1) })
	await(t, "n2 logs "+atN2, wait, func() bool { return strings.Contains(members[1].logged.String(), atN2) })
	for _, m := range members {
		if m.Status()[0].Connected || m.history(3-m.config.Member) != "" {
			t.Errorf("%s was connected: %s", m.config.Name, m.history(3-m.config.Member))
		}
		if lines := strings.Count(m.logged.String(), "\n"); lines > 6+int(time.Since(begun)/time.Second) {
			t.Errorf("%s logged %d lines about it", m.config.Name, lines)
		}
	}
}

func TestForeignCA(t *testing.T) {
	dir := t.TempDir()
	makeCerts(dir, "test")
	expectRefused(t, func(_, n2 *member) { n2.config.Trust = credentials(t, dir, "n2") },
		"was signed by another CA", "was signed by another CA")
}

func TestForeignTrustDomain(t *testing.T) {
	// Both believe both CAs, as while a CA is replaced; the trust domain still tells them apart.
	ours, theirs := t.TempDir(), t.TempDir()
	makeCerts(ours, "ours")
	makeCerts(theirs, "theirs")
	both := append(read(t, ours, "ca.crt"), read(t, theirs, "ca.crt")...)
	for _, dir := range []string{ours, theirs} {
		if err := os.WriteFile(filepath.Join(dir, "ca.crt"), both, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	expectRefused(t, func(n1, n2 *member) {
		n1.config.Trust, n2.config.Trust = credentials(t, ours, "n1"), credentials(t, theirs, "n2")
	}, `belongs to the cluster \"theirs\"`, `belongs to the cluster \"ours\"`)
}

func read(t *testing.T, dir, name string) []byte {
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// n2 still runs with a certificate that has expired, and its own clock stands still, so it does not know.
func TestExpired(t *testing.T) {
	dir := t.TempDir()
	then := time.Now().AddDate(-2, 0, 0)
	old := wire.Maker{Now: func() time.Time { return then }, Rand: rand.Reader}
	if _, err := old.CreateCA(dir, "test"); err != nil {
		t.Fatal(err)
	}
	if _, err := old.CreateMember(dir, "n2", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := (wire.Maker{Now: time.Now, Rand: rand.Reader}).CreateMember(dir, "n1", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := wire.LoadMember(dir, "n2", time.Now); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("at the next start: %v", err)
	}
	var expired *member
	expectRefused(t, func(n1, n2 *member) {
		n1.config.Trust = credentials(t, dir, "n1")
		expired = n2
		var err error
		if n2.config.Trust, err = wire.LoadMember(dir, "n2", old.Now); err != nil {
			t.Fatal(err)
		}
	}, "the certificate of qkv://test/member/n2 has expired or is not yet valid", "or not valid by the other side's clock")
	await(t, "its handler learns that the peer refuses its certificate", wait, func() bool {
		return strings.Contains(expired.logged.String(), "distrusted by 1: the other side refused this certificate")
	})
}

// While both members' certificates have expired they try now and then, not all the time; renewed on disk, they connect
// without a restart of either.
func TestRenewedOnDisk(t *testing.T) {
	testlong.Skip(t)
	dir := t.TempDir()
	var moved atomic.Int64 // the clock of both, ahead of the true one
	clock := func() time.Time { return time.Now().Add(time.Duration(moved.Load())) }
	maker := wire.Maker{Now: clock, Rand: rand.Reader}
	if _, err := maker.CreateCA(dir, "test"); err != nil {
		t.Fatal(err)
	}
	maker.Lifetime = time.Hour
	var judged [2]atomic.Int64 // how often each looked at the clock, to judge a certificate
	members := newMembers(t, 2)
	for i, m := range members {
		if _, err := maker.CreateMember(dir, m.config.Name, nil); err != nil {
			t.Fatal(err)
		}
		var err error
		m.config.Trust, err = wire.LoadMember(dir, m.config.Name, func() time.Time {
			judged[i].Add(1)
			return clock()
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range members {
		m.start()
	}
	connected := func() bool { return members[0].Status()[0].Connected && members[1].Status()[0].Connected }
	await(t, "they connect", wait, connected)
	moved.Store(int64(2 * time.Hour))
	_ = members[0].link(2).inUse().quic.CloseWithError(closeBroken, "the network broke")
	await(t, "they miss each other", wait, func() bool { return !connected() })
	time.Sleep(time.Second) // until both wait
	judged[0].Store(0)
	judged[1].Store(0)
	time.Sleep(3 * time.Second)
	for i, m := range members {
		// A handshake looks some ten times; a hundred handshakes a second were a storm.
		if n := judged[i].Load(); connected() || n > 100 {
			t.Errorf("%s looked at the clock %d times in 3 s, connected: %v", m.config.Name, n, connected())
		}
		if err := maker.Renew(dir, filepath.Join(dir, "member-"+m.config.Name+".crt")); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "they connect by the new certificates", wait, connected)
}

func TestOtherMemberUnderTheAddress(t *testing.T) {
	members := newMembers(t, 3)
	// n1 looks for n2 where n3 is.
	peers := append([]Peer(nil), members[0].peers...)
	peers[1].Addresses = peers[2].Addresses
	members[0].peers = peers[:2]
	members[0].start()
	members[2].start()
	await(t, "n1 says who answers", wait, func() bool {
		return strings.Contains(members[0].Status()[0].LastErr, `qkv://test/member/n3 answers, but the member "n2" is expected`)
	})
	await(t, "n3 is told that n1 does not know it", wait, func() bool {
		r := members[2].refused()
		return len(r) > 0 && strings.Contains(r[0].Text, `"n3" with ID 0000000000000003 is not in the member list of "n1"`)
	})
}

func TestOtherClusterAndOtherIDs(t *testing.T) {
	t.Run("cluster", func(t *testing.T) {
		expectRefused(t, func(_, n2 *member) { n2.config.Cluster = 0xc2 },
			"the sender belongs to 00000000000000c", "the sender belongs to 00000000000000c")
	})
	t.Run("id", func(t *testing.T) {
		members := newMembers(t, 2)
		peers := append([]Peer(nil), members[1].peers...)
		peers[0].ID = 77 // n2 has another id for n1
		members[1].peers = peers
		for _, m := range members {
			m.start()
		}
		for _, m := range members { // whoever dialled first was refused by the other one
			await(t, m.config.Name+" says what is wrong", wait, func() bool {
				s := m.Status()[0].LastErr
				return strings.Contains(s, "the sender expects 000000000000004d") || strings.Contains(s, `"n1" with ID 0000000000000001 is not in the member list`)
			})
		}
	})
}

// TestOtherClusterWithoutALink has a member of another cluster call a member that has no link to it, as after a recovery. The handler hears
// of it again with each attempt.
func TestOtherClusterWithoutALink(t *testing.T) {
	testlong.Skip(t)
	members := newMembers(t, 2)
	here, old := members[0], members[1]
	here.peers, old.config.Cluster = here.peers[:1], 0xc2
	for _, m := range members {
		m.start()
	}
	await(t, "the handler is told of n2 twice", wait, func() bool {
		here.mu.Lock()
		defer here.mu.Unlock()
		return len(here.turned) > 1
	})
	here.mu.Lock()
	defer here.mu.Unlock()
	for _, said := range here.turned {
		if !strings.HasPrefix(said, "n2: cluster ID mismatch: the sender belongs to 00000000000000c2") {
			t.Errorf("the handler is told %q", said)
		}
	}
}

// dialAs dials a member as somebody else, and returns the connection or why there is none.
func dialAs(t *testing.T, to string, config *tls.Config) (*quic.Conn, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	q, err := quic.DialAddr(ctx, to, config, dialConfig)
	if q != nil {
		t.Cleanup(func() { closeQUIC(q, 0, "the test is over") })
	}
	return q, err
}

// whyEnded waits for the end of a connection. A client's handshake is complete before the server has seen its certificate.
func whyEnded(t *testing.T, q *quic.Conn, err error) error {
	t.Helper()
	if err != nil {
		return wire.Explain(err)
	}
	select {
	case <-q.Context().Done():
		return wire.Explain(context.Cause(q.Context()))
	case <-time.After(wait):
		t.Fatal("the connection was not ended")
		return nil
	}
}

func TestClientIsNoPeer(t *testing.T) {
	m := newMembers(t, 1)[0]
	m.start()
	alice, err := wire.LoadClient(authority(), "alice", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	q, err := dialAs(t, m.address(), wire.ClientTLS(alice, wire.ProtocolPeer, wire.Identity{Class: wire.ClassMember}))
	if err := whyEnded(t, q, err); !strings.Contains(err.Error(), "the wrong class") {
		t.Errorf("the client is told: %v", err)
	}
	await(t, "the member logs it", wait, func() bool {
		return strings.Contains(m.logged.String(), "qkv://test/client/alice has a client certificate, but a member certificate is required here")
	})
}

// TestPeerThatDialledTooEarly: an attempt of a connected peer's that nobody continued is nothing to warn of, one from elsewhere is.
func TestPeerThatDialledTooEarly(t *testing.T) {
	members := newMembers(t, 2)
	for _, m := range members {
		m.start()
	}
	n1 := members[0]
	await(t, "the two to be connected", wait, func() bool { return n1.Status()[0].Connected })
	peer, err := net.ResolveUDPAddr("udp", members[1].address())
	if err != nil {
		t.Fatal(err)
	}
	n1.logUnfinished(peer, &quic.IdleTimeoutError{})
	if said := n1.logged.String(); strings.Contains(said, "timeout in the handshake") {
		t.Errorf("of a connected peer it says:\n%s", said)
	}
	peer.Port++
	n1.logUnfinished(peer, &quic.IdleTimeoutError{})
	if said := n1.logged.String(); !strings.Contains(said, "timeout in the handshake") {
		t.Errorf("of another address it does not say so:\n%s", said)
	}
}

// The address of a peer may be that of a client port. No certificate is at fault.
func TestPeerAtAnotherPort(t *testing.T) {
	members := newMembers(t, 2)
	n1 := members[0]
	socket := members[1].config.Listen // that of a peer port, on which n2 serves clients
	transport := &quic.Transport{Conn: socket}
	defer transport.Close()
	if _, err := transport.Listen(wire.ServerTLS(credentials(t, authority(), "n2"), wire.ProtocolClient, wire.ClassMember), nil); err != nil {
		t.Fatal(err)
	}
	n1.start()
	await(t, "n1 says which port it is", wait, func() bool { return strings.Contains(n1.Status()[0].LastErr, "wrong port") })
	if n1.Status()[0].Untrusted {
		t.Error("a certificate is said to be at fault")
	}
}

func TestWrongProtocolAndNoCertificate(t *testing.T) {
	m := newMembers(t, 1)[0]
	m.start()
	n2 := credentials(t, authority(), "n2")
	q, err := dialAs(t, m.address(), wire.ClientTLS(n2, wire.ProtocolClient, wire.Identity{Class: wire.ClassMember}))
	if err := whyEnded(t, q, err); !strings.Contains(err.Error(), "uses another protocol") {
		t.Errorf("the client is told: %v", err)
	}
	q, err = dialAs(t, m.address(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{wire.ProtocolPeer}})
	if err := whyEnded(t, q, err); !strings.Contains(err.Error(), "requires a certificate") {
		t.Errorf("the client is told: %v", err)
	}
	await(t, "the member logs it", wait, func() bool {
		return strings.Contains(m.logged.String(), "another protocol")
	})
}

// hostile returns a connection to a member with a certificate that it believes, on which anything can be written.
func hostile(t *testing.T, m *member, name string) *quic.Conn {
	t.Helper()
	q, err := dialAs(t, m.address(), wire.ClientTLS(credentials(t, authority(), name), wire.ProtocolPeer, wire.Identity{Class: wire.ClassMember}))
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func TestHostileHandshake(t *testing.T) {
	t.Parallel()
	members := newMembers(t, 2)
	m := members[0]
	m.start()
	for name, handshake := range map[string][]byte{
		"length 0":        {0, 0, 0, 0},
		"huge length":     {0xff, 0xff, 0xff, 0xff, 1, 2, 3},
		"not msgpack":     append([]byte{0, 0, 0, 5}, 0xc1, 1, 2, 3, 4),
		"huge array":      append([]byte{0, 0, 0, 5}, 0xdd, 0xff, 0xff, 0xff, 0xff),
		"another version": append([]byte{0, 0, 0, 3}, 0x92, 7, 7),
		"cut":             {0, 0, 1, 0, 1, 2},
	} {
		t.Run(name, func(t *testing.T) {
			q := hostile(t, m, "n2")
			stream, err := q.OpenStream()
			if err != nil {
				t.Fatal(err)
			}
			_, _ = stream.Write(handshake)
			_ = stream.Close()
			err = whyEnded(t, q, nil)
			if !strings.Contains(err.Error(), "handshake") && !strings.Contains(err.Error(), "EOF") {
				t.Errorf("ended by %v", err)
			}
		})
	}
	t.Run("silence", func(t *testing.T) {
		if err := whyEnded(t, hostile(t, m, "n2"), nil); !strings.Contains(err.Error(), "no handshake was received") {
			t.Errorf("ended by %v", err)
		}
	})
	members[1].start()
	awaitAll(t, members)
}

// One that got in and then breaks the rules loses its connection, and nothing else happens.
func TestHostileStreams(t *testing.T) {
	members := newMembers(t, 2)
	m := members[0]
	m.start()
	for i, bytes := range [][]byte{
		{9},                                  // no such class
		{byte(peerframe.Append), 0, 0, 0, 0}, // an empty frame
		{byte(peerframe.Bulk), 0xff, 0xff, 0xff, 0xff},  // 4 GiB
		{byte(peerframe.Urgent), 0x02, 0x00, 0x00, 0x0}, // 32 MiB
	} {
		q := hostile(t, m, "n2")
		answer, first, err := exchange(q, &peerframe.Handshake{
			Cluster: 0xc1, From: 2, To: 1, Dial: 1, MemberIdentity: peerframe.MemberIdentity{Folder: folderOf(2), Process: [16]byte{byte(i + 1)}},
		})
		if err != nil || answer.From != 1 || answer.Folder != folderOf(1) {
			t.Fatalf("%+v %v", answer, err)
		}
		_ = first.Close()
		stream, err := q.OpenUniStream()
		if err != nil {
			t.Fatal(err)
		}
		_, _ = stream.Write(bytes)
		if err := whyEnded(t, q, nil); !strings.Contains(err.Error(), "invalid peer frame") {
			t.Errorf("% x: ended by %v", bytes, err)
		}
		if _, err := q.OpenStream(); err == nil {
			t.Error("a second handshake stream could be opened")
		}
	}
	members[1].start()
	awaitAll(t, members)
	if n := len(m.frames(2, peerframe.Append)); n != 0 {
		t.Errorf("%d frames came out of it", n)
	}
}

// Random bytes, and bytes that look like the start of something, on the UDP port.
func TestGarbageOnThePort(t *testing.T) {
	members := startAll(t, 2)
	before := members[0].Status()[0].Since
	socket, err := net.Dial("udp", members[0].address())
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	random := mathrand.New(mathrand.NewPCG(1, 2))
	for i := range 20_000 {
		b := make([]byte, 1+random.IntN(1400))
		for k := range b {
			b[k] = byte(random.Uint32())
		}
		if len(b) > 6 && i%2 == 0 {
			copy(b, []byte{0xc0 | b[0]&0x3f, 0, 0, 0, 1, 8}) // a long header of QUIC version 1
		}
		_, _ = socket.Write(b)
	}
	for i := range uint64(200) {
		members[1].Send(1, peerframe.Append, []byte{byte(i)}, false)
	}
	await(t, "frames still arrive", wait, func() bool { return len(members[0].frames(2, peerframe.Append)) > 100 })
	time.Sleep(50 * time.Millisecond)
	if s := members[0].Status()[0]; !s.Connected || s.Since != before {
		t.Errorf("the connection was lost: %+v", s)
	}
}

// More connections that never finish their handshake than are allowed: peers still get in.
func TestHandshakeFlood(t *testing.T) {
	members := newMembers(t, 2)
	m := members[0]
	m.start()
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		flood(t, m.address(), stop)
	}()
	await(t, "the flood arrives", wait, func() bool { return m.handshakes.Count() >= peerHandshakesAddress/4 })
	members[1].start()
	await(t, "n2 gets in", wait, func() bool { return m.connectedTo(2) })
	if n := m.handshakes.Count(); n > peerHandshakes {
		t.Errorf("%d handshakes at once, the limit is %d", n, peerHandshakes)
	}
	close(stop)
	<-done
}

// With a quarter of all handshakes under way a new one has less time.
func TestHandshakesHurry(t *testing.T) {
	m := newMembers(t, 1)[0]
	m.start()
	for n := range peerHandshakes / 4 {
		if took := m.accepting().HandshakeIdleTimeout; took != peerHandshakeTimeout {
			t.Fatalf("beside %d others a handshake has %v, want %v", n, took, peerHandshakeTimeout)
		}
		if err := m.handshakes.Begin(&net.UDPAddr{IP: net.IPv4(10, 9, 0, byte(n))}); err != nil {
			t.Fatal(err)
		}
	}
	config, err := m.accepting().GetConfigForClient(nil)
	if err != nil || config.HandshakeIdleTimeout != limits.HandshakeHurry {
		t.Errorf("beside a quarter of all a handshake has %v, want %v: %v", config.HandshakeIdleTimeout, limits.HandshakeHurry, err)
	}
}

// flood sends the first packets of handshakes again and again, each from a new socket, and never answers.
func flood(t *testing.T, address string, stop chan struct{}) {
	config := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{wire.ProtocolPeer}}
	for {
		select {
		case <-stop:
			return
		default:
		}
		ctx, cancel := context.WithCancel(context.Background())
		socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			cancel()
			t.Error(err)
			return
		}
		deaf := &deafSocket{UDPConn: socket, sent: sync.OnceFunc(cancel)}
		to, _ := net.ResolveUDPAddr("udp", address)
		transport := &quic.Transport{Conn: deaf}
		_, _ = transport.Dial(ctx, to, config, dialConfig)
		cancel()
		_ = socket.Close() // before the transport can say that it gave up
		_ = transport.Close()
	}
}

// deafSocket hears nothing, and tells when something was sent.
type deafSocket struct {
	*net.UDPConn
	sent func()
}

func (d *deafSocket) WriteTo(b []byte, to net.Addr) (int, error) {
	defer d.sent()
	return d.UDPConn.WriteTo(b, to)
}

func (d *deafSocket) WriteMsgUDP(b, oob []byte, to *net.UDPAddr) (n, oobn int, err error) {
	defer d.sent()
	return d.UDPConn.WriteMsgUDP(b, oob, to)
}

func (d *deafSocket) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		if n, from, err := d.UDPConn.ReadFrom(b); err != nil {
			return n, from, err
		}
	}
}

func (d *deafSocket) ReadMsgUDP(b, oob []byte) (int, int, int, *net.UDPAddr, error) {
	for {
		if n, m, flags, from, err := d.UDPConn.ReadMsgUDP(b, oob); err != nil {
			return n, m, flags, from, err
		}
	}
}
