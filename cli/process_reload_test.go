package cli

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"qkv/cli/cluster"
	"qkv/cli/form"
	"qkv/internal/testlong"
)

// TestProcessReload: SIGHUP makes a member with a file read its settings again, and a faulty file changes nothing. Writes go on.
func TestProcessReload(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	c := newProcesses(t, 1)
	m := c.members[0]
	file := filepath.Join(t.TempDir(), "qkv.yaml")
	write := func(text string) {
		t.Helper()
		must(t, os.WriteFile(file, []byte(text), 0o600))
	}
	write("quota-bytes: 1GiB\n")
	m.arguments = append(m.arguments, "--config", file)
	m.start()
	c.level()
	quota := func(want string) {
		t.Helper()
		for deadline := time.Now().Add(processWait); ; time.Sleep(50 * time.Millisecond) {
			got := c.qkv("status", "-w", "json").stdout // the exit code is 5 while the quota is reached
			if strings.Contains(got, `"quota_bytes":`+want+`,`) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("the quota is not %s: %s\n%s", want, got, m.tail(20))
			}
		}
	}
	quota("1073741824")
	value := filepath.Join(t.TempDir(), "value")
	must(t, os.WriteFile(value, make([]byte, 1<<20), 0o600))
	c.qkv("put", "key", "@"+value).exits(t, form.ExitOK)

	write("quota-bytes: 1MiB\nlog-level: debug\nname: other\n")
	m.signal(syscall.SIGHUP)
	m.says("the configuration file was read again", `changed="quota-bytes, log-level"`)
	quota("1048576")
	c.await("NOSPACE is raised", func(members []cluster.MemberStatus) bool {
		return len(members) == 1 && raises(members[0], "NOSPACE")
	})
	c.qkv("put", "key", "more").exits(t, form.ExitFailed, "NOSPACE")

	write("quota-bytes: 1GiB\nlog-levle: info\n")
	m.signal(syscall.SIGHUP)
	m.says("ERROR", "the settings stay as they are", "did you mean log-level?")
	c.qkv("put", "key", "more").exits(t, form.ExitFailed, "NOSPACE")

	write("quota-bytes: 1GiB\nlisten: 127.0.0.1:1\nenable-pprof: true\n")
	m.signal(syscall.SIGHUP)
	m.says("they need a restart of this member", "settings=enable-pprof")
	c.await("NOSPACE ends", func(members []cluster.MemberStatus) bool {
		return len(members) == 1 && !raises(members[0], "NOSPACE")
	})
	c.qkv("put", "key", "more").exits(t, form.ExitOK)
	m.stop()
}

// TestProcessHangup: without a file, a member ends when its terminal does.
func TestProcessHangup(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	c := startProcesses(t, 1)
	c.members[0].signal(syscall.SIGHUP)
	if code := c.members[0].exit(); code != form.ExitOK {
		t.Errorf("%d\n%s", code, c.members[0].tail(20))
	}
}
