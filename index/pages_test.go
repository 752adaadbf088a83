package index

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// The pages of a range together are the range at the revision of the first, whatever is written and compacted meanwhile.
func TestPagesAreTheRange(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	s := NewState(limits.Defaults().Index)
	change := func() {
		key := fmt.Sprintf("%03d", random.IntN(300))
		if random.IntN(6) == 0 {
			batch(t, s, 1, del(key, ""))
			return
		}
		batch(t, s, 1, put(key, fmt.Sprint(random.IntN(1e9))))
	}
	for range 1000 {
		change()
	}
	for range 300 {
		newest := s.View().Revision()
		q := kv.Range{Key: fmt.Appendf(nil, "%03d", random.IntN(100)), End: []byte{0}, Limit: []int64{0, 0, 1, 7, 150, 1000}[random.IntN(6)], KeysOnly: random.IntN(4) == 0}
		if random.IntN(2) == 0 {
			q.End = fmt.Appendf(nil, "%03d", 100+random.IntN(250))
		}
		if random.IntN(3) == 0 {
			q.Revision = newest - random.Int64N(20)
		}
		if random.IntN(3) == 0 {
			q.MinMod = newest - random.Int64N(500)
		}
		v := s.View()
		want, err := v.Range(q, 0)
		if err != nil {
			t.Fatal(err)
		}
		want.KVs = owned(want.KVs)
		r := NewPagesReader(q, []int64{1, 100, 1000, 1 << 20}[random.IntN(4)])
		rows := 1 + random.IntN(100)
		var got []kv.KeyValue
		for pages, last := 0, false; !last; {
			var page kv.RangeResult
			var done bool
			if page, done, last, err = r.Step(s.View(), rows); err != nil {
				t.Fatalf("%+v: %v", q, err)
			}
			if done {
				if pages++; pages == 1 && page.Count != want.Count {
					t.Fatalf("%+v: %d are counted, of %d", q, page.Count, want.Count)
				}
				got = append(got, owned(page.KVs)...)
				if last && page.More != want.More && len(got) > 0 {
					t.Fatalf("%+v: more %v, wanted %v", q, page.More, want.More)
				}
			}
			change()
			if random.IntN(10) == 0 {
				s.compact(s.View().Revision())
			}
		}
		if !reflect.DeepEqual(got, want.KVs) {
			t.Fatalf("%+v: %d pairs, of %d", q, len(got), len(want.KVs))
		}
		for range 30 {
			change()
		}
	}
}

func owned(pairs []kv.KeyValue) (all []kv.KeyValue) {
	for _, pair := range pairs {
		pair.Key, pair.Value = bytes.Clone(pair.Key), append([]byte{}, pair.Value...)
		all = append(all, pair)
	}
	return all
}

// A sorted range continues after a key of the greatest length.
func TestWholeBehindLongKey(t *testing.T) {
	s := NewState(limits.Defaults().Index)
	longest := string(bytes.Repeat([]byte("k"), limits.KeyBytes))
	batch(t, s, 1, put("a", "1"), put(longest, "2"), put("z", "3"))
	r := NewUnpagedReader(kv.Range{Key: []byte("a"), End: []byte{0}, Sort: kv.SortByValue, Order: kv.SortDescend}, 1<<20)
	for steps := 0; ; steps++ {
		found, done, err := r.Step(s.View(), 1)
		if err != nil || steps > 100 {
			t.Fatalf("%d steps: %v", steps, err)
		}
		if done {
			if len(found.KVs) != 3 || string(found.KVs[1].Key) != longest || found.Count != 3 {
				t.Errorf("%d pairs", len(found.KVs))
			}
			return
		}
	}
}

// A reader that has released its View continues as long as its revision is readable, and then returns Compacted.
func TestPagesReleased(t *testing.T) {
	s := NewState(limits.Defaults().Index)
	longest := string(bytes.Repeat([]byte("k"), limits.KeyBytes))
	batch(t, s, 1, put("a", "1"), put(longest, "2"), put("z", "3"))
	r := NewPagesReader(kv.Range{Key: []byte("a"), End: []byte{0}}, 1)
	step := func() (string, bool, error) {
		page, done, last, err := r.Step(s.View(), 10)
		if err != nil {
			return "", last, err
		}
		if !done || len(page.KVs) != 1 || page.Count != 3 && r.q.Continued && string(page.KVs[0].Key) == "a" {
			t.Fatalf("%v %+v", done, page)
		}
		return string(page.KVs[0].Value), last, nil
	}
	if value, last, err := step(); value != "1" || last || err != nil {
		t.Errorf("%s %v %v", value, last, err)
	}
	batch(t, s, 1, put(longest, "5"), put("z", "6"))
	r.Release()
	if value, last, err := step(); value != "2" || last || err != nil {
		t.Errorf("behind the release: %s %v %v", value, last, err)
	}
	s.compact(s.View().Revision())
	batch(t, s, 1, put("z", "7"))
	if value, last, err := step(); err == nil || err.(*kv.Error).Code != kv.Compacted || !last {
		t.Errorf("behind the compaction: %s %v %v", value, last, err)
	}
}
