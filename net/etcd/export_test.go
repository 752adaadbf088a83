package etcd

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
)

// Registered returns all services that the endpoint offers by gRPC.
func (s *Server) Registered() map[string]grpc.ServiceInfo {
	all := grpc.NewServer()
	for _, service := range s.offered {
		all.RegisterService(service, nil)
	}
	all.RegisterService(s.healthService())
	return all.GetServiceInfo()
}

// InProcess returns a client that calls the handlers without a connection, as requests over HTTP do.
func (s *Server) InProcess() grpc.ClientConnInterface {
	return inProcess{newGateway(s.core, s.offered)}
}

type inProcess struct{ *gateway }

func (c inProcess) Invoke(ctx context.Context, method string, question, to any, options ...grpc.CallOption) error {
	return c.gateway.Invoke(context.WithValue(ctx, reservationsKey{}, c.s.newReservations(ctx)), method, question, to, options...)
}

func (c inProcess) NewStream(ctx context.Context, d *grpc.StreamDesc, method string, options ...grpc.CallOption) (grpc.ClientStream, error) {
	return c.gateway.NewStream(context.WithValue(ctx, reservationsKey{}, c.s.newReservations(ctx)), d, method, options...)
}

// Classes returns the RPCs of the table of permissions, and whether each needs no user.
func Classes() map[string]bool {
	all := map[string]bool{}
	for rpc, of := range classes {
		all[rpc] = of == anybody
	}
	return all
}

// CallUndeclared calls an RPC that the table of permissions does not have.
func CallUndeclared(ctx context.Context, m Member) error {
	s := newCore(Config{Member: m, ID: 1, Limits: limits.Defaults().Etcd})
	of := offer{s, "etcdserverpb.KV"}
	_, err := method(of, "Other", func(context.Context, *pb.RangeRequest) (answer, error) { return nil, nil }).Handler(nil, ctx, func(any) error { return nil }, nil)
	return err
}

// AdminRPCs returns all RPCs, and which of them need an administrator.
func AdminRPCs() map[string]bool {
	all := map[string]bool{}
	for rpc, of := range classes {
		all[rpc] = of == administrator
	}
	return all
}

// IsChange reports whether the success of an RPC is recorded.
func IsChange(name string) bool { return isChange(name, nil) }

// DashboardRead is a read of the dashboard with a user's token, in steps.
func (s *Server) DashboardRead(ctx context.Context, token string, q index.Toucher, step func(*index.View) (bool, error)) error {
	d := dashboard{s.core, nil}
	ctx = metadata.NewIncomingContext(ctx, metadata.Pairs(rpctypes.TokenFieldNameGRPC, token))
	return d.Read(withCaller(ctx, d.identify(ctx)), kv.AccessRead, q, step)
}

// Bounds, for tests.
const (
	EtcdBuilds          = etcdBuilds
	EtcdGatewayObjects  = etcdGatewayObjects
	EtcdGatewaySmall    = etcdGatewaySmall
	EtcdGatewayStreamed = etcdGatewayStreamed
	EtcdHealthStreams   = etcdHealthStreams
	EtcdLaterBytes      = etcdLaterBytes
	EtcdLeasesAsking    = etcdLeasesAsking
	EtcdLeasesSorted    = etcdLeasesSorted
	EtcdMemberBytes     = etcdMemberBytes
	EtcdPartBytes       = etcdPartBytes
	EtcdPieceBytes      = etcdPieceBytes
	EtcdRequestOver     = etcdRequestOver
	EtcdStreamsAll      = etcdStreamsAll
	EtcdWatchAnswers    = etcdWatchAnswers
	EtcdWholeBytes      = etcdWholeBytes
	EtcdWideReads       = etcdWideReads
)
