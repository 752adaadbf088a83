package cli

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// glossary says which word the field has for what a name once called by one of its own. Prose may use any of them as
// plain English; a name that is declared may not.
var glossary = map[string]string{
	"asker":       "ReplyTo",
	"ban":         "suspension",
	"banned":      "suspended",
	"quarantine":  "suspension",
	"quarantined": "suspended",
	"unban":       "readmit",
	"bury":        "supersede",
	"chance":      "random, randomness, jitter or probability",
	"crowded":     "overflow",
	"debris":      "tornTail",
	"deposit":     "MustPost",
	"entomb":      "addTombstone",
	"grave":       "tombstone",
	"graves":      "tombstoned",
	"greet":       "handshake",
	"greeting":    "handshake",
	"heir":        "nextSalt",
	"hello":       "handshake, MemberIdentity",
	"house":       "packages",
	"hunter":      "detector",
	"looseop":     "pendingOp",
	"loosen":      "drop",
	"mend":        "clearFaults",
	"patience":    "timeout",
	"plant":       "flush",
	"prod":        "probe",
	"riding":      "piggyback",
	"scatter":     "drop, or stride",
	"settle":      "makeDurable, flatten, complete or established",
	"settled":     "established",
	"settles":     "as settle",
	"shun":        "avoid",
	"spoil":       "corrupt",
	"spoilt":      "corrupt, or damaged",
	"standing":    "RaftStatus",
	"strike":      "injectFault",
	"survivors":   "relocated",
	"trouble":     "lastErr",
	"undoings":    "clear functions",
	"unsaid":      "syncUnrecorded",
	"watchman":    "checker",
}

// TestGlossary: one word for one thing, and the field's own where it has one.
func TestGlossary(t *testing.T) {
	files := token.NewFileSet()
	checked := 0
	for _, file := range goFiles(t, "..") {
		f, err := parser.ParseFile(files, filepath.Join("..", file), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range declared(f) {
			checked++
			for _, word := range append(words(name.Name), strings.ToLower(name.Name)) {
				if say, retired := glossary[word]; retired {
					t.Errorf("%s: %s: the field's word for %q is %s", files.Position(name.Pos()), name.Name, word, say)
				}
			}
		}
	}
	if checked < 1000 {
		t.Fatalf("only %d names were checked: the test looks in the wrong place", checked)
	}
}

// declared returns the names that a file declares: of types, functions, methods, fields, parameters, constants and
// variables.
func declared(f *ast.File) []*ast.Ident {
	names := map[*ast.Ident]bool{}
	add := func(list ...*ast.Ident) {
		for _, n := range list {
			names[n] = true
		}
	}
	added := func(list ...ast.Expr) {
		for _, n := range list {
			if name, ok := n.(*ast.Ident); ok {
				add(name)
			}
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			add(n.Name)
		case *ast.TypeSpec:
			add(n.Name)
		case *ast.ValueSpec:
			add(n.Names...)
		case *ast.Field:
			add(n.Names...)
		case *ast.AssignStmt:
			if n.Tok == token.DEFINE {
				added(n.Lhs...)
			}
		case *ast.RangeStmt:
			if n.Tok == token.DEFINE {
				added(n.Key, n.Value)
			}
		}
		return true
	})
	return slices.SortedFunc(maps.Keys(names), func(a, b *ast.Ident) int { return int(a.Pos() - b.Pos()) })
}

// words splits a name at its capitals: "minMatch" is min and match.
func words(name string) []string {
	var list []string
	begun := 0
	for i, r := range name {
		if i > begun && unicode.IsUpper(r) {
			list = append(list, strings.ToLower(name[begun:i]))
			begun = i
		}
	}
	return append(list, strings.ToLower(name[begun:]))
}
