package front

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"qkv/index/kv"
	"qkv/internal/admit"
	"qkv/internal/limits"
	"qkv/internal/logx"
	"qkv/net/etcd/h2"
	"qkv/net/wire"
)

// Port is a set of TCP addresses with one limit of connections. It detects the protocol of each connection once: TLS or plain text by the
// first byte, then HTTP/2 or HTTP/1.1 by the protocol that TLS negotiated, or by the first bytes. The connection then belongs to gRPC, or to
// HTTP. Package h2 gives requests over HTTP/2 that are not gRPC's to the handler of HTTP.
//
//	accept ──► first byte ──TLS──► handshake ──► h2 ────────► gate ──► gRPC
//	               │                    └──────► http/1.1 ───────────► HTTP
//	               ├─ "PRI" ─────────────────────────────────► gate ──► gRPC
//	               ├─ a letter ──────────────────────────────────────► HTTP
//	               └─ anything else: closed
//
// Rules:
//
//  1. A connection counts from its acceptance until it is closed. At most p.most are open. A further connection takes the
//     place of another (evictLocked), or is refused in its own protocol and closed.
//  2. A connection must identify its protocol within limits.Etcd.Handshake. When all places are taken, the connection that has been
//     unidentified for longest is evicted.
//  3. The gate, Config.BeginGRPC, holds or refuses gRPC while the member cannot serve it: an etcd client stays with a connection whose
//     requests fail, and leaves an address that does not begin HTTP/2. HTTP/1.1 is served in every state, and TLS then prefers it.
//
// The addresses of metrics, and those of the dashboard, have Ports without gRPC: clients and supervisors never evict each other.
type Port struct {
	// Constant.
	config     Config
	most       int           // limit of connections
	idle       time.Duration // idle time after which another connection of the same client may evict one
	grpc       *connListener // nil: the port serves HTTP/1.1 alone
	http       *connListener
	handshakes admit.Slots // TLS handshakes in computation

	refused refusals

	mu           sync.Mutex
	closed       bool
	conns        map[*conn]struct{}
	clients      map[string]map[*conn]struct{} // the same, by client
	unidentified []*conn                       // not identified yet, oldest first
}

// Config configures a port.
type Config struct {
	Listeners  []Listener // at least one
	Limits     limits.Etcd
	Log        *logx.Limited
	Accounts   *Accounts
	Web        *http.Server
	ServesGRPC func() bool // the gate is open
	// waits for the gate, and starts the server of GRPC at its first connection; the error refuses it
	BeginGRPC func() error
	Stopping  <-chan struct{} // closed when the endpoint ends
}

// Listener is one address to serve at; the port closes it.
type Listener struct {
	net.Listener             // TCP
	TLS          *tls.Config // nil: no TLS
	Plain        bool        // plain-text connections are accepted

	User func(tls.ConnectionState) string // the name in a client's certificate, or ""; nil: certificates have no names
}

const (
	// etcdRefused bounds the failed connections of one address per second; beyond it the address is ignored for a while. As many failed TLS
	// handshakes take a tenth of a core. A port check every second counts as one failure. Measured with 15,000 a second, from other
	// processors than the member's: a third of a core, and twice the usual median of puts.
	etcdRefused = 250
	// etcdHandshakes bounds the concurrent TLS handshakes: each costs a signature, and further ones wait.
	etcdHandshakes = 64
)

// NewClientPort makes the port for clients.
func NewClientPort(c Config) *Port {
	p := newPort(c)
	p.most, p.idle = c.Limits.Connections, c.Limits.PlaceIdle
	p.grpc = newHanded(c.Listeners[0].Addr())
	return p
}

// NewHTTPPort makes a port for HTTP alone, with at most so many connections: of metrics and health, or of the dashboard. If it is full, a
// new connection evicts an idle one at once, however short it was idle (evictLocked). The search costs little, since connections are few.
func NewHTTPPort(c Config, most int) *Port {
	p := newPort(c)
	p.most = most
	return p
}

func newPort(c Config) *Port {
	return &Port{
		config: c, http: newHanded(c.Listeners[0].Addr()), handshakes: make(admit.Slots, etcdHandshakes),
		conns: map[*conn]struct{}{}, clients: map[string]map[*conn]struct{}{},
	}
}

// GRPC returns the listener of gRPC's connections.
func (p *Port) GRPC() net.Listener { return p.grpc }

