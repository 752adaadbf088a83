package backup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"maps"
	"math"
	"path"
	"runtime"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/damage"
	"qkv/internal/limits"
	"qkv/internal/testlong"
	"qkv/log/disk"
	"qkv/log/disk/simdisk"
	"qkv/snapshot/backup/store"
)

// memory is a read-only disk of files in memory, cheap enough to be made for every bit.
type memory struct {
	disk.FS
	files map[string][]byte
}

type memoryFile struct {
	disk.File
	*bytes.Reader
}

func (f memoryFile) ReadAt(p []byte, off int64) (int, error) { return f.Reader.ReadAt(p, off) }
func (f memoryFile) Size() (int64, error)                    { return f.Reader.Size(), nil }
func (f memoryFile) Close() error                            { return nil }

func (m memory) Open(name string) (disk.File, error) {
	if b, ok := m.files[name]; ok {
		return memoryFile{Reader: bytes.NewReader(b)}, nil
	}
	for n := range m.files {
		if strings.HasPrefix(n, name+"/") {
			return nil, &iofs.PathError{Op: "open", Path: name, Err: disk.ErrNotRegular}
		}
	}
	return nil, &iofs.PathError{Op: "open", Path: name, Err: iofs.ErrNotExist}
}

func (m memory) List(dir string) (names []string, err error) {
	for _, n := range slices.Sorted(maps.Keys(m.files)) {
		if path.Dir(n) == dir {
			names = append(names, path.Base(n))
		}
	}
	return names, nil
}

// inMemory reads a backup's files.
func inMemory(t testing.TB, on disk.FS) memory {
	t.Helper()
	m := memory{files: map[string][]byte{}}
	for _, f := range files(t, on) {
		m.files[f] = slurp(t, on, f)
	}
	return m
}

// with is the disk with another content of one file.
func (m memory) with(name string, b []byte) memory {
	files := maps.Clone(m.files)
	if files[name] = b; b == nil {
		delete(files, name)
	}
	return memory{files: files}
}

// judge restores a damaged backup to several moments. Each result is the state of that moment; or of an earlier one if the loss is accepted,
// and the damage is named; or a refusal that names it. silent allows an end that cannot be told from an older backup.
func judge(t *testing.T, h *history, on memory, damaged string, silent bool) (outcomes string) {
	t.Helper()
	last := uint64(len(h.entries))
	middle := h.moments[len(h.moments)-3]
	for _, one := range []struct {
		what string
		at   At
		want uint64
	}{{"newest", At{}, last}, {"time", At{Wall: middle.wall}, h.at(middle.wall)}, {"loss", At{AcceptLoss: true}, last}} {
		what := one.what
		rd, err := Open(background, place(on))
		if err != nil {
			if !strings.Contains(err.Error(), damaged) {
				t.Fatalf("%s: refused without a name: %v", what, err)
			}
			return "R"
		}
		got, err := rd.Restore(one.at, testLimits(), nil)
		if err != nil {
			if !strings.Contains(err.Error(), damaged) || one.at.AcceptLoss && !errors.Is(err, errDiffers) && !strings.Contains(err.Error(), "no base of the backup can be read") {
				t.Fatalf("%s: refused with %v, and %s was damaged", what, err, damaged)
			}
			outcomes += "r"
			continue
		}
		h.same(got, got.Index)
		named := strings.Contains(fmt.Sprint(got.Notes, rd.Faults, got.Lost), damaged)
		switch {
		case got.Index == one.want:
			outcomes += "="
		case got.Index < one.want && (silent && got.Ends || one.at.AcceptLoss && named):
			outcomes += "<"
		default:
			t.Fatalf("%s: restored entry %d instead of %d, notes %v, lost %v", what, got.Index, one.want, got.Notes, got.Lost)
		}
	}
	return outcomes
}

// named fails unless a verification names the damaged file.
func named(t *testing.T, on memory, damaged, what string) {
	t.Helper()
	rd, err := Open(background, place(on))
	if err == nil {
		var notes []any
		err = rd.Verify(testLimits(), nil, func(v *Verified) { notes = append(notes, v.Fault, v.Log, v.Gap) })
		if text := fmt.Sprint(notes, rd.Faults, err); strings.Contains(text, damaged) {
			return
		}
	}
	if err == nil || !strings.Contains(err.Error(), damaged) {
		t.Fatalf("%s: the verification says %v", what, err)
	}
}

