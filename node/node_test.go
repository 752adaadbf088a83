package node_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/figures"
	"qkv/internal/limits"
	"qkv/internal/testretry"
	"qkv/net/client"
	"qkv/net/wire"
	"qkv/node"
)

// cluster is some members in this process, with real disks and sockets.
type cluster struct {
	t       testing.TB
	home    string
	configs []node.Config
	nodes   []*node.Node

	smallParts bool // members have many snapshots with many parts
}

// wait is for how long a test waits for what must come.
const wait = time.Minute

// withCluster runs a test that real disks and clocks take part in. Whoever stands still for longer than an election timeout has
// another leader afterwards, and a write whose outcome is not known: the test then runs again with a longer one.
func withCluster(t *testing.T, members int, test func(t testing.TB, c *cluster)) {
	t.Helper()
	testretry.Longer(t, 500*time.Millisecond, func(t testing.TB, election time.Duration) {
		test(t, newCluster(t, members, election))
	})
}

// freeAddresses returns addresses on loopback that nobody listens on.
func freeAddresses(t testing.TB, n int) []string {
	t.Helper()
	var found []string
	for range 1000 {
		if len(found) == n {
			return found
		}
		port := int(nextPort.Add(1))
		udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
		if err != nil {
			continue
		}
		tcp, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
		if udp.Close(); err != nil {
			continue
		}
		tcp.Close()
		found = append(found, fmt.Sprintf("127.0.0.1:%d", port))
	}
	t.Fatalf("no %d free ports", n)
	return nil
}

// nextPort is where freeAddresses looks next: what one test was given, another one is not. The ports lie below those that the
// system gives away.
var nextPort atomic.Int64

func init() { nextPort.Store(28000 + mathrand.Int64N(2000)) }

func newCluster(t testing.TB, members int, election time.Duration) *cluster {
	t.Helper()
	c := planCluster(t, members, election)
	for i := range members {
		c.start(i)
	}
	return c
}

// planCluster starts nobody.
func planCluster(t testing.TB, members int, election time.Duration) *cluster {
	t.Helper()
	c := &cluster{t: t, home: t.TempDir(), nodes: make([]*node.Node, members)}
	addresses := freeAddresses(t, 2*members)
	var list []node.Founder
	for i := range members {
		list = append(list, node.Founder{Name: fmt.Sprintf("n%d", i+1), Address: addresses[members+i]})
	}
	for i := range members {
		c.configs = append(c.configs, node.Config{
			Name: list[i].Name, DataDir: t.TempDir() + "/data", Listen: addresses[i], ListenPeer: list[i].Address,
			InitialCluster: list, InitialClusterToken: "test", Home: c.home,
			HeartbeatInterval: election / 10, ElectionTimeout: election,
			MaxRequestBytes: limits.RequestBytesWritten, SegmentBytes: 1 << 20, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)), Version: "test",
		})
	}
	t.Cleanup(func() {
		for i := range members {
			c.stop(i)
		}
	})
	return c
}

func (c *cluster) start(i int) {
	c.t.Helper()
	begin := node.Start
	if c.smallParts {
		begin = node.StartWithSmallParts
	}
	n, err := begin(context.Background(), c.configs[i])
	if err != nil {
		c.t.Fatal(err)
	}
	c.nodes[i] = n
}

func (c *cluster) stop(i int) {
	c.t.Helper()
	if c.nodes[i] == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	if err := c.nodes[i].Stop(ctx); err != nil {
		c.t.Errorf("stop %s: %v", c.configs[i].Name, err)
	}
	c.nodes[i] = nil
}

func (c *cluster) client(members ...int) *client.Client {
	c.t.Helper()
	credentials, err := wire.Maker{Now: time.Now, Rand: rand.Reader}.LocalClient(c.home)
	if err != nil {
		c.t.Fatal(err)
	}
	var endpoints []string
	for _, i := range members {
		endpoints = append(endpoints, c.configs[i].Listen)
	}
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	cl, err := client.Open(ctx, client.Config{Endpoints: endpoints, Credentials: credentials, Timeout: wait})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = cl.Close() })
	return cl
}

func (c *cluster) leader() int {
	c.t.Helper()
	for deadline := time.Now().Add(wait); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		for i, n := range c.nodes {
			if n != nil && n.Status().Role == "leader" {
				return i
			}
		}
	}
	c.t.Fatal("no member leads")
	return 0
}

