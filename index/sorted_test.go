package index

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/testlong"
)

// Changes are sorted by revision, and those of one by their number in it, however large both are.
func TestChangesAreSorted(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, many := range []int{0, 1, 2, 5_000} {
		for _, most := range []int64{1, 100, 5_000, 1 << 32} {
			from := random.Int64N(1 << 40)
			all := make([]subChange, many)
			for i := range all {
				all[i] = subChange{from + random.Int64N(most), random.Int64N(most), ref(i)}
			}
			want := slices.Clone(all)
			slices.SortStableFunc(want, func(a, b subChange) int { return cmp.Or(cmp.Compare(a.mod, b.mod), cmp.Compare(a.sub, b.sub)) })
			if got := sortChanges(all, from); !slices.Equal(got, want) {
				t.Errorf("%d changes of numbers below %d are not sorted", many, most)
			}
		}
	}
}

// TestSortedReader reads ranges in all orders, in steps and pages of any length, while the owner goes on, and holds them against a
// sort of the whole.
func TestSortedReader(t *testing.T) {
	testlong.Skip(t)
	s := NewState(limits.Defaults().Index)
	random := rand.New(rand.NewPCG(7, 8))
	write := func(n int) {
		for range n {
			key := fmt.Sprintf("%04d", random.IntN(6000))
			switch random.IntN(12) {
			case 0:
				batch(t, s, 1, del(key, ""))
			default: // values that are equal, have equal beginnings, or end within the first 8 bytes
				batch(t, s, 1, put(key, fmt.Sprint("value-"[:random.IntN(7)], random.IntN(30))))
			}
		}
	}
	write(15_000)
	for round := range 120 {
		write(20)
		v := s.View()
		q := kv.Range{
			Key: []byte("0500"), End: []byte("5500"), Sort: kv.SortTarget(random.IntN(5)), Order: kv.SortAscend + kv.SortOrder(random.IntN(2)),
			KeysOnly: random.IntN(4) == 0, CountOnly: random.IntN(20) == 0,
		}
		if !q.Sorted() {
			q.Order = kv.SortDescend
		}
		if random.IntN(20) == 0 {
			q.Key, q.End = fmt.Appendf(nil, "%04d", random.IntN(6000)), nil // a single key is its own order
		}
		if random.IntN(2) == 0 {
			q.Limit = int64(1 + random.IntN([]int{3, 600, 7000}[random.IntN(3)]))
		}
		if random.IntN(3) == 0 {
			q.Revision = max(v.Revision()-random.Int64N(100), v.Compacted())
		}
		if random.IntN(3) == 0 {
			q.MinMod = v.Revision() / 2
		}
		want := sortedWhole(t, v, q)
		size, rows, reads := int64(random.IntN(5000)), 1+random.IntN(3000), NewSortedReader(q, 0)
		if round%2 == 0 {
			reads = NewSortedReader(q, size)
		}
		var got kv.RangeResult
		for steps := 0; ; steps++ {
			page, done, last, err := reads.Step(s.View(), rows)
			if err != nil {
				t.Fatal(err)
			}
			if done {
				got.Count, got.More = page.Count, page.More
				got.KVs = append(got.KVs, page.KVs...)
				bytes := 0
				for _, pair := range page.KVs {
					bytes += len(pair.Key) + len(pair.Value)
				}
				if len(page.KVs) > 1 && round%2 == 0 && size > 0 && bytes > int(size) {
					t.Fatalf("a page of %d bytes, at most %d", bytes, size)
				}
			}
			if last {
				break
			}
			if steps%50 == 0 {
				batch(t, s, 1, new(Head).AppendCompact(nil, s.View().Revision()).Bytes)
				write(3)
				reclaimed(s)
			}
		}
		same := func(a, b kv.KeyValue) bool {
			if q.KeysOnly && a.Value == nil {
				a.Value, b.Value = []byte{}, nil
			}
			return sameKeyValue(a, b)
		}
		if got.Count != want.Count || got.More != want.More || !slices.EqualFunc(got.KVs, want.KVs, same) {
			t.Fatalf("%+v: %d of %d, more %v; want %d of %d, more %v", q, len(got.KVs), got.Count, got.More, len(want.KVs), want.Count, want.More)
		}
		reads.Release()
		if _, _, last, err := reads.Step(v, 1); !last || err != errLetGo {
			t.Errorf("released: %v %v", last, err)
		}
	}
}

