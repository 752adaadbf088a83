package etcd_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"qkv/internal/limits"
	"qkv/internal/testlong"
	"qkv/net/etcd"
)

// hostile is a client that speaks HTTP/2 frame by frame, as no library would.
type hostile struct {
	net.Conn
	frames *http2.Framer
	encode *hpack.Encoder
	block  bytes.Buffer
	stream uint32

	mu     sync.Mutex
	window int64 // of the connection, for what it sends
	pings  int   // that were answered
	grown  sync.Cond
	ended  bool
}

func attack(t testing.TB, s *etcd.Server) *hostile {
	t.Helper()
	h, err := attackOn(raw(t, s, http2.ClientPreface))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// attackOn begins an attack on a connection that has sent the preface.
func attackOn(c net.Conn) (*hostile, error) {
	h := &hostile{Conn: c, window: 65535, stream: 1}
	h.grown.L = &h.mu
	h.frames, h.encode = http2.NewFramer(h.Conn, h.Conn), hpack.NewEncoder(&h.block)
	return h, h.frames.WriteSettings()
}

// read takes what comes, so that its window grows, until the connection ends.
func (h *hostile) read() {
	for {
		f, err := h.frames.ReadFrame()
		h.mu.Lock()
		if w, ok := f.(*http2.WindowUpdateFrame); ok && w.StreamID == 0 {
			h.window += int64(w.Increment)
		}
		if p, ok := f.(*http2.PingFrame); ok && p.IsAck() {
			h.pings++
		}
		h.ended = err != nil
		h.grown.Broadcast()
		h.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (h *hostile) answered() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.pings > 0
}

// begin opens a stream, and returns its number.
func (h *hostile) begin(method string, metadata ...[2]string) (uint32, error) {
	h.block.Reset()
	for _, f := range append([][2]string{{":method", "POST"}, {":scheme", "http"}, {":path", method}, {":authority", "x"}, {"content-type", "application/grpc"}, {"te", "trailers"}}, metadata...) {
		_ = h.encode.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	id := h.stream
	h.stream += 2
	return id, h.frames.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: h.block.Bytes(), EndHeaders: true})
}

// many opens a stream of watches with so many fields of metadata, of which each but the first is one byte.
func (h *hostile) many(id uint32, fields int) error {
	h.block.Reset()
	for _, f := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":path", "/etcdserverpb.Watch/Watch"}, {":authority", "x"}, {"content-type", "application/grpc"}, {"te", "trailers"}} {
		_ = h.encode.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	for range fields {
		_ = h.encode.WriteField(hpack.HeaderField{Name: "a"})
	}
	return h.frames.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: h.block.Bytes(), EndHeaders: true})
}

func (h *hostile) over() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ended
}

// send sends data when the connection's window has room for it, and says whether it did.
func (h *hostile) send(id uint32, data []byte, end bool) bool {
	h.mu.Lock()
	for !h.ended && h.window < int64(len(data)) {
		h.grown.Wait()
	}
	h.window -= int64(len(data))
	ended := h.ended
	h.mu.Unlock()
	return !ended && h.frames.WriteData(id, end, data) == nil
}

// message is what gRPC sends of a message that has so many bytes.
func message(m proto.Message) []byte {
	b, _ := proto.Marshal(m)
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(b))), b...)
}

