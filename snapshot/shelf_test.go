package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/log/disk"
	"qkv/log/disk/simdisk"
)

// shelved is a member with superseded versions in a base of some pieces and in extents, and none of their values in memory.
func shelved(t testing.TB, fs disk.FS) *partMember {
	t.Helper()
	l := smallExtents
	l.ExtentBytes, l.ColdBytes = 900, 1
	m := newPartMember(t, fs, l)
	m.shelf = NewShelf(nil)
	for n := range 60 {
		if n == 15 {
			m.begin()
		}
		apply(t, m.state, new(index.Head).AppendPut(nil, &kv.Put{Key: fmt.Append(nil, "k", n%5), Value: sized(20 + n%9)(int64(n))}).Bytes)
	}
	m.snapshot()
	if len(m.shelf.base) != 1 || len(m.shelf.extents) < 3 {
		t.Fatalf("%d pieces and %d extents", len(m.shelf.base), len(m.shelf.extents))
	}
	return m
}

// one is a version whose value is in a part.
type one struct {
	key   []byte
	at    index.Position
	value []byte
}

func (o *one) sound(value []byte) bool { return bytes.Equal(value, o.value) }

// versionsIn returns the versions of a state up to what a Shelf has, in the order in which they were made.
func versionsIn(t testing.TB, s *index.State, to int64) (all []one) {
	t.Helper()
	s.View().Records(func(key []byte, v *index.Version) bool {
		if err := v.Read(); err != nil {
			t.Fatal(err)
		}
		if v.Mod <= to && !v.Tombstone {
			all = append(all, one{bytes.Clone(key), index.Position{Revision: v.Mod, Sub: v.Sub}, bytes.Clone(v.Value)})
		}
		return true
	})
	return all
}

// readAll reads all versions from a Shelf, and returns how many could not be read. A wrong value is fatal.
func readAll(t testing.TB, s *Shelf, all []one) (failed int, err error) {
	t.Helper()
	for i := range all {
		o := &all[i]
		value, why := s.Value(o.key, o.at, o.sound)
		switch {
		case why != nil:
			failed, err = failed+1, why
		case !bytes.Equal(value, o.value):
			t.Fatalf("%q at %v is %x, it was %x", o.key, o.at, value, o.value)
		}
	}
	return failed, err
}

// Every bit of a part is flipped: what is read is right, or an error. The check of a value's checksum is the index's own.
func TestEveryBitOfAShelf(t *testing.T) {
	fs := &spoiled{FS: simdisk.New(1), bit: -1}
	m := shelved(t, fs)
	view := m.state.View()
	if n, _ := view.Cold(); n < 40 {
		t.Fatalf("%d values are cold", n)
	}
	want := map[index.Position][]byte{}
	for _, o := range versionsIn(t, m.state, view.Revision()) {
		want[o.at] = o.value
	}
	for kind, v := range map[string]*Volume{"piece": m.shelf.base[0], "extent": m.shelf.extents[1]} {
		fs.path = "d/" + v.Name()
		wrong, elsewhere, inside := 0, 0, 0
		for bit := range int(v.Bytes) * 8 {
			fs.bit = bit
			var failed error
			view.Scan(nil, func(key []byte, versions []index.Version) bool {
				for i := range versions {
					one := &versions[i]
					if err := one.Read(); err != nil {
						failed = err
					} else if !bytes.Equal(one.Value, want[index.Position{Revision: one.Mod, Sub: one.Sub}]) {
						t.Fatalf("bit %d of the %s: %q at revision %d is %x", bit, kind, key, one.Mod, one.Value)
					}
				}
				return true
			})
			if e, is := errors.AsType[*kv.Error](failed); failed != nil && (!is || e.Code != kv.Unavailable) {
				t.Fatalf("bit %d of the %s: %v", bit, kind, failed)
			}
			if found := m.shelf.Damaged(); failed != nil {
				if wrong++; found == nil {
					elsewhere++
				} else if found.Part != v.Part || !errors.Is(found, damage.ErrDamaged) {
					t.Fatalf("bit %d of the %s: %v of %s", bit, kind, found, found.Part.Name())
				}
			}
			if c := v.chunks[len(v.chunks)-1]; int64(bit/8) >= v.chunks[0].offset && int64(bit/8) < c.offset+int64(c.size) {
				inside++
			}
		}
		fs.bit = -1
		t.Logf("%s: %d of %d bits in %d chunks made values unreadable, %d without a damaged part", kind, wrong, inside, len(v.chunks), elsewhere)
		if wrong < inside*3/4 || kind == "extent" && elsewhere > 0 {
			t.Errorf("%s: %d of %d bits made values unreadable, %d without a damaged part", kind, wrong, inside, elsewhere)
		}
	}
	if _, err := readAll(t, m.shelf, versionsIn(t, m.state, m.shelf.To())); err != nil {
		t.Error(err)
	}
}

