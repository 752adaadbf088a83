package etcd

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	goruntime "runtime"
	"strings"
	"sync"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/etcdserverpb/gw"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/grpclog"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"qkv/internal/limits"
)

// gateway takes requests as JSON over HTTP, at /v3/. Paths, names and errors are those of etcd's own gateway, since the code that
// knows them is: made from etcd's protocol, it is a part of etcd's module of messages. It calls the handlers that gRPC's clients
// call, in this process, as whoever the connection's certificate says, and is nobody itself.
//
//  1. What comes in is bounded by a request's size, or for each message of a stream by limits.EtcdGatewayStreamed; what goes out by
//     limits.EtcdGatewayBytes; and all that is in memory of both by the server's room.
//  2. An answer that is not read ends its connection after limits.EtcdWebTimeout, a stream as well as a single one.
//  3. A page in a browser is refused, wherever it comes from: it would act with what its reader's machine may reach, and a form
//     on any page can send JSON to a port of loopback. There are no CORS headers.
type gateway struct {
	s       *Server
	mux     *runtime.ServeMux
	unary   map[string]func(ctx context.Context, decode func(any) error) (any, error)
	streams map[string]func(grpc.ServerStream) error
	reads   chan struct{} // has room for ranges that are read, or wait for room with what they have read
}

// What gRPC's library and the gateway's have to say of clients that go away is not worth a line on standard error.
func init() {
	if os.Getenv("GRPC_GO_LOG_SEVERITY_LEVEL") == "" {
		grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, io.Discard))
	}
}

func newGateway(s *Server, services []*grpc.ServiceDesc) *gateway {
	g := &gateway{
		s: s, unary: map[string]func(context.Context, func(any) error) (any, error){}, streams: map[string]func(grpc.ServerStream) error{},
		reads: make(chan struct{}, limits.EtcdGatewayReads),
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
	}, make(chan struct{}, max(1, goruntime.GOMAXPROCS(0)/limits.RangeShare))}}))
	ctx := context.Background()
	for _, err := range []error{
		gw.RegisterKVHandlerClient(ctx, g.mux, pb.NewKVClient(g)), gw.RegisterWatchHandlerClient(ctx, g.mux, pb.NewWatchClient(g)),
		gw.RegisterLeaseHandlerClient(ctx, g.mux, pb.NewLeaseClient(g)), gw.RegisterClusterHandlerClient(ctx, g.mux, pb.NewClusterClient(g)),
		gw.RegisterMaintenanceHandlerClient(ctx, g.mux, pb.NewMaintenanceClient(g)), gw.RegisterAuthHandlerClient(ctx, g.mux, pb.NewAuthClient(g)),
	} {
		if err != nil {
			panic(fmt.Sprintf("etcd: the gateway's paths do not fit together: %v", err))
		}
	}
	return g
}

// jsonBytes is how large a request may be as JSON: base64 makes a third more of what it carries, and names and spaces come to it.
func (s *Server) jsonBytes() int64 { return 2 * int64(s.config.MaxRequestBytes+limits.EtcdRequestOver) }

// streaming are the paths whose requests and answers are streams.
var streaming = map[string]bool{"/v3/watch": true, "/v3/lease/keepalive": true, "/v3/maintenance/snapshot": true}

// ServeHTTP implements http.Handler.
func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "" {
		http.Error(w, "a page in a browser cannot use this port: ask it from a program", http.StatusForbidden)
		return
	}
	way := http.NewResponseController(w)
	deadline := time.Now().Add(limits.EtcdWebTimeout)
	own := g.s.holds(r.Context())
	defer own.in.give()
	defer own.out.give()
	ctx, cancel := context.WithCancel(context.WithValue(r.Context(), holdsKey{}, own))
	defer cancel()
	from := &body{ReadCloser: r.Body, ctx: ctx, end: func() {}, own: own.in, most: g.s.jsonBytes()}
	w = paced{w, own.out}
	if streaming[r.URL.Path] {
		_ = way.EnableFullDuplex()
		_ = way.SetReadDeadline(time.Time{}) // a stream of requests may be silent for as long as it likes
		from.most, from.end = limits.EtcdGatewayStreamed, cancel
		w = &patient{w, way}
	} else {
		_ = way.SetReadDeadline(deadline)
		from.ReadCloser = http.MaxBytesReader(w, r.Body, from.most)
		if r.ContentLength >= 0 {
			from.most = min(from.most, r.ContentLength+1)
		}
		if r.URL.Path == "/v3/kv/txn" {
			from.dense = min(limits.EtcdGatewayDense*heldBytes(from.most), own.in.of.most)
		}
	}
	r = r.WithContext(ctx)
	r.Body = from
	g.mux.ServeHTTP(w, r)
}

