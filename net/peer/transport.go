package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"qkv/internal/limits"
	"qkv/net/wire"
	"qkv/net/wire/peerframe"
)

// Peer is another member, and how to reach it.
type Peer struct {
	ID        uint64
	Name      string   // as in its certificate; empty of one that has not said it yet, and may have any
	Addresses []string // host:port, UDP; tried in turn, the first one first
}

// Config is all that a Transport needs to know.
type Config struct {
	Cluster uint64 // what a peer must say too
	Name    string // this member's, as in its certificate
	Member  uint64
	Process [16]byte     // as in the member's identity
	Listen  *net.UDPConn // belongs to the Transport from Start on, see Listen; also when Start fails

	// Alive is the TCP listener that shows that this process is there, see ListenAlive; nil: nobody can ask. It belongs to
	// the Transport as Listen does.
	Alive net.Listener

	Trust    Trust
	ResetKey [32]byte // persisted: lets peers notice at once that this member was restarted
	Seed     uint64   // of the jitter in delays: another one at each start

	Logger *slog.Logger
}

// Trust is by what members know each other: *wire.Credentials, whose certificates name their members, or *wire.FileTrust, where a
// certificate is that of the member at whose host it was made for.
type Trust interface {
	// Accept is how connections are accepted: who shows no certificate that is believed does not come in.
	Accept() *tls.Config
	// Dial is how the member of a name is dialled at an address; an empty name is any member.
	Dial(protocol, name, address string) *tls.Config
	// Belongs says why this is not the trust of a member of that name.
	Belongs(name string) error
	// NameIn returns the member that a certificate names; none where Vouches decides.
	NameIn(state tls.ConnectionState) (string, error)
	// Vouches says why a certificate that names nobody is not that of a member at these addresses.
	Vouches(state tls.ConnectionState, addresses []string) error
}

// Handler is the member that a Transport serves. Its methods are called from many goroutines; but for one peer
// Connected, Receive of that connection, Disconnected come in this order, and Receive once at a time for one class.
type Handler interface {
	// Identity is what this member says of itself at the moment; it is asked for each connection.
	Identity() peerframe.MemberIdentity
	// Admit judges what a peer says of itself; an error goes to the peer, as a *peerframe.Refusal or by its text alone, and
	// the connection is not used. It may be asked about a connection that does not come into use.
	Admit(from uint64, identity peerframe.MemberIdentity) error
	// Receive takes a frame. It belongs to the callee, which must not block for long.
	Receive(from uint64, class peerframe.Class, frame []byte)
	Connected(peer uint64)
	Disconnected(peer uint64)
	// Died tells that no process of the peer is there, as its host says: Transport.CheckAlive.
	Died(peer uint64)
	// Refused tells that the peer refuses this member; it is asked again in some seconds.
	Refused(peer uint64, why peerframe.Refusal)
	// Copied tells that a second process of the peer was refused, and why, while the first one is alive.
	Copied(peer uint64, why string)
	// Stranger is asked about a member of this cluster that is no peer: it may make it one by SetPeers, and the connection goes
	// on, or returns what a member of this cluster is told that is no peer, or no more; nil when that is all there is to
	// say. Its name is as in its certificate, and empty where that names nobody, its id as it believes.
	Stranger(name string, id uint64) *peerframe.Refusal
	// Join answers a member that asks who it is in the cluster, or refuses it. The name is as in its certificate; where that names
	// nobody, the certificate must fit the addresses of the member that the answer is for.
	Join(request peerframe.JoinRequest) (peerframe.Welcome, *peerframe.Refusal)
}

// Transport connects a member with its peers. All methods are for any goroutine.
type Transport struct {
	config  Config
	handler Handler // from Start on
	quic    *quic.Transport
	ctx     context.Context // ends with Close
	ends    context.CancelFunc
	all     sync.WaitGroup
	log     rateLimitedLog

	handshakes *wire.Handshakes                 // connections that did not say who they are yet
	dials      atomic.Uint64                    // handshakes that were sent
	links      atomic.Pointer[map[uint64]*link] // by the peers' ids; a map never changes, but is replaced

	mu      sync.Mutex
	started bool
	closed  bool
	ending  map[uint64]*link // by id, the newest link that was taken away and whose goroutine has not ended
	jitter  *rand.Rand       // seeds that of the links
}

