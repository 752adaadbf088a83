package index

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/testlong"
)

// recordsOf returns the records that an etcd with this state would send from a position on: the newest version of each
// compacted key, and the tombstones of the compacted revision itself.
func recordsOf(v *View, after Position) (all []SourceRecord) {
	v.Records(func(key []byte, one *Version) bool {
		if (Position{one.Mod, one.Sub}).Compare(after) <= 0 {
			return true
		}
		if one.Mod <= v.Compacted() {
			pair, found, _ := v.Get(key, v.Compacted())
			if kept := found && pair.ModRevision == one.Mod; one.Tombstone && one.Mod != v.Compacted() || !one.Tombstone && !kept {
				return true
			}
		}
		copied := *one
		copied.Value = slices.Clone(one.Value)
		all = append(all, SourceRecord{Key: slices.Clone(key), Version: copied})
		return true
	})
	return all
}

// recordText is all that a source says, and all that can be read of it: what a state and its import have in common.
func recordText(v *View) string {
	var out strings.Builder
	fmt.Fprintf(&out, "revision %d, compacted %d, %d keys of %d bytes\n", v.Revision(), v.Compacted(), v.Keys(), v.LiveBytes())
	for _, one := range recordsOf(v, Position{}) {
		fmt.Fprintf(&out, "%q %+v\n", one.Key, one.Version)
	}
	var c Change
	next := Position{Revision: v.Compacted()}
	_, err := v.Changes(next, func(one *Change) bool {
		c = *one
		if c.KV.ModRevision == v.Compacted() {
			fmt.Fprintf(&out, "%d.%d %q\n", c.KV.ModRevision, c.Sub, c.KV.Key) // of a key that it has changed twice etcd has one
			return true
		}
		pair, _, was := c.Before()
		fmt.Fprintf(&out, "%+v before %+v %v\n", c.Event, pair, was && pair.ModRevision >= v.Compacted())
		return true
	})
	fmt.Fprintln(&out, err)
	for revision := max(v.Compacted(), 1); revision <= v.Revision(); revision++ {
		a, err := v.Range(kv.Range{Key: []byte{0}, End: []byte{0}, Revision: revision}, 0)
		fmt.Fprintf(&out, "%d: %+v %v\n", revision, a, err)
	}
	v.Leases(math.MinInt64, func(l kv.Lease) bool {
		fmt.Fprintf(&out, "lease %d of %d s", l.ID, l.TTL)
		v.LeaseKeys(l.ID, nil, func(key []byte) bool {
			fmt.Fprintf(&out, " %q", key)
			return true
		})
		out.WriteString("\n")
		return true
	})
	return out.String()
}

// importer imports a state.
type importer struct {
	*Import
	t      *testing.T
	random *rand.Rand
	now    int64
}

