package etcd

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	protocodec "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/wire"
)

// The versions of etcd whose API this is. Clients and Kubernetes parse them: plain numbers.
const (
	Version        = "3.7.3"
	ClusterVersion = "3.7.0"
)

// Member is what the endpoint needs of the member behind it: a part of what the native endpoint does. All methods may be called
// from many goroutines.
type Member interface {
	Propose(p kv.Proposal)
	ReadIndex(to kv.ReplyTo, requests []uint64, timeout time.Duration)
	Watch(to kv.WatchStream, r kv.WatchRequest)
	AskLeases(to kv.ReplyTo, requests []uint64, asks []kv.LeaseAsk, timeout time.Duration)
	Refuse(q *wire.Request) *kv.Error
	MoveLeader(ctx context.Context, to uint64) *kv.Error
	Metrics() Metrics
	View() *index.View
	Status() wire.Status
	// RaftStatus is what of the status each request needs, without the rest.
	RaftStatus() RaftStatus
}

// RaftStatus is where the member stands in the cluster.
type RaftStatus struct {
	Term   uint64
	Leader uint64 // 0: none is known
}

// Config says how to serve. All but Logger must be given.
type Config struct {
	Listeners   []Listener // at least one
	Metrics     []Listener // for health and metrics alone
	Profiles    bool       // Go's profiles are served at the port
	PeerScheme  string     // of the members' URLs among each other, as clients are told: http or https
	Member      Member
	Cluster, ID uint64
	Logger      *slog.Logger

	Scratch string                // a folder for the files of snapshots: it is made, and deleted
	Room    func() (int64, error) // what the disk of that folder has free

	// MaxRequestBytes is the largest write that is accepted, as etcd measures it, and about how large a piece of a stream is.
	MaxRequestBytes int
	// TxnOperations is how many operations a transaction may have, at most limits.TxnParts; 0: limits.TxnOperations.
	TxnOperations int
	LeaseLeast    int64         // seconds: shorter leases are granted for so long
	Timeout       time.Duration // of a request, at most
	Limits        limits.Etcd
}

// Listener is one address to serve at; the server closes it. One for metrics takes TLS or none, and not both.
type Listener struct {
	net.Listener             // TCP
	TLS          *tls.Config // nil: TLS is not taken
	Plain        bool        // connections without TLS are taken
}

// Server is a running endpoint.
type Server struct {
	// Constant.
	config Config
	logger *slog.Logger
	calls  *calls
	turns  *turns
	begun  sync.Once
	grpc   *grpc.Server // begun's
	port   *port
	webs   []*http.Server // of Config.Metrics
	health *health.Server

	offered []*grpc.ServiceDesc // by gRPC, and by the gateway
	metrics *metrics
	gateway *gateway
	memory  *memory
	room    *room         // of requests over HTTP
	copies  *room         // of snapshots that are on their way: places, and no bytes
	built   *room         // of answers that are in memory as a whole
	wides   chan struct{} // has room for long reads that hold what they have read until it is answered
	listing chan struct{} // has room for lists of leases that ask the clock for each
	builds  chan struct{} // has room for those that wait for built
	txns    chan struct{} // has room for transactions of many parts that are decoded
	locks   *places       // of requests that wait for a lock, or an election

	alive context.Context // until the server ends
	die   context.CancelFunc

	running sync.WaitGroup // every goroutine of the server

	// Shared.
	requests   atomic.Int64 // unary ones under way
	watches    atomic.Int64
	hashing    chan struct{} // has room for one, so that one state after the other is hashed
	evaluating chan struct{} // has room for one transaction that only reads, and compares many keys
	watchBytes atomic.Int64  // of events that wait to be sent
	streams    atomic.Int64  // that handlers serve
	toHub      chan struct{} // has room for those that may wait for the watch hub
	stopping   chan struct{}
	stop       sync.Once
}