// Run starts the port.
func (p *Port) Run(running *sync.WaitGroup) {
	running.Go(func() { _ = p.config.Web.Serve(p.http) })
	for i := range p.config.Listeners {
		running.Go(func() { p.accept(running, &p.config.Listeners[i]) })
	}
}

// Close stops accepting; open connections continue.
func (p *Port) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.closed = true
		for _, l := range p.config.Listeners {
			_ = l.Close()
		}
		for _, c := range p.unidentified {
			_ = c.Conn.Close()
		}
	}
}

// Stop ends all connections.
func (p *Port) Stop() {
	_ = p.config.Web.Close()
	if p.grpc != nil {
		p.grpc.Close()
	}
	p.http.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Conn.Close()
	}
}

func (p *Port) accept(running *sync.WaitGroup, from *Listener) {
	for {
		raw, err := from.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // usually out of file descriptors
			p.config.Log.Warn("accept", "a client's connection was not accepted", "reason", err.Error())
			select {
			case <-p.config.Stopping:
				return
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		c := &conn{Conn: raw, port: p, from: from, client: clientAt(raw.RemoteAddr())}
		if p.refused.tooMany(c.client, time.Now()) && !p.config.Accounts.serves(c.client) {
			p.config.Log.Warn("unheard "+c.client, "a client's connections are closed unheard", "reason", fmt.Sprintf("%d of %s came to nothing within a second: it speaks no protocol of this port, or has no certificate that is believed", etcdRefused, c.client))
			_ = raw.Close()
			continue
		}
		c.lastReceived.Set(time.Now())
		full, ok := p.enter(c)
		if !ok {
			_ = raw.Close()
			continue
		}
		running.Go(func() { p.serve(c, full) })
	}
}

// enter registers a connection. If full is true, the port has no place for it: the connection is admitted only to receive a refusal. Few
// such connections are admitted.
func (p *Port) enter(c *conn) (full, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false, false
	}
	if len(p.conns) >= p.most {
		p.evictLocked(c.client, time.Now())
	}
	if len(p.conns) >= p.most+limits.ClientConnectionsOver {
		if len(p.unidentified) == 0 {
			return false, false
		}
		_ = p.unidentified[0].Conn.Close() // its goroutine releases the place
		p.unidentified = slices.Delete(p.unidentified, 0, 1)
	}
	full = len(p.conns) >= p.most
	p.conns[c] = struct{}{}
	if p.clients[c.client] == nil {
		p.clients[c.client] = map[*conn]struct{}{}
	}
	p.clients[c.client][c] = struct{}{}
	p.unidentified = append(p.unidentified, c)
	return full, true
}

// evictLocked evicts a connection of a full port in favour of a client's new connection, if [admit.Evict] finds one. In a port for HTTP
// alone an unused connection may be any client's: otherwise hosts with one idle connection each would keep out all probes.
func (p *Port) evictLocked(client string, now time.Time) {
	unused := p.clients[client]
	if p.grpc == nil { // a port for HTTP alone
		unused = p.conns
	}
	c, ok := admit.Evict(maps.Values(p.clients), len(p.clients[client]), unused, p.idle, func(c *conn) time.Duration { return c.idle(now) })
	if ok {
		p.leaveLocked(c)
		_ = c.Conn.Close()
	}
}

// Count returns the number of open connections.
func (p *Port) Count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns)
}

// Clients returns the connected clients.
func (p *Port) Clients() (all []kv.ClientLoad) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := map[string]int{}
	for c := range p.conns {
		own := c.account.Load()
		if own == nil {
			continue
		}
		name := own.Name()
		i, seen := at[name]
		if !seen {
			i = len(all)
			at[name] = i
			all = append(all, kv.ClientLoad{Name: name, API: "etcd"})
		}
		requests, bytes := own.holds()
		all[i].Connections++
		all[i].Requests += requests
		all[i].Bytes += bytes
	}
	return all
}

// markIdentified records that a connection's protocol is identified.
func (p *Port) markIdentified(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unidentified = slices.DeleteFunc(p.unidentified, func(other *conn) bool { return other == c })
}

func (p *Port) leave(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leaveLocked(c)
}

// leaveLocked releases a connection's place. It is idempotent.
func (p *Port) leaveLocked(c *conn) {
	delete(p.conns, c)
	delete(p.clients[c.client], c)
	if len(p.clients[c.client]) == 0 {
		delete(p.clients, c.client)
	}
	p.unidentified = slices.DeleteFunc(p.unidentified, func(other *conn) bool { return other == c })
}