// TestUnreadAndHalf lets one connection ask for much and read nothing, and one send the beginnings of many messages: each is closed
// when all together hold too much, and others go on.
func TestUnreadAndHalf(t *testing.T) {
	testlong.Skip(t)
	const most = 8 << 20
	s := start(t, newMember(), func(c *etcd.Config) { c.Limits.Bytes = most })
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	c := dial(t, s)
	other := func() {
		t.Helper()
		if _, err := pb.NewKVClient(c).Put(ctx, &pb.PutRequest{Key: []byte("a")}); err != nil {
			t.Fatalf("another client: %v", err)
		}
	}
	for i := range 4 {
		if _, err := pb.NewKVClient(c).Put(ctx, &pb.PutRequest{Key: fmt.Appendf(nil, "big/%d", i), Value: make([]byte, 1<<20)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := pb.NewKVClient(c).Put(ctx, &pb.PutRequest{Key: []byte("piece"), Value: make([]byte, 60<<10)}); err != nil {
		t.Fatal(err)
	}
	rangeAll := message(&pb.RangeRequest{Key: []byte("big/"), RangeEnd: []byte("big0")})
	for name, abuse := range map[string]func(h *hostile) error{
		"unread": func(h *hostile) error {
			for {
				id, err := h.begin("/etcdserverpb.KV/Range")
				if err == nil {
					err = h.frames.WriteData(id, true, rangeAll)
				}
				if err != nil || h.stream > 4000 {
					return err
				}
				time.Sleep(time.Millisecond)
			}
		},
		"unread small": func(h *hostile) error {
			small := message(&pb.RangeRequest{Key: []byte("a")})
			for {
				id, err := h.begin("/etcdserverpb.KV/Range")
				if err == nil {
					err = h.frames.WriteData(id, true, small)
				}
				if err != nil || h.stream > 16000 {
					return err
				}
				time.Sleep(100 * time.Microsecond)
			}
		},
		"unread transactions": func(h *hostile) error {
			asked := message(&pb.TxnRequest{Success: []*pb.RequestOp{
				{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte("t")}}},
				{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: []byte("piece")}}},
			}})
			for {
				id, err := h.begin("/etcdserverpb.KV/Txn")
				if err == nil {
					err = h.frames.WriteData(id, true, asked)
				}
				if err != nil || h.stream > 2000 {
					return err
				}
				time.Sleep(time.Millisecond)
			}
		},
		"unread stream": func(h *hostile) error {
			for {
				id, err := h.begin("/etcdserverpb.KV/RangeStream")
				if err == nil {
					err = h.frames.WriteData(id, true, rangeAll)
				}
				if err != nil || h.stream > 2000 {
					return err
				}
				time.Sleep(time.Millisecond)
			}
		},
		"open": func(h *hostile) error {
			for {
				if _, err := h.begin("/etcdserverpb.KV/Range"); err != nil || h.stream > 4000 {
					return err
				}
				time.Sleep(time.Millisecond)
			}
		},
		"half": func(h *hostile) error {
			go h.read()
			part := append(binary.BigEndian.AppendUint32([]byte{0}, 1<<20), make([]byte, 32<<10)...)
			for {
				id, err := h.begin("/etcdserverpb.KV/Put")
				if err != nil || h.stream > 2000 {
					return err
				}
				if !h.send(id, part, false) {
					return io.EOF
				}
			}
		},
	} {
		h := attack(t, s)
		_ = abuse(h) // all that it sends may be on its way before the member has looked at any of it
		for s.Stats().Connections > 1 {
			if ctx.Err() != nil {
				t.Fatalf("%s: the connection is not closed, or counts for ever; %d bytes are held", name, s.Stats().MessageBytes)
			}
			time.Sleep(time.Millisecond)
		}
		other()
		_ = h.Close()
		for s.Stats().MessageBytes != 0 { // what was asked last may still be answered to nobody
			if ctx.Err() != nil {
				t.Fatalf("%s: %d bytes are held when it is gone", name, s.Stats().MessageBytes)
			}
			time.Sleep(time.Millisecond)
		}
	}
}