// An object that is cut at any byte is named, wherever it is: no write leaves a part of one.
func TestCutAtEveryByte(t *testing.T) {
	testlong.Skip(t)
	h, on := small(t)
	m := inMemory(t, on)
	step := 29
	if full {
		step = 1
	}
	for _, name := range slices.Sorted(maps.Keys(m.files)) {
		b := m.files[name]
		for n := 0; n < len(b); n += step {
			cut := m.with(name, b[:n:n])
			judge(t, h, cut, name, false)
			named(t, cut, name, fmt.Sprintf("%s cut after %d of %d bytes", name, n, len(b)))
		}
	}
}

func TestFlippedBits(t *testing.T) {
	testlong.Skip(t)
	h, on := small(t)
	m := inMemory(t, on)
	step := 131
	if full {
		step = 1
	}
	outcomes := map[string]int{}
	for _, name := range slices.Sorted(maps.Keys(m.files)) {
		b := m.files[name]
		for bit := 0; bit < len(b)*8; bit += step {
			bad := bytes.Clone(b)
			bad[bit/8] ^= 1 << (bit % 8)
			flipped := m.with(name, bad)
			outcomes[judge(t, h, flipped, name, false)]++
			named(t, flipped, name, fmt.Sprintf("%s bit %d", name, bit))
		}
	}
	t.Logf("outcomes: %v", outcomes)
}

// An object that is missing is named, or what is restored is what the backup was before it had the object.
func TestMissingObjects(t *testing.T) {
	h, on := small(t)
	m := inMemory(t, on)
	for _, name := range slices.Sorted(maps.Keys(m.files)) {
		judge(t, h, m.with(name, nil), missing(name), name == newestLog(m) || strings.Contains(name, "/"+listsDir+"/"))
	}
}

// missing is what a message says of an object that is not there.
func missing(name string) string {
	if of, ok := parseSpan(path.Base(name)); ok {
		return fmt.Sprintf("entry %d is missing", of.first)
	}
	return path.Base(name)
}

func newestLog(m memory) (newest string) {
	for name := range m.files {
		if strings.Contains(name, "/"+logDir+"/") {
			newest = max(newest, name)
		}
	}
	return newest
}

// An object that is there twice as long, or whose name has the content of another one, is not taken.
func TestMisplaced(t *testing.T) {
	h, on := small(t)
	m := inMemory(t, on)
	all := slices.Sorted(maps.Keys(m.files))
	for _, name := range all {
		for _, from := range all {
			if from != name {
				judge(t, h, m.with(name, m.files[from]), name, false)
			}
		}
		judge(t, h, m.with(name, append(bytes.Clone(m.files[name]), m.files[name]...)), name, false)
	}
}

// An object under another name, or in another folder, is as good as missing, and is not taken for another one. The verification names it.
func TestRenamed(t *testing.T) {
	h, on := small(t)
	m := inMemory(t, on)
	upper := func(name string) string { return path.Join(path.Dir(name), strings.ToUpper(path.Base(name))) }
	for name, b := range m.files {
		others := []string{upper(name), name + ".bak", path.Join(path.Dir(name), strings.TrimLeft(path.Base(name), "0"))}
		for _, folder := range []string{"", listsDir, filesDir, logDir, "old"} {
			others = append(others, path.Join("to/b", folder, path.Base(name)))
		}
		for _, to := range others {
			if to == name {
				continue
			}
			bad := m.with(name, nil).with(to, b)
			if is := path.Dir(name) == "to/b"; !is && path.Dir(to) != "to/b/old" {
				named(t, bad, to, "renamed to "+to)
			}
			judge(t, h, bad, missing(name), name == newestLog(m) || strings.Contains(name, "/"+listsDir+"/"))
		}
	}
	all := logs(t, place(on))
	of, name := all[len(all)-1], newestLog(m)
	for _, to := range []span{{of.first + 1, of.last + 1, of.sha}, {of.first, of.last + 1, of.sha}, {of.first - 1, of.last, of.sha}, {of.first, of.last, [32]byte{1}}} {
		bad := m.with(name, nil).with("to/b/"+to.name(), m.files[name])
		if got, err := restore(bad, At{}); err == nil || !damaged(err) && !errors.Is(err, ErrGap) {
			t.Errorf("under the name %s, entry %d is restored: %v", to.name(), got.Index, err)
		}
		got, err := restore(bad, At{AcceptLoss: true})
		must(t, err)
		h.same(got, of.first-1)
	}
}

