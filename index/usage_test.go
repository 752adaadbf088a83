package index

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/testlong"
)

// groupOf is the group of a key, found by its definition.
func groupOf(q *kv.Usage, key string) string {
	rest := key[len(q.Prefix):]
	end := len(q.Prefix)
	for range q.Depth {
		before, _, found := strings.Cut(rest, string(q.Separator))
		if !found {
			break
		}
		n := len(before) + len(q.Separator)
		end, rest = end+n, rest[n:]
	}
	return key[:end]
}

// addVersions adds the kept versions of a key, oldest first, to the group's row.
func addVersions(rows map[string]kv.UsageRow, q *kv.Usage, key string, versions []Version, since int64) {
	if !strings.HasPrefix(key, string(q.Prefix)) || len(versions) == 0 {
		return
	}
	group := groupOf(q, key)
	row := rows[group]
	for i, v := range versions {
		size := int64(len(key) + len(v.Value))
		switch {
		case i < len(versions)-1 || v.Tombstone:
			row.Versions, row.History = row.Versions+1, row.History+size
		default:
			row.Keys, row.Bytes = row.Keys+1, row.Bytes+size
			if v.Lease != 0 {
				row.Leased++
			}
		}
		if v.Mod > since {
			row.Changes++
		}
	}
	rows[group] = row
}

// usageOf adds up all pages, with Views that step returns before each step, and checks the order of the keys. Each step
// has the pairs that it found in its page.
func usageOf(q *kv.Usage, r *UsageReader, work int, step func() *View) (rows map[string]kv.UsageRow, all kv.UsageResult, err error) {
	var before []byte
	for {
		page, done, last, err := r.Step(step(), work)
		if err != nil {
			return nil, all, err
		}
		if done != (last || len(page.KVs) > 0) || page.More == last || len(page.KVs) > work || all.Revision != 0 && page.Revision != all.Revision {
			return nil, all, fmt.Errorf("a page of revision %d with %d keys: complete %v, last %v, more %v", page.Revision, len(page.KVs), done, last, page.More)
		}
		for i := range page.KVs {
			if key := page.KVs[i].Key; bytes.Compare(key, before) < 0 || i > 0 && bytes.Equal(key, before) {
				return nil, all, fmt.Errorf("%q comes after %q", key, before)
			}
			before = append(before[:0], page.KVs[i].Key...)
		}
		if err := all.Add(q, &page); err != nil {
			return nil, all, err
		}
		if last {
			break
		}
	}
	rows = map[string]kv.UsageRow{}
	for _, row := range all.Rows {
		prefix := string(row.Prefix)
		row.Prefix = nil
		rows[prefix] = row
	}
	return rows, all, nil
}

// compareUsage reads the usage in one of many ways, which the applied index selects.
func (m *model) compareUsage(v *View) error {
	n := int(m.applied)
	q := kv.Usage{Prefix: []byte([]string{"", "", "a", "ab"}[n%4]), Separator: []byte([]string{"b", "a", "ab", "c"}[n/4%4]), Depth: n / 16 % 4}
	now := m.wall + int64(kv.UsagePeriod)
	if len(m.points) > 0 {
		now = m.points[n%len(m.points)].wall + int64(kv.UsagePeriod)
	}
	since, e := v.RevisionAt(now-int64(kv.UsagePeriod), now)
	if e != nil {
		since = m.compacted
		if e.Code == kv.BadRequest {
			since = m.revision
		}
	}
	want := map[string]kv.UsageRow{}
	for k := range m.keys {
		addVersions(want, &q, k, m.kept(k, m.compacted, 0), since)
	}
	r := NewUsageReader(q.Range(), int64([]int{1, 100, 1 << 20}[n%3]), now)
	got, result, err := usageOf(&q, r, []int{1, 3, 500}[n/3%3], func() *View { return v })
	if err != nil || result.Revision != m.revision || (result.Period == kv.UsagePeriod) != (e == nil) || !reflect.DeepEqual(got, want) {
		return fmt.Errorf("usage %q %q %d of revision %d, changes after %d: %+v %v\n%+v, want\n%+v", q.Prefix, q.Separator, q.Depth, m.revision, since, result, err, got, want)
	}
	return nil
}