func newImporter(t *testing.T, random *rand.Rand, s *State, compacted int64) *importer {
	t.Helper()
	f := &importer{t: t, random: random, now: 1e6}
	var err error
	if f.Import, err = NewImport(s, compacted, func() int64 { return f.now }); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *importer) must(err error) {
	f.t.Helper()
	if err == nil {
		err = f.state.Check()
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

// records adds records. Some revisions are broken off and come again.
func (f *importer) records(all []SourceRecord) {
	f.t.Helper()
	var one SourceRecord
	first := 0 // of the newest revision
	for i := 0; i < len(all); i++ {
		one.Key, one.Version = append(one.Key[:0], all[i].Key...), all[i].Version // its memory is used again
		if err := f.Add(&one); err != nil {
			f.t.Fatal(err)
		}
		switch {
		case i+1 == len(all) || all[i+1].Mod != all[i].Mod:
			if first = i + 1; f.random.IntN(2) == 0 {
				f.must(f.End())
			}
		case f.random.IntN(8) == 0:
			f.Discard()
			i = first - 1
		}
	}
	f.must(f.End())
	f.must(f.End())
	if f.random.IntN(3) == 0 {
		f.state.Reclaim()
		f.must(nil)
	}
}

func leasesOf(v *View) (all []kv.Lease) {
	v.Leases(math.MinInt64, func(l kv.Lease) bool {
		all = append(all, kv.Lease{ID: l.ID, TTL: l.TTL, Remaining: l.Remaining})
		return true
	})
	return all
}

// sourceStep changes the source at random.
func sourceStep(t *testing.T, s *State, random *rand.Rand) {
	key := func() string { return string("abcdef"[random.IntN(6)]) }
	lease := int64(random.IntN(5)) - 2
	var commands [][]byte
	for range 1 + random.IntN(4) {
		switch random.IntN(9) {
		case 0:
			commands = append(commands, del(key(), "\x00"))
		case 1:
			commands = append(commands, del(key(), ""))
		case 2:
			commands = append(commands, new(Head).AppendGrant(nil, kv.Lease{ID: lease, TTL: 1 + int64(random.IntN(9))}).Bytes)
		case 3:
			commands = append(commands, AppendRevoke(nil, lease, 0, 0).Bytes)
		case 4: // a key that is put and deleted at one revision
			k := []byte(key())
			commands = append(commands, new(Head).AppendTxn(nil, &kv.Txn{Success: []kv.Op{
				{Txn: &kv.Txn{Success: []kv.Op{{Put: &kv.Put{Key: k, Value: k}}}}},
				{Txn: &kv.Txn{Success: []kv.Op{{Delete: &kv.Delete{Key: k}}}}},
				{Put: &kv.Put{Key: []byte("last"), Value: k}},
			}}).Bytes)
		default:
			p := &kv.Put{Key: []byte(key()), Value: bytes.Repeat([]byte{byte('A' + random.IntN(26))}, random.IntN(30))}
			if random.IntN(2) == 0 {
				p.Lease = lease
			}
			commands = append(commands, new(Head).AppendPut(nil, p).Bytes)
		}
	}
	batch(t, s, 1, commands...)
}

// gapAtCompacted says that etcd would have lost a change of the compacted revision: such a source is refused.
func gapAtCompacted(v *View) bool {
	next := int64(0)
	for _, one := range recordsOf(v, Position{v.Compacted() - 1, math.MaxInt64}) {
		if one.Mod != v.Compacted() {
			break
		}
		if one.Sub != next {
			return true
		}
		next++
	}
	if next == 0 && v.Compacted() > 1 {
		return v.history.changes(v.Compacted()) > 0
	}
	return next != 0 && next != v.history.changes(v.Compacted())
}

// TestImport imports a state, from what etcd would have of it on, and follows it: whatever can be read is the same, at every revision, with
// compactions in between, and after a save.
func TestImport(t *testing.T) {
	testlong.Skip(t)
	seeds, gaps, compacted := 400, 0, 0
	if testing.Short() {
		seeds = 80
	}
	for seed := range uint64(seeds) {
		random := rand.New(rand.NewPCG(seed, 9))
		small := func() *State {
			return NewState(limits.Index{CompactionWork: 1 + random.Int64N(100), SlabBytes: 4 << 10, EvacuationBytes: 1 + random.Int64N(1000), CountedRows: 3, ExtentBytes: 1 + random.Int64N(2000)})
		}
		source := small()
		for range random.IntN(40) {
			sourceStep(t, source, random)
		}
		if random.IntN(3) > 0 {
			batch(t, source, 1, new(Head).AppendCompact(nil, 1+random.Int64N(source.revision)).Bytes)
		}
		v := source.View()
		if gapAtCompacted(v) {
			gaps++
			continue
		}
		if v.Compacted() > 1 {
			compacted++
		}
		f := newImporter(t, random, small(), v.Compacted())
		f.records(recordsOf(v, Position{}))
		f.Loaded()
		same := func() {
			t.Helper()
			f.must(f.SetLeases(leasesOf(source.View())))
			if got, want := recordText(f.View()), recordText(source.View()); got != want {
				t.Fatalf("seed %d: the state is\n%s\nand the source is\n%s", seed, got, want)
			}
		}
		same()
		for range random.IntN(20) {
			sourceStep(t, source, random)
			v = source.View()
			f.records(recordsOf(v, f.at))
			if random.IntN(4) == 0 && v.Compacted() < v.Revision() {
				to := v.Compacted() + 1 + random.Int64N(v.Revision()-v.Compacted())
				batch(t, source, 1, new(Head).AppendCompact(nil, to).Bytes)
				f.must(f.Compact(to))
			}
			if random.IntN(2) == 0 {
				same()
			}
		}
		same()
		loaded := restored(t, f.state.ViewToSave())
		if loaded.View().Digest() != f.View().Digest() {
			t.Fatalf("seed %d: another digest after a save", seed)
		}
		f.Import.state = loaded
		batch(t, source, 1, put("a", "b"))
		batch(t, loaded, 1, put("a", "b"))
		same()
	}
	t.Logf("%d sources, %d of them compacted, %d with a gap at the compacted revision", seeds, compacted, gaps)
	if compacted < seeds/8 {
		t.Error("hardly any source was compacted")
	}
}

// TestImportRefuses: what cannot be the source's next record is refused, and changes nothing.
func TestImportRefuses(t *testing.T) {
	s := NewState(limits.Defaults().Index)
	begins := func(why string, compacted int64) {
		t.Helper()
		if _, err := NewImport(s, compacted, func() int64 { return 1 }); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%v, not %q", err, why)
		}
	}
	begins("compacted up to revision -1", -1)
	begins("compacted up to revision 9223372036854775800", math.MaxInt64-7)
	f := newImporter(t, rand.New(rand.NewPCG(1, 1)), s, 10)
	begins("only an empty state can import another store", 0)
	one := func(mod, sub, create, version int64, key string) SourceRecord {
		return SourceRecord{Key: []byte(key), Version: Version{Mod: mod, Sub: sub, Create: create, Version: version, Value: []byte("v")}}
	}
	gone := func(mod, sub int64, key string) SourceRecord {
		return SourceRecord{Key: []byte(key), Version: Version{Mod: mod, Sub: sub, Tombstone: true}}
	}
	add := func(all []SourceRecord) error {
		for i := range all {
			if err := f.Add(&all[i]); err != nil {
				return err
			}
		}
		return f.End()
	}
	want := func(why string, do func() error) {
		t.Helper()
		before := recordText(f.View())
		err := do()
		if err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%v, not %q", err, why)
		}
		f.Discard()
		f.must(nil)
		if recordText(f.View()) != before {
			t.Errorf("%q has changed something", why)
		}
	}
	refused := func(why string, all ...SourceRecord) {
		t.Helper()
		want(why, func() error { return add(all) })
	}
	accepted := func(all ...SourceRecord) {
		t.Helper()
		f.must(add(all))
	}
	accepted(one(4, 3, 3, 2, "a"))
	refused("record 4.3 cannot come after 4.3", one(4, 3, 3, 2, "b"))
	refused("record 4.2 cannot come after 4.3", one(4, 2, 3, 2, "b"))
	refused("does not continue the key's stored version", one(5, 0, 3, 3, "a"))
	refused("does not continue the key's stored version", gone(5, 0, "b"))
	refused("does not continue the key's stored version", one(5, 0, 5, 2, "b"))
	refused("does not continue the key's stored version", one(5, 0, 6, 2, "b"))
	refused("change 0 of revision 10 is number 1", one(10, 1, 10, 1, "b"))
	refused("the key is empty", one(10, 0, 10, 1, ""))
	refused("over the limit", one(10, 0, 10, 1, string(tooLong)))
	refused("revision 12 cannot follow revision 10", one(12, 0, 12, 1, "b"))
	accepted(gone(10, 0, "b"), one(10, 1, 8, 2, "c"))
	refused("record 9.0 cannot come after 10.1", one(9, 0, 9, 1, "x"))
	refused("record 10.9 cannot come after 11.0", one(11, 0, 11, 1, "d"), one(10, 9, 10, 1, "e"))
	refused("change 1 of revision 11 is number 2", one(11, 0, 11, 1, "d"), one(11, 2, 11, 1, "e"))
	refused("does not continue the key's stored version", one(11, 0, 11, 1, "d"), one(11, 1, 11, 1, "d"))
	accepted(one(11, 0, 11, 1, "d"), gone(11, 1, "d"), gone(11, 2, "a"))
	refused("revision 13 cannot follow revision 11", one(13, 0, 13, 1, "d"))
	leased := one(12, 0, 12, 1, "l")
	leased.Lease = 9
	accepted(leased)
	want(`the key "l" has lease 0000000000000009, which the source does not have`, func() error { return f.SetLeases(nil) })
	accepted(gone(13, 0, "l"))
	f.must(f.SetLeases(nil))
	if f.View().LeaseCount() != 0 {
		t.Error("a lease without keys is still there")
	}
	want("revision 14 is not there yet", func() error { return f.Compact(14) })
	want("lease 0000000000000003 is out of order", func() error { return f.SetLeases([]kv.Lease{{ID: 3, TTL: 60}, {ID: 3, TTL: 60}}) })
	want("of 60 seconds has 61 seconds left", func() error { return f.SetLeases([]kv.Lease{{ID: 3, TTL: 60, Remaining: 61}}) })
	batch(t, s, 1, put("x", ""))
}

