package cli

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"qkv/net/client"
)

// TestProcessOnce: callers write, each time a key of its own, while the leader is killed with kill -9 again and again. No call
// fails, and each key was put once: a write whose answer was lost was sent again, and made once.
func TestProcessOnce(t *testing.T) {
	kills, _ := kills()
	c := startProcesses(t, 3)
	const callers = 16
	var (
		over    atomic.Bool
		written [callers]atomic.Int64
		errors  atomic.Int64
		all     sync.WaitGroup
	)
	for n := range callers {
		s := c.open(n, processWait)
		all.Go(func() {
			for i := int64(0); !over.Load(); i++ {
				if _, err := s.Put(context.Background(), fmt.Appendf(nil, "once/%02d/%08d", n, i), []byte("v")); err != nil {
					t.Errorf("caller %d, write %d: %v", n, i, err)
					errors.Add(1)
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
			for before := written[n].Load(); written[n].Load() < before+2 && errors.Load() == 0; time.Sleep(time.Millisecond) {
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
	sum, s := int64(0), c.open(0, processWait)
	found, err := s.Range(context.Background(), client.Range{Key: []byte("once/"), End: client.Prefix([]byte("once/"))})
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
	t.Logf("%d writes over %d kills of the leader", sum, kills)
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
