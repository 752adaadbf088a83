package main

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// switchVariable chooses a mutant of the merged sources by its number. It does not begin with QKV_, which qkv refuses if unknown.
const switchVariable = "GO_MUTANT"

// merged is one copy of the sources with many mutants in it, so that a package is built once for all of them.
//
// A function that a mutant changes gets a second version with another name. The first one calls the second if the environment variable
// chooses that mutant. A mutant that changes a type, a constant, a variable or a signature has no place in it.
type merged struct {
	dir   string
	tree  *sources
	texts map[string]string // the changed files
	has   map[string]int    // numbers of the mutants in it, by name

	lock     sync.Mutex
	packages map[string]*testProgram
}

// testProgram is the test program of a package of the merged sources.
type testProgram struct {
	ready  sync.Once
	file   string
	err    error
	unfit  []string // tests that fail without a mutant
	wanted []string // first tests of mutants
}

// version is a function as a mutant changes it.
type version struct {
	of     *ast.FuncDecl
	number int
	body   string
}

// merge makes the merged sources of mutants, and notes the tests that go first.
func merge(dir string, tree *sources, all []mutant, last map[string]catch) (*merged, error) {
	g := &merged{dir: dir, tree: tree, texts: map[string]string{}, has: map[string]int{}, packages: map[string]*testProgram{}}
	parsed := map[string]*ast.File{}
	versions := map[string][]version{}
	for i, m := range all {
		first, ok := m.first(last)
		if !ok {
			continue
		}
		made, err := g.versionsOf(m, i+1, parsed)
		if err != nil {
			return nil, err
		}
		if made == nil {
			continue
		}
		g.has[m.name] = i + 1
		for file, some := range made {
			versions[file] = append(versions[file], some...)
		}
		if p := g.program(first.args[0]); first.name != campaign.name {
			p.wanted = append(p.wanted, first.args[2])
		}
	}
	for file, some := range versions {
		g.texts[file] = withVersions(tree.files[file], some)
		folder := filepath.Dir(file)
		g.texts[folder+"/zz_mutant.go"] = "package " + parsed[file].Name.Name + "\n\nimport \"os\"\n\nvar mutantOn = os.Getenv(\"" + switchVariable + "\")\n"
	}
	return g, nil
}

// versionsOf returns the changed functions of a mutant by file; nil if it changes anything else.
func (g *merged) versionsOf(m mutant, number int, parsed map[string]*ast.File) (map[string][]version, error) {
	made := map[string][]version{}
	edits := map[*ast.FuncDecl][]edit{}
	for _, c := range m.changes {
		one, err := g.tree.locate(c)
		if err != nil {
			return nil, err
		}
		if !strings.HasSuffix(one.file, ".go") {
			return nil, nil
		}
		if parsed[one.file] == nil {
			if parsed[one.file], err = parser.ParseFile(token.NewFileSet(), one.file, g.tree.files[one.file], parser.SkipObjectResolution); err != nil {
				return nil, err
			}
		}
		f := functionAt(parsed[one.file], one)
		if f == nil {
			return nil, nil
		}
		edits[f] = append(edits[f], one)
	}
	for f, some := range edits {
		slices.SortFunc(some, func(a, b edit) int { return b.from - a.from })
		text, from := g.tree.files[some[0].file], offset(f.Body.Pos())
		body := text[from:offset(f.Body.End())]
		for _, one := range some {
			body = body[:one.from-from] + one.new + body[one.to-from:]
		}
		made[some[0].file] = append(made[some[0].file], version{f, number, body})
	}
	return made, nil
}

// offset is the byte of a file that is the only one of its set.
func offset(p token.Pos) int { return int(p) - 1 }

// functionAt returns the function whose body contains an edit.
func functionAt(file *ast.File, one edit) *ast.FuncDecl {
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if ok && f.Body != nil && f.Name.Name != "init" && offset(f.Body.Lbrace) < one.from && one.to <= offset(f.Body.Rbrace) {
			return f
		}
	}
	return nil
}

// withVersions returns the text of a file with the versions of its functions, and the switch at the beginning of each first one.
func withVersions(text string, all []version) string {
	by := map[*ast.FuncDecl][]version{}
	for _, v := range all {
		by[v.of] = append(by[v.of], v)
	}
	order := make([]*ast.FuncDecl, 0, len(by))
	for f := range by {
		order = append(order, f)
	}
	slices.SortFunc(order, func(a, b *ast.FuncDecl) int { return int(b.Pos() - a.Pos()) })
	var more strings.Builder
	for _, f := range order {
		s := signatureOf(f, text)
		var calls strings.Builder
		for _, v := range by[f] {
			name := fmt.Sprintf("%s_mutant%d", f.Name.Name, v.number)
			fmt.Fprintf(&more, "\nfunc %s%s%s %s\n", s.receiver, name, s.rest, v.body)
			call := s.on + name + s.types + "(" + s.arguments + ")"
			if f.Type.Results == nil {
				call += "; return"
			} else {
				call = "return " + call
			}
			fmt.Fprintf(&calls, "if mutantOn == \"%d\" { %s }\n", v.number, call)
		}
		head := "func " + s.receiver + f.Name.Name + s.rest + " {\n" + calls.String()
		text = text[:offset(f.Pos())] + head + text[offset(f.Body.Lbrace)+1:]
	}
	return text + more.String()
}