// The versions of a key go over several blocks and chunks of a piece, and the changes of a revision over several chunks of an extent. A
// loaded state finds each where the saver did.
func TestLongKeyOnAShelf(t *testing.T) {
	fs := simdisk.New(1)
	l := smallExtents
	l.ExtentBytes, l.ColdBytes = 400_000, 1
	m := newPartMember(t, fs, l)
	m.shelf = NewShelf(nil)
	put := func(key string, bytes int, seed int) kv.Op {
		return kv.Op{Put: &kv.Put{Key: []byte(key), Value: sized(bytes)(int64(seed))}}
	}
	for n := range 400 {
		if n == 250 {
			m.begin()
		}
		ops := []kv.Op{put("b", 2000+n, n), put(fmt.Sprintf("a%03d", n), 30, n), put(fmt.Sprintf("c%03d", n%7), 30, n)}
		if n%100 == 99 {
			for i := range 50 {
				ops = append(ops, put(fmt.Sprintf("d%03d", i), 1000, i+n))
			}
		}
		apply(t, m.state, new(index.Head).AppendTxn(nil, &kv.Txn{Success: ops}).Bytes)
	}
	all := versionsIn(t, m.state, m.state.View().Revision())
	path := m.snapshot()
	if to := m.shelf.base[0].To; to < 200 || to > 300 || len(m.shelf.extents) == 0 {
		t.Fatalf("the base is of revision %d, behind it %d extents", m.shelf.base[0].To, len(m.shelf.extents))
	}
	blocks, chunks := map[int64]bool{}, 0
	for i, c := range m.shelf.base[0].chunks {
		if string(m.shelf.base[0].keys[i]) == "b" {
			blocks[c.offset/snapshotBlockBytes], chunks = true, chunks+1
		}
		if c.size == 0 || c.size > 2*chunkBytes+5000 && c.size > snapshotBlockBytes+5000 {
			t.Errorf("chunk %d has %d bytes", i, c.size)
		}
	}
	if len(blocks) < 2 || chunks < 2 {
		t.Errorf("the key has %d chunks in %d blocks", chunks, len(blocks))
	}
	loaded, _, err := Load(fs, path, l)
	if err != nil {
		t.Fatal(err)
	}
	other := ShelfOf(loaded)
	if other.To() != m.shelf.To() || len(other.base) != len(m.shelf.base) || len(other.extents) != len(m.shelf.extents) {
		t.Fatalf("the loaded Shelf is %+v", other)
	}
	for i, v := range slices.Concat(other.base, other.extents) {
		if saved := slices.Concat(m.shelf.base, m.shelf.extents)[i]; !reflect.DeepEqual(v.chunkIndex, saved.chunkIndex) {
			t.Errorf("part %d has other places when it is loaded:\n%+v\n%+v", i, v.chunkIndex.chunks, saved.chunkIndex.chunks)
		}
	}
	for name, s := range map[string]*Shelf{"saved": m.shelf, "loaded": other} {
		var within []one
		for _, o := range all {
			if o.at.Revision <= s.To() {
				within = append(within, o)
			}
		}
		if failed, err := readAll(t, s, within); failed > 0 || len(within) < 1000 {
			t.Errorf("%s: %d of %d values cannot be read: %v", name, failed, len(within), err)
		}
		if values, failed := s.Reads(); values < uint64(len(within)) || failed != 0 {
			t.Errorf("%s: it counted %d reads, and %d that failed", name, values, failed)
		}
		for _, key := range []string{"", "a", "b0", "zzz"} { // no such key, or no such version
			for _, at := range []index.Position{{Revision: 3}, {Revision: 3, Sub: 9}, {Revision: s.To() + 1}} {
				if _, err := s.Value([]byte(key), at, func([]byte) bool { return true }); err == nil {
					t.Errorf("%s: %q has a value at %v", name, key, at)
				}
			}
		}
	}
}

