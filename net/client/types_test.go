package client_test

import (
	"bytes"
	"flag"
	"go/ast"
	"go/format"
	"go/parser"
	"go/printer"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write the fields in the comments of types.go and types_cluster.go anew")

// typesFiles have the names of types from other packages.
var typesFiles = []string{"types.go", "types_cluster.go"}

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

// TestTypesShowFields: `go doc client.Txn` shows the fields, though the type is an alias; every type of a field, and every constant
// of such a type, has a name in this package. So a program imports this package alone.
func TestTypesShowFields(t *testing.T) {
	fset := token.NewFileSet()
	from := map[string]declared{"kv": declarations(t, fset, "../../index/kv"), "wire": declarations(t, fset, "../wire")}
	own := declarations(t, fset, ".")
	named := map[string]string{} // the name in this package of kv.Txn and the like
	for name, spec := range own.types {
		if source, ok := spec.Type.(*ast.SelectorExpr); ok && spec.Assign.IsValid() {
			named[source.X.(*ast.Ident).Name+"."+source.Sel.Name] = name
		}
	}
	var structs []string
	for source, name := range named {
		pkg, kind, _ := strings.Cut(source, ".")
		switch fields, ok := from[pkg].types[kind].Type.(*ast.StructType); {
		case name == "Credentials": // opaque: programs pass them on
		case ok:
			rename(t, pkg, fields, named)
			structs = append(structs, source)
		default:
			for _, constant := range from[pkg].consts[kind] {
				if !slices.Contains(own.consts[name], constant) {
					t.Errorf("%s.%s, a constant of the type %s, has no name in this package", pkg, constant, name)
				}
			}
		}
	}
	var shown strings.Builder
	for _, file := range typesFiles {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want := string(text)
		for _, source := range structs {
			pkg, kind, _ := strings.Cut(source, ".")
			want = withFields(t, fset, want, named[source], source, from[pkg].types[kind])
		}
		shown.WriteString(want)
		if *rewrite {
			if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		} else if want != string(text) {
			t.Errorf("the fields in the comments of %s are not those of the types: run `go test ./net/client -run TestTypesShowFields -rewrite`", file)
		}
	}
	for _, source := range structs {
		if line := "//\ttype " + named[source] + " struct {\n"; !strings.Contains(shown.String(), line) {
			t.Errorf("none of the files %v shows the fields of %s", typesFiles, source)
		}
	}
}

// rename gives the types of exported fields their names in this package.
func rename(t *testing.T, pkg string, fields *ast.StructType, named map[string]string) {
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
				if name, ok := named[source]; ok {
					x.X.(*ast.Ident).Name, x.Sel.Name = "client", name
				} else if strings.HasPrefix(source, "kv.") {
					t.Errorf("a field has the type %s, which has no name in this package", source)
				}
				return false
			case *ast.Ident:
				if name, ok := named[pkg+"."+x.Name]; ok {
					x.Name = name
				} else if x.IsExported() && (len(field.Names) == 0 || field.Names[0].IsExported()) {
					t.Errorf("a field has the type %s.%s, which has no name in this package", pkg, x.Name)
				}
			}
			return true
		})
		return false
	})
}

// withFields returns the text of a file with the fields of a type in its comment, if the file declares the type.
func withFields(t *testing.T, fset *token.FileSet, text, name, source string, spec *ast.TypeSpec) string {
	t.Helper()
	line := "type " + name + " = " + source + "\n"
	before, after, ok := strings.Cut(text, line)
	if !ok {
		return text
	}
	prose := before[:strings.LastIndex(before, "\n\n")+2]
	comment := before[len(prose):]
	if head, _, ok := strings.Cut(comment, "//\n//\t"); ok {
		comment = head
	}
	return prose + comment + "//\n" + shownFields(t, fset, name, spec) + line + after
}

// shownFields is the declaration of a struct as a code block of a comment.
func shownFields(t *testing.T, fset *token.FileSet, name string, spec *ast.TypeSpec) string {
	t.Helper()
	var printed bytes.Buffer
	file := &printer.CommentedNode{Node: spec.Type, Comments: commentsOf(spec.Type.(*ast.StructType))}
	if err := printer.Fprint(&printed, fset, file); err != nil {
		t.Fatal(err)
	}
	tidy, err := format.Source([]byte("type " + name + " " + strings.ReplaceAll(printed.String(), "client.", "")))
	if err != nil {
		t.Fatal(err)
	}
	var block strings.Builder
	for line := range strings.Lines(strings.TrimSuffix(string(tidy), "\n") + "\n") {
		if line == "\n" {
			block.WriteString("//\n")
			continue
		}
		block.WriteString("//\t" + line)
	}
	return block.String()
}

func commentsOf(s *ast.StructType) (all []*ast.CommentGroup) {
	for _, f := range s.Fields.List {
		for _, c := range []*ast.CommentGroup{f.Doc, f.Comment} {
			if c != nil {
				all = append(all, c)
			}
		}
	}
	slices.SortFunc(all, func(a, b *ast.CommentGroup) int { return int(a.Pos() - b.Pos()) })
	return all
}
