package cli

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"qkv/cli/run"
	"qkv/internal/testlong"
	"qkv/internal/testretry"
)

// TestBenchMemberKilled: a member that somebody kills under a load ends the run with its name and an exit code that is not 0, and
// nothing is left of it.
func TestBenchMemberKilled(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	testretry.Longer(t, time.Second, benchMemberKilled) // a busy host may have it killed when the load is over
}

func benchMemberKilled(t testing.TB, lasts time.Duration) {
	program, err := exec.LookPath("qkv")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	port, err := freePorts(6)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "bench", "run", "--load", "put by one caller", "--members", "3", "--runs", "1", "--duration", lasts.String(),
		"--port", strconv.Itoa(port), "--dir", "own="+dir)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	must(t, cmd.Start())
	go func() {
		underLoad(t, port)
		if pid := childOf(cmd.Process.Pid); pid > 0 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}()
	err = cmd.Wait()
	if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(said.String(), "put by one caller: ") || !strings.Contains(said.String(), " ended: signal: killed") {
		t.Errorf("%v\n%s", err, &said)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v: %v is left", err, left)
	}
}

// underLoad returns when one of three members, whose first port that is, has followed a write.
func underLoad(t testing.TB, port int) {
	followed := regexp.MustCompile(`(?m)^qkv_write_stage_seconds_count\{.*\} [1-9]`)
	for t.Context().Err() == nil {
		for i := range 3 {
			answer, err := http.Get("http://" + run.Loopback(port+2*i) + "/metrics") //nolint:noctx // it is on this machine
			if err != nil {
				continue
			}
			b, _ := io.ReadAll(answer.Body)
			_ = answer.Body.Close()
			if followed.Match(b) {
				return
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// childOf is a process that another one started; 0 for none.
func childOf(pid int) int {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, name := range tasks {
		b, _ := os.ReadFile(name)
		if first := strings.Fields(string(b)); len(first) > 0 {
			n, _ := strconv.Atoi(first[0])
			return n
		}
	}
	return 0
}
