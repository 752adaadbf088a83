package cli

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"qkv/cli/cluster"
	"qkv/cli/form"
	"qkv/cli/local"
	"qkv/cli/run"
	"qkv/internal/figures"
	"qkv/net/client"
)

// patience of these tests with a member or a cluster: far more than either needs, for hosts that are busy.
const processWait = 2 * time.Minute

// memberProcess is one member as a process: this test program once more, called qkv.
type memberProcess struct {
	t                        testing.TB
	name, listen, listenPeer string
	dataDir, home, log       string
	arguments                []string // of `qkv serve`, behind those that every member gets
	line                     []string // of qkv, in place of `serve` with all of these
	before                   []string // a command that runs it, as strace; it must become the member's process
	program                  string   // in place of this test program
	environment              []string
	out                      *os.File // where it logs, in place of log
	cmd                      *exec.Cmd
	ended                    chan struct{}
	err                      error // of Wait; to be read after ended
}

// spawn starts a process that dies with this one.
func spawn(cmd *exec.Cmd) error {
	return local.StartChild(cmd, cmd.SysProcAttr == nil || cmd.SysProcAttr.Setpgid)
}

// start starts the member, and does not wait until it serves.
func (m *memberProcess) start() {
	m.t.Helper()
	out, err := os.OpenFile(m.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		m.t.Fatal(err)
	}
	defer out.Close()
	program, err := exec.LookPath(cmp.Or(m.program, "qkv"))
	if err != nil {
		m.t.Fatal(err)
	}
	line := slices.Concat(m.before, []string{
		program, "serve", "--name", m.name, "--data-dir", m.dataDir, "--listen", m.listen, "--listen-peer", m.listenPeer,
		"--home", m.home, "--log-format", "text",
	}, m.arguments)
	if m.line != nil {
		line = append(slices.Concat(m.before, []string{program}), m.line...)
	}
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env = append(run.WithoutSettings(os.Environ()), m.environment...)
	if m.out != nil {
		out = m.out
	}
	cmd.Stdout, cmd.Stderr = out, out
	if err := spawn(cmd); err != nil {
		m.t.Fatalf("start %s: %v", m.name, err)
	}
	ended := make(chan struct{})
	m.cmd, m.ended = cmd, ended
	go func() {
		m.err = cmd.Wait()
		close(ended)
	}()
}

// signal sends a signal to the member's process, by its own id.
func (m *memberProcess) signal(s syscall.Signal) {
	m.t.Helper()
	if err := m.cmd.Process.Signal(s); err != nil {
		m.t.Fatalf("signal %v to %s: %v; its last lines:\n%s", s, m.name, err, m.tail(20))
	}
}

// kill is kill -9, and returns when the process is gone.
func (m *memberProcess) kill() {
	m.t.Helper()
	m.signal(syscall.SIGKILL)
	<-m.ended
}

// exit waits until the member has ended, and returns its exit code.
func (m *memberProcess) exit() int {
	m.t.Helper()
	select {
	case <-m.ended:
	case <-time.After(processWait):
		m.t.Fatalf("%s does not end; its last lines:\n%s", m.name, m.tail(20))
	}
	return m.cmd.ProcessState.ExitCode()
}

// stop is SIGTERM; the member must end well.
func (m *memberProcess) stop() {
	m.t.Helper()
	m.signal(syscall.SIGTERM)
	if code := m.exit(); code != form.ExitOK {
		m.t.Errorf("%s ended with %d after SIGTERM; its last lines:\n%s", m.name, code, m.tail(20))
	}
}

func (m *memberProcess) running() bool {
	if m.cmd == nil {
		return false
	}
	select {
	case <-m.ended:
		return false
	default:
		return true
	}
}

// cleanUp ends the process whatever state it is in.
func (m *memberProcess) cleanUp() {
	if m.running() {
		_ = m.cmd.Process.Kill()
		<-m.ended
	}
}