// The rows of each depth add up to the View's own totals, and the rows of a depth to those of the depth above.
func TestUsageAddsUp(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	s := NewState(limits.Defaults().Index)
	for range 4000 {
		key := make([]byte, 1+random.IntN(6))
		for i := range key {
			key[i] = "/\x00\xffab"[random.IntN(5)]
		}
		if random.IntN(5) == 0 {
			batch(t, s, 1, del(string(key), ""))
			continue
		}
		batch(t, s, 1, put(string(key), strings.Repeat("v", random.IntN(9))))
	}
	v := s.View()
	var above map[string]kv.UsageRow
	for depth := range 7 {
		q := kv.Usage{Separator: []byte("/"), Depth: depth}
		rows, _, err := usageOf(&q, NewUsageReader(q.Range(), 500, 2), 1+random.IntN(300), func() *View { return v })
		if err != nil {
			t.Fatal(err)
		}
		all, upper := kv.UsageRow{}, map[string]kv.UsageRow{}
		q.Depth--
		for prefix, row := range rows {
			all.Add(&row)
			sum := upper[groupOf(&q, prefix)]
			sum.Add(&row)
			upper[groupOf(&q, prefix)] = sum
		}
		all.Prefix = nil
		if all.Keys != v.Keys() || all.Bytes != v.LiveBytes() || all.History+versionOverhead*all.Versions != v.HistoryBytes() {
			t.Errorf("depth %d: %+v, the View has %d keys of %d bytes, history of %d bytes", depth, all, v.Keys(), v.LiveBytes(), v.HistoryBytes())
		}
		if depth > 0 && !reflect.DeepEqual(upper, above) {
			t.Errorf("depth %d: the rows add up to %v, not to %v", depth, upper, above)
		}
		above = rows
	}
}

// A usage is that of the revision of its first step, whatever is written meanwhile. Once the View is released, the reader
// moves to newer Views, but in the middle of a key, until more is compacted.
func TestUsageRenew(t *testing.T) {
	testlong.Skip(t)
	random := rand.New(rand.NewPCG(1, 9))
	s := NewState(limits.Index{SlabBytes: 4 << 10, EvacuationBytes: defaults.EvacuationBytes, CompactionWork: defaults.CompactionWork, Sessions: testRules})
	change := func() {
		key := fmt.Sprintf("%d/%d/%d", random.IntN(3), random.IntN(3), random.IntN(4))
		switch random.IntN(8) {
		case 0:
			batch(t, s, 1, del(key, ""))
		case 1:
			batch(t, s, 1, put(key+fmt.Sprint(random.IntN(1000)), "new"))
		default:
			batch(t, s, 1, put(key, strings.Repeat("v", random.IntN(200))))
		}
	}
	middles, renewed := 0, 0
	for round := range 60 {
		for range 100 {
			change()
		}
		keep(t, s, int64(random.IntN(1000)))
		v := s.View()
		q := kv.Usage{Separator: []byte("/"), Depth: random.IntN(4)}
		want := map[string]kv.UsageRow{}
		v.Scan(nil, func(key []byte, versions []Version) bool {
			for len(versions) > 1 && versions[1].Mod < v.Compacted() || versions[0].Tombstone && versions[0].Mod < v.Compacted() {
				if versions = versions[1:]; len(versions) == 0 {
					break
				}
			}
			addVersions(want, &q, string(key), versions, v.Revision())
			return true
		})
		r := NewUsageReader(q.Range(), int64(random.IntN(200)), 2+int64(kv.UsagePeriod))
		got, result, err := usageOf(&q, r, 1+random.IntN(20), func() *View {
			switch {
			case r.Held() == nil:
				return v
			case r.seen != 0:
				middles++
			case r.released && r.Held() != v:
				renewed++
			}
			if random.IntN(3) == 0 {
				r.Release()
			}
			published := s.View()
			if change(); random.IntN(2) == 0 {
				reclaimed(s) // moves versions
				published = s.View()
			}
			return published
		})
		if err != nil || result.Revision != v.Revision() || !reflect.DeepEqual(got, want) {
			t.Fatalf("round %d, depth %d: %+v %v\n%+v, want\n%+v", round, q.Depth, result, err, got, want)
		}
	}
	if middles < 50 || renewed < 50 {
		t.Errorf("only %d steps began in the middle of a key, and %d with a newer View", middles, renewed)
	}
	q := kv.Usage{Separator: []byte("/")}
	r := NewUsageReader(q.Range(), 100, 2)
	if _, _, last, err := r.Step(s.View(), 1); last || err != nil {
		t.Fatal(last, err)
	}
	keep(t, s, 0)
	if _, _, last, err := r.Step(s.View(), 1); last || err != nil {
		t.Error("a View that is held does not know of the compaction", last, err)
	}
	r.Release()
	for r.seen != 0 {
		if _, _, last, err := r.Step(s.View(), 1); last || err != nil {
			t.Fatal(last, err)
		}
	}
	for range 2 {
		if _, _, last, err := r.Step(s.View(), 1); !last || err == nil || err.(*kv.Error).Code != kv.Compacted {
			t.Errorf("after a compaction: %v %v", last, err)
		}
	}
}

