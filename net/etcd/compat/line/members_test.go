package line

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"qkv/net/etcd/compat/member"
)

// timeout decides only when something is missing for good.
const timeout = 2 * time.Minute

// world is a cluster of one program, with all that was said of it.
type world struct {
	t        *testing.T
	program  []string // and its first words
	dir      string
	names    map[string]string // by address: what the transcript says in its place
	client   map[string]string // by name
	peer     map[string]string
	running  map[string]*exec.Cmd
	ended    map[string]chan struct{}
	askWhom  []string // names
	said     strings.Builder
	etcdctls string
}

// TestMembers tells the same story of members to etcd and to qkv, which are started by the same lines, and compares what etcdctl
// says.
func TestMembers(t *testing.T) {
	transcripts := map[string]string{}
	for _, program := range []string{member.Etcd, member.QKV} {
		t.Run(program, func(t *testing.T) {
			w := newWorld(t, program)
			story(w)
			transcripts[program] = w.said.String()
		})
	}
	etcd, qkv := strings.Split(transcripts[member.Etcd], "\n"), strings.Split(transcripts[member.QKV], "\n")
	for i := range min(len(etcd), len(qkv)) {
		if etcd[i] != qkv[i] {
			t.Fatalf("after\n%s\netcd: %s\nqkv:  %s", strings.Join(etcd[:i], "\n"), etcd[i], qkv[i])
		}
	}
	if len(etcd) != len(qkv) {
		t.Fatalf("etcd said %d lines, and qkv %d", len(etcd), len(qkv))
	}
	t.Logf("%d lines of etcdctl compared", len(etcd))
}

// story is what happens.
func story(w *world) {
	list := w.list("m1", "m2", "m3")
	for _, name := range []string{"m1", "m2", "m3"} {
		w.start(name, "--initial-cluster", list)
	}
	w.askWhom = []string{"m1", "m2", "m3"}
	for _, name := range w.askWhom {
		w.until("started, " + name)
	}
	w.etcdctl("member", "list")
	w.etcdctl("put", "greeting", "hello")

	// What is refused.
	w.etcdctl("member", "add", "m4", "--peer-urls=http://"+w.peer["m1"])
	w.etcdctl("member", "add", "m4", "--peer-urls=nonsense")
	w.etcdctl("member", "remove", "8e9e05c52164694d")
	w.etcdctl("member", "update", "8e9e05c52164694d", "--peer-urls=http://127.0.0.1:1")
	w.etcdctl("member", "promote", "8e9e05c52164694d")
	w.etcdctl("member", "promote", w.id("m1"))

	// One is added by its address alone, and says its name when it starts.
	w.etcdctl("member", "add", "m4", "--peer-urls=http://"+w.peer["m4"])
	w.etcdctl("member", "list")
	w.start("m4", "--initial-cluster", w.list("m1", "m2", "m3", "m4"), "--initial-cluster-state", "existing")
	w.until("started, m4")
	w.etcdctl("member", "list")
	w.etcdctl("get", "greeting")
	w.ask("m4", "get", "greeting")

	// Its own flags say less than its data once it is started again.
	w.kill("m4")
	w.start("m4", "--initial-cluster-state", "existing", "--initial-cluster", "m4=http://"+w.peer["m4"])
	w.ask("m4", "get", "greeting")

	// The leader goes elsewhere and back, and whoever leads, the one that was added is removed.
	w.moveLeader()
	w.etcdctl("member", "remove", w.id("m4"))
	w.etcdctl("member", "list")
	w.gone("m4")

	// A learner is promoted when it is level, and no sooner.
	w.etcdctl("member", "add", "m5", "--learner", "--peer-urls=http://"+w.peer["m5"])
	w.etcdctl("member", "list")
	w.etcdctl("member", "promote", w.idAt(w.peer["m5"]))
	w.start("m5", "--initial-cluster", w.list("m1", "m2", "m3", "m5"), "--initial-cluster-state", "existing")
	w.until("started, m5")
	w.etcdctl("member", "list")
	w.ask("m5", "put", "greeting", "too soon")
	w.promote("m5")
	w.etcdctl("member", "list")
	w.ask("m5", "put", "greeting", "goodbye")
	w.etcdctl("get", "greeting")

	// It moves.
	w.kill("m5")
	w.etcdctl("member", "update", w.id("m5"), "--peer-urls=http://"+w.peer["m6"])
	w.peer["m5"] = w.peer["m6"]
	w.start("m5", "--initial-cluster", w.list("m1", "m2", "m3", "m5"), "--initial-cluster-state", "existing")
	w.ask("m5", "get", "greeting")
	w.etcdctl("member", "list")
}