// serve gives a connection to the server of its protocol, or closes it.
func (p *Port) serve(c *conn, full bool) {
	if err := p.identify(c, full); err != nil {
		_ = c.Close()
		if !full {
			p.refused.add(c.client, time.Now())
		}
		if !quiet(err) {
			p.config.Log.Warn("closed "+c.client, "a client's connection is closed", "reason", fmt.Sprintf("%v: %v", c.RemoteAddr(), err))
		}
	}
}

// quiet tells whether the end of a connection is not logged: port scans end this way.
func quiet(err error) bool {
	var timeout net.Error
	return errors.Is(err, net.ErrClosed) || errors.Is(err, errClosedEarly) || errors.As(err, &timeout) && timeout.Timeout()
}

var errClosedEarly = errors.New("it was closed by the other side before anything came")

// The first bytes that identify a protocol.
const (
	tlsRecord = 0x16 // first byte of a handshake
	preface   = "PRI"
)

// identify detects a connection's protocol and gives the connection to the server of that protocol.
func (p *Port) identify(c *conn, full bool) error {
	_ = c.Conn.SetDeadline(time.Now().Add(p.config.Limits.Handshake))
	c.in = bufio.NewReaderSize(c.Conn, 64)
	first, err := c.in.Peek(1)
	if err != nil {
		return errors.Join(errClosedEarly, err)
	}
	over := net.Conn(c)
	h2, user := false, ""
	var auth credentials.AuthInfo = plainText{}
	if first[0] == tlsRecord {
		if c.from.TLS == nil {
			return errors.New("it speaks TLS, and this address has none: its URL begins with http://")
		}
		secure, state, err := p.handshake(c)
		if err != nil {
			return err
		}
		over, h2 = secure, state.NegotiatedProtocol == http2.NextProtoTLS
		if c.from.User != nil {
			user = c.from.User(state)
		}
		auth = credentials.TLSInfo{State: state, CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}}
	} else {
		if first[0] < 'A' || first[0] > 'Z' {
			return fmt.Errorf("the first byte is %#x: neither TLS, gRPC nor HTTP", first[0])
		}
		begin, err := c.in.Peek(len(preface))
		if err != nil {
			return errors.Join(errClosedEarly, err)
		}
		h2 = string(begin) == preface
	}
	p.markIdentified(c)
	why := ""
	switch {
	case full:
		why = fmt.Sprintf("this member serves %d client connections at this address, its limit", p.most)
	case over == net.Conn(c) && !c.from.Plain:
		why = "this port takes TLS only, with a client's certificate"
	case h2 && p.grpc == nil:
		why = "this address is for HTTP/1.1 alone: gRPC is served at the clients' address"
	case h2:
		if err := p.config.BeginGRPC(); err != nil {
			why = err.Error()
			_ = c.Conn.SetDeadline(time.Now().Add(p.config.Limits.Handshake)) // it may have waited for longer
		}
	}
	if why != "" {
		refuse(over, h2, why)
		return errors.New(why)
	}
	_ = c.Conn.SetDeadline(time.Time{})
	own := p.config.Accounts.Begin(c.RemoteAddr(), func() { _ = c.Conn.Close() })
	own.User = user
	c.account.Store(own)
	if !h2 {
		return p.http.deliver(identifiedConn{Conn: over, auth: authInfo{auth, own}, account: own})
	}
	return p.grpc.deliver(identifiedConn{Conn: over, auth: authInfo{auth, own}, account: own, grpc: true})
}

// handshake runs the TLS handshake. It holds a slot of the semaphore while this side computes, and none while it waits for the other side:
// abandoned handshakes block no other client.
func (p *Port) handshake(c *conn) (net.Conn, tls.ConnectionState, error) {
	p.handshakes <- struct{}{}
	c.handshakeSlot = p.handshakes
	defer func() {
		c.handshakeSlot = nil
		p.handshakes.Release()
	}()
	config := c.from.TLS
	if p.grpc == nil || !p.config.ServesGRPC() { // a client that offers both protocols is served
		if newest := config.GetConfigForClient; newest != nil {
			config, _ = newest(nil) // package wire ignores the hello, and returns no error
		}
		config = config.Clone()
		config.NextProtos, config.GetConfigForClient = []string{"http/1.1", http2.NextProtoTLS}, nil
	}
	secure := tls.Server(c, config)
	ctx, cancel := context.WithTimeout(context.Background(), p.config.Limits.Handshake)
	defer cancel()
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, tls.ConnectionState{}, wire.Explain(err)
	}
	return secure, secure.ConnectionState(), nil
}

