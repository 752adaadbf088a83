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

// ask is the body of a rare op.
func ask(a wire.Ask) []byte { return wire.AppendAsk(nil, &a) }

func leaseBody(op wire.Op, l wire.LeaseRequest) []byte {
	if op == wire.OpTimeToLive || op == wire.OpLeases {
		return ask(wire.Ask{Lease: l})
	}
	return wire.AppendLeaseBody(nil, op, &l)
}

func lease(id uint64, op wire.Op, l wire.LeaseRequest) []byte {
	return wire.AppendRequest(nil, id, op, wait, leaseBody(op, l))
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
	if page, err := wire.ReadAnswer[wire.List[int64]](&answer); page.More || !reflect.DeepEqual(page.All, want) || err != nil {
		t.Errorf("leases %+v, %v, want %v", page, err, want)
	}
	const keys = limits.LeaseKeys + 10
	for i := range keys {
		p := kv.Put{Key: fmt.Appendf(nil, "k%06d", i), Lease: 8}
		r.send(wire.AppendRequest(nil, 6, wire.OpPut, wait, kv.AppendPut(nil, &p)))
		r.want(6, kv.OK)
	}
	for _, page := range []struct {
		from string
		more bool
		n    int
	}{{"", true, limits.LeaseKeys}, {fmt.Sprintf("k%06d", limits.LeaseKeys), false, 10}, {"k1", false, 0}} {
		r.send(lease(7, wire.OpTimeToLive, wire.LeaseRequest{ID: 8, Keys: true, From: []byte(page.from)}))
		answer = r.want(7, kv.OK)
		got, err := wire.ReadAnswer[wire.LeaseKeys](&answer)
		if got.TTL != 2 || got.Granted != 2 || got.More != page.more || len(got.Keys) != page.n || err != nil {
			t.Errorf("keys from %q: %+v, %v", page.from, got, err)
		}
	}
	r.send(lease(8, wire.OpKeepAlive, wire.LeaseRequest{ID: 1}))
	answer = r.want(8, kv.OK)
	if left, err := answer.LeaseTime(); left.TTL != 0 || err != nil {
		t.Errorf("keep-alive of no lease: %+v, %v", left, err)
	}
	r.send(lease(8, wire.OpTimeToLive, wire.LeaseRequest{ID: 1, Keys: true}))
	answer = r.want(8, kv.OK)
	if got, err := wire.ReadAnswer[wire.LeaseKeys](&answer); got.TTL != -1 || got.More || len(got.Keys) > 0 || err != nil {
		t.Errorf("time to live of no lease: %+v, %v", got, err)
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
