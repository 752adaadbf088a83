package server_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/server"
	"qkv/net/server/servertest"
	"qkv/net/wire"
)

// wait is for how long a test waits for what must come.
const wait = 30 * time.Second

// endpoint is a server and what a client needs to misbehave at it.
type endpoint struct {
	trust  servertest.Trust
	member *servertest.Member
	server *server.Server
}

func newEndpoint(t testing.TB, change func(*server.Config)) *endpoint {
	e := &endpoint{trust: servertest.NewTrust(t), member: servertest.NewMember()}
	e.server = servertest.Start(t, e.trust, e.member, change)
	return e
}

// dial makes a connection, from a port of its own.
func (e *endpoint) dial(t testing.TB) (*quic.Conn, error) {
	t.Helper()
	config := wire.ClientTLS(e.trust.Client, wire.ProtocolClient, wire.Identity{Class: wire.ClassMember})
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	conn, err := quic.DialAddr(ctx, servertest.Endpoint(e.server), config, &quic.Config{
		HandshakeIdleTimeout: wait, MaxIdleTimeout: wait, KeepAlivePeriod: 3 * time.Second, InitialStreamReceiveWindow: limits.ClientStreamWindow, MaxStreamReceiveWindow: limits.ClientStreamWindow,
		InitialConnectionReceiveWindow: limits.ClientConnectionWindow, MaxConnectionReceiveWindow: limits.ClientConnectionWindow,
	})
	if err == nil {
		t.Cleanup(func() { _ = conn.CloseWithError(0, "") })
	}
	return conn, err
}

// raw is one stream of a client that writes what it likes.
type raw struct {
	t      testing.TB
	conn   *quic.Conn
	stream *quic.Stream
	frames *wire.FrameReader
}

func (e *endpoint) raw(t testing.TB) *raw {
	t.Helper()
	conn, err := e.dial(t)
	if err != nil {
		t.Fatal(err)
	}
	return rawOf(t, conn)
}

func rawOf(t testing.TB, conn *quic.Conn) *raw {
	t.Helper()
	stream, err := conn.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	return &raw{t: t, conn: conn, stream: stream, frames: wire.NewFrameReader(stream, limits.ResponseBytes)}
}

func (r *raw) send(b []byte) {
	r.t.Helper()
	if _, err := r.stream.Write(b); err != nil {
		r.t.Fatal(err)
	}
}

// next returns the next answer.
func (r *raw) next() (wire.Response, error) {
	_ = r.stream.SetReadDeadline(time.Now().Add(wait))
	for {
		frame, err := r.frames.Next()
		if err != nil {
			return wire.Response{}, err
		}
		if frame != nil {
			return wire.ReadResponse(frame)
		}
		if err := r.frames.Fill(); err != nil {
			return wire.Response{}, err
		}
	}
}

// want fails unless the next answer is to id, with the code.
func (r *raw) want(id uint64, code kv.Code) wire.Response {
	r.t.Helper()
	p, err := r.next()
	if err != nil || p.ID != id || p.Code != code {
		r.t.Fatalf("answer %d %v, wanted %d %v: %v", p.ID, p.Code, id, code, err)
	}
	return p
}

// refused dials, and returns why the member closes the connection because of a limit. The dial may or may not notice.
func (e *endpoint) refused(t testing.TB) string {
	t.Helper()
	conn, err := e.dial(t)
	if err != nil {
		return closeReason(t, err, wire.CloseLimit)
	}
	return (&raw{t: t, conn: conn}).closed(wire.CloseLimit)
}

// closed returns why the connection was closed, by the member.
func (r *raw) closed(code wire.CloseCode) string {
	r.t.Helper()
	select {
	case <-r.conn.Context().Done():
	case <-time.After(wait):
		r.t.Fatal("the connection is still open")
	}
	return closeReason(r.t, context.Cause(r.conn.Context()), code)
}

func closeReason(t testing.TB, err error, code wire.CloseCode) string {
	t.Helper()
	var app *quic.ApplicationError
	if !errors.As(err, &app) || !app.Remote || app.ErrorCode != quic.ApplicationErrorCode(code) {
		t.Fatalf("closed by %v, wanted code %d", err, code)
	}
	return app.ErrorMessage
}

func put(id uint64, key, value string) []byte {
	return wire.AppendRequest(nil, id, wire.OpPut, wait, kv.AppendPut(nil, &kv.Put{Key: []byte(key), Value: []byte(value)}))
}

func get(id uint64, key string) []byte { return getWith(id, kv.Range{Key: []byte(key)}) }

func getSerializable(id uint64, key string) []byte {
	return getWith(id, kv.Range{Key: []byte(key), Serializable: true})
}

func getWith(id uint64, q kv.Range) []byte {
	return wire.AppendRequest(nil, id, wire.OpRange, wait, kv.AppendRange(nil, &q))
}

// idle waits until nothing is under way.
func (e *endpoint) idle(t testing.TB) {
	t.Helper()
	for start := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		s := e.server.Stats()
		if s.Requests == 0 && s.Bytes == 0 {
			return
		}
		if time.Since(start) > wait {
			t.Fatalf("still under way: %+v", s)
		}
	}
}

// until waits for something.
func (e *endpoint) until(t testing.TB, otherwise string, is func() bool) {
	t.Helper()
	for start := time.Now(); !is(); time.Sleep(time.Millisecond) {
		if time.Since(start) > wait {
			t.Fatal(otherwise)
		}
	}
}
