package etcd

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	goruntime "runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/etcdserverpb/gw"
	electionpb "go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	electiongw "go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb/gw"
	lockpb "go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	lockgw "go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb/gw"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/grpclog"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"qkv/internal/admit"
	"qkv/internal/limits"
	"qkv/net/etcd/front"
)

// gateway serves JSON requests over HTTP, at /v3/. Paths, names and errors equal those of etcd's own gateway, because the same generated
// code of etcd's message module serves them. The gateway calls the gRPC handlers in this process, with the identity of the connection's
// certificate.
//
//  1. A request is bounded by a request's size, or, for each message of a stream, by etcdGatewayStreamed. An answer is bounded by
//     limits.EtcdGatewayBytes. The memory budget admission.json bounds the memory of both.
//  2. An answer over HTTP/1.1 that is not read ends its connection after limits.EtcdWebTimeout, on a stream as well. For a request that waits for a lock
//     or an election, this time begins with its answer; net/http lifts the deadline once a body is complete.
//  3. Requests of browser pages are refused, whatever their origin (guard).
type gateway struct {
	s       *core
	mux     *runtime.ServeMux
	unary   map[string]func(ctx context.Context, decode func(any) error) (any, error)
	streams map[string]func(grpc.ServerStream) error
	reads   admit.Slots // ranges that are read, or hold their results while they wait for memory
}

// init discards the log lines of gRPC's library and of grpc-gateway about departed clients: by default they go to standard error.
func init() {
	if os.Getenv("GRPC_GO_LOG_SEVERITY_LEVEL") == "" {
		grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, io.Discard))
	}
}

const (
	// etcdRequestOver is by how much a message may exceed --max-request-bytes before gRPC refuses it, as in etcd.
	etcdRequestOver = 512 << 10
	// etcdGatewayReads bounds the concurrent range reads for JSON answers, each of at most limits.EtcdGatewayBytes: their results wait in
	// memory for limits.etcdGatewayRoom.
	etcdGatewayReads = 2
	// etcdGatewayStreamed bounds a message of a stream of requests over HTTP: a watch's two keys, as base64.
	etcdGatewayStreamed = 4 * limits.KeyBytes
)

func newGateway(s *core, services []*grpc.ServiceDesc) *gateway {
	g := &gateway{
		s: s, unary: map[string]func(context.Context, func(any) error) (any, error){}, streams: map[string]func(grpc.ServerStream) error{},
		reads: make(admit.Slots, etcdGatewayReads),
	}
	for _, service := range services {
		for _, m := range service.Methods {
			g.unary["/"+service.ServiceName+"/"+m.MethodName] = func(ctx context.Context, decode func(any) error) (any, error) {
				return m.Handler(nil, ctx, decode, nil)
			}
		}
		for _, m := range service.Streams {
			g.streams["/"+service.ServiceName+"/"+m.StreamName] = func(stream grpc.ServerStream) error { return m.Handler(nil, stream) }
		}
	}
	g.mux = runtime.NewServeMux(runtime.WithMarshalerOption(runtime.MIMEWildcard, &runtime.HTTPBodyMarshaler{Marshaler: bounded{&runtime.JSONPb{
		MarshalOptions: protojson.MarshalOptions{UseProtoNames: true}, UnmarshalOptions: protojson.UnmarshalOptions{DiscardUnknown: true},
	}, make(admit.Slots, max(1, goruntime.GOMAXPROCS(0)/limits.RangeShare))}}))
	ctx := context.Background()
	for _, err := range []error{
		gw.RegisterKVHandlerClient(ctx, g.mux, pb.NewKVClient(g)), gw.RegisterWatchHandlerClient(ctx, g.mux, pb.NewWatchClient(g)),
		gw.RegisterLeaseHandlerClient(ctx, g.mux, pb.NewLeaseClient(g)), gw.RegisterClusterHandlerClient(ctx, g.mux, pb.NewClusterClient(g)),
		gw.RegisterMaintenanceHandlerClient(ctx, g.mux, pb.NewMaintenanceClient(g)), gw.RegisterAuthHandlerClient(ctx, g.mux, pb.NewAuthClient(g)),
		lockgw.RegisterLockHandlerClient(ctx, g.mux, lockpb.NewLockClient(g)), electiongw.RegisterElectionHandlerClient(ctx, g.mux, electionpb.NewElectionClient(g)),
	} {
		if err != nil {
			panic(fmt.Sprintf("etcd: the gateway's paths do not fit together: %v", err))
		}
	}
	return g
}

