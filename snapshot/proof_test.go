package snapshot

import (
	"bytes"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/log/disk/simdisk"
)

// scanned is what a faulty state hands to a Saver: the keys of another one, changed.
type scanned struct {
	scan  func(from []byte, f func(key []byte, versions []index.Version) bool)
	wrong func(key []byte, versions []index.Version) (also []byte, changed []index.Version)
}

func (s scanned) Scan(from []byte, f func(key []byte, versions []index.Version) bool) {
	s.scan(from, func(key []byte, versions []index.Version) bool {
		also, changed := s.wrong(key, slices.Clone(versions))
		return len(changed) == 0 || f(also, changed)
	})
}

type faultyView struct {
	*index.View
	digest uint64
	meta   func([]byte) []byte
}

func (v faultyView) Digest() uint64 { return v.View.Digest() ^ v.digest }

func (v faultyView) AppendMeta(dst []byte) []byte { return v.meta(v.View.AppendMeta(dst)) }

type faultyPiece struct {
	*index.BaseRange
	scanned
}

func (p faultyPiece) Scan(from []byte, f func(key []byte, versions []index.Version) bool) {
	p.scanned.Scan(from, f)
}

// wrongs are faults of the content, by name. Each is about the key k3, which has several versions.
var wrongs = map[string]func(key []byte, versions []index.Version) ([]byte, []index.Version){
	"the key is missing": func(key []byte, versions []index.Version) ([]byte, []index.Version) { return key, nil },
	"a version is missing": func(key []byte, versions []index.Version) ([]byte, []index.Version) {
		return key, slices.Delete(versions, 1, 2)
	},
	"the first is missing": func(key []byte, versions []index.Version) ([]byte, []index.Version) { return key, versions[1:] },
	"the last is missing": func(key []byte, versions []index.Version) ([]byte, []index.Version) {
		return key, versions[:len(versions)-1]
	},
	"another key": func(_ []byte, versions []index.Version) ([]byte, []index.Version) { return []byte("k3x"), versions },
	"another value": func(key []byte, versions []index.Version) ([]byte, []index.Version) {
		versions[1].Value = []byte("x")
		return key, versions
	},
	"another author": func(key []byte, versions []index.Version) ([]byte, []index.Version) {
		versions[1].Author++
		return key, versions
	},
	"a lease that is not": func(key []byte, versions []index.Version) ([]byte, []index.Version) {
		versions[len(versions)-1].Lease = 7
		return key, versions
	},
	"another number": func(key []byte, versions []index.Version) ([]byte, []index.Version) {
		versions[1].Version++
		return key, versions
	},
	"another creation": func(key []byte, versions []index.Version) ([]byte, []index.Version) {
		versions[0].Create++
		return key, versions
	},
	"a tombstone": func(key []byte, versions []index.Version) ([]byte, []index.Version) {
		versions[1].Tombstone = true
		return key, versions
	},
	"a place in its revision": func(key []byte, versions []index.Version) ([]byte, []index.Version) {
		versions[1].Sub++
		return key, versions
	},
}

func about(key string, wrong func(key []byte, versions []index.Version) ([]byte, []index.Version)) func(key []byte, versions []index.Version) ([]byte, []index.Version) {
	return func(k []byte, versions []index.Version) ([]byte, []index.Version) {
		if string(k) == key {
			return wrong(k, versions)
		}
		return k, versions
	}
}

