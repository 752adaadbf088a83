package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"qkv/cli/cluster"
	"qkv/cli/form"
	"qkv/cli/run"
	"qkv/index/kv"
	"qkv/internal/testlong"
	"qkv/net/client"
)

// The tests called TestHosts are the life of a cluster on hosts that come and go: members are added, replaced, moved and
// removed while puts go on. A host has an address, a folder and, where namespaces can be made, a network of its own;
// elsewhere it is an address on loopback. Each test prints one line of figures. `make hosts` runs all of them, and judges
// times; `make check` runs the first one, in small.

// The longest time without an acknowledged put.
const (
	gapCalm   = 300 * time.Millisecond // in steps in which no leader is killed
	gapKilled = 2 * time.Second
)

// hosts are the hosts of a cluster, with a member each.
type hosts struct {
	*clusterProcess
	t        *testing.T
	dir      string
	separate bool                      // they have networks of their own
	network  map[*memberProcess]string // by member, its host's namespace
	number   int                       // of namespaces
	admin    *client.Client
	steps    []string // what was done, and the longest gap in it
}

// newHosts returns nil in a process that only waits for the one in which the test runs.
func newHosts(t *testing.T) *hosts {
	t.Helper()
	h := &hosts{t: t, network: map[*memberProcess]string{}}
	switch {
	case !fullVariant():
		t.Parallel()
	case os.Getenv(apartName) == "" && exec.Command("unshare", "--net", "--mount", "ip", "link", "add", "qkv0", "type", "bridge").Run() != nil:
		t.Log("figures: hosts are addresses on loopback: this machine makes no networks")
	case !apart(t, syscall.CLONE_NEWNET|syscall.CLONE_NEWNS):
		return nil
	default:
		h.separate = true
		must(t, syscall.Mount("tmpfs", "/run", "tmpfs", 0, "")) // where ip keeps the names of networks
		h.ip("link add qkv0 type bridge")
		h.ip("addr add 10.77.255.254/16 dev qkv0")
		h.ip("link set qkv0 up")
	}
	dir := t.TempDir()
	if h.dir = dir; h.separate {
		must(t, syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=0700")) // what else writes to this machine's disk is no part of the figures
		t.Cleanup(func() { must(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	}
	h.clusterProcess = &clusterProcess{t: t, home: filepath.Join(h.dir, "home"), certsDir: filepath.Join(h.dir, "ca"), client: "admin"}
	_, err := form.CertMaker().CreateCA(h.certsDir, "prod")
	must(t, err)
	_, err = form.CertMaker().CreateClient(h.certsDir, "admin")
	must(t, err)
	return h
}

func (h *hosts) ip(words string) {
	h.t.Helper()
	if out, err := exec.Command("ip", strings.Fields(words)...).CombinedOutput(); err != nil {
		h.t.Fatalf("ip %s: %v: %s", words, err, out)
	}
}

// member plans a member on a host of its own, with its certificate; it is not started.
func (h *hosts) member(name string) *memberProcess {
	h.t.Helper()
	_, err := form.CertMaker().CreateMember(h.certsDir, name, nil)
	must(h.t, err)
	h.number++
	m := &memberProcess{
		t: h.t, name: name, home: h.home, dataDir: filepath.Join(h.dir, fmt.Sprintf("host%d", h.number)), log: filepath.Join(h.dir, name+".log"),
		arguments: h.certificates(),
	}
	if h.separate {
		at := fmt.Sprintf("h%d", h.number)
		h.network[m] = at
		h.ip("netns add " + at)
		h.ip(fmt.Sprintf("link add v%d type veth peer name eth0 netns %s", h.number, at))
		h.ip(fmt.Sprintf("link set v%d master qkv0 up", h.number))
		h.ip("-n " + at + " link set lo up")
		h.ip("-n " + at + " link set eth0 up")
		m.before = []string{"ip", "netns", "exec", at}
	}
	h.addressOf(m)
	h.take(m)
	h.t.Cleanup(m.cleanUp)
	return m
}

// addresses that hosts got, by this process.
var addresses atomic.Int64

// certificates is all that every member is started with.
func (h *hosts) certificates() []string { return []string{"--certs-dir", h.certsDir} }

// addressOf plans another address for a member's host.
func (h *hosts) addressOf(m *memberProcess) {
	h.t.Helper()
	n, port := addresses.Add(1), 2379
	address := fmt.Sprintf("10.77.0.%d", n)
	if !h.separate {
		var err error
		port, err = freePorts(2) // for who listens on all addresses
		must(h.t, err)
		address = fmt.Sprintf("127.%d.%d.%d", 64+os.Getpid()>>8&63, os.Getpid()&255, n)
	}
	m.listen, m.listenPeer = fmt.Sprintf("%s:%d", address, port), fmt.Sprintf("%s:%d", address, port+1)
}

// take gives a member's host the address that is planned for it, in the place of the one that it has.
func (h *hosts) take(m *memberProcess) {
	h.t.Helper()
	if at := h.network[m]; at != "" {
		host, _, _ := strings.Cut(m.listen, ":")
		h.ip("-n " + at + " addr flush dev eth0")
		h.ip("-n " + at + " addr add " + host + "/16 dev eth0")
	}
}

// found starts a cluster of members called n1, n2, ...
func (h *hosts) found(count int) {
	h.t.Helper()
	for i := range count {
		h.members = append(h.members, h.member(fmt.Sprintf("n%d", i+1)))
	}
	for _, m := range h.members {
		if count == 1 {
			m.arguments = append(m.arguments, "--found")
		} else {
			m.arguments = append(m.arguments, "--initial-cluster", h.initialCluster())
		}
		m.start()
	}
	h.level()
	h.admin = h.open(0, processWait)
	h.awaitVoters()
}

func (h *hosts) initialCluster() string {
	var list []string
	for _, m := range h.members {
		list = append(list, m.name+"="+m.listenPeer)
	}
	return strings.Join(list, ",")
}

// joins starts a member with the command that `qkv member add` or `replace` has printed for its host.
func (h *hosts) joins(m *memberProcess, printed string) {
	h.t.Helper()
	line := lineWith(printed, "qkv serve ")
	want := fmt.Sprintf("qkv serve --name %s --data-dir /var/lib/qkv --listen %s --listen-peer %s --certs-dir certs --join ", m.name, m.listen, m.listenPeer)
	join, ok := strings.CutPrefix(line, want)
	if !ok {
		h.t.Fatalf("the command for the host of %s is not %q...: %s", m.name, want, printed)
	}
	m.arguments = append(m.arguments, "--join", strings.TrimSpace(join))
	m.start()
}

// change changes the members by a command, and returns what that prints. A busy machine may not hear from a quorum for a
// moment, or not be told what became of it: then it is run again.
func (h *hosts) change(words ...string) string {
	h.t.Helper()
	var said answered
	for deadline := time.Now().Add(processWait); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		said = h.qkv(slices.Concat([]string{"member"}, words, []string{"--timeout", "20s"})...)
		switch {
		case said.code == form.ExitOK, said.code == form.ExitNotFound && words[0] == "remove":
			return said.stdout
		case said.code != form.ExitCondition && said.code != form.ExitUnavailable && said.code != form.ExitUnknown:
			h.t.Fatalf("qkv member %q: %d %s", words, said.code, said.stderr)
		}
	}
	h.t.Fatalf("qkv member %q: %d %s\n%s", words, said.code, said.stderr, h.tails())
	return ""
}

// add adds a member, and waits until it votes.
func (h *hosts) add(name string) {
	h.t.Helper()
	m := h.member(name)
	h.joins(m, h.change("add", name, "--peer", m.listenPeer))
	h.members = append(h.members, m)
	h.awaitVoters()
}

// remove removes a member, and waits until it has ended because of that.
func (h *hosts) remove(m *memberProcess) {
	h.t.Helper()
	h.change("remove", m.name)
	if m.running() {
		if code := m.exit(); code != form.ExitNotAllowed {
			h.t.Errorf("%s was removed, and ended with %d:\n%s", m.name, code, m.tail(10))
		}
	}
	h.members = h.others(m)
	h.awaitVoters()
}

// records are the members, by what the cluster says.
func (h *hosts) records() ([]kv.Member, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	return h.admin.Members(ctx, client.ReadOptions{})
}

// awaitVoters waits until the members are those that run here: all vote, and all have said where they are.
func (h *hosts) awaitVoters() {
	h.t.Helper()
	h.awaitRecords("all vote, and are known where they are", func(all []kv.Member) bool {
		return len(all) == len(h.members) && !slices.ContainsFunc(all, func(one kv.Member) bool {
			i := slices.IndexFunc(h.members, func(m *memberProcess) bool { return m.name == one.Name })
			return i < 0 || one.Role != kv.Voter || !slices.Equal(one.Peers, []string{h.members[i].listenPeer}) || !slices.Equal(one.Clients, []string{h.members[i].listen})
		})
	})
}

func (h *hosts) awaitRecords(what string, as func([]kv.Member) bool) {
	h.t.Helper()
	var all []kv.Member
	var err error
	for deadline := time.Now().Add(processWait); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if all, err = h.records(); err == nil && as(all) {
			return
		}
	}
	h.t.Fatalf("%s: not after %v: %+v, %v\n%s", what, processWait, all, err, h.tails())
}

// load puts 1,000 values a second by clients that were given only the members that there are now.
func (h *hosts) load(name string) *meter {
	h.t.Helper()
	l := startMeter(h.clusterProcess, name, h.clients(5), variant(5, 20), 256, 20*time.Millisecond)
	l.acknowledges(processWait)
	return l
}

// step does something under load, and judges the longest time without an acknowledged put.
func (h *hosts) step(l *meter, what string, most time.Duration, do func()) {
	h.t.Helper()
	from := l.now()
	do()
	l.acknowledges(processWait)
	time.Sleep(300 * time.Millisecond) // what comes of it
	to := l.now()
	gap := l.gap(from, to)
	h.steps = append(h.steps, fmt.Sprintf("%s %v", what, gap.Round(time.Millisecond)))
	switch {
	case !fullVariant() || gap <= most:
	case busy(h.t):
		h.steps[len(h.steps)-1] += " (not judged: this machine is busy with something else)"
	default:
		h.t.Errorf("%s: no put was acknowledged for %v, over %v; callers were told %v", what, gap, most, l.told())
	}
}

// busy tells whether this machine has more to do than its processors can: its times then say nothing of a cluster.
func busy(t *testing.T) bool {
	t.Helper()
	load, err := strconv.ParseFloat(strings.Fields(string(readFile(t, "/proc/loadavg")))[0], 64)
	must(t, err)
	return load > float64(runtime.NumCPU())
}

// told is what callers were told.
func (m *meter) told() map[string]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.errs)
}

