package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// campaignTime bounds one hunt.
const campaignTime = 15 * time.Minute

// mutant is a bug that some store really had.
type mutant struct {
	name      string
	changes   []change
	detectors []detector
}

// detector is a run of unmodified tests.
type detector struct {
	name string
	args []string
}

var (
	campaign  = detector{"the campaign", []string{"./node", "-run", "^TestSimulation$", "-args", "-sim.seeds=2000"}}
	logSweeps = detector{"the log's sweeps", []string{"./log/..."}}
	snapSweep = detector{"the snapshot's sweeps", []string{"./snapshot"}}
	actors    = detector{"the actors' tests", []string{"./actor"}}
	story     = detector{"a story", []string{"./node", "-run", "^TestStories$"}}
)

// processes is where tests start members as processes of their own, which end with the test, and not with its process.
const processes = "./cli"

// direct is one test.
func direct(dir, name string) detector {
	return detector{"its test", []string{dir, "-run", "^" + name + "$"}}
}

// again is the test that caught a mutant the last time, with its subtest.
func (c catch) again() detector {
	levels := strings.Split(c.test, "/")
	for i, one := range levels {
		levels[i] = "^" + regexp.QuoteMeta(one) + "$"
	}
	return detector{"last time's test", []string{c.dir, "-run", strings.Join(levels, "/")}}
}

// tries is how often a mutant is hunted that survives. A test on real processes can miss a bug that depends on the machine's load, and
// a run that fails by chance teaches nobody anything. The line of a mutant that was caught late says so: its test is too weak.
const tries = 3

// hunt runs the first test of the mutant in the merged sources. If that does not catch it, hunt makes the mutant alone and lets its
// detectors run until one catches it: first the test that did so the last time.
func (m mutant) hunt(dir func() (string, error), g *merged, last map[string]catch) verdict {
	begun := time.Now()
	v := verdict{Mutant: m.name, Verdict: survived}
	seen, by, err := g.hunt(m, last)
	if seen == nil && err == nil {
		return m.alone(dir, g.tree, last[m.name], by)
	}
	if err != nil {
		v.Verdict, v.Why = unmade, err.Error()
	} else {
		v.caughtBy(by, *seen)
		v.Switched = true
	}
	v.Seconds = int(time.Since(begun).Round(time.Second).Seconds())
	return v
}

func (v *verdict) caughtBy(h detector, seen catch) {
	v.Verdict, v.By, v.catch = caught, h.name, seen
	v.Package, v.Test, v.Seed = seen.dir, seen.test, seen.seed
}

// alone hunts the mutant in a build of its own. The campaign does not run again if it has run in the merged sources.
func (m mutant) alone(folder func() (string, error), tree *sources, last catch, done detector) verdict {
	begun := time.Now()
	v := verdict{Mutant: m.name, Verdict: survived}
	detectors := m.detectors
	if last.test != "" && last.test != "TestSimulation" {
		detectors = append([]detector{last.again()}, detectors...)
	}
	if done.name == campaign.name {
		detectors = slices.DeleteFunc(slices.Clone(detectors), func(h detector) bool { return h.name == campaign.name })
	}
	dir, err := folder()
	if err == nil {
		err = tree.writeChanged(dir, m.changes)
	}
	if err != nil {
		v.Verdict, v.Why = unmade, err.Error()
		detectors = nil
	}
	for i := range tries * len(detectors) {
		h := detectors[i%len(detectors)]
		v.Try = 1 + i/len(detectors)
		if v.Try > 1 && h.name == campaign.name {
			continue // the simulator decides by the seed alone
		}
		seen, err := h.run(dir, tree)
		if err != nil {
			v.Verdict, v.Why = unmade, fmt.Sprintf("%s did not come to a verdict: %v", h.name, err)
			break
		}
		if seen != nil {
			v.caughtBy(h, *seen)
			break
		}
	}
	v.Seconds = int(time.Since(begun).Round(time.Second).Seconds())
	return v
}

// catch is the first test that failed, and of a campaign the first seed.
type catch struct{ dir, test, seed string }

// event is one line of `go test -json`; go doc cmd/test2json explains them.
type event struct{ Action, Package, Test, Output string }

// Seeds are told of as they fail, tests when they have ended.
var failedSeed = regexp.MustCompile(`simulation: seed (\d+) fails`)

// arguments are those of go test. A model that fails is not made smaller: one failure is enough.
func (h detector) arguments(tree *sources) []string {
	all := slices.Concat([]string{"test", "-count=1", "-timeout=14m", "-vet=off", "-failfast", "-json"}, h.args)
	if tree.hasModel(h.args[0]) && !slices.Contains(all, "-args") {
		all = append(all, "-args", "-rapid.shrinktime=1ms")
	}
	return all
}

// run returns what the first failure is, and ends the tests there; nil when there is none. A build that fails and tests
// that hang are no verdict.
func (h detector) run(dir string, tree *sources) (*catch, error) {
	ctx, cancel := context.WithTimeout(context.Background(), campaignTime)
	defer cancel()
	command := exec.CommandContext(ctx, "go", h.arguments(tree)...)
	command.Dir = dir
	return watched(ctx, cancel, command, h.args[0] != processes)
}

// watched runs tests that print events. With early it ends them at the first failure.
func watched(ctx context.Context, cancel func(), command *exec.Cmd, early bool) (*catch, error) {
	// A group of its own: the test's processes end with it.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	command.WaitDelay = 5 * time.Second // what a test has started in a group of its own may have its output
	var said strings.Builder
	command.Stderr = &said
	out, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	seen, hung := firstFailure(bufio.NewReader(out), &said)
	if seen != nil && early {
		cancel()
	}
	_, _ = io.Copy(io.Discard, out)
	err = command.Wait()
	switch {
	case seen != nil:
		return seen, nil
	case err == nil:
		return nil, nil
	case hung || ctx.Err() != nil:
		return nil, fmt.Errorf("the tests hang: %s", end(said.String()))
	default:
		return nil, fmt.Errorf("%w: %s", err, end(said.String()))
	}
}

// firstFailure reads events until a test has failed. A panic outside of the tests' own goroutines fails the package.
func firstFailure(out *bufio.Reader, said *strings.Builder) (seen *catch, hung bool) {
	panicked := false
	for {
		line, err := out.ReadBytes('\n')
		if err != nil {
			return nil, hung
		}
		var e event
		if json.Unmarshal(line, &e) != nil {
			said.Write(line)
			continue
		}
		at := &catch{dir: "." + strings.TrimPrefix(e.Package, "qkv"), test: e.Test}
		switch e.Action {
		case "output", "build-output":
			said.WriteString(e.Output)
			hung = hung || strings.HasPrefix(e.Output, "panic: test timed out")
			panicked = panicked || strings.HasPrefix(e.Output, "panic: ")
			if seed := failedSeed.FindStringSubmatch(e.Output); seed != nil {
				at.test, at.seed = "TestSimulation", seed[1]
				return at, false
			}
		case "fail":
			switch {
			case hung:
			case e.Test != "":
				return at, false
			case panicked:
				return at, false
			}
		}
	}
}

// end is the end of what a process said.
func end(s string) string { return s[max(0, len(s)-600):] }
