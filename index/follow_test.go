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
)

// recordsOf returns the records that an etcd with this state would send from a position on: the newest version of each
// compacted key, and the tombstones of the compacted revision itself.
func recordsOf(v *View, after Position) (all []FollowedRecord) {
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
		all = append(all, FollowedRecord{Key: slices.Clone(key), Version: copied})
		return true
	})
	return all
}

// recordText is all that a source says, and all that can be read of it: what two states have in common of which one follows the other.
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

// follower is a state that follows another one.
type follower struct {
	t      *testing.T
	random *rand.Rand
	state  *State
	source uint64
	most   int // records in a command
}

func (f *follower) take(command []byte) *kv.Error {
	applied, _ := f.state.Applied()
	if err := CheckEnvelope(AppendEnvelope(nil, Envelope{Level: 1}, [][]byte{command})); err != nil {
		f.t.Fatal(err)
	}
	results, err := f.state.Apply(applied+1, 1, AppendEnvelope(nil, Envelope{Level: 1, Member: 1, Wall: 1e6}, [][]byte{command}), nil)
	if err != nil {
		f.t.Fatal(err)
	}
	if f.random.IntN(3) == 0 {
		before := f.state.View().Digest()
		if f.state = restored(f.t, f.state.ViewToSave()); f.state.View().Digest() != before {
			f.t.Fatal("another digest after a snapshot")
		}
	}
	if f.random.IntN(3) == 0 {
		f.state.View()
		f.state.Reclaim()
	}
	if err := f.state.Check(); err != nil {
		f.t.Fatal(err)
	}
	return results[0].Err
}

func (f *follower) must(command []byte) {
	f.t.Helper()
	if err := f.take(command); err != nil {
		f.t.Fatalf("%s: %v", Describe(AppendEnvelope(nil, Envelope{}, [][]byte{command})), err)
	}
}

// records sends records in commands of any length, some of them twice.
func (f *follower) records(all []FollowedRecord) {
	f.t.Helper()
	for len(all) > 0 {
		some := all[:min(len(all), 1+f.random.IntN(f.most))]
		all = all[len(some):]
		complete := len(all) == 0 || all[0].Mod != some[len(some)-1].Mod
		var encoded [][]byte
		for i := range some {
			encoded = append(encoded, AppendRecord(nil, &some[i]))
		}
		at := f.state.View().Following().At
		command := AppendFollowRecords(nil, f.source, at, complete, 60, encoded)
		f.must(command)
		if got := f.state.View().Following().At; got != (Position{some[len(some)-1].Mod, some[len(some)-1].Sub}) {
			f.t.Fatalf("the state is at %+v", got)
		}
		if f.random.IntN(4) == 0 {
			before := contents(f.state.View())
			if err := f.take(command); err == nil || contents(f.state.View()) != before {
				f.t.Fatalf("records that came again: %v", err)
			}
		}
	}
}

