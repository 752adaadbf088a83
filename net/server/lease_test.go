package server_test

import (
	"fmt"
	"math"
	"reflect"
	"testing"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/server"
	"qkv/net/wire"
)

func lease(id uint64, op wire.Op, l wire.LeaseRequest) []byte {
	return wire.AppendRequest(nil, id, op, wait, wire.AppendLeaseBody(nil, op, &l))
}

// A lease gets an id and the least TTL where it has none; its keys and all leases come in pages.
func TestLeases(t *testing.T) {
	e := newEndpoint(t, func(c *server.Config) { c.LeaseLeast = 2 })
	r := e.raw(t)
	r.send(lease(1, wire.OpGrant, wire.LeaseRequest{TTL: 60}))
	answer := r.want(1, kv.OK)
	_, chosen, err := answer.Granted()
	if err != nil || chosen.ID <= 0 || chosen.TTL != 60 {
		t.Fatalf("granted %+v, %v", chosen, err)
	}
	for id, ttl := range map[int64]int64{-7: -1, 8: 0, 9: 1, math.MaxInt64: limits.LeaseSeconds} {
		r.send(lease(2, wire.OpGrant, wire.LeaseRequest{ID: id, TTL: ttl}))
		answer = r.want(2, kv.OK)
		if revision, l, err := answer.Granted(); revision != 1 || l != (kv.Lease{ID: id, TTL: max(ttl, 2)}) || err != nil {
			t.Errorf("lease %d of %d s: granted %+v at revision %d, %v", id, ttl, l, revision, err)
		}
	}
	r.send(lease(3, wire.OpGrant, wire.LeaseRequest{ID: 8, TTL: 5}))
	r.want(3, kv.LeaseExists)
	r.send(lease(4, wire.OpGrant, wire.LeaseRequest{TTL: limits.LeaseSeconds + 1}))
	r.want(4, kv.LeaseTooLong)
	r.send(lease(5, wire.OpLeases, wire.LeaseRequest{ID: -6}))
	answer = r.want(5, kv.OK)
	want := []int64{8, 9, chosen.ID, math.MaxInt64}
	if more, all, err := answer.Leases(); more || !reflect.DeepEqual(all, want) || err != nil {
		t.Errorf("leases %v, more %v, %v, want %v", all, more, err, want)
	}
	const keys = limits.LeaseKeys + 10
	for i := range keys {
		p := kv.Put{Key: fmt.Appendf(nil, "k%06d", i), Lease: 8}
		r.send(wire.AppendRequest(nil, 6, wire.OpPut, wait, wire.AppendPutBody(nil, &p)))
		r.want(6, kv.OK)
	}
	for _, page := range []struct {
		from string
		more bool
		n    int
	}{{"", true, limits.LeaseKeys}, {fmt.Sprintf("k%06d", limits.LeaseKeys), false, 10}, {"k1", false, 0}} {
		r.send(lease(7, wire.OpTimeToLive, wire.LeaseRequest{ID: 8, Keys: true, From: []byte(page.from)}))
		answer = r.want(7, kv.OK)
		left, more, got, err := answer.LeaseTime()
		if left != (kv.LeaseTime{TTL: 2, Granted: 2}) || more != page.more || len(got) != page.n || err != nil {
			t.Errorf("keys from %q: %d, more %v, %+v, %v", page.from, len(got), more, left, err)
		}
	}
	for op, ttl := range map[wire.Op]int64{wire.OpKeepAlive: 0, wire.OpTimeToLive: -1} {
		r.send(lease(8, op, wire.LeaseRequest{ID: 1, Keys: op == wire.OpTimeToLive}))
		answer = r.want(8, kv.OK)
		if left, more, got, err := answer.LeaseTime(); left.TTL != ttl || more || len(got) > 0 || err != nil {
			t.Errorf("%v of no lease: %+v %v %v %v", op, left, more, got, err)
		}
	}
	r.send(lease(9, wire.OpRevoke, wire.LeaseRequest{ID: 8}))
	answer = r.want(9, kv.OK)
	if revision, deleted, _, err := answer.Written(); revision != keys+2 || deleted != keys || err != nil {
		t.Errorf("revoked: revision %d, %d keys, %v", revision, deleted, err)
	}
	r.send(lease(10, wire.OpRevoke, wire.LeaseRequest{ID: 8}))
	r.want(10, kv.LeaseNotFound)
	e.idle(t)
}