// An object of another cluster continues the log by its name. It is refused.
func TestForeignObject(t *testing.T) {
	h, on := small(t)
	foreign := newFolder(t)
	w, err := Write(background, place(foreign), true, Cluster{ID: testCluster + 1, Name: "other"}, 1)
	must(t, err)
	w.bases = append(w.bases, Base{Index: uint64(len(h.entries))})
	last := len(h.entries)
	h.grow(2)
	must(t, w.Append(background, h.entries[last:]))
	r := h.save()
	if err := h.copyBase(w, r, 1<<16); !errors.Is(err, ErrForeign) {
		t.Errorf("a snapshot of another cluster: %v", err)
	}
	must(t, errors.Join(r.Close(), w.Close()))
	name := "to/b/" + logs(t, place(foreign))[0].name()
	bad := inMemory(t, on).with(name, slurp(t, foreign, name))
	if _, err := restore(bad, At{}); !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), name) {
		t.Errorf("an object of another cluster: %v", err)
	}
	got, err := restore(bad, At{AcceptLoss: true})
	must(t, err)
	h.same(got, uint64(last))
	again := open(t, onDisk(t, bad))
	if index, _ := again.Last(); index != uint64(last) {
		t.Errorf("a Writer goes on behind entry %d of another cluster", index)
	}
	must(t, again.Close())
}

// A list of another cluster is none of this one, and is named.
func TestForeignList(t *testing.T) {
	h, on := small(t)
	other := reading(t, on).Bases[0]
	other.Index = 1_000
	name := forge(t, on, 3, testCluster+1, other)
	rd := reading(t, on)
	if len(rd.Bases) != 2 || len(rd.Faults) != 1 || !errors.Is(rd.Faults[0], ErrForeign) || !strings.Contains(rd.Faults[0].Error(), name) {
		t.Errorf("%d bases, faults %v", len(rd.Bases), rd.Faults)
	}
	got, err := rd.Restore(At{}, testLimits(), nil)
	must(t, err)
	h.same(got, uint64(len(h.entries)))
	w := open(t, on)
	if bases := w.Bases(); len(bases) != 2 || bases[1].Index == 1_000 {
		t.Errorf("a Writer has the bases %+v", bases)
	}
	h.grow(1)
	must(t, errors.Join(h.base(w), w.Close())) // as list 4
	if rd := reading(t, on); len(rd.Bases) != 3 {
		t.Errorf("%d bases, faults %v", len(rd.Bases), rd.Faults)
	}
}

// The marker is damaged: the cluster is that of the newest list, and older ones of another cluster are named.
func TestListsWithoutAMarker(t *testing.T) {
	h, on := small(t)
	forge(t, on, 1, testCluster+1, reading(t, on).Bases[0])
	m := inMemory(t, on)
	rd := reading(t, m.with("to/b/"+markName, m.files["to/b/"+markName][1:]))
	if len(rd.Bases) != 2 || len(rd.Faults) != 2 || rd.Cluster.ID != testCluster {
		t.Fatalf("%d bases of the cluster %x, faults %v", len(rd.Bases), rd.Cluster.ID, rd.Faults)
	}
	got, err := rd.Restore(At{}, testLimits(), nil)
	must(t, err)
	h.same(got, uint64(len(h.entries)))
}

