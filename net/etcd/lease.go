package etcd

import (
	"context"
	"errors"
	"io"
	"math"
	"math/rand/v2"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
)

func (s *Server) grant(ctx context.Context, q *pb.LeaseGrantRequest) (any, error) {
	if err := kv.CheckTTL(q.TTL); err != nil {
		return nil, statusOf(err)
	}
	l := kv.Lease{ID: q.ID, TTL: max(q.TTL, s.config.LeaseLeast)}
	for l.ID == 0 {
		id := 1 + rand.Int64N(math.MaxInt64)
		if _, taken := s.config.Member.View().Lease(id); !taken {
			l.ID = id
		}
	}
	out, err := s.calls.write(ctx, index.AppendGrant(nil, l), false)
	if err != nil {
		return nil, err
	}
	s.metrics.leaseTTL.Observe(float64(l.TTL))
	return &pb.LeaseGrantResponse{Header: s.header(out.Result.Revision), ID: l.ID, TTL: l.TTL}, nil
}

func (s *Server) revoke(ctx context.Context, q *pb.LeaseRevokeRequest) (any, error) {
	out, err := s.calls.write(ctx, index.AppendRevoke(nil, q.ID, 0, 0), false)
	if err != nil {
		return nil, err
	}
	return &pb.LeaseRevokeResponse{Header: s.header(out.Result.Revision)}, nil
}

func (s *Server) timeToLive(ctx context.Context, q *pb.LeaseTimeToLiveRequest) (any, error) {
	left, err := s.calls.lease(ctx, kv.LeaseAsk{Lease: q.ID})
	if err != nil {
		return nil, err
	}
	v := s.config.Member.View()
	answer := &pb.LeaseTimeToLiveResponse{Header: s.header(v.Revision()), ID: q.ID, TTL: left.TTL, GrantedTTL: left.Granted}
	if q.Keys && left.TTL >= 0 {
		v.LeaseKeys(q.ID, nil, func(key []byte) bool {
			answer.Keys = append(answer.Keys, append([]byte(nil), key...))
			return true
		})
	}
	return answer, nil
}

func (s *Server) leases(context.Context, *pb.LeaseLeasesRequest) (any, error) {
	v := s.config.Member.View()
	answer := &pb.LeaseLeasesResponse{Header: s.header(v.Revision())}
	v.Leases(math.MinInt64, func(l kv.Lease) bool {
		answer.Leases = append(answer.Leases, &pb.LeaseStatus{ID: l.ID})
		return true
	})
	return answer, nil
}

// renewal is a keep-alive that the leader's clock was asked for, or why it was not.
type renewal struct {
	call   *call
	header *pb.ResponseHeader
	err    error
}

// keepAlive serves a stream of keep-alives. Those that come while others are under way go to the member with them, and are
// answered in their order. The header of an answer is from before the renewal, so that its revision is never that of a
// revocation behind it.
func (s *Server) keepAlive(stream grpc.ServerStream) error {
	asked := make(chan renewal, limits.EtcdKeepAlives)
	go func() { // it ends when the stream does, which is when this function has returned
		defer close(asked)
		for {
			q := &pb.LeaseKeepAliveRequest{}
			if err := stream.RecvMsg(q); err != nil {
				if !errors.Is(err, io.EOF) {
					select {
					case asked <- renewal{err: err}:
					case <-stream.Context().Done():
					}
				}
				return
			}
			one := renewal{header: s.header(s.config.Member.View().Revision()), call: &call{ask: kv.LeaseAsk{Lease: q.ID, Renew: true}}}
			one.err = s.calls.hand(&s.calls.asks, one.call)
			select {
			case asked <- one:
			case <-stream.Context().Done():
				return
			}
		}
	}()
	for {
		select {
		case <-s.stopping:
			return errStopped
		case <-stream.Context().Done():
			return stream.Context().Err()
		case one, ok := <-asked:
			if !ok {
				return nil
			}
			if err := s.renewed(stream, one); err != nil {
				return err
			}
		}
	}
}

func (s *Server) renewed(stream grpc.ServerStream, one renewal) error {
	if one.err != nil {
		return one.err
	}
	out, err := s.calls.wait(stream.Context(), one.call)
	if err != nil {
		return err
	}
	return stream.SendMsg(&pb.LeaseKeepAliveResponse{Header: one.header, ID: one.call.ask.Lease, TTL: out.Lease.TTL})
}
