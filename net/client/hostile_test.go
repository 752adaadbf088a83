package client_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/testlong"
	"qkv/internal/testretry"
	"qkv/net/client"
	"qkv/net/server/servertest"
	"qkv/net/wire"
)

// impostor is a member that greets well and then answers what it likes.
type impostor struct {
	endpoint string
	listener *quic.Listener
	mu       sync.Mutex
	conns    []*quic.Conn
	answer   func(q *wire.Request, s *quic.Stream) // what it sends to a request other than the greeting
}

func newImpostor(t testing.TB, trust servertest.Trust, answer func(q *wire.Request, s *quic.Stream)) *impostor {
	t.Helper()
	listener, err := quic.ListenAddr("127.0.0.1:0", wire.ServerTLS(trust.Member, wire.ProtocolClient, wire.ClassClient), nil)
	if err != nil {
		t.Fatal(err)
	}
	i := &impostor{endpoint: listener.Addr().(*net.UDPAddr).String(), listener: listener, answer: answer}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := listener.Accept(context.Background())
			if err != nil {
				return
			}
			i.mu.Lock()
			i.conns = append(i.conns, conn)
			i.mu.Unlock()
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

// closeAll ends all connections that there are.
func (i *impostor) closeAll() {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, conn := range i.conns {
		_ = conn.CloseWithError(0, "")
	}
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
				_, _ = s.Write(wire.AppendAnswer(nil, q.ID, &kv.Status{Name: "impostor"}))
				continue
			}
			i.answer(&q, s)
		}
	}
}

// Whatever a member answers, the client neither hangs nor breaks, and does not take a write for done that it was not
// told is done.
func TestHostileMember(t *testing.T) {
	testlong.Skip(t)
	trust := servertest.NewTrust(t)
	for name, answer := range map[string]func(q *wire.Request, s *quic.Stream){
		"an answer that was not asked": func(q *wire.Request, s *quic.Stream) { _, _ = s.Write(wire.AppendWritten(nil, q.ID+1, 2, 0)) },
		"a huge id":                    func(q *wire.Request, s *quic.Stream) { _, _ = s.Write(wire.AppendWritten(nil, 1<<63, 2, 0)) },
		"a huge frame":                 func(q *wire.Request, s *quic.Stream) { _, _ = s.Write(binary.AppendUvarint(nil, 1<<50)) },
		"a frame of nothing":           func(q *wire.Request, s *quic.Stream) { _, _ = s.Write([]byte{0}) },
		"an answer without fields": func(q *wire.Request, s *quic.Stream) {
			_, _ = s.Write(servertest.Frame([]byte{0x92, byte(q.ID), 0}))
		},
		"a hostile length": func(q *wire.Request, s *quic.Stream) {
			_, _ = s.Write(servertest.Frame([]byte{0x96, byte(q.ID), 0, 1, 1, 0xc2, 0xdd, 0xff, 0xff, 0xff, 0xff}))
		},
		"another kind's answer": func(q *wire.Request, s *quic.Stream) {
			_, _ = s.Write(wire.AppendAnswer(nil, q.ID, &kv.Status{Name: "x"}))
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
			c, err := client.Open(ctxOf(t, wait), client.Config{
				Endpoints: []string{i.endpoint}, Credentials: trust.Client, Timeout: 300 * time.Millisecond,
			})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			testretry.Longer(t, 300*time.Millisecond, func(t testing.TB, limit time.Duration) { // it may be over before it is sent
				_, err := c.Put(ctxOf(t, limit), []byte("k"), []byte("v"))
				// The end of a stream says that what has no answer was not done: it is sent again, and again. All else says
				// nothing.
				ended := name == "the end of the stream" && errors.Is(err, client.ErrUnavailable)
				if !errors.Is(err, client.ErrOutcomeUnknown) && !ended {
					t.Errorf("put: %v", err)
				}
			})
			_, _, err = c.Get(ctxOf(t, 300*time.Millisecond), []byte("k"))
			if err == nil {
				t.Error("get: no error")
			}
			done := make(chan error, 1)
			c.GetAsync([]byte("k"), client.ReadOptions{}, func(_ kv.KeyValue, _ bool, err error) { done <- err })
			select {
			case err := <-done:
				if err == nil {
					t.Error("asynchronous get: no error")
				}
			case <-time.After(wait):
				t.Error("asynchronous get: no end")
			}
		})
	}
}

