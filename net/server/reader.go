package server

import (
	"errors"
	"io"
	"os"
	"runtime"
	"time"

	"qkv/index"
	"qkv/log/limits"
	"qkv/net/wire"
)

// batch is what the reader made of the frames that came together.
type batch struct {
	answers []byte     // of requests that need no waiting
	keep    wire.Reuse // of answers

	writes       []slot
	commands     [][]byte
	arena        []byte // the commands' bytes; the member's, once they are proposed
	writeTimeout time.Duration

	reads       []slot
	readTimeout time.Duration
}

// read is the reader goroutine.
func (s *stream) read() {
	for {
		if !s.waitForRoom() {
			return
		}
		err := s.frames.Fill()
		if err == nil {
			err = s.handleAll()
		}
		if err == nil {
			err = s.timeLargeFrame()
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
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.conn.close(wire.CloseSlow, "a large request did not arrive as a whole in "+s.conn.server.bounds.WriteTimeout.String())
	}
	s.abandon()
}

// timeLargeFrame bounds the time for which a client can make the member keep a part of a large frame.
func (s *stream) timeLargeFrame() error {
	large := s.frames.Partial() > 64<<10
	if large == s.timed {
		return nil
	}
	s.timed = large
	var deadline time.Time
	if large {
		deadline = time.Now().Add(s.conn.server.bounds.WriteTimeout)
	}
	return s.qs.SetReadDeadline(deadline)
}

// handleAll handles all frames that have arrived as a whole. Those before an error are handled too.
func (s *stream) handleAll() error {
	defer s.flush()
	for {
		frame, err := s.frames.Next()
		if frame == nil || err != nil {
			return err
		}
		if err := s.handle(frame); err != nil {
			return err
		}
		if len(s.batch.answers) > limits.AnswerBytesWaiting {
			s.flush()
			if !s.waitForRoom() {
				return io.ErrClosedPipe
			}
		}
	}
}

// handle adds one request to the batch. An error means that the stream cannot go on.
func (s *stream) handle(frame []byte) error {
	b, q := &s.batch, &s.request
	err := wire.ReadRequest(frame, q)
	var refusal *wire.Error
	if err != nil && !errors.As(err, &refusal) {
		return err
	}
	if refusal == nil {
		refusal = s.refuse(q)
	}
	if refusal == nil && s.needsMember(q) {
		refusal = s.conn.begin(len(frame))
	}
	switch {
	case refusal != nil:
		b.answers = wire.AppendError(b.answers, q.ID, refusal.Code, refusal.Message)
	case q.Op.Write():
		s.addWrite(q, len(frame))
	case q.Op == wire.OpStatus:
		status := s.conn.server.config.Member.Status()
		b.answers = wire.AppendStatusAnswer(b.answers, q.ID, &status)
	case q.Flags&wire.Serializable == 0:
		b.reads = append(b.reads, slot{id: q.ID, op: q.Op, bytes: int32(len(frame)), read: newRead(q)})
		b.readTimeout = max(b.readTimeout, q.Timeout)
	default:
		v := s.conn.server.config.Member.View()
		b.answers = appendRange(b.answers, q.ID, v, query{q.Key, q.End, q.Revision, q.Limit, q.Flags})
		runtime.KeepAlive(v)
	}
	return nil
}

// needsMember says that a request waits for the member, and is under way until then.
func (s *stream) needsMember(q *wire.Request) bool {
	return q.Op.Write() || q.Op == wire.OpRange && q.Flags&wire.Serializable == 0
}

func (s *stream) refuse(q *wire.Request) *wire.Error {
	if s.conn.server.draining.Load() && q.Op != wire.OpStatus {
		return &wire.Error{Code: wire.Unavailable, Message: "the member is shutting down"}
	}
	return q.Check(s.conn.server.config.ValueBytes)
}

// addWrite encodes the command as it will stand in the log.
func (s *stream) addWrite(q *wire.Request, bytes int) {
	b := &s.batch
	if len(b.writes) == limits.BatchCommands || len(b.arena)+bytes > limits.BatchBytes {
		s.flush()
	}
	if b.arena == nil {
		b.arena = make([]byte, 0, bytes+64+min(s.frames.Partial()*9/8, limits.BatchBytes))
	}
	start := len(b.arena)
	if q.Op == wire.OpPut {
		b.arena = index.AppendPut(b.arena, q.Key, q.Value, q.Lease)
	} else {
		b.arena = index.AppendDelete(b.arena, q.Key, q.End)
	}
	b.commands = append(b.commands, b.arena[start:len(b.arena):len(b.arena)])
	b.writes = append(b.writes, slot{id: q.ID, op: q.Op, bytes: int32(bytes)})
	b.writeTimeout = max(b.writeTimeout, q.Timeout)
}

// flush hands over the batch: answers to the writer, writes and reads to the member, which may make it wait.
func (s *stream) flush() {
	b := &s.batch
	s.mu.Lock()
	if s.gone {
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
	writes, reads := s.registerLocked(b.writes), s.registerLocked(b.reads)
	s.mu.Unlock()

	if len(writes) > 0 {
		p := index.Proposal{From: s, Requests: writes, Commands: b.commands, Timeout: b.writeTimeout}
		b.writes, b.commands, b.arena, b.writeTimeout = b.writes[:0], make([][]byte, 0, len(b.commands)), nil, 0
		s.conn.server.config.Member.Propose(p)
	}
	if len(reads) > 0 {
		timeout := b.readTimeout
		clear(b.reads)
		b.reads, b.readTimeout = b.reads[:0], 0
		s.conn.server.config.Member.Confirm(s, reads, timeout)
	}
}

// forget drops a batch whose stream is gone.
func (s *stream) forget() {
	var bytes int64
	requests := int64(len(s.batch.writes) + len(s.batch.reads))
	for _, x := range s.batch.writes {
		bytes += int64(x.bytes)
	}
	for _, x := range s.batch.reads {
		bytes += int64(x.bytes)
		x.read.recycle()
	}
	s.batch = batch{}
	s.conn.end(requests, bytes)
}
