package index

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// readAll reads a range page by page, in steps of so many rows, and lets the state go on between any two of them.
func readAll(t *testing.T, s *State, q kv.Range, bytes int64, rows int, between func()) (pages [][]kv.KeyValue, count int64) {
	t.Helper()
	for {
		r := NewRangeReader(q, bytes)
		var page kv.RangeResult
		for done, steps := false, 0; !done; steps++ {
			if steps > 10_000 {
				t.Fatalf("%+v has no end", q)
			}
			var err error
			if page, done, err = r.Step(s.View(), rows); err != nil {
				t.Fatalf("%+v: %v", q, err)
			}
			for i := range page.KVs { // they are a View's
				page.KVs[i].Key, page.KVs[i].Value = slices.Clone(page.KVs[i].Key), slices.Clone(page.KVs[i].Value)
			}
			between()
		}
		if !q.Continued {
			count = page.Count
			if q.Revision == 0 {
				q.Revision = page.Revision // as clients do
			}
		} else if page.Count != 0 {
			t.Fatalf("a page that continues counts %d", page.Count)
		}
		pages = append(pages, page.KVs)
		n := len(page.KVs)
		if !page.More || n == 0 {
			return pages, count
		}
		q.Key, q.Continued = append(slices.Clone(page.KVs[n-1].Key), 0), true
	}
}

// Whatever the steps are, the pages together are the range at the revision of the first one.
func TestRangeInSteps(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	s := NewState(limits.Defaults().Index)
	change := func() {
		key := fmt.Sprintf("%03d", random.IntN(300))
		switch random.IntN(8) {
		case 0:
			batch(t, s, 1, del(key, ""))
		case 1:
			batch(t, s, 1, del(key, key+"z"))
		case 2:
			batch(t, s, 1, del("1", "13"))
		default:
			batch(t, s, 1, put(key, fmt.Sprint(random.IntN(1000))))
		}
	}
	for range 1000 {
		change()
	}
	for range 300 {
		lo, hi := fmt.Sprintf("%03d", random.IntN(300)), fmt.Sprintf("%03d", random.IntN(300))
		q := kv.Range{Key: []byte(min(lo, hi)), End: []byte(max(lo, hi)), KeysOnly: random.IntN(2) == 0, CountOnly: random.IntN(4) == 0}
		if lo == hi {
			q.Key, q.End = []byte{0}, []byte{0}
		}
		if random.IntN(2) == 0 {
			q.Revision = 2 + random.Int64N(s.View().Revision()-1)
		}
		if random.IntN(2) == 0 {
			q.MinMod, q.MaxCreate = random.Int64N(1200), random.Int64N(1200)
		}
		all := q
		all.MinMod, all.MaxCreate = 0, 0
		want, err := s.View().Range(all, 0)
		if err != nil {
			t.Fatal(err)
		}
		want.KVs = slices.DeleteFunc(want.KVs, func(pair kv.KeyValue) bool {
			return pair.ModRevision < q.MinMod || q.MaxCreate > 0 && pair.CreateRevision > q.MaxCreate
		})
		for i := range want.KVs {
			want.KVs[i].Value = slices.Clone(want.KVs[i].Value)
			if q.KeysOnly {
				want.KVs[i].Value = nil
			}
		}
		limited := q
		limited.Limit = random.Int64N(20)
		pages, count := readAll(t, s, limited, random.Int64N(200), 1+random.IntN(50), func() {
			for range random.IntN(3) {
				change()
			}
		})
		got := slices.Concat(pages...)
		if count != want.Count || !slices.EqualFunc(got, want.KVs, func(a, b kv.KeyValue) bool {
			return string(a.Key) == string(b.Key) && string(a.Value) == string(b.Value) && a.ModRevision == b.ModRevision
		}) {
			t.Fatalf("%+v in steps:\n%d: %v\nwant\n%d: %v", limited, count, got, want.Count, want.KVs)
		}
	}
}

