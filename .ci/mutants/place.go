package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"path"
	"slices"
	"strings"
)

// change replaces one piece of production code by another.
//
// In Go code, at names the declaration that holds the piece: a function, a method as Type.name, a type, a variable or a constant.
// A package goes before the name where another package has the same piece in a declaration of the same name: actor.Consensus.tick.
// The piece is compared token by token, so white space, line breaks, semicolons and comments do not count.
// Moving the declaration to another file or package, comments and formatting therefore need no new mutant.
//
// In all other files, at is the path of the file, and the piece is compared letter by letter.
// Either way the piece must occur exactly once.
type change struct{ at, old, new string }

// lexeme is a Go token with its place in the text.
type lexeme struct {
	text     string
	from, to int
}

// lexemes splits Go code, whole or not, into tokens. Semicolons are left out: most of them stand for the end of a line.
func lexemes(code string) (all []lexeme) {
	var s scanner.Scanner
	file := token.NewFileSet().AddFile("", -1, len(code))
	s.Init(file, []byte(code), func(token.Position, string) {}, 0)
	for {
		pos, tok, text := s.Scan()
		switch {
		case tok == token.EOF:
			return all
		case tok == token.SEMICOLON:
			continue
		case !tok.IsLiteral():
			text = tok.String()
		}
		from := file.Offset(pos)
		all = append(all, lexeme{text, from, from + len(text)})
	}
}

// declaration is a named declaration of a Go file, without its comment.
type declaration struct {
	name, file string
	path       string // "/net/etcd.Server.Put": the folder and the name
	from, to   int    // the bytes of the file
	all        []lexeme
}

// is reports whether a change may mean this declaration by a name, with or without the package.
func (d *declaration) is(at string) bool {
	before, ok := strings.CutSuffix(d.path, at)
	return at == d.name || ok && strings.HasSuffix(before, "/")
}

// declarationsOf returns the declarations of a Go file. A group of variables, constants or types is one declaration for each line of it.
func declarationsOf(name, content string) (all []*declaration, err error) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, content, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	add := func(n ast.Node, names ...string) {
		from, to := files.Position(n.Pos()).Offset, files.Position(n.End()).Offset
		for _, one := range names {
			all = append(all, &declaration{name: one, file: name, path: "/" + path.Dir(name) + "." + one, from: from, to: to})
		}
	}
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			add(d, receiver(d)+d.Name.Name)
		case *ast.GenDecl:
			for _, one := range d.Specs {
				n := ast.Node(one)
				if !d.Lparen.IsValid() {
					n = d
				}
				switch one := one.(type) {
				case *ast.TypeSpec:
					add(n, one.Name.Name)
				case *ast.ValueSpec:
					for _, name := range one.Names {
						add(n, name.Name)
					}
				}
			}
		}
	}
	return all, nil
}

// receiver is the type of a method with a dot behind it, and nothing for a function.
func receiver(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return ""
	}
	of := f.Recv.List[0].Type
	for {
		switch t := of.(type) {
		case *ast.StarExpr:
			of = t.X
		case *ast.IndexExpr:
			of = t.X
		case *ast.IndexListExpr:
			of = t.X
		case *ast.Ident:
			return t.Name + "."
		default:
			return ""
		}
	}
}

// lexemes are those of the declaration, with places in its file.
func (d *declaration) lexemes(content string) []lexeme {
	if d.all == nil {
		d.all = lexemes(content[d.from:d.to])
		for i := range d.all {
			d.all[i].from += d.from
			d.all[i].to += d.from
		}
	}
	return d.all
}

func sameText(a, b lexeme) bool { return a.text == b.text }

// find returns where a piece begins among lexemes, as indexes.
func find(all, piece []lexeme) (at []int) {
	for i := 0; i+len(piece) <= len(all); i++ {
		if slices.EqualFunc(all[i:i+len(piece)], piece, sameText) {
			at = append(at, i)
		}
	}
	return at
}

