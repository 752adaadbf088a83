package cli

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"qkv/cli/form"
	"qkv/cli/run"
	"qkv/internal/checks"
	"qkv/internal/etcdflags"
	"qkv/internal/testlong"
)

// readme and the pages of docs are all that is written for users. Names of pages are relative to the repository.
const readme = "README.md"

func docPages(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../docs/*.md")
	must(t, err)
	decisions, err := filepath.Glob("../docs/decisions/*.md")
	must(t, err)
	files = append(files, decisions...)
	pages := []string{readme}
	for _, file := range files {
		pages = append(pages, strings.TrimPrefix(filepath.ToSlash(file), "../"))
	}
	if len(pages) < 10 {
		t.Fatalf("only %d pages were found: the test looks in the wrong place", len(pages))
	}
	return pages
}

func pageText(t *testing.T, page string) string {
	t.Helper()
	return string(readFile(t, filepath.Join("..", page)))
}

// TestDocsCommands: each command line of qkv on each page parses, with its flags.
func TestDocsCommands(t *testing.T) {
	least := map[string]int{readme: 3, "docs/using.md": 20, "docs/hosts.md": 14, "docs/emergencies.md": 12, "docs/etcd.md": 8}
	for _, page := range docPages(t) {
		if n := checkCommands(t, pageText(t, page)); n < least[page] {
			t.Errorf("only %d commands were found: the test no longer reads %s as it is written", n, page)
		}
	}
}

func checkCommands(t *testing.T, text string) (commands int) {
	t.Helper()
	for _, line := range docLines(text) {
		words := strings.Fields(line)
		if len(words) == 0 || strings.TrimPrefix(words[0], "./") != "qkv" {
			continue
		}
		commands++
		_, err := form.Arrange(newApp(), append([]string{"qkv"}, words[1:]...))
		if _, etcds, ok := run.EtcdLine(append([]string{"qkv"}, words[1:]...)); ok {
			_, err = etcdflags.Parse(etcds, nil, func(string) ([]byte, error) { return nil, nil })
		}
		if err != nil {
			t.Errorf("%s\n%v", line, err)
		}
	}
	return commands
}

// TestDocsLinks: each link of a page leads to a file and a heading, pictures are well-formed, and the index has each page. The README
// stays short.
func TestDocsLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	linked := map[string]bool{}
	for _, page := range docPages(t) {
		for _, found := range link.FindAllStringSubmatch(strings.ReplaceAll(pageText(t, page), "\n", " "), -1) {
			if strings.Contains(found[1], "://") {
				continue
			}
			file, heading, _ := strings.Cut(found[1], "#")
			target := page
			if file != "" {
				target = filepath.ToSlash(filepath.Join(filepath.Dir(page), file))
			}
			text, err := os.ReadFile(filepath.Join("..", target))
			if err != nil {
				t.Errorf("%s links to %s: %v", page, found[1], err)
				continue
			}
			if heading != "" && !hasHeading(string(text), heading) {
				t.Errorf("%s links to %s: there is no such heading", page, found[1])
			}
			if filepath.Ext(target) == ".svg" {
				wellFormed(t, target, text)
			}
			if page == "docs/README.md" || page == "docs/decisions/README.md" {
				linked[target] = true
			}
		}
	}
	for _, page := range docPages(t) {
		if page != "docs/README.md" && !linked[page] {
			t.Errorf("docs/README.md does not link to %s", page)
		}
	}
	if lines := strings.Count(pageText(t, readme), "\n"); lines > 150 {
		t.Errorf("the README has %d lines, and 150 are the most: move details to a page of docs", lines)
	}
}

// hasHeading reports whether a heading of a page has the name that links use: in small letters, with hyphens for blanks.
func hasHeading(text, name string) bool {
	for line := range strings.Lines(text) {
		heading := strings.TrimLeft(line, "#")
		if heading == line || !strings.HasPrefix(heading, " ") {
			continue
		}
		plain := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(strings.TrimSpace(heading)), "")
		if strings.ReplaceAll(plain, " ", "-") == name {
			return true
		}
	}
	return false
}

func wellFormed(t *testing.T, name string, text []byte) {
	t.Helper()
	for d := xml.NewDecoder(bytes.NewReader(text)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
	}
}

// TestDecisions: each page of a decision says the same four things, in order.
func TestDecisions(t *testing.T) {
	heading := regexp.MustCompile(`(?m)^## (.+)$`)
	pages := 0
	for _, page := range docPages(t) {
		if filepath.Dir(page) != "docs/decisions" || filepath.Base(page) == "README.md" {
			continue
		}
		pages++
		var found []string
		for _, one := range heading.FindAllStringSubmatch(pageText(t, page), -1) {
			found = append(found, one[1])
		}
		if got, want := strings.Join(found, ", "), "Context, Choice, Rejected, Reconsider when"; got != want {
			t.Errorf("%s has the headings %s, not %s", page, got, want)
		}
	}
	if pages < 12 {
		t.Errorf("%d decisions were found", pages)
	}
}

// TestEmergencies: docs/emergencies.md says what to do for each alarm that the help of status lists.
func TestEmergencies(t *testing.T) {
	_, alarms, _ := strings.Cut(newApp().Command("status").Description, "Alarms: ")
	alarms, _, found := strings.Cut(alarms, "Notices")
	names := regexp.MustCompile("[A-Z]{4,}").FindAllString(alarms, -1)
	if !found || len(names) < 8 {
		t.Fatalf("the help of status lists no alarms any more, but %q", names)
	}
	for _, name := range names {
		if !strings.Contains(pageText(t, "docs/emergencies.md"), "the alarm "+name) {
			t.Errorf("docs/emergencies.md does not say what to do about the alarm %s", name)
		}
	}
}

// TestDocsClient: a module of its own that follows docs/using.md compiles with the client library.
func TestDocsClient(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	section := section(t, pageText(t, "docs/using.md"), "## The Go client library")
	lines := docLines(section)
	if len(lines) == 0 || !strings.Contains(section, `import "qkv/net/client"`) {
		t.Fatalf("the page does not say how to import the client library:\n%s", section)
	}
	here, err := filepath.Abs("..")
	must(t, err)
	folder := t.TempDir()
	mine := filepath.Join(folder, "mine")
	must(t, os.Mkdir(mine, 0o700))
	must(t, os.Symlink(here, filepath.Join(folder, "qkv")))
	must(t, os.WriteFile(filepath.Join(mine, "main.go"), []byte(`package main

import (
	"context"
	"fmt"

	"qkv/net/client"
)

func main() { fmt.Println(client.Open(context.Background(), client.Config{})) }
`), 0o600))
	for _, line := range append([]string{"go mod init example.com/mine"}, lines...) {
		words := strings.Fields(line)
		cmd := exec.Command(words[0], words[1:]...)
		cmd.Dir, cmd.Env = mine, append(os.Environ(), "GOFLAGS=", "GOWORK=")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
	}
}

// docBlock is a code block of a page.
type docBlock struct {
	language string // empty: a shell's
	text     string
	lines    []docLine
}

// docLine is a line of a code block: the part that a shell runs, and its comment.
type docLine struct{ command, comment string }

// docBlocks returns the code blocks of a page. Continued lines are joined.
func docBlocks(text string) (blocks []docBlock) {
	inside, command := false, ""
	for line := range strings.Lines(text) {
		trimmed := strings.TrimSpace(line)
		if language, fence := strings.CutPrefix(trimmed, "```"); fence {
			if inside = !inside; inside {
				blocks = append(blocks, docBlock{language: language})
			}
			continue
		}
		if !inside {
			continue
		}
		block := &blocks[len(blocks)-1]
		block.text += line
		part, comment, _ := strings.Cut(trimmed, "#")
		part, continued := strings.CutSuffix(strings.TrimSpace(part), "\\")
		command = strings.TrimSpace(command + " " + part)
		if continued {
			continue
		}
		if command != "" {
			block.lines = append(block.lines, docLine{command, strings.TrimSpace(comment)})
		}
		command = ""
	}
	return blocks
}

// docLines returns the lines of all code blocks of a page for a shell, without comments.
func docLines(text string) (lines []string) {
	for _, block := range docBlocks(text) {
		if block.language == "go" {
			continue
		}
		for _, line := range block.lines {
			lines = append(lines, line.command)
		}
	}
	return lines
}

// TestArchitecture: each file that docs/architecture.md and the texts of its pictures name exists, and each picture was drawn from the
// text beside it.
func TestArchitecture(t *testing.T) {
	named := regexp.MustCompile(`\b(?:[a-z]+/)+[a-z_]+\.go\b`)
	label := regexp.MustCompile(`"([^"]+)"`)
	texts := []string{"docs/architecture.md", "docs/pictures/member.d2", "docs/pictures/put.d2"}
	files := 0
	for _, text := range texts {
		for _, file := range named.FindAllString(strings.ReplaceAll(pageText(t, text), `\n`, "\n"), -1) {
			files++
			if _, err := os.Stat(filepath.Join("..", file)); err != nil {
				t.Errorf("%s names %v", text, err)
			}
		}
		drawing, ok := strings.CutSuffix(text, ".d2")
		if !ok {
			continue
		}
		svg := pageText(t, drawing+".svg")
		for _, found := range label.FindAllStringSubmatch(pageText(t, text), -1) {
			for _, line := range strings.Split(found[1], `\n`) {
				if line = strings.ReplaceAll(line, "'", "&#39;"); !strings.Contains(svg, line) {
					t.Errorf("%s.svg lacks %q of %s: run `make pictures`", drawing, line, text)
				}
			}
		}
	}
	if files < 30 {
		t.Errorf("only %d files were found: the test no longer reads the page as it is written", files)
	}
}

// TestDocsOfProbes: docs/monitoring.md has each check of /livez and /readyz as the table of checks has it.
func TestDocsOfProbes(t *testing.T) {
	page := pageText(t, "docs/monitoring.md")
	for _, p := range checks.Probes {
		if row := fmt.Sprintf("| `%s` | %s | %s |\n", p.Name, p.Means, p.Do); !strings.Contains(page, row) {
			t.Errorf("docs/monitoring.md lacks the row\n%s", row)
		}
	}
}

// TestDocsOfDoctor: each check has a section in docs/doctor.md, and each section of a check has a check.
func TestDocsOfDoctor(t *testing.T) {
	page := pageText(t, "docs/doctor.md")
	known := map[string]bool{}
	for _, c := range slices.Concat(checks.Cluster, checks.Host) {
		known[c.ID] = true
		if !hasHeading(page, c.ID) {
			t.Errorf("docs/doctor.md has no section about %s", c.ID)
		}
	}
	for line := range strings.Lines(page) {
		if id, ok := strings.CutPrefix(strings.TrimSpace(line), "### "); ok && !known[id] {
			t.Errorf("docs/doctor.md has a section about %s, and there is no such check", id)
		}
	}
}

// TestDocsOfTesting: each helper and test that docs/testing.md names is declared in the file that it names.
func TestDocsOfTesting(t *testing.T) {
	named := regexp.MustCompile("(?:`([A-Za-z0-9]+)` in )?`((?:[a-z0-9]+/)+[a-z0-9_.]*)`")
	_, table, _ := strings.Cut(pageText(t, "docs/testing.md"), "## Where a new test begins")
	found := named.FindAllStringSubmatch(table, -1)
	for _, f := range found {
		name, file := f[1], f[2]
		text, err := os.ReadFile(filepath.Join("..", file))
		if name == "" && strings.HasSuffix(file, "/") {
			_, err = os.ReadDir(filepath.Join("..", file))
		}
		if err != nil {
			t.Errorf("docs/testing.md names %v", err)
		}
		if name != "" && !regexp.MustCompile(`(?m)^func (\([^)]*\) )?`+name+`\(`).Match(text) {
			t.Errorf("docs/testing.md: %s declares no function %s", file, name)
		}
	}
	if len(found) < 40 {
		t.Errorf("only %d names were found: the test no longer reads the page as it is written", len(found))
	}
}
