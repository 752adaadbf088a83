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

// read is the reader goroutine.
func (s *stream) read() {
	defer s.frames.Release()
	defer s.dropWaiting()
	for {
		if !s.awaitAnswersTaken() {
			return
		}
		if err := s.resumeWaiting(); err != nil {
			s.readFailed(err)
			return
		}
		err := s.frames.Fill()
		if err == nil {
			err = s.handleAll()
		} else if none, ok := errors.AsType[*wire.NoBudgetError](err); ok {
			err = s.refuseFrame(none)
		} else if errors.Is(err, os.ErrDeadlineExceeded) {
			err = s.checkFrameDeadline(time.Now())
		}
		if err == nil {
			err = s.setFrameDeadline()
		}
		if errors.Is(err, io.EOF) {
			err = cmp.Or(s.finishWaiting(), err)
		}
		if err != nil {
			s.readFailed(err)
			return
		}
	}
}

func (s *stream) readFailed(err error) {
	switch {
	case errors.Is(err, io.EOF):
		s.mu.Lock()
		s.ending = true
		s.wakeWriter()
		s.mu.Unlock()
		return
	case errors.Is(err, wire.ErrFrame):
		s.conn.close(wire.CloseProtocol, err.Error())
	}
	s.fail(err)
}

// refuseFrame answers a request that is too large for the remaining memory budget.
func (s *stream) refuseFrame(none *wire.NoBudgetError) error {
	id, err := wire.RequestID(none.Head)
	if err != nil {
		return err
	}
	refusal := s.tooLarge(none.Size)
	if refusal == nil {
		refusal = s.overBudget(none.Size)
	}
	s.batch.answers = wire.AppendError(s.batch.answers, id, refusal.Code, refusal.Message)
	s.flush()
	return nil
}

// setFrameDeadline sets a deadline for the reader while its buffer is larger than initially. A client can then not make the member keep
// a part of a large frame, or the enlarged buffer after it, for long.
func (s *stream) setFrameDeadline() error {
	if !s.frames.Grown() {
		s.partialSince = time.Time{}
		return nil
	}
	if s.frames.Partial() > 0 && s.partialSince.IsZero() {
		s.partialSince = time.Now()
	}
	s.filled = true
	if s.deadlineSet {
		return nil
	}
	s.deadlineSet, s.filled = true, false
	return s.qs.SetReadDeadline(time.Now().Add(s.conn.server.stall()))
}

// checkFrameDeadline is called when the deadline of setFrameDeadline has passed.
func (s *stream) checkFrameDeadline(now time.Time) error {
	if !s.partialSince.IsZero() {
		took := now.Sub(s.partialSince)
		if took >= s.conn.server.config.Limits.WriteTimeout || took >= s.conn.server.stall() && s.share.over() {
			return fmt.Errorf("%w: a large request has not arrived as a whole after %v", errSlow, took.Round(time.Millisecond))
		}
	} else if !s.filled {
		s.frames.Trim()
	}
	s.deadlineSet = false
	return s.qs.SetReadDeadline(time.Time{})
}

// answerBytesWaiting bounds the refusals and statuses that wait on a stream before its requests are no longer read. Other answers are
// encoded when they are written.
const answerBytesWaiting = 4 << 10

// handleAll handles all complete frames, including those before an error.
func (s *stream) handleAll() error {
	defer s.flush()
	s.conn.lastRequest.Set(time.Now())
	for {
		frame, err := s.frames.Next()
		if frame == nil || err != nil {
			return err
		}
		s.partialSince = time.Time{}
		err = s.handle(frame)
		// decoded, they are up to twenty times their frame and not accounted for: an idle stream would keep them in memory
		s.request.Txn, s.request.Ask = nil, nil
		if err != nil {
			return err
		}
		if len(s.batch.answers) > answerBytesWaiting {
			s.flush()
			if !s.awaitAnswersTaken() {
				return io.ErrClosedPipe
			}
		}
	}
}