// ends ends the load: all members that there are have the same, and nothing is missing.
func (h *hosts) ends(l *meter) {
	h.t.Helper()
	l.end()
	h.level()
	l.nothingLost()
	h.allRun()
}

// figures prints the test's line.
func (h *hosts) figures(what string, l *meter) {
	h.t.Helper()
	at := "addresses on loopback"
	if h.separate {
		at = "networks"
	}
	h.t.Logf("figures: %s, %d %s, %.0f puts/s, %d of %d failed; longest time without one: %s", what, h.number, at,
		l.rate(0, l.now()), l.failures(0, l.now()), len(l.puts), strings.Join(h.steps, ", "))
}

// TestHostsGrow: one member grows to three and to five, and shrinks to one that was not there in the beginning, under
// the eyes of clients that were told of the first one only.
func TestHostsGrow(t *testing.T) {
	testlong.Skip(t)
	h := newHosts(t)
	if h == nil {
		return
	}
	h.found(1)
	most := variant(3, 5)
	l := h.load("grow")
	for i := 2; i <= most; i++ {
		h.step(l, fmt.Sprintf("%d members", i), gapCalm, func() { h.add(fmt.Sprintf("n%d", i)) })
	}
	for len(h.members) > 1 {
		m := h.members[0]
		h.step(l, "without "+m.name, gapCalm, func() { h.remove(m) })
	}
	h.ends(l)
	h.figures(fmt.Sprintf("one member grows to %d, and shrinks to another one", most), l)
}

