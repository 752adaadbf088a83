package peer

import (
	"context"
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

	"qkv/log/limits"
	"qkv/net/wire"
)

// Class says how urgent a frame is. Frames of one class keep their order, those of different classes do not.
type Class uint8

// The classes, each a stream of its own.
const (
	Urgent  Class = iota // votes and heartbeats
	Append               // appends, forwarded proposals and reads
	Bulk                 // pieces of snapshots
	classes Class = iota
)

var classNames = [classes]string{"urgent frames", "appends", "bulk data"}

func (c Class) String() string {
	if c < classes {
		return classNames[c]
	}
	return fmt.Sprintf("Class(%d)", uint8(c))
}

// Peer is another member, and how to reach it.
type Peer struct {
	ID      uint64
	Name    string // as in its certificate
	Address string // host:port, UDP
}

// Config is all that a Transport needs to know. The functions are called from many goroutines; but for one peer
// Connected, Receive of that connection, Disconnected come in this order, and Receive once at a time for one class.
type Config struct {
	Cluster string // what a peer must say too; it is the same on all members of one founding list
	Name    string // this member's, as in its certificate
	Member  uint64
	Listen  *net.UDPConn // belongs to the Transport from Start on, see Listen; also when Start fails
	Peers   []Peer       // this member itself among them is passed over

	Credentials *wire.Credentials
	ResetKey    [32]byte // persisted: lets peers notice at once that this member was restarted
	Seed        uint64   // of the process' number and of the chance in delays: another one at each start

	Hello func() []byte // this member's part of a hello, at most limits.PeerHelloBytes less 1 KiB; asked for each connection
	// Admit judges a peer's hello; an error's text goes to the peer, and the connection is not used. It may be asked
	// about a connection that does not come into use.
	Admit        func(from uint64, hello []byte) error
	Receive      func(from uint64, class Class, frame []byte) // frame is the callee's; it must not block for long
	Connected    func(id uint64)
	Disconnected func(id uint64)
	Refused      func(id uint64, reason string) // the peer refused this member; it is asked again in some seconds

	Logger *slog.Logger
}