// Listen opens the UDP socket of a Transport.
func Listen(address string) (*net.UDPConn, error) {
	at, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return nil, fmt.Errorf("the address %q to listen on for peers is no HOST:PORT: %w", address, err)
	}
	return wire.ListenUDP("peers", at)
}

// What both kinds of connections have in common. Streams are opened once and never replaced.
func quicConfig(handshakeStreams int64) *quic.Config {
	return &quic.Config{
		InitialPacketSize:              limits.PacketLeast,
		HandshakeIdleTimeout:           limits.PeerHandshakeTimeout,
		MaxIdleTimeout:                 limits.PeerIdleTimeout,
		KeepAlivePeriod:                limits.PeerKeepAlive,
		InitialStreamReceiveWindow:     limits.PeerStreamBytes,
		MaxStreamReceiveWindow:         limits.PeerStreamBytesMost,
		InitialConnectionReceiveWindow: uint64(peerframe.Classes) * limits.PeerStreamBytesMost,
		MaxConnectionReceiveWindow:     uint64(peerframe.Classes) * limits.PeerStreamBytesMost,
		MaxIncomingStreams:             handshakeStreams,
		MaxIncomingUniStreams:          int64(peerframe.Classes),
		RequireStreamCreditRelease:     true,
		Allow0RTT:                      false,
	}
}

var (
	dialConfig   = quicConfig(-1)
	acceptConfig = quicConfig(1)
)

// accepting is acceptConfig, for each connection with the time that its handshake has at that moment.
func (t *Transport) accepting() *quic.Config {
	config := acceptConfig.Clone()
	config.HandshakeIdleTimeout = t.handshakes.Timeout(limits.PeerHandshakeTimeout)
	config.GetConfigForClient = func(*quic.ClientInfo) (*quic.Config, error) { return t.accepting(), nil }
	return config
}

// New returns a Transport that drops what is sent until it is started. A configuration that cannot work is refused.
func New(config Config) (*Transport, error) {
	if err := config.check(); err != nil {
		return nil, err
	}
	t := &Transport{
		config: config,
		log:    rateLimitedLog{logger: config.Logger},

		handshakes: wire.NewHandshakes(limits.PeerHandshakes, limits.PeerHandshakesAddress, limits.PeerHandshakesTrusted),

		ending: map[uint64]*link{},
		jitter: rand.New(rand.NewPCG(config.Seed, config.Member)),
	}
	t.ctx, t.ends = context.WithCancel(context.Background())
	t.links.Store(&map[uint64]*link{})
	return t, nil
}

// check refuses a configuration that cannot work.
func (c *Config) check() error {
	return c.Trust.Belongs(c.Name)
}

// Start begins to listen and to dial. The handler may be called before it returns. A Transport that was started is to
// be closed; one that was not, or failed to, has nothing that would have to be.
func (t *Transport) Start(h Handler) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.handler = h
	resetKey := quic.StatelessResetKey(t.config.ResetKey)
	t.quic = &quic.Transport{
		Conn:                wire.ReceiveOffload(t.config.Listen),
		StatelessResetKey:   &resetKey,
		ConnContext:         t.meet,
		VerifySourceAddress: t.handshakes.Verify,
	}
	listener, err := t.quic.Listen(t.config.Trust.Accept(), t.accepting())
	if err != nil {
		_ = errors.Join(t.config.Listen.Close(), t.closeAlive())
		return fmt.Errorf("cannot listen for peers on %s: %w", t.config.Listen.LocalAddr(), err)
	}
	t.started = true
	t.all.Go(func() { t.accept(t.ctx, listener) })
	if t.config.Alive != nil {
		t.all.Go(func() { t.showAlive(t.ctx) })
	}
	for _, l := range *t.links.Load() {
		t.begin(l)
	}
	return nil
}