// A Shelf reads extents without a gap behind its base. It keeps those behind a newer base.
func TestShelfChanges(t *testing.T) {
	m := shelved(t, simdisk.New(1))
	full, base, extents := m.shelf, m.shelf.base, m.shelf.extents
	s := NewShelf(nil)
	early := s.With(extents[0]).With(extents[1])
	if s.To() != index.EmptyBase || early.To() != s.To() {
		t.Error("extents are read without the base before them")
	}
	if behind := s.With(&Volume{Part: Part{Number: 1, From: s.To() + 1, To: 9}}); behind.To() != 9 {
		t.Errorf("extents behind the empty base are read up to revision %d", behind.To())
	}
	if rebased := early.Rebased(base); rebased.To() != extents[1].To {
		t.Errorf("with a base, extents that came before are read up to revision %d", rebased.To())
	}
	s = NewShelf(base)
	if late := s.With(extents[1]); s.To() != base[0].To || late.To() != s.To() || late.With(extents[0]) != late {
		t.Error("an extent is read without the one before")
	}
	gap := s.With(extents[0]).With(extents[2])
	if gap.To() != extents[0].To {
		t.Errorf("with a gap, extents are read up to revision %d", gap.To())
	}
	if rebased := gap.Rebased([]*Volume{{Part: Part{To: extents[1].To}, chunkIndex: base[0].chunkIndex}}); rebased.To() != extents[2].To {
		t.Errorf("a base behind the gap reads up to revision %d", rebased.To())
	}
	first := s.With(extents[0])
	if again := first.With(extents[0]); again != first {
		t.Error("an extent is taken twice")
	}
	second, other := first.With(extents[1]), first.With(extents[1])
	if second.To() != extents[1].To || first.To() != extents[0].To || len(first.extents) != 1 || len(other.extents) != 2 {
		t.Error("With has changed a Shelf")
	}
	if _, err := first.Value(nil, index.Position{Revision: extents[1].To}, nil); !errors.Is(err, index.ErrElsewhere) {
		t.Errorf("a value of a later extent: %v", err)
	}
	newer := &Volume{Part: Part{To: extents[0].To}, chunkIndex: base[0].chunkIndex}
	rebased := full.Rebased([]*Volume{newer})
	if rebased.To() != full.To() || len(rebased.extents) != len(extents)-1 || rebased.extents[0] != extents[1] || rebased.base[0] != newer || len(full.extents) != len(extents) {
		t.Errorf("a Shelf with the base of the first extent: %+v", rebased)
	}
	newer = &Volume{Part: Part{To: full.To()}, chunkIndex: base[0].chunkIndex}
	if rebased = full.Rebased([]*Volume{newer}); len(rebased.extents) != 0 || rebased.To() != full.To() {
		t.Errorf("a Shelf with the base of the last extent: %+v", rebased)
	}
	for i, part := range full.Parts() {
		want := int64(0) // the changes behind a harmed base supersede versions in it
		if i >= len(base) {
			want = extents[i-len(base)].From - 1
		}
		harmed := full.Harmed(part, true)
		if harmed.To() != want || harmed.Reach() != full.Reach() || harmed.Harmed(part, false).To() != full.To() {
			t.Errorf("with %s harmed, values up to revision %d may leave memory, not up to %d", part.Name(), harmed.To(), want)
		}
	}
	var late []one
	for _, o := range versionsIn(t, m.state, full.To()) {
		if o.at.Revision > extents[0].To {
			late = append(late, o)
		}
	}
	if failed, err := readAll(t, full.Rebased([]*Volume{{Part: Part{To: extents[0].To}, chunkIndex: base[0].chunkIndex}}), late); failed > 0 || len(late) == 0 {
		t.Errorf("%d of %d values cannot be read from the extents that stay: %v", failed, len(late), err)
	}
}

