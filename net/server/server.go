package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/admit"
	"qkv/internal/audit"
	"qkv/internal/limits"
	"qkv/internal/logx"
	"qkv/internal/meter"
	"qkv/net/auth"
	"qkv/net/wire"
)

// Member is the endpoint's interface to the member behind it. All methods may be called from many goroutines.
type Member interface {
	// Propose hands over writes; a change of the membership is the only command of its proposal. Propose waits while the member's
	// queue is full: this is backpressure for the clients of that stream. Each request is completed once at p.ReplyTo, with a
	// Completion of kind CommandDone.
	Propose(p kv.Proposal)
	// ReadIndex asks for linearizable reads. Each request is completed once at to, with a Completion of kind ReadReady, when View
	// is new enough for it.
	ReadIndex(to kv.ReplyTo, requests []uint64, timeout time.Duration)
	// Watch passes on a request of a stream of watches; deliveries go to to. It may wait for a client's request; it does not wait
	// for WatchRoom and WatchEnd.
	Watch(to kv.WatchStream, r kv.WatchRequest)
	// AskLeases asks the leader's lease clock, requests[i] for asks[i]. Each is completed once at to, with a Completion of kind
	// LeaseTold. It does not wait for the queue of writes.
	AskLeases(to kv.ReplyTo, requests []uint64, asks []kv.LeaseAsk, timeout time.Duration)
	// Refuse returns the reason why the member takes no part in the cluster; nil if it does. It is called before each request except
	// those of wire.PathMember.
	Refuse() *kv.Error
	// Readmit lifts the suspension of the member with this id, or returns the reason why not.
	Readmit(member uint64) *kv.Error
	// MoveLeader makes another voter the leader: the voter with this id, or, with 0, the voter with the most of the log. Only the
	// leader can do this; other members answer Unavailable. It returns when there is a new leader, or with an error, when ctx ends,
	// or after a few election timeouts. An error that is Certain says that the leader was not moved.
	MoveLeader(ctx context.Context, to uint64) *kv.Error
	// View returns the newest applied state.
	View() *index.View
	// Status returns the member's report of its own state.
	Status() kv.Status
}

// Config is the configuration of a Server. Conn or Address, Credentials, Member, Hasher and Tokens must be given.
type Config struct {
	Conn        net.PacketConn // a bound UDP socket; the server closes it
	Address     string         // the address to bind if Conn is nil
	Credentials *wire.Credentials
	ResetKey    [32]byte // kept with the data folder: clients of a killed and restarted member notice at once
	Member      Member
	Start       *wire.Start // requests wait for the stage of it that they need; nil: it is over
	Logger      *slog.Logger

	Audit      *audit.Log        // nil: nothing is recorded
	Operations *meter.Operations // nil: clients' operations are not counted
	Backups    Backups           // the backup that this member makes while it leads; nil: none

	// The proofs of users: passwords and tokens. The other endpoint has the same.
	Hasher *auth.Hasher
	Tokens auth.Tokens

	MaxRequestBytes int   // the largest accepted write: at most limits.RequestBytes
	LeaseLeast      int64 // seconds: shorter TTLs are raised to this
	Limits          limits.Clients
}

// Server is a running endpoint.
type Server struct {
	// Constant.
	config    Config
	started   time.Time
	logger    *slog.Logger
	transport *quic.Transport
	listener  *quic.Listener
	stop      context.CancelFunc
	running   sync.WaitGroup // every goroutine of the server

	// Shared.
	handshakes   *wire.Handshakes // under way
	arrived      atomic.Int64     // connections, from their first packet to their end
	requests     atomic.Int64     // under way
	memory       *memoryBudget    // the memory budget of all clients
	reads        *admit.FairQueue // ranges and bodies that may look at many keys
	rangeRows    atomic.Int64     // keys that they have read
	draining     atomic.Bool
	moving       atomic.Bool   // Member.MoveLeader runs
	backups      atomic.Int64  // requests for backups under way
	long         atomic.Bool   // a long write is under way at the member
	log          *logx.Limited // for events that any client can cause
	mu           sync.Mutex
	closed       bool
	conns        int                         // len(conns) of all identities together
	identities   map[wire.Identity]*identity // the identities that have connections
	everAccepted uint64
	pushed       kv.Status // the newest push
	changes      uint64    // number of changes of the members
}

