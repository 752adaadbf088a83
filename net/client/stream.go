package client

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"qkv/index/kv"
	"qkv/internal/buffers"
	"qkv/internal/limits"
	"qkv/net/wire"
)

// stream is one stream of a connection. A writer goroutine sends all queued requests in one write, and a reader goroutine reads
// answers.
//
//  1. A request's id is the place of its slot. The slot is used until the answer comes or the connection is over, even if the call was
//     abandoned.
//  2. A call of a round that the writer has not taken was certainly never sent.
type stream struct {
	// Constant.
	conn *conn
	qs   *quic.Stream
	wake chan struct{} // one token: out is not empty, or failed is set

	// The reader's.
	frames *wire.FrameReader
	came   []arrival // the answers that came together

	// Shared.
	mu     sync.Mutex
	out    [][]byte // pooled buffers of frames that the writer has not taken
	round  uint64   // the writer's next round: it sends the frames in out
	slots  []slot   // slots[id] is the request with that id
	free   []uint32 // ids of unused slots
	used   int      // len(slots) - len(free)
	bytes  int      // of the requests in slots
	failed error    // why the stream is over; slots, free and out are empty then
}

// slot is a request without an answer yet. Its call is nil if it was abandoned.
type slot struct {
	call  *call
	bytes int32
	used  bool
}

// arrival is an answer and its call.
type arrival struct {
	call   *call
	answer wire.Response
	frame  []byte
}

const (
	// slotsMost and slotBytesMost are a stream's share of the member's limits: half of a connection's requests, and half of the
	// bytes that a single client may use.
	slotsMost     = limits.RequestsInflight / streamsOfConn
	slotBytesMost = limits.ClientBytes / 16
)

// send gives the call a slot and appends its frame to the next write.
func (s *stream) send(x *call) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	weight := len(x.body) + slotWeight
	if s.failed != nil || s.used >= slotsMost || (s.used > 0 && s.bytes+weight > slotBytesMost) {
		return false
	}
	var once kv.WriteName
	if x.write && x.op.Once() {
		var ok bool
		if once, ok = x.name(&s.conn.link.naming); !ok {
			return false
		}
	}
	x.where.Store(s.conn)
	if !x.begin() {
		x.recycle()
		return true
	}
	now := x.begun
	if x.attempts > 0 || s.conn.link.queued.Load() > 0 {
		now = time.Now()
	}
	left := x.deadline.Sub(now)
	timeout, own := attemptTime(x, left, s.conn.link.alternatives())
	x.until, x.latest = now.Add(own), x.deadline
	if !x.doubt {
		x.latest = now.Add(left / 2)
	}
	x.round = s.round
	id := s.place(slot{call: x, bytes: int32(weight), used: true})
	if len(s.out) == 0 {
		s.wakeWriter()
	}
	last := s.last(weight)
	*last = wire.AppendWrite(*last, uint64(id), x.op, timeout, &once, x.body)
	return true
}

// last returns the buffer for the next frame, of at most so many bytes. A frame that does not fit the last buffer goes into a new
// one, so no frame is copied again. New buffers are larger than the ones before, up to outBytes, or up to the frame.
func (s *stream) last(bytes int) *[]byte {
	n := len(s.out)
	if n == 0 || cap(s.out[n-1])-len(s.out[n-1]) < bytes {
		s.out = append(s.out, buffers.Get(max(bytes, min(outBytesLeast<<(2*min(n, 3)), outBytes))))
	}
	return &s.out[len(s.out)-1]
}

const (
	// outBytesLeast is the size of the first buffer of a write, for some small requests; outBytes holds hundreds of them, or two of
	// 64 KiB.
	outBytesLeast = 8 << 10
	outBytes      = 160 << 10
)

// slotWeight is an upper bound of a request's frame without its body.
const slotWeight = 64

func (s *stream) place(x slot) uint32 {
	s.used++
	s.bytes += int(x.bytes)
	if n := len(s.free); n > 0 {
		id := s.free[n-1]
		s.free = s.free[:n-1]
		s.slots[id] = x
		return id
	}
	s.slots = append(s.slots, x)
	return uint32(len(s.slots) - 1)
}