// lines is all that the member has said since its first start.
func (m *memberProcess) lines() string {
	text, err := os.ReadFile(m.log)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		m.t.Error(err)
	}
	return string(text)
}

func (m *memberProcess) tail(n int) string {
	all := strings.Split(strings.TrimSpace(m.lines()), "\n")
	return strings.Join(all[max(len(all)-n, 0):], "\n")
}

// says waits until the member's log holds all of the words in one line.
func (m *memberProcess) says(words ...string) string {
	m.t.Helper()
	for deadline := time.Now().Add(processWait); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if line := lineWith(m.lines(), words...); line != "" {
			return line
		}
	}
	m.t.Fatalf("%s does not say %q; its last lines:\n%s", m.name, words, m.tail(20))
	return ""
}

func lineWith(text string, words ...string) string {
	for line := range strings.Lines(text) {
		if !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(line, word) }) {
			return line
		}
	}
	return ""
}

// refuses starts the member, which must end by itself with the code, and say all of the words.
func (m *memberProcess) refuses(code int, words ...string) {
	m.t.Helper()
	before := len(m.lines())
	m.start()
	got := m.exit()
	said := m.lines()[before:]
	last := said[strings.LastIndex(strings.TrimSuffix(said, "\n"), "\n")+1:]
	if got != code {
		m.t.Errorf("%s ended with %d, not %d:\n%s", m.name, got, code, said)
	}
	for _, word := range words {
		if !strings.Contains(last, word) {
			m.t.Errorf("%s does not say %q:\n%s", m.name, word, said)
		}
	}
}

// clusterProcess is a cluster of such members on loopback, with a folder of its own.
type clusterProcess struct {
	t        testing.TB
	home     string // of the local CA
	certsDir string // of the certificate of a client; empty: the local CA's
	client   string // that client's name
	members  []*memberProcess
	nameless bool // its clients send writes without names
}

// newProcesses plans a cluster of members n1, n2, ...; nothing is started.
func newProcesses(t testing.TB, count int, arguments ...string) *clusterProcess {
	t.Helper()
	dir := t.TempDir()
	c := &clusterProcess{t: t, home: filepath.Join(dir, "home")}
	addresses := freeAddresses(t, 2*count)
	var list []string
	for i := range count {
		name := fmt.Sprintf("n%d", i+1)
		m := &memberProcess{
			t: t, name: name, listen: addresses[2*i], listenPeer: addresses[2*i+1], home: c.home,
			dataDir: filepath.Join(dir, name), log: filepath.Join(dir, name+".log"), arguments: arguments,
		}
		c.members = append(c.members, m)
		list = append(list, name+"="+m.listenPeer)
		t.Cleanup(m.cleanUp)
	}
	for _, m := range c.members {
		if !slices.Contains(m.arguments, "--segment-bytes") {
			m.arguments = slices.Concat([]string{"--segment-bytes", "1048576"}, m.arguments)
		} else {
			m.arguments = slices.Clone(m.arguments)
		}
		if count > 1 {
			m.arguments = append(m.arguments, "--initial-cluster", strings.Join(list, ","))
		}
	}
	return c
}

// startProcesses starts a cluster and waits until it is healthy.
func startProcesses(t testing.TB, count int, arguments ...string) *clusterProcess {
	t.Helper()
	c := newProcesses(t, count, arguments...)
	for _, m := range c.members {
		m.start()
	}
	c.level()
	return c
}

// freeAddresses returns addresses on loopback that nobody uses, and that no other test is given.
func freeAddresses(t testing.TB, n int) (found []string) {
	t.Helper()
	port, err := freePorts(n)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		found = append(found, run.Loopback(port+i))
	}
	return found
}