const (
	// The budget of limits.ClientBytes is at least clientRequests times the largest request that is allowed. A lone stream has an eighth,
	// and needs three times the request: for its buffer, the request, and a copy that waits for the answer.
	clientRequests = 32
	// clientHandshakesTrusted is how many handshakes may be in progress before a client must first prove its source address, by one more
	// round trip.
	clientHandshakesTrusted = 32
	// clientHandshakesAddress bounds the handshakes of one source address, to leave slots for others.
	clientHandshakesAddress = limits.ClientHandshakes / 16
	// memberConnectionWindow is a member's receive window for one client's connection. The member always reads all streams, except those of
	// clients that exceed their limits and take no answers.
	memberConnectionWindow = 1 << 20
	// clientConnectionsWide is how many connections of a member get that window. Further ones get memberNarrowWindow, because a client that
	// leaves a gap makes QUIC keep a full window: 64 KiB per round trip suffice on a LAN, and all connections together need 320 MiB.
	clientConnectionsWide = 64
	memberNarrowWindow    = 64 << 10
	// clientHandshakeTimeout ends a native handshake during which the other side sends nothing, unless limits.HandshakeHurry applies.
	clientHandshakeTimeout = 5 * time.Second
)

// Start opens the endpoint and serves until Close.
func Start(config Config) (*Server, error) {
	if config.Member == nil || config.Credentials == nil || config.Hasher == nil || config.Tokens == nil || (config.Conn == nil && config.Address == "") {
		panic("server: Config needs Member, Credentials, Hasher, Tokens, and Conn or Address")
	}
	if config.MaxRequestBytes < 0 || config.MaxRequestBytes > limits.RequestBytes {
		return nil, fmt.Errorf("the limit of %d bytes for a request must be between 1 and %d, the most that the log can hold", config.MaxRequestBytes, limits.RequestBytes)
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	config.Limits.Bytes = max(config.Limits.Bytes, minimumBudget(config.MaxRequestBytes))
	if err := config.bind(); err != nil {
		return nil, err
	}
	s := &Server{config: config, started: time.Now(), logger: config.Logger, log: logx.NewLimited(config.Logger), identities: map[wire.Identity]*identity{}}
	s.handshakes = wire.NewHandshakes(s.config.Limits.Handshakes, min(clientHandshakesAddress, s.config.Limits.Handshakes), clientHandshakesTrusted)
	s.memory, s.reads = newMemoryBudget(s.config.Limits.Bytes), admit.NewFairQueue(&s.requests)
	if err := s.listen(); err != nil {
		return nil, errors.Join(err, config.Conn.Close())
	}
	return s, nil
}

// minimumBudget returns the minimum memory budget for clients if requests may be as large as most. It adds nothing for the
// default size.
func minimumBudget(most int) int64 {
	if most <= limits.RequestBytesWritten {
		return 0
	}
	return clientRequests * int64(most)
}

func (c *Config) bind() error {
	if c.Conn != nil {
		return nil
	}
	addr, err := net.ResolveUDPAddr("udp", c.Address)
	if err != nil {
		return fmt.Errorf("the client address %q to listen on is not valid: %w", c.Address, err)
	}
	if c.Conn, err = net.ListenUDP("udp", addr); err != nil {
		return fmt.Errorf("cannot listen for clients on %s: %w", c.Address, err)
	}
	return nil
}

func (s *Server) listen() error {
	s.transport = &quic.Transport{
		Conn: wire.Socket(s.config.Conn), StatelessResetKey: new(quic.StatelessResetKey(s.config.ResetKey)), ConnContext: s.beginHandshake,
		VerifySourceAddress: s.handshakes.Verify,
	}
	trust := wire.ServerTLS(s.config.Credentials, wire.ProtocolClient, wire.ClassClient, wire.ClassMember)
	listener, err := s.transport.Listen(trust, s.quicConfig(0))
	if err != nil {
		return fmt.Errorf("cannot listen for clients on %v: %w", s.config.Conn.LocalAddr(), err)
	}
	s.listener = listener
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.running.Go(func() { s.accept(ctx) })
	s.running.Go(func() { s.pushMembers(ctx) })
	return nil
}

// quicConfig returns the QUIC configuration for a connection while there are others other ones.
func (s *Server) quicConfig(others int64) *quic.Config {
	window, wide := uint64(memberConnectionWindow), others < clientConnectionsWide
	if !wide {
		window = memberNarrowWindow
	}
	return &quic.Config{
		GetConfigForClient: func(*quic.ClientInfo) (*quic.Config, error) {
			return s.quicConfig(s.arrived.Load()), nil
		},
		InitialPacketSize:              limits.PacketLeast,
		EnableDatagrams:                wide,  // for wire.Route: up to 128 KiB of datagrams may wait
		DisablePathMTUDiscovery:        !wide, // without it the packets stay small
		HandshakeIdleTimeout:           s.handshakes.Timeout(clientHandshakeTimeout),
		MaxIdleTimeout:                 s.config.Limits.IdleTimeout,
		InitialStreamReceiveWindow:     min(limits.ClientStreamWindow, window),
		MaxStreamReceiveWindow:         min(limits.ClientStreamWindow, window),
		InitialConnectionReceiveWindow: window,
		MaxConnectionReceiveWindow:     window,
		MaxIncomingStreams:             int64(s.config.Limits.Streams),
		MaxIncomingUniStreams:          -1,
		Allow0RTT:                      false,
	}
}

// Addr returns the address on which the endpoint listens.
func (s *Server) Addr() net.Addr { return s.config.Conn.LocalAddr() }

// Stats are the endpoint's current figures.
type Stats struct {
	Connections, Handshakes, Requests int64
	Bytes                             int64  // of memory that clients use
	Accepted                          uint64 // connections since the start
	RangeRows                         int64  // keys that ranges have read since the start, about
}

// Stats returns the endpoint's figures.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{
		Connections: int64(s.conns), Handshakes: int64(s.handshakes.Count()), Accepted: s.everAccepted,
		Requests: s.requests.Load(), Bytes: s.memory.reserved(), RangeRows: s.rangeRows.Load(),
	}
}

