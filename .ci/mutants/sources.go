package main

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// sources are the files that git knows of, as they stood in the working tree.
type sources struct {
	files        map[string]string
	sum          string         // of all but .ci, which no test reads
	declarations []*declaration // of production code
}

func readSources() (*sources, error) {
	list, err := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		return nil, fmt.Errorf("list the sources: %w", err)
	}
	names := strings.Split(strings.TrimRight(string(list), "\x00"), "\x00")
	slices.Sort(names)
	s := &sources{files: map[string]string{}}
	sum := sha256.New()
	for _, name := range slices.Compact(names) {
		content, err := os.ReadFile(name)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		s.files[name] = string(content)
		if !strings.HasPrefix(name, ".ci/") {
			fmt.Fprintf(sum, "%q %d\n", name, len(content))
			sum.Write(content)
		}
	}
	s.sum = fmt.Sprintf("%x", sum.Sum(nil)[:8])
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

// takeFolder returns a folder for one hunter, the same ones in each run: Go knows packages by where they are, and takes
// those that a mutant leaves alone from its cache. The lock is the process's.
func takeFolder() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	for n := 1; ; n++ {
		dir := filepath.Join(cache, "qkv-mutants", strconv.Itoa(n))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return "", err
		}
		// A number, and no *os.File, which Go closes when nobody has it any more: the lock is held until the process ends.
		lock, err := syscall.Open(dir+".lock", syscall.O_CREAT|syscall.O_RDWR|syscall.O_CLOEXEC, 0o600)
		if err != nil {
			return "", err
		}
		if syscall.Flock(lock, syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			return dir, nil
		}
		syscall.Close(lock)
	}
}

// writeChanged makes a folder hold the sources with the changes of a mutant.
func (s *sources) writeChanged(dir string, changes []change) error {
	want, err := s.changed(changes)
	if err != nil {
		return err
	}
	return s.write(dir, want)
}

// write makes a folder hold the sources with some other files, and nothing else: what tests left there, such as the inputs
// that rapid tries again, goes. What is right already is not written.
func (s *sources) write(dir string, want map[string]string) error {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if _, ok := s.files[filepath.ToSlash(name)]; err == nil && !ok && want[filepath.ToSlash(name)] == "" {
			return os.Remove(path)
		}
		return err
	})
	if err != nil {
		return err
	}
	all := maps.Clone(s.files)
	maps.Copy(all, want)
	for name, content := range all {
		target := filepath.Join(dir, name)
		if there, err := os.ReadFile(target); err == nil && string(there) == content {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(target, []byte(content), 0o600); err != nil {
			return err
		}
	}
	return nil
}
