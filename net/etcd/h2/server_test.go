package h2_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"qkv/internal/testlong"
	"qkv/net/etcd/h2"
)

// echo serves bytes: the first four of a request say how long the answer is.
type echo struct {
	*h2.Server
	listener net.Listener
	batches  chan batched
	running  sync.WaitGroup
	ledger   ledger
}

// ledger counts the streams of all connections.
type ledger struct {
	mu                   sync.Mutex
	open, serving, asked int
	bytes, partial       int64
	resets, idle         int
}

// counted is a connection with a ledger.
type counted struct {
	net.Conn
	of *ledger
}

func (c counted) Ledger() h2.Ledger { return c.of }

func (l *ledger) count(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

func (l *ledger) Begin(c *h2.StreamCharge, _ int) { l.count(func() { c.Fixed = 1; l.open++ }) }

func (l *ledger) Data(c *h2.StreamCharge, n int) {
	l.count(func() {
		if c.Fixed > 0 && !c.Complete {
			c.Data += int64(n)
			l.bytes += int64(n)
		}
	})
}

func (l *ledger) HalfClosed(c *h2.StreamCharge) {
	l.count(func() {
		if c.Fixed == 0 || c.Complete {
			return
		}
		l.open--
		l.asked++
		l.serving++
		c.Complete, c.Serving = true, true
	})
}

func (l *ledger) Answered(c *h2.StreamCharge) {
	l.count(func() {
		if c.Serving {
			c.Serving = false
			l.serving--
		}
	})
}

func (l *ledger) Over(c *h2.StreamCharge) {
	l.Answered(c)
	l.count(func() {
		switch {
		case c.Complete:
			l.asked--
		case c.Fixed > 0:
			l.open--
		}
		l.bytes -= c.Data
		*c = h2.StreamCharge{}
	})
}

func (l *ledger) Charge(n int64) { l.count(func() { l.partial += n }) }
func (l *ledger) Reset()         { l.count(func() { l.resets++ }) }
func (l *ledger) Idle(n int)     { l.count(func() { l.idle += n }) }

// held says what is counted, but for resets and idle frames; "" if it is nothing.
func (l *ledger) held() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open == 0 && l.asked == 0 && l.serving == 0 && l.bytes == 0 && l.partial == 0 {
		return ""
	}
	return fmt.Sprintf("%d streams open, %d asked, %d in service, %d bytes, %d of header blocks", l.open, l.asked, l.serving, l.bytes, l.partial)
}

type batched struct {
	request *h2.Request
	answer  []byte
}

func answerTo(q []byte) []byte {
	n := int(binary.BigEndian.Uint32(q))
	return bytes.Repeat(q[4:5], n)
}

func newEcho(t *testing.T) *echo {
	e := &echo{batches: make(chan batched, 1<<16)}
	codec := encoding.GetCodecV2(proto.Name)
	e.Server = h2.NewServer(h2.Config{
		Codec: codec, ReceiveMost: 1 << 20, SendMost: 1 << 30, Streams: 1000, HeaderBytes: 16 << 10, Handshake: 5 * time.Second,
		Prepare: func(context.Context) any { return nil }, Fault: func(path string, fault any, stack []byte) { t.Errorf("%s: %v\n%s", path, fault, stack) },
		PingLeast: time.Second, PingAfter: time.Hour, PingTimeout: time.Second,
		Batched: map[string]func(*h2.Request, []byte) bool{"/echo/Batched": func(r *h2.Request, b []byte) bool {
			var q wrapperspb.BytesValue
			if err := codec.Unmarshal(buffers(b), &q); err != nil || len(q.Value) < 5 || q.Value[4] == 'h' {
				return false // by the handler
			}
			e.batches <- batched{r, answerTo(q.Value)}
			return true
		}},
	})
	unary := func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		var q wrapperspb.BytesValue
		if err := decode(&q); err != nil {
			return nil, err
		}
		if len(q.Value) < 5 {
			return nil, status.Error(codes.InvalidArgument, "too short")
		}
		return wrapperspb.Bytes(answerTo(q.Value)), nil
	}
	e.RegisterService(&grpc.ServiceDesc{
		ServiceName: "echo",
		Methods:     []grpc.MethodDesc{{MethodName: "Unary", Handler: unary}, {MethodName: "Batched", Handler: unary}},
		Streams: []grpc.StreamDesc{{StreamName: "Stream", ClientStreams: true, ServerStreams: true, Handler: func(_ any, s grpc.ServerStream) error {
			for {
				var q wrapperspb.BytesValue
				if err := s.RecvMsg(&q); err == io.EOF {
					return nil
				} else if err != nil {
					return err
				}
				if err := s.SendMsg(wrapperspb.Bytes(answerTo(q.Value))); err != nil {
					return err
				}
			}
		}}},
	}, nil)
	var err error
	if e.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	e.running.Go(func() {
		for {
			c, err := e.listener.Accept()
			if err != nil {
				return
			}
			e.running.Go(func() { e.Serve(counted{c, &e.ledger}, &peer.Peer{Addr: c.RemoteAddr()}) })
		}
	})
	e.running.Go(func() {
		var batch h2.Batch
		for one := range e.batches {
			for more := true; more; {
				m := wrapperspb.Bytes(one.answer)
				b, _ := codec.Marshal(m)
				if !batch.Answer(one.request, b.Materialize()) {
					one.request.Send(m)
				}
				select {
				case one, more = <-e.batches:
				default:
					more = false
				}
			}
			batch.Flush()
		}
	})
	t.Cleanup(func() {
		_ = e.listener.Close()
		e.Stop()
		close(e.batches)
		e.running.Wait()
	})
	return e
}

