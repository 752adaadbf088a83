package cli

import (
	"context"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"qkv/cli/form"
	"qkv/cli/run"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/testlong"
	"qkv/net/wire"
)

// TestAdverseHostileClients: whoever has a certificate opens connections that read nothing, that do nothing, and that
// send what never ends. The member's memory stays within its budget, and others are served.
func TestAdverseHostileClients(t *testing.T) {
	testlong.Skip(t)
	alongside(t)
	const (
		memoryMost = 512 << 20
		unread     = 6 // connections that read nothing
		partial    = 6 // connections of partial frames
	)
	idle, took, putMost := variant(100, 4096), variant(4*time.Second, 20*time.Second), variant(processWait/4, time.Second)
	c := newCertified(t, time.Hour)
	_, err := form.CertMaker().CreateClient(c.ca, "hostile")
	must(t, err)
	for _, m := range c.members {
		m.start()
	}
	c.awaitLevel()
	s := c.open(0, processWait)
	value := make([]byte, 1<<20)
	for i := range 64 {
		if _, err := s.Put(t.Context(), fmt.Appendf(nil, "big/%02d", i), value); err != nil {
			t.Fatal(err)
		}
	}
	members := c.awaitLevel()
	victim := c.named(run.LeaderOf(members).Name)
	credentials, err := wire.LoadClient(c.ca, "hostile", time.Now)
	must(t, err)
	config := wire.ClientTLS(credentials, wire.ProtocolClient, wire.Identity{Class: wire.ClassMember, Name: victim.name})
	before := victim.residentBytes()

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var hostile sync.WaitGroup
	var held atomic.Int64
	dial := func() *quic.Conn {
		dialling, done := context.WithTimeout(ctx, processWait)
		defer done()
		conn, err := quic.DialAddr(dialling, victim.listen, config, &quic.Config{KeepAlivePeriod: time.Second, MaxIdleTimeout: 30 * time.Second})
		if err != nil {
			return nil // refused: as well
		}
		held.Add(1)
		return conn
	}
	end := func(conn *quic.Conn) {
		<-ctx.Done()
		_ = conn.CloseWithError(0, "")
	}
	for range unread {
		hostile.Go(func() { attack(ctx, dial, end, unreadStream) })
	}
	for range partial {
		hostile.Go(func() { attack(ctx, dial, end, partialStream) })
	}
	for range 32 {
		hostile.Go(func() {
			for range idle / 32 {
				if conn := dial(); conn != nil {
					hostile.Go(func() { end(conn) })
				}
			}
		})
	}

	// Another identity's puts, each on a connection that was there and on one of its own.
	var peak int64
	var slowest, slowestNew time.Duration
	puts := 0
	for begun := time.Now(); time.Since(begun) < took || puts < 3; puts++ {
		ctx, done := context.WithTimeout(t.Context(), processWait)
		at := time.Now()
		if _, err := s.Put(ctx, []byte("put"), []byte("v")); err != nil {
			t.Errorf("put: %v", err)
		}
		slowest = max(slowest, time.Since(at))
		at = time.Now()
		alone := &clusterProcess{t: t, certsDir: c.certsDir, client: c.client, members: []*memberProcess{victim}}
		fresh := alone.open(0, processWait)
		if _, err := fresh.Put(ctx, []byte("put"), []byte("v")); err != nil {
			t.Errorf("put by a new connection: %v", err)
		}
		slowestNew = max(slowestNew, time.Since(at))
		_ = fresh.Close()
		done()
		peak = max(peak, victim.residentBytes())
		time.Sleep(100 * time.Millisecond)
	}
	cancel()
	hostile.Wait()
	t.Logf("figures: %d connections of one identity, %d unread, %d of partial frames: RSS from %d to %d MiB, another's put within %v, on a new connection %v",
		held.Load(), unread, partial, before>>20, peak>>20, slowest.Round(time.Millisecond), slowestNew.Round(time.Millisecond))
	if peak-before > memoryMost {
		t.Errorf("the member's memory grew by %d MiB, over %d", (peak-before)>>20, memoryMost>>20)
	}
	if slowest > putMost {
		t.Errorf("another's put took %v, over %v", slowest, putMost)
	}
	if slowestNew > 5*putMost { // thousands of handshakes are at the same two processors, at both ends
		t.Errorf("another's put on a new connection took %v, over %v", slowestNew, 5*putMost)
	}
	c.allRun()
	for _, m := range c.members {
		if line := lineWith(m.lines(), "panic"); line != "" {
			t.Errorf("%s says %s", m.name, line)
		}
	}
}

// attack opens all streams of a connection, does something on each, and opens another connection when it is closed.
func attack(ctx context.Context, dial func() *quic.Conn, end func(*quic.Conn), do func(context.Context, *quic.Stream)) {
	for ctx.Err() == nil {
		conn := dial()
		if conn == nil {
			pause(ctx, 100*time.Millisecond)
			continue
		}
		var streams sync.WaitGroup
		for range limits.ClientStreams {
			stream, err := conn.OpenStream()
			if err != nil {
				break
			}
			streams.Go(func() { do(ctx, stream) })
		}
		streams.Wait()
		select {
		case <-ctx.Done():
			end(conn)
		case <-conn.Context().Done():
			pause(ctx, 100*time.Millisecond)
		}
	}
}

// unreadStream asks for large pages, and reads none.
func unreadStream(ctx context.Context, stream *quic.Stream) {
	stop := context.AfterFunc(ctx, func() { stream.CancelWrite(0) })
	defer stop()
	for id := uint64(1); id < 64; id++ {
		body := kv.AppendRange(nil, &kv.Range{Key: []byte("big/"), End: []byte("big0"), Serializable: true})
		_ = stream.SetWriteDeadline(time.Now().Add(2 * time.Second))
		if _, err := stream.Write(wire.AppendRequest(nil, id, wire.OpRange, time.Minute, body)); err != nil {
			return
		}
	}
}

// partialFrame is the same for all: of its own each of 384 streams would take twelve gigabytes of this host, together.
var partialFrame = sync.OnceValue(func() []byte {
	return append(binary.AppendUvarint(nil, limits.RequestBytes), make([]byte, limits.RequestBytes-1)...)
})

// partialStream sends the largest frame but for its last byte.
func partialStream(ctx context.Context, stream *quic.Stream) {
	stop := context.AfterFunc(ctx, func() { stream.CancelWrite(0) })
	defer stop()
	_, _ = stream.Write(partialFrame())
}

// residentBytes is how much memory a member has.
func (m *memberProcess) residentBytes() int64 {
	m.t.Helper()
	for line := range strings.Lines(string(readFile(m.t, fmt.Sprintf("/proc/%d/status", m.cmd.Process.Pid)))) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				m.t.Fatal(err)
			}
			return kib << 10
		}
	}
	m.t.Fatalf("no VmRSS of %s", m.name)
	return 0
}
