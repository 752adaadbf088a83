package cli

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"qkv/cli/cluster"
	"qkv/cli/form"
	"qkv/internal/figures"
	"qkv/internal/limits"
	"qkv/internal/testlong"
	"qkv/net/client"
)

// TestProcessDiskFails takes the disk away from a member, by a write or by a sync that fails: it ends at once with its
// own exit code, no write that was not synced is acknowledged, and what was acknowledged is there afterwards.
func TestProcessDiskFails(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	t.Run("a write", func(t *testing.T) {
		t.Parallel()
		c := startProcesses(t, 1)
		m := c.members[0]
		c.qkv("put", "key", "acknowledged").exits(t, form.ExitOK)
		must(t, unix.Prlimit(m.cmd.Process.Pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 8 << 10, Max: 8 << 10}, nil))
		// Of the log's files no more than two pages can be written now. The fence of an idle log may find that out first:
		// then nobody is there to send the put to.
		if lost := c.qkv("put", "key", "lost?"); lost.code != form.ExitUnknown && lost.code != form.ExitUnavailable {
			t.Errorf("exit code %d: stdout %q, stderr %q", lost.code, lost.stdout, lost.stderr)
		}
		diskFailed(t, c)
	})
	t.Run("a sync", func(t *testing.T) {
		t.Parallel()
		if _, err := exec.LookPath("strace"); err != nil {
			t.Skip("no strace here to make a sync fail; package log makes each one fail on its simulated disk")
		}
		c := newProcesses(t, 1)
		m := c.members[0]
		trace := filepath.Join(t.TempDir(), "trace")
		// The tracer is no parent of the member, and ends with it. Twenty syncs let it start and take a few writes.
		m.before = []string{"strace", "-D", "-f", "-q", "-o", trace, "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=20+"}
		m.start()
		s := c.open(0, processWait)
		var err error
		last := 0
		for i := 1; err == nil && i < 1000; i++ {
			ctx, cancel := context.WithTimeout(t.Context(), processWait)
			if _, err = s.Put(ctx, []byte("key"), fmt.Append(nil, i)); err == nil {
				last = i
			}
			cancel()
		}
		if last == 0 || !errors.Is(err, client.ErrOutcomeUnknown) {
			t.Errorf("after %d puts: %v", last, err)
		}
		m.before = nil
		diskFailed(t, c)
		pair, _, err := s.Get(t.Context(), []byte("key"))
		if got := string(pair.Value); err != nil || got != fmt.Sprint(last) && got != fmt.Sprint(last+1) {
			t.Errorf("put %d was the last that was acknowledged, and put %q is there: %v", last, got, err)
		}
	})
}

// diskFailed: the member has ended because of its disk, and starts again on the disk as it is.
func diskFailed(t *testing.T, c *clusterProcess) {
	t.Helper()
	m := c.members[0]
	if code := m.exit(); code != form.ExitDisk {
		t.Errorf("it ended with %d, not %d:\n%s", code, form.ExitDisk, m.lines())
	}
	if line := lineWith(m.lines(), "qkv serve failed", "the disk failed", "look at the disk"); line == "" {
		t.Errorf("it does not say why it ended:\n%s", m.lines())
	}
	m.start()
	got := c.qkv("get", "key", "--timeout", processWait.String()).exits(t, form.ExitOK)
	if got.stdout == "" {
		t.Error("nothing is there")
	}
}