// handle adds one request to the batch. After an error the stream cannot go on.
func (s *stream) handle(frame []byte) error {
	first := !s.received
	s.received = true
	if own := s.watches; own != nil { // only this goroutine sets it
		return own.handleInOrder(frame)
	} else if first && wire.IsWatch(frame) {
		return s.beginWatches().handleInOrder(frame)
	}
	b, q := &s.batch, &s.request
	err := wire.ReadRequest(frame, q)
	refusal, known := errors.AsType[*kv.Error](err)
	if err != nil && !known {
		return err
	}
	if refusal == nil {
		refusal = s.start(q, frame)
	}
	if refusal != nil {
		b.answers = wire.AppendError(b.answers, q.ID, refusal.Code, refusal.Message)
	}
	return nil
}

// start answers a request or adds it to the batch, by its path, or returns why it is refused.
func (s *stream) start(q *wire.Request, frame []byte) *kv.Error {
	path := q.Path()
	if refusal := s.refuse(q, path, len(frame)); refusal != nil {
		return refusal
	}
	if s.waitsForStart(q, path) {
		return s.awaitStart(frame, q.Op.Start(), q.Timeout)
	}
	if refusal := s.permitsEarly(q, path); refusal != nil {
		return refusal
	}
	if path == wire.PathMember && q.Op != wire.OpLogin {
		return s.answerAlone(q)
	}
	if path == wire.PathLocal && q.Op == wire.OpRange && len(q.Range.End) == 0 {
		s.addLocal(q, len(frame))
		return nil
	}
	x, refusal := s.admit(q, path, frame)
	if refusal != nil {
		return refusal
	}
	b := &s.batch
	switch path {
	case wire.PathMember:
		s.logIn(q, x)
	case wire.PathLog:
		if q.Op == wire.OpAuthChange && len(q.Ask.Password) > 0 {
			s.proposeAuthChange(q, x)
			return nil
		}
		alone := q.Op.Alone() // no other command is in its proposal
		if alone {
			s.flush()
		}
		refusal := s.addWrite(q, x, len(frame))
		if alone {
			s.flush()
		}
		return refusal
	case wire.PathLeader:
		return s.moveLeader(q, x)
	case wire.PathBackup:
		return s.backUp(q, x)
	case wire.PathClock:
		s.addLeaseQuery(q, x)
	case wire.PathLocal:
		b.ready = append(b.ready, x)
	case wire.PathRead:
		b.reads = append(b.reads, x)
		b.readTimeout = max(b.readTimeout, q.Timeout)
	}
	return nil
}

// answerAlone answers a request for the member itself.
func (s *stream) answerAlone(q *wire.Request) *kv.Error {
	b, member := &s.batch, s.conn.server.config.Member
	switch q.Op {
	case wire.OpStatus:
		b.answers = wire.AppendAnswer(b.answers, q.ID, new(member.Status()))
		return nil
	}
	if refusal := member.Readmit(q.Ask.Member); refusal != nil {
		return refusal
	}
	if record := s.conn.server.config.Audit; record != nil {
		record.Record(s.conn.event(q.Op))
	}
	b.answers = wire.AppendDone(b.answers, q.ID)
	return nil
}

// admit counts a request as under way, and returns its slot, or the limit that refuses it.
func (s *stream) admit(q *wire.Request, path wire.Path, frame []byte) (slot, *kv.Error) {
	weight, body := len(frame), needsBody(q)
	if body {
		weight += bodyWeight(q, len(frame))
	}
	rows, refusal := s.rows(q)
	if refusal != nil {
		return slot{}, refusal
	}
	bytes, refusal := s.begin(weight)
	if refusal != nil {
		return slot{}, refusal
	}
	x := slot{id: q.ID, op: q.Op, bytes: bytes}
	if s.conn.server.config.Audit != nil {
		x.note = noteOf(q)
	}
	if x.long = path == wire.PathLog && rows > limits.LongWriteRows; x.long && !s.conn.server.long.CompareAndSwap(false, true) {
		s.end(1, int64(bytes))
		return slot{}, kv.Errorf(kv.Overloaded, "it looks at %d keys, and another write of more than %d is under way", rows, limits.LongWriteRows)
	}
	switch {
	case body:
		x.read = newBody(frame, q.Timeout)
	case q.Op == wire.OpRange, q.Op == wire.OpPages:
		x.read = newRead(&q.Range, q.Timeout)
	case q.Op == wire.OpKeepAlive:
		x.lease = &wire.LeaseRequest{ID: q.Lease.ID}
	case q.Op == wire.OpTimeToLive, q.Op == wire.OpLeases:
		x.lease = new(q.Ask.Lease)
	}
	return x, nil
}

