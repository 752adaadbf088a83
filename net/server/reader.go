package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/meter"
	"qkv/net/wire"
)

// batch holds the decoded requests of the frames that came together.
type batch struct {
	answers []byte     // of requests that need no waiting
	keep    wire.Reuse // recycles answers

	writes       []slot
	proposed     *proposed    // the proposal under construction; flush passes it to the member
	by           kv.Principal // the author of its commands
	writeTimeout time.Duration

	reads       []slot
	readTimeout time.Duration

	queries      []slot // of the leader's lease clock
	queried      []kv.LeaseAsk
	queryTimeout time.Duration

	locals    *locals // serializable reads of one key that are not answered yet; nil: none
	ready     []slot  // serializable reads that the writer answers
	immediate buffer  // answers to serializable reads of one key, while the writer keeps up
}

// reader is the state of the reader goroutine.
type reader struct {
	s *stream

	frames       *wire.FrameReader
	request      wire.Request
	batch        batch
	counted      counted
	writerLags   bool      // it had not taken the previous immediate answers at the last flush
	received     bool      // a frame has come
	deadlineSet  bool      // a read deadline is set
	filled       bool      // bytes arrived since it was set
	partialSince time.Time // when the partial frame in the buffer began to arrive; zero while it is small, or none
}

func newReader(s *stream) *reader {
	most := newRequestBudget(s.share, s.conn.server.config.MaxRequestBytes)
	return &reader{s: s, frames: wire.NewBoundedFrameReader(s.qs, limits.RequestBytes, most)}
}

// read is the reader goroutine.
func (r *reader) read() {
	defer r.frames.Release()
	defer r.dropWaiting()
	for {
		if !r.s.awaitAnswersTaken() {
			return
		}
		if err := r.resumeWaiting(); err != nil {
			r.readFailed(err)
			return
		}
		err := r.frames.Fill()
		if err == nil {
			err = r.handleAll()
		} else if none, ok := errors.AsType[*wire.NoBudgetError](err); ok {
			err = r.refuseFrame(none)
		} else if errors.Is(err, os.ErrDeadlineExceeded) {
			err = r.checkFrameDeadline(time.Now())
		}
		if err == nil {
			err = r.setFrameDeadline()
		}
		if errors.Is(err, io.EOF) {
			err = cmp.Or(r.finishWaiting(), err)
		}
		if err != nil {
			r.readFailed(err)
			return
		}
	}
}

func (r *reader) readFailed(err error) {
	switch {
	case errors.Is(err, io.EOF):
		r.s.mu.Lock()
		r.s.ending = true
		r.s.wakeWriter()
		r.s.mu.Unlock()
		return
	case errors.Is(err, wire.ErrFrame):
		r.s.conn.close(wire.CloseProtocol, err.Error())
	}
	r.s.fail(err)
}

// refuseFrame answers a request that is too large for the remaining memory budget.
func (r *reader) refuseFrame(none *wire.NoBudgetError) error {
	id, err := wire.RequestID(none.Head)
	if err != nil {
		return err
	}
	refusal := r.s.tooLarge(none.Size)
	if refusal == nil {
		refusal = r.s.overBudget(none.Size)
	}
	r.batch.answers = wire.AppendError(r.batch.answers, id, refusal.Code, refusal.Message)
	r.flush()
	return nil
}

// setFrameDeadline sets a deadline for the reader while its buffer is larger than initially. A client can then not make the member keep
// a part of a large frame, or the enlarged buffer after it, for long.
func (r *reader) setFrameDeadline() error {
	if !r.frames.Grown() {
		r.partialSince = time.Time{}
		return nil
	}
	if r.frames.Partial() > 0 && r.partialSince.IsZero() {
		r.partialSince = time.Now()
	}
	r.filled = true
	if r.deadlineSet {
		return nil
	}
	r.deadlineSet, r.filled = true, false
	return r.s.qs.SetReadDeadline(time.Now().Add(r.s.conn.server.stall()))
}

// checkFrameDeadline is called when the deadline of setFrameDeadline has passed.
func (r *reader) checkFrameDeadline(now time.Time) error {
	if !r.partialSince.IsZero() {
		took := now.Sub(r.partialSince)
		if took >= r.s.conn.server.config.Limits.WriteTimeout || took >= r.s.conn.server.stall() && r.s.share.over() {
			return fmt.Errorf("%w: a large request has not arrived as a whole after %v", errSlow, took.Round(time.Millisecond))
		}
	} else if !r.filled {
		r.frames.Trim()
	}
	r.deadlineSet = false
	return r.s.qs.SetReadDeadline(time.Time{})
}

