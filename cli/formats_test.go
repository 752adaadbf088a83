package cli

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"qkv/cli/form"
	"qkv/internal/testlong"
	"qkv/net/wire"
)

const formatsPage = "docs/formats.md"

// TestFormatsOps: docs/formats.md has each op by its number and its name, and no other.
func TestFormatsOps(t *testing.T) {
	page := section(t, pageText(t, formatsPage), "## With clients")
	rows := regexp.MustCompile(`(?m)^\| (\d+) ([a-z' -]+) \|`).FindAllStringSubmatch(page, -1)
	written := map[string]bool{}
	for _, row := range rows {
		written[row[1]+" "+row[2]] = true
	}
	ops := 0
	for number := range 256 {
		if name := wire.Op(number).String(); !strings.HasPrefix(name, "op ") {
			ops++
			if !written[fmt.Sprint(number, " ", name)] {
				t.Errorf("%s does not say what op %d is: %s", formatsPage, number, name)
			}
		}
	}
	if deliveries := 5; ops < 30 || len(rows) != ops+deliveries {
		t.Errorf("%s has %d rows of %d ops and %d deliveries", formatsPage, len(rows), ops, deliveries)
	}
}

// TestFormatsTests: each test that docs/formats.md names is in the package before it.
func TestFormatsTests(t *testing.T) {
	text := strings.ReplaceAll(pageText(t, formatsPage), "\n", " ")
	named := regexp.MustCompile("([a-z]+(?:/[a-z]+)*)((?:,? (?:and )?`Test[A-Za-z]+`)+)").FindAllStringSubmatch(text, -1)
	count := 0
	for _, one := range named {
		for _, test := range regexp.MustCompile("Test[A-Za-z]+").FindAllString(one[2], -1) {
			count++
			if !hasTest(t, one[1], test) {
				t.Errorf("%s names %s of package %s: there is no such test", formatsPage, test, one[1])
			}
		}
	}
	if all := strings.Count(text, "`Test"); count < 20 || all != count {
		t.Errorf("%d of %d names of tests are behind a package", count, all)
	}
}

func hasTest(t *testing.T, folder, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", folder, "*_test.go"))
	must(t, err)
	for _, file := range files {
		if strings.Contains(string(readFile(t, file)), "func "+name+"(t *testing.T)") {
			return true
		}
	}
	return false
}

// TestFormatsFiles: docs/formats.md has each file that a member and its backup write. The member saves a snapshot with parts, and has an
// audit log.
func TestFormatsFiles(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	c := newProcesses(t, 1)
	m := c.members[0]
	place := t.TempDir()
	m.arguments = append(m.arguments, "--backup", place, "--audit-log", filepath.Join(m.dataDir, "audit", "audit.jsonl"))
	m.start()
	c.level()
	s := c.open(0, processWait)
	for i := range 20 { // more than an extent
		_, err := s.Put(t.Context(), fmt.Append(nil, i), make([]byte, 1<<20))
		must(t, err)
	}
	c.qkv("backup", "now").exits(t, form.ExitOK)
	found := map[string]bool{}
	for dir, heading := range map[string]string{m.dataDir: "## The data folder of a member", place: "## A backup"} {
		patterns := filePatterns(t, heading)
		must(t, filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				if os.IsNotExist(err) {
					return nil // an unfinished file
				}
				return err
			}
			name, err = filepath.Rel(dir, name)
			must(t, err)
			known := false
			for row, pattern := range patterns {
				if pattern.MatchString(strings.TrimSuffix(name, ".tmp")) {
					known, found[row] = true, true
				}
			}
			if !known && !strings.HasSuffix(name, ".tmp") {
				t.Errorf("%s does not name the file %s", formatsPage, name)
			}
			return nil
		}))
	}
	for _, row := range []string{
		"LOCK", "identity", "suspension", "peers", "wal/NUMBER.wal", "snap/INDEX-TERM.snap", "snap/NUMBER-SHA256.part",
		"audit/audit.jsonl", "certs/member-NAME.crt", "backup", "lists/NUMBER", "parts/SHA256-SHA256-NUMBER.zst",
	} {
		if !found[row] {
			t.Errorf("the member wrote no %s", row)
		}
	}
}

// filePatterns are the names in the first column of a section's table, as expressions.
func filePatterns(t *testing.T, heading string) map[string]*regexp.Regexp {
	t.Helper()
	const index, hash = `\d{20}`, `[0-9a-f]{64}`
	placeholder := strings.NewReplacer("NUMBER", `\d+`, "INDEX", index, "TERM", index, "FIRST", index, "LAST", index,
		"SHA256", hash, "HMAC", hash, "NAME", `[^/]+`)
	all := map[string]*regexp.Regexp{}
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]+) \\|").FindAllStringSubmatch(section(t, pageText(t, formatsPage), heading), -1) {
		before := ""
		for _, name := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[1], -1) {
			one := name[1]
			if strings.HasPrefix(one, ".") { // another ending of the name before
				one = strings.TrimSuffix(before, filepath.Ext(before)) + one
			}
			before = one
			text := placeholder.Replace(strings.ReplaceAll(one, ".", `\.`))
			if strings.HasSuffix(one, "/") {
				text += ".*"
			}
			all[one] = regexp.MustCompile("^" + text + "$")
		}
	}
	if len(all) < 5 {
		t.Fatalf("%s names %d files under %s", formatsPage, len(all), heading)
	}
	return all
}

// TestFrozen: .ci/frozen names no commit, or one by its whole hash: .ci/upgrade builds what it names.
func TestFrozen(t *testing.T) {
	var commits []string
	for line := range strings.Lines(string(readFile(t, "../.ci/frozen"))) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			commits = append(commits, line)
		}
	}
	if len(commits) > 1 || len(commits) == 1 && !regexp.MustCompile(`^[0-9a-f]{40}$`).MatchString(commits[0]) {
		t.Errorf(".ci/frozen names %q, and not one commit by its 40 digits", commits)
	}
}
