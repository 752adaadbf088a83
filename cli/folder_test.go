package cli

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"qkv/log/limits"
)

// tree makes the files of a map below a new folder.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		full := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// contents is the inverse of tree.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(name)
		relative, _ := filepath.Rel(dir, name)
		files[relative] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// testImport imports a folder and returns the summary and what was skipped.
func testImport(t *testing.T, s *memory, dir, prefix string) (summary string, skipped []string, err error) {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	var mu sync.Mutex
	i := importer{root: root, store: s, prefix: keyPrefix(prefix), bar: &progress{}, skip: func(name, why string) {
		relative, _ := filepath.Rel(dir, name)
		mu.Lock()
		defer mu.Unlock()
		skipped = append(skipped, relative+": "+why)
	}}
	err = i.run(t.Context(), i.list())
	slices.Sort(skipped)
	return i.summary(), skipped, err
}

func testExport(t *testing.T, s *memory, dir, prefix string) (written int, refused []string) {
	t.Helper()
	e := exporter{store: s, prefix: keyPrefix(prefix), refuse: func(name, why string) {
		refused = append(refused, name+": "+why)
	}}
	if err := e.run(t.Context(), dir, &bytes.Buffer{}); err != nil {
		t.Fatal(err)
	}
	return e.written, refused
}

// TestImportExport: what was imported comes back byte for byte, over several pages, and a second import of the same
// writes nothing.
func TestImportExport(t *testing.T) {
	files := map[string]string{
		"hosts": "127.0.0.1 localhost\n", "empty": "", "a/b/c": "deep", "a.txt": "sorts before a/b in keys, after it in folders",
		"not\xffutf8": "\x00\xff binary\n", "spaces in names": "x", "large": strings.Repeat("v", limits.ValueBytes),
	}
	for i := range 200 {
		files[fmt.Sprintf("many/%03d", i)] = fmt.Sprint(i)
	}
	for _, prefix := range []string{"", "/etc", "/etc/", "/", "no/slash"} {
		s := newMemory()
		s.page = 7
		dir := tree(t, files)
		summary, skipped, err := testImport(t, s, dir, prefix)
		if want := fmt.Sprintf("%d written, 0 already there", len(files)); err != nil || summary != want || skipped != nil {
			t.Fatalf("prefix %q: %s, skipped %v, %v; want %s", prefix, summary, skipped, err, want)
		}
		if _, ok := s.keys[keyPrefix(prefix)+"a/b/c"]; !ok {
			t.Errorf("prefix %q: no key %s", prefix, keyPrefix(prefix)+"a/b/c")
		}
		out := filepath.Join(t.TempDir(), "new", "folders")
		if written, refused := testExport(t, s, out, prefix); written != len(files) || refused != nil {
			t.Errorf("prefix %q: exported %d, refused %q", prefix, written, refused)
		}
		if got := contents(t, out); !mapsEqual(got, files) {
			t.Errorf("prefix %q: the exported files differ", prefix)
		}
		summary, _, err = testImport(t, s, dir, prefix)
		if want := fmt.Sprintf("0 written, %d already there", len(files)); err != nil || summary != want {
			t.Errorf("prefix %q again: %s, %v; want %s", prefix, summary, err, want)
		}
	}
}

func mapsEqual(a, b map[string]string) bool {
	for name, text := range a {
		if other, ok := b[name]; !ok || other != text {
			return false
		}
	}
	return len(a) == len(b)
}

// TestImportContinues: an import that failed half-way is continued by running it again.
func TestImportContinues(t *testing.T) {
	files := map[string]string{}
	for i := range 300 {
		files[fmt.Sprint(i)] = fmt.Sprint(i)
	}
	dir, s := tree(t, files), newMemory()
	s.failAt = 100
	if _, _, err := testImport(t, s, dir, "p"); !errors.Is(err, errInjected) {
		t.Fatalf("the failed put is reported as %v", err)
	}
	before := len(s.keys)
	if before < 99 || before > 99+importsInFlight {
		t.Errorf("%d keys are written when the 100th put fails", before)
	}
	summary, _, err := testImport(t, s, dir, "p")
	if want := fmt.Sprintf("%d written, %d already there", 300-before, before); err != nil || summary != want {
		t.Errorf("again: %s, %v; want %s", summary, err, want)
	}
}

