package etcd_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	"qkv/index/kv"
	"qkv/internal/testlong"
	"qkv/net/etcd"
	"qkv/net/server/servertest"
	"qkv/net/wire"
)

// firstFrame returns the type of the first frame that a gRPC client reads, and what a GOAWAY says.
func firstFrame(t *testing.T, s *etcd.Server) (of http2.FrameType, says string) {
	t.Helper()
	c := raw(t, s, http2.ClientPreface)
	_ = c.SetReadDeadline(time.Now().Add(wait))
	f, err := http2.NewFramer(nil, c).ReadFrame()
	if err != nil {
		t.Fatal(err)
	}
	if away, is := f.(*http2.GoAwayFrame); is {
		says = string(away.DebugData())
	}
	return f.Header().Type, says
}

// TestSuspendedMemberServesNoGRPC: a member that takes no part refuses gRPC before its SETTINGS, each time, so that no balancer takes the
// connection for a working one. It answers probes, also those of clients that offer both protocols by TLS. Readmitted, it serves again.
func TestSuspendedMemberServesNoGRPC(t *testing.T) {
	t.Parallel()
	m, trust := newMember(), servertest.NewTrust(t)
	var stuck atomic.Bool // the disk is full
	secure := wire.EtcdTLS(trust.Member)
	secure.NextProtos = []string{"h2", "http/1.1"}
	s := start(t, m, func(c *etcd.Config) {
		c.Listeners[0].TLS = secure
		c.Stuck = func() error {
			if stuck.Load() {
				return errors.New("the disk is full")
			}
			return nil
		}
	})
	negotiated := func() string {
		config := wire.ClientTLS(trust.Client, "h2", wire.Identity{Class: wire.ClassMember})
		config.NextProtos = []string{"h2", "http/1.1"}
		c, err := tls.Dial("tcp", s.Addr().String(), config)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().NegotiatedProtocol
	}
	for _, suspended := range []bool{false, true, true, false, true} {
		first, ready, protocol := http2.FrameSettings, http.StatusOK, "h2"
		if m.SetRefuse(nil); suspended {
			first, ready, protocol = http2.FrameGoAway, http.StatusServiceUnavailable, "http/1.1"
			m.SetRefuse(kv.Errorf(kv.Amnesia, "it has forgotten entry 9"))
		}
		of, says := firstFrame(t, s)
		if of != first || suspended != strings.Contains(says, "forgotten entry 9") {
			t.Errorf("suspended %v: the first frame is %v, %q", suspended, of, says)
		}
		if got := negotiated(); got != protocol {
			t.Errorf("suspended %v: %s by TLS, want %s", suspended, got, protocol)
		}
		if !suspended { // a full disk is no reason to restart the member
			stuck.Store(true)
			if of, says := firstFrame(t, s); of != http2.FrameGoAway || says != "the disk is full" {
				t.Errorf("a full disk: the first frame is %v, %q", of, says)
			}
			if code, body := get(t, s, "/livez"); code != http.StatusOK || negotiated() != "http/1.1" {
				t.Errorf("a full disk: /livez: %d %s", code, body)
			}
			stuck.Store(false)
		}
		for path, want := range map[string]int{"/metrics": http.StatusOK, "/version": http.StatusOK, "/readyz": ready} {
			if code, body := get(t, s, path); code != want {
				t.Errorf("suspended %v: %s: %d %s", suspended, path, code, body)
			}
		}
	}
}

