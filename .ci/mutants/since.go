package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// touched returns the mutants that are new since a revision, and those that change a declaration which the revision does not have with
// the same tokens under the same name, or that mentions a limit whose line has changed since. A declaration that was only moved is not
// touched. A file that is not Go code is touched by any difference. The order is random, so that each mutant has its turn when -for leaves some.
func touched(all []mutant, tree *sources, since string) (found []mutant, err error) {
	old, err := sourcesAt(since)
	if err != nil {
		return nil, err
	}
	var named strings.Builder
	for name, content := range old.files {
		if path.Dir(name) == ".ci/mutants" {
			named.WriteString(content)
		}
	}
	limits := []string{"-"} // a name that no limit has
	changed, _ := exec.Command("git", "diff", "-w", "-U0", since, "--", "internal/limits").Output()
	for _, line := range regexp.MustCompile(`(?m)^\+\s+(\w+)(?: +=|:) `).FindAllStringSubmatch(string(changed), -1) {
		limits = append(limits, line[1])
	}
	limit := regexp.MustCompile(`imits\.(` + strings.Join(limits, "|") + `)\b`) // a constant, or a field of the tunable ones
	for _, m := range all {
		is := !strings.Contains(named.String(), strconv.Quote(m.name))
		for _, c := range m.changes {
			d, at := tree.holder(c)
			switch {
			case d != nil:
				is = is || !old.has(d, tree) || limit.MatchString(tree.files[d.file][d.from:d.to])
			default:
				is = is || at == "" || old.files[at] != tree.files[at]
			}
		}
		if is {
			found = append(found, m)
		}
	}
	rand.Shuffle(len(found), func(i, j int) { found[i], found[j] = found[j], found[i] })
	return found, nil
}

// sourcesAt reads the sources of a revision.
func sourcesAt(revision string) (*sources, error) {
	packed, err := exec.Command("git", "archive", "--format=tar", revision).Output()
	if err != nil {
		return nil, fmt.Errorf("this repository has no revision %s: %w", revision, err)
	}
	s := &sources{files: map[string]string{}}
	for r := tar.NewReader(bytes.NewReader(packed)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return s, s.declare()
		}
		if err != nil {
			return nil, err
		}
		content, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		s.files[h.Name] = string(content)
	}
}

// holder returns the declaration that a change alters, or else the file, when that is no Go code. A change that fits nowhere has neither.
func (s *sources) holder(c change) (in *declaration, file string) {
	place, err := s.locate(c)
	if err != nil {
		return nil, ""
	}
	for _, d := range s.declarations {
		if d.file == place.file && d.from <= place.from && place.to <= d.to {
			return d, place.file
		}
	}
	return nil, place.file
}

// has reports whether a declaration of other sources is in these with the same name and the same tokens.
func (s *sources) has(d *declaration, of *sources) bool {
	return slices.ContainsFunc(s.declarations, func(one *declaration) bool {
		return one.name == d.name && slices.EqualFunc(one.lexemes(s.files[one.file]), d.lexemes(of.files[d.file]), sameText)
	})
}
