package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"golang.org/x/sys/unix"

	"qkv/cli/form"
	"qkv/index/kv"
	"qkv/internal/checks"
	"qkv/internal/figures"
)

// exampleTop is a cluster of which one member is down, with names that would command a terminal.
func exampleTop() *topData {
	d := &topData{at: time.Date(2026, 11, 25, 10, 41, 2, 0, time.UTC), hidden: []string{"clients of n1: permission denied: ci is no administrator: this needs the role root"}}
	for i, name := range []string{"n1", "n2"} {
		d.members = append(d.members, memberStatus{Member: checks.Member{
			Answers: true, Name: name, State: []string{"leader", "follower"}[i], Leader: "n1", Version: "0.2.0",
			Values: figures.Values{
				int64(figures.Applied), int64(1_000_000 - 1234*i), int64(figures.SyncP99), int64(time.Duration(1250+20_000*i) * time.Microsecond), int64(figures.Keys), 1_000_000,
				int64(figures.Memory), 512 << 20, int64(figures.DiskFree), 70 << 30, int64(figures.Watches), int64(300 * i),
				int64(figures.PutRate), int64(1200 * (i + 1)), int64(figures.PutP99), int64(3400 * time.Microsecond), int64(figures.GetRate), 25_000, int64(figures.GetP99), int64(400 * time.Microsecond),
			},
			Role: kv.Voter, Links: []checks.Link{{Member: "n3", Error: "no answer"}},
		}})
	}
	d.members[1].Alarms = []checks.Raised{{Name: "SLOWDISK", Member: "n2", Text: "99 % of the syncs take up to 21 ms\x1b[2J"}}
	d.members = append(d.members, memberStatus{Member: checks.Member{Name: "n3", State: checks.StateUnknown, Error: "no answer within 2s\x1b]0;title\a", Version: "0.2.0", Role: kv.Voter}})
	d.prefixes = &kv.UsageResult{Period: time.Minute, Rows: []kv.UsageRow{
		{Prefix: []byte("/registry/pods/"), Keys: 5000, Bytes: 12 << 20, Changes: 6000},
		{Prefix: []byte("/registry/leases/"), Keys: 400, Bytes: 100 << 10, Changes: 24_000},
		{Prefix: []byte("\x1b[31mred/"), Keys: 1, Bytes: 10, Changes: 1},
	}}
	for i := range 30 {
		d.prefixes.Rows = append(d.prefixes.Rows, kv.UsageRow{Prefix: fmt.Appendf(nil, "/quiet/%02d/", i), Keys: 10, Bytes: 1000})
		d.clients = append(d.clients, topClient{"n1", kv.ClientLoad{Name: fmt.Sprintf("client app-%02d", i), API: "qkv", Connections: 2, Requests: int64(30 - i), Watches: 5}})
	}
	d.clients[0].Name, d.clients[0].Bytes = "client slow\x1b[2J", 3<<20
	d.verdict = checks.Judge(factsOf(d.members))
	return d
}

// TestTopScreens compares the screens of two terminals with the golden ones: no line is wider and no screen higher than its terminal, and no
// name commands it.
func TestTopScreens(t *testing.T) {
	for _, c := range []struct{ width, height int }{{80, 24}, {200, 60}} {
		m := &topModel{topScreen: topScreen{delay: 2 * time.Second}, data: exampleTop()}
		m.Update(tea.WindowSizeMsg{Width: c.width, Height: c.height})
		got := m.View().Content + "\n"
		lines := strings.Split(strings.TrimSuffix(got, "\n"), "\n")
		if len(lines) != c.height {
			t.Errorf("%d x %d: %d lines", c.width, c.height, len(lines))
		}
		for _, line := range lines {
			if form.ColumnsOf(line) > c.width {
				t.Errorf("%d x %d: a line of %d columns: %s", c.width, c.height, form.ColumnsOf(line), line)
			}
		}
		if strings.ContainsAny(got, "\x1b\a") {
			t.Errorf("%d x %d: a name commands the terminal", c.width, c.height)
		}
		name := filepath.Join("testdata", "golden", fmt.Sprintf("top-%dx%d", c.width, c.height))
		if *rewrite {
			must(t, os.WriteFile(name, []byte(got), 0o644))
		}
		want, err := os.ReadFile(name)
		must(t, err)
		if got != string(want) {
			t.Errorf("%d x %d:\n%s\nwant\n%s", c.width, c.height, got, want)
		}
	}
}

