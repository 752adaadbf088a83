package etcd

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/credentials"

	"qkv/internal/limits"
	"qkv/net/wire"
)

// port tells apart what comes to the TCP ports, once for each connection: TLS or none by the first byte, then gRPC or
// HTTP/1.1 by the protocol that TLS has agreed on, or by the first bytes. From there on the connection is gRPC's or HTTP's own.
//
//		accept ──► first byte ──TLS──► handshake ──► h2 ────────► gRPC
//		               │                    └──────► http/1.1 ──► HTTP
//		               ├─ "PRI" ─────────────────────────────────► gRPC
//		               ├─ a letter ──────────────────────────────► HTTP
//		               └─ anything else: closed
//
//	 1. A connection counts from its acceptance until it is closed. All together are at most limits.Etcd.Connections: one more
//	    gets the place of another one (place), or is told so, in its own protocol, and closed.
//	 2. Until it is told apart it has limits.Etcd.Handshake. When all places are taken, the one that has not been told
//	    apart for longest gives up its place.
type port struct {
	s          *Server
	grpc, http *handed
	web        *http.Server
	handshakes chan struct{} // has room for those of TLS that are worked at
	refused    refusals

	mu      sync.Mutex
	closed  bool
	conns   map[*conn]struct{}
	clients map[string]map[*conn]struct{} // the same, by where they come from
	fresh   []*conn                       // not told apart yet, oldest first
	noted   time.Time
	placed  time.Time // when a place was looked for last
}

func newPort(s *Server) *port {
	p := &port{
		s: s, conns: map[*conn]struct{}{}, clients: map[string]map[*conn]struct{}{}, grpc: newHanded(s.Addr()), http: newHanded(s.Addr()),
		handshakes: make(chan struct{}, limits.EtcdHandshakes),
	}
	p.web = s.newWeb(true)
	return p
}

func (p *port) run(running *sync.WaitGroup) {
	running.Go(func() { _ = p.web.Serve(p.http) })
	for i := range p.s.config.Listeners {
		running.Go(func() { p.accept(running, &p.s.config.Listeners[i]) })
	}
}

// close takes no more connections; those that are there go on.
func (p *port) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.closed = true
		for _, l := range p.s.config.Listeners {
			_ = l.Close()
		}
		for _, c := range p.fresh {
			_ = c.Conn.Close()
		}
	}
}

// stop ends all connections.
func (p *port) stop() {
	_ = p.web.Close()
	p.grpc.Close()
	p.http.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Conn.Close()
	}
}

func (p *port) accept(running *sync.WaitGroup, from *Listener) {
	for {
		raw, err := from.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // no file descriptors, most likely
			p.note("a client's connection was not accepted", err.Error())
			select {
			case <-p.s.stopping:
				return
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		c := &conn{Conn: raw, port: p, from: from, client: clientAt(raw.RemoteAddr())}
		if p.refused.tooMany(c.client, time.Now()) {
			p.note("a client's connections are closed unheard", fmt.Sprintf("%d of %s came to nothing within a second: it speaks no protocol of this port, or has no certificate that is believed", limits.EtcdRefused, c.client))
			_ = raw.Close()
			continue
		}
		c.heard.Set(time.Now())
		full, ok := p.enter(c)
		if !ok {
			_ = raw.Close()
			continue
		}
		running.Go(func() { p.tellApart(c, full) })
	}
}

// enter takes a connection in. It is full when there is no place for it; it is let in to be told so. Of those there are only a
// few.
func (p *port) enter(c *conn) (full, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false, false
	}
	most := p.s.config.Limits.Connections
	if len(p.conns) >= most {
		p.makePlaceLocked(c.client, time.Now())
	}
	if len(p.conns) >= most+limits.ClientConnectionsOver {
		if len(p.fresh) == 0 {
			return false, false
		}
		_ = p.fresh[0].Conn.Close() // its goroutine gives back the place
		p.fresh = slices.Delete(p.fresh, 0, 1)
	}
	full = len(p.conns) >= most
	p.conns[c] = struct{}{}
	if p.clients[c.client] == nil {
		p.clients[c.client] = map[*conn]struct{}{}
	}
	p.clients[c.client][c] = struct{}{}
	p.fresh = append(p.fresh, c)
	return full, true
}