// TestWatchAnswersUnread asks a stream of watches for what is refused, or made and canceled at once, and reads no answer: it is
// held up itself, and when it reads at last all that it asked for is answered.
func TestWatchAnswersUnread(t *testing.T) {
	testlong.Skip(t)
	create := func(id int64, end string) *pb.WatchRequest {
		return &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{Key: []byte("b"), RangeEnd: []byte(end), WatchId: id}}}
	}
	remove := &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CancelRequest{CancelRequest: &pb.WatchCancelRequest{WatchId: 7}}}
	for name, asked := range map[string][]*pb.WatchRequest{
		"refused": {create(0, "a")},
		"churn":   {create(7, ""), remove},
	} {
		s := start(t, newMember(), nil)
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		defer cancel()
		w, err := pb.NewWatchClient(dial(t, s)).Watch(ctx)
		if err != nil {
			t.Fatal(err)
		}
		const requests = 50_000
		var sent atomic.Int64
		go func() {
			for i := range requests {
				if w.Send(asked[i%len(asked)]) != nil {
					return
				}
				sent.Add(1)
			}
		}()
		others := pb.NewKVClient(dial(t, s))
		for before := int64(-1); before != sent.Load() || s.Stats().MessageBytes < etcd.EtcdWatchAnswers; { // it stands still
			if before = sent.Load(); before == requests || ctx.Err() != nil {
				break
			}
			for range 100 { // others go on
				if _, err := others.Put(ctx, &pb.PutRequest{Key: []byte("a")}); err != nil {
					t.Fatal(err)
				}
			}
		}
		if n := s.Stats().MessageBytes; sent.Load() == requests || n > 8*etcd.EtcdWatchAnswers {
			t.Errorf("%s: %d requests were taken of a client that reads nothing, whose answers take %d bytes", name, sent.Load(), n)
		}
		for range requests {
			if _, err := w.Recv(); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		cancel()
		eventually(t, func() bool { return s.Stats().MessageBytes == 0 })
	}
}

// TestLargeValuesUnread asks for one large value very often, and reads no answer: what is not written yet is not in memory. Who reads gets
// it meanwhile, but not as a leader's, which is in memory before it is written.
func TestLargeValuesUnread(t *testing.T) {
	const most = 8 << 20
	s := start(t, newMember(), func(c *etcd.Config) { c.Limits.Bytes = most })
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	c := dial(t, s)
	store, value := pb.NewKVClient(c), bytes.Repeat([]byte{'v'}, 1<<20)
	if _, err := store.Put(ctx, &pb.PutRequest{Key: []byte("e/1"), Value: value}); err != nil {
		t.Fatal(err)
	}
	h := attack(t, s)
	go h.read()
	for range 300 {
		id, err := h.begin("/etcdserverpb.KV/Range")
		if err != nil || !h.send(id, message(&pb.RangeRequest{Key: []byte("e/1")}), true) {
			t.Fatalf("the connection is closed: %v", err)
		}
		time.Sleep(2 * time.Millisecond)
		eventually(t, func() bool { return s.Stats().Serving == 0 }) // one after the other: those at one moment would all be whole
		if h.over() {
			t.Fatalf("the connection is closed after %d answers, which hold little", id/2)
		}
	}
	if n := s.Stats().MessageBytes; n <= most/4 {
		t.Fatalf("only %d bytes are held", n)
	}
	found, err := store.Range(ctx, &pb.RangeRequest{Key: []byte("e/1")})
	if err != nil || found.Count != 1 || len(found.Kvs) != 1 || !bytes.Equal(found.Kvs[0].Value, value) || found.Kvs[0].ModRevision != found.Header.Revision {
		t.Errorf("another's answer: %v, %d of them", err, found.GetCount())
	}
	leader := func() error {
		var q, answer pb.RangeRequest // a name is its first field, too
		q.Key = []byte("e")
		return c.Invoke(ctx, "/v3electionpb.Election/Leader", &q, &answer)
	}
	if err := leader(); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a leader's value while much is held: %v", err)
	}
	_ = h.Close()
	eventually(t, func() bool { return s.Stats().MessageBytes == 0 })
	if err := leader(); status.Code(err) == codes.ResourceExhausted {
		t.Errorf("a leader's value when nothing is held: %v", err)
	}
}

