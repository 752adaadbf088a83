package main

import (
	_ "embed"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"qkv/internal/testport"
)

// first and second are paths that the tests give the module.
const first, second = "code.example/team/store", "other.example/qkv"

// sources returns the text of the repository's files.
func sources(t *testing.T) (texts map[string]string, files []string) {
	t.Helper()
	files, err := tracked(repository)
	if err != nil {
		t.Skipf("the files of the repository are not known: %v", err)
	}
	files = slices.DeleteFunc(files, func(name string) bool {
		info, err := os.Lstat(filepath.Join(repository, name))
		return err != nil || !info.Mode().IsRegular()
	})
	return read(t, repository, files), files
}

// renamedAll returns texts with another path of the module.
func renamedAll(t *testing.T, from, to string, texts map[string]string, files []string) map[string]string {
	t.Helper()
	r, all := newRenamer(from, to, files), map[string]string{}
	for name, text := range texts {
		renamed, err := r.renamed(name, []byte(text))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all[name] = string(renamed)
	}
	return all
}

// TestPath: a renaming leaves the old path in no import and in no text of the code, and changes no name that only looks like it. Two
// renamings give the same files as one.
func TestPath(t *testing.T) {
	from, err := moduleOf(repository)
	must(t, err)
	before, files := sources(t)
	after := renamedAll(t, from, first, before, files)
	for name, text := range after {
		switch filepath.Ext(name) {
		case ".go":
			checkCode(t, name, text, from)
		case ".mod":
			if !strings.HasPrefix(moduleLine.FindString(text), "module "+first) || strings.Contains(text, "\t"+from+" ") || strings.Contains(text, "replace "+from+" ") {
				t.Errorf("%s names the old module:\n%.200s", name, text)
			}
		}
	}
	for name, want := range map[string]string{
		"Makefile": "-X " + first + "/cli/form.builtFrom=", "docs/using.md": "-require " + first + "@v0.0.0 -replace " + first + "=../qkv",
		".ci/house/dead.go": `"` + first + `/net/client.Leader"`, "net/web/browser/go.mod": "\nreplace " + first + " => ../../..\n",
		"net/wire/testdata/frames.txt": "*wire.List[" + first + "/index/kv.User]", "index/watch/doc.go": "[" + first + "/actor]",
	} {
		if !strings.Contains(after[name], want) {
			t.Errorf("%s does not have %s", name, want)
		}
	}
	for _, name := range []string{"net/wire/tls.go", "deploy/package/nfpm.yaml", "deploy/kubernetes/statefulset.yaml", "docs/packages.md", "SECURITY.md"} {
		if after[name] != before[name] {
			t.Errorf("%s names no package, and has changed", name)
		}
	}
	twice := renamedAll(t, first, second, after, files)
	for name, text := range renamedAll(t, from, second, before, files) {
		if text != twice[name] {
			t.Errorf("%s differs after two renamings from what one gives", name)
		}
	}
}

// checkCode fails if a Go file imports the old path or a package that is not there, or if a string begins with the old path.
func checkCode(t *testing.T, name, text, from string) {
	file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
	if err != nil {
		return // testdata
	}
	for _, i := range file.Imports {
		path, _ := strconv.Unquote(i.Path.Value)
		below, own := strings.CutPrefix(path, first+"/")
		if path == from || strings.HasPrefix(path, from+"/") {
			t.Errorf("%s imports %s", name, path)
		} else if info, err := os.Stat(filepath.Join(repository, below)); own && (err != nil || !info.IsDir()) {
			t.Errorf("%s imports %s, which is no folder", name, path)
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if text, ok := n.(*ast.BasicLit); ok && text.Kind == token.STRING {
			value, _ := strconv.Unquote(text.Value)
			if strings.HasPrefix(value, from+"/") && value != "qkv/2" { // the protocol
				t.Errorf("%s has the string %q: derive the module's path, as cli/floors_test.go does, or except the string here", name, value)
			}
		}
		return true
	})
}

// TestRefused: a path that `go get` cannot resolve changes nothing, and neither does a renaming beside uncommitted changes.
func TestRefused(t *testing.T) {
	root := t.TempDir()
	git := func(words ...string) {
		run(t, root, append([]string{"git", "-c", "user.name=t", "-c", "user.email=t@t.example", "-c", "commit.gpgsign=false"}, words...)...)
	}
	const program = "package main\n\nimport (\n\t\"fmt\"\n\n\t\"old/b\"\n)\n\n// old/b is a package, old/2 and /x/old/b are none.\nfunc main() { fmt.Println(b.B) }\n"
	files := map[string]string{"go.mod": "module old\n\ngo 1.26.0\n", "main.go": program, "b/b.go": "package b\n\nconst B = 1\n"}
	for name, text := range files {
		put(t, root, name, text)
	}
	put(t, root, homeFile, "")
	must(t, save(root, set))
	git("init", "-q")
	git("add", ".")
	git("commit", "-q", "-m", "a")
	t.Chdir(root)
	for _, path := range []string{
		"", "store", "old", "team/store", "code.example", "code.example/", "code.example//store", "code.example/store/", "/code.example/store",
		"https://code.example/store", "Code.example/store", "code.example/.store", "code.example/a b", "code.example/store@v1", "-x.example", "code..example/a",
	} {
		if err := renameHere(path); err == nil || !strings.Contains(err.Error(), "is no new path") {
			t.Errorf("%q: %v", path, err)
		}
	}
	put(t, root, "new.txt", "")
	if err := renameHere(first); err == nil || !strings.Contains(err.Error(), "not committed") || !strings.Contains(err.Error(), "new.txt") {
		t.Errorf("beside a new file: %v", err)
	}
	for name, text := range files {
		if got, _ := os.ReadFile(name); string(got) != text {
			t.Errorf("a renaming that was refused has changed %s", name)
		}
	}
	must(t, os.Remove("new.txt"))
	must(t, renameHere(first))
	got, _ := os.ReadFile("main.go")
	want := strings.NewReplacer(`"old/b"`, `"`+first+`/b"`, "// old/b", "// "+first+"/b").Replace(program)
	home, err := load(root)
	if string(got) != want || err != nil || home["module"] != first {
		t.Errorf("after the renaming, the module is %v, %v, and the program\n%s", home, err, got)
	}
	if err := renameHere(second); err == nil || !strings.Contains(err.Error(), "not committed") {
		t.Errorf("beside a renaming that is not committed: %v", err)
	}
	git("commit", "-q", "-a", "-m", "b")
	must(t, renameHere(second))
}

