package cli

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"qkv/cli/form"
	"qkv/cli/run"
	"qkv/internal/testlong"
)

// TestMain lets the scripts run qkv as a process of its own.
func TestMain(m *testing.M) {
	testscript.Main(sideBySide{m}, map[string]func(){
		"qkv": func() {
			go endWithScript()
			form.Version = cmp.Or(os.Getenv(versionOfTests), form.Version)
			os.Exit(Run(os.Args))
		},
		"qkv-probe":      runProbe,
		"qkv-timerslack": runWithTimerSlack,
	})
}

// sideBySide lets twice as many tests run at a time as there are processors, unless -parallel says how many: nearly all that these
// tests do is to wait for members.
type sideBySide struct{ *testing.M }

func (m sideBySide) Run() int {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		_ = flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0)))
	}
	hearHangups()
	return m.M.Run()
}

// hearHangups lets SIGHUP end the processes that tests start, also where this program was started with nohup: a signal that a program
// ignores is ignored by the programs that it starts.
func hearHangups() {
	if signal.Ignored(syscall.SIGHUP) {
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	}
}

const (
	// versionOfTests is the variable that makes a process another build.
	versionOfTests = "VERSION_OF_TESTS"
	// scriptOf is the variable that names the process which runs a script, to all that the script starts.
	scriptOf = "SCRIPT_OF"
	// scriptMost is how long a process of a script may live: one that should have been refused, and serves, ends as well.
	scriptMost = 10 * time.Minute
)

// endWithScript ends a process of a script when the test program is gone, however that ended, or waits for it in vain.
func endWithScript() {
	test, err := strconv.Atoi(os.Getenv(scriptOf))
	if err != nil {
		return
	}
	for begun := time.Now(); !errors.Is(syscall.Kill(test, 0), syscall.ESRCH); time.Sleep(time.Second) {
		if time.Since(begun) > scriptMost {
			fmt.Fprintf(os.Stderr, "qkv: the script waits for this in vain: it has run for %v\n", scriptMost)
			break
		}
	}
	os.Exit(form.ExitFailed)
}

// TestScript runs the stories in testdata/script: real processes, real sockets, real files. Each has a home of its
// own, $LISTEN and $PEER, two free addresses, up to $LISTEN4 and $PEER4 three times as many more, and $PORT, the first of
// six free ports.
func TestScript(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		Setup:               setUp,
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits": exits, "ready": ready, "flip": flip, "terminate": terminate, "gone": gone, "prints": prints, "says": says, "well": well, "granted": granted, "backup": scriptBackup,
		},
	})
}

func setUp(e *testscript.Env) error {
	e.Setenv("HOME", e.WorkDir)
	e.Setenv(scriptOf, strconv.Itoa(os.Getpid()))
	e.Setenv("QKV_HOME", filepath.Join(e.WorkDir, "home"))
	port, err := freePorts(8)
	if err != nil {
		return err
	}
	e.Setenv("LISTEN", run.Loopback(port))
	e.Setenv("PEER", run.Loopback(port+1))
	for i := 2; i <= 4; i++ {
		e.Setenv("LISTEN"+strconv.Itoa(i), run.Loopback(port+2*i-2))
		e.Setenv("PEER"+strconv.Itoa(i), run.Loopback(port+2*i-1))
	}
	port, err = freePorts(scriptDemoPorts)
	if err != nil {
		return err
	}
	e.Setenv("PORT", strconv.Itoa(port))
	e.Setenv("QKV_ENDPOINTS", e.Getenv("LISTEN"))
	e.Setenv("QKV_TIMEOUT", processWait.String())
	e.Setenv("QKV_SEGMENT_BYTES", "1048576") // less to zero than 64 MiB
	return nil
}

// nextPort is where freePorts looks next: what one test was given, another one is not. They lie below those that the
// system gives away, and those of a test in a process of its own above all others: each has a range that its parent gives.
var nextPort, nextApart atomic.Int64

// The ranges of tests in processes of their own, and the variable that names the first port of one.
const (
	apartFirst    = 28000
	apartPorts    = 150
	apartRanges   = 30
	apartPortName = "QKV_TEST_APART_PORT"
)

func init() {
	if first, err := strconv.ParseInt(os.Getenv(apartPortName), 10, 64); err == nil {
		nextPort.Store(first)
		return
	}
	nextPort.Store(12000 + rand.Int64N(15000))
	nextApart.Store(rand.Int64N(apartRanges))
}

// freePorts finds a number of free UDP ports in a row, and returns the first.
func freePorts(count int) (int, error) {
	for range 500 {
		first := int(nextPort.Add(int64(count))) - count
		if inUse(first, count) == nil {
			return first, nil
		}
	}
	return 0, fmt.Errorf("no %d free ports in a row", count)
}

