package front

import (
	"cmp"
	"context"
	"fmt"
	"math"
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
	load // of all connections
	most int64
	log  *logx.Limited

	resetLimit *resetLimit

	closing sync.Mutex // held while a connection is ended
	mu      sync.Mutex
	clients map[string]*client // by address; without connections, a client is absent
}

// load is the sums of several accounts.
type load struct {
	held        atomic.Int64 // bytes
	serving     atomic.Int64 // requests in service (throttle.go)
	servedBytes atomic.Int64 // of those requests
}

// client is the load of one address.
type client struct {
	load
	accounts map[*Account]struct{} // guarded by Accounts.mu
}

// Account is the memory that one connection holds, with its requests in service.
//
//  1. fixed is the charges for its streams and their metadata. A stream costs limits.EtcdStreamBytes and its metadata until its request is
//     complete, and then limits.EtcdAskedBytes until its answer is encoded.
//  2. data is the bytes of requests that are not complete, of messages in streams that no handler has taken, and of answers that are
//     neither written nor dropped.
//  3. When a request is complete, its bytes move to servedBytes until the answer begins (throttle.go). Each stream has its part of all
//     these in an [h2.StreamCharge].
//  4. The account holds fixed + data bytes. They are its part of the loads of its client and of all.
type Account struct {
	of    *Accounts
	with  *client
	Close func() // closes the connection
	from  net.Addr
	User  string // the name in the client's certificate, as [Listener].User finds it; "": none. Constant

	over  chan struct{} // closed with the connection
	Whole admit.Slots   // one request that reads the whole state

	pacing pacing // owned by the connection's reader

	mu          sync.Mutex
	fixed, data int64
	serving     int64 // requests
	servedBytes int64 // of requests without an answer yet
	web         int   // requests in service over HTTP/1.1
	ended       bool
}

// NewAccounts returns accounts without connections. All connections together may hold the given bytes.
func NewAccounts(most int64, log *logx.Limited) *Accounts {
	return &Accounts{most: most, log: log, resetLimit: newResetLimit(), clients: map[string]*client{}}
}

// Total returns the bytes that all connections hold.
func (m *Accounts) Total() int64 { return m.held.Load() }

// AboveQuarter reports whether the connections hold more than a quarter of their budget.
func (m *Accounts) AboveQuarter() bool { return m.held.Load() > m.most/4 }

// Serving returns the number of unanswered requests. Requests that wait for a lock or an election are not counted.
func (m *Accounts) Serving() int64 { return m.serving.Load() }

// Begin creates the account of a connection. close ends the connection.
func (m *Accounts) Begin(from net.Addr, close func()) *Account {
	s := &Account{of: m, from: from, Close: close, over: make(chan struct{}), Whole: make(admit.Slots, 1), pacing: pacing{client: clientAt(from)}}
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.with = m.clients[s.pacing.client]; s.with == nil {
		s.with = &client{accounts: map[*Account]struct{}{}}
		m.clients[s.pacing.client] = s.with
	}
	s.with.accounts[s] = struct{}{}
	return s
}

// serves reports whether a client has a connection.
func (m *Accounts) serves(client string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.clients[client] != nil
}

// end releases everything that the account holds.
func (s *Account) end() {
	s.of.mu.Lock()
	if delete(s.with.accounts, s); len(s.with.accounts) == 0 && s.of.clients[s.pacing.client] == s.with {
		delete(s.of.clients, s.pacing.client)
	}
	s.of.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		close(s.over)
	}
	s.holdLocked(-s.fixed, -s.data)
	s.serveLocked(-s.serving, -s.servedBytes)
	s.ended = true
}

// holdLocked adds to the bytes that the account holds. An account that has ended holds nothing.
func (s *Account) holdLocked(fixed, data int64) {
	if s.ended {
		return
	}
	s.fixed += fixed
	s.data += data
	s.with.held.Add(fixed + data)
	s.of.held.Add(fixed + data)
}

// holds returns the requests in service, and the bytes of requests that no handler has taken and of answers that the client has not read.
func (s *Account) holds() (requests, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.serving + int64(s.web), s.data
}

// Client is the client's address, or "" without a connection.
func (s *Account) Client() string { return s.pacing.client }

