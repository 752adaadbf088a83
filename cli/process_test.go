package cli

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"qkv/net/client"
)

// The load of TestProcesses: each caller has keys of its own and waits for each answer.
const (
	callers       = 32
	keysPerCaller = 8
	leastRate     = 1000 // puts a second while all members run
)

// TestProcesses kills real processes under load with kill -9, one at a time and all at once. What was acknowledged,
// which only this process knows, must be there afterwards; what certainly did not happen must not; and all members
// must have the same state. QKV_FULL=1 makes it 50 times one and 10 times all.
func TestProcesses(t *testing.T) {
	t.Parallel()
	ones, alls := 3, 1
	full := os.Getenv("QKV_FULL") != ""
	switch {
	case full:
		ones, alls = 50, 10
	case testing.Short():
		ones = 1
	}
	c := startCluster(t, demoMembers)
	l := startLoad(t, c)
	var rates []float64
	for i := range ones + alls {
		rates = append(rates, l.steady(time.Duration(300+rand.IntN(500))*time.Millisecond))
		victims := []*process{c.members[rand.IntN(len(c.members))]}
		if i%(ones/alls+1) == ones/alls {
			victims = c.members
		}
		for _, m := range victims {
			must(t, m.kill())
		}
		time.Sleep(time.Duration(rand.IntN(1500)) * time.Millisecond) // past an election, or before one
		for _, m := range victims {
			must(t, m.start())
		}
		c.awaitAll(t)
	}
	l.stop()
	members, err := c.healthy(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l.check(t)
	t.Logf("%d kills of one and %d of all: %d puts acknowledged, %d of unknown outcome, %d certainly failed, %.0f puts/s in between; digest %s on all",
		ones, alls, l.acknowledged.Load(), l.unknown.Load(), l.failed.Load(), mean(rates), members[0].Digest)
	if full && mean(rates) < leastRate {
		t.Errorf("the load was %.0f puts/s, and should be %d at least", mean(rates), leastRate)
	}
}

// TestDiskFails takes the disk away from a member: it ends at once with its own exit code, and what it had
// acknowledged is there when the disk is back.
func TestDiskFails(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1)
	s, err := c.target().open(t.Context())
	must(t, err)
	defer func() { _ = s.Close() }()
	_, err = s.Put(t.Context(), []byte("key"), []byte("acknowledged"))
	must(t, err)
	m := c.members[0]
	must(t, unix.Prlimit(m.pid(), unix.RLIMIT_FSIZE, &unix.Rlimit{}, nil))
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := s.Put(ctx, []byte("key"), []byte("lost?")); exitCode(writeFailed(err)) != exitUnknown {
		t.Errorf("a put that the disk did not take ends with %v", err)
	}
	select {
	case <-m.ended:
	case <-time.After(localWait):
		t.Fatal("the member goes on without a disk")
	}
	if want := fmt.Sprintf("exit status %d", exitDisk); m.err.Error() != want {
		t.Errorf("the member ended with %v, want %s", m.err, want)
	}
	if !strings.Contains(c.output.String(), "the disk failed") {
		t.Errorf("the member does not say why it ended:\n%s", c.output)
	}
	must(t, m.start())
	kv, found, err := s.Get(t.Context(), []byte("key"))
	if err != nil || !found || string(kv.Value) != "acknowledged" && string(kv.Value) != "lost?" {
		t.Errorf("after the restart: %q %v %v", kv.Value, found, err)
	}
}

// TestAmnesia wipes a member's data folder under a running cluster: it is refused as a voter, says so itself, and the
// others go on.
func TestAmnesia(t *testing.T) {
	t.Parallel()
	c := startCluster(t, demoMembers)
	s, err := c.target().open(t.Context())
	must(t, err)
	defer func() { _ = s.Close() }()
	for i := range 10 {
		_, err := s.Put(t.Context(), []byte("key"), []byte(strconv.Itoa(i)))
		must(t, err)
	}
	m := c.members[2]
	must(t, m.kill())
	must(t, os.RemoveAll(m.dataDir))
	must(t, m.start())
	for deadline := time.Now().Add(localWait); ; time.Sleep(50 * time.Millisecond) {
		members, err := c.target().status(t.Context())
		i := slices.IndexFunc(members, func(s memberStatus) bool { return s.Name == m.name })
		if i >= 0 && strings.Contains(members[i].Error, "AMNESIA") && strings.Contains(c.output.String(), "AMNESIA") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("no AMNESIA in the status (%s) or in the log:\n%s", describe(members, err), c.output)
		}
	}
	_, err = s.Put(t.Context(), []byte("key"), []byte("without the third"))
	must(t, err)
}

// realCluster is members, each this test's binary under the name of qkv.
type realCluster struct {
	*localCluster
	output *lines // all that the members said
}

