package cli

import (
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// boundsElsewhere names the constants that are called like a bound and stand outside of internal/limits, and says why: what a format
// or a protocol fixes, what is kept to be used again, the pieces in which something is done, and a bound with its reason that one part
// alone keeps. What clients, peers or the past can fill, and several parts bound, belongs there with its reason.
var boundsElsewhere = map[string]string{
	"net/etcd/migrate.mostPageBytes":  "of the format: bbolt has no larger pages",
	"internal/buffers.Most":           "kept to be used again",
	"net/wire.commonNameMost":         "of the format: RFC 5280, ub-common-name",
	"actor.readAttemptsInflight":      "how rounds follow each other",
	"actor.connectionsKept":           "kept to be used again",
	"actor.completionsKept":           "kept to be used again",
	"actor.queueKept":                 "kept to be used again",
	"actor.catchUpMost":               "of its part alone",
	"actor.catchUpGainMost":           "of its part alone",
	"actor.electionsKept":             "of its part alone",
	"actor.leaseAsksWaiting":          "of its part alone",
	"actor.leaseRevocationsInflight":  "of its part alone",
	"actor.actorsMost":                "more than there are actors, which are counted in the source",
	"log.runsMost":                    "of the format: what a header has room for",
	"log.kindRaftMost":                "of the format",
	"net/etcd/h2.frameMost":           "of the protocol: RFC 9113, 4.2",
	"log.most":                        "pieces: what is shown of an entry, and how many kinds raft is given at a time",
	"log/disk.ZerosMost":              "pieces",
	"net/client.failbackMost":         "a factor of a pause",
	"net/etcd/migrate.problemsMost":   "how many lines are shown",
	"net/server.countedMost":          "pieces: for how many requests is counted at once",
	"net/server.slotsKept":            "kept to be used again",
	"net/wire.CloseLimit":             "a code",
	"net/wire.StreamLimit":            "a code",
	"net/wire.frameBufferMost":        "kept to be used again",
	"net/wire.reuseMost":              "kept to be used again",
	"net/wire/peerframe.spaceMost":    "of the format: the highest of three values",
	"internal/etcdflags.electionMost": "etcd's",
}

// boundName is what a bound is called.
var boundName = regexp.MustCompile(`(Most|Max|Kept|Inflight|Waiting|Limit|QueueBytes)$|^(most|max|limit)([A-Z]|$)|^Max[A-Z]`)

// TestBoundsAreInOnePlace holds that what bounds a queue, a buffer or a length stands in internal/limits: no constant elsewhere is
// called like one, no channel has room for a bare number of elements, and no bare number says how long something may be.
// A time is no such bound, and what is made of constants of internal/limits is one of those.
func TestBoundsAreInOnePlace(t *testing.T) {
	root, seen := "..", map[string]bool{}
	for _, file := range goFiles(t, root) {
		name := path.Dir(filepath.ToSlash(file))
		if r := packages[name]; r.helper || strings.HasSuffix(file, "_test.go") || name == "internal/limits" || name == "cli" || name == "bench" || strings.HasPrefix(name, "bench/") {
			continue // what a program does once, or a test
		}
		positions := token.NewFileSet()
		parsed, err := parser.ParseFile(positions, filepath.Join(root, file), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GenDecl:
				if n.Tok != token.CONST {
					return true
				}
				for _, one := range n.Specs {
					for bound, value := range boundsOf(one.(*ast.ValueSpec)) {
						key := name + "." + bound
						if seen[key] = true; boundsElsewhere[key] == "" && !mentions(value, "limits", "time") {
							t.Errorf("%s: %s bounds something: it belongs to internal/limits, with its reason; if it is no bound, say so in boundsElsewhere",
								positions.Position(n.Pos()), bound)
						}
					}
				}
			case *ast.CallExpr:
				if isCallOf(n, "make") && len(n.Args) == 2 && isChannel(n.Args[0]) && isNumberAbove(n.Args[1], 1) {
					t.Errorf("%s: a channel with room for a bare number: it belongs to internal/limits, with its reason", positions.Position(n.Pos()))
				}
				if s, ok := n.Fun.(*ast.SelectorExpr); ok && (s.Sel.Name == "LimitReader" || s.Sel.Name == "MaxBytesReader") && isNumberAbove(n.Args[len(n.Args)-1], 1) {
					t.Errorf("%s: what is read is bounded by a bare number", positions.Position(n.Pos()))
				}
			case *ast.BinaryExpr:
				if n.Op != token.GTR && n.Op != token.GEQ && n.Op != token.LSS && n.Op != token.LEQ {
					return true
				}
				if isLength(n.X) && isNumberAbove(n.Y, 32) || isLength(n.Y) && isNumberAbove(n.X, 32) {
					t.Errorf("%s: a length is held against a bare number: give it a name, in internal/limits if it is a bound", positions.Position(n.Pos()))
				}
			}
			return true
		})
	}
	for key := range boundsElsewhere {
		if !seen[key] {
			t.Errorf("boundsElsewhere speaks of %s, which is not there", key)
		}
	}
}

