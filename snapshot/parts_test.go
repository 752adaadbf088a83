package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/internal/testlong"
	"qkv/log/disk"
	"qkv/log/disk/simdisk"
)

// partMember saves the parts of a state as a member does.
type partMember struct {
	t     testing.TB
	fs    disk.FS
	state *index.State
	base  []Part
	parts []Part // the extents behind the base
	to    int64  // the last revision that is in a part
	at    int64  // the base's revision
	shelf *Shelf // nil: all values stay in memory
	newer []*Volume
}

func newPartMember(t testing.TB, fs disk.FS, l limits.Index) *partMember {
	if err := fs.MkdirAll("d"); err != nil {
		t.Fatal(err)
	}
	m := &partMember{t: t, fs: fs, state: index.NewState(l), at: index.EmptyBase, to: index.EmptyBase}
	m.state.Found(index.Founders(map[string]uint64{"n1": 7}))
	m.tell()
	t.Cleanup(func() {
		if m.shelf != nil && len(m.shelf.reads.slots) > 0 {
			t.Errorf("%d slots of limits.ValueReads were taken and not given back", len(m.shelf.reads.slots))
		}
	})
	return m
}

// begin makes all keys and the history the base, as a restored folder begins.
func (m *partMember) begin() {
	m.state.Refound(9, index.Founders(map[string]uint64{"n1": 8}), 0)
	m.state.ResetExtents()
	m.tell()
}

// rebase compacts all changes up to the end of an extent, and makes that the base.
func (m *partMember) rebase(extent int) {
	m.t.Helper()
	m.store()
	to := m.state.View().Extents()[extent].To
	apply(m.t, m.state, new(index.Head).AppendCompact(nil, to+1).Bytes)
	apply(m.t, m.state, index.AppendRebase(nil, to).Bytes)
}

func (m *partMember) save(s *Saver, err error) *Saver {
	m.t.Helper()
	for done := false; err == nil && !done; {
		done, err = s.Step(1000)
	}
	if err != nil {
		m.t.Fatal(err)
	}
	return s
}

// store saves what is not in parts yet.
func (m *partMember) store() {
	m.t.Helper()
	v := m.state.View()
	if v.Base() != m.at {
		var base []Part
		m.newer = nil
		for piece := v.BaseRange(nil); piece != nil; piece = piece.Next() {
			base = append(base, m.open(m.save(BeginRangeFile(m.fs, "d", v.Base(), piece)), false))
		}
		m.base, m.at, m.to = base, v.Base(), max(m.to, v.Base())
		m.parts = slices.DeleteFunc(m.parts, func(p Part) bool {
			return !slices.ContainsFunc(v.Extents(), func(e index.Extent) bool { return e.Number == p.Number })
		})
	}
	for _, e := range v.Extents() {
		if e.To > m.to {
			m.parts = append(m.parts, m.open(m.save(BeginExtent(m.fs, "d", v, e)), true))
			m.to = e.To
		}
	}
	m.tell()
}

// open opens a saved part to read values from it.
func (m *partMember) open(s *Saver, extent bool) Part {
	m.t.Helper()
	switch v := s.Volume(); {
	case m.shelf == nil:
	case extent:
		m.shelf = m.shelf.With(v)
	default:
		m.newer = append(m.newer, v)
	}
	return s.Part()
}

func (m *partMember) tell() {
	if m.shelf == nil {
		m.state.Stored(m.at, m.to, nil)
		return
	}
	m.state.Stored(m.at, m.to, m.shelf)
}

// snapshot stores the state and returns the path of its snapshot.
func (m *partMember) snapshot() string {
	m.t.Helper()
	m.store()
	for m.state.View(); m.state.Reclaim(); {
	}
	v := m.state.ViewToSave()
	meta := metaOf(v)
	meta.Parts = slices.Concat(m.base, m.parts)
	path := m.save(Begin(m.fs, "d", meta, v)).Info().Path
	if m.shelf != nil && m.newer != nil {
		m.shelf, m.newer = m.shelf.Rebased(m.newer), nil
		m.tell()
		for m.state.View(); m.state.Reclaim(); {
		}
	}
	return path
}