func startCluster(t *testing.T, members int) *realCluster {
	t.Helper()
	port, err := freePorts(2 * members)
	must(t, err)
	dir := t.TempDir()
	output := &lines{}
	l, err := newLocalCluster(members, port, filepath.Join(dir, "data"), filepath.Join(dir, "home"), newTerminal(output))
	must(t, err)
	program, err := exec.LookPath("qkv")
	must(t, err)
	for _, m := range l.members {
		m.executable = program
	}
	must(t, l.start())
	t.Cleanup(func() {
		l.stop()
		if t.Failed() {
			t.Logf("the members' lines:\n%s", output)
		}
	})
	if _, err := l.healthy(t.Context()); err != nil {
		t.Fatal(err)
	}
	return &realCluster{l, output}
}

// lines keeps what is written for whoever asks meanwhile.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// awaitAll waits until all members answer and one of them leads. Under load they are never exactly level.
func (c *realCluster) awaitAll(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(localWait); ; time.Sleep(20 * time.Millisecond) {
		must(t, c.ended())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		members, err := c.target().status(ctx)
		cancel()
		answering := 0
		for _, m := range members {
			if m.Role == "leader" || m.Role == "follower" {
				answering++
			}
		}
		if err == nil && answering == len(c.members) && leaderOf(members) != nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not all members serve after %v: %s", localWait, describe(members, err))
		}
	}
}

// load is callers that put, and what is known of each put.
type load struct {
	cluster                       *realCluster
	cancel                        context.CancelFunc
	running                       sync.WaitGroup
	callers                       []*caller
	acknowledged, unknown, failed atomic.Int64
}

// caller owns a few keys. Only its own goroutine touches it until the load has stopped.
type caller struct {
	name  string
	store *client.Client
	next  int
	last  [keysPerCaller]int          // the newest acknowledged number of each key; 0 is none
	maybe [keysPerCaller]map[int]bool // numbers whose outcome is not known
	at    int64                       // revision of the newest acknowledged put
	wrong error
}

func startLoad(t *testing.T, c *realCluster) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{cluster: c, cancel: cancel}
	to := c.target()
	to.timeout = 3 * time.Second
	for i := range callers {
		if i%8 == 0 { // some connections, each beginning at another member
			to.endpoints = append(to.endpoints[1:], to.endpoints[0])
		}
		one := &caller{name: "c" + strconv.Itoa(i)}
		for k := range one.maybe {
			one.maybe[k] = map[int]bool{}
		}
		var err error
		if i%8 == 0 {
			if one.store, err = to.open(t.Context()); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = one.store.Close() })
		} else {
			one.store = l.callers[i-1].store
		}
		l.callers = append(l.callers, one)
		l.running.Go(func() { one.run(ctx, l) })
	}
	return l
}

func (c *caller) key(k int) string { return fmt.Sprintf("%s/%d", c.name, k) }

// run puts until ctx ends, and then lets the last put end.
func (c *caller) run(ctx context.Context, l *load) {
	for ctx.Err() == nil && c.wrong == nil {
		c.next++
		k := c.next % keysPerCaller
		written, err := c.store.Put(context.WithoutCancel(ctx), []byte(c.key(k)), []byte(strconv.Itoa(c.next)))
		switch {
		case err == nil:
			if written.Revision <= c.at {
				c.wrong = fmt.Errorf("%s: put %d is acknowledged at revision %d, after one at %d", c.key(k), c.next, written.Revision, c.at)
			}
			c.last[k], c.at = c.next, written.Revision
			l.acknowledged.Add(1)
		case exitCode(writeFailed(err)) == exitUnknown:
			c.maybe[k][c.next] = true
			l.unknown.Add(1)
		case errors.Is(err, client.ErrUnavailable) || exitCode(err) == exitUnavailable:
			l.failed.Add(1)
		default:
			c.wrong = fmt.Errorf("%s: put %d: %w", c.key(k), c.next, err)
		}
	}
}

// steady lets the load run for a while, and returns its rate.
func (l *load) steady(d time.Duration) float64 {
	before, begun := l.acknowledged.Load(), time.Now()
	time.Sleep(d)
	return float64(l.acknowledged.Load()-before) / time.Since(begun).Seconds()
}

func (l *load) stop() {
	l.cancel()
	l.running.Wait()
}

// check reads every key back: it holds the newest acknowledged put, or one whose outcome is not known.
func (l *load) check(t *testing.T) {
	t.Helper()
	for _, c := range l.callers {
		if c.wrong != nil {
			t.Error(c.wrong)
		}
		for k := range keysPerCaller {
			kv, found, err := c.store.Get(t.Context(), []byte(c.key(k)))
			must(t, err)
			number := 0
			if found {
				number, err = strconv.Atoi(strings.TrimSpace(string(kv.Value)))
				must(t, err)
			}
			if number != c.last[k] && !c.maybe[k][number] {
				t.Errorf("LOST: %s holds put %d; %d was the last that was acknowledged, and of %v the outcome is unknown", c.key(k), number, c.last[k], c.maybe[k])
			}
		}
	}
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}
