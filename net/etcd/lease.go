package etcd

import (
	"cmp"
	"context"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"slices"

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

// leases lists all leases. As etcd's leader, this one begins with those that end first, of which several in one second are in the
// order in which they were granted; a follower does not know when they end. Past limits.EtcdLeasesSorted they come by their ids.
func (s *Server) leases(ctx context.Context, _ *pb.LeaseLeasesRequest) (any, error) {
	v := s.config.Member.View()
	answer := &pb.LeaseLeasesResponse{Header: s.header(v.Revision())}
	var all []kv.Lease
	v.Leases(math.MinInt64, func(l kv.Lease) bool {
		all = append(all, l)
		return true
	})
	if s.config.Member.RaftStatus().Leader == s.config.ID && len(all) > 1 && len(all) <= limits.EtcdLeasesSorted {
		if err := s.sortLeases(ctx, all); err != nil && ctx.Err() != nil { // else it leads no more
			return nil, err
		}
	}
	for _, l := range all {
		answer.Leases = append(answer.Leases, &pb.LeaseStatus{ID: l.ID})
	}
	return answer, nil
}

// sortLeases asks the clock what is left of each. One that has ended meanwhile is where it would be then, in front.
func (s *Server) sortLeases(ctx context.Context, all []kv.Lease) error {
	asks := make([]*call, len(all))
	for i := range all {
		asks[i] = &call{ask: kv.LeaseAsk{Lease: all[i].ID}}
		if err := s.calls.hand(&s.calls.asks, asks[i]); err != nil {
			return err
		}
	}
	left := make(map[int64]int64, len(all))
	for i, one := range asks {
		out, err := s.calls.wait(ctx, one)
		if err != nil {
			return err
		}
		left[all[i].ID] = out.Lease.TTL
	}
	slices.SortStableFunc(all, func(a, b kv.Lease) int {
		return cmp.Or(cmp.Compare(left[a.ID], left[b.ID]), cmp.Compare(a.Granted, b.Granted))
	})
	return nil
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
