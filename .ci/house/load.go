package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// house is the module's code without its tests, type-checked for this operating system.
type house struct {
	module   string
	fset     *token.FileSet
	packages []*room
	files    map[string]*file // by name
}

// room is a package.
type room struct {
	path  string
	files []*file
	types *types.Package
	info  *types.Info
}

// file is a Go file.
type file struct {
	name   string // actor/consensus.go
	in     *room
	syntax *ast.File
	uses   map[string]int // references to what other files declare, by file
}

// load type-checks all packages of the module in the working directory.
func load() (*house, error) {
	list := exec.Command("go", "list", "-export", "-deps", "-json=ImportPath,Dir,Export,GoFiles,Module,DepOnly", "./...")
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	h := &house{fset: token.NewFileSet(), files: map[string]*file{}}
	exports := map[string]string{}
	imports := importer.ForCompiler(h.fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	for d := json.NewDecoder(bytes.NewReader(out)); ; { // a package comes after its imports
		var p struct {
			ImportPath, Dir, Export string
			GoFiles                 []string
			Module                  *struct{ Path string }
			DepOnly                 bool
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		exports[p.ImportPath] = p.Export
		if p.DepOnly {
			continue
		}
		h.module = p.Module.Path
		if err := h.add(imports, p.ImportPath, p.Dir, p.GoFiles); err != nil {
			return nil, err
		}
	}
	for _, r := range h.packages {
		for id, what := range r.info.Uses {
			from, to := h.fileAt(r.types, id.Pos()), h.fileAt(what.Pkg(), what.Pos())
			if to != nil && to != from && isShared(what) {
				from.uses[to.name]++
			}
		}
	}
	return h, nil
}

// add type-checks a package.
func (h *house) add(imports types.Importer, name, dir string, files []string) error {
	r := &room{path: name, info: &types.Info{Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{}}}
	var parsed []*ast.File
	for _, one := range files {
		syntax, err := parser.ParseFile(h.fset, filepath.Join(dir, one), nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		f := &file{name: path.Join(h.short(name), one), in: r, syntax: syntax, uses: map[string]int{}}
		h.files[f.name] = f
		r.files, parsed = append(r.files, f), append(parsed, syntax)
	}
	var err error
	r.types, err = (&types.Config{Importer: imports}).Check(name, h.fset, parsed, r.info)
	h.packages = append(h.packages, r)
	return err
}

// short is a package's path inside the module.
func (h *house) short(name string) string {
	return strings.TrimPrefix(strings.TrimPrefix(name, h.module), "/")
}

// fileAt returns the file of the module that holds a position of a package; nil for other modules.
func (h *house) fileAt(in *types.Package, pos token.Pos) *file {
	if in == nil || !pos.IsValid() {
		return nil
	}
	return h.files[path.Join(h.short(in.Path()), filepath.Base(h.fset.Position(pos).Filename))]
}

// isShared reports whether other functions than the one that declares an object can use it: it is a package's name, a method or a field.
func isShared(what types.Object) bool {
	field, ok := what.(*types.Var)
	_, method := what.(*types.Func)
	return method || ok && field.IsField() || what.Parent() == what.Pkg().Scope()
}

// reached returns the names of the files that package main uses, that these files use, and so on. All methods of a type belong to it, since
// an interface may call them.
func (h *house) reached() map[string]bool {
	methods := map[string][]string{} // by the file that declares the type, the files with methods
	var queue []string
	for _, r := range h.packages {
		for _, f := range r.files {
			if r.types.Name() == "main" {
				queue = append(queue, f.name)
			}
			for _, d := range f.syntax.Decls {
				if d, ok := d.(*ast.FuncDecl); ok && d.Recv != nil {
					of := h.fileAt(r.types, r.types.Scope().Lookup(receiverName(d)).Pos())
					methods[of.name] = append(methods[of.name], f.name)
				}
			}
		}
	}
	reached := map[string]bool{}
	for len(queue) > 0 {
		name := queue[0]
		if queue = queue[1:]; reached[name] {
			continue
		}
		reached[name] = true
		for used := range h.files[name].uses {
			queue = append(queue, used)
		}
		queue = append(queue, methods[name]...)
	}
	return reached
}
