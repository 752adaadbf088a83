package server

import (
	"sync"

	"github.com/quic-go/quic-go"

	"qkv/index"
	"qkv/log/limits"
	"qkv/net/wire"
)

// stream is one stream of requests. It is the member's index.Asker.
//
//  1. A slot is used from the moment its request is handed to the member until its Done is taken.
//  2. A slot's number is its place and a serial number, so that a Done that comes twice, or for nothing, is
//     recognised.
//  3. There is a token in wake whenever there is something for the writer to do and it is not doing it.
type stream struct {
	// Constant.
	conn *conn
	qs   *quic.Stream
	wake chan struct{}

	// The reader's: reader.go.
	frames  *wire.FrameReader
	request wire.Request
	batch   batch
	timed   bool // a read deadline is set

	// Shared.
	mu     sync.Mutex
	room   sync.Cond // out was taken, or the stream is gone
	out    []byte    // answers that the reader encoded
	done   []index.Done
	slots  []slot
	free   []uint32 // places in slots
	serial uint32   // of the last slot that was used
	ending bool     // the client sends nothing more
	gone   bool     // nothing is read or written any more
}

// slot is a request that the member has.
type slot struct {
	id     uint64 // the client's
	read   *read  // a range's; nil for a write
	serial uint32
	bytes  int32 // that it counts for
	op     wire.Op
	used   bool
}

func newStream(c *conn, qs *quic.Stream) *stream {
	s := &stream{conn: c, qs: qs, wake: make(chan struct{}, 1), frames: wire.NewFrameReader(qs, limits.RequestBytes)}
	s.room.L = &s.mu
	return s
}

// Deposit takes outcomes from the member. It never waits.
func (s *stream) Deposit(done []index.Done) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		s.dropLocked(done)
		return
	}
	s.done = append(s.done, done...)
	s.wakeWriter()
}

// wakeWriter leaves the token.
func (s *stream) wakeWriter() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// registerLocked gives each slot its number.
func (s *stream) registerLocked(slots []slot) []uint64 {
	if len(slots) == 0 {
		return nil
	}
	numbers := make([]uint64, len(slots))
	for i, x := range slots {
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
		numbers[i] = uint64(x.serial)<<32 | uint64(place)
	}
	return numbers
}

// resolveLocked returns the slot of a number and frees its place.
func (s *stream) resolveLocked(number uint64) (slot, bool) {
	place, serial := uint32(number), uint32(number>>32)
	if int(place) >= len(s.slots) || !s.slots[place].used || s.slots[place].serial != serial {
		s.conn.logger.Error("the member answered a request twice, or one that it was not asked", "number", number)
		return slot{}, false
	}
	x := s.slots[place]
	s.slots[place] = slot{}
	s.free = append(s.free, place)
	return x, true
}

// slotsKept is how many slots an idle stream keeps.
const slotsKept = 1024

// trimLocked gives up the slots of a burst when it is over.
func (s *stream) trimLocked() {
	if len(s.slots) > slotsKept && len(s.free) == len(s.slots) {
		s.slots, s.free = nil, nil
	}
}

// dropLocked forgets requests whose outcome nobody waits for any more.
func (s *stream) dropLocked(done []index.Done) {
	var requests, bytes int64
	for i := range done {
		if x, ok := s.resolveLocked(done[i].Request); ok {
			requests++
			bytes += int64(x.bytes)
			x.read.recycle()
		}
	}
	s.conn.end(requests, bytes)
}

// abandon ends the stream in both directions, at once. What the member still has of it is counted until it is done.
func (s *stream) abandon() {
	s.mu.Lock()
	if s.gone {
		s.mu.Unlock()
		return
	}
	s.gone = true
	s.dropLocked(s.done)
	s.done, s.out = nil, nil
	s.room.Broadcast()
	s.wakeWriter()
	s.mu.Unlock()
	s.qs.CancelRead(0)
	s.qs.CancelWrite(0)
}

// waitForRoom waits until the writer has taken enough of what the reader left for it. It returns false when the
// stream is gone.
func (s *stream) waitForRoom() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.out) > limits.AnswerBytesWaiting && !s.gone {
		s.room.Wait()
	}
	return !s.gone
}