// makePlaceLocked closes a connection in favour of a client's, in a full server, if there is one that may be closed. It is of the
// client that has most, if that has more than this one, so that no one keeps out the others; or else an own one. A client's
// connection on which nothing is asked goes first, for longest; an own one only when that was so for limits.EtcdPlaceIdle. To look
// for it costs as much as there are connections: it is done so often at most.
func (p *port) makePlaceLocked(client string, now time.Time) {
	if now.Sub(p.placed) < limits.EtcdPlaceEach {
		return
	}
	p.placed = now
	own := len(p.clients[client])
	from := p.clients[client]
	for _, all := range p.clients {
		if len(all) > len(from) {
			from = all
		}
	}
	others := len(from) > own+1
	if !others {
		from = p.clients[client]
	}
	var worst *conn
	var busy bool
	var longest time.Duration
	for c := range from {
		serves, idle := c.serves(), c.heard.Ago(now)
		if !others && (serves || idle < p.s.config.Limits.PlaceIdle) {
			continue
		}
		if worst == nil || busy && !serves || busy == serves && idle > longest {
			worst, busy, longest = c, serves, idle
		}
	}
	if worst != nil {
		p.leaveLocked(worst)
		_ = worst.Conn.Close()
	}
}

func (p *port) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns)
}

// known says that a connection has been told apart.
func (p *port) known(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fresh = slices.DeleteFunc(p.fresh, func(other *conn) bool { return other == c })
}

func (p *port) leave(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leaveLocked(c)
}

// leaveLocked gives up a connection's place. A second time it does nothing.
func (p *port) leaveLocked(c *conn) {
	delete(p.conns, c)
	delete(p.clients[c.client], c)
	if len(p.clients[c.client]) == 0 {
		delete(p.clients, c.client)
	}
	p.fresh = slices.DeleteFunc(p.fresh, func(other *conn) bool { return other == c })
}

// note logs at most one line a second of what anyone can make happen.
func (p *port) note(what, reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); now.Sub(p.noted) >= time.Second {
		p.noted = now
		p.s.logger.Warn(what, "reason", reason)
	}
}

// tellApart hands a connection to whom it is for, or closes it.
func (p *port) tellApart(c *conn, full bool) {
	if err := p.hand(c, full); err != nil {
		_ = c.Close()
		if !full {
			p.refused.add(c.client, time.Now())
		}
		if !quiet(err) {
			p.note("a client's connection is closed", fmt.Sprintf("%v: %v", c.RemoteAddr(), err))
		}
	}
}

// quiet says that nothing needs to be told of a connection that has ended: who looks whether a port is open does that.
func quiet(err error) bool {
	var timeout net.Error
	return errors.Is(err, net.ErrClosed) || errors.Is(err, errGone) || errors.As(err, &timeout) && timeout.Timeout()
}

var errGone = errors.New("it was closed by the other side before anything came")

// Those that tell connections apart.
const (
	tlsRecord = 0x16 // the first byte of a handshake
	preface   = "PRI"
)

func (p *port) hand(c *conn, full bool) error {
	_ = c.Conn.SetDeadline(time.Now().Add(p.s.config.Limits.Handshake))
	c.in = bufio.NewReaderSize(c.Conn, 64)
	first, err := c.in.Peek(1)
	if err != nil {
		return errors.Join(errGone, err)
	}
	over := net.Conn(c)
	h2 := false
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
		auth = credentials.TLSInfo{State: state, CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}}
	} else {
		if first[0] < 'A' || first[0] > 'Z' {
			return fmt.Errorf("the first byte is %#x: neither TLS, gRPC nor HTTP", first[0])
		}
		begin, err := c.in.Peek(len(preface))
		if err != nil {
			return errors.Join(errGone, err)
		}
		h2 = string(begin) == preface
	}
	p.known(c)
	why := ""
	switch {
	case full:
		why = fmt.Sprintf("this member serves %d client connections, its limit", p.s.config.Limits.Connections)
	case over == net.Conn(c) && !c.from.Plain:
		why = "this port takes TLS only, with a client's certificate"
	}
	if why != "" {
		refuse(over, h2, why)
		return errors.New(why)
	}
	_ = c.Conn.SetDeadline(time.Time{})
	own := p.s.memory.begin(c.RemoteAddr(), func() { _ = c.Conn.Close() })
	p.refused.serve(c.client, 1)
	c.share.Store(own)
	if !h2 {
		return p.http.give(told{Conn: over, auth: accounted{auth, own}, share: own})
	}
	if !p.s.begin() {
		return net.ErrClosed
	}
	return p.grpc.give(told{Conn: over, auth: accounted{auth, own}, share: own, in: &frames{seen: own.fromClient, skip: prefaceBytes}, out: &frames{seen: own.toClient}})
}

