package peer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"qkv/net/wire"
	"qkv/net/wire/peerframe"
)

// link keeps one peer connected. Its own goroutine dials the peer and serves the connection in use; the accepting goroutines bring
// connections that the peer dialled.
type link struct {
	// Constant.
	transport *Transport
	id        uint64
	ctx       context.Context // ends with the Transport, or by errNoPeer
	cancel    context.CancelCauseFunc
	ended     chan struct{} // closed when the goroutine has ended: the handler is not called any more

	// Owned by the link's goroutine.
	failures int // failed attempts in a row

	// Shared.
	peerName      atomic.Pointer[string] // the peer's name; it changes at most once, from empty
	out           atomic.Pointer[conn]   // the served connection: frames are sent on it
	changed       chan struct{}          // holds a token when a connection came into use, or moved or notBefore was set
	sent          traffic
	received      atomic.Uint64 // bytes
	dropped       atomic.Uint64
	alive         atomic.Pointer[string] // the TCP address of the peer's ListenAlive; nil: unknown
	checkingAlive atomic.Bool            // a goroutine is asking there

	mu        sync.Mutex
	jitter    *rand.Rand
	choice    choice
	dialling  context.CancelFunc // ends the current dial
	addresses []string           // a list is never modified, only replaced
	moved     bool               // the addresses changed since the last dial: the next dial does not wait
	notBefore time.Time          // after a refusal: the earliest time of the next dial
	lastErr   string             // why the link is not connected, or was not last
	untrusted bool               // likewise: because of a certificate
}

var errNoAddress = errors.New("no address of the peer is known")

// errNoPeer ends the link of a member that is not a peer any more.
var errNoPeer = errors.New("it is no longer a peer")

// newLink is called with the Transport's lock held.
func newLink(t *Transport, p Peer) *link {
	l := &link{
		transport: t, id: p.ID, ended: make(chan struct{}),
		jitter:  rand.New(rand.NewPCG(t.jitter.Uint64(), p.ID)),
		changed: make(chan struct{}, 1),
		choice:  choice{lower: t.config.Member < p.ID, process: t.config.Process},
		lastErr: "not connected yet",
	}
	l.peerName.Store(&p.Name)
	l.ctx, l.cancel = context.WithCancelCause(t.ctx)
	return l
}

func (l *link) name() string { return *l.peerName.Load() }

// checkCertificate checks that a connection with this certificate belongs to the link's peer. If the certificate names no member, it must
// fit the link's addresses, or, if none is known, the address that the connection came from.
func (l *link) checkCertificate(name string, q *quic.Conn) error {
	own := l.name()
	switch {
	case name != "" && own != "" && name != own:
		return errOther
	case name != "":
		return nil
	}
	l.mu.Lock()
	addresses := l.addresses
	l.mu.Unlock()
	if len(addresses) == 0 {
		addresses = []string{q.RemoteAddr().String()}
	}
	return l.transport.config.Trust.Vouches(q.ConnectionState().TLS, addresses)
}

// errOther is the error of a certificate that belongs to another member.
var errOther = errors.New("the certificate belongs to another member")

// setAddresses sets the peer's addresses. It cancels a dial to an old address.
func (l *link) setAddresses(addresses []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if slices.Equal(l.addresses, addresses) {
		return
	}
	l.addresses, l.moved = slices.Clone(addresses), true
	if l.dialling != nil && l.choice.inUse == nil {
		l.dialling()
	}
	l.change()
}

// hasAddress reports whether an address is the peer's: members dial from the port on which they listen.
func (l *link) hasAddress(address net.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Contains(l.addresses, address.String())
}

// onEnd calls f once ctx has ended, unless stop is called before. stop waits for f, and must be called once.
func onEnd(ctx context.Context, f func()) (stop func()) {
	called := make(chan struct{})
	prevent := context.AfterFunc(ctx, func() {
		defer close(called)
		f()
	})
	return func() {
		if !prevent() {
			<-called
		}
	}
}

// traffic counts frames and bytes in one direction.
type traffic struct{ frames, bytes atomic.Uint64 }

func (t *traffic) add(frames, bytes int) {
	t.frames.Add(uint64(frames))
	t.bytes.Add(uint64(bytes))
}

// refuse closes a connection with a refusal.
func refuse(q *quic.Conn, no *peerframe.Refusal) {
	closeQUIC(q, quic.ApplicationErrorCode(no.Code), no.Text)
}

