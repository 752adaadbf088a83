package server

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/quic-go/quic-go"

	"qkv/net/wire"
)

// conn is one client's connection.
type conn struct {
	// Constant.
	server *Server
	qc     *quic.Conn
	logger *slog.Logger

	// Shared by its streams.
	requests atomic.Int64 // under way
	bytes    atomic.Int64 // of those
	mu       sync.Mutex
	streams  map[*stream]struct{} // those that have a writer
}

// serve accepts streams until the connection ends.
func (c *conn) serve(ctx context.Context) {
	defer c.server.leave(c)
	c.logger.Debug("a client came")
	for {
		qs, err := c.qc.AcceptStream(ctx)
		if err != nil {
			c.logger.Debug("a client went", "reason", err)
			c.abandon()
			return
		}
		s := newStream(c, qs)
		c.enter(s)
		c.server.running.Go(s.read)
		c.server.running.Go(func() {
			s.write()
			c.leave(s)
		})
	}
}

// enter takes a stream in. One that comes while the member stops is ended at once.
func (c *conn) enter(s *stream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.streams[s] = struct{}{}
	if c.server.draining.Load() {
		s.wakeWriter()
	}
}

func (c *conn) leave(s *stream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.streams, s)
}

// abandon ends all streams: one whose client sends nothing more would not notice that the connection is over, and wait
// for answers that may never come.
func (c *conn) abandon() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for s := range c.streams {
		s.abandon()
	}
}

// drain lets each stream look whether it can end.
func (c *conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for s := range c.streams {
		s.wakeWriter()
	}
}

// close ends the connection and tells the client why.
func (c *conn) close(code wire.CloseCode, reason string) {
	if code != wire.CloseShutdown {
		c.logger.Warn("a client's connection is closed", "reason", reason)
	}
	_ = c.qc.CloseWithError(quic.ApplicationErrorCode(code), reason)
}

// begin counts a request of so many bytes as under way, or says which limit it would break.
func (c *conn) begin(bytes int) *wire.Error {
	n, s := int64(bytes), c.server
	switch bounds := &s.bounds; {
	case c.requests.Add(1) > bounds.RequestsInflight:
		c.requests.Add(-1)
		return wire.Errorf(wire.Overloaded, "this connection has %d requests under way, its limit", bounds.RequestsInflight)
	case c.bytes.Add(n) > bounds.RequestBytesInflight:
		c.requests.Add(-1)
		c.bytes.Add(-n)
		return wire.Errorf(wire.Overloaded, "this connection would have more than %d bytes of requests under way, its limit", bounds.RequestBytesInflight)
	case s.bytes.Add(n) > bounds.MemberBytesInflight:
		c.requests.Add(-1)
		c.bytes.Add(-n)
		s.bytes.Add(-n)
		return wire.Errorf(wire.Overloaded, "this member would have more than %d bytes of requests under way, its limit", bounds.MemberBytesInflight)
	}
	s.requests.Add(1)
	return nil
}

// end takes back what begin counted, for so many requests.
func (c *conn) end(requests, bytes int64) {
	if requests == 0 {
		return
	}
	left, leftBytes := c.requests.Add(-requests), c.bytes.Add(-bytes)
	if left < 0 || leftBytes < 0 {
		panic(fmt.Sprintf("server: %d requests of %d bytes under way after %d of %d ended", left, leftBytes, requests, bytes))
	}
	c.server.requests.Add(-requests)
	c.server.bytes.Add(-bytes)
}
