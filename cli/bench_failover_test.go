//go:build linux

package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"qkv/bench"
	"qkv/bench/result"
)

// TestBenchFailover: the leader is killed once. Each client, by both protocols, has a gap, and the result names what was not measured.
func TestBenchFailover(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("qkv")
	must(t, err)
	dir := t.TempDir()
	port, err := freePorts(6)
	must(t, err)
	killed, lost := bench.Failures()[0].Name, bench.Failures()[2].Name
	wanted := []string{killed}
	reason := noNetworks()
	if reason != "" || fullVariant() {
		wanted = append(wanted, lost)
	}
	file := filepath.Join(dir, "failover.json")
	cmd := exec.CommandContext(t.Context(), program, "bench", "failover", "--tries", "1", "--port", strconv.Itoa(port), "--data-dir", dir,
		"--failure", strings.Join(wanted, ","), "-o", file)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	f := resultIn(t, file)
	found := map[string]int{}
	for _, row := range f.Rows {
		found[row.Name]++
		run := row.Runs[0]
		if run.Count == 0 || run.Values[result.WriteGap] <= 0 {
			t.Errorf("%s, %s, %v: %d puts, a gap of %v s", row.Side, row.Name, row.Parameters, run.Count, run.Values[result.WriteGap])
		}
	}
	noted := strings.Contains(strings.Join(f.Notes, "\n"), "NOT MEASURED: "+lost+": it "+reason)
	switch {
	case found[killed] != 4:
		t.Errorf("two clients by two protocols make %d rows", found[killed])
	case reason != "" && (found[lost] > 0 || !noted):
		t.Errorf("%s, and the notes are %q", reason, f.Notes)
	case reason == "" && fullVariant() && found[lost] != 4:
		t.Errorf("two clients by two protocols make %d rows of a lost host", found[lost])
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("%v: %v is left beside the result", err, left)
	}
}

// TestBenchFailoverOfRunning: the leadership of a running cluster moves, or nothing is done to it, and no key of the benchmark is left.
func TestBenchFailoverOfRunning(t *testing.T) {
	t.Parallel()
	c := startProcesses(t, 3)
	c.level()
	var all []string
	for _, m := range c.members {
		all = append(all, m.listen)
	}
	for _, more := range [][]string{{"--tries", "1"}, {"--watch", "1s"}} {
		file := filepath.Join(t.TempDir(), "failover.json")
		c.qkv(slices.Concat([]string{"bench", "failover", "--endpoints", strings.Join(all, ","), "-o", file}, more)...).exits(t, exitOK)
		f := resultIn(t, file)
		name := "watched"
		if more[0] == "--tries" {
			name = bench.LeaderMoved.Name
		}
		if len(f.Rows) == 0 || f.Rows[0].Name != name || f.Rows[0].Runs[0].Count == 0 || f.Rows[0].Runs[0].Values[result.WriteGap] <= 0 {
			t.Errorf("%v: %+v", more, f.Rows)
		}
		if said := c.qkv("get", "qkv-bench/", "--prefix", "--count-only").exits(t, exitOK); strings.TrimSpace(said.stdout) != "0" {
			t.Errorf("%v: %s keys are left", more, said.stdout)
		}
	}
}

func resultIn(t *testing.T, name string) *result.File {
	t.Helper()
	f, err := readResult(name)
	must(t, err)
	return f
}

// TestBenchFailoverRefuses: what is not possible is refused before anything is started.
func TestBenchFailoverRefuses(t *testing.T) {
	for _, args := range [][]string{
		{"--tries", "0"},
		{"--port", "65530"},
		{"--failure", "meteor"},
		{"--failure", "leader killed", "--endpoints", "127.0.0.1:1"},
		{"--watch", "1s"},
		{"--watch", "0s", "--endpoints", "127.0.0.1:1"},
	} {
		refusesToBench(t, "failover", args...)
	}
}
