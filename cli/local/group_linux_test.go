package local

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"qkv/internal/testlong"
)

const (
	// holderCommand is the variable that makes this test program hold a group as `qkv lock` does, for a command of sh.
	holderCommand = "QKV_TEST_HOLDS"
	// holderExpires makes the time after which a stopped command does not go on the past.
	holderExpires = "QKV_TEST_EXPIRES"
	// groupMost bounds each wait of these tests.
	groupMost = 20 * time.Second
)

func TestMain(m *testing.M) {
	Guard()
	if command := os.Getenv(holderCommand); command != "" {
		os.Exit(holdGroup(command))
	}
	os.Exit(m.Run())
}

// holdGroup runs a command in a group, passes SIGINT on to it, and returns its exit code.
func holdGroup(command string) int {
	cmd := exec.Command("sh", "-c", command)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	end, err := StartGroup(cmd, func() (until time.Time) {
		if os.Getenv(holderExpires) != "" {
			return until
		}
		return time.Now().Add(time.Hour)
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	came := make(chan os.Signal, 1)
	signal.Notify(came, syscall.SIGINT)
	go func() {
		for range came {
			SignalChild(cmd, syscall.SIGINT)
		}
	}()
	_ = cmd.Wait()
	end()
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() {
		return 128 + int(status.Signal())
	}
	return cmd.ProcessState.ExitCode()
}

// holder is a process that holds a group.
func holder(t *testing.T, command string) *exec.Cmd {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), holderCommand+"="+command)
	return cmd
}

// runs says whether a process exists that is no zombie.
func runs(pid string) bool {
	text, err := os.ReadFile("/proc/" + pid + "/stat")
	_, state, _ := strings.Cut(string(text), ") ")
	return err == nil && !strings.HasPrefix(state, "Z")
}

// gone waits until processes have ended.
func gone(t *testing.T, pids ...string) {
	t.Helper()
	for _, pid := range pids {
		for deadline := time.Now().Add(groupMost); runs(pid); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				line, _ := os.ReadFile("/proc/" + pid + "/cmdline")
				t.Fatalf("process %s still runs: %q", pid, line)
			}
		}
	}
}

// TestGroupDiesWithProcess: however a process dies, its command dies, and so do the processes that the command has started, although they
// ignore every signal that can be ignored. The command's first act may be that end.
func TestGroupDiesWithProcess(t *testing.T) {
	testlong.Skip(t)
	for _, s := range []syscall.Signal{0, syscall.SIGKILL, syscall.SIGQUIT, syscall.SIGABRT, syscall.SIGTERM} {
		t.Run(unix.SignalName(s), func(t *testing.T) {
			kill := ""
			if s == 0 {
				kill = "kill -KILL $PPID; "
			}
			cmd := holder(t, `trap "" INT TERM QUIT HUP; sleep 300 & echo $! $$; `+kill+`sleep 301`)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := StartChild(cmd, true); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { SignalChild(cmd, syscall.SIGKILL) })
			line, err := bufio.NewReader(out).ReadString('\n')
			pids := strings.Fields(line)
			if err != nil || len(pids) != 2 || s != 0 && (!runs(pids[0]) || !runs(pids[1])) {
				t.Fatalf("%q %v", line, err)
			}
			t.Cleanup(func() { _ = exec.Command("kill", append([]string{"-KILL"}, pids...)...).Run() })
			if s != 0 {
				_ = cmd.Process.Signal(s)
			}
			_ = out.Close()
			if err := cmd.Wait(); err == nil {
				t.Error("it ended with exit code 0")
			}
			gone(t, pids...)
		})
	}
}

// TestGroupEndsWithCommand: what a command leaves behind has a short time for its last output, and dies then.
func TestGroupEndsWithCommand(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	cmd := holder(t, `(sleep 0.2; echo late) & (trap "" INT TERM; exec sleep 300 >/dev/null 2>&1) & echo $! >`+file+`; exit 3`)
	begun := time.Now()
	out, err := cmd.Output()
	if ended, ok := errors.AsType[*exec.ExitError](err); !ok || ended.ExitCode() != 3 || string(out) != "late\n" {
		t.Errorf("%v %q", err, out)
	}
	pid, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	gone(t, strings.TrimSpace(string(pid)))
	if took := time.Since(begun); took > groupMost {
		t.Errorf("it took %v", took)
	}
	begun = time.Now()
	if err := holder(t, "true").Run(); err != nil || time.Since(begun) > groupMost {
		t.Errorf("%v after %v", err, time.Since(begun))
	}
}