// boundsOf returns the constants of a declaration that are called like a bound, with their values.
func boundsOf(one *ast.ValueSpec) map[string]ast.Expr {
	all := map[string]ast.Expr{}
	for i, name := range one.Names {
		if boundName.MatchString(name.Name) && i < len(one.Values) {
			all[name.Name] = one.Values[i]
		}
	}
	return all
}

// mentions says whether an expression has something of one of these packages in it.
func mentions(n ast.Node, packages ...string) (found bool) {
	ast.Inspect(n, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && slices.Contains(packages, x.Name) {
				found = true
			}
		}
		return !found
	})
	return found
}

func isCallOf(n ast.Expr, names ...string) bool {
	call, ok := n.(*ast.CallExpr)
	if !ok {
		return false
	}
	f, ok := call.Fun.(*ast.Ident)
	return ok && slices.Contains(names, f.Name)
}

func isLength(n ast.Expr) bool { return isCallOf(n, "len", "cap") }

func isChannel(n ast.Expr) bool {
	_, ok := n.(*ast.ChanType)
	return ok
}

// isNumberAbove says whether an expression is made of numbers alone, as 1<<16 is, and above another one.
func isNumberAbove(n ast.Expr, least int) bool {
	number := evaluate(n)
	return number != nil && constant.Compare(number, token.GTR, constant.MakeInt64(int64(least)))
}

// evaluate returns the value of an expression of whole numbers, and nil of all others.
func evaluate(n ast.Expr) constant.Value {
	switch n := n.(type) {
	case *ast.ParenExpr:
		return evaluate(n.X)
	case *ast.BasicLit:
		if n.Kind == token.INT {
			return constant.MakeFromLiteral(n.Value, n.Kind, 0)
		}
	case *ast.BinaryExpr:
		x, y := evaluate(n.X), evaluate(n.Y)
		if x == nil || y == nil {
			return nil
		}
		switch n.Op {
		case token.SHL:
			if by, ok := constant.Uint64Val(y); ok {
				return constant.Shift(x, n.Op, uint(by))
			}
		case token.ADD, token.SUB, token.MUL:
			return constant.BinaryOp(x, n.Op, y)
		}
	}
	return nil
}

// sizes are how many methods and fields a type may have that everything is drawn to. What would make it larger is a part of its
// own, with state, rules and a table of its own, as its parts are already.
var sizes = map[string]struct{ methods, fields int }{
	"actor.Consensus": {50, 20},
	"actor.core":      {20, 12},
}

// TestTypesStayInParts holds the sizes.
func TestTypesStayInParts(t *testing.T) {
	methods, fields := map[string]int{}, map[string]int{}
	for _, file := range goFiles(t, "..") {
		name := path.Dir(filepath.ToSlash(file))
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", file), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Recv != nil {
					of := n.Recv.List[0].Type
					if pointer, ok := of.(*ast.StarExpr); ok {
						of = pointer.X
					}
					if of, ok := of.(*ast.Ident); ok {
						methods[name+"."+of.Name]++
					}
				}
				return false
			case *ast.TypeSpec:
				if s, ok := n.Type.(*ast.StructType); ok {
					fields[name+"."+n.Name.Name] = s.Fields.NumFields()
				}
			}
			return true
		})
	}
	for of, most := range sizes {
		switch m, f := methods[of], fields[of]; {
		case m == 0 || f == 0:
			t.Errorf("there is no type %s", of)
		case m > most.methods || f > most.fields:
			t.Errorf("%s has %d methods and %d fields, at most %d and %d: make a part of it a type of its own", of, m, f, most.methods, most.fields)
		default:
			t.Logf("%s: %d of %d methods, %d of %d fields", of, m, most.methods, f, most.fields)
		}
	}
}
