package client_test

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"qkv/log/limits"
	"qkv/net/client"
	"qkv/net/server/servertest"
	"qkv/net/wire"
)

// impostor is a member that greets well and then answers what it likes.
type impostor struct {
	endpoint string
	answer   func(q *wire.Request, s *quic.Stream) // what it sends to a request other than the greeting
}

func newImpostor(t testing.TB, trust servertest.Trust, answer func(q *wire.Request, s *quic.Stream)) *impostor {
	t.Helper()
	listener, err := quic.ListenAddr("127.0.0.1:0", wire.ServerTLS(trust.Member, wire.ProtocolClient, wire.ClassClient), nil)
	if err != nil {
		t.Fatal(err)
	}
	i := &impostor{endpoint: listener.Addr().(*net.UDPAddr).String(), answer: answer}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := listener.Accept(context.Background())
			if err != nil {
				return
			}
			wg.Go(func() {
				for {
					s, err := conn.AcceptStream(context.Background())
					if err != nil {
						return
					}
					wg.Go(func() { i.serve(s) })
				}
			})
			t.Cleanup(func() { _ = conn.CloseWithError(0, "") })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		go func() { // connections that are open keep their goroutines until the client closes them
			wg.Wait()
		}()
	})
	return i
}

func (i *impostor) serve(s *quic.Stream) {
	frames := wire.NewFrameReader(s, limits.RequestBytes)
	for frames.Fill() == nil {
		for {
			frame, err := frames.Next()
			if frame == nil || err != nil {
				break
			}
			var q wire.Request
			if wire.ReadRequest(frame, &q) != nil {
				return
			}
			if q.Op == wire.OpStatus {
				_, _ = s.Write(wire.AppendStatusAnswer(nil, q.ID, &wire.Status{Name: "impostor"}))
				continue
			}
			i.answer(&q, s)
		}
	}
}

// Whatever a member answers, the client neither hangs nor breaks, and does not take a write for done that it was not
// told is done.
func TestHostileMember(t *testing.T) {
	trust := servertest.NewTrust(t)
	for name, answer := range map[string]func(q *wire.Request, s *quic.Stream){
		"an answer that was not asked": func(q *wire.Request, s *quic.Stream) { _, _ = s.Write(wire.AppendWritten(nil, q.ID+1, 2, 0)) },
		"a huge id":                    func(q *wire.Request, s *quic.Stream) { _, _ = s.Write(wire.AppendWritten(nil, 1<<63, 2, 0)) },
		"a huge frame":                 func(q *wire.Request, s *quic.Stream) { _, _ = s.Write(binary.AppendUvarint(nil, 1<<50)) },
		"a frame of nothing":           func(q *wire.Request, s *quic.Stream) { _, _ = s.Write([]byte{0}) },
		"an answer without fields": func(q *wire.Request, s *quic.Stream) {
			_, _ = s.Write(wire.AppendFrame(nil, []byte{0x92, byte(q.ID), 0}))
		},
		"a hostile length": func(q *wire.Request, s *quic.Stream) {
			_, _ = s.Write(wire.AppendFrame(nil, []byte{0x96, byte(q.ID), 0, 1, 1, 0xc2, 0xdd, 0xff, 0xff, 0xff, 0xff}))
		},
		"another kind's answer": func(q *wire.Request, s *quic.Stream) {
			_, _ = s.Write(wire.AppendStatusAnswer(nil, q.ID, &wire.Status{Name: "x"}))
		},
		"a code of the future": func(q *wire.Request, s *quic.Stream) { _, _ = s.Write(wire.AppendError(nil, q.ID, 99, "news")) },
		"the end of the stream": func(q *wire.Request, s *quic.Stream) {
			_ = s.Close()
		},
		"a reset": func(q *wire.Request, s *quic.Stream) {
			s.CancelWrite(7)
			s.CancelRead(7)
		},
		"noise": func(q *wire.Request, s *quic.Stream) {
			b := make([]byte, 100)
			for i := range b {
				b[i] = byte(rand.Uint32())
			}
			_, _ = s.Write(b)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := newImpostor(t, trust, answer)
			c, err := client.Open(ctxOf(t, 20*time.Second), client.Config{
				Endpoints: []string{i.endpoint}, Credentials: trust.Client, Timeout: 300 * time.Millisecond,
			})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_, err = c.Put(ctxOf(t, 300*time.Millisecond), []byte("k"), []byte("v"))
			// The end of a stream says that what has no answer was not done: it is sent again, and again. All else says
			// nothing.
			ended := name == "the end of the stream" && errors.Is(err, client.ErrUnavailable)
			if !errors.Is(err, client.ErrOutcomeUnknown) && !ended {
				t.Errorf("put: %v", err)
			}
			_, _, err = c.Get(ctxOf(t, 300*time.Millisecond), []byte("k"))
			if err == nil {
				t.Error("get: no error")
			}
			done := make(chan error, 1)
			c.GetAsync([]byte("k"), false, func(_ client.KeyValue, _ bool, err error) { done <- err })
			select {
			case err := <-done:
				if err == nil {
					t.Error("asynchronous get: no error")
				}
			case <-time.After(20 * time.Second):
				t.Error("asynchronous get: no end")
			}
		})
	}
}

// A member that does not answer reads loses them to the others, before the caller's time is over.
func TestStuckMember(t *testing.T) {
	t.Parallel()
	trust := servertest.NewTrust(t)
	i := newImpostor(t, trust, func(*wire.Request, *quic.Stream) {})
	s := servertest.Start(t, trust, servertest.NewMember(), nil)
	c := open(t, trust, i.endpoint, servertest.Endpoint(s))
	start := time.Now()
	if _, _, err := c.Get(ctxOf(t, 2*time.Second), []byte("k")); err != nil || time.Since(start) < time.Second {
		t.Errorf("%v after %v", err, time.Since(start))
	}
	within(t, 200*time.Millisecond, func() { must[client.Written](t)(c.Put(t.Context(), []byte("k"), []byte("v"))) })
}

// Each try comes from a port of its own: what is between may remember the last one and send it nowhere.
func TestNewPort(t *testing.T) {
	t.Parallel()
	trust := servertest.NewTrust(t)
	hole, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ports := map[string]bool{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 2048)
		for {
			n, from, err := hole.ReadFrom(buf)
			if err != nil {
				return
			}
			if n > 1 { // not the question whether anybody listens
				ports[from.String()] = true
			}
		}
	}()
	_, err = client.Open(ctxOf(t, 2500*time.Millisecond), client.Config{Endpoints: []string{hole.LocalAddr().String()}, Credentials: trust.Client})
	if !errors.Is(err, client.ErrUnavailable) {
		t.Error(err)
	}
	hole.Close()
	<-done
	if len(ports) != 2 {
		t.Errorf("in 2.5 s came tries from %d ports", len(ports))
	}
}

// A name stands for all its addresses.
func TestNames(t *testing.T) {
	trust := servertest.NewTrust(t)
	s := servertest.Start(t, trust, servertest.NewMember(), nil)
	_, port, _ := net.SplitHostPort(servertest.Endpoint(s))
	c := open(t, trust, "localhost:"+port)
	if _, err := c.Put(t.Context(), []byte("k"), []byte("v")); err != nil {
		t.Error(err)
	}
	_, err := client.Open(ctxOf(t, time.Second), client.Config{Endpoints: []string{"no.such.host.invalid:2379"}, Credentials: trust.Client, FailFast: true})
	if !errors.Is(err, client.ErrUnavailable) || !strings.Contains(err.Error(), "no.such.host.invalid") {
		t.Error(err)
	}
}