// jsonBytes is the size limit of a JSON request: base64 adds a third to its data, and names and spaces add more.
func (s *core) jsonBytes() int64 { return 2 * int64(s.config.MaxRequestBytes+etcdRequestOver) }

// streaming lists the paths whose requests and answers are streams.
var streaming = map[string]bool{"/v3/watch": true, "/v3/lease/keepalive": true, "/v3/maintenance/snapshot": true}

// waiting lists the paths whose answers may take any time.
var waiting = map[string]bool{"/v3/lock/lock": true, "/v3/election/campaign": true, "/v3/election/observe": true}

// userless lists the paths that need no user.
var userless = map[string]bool{"/v3/auth/authenticate": true, "/v3/auth/status": true}

// tokenHeaders are the headers that become the metadata of a token.
var tokenHeaders = []string{"Authorization", "Grpc-Metadata-Token", "Grpc-Metadata-Authorization"}

// mistakesCertificate tells whether the client probably expects that the name in its certificate is its user. It never is: behind another
// gateway the certificate is that gateway's.
func (g *gateway) mistakesCertificate(r *http.Request) bool {
	hasToken := slices.ContainsFunc(tokenHeaders, func(name string) bool { return r.Header.Get(name) != "" })
	return g.s.config.CertificateUsers && g.s.config.Member.View().Auth().Enabled() && front.AccountOf(r.Context()).User != "" &&
		!hasToken && !userless[r.URL.Path]
}

// ServeHTTP implements http.Handler.
func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if g.mistakesCertificate(r) {
		http.Error(w, "the name in a client's certificate is no user of requests over HTTP: send the token of /v3/auth/authenticate in the header Authorization, or use gRPC", http.StatusBadRequest)
		return
	}
	way := http.NewResponseController(w)
	timeout := g.s.config.Limits.Web
	deadline := time.Now().Add(timeout)
	own := g.s.newReservations(r.Context())
	defer own.in.Shrink(0)
	defer own.out.Shrink(0)
	ctx, cancel := context.WithCancel(context.WithValue(r.Context(), reservationsKey{}, own))
	defer cancel()
	from := &body{ReadCloser: r.Body, ctx: ctx, end: func() {}, own: own.in, most: g.s.jsonBytes()}
	w = paced{w, own.out}
	if streaming[r.URL.Path] {
		_ = way.EnableFullDuplex()
		_ = way.SetReadDeadline(time.Time{}) // a stream of requests may be silent for any time
		from.most, from.end = etcdGatewayStreamed, cancel
		w = &patient{w, way, timeout}
	} else {
		_ = way.SetReadDeadline(deadline)
		from.ReadCloser = http.MaxBytesReader(w, r.Body, from.most)
		if r.ContentLength >= 0 {
			from.most = min(from.most, r.ContentLength+1)
		}
		if r.URL.Path == "/v3/kv/txn" {
			from.dense = min(etcdGatewayDense*heldBytes(from.most), g.s.admission.json.Total())
		}
	}
	if waiting[r.URL.Path] {
		w = &patient{w, way, timeout}
	}
	r = r.WithContext(ctx)
	r.Body = from
	g.mux.ServeHTTP(w, r)
}

// newReservations returns the empty reservations of a request.
func (s *core) newReservations(ctx context.Context) *reservations {
	end := front.AccountOf(ctx).Close
	return &reservations{in: s.admission.json.Message(end), out: s.admission.json.Message(end)}
}

// patient is a ResponseWriter with a timeout for each piece of an answer instead of one for the whole answer.
type patient struct {
	http.ResponseWriter
	way     *http.ResponseController
	timeout time.Duration
}

