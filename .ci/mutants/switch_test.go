package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestMerged compiles mutants of one file together, and runs each by its number. One changes a signature, and one a function with a label:
// they have no place.
func TestMerged(t *testing.T) {
	const code = `package main

import "fmt"

type box[T any] struct{ all []T }

func (*box[T]) size(_ string, more ...T) (n int) { return len(more) }

func pick[A, B any](a A, _ B) A { return a }

func say(what string) { fmt.Print(what) }

func loop() { again: for { break again } }

func main() {
	loop()
	say(fmt.Sprint(new(box[int]).size("x", 1, 2, 3), pick(4, "y"), "\n"))
}
`
	tree := treeOf(t, "m/main.go", code)
	test := []detector{direct("./m", "TestAny")}
	all := []mutant{
		{"size", []change{{"box.size", "return len(more)", "return 7 + len(more)"}}, test},
		{"pick", []change{{"pick", "return a", "var none A; return none"}}, test},
		{"say", []change{{"say", "fmt.Print(what)", "fmt.Print(what + what)"}}, test},
		{"size again", []change{{"box.size", "len(more)", "0"}}, test},
		{"signature", []change{{"say", "what string", "what, other string"}}, test},
		{"label", []change{{"loop", "break again", "continue again"}}, test},
	}
	g, err := merge(t.TempDir(), tree, all)
	if err != nil {
		t.Fatal(err)
	}
	if len(g.has) != 4 {
		t.Errorf("%v are in the merged sources", g.has)
	}
	dir := t.TempDir()
	for name, text := range g.texts {
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(name)), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module m\n\ngo 1.24\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-o", "m", ".")
	build.Dir, build.Env = dir, append(os.Environ(), "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s\n%s", err, out, g.texts["m/main.go"])
	}
	for number, want := range map[string]string{"0": "3 4\n", "1": "10 4\n", "2": "3 0\n", "3": "3 4\n3 4\n", "4": "0 4\n", "5": "3 4\n"} {
		run := exec.Command(filepath.Join(dir, "m"))
		run.Env = append(os.Environ(), switchVariable+"="+number)
		if out, err := run.Output(); err != nil || string(out) != want {
			t.Errorf("mutant %s prints %q, want %q: %v", number, out, want, err)
		}
	}
}
