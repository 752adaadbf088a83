package server

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"qkv/index"
	"qkv/net/wire"
)

// writeBytes is how much is encoded before it is written: a View is not held for longer.
const writeBytes = 128 << 10

// writer is what the writer goroutine owns.
type writer struct {
	out   []byte
	keep  wire.Reuse // of out
	done  []index.Done
	slots []slot // of done; without an op where there is none
}

// write is the writer goroutine.
func (s *stream) write() {
	var w writer
	for range s.wake {
		if s.conn.requests.Load() > 1 {
			runtime.Gosched() // who is about to leave more for this write runs first; measured: 1.5 times as many puts
		}
		if !s.take(&w) {
			return
		}
		if err := s.writeAll(&w); err != nil {
			s.writeFailed(err)
			return
		}
		if s.ended() {
			return
		}
	}
}

// take takes all that waits.
func (s *stream) take(w *writer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return false
	}
	w.out, s.out = s.out, w.out
	w.done, s.done = s.done, w.done[:0]
	w.slots = w.slots[:0]
	for i := range w.done {
		x, _ := s.resolveLocked(w.done[i].Request)
		w.slots = append(w.slots, x)
	}
	s.trimLocked()
	s.room.Signal()
	return true
}

// writeAll encodes and writes what was taken. A request is under way until just before its answer is written: a
// client that has seen it has room for another.
func (s *stream) writeAll(w *writer) error {
	for next := 0; next < len(w.done) || len(w.out) > 0; {
		from := next
		next = s.encode(w, next)
		s.count(w.slots[from:next])
		if err := s.send(w.out); err != nil {
			s.count(w.slots[next:])
			return err
		}
		w.out = w.keep.Of(w.out)
	}
	clear(w.done) // the messages that it refers to
	if cap(w.done) > slotsKept && len(w.done) < slotsKept/8 {
		w.done, w.slots = nil, nil
	}
	return nil
}

// count takes requests out of those under way.
func (s *stream) count(slots []slot) {
	var requests, bytes int64
	for i := range slots {
		if slots[i].op != 0 {
			requests++
			bytes += int64(slots[i].bytes)
		}
	}
	s.conn.end(requests, bytes)
}

// encode appends outcomes from next on until there is enough for one write, and returns how far it came. All
// reads among them were confirmed before the View is taken.
func (s *stream) encode(w *writer, next int) int {
	v := s.conn.server.config.Member.View()
	for ; next < len(w.done) && len(w.out) < writeBytes; next++ {
		x, d := &w.slots[next], &w.done[next]
		switch {
		case x.op == 0:
		case d.Err != nil:
			w.out = wire.AppendError(w.out, x.id, wire.Code(d.Err.Code), d.Err.Message)
		case x.read != nil:
			w.out = appendRange(w.out, x.id, v, x.read.query)
		case d.Result.Code != 0:
			w.out = wire.AppendError(w.out, x.id, wire.Code(d.Result.Code), d.Result.Detail)
		default:
			w.out = wire.AppendWritten(w.out, x.id, d.Result.Revision, d.Result.Deleted)
		}
		x.read.recycle()
		x.read = nil
	}
	runtime.KeepAlive(v)
	return next
}

// send writes b. Each piece of it must be taken in time.
func (s *stream) send(b []byte) error {
	for len(b) > 0 {
		piece := b[:min(len(b), writeBytes)]
		if err := s.qs.SetWriteDeadline(time.Now().Add(s.conn.server.bounds.WriteTimeout)); err != nil {
			return err
		}
		if _, err := s.qs.Write(piece); err != nil {
			return err
		}
		b = b[len(piece):]
	}
	return nil
}

func (s *stream) writeFailed(err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		s.conn.close(wire.CloseSlow, fmt.Sprintf("nothing of the answers was taken for %v", s.conn.server.bounds.WriteTimeout))
	}
	s.abandon()
}

// ended closes the stream when all requests are answered and there will be no more: the client has none, or the member
// takes none. The end tells the client that what has no answer did not happen.
func (s *stream) ended() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ending && !s.conn.server.draining.Load() || len(s.free) < len(s.slots) || len(s.out) > 0 || len(s.done) > 0 {
		return false
	}
	s.gone = true
	_ = s.qs.Close()
	return true
}
