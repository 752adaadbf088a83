package bench

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"qkv/net/wire"
)

// EchoConfig configures Echo. A field of 0 means the default in its comment.
type EchoConfig struct {
	InFlight   int           // 1000
	FrameBytes int           // 280
	Duration   time.Duration // 3 s
}

const (
	echoProtocol = "qkv-echo/1"
	echoWindow   = 1 << 20
	// echoTimeout is how long the last frames may take after the end.
	echoTimeout = 10 * time.Second
)

// Echo measures the rate of frames over one stream of one QUIC connection and back. Client and server are in this process, with coalescing
// writers at both ends. The result is the capacity that QUIC, its cryptography and UDP on loopback leave to a store.
func Echo(ctx context.Context, config EchoConfig) (Report, error) {
	setDefault(&config.InFlight, 1000)
	setDefault(&config.FrameBytes, 280)
	if config.Duration == 0 {
		config.Duration = 3 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, config.Duration+echoTimeout)
	defer cancel()
	report, err := echo(ctx, config)
	if err != nil {
		return Report{}, fmt.Errorf("measure QUIC's echo: %w", err)
	}
	return report, nil
}

// echo sets up both ends, and closes them at the end.
func echo(ctx context.Context, config EchoConfig) (Report, error) {
	accepting, dialling, err := echoTrust()
	if err != nil {
		return Report{}, err
	}
	var ends [2]*quic.Transport
	for i := range ends {
		socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			return Report{}, err
		}
		defer socket.Close()
		ends[i] = &quic.Transport{Conn: socket}
		defer ends[i].Close()
	}
	windows := &quic.Config{
		InitialStreamReceiveWindow: echoWindow, MaxStreamReceiveWindow: echoWindow,
		InitialConnectionReceiveWindow: echoWindow, MaxConnectionReceiveWindow: echoWindow,
	}
	listener, err := ends[0].Listen(accepting, windows)
	if err != nil {
		return Report{}, err
	}
	var serving sync.WaitGroup
	defer serving.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // before the wait
	serving.Go(func() { serveEcho(ctx, listener) })
	q, err := ends[1].Dial(ctx, ends[0].Conn.LocalAddr(), dialling, windows)
	if err != nil {
		return Report{}, err
	}
	defer q.CloseWithError(0, "")
	stop := context.AfterFunc(ctx, func() { _ = q.CloseWithError(0, "") })
	defer stop()
	stream, err := q.OpenStreamSync(ctx)
	if err != nil {
		return Report{}, err
	}
	return runEcho(stream, config)
}

// echoTrust makes the two ends' certificates with a temporary CA.
func echoTrust() (accepting, dialling *tls.Config, err error) {
	dir, err := os.MkdirTemp("", "qkv-echo-")
	if err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(dir)
	m := wire.Maker{Now: time.Now, Rand: rand.Reader}
	_, caErr := m.CreateCA(dir, "echo")
	_, memberErr := m.CreateMember(dir, "echo", nil)
	if err := errors.Join(caErr, memberErr); err != nil {
		return nil, nil, err
	}
	c, err := wire.LoadMember(dir, "echo", time.Now)
	if err != nil {
		return nil, nil, err
	}
	return wire.ServerTLS(c, echoProtocol, wire.ClassMember), wire.ClientTLS(c, echoProtocol, wire.Identity{Class: wire.ClassMember}), nil
}

// serveEcho returns all bytes of one stream.
func serveEcho(ctx context.Context, listener *quic.Listener) {
	q, err := listener.Accept(ctx)
	if err != nil {
		return
	}
	defer q.CloseWithError(0, "")
	stop := context.AfterFunc(ctx, func() { _ = q.CloseWithError(0, "") })
	defer stop()
	stream, err := q.AcceptStream(ctx)
	if err != nil {
		return
	}
	out := &outbox{wake: make(chan struct{}, 1)}
	var writing sync.WaitGroup
	writing.Go(func() { out.writeTo(stream) })
	buf := make([]byte, 64<<10)
	for {
		n, err := stream.Read(buf)
		if n > 0 {
			out.put(buf[:n])
		}
		if err != nil {
			break
		}
	}
	out.close()
	writing.Wait()
}

// outbox collects bytes for one writing goroutine, which takes all of them at a time.
type outbox struct {
	wake chan struct{}

	mu     sync.Mutex
	buf    []byte
	closed bool
}

func (o *outbox) put(b []byte) {
	o.mu.Lock()
	o.buf = append(o.buf, b...)
	o.mu.Unlock()
	o.signal()
}

func (o *outbox) close() {
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	o.signal()
}

func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// writeTo writes until the outbox is closed or a write fails.
func (o *outbox) writeTo(w io.Writer) {
	var taken []byte
	for range o.wake {
		runtime.Gosched() // like the real writers: goroutines that are about to add more run first
		o.mu.Lock()
		taken, o.buf = o.buf, taken[:0]
		closed := o.closed
		o.mu.Unlock()
		if _, err := w.Write(taken); err != nil || closed {
			return
		}
	}
}

// runEcho keeps frames in flight, and measures each by its position: frames return in the order in which they were sent.
func runEcho(stream *quic.Stream, config EchoConfig) (Report, error) {
	h := newHistogram()
	sent := make([]time.Time, config.InFlight) // a ring
	frames := make([]byte, config.InFlight*config.FrameBytes)
	out := &outbox{wake: make(chan struct{}, 1)}
	var writing sync.WaitGroup
	writing.Go(func() { out.writeTo(stream) })
	begun := time.Now()
	ends, now := begun.Add(config.Duration), begun
	var left, back int64 // frames
	partial, buf := 0, make([]byte, 64<<10)
	for more := true; more || back < left; {
		if room := config.InFlight - int(left-back); more && room > 0 {
			for i := range room {
				sent[(left+int64(i))%int64(config.InFlight)] = now
			}
			left += int64(room)
			out.put(frames[:room*config.FrameBytes])
		}
		n, err := stream.Read(buf)
		now = time.Now()
		for partial += n; partial >= config.FrameBytes; partial -= config.FrameBytes {
			record(h, now.Sub(sent[back%int64(config.InFlight)]))
			back++
		}
		if err != nil {
			out.close()
			writing.Wait()
			return Report{}, err
		}
		more = now.Before(ends)
	}
	out.close()
	writing.Wait()
	elapsed := now.Sub(begun)
	return Report{Done: back, Elapsed: elapsed, Rate: float64(back) / elapsed.Seconds(), Latencies: latencies(h)}, nil
}
