package peer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"qkv/net/wire"
	"qkv/net/wire/peerframe"
)

// ticket counts an unauthenticated connection, from its first packet until its handshake was judged.
type ticket struct {
	transport *Transport
	from      net.Addr
	returned  atomic.Bool // the ticket was returned
	completed atomic.Bool // the handshake was completed
}

type ticketKey struct{}

// beginHandshake is called for the first packet of a connection, before any cryptography. It limits the number of unauthenticated
// connections, and observes the connections that end without a handshake.
func (t *Transport) beginHandshake(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
	if err := t.handshakes.Begin(info.RemoteAddr); err != nil {
		t.log.Warn("handshakes of "+host(info.RemoteAddr), "too many handshakes: rejected a connection to the peer port", "address", info.RemoteAddr.String(), "because", err.Error())
		return nil, err
	}
	k := &ticket{transport: t, from: info.RemoteAddr}
	context.AfterFunc(ctx, func() {
		k.release()
		if !k.completed.Load() {
			t.logUnfinished(info.RemoteAddr, context.Cause(ctx))
		}
	})
	return context.WithValue(ctx, ticketKey{}, k), nil
}

// release returns the ticket. It may be called again.
func (k *ticket) release() {
	if k.returned.CompareAndSwap(false, true) {
		k.transport.handshakes.End(k.from)
	}
}

// logUnfinished logs a connection that ended within the handshake.
func (t *Transport) logUnfinished(from net.Addr, cause error) {
	err := wire.Explain(cause)
	if wire.RefusedCertificate(cause) {
		for id, l := range *t.links.Load() {
			if l.hasAddress(from) {
				t.handler.Distrusted(id, err.Error())
			}
		}
	}
	if _, silent := errors.AsType[*quic.IdleTimeoutError](err); silent {
		if t.connectedTo(from) {
			return // a peer that dialled before this member listened, and was dialled since
		}
		err = errors.New("timeout in the handshake: the remote end is not qkv, or UDP packets are lost")
	}
	t.logRejected(host(from), from, err)
}

// connectedTo reports whether an address is the other end of a connection that is in use.
func (t *Transport) connectedTo(address net.Addr) bool {
	for _, l := range *t.links.Load() {
		if c := l.out.Load(); c != nil && c.quic.RemoteAddr().String() == address.String() {
			return true
		}
	}
	return false
}

// logRejected logs a connection that ended before its peer was known. Normal ends are not logged: one of the two sides stops, or
// both have dialled and the other connection is in use. A side that closes within the handshake is the dialling side and cannot
// send a reason (RFC 9000, section 10.2.3): it logs any problem itself. A member that has to ask again is no problem, either.
func (t *Transport) logRejected(who string, from net.Addr, err error) {
	ended, closed := errors.AsType[*quic.ApplicationError](err)
	gone, early := errors.AsType[*quic.TransportError](err)
	if closed && (ended.ErrorCode == closeSuperseded || ended.ErrorCode == closeStopping) ||
		early && gone.Remote && gone.ErrorCode == quic.ApplicationErrorErrorCode ||
		errors.Is(err, quic.ErrTransportClosed) || errors.Is(err, context.Canceled) {
		return
	}
	if no, refused := errors.AsType[*peerframe.Refusal](err); refused && no.Code == peerframe.Behind {
		t.log.Info("later "+who, "a member has to ask again", "address", from.String(), "reason", err)
		return
	}
	t.log.Warn("turned away "+who, "refused a connection to the peer port", "address", from.String(), "error", err)
}

// host returns an address without its port, which changes with each attempt.
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
				t.config.Logger.Error("peers can no longer connect to this member: its UDP socket failed; restart this member", "error", err)
			}
			return
		}
		k := q.Context().Value(ticketKey{}).(*ticket)
		k.completed.Store(true)
		t.all.Go(func() {
			defer k.release()
			stop := context.AfterFunc(ctx, func() { closeQUIC(q, closeStopping, "the member is shutting down") })
			defer stop()
			t.judgeNew(q)
		})
	}
}

