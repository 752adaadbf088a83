package cli

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"qkv/cli/form"
	"qkv/internal/testlong"
)

// TestRunsMember: the command lines that run a member in their own process, and no other ones.
func TestRunsMember(t *testing.T) {
	for line, want := range map[string]bool{
		"qkv serve": true, "qkv --name n1 serve": true, "qkv serve --name n1": true,
		"qkv etcd": true, "qkv etcd --name n1": true, "/usr/bin/etcd": true, "etcd --name serve": true,
		"qkv": false, "qkv demo": false, "qkv put serve x": false, "qkv get -- serve": false, "qkv serve --help": false,
		"qkv serve --nonsense": false, "qkv bench run": false, "qkv member list": false,
	} {
		if got := runsMember(strings.Fields(line)); got != want {
			t.Errorf("%s runs a member: %v", line, got)
		}
	}
}

// TestTimerSlack: every thread of a member has the member's timer slack, the monitor thread too, unless the process was started with
// another slack than the usual one, or has one processor. The process keeps its id, which the test waits by, its name and its
// arguments.
func TestTimerSlack(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	program, err := exec.LookPath("qkv-timerslack")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		processors      string
		inherited, want uintptr
		etcd            bool
	}{
		{"2", form.UsualTimerSlack, form.MemberTimerSlack, false},
		{"2", form.UsualTimerSlack, form.MemberTimerSlack, true},
		{"2", 200_000, 200_000, false},
		{"1", form.UsualTimerSlack, form.UsualTimerSlack, false},
	} {
		p := newProcesses(t, 1)
		m := p.members[0]
		if c.etcd {
			m.line = []string{
				"etcd", "--data-dir", m.dataDir, "--listen-client-urls", "http://" + m.listen, "--advertise-client-urls", "http://" + m.listen,
				"--listen-peer-urls", "http://" + m.listenPeer, "--initial-advertise-peer-urls", "http://" + m.listenPeer,
				"--initial-cluster", "default=http://" + m.listenPeer,
			}
		}
		m.environment = []string{"GOMAXPROCS=" + c.processors}
		m.before = []string{program, strconv.Itoa(int(c.inherited))}
		m.start()
		m.says("") // A member logs its first line after it has executed itself.
		pid := strconv.Itoa(m.cmd.Process.Pid)
		if _, err := os.ReadFile("/proc/" + pid + "/timerslack_ns"); os.IsPermission(err) {
			t.Skip("another process' timer slack is shown to root alone")
		}
		for begun := time.Now(); ; time.Sleep(10 * time.Millisecond) {
			found := slacksOf(t, pid)
			if len(found) == 1 && found[c.want] > 4 {
				break
			}
			if time.Since(begun) > processWait {
				t.Fatalf("%+v: threads by their timer slack are %v\n%s", c, found, m.tail(20))
			}
		}
		if name, err := os.ReadFile("/proc/" + pid + "/comm"); err != nil || string(name) != "qkv\n" {
			t.Errorf("the process is called %q, %v", name, err)
		}
		if line, err := os.ReadFile("/proc/" + pid + "/cmdline"); err != nil || !strings.Contains(string(line), m.dataDir) {
			t.Errorf("the process has the arguments %q, %v", line, err)
		}
		m.kill()
	}
}

// runWithTimerSlack gives itself a timer slack and becomes the program behind it.
func runWithTimerSlack() {
	runtime.LockOSThread()
	ns, err := strconv.Atoi(os.Args[1])
	if err == nil {
		form.SetTimerSlack(uintptr(ns))
		err = syscall.Exec(os.Args[2], os.Args[2:], os.Environ())
	}
	panic(err)
}

// slacksOf counts a process' threads by their timer slack.
func slacksOf(t *testing.T, pid string) map[uintptr]int {
	t.Helper()
	threads, err := os.ReadDir("/proc/" + pid + "/task")
	if err != nil {
		t.Fatal(err)
	}
	found := map[uintptr]int{}
	for _, thread := range threads {
		var ns uintptr
		text, err := os.ReadFile("/proc/" + thread.Name() + "/timerslack_ns")
		if err != nil { // it has ended
			continue
		}
		if _, err := fmt.Sscan(string(text), &ns); err != nil {
			t.Fatal(err)
		}
		found[ns]++
	}
	return found
}
