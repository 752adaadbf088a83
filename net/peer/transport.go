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
	"qkv/internal/logx"
	"qkv/net/wire"
	"qkv/net/wire/peerframe"
)

// Peer is another member and its addresses.
type Peer struct {
	ID        uint64
	Name      string   // as in its certificate; empty before the member has reported it, and then any name fits
	Addresses []string // host:port, UDP; tried in turn, the first one first
}

// Config is the configuration of a Transport.
type Config struct {
	Cluster uint64 // must be the same at every peer
	Name    string // this member's, as in its certificate
	Member  uint64
	Process [16]byte     // as in the member's identity
	Listen  *net.UDPConn // owned by the Transport from Start on, even if Start fails; see Listen

	// Alive is the TCP listener that proves that this process is alive, see ListenAlive; nil: peers cannot ask. The Transport owns
	// it as it owns Listen.
	Alive net.Listener

	Trust    Trust
	ResetKey [32]byte // persisted: lets peers notice at once that this member was restarted
	Seed     uint64   // of the jitter in delays: a new one at each start

	Logger *slog.Logger
}

// Trust authenticates members: *wire.Credentials, whose certificates name their members, or *wire.FileTrust, whose certificates
// belong to the member at a host that they hold.
type Trust interface {
	// Accept returns how connections are accepted: a valid certificate is required.
	Accept() *tls.Config
	// Dial returns how to dial the member of a name at an address; an empty name is any member.
	Dial(protocol, name, address string) *tls.Config
	// Belongs returns an error if this is not the trust of the member name.
	Belongs(name string) error
	// NameIn returns the member that a certificate names; empty if Vouches decides.
	NameIn(state tls.ConnectionState) (string, error)
	// Vouches returns an error if a certificate that names no member does not fit a member at these addresses.
	Vouches(state tls.ConnectionState, addresses []string) error
}

// Handler is the member behind a Transport. Its methods are called from many goroutines. For one peer the order is Connected,
// Receive of that connection, Disconnected. Receive has at most one call at a time for one class of one peer.
type Handler interface {
	// Identity returns this member's current identity; it is called for each connection.
	Identity() peerframe.MemberIdentity
	// Admit judges a peer's identity. An error goes to the peer, as a *peerframe.Refusal or by its text alone, and the connection
	// is not used. Admit may be called for a connection that does not come into use.
	Admit(from uint64, identity peerframe.MemberIdentity) error
	// Receive takes a frame of a connection with the peer that has this identity, by its handshake. The frame belongs to the callee,
	// which must not block for long. A refusal closes the connection.
	Receive(from uint64, its *peerframe.MemberIdentity, class peerframe.Class, frame []byte) *peerframe.Refusal
	Connected(peer uint64)
	Disconnected(peer uint64)
	// Died reports that the peer's process is gone, according to its host: Transport.CheckAlive.
	Died(peer uint64)
	// Refused reports that the peer refuses this member; the link tries again after some seconds.
	Refused(peer uint64, why peerframe.Refusal)
	// Distrusted reports that the peer refuses this member's certificate, and why; the link tries again after some seconds.
	Distrusted(peer uint64, why string)
	// Copied reports that a second process of the peer was refused, and why, while the first one is alive.
	Copied(peer uint64, why string)
	// TurnedAway reports that a member of another cluster was refused, and why. It tries again after some seconds.
	TurnedAway(who, why string)
	// Stranger is called for a member of this cluster that is not a peer. It may make the member a peer by SetPeers, and the
	// connection goes on. Otherwise it returns the refusal for a member that is not a peer, or not any more; nil for the default
	// refusal. The name is as in its certificate, and empty if the certificate names no member; the id is as the member believes.
	Stranger(name string, id uint64) *peerframe.Refusal
	// Join answers a member that asks for its identity in the cluster, or refuses it. The name is as in its certificate. If the
	// certificate names no member, it must fit the addresses of the member in the answer.
	Join(request peerframe.JoinRequest) (peerframe.Welcome, *peerframe.Refusal)
	// Part opens a file of a snapshot for a peer that lacks it, or refuses it. The name is any text: only that of a part may become a path.
	Part(request peerframe.PartRequest) (PartFile, *peerframe.Refusal)
}

