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

// boundName is what a bound is called.
var boundName = regexp.MustCompile(`(Most|Max|Kept|Inflight|Waiting|Limit|QueueBytes)$|^(most|max|limit)([A-Z]|$)|^Max[A-Z]`)

// TestBoundsHaveReasons demands a comment of each constant that is called like a bound, of its own or of the constants above it, and of
// every constant of internal/limits. No channel has a bare number as its capacity, and no length is compared with one.
func TestBoundsHaveReasons(t *testing.T) {
	root := ".."
	for _, file := range goFiles(t, root) {
		name := path.Dir(filepath.ToSlash(file))
		if r := packages[name]; r.helper || strings.HasSuffix(file, "_test.go") || name == "cli" || name == "bench" || strings.HasPrefix(name, "bench/") {
			continue // what a program does once, or a test
		}
		positions := token.NewFileSet()
		parsed, err := parser.ParseFile(positions, filepath.Join(root, file), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GenDecl:
				if n.Tok != token.CONST {
					return true
				}
				reason, end := n.Doc != nil, 0
				for _, one := range n.Specs {
					s := one.(*ast.ValueSpec)
					if line := positions.Position(s.Pos()).Line; end != 0 && line > end+1 && s.Doc == nil {
						reason = n.Doc != nil // after a blank line
					}
					reason = reason || s.Doc != nil || s.Comment != nil
					end = positions.Position(s.End()).Line
					for _, bound := range s.Names {
						if !reason && s.Values != nil && (name == "internal/limits" || boundName.MatchString(bound.Name)) {
							t.Errorf("%s: %s bounds something: a comment has to give the reason", positions.Position(bound.Pos()), bound.Name)
						}
					}
				}
			case *ast.CallExpr:
				if isCallOf(n, "make") && len(n.Args) == 2 && isChannel(n.Args[0]) && isNumberAbove(n.Args[1], 1) {
					t.Errorf("%s: a channel with room for a bare number: give it a name, with its reason", positions.Position(n.Pos()))
				}
				if s, ok := n.Fun.(*ast.SelectorExpr); ok && (s.Sel.Name == "LimitReader" || s.Sel.Name == "MaxBytesReader") && isNumberAbove(n.Args[len(n.Args)-1], 1) {
					t.Errorf("%s: what is read is bounded by a bare number", positions.Position(n.Pos()))
				}
			case *ast.BinaryExpr:
				if n.Op != token.GTR && n.Op != token.GEQ && n.Op != token.LSS && n.Op != token.LEQ {
					return true
				}
				if isLength(n.X) && isNumberAbove(n.Y, 32) || isLength(n.Y) && isNumberAbove(n.X, 32) {
					t.Errorf("%s: a length is held against a bare number: give it a name, with its reason", positions.Position(n.Pos()))
				}
			}
			return true
		})
	}
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
	"actor.Consensus":    {50, 20},
	"actor.core":         {20, 12},
	"actor.Snapshotter":  {20, 8},
	"actor.snapshotCore": {20, 12},
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
