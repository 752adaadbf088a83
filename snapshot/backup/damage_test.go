package backup

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	iofs "io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	"qkv/internal/damage"
	"qkv/log/disk"
	"qkv/log/disk/simdisk"
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

// judge restores a damaged backup to several moments. Each result is the state of that moment; or of an earlier one where
// the backup ends, and the damage is named; or a refusal that names it. silent allows an end that cannot be told from an
// older backup.
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
		rd, err := Open(on, "to/b")
		if err != nil {
			if !strings.Contains(err.Error(), damaged) {
				t.Fatalf("%s: refused without a name: %v", what, err)
			}
			return "R"
		}
		got, err := rd.Restore(context.Background(), one.at, testLimits(), nil)
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
		case got.Index < one.want && (got.Ends || one.at.AcceptLoss) && (named || silent):
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
	rd, err := Open(on, "to/b")
	if err == nil {
		var notes []any
		err = rd.Verify(context.Background(), testLimits(), nil, func(v *Verified) { notes = append(notes, v.Fault, v.Log, v.Gap, v.Notes) })
		if text := fmt.Sprint(notes, rd.Faults, err); strings.Contains(text, damaged) {
			return
		}
	}
	if err == nil || !strings.Contains(err.Error(), damaged) {
		t.Fatalf("%s: the verification says %v", what, err)
	}
}

func TestCutAtEveryByte(t *testing.T) {
	h, on := small(t)
	m := inMemory(t, on)
	all := slices.Sorted(maps.Keys(m.files))
	for _, name := range all {
		b := m.files[name]
		ends := map[int]bool{} // of chunks
		if s, err := scan(name, memoryFile{Reader: bytes.NewReader(b)}); err == nil && name == all[len(all)-1] {
			for err == nil {
				ends[int(s.next)] = true
				_, err = s.chunk()
			}
		}
		step := 1
		if !full {
			step = 11
		}
		for n := 0; n < len(b); n++ {
			if n%step != 0 && !ends[n] {
				continue
			}
			what := fmt.Sprintf("%s cut after %d of %d bytes", name, n, len(b))
			cut := m.with(name, b[:n:n])
			judge(t, h, cut, name, ends[n])
			if !ends[n] {
				named(t, cut, name, what)
			}
		}
	}
}

func TestFlippedBits(t *testing.T) {
	h, on := small(t)
	m := inMemory(t, on)
	step := 61
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

// Damage in the newest segment with an intact chunk behind it is no torn write: the entries behind it were acknowledged.
func TestDamageBeforeAnIntactChunk(t *testing.T) {
	h, on := small(t)
	m := inMemory(t, on)
	name := slices.Max(slices.Collect(maps.Keys(m.files)))
	s, err := scan(name, memoryFile{Reader: bytes.NewReader(m.files[name])})
	must(t, err)
	first, err := s.chunk()
	must(t, err)
	if _, err := s.chunk(); err != nil {
		t.Fatalf("%s has one chunk: %v", name, err)
	}
	for what, at := range map[string]int{"header": headerBytes + 40, "content": 2*headerBytes + 3} {
		bad := bytes.Clone(m.files[name])
		bad[at] ^= 1
		if got, err := restore(m.with(name, bad), At{}); !errors.Is(err, damage.ErrDamaged) || !strings.Contains(err.Error(), name) {
			t.Errorf("a damaged %s: %+v, %v", what, got, err)
		}
		got, err := restore(m.with(name, bad), At{AcceptLoss: true})
		must(t, err)
		h.same(got, first.first-1)
		rd, err := Open(m.with(name, bad), "to/b")
		must(t, err)
		var told error
		err = rd.Verify(t.Context(), testLimits(), nil, func(v *Verified) { told = errors.Join(told, v.Log) })
		if !errors.Is(err, damage.ErrDamaged) || !errors.Is(told, damage.ErrDamaged) {
			t.Errorf("a damaged %s is verified: %v, and the log: %v", what, err, told)
		}
		must(t, rd.Close())
	}
}

// A file that is missing is named, or what is restored is what the backup was before it had the file.
func TestMissingFiles(t *testing.T) {
	h, on := small(t)
	m := inMemory(t, on)
	all := slices.Sorted(maps.Keys(m.files))
	for i, name := range all {
		judge(t, h, m.with(name, nil), path.Base(name), i == len(all)-1 || strings.Contains(name, "/base/"))
	}
}

// What is whole, but in the wrong place or of another backup, is not taken.
func TestMisplaced(t *testing.T) {
	h, on := small(t)
	other, another := newHistory(t, 2), newFolder(t)
	other.grow(12)
	w, err := OpenFolder(another, "to/b", Cluster{ID: testCluster + 1, Name: "other"})
	must(t, err)
	r := other.save()
	if err := other.copyBase(w, r, 1<<16); !errors.Is(err, ErrForeign) {
		t.Errorf("a snapshot of another cluster: %v", err)
	}
	must(t, r.Close())
	must(t, w.Close())
	m := inMemory(t, on)
	all := slices.Sorted(maps.Keys(m.files))
	for i, name := range all {
		for _, from := range all {
			if from != name {
				judge(t, h, m.with(name, m.files[from]), name, false)
			}
		}
		twice := append(bytes.Clone(m.files[name]), m.files[name]...)
		if i < len(all)-1 {
			judge(t, h, m.with(name, twice), name, false)
		}
	}
}

// foreignSegment is a segment of another cluster that continues the log by index.
func TestForeignSegment(t *testing.T) {
	h, on := small(t)
	foreign := newFolder(t)
	w, err := OpenFolder(foreign, "to/b", Cluster{ID: testCluster + 1, Name: "other"})
	must(t, err)
	w.bases = append(w.bases, Base{Index: uint64(len(h.entries))})
	last := len(h.entries)
	h.grow(2)
	must(t, w.Append(h.entries[last:]))
	must(t, w.Close())
	m, name := inMemory(t, on), "to/b/"+segmentName(uint64(last)+1)
	bad := m.with(name, slurp(t, foreign, name))
	if _, err := restore(bad, At{}); !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), name) {
		t.Errorf("a segment of another cluster: %v", err)
	}
	got, err := restore(bad, At{AcceptLoss: true})
	must(t, err)
	h.same(got, uint64(last))
}