func listenAt(t testing.TB, address string) net.PacketConn {
	t.Helper()
	socket, err := net.ListenPacket("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	return socket
}

func (c *clusterProcess) endpoints() (all []string) {
	for _, m := range c.members {
		all = append(all, m.listen)
	}
	return all
}

func (c *clusterProcess) target() form.Target {
	return form.Target{Endpoints: c.endpoints(), Source: "the test", Home: c.home, CertsDir: c.certsDir, Name: c.client, Timeout: processWait}
}

// status is what the members say of themselves; those that do not answer have the role unknown.
func (c *clusterProcess) status() []cluster.MemberStatus {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	members, _ := cluster.AskMembers(ctx, c.target())
	return members
}

// await waits until the members' status is as it should be. Each look is three handshakes, which others' puts share processors with: the
// first ones come soon after each other, those of a long wait five times a second.
func (c *clusterProcess) await(what string, as func([]cluster.MemberStatus) bool) []cluster.MemberStatus {
	c.t.Helper()
	var members []cluster.MemberStatus
	pause := 20 * time.Millisecond
	for deadline := time.Now().Add(processWait * slowdown); time.Now().Before(deadline); time.Sleep(pause) {
		if members = c.status(); as(members) {
			return members
		}
		pause = min(pause*5/4, 200*time.Millisecond)
	}
	c.t.Fatalf("%s: not after %v: %s\n%s", what, processWait*slowdown, run.Describe(members, nil), c.tails())
	return nil
}

// level waits until all members answer, one leads, and all have applied the same to the same state.
func (c *clusterProcess) level() []cluster.MemberStatus {
	c.t.Helper()
	return c.await("all members are level", func(members []cluster.MemberStatus) bool { return run.Level(members, len(c.members)) })
}

// keepsUp waits until all members answer, and have applied what one of them had applied before. While clients write, level may never hold.
func (c *clusterProcess) keepsUp() {
	c.t.Helper()
	most := uint64(0)
	for _, m := range c.status() {
		most = max(most, m.Count(figures.Applied))
	}
	c.await("all members keep up", func(members []cluster.MemberStatus) bool {
		return len(members) == len(c.members) && run.LeaderOf(members) != nil &&
			!slices.ContainsFunc(members, func(m cluster.MemberStatus) bool { return !m.Answers || m.Count(figures.Applied) < most })
	})
}

// started waits until all members have reported their addresses to the others. They serve before that.
func (c *clusterProcess) started() {
	c.t.Helper()
	for deadline := time.Now().Add(processWait); ; time.Sleep(20 * time.Millisecond) {
		said := c.qkv("member", "list").exits(c.t, form.ExitOK).stdout
		if !strings.Contains(said, "unstarted") {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("members have not reported after %v: %s", processWait, said)
		}
	}
}

// answer waits until all members answer.
func (c *clusterProcess) answer() {
	c.t.Helper()
	c.await("all members answer", func(members []cluster.MemberStatus) bool {
		return len(members) == len(c.members) && !slices.ContainsFunc(members, func(m cluster.MemberStatus) bool { return !m.Answers })
	})
}

// knows waits until a member has heard of all where they serve clients.
func (c *clusterProcess) knows(m *memberProcess) {
	c.t.Helper()
	one := c.target()
	one.Endpoints = []string{m.listen}
	c.await(m.name+" knows where all serve", func([]cluster.MemberStatus) bool {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		members, _ := cluster.AskMembers(ctx, one)
		return run.Level(members, len(c.members))
	})
}

// leader waits until a member leads, and returns it.
func (c *clusterProcess) leader() *memberProcess {
	c.t.Helper()
	members := c.await("one member leads", func(members []cluster.MemberStatus) bool { return run.LeaderOf(members) != nil })
	return c.named(run.LeaderOf(members).Name)
}

func (c *clusterProcess) named(name string) *memberProcess {
	c.t.Helper()
	for _, m := range c.members {
		if m.name == name {
			return m
		}
	}
	c.t.Fatalf("there is no member %s", name)
	return nil
}

// others are all members but one.
func (c *clusterProcess) others(but *memberProcess) (all []*memberProcess) {
	for _, m := range c.members {
		if m != but {
			all = append(all, m)
		}
	}
	return all
}

func (c *clusterProcess) tails() string {
	var b strings.Builder
	for _, m := range c.members {
		fmt.Fprintf(&b, "--- %s\n%s\n", m.name, m.tail(15))
	}
	return b.String()
}

// open opens a client of the members, the first of which it is to use first.
func (c *clusterProcess) open(first int, timeout time.Duration) *client.Client {
	c.t.Helper()
	endpoints := c.endpoints()
	first %= len(endpoints)
	return c.openAs(client.Config{Endpoints: slices.Concat(endpoints[first:], endpoints[:first]), InOrder: true, Timeout: timeout})
}

// openOnly opens a client that asks one member alone.
func (c *clusterProcess) openOnly(member int, timeout time.Duration) *client.Client {
	c.t.Helper()
	return c.openAs(client.Config{Endpoints: c.endpoints()[member : member+1], NoDiscovery: true, Timeout: timeout})
}

func (c *clusterProcess) openAs(config client.Config) *client.Client {
	c.t.Helper()
	credentials, err := c.target().Credentials()
	must(c.t, err)
	config.Credentials, config.NoNames = credentials, c.nameless
	ctx, cancel := context.WithTimeout(context.Background(), processWait)
	defer cancel()
	s, err := client.Open(ctx, config)
	if err != nil {
		c.t.Fatalf("%v\n%s", err, c.tails())
	}
	c.t.Cleanup(func() { _ = s.Close() })
	return s
}

// answered is what a command of qkv did.
type answered struct {
	code           int
	stdout, stderr string
	took           time.Duration
	memory         int64 // the most that it was seen to hold, in bytes
}

// qkv runs one command against the cluster.
func (c *clusterProcess) qkv(arguments ...string) answered {
	c.t.Helper()
	return runQkv(c.t, c.environment(), arguments...)
}

func (c *clusterProcess) environment() []string {
	return []string{"QKV_HOME=" + c.home, "QKV_CERTS_DIR=" + c.certsDir, "QKV_CLIENT=" + c.client, "QKV_ENDPOINTS=" + strings.Join(c.endpoints(), ","), "QKV_TIMEOUT=" + processWait.String()}
}

// runQkv runs one command as a process.
func runQkv(t testing.TB, environment []string, arguments ...string) answered {
	t.Helper()
	return runProgram(t, "qkv", environment, arguments...)
}

func runProgram(t testing.TB, program string, environment []string, arguments ...string) answered {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*processWait)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, program, arguments...)
	cmd.Env = append(run.WithoutSettings(os.Environ()), environment...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	begun := time.Now()
	err := spawn(cmd)
	var memory atomic.Int64
	if err == nil {
		go func() {
			for ; ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
				memory.Store(max(memory.Load(), peakOf(cmd.Process.Pid)))
			}
		}()
		err = cmd.Wait()
	}
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		t.Fatalf("%s %q: %v", program, arguments, err)
	}
	return answered{code: cmd.ProcessState.ExitCode(), stdout: stdout.String(), stderr: stderr.String(), took: time.Since(begun), memory: memory.Load()}
}

// peakOf returns the most memory that a process has held, in bytes; 0 once it has ended. The kernel's figure for an ended process begins
// with the memory of the process that started it.
func peakOf(pid int) int64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	var kib int64
	_, _ = fmt.Sscanf(rest, "%d kB", &kib)
	return kib << 10
}

// exits fails the test unless the command ended with the code and said all of the words on stderr.
func (a answered) exits(t testing.TB, code int, words ...string) answered {
	t.Helper()
	if a.code != code {
		t.Errorf("exit code %d, not %d: stdout %q, stderr %q", a.code, code, a.stdout, a.stderr)
	}
	for _, word := range words {
		if !strings.Contains(a.stderr, word) {
			t.Errorf("it does not say %q: %s", word, a.stderr)
		}
	}
	return a
}

// randomBytes fills what a test sends or writes at random.
func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}
