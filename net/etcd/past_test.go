package etcd_test

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"qkv/index"
	"qkv/net/etcd"
)

// pastFiles have the values of a View.
type pastFiles struct {
	to     int64
	values map[string][]byte
	reads  atomic.Int64
	read   func() // called for each value
}

func (f *pastFiles) To() int64 { return f.to }

func (f *pastFiles) Value(key []byte, at index.Position, sound func([]byte) bool) ([]byte, error) {
	f.reads.Add(1)
	f.read()
	value := bytes.Clone(f.values[fmt.Sprint(string(key), at)])
	if !sound(value) {
		return nil, index.ErrElsewhere
	}
	return value, nil
}

func (f *pastFiles) ReadTogether(all []*index.Unread) {
	for _, one := range all {
		if value, err := f.Value(one.Key(), one.Position(), func([]byte) bool { return true }); err == nil {
			one.Offer(value)
		}
	}
}

// TestPastIsReadOnce reads an old revision, whose values are in files. Each value is read once, whatever the form of the request. What is
// held as a whole has its memory reserved before the first value is read.
func TestPastIsReadOnce(t *testing.T) {
	const keys, few, size = 1500, 100, 4 << 10
	m := newMember()
	s := start(t, m, func(c *etcd.Config) { c.MaxRequestBytes = 16 << 20 })
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	store := pb.NewKVClient(dial(t, s))
	put := func(value []byte) (revision int64) {
		t.Helper()
		for from := 0; from < keys; from += few {
			q := &pb.TxnRequest{}
			for n := range few {
				one := &pb.PutRequest{Key: fmt.Appendf(nil, "k%04d", from+n), Value: value}
				q.Success = append(q.Success, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: one}})
			}
			r, err := store.Txn(ctx, q)
			if err != nil {
				t.Fatal(err)
			}
			revision = r.Header.Revision
		}
		return revision
	}
	old := put(bytes.Repeat([]byte("v"), size))
	put([]byte("live"))
	files := &pastFiles{to: m.View().Revision(), values: map[string][]byte{}, read: func() {}}
	m.View().Records(func(key []byte, one *index.Version) bool {
		files.values[fmt.Sprint(string(key), index.Position{Revision: one.Mod, Sub: one.Sub})] = bytes.Clone(one.Value)
		return true
	})
	m.Evict(files)
	if cold, _ := m.View().Cold(); cold != keys {
		t.Fatalf("%d values are in files alone", cold)
	}
	all := func() *pb.RangeRequest {
		return &pb.RangeRequest{Key: []byte("k"), RangeEnd: []byte("l"), Revision: old}
	}
	limited, small, smallLimited, sorted, filtered, live := all(), all(), all(), all(), all(), all()
	limited.Limit = keys - 1
	small.RangeEnd = []byte("k0100")
	smallLimited.Limit = few
	sorted.SortTarget, sorted.SortOrder = pb.RangeRequest_MOD, pb.RangeRequest_DESCEND
	filtered.MinModRevision = 1
	live.Revision = 0
	inTxn := func(q *pb.RangeRequest) func() ([]int, error) {
		return func() ([]int, error) {
			r, err := store.Txn(ctx, &pb.TxnRequest{Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestRange{RequestRange: q}}}})
			if err != nil {
				return nil, err
			}
			return sizes(r.Responses[0].GetResponseRange()), nil
		}
	}
	plain := func(q *pb.RangeRequest) func() ([]int, error) {
		return func() ([]int, error) {
			r, err := store.Range(ctx, q)
			return sizes(r), err
		}
	}
	for name, c := range map[string]struct {
		ask      func() ([]int, error)
		values   int
		size     int
		reserves bool
	}{
		"all":                      {plain(all()), keys, size, false},
		"limited":                  {plain(limited), keys - 1, size, false},
		"few":                      {plain(small), few, size, false},
		"few of more":              {plain(smallLimited), few, size, false},
		"sorted":                   {plain(sorted), keys, size, false}, // page by page
		"filtered":                 {plain(filtered), keys, size, true},
		"in a transaction":         {inTxn(all()), keys, size, true},
		"limited in a transaction": {inTxn(limited), keys - 1, size, true},
		"sorted in a transaction":  {inTxn(sorted), keys, size, true},
		"few in a transaction":     {inTxn(small), few, size, false},
		"live":                     {plain(live), keys, len("live"), false},
		"live in a transaction":    {inTxn(live), keys, len("live"), false},
	} {
		files.reads.Store(0)
		var unreserved atomic.Int64
		files.read = func() {
			if c.reserves && s.Stats().BuiltBytes < int64(2*c.values*c.size) {
				unreserved.Add(1)
			}
		}
		got, err := c.ask()
		if err != nil {
			t.Fatal(name, err)
		}
		want := int64(c.values)
		if c.size != size {
			want = 0
		}
		if len(got) != c.values || got[0] != c.size || files.reads.Load() != want || unreserved.Load() > 0 {
			t.Errorf("%s: %d values of %d bytes, %d reads, %d without a reservation; want %d values of %d bytes, %d reads",
				name, len(got), got[0], files.reads.Load(), unreserved.Load(), c.values, c.size, want)
		}
		eventually(t, func() bool { return s.Stats().BuiltBytes == 0 })
	}
	files.read = func() {}
	// An answer that nobody takes is not read: it is only measured, with a limit as without one.
	for name, q := range map[string]*pb.RangeRequest{"all": all(), "limited": limited} {
		files.reads.Store(0)
		h := attack(t, s)
		id, err := h.begin("/etcdserverpb.KV/Range")
		if err == nil {
			err = h.frames.WriteData(id, true, message(q))
		}
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, func() bool { return files.reads.Load() > 0 })
		time.Sleep(50 * time.Millisecond)
		if n := files.reads.Load(); n > keys/3 {
			t.Errorf("%s: %d values of %d are read for a client that reads nothing", name, n, keys)
		}
		_ = h.Close()
		eventually(t, func() bool { return s.Stats().Connections == 1 })
	}
}

// sizes returns the sizes of an answer's values; a value of zeros, which was only measured, has none.
func sizes(r *pb.RangeResponse) (all []int) {
	for _, pair := range r.GetKvs() {
		all = append(all, len(bytes.Trim(pair.Value, "\x00")))
	}
	return all
}