// Start opens the endpoint and serves until Close.
func Start(config Config) *Server {
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if config.TxnOperations == 0 {
		config.TxnOperations = limits.TxnOperations
	}
	s := &Server{config: config, logger: config.Logger, stopping: make(chan struct{}), hashing: make(chan struct{}, 1), evaluating: make(chan struct{}, 1), toHub: make(chan struct{}, limits.EtcdHubCallers)}
	s.calls = newCalls(config.Member, config.Timeout, config.Limits.Requests)
	s.turns = newTurns(&s.requests)
	s.metrics = newMetrics(s)
	s.memory = newMemory(config.Limits.Bytes, s.running.Go, func(what, reason string) { s.port.note(what, reason) })
	s.room = newRoom(max(config.Limits.GatewayBytes, heldBytes(max(s.jsonBytes(), limits.EtcdGatewayBytes))), config.Limits.Stall)
	s.copies = newRoom(limits.EtcdSnapshots, config.Limits.Stall)
	s.built = newRoom(config.Limits.BuiltBytes, config.Limits.Stall)
	s.wides, s.builds = make(chan struct{}, limits.EtcdWideReads), make(chan struct{}, limits.EtcdBuilds)
	s.txns, s.listing = make(chan struct{}, limits.EtcdTxns), make(chan struct{}, limits.EtcdLeasesAsking)
	s.locks = &places{most: config.Limits.Locks}
	s.alive, s.die = context.WithCancel(context.Background())
	s.offered = s.services()
	for _, service := range s.offered {
		s.measure(service)
	}
	s.gateway = newGateway(s, s.offered)
	s.health = health.NewServer()
	s.calls.run(&s.running)
	s.port = newPort(s)
	s.port.run(&s.running)
	for _, one := range config.Metrics {
		s.serveMetrics(one)
	}
	return s
}

// begin lets gRPC be served from its first connection on, since its workers cost what a member without such clients has no need for.
// It is false when the server ends and there was none before.
func (s *Server) begin() bool {
	s.begun.Do(func() {
		s.grpc = grpc.NewServer(
			grpc.ForceServerCodecV2(codec{encoding.GetCodecV2(protocodec.Name), s.metrics}),
			grpc.Creds(handshaken{}),
			grpc.MaxRecvMsgSize(s.config.MaxRequestBytes+limits.EtcdRequestOver),
			grpc.MaxSendMsgSize(limits.EtcdMessageBytes),
			grpc.MaxConcurrentStreams(uint32(s.config.Limits.Streams)),
			grpc.WaitForHandlers(true),
			grpc.NumStreamWorkers(limits.EtcdStreamWorkers),
			grpc.MaxHeaderListSize(limits.EtcdHeaderBytes),
			grpc.ConnectionTimeout(s.config.Limits.Handshake),
			grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: limits.EtcdPingLeast}),
			grpc.KeepaliveParams(keepalive.ServerParameters{Time: limits.EtcdPing, Timeout: limits.EtcdPingTimeout}),
		)
		for _, service := range s.offered {
			s.grpc.RegisterService(service, nil)
		}
		healthpb.RegisterHealthServer(s.grpc, s.health)
		s.running.Go(func() { _ = s.grpc.Serve(s.port.grpc) })
	})
	return s.grpc != nil
}

// served returns what has served gRPC, and nil where nothing has, and will.
func (s *Server) served() *grpc.Server {
	s.begun.Do(func() {})
	return s.grpc
}

// Addr is where the endpoint listens first.
func (s *Server) Addr() net.Addr { return s.config.Listeners[0].Addr() }

// Stats are the endpoint's numbers at this moment.
type Stats struct {
	Connections int
	Serving     int64 // requests whose answers have not begun, but for those that wait for a lock or an election
	Watches     int64
	WatchBytes  int64 // of events that wait to be sent

	GatewayBytes int64 // that requests over HTTP may use at this moment
	BuiltBytes   int64 // of answers that are in memory as a whole
	MessageBytes int64 // of open streams, of requests that are not whole, and of answers that are not read, those that are built among them
}

// Stats returns the endpoint's numbers.
func (s *Server) Stats() Stats {
	return Stats{Connections: s.port.count(), Serving: s.memory.serving.Load(), Watches: s.watches.Load(), WatchBytes: s.watchBytes.Load(), MessageBytes: s.memory.total.Load() + s.built.taken(), GatewayBytes: s.room.taken(), BuiltBytes: s.built.taken()}
}

// Drain takes no new connections and ends all streams, so that clients turn to other members. It waits until the requests that
// are under way are answered, or ctx is over. Close follows.
func (s *Server) Drain(ctx context.Context) {
	s.end()
	finished := make(chan struct{})
	s.running.Go(func() {
		if serves := s.served(); serves != nil {
			serves.GracefulStop()
		}
		close(finished)
	})
	select {
	case <-finished:
	case <-ctx.Done():
	}
}

// end tells everything that lasts that it is over.
func (s *Server) end() {
	s.stop.Do(func() {
		close(s.stopping)
		s.die()
		s.health.Shutdown()
	})
	s.port.close()
}

// Close ends all connections and returns when no goroutine of the server is left. A member that is waiting for room in Propose
// must have ended before.
func (s *Server) Close() {
	s.end()
	if serves := s.served(); serves != nil {
		serves.Stop()
	}
	s.port.stop()
	for _, web := range s.webs {
		_ = web.Close()
	}
	s.calls.stop()
	s.running.Wait()
}

