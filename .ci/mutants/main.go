// Command mutants tests the tests: it puts known bugs back, one at a time, into a copy of the sources, and lets the
// unmodified campaign and sweeps run on it. Each bug must be caught. No test knows of a mutant.
//
//	go run ./.ci/mutants             all of them
//	go run ./.ci/mutants NAME ...    some
//	go run ./.ci/mutants -check      none: only whether each change still fits the sources
//	go run ./.ci/mutants -since REV  those that work since this revision may have touched, in a random order
//
// A change names a declaration and the code in it that is replaced; see the type change. For a change that is lost, -check
// prints the code that it wanted, and the nearest code that there is.
//
// The sources are read once, at the start: they may be edited while it runs. -j sets how many mutants are hunted at a
// time. With -verdicts FILE each verdict is added to that file, and what has one for the same sources is not hunted
// again: a run that was interrupted, or ended by -for, goes on there. caught.txt says which test caught each mutant the
// last time; that test goes first. -learn writes it anew.
//
// A line is printed for each: which test caught it, at which seed where a seed did, and how long that took. It ends with
// 1 when one of them survives, and when its change does not fit the sources any more, and with 3 when -for left some, which it
// names.
package main

import (
	"flag"
	"fmt"
	"os"
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
		file      = flag.String("verdicts", "", "a `file` that keeps the verdicts: what has one is not hunted again")
		most      = flag.Duration("for", 0, "begin no hunt after this `time`")
		since     = flag.String("since", "", "only mutants that are new since this `revision`, or that change a declaration which is")
		learn     = flag.Bool("learn", false, "write down which test caught each")
		known     = flag.Bool("known", false, "only mutants whose test caught.txt names")
	)
	flag.Parse()
	if *checkOnly {
		os.Exit(check())
	}
	code, err := runAll(flag.Args(), *since, *workers, *file, *most, *learn, *known)
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		code = 1
	}
	os.Exit(code)
}

// check reports every mutant whose changes do not fit the sources any more.
func check() (failed int) {
	tree, err := readSources()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		return 1
	}
	for _, m := range mutants {
		if _, err := tree.changed(m.changes); err != nil {
			fmt.Printf("mutant %q cannot be made: %v\n", m.name, err)
			failed = 1
		}
	}
	book, err := readCaught()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		return 1
	}
	for name, by := range book {
		if !hasTest(by.dir, by.test) {
			fmt.Printf("mutant %q was caught by %s of %s, which is not there: correct %s\n", name, by.test, by.dir, caughtFile)
			failed = 1
		}
	}
	return failed
}

// hasTest tells whether a test, or the test of a subtest, is in a package's folder.
func hasTest(dir, test string) bool {
	test, _, _ = strings.Cut(test, "/")
	files, _ := filepath.Glob(filepath.Join(dir, "*_test.go"))
	return slices.ContainsFunc(files, func(file string) bool {
		text, err := os.ReadFile(file)
		return err == nil && strings.Contains(string(text), "\nfunc "+test+"(")
	})
}

// runAll hunts all mutants, or those with the names, or those that were touched since a revision, and returns the exit code.
func runAll(names []string, since string, workers int, file string, most time.Duration, learn, known bool) (int, error) {
	begun := time.Now()
	tree, err := readSources()
	if err != nil {
		return 1, err
	}
	book, err := openVerdicts(file, tree.sum)
	if err != nil {
		return 1, err
	}
	last, err := readCaught()
	if err != nil {
		return 1, err
	}
	var wanted []mutant
	for _, m := range mutants {
		if len(names) == 0 || slices.Contains(names, m.name) {
			wanted = append(wanted, m)
		}
	}
	if len(wanted) < len(names) {
		return 1, fmt.Errorf("%d names, and %d mutants that are called so", len(names), len(wanted))
	}
	if since != "" {
		if wanted, err = touched(wanted, tree, since); err != nil {
			return 1, err
		}
		fmt.Printf("mutants: %d of %d were touched since %s\n", len(wanted), len(mutants), since)
	}
	if known {
		wanted = slices.DeleteFunc(wanted, func(m mutant) bool { return last[m.name].test == "" })
	}
	dir, err := takeFolder()
	if err != nil {
		return 1, err
	}
	g, err := merge(dir, tree, wanted, last)
	if err == nil {
		err = tree.write(dir, g.texts)
	}
	if err != nil {
		return 1, err
	}
	fmt.Printf("mutants: %d of %d are in one copy of the sources\n", len(g.has), len(wanted))
	queue := make(chan mutant)
	go func() {
		defer close(queue)
		for _, m := range wanted {
			if _, done := book.of(m); done {
				continue
			}
			if most > 0 && time.Since(begun) > most {
				return
			}
			queue <- m
		}
	}()
	var hunters sync.WaitGroup
	errs := make(chan error, workers)
	for range workers {
		hunters.Go(func() {
			dir := sync.OnceValues(takeFolder)
			for m := range queue {
				v := m.hunt(dir, g, last)
				fmt.Println(v)
				if err := book.add(m, v); err != nil {
					errs <- err
				}
			}
		})
	}
	hunters.Wait()
	select {
	case err := <-errs:
		return 1, err
	default:
	}
	code := book.report(wanted)
	if learn {
		err = book.learn(last)
	}
	return code, err
}
