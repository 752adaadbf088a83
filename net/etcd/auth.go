package etcd

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// authService is etcdserverpb.Auth. qkv has no users. A setting that would not be enforced is refused; other requests about users are not
// implemented.
type authService struct{ *core }

func (s authService) authStatus(context.Context, *pb.AuthStatusRequest) (*pb.AuthStatusResponse, error) {
	return &pb.AuthStatusResponse{Header: s.header(s.config.Member.View().Revision()), AuthRevision: 1}, nil
}

func (s authService) authenticate(context.Context, *pb.AuthenticateRequest) (*pb.AuthenticateResponse, error) {
	return nil, rpctypes.ErrGRPCAuthNotEnabled
}

// authDisable succeeds, as in an etcd without authentication.
func (s authService) authDisable(context.Context, *pb.AuthDisableRequest) (*pb.AuthDisableResponse, error) {
	return &pb.AuthDisableResponse{Header: s.header(s.config.Member.View().Revision())}, nil
}
