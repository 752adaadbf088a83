package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"qkv/cli/run"
	"qkv/internal/testlong"
	"qkv/net/client"
)

// TestProcessLocks: a lock that many want is never held twice, also while the leader is killed again and again, and nobody who
// waits is forgotten. Who has it writes to a file which knows nothing of the lock: what each holder writes must stand
// together, and the tokens must rise.
func TestProcessLocks(t *testing.T) {
	testlong.Skip(t)
	alongside(t)
	const ofProgram, ofLibrary, ttl = 3, 4, 60
	kills := 4
	if testing.Short() {
		kills = 2
	}
	c := startProcesses(t, 3)
	c.level()
	file := filepath.Join(t.TempDir(), "protected")
	write := func(format string, values ...any) {
		f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err == nil {
			_, err = fmt.Fprintf(f, format, values...)
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			t.Error(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	write("begin 0\nend 0\n")
	var lockers sync.WaitGroup
	for i := range ofLibrary {
		s, err := client.NewLockSession(ctx, c.open(i, time.Second), client.LockSessionOptions{TTL: ttl * time.Second})
		must(t, err)
		m := client.NewMutex(s, "one")
		lockers.Go(func() {
			defer s.Orphan()
			for {
				if err := m.Lock(ctx); err != nil {
					if ctx.Err() == nil {
						t.Errorf("a locker gave up: %v", err)
					}
					return
				}
				write("begin %d\n", m.Token())
				time.Sleep(10 * time.Millisecond)
				write("end %d\n", m.Token())
				if err := m.Unlock(t.Context()); err != nil {
					t.Errorf("unlock: %v", err)
					return
				}
			}
		})
	}
	for range ofProgram {
		lockers.Go(func() {
			for ctx.Err() == nil {
				c.lockOnce(ctx, file, ttl)
			}
		})
	}
	holds := func() int { return strings.Count(string(readFile(t, file)), "end ") }
	more := func() {
		t.Helper()
		for deadline, from := time.Now().Add(processWait), holds(); holds() < from+3*(ofLibrary+ofProgram); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("nobody gets the lock any more:\n%s", c.tails())
			}
		}
	}
	for range kills {
		more()
		m := c.leader()
		m.kill()
		more()
		m.start()
		c.level()
	}
	more()
	cancel()
	lockers.Wait()
	last, open := -1, -1
	for line := range strings.Lines(string(readFile(t, file))) {
		var token int
		switch _, err := fmt.Sscanf(line, "begin %d\n", &token); {
		case err == nil && open < 0 && token > last:
			last, open = token, token
		case err == nil:
			t.Fatalf("token %d has the lock behind %d, while %d has it", token, last, open)
		default:
			if _, err := fmt.Sscanf(line, "end %d\n", &token); err != nil || token != open {
				t.Fatalf("%q while %d has the lock: %v", line, open, err)
			}
			open = -1
		}
	}
	t.Logf("figures: %d holders of one lock, one after the other, over %d kills of the leader", holds(), kills)
}

// lockOnce is one `qkv lock`, as a process of its own.
func (c *clusterProcess) lockOnce(ctx context.Context, file string, ttl int) {
	cmd := exec.Command("qkv", "lock", "one", "--ttl", fmt.Sprint(ttl), "--", "sh", "-c",
		`trap "" INT; echo begin $QKV_LOCK_TOKEN >>`+file+`; sleep 0.01; echo end $QKV_LOCK_TOKEN >>`+file)
	cmd.Env = append(run.WithoutSettings(os.Environ()), c.environment()...)
	var messages strings.Builder
	cmd.Stderr = &messages
	if err := spawn(cmd); err != nil {
		c.t.Errorf("qkv lock: %v", err)
		return
	}
	release := context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(syscall.SIGINT) })
	defer release()
	if err := cmd.Wait(); err != nil && ctx.Err() == nil {
		c.t.Errorf("qkv lock: %v: %s", err, messages.String())
	}
}
