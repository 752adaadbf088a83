package index

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// A model of extents: all changes of a store, in order.
type madeVersion struct {
	key string
	Version
}

func cloned(v *Version) Version {
	one := *v
	one.Value = bytes.Clone(v.Value)
	return one
}

// TestExtents gives the same commands to a state that stores its extents at once, and to one that is late and has other limits. Both
// have the same extents, and each extent has all its changes when it is stored, those that were compacted meanwhile included.
func TestExtents(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 31))
		prompt := NewState(limits.Index{CompactionWork: limits.CompactionWork, SlabBytes: 1 << 16, EvacuationBytes: 1 << 16, CountedRows: 10, ExtentBytes: 4000})
		late := NewState(limits.Index{CompactionWork: 1 + random.Int64N(100), SlabBytes: 1 << 10, EvacuationBytes: 1 + random.Int64N(1000), CountedRows: 3, ExtentBytes: 4000})
		var made []madeVersion
		prompt.KeepUnstored(0, 0)
		late.KeepUnstored(0, 0)
		files := map[string][]Version{} // what the base and the extents of the late state have, by key
		// rebuilt loads the late state from its base, its stored extents, and the open one.
		rebuilt := func(v *View) *State {
			b, err := NewBuilder(NewReserve(), v.AppendMeta(nil), late.limits)
			if err != nil {
				t.Fatal(err)
			}
			all := map[string][]Version{}
			for key, versions := range files {
				all[key] = slices.Clone(versions)
			}
			open := v.OpenExtent()
			v.ChangesOf(&open, Position{}, func(key []byte, one *Version) bool {
				all[string(key)] = append(all[string(key)], cloned(one))
				return true
			})
			for _, key := range slices.Sorted(maps.Keys(all)) {
				if err := b.AddChanges([]byte(key), all[key]); err != nil {
					t.Fatal(err)
				}
			}
			s, err := b.Finish()
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			return s
		}
		// store checks the extents that the state has and that are not stored, and stores them.
		store := func(s *State) {
			v := s.View()
			to := s.stored.to
			for _, e := range v.Extents() {
				if e.To <= to {
					continue
				}
				var want []madeVersion
				for _, m := range made {
					if m.Mod >= e.From && m.Mod <= e.To {
						want = append(want, m)
					}
				}
				next, i, weighed := Position{}, 0, int64(0)
				for more := true; more; { // in steps
					more = false
					left := 1 + random.IntN(5)
					next = v.ChangesOf(&e, next, func(key []byte, one *Version) bool {
						if i >= len(want) || string(key) != want[i].key || one.Mod != want[i].Mod || one.Sub != want[i].Sub || one.Tombstone != want[i].Tombstone || !bytes.Equal(one.Value, want[i].Value) {
							t.Fatalf("seed %d: change %d of %+v is %q %+v", seed, i, e, key, one)
						}
						if s == late {
							files[string(key)] = append(files[string(key)], cloned(one))
						}
						weighed += weight(len(key), len(one.Value))
						i++
						left--
						more = left == 0
						return !more
					})
				}
				if i != len(want) || int64(i) != e.Versions || weighed != e.Weight || next.Revision < e.To {
					t.Fatalf("seed %d: %+v has %d changes of %d, which weigh %d", seed, e, i, len(want), weighed)
				}
				to = e.To
			}
			base := s.stored.base
			if base < v.Base() {
				base = v.Base()
				if s == late {
					before := files
					files = map[string][]Version{}
					v.ScanBase(nil, func(key []byte, versions []Version) bool {
						for i := range versions {
							files[string(key)] = append(files[string(key)], cloned(&versions[i]))
						}
						return true
					})
					for key, versions := range before {
						for _, one := range versions {
							if one.Mod > base {
								files[key] = append(files[key], one)
							}
						}
					}
				}
			}
			s.KeepUnstored(base, to)
		}
		both := func(commands ...[]byte) []kv.Result {
			results := batch(t, prompt, 1, commands...)
			if other := batch(t, late, 1, commands...); fmt.Sprint(other) != fmt.Sprint(results) {
				t.Fatalf("seed %d: %v and %v", seed, results, other)
			}
			return results
		}
		for range 50 * (seed % 3) { // what is there when the level rises is the first base, with its history
			both(put(fmt.Sprint("key ", random.IntN(20)), strings.Repeat("v", random.IntN(100))))
			both(del(fmt.Sprint("key ", random.IntN(20)), ""))
		}
		if seed%2 == 1 && prompt.revision > 10 {
			both(new(Head).AppendCompact(nil, prompt.revision-9))
		}
		both(AppendFeatureLevel(nil, MaxLevel))
		compactions, bases, loads := 0, 0, 0
		for range 600 {
			key := fmt.Sprint("key ", random.IntN(20))
			switch n := random.IntN(20); {
			case n == 0 && prompt.revision > 10:
				both(new(Head).AppendCompact(nil, prompt.revision-random.Int64N(10)))
				compactions++
			case n == 1:
				if r := both(del("key 1", "key 2"))[0]; r.Deleted > 0 {
					sub := int64(0)
					v := prompt.View()
					open := v.OpenExtent()
					if cuts := v.Extents(); open.From > prompt.revision {
						open = cuts[len(cuts)-1]
					}
					v.ChangesOf(&open, Position{Revision: prompt.revision}, func(key []byte, one *Version) bool {
						made = append(made, madeVersion{string(key), Version{Mod: one.Mod, Sub: sub, Tombstone: true}})
						sub++
						return true
					})
				}
			case n == 2 && len(prompt.extents.cuts) > 1:
				if e := prompt.extents.cuts[0]; e.To < prompt.compacted && e.To <= prompt.stored.to && e.To <= late.stored.to {
					both(AppendRebase(nil, e.To))
					bases++
					// Until the base is stored, all that it needs stays.
					if late.View(); late.dropping > late.extents.kept {
						t.Fatalf("seed %d: versions up to %d are dropped, and the base is %d", seed, late.dropping, e.To)
					}
				}
			default:
				value := strings.Repeat("v", random.IntN(3)*random.IntN(200))
				both(put(key, value))
				made = append(made, madeVersion{key, Version{Mod: prompt.revision, Value: []byte(value)}})
			}
			store(prompt)
			if random.IntN(60) == 0 {
				store(late)
				late.View() // drops follow
				reclaimed(late)
				if v := late.ViewToSave(); v.BaseServes() {
					loads++
					if r := rebuilt(v); r.View().Digest() != v.Digest() {
						t.Fatalf("seed %d: a state of a base and extents has %+v, not %+v", seed, r.extents, v.extents)
					} else if err := r.Check(); err != nil {
						t.Fatalf("seed %d: %v", seed, err)
					}
				}
			}
			if a, b := prompt.View(), late.View(); a.Digest() != b.Digest() || !slices.Equal(a.Extents(), b.Extents()) || a.OpenExtent() != b.OpenExtent() {
				t.Fatalf("seed %d: %+v and %+v", seed, a.extents, b.extents)
			}
			if random.IntN(40) == 0 {
				if r := restored(t, late.ViewToSave()); r.View().Digest() != prompt.View().Digest() {
					t.Fatalf("seed %d: a loaded state has %+v, not %+v", seed, r.extents, prompt.extents)
				}
			}
		}
		if err := late.Check(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if prompt.extents.next < 10 || compactions < 5 || bases == 0 || loads == 0 {
			t.Errorf("seed %d: %d extents, %d compactions, %d bases, %d loads", seed, prompt.extents.next-1, compactions, bases, loads)
		}
	}
}

