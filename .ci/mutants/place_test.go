package main

import (
	"fmt"
	"strings"
	"testing"
)

// treeOf returns sources of these files: a name, a text, and so on.
func treeOf(t *testing.T, files ...string) *sources {
	t.Helper()
	s := &sources{files: map[string]string{}}
	for i := 0; i < len(files); i += 2 {
		s.files[files[i]] = files[i+1]
	}
	if err := s.declare(); err != nil {
		t.Fatal(err)
	}
	return s
}

// apply returns the text of the one file that a change alters.
func apply(t *testing.T, s *sources, file string, changes ...change) string {
	t.Helper()
	texts, err := s.changed(changes)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := texts[file]; !ok || len(texts) != 1 {
		t.Fatalf("changed is %v, want %s alone", texts, file)
	}
	return texts[file]
}

const tick = `package actor

type clock struct {
	now  int // in ticks
	last int
}

// tick moves the clock.
func (c *clock) tick(by int) bool {
	c.now += by
	if c.now > c.last { return true }
	return false
}
`

// The same code with comments and other line breaks, in another file, receives the same change.
func TestCommentsAndLineBreaksDoNotCount(t *testing.T) {
	moved := strings.NewReplacer(
		"c.now += by\n", "c.now += by // by is never negative\n\n\t/* so c.now\n\t only grows */\n",
		"{ return true }", "{\n\t\t// It did.\n\t\treturn true\n\t}",
		"func (c *clock) tick(by int)", "func (c *clock) tick(\n\tby int,\n)",
	).Replace(tick)
	for _, one := range []change{
		{"clock.tick", "c.now += by; if c.now > c.last {", "if c.now > c.last {"},
		{"clock.tick", "c.now += by\n\tif c.now > c.last {\n", "if c.now > c.last {"},
	} {
		if got := apply(t, treeOf(t, "actor/clock.go", tick), "actor/clock.go", one); strings.Contains(got, "+=") || !strings.Contains(got, "\tif c.now > c.last { return true }\n") {
			t.Errorf("%q makes of the first\n%s", one, got)
		}
		if got := apply(t, treeOf(t, "core/time.go", moved), "core/time.go", one); strings.Contains(got, "+=") || !strings.Contains(got, "\tif c.now > c.last {\n\t\t// It did.\n\t\treturn true\n\t}\n") {
			t.Errorf("%q makes of the second\n%s", one, got)
		}
	}
}

// A type, a line of a group, a generic type's method and a file that is no Go code are places, too.
func TestPlaces(t *testing.T) {
	s := treeOf(t, "actor/clock.go", tick, "deploy/run.sh", "wait 5\n", "actor/list.go", `package actor

const (
	most  = 5 * unit
	least = 5
)

var unit, half = 2, 1

func (l *list[K, V]) pop() { l.n-- }
`)
	for _, one := range []struct {
		file, want string
		change     change
	}{
		{"actor/clock.go", "\tlast uint64\n", change{"clock", "last int", "last uint64"}},
		{"actor/list.go", "\tleast = 6\n", change{"least", "5", "6"}},
		{"actor/list.go", "\tmost  = 6 * unit\n", change{"actor.most", "5", "6"}},
		{"actor/list.go", "var unit, half = 3, 1\n", change{"half", "= 2", "= 3"}},
		{"actor/list.go", "pop() {  }\n", change{"list.pop", "l.n--", ""}},
		{"deploy/run.sh", "wait 6\n", change{"deploy/run.sh", "5", "6"}},
	} {
		if got := apply(t, s, one.file, one.change); !strings.Contains(got, one.want) {
			t.Errorf("%q makes\n%s", one.change, got)
		}
	}
}

// Two changes of one function are both located in what it was before.
func TestTwoChangesOfOneFunction(t *testing.T) {
	s := treeOf(t, "actor/clock.go", tick)
	got := apply(t, s, "actor/clock.go", change{"clock.tick", "return false", "return true"}, change{"clock.tick", "{ return true }", "{ return false }"})
	if !strings.Contains(got, "{ return false }\n\treturn true\n") {
		t.Errorf("changed is\n%s", got)
	}
	if _, err := s.changed([]change{{"clock.tick", "return false", ""}, {"clock.tick", "false", "true"}}); err == nil || !strings.Contains(err.Error(), "two changes replace the same code at actor/clock.go:12") {
		t.Errorf("overlapping changes: %v", err)
	}
	if _, err := s.changed([]change{{"clock.tick", "return false", "return {"}}); err == nil || !strings.Contains(err.Error(), "no Go code") {
		t.Errorf("a change that does not parse: %v", err)
	}
}

// A change that fits nowhere, or twice, says where it nearly does.
func TestLostChanges(t *testing.T) {
	other := strings.ReplaceAll(tick, "package actor", "package wire")
	tests := strings.ReplaceAll(tick, "clock", "testClock")
	for name, one := range map[string]struct {
		tree   []string
		change change
		says   []string
	}{
		"the statement was changed": {
			[]string{"actor/clock.go", tick},
			change{"clock.tick", "if c.now >= c.last { return true }", ""},
			[]string{"clock.tick does not hold", "code:    if c.now >= c.last { return true }", "is now:  actor/clock.go:9"},
		},
		"the statement was moved": {
			[]string{"actor/clock.go", tick, "actor/move.go", "package actor\n\nfunc move(c *clock) {\n\tc.now -= 1\n}\n"},
			change{"clock.tick", "c.now -= 1", ""},
			[]string{"clock.tick does not hold", "now in:  actor.move, actor/move.go:4"},
		},
		"the method has another receiver": {
			[]string{"actor/clock.go", tick},
			change{"Consensus.tick", "c.now += by", ""},
			[]string{"no declaration is called Consensus.tick", "now in:  actor.clock.tick, actor/clock.go:10"},
		},
		"the function is gone": {
			[]string{"actor/clock.go", tick},
			change{"vote", "return voted", ""},
			[]string{"no declaration is called vote", "code:    return voted"},
		},
		"only a test has it": {
			[]string{"actor/clock_test.go", tests},
			change{"testClock.tick", "return false", ""},
			[]string{"no declaration is called testClock.tick"},
		},
		"two packages have it": {
			[]string{"actor/clock.go", tick, "net/wire/clock.go", other},
			change{"clock.tick", "return false", ""},
			[]string{"2 times, not once", "matches: actor/clock.go:12", "matches: net/wire/clock.go:12"},
		},
		"one function has it twice": {
			[]string{"actor/clock.go", tick},
			change{"clock.tick", "c.now", "0"},
			[]string{"2 times, not once", "matches: actor/clock.go:10", "matches: actor/clock.go:11"},
		},
		"a Go file is named": {
			[]string{"actor/clock.go", tick},
			change{"actor/clock.go", "return false", ""},
			[]string{"name the declaration"},
		},
		"a script has it twice": {
			[]string{"run", "a a"},
			change{"run", "a", "b"},
			[]string{"run holds the text to change 2 times"},
		},
		"there is no code": {
			[]string{"actor/clock.go", tick},
			change{"clock.tick", "// It did.\n", ""},
			[]string{"names no code"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := treeOf(t, one.tree...).changed([]change{one.change})
			for _, want := range one.says {
				if !strings.Contains(fmt.Sprint(err), want) {
					t.Errorf("%v\ndoes not say %q", err, want)
				}
			}
		})
	}
	s := treeOf(t, "actor/clock.go", tick, "net/wire/clock.go", other)
	for _, at := range []string{"wire.clock.tick", "net/wire.clock.tick"} {
		apply(t, s, "net/wire/clock.go", change{at, "return false", "return true"})
	}
}
