package compat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"qkv/net/etcd/compat/member"
)

// timeout with one answer. It decides only when something is missing for good.
var timeout = 60 * time.Second

// requestBytes is what etcd takes as one request.
const requestBytes = 3 << 19

// messageBytes is what this client sends at most: more than a server takes.
const messageBytes = 16 << 20

// side is one of the two servers that are compared: its members, and what has to be mapped.
type side struct {
	name    string
	ctx     context.Context
	stop    context.CancelFunc
	conns   []*grpc.ClientConn
	cluster *member.Cluster
	users   bool // the sequence has users and roles

	// corrupt changes an answer before it is compared: the proof that comparing finds it.
	corrupt func(kind string, response proto.Message)

	mu         sync.Mutex
	clusterID  uint64
	memberIDs  map[uint64]bool
	leases     map[int64]int64   // by the sequence's number: the server's
	numbers    map[int64]int64   // the other way round
	tokens     map[string]string // by user
	keepAlives map[keepAlives]grpc.ClientStream
	streams    map[int]*watchStream
	oddities   []string // what is wrong with an answer whatever the other side says
}

// keepAlives is what the keep-alives of one stream have in common.
type keepAlives struct {
	conn  *grpc.ClientConn
	user  int
	token string
}

func newSide(t testing.TB, program string, count int, arguments ...string) *side {
	t.Helper()
	c := member.Start(t, program, count, arguments...)
	s := &side{
		name: program, cluster: c, memberIDs: map[uint64]bool{}, leases: map[int64]int64{}, numbers: map[int64]int64{}, streams: map[int]*watchStream{},
		tokens: map[string]string{}, keepAlives: map[keepAlives]grpc.ClientStream{},
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	for _, endpoint := range c.Endpoints() {
		conn, err := grpc.NewClient(endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1<<30), grpc.MaxCallSendMsgSize(messageBytes)))
		if err != nil {
			t.Fatal(err)
		}
		s.conns = append(s.conns, conn)
	}
	t.Cleanup(s.close)
	return s
}

func (s *side) close() {
	s.stop()
	for _, conn := range s.conns {
		_ = conn.Close()
	}
	s.cluster.Stop()
}

func (s *side) odd(format string, arguments ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.oddities = append(s.oddities, fmt.Sprintf(format, arguments...))
}

// answer is what came back for one request.
type answer struct {
	responses []proto.Message
	code      string
	text      string
	elapsed   time.Duration
}

func (a answer) String() string {
	if a.code != "OK" {
		return a.code + " " + fmt.Sprintf("%q", a.text)
	}
	var all []string
	for _, r := range a.responses {
		all = append(all, oneLine(r))
	}
	return strings.Join(all, "\n\t")
}

func (a *answer) failed(err error) {
	s := status.Convert(err)
	a.code, a.text = s.Code().String(), s.Message()
}

// ask sends one request that is no watch and waits for all of its answer.
func (s *side) ask(o op) (a answer) {
	conn := s.conns[o.member%len(s.conns)]
	ctx, cancel := context.WithTimeout(s.ctx, timeout)
	defer cancel()
	s.level(ctx, o, conn)
	ctx = s.withToken(ctx, o.user)
	request, call := s.outward(o.request), rpcs[o.kind]
	begun := time.Now()
	a.code = "OK"
	var err error
	switch o.kind {
	case kindRangeStream:
		a.responses, err = s.rangeStream(ctx, conn, call, request)
	case kindWatchOnce:
		a.responses, err = s.watchOnce(ctx, conn, call, request)
	case kindKeepAlive:
		var response proto.Message
		if response, err = s.renew(keepAlives{conn, o.user, s.tokenOf(o.user)}, call, request); err == nil {
			a.responses = []proto.Message{response}
		}
	default:
		response := call.response()
		if err = conn.Invoke(ctx, call.method, request, response); err == nil {
			a.responses = []proto.Message{response}
		}
	}
	a.elapsed = time.Since(begun)
	if err != nil {
		a.failed(err)
		return a
	}
	for _, response := range a.responses {
		if s.corrupt != nil {
			s.corrupt(o.kind, response)
		}
		if granted, is := response.(*pb.LeaseGrantResponse); is && o.as != 0 {
			s.learn(o.as, granted.ID)
		}
		if answer, is := response.(*pb.AuthenticateResponse); is {
			s.learnToken(o, answer)
		}
		s.inward(response)
	}
	return a
}

// level makes sure that a member which answers from what it has itself has all that was answered before.
func (s *side) level(ctx context.Context, o op, conn *grpc.ClientConn) {
	if len(s.conns) == 1 {
		return
	}
	if s.users { // each request needs the users and roles of the member that is asked
		_, _ = pb.NewAuthClient(conn).Authenticate(ctx, &pb.AuthenticateRequest{Name: "level"})
		return
	}
	switch o.kind {
	case kindLeases, kindHashKV, kindWatch, kindKeepAlive, kindTTL:
		if _, err := pb.NewKVClient(conn).Range(ctx, &pb.RangeRequest{Key: []byte("level")}); err != nil {
			s.odd("a linearizable read before %s: %v", o.kind, err)
		}
	}
}