// clientProgram is a program of another module that uses every part of the client.
//
//go:embed testdata/client.go.txt
var clientProgram string

// clientTest is its test, with a member in memory.
const clientTest = `package main

import (
	"testing"

	"MODULE/net/client/clienttest"
)

func TestUse(t *testing.T) {
	if err := use(t.Context(), clienttest.Start(t)); err != nil {
		t.Fatal(err)
	}
}
`

// imported are the modules that a program with the client may require.
var imported = []string{"github.com/quic-go/quic-go", "github.com/vmihailenco/msgpack/v5", "github.com/vmihailenco/tagparser/v2", "golang.org/x/crypto", "golang.org/x/net", "golang.org/x/sys"}

// tested are the modules that clienttest needs besides: those of the state machine and of the endpoint.
var tested = []string{"github.com/cespare/xxhash/v2", "github.com/golang-jwt/jwt/v5", "github.com/tidwall/btree"}

// requires tidies a module, and fails if it requires other modules than these and the renamed one.
func requires(t *testing.T, dir string, modules []string) {
	t.Helper()
	run(t, dir, "go", "mod", "tidy")
	var mod struct{ Require []struct{ Path string } }
	must(t, json.Unmarshal([]byte(run(t, dir, "go", "mod", "edit", "-json")), &mod))
	if len(mod.Require) < 3 {
		t.Errorf("go.mod requires %v", mod.Require)
	}
	for _, r := range mod.Require {
		if r.Path != first && !slices.Contains(modules, r.Path) {
			t.Errorf("go.mod of an importer of the client requires %s: net/client and the packages below it must do without", r.Path)
		}
	}
}

// TestImporter: a program in a module of its own builds against the renamed module and a plain replace, and uses every part of the client at
// a member, and in its own test at a member in memory. Its tidy go.mod names what the client needs, and no library of gRPC, Prometheus or terminals. With QKV_FULL=1, all of the renamed module builds,
// and the member is its program.
func TestImporter(t *testing.T) {
	texts, files := sources(t)
	root := t.TempDir()
	for name, text := range texts {
		put(t, root, name, text)
	}
	if changed, err := rename(root, first, files); err != nil || changed < 500 {
		t.Fatalf("%d files are renamed, %v", changed, err)
	}
	must(t, agrees(root, false))
	mine, members := t.TempDir(), repository
	put(t, mine, "main.go", strings.ReplaceAll(clientProgram, "MODULE", first))
	run(t, mine, "go", "mod", "init", "program.example/mine")
	run(t, mine, "go", "mod", "edit", "-require="+first+"@v0.0.0", "-replace="+first+"="+root)
	requires(t, mine, imported)
	run(t, mine, "go", "build", "-o", "mine", ".")
	put(t, mine, "main_test.go", strings.ReplaceAll(clientTest, "MODULE", first))
	requires(t, mine, slices.Concat(imported, tested))
	run(t, mine, "go", "test", ".")
	if os.Getenv("QKV_FULL") != "" {
		members = root
		run(t, root, "go", "build", "./...")
		run(t, root, "go", "vet", "./...")
	}
	program := filepath.Join(t.TempDir(), "qkv")
	run(t, members, "go", "build", "-o", program, ".")
	addresses, err := testport.Unused(2)
	must(t, err)
	dir := t.TempDir()
	said, err := os.Create(filepath.Join(dir, "log"))
	must(t, err)
	defer said.Close()
	home := filepath.Join(dir, "home")
	member := exec.Command(program, "serve", "--data-dir", filepath.Join(dir, "n1"), "--listen", addresses[0], "--listen-peer", addresses[1], "--home", home)
	member.Stdout, member.Stderr, member.SysProcAttr = said, said, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(t, member.Start())
	defer func() { _, _ = member.Process.Kill(), member.Wait() }()
	if got := run(t, mine, "./mine", home, addresses[0]); got != "all parts <nil>\n" {
		text, _ := fs.ReadFile(os.DirFS(dir), "log")
		t.Errorf("the program reads %s; the member says\n%s", got, text)
	}
}
