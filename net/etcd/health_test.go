package etcd_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding/gzip"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"qkv/internal/limits"
	"qkv/internal/testlong"
	"qkv/net/etcd"
)

// TestHealth asks gRPC's health service for known and unknown names, and watches both until the endpoint ends.
func TestHealth(t *testing.T) {
	s := start(t, newMember(), nil)
	c := healthpb.NewHealthClient(dial(t, s))
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	watches := map[string]healthpb.Health_WatchClient{}
	for name, want := range map[string]string{
		"": "SERVING", "etcdserverpb.KV": "SERVING", "v3lockpb.Lock": "SERVING", "grpc.health.v1.Health": "SERVING", "etcdserverpb.Nothing": "SERVICE_UNKNOWN",
	} {
		answer, err := c.Check(ctx, &healthpb.HealthCheckRequest{Service: name})
		if known := want == "SERVING"; known != (err == nil) || known && answer.Status.String() != want || !known && status.Code(err) != codes.NotFound {
			t.Errorf("Check %q: %v %v, want %s", name, answer, err, want)
		}
		w, err := c.Watch(ctx, &healthpb.HealthCheckRequest{Service: name})
		if err != nil {
			t.Fatal(err)
		}
		if answer, err = w.Recv(); err != nil || answer.Status.String() != want {
			t.Errorf("Watch %q: %v %v, want %s", name, answer, err, want)
		}
		watches[name] = w
	}
	all, err := c.List(ctx, &healthpb.HealthListRequest{})
	if err != nil || all.Statuses[""].GetStatus() != healthpb.HealthCheckResponse_SERVING || all.Statuses["etcdserverpb.KV"] == nil {
		t.Errorf("List: %v %v", all, err)
	}
	s.Drain(ctx) // it waits for all streams
	if ctx.Err() != nil {
		t.Error("a watch of the health held up the end")
	}
	for name, w := range watches {
		if name != "etcdserverpb.Nothing" {
			if answer, err := w.Recv(); err != nil || answer.Status != healthpb.HealthCheckResponse_NOT_SERVING {
				t.Errorf("Watch %q at the end: %v %v", name, answer, err)
			}
		}
		if _, err := w.Recv(); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("Watch %q behind the end: %v", name, err)
		}
	}
}

// inUse is the memory of objects and stacks that are reachable, in bytes.
func inUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// TestHealthOfManyNames watches names of 1.4 MB, and then ends the streams: the endpoint keeps none of the names, neither while the
// streams are open nor afterwards. It has no decompressor: a compressed name is refused.
func TestHealthOfManyNames(t *testing.T) {
	testlong.Skip(t)
	const names, bytes, most = 150, 1_400_000, 64 << 20 // the names take three times as much
	s := start(t, newMember(), nil)
	c := healthpb.NewHealthClient(dial(t, s))
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	if _, err := c.Check(ctx, &healthpb.HealthCheckRequest{}, grpc.UseCompressor(gzip.Name)); status.Code(err) != codes.Unimplemented {
		t.Errorf("a compressed name: %v", err)
	}
	before := inUse()
	long := strings.Repeat("n", bytes)
	for i := range names {
		w, err := c.Watch(ctx, &healthpb.HealthCheckRequest{Service: fmt.Sprint(i, long)})
		if err != nil {
			t.Fatal(err)
		}
		if answer, err := w.Recv(); err != nil || answer.Status != healthpb.HealthCheckResponse_SERVICE_UNKNOWN {
			t.Fatalf("%v %v", answer, err)
		}
	}
	if more := inUse() - before; more > most {
		t.Errorf("%d open watches of names of %d bytes take %d bytes", names, bytes, more)
	}
	cancel()
	eventually(t, func() bool { return s.Stats().MessageBytes == 0 })
	if more := inUse() - before; more > most {
		t.Errorf("%d watches that have ended take %d bytes", names, more)
	}
}

// TestHealthStreams opens as many watches of the health as the endpoint serves other streams, on several connections. It refuses
// those beyond the limit of their own; the others take bounded memory, and no place of a watch of keys.
func TestHealthStreams(t *testing.T) {
	const connections, each = 4, etcd.EtcdStreamsAll / 4
	s := start(t, newMember(), nil)
	before, goroutines := inUse(), runtime.NumGoroutine()
	request := message(&healthpb.HealthCheckRequest{Service: "etcdserverpb.Nothing"})
	var open []net.Conn
	for range connections {
		h := attack(t, s)
		open = append(open, h)
		go h.read()
		for range each {
			id, err := h.begin("/grpc.health.v1.Health/Watch")
			if err != nil {
				t.Fatal(err)
			}
			if !h.send(id, request, true) {
				t.Fatal("the connection is closed")
			}
		}
		_ = h.frames.WritePing(false, [8]byte{})
		eventually(t, h.answered)
	}
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	w, err := healthpb.NewHealthClient(dial(t, s)).Watch(ctx, &healthpb.HealthCheckRequest{})
	if err == nil {
		_, err = w.Recv()
	}
	if want := fmt.Sprintf("serves %d watches of its health, its limit", etcd.EtcdHealthStreams); status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), want) {
		t.Errorf("one more watch of the health than %d: %v", etcd.EtcdHealthStreams, err)
	}
	// Goroutines of refused streams may still be ending. They do not wait for another request: that would take ten seconds.
	const most = int64(etcd.EtcdHealthStreams * limits.EtcdStreamBytes)
	more := inUse() - before
	for stop := time.Now().Add(5 * time.Second); more > most && time.Now().Before(stop); more = inUse() - before {
		time.Sleep(10 * time.Millisecond)
	}
	if more > most {
		t.Errorf("the streams take %d bytes, the limits allow %d", more, most)
	}
	keys, err := pb.NewWatchClient(dial(t, s)).Watch(ctx)
	if err == nil {
		err = keys.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{Key: []byte("a")}}})
	}
	if err == nil {
		_, err = keys.Recv()
	}
	if err != nil {
		t.Errorf("a watch of keys beside watches of the health: %v", err)
	}
	for _, c := range open {
		_ = c.Close()
	}
	left := runtime.NumGoroutine()
	for stop := time.Now().Add(5 * time.Second); left > goroutines+etcd.EtcdHealthStreams/2 && time.Now().Before(stop); left = runtime.NumGoroutine() {
		time.Sleep(10 * time.Millisecond)
	}
	if left > goroutines+etcd.EtcdHealthStreams/2 {
		t.Errorf("%d goroutines serve no stream; before the streams there were %d", left, goroutines)
	}
	again := healthpb.NewHealthClient(dial(t, s))
	eventually(t, func() bool { // the places of those that were refused, too, are there again
		w, err := again.Watch(ctx, &healthpb.HealthCheckRequest{})
		if err == nil {
			_, err = w.Recv()
		}
		return err == nil
	})
}