// SetPeers says who the peers are from now on; this member itself among them is passed over. It may be called at any
// time, and never waits. What is the same as before goes on undisturbed:
//
//  1. A new peer is dialled at once. One with another name or id than before is another peer, unless it had none.
//  2. Other addresses are those of the next dial, which is at once if the peer is not connected.
//  3. Who is no peer any more loses its connection, with what Handler.Stranger says; what waits for it is dropped.
//     Handler.Disconnected is called once if it was connected, and is then the last that is said of it; if it was
//     not, no call begins any more. If it becomes a peer again, that begins after the end.
func (t *Transport) SetPeers(peers []Peer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	before, now := *t.links.Load(), map[uint64]*link{}
	for _, p := range peers {
		if p.ID == t.config.Member {
			continue
		}
		l := before[p.ID]
		if l != nil && l.name() == "" {
			l.called.Store(&p.Name) // it has said so now
		}
		if l == nil || l.name() != p.Name {
			l = newLink(t, p)
		}
		now[p.ID] = l
		l.setAddresses(p.Addresses)
	}
	t.links.Store(&now)
	for id, l := range before {
		if now[id] != l {
			l.cancel(errNoPeer)
			if t.started {
				t.ending[id] = l
			}
		}
	}
	for id, l := range now {
		if before[id] != l && t.started {
			t.begin(l)
		}
	}
}

// Peers is how many peers there are.
func (t *Transport) Peers() int { return len(*t.links.Load()) }

// begin starts a link's goroutine. It does nothing before the link that the peer had before has ended, so that what the
// handler is told of the two does not mix. The caller holds mu.
func (t *Transport) begin(l *link) {
	previous := t.ending[l.id]
	t.all.Go(func() {
		if previous != nil {
			<-previous.ended
		}
		l.run(l.ctx)
		close(l.ended)
		t.mu.Lock()
		if t.ending[l.id] == l {
			delete(t.ending, l.id)
		}
		t.mu.Unlock()
	})
}

// Send sends a frame to a peer if it is one and there is a connection and room, and drops it otherwise; it never waits. The frame
// must not change any more. A lazy one waits up to a millisecond to share a packet with the next frame to that peer.
func (t *Transport) Send(to uint64, class peerframe.Class, frame []byte, lazy bool) {
	if len(frame) == 0 || len(frame) > limits.PeerFrameBytes || class >= peerframe.Classes {
		panic(fmt.Sprintf("peer: a frame of %d bytes (limit %d) as %v", len(frame), limits.PeerFrameBytes, class))
	}
	l := (*t.links.Load())[to]
	if l == nil {
		return // it was removed, or is not added yet
	}
	if c := l.out.Load(); c == nil || !c.send(class, frame, lazy) {
		l.dropped.Add(1)
	}
}

// PeerStatus is what is known of the way to one peer.
type PeerStatus struct {
	Peer
	Connected bool
	Dialled   bool      // by this member
	Since     time.Time // the connection
	Remote    string    // where it is: the address that was dialled, as it was given, or that it called from
	RTT       time.Duration
	LastErr   string // why it is not connected

	// Since the start.
	SentFrames, SentBytes, ReceivedBytes uint64
	Dropped                              uint64 // frames: no connection, no room, or lost with a connection before they were written

	// Of this connection.
	Queued                                    int // bytes
	PacketsSent, PacketsReceived, PacketsLost uint64
}

// Status tells about all peers, in the order of their ids.
func (t *Transport) Status() []PeerStatus {
	var all []PeerStatus
	for _, l := range *t.links.Load() {
		all = append(all, l.status())
	}
	slices.SortFunc(all, func(a, b PeerStatus) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return all
}

func (l *link) status() PeerStatus {
	l.mu.Lock()
	s := PeerStatus{Peer: Peer{l.id, l.name(), l.addresses}, LastErr: l.lastErr}
	l.mu.Unlock()
	s.SentFrames, s.SentBytes = l.sent.frames.Load(), l.sent.bytes.Load()
	s.ReceivedBytes = l.received.Load()
	s.Dropped = l.dropped.Load()
	c := l.out.Load()
	if c == nil {
		return s
	}
	stats := c.quic.ConnectionStats()
	s.Connected, s.Dialled, s.Since, s.Remote, s.LastErr = true, c.mine, c.since, c.at, ""
	s.RTT = stats.SmoothedRTT
	s.PacketsSent, s.PacketsReceived, s.PacketsLost = stats.PacketsSent, stats.PacketsReceived, stats.PacketsLost
	for _, q := range c.queues {
		s.Queued += q.waiting()
	}
	return s
}

// Close ends all connections and goroutines, and closes the socket. No method of the handler is called after it.
func (t *Transport) Close() error {
	t.mu.Lock()
	again := t.closed
	t.closed = true
	t.mu.Unlock()
	t.ends()
	ended := t.closeAlive()
	t.all.Wait()
	if again {
		return nil
	}
	return errors.Join(t.quic.Close(), t.config.Listen.Close(), ended)
}
