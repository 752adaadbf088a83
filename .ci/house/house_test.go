package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestCounts counts a small module with one arrow that runs back up, and a simulator.
func TestCounts(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{
		"go.mod":  "module small\n\ngo 1.26.0\n",
		"main.go": "package main\n\nimport \"small/clock\"\n\nfunc main() { clock.New().Tick() }\n",
		"clock/doc.go": "// Package clock has one arrow that runs back up: tick.go -> clock.go, or the other way round.\npackage clock\n\n" +
			"var _ = New\n",
		"clock/clock.go":       "package clock\n\n// Clock ticks.\ntype Clock struct {\n\tlimits\n\tnow int\n}\n\n// New makes one.\nfunc New() *Clock { c := &Clock{}; c.reset(); return c }\n",
		"clock/tick.go":        "package clock\n\n// Tick ticks.\nfunc (c *Clock) Tick() { c.now = min(c.now+1, c.most) }\n\nfunc (c *Clock) reset() {}\n",
		"clock/limit.go":       "package clock\n\ntype limits struct{ least, most int }\n\n// String is no exported name: its type is none.\nfunc (limits) String() string { return \"\" }\n",
		"clock/sim.go":         "package clock\n\n// Sim is for tests.\ntype Sim struct{ Clock }\n",
		"clock/all_windows.go": "package clock\n\n// Windows is another operating system's.\nconst Windows = 1\n",
		"clock/clock_test.go":  "package clock\n\n// Fake does not count.\ntype Fake struct{}\n",
		"testdata/x.go":        "package x\n\n// X does not count.\nvar X int\n",
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h, err := load()
	if err != nil {
		t.Fatal(err)
	}
	files, err := walk(".")
	if err != nil {
		t.Fatal(err)
	}
	if files["clock/tick.go"].lines != 6 || len(files) != 7 {
		t.Errorf("the files are %v", files)
	}
	exported := 0
	for name, needed := range h.needed(files) {
		exported += files[name].exported
		if needed != (name != "clock/sim.go") {
			t.Errorf("%s is needed: %v", name, needed)
		}
	}
	if sim := files["clock/sim.go"].exported; exported != 5 || sim != 1 { // Clock, New, Tick, Windows, and Sim
		t.Errorf("%d names are exported, want 5; %d by the simulator, want 1", exported, sim)
	}
	fields, methods := h.largest()
	if fields.String() != "5 (clock.Sim)" || methods.String() != "2 (clock.Clock)" {
		t.Errorf("the largest types have %s and %s", fields, methods)
	}
	for _, r := range h.packages {
		up, of := r.upwards()
		if r.path == "small/clock" && (of != 6 || !slices.Equal(up, []string{"clock/clock.go -> clock/tick.go"}) && !slices.Equal(up, []string{"clock/tick.go -> clock/clock.go"})) {
			t.Errorf("upwards run %v of %d arrows", up, of)
		}
	}
}

// TestUpwards puts files of layers into their order, whatever the order of the list, and finds one arrow in each cycle.
func TestUpwards(t *testing.T) {
	for _, one := range []struct {
		cycles, want int
	}{{0, 0}, {1, 1}, {4, 4}} {
		r := &room{}
		for i := range 30 {
			r.files = append(r.files, &file{name: fmt.Sprintf("%02d", (i*7)%30), uses: map[string]bool{}})
		}
		for i := range 30 {
			for j := range i {
				if (i+j)%3 > 0 {
					r.files[i].uses[r.files[j].name] = true
				}
			}
		}
		for i := range one.cycles {
			r.files[i].uses[r.files[i+25].name] = true
			r.files[i+25].uses[r.files[i].name] = true
		}
		if up, _ := r.upwards(); len(up) != one.want {
			t.Errorf("%d cycles: upwards run %v", one.cycles, up)
		}
	}
}

// TestDead: an unreachable function is reported unless it is an exception, and an exception that is reachable is reported.
func TestDead(t *testing.T) {
	stays := map[string]string{"m/lib.Leader": "for programs", "m/lib.Guard": "for programs"}
	got := judge([]string{"m/lib.Leader", "lib/lib.go:3:6", "m/log.Old", "log/log.go:7:1"}, stays)
	want := []string{
		"log/log.go:7:1: the program never calls m/log.Old: remove it, or move it to a test or to a package of test helpers",
		"the program calls m/lib.Guard: remove the exception from .ci/house/dead.go",
	}
	if !slices.Equal(got, want) {
		t.Errorf("judge says %q", got)
	}
}

// TestBudget: a count that is too large is named with both numbers, a package that is gone with its line, and the page holds the table.
func TestBudget(t *testing.T) {
	b, err := readBudget("# most\n 10 lines of a # for b\n7 exported names\n3 lines of gone\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"exported names: 9, and .ci/house/budget.txt allows 7: take 2 away, or raise the number there and say why in the commit",
		"lines of b: 5, and .ci/house/budget.txt allows 0: take 5 away, or raise the number there and say why in the commit",
		"lines of gone: there is nothing to count: remove the line from .ci/house/budget.txt",
	}
	if got := b.over(budget{"lines of a": 10, "lines of b": 5, "exported names": 9}); !slices.Equal(got, want) {
		t.Errorf("over says %q", got)
	}
	b[putFiles], b[putHooks] = 5, 5
	if got := b.over(budget{"lines of a": 10, "lines of gone": 1, "exported names": 7, putFiles: 7, putHooks: 8}); len(got) != 1 || !strings.HasPrefix(got[0], putHooks+": 8,") {
		t.Errorf("two files more, and three hooks more: over says %q", got)
	}
	delete(b, putFiles)
	delete(b, putHooks)
	if again, err := readBudget(b.String()); err != nil || !maps.Equal(again, b) {
		t.Errorf("written, it is %v, %v", again, err)
	}
	for _, text := range []string{"x lines of a\n", "3\n", "3 lines of a\n4 lines of a\n"} {
		if b, err := readBudget(text); err == nil {
			t.Errorf("%q is %v", text, b)
		}
	}
	page := "before\n<!-- counts: written by `make house HOUSEFLAGS=-fit` -->\n\nold\n<!-- end of counts -->\nafter\n"
	first, other, err := b.page(page)
	if err != nil || !other || !strings.Contains(first, "| production lines, without code for tests only | 77,420 | 109,401 | 13 | 97,500 |\n| exported names, without code for tests only | 1,789 | 2,731 | 7 | 1,900 |\n\n<!-- end of counts -->\nafter\n") {
		t.Errorf("the page is %q, another one: %v, %v", first, other, err)
	}
	if again, other, err := b.page(first); err != nil || other || again != first {
		t.Errorf("again it is %q, another one: %v, %v", again, other, err)
	}
	if got := thousands(1_020_003); got != "1,020,003" {
		t.Errorf("thousands says %q", got)
	}
}
