package server_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/testlong"
	"qkv/net/wire"
)

func putWith(id uint64, p kv.Put) []byte {
	return wire.AppendRequest(nil, id, wire.OpPut, wait, kv.AppendPut(nil, &p))
}

func deleteWith(id uint64, d kv.Delete, timeout time.Duration) []byte {
	return wire.AppendRequest(nil, id, wire.OpDelete, timeout, kv.AppendDelete(nil, &d))
}

func txn(id uint64, t kv.Txn) []byte {
	return wire.AppendRequest(nil, id, wire.OpTxn, wait, kv.AppendTxn(nil, &t))
}

func compact(id uint64, revision int64) []byte {
	return wire.AppendRequest(nil, id, wire.OpCompact, wait, ask(wire.Ask{Revision: revision}))
}

func readOp(key string, end ...byte) kv.Op {
	return kv.Op{Range: &kv.Range{Key: []byte(key), End: end}}
}

// previous returns the previous values that an answer has.
func (r *raw) previous(id uint64) (values []string) {
	r.t.Helper()
	p := r.want(id, kv.OK)
	_, _, pairs, err := p.Written()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, pair := range pairs {
		values = append(values, string(pair.Value))
	}
	return values
}

func (r *raw) txn(id uint64) *kv.TxnResult {
	r.t.Helper()
	p := r.want(id, kv.OK)
	result, err := p.Txn()
	if err != nil {
		r.t.Fatal(err)
	}
	return result
}

// What a write is answered with is read from the first View that holds it: a compaction right behind it, in the same
// entry, takes nothing away.
func TestBodyOutlivesCompaction(t *testing.T) {
	e := newEndpoint(t, nil)
	r := e.raw(t)
	r.send(slices.Concat(put(1, "k", "1"), put(2, "l", "1")))
	r.want(1, kv.OK)
	r.want(2, kv.OK)
	before := e.member.Proposals.Load()
	both := kv.Txn{Success: []kv.Op{readOp("k", 0), {Delete: &kv.Delete{Key: []byte("k"), End: []byte{0}, PrevKV: true}}, readOp("k", 0)}}
	r.send(slices.Concat(
		putWith(3, kv.Put{Key: []byte("k"), Value: []byte("2"), PrevKV: true}), // revision 4
		deleteWith(4, kv.Delete{Key: []byte("l"), PrevKV: true}, wait),         // 5
		compact(5, 5), putWith(6, kv.Put{Key: []byte("k"), Value: []byte("3"), PrevKV: true}), // 6
		compact(7, 6), txn(8, both), compact(9, 7),
	))
	if got := r.previous(3); !slices.Equal(got, []string{"1"}) {
		t.Errorf("the put of 2 was over %q", got)
	}
	if got := r.previous(4); !slices.Equal(got, []string{"1"}) {
		t.Errorf("deleted %q", got)
	}
	r.want(5, kv.OK)
	if got := r.previous(6); !slices.Equal(got, []string{"2"}) {
		t.Errorf("the put of 3 was over %q", got)
	}
	r.want(7, kv.OK)
	r.want(9, kv.OK) // what may look at many keys comes behind what is short
	result := r.txn(8)
	if a := result.Answers; len(a) != 3 || len(a[0].Range.KVs) != 1 || string(a[0].Range.KVs[0].Value) != "3" || string(a[1].Delete.Prev[0].Value) != "3" || a[2].Range.Count != 0 {
		t.Errorf("the transaction: %+v", result)
	}
	if n := e.member.Proposals.Load() - before; n != 1 {
		t.Errorf("%d proposals: what came together is one", n)
	}
	for begun := time.Now(); e.member.View().Compacted() != 7 || !e.member.View().Dropped(); time.Sleep(time.Millisecond) {
		if time.Since(begun) > wait {
			t.Fatalf("revision %d is compacted, and not dropped: nothing was tested", e.member.View().Compacted())
		}
	}
	e.idle(t)
}

