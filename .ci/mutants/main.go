// Command mutants tests the tests: it puts known bugs back, one at a time, into a copy of the sources, and lets the
// unmodified campaign and sweeps run on it. Each bug must be caught. No test knows of a mutant.
//
//	go run ./.ci/mutants             all of them
//	go run ./.ci/mutants NAME ...    some
//	go run ./.ci/mutants -check      none: only whether each change still fits the sources
//
// A line is printed for each: which test caught it, at which seed where a seed did, and how long that took. It ends with
// 1 when one of them survives, and when its change does not fit the sources any more.
package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// campaignTime bounds one hunt.
const campaignTime = 15 * time.Minute

func main() {
	wanted := os.Args[1:]
	if slices.Equal(wanted, []string{"-check"}) {
		os.Exit(check())
	}
	failed := 0
	for _, m := range mutants {
		if len(wanted) > 0 && !slices.Contains(wanted, m.name) {
			continue
		}
		begun := time.Now()
		caught, err := m.hunt()
		took := time.Since(begun).Round(time.Second)
		switch {
		case err != nil:
			failed++
			fmt.Printf("mutant %-46s cannot be made: %v\n", m.name, err)
		case caught == "":
			failed++
			fmt.Printf("mutant %-46s SURVIVED after %v\n", m.name, took)
		default:
			fmt.Printf("mutant %-46s caught by %s in %v\n", m.name, caught, took)
		}
	}
	if failed > 0 {
		fmt.Printf("mutants: %d of %d were not caught\n", failed, len(mutants))
		os.Exit(1)
	}
}

// check tells of every change that does not fit the sources any more.
func check() (failed int) {
	for _, m := range mutants {
		for _, c := range m.changes {
			if _, err := c.changed("."); err != nil {
				fmt.Printf("mutant %q cannot be made: %v\n", m.name, err)
				failed = 1
			}
		}
	}
	return failed
}

// hunt makes the mutant and lets its detectors run until one catches it.
func (m mutant) hunt() (caught string, err error) {
	dir, err := os.MkdirTemp("", "qkv-mutant-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	if err := copySources(dir); err != nil {
		return "", err
	}
	for _, c := range m.changes {
		if err := c.apply(dir); err != nil {
			return "", err
		}
	}
	if out, err := run(dir, "go", "vet", "./log/...", "./index", "./snapshot", "./actor", "./node"); err != nil {
		return "", fmt.Errorf("it does not compile: %s", out)
	}
	for _, h := range m.detectors {
		out, err := run(dir, "go", h.command()...)
		switch {
		case err == nil:
		case strings.Contains(out, "--- FAIL") && !strings.Contains(out, "test timed out"):
			return h.name + whichTest(out), nil
		default:
			return "", fmt.Errorf("%s did not come to a verdict: %.500s", h.name, out)
		}
	}
	return "", nil
}

// copySources copies what git knows of, as it stands in the working tree.
func copySources(to string) error {
	list, err := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		return fmt.Errorf("list the sources: %w", err)
	}
	for name := range strings.SplitSeq(strings.TrimRight(string(list), "\x00"), "\x00") {
		content, err := os.ReadFile(name)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return err
		}
		target := filepath.Join(to, name)
		if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(target, content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// apply makes the change.
func (c change) apply(dir string) error {
	content, err := c.changed(dir)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, c.file), []byte(content), fs.FileMode(0o600))
}

// changed replaces a text that stands in a file exactly once.
func (c change) changed(dir string) (string, error) {
	content, err := os.ReadFile(filepath.Join(dir, c.file))
	if err != nil {
		return "", err
	}
	if n := strings.Count(string(content), c.old); n != 1 {
		return "", fmt.Errorf("%s holds the text to change %d times, not once: %q", c.file, n, c.old)
	}
	return strings.Replace(string(content), c.old, c.new, 1), nil
}

func run(dir, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), campaignTime)
	defer cancel()
	command := exec.CommandContext(ctx, name, args...)
	command.Dir = dir
	out, err := command.CombinedOutput()
	return string(out), err
}

var (
	failedSeed = regexp.MustCompile(`SEED=(\d+)`)
	failedTest = regexp.MustCompile(`--- FAIL: (\S+)`)
)

// whichTest tells the first test that failed, and of a campaign the first seed.
func whichTest(out string) (which string) {
	if found := failedTest.FindStringSubmatch(out); found != nil {
		which = ": " + found[1]
	}
	if found := failedSeed.FindStringSubmatch(out); found != nil {
		which += ", seed " + found[1]
	}
	return which
}

// detector is a run of unmodified tests.
type detector struct {
	name string
	args []string
}

func (h detector) command() []string {
	return append([]string{"test", "-count=1", "-timeout=14m"}, h.args...)
}

var (
	campaign  = detector{"the campaign", []string{"./node", "-run", "^TestSimulation$", "-args", "-sim.seeds=2000"}}
	logSweeps = detector{"the log's sweeps", []string{"./log/..."}}
	snapSweep = detector{"the snapshot's sweeps", []string{"./snapshot"}}
	actors    = detector{"the actors' tests", []string{"./actor"}}
	story     = detector{"a story", []string{"./node", "-run", "^TestStories$"}}
)

// direct is one test.
func direct(dir, name string) detector {
	return detector{"its test", []string{dir, "-run", "^" + name + "$"}}
}

// mutant is a bug that some store really had.
type mutant struct {
	name      string
	changes   []change
	detectors []detector
}

type change struct{ file, old, new string }
