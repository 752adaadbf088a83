package cli

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"qkv/cli/form"
	"qkv/cli/run"
	"qkv/internal/limits"
	"qkv/internal/testlong"
)

// mayOpen runs a process that may have so many files open.
func mayOpen(files int) []string {
	return []string{"sh", "-c", fmt.Sprintf(`ulimit -n %d && exec "$0" "$@"`, files)}
}

// A sandbox or a file system that refuses advice, hard links, modes and room ahead prevents no start, and no certificate.
func TestProcessInASandbox(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	before := traced(t, "fadvise64,linkat,fchmod,sync_file_range,fallocate,madvise", "error=EPERM")
	c := newProcesses(t, 1)
	m := c.members[0]
	m.before = before
	for _, value := range []string{"first", "second"} {
		m.start()
		s := c.open(0, processWait)
		ctx, cancel := context.WithTimeout(t.Context(), processWait)
		if _, err := s.Put(ctx, []byte("key"), []byte(value)); err != nil {
			t.Fatalf("%v\n%s", err, m.lines())
		}
		cancel()
		m.kill()
	}
	dir := t.TempDir()
	for _, line := range []string{"cert ca --cluster prod", "cert member n1", "cert client admin", "cert secret -o secret", "cert secret -o secret --rotate", "cert renew"} {
		for i, want := range []bool{true, false} {
			if again := i > 0; again && (strings.Contains(line, "renew") || strings.Contains(line, "rotate")) {
				continue // these replace files
			}
			words := slices.Concat(before[1:], []string{"qkv"}, strings.Fields(line))
			cmd := exec.CommandContext(t.Context(), before[0], words...)
			cmd.Dir, cmd.Env = dir, run.WithoutSettings(os.Environ())
			if out, err := cmd.CombinedOutput(); (err == nil) != want {
				t.Errorf("%s, for the %d. time: %v: %s", line, i+1, err, out)
			}
		}
	}
}

// TestProcessFewFiles connects more often than a member may open files, without a word. Its log has the files that it needs all the
// same: writes are taken, and who is too many is closed. Where that cannot be, it does not start.
func TestProcessFewFiles(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	const files, tooFew, strangers = 400, 200, 600
	few := newProcesses(t, 1).members[0]
	few.before = mayOpen(tooFew)
	few.refuses(form.ExitUsage, fmt.Sprint("open files is ", tooFew), "ulimit -n")
	c := newProcesses(t, 1, "--segment-bytes", fmt.Sprint(64<<10))
	m := c.members[0]
	m.before = mayOpen(files)
	m.start()
	s := c.open(0, processWait)
	put := func(i int) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), processWait)
		defer cancel()
		if _, err := s.Put(ctx, fmt.Append(nil, "key", i), []byte(strings.Repeat("x", 40<<10))); err != nil {
			t.Fatalf("put %d: %v\n%s", i, err, m.lines())
		}
	}
	put(0)
	var all []net.Conn
	defer func() {
		for _, conn := range all {
			_ = conn.Close()
		}
	}()
	for range strangers {
		conn, err := net.DialTimeout("tcp", m.listen, processWait)
		if err != nil {
			break // so many wait already
		}
		all = append(all, conn)
	}
	if len(all) < files {
		t.Errorf("only %d connected", len(all))
	}
	for i := range 3 * limits.SparesMost { // each takes a file of the log or nearly
		put(i)
	}
	if line := lineWith(m.lines(), "the limit of open files reduces the number of connections"); line == "" {
		t.Errorf("it does not say what it lacks:\n%s", m.lines())
	}
}
