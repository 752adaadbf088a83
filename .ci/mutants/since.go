package main

import (
	"fmt"
	"os/exec"
	"path"
	"strconv"
	"strings"
)

// touched returns the mutants that are new since a revision, those of each package whose code or tests have changed since, and those that
// such a package's tests detect. A file that is not Go code counts by itself.
func touched(all []mutant, tree *sources, since string) (found []mutant, err error) {
	list, err := exec.Command("git", "diff", "--name-only", "-z", since).Output()
	if err != nil {
		return nil, fmt.Errorf("this repository has no revision %s: %w", since, err)
	}
	changed := map[string]bool{}
	for name := range strings.SplitSeq(string(list), "\x00") {
		if changed[name] = true; strings.HasSuffix(name, ".go") {
			changed[path.Dir(name)] = true
		}
	}
	lines, err := exec.Command("git", "diff", "-U0", since, "--", ".ci/mutants").Output()
	if err != nil {
		return nil, err
	}
	for _, m := range all {
		is := strings.Contains(string(lines), "\n+\t{"+strconv.Quote(m.name)+", ")
		for _, c := range m.changes {
			one, err := tree.locate(c)
			is = is || err != nil || changed[one.file] || strings.HasSuffix(one.file, ".go") && changed[path.Dir(one.file)]
		}
		for _, d := range m.detectors {
			is = is || changed[path.Clean(d.dir)]
		}
		if is {
			found = append(found, m)
		}
	}
	return found, nil
}