// refuse sends the reason for a refusal in the client's protocol. SETTINGS are not sent first: a gRPC client would take the connection for
// a working one and redial immediately when it ends, thousands of times a second.
func refuse(c net.Conn, h2 bool, why string) {
	if !h2 {
		_, _ = fmt.Fprintf(c, "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s\n", len(why)+1, why)
		return
	}
	var b bytes.Buffer
	f := http2.NewFramer(&b, nil)
	_ = f.WriteGoAway(0, http2.ErrCodeEnhanceYourCalm, []byte(why))
	_, _ = c.Write(b.Bytes())
}

// conn is a connection that replays to its server the first bytes, which the detection has read.
type conn struct {
	net.Conn
	port         *Port
	from         *Listener
	client       string        // the client's address (clientAt)
	in           *bufio.Reader // nil after it is drained
	once         sync.Once
	lastReceived wire.Moment // time of the last received bytes

	handshakeSlot admit.Slots             // holds this connection's slot during a handshake; owned by its goroutine
	account       atomic.Pointer[Account] // set when the protocol is identified
}

func (c *conn) Read(b []byte) (int, error) {
	if c.in != nil {
		if c.in.Buffered() > 0 {
			return c.in.Read(b)
		}
		c.in = nil
	}
	if c.handshakeSlot != nil {
		<-c.handshakeSlot
		defer func() { c.handshakeSlot <- struct{}{} }()
	}
	n, err := c.Conn.Read(b)
	c.lastReceived.Set(time.Now())
	return n, err
}

// idle returns the time since the last received bytes: negative while the connection has an unanswered request.
func (c *conn) idle(now time.Time) time.Duration {
	if s := c.account.Load(); s != nil && s.open() {
		return -1
	}
	return c.lastReceived.Ago(now)
}

func (c *conn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() {
		c.port.leave(c)
		if s := c.account.Load(); s != nil {
			s.end()
		}
	})
	return err
}

// identifiedConn is an identified connection, with its peer's identity.
type identifiedConn struct {
	net.Conn
	auth    credentials.AuthInfo
	account *Account
	grpc    bool
}

// Read waits first while the client has sent too much. Its earlier frames are handled.
func (t identifiedConn) Read(b []byte) (int, error) {
	if t.grpc {
		t.account.of.enforceBudget()
		t.account.pace()
		t.account.throttle(etcdServedWait)
		if t.account.overRate() || t.account.overloads() {
			b = b[:min(len(b), throttledReadBytes)]
		}
	}
	return t.Conn.Read(b)
}

// Ledger returns the connection's account.
func (t identifiedConn) Ledger() h2.Ledger { return t.account }

// throttledReadBytes is the read size of a throttled connection: some ten requests with resets, some twenty without.
const throttledReadBytes = 1 << 10

// Trier returns a function that writes as much as the kernel takes at once; nil with TLS.
func (t identifiedConn) Trier() func([]byte) int {
	c, ok := t.Conn.(*conn)
	if !ok {
		return nil
	}
	tcp, ok := c.Conn.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	return func(b []byte) (n int) {
		_ = raw.Write(func(fd uintptr) bool {
			n, _ = syscall.Write(int(fd), b)
			return true
		})
		return max(n, 0)
	}
}

// connListener is a listener of identified connections.
type connListener struct {
	addr  net.Addr
	conns chan identifiedConn
	over  chan struct{}
	once  sync.Once
}

func newHanded(addr net.Addr) *connListener {
	return &connListener{addr: addr, conns: make(chan identifiedConn), over: make(chan struct{})}
}

func (h *connListener) deliver(c identifiedConn) error {
	select {
	case h.conns <- c:
		return nil
	case <-h.over:
		return net.ErrClosed
	}
}

// Accept implements net.Listener.
func (h *connListener) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.over:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (h *connListener) Close() error {
	h.once.Do(func() { close(h.over) })
	return nil
}

// Addr implements net.Listener.
func (h *connListener) Addr() net.Addr { return h.addr }

// plainText says that a connection has no TLS.
type plainText struct{}

// AuthType implements credentials.AuthInfo.
func (plainText) AuthType() string { return "insecure" }

// ConnContext attaches the connection's identity to the context of an HTTP request, as for a gRPC request.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	known, ok := c.(identifiedConn)
	if !ok {
		return ctx
	}
	return peer.NewContext(ctx, &peer.Peer{Addr: c.RemoteAddr(), LocalAddr: c.LocalAddr(), AuthInfo: known.auth})
}
