package index

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/pack"
	"qkv/internal/testlong"
)

// A model of extents: all changes of a store, in order.
type madeVersion struct {
	key string
	Version
	weight int64
}

func cloned(v *Version) Version {
	one := *v
	one.Value = bytes.Clone(v.Value)
	return one
}

// TestExtents gives the same commands to a state that stores its extents at once, and to one that is late and has other limits. Both
// have the same extents, and each extent has all its changes when it is stored, those that were compacted meanwhile included.
func TestExtents(t *testing.T) {
	testlong.Skip(t)
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 31))
		prompt := NewState(limits.Index{CompactionWork: defaults.CompactionWork, SlabBytes: 1 << 16, EvacuationBytes: 1 << 16, CountedRows: 10, ExtentBytes: 4000})
		late := NewState(limits.Index{CompactionWork: 1 + random.Int64N(100), SlabBytes: 1 << 10, EvacuationBytes: 1 + random.Int64N(1000), CountedRows: 3, ExtentBytes: 4000})
		var made []madeVersion
		prompt.Stored(0, 0, nil)
		late.Stored(0, 0, nil)
		base := map[string][]Version{} // of the late state, by key
		var changes []KeyedVersion     // of its extents behind the base
		// rebuilt loads the late state from its base, its stored extents, and the open one.
		rebuilt := func(v *View) *State {
			b, err := NewBuilder(NewReserve(), v.AppendMeta(nil), late.limits)
			if err != nil {
				t.Fatal(err)
			}
			for _, key := range slices.Sorted(maps.Keys(base)) {
				if err := b.AddBase([]byte(key), slices.Clone(base[key])); err != nil {
					t.Fatal(err)
				}
			}
			all := slices.Clone(changes)
			newest := v.OpenChanges()
			newest.Scan(Position{}, func(key []byte, one *Version) bool {
				all = append(all, KeyedVersion{bytes.Clone(key), cloned(one)})
				return true
			})
			for len(all) > 0 {
				n := 1 + random.IntN(len(all))
				if err := b.Replay(all[:n]); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				all = all[n:]
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
				next, i, weighed, size := Position{}, 0, int64(0), int64(0)
				for more := true; more; { // in steps
					more = false
					left := 1 + random.IntN(5)
					part := v.ChangesOf(e)
					next = part.Scan(next, func(key []byte, one *Version) bool {
						if i >= len(want) || string(key) != want[i].key || one.Mod != want[i].Mod || one.Sub != want[i].Sub || one.Tombstone != want[i].Tombstone || !bytes.Equal(one.Value, want[i].Value) {
							t.Fatalf("seed %d: change %d of %+v is %q %+v", seed, i, e, key, one)
						}
						if s == late {
							changes = append(changes, KeyedVersion{bytes.Clone(key), cloned(one)})
						}
						weighed += want[i].weight
						size += weight(len(key), one.Size())
						i++
						left--
						more = left == 0
						return !more
					})
				}
				if i != len(want) || int64(i) != e.Versions || weighed != e.Weight || size != e.Bytes || next.Revision < e.To {
					t.Fatalf("seed %d: %+v has %d changes of %d, which weigh %d, of %d bytes", seed, e, i, len(want), weighed, size)
				}
				to = e.To
			}
			if s == late && s.stored.base < v.Base() {
				clear(base)
				v.scanBase(nil, func(key []byte, versions []Version, _ uint64) bool {
					for i := range versions {
						base[string(key)] = append(base[string(key)], cloned(&versions[i]))
					}
					return true
				})
				changes = slices.DeleteFunc(changes, func(one KeyedVersion) bool { return one.Mod <= v.Base() })
			}
			s.Stored(v.Base(), to, nil)
		}
		both := func(commands ...[]byte) []kv.Result {
			results := batch(t, prompt, 1, commands...)
			if other := batch(t, late, 1, commands...); fmt.Sprint(other) != fmt.Sprint(results) {
				t.Fatalf("seed %d: %v and %v", seed, results, other)
			}
			return results
		}
		sizes := map[string]int{} // of the newest values
		add := func(key string, v Version) {
			made = append(made, madeVersion{key, v, weight(len(key), max(len(v.Value), sizes[key]))})
			sizes[key] = len(v.Value)
		}
		for range 50 * (seed % 3) { // of a cluster before: all of it is the first base, with its history
			key, deleted, size := fmt.Sprint("key ", random.IntN(20)), fmt.Sprint("key ", random.IntN(20)), random.IntN(100)
			both(put(key, strings.Repeat("v", size)))
			both(del(deleted, ""))
			sizes[key] = size
			sizes[deleted] = 0
		}
		if seed%2 == 1 && prompt.revision > 10 {
			both(new(Head).AppendCompact(nil, prompt.revision-9).Bytes)
		}
		for _, s := range []*State{prompt, late} {
			s.ResetExtents()
			s.Stored(0, 0, nil)
		}
		both(AppendCheck(nil).Bytes)
		compactions, bases, loads := 0, 0, 0
		for range 600 {
			key := fmt.Sprint("key ", random.IntN(20))
			switch n := random.IntN(20); {
			case n == 0 && prompt.revision > 10:
				both(new(Head).AppendCompact(nil, prompt.revision-random.Int64N(10)).Bytes)
				compactions++
			case n == 1:
				if r := both(del("key 1", "key 2"))[0]; r.Deleted > 0 {
					sub := int64(0)
					v := prompt.View()
					open := v.OpenExtent()
					if cuts := v.Extents(); open.From > prompt.revision {
						open = cuts[len(cuts)-1]
					}
					newest := v.ChangesOf(open)
					newest.Scan(Position{Revision: prompt.revision}, func(key []byte, one *Version) bool {
						add(string(key), Version{Mod: one.Mod, Sub: sub, Tombstone: true})
						sub++
						return true
					})
				}
			case n == 2 && len(prompt.extents.cuts) > 1:
				if e := prompt.extents.cuts[0]; e.To < prompt.compacted && e.To <= prompt.stored.to && e.To <= late.stored.to {
					both(AppendRebase(nil, e.To).Bytes)
					bases++
					// Until the base is stored, all that it needs stays.
					if late.View(); late.dropping > late.extents.historyFrom {
						t.Fatalf("seed %d: versions up to %d are dropped, and the base is %d", seed, late.dropping, e.To)
					}
				}
			default:
				value := strings.Repeat("v", random.IntN(3)*random.IntN(200))
				both(put(key, value))
				add(key, Version{Mod: prompt.revision, Value: []byte(value)})
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
	s := NewState(limits.Index{CompactionWork: defaults.CompactionWork, SlabBytes: 1 << 16, EvacuationBytes: 1 << 16, CountedRows: 10, ExtentBytes: 500})
	s.Stored(1, 1, nil)
	batch(t, s, 1, AppendCheck(nil).Bytes)
	for n := range 20 {
		batch(t, s, 1, put("a", fmt.Sprint(n)))
	}
	batch(t, s, 1, new(Head).AppendCompact(nil, 21).Bytes)
	s.View()
	reclaimed(s)
	if s.history.kept != 20 || !s.View().Dropped() {
		t.Errorf("%d of 20 versions are kept before they are stored", s.history.kept)
	}
	cuts := s.View().Extents()
	s.Stored(1, cuts[0].To, nil)
	s.View()
	reclaimed(s)
	if want := 21 - cuts[0].To + 1; s.history.kept != want {
		t.Errorf("%d versions are kept, %d wanted, with %+v stored", s.history.kept, want, cuts[0])
	}
	s.Stored(1, s.revision, nil)
	s.View()
	reclaimed(s)
	if s.history.kept != 2 { // the newest, and what its event was before
		t.Errorf("%d versions are kept when all is stored", s.history.kept)
	}
}

// An extent needs each change of its first revision: a history that begins within that revision does not have the extent.
func TestExtentNeedsItsFirstChanges(t *testing.T) {
	s := NewState(limits.Defaults().Index)
	batch(t, s, 1, put("a", "1"), put("b", "1"))
	batch(t, s, 1, del("a", "c")) // one revision with two changes
	batch(t, s, 1, put("a", "2"))
	deleted := s.revision - 1
	for s.history.oldest().Revision < deleted {
		s.history.trim()
	}
	for _, want := range []struct {
		from int64
		has  bool
	}{{deleted - 1, false}, {deleted, true}, {deleted + 1, true}} {
		if e := (Extent{From: want.from, To: s.revision}); s.View().Has(&e) != want.has {
			t.Errorf("with all changes from revision %d on, an extent from %d on: %v", deleted, want.from, !want.has)
		}
	}
	s.history.trim()
	if got := s.history.oldest(); got != (Position{Revision: deleted, Sub: 1}) {
		t.Fatalf("the history begins at %+v", got)
	}
	v := s.View()
	if e := (Extent{From: deleted, To: s.revision}); v.Has(&e) {
		t.Error("the first change of the extent's first revision is gone, and the View claims to have the extent")
	}
	if e := (Extent{From: deleted + 1, To: s.revision}); !v.Has(&e) {
		t.Error("an extent behind a revision that is cut is said to be incomplete")
	}
}

// A scan of a base leaves out what was dropped since it was stored, also if the history begins within a revision.
func TestBaseOfAPartlyDroppedRevision(t *testing.T) {
	s := NewState(limits.Index{CompactionWork: 1, SlabBytes: 1 << 16, EvacuationBytes: 1, CountedRows: 10, ExtentBytes: 100})
	batch(t, s, 1, AppendCheck(nil).Bytes)
	batch(t, s, 1, put("a", "1"), put("b", "1"))
	last := s.View().Extents()
	two := kv.Txn{Success: []kv.Op{{Put: &kv.Put{Key: []byte("a")}}, {Put: &kv.Put{Key: []byte("b")}}}}
	batch(t, s, 1, new(Head).AppendTxn(nil, &two).Bytes)
	at := s.revision
	batch(t, s, 1, put("c", "1"), new(Head).AppendCompact(nil, at).Bytes, AppendRebase(nil, last[len(last)-1].To).Bytes)
	s.Stored(s.View().Base(), s.revision, nil)
	batch(t, s, 1, new(Head).AppendCompact(nil, s.revision).Bytes)
	keys := map[Position]int{} // of the base, by the beginning of the history
	for more := true; more; more = s.Reclaim() {
		v, n := s.View(), 0
		v.scanBase(nil, func([]byte, []Version, uint64) bool {
			n++
			return true
		})
		keys[v.history.oldest()] = n
	}
	if want := map[Position]int{{at, 0}: 2, {at, 1}: 1}; s.extents.historyFrom != at || !maps.Equal(keys, want) {
		t.Errorf("the history begins at these positions with so many keys of the base: %v; want %v", keys, want)
	}
}

// Commands that no leader of this build proposes change nothing.
func TestBadBases(t *testing.T) {
	s := NewState(limits.Index{CompactionWork: 1, SlabBytes: 1 << 16, EvacuationBytes: 1, CountedRows: 10, ExtentBytes: 100})
	batch(t, s, 1, AppendCheck(nil).Bytes)
	batch(t, s, 1, put("a", "1"), put("a", "2"), put("a", "3"), put("a", "4"))
	cuts := s.View().Extents()
	before := s.View().extents
	for name, revision := range map[string]int64{"not compacted": cuts[0].To, "within an extent": cuts[0].From, "negative": -1, "in the future": 100} {
		if r := batch(t, s, 1, AppendRebase(nil, revision).Bytes)[0]; r.Err == nil || r.Err.Code != kv.BadRequest {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if fmt.Sprint(s.extents) != fmt.Sprint(before) {
		t.Errorf("%+v became %+v", before, s.extents)
	}
	batch(t, s, 1, new(Head).AppendCompact(nil, cuts[0].To).Bytes) // a read at this revision still needs the versions before it
	revision, _ := s.View().NextBase()
	if r := batch(t, s, 1, AppendRebase(nil, cuts[0].To).Bytes)[0]; r.Err == nil || revision != 0 {
		t.Errorf("compacted at the end of an extent: it is made the base with %+v, the next base is %d", r, revision)
	}
	batch(t, s, 1, new(Head).AppendCompact(nil, s.revision).Bytes)
	for range 2 { // the second time, it is not there
		batch(t, s, 1, AppendRebase(nil, cuts[0].To).Bytes)
		if s.extents.base != cuts[0].To || len(s.extents.cuts) != len(cuts)-1 {
			t.Errorf("%+v", s.extents)
		}
	}
}

// Meta data with extents that no state has are refused.
func TestExtentsAreRefused(t *testing.T) {
	for name, change := range map[string]func(x *extents){
		"":                          func(*extents) {},
		"a gap":                     func(x *extents) { x.cuts[1].From++ },
		"an end before the begin":   func(x *extents) { x.cuts[1].From, x.cuts[1].To, x.open.From = 8, 7, 8 },
		"a number twice":            func(x *extents) { x.cuts[1].Number = 1 },
		"the number of the next":    func(x *extents) { x.cuts[1].Number = 3 },
		"no changes":                func(x *extents) { x.cuts[1].Versions = 0 },
		"a negative size":           func(x *extents) { x.cuts[1].Bytes = -1 },
		"a base before the empty":   func(x *extents) { x.base, x.cuts[0].From = EmptyBase-1, EmptyBase },
		"a gap before the open one": func(x *extents) { x.open.From++ },
		"an open one with an end":   func(x *extents) { x.open.To = 10 },
	} {
		x := extents{base: 5, historyFrom: 6, next: 3, cuts: []Extent{{1, 6, 7, 1, 10, 10}, {2, 8, 9, 1, 10, 10}}, open: Extent{From: 10}}
		change(&x)
		r := pack.NewExactReader(x.append(nil))
		if readExtents(&r); (r.Done() == nil) != (name == "") {
			t.Errorf("%s: %v", name, r.Done())
		}
	}
}

// What a base and changes cannot be is refused, and so is what does not give the state that the meta data describe.
func TestRedoRefuses(t *testing.T) {
	s := NewState(limits.Index{CompactionWork: 1 << 20, SlabBytes: 1 << 16, EvacuationBytes: 1, CountedRows: 10, ExtentBytes: 1 << 20})
	batch(t, s, 1, put("a", "1"))
	s.ResetExtents()
	batch(t, s, 1, put("a", "2"), del("a", ""), put("b", "3"))
	batch(t, s, 1, new(Head).AppendGrant(nil, kv.Lease{ID: 7, TTL: 10}).Bytes, new(Head).AppendPut(nil, &kv.Put{Key: []byte("b"), Value: []byte("4"), Lease: 7}).Bytes)
	v := s.ViewToSave()
	var base, sound []KeyedVersion
	v.scanBase(nil, func(key []byte, versions []Version, _ uint64) bool {
		base = append(base, KeyedVersion{bytes.Clone(key), cloned(&versions[0])})
		return true
	})
	newest := v.OpenChanges()
	newest.Scan(Position{}, func(key []byte, one *Version) bool {
		sound = append(sound, KeyedVersion{bytes.Clone(key), cloned(one)})
		return true
	})
	load := func(changes []KeyedVersion, meta []byte) error {
		b, err := NewBuilder(NewReserve(), meta, s.limits)
		for _, one := range base {
			if err == nil {
				err = b.AddBase(one.Key, []Version{one.Version})
			}
		}
		if err == nil {
			err = b.Replay(changes)
		}
		if err == nil {
			_, err = b.Finish()
		}
		return err
	}
	if err := load(sound, v.AppendMeta(nil)); err != nil || len(base) != 1 || len(sound) != 4 {
		t.Fatalf("%d versions and %d changes: %v", len(base), len(sound), err)
	}
	for name, change := range map[string]func(all []KeyedVersion) []KeyedVersion{
		"one missing":        func(all []KeyedVersion) []KeyedVersion { return all[:3] },
		"the first missing":  func(all []KeyedVersion) []KeyedVersion { return all[1:] },
		"one twice":          func(all []KeyedVersion) []KeyedVersion { return append(all, all[3]) },
		"another order":      func(all []KeyedVersion) []KeyedVersion { all[1], all[2] = all[2], all[1]; return all },
		"another key":        func(all []KeyedVersion) []KeyedVersion { all[3].Key = []byte("c"); return all },
		"no key":             func(all []KeyedVersion) []KeyedVersion { all[2].Key = nil; return all },
		"another value":      func(all []KeyedVersion) []KeyedVersion { all[3].Value = []byte("5"); return all },
		"another number":     func(all []KeyedVersion) []KeyedVersion { all[3].Version.Version = 7; return all },
		"a lease of nowhere": func(all []KeyedVersion) []KeyedVersion { all[3].Lease = 9; return all },
		"deleted again": func(all []KeyedVersion) []KeyedVersion {
			all[2] = KeyedVersion{[]byte("a"), Version{Mod: 5, Tombstone: true}}
			return all
		},
		"from the future":  func(all []KeyedVersion) []KeyedVersion { all[3].Mod = 1000; return all },
		"a base with more": func(all []KeyedVersion) []KeyedVersion { all[0].Mod = 2; return all },
	} {
		if err := load(change(slices.Clone(sound)), v.AppendMeta(nil)); err == nil {
			t.Errorf("%s: it was loaded", name)
		}
	}
	without := *v
	without.leases = NewState(s.limits).View().leases
	if err := load(sound, without.AppendMeta(nil)); err == nil || !strings.Contains(err.Error(), "lease") {
		t.Errorf("a key has a lease that does not exist: %v", err)
	}
}

// A state that was loaded has made a View before it hears of its files. It drops no change of the open extent when it goes on without
// another View.
func TestLoadedStateKeepsItsOpenChanges(t *testing.T) {
	s := NewState(limits.Index{CompactionWork: defaults.CompactionWork, SlabBytes: 1 << 16, EvacuationBytes: 1 << 16, CountedRows: 10})
	s.Stored(EmptyBase, EmptyBase, nil)
	for n := range 20 {
		batch(t, s, 1, put("a", fmt.Sprint(n)))
	}
	batch(t, s, 1, new(Head).AppendCompact(nil, 21).Bytes)
	b, err := NewBuilder(NewReserve(), s.ViewToSave().AppendMeta(nil), s.limits)
	if err != nil {
		t.Fatal(err)
	}
	var all []KeyedVersion
	newest := s.View().OpenChanges()
	newest.Scan(Position{}, func(key []byte, one *Version) bool {
		all = append(all, KeyedVersion{bytes.Clone(key), cloned(one)})
		return true
	})
	if err := b.Replay(all); err != nil {
		t.Fatal(err)
	}
	loaded, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	loaded.View() // as the load compares the digest
	loaded.Stored(EmptyBase, EmptyBase, nil)
	batch(t, loaded, 1, put("b", "1"))
	if v := loaded.View(); !v.Has(&Extent{From: 2}) {
		t.Errorf("the history begins at %+v", v.history.oldest())
	}
}
