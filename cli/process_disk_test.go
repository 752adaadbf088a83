package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"qkv/net/client"
)

// TestProcessDiskFails takes the disk away from a member, by a write or by a sync that fails: it ends at once with its
// own exit code, no write that was not synced is acknowledged, and what was acknowledged is there afterwards.
func TestProcessDiskFails(t *testing.T) {
	t.Parallel()
	t.Run("a write", func(t *testing.T) {
		t.Parallel()
		c := startProcesses(t, 1)
		m := c.members[0]
		c.qkv("put", "key", "acknowledged").exits(t, exitOK)
		must(t, unix.Prlimit(m.cmd.Process.Pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 8 << 10, Max: 8 << 10}, nil))
		// Of the log's files no more than two pages can be written now. The fence of an idle log may find that out first:
		// then nobody is there to send the put to.
		if lost := c.qkv("put", "key", "lost?"); lost.code != exitUnknown && lost.code != exitUnavailable {
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
		kv, _, err := s.Get(t.Context(), []byte("key"))
		if got := string(kv.Value); err != nil || got != fmt.Sprint(last) && got != fmt.Sprint(last+1) {
			t.Errorf("put %d was the last that was acknowledged, and put %q is there: %v", last, got, err)
		}
	})
}

// diskFailed: the member has ended because of its disk, and starts again on the disk as it is.
func diskFailed(t *testing.T, c *clusterProcess) {
	t.Helper()
	m := c.members[0]
	if code := m.exit(); code != exitDisk {
		t.Errorf("it ended with %d, not %d:\n%s", code, exitDisk, m.lines())
	}
	if line := lineWith(m.lines(), "qkv: the disk failed", "look at the disk"); line == "" {
		t.Errorf("it does not say why it ended:\n%s", m.lines())
	}
	m.start()
	got := c.qkv("get", "key", "--timeout", "20s").exits(t, exitOK)
	if got.stdout == "" {
		t.Error("nothing is there")
	}
}

// TestProcessDiskFull fills the disk under a member. It says so and loses nothing, and when there is room again, all
// that was acknowledged can be read.
func TestProcessDiskFull(t *testing.T) {
	t.Parallel()
	c := newProcesses(t, 1)
	m := c.members[0]
	small := onSmallDisk(t, m)
	m.start()
	value := make([]byte, 200<<10)
	s := c.open(0, 2*time.Second)
	last := -1
	var err error
	for i := 0; err == nil && i < 1000; i++ {
		if _, err = s.Put(t.Context(), fmt.Appendf(nil, "key%03d", i), value); err == nil {
			last = i
		}
	}
	if err == nil || last < 3 {
		t.Fatalf("a disk of 12 MiB takes %d values of 200 KiB: %v", last+1, err)
	}
	t.Logf("full after %d values: %v", last+1, err)
	if code := m.exit(); code != exitDisk {
		t.Errorf("it ended with %d, not %d", code, exitDisk)
	}
	if line := lineWith(m.lines(), "qkv: the disk failed", "no space left", "free space on it"); line == "" {
		t.Errorf("it does not say that the disk is full:\n%s", m.lines())
	}
	m.start() // it takes no more writes, but gives back what it has
	if _, _, err := s.Get(t.Context(), []byte("key000")); err != nil {
		t.Errorf("get from a full disk: %v", err)
	}
	m.cleanUp()

	makeRoom(t, small)
	m.start()
	for i := range last + 1 {
		kv, found, err := s.Get(t.Context(), fmt.Appendf(nil, "key%03d", i))
		if err != nil || !found || len(kv.Value) != len(value) {
			t.Fatalf("key%03d, which was acknowledged: %v %v", i, found, err)
		}
	}
	c.qkv("put", "room", "again").exits(t, exitOK)
	if status := c.level(); strings.Contains(status[0].Error, "corrupt") {
		t.Errorf("status: %s", status[0].Error)
	}
}

// onSmallDisk puts a member's data folder on a disk of 12 MiB.
func onSmallDisk(t *testing.T, m *memberProcess) (small string) {
	t.Helper()
	small = filepath.Join(t.TempDir(), "small")
	must(t, os.Mkdir(small, 0o700))
	if err := syscall.Mount("none", small, "tmpfs", 0, "size=12m,mode=700"); err != nil {
		t.Skipf("no small disk can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		m.cleanUp()
		if err := syscall.Unmount(small, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	m.dataDir = filepath.Join(small, "data")
	return small
}

func makeRoom(t *testing.T, small string) {
	t.Helper()
	must(t, syscall.Mount("none", small, "tmpfs", syscall.MS_REMOUNT, "size=128m,mode=700"))
}

// TestProcessDiskFullOfOne: when the disk of one of three members is full, the others go on, and it catches up when there
// is room again.
func TestProcessDiskFullOfOne(t *testing.T) {
	t.Parallel()
	c := newProcesses(t, 3)
	m := c.members[1]
	small := onSmallDisk(t, m)
	for _, one := range c.members {
		one.start()
	}
	c.level()
	for deadline := time.Now().Add(processWait); m.running() && time.Now().Before(deadline); {
		putSome(t, c, 10)
	}
	if code := m.exit(); code != exitDisk {
		t.Errorf("it ended with %d, not %d:\n%s", code, exitDisk, m.tail(10))
	}
	putSome(t, c, 10)
	makeRoom(t, small)
	m.start()
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
