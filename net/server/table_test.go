package server

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"qkv/net/wire"
)

// What an op needs stands in its rows of the two tables: no other file of the package names one.
func TestOpsAreNamedInTheTable(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	names := regexp.MustCompile(`wire\.Op[A-Z]\w*`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := names.FindAllString(string(text), -1)
		switch {
		case file == "table.go":
			if len(found) < 25 {
				t.Errorf("%s names %d ops: is it the table?", file, len(found))
			}
		case len(found) > 0 && !strings.HasSuffix(file, "_test.go"):
			t.Errorf("%s names %v: its rule belongs into the table", file, found)
		}
	}
}

// A write that a member may log has a rule that encodes its command, unless it is answered at once.
func TestEveryWriteHasACommand(t *testing.T) {
	writes := 0
	for op := range wire.Op(wire.Ops) {
		if !op.Write() || rules[op].now != nil {
			continue
		}
		if writes++; rules[op].command == nil && rules[op].handle == nil {
			t.Errorf("%v is a write without a command", op)
		}
	}
	if writes < 8 {
		t.Errorf("%d writes", writes)
	}
}