var smallExtents = limits.Index{CompactionWork: 1 << 20, SlabBytes: 1 << 16, EvacuationBytes: 1 << 16, CountedRows: 10, ExtentBytes: 20_000}

// A state that is saved in parts is loaded again, whatever was compacted, deleted, and made again; members with other habits have
// parts of the same names.
func TestParts(t *testing.T) {
	testlong.Skip(t)
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, 31))
		l := smallExtents
		l.ColdBytes = 1 + int(seed%3)*20
		prompt := newPartMember(t, simdisk.New(1), l)
		prompt.shelf = NewShelf(nil)
		late := newPartMember(t, simdisk.New(2), limits.Index{CompactionWork: 1 << 20, SlabBytes: 1 << 12, EvacuationBytes: 100, CountedRows: 3, ExtentBytes: 20_000})
		both := func(commands ...[]byte) {
			apply(t, prompt.state, commands...)
			apply(t, late.state, commands...)
		}
		for range 5 * (seed % 2) {
			both(entry(r)...)
		}
		loads, bases, away := 0, 0, int64(0)
		for n := range 150 {
			both(entry(r)...)
			v := prompt.state.View()
			if n%10 == 9 {
				both(new(index.Head).AppendCompact(nil, max(v.Compacted()+1, v.Revision()-r.Int64N(300))).Bytes)
			}
			prompt.store()
			if n%37 == 36 {
				late.store()
				if cuts := v.Extents(); len(cuts) > 2 && cuts[1].To < v.Compacted() {
					both(index.AppendRebase(nil, cuts[1].To).Bytes)
					bases++
				}
			}
			if n%25 != 24 {
				continue
			}
			late.store()
			prompt.store()
			if fmt.Sprint(late.base, late.parts) != fmt.Sprint(prompt.base, prompt.parts) {
				t.Fatalf("seed %d: parts %v %v and %v %v", seed, late.base, late.parts, prompt.base, prompt.parts)
			}
			for _, m := range []*partMember{late, prompt} {
				path := m.snapshot()
				if !m.state.View().BaseServes() {
					t.Fatalf("seed %d: the base does not serve though all is reclaimed", seed)
				}
				loaded, meta, err := Load(m.fs, path, l)
				if err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				if len(meta.Parts) != len(m.base)+len(m.parts) {
					t.Fatalf("seed %d: the head lists %d parts of %d", seed, len(meta.Parts), len(m.base)+len(m.parts))
				}
				sameView(t, loaded.ViewToSave(), late.state.ViewToSave())
				for _, s := range []*index.State{loaded, prompt.state} {
					sameReads(t, s.View(), late.state.View(), r)
					if err := s.Check(); err != nil {
						t.Fatal(err)
					}
					n, _ := s.View().Cold()
					away += n
				}
				loads++
			}
		}
		if n, _ := late.state.View().Cold(); loads == 0 || bases == 0 || len(prompt.parts) == 0 || away < 300 || n != 0 {
			t.Errorf("seed %d: %d loads, %d bases, %d extents, %d cold values, and %d of the other: the test shows nothing", seed, loads, bases, len(prompt.parts), away, n)
		}
	}
}

// sameReads compares what two views answer: ranges at some revisions, and all changes with their previous pairs.
func sameReads(t testing.TB, got, want *index.View, r *rand.Rand) {
	t.Helper()
	for range 5 {
		q := kv.Range{Key: []byte("k"), End: []byte("l"), Revision: want.Revision() - r.Int64N(want.Revision()-want.Compacted()+1)}
		if r.IntN(4) == 0 {
			q.Sort, q.Order = kv.SortByValue, kv.SortDescend
		}
		a, err := rangeOf(got, q)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := rangeOf(want, q); err != nil || a != b {
			t.Fatalf("the range at revision %d differs (%v):\n%s\n%s", q.Revision, err, a, b)
		}
	}
	if a, b := changesOf(t, got), changesOf(t, want); a != b {
		t.Fatalf("the changes differ:\n%s\n%s", a, b)
	}
}

