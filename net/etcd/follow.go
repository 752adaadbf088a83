package etcd

import (
	"context"
	"encoding/json"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"qkv/index"
)

// FollowService is the name of the service by which a migration follows a source, an addition to etcd's API. It executes the steps, each a
// command of package index, and reports the progress.
const FollowService = "qkv.Follow"

// FollowProgress is a member's report on a state that follows a source, as JSON.
type FollowProgress struct {
	*index.FollowStatus // nil: it follows no source
	Inherited           int64
	Revision            int64
	Compacted           int64
}

// followService is qkv's own service, of FollowService's name.
type followService struct{ *core }

// follow executes one step.
func (s followService) follow(ctx context.Context, q *wrapperspb.BytesValue) (*emptypb.Empty, error) {
	step, err := new(index.Head).AppendFollow(nil, q.Value)
	if err == nil {
		err = index.CheckEnvelope(index.AppendEnvelope(nil, index.Envelope{Level: index.FirstLevel}, [][]byte{step}))
	}
	if err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "qkv: a step of following a source: %v", err)
	}
	_, err = s.propose(ctx, proposal{}, func(h index.Head) []byte {
		command, _ := h.AppendFollow(nil, step)
		return command
	})
	if err != nil {
		return nil, err
	}
	return &emptypb.Empty{}, nil
}

// followed reports the cluster's progress.
func (s followService) followed(ctx context.Context, _ *emptypb.Empty) (*wrapperspb.StringValue, error) {
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
