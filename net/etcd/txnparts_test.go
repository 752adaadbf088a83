package etcd

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"qkv/internal/admit"
	"qkv/internal/limits"
)

// flat is a transaction of so many empty operations, as it comes.
func flat(operations int) []byte { return bytes.Repeat([]byte{txnSuccess<<3 | 2, 0}, operations) }

// nested are transactions of which each is the only operation of the one before.
func nested(t *testing.T, depth int) []byte {
	t.Helper()
	q := &pb.TxnRequest{}
	for range depth - 1 {
		q = &pb.TxnRequest{Failure: []*pb.RequestOp{{Request: &pb.RequestOp_RequestTxn{RequestTxn: q}}}}
	}
	b, err := proto.Marshal(q)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestCountParts: what is refused before it is decoded is what would be refused afterwards.
func TestCountParts(t *testing.T) {
	s := &core{config: Config{TxnOperations: limits.TxnParts, MaxRequestBytes: limits.RequestBytes}}
	mixed, err := proto.Marshal(&pb.TxnRequest{
		Compare: []*pb.Compare{{Key: []byte("k")}},
		Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte("k")}}}, {}},
		Failure: []*pb.RequestOp{{Request: &pb.RequestOp_RequestTxn{RequestTxn: &pb.TxnRequest{Compare: []*pb.Compare{{}, {}}}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, one := range map[string]struct {
		bytes   []byte
		parts   int
		refused bool
	}{
		"none":               {nil, 0, false},
		"of each kind":       {mixed, 6, false},
		"as many as may be":  {flat(limits.TxnParts), limits.TxnParts, false},
		"one more":           {flat(limits.TxnParts + 1), limits.TxnParts + 1, true},
		"as deep as may be":  {nested(t, limits.TxnDepth), limits.TxnDepth - 1, false},
		"deeper":             {nested(t, limits.TxnDepth+1), limits.TxnDepth, true},
		"cut":                {flat(10)[:19], 9, false},
		"no transaction":     {[]byte("\xff\xff"), 0, false},
		"fields of no lists": {[]byte{7<<3 | 2, 0, txnSuccess << 3, 1}, 0, false},
	} {
		parts := 0
		if ok := countParts(one.bytes, 1, &parts); ok == one.refused || parts != one.parts {
			t.Errorf("%s: %d parts, refused: %v", name, parts, !ok)
		}
		var q pb.TxnRequest
		if proto.Unmarshal(one.bytes, &q) != nil {
			continue
		}
		if _, err := (kvService{s}).txnOf(&q); errors.Is(err, rpctypes.ErrGRPCTooManyOps) != one.refused {
			t.Errorf("%s: when it is decoded: %v", name, err)
		}
	}
}

// TestPlacesOfTxns: a transaction of many parts is not decoded before it has a place, and waits for no longer than a request may last.
func TestPlacesOfTxns(t *testing.T) {
	s := &core{config: Config{Timeout: 10 * time.Millisecond}, admission: admission{largeTxns: make(admit.Slots, 1)}}
	s.alive, s.die = context.WithCancel(t.Context())
	s.admission.largeTxns <- struct{}{}
	keys := kvService{s}
	handle := keys.countedTxn(method(offer{s, "etcdserverpb.KV"}, "Txn", keys.txn)).Handler
	call := func(ctx context.Context) error {
		_, err := handle(nil, ctx, func(to any) error { return to.(decoder).decode(flat(etcdTxnFew + 1)) }, nil)
		return err
	}
	if err := call(t.Context()); !errors.Is(err, errTooManyRequests) {
		t.Errorf("without a place: %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := call(gone); status.Code(err) != codes.Canceled {
		t.Errorf("of a client that has gone: %v", err)
	}
	s.die()
	s.config.Timeout = time.Hour
	if err := call(t.Context()); !errors.Is(err, errStopped) {
		t.Errorf("of a member that ends: %v", err)
	}
}
