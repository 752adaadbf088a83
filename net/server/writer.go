package server

import (
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"time"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/admit"
	"qkv/net/wire"
)

// writeBytes is how much is encoded before a write: it bounds how long a View is held.
const writeBytes = 128 << 10

// writer is the state of the writer goroutine.
type writer struct {
	s         *stream
	answers   []byte   // that the reader encoded
	immediate []buffer // the reader's answers to reads
	done      []kv.Completion
	slots     []slot // of done; op is 0 where there is none
	buffer

	ranges     []slot // that wait for their turn, oldest first
	first      index.RangeReader
	begun      bool        // first belongs to the oldest range
	pages      *pages      // of the oldest range, if it is streamed and has begun
	turn       *admit.Turn // requested for the oldest range
	clock      *time.Timer
	onWritten  kv.Written // callback for when done is written; usually nil
	background chan error // gets the result of the background write of a streamed range; nil: none runs
}

func newWriter(s *stream) *writer { return &writer{s: s, buffer: buffer{share: s.share}} }

// write is the writer goroutine.
func (w *writer) write() {
	defer w.release()
	defer w.dropRanges()
	defer func() { _ = w.awaitBackground() }()
	for {
		mine := w.waitForWork()
		if own := w.s.ownWatches(); own != nil {
			w.s.wakeWriter()
			own.write()
			return
		}
		if !mine && w.s.conn.requests.Load() > 1 {
			runtime.Gosched() // other goroutines add more answers to this write first; measured: 1.5 times as many puts
		}
		if !w.take() {
			return
		}
		mine, err := w.writeShort(mine)
		if err == nil {
			err = w.readRanges(mine)
		}
		if err != nil {
			w.s.fail(err)
			return
		}
		if w.ended() {
			return
		}
	}
}

// take takes all queued answers.
func (w *writer) take() bool {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	if w.s.closed {
		return false
	}
	w.answers, w.s.out = w.s.out, w.answers
	if len(w.immediate) > 0 {
		w.s.spare = w.immediate[0]
		clear(w.immediate)
	}
	w.immediate, w.s.immediate = w.s.immediate, w.immediate[:0]
	w.done, w.s.done = w.s.done, w.done[:0]
	if w.s.onWritten != nil && len(w.done) > 0 {
		w.onWritten, w.s.onWritten = w.s.onWritten, nil
	}
	w.slots = w.slots[:0]
	for i := range w.done {
		x, _ := w.s.resolveLocked(w.done[i].Request)
		w.slots = append(w.slots, x)
	}
	for i := range w.s.ready {
		w.done = append(w.done, kv.Completion{Kind: kv.ReadReady})
		w.slots = append(w.slots, w.s.ready[i])
	}
	clear(w.s.ready)
	if w.s.ready = w.s.ready[:0]; cap(w.s.ready) > slotsKept {
		w.s.ready = nil
	}
	for i := range w.slots {
		if x := &w.slots[i]; x.read.long() && w.done[i].Result.Err == nil {
			if b := x.read.body; b != nil {
				b.result = w.done[i].Result
			}
			w.ranges = append(w.ranges, *x)
			w.s.conn.server.reads.Begin()
			*x = slot{}
		}
	}
	w.s.trimLocked()
	w.s.answersTaken.Signal()
	return true
}

// writeAll encodes and writes the taken answers. A request counts as under way until just before its answer is written: a client
// that has read the answer may send another request.
func (w *writer) writeAll() error {
	defer w.release()
	next := 0
	var err error
	if w.hasAnswers() {
		err = w.awaitBackground()
	}
	if err == nil {
		err = w.s.send(w.answers)
	}
	w.answers = w.answers[:0]
	for i := range w.immediate {
		if err == nil {
			err = w.s.send(w.immediate[i].out)
		}
		w.immediate[i].release()
	}
	for err == nil && next < len(w.done) {
		from := next
		next = w.encode(next)
		w.s.endSlots(w.slots[from:next])
		err = w.s.send(w.out)
		w.out = w.out[:0]
	}
	if w.onWritten != nil {
		w.onWritten.Written()
		w.onWritten = nil
	}
	w.s.endSlots(w.slots[next:])
	clear(w.done) // its messages must not stay in memory
	if cap(w.done) > slotsKept && len(w.done) < slotsKept/8 {
		w.done, w.slots = nil, nil
	}
	return err
}

