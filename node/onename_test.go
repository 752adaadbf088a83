package node_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/figures"
	"qkv/internal/testlong"
	"qkv/net/client"
	"qkv/node"
)

// relay is the way to a member's peer port. The packets of the members whose port is cut are lost, in both directions.
type relay struct {
	in  *net.UDPConn
	cut sync.Map // the address of a member's peer port to true
}

// newRelay returns a way to an address. It ends with the test.
func newRelay(t testing.TB, to string) *relay {
	t.Helper()
	target, err := net.ResolveUDPAddr("udp", to)
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{}
	if r.in, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	ways := map[string]*net.UDPConn{} // by sender, as the target sees it
	all.Go(func() {
		defer func() {
			for _, way := range ways {
				way.Close()
			}
		}()
		for b := make([]byte, 2048); ; {
			n, sender, err := r.in.ReadFromUDP(b)
			if err != nil {
				return
			}
			from := sender.String()
			way := ways[from]
			if way == nil {
				if way, err = net.DialUDP("udp", nil, target); err != nil {
					return
				}
				ways[from] = way
				all.Go(func() {
					for b := make([]byte, 2048); ; {
						n, err := way.Read(b)
						if err != nil && strings.Contains(err.Error(), "closed") {
							return
						}
						if _, cut := r.cut.Load(from); err == nil && !cut {
							_, _ = r.in.WriteToUDP(b[:n], sender)
						}
					}
				})
			}
			if _, cut := r.cut.Load(from); !cut {
				_, _ = way.Write(b[:n])
			}
		}
	})
	t.Cleanup(func() { r.in.Close(); all.Wait() })
	return r
}

// Two hosts are started as n3, each of which reaches another one of n1 and n2. Then n1 and n2 are cut from each other: at most one of them
// goes on with a quorum, and all writes that were acknowledged meanwhile are there when they meet again.
func TestTwoHostsOfOneName(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	withCluster(t, 0, twoHostsOfOneName)
}

func twoHostsOfOneName(t testing.TB, _ *cluster) {
	election := time.Second
	c := planCluster(t, 4, election)
	real := make([]string, 4)
	ways := make([]*relay, 4)
	for i := range c.configs {
		real[i] = c.configs[i].ListenPeer
		ways[i] = newRelay(t, real[i])
		c.configs[i].AdvertisePeer = ways[i].in.LocalAddr().String()
	}
	founders := []node.Founder{{Name: "n1", Address: c.configs[0].AdvertisePeer}, {Name: "n2", Address: c.configs[1].AdvertisePeer}}
	part := func(a, b int) { ways[a].cut.Store(real[b], true); ways[b].cut.Store(real[a], true) }
	meet := func(a, b int) { ways[a].cut.Delete(real[b]); ways[b].cut.Delete(real[a]) }
	for i := range c.configs {
		c.configs[i].InitialCluster = nil
		if i < 2 {
			c.configs[i].InitialCluster = founders
		} else {
			c.configs[i].Name, c.configs[i].Join = "n3", []string{real[i-2]}
			part(i, 3-i) // the one of n1 and n2 that it does not reach
		}
	}
	c.start(0)
	c.start(1)
	cl := c.client(0, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 3*wait)
	defer cancel()
	until(t, "n3 cannot be added", func() bool {
		_, err := cl.Admin().AddMember(ctx, "n3", []string{c.configs[2].AdvertisePeer}, client.AddOptions{})
		return err == nil
	})
	var joining sync.WaitGroup
	joined := make([]atomic.Pointer[node.Node], 4)
	refused := make([]error, 4)
	for i := 2; i < 4; i++ {
		joining.Go(func() {
			n, err := node.Start(ctx, c.configs[i])
			refused[i] = err
			if err == nil {
				joined[i].Store(n)
			}
		})
	}
	stop := func() {
		cancel()
		joining.Wait()
		for i := range joined {
			c.nodes[i] = firstOf(joined[i].Load(), c.nodes[i])
		}
	}
	defer stop()
	third := 0
	until(t, "neither host becomes n3", func() bool {
		for i := 2; i < 4; i++ {
			if joined[i].Load() != nil {
				third = i
			}
		}
		return third != 0
	})
	meet(third, 3-third) // it may be the leader, without which no learner votes
	until(t, "n3 does not vote", func() bool { return votes(joined[third].Load().Status().Members, "n3") })
	part(third, 3-third)
	part(0, 1)
	var written sync.Map
	var writing sync.WaitGroup
	for i := range 2 {
		mine := c.client(i)
		writing.Go(func() {
			for n, end := 0, time.Now().Add(5*election); time.Now().Before(end); n++ {
				key := fmt.Sprintf("n%d-%d", i+1, n)
				once, done := context.WithTimeout(ctx, election)
				if _, err := mine.Put(once, []byte(key), []byte("acknowledged")); err == nil {
					written.Store(key, true)
				}
				done()
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
	writing.Wait()
	for i := 2; i < 4; i++ {
		meet(i, 3-i)
	}
	meet(0, 1)

	members := []*node.Node{c.nodes[0], c.nodes[1], joined[third].Load()}
	until(t, "n1, n2 and n3 do not come to agree", func() bool {
		first := members[0].Status()
		for _, n := range members {
			if s := n.Status(); s.Count(figures.Applied) != first.Count(figures.Applied) || s.Leader == 0 || s.Leader != first.Leader {
				return false
			} else if s.Digest != first.Digest {
				t.Fatalf("the digests at %d are %x and %x", s.Count(figures.Applied), first.Digest, s.Digest)
			}
		}
		return true
	})
	count := 0
	written.Range(func(key, _ any) bool {
		count++
		if got, _, err := cl.Get(ctx, []byte(key.(string))); err != nil || string(got.Value) != "acknowledged" {
			t.Errorf("the acknowledged write of %s is lost: %q, %v", key, got.Value, err)
		}
		return true
	})
	if count == 0 {
		t.Error("no write was acknowledged")
	}
	if joined[5-third].Load() != nil {
		t.Error("both hosts are n3")
	}
	cancel()
	joining.Wait()
	if err := refused[5-third]; err == nil || !strings.Contains(err.Error(), "another data folder") {
		t.Errorf("the other host is not told why: %v", err)
	}
}

// votes tells whether a member of this name votes.
func votes(members []kv.Member, name string) bool {
	for _, m := range members {
		if m.Name == name && m.Role == kv.Voter {
			return true
		}
	}
	return false
}

// firstOf returns the first node that there is.
func firstOf(nodes ...*node.Node) *node.Node {
	for _, n := range nodes {
		if n != nil {
			return n
		}
	}
	return nil
}
