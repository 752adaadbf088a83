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

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/testlong"
	"qkv/net/etcd"
)

// TestEnableOvertakesAGet: authentication is enabled while a get without a user waits for its confirmation.
func TestEnableOvertakesAGet(t *testing.T) {
	u := newUsers(t, nil)
	u.must("root", "Auth.UserAdd", `name: "test" password: "test"`)
	u.must("root", "KV.Put", `key: "secret" value: "v"`)
	u.must("root", "Auth.AuthDisable", "")
	u.SetBefore(func(_, reads int) *kv.Error {
		if reads > 0 {
			u.overtake(&kv.AuthChange{Kind: kv.AuthEnable, Secret: make([]byte, limits.AuthSecretBytes)})
		}
		return nil
	})
	if got := strings.TrimSpace(call(t.Context(), t, u.conn, "KV", "Range", `key: "secret"`)); got != noUser {
		t.Errorf("a get without a user: %s", got)
	}
}

// TestBatchedCount: a request is in progress from its beginning, and has ended once when it was retried.
func TestBatchedCount(t *testing.T) {
	m := newMember()
	s := start(t, m, nil)
	const handled = `grpc_server_handled_total{grpc_code="OK",grpc_method="Put",grpc_service="etcdserverpb.KV",grpc_type="unary"}`
	const started = `grpc_server_started_total{grpc_method="Put",grpc_service="etcdserverpb.KV",grpc_type="unary"}`
	const versions = `etcd_server_client_requests_total{client_api_version="unknown",type="unary"}`
	const requests = `qkv_client_requests{protocol="etcd"}`
	shows := func(want ...any) {
		t.Helper()
		_, all := get(t, s, "/metrics")
		for i := 0; i < len(want); i += 2 {
			if line := fmt.Sprint(want[i], " ", want[i+1]); !strings.Contains(all, "\n"+line+"\n") {
				t.Errorf("the metrics have no %s", line)
			}
		}
	}
	came, goes := make(chan struct{}), make(chan struct{})
	var tries atomic.Int64
	m.SetBefore(func(writes, _ int) *kv.Error {
		if writes == 0 {
			return nil
		}
		if tries.Add(1) > 1 {
			return nil
		}
		close(came)
		<-goes
		return kv.Errorf(kv.Unavailable, "no leader is known")
	})
	answered := make(chan error, 1)
	go func() {
		_, err := pb.NewKVClient(dial(t, s)).Put(t.Context(), &pb.PutRequest{Key: []byte("a")})
		answered <- err
	}()
	<-came
	shows(started, 1, versions, 1, handled, 0, requests, 1)
	close(goes)
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
	shows(started, 1, versions, 1, handled, 1, requests, 0)
	if n := tries.Load(); n != 2 {
		t.Errorf("%d tries", n)
	}
}

// TestBatchedTimeout: a request is not retried after its time.
func TestBatchedTimeout(t *testing.T) {
	const timeout = 200 * time.Millisecond
	m := newMember()
	c := pb.NewKVClient(dial(t, start(t, m, func(c *etcd.Config) { c.Timeout = timeout })))
	var tries atomic.Int64
	m.SetBefore(func(int, int) *kv.Error {
		tries.Add(1)
		time.Sleep(timeout) // as a member that waits for a leader
		return kv.Errorf(kv.Unavailable, "no leader is known")
	})
	_, put := c.Put(t.Context(), &pb.PutRequest{Key: []byte("a")})
	_, read := c.Range(t.Context(), &pb.RangeRequest{Key: []byte("a")})
	for what, err := range map[string]error{"a put": put, "a get": read} {
		if status.Convert(err).Message() != "etcdserver: request timed out" {
			t.Errorf("%s: %v", what, err)
		}
	}
	if n := tries.Load(); n != 2 {
		t.Errorf("%d tries of two requests", n)
	}
}

// TestBatchedLarge reads values that the answering goroutine does not copy, and values that are encoded as the client reads them.
func TestBatchedLarge(t *testing.T) {
	testlong.Skip(t)
	s := start(t, newMember(), func(c *etcd.Config) { c.MaxRequestBytes = 8 << 20 })
	c := pb.NewKVClient(dial(t, s))
	for _, size := range []int{etcd.EtcdPieceBytes, etcd.EtcdPieceBytes + 1, etcd.EtcdWholeBytes, etcd.EtcdWholeBytes + 1} {
		want := bytes.Repeat([]byte{7}, size)
		if _, err := c.Put(t.Context(), &pb.PutRequest{Key: []byte("a"), Value: want}); err != nil {
			t.Fatal(err)
		}
		for _, serializable := range []bool{false, true} {
			found, err := c.Range(t.Context(), &pb.RangeRequest{Key: []byte("a"), Serializable: serializable})
			if err != nil || found.Count != 1 || !bytes.Equal(found.Kvs[0].Value, want) {
				t.Errorf("%d bytes, serializable %v: %v", size, serializable, err)
			}
		}
	}
	eventually(t, func() bool { return s.Stats().MessageBytes == 0 })
	const handled = `grpc_server_handled_total{grpc_code="OK",grpc_method="Range",grpc_service="etcdserverpb.KV",grpc_type="unary"} 8`
	_, all := get(t, s, "/metrics")
	for _, one := range []string{handled, "etcd_debugging_mvcc_range_total 8", "etcd_mvcc_range_total 8"} {
		if name, _, _ := strings.Cut(one, " "); strings.Contains(all, "\n"+name+" ") && !strings.Contains(all, "\n"+one+"\n") {
			t.Errorf("the metrics have no %s", one)
		}
	}
}