func TestOneMember(t *testing.T) { withCluster(t, 1, oneMember) }

func oneMember(t testing.TB, c *cluster) {
	cl := c.client(0)
	ctx := context.Background()
	put, err := cl.Put(ctx, []byte("greeting"), []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	if put.Revision != 2 {
		t.Errorf("the first write has revision %d, not 2", put.Revision)
	}
	got, _, err := cl.Get(ctx, []byte("greeting"))
	if err != nil || string(got.Value) != "hello" {
		t.Fatalf("got %+v, %v", got, err)
	}
	c.stop(0)
	c.start(0)
	got, _, err = cl.Get(ctx, []byte("greeting"))
	if err != nil || string(got.Value) != "hello" {
		t.Fatalf("after a restart: %+v, %v", got, err)
	}
}

func TestThreeMembersAndALeaderThatStops(t *testing.T) { withCluster(t, 3, leaderStops) }

func leaderStops(t testing.TB, c *cluster) {
	ctx := context.Background()
	cl := c.client(0, 1, 2)
	for i := range 100 {
		if _, err := cl.Put(ctx, fmt.Appendf(nil, "key%d", i), fmt.Appendf(nil, "value%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	leader := c.leader()
	if links := c.nodes[leader].Status().Links; len(links) != 2 || !slices.ContainsFunc(links, func(l kv.Link) bool {
		return l.Connected && l.RTT > 0 && l.Error == ""
	}) {
		t.Errorf("the leader's links: %+v", links)
	}
	begun := time.Now()
	c.stop(leader)
	t.Logf("the leader stopped in %v", time.Since(begun))
	begun = time.Now()
	if _, err := cl.Put(ctx, []byte("after"), []byte("x")); err != nil {
		t.Fatal(err)
	}
	t.Logf("the next write took %v", time.Since(begun))
	c.start(leader)
	for deadline := time.Now().Add(wait); ; time.Sleep(20 * time.Millisecond) {
		a, b, d := c.nodes[0].Status(), c.nodes[1].Status(), c.nodes[2].Status()
		if a.Count(figures.Applied) == b.Count(figures.Applied) && b.Count(figures.Applied) == d.Count(figures.Applied) {
			if a.Digest != b.Digest || b.Digest != d.Digest || a.Get(figures.Revision) != 102 {
				t.Fatalf("at index %d: digests %x %x %x, revision %d", a.Count(figures.Applied), a.Digest, b.Digest, d.Digest, a.Get(figures.Revision))
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("applied %d %d %d: the restarted member does not catch up", a.Count(figures.Applied), b.Count(figures.Applied), d.Count(figures.Applied))
		}
	}
	follower := c.client((c.leader() + 1) % 3)
	for i := range 100 {
		got, _, err := follower.Get(ctx, fmt.Appendf(nil, "key%d", i))
		if err != nil || string(got.Value) != fmt.Sprintf("value%d", i) {
			t.Fatalf("key%d: %+v, %v", i, got, err)
		}
	}
}

// A member that is handed the leadership and is then stopped itself hands it on once: two that stop do not pass it to
// and fro while the third is away.
func TestMembersThatStopTogether(t *testing.T) { withCluster(t, 3, stopTogether) }

func stopTogether(t testing.TB, c *cluster) {
	first := c.leader()
	second, away := (first+1)%3, (first+2)%3
	c.stop(away)
	began := c.nodes[first].Status().Count(figures.Term)
	var stopped sync.WaitGroup
	stop := func(i int) {
		stopped.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), wait)
			defer cancel()
			if err := c.nodes[i].Stop(ctx); err != nil {
				t.Errorf("stop %s: %v", c.configs[i].Name, err)
			}
		})
	}
	stop(first)
	for deadline := time.Now().Add(wait); c.nodes[second].Status().Role != "leader"; time.Sleep(100 * time.Microsecond) {
		if time.Now().After(deadline) {
			t.Fatal("the leadership is not handed over")
		}
	}
	time.Sleep(3 * time.Millisecond) // it can hand on what it has led for a moment
	stop(second)
	stopped.Wait()
	for _, i := range []int{first, second} {
		if term := c.nodes[i].Status().Count(figures.Term); term > began+2 {
			t.Errorf("%s stopped in term %d, the first began to in term %d", c.configs[i].Name, term, began)
		}
		c.nodes[i] = nil
	}
}
