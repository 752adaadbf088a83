package etcd

import (
	"context"
	"fmt"
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
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/audit"
	"qkv/internal/limits"
	"qkv/internal/logx"
	"qkv/internal/meter"
	"qkv/net/auth"
	"qkv/net/etcd/front"
	"qkv/net/etcd/h2"
	"qkv/net/wire"
)

// The versions of etcd whose API is implemented. They are plain numbers, because clients and Kubernetes parse them.
const (
	Version        = "3.7.3"
	clusterVersion = "3.7.0"
)

// Member is the endpoint's interface to its member, for any goroutine. The methods that server.Member has, too, are described there.
type Member interface {
	Propose(p kv.Proposal)
	ReadIndex(to kv.ReplyTo, requests []uint64, timeout time.Duration)
	Watch(to kv.WatchStream, r kv.WatchRequest)
	AskLeases(to kv.ReplyTo, requests []uint64, asks []kv.LeaseAsk, timeout time.Duration)
	Refuse() *kv.Error
	MoveLeader(ctx context.Context, to uint64) *kv.Error
	Metrics() Metrics
	View() *index.View
	Status() kv.Status
	// RaftStatus returns the part of the status that each request needs.
	RaftStatus() RaftStatus
}

// RaftStatus is the member's term and leader.
type RaftStatus struct {
	Term   uint64
	Leader uint64 // 0: unknown
}

// Config configures the endpoint. Metrics, Dashboard, Profiles, NoGateway, Names, Logger, and fields whose comments say so, may be zero.
type Config struct {
	Listeners []Listener // at least one
	Metrics   []Listener // for health and metrics only
	Dashboard Dashboard
	Profiles  bool     // serve Go's profiles at the port
	NoGateway bool     // serve no JSON at the port
	Names     []string // host names, in lower case, that this member advertises to clients
	// host names that requests over HTTP without TLS may use, "*" for any; nil: as package web says
	Hosts      []string
	PeerScheme string // of the members' peer URLs, as reported to clients: http or https
	Member     Member
	Trusted    func() error // why clients should not use this member because of its certificate; nil: never
	// why gRPC's clients should use other members, although this one serves reads of its state; nil: never
	Stuck       func() error
	Start       *wire.Start // requests wait for the stage of it that they need; nil: they do not wait
	Cluster, ID uint64
	Logger      *slog.Logger

	Audit      *audit.Log        // nil: nothing is recorded
	Operations *meter.Operations // nil: clients' operations are not counted

	// The proofs of users: passwords, tokens, and certificates. A client's certificate is its user's only with CertificateUsers.
	Hasher           *auth.Hasher
	Tokens           auth.Tokens
	CertificateUsers bool

	Scratch string                // folder for snapshot files: created, and deleted
	Room    func() (int64, error) // free bytes on that folder's disk

	// MaxRequestBytes is the largest accepted write, as etcd measures it, and about the size of a stream's chunk.
	MaxRequestBytes int
	// TxnOperations bounds the operations of a transaction, at most limits.TxnParts; 0: limits.TxnOperations.
	TxnOperations int
	LeaseLeast    int64         // in seconds: shorter leases are extended to it
	Timeout       time.Duration // of a request, at most
	Limits        limits.Etcd
}

// Listener is one address to serve at; the server closes it.
type Listener = front.Listener

// Server is a running endpoint: its ports, the gRPC server and the services that it offers.
type Server struct {
	*core

	begun   sync.Once
	grpc    *h2.Server // set by begun
	batched *batched
	pages   http.Handler  // of requests at the clients' port that are not gRPC's
	more    []*front.Port // for metrics alone, and for the dashboard alone

	offered []*grpc.ServiceDesc // by gRPC, and by the gateway
}

