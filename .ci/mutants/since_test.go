package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// TestTouched changes one function, moves another, and changes a script and two limits. The mutants of the first function and of the
// script are touched, the mutants of the functions that mention these limits, and a new one. All others are not, although another file
// listed them before.
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
	const one = "func one() int {\n\treturn 1\n}\n\n"
	write("a/a.go", "package a\n\n"+one+"func two() int {\n\treturn 2\n}\n")
	write(".ci/mutants/old.go", "package main\n\nvar bugs = []mutant{{\"in one\"}, {\"in two\"}, {\"in both\"}, {\"in a script\"}, {\"beside a changed limit\"}, {\"beside limits that stay\"}, {\"beside a changed field\"}}\n")
	write("run", "first\nsecond\n")
	write("c/c.go", "package c\n\nfunc three() int {\n\treturn limits.Raised + 3\n}\n\nfunc four() int {\n\treturn limits.Kept + c.Limits.Bytes + 4\n}\n\nfunc five() int {\n\treturn c.Limits.Streams + 5\n}\n")
	const kept = "package limits\n\nconst (\n\tKept = 10 // said twice\n"
	write("internal/limits/limits.go", kept+"\tRaised = 100\n)\n\nvar all = Tunable{\n\tBytes: 1,\n\tStreams: 1,\n}\n")
	git("init", "-q")
	git("add", "-A")
	git("commit", "-q", "-m", "a")
	git("mv", ".ci/mutants/old.go", ".ci/mutants/new.go")
	write("a/a.go", "package a\n\nfunc two() int {\n\tx := 2\n\treturn x\n}\n")
	write("b/b.go", "package b\n\n// one was moved here.\n"+one)
	write("run", "first\nthird\n")
	write("internal/limits/limits.go", kept+"\tRaised        = 10\n\tRaisedEarlier = 10\n)\n\nvar all = Tunable{\n\tBytes:   1,\n\tStreams: 2,\n}\n")
	tree, err := readSources()
	if err != nil {
		t.Fatal(err)
	}
	all := []mutant{
		{"in one", []change{{"one", "return 1", ""}}, nil},
		{"in two", []change{{"two", "return x", ""}}, nil},
		{"in both", []change{{"one", "return 1", ""}, {"two", "x := 2", ""}}, nil},
		{"in a script", []change{{"run", "first", ""}}, nil},
		{"beside a changed limit", []change{{"three", "+ 3", ""}}, nil},
		{"beside limits that stay", []change{{"four", "+ 4", ""}}, nil},
		{"beside a changed field", []change{{"five", "+ 5", ""}}, nil},
		{"new", []change{{"one", "return 1", ""}}, nil},
	}
	found, err := touched(all, tree, "HEAD")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range found {
		names = append(names, m.name)
	}
	slices.Sort(names)
	if want := []string{"beside a changed field", "beside a changed limit", "in a script", "in both", "in two", "new"}; !slices.Equal(names, want) {
		t.Errorf("touched are %v, want %v", names, want)
	}
	if _, err := touched(all, tree, "nothing"); err == nil {
		t.Error("a revision that is not there is accepted")
	}
}