// run is the link's goroutine.
func (l *link) run(ctx context.Context) {
	for ctx.Err() == nil {
		if c := l.inUse(); c != nil {
			l.serve(ctx, c)
			continue
		}
		l.pause(ctx)
		if ctx.Err() == nil {
			l.dial(ctx)
		}
	}
	l.mu.Lock()
	c := l.choice.inUse // a connection that came into use and was not served; no other can come into use after this
	l.choice.inUse = nil
	l.mu.Unlock()
	if c != nil {
		l.leave(c)
	}
}

// leave closes a connection because the link ends.
func (l *link) leave(c *conn) {
	if context.Cause(l.ctx) != errNoPeer {
		c.close(closeStopping, "the member is shutting down")
		return
	}
	refuse(c.quic, l.transport.stranger(l.name(), l.id))
}

func (l *link) inUse() *conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.choice.inUse
}

// pause waits until it is time to dial, or until the peer's dial has brought a connection into use.
func (l *link) pause(ctx context.Context) {
	until := time.Now().Add(l.delay())
	for l.inUse() == nil {
		if l.takeMoved() {
			l.failures = 0
			return
		}
		l.mu.Lock()
		if l.notBefore.After(until) {
			until = l.notBefore
		}
		l.mu.Unlock()
		wait := time.Until(until)
		if wait <= 0 {
			return
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-l.changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// takeMoved reports whether new addresses were set, and makes the next dial begin with them.
func (l *link) takeMoved() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	moved := l.moved
	if moved {
		l.moved, l.notBefore = false, time.Time{}
	}
	return moved
}

const (
	// peerStable is how long a connection must last to reset the backoff of its dials.
	peerStable = time.Second
	// peerRefusedPause and peerRefusedPauseMost bound the backoff of both sides after a refusal: its cause rarely ends quickly.
	peerRefusedPause     = 2 * time.Second
	peerRefusedPauseMost = 4 * time.Second
)

// delay returns the backoff before the next dial: half of it is fixed, half is random jitter, which keeps many links from dialling
// at the same time.
func (l *link) delay() time.Duration {
	if l.failures == 0 {
		return 0
	}
	d := min(peerDialPause<<min(l.failures-1, 10), peerDialPauseMost)
	l.mu.Lock()
	defer l.mu.Unlock()
	return d/2 + time.Duration(l.jitter.Int64N(int64(d/2)))
}

func (l *link) change() {
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// dial tries once to bring a connection into use, unless one is in use.
func (l *link) dial(all context.Context) {
	ctx, cancel := context.WithTimeout(all, peerDialTimeout)
	defer cancel()
	l.mu.Lock()
	if l.choice.inUse != nil {
		l.mu.Unlock()
		return // it came after run looked, when there was no dial to end
	}
	l.dialling = cancel
	addresses := l.addresses
	l.mu.Unlock()
	err := l.try(ctx, addresses)
	l.mu.Lock()
	l.dialling = nil
	moved := l.moved
	l.mu.Unlock()
	l.failures++
	switch {
	case err == nil || moved || l.inUse() != nil:
		return
	// a starting member first reads the others' addresses from its log
	case errors.Is(err, errNoAddress) && l.failures < 5:
		return
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		err = fmt.Errorf("timeout: no connection and handshake within %v", peerDialTimeout)
	}
	l.failed("cannot connect to a peer", err)
}

// try dials and sends the handshake. Each attempt takes the next address.
func (l *link) try(ctx context.Context, addresses []string) error {
	t := l.transport
	if len(addresses) == 0 {
		return errNoAddress
	}
	address := addresses[l.failures%len(addresses)]
	at, err := resolve(ctx, address, l.failures/len(addresses))
	if err != nil {
		return err
	}
	q, err := t.quic.Dial(ctx, at, t.config.Trust.Dial(wire.ProtocolPeer, l.name(), address), dialConfig)
	if err != nil {
		return err
	}
	c := newConn(l, q)
	mine := l.handshake(0, peerframe.Mark{})
	l.mu.Lock()
	dial := t.dials.Add(1)
	seen, ok := l.choice.propose(c, dial)
	l.mu.Unlock()
	if !ok {
		c.close(closeSuperseded, "another connection is in use")
		return nil
	}
	stop := onEnd(ctx, func() {
		if l.ctx.Err() != nil {
			l.leave(c)
		} else {
			c.close(closeStopping, "timeout")
		}
	})
	defer stop()
	mine.Dial, mine.Seen = dial, seen
	return l.introduce(c, mine)
}

// handshake returns this member's first handshake on a connection to the peer. It is called without the link's lock.
func (l *link) handshake(dial uint64, seen peerframe.Mark) *peerframe.Handshake {
	t := l.transport
	return &peerframe.Handshake{
		Cluster: t.config.Cluster, From: t.config.Member, To: l.id, Dial: dial, Seen: seen, MemberIdentity: t.handler.Identity(),
	}
}

// introduce sends a handshake on a connection that this member dialled, and judges the answer.
func (l *link) introduce(c *conn, mine *peerframe.Handshake) error {
	theirs, stream, err := exchange(c.quic, mine)
	if err == nil {
		err = l.judge(&theirs)
	}
	c.identity = theirs.MemberIdentity
	l.mu.Lock()
	var late bool
	if err == nil {
		late = !l.choice.confirm(c, theirs.Process)
	} else {
		l.choice.end(c)
	}
	l.mu.Unlock()
	switch no, refused := errors.AsType[*peerframe.Refusal](err); {
	case refused:
		refuse(c.quic, no)
	case err != nil:
		c.close(closeBroken, err.Error())
	case late:
		c.close(closeSuperseded, "another connection is in use")
	default:
		_ = stream.Close() // this confirms the connection; an error belongs to the connection, and appears there
		close(c.established)
	}
	return err
}

// exchange sends a handshake on a new stream and reads the answer.
func exchange(q *quic.Conn, mine *peerframe.Handshake) (theirs peerframe.Handshake, stream *quic.Stream, err error) {
	if stream, err = q.OpenStream(); err != nil {
		return peerframe.Handshake{}, nil, err
	}
	_ = stream.SetDeadline(time.Now().Add(peerHandshakeTimeout)) // cannot fail
	if err = writeHandshake(stream, mine); err == nil {
		theirs, err = readHandshake(stream)
	}
	return theirs, stream, err
}

// judge returns a refusal if this member must not work with the sender of a handshake.
func (l *link) judge(theirs *peerframe.Handshake) error {
	t := l.transport
	err := theirs.CheckCluster(t.config.Cluster)
	if err == nil {
		err = theirs.CheckMembers(t.config.Member, l.id)
	}
	if err == nil && l.ctx.Err() != nil {
		err = t.stranger(l.name(), l.id)
	}
	if err == nil {
		err = t.handler.Admit(l.id, theirs.MemberIdentity)
	}
	return asRefusal(err)
}

// asRefusal converts an error to a refusal for the other side.
func asRefusal(err error) error {
	if _, ok := errors.AsType[*peerframe.Refusal](err); err != nil && !ok {
		return &peerframe.Refusal{Code: peerframe.Refused, Text: err.Error()}
	}
	return err
}

// acceptDialled decides about a connection that the peer dialled, after its handshake was admitted. It reports whether the connection
// came into use; after the end of the link none does.
func (l *link) acceptDialled(c *conn, theirs *peerframe.Handshake) bool {
	l.mu.Lock()
	if l.ctx.Err() != nil {
		l.mu.Unlock()
		l.leave(c)
		return false
	}
	other, ok := l.choice.accept(c, theirs.Mark(), theirs.Seen)
	if ok && l.dialling != nil {
		l.dialling()
	}
	l.mu.Unlock()
	if ok {
		l.change()
	} else {
		other = c
	}
	if other != nil {
		other.close(closeSuperseded, "another connection is in use")
	}
	return ok
}

// serve runs a connection until it ends, once both sides have admitted each other.
func (l *link) serve(ctx context.Context, c *conn) {
	stop := onEnd(ctx, func() { l.leave(c) })
	select {
	case <-c.established:
		if ctx.Err() != nil {
			break // the handler was not notified of it, and will not be
		}
		l.out.Store(c)
		l.connected(c)
		l.transport.all.Go(func() { l.probeAlive(ctx, c) })
		l.transport.handler.Connected(l.id)
		c.run()
		l.out.Store(nil)
		l.transport.handler.Disconnected(l.id)
	case <-c.quic.Context().Done():
	}
	stop()
	l.mu.Lock()
	l.choice.end(c)
	l.mu.Unlock()
	if time.Since(c.since) >= peerStable {
		l.failures = 0
	}
	l.failures++
	l.failed("lost the connection to a peer", context.Cause(c.quic.Context()))
}

func (l *link) connected(c *conn) {
	l.mu.Lock()
	l.lastErr = ""
	l.mu.Unlock()
	l.transport.log.Info("connected "+l.name(), "connected to a peer", "peer", l.name(), "dialled", c.mine, "address", c.quic.RemoteAddr().String())
}

// failed logs why a dial or a connection failed, and tells the handler of a refusal, unless the link ends.
func (l *link) failed(what string, err error) {
	if l.ctx.Err() != nil {
		return
	}
	ended, byThem := errors.AsType[*quic.ApplicationError](err)
	byThem = byThem && ended.Remote
	_, refused := errors.AsType[*peerframe.Refusal](err)
	explained := wire.Explain(err)
	_, trust := errors.AsType[*wire.TrustError](explained)
	switch {
	case l.ordinary(err):
		return
	case byThem && peerframe.RefusalCode(ended.ErrorCode).Known():
		what, explained = "a peer refused this member", errors.New(ended.ErrorMessage)
		l.transport.handler.Refused(l.id, peerframe.Refusal{Code: peerframe.RefusalCode(ended.ErrorCode), Text: ended.ErrorMessage})
		l.wait()
	case byThem:
		explained = fmt.Errorf("it closed the connection: %s", ended.ErrorMessage)
	case refused:
		what = "refused a peer"
		l.wait()
	case trust:
		if wire.RefusedCertificate(err) {
			l.transport.handler.Distrusted(l.id, explained.Error())
		}
		l.wait()
	default:
		explained = plain(explained)
	}
	l.problem(what, explained)
}

// ordinary reports whether a connection ended normally: another one is in use, or the peer stops or was restarted. Such an end is
// not a problem of this link, and gets at most an info line.
func (l *link) ordinary(err error) bool {
	ended, closed := errors.AsType[*quic.ApplicationError](err)
	_, restarted := errors.AsType[*quic.StatelessResetError](err)
	why := "the peer was restarted, or dropped the connection"
	switch {
	case closed && ended.ErrorCode == closeSuperseded:
		return true
	case closed && ended.Remote && ended.ErrorCode == closeStopping:
		why = "the peer is shutting down"
	case !restarted:
		return false
	}
	l.note("a peer's connection ended", why)
	return true
}

// note records and logs a normal end.
func (l *link) note(what, why string) {
	l.mu.Lock()
	if l.choice.inUse == nil {
		l.lastErr, l.untrusted = what+": "+why, false
	}
	l.mu.Unlock()
	l.transport.log.Info(what+" "+l.name(), what, "peer", l.name(), "because", why)
}

// plain explains the library's errors about silence.
func plain(err error) error {
	if _, ok := errors.AsType[*quic.IdleTimeoutError](err); ok {
		return errors.New("timeout: the peer is not running, or UDP packets are blocked")
	}
	if _, ok := errors.AsType[*quic.HandshakeTimeoutError](err); ok {
		return errors.New("handshake timeout: one of the two hosts is overloaded, or UDP packets are lost")
	}
	return err
}

// problem records and logs a failure.
func (l *link) problem(what string, err error) {
	l.mu.Lock()
	if l.choice.inUse == nil {
		l.lastErr = what + ": " + err.Error()
		_, trust := errors.AsType[*wire.TrustError](err)
		l.untrusted = trust && !errors.Is(err, wire.OtherPort)
	}
	addresses := l.addresses
	l.mu.Unlock()
	l.transport.log.Warn(what+" "+l.name(), what, "peer", l.name(), "addresses", addresses, "error", err)
}

// wait delays the next dial by some seconds.
func (l *link) wait() {
	l.mu.Lock()
	l.notBefore = time.Now().Add(peerRefusedPause + time.Duration(l.jitter.Int64N(int64(peerRefusedPauseMost-peerRefusedPause))))
	l.mu.Unlock()
	l.change()
}

// resolve looks up a peer's address for each dial: names may change their address. If a name has several addresses, each attempt
// takes the next.
func resolve(ctx context.Context, address string, attempt int) (*net.UDPAddr, error) {
	if at, err := netip.ParseAddrPort(address); err == nil {
		return net.UDPAddrFromAddrPort(at), nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("the peer's address %q is not HOST:PORT: %w", address, err)
	}
	number, err := net.DefaultResolver.LookupPort(ctx, "udp", port)
	if err != nil {
		return nil, fmt.Errorf("the port of the peer's address %q: %w", address, err)
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("the host of the peer's address %q: %w", address, err)
	}
	return net.UDPAddrFromAddrPort(netip.AddrPortFrom(found[attempt%len(found)].Unmap(), uint16(number))), nil
}