// TestProcessDiskFull fills the disk under a member. It refuses writes and says so, serves reads, also after a restart, and
// loses nothing; when there is room again, it takes writes by itself.
func TestProcessDiskFull(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	if !apart(t, syscall.CLONE_NEWNS) {
		return
	}
	small := smallDisk(t, "12m")
	c := newProcesses(t, 1)
	m := c.members[0]
	m.dataDir = filepath.Join(small, "data")
	m.start()
	value := make([]byte, 200<<10)
	s := c.open(0, 20*time.Second) // what finds no room may wait for all of its time
	last := -1
	var err error
	for i := 0; err == nil && i < 1000; i++ {
		if _, err = s.Put(t.Context(), fmt.Appendf(nil, "key%03d", i), value); err == nil {
			last = i
		}
	}
	if err == nil || last < 3 || !strings.Contains(err.Error(), "certainly did not happen") {
		t.Fatalf("a disk of 12 MiB takes %d values of 200 KiB: %v", last+1, err)
	}
	t.Logf("full after %d values: %v", last+1, err)
	for range 2 {
		c.await("the full disk is said", func(members []cluster.MemberStatus) bool { return len(members) == 1 && raises(members[0], "NOSPACE") })
		if _, _, err := s.Get(t.Context(), []byte("key000")); err != nil {
			t.Errorf("get from a full disk: %v", err)
		}
		m.kill()
		m.start()
	}

	makeRoom(t, small)
	for deadline := time.Now().Add(processWait); ; time.Sleep(100 * time.Millisecond) {
		if _, err = s.Put(t.Context(), []byte("room"), []byte("again")); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("there is room, and no put is taken: %v\n%s", err, c.tails())
		}
	}
	for i := range last + 1 {
		pair, found, err := s.Get(t.Context(), fmt.Appendf(nil, "key%03d", i))
		if err != nil || !found || len(pair.Value) != len(value) {
			t.Fatalf("key%03d, which was acknowledged: %v %v", i, found, err)
		}
	}
	c.await("the alarm ends", func(members []cluster.MemberStatus) bool { return len(members) == 1 && !raises(members[0], "NOSPACE") })
	if status := c.level(); raises(status[0], "CORRUPT") {
		t.Errorf("status: %v", status[0].Alarms)
	}
}

// makeRoom makes a small disk larger.
func makeRoom(t *testing.T, small string) {
	t.Helper()
	must(t, syscall.Mount("none", small, "tmpfs", syscall.MS_REMOUNT, "size=128m,mode=700"))
}

// TestProcessDiskFullOfOne: when the disk of one of three members is full, it goes on without writes, the others with them,
// and it catches up when there is room again.
func TestProcessDiskFullOfOne(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	if !apart(t, syscall.CLONE_NEWNS) {
		return
	}
	small := smallDisk(t, "12m")
	c := newProcesses(t, 3)
	m := c.members[1]
	m.dataDir = filepath.Join(small, "data")
	for _, one := range c.members {
		one.start()
	}
	c.level()
	full := func(members []cluster.MemberStatus) bool {
		return slices.ContainsFunc(members, func(one cluster.MemberStatus) bool { return one.Name == m.name && raises(one, "NOSPACE") })
	}
	for deadline := time.Now().Add(processWait); !full(c.status()) && time.Now().Before(deadline); {
		putSome(t, c, 10)
	}
	putSome(t, c, 10)
	if c.await(m.name+" serves on with an alarm", full); !m.running() {
		t.Errorf("%s does not serve on:\n%s", m.name, m.tail(10))
	}
	makeRoom(t, small)
	c.level()
}

// putSome puts values of 200 KiB, of which some may have an unknown outcome when a member dies.
func putSome(t *testing.T, c *clusterProcess, n int) {
	t.Helper()
	s := c.open(0, processWait)
	defer func() { _ = s.Close() }()
	for i := range n {
		_, err := s.Put(t.Context(), fmt.Appendf(nil, "some/%d", i), make([]byte, 200<<10))
		if err != nil && !errors.Is(err, client.ErrOutcomeUnknown) {
			t.Fatalf("put: %v\n%s", err, c.tails())
		}
	}
}

// TestProcessSlowDisk: a disk that takes 150 ms for a sync is named in the log and in the status.
func TestProcessSlowDisk(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("no strace here to make syncs slow; package actor judges their times by a table")
	}
	c := newProcesses(t, 1)
	m := c.members[0]
	m.before = []string{"strace", "-D", "-f", "-q", "-o", filepath.Join(t.TempDir(), "trace"), "-e", "trace=fdatasync", "-e", "inject=fdatasync:delay_enter=150000"}
	m.start()
	begun := time.Now()
	for range 8 {
		c.qkv("put", "key", "value", "--timeout", processWait.String()).exits(t, form.ExitOK)
	}
	m.says("WARN", "a slow sync of the log", "took=")
	status := c.level()[0]
	if !raises(status, "SLOWDISK") || status.Duration(figures.SyncP99) < 150*time.Millisecond || status.Duration(figures.SyncP99) > 10*time.Second {
		t.Errorf("p99 of the syncs is %v, alarms %v", status.Duration(figures.SyncP99), status.Alarms)
	}
	c.qkv("status", "--check").exits(t, form.ExitFailed, "not healthy: SLOWDISK of n1")
	if n := strings.Count(m.lines(), "a slow sync"); n > 2+int(time.Since(begun)/limits.SlowSyncPause) {
		t.Errorf("%d lines of slow syncs in %v", n, time.Since(begun))
	}
}