// A transaction that only reads goes the way of reads.
func TestTxnReadOnly(t *testing.T) {
	e := newEndpoint(t, nil)
	r := e.raw(t)
	r.send(put(1, "k", "1"))
	r.want(1, kv.OK)
	proposals, confirmed := e.member.Proposals.Load(), e.member.ReadIndexes.Load()
	is := kv.Compare{Key: []byte("k"), Target: kv.CompareValue, Value: []byte("1")}
	r.send(txn(2, kv.Txn{Compares: []kv.Compare{is}, Success: []kv.Op{readOp("k")}}))
	if got := r.txn(2); !got.Succeeded || got.Revision != 2 || string(got.Answers[0].Range.KVs[0].Value) != "1" {
		t.Errorf("%+v", got)
	}
	r.send(txn(3, kv.Txn{Compares: []kv.Compare{is}, Failure: []kv.Op{readOp("k", 0)}}))
	if got := r.txn(3); !got.Succeeded || len(got.Answers) != 0 {
		t.Errorf("%+v", got)
	}
	future := readOp("k")
	future.Range.Revision = 3
	r.send(txn(4, kv.Txn{Success: []kv.Op{future}}))
	r.want(4, kv.FutureRevision)
	if n := e.member.ReadIndexes.Load() - confirmed; n != 3 {
		t.Errorf("%d confirmations of three reads", n)
	}
	local := readOp("k")
	local.Range.Serializable = true
	r.send(txn(5, kv.Txn{Success: []kv.Op{local}}))
	r.txn(5)
	if n := e.member.ReadIndexes.Load() - confirmed; n != 3 {
		t.Error("a serializable transaction was confirmed")
	}
	if n := e.member.Proposals.Load() - proposals; n != 0 {
		t.Errorf("%d proposals of transactions that only read", n)
	}
}

// What no member makes is refused before the log.
func TestTxnRefused(t *testing.T) {
	e := newEndpoint(t, nil)
	r := e.raw(t)
	one := kv.Op{Put: &kv.Put{Key: []byte("k")}}
	for id, x := range []struct {
		t    kv.Txn
		want kv.Code
	}{
		{kv.Txn{Success: slices.Repeat([]kv.Op{one}, limits.TxnOperations+1)}, kv.TooManyOperations},
		{kv.Txn{Failure: []kv.Op{one, one}}, kv.DuplicateKey},
		{kv.Txn{Compares: []kv.Compare{{Key: []byte("k"), Target: 77}}}, kv.BadRequest},
		{kv.Txn{Success: []kv.Op{{Put: &kv.Put{}}}}, kv.EmptyKey},
		{kv.Txn{Success: []kv.Op{one, {}}}, kv.BadRequest},
	} {
		r.send(txn(uint64(id), x.t))
		r.want(uint64(id), x.want)
	}
	if n := e.member.Proposals.Load(); n != 0 {
		t.Errorf("%d proposals", n)
	}
	r.send(compact(9, 5))
	r.want(9, kv.FutureRevision)
	e.idle(t)
}