// holds are a request's, which has nothing yet.
func (s *Server) holds(ctx context.Context) *holds {
	end := func() {}
	if c, ok := ctx.Value(connKey{}).(net.Conn); ok {
		end = func() { _ = c.Close() }
	}
	return &holds{in: &hold{of: s.room, close: end}, out: &hold{of: s.room, close: end}}
}

type connKey struct{}

// patient gives each piece of an answer its own time to be read.
type patient struct {
	http.ResponseWriter
	way *http.ResponseController
}

// Write implements http.ResponseWriter.
func (p *patient) Write(b []byte) (int, error) {
	_ = p.way.SetWriteDeadline(time.Now().Add(limits.EtcdWebTimeout))
	return p.ResponseWriter.Write(b)
}

// FlushError is what a ResponseController looks for.
func (p *patient) FlushError() error {
	_ = p.way.SetWriteDeadline(time.Now().Add(limits.EtcdWebTimeout))
	return p.way.Flush()
}

// bounded reads messages of a bounded size, which the body knows.
type bounded struct {
	runtime.Marshaler
	turns chan struct{} // has room for those that make JSON of much at a time
}

// Marshal implements runtime.Marshaler. Base64, JSON and its check of much take the processor without a pause: of streams that
// ask for as much, a few are served at a time, and others' requests do not wait for a processor behind all of them.
func (b bounded) Marshal(v any) ([]byte, error) {
	of := v
	if chunk, ok := v.(map[string]any); ok {
		of = chunk["result"]
	}
	if m, ok := of.(proto.Message); ok && proto.Size(m) > limits.EtcdPieceBytes {
		b.turns <- struct{}{}
		defer func() { <-b.turns }()
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
func (g *gateway) Invoke(ctx context.Context, method string, question, answer any, options ...grpc.CallOption) error {
	handle := g.unary[method]
	if handle == nil {
		return status.Errorf(codes.Unimplemented, "unknown method %s", method)
	}
	if readsMuch(question) {
		select {
		case g.reads <- struct{}{}:
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
		defer func() { <-g.reads }()
	}
	found, err := handle(incoming(ctx), func(to any) error {
		proto.Merge(to.(proto.Message), question.(proto.Message))
		return nil
	})
	if err != nil {
		return err
	}
	header(options)
	found = bare(found)
	if size := sizeOf(found); size > limits.EtcdGatewayBytes {
		return tooLargeAsJSON(size)
	} else if err := answers(ctx, size); err != nil {
		return status.FromContextError(err).Err()
	}
	return copyInto(answer, found)
}

// readsMuch says that what a request reads may be as much as there is.
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

func tooLargeAsJSON(size int) error {
	return status.Errorf(codes.ResourceExhausted, "etcdserver: the answer has %d bytes, over the limit of one as JSON, %d: ask for pages, or by gRPC", size, limits.EtcdGatewayBytes)
}

// incoming is what a handler sees of a request: what the gateway would have sent as metadata.
func incoming(ctx context.Context) context.Context {
	md, _ := metadata.FromOutgoingContext(ctx)
	return metadata.NewIncomingContext(ctx, md)
}

// header is what an answer of gRPC begins with: the gateway tells its client.
func header(options []grpc.CallOption) {
	for _, o := range options {
		if h, ok := o.(grpc.HeaderCallOption); ok {
			*h.HeaderAddr = grpcHeader()
		}
	}
}

func grpcHeader() metadata.MD { return metadata.Pairs("content-type", "application/grpc") }

// bare is a message without who counts it.
func bare(m any) any {
	if h, ok := m.(held); ok {
		h.room.giveAll()
		return h.message
	}
	return m
}

func sizeOf(m any) int {
	if l, ok := m.(*later); ok {
		return l.size
	}
	if pieces, ok := m.(message); ok {
		n := 0
		for _, piece := range pieces {
			n += len(piece)
		}
		return n
	}
	return proto.Size(m.(proto.Message))
}

// copyInto makes an answer of what a handler returns.
func copyInto(to, from any) error {
	if l, ok := from.(*later); ok {
		all, err := l.joined()
		if err != nil {
			return err
		}
		return proto.Unmarshal(all, to.(proto.Message))
	}
	if pieces, ok := from.(message); ok {
		return proto.Unmarshal(pieces.joined(), to.(proto.Message))
	}
	proto.Merge(to.(proto.Message), from.(proto.Message))
	return nil
}

func (m message) joined() []byte {
	all := make([]byte, 0, sizeOf(m))
	for _, piece := range m {
		all = append(all, piece...)
	}
	return all
}

// NewStream implements grpc.ClientConnInterface: its two ends are here.
func (g *gateway) NewStream(ctx context.Context, _ *grpc.StreamDesc, method string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
	handle := g.streams[method]
	if handle == nil {
		return nil, status.Errorf(codes.Unimplemented, "unknown method %s", method)
	}
	within, cancel := context.WithCancel(incoming(ctx))
	p := &pipe{ctx: within, requests: make(chan proto.Message), answers: make(chan any), last: make(chan struct{}), begun: make(chan struct{}), done: make(chan struct{})}
	g.s.running.Go(func() {
		defer cancel()
		p.err = handle(pipeServer{p})
		close(p.done)
	})
	return pipeClient{p}, nil
}

// pipe is a stream within this process. Each side waits for the other to take a message; nothing waits in between.
type pipe struct {
	ctx      context.Context // ends with the request, and with the handler
	requests chan proto.Message
	answers  chan any
	last     chan struct{} // closed when the client sends no more
	once     sync.Once
	first    sync.Once
	begun    chan struct{} // closed when the handler sends something
	done     chan struct{} // closed when the handler has returned err
	err      error
}

type (
	pipeClient struct{ *pipe }
	pipeServer struct{ *pipe }
)

func (p *pipe) Context() context.Context { return p.ctx }

// Header implements grpc.ClientStream: it comes with the first message.
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
		return copyInto(to, m)
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

// SendMsg implements grpc.ServerStream. What it is given is taken before it returns.
func (p pipeServer) SendMsg(m any) error {
	m = bare(m)
	if size := sizeOf(m); size > limits.EtcdGatewayBytes {
		return tooLargeAsJSON(size)
	} else if err := answers(p.ctx, size); err != nil { // what it had before is written, or is waited for now
		return status.FromContextError(err).Err()
	}
	if pieces, ok := m.(message); ok {
		m = message{pieces.joined()}
	} else {
		m = proto.Clone(m.(proto.Message))
	}
	p.first.Do(func() { close(p.begun) })
	select {
	case p.answers <- m:
		return nil
	case <-p.ctx.Done():
		return status.FromContextError(p.ctx.Err()).Err()
	}
}

// SetHeader implements grpc.ServerStream.
func (p pipeServer) SetHeader(metadata.MD) error { return nil }

// SendHeader implements grpc.ServerStream.
func (p pipeServer) SendHeader(metadata.MD) error { return nil }

// SetTrailer implements grpc.ServerStream.
func (p pipeServer) SetTrailer(metadata.MD) {}

// whose lets a request over HTTP be its connection's, as one over gRPC is.
func whose(ctx context.Context, c net.Conn) context.Context {
	known, ok := c.(told)
	if !ok {
		return ctx
	}
	ctx = context.WithValue(ctx, connKey{}, net.Conn(known))
	return peer.NewContext(ctx, &peer.Peer{Addr: c.RemoteAddr(), LocalAddr: c.LocalAddr(), AuthInfo: known.auth})
}

// older rewrites the path that etcd's gateway had before it was finished, as etcd does.
func older(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if rest, ok := strings.CutPrefix(r.URL.Path, "/v3beta/"); ok {
			r.URL.Path = "/v3/" + rest
		}
		h.ServeHTTP(w, r)
	})
}
