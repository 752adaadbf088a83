package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"qkv/index"
	"qkv/log/limits"
	"qkv/net/wire"
)

// Member is what the endpoint needs of the member behind it. All methods may be called from many goroutines.
type Member interface {
	// Propose hands over writes. It waits while the member's queue is full, and so do the clients of that stream.
	// Each request comes back to p.From once, as a Done of kind Applied.
	Propose(p index.Proposal)
	// Confirm asks for linearizable reads: each request comes back to from once, as a Done of kind Confirmed, when
	// View may be read on its behalf.
	Confirm(from index.Asker, requests []uint64, timeout time.Duration)
	// View is the newest applied state.
	View() *index.View
	// Status is what the member says of itself.
	Status() wire.Status
}

// Config says how to serve. Conn or Address, Credentials and Member must be given.
type Config struct {
	Conn        net.PacketConn // a bound UDP socket; the server closes it
	Address     string         // where to bind, when Conn is nil
	Credentials *wire.Credentials
	ResetKey    [32]byte // kept with the data folder: clients of a killed and restarted member notice at once
	Member      Member
	Logger      *slog.Logger

	// ValueBytes is the largest value that is accepted: at most limits.ValueBytes, which it is when 0.
	ValueBytes int
	// Bounds are limits' numbers where they are 0.
	Bounds Bounds
}

// Bounds are those limits of the endpoint that a test, or a small host, may set lower.
type Bounds struct {
	Connections          int
	Handshakes           int
	Streams              int
	RequestsInflight     int64         // of a connection
	RequestBytesInflight int64         // of a connection
	MemberBytesInflight  int64         // of all connections
	WriteTimeout         time.Duration // during which a client must take something
	IdleTimeout          time.Duration
}

func (b Bounds) orDefaults() Bounds {
	defaults := Bounds{
		Connections: limits.ClientConnections, Handshakes: limits.ClientHandshakes, Streams: limits.ClientStreams,
		RequestsInflight: limits.RequestsInflight, RequestBytesInflight: limits.RequestBytesInflight,
		MemberBytesInflight: limits.MemberBytesInflight, WriteTimeout: limits.ClientWriteTimeout, IdleTimeout: limits.ClientIdleTimeout,
	}
	return Bounds{
		Connections: or(b.Connections, defaults.Connections), Handshakes: or(b.Handshakes, defaults.Handshakes),
		Streams: or(b.Streams, defaults.Streams), RequestsInflight: or(b.RequestsInflight, defaults.RequestsInflight),
		RequestBytesInflight: or(b.RequestBytesInflight, defaults.RequestBytesInflight),
		MemberBytesInflight:  or(b.MemberBytesInflight, defaults.MemberBytesInflight),
		WriteTimeout:         or(b.WriteTimeout, defaults.WriteTimeout), IdleTimeout: or(b.IdleTimeout, defaults.IdleTimeout),
	}
}

func or[T comparable](given, otherwise T) T {
	var zero T
	if given == zero {
		return otherwise
	}
	return given
}

// Server is a running endpoint.
type Server struct {
	// Constant.
	config    Config
	bounds    Bounds
	logger    *slog.Logger
	transport *quic.Transport
	listener  *quic.Listener
	stop      context.CancelFunc
	running   sync.WaitGroup // every goroutine of the server

	// Shared.
	handshakes   atomic.Int64 // under way
	arrived      atomic.Int64 // connections, from their first packet to their end
	bytes        atomic.Int64 // of requests under way
	requests     atomic.Int64 // under way
	draining     atomic.Bool
	refused      refusals
	mu           sync.Mutex
	closed       bool
	conns        map[*conn]struct{}
	everAccepted uint64
}

// Start opens the endpoint and serves until Close.
func Start(config Config) (*Server, error) {
	if config.Member == nil || config.Credentials == nil || (config.Conn == nil && config.Address == "") {
		panic("server: Config needs Member, Credentials, and Conn or Address")
	}
	if config.ValueBytes < 0 || config.ValueBytes > limits.ValueBytes {
		return nil, fmt.Errorf("a value limit of %d bytes: it must be between 1 and %d, what the log can hold", config.ValueBytes, limits.ValueBytes)
	}
	config.ValueBytes = or(config.ValueBytes, limits.ValueBytes)
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if err := config.bind(); err != nil {
		return nil, err
	}
	s := &Server{config: config, bounds: config.Bounds.orDefaults(), logger: config.Logger, conns: map[*conn]struct{}{}}
	if err := s.listen(); err != nil {
		return nil, errors.Join(err, config.Conn.Close())
	}
	return s, nil
}

func (c *Config) bind() error {
	if c.Conn != nil {
		return nil
	}
	addr, err := net.ResolveUDPAddr("udp", c.Address)
	if err != nil {
		return fmt.Errorf("the address to serve clients at, %q, is none: %w", c.Address, err)
	}
	if c.Conn, err = net.ListenUDP("udp", addr); err != nil {
		return fmt.Errorf("cannot serve clients at %s: %w", c.Address, err)
	}
	return nil
}

func (s *Server) listen() error {
	key := quic.StatelessResetKey(s.config.ResetKey)
	s.transport = &quic.Transport{
		Conn: s.config.Conn, StatelessResetKey: &key, ConnContext: s.admit,
		VerifySourceAddress: func(net.Addr) bool { return s.handshakes.Load() >= limits.ClientHandshakesTrusted },
	}
	listener, err := s.transport.Listen(s.tls(), &quic.Config{
		HandshakeIdleTimeout:           limits.ClientHandshakeTimeout,
		MaxIdleTimeout:                 s.bounds.IdleTimeout,
		InitialStreamReceiveWindow:     limits.ClientStreamWindow,
		MaxStreamReceiveWindow:         limits.ClientStreamWindow,
		InitialConnectionReceiveWindow: limits.ClientConnectionWindow,
		MaxConnectionReceiveWindow:     limits.ClientConnectionWindow,
		MaxIncomingStreams:             int64(s.bounds.Streams),
		MaxIncomingUniStreams:          -1,
		Allow0RTT:                      false,
	})
	if err != nil {
		return fmt.Errorf("cannot serve clients at %v: %w", s.config.Conn.LocalAddr(), err)
	}
	s.listener = listener
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.running.Go(func() { s.accept(ctx) })
	return nil
}

