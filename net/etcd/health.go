package etcd

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"qkv/net/wire"
)

// health is gRPC's health service, grpc.health.v1.Health. It knows the empty name, which stands for the whole endpoint, and the
// names of the endpoint's services. grpc-go has a health server of its own, but that server keeps every name that a client has
// watched until the process ends.
type health struct {
	healthpb.UnimplementedHealthServer
	s     *core
	names map[string]bool
}

// etcdHealthStreams bounds the health watches of all connections. A client has at most one per connection. They do not count for
// etcdStreamsAll: otherwise five connections with 3,000 of them would leave none for a watch of keys. All of them hold 3 MiB of
// limits.EtcdBytes (limits.EtcdAskedBytes each), in addition to the 240 MiB of etcdStreamsAll.
const etcdHealthStreams = 1 << 10

// healthService describes the service. Its streams have a limit of their own, separate from the limit for watches of keys.
func (s *Server) healthService() (*grpc.ServiceDesc, *health) {
	h := &health{s: s.core, names: map[string]bool{"": true, healthpb.Health_ServiceDesc.ServiceName: true}}
	for _, service := range s.offered {
		h.names[service.ServiceName] = true
	}
	d := healthpb.Health_ServiceDesc
	watch := d.Streams[0]
	handle := watch.Handler
	watch.Handler = limited(&s.healthStreams, etcdHealthStreams, "watches of its health", func(stream grpc.ServerStream) error { return handle(h, stream) })
	d.Streams = []grpc.StreamDesc{watch}
	return &d, h
}

func (h *health) status() healthpb.HealthCheckResponse_ServingStatus {
	if h.s.alive.Err() != nil || !h.s.config.Start.Current() {
		return healthpb.HealthCheckResponse_NOT_SERVING
	}
	return healthpb.HealthCheckResponse_SERVING
}

// Check implements healthpb.HealthServer.
func (h *health) Check(_ context.Context, q *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	if !h.names[q.Service] {
		return nil, status.Error(codes.NotFound, "unknown service")
	}
	return &healthpb.HealthCheckResponse{Status: h.status()}, nil
}

// List implements healthpb.HealthServer.
func (h *health) List(context.Context, *healthpb.HealthListRequest) (*healthpb.HealthListResponse, error) {
	all := map[string]*healthpb.HealthCheckResponse{}
	for name := range h.names {
		all[name] = &healthpb.HealthCheckResponse{Status: h.status()}
	}
	return &healthpb.HealthListResponse{Statuses: all}, nil
}

// Watch implements healthpb.HealthServer. A status changes when the member has started, and when the endpoint stops.
func (h *health) Watch(q *healthpb.HealthCheckRequest, stream healthpb.Health_WatchServer) error {
	known, first := h.names[q.Service], healthpb.HealthCheckResponse_SERVICE_UNKNOWN
	q.Service = "" // the stream may stay open for days, and the name may have limits.RequestBytes
	if known {
		first = h.status()
	}
	if err := stream.Send(&healthpb.HealthCheckResponse{Status: first}); err != nil {
		return err
	}
	ctx, cancel := until(h.s.alive, stream.Context())
	defer cancel()
	if h.s.config.Start.Await(ctx, wire.NeedCurrent) && known && first == healthpb.HealthCheckResponse_NOT_SERVING {
		first = healthpb.HealthCheckResponse_SERVING
		if err := stream.Send(&healthpb.HealthCheckResponse{Status: first}); err != nil {
			return err
		}
	}
	<-ctx.Done()
	if stream.Context().Err() != nil {
		return stream.Context().Err()
	}
	if known && first == healthpb.HealthCheckResponse_SERVING {
		if err := stream.Send(&healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_NOT_SERVING}); err != nil {
			return err
		}
	}
	return errStopped
}
