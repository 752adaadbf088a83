package wire

import (
	"math"
	"reflect"
	"testing"
	"time"

	"qkv/index/kv"
)

func lease(id uint64, op Op, l LeaseRequest) []byte {
	return AppendRequest(nil, id, op, time.Second, AppendLeaseBody(nil, op, &l))
}

func init() {
	examples = append(examples, []struct {
		name   string
		frame  []byte
		fields array
	}{
		{"grant", lease(1, OpGrant, LeaseRequest{TTL: 60}), array{1, 30, 1000, 0, 0, 0, 0, 0, 60}},
		{"revoke", lease(2, OpRevoke, LeaseRequest{ID: -7}), array{2, 31, 1000, 0, 0, 0, 0, -7}},
		{"keep-alive", lease(3, OpKeepAlive, LeaseRequest{ID: math.MaxInt64}), array{3, 32, 1000, math.MaxInt64}},
		{"time to live", lease(4, OpTimeToLive, LeaseRequest{ID: 300, Keys: true, From: []byte("k")}), array{4, 33, 1000, 300, 1, []byte("k")}},
		{"list of leases", lease(5, OpLeases, LeaseRequest{ID: math.MinInt64}), array{5, 34, 1000, math.MinInt64}},
		{"granted", AppendGranted(nil, 1, 9, kv.Lease{ID: 0x32695410dcc0ca06, TTL: 60}), array{1, 0, 9, 0x32695410dcc0ca06, 60}},
		{"lease is gone", AppendLeaseTime(nil, 3, kv.LeaseTime{TTL: -1}, false, nil), array{3, 0, -1, 0, false, array{}}},
		{
			"lease with keys", AppendLeaseTime(nil, 4, kv.LeaseTime{TTL: 59, Granted: 60}, true, [][]byte{[]byte("a"), {0}}),
			array{4, 0, 59, 60, true, array{[]byte("a"), []byte{0}}},
		},
		{"leases", AppendLeases(nil, 5, true, []int64{-7, 300}), array{5, 0, true, array{-7, 300}}},
	}...)
}

func TestLeasesReadBack(t *testing.T) {
	for _, op := range []Op{OpGrant, OpRevoke, OpKeepAlive, OpTimeToLive, OpLeases} {
		want := LeaseRequest{ID: -9}
		switch op {
		case OpGrant:
			want.TTL = -1
		case OpTimeToLive:
			want.Keys, want.From = true, []byte("from")
		}
		var q Request
		if err := ReadRequest(frameOf(t, lease(7, op, want)), &q); err != nil || q.ID != 7 || q.Op != op || !reflect.DeepEqual(q.Lease, want) {
			t.Errorf("%v: read %+v, wrote %+v: %v", op, q.Lease, want, err)
		}
	}
	answer := func(b []byte) *Response {
		p, err := ReadResponse(frameOf(t, b))
		if err != nil {
			t.Fatal(err)
		}
		return &p
	}
	if revision, l, err := answer(AppendGranted(nil, 1, 9, kv.Lease{ID: 8, TTL: 7})).Granted(); revision != 9 || l != (kv.Lease{ID: 8, TTL: 7}) || err != nil {
		t.Error("granted:", revision, l, err)
	}
	keys := [][]byte{[]byte("a"), []byte("b")}
	if left, more, got, err := answer(AppendLeaseTime(nil, 1, kv.LeaseTime{TTL: 5, Granted: 6}, true, keys)).LeaseTime(); left != (kv.LeaseTime{TTL: 5, Granted: 6}) ||
		!more || !reflect.DeepEqual(got, keys) || err != nil {
		t.Error("time to live:", left, more, got, err)
	}
	if more, leases, err := answer(AppendLeases(nil, 1, true, []int64{1, -2})).Leases(); !more || !reflect.DeepEqual(leases, []int64{1, -2}) || err != nil {
		t.Error("leases:", more, leases, err)
	}
}

// A TTL beyond the limit is refused before the log; any other one can be granted, or is raised to the least.
func TestGrantsChecked(t *testing.T) {
	for ttl, refused := range map[int64]bool{math.MinInt64: false, -1: false, 0: false, 9_000_000_000: false, 9_000_000_001: true, math.MaxInt64: true} {
		q := Request{Op: OpGrant, Lease: LeaseRequest{TTL: ttl}}
		if err := q.Check(kv.Bounds{}); (err != nil) != refused || err != nil && err.Code != kv.LeaseTooLong {
			t.Errorf("a TTL of %d: %v", ttl, err)
		}
	}
}
