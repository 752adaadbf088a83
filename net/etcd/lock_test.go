package etcd_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	lockpb "go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"

	"qkv/index/kv"
	"qkv/net/etcd"
)

// TestWaitersLoseTheirLease: a waiter for a lock or an election whose lease is revoked is told so while the name is still held, and gives
// up its slot.
func TestWaitersLoseTheirLease(t *testing.T) {
	m := newMember()
	s := start(t, m, func(c *etcd.Config) { c.Limits.Locks = 2 })
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	c := dial(t, s)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(c.Invoke(ctx, "/v3lockpb.Lock/Lock", &pb.RangeRequest{Key: []byte("n")}, &pb.CompactionResponse{}))
	for _, method := range []string{"/v3lockpb.Lock/Lock", "/v3electionpb.Election/Campaign"} {
		granted, err := pb.NewLeaseClient(c).LeaseGrant(ctx, &pb.LeaseGrantRequest{TTL: 600})
		must(err)
		ended := make(chan error, 1)
		go func() {
			ended <- c.Invoke(ctx, method, &lockpb.LockRequest{Name: []byte("n"), Lease: granted.ID}, &pb.CompactionResponse{}) // a campaign's request has the same fields
		}()
		eventually(t, func() bool { return m.Watches() == 2 })
		_, err = pb.NewLeaseClient(c).LeaseRevoke(ctx, &pb.LeaseRevokeRequest{ID: granted.ID})
		must(err)
		if err := <-ended; status.Code(err) != codes.Unknown || !strings.Contains(err.Error(), "session is expired") {
			t.Errorf("%s without its lease: %v", method, err)
		}
		eventually(t, func() bool { return m.Watches() == 0 })
	}
}

// TestLocksThatWait has many wait for one lock: there are at most so many, who comes too late is told the limit, each is one goroutine
// of the server, and places that are given up are there again.
func TestLocksThatWait(t *testing.T) {
	const most = 400
	m := newMember()
	s := start(t, m, func(c *etcd.Config) { c.Limits.Locks = most })
	ctx, cancel := context.WithTimeout(t.Context(), 3*wait) // three conditions below may take half of wait each
	defer cancel()
	c := dial(t, s)
	if err := c.Invoke(ctx, "/v3lockpb.Lock/Lock", &pb.RangeRequest{Key: []byte("n")}, &pb.CompactionResponse{}); err != nil {
		t.Fatal(err)
	}
	h := attack(t, s)
	go h.read()
	before := runtime.NumGoroutine()
	const waiting = most / 2
	for range waiting {
		id, err := h.begin("/v3lockpb.Lock/Lock")
		if err == nil {
			err = h.frames.WriteData(id, true, message(&pb.RangeRequest{Key: []byte("n")}))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, func() bool { return m.Watches() >= waiting })
	eventually(t, func() bool { return s.Stats().Serving == 0 }) // they hold up nothing of their connection
	// What ended with the last of them, and with the tests before, may take a moment to go.
	eventually(t, func() bool { return runtime.NumGoroutine()-before <= waiting+waiting/2 })
	err := c.Invoke(ctx, "/v3lockpb.Lock/Lock", &pb.RangeRequest{Key: []byte("n")}, &pb.CompactionResponse{})
	if status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), fmt.Sprint(most)) {
		t.Errorf("one more: %v", err)
	}
	if _, err := pb.NewKVClient(c).Put(ctx, &pb.PutRequest{Key: []byte("a")}); err != nil {
		t.Errorf("another request: %v", err)
	}
	_ = h.Close()
	eventually(t, func() bool {
		short, done := context.WithTimeout(ctx, time.Second)
		defer done()
		err := c.Invoke(short, "/v3lockpb.Lock/Lock", &pb.RangeRequest{Key: []byte("n")}, &pb.CompactionResponse{})
		return status.Code(err) != codes.ResourceExhausted
	})
	eventually(t, func() bool { return s.Stats().MessageBytes == 0 && s.Stats().Serving == 0 })
	eventually(t, func() bool { return m.Watches() == 0 }) // nor does anybody wait any more
}

// TestLockThatIsGivenUpAtOnce: a request for a lock or an election that ends before its outcome leaves no place in the line. With a client's
// lease it does, as in etcd: the client's next request shares that place, and may have the lock already.
func TestLockThatIsGivenUpAtOnce(t *testing.T) {
	m := newMember()
	c := dial(t, start(t, m, nil))
	granted, err := pb.NewLeaseClient(c).LeaseGrant(withDeadline(t), &pb.LeaseGrantRequest{TTL: 600})
	if err != nil {
		t.Fatal(err)
	}
	store := pb.NewKVClient(c)
	for name, one := range map[string]struct {
		method       string
		lease        int64
		first, stays int64 // the writes before that of the place; the places that stay
	}{
		"a": {"/v3lockpb.Lock/Lock", 0, 1, 0},
		"b": {"/v3electionpb.Election/Campaign", 0, 1, 0},
		"c": {"/v3lockpb.Lock/Lock", granted.ID, 0, 1},
		"d": {"/v3electionpb.Election/Campaign", granted.ID, 0, 1},
	} {
		var writes atomic.Int64
		hold := make(chan struct{})
		m.SetBefore(func(n, _ int) *kv.Error {
			if n > 0 && writes.Add(1) > one.first {
				<-hold
			}
			return nil
		})
		ctx, cancel := context.WithCancel(withDeadline(t))
		ended := make(chan error, 1)
		go func() {
			ended <- c.Invoke(ctx, one.method, &lockpb.LockRequest{Name: []byte(name), Lease: one.lease}, &pb.CompactionResponse{})
		}()
		eventually(t, func() bool { return writes.Load() > one.first })
		cancel()
		if err := <-ended; status.Code(err) != codes.Canceled {
			t.Errorf("%s: %v", one.method, err)
		}
		if _, err := store.Range(withDeadline(t), &pb.RangeRequest{Key: []byte("n"), Serializable: true}); err != nil { // behind the reset
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond) // its handler goes
		m.SetBefore(nil)
		close(hold)
		if _, err := store.Put(withDeadline(t), &pb.PutRequest{Key: []byte("later")}); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() bool {
			found, err := store.Range(withDeadline(t), &pb.RangeRequest{Key: []byte(name + "/"), RangeEnd: []byte(name + "0")})
			return err == nil && found.Count == one.stays
		})
	}
}