// answerBytesWaiting bounds the refusals and statuses that wait on a stream before its requests are no longer read. Other answers are
// encoded when they are written.
const answerBytesWaiting = 4 << 10

// handleAll handles all complete frames, including those before an error.
func (r *reader) handleAll() error {
	defer r.flush()
	r.s.conn.lastRequest.Set(time.Now())
	for {
		frame, err := r.frames.Next()
		if frame == nil || err != nil {
			return err
		}
		r.partialSince = time.Time{}
		err = r.handle(frame)
		// decoded, they are up to twenty times their frame and not accounted for: an idle stream would keep them in memory
		r.request.Txn, r.request.Ask = nil, nil
		if err != nil {
			return err
		}
		if len(r.batch.answers) > answerBytesWaiting {
			r.flush()
			if !r.s.awaitAnswersTaken() {
				return io.ErrClosedPipe
			}
		}
	}
}

// handle adds one request to the batch. After an error the stream cannot go on.
func (r *reader) handle(frame []byte) error {
	first := !r.received
	r.received = true
	if own := r.s.watches; own != nil { // only this goroutine sets it
		return own.handleInOrder(r, frame)
	} else if first && wire.IsWatch(frame) {
		return r.s.beginWatches().handleInOrder(r, frame)
	}
	b, q := &r.batch, &r.request
	err := wire.ReadRequest(frame, q)
	refusal, known := errors.AsType[*kv.Error](err)
	if err != nil && !known {
		return err
	}
	if refusal == nil {
		refusal = r.start(q, frame)
	}
	if refusal != nil {
		b.answers = wire.AppendError(b.answers, q.ID, refusal.Code, refusal.Message)
	}
	return nil
}

// start answers a request or adds it to the batch, by its path, or returns why it is refused.
func (r *reader) start(q *wire.Request, frame []byte) *kv.Error {
	path := q.Path()
	if refusal := r.refuse(q, path, len(frame)); refusal != nil {
		return refusal
	}
	if r.waitsForStart(q, path) {
		return r.awaitStart(frame, q.Op.Start(), q.Timeout)
	}
	if refusal := r.permitsEarly(q, path); refusal != nil {
		return refusal
	}
	rule := &rules[q.Op]
	if rule.now != nil {
		if done, refusal := rule.now(r, q, path, len(frame)); done {
			return refusal
		}
	}
	x, refusal := r.admit(q, path, len(frame))
	b := &r.batch
	switch {
	case refusal != nil:
		return refusal
	case rule.handle != nil:
		return rule.handle(r, q, x, len(frame))
	case path == wire.PathLog:
		return r.addWrite(q, x, len(frame))
	case path == wire.PathLocal:
		b.ready = append(b.ready, x)
	default:
		b.reads = append(b.reads, x)
		b.readTimeout = max(b.readTimeout, q.Timeout)
	}
	return nil
}

// answerStatus answers with the member's status.
func (r *reader) answerStatus(q *wire.Request, _ wire.Path, _ int) (done bool, refusal *kv.Error) {
	r.batch.answers = wire.AppendAnswer(r.batch.answers, q.ID, new(r.s.conn.server.config.Member.Status()))
	return true, nil
}

// readmit lifts a member's suspension.
func (r *reader) readmit(q *wire.Request, _ wire.Path, _ int) (done bool, refusal *kv.Error) {
	config := &r.s.conn.server.config
	if refusal = config.Member.Readmit(q.Ask.Member); refusal != nil {
		return true, refusal
	}
	if config.Audit != nil {
		config.Audit.Record(r.s.conn.event(q.Op.String()))
	}
	r.batch.answers = wire.AppendDone(r.batch.answers, q.ID)
	return true, nil
}

