package peer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"qkv/net/wire"
)

const (
	// dialFirst and dialMost are how long to wait before dialling again, at first and at most.
	dialFirst = 50 * time.Millisecond
	dialMost  = time.Second
	// dialWait is how long one dial may take with everything.
	dialWait = 5 * time.Second
	// stable is how long a connection must have lasted to begin with dialFirst again after it.
	stable = time.Second
	// refusedLeast and refusedMost are how long both sides wait after one refused the other: what is wrong is not going
	// to be right in a moment.
	refusedLeast = 2 * time.Second
	refusedMost  = 4 * time.Second
	// helloWait is how long the other side may take for its hello.
	helloWait = 2 * time.Second
)

// link keeps one peer connected. A goroutine of its own dials the peer and serves the connection in use; connections
// that the peer dialled come from the accepting goroutines.
type link struct {
	// Constant.
	transport *Transport
	id        uint64
	name      string
	address   string

	// Owned by the link's goroutine.
	failures int // attempts in a row that came to nothing

	// Shared.
	out      atomic.Pointer[conn] // the connection that is served: where to send
	changed  chan struct{}        // holds a token when a connection came into use or patience was set
	sent     traffic
	received traffic
	dropped  atomic.Uint64

	mu       sync.Mutex
	chance   *rand.Rand
	choice   choice
	dialling context.CancelFunc // ends the dial that is going on
	patience time.Time          // after a refusal: not to be dialled before
	trouble  string             // why it is not connected, or was not last
}

// traffic counts what went one way.
type traffic struct{ frames, bytes atomic.Uint64 }

func (t *traffic) add(frames, bytes int) {
	t.frames.Add(uint64(frames))
	t.bytes.Add(uint64(bytes))
}

// refusal is an error for the other side to read: it is not to be talked to.
type refusal struct{ text string }

func (r *refusal) Error() string { return r.text }

// run is the link's goroutine.
func (l *link) run(ctx context.Context) {
	for ctx.Err() == nil {
		if c := l.inUse(); c != nil {
			l.serve(ctx, c)
			continue
		}
		l.pause(ctx)
		if ctx.Err() == nil && l.inUse() == nil {
			l.dial(ctx)
		}
	}
}

func (l *link) inUse() *conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.choice.inUse
}

