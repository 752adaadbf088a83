package etcd_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/auth"
	"qkv/net/etcd"
	"qkv/net/server/servertest"
	"qkv/net/wire"
)

// wait is for how long a test waits for what must come.
const wait = time.Minute

// member is an in-memory member.
type member struct {
	*servertest.Member
	raft    atomic.Pointer[etcd.RaftStatus]
	metrics atomic.Pointer[etcd.Metrics]
}

func (m *member) RaftStatus() etcd.RaftStatus { return *m.raft.Load() }

// Metrics are those that a test has set, with the member's status.
func (m *member) Metrics() etcd.Metrics {
	var told etcd.Metrics
	if t := m.metrics.Load(); t != nil {
		told = *t
	}
	told.Status = m.Status()
	return told
}

func (m *member) set(s etcd.RaftStatus) { m.raft.Store(&s) }

func newMember(others ...*servertest.Member) *member {
	m := &member{Member: servertest.NewMember(others...)}
	m.set(etcd.RaftStatus{Term: 7, Leader: 1})
	m.Propose(kv.Proposal{ReplyTo: discard{}, Requests: []uint64{1}, Commands: []kv.Command{index.AppendFeatureLevel(nil, index.MaxLevel)}})
	m.Proposals.Store(0)
	return m
}

// start serves a member on a free port of 127.0.0.1, until the test ends.
func start(t testing.TB, m etcd.Member, change func(*etcd.Config)) *etcd.Server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	trust := servertest.NewTrust(t)
	hasher, err := auth.NewHasher(limits.PasswordCostLeast)
	if err != nil {
		t.Fatal(err)
	}
	scheme, err := auth.ParseScheme("simple", 0, os.ReadFile)
	if err != nil {
		t.Fatal(err)
	}
	c := etcd.Config{
		Hasher: hasher, Tokens: scheme.Tokens(func() *auth.Key { return m.View().Auth().Secret() }),
		Listeners: []etcd.Listener{{Listener: listener, TLS: wire.EtcdTLS(trust.Member), Plain: true}}, PeerScheme: "http", Member: m, Cluster: 0xc, ID: 1, Logger: slog.New(slog.DiscardHandler),
		Scratch: t.TempDir() + "/scratch", Room: func() (int64, error) { return 1 << 40, nil },
		MaxRequestBytes: limits.RequestBytesWritten, LeaseLeast: 2, Timeout: wait, Limits: limits.Defaults().Etcd,
	}
	if change != nil {
		change(&c)
	}
	s := etcd.Start(c)
	t.Cleanup(s.Close)
	return s
}

func dial(t testing.TB, s *etcd.Server, more ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	c, err := grpc.NewClient(s.Addr().String(), append(more, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1<<30), grpc.MaxCallSendMsgSize(1<<30)))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// TestStories runs the stories in testdata: requests as text, and what the endpoint answers.
//
//	KV.Put            a request; its answer, or the code and text of its error. A stream's chunks are a line each
//	open NAME RPC     opens a stream, which the others name
//	send NAME         sends requests, one a line
//	recv NAME [N]     what comes next, N times
//	snapshot          what is in the file of a snapshot
//	begin NAME RPC    sends a request that has to wait, and waits until the member watches for it
//	end NAME          its answer
//	as NAME PASSWORD  the requests and streams from here on have the token of a user; without a name they have none
func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		m := newMember()
		c := dial(t, start(t, m, nil))
		streams, begun := map[string]*opened{}, map[string]chan string{}
		token := ""
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			within := withToken(t.Context(), token)
			ctx, cancel := context.WithTimeout(within, wait)
			defer cancel()
			if d.Cmd == "as" {
				if token = ""; len(d.CmdArgs) > 0 {
					token = login(t, c, d.CmdArgs[0].Key, d.CmdArgs[1].Key)
				}
				return ""
			}
			if service, name, ok := strings.Cut(d.Cmd, "."); ok {
				return call(ctx, t, c, service, name, d.Input)
			}
			if d.Cmd == "snapshot" {
				return snapshotText(ctx, t, c)
			}
			if d.Cmd == "open" {
				streams[d.CmdArgs[0].Key] = openIn(within, t, c, d.CmdArgs[1].Key)
				return ""
			}
			switch name := d.CmdArgs[0].Key; d.Cmd {
			case "begin":
				answer, before := make(chan string, 1), m.Watches()
				begun[name] = answer
				service, rpc, _ := strings.Cut(d.CmdArgs[1].Key, ".")
				go func() { answer <- call(within, t, c, service, rpc, d.Input) }()
				for m.Watches() == before {
					time.Sleep(time.Millisecond)
				}
				return ""
			case "end":
				select {
				case answer := <-begun[name]:
					return answer
				case <-ctx.Done():
					d.Fatalf(t, "%s is not answered", name)
				}
			}
			stream := streams[d.CmdArgs[0].Key]
			switch d.Cmd {
			case "send":
				for line := range strings.Lines(d.Input) {
					stream.send(t, line)
				}
				return ""
			case "recv":
				n := 1
				if len(d.CmdArgs) > 1 {
					n, _ = strconv.Atoi(d.CmdArgs[1].Key)
				}
				var all strings.Builder
				for range n {
					all.WriteString(stream.receive(t))
				}
				return all.String()
			}
			d.Fatalf(t, "no command %s", d.Cmd)
			return ""
		})
	})
}

