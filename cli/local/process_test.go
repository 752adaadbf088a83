//go:build linux

package local

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestProcess starts a program, ends it in each way, and starts it again.
func TestProcess(t *testing.T) {
	p := &Process{Name: "sleep", Command: func() *exec.Cmd { return exec.Command("sleep", "600") }}
	p.Signal(syscall.SIGTERM)
	p.Await(0)
	if p.PID() != 0 {
		t.Fatal("it was not started, and has a pid")
	}
	first := 0
	for _, end := range []struct {
		how  func()
		want string
	}{
		{func() { _ = p.Kill() }, "signal: killed"},
		{func() { p.Signal(syscall.SIGTERM); p.Await(time.Minute) }, "signal: terminated"},
		{func() { p.Await(0) }, "signal: killed"},
	} {
		if err := p.Start(); err != nil || p.Ended() != nil {
			t.Fatal(err, p.Ended())
		}
		if first == p.PID() {
			t.Errorf("the second start has the pid of the first: %d", first)
		}
		first = p.PID()
		end.how()
		if err := p.Ended(); err == nil || err.Error() != "sleep ended: "+end.want || p.Wait().Error() != end.want {
			t.Errorf("%v, want %s", err, end.want)
		}
	}
}

// TestStart: a program that cannot be started is named, and its end is not awaited.
func TestStart(t *testing.T) {
	p := &Process{Name: "n1", Command: func() *exec.Cmd { return exec.Command("/nowhere/qkv") }}
	if err := p.Start(); err == nil || !strings.HasPrefix(err.Error(), "start n1: ") || p.PID() != 0 {
		t.Errorf("%v, pid %d", err, p.PID())
	}
}

// TestPrefer: all threads get the value, but not a process that is started then.
func TestPrefer(t *testing.T) {
	niceOf := func(file string) (value string) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, fields, _ := strings.Cut(string(text), ") ")
		return strings.Fields(fields)[16]
	}
	before, err := strconv.Atoi(niceOf("/proc/self/stat"))
	if err != nil || before > 18 {
		t.Skipf("nice %d, %v: it cannot grow", before, err)
	}
	if err := Prefer(before + 1); err != nil {
		t.Fatal(err)
	}
	threads, err := filepath.Glob("/proc/self/task/*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range threads {
		want := before + 1
		if strings.HasSuffix(filepath.Dir(file), "/"+strconv.Itoa(spawnerThread)) {
			want = before
		}
		if n := niceOf(file); n != strconv.Itoa(want) {
			t.Errorf("%s: nice %s, want %d", file, n, want)
		}
	}
	p := &Process{Name: "sleep", Command: func() *exec.Cmd { return exec.Command("sleep", "600") }}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	if n := niceOf(fmt.Sprintf("/proc/%d/stat", p.PID())); n != strconv.Itoa(before) {
		t.Errorf("a process that is started has nice %s, want %d", n, before)
	}
	_ = p.Kill()
}

// TestStdin: a process has the variable and the input by which it notices the end of this one.
func TestStdin(t *testing.T) {
	p := &Process{Name: "sh", Command: func() *exec.Cmd {
		return exec.Command("sh", "-c", `test "$`+withParentVariable+`" = 1 && test -p /dev/stdin`)
	}}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(); err.Error() != "exit status 0" {
		t.Error(err)
	}
}
