package cli

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"qkv/cli/cluster"
	"qkv/cli/run"
	"qkv/internal/figures"
	"qkv/net/client"
)

// The tests called TestAdverse hold a cluster of real processes to figures while everything around it is as bad as it
// gets. Each prints one line of them. `make check` runs a short variant of each, `make adverse` the whole.

// fullVariant says whether tests are to take the time that their figures need.
func fullVariant() bool { return os.Getenv("QKV_FULL") != "" }

// variant chooses between the short and the full one.
func variant[T any](short, full T) T {
	if fullVariant() {
		return full
	}
	return short
}

// alongside lets the short variant of a test run beside others. What it measures is then no measure of anything, so that
// it holds the cluster to looser figures. Under the race detector even these mean nothing.
func alongside(t *testing.T) {
	t.Helper()
	if slowdown > 1 {
		t.Skip("it measures rates and times of processes, which the race detector changes: `make adverse` runs it")
	}
	if !fullVariant() && os.Getenv(apartName) == "" {
		t.Parallel()
	}
}

// apartName is the variable that names the test that this process was made for.
const apartName = "QKV_TEST_APART"

// apart runs the calling test once more, in a process with namespaces of its own, so that nothing else on this host is
// changed or counted. In that process it returns true; in the other one it returns false when that is over. Without
// root they are a user's, where there are no devices.
func apart(t *testing.T, namespaces uintptr) (here bool) {
	t.Helper()
	if os.Getenv(apartName) == t.Name() {
		if namespaces&syscall.CLONE_NEWNS != 0 { // what is mounted here is seen nowhere else, and goes with this process
			must(t, syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""))
		}
		if namespaces&syscall.CLONE_NEWNET != 0 {
			raiseLoopback(t)
		}
		return true
	}
	program, err := os.Executable()
	must(t, err)
	cmd := exec.Command(program, "-test.run", "^"+t.Name()+"$", "-test.v", "-test.timeout", "30m")
	cmd.Env = append(os.Environ(), apartName+"="+t.Name(), fmt.Sprintf("%s=%d", apartPortName, apartFirst+nextApart.Add(1)%apartRanges*apartPorts))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Cloneflags: namespaces}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := spawn(cmd); err != nil {
		t.Skipf("no namespaces of its own can be made here: %v", err)
	}
	err = cmd.Wait()
	for line := range strings.Lines(out.String()) {
		if _, said, ok := strings.Cut(line, "_test.go:"); ok {
			_, said, _ = strings.Cut(said, ": ")
			t.Log(strings.TrimSpace(said))
		}
	}
	if err != nil {
		t.Fatalf("%v:\n%s", err, out.String())
	}
	if strings.Contains(out.String(), "--- SKIP: "+t.Name()+" ") {
		t.Skip("in a process of its own: see the line above")
	}
	return false
}

// meter is callers that put one value after the other into keys of their own, and how long each put took.
type meter struct {
	cluster *clusterProcess
	begun   time.Time
	stop    context.CancelFunc
	running sync.WaitGroup

	mu     sync.Mutex
	puts   []meterPut
	newest map[string]int64 // the number that was acknowledged last, by key
	sent   map[string]int64 // the number that was sent last
	errs   map[string]int
}

type meterPut struct {
	begun, ended time.Duration
	err          error
}

// startMeter sets callers to work, evenly on the clients. Each begins a put so often at most, in a few keys of its own.
func startMeter(c *clusterProcess, name string, clients []*client.Client, callers, size int, every time.Duration) *meter {
	c.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	m := &meter{
		cluster: c, begun: time.Now(), stop: stop,
		newest: map[string]int64{}, sent: map[string]int64{}, errs: map[string]int{},
	}
	for i := range callers {
		m.running.Go(func() {
			for number := int64(1); ctx.Err() == nil; number++ {
				began := m.now()
				m.put(clients[i%len(clients)], fmt.Sprintf("%s/%03d/%d", name, i, number%2), number, size)
				pause(ctx, began+every-m.now())
			}
		})
	}
	c.t.Cleanup(m.end)
	return m
}

// end waits for the puts that are under way.
func (m *meter) end() {
	m.stop()
	m.running.Wait()
}

func (m *meter) now() time.Duration { return time.Since(m.begun) }

func (m *meter) put(s *client.Client, key string, number int64, size int) {
	m.mu.Lock()
	m.sent[key] = number
	m.mu.Unlock()
	value := append(strconv.AppendInt(nil, number, 10), ' ')
	value = append(value, bytes.Repeat([]byte{'.'}, max(size-len(value), 0))...)
	p := meterPut{begun: m.now()}
	ctx, cancel := context.WithTimeout(context.Background(), processWait)
	_, p.err = s.Put(ctx, []byte(key), value)
	cancel()
	p.ended = m.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.puts = append(m.puts, p)
	if p.err == nil {
		m.newest[key] = number
		return
	}
	if text := p.err.Error(); len(m.errs) < 20 || m.errs[text] > 0 {
		m.errs[text]++
	}
}