// edit is a change with its place: these bytes of a file.
type edit struct {
	file     string
	from, to int
	new      string
}

// locate finds the one place of a change.
func (s *sources) locate(c change) (edit, error) {
	if content, ok := s.files[c.at]; ok {
		if strings.HasSuffix(c.at, ".go") {
			return edit{}, fmt.Errorf("%s is Go code: name the declaration, such as Consensus.tick, and not the file", c.at)
		}
		if n := strings.Count(content, c.old); n != 1 {
			return edit{}, fmt.Errorf("%s holds the text to change %d times, not once: %q", c.at, n, c.old)
		}
		from := strings.Index(content, c.old)
		return edit{c.at, from, from + len(c.old), c.new}, nil
	}
	piece := lexemes(c.old)
	if len(piece) == 0 {
		return edit{}, fmt.Errorf("the change of %s names no code to replace", c.at)
	}
	var named []*declaration
	var found []edit
	for _, d := range s.declarations {
		if !d.is(c.at) {
			continue
		}
		named = append(named, d)
		all := d.lexemes(s.files[d.file])
		for _, i := range find(all, piece) {
			one := edit{d.file, all[i].from, all[i+len(piece)-1].to, c.new}
			if !slices.Contains(found, one) {
				found = append(found, one)
			}
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		text := fmt.Sprintf("%s holds the code to change %d times, not once: extend the code, or put the package before the name\n  code:    %s", c.at, len(found), c.old)
		for _, one := range found {
			text += "\n  matches: " + s.line(one.file, one.from)
		}
		return edit{}, fmt.Errorf("%s", text)
	}
	return edit{}, s.lost(c, named, piece)
}

// lost says of a change that fits nowhere what became of its declaration and of its code.
func (s *sources) lost(c change, named []*declaration, piece []lexeme) error {
	text := fmt.Sprintf("%s does not hold the code to change", c.at)
	if len(named) == 0 {
		text = fmt.Sprintf("no declaration is called %s", c.at)
	}
	text += "\n  code:    " + c.old
	var moved []string
	for _, d := range s.declarations {
		all := d.lexemes(s.files[d.file])
		for _, i := range find(all, piece) {
			moved = append(moved, fmt.Sprintf("\n  now in:  %s, %s", d.path[1:], s.line(d.file, all[i].from)))
		}
	}
	if len(moved) > 3 { // code like this stands everywhere
		moved = nil
	}
	text += strings.Join(moved, "")
	for _, d := range named {
		text += "\n  is now:  " + s.line(d.file, d.from)
	}
	return fmt.Errorf("%s", text)
}

// line is a place in a file for people.
func (s *sources) line(file string, offset int) string {
	return fmt.Sprintf("%s:%d", file, 1+strings.Count(s.files[file][:offset], "\n"))
}

// changed returns the changed files with their text. Each change is located in the unchanged sources.
func (s *sources) changed(changes []change) (map[string]string, error) {
	var edits []edit
	for _, c := range changes {
		one, err := s.locate(c)
		if err != nil {
			return nil, err
		}
		edits = append(edits, one)
	}
	// From the end of each file to its begin, so that the places stay right.
	slices.SortFunc(edits, func(a, b edit) int { return b.from - a.from })
	texts, begin := map[string]string{}, map[string]int{}
	for _, one := range edits {
		text, again := texts[one.file]
		if !again {
			text = s.files[one.file]
		}
		if again && one.to > begin[one.file] {
			return nil, fmt.Errorf("two changes replace the same code at %s", s.line(one.file, one.from))
		}
		texts[one.file], begin[one.file] = text[:one.from]+one.new+text[one.to:], one.from
	}
	for name, text := range texts {
		if !strings.HasSuffix(name, ".go") {
			continue
		}
		if _, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution); err != nil {
			return nil, fmt.Errorf("the changed file is no Go code: %w", err)
		}
	}
	return texts, nil
}
