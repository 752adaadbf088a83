package server

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"qkv/net/wire"
)

// identity is an owner of connections: all clients whose certificates have one name.
type identity struct {
	name  wire.Identity
	share *memoryBudget
	conns map[*conn]struct{}
}

// conn is one client's connection.
type conn struct {
	// Constant.
	server *Server
	qc     *quic.Conn
	owner  *identity
	user   string        // of its certificate; "": none
	share  *memoryBudget // of its owner's
	logger *slog.Logger

	// Shared by its streams.
	requests    atomic.Int64 // under way
	watches     atomic.Int64
	fixed       atomic.Int64          // bytes of the share for the streams and the watches themselves
	login       atomic.Pointer[login] // replaces user; nil: the client has not logged in
	lastRequest wire.Moment           // when the last request came, or the connection began
	// the server's number of the newest change of the members that was pushed to the client
	pushedAt atomic.Uint64
	pushing  atomic.Bool // a push of the members is in progress
	mu       sync.Mutex
	streams  map[*stream]struct{} // the streams that have a writer
	unpaid   int                  // open streams without a reservation from the share: at most clientStreamsFree
}

// serve accepts streams until the connection ends.
func (c *conn) serve(ctx context.Context) {
	defer c.server.leave(c)
	c.logger.Debug("a client connected")
	c.server.running.Go(wire.NewRoute(c.qc).Answer)
	for {
		qs, err := c.qc.AcceptStream(ctx)
		if err != nil {
			c.logger.Debug("a client disconnected", "reason", err)
			c.abandon()
			return
		}
		s := newStream(c, qs)
		if !c.enter(s) {
			s.reset(wire.StreamLimit)
			continue
		}
		c.server.running.Go(func() {
			newReader(s).read()
			c.release(s)
		})
		c.server.running.Go(func() {
			newWriter(s).write()
			c.leave(s)
			c.release(s)
		})
	}
}

const (
	// clientStreamBytes is charged for a stream, with its two goroutines, its buffers and QUIC's state. The first clientStreamsFree of a
	// connection are free: qkv's own client uses as many, and the connection limit bounds them.
	clientStreamBytes = 32 << 10
	clientStreamsFree = 2
)

// enter registers a stream, unless it exceeds the share. While the member stops, a new stream is ended at once.
func (c *conn) enter(s *stream) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.unpaid < clientStreamsFree:
		c.unpaid++
	case s.share.reserve(clientStreamBytes):
		s.paid = true
		c.fixed.Add(clientStreamBytes)
	default:
		return false
	}
	c.streams[s] = struct{}{}
	if c.server.draining.Load() {
		s.wakeWriter()
	}
	return true
}

func (c *conn) leave(s *stream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.streams, s)
}

// release undoes enter, when the second of the stream's goroutines has ended.
func (c *conn) release(s *stream) {
	if s.running.Add(-1) > 0 {
		return
	}
	if s.paid {
		s.share.release(clientStreamBytes)
		c.fixed.Add(-clientStreamBytes)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unpaid--
}

// abandon ends all streams. A stream whose client sends nothing more would not notice the end of the connection, and would wait for
// answers that may never come.
func (c *conn) abandon() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for s := range c.streams {
		s.abandon(wire.StreamEnded)
	}
}

// drain makes each stream check whether it can end.
func (c *conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for s := range c.streams {
		s.wakeWriter()
	}
}

// warn logs a warning about this client.
func (c *conn) warn(text string, reason any) {
	name := c.owner.name.String()
	c.server.log.Warn(name+text, text, "client", name, "remote", c.qc.RemoteAddr().String(), "reason", reason)
}

// close ends the connection and sends the client the reason.
func (c *conn) close(code wire.CloseCode, reason string) {
	if code == wire.CloseProtocol {
		c.warn("closed a client's connection", reason)
	}
	_ = c.qc.CloseWithError(quic.ApplicationErrorCode(code), reason)
}

// idle returns the time since the last request: negative while a request is under way, or while the client watches.
func (c *conn) idle(now time.Time) time.Duration {
	if c.requests.Load()+c.watches.Load() > 0 {
		return -1
	}
	return c.lastRequest.Ago(now)
}