// acknowledged are the puts that were, and that ended between two times, by when they ended.
func (m *meter) acknowledged(from, to time.Duration) (done []meterPut) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.puts {
		if p.err == nil && from <= p.ended && p.ended < to {
			done = append(done, p)
		}
	}
	slices.SortFunc(done, func(a, b meterPut) int { return int(a.ended - b.ended) })
	return done
}

// failures are the puts that failed and ended between two times.
func (m *meter) failures(from, to time.Duration) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.puts {
		if p.err != nil && from <= p.ended && p.ended < to {
			n++
		}
	}
	return n
}

// rate is how many puts a second were acknowledged between two times.
func (m *meter) rate(from, to time.Duration) float64 {
	return float64(len(m.acknowledged(from, to))) / (to - from).Seconds()
}

// gap is the longest time without an acknowledged put between two times.
func (m *meter) gap(from, to time.Duration) (longest time.Duration) {
	last := from
	for _, p := range m.acknowledged(from, to) {
		longest, last = max(longest, p.ended-last), p.ended
	}
	return max(longest, to-last)
}

// quantile is how long the puts took that ended between two times.
func (m *meter) quantile(q float64, from, to time.Duration) time.Duration {
	var took []time.Duration
	for _, p := range m.acknowledged(from, to) {
		took = append(took, p.ended-p.begun)
	}
	if len(took) == 0 {
		return math.MaxInt64
	}
	slices.Sort(took)
	return took[min(int(float64(len(took))*q), len(took)-1)]
}

// acknowledges waits until a put that begins after now is acknowledged, and returns how long that took.
func (m *meter) acknowledges(most time.Duration) time.Duration {
	m.cluster.t.Helper()
	from := m.now()
	for {
		m.mu.Lock()
		done := slices.ContainsFunc(m.puts[max(0, len(m.puts)-10_000):], func(p meterPut) bool { return p.err == nil && p.begun >= from })
		m.mu.Unlock()
		if done {
			return m.now() - from
		}
		if m.now()-from > most {
			m.cluster.t.Fatalf("no put is acknowledged for %v; callers were told %v\n%s", most, m.errs, m.cluster.tails())
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// nothingLost ends the meter, and reads back what was acknowledged.
func (m *meter) nothingLost() {
	m.cluster.t.Helper()
	m.end()
	s := m.cluster.open(0, processWait)
	lost := 0
	for key, acknowledged := range m.newest {
		kv, found, err := s.Get(context.Background(), []byte(key))
		got := numberOf(kv.Value)
		if err != nil || !found || got < acknowledged || got > m.sent[key] {
			if lost++; lost < 10 {
				m.cluster.t.Errorf("%s: put %d was acknowledged, put %d was sent last, and %d is there (%v, %v)", key, acknowledged, m.sent[key], got, found, err)
			}
		}
	}
	_ = s.Close()
	if m.cluster.t.Failed() && len(m.errs) > 0 {
		m.cluster.t.Logf("what callers were told: %v", m.errs)
	}
}

// clients opens so many, spread over the members.
func (c *clusterProcess) clients(n int) (all []*client.Client) {
	c.t.Helper()
	for i := range n {
		all = append(all, c.open(i, processWait))
	}
	return all
}

// leaders counts how often leadership came to somebody, by what the members say.
func (c *clusterProcess) leaders() (n int) {
	for _, m := range c.members {
		for line := range strings.Lines(m.lines()) {
			if strings.Contains(line, "role=leader") {
				n++
			}
		}
	}
	return n
}

// allRun fails the test when a member has ended.
func (c *clusterProcess) allRun() {
	c.t.Helper()
	for _, m := range c.members {
		if !m.running() {
			c.t.Errorf("%s has ended: %v\n%s", m.name, m.cmd.ProcessState, m.tail(10))
		}
	}
}

// caughtUp says whether a member has applied what others had when they were asked, give or take what is under way.
func caughtUp(members []cluster.MemberStatus, name string) bool {
	leader := run.LeaderOf(members)
	i := slices.IndexFunc(members, func(m cluster.MemberStatus) bool { return m.Name == name })
	return leader != nil && i >= 0 && members[i].Answers && members[i].Count(figures.Term) == leader.Count(figures.Term) &&
		members[i].Count(figures.Applied)+200 >= leader.Count(figures.Applied)
}