// pause waits until it is time to dial, or a connection came into use without.
func (l *link) pause(ctx context.Context) {
	until := time.Now().Add(l.delay())
	for l.inUse() == nil {
		l.mu.Lock()
		if l.patience.After(until) {
			until = l.patience
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

// delay is how long to wait before the next dial: half of it fixed and half by chance, so that many do not move as one.
func (l *link) delay() time.Duration {
	if l.failures == 0 {
		return 0
	}
	d := min(dialFirst<<min(l.failures-1, 10), dialMost)
	l.mu.Lock()
	defer l.mu.Unlock()
	return d/2 + time.Duration(l.chance.Int64N(int64(d/2)))
}

func (l *link) change() {
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// dial tries once to bring a connection into use.
func (l *link) dial(all context.Context) {
	ctx, cancel := context.WithTimeout(all, dialWait)
	defer cancel()
	l.mu.Lock()
	l.dialling = cancel
	l.mu.Unlock()
	err := l.try(ctx)
	l.mu.Lock()
	l.dialling = nil
	l.mu.Unlock()
	l.failures++
	switch {
	case err == nil || all.Err() != nil || l.inUse() != nil:
		return
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		err = fmt.Errorf("it did not come to terms within %v", dialWait)
	}
	l.failed("cannot reach a peer", err)
}

// try dials and says hello.
func (l *link) try(ctx context.Context) error {
	t := l.transport
	address, err := resolve(ctx, l.address, l.failures)
	if err != nil {
		return err
	}
	expected := wire.Identity{Class: wire.ClassMember, Name: l.name}
	q, err := t.quic.Dial(ctx, address, wire.ClientTLS(t.config.Credentials, wire.ProtocolPeer, expected), dialConfig)
	if err != nil {
		return err
	}
	c := newConn(l, q)
	hello := t.config.Hello()
	l.mu.Lock()
	me, seen, ok := l.choice.propose(c)
	l.mu.Unlock()
	if !ok {
		c.close(closeSuperseded, "another connection is in use")
		return nil
	}
	stop := context.AfterFunc(ctx, func() { c.close(closeStopping, "given up") })
	defer stop()
	return l.introduce(c, &greeting{cluster: t.config.Cluster, from: t.config.Member, to: l.id, mark: me, seen: seen, hello: hello})
}

// introduce sends a hello on a connection that I dialled, and judges the answer.
func (l *link) introduce(c *conn, mine *greeting) error {
	theirs, stream, err := exchange(c.quic, mine)
	if err == nil {
		err = l.judge(&theirs)
	}
	l.mu.Lock()
	var late bool
	if err == nil {
		late = !l.choice.confirm(c, theirs.mark.process)
	} else {
		l.choice.end(c)
	}
	l.mu.Unlock()
	switch no, refused := errors.AsType[*refusal](err); {
	case refused:
		c.close(closeRefused, no.text)
	case err != nil:
		c.close(closeBroken, err.Error())
	case late:
		c.close(closeSuperseded, "another connection is in use")
	default:
		_ = stream.Close() // the last word; an error is the connection's, and shows there
		close(c.settled)
	}
	return err
}

// exchange says hello on a new stream and reads the answer.
func exchange(q *quic.Conn, mine *greeting) (theirs greeting, stream *quic.Stream, err error) {
	if stream, err = q.OpenStream(); err != nil {
		return greeting{}, nil, err
	}
	_ = stream.SetDeadline(time.Now().Add(helloWait)) // cannot fail
	if err = writeGreeting(stream, mine); err == nil {
		theirs, err = readGreeting(stream)
	}
	return theirs, stream, err
}

// judge returns a refusal when a hello is not one that this member wants to talk to.
func (l *link) judge(theirs *greeting) error {
	config := &l.transport.config
	err := theirs.check(config.Cluster, config.Member, l.id)
	if err == nil {
		err = config.Admit(l.id, theirs.hello)
	}
	if err != nil {
		return &refusal{err.Error()}
	}
	return nil
}

// welcome decides about a connection that the peer dialled and whose hello was judged well. It says whether the
// connection came into use.
func (l *link) welcome(c *conn, theirs *greeting) bool {
	l.mu.Lock()
	other, ok := l.choice.accept(c, theirs.mark, theirs.seen)
	if ok && l.dialling != nil {
		l.dialling()
	}
	l.mu.Unlock()
	if ok {
		l.change()
	}
	if other != nil {
		other.close(closeSuperseded, "another connection is in use")
	}
	return ok
}

// serve lets a connection do its work, once both sides want it, until it ends.
func (l *link) serve(ctx context.Context, c *conn) {
	stop := context.AfterFunc(ctx, func() { c.close(closeStopping, "the member stops") })
	select {
	case <-c.settled:
		l.out.Store(c)
		l.connected(c)
		l.transport.config.Connected(l.id)
		c.run()
		l.out.Store(nil)
		l.transport.config.Disconnected(l.id)
	case <-c.quic.Context().Done():
	}
	stop()
	l.mu.Lock()
	l.choice.end(c)
	l.mu.Unlock()
	if time.Since(c.since) >= stable {
		l.failures = 0
	}
	l.failures++
	if ctx.Err() == nil {
		l.failed("lost the connection to a peer", context.Cause(c.quic.Context()))
	}
}

func (l *link) connected(c *conn) {
	l.mu.Lock()
	l.trouble = ""
	l.mu.Unlock()
	l.transport.quiet.info("connected "+l.name, "connected to a peer", "peer", l.name, "dialled", c.mine, "address", c.quic.RemoteAddr().String())
}

// failed tells everybody concerned why a dial or a connection came to nothing.
func (l *link) failed(what string, err error) {
	ended, byThem := errors.AsType[*quic.ApplicationError](err)
	byThem = byThem && ended.Remote
	_, refused := errors.AsType[*refusal](err)
	explained := wire.Explain(err)
	_, trust := errors.AsType[*wire.TrustError](explained)
	switch {
	case l.ordinary(err):
		return
	case byThem && ended.ErrorCode == closeRefused:
		what, explained = "a peer refuses this member", errors.New(ended.ErrorMessage)
		l.transport.config.Refused(l.id, ended.ErrorMessage)
		l.wait()
	case byThem:
		explained = fmt.Errorf("it closed the connection: %s", ended.ErrorMessage)
	case refused:
		what = "refused a peer"
		l.wait()
	case trust:
		l.wait()
	default:
		explained = plain(explained)
	}
	l.problem(what, explained)
}

// ordinary tells whether a connection ended as connections do: another one is in use, or the peer stops or was
// restarted. That is no problem of this link's, and worth a quiet line at most.
func (l *link) ordinary(err error) bool {
	ended, closed := errors.AsType[*quic.ApplicationError](err)
	_, restarted := errors.AsType[*quic.StatelessResetError](err)
	why := "it was restarted, or has given the connection up"
	switch {
	case closed && ended.ErrorCode == closeSuperseded:
		return true
	case closed && ended.Remote && ended.ErrorCode == closeStopping:
		why = "it stops"
	case !restarted:
		return false
	}
	l.note("a peer's connection ended", why)
	return true
}

// note remembers and logs what is no fault.
func (l *link) note(what, why string) {
	l.mu.Lock()
	if l.choice.inUse == nil {
		l.trouble = what + ": " + why
	}
	l.mu.Unlock()
	l.transport.quiet.info(what+" "+l.name, what, "peer", l.name, "because", why)
}

// plain says what the library's errors about silence mean.
func plain(err error) error {
	if _, ok := errors.AsType[*quic.IdleTimeoutError](err); ok {
		return errors.New("nothing was heard from it: it does not run, or UDP packets do not get through")
	}
	if _, ok := errors.AsType[*quic.HandshakeTimeoutError](err); ok {
		return errors.New("the handshake took too long: one of the two hosts is overloaded, or UDP packets get lost")
	}
	return err
}

// problem remembers and logs what is wrong.
func (l *link) problem(what string, err error) {
	l.mu.Lock()
	if l.choice.inUse == nil {
		l.trouble = what + ": " + err.Error()
	}
	l.mu.Unlock()
	l.transport.quiet.warn(what+" "+l.name, what, "peer", l.name, "address", l.address, "error", err)
}

// wait makes the next dial wait some seconds.
func (l *link) wait() {
	l.mu.Lock()
	l.patience = time.Now().Add(refusedLeast + time.Duration(l.chance.Int64N(int64(refusedMost-refusedLeast))))
	l.mu.Unlock()
	l.change()
}

// resolve finds a peer's address anew for each dial: names may move. Of several addresses each attempt takes the next.
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