// screen is a terminal, and what was seen on it.
type screen struct {
	t      *testing.T
	master *os.File
	lines  chan string
	seen   []string
}

// onScreen runs a process as the leader of a session with a terminal.
func onScreen(t *testing.T, cmd *exec.Cmd) *screen {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminal can be made here: %v", err)
	}
	s := &screen{t: t, master: master, lines: make(chan string, 1000)}
	fd := int(master.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	err = errors.Join(err, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	terminal, opening := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err = errors.Join(err, opening); err != nil {
		t.Fatal(err)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = terminal.Close()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = master.Close() // the kernel sends SIGHUP to the rest
	})
	go func() {
		for all := bufio.NewScanner(master); all.Scan(); {
			s.lines <- strings.TrimRight(all.Text(), "\r")
		}
		close(s.lines)
	}()
	return s
}

func (s *screen) write(text string) {
	s.t.Helper()
	if _, err := s.master.WriteString(text); err != nil {
		s.t.Fatal(err)
	}
}

// see waits for a line that ends with a text: a prompt may stand before it.
func (s *screen) see(end string) {
	s.t.Helper()
	for most := time.After(groupMost); ; {
		select {
		case line, ok := <-s.lines:
			if s.seen = append(s.seen, line); ok && strings.HasSuffix(line, end) {
				return
			} else if ok {
				continue
			}
		case <-most:
		}
		s.t.Fatalf("no line ends with %q:\n%s", end, strings.Join(s.seen, "\n"))
	}
}

const (
	interrupt = "\x03"
	suspend   = "\x1a"
	untilTold = `trap "echo told; exit 5" INT; sleep 300 & echo begun; wait` // a loop of vforks could be stopped within one
)

// TestTerminalOfAShell runs a holder from a shell with job control: a command that reads gets the terminal, Ctrl-Z gives it back to the
// shell, fg lets the command go on, and Ctrl-C reaches it. A stopped command whose lock has expired does not go on.
func TestTerminalOfAShell(t *testing.T) {
	testlong.Skip(t)
	for name, c := range map[string]struct {
		command string
		typed   string
		expired bool
	}{
		"reads":       {`read x; echo got $x; ` + untilTold, "hello\n", false},
		"reads never": {untilTold, "", false},
		"expired":     {untilTold, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			shell := exec.Command("sh", "-i")
			held := holder(t, c.command)
			shell.Env = append(held.Env, "PS1=")
			if c.expired {
				shell.Env = append(shell.Env, holderExpires+"=1")
			}
			s := onScreen(t, shell)
			s.write("stty -echo\n" + held.Path + "\n")
			if c.typed != "" {
				s.write(c.typed)
				s.see("got " + strings.TrimSpace(c.typed))
			}
			s.see("begun")
			s.write(suspend)
			s.see(held.Path) // the shell names the stopped job
			s.write("echo shell $((1+1))\n")
			s.see("shell 2")
			s.write("fg\n")
			s.see(held.Path)
			want := "code 137"
			if !c.expired {
				time.Sleep(2 * stopTakes) // until the command goes on
				s.write(interrupt)
				s.see("told")
				want = "code 5"
			}
			s.write("echo code $?\n")
			s.see(want)
		})
	}
}

// TestTerminalWithoutAShell: where no shell could continue a process, Ctrl-Z stops neither it nor its command.
func TestTerminalWithoutAShell(t *testing.T) {
	testlong.Skip(t)
	for _, command := range []string{untilTold, `read x; echo got $x; ` + untilTold} {
		cmd := holder(t, command)
		s := onScreen(t, cmd)
		if strings.HasPrefix(command, "read") {
			s.write("hello\n")
			s.see("got hello")
		}
		s.see("begun")
		s.write(suspend)
		time.Sleep(3 * stopTakes)
		s.write(interrupt)
		s.see("told")
		if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 5 {
			t.Error(err)
		}
	}
}
