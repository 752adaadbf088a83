package server

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/quic-go/quic-go"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/wire"
)

// stream is one stream of requests. It is the member's kv.ReplyTo.
//
//  1. A slot is used from the moment its request is handed to the member until its Completion is taken.
//  2. A slot's number is its place and a serial number: a duplicate or unknown Completion is recognised.
//  3. There is a token in wake whenever the writer has work and is not doing it.
type stream struct {
	// Constant.
	conn  *conn
	qs    *quic.Stream
	wake  chan struct{}
	share *memoryBudget // below its connection's
	bytes *advance      // from share: the memory of requests under way
	paid  bool          // clientStreamBytes of share are reserved for the stream itself

	running  atomic.Int32 // its goroutines: both begin with it
	requests atomic.Int64 // under way
	sending  sync.Mutex   // held while answers are written

	// Shared.
	mu           sync.Mutex
	answersTaken sync.Cond       // out was taken, or the stream is closed
	out          []byte          // answers that the reader encoded: at most about answerBytesWaiting
	immediate    []buffer        // immediate answers of the reader to reads; at most two
	spare        buffer          // a buffer that the writer has written
	ready        []slot          // other reads that need no confirmation
	done         []kv.Completion // that the writer has not taken
	slots        []slot          // slots[place] is used while the member has its request
	free         []uint32        // unused places in slots
	serial       uint32          // of the last used slot
	bodies       int             // slots of writes whose answers have bodies
	long         bool            // one of the slots is the member's long write
	watches      *watchStream    // nil on a stream of requests
	ending       bool            // the client sends nothing more
	closed       bool            // nothing is read or written any more

	onWritten kv.Written // callback for when the current done is written; usually nil
	waiting   waiting
	fileReads fileReads
}

// slot is a request that is under way.
type slot struct {
	id     uint64 // the client's
	read   *read  // of a range or a request with a body; else nil
	lease  *wire.LeaseRequest
	note   *string // describes a change of users, members or alarms for the audit log; else nil
	serial uint32
	bytes  int32 // the memory that it counts for
	op     wire.Op
	used   bool
	long   bool   // it is the member's long write
	begun  uint32 // when it was handed to the member, as stamp returns it; 0: it is not measured
}

func newStream(c *conn, qs *quic.Stream) *stream {
	own := c.share.child()
	s := &stream{conn: c, qs: qs, wake: make(chan struct{}, 1), share: own, bytes: newAdvance(own)}
	s.answersTaken.L = &s.mu
	s.running.Store(2)
	return s
}

// counted is what the reader has counted in advance as under way for the remaining frames of the batch, in one step for all of
// them. The count never exceeds a limit, and the unused rest is returned when the batch is handed over.
type counted struct{ requests, bytes int64 }

// countedMost is the maximum number of requests that the reader counts in one step.
const countedMost = 64

// begin counts a request of this weight as under way, and returns the memory that it counts for, or an error that names the
// exceeded limit.
func (r *reader) begin(weight int) (int32, *kv.Error) {
	bytes := int64(weight + limits.RequestOverhead)
	if r.counted.requests == 0 {
		if refusal := r.count(weight); refusal != nil {
			return 0, refusal
		}
	}
	if r.counted.bytes >= bytes {
		r.counted.bytes -= bytes
	} else if !r.s.bytes.reserve(bytes) {
		return 0, r.s.overBudget(weight)
	}
	r.counted.requests--
	return int32(bytes), nil
}

// count counts all requests that the buffer may hold, if the limits allow that, and else one.
func (r *reader) count(weight int) *kv.Error {
	there := r.frames.Partial()
	if n := min(int64(1+there/weight), countedMost); n > 1 {
		if _, _, ok := r.s.add(n); ok {
			r.counted.requests = n
			if bytes := int64(weight+there) + n*limits.RequestOverhead; r.counted.bytes == 0 && r.s.bytes.reserve(bytes) {
				r.counted.bytes = bytes
			}
			return nil
		}
	}
	own, all, ok := r.s.add(1)
	if !ok {
		return kv.Errorf(kv.Overloaded, "too many requests: this stream has %d in progress and its connection %d; the limit for both together is %d",
			own, all, r.s.conn.server.config.Limits.RequestsInflight)
	}
	r.counted.requests = 1
	return nil
}