// core is shared by all services: the way to the member, and what bounds the services together.
type core struct {
	// Constant.
	config    Config
	log       *logx.Limited // for events that any client can cause
	calls     *calls
	metrics   *metrics
	accounts  *front.Accounts
	admission admission
	port      *front.Port // for clients

	alive context.Context // until Drain or Close
	die   context.CancelFunc
	open  context.Context // until Close: the member answers no request any more
	shut  context.CancelFunc

	running sync.WaitGroup // every goroutine of the server

	// Shared.
	requests      atomic.Int64 // unary requests in flight
	watches       atomic.Int64
	watchBytes    atomic.Int64 // of events that wait to be sent
	streams       atomic.Int64 // served by handlers, without healthStreams
	healthStreams atomic.Int64 // watches of the health service
	watching      watchStreams
}

const (
	// dashboardConnections bounds the connections to further addresses with the dashboard. A browser opens up to six.
	dashboardConnections = 256
	// etcdLearnerAsks is how long a member that would refuse a request as a learner asks the leader for its current role: an election takes
	// less.
	etcdLearnerAsks = 3 * time.Second
	// etcdPingLeast is the shortest interval of a client's pings. etcdPing is the silence after which the server pings a client.
	// etcdPingTimeout bounds the wait for the answer. All are as in etcd.
	etcdPingLeast   = 5 * time.Second
	etcdPing        = 2 * time.Hour
	etcdPingTimeout = 20 * time.Second
	// guardInterval is how long requests of open connections fail, at most, after the member was suspended.
	guardInterval = 100 * time.Millisecond
)

// Start opens the endpoint and serves until Close.
func Start(config Config) *Server {
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if config.TxnOperations == 0 {
		config.TxnOperations = limits.TxnOperations
	}
	s := &Server{core: newCore(config)}
	s.offered = s.services()
	for _, service := range s.offered {
		s.measure(service)
	}
	s.calls.run(&s.running)
	s.batched = newBatched(s.core)
	s.running.Go(s.batched.run)
	at := front.Config{Limits: config.Limits, Log: s.log, Accounts: s.accounts, ServesGRPC: func() bool { return config.Start.Serves(wire.NeedKeys) && s.gate() == nil }, BeginGRPC: s.begin, Stopping: s.alive.Done()}
	gateway := newGateway(s.core, s.offered)
	page := dashboard{s.core, gateway}
	at.Listeners, at.Web = config.Listeners, pages{s.core}.server(gateway, nil)
	if config.Dashboard.AtClients {
		at.Web = pages{s.core}.server(gateway, page)
	}
	s.pages = at.Web.Handler
	s.port = front.NewClientPort(at)
	s.port.Run(&s.running)
	if at.Listeners = config.Metrics; len(at.Listeners) > 0 {
		at.Web = pages{s.core}.server(nil, nil)
		s.more = append(s.more, front.NewHTTPPort(at, limits.EtcdMetricsConnections))
	}
	if at.Listeners = config.Dashboard.Listeners; len(at.Listeners) > 0 {
		at.Web = pages{s.core}.server(nil, page)
		s.more = append(s.more, front.NewHTTPPort(at, dashboardConnections))
	}
	for _, p := range s.more {
		p.Run(&s.running)
	}
	return s
}

func newCore(config Config) *core {
	s := &core{config: config, log: logx.NewLimited(config.Logger)}
	s.calls = newCalls(config.Member, config.Timeout, config.Limits.Requests)
	s.metrics = newMetrics(s)
	s.accounts = front.NewAccounts(config.Limits.Bytes, s.log)
	s.admission = newAdmission(s)
	s.alive, s.die = context.WithCancel(context.Background())
	s.open, s.shut = context.WithCancel(context.Background())
	return s
}

// gate returns why no gRPC is served, apart from a start: the member cannot leave the state by itself.
func (s *core) gate() error {
	if refusal := s.config.Member.Refuse(); refusal != nil {
		return refusal
	}
	if s.config.Stuck == nil {
		return nil
	}
	return s.config.Stuck()
}

