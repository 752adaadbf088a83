// Command mutants tests the tests: it puts known bugs back, one at a time, into a copy of the sources, and lets the
// unmodified campaign and sweeps run on it. Each bug must be caught. No test knows of a mutant.
//
//	go run ./.ci/mutants             all of them
//	go run ./.ci/mutants NAME ...    some
//
// A line is printed for each: what caught it, after how many seeds where a seed did, and how long that took. It ends
// with 1 when one of them survives, and when its change does not fit the sources any more.
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
			fmt.Printf("mutant %-34s cannot be made: %v\n", m.name, err)
		case caught == "":
			failed++
			fmt.Printf("mutant %-34s SURVIVED after %v\n", m.name, took)
		default:
			fmt.Printf("mutant %-34s caught by %s in %v\n", m.name, caught, took)
		}
	}
	if failed > 0 {
		fmt.Printf("mutants: %d of %d were not caught\n", failed, len(mutants))
		os.Exit(1)
	}
}

// hunt makes the mutant and lets its hunters run until one catches it.
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
	for _, h := range m.hunters {
		out, err := run(dir, "go", h.command()...)
		switch {
		case err == nil:
		case strings.Contains(out, "--- FAIL") && !strings.Contains(out, "test timed out"):
			return h.name + seedsNeeded(out), nil
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

// apply replaces a text that stands in a file exactly once.
func (c change) apply(dir string) error {
	path := filepath.Join(dir, c.file)
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if n := strings.Count(string(content), c.old); n != 1 {
		return fmt.Errorf("%s holds the text to change %d times, not once: %q", c.file, n, c.old)
	}
	return os.WriteFile(path, []byte(strings.Replace(string(content), c.old, c.new, 1)), fs.FileMode(0o600))
}

func run(dir, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), campaignTime)
	defer cancel()
	command := exec.CommandContext(ctx, name, args...)
	command.Dir = dir
	out, err := command.CombinedOutput()
	return string(out), err
}

var failedSeed = regexp.MustCompile(`SEED=(\d+)`)

// seedsNeeded tells the first seed that failed.
func seedsNeeded(out string) string {
	if found := failedSeed.FindStringSubmatch(out); found != nil {
		return " (seed " + found[1] + ")"
	}
	return ""
}

// hunter is a run of unmodified tests.
type hunter struct {
	name string
	args []string
}

func (h hunter) command() []string {
	return append([]string{"test", "-count=1", "-timeout=14m"}, h.args...)
}

var (
	campaign  = hunter{"the campaign", []string{"./node", "-run", "^TestSimulation$", "-args", "-sim.seeds=2000"}}
	logSweeps = hunter{"the log's sweeps", []string{"./log/..."}}
	snapSweep = hunter{"the snapshot's sweeps", []string{"./snapshot"}}
)

// mutant is a bug that some store really had.
type mutant struct {
	name    string
	changes []change
	hunters []hunter
}

type change struct{ file, old, new string }
