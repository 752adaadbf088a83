package cli

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/urfave/cli/v2"
)

// skipsNamed limits how many skipped files are named one by one: important lines must not scroll away.
const skipsNamed = 10

// skips prints to stderr what an import or export skips: the first names, then counts by reason.
type skips struct {
	w    io.Writer
	most int

	mu    sync.Mutex
	named int
	more  map[string]int // counts by reason
}

func newSkips(c *cli.Context) *skips {
	s := &skips{w: c.App.ErrWriter, most: skipsNamed, more: map[string]int{}}
	if c.Bool("verbose") {
		s.most = 1 << 62
	}
	return s
}

func verboseFlag(variable string) cli.Flag {
	return &cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, EnvVars: []string{variable}, Usage: "name all skipped files, not only the first"}
}

// add reports a skipped file. It may be called from any goroutine.
func (s *skips) add(name, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.named < s.most {
		s.named++
		fmt.Fprintf(s.w, "skipped %s: %s\n", printable([]byte(name), len(name)), why)
		return
	}
	s.more[why]++
}

// fail reports a file that should have been stored but could not be. It is always printed, however many there are.
func (s *skips) fail(name, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.w, "failed %s: %s\n", printable([]byte(name), len(name)), why)
}

// end prints the counts of the files that were not named.
func (s *skips) end() {
	const kinds = 5
	var all []string
	reasons := slices.SortedFunc(maps.Keys(s.more), func(a, b string) int { return cmp.Or(s.more[b]-s.more[a], strings.Compare(a, b)) })
	total, others := 0, 0
	for i, why := range reasons {
		total += s.more[why]
		if i < kinds {
			all = append(all, fmt.Sprintf("%d: %s", s.more[why], why))
		} else {
			others += s.more[why]
		}
	}
	if others > 0 {
		all = append(all, fmt.Sprintf("%d for other reasons", others))
	}
	if total > 0 {
		fmt.Fprintf(s.w, "skipped %d more, which --verbose names (%s)\n", total, strings.Join(all, "; "))
	}
}
