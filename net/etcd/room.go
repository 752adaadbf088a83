package etcd

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"runtime"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"qkv/internal/limits"
)

// room is the memory that requests over HTTP may use together. The code that reads and writes their JSON holds each message several
// times over, and tells nobody when; so room for all of it is taken before that begins.
//
//  1. left is what nobody has, never less than nothing.
//  2. Who finds none waits. Meanwhile those are closed that have some and move less than limits.EtcdGatewayPace in stall: a client that
//     brings half a request, or does not take its answer, holds up others for no longer.
//  3. A request has one body or message at a time, and one answer: it never waits for one while it has the other.
type room struct {
	stall time.Duration
	most  int64

	mu      sync.Mutex
	left    int64
	holders map[*hold]struct{} // that have some
	changed chan struct{}      // closed when some is given back
}

// hold is what one direction of one request has of it.
type hold struct {
	of    *room
	close func() // the connection
	by    *share // whose connection's bytes say whether it moves, of an answer that gRPC writes; nil: moves says it
	least int64  // bytes that it must move in stall, if that is more than others must

	// Under of.mu.
	bytes int64
	moved int64     // bytes, in all
	mark  int64     // moved, when it was looked at last
	since time.Time // when that was
	still bool      // it is being built, and need not move
	over  bool      // it is given back, or will be as soon as its memory is free
}

func newRoom(bytes int64, stall time.Duration) *room {
	return &room{stall: stall, most: bytes, left: bytes, holders: map[*hold]struct{}{}, changed: make(chan struct{})}
}

// set makes what a request has so many bytes, in place of those before. It waits until there is room, or nobody waits for it.
func (h *hold) set(ctx context.Context, bytes int64) error {
	if h == nil {
		return nil
	}
	r := h.of
	look := time.NewTimer(r.stall)
	defer look.Stop()
	for first := true; ; first = false {
		r.mu.Lock()
		if first {
			h.giveLocked()
		}
		if bytes <= r.left {
			r.left -= bytes
			h.bytes = bytes
			if bytes > 0 {
				h.mark, h.since = h.moved, time.Now()
				r.holders[h] = struct{}{}
			}
			r.mu.Unlock()
			return nil
		}
		r.closeSlowLocked(time.Now())
		changed := r.changed
		r.mu.Unlock()
		look.Reset(r.stall / 4)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		case <-look.C:
		}
	}
}

func (h *hold) giveLocked() {
	if h.bytes == 0 {
		return
	}
	r := h.of
	r.left += h.bytes
	h.bytes = 0
	delete(r.holders, h)
	close(r.changed)
	r.changed = make(chan struct{})
}

// give gives back all.
func (h *hold) give() {
	h.of.mu.Lock()
	defer h.of.mu.Unlock()
	h.giveLocked()
}

// moves counts bytes that came, or went.
func (h *hold) moves(n int) {
	h.of.mu.Lock()
	defer h.of.mu.Unlock()
	h.moved += int64(n)
}

// closeSlowLocked closes the connections that have not moved for a while. What they have comes back when their requests end.
func (r *room) closeSlowLocked(now time.Time) {
	for h := range r.holders {
		if h.still || now.Sub(h.since) < r.stall {
			continue
		}
		least := max(limits.EtcdGatewayPace, h.least)
		if h.by != nil { // a large one is taken within limits.EtcdBuiltTime
			h.moved = h.by.sent.Load()
			least = max(least, int64(float64(h.bytes)*float64(r.stall)/float64(limits.EtcdBuiltTime)))
		}
		if h.moved-h.mark < least {
			h.close()
		}
		h.mark, h.since = h.moved, now
	}
}

// build takes room for an answer that is built as a whole. It waits for it, and no longer than a request may last.
func (s *Server) build(ctx context.Context, size int) (*hold, error) {
	if size <= s.wholeMost(ctx) || overHTTP(ctx) { // that is bounded by what all connections hold, and over HTTP by its own room
		return nil, nil
	}
	refusal := s.errTooManyLarge()
	select {
	case s.builds <- struct{}{}:
		defer func() { <-s.builds }()
	default:
		return nil, refusal
	}
	own := whoseShare(ctx)
	h := &hold{of: s.built, close: func() {}, still: true}
	if own != nil {
		h.close = own.close
	}
	waiting, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	if err := h.set(waiting, int64(size)); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, refusal
	}
	return h, nil
}

