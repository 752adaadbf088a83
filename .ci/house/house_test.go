package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestCounts counts a small module with one arrow that runs back up, and a simulator.
func TestCounts(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{
		"go.mod":  "module small\n\ngo 1.26.0\n",
		"main.go": "package main\n\nimport \"small/clock\"\n\nfunc main() { clock.New().Tick() }\n",
		"clock/doc.go": "// Package clock has one arrow that runs back up: clock.go -> tick.go.\npackage clock\n\n" +
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
	if files["clock/tick.go"] != 1 || len(files) != 7 {
		t.Errorf("the files are %v", files)
	}
	exported := 0
	for name, needed := range h.needed(files) {
		exported += files[name]
		if needed != (name != "clock/sim.go") {
			t.Errorf("%s is needed: %v", name, needed)
		}
	}
	if sim := files["clock/sim.go"]; exported != 5 || sim != 1 { // Clock, New, Tick, Windows, and Sim
		t.Errorf("%d names are exported, want 5; %d by the simulator, want 1", exported, sim)
	}
	fields, methods := h.largest()
	if fields.String() != "5 (clock.Sim)" || methods.String() != "2 (clock.Clock)" {
		t.Errorf("the largest types have %s and %s", fields, methods)
	}
	for _, r := range h.packages {
		up, of := r.upwards()
		if r.path == "small/clock" && (of != 6 || !slices.Equal(up, []string{"clock/clock.go -> clock/tick.go"})) {
			t.Errorf("upwards run %v of %d arrows", up, of)
		}
	}
}

// TestUpwards finds the arrow with fewer references in each pair that uses each other, whatever the order of the list, and all arrows of a
// larger circle.
func TestUpwards(t *testing.T) {
	for _, one := range []struct {
		pairs, circle, want int
	}{{0, 0, 0}, {1, 0, 1}, {4, 0, 4}, {0, 3, 3}, {2, 5, 7}} {
		r := &room{}
		for i := range 30 {
			r.files = append(r.files, &file{name: fmt.Sprintf("%02d", (i*7)%30), uses: map[string]int{}})
		}
		for i := range 30 {
			for j := range i {
				if (i+j)%3 > 0 {
					r.files[i].uses[r.files[j].name] = 2
				}
			}
		}
		for i := range one.pairs {
			r.files[i].uses[r.files[i+25].name] = 1
			r.files[i+25].uses[r.files[i].name] = 2
		}
		for i := range one.circle {
			f := &file{name: fmt.Sprintf("circle%d", i), uses: map[string]int{fmt.Sprintf("circle%d", (i+1)%one.circle): 1}}
			r.files = append(r.files, f)
		}
		if up, _ := r.upwards(); len(up) != one.want {
			t.Errorf("%d pairs and a circle of %d: upwards run %v", one.pairs, one.circle, up)
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
