package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/testlong"
	"qkv/net/client"
)

// TestProcessOnce: callers write, each time a key of its own, while the leader is killed with kill -9 again and again. No call
// fails, and each key was put once: a write whose answer was lost was sent again, and made once. Watches see each write once, and
// in order; a lock that one holder keeps across all of it is held by nobody else.
func TestProcessOnce(t *testing.T) {
	testlong.Skip(t)
	alongside(t)
	kills, _ := kills()
	watches := 100
	if os.Getenv("QKV_FULL") != "" {
		watches = 1000
	}
	c := startProcesses(t, 3)
	seen := watchOnce(c, watches)
	kept := keepLock(c)
	const callers = onceCallers
	var (
		over    atomic.Bool
		written [callers]atomic.Int64
		failed  atomic.Int64
		all     sync.WaitGroup
	)
	for n := range callers {
		s := c.open(n, processWait)
		all.Go(func() {
			for i := int64(0); !over.Load(); i++ {
				if _, err := s.Put(context.Background(), fmt.Appendf(nil, "once/%02d/%08d", n, i), []byte("v")); err != nil {
					t.Errorf("caller %d, write %d: %v", n, i, err)
					failed.Add(1)
					return
				}
				written[n].Store(i + 1)
			}
		})
	}
	// goOn waits until each caller has written something more.
	goOn := func() {
		t.Helper()
		begun := time.Now()
		for n := range written {
			for before := written[n].Load(); written[n].Load() < before+2 && failed.Load() == 0; time.Sleep(time.Millisecond) {
				if time.Since(begun) > processWait {
					t.Fatalf("caller %d stands still\n%s", n, c.tails())
				}
			}
		}
	}
	for range kills {
		goOn()
		leader := c.leader()
		leader.kill()
		goOn()
		leader.start()
		c.answer()
	}
	goOn()
	over.Store(true)
	all.Wait()
	c.level()
	kept.end()
	for n := range written {
		seen.await(n, written[n].Load())
	}
	sum, s := int64(0), c.open(0, processWait)
	found, err := s.Range(context.Background(), kv.Range{Key: []byte("once/"), End: client.Prefix([]byte("once/"))})
	if err != nil {
		t.Fatal(err)
	}
	for _, pair := range found.KVs {
		if pair.Version != 1 {
			t.Errorf("%s has version %d", pair.Key, pair.Version)
		}
	}
	for n := range written {
		sum += written[n].Load()
	}
	if int64(len(found.KVs)) != sum {
		t.Errorf("%d keys are there, %d were written", len(found.KVs), sum)
	}
	t.Logf("figures: %d writes over %d kills of the leader, each seen once by %d watches; the lock's holder wrote %d times meanwhile", sum, kills, watches, kept.writes.Load())
}

// onceCallers is how many callers TestProcessOnce has.
const onceCallers = 16

// onceWatches are watches of what the callers of TestProcessOnce write.
type onceWatches struct {
	c   *clusterProcess
	all [][onceCallers]atomic.Int64 // how many writes of each caller each watch has seen
}

// watchOnce begins so many watches, on ten connections, which end with the test.
func watchOnce(c *clusterProcess, watches int) *onceWatches {
	c.t.Helper()
	w := &onceWatches{c: c, all: make([][onceCallers]atomic.Int64, watches)}
	ctx, cancel := context.WithCancel(context.Background())
	var reading sync.WaitGroup
	c.t.Cleanup(func() {
		cancel()
		reading.Wait()
	})
	var s [10]*client.Client
	for i := range w.all {
		if i < len(s) {
			s[i] = c.open(i, processWait)
		}
		one, err := s[i%len(s)].Watch(ctx, kv.Watch{Key: []byte("once/"), End: client.Prefix([]byte("once/")), Revision: 1})
		must(c.t, err)
		reading.Go(func() {
			newest := int64(0)
			for response, err := range one.All() {
				if err != nil {
					if ctx.Err() == nil && !errors.Is(err, client.ErrClosed) { // clients are closed first
						c.t.Errorf("watch %d, behind revision %d: %v", i, newest, err)
					}
					return
				}
				for _, e := range response.Events {
					var caller int
					var write int64
					_, err := fmt.Sscanf(string(e.KV.Key), "once/%02d/%08d", &caller, &write)
					if had := w.all[i][caller].Load(); err != nil || e.KV.ModRevision <= newest || write != had || e.KV.Version != 1 {
						c.t.Errorf("watch %d, behind revision %d and write %d of caller %d: %s at revision %d", i, newest, had-1, caller, e.KV.Key, e.KV.ModRevision)
						return
					}
					newest = e.KV.ModRevision
					w.all[i][caller].Store(write + 1)
				}
			}
		})
	}
	return w
}

// await waits until each watch has seen so many writes of a caller.
func (w *onceWatches) await(caller int, writes int64) {
	w.c.t.Helper()
	begun := time.Now()
	for i := range w.all {
		for w.all[i][caller].Load() < writes && !w.c.t.Failed() {
			if time.Sleep(10 * time.Millisecond); time.Since(begun) > processWait {
				w.c.t.Fatalf("watch %d has seen %d of %d writes of caller %d\n%s", i, w.all[i][caller].Load(), writes, caller, w.c.tails())
			}
		}
	}
}