func (s *stream) wakeWriter() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// write is the writer goroutine.
func (s *stream) write() {
	var taken [][]byte
	for range s.wake {
		if s.busy() {
			runtime.Gosched() // other callers add their requests to this write first; measured: 1.5 times as many puts
		}
		s.mu.Lock()
		if s.failed != nil {
			s.mu.Unlock()
			return
		}
		taken, s.out = s.out, taken[:0]
		s.round++
		s.mu.Unlock()
		for i, b := range taken {
			if _, err := s.qs.Write(b); err != nil {
				s.lost(err)
				return
			}
			buffers.Put(b) // QUIC has copied it
			taken[i] = nil
		}
	}
}

// ended reports whether the stream is over.
func (s *stream) ended() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed != nil
}

// busy reports whether more than one request is under way: other callers may then be about to send.
func (s *stream) busy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used > 1
}

// read is the reader goroutine.
func (s *stream) read() {
	for {
		err := s.readBatch()
		if errors.Is(err, io.EOF) {
			s.drained()
			return
		}
		if err != nil {
			s.lost(err)
			return
		}
	}
}

// lost ends the stream and the requests under way on it, and turns away from the connection. If only the stream was reset, requests
// on the connection's other streams are still answered.
func (s *stream) lost(err error) {
	if _, ok := errors.AsType[*quic.StreamError](err); !ok {
		s.conn.fail(wire.Explain(err))
		return
	}
	err = wire.Explain(err)
	s.conn.link.note(s.conn.endpoint, err)
	s.conn.retire(err)
	s.fail(err)
}

// readBatch completes all calls whose answers came together.
func (s *stream) readBatch() error {
	if err := s.frames.Fill(); err != nil {
		return err
	}
	err := s.collect()
	if unasked := s.resolve(); err == nil {
		err = unasked
	}
	s.conn.link.naming.releaseAnswered(s.came)
	for i := range s.came {
		if x := s.came[i].call; x != nil {
			s.complete(x, &s.came[i])
		}
	}
	clear(s.came)
	s.conn.link.pump()
	return err
}

// collect reads the complete answers. Those before an error are valid.
func (s *stream) collect() error {
	s.came = s.came[:0]
	for {
		frame, err := s.frames.Next()
		if frame == nil || err != nil {
			return err
		}
		answer, err := wire.ReadResponse(frame)
		if err != nil {
			return err
		}
		s.came = append(s.came, arrival{answer: answer, frame: frame})
	}
}

// resolve finds the calls of the answers and frees their slots. Those before an error are valid.
func (s *stream) resolve() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.came {
		a := &s.came[i]
		id := a.answer.ID
		if id >= uint64(len(s.slots)) || !s.slots[id].used {
			if s.failed != nil {
				return s.failed
			}
			return fmt.Errorf("%w: an answer to request %d, which was not sent", wire.ErrFrame, id)
		}
		a.call = s.slots[id].call
		s.vacate(uint32(id))
	}
	return nil
}

func (s *stream) vacate(id uint32) {
	s.used--
	s.bytes -= int(s.slots[id].bytes)
	s.slots[id] = slot{}
	s.free = append(s.free, id)
}

// complete decides what an answer means for its call.
func (s *stream) complete(x *call, a *arrival) {
	failed := a.answer.Failed()
	switch {
	case failed == nil:
		x.succeed(a)
	case failed.Code == kv.NameEnded && x.session != nil:
		s.conn.link.endSession(x, s.conn)
		if x.doubt {
			x.giveUp(failed)
			return
		}
		x.releaseName(false) // it gets another name
		s.conn.link.retry(x, s.conn, failed)
	case failed.Code == kv.BadToken && !x.renewed && x.attempts < attemptsLast && s.conn.link.config.User != "":
		s.conn.renew(x, failed)
	case failed.Retryable() && x.attempts < attemptsLast && (failed.Certain() || x.repeatable()):
		if failed.Code == kv.Unavailable || failed.Code == kv.Amnesia || failed.Code == kv.Corrupt || failed.Code == kv.Removed {
			s.conn.avoid(time.Now(), failed)
		}
		if failed.Certain() {
			s.conn.link.retry(x, s.conn, failed)
		} else {
			s.conn.link.doubts(x, s.conn, failed)
		}
	case x.session != nil && (!failed.Certain() && !failed.Happened() || x.doubt && ofThisCopy(failed.Code)):
		s.conn.avoid(time.Now(), failed)
		s.conn.link.doubts(x, s.conn, failed)
	case x.write && !failed.Certain() && !failed.Happened():
		x.fail(unknown(x.op, s.conn, failed))
	default:
		x.fail(failed)
	}
}

