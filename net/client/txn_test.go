package client_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/net/client"
)

func putOp(key, value string) kv.Op {
	return kv.Op{Put: &kv.Put{Key: []byte(key), Value: []byte(value)}}
}

func TestTxn(t *testing.T) {
	t.Parallel()
	c := newCluster(t, nil)
	guarded := kv.Txn{
		Compares: []kv.Compare{{Key: []byte("k"), Target: kv.CompareVersion, Number: 0}},
		Success:  []kv.Op{putOp("k", "1"), {Txn: &kv.Txn{Success: []kv.Op{putOp("l", "2")}}}},
		Failure:  []kv.Op{{Range: &kv.Range{Key: []byte("k")}}, {Delete: &kv.Delete{Key: []byte("l"), PrevKV: true}}},
	}
	first := must[kv.TxnResult](t)(c.Txn(t.Context(), guarded))
	if !first.Succeeded || first.Revision != 2 || first.Answers[0].Put.Revision != 2 || !first.Answers[1].Txn.Succeeded {
		t.Errorf("%+v", first)
	}
	second := must[kv.TxnResult](t)(c.Txn(t.Context(), guarded))
	if second.Succeeded || second.Revision != 3 || second.Answers[0].Range.KVs[0].ModRevision != 2 || string(second.Answers[1].Delete.Prev[0].Value) != "2" {
		t.Errorf("%+v", second)
	}
	for range 100 { // what they say is theirs, whatever the client does afterwards
		must[client.Written](t)(c.Put(t.Context(), []byte("m"), make([]byte, 100)))
	}
	if string(second.Answers[1].Delete.Prev[0].Value) != "2" || string(second.Answers[0].Range.KVs[0].Key) != "k" {
		t.Errorf("%+v", second)
	}
	if _, err := c.Txn(t.Context(), kv.Txn{Success: []kv.Op{putOp("k", ""), putOp("k", "")}}); codeOf(err) != kv.DuplicateKey {
		t.Errorf("a key twice: %v", err)
	}
}

func codeOf(err error) kv.Code {
	if e, ok := errors.AsType[*kv.Error](err); ok {
		return e.Code
	}
	return kv.OK
}

// A transaction that only reads is tried again where a write is not.
func TestTxnTriedAgain(t *testing.T) {
	t.Parallel()
	c := newCluster(t, nil)
	var left atomic.Int64
	c.member.SetBefore(func(int, int) *kv.Error {
		if left.Add(-1) >= 0 {
			return &kv.Error{Code: kv.Unknown, Message: "for a while"}
		}
		return nil
	})
	left.Store(2)
	if _, err := c.Txn(t.Context(), kv.Txn{Success: []kv.Op{{Range: &kv.Range{Key: []byte("k")}}}}); err != nil {
		t.Errorf("a read: %v", err)
	}
	left.Store(2)
	if _, err := c.Txn(t.Context(), kv.Txn{Success: []kv.Op{putOp("k", "")}}); !errors.Is(err, client.ErrOutcomeUnknown) {
		t.Errorf("a write: %v", err)
	}
}

func TestPrevious(t *testing.T) {
	t.Parallel()
	c := newCluster(t, nil)
	p := kv.Put{Key: []byte("k"), Value: []byte("1"), PrevKV: true}
	if w := must[client.Written](t)(c.PutWith(t.Context(), p)); w.Revision != 2 || w.Previous != nil {
		t.Errorf("%+v", w)
	}
	p.Value = []byte("2")
	if w := must[client.Written](t)(c.PutWith(t.Context(), p)); w.Revision != 3 || string(w.Previous[0].Value) != "1" {
		t.Errorf("%+v", w)
	}
	must[client.Written](t)(c.PutWith(t.Context(), kv.Put{Key: []byte("k"), IgnoreValue: true}))
	if w := must[client.Written](t)(c.DeleteWith(t.Context(), kv.Delete{Key: []byte("a"), End: client.From, PrevKV: true})); w.Deleted != 1 || string(w.Previous[0].Value) != "2" || w.Previous[0].Version != 3 {
		t.Errorf("%+v", w)
	}
	if _, err := c.PutWith(t.Context(), kv.Put{Key: []byte("k"), IgnoreLease: true}); codeOf(err) != kv.KeyNotFound {
		t.Errorf("no key: %v", err)
	}
}