// Begin implements h2.Ledger.
func (s *Account) Begin(c *h2.StreamCharge, head int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.Fixed = limits.EtcdStreamBytes + min(int64(head)*limits.EtcdHeaderTimes, limits.EtcdHeaderMost)
	s.holdLocked(c.Fixed, 0)
	if s.fixed > limits.EtcdStreamsFew*limits.EtcdStreamBytes && s.of.resetLimit.blamed(s.pacing.client, time.Now()) {
		s.Reset()
	}
}

// Data implements h2.Ledger.
func (s *Account) Data(c *h2.StreamCharge, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.Fixed > 0 && !c.Complete {
		c.Data += int64(n)
		s.holdLocked(0, int64(n))
	}
}

// HalfClosed implements h2.Ledger: the request is complete.
func (s *Account) HalfClosed(c *h2.StreamCharge) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.Fixed > 0 && !c.Complete {
		s.holdLocked(limits.EtcdAskedBytes-c.Fixed, -c.Data)
		s.serveLocked(1, c.Data)
		*c = h2.StreamCharge{Fixed: limits.EtcdAskedBytes, Complete: true, Serving: true, Served: c.Data}
	}
}

// Answered implements h2.Ledger.
func (s *Account) Answered(c *h2.StreamCharge) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answeredLocked(c)
}

func (s *Account) answeredLocked(c *h2.StreamCharge) {
	if c.Serving {
		c.Serving = false
		s.serveLocked(-1, -c.Served)
	}
}

// Over implements h2.Ledger.
func (s *Account) Over(c *h2.StreamCharge) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answeredLocked(c)
	s.holdLocked(-c.Fixed, -c.Data)
	*c = h2.StreamCharge{}
}

// Reset implements h2.Ledger.
func (s *Account) Reset() { s.pacing.frames += etcdFramesReset }

// etcdFramesReset is how many frames without a request cost as much as a reset: 0.2 µs each (measured). Sixteen connections sent 3.7
// million a second before, and took a core. Package h2 counts what takes longer as so many frames.
const etcdFramesReset = 200

// Idle implements h2.Ledger.
func (s *Account) Idle(n int) { s.pacing.frames += n }

// Charge counts bytes that wait to be written; negative when they are written or dropped.
func (s *Account) Charge(n int64) {
	s.mu.Lock()
	s.holdLocked(0, n)
	s.mu.Unlock()
	if n > 0 {
		s.of.enforceBudget()
	}
}

// open tells whether the connection has streams without an answer, or an HTTP/1.1 request in service.
func (s *Account) open() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fixed > 0 || s.web > 0
}

// CountHTTP adds n to the HTTP/1.1 requests in service.
func (s *Account) CountHTTP(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.web += n
}

// enforceBudget closes connections until the budget is met.
func (m *Accounts) enforceBudget() {
	for m.held.Load() > m.most && m.closeLargest() {
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
	worst.Close()
	m.log.Warn("memory "+worst.pacing.client, "a client's connection is closed: the client holds more of the memory than any other", "reason", fmt.Sprintf("%s has %d bytes of requests that are not whole and of answers that are not read, all clients together may have %d; the largest of its connections is %v", worst.pacing.client, held, m.most, worst.from))
	return true
}

// largest returns the largest connection of the client that holds most, and the bytes of the client, if the budget is
// exceeded.
func (m *Accounts) largest() (worst *Account, held int64) {
	if m.held.Load() <= m.most {
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
		if n := s.fixed + s.data; n > most {
			worst, most = s, n
		}
		s.mu.Unlock()
	}
	return worst, held
}

// unbounded is the account of requests without a connection, in this process.
var unbounded = &Account{of: &Accounts{most: math.MaxInt64}, with: &client{}, Close: func() {}, Whole: make(admit.Slots, 1)}

// AccountOf returns the account of a request's connection. Requests without a connection share one without bounds.
func AccountOf(ctx context.Context) *Account {
	if p, ok := peer.FromContext(ctx); ok {
		if a, ok := p.AuthInfo.(authInfo); ok {
			return a.account
		}
	}
	return unbounded
}

// Name returns the name of a connection's client: that in its certificate, or else its address.
func (s *Account) Name() string {
	return cmp.Or(s.User, s.pacing.client)
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