// judgeNew determines the peer and the purpose of a new connection.
func (t *Transport) judgeNew(q *quic.Conn) {
	var l *link
	name, err := t.nameOf(q)
	protocol := q.ConnectionState().TLS.NegotiatedProtocol
	if protocol != wire.ProtocolPart {
		select {
		case <-t.open:
		case <-q.Context().Done():
			return
		}
	}
	switch {
	case err != nil:
	case protocol == wire.ProtocolJoin:
		err = t.answerJoin(name, q)
	case protocol == wire.ProtocolPart:
		err = t.answerPart(name, q)
	default:
		l, err = t.acceptPeer(name, q)
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
		l.failed("a connection from a peer failed", err)
	case name != "":
		t.logRejected(name, q.RemoteAddr(), fmt.Errorf("the member %q: %w", name, err))
	default:
		t.logRejected(host(q.RemoteAddr()), q.RemoteAddr(), err)
	}
}

// nameOf returns the member's name in the shown certificate; empty if the certificate names no member.
func (t *Transport) nameOf(q *quic.Conn) (string, error) {
	name, err := t.config.Trust.NameIn(q.ConnectionState().TLS)
	if err == nil && name == t.config.Name {
		err = fmt.Errorf("%q is the answering member's own name: two members have one --name, or a member's address points to itself", name)
	}
	return name, asRefusal(err)
}

// stranger returns the refusal for a member that is not a peer.
func (t *Transport) stranger(name string, id uint64) *peerframe.Refusal {
	if no := t.handler.Stranger(name, id); no != nil {
		return no
	}
	return &peerframe.Refusal{
		Code: peerframe.Refused,
		Text: fmt.Sprintf("member %q with ID %016x is not in the member list of %q", name, id, t.config.Name),
	}
}

// acceptPeer reads a handshake, finds the link of its sender and judges it. If the connection comes into use, it answers the handshake.
// The link is nil if the sender is unknown.
func (t *Transport) acceptPeer(name string, q *quic.Conn) (*link, error) {
	ctx, cancel := context.WithTimeout(q.Context(), peerHandshakeTimeout)
	defer cancel()
	stream, err := q.AcceptStream(ctx)
	if err != nil {
		return nil, fmt.Errorf("no handshake was received: %w", err)
	}
	_ = stream.SetDeadline(time.Now().Add(peerHandshakeTimeout)) // cannot fail
	theirs, err := readHandshake(stream)
	if err != nil {
		return nil, err
	}
	l, err := t.linkOf(theirs.From, name, q)
	if err == errOther {
		if err := theirs.CheckCluster(t.config.Cluster); err != nil {
			t.handler.TurnedAway(cmp.Or(name, "the member at "+host(q.RemoteAddr())), err.Error())
			return nil, asRefusal(err)
		}
		no := t.stranger(name, theirs.From)
		if l, err = t.linkOf(theirs.From, name, q); err == errOther { // Stranger may have made it a peer
			return nil, no
		}
	}
	if err != nil {
		return l, asRefusal(err)
	}
	err = l.refuseSecondProcess(ctx, q, &theirs)
	if err == nil {
		err = l.judge(&theirs)
	}
	if err != nil {
		return l, err
	}
	answer := l.handshake(0, peerframe.Mark{})
	c := newConn(l, q)
	if c.identity = theirs.MemberIdentity; l.acceptDialled(c, &theirs) {
		c.establish(stream, answer)
	}
	return l, nil
}

// linkOf returns the link of the member with the claimed id, or an error if the connection cannot be from that member; errOther if
// there is no such link.
func (t *Transport) linkOf(id uint64, name string, q *quic.Conn) (*link, error) {
	l := (*t.links.Load())[id]
	if l == nil {
		return nil, errOther
	}
	return l, l.checkCertificate(name, q)
}

// establish answers a handshake and waits until the other side has ended its side of the stream. If that fails, the connection
// ends, and its link reports the reason.
func (c *conn) establish(stream *quic.Stream, answer *peerframe.Handshake) {
	err := writeHandshake(stream, answer)
	if err == nil {
		_, err = stream.Read(make([]byte, 1))
	}
	if err != io.EOF {
		c.close(closeBroken, "the answer to the handshake was not read")
		return
	}
	_ = stream.Close() // an error belongs to the connection, and appears there
	close(c.established)
}