// signature is that of a function in pieces, all of whose parameters have names.
type signature struct{ receiver, on, rest, types, arguments string }

func signatureOf(f *ast.FuncDecl, text string) (s signature) {
	source := func(n ast.Node) string { return text[offset(n.Pos()):offset(n.End())] }
	list := func(fields *ast.FieldList, prefix string) (declared, used []string) {
		for _, field := range fields.List {
			names := field.Names
			if len(names) == 0 {
				names = []*ast.Ident{{Name: "_"}}
			}
			for _, one := range names {
				name := one.Name
				if name == "_" {
					name = fmt.Sprintf("%s%d", prefix, len(used))
				}
				declared = append(declared, name+" "+source(field.Type))
				if _, variadic := field.Type.(*ast.Ellipsis); variadic {
					name += "..."
				}
				used = append(used, name)
			}
		}
		return declared, used
	}
	if f.Recv != nil {
		declared, used := list(f.Recv, "mutantReceiver")
		s.receiver, s.on = "("+declared[0]+") ", used[0]+"."
	}
	if f.Type.TypeParams != nil {
		_, used := list(f.Type.TypeParams, "")
		s.rest, s.types = source(f.Type.TypeParams), "["+strings.Join(used, ", ")+"]"
	}
	declared, used := list(f.Type.Params, "mutantParameter")
	s.rest += "(" + strings.Join(declared, ", ") + ")"
	s.arguments = strings.Join(used, ", ")
	if f.Type.Results != nil {
		s.rest += " " + source(f.Type.Results)
	}
	return s
}

// first returns the detector that goes first, if it names its tests.
func (m mutant) first(last map[string]catch) (detector, bool) {
	d := m.detectors[0]
	if at := last[m.name]; at.test != "" && at.test != "TestSimulation" {
		d = at.again()
	}
	return d, len(d.args) > 2 && d.args[1] == "-run"
}

func (g *merged) program(folder string) *testProgram {
	g.lock.Lock()
	defer g.lock.Unlock()
	p := g.packages[folder]
	if p == nil {
		p = new(testProgram)
		g.packages[folder] = p
	}
	return p
}

// build builds a package's test program, and runs the first tests without a mutant: those that fail decide nothing.
func (g *merged) build(folder string) *testProgram {
	p := g.program(folder)
	p.ready.Do(func() {
		begun := time.Now()
		if p.err = os.MkdirAll(g.dir+".bin", 0o700); p.err != nil {
			return
		}
		p.file = filepath.Join(g.dir+".bin", strings.ReplaceAll(strings.TrimPrefix(folder, "./"), "/", "-")+".test")
		command := exec.Command("go", "test", "-c", "-vet=off", "-o", p.file, folder)
		command.Dir = g.dir
		if out, err := command.CombinedOutput(); err != nil {
			p.err = fmt.Errorf("the sources with all mutants do not build: %w: %s", err, end(string(out)))
			return
		}
		built := time.Since(begun)
		slices.Sort(p.wanted)
		for _, pattern := range slices.Compact(p.wanted) {
			if seen, err := g.run(p, detector{args: []string{folder, "-run", pattern}}, 0); seen != nil || err != nil {
				p.unfit = append(p.unfit, pattern)
			}
		}
		fmt.Printf("mutants: %s is built in %.0f s, its tests without a mutant take %.0f s, and fail: %q\n",
			folder, built.Seconds(), (time.Since(begun) - built).Seconds(), p.unfit)
	})
	return p
}

// run runs a detector with one mutant; 0 is none.
func (g *merged) run(p *testProgram, h detector, number int) (*catch, error) {
	folder := h.args[0]
	ctx, cancel := context.WithTimeout(context.Background(), campaignTime)
	defer cancel()
	arguments := []string{"tool", "test2json", "-p", "qkv" + strings.TrimPrefix(folder, "."), p.file, "-test.v=test2json", "-test.count=1", "-test.timeout=14m", "-test.failfast", "-test.run", h.args[2]}
	if g.tree.hasModel(folder) {
		arguments = append(arguments, "-rapid.shrinktime=1ms", "-rapid.nofailfile")
	}
	if len(h.args) > 3 {
		arguments = append(arguments, h.args[4:]...)
	}
	command := exec.CommandContext(ctx, "go", arguments...)
	command.Dir = filepath.Join(g.dir, folder)
	command.Env = append(os.Environ(), fmt.Sprintf("%s=%d", switchVariable, number), "PWD="+command.Dir)
	return watched(ctx, cancel, command, folder != processes)
}

// hunt runs the first test of a mutant with the switch. Without a catch it says nothing about the mutant.
func (g *merged) hunt(m mutant, last map[string]catch) (seen *catch, by detector, err error) {
	number, ok := g.has[m.name]
	if !ok {
		return nil, by, nil
	}
	first, _ := m.first(last)
	p := g.build(first.args[0])
	if p.err != nil {
		return nil, first, p.err
	}
	if slices.Contains(p.unfit, first.args[2]) {
		return nil, first, nil
	}
	seen, err = g.run(p, first, number)
	if err != nil { // a test that hangs, for example: the mutant's own build decides
		return nil, first, nil
	}
	return seen, first, nil
}