// wipe is a disk that is lost: the member dies, and nothing of its folder is left.
func (h *hosts) wipe(m *memberProcess) {
	h.t.Helper()
	m.kill()
	must(h.t, os.RemoveAll(m.dataDir))
}

// replacing is `qkv member replace` while it runs.
type replacing struct {
	*hosts
	old, next *memberProcess
	cmd       *exec.Cmd
	log       string // the file of what it prints
	ended     chan error
}

// replace puts a member on a host of its own in the place of another one. The next one's host is only started by begin.
func (h *hosts) replace(old *memberProcess) *replacing {
	h.t.Helper()
	return h.replaceBy(old, h.member(cluster.NextName(old.name)))
}

// replaceBy puts a member in the place of another one, or of itself: it then has its name and address, and an empty folder.
func (h *hosts) replaceBy(old, next *memberProcess) *replacing {
	h.t.Helper()
	r := &replacing{hosts: h, old: old, next: next}
	r.log = filepath.Join(h.dir, "replace-"+r.next.name)
	r.run()
	return r
}

// run begins the command, or goes on where it was.
func (r *replacing) run() {
	r.t.Helper()
	out, err := os.OpenFile(r.log, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	must(r.t, err)
	defer out.Close()
	r.cmd = exec.Command("qkv", "member", "replace", r.old.name, "--peer", r.next.listenPeer, "--timeout", "20s")
	r.cmd.Env = append(run.WithoutSettings(os.Environ()), r.environment()...)
	r.cmd.Stdout, r.cmd.Stderr = out, out
	must(r.t, spawn(r.cmd))
	cmd, ended := r.cmd, make(chan error, 1)
	r.ended = ended
	go func() { ended <- cmd.Wait() }()
}

// says waits until the command has printed some words, and returns that line.
func (r *replacing) says(words string) string {
	r.t.Helper()
	for deadline := time.Now().Add(processWait); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if line := lineWith(string(readFile(r.t, r.log)), words); line != "" {
			return line
		}
	}
	r.t.Fatalf("qkv member replace does not print %q:\n%s\n%s", words, readFile(r.t, r.log), r.tails())
	return ""
}

