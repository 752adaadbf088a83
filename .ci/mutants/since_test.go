package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// TestTouched changes a package, a test of another one and a script. The mutants of both packages are touched, those that their tests
// detect, those of the script, and a new mutant.
func TestTouched(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	git := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("git", append([]string{"-c", "user.name=n", "-c", "user.email=e"}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
	}
	write := func(name, content string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a/a.go", "package a\n\nfunc one() int { return 1 }\n")
	write("a/b.go", "package a\n\nfunc two() int { return 2 }\n")
	write("b/b.go", "package b\n\nfunc three() int { return 3 }\n")
	write("b/b_test.go", "package b\n")
	write(".ci/mutants/bugs.go", "package main\n\nvar bugs = []mutant{\n\t{\"in one\", nil},\n}\n")
	write("c/c.go", "package c\n\nfunc four() int { return 4 }\n")
	write("run", "first\nsecond\n")
	git("init", "-q")
	git("add", "-A")
	git("commit", "-q", "-m", "a")
	write("a/a.go", "package a\n\nfunc one() int { return 10 }\n")
	write("b/b_test.go", "package b\n\n// A test.\n")
	write(".ci/mutants/bugs.go", "package main\n\nvar bugs = []mutant{\n\t{\"in one\", nil},\n\t{\"new\", nil},\n}\n")
	write("run", "first\nthird\n")
	tree, err := readSources()
	if err != nil {
		t.Fatal(err)
	}
	all := []mutant{
		{"in one", []change{{"one", "return 10", ""}}, nil},
		{"in two", []change{{"two", "return 2", ""}}, nil},
		{"in three", []change{{"three", "return 3", ""}}, nil},
		{"in four, found in b", []change{{"four", "return 4", ""}}, []detector{direct("./b", "TestFour")}},
		{"in four", []change{{"four", "return 4", ""}}, []detector{direct("./c", "TestFour")}},
		{"in a script", []change{{"run", "first", ""}}, nil},
		{"new", []change{{"four", "return 4", ""}}, nil},
	}
	found, err := touched(all, tree, "HEAD")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range found {
		names = append(names, m.name)
	}
	if want := []string{"in one", "in two", "in three", "in four, found in b", "in a script", "new"}; !slices.Equal(names, want) {
		t.Errorf("touched are %v, want %v", names, want)
	}
	if _, err := touched(all, tree, "nothing"); err == nil {
		t.Error("a revision that is not there is accepted")
	}
}