// opened is a stream of requests and answers.
type opened struct {
	stream grpc.ClientStream
	rpc    protoreflect.MethodDescriptor
}

func open(t testing.TB, c grpc.ClientConnInterface, rpc string) *opened {
	t.Helper()
	return openIn(t.Context(), t, c, rpc)
}

// withToken adds a token to the requests of a context, unless it is empty.
func withToken(ctx context.Context, token string) context.Context {
	if token == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "token", token)
}

// login returns a token.
func login(t testing.TB, c grpc.ClientConnInterface, name, password string) string {
	t.Helper()
	answer, err := pb.NewAuthClient(c).Authenticate(t.Context(), &pb.AuthenticateRequest{Name: name, Password: password})
	if err != nil {
		t.Fatalf("log in as %s: %v", name, err)
	}
	return answer.Token
}

func openIn(ctx context.Context, t testing.TB, c grpc.ClientConnInterface, rpc string) *opened {
	t.Helper()
	service, name, _ := strings.Cut(rpc, ".")
	d := descriptor(t, service, name)
	stream, err := c.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, fmt.Sprintf("/%s/%s", d.Parent().FullName(), name))
	if err != nil {
		t.Fatal(err)
	}
	return &opened{stream, d}
}

func (o *opened) send(t testing.TB, text string) {
	t.Helper()
	in := newMessage(t, o.rpc.Input())
	if err := prototext.Unmarshal([]byte(text), in); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if err := o.stream.SendMsg(in); err != nil && err != io.EOF { // io.EOF: the stream has ended, and Recv says why
		t.Fatal(err)
	}
	if !o.rpc.IsStreamingClient() {
		_ = o.stream.CloseSend()
	}
}

func (o *opened) receive(t testing.TB) string {
	t.Helper()
	out, came := newMessage(t, o.rpc.Output()), make(chan error, 1)
	go func() { came <- o.stream.RecvMsg(out) }()
	select {
	case err := <-came:
		return seen(out, err)
	case <-time.After(wait):
		t.Fatal("nothing came")
		return ""
	}
}

// descriptor finds an RPC.
func descriptor(t testing.TB, service, name string) protoreflect.MethodDescriptor {
	for _, prefix := range []string{"etcdserverpb", "v3lockpb", "v3electionpb", "grpc.health.v1"} {
		d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(prefix + "." + service + "." + name))
		if err == nil {
			return d.(protoreflect.MethodDescriptor)
		}
	}
	t.Fatalf("no RPC %s.%s", service, name)
	return nil
}

func newMessage(t testing.TB, d protoreflect.MessageDescriptor) proto.Message {
	kind, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName())
	if err != nil {
		t.Fatal(err)
	}
	return kind.New().Interface()
}

// call makes a request, and returns what a client sees.
func call(ctx context.Context, t testing.TB, c grpc.ClientConnInterface, service, name, input string) string {
	d := descriptor(t, service, name)
	in := newMessage(t, d.Input())
	if err := prototext.Unmarshal([]byte(input), in); err != nil {
		t.Fatalf("%s.%s %s: %v", service, name, input, err)
	}
	full := fmt.Sprintf("/%s/%s", d.Parent().FullName(), name)
	if !d.IsStreamingServer() {
		out := newMessage(t, d.Output())
		return seen(out, c.Invoke(ctx, full, in, out))
	}
	stream, err := c.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, full)
	if err == nil {
		err = stream.SendMsg(in)
	}
	if err == nil {
		err = stream.CloseSend()
	}
	var all strings.Builder
	for err == nil {
		out := newMessage(t, d.Output())
		if err = stream.RecvMsg(out); !errors.Is(err, io.EOF) {
			all.WriteString(seen(out, err))
		}
	}
	return all.String()
}

// seen is an answer as text, the same each time.
func seen(m proto.Message, err error) string {
	if err != nil {
		s := status.Convert(err)
		return fmt.Sprintf("%v: %s\n", s.Code(), s.Message())
	}
	text := prototext.MarshalOptions{}.Format(m)
	return spaces.ReplaceAllString(text, "$1 ") + "\n"
}

// spaces are what prototext makes different in each build.
var spaces = regexp.MustCompile(`([^ ])  +`)
