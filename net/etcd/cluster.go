package etcd

import (
	"context"
	"math/rand/v2"
	"net/url"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"qkv/index"
	"qkv/index/kv"
	"qkv/net/wire"
)

// clusterService is etcdserverpb.Cluster.
type clusterService struct{ *core }

// clusterHeader is the header of answers about the members, which has no revision.
func (s clusterService) clusterHeader() *pb.ResponseHeader { return s.header(0) }

// members lists the members as etcd does: a member that has never started has an empty name.
func (s *core) members(v *index.View) (all []*pb.Member) {
	for _, one := range v.Members().All() {
		m := &pb.Member{ID: one.ID, ClientURLs: one.Web, IsLearner: isLearner(&one)}
		if one.Started() {
			m.Name = one.Name
		}
		for _, at := range one.Peers {
			m.PeerURLs = append(m.PeerURLs, s.config.PeerScheme+"://"+at)
		}
		all = append(all, m)
	}
	return all
}

func (s clusterService) memberList(ctx context.Context, q *pb.MemberListRequest) (*pb.MemberListResponse, error) {
	if err := s.mayRead(ctx, !q.Linearizable); err != nil {
		return nil, err
	}
	return &pb.MemberListResponse{Header: s.clusterHeader(), Members: s.members(s.config.Member.View())}, nil
}

// addressesOf returns the HOST:PORT parts of URLs.
func addressesOf(urls []string) (all []string, err error) {
	for _, text := range urls {
		u, err := url.Parse(strings.TrimSpace(text))
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Path != "" || wire.CheckAddress(u.Host) != nil {
			return nil, rpctypes.ErrGRPCMemberBadURLs
		}
		all = append(all, u.Host)
	}
	if len(all) == 0 {
		return nil, rpctypes.ErrGRPCMemberBadURLs
	}
	return all, nil
}

// memberAdd adds a member. It becomes a voter by itself when it has caught up, unless the request makes it a permanent learner. It has no
// name until it starts and announces its own.
func (s clusterService) memberAdd(ctx context.Context, q *pb.MemberAddRequest) (*pb.MemberAddResponse, error) {
	peers, err := addressesOf(q.PeerURLs)
	if err != nil {
		return nil, err
	}
	change := kv.MemberChange{Kind: kv.AddLearner, ID: 1 + rand.Uint64N(1<<63), Peers: peers, Manual: q.IsLearner}
	v, err := s.changeMembers(ctx, &change)
	if err != nil {
		return nil, err
	}
	return &pb.MemberAddResponse{
		Header: s.clusterHeader(), Member: &pb.Member{ID: change.ID, PeerURLs: q.PeerURLs, IsLearner: q.IsLearner}, Members: s.members(v),
	}, nil
}

func (s clusterService) memberRemove(ctx context.Context, q *pb.MemberRemoveRequest) (*pb.MemberRemoveResponse, error) {
	v, err := s.changeMembers(ctx, &kv.MemberChange{Kind: kv.RemoveMember, ID: q.ID})
	if err != nil {
		return nil, err
	}
	return &pb.MemberRemoveResponse{Header: s.clusterHeader(), Members: s.members(v)}, nil
}

func (s clusterService) memberUpdate(ctx context.Context, q *pb.MemberUpdateRequest) (*pb.MemberUpdateResponse, error) {
	peers, err := addressesOf(q.PeerURLs)
	if err != nil {
		return nil, err
	}
	v, err := s.changeMembers(ctx, &kv.MemberChange{Kind: kv.UpdateMember, ID: q.ID, Peers: peers})
	if err != nil {
		return nil, err
	}
	return &pb.MemberUpdateResponse{Header: s.clusterHeader(), Members: s.members(v)}, nil
}

func (s clusterService) memberPromote(ctx context.Context, q *pb.MemberPromoteRequest) (*pb.MemberPromoteResponse, error) {
	v, err := s.changeMembers(ctx, &kv.MemberChange{Kind: kv.PromoteMember, ID: q.ID})
	if err != nil {
		s.metrics.notPromoted.Inc()
		return nil, err
	}
	s.metrics.promoted.Inc()
	return &pb.MemberPromoteResponse{Header: s.clusterHeader(), Members: s.members(v)}, nil
}

// changeMembers changes the membership, and returns a View with the change.
func (s clusterService) changeMembers(ctx context.Context, c *kv.MemberChange) (*index.View, error) {
	if c.Kind != kv.AddLearner && s.config.Member.View().Members().Get(c.ID) == nil {
		return nil, rpctypes.ErrGRPCMemberNotFound // the id 0 belongs to no member either
	}
	if err := c.Check(); err != nil {
		return nil, statusOf(err)
	}
	if _, err := s.propose(ctx, proposal{}, func(h index.Head) kv.Command { return h.AppendMemberChange(nil, c) }); err != nil {
		return nil, err
	}
	return s.config.Member.View(), nil
}