func (s *Server) tls() *tls.Config {
	return wire.ServerTLS(s.config.Credentials, wire.ProtocolClient, wire.ClassClient, wire.ClassMember)
}

// Addr is where the endpoint listens.
func (s *Server) Addr() net.Addr { return s.config.Conn.LocalAddr() }

// Stats are the endpoint's numbers at this moment.
type Stats struct {
	Connections, Handshakes, Requests, RequestBytes int64
	Accepted                                        uint64 // connections since the start
}

// Stats returns the endpoint's numbers.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{
		Connections: int64(len(s.conns)), Handshakes: s.handshakes.Load(), Accepted: s.everAccepted,
		Requests: s.requests.Load(), RequestBytes: s.bytes.Load(),
	}
}

// errRefused is the cause of a handshake that is refused unheard.
var errRefused = errors.New("too many connections")

// connsOver is how many connections over the limit are let in to be told of it.
const connsOver = 64

type handshakeKey struct{}

// handshake counts one connection from its first packet on.
type handshake struct {
	server *Server
	remote net.Addr
	done   atomic.Bool // no longer under way
}

// finish says that the handshake is over, whatever came of it.
func (h *handshake) finish() {
	if !h.done.Swap(true) {
		h.server.handshakes.Add(-1)
	}
}

// admit is asked by QUIC before anything is done for a new connection.
func (s *Server) admit(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
	if s.handshakes.Add(1) > int64(s.bounds.Handshakes) {
		s.handshakes.Add(-1)
		return nil, errRefused
	}
	if s.arrived.Add(1) > int64(s.bounds.Connections+s.bounds.Handshakes+connsOver) {
		s.handshakes.Add(-1)
		s.arrived.Add(-1)
		return nil, errRefused
	}
	h := &handshake{server: s, remote: info.RemoteAddr}
	context.AfterFunc(ctx, func() {
		s.arrived.Add(-1)
		if !h.done.Load() {
			s.refused.log(s.logger, h.remote, context.Cause(ctx))
		}
		h.finish()
	})
	return context.WithValue(ctx, handshakeKey{}, h), nil
}

func (s *Server) accept(ctx context.Context) {
	for {
		qc, err := s.listener.Accept(ctx)
		if err != nil {
			return // closed, the only reason
		}
		if h, ok := qc.Context().Value(handshakeKey{}).(*handshake); ok {
			h.finish()
		}
		if c := s.enter(qc); c != nil {
			s.running.Go(func() { c.serve(ctx) })
		}
	}
}

// enter takes a connection in, or closes it.
func (s *Server) enter(qc *quic.Conn) *conn {
	identity, err := wire.PeerIdentity(qc.ConnectionState().TLS)
	if err != nil {
		panic(fmt.Sprintf("server: a connection whose certificate was verified has no identity: %v", err))
	}
	c := &conn{server: s, qc: qc, streams: map[*stream]struct{}{}, logger: s.logger.With("client", identity.String(), "remote", qc.RemoteAddr().String())}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed || s.draining.Load():
		_ = qc.CloseWithError(quic.ApplicationErrorCode(wire.CloseShutdown), "the member is shutting down")
		return nil
	case len(s.conns) >= s.bounds.Connections:
		c.close(wire.CloseLimit, fmt.Sprintf("this member serves %d client connections, its limit", s.bounds.Connections))
		return nil
	}
	s.conns[c] = struct{}{}
	s.everAccepted++
	return c
}

func (s *Server) leave(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// Drain takes no new requests, so that clients turn to other members. It ends each stream behind the answers to those
// that are under way, and waits until all are answered, or ctx is over, and then for a while until the clients have
// gone: only they know that their answers arrived. Close follows.
func (s *Server) Drain(ctx context.Context) {
	s.mu.Lock()
	s.draining.Store(true)
	for c := range s.conns {
		c.drain()
	}
	s.mu.Unlock()
	until(ctx, func() bool { return s.requests.Load() == 0 })
	ctx, cancel := context.WithTimeout(ctx, drainLinger)
	defer cancel()
	until(ctx, func() bool { return s.Stats().Connections == 0 })
}

// drainLinger is how long clients may take to close their connections: those that are alive take a tenth of it.
const drainLinger = time.Second

// until waits until something is true, or ctx is over.
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

// Close ends all connections and returns when no goroutine of the server is left. A member that is waiting for
// room in Propose must have ended before.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	for c := range s.conns {
		c.close(wire.CloseShutdown, "the member is shutting down")
	}
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

// refusals logs why handshakes failed, at most one a second: anyone can make them fail.
type refusals struct {
	mu      sync.Mutex
	next    time.Time
	skipped int
}

func (r *refusals) log(logger *slog.Logger, remote net.Addr, cause error) {
	var transport *quic.TransportError
	if !errors.As(cause, &transport) || !transport.ErrorCode.IsCryptoError() {
		logger.Debug("a client's handshake failed", "remote", remote.String(), "error", cause)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if now.Before(r.next) {
		r.skipped++
		return
	}
	logger.Warn("a client is refused", "remote", remote.String(), "reason", wire.Explain(cause).Error(), "not_logged_before", r.skipped)
	r.next, r.skipped = now.Add(time.Second), 0
}