// TestTopKeys sorts, filters, pauses and quits by keys, and survives a member that does not answer any more.
func TestTopKeys(t *testing.T) {
	m := &topModel{topScreen: topScreen{delay: time.Second}, data: exampleTop(), width: 120, height: 30}
	shows := func(text string, want bool) {
		t.Helper()
		if got := strings.Contains(m.View().Content, text); got != want {
			t.Errorf("%q is shown: %v\n%s", text, got, m.View().Content)
		}
	}
	press := func(text string) tea.Cmd {
		_, cmd := m.Update(tea.KeyPressMsg{Code: []rune(text)[0], Text: text})
		return cmd
	}
	for range 5 {
		press("s")
	}
	shows("sorted by puts", true)
	if at, first := strings.Index(m.View().Content, "\nn2 "), strings.Index(m.View().Content, "\nn1 "); at > first {
		t.Errorf("n2 has more puts, and comes later:\n%s", m.View().Content)
	}
	press("/")
	for _, r := range "lease" {
		press(string(r))
	}
	shows("with lease_", true)
	shows("/registry/leases/", true)
	shows("/registry/pods/", false)
	m.Update(tea.KeyPressMsg{Code: tea.KeyEscape})
	shows("/registry/pods/", true)
	press("p")
	changed := exampleTop()
	changed.members[0].Name = "renamed"
	m.Update(changed)
	shows("renamed", false)
	press("p")
	m.Update(changed)
	shows("renamed", true)
	if _, cmd := m.Update(fmt.Errorf("no member answers")); cmd == nil {
		t.Error("top does not ask again")
	}
	shows("no answer: no member answers", true)
	m.Update(tea.WindowSizeMsg{Width: 60, Height: 12})
	if lines := strings.Count(m.View().Content, "\n") + 1; lines != 12 {
		t.Errorf("after a resize: %d lines", lines)
	}
	if cmd := press("q"); cmd == nil {
		t.Error("q does not quit")
	} else if _, quits := cmd().(tea.QuitMsg); !quits {
		t.Error("q does not quit")
	}
}

// TestTopBatch prints states for scripts, as text and as JSON.
func TestTopBatch(t *testing.T) {
	b := newRig(t, nil)
	b.expect(t, 0, "OK\n", "", "put", "/a/b/c", "1")
	code, out, _ := b.qkv(t, "", "top", "-b", "-n", "1")
	if code != 0 || !strings.HasPrefix(out, "HEALTHY") || !strings.Contains(out, "/a/b/") {
		t.Errorf("%d %s", code, out)
	}
	code, out, _ = b.qkv(t, "", "top", "-n", "2", "-d", "1s", "-w", "json")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var d struct {
		Members  []map[string]any
		Prefixes []struct{ Prefix string }
	}
	if code != 0 || len(lines) != 2 || json.Unmarshal([]byte(lines[1]), &d) != nil || len(d.Members) != 1 || len(d.Prefixes) != 1 || d.Prefixes[0].Prefix != "/a/b/" {
		t.Errorf("%d %s", code, out)
	}
	b.expect(t, exitUsage, "", "at least 1s", "top", "-d", "1ms")
}

// pseudoTerminal is a terminal and what was written to it.
type pseudoTerminal struct {
	t              *testing.T
	master, device *os.File

	mu   sync.Mutex
	seen strings.Builder
}

// newPseudoTerminal makes a terminal of 80 x 24.
func newPseudoTerminal(t *testing.T) *pseudoTerminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminal can be made here: %v", err)
	}
	must(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	must(t, err)
	device, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	p := &pseudoTerminal{t: t, master: master, device: device}
	p.resize(80, 24)
	t.Cleanup(func() {
		_ = device.Close()
		_ = master.Close()
	})
	go func() { // ends when the terminal is closed
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			p.mu.Lock()
			p.seen.Write(buf[:n])
			p.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return p
}

func (p *pseudoTerminal) resize(wide, high uint16) {
	p.t.Helper()
	must(p.t, unix.IoctlSetWinsize(int(p.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: high, Col: wide}))
}

func (p *pseudoTerminal) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen.String()
}