// readable are the bounds of keys and values that any member reads.
var readable = kv.Bounds{Key: limits.KeyBytes, Value: limits.ValueBytes}

// refuse returns the error for a request that is refused whatever else is under way, or nil.
func (s *stream) refuse(q *wire.Request, path wire.Path, bytes int) *kv.Error {
	if s.conn.server.draining.Load() && q.Op != wire.OpStatus {
		return &kv.Error{Code: kv.Unavailable, Message: "the member is shutting down"}
	}
	if path != wire.PathMember {
		if refusal := s.conn.server.config.Member.Refuse(); refusal != nil {
			return refusal
		}
	}
	if refusal := q.Check(readable); refusal != nil {
		return refusal
	}
	if q.Op.Write() {
		return s.tooLarge(bytes)
	}
	return nil
}

// rows returns the number of keys in the ranges of a write when it is applied, or an error if there are too many.
func (s *stream) rows(q *wire.Request) (int64, *kv.Error) {
	switch {
	case !hasRanges(q):
		return 0, nil
	case q.Op == wire.OpDelete:
		return s.conn.server.config.Member.View().RowsOf(q.Delete.Key, q.Delete.End), nil
	default:
		return s.conn.server.config.Member.View().RowsOfTxn(q.Txn)
	}
}

// hasRanges reports whether a delete or a transaction visits ranges of keys.
func hasRanges(q *wire.Request) bool {
	return q.Op == wire.OpDelete && len(q.Delete.End) > 0 || q.Op == wire.OpTxn && q.Txn.Ranges()
}

// addWrite encodes the command as the log will hold it, or returns why the connection has no user any more.
func (s *stream) addWrite(q *wire.Request, x slot, frame int) *kv.Error {
	b := &s.batch
	frame += len(b.by.Name)
	if len(b.writes) == limits.BatchCommands || b.proposed != nil && len(b.proposed.arena)+frame > limits.BatchBytes {
		s.flush()
	}
	if b.proposed == nil {
		by, refusal := s.conn.author(s.conn.server.config.Member.View())
		if refusal != nil {
			s.endSlots([]slot{x})
			return s.conn.audited(q.Op, touching(q), refusal)
		}
		b.by = by
		b.proposed = newProposed(frame + 64 + min(s.frames.Partial()*9/8, limits.BatchBytes))
	}
	to := b.proposed
	start := len(to.arena)
	head := index.Head{Once: q.Once, By: b.by}
	var command kv.Command
	switch q.Op {
	case wire.OpPut:
		command = head.AppendPut(to.arena, &q.Put)
	case wire.OpDelete:
		command = head.AppendDelete(to.arena, &q.Delete)
	case wire.OpTxn:
		command = head.AppendTxn(to.arena, q.Txn)
	case wire.OpCompact:
		command = head.AppendCompact(to.arena, q.Ask.Revision)
	case wire.OpAuthChange:
		command = head.AppendAuthChange(to.arena, withSecret(&q.Ask.Auth))
	case wire.OpChangeMember:
		command = head.AppendMemberChange(to.arena, &q.Ask.Change)
	case wire.OpGrant:
		l := s.newLease(q)
		x.lease = &wire.LeaseRequest{ID: l.ID, TTL: l.TTL}
		command = head.AppendGrant(to.arena, l)
	case wire.OpRevoke:
		command = head.AppendRevoke(to.arena, q.Lease.ID)
	}
	to.arena = command.Bytes
	command.Bytes = to.arena[start:len(to.arena):len(to.arena)]
	to.commands = append(to.commands, command)
	b.writes = append(b.writes, x)
	b.writeTimeout = max(b.writeTimeout, q.Timeout)
	return nil
}

