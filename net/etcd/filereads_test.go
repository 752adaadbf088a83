package etcd_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"qkv/index"
	"qkv/net/server/servertest"
)

// heldFiles are files whose reads of held keys wait for letGo.
type heldFiles struct {
	pastFiles
	held    string // changed while there are no reads
	free    chan struct{}
	reading chan string
}

func (f *heldFiles) Value(key []byte, at index.Position, sound func([]byte) bool) ([]byte, error) {
	if string(key) == f.held {
		free := f.free
		f.reading <- f.held
		<-free
	}
	return f.pastFiles.Value(key, at, sound)
}

// newHeldFiles evicts all values of a member from memory, but for the newest ones.
func newHeldFiles(m *member) *heldFiles {
	f := &heldFiles{free: make(chan struct{}), reading: make(chan string, 100)}
	f.to, f.values, f.read = m.View().Revision(), map[string][]byte{}, func() {}
	m.View().Records(func(key []byte, one *index.Version) bool {
		f.values[fmt.Sprint(string(key), index.Position{Revision: one.Mod, Sub: one.Sub})] = bytes.Clone(one.Value)
		return true
	})
	m.Evict(f)
	return f
}

// TestFileReadsDelayNoOthers: while a value is not read, other requests of the same connection are answered, whatever needs the value.
func TestFileReadsDelayNoOthers(t *testing.T) {
	m := newMember(servertest.NewCold())
	s := start(t, m, nil)
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	store := pb.NewKVClient(dial(t, s))
	put := func(key, value string) {
		t.Helper()
		if _, err := store.Put(ctx, &pb.PutRequest{Key: []byte(key), Value: []byte(value)}); err != nil {
			t.Fatal(err)
		}
	}
	valueOf := func(key string) string { return key + string(bytes.Repeat([]byte("v"), 200)) }
	for n := range 200 {
		key := fmt.Sprintf("%03d", n)
		put(key, valueOf(key))
	}
	put("large", string(bytes.Repeat([]byte("l"), 100<<10)))
	files := newHeldFiles(m)
	put("hot", "h")
	get := func(q *pb.RangeRequest) (string, error) {
		r, err := store.Range(ctx, q)
		if err != nil || len(r.Kvs) != 1 {
			return "", fmt.Errorf("%d pairs, %w", len(r.GetKvs()), err)
		}
		return string(r.Kvs[0].Value), nil
	}
	goesOn := func(what string) {
		t.Helper()
		for _, serializable := range []bool{false, true} {
			for key, want := range map[string]string{"hot": "h", "100": valueOf("100")} {
				if got, err := get(&pb.RangeRequest{Key: []byte(key), Serializable: serializable}); err != nil || got != want {
					t.Errorf("%s: %s is %q, %v", what, key, got, err)
				}
			}
		}
		put("hot", "h")
		q := &pb.TxnRequest{Failure: []*pb.RequestOp{putOp("other")}, Success: []*pb.RequestOp{putOp("hot"), getOp("hot")}}
		if _, err := store.Txn(ctx, q); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		put("hot", "h")
	}
	modified := func(key string) []*pb.Compare {
		return []*pb.Compare{{Key: []byte(key), Target: pb.Compare_MOD, TargetUnion: &pb.Compare_ModRevision{ModRevision: 1}}}
	}
	large := m.View().Revision()
	for n, one := range []struct {
		what string
		key  string
		ask  func(key string) (string, error)
	}{
		{what: "a get", ask: func(key string) (string, error) { return get(&pb.RangeRequest{Key: []byte(key)}) }},
		{what: "a serializable get", ask: func(key string) (string, error) {
			return get(&pb.RangeRequest{Key: []byte(key), Serializable: true})
		}},
		{what: "a get of an older revision", ask: func(key string) (string, error) {
			return get(&pb.RangeRequest{Key: []byte(key), Revision: large})
		}},
		{what: "a get of a large value", key: "large", ask: func(key string) (string, error) { return get(&pb.RangeRequest{Key: []byte(key)}) }},
		{what: "a put's previous value", ask: func(key string) (string, error) {
			r, err := store.Put(ctx, &pb.PutRequest{Key: []byte(key), PrevKv: true})
			return string(r.GetPrevKv().GetValue()), err
		}},
		{what: "a delete's previous value", ask: func(key string) (string, error) {
			r, err := store.DeleteRange(ctx, &pb.DeleteRangeRequest{Key: []byte(key), PrevKv: true})
			if err != nil {
				return "", err
			}
			return string(r.PrevKvs[0].Value), nil
		}},
		{what: "a failed transaction", ask: func(key string) (string, error) {
			r, err := store.Txn(ctx, &pb.TxnRequest{Compare: modified(key), Success: []*pb.RequestOp{putOp(key)}, Failure: []*pb.RequestOp{getOp(key)}})
			if err != nil || r.Succeeded {
				return "", fmt.Errorf("succeeded %v, %w", r.GetSucceeded(), err)
			}
			return string(r.Responses[0].GetResponseRange().Kvs[0].Value), nil
		}},
		{what: "a transaction that reads before it puts", ask: func(key string) (string, error) {
			r, err := store.Txn(ctx, &pb.TxnRequest{Success: []*pb.RequestOp{getOp(key), putOp(key)}})
			if err != nil {
				return "", err
			}
			return string(r.Responses[0].GetResponseRange().Kvs[0].Value), nil
		}},
	} {
		key, want := one.key, ""
		if key == "" {
			key = fmt.Sprintf("%03d", n)
			want = valueOf(key)
		} else {
			want = string(bytes.Repeat([]byte("l"), 100<<10))
		}
		if _, unread, _, err := m.View().Peek([]byte(key), 0); unread == nil || err != nil {
			t.Fatalf("%s: its value is in memory, %v", one.what, err)
		}
		files.held, files.free = key, make(chan struct{})
		type answer struct {
			value string
			err   error
		}
		answered := make(chan answer, 1)
		go func() {
			value, err := one.ask(key)
			answered <- answer{value, err}
		}()
		select {
		case <-files.reading:
		case <-ctx.Done():
			t.Fatalf("%s: the value is not read", one.what)
		}
		goesOn(one.what)
		select {
		case got := <-answered:
			t.Errorf("%s: answered %q, %v without the value", one.what, got.value, got.err)
		default:
		}
		close(files.free)
		if got := <-answered; got.err != nil || got.value != want {
			t.Errorf("%s: %q, %v", one.what, got.value, got.err)
		}
		select {
		case <-files.reading:
			t.Errorf("%s: the value is read twice", one.what)
		default:
		}
	}
}