func sortedWhole(t *testing.T, v *View, q kv.Range) (all kv.RangeResult) {
	t.Helper()
	plain := kv.Range{Key: q.Key, End: q.End, Revision: q.Revision, MinMod: q.MinMod}
	all, err := v.Range(plain, 0)
	if err != nil {
		t.Fatal(err)
	}
	if all.More = false; q.CountOnly {
		all.KVs = nil
		return all
	}
	slices.SortStableFunc(all.KVs, func(a, b kv.KeyValue) int {
		c := map[kv.SortTarget]int{
			kv.SortByKey: bytes.Compare(a.Key, b.Key), kv.SortByVersion: cmp.Compare(a.Version, b.Version), kv.SortByCreate: cmp.Compare(a.CreateRevision, b.CreateRevision),
			kv.SortByMod: cmp.Compare(a.ModRevision, b.ModRevision), kv.SortByValue: bytes.Compare(a.Value, b.Value),
		}[q.Sort]
		if q.Order == kv.SortDescend {
			return -c
		}
		return c
	})
	if q.Limit > 0 && int64(len(all.KVs)) > q.Limit {
		all.KVs, all.More = all.KVs[:q.Limit], true
	}
	for i := range all.KVs {
		pair := &all.KVs[i]
		pair.Key, pair.Value = bytes.Clone(pair.Key), append([]byte{}, pair.Value...)
		if q.KeysOnly {
			pair.Value = nil
		}
	}
	return all
}

// A sorted range of a transaction reads the data at its position among the changes, like other ranges, and no later
// changes.
func TestSortedRangeOfATransaction(t *testing.T) {
	s := NewState(limits.Defaults().Index)
	set := func(value string) kv.Op { return kv.Op{Put: &kv.Put{Key: []byte("k"), Value: []byte(value)}} }
	read := kv.Op{Range: &kv.Range{Key: []byte("k"), End: []byte("l"), Sort: kv.SortByValue, Order: kv.SortDescend}}
	txn := &kv.Txn{Success: []kv.Op{read, set("b"), read, set("a"), {Put: &kv.Put{Key: []byte("k2"), Value: []byte("c")}}, read}}
	batch(t, s, 1, put("k", "before"))
	result := batch(t, s, 1, new(Head).AppendTxn(nil, txn).Bytes, put("k", "behind"))[0]
	reader, v := NewAnswerReader(txn, &result, 1<<20), s.View()
	answer, done, err := reader.Step(v, 10)
	for steps := 0; err == nil && !done && steps < 100; steps++ {
		answer, done, err = reader.Step(v, 10)
	}
	if err != nil || !done {
		t.Fatal(done, err)
	}
	for at, want := range map[int]string{0: "[before]", 2: "[b]", 5: "[c a]"} {
		var got []string
		for _, pair := range answer.Answers[at].Range.KVs {
			got = append(got, string(pair.Value))
		}
		if fmt.Sprint(got) != want {
			t.Errorf("operation %d has read %v, want %s", at, got, want)
		}
	}
	runtime.KeepAlive(v)
}

// More is true when prune has discarded keys, even if no further key follows: there are more than the limit allows.
func TestSortedReaderHasMore(t *testing.T) {
	s := NewState(limits.Defaults().Index)
	const passing, others = 5000, 3000
	for i := range others {
		batch(t, s, 1, put(fmt.Sprintf("b%06d", i), "v"))
	}
	from := s.View().Revision() + 1
	for i := range passing {
		batch(t, s, 1, put(fmt.Sprintf("a%06d", i), "v"))
	}
	for _, limit := range []int64{1, 10, passing - 1, passing, passing + 1} {
		q := kv.Range{Key: []byte("a"), End: []byte("c"), Sort: kv.SortByMod, Order: kv.SortDescend, MinMod: from, Limit: limit}
		reads, found, more := NewSortedReader(q, 0), int64(0), false
		for {
			page, done, last, err := reads.Step(s.View(), passing)
			if err != nil {
				t.Fatal(err)
			}
			if done {
				found, more = found+int64(len(page.KVs)), page.More
			}
			if last {
				break
			}
		}
		if found != min(limit, passing) || more != (limit < passing) {
			t.Errorf("of %d the first %d: %d, and more: %v", passing, limit, found, more)
		}
	}
}