// Clients returns the connected clients of this endpoint.
func (s *Server) Clients() (all []kv.ClientLoad) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, of := range s.identities {
		name := of.name.Name
		if of.name.Class != wire.ClassClient {
			name = fmt.Sprintf("%v %s", of.name.Class, name)
		}
		one := kv.ClientLoad{Name: name, API: "qkv", Connections: int64(len(of.conns)), Bytes: of.share.reserved()}
		for c := range of.conns {
			one.Requests += c.requests.Load()
			one.Watches += c.watches.Load()
			one.Bytes -= c.fixed.Load()
		}
		one.Bytes = max(one.Bytes, 0) // a connection that ends gives its share back later
		all = append(all, one)
	}
	return all
}

// errRefused is the cause of a connection that is refused before its handshake.
var errRefused = errors.New("too many connections")

type handshakeKey struct{}

// handshake counts one connection, from its first packet on.
type handshake struct {
	server *Server
	remote net.Addr
	done   atomic.Bool // no longer under way
}

// finish ends the handshake's count, whatever its outcome was.
func (h *handshake) finish() {
	if !h.done.Swap(true) {
		h.server.handshakes.End(h.remote)
	}
}

// beginHandshake counts a new connection. QUIC calls it before any work for the connection.
func (s *Server) beginHandshake(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
	if err := s.handshakes.Begin(info.RemoteAddr); err != nil {
		s.warn(info.RemoteAddr, "too many handshakes: rejected a client", "because", err.Error())
		return nil, err
	}
	if s.arrived.Add(1) > int64(s.config.Limits.Connections+s.config.Limits.Handshakes+limits.ClientConnectionsOver) {
		s.handshakes.End(info.RemoteAddr)
		s.arrived.Add(-1)
		return nil, errRefused
	}
	h := &handshake{server: s, remote: info.RemoteAddr}
	context.AfterFunc(ctx, func() {
		s.arrived.Add(-1)
		if !h.done.Load() {
			s.logRefused(h.remote, context.Cause(ctx))
		}
		h.finish()
	})
	return context.WithValue(ctx, handshakeKey{}, h), nil
}

func (s *Server) accept(ctx context.Context) {
	for {
		qc, err := s.listener.Accept(ctx)
		if err != nil {
			return // closed is the only reason
		}
		if h, ok := qc.Context().Value(handshakeKey{}).(*handshake); ok {
			h.finish()
		}
		if c := s.enter(qc); c != nil {
			s.running.Go(func() { c.serve(ctx) })
		}
	}
}