func (s *Server) errTooManyLarge() error {
	return status.Errorf(codes.ResourceExhausted, "etcdserver: too many large answers: those that are sorted, filtered or of transactions take %d bytes of this member's memory together, its limit: ask for pages, for a plain range, or again", s.config.Limits.BuiltBytes)
}

// encodeBuilt encodes an answer that has room.
func (s *Server) encodeBuilt(ctx context.Context, answer proto.Message) (any, error) {
	own, err := s.build(ctx, proto.Size(answer))
	if err != nil {
		return nil, err
	}
	m, err := encoded(answer)
	if err != nil {
		own.giveAll()
		return nil, err
	}
	return own.holding(m), nil
}

// wholeMost is how large an answer to a range may be and be encoded at once: less while clients hold much.
func (s *Server) wholeMost(ctx context.Context) int {
	if overHTTP(ctx) || s.memory.total.Load() > s.memory.most/4 {
		return limits.EtcdPieceBytes
	}
	return limits.EtcdWholeBytes
}

// wide is a read that holds what it has read until it is answered, or has its room. Those that are long have one of
// limits.EtcdWideReads places; who waits for one holds nothing: what it has read is read again.
type wide struct {
	s      *Server
	ctx    context.Context
	begun  time.Time
	steps  int
	placed bool
}

func (s *Server) widely(ctx context.Context) *wide { return &wide{s: s, ctx: ctx, begun: time.Now()} }

// heldTooLong says that a View that was taken then is to be let go of: all that was given up since waits for it.
func (s *Server) heldTooLong(since time.Time) bool {
	return tooLong(time.Since(since), &s.config.Limits, func() int64 { return s.config.Member.View().RetiredBytes() })
}

func tooLong(held time.Duration, bounds *limits.Etcd, retired func() int64) bool {
	return held > bounds.AnswerHeld || held > bounds.Stall && retired() > limits.PagesRetired
}

// errTooLong is for an answer that cannot go on from a newer View.
var errTooLong = status.Error(codes.ResourceExhausted, "etcdserver: the answer takes too long to read for what this member would have to keep in memory meanwhile: ask for less, for pages, or for a plain range")

// read calls step, in turns, until it is done; begin goes back before the first step.
func (w *wide) read(begin func(), step func() (bool, error)) error {
	done := false
	for {
		err := w.s.turns.read(w.ctx, func() (_ bool, err error) {
			if w.steps++; w.s.heldTooLong(w.begun) {
				return false, errTooLong
			}
			done, err = step()
			return done || !w.placed && w.steps >= limits.EtcdWideSteps, err
		})
		if err != nil || done {
			return err
		}
		if _, err := w.place(begin); err != nil {
			return err
		}
	}
}

// place takes a place, if the read has none yet. Where it has to wait for that, it begins anew.
func (w *wide) place(begin func()) (anew bool, err error) {
	if w.placed {
		return false, nil
	}
	select {
	case w.s.wides <- struct{}{}:
		w.placed = true
		return false, nil
	default:
	}
	begin()
	until := time.NewTimer(w.s.config.Timeout)
	defer until.Stop()
	look := time.NewTicker(heldLook)
	defer look.Stop()
	for !w.s.heldTooLong(w.begun) {
		select {
		case w.s.wides <- struct{}{}:
			w.placed = true
			return true, nil
		case <-w.ctx.Done():
			return true, w.ctx.Err()
		case <-until.C:
			return true, w.s.errTooManyLarge()
		case <-look.C:
		}
	}
	return true, errTooLong
}

// heldLook is how often it is looked whether a View is held for too long.
const heldLook = 100 * time.Millisecond

func (w *wide) end() {
	if w.placed {
		<-w.s.wides
	}
}

// holding is an answer with the room that it has.
func (h *hold) holding(m message) any {
	if h == nil {
		return m
	}
	return held{message: m, room: h}
}

// written says that an answer is built, and waits to be written.
func (h *hold) written(by *share) {
	if h == nil {
		return
	}
	h.of.mu.Lock()
	h.still = false
	if by != nil {
		h.by = by
		h.moved = by.sent.Load()
	}
	h.mark, h.since = h.moved, time.Now()
	h.of.mu.Unlock()
	if by != nil {
		by.keeps(h)
	}
}