// Write implements http.ResponseWriter.
func (p *patient) Write(b []byte) (int, error) {
	_ = p.way.SetWriteDeadline(time.Now().Add(p.timeout))
	return p.ResponseWriter.Write(b)
}

// FlushError is called by http.ResponseController.
func (p *patient) FlushError() error {
	_ = p.way.SetWriteDeadline(time.Now().Add(p.timeout))
	return p.way.Flush()
}

// bounded is the gateway's JSON codec for messages of a bounded size; the request's body enforces the bound.
type bounded struct {
	runtime.Marshaler
	large admit.Slots // large messages in conversion to JSON
}

// Marshal implements runtime.Marshaler. The conversion of a large message to Base64 and JSON keeps a processor busy without a pause. Only a
// few run at a time: otherwise streams with large answers would take all processors from other requests.
func (b bounded) Marshal(v any) ([]byte, error) {
	of := v
	if chunk, ok := v.(map[string]any); ok {
		of = chunk["result"]
	}
	if m, ok := of.(proto.Message); ok && proto.Size(m) > etcdPieceBytes {
		b.large <- struct{}{}
		defer b.large.Release()
	}
	return b.Marshaler.Marshal(v)
}

// NewDecoder implements runtime.Marshaler.
func (b bounded) NewDecoder(from io.Reader) runtime.Decoder {
	decoder := b.Marshaler.NewDecoder(from)
	in, ok := from.(*body)
	if !ok {
		return decoder
	}
	return runtime.DecoderFunc(func(to any) error {
		err := decoder.Decode(to)
		in.next()
		return err
	})
}

var errJSONTooLarge = status.Error(codes.InvalidArgument, "etcdserver: request is too large")

// Invoke implements grpc.ClientConnInterface: it calls a handler in this process.
func (g *gateway) Invoke(ctx context.Context, method string, question, to any, options ...grpc.CallOption) error {
	handle := g.unary[method]
	if handle == nil {
		return status.Errorf(codes.Unimplemented, "unknown method %s", method)
	}
	if readsMuch(question) {
		if err := g.reads.Take(ctx); err != nil {
			return status.FromContextError(err).Err()
		}
		defer g.reads.Release()
	}
	found, err := handle(incoming(ctx), func(to any) error {
		proto.Merge(to.(proto.Message), question.(proto.Message))
		return nil
	})
	if err != nil {
		return err
	}
	header(options)
	return take(ctx, found.(answer), func(encoded []byte) error { return proto.Unmarshal(encoded, to.(proto.Message)) })
}

// readsMuch tells whether a request may read the whole state.
func readsMuch(question any) bool {
	switch q := question.(type) {
	case *pb.RangeRequest:
		return len(q.RangeEnd) > 0
	case *pb.LeaseTimeToLiveRequest:
		return q.Keys
	case *pb.LeaseLeasesRequest:
		return true
	default:
		return false
	}
}

// incoming converts the gateway's outgoing metadata to a handler's incoming metadata.
func incoming(ctx context.Context) context.Context {
	md, _ := metadata.FromOutgoingContext(ctx)
	return metadata.NewIncomingContext(ctx, md)
}

// header fills in the header of a gRPC answer: the gateway forwards it to its client.
func header(options []grpc.CallOption) {
	for _, o := range options {
		if h, ok := o.(grpc.HeaderCallOption); ok {
			*h.HeaderAddr = grpcHeader()
		}
	}
}

func grpcHeader() metadata.MD { return metadata.Pairs("content-type", "application/grpc") }

// take encodes an answer within the memory budget of the request.
func take(ctx context.Context, a answer, use func(encoded []byte) error) error {
	if size := a.size(); size > limits.EtcdGatewayBytes {
		a.release()
		return status.Errorf(codes.ResourceExhausted, "etcdserver: the answer has %d bytes, over the limit of one as JSON, %d: ask for pages, or by gRPC", size, limits.EtcdGatewayBytes)
	} else if err := answers(ctx, size); err != nil {
		a.release()
		return status.FromContextError(err).Err()
	}
	encoded, err := a.bytes()
	if err != nil {
		return err
	}
	return use(encoded)
}

