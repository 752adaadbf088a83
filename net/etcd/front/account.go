package front

import (
	"cmp"
	"context"
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
	"qkv/net/etcd/h2"
)

// Accounts is the memory accounting of gRPC's connections: open streams, partial requests, and unread answers. Each of their streams may
// hold a partial message. An [Account] is the [h2.Ledger] of its connection.
//
//  1. All connections together hold at most a fixed budget, plus one read of each, and the bytes that arrive while a connection is being
//     closed.
//  2. When they would exceed the budget, the client that holds most pays, however many connections it has: the largest
//     of its connections is closed. A client is an address. A client that completes its requests and reads its answers
//     holds little. The closed connection therefore belongs to another kind of client, and no well-behaved client has
//     to wait.
type Accounts struct {
	most  int64
	log   *logx.Limited
	total atomic.Int64

	serving     atomic.Int64 // requests of all connections (throttle.go)
	servedBytes atomic.Int64 // of those requests

	resetLimit *resetLimit

	closing sync.Mutex // held while a connection is ended
	mu      sync.Mutex
	clients map[string]*client // by address; without connections, a client is absent
}

// client is the sums of the accounts of one address.
type client struct {
	held, serving, servedBytes atomic.Int64

	accounts map[*Account]struct{} // guarded by Accounts.mu
}

// Account is the memory that one connection holds, with its requests in service.
//
//  1. streams is the number of streams whose requests are not complete. got is the sum of their data, and heads the charge for their metadata.
//     When the request is complete, the bytes move to servedBytes until the answer begins (throttle.go). halfClosed is the number of streams
//     whose requests are complete, until their answers are encoded. Each stream has its part in an [h2.StreamCharge].
//  2. taken is how much running handlers have taken of streams of requests.
//  3. out is the encoded data that is neither written nor dropped.
//  4. The account holds got - taken + heads + out, limits.EtcdStreamBytes for each of streams and limits.EtcdAskedBytes for each of
//     halfClosed. This is its part of Accounts.total.
type Account struct {
	of    *Accounts
	with  *client
	close func()
	from  net.Addr
	user  string // the name in the client's certificate; "": none. Constant

	over  chan struct{} // closed with the connection
	Whole admit.Slots   // one request that reads the whole state

	sent atomic.Int64 // bytes written

	pacing pacing // owned by the connection's reader

	mu                  sync.Mutex
	streams, halfClosed int
	serving             int64 // requests
	servedBytes         int64 // of requests without an answer yet
	got, taken, out     int64
	heads               int64
	web                 int                             // requests in service over HTTP/1.1
	carried             map[*admit.Reservation]struct{} // of answers that wait to be written
	ended               bool
}

// NewAccounts returns accounts without connections. All connections together may hold the given bytes.
func NewAccounts(most int64, log *logx.Limited) *Accounts {
	return &Accounts{most: most, log: log, resetLimit: newResetLimit(), clients: map[string]*client{}}
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
	defer m.mu.Unlock()
	if s.with = m.clients[s.pacing.client]; s.with == nil {
		s.with = &client{accounts: map[*Account]struct{}{}}
		m.clients[s.pacing.client] = s.with
	}
	s.with.accounts[s] = struct{}{}
	return s
}

// end releases everything that the account holds.
func (s *Account) end() {
	s.of.mu.Lock()
	if delete(s.with.accounts, s); len(s.with.accounts) == 0 && s.of.clients[s.pacing.client] == s.with {
		delete(s.of.clients, s.pacing.client)
	}
	s.of.mu.Unlock()
	defer s.releaseCarried() // gRPC drops unwritten data
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		close(s.over)
	}
	s.holdLocked(-s.holdsLocked())
	s.serveLocked(-s.serving, -s.servedBytes)
	s.streams, s.halfClosed, s.got, s.taken, s.heads, s.out, s.ended = 0, 0, 0, 0, 0, 0, true
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
	return s.serving + int64(s.web), max(s.got-s.taken, 0) + s.out
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

// Begin implements h2.Ledger.
func (s *Account) Begin(c *h2.StreamCharge, head int) {
	s.mu.Lock()
	if !s.ended {
		*c = h2.StreamCharge{Open: true, Head: min(int64(head)*limits.EtcdHeaderTimes, limits.EtcdHeaderMost)}
		s.countLocked(1, 0, c.Head, 0)
	}
	streams := s.streams
	s.mu.Unlock()
	if streams > limits.EtcdStreamsFew && s.of.resetLimit.blamed(s.pacing.client, time.Now()) {
		s.pacing.resets++
	}
}

// Data implements h2.Ledger.
func (s *Account) Data(c *h2.StreamCharge, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.Open && !s.ended {
		c.Data += int64(n)
		s.countLocked(0, 0, 0, int64(n))
	}
}

// HalfClosed implements h2.Ledger: the request is complete.
func (s *Account) HalfClosed(c *h2.StreamCharge, last int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.Open && !s.ended {
		s.countLocked(-1, 1, -c.Head, -c.Data)
		*c = h2.StreamCharge{HalfClosed: true, Data: c.Data + int64(last)}
		s.serveLocked(1, c.Data)
	}
}

