// Package member runs members of qkv and of etcd as processes on loopback, in folders of their own.
//
// The programs are built once for each test program, or taken from the folder that QKV_COMPAT_BIN names.
package member

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// timeout with a member: far more than it needs, for hosts that are busy.
const timeout = 2 * time.Minute

// The programs and the packages that they are built from.
const (
	QKV     = "qkv"
	Etcd    = "etcd"
	Etcdctl = "etcdctl"
	Etcdutl = "etcdutl"
)

var packages = map[string]string{
	QKV:     ".",
	Etcd:    "go.etcd.io/etcd/server/v3",
	Etcdctl: "go.etcd.io/etcd/etcdctl/v3",
	Etcdutl: "go.etcd.io/etcd/etcdutl/v3",
}

var built struct {
	sync.Mutex
	dir   string
	paths map[string]string
}

// Program is the path of one of the programs, which is built first where that is needed.
func Program(t testing.TB, name string) string {
	t.Helper()
	built.Lock()
	defer built.Unlock()
	if path := built.paths[name]; path != "" {
		return path
	}
	dir := os.Getenv("QKV_COMPAT_BIN")
	if dir == "" {
		if built.dir == "" {
			made, err := os.MkdirTemp("", "qkv-compat-")
			if err != nil {
				t.Fatal(err)
			}
			built.dir = made
		}
		dir = built.dir
		cmd := exec.Command("go", "build", "-o", filepath.Join(dir, name), packages[name])
		cmd.Dir = moduleDir(t)
		if name == QKV {
			cmd.Dir = filepath.Join(cmd.Dir, "..", "..", "..")
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", name, err, out)
		}
	}
	if built.paths == nil {
		built.paths = map[string]string{}
	}
	built.paths[name] = filepath.Join(dir, name)
	return built.paths[name]
}

// Forget removes what Program has built: for TestMain.
func Forget() {
	built.Lock()
	defer built.Unlock()
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
	built.dir, built.paths = "", nil
}

// moduleDir is the folder of this module: tests run in the folders of their packages.
func moduleDir(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("the tests do not run inside of their module")
		}
	}
}

// Command is a program's command line, whose process ends with the test's, without the variables of either program.
func Command(t testing.TB, program string, arguments ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(Program(t, program), arguments...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "QKV_") || strings.HasPrefix(s, "ETCD") })
	return cmd
}

// Cluster is some members of one program, of one cluster.
type Cluster struct {
	Program string
	Members []*Member
	dir     string
}

// Member is one process.
type Member struct {
	Name, Client, Peer string // Client and Peer are HOST:PORT
	Dir, log, home     string

	t         testing.TB
	program   string
	arguments []string
	cmd       *exec.Cmd
	ended     chan struct{}
}

// Start starts a cluster of a program with the arguments added, and waits until each member answers a linearizable read.
func Start(t testing.TB, program string, count int, arguments ...string) *Cluster {
	t.Helper()
	return StartOn(t, program, count, func(*Member) {}, arguments...)
}

// StartOn is Start of members whose data folders are made before.
func StartOn(t testing.TB, program string, count int, prepare func(m *Member), arguments ...string) *Cluster {
	t.Helper()
	return startOn(t, program, count, prepare, nil, arguments)
}

func startOn(t testing.TB, program string, count int, prepare func(m *Member), wires *Wires, arguments []string) *Cluster {
	t.Helper()
	for attempt := 1; ; attempt++ {
		c, err := start(t, program, count, prepare, wires, arguments)
		if err == nil {
			return c
		}
		c.Stop()
		// Between the choice of ports and their use others may have taken them.
		if attempt == 5 || !strings.Contains(err.Error(), "address already in use") {
			t.Fatal(err)
		}
	}
}

func start(t testing.TB, program string, count int, prepare func(m *Member), wires *Wires, arguments []string) (*Cluster, error) {
	t.Helper()
	dir, path := t.TempDir(), Program(t, program)
	ports := freePorts(t, 2*count)
	c := &Cluster{Program: program, dir: dir}
	var list []string
	for i := range count {
		m := &Member{
			Name: fmt.Sprintf("n%d", i+1), Client: loopback(ports[2*i]), Peer: loopback(ports[2*i+1]), t: t, program: path,
		}
		m.Dir, m.log = filepath.Join(dir, m.Name), filepath.Join(dir, m.Name+".log")
		c.Members = append(c.Members, m)
		m.home = filepath.Join(dir, "home")
		byEtcdsLine := slices.Contains(arguments, "--auth-token-ttl") // which `qkv serve` does not have
		switch {
		case program == Etcd, byEtcdsLine:
			list = append(list, m.Name+"=http://"+m.Peer)
			if byEtcdsLine && program == QKV {
				m.arguments = []string{"etcd"}
			}
			m.arguments = append(m.arguments,
				"--name", m.Name, "--data-dir", m.Dir, "--log-level", "error", "--unsafe-no-fsync",
				"--listen-client-urls", "http://"+m.Client, "--advertise-client-urls", "http://"+m.Client,
				"--listen-peer-urls", "http://"+m.Peer, "--initial-advertise-peer-urls", "http://"+m.Peer)
		case program == QKV:
			at := m.Peer
			if wires != nil {
				at = wires.before(m)
			}
			list = append(list, m.Name+"="+at)
			m.arguments = []string{
				"serve", "--name", m.Name, "--data-dir", m.Dir, "--listen", m.Client, "--listen-peer", m.Peer,
				"--home", m.home, "--log-format", "text", "--history-bytes", "0", "--segment-bytes", "1048576",
			}
		}
	}
	for _, m := range c.Members {
		m.arguments = append(m.arguments, "--initial-cluster", strings.Join(list, ","))
		m.arguments = append(m.arguments, arguments...)
		if i := slices.Index(m.arguments, "--bcrypt-cost"); i >= 0 && m.arguments[0] == "serve" {
			m.arguments = slices.Delete(m.arguments, i, i+2)
		}
		prepare(m)
		m.Start()
	}
	t.Cleanup(c.Stop)
	return c, c.await()
}

