//go:build linux

package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"qkv/bench/result"
)

// TestBenchKube: a short step on a member writes what was due, delivers each write to three watches, lists and reads consistently; and the
// result says what was scaled down and what was not measured.
func TestBenchKube(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("qkv")
	must(t, err)
	dir := t.TempDir()
	port, err := freePorts(2)
	must(t, err)
	file := filepath.Join(dir, "kube.json")
	cmd := exec.CommandContext(t.Context(), program, "bench", "kube", "--side", "qkv", "--members", "1", "--from", "50", "--most", "50", "--step", "4s",
		"--compact-every", "1s", "--held", "0.1", "--port", strconv.Itoa(port), "--data-dir", dir, "-o", file)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	in, err := os.Open(file)
	must(t, err)
	defer func() { _ = in.Close() }()
	f, err := result.Read(in)
	must(t, err)
	counts := map[string]int64{}
	for _, row := range f.Rows {
		if row.Parameters["nodes"] == "50" {
			counts[row.Name] = row.Runs[0].Count
		}
	}
	renewals, others := counts["lease renewal"], counts["other writes"]
	if renewals != 20 || others < 4 {
		t.Errorf("of 50 nodes in 4 s: %d renewals and %d other writes", renewals, others)
	}
	if n := counts["watch delivery"]; n != 3*(renewals+others) {
		t.Errorf("%d deliveries of %d writes to three watches", n, renewals+others)
	}
	for _, name := range []string{"LIST in pages", "LIST by RangeStream"} { // at the start, and after some of the compactions
		if n := counts[name]; n < 24 || n%12 != 0 {
			t.Errorf("%s: %d, by three API servers of four resources", name, n)
		}
	}
	if counts["consistent read"] == 0 {
		t.Error("there is no consistent read")
	}
	notes := strings.Join(f.Notes, "\n")
	for _, want := range []string{"SCALED DOWN: 0.1 of the 30 pods", "NOT MEASURED: T4", "qkv: 50 nodes: "} {
		if !strings.Contains(notes, want) {
			t.Errorf("no note says %q:\n%s", want, notes)
		}
	}
}

// TestBenchKubeRefuses: what makes the load nonsense, or harms a running server, is refused before anything is started.
func TestBenchKubeRefuses(t *testing.T) {
	for _, args := range [][]string{
		{"--from", "0"},
		{"--most", "10"},
		{"--members", "6"},
		{"--nodes", "0"},
		{"--within", "NaN"},
		{"--held", "1.5"},
		{"--tries", "0"},
		{"--listers", "101"},
		{"--port", "65530"},
		{"--side", "zk"},
		{"--side", "none"},
		{"--target", "etcd=127.0.0.1:1"},
		{"--target", "etcd=http://127.0.0.1:1"}, // without --allow-maintenance
	} {
		refusesToBench(t, "kube", args...)
	}
}