// header is that of an answer.
func (s *Server) header(revision int64) *pb.ResponseHeader {
	return &pb.ResponseHeader{ClusterId: s.config.Cluster, MemberId: s.config.ID, Revision: revision, RaftTerm: s.config.Member.RaftStatus().Term}
}

// services are all that the endpoint has.
func (s *Server) services() []*grpc.ServiceDesc {
	return []*grpc.ServiceDesc{
		{
			ServiceName: "etcdserverpb.KV", Metadata: "rpc.proto",
			Methods: []grpc.MethodDesc{
				method(s, "Range", s.rangeKeys), method(s, "Put", s.put), method(s, "DeleteRange", s.deleteRange),
				s.countedTxn(), method(s, "Compact", s.compact),
			},
			Streams: []grpc.StreamDesc{s.stream("RangeStream", false, true, s.rangeStream)},
		},
		{
			ServiceName: "etcdserverpb.Watch", Metadata: "rpc.proto",
			Streams: []grpc.StreamDesc{s.stream("Watch", true, true, s.watch)},
		},
		{
			ServiceName: "etcdserverpb.Lease", Metadata: "rpc.proto",
			Methods: []grpc.MethodDesc{
				method(s, "LeaseGrant", s.grant), method(s, "LeaseRevoke", s.revoke), method(s, "LeaseTimeToLive", s.timeToLive),
				method(s, "LeaseLeases", s.leases),
			},
			Streams: []grpc.StreamDesc{s.stream("LeaseKeepAlive", true, true, s.keepAlive)},
		},
		{
			ServiceName: "etcdserverpb.Maintenance", Metadata: "rpc.proto",
			Methods: []grpc.MethodDesc{
				method(s, "Status", s.status), method(s, "Alarm", s.alarm), method(s, "MoveLeader", s.moveLeader),
				method(s, "Defragment", s.defragment), method(s, "Downgrade", s.downgrade), method(s, "Hash", s.hash),
				method(s, "HashKV", s.hashKV),
			},
			Streams: []grpc.StreamDesc{s.stream("Snapshot", false, true, s.snapshot)},
		},
		{
			ServiceName: "etcdserverpb.Cluster", Metadata: "rpc.proto",
			Methods: []grpc.MethodDesc{
				method(s, "MemberList", s.memberList), method(s, "MemberAdd", s.memberAdd), method(s, "MemberRemove", s.memberRemove),
				method(s, "MemberUpdate", s.memberUpdate), method(s, "MemberPromote", s.memberPromote),
			},
		},
		s.followService(),
		{
			ServiceName: "v3lockpb.Lock",
			Methods:     []grpc.MethodDesc{s.own("Lock", s.waits(s.lock)), s.own("Unlock", s.unlock)},
		},
		{
			ServiceName: "v3electionpb.Election",
			Methods: []grpc.MethodDesc{
				s.own("Campaign", s.waits(s.campaign)), s.own("Proclaim", s.proclaim), s.own("Leader", s.leader), s.own("Resign", s.resign),
			},
			Streams: []grpc.StreamDesc{s.stream("Observe", false, true, s.observe)},
		},
		{
			ServiceName: "etcdserverpb.Auth", Metadata: "rpc.proto",
			Methods: []grpc.MethodDesc{method(s, "AuthStatus", s.authStatus), method(s, "Authenticate", s.authenticate)},
		},
	}
}

// measure lets a service's RPCs be counted.
func (s *Server) measure(service *grpc.ServiceDesc) {
	for i := range service.Methods {
		m := &service.Methods[i]
		r, handle := s.metrics.of(service.ServiceName, m.MethodName, unaryKind), m.Handler
		m.Handler = func(server any, ctx context.Context, decode func(any) error, i grpc.UnaryServerInterceptor) (any, error) {
			began := time.Now()
			r.started.Inc()
			r.in.Inc()
			s.metrics.count(ctx, r)
			answer, err := handle(server, ctx, decode, i)
			if err == nil {
				r.out.Inc()
			}
			r.ended(began, err)
			return counted(answer, whoseShare(ctx)), err
		}
	}
	for i := range service.Streams {
		m := &service.Streams[i]
		r, handle := s.metrics.of(service.ServiceName, m.StreamName, streamKind(m)), m.Handler
		m.Handler = func(server any, stream grpc.ServerStream) error {
			began := time.Now()
			r.started.Inc()
			s.metrics.count(stream.Context(), r)
			counts := &countedStream{ServerStream: stream, r: r, share: whoseShare(stream.Context())}
			defer counts.end()
			err := handle(server, counts)
			r.ended(began, err)
			return err
		}
	}
}

