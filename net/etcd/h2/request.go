package h2

import (
	"context"
	"encoding/binary"

	"golang.org/x/net/http2"
)

// Request is a unary request that is served without a goroutine of its own. The connection's reader gives it, with its message, to the
// function in Config.Batched. If the function returns true, the request is answered by a Batch or by Send, then or later. Otherwise the
// request's handler runs.
type Request stream

// Context has the request's metadata. It ends with the connection.
func (r *Request) Context() context.Context { return r.head.ctx }

// Own is Context, and ends with the request, too: when its client resets it, for example.
func (r *Request) Own() context.Context {
	s := (*stream)(r)
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.contextLocked()
	if s.over {
		s.cancel()
	}
	return s.ctx
}

// Over reports whether the request's client waits for no answer: it has reset the request, or the connection has ended.
func (r *Request) Over() bool {
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	return r.over
}

// Prepared is what Config.Prepare has made of the metadata.
func (r *Request) Prepared() any { return r.head.prepared }

// Message is the request's message.
func (r *Request) Message() []byte { return r.messages[0] }

// Serve runs the request's handler.
func (r *Request) Serve() {
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	if !r.over {
		(*stream)(r).serveLocked()
	}
}

// Contain runs f, a part of the request's service. If f panics, the fault is reported, and answered if the request has no answer yet.
func (r *Request) Contain(f func()) {
	if fault := r.c.server.contain(r.head.path, f); fault != nil {
		r.c.mu.Lock()
		defer r.c.mu.Unlock()
		(*stream)(r).finishLocked(fault)
		r.c.wake.Broadcast()
	}
}

// Background returns f as the rest of the request's service, for a goroutine of its own. Until f has returned, it counts as a handler: the
// client cannot have more of them by resetting requests.
func (r *Request) Background(f func()) func() {
	r.countHandler(1)
	return func() {
		defer r.countHandler(-1)
		r.Contain(f)
	}
}

func (r *Request) countHandler(n int) {
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	r.c.handlers += n
	r.c.wake.Broadcast()
}

// Batch is answers that are written together. It is used by one goroutine.
type Batch struct{ conns map[*conn]struct{} }

// Answer answers a request with one message, which is copied. It returns false if the client has to read other answers first: the caller
// then sends the message by Send, since it may wait for long.
func (b *Batch) Answer(r *Request, message []byte) bool {
	s, c := (*stream)(r), r.c
	b.add(c)
	c.mu.Lock()
	defer c.mu.Unlock()
	n := messageHead + len(message)
	switch {
	case s.over:
		return true
	case int64(n) > s.window || int64(n) > c.window || n > c.frame || len(c.out) >= outBytes || c.shrinks > 0:
		return false
	}
	c.answered = true
	header := s.head.answer
	c.out = append(appendFrame(c.out, http2.FrameHeaders, http2.FlagHeadersEndHeaders, s.id, len(header)), header...)
	c.out = binary.BigEndian.AppendUint32(append(appendFrame(c.out, http2.FrameData, 0, s.id, n), 0), uint32(len(message)))
	c.out = append(c.out, message...)
	c.out = append(appendFrame(c.out, http2.FrameHeaders, http2.FlagHeadersEndHeaders|http2.FlagHeadersEndStream, s.id, len(okTrailer)), okTrailer...)
	c.window -= int64(n)
	s.begun, s.finished = true, true
	c.closeLocked(s)
	return true
}

// Send answers a request with one message.
func (r *Request) Send(m any) {
	s := (*stream)(r)
	err := s.send(m, true)
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	s.finishLocked(err)
}

func (b *Batch) add(c *conn) {
	if b.conns == nil {
		b.conns = map[*conn]struct{}{}
	}
	b.conns[c] = struct{}{}
}

var okTrailer = appendField(nil, "grpc-status", "0")

// Fail answers a request with an error.
func (b *Batch) Fail(r *Request, err error) {
	b.add(r.c)
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	(*stream)(r).finishLocked(err)
}

// Flush writes the answers.
func (b *Batch) Flush() {
	for c := range b.conns {
		c.flush()
	}
	clear(b.conns)
}