// begin starts the next member's host.
func (r *replacing) begin() {
	r.t.Helper()
	r.joins(r.next, r.says("qkv serve "))
}

// end waits until the next member votes, and the old one is none any more.
func (r *replacing) end() {
	r.t.Helper()
	select {
	case err := <-r.ended:
		if said := string(readFile(r.t, r.log)); err != nil || !strings.Contains(said, "3 of 3") {
			r.t.Fatalf("qkv member replace: %v\n%s\n%s", err, said, r.tails())
		}
	case <-time.After(processWait):
		r.t.Fatalf("qkv member replace does not end:\n%s\n%s", readFile(r.t, r.log), r.tails())
	}
	if r.old != r.next && r.old.running() {
		if code := r.old.exit(); code != form.ExitNotAllowed {
			r.t.Errorf("%s was replaced, and ended with %d:\n%s", r.old.name, code, r.old.tail(10))
		}
	}
	r.members = append(r.others(r.old), r.next)
	r.awaitVoters()
}

// follower is one that does not lead.
func (h *hosts) follower() *memberProcess {
	h.t.Helper()
	return h.others(h.leader())[0]
}

// TestHostsLeaderKilled: the leader is killed in each step of a replacement.
func TestHostsLeaderKilled(t *testing.T) {
	if !fullVariant() {
		t.Skip("four leaders are killed while a member is replaced: make hosts")
	}
	h := newHosts(t)
	if h == nil {
		return
	}
	h.found(3)
	for i := range 64 {
		_, err := h.admin.Put(t.Context(), fmt.Appendf(nil, "big/%d", i), make([]byte, 1<<20)) // so that the next one has something to get
		must(t, err)
	}
	l := h.load("leader")
	for _, when := range []string{"added", "waits to be started", "gets the data", "votes"} {
		r := h.replace(h.follower())
		leader := h.leader()
		switch when {
		case "added":
			r.says("1 of 3")
		case "waits to be started":
			r.says("2 of 3: waiting")
		case "gets the data":
			r.begin()
			r.next.says("qkv serves")
		case "votes":
			r.begin()
			h.awaitRole(r.next.name)
		}
		h.step(l, "when the new one "+when, gapKilled, leader.kill)
		leader.start()
		if !r.next.running() {
			r.begin()
		}
		r.end()
	}
	h.ends(l)
	h.figures("the leader is killed while a member is replaced", l)
}

