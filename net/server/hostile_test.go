package server_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/testlong"
	"qkv/net/server"
	"qkv/net/server/servertest"
	"qkv/net/wire"
)

// Clients of one identity take all that they can: six connections ask for everything on all streams and read nothing,
// six bring a part of a large request on all streams, and the rest do nothing but be there, more of them than there are
// places. The member's memory grows by half a gibibyte at most, and other clients are served, of another identity and
// of the same. The attacker is a process of its own: this one's memory is the member's.
func TestHostileClients(t *testing.T) {
	testlong.Skip(t)
	places, idle := 200, 300
	if os.Getenv("QKV_FULL") != "" {
		places, idle = limits.ClientConnections, limits.ClientConnections+100
	}
	e := newEndpoint(t, func(c *server.Config) {
		c.Limits.Connections = places
		// The attacker dials one after the other, and so takes longer for all places: there is always one whose holder was idle
		// for that long. A quick host takes them all within the second that it is by default, in which the same identity is refused.
		c.Limits.PlaceIdle = 20 * time.Millisecond
	})
	m := wire.Maker{Now: time.Now, Rand: rand.Reader}
	if _, err := m.CreateClient(e.trust.Dir, "hostile"); err != nil {
		t.Fatal(err)
	}
	hostile, err := wire.LoadClient(e.trust.Dir, "hostile", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	good := e.raw(t)
	for i := range uint64(40) {
		good.send(put(i, fmt.Sprint("large", i), strings.Repeat("x", 500_000)))
		good.want(i, kv.OK)
	}
	runtime.GC()
	before := residentBytes(t)

	attacker := exec.Command(os.Args[0], "-test.run=^TestAttacker$")
	attacker.Env = append(os.Environ(), "QKV_TEST_ATTACK="+servertest.Endpoint(e.server), "QKV_TEST_TRUST="+e.trust.Dir, "QKV_TEST_IDLE="+strconv.Itoa(idle))
	attacker.Stderr = os.Stderr
	end, err := attacker.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	said, err := attacker.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := attacker.Start(); err != nil {
		t.Fatal(err)
	}
	defer attacker.Wait()
	defer end.Close()

	same := *e
	same.trust.Client = hostile
	most := int64(0)
	slowest := map[string]time.Duration{}
	putOnce := func(name string, e *endpoint) {
		begun := time.Now()
		r := e.raw(t)
		r.send(put(1, "k", strings.Repeat("v", 1000)))
		r.want(1, kv.OK)
		_ = r.conn.CloseWithError(0, "")
		slowest[name] = max(slowest[name], time.Since(begun))
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		for lines := bufio.NewScanner(said); lines.Scan(); {
			if lines.Text() == "attacked" {
				return
			}
		}
	}()
	for under := true; under; {
		select {
		case <-over:
			under = false
		case <-time.After(20 * time.Millisecond):
		}
		putOnce("another identity", e)
		putOnce("the same identity", &same)
		most = max(most, residentBytes(t))
	}
	stats := e.server.Stats()
	t.Logf("%d connections, %d MiB in clients' shares; resident: %d MiB before, %d MiB at most; connect and put took at most %v", stats.Connections, stats.Bytes>>20, before>>20, most>>20, slowest)
	if most-before > 512<<20 && !underRace {
		t.Errorf("the member grew by %d MiB", (most-before)>>20)
	}
	if stats.Connections < int64(places)-10 {
		t.Errorf("%d connections: this was no attack", stats.Connections)
	}
}

// residentBytes is this process' memory.
func residentBytes(t *testing.T) int64 {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip("the resident size of a process is only known on Linux: ", err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n << 10
}

// TestAttacker is the hostile clients' process. It goes on until its standard input ends.
func TestAttacker(t *testing.T) {
	target := os.Getenv("QKV_TEST_ATTACK")
	if target == "" {
		t.Skip("run by TestHostileClients")
	}
	credentials, err := wire.LoadClient(filepath.Clean(os.Getenv("QKV_TEST_TRUST")), "hostile", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	idle, _ := strconv.Atoi(os.Getenv("QKV_TEST_IDLE"))
	addr, err := net.ResolveUDPAddr("udp", target)
	if err != nil {
		t.Fatal(err)
	}
	socket, err := net.ListenUDP("udp4", nil)
	if err != nil {
		t.Fatal(err)
	}
	under := &quic.Transport{Conn: socket}
	config := wire.ClientTLS(credentials, wire.ProtocolClient, wire.Identity{Class: wire.ClassMember})
	dial := func() *quic.Conn {
		ctx, cancel := context.WithTimeout(context.Background(), wait)
		defer cancel()
		c, err := under.Dial(ctx, addr, config, &quic.Config{
			MaxIdleTimeout: time.Minute, KeepAlivePeriod: 5 * time.Second,
			InitialStreamReceiveWindow: 16 << 10, InitialConnectionReceiveWindow: 1 << 30, MaxConnectionReceiveWindow: 1 << 30,
		})
		if err != nil {
			t.Log(err)
			return nil
		}
		return c
	}
	var all []byte // requests for everything, in both ways
	for id := range uint64(50) {
		body := kv.AppendRange(nil, &kv.Range{Key: []byte{1}, End: []byte{0}, Serializable: id%2 == 1})
		all = wire.AppendRequest(all, id, wire.OpRange, time.Minute, body)
	}
	large := put(1, "k", strings.Repeat("v", limits.RequestBytesWritten-1<<10))
	for i := range 12 {
		c := dial()
		if c == nil {
			continue
		}
		for range limits.ClientStreams {
			s, err := c.OpenStream()
			if err != nil {
				break
			}
			if i%2 == 0 {
				go func() { _, _ = s.Write(all) }()
			} else {
				go func() { _, _ = s.Write(large[:len(large)-1]) }()
			}
		}
	}
	for range idle {
		dial()
	}
	time.Sleep(2 * limits.ClientStall)
	fmt.Println("attacked")
	_, _ = io.Copy(io.Discard, os.Stdin)
	_ = socket.Close()
	_ = under.Close()
}
