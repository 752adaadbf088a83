// Command house counts how easy it is to find one's way in the code, and prints a table:
//
//	go run ./.ci/house          the table
//	go run ./.ci/house -list    the table, and behind it the files and arrows that were counted
//	go run ./.ci/house -dead    no table: the functions that the program never calls; it ends with 1 if there are any
//	go run ./.ci/house -write   the table goes into docs/architecture.md
//
// All rows count Go files that are no tests, without .ci and testdata.
//
// Files a Put crosses at the leader: three members run as processes of their own, and a client of the leader puts some keys, one
// after the other. A file counts when one of its statements ran in the leader's process during every one of these Puts, by Go's coverage
// counters. Statements of timers and heartbeats do not run during all of them. A file is a hook if a Put runs less than a tenth of its
// statements: it is there for something else.
//
// Largest type: the most fields and the most methods that any struct type has, with the fields of the module's structs that are embedded in it.
//
// Arrows that run back up: an arrow leads from a file to another file of its package, which declares a name, a method or a field that the
// first file uses. A file stands above all that it uses. Of two files that use each other, the one with more references stands above; files
// of a larger circle stand on one floor. An arrow runs back up if it leads to no lower floor. The row shows their share, for packages of at
// least 12 files. In a package of layers it is 0 %.
//
// Exported names: package-level names, and methods of exported types, without files that the program never uses: simulators, fakes and
// helpers of tests.
package main

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"qkv/cli"
)

// least is how many files a package has whose arrows are shown.
const least = 12

func main() {
	if len(os.Args) > 1 && (os.Args[1] == "serve" || os.Args[1] == "status") { // the covered build, as qkv
		if os.Args[1] == "serve" {
			obey()
		}
		os.Exit(cli.Run(os.Args))
	}
	list := flag.Bool("list", false, "the files and arrows that were counted, too")
	deadOnly := flag.Bool("dead", false, "only the functions that the program never calls")
	write := flag.Bool("write", false, "write the table into "+pageName)
	flag.Parse()
	var err error
	var c *counts
	if *deadOnly {
		err = dead()
	} else if c, err = count(); err == nil {
		table, lists := c.table()
		if *write {
			err = writeTable(table)
		} else if fmt.Print(table); *list {
			fmt.Print(lists)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "house:", err)
		os.Exit(1)
	}
}

// counts is what is counted, apart from the arrows.
type counts struct {
	h               *house
	files           map[string]int // exported names by file
	put             []crossed
	fields, methods most
	needed          map[string]bool // by file: the program uses it
}

func count() (*counts, error) {
	h, err := load()
	if err != nil {
		return nil, err
	}
	files, err := walk(".")
	if err != nil {
		return nil, err
	}
	put, err := crossedByPut(h.module)
	if err != nil {
		return nil, err
	}
	c := &counts{h: h, files: files, put: put, needed: h.needed(files)}
	c.fields, c.methods = h.largest()
	return c, nil
}

// table returns the counts, and the lists of what was counted.
func (c *counts) table() (table, lists string) {
	hooks, exported := 0, 0
	var crossed, helpers []string
	for _, one := range c.put {
		if crossed = append(crossed, one.name); one.hook {
			hooks++
			crossed[len(crossed)-1] += " (hook)"
		}
	}
	for name, needed := range c.needed {
		if needed {
			exported += c.files[name]
		} else {
			helpers = append(helpers, name)
		}
	}
	var shares, arrows []string
	for _, r := range c.h.packages {
		if len(r.files) >= least {
			up, of := r.upwards()
			shares = append(shares, fmt.Sprintf("%s %d %%", c.h.short(r.path), (100*len(up)+of/2)/of))
			arrows = append(arrows, up...)
		}
	}
	slices.Sort(shares)
	slices.Sort(helpers)
	table = "| what | count |\n|---|---|\n" +
		fmt.Sprintf("| files a Put crosses at the leader | %d, of them %d hooks |\n", len(c.put), hooks) +
		fmt.Sprintf("| largest type: fields / methods | %s / %s |\n", c.fields, c.methods) +
		fmt.Sprintf("| arrows that run back up | %s |\n", strings.Join(shares, ", ")) +
		fmt.Sprintf("| exported names | %d |\n", exported)
	return table, fmt.Sprintf("\nfiles a Put crosses at the leader:\n  %s\n\narrows that run back up:\n  %s\n\nfiles for tests only:\n  %s\n",
		strings.Join(crossed, "\n  "), strings.Join(arrows, "\n  "), strings.Join(helpers, "\n  "))
}

// pageName is the page that has the table, between two marks.
const pageName = "docs/architecture.md"

// writeTable puts the table into its page.
func writeTable(table string) error {
	const begin, end = "<!-- counts: written by `make house HOUSEFLAGS=-write` -->\n\n", "\n<!-- end of counts -->"
	text, err := os.ReadFile(pageName)
	if err != nil {
		return err
	}
	before, rest, found := strings.Cut(string(text), begin)
	_, after, ends := strings.Cut(rest, end)
	if !found || !ends {
		return fmt.Errorf("%s has no place for the table: %q and %q", pageName, begin, end)
	}
	return os.WriteFile(pageName, []byte(before+begin+table+end+after), 0o644)
}

// walk counts the exported names of each file under a folder. It sees files of every operating system.
func walk(root string) (files map[string]int, err error) {
	files = map[string]int{}
	err = filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && name != root) {
			return fs.SkipDir
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		syntax, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files[filepath.ToSlash(name)] = exportedBy(syntax)
		return nil
	})
	return files, err
}

// exportedBy returns how many names a file exports.
func exportedBy(syntax *ast.File) (n int) {
	add := func(name *ast.Ident) {
		if name.IsExported() {
			n++
		}
	}
	for _, d := range syntax.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil || ast.IsExported(receiverName(d)) {
				add(d.Name)
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				switch s := s.(type) {
				case *ast.TypeSpec:
					add(s.Name)
				case *ast.ValueSpec:
					for _, name := range s.Names {
						add(name)
					}
				}
			}
		}
	}
	return n
}

// receiverName is the name of the type that a method has.
func receiverName(d *ast.FuncDecl) (name string) {
	ast.Inspect(d.Recv.List[0].Type, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && name == "" {
			name = id.Name
		}
		return name == ""
	})
	return name
}

// needed says of each file whether the program uses it: the files that package main uses, the files that these use, and so on. A doc.go is
// needed with its package, and so is a file of another operating system. No file of another module is.
func (h *house) needed(files map[string]int) map[string]bool {
	reached := h.reached()
	folders := map[string]bool{}
	for name := range reached {
		folders[path.Dir(name)] = true
	}
	needed := map[string]bool{}
	for name := range files {
		needed[name] = reached[name] || folders[path.Dir(name)] && (h.files[name] == nil || path.Base(name) == "doc.go")
	}
	return needed
}