// awaitRole waits until a member is a learner no more.
func (h *hosts) awaitRole(name string) {
	h.t.Helper()
	for deadline := time.Now().Add(processWait); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		all, err := h.admin.Members(h.t.Context(), client.ReadOptions{Serializable: true})
		must(h.t, err)
		if slices.ContainsFunc(all, func(m kv.Member) bool { return m.Name == name && m.Role != kv.Learner }) {
			return
		}
	}
	h.t.Fatalf("%s remains a learner\n%s", name, h.tails())
}

// TestHostsRefused: folders that must not start, under load: that of a removed member, an older copy of it, and the copy
// of a folder that another host uses.
func TestHostsRefused(t *testing.T) {
	if !fullVariant() {
		t.Skip("members are removed and folders copied: make hosts")
	}
	h := newHosts(t)
	if h == nil {
		return
	}
	h.found(5)
	l := h.load("refused")
	removed := h.follower()
	backup := h.member(removed.name + "-backup")
	backup.name = removed.name
	backup.arguments = removed.arguments
	h.step(l, "a backup", gapCalm, func() {
		removed.stop()
		h.copyFolder(removed, backup)
		removed.start()
		h.awaitVoters()
	})
	h.step(l, "a removal", gapCalm, func() { h.remove(removed) })
	h.step(l, "the removed folder starts", gapCalm, func() { removed.refuses(form.ExitNotAllowed, "was removed from its cluster") })
	h.step(l, "its backup starts", gapCalm, func() { backup.refuses(form.ExitNotAllowed, "was removed from its cluster") })

	original := h.follower()
	twin := h.member(original.name + "-twin")
	twin.name, twin.arguments = original.name, original.arguments
	h.step(l, "a copied folder starts", gapCalm, func() {
		h.copyFolder(original, twin)
		twin.start()
		twin.says("a member refuses this member", "data folder was copied")
		for _, other := range h.others(original) {
			other.says("refused a peer", "data folder was copied", original.listenPeer, twin.listenPeer)
		}
		original.says("a peer has refused a second process of this member", "data folder was copied", twin.listenPeer)
	})
	h.step(l, "it ends", gapCalm, twin.kill)
	if said := lineWith(original.lines(), "AMNESIA"); said != "" {
		t.Errorf("the original of the copied folder goes on: %s", said)
	}
	h.step(l, "the copy is put back", gapCalm, func() {
		h.wipe(original)
		h.copyFolder(twin, original)
		original.start()
		original.says("a member refuses this member", "AMNESIA")
	})
	h.step(l, "and replaced", gapCalm, func() {
		r := h.replace(original)
		r.begin()
		r.end()
	})
	h.ends(l)
	h.figures("folders that must not start", l)
}

// copyFolder copies a member's data folder to another host, also while that member runs: a file that goes meanwhile is one more try.
func (h *hosts) copyFolder(from, to *memberProcess) {
	h.t.Helper()
	for try := 1; ; try++ {
		out, err := exec.Command("cp", "-a", from.dataDir, to.dataDir).CombinedOutput()
		if err == nil {
			return
		}
		if try == 10 {
			h.t.Fatalf("copy the folder: %v: %s", err, out)
		}
		must(h.t, os.RemoveAll(to.dataDir))
	}
}