func newWorld(t *testing.T, program string) *world {
	t.Helper()
	w := &world{
		t: t, program: []string{member.Program(t, program)}, dir: t.TempDir(), names: map[string]string{}, client: map[string]string{}, peer: map[string]string{},
		running: map[string]*exec.Cmd{}, ended: map[string]chan struct{}{}, etcdctls: member.Program(t, member.Etcdctl),
	}
	if program == member.QKV {
		w.program = append(w.program, "etcd")
	}
	for i := 1; i <= 6; i++ {
		name := fmt.Sprintf("m%d", i)
		w.client[name], w.peer[name] = fmt.Sprintf("127.0.0.1:%d", member.FreePort(t)), fmt.Sprintf("127.0.0.1:%d", member.FreePort(t))
		w.names[w.client[name]], w.names[w.peer[name]] = name+"-client", name+"-peer"
	}
	t.Cleanup(func() {
		for name := range w.running {
			w.kill(name)
		}
	})
	return w
}

func (w *world) list(names ...string) string {
	var all []string
	for _, name := range names {
		all = append(all, name+"=http://"+w.peer[name])
	}
	return strings.Join(all, ",")
}

// start starts a member.
func (w *world) start(name string, more ...string) {
	w.t.Helper()
	words := slices.Concat(w.program[1:], []string{
		"--name", name, "--data-dir", filepath.Join(w.dir, name),
		"--listen-client-urls", "http://" + w.client[name], "--advertise-client-urls", "http://" + w.client[name],
		"--listen-peer-urls", "http://" + w.peer[name], "--initial-advertise-peer-urls", "http://" + w.peer[name],
	}, more)
	cmd := exec.Command(w.program[0], words...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "QKV_HOME=" + filepath.Join(w.dir, "home"), "QKV_SEGMENT_BYTES=1048576"}
	out, err := os.OpenFile(w.log(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		w.t.Fatal(err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := member.Spawn(cmd); err != nil {
		w.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	w.running[name], w.ended[name] = cmd, ended
}

func (w *world) log(name string) string { return filepath.Join(w.dir, name+".log") }

func (w *world) kill(name string) {
	_ = w.running[name].Process.Kill()
	<-w.ended[name]
	delete(w.running, name)
}

// gone waits until a member that was removed has ended by itself.
func (w *world) gone(name string) {
	w.t.Helper()
	select {
	case <-w.ended[name]:
		delete(w.running, name)
	case <-time.After(timeout):
		w.t.Fatalf("%s was removed, and goes on", name)
	}
}

// run runs etcdctl, and returns what it has said.
func (w *world) run(whom []string, words ...string) string {
	w.t.Helper()
	var endpoints []string
	for _, name := range whom {
		endpoints = append(endpoints, w.client[name])
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, w.etcdctls, words...)
	cmd.Env = []string{"ETCDCTL_ENDPOINTS=" + strings.Join(endpoints, ","), "ETCDCTL_DIAL_TIMEOUT=20s", "ETCDCTL_COMMAND_TIMEOUT=20s"}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	_ = cmd.Run()
	return out.String()
}

var (
	hexID  = regexp.MustCompile(`\b[0-9a-f]{11,16}\b`)
	padded = regexp.MustCompile(` {2,}`) // an id is filled up with spaces to 16 places, and one in sixteen is shorter
	lists  = regexp.MustCompile(`ETCD_INITIAL_CLUSTER="(.*)"`)
	logs   = regexp.MustCompile(`(?m)^\{"level".*\n`)
)

// etcdctl asks all members, and writes down what was asked and said. Etcd refuses a change until its members have been connected
// for five seconds.
func (w *world) etcdctl(words ...string) {
	w.t.Helper()
	said := w.run(w.askWhom, words...)
	for deadline := time.Now().Add(timeout); strings.Contains(said, "unhealthy cluster") && time.Now().Before(deadline); {
		time.Sleep(100 * time.Millisecond)
		said = w.run(w.askWhom, words...)
	}
	w.note(words, said)
}

// ask asks one member until it answers as one of the cluster, and writes that down.
func (w *world) ask(name string, words ...string) {
	w.t.Helper()
	said := ""
	for deadline := time.Now().Add(timeout); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if said = w.run([]string{name}, words...); !strings.Contains(said, "connection refused") && !strings.Contains(said, "no leader") &&
			!strings.Contains(said, "deadline exceeded") && !strings.Contains(said, "Unavailable") {
			w.note(append([]string{name}, words...), said)
			return
		}
	}
	w.t.Fatalf("%s does not answer: %s", name, said)
}

// note writes down what was said, without what is another one each time.
func (w *world) note(words []string, said string) {
	text := logs.ReplaceAllString(strings.Join(words, " ")+"\n"+said, "")
	for at, name := range w.names {
		text = strings.ReplaceAll(text, at, name)
	}
	text = padded.ReplaceAllString(hexID.ReplaceAllString(text, "ID"), " ")
	text = lists.ReplaceAllStringFunc(text, func(line string) string {
		all := strings.Split(lists.FindStringSubmatch(line)[1], ",")
		slices.Sort(all)
		return strings.Join(all, ",")
	})
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if words[0] == "member" && words[1] == "list" {
		slices.Sort(lines[1:])
	}
	w.said.WriteString("$ " + strings.Join(lines, "\n  ") + "\n")
}

// until waits until the list of members has a line with these words, and all of them answer.
func (w *world) until(words string) {
	w.t.Helper()
	said := ""
	for deadline := time.Now().Add(timeout); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if said = w.run(w.askWhom, "member", "list"); strings.Contains(said, words) && !strings.Contains(w.run(w.askWhom, "endpoint", "health"), "unhealthy") {
			return
		}
	}
	w.t.Fatalf("no %q: %s\n%s", words, said, w.tails())
}

func (w *world) tails() string {
	var all []string
	for name := range w.running {
		text, _ := os.ReadFile(w.log(name))
		all = append(all, name+":\n"+string(text[max(len(text)-2000, 0):]))
	}
	return strings.Join(all, "\n")
}

// id is that of the member with a name, and idAt of the one at a peer address.
func (w *world) id(name string) string { return w.column(2, name) }

func (w *world) idAt(peer string) string { return w.column(3, "http://"+peer) }

func (w *world) column(at int, value string) string {
	w.t.Helper()
	said := w.run(w.askWhom, "member", "list")
	for line := range strings.Lines(said) {
		if fields := strings.Split(strings.TrimSpace(line), ", "); len(fields) > at && fields[at] == value {
			return fields[0]
		}
	}
	w.t.Fatalf("no member %s:\n%s", value, said)
	return ""
}

// moveLeader makes each of the first three lead in turn, and writes down that it did.
func (w *world) moveLeader() {
	w.t.Helper()
	for _, name := range w.askWhom {
		said, to := "", w.id(name)
		for deadline := time.Now().Add(timeout); ; time.Sleep(50 * time.Millisecond) {
			if said = w.run(append(slices.Clone(w.askWhom), "m4"), "move-leader", to); strings.Contains(said, "Leadership transferred") || w.leads(name) {
				break
			}
			if time.Now().After(deadline) {
				w.t.Fatalf("%s does not lead: %s", name, said)
			}
		}
		fmt.Fprintf(&w.said, "$ %s leads\n", name)
	}
}

// leads says whether a member says that it does.
func (w *world) leads(name string) bool {
	said := w.run([]string{name}, "endpoint", "status", "-w", "fields")
	member, leader := "", ""
	for line := range strings.Lines(said) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " : ")
		switch key {
		case `"MemberID"`:
			member = value
		case `"Leader"`:
			leader = value
		}
	}
	return member != "" && member == leader
}

// promote promotes a learner as soon as it is level.
func (w *world) promote(name string) {
	w.t.Helper()
	id := w.id(name)
	for deadline := time.Now().Add(timeout); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if said := w.run(w.askWhom, "member", "promote", id); !strings.Contains(said, "in sync with leader") {
			w.note([]string{"member", "promote", name}, said)
			return
		}
	}
	w.t.Fatalf("%s does not become level", name)
}
