package client_test

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/client"
	"qkv/net/server"
	"qkv/net/server/servertest"
	"qkv/net/wire"
)

// report reports what b.N calls cost: on a machine that others use too, processor time says more than the clock.
func report(b *testing.B, calls int, before time.Duration) {
	b.ReportMetric(float64(calls)/b.Elapsed().Seconds(), "op/s")
	b.ReportMetric(float64((cpuTime()-before).Nanoseconds())/float64(calls), "cpu-ns/op")
}

// cpuTime is the processor time of this process: client and server.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// null is a member that does nothing: what is measured with it is client, wire and server.
type null struct {
	view *index.View
}

func newNull() *null { return &null{view: index.NewState(limits.Defaults().Index).View()} }

func (n *null) Propose(p kv.Proposal) {
	done := make([]kv.Completion, len(p.Requests))
	for i, r := range p.Requests {
		done[i] = kv.Completion{Request: r, Kind: kv.CommandDone, Result: kv.Result{Revision: 2}}
	}
	if p.Release != nil {
		p.Release.Release()
	}
	p.ReplyTo.Complete(done)
}

func (n *null) Refuse() *kv.Error { return nil }

func (n *null) Readmit(uint64) *kv.Error { return nil }

func (n *null) MoveLeader(context.Context, uint64) *kv.Error { return nil }

func (n *null) ReadIndex(to kv.ReplyTo, requests []uint64, _ time.Duration) {
	done := make([]kv.Completion, len(requests))
	for i, r := range requests {
		done[i] = kv.Completion{Request: r, Kind: kv.ReadReady}
	}
	to.Complete(done)
}

func (n *null) Watch(kv.WatchStream, kv.WatchRequest) {}

func (n *null) AskLeases(to kv.ReplyTo, requests []uint64, _ []kv.LeaseAsk, _ time.Duration) {
	kv.Refuse(to, requests, kv.LeaseTold, kv.Errorf(kv.Unavailable, "nobody keeps leases"))
}

func (n *null) View() *index.View { return n.view }
func (n *null) Status() kv.Status { return kv.Status{Name: "null"} }

var _ server.Member = (*null)(nil)

const inflight = 1000