func putOp(key string) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte(key), Value: []byte("h")}}}
}

func getOp(key string) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: []byte(key)}}}
}

// TestFileReadsFail: a value that cannot be read is an error, and of a write one that says that it was done.
func TestFileReadsFail(t *testing.T) {
	m := newMember(servertest.NewCold())
	s := start(t, m, nil)
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	store := pb.NewKVClient(dial(t, s))
	for n := range 200 {
		if _, err := store.Put(ctx, &pb.PutRequest{Key: fmt.Appendf(nil, "%03d", n), Value: bytes.Repeat([]byte("v"), 200)}); err != nil {
			t.Fatal(err)
		}
	}
	files := newHeldFiles(m)
	files.values = nil
	_, got := store.Range(ctx, &pb.RangeRequest{Key: []byte("000")})
	_, put := store.Put(ctx, &pb.PutRequest{Key: []byte("001"), PrevKv: true})
	_, txn := store.Txn(ctx, &pb.TxnRequest{Success: []*pb.RequestOp{getOp("002"), putOp("002")}})
	for what, one := range map[string]struct {
		err  error
		says string
	}{"a get": {got, "Unavailable"}, "a put": {put, "it was done at revision"}, "a transaction": {txn, "it was done at revision"}} {
		if one.err == nil || !bytes.Contains([]byte(one.err.Error()), []byte(one.says)) {
			t.Errorf("%s: %v", what, one.err)
		}
	}
}