// TestCloseWithABatchedRequest: a server ends, also twice, while the member has a request that it never answers.
func TestCloseWithABatchedRequest(t *testing.T) {
	m := &silent{newMember(), make(chan struct{}, 1)}
	s := start(t, m, nil)
	c := pb.NewKVClient(dial(t, s))
	answered := make(chan error, 1)
	go func() {
		_, err := c.Put(t.Context(), &pb.PutRequest{Key: []byte("a")})
		answered <- err
	}()
	<-m.came
	closed := make(chan struct{})
	go func() {
		s.Close()
		s.Close()
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(wait):
		t.Fatal("the server does not end")
	}
	if err := <-answered; err == nil {
		t.Error("a put that the member has not answered has succeeded")
	}
}

// silent is a member that answers no write.
type silent struct {
	*member
	came chan struct{}
}

func (m *silent) Propose(kv.Proposal) { m.came <- struct{}{} }

// TestBatchedTxn: a transaction and a deletion are retried while there is no leader, and answer with what the retry has done.
func TestBatchedTxn(t *testing.T) {
	m := newMember()
	c := pb.NewKVClient(dial(t, start(t, m, nil)))
	var refuses atomic.Bool
	m.SetBefore(func(writes, _ int) *kv.Error {
		if writes > 0 && refuses.Swap(false) {
			return kv.Errorf(kv.Unavailable, "no leader is known")
		}
		return nil
	})
	put := func(value string) *pb.TxnRequest {
		mod := int64(0)
		if value != "0" {
			mod = 2
		}
		return &pb.TxnRequest{
			Compare: []*pb.Compare{{Key: []byte("a"), Target: pb.Compare_MOD, TargetUnion: &pb.Compare_ModRevision{ModRevision: mod}}},
			Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte("a"), Value: []byte(value)}}}},
			Failure: []*pb.RequestOp{{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: []byte("a")}}}},
		}
	}
	for i, want := range []bool{true, true, false} {
		refuses.Store(true)
		got, err := c.Txn(t.Context(), put(fmt.Sprint(i)))
		if err != nil || got.Succeeded != want || len(got.Responses) != 1 || refuses.Load() {
			t.Fatalf("transaction %d: %v, %v", i, got, err)
		}
		if found := got.Responses[0].GetResponseRange(); !want && (found == nil || string(found.Kvs[0].Value) != "1" || got.Header.Revision != 3) {
			t.Errorf("the key is %v at revision %d", found, got.Header.Revision)
		}
	}
	for _, want := range []int64{1, 0} {
		refuses.Store(true)
		got, err := c.DeleteRange(t.Context(), &pb.DeleteRangeRequest{Key: []byte("a")})
		if err != nil || got.Deleted != want || got.Header.Revision != 4 || refuses.Load() {
			t.Errorf("%d keys are deleted at revision %d, not %d: %v", got.GetDeleted(), got.GetHeader().GetRevision(), want, err)
		}
	}
}

// TestBatchedTxnLarge: a transaction answers with values that the answering goroutine does not copy.
func TestBatchedTxnLarge(t *testing.T) {
	s := start(t, newMember(), nil)
	c := pb.NewKVClient(dial(t, s))
	want := bytes.Repeat([]byte{7}, etcd.EtcdPieceBytes+1)
	if _, err := c.Put(t.Context(), &pb.PutRequest{Key: []byte("a"), Value: want}); err != nil {
		t.Fatal(err)
	}
	get := &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: []byte("a")}}}
	write := &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte("b")}}}
	got, err := c.Txn(t.Context(), &pb.TxnRequest{Success: []*pb.RequestOp{get, write, get}})
	if err != nil || len(got.Responses) != 3 || !bytes.Equal(got.Responses[2].GetResponseRange().Kvs[0].Value, want) {
		t.Fatalf("%d answers: %v", len(got.GetResponses()), err)
	}
	eventually(t, func() bool { return s.Stats().MessageBytes == 0 })
}