// A page of no keys that is said to be followed by others is no end: an export would take what it has for all there is.
func TestPageOfNothing(t *testing.T) {
	trust := servertest.NewTrust(t)
	i := newImpostor(t, trust, func(q *wire.Request, s *quic.Stream) {
		_, _ = s.Write(servertest.Frame([]byte{0x96, byte(q.ID), 0, 5, 9, 0xc3, 0x90}))
	})
	c, err := client.Open(ctxOf(t, wait), client.Config{Endpoints: []string{i.endpoint}, Credentials: trust.Client})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if all, err := c.Range(ctxOf(t, wait), kv.Range{Key: []byte("k"), End: client.From}); !errors.Is(err, wire.ErrFrame) {
		t.Errorf("%+v, %v", all, err)
	}
}

// However many addresses a member tells, they take no time, and few are kept.
func TestManyAddressesAreTold(t *testing.T) {
	testlong.Skip(t)
	trust := servertest.NewTrust(t)
	c, err := client.Open(ctxOf(t, wait), client.Config{Endpoints: []string{newImpostor(t, trust, nil).endpoint}, Credentials: trust.Client})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	status := kv.Status{Leader: 1}
	for n := range 100_000 {
		address := fmt.Sprintf("10.%d.%d.%d:2379", n>>16, n>>8&255, n&255)
		status.Members = append(status.Members, kv.Member{ID: uint64(n + 1), Clients: []string{address}})
	}
	began := time.Now()
	client.Learn(c, &status)
	if took := time.Since(began); took > time.Second {
		t.Errorf("it took %v to learn of them", took)
	}
	if n := len(c.DialOrder()); n != client.EndpointsTold+1 {
		t.Errorf("%d endpoints are kept", n)
	}
}

// A member that does not answer reads loses them to the others, after a second at most while there are others, and before
// the caller's time is over.
func TestStuckMember(t *testing.T) {
	t.Parallel()
	trust := servertest.NewTrust(t)
	i := newImpostor(t, trust, func(*wire.Request, *quic.Stream) {})
	s := servertest.Start(t, trust, servertest.NewMember(), nil)
	for _, timeout := range []time.Duration{1500 * time.Millisecond, wait} {
		testretry.Longer(t, timeout, func(t testing.TB, timeout time.Duration) {
			c := open(t, trust, i.endpoint, servertest.Endpoint(s))
			start := time.Now()
			_, _, err := c.Get(ctxOf(t, timeout), []byte("k"))
			if took := time.Since(start); err != nil || took < min(timeout/2, time.Second)-50*time.Millisecond || timeout >= wait && took > timeout/4 {
				t.Errorf("of %v: %v after %v", timeout, err, took)
			}
			if at := c.Serving(); at != servertest.Endpoint(s) {
				t.Errorf("calls go to %q, not to the member that has answered", at)
			}
			must[client.Written](t)(c.Put(ctxOf(t, wait), []byte("k"), []byte("v")))
		})
	}
}

// A stream that the member resets takes what was sent on it with it, and nothing of the connection's other stream.
func TestResetStream(t *testing.T) {
	t.Parallel()
	trust := servertest.NewTrust(t)
	ranged, reset := make(chan struct{}), make(chan struct{})
	i := newImpostor(t, trust, func(q *wire.Request, s *quic.Stream) {
		switch q.Op {
		case wire.OpRange:
			close(ranged)
			<-reset
			answer, page := wire.BeginPage(nil, q.ID, 7, 0, false, 0, 0)
			_, _ = s.Write(wire.EndPage(answer, page))
		case wire.OpPut:
			code := quic.StreamErrorCode(wire.StreamSlow)
			if string(q.Put.Key) == "one too many" {
				code = quic.StreamErrorCode(wire.StreamLimit)
			}
			s.CancelWrite(code)
			s.CancelRead(code)
		}
	})
	c := open(t, trust, i.endpoint)
	go func() {
		<-ranged
		_, err := c.Put(ctxOf(t, wait), []byte("k"), []byte("v"))
		if !errors.Is(err, client.ErrOutcomeUnknown) || !strings.Contains(err.Error(), "was not read in time") {
			t.Errorf("the put on the stream that was reset: %v", err)
		}
		close(reset)
	}()
	found, err := c.Range(ctxOf(t, wait), kv.Range{Key: []byte("a"), End: []byte("b")})
	if err != nil || found.Revision != 7 {
		t.Errorf("the range beside it: %+v, %v", found, err)
	}
	testretry.Longer(t, 500*time.Millisecond, func(t testing.TB, limit time.Duration) {
		_, err = c.Put(ctxOf(t, limit), []byte("one too many"), []byte("v"))
		if !errors.Is(err, client.ErrUnavailable) || !strings.Contains(err.Error(), "no memory budget is left") {
			t.Errorf("a stream of which nothing was read: %v", err)
		}
	})
}

