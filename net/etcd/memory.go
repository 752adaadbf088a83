package etcd

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/proto"

	"qkv/internal/limits"
)

// memory is what gRPC's clients hold: streams that are open, requests that have begun to come, and answers that wait until somebody
// reads them. gRPC bounds none of it for all connections, whose streams may all be in the middle of a message, or before it.
//
//  1. All connections together hold at most so much, and what they add in the moment in which one is closed.
//  2. When they would hold more, the one that holds most is closed. Whoever sends and reads holds little, so that it is one that
//     does not, and nobody waits for it.
type memory struct {
	most  int64
	note  func(what, reason string)
	run   func(func()) // in a goroutine of the server
	total atomic.Int64

	serving     atomic.Int64 // requests, of all connections (served.go)
	servedBytes atomic.Int64 // that these have

	resets *resets

	closing sync.Mutex // of who ends connections
	mu      sync.Mutex
	shares  map[*share]struct{}
}

// share is one connection's.
//
//  1. streams has what came on each stream that neither side has ended: when the client has said all, what it said is whole, and
//     servedBytes has it until the answer begins (served.go). got is the sum of its data, and heads that of what its metadata counts for. asked are those on which the client
//     has said all, until their answers are written.
//  2. taken is what the handlers that are running have taken of streams of requests.
//  3. out is what was encoded and neither written nor given up.
//  4. It holds got - taken + heads + out, limits.EtcdStreamBytes for each stream in streams and limits.EtcdAskedBytes for each in asked,
//     which is its part of memory.total.
type share struct {
	of    *memory
	close func()
	from  net.Addr

	over  chan struct{} // closed when the connection is
	whole chan struct{} // has room for one request that reads all there is

	sent    atomic.Int64 // bytes that were written
	serving atomic.Int64 // requests; changed with mu

	pacing pacing // of who reads the connection

	mu              sync.Mutex
	streams         map[uint32]came
	asked           map[uint32]question
	servedBytes     int64 // of those whose answers have not begun
	got, taken, out int64
	heads           int64
	rooms           map[*hold]struct{} // of answers that wait to be written
	ended           bool
}

// question is a request that is whole.
type question struct {
	answered bool  // it has begun to be
	bytes    int64 // of data, until then
}

// came is what came on a stream: metadata and data.
type came struct{ head, data int64 }

func newMemory(most int64, run func(func()), note func(what, reason string)) *memory {
	return &memory{most: most, note: note, run: run, resets: newResets(), shares: map[*share]struct{}{}}
}

// begin makes a share of a connection that close ends.
func (m *memory) begin(from net.Addr, close func()) *share {
	s := &share{of: m, from: from, close: close, over: make(chan struct{}), whole: make(chan struct{}, 1), pacing: pacing{client: clientAt(from)}}
	m.mu.Lock()
	m.shares[s] = struct{}{}
	m.mu.Unlock()
	return s
}

// end gives back all that the share holds.
func (s *share) end() {
	s.of.mu.Lock()
	delete(s.of.shares, s)
	s.of.mu.Unlock()
	defer s.giveRooms() // gRPC forgets what it has not written
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		close(s.over)
	}
	s.of.total.Add(-s.holdsLocked())
	s.serveLocked(-s.serving.Load(), -s.servedBytes)
	s.streams, s.asked, s.got, s.taken, s.heads, s.out, s.ended = nil, nil, 0, 0, 0, 0, true
}

// keeps notes that an answer has room until it is written, or the connection has ended.
func (s *share) keeps(h *hold) {
	s.mu.Lock()
	ended := s.ended
	if s.rooms == nil {
		s.rooms = map[*hold]struct{}{}
	}
	s.rooms[h] = struct{}{}
	s.mu.Unlock()
	if ended {
		s.giveRooms()
	}
}

func (s *share) forgets(h *hold) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.rooms, h)
}

func (s *share) giveRooms() {
	s.mu.Lock()
	rooms := s.rooms
	s.rooms = nil
	s.mu.Unlock()
	for h := range rooms {
		h.giveCollected()
	}
}

// begins counts a stream from when its client has begun it, with so many bytes of metadata; more of them may come. It returns how many
// there are.
func (s *share) begins(stream uint32, head int64) (streams int) {
	s.change(func() {
		if s.streams == nil {
			s.streams = map[uint32]came{}
		}
		c := s.streams[stream]
		more := min(head*limits.EtcdHeaderTimes, limits.EtcdHeaderMost-c.head)
		c.head += more
		s.heads += more
		s.streams[stream] = c
		streams = len(s.streams)
	})
	return streams
}