// ofThisCopy reports whether a write was refused because of the asked member's own state or settings, or before it had an outcome:
// an earlier copy of the write may have been applied.
func ofThisCopy(code kv.Code) bool {
	switch code {
	case kv.ValueTooLarge, kv.TooManyOperations, kv.NotAllowed, kv.NoSpace, kv.FeatureLevel, kv.BadRequest, kv.UserEmpty, kv.BadToken:
		return true
	default:
		return false
	}
}

// expire ends calls past their deadline, moves calls whose attempt takes too long, and drops abandoned calls. It reports whether
// any slot is used.
func (s *stream) expire(now time.Time) bool {
	var over, slow []*call
	s.mu.Lock()
	for i := range s.slots {
		switch x := s.slots[i].call; {
		case x == nil:
		case x.abandoned():
			x.recycle()
			s.slots[i].call = nil
		case !now.Before(x.deadline):
			over = append(over, x)
			s.slots[i].call = nil
		case x.repeatable() && now.After(x.until) && x.attempts < attemptsLast && !s.conn.waits(x, now):
			slow = append(slow, x)
			s.slots[i].call = nil
		}
	}
	busy := s.used > 0
	s.mu.Unlock()
	l := s.conn.link
	for _, x := range over {
		if x.write {
			x.fail(unknown(x.op, s.conn, l.timeout(x)))
		} else {
			x.fail(l.unavailable(x.op, x.begun, s.conn, l.timeout(x)))
		}
	}
	for _, x := range slow {
		s.conn.avoid(now, &kv.Error{Code: kv.Unavailable, Message: errNoAnswer.Error()})
		l.doubts(x, s.conn, errNoAnswer)
	}
	return busy
}

// takeRepeatable takes the calls that may be sent again out of their slots.
func (s *stream) takeRepeatable() []*call {
	s.mu.Lock()
	defer s.mu.Unlock()
	var taken []*call
	for i := range s.slots {
		if x := s.slots[i].call; x != nil && x.repeatable() && x.attempts < attemptsLast {
			taken = append(taken, x)
			s.slots[i].call = nil
		}
	}
	return taken
}

// drained turns away from a member that has ended the stream: it answered the requests that it took, and carries out none of the
// rest. The connection is closed when its other streams are idle.
func (s *stream) drained() {
	_, lost := s.over(errStopping)
	s.conn.retire(errStopping)
	for i := range lost {
		if x := lost[i].call; x != nil {
			s.lose(x, false, errStopping)
		}
	}
}

var errStopping = errors.New("the member is shutting down")

// fail ends all calls: the stream is over.
func (s *stream) fail(err error) {
	round, lost := s.over(err)
	reset, ok := errors.AsType[*quic.StreamError](err)
	// the member took none of its requests
	unread := ok && reset.Remote && reset.ErrorCode == quic.StreamErrorCode(wire.StreamLimit)
	for i := range lost {
		if x := lost[i].call; x != nil {
			s.lose(x, x.round < round && !unread, err)
		}
	}
}

// over ends the stream, and returns its slots and the writer's round.
func (s *stream) over(err error) (round uint64, lost []slot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	lost = s.slots
	s.failed = err
	s.slots, s.free, s.out, s.used, s.bytes = nil, nil, nil, 0, 0
	s.wakeWriter()
	return s.round, lost
}

// lose ends one call whose connection is over. taken says that the writer had it: it may have been sent.
func (s *stream) lose(x *call, taken bool, err error) {
	switch {
	case !x.repeatable() && taken:
		x.fail(unknown(x.op, s.conn, err))
	case x.attempts >= attemptsLast:
		x.fail(err)
	case taken:
		s.conn.link.doubts(x, s.conn, err)
	default:
		s.conn.link.retry(x, s.conn, err)
	}
}
