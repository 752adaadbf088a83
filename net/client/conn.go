package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/wire"
)

// The streams of a connection. The bulk stream carries the reads whose answers may be large: other answers do not wait behind those
// (head-of-line blocking). It carries keep-alives and health questions, too, and no writes: a member whose mailbox is full does not read
// the requests behind a write. The answer to a write comes on the small stream, even if it is large.
const (
	smallStream = iota
	bulkStream
	streamsOfConn
)

// errDone is the reason for closing a connection that is not needed any more.
var errDone = errors.New("another connection is in use")

// conn is a connection to one member, over its own UDP socket. A new connection has a new port: stale state for the old port in the
// network (firewalls, address translation) does not affect it.
type conn struct {
	// Constant.
	link     *link
	endpoint string
	member   kv.Status // as it was when the connection began
	qc       *quic.Conn
	under    *quic.Transport
	socket   *net.UDPConn
	streams  [streamsOfConn]*stream

	// The keeper's.
	silence silence

	health health
	logIns logIns

	// Shared.
	retired atomic.Bool // takes no new calls
	avoided atomic.Bool // retired because its member could not serve: the fallback if no other member can be reached
	failed  atomic.Bool // it is over; it is retired too
}

const (
	// statusesTold bounds the unsolicited statuses in flight to one client. endpointsTold bounds the endpoints that a member can announce
	// to a client: far more than a cluster has, and all are dialled within some seconds.
	statusesTold  = 4
	endpointsTold = 64
	// clientKeepAlive is the interval of a client's packets: two may be lost within limits.ClientIdleTimeout.
	clientKeepAlive = 5 * time.Second
)

func quicConfig() *quic.Config {
	return &quic.Config{
		InitialPacketSize:              limits.PacketLeast,
		EnableDatagrams:                true, // for wire.Route
		HandshakeIdleTimeout:           handshakeTimeout,
		MaxIdleTimeout:                 limits.ClientIdleTimeout,
		KeepAlivePeriod:                clientKeepAlive,
		InitialStreamReceiveWindow:     limits.ClientStreamWindow,
		MaxStreamReceiveWindow:         limits.ClientStreamWindow,
		InitialConnectionReceiveWindow: limits.ClientConnectionWindow,
		MaxConnectionReceiveWindow:     limits.ClientConnectionWindow,
		MaxIncomingStreams:             -1,
		MaxIncomingUniStreams:          statusesTold,
	}
}

// open makes a connection to one address. It succeeds only after an answer of the member: the handshake ends before the member has
// checked the client's certificate.
func (l *link) open(ctx context.Context, endpoint string, addr *net.UDPAddr) (*conn, error) {
	network := "udp6"
	if addr.IP.To4() != nil {
		network = "udp4"
	}
	socket, err := net.ListenUDP(network, nil)
	if err != nil {
		return nil, err
	}
	k := &conn{link: l, endpoint: endpoint, socket: socket, under: &quic.Transport{Conn: wire.Socket(socket)}}
	var config *tls.Config = l.config.TLS
	if k.qc, err = k.under.Dial(ctx, addr, config, quicConfig()); err != nil {
		k.release()
		return nil, wire.Explain(err)
	}
	for i := range k.streams {
		qs, err := k.qc.OpenStream()
		if err != nil {
			k.hangUp(wire.CloseDone, "")
			return nil, fmt.Errorf("open a stream: %w", err)
		}
		k.streams[i] = &stream{conn: k, qs: qs, wake: make(chan struct{}, 1), frames: wire.NewFrameReader(qs, limits.ResponseBytes)}
	}
	for _, s := range k.streams {
		l.start(s.read)
		l.start(s.write)
	}
	l.start(k.listen)
	route := wire.NewRoute(k.qc)
	l.start(route.Answer)
	l.start(func() {
		if err := route.Watch(clientKeepAlive, nil); err != nil { // a client leaves a server that hears nothing, too
			k.fail(err)
		}
	})
	if err := k.askMember(ctx); err != nil {
		k.fail(errDone)
		return nil, wire.Explain(err)
	}
	return k, nil
}

// askMember asks the member for its status.
func (k *conn) askMember(ctx context.Context) error {
	x := k.link.newCall(ctx, wire.OpStatus)
	status, err := k.status(ctx, x)
	k.member = status
	return err
}

// status asks for the status on this connection only.
func (k *conn) status(ctx context.Context, x *call) (status kv.Status, err error) {
	err = k.ask(ctx, x, func(p *wire.Response) error {
		status, err = wire.ReadAnswer[kv.Status](p)
		return err
	})
	return status, err
}

// ask sends a call once, on this connection only, and reads its answer with read.
func (k *conn) ask(ctx context.Context, x *call, read func(p *wire.Response) error) error {
	x.attempts = attemptsLast
	if !k.send(x) {
		x.recycle()
		return errDone
	}
	select {
	case <-x.ready:
	case <-ctx.Done():
		if x.abandon() != over {
			return context.Cause(ctx)
		}
		<-x.ready
	}
	defer x.recycle()
	if x.err != nil {
		return x.err
	}
	p, err := wire.ReadResponse(x.answer)
	if err != nil {
		return err
	}
	return read(&p)
}

// attemptsLast is the number of attempts of a call that is not retried.
const attemptsLast = 1 << 20

// send puts a call into the next write. It returns false if the connection takes no calls, or has reached its limit; the caller
// then still owns the call.
func (k *conn) send(x *call) bool {
	if k.retired.Load() {
		return false
	}
	if x.bulk || x.op.AsksClock() { // the bulk stream has no writes that it would wait for
		return k.streams[bulkStream].send(x)
	}
	return k.streams[smallStream].send(x)
}

// broken reports whether the connection, or a stream of it, is over.
func (k *conn) broken() bool {
	return k.failed.Load() || slices.ContainsFunc(k.streams[:], (*stream).ended)
}

// retire makes the connection finish its requests, and take no new ones.
func (k *conn) retire(why error) {
	if k.retired.Swap(true) {
		return
	}
	k.link.config.Logger.Debug("switching to another member", "endpoint", k.endpoint, "reason", why)
	k.link.replace(k)
}

// moveCalls sends the requests under way again, elsewhere: all except writes without a name.
func (k *conn) moveCalls(err error) {
	for _, s := range k.streams {
		for _, x := range s.takeRepeatable() {
			k.link.doubts(x, k, err)
		}
	}
}

// fail ends the connection and all requests under way on it.
func (k *conn) fail(err error) {
	if k.failed.Swap(true) {
		return
	}
	k.retired.Store(true)
	l := k.link
	l.mu.Lock()
	delete(l.conns, k)
	l.mu.Unlock()
	if !errors.Is(err, errDone) && !errors.Is(err, ErrClosed) {
		l.note(k.endpoint, err)
		l.config.Logger.Debug("connection lost", "endpoint", k.endpoint, "reason", err)
	}
	l.replace(k)
	code := wire.CloseDone
	if errors.Is(err, wire.ErrFrame) {
		code = wire.CloseProtocol
	}
	for _, s := range k.streams {
		s.fail(err)
	}
	k.hangUp(code, err.Error())
}

// hangUp closes the connection and its socket.
func (k *conn) hangUp(code wire.CloseCode, reason string) {
	_ = k.qc.CloseWithError(quic.ApplicationErrorCode(code), reason)
	k.release()
}

func (k *conn) release() {
	_ = k.under.Close()
	_ = k.socket.Close()
}