// TestWatchedKeysCount makes watches of long keys: what they take counts for their connection until they are canceled, or the stream is
// over, and the connection is closed where that is too much.
func TestWatchedKeysCount(t *testing.T) {
	const most = 8 << 20
	s := start(t, newMember(), func(c *etcd.Config) { c.Limits.Bytes = most })
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	long := bytes.Repeat([]byte{'k'}, limits.KeyBytes-10)
	create := func(id int64) *pb.WatchRequest {
		return &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{
			Key: fmt.Appendf(bytes.Clone(long), "%d", id), RangeEnd: []byte("l"), WatchId: id,
		}}}
	}
	w, err := pb.NewWatchClient(dial(t, s)).Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(q *pb.WatchRequest) error {
		err := w.Send(q)
		if err == nil {
			_, err = w.Recv()
		}
		return err
	}
	const few = most / limits.KeyBytes / 2
	for id := int64(1); id <= few; id++ {
		if err := ask(create(id)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, func() bool {
		return s.Stats().MessageBytes < few*limits.KeyBytes+limits.EtcdStreamBytes+limits.EtcdHeaderMost
	})
	if n := s.Stats().MessageBytes; n < few*int64(len(long)) {
		t.Errorf("%d watches of long keys count for %d bytes", few, n)
	}
	for id := int64(1); id <= few; id++ {
		remove := &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CancelRequest{CancelRequest: &pb.WatchCancelRequest{WatchId: id}}}
		if err := ask(remove); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, func() bool { return s.Stats().MessageBytes <= limits.EtcdStreamBytes+limits.EtcdHeaderMost })
	for id := int64(1); err == nil; id++ {
		if err = ask(create(id)); id > 3*few {
			t.Fatalf("%d watches of long keys, which hold %d bytes", id, s.Stats().MessageBytes)
		}
	}
	eventually(t, func() bool { return s.Stats().MessageBytes == 0 && s.Stats().Watches == 0 })
}

// TestMetadataCounts opens streams whose heads are many fields of a byte each on their way. The connection is closed when they hold
// too much; those whose head is too large at once are refused, and hold nothing.
func TestMetadataCounts(t *testing.T) {
	const most = 48 << 20
	s := start(t, newMember(), func(c *etcd.Config) { c.Limits.Bytes = most })
	open := func(streams uint32, fields int) *hostile {
		h := attack(t, s)
		go h.read()
		for id := uint32(1); !h.over() && id < 2*streams; id += 2 {
			if n := s.Stats().MessageBytes; n > most+limits.EtcdHeaderMost+limits.EtcdStreamBytes {
				t.Fatalf("%d bytes are held, over the limit of %d", n, most)
			}
			_ = h.many(id, fields)
		}
		return h
	}
	const fields = 400
	const streams = most / limits.EtcdStreamBytes * 3 / 4 // without their heads they hold three quarters of the limit
	if all := streams * (limits.EtcdStreamBytes + fields*limits.EtcdHeaderTimes); all <= most {
		t.Fatalf("%d streams with %d fields each hold %d bytes, and the limit is %d", streams, fields, all, most)
	}
	eventually(t, open(streams, fields).over)
	eventually(t, func() bool { return s.Stats().MessageBytes == 0 })
	h := open(300, 1000)
	eventually(t, func() bool { return s.Stats().MessageBytes == 0 })
	if h.over() {
		t.Error("a connection is closed of which only streams were refused")
	}
}

// TestMemoryIsGivenBack uses all kinds of requests, with answers of all sizes, some given up in the middle: nothing stays counted.
func TestMemoryIsGivenBack(t *testing.T) {
	testlong.Skip(t)
	s := start(t, newMember(), nil)
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	c := dial(t, s)
	store := pb.NewKVClient(c)
	watching, unwatch := context.WithCancel(ctx)
	defer unwatch()
	w, err := pb.NewWatchClient(c).Watch(watching)
	if err != nil {
		t.Fatal(err)
	}
	create := &pb.WatchCreateRequest{Key: []byte("k"), RangeEnd: []byte("l"), PrevKv: true}
	if err := w.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: create}}); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 40 {
				key, value := fmt.Appendf(nil, "k%d/%d", i, j%10), make([]byte, 1<<(j%18))
				_, _ = store.Put(ctx, &pb.PutRequest{Key: key, Value: value, PrevKv: true})
				_, _ = store.Range(ctx, &pb.RangeRequest{Key: []byte("k"), RangeEnd: []byte("l")})
				_, _ = store.Range(ctx, &pb.RangeRequest{Key: []byte("k"), RangeEnd: []byte("l"), Revision: 1 << 40})
				_, _ = store.Put(ctx, &pb.PutRequest{Key: key, Value: make([]byte, 2<<20)}) // too large
				_, _ = store.Txn(ctx, &pb.TxnRequest{Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: key}}}}})
				short, done := context.WithTimeout(ctx, time.Duration(j)*100*time.Microsecond)
				_, _ = store.Range(short, &pb.RangeRequest{Key: []byte("k"), RangeEnd: []byte("l")})
				if stream, err := store.RangeStream(short, &pb.RangeRequest{Key: []byte("k"), RangeEnd: []byte("l")}); err == nil {
					_, _ = stream.Recv()
				}
				done()
			}
		})
	}
	go func() {
		for {
			if _, err := w.Recv(); err != nil {
				return
			}
		}
	}()
	all.Wait()
	if s.Stats().MessageBytes == 0 {
		t.Error("an open stream counts for nothing")
	}
	unwatch()
	deadline := time.Now().Add(wait)
	for s.Stats().MessageBytes != 0 {
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes stay counted", s.Stats().MessageBytes)
		}
		runtime.GC() // what gRPC has forgotten is given back by that
		time.Sleep(time.Millisecond)
	}
}