// A damaged part is reported once, by whichever Shelf of a state. Its replacement is read.
func TestShelfIsRepaired(t *testing.T) {
	for _, where := range []string{"base", "extents"} {
		fs := simdisk.New(1)
		m := shelved(t, fs)
		list := map[string][]*Volume{"base": m.shelf.base, "extents": m.shelf.extents}[where]
		all := versionsIn(t, m.state, m.shelf.To())
		v := list[len(list)-1]
		before, _ := m.shelf.Reads()
		sound := slurp(t, fs, "d/"+v.Name())
		write := func(b []byte) {
			f, err := fs.OpenWritable("d/" + v.Name())
			if err == nil {
				_, err = f.WriteAt(b, 0)
			}
			if err = errors.Join(err, f.Close()); err != nil {
				t.Fatal(err)
			}
		}
		if m.shelf.Damaged() != nil {
			t.Fatal("a part is damaged before it was read")
		}
		write(make([]byte, len(sound)))
		failed, _ := readAll(t, m.shelf, all)
		other := m.shelf.Rebased(m.shelf.base)
		found := other.Damaged()
		if failed == 0 || failed == len(all) || found == nil || found.Part != v.Part || !errors.Is(found, damage.ErrDamaged) {
			t.Fatalf("%s: %d of %d values cannot be read, and %+v was found", where, failed, len(all), found)
		}
		if again := m.shelf.Damaged(); again != nil {
			t.Errorf("%s: it is reported twice: %+v", where, again)
		}
		write(sound)
		if failed, err := readAll(t, m.shelf, all); failed > 0 {
			t.Errorf("%s: %d values cannot be read after the repair: %v", where, failed, err)
		}
		if values, wrong := other.Reads(); wrong != uint64(failed) || values-before != uint64(2*len(all)-failed) {
			t.Errorf("%s: %d reads were counted, and %d that failed", where, values-before, wrong)
		}
	}
}

// spoiled is a disk with a file that has a wrong bit, or whose reads wait.
type spoiled struct {
	disk.FS
	path    string
	bit     int // of the file; negative: none
	content []byte
	waits   *gate // nil: reads do not wait. Otherwise they read content
}

type spoiledFile struct {
	disk.File // nil if reads wait
	of        *spoiled
}

func (s *spoiled) Open(name string) (disk.File, error) {
	if s.waits != nil && name == s.path {
		return spoiledFile{of: s}, nil
	}
	f, err := s.FS.Open(name)
	return spoiledFile{f, s}, err
}

func (f spoiledFile) Close() error {
	if f.File == nil {
		return nil
	}
	return f.File.Close()
}

func (f spoiledFile) ReadAt(p []byte, at int64) (n int, err error) {
	switch s := f.of; {
	case f.File != nil && f.Name() != s.path:
		return f.File.ReadAt(p, at)
	case s.waits != nil:
		s.waits.pass()
		return copy(p, s.content[at:]), nil
	default:
		if n, err = f.File.ReadAt(p, at); s.bit >= 0 && int64(s.bit/8) >= at && int64(s.bit/8) < at+int64(n) {
			p[int64(s.bit/8)-at] ^= 1 << (s.bit % 8)
		}
		return n, err
	}
}

// gate lets readers pass one at a time.
type gate struct {
	mu      sync.Mutex
	changed sync.Cond
	inside  int
	most    int
	allowed int // readers that may go on
}

func (g *gate) pass() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside++
	g.most = max(g.most, g.inside)
	g.changed.Broadcast()
	for g.allowed == 0 {
		g.changed.Wait()
	}
	g.allowed--
	g.inside--
	g.changed.Broadcast()
}

