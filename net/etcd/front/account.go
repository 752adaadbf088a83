package front

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"qkv/internal/admit"
	"qkv/internal/limits"
	"qkv/internal/logx"
)

// Accounts is the memory accounting of gRPC's connections: open streams, partial requests, and unread answers. gRPC has no such bound for
// all connections together, and every one of their streams may hold a partial message.
//
//  1. All connections together hold at most a fixed budget, plus the bytes that arrive while a connection is being closed.
//  2. When they would exceed the budget, the connection that holds most is closed. A client that completes its requests and reads its
//     answers holds little. The closed connection therefore belongs to another kind of client, and no well-behaved client has to wait.
type Accounts struct {
	most  int64
	log   *logx.Limited
	total atomic.Int64

	serving     atomic.Int64 // requests of all connections (throttle.go)
	servedBytes atomic.Int64 // of those requests

	resetLimit *resetLimit

	closing  sync.Mutex // held while a connection is ended
	mu       sync.Mutex
	accounts map[*Account]struct{}
}

// Account is the memory that one connection holds, with its requests in service.
//
//  1. streams has the bytes of each stream that neither side has ended. got is the sum of their data, and heads the charge for their
//     metadata. When the client has ended its side, the bytes move to servedBytes until the answer begins (throttle.go). asked has the
//     streams whose client has ended its side, until their answers are written.
//  2. taken is how much running handlers have taken of streams of requests.
//  3. out is the encoded data that is neither written nor dropped.
//  4. The account holds got - taken + heads + out, limits.EtcdStreamBytes for each stream in streams and limits.EtcdAskedBytes for each in
//     asked. This is its part of Accounts.total.
type Account struct {
	of    *Accounts
	close func()
	from  net.Addr
	user  string // the name in the client's certificate; "": none. Constant

	over  chan struct{} // closed with the connection
	Whole admit.Slots   // one request that reads the whole state

	sent    atomic.Int64 // bytes written
	serving atomic.Int64 // requests; changed with mu

	pacing pacing // owned by the connection's reader

	mu              sync.Mutex
	streams         map[uint32]came
	asked           map[uint32]question
	servedBytes     int64 // of requests without an answer yet
	got, taken, out int64
	heads           int64
	web             int                             // requests in service over HTTP/1.1
	carried         map[*admit.Reservation]struct{} // of answers that wait to be written
	ended           bool
}

// question is a complete request whose answer is not written yet.
type question struct {
	answered bool  // its answer has begun
	bytes    int64 // of data, until the answer begins
}

// came is the number of bytes of metadata and of data received on a stream.
type came struct{ head, data int64 }

// NewAccounts returns accounts without connections. All connections together may hold the given bytes.
func NewAccounts(most int64, log *logx.Limited) *Accounts {
	return &Accounts{most: most, log: log, resetLimit: newResetLimit(), accounts: map[*Account]struct{}{}}
}

// Total returns the bytes that all connections hold.
func (m *Accounts) Total() int64 { return m.total.Load() }

// AboveQuarter reports whether the connections hold more than a quarter of their budget.
func (m *Accounts) AboveQuarter() bool { return m.total.Load() > m.most/4 }

// Serving returns the number of unanswered requests. Requests that wait for a lock or an election are not counted.
func (m *Accounts) Serving() int64 { return m.serving.Load() }

// Begin creates the account of a connection. close ends the connection.
func (m *Accounts) Begin(from net.Addr, close func()) *Account {
	s := &Account{of: m, from: from, close: close, over: make(chan struct{}), Whole: make(admit.Slots, 1), pacing: pacing{client: clientAt(from)}}
	m.mu.Lock()
	m.accounts[s] = struct{}{}
	m.mu.Unlock()
	return s
}

// end releases everything that the account holds.
func (s *Account) end() {
	s.of.mu.Lock()
	delete(s.of.accounts, s)
	s.of.mu.Unlock()
	defer s.releaseCarried() // gRPC drops unwritten data
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		close(s.over)
	}
	s.of.total.Add(-s.holdsLocked())
	s.serveLocked(-s.serving.Load(), -s.servedBytes)
	s.streams, s.asked, s.got, s.taken, s.heads, s.out, s.ended = nil, nil, 0, 0, 0, 0, true
}

// Carry records that the connection transfers an answer with a reservation, which is released when the answer is written or the
// connection ends.
func (s *Account) Carry(r *admit.Reservation) {
	switch {
	case r == nil:
		return
	case s == nil:
		r.Transfer(nil, nil)
		return
	}
	s.mu.Lock()
	ended := s.ended
	if s.carried == nil {
		s.carried = map[*admit.Reservation]struct{}{}
	}
	s.carried[r] = struct{}{}
	s.mu.Unlock()
	r.Transfer(s.sent.Load, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.carried, r)
	})
	if ended {
		s.releaseCarried()
	}
}

func (s *Account) releaseCarried() {
	s.mu.Lock()
	carried := s.carried
	s.carried = nil
	s.mu.Unlock()
	for r := range carried {
		r.Release()
	}
}

// holds returns the requests in service, and the bytes of requests that no handler has taken and of answers that the client has not read.
func (s *Account) holds() (requests, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.serving.Load() + int64(s.web), max(s.got-s.taken, 0) + s.out
}

// Closer returns the function that closes the connection.
func (s *Account) Closer() func() {
	if s == nil {
		return func() {}
	}
	return s.close
}

// Client is the client's address, or "" without an account.
func (s *Account) Client() string {
	if s == nil {
		return ""
	}
	return s.pacing.client
}