// Calls that are cancelled give their memory back, long before their time is over, wherever they wait.
func TestCancelledCallsAreForgotten(t *testing.T) {
	testlong.Skip(t)
	trust := servertest.NewTrust(t)
	for _, sent := range []bool{true, false} {
		i := newImpostor(t, trust, func(*wire.Request, *quic.Stream) {})
		c := open(t, trust, i.endpoint)
		if !sent {
			i.listener.Close()
			i.closeAll()
		}
		before := heapBytes()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() { _, _ = c.Put(ctx, []byte("k"), make([]byte, 1<<20)) })
		}
		for heapBytes() < before+50<<20 {
			time.Sleep(10 * time.Millisecond)
		}
		time.AfterFunc(100*time.Millisecond, cancel)
		wg.Wait()
		for begun := time.Now(); heapBytes() > before+40<<20; time.Sleep(50 * time.Millisecond) {
			if time.Since(begun) > wait {
				t.Errorf("sent %v: %d MiB are kept", sent, (heapBytes()-before)>>20)
				break
			}
		}
		_ = c.Close()
	}
}

func heapBytes() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// A function that the client calls may close it.
func TestCloseInsideCallback(t *testing.T) {
	t.Parallel()
	trust := servertest.NewTrust(t)
	s := servertest.Start(t, trust, servertest.NewMember(), nil)
	c := open(t, trust, servertest.Endpoint(s))
	closed := make(chan error, 1)
	c.PutAsync([]byte("k"), []byte("v"), func(client.Written, error) { closed <- c.Close() })
	select {
	case err := <-closed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(wait):
		t.Fatal("Close does not return")
	}
	if _, err := c.Put(t.Context(), []byte("k"), []byte("v")); !errors.Is(err, client.ErrClosed) {
		t.Error(err)
	}
}

// Each try comes from a port of its own: what is between may remember the last one and send it nowhere.
func TestNewPort(t *testing.T) {
	t.Parallel()
	testretry.Again(t, 3, newPort) // on a busy host the first packet is seen late
}

func newPort(t testing.TB) {
	trust := servertest.NewTrust(t)
	hole, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(ctxOf(t, wait))
	defer cancel()
	var came []time.Time // the first of each port
	done := make(chan struct{})
	go func() {
		defer close(done)
		ports := map[string]bool{}
		buf := make([]byte, 2048)
		for {
			n, from, err := hole.ReadFrom(buf)
			if err != nil {
				return
			}
			if n > 1 && !ports[from.String()] { // and not the question whether anybody listens
				ports[from.String()] = true
				if came = append(came, time.Now()); len(came) == 2 {
					cancel()
				}
			}
		}
	}()
	_, err = client.Open(ctx, client.Config{Endpoints: []string{hole.LocalAddr().String()}, Credentials: trust.Client})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	hole.Close()
	<-done
	if len(came) < 2 || came[1].Sub(came[0]) < 1500*time.Millisecond { // a try lasts for two seconds
		t.Errorf("tries from other ports came at %v", came)
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
	_, err := client.Open(ctxOf(t, wait), client.Config{Endpoints: []string{"no.such.host.invalid:2379"}, Credentials: trust.Client, FailFast: true})
	if !errors.Is(err, client.ErrUnavailable) || !strings.Contains(err.Error(), "no.such.host.invalid") {
		t.Error(err)
	}
}