// The cluster was set back, and its second history was written to the same store by a Writer that did not compare. An entry that two objects
// have in different terms is refused, and both histories are named.
func TestTwoHistories(t *testing.T) {
	h, on := newHistory(t, 5), newFolder(t)
	h.grow(6)
	w := open(t, on)
	must(t, h.base(w))
	at := uint64(len(h.entries))
	h.grow(6)
	must(t, w.Append(background, h.from(at)))
	must(t, w.Close())
	one := logs(t, place(on))[0]
	forged := slices.Clone(h.entries[at+2 : at+6])
	for i := range forged {
		forged[i].Term += 3
	}
	last := forged[len(forged)-1]
	forged = append(forged, Entry{Index: last.Index + 1, Term: last.Term})
	w = open(t, on)
	_, err := w.putLog(background, forged, h.wall)
	must(t, errors.Join(err, w.Close()))
	for what, moment := range map[string]At{"the newest": {}, "a revision": {Revision: 1 << 40}} {
		if _, err := restore(on, moment); !errors.Is(err, damage.ErrDamaged) || !strings.Contains(err.Error(), "they are of two histories") {
			t.Errorf("%s: %v", what, err)
		}
	}
	got, err := restore(on, At{AcceptLoss: true})
	must(t, err)
	h.same(got, one.last)
}

// change returns a file with another prelude, whose checksum is right.
func change(b []byte, edit func(b []byte)) []byte {
	b = bytes.Clone(b)
	edit(b)
	damage.Seal(b[:damage.PreludeBytes+binary.LittleEndian.Uint32(b[16:])])
	return b
}

// What a newer qkv writes is told apart from damage, and refused.
func TestNewer(t *testing.T) {
	_, on := small(t)
	m := inMemory(t, on)
	for name, b := range m.files {
		for what, edit := range map[string]func(b []byte){
			"version":  func(b []byte) { b[8] = byte(markFormat.Version) + 1 },
			"features": func(b []byte) { b[12] = 2 },
		} {
			name, bad := name, m
			if of, ok := parseFile(path.Base(name)); ok { // its list has its size
				content := change(unpack(t, b), edit)
				bad, name = instead(t, m, of.ID, compress(content), int64(len(content)))
			} else if of, ok := parseSpan(path.Base(name)); ok { // its name has its hash
				b = change(b, edit)
				of.sha = sha256.Sum256(b)
				bad = bad.with(name, nil)
				name = "to/b/" + of.name()
				bad = bad.with(name, b)
			} else {
				bad = m.with(name, change(b, edit))
			}
			rd, err := Open(background, place(bad))
			if err == nil {
				err = rd.Verify(testLimits(), nil, func(*Verified) {})
			}
			if !errors.Is(err, damage.ErrFormat) || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "or a newer one") {
				t.Errorf("%s with another %s: %v", name, what, err)
			}
			if strings.HasSuffix(name, markName) || strings.HasSuffix(name, listName(2)) || name == newestLog(bad) {
				if w, err := Write(background, place(onDisk(t, bad)), true, testOf, 1); w != nil || !errors.Is(err, damage.ErrFormat) {
					t.Errorf("a Writer opened a backup with %s of another %s: %v", name, what, err)
				}
			}
		}
	}
}

// instead stores an object in place of a file of all bases, with this size before compression, and a list that says so. It returns the path.
func instead(t testing.TB, m memory, id [32]byte, object []byte, size int64) (bad memory, name string) {
	t.Helper()
	rd := reading(t, m)
	was := File{}
	for _, b := range rd.Bases {
		for i, of := range b.Files {
			if of.ID == id {
				was = of
				b.Files[i].Sum, b.Files[i].Stored, b.Files[i].Bytes = sha256.Sum256(object), int64(len(object)), size
				name = "to/b/" + fileName(b.Files[i])
			}
		}
	}
	number, _ := parseList(path.Base(rd.list))
	list := newFolder(t)
	must(t, open(t, list).Close())
	at := forge(t, list, number, testCluster, rd.Bases...)
	return m.with("to/b/"+fileName(was), nil).with(name, object).with(at, slurp(t, list, at)), name
}

// unpack decompresses an object by another decoder than that of the package, which knows no table of frames.
func unpack(t testing.TB, object []byte) []byte {
	t.Helper()
	z, err := zstd.NewReader(nil)
	must(t, err)
	defer z.Close()
	content, err := z.DecodeAll(object, nil)
	must(t, err)
	return content
}