// A cluster was set back, and its backup too: a segment of the other history, with fitting numbers, does not continue the log.
func TestSegmentOfAnotherHistory(t *testing.T) {
	write := func(draws int) (*history, *simdisk.Disk) {
		h, on := newHistory(t, 5), newFolder(t)
		earlier := h.grow(4).save()
		h.grow(5)
		w := open(t, on)
		must(t, h.base(w))
		for range draws { // from here on, the histories differ
			h.random.IntN(30)
		}
		h.grow(10)
		must(t, w.Append(h.from(10)))
		must(t, errors.Join(h.copyBase(w, earlier, 1<<16), earlier.Close())) // a new segment begins
		h.grow(10)
		must(t, w.Append(h.from(20)))
		must(t, w.Close())
		return h, on
	}
	_, on := write(0)
	h, other := write(1)
	m, name := inMemory(t, on), "to/b/"+segmentName(21)
	bad := m.with(name, slurp(t, other, name))
	if got, err := restore(bad, At{}); err == nil {
		t.Errorf("with the end of another history, entry %d has the digest %016x instead of %016x", got.Index, got.State.View().Digest(), h.moments[30].digest)
	} else if !errors.Is(err, damage.ErrDamaged) {
		t.Error(err)
	}
	got, err := restore(bad, At{AcceptLoss: true})
	must(t, err)
	if got.Index > 20 {
		t.Errorf("with the loss accepted, entry %d of another history is restored", got.Index)
	}
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
			if name == slices.Min(slices.Collect(maps.Keys(m.files))) && what == "version" {
				w, err := OpenFolder(onDisk(t, m.with(name, change(b, edit))), "to/b", testOf)
				if w != nil || !errors.Is(err, damage.ErrFormat) {
					t.Errorf("%s: a writer opened a newer backup: %v", name, err)
				}
			}
			bad := m.with(name, change(b, edit))
			rd, err := Open(bad, "to/b")
			if err == nil {
				err = rd.Verify(context.Background(), testLimits(), nil, func(*Verified) {})
			}
			if !errors.Is(err, damage.ErrFormat) || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "or a newer one") {
				t.Errorf("%s with another %s: %v", name, what, err)
			}
		}
	}
}

// onDisk puts files on a disk that can be written.
func onDisk(t testing.TB, m memory) disk.FS {
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

// Verify fails if a file is damaged that no restore of the moments that are left reads: the marker, a manifest, or a segment that was moved
// aside.
func TestVerifyTheOtherFiles(t *testing.T) {
	_, on := small(t)
	m, rd := inMemory(t, on), reading(t, on)
	oldest := rd.Bases[0]
	must(t, rd.Close())
	flipped := func(name string) memory {
		b := bytes.Clone(m.files[name])
		b[len(b)/2] ^= 1
		return m.with(name, b)
	}
	for what, bad := range map[string]memory{
		"a damaged marker":              flipped("to/b/" + markName),
		"a damaged manifest":            flipped("to/b/" + baseName(oldest.Index, oldest.Term)),
		"a segment that was moved away": m.with("to/b/"+segmentName(3)+setAside, []byte("nothing")),
	} {
		rd, err := Open(bad, "to/b")
		must(t, err)
		bases := 0
		err = rd.Verify(context.Background(), testLimits(), nil, func(v *Verified) {
			if bases++; v.Fault != nil || v.Log != nil || v.Gap != nil {
				t.Errorf("%s: %+v", what, v)
			}
		})
		if !errors.Is(err, damage.ErrDamaged) || bases != len(rd.Bases) || bases == 0 {
			t.Errorf("%s: %d bases are verified: %v", what, bases, err)
		}
		must(t, rd.Close())
	}
}

// Verify reports damage in the newest chunk, which a restore has to take for a torn write. A chunk that was cut is none.
func TestVerifyTheNewestChunk(t *testing.T) {
	_, on := small(t)
	m := inMemory(t, on)
	var newest string
	for name := range m.files {
		if strings.Contains(name, "/log/") {
			newest = max(newest, name)
		}
	}
	whole := m.files[newest]
	verify := func(b []byte) (notes int, err error) {
		rd, err := Open(m.with(newest, b), "to/b")
		must(t, err)
		defer rd.Close()
		return notes, rd.Verify(t.Context(), testLimits(), nil, func(v *Verified) { notes += len(v.Notes) })
	}
	if notes, err := verify(whole); err != nil || notes > 0 {
		t.Fatalf("undamaged: %d notes, %v", notes, err)
	}
	for _, at := range []int{len(whole) - 1, len(whole) - 5} {
		bad := bytes.Clone(whole)
		bad[at] ^= 1
		if _, err := verify(bad); !errors.Is(err, damage.ErrDamaged) {
			t.Errorf("byte %d of %d is damaged: %v", at, len(whole), err)
		}
		if _, err := verify(whole[:at]); err != nil {
			t.Errorf("cut at byte %d of %d: %v", at, len(whole), err)
		}
	}
}
