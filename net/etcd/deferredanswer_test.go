package etcd_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"qkv/internal/limits"
	"qkv/internal/testlong"
	"qkv/internal/testretry"
	"qkv/net/etcd"
)

// fill puts keys under big/ whose values make some mebibytes, of all sizes, and returns how many there are.
func fill(ctx context.Context, t testing.TB, store pb.KVClient, fill byte) (n int) {
	t.Helper()
	for bytesPut := 0; bytesPut < 3*etcd.EtcdWholeBytes; n++ {
		value := bytes.Repeat([]byte{fill}, 10+n*97%40_000)
		if n%100 == 7 {
			value = bytes.Repeat([]byte{fill}, 1<<20)
		}
		key := fmt.Appendf(nil, "big/%05d", n)
		if n == 50 {
			key = append(key, bytes.Repeat([]byte{'k'}, limits.KeyBytes-len(key))...)
		}
		bytesPut += len(value)
		if _, err := store.Put(ctx, &pb.PutRequest{Key: key, Value: value}); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

func streamed(ctx context.Context, t *testing.T, store pb.KVClient, q *pb.RangeRequest) *pb.RangeResponse {
	t.Helper()
	chunks, err := store.RangeStream(ctx, q)
	if err != nil {
		t.Fatal(err)
	}
	all := &pb.RangeResponse{}
	for {
		chunk, err := chunks.Recv()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		proto.Merge(all, chunk.RangeResponse)
	}
}

// TestLargeAnswers asks for ranges that are encoded as they are written, and gets what a stream of them has, also as JSON.
func TestLargeAnswers(t *testing.T) {
	testlong.Skip(t)
	s := start(t, newMember(), nil)
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	store := pb.NewKVClient(dial(t, s))
	n := int64(fill(ctx, t, store, 'a'))
	old := streamed(ctx, t, store, &pb.RangeRequest{Key: []byte("big/"), RangeEnd: []byte("big0")}).Header.Revision
	fill(ctx, t, store, 'b')
	for _, q := range []*pb.RangeRequest{
		{Key: []byte("big/"), RangeEnd: []byte("big0")},
		{Key: []byte{0}, RangeEnd: []byte{0}, Serializable: true},
		{Key: []byte("big/"), RangeEnd: []byte("big0"), Limit: n - 3},
		{Key: []byte("big/"), RangeEnd: []byte("big0"), Limit: n},
		{Key: []byte("big/00003"), RangeEnd: []byte("big0"), Limit: n + 1},
		{Key: []byte("big/"), RangeEnd: []byte("big0"), Revision: old},
		{Key: []byte("big/"), RangeEnd: []byte("big0"), Revision: old, Limit: n - 1},
	} {
		got, err := store.Range(ctx, q)
		if err != nil {
			t.Fatalf("%v: %v", q, err)
		}
		want := streamed(ctx, t, store, q)
		if size := proto.Size(got); size < etcd.EtcdWholeBytes {
			t.Fatalf("%v: %d bytes are not large", q, size)
		}
		if !proto.Equal(got, want) {
			t.Errorf("%v: %d pairs, more %v, count %d, header %v; streamed %d, %v, %d, %v", q, len(got.Kvs), got.More, got.Count, got.Header, len(want.Kvs), want.More, want.Count, want.Header)
		}
	}
	code, body := post(t, s, "/v3/kv/range", `{"key":"YmlnLw==","range_end":"YmlnMA=="}`)
	if code != 200 || strings.Count(body, `"mod_revision"`) != int(n) || !strings.HasSuffix(body, fmt.Sprintf(`"count":"%d"}`, n)) {
		t.Errorf("as JSON: %d, %d pairs of %d", code, strings.Count(body, `"mod_revision"`), n)
	}
	eventually(t, func() bool { return s.Stats().MessageBytes == 0 && s.Stats().GatewayBytes == 0 })
}

// TestLargeAnswersUnread asks for much more by one connection than it may hold, and reads nothing: next to nothing is held of it. What is changed
// meanwhile, and even compacted, is not in the answers; where they cannot be had any more, the connection ends, and nothing wrong comes.
func TestLargeAnswersUnread(t *testing.T) {
	testlong.Skip(t)
	for _, c := range []struct {
		name    string
		held    time.Duration
		compact bool
		ends    bool
	}{
		{"the state is held", time.Hour, true, false},
		{"it is not", time.Nanosecond, false, false},
		{"it is gone", time.Nanosecond, true, true},
	} {
		s := start(t, newMember(), func(config *etcd.Config) { config.Limits.AnswerHeld = c.held })
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		defer cancel()
		conn := dial(t, s)
		store := pb.NewKVClient(conn)
		fill(ctx, t, store, 'a')
		q := &pb.RangeRequest{Key: []byte("big/"), RangeEnd: []byte("big0")}
		want, err := store.Range(ctx, q)
		if err != nil {
			t.Fatal(err)
		}
		const requests = 20
		h := attack(t, s)
		for range requests {
			id, err := h.begin("/etcdserverpb.KV/Range")
			if err == nil {
				err = h.frames.WriteData(id, true, message(q))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		const least = requests * etcd.EtcdLaterBytes
		most := int64(least + requests*(limits.EtcdAskedBytes+limits.EtcdStreamBytes) + requests*int64(proto.Size(want))/etcd.EtcdPieceBytes*3*etcd.EtcdPartBytes + 4<<20)
		answers := answersOf(h)
		if err := answers.begun(requests); err != nil { // what is changed from here on is in none of them
			t.Fatalf("%s: %v", c.name, err)
		}
		eventually(t, func() bool { return s.Stats().MessageBytes >= least })
		for range 100 {
			if n := s.Stats().MessageBytes; n > most {
				t.Fatalf("%s: %d answers of %d bytes that nobody reads hold %d bytes, over %d", c.name, requests, proto.Size(want), n, most)
			}
			if _, err := store.Put(ctx, &pb.PutRequest{Key: []byte("other")}); err != nil {
				t.Fatal(err)
			}
		}
		last, err := store.Put(ctx, &pb.PutRequest{Key: []byte("other")})
		if err != nil {
			t.Fatal(err)
		}
		fill(ctx, t, store, 'b')
		if c.compact {
			now, err := store.Range(ctx, &pb.RangeRequest{Key: []byte("other")})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := store.Compact(ctx, &pb.CompactionRequest{Revision: now.Header.Revision, Physical: true}); err != nil {
				t.Fatal(err)
			}
		}
		got, err := answers.take(requests)
		if c.ends {
			if err == nil {
				t.Errorf("%s: %d answers came whole", c.name, len(got))
			}
		} else if err != nil || len(got) != requests {
			t.Errorf("%s: %d of %d answers: %v", c.name, len(got), requests, err)
		}
		for _, one := range got {
			if !bytes.Equal(one, mustMarshal(t, wasThere(t, one, want, last.Header.Revision+1))) {
				t.Fatalf("%s: an answer is not what was there when it was asked for", c.name)
			}
		}
		_ = h.Close()
		eventually(t, func() bool { return s.Stats().MessageBytes == 0 })
	}
}

// wasThere is what an answer must be by the revision in its header, when all keys were filled once more from a revision on.
func wasThere(t *testing.T, answer []byte, before *pb.RangeResponse, filled int64) *pb.RangeResponse {
	t.Helper()
	got := &pb.RangeResponse{}
	if err := proto.Unmarshal(answer, got); err != nil {
		t.Fatal(err)
	}
	want := proto.CloneOf(before)
	want.Header.Revision = got.GetHeader().GetRevision()
	for i, pair := range want.Kvs {
		if at := filled + int64(i); at <= want.Header.Revision {
			pair.ModRevision, pair.Version, pair.Value = at, pair.Version+1, bytes.Repeat([]byte{'b'}, len(pair.Value))
		}
	}
	return want
}

func mustMarshal(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// answers are those that a client is sent which opens no window until it takes them.
type answers struct {
	h     *hostile
	heads int
	parts map[uint32][]byte
	whole [][]byte
}

func answersOf(h *hostile) *answers { return &answers{h: h, parts: map[uint32][]byte{}} }

// begun waits until so many have begun: their headers come whether or not there is a window, once it is decided what they say.
func (a *answers) begun(n int) error {
	_ = a.h.SetDeadline(time.Now().Add(wait))
	for a.heads < n {
		if err := a.read(); err != nil {
			return fmt.Errorf("%d of %d answers begun: %w", a.heads, n, err)
		}
	}
	return nil
}

// take opens the windows, and returns the messages that come whole.
func (a *answers) take(n int) ([][]byte, error) {
	_ = a.h.SetDeadline(time.Now().Add(wait))
	if err := a.h.frames.WriteWindowUpdate(0, 1<<31-1-65535); err != nil {
		return nil, err
	}
	for id := uint32(1); id < a.h.stream; id += 2 {
		if err := a.h.frames.WriteWindowUpdate(id, 1<<30); err != nil {
			return nil, err
		}
	}
	for len(a.whole) < n {
		if err := a.read(); err != nil {
			return a.whole, err
		}
	}
	return a.whole, nil
}

func (a *answers) read() error {
	f, err := a.h.frames.ReadFrame()
	if err != nil {
		return err
	}
	id := f.Header().StreamID
	switch f := f.(type) {
	case *http2.DataFrame:
		a.parts[id] = append(a.parts[id], f.Data()...)
	case *http2.HeadersFrame:
		if !f.StreamEnded() {
			a.heads++
			return nil
		}
		if m := a.parts[id]; len(m) > 5 {
			a.whole = append(a.whole, m[5:])
		}
		delete(a.parts, id)
	}
	return nil
}

// TestBuiltAnswers asks for large sorted ranges and does not read them: what has no room waits, is refused with the limit's name when
// too many wait, and gets it when those were closed that stand still.
func TestBuiltAnswers(t *testing.T) {
	testlong.Skip(t)
	testretry.Longer(t, 100*time.Millisecond, builtAnswers) // on a busy host one that reads stands still for a moment, too
}

func builtAnswers(t testing.TB, stall time.Duration) {
	const most = 24 << 20
	s := start(t, newMember(), func(c *etcd.Config) { c.Limits.BuiltBytes, c.Limits.Stall = most, stall })
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	store := pb.NewKVClient(dial(t, s))
	fill(ctx, t, store, 'a')
	sorted := &pb.RangeRequest{Key: []byte("big/"), RangeEnd: []byte("big0"), SortTarget: pb.RangeRequest_MOD, SortOrder: pb.RangeRequest_DESCEND}
	txn := &pb.TxnRequest{Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: []byte("big/"), RangeEnd: []byte("big0")}}}}}
	want, err := store.Range(ctx, sorted)
	if err != nil || proto.Size(want) < etcd.EtcdWholeBytes {
		t.Fatalf("%d bytes: %v", proto.Size(want), err)
	}
	var hostile []net.Conn
	for i := range 6 {
		h := attack(t, s)
		method, q := "/etcdserverpb.KV/Range", proto.Message(sorted)
		if i%2 == 1 {
			method, q = "/etcdserverpb.KV/Txn", txn
		}
		id, err := h.begin(method)
		if err == nil {
			err = h.frames.WriteData(id, true, message(q))
		}
		if err != nil {
			t.Fatal(err)
		}
		hostile = append(hostile, h)
	}
	eventually(t, func() bool { return s.Stats().BuiltBytes > 0 })
	for range 3 {
		got, err := store.Range(ctx, sorted)
		if err != nil || !proto.Equal(&pb.RangeResponse{Kvs: got.GetKvs()}, &pb.RangeResponse{Kvs: want.Kvs}) {
			t.Fatalf("one that reads, beside others that do not: %v", err)
		}
		if n := s.Stats().BuiltBytes; n > most {
			t.Errorf("%d bytes are held, over %d", n, most)
		}
	}
	for _, c := range hostile {
		_ = c.Close()
	}
	eventually(t, func() bool { return s.Stats().BuiltBytes == 0 && s.Stats().MessageBytes == 0 })

	// What has more than all of the room is refused at any rate.
	fillMore := make([]byte, 1<<20)
	for i := range 14 {
		if _, err := store.Put(ctx, &pb.PutRequest{Key: fmt.Appendf(nil, "big/more/%d", i), Value: fillMore}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := store.Range(ctx, sorted); status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), fmt.Sprint(most)) {
		t.Errorf("a sorted range of more than there is room for: %v", err)
	}
	if _, err := store.Range(ctx, &pb.RangeRequest{Key: []byte("big/"), RangeEnd: []byte("big0")}); err != nil {
		t.Errorf("the same in the order of keys: %v", err)
	}
	eventually(t, func() bool { return s.Stats().BuiltBytes == 0 && s.Stats().MessageBytes == 0 })
}

// TestBuiltAnswerBesideOthers lets a connection read small answers all the time, and none of a large one that is held in memory: it is
// closed as soon as another client's answer waits for the memory.
func TestBuiltAnswerBesideOthers(t *testing.T) {
	testlong.Skip(t)
	s := start(t, newMember(), func(c *etcd.Config) {
		c.Limits.BuiltBytes, c.Limits.Stall, c.Timeout = 24<<20, 100*time.Millisecond, wait/3
	})
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	store := pb.NewKVClient(dial(t, s))
	fill(ctx, t, store, 'a')
	if _, err := store.Put(ctx, &pb.PutRequest{Key: []byte("small"), Value: make([]byte, 32<<10)}); err != nil {
		t.Fatal(err)
	}
	sorted := &pb.RangeRequest{Key: []byte("big/"), RangeEnd: []byte("big0"), SortTarget: pb.RangeRequest_MOD, SortOrder: pb.RangeRequest_DESCEND}
	h := attack(t, s)
	ask := func(q *pb.RangeRequest) {
		if id, err := h.begin("/etcdserverpb.KV/Range"); err == nil {
			_ = h.frames.WriteData(id, true, message(q))
		}
	}
	_ = h.frames.WriteWindowUpdate(0, 1<<30)
	go h.read()
	ask(sorted)
	eventually(t, func() bool { return s.Stats().BuiltBytes > 0 && s.Stats().Serving == 0 })
	go func() {
		for !h.over() {
			ask(&pb.RangeRequest{Key: []byte("small")})
			time.Sleep(10 * time.Millisecond)
		}
	}()
	if _, err := store.Range(ctx, sorted); err != nil {
		t.Errorf("another client's answer: %v", err)
	}
	eventually(t, h.over)
	eventually(t, func() bool { return s.Stats().BuiltBytes == 0 && s.Stats().MessageBytes == 0 })
}

// TestBuiltAnswersThatWait asks for sorted ranges while there is no room: what is encoded of those that wait is little, however large the
// values are.
func TestBuiltAnswersThatWait(t *testing.T) {
	testlong.Skip(t)
	s := start(t, newMember(), func(c *etcd.Config) { c.Limits.BuiltBytes, c.Limits.Stall, c.Timeout = 40<<20, time.Hour, time.Second })
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	store := pb.NewKVClient(dial(t, s))
	for i := range 24 {
		if _, err := store.Put(ctx, &pb.PutRequest{Key: fmt.Appendf(nil, "big/%d", i), Value: make([]byte, 1<<20)}); err != nil {
			t.Fatal(err)
		}
	}
	sorted := &pb.RangeRequest{Key: []byte("big/"), RangeEnd: []byte("big0"), SortTarget: pb.RangeRequest_MOD, SortOrder: pb.RangeRequest_DESCEND}
	ask := func(times int) *hostile {
		h := attack(t, s)
		for range times {
			id, err := h.begin("/etcdserverpb.KV/Range")
			if err == nil {
				err = h.frames.WriteData(id, true, message(sorted))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		return h
	}
	holds := ask(1)
	eventually(t, func() bool { n := s.Stats().BuiltBytes; return n > 24<<20 && n < 40<<20 }) // what it does not need is given back
	waits := ask(2 * etcd.EtcdBuilds)
	_ = waits.SetDeadline(time.Now().Add(wait))
	var most atomic.Int64
	stop := make(chan struct{})
	go func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				most.Store(max(most.Load(), s.Stats().MessageBytes-s.Stats().BuiltBytes))
			}
		}
	}()
	for refused := 0; refused < 2*etcd.EtcdBuilds; { // none finds room in time
		f, err := waits.frames.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if headers, ok := f.(*http2.HeadersFrame); ok && headers.StreamEnded() {
			refused++
		}
	}
	close(stop)
	if n, bound := most.Load(), int64(etcd.EtcdWideReads*etcd.EtcdWholeBytes+2*etcd.EtcdBuilds*(2<<20)); n > bound { // those that wait for a place, too, may have read a value
		t.Errorf("%d answers that wait for room held %d bytes, over %d", 2*etcd.EtcdBuilds, n, bound)
	}
	for _, c := range []net.Conn{waits, holds} {
		_ = c.Close()
	}
	eventually(t, func() bool { return s.Stats().BuiltBytes == 0 && s.Stats().MessageBytes == 0 })
}
