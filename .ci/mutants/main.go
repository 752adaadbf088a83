// Command mutants tests the tests: it puts known bugs back, one at a time, and runs the unmodified tests against each. Every bug must be
// caught. No test knows of a mutant.
//
//	go run ./.ci/mutants             all of them
//	go run ./.ci/mutants NAME ...    some
//	go run ./.ci/mutants -check      none: only whether each change still fits the sources and builds, and each test is there
//	go run ./.ci/mutants -since REV  those of packages whose code has changed since this revision, and new ones
//
// A change names a declaration and the code in it that is replaced; see the type change. For a change that is lost, -check prints the code
// that it wanted, and where such code stands now.
//
// Go compiles the changed files in place of the real ones (go help build, -overlay), so that the working tree stays as it is. The files that
// mutants change are read once, at the start. -j sets how many mutants are hunted at a time. -for ends the hunt after a time. The packages
// take turns in a random order; mutants that the simulator hunts come last.
//
// Mutants prints a line for each bug: the test that caught it, the seed of the simulator, and how long that took. The exit code is 1 if a
// bug survives or does not fit the sources, and 3 if -for left some, which it names.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// mutants are the bugs that are put back. bugs_NAME.go holds those of the packages under the folder NAME.
var mutants = slices.Concat(actorBugs, cliBugs, indexBugs, internalBugs, logBugs, netBugs, nodeBugs, snapshotBugs)

func main() {
	var (
		checkOnly = flag.Bool("check", false, "only whether each change fits the sources")
		workers   = flag.Int("j", 1, "how many mutants are hunted at a time")
		most      = flag.Duration("for", 0, "begin no hunt after this `time`")
		since     = flag.String("since", "", "only mutants that are new since this `revision`, or of packages that have changed")
	)
	flag.Parse()
	tree, err := readSources()
	code := 0
	switch {
	case err != nil:
	case *checkOnly:
		if code = check(tree); code == 0 {
			err = checkBuild(tree)
		}
	default:
		code, err = runAll(tree, flag.Args(), *since, *workers, *most)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		code = 1
	}
	os.Exit(code)
}

// check reports every mutant whose changes do not fit the sources any more, and every test that is gone.
func check(tree *sources) (failed int) {
	for _, m := range mutants {
		if _, err := tree.changed(m.changes); err != nil {
			fmt.Printf("mutant %q cannot be made: %v\n", m.name, err)
			failed = 1
		}
		for _, d := range m.detectors {
			if !d.exists() {
				fmt.Printf("mutant %q is caught by %s of %s, which is not there\n", m.name, d.pattern, d.dir)
				failed = 1
			}
		}
	}
	return failed
}

// checkBuild builds every package with all mutants that fit into one build. A mutant that no compiler takes stops the hunt of all others.
func checkBuild(tree *sources) error {
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	g, err := merge(dir, tree, mutants)
	if err != nil {
		return err
	}
	list := filepath.Join(dir, "overlay.json")
	if err := writeOverlay(list, g.texts); err != nil {
		return err
	}
	if out, err := exec.Command("go", "build", "-overlay", list, "./...").CombinedOutput(); err != nil {
		return fmt.Errorf("a mutant does not build: %w: %s", err, out)
	}
	return nil
}

// exists reports whether a detector's test is in its package. A pattern of several tests is not looked for.
func (d detector) exists() bool {
	test, _, _ := strings.Cut(d.pattern, "/")
	if test = strings.Trim(test, "^$"); strings.ContainsAny(test, ".*|") || test == "" {
		return true
	}
	files, _ := filepath.Glob(filepath.Join(d.dir, "*_test.go"))
	return slices.ContainsFunc(files, func(file string) bool {
		text, err := os.ReadFile(file)
		return err == nil && strings.Contains(string(text), "\nfunc "+test+"(")
	})
}

// wanted returns the mutants with the names, or all, and of those the ones that were touched since a revision, in the order of the hunt.
func wanted(tree *sources, names []string, since string) (found []mutant, err error) {
	for _, m := range mutants {
		if len(names) == 0 || slices.Contains(names, m.name) {
			found = append(found, m)
		}
	}
	if len(found) < len(names) {
		return nil, fmt.Errorf("%d names, and %d mutants that are called so", len(names), len(found))
	}
	if since != "" {
		if found, err = touched(found, tree, since); err != nil {
			return nil, err
		}
		fmt.Printf("mutants: %d of %d were touched since %s\n", len(found), len(mutants), since)
	}
	turn := map[string]int{} // of a package
	for _, m := range found {
		turn[m.detectors[0].dir] = rand.Int()
	}
	slices.SortStableFunc(found, func(a, b mutant) int {
		x, y := a.detectors[0], b.detectors[0]
		return cmp.Or(cmp.Compare(len(x.flags), len(y.flags)), cmp.Compare(turn[x.dir], turn[y.dir]))
	})
	return found, nil
}

// runAll hunts mutants, and returns the exit code.
func runAll(tree *sources, names []string, since string, workers int, most time.Duration) (int, error) {
	begun := time.Now()
	all, err := wanted(tree, names, since)
	if err != nil {
		return 1, err
	}
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	g, err := merge(dir, tree, all)
	if err != nil {
		return 1, err
	}
	fmt.Printf("mutants: %d of %d are in one build\n", len(g.has), len(all))
	queue := make(chan int, len(all))
	for i := range all {
		queue <- i
	}
	close(queue)
	var lock sync.Mutex
	caught, left := 0, 0
	var missed []string
	var hunters sync.WaitGroup
	for range workers {
		hunters.Go(func() {
			for i := range queue {
				m := all[i]
				started := time.Now()
				line, ok := "is left", false
				late := most > 0 && started.Sub(begun) > most
				if !late {
					line, ok = g.hunt(m, i+1)
				}
				line = fmt.Sprintf("mutant %-46s %s in %.0f s", m.name, line, time.Since(started).Seconds())
				fmt.Println(line)
				lock.Lock()
				switch {
				case late:
					left++
				case ok:
					caught++
				default:
					missed = append(missed, line)
				}
				lock.Unlock()
			}
		})
	}
	hunters.Wait()
	for _, line := range missed { // again at the end: the output of a run can be cut at its beginning
		fmt.Println(line)
	}
	fmt.Printf("mutants: %d of %d caught, %d not, %d left, %.0f s\n", caught, len(all), len(missed), left, time.Since(begun).Seconds())
	switch {
	case len(missed) > 0:
		return 1, nil
	case left > 0:
		return 3, nil
	}
	return 0, nil
}