// balanced is a client of several servers, with the balancer of etcd's client.
func balanced(t *testing.T, all ...*etcd.Server) pb.KVClient {
	t.Helper()
	r := manual.NewBuilderWithScheme("gate")
	var at resolver.State
	for _, s := range all {
		at.Addresses = append(at.Addresses, resolver.Address{Addr: s.Addr().String()})
	}
	r.InitialState(at)
	c, err := grpc.NewClient("gate:///", grpc.WithResolvers(r), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"round_robin": {}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return pb.NewKVClient(c)
}

// TestClientsLeaveASuspendedMember suspends one of two members under a client that uses both in turns: the connection ends, the streams on it
// end, and of the puts only a few fail. The client comes back when the member is readmitted.
func TestClientsLeaveASuspendedMember(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	const puts = 1000
	sick, well := newMember(), newMember()
	s := start(t, sick, nil)
	c := balanced(t, s, start(t, well, nil))
	put := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		defer cancel()
		_, err := c.Put(ctx, &pb.PutRequest{Key: []byte("k")}, grpc.WaitForReady(true))
		return err
	}
	reaches := func() {
		t.Helper()
		for before, until := sick.Proposals.Load(), time.Now().Add(wait); sick.Proposals.Load() == before; {
			if err := put(); err != nil || time.Now().After(until) {
				t.Fatalf("no put reaches the member: %v", err)
			}
		}
	}
	reaches()
	keeps, err := pb.NewLeaseClient(dial(t, s)).LeaseKeepAlive(t.Context()) // that no request shows
	if err != nil {
		t.Fatal(err)
	}
	if err := keeps.Send(&pb.LeaseKeepAliveRequest{ID: 9}); err != nil {
		t.Fatal(err)
	}
	if _, err := keeps.Recv(); err != nil {
		t.Fatal(err)
	}
	sick.SetRefuse(kv.Errorf(kv.Corrupt, "another state"))
	ended := make(chan error, 1)
	go func() {
		_, err := keeps.Recv()
		ended <- err
	}()
	failed := 0
	for range puts {
		if put() != nil {
			failed++
		}
		time.Sleep(time.Millisecond)
	}
	if failed > puts/10 {
		t.Errorf("%d of %d puts failed", failed, puts)
	}
	before := well.Proposals.Load()
	for range 100 {
		if err := put(); err != nil {
			t.Fatal(err)
		}
	}
	if n := well.Proposals.Load() - before; n != 100 {
		t.Errorf("of 100 puts, %d came to the member that takes part", n)
	}
	select {
	case err := <-ended:
		if err == nil {
			t.Error("the stream got an answer")
		}
	case <-time.After(wait):
		t.Error("the stream goes on")
	}
	sick.SetRefuse(nil)
	reaches()
}

// TestGRPCWaitsForTheStart: during a start a connection is held before its SETTINGS, and is served as soon as the member is. A client of two
// members uses the other one meanwhile. --serve-stale opens the gate when the log is replayed.
func TestGRPCWaitsForTheStart(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		stale  bool
		opened wire.Stage
	}{{false, wire.StageCurrent}, {true, wire.StageReplayed}} {
		its, sick, well := &wire.Start{Stale: c.stale}, newMember(), newMember()
		s := start(t, sick, func(c *etcd.Config) { c.Start = its })
		both := balanced(t, s, start(t, well, nil))
		for range 100 {
			if _, err := both.Put(t.Context(), &pb.PutRequest{Key: []byte("k")}); err != nil {
				t.Fatalf("--serve-stale %v: a put beside a member that starts: %v", c.stale, err)
			}
		}
		held := raw(t, s, http2.ClientPreface)
		nothing := func(stage wire.Stage) {
			_ = held.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			if n, err := held.Read(make([]byte, 1)); n > 0 || err == nil || !err.(net.Error).Timeout() {
				t.Errorf("--serve-stale %v, at stage %d: %d bytes, %v", c.stale, stage, n, err)
			}
		}
		for stage := wire.StageReplaying; stage < c.opened; stage++ {
			its.Raise(stage)
			nothing(stage)
		}
		if code, body := get(t, s, "/livez"); code != http.StatusOK {
			t.Errorf("--serve-stale %v: /livez: %d %s", c.stale, code, body)
		}
		its.Raise(c.opened)
		_ = held.SetReadDeadline(time.Now().Add(wait))
		if f, err := http2.NewFramer(nil, held).ReadFrame(); err != nil || f.Header().Type != http2.FrameSettings {
			t.Errorf("--serve-stale %v: the gate is open: %v, %v", c.stale, f, err)
		}
	}

	its := &wire.Start{}
	s := start(t, newMember(), func(c *etcd.Config) {
		c.Start, c.Timeout, c.Limits.Handshake = its, 50*time.Millisecond, 20*time.Millisecond
	})
	if of, says := firstFrame(t, s); of != http2.FrameGoAway || !strings.Contains(says, "starting") {
		t.Errorf("a start that takes long: %v, %q", of, says)
	}
}
