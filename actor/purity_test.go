package actor_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// Handlers may not start goroutines, wait, look at a clock or draw random numbers: else a seed would not replay. The drivers
// and the parts that endpoints call from their own goroutines are left out, each with its reason.
var besideHandlers = map[string]string{
	"mailbox.go":   "is the way between goroutines",
	"driver.go":    "hands actors to a driver",
	"runtime.go":   "runs the goroutines",
	"sim/sim.go":   "is the other driver; it draws from its seed alone",
	"status.go":    "is read from any goroutine",
	"observer.go":  "is read from any goroutine",
	"admission.go": "is asked from any goroutine",
}

// Packages that bring in goroutines, clocks, randomness, or the world.
var impureImports = map[string]string{
	"sync":         "a handler owns its state, so it needs no lock; send a message instead",
	"math/rand":    "randomness is handed in at construction",
	"math/rand/v2": "randomness is handed in at construction",
	"crypto/rand":  "randomness is handed in at construction",
	"os":           "the disk is reached through log/disk",
	"net":          "the network is reached through Peers",
	"context":      "a handler does not wait, so nothing can be cancelled",
	"runtime":      "Yield is handed in at construction",
}

func TestHandlersArePure(t *testing.T) {
	files := token.NewFileSet()
	packages := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || besideHandlers[path] != "" {
			return err
		}
		packages++
		file, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			return err
		}
		for _, i := range file.Imports {
			name := strings.Trim(i.Path.Value, `"`)
			if why := impureImports[name]; why != "" {
				t.Errorf("%s imports %s: %s", path, name, why)
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			at := func() string { return files.Position(n.Pos()).String() }
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s starts a goroutine: make it an actor of its own", at())
			case *ast.SelectStmt:
				t.Errorf("%s selects: a handler takes one batch from one mailbox", at())
			case *ast.SendStmt, *ast.ChanType:
				t.Errorf("%s uses a channel: send a message to a mailbox", at())
			case *ast.UnaryExpr:
				if n.Op == token.ARROW {
					t.Errorf("%s waits for a channel: take a message from the mailbox", at())
				}
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" {
					switch n.Sel.Name {
					case "Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick":
						t.Errorf("%s calls time.%s: time is handed in with the batch", at(), n.Sel.Name)
					}
				}
				if n.Sel.Name == "Send" && isMailbox(n.X) {
					t.Errorf("%s sends to a mailbox, which may wait: Offer or MustPost", at())
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if packages < 8 {
		t.Fatalf("only %d files were read: has the package moved?", packages)
	}
}

// isMailbox tells the mailboxes by the names that their fields have.
func isMailbox(x ast.Expr) bool {
	s, ok := x.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	switch s.Sel.Name {
	case "Inbox", "Consensus", "LogWriter", "LogReader", "Applier", "Snapshotter", "Reader", "SegmentMaker":
		return true
	}
	return false
}

// Map order must not show in an effect: a range over a map in a handler is refused, unless the line says why it
// does not show.
func TestNoMapOrder(t *testing.T) {
	files := token.NewFileSet()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	parsed := map[string]*ast.File{}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		if parsed[name], err = parser.ParseFile(files, name, nil, 0); err != nil {
			t.Fatal(err)
		}
	}
	maps := map[string]bool{}
	for _, file := range parsed {
		ast.Inspect(file, func(n ast.Node) bool {
			if f, ok := n.(*ast.Field); ok {
				if _, isMap := f.Type.(*ast.MapType); isMap {
					for _, name := range f.Names {
						maps[name.Name] = true
					}
				}
			}
			return true
		})
	}
	if len(maps) == 0 {
		t.Fatal("no field that is a map was found: has the package changed?")
	}
	for name, file := range parsed {
		if besideHandlers[name] != "" {
			continue
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if r, ok := n.(*ast.RangeStmt); ok {
				if s, ok := r.X.(*ast.SelectorExpr); ok && maps[s.Sel.Name] {
					t.Errorf("%s ranges over the map %s: keep a slice beside it, so that every run has one order", files.Position(n.Pos()), s.Sel.Name)
				}
			}
			return true
		})
	}
}