// onDisk puts files on a disk that can be written.
func onDisk(t testing.TB, m memory) *simdisk.Disk {
	t.Helper()
	on := newFolder(t)
	for name, b := range m.files {
		must(t, on.MkdirAll(path.Dir(name)))
		f, err := on.Create(name)
		must(t, err)
		if _, err := f.WriteAt(b, 0); err != nil {
			t.Fatal(err)
		}
		must(t, errors.Join(f.Sync(), f.Close(), on.SyncDir(path.Dir(name))))
	}
	return on
}

// Verify fails if an object is damaged that no restore of the moments that are left reads: the marker, or a list.
func TestVerifyTheOtherObjects(t *testing.T) {
	_, on := small(t)
	m := inMemory(t, on)
	flipped := func(name string) memory {
		b := bytes.Clone(m.files[name])
		b[len(b)/2] ^= 1
		return m.with(name, b)
	}
	for what, bad := range map[string]memory{
		"a damaged marker": flipped("to/b/" + markName),
		"the newest list":  flipped("to/b/" + listName(2)),
		"an older list":    flipped("to/b/" + listName(1)),
		"a list's copy":    m.with("to/b/"+listName(1)+".bak", m.files["to/b/"+listName(1)]),
	} {
		rd := reading(t, bad)
		bases := 0
		err := rd.Verify(testLimits(), nil, func(v *Verified) {
			if bases++; v.Fault != nil || v.Log != nil || v.Gap != nil {
				t.Errorf("%s: %+v", what, v)
			}
		})
		if !errors.Is(err, damage.ErrDamaged) || bases != len(rd.Bases) || bases == 0 {
			t.Errorf("%s: %d bases are verified: %v", what, bases, err)
		}
	}
}

// Names that no backup has are named as faults, and left alone by the Writer's retention: an object may have been renamed.
func TestOtherNames(t *testing.T) {
	h, on := small(t)
	others := []string{
		"log/readme", "log/00000000000000000001", "log/00000000000000000002-00000000000000000001-" + strings.Repeat("00", 32),
		"log/00000000000000000000-00000000000000000001-" + strings.Repeat("00", 32), "log/00000000000000000001-00000000000000000002-00",
		"log/00000000000000000001-00000000000000000002-" + strings.Repeat("0A", 32), "parts/readme", "parts/" + strings.Repeat("0A", 32),
		"parts/" + strings.Repeat("0a", 32) + ".gz", "parts/" + strings.Repeat("0a", 31), "notes", "parts/ä\x01 b",
	}
	for _, name := range []string{".DS_Store", "log/.nfs0001", "lists/._1", "parts/.snapshot"} { // of a file system
		must(t, place(on).Put(background, name, []byte("not of a backup")))
	}
	rd := reading(t, on)
	must(t, rd.Verify(testLimits(), nil, func(*Verified) {}))
	for _, name := range others {
		must(t, place(on).Put(background, name, []byte("not of a backup")))
	}
	rd = reading(t, on)
	if err := rd.Verify(testLimits(), nil, func(*Verified) {}); !errors.Is(err, damage.ErrDamaged) {
		t.Errorf("verified: %v", err)
	}
	for _, name := range others {
		if !strings.Contains(fmt.Sprint(rd.Faults), "to/b/"+name+" is no name of an object there") {
			t.Errorf("%s is not among the faults %v", name, rd.Faults)
		}
	}
	w := open(t, on)
	if at, _ := w.Last(); at != uint64(len(h.entries)) {
		t.Errorf("the log ends at entry %d", at)
	}
	removed, err := removeOld(w, 0)
	must(t, errors.Join(err, w.Close()))
	if len(removed) < 2 {
		t.Errorf("%q were removed", removed)
	}
	for _, name := range others {
		if string(slurp(t, on, "to/b/"+name)) != "not of a backup" {
			t.Errorf("%s was changed", name)
		}
	}
}