// async keeps so many calls under way, b.N in all.
func async(b *testing.B, inflight int, call func(done func(error))) {
	left, back := b.N, make(chan struct{})
	var mu sync.Mutex
	under := 0
	var again func(err error)
	begin := func() bool {
		mu.Lock()
		defer mu.Unlock()
		if left == 0 {
			return false
		}
		left--
		under++
		return true
	}
	again = func(err error) {
		if err != nil {
			b.Error(err)
		}
		if begin() {
			call(again)
		}
		mu.Lock()
		defer mu.Unlock()
		if under--; under == 0 && left == 0 {
			close(back)
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	before := cpuTime()
	for range min(inflight, b.N) {
		if begin() {
			call(again)
		}
	}
	<-back
	report(b, b.N, before)
}

func benchClient(b testing.TB, m server.Member) *client.Client {
	trust := servertest.NewTrust(b)
	return open(b, trust, servertest.Endpoint(servertest.Start(b, trust, m, nil)))
}

var benchKey, benchValue = []byte("key/00000000001234"), make([]byte, 256)

func BenchmarkPutAsync1000(b *testing.B) {
	c := benchClient(b, newNull())
	async(b, inflight, func(done func(error)) {
		c.PutAsync(benchKey, benchValue, func(_ client.Written, err error) { done(err) })
	})
}

func BenchmarkGetAsync1000(b *testing.B) {
	for name, serializable := range map[string]bool{"linearizable": false, "serializable": true} {
		b.Run(name, func(b *testing.B) {
			m := servertest.NewMember()
			c := benchClient(b, m)
			if _, err := c.Put(b.Context(), benchKey, benchValue); err != nil {
				b.Fatal(err)
			}
			async(b, inflight, func(done func(error)) {
				c.GetAsync(benchKey, client.ReadOptions{Serializable: serializable}, func(_ kv.KeyValue, _ bool, err error) { done(err) })
			})
		})
	}
}

// The same by so many callers that wait, each a goroutine.
func BenchmarkPut(b *testing.B) {
	for _, callers := range []int{1, 100, 1000} {
		b.Run(name(callers), func(b *testing.B) {
			c := benchClient(b, newNull())
			latency(b, c, callers, func(ctx context.Context) error {
				_, err := c.Put(ctx, benchKey, benchValue)
				return err
			})
		})
	}
}

func name(callers int) string {
	return map[int]string{1: "1", 100: "100", 1000: "1000"}[callers] + "callers"
}

func latency(b *testing.B, c *client.Client, callers int, call func(ctx context.Context) error) {
	all := make([][]time.Duration, callers)
	var wg sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	before := cpuTime()
	for i := range callers {
		wg.Go(func() {
			for range b.N / callers {
				start := time.Now()
				if err := call(context.Background()); err != nil {
					b.Error(err)
				}
				all[i] = append(all[i], time.Since(start))
			}
		})
	}
	wg.Wait()
	report(b, b.N/callers*callers, before)
	lost, sent := c.PacketsLost()
	b.ReportMetric(float64(lost)/float64(sent)*1000, "lost-‰")
	if sorted := slices.Concat(all...); len(sorted) > 0 {
		slices.Sort(sorted)
		b.ReportMetric(float64(sorted[len(sorted)/2].Microseconds()), "p50-µs")
		b.ReportMetric(float64(sorted[len(sorted)*99/100].Microseconds()), "p99-µs")
	}
}

// Bare QUIC: frames of 290 bytes there and 12 bytes back, on one stream, by coalescing writers, and nothing else.
func BenchmarkQUICEcho1000(b *testing.B) {
	trust := servertest.NewTrust(b)
	serve, dial := echoEnds(b, trust)
	go echo(serve, 290, 12)
	request := make([]byte, 290)
	tokens := make(chan struct{}, inflight)
	go func() {
		buf, pending := make([]byte, 64<<10), 0
		for {
			n, err := dial.Read(buf)
			if err != nil {
				return
			}
			for pending += n; pending >= 12; pending -= 12 {
				tokens <- struct{}{}
			}
		}
	}()
	b.ReportAllocs()
	b.ResetTimer()
	before := cpuTime()
	out := make([]byte, 0, 64<<10)
	for sent, back := 0, 0; back < b.N; {
		for sent < b.N && sent-back < inflight && len(out) < 60<<10 {
			out = append(out, request...)
			sent++
		}
		if len(out) > 0 {
			if _, err := dial.Write(out); err != nil {
				b.Fatal(err)
			}
			out = out[:0]
		}
		<-tokens
		back++
		for more := true; more && back < b.N; {
			select {
			case <-tokens:
				back++
			default:
				more = false
			}
		}
		runtime.Gosched()
	}
	report(b, b.N, before)
}

// echo answers each in bytes with out bytes.
func echo(s *quic.Stream, in, out int) {
	buf, pending := make([]byte, 64<<10), 0
	answers := make([]byte, 0, 64<<10)
	for {
		n, err := s.Read(buf)
		if err != nil {
			return
		}
		for pending += n; pending >= in; pending -= in {
			answers = append(answers, make([]byte, out)...)
		}
		if _, err := s.Write(answers); err != nil {
			return
		}
		answers = answers[:0]
	}
}

// echoEnds are the two ends of one stream.
func echoEnds(b *testing.B, trust servertest.Trust) (serve, dial *quic.Stream) {
	config := &quic.Config{
		InitialStreamReceiveWindow: 512 << 10, MaxStreamReceiveWindow: 512 << 10,
		InitialConnectionReceiveWindow: 1 << 20, MaxConnectionReceiveWindow: 1 << 20,
	}
	listener, err := quic.ListenAddr("127.0.0.1:0", wire.ServerTLS(trust.Member, wire.ProtocolClient, wire.ClassClient), config)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { listener.Close() })
	var clientTLS *tls.Config = wire.ClientTLS(trust.Client, wire.ProtocolClient, wire.Identity{Class: wire.ClassMember})
	conn, err := quic.DialAddr(b.Context(), listener.Addr().(*net.UDPAddr).String(), clientTLS, config)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.CloseWithError(0, "") })
	if dial, err = conn.OpenStream(); err != nil {
		b.Fatal(err)
	}
	if _, err := dial.Write(binary.AppendUvarint(nil, 1)); err != nil {
		b.Fatal(err)
	}
	other, err := listener.Accept(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	if serve, err = other.AcceptStream(b.Context()); err != nil {
		b.Fatal(err)
	}
	if _, err := io.ReadFull(serve, make([]byte, 1)); err != nil {
		b.Fatal(err)
	}
	return serve, dial
}