// What an extent has without being stored is kept although it is compacted; storing it drops it.
func TestUnstoredIsKept(t *testing.T) {
	s := NewState(limits.Index{CompactionWork: limits.CompactionWork, SlabBytes: 1 << 16, EvacuationBytes: 1 << 16, CountedRows: 10, ExtentBytes: 500})
	s.KeepUnstored(1, 1)
	batch(t, s, 1, AppendFeatureLevel(nil, MaxLevel))
	for n := range 20 {
		batch(t, s, 1, put("a", fmt.Sprint(n)))
	}
	batch(t, s, 1, new(Head).AppendCompact(nil, 21))
	s.View()
	reclaimed(s)
	if s.history.kept != 20 || !s.View().Dropped() {
		t.Errorf("%d of 20 versions are kept before they are stored", s.history.kept)
	}
	cuts := s.View().Extents()
	s.KeepUnstored(1, cuts[0].To)
	s.View()
	reclaimed(s)
	if want := 21 - cuts[0].To + 1; s.history.kept != want {
		t.Errorf("%d versions are kept, %d wanted, with %+v stored", s.history.kept, want, cuts[0])
	}
	s.KeepUnstored(1, s.revision)
	s.View()
	reclaimed(s)
	if s.history.kept != 2 { // the newest, and what its event was before
		t.Errorf("%d versions are kept when all is stored", s.history.kept)
	}
}