// Transport connects a member with its peers. All methods may be called from any goroutine.
type Transport struct {
	config  Config
	handler Handler // from ServeParts on
	quic    *quic.Transport
	ctx     context.Context // ends with Close
	ends    context.CancelFunc
	all     sync.WaitGroup
	log     *logx.Limited

	handshakes *wire.Handshakes                 // unauthenticated connections
	parts      chan struct{}                    // one element for each part that is being sent
	open       chan struct{}                    // closed by Start
	dials      atomic.Uint64                    // handshakes sent
	links      atomic.Pointer[map[uint64]*link] // by the peers' ids; a map is never modified, only replaced

	mu      sync.Mutex
	started bool
	closed  bool
	ending  map[uint64]*link // by id, the newest removed link whose goroutine has not ended
	jitter  *rand.Rand       // seeds the links' jitter
}

// Listen opens the UDP socket of a Transport.
func Listen(address string) (*net.UDPConn, error) {
	at, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return nil, fmt.Errorf("the peer address %q to listen on is not HOST:PORT: %w", address, err)
	}
	return wire.ListenUDP("peers", at)
}

const (
	// peerStreamBytes is QUIC's initial receive window of one stream between members. Measured on loopback: 256 KiB loses no packets to
	// QUIC's bound of 256 unread ones but is 20 % slower in bulk; 1 MiB and more lose many. If a window is filled in less than four
	// measured round trips, it doubles, up to peerStreamBytesMost: raft has no more in flight to one peer. A connection's window is the sum
	// of its streams' largest windows, to avoid head-of-line blocking by bulk data that is read slowly.
	peerStreamBytes     = 512 << 10
	peerStreamBytesMost = limits.InflightBytes
	// peerHandshakes bounds unidentified connections to the peers' port. From peerHandshakesTrusted on, a new connection must first prove
	// its source address (QUIC's Retry).
	peerHandshakes        = 256
	peerHandshakesTrusted = 16
	// peerHandshakesAddress bounds the handshakes of one source address, to leave slots for others. From a quarter of that on the address
	// must be proved, too.
	peerHandshakesAddress = peerHandshakes / 16
	// partTransfers is how many files of snapshots a member sends at a time: each other member fetches one at a time. The rate of each is
	// bounded ([PartFile.Sent]).
	partTransfers = 8
)