// TestHostsJoinLarge: a member joins two that have 1 GB of data, under load. Its folder is on this machine's disk, and that of
// the others in memory where there is so much: hosts have disks of their own. Where all share one, times are printed only.
func TestHostsJoinLarge(t *testing.T) {
	if !fullVariant() {
		t.Skip("a member joins to 1 GB of data: QKV_FULL=1")
	}
	h := newHosts(t)
	if h == nil {
		return
	}
	const (
		value      = 64 << 10
		data       = 1 << 30
		memoryMost = 300 << 20
		slowest    = 1.5 // times what a put took before
	)
	own := h.separate && memoryAvailable(t) > 14*data
	if !own {
		h.dir = t.TempDir()
	}
	h.found(2)
	h.fill("large", data, value)
	l := h.load("join")
	time.Sleep(20 * time.Second) // the snapshots and spares of what was filled in
	calm, memory := l.now(), int64(0)
	for range 100 {
		memory = max(memory, h.leader().residentBytes())
		time.Sleep(100 * time.Millisecond)
	}
	began := l.now()
	before := l.quantile(0.99, calm, began)
	h.dir = t.TempDir() // on a disk
	rate := diskRate(t, h.dir, data)
	m := h.member("n3")
	printed := h.change("add", m.name, "--peer", m.listenPeer)
	leader := h.leader()
	began = l.now()
	h.joins(m, printed)
	here, there := int64(0), int64(0)
	for level := false; !level; time.Sleep(100 * time.Millisecond) {
		here, there = max(here, leader.residentBytes()), max(there, m.residentBytes())
		all, err := h.records()
		level = err == nil && slices.ContainsFunc(all, func(one kv.Member) bool { return one.Name == m.name && one.Role == kv.Voter })
		if l.now()-began > 5*time.Minute {
			t.Fatalf("it is not level after %v\n%s\n%s", l.now()-began, leader.tail(20), m.tail(20))
		}
	}
	ended := l.now()
	h.members = append(h.members, m)
	took, allowed := ended-began, time.Duration(2*data/rate*float64(time.Second))
	during := l.quantile(0.99, began, ended)
	disks := "one disk"
	if own {
		disks = "disks of their own"
	}
	t.Logf("figures: a member joins to 1 GB under %.0f puts/s, on %s: level within %v, copying at half the disk's %.0f MB/s takes %v; p99 of puts %v, before %v, longest time without one %v; memory of the leader %d MiB, before %d, of the new one %d",
		l.rate(calm, began), disks, took.Round(100*time.Millisecond), rate/1e6, allowed.Round(100*time.Millisecond), during.Round(time.Millisecond), before.Round(time.Millisecond), l.gap(began, ended).Round(time.Millisecond), here>>20, memory>>20, there>>20)
	if here-memory > memoryMost || there-memory > memoryMost {
		t.Errorf("memory grew by %d MiB, and the new one has %d MiB more, over %d", (here-memory)>>20, (there-memory)>>20, memoryMost>>20)
	}
	if own && !busy(t) && (took > allowed || float64(during) > slowest*float64(max(before, 10*time.Millisecond))) {
		t.Errorf("it took %v of %v, and p99 of puts was %v, before %v", took, allowed, during, before)
	}
	h.ends(l)
}

// memoryAvailable is how much there is that nobody uses.
func memoryAvailable(t *testing.T) int64 {
	t.Helper()
	var kib int64
	_, err := fmt.Sscanf(lineWith(string(readFile(t, "/proc/meminfo")), "MemAvailable:"), "MemAvailable: %d kB", &kib)
	must(t, err)
	return kib << 10
}

// fill puts so many bytes.
func (h *hosts) fill(prefix string, bytes, value int) {
	h.t.Helper()
	var all sync.WaitGroup
	failed := make(chan error, 1)
	const callers = 16
	for i := range callers {
		all.Go(func() {
			for at := i * value; at < bytes; at += callers * value {
				if _, err := h.admin.Put(h.t.Context(), fmt.Appendf(nil, "%s/%d", prefix, at), randomBytes(value)); err != nil {
					select {
					case failed <- err:
					default:
					}
					return
				}
			}
		})
	}
	all.Wait()
	select {
	case err := <-failed:
		h.t.Fatal(err)
	default:
	}
}

// diskRate is how many bytes a second this disk takes, with a sync of each MiB.
func diskRate(t *testing.T, dir string, bytes int) float64 {
	t.Helper()
	file, err := os.Create(filepath.Join(dir, "rate"))
	must(t, err)
	defer os.Remove(file.Name())
	defer file.Close()
	piece, begun := randomBytes(1<<20), time.Now()
	for range bytes >> 20 {
		_, err := file.Write(piece)
		must(t, errors.Join(err, file.Sync()))
	}
	return float64(bytes) / time.Since(begun).Seconds()
}