// came counts data. Of a stream that is over, gRPC drops it.
func (s *share) came(stream uint32, n int64) {
	s.change(func() {
		if c, there := s.streams[stream]; there {
			c.data += n
			s.streams[stream] = c
			s.got += n
		}
	})
}

// finished forgets what came on a stream.
func (s *share) finished(stream uint32) {
	s.change(func() {
		s.forgetLocked(stream)
		s.leaveLocked(stream)
	})
}

// said forgets what came on a stream, whose client has said all with the last so many bytes.
func (s *share) said(stream uint32, begins bool, last int64) {
	s.change(func() {
		c, there := s.streams[stream]
		if !there && !begins {
			return // this side has ended it before
		}
		s.forgetLocked(stream)
		s.askLocked(stream, c.data+last)
	})
}

func (s *share) forgetLocked(stream uint32) {
	s.got -= s.streams[stream].data
	s.heads -= s.streams[stream].head
	delete(s.streams, stream)
}

// takes counts what a handler takes of a stream of requests, or less than none when it ends.
func (s *share) takes(n int64) {
	if s != nil {
		s.change(func() { s.taken += n })
	}
}

// change changes what the share holds.
func (s *share) change(f func()) {
	s.mu.Lock()
	before := s.holdsLocked()
	if !s.ended {
		f()
	}
	n := s.holdsLocked() - before
	total := s.of.total.Add(n) // within the lock, so that nothing of it is left when the connection has ended
	s.mu.Unlock()
	if n > 0 && total > s.of.most {
		s.of.makeRoom()
	}
}

// holdsLocked is no less than nothing: a message that comes compressed has more bytes than its data.
func (s *share) holdsLocked() int64 {
	return max(s.got-s.taken, 0) + s.heads + s.out + int64(len(s.streams))*limits.EtcdStreamBytes + int64(len(s.asked))*limits.EtcdAskedBytes
}

// holds counts bytes that wait to be written, or less than none for those that wait no more.
func (s *share) holds(n int64) {
	if s != nil && n != 0 {
		s.change(func() { s.out += n })
	}
}

// open says that the connection has streams.
func (s *share) open() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.streams) > 0
}

func (s *share) held() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.holdsLocked()
}

// makeRoom closes connections until all hold no more than they may.
func (m *memory) makeRoom() {
	for m.closeLargest() {
	}
}

// closeLargest ends the connection that holds most if all hold too much, and says whether it did. One is ended after the other: many
// find at one moment that there is too much, and each would end one.
func (m *memory) closeLargest() bool {
	m.closing.Lock()
	worst, most := m.largest()
	if worst != nil {
		worst.end()
	}
	m.closing.Unlock()
	if worst == nil {
		return false
	}
	m.resets.blame(worst.pacing.client, time.Now())
	worst.close()
	m.note("a client's connection is closed: it holds most of the memory of all", fmt.Sprintf("%v has %d bytes of requests that are not whole and of answers that are not read, all together may have %d", worst.from, most, m.most))
	return true
}

// largest returns the connection that holds most, if all hold too much.
func (m *memory) largest() (worst *share, most int64) {
	if m.total.Load() <= m.most {
		return nil, 0
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for s := range m.shares {
		if n := s.held(); n > most {
			worst, most = s, n
		}
	}
	return worst, most
}

// whoseShare is that of the connection that an RPC came by.
func whoseShare(ctx context.Context) *share {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}
	if a, ok := p.AuthInfo.(accounted); ok {
		return a.share
	}
	return nil
}

// accounted is who is at the other end, with the connection's share.
type accounted struct {
	credentials.AuthInfo
	share *share
}

// held is a message that is counted until it is written; not where net/http writes it.
type held struct {
	message
	share *share
	room  *hold // that is given back then; nil: it took none
}

// counted lets an answer be counted, if it is large enough for gRPC to say when it was written.
func counted(answer any, s *share) any {
	if s == nil {
		return answer
	}
	switch m := answer.(type) {
	case *later:
		m.share = s
	case held:
		m.share = s
		return m
	case message:
		if m.small() {
			return m
		}
		return held{message: m, share: s}
	case proto.Message: // what is encoded by the library is small, but for lists of leases and of their keys
		if proto.Size(m) > smallAnswer {
			if as, err := encoded(m); err == nil {
				return held{message: as, share: s}
			}
		}
	}
	return answer
}

const smallAnswer = 16 << 10

// small says that gRPC does not say when a message was written: it has no piece that would be counted.
func (m message) small() bool {
	for _, piece := range m {
		if !mem.IsBelowBufferPoolingThreshold(cap(piece)) {
			return false
		}
	}
	return true
}