// A disk that answers nothing keeps limits.ValueReads readers, whatever Shelves of a state they read from; the others wait.
func TestReadsAreBounded(t *testing.T) {
	fs := &spoiled{FS: simdisk.New(1), bit: -1}
	m := shelved(t, fs)
	o := versionsIn(t, m.state, m.shelf.To())[0]
	fs.path = "d/" + m.shelf.base[0].Name()
	fs.content = slurp(t, fs, fs.path)
	g := &gate{}
	g.changed.L = &g.mu
	fs.waits = g
	shelves := []*Shelf{m.shelf, m.shelf.Rebased(m.shelf.base)}
	const readers = 2*limits.ValueReads + 10
	var all sync.WaitGroup
	for n := range readers {
		all.Go(func() {
			if value, err := shelves[n%2].Value(o.key, o.at, o.sound); err != nil || !o.sound(value) {
				t.Errorf("%x, %v", value, err)
			}
		})
	}
	g.mu.Lock()
	for g.inside < limits.ValueReads {
		g.changed.Wait()
	}
	g.allowed = readers // a reader that finds the last chunk in memory does not come here
	g.changed.Broadcast()
	g.mu.Unlock()
	all.Wait()
	if g.most != limits.ValueReads {
		t.Errorf("%d values were read at a time, the limit is %d", g.most, limits.ValueReads)
	}
}

// Each read gives its slot back, whatever it finds: more reads than slots end.
func TestReadsGiveTheirSlotsBack(t *testing.T) {
	for name, harm := range map[string]func(m *partMember, o *one){
		"sound":         func(*partMember, *one) {},
		"another value": func(_ *partMember, o *one) { o.value = []byte("none") },
		"no such key":   func(_ *partMember, o *one) { o.key = []byte("k0x") },
		"no such place": func(_ *partMember, o *one) { o.at.Sub += 7 },
		"behind all":    func(_ *partMember, o *one) { o.at.Revision += 1 << 20 },
		"damaged": func(m *partMember, _ *one) {
			for _, v := range slices.Concat(m.shelf.base, m.shelf.extents) {
				if err := truncated(m.fs, "d/"+v.Name(), 100); err != nil {
					m.t.Fatal(err)
				}
			}
		},
	} {
		m := shelved(t, simdisk.New(1))
		all := versionsIn(t, m.state, m.shelf.To())
		for _, o := range []one{all[0], all[len(all)-1]} { // in the base, and in an extent
			harm(m, &o)
			for n := range limits.ValueReads + 1 {
				_, err := m.shelf.Value(o.key, o.at, o.sound)
				if taken := len(m.shelf.reads.slots); taken > 0 {
					t.Fatalf("%s: after %d reads %d slots are taken: %v", name, n+1, taken, err)
				}
			}
		}
	}
}

// A part that is gone, or too short, is damaged: another member's is fetched.
func TestLostPartIsDamaged(t *testing.T) {
	for name, harm := range map[string]func(fs *simdisk.Disk, path string) error{
		"gone":  func(fs *simdisk.Disk, path string) error { return fs.Remove(path) },
		"short": func(fs *simdisk.Disk, path string) error { return truncated(fs, path, 100) },
	} {
		for n := range 2 {
			fs := simdisk.New(1)
			m := shelved(t, fs)
			all := versionsIn(t, m.state, m.shelf.To())
			v := []*Volume{m.shelf.base[0], m.shelf.extents[1]}[n]
			if err := harm(fs, "d/"+v.Name()); err != nil {
				t.Fatal(err)
			}
			failed, _ := readAll(t, m.shelf, all)
			if found := m.shelf.Damaged(); failed == 0 || found == nil || found.Part != v.Part || !errors.Is(found, damage.ErrDamaged) {
				t.Errorf("%s, %s: %d values cannot be read, and %+v was found", v.Name(), name, failed, found)
			}
		}
	}
}

func truncated(fs disk.FS, path string, size int64) error {
	f, err := fs.OpenWritable(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(size), f.Close())
}

// openFiles counts the files that are open.
type openFiles struct {
	disk.FS
	open int
}

type openFile struct {
	disk.File
	of *openFiles
}

func (o *openFiles) Open(name string) (disk.File, error) {
	f, err := o.FS.Open(name)
	if err != nil {
		return nil, err
	}
	o.open++
	return openFile{f, o}, nil
}

func (f openFile) Close() error {
	f.of.open--
	return f.File.Close()
}

