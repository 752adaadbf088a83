package main

import (
	"bytes"
	"errors"
	"fmt"
	"go/format"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

var (
	// modulePath is a path that `go get` can resolve: a host with a dot, and at least one more element.
	modulePath = regexp.MustCompile(`^[a-z0-9-]+(\.[a-z0-9-]+)+(/[a-zA-Z0-9_][a-zA-Z0-9_.~-]*)+$`)
	moduleLine = regexp.MustCompile(`(?m)^module (\S+)$`)
)

// moduleOf returns the path of the module in a folder.
func moduleOf(root string) (string, error) {
	text, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return "", err
	}
	found := moduleLine.FindSubmatch(text)
	if found == nil {
		return "", errors.New("go.mod has no line `module PATH`")
	}
	return string(found[1]), nil
}

// renameHere renames the module in the working directory. Uncommitted changes are refused: git must be able to undo the renaming alone.
func renameHere(to string) error {
	status, err := exec.Command("git", "status", "--porcelain").Output()
	if err != nil {
		return fmt.Errorf("git status: %w", err)
	}
	if len(status) > 0 {
		return fmt.Errorf("the working tree has changes that are not committed, so that git could not undo the renaming alone: commit them first\n%s", status)
	}
	files, err := tracked(".")
	if err != nil {
		return err
	}
	changed, err := rename(".", to, files)
	if err != nil {
		return err
	}
	fmt.Printf("the module is %s in %d files; run `make check`, and commit. `git checkout .` undoes it.\n", to, changed)
	return nil
}

// tracked returns the names of the repository's files, with slashes, from a folder on.
func tracked(root string) ([]string, error) {
	list := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("git ls-files: %w", err)
	}
	return strings.FieldsFunc(string(out), func(r rune) bool { return r == 0 }), nil
}

// rename gives the module another path in all files, and returns how many it changed. If it fails before it writes, nothing has changed.
func rename(root, to string, files []string) (changed int, err error) {
	from, err := moduleOf(root)
	if err != nil {
		return 0, err
	}
	if !modulePath.MatchString(to) || to == from {
		return 0, fmt.Errorf("%q is no new path for the module %s: it needs a host with a dot and a name, as in MODULE=host.example/owner/qkv", to, from)
	}
	home, err := load(root)
	if err != nil {
		return 0, err
	}
	home["module"] = to
	r, texts := newRenamer(from, to, files), map[string][]byte{}
	for _, name := range files {
		at := filepath.Join(root, filepath.FromSlash(name))
		if info, err := os.Lstat(at); err != nil || !info.Mode().IsRegular() {
			continue // a link, or a file that the next commit deletes
		}
		text, err := os.ReadFile(at)
		if err != nil {
			return 0, err
		}
		renamed, err := r.renamed(name, text)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", name, err)
		}
		if !bytes.Equal(renamed, text) {
			texts[at] = renamed
		}
	}
	for at, text := range texts {
		if err := os.WriteFile(at, text, 0o644); err != nil {
			return 0, err
		}
	}
	return len(texts) + 1, save(root, home)
}

// renamer finds a module's path in texts.
type renamer struct {
	to       []byte
	packages *regexp.Regexp // of the module, in any text
	modules  *regexp.Regexp // in a module file
}

// newRenamer returns a renamer for a module of these files. Only a path with a folder of Go code behind it is a package:
// the protocol qkv/2 and the folder /etc/qkv are none.
func newRenamer(from, to string, files []string) *renamer {
	var tops []string
	for _, name := range files {
		if top, _, below := strings.Cut(name, "/"); below && path.Ext(name) == ".go" && top[0] != '.' {
			tops = append(tops, top)
		}
	}
	slices.Sort(tops)
	quoted := regexp.QuoteMeta(from)
	return &renamer{
		to: []byte(to),
		packages: regexp.MustCompile(`(?m)(^|[^\w./~-])` + quoted +
			// the last two are arguments of go mod edit
			`(/(?:` + strings.Join(slices.Compact(tops), "|") + `)\b|@v[0-9]|=\.\.)`),
		modules: regexp.MustCompile(`(?m)^(\t|(?:module|require|replace) )` + quoted + `([ /].*)?$`),
	}
}

// renamed returns a file's text with the new path. Go code is formatted again, because imports are sorted.
func (r *renamer) renamed(name string, text []byte) ([]byte, error) {
	if bytes.IndexByte(text, 0) >= 0 {
		return text, nil
	}
	replaced := r.packages.ReplaceAll(text, slices.Concat([]byte("${1}"), r.to, []byte("${2}")))
	switch {
	case path.Ext(name) == ".mod":
		replaced = r.modules.ReplaceAll(replaced, slices.Concat([]byte("${1}"), r.to, []byte("${2}")))
	case path.Ext(name) == ".go" && !bytes.Equal(text, replaced):
		return format.Source(replaced)
	}
	return replaced, nil
}
