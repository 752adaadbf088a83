package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
)

const (
	caught   = "caught"
	survived = "survived"
	unmade   = "unmade" // its change does not fit, or a detector came to no verdict
)

// verdict is what a hunt ended with.
type verdict struct {
	Sources, Sum    string // of the sources, and of the mutant
	Mutant, Verdict string
	By              string `json:",omitempty"`
	Package, Test   string `json:",omitempty"`
	Seed            string `json:",omitempty"`
	Why             string `json:",omitempty"`
	Seconds         int
	Try             int  `json:",omitempty"` // at which it was caught
	Switched        bool `json:",omitempty"` // caught in the merged sources
	catch           `json:"-"`
}

func (v verdict) String() string {
	switch v.Verdict {
	case caught:
		what := v.Test
		if what == "" {
			what = "a panic in " + v.Package
		}
		if v.Seed != "" {
			what += ", seed " + v.Seed
		}
		if v.Try > 1 {
			what += fmt.Sprintf(", at try %d only: its tests are weak,", v.Try)
		}
		if !v.Switched {
			what += ", in a build of its own,"
		}
		return fmt.Sprintf("mutant %-46s caught by %s: %s in %d s", v.Mutant, v.By, what, v.Seconds)
	case survived:
		return fmt.Sprintf("mutant %-46s SURVIVED after %d s", v.Mutant, v.Seconds)
	default:
		return fmt.Sprintf("mutant %-46s cannot be made: %s", v.Mutant, v.Why)
	}
}

// sum is that of a mutant's change and of who must catch it.
func (m mutant) sum() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q", m.changes, m.detectors))
	return fmt.Sprintf("%x", sum[:8])
}

// verdicts are those of this run, and those of earlier ones on the same sources.
type verdicts struct {
	file, sources string
	lock          sync.Mutex
	known         map[string]verdict
}

func openVerdicts(file, sources string) (*verdicts, error) {
	b := &verdicts{file: file, sources: sources, known: map[string]verdict{}}
	if file == "" {
		return b, nil
	}
	content, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for line := range strings.Lines(string(content)) {
		var v verdict
		if json.Unmarshal([]byte(line), &v) == nil && v.Sources == sources && v.Verdict != unmade {
			b.known[v.Mutant] = v
		}
	}
	return b, nil
}

// of is the verdict on a mutant, when it has one and was the same then.
func (b *verdicts) of(m mutant) (verdict, bool) {
	b.lock.Lock()
	defer b.lock.Unlock()
	v, ok := b.known[m.name]
	return v, ok && v.Sum == m.sum()
}

func (b *verdicts) add(m mutant, v verdict) error {
	v.Sources, v.Sum = b.sources, m.sum()
	b.lock.Lock()
	defer b.lock.Unlock()
	b.known[m.name] = v
	if b.file == "" {
		return nil
	}
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(b.file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}

// report counts, and names those that were not caught.
func (b *verdicts) report(wanted []mutant) (code int) {
	count := map[string]int{}
	var missed []string
	for _, m := range wanted {
		v, done := b.of(m)
		if !done {
			count["left"]++
			fmt.Printf("mutant %-46s is left\n", m.name)
			continue
		}
		count[v.Verdict]++
		if v.Verdict != caught {
			missed = append(missed, v.String())
		}
	}
	for _, line := range missed { // again at the end: the output of a run can be cut at its beginning
		fmt.Println(line)
	}
	fmt.Printf("mutants: %d of %d caught, %d survived, %d came to no verdict, %d left\n",
		count[caught], len(wanted), count[survived], count[unmade], count["left"])
	switch {
	case count[survived]+count[unmade] > 0:
		return 1
	case count["left"] > 0:
		return 3
	}
	return 0
}

// caughtFile says of each mutant the package and the test that caught it.
const caughtFile = ".ci/mutants/caught.txt"

func readCaught() (map[string]catch, error) {
	content, err := os.ReadFile(caughtFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	last := map[string]catch{}
	for line := range strings.Lines(string(content)) {
		if at := strings.Split(strings.TrimSpace(line), "\t"); len(at) == 3 {
			last[at[0]] = catch{dir: at[1], test: at[2]}
		}
	}
	return last, nil
}

// learn writes caughtFile anew: what this run has not hunted stays as it was.
func (b *verdicts) learn(last map[string]catch) error {
	var lines []string
	for _, m := range mutants {
		at := last[m.name]
		if v, ok := b.of(m); ok && v.Verdict == caught {
			at = catch{dir: v.Package, test: v.Test}
		}
		if at.test != "" {
			lines = append(lines, m.name+"\t"+at.dir+"\t"+at.test+"\n")
		}
	}
	slices.Sort(lines)
	return os.WriteFile(caughtFile, []byte(strings.Join(lines, "")), 0o600)
}
