package cli

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"qkv/cli/form"
	"qkv/internal/testlong"
)

// TestProcessKilledWhileStarting: members that are killed at any moment of their first starts leave folders, and a local
// CA, that the next start goes on from.
func TestProcessKilledWhileStarting(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	c := newProcesses(t, 3)
	for range 20 {
		for _, m := range c.members {
			m.start()
		}
		time.Sleep(time.Duration(rand.IntN(80)) * time.Millisecond)
		for _, m := range c.members {
			_ = m.cmd.Process.Kill()
			<-m.ended
			if status, ok := m.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() {
				t.Fatalf("%s ended by itself: %v\n%s", m.name, m.cmd.ProcessState, m.tail(10))
			}
		}
	}
	for _, m := range c.members {
		m.start()
	}
	c.level()
	c.qkv("put", "greeting", "hello").exits(t, form.ExitOK)
	for _, m := range c.members {
		m.kill()
		m.start()
	}
	c.level()
	if got := c.qkv("get", "greeting").exits(t, form.ExitOK); got.stdout != "hello\n" {
		t.Errorf("the greeting is %q", got.stdout)
	}
	c.wellAfter()
}

// TestProcessLogReaderGoes: a member does not die of a reader of its log that went away.
func TestProcessLogReaderGoes(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	c := newProcesses(t, 1)
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	m := c.members[0]
	m.out = writer
	m.start()
	_ = writer.Close()
	c.qkv("put", "greeting", "hello").exits(t, form.ExitOK)
	_ = reader.Close()
	m.stop() // it says that it stops
}

// TestProcessFarBehind: a member that comes back when the others' logs do not reach back to where it was is sent a
// snapshot. It may be killed while it receives it, and has everything in the end.
func TestProcessFarBehind(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	c := startProcesses(t, 3, "--segment-bytes", "8388608")
	putMany(t, c, 8, 1000)
	behind := c.others(c.leader())[0]
	behind.kill()
	released := func(m *memberProcess) bool { // the first segments are gone
		names := filesIn(t, filepath.Join(m.dataDir, "wal", "*.wal"))
		return !strings.Contains(names[0], "0000000000000001") && !strings.Contains(names[0], "0000000000000002")
	}
	for deadline := time.Now().Add(processWait * slowdown); !released(c.others(behind)[0]) || !released(c.others(behind)[1]); {
		putMany(t, c, 16, 1<<20)
		if time.Now().After(deadline) {
			t.Fatalf("no log was released after %v", processWait)
		}
	}
	for range 3 {
		behind.start()
		time.Sleep(time.Duration(50+rand.IntN(150)) * time.Millisecond)
		behind.kill()
	}
	begun := time.Now()
	behind.start()
	c.level()
	t.Logf("figures: level %v after the last start", time.Since(begun).Round(time.Millisecond))
	if line := lineWith(behind.lines(), "snapshot installed"); line == "" {
		t.Errorf("it was not sent a snapshot:\n%s", behind.tail(20))
	}
	behind.kill()
	behind.start()
	c.level()
	got := c.qkv("get", "many/", "--prefix", "--keys-only", "--serializable", "--endpoints", behind.listen).exits(t, form.ExitOK)
	if n := strings.Count(got.stdout, "many/"); n != 8 {
		t.Errorf("it has %d of 8 keys", n)
	}
	c.wellAfter()
}