// The owner writes, compacts and moves memory while usages of its Views are counted.
func TestUsageBesideWrites(t *testing.T) {
	s := NewState(limits.Index{SlabBytes: 4 << 10, EvacuationBytes: defaults.EvacuationBytes, CompactionWork: defaults.CompactionWork, Sessions: testRules})
	var newest atomic.Pointer[View]
	newest.Store(s.View())
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		random := rand.New(rand.NewPCG(2, 4))
		for n := 0; ; n++ {
			select {
			case <-done:
				return
			default:
			}
			key := fmt.Sprintf("%d/%d", random.IntN(20), random.IntN(20))
			if random.IntN(4) == 0 {
				batch(t, s, 1, del(key, ""))
			} else {
				batch(t, s, 1, put(key, strings.Repeat("v", random.IntN(100))))
			}
			if n%500 == 0 {
				keep(t, s, 2000)
			}
			s.Reclaim()
			newest.Store(s.View())
		}
	}()
	for round := 0; newest.Load().Revision() < 6000; round++ {
		v := newest.Load()
		q := kv.Usage{Separator: []byte("/"), Depth: round % 2}
		r := NewUsageReader(q.Range(), 200, 2)
		r.Release()
		rows, result, err := usageOf(&q, r, 50, func() *View {
			if r.Held() == nil {
				return v
			}
			return newest.Load()
		})
		var refusal *kv.Error
		if errors.As(err, &refusal) && refusal.Code == kv.Compacted {
			continue
		}
		all := kv.UsageRow{}
		for _, row := range rows {
			all.Add(&row)
		}
		if err != nil || result.Revision != v.Revision() || all.Keys != v.Keys() || all.Bytes != v.LiveBytes() {
			t.Errorf("round %d: %+v, the View has %d keys of %d bytes: %v", round, all, v.Keys(), v.LiveBytes(), err)
		}
	}
	close(done)
	<-stopped
}

// A step looks at a bounded number of versions of a key, and has a page of a bounded number of bytes for the client, which
// could end the request after a long silence.
func TestUsageSteps(t *testing.T) {
	s := NewState(limits.Defaults().Index)
	const versions, size = 10_000, 2000
	for i := range versions {
		batch(t, s, 1, put("often", fmt.Sprint(i)))
	}
	for i := range 100 {
		batch(t, s, 1, put(fmt.Sprintf("%0*d", 10*i+2, i), "v"))
	}
	q := kv.Usage{}
	r := NewUsageReader(q.Range(), size, 2)
	v := s.View()
	keys := map[string]int{}
	for steps := 1; ; steps++ {
		page, done, last, err := r.Step(v, 100)
		if err != nil || !done {
			t.Fatal(done, err)
		}
		bytes := 0
		for _, pair := range page.KVs {
			keys[string(pair.Key)]++
			bytes += len(pair.Key) + len(pair.Value)
		}
		if bytes > size+1100 {
			t.Fatalf("a page of %d bytes", bytes)
		}
		if last {
			if steps < versions/100+100*500/(size+1100) || len(keys) != 101 || keys["often"] < versions/100 {
				t.Errorf("%d steps, %d keys", steps, len(keys))
			}
			return
		}
	}
}