// begin admits a gRPC connection, and starts gRPC at the first one. The error refuses the connection. During a start it waits, as in etcd,
// until requests for keys are served: a client of several members uses others meanwhile. A member that takes no part in the cluster refuses
// it at once.
func (s *Server) begin() error {
	if err := s.gate(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(s.alive, s.config.Timeout)
	defer cancel()
	if !s.config.Start.Await(ctx, wire.NeedKeys) {
		return wire.ErrStarting
	}
	s.begun.Do(func() {
		s.grpc = h2.NewServer(h2.Config{
			Codec: codec{s.metrics}, Prepare: s.batched.prepare, Batched: s.batched.methods(),
			ReceiveMost: s.config.MaxRequestBytes + etcdRequestOver, SendMost: limits.EtcdMessageBytes,
			Streams: uint32(s.config.Limits.Streams), HeaderBytes: limits.EtcdHeaderBytes, Handshake: s.config.Limits.Handshake,
			Fault: s.fault, Pages: s.pages,

			PingLeast: etcdPingLeast, PingAfter: etcdPing, PingTimeout: etcdPingTimeout,
		})
		for _, service := range s.offered {
			s.grpc.RegisterService(service, nil)
		}
		s.grpc.RegisterService(s.healthService())
		s.running.Go(func() {
			for tick := time.Tick(guardInterval); s.alive.Err() == nil; <-tick {
				if s.gate() != nil {
					s.grpc.Dismiss()
				}
			}
		})
		s.running.Go(func() {
			for {
				c, err := s.port.GRPC().Accept()
				if err != nil {
					return
				}
				from, _ := peer.FromContext(front.ConnContext(context.Background(), c))
				s.running.Go(func() { s.grpc.Serve(c, from) })
			}
		})
	})
	return nil // if the server has ended, its port ends the connection
}

// fault reports a panic.
func (s *core) fault(path string, fault any, stack []byte) {
	s.log.Warn("fault "+path, "a request met a fault in this member", "method", path, "fault", fmt.Sprint(fault), "stack", string(stack))
}

// contain runs a part of a request in its goroutine. A panic there is the request's error, as one of its handler.
func (s *core) contain(path string, f func() error) (err error) {
	if fault := h2.Contain(s.fault, path, func() { err = f() }); fault != nil {
		return fault
	}
	return err
}

// served returns the gRPC server, or nil if it never started and never will.
func (s *Server) served() *h2.Server {
	s.begun.Do(func() {})
	return s.grpc
}

// Addr is the endpoint's first listen address.
func (s *Server) Addr() net.Addr { return s.config.Listeners[0].Addr() }

// Stats is a snapshot of the endpoint's figures.
type Stats struct {
	Connections int
	Serving     int64 // requests without an answer yet, except those that wait for a lock or an election
	Watches     int64
	WatchBytes  int64 // of events that wait to be sent

	GatewayBytes int64 // memory now used by requests over HTTP
	BuiltBytes   int64 // memory of answers held as a whole
	MessageBytes int64 // memory of open streams, of partial requests and of unread answers, including BuiltBytes
}

// Stats returns the endpoint's current figures.
func (s *Server) Stats() Stats {
	return Stats{Connections: s.port.Count(), Serving: s.accounts.Serving(), Watches: s.watches.Load(), WatchBytes: s.watchBytes.Load(), MessageBytes: s.accounts.Total() + s.admission.buffered.Reserved(), GatewayBytes: s.admission.json.Reserved(), BuiltBytes: s.admission.buffered.Reserved()}
}

// Drain accepts no new connections and ends all streams: clients switch to other members. It waits until the requests in flight are
// answered, or ctx ends. The caller then calls Close.
func (s *Server) Drain(ctx context.Context) {
	s.end()
	finished := make(chan struct{})
	s.running.Go(func() {
		if serves := s.served(); serves != nil {
			serves.Drain()
		}
		close(finished)
	})
	select {
	case <-finished:
	case <-ctx.Done():
	}
}

// end signals all streams and waiting requests to end.
func (s *Server) end() {
	s.die()
	s.port.Close()
}

// Close ends all connections and returns after all goroutines of the server. If the member waits in Propose, it must have ended before.
func (s *Server) Close() {
	s.end()
	s.shut()
	if serves := s.served(); serves != nil {
		serves.Stop()
	}
	s.port.Stop()
	for _, p := range s.more {
		p.Close()
		p.Stop()
	}
	s.calls.stop()
	s.batched.stop()
	s.running.Wait()
}

// header builds an answer's header.
func (s *core) header(revision int64) *pb.ResponseHeader {
	return &pb.ResponseHeader{ClusterId: s.config.Cluster, MemberId: s.config.ID, Revision: revision, RaftTerm: s.config.Member.RaftStatus().Term}
}

// services lists the endpoint's services.
func (s *Server) services() []*grpc.ServiceDesc {
	keys, watches, leases, cluster := kvService{s.core}, watchService{s.core}, leaseService{s.core}, clusterService{s.core}
	maintenance, users := maintenanceService{s.core}, authService{s.core}
	locks := lockService{s.core, keys, leases}
	of := func(service string) offer { return offer{s.core, service} }
	kvs, lease, members, maintain := of("etcdserverpb.KV"), of("etcdserverpb.Lease"), of("etcdserverpb.Cluster"), of("etcdserverpb.Maintenance")
	lock, elect := of("v3lockpb.Lock"), of("v3electionpb.Election")
	return []*grpc.ServiceDesc{
		kvs.describe([]grpc.MethodDesc{
			method(kvs, "Range", keys.rangeKeys), method(kvs, "Put", keys.put), method(kvs, "DeleteRange", keys.deleteRange),
			keys.countedTxn(method(kvs, "Txn", keys.txn)), method(kvs, "Compact", keys.compact),
		}, kvs.stream("RangeStream", false, true, keys.rangeStream)),
		of("etcdserverpb.Watch").describe(nil, of("etcdserverpb.Watch").stream("Watch", true, true, watches.watch)),
		lease.describe([]grpc.MethodDesc{
			method(lease, "LeaseGrant", leases.grant), method(lease, "LeaseRevoke", leases.revoke), method(lease, "LeaseTimeToLive", leases.timeToLive),
			method(lease, "LeaseLeases", leases.leases),
		}, lease.stream("LeaseKeepAlive", true, true, leases.keepAlive)),
		maintain.describe([]grpc.MethodDesc{
			method(maintain, "Status", maintenance.status), method(maintain, "Alarm", maintenance.alarm), method(maintain, "MoveLeader", maintenance.moveLeader),
			method(maintain, "Defragment", maintenance.defragment), method(maintain, "Downgrade", maintenance.downgrade), method(maintain, "Hash", maintenance.hash),
			method(maintain, "HashKV", maintenance.hashKV),
		}, maintain.stream("Snapshot", false, true, maintenance.snapshot)),
		members.describe([]grpc.MethodDesc{
			method(members, "MemberList", cluster.memberList), method(members, "MemberAdd", cluster.memberAdd), method(members, "MemberRemove", cluster.memberRemove),
			method(members, "MemberUpdate", cluster.memberUpdate), method(members, "MemberPromote", cluster.memberPromote),
		}),
		lock.describe([]grpc.MethodDesc{lockMethod(lock, "Lock", waits(s.core, locks.lock)), lockMethod(lock, "Unlock", locks.unlock)}),
		elect.describe([]grpc.MethodDesc{
			lockMethod(elect, "Campaign", waits(s.core, locks.campaign)), lockMethod(elect, "Proclaim", locks.proclaim), lockMethod(elect, "Leader", locks.leader), lockMethod(elect, "Resign", locks.resign),
		}, elect.stream("Observe", false, true, locks.observe)),
		of("etcdserverpb.Auth").describe(users.methods(of("etcdserverpb.Auth"))),
	}
}

// measure wraps a service's RPCs with meters.
func (s *Server) measure(service *grpc.ServiceDesc) {
	for i := range service.Methods {
		m := &service.Methods[i]
		r, handle := s.metrics.of(service.ServiceName, m.MethodName, unaryKind), m.Handler
		m.Handler = func(server any, ctx context.Context, decode func(any) error, i grpc.UnaryServerInterceptor) (any, error) {
			began := time.Now()
			r.started.Inc()
			r.in.Inc()
			s.metrics.count(ctx, r)
			out, err := handle(server, ctx, decode, i)
			r.ended(began, err)
			if err != nil {
				return nil, err
			}
			r.out.Inc()
			return out.(answer).charge(front.AccountOf(ctx)), nil
		}
	}
	for i := range service.Streams {
		m := &service.Streams[i]
		r, handle := s.metrics.of(service.ServiceName, m.StreamName, streamKind(m)), m.Handler
		m.Handler = func(server any, stream grpc.ServerStream) error {
			began := time.Now()
			r.started.Inc()
			s.metrics.count(stream.Context(), r)
			err := handle(server, &countedStream{ServerStream: stream, r: r, account: front.AccountOf(stream.Context())})
			r.ended(began, err)
			return err
		}
	}
}

// request is the constraint of a message of type T.
type request[T any] interface {
	*T
	proto.Message
}

// offer is a service while its RPCs are built.
type offer struct {
	*core
	service string
}

// describe returns the service with its RPCs.
func (o offer) describe(methods []grpc.MethodDesc, streams ...grpc.StreamDesc) *grpc.ServiceDesc {
	return &grpc.ServiceDesc{ServiceName: o.service, Metadata: "rpc.proto", Methods: methods, Streams: streams}
}

func (o offer) class(name string) class { return classes["/"+o.service+"/"+name] }

func (o offer) need(name string) wire.Need { return needs["/"+o.service+"/"+name] }

// method builds an RPC with one request and one answer.
func method[T any, Q request[T], A any](o offer, name string, handle func(context.Context, Q) (A, error)) grpc.MethodDesc {
	s, of, need := o.core, o.class(name), o.need(name)
	return grpc.MethodDesc{MethodName: name, Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		q := Q(new(T))
		if err := decode(q); err != nil {
			return nil, err
		}
		s.requests.Add(1)
		defer s.requests.Add(-1)
		err := s.mayServe(ctx, need, q)
		if err == nil {
			ctx, err = s.authorize(ctx, of)
		}
		var out A
		if err == nil {
			ctx, over := s.untilRecorded(ctx, name, q)
			defer over()
			out, err = handle(ctx, q)
		}
		if err = s.audited(ctx, name, q, err); err != nil {
			return nil, err
		}
		return answerOf(out), nil
	}}
}