// hasAnswers reports whether anything was taken that must be written.
func (w *writer) hasAnswers() bool {
	return len(w.done) > 0 || len(w.answers) > 0 || len(w.immediate) > 0
}

// encode appends outcomes from next on until they fill one write, and returns the new next, at least one higher. All reads among
// them were confirmed before the View is taken.
func (w *writer) encode(next int) int {
	v := w.s.conn.server.config.Member.View()
	for prefetched := next; next < len(w.done) && len(w.out) < writeBytes; next++ {
		if next == prefetched {
			prefetched += prefetch(v, w.slots[next:])
		}
		x := &w.slots[next]
		if x.op != 0 && !w.encodeOne(v, x, &w.done[next]) && !w.readLater(x, &w.done[next]) {
			break // the buffered answers are written first
		}
		w.s.conn.server.measured(x)
		x.read.recycle()
		x.read = nil
	}
	runtime.KeepAlive(v)
	return next
}

// prefetch makes the View prefetch the keys of the first slots, and returns the number of these slots.
func prefetch(v *index.View, slots []slot) int {
	var room [index.PrefetchKeys][]byte
	keys := room[:0]
	slots = slots[:min(len(slots), len(room))]
	for i := range slots {
		if x := slots[i].read; x != nil && x.body == nil {
			keys = append(keys, x.Key)
		}
	}
	v.Prefetch(keys)
	return len(slots)
}

// encodeOne appends one outcome. It returns false if the outcome does not fit after the buffered answers, or if unread says that it needs
// values from files; otherwise an empty buffer always gets some answer.
func (w *writer) encodeOne(v *index.View, x *slot, d *kv.Completion) bool {
	if d.Result.Err == nil && v.Auth().Enabled() {
		d.Result.Err = w.s.conn.permitsRead(v, x) // it is recorded once, although its answer may not fit yet
	}
	if err := d.Result.Err; err != nil {
		return w.appendError(x.id, err.Code, err.Message)
	}
	switch {
	case x.read != nil && x.read.body != nil:
		x.read.body.result = d.Result
		return x.read.body.read(&w.buffer, v, math.MaxInt)
	case x.read != nil:
		return w.appendOne(x.id, v, &x.read.Range)
	case !w.fit(wire.AnswerBytes):
		return false
	}
	if answer := rules[x.op].answer; answer != nil {
		return answer(w, v, x, d)
	}
	w.out = wire.AppendWritten(w.out, x.id, d.Result.Revision, d.Result.Deleted)
	return true
}

// appendDone appends the answer to a request without a result.
func (w *writer) appendDone(_ *index.View, x *slot, _ *kv.Completion) bool {
	w.out = wire.AppendDone(w.out, x.id)
	return true
}

// send writes b, whole answers. The client must read each piece in time; it has more time while its stream uses no more than its share.
func (s *stream) send(b []byte) error {
	s.sending.Lock()
	defer s.sending.Unlock()
	for len(b) > 0 {
		n := min(len(b), writeBytes)
		if err := s.sendPiece(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

func (s *stream) sendPiece(piece []byte) error {
	for begun := time.Now(); ; {
		now := time.Now()
		if err := s.qs.SetWriteDeadline(now.Add(s.conn.server.stall())); err != nil {
			return err
		}
		n, err := s.qs.Write(piece)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		piece = piece[n:]
		if took := time.Since(begun); took >= s.conn.server.config.Limits.WriteTimeout || s.share.over() {
			return fmt.Errorf("%w: the client read no answers for %v", errSlow, took.Round(time.Millisecond))
		}
	}
}

// errSlow is the error of a stream whose client makes the member hold memory for too long.
var errSlow = errors.New("slow")

// fail ends the stream after an error.
func (s *stream) fail(err error) {
	if errors.Is(err, errSlow) {
		s.conn.warn("reset a client's stream", err)
		s.abandon(wire.StreamSlow)
	}
	s.abandon(wire.StreamEnded)
}

// ended closes the stream when all requests are answered and no more can come: the client sends no more, or the member refuses
// more. The end tells the client that requests without an answer were not carried out.
func (w *writer) ended() bool {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	if !w.s.ending && !w.s.conn.server.draining.Load() || len(w.s.free) < len(w.s.slots) || len(w.s.out) > 0 || len(w.s.immediate) > 0 || len(w.s.done) > 0 || len(w.s.ready) > 0 || len(w.ranges) > 0 || w.s.fileReads.readers > 0 {
		return false
	}
	w.s.closed = true
	_ = w.s.qs.Close()
	return true
}