// A read of the newest revision returns the revision that was read, even if the state changes between its steps: a client
// that reads on or watches from there misses nothing.
func TestRevisionOfWhatWasRead(t *testing.T) {
	q := kv.Range{Key: []byte("k"), End: []byte("l")}
	ranges := NewRangeReader(q, 0)
	pages, whole := NewPagesReader(q, 0), NewUnpagedReader(q, math.MaxInt64)
	for _, c := range []struct {
		name string
		step func(v *View) (kv.RangeResult, bool, error)
	}{
		{"a page", func(v *View) (kv.RangeResult, bool, error) { return ranges.Step(v, 2) }},
		{"pages", func(v *View) (kv.RangeResult, bool, error) {
			page, done, _, err := pages.Step(v, 2)
			pages.Release()
			return page, done, err
		}},
		{"a whole range", func(v *View) (kv.RangeResult, bool, error) { return whole.Step(v, 2) }},
	} {
		s := NewState(limits.Defaults().Index)
		for i := range 10 {
			batch(t, s, 1, put(fmt.Sprintf("k%d", i), "v"))
		}
		batch(t, s, 1, del("k0", "k7")) // several steps find no pair
		want := s.View().Revision()
		for steps := 1; ; steps++ {
			found, done, err := c.step(s.View())
			if err != nil {
				t.Fatal(c.name, err)
			}
			if !done {
				batch(t, s, 1, put("k8", "w"))
				continue
			}
			if at := found.KVs[len(found.KVs)-1].ModRevision; found.Revision != want || at > want || steps < 4 {
				t.Errorf("%s: %d steps say revision %d of a pair of %d, want %d", c.name, steps, found.Revision, at, want)
			}
			break
		}
	}
}

// A page that continues looks at its own keys only, and the first one of an old revision counts in bounded steps.
func TestRangeStepsAreBounded(t *testing.T) {
	s := NewState(limits.Defaults().Index)
	for i := range 5000 {
		batch(t, s, 1, put(fmt.Sprintf("%05d", i), "v"))
	}
	batch(t, s, 1, put("00000", "w"))
	v := s.View()
	old := v.Revision() - 1
	steps := func(q kv.Range, rows int) (n int) {
		r := NewRangeReader(q, 0)
		for {
			n++
			if _, done, err := r.Step(v, rows); err != nil {
				t.Fatal(err)
			} else if done {
				return n
			}
		}
	}
	all := kv.Range{Key: []byte{0}, End: []byte{0}, Limit: 100, Revision: old}
	if n := steps(all, 200); n != 2 { // one change back, and the page
		t.Errorf("the first page of an old revision took %d steps", n)
	}
	older := all
	older.Revision = 2501 // 2500 keys were made since
	if n := steps(older, 200); n != 2500/200+2 {
		t.Errorf("the first page of a much older revision took %d steps", n)
	}
	few := all
	few.End = []byte("01000") // that few keys are walked
	if n := steps(few, 200); n != 1000/200+1 {
		t.Errorf("the first page of a small range took %d steps", n)
	}
	next := all
	next.Key, next.Continued = []byte("00100"), true
	if n := steps(next, 101); n != 1 {
		t.Errorf("the second page took %d steps", n)
	}
	// It does not count the rest, even if one step could.
	r := NewRangeReader(next, 0)
	if page, done, _ := r.Step(v, math.MaxInt); !done || page.Count != 0 || len(page.KVs) != 100 || !page.More {
		t.Errorf("the second page: %d of %d keys, more %v", len(page.KVs), page.Count, page.More)
	}
	newest := kv.Range{Key: []byte{0}, End: []byte{0}, Limit: 100}
	if n := steps(newest, 200); n != 1 {
		t.Errorf("the first page of the newest revision took %d steps", n)
	}
	// Deleted keys are looked at, too.
	batch(t, s, 1, del("00100", "04900"))
	v = s.View()
	newest.Key = []byte("00100")
	if n := steps(newest, 200); n != 4800/200+1 {
		t.Errorf("a page behind 4800 deleted keys took %d steps", n)
	}
}

// The last key of a range is on its last page, however the page ends.
func TestRangeLastKey(t *testing.T) {
	s := NewState(limits.Defaults().Index)
	batch(t, s, 1, put("a", "1"), put("b", "1"), put("c", "1"))
	for limit := range int64(4) {
		for rows := 1; rows < 5; rows++ {
			pages, _ := readAll(t, s, kv.Range{Key: []byte{0}, End: []byte{0}, Limit: limit, Revision: 3}, 0, rows, func() {
				batch(t, s, 1, put("c", "2"))
			})
			if keys := slices.Concat(pages...); len(keys) != 2 || string(keys[1].Key) != "b" {
				t.Errorf("limit %d, %d rows: %v", limit, rows, keys)
			}
		}
	}
}