// stream builds an RPC with a stream of requests, or of answers.
func (o offer) stream(name string, requests, answers bool, serve func(grpc.ServerStream) error) grpc.StreamDesc {
	s, of, need := o.core, o.class(name), o.need(name)
	return grpc.StreamDesc{
		StreamName: name, ClientStreams: requests, ServerStreams: answers,
		Handler: limited(&s.streams, etcdStreamsAll, "streams of etcd's clients", func(stream grpc.ServerStream) error {
			var q proto.Message
			if name == "Snapshot" { // a learner serves it, too
				q = &pb.SnapshotRequest{}
			}
			if err := s.mayServe(stream.Context(), need, q); err != nil {
				return err
			}
			// each of its requests is identified by itself, since a token may end before the stream
			if requests && of == checked {
				return s.audited(stream.Context(), name, nil, serve(stream))
			}
			ctx, err := s.authorize(stream.Context(), of)
			if err == nil {
				err = serve(admitted{stream, ctx})
			}
			return s.audited(ctx, name, nil, err)
		}),
	}
}

// admitted is a stream with one request, whose caller is in its context.
type admitted struct {
	grpc.ServerStream
	ctx context.Context
}

// Context implements grpc.ServerStream.
func (a admitted) Context() context.Context { return a.ctx }