// Add adds arguments to the member's command line, before it is started.
func (m *Member) Add(arguments ...string) { m.arguments = append(m.arguments, arguments...) }

// Move gives the member another data folder, before it is started.
func (m *Member) Move(dir string) {
	m.arguments[slices.Index(m.arguments, m.Dir)] = dir
	m.Dir = dir
}

// Start starts the member's process once more, and does not wait until it serves.
func (m *Member) Start() {
	m.t.Helper()
	out, err := os.OpenFile(m.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		m.t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command(m.program, m.arguments...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "QKV_") || strings.HasPrefix(s, "ETCD") })
	cmd.Env = append(cmd.Env, "QKV_HOME="+m.home)
	cmd.Stdout, cmd.Stderr = out, out
	if err := Spawn(cmd); err != nil {
		m.t.Fatalf("start %s: %v", m.Name, err)
	}
	ended := make(chan struct{})
	m.cmd, m.ended = cmd, ended
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
}

// Kill is kill -9, and returns when the process is gone.
func (m *Member) Kill() {
	_ = m.cmd.Process.Kill()
	<-m.ended
}

// Signal sends a signal to the member's process.
func (m *Member) Signal(s syscall.Signal) {
	m.t.Helper()
	if err := m.cmd.Process.Signal(s); err != nil {
		m.t.Fatalf("signal %v to %s: %v", s, m.Name, err)
	}
}

// Pid is the member's process.
func (m *Member) Pid() int { return m.cmd.Process.Pid }

// Processor is the time that the member's process has used.
func (m *Member) Processor() time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", m.cmd.Process.Pid))
	if err != nil {
		return 0 // not on this system
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// Said returns the member's log.
func (m *Member) Said() string {
	text, err := os.ReadFile(m.log)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Await waits until the member answers a linearizable read, or asks for a user.
func (m *Member) Await() error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	conn, err := grpc.NewClient(m.Client, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	for {
		try, done := context.WithTimeout(ctx, 2*time.Second)
		_, err := pb.NewKVClient(conn).Range(try, &pb.RangeRequest{Key: []byte("health")}, grpc.WaitForReady(true))
		done()
		if err == nil || status.Convert(err).Message() == "etcdserver: user name is empty" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w\n%s", m.Name, err, tail(m.Said()))
		case <-m.ended:
			return fmt.Errorf("%s ended: %v\n%s", m.Name, m.cmd.ProcessState, tail(m.Said()))
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Running is whether all members' processes are there.
func (c *Cluster) Running() bool {
	for _, m := range c.Members {
		select {
		case <-m.ended:
			return false
		default:
		}
	}
	return true
}

// Tail returns the last lines of the members' logs.
func (c *Cluster) Tail() string {
	var all []string
	for _, m := range c.Members {
		all = append(all, tail(m.Said()))
	}
	return strings.Join(all, "\n")
}

func (c *Cluster) await() error {
	var all []error
	for _, m := range c.Members {
		all = append(all, m.Await())
	}
	return errors.Join(all...)
}

// Endpoints are the addresses that clients use.
func (c *Cluster) Endpoints() (all []string) {
	for _, m := range c.Members {
		all = append(all, m.Client)
	}
	return all
}

// Home is the folder of the local CA of qkv's members.
func (c *Cluster) Home() string { return filepath.Join(c.dir, "home") }

// Stop ends all members' processes and removes their folders: a search for a shorter sequence starts dozens of clusters.
func (c *Cluster) Stop() {
	for _, m := range c.Members {
		m.Kill()
	}
	_ = os.RemoveAll(c.dir)
}

func tail(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(len(lines)-20, 0):], "\n")
}

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// Ports are taken from blocks below the system's ephemeral ports (Linux: from 32768 on). A member that starts later, or again, therefore
// finds its port free. A process owns a block while it listens at the block's first port.
const (
	firstBlock = 12000
	endOfBlock = 32000
	blockPorts = 50
)

var block struct {
	sync.Mutex
	locks     []net.Listener // of all that this process has
	next, end int
}

// FreePort returns a port that is unused over TCP and UDP, and returns it only once.
func FreePort(t testing.TB) int {
	t.Helper()
	block.Lock()
	defer block.Unlock()
	for tries := 0; tries < endOfBlock-firstBlock; tries++ {
		if block.next == block.end {
			first := firstBlock + blockPorts*rand.IntN((endOfBlock-firstBlock)/blockPorts)
			lock, err := net.Listen("tcp", loopback(first))
			if err != nil {
				continue
			}
			block.locks = append(block.locks, lock)
			block.next, block.end = first+1, first+blockPorts
		}
		port := block.next
		block.next++
		l, err := net.Listen("tcp", loopback(port))
		if err != nil {
			continue
		}
		p, err := net.ListenPacket("udp", loopback(port))
		_ = l.Close()
		if err == nil {
			_ = p.Close()
			return port
		}
	}
	t.Fatal("no free ports")
	return 0
}

func freePorts(t testing.TB, count int) (ports []int) {
	t.Helper()
	for range count {
		ports = append(ports, FreePort(t))
	}
	return ports
}