// The configuration that both kinds of connections share. Streams are opened once and never replaced.
func quicConfig(handshakeStreams int64) *quic.Config {
	return &quic.Config{
		InitialPacketSize:              limits.PacketLeast,
		EnableDatagrams:                true, // for wire.Route
		HandshakeIdleTimeout:           peerHandshakeTimeout,
		MaxIdleTimeout:                 limits.PeerIdleTimeout,
		KeepAlivePeriod:                limits.PeerKeepAlive,
		InitialStreamReceiveWindow:     peerStreamBytes,
		MaxStreamReceiveWindow:         peerStreamBytesMost,
		InitialConnectionReceiveWindow: uint64(peerframe.Classes) * peerStreamBytesMost,
		MaxConnectionReceiveWindow:     uint64(peerframe.Classes) * peerStreamBytesMost,
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

// accepting returns acceptConfig with the current handshake timeout, for each connection.
func (t *Transport) accepting() *quic.Config {
	config := acceptConfig.Clone()
	config.HandshakeIdleTimeout = t.handshakes.Timeout(peerHandshakeTimeout)
	config.GetConfigForClient = func(*quic.ClientInfo) (*quic.Config, error) { return t.accepting(), nil }
	return config
}

// New returns a Transport that drops all frames until it is started. It refuses an invalid configuration.
func New(config Config) (*Transport, error) {
	if err := config.Trust.Belongs(config.Name); err != nil {
		return nil, err
	}
	t := &Transport{
		config: config,
		log:    logx.NewLimited(config.Logger),

		handshakes: wire.NewHandshakes(peerHandshakes, peerHandshakesAddress, peerHandshakesTrusted),
		parts:      make(chan struct{}, partTransfers),
		open:       make(chan struct{}),

		ending: map[uint64]*link{},
		jitter: rand.New(rand.NewPCG(config.Seed, config.Member)),
	}
	t.ctx, t.ends = context.WithCancel(context.Background())
	t.links.Store(&map[uint64]*link{})
	return t, nil
}

// Start begins to listen and to dial. The handler may be called before Start returns. A started Transport must be closed; a
// Transport that was not started, or whose Start failed, needs no Close.
func (t *Transport) Start(h Handler) error {
	if err := t.ServeParts(h); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.started = true
	close(t.open)
	if t.config.Alive != nil {
		t.all.Go(func() { t.acceptAlive(t.ctx) })
	}
	for _, l := range *t.links.Load() {
		t.begin(l)
	}
	return nil
}

// ServeParts begins to listen before Start, with the same handler, so that peers get parts: Handler.Part and Handler.Stranger may be
// called. Other connections wait for Start. The Transport must be closed from then on.
func (t *Transport) ServeParts(h Handler) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.quic != nil {
		return nil
	}
	t.handler = h
	over := &quic.Transport{
		Conn:                wire.Socket(t.config.Listen),
		StatelessResetKey:   new(quic.StatelessResetKey(t.config.ResetKey)),
		ConnContext:         t.beginHandshake,
		VerifySourceAddress: t.handshakes.Verify,
	}
	listener, err := over.Listen(t.config.Trust.Accept(), t.accepting())
	if err != nil {
		_ = errors.Join(t.config.Listen.Close(), t.closeAlive())
		return fmt.Errorf("cannot listen for peers on %s: %w", t.config.Listen.LocalAddr(), err)
	}
	t.quic = over
	t.all.Go(func() { t.accept(t.ctx, listener) })
	return nil
}

// SetPeers sets the peers; it skips this member itself. It may be called at any time, and never waits. Unchanged peers are not
// disturbed:
//
//  1. A new peer is dialled at once. A member with another name or id than before is another peer, unless it had no name.
//  2. New addresses are used by the next dial, which is at once if the peer is not connected.
//  3. A removed peer loses its connection, with the answer of Handler.Stranger; its queued frames are dropped. If the peer was connected,
//     Handler.Disconnected is called once, as the last call for it; if not, no more calls begin. If the member becomes a peer again, its
//     new link begins after that end.
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
			l.peerName.Store(&p.Name) // the member has reported its name now
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

// Peers returns the number of peers.
func (t *Transport) Peers() int { return len(*t.links.Load()) }

// begin starts a link's goroutine. The goroutine waits until the peer's previous link has ended: the handler's calls for the two
// links do not mix. The caller holds mu.
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

// Send sends a frame to a peer. The frame is dropped if the member is not a peer, if there is no connection, or if the queue is
// full; Send never waits. The frame must not change any more. A lazy frame waits up to a millisecond to share a packet with the
// next frame to that peer.
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

// PeerStatus is the state of the connection to one peer.
type PeerStatus struct {
	Peer
	Connected bool
	Dialled   bool      // by this member
	Since     time.Time // the connection
	RTT       time.Duration
	LastErr   string // why it is not connected
	Untrusted bool   // because of a certificate

	// Since the start.
	SentFrames, SentBytes, ReceivedBytes uint64
	// frames: no connection, a full queue, or lost with a connection before they were written
	Dropped uint64

	// Of this connection.
	Queued                                    int // bytes
	PacketsSent, PacketsReceived, PacketsLost uint64
}

// Status returns the state of all peers, in the order of their ids.
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
	s := PeerStatus{Peer: Peer{l.id, l.name(), l.addresses}, LastErr: l.lastErr, Untrusted: l.untrusted}
	l.mu.Unlock()
	s.SentFrames, s.SentBytes = l.sent.frames.Load(), l.sent.bytes.Load()
	s.ReceivedBytes = l.received.Load()
	s.Dropped = l.dropped.Load()
	c := l.out.Load()
	if c == nil {
		return s
	}
	stats := c.quic.ConnectionStats()
	s.Connected, s.Dialled, s.Since, s.LastErr, s.Untrusted = true, c.mine, c.since, "", false
	s.RTT = stats.SmoothedRTT
	s.PacketsSent, s.PacketsReceived, s.PacketsLost = stats.PacketsSent, stats.PacketsReceived, stats.PacketsLost
	for _, q := range c.queues {
		s.Queued += q.waiting()
	}
	return s
}

// Close ends all connections and goroutines, and closes the socket. No method of the handler is called after it. If the Transport does not
// listen, Close does nothing more.
func (t *Transport) Close() error {
	t.mu.Lock()
	again := t.closed
	t.closed = true
	t.mu.Unlock()
	t.ends()
	ended := t.closeAlive()
	t.all.Wait()
	if again || t.quic == nil {
		return nil
	}
	return errors.Join(t.quic.Close(), t.config.Listen.Close(), ended)
}