// limited returns a handler that counts its streams in open, and refuses a stream beyond most. The refusal names the streams by what.
func limited(open *atomic.Int64, most int64, what string, serve func(grpc.ServerStream) error) grpc.StreamHandler {
	return func(_ any, stream grpc.ServerStream) error {
		defer open.Add(-1)
		if open.Add(1) > most {
			return status.Errorf(codes.ResourceExhausted, "etcdserver: this member serves %d %s, its limit", most, what)
		}
		return serve(stream)
	}
}

// mayServe returns the reason for which any request or stream is refused. It first waits until the member's start has come as far as needed.
func (s *core) mayServe(ctx context.Context, need wire.Need, q proto.Message) error {
	if s.alive.Err() != nil {
		return errStopped
	}
	if refusal := s.config.Member.Refuse(); refusal != nil {
		return refused(refusal)
	}
	require := metadata.ValueFromIncomingContext(ctx, rpctypes.MetadataRequireLeaderKey)
	requires := len(require) > 0 && require[0] == rpctypes.MetadataHasLeader
	switch err := s.started(ctx, need); {
	case err != nil && requires && s.config.Member.RaftStatus().Leader == 0:
		return rpctypes.ErrGRPCNoLeader
	case err != nil:
		return err
	}
	if !servedByLearner(q) {
		if err := s.takesPart(ctx); err != nil {
			return err
		}
	}
	if version := metadata.ValueFromIncomingContext(ctx, rpctypes.MetadataClientAPIVersionKey); len(version) > 0 && !utf8.ValidString(version[0]) {
		return rpctypes.ErrGRPCInvalidClientAPIVersion
	}
	if requires && s.config.Member.RaftStatus().Leader == 0 {
		return rpctypes.ErrGRPCNoLeader
	}
	return nil
}