// An answer that is too large says that the write was made.
func TestAnswerTooLarge(t *testing.T) {
	t.Parallel()
	c := newCluster(t, nil)
	for i := range 18 {
		must[client.Written](t)(c.Put(t.Context(), fmt.Append(nil, i), make([]byte, 1<<20)))
	}
	all := kv.Delete{Key: []byte("0"), End: client.From, PrevKV: true}
	_, err := c.DeleteWith(t.Context(), all)
	if codeOf(err) != kv.AnswerTooLarge || errors.Is(err, client.ErrOutcomeUnknown) || !strings.Contains(err.Error(), "the write did happen") {
		t.Errorf("%v", err)
	}
	if w := must[client.Written](t)(c.DeleteWith(t.Context(), all)); w.Deleted != 0 {
		t.Errorf("%+v", w)
	}
}

func TestCompact(t *testing.T) {
	t.Parallel()
	c := newCluster(t, nil)
	begun := time.Now()
	for range 5 {
		must[client.Written](t)(c.Put(t.Context(), []byte("k"), nil))
	}
	if err := c.Admin().Compact(t.Context(), 5); err != nil {
		t.Fatal(err)
	}
	if err := c.Admin().WaitDropped(t.Context(), 5); err != nil {
		t.Fatal(err)
	}
	if v := c.member.View(); v.Compacted() != 5 || !v.Dropped() {
		t.Errorf("compacted %d, dropped %v", v.Compacted(), v.Dropped())
	}
	if _, err := c.Range(t.Context(), kv.Range{Key: []byte("k"), Revision: 4}); codeOf(err) != kv.Compacted {
		t.Errorf("an older revision: %v", err)
	}
	if err := c.Admin().Compact(t.Context(), 5); codeOf(err) != kv.Compacted {
		t.Errorf("once more: %v", err)
	}
	if err := c.Admin().Compact(t.Context(), 99); codeOf(err) != kv.FutureRevision {
		t.Errorf("a revision that is not there: %v", err)
	}
	if n := must[int64](t)(c.RevisionAt(t.Context(), time.Now().Add(time.Minute), client.ReadOptions{})); n != 6 {
		t.Errorf("revision %d", n)
	}
	if _, err := c.RevisionAt(t.Context(), begun.Add(-time.Hour), client.ReadOptions{Serializable: true}); codeOf(err) != kv.Compacted {
		t.Errorf("an older time: %v", err)
	}
}

// Pairs that bounds of revisions leave out are no reason to end a range early.
func TestRangeFiltered(t *testing.T) {
	t.Parallel()
	c := newCluster(t, nil)
	for i := range 2000 {
		c.PutAsync(fmt.Appendf(nil, "%04d", i), nil, func(client.Written, error) {})
	}
	await(t, "2000 puts", func() bool { return c.member.View().Revision() == 2001 })
	q := kv.Range{Key: []byte("0"), End: client.From, MinMod: 1900}
	if found := must[kv.RangeResult](t)(c.Range(t.Context(), q)); len(found.KVs) != 102 || found.Count != 2000 || found.More {
		t.Errorf("%d of %d, more %v", len(found.KVs), found.Count, found.More)
	}
	q.Limit, q.MinMod, q.MaxMod = 10, 0, 1000
	if found := must[kv.RangeResult](t)(c.Range(t.Context(), q)); len(found.KVs) != 10 || !found.More {
		t.Errorf("%d, more %v", len(found.KVs), found.More)
	}
	q.Limit, q.Sort, q.Order = 3, kv.SortByMod, kv.SortDescend
	if found := must[kv.RangeResult](t)(c.Range(t.Context(), q)); len(found.KVs) != 3 || found.KVs[0].ModRevision != 1000 || found.Count != 2000 || !found.More {
		t.Errorf("%+v", found)
	}
}
