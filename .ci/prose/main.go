// Command prose counts how plainly the comments and the pages read:
//
//	go run ./.ci/prose          a table with a line per folder
//	go run ./.ci/prose -check   file:line of every occurrence in a row over its target; exit code 1 if there are any
//
// Comments are the lines of Go files that begin with //, outside of tests, examples and generated files. The pages are README.md,
// CHANGELOG.md and docs/*.md without code blocks. A semicolon ends a sentence; sentences of up to 3 words do not count.
//
// Every folder must meet every target. A folder of less than 1,500 words may have one occurrence in each row except bare "who".
package main

import (
	"cmp"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// rows are the counted habits of speech: occurrences per 10,000 words, or per 100 sentences where there is no pattern.
var rows = [...]struct {
	name    string
	target  float64
	pattern *regexp.Regexp // a match with a group does not count
}{
	{`bare "who"`, 0, regexp.MustCompile(`(?:(?:^|[.;:,(] )(?:[Ww]ho|[Ww]hoever)|\b(?:for|of|by|to|from|with|than|as|and|or|all|those|nobody|anybody|one) who)\b( (?:the|it) )?`)},
	{`"what is"`, 7, regexp.MustCompile(`\b[Ww]hat (?:is|was|it|they|has|had|comes|came|goes|waits|one|makes|takes|stands|others|a|the|this|that|all|remains|follows|needs|does)\b`)},
	{`"one that"`, 3, regexp.MustCompile(`\b(?:one|those|others|that) (?:that|which|who)\b`)},
	{`"nobody"`, 1, regexp.MustCompile(`\b(?:nobody|somebody|anybody|whoever)\b`)},
	{`"so that"`, 14, regexp.MustCompile(`\bso that\b`)},
	{`over 30 words %`, 4, nil},
}

var (
	word      = regexp.MustCompile(`[A-Za-z][A-Za-z'-]*`)
	pause     = regexp.MustCompile(`[.!?;]\s+|$`)
	generated = regexp.MustCompile(`(?m)^// Code generated`)
	aside     = regexp.MustCompile(`^(?:go:|\t|  )`)          // directives and examples in comments
	mark      = regexp.MustCompile(`^\s*(?:[-*#>|]+|\d+\.) `) // begins an item, a heading or a table's row
	isPage    = regexp.MustCompile(`^(?:README|CHANGELOG|docs/[^/]*)\.md$`)
	cut       = regexp.MustCompile(`^\s*(?:[-*#>|]+|\d+\.) |\]\([^)]*\)`) // a mark, or the address of a link
)

// all and pages stand beside the folders.
const all, pages = "(all comments)", "(pages)"

// tally counts the text of a folder.
type tally struct {
	words, letters, sentences int
	found                     [len(rows)][]string // file:line of each occurrence
}

// bases returns the amount of text that each row's target refers to: 10,000 words, or 100 sentences.
func (t *tally) bases() [len(rows)]float64 {
	words, sentences := float64(max(t.words, 1))/10_000, float64(max(t.sentences, 1))/100
	return [...]float64{words, words, words, words, words, sentences}
}

func main() {
	folders, err := count(".")
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "prose:", err)
		os.Exit(1)
	case len(os.Args) < 2:
		table(os.Stdout, folders)
	case check(os.Stdout, folders):
		os.Exit(1)
	}
}

// table prints the figures of all comments, of the pages, and of each folder.
func table(out io.Writer, folders map[string]*tally) {
	fmt.Fprint(out, "| per 10,000 words (target) | words |")
	for _, row := range rows {
		fmt.Fprintf(out, " %s (%g) |", row.name, row.target)
	}
	fmt.Fprintf(out, " letters a word |\n|---|%s\n", strings.Repeat("---|", len(rows)+2))
	for _, folder := range slices.Sorted(maps.Keys(folders)) {
		t := folders[folder]
		fmt.Fprintf(out, "| %s | %d |", folder, t.words)
		for r, base := range t.bases() {
			fmt.Fprintf(out, " %.1f |", float64(len(t.found[r]))/base)
		}
		fmt.Fprintf(out, " %.2f |\n", float64(t.letters)/float64(max(t.words, 1)))
	}
}

// check prints the occurrences in every row over its target.
func check(out io.Writer, folders map[string]*tally) (failed bool) {
	delete(folders, all)
	for _, folder := range slices.Sorted(maps.Keys(folders)) {
		t := folders[folder]
		for r, row := range rows {
			n, limit := len(t.found[r]), int(row.target*t.bases()[r])
			if t.words < 1500 && row.target > 0 {
				limit = max(limit, 1)
			}
			if n > limit {
				failed = true
				fmt.Fprintf(out, "%s: %s: %d, at most %d\n\t%s\n", folder, row.name, n, limit, strings.Join(t.found[r], "\n\t"))
			}
		}
	}
	return failed
}

// count counts the Go files under a folder by their folders, and its pages.
func count(root string) (map[string]*tally, error) {
	folders := map[string]*tally{all: {}}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && (d.Name() == "testdata" || d.Name() == "vendor" || strings.HasPrefix(d.Name(), ".") && name != root) {
			return fs.SkipDir
		}
		file := filepath.ToSlash(name)
		page := isPage.MatchString(file)
		if err != nil || !page && (!strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") || strings.Contains(d.Name(), ".pb.")) {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil || generated.Match(text) {
			return err
		}
		folder, lines := pages, strings.Split(string(text), "\n")
		if !page {
			folder = filepath.ToSlash(filepath.Dir(name))
			folders[all].file(file, lines, false)
		}
		folders[folder] = cmp.Or(folders[folder], &tally{})
		folders[folder].file(file, lines, page)
		return nil
	})
	return folders, err
}

// file counts the comments of a Go file, or the paragraphs, items, headings and table rows of a page.
func (t *tally) file(name string, lines []string, page bool) {
	var in []string
	code := false
	for i, line := range append(lines, "") {
		text, ok := strings.CutPrefix(strings.TrimSpace(line), "//")
		text = strings.TrimPrefix(text, " ")
		ok = ok && !aside.MatchString(text)
		if page {
			fence := strings.Contains(line, "```")
			code = code != fence
			text, ok = strings.ReplaceAll(cut.ReplaceAllString(line, ""), " | ", ". "), !code && !fence && strings.TrimSpace(line) != ""
		}
		if in != nil && (!ok || page && mark.MatchString(line)) {
			t.paragraph(name, i+1-len(in), in)
			in = nil
		}
		if ok {
			in = append(in, text)
		}
	}
}

// paragraph counts lines that belong together; first is the number of the first one.
func (t *tally) paragraph(file string, first int, lines []string) {
	broken, text := strings.Join(lines, "\n"), strings.Join(lines, " ")
	note := func(r, at int) {
		t.found[r] = append(t.found[r], fmt.Sprintf("%s:%d", file, first+strings.Count(broken[:at], "\n")))
	}
	words := word.FindAllString(text, -1)
	t.words, t.letters = t.words+len(words), t.letters+len(strings.Join(words, ""))
	for r, row := range rows[:len(rows)-1] {
		for _, m := range row.pattern.FindAllStringSubmatchIndex(text, -1) {
			if len(m) == 2 || m[2] < 0 {
				note(r, m[1]-1)
			}
		}
	}
	begin := 0
	for _, p := range pause.FindAllStringIndex(text, -1) {
		n := len(strings.Fields(text[begin:p[1]]))
		if n > 3 {
			t.sentences++
		}
		if n > 30 {
			note(len(rows)-1, begin)
		}
		begin = p[1]
	}
}
