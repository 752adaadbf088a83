package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"qkv/index/kv"
	"qkv/internal/limits"
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

// testImport imports a folder and returns the summary and what was skipped or failed.
func testImport(t *testing.T, s *memory, dir, prefix string) (summary string, skipped []string, err error) {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	var mu sync.Mutex
	name := func(name, why string) {
		relative, _ := filepath.Rel(dir, name)
		mu.Lock()
		defer mu.Unlock()
		skipped = append(skipped, relative+": "+why)
	}
	i := importer{root: root, store: s, prefix: keyPrefix(prefix), private: true, bar: &progress{}, skip: name, fail: name}
	err = i.run(t.Context(), i.list())
	slices.Sort(skipped)
	return i.summary(), skipped, err
}

func testExport(t *testing.T, s exportStore, dir, prefix string, mirror bool) (summary string, refused []string, err error) {
	t.Helper()
	e := exporter{store: s, prefix: keyPrefix(prefix), mirror: mirror, overwrite: !mirror, refuse: func(name, why string) {
		refused = append(refused, name+": "+why)
	}}
	err = e.run(t.Context(), dir, &bytes.Buffer{})
	return e.summary(), refused, err
}

// TestImportExport: what was imported comes back byte for byte, over several pages, and a second import of the same
// writes nothing.
func TestImportExport(t *testing.T) {
	files := map[string]string{
		"hosts": "127.0.0.1 localhost\n", "empty": "", "a/b/c": "deep", "a.txt": "sorts before a/b in keys, after it in folders",
		"not\xffutf8": "\x00\xff binary\n", "spaces in names": "x", "large": strings.Repeat("v", 3<<19),
	}
	for i := range 200 {
		files[fmt.Sprintf("many/%03d", i)] = fmt.Sprint(i)
	}
	for _, prefix := range []string{"", "/etc", "/etc/", "/", "no/slash"} {
		s := newMemory()
		s.page = 70
		dir := tree(t, files)
		summary, skipped, err := testImport(t, s, dir, prefix)
		if want := fmt.Sprintf("%d written, 0 already there", len(files)); err != nil || summary != want || skipped != nil {
			t.Fatalf("prefix %q: %s, skipped %v, %v; want %s", prefix, summary, skipped, err, want)
		}
		if _, ok := s.keys[keyPrefix(prefix)+"a/b/c"]; !ok {
			t.Errorf("prefix %q: no key %s", prefix, keyPrefix(prefix)+"a/b/c")
		}
		out := filepath.Join(t.TempDir(), "new", "folders")
		exported, refused, err := testExport(t, s, out, prefix, false)
		if want := fmt.Sprintf("%d written, 0 already there", len(files)); err != nil || exported != want || refused != nil {
			t.Errorf("prefix %q: exported %s, refused %q, %v", prefix, exported, refused, err)
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
	_, skipped, err := testImport(t, s, dir, strings.Repeat("p", limits.KeyBytes-3900))
	must(t, err)
	want := []string{
		"link: a symbolic link", "over: over 16711680 bytes, the limit of a value", "pipe: not a regular file",
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
	if !slices.ContainsFunc(skipped, func(s string) bool { return strings.Contains(s, "over the limit of 32768") }) {
		t.Error("the file whose key is too long is not named")
	}
	if _, ok := s.keys[strings.Repeat("p", limits.KeyBytes-3900)+"/good"]; !ok {
		t.Error("the good file is not stored")
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// oddKeys are keys whose plain names cannot be files, or not all at once.
func oddKeys() map[string]string {
	keys := map[string]string{}
	for _, key := range []string{
		"a", "a/b", "a/b/c", "a!", "e/", "e//", "e//x", "c//d", "/", "/absolute", "//", "../up", "a/../../up", "..", ".", "a/./b", "%", "%a%", "%25",
		"zero\x00byte", "\x00", strings.Repeat("n", 256), strings.Repeat("n", 256) + "/under", strings.Repeat("%", limits.KeyBytes),
		strings.Repeat("/", 2040), strings.Repeat("x/", 2040), strings.Repeat("x/", 2040) + "x", "two\nlines", "\xff", "\xff/\xfe\n/x", "latin1-f\xfcr/x", "plain/file.txt",
	} {
		keys[key] = "the value of " + key
	}
	return keys
}

// TestEveryKeyHasAFile: every key comes back from a folder, whatever it is, and nothing leaves the folder.
func TestEveryKeyHasAFile(t *testing.T) {
	t.Parallel()
	s, keys := newMemory(), oddKeys()
	s.page = 3
	for key, value := range keys {
		_, _ = s.Put(t.Context(), []byte(key), []byte(value))
	}
	above := t.TempDir()
	dir := filepath.Join(above, "keys")
	for _, want := range []string{fmt.Sprintf("%d written, 0 already there", len(keys)), fmt.Sprintf("0 written, %d already there", len(keys))} {
		if summary, refused, err := testExport(t, s, dir, "", true); err != nil || refused != nil || summary != want {
			t.Fatalf("exported %s, refused %q, %v; want %s", summary, refused, err, want)
		}
		again := newMemory()
		if _, skipped, err := testImport(t, again, dir, ""); err != nil || skipped != nil {
			t.Errorf("import: skipped %q, %v", skipped, err)
		}
		got := map[string]string{}
		for key, kv := range again.keys {
			got[key] = string(kv.Value)
		}
		if !mapsEqual(got, keys) {
			t.Errorf("%d keys came back of %d: %.2000q", len(got), len(keys), got)
		}
	}
	entries, err := os.ReadDir(above)
	must(t, err)
	info, err := os.Stat(dir)
	must(t, err)
	if len(entries) != 1 || info.Mode().Perm() != 0o700 {
		t.Errorf("beside the folder there is %v, its mode is %v", entries, info.Mode())
	}
}

// TestExportAgain: files of keys that are gone stay, or go with --delete; a file gives way to a folder of its name.
func TestExportAgain(t *testing.T) {
	s, dir := newMemory(), tree(t, map[string]string{"folder/inside": "x", "exported/before": "x", "d/e/f": "x"})
	must(t, os.Symlink("nowhere", filepath.Join(dir, "exported", "link")))
	must(t, os.Mkdir(filepath.Join(dir, exportTemporary), 0o700))
	must(t, os.WriteFile(filepath.Join(dir, exportTemporary, "0"), []byte("half"), 0o600))
	is := func(mirror bool, wantSummary string, want map[string]string) {
		t.Helper()
		summary, refused, err := testExport(t, s, dir, "", mirror)
		if err != nil || refused != nil || summary != wantSummary {
			t.Errorf("%s, refused %q, %v; want %s", summary, refused, err, wantSummary)
		}
		if got := contents(t, dir); !mapsEqual(got, want) {
			t.Errorf("the folder holds %q, want %q", got, want)
		}
	}
	put := func(key, value string) { _, _ = s.Put(t.Context(), []byte(key), []byte(value)) }
	put("old", "1")
	put("same", "1")
	put("folder", "1")
	is(false, "3 written, 0 already there", map[string]string{"folder/inside": "x", "exported/before": "x", "d/e/f": "x", "old": "1", "same": "1", "%folder%": "1"})
	put("old/under", "2")
	delete(s.keys, "same")
	is(false, "1 written, 2 already there", map[string]string{
		"folder/inside": "x", "exported/before": "x", "d/e/f": "x", "%old%": "1", "old/under": "2", "same": "1", "%folder%": "1",
	})
	is(true, "0 written, 3 already there, 4 removed", map[string]string{"%old%": "1", "old/under": "2", "%folder%": "1"})
	if _, err := os.Lstat(filepath.Join(dir, "exported", "link")); err != nil {
		t.Errorf("the link, which no export made: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(dir, "d")); err == nil {
		t.Error("an empty folder is left")
	}
	delete(s.keys, "old/under")
	must(t, os.RemoveAll(filepath.Join(dir, "old")))
	put("old", "3")
	is(true, "2 written, 0 already there", map[string]string{"old": "3", "folder": "1"}) // nothing is in its way any more
	clear(s.keys)
	if summary, _, err := testExport(t, s, dir, "", true); err == nil || len(contents(t, dir)) != 2 {
		t.Errorf("an export of nothing that mirrors: %s, %v; the folder holds %q", summary, err, contents(t, dir))
	}
}

// Nothing is written into a folder that was not empty before the first export, unless that is asked for.
func TestExportSparesForeignFiles(t *testing.T) {
	s := newMemory()
	_, _ = s.Put(t.Context(), []byte("config"), []byte("new"))
	for _, files := range []map[string]string{{"config": "precious"}, {"other": "precious"}} {
		dir := tree(t, files)
		for _, mirror := range []bool{false, true} {
			e := exporter{store: s, mirror: mirror, refuse: func(string, string) {}}
			if err := e.run(t.Context(), dir, io.Discard); exitCode(err) != exitUsage || !strings.Contains(err.Error(), "nothing was changed") {
				t.Errorf("mirror %v: %v", mirror, err)
			}
			if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 || !mapsEqual(contents(t, dir), files) {
				t.Errorf("mirror %v: the folder holds %v", mirror, entries)
			}
		}
	}
	fresh := t.TempDir() // a new volume
	must(t, os.Mkdir(filepath.Join(fresh, lostAndFound), 0o700))
	for range 2 {
		if _, _, err := testExport(t, s, fresh, "", true); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(filepath.Join(fresh, lostAndFound)); err != nil {
		t.Errorf("the volume's own folder: %v", err)
	}
}

// TestExportOfTwoNames: a key keeps its file, with --delete too, when that gives way to a folder within the same export. And where an
// export was killed between the two names of a key, the next one leaves one of them: an import would take either's value.
func TestExportOfTwoNames(t *testing.T) {
	s, dir := newMemory(), t.TempDir()
	for _, step := range []struct {
		key, left string
		want      map[string]string
	}{
		{"a", "", map[string]string{"a": "1"}},
		{"a/b", "", map[string]string{"%a%": "1", "a/b": "1"}},
		{"c", "", map[string]string{"%a%": "1", "a/b": "1", "c": "1"}},
		{"d", "%c%", map[string]string{"%a%": "1", "a/b": "1", "c": "1", "d": "1"}},
	} {
		if _, err := s.Put(t.Context(), []byte(step.key), []byte("1")); err != nil {
			t.Fatal(err)
		}
		if step.left != "" {
			must(t, os.WriteFile(filepath.Join(dir, step.left), []byte("0"), 0o600))
		}
		summary, refused, err := testExport(t, s, dir, "", step.left == "")
		if got := contents(t, dir); err != nil || refused != nil || !mapsEqual(got, step.want) {
			t.Errorf("%s: %s, refused %q, %v; the folder holds %q", step.key, summary, refused, err, got)
		}
	}
}

// TestExportLongNames: a key whose name is nearly as long as a file's may be has its file also where a folder has that name, of
// this export or from before.
func TestExportLongNames(t *testing.T) {
	for n := fileNameMost - 4; n <= fileNameMost+1; n++ {
		key := strings.Repeat("n", n)
		for _, before := range []bool{false, true} {
			s, dir := newMemory(), t.TempDir()
			_, _ = s.Put(t.Context(), []byte(key), []byte("1"))
			want := 1
			if before && n <= fileNameMost {
				must(t, os.Mkdir(filepath.Join(dir, key), 0o700))
			} else {
				_, _ = s.Put(t.Context(), []byte(key+"/under"), []byte("2"))
				want++
			}
			for range 2 {
				if summary, refused, err := testExport(t, s, dir, "", false); err != nil || refused != nil {
					t.Errorf("%d bytes: exported %s, refused %q, %v", n, summary, refused, err)
				}
			}
			again := newMemory()
			if summary, skipped, err := testImport(t, again, dir, ""); err != nil || skipped != nil || len(again.keys) != want {
				t.Errorf("%d bytes: imported %s, skipped %q, %v", n, summary, skipped, err)
			}
		}
	}
}

// failingStore has pages, and then an error.
type failingStore struct {
	*memory
	pages int
}

func (f *failingStore) Pages(ctx context.Context, q kv.Range) iter.Seq2[kv.RangeResult, error] {
	return func(yield func(kv.RangeResult, error) bool) {
		n := 0
		for page := range f.memory.Pages(ctx, q) {
			if n++; n > f.pages {
				yield(kv.RangeResult{}, errInjected)
				return
			}
			if !yield(page, nil) {
				return
			}
		}
	}
}

// TestExportInterrupted: what has a key's name is whole, and nothing else is left behind; removing waits for the end.
func TestExportInterrupted(t *testing.T) {
	s, dir := newMemory(), tree(t, map[string]string{"stale": "x", exportTemporary + "/7": "half"})
	s.page = 2
	for i := range 6 {
		_, _ = s.Put(t.Context(), fmt.Appendf(nil, "%d", i), []byte("value"))
	}
	summary, _, err := testExport(t, &failingStore{s, 2}, dir, "", true)
	want := map[string]string{"stale": "x", "0": "value", "1": "value", "2": "value", "3": "value"}
	if got := contents(t, dir); !errors.Is(err, errInjected) || summary != "4 written, 0 already there" || !mapsEqual(got, want) {
		t.Errorf("%s, %v; the folder holds %q", summary, err, got)
	}
	if left := contents(t, filepath.Join(dir, exportTemporary)); len(left) > 0 {
		t.Errorf("files without a name are left: %q", left)
	}
}

// TestExportRefuses: no key leaves the folder or goes through a link, whatever lies in the folder.
func TestExportRefuses(t *testing.T) {
	s := newMemory()
	outside := t.TempDir()
	dir := tree(t, map[string]string{"old": "old", "folder/inside": "x"})
	must(t, os.Symlink(outside, filepath.Join(dir, "out")))
	must(t, os.Symlink(filepath.Join(outside, "file"), filepath.Join(dir, "link")))
	must(t, os.Symlink(".", filepath.Join(dir, "self")))
	must(t, os.WriteFile(filepath.Join(dir, "%foreign"), []byte("x"), 0o600))
	bad := []string{"out/escape", "link", "self/x", "link/x"}
	for _, name := range bad {
		_, _ = s.Put(t.Context(), []byte("p/"+name), []byte("evil"))
	}
	for _, name := range []string{"file", "old", "fine", "..."} {
		_, _ = s.Put(t.Context(), []byte("p/"+name), []byte("good"))
	}
	_, _ = s.Put(t.Context(), []byte("p"), []byte("not below the prefix"))
	_, _ = s.Put(t.Context(), []byte("px"), []byte("not below the prefix"))
	summary, refused, err := testExport(t, s, dir, "p", false)
	if err != nil || summary != "4 written, 0 already there" || len(refused) != len(bad) {
		t.Errorf("%s, %v, %d refused, want %d:\n%s", summary, err, len(refused), len(bad), strings.Join(refused, "\n"))
	}
	if left := contents(t, outside); len(left) > 0 {
		t.Errorf("the folder was left: %v", left)
	}
	got := contents(t, filepath.Clean(dir))
	if got["old"] != "good" || got["file"] != "good" || got["folder/inside"] != "x" || got["..."] != "good" {
		t.Errorf("the folder holds %v", got)
	}
}

// TestImportPrivate: what others may not read is left out, unless the folder itself is private or it is asked for.
func TestImportPrivate(t *testing.T) {
	b := newRig(t, nil)
	dir := tree(t, map[string]string{"open": "1", "shadow": "2", "closed/inside": "3", "half/inside": "4"})
	modes := map[string]os.FileMode{".": 0o755, "open": 0o644, "shadow": 0o640, "closed": 0o750, "closed/inside": 0o644, "half": 0o711, "half/inside": 0o644}
	for name, mode := range modes {
		must(t, os.Chmod(filepath.Join(dir, name), mode))
	}
	b.expect(t, 0, "1 written, 0 already there, 3 skipped\n", dir+"/shadow: others may not read it; --private stores it", "import", dir)
	b.expect(t, 0, "3 written, 1 already there\n", "", "import", dir, "--private")
	must(t, os.Chmod(dir, 0o700))
	b.expect(t, 0, "0 written, 4 already there\n", "", "import", dir)
	must(t, os.WriteFile(filepath.Join(dir, "%open%"), nil, 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "%open"), nil, 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "%"), nil, 0o600))
	b.expect(t, 1, "0 written, 4 already there, 1 skipped, 2 failed\n", "%open%: the file of its key is open\n", "import", dir)
}

// TestLongestKeyIsImported: a file whose key is as long as a key may be is imported, and one with a longer key is not.
func TestLongestKeyIsImported(t *testing.T) {
	for room, want := range map[int]bool{1: true, 0: false} {
		i := importer{prefix: strings.Repeat("p", limits.KeyBytes-room)}
		if why := i.unfit("f"); (why == "") != want {
			t.Errorf("a key of %d bytes: %q", len(i.prefix)+1, why)
		}
	}
}

// TestImportFails: what cannot be stored is named, each of it, and the exit code says so; all else is stored.
func TestImportFails(t *testing.T) {
	b := newRig(t, nil)
	files := map[string]string{"a/fits": "1", "z/fits": "2"}
	for i := range 2 * skipsNamed {
		files[fmt.Sprintf("m/%02d", i)] = strings.Repeat("v", 3<<20)
	}
	dir := tree(t, files)
	b.expect(t, 1, "2 written, 0 already there, 20 failed\n", "20 files or folders were not imported, as said above; all others are stored", "import", dir, "--private")
	code, _, stderr := b.qkv(t, "", "import", dir, "--private")
	for i := range 2 * skipsNamed {
		if want := fmt.Sprintf("failed %s/m/%02d: ", dir, i); code != 1 || !strings.Contains(stderr, want) {
			t.Errorf("exit code %d, and no %q in\n%s", code, want, stderr)
		}
	}
	b.expect(t, 0, "2", "", "get", "z/fits", "--raw")
}

// TestSkips: many things that are left out are counted, not all named.
func TestSkips(t *testing.T) {
	b := newRig(t, nil)
	dir := t.TempDir()
	for i := range 30 {
		must(t, os.Symlink("nowhere", filepath.Join(dir, fmt.Sprintf("%02d", i))))
	}
	must(t, os.WriteFile(filepath.Join(dir, "99"), nil, 0o640))
	_, _, stderr := b.qkv(t, "", "import", dir)
	if want := "skipped 21 more, which --verbose names (20: a symbolic link; 1: others may not"; strings.Count(stderr, "\n") != 11 || !strings.Contains(stderr, want) {
		t.Errorf("%s\nwant 11 lines with %s", stderr, want)
	}
	if _, _, stderr = b.qkv(t, "", "import", dir, "-v"); strings.Count(stderr, "\n") != 31 {
		t.Errorf("with --verbose:\n%s", stderr)
	}
}
