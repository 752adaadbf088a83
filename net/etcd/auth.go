package etcd

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// There are no users: what would not be enforced is not accepted, and all other requests about them are not implemented.

func (s *Server) authStatus(context.Context, *pb.AuthStatusRequest) (any, error) {
	return &pb.AuthStatusResponse{Header: s.header(s.config.Member.View().Revision()), AuthRevision: 1}, nil
}

func (s *Server) authenticate(context.Context, *pb.AuthenticateRequest) (any, error) {
	return nil, rpctypes.ErrGRPCAuthNotEnabled
}