// Answered implements h2.Ledger.
func (s *Account) Answered(c *h2.StreamCharge) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.HalfClosed && !c.Answered && !s.ended {
		c.Answered = true
		s.serveLocked(-1, -c.Data)
	}
}

// Over implements h2.Ledger.
func (s *Account) Over(c *h2.StreamCharge) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.ended:
	case c.Open:
		s.countLocked(-1, 0, -c.Head, -c.Data)
	case c.HalfClosed:
		if !c.Answered {
			s.serveLocked(-1, -c.Data)
		}
		s.countLocked(0, -1, 0, 0)
	}
	*c = h2.StreamCharge{}
}

// Reset implements h2.Ledger.
func (s *Account) Reset() { s.pacing.resets++ }

// etcdFramesReset is how many frames without a request cost as much as a reset: 0.2 µs each (measured). Sixteen connections sent 3.7
// million a second before, and took a core. Package h2 counts what takes longer as so many frames.
const etcdFramesReset = 200

// Idle implements h2.Ledger.
func (s *Account) Idle(n int) {
	s.pacing.frames += n
	s.pacing.resets += s.pacing.frames / etcdFramesReset
	s.pacing.frames %= etcdFramesReset
}

// countLocked adds to the sums of the account. It closes no connection: the reader enforces the budget before it reads further.
func (s *Account) countLocked(streams, asked int, heads, got int64) {
	before := s.holdsLocked()
	s.streams += streams
	s.halfClosed += asked
	s.heads += heads
	s.got += got
	s.holdLocked(s.holdsLocked() - before)
}

// holdLocked adds bytes to the sums of the client and of all clients. It returns the sum of all.
func (s *Account) holdLocked(n int64) (total int64) {
	s.with.held.Add(n)
	return s.of.total.Add(n)
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
	total := s.holdLocked(n) // within the lock: the charges of an ended connection are complete
	s.mu.Unlock()
	if n > 0 && total > s.of.most {
		s.of.enforceBudget()
	}
}

// holdsLocked returns the bytes that the account holds. It is never negative: handlers take decompressed bytes, which may be more than
// came.
func (s *Account) holdsLocked() int64 {
	return max(s.got-s.taken, 0) + s.heads + s.out + int64(s.streams)*limits.EtcdStreamBytes + int64(s.halfClosed)*limits.EtcdAskedBytes
}

// Charge counts bytes that wait to be written; negative when they are written or dropped.
func (s *Account) Charge(n int64) {
	if s != nil && n != 0 {
		s.change(func() { s.out += n })
	}
}

// open tells whether the connection has streams without an answer, or an HTTP/1.1 request in service.
func (s *Account) open() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.streams+s.halfClosed+s.web > 0
}

// CountHTTP adds n to the HTTP/1.1 requests in service.
func (s *Account) CountHTTP(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.web += n
}

// enforceBudget closes connections until the budget is met.
func (m *Accounts) enforceBudget() {
	for m.closeLargest() {
	}
}

// closeLargest ends the largest connection of the client that holds most if the budget is exceeded, and reports whether
// it did. Connections are ended one at a time: many goroutines notice the excess at once, and each would end one.
func (m *Accounts) closeLargest() bool {
	m.closing.Lock()
	worst, held := m.largest()
	if worst != nil {
		worst.end()
	}
	m.closing.Unlock()
	if worst == nil {
		return false
	}
	m.resetLimit.blame(worst.pacing.client, time.Now())
	worst.close()
	m.log.Warn("memory "+worst.pacing.client, "a client's connection is closed: the client holds more of the memory than any other", "reason", fmt.Sprintf("%s has %d bytes of requests that are not whole and of answers that are not read, all clients together may have %d; the largest of its connections is %v", worst.pacing.client, held, m.most, worst.from))
	return true
}

// largest returns the largest connection of the client that holds most, and the bytes of the client, if the budget is
// exceeded.
func (m *Accounts) largest() (worst *Account, held int64) {
	if m.total.Load() <= m.most {
		return nil, 0
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	with := &client{}
	for _, one := range m.clients {
		if n := one.held.Load(); n > held {
			with, held = one, n
		}
	}
	most := int64(-1)
	for s := range with.accounts {
		s.mu.Lock()
		if n := s.holdsLocked(); n > most {
			worst, most = s, n
		}
		s.mu.Unlock()
	}
	return worst, held
}

// AccountOf returns the account of an RPC's connection.
func AccountOf(ctx context.Context) *Account {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}
	if a, ok := p.AuthInfo.(authInfo); ok {
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

// authInfo is a peer's identity, with the connection's account.
type authInfo struct {
	credentials.AuthInfo
	account *Account
}

// Secure reports whether the connection of a request has TLS.
func Secure(ctx context.Context) bool {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return false
	}
	a, _ := p.AuthInfo.(authInfo)
	_, secure := a.AuthInfo.(credentials.TLSInfo)
	return secure
}
