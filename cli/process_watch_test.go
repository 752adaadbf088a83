package cli

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/testlong"
	"qkv/net/client"
)

// TestProcessWatches: 1000 watches on ten connections miss nothing, get nothing twice and nothing out of order while the
// leader is killed again and again. All keys are watched, so that each revision must come behind the one before.
func TestProcessWatches(t *testing.T) {
	testlong.Skip(t)
	alongside(t)
	const connections, each = 10, 100
	kills := 5
	if testing.Short() {
		kills = 2
	}
	c := startProcesses(t, 3)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var reading sync.WaitGroup
	var newest int64
	var seen [connections * each]atomic.Int64 // the revision that each has seen last
	for i := range connections {
		s := c.open(i, processWait)
		for j := range each {
			w, err := s.Watch(ctx, kv.Watch{Key: []byte{0}, End: client.From, Revision: 1, PrevKV: i%2 == 0})
			if err != nil {
				t.Fatal(err)
			}
			mine := &seen[i*each+j]
			mine.Store(1)
			reading.Go(func() {
				for response, err := range w.All() {
					if err != nil {
						if ctx.Err() == nil {
							t.Errorf("behind revision %d: %v", mine.Load(), err)
						}
						return
					}
					for _, e := range response.Events {
						if e.KV.ModRevision != mine.Add(1) {
							t.Errorf("behind revision %d comes %d", mine.Load()-1, e.KV.ModRevision)
							return
						}
					}
				}
			})
		}
	}
	writer := c.open(0, processWait)
	put := func() bool {
		written, err := writer.Put(ctx, []byte("w"), []byte(time.Now().String()))
		if err == nil {
			newest = written.Revision
		}
		return err == nil
	}
	for range kills {
		for until := time.Now().Add(time.Second); time.Now().Before(until); {
			put()
		}
		m := c.leader()
		m.kill()
		put()
		m.start()
		c.level()
	}
	for !put() { // all that may have happened has happened before
	}
	for deadline := time.Now().Add(processWait); ; time.Sleep(10 * time.Millisecond) {
		behind := 0
		for i := range seen {
			if seen[i].Load() < newest {
				behind++
			}
		}
		if behind == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Errorf("%d watches have not seen revision %d", behind, newest)
			break
		}
	}
	cancel()
	reading.Wait()
	t.Logf("figures: %d watches saw each of %d revisions once, over %d kills of the leader", connections*each, newest, kills)
}

// TestProcessWatchesComeAndGo: what a member has done for watches that are gone leaves nothing behind that keeps later ones out,
// although it is far more than may wait for it at a time.
func TestProcessWatchesComeAndGo(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	const watches = 3 * limits.WatchRequestsWaiting / (2 * limits.RequestOverhead)
	c := startProcesses(t, 1)
	s := c.open(0, processWait)
	var all sync.WaitGroup
	var begun atomic.Int64
	for range 64 {
		all.Go(func() {
			for begun.Add(1) <= watches && !t.Failed() {
				w, err := s.Watch(t.Context(), kv.Watch{Key: []byte("k")})
				if err != nil {
					t.Errorf("of %d watches, one at a time in each of 64 goroutines, one was not served: %v", begun.Load(), err)
					return
				}
				w.Close()
			}
		})
	}
	all.Wait()
}