// begins counts a stream from its first metadata; more metadata may follow. It returns the number of streams.
func (s *Account) begins(stream uint32, head int64) (streams int) {
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

// came counts data. gRPC drops data of an ended stream.
func (s *Account) came(stream uint32, n int64) {
	s.change(func() {
		if c, there := s.streams[stream]; there {
			c.data += n
			s.streams[stream] = c
			s.got += n
		}
	})
}

// finished forgets a stream.
func (s *Account) finished(stream uint32) {
	s.change(func() {
		s.forgetLocked(stream)
		s.leaveLocked(stream)
	})
}

// said records that the client has ended its side of a stream with a frame of the last bytes: the request is complete.
func (s *Account) said(stream uint32, begins bool, last int64) {
	s.change(func() {
		c, there := s.streams[stream]
		if !there && !begins {
			return // this side has ended it before
		}
		s.forgetLocked(stream)
		s.askLocked(stream, c.data+last)
	})
}

func (s *Account) forgetLocked(stream uint32) {
	s.got -= s.streams[stream].data
	s.heads -= s.streams[stream].head
	delete(s.streams, stream)
}

// Take counts the bytes that a handler takes of a stream of requests; negative when the handler ends.
func (s *Account) Take(n int64) {
	if s != nil {
		s.change(func() { s.taken += n })
	}
}

// change changes the account.
func (s *Account) change(f func()) {
	s.mu.Lock()
	before := s.holdsLocked()
	if !s.ended {
		f()
	}
	n := s.holdsLocked() - before
	total := s.of.total.Add(n) // within the lock: the charges of an ended connection are complete
	s.mu.Unlock()
	if n > 0 && total > s.of.most {
		s.of.makeRoom()
	}
}

// holdsLocked returns the bytes that the account holds. It is never negative: handlers take decompressed bytes, which may be more than
// came.
func (s *Account) holdsLocked() int64 {
	return max(s.got-s.taken, 0) + s.heads + s.out + int64(len(s.streams))*limits.EtcdStreamBytes + int64(len(s.asked))*limits.EtcdAskedBytes
}

// Charge counts bytes that wait to be written; negative when they are written or dropped.
func (s *Account) Charge(n int64) {
	if s != nil && n != 0 {
		s.change(func() { s.out += n })
	}
}

// open tells whether the connection has streams, or an HTTP/1.1 request in service.
func (s *Account) open() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.streams) > 0 || s.web > 0
}

// CountHTTP adds n to the HTTP/1.1 requests in service.
func (s *Account) CountHTTP(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.web += n
}

func (s *Account) held() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.holdsLocked()
}

// makeRoom closes connections until the budget is met.
func (m *Accounts) makeRoom() {
	for m.closeLargest() {
	}
}

// closeLargest ends the connection that holds most if the budget is exceeded, and reports whether it did. Connections are ended one at a
// time: many goroutines notice the excess at once, and each would end one.
func (m *Accounts) closeLargest() bool {
	m.closing.Lock()
	worst, most := m.largest()
	if worst != nil {
		worst.end()
	}
	m.closing.Unlock()
	if worst == nil {
		return false
	}
	m.resetLimit.blame(worst.pacing.client, time.Now())
	worst.close()
	m.log.Warn("memory "+worst.pacing.client, "a client's connection is closed: it holds most of the memory of all", "reason", fmt.Sprintf("%v has %d bytes of requests that are not whole and of answers that are not read, all together may have %d", worst.from, most, m.most))
	return true
}

// largest returns the connection that holds most, if the budget is exceeded.
func (m *Accounts) largest() (worst *Account, most int64) {
	if m.total.Load() <= m.most {
		return nil, 0
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for s := range m.accounts {
		if n := s.held(); n > most {
			worst, most = s, n
		}
	}
	return worst, most
}

// AccountOf returns the account of an RPC's connection.
func AccountOf(ctx context.Context) *Account {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}
	if a, ok := p.AuthInfo.(AuthInfo); ok {
		return a.account
	}
	return nil
}

// User returns the name in the certificate of a connection's client, as [Listener].User finds it; "" if there is none.
func (s *Account) User() string {
	if s == nil {
		return ""
	}
	return s.user
}

// Name returns the name of a connection's client: that in its certificate, or else its address.
func (s *Account) Name() string {
	if s == nil {
		return ""
	}
	return cmp.Or(s.user, s.pacing.client)
}

// AuthInfo is a peer's identity, with the connection's account.
type AuthInfo struct {
	credentials.AuthInfo
	account *Account
}

// frames parses one direction of a connection. HTTP/2 has frames with a head of 9 bytes: length, kind, flags and stream. The client sends
// a preface of 24 bytes before them.
type frames struct {
	seen func(kind, flags byte, stream uint32, length int)
	skip int // bytes left of the preface or of a frame
	head [9]byte
	have int
}

const prefaceBytes = 24

// The frame kinds that change a stream's state, and the flag of a stream's last frame.
const (
	dataFrame, headersFrame, resetFrame, moreHeadersFrame = 0, 1, 3, 9
	lastOfStream                                          = 1
)

// fromClient handles a client's frame.
func (s *Account) fromClient(kind, flags byte, stream uint32, length int) {
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
		if s.begins(stream, int64(length)) > limits.EtcdStreamsFew && s.of.resetLimit.blamed(s.pacing.client, time.Now()) {
			s.pacing.resets++
		}
	case kind == dataFrame:
		s.came(stream, int64(length))
	}
}

// toClient handles a frame to the client that begins an answer or ends a stream.
func (s *Account) toClient(kind, flags byte, stream uint32, _ int) {
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

// Secure reports whether the connection of a request has TLS.
func Secure(ctx context.Context) bool {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return false
	}
	a, _ := p.AuthInfo.(AuthInfo)
	_, secure := a.AuthInfo.(credentials.TLSInfo)
	return secure
}
