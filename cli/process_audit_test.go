package cli

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"qkv/internal/limits"
)

// TestProcessAuditDiskFull fills the disk of a member's audit log, and nothing else. With --audit-strict the member refuses changes of qkv's
// and etcd's clients, serves reads, and raises AUDIT; a kill, a start on the full disk and space later, it takes changes by itself, and the
// lines tell of both.
func TestProcessAuditDiskFull(t *testing.T) {
	t.Parallel()
	if !apart(t, syscall.CLONE_NEWNS) {
		return
	}
	dir := filepath.Join(smallDisk(t, "1m"), "audit")
	must(t, os.Mkdir(dir, 0o700))
	file := filepath.Join(dir, "n1.jsonl")
	c := startProcesses(t, 1, "--audit-log", file, "--audit-strict")
	m := c.members[0]
	c.qkv("put", "key", "1").exits(t, exitOK)
	fill(t, filepath.Join(dir, "foreign"))
	for i := 0; ; i++ { // the block of the last line has space for some more
		c.qkv("member", "add", fmt.Sprint("m", i), "--peer", fmt.Sprintf("127.0.0.1:%d", i+1), "--learner", "--timeout", "2s")
		added := c.qkv("member", "remove", fmt.Sprint("m", i), "--timeout", "2s")
		if audited(c.status()) {
			break
		}
		if i == 100 {
			t.Fatalf("no AUDIT on a full disk: %s\n%s", added.stderr, m.lines())
		}
	}
	for range 2 {
		c.await("the alarm AUDIT", audited)
		if refused := c.qkv("put", "key", "2", "--timeout", "1s"); refused.code != exitUnavailable || !strings.Contains(refused.stderr, "--audit-strict is set and the audit log "+file+" cannot be written: ") {
			t.Errorf("put by qkv: %d, %s", refused.code, refused.stderr)
		}
		if body := postJSON(t, m, "/v3/kv/put", `{"key":"a2V5","value":"Mg=="}`); !strings.Contains(body, "--audit-strict is set and the audit log") {
			t.Errorf("put by etcd's API: %s", body)
		}
		if got := c.qkv("get", "key").exits(t, exitOK); got.stdout != "1\n" {
			t.Errorf("get: %q", got.stdout)
		}
		c.qkv("status", "--check").exits(t, exitFailed, "AUDIT of n1")
		m.kill()
		m.start()
	}
	c.await("the alarm AUDIT of a member that starts on a full disk", audited)
	must(t, os.Remove(filepath.Join(dir, "foreign")))
	c.await("the end of AUDIT", func(members []memberStatus) bool { return len(members) > 0 && !audited(members) })
	c.qkv("put", "key", "3").exits(t, exitOK)
	for deadline := time.Now().Add(processWait); ; time.Sleep(limits.AuditInterval) {
		all := c.qkv("audit", "--file", file).exits(t, exitOK).stdout
		if strings.Contains(all, `"operation":"alarm ended"`) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the lines are\n%s", all)
		}
	}
}

// audited reports whether n1 raises AUDIT.
func audited(members []memberStatus) bool {
	return slices.ContainsFunc(members, func(m memberStatus) bool { return m.Name == "n1" && m.raises("AUDIT") })
}

// postJSON asks a member by the JSON of etcd's API, without TLS.
func postJSON(t *testing.T, m *memberProcess, path, body string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+m.listen+path, strings.NewReader(body))
	must(t, err)
	answer, err := (&http.Client{Timeout: processWait}).Do(request)
	must(t, err)
	defer answer.Body.Close()
	out, err := io.ReadAll(answer.Body)
	must(t, err)
	return string(out)
}

// TestProcessAuditFollows: `qkv audit --follow` prints each line once and in order, over kills of the member, and ends by Ctrl-C.
func TestProcessAuditFollows(t *testing.T) {
	t.Parallel()
	c := newProcesses(t, 1)
	m := c.members[0]
	file := filepath.Join(t.TempDir(), "audit", "audit.jsonl")
	m.arguments = append(m.arguments, "--audit-log", file)
	m.start()
	c.level()
	follow := exec.CommandContext(t.Context(), "qkv", "audit", "--file", file, "--follow")
	follow.Env = append(withoutSettings(os.Environ()), c.environment()...)
	out, err := follow.StdoutPipe()
	must(t, err)
	must(t, follow.Start())
	lines := make(chan string, 1000)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
	}()
	var operations []string
	next := func(operation string) {
		t.Helper()
		deadline := time.After(processWait)
		for {
			select {
			case text := <-lines:
				var one struct {
					Operation string
				}
				must(t, json.Unmarshal([]byte(text), &one))
				operations = append(operations, one.Operation)
				if one.Operation == operation {
					return
				}
			case <-deadline:
				t.Fatalf("no line of %q; %v so far", operation, operations)
			}
		}
	}
	next("start")
	for range 3 {
		m.kill()
		m.start()
		next("start")
	}
	m.stop()
	next("stop")
	must(t, follow.Process.Signal(os.Interrupt))
	for range lines { // nothing more
		t.Error("a line after the end")
	}
	if err := follow.Wait(); follow.ProcessState.ExitCode() != 130 {
		t.Errorf("Ctrl-C ends it with %v", err)
	}
	count := func(operation string) (n int) {
		for _, one := range operations {
			if one == operation {
				n++
			}
		}
		return n
	}
	if count("start") != 4 || count("stop") != 1 {
		t.Errorf("the lines are %v", operations)
	}
}
