package etcd_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/etcd"
)

// slow is a member to which writes come, and are not made before the test says so.
type slow struct {
	*member
	came chan kv.Proposal
}

// Propose implements etcd.Member.
func (s *slow) Propose(p kv.Proposal) { s.came <- p }

// TestLongWritesGoOneByOne deletes all of many keys again and again: the member gets one such write at a time, also when nobody waits
// for that any more, and others' writes meanwhile.
func TestLongWritesGoOneByOne(t *testing.T) {
	m := &slow{member: newMember(), came: make(chan kv.Proposal, 8)}
	s := start(t, m, nil)
	for i := range limits.LongWriteRows + 1 {
		m.put(fmt.Sprintf("k/%06d", i))
	}
	all := &pb.DeleteRangeRequest{Key: []byte("k/"), RangeEnd: []byte("k0")}
	failed := make(chan error, 8)
	ask := func(ctx context.Context, d *pb.DeleteRangeRequest) {
		c := pb.NewKVClient(dial(t, s))
		go func() {
			_, err := c.DeleteRange(ctx, d)
			failed <- err
		}()
	}
	ctx, cancel := context.WithCancel(t.Context())
	ask(ctx, all)
	first := <-m.came
	cancel()
	if err := <-failed; status.Code(err) != codes.Canceled {
		t.Fatal(err)
	}
	ask(t.Context(), all)
	eventually(t, func() bool { return s.Stats().Serving == 1 })
	time.Sleep(20 * time.Millisecond) // it would have come by now
	ask(t.Context(), &pb.DeleteRangeRequest{Key: []byte("k/0000"), RangeEnd: []byte("k/0001")})
	short := <-m.came
	if !bytes.Equal(short.Commands[0].Bytes, new(index.Head).AppendDelete(nil, &kv.Delete{Key: []byte("k/0000"), End: []byte("k/0001")}).Bytes) {
		t.Fatal("the member has two long writes at a time")
	}
	m.member.Propose(short)
	if err := <-failed; err != nil {
		t.Error(err)
	}
	m.member.Propose(first)
	m.member.Propose(<-m.came)
	if err := <-failed; err != nil {
		t.Error(err)
	}
}

// TestTxnOfTooManyKeys compares all keys so often that each member would be busy with that alone for seconds.
func TestTxnOfTooManyKeys(t *testing.T) {
	m := newMember()
	c := pb.NewKVClient(dial(t, start(t, m, nil)))
	const keys = 100
	for i := range keys {
		m.put(fmt.Sprintf("k/%06d", i))
	}
	compares := make([]*pb.Compare, limits.TxnOperations/2)
	for i := range compares {
		compares[i] = &pb.Compare{Key: []byte{0}, RangeEnd: []byte{0}, Target: pb.Compare_VERSION, Result: pb.Compare_GREATER}
	}
	one := &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: &pb.TxnRequest{Compare: compares}}}
	q := &pb.TxnRequest{}
	for range limits.TxnRows / keys / len(compares) {
		q.Success = append(q.Success, one)
	}
	if answer, err := c.Txn(t.Context(), q); err != nil || !answer.Succeeded {
		t.Fatalf("as many comparisons as may be: %v", err)
	}
	q.Success = append(q.Success, one)
	if _, err := c.Txn(t.Context(), q); status.Code(err) != codes.InvalidArgument {
		t.Errorf("more of them: %v", err)
	}
}