// No file stays open, and no reader's slot stays taken, after reads that succeed and reads that fail.
func TestReadsKeepNothing(t *testing.T) {
	disk := simdisk.New(1)
	fs := &openFiles{FS: disk}
	m := shelved(t, fs)
	all := versionsIn(t, m.state, m.shelf.To())
	before := fs.open
	readAll(t, m.shelf, all)
	for _, v := range m.shelf.extents {
		if err := truncated(disk, "d/"+v.Name(), 100); err != nil {
			t.Fatal(err)
		}
	}
	if failed, _ := readAll(t, m.shelf, all); failed == 0 {
		t.Error("short files can be read")
	}
	if fs.open != before || len(m.shelf.reads.slots) > 0 {
		t.Errorf("%d files stay open, and %d slots are taken", fs.open-before, len(m.shelf.reads.slots))
	}
}

// A key at the beginning of a piece is looked for in that piece.
func TestFirstKeyOfAPiece(t *testing.T) {
	var pieces []*Volume
	for _, first := range []string{"a", "k", "t"} {
		pieces = append(pieces, &Volume{Part: Part{To: 9}, path: first, chunkIndex: chunkIndex{keys: [][]byte{[]byte(first)}}})
	}
	s := NewShelf(pieces)
	for key, want := range map[string]string{"A": "a", "a": "a", "j": "a", "k": "k", "k\x00": "k", "s": "k", "t": "t", "z": "t"} {
		if got := s.volume([]byte(key), index.Position{Revision: 5}); got.path != want {
			t.Errorf("%q is looked for in the piece from %q, not from %q", key, got.path, want)
		}
	}
}

// A part is not saved without a value that cannot be read.
func TestPartWithoutAValueIsNotSaved(t *testing.T) {
	fs := simdisk.New(1)
	m := shelved(t, fs)
	v := m.state.View()
	extents := v.Extents()
	for _, one := range slices.Concat(m.shelf.base, m.shelf.extents) {
		if err := fs.Remove("d/" + one.Name()); err != nil {
			t.Fatal(err)
		}
	}
	piece, failed := BeginRangeFile(fs, "d", v.Base(), v.BaseRange(nil))
	extent, err := BeginExtent(fs, "d", v, extents[len(extents)-2])
	if err = errors.Join(err, failed); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*Saver{"piece": piece, "extent": extent} {
		done := false
		for !done && err == nil {
			done, err = s.Step(1000)
		}
		if e, is := errors.AsType[*kv.Error](err); !is || e.Code != kv.Unavailable {
			t.Errorf("the %s was saved: %v, %v", name, done, err)
		}
		err = nil
	}
}

// A key that is changed twice in the first revision of the open extent: the first value is in no part, and stays in memory after a load.
func TestFirstOpenRevisionIsLoaded(t *testing.T) {
	fs := simdisk.New(1)
	m := shelved(t, fs)
	l := smallExtents
	l.ExtentBytes, l.ColdBytes = 900, 1
	met := false
	for n := range 30 {
		apply(t, m.state, new(index.Head).AppendTxn(nil, &kv.Txn{Success: []kv.Op{
			{Put: &kv.Put{Key: []byte("k1"), Value: sized(100)(int64(n))}}, {Delete: &kv.Delete{Key: []byte("k"), End: []byte{0}}},
		}}).Bytes)
		v := m.state.View()
		extents := v.Extents()
		met = met || extents[len(extents)-1].To == v.Revision()-1
		loaded, _, err := Load(fs, m.snapshot(), l)
		if err == nil {
			err = loaded.Check()
		}
		if err != nil {
			t.Fatalf("after %d transactions: %v", n+1, err)
		}
	}
	if !met {
		t.Error("no transaction was the first change of the open extent")
	}
}

// A Shelf does not change when two others are made from it.
func TestShelfGrows(t *testing.T) {
	extent := func(revision int64, path string) *Volume {
		return &Volume{Part: Part{Number: 1, From: revision, To: revision}, path: path, chunkIndex: chunkIndex{chunks: []chunk{{mod: revision}}}}
	}
	s := NewShelf([]*Volume{{Part: Part{To: 1}}})
	for revision := int64(2); revision < 20; revision++ {
		one, other := s.With(extent(revision, "one")), s.With(extent(revision, "other"))
		if got := one.volume(nil, index.Position{Revision: revision}); got.path != "one" {
			t.Errorf("revision %d is read from the Shelf that was made later: %q", revision, got.path)
		}
		s = other
	}
}
