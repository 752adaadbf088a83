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
		{"time to live", askFrame(4, OpTimeToLive, Ask{Lease: LeaseRequest{ID: 300, Keys: true, From: []byte("k")}}), array{4, 33, 1000, &Ask{Lease: LeaseRequest{ID: 300, Keys: true, From: []byte("k")}}}},
		{"granted", AppendGranted(nil, 1, 9, kv.Lease{ID: 0x32695410dcc0ca06, TTL: 60}), array{1, 0, 9, 0x32695410dcc0ca06, 60}},
		{"lease time", AppendLeaseTime(nil, 3, kv.LeaseTime{TTL: 59, Granted: 60}), array{3, 0, 59, 60}},
	}...)
}

func TestLeasesReadBack(t *testing.T) {
	for _, op := range []Op{OpGrant, OpRevoke, OpKeepAlive} {
		want := LeaseRequest{ID: -9}
		if op == OpGrant {
			want.TTL = -1
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
	if left, err := answer(AppendLeaseTime(nil, 1, kv.LeaseTime{TTL: 5, Granted: 6})).LeaseTime(); left != (kv.LeaseTime{TTL: 5, Granted: 6}) || err != nil {
		t.Error("keep-alive:", left, err)
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