// Commands that no leader of this build proposes change nothing.
func TestBadBases(t *testing.T) {
	s := NewState(limits.Index{CompactionWork: 1, SlabBytes: 1 << 16, EvacuationBytes: 1, CountedRows: 10, ExtentBytes: 100})
	batch(t, s, 1, AppendFeatureLevel(nil, MaxLevel), put("a", "1"), put("a", "2"), put("a", "3"), put("a", "4"))
	cuts := s.View().Extents()
	before := s.View().extents
	for name, revision := range map[string]int64{"not compacted": cuts[0].To, "within an extent": cuts[0].From, "negative": -1, "in the future": 100} {
		if r := batch(t, s, 1, AppendRebase(nil, revision))[0]; r.Err == nil || r.Err.Code != kv.BadRequest {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if fmt.Sprint(s.extents) != fmt.Sprint(before) {
		t.Errorf("%+v became %+v", before, s.extents)
	}
	batch(t, s, 1, new(Head).AppendCompact(nil, s.revision))
	for range 2 { // the second time, it is not there
		batch(t, s, 1, AppendRebase(nil, cuts[0].To))
		if s.extents.base != cuts[0].To || len(s.extents.cuts) != len(cuts)-1 {
			t.Errorf("%+v", s.extents)
		}
	}
}

// The changes of an extent come sorted, whatever the steps.
func TestSortedChanges(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	s := NewState(limits.Index{CompactionWork: 1, SlabBytes: 1 << 16, EvacuationBytes: 1, CountedRows: 10, ExtentBytes: 1 << 20})
	batch(t, s, 1, AppendFeatureLevel(nil, MaxLevel))
	want := map[string][]Version{}
	for len(s.extents.cuts) == 0 {
		key := strings.Repeat("k", random.IntN(12)) + fmt.Sprint(random.IntN(3000))
		var commands [][]byte
		for n := range 1 + random.IntN(20) {
			if value := fmt.Sprint(n); random.IntN(9) == 0 {
				commands = append(commands, del(key, ""))
			} else {
				commands = append(commands, put(key, value))
			}
		}
		batch(t, s, 1, commands...)
	}
	v := s.View()
	e := v.Extents()[0]
	v.ChangesOf(&e, Position{}, func(key []byte, one *Version) bool {
		want[string(key)] = append(want[string(key)], cloned(one))
		return true
	})
	for _, step := range []int{1, 1000, sortedRun, 1 << 20} {
		c, steps := v.SortChanges(e), 1
		for ; !c.Step(step); steps++ {
			if steps > 1<<20 {
				t.Fatal("the steps do not end")
			}
		}
		for _, from := range []string{"", "k", "kk1", "kkkkkkkkkkk29", "z"} {
			keys := slices.Sorted(maps.Keys(want))
			keys = keys[sort.SearchStrings(keys, from):]
			c.Scan([]byte(from), func(key []byte, versions []Version) bool {
				if len(keys) == 0 || string(key) != keys[0] || fmt.Sprint(versions) != fmt.Sprint(want[keys[0]]) {
					t.Fatalf("from %q in steps of %d: %q %v, want %v", from, step, key, versions, keys[:min(len(keys), 1)])
				}
				keys = keys[1:]
				return true
			})
			if len(keys) > 0 {
				t.Errorf("from %q in steps of %d: %d keys are missing", from, step, len(keys))
			}
		}
	}
}

// BenchmarkSortChanges is the cost of an extent in steps: the longest one should stay below 2 ms.
func BenchmarkSortChanges(b *testing.B) {
	s := NewState(limits.Defaults().Index)
	batch(b, s, 1, AppendFeatureLevel(nil, MaxLevel))
	random := rand.New(rand.NewPCG(7, 7))
	for len(s.extents.cuts) == 0 {
		var commands [][]byte
		for range 1000 {
			commands = append(commands, put(fmt.Sprintf("/registry/pods/default/%08d", random.IntN(1e6)), "0123456789abcdef"))
		}
		batch(b, s, 1, commands...)
	}
	v := s.View()
	e := v.Extents()[0]
	longest := time.Duration(0)
	for b.Loop() {
		for c, began := v.SortChanges(e), time.Now(); !c.Step(sortedRun); began = time.Now() {
			longest = max(longest, time.Since(began))
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(e.Versions), "ns/version")
	b.ReportMetric(float64(longest.Microseconds()), "longest-µs")
}