// buffers are what gRPC writes of a message, and gives back here.
func (h held) buffers() (all mem.BufferSlice) {
	all = make(mem.BufferSlice, 0, len(h.message))
	own := h.share
	h.room.written(own)
	if h.room != nil {
		own = nil // it is counted there
	}
	w := &writing{share: own, left: new(atomic.Int64), room: h.room}
	for i := range h.message {
		piece := &h.message[i]
		if len(*piece) == 0 {
			continue
		}
		if !mem.IsBelowBufferPoolingThreshold(cap(*piece)) {
			w.left.Add(int64(len(*piece)))
		}
		all = append(all, mem.NewBuffer(piece, w))
	}
	n := w.left.Load()
	if n == 0 {
		h.room.giveAll()
		return all
	}
	own.holds(n)
	runtime.AddCleanup(w, func(left *atomic.Int64) { own.holds(-left.Swap(0)) }, w.left)
	if h.room != nil {
		runtime.AddCleanup(w, (*hold).giveAll, h.room)
	}
	return all
}

// writing hears of the buffers of an answer that are not needed any more. Those of a stream that ends while they are handed over are
// forgotten by gRPC without a word (grpc-go 1.83, loopyWriter.preprocessData): they are given back when the collector finds them.
type writing struct {
	share *share
	left  *atomic.Int64
	room  *hold
}

// Get implements mem.BufferPool.
func (*writing) Get(n int) *[]byte {
	b := make([]byte, n)
	return &b
}

// Put implements mem.BufferPool.
func (w *writing) Put(b *[]byte) {
	if w.left.Add(-int64(len(*b))) == 0 {
		w.room.giveAll()
	}
	w.share.holds(-int64(len(*b)))
}

// sizeInStream is what a message of a stream of requests had on its way, with what gRPC puts before it.
func sizeInStream(m any) int64 {
	const prefix = 5
	if own, ok := m.(*asked); ok {
		return prefix + int64(own.size)
	}
	return prefix + int64(proto.Size(m.(proto.Message)))
}

// frames sees what a connection carries one way: HTTP/2 has frames of a head of 9 bytes, with the length of what follows, its kind,
// flags and stream; the client's are behind a preface of 24 bytes.
type frames struct {
	seen func(kind, flags byte, stream uint32, length int)
	skip int // of the preface, or of a frame
	head [9]byte
	have int
}

const prefaceBytes = 24

// The kinds of frames, and the flag of the last one of a stream, that tell how it stands.
const (
	dataFrame, headersFrame, resetFrame, moreHeadersFrame = 0, 1, 3, 9
	lastOfStream                                          = 1
)

// fromClient sees what a client says.
func (s *share) fromClient(kind, flags byte, stream uint32, length int) {
	last := flags&lastOfStream != 0
	switch {
	case kind == resetFrame:
		s.pacing.resets++
	case kind != dataFrame && kind != headersFrame, kind == dataFrame && length == 0 && !last:
		if s.pacing.frames++; s.pacing.frames == limits.EtcdFramesReset {
			s.pacing.frames = 0
			s.pacing.resets++
		}
	}
	switch {
	case kind == resetFrame:
		s.finished(stream)
	case last && (kind == dataFrame || kind == headersFrame):
		if kind == headersFrame {
			length = 0
		}
		s.said(stream, kind == headersFrame, int64(length))
	case kind == headersFrame, kind == moreHeadersFrame:
		if s.begins(stream, int64(length)) > limits.EtcdStreamsFew && s.of.resets.blamed(s.pacing.client, time.Now()) {
			s.pacing.resets++
		}
	case kind == dataFrame:
		s.came(stream, int64(length))
	}
}

// toClient sees what begins an answer, and what ends a stream from here.
func (s *share) toClient(kind, flags byte, stream uint32, _ int) {
	switch {
	case kind == resetFrame || kind == headersFrame && flags&lastOfStream != 0:
		s.finished(stream)
	case kind == headersFrame:
		s.answered(stream)
	}
}

func (f *frames) see(b []byte) {
	for len(b) > 0 {
		if f.skip > 0 {
			n := min(f.skip, len(b))
			f.skip -= n
			b = b[n:]
			continue
		}
		n := copy(f.head[f.have:], b)
		f.have += n
		b = b[n:]
		if f.have == len(f.head) {
			h := &f.head
			f.have, f.skip = 0, int(h[0])<<16|int(h[1])<<8|int(h[2])
			f.seen(h[3], h[4], binary.BigEndian.Uint32(h[5:])&^(1<<31), f.skip)
		}
	}
}