// Transport connects a member with its peers. All methods are for any goroutine.
type Transport struct {
	config  Config
	process uint64
	links   map[uint64]*link
	names   map[string]*link
	quic    *quic.Transport
	ends    context.CancelFunc
	all     sync.WaitGroup
	closed  sync.Once
	quiet   quiet

	handshakes atomic.Int64 // connections that did not say who they are yet
	unknown    atomic.Uint64
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
func quicConfig(helloStreams int64) *quic.Config {
	return &quic.Config{
		HandshakeIdleTimeout:           2 * time.Second,
		MaxIdleTimeout:                 3 * time.Second,
		KeepAlivePeriod:                time.Second,
		InitialStreamReceiveWindow:     limits.PeerStreamBytes,
		MaxStreamReceiveWindow:         limits.PeerStreamBytes,
		InitialConnectionReceiveWindow: uint64(classes) * limits.PeerStreamBytes,
		MaxConnectionReceiveWindow:     uint64(classes) * limits.PeerStreamBytes,
		MaxIncomingStreams:             helloStreams,
		MaxIncomingUniStreams:          int64(classes),
		RequireStreamCreditRelease:     true,
		Allow0RTT:                      false,
	}
}

var (
	dialConfig   = quicConfig(-1)
	acceptConfig = quicConfig(1)
)

// Start begins to listen and to dial. The functions of config may be called before it returns.
func Start(config Config) (*Transport, error) {
	if err := config.check(); err != nil {
		_ = config.Listen.Close()
		return nil, err
	}
	chance := rand.New(rand.NewPCG(config.Seed, config.Member))
	t := &Transport{
		config:  config,
		process: chance.Uint64() | 1, // 0 stands for none
		links:   map[uint64]*link{},
		names:   map[string]*link{},
		quiet:   quiet{logger: config.Logger},
	}
	resetKey := quic.StatelessResetKey(config.ResetKey)
	t.quic = &quic.Transport{
		Conn:                config.Listen,
		StatelessResetKey:   &resetKey,
		ConnContext:         t.meet,
		VerifySourceAddress: func(net.Addr) bool { return t.handshakes.Load() >= limits.PeerHandshakesTrusted },
	}
	listener, err := t.quic.Listen(wire.ServerTLS(config.Credentials, wire.ProtocolPeer, wire.ClassMember), acceptConfig)
	if err != nil {
		_ = config.Listen.Close()
		return nil, fmt.Errorf("cannot listen for peers on %s: %w", config.Listen.LocalAddr(), err)
	}
	t.start(listener, chance)
	return t, nil
}

// start makes the links and starts all goroutines.
func (t *Transport) start(listener *quic.Listener, chance *rand.Rand) {
	ctx, cancel := context.WithCancel(context.Background())
	t.ends = cancel
	for _, p := range t.config.Peers {
		if p.ID == t.config.Member {
			continue
		}
		l := &link{
			transport: t, id: p.ID, name: p.Name, address: p.Address,
			chance:  rand.New(rand.NewPCG(chance.Uint64(), p.ID)),
			changed: make(chan struct{}, 1),
			choice:  choice{lower: t.config.Member < p.ID, process: t.process},
			trouble: "not reached yet",
		}
		t.links[p.ID], t.names[p.Name] = l, l
	}
	t.all.Go(func() { t.accept(ctx, listener) })
	for _, l := range t.links {
		t.all.Go(func() { l.run(ctx) })
	}
}

// check refuses a configuration that cannot work.
func (c *Config) check() error {
	seen := map[any]bool{}
	for _, p := range c.Peers {
		if seen[p.ID] || seen[p.Name] {
			return fmt.Errorf("the cluster list names the member %q, id %016x, twice", p.Name, p.ID)
		}
		seen[p.ID], seen[p.Name] = true, true
		if (p.ID == c.Member) != (p.Name == c.Name) {
			return fmt.Errorf("the cluster list has the member %q with the id %016x, and this member is %q with the id %016x", p.Name, p.ID, c.Name, c.Member)
		}
		if err := wire.CheckName(p.Name); err != nil {
			return fmt.Errorf("the cluster list: %w", err)
		}
		if _, _, err := net.SplitHostPort(p.Address); err != nil && p.ID != c.Member {
			return fmt.Errorf("the address of the member %q is not HOST:PORT: %w", p.Name, err)
		}
	}
	if id := c.Credentials.Identity; id.Class != wire.ClassMember || id.Name != c.Name {
		return fmt.Errorf("%s is the certificate of %v, and this is the member %q", c.Credentials.Source, id, c.Name)
	}
	return nil
}

// Send sends a frame to a peer if there is a connection and room, and drops it otherwise; it never waits. The frame
// must not change any more. A lazy one waits up to a millisecond to share a packet with the next frame to that peer.
func (t *Transport) Send(to uint64, class Class, frame []byte, lazy bool) {
	if len(frame) == 0 || len(frame) > limits.PeerFrameBytes || class >= classes {
		panic(fmt.Sprintf("peer: a frame of %d bytes (limit %d) as %v", len(frame), limits.PeerFrameBytes, class))
	}
	l := t.links[to]
	if l == nil {
		t.unknown.Add(1)
		return
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
	Remote    string    // the address it comes from
	RTT       time.Duration
	Trouble   string // why it is not connected

	// Since the start.
	SentFrames, SentBytes, ReceivedFrames, ReceivedBytes uint64
	Dropped                                              uint64 // frames: no connection, no room, or lost with a connection before they were written

	// Of this connection.
	Queued                                    int // bytes
	PacketsSent, PacketsReceived, PacketsLost uint64
}

// Status tells about all peers, in the order of their ids.
func (t *Transport) Status() []PeerStatus {
	var all []PeerStatus
	for _, l := range t.links {
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
	s := PeerStatus{Peer: Peer{l.id, l.name, l.address}, Trouble: l.trouble}
	l.mu.Unlock()
	s.SentFrames, s.SentBytes = l.sent.frames.Load(), l.sent.bytes.Load()
	s.ReceivedFrames, s.ReceivedBytes = l.received.frames.Load(), l.received.bytes.Load()
	s.Dropped = l.dropped.Load()
	c := l.out.Load()
	if c == nil {
		return s
	}
	stats := c.quic.ConnectionStats()
	s.Connected, s.Dialled, s.Since, s.Remote, s.Trouble = true, c.mine, c.since, c.quic.RemoteAddr().String(), ""
	s.RTT = stats.SmoothedRTT
	s.PacketsSent, s.PacketsReceived, s.PacketsLost = stats.PacketsSent, stats.PacketsReceived, stats.PacketsLost
	for _, q := range c.queues {
		s.Queued += q.waiting()
	}
	return s
}

// Close ends all connections and goroutines, and closes the socket. No function of Config is called after it.
func (t *Transport) Close() error {
	t.ends()
	t.all.Wait()
	var err error
	t.closed.Do(func() { err = errors.Join(t.quic.Close(), t.config.Listen.Close()) })
	return err
}