// request is a message that T is.
type request[T any] interface {
	*T
	proto.Message
}

// method is an RPC with one request and one answer.
func method[T any, Q request[T]](s *Server, name string, answer func(context.Context, Q) (any, error)) grpc.MethodDesc {
	return grpc.MethodDesc{MethodName: name, Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		q := Q(new(T))
		if err := decode(q); err != nil {
			return nil, err
		}
		s.requests.Add(1)
		defer s.requests.Add(-1)
		if err := s.admit(ctx, q); err != nil {
			return nil, err
		}
		return answer(ctx, q)
	}}
}

// stream is an RPC with a stream of requests, or of answers.
func (s *Server) stream(name string, requests, answers bool, serve func(grpc.ServerStream) error) grpc.StreamDesc {
	return grpc.StreamDesc{
		StreamName: name, ClientStreams: requests, ServerStreams: answers,
		Handler: func(_ any, stream grpc.ServerStream) error {
			var q proto.Message
			if name == "Snapshot" { // a learner serves that, too
				q = &pb.SnapshotRequest{}
			}
			defer s.streams.Add(-1)
			if s.streams.Add(1) > limits.EtcdStreamsAll {
				return status.Errorf(codes.ResourceExhausted, "etcdserver: this member serves %d streams of etcd's clients, its limit", limits.EtcdStreamsAll)
			}
			if err := s.admit(stream.Context(), q); err != nil {
				return err
			}
			return serve(stream)
		},
	}
}

// admit says why a request, or a stream, is refused whatever it asks for.
func (s *Server) admit(ctx context.Context, q proto.Message) error {
	select {
	case <-s.stopping:
		return errStopped
	default:
	}
	local := servedByLearner(q)
	if !local {
		if err := s.takesPart(ctx); err != nil {
			return err
		}
	}
	if version := metadata.ValueFromIncomingContext(ctx, rpctypes.MetadataClientAPIVersionKey); len(version) > 0 && !utf8.ValidString(version[0]) {
		return rpctypes.ErrGRPCInvalidClientAPIVersion
	}
	if require := metadata.ValueFromIncomingContext(ctx, rpctypes.MetadataRequireLeaderKey); len(require) > 0 && require[0] == rpctypes.MetadataHasLeader && s.config.Member.RaftStatus().Leader == 0 {
		return rpctypes.ErrGRPCNoLeader
	}
	if _, status := q.(*pb.StatusRequest); status {
		return nil
	}
	as := &asksAll
	if local {
		as = &asksLocal
	}
	return refused(s.config.Member.Refuse(as))
}

// What a member is asked whether it answers: they have several hundred bytes, and are not changed.
var (
	asksAll   = wire.Request{Op: wire.OpRange}
	asksLocal = wire.Request{Op: wire.OpRange, Range: kv.Range{Serializable: true}}
)

// isLearner says that a member is a learner as etcd's clients understand it: one that somebody has to promote. One that becomes a
// voter by itself as soon as it is level was added as a voter, and serves what voters serve.
func isLearner(m *kv.Member) bool { return !m.Role.Votes() && m.Manual }

// learner says what this member's state knows of it: whether it is a learner, and whether it is there at all.
func (s *Server) learner() (is, known bool) {
	own := s.config.Member.View().Members().Get(s.config.ID)
	return own != nil && isLearner(own), own != nil
}

// takesPart refuses what a learner does not serve. Its own state may be from before it was promoted, or added, and a client does
// not try again what a learner has refused: it says so only when the leader was asked, and the state is as new as its answer.
func (s *Server) takesPart(ctx context.Context) error {
	if is, known := s.learner(); known && !is {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, limits.EtcdLearnerAsks)
	defer cancel()
	err := s.calls.confirm(ctx)
	switch is, known := s.learner(); {
	case known && !is:
		return nil
	case err == nil && known:
		return rpctypes.ErrGRPCNotSupportedForLearner
	case err == nil || ctx.Err() != nil: // nobody knows it, or nobody answers
		return rpctypes.ErrGRPCNoLeader
	default:
		return err
	}
}

// servedByLearner says that a learner answers a request, too.
func servedByLearner(q proto.Message) bool {
	switch q := q.(type) {
	case *pb.StatusRequest, *pb.SnapshotRequest:
		return true
	case *pb.RangeRequest:
		return q.Serializable
	default:
		return false
	}
}