// shows waits until a text was written to the terminal.
func (p *pseudoTerminal) shows(text string) {
	p.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(p.text(), text); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatalf("never %q on the terminal: %q", text, p.text())
		}
	}
}

// TestTopOnATerminal runs top in a pseudo-terminal of 80 x 24, makes the terminal larger, and quits by a key.
func TestTopOnATerminal(t *testing.T) {
	b := newRig(t, nil)
	p := newPseudoTerminal(t)
	ended := make(chan int)
	go func() {
		ended <- run(context.Background(), append([]string{"qkv", "top", "-d", "1s"}, b.flags...), p.device, p.device, p.device)
	}()
	p.shows("HEALTHY")
	p.shows("q quit")
	p.resize(200, 60)
	must(t, unix.Kill(os.Getpid(), unix.SIGWINCH)) // the terminal is not the one that controls this process
	p.shows("VERSION")
	_, err := p.master.WriteString("q")
	must(t, err)
	select {
	case code := <-ended:
		if code != 0 {
			t.Errorf("exit code %d", code)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("q does not end top")
	}
}

// repainted resizes the terminal, which paints all of the screen again, until the screen has some texts, and lacks others. It returns the
// screen.
func (p *pseudoTerminal) repainted(wide, high uint16, has, lacks []string) string {
	p.t.Helper()
	for deadline := time.Now().Add(processWait); ; {
		p.resize(wide+1, high)
		time.Sleep(300 * time.Millisecond)
		before := len(p.text())
		p.resize(wide, high)
		time.Sleep(700 * time.Millisecond)
		screen := p.text()[before:]
		fits := !slices.ContainsFunc(has, func(s string) bool { return !strings.Contains(screen, s) }) && !slices.ContainsFunc(lacks, func(s string) bool { return strings.Contains(screen, s) })
		if fits {
			return screen
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("%d x %d: the screen never has %q and lacks %q: %q", wide, high, has, lacks, screen)
		}
	}
}

// TestProcessTop watches three members on a terminal: one of them dies and comes back, then all of them do. The terminal is resized
// meanwhile.
func TestProcessTop(t *testing.T) {
	alongside(t)
	c := startProcesses(t, 3)
	p := newPseudoTerminal(t)
	program, err := exec.LookPath("qkv")
	must(t, err)
	top := exec.Command(program, "top", "-d", "1s", "--timeout", "3s")
	top.Env = append(withoutSettings(os.Environ()), append(c.environment(), "TERM=xterm")...)
	top.Stdin, top.Stdout, top.Stderr = p.device, p.device, p.device
	top.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	must(t, top.Start())
	ended := make(chan error, 1)
	go func() { ended <- top.Wait() }()
	defer func() { _ = top.Process.Kill() }()
	p.repainted(80, 24, []string{"HEALTHY", "MEMBER", "CLIENT", "q quit"}, nil)
	wide := p.repainted(200, 60, []string{"HEALTHY", "VERSION", "q quit"}, nil)
	leader := c.leader()
	for _, m := range c.members {
		if !strings.Contains(wide, m.name) {
			t.Errorf("%s is not on the screen: %q", m.name, wide)
		}
	}
	leader.kill()
	p.repainted(80, 24, []string{"DEGRADED", leader.name + " does not answer", "q quit"}, []string{"HEALTHY"})
	leader.start()
	p.repainted(200, 60, []string{"HEALTHY", "VERSION"}, []string{"DEGRADED", "does not answer"})
	for _, m := range c.members {
		m.kill()
	}
	p.repainted(80, 24, []string{"NO QUORUM: no member answers, of 3 addresses asked", "q quit"}, []string{"HEALTHY"})
	for _, m := range c.members {
		m.start()
	}
	p.repainted(80, 24, []string{"HEALTHY", "q quit"}, []string{"NO QUORUM", "does not answer"})
	_, err = p.master.WriteString("q")
	must(t, err)
	select {
	case err := <-ended:
		must(t, err)
	case <-time.After(processWait):
		t.Fatal("q does not end top")
	}
}
