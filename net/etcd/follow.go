package etcd

import (
	"context"
	"encoding/json"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"qkv/index"
)

// FollowService is what a migration asks of a member, beside etcd's API: to take the steps of following a source, each a command of
// package index, and how far it is.
const FollowService = "qkv.Follow"

// FollowProgress is what a member tells of a state that follows a source, as JSON.
type FollowProgress struct {
	*index.FollowStatus // nil: it follows none
	Inherited           int64
	Revision            int64
	Compacted           int64
}

func (s *Server) followService() *grpc.ServiceDesc {
	return &grpc.ServiceDesc{
		ServiceName: FollowService,
		Methods:     []grpc.MethodDesc{method(s, "Take", s.follow), method(s, "Progress", s.followed)},
	}
}

// follow takes a step.
func (s *Server) follow(ctx context.Context, q *wrapperspb.BytesValue) (any, error) {
	if !index.IsFollow(q.Value) {
		return nil, status.Error(codes.InvalidArgument, "qkv: no step of following a source")
	}
	if err := index.CheckEnvelope(index.AppendEnvelope(nil, index.Envelope{Level: index.FirstLevel}, [][]byte{q.Value})); err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "qkv: a step of following a source: %v", err)
	}
	if _, err := s.calls.write(ctx, q.Value, false); err != nil {
		return nil, err
	}
	return &emptypb.Empty{}, nil
}

// followed tells how far the cluster is.
func (s *Server) followed(ctx context.Context, _ *emptypb.Empty) (any, error) {
	if err := s.calls.confirm(ctx); err != nil {
		return nil, err
	}
	v := s.config.Member.View()
	text, err := json.Marshal(FollowProgress{FollowStatus: v.Following(), Inherited: v.Inherited(), Revision: v.Revision(), Compacted: v.Compacted()})
	if err != nil {
		return nil, statusOf(err)
	}
	return &wrapperspb.StringValue{Value: string(text)}, nil
}