// enter registers a connection, or closes it. In a full server it replaces another connection, if it may.
func (s *Server) enter(qc *quic.Conn) *conn {
	name, err := wire.PeerIdentity(qc.ConnectionState().TLS)
	if err != nil {
		panic(fmt.Sprintf("server: a connection whose certificate was verified has no identity: %v", err))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	owner := s.identities[name]
	if owner == nil {
		owner = &identity{name: name, share: s.memory.child(), conns: map[*conn]struct{}{}}
	}
	c := &conn{
		server: s, qc: qc, owner: owner, user: userOf(name), share: owner.share.child(), streams: map[*stream]struct{}{},
		logger: s.logger.With("client", name.String(), "remote", qc.RemoteAddr().String()),
	}
	c.lastRequest.Set(time.Now())
	c.pushedAt.Store(s.changes) // its first request asks for them
	if s.closed || s.draining.Load() {
		c.close(wire.CloseShutdown, "the member is shutting down")
		return nil
	}
	if s.conns >= s.config.Limits.Connections {
		now := time.Now()
		other, ok := admit.Evict(s.clients, len(owner.conns), owner.conns, s.config.Limits.PlaceIdle, func(c *conn) time.Duration { return c.idle(now) })
		if !ok {
			reason := fmt.Sprintf("too many connections: this member serves %d client connections, its limit, and none of %v is idle", s.config.Limits.Connections, name)
			c.warn("closed a client's connection", reason)
			c.close(wire.CloseLimit, reason)
			return nil
		}
		reason := fmt.Sprintf("too many connections: this member serves %d client connections, its limit; this idle one was closed for another client", s.config.Limits.Connections)
		other.warn("closed a client's connection", reason)
		s.leaveLocked(other)
		other.close(wire.CloseLimit, reason)
	}
	s.identities[name] = owner
	owner.conns[c] = struct{}{}
	s.conns++
	s.everAccepted++
	return c
}

func (s *Server) leave(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaveLocked(c)
}

// leaveLocked removes a connection. A second call does nothing.
func (s *Server) leaveLocked(c *conn) {
	if _, ok := c.owner.conns[c]; !ok {
		return
	}
	s.conns--
	delete(c.owner.conns, c)
	if len(c.owner.conns) == 0 {
		delete(s.identities, c.owner.name)
	}
}

// clients yields the connections of each identity. The lock is held.
func (s *Server) clients(yield func(map[*conn]struct{}) bool) {
	for _, owner := range s.identities {
		if !yield(owner.conns) {
			return
		}
	}
}

// eachLocked calls f for each connection.
func (s *Server) eachLocked(f func(*conn)) {
	for _, owner := range s.identities {
		for c := range owner.conns {
			f(c)
		}
	}
}

// Drain tells clients of the members, and refuses new requests: clients turn to other members. It ends each stream after the answers to
// the requests under way. It waits until all are answered, or ctx ends, and then for a while until the clients have gone: only they know
// that their answers arrived. Close follows.
func (s *Server) Drain(ctx context.Context) {
	if s.pushChange() { // streams have no order: a client leaves when its own have ended, and would not see the push
		time.Sleep(pushInterval / 2)
	}
	s.mu.Lock()
	s.draining.Store(true)
	s.eachLocked((*conn).drain)
	s.mu.Unlock()
	until(ctx, func() bool { return s.requests.Load() == 0 })
	ctx, cancel := context.WithTimeout(ctx, limits.DrainLinger)
	defer cancel()
	until(ctx, func() bool { return s.Stats().Connections == 0 })
}

// until waits until holds returns true, or ctx ends.
func until(ctx context.Context, holds func() bool) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Close ends all connections and returns when all goroutines of the server have ended. The member must have ended before, if it
// blocks in Propose on a full queue.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	s.eachLocked(func(c *conn) { c.close(wire.CloseShutdown, "the member is shutting down") })
	s.mu.Unlock()
	s.stop()
	err := s.listener.Close()
	s.running.Wait()
	if e := s.transport.Close(); err == nil {
		err = e
	}
	return errors.Join(err, ignoreClosed(s.config.Conn.Close()))
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// logRefused logs why a handshake failed; a reason of trust is a warning.
func (s *Server) logRefused(remote net.Addr, cause error) {
	if transport, ok := errors.AsType[*quic.TransportError](cause); ok && transport.ErrorCode.IsCryptoError() {
		s.warn(remote, "refused a client", "reason", wire.Explain(cause))
		return
	}
	s.logger.Debug("a client's handshake failed", "remote", remote.String(), "error", cause)
}

// warn logs a warning about a client that has no connection yet.
func (s *Server) warn(remote net.Addr, text string, args ...any) {
	s.log.Warn(wire.SourceOf(remote).String()+text, text, append([]any{"remote", remote.String()}, args...)...)
}

// stall returns for how long a stream that uses more than its share may make no progress, and for how long an idle stream keeps a
// large buffer.
func (s *Server) stall() time.Duration { return min(limits.ClientStall, s.config.Limits.WriteTimeout) }
