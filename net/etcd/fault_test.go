package etcd_test

import (
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"qkv/index/kv"
)

// faultyHub is a member whose watches have a fault.
type faultyHub struct{ *member }

func (faultyHub) Watch(_ kv.WatchStream, r kv.WatchRequest) {
	if r.Kind == kv.WatchCreate {
		panic("a fault")
	}
}

// TestFaultOfAWatch: a fault in the goroutine that reads a stream's requests ends the stream alone, over gRPC and as JSON. The server goes on.
func TestFaultOfAWatch(t *testing.T) {
	s := start(t, faultyHub{newMember()}, nil)
	c := dial(t, s)
	for range 2 {
		w, err := pb.NewWatchClient(c).Watch(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{Key: []byte("a")}}}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Recv(); status.Code(err) != codes.Internal || !strings.Contains(err.Error(), "a fault in this member: a fault") {
			t.Errorf("a watch: %v", err)
		}
		if _, body := post(t, s, "/v3/watch", `{"create_request":{"key":"YQ=="}}`); !strings.Contains(body, "afaultinthismember") {
			t.Errorf("a watch as JSON: %s", body)
		}
		if _, err := pb.NewKVClient(c).Put(t.Context(), &pb.PutRequest{Key: []byte("a")}); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	}
}
