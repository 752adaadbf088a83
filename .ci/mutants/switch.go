package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
)

// switchVariable chooses a mutant of the merged sources by its number. It does not begin with QKV_, which qkv refuses if unknown.
const switchVariable = "GO_MUTANT"

// version is the body of a function as a mutant changes it. When the environment variable chooses the mutant, it runs in place of the
// function's own body: the function begins with it, in a block of its own.
type version struct {
	at   int // the byte behind the brace that begins the function's body
	text string
}

// merge makes the merged sources of mutants, so that a package is built once for all of them. A mutant that changes a type, a constant, a
// variable, a signature or a function with labels has no place in them.
func merge(dir string, tree *sources, all []mutant) (*merged, error) {
	g := &merged{tree: tree, dir: dir, has: map[int]bool{}, builds: map[string]*build{}, texts: map[string]string{}}
	parsed := map[string]*ast.File{}
	versions := map[string][]version{}
	for i, m := range all {
		made, err := tree.versionsOf(m, i+1, parsed)
		if err != nil {
			return nil, err
		}
		if made != nil {
			g.has[i+1] = true
		}
		for file, some := range made {
			versions[file] = append(versions[file], some...)
		}
	}
	for file, some := range versions {
		text := tree.files[file]
		slices.SortStableFunc(some, func(a, b version) int { return b.at - a.at })
		for _, v := range some {
			text = text[:v.at] + v.text + text[v.at:]
		}
		g.texts[file] = text
		g.texts[filepath.Dir(file)+"/zz_mutant.go"] = "package " + parsed[file].Name.Name + "\n\nimport \"os\"\n\nvar mutantOn = os.Getenv(\"" + switchVariable + "\")\n"
	}
	return g, nil
}

// versionsOf returns the changed functions of a mutant by file; nil if it changes anything else.
func (s *sources) versionsOf(m mutant, number int, parsed map[string]*ast.File) (map[string][]version, error) {
	edits := map[*ast.FuncDecl][]edit{}
	for _, c := range m.changes {
		one, err := s.locate(c)
		if err != nil {
			return nil, err
		}
		if !strings.HasSuffix(one.file, ".go") {
			return nil, nil
		}
		if parsed[one.file] == nil {
			if parsed[one.file], err = parser.ParseFile(token.NewFileSet(), one.file, s.files[one.file], parser.SkipObjectResolution); err != nil {
				return nil, err
			}
		}
		f := functionAt(parsed[one.file], one)
		if f == nil || hasLabel(f) {
			return nil, nil
		}
		edits[f] = append(edits[f], one)
	}
	made := map[string][]version{}
	for f, some := range edits {
		slices.SortFunc(some, func(a, b edit) int { return b.from - a.from })
		from, file := offset(f.Body.Lbrace)+1, some[0].file
		body := s.files[file][from:offset(f.Body.Rbrace)]
		for _, one := range some {
			body = body[:one.from-from] + one.new + body[one.to-from:]
		}
		if f.Type.Results == nil {
			body += "\nreturn"
		}
		made[file] = append(made[file], version{from, fmt.Sprintf("\nif mutantOn == \"%d\" {\n//line mutant %q:1\n%s\n}\n", number, m.name, body)})
	}
	return made, nil
}

// offset is the byte of a file that is the only one of its set.
func offset(p token.Pos) int { return int(p) - 1 }

// functionAt returns the function whose body contains an edit.
func functionAt(file *ast.File, one edit) *ast.FuncDecl {
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if ok && f.Body != nil && offset(f.Body.Lbrace) < one.from && one.to <= offset(f.Body.Rbrace) {
			return f
		}
	}
	return nil
}

func hasLabel(f *ast.FuncDecl) (has bool) {
	ast.Inspect(f, func(n ast.Node) bool {
		_, label := n.(*ast.LabeledStmt)
		has = has || label
		return !has
	})
	return has
}
