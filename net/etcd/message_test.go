package etcd

import (
	"bytes"
	"testing"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/prometheus/client_golang/prometheus"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// What is decoded by hand is what the library would have made of it, and what the library refuses is refused.
func TestDecodedAsByTheLibrary(t *testing.T) {
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "x"})
	c := codec{&metrics{received: counter, sent: counter}}
	field := func(number protowire.Number, b string) []byte {
		return protowire.AppendString(protowire.AppendTag(nil, number, protowire.BytesType), b)
	}
	number := func(number protowire.Number, n uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), n)
	}
	for _, parts := range [][][]byte{
		{},
		{field(1, "k")},
		{field(1, "k"), field(2, "v")},
		{field(2, "v"), field(1, "k")},
		{field(1, "k"), field(1, "again"), field(2, "")},
		{field(1, "k"), field(2, "v"), number(3, 7)},
		{number(4, 1), field(1, "k")},
		{field(1, "k"), number(5, 1), field(2, "v")},
		{field(1, "k"), field(77, "unknown")},
		{field(1, "k"), number(2, 3)},
		{field(1, "k"), field(2, "v")[:2]},
		{field(1, "k"), {0}},
		{{0x0a, 0xff}},
	} {
		all := bytes.Join(parts, nil)
		for _, empty := range []func() proto.Message{
			func() proto.Message { return &putRequest{} }, func() proto.Message { return &pb.RangeRequest{} },
		} {
			want, got := empty(), empty()
			refused := proto.Unmarshal(all, want)
			came := mem.SliceBuffer(bytes.Clone(all))
			err := c.Unmarshal(mem.BufferSlice{came}, got)
			clear(came) // gRPC uses it again
			if (err != nil) != (refused != nil) || err == nil && !proto.Equal(got, want) {
				t.Errorf("%x: %v, %v; by the library %v, %v", all, got, err, want, refused)
			}
		}
	}
}

// BenchmarkDecode is what the requests cost that are made most.
func BenchmarkDecode(b *testing.B) {
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "x"})
	c := codec{&metrics{received: counter, sent: counter}}
	all, err := proto.Marshal(&pb.PutRequest{Key: []byte("key-0000001"), Value: make([]byte, 256)})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Unmarshal(mem.BufferSlice{mem.SliceBuffer(all)}, &putRequest{}); err != nil {
			b.Fatal(err)
		}
	}
}