// leases sends the leases of the source, in one command or several.
func (f *follower) leases(v *View) {
	f.t.Helper()
	var all []kv.Lease
	v.Leases(math.MinInt64, func(l kv.Lease) bool {
		all = append(all, kv.Lease{ID: l.ID, TTL: l.TTL, Remaining: l.Remaining})
		return true
	})
	from := int64(math.MinInt64)
	for {
		n := f.random.IntN(len(all) + 1)
		to := int64(math.MaxInt64)
		if n < len(all) {
			to = all[n].ID - 1
		}
		f.must(AppendFollowLeases(nil, f.source, from, to, all[:n]))
		if all = all[n:]; to == math.MaxInt64 {
			return
		}
		from = to + 1
	}
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
			commands = append(commands, new(Head).AppendGrant(nil, kv.Lease{ID: lease, TTL: 1 + int64(random.IntN(9))}))
		case 3:
			commands = append(commands, AppendRevoke(nil, lease, 0, 0))
		case 4: // a key that is put and deleted at one revision
			k := []byte(key())
			commands = append(commands, new(Head).AppendTxn(nil, &kv.Txn{Success: []kv.Op{
				{Txn: &kv.Txn{Success: []kv.Op{{Put: &kv.Put{Key: k, Value: k}}}}},
				{Txn: &kv.Txn{Success: []kv.Op{{Delete: &kv.Delete{Key: k}}}}},
				{Put: &kv.Put{Key: []byte("last"), Value: k}},
			}}))
		default:
			p := &kv.Put{Key: []byte(key()), Value: bytes.Repeat([]byte{byte('A' + random.IntN(26))}, random.IntN(30))}
			if random.IntN(2) == 0 {
				p.Lease = lease
			}
			commands = append(commands, new(Head).AppendPut(nil, p))
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

// TestFollow lets a state follow another one, from what etcd would have of it on: whatever can be read is the same, at every revision,
// with snapshots, repeated commands and compactions in between.
func TestFollow(t *testing.T) {
	seeds, gaps, compacted := 400, 0, 0
	if testing.Short() {
		seeds = 80
	}
	for seed := range uint64(seeds) {
		random := rand.New(rand.NewPCG(seed, 9))
		source := NewState(limits.Index{CompactionWork: 1 + random.Int64N(100), SlabBytes: 4 << 10, EvacuationBytes: 1 + random.Int64N(1000), CountedRows: 3})
		f := &follower{t: t, random: random, source: seed + 1, most: 1 + random.IntN(9)}
		f.state = NewState(limits.Index{CompactionWork: 1 + random.Int64N(100), SlabBytes: 4 << 10, EvacuationBytes: 1 + random.Int64N(1000), CountedRows: 3})
		for range random.IntN(40) {
			sourceStep(t, source, random)
		}
		if random.IntN(3) > 0 {
			batch(t, source, 1, new(Head).AppendCompact(nil, 1+random.Int64N(source.revision)))
		}
		v := source.View()
		if gapAtCompacted(v) {
			gaps++
			continue
		}
		if v.Compacted() > 1 {
			compacted++
		}
		if random.IntN(2) == 0 {
			f.must(AppendFeatureLevel(nil, MaxLevel)) // then the times of the loaded revisions are unknown
		}
		f.must(AppendFollowBegin(nil, f.source, "old", v.Compacted()))
		f.must(AppendFollowBegin(nil, f.source, "old", v.Compacted()))
		if _, _, err := f.state.View().Get([]byte("a"), 0); err == nil {
			t.Fatal("a part of the source was read")
		}
		f.records(recordsOf(v, Position{}))
		f.leases(v)
		f.must(AppendFollowLoaded(nil, f.source, v.Revision()))
		same := func() {
			t.Helper()
			if got, want := recordText(f.state.View()), recordText(source.View()); got != want {
				t.Fatalf("seed %d: the state is\n%s\nand the source is\n%s", seed, got, want)
			}
		}
		same()
		for range random.IntN(20) {
			sourceStep(t, source, random)
			v = source.View()
			f.records(recordsOf(v, f.state.View().Following().At))
			f.leases(v)
			if random.IntN(4) == 0 && v.Compacted() < v.Revision() {
				to := v.Compacted() + 1 + random.Int64N(v.Revision()-v.Compacted())
				batch(t, source, 1, new(Head).AppendCompact(nil, to))
				f.must(AppendFollowCompact(nil, f.source, to))
			}
			same()
		}
		if err := f.take(put("a", "b")); err == nil || err.Code != kv.Following || f.state.View().Refuses(put("a", "b")) == nil {
			t.Fatalf("a client's write: %v", err)
		}
		f.must(AppendFollowEnd(nil, f.source, source.revision))
		same()
		f.must(put("a", "b"))
		batch(t, source, 1, put("a", "b"))
		same()
	}
	t.Logf("%d sources, %d of them compacted, %d with a gap at the compacted revision", seeds, compacted, gaps)
	if compacted < seeds/8 {
		t.Error("hardly any source was compacted")
	}
}

// TestFollowRefuses: what cannot be the source's next record is refused, and changes nothing.
func TestFollowRefuses(t *testing.T) {
	f := &follower{t: t, random: rand.New(rand.NewPCG(1, 1)), state: NewState(limits.Defaults().Index), source: 7}
	one := func(mod, sub, create, version int64, key string) []byte {
		return AppendRecord(nil, &FollowedRecord{Key: []byte(key), Version: Version{Mod: mod, Sub: sub, Create: create, Version: version, Value: []byte("v")}})
	}
	gone := func(mod, sub int64, key string) []byte {
		return AppendRecord(nil, &FollowedRecord{Key: []byte(key), Version: Version{Mod: mod, Sub: sub, Tombstone: true}})
	}
	records := func(after Position, complete bool, all ...[]byte) []byte {
		return AppendFollowRecords(nil, 7, after, complete, 60, all)
	}
	refused := func(why string, command []byte) {
		t.Helper()
		before := contents(f.state.View())
		err := f.take(command)
		if err == nil || !strings.Contains(err.Message, why) {
			t.Errorf("%v, not %q", err, why)
		}
		if contents(f.state.View()) != before {
			t.Errorf("%q has changed something", why)
		}
	}
	batch(t, f.state, 1e6, AppendCheck(nil))
	refused("does not follow the etcd cluster 7", records(Position{}, true, one(2, 0, 2, 1, "a")))
	refused("a source with a name of 1025 bytes", AppendFollowBegin(nil, 7, strings.Repeat("n", 1025), 0))
	refused("compacted up to revision -1", AppendFollowBegin(nil, 7, "old", -1))
	refused("compacted up to revision 9223372036854775800", AppendFollowBegin(nil, 7, "old", math.MaxInt64-7))
	f.must(AppendFollowBegin(nil, 7, "old", 10))
	refused("follows the etcd old already", AppendFollowBegin(nil, 8, "other", 0))
	refused("does not follow the etcd cluster 8", AppendFollowLoaded(nil, 8, 10))
	refused("records after 9.0, but the newest is 0.0", records(Position{9, 0}, true, one(10, 0, 10, 1, "a")))
	refused("a lease of 0 seconds", AppendFollowRecords(nil, 7, Position{}, true, 0, nil))
	refused("cannot be read", records(Position{}, true, []byte{0xc0}))
	f.must(records(Position{}, true, one(4, 3, 3, 2, "a")))
	at := Position{4, 3}
	refused("record 4.3 cannot come after 4.3", records(at, true, one(4, 3, 3, 2, "b")))
	refused("record 4.2 cannot come after 4.3", records(at, false, one(4, 2, 3, 2, "b")))
	refused("does not continue the key's stored version", records(at, true, one(5, 0, 3, 3, "a")))
	refused("does not continue the key's stored version", records(at, true, gone(5, 0, "b")))
	refused("does not continue the key's stored version", records(at, true, one(5, 0, 5, 2, "b")))
	refused("does not continue the key's stored version", records(at, true, one(5, 0, 6, 2, "b")))
	refused("change 0 of revision 10 is number 1", records(at, true, one(10, 1, 10, 1, "b")))
	refused("the key is empty", records(at, true, one(10, 0, 10, 1, "")))
	refused("over the limit", records(at, true, one(10, 0, 10, 1, string(tooLong))))
	refused("revision 12 cannot follow revision 10", records(at, true, one(12, 0, 12, 1, "b")))
	f.must(records(at, true, gone(10, 0, "b"), one(10, 1, 8, 2, "c")))
	at = Position{10, 1}
	f.must(records(at, false, one(11, 0, 11, 1, "d")))
	at = Position{11, 0}
	refused("records are missing", AppendFollowLoaded(nil, 7, 10))
	refused("record 12.0 cannot come after 11.0", records(at, true, one(12, 0, 12, 1, "e")))
	refused("change 1 of revision 11 is number 2", records(at, true, one(11, 2, 11, 1, "e")))
	refused("does not continue the key's stored version", records(at, true, one(11, 1, 11, 1, "d")))
	f.must(records(at, true, gone(11, 1, "d"), gone(11, 2, "a")))
	refused("cannot come after", records(Position{11, 2}, true, one(11, 3, 11, 1, "x"), one(11, 3, 11, 1, "y")))
	refused("records are missing", AppendFollowEnd(nil, 7, 11))
	refused("records are missing", AppendFollowLoaded(nil, 7, 12))
	f.must(AppendFollowLoaded(nil, 7, 11))
	leased := AppendRecord(nil, &FollowedRecord{Key: []byte("l"), Version: Version{Mod: 12, Create: 12, Version: 1, Lease: 9}})
	f.must(records(Position{11, 2}, true, leased))
	f.must(AppendFollowLeases(nil, 7, math.MinInt64, math.MaxInt64, nil))
	if f.state.View().LeaseCount() != 1 {
		t.Error("a lease that has a key is gone")
	}
	f.must(records(Position{12, 0}, true, gone(13, 0, "l")))
	f.must(AppendFollowLeases(nil, 7, math.MinInt64, math.MaxInt64, nil))
	refused("revision 14 is not there yet", AppendFollowCompact(nil, 7, 14))
	refused("lease 0000000000000006 is not in order", AppendFollowLeases(nil, 7, 1, 5, []kv.Lease{{ID: 6, TTL: 60}}))
	refused("lease 0000000000000003 is not in order", AppendFollowLeases(nil, 7, 1, 5, []kv.Lease{{ID: 3, TTL: 60}, {ID: 3, TTL: 60}}))
	refused("of 60 seconds has 61 seconds left", AppendFollowLeases(nil, 7, 1, 5, []kv.Lease{{ID: 3, TTL: 60, Remaining: 61}}))
	for _, command := range [][]byte{put("x", ""), del("c", ""), new(Head).AppendTxn(nil, &kv.Txn{}), new(Head).AppendCompact(nil, 11), new(Head).AppendGrant(nil, kv.Lease{ID: 1, TTL: 9}), AppendRevoke(nil, 1, 0, 0), AppendCheckpoint(nil, nil, 1)} {
		refused("follows the etcd old and accepts no writes", command)
	}
	f.must(AppendFollowEnd(nil, 7, 13))
	refused("is at revision 13 and has 1 keys", AppendFollowBegin(nil, 7, "old", 0))
	f.must(put("x", ""))
}