// started waits until the member serves requests with this need, for at most Config.Timeout. Answers of a member that has not started yet
// are marked in their metadata.
func (s *core) started(ctx context.Context, need wire.Need) error {
	start := s.config.Start
	if start.Current() {
		return nil
	}
	ctx, cancel := until(s.alive, ctx)
	defer cancel()
	within, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	switch {
	case !start.Await(within, need) && s.alive.Err() != nil:
		return errStopped
	case within.Err() != nil:
		return errStarting
	}
	if word := start.Word(); word != "" {
		// it fails for requests over HTTP, whose answers pages marks
		_ = grpc.SetHeader(ctx, metadata.Pairs(stateHeader, word))
	}
	return nil
}

// stateHeader is the metadata, and the header over HTTP, of answers of a member that has not started yet: its word of wire.Start.
const stateHeader = "qkv-member-state"

// isLearner tells whether a member is a learner in the sense of etcd's clients: an operator has to promote it. A learner that is promoted
// automatically was added as a voter, and serves the same as voters.
func isLearner(m *kv.Member) bool { return !m.Role.Votes() && m.Manual }

// learner reports this member's role by its own state: whether it is a learner, and whether it is a member at all.
func (s *core) learner() (is, known bool) {
	own := s.config.Member.View().Members().Get(s.config.ID)
	return own != nil && isLearner(own), own != nil
}

// takesPart refuses requests that a learner does not serve. A learner's own state may be older than its promotion or addition, and clients
// do not retry such a refusal. takesPart therefore confirms with the leader first: the state is then as new as the leader's answer.
func (s *core) takesPart(ctx context.Context) error {
	if is, known := s.learner(); known && !is {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, etcdLearnerAsks)
	defer cancel()
	err := s.calls.confirm(ctx)
	switch is, known := s.learner(); {
	case known && !is:
		return nil
	case err == nil && known:
		return rpctypes.ErrGRPCNotSupportedForLearner
	case err == nil || ctx.Err() != nil: // not a member by its own state, or no answer
		return rpctypes.ErrGRPCNoLeader
	default:
		return err
	}
}

// until derives a context from ctx that also ends with end.
func until(end, ctx context.Context) (_ context.Context, over func()) {
	ctx, cancel := context.WithCancel(ctx)
	forget := context.AfterFunc(end, cancel)
	return ctx, func() {
		forget()
		cancel()
	}
}

// servedByLearner tells whether a learner answers a request, too.
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
