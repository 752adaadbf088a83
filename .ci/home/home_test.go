package main

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// repository is the root folder of the repository.
const repository = "../.."

// set are addresses that an owner might set.
var set = map[string]string{
	"documentation": "https://docs.example/store", "image": "images.example/team/store", "module": "code.example/team/store",
	"repository": "https://code.example/team/store", "security": "security@store.example",
}

// TestPlaces: the files of the repository have the addresses of the home file.
func TestPlaces(t *testing.T) {
	if err := agrees(repository, false); err != nil {
		t.Error(err)
	}
}

// TestWrite: an address that the owner changes comes into each file that names it, and writing it again changes nothing.
func TestWrite(t *testing.T) {
	root, files := placesIn(t)
	home, err := load(root)
	must(t, err)
	module := home["module"]
	maps.Copy(home, set)
	home["module"] = module
	must(t, save(root, home))
	if err := agrees(root, false); err == nil || !strings.Contains(err.Error(), "SECURITY.md has another address") || !strings.Contains(err.Error(), "make home") {
		t.Errorf("the files have other addresses, and the check says %v", err)
	}
	must(t, write(root))
	must(t, agrees(root, false))
	once := read(t, root, files)
	for _, p := range places {
		if !strings.Contains(once[p.file], home[p.name]) {
			t.Errorf("%s does not name the %s %s", p.file, p.name, home[p.name])
		}
	}
	must(t, write(root))
	if !maps.Equal(once, read(t, root, files)) {
		t.Error("writing the same addresses again changes a file")
	}
	home["module"] = set["module"] // go.mod has the old path
	must(t, save(root, home))
	must(t, write(root))
	if err := agrees(root, false); err == nil || !strings.Contains(err.Error(), "go.mod has another address") {
		t.Errorf("the home file alone has another module, and the check says %v", err)
	}
}

// TestLostPlace: a file that no longer names its address once is an error, and not skipped.
func TestLostPlace(t *testing.T) {
	root, files := placesIn(t)
	for _, change := range []struct{ what, from, to string }{{"none", "Write to <", "Write to: <"}, {"two", "Write to <", "Write to <a@b.example>\nWrite to <"}} {
		text := read(t, root, files)["SECURITY.md"]
		put(t, root, "SECURITY.md", strings.Replace(text, change.from, change.to, 1))
		if err := agrees(root, false); err == nil || !strings.Contains(err.Error(), "SECURITY.md has") || !strings.Contains(err.Error(), "places for the security") {
			t.Errorf("with %s: %v", change.what, err)
		}
		put(t, root, "SECURITY.md", text)
	}
}

// TestRelease: a release is refused while any address is not set, and names it.
func TestRelease(t *testing.T) {
	root, files := placesIn(t)
	ready := func() {
		must(t, save(root, set))
		mod := read(t, root, files)["go.mod"]
		put(t, root, "go.mod", moduleLine.ReplaceAllLiteralString(mod, "module "+set["module"]))
		must(t, write(root))
		must(t, agrees(root, true))
	}
	ready()
	for name, unset := range map[string][]string{
		"documentation": {"", "https://example.invalid/docs"}, "image": {"", "example.invalid/qkv"}, "repository": {"", "https://example.invalid/qkv"},
		"security": {"", "security@example.invalid"},
	} {
		for _, address := range unset {
			home := maps.Clone(set)
			home[name] = address
			must(t, save(root, home))
			if err := agrees(root, true); err == nil || !strings.Contains(err.Error(), "the "+name+" is \""+address+"\", which is not set") {
				t.Errorf("without the %s: %v", name, err)
			}
		}
	}
	if isSet("module", "qkv") || !isSet("module", set["module"]) {
		t.Error("a module without a host counts as set, or one with a host does not")
	}
	ready()
	put(t, root, "go.mod", read(t, root, files)["go.mod"]+"\nreplace a.example/a => ../a\n")
	if err := agrees(root, false); err == nil || !strings.Contains(err.Error(), "has a replace") {
		t.Errorf("go.mod replaces a module, and the check says %v", err)
	}
}

// TestNames: the home file has exactly the addresses that are known.
func TestNames(t *testing.T) {
	root := t.TempDir()
	for _, home := range []map[string]string{{}, {"module": "qkv"}, {"documentation": "", "image": "", "module": "", "repository": "", "securityy": ""}} {
		put(t, root, homeFile, "")
		must(t, save(root, home))
		if _, err := load(root); err == nil || !strings.Contains(err.Error(), "other names than") {
			t.Errorf("%v: %v", home, err)
		}
	}
}

// placesIn copies the home file, and the files that name an address, into a folder.
func placesIn(t *testing.T) (root string, files []string) {
	t.Helper()
	root, files = t.TempDir(), []string{homeFile}
	for _, p := range places {
		files = append(files, p.file)
	}
	slices.Sort(files)
	files = slices.Compact(files)
	for name, text := range read(t, repository, files) {
		put(t, root, name, text)
	}
	return root, files
}

// read returns the text of files.
func read(t *testing.T, root string, files []string) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, name := range files {
		text, err := os.ReadFile(filepath.Join(root, name))
		must(t, err)
		texts[name] = string(text)
	}
	return texts
}

// put writes a file, and makes its folder.
func put(t *testing.T, root, name, text string) {
	t.Helper()
	at := filepath.Join(root, name)
	must(t, os.MkdirAll(filepath.Dir(at), 0o755))
	must(t, os.WriteFile(at, []byte(text), 0o644))
}

// run runs a command in a folder, which must succeed, and returns what it prints.
func run(t *testing.T, dir string, words ...string) string {
	t.Helper()
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOFLAGS=-trimpath", "GOWORK=off") // so that Go's cache serves another folder, too
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(words, " "), err, out)
	}
	return string(out)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
