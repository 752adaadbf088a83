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

	"qkv/internal/limits"
	"qkv/net/wire"
	"qkv/net/wire/peerframe"
)

// ticket counts a connection that did not say who it is yet, from its first packet until its handshake was judged.
type ticket struct {
	transport *Transport
	from      net.Addr
	given     atomic.Bool // back
	met       atomic.Bool // the handshake was completed
}

type ticketKey struct{}

// meet is called for the first packet of a connection, before any cryptography. It bounds how many may be in this state
// at once, and hears how those end that never get through the handshake.
func (t *Transport) meet(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
	if err := t.handshakes.Begin(info.RemoteAddr); err != nil {
		t.log.warn("handshakes of "+host(info.RemoteAddr), "turned away a connection to the peers' port", "address", info.RemoteAddr.String(), "because", err.Error())
		return nil, err
	}
	k := &ticket{transport: t, from: info.RemoteAddr}
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
		k.transport.handshakes.End(k.from)
	}
}

// unmet tells of a connection that ended within the handshake.
func (t *Transport) unmet(from net.Addr, cause error) {
	err := wire.Explain(cause)
	if _, silent := errors.AsType[*quic.IdleTimeoutError](err); silent {
		if t.connectedTo(from) {
			return // a peer that has dialled before this member listened, and was dialled then
		}
		err = errors.New("it went silent in the handshake: no member or client of qkv, or UDP packets get lost")
	}
	t.turnedAway(host(from), from, err)
}

// connectedTo tells whether an address is the other end of a connection that is in use.
func (t *Transport) connectedTo(address net.Addr) bool {
	for _, l := range *t.links.Load() {
		if c := l.out.Load(); c != nil && c.quic.RemoteAddr().String() == address.String() {
			return true
		}
	}
	return false
}

// turnedAway tells of a connection that came to nothing before it was known whose it is, unless that is as it should be: one
// of the two ends, or both have dialled and the other connection is in use. Who closes within the handshake cannot say why (RFC 9000,
// section 10.2.3), and is who dialled: what is wrong, if anything is, it says itself.
func (t *Transport) turnedAway(who string, from net.Addr, err error) {
	ended, closed := errors.AsType[*quic.ApplicationError](err)
	gone, early := errors.AsType[*quic.TransportError](err)
	if closed && (ended.ErrorCode == closeSuperseded || ended.ErrorCode == closeStopping) ||
		early && gone.Remote && gone.ErrorCode == quic.ApplicationErrorErrorCode ||
		errors.Is(err, quic.ErrTransportClosed) || errors.Is(err, context.Canceled) {
		return
	}
	t.log.warn("turned away "+who, "refused a connection to the peers' port", "address", from.String(), "error", err)
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
			t.judgeNew(q)
		})
	}
}

// judgeNew hears who a new connection is from and what it wants.
func (t *Transport) judgeNew(q *quic.Conn) {
	var l *link
	name, err := t.nameOf(q)
	switch {
	case err != nil:
	case q.ConnectionState().TLS.NegotiatedProtocol == wire.ProtocolJoin:
		err = t.answerJoin(name, q)
	default:
		l, err = t.hear(name, q)
	}
	if err == nil {
		return
	}
	if no, ok := errors.AsType[*peerframe.Refusal](err); ok {
		refuse(q, no)
	} else {
		closeQUIC(q, closeBroken, err.Error())
	}
	switch {
	case l != nil:
		l.failed("a peer's connection came to nothing", err)
	case name != "":
		t.turnedAway(name, q.RemoteAddr(), fmt.Errorf("the member %q: %w", name, err))
	default:
		t.turnedAway(host(q.RemoteAddr()), q.RemoteAddr(), err)
	}
}

// nameOf returns the name of the member whose certificate was shown; none where it names nobody.
func (t *Transport) nameOf(q *quic.Conn) (string, error) {
	name, err := t.config.Trust.NameIn(q.ConnectionState().TLS)
	if err == nil && name == t.config.Name {
		err = fmt.Errorf("%q is this member's own name: two processes use one certificate, or a member's address leads to itself", name)
	}
	return name, asRefusal(err)
}

// stranger returns what one is told that is no peer.
func (t *Transport) stranger(name string, id uint64) *peerframe.Refusal {
	if no := t.handler.Stranger(name, id); no != nil {
		return no
	}
	return &peerframe.Refusal{
		Code: peerframe.Refused,
		Text: fmt.Sprintf("the member %q with the id %016x is not among the members of the cluster that %q knows", name, id, t.config.Name),
	}
}

// hear reads a handshake, finds the link of the member that it is from, judges it, and answers it when the connection
// comes into use. There is no link where the member is none that is known.
func (t *Transport) hear(name string, q *quic.Conn) (*link, error) {
	ctx, cancel := context.WithTimeout(q.Context(), limits.PeerHandshakeTimeout)
	defer cancel()
	stream, err := q.AcceptStream(ctx)
	if err != nil {
		return nil, fmt.Errorf("it sent no handshake: %w", err)
	}
	_ = stream.SetDeadline(time.Now().Add(limits.PeerHandshakeTimeout)) // cannot fail
	theirs, err := readHandshake(stream)
	if err != nil {
		return nil, err
	}
	l, err := t.linkOf(theirs.From, name, q)
	if err == errOther {
		if err := theirs.CheckCluster(t.config.Cluster); err != nil {
			return nil, asRefusal(err)
		}
		no := t.stranger(name, theirs.From)
		if l, err = t.linkOf(theirs.From, name, q); err == errOther { // it may be a peer by now
			return nil, no
		}
	}
	if err != nil {
		return l, asRefusal(err)
	}
	err = l.rival(ctx, q, &theirs)
	if err == nil {
		err = l.judge(&theirs)
	}
	if err != nil {
		return l, err
	}
	answer := l.handshake(0, peerframe.Mark{})
	if c := newConn(l, q, q.RemoteAddr().String()); l.welcome(c, &theirs) {
		c.establish(stream, answer)
	}
	return l, nil
}

// linkOf returns the link of the member that says to have an id, and why it cannot be that one; errOther when there is none.
func (t *Transport) linkOf(id uint64, name string, q *quic.Conn) (*link, error) {
	l := (*t.links.Load())[id]
	if l == nil {
		return nil, errOther
	}
	return l, l.is(name, q)
}

// establish answers a handshake and waits for the other side's last word. If that does not come, the connection ends, and
// its link tells why.
func (c *conn) establish(stream *quic.Stream, answer *peerframe.Handshake) {
	err := writeHandshake(stream, answer)
	if err == nil {
		_, err = stream.Read(make([]byte, 1))
	}
	if err != io.EOF {
		c.close(closeBroken, "it did not take the answer to its handshake")
		return
	}
	_ = stream.Close() // an error is the connection's, and shows there
	close(c.established)
}