func (s *side) rangeStream(ctx context.Context, conn *grpc.ClientConn, call rpc, request proto.Message) (chunks []proto.Message, err error) {
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, call.method)
	if err != nil {
		return nil, err
	}
	if err := stream.SendMsg(request); err != nil {
		return nil, err
	}
	if err := stream.CloseSend(); err != nil {
		return nil, err
	}
	for {
		chunk := call.response()
		if err := stream.RecvMsg(chunk); errors.Is(err, io.EOF) {
			return chunks, nil
		} else if err != nil {
			return nil, err
		}
		chunks = append(chunks, chunk)
	}
}

// watchOnce is the first answer to a watch on a stream of its own.
func (s *side) watchOnce(ctx context.Context, conn *grpc.ClientConn, call rpc, request proto.Message) ([]proto.Message, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, call.method)
	if err != nil {
		return nil, err
	}
	if err := stream.SendMsg(request); err != nil {
		return nil, err
	}
	response := call.response()
	if err := stream.RecvMsg(response); err != nil {
		return nil, err
	}
	return []proto.Message{response}, nil
}

// renew sends one keep-alive on the stream of all of them that go to a member.
func (s *side) renew(by keepAlives, call rpc, request proto.Message) (proto.Message, error) {
	stream := s.keepAlives[by]
	if stream == nil {
		opened, err := by.conn.NewStream(s.withToken(s.ctx, by.user), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, call.method)
		if err != nil {
			return nil, err
		}
		stream, s.keepAlives[by] = opened, opened
	}
	response := call.response()
	err := stream.SendMsg(request)
	if err == nil {
		err = stream.RecvMsg(response)
	}
	if err != nil {
		delete(s.keepAlives, by)
	}
	return response, err
}

func (s *side) learn(number, id int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id == 0 {
		s.oddities = append(s.oddities, "a lease got the id 0")
	}
	s.leases[number], s.numbers[id] = id, number
}

// outward is the request as this side needs it: with its own ids of leases.
func (s *side) outward(request proto.Message) proto.Message {
	request = proto.Clone(request)
	s.mu.Lock()
	defer s.mu.Unlock()
	replaceLeases(request.ProtoReflect(), s.leases)
	return request
}

// inward maps what may differ of a response: ids of leases, cluster and member, and the term.
func (s *side) inward(response proto.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	replaceLeases(response.ProtoReflect(), s.numbers)
	s.mapHeaders(response.ProtoReflect())
}

// mapHeaders replaces each id that is as it must be by 1. Those that are absent stay so, others become 9.
func (s *side) mapHeaders(m protoreflect.Message) {
	if h, is := m.Interface().(*pb.ResponseHeader); is {
		if s.clusterID == 0 {
			s.clusterID = h.ClusterId
		}
		if len(s.memberIDs) < len(s.conns) && h.MemberId != 0 {
			s.memberIDs[h.MemberId] = true
		}
		h.ClusterId = mapped(h.ClusterId, h.ClusterId == s.clusterID)
		h.MemberId = mapped(h.MemberId, s.memberIDs[h.MemberId])
		h.RaftTerm = mapped(h.RaftTerm, true)
		return
	}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.Message() == nil:
		case fd.IsList():
			for i := range v.List().Len() {
				s.mapHeaders(v.List().Get(i).Message())
			}
		default:
			s.mapHeaders(v.Message())
		}
		return true
	})
}

func mapped(id uint64, right bool) uint64 {
	switch {
	case id == 0:
		return 0
	case right:
		return 1
	}
	return 9
}

// replaceLeases replaces all ids of leases in a message that the table has.
func replaceLeases(m protoreflect.Message, table map[int64]int64) {
	if len(table) == 0 {
		return
	}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.Message() != nil && fd.IsList():
			for i := range v.List().Len() {
				replaceLeases(v.List().Get(i).Message(), table)
			}
		case fd.Message() != nil:
			replaceLeases(v.Message(), table)
		case fd.Name() == "lease", fd.Name() == "ID" && strings.HasPrefix(string(m.Descriptor().Name()), "Lease"):
			if to, known := table[v.Int()]; known {
				m.Set(fd, protoreflect.ValueOfInt64(to))
			}
		}
		return true
	})
}

func oneLine(m proto.Message) string {
	text := fmt.Sprintf("%s{%s}", m.ProtoReflect().Descriptor().Name(), strings.TrimSpace(protoText.Format(m)))
	if len(text) > 1500 {
		text = text[:1200] + fmt.Sprintf(" ...%d... ", len(text)-1500) + text[len(text)-300:]
	}
	return text
}