// moveLeader asks the member to move the leader. That takes some heartbeats, in the background: no other request waits for it.
// One move at a time is under way at the member, for at most the request's timeout and the life of its connection.
func (s *stream) moveLeader(q *wire.Request, x slot) *kv.Error {
	server := s.conn.server
	if !server.moving.CompareAndSwap(false, true) {
		s.end(1, int64(x.bytes))
		return kv.Errorf(kv.Overloaded, "the leader is being moved already")
	}
	to := q.Ask.Member
	if !s.runInBackground(x, q.Timeout, func(ctx context.Context, number uint64) {
		err := server.config.Member.MoveLeader(ctx, to)
		server.moving.Store(false)
		s.complete(number, err)
	}) {
		server.moving.Store(false)
	}
	return nil
}

// flush hands over the batch: answers to the writer, writes and reads to the member. The member may make it wait.
func (s *stream) flush() {
	b := &s.batch
	s.answerLocals()
	s.uncount()
	s.measure()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		s.forget()
		return
	}
	if len(b.answers) > 0 {
		if len(s.out) == 0 {
			s.out, b.answers = b.answers, s.out
		} else {
			s.out = append(s.out, b.answers...)
			b.answers = b.keep.Of(b.answers)
		}
		s.wakeWriter()
	}
	s.writerLags = len(s.immediate) > 0
	if len(b.immediate.out) > 0 {
		s.immediate = append(s.immediate, b.immediate)
		b.immediate, s.spare = s.spare, buffer{}
		s.wakeWriter()
	}
	if len(b.ready) > 0 {
		s.ready = append(s.ready, b.ready...)
		clear(b.ready)
		b.ready = b.ready[:0]
		s.wakeWriter()
	}
	if len(b.writes) > 0 {
		b.proposed.requests = s.registerLocked(b.proposed.requests, b.writes)
	}
	reads, asks := s.registerLocked(nil, b.reads), s.registerLocked(nil, b.queries)
	s.mu.Unlock()

	if len(b.writes) > 0 {
		p := kv.Proposal{ReplyTo: s, Requests: b.proposed.requests, Commands: b.proposed.commands, Timeout: b.writeTimeout, Release: b.proposed}
		clear(b.writes) // a body holds a View, which keeps retired memory mapped
		b.writes, b.proposed, b.writeTimeout = b.writes[:0], nil, 0
		s.conn.server.config.Member.Propose(p)
	}
	if len(reads) > 0 {
		timeout := b.readTimeout
		clear(b.reads)
		b.reads, b.readTimeout = b.reads[:0], 0
		s.conn.server.config.Member.ReadIndex(s, reads, timeout)
	}
	if len(asks) > 0 {
		leases, timeout := b.queried, b.queryTimeout
		clear(b.queries)
		b.queries, b.queried, b.queryTimeout = b.queries[:0], nil, 0
		s.conn.server.config.Member.AskLeases(s, asks, leases, timeout)
	}
}

// forget drops a batch whose stream is gone.
func (s *stream) forget() {
	for _, slots := range [][]slot{s.batch.writes, s.batch.reads, s.batch.queries, s.batch.ready} {
		s.endSlots(slots)
	}
	s.batch.immediate.release()
	s.batch = batch{}
}

// measure counts the operations of the batch. It stamps one write and one read of it: all of a batch take about as long.
func (s *stream) measure() {
	b, operations := &s.batch, s.conn.server.config.Operations
	reads := b.reads
	if len(reads) == 0 {
		reads = b.ready
	}
	if operations == nil || len(b.writes)+len(reads) == 0 {
		return
	}
	operations.Count(meter.Puts, len(b.writes))
	operations.Count(meter.Gets, len(b.reads)+len(b.ready))
	now := s.conn.server.stamp()
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