// A body of many keys is read in turns, behind what is short; one that is too large is no reason to say that the write did
// not happen, nor is one for which there is no time.
func TestLongBodies(t *testing.T) {
	testlong.Skip(t)
	e, old := crowd(t)
	r := e.raw(t)
	half := fmt.Appendf(nil, "%06d", manyKeys/2)
	r.send(slices.Concat(deleteWith(1, kv.Delete{Key: []byte("0"), End: half, PrevKV: true}, wait), put(2, "z", "")))
	r.want(2, kv.OK)
	p := r.want(1, kv.OK)
	if _, deleted, pairs, err := p.Written(); err != nil || deleted != manyKeys/2 || len(pairs) != manyKeys/2 || string(pairs[7].Key) != "000007" {
		t.Errorf("deleted %d, with %d, %v", deleted, len(pairs), err)
	}
	newest := kv.Range{Key: []byte("0"), End: []byte("1"), Sort: kv.SortByMod, Order: kv.SortDescend, Revision: old, Limit: 3}
	r.send(getWith(3, newest))
	p = r.want(3, kv.OK)
	var page kv.RangeResult
	if err := p.Range(&page); err != nil || page.Count != manyKeys || !page.More || len(page.KVs) != 3 || page.KVs[0].ModRevision < page.KVs[2].ModRevision || string(page.KVs[0].Key) != fmt.Sprintf("%06d", manyKeys-1) {
		t.Errorf("sorted: %+v, %v", page, err)
	}
	newest.Limit, newest.End = 0, []byte{0}
	r.send(slices.Concat(getWith(4, newest), txn(5, kv.Txn{Success: []kv.Op{readOp("0", 0)}})))
	for range 2 { // 25,000 keys fit, twice as many do too
		if p, err := r.next(); err != nil || p.Code != kv.OK {
			t.Errorf("%d: %v, %v", p.ID, p.Code, err)
		}
	}
	large := strings.Repeat("v", 1<<20)
	for i := range uint64(18) {
		r.send(put(10+i, fmt.Sprint("large/", i), large))
		r.want(10+i, kv.OK)
	}
	r.send(deleteWith(30, kv.Delete{Key: []byte("large/"), End: []byte("large0"), PrevKV: true}, wait))
	p = r.want(30, kv.AnswerTooLarge)
	if err := p.Failed(); err.Certain() || err.Retryable() || !strings.Contains(err.Message, "the write did happen") {
		t.Errorf("%+v", err)
	}
	if n := e.member.View().Keys(); n != manyKeys/2+2 {
		t.Errorf("%d keys are left", n)
	}
	r.send(deleteWith(21, kv.Delete{Key: []byte{0}, End: []byte{0}, PrevKV: true}, time.Millisecond))
	p, err := r.next()
	if failed := p.Failed(); err != nil || failed != nil && failed.Certain() {
		t.Errorf("a delete without time: %v, %v", failed, err)
	}
	e.idle(t)
}

// The revision of a time is found, and one that is compacted is not.
func TestRevisionAt(t *testing.T) {
	e := newEndpoint(t, nil)
	r := e.raw(t)
	r.send(slices.Concat(put(1, "k", "1"), put(2, "k", "2")))
	r.want(1, kv.OK)
	r.want(2, kv.OK)
	at := func(id uint64, wall int64) []byte {
		return wire.AppendRequest(nil, id, wire.OpRevisionAt, wait, ask(wire.Ask{Wall: wall, Serializable: id%2 == 0}))
	}
	want := func(id uint64, revision int64) {
		t.Helper()
		p := r.want(id, kv.OK)
		if got, err := wire.ReadAnswer[wire.List[int64]](&p); err != nil || !slices.Equal(got.All, []int64{revision}) {
			t.Errorf("revision %d, wanted %d: %v", got.All, revision, err)
		}
	}
	r.send(at(3, time.Now().Add(time.Hour).UnixNano()))
	want(3, 3)
	r.send(at(4, 1))
	want(4, 1)
	r.send(compact(5, 3))
	r.want(5, kv.OK)
	r.send(at(6, 1))
	r.want(6, kv.Compacted)

	times := func(id uint64, revisions ...int64) []byte {
		return wire.AppendRequest(nil, id, wire.OpTimesOf, wait, ask(wire.Ask{Revisions: revisions, Serializable: id%2 == 0}))
	}
	r.send(times(7, 3, 2, 4, -1))
	p := r.want(7, kv.OK)
	answer, err := wire.ReadAnswer[wire.List[int64]](&p)
	walls := answer.All
	if now := time.Now().UnixNano(); err != nil || len(walls) != 4 || walls[0] > now || walls[0] < now-int64(time.Hour) || walls[1]|walls[2]|walls[3] != 0 {
		t.Errorf("times %v: %v", walls, err)
	}
	r.send(times(8, make([]int64, limits.TimesAsked)...))
	r.want(8, kv.OK)
	r.send(times(9, make([]int64, limits.TimesAsked+1)...))
	r.want(9, kv.BadRequest)

	begun := time.Now().UnixNano()
	e.member.Pass(10 * limits.ClocksApart) // a clock is ahead
	r.send(put(10, "k", "3"))
	r.want(10, kv.OK)
	r.send(at(11, begun))
	p = r.want(11, kv.BadRequest)
	if failed := p.Failed(); !strings.Contains(failed.Message, "--rev") {
		t.Errorf("a time that tells nothing: %v", failed)
	}
}