// add counts n requests, unless that would exceed the limit. It returns the numbers of the stream and of its connection.
func (s *stream) add(n int64) (own, all int64, ok bool) {
	own, all = s.requests.Add(n), s.conn.requests.Add(n)
	if own+all > s.conn.server.config.Limits.RequestsInflight {
		s.requests.Add(-n)
		s.conn.requests.Add(-n)
		return own - n, all - n, false
	}
	s.conn.server.requests.Add(n)
	return own, all, true
}

// uncount returns the count of requests that did not come.
func (r *reader) uncount() {
	r.s.end(r.counted.requests, r.counted.bytes)
	r.counted = counted{}
}

// overBudget returns the answer to a request that exceeds the clients' memory budget.
func (s *stream) overBudget(bytes int) *kv.Error {
	return kv.Errorf(kv.Overloaded, "no memory budget left for a request of %d bytes: this client has used its share of the %d bytes that this member has for all clients",
		bytes, s.conn.server.config.Limits.Bytes)
}

// tooLarge returns the answer to a write that exceeds the member's setting, and nil for any other.
func (s *stream) tooLarge(bytes int) *kv.Error {
	most := s.conn.server.config.MaxRequestBytes
	if bytes <= most {
		return nil
	}
	return kv.Errorf(kv.ValueTooLarge, "the request has %d bytes, over the limit of %d (--max-request-bytes of the member)", bytes, most)
}

// requestBudget is the memory budget of a stream's frame reader: its stream's budget, limited to the needs of the largest accepted request.
// A larger request is refused by its length and never buffered. It is for one goroutine.
type requestBudget struct {
	share *memoryBudget
	left  int
}

// requestBudgetSpare is the reader's memory besides a frame, including the bytes before the frame in its buffer.
const requestBudgetSpare = 16 << 10

func newRequestBudget(from *memoryBudget, most int) *requestBudget {
	return &requestBudget{share: from, left: max(most, limits.RequestBytesLeast) + requestBudgetSpare}
}

// Take implements [wire.FrameBuffers].
func (r *requestBudget) Take(bytes int) bool {
	if bytes > r.left || !r.share.reserve(int64(bytes)) {
		return false
	}
	r.left -= bytes
	return true
}

// Give implements [wire.FrameBuffers].
func (r *requestBudget) Give(bytes int) {
	r.left += bytes
	r.share.release(int64(bytes))
}

// end undoes begin, for so many requests.
func (s *stream) end(requests, bytes int64) {
	if requests == 0 && bytes == 0 {
		return
	}
	if left := s.requests.Add(-requests); left < 0 {
		panic(fmt.Sprintf("server: %d requests under way after %d ended", left, requests))
	}
	s.conn.requests.Add(-requests)
	s.conn.server.requests.Add(-requests)
	s.bytes.release(bytes)
}

// endSlots is end for requests that were not given to the member, or were completed.
func (s *stream) endSlots(slots []slot) {
	var requests, bytes int64
	for i := range slots {
		if slots[i].op != 0 {
			requests++
			bytes += int64(slots[i].bytes)
		}
		if slots[i].long {
			s.conn.server.long.Store(false)
		}
	}
	s.end(requests, bytes)
}

// Complete takes outcomes from the member. It never waits.
func (s *stream) Complete(done []kv.Completion) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endLongLocked(done)
	s.auditLocked(done)
	if s.closed {
		s.dropLocked(done)
		return
	}
	s.keepViewLocked(done)
	s.done = append(s.done, done...)
	s.wakeWriter()
}

