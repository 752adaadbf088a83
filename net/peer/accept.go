package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"qkv/log/limits"
	"qkv/net/wire"
)

// ticket counts a connection that did not say who it is yet, from its first packet until its hello was judged.
type ticket struct {
	transport *Transport
	given     atomic.Bool // back
	met       atomic.Bool // the handshake was completed
}

type ticketKey struct{}

// meet is called for the first packet of a connection, before any cryptography. It bounds how many may be in this state
// at once, and hears how those end that never get through the handshake.
func (t *Transport) meet(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
	if t.handshakes.Add(1) > limits.PeerHandshakes {
		t.handshakes.Add(-1)
		t.quiet.warn("handshakes", "turned away a connection to the peers' port: too many handshakes are going on",
			"address", info.RemoteAddr.String(), "limit", limits.PeerHandshakes)
		return nil, errors.New("too many handshakes")
	}
	k := &ticket{transport: t}
	context.AfterFunc(ctx, func() {
		k.giveBack()
		if !k.met.Load() {
			t.unmet(info.RemoteAddr, context.Cause(ctx))
		}
	})
	return context.WithValue(ctx, ticketKey{}, k), nil
}

// giveBack may be called again.
func (k *ticket) giveBack() {
	if k.given.CompareAndSwap(false, true) {
		k.transport.handshakes.Add(-1)
	}
}

// unmet tells of a connection that ended within the handshake.
func (t *Transport) unmet(from net.Addr, cause error) {
	if errors.Is(cause, quic.ErrTransportClosed) || errors.Is(cause, context.Canceled) {
		return
	}
	if ended, ok := errors.AsType[*quic.ApplicationError](cause); ok && ended.ErrorCode == closeSuperseded {
		return // both have dialled, and the other connection is in use
	}
	err := wire.Explain(cause)
	if _, silent := errors.AsType[*quic.IdleTimeoutError](err); silent {
		err = errors.New("it went silent in the handshake: no member or client of qkv, or UDP packets get lost")
	}
	t.quiet.warn("unmet "+host(from), "refused a connection to the peers' port", "address", from.String(), "error", err)
}

// host is an address without its port, which changes with each attempt.
func host(address net.Addr) string {
	if udp, ok := address.(*net.UDPAddr); ok {
		return udp.IP.String()
	}
	return address.String()
}

// accept takes connections whose handshake is complete, until the Transport ends.
func (t *Transport) accept(ctx context.Context, listener *quic.Listener) {
	for {
		q, err := listener.Accept(ctx)
		if err != nil {
			if ctx.Err() == nil {
				t.config.Logger.Error("peers cannot connect to this member any more: its socket failed", "error", err)
			}
			return
		}
		k := q.Context().Value(ticketKey{}).(*ticket)
		k.met.Store(true)
		t.all.Go(func() {
			defer k.giveBack()
			stop := context.AfterFunc(ctx, func() { closeQUIC(q, closeStopping, "the member stops") })
			defer stop()
			t.greet(q)
		})
	}
}

// greet hears who a new connection is from, and hands it to its link or refuses it.
func (t *Transport) greet(q *quic.Conn) {
	l, err := t.linkOf(q)
	if err != nil {
		t.turnAway(q, err)
		return
	}
	if err := t.hear(l, q); err != nil {
		if no, ok := errors.AsType[*refusal](err); ok {
			closeQUIC(q, closeRefused, no.text)
		} else {
			closeQUIC(q, closeBroken, err.Error())
		}
		l.failed("a peer's connection came to nothing", err)
	}
}

// linkOf returns the link of the member whose certificate was shown.
func (t *Transport) linkOf(q *quic.Conn) (*link, error) {
	id, err := wire.PeerIdentity(q.ConnectionState().TLS)
	if err != nil {
		return nil, err
	}
	if id.Name == t.config.Name {
		return nil, fmt.Errorf("%q is this member's own name: two processes use one certificate, or a member's address leads to itself", id.Name)
	}
	l := t.names[id.Name]
	if l == nil {
		return nil, fmt.Errorf("the member %q is not in the cluster list of the member %q", id.Name, t.config.Name)
	}
	return l, nil
}

// turnAway refuses a connection of nobody that is known.
func (t *Transport) turnAway(q *quic.Conn, err error) {
	t.quiet.warn("unknown "+host(q.RemoteAddr()), "refused a connection to the peers' port", "address", q.RemoteAddr().String(), "error", err)
	closeQUIC(q, closeRefused, err.Error())
}

// hear reads a peer's hello, judges it, and answers it when the connection comes into use.
func (t *Transport) hear(l *link, q *quic.Conn) error {
	ctx, cancel := context.WithTimeout(q.Context(), helloWait)
	defer cancel()
	stream, err := q.AcceptStream(ctx)
	if err != nil {
		return fmt.Errorf("it did not say hello: %w", err)
	}
	_ = stream.SetDeadline(time.Now().Add(helloWait)) // cannot fail
	theirs, err := readGreeting(stream)
	if err != nil {
		return err
	}
	if err := l.judge(&theirs); err != nil {
		return err
	}
	answer := &greeting{
		cluster: t.config.Cluster, from: t.config.Member, to: l.id,
		mark: mark{process: t.process}, hello: t.config.Hello(),
	}
	c := newConn(l, q)
	if !l.welcome(c, &theirs) {
		c.close(closeSuperseded, "another connection is in use")
		return nil
	}
	c.settle(stream, answer)
	return nil
}

// settle answers a hello and waits for the other side's last word. If that does not come, the connection ends, and
// its link tells why.
func (c *conn) settle(stream *quic.Stream, answer *greeting) {
	err := writeGreeting(stream, answer)
	if err == nil {
		_, err = stream.Read(make([]byte, 1))
	}
	if err != io.EOF {
		c.close(closeBroken, "it did not take the answer to its hello")
		return
	}
	_ = stream.Close() // an error is the connection's, and shows there
	close(c.settled)
}