// TestResets opens streams and resets them, as fast as it can, on some connections: all together take as long as the limit says, and
// others are served meanwhile.
func TestResets(t *testing.T) {
	testlong.Skip(t)
	s := start(t, newMember(), nil)
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	c := pb.NewKVClient(dial(t, s))
	const connections, streams = 4, limits.EtcdResets
	done := make(chan error, connections)
	request := message(&pb.RangeRequest{Key: []byte("a")})
	began := time.Now()
	for range connections {
		h := attack(t, s)
		go h.read()
		go func() {
			for h.stream < 2*streams {
				id, err := h.begin("/etcdserverpb.KV/Range")
				if err == nil && id%4 == 1 {
					if !h.send(id, request, true) {
						err = io.EOF
					}
				}
				if err == nil {
					err = h.frames.WriteRSTStream(id, http2.ErrCodeCancel)
				}
				if err != nil {
					done <- err
					return
				}
			}
			err := h.frames.WritePing(false, [8]byte{1}) // it is answered when all before it was read
			for !h.answered() && err == nil {
				err = ctx.Err()
				time.Sleep(time.Millisecond)
			}
			done <- err
		}()
	}
	for left := connections; left > 0; {
		select {
		case err := <-done:
			if left--; err != nil {
				t.Error(err)
			}
		default:
		}
		if _, err := c.Put(ctx, &pb.PutRequest{Key: []byte("a")}); err != nil {
			t.Fatalf("another client: %v", err)
		}
	}
	// Each may be ahead by its part of a second, which is all that there is for the first one, and a half for the second.
	if took := time.Since(began); took < time.Second {
		t.Errorf("%d streams were reset in %v, the limit is %d a second", connections*streams, took, limits.EtcdResets)
	}
}

// TestBlamed opens streams until its connection is closed for what they hold. On another one it opens them no faster than they may be
// reset from then on, and whoever opens few is not held up.
func TestBlamed(t *testing.T) {
	const few, streams = limits.EtcdStreamsFew, limits.EtcdStreamsFew + 2*limits.EtcdResets
	s := start(t, newMember(), func(c *etcd.Config) {
		c.Limits.Bytes = (streams + 500) * (limits.EtcdStreamBytes + 256*limits.EtcdHeaderTimes)
	})
	open := func(n uint32) *hostile {
		h := attack(t, s)
		go h.read()
		for !h.over() && h.stream < 2*n {
			if _, err := h.begin("/etcdserverpb.Watch/Watch"); err != nil {
				break
			}
		}
		return h
	}
	answered := func(h *hostile) bool {
		return h.over() || h.answered()
	}
	var held []*hostile // until one is closed: each may have as many streams as a connection takes
	for closed := false; !closed && len(held) < 8; {
		held = append(held, open(limits.EtcdStreams))
		_ = held[len(held)-1].frames.WritePing(false, [8]byte{})
		eventually(t, func() bool { return answered(held[len(held)-1]) })
		for _, h := range held {
			closed = closed || h.over()
		}
	}
	for _, h := range held {
		_ = h.Close()
	}
	eventually(t, func() bool { return s.Stats().MessageBytes == 0 })
	began := time.Now()
	h := open(streams)
	_ = h.frames.WritePing(false, [8]byte{})
	eventually(t, func() bool { return answered(h) })
	// It may be ahead by its part of a second, and by what one read brings.
	if took := time.Since(began); h.over() || took < time.Second*9/10 {
		t.Errorf("%d streams were opened in %v (closed: %v), beyond %d at %d a second", streams, took, h.over(), few, limits.EtcdResets)
	}
}