// TestBatchedAnswersFail makes batched requests of all methods at once, whose answers fail: the member refuses them or has no leader, their
// clients leave, and answers of transactions find no memory. A transaction that was made names its revision. No goroutine uses what another
// has reused: the race detector sees it.
func TestBatchedAnswersFail(t *testing.T) {
	const value, callers, rounds = 1 << 20, 4, 5
	m := newMember()
	s := start(t, m, func(c *etcd.Config) {
		c.Limits.BuiltBytes, c.Limits.Stall, c.Timeout = 2*etcd.EtcdWholeBytes-value, time.Hour, 100*time.Millisecond
	})
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	c := pb.NewKVClient(dial(t, s))
	for i := range etcd.EtcdWholeBytes/value + 1 {
		if _, err := c.Put(ctx, &pb.PutRequest{Key: fmt.Appendf(nil, "big/%d", i), Value: make([]byte, value)}); err != nil {
			t.Fatal(err)
		}
	}
	h := attack(t, s) // its answer is not read, and holds more than half of the memory
	id, err := h.begin("/etcdserverpb.KV/Range")
	if err == nil {
		err = h.frames.WriteData(id, true, message(&pb.RangeRequest{Key: []byte("big/"), RangeEnd: []byte("big0"), SortTarget: pb.RangeRequest_MOD, SortOrder: pb.RangeRequest_DESCEND}))
	}
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return s.Stats().BuiltBytes > etcd.EtcdWholeBytes })
	put := &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte("a")}}}
	large := &pb.TxnRequest{Success: []*pb.RequestOp{put}}
	for range etcd.EtcdWholeBytes/value + 1 {
		large.Success = append(large.Success, &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: []byte("big/0")}}})
	}
	var turn, without, made atomic.Int64
	m.SetBefore(func(int, int) *kv.Error {
		switch turn.Add(1) % 4 {
		case 0:
			return kv.Errorf(kv.Unavailable, "no leader is known")
		case 1:
			return kv.Errorf(kv.Unknown, "the leader has changed")
		default:
			return nil
		}
	})
	var all sync.WaitGroup
	for _, one := range []func(context.Context) error{
		func(ctx context.Context) error {
			_, err := c.Put(ctx, &pb.PutRequest{Key: []byte("a"), Lease: without.Add(1) % 2})
			return err
		},
		func(ctx context.Context) error {
			_, err := c.Range(ctx, &pb.RangeRequest{Key: []byte("big/0")})
			return err
		},
		func(ctx context.Context) error {
			_, err := c.DeleteRange(ctx, &pb.DeleteRangeRequest{Key: []byte("a")})
			return err
		},
		func(ctx context.Context) error {
			before := m.View().Revision()
			_, err := c.Txn(ctx, large)
			if status.Code(err) != codes.ResourceExhausted {
				return err
			}
			var revision int64
			if _, scan := fmt.Sscanf(status.Convert(err).Message(), "etcdserver: it was done at revision %d,", &revision); scan != nil || revision <= before || revision > m.View().Revision() {
				t.Errorf("a transaction after revision %d: %v", before, err)
			}
			made.Add(1)
			return err
		},
	} {
		for i := range callers {
			all.Go(func() {
				for j := range rounds {
					within, cancel := context.WithTimeout(ctx, wait)
					if (i+j)%callers == 0 {
						within, cancel = context.WithTimeout(ctx, time.Millisecond)
					}
					_ = one(within)
					cancel()
				}
			})
		}
	}
	all.Wait()
	if made.Load() == 0 {
		t.Error("no transaction was made")
	}
	eventually(t, func() bool {
		_, now := get(t, s, "/metrics")
		return strings.Contains(now, "\nqkv_client_requests{protocol=\"etcd\"} 0\n")
	})
}

// TestBatchedDeadline: a request whose deadline passes is answered then, although the member still has it.
func TestBatchedDeadline(t *testing.T) {
	m := newMember()
	s := start(t, m, nil)
	c := pb.NewKVClient(dial(t, s))
	if _, err := c.Range(t.Context(), &pb.RangeRequest{Key: []byte("a")}); err != nil { // it is connected
		t.Fatal(err)
	}
	goes := make(chan struct{})
	m.SetBefore(func(int, int) *kv.Error {
		<-goes
		return nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := c.Put(ctx, &pb.PutRequest{Key: []byte("a")}); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("a put: %v", err)
	}
	eventually(t, func() bool { return s.Stats().MessageBytes == 0 }) // the server knows
	close(goes)
	const handled = `grpc_server_handled_total{grpc_code="%s",grpc_method="Put",grpc_service="etcdserverpb.KV",grpc_type="unary"} 1`
	eventually(t, func() bool {
		_, all := get(t, s, "/metrics")
		return strings.Contains(all, "\n"+fmt.Sprintf(handled, codes.DeadlineExceeded)+"\n") ||
			strings.Contains(all, "\n"+fmt.Sprintf(handled, codes.Canceled)+"\n") // the client's own clock was first
	})
	ctx, cancel = context.WithTimeout(t.Context(), wait)
	defer cancel()
	if found, err := c.Range(ctx, &pb.RangeRequest{Key: []byte("a")}); err != nil || found.Count != 1 {
		t.Errorf("afterwards: %v, %v", found, err)
	}
}
