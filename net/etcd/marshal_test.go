package etcd

import (
	"bytes"
	"testing"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// JSON of much is made by a few at a time, of a stream's part too; who asks for little waits for nobody.
func TestMuchJSONTakesTurns(t *testing.T) {
	b := bounded{&runtime.JSONPb{}, make(chan struct{}, 1)}
	much := &pb.WatchResponse{Events: []*mvccpb.Event{{Kv: &mvccpb.KeyValue{Value: bytes.Repeat([]byte{1}, etcdPieceBytes+1)}}}}
	b.large <- struct{}{} // somebody is at it
	if _, err := b.Marshal(&pb.WatchResponse{}); err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{much, map[string]any{"result": much}} {
		made := make(chan error)
		go func() {
			_, err := b.Marshal(v)
			made <- err
		}()
		select {
		case <-made:
			t.Fatalf("%T was made out of turn", v)
		case <-time.After(20 * time.Millisecond):
		}
		<-b.large
		if err := <-made; err != nil {
			t.Fatal(err)
		}
		b.large <- struct{}{}
	}
}
