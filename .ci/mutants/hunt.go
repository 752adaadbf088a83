package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// runTime bounds one run of tests.
const runTime = 15 * time.Minute

// mutant is a bug that some store really had.
type mutant struct {
	name      string
	changes   []change
	detectors []detector
}

// detector is a run of unmodified tests: those of a package that match a pattern.
type detector struct {
	dir, pattern string
	flags        []string
}

var (
	campaign  = detector{"./node", "^TestSimulation$", []string{"-sim.seeds=2000"}}
	logSweeps = detector{"./log", "", nil}
)

// direct is one test.
func direct(dir, name string) detector {
	return detector{dir, "^" + strings.ReplaceAll(name, "/", "$/^") + "$", nil}
}

// tries is how often a mutant is hunted that survives. A test on real processes can miss a bug that depends on the machine's load, and
// a run that fails by chance helps nobody. The line of a mutant that was caught late says so: its test is too weak.
const tries = 3

// merged are builds of test programs: of each package one with all mutants that fit into it.
type merged struct {
	tree  *sources
	dir   string            // for programs, and for what tests write
	texts map[string]string // the files with all mutants
	has   map[int]bool      // the numbers of the mutants in them

	lock   sync.Mutex
	builds map[string]*build
}

// build is the test program of a package. sound says of patterns whether their tests pass without a mutant: others decide nothing.
type build struct {
	folder string
	err    error
	ready  sync.Once
	lock   sync.Mutex
	sound  map[string]bool
}

// hunt lets the detectors of a mutant run until one catches it: in the merged build, and if none does, in a build of the mutant alone. It
// returns what it found, and whether the mutant was caught.
func (g *merged) hunt(m mutant, number int) (string, bool) {
	for _, d := range m.detectors {
		if !g.has[number] {
			break
		}
		b := g.built(0, d.dir, g.texts)
		if b.err != nil {
			return "cannot be made: " + b.err.Error(), false
		}
		if !g.sound(b, d) {
			continue
		}
		if by, err := g.run(b, d, number); err == nil && by != "" {
			return "caught by " + by, true
		}
	}
	texts, err := g.tree.changed(m.changes)
	if err != nil {
		return "cannot be made: " + err.Error(), false
	}
	defer os.RemoveAll(filepath.Join(g.dir, strconv.Itoa(number)))
	for try := range tries {
		for _, d := range m.detectors {
			if d.flags != nil && (try > 0 || g.has[number]) {
				continue // the simulator decides by the seed alone
			}
			by, err := g.run(g.built(number, d.dir, texts), d, 0)
			if err != nil {
				return fmt.Sprintf("brings %s to no verdict: %v", d.dir, err), false
			}
			if by != "" && try > 0 {
				by += fmt.Sprintf(", at try %d only: its tests are weak", try+1)
			}
			if by != "" {
				return "caught by " + by + ", in a build of its own", true
			}
		}
	}
	return "SURVIVED", false
}

// built builds the test program of a package for one mutant, or with 0 for all, with other files in place of the real ones.
func (g *merged) built(number int, dir string, texts map[string]string) *build {
	folder := filepath.Join(g.dir, strconv.Itoa(number), strings.ReplaceAll(strings.TrimPrefix(dir, "./"), "/", "-"))
	g.lock.Lock()
	b := g.builds[folder]
	if b == nil {
		b = &build{folder: folder, sound: map[string]bool{}}
		g.builds[folder] = b
	}
	g.lock.Unlock()
	b.ready.Do(func() {
		begun, list := time.Now(), filepath.Join(folder, "overlay.json")
		if b.err = writeOverlay(list, texts); b.err != nil {
			return
		}
		command := exec.Command("go", "test", "-c", "-vet=off", "-overlay", list, "-o", filepath.Join(folder, "test"), dir)
		if out, err := command.CombinedOutput(); err != nil {
			b.err = fmt.Errorf("%s does not build: %w: %s", dir, err, end(string(out)))
		}
		if number == 0 {
			fmt.Printf("mutants: %s is built in %.0f s\n", dir, time.Since(begun).Seconds())
		}
	})
	return b
}

// writeOverlay writes files, and the list by which Go takes them in place of those in the working directory.
func writeOverlay(list string, texts map[string]string) error {
	here, err := os.Getwd()
	if err == nil {
		err = os.MkdirAll(filepath.Dir(list), 0o700)
	}
	replace := map[string]string{}
	for name, text := range texts {
		to := filepath.Join(filepath.Dir(list), fmt.Sprintf("%d.go", len(replace)))
		replace[filepath.Join(here, name)] = to
		if err == nil {
			err = os.WriteFile(to, []byte(text), 0o600)
		}
	}
	content, _ := json.Marshal(map[string]any{"Replace": replace}) // strings alone
	if err != nil {
		return err
	}
	return os.WriteFile(list, content, 0o600)
}

// sound reports whether a detector passes in the merged build without a mutant.
func (g *merged) sound(b *build, d detector) bool {
	if d.flags != nil {
		return true
	}
	b.lock.Lock()
	defer b.lock.Unlock()
	sound, known := b.sound[d.pattern]
	if !known {
		by, err := g.run(b, d, 0)
		sound = by == "" && err == nil
		b.sound[d.pattern] = sound
	}
	return sound
}

// failure matches the first sign of a test that fails. The simulator names a seed as soon as it fails.
var failure = regexp.MustCompile(`^\s*--- FAIL: (\S+)|^simulation: (seed \d+) fails`)

// run runs a detector with a mutant of the merged sources; 0 is none. It returns the test that fails first, and ends the others then. Tests
// that hang are no verdict.
func (g *merged) run(b *build, d detector, number int) (by string, err error) {
	if b.err != nil {
		return "", b.err
	}
	ctx, cancel := context.WithTimeout(context.Background(), runTime)
	defer cancel()
	arguments := append([]string{"-test.count=1", "-test.timeout=14m", "-test.failfast", "-test.run", d.pattern}, d.flags...)
	if g.tree.hasModel(d.dir) { // one failure is enough: it is not made smaller, and not kept
		arguments = append(arguments, "-rapid.shrinktime=1ms", "-rapid.nofailfile")
	}
	command := exec.CommandContext(ctx, filepath.Join(b.folder, "test"), arguments...)
	command.Dir = d.dir
	command.Env = append(os.Environ(), fmt.Sprintf("%s=%d", switchVariable, number), "TMPDIR="+b.folder)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// with the processes of its tests
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	out, err := command.StdoutPipe()
	if err != nil {
		return "", err
	}
	command.Stderr = command.Stdout
	if err := command.Start(); err != nil {
		return "", err
	}
	defer context.AfterFunc(ctx, func() { out.Close() })()
	var said strings.Builder
	for lines := bufio.NewReader(out); by == "" && err == nil; {
		var line string
		line, err = lines.ReadString('\n')
		said.WriteString(line)
		if found := failure.FindStringSubmatch(line); found != nil {
			by = found[1] + found[2]
			cancel()
		}
	}
	err = command.Wait()
	switch {
	case strings.Contains(said.String(), "\npanic: test timed out") || by == "" && ctx.Err() != nil:
		return "", fmt.Errorf("the tests hang: %s", end(said.String()))
	case by == "" && strings.Contains(said.String(), "\npanic: "):
		return "a panic", nil
	case by != "" || err == nil:
		return by, nil
	default:
		return "", fmt.Errorf("%w: %s", err, end(said.String()))
	}
}

// end is the end of what a process said.
func end(s string) string { return s[max(0, len(s)-600):] }
