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

// room is the memory budget of requests over HTTP. The code that reads and writes their JSON holds each message several times, at times
// that cannot be observed; the memory for all copies is therefore reserved first.
//
//  1. left is the unallocated budget in bytes; never negative.
//  2. A request that exceeds the budget waits. Meanwhile connections that hold budget but transfer less than limits.EtcdGatewayPace bytes
//     per stall interval are closed: a client that sends half a request, or does not take its answer, blocks others no longer than that.
//  3. A request has one body or message at a time, and one answer: it never waits for one while it holds the other.
type room struct {
	stall time.Duration
	most  int64

	mu      sync.Mutex
	left    int64
	holders map[*hold]struct{} // with budget
	changed chan struct{}      // closed when budget is released
}

// hold is the reservation of one direction of one request.
type hold struct {
	of    *room
	close func() // closes the connection
	by    *share // the connection whose sent bytes measure the progress of an answer written by gRPC; nil: moves does
	least int64  // bytes to transfer per stall interval, if more than the usual minimum

	// Under of.mu.
	bytes int64
	moved int64     // total bytes transferred
	mark  int64     // moved at the last check
	since time.Time // time of the last check
	still bool      // the answer is being built: no progress is required
	over  bool      // released, or will be as soon as its memory is free
}

func newRoom(bytes int64, stall time.Duration) *room {
	return &room{stall: stall, most: bytes, left: bytes, holders: map[*hold]struct{}{}, changed: make(chan struct{})}
}

// set replaces a request's reservation by one of the given bytes. It waits until the budget allows it, or ctx ends.
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

// give releases the reservation.
func (h *hold) give() {
	h.of.mu.Lock()
	defer h.of.mu.Unlock()
	h.giveLocked()
}

// moves counts bytes received or sent.
func (h *hold) moves(n int) {
	h.of.mu.Lock()
	defer h.of.mu.Unlock()
	h.moved += int64(n)
}

// closeSlowLocked closes the connections without enough progress. Their budget is released when their requests end.
func (r *room) closeSlowLocked(now time.Time) {
	for h := range r.holders {
		if h.still || now.Sub(h.since) < r.stall {
			continue
		}
		least := max(limits.EtcdGatewayPace, h.least)
		if h.by != nil { // a large one must be taken within limits.EtcdBuiltTime
			h.moved = h.by.sent.Load()
			least = max(least, int64(float64(h.bytes)*float64(r.stall)/float64(limits.EtcdBuiltTime)))
		}
		if h.moved-h.mark < least {
			h.close()
		}
		h.mark, h.since = h.moved, now
	}
}

// build reserves memory for an answer that is built as a whole. It waits for it, at most for the timeout of a request.
func (s *Server) build(ctx context.Context, size int) (*hold, error) {
	if size <= s.wholeMost(ctx) || overHTTP(ctx) { // bounded by the budget of all connections, and over HTTP by its own
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

// encodeBuilt encodes an answer with a reservation.
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

// wholeMost is the largest range answer that is encoded at once: less while clients hold much memory.
func (s *Server) wholeMost(ctx context.Context) int {
	if overHTTP(ctx) || s.memory.total.Load() > s.memory.most/4 {
		return limits.EtcdPieceBytes
	}
	return limits.EtcdWholeBytes
}

// wide is a read that holds its results until it is answered, or has a reservation. A long one takes one of limits.EtcdWideReads slots. A
// read that waits for a slot drops its results and reads again.
type wide struct {
	s      *Server
	ctx    context.Context
	begun  time.Time
	steps  int
	placed bool
}

func (s *Server) widely(ctx context.Context) *wide { return &wide{s: s, ctx: ctx, begun: time.Now()} }

// heldTooLong tells whether a View taken at since must be released: it keeps all memory that was released meanwhile.
func (s *Server) heldTooLong(since time.Time) bool {
	return tooLong(time.Since(since), &s.config.Limits, func() int64 { return s.config.Member.View().RetiredBytes() })
}

func tooLong(held time.Duration, bounds *limits.Etcd, retired func() int64) bool {
	return held > bounds.AnswerHeld || held > bounds.Stall && retired() > limits.PagesRetired
}

// errTooLong ends an answer that cannot continue from a newer View.
var errTooLong = status.Error(codes.ResourceExhausted, "etcdserver: the answer takes too long to read for what this member would have to keep in memory meanwhile: ask for less, for pages, or for a plain range")

// read calls step, in turns, until it is done. begin resets the read before the first step.
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

// place takes a slot, if the read has none yet. If it has to wait, the read begins anew.
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

// heldLook is the interval of checks for a View held for too long.
const heldLook = 100 * time.Millisecond

func (w *wide) end() {
	if w.placed {
		<-w.s.wides
	}
}

// holding combines an answer with its reservation.
func (h *hold) holding(m message) any {
	if h == nil {
		return m
	}
	return held{message: m, room: h}
}

// written records that an answer is built, and waits to be written.
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

// giveAll releases the reservation; it is idempotent.
func (h *hold) giveAll() {
	if h == nil {
		return
	}
	if h.by != nil {
		h.by.forgets(h)
	}
	h.giveCollected()
}

// giveCollected releases a large answer's reservation when its memory is free.
func (h *hold) giveCollected() {
	h.of.mu.Lock()
	large := h.by != nil && h.bytes >= limits.EtcdCollected
	again := h.over
	h.over, h.still = true, true // nothing is left to transfer
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

// shrink reduces the reservation to bytes.
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

// holds has the reservations of a request over HTTP.
type holds struct{ in, out *hold }

type holdsKey struct{}

// answers reserves memory for an answer, in place of the previous one.
func answers(ctx context.Context, size int) error {
	own, ok := ctx.Value(holdsKey{}).(*holds)
	if !ok {
		return nil
	}
	return own.out.set(ctx, heldBytes(int64(size)))
}

// overHTTP tells whether a request came as JSON.
func overHTTP(ctx context.Context) bool { return ctx.Value(holdsKey{}) != nil }

// heldBytes is the memory of a message while it is read or written as JSON. Small messages are not charged: the connection limit bounds
// them.
func heldBytes(size int64) int64 {
	if size <= limits.EtcdGatewaySmall {
		return 0
	}
	return size * limits.EtcdGatewayTimes
}

// body is a request's body: one message, or a stream of them. When a message exceeds the small size, body reserves the memory for the
// largest possible message: it never waits for more in the middle of one.
type body struct {
	io.ReadCloser
	ctx  context.Context
	end  context.CancelFunc // ends the request: a stream's reader gets no other signal
	own  *hold
	most int64 // size limit of a message

	// Of a transaction, whose many small objects take more memory than their bytes. 0: any other message.
	dense int64 // reservation for the largest one

	read    int64 // of the current message
	objects int64 // begun in the current message
}

// room is the reservation for the largest possible message.
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

// next begins the next message.
func (b *body) next() {
	b.own.give()
	b.read = 0
	b.objects = 0
}

// paced counts the bytes that its client takes.
type paced struct {
	http.ResponseWriter
	own *hold
}

// Write implements http.ResponseWriter. It writes a large answer in pieces, to show progress.
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

// Unwrap is called by http.ResponseController.
func (p paced) Unwrap() http.ResponseWriter { return p.ResponseWriter }
