package snapshot

import (
	"errors"
	iofs "io/fs"
	"slices"
	"strings"
	"testing"

	"qkv/internal/damage"
	"qkv/log/disk"
	"qkv/log/disk/simdisk"
)

func TestNames(t *testing.T) {
	for _, n := range []identity{{}, {index: 1, term: 2}, {index: 1<<64 - 1, term: 1<<64 - 1}} {
		if got, ok := parseName(Name(n.index, n.term)); !ok || got != n {
			t.Errorf("%v is named %q, read as %v", n, Name(n.index, n.term), got)
		}
	}
	if Name(9, 1) >= Name(10, 1) || Name(1, 1) != "00000000000000000001-00000000000000000001.snap" {
		t.Error("the order of names is not that of indexes")
	}
	good := Name(1, 1)
	for _, name := range []string{
		"", ".snap", "-.snap", "1-1.snap", good + ".tmp", good[1:], "0" + good, "+" + good[1:], "x/" + good, "../" + good,
		strings.Replace(good, "-", "_", 1), strings.TrimSuffix(good, suffix), strings.Repeat("9", 20) + good[20:], good + "\x00",
	} {
		if n, ok := parseName(name); ok {
			t.Errorf("%q was read as %v", name, n)
		}
	}
	sha := [32]byte{1, 2, 3}
	if p, ok := parseReceiving(receiving(good, sha)); !ok || p.Name != good || p.SHA != sha {
		t.Errorf("%q was read as %v", receiving(good, sha), p)
	}
	for _, name := range []string{"", good, saving(good), "x" + receiving(good, sha), receiving("x.snap", sha), strings.ToUpper(receiving(good, sha))} {
		if p, ok := parseReceiving(name); ok {
			t.Errorf("%q was read as %v", name, p)
		}
	}
}