// A damaged object does not matter while others have its entries.
func TestDamageThatOthersCover(t *testing.T) {
	h, on := newHistory(t, 5), newFolder(t)
	h.grow(6)
	w := open(t, on)
	must(t, h.base(w))
	at := uint64(len(h.entries))
	for range 3 {
		from := uint64(len(h.entries))
		h.grow(2)
		must(t, w.Append(background, h.from(from)))
	}
	must(t, w.mergeTail(background))
	must(t, w.Close())
	m := inMemory(t, on)
	all := logs(t, place(on))
	if len(all) != 4 {
		t.Fatalf("the objects %+v are there", all)
	}
	for _, of := range all {
		name := "to/b/" + of.name()
		bad := bytes.Clone(m.files[name])
		bad[len(bad)-1] ^= 1
		for what, on := range map[string]memory{"damaged": m.with(name, bad), "cut": m.with(name, bad[:100]), "missing": m.with(name, nil)} {
			got, err := restore(on, At{})
			if err != nil {
				t.Fatalf("%s is %s: %v", name, what, err)
			}
			h.same(got, uint64(len(h.entries)))
			rd := reading(t, on)
			reaches, err := rd.Reaches()
			if must(t, err); len(reaches) != 1 || reaches[0].Index != uint64(len(h.entries)) && reaches[0].Fault == nil {
				t.Errorf("%s is %s: it reaches %+v behind entry %d", name, what, reaches, at)
			}
			must(t, rd.Verify(testLimits(), nil, func(*Verified) {}))
			err = rd.Dump(io.Discard, DumpOptions{})
			if (what == "missing") != (err == nil) {
				t.Errorf("%s is %s, and a dump says %v", name, what, err)
			}
		}
	}
}

