package client_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// declared are the exported types and constants of a package.
type declared struct {
	types  map[string]*ast.TypeSpec
	consts map[string][]string // by type
}

func declarations(t *testing.T, fset *token.FileSet, dir string) declared {
	t.Helper()
	d := declared{map[string]*ast.TypeSpec{}, map[string][]string{}}
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(names) == 0 {
		t.Fatalf("%s has no Go files: %v", dir, err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(fset, name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range file.Decls {
			if g, ok := one.(*ast.GenDecl); ok {
				d.add(g)
			}
		}
	}
	return d
}

func (d *declared) add(g *ast.GenDecl) {
	of := ""
	for _, spec := range g.Specs {
		switch s := spec.(type) {
		case *ast.TypeSpec:
			d.types[s.Name.Name] = s
		case *ast.ValueSpec:
			if g.Tok != token.CONST {
				continue
			}
			if kind, ok := s.Type.(*ast.Ident); ok {
				of = kind.Name
			} else if s.Type != nil || len(s.Values) > 0 {
				of = ""
			}
			if s.Names[0].IsExported() && of != "" {
				d.consts[of] = append(d.consts[of], s.Names[0].Name)
			}
		}
	}
}

// TestTypesAreNamed: every type of a field, and every constant of such a type, has a name in this package. So a program imports this package
// alone.
func TestTypesAreNamed(t *testing.T) {
	fset := token.NewFileSet()
	from := map[string]declared{"kv": declarations(t, fset, "../../index/kv"), "wire": declarations(t, fset, "../wire")}
	own := declarations(t, fset, ".")
	named := map[string]string{} // the name in this package of kv.Txn and the like
	for name, spec := range own.types {
		if source, ok := spec.Type.(*ast.SelectorExpr); ok && spec.Assign.IsValid() {
			named[source.X.(*ast.Ident).Name+"."+source.Sel.Name] = name
		}
	}
	for source, name := range named {
		pkg, kind, _ := strings.Cut(source, ".")
		switch fields, ok := from[pkg].types[kind].Type.(*ast.StructType); {
		case name == "Credentials": // opaque: programs pass them on
		case name == "AlarmName": // a word, as "NOSPACE", which `qkv status --help` lists
		case ok:
			checkNames(t, pkg, fields, named)
		default:
			for _, constant := range from[pkg].consts[kind] {
				if !slices.Contains(own.consts[name], constant) {
					t.Errorf("%s.%s, a constant of the type %s, has no name in this package", pkg, constant, name)
				}
			}
		}
	}
}

// checkNames checks that the types of exported fields have names in this package.
func checkNames(t *testing.T, pkg string, fields *ast.StructType, named map[string]string) {
	t.Helper()
	ast.Inspect(fields, func(n ast.Node) bool {
		field, ok := n.(*ast.Field)
		if !ok {
			return true
		}
		ast.Inspect(field.Type, func(n ast.Node) bool {
			switch x := n.(type) {
			case *ast.SelectorExpr: // time.Duration, or kv.Role in package wire
				source := x.X.(*ast.Ident).Name + "." + x.Sel.Name
				if named[source] == "" && strings.HasPrefix(source, "kv.") {
					t.Errorf("a field has the type %s, which has no name in this package", source)
				}
				return false
			case *ast.Ident:
				if named[pkg+"."+x.Name] == "" && x.IsExported() && (len(field.Names) == 0 || field.Names[0].IsExported()) {
					t.Errorf("a field has the type %s.%s, which has no name in this package", pkg, x.Name)
				}
			}
			return true
		})
		return false
	})
}
