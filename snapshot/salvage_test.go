package snapshot

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/testlong"
	"qkv/log/disk"
	"qkv/log/disk/simdisk"
)

// largeParts are limits for parts of several blocks.
func largeParts() limits.Index {
	l := smallExtents
	l.ExtentBytes, l.PieceBytes = 700_000, 300_000
	return l
}

// versionsOf returns all versions of a state, by key.
func versionsOf(s *index.State) map[string][]index.Version {
	all := map[string][]index.Version{}
	s.View().Scan(nil, func(key []byte, versions []index.Version) bool {
		for _, v := range versions {
			v.Value = bytes.Clone(v.Value)
			all[string(key)] = append(all[string(key)], v)
		}
		return true
	})
	return all
}

func flipBit(t *testing.T, fs disk.FS, path string, bit int64) {
	t.Helper()
	f, err := fs.OpenWritable(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	one := make([]byte, 1)
	if _, err = f.ReadAt(one, bit/8); err == nil {
		one[0] ^= 1 << (bit % 8)
		_, err = f.WriteAt(one, bit/8)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// covers says whether a place may have lost a change of a key.
func (p *LostPlace) covers(key string, v *index.Version) bool {
	if p.Part.Number > 0 {
		return v.Mod >= p.First && v.Mod <= p.Last
	}
	return v.Mod <= p.Last && key > string(p.After) && (p.Before == nil || key < string(p.Before))
}

// With a damaged or missing part, each key has the newest version that is in a sound block. A key with another version, or without one, is
// covered by a place that is reported, and named if a single bit of a value is wrong.
func TestSalvage(t *testing.T) {
	testlong.Skip(t)
	lost, stale, named, sound := 0, 0, 0, 0
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 77))
		m := newPartMember(t, simdisk.New(seed), largeParts())
		whole := index.NewState(smallExtents) // nothing of it is compacted
		whole.Found(index.Founders(map[string]uint64{"n1": 7}))
		for n := range 400 {
			commands := entry(r)
			apply(t, m.state, commands...)
			apply(t, whole, commands...)
			if v := m.state.View(); n%60 == 59 {
				m.store()
				compact := new(index.Head).AppendCompact(nil, v.Revision()).Bytes
				apply(t, m.state, compact)
				apply(t, whole, index.AppendCheck(nil).Bytes) // an entry that changes no key
				if cuts := v.Extents(); n == 179 && len(cuts) > 0 {
					apply(t, m.state, index.AppendRebase(nil, cuts[len(cuts)-1].To).Bytes)
					apply(t, whole, index.AppendCheck(nil).Bytes)
				}
			}
		}
		path := m.snapshot()
		meta, err := headAt(m.fs, path)
		if err != nil {
			t.Fatal(err)
		}
		info := Info{Path: path, Meta: meta}
		all := versionsOf(whole)
		for range 40 {
			part := info.Parts[r.IntN(len(info.Parts))]
			at := join("d", part.Name())
			bit := r.Int64N(part.Bytes * 8)
			missing := r.IntN(10) == 0
			if missing {
				err = m.fs.Rename(at, at+".away")
			} else {
				flipBit(t, m.fs, at, bit)
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := Load(m.fs, path, largeParts()); err == nil {
				t.Fatalf("seed %d: it is loaded in spite of bit %d of %s", seed, bit, at)
			}
			got, err := Salvage(m.fs, info, largeParts())
			if err != nil {
				t.Fatalf("seed %d, bit %d of %s: %v", seed, bit, at, err)
			}
			if err := got.State.Check(); err != nil {
				t.Fatal(err)
			}
			if v := got.State.View(); v.Compacted() != v.Revision() || v.Revision() != meta.Revision || got.Had != m.state.View().Keys() || len(got.Places) > 1 {
				t.Fatalf("seed %d: revision %d, compacted %d, of %d keys, %+v", seed, v.Revision(), v.Compacted(), got.Had, got.Places)
			}
			names := map[string]int64{}
			for _, one := range got.Keys {
				names[string(one.Key)] = one.Revision
			}
			has := versionsOf(got.State)
			for key, versions := range all {
				newest, now := &versions[len(versions)-1], has[key]
				if len(now) == 1 && sameVersion(now[0], *newest) || len(now) == 0 && newest.Tombstone {
					sound++
					continue
				}
				if len(got.Places) == 0 || !got.Places[0].covers(key, newest) {
					t.Fatalf("seed %d, bit %d of %s: %q has %+v instead of %+v, and %+v does not say so", seed, bit, at, key, now, newest, got.Places)
				}
				if names[key] == newest.Mod {
					named++
				}
				if lost++; len(now) > 0 {
					stale++
					known := false
					for i := range versions {
						known = known || sameVersion(now[0], versions[i])
					}
					if !known {
						t.Fatalf("seed %d: %q has a version that never was: %+v", seed, key, now)
					}
				}
			}
			for key := range has {
				if all[key] == nil {
					t.Fatalf("seed %d: there is the key %q", seed, key)
				}
			}
			if missing {
				err = m.fs.Rename(at+".away", at)
			} else {
				flipBit(t, m.fs, at, bit)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if lost < 1000 || stale == 0 || named < lost/3 || sound == 0 {
		t.Errorf("%d keys are lost, %d have an older version, %d are named, and %d are sound: the test shows nothing", lost, stale, named, sound)
	}
	t.Logf("%d keys are lost, %d of them have an older version, %d are named, and %d are sound", lost, stale, named, sound)
}

// A file that is another part is not taken.
func TestSalvageOfAnotherPart(t *testing.T) {
	m := newPartMember(t, simdisk.New(1), smallExtents)
	for n := range 60 {
		apply(t, m.state, new(index.Head).AppendPut(nil, &kv.Put{Key: fmt.Append(nil, "k", n), Value: make([]byte, 1000)}).Bytes)
	}
	path := m.snapshot()
	meta, err := headAt(m.fs, path)
	if err != nil || len(meta.Parts) < 3 {
		t.Fatal(meta.Parts, err)
	}
	info := Info{Path: path, Meta: meta}
	a, b := meta.Parts[len(meta.Parts)-2], meta.Parts[len(meta.Parts)-1]
	flipBit(t, m.fs, join("d", a.Name()), a.Bytes*4)
	got, err := Salvage(m.fs, info, smallExtents)
	if err != nil || len(got.Keys) == 0 || len(got.Places) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	if one := got.Places[0]; one.Records != int64(len(got.Keys)) || one.First != a.From || one.Last != a.To {
		t.Errorf("%d keys of %+v are lost, and it says %+v", len(got.Keys), a, one)
	}
	if err := m.fs.Remove(join("d", a.Name())); err != nil {
		t.Fatal(err)
	}
	if got, err = Salvage(m.fs, info, smallExtents); err != nil || len(got.Keys) > 0 || len(got.Places) != 1 || got.Places[0].Records != -1 {
		t.Fatalf("%+v, %v", got, err)
	}
	if err := m.fs.Rename(join("d", b.Name()), join("d", a.Name())); err != nil {
		t.Fatal(err)
	}
	if got, err = Salvage(m.fs, info, smallExtents); err != nil || len(got.Places) != 2 || got.Places[0].Records != -1 {
		t.Fatalf("%+v, %v", got, err)
	}
}

// A key continues in a damaged block: it has a version of before, and all keys of the next block are there.
func TestSalvageBehindASplitKey(t *testing.T) {
	m := newPartMember(t, simdisk.New(1), smallExtents)
	for _, key := range []string{"a", "a", "a", "b", "c", "d"} {
		apply(t, m.state, new(index.Head).AppendPut(nil, &kv.Put{Key: []byte(key), Value: make([]byte, snapshotBlockBytes*9/10)}).Bytes)
	}
	m.begin()
	path := m.snapshot()
	meta, err := headAt(m.fs, path)
	if err != nil || len(meta.Parts) != 1 {
		t.Fatal(meta.Parts, err)
	}
	flipBit(t, m.fs, join("d", meta.Parts[0].Name()), snapshotBlockBytes*9/10*5/2*8) // of the newest version of a
	got, err := Salvage(m.fs, Info{Path: path, Meta: meta}, smallExtents)
	if err != nil || len(got.Places) != 1 || got.Places[0].Records != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	if has := versionsOf(got.State); len(has) != 3 || has["a"][0].Version != 2 || has["c"] == nil || has["d"] == nil {
		t.Errorf("there are the keys %v", slices.Sorted(maps.Keys(has)))
	}
}

// A key whose lease has ended was deleted or replaced by a change that is lost: it does not come back for ever.
func TestSalvageEndsLeases(t *testing.T) {
	m := newPartMember(t, simdisk.New(1), smallExtents)
	put := func(key string, lease int64) {
		apply(t, m.state, new(index.Head).AppendPut(nil, &kv.Put{Key: []byte(key), Value: make([]byte, 21_000), Lease: lease}).Bytes)
	}
	put("first", 0)
	apply(t, m.state, new(index.Head).AppendGrant(nil, kv.Lease{ID: 5, TTL: 60}).Bytes)
	put("leased", 5)
	apply(t, m.state, new(index.Head).AppendRevoke(nil, 5).Bytes)
	put("last", 0)
	path := m.snapshot()
	meta, err := headAt(m.fs, path)
	if err != nil {
		t.Fatal(err)
	}
	lost := meta.Parts[len(meta.Parts)-2] // the deletion by the revocation
	if err := m.fs.Remove(join("d", lost.Name())); err != nil {
		t.Fatal(err)
	}
	got, err := Salvage(m.fs, Info{Path: path, Meta: meta}, smallExtents)
	if err != nil {
		t.Fatal(err)
	}
	v := got.State.View()
	if _, found, _ := v.Get([]byte("leased"), 0); found || len(got.Keys) != 1 || string(got.Keys[0].Key) != "leased" {
		t.Errorf("found %v, named %+v", found, got.Keys)
	}
	if err := got.State.Check(); err != nil {
		t.Error(err)
	}
}

// headAt reads the head of a snapshot.
func headAt(fs disk.FS, path string) (Meta, error) {
	f, err := fs.Open(path)
	if err != nil {
		return Meta{}, err
	}
	defer f.Close()
	m, _, err := headOf(path, f)
	return m, err
}