// A Saver publishes nothing that a load would refuse, or take for another state: all that is read back is checked as a load checks it.
func TestSaverProvesWhatItWrote(t *testing.T) {
	fs := simdisk.New(1)
	m := newPartMember(t, fs, smallExtents)
	m.shelf = NewShelf(nil)
	put := func(n int) {
		apply(t, m.state, new(index.Head).AppendPut(nil, &kv.Put{Key: fmt.Append(nil, "k", n%5), Value: sized(20 + n%9)(int64(n))}).Bytes)
	}
	for n := range 60 {
		put(n)
	}
	same := func(meta []byte) []byte { return meta }
	v := m.state.ViewToSave()
	refused := func(what string, s *Saver, err error) {
		t.Helper()
		before, _ := fs.List("d")
		for done := false; err == nil && !done; {
			done, err = s.Step(100)
		}
		if after, _ := fs.List("d"); err == nil || len(after) >= len(before) {
			t.Errorf("%s: %v, files %q", what, err, after)
		}
	}
	s, err := Begin(fs, "d", metaOf(v), faultyView{View: v, digest: 1, meta: same})
	refused("another digest", s, err)
	s, err = Begin(fs, "d", metaOf(v), faultyView{View: v, meta: func(meta []byte) []byte { return meta[:len(meta)-1] }})
	refused("meta data without their end", s, err)

	m.begin()
	v = m.state.View()
	for name, wrong := range wrongs {
		piece := v.BaseRange(nil)
		s, err := BeginRangeFile(fs, "d", v.Base(), faultyPiece{piece, scanned{piece.Scan, about("k3", wrong)}})
		refused("a piece: "+name, s, err)
	}
	for n := range 2000 {
		apply(t, m.state, new(index.Head).AppendPut(nil, &kv.Put{Key: fmt.Append(nil, "k", n%5), Value: sized(20 + n%9)(int64(n))}).Bytes)
	}
	m.snapshot()
	v = m.state.ViewToSave()
	meta := metaOf(v)
	if len(m.parts) < 4 {
		t.Fatalf("only %d extents", len(m.parts))
	}
	for name, list := range map[string][]Part{
		"a gap":               slices.Concat(m.base, m.parts[:1], m.parts[2:]),
		"no first extent":     slices.Concat(m.base, m.parts[1:]),
		"no last extent":      slices.Concat(m.base, m.parts[:len(m.parts)-1]),
		"no base":             m.parts,
		"two in other order":  slices.Concat(m.base, []Part{m.parts[1], m.parts[0]}, m.parts[2:]),
		"the base at the end": slices.Concat(m.parts, m.base),
	} {
		meta.Parts = list
		if s, err := Begin(fs, "d", meta, v); err == nil {
			s.Abort()
			t.Errorf("a snapshot that lists parts with %s is begun", name)
		}
	}
	// Changes of an extent that the state does not have any more.
	apply(t, m.state, new(index.Head).AppendCompact(nil, v.Extents()[1].From+1).Bytes)
	for m.state.View(); m.state.Reclaim(); {
	}
	if lacks := m.state.View(); !lacks.Has(&v.Extents()[1]) {
		func() {
			defer func() {
				if r := recover(); r == nil {
					t.Error("an extent without its first changes is begun")
				}
			}()
			s, err := BeginExtent(fs, "d", lacks, v.Extents()[1])
			refused("an extent without its first changes", s, err)
		}()
	} else {
		t.Error("the state has all changes")
	}
}

// Parts with keys of a lease are saved, and load with the lease: a part is proven without the leases of the state.
func TestPartsHaveLeasedKeys(t *testing.T) {
	fs := simdisk.New(1)
	m := newPartMember(t, fs, smallExtents)
	put := func(n int) {
		apply(t, m.state, new(index.Head).AppendPut(nil, &kv.Put{Key: fmt.Append(nil, "k", n%5), Value: sized(300)(int64(n)), Lease: 7}).Bytes)
	}
	apply(t, m.state, new(index.Head).AppendGrant(nil, kv.Lease{ID: 7, TTL: 60}).Bytes)
	put(0)
	for n := range 1000 {
		put(n)
	}
	m.rebase(3)
	path := m.snapshot()
	if len(m.base) == 0 || len(m.parts) == 0 {
		t.Fatalf("the base has %d pieces, and there are %d extents", len(m.base), len(m.parts))
	}
	loaded, _, err := Load(fs, path, smallExtents)
	if err != nil {
		t.Fatal(err)
	}
	got, err := loaded.View().Range(kv.Range{Key: []byte("k0")}, 0)
	if err != nil || len(got.KVs) != 1 || got.KVs[0].Lease != 7 || loaded.View().Digest() != m.state.View().Digest() {
		t.Errorf("loaded: %v, %v", got.KVs, err)
	}
}

// The proof of a file needs little memory, and a processor for a small part of the time in which its bytes are written to a log.
func TestProofIsCheap(t *testing.T) {
	const keys, value = 40_000, 1024
	l := limits.Defaults().Index
	l.ExtentBytes = 1 << 40 // all is in one file
	state := index.NewState(l)
	state.Found(index.Founders(map[string]uint64{"n1": 7}))
	var puts [][]byte
	for n := range keys {
		puts = append(puts, new(index.Head).AppendPut(nil, &kv.Put{Key: fmt.Appendf(nil, "key %08d", n), Value: bytes.Repeat([]byte{byte(n)}, value)}).Bytes)
		if len(puts) == 1000 {
			apply(t, state, puts...)
			puts = nil
		}
	}
	fs := simdisk.New(1)
	if err := fs.MkdirAll("d"); err != nil {
		t.Fatal(err)
	}
	v := state.ViewToSave()
	s, err := Begin(fs, "d", metaOf(v), v)
	for err == nil && s.back == nil {
		_, err = s.Step(1 << 20)
	}
	if err != nil {
		t.Fatal(err)
	}
	memory := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before, most, took := memory(), int64(0), time.Duration(0)
	for done := false; err == nil && !done; {
		begun := time.Now()
		done, err = s.Step(4 << 20)
		took += time.Since(begun)
		most = max(most, memory()-before)
	}
	if err != nil {
		t.Fatal(err)
	}
	if most > 16<<20 {
		t.Errorf("the proof of a file of %d bytes needs %d bytes of memory", s.size, most)
	}
	t.Logf("%d MB are proven in %v, with %d KiB of memory", s.size/1_000_000, took, most>>10)
}