// A read of the newest revision that compaction overtakes begins again.
func TestRangeOvertaken(t *testing.T) {
	s := NewState(limits.Index{
		CompactionWork: defaults.CompactionWork,
		SlabBytes:      defaults.SlabBytes, EvacuationBytes: defaults.EvacuationBytes, CountedRows: defaults.CountedRows,
	})
	for i := range 20 {
		batch(t, s, 1, put(fmt.Sprintf("%02d", i), "v"))
	}
	batch(t, s, 1, del("0", "15"))
	r := NewRangeReader(kv.Range{Key: []byte{0}, End: []byte{0}}, 0)
	if _, done, err := r.Step(s.View(), 3); done || err != nil {
		t.Fatalf("the first step: %v, %v", done, err)
	}
	first := r.at.mod - 1
	for range 10 {
		batch(t, s, 1, put("99", "v"))
	}
	batch(t, s, 1, put("00", "v")) // where it has been
	keep(t, s, 5)
	if s.View().Compacted() <= first {
		t.Fatal("nothing was compacted")
	}
	page, done, err := r.Step(s.View(), 100)
	if err != nil || !done || page.Count != 7 || len(page.KVs) != 7 || string(page.KVs[0].Key) != "00" {
		t.Errorf("%+v, %v, %v", page, done, err)
	}
	asked := NewRangeReader(kv.Range{Key: []byte{0}, End: []byte{0}, Revision: first}, 0)
	if _, _, err := asked.Step(s.View(), 100); err == nil || err.(*kv.Error).Code != kv.Compacted {
		t.Errorf("a revision that is compacted: %v", err)
	}
}

// Whether there is more is exact where the count says it, also when the step has ended the page.
func TestRangeMoreIsExact(t *testing.T) {
	s := NewState(limits.Defaults().Index)
	for i := range 10 {
		batch(t, s, 1, put(fmt.Sprint(i), "v"))
	}
	batch(t, s, 1, put("0", "w"))
	v := s.View()
	for rows := 1; rows < 15; rows++ {
		for _, revision := range []int64{0, v.Revision() - 1} {
			r := NewRangeReader(kv.Range{Key: []byte{0}, End: []byte{0}, Revision: revision}, 0)
			for done := false; !done; {
				var page kv.RangeResult
				if page, done, _ = r.Step(v, rows); done && page.More != (len(page.KVs) < 10) {
					t.Errorf("%d rows at %d: %d of %d, more %v", rows, revision, len(page.KVs), page.Count, page.More)
				}
			}
		}
	}
}

// A sorted range with a limit keeps little more than that, and gives what sorting all of it would.
func TestRangeSortedIsBounded(t *testing.T) {
	s := NewState(limits.Defaults().Index)
	random := rand.New(rand.NewPCG(3, 4))
	const keys = 20_000
	for i := range keys {
		batch(t, s, 1, put(fmt.Sprintf("%05d", i), fmt.Sprint(random.IntN(1000))))
	}
	v := s.View()
	read := func(q kv.Range, bytes int64) (kv.RangeResult, error) {
		r := NewUnpagedReader(q, bytes)
		for {
			if found, done, err := r.Step(v, 100); done {
				return found, err
			}
			if noted := r.sorted.Bytes() / sortableBytes; noted > 4*q.Limit+prunedAt+4*runLength && q.Limit > 0 {
				t.Fatalf("%d keys are noted for a limit of %d", noted, q.Limit)
			}
		}
	}
	for _, order := range []kv.SortOrder{kv.SortAscend, kv.SortDescend} {
		q := kv.Range{Key: []byte{0}, End: []byte{0}, Sort: kv.SortByValue, Order: order}
		all, err := read(q, math.MaxInt64)
		if err != nil || all.More || all.Count != keys || len(all.KVs) != keys {
			t.Fatalf("%d of %d, more %v, %v", len(all.KVs), all.Count, all.More, err)
		}
		q.Limit = 20
		some, err := read(q, 200_000)
		if err != nil || !some.More || some.Count != keys || !slices.EqualFunc(some.KVs, all.KVs[:20], func(a, b kv.KeyValue) bool { return string(a.Key) == string(b.Key) }) {
			t.Errorf("limited: %d of %d, more %v, %v", len(some.KVs), some.Count, some.More, err)
		}
		q.Limit = 0
		if _, err := read(q, 200_000); err == nil || err.(*kv.Error).Code != kv.AnswerTooLarge {
			t.Errorf("without a limit: %v", err)
		}
	}
}
