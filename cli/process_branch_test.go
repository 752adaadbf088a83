package cli

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"qkv/cli/form"
	"qkv/cli/run"
	"qkv/internal/testlong"
)

// A branch serves the moment that was asked for, and takes writes. The backup stays as it is, and at the end the folder is gone.
func TestProcessBranch(t *testing.T) {
	testlong.Skip(t)
	dir, work := backupFolder(t), t.TempDir()
	c := startProcesses(t, 1, "--backup", dir)
	s := c.open(0, processWait)
	one, err := s.Put(context.Background(), []byte("greeting"), []byte("one"))
	must(t, err)
	reaches(t, dir, one.Revision, processWait)
	two, err := s.Put(context.Background(), []byte("greeting"), []byte("two"))
	must(t, err)
	must(t, s.Admin().Compact(context.Background(), two.Revision))
	three, err := s.Put(context.Background(), []byte("other"), []byte("three"))
	must(t, err)
	reaches(t, dir, three.Revision, processWait)
	c.qkv("backup", "now").exits(t, form.ExitOK)
	before := contents(t, dir)
	port, err := freePorts(2)
	must(t, err)
	branch := exec.Command("qkv", "branch", dir, "--revision", fmt.Sprint(one.Revision), "--port", fmt.Sprint(port))
	branch.Dir, branch.Env = work, append(run.WithoutSettings(os.Environ()), c.environment()...)
	var complaint bytes.Buffer
	branch.Stderr = &complaint
	out, err := branch.StdoutPipe()
	must(t, err)
	must(t, spawn(branch))
	defer time.AfterFunc(2*processWait, func() { _ = branch.Process.Kill() }).Stop()
	said := ""
	for lines := bufio.NewScanner(out); !strings.Contains(said, "it is served") && lines.Scan(); {
		said += lines.Text() + "\n"
	}
	if !strings.Contains(said, "it is served") {
		_ = branch.Wait()
		t.Fatalf("it says %q, and %s", said, &complaint)
	}
	at := run.Loopback(port)
	if got := c.qkv("get", "--endpoints", at, "greeting").exits(t, 0); got.stdout != "one\n" {
		t.Errorf("the branch has %q; it said %q", got.stdout, said)
	}
	if plain, err := net.Dial("tcp", at); err == nil {
		_ = plain.Close()
		t.Error("the branch has a TCP port, which every user of the host reaches")
	}
	c.qkv("put", "--endpoints", at, "greeting", "three").exits(t, 0)
	if got := c.qkv("get", "greeting").exits(t, 0); got.stdout != "two\n" {
		t.Errorf("the cluster has %q", got.stdout)
	}
	must(t, branch.Process.Signal(syscall.SIGINT))
	if _ = branch.Wait(); branch.ProcessState.ExitCode() != 130 {
		t.Errorf("after Ctrl-C it exits with %d", branch.ProcessState.ExitCode())
	}
	if left, err := os.ReadDir(filepath.Join(work, "qkv-data")); err != nil || len(left) > 0 {
		t.Errorf("it left %v, %v", left, err)
	}
	line := []string{"branch", dir, "--revision", fmt.Sprint(one.Revision), "--port", fmt.Sprint(port), "--data-dir", filepath.Join(work, "kept"), "--"}
	if got := c.qkv(append(line, "qkv", "get", "greeting")...).exits(t, 0, "1 key"); got.stdout != "one\n" {
		t.Errorf("beside a branch a command has %q", got.stdout)
	}
	older := []string{"--", "qkv", "get", "greeting", "--rev", fmt.Sprint(one.Revision)}
	c.qkv(append([]string{"branch", dir, "--data-dir", filepath.Join(work, "short"), "--port", fmt.Sprint(port)}, older...)...).exits(t, form.ExitFailed, "compacted")
	long := c.qkv(append([]string{"branch", dir, "--data-dir", filepath.Join(work, "long"), "--port", fmt.Sprint(port), "--since", "1d"}, older...)...)
	if long.exits(t, 0, "its history begins with revision 1"); long.stdout != "one\n" {
		t.Errorf("since yesterday, the older value is %q", long.stdout)
	}
	c.qkv("branch", dir, "--since", "7").exits(t, form.ExitUsage, "a time is needed")
	if _, err := os.Stat(filepath.Join(work, "long", "identity")); err != nil {
		t.Errorf("--data-dir is not the data folder: %v", err)
	}
	c.qkv("branch", dir, "--data-dir", filepath.Join(dir, "a", "b")).exits(t, form.ExitUsage, "lies in the backup")
	taken, err := net.Listen("tcp", run.Loopback(port))
	must(t, err)
	c.qkv("branch", dir, "--port", fmt.Sprint(port)).exits(t, form.ExitFailed, "chooses other ports")
	must(t, taken.Close())
	c.qkv("branch", dir, "--data-dir", filepath.Join(work, "kept"), "--", "true").exits(t, form.ExitUsage, "not empty")
	c.qkv("branch", dir, "--data-dir", filepath.Join(work, "other"), "--port", fmt.Sprint(port), "--", "qkv", "get", "no such key").exits(t, form.ExitNotFound)
	certs := filepath.Join(work, "certs")
	for _, line := range []string{"ca --cluster branch", "member n1 127.0.0.1", "client root"} {
		c.qkv(append([]string{"cert"}, strings.Fields(line+" --certs-dir "+certs)...)...).exits(t, 0)
	}
	secure := c.qkv("branch", dir, "--data-dir", filepath.Join(work, "secure"), "--port", fmt.Sprint(port), "--certs-dir", certs, "--", "qkv", "get", "other")
	if secure.exits(t, 0); secure.stdout != "three\n" {
		t.Errorf("with certificates, the branch has %q", secure.stdout)
	}
	if after := contents(t, dir); !maps.Equal(after, before) {
		t.Error("the backup has changed")
	}
}