// TestUsageHostile counts keys that are as large, as binary and as deep as they can be.
func TestUsageHostile(t *testing.T) {
	s := NewState(limits.Defaults().Index)
	long := strings.Repeat("k", limits.KeyBytes-1)
	for _, key := range []string{
		"/", "//", "///", "//a", "/\x00/", "\x00", "\x00/\xff", "\xff", "\xff/", "\xff\xff/\xff", "a//b", "a//", "a/", "a",
		long, long + "/", strings.Repeat("/", limits.KeyBytes), strings.Repeat("\xff", limits.KeyBytes), strings.Repeat("/", 16<<10) + "z",
	} {
		batch(t, s, 1, put(key, "v"))
	}
	v := s.View()
	for _, separator := range []string{"/", "//", "\x00", "\xff", "k", "kk", long, strings.Repeat("/", limits.KeyBytes)} {
		for _, prefix := range []string{"", "/", "\x00", "\xff", "\xff\xff", long, long + "/", strings.Repeat("\xff", limits.KeyBytes), "none"} {
			for _, depth := range []int{0, 1, 2, 3, 100, 1 << 40} {
				q := kv.Usage{Prefix: []byte(prefix), Separator: []byte(separator), Depth: depth}
				if e := q.Check(requestBounds); e != nil {
					t.Fatal(e)
				}
				want := map[string]kv.UsageRow{}
				v.Scan(nil, func(key []byte, versions []Version) bool {
					addVersions(want, &q, string(key), versions, 0)
					return true
				})
				got, _, err := usageOf(&q, NewUsageReader(q.Range(), limits.PageBytes, 2), 2, func() *View { return v })
				if err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("%.20q %.20q %d: %d rows, want %d; %v", prefix, separator, depth, len(got), len(want), err)
				}
			}
		}
	}
}

// Members' clocks that contradict each other determine no period, and no changes are counted.
func TestUsageContradictingClocks(t *testing.T) {
	c := newClockTest(t)
	c.entry(1, 50*year, put("k", "v"))
	c.entry(1, 51*year, put("k", "v"))
	c.entry(1, 50*year+time.Second, put("k", "v"))
	q := kv.Usage{Separator: []byte("/")}
	rows, result, err := usageOf(&q, NewUsageReader(q.Range(), 100, int64(50*year+2*time.Minute)), 100, c.s.View)
	if want := (kv.UsageRow{Keys: 1, Bytes: 2, Versions: 2, History: 4}); err != nil || result.Period != 0 || !reflect.DeepEqual(rows[""], want) {
		t.Errorf("%+v %+v %v", rows, result, err)
	}
}

// BenchmarkUsage counts a filled state, as a member and its client do it: in steps.
func BenchmarkUsage(b *testing.B) {
	l := filled(b, *benchKeys)
	v := l.s.View()
	for b.Loop() {
		q := kv.Usage{Separator: []byte("0")}
		r := NewUsageReader(q.Range(), limits.PageBytes, time.Now().UnixNano())
		var all kv.UsageResult
		var slowest time.Duration
		for last := false; !last; {
			begun := time.Now()
			page, _, end, _ := r.Step(v, limits.RangeRows)
			slowest, last = max(slowest, time.Since(begun)), end
			if err := all.Add(&q, &page); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(slowest.Microseconds()), "us/slowest-step")
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(v.Keys()), "ns/key")
}