// A file that all bases list is damaged, and has its size. A later base finds that, and copies it again.
func TestDamagedFileIsMended(t *testing.T) {
	key, err := age.GenerateX25519Identity()
	must(t, err)
	for _, to := range [][]age.Recipient{nil, {key.Recipient()}} {
		h, on := newHistory(t, 3).grow(60), newFolder(t)
		w := open(t, on, to...)
		must(t, h.base(w))
		base := w.Bases()[0]
		if len(base.Files) < 2 {
			t.Fatal("the base has no parts")
		}
		name := "to/b/" + fileName(base.Files[1])
		f, err := on.OpenWritable(name)
		must(t, err)
		was := slurp(t, on, name)
		_, err = f.WriteAt([]byte{was[len(was)/2] ^ 1}, int64(len(was)/2))
		must(t, errors.Join(err, f.Close()))
		bases := 0
		for ; len(w.Mended) == 0; bases++ {
			if bases == 8*backupScrub {
				t.Fatalf("%d bases list a damaged file", bases)
			}
			h.add(false, new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k"), Value: fmt.Append(nil, bases)}).Bytes)
			must(t, h.base(w))
		}
		t.Logf("after %d bases: %v", bases, w.Mended)
		for _, b := range w.Bases() {
			again := slurp(t, on, "to/b/"+fileName(b.Files[1]))
			if to == nil && !bytes.Equal(again, was) || len(again) != len(was) || b.Files[1].Number < 2 {
				t.Errorf("the base of entry %d has %+v", b.Index, b.Files[1])
			}
		}
		_, err = w.Sweep(background)
		must(t, errors.Join(err, w.Close(), whole(t, on, &w.bases[0])))
	}
}

// A store that does not answer when a base reads a file again proves nothing about the file: it is neither removed nor called mended.
func TestUnreadFileIsNotMended(t *testing.T) {
	h, on := newHistory(t, 3).grow(60), newFolder(t)
	failing := &failingOnce{Store: place(on)}
	w := writing(t, failing)
	must(t, h.base(w))
	again := 0
	for n := 0; again == 0; n++ {
		if n == 8*backupScrub {
			t.Fatalf("%d bases read no file again", n)
		}
		h.add(false, new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k"), Value: fmt.Append(nil, n)}).Bytes)
		r := h.save()
		c, err := w.Base(r, h.part)
		for done := false; err == nil && !done; {
			if failing.left = 0; len(c.checked) > 0 && c.file == nil { // the next read is that of the file
				failing.left = 1
				again++
			}
			done, err = c.Step(background, 1<<16)
		}
		must(t, errors.Join(err, r.Close()))
	}
	if len(w.Mended) > 0 {
		t.Errorf("%d files could not be read, and these count as damaged: %v", again, w.Mended)
	}
	must(t, w.Close())
}

// A list says sizes that no file has, and the store has a file of zeros of any size. Whatever reads the backup refuses it in words and in
// little memory, and an older base is restored.
func TestSizesOfAList(t *testing.T) {
	h, on := small(t)
	key, err := age.GenerateX25519Identity()
	must(t, err)
	for _, size := range []int64{-1, math.MinInt64, math.MaxInt64, 40 << 30, limits.BackupFileMost + 1, limits.BackupFileMost} {
		for i, encrypted := range []bool{false, true, false, false} {
			on := onDisk(t, inMemory(t, on))
			rd := reading(t, on)
			wrong := rd.Bases[1]
			wrong.Files = slices.Clone(wrong.Files)
			wrong.Files[1].ID, wrong.Files[1].Encrypted = [32]byte{1}, encrypted
			if i != 2 {
				wrong.Files[1].Bytes = size
			}
			if i != 3 {
				wrong.Files[1].Stored = size
			}
			name := forge(t, on, 3, testCluster, rd.Bases[0], wrong)
			s := zeros{place(on), fileName(wrong.Files[1]), wrong.Files[1].Stored}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			rd, err := Open(background, s, key)
			must(t, err)
			got, err := rd.Restore(At{}, testLimits(), nil)
			must(t, err)
			h.same(got, uint64(len(h.entries)))
			said := fmt.Sprint(rd.Faults, got.Notes)
			if err := rd.Verify(testLimits(), nil, func(v *Verified) { said += fmt.Sprint(v.Fault) }); !errors.Is(err, damage.ErrDamaged) {
				t.Errorf("%d bytes, encrypted: %v: verified: %v", size, encrypted, err)
			}
			runtime.ReadMemStats(&after)
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 200<<20 || !strings.Contains(said, name) && !strings.Contains(said, s.name) {
				t.Errorf("%d bytes, encrypted: %v: %d bytes were allocated, %s", size, encrypted, grown, said)
			}
			if size == limits.BackupFileMost || i == 3 {
				continue // the dump reads all of it, piece by piece
			}
			if err := rd.Dump(io.Discard, DumpOptions{}); !errors.Is(err, damage.ErrDamaged) {
				t.Errorf("%d bytes, encrypted: %v: dumped: %v", size, encrypted, err)
			}
		}
	}
}

// zeros is a store with a file of zeros, which takes no space.
type zeros struct {
	store.Store
	name string
	size int64
}

func (z zeros) Get(ctx context.Context, name string, off, most int64) ([]byte, error) {
	if name == z.name {
		return make([]byte, max(0, min(most, z.size-off))), nil
	}
	return z.Store.Get(ctx, name, off, most)
}

func (z zeros) List(ctx context.Context, folder string) ([]store.Info, error) {
	all, err := z.Store.List(ctx, folder)
	if folder == filesDir {
		all = append(all, store.Info{Name: path.Base(z.name), Bytes: z.size})
	}
	return all, err
}

// A part is found in a sound base behind a damaged one.
func TestPartBehindADamagedBase(t *testing.T) {
	h, on := newHistory(t, 3).grow(60), newFolder(t)
	w := open(t, on)
	must(t, h.base(w))
	h.grow(20)
	must(t, errors.Join(h.base(w), w.Close()))
	rd := reading(t, on)
	parts, err := rd.Parts(&rd.Bases[1])
	must(t, err)
	must(t, on.Remove("to/b/"+fileName(rd.Bases[0].Files[0])))
	n := int64(0)
	err = rd.Part(parts[0].Name(), parts[0].Bytes, 0, func(piece []byte) error { n += int64(len(piece)); return nil })
	if err != nil || n != parts[0].Bytes {
		t.Errorf("%d of %d bytes: %v", n, parts[0].Bytes, err)
	}
}