// cpuOf is the processor time that a process has used.
func cpuOf(t *testing.T, pid int) time.Duration {
	t.Helper()
	_, rest, _ := strings.Cut(string(readFile(t, fmt.Sprintf("/proc/%d/stat", pid))), ") ")
	fields := strings.Fields(rest)
	ticks := 0
	for _, i := range []int{11, 12} {
		n, err := strconv.Atoi(fields[i])
		must(t, err)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// cpu is that of all members.
func (c *clusterProcess) cpu(t *testing.T) (sum time.Duration) {
	for _, m := range c.members {
		sum += cpuOf(t, m.cmd.Process.Pid)
	}
	return sum
}

// TestProcessWatchFigures measures what watches cost. Its limits hold on a host that does nothing else.
func TestProcessWatchFigures(t *testing.T) {
	if os.Getenv("QKV_FULL") == "" {
		t.Skip("figures of watches: QKV_FULL=1; TestProcessWatches holds what must be true of them")
	}
	t.Run("idle", watchIdleCost)
	t.Run("fanout", watchFanout)
	t.Run("resume", watchResume)
}

// putSteadily puts for a while, with many calls under way, and returns how many there were.
func putSteadily(t *testing.T, s *client.Client, lasts time.Duration, key func(i int64) []byte, value []byte) int64 {
	t.Helper()
	var n, failed atomic.Int64
	var all sync.WaitGroup
	until := time.Now().Add(lasts)
	for range 256 {
		all.Go(func() {
			for time.Now().Before(until) {
				if _, err := s.Put(t.Context(), key(n.Add(1)), value); err != nil {
					failed.Add(1)
				}
			}
		})
	}
	all.Wait()
	if failed.Load() > 0 {
		t.Fatalf("%d puts failed", failed.Load())
	}
	return n.Load()
}

// putAtRate puts so many a second for a while, and returns how many there were.
func putAtRate(t *testing.T, s *client.Client, rate int, lasts time.Duration, key func(i int64) []byte, value []byte) int64 {
	t.Helper()
	var n, failed atomic.Int64
	var all sync.WaitGroup
	begun := time.Now()
	for range 256 {
		all.Go(func() {
			for {
				i := n.Add(1)
				at := time.Duration(i) * time.Second / time.Duration(rate)
				if at > lasts || time.Since(begun) > lasts {
					n.Add(-1)
					return
				}
				time.Sleep(at - time.Since(begun))
				if _, err := s.Put(t.Context(), key(i), value); err != nil {
					failed.Add(1)
				}
			}
		})
	}
	all.Wait()
	if failed.Load() > 0 {
		t.Fatalf("%d puts failed", failed.Load())
	}
	return n.Load()
}

// watchIdleCost compares a put's processor time on all members with and without 1000 watches on other keys. Puts come at a rate that
// leaves the host room, so that as many share a sync in both cases; a round has both twice, in the order without, with, with, without,
// so that what grows meanwhile is in both; and what is said of the median is only what rounds that differ allow to say.
func watchIdleCost(t *testing.T) {
	const rounds, lower, upper = 16, 3, 12 // the median is between those of these places with 98 % certainty, whatever is between rounds
	c := startProcesses(t, 3)
	s := c.open(0, processWait)
	cost := func() float64 {
		before := c.cpu(t)
		n := putAtRate(t, s, 10_000, time.Second, func(i int64) []byte { return fmt.Appendf(nil, "put/%d", i%1000) }, make([]byte, 256))
		return float64(c.cpu(t)-before) / float64(n)
	}
	var clients []*client.Client
	for i := range 10 {
		clients = append(clients, c.open(i, processWait))
	}
	watched := func() float64 {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for i, w := range clients {
			for j := range 100 {
				q := kv.Watch{Key: fmt.Appendf(nil, "idle/%d/%d", i, j)}
				if j%2 == 0 {
					q.End = client.Prefix(q.Key)
				}
				_, err := w.Watch(ctx, q)
				must(t, err)
			}
		}
		return cost()
	}
	cost()
	watched()
	var ratios, same []float64
	for range rounds {
		time.Sleep(100 * time.Millisecond) // the watches of the round before have ended
		before, with := cost(), watched()+watched()
		time.Sleep(100 * time.Millisecond)
		after := cost()
		ratios, same = append(ratios, with/(before+after)), append(same, after/before)
		t.Logf("a put costs %.1f and %.1f us, and %.1f with 1000 watches on other keys", before/1000, after/1000, with/2000)
	}
	slices.Sort(ratios)
	slices.Sort(same)
	median := (ratios[rounds/2-1] + ratios[rounds/2]) / 2
	t.Logf("figures: 1000 watches on other keys cost a put %.3f at the median, between %.3f and %.3f with 98 %% certainty; the same without any, %.3f to %.3f",
		median, ratios[lower], ratios[upper], same[lower], same[upper])
	if ratios[lower] > 1.05 {
		t.Errorf("1000 watches on other keys cost a put over 5 %%: %.3f at the least", ratios[lower])
	}
}

// watchFanout has 1000 watches on ten connections see the puts of one key.
func watchFanout(t *testing.T) {
	c := startProcesses(t, 3)
	var events atomic.Int64
	for i := range 10 {
		s := c.open(i, processWait)
		for range 100 {
			w, err := s.Watch(t.Context(), kv.Watch{Key: []byte("k")})
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				for response := range w.All() {
					events.Add(int64(len(response.Events)))
				}
			}()
		}
	}
	s := c.open(0, processWait)
	key := func(int64) []byte { return []byte("k") }
	putSteadily(t, s, time.Second, key, make([]byte, 32))
	from, begun := events.Load(), time.Now()
	n := putSteadily(t, s, 5*time.Second, key, make([]byte, 32))
	rate := float64(events.Load()-from) / time.Since(begun).Seconds()
	if t.Logf("figures: %.0f events/s of %d puts", rate, n); rate < 1_000_000 {
		t.Errorf("%.0f events/s, 1000000 are asked", rate)
	}
}

// watchResume puts 10,000 watches on 1000 prefixes back by 100,000 revisions at once.
func watchResume(t *testing.T) {
	const connections, prefixes, revisions = 10, 1000, 100_000
	c := startProcesses(t, 3)
	s := c.open(0, processWait)
	value := bytes.Repeat([]byte("v"), 64)
	var first int64
	var all sync.WaitGroup
	var next atomic.Int64
	for range 256 {
		all.Go(func() {
			for i := next.Add(1); i <= revisions; i = next.Add(1) {
				if _, err := s.Put(t.Context(), fmt.Appendf(nil, "p%03d/%d", i%prefixes, i), value); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	first = 2
	probe := startProbe(c)
	_, calm := probe.measure(3 * time.Second)
	var clients []*client.Client
	for i := range connections {
		clients = append(clients, c.open(i, processWait))
	}
	var done atomic.Int64
	begun := time.Now()
	var over atomic.Int64
	members, own := c.cpu(t), cpuOf(t, os.Getpid())
	probe.begin(3 * time.Second)
	for _, s := range clients {
		for prefix := range prefixes {
			all.Go(func() {
				key := fmt.Appendf(nil, "p%03d/", prefix)
				w, err := s.Watch(t.Context(), kv.Watch{Key: key, End: client.Prefix(key), Revision: first})
				if err != nil {
					t.Error(err)
					return
				}
				defer w.Close()
				for n := 0; n < revisions/prefixes; {
					response, err := w.Next()
					if err != nil {
						t.Error(err)
						return
					}
					n += len(response.Events)
				}
				if done.Add(1) == connections*prefixes {
					over.Store(int64(time.Since(begun)))
				}
			})
		}
	}
	all.Wait()
	_, busy := probe.end()
	took := time.Duration(over.Load())
	t.Logf("figures: %d watches that were %d revisions behind caught up in %v, with %v of processors for the members and %v for their clients; p99 of a put %v, and %v meanwhile; %d processors",
		connections*prefixes, revisions, took.Round(time.Millisecond), c.cpu(t)-members, cpuOf(t, os.Getpid())-own, calm, busy, runtime.GOMAXPROCS(0))
	if took > 5*time.Second {
		t.Errorf("catching up took %v, 5 s are asked", took)
	}
	if busy > 3*calm {
		t.Errorf("p99 of a put was %v before and %v meanwhile, over three times as much", calm, busy)
	}
}