func TestList(t *testing.T) {
	fs := newDisk(t)
	if l, err := List(fs, "d"); err != nil || len(l.Published)+len(l.Partial)+len(l.Abandoned) != 0 {
		t.Errorf("an empty folder: %+v, %v", l, err)
	}
	if _, err := List(fs, "none"); !errors.Is(err, iofs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
	for _, at := range []uint64{42, 7, 1 << 50} {
		s := small()
		s.applied = at
		save(t, fs, "d", s, 1)
	}
	sha := [32]byte{9}
	put(t, fs, "d/"+Name(50, 3), []byte("no snapshot"))
	put(t, fs, "d/"+saving(Name(60, 3)), []byte("half a snapshot"))
	put(t, fs, "d/"+receiving(Name(70, 3), sha), []byte("half a snapshot"))
	put(t, fs, "d/"+partName(7, sha), []byte("a part"))
	put(t, fs, "d/"+saving(partName(8, sha)), []byte("half a part"))
	put(t, fs, "d/"+receiving(partName(9, sha), sha), []byte("half a part"))
	put(t, fs, "d/"+Name(6, 3)[3:], []byte("no name of a snapshot"))
	put(t, fs, "d/notes.tmp", []byte("not ours"))
	l, err := List(fs, "d")
	if err != nil {
		t.Fatal(err)
	}
	for i, at := range []uint64{1 << 50, 50, 42, 7} {
		got := l.Published[i]
		if got.Index != at || got.Path != "d/"+Name(at, 3) || (got.Err != nil) != (at == 50) || got.Err == nil && (got.Bytes == 0 || got.Version != "0.1.0") {
			t.Errorf("snapshot %d is %+v, want that of index %d", i, got, at)
		}
	}
	if !errors.Is(l.Published[1].Err, damage.ErrDamaged) {
		t.Errorf("a damaged head: %v", l.Published[1].Err)
	}
	partial := []Partial{
		{"d/" + receiving(Name(70, 3), sha), Name(70, 3), 70, sha, false}, {"d/" + receiving(partName(9, sha), sha), partName(9, sha), 9, sha, true},
	}
	if len(l.Published) != 4 || !slices.Equal(l.Partial, partial) {
		t.Errorf("%d published, partial %+v", len(l.Published), l.Partial)
	}
	if !slices.Equal(l.Parts, []string{"d/" + partName(7, sha)}) {
		t.Errorf("parts %q", l.Parts)
	}
	if slices.Sort(l.Abandoned); !slices.Equal(l.Abandoned, []string{"d/" + saving(partName(8, sha)), "d/" + saving(Name(60, 3))}) {
		t.Errorf("abandoned %q", l.Abandoned)
	}
}

// put makes a file.
func put(t testing.TB, fs disk.FS, path string, b []byte) {
	t.Helper()
	f, err := fs.Create(path)
	if err == nil {
		err = errors.Join((&output{File: f}).append(b), f.Sync(), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestNamedAsAnother(t *testing.T) {
	fs := newDisk(t)
	path := save(t, fs, "d", small(), 1)
	if err := fs.Rename(path, "d/"+Name(43, 3)); err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(fs, "d/"+Name(43, 3)); !errors.Is(err, damage.ErrDamaged) {
		t.Errorf("a file of another name: %v", err)
	}
	if err := fs.Rename("d/"+Name(43, 3), "d/backup"); err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(fs, "d/backup"); err != nil {
		t.Errorf("a copy under a name of its owner's: %v", err)
	}
}

func TestSetAside(t *testing.T) {
	fs := newDisk(t)
	for _, want := range []string{Name(42, 3), Name(42, 3) + ".1", Name(42, 3) + ".2"} {
		path := save(t, fs, "d", small(), 1)
		to, err := SetAside(fs, path, "damaged")
		if err != nil || to != "damaged/"+want {
			t.Fatalf("moved to %q, %v; want %s", to, err, want)
		}
		wantFiles(t, fs, "d")
	}
	wantFiles(t, fs, "damaged", Name(42, 3), Name(42, 3)+".1", Name(42, 3)+".2")
	for v := range simdisk.Variants { // the folder, which is new, stays
		after := fs.Clone(uint64(v))
		after.Crash(v)
		wantFiles(t, after, "d")
		wantFiles(t, after, "damaged", Name(42, 3), Name(42, 3)+".1", Name(42, 3)+".2")
	}
	if _, err := SetAside(fs, "d/none", "damaged"); !errors.Is(err, iofs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

func TestRemove(t *testing.T) {
	fs := newDisk(t)
	path := save(t, fs, "d", small(), 1)
	r, err := Open(fs, path)
	if err != nil {
		t.Fatal(err)
	}
	if err := Remove(fs, path); err != nil {
		t.Fatal(err)
	}
	wantFiles(t, fs, "d")
	if _, err := r.ReadAt(make([]byte, r.Size()), 0); err != nil {
		t.Errorf("an open file that was removed: %v", err)
	}
	r.Close()
	if err := Remove(fs, path); !errors.Is(err, iofs.ErrNotExist) {
		t.Errorf("removed twice: %v", err)
	}
}

// The life of a Saver that is not the usual one.
func TestSaver(t *testing.T) {
	fs := newDisk(t)
	sv, err := beginFake(fs, "d", small().meta(), small())
	if err != nil {
		t.Fatal(err)
	}
	wantFiles(t, fs, "d", saving(Name(42, 3)))
	sv.Abort()
	wantFiles(t, fs, "d")
	if done, err := sv.Step(1); done || err == nil {
		t.Errorf("a step after Abort: %v, %v", done, err)
	}
	put(t, fs, "d/"+saving(Name(42, 3)), []byte("of a process that was killed"))
	path := save(t, fs, "d", small(), 1)
	wantFiles(t, fs, "d", Name(42, 3))
	if _, err := beginFake(fs, "d", small().meta(), small()); !errors.Is(err, iofs.ErrExist) {
		t.Errorf("a second one of the same name: %v", err)
	}
	if _, err := Verify(fs, path); err != nil {
		t.Error(err)
	}
	fs = newDisk(t)
	if sv, err = beginFake(fs, "d", small().meta(), small()); err != nil {
		t.Fatal(err)
	}
	for done := false; !done; {
		if done, err = sv.Step(1); err != nil {
			t.Fatal(err)
		}
	}
	sv.Abort()
	if done, err := sv.Step(1); !done || err != nil {
		t.Errorf("a step after the last: %v, %v", done, err)
	}
	wantFiles(t, fs, "d", Name(42, 3))
}

func TestForeignViewPanics(t *testing.T) {
	defer func() {
		if r := recover(); r == nil {
			t.Error("a snapshot of an index that is not the view's was begun")
		}
	}()
	m := small().meta()
	m.Index++
	Begin(newDisk(t), "d", m, small())
}