// inUse says which of a few ports on loopback is in use.
func inUse(first, count int) error {
	for port := first; port < first+count; port++ {
		if err := run.UdpFree(run.Loopback(port)); err != nil {
			return err
		}
		tcp, err := net.Listen("tcp", run.Loopback(port)) // clients' ports are etcd's on TCP
		if err != nil {
			return err
		}
		if err := tcp.Close(); err != nil {
			return err
		}
	}
	return nil
}

// scriptDemoPorts are for a demo.
const scriptDemoPorts = 2 * run.DemoMembers

// gone waits until nobody listens on the ports of a demo any more: `gone PORT`.
func gone(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: gone PORT")
	}
	first, err := strconv.Atoi(args[0])
	ts.Check(err)
	for deadline := time.Now().Add(processWait); ; time.Sleep(10 * time.Millisecond) {
		err := inUse(first, scriptDemoPorts)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("still in use: %v", err)
		}
	}
}

// exits runs a command that must end with a given exit code: `exits 3 qkv get nothing`.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND ARGUMENTS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		got = ended.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// ready waits until a member serves: `ready` after `exec qkv serve &`.
func ready(ts *testscript.TestScript, _ bool, args []string) {
	deadline := time.Now().Add(processWait)
	for {
		err := ts.Exec("qkv", append([]string{"get", "ready?", "--timeout", "1s", "--count-only", "--prefix"}, args...)...)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("no member serves after %v: %v", processWait, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// prints runs a command again and again until what it prints matches: `prints PATTERN qkv member list`.
func prints(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: prints PATTERN COMMAND ARGUMENTS...")
	}
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	for deadline := time.Now().Add(processWait); ; time.Sleep(50 * time.Millisecond) {
		err := ts.Exec(args[1], args[2:]...)
		if err == nil && pattern.MatchString(ts.ReadFile("stdout")) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("after %v it does not print %s: %v", processWait, args[0], err)
		}
	}
}

// well waits until nothing is wrong but with this host's disk, which others may keep busy: `well`.
func well(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: well")
	}
	for deadline := time.Now().Add(processWait); ; time.Sleep(20 * time.Millisecond) {
		err := ts.Exec("qkv", "status", "--check")
		if err == nil || onlySlow.MatchString(ts.ReadFile("stderr")) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%v", err)
		}
	}
}

var onlySlow = regexp.MustCompile(`^qkv: not healthy: SLOWDISK of [^,]*\n$`)

// granted grants a lease, and puts its id into a variable: `granted LEASE 600`.
func granted(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: granted VARIABLE SECONDS")
	}
	ts.Check(ts.Exec("qkv", "lease", "grant", args[1]))
	words := strings.Fields(ts.ReadFile("stdout"))
	ts.Setenv(args[0], words[1])
}

// says waits until a file has a line that matches: `says member.log 'ready to serve'`.
func says(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: says FILE PATTERN")
	}
	pattern, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	for deadline := time.Now().Add(processWait); ; time.Sleep(20 * time.Millisecond) {
		b, err := os.ReadFile(ts.MkAbs(args[0]))
		if pattern.Match(b) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("after %v %s does not say %s (%v):\n%s", processWait, args[0], args[1], err, b)
		}
	}
}

// terminate sends SIGTERM to all that was started in the background.
func terminate(ts *testscript.TestScript, _ bool, _ []string) {
	running := ts.BackgroundCmds()
	if len(running) == 0 {
		ts.Fatalf("nothing runs in the background")
	}
	for _, cmd := range running {
		ts.Check(cmd.Process.Signal(syscall.SIGTERM))
	}
}

// flip inverts one bit of a file at an offset: `flip FILE OFFSET`. FILE may be a pattern of one file.
func flip(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: flip FILE OFFSET")
	}
	files, err := filepath.Glob(ts.MkAbs(args[0]))
	if err != nil || len(files) == 0 {
		ts.Fatalf("no file is %s", args[0])
	}
	offset, err := strconv.ParseInt(args[1], 0, 64)
	ts.Check(err)
	f, err := os.OpenFile(files[0], os.O_RDWR, 0)
	ts.Check(err)
	b := make([]byte, 1)
	_, err = f.ReadAt(b, offset)
	ts.Check(err)
	b[0] ^= 1
	_, err = f.WriteAt(b, offset)
	ts.Check(err)
	ts.Check(f.Close())
	ts.Logf("%s", strings.TrimSpace(fmt.Sprintf("flipped a bit of %s at %d", files[0], offset)))
}