// fenced is a store outside of the cluster that knows no lock: it takes a write whose token is not lower than the highest that
// it has seen.
type fenced struct {
	mu      sync.Mutex
	highest int64
}

func (f *fenced) write(token int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if token < f.highest {
		return false
	}
	f.highest = token
	return true
}

// keptLock is a lock that one holder keeps, which others want.
type keptLock struct {
	t      testing.TB
	held   *client.Mutex
	token  int64 // of the holder
	store  fenced
	writes atomic.Int64 // of the holder
	over   atomic.Bool  // the holder is about to let go
	stop   context.CancelFunc
	all    sync.WaitGroup
	next   chan int64 // the token of who had it next
}

// keepLock takes a lock, which the holder keeps until end, and has three others wait for it.
func keepLock(c *clusterProcess) *keptLock {
	c.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l := &keptLock{t: c.t, stop: cancel, next: make(chan int64, 3)}
	c.t.Cleanup(func() {
		cancel()
		l.all.Wait()
	})
	mutex := func(i int) *client.Mutex {
		s, err := client.NewLockSession(ctx, c.open(i, processWait), client.LockSessionOptions{TTL: 60 * time.Second})
		must(c.t, err)
		return client.NewMutex(s, "kept")
	}
	l.held = mutex(0)
	must(c.t, l.held.Lock(ctx))
	l.token = l.held.Token()
	l.store.write(l.token)
	for i := range 3 {
		m := mutex(i)
		l.all.Go(func() {
			if err := m.Lock(ctx); err != nil {
				if ctx.Err() == nil {
					c.t.Errorf("one that waits for the lock: %v", err)
				}
				return
			}
			if !l.over.Load() {
				c.t.Errorf("token %d has the lock, while %d has it", m.Token(), l.token)
			}
			if !l.store.write(m.Token()) {
				c.t.Errorf("token %d is lower than one before it", m.Token())
			}
			l.next <- m.Token()
			if err := m.Unlock(ctx); err != nil && ctx.Err() == nil {
				c.t.Errorf("unlock: %v", err)
			}
		})
	}
	l.all.Go(func() {
		for ; ctx.Err() == nil && !l.over.Load(); time.Sleep(10 * time.Millisecond) {
			if !l.store.write(l.token) && !l.over.Load() {
				c.t.Errorf("the holder's token %d is refused: somebody else had the lock", l.token)
				return
			}
			l.writes.Add(1)
		}
	})
	return l
}

// end lets the lock go: those that wait have it, one after the other, and what the holder would still write is refused.
func (l *keptLock) end() {
	l.t.Helper()
	select {
	case token := <-l.next:
		l.t.Fatalf("token %d had the lock while %d had it", token, l.token)
	default:
	}
	l.over.Store(true)
	must(l.t, l.held.Unlock(context.Background()))
	for before, i := l.token, 0; i < 3; i++ {
		select {
		case token := <-l.next:
			if token <= before {
				l.t.Errorf("token %d comes behind %d", token, before)
			}
			before = token
		case <-time.After(processWait):
			l.t.Fatal("nobody gets the lock any more")
		}
	}
	if l.store.write(l.token) {
		l.t.Error("a write of who had the lock before is taken")
	}
	l.stop()
	l.all.Wait()
}

// TestProcessOnceFigures measures what it costs that writes are made once: puts with 1000 under way, with and without names, by
// turns. Its limit holds on a host that does nothing else.
func TestProcessOnceFigures(t *testing.T) {
	if os.Getenv("QKV_FULL") == "" {
		t.Skip("figures of writes that are made once: QKV_FULL=1; TestProcessOnce holds what must be true of them")
	}
	c := startProcesses(t, 3)
	named := c.open(0, processWait)
	c.nameless = true
	nameless := c.open(0, processWait)
	value := make([]byte, 256)
	measure := func(s *client.Client) (rate, cpu float64) {
		const callers, lasts = 1000, 3 * time.Second
		var n atomic.Int64
		var all sync.WaitGroup
		before, begun := c.cpu(t), time.Now()
		until := begun.Add(lasts)
		for range callers {
			all.Go(func() {
				for time.Now().Before(until) {
					if _, err := s.Put(t.Context(), fmt.Appendf(nil, "put/%06d", n.Add(1)%100_000), value); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		all.Wait()
		return float64(n.Load()) / time.Since(begun).Seconds(), float64(c.cpu(t)-before) / float64(n.Load()) / 1000
	}
	measure(named)
	measure(nameless)
	var rates, costs []float64
	for i := range 9 {
		pair := []*client.Client{named, nameless}
		rate, cost := [2]float64{}, [2]float64{}
		for _, j := range [][]int{{0, 1}, {1, 0}}[i%2] {
			rate[j], cost[j] = measure(pair[j])
		}
		rates, costs = append(rates, rate[0]/rate[1]), append(costs, cost[0]/cost[1])
		t.Logf("figures: %.0f puts/s at %.1f us of processor, and %.0f at %.1f without names", rate[0], cost[0], rate[1], cost[1])
	}
	slices.Sort(rates)
	slices.Sort(costs)
	t.Logf("figures: rate %.3f at the median of %.3f, processor %.3f of %.3f", rates[4], rates, costs[4], costs)
	if rates[4] < 0.9 {
		t.Errorf("puts that are made once have %.1f %% of the rate of others, under 90 %%", rates[4]*100)
	}
}
