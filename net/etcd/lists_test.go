package etcd_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/testlong"
	"qkv/net/etcd"
)

// leaseWithKeys grants a lease and gives it keys of so many bytes, a few short ones among them, and returns them in their order.
func leaseWithKeys(ctx context.Context, t *testing.T, s *etcd.Server, id int64, total int) (keys [][]byte) {
	t.Helper()
	c := dial(t, s)
	if _, err := pb.NewLeaseClient(c).LeaseGrant(ctx, &pb.LeaseGrantRequest{ID: id, TTL: 3600}); err != nil {
		t.Fatal(err)
	}
	for n := 0; total > 0; n++ {
		key := fmt.Appendf(nil, "leased/%06d", n)
		if n%4 > 0 {
			key = append(key, bytes.Repeat([]byte{'k'}, limits.KeyBytes/2)...)
		}
		keys, total = append(keys, key), total-len(key)
		if _, err := pb.NewKVClient(c).Put(ctx, &pb.PutRequest{Key: key, Lease: id}); err != nil {
			t.Fatal(err)
		}
	}
	return keys
}

// TestListsAreWhole asks for lists of several turns: nothing is lost between those, or comes twice.
func TestListsAreWhole(t *testing.T) {
	testlong.Skip(t)
	s := start(t, newMember(), nil)
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	lease := pb.NewLeaseClient(dial(t, s))
	keys := leaseWithKeys(ctx, t, s, 7, 4<<20)
	left, err := lease.LeaseTimeToLive(ctx, &pb.LeaseTimeToLiveRequest{ID: 7, Keys: true})
	if err != nil {
		t.Fatal(err)
	}
	if left.ID != 7 || left.GrantedTTL != 3600 || left.TTL <= 0 || left.Header.GetRevision() == 0 || len(left.Keys) != len(keys) {
		t.Fatalf("lease %d of %d s, %d left, with %d keys of %d, at %v", left.ID, left.GrantedTTL, left.TTL, len(left.Keys), len(keys), left.Header)
	}
	for i := range keys {
		if !bytes.Equal(left.Keys[i], keys[i]) {
			t.Fatalf("key %d is %.20q, and not %.20q", i, left.Keys[i], keys[i])
		}
	}
	const more = etcd.EtcdLeasesSorted + limits.LeaseKeys // which come by their ids
	for i := range more {
		if _, err := lease.LeaseGrant(ctx, &pb.LeaseGrantRequest{ID: int64(1000 + i), TTL: 3600}); err != nil {
			t.Fatal(err)
		}
	}
	all, err := lease.LeaseLeases(ctx, &pb.LeaseLeasesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if len(all.Leases) != more+1 || all.Leases[0].ID != 7 || all.Header.GetRevision() != left.Header.GetRevision() {
		t.Fatalf("%d leases, from %d on", len(all.Leases), all.Leases[0].ID)
	}
	for i, l := range all.Leases[1:] {
		if l.ID != int64(1000+i) {
			t.Fatalf("lease %d is %d", i, l.ID)
		}
	}
}

// TestListsHaveRoom asks for all keys of a lease that are more than may be in memory as a whole, and less, without reading the answer:
// all of them together have no more than that.
func TestListsHaveRoom(t *testing.T) {
	testlong.Skip(t)
	const most = 12 << 20
	s := start(t, newMember(), func(c *etcd.Config) { c.Limits.BuiltBytes = most })
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	lease := pb.NewLeaseClient(dial(t, s))
	leaseWithKeys(ctx, t, s, 7, most+1<<20)
	_, err := lease.LeaseTimeToLive(ctx, &pb.LeaseTimeToLiveRequest{ID: 7, Keys: true})
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a list that is too large: %v", err)
	}
	leaseWithKeys(ctx, t, s, 8, most/2)
	if _, err := lease.LeaseTimeToLive(ctx, &pb.LeaseTimeToLiveRequest{ID: 8, Keys: true}); err != nil {
		t.Errorf("a list that is large: %v", err)
	}
	h := attack(t, s)
	defer h.Close()
	ask := message(&pb.LeaseTimeToLiveRequest{ID: 8, Keys: true})
	for range 20 {
		id, err := h.begin("/etcdserverpb.Lease/LeaseTimeToLive")
		if err == nil {
			err = h.frames.WriteData(id, true, ask)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, func() bool { return s.Stats().BuiltBytes >= most/2 })
	if n := s.Stats().MessageBytes; n > most+1<<20 { // one that waits for room has none
		t.Errorf("%d bytes are held by lists that nobody reads, over the limit of %d", n, most)
	}
}

// TestListsAsJSON asks the gateway for lists that are too large for it.
func TestListsAsJSON(t *testing.T) {
	s := start(t, newMember(), func(c *etcd.Config) { c.Limits.BuiltBytes = 1 << 20 })
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	leaseWithKeys(ctx, t, s, 7, 2<<20)
	answer, err := http.Post("http://"+s.Addr().String()+"/v3/lease/timetolive", "application/json", strings.NewReader(`{"ID":"7","keys":true}`))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusTooManyRequests {
		t.Errorf("a list that is too large: %v", answer.Status)
	}
}

// TestManyListLeases lets many list leases at once, for each of which the clock would be asked for thousands: others' requests have
// places meanwhile.
func TestManyListLeases(t *testing.T) {
	testlong.Skip(t)
	const leases = 1000
	s := start(t, newMember(), func(c *etcd.Config) { c.Limits.Requests = (etcd.EtcdLeasesAsking + 1) * leases })
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	c := dial(t, s)
	lease := pb.NewLeaseClient(c)
	for i := range leases {
		if _, err := lease.LeaseGrant(ctx, &pb.LeaseGrantRequest{ID: int64(1 + i), TTL: 3600}); err != nil {
			t.Fatal(err)
		}
	}
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			for range 4 {
				if found, err := lease.LeaseLeases(ctx, &pb.LeaseLeasesRequest{}); err != nil || len(found.Leases) != leases {
					t.Errorf("%d leases, %v", len(found.GetLeases()), err)
				}
				if _, err := pb.NewKVClient(c).Put(ctx, &pb.PutRequest{Key: []byte("a")}); err != nil {
					t.Errorf("another's put: %v", err)
				}
			}
		})
	}
	all.Wait()
}

// silentClock is a member that answers no question for a lease.
type silentClock struct{ *member }

func (silentClock) AskLeases(kv.ReplyTo, []uint64, []kv.LeaseAsk, time.Duration) {}

// TestKeepAlivesLeavePlaces has streams of keep-alives ask for more than there are places for requests: others have some.
func TestKeepAlivesLeavePlaces(t *testing.T) {
	const places = 1000
	s := start(t, silentClock{newMember()}, func(c *etcd.Config) { c.Limits.Requests = places })
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	c := dial(t, s)
	hostile, end := context.WithCancel(ctx)
	defer end()
	for range 4 {
		stream, err := pb.NewLeaseClient(c).LeaseKeepAlive(hostile)
		if err != nil {
			t.Fatal(err)
		}
		for range places {
			if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: 7}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 200 {
		if _, err := pb.NewKVClient(dial(t, s)).Put(ctx, &pb.PutRequest{Key: []byte("a")}); err != nil {
			t.Fatalf("another's put: %v", err)
		}
	}
}
