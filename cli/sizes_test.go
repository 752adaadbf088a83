package cli

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What is shipped is read by people: so many lines are as much as one takes in. To fix a build, split what is too long where it does
// two things. doc.go files are specifications, and of no length.
const (
	mostFileLines     = 650
	mostFunctionLines = 80
)

// TestSizes holds that.
func TestSizes(t *testing.T) {
	functions := 0
	for _, file := range goFiles(t, "..") {
		name := filepath.ToSlash(file)
		if strings.HasSuffix(name, "_test.go") || filepath.Base(name) == "doc.go" {
			continue
		}
		text, err := os.ReadFile(filepath.Join("..", file))
		must(t, err)
		if lines := bytes.Count(text, []byte{'\n'}); lines > mostFileLines {
			t.Errorf("%s has %d lines, and %d are the most: move what belongs together into a file of its own", name, lines, mostFileLines)
		}
		positions := token.NewFileSet()
		parsed, err := parser.ParseFile(positions, file, text, 0)
		must(t, err)
		for _, d := range parsed.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			functions++
			lines := positions.Position(f.End()).Line - positions.Position(f.Pos()).Line + 1
			if lines > mostFunctionLines {
				t.Errorf("%s: %s has %d lines, and %d are the most: give its parts names", name, f.Name.Name, lines, mostFunctionLines)
			}
		}
	}
	if functions < 1000 {
		t.Errorf("%d functions were found: the test looks in the wrong place", functions)
	}
}