// admit counts a request as under way, and returns its slot, or the limit that refuses it.
func (r *reader) admit(q *wire.Request, path wire.Path, frame int) (slot, *kv.Error) {
	rule := &rules[q.Op]
	weight, body := frame, rule.body != nil && rule.body(q)
	if body { // the copy of what it needs, and what is decoded
		weight += frame
	}
	switch {
	case q.Txn != nil:
		weight += q.Txn.Parts() * txnPartBytes
	case body && q.Ask != nil:
		weight += (len(q.Ask.Revisions) + len(q.Ask.Changes)) * askPartBytes
	}
	rows, refusal := r.rows(q)
	if refusal != nil {
		return slot{}, refusal
	}
	bytes, refusal := r.begin(weight)
	if refusal != nil {
		return slot{}, refusal
	}
	x := slot{id: q.ID, op: q.Op, bytes: bytes}
	if r.s.conn.server.config.Audit != nil && rule.note != nil {
		x.note = new(rule.note(q))
	}
	if x.long = path == wire.PathLog && rows > limits.LongWriteRows; x.long && !r.s.conn.server.long.CompareAndSwap(false, true) {
		r.s.end(1, int64(bytes))
		return slot{}, kv.Errorf(kv.Overloaded, "it looks at %d keys, and another write of more than %d is under way", rows, limits.LongWriteRows)
	}
	switch {
	case body:
		x.read = r.s.conn.newBody(q)
	case rule.keep != nil:
		rule.keep(r, q, &x)
	}
	return x, nil
}

// readable are the bounds of keys and values that any member reads.
var readable = kv.Bounds{Key: limits.KeyBytes, Value: limits.ValueBytes}

// refuse returns the error for a request that is refused whatever else is under way, or nil.
func (r *reader) refuse(q *wire.Request, path wire.Path, bytes int) *kv.Error {
	if r.s.conn.server.draining.Load() && q.Op.Start() != wire.NeedNothing {
		return &kv.Error{Code: kv.Unavailable, Message: "the member is shutting down"}
	}
	if path != wire.PathMember {
		if refusal := r.s.conn.server.config.Member.Refuse(); refusal != nil {
			return refusal
		}
	}
	if refusal := q.Check(readable); refusal != nil {
		return refusal
	}
	if q.Op.Write() {
		return r.s.tooLarge(bytes)
	}
	return nil
}

// rows returns the number of keys in the ranges of a write when it is applied, or an error if there are too many.
func (r *reader) rows(q *wire.Request) (int64, *kv.Error) {
	switch v := r.s.conn.server.config.Member.View; {
	case !hasRanges(q):
		return 0, nil
	case q.Txn != nil:
		return v().RowsOfTxn(q.Txn)
	default:
		return v().RowsOf(q.Delete.Key, q.Delete.End), nil
	}
}

// hasRanges reports whether a delete or a transaction visits ranges of keys.
func hasRanges(q *wire.Request) bool { return len(q.Delete.End) > 0 || q.Txn != nil && q.Txn.Ranges() }

// addWrite encodes the command as the log will hold it, or returns why the connection has no user any more.
func (r *reader) addWrite(q *wire.Request, x slot, frame int) *kv.Error {
	b := &r.batch
	frame += len(b.by.Name)
	if q.Op.Alone() { // no other command is in its proposal
		r.flush()
		defer r.flush()
	}
	if len(b.writes) == limits.BatchCommands || b.proposed != nil && len(b.proposed.arena)+frame > limits.BatchBytes {
		r.flush()
	}
	if b.proposed == nil {
		by, refusal := r.s.conn.author(r.s.conn.server.config.Member.View())
		if refusal != nil {
			r.s.endSlots([]slot{x})
			return r.s.conn.audited(q.Op, touching(q), refusal)
		}
		b.by = by
		b.proposed = newProposed(frame + 64 + min(r.frames.Partial()*9/8, limits.BatchBytes))
	}
	to := b.proposed
	start := len(to.arena)
	command := rules[q.Op].command(write{index.Head{Once: q.Once, By: b.by}, q, to.arena})
	to.arena = command.Bytes
	command.Bytes = to.arena[start:len(to.arena):len(to.arena)]
	to.commands = append(to.commands, command)
	b.writes = append(b.writes, x)
	b.writeTimeout = max(b.writeTimeout, q.Timeout)
	return nil
}