// NewStream implements grpc.ClientConnInterface: both ends of the stream are here.
func (g *gateway) NewStream(ctx context.Context, _ *grpc.StreamDesc, method string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
	handle := g.streams[method]
	if handle == nil {
		return nil, status.Errorf(codes.Unimplemented, "unknown method %s", method)
	}
	within, cancel := context.WithCancel(incoming(ctx))
	p := &pipe{ctx: within, requests: make(chan proto.Message), answers: make(chan []byte), last: make(chan struct{}), begun: make(chan struct{}), done: make(chan struct{})}
	g.s.running.Go(func() {
		defer cancel()
		p.err = g.s.contain(method, func() error { return handle(pipeServer{p}) })
		close(p.done)
	})
	return pipeClient{p}, nil
}

// pipe is a gRPC stream between the gateway and a handler in this process. It is unbuffered: the sender waits until the receiver takes the
// message.
type pipe struct {
	ctx      context.Context // ends with the request, and with the handler
	requests chan proto.Message
	answers  chan []byte
	last     chan struct{} // closed when the client ends its side
	once     sync.Once
	first    sync.Once
	begun    chan struct{} // closed at the handler's first message
	done     chan struct{} // closed when the handler has returned err
	err      error
}

type (
	pipeClient struct{ *pipe }
	pipeServer struct{ *pipe }
)

func (p *pipe) Context() context.Context { return p.ctx }

// Header implements grpc.ClientStream: it returns with the first message.
func (p pipeClient) Header() (metadata.MD, error) {
	select {
	case <-p.begun:
		return grpcHeader(), nil
	case <-p.done:
		return nil, nil
	}
}

// Trailer implements grpc.ClientStream.
func (p pipeClient) Trailer() metadata.MD { return nil }

// CloseSend implements grpc.ClientStream.
func (p pipeClient) CloseSend() error {
	p.once.Do(func() { close(p.last) })
	return nil
}

// SendMsg implements grpc.ClientStream.
func (p pipeClient) SendMsg(m any) error {
	select {
	case p.requests <- m.(proto.Message):
		return nil
	case <-p.ctx.Done():
		return io.EOF
	}
}

// RecvMsg implements grpc.ClientStream.
func (p pipeClient) RecvMsg(to any) error {
	select {
	case m := <-p.answers:
		return proto.Unmarshal(m, to.(proto.Message))
	case <-p.done:
	}
	if p.err == nil {
		return io.EOF
	}
	return p.err
}

// RecvMsg implements grpc.ServerStream.
func (p pipeServer) RecvMsg(to any) error {
	select {
	case m := <-p.requests:
		proto.Merge(to.(proto.Message), m)
		return nil
	case <-p.last:
		return io.EOF
	case <-p.ctx.Done():
		return status.FromContextError(p.ctx.Err()).Err()
	}
}

// SendMsg implements grpc.ServerStream. The message is received before it returns.
func (p pipeServer) SendMsg(m any) error {
	return take(p.ctx, m.(answer), func(encoded []byte) error { // the previous message is written, or awaited now
		p.first.Do(func() { close(p.begun) })
		select {
		case p.answers <- encoded:
			return nil
		case <-p.ctx.Done():
			return status.FromContextError(p.ctx.Err()).Err()
		}
	})
}

// SetHeader implements grpc.ServerStream.
func (p pipeServer) SetHeader(metadata.MD) error { return nil }

// SendHeader implements grpc.ServerStream.
func (p pipeServer) SendHeader(metadata.MD) error { return nil }

// SetTrailer implements grpc.ServerStream.
func (p pipeServer) SetTrailer(metadata.MD) {}

// older rewrites the path of etcd's early gateway (/v3beta/), as etcd does.
func older(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if rest, ok := strings.CutPrefix(r.URL.Path, "/v3beta/"); ok {
			r.URL.Path = "/v3/" + rest
		}
		h.ServeHTTP(w, r)
	})
}