// TestImportSkips: what is no readable regular file of a fitting size is named, and nothing else suffers.
func TestImportSkips(t *testing.T) {
	dir := tree(t, map[string]string{
		"good": "x", "unreadable": "x", "closed/inside": "x", "over": strings.Repeat("v", limits.ValueBytes+1), "refused": "refused",
	})
	long := strings.Repeat("d", 250)
	deep := filepath.Join(slices.Repeat([]string{long}, 15)...)
	must(t, os.MkdirAll(filepath.Join(dir, deep), 0o700))
	root, err := os.OpenRoot(dir)
	must(t, err)
	must(t, root.WriteFile(filepath.Join(deep, long), nil, 0o600))
	must(t, os.Symlink("good", filepath.Join(dir, "link")))
	must(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	must(t, os.Chmod(filepath.Join(dir, "unreadable"), 0))
	must(t, os.Chmod(filepath.Join(dir, "closed"), 0))
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(dir, "closed"), 0o700) })

	s := newMemory()
	_, skipped, err := testImport(t, s, dir, strings.Repeat("p", 200))
	must(t, err)
	want := []string{
		"link: a symbolic link", "over: over 1572864 bytes, the limit of a value", "pipe: not a regular file",
		"refused: the value has 7 bytes, over the limit of 6",
	}
	if os.Getuid() != 0 { // root reads all
		want = append(want, "closed: permission denied", "unreadable: permission denied")
	}
	for _, w := range want {
		if !slices.Contains(skipped, w) {
			t.Errorf("not named: %s", w)
		}
	}
	if !slices.ContainsFunc(skipped, func(s string) bool { return strings.Contains(s, "over the limit of 4096") }) {
		t.Error("the file whose key is too long is not named")
	}
	if _, ok := s.keys[strings.Repeat("p", 200)+"/good"]; !ok {
		t.Error("the good file is not stored")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestExportRefuses: no key leaves the folder, whatever it is and whatever lies in the folder.
func TestExportRefuses(t *testing.T) {
	s := newMemory()
	outside := t.TempDir()
	dir := tree(t, map[string]string{"old": "old", "folder/inside": "x"})
	must(t, os.Symlink(outside, filepath.Join(dir, "out")))
	must(t, os.Symlink(filepath.Join(outside, "file"), filepath.Join(dir, "link")))
	must(t, os.Symlink(".", filepath.Join(dir, "self")))
	bad := []string{
		"/absolute", "../up", "a/../../up", "a/..", "..", ".", "a//b", "a/", "a/./b", "zero\x00byte",
		"out/escape", "link", "self/x", "folder", "old/under", strings.Repeat("n", 256),
		"file/under", // "file" is a key too, and comes first
	}
	for _, name := range bad {
		_, _ = s.Put(t.Context(), []byte("p/"+name), []byte("evil"))
	}
	for _, name := range []string{"file", "old", "fine", "..."} {
		_, _ = s.Put(t.Context(), []byte("p/"+name), []byte("good"))
	}
	_, _ = s.Put(t.Context(), []byte("p"), []byte("not below the prefix"))
	_, _ = s.Put(t.Context(), []byte("px"), []byte("not below the prefix"))
	written, refused := testExport(t, s, dir, "p")
	if written != 4 || len(refused) != len(bad) {
		t.Errorf("%d written, %d refused, want 4 and %d:\n%s", written, len(refused), len(bad), strings.Join(refused, "\n"))
	}
	if left := contents(t, outside); len(left) > 0 {
		t.Errorf("the folder was left: %v", left)
	}
	got := contents(t, filepath.Clean(dir))
	if got["old"] != "good" || got["file"] != "good" || got["folder/inside"] != "x" || got["..."] != "good" {
		t.Errorf("the folder holds %v", got)
	}
}