// moveLeader asks the member to move the leader. That takes some heartbeats, in the background: no other request waits for it.
// One move at a time is under way at the member, for at most the request's timeout and the life of its connection.
func (r *reader) moveLeader(q *wire.Request, x slot, _ int) *kv.Error {
	server := r.s.conn.server
	if !server.moving.CompareAndSwap(false, true) {
		r.s.end(1, int64(x.bytes))
		return kv.Errorf(kv.Overloaded, "the leader is being moved already")
	}
	to := q.Ask.Member
	if !r.runInBackground(x, q.Timeout, func(ctx context.Context, number uint64) {
		err := server.config.Member.MoveLeader(ctx, to)
		server.moving.Store(false)
		r.s.complete(number, err)
	}) {
		server.moving.Store(false)
	}
	return nil
}

// flush hands over the batch: answers to the writer, writes and reads to the member. The member may make it wait.
func (r *reader) flush() {
	b := &r.batch
	r.answerLocals()
	r.uncount()
	r.measure()
	r.s.mu.Lock()
	if r.s.closed {
		r.s.mu.Unlock()
		r.forget()
		return
	}
	if len(b.answers) > 0 {
		if len(r.s.out) == 0 {
			r.s.out, b.answers = b.answers, r.s.out
		} else {
			r.s.out = append(r.s.out, b.answers...)
			b.answers = b.keep.Of(b.answers)
		}
		r.s.wakeWriter()
	}
	r.writerLags = len(r.s.immediate) > 0
	if len(b.immediate.out) > 0 {
		r.s.immediate = append(r.s.immediate, b.immediate)
		b.immediate, r.s.spare = r.s.spare, buffer{}
		r.s.wakeWriter()
	}
	if len(b.ready) > 0 {
		r.s.ready = append(r.s.ready, b.ready...)
		clear(b.ready)
		b.ready = b.ready[:0]
		r.s.wakeWriter()
	}
	if len(b.writes) > 0 {
		b.proposed.requests = r.s.registerLocked(b.proposed.requests, b.writes)
	}
	reads, asks := r.s.registerLocked(nil, b.reads), r.s.registerLocked(nil, b.queries)
	r.s.mu.Unlock()

	if len(b.writes) > 0 {
		p := kv.Proposal{ReplyTo: r.s, Requests: b.proposed.requests, Commands: b.proposed.commands, Timeout: b.writeTimeout, Release: b.proposed}
		clear(b.writes) // a body holds a View, which keeps retired memory mapped
		b.writes, b.proposed, b.writeTimeout = b.writes[:0], nil, 0
		r.s.conn.server.config.Member.Propose(p)
	}
	if len(reads) > 0 {
		timeout := b.readTimeout
		clear(b.reads)
		b.reads, b.readTimeout = b.reads[:0], 0
		r.s.conn.server.config.Member.ReadIndex(r.s, reads, timeout)
	}
	if len(asks) > 0 {
		leases, timeout := b.queried, b.queryTimeout
		clear(b.queries)
		b.queries, b.queried, b.queryTimeout = b.queries[:0], nil, 0
		r.s.conn.server.config.Member.AskLeases(r.s, asks, leases, timeout)
	}
}

// forget drops a batch whose stream is gone.
func (r *reader) forget() {
	for _, slots := range [][]slot{r.batch.writes, r.batch.reads, r.batch.queries, r.batch.ready} {
		r.s.endSlots(slots)
	}
	r.batch.immediate.release()
	r.batch = batch{}
}

// measure counts the operations of the batch. It stamps one write and one read of it: all of a batch take about as long.
func (r *reader) measure() {
	b, operations := &r.batch, r.s.conn.server.config.Operations
	reads := b.reads
	if len(reads) == 0 {
		reads = b.ready
	}
	if operations == nil || len(b.writes)+len(reads) == 0 {
		return
	}
	operations.Count(meter.Puts, len(b.writes))
	operations.Count(meter.Gets, len(b.reads)+len(b.ready))
	now := r.s.conn.server.stamp()
	if len(b.writes) > 0 {
		b.writes[0].begun = now
	}
	if len(reads) > 0 {
		reads[0].begun = now
	}
}

// stamp returns the microseconds since the server's start, modulo 2^32, and never 0.
func (s *Server) stamp() uint32 { return uint32(time.Since(s.started).Microseconds()) | 1 }

// measured observes the duration of a stamped operation.
func (s *Server) measured(x *slot) {
	if x.begun == 0 {
		return
	}
	kind := meter.Gets
	if x.op.Write() {
		kind = meter.Puts
	}
	s.config.Operations.Observe(kind, time.Duration(s.stamp()-x.begun)*time.Microsecond)
}