// TestWriteWithoutAnswer makes writes whose answers have no room: they say that the writes were made, and reads do not.
func TestWriteWithoutAnswer(t *testing.T) {
	s := start(t, newMember(), func(c *etcd.Config) { c.Limits.BuiltBytes = etcd.EtcdPieceBytes })
	c := pb.NewKVClient(dial(t, s))
	put := func(key string, size int) *pb.RequestOp {
		return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte(key), Value: make([]byte, size)}}}
	}
	read := &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: []byte("k/1")}}}
	if _, err := c.Txn(t.Context(), &pb.TxnRequest{Success: []*pb.RequestOp{put("k/1", 2*etcd.EtcdPieceBytes)}}); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		name string
		call func() error
		done string
	}{
		{"a transaction that only reads", func() error {
			_, err := c.Txn(t.Context(), &pb.TxnRequest{Success: []*pb.RequestOp{read}})
			return err
		}, ""},
		{"one that puts", func() error {
			_, err := c.Txn(t.Context(), &pb.TxnRequest{Success: []*pb.RequestOp{read, put("k/2", 1)}})
			return err
		}, "it was done at revision 3"},
		{"a deletion", func() error {
			_, err := c.DeleteRange(t.Context(), &pb.DeleteRangeRequest{Key: []byte("k/"), RangeEnd: []byte("k0"), PrevKv: true})
			return err
		}, "it was done at revision 4"},
	} {
		err := x.call()
		if status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), x.done) || x.done == "" && strings.Contains(err.Error(), "it was done at") {
			t.Errorf("%s: %v", x.name, err)
		}
	}
}

// TestDeletionWithoutRoom deletes keys while other answers that nobody reads have nearly all of the room for built answers: the
// deletion, whose answer finds no room, says that it was made.
func TestDeletionWithoutRoom(t *testing.T) {
	const most, values = 30 << 20, 24
	s := start(t, newMember(), func(c *etcd.Config) { c.Limits.BuiltBytes, c.Limits.Stall, c.Timeout = most, time.Hour, time.Second })
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	store := pb.NewKVClient(dial(t, s))
	for i := range values {
		if _, err := store.Put(ctx, &pb.PutRequest{Key: fmt.Appendf(nil, "big/%02d", i), Value: make([]byte, 1<<20)}); err != nil {
			t.Fatal(err)
		}
	}
	h := attack(t, s)
	id, err := h.begin("/etcdserverpb.KV/Range")
	if err == nil {
		err = h.frames.WriteData(id, true, message(&pb.RangeRequest{Key: []byte("big/"), RangeEnd: []byte("big0"), SortTarget: pb.RangeRequest_MOD, SortOrder: pb.RangeRequest_DESCEND}))
	}
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { n := s.Stats().BuiltBytes; return n > values<<20 && n < most })
	_, err = store.DeleteRange(ctx, &pb.DeleteRangeRequest{Key: []byte("big/"), RangeEnd: []byte("big/12"), PrevKv: true})
	if done := fmt.Sprintf("it was done at revision %d", values+2); status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), done) {
		t.Errorf("%v, want %q", err, done)
	}
	left, err := store.Range(ctx, &pb.RangeRequest{Key: []byte("big/"), RangeEnd: []byte("big0"), CountOnly: true})
	if err != nil || left.Count != values/2 {
		t.Errorf("%d keys are left, %v", left.GetCount(), err)
	}
}

// TestRangeGoesOnFromNewerState reads all keys while they are written, and holds no View from one page to the next: what comes is of one
// revision all the same.
func TestRangeGoesOnFromNewerState(t *testing.T) {
	m := newMember()
	s := start(t, m, func(c *etcd.Config) { c.Limits.AnswerHeld = time.Nanosecond })
	const keys = 8 * limits.RangeRows
	key := func(i int) string { return fmt.Sprintf("k/%06d", i%keys) }
	for i := range keys {
		m.put(key(i))
	}
	var written atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	var writes sync.WaitGroup
	writes.Go(func() {
		for i := 0; ctx.Err() == nil; i += 7 {
			m.put(key(i))
			written.Add(1)
		}
	})
	defer writes.Wait()
	defer cancel()
	c := pb.NewKVClient(dial(t, s))
	all := &pb.RangeRequest{Key: []byte("k/"), RangeEnd: []byte("k0")}
	for range 20 {
		got, err := c.Range(t.Context(), all)
		if err != nil {
			t.Fatal(err)
		}
		want, err := c.Range(t.Context(), &pb.RangeRequest{Key: all.Key, RangeEnd: all.RangeEnd, Revision: got.Header.Revision})
		if err != nil {
			t.Fatal(err)
		}
		want.Header = got.Header
		if got.Count != keys || !proto.Equal(got, want) {
			t.Fatalf("%d keys of %d, and not as they were at revision %d", len(got.Kvs), got.Count, got.Header.Revision)
		}
		n := written.Load()
		eventually(t, func() bool { return written.Load() > n })
	}
}