// TestServedWithoutAnEnd: a unary request is in service once its message is there. It does not matter whether its client ends its side.
func TestServedWithoutAnEnd(t *testing.T) {
	m := newMember()
	s := start(t, m, nil)
	c := openH2(t, s)
	release := waiting(m)
	before := m.Proposals.Load()
	id := c.begin(putPath)
	c.data(id, false, onePut)
	c.flush()
	eventually(t, func() bool { return m.Proposals.Load() > before })
	if n := s.Stats().Serving; n != 1 {
		t.Errorf("%d requests are in service while one is", n)
	}
	release()
	c.must(id, &pb.PutResponse{})
	eventually(t, func() bool { return s.Stats().Serving == 0 && s.Stats().MessageBytes == 0 })
}

// TestLargestClientPays has a client at one address hold more than all clients may hold together, with many
// connections. Each of them has a part of one message, which never ends, and is opened again when it is closed. The
// puts and the watches of a client at another address go on, although its connection holds more than each connection of
// the first client.
func TestLargestClientPays(t *testing.T) {
	testlong.Skip(t)
	const most, connections, part, value, puts, writers, watches = 16 << 20, 24, 868 << 10, 1400 << 10, 24, 4, 100
	s := start(t, newMember(), func(c *etcd.Config) { c.Limits.Bytes = most })
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	var attackers sync.WaitGroup
	var closed atomic.Int64
	t.Cleanup(func() {
		cancel()
		attackers.Wait()
	})
	half := append(binary.BigEndian.AppendUint32([]byte{0}, value), make([]byte, part)...)
	abuse := func() {
		c, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			return
		}
		defer c.Close()
		defer context.AfterFunc(ctx, func() { _ = c.Close() })()
		_, _ = io.WriteString(c, http2.ClientPreface)
		h, err := attackOn(c)
		if err != nil {
			return
		}
		over := make(chan struct{})
		go func() {
			defer close(over)
			h.read()
		}()
		if id, err := h.begin("/etcdserverpb.KV/Put"); err == nil {
			for rest := half; len(rest) > 0; rest = rest[min(16<<10, len(rest)):] {
				if !h.send(id, rest[:min(16<<10, len(rest))], false) {
					break
				}
			}
		}
		<-over
		closed.Add(1)
	}
	for range connections {
		attackers.Go(func() {
			for ctx.Err() == nil {
				abuse()
				time.Sleep(20 * time.Millisecond) // the attack is for memory, not for the processor
			}
		})
	}
	good := dial(t, s, from("127.0.0.2"))
	w, err := pb.NewWatchClient(good).Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for i := range watches {
		create := &pb.WatchCreateRequest{Key: fmt.Appendf(nil, "w/%d", i)}
		if err := w.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: create}}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Recv(); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, func() bool { return closed.Load() > connections })
	before := closed.Load()
	var failed atomic.Int64
	var running sync.WaitGroup
	for i := range writers {
		running.Go(func() {
			for range puts / writers {
				if _, err := pb.NewKVClient(good).Put(ctx, &pb.PutRequest{Key: fmt.Appendf(nil, "big/%d", i), Value: make([]byte, value)}); err != nil {
					failed.Add(1)
					t.Log(err)
				}
			}
		})
	}
	running.Wait()
	if n := failed.Load(); n > 0 || closed.Load() == before {
		t.Errorf("%d of %d puts of another client failed, while %d connections of the first one were closed", n, puts, closed.Load()-before)
	}
	for i := range watches {
		if _, err := pb.NewKVClient(good).Put(ctx, &pb.PutRequest{Key: fmt.Appendf(nil, "w/%d", i)}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Recv(); err != nil {
			t.Fatalf("the watches have ended: %v", err)
		}
	}
}