// Sorts and bounds of revisions hold for single keys and for pages.
func TestRangeOptions(t *testing.T) {
	e := newEndpoint(t, nil)
	r := e.raw(t)
	for i, key := range []string{"c", "a", "b", "a"} {
		r.send(put(uint64(i), key, fmt.Sprint(9-i)))
		r.want(uint64(i), kv.OK)
	}
	for i, x := range []struct {
		q    kv.Range
		want string
		more bool
	}{
		{kv.Range{}, "a b c", false},
		{kv.Range{Order: kv.SortDescend}, "c b a", false},
		{kv.Range{Order: kv.SortAscend, Sort: kv.SortByMod}, "c b a", false},
		{kv.Range{Order: kv.SortDescend, Sort: kv.SortByVersion, Limit: 1}, "a", true},
		{kv.Range{Order: kv.SortAscend, Sort: kv.SortByValue, KeysOnly: true}, "a b c", false},
		{kv.Range{MinMod: 4, Limit: 2}, "a b", false},
		{kv.Range{MinMod: 4, Limit: 1}, "a", true},
		{kv.Range{MaxCreate: 2}, "c", false},
		{kv.Range{MinCreate: 3, MaxMod: 4}, "b", false},
	} {
		q := x.q
		q.Key, q.End = []byte("a"), []byte{0}
		r.send(getWith(uint64(i), q))
		p := r.want(uint64(i), kv.OK)
		var page kv.RangeResult
		if err := p.Range(&page); err != nil {
			t.Fatal(err)
		}
		var keys []string
		for _, pair := range page.KVs {
			keys = append(keys, string(pair.Key))
			if len(pair.Value) == 0 != q.KeysOnly {
				t.Errorf("%+v: the value of %s is %q", x.q, pair.Key, pair.Value)
			}
		}
		if got := strings.Join(keys, " "); got != x.want || page.More != x.more || page.Count != 3 {
			t.Errorf("%+v: %s, more %v, count %d", x.q, got, page.More, page.Count)
		}
	}
	r.send(getWith(20, kv.Range{Key: []byte("a"), MinCreate: 4}))
	p := r.want(20, kv.OK)
	var page kv.RangeResult
	if err := p.Range(&page); err != nil || len(page.KVs) != 0 || page.Count != 1 {
		t.Errorf("%+v, %v", page, err)
	}
	r.send(getWith(21, kv.Range{Key: []byte("a"), Sort: 9}))
	r.want(21, kv.InvalidSort)
}

// TestTxnIsForgotten has each stream of a connection carry the largest transaction that there may be, and nothing after it: what it
// was decoded to, some 1.5 MB, is not kept until the next request.
func TestTxnIsForgotten(t *testing.T) {
	testlong.Skip(t)
	e := newEndpoint(t, nil)
	conn, err := e.dial(t)
	if err != nil {
		t.Fatal(err)
	}
	in := &kv.Txn{Success: slices.Repeat([]kv.Op{readOp("k")}, 62), Failure: slices.Repeat([]kv.Op{readOp("k")}, 62)}
	largest := txn(1, kv.Txn{Success: slices.Repeat([]kv.Op{{Txn: in}}, limits.TxnOperations/2)})
	held := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	const streams = 32
	before := held()
	for range streams {
		r := rawOf(t, conn)
		r.send(largest)
		r.want(1, kv.OK)
	}
	if each := (held() - before) / streams; each > 512<<10 {
		t.Errorf("each of %d streams keeps %d KiB of the transaction that it has carried", streams, each>>10)
	}
}