// TestEchoes makes requests of all kinds and sizes, with answers of all sizes, at once on a few connections. Some are given up in the middle.
// Each answer is whole and the right one, none is lost, and the connections serve until the end. Then the ledger holds nothing.
func TestEchoes(t *testing.T) {
	testlong.Skip(t)
	e := newEcho(t)
	var all sync.WaitGroup
	for i := range 3 {
		c, err := grpc.NewClient(e.listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithInitialWindowSize(int32(1<<16+i)), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1<<30)))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for j := range 10 {
			all.Go(func() {
				r := rand.New(rand.NewPCG(uint64(i), uint64(j)))
				for k := range 15 {
					if err := ask(t.Context(), c, r); err != nil {
						t.Errorf("connection %d, caller %d, request %d: %v", i, j, k, err)
						return
					}
				}
			})
		}
	}
	all.Wait()
	for until := time.Now().Add(10 * time.Second); e.ledger.held() != "" && time.Now().Before(until); time.Sleep(time.Millisecond) {
	}
	if still := e.ledger.held(); still != "" || e.ledger.resets == 0 {
		t.Errorf("after all requests: %s, %d resets", still, e.ledger.resets)
	}
}

func ask(ctx context.Context, c *grpc.ClientConn, r *rand.Rand) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	sizes := []int{0, 1, 100, 5000, 16380, 16384, 70000, 300000}
	question := func() (q []byte) {
		q = binary.BigEndian.AppendUint32(nil, uint32(sizes[r.IntN(len(sizes))]))
		return append(append(q, byte('a'+r.IntN(20))), make([]byte, sizes[r.IntN(len(sizes))])...)
	}
	switch kind := r.IntN(8); kind {
	case 0: // given up
		short, cancel := context.WithTimeout(ctx, time.Duration(r.IntN(3000))*time.Microsecond)
		defer cancel()
		_ = c.Invoke(short, "/echo/Unary", wrapperspb.Bytes(question()), new(wrapperspb.BytesValue))
	case 1:
		short, cancel := context.WithCancel(ctx)
		time.AfterFunc(time.Duration(r.IntN(3000))*time.Microsecond, cancel)
		_ = c.Invoke(short, "/echo/Batched", wrapperspb.Bytes(question()), new(wrapperspb.BytesValue))
	case 2:
		s, err := c.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/echo/Stream")
		if err != nil {
			return err
		}
		for range r.IntN(10) {
			q := question()
			if err := s.SendMsg(wrapperspb.Bytes(q)); err != nil {
				return fmt.Errorf("send: %w", err)
			}
			var a wrapperspb.BytesValue
			if err := s.RecvMsg(&a); err != nil || !bytes.Equal(a.Value, answerTo(q)) {
				return fmt.Errorf("a stream's answer of %d bytes, not %d: %w", len(a.Value), len(answerTo(q)), err)
			}
		}
		if r.IntN(2) == 0 {
			return nil // it is reset
		}
		if err := s.CloseSend(); err != nil {
			return err
		}
		if err := s.RecvMsg(new(wrapperspb.BytesValue)); err != io.EOF {
			return fmt.Errorf("the end: %w", err)
		}
	case 3:
		err := c.Invoke(ctx, "/echo/Unary", wrapperspb.Bytes(make([]byte, 2<<20)), new(wrapperspb.BytesValue))
		if status.Code(err) != codes.ResourceExhausted {
			return fmt.Errorf("a request that is too large: %w", err)
		}
	default:
		q, method := question(), "/echo/Unary"
		if kind > 4 {
			method = "/echo/Batched"
		}
		var a wrapperspb.BytesValue
		if err := c.Invoke(ctx, method, wrapperspb.Bytes(q), &a); err != nil || !bytes.Equal(a.Value, answerTo(q)) {
			return fmt.Errorf("%s: an answer of %d bytes, not %d: %w", method, len(a.Value), len(answerTo(q)), err)
		}
	}
	return nil
}
