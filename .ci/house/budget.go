package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

const (
	budgetName = ".ci/house/budget.txt"
	tableName  = "docs/architecture.md"
)

// budget holds the most that each count may be, by what is counted.
type budget map[string]int

// The counts that are no package's lines.
const (
	putFiles    = "files of a Put, without hooks"
	putHooks    = "hooks of a Put"
	typeFields  = "fields of the largest type"
	typeMethods = "methods of the largest type"
	exportNames = "exported names"
	linesOf     = "lines of "
)

// machine is how many files more a Put may cross than the budget says: they are watched as they run, and a machine's disk and processors
// decide which branches all Puts take. One file more has failed a build that passed everywhere else.
const machine = 2

// counted returns the counts as a budget.
func (c *counts) counted() budget {
	b := budget{typeFields: c.fields.n, typeMethods: c.methods.n}
	for _, one := range c.put {
		if one.hook {
			b[putHooks]++
		} else {
			b[putFiles]++
		}
	}
	for name, needed := range c.needed {
		if needed {
			b[exportNames] += c.files[name].exported
			b[linesOf+path.Dir(name)] += c.files[name].lines
		}
	}
	return b
}

// readBudget reads lines of a number and what may be so many; what begins with # is a comment.
func readBudget(text string) (budget, error) {
	b := budget{}
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		number, what, _ := strings.Cut(line, " ")
		n, err := strconv.Atoi(number)
		if what = strings.TrimSpace(what); err != nil || what == "" || b[what] > 0 {
			return nil, fmt.Errorf("%s: %q is no number and what is counted, or stands there twice", budgetName, line)
		}
		b[what] = n
	}
	return b, nil
}

func (b budget) String() string {
	var s strings.Builder
	s.WriteString("# The most that each count of `make house` may be. A change that needs more raises a number here, and its commit says why.\n" +
		"# `make house HOUSEFLAGS=-fit` lowers the numbers to the counts, and writes the table in " + tableName + ".\n")
	for _, what := range slices.Sorted(maps.Keys(b)) {
		fmt.Fprintf(&s, "%6d %s\n", b[what], what)
	}
	return s.String()
}

// over returns the counts that are larger than the budget, and the lines of the budget that count nothing any more.
func (b budget) over(counts budget) (faults []string) {
	for _, what := range slices.Sorted(maps.Keys(counts)) {
		n, most := counts[what], b[what]
		if what == putFiles || what == putHooks {
			most += machine
		}
		if n > most {
			faults = append(faults, fmt.Sprintf("%s: %d, and %s allows %d: take %d away, or raise the number there and say why in the commit", what, n, budgetName, b[what], n-b[what]))
		}
	}
	for _, what := range slices.Sorted(maps.Keys(b)) {
		if _, ok := counts[what]; !ok {
			faults = append(faults, fmt.Sprintf("%s: there is nothing to count: remove the line from %s", what, budgetName))
		}
	}
	return faults
}

// lines are those of all packages.
func (b budget) lines() (n int) {
	for what, one := range b {
		if strings.HasPrefix(what, linesOf) {
			n += one
		}
	}
	return n
}

// The columns of the table that do not change.
var earlier = []struct{ what, then, before, wanted string }{
	{"files that a Put crosses at the leader, of them hooks", "87", "106, 46", "75, 15"},
	{"largest type: fields / methods", "66 / 115", "67 / 124", "40 / 60"},
	{"production lines, without code for tests only", "77,420", "109,401", "97,500"},
	{"exported names, without code for tests only", "1,789", "2,731", "1,900"},
}

// table is the one in docs/architecture.md.
func (b budget) table() string {
	now := []string{
		fmt.Sprintf("%d, %d", b[putFiles]+b[putHooks], b[putHooks]),
		fmt.Sprintf("%d / %d", b[typeFields], b[typeMethods]),
		thousands(b.lines()),
		thousands(b[exportNames]),
	}
	var s strings.Builder
	s.WriteString("| | at b9d3f30 | at b56f136 | today, at most | wanted |\n|---|---|---|---|---|\n")
	for i, row := range earlier {
		fmt.Fprintf(&s, "| %s | %s | %s | %s | %s |\n", row.what, row.then, row.before, now[i], row.wanted)
	}
	return s.String()
}

func thousands(n int) string {
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}

// page returns the page with the table of a budget, and whether it had another one.
func (b budget) page(text string) (with string, other bool, err error) {
	const begin, end = "<!-- counts: written by `make house HOUSEFLAGS=-fit` -->\n\n", "\n<!-- end of counts -->"
	before, rest, found := strings.Cut(text, begin)
	old, after, ends := strings.Cut(rest, end)
	if !found || !ends {
		return "", false, fmt.Errorf("%s has no place for the table: %q and %q", tableName, begin, end)
	}
	return before + begin + b.table() + end + after, old != b.table(), nil
}

func read() (b budget, page string, err error) {
	text, err := os.ReadFile(budgetName)
	if err != nil {
		return nil, "", err
	}
	raw, err := os.ReadFile(tableName)
	if err != nil {
		return nil, "", err
	}
	b, err = readBudget(string(text))
	return b, string(raw), err
}

// check returns what is larger than the budget allows.
func (c *counts) check() error {
	b, page, err := read()
	if err != nil {
		return err
	}
	counted := c.counted()
	faults := b.over(counted)
	if counted[putFiles] > b[putFiles]+machine { // another machine may not show the same ones
		for _, one := range c.put {
			if !one.hook {
				faults = append(faults, "a Put crosses "+one.name)
			}
		}
	}
	if _, other, err := b.page(page); err != nil {
		return err
	} else if other {
		faults = append(faults, tableName+" has another table than "+budgetName+": make house HOUSEFLAGS=-fit")
	}
	if len(faults) > 0 {
		return errors.New(strings.Join(faults, "\nhouse: "))
	}
	return nil
}

// fit lowers the budget to the counts, and writes the table.
func (c *counts) fit() error {
	b, page, err := read()
	if err != nil {
		return err
	}
	counted := c.counted()
	for what, n := range b {
		if b[what] = min(n, counted[what]); counted[what] == 0 {
			delete(b, what)
		}
	}
	if page, _, err = b.page(page); err != nil {
		return err
	}
	return errors.Join(os.WriteFile(budgetName, []byte(b.String()), 0o644), os.WriteFile(tableName, []byte(page), 0o644))
}
