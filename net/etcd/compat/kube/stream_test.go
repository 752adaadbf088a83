//go:build !client36

package kube

import (
	"context"
	"errors"
	"io"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// rangeStream is all chunks of a streamed range.
func rangeStream(ctx context.Context, c *clientv3.Client, q *pb.RangeRequest) (all []*pb.RangeResponse, err error) {
	s, err := pb.NewKVClient(c.ActiveConnection()).RangeStream(ctx, q)
	if err != nil {
		return nil, err
	}
	for {
		r, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		all = append(all, r.RangeResponse)
	}
}

// TestStream: of a streamed range only the last chunk has header, count and more.
func TestStream(t *testing.T) {
	_, c := start(t, 1)
	ctx := c.Ctx()
	stop := writers(t, c, 3, 500)
	defer stop()
	for round := range 30 {
		s, err := rangeStream(ctx, c, &pb.RangeRequest{Key: []byte(registry), RangeEnd: []byte(clientv3.GetPrefixRangeEnd(registry)), Limit: int64(round % 3 * 50)})
		must(t, err)
		keys, count, revision := 0, int64(0), int64(0)
		for i, chunk := range s {
			last := i == len(s)-1
			if has := chunk.Header != nil; has != last || !last && (chunk.More || chunk.Count != 0) {
				t.Fatalf("chunk %d of %d: %v", i+1, len(s), chunk)
			}
			keys += len(chunk.Kvs)
			count, revision = chunk.Count, max(revision, chunk.Header.GetRevision())
			want(t, "more", last && chunk.More, last && int64(keys) < count)
		}
		whole, err := c.Get(ctx, registry, clientv3.WithPrefix(), clientv3.WithCountOnly(), clientv3.WithRev(revision))
		must(t, err)
		want(t, "the count at the revision of the header", count, whole.Count)
	}
}
