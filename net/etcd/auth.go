package etcd

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// qkv has no users. A setting that would not be enforced is refused; other requests about users are not implemented.

func (s *Server) authStatus(context.Context, *pb.AuthStatusRequest) (*pb.AuthStatusResponse, error) {
	return &pb.AuthStatusResponse{Header: s.header(s.config.Member.View().Revision()), AuthRevision: 1}, nil
}

func (s *Server) authenticate(context.Context, *pb.AuthenticateRequest) (*pb.AuthenticateResponse, error) {
	return nil, rpctypes.ErrGRPCAuthNotEnabled
}

// authDisable succeeds, as in an etcd without authentication.
func (s *Server) authDisable(context.Context, *pb.AuthDisableRequest) (*pb.AuthDisableResponse, error) {
	return &pb.AuthDisableResponse{Header: s.header(s.config.Member.View().Revision())}, nil
}