func showPair(to *strings.Builder, one *kv.KeyValue) {
	fmt.Fprintf(to, "%s %d %d %d %d %s\n", one.Key, one.CreateRevision, one.ModRevision, one.Version, one.Lease, one.Value)
}

func rangeOf(v *index.View, q kv.Range) (string, error) {
	reader := index.NewUnpagedReader(q, 1<<40)
	for {
		if result, done, err := reader.Step(v, 10); done {
			var all strings.Builder
			for i := range result.KVs {
				showPair(&all, &result.KVs[i])
			}
			return all.String(), err
		}
	}
}

// changesOf is all changes of a View. Values that are not in memory are read.
func changesOf(t testing.TB, v *index.View) string {
	t.Helper()
	var all strings.Builder
	show := func(pair kv.KeyValue, unread *index.Unread) {
		if unread != nil {
			value, err := unread.Read()
			if err != nil || len(value) != unread.Size() || len(pair.Value) != 0 {
				t.Fatalf("%q: %d bytes of %d, and %d in memory: %v", pair.Key, len(value), unread.Size(), len(pair.Value), err)
			}
			pair.Value = value
		}
		showPair(&all, &pair)
	}
	_, err := v.Changes(index.Position{Revision: v.Compacted()}, func(c *index.Change) bool {
		show(c.KV, c.Unread())
		if before, unread, ok := c.Before(); ok {
			show(before, unread)
		}
		fmt.Fprintln(&all, c.Sub, c.Deleted, c.Last)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// savedInParts is a small state in parts. Another cluster's has other values.
func savedInParts(t testing.TB, cluster int64) (*partMember, string) {
	m := newPartMember(t, simdisk.New(1), limits.Index{CompactionWork: 1 << 20, SlabBytes: 1 << 16, EvacuationBytes: 1 << 16, CountedRows: 10, ExtentBytes: 800})
	for n := range 32 {
		apply(t, m.state, new(index.Head).AppendPut(nil, &kv.Put{Key: fmt.Append(nil, "k", n%7), Value: sized(20 * (n % 9))(int64(n) + 100*cluster)}).Bytes)
	}
	m.rebase(0)
	return m, m.snapshot()
}

// The parts of testdata are never written again. Their names are what members compare: the same changes give the same bytes, for ever.
func TestGoldenParts(t *testing.T) {
	m, path := savedInParts(t, 0)
	for name, saved := range map[string]string{
		"piece.part": "d/" + m.base[0].Name(), "extent.part": "d/" + m.parts[1].Name(), "parts.snap": path,
	} {
		b, file := slurp(t, m.fs, saved), filepath.Join("testdata", name)
		want, err := os.ReadFile(file)
		if *golden {
			want, err = b, os.WriteFile(file, b, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b, want) {
			t.Errorf("%s: the same content is saved as other bytes", name)
		}
	}
	for name, want := range map[string]struct{ keys, changes int }{"piece.part": {7, 0}, "extent.part": {0, 5}, "parts.snap": {0, 5}} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := contents(inMemory{b: b}, name)
		if err != nil || len(got.keys) != want.keys || len(got.redone) != want.changes {
			t.Errorf("%s: %d keys and %d changes, %v", name, len(got.keys), len(got.redone), err)
		}
	}
}

func rewritten(t testing.TB, fs disk.FS, name string, change func(b []byte) []byte) (undo func()) {
	t.Helper()
	f, err := fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	size, _ := f.Size()
	old := make([]byte, size)
	if _, err := f.ReadAt(old, 0); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	f.Close()
	put := func(b []byte) {
		fs.Remove(name)
		f, err := fs.Create(name)
		if err == nil {
			_, err = f.WriteAt(b, 0)
		}
		if err = errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	put(change(slices.Clone(old)))
	return func() { put(old) }
}

// Every flipped bit, and every cut, of every part is an error that names the part. So is a part that is missing, or another's.
func TestDamagedParts(t *testing.T) {
	m, path := savedInParts(t, 0)
	other, _ := savedInParts(t, 1)
	parts := slices.Concat(m.base, m.parts)
	if len(parts) < 4 {
		t.Fatalf("only %d parts", len(parts))
	}
	verified := 0
	refused := func(what string) {
		t.Helper()
		if verified++; full || verified%16 == 0 || strings.HasPrefix(what, "a") { // it costs more
			if _, err := Verify(m.fs, path); !errors.Is(err, damage.ErrDamaged) && !errors.Is(err, damage.ErrFormat) {
				t.Fatalf("%s, verified: %v", what, err)
			}
		}
		if _, _, err := Load(m.fs, path, smallExtents); !errors.Is(err, damage.ErrDamaged) && !errors.Is(err, damage.ErrFormat) && !errors.Is(err, iofs.ErrNotExist) {
			t.Fatalf("%s: %v", what, err)
		}
	}
	step := 37
	if full {
		step = 1
	}
	for i, p := range parts {
		name := "d/" + p.Name()
		for bit := i; bit < int(p.Bytes)*8; bit += step {
			undo := rewritten(t, m.fs, name, func(b []byte) []byte { b[bit/8] ^= 1 << (bit % 8); return b })
			refused(fmt.Sprintf("bit %d of part %d", bit, i))
			undo()
		}
		for length := 0; length < int(p.Bytes); length += step {
			undo := rewritten(t, m.fs, name, func(b []byte) []byte { return b[:length] })
			refused(fmt.Sprintf("part %d cut to %d bytes", i, length))
			undo()
		}
		instead := slurp(t, m.fs, "d/"+parts[(i+1)%len(parts)].Name())
		undo := rewritten(t, m.fs, name, func([]byte) []byte { return instead })
		refused("another part's content")
		undo()
		// Sound content that another name belongs to, of the same number.
		instead = slurp(t, other.fs, "d/"+slices.Concat(other.base, other.parts)[i].Name())
		undo = rewritten(t, m.fs, name, func([]byte) []byte { return instead })
		refused("a part of another cluster")
		_, _, err := Load(m.fs, path, smallExtents)
		if _, verified := Verify(m.fs, path); !strings.Contains(fmt.Sprint(err), p.Name()) || !strings.Contains(fmt.Sprint(verified), p.Name()) {
			t.Errorf("a part of another cluster in the place of %s: %v, and %v", p.Name(), err, verified)
		}
		undo()
		undo = rewritten(t, m.fs, name, func(b []byte) []byte { return b })
		m.fs.Remove(name)
		refused("a missing part")
		undo()
	}
	if _, _, err := Load(m.fs, path, smallExtents); err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(m.fs, path); err != nil {
		t.Fatal(err)
	}
}

// All damaged, missing and unreadable parts are reported.
func TestAllDamagedPartsAreReported(t *testing.T) {
	m, path := savedInParts(t, 0)
	parts := slices.Concat(m.base, m.parts)
	rotten, lost, unread := parts[0], parts[2], parts[len(parts)-1]
	rewritten(t, m.fs, "d/"+rotten.Name(), func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
	m.fs.Remove("d/" + lost.Name())
	m.fs.(*simdisk.Disk).Fail(simdisk.Fault{Call: 1, Op: simdisk.OpRead, Name: unread.Name(), Err: syscall.EIO})
	listing, err := List(m.fs, "d")
	if err != nil || len(listing.Published) != 1 || listing.Published[0].Path != path {
		t.Fatal(listing.Published, err)
	}
	all, err := Defects(m.fs, listing.Published[0])
	if err != nil || len(all) != 3 {
		t.Fatalf("damaged are %v: %v", all, err)
	}
	for i, p := range []Part{rotten, lost, unread} {
		if one := all[i]; one.Part != p || one.Missing != (p == lost) || errors.Is(one.Err, damage.ErrDamaged) != (p == rotten) || !strings.Contains(one.Err.Error(), p.Name()) {
			t.Errorf("%s is %+v", p.Name(), one)
		}
	}
}

// A part that is made again replaces the file of its name: that may be damaged. A part that snapshots list is there also after an error.
func TestPartIsMadeAgain(t *testing.T) {
	m, path := savedInParts(t, 0)
	name := "d/" + m.base[0].Name()
	sound := slurp(t, m.fs, name)
	again := func() error {
		saver, err := BeginRangeFile(m.fs, "d", m.base[0].To, m.state.View().BaseRange(nil))
		for done := false; err == nil && !done; {
			done, err = saver.Step(1 << 20)
		}
		if err == nil && saver.Part() != m.base[0] {
			t.Errorf("another piece was made: %+v", saver.Part())
		}
		return err
	}
	rewritten(t, m.fs, name, func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
	if err := again(); err != nil || !bytes.Equal(slurp(t, m.fs, name), sound) {
		t.Errorf("the file is not the one that was made: %v", err)
	}
	m.fs.(*simdisk.Disk).Fail(simdisk.Fault{Call: 1, Op: simdisk.OpSyncDir, Err: syscall.EIO})
	if err := again(); !errors.Is(err, syscall.EIO) {
		t.Errorf("an error of the folder: %v", err)
	}
	if _, err := Verify(m.fs, path); err != nil {
		t.Error(err)
	}
}

// A change of a few keys leaves most pieces of a base as they are.
func TestPiecesStay(t *testing.T) {
	testlong.Skip(t)
	if testing.Short() {
		t.Skip("it makes 100 MB of keys")
	}
	m := newPartMember(t, simdisk.New(1), limits.Defaults().Index)
	value := make([]byte, 1000)
	for n := 0; n < 100_000; n += 1000 {
		var commands [][]byte
		for i := range 1000 {
			commands = append(commands, new(index.Head).AppendPut(nil, &kv.Put{Key: fmt.Appendf(nil, "key %08d", n+i), Value: value}).Bytes)
		}
		apply(t, m.state, commands...)
	}
	m.begin()
	m.store()
	before := m.base
	for len(m.state.View().Extents()) == 0 { // 1 % of the keys, of one range
		var commands [][]byte
		for n := range 1000 {
			commands = append(commands, new(index.Head).AppendPut(nil, &kv.Put{Key: fmt.Appendf(nil, "key %08d", 50_000+n), Value: value}).Bytes)
		}
		apply(t, m.state, commands...)
	}
	apply(t, m.state, new(index.Head).AppendCompact(nil, m.state.Revision()).Bytes)
	m.store()
	apply(t, m.state, index.AppendRebase(nil, m.state.View().Extents()[0].To).Bytes)
	m.store()
	changed, bytes, all := 0, int64(0), int64(0)
	for _, p := range m.base {
		all += p.Bytes
		if !slices.ContainsFunc(before, func(old Part) bool { return old.SHA == p.SHA }) {
			changed++
			bytes += p.Bytes
		}
	}
	t.Logf("%d of %d pieces have changed, %d of %d bytes", changed, len(m.base), bytes, all)
	if changed == 0 || changed > 2 || len(m.base) < 5 {
		t.Errorf("%d of %d pieces have changed", changed, len(m.base))
	}
}

// opens counts the files that are opened.
type opens struct {
	disk.FS
	n int
}

func (o *opens) Open(name string) (disk.File, error) {
	o.n++
	return o.FS.Open(name)
}

// A member reads whole files by a file system that reads ahead, and single values without it.
func TestValuesAreNotReadAhead(t *testing.T) {
	l := smallExtents
	l.ColdBytes = 1
	m := newPartMember(t, simdisk.New(1), l)
	for n := range 20 {
		apply(t, m.state, new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k"), Value: make([]byte, 5_000+n)}).Bytes)
	}
	path, files := m.snapshot(), &opens{FS: m.fs}
	state, meta, err := LoadIn(index.NewReserve(), m.fs, files, path, l)
	if err != nil || files.n != 1+len(meta.Parts) {
		t.Fatalf("%d files are opened for %d parts: %v", files.n, len(meta.Parts), err)
	}
	v := state.View()
	got, err := v.Range(kv.Range{Key: []byte("k"), Revision: v.Revision() - 15}, 0)
	if n, _ := v.Cold(); err != nil || len(got.KVs) != 1 || n < 10 || files.n != 1+len(meta.Parts) {
		t.Errorf("%d values are in files, one is read as %v, and %d files were opened: %v", n, len(got.KVs), files.n, err)
	}
}