// endLongLocked admits the next long write after the current one is complete, whether its client takes the answer or not.
func (s *stream) endLongLocked(done []kv.Completion) {
	if !s.long {
		return
	}
	for i := range done {
		if x := s.slotLocked(done[i].Request); x != nil && x.long {
			x.long, s.long = false, false
			s.conn.server.long.Store(false)
		}
	}
}

// WhenWritten implements kv.WriteWatcher.
func (s *stream) WhenWritten(tell kv.Written) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onWritten = tell
}

// wakeWriter puts the token into wake.
func (s *stream) wakeWriter() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// registerLocked gives each slot its number, and appends the numbers.
func (s *stream) registerLocked(numbers []uint64, slots []slot) []uint64 {
	numbers = slices.Grow(numbers, len(slots))
	for _, x := range slots {
		var place uint32
		if n := len(s.free); n > 0 {
			place = s.free[n-1]
			s.free = s.free[:n-1]
		} else {
			place = uint32(len(s.slots))
			s.slots = append(s.slots, slot{})
		}
		s.serial++
		x.used, x.serial = true, s.serial
		s.slots[place] = x
		if x.read != nil && x.read.ofWrite() {
			s.bodies++
		}
		s.long = s.long || x.long
		numbers = append(numbers, uint64(x.serial)<<32|uint64(place))
	}
	return numbers
}

// slotLocked returns the slot of a number, or nil.
func (s *stream) slotLocked(number uint64) *slot {
	place, serial := uint32(number), uint32(number>>32)
	if int(place) >= len(s.slots) || !s.slots[place].used || s.slots[place].serial != serial {
		return nil
	}
	return &s.slots[place]
}

// resolveLocked returns the slot of a number and frees its place.
func (s *stream) resolveLocked(number uint64) (slot, bool) {
	at := s.slotLocked(number)
	if at == nil {
		s.conn.logger.Error("internal error: a request was answered twice, or was never received", "number", number)
		return slot{}, false
	}
	x := *at
	*at = slot{}
	s.free = append(s.free, uint32(number))
	if x.read != nil && x.read.ofWrite() {
		s.bodies--
	}
	return x, true
}

// slotsKept is how many slots an idle stream keeps.
const slotsKept = 1024

// trimLocked frees the slots of a burst when it is over.
func (s *stream) trimLocked() {
	if len(s.slots) > slotsKept && len(s.free) == len(s.slots) {
		s.slots, s.free = nil, nil
	}
}

// dropLocked drops outcomes whose stream is gone.
func (s *stream) dropLocked(done []kv.Completion) {
	var requests, bytes int64
	for i := range done {
		if x, ok := s.resolveLocked(done[i].Request); ok {
			requests++
			bytes += int64(x.bytes)
			x.read.recycle()
		}
	}
	s.end(requests, bytes)
}

// abandon ends the stream in both directions, at once. Its requests at the member stay counted until they are done.
func (s *stream) abandon(why wire.StreamCode) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.closed = true
	s.dropLocked(s.done)
	s.endSlots(s.ready)
	for i := range s.fileReads.waiting {
		s.endSlots([]slot{s.fileReads.waiting[i].slot})
	}
	for i := range s.immediate {
		s.immediate[i].release()
	}
	s.done, s.out, s.immediate, s.ready, s.fileReads.waiting = nil, nil, nil, nil, nil
	s.answersTaken.Broadcast()
	s.wakeWriter()
	own := s.watches
	s.mu.Unlock()
	s.reset(why)
	if own != nil {
		own.end()
	}
}

// reset tells the client that the stream is not read or written any more.
func (s *stream) reset(why wire.StreamCode) {
	s.qs.CancelRead(quic.StreamErrorCode(why))
	s.qs.CancelWrite(quic.StreamErrorCode(why))
}

// awaitAnswersTaken waits until the writer has taken enough of the reader's answers. Only refusals and statuses wait there: the reader
// does not stop for a client that stays within its limits and does not read its answers. It returns false when the stream is gone.
func (s *stream) awaitAnswersTaken() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.out) > answerBytesWaiting && !s.closed {
		s.answersTaken.Wait()
	}
	return !s.closed
}
