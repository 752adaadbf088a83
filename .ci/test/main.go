// Test runs `go test` with its arguments, prints what `go test` prints, and at the end which tests were skipped and why:
// without that, a rule that nothing has checked here looks like one that holds.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// event is one line of `go test -json`; go doc cmd/test2json explains them.
type event struct{ Action, Package, Test, Output string }

// report gathers what the events say.
type report struct {
	said    map[[2]string][]string // lines of tests that have not ended, by package and test
	skipped []string
}

// place is where a test's line came from.
var place = regexp.MustCompile(`^\s*\w+_test\.go:\d+: `)

func (r *report) take(e event) {
	test := [2]string{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		fmt.Print(e.Output)
	case "output":
		switch {
		case e.Test != "":
			r.said[test] = append(r.said[test], e.Output)
		case e.Output != "PASS\n":
			fmt.Print(e.Output)
		}
	case "skip":
		if e.Test != "" {
			r.skipped = append(r.skipped, fmt.Sprintf("%s %s: %s", e.Package, e.Test, r.reason(test)))
		}
		delete(r.said, test)
	case "pass":
		delete(r.said, test)
	case "fail":
		// A package fails with its tests, and with those that were running when it was ended.
		for at, lines := range r.said {
			if at == test || e.Test == "" && at[0] == e.Package {
				fmt.Print(strings.Join(lines, ""))
				delete(r.said, at)
			}
		}
	}
}

// reason is what a test said before it was skipped.
func (r *report) reason(test [2]string) string {
	for _, line := range slices.Backward(r.said[test]) {
		if found := place.FindString(line); found != "" {
			return strings.TrimSpace(strings.TrimPrefix(line, found))
		}
	}
	return "it does not say why"
}

func main() {
	// Most tests wait, so that one package more than there are processors runs at a time.
	cmd := exec.Command("go", append([]string{"test", "-json", "-p", strconv.Itoa(runtime.NumCPU() + 1)}, os.Args[1:]...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	r := report{said: map[[2]string][]string{}}
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadBytes('\n')
		var e event
		if json.Unmarshal(line, &e) == nil {
			r.take(e)
		} else {
			os.Stdout.Write(line)
		}
		if err != nil {
			break
		}
	}
	err = cmd.Wait()
	if len(r.skipped) > 0 {
		slices.Sort(r.skipped)
		fmt.Printf("%d tests were skipped here:\n  %s\n", len(r.skipped), strings.Join(r.skipped, "\n  "))
	}
	if err != nil {
		os.Exit(1)
	}
}