// giveAll gives back all, if it is not given back yet.
func (h *hold) giveAll() {
	if h == nil {
		return
	}
	if h.by != nil {
		h.by.forgets(h)
	}
	h.giveCollected()
}

// giveCollected gives back what a large answer had when its memory is free.
func (h *hold) giveCollected() {
	h.of.mu.Lock()
	large := h.by != nil && h.bytes >= limits.EtcdCollected
	again := h.over
	h.over, h.still = true, true // it has nothing to take any more
	h.of.mu.Unlock()
	switch {
	case again:
	case large:
		h.by.of.run(func() {
			runtime.GC()
			h.give()
		})
	default:
		h.give()
	}
}

// shrink gives back what is more than bytes.
func (h *hold) shrink(bytes int64) {
	if h == nil {
		return
	}
	r := h.of
	r.mu.Lock()
	defer r.mu.Unlock()
	if more := h.bytes - bytes; more > 0 {
		h.bytes -= more
		r.left += more
		close(r.changed)
		r.changed = make(chan struct{})
	}
}

func (r *room) taken() (bytes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for h := range r.holders {
		bytes += h.bytes
	}
	return bytes
}

// holds is what a request over HTTP has.
type holds struct{ in, out *hold }

type holdsKey struct{}

// answers takes room for an answer, in place of the one before.
func answers(ctx context.Context, size int) error {
	own, ok := ctx.Value(holdsKey{}).(*holds)
	if !ok {
		return nil
	}
	return own.out.set(ctx, heldBytes(int64(size)))
}

// overHTTP says that a request came as JSON.
func overHTTP(ctx context.Context) bool { return ctx.Value(holdsKey{}) != nil }

// heldBytes is what a message of so many bytes takes while it is read, or written, as JSON: small ones are bounded by the
// connections.
func heldBytes(size int64) int64 {
	if size <= limits.EtcdGatewaySmall {
		return 0
	}
	return size * limits.EtcdGatewayTimes
}

// body is a request's body: one message, or a stream of them. It takes room for a message as soon as that is no small one, and for all
// that it may become, so that none waits for more in its middle.
type body struct {
	io.ReadCloser
	ctx  context.Context
	end  context.CancelFunc // the request: who takes the messages of a stream hears of no error otherwise
	own  *hold
	most int64 // of a message, in bytes

	// Of a message with many small objects, each of which takes more than its bytes: a transaction. 0: not.
	dense int64 // room for all that it may become

	read    int64 // of the message that is read now
	objects int64 // that have begun in it
}

// room is for all that the message may become.
func (b *body) room() int64 { return max(heldBytes(b.most), b.dense) }

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if b.read >= b.most {
		b.end()
		return 0, errJSONTooLarge
	}
	bound := b.most
	if b.read < limits.EtcdGatewaySmall {
		bound = min(bound, limits.EtcdGatewaySmall)
	} else if b.read == limits.EtcdGatewaySmall {
		if err := b.own.set(b.ctx, b.room()); err != nil {
			return 0, err
		}
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), bound-b.read)])
	b.read += int64(n)
	b.own.moves(n)
	b.objects += int64(bytes.Count(p[:n], []byte{'{'}))
	if b.objects > limits.EtcdGatewayObjects+b.read/limits.EtcdGatewayObject {
		b.end()
		return 0, rpctypes.ErrGRPCTooManyOps
	}
	return n, err
}

// next begins another message.
func (b *body) next() {
	b.own.give()
	b.read = 0
	b.objects = 0
}

// paced counts what its client takes.
type paced struct {
	http.ResponseWriter
	own *hold
}

// Write implements http.ResponseWriter. A large answer is written in pieces, so that it shows that it moves.
func (p paced) Write(b []byte) (written int, err error) {
	for len(b) > 0 && err == nil {
		n := 0
		n, err = p.ResponseWriter.Write(b[:min(len(b), limits.EtcdGatewayPace)])
		p.own.moves(n)
		written += n
		b = b[n:]
	}
	return written, err
}

// Unwrap is what a ResponseController looks for.
func (p paced) Unwrap() http.ResponseWriter { return p.ResponseWriter }
