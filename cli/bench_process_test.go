package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"qkv/bench/result"
	"qkv/internal/testretry"
)

// benchRunOf is what `qkv bench run` finds of one caller's puts on members of its own.
func benchRunOf(t testing.TB, runs int, sides ...string) *result.File {
	t.Helper()
	program, err := exec.LookPath("qkv")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range []string{"a", "b"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	port, err := freePorts(2)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "run.json")
	args := append([]string{
		"bench", "run", "--load", "put by one caller", "--members", "1", "--runs", strconv.Itoa(runs), "--duration", "1s", "--warm-up", "300ms",
		"--port", strconv.Itoa(port), "-o", file,
	}, sides...)
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	f, err := result.Read(in)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestBenchItself checks the suite by members whose difference is known: none, of two folders on one disk, and a millisecond in
// each sync. Of alike sides one report in twenty claims a difference by chance, in any of its figures; four in a row do once in 160,000.
func TestBenchItself(t *testing.T) {
	if !fullVariant() {
		t.Skip("members are measured for minutes: QKV_FULL=1; package bench's TestSuite and TestSuiteAlike do so with stores that do nothing")
	}
	t.Run("alike", func(t *testing.T) {
		testretry.Again(t, 4, func(t testing.TB) {
			for _, table := range benchRunOf(t, 8, "--dir", "a=a", "--dir", "b=b").Tables() {
				for _, line := range table.Lines {
					if line[len(line)-1] != "~" {
						t.Errorf("alike, and differ: %v", line)
					}
				}
			}
		})
	})
	t.Run("a millisecond", func(t *testing.T) {
		testretry.Again(t, 4, func(t testing.TB) {
			said := strings.Join(benchRunOf(t, 6, "--profile", "nvme-plp", "--profile", "nvme-plp+1ms").Verdicts(), "\n")
			if !strings.Contains(said, "beside EMULATED nvme-plp, put by one caller") || !strings.Contains(said, "are in sync: ") {
				t.Errorf("the millisecond is not found, or not where it is:\n%s", said)
			}
		})
	})
}