// handshake does that of TLS. It has a place while there is work for this side, and none while it waits for the other one: whoever
// begins handshakes and leaves them holds up nobody.
func (p *port) handshake(c *conn) (net.Conn, tls.ConnectionState, error) {
	p.handshakes <- struct{}{}
	c.place = p.handshakes
	defer func() {
		c.place = nil
		<-p.handshakes
	}()
	secure := tls.Server(c, c.from.TLS)
	ctx, cancel := context.WithTimeout(context.Background(), p.s.config.Limits.Handshake)
	defer cancel()
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, tls.ConnectionState{}, wire.Explain(err)
	}
	return secure, secure.ConnectionState(), nil
}

// refuse tells the other side in its own protocol why it is not served. No SETTINGS come before it: a client of gRPC takes a
// connection that begins with them for one that works, and dials anew at once when it ends, thousands of times a second.
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

// conn is a connection whose first bytes were looked at.
type conn struct {
	net.Conn
	port   *port
	from   *Listener
	client string        // where it comes from
	in     *bufio.Reader // nil once it is empty
	once   sync.Once
	heard  wire.Moment // when something came last

	place chan struct{}         // has one of this connection, within a handshake; its goroutine's
	share atomic.Pointer[share] // once it is told apart
}

func (c *conn) Read(b []byte) (int, error) {
	if c.in != nil {
		if c.in.Buffered() > 0 {
			return c.in.Read(b)
		}
		c.in = nil
	}
	if c.place != nil {
		<-c.place
		defer func() { c.place <- struct{}{} }()
	}
	n, err := c.Conn.Read(b)
	c.heard.Set(time.Now())
	return n, err
}

// serves says that something was asked on a connection that is not answered.
func (c *conn) serves() bool {
	s := c.share.Load()
	return s != nil && s.open()
}

func (c *conn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() {
		c.port.leave(c)
		if s := c.share.Load(); s != nil {
			s.end()
			c.port.refused.serve(c.client, -1)
		}
	})
	return err
}

// told is a connection that was told apart, with who is at its other end.
type told struct {
	net.Conn
	auth  credentials.AuthInfo
	share *share
	// Of a connection of gRPC: one goroutine reads, and one writes.
	in, out *frames
}

func (t told) Read(b []byte) (int, error) {
	if t.in != nil && (t.share.behind() || t.share.asksTooMuch()) {
		b = b[:min(len(b), behindBytes)]
	}
	n, err := t.Conn.Read(b)
	if t.in != nil {
		t.in.see(b[:n])
		t.share.pace()
		t.share.letServe(limits.EtcdServedWait)
	}
	return n, err
}

// behindBytes is what is read at a time of a connection that is read slowly: some ten requests that are reset, some twenty that are not.
const behindBytes = 1 << 10

func (t told) Write(b []byte) (int, error) {
	n, err := t.Conn.Write(b)
	t.share.sent.Add(int64(n))
	if t.out != nil {
		t.out.see(b[:n])
	}
	return n, err
}

// handed is a listener of connections that were told apart.
type handed struct {
	addr  net.Addr
	conns chan told
	over  chan struct{}
	once  sync.Once
}

func newHanded(addr net.Addr) *handed {
	return &handed{addr: addr, conns: make(chan told), over: make(chan struct{})}
}

func (h *handed) give(c told) error {
	select {
	case h.conns <- c:
		return nil
	case <-h.over:
		return net.ErrClosed
	}
}

// Accept implements net.Listener.
func (h *handed) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.over:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (h *handed) Close() error {
	h.once.Do(func() { close(h.over) })
	return nil
}

// Addr implements net.Listener.
func (h *handed) Addr() net.Addr { return h.addr }

// plainText says that a connection has no TLS.
type plainText struct{}

// AuthType implements credentials.AuthInfo.
func (plainText) AuthType() string { return "insecure" }

// handshaken are credentials for connections whose handshake is done.
type handshaken struct{}

func (handshaken) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return c, c.(told).auth, nil
}

func (handshaken) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("this is a server")
}

func (handshaken) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}
func (handshaken) Clone() credentials.TransportCredentials { return handshaken{} }
func (handshaken) OverrideServerName(string) error         { return nil }