// A lease that was revoked at the source and granted again with its id has the new TTL.
func TestImportReplacesLeases(t *testing.T) {
	f := newImporter(t, rand.New(rand.NewPCG(1, 1)), NewState(limits.Defaults().Index), 0)
	for _, ttl := range []int64{60, 900} {
		f.must(f.SetLeases([]kv.Lease{{ID: 5, TTL: ttl}}))
		f.View().Leases(math.MinInt64, func(l kv.Lease) bool {
			if l.ID != 5 || l.TTL != ttl {
				t.Errorf("lease %d has %d s, not %d", l.ID, l.TTL, ttl)
			}
			return true
		})
	}
}

// An import whose revisions are larger than importBytes drops what is compacted on its way.
func TestImportOfLargeRevisions(t *testing.T) {
	f := newImporter(t, rand.New(rand.NewPCG(1, 1)), NewState(limits.Defaults().Index), 0)
	const keys, each = 3000, 400
	for mod := int64(2); mod < 6; mod++ {
		for i := range int64(keys) {
			one := SourceRecord{Key: fmt.Appendf(nil, "%06d", i), Version: Version{Mod: mod, Sub: i, Create: 2, Version: mod - 1, Value: make([]byte, each)}}
			if err := f.Add(&one); err != nil {
				t.Fatal(err)
			}
		}
	}
	applied := f.state.applied
	f.must(f.End())
	if v := f.View(); v.Revision() != 5 || v.Keys() != keys || applied < 4 {
		t.Errorf("revision %d, %d keys, after %d entries", v.Revision(), v.Keys(), applied)
	}
}
