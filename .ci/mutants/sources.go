package main

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
)

// sources are the files that git knows of, as they stood in the working tree.
type sources struct {
	files        map[string]string
	declarations []*declaration // of production code
}

func readSources() (*sources, error) {
	list, err := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		return nil, fmt.Errorf("list the sources: %w", err)
	}
	s := &sources{files: map[string]string{}}
	for name := range strings.SplitSeq(strings.TrimRight(string(list), "\x00"), "\x00") {
		content, err := os.ReadFile(name)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		s.files[name] = string(content)
	}
	return s, s.declare()
}

// declare parses the production code.
func (s *sources) declare() error {
	for _, name := range slices.Sorted(maps.Keys(s.files)) {
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") || strings.HasPrefix(name, ".ci/") || strings.Contains(name, "testdata/") {
			continue
		}
		all, err := declarationsOf(name, s.files[name])
		if err != nil {
			return err
		}
		s.declarations = append(s.declarations, all...)
	}
	return nil
}

// hasModel says whether tests of a package draw what they do, by rapid.
func (s *sources) hasModel(folder string) bool {
	for name, content := range s.files {
		if path.Dir(name) == path.Clean(folder) && strings.HasSuffix(name, "_test.go") && strings.Contains(content, "\"pgregory.net/rapid\"") {
			return true
		}
	}
	return false
}
