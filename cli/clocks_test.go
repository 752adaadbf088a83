package cli

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// wallClock are the files that ask what time of day it is, and why.
var wallClock = map[string]string{
	"actor/runtime.go":                    "revisions have times",
	"cli/data/restore.go":                 "a moment is asked for by its time",
	"snapshot/backup/lists.go":            "bases have times",
	"node/backupduty.go":                  "the newest change in a backup has a time",
	"cli/data/migrate.go":                 "revisions have times",
	"net/auth/jwt.go":                     "a token ends at a time",
	"net/auth/token.go":                   "a token ends at a time",
	"net/server/bodies.go":                "a revision is asked for by its time",
	"net/server/ranges.go":                "changes of the last minute are counted by the times of revisions",
	"net/web/keys.go":                     "changes of the last minute are counted by the times of revisions",
	"net/web/overview.go":                 "a browser shows the time of day",
	"net/web/past.go":                     "a revision is asked for by its time",
	"net/client/txn.go":                   "a revision is asked for by its time",
	"net/etcd/collect.go":                 "a certificate ends at a time",
	"net/etcd/front/resetlimit.go":        "seconds are counted; when the clock is set, the count begins anew",
	"net/server/servertest/servertest.go": "for tests",
	"node/migrate.go":                     "a new cluster's revisions begin above those of every earlier one",
	"node/recover.go":                     "a new cluster's revisions begin above those of every earlier one",
	"node/restore.go":                     "a new cluster's revisions begin above those of every earlier one",
	"node/verifyfiles.go":                 "the week between two reads of all files outlives a restart",
}

// TestMonotonic holds that how long ago something was is told by the clock that nobody sets: what a time.Time says since 1970 has lost
// that clock's reading. A wire.Moment has it, and so has a time.Time as it was.
func TestMonotonic(t *testing.T) {
	used := map[string]bool{}
	for _, file := range goFiles(t, "..") {
		name := filepath.ToSlash(file)
		if strings.HasSuffix(name, "_test.go") || strings.HasPrefix(name, "bench/") || strings.HasPrefix(name, ".ci/") {
			continue
		}
		positions := token.NewFileSet()
		parsed, err := parser.ParseFile(positions, filepath.Join("..", file), nil, 0)
		must(t, err)
		ast.Inspect(parsed, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) > 0 {
				return true
			}
			s, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || !strings.HasPrefix(s.Sel.Name, "Unix") {
				return true
			}
			used[name] = true
			if wallClock[name] == "" {
				t.Errorf("%s: %s is set with the clock: use a wire.Moment, or say in wallClock why not", positions.Position(n.Pos()), s.Sel.Name)
			}
			return true
		})
	}
	for name := range wallClock {
		if !used[name] {
			t.Errorf("%s asks for no time of day: take it out of wallClock", name)
		}
	}
}
