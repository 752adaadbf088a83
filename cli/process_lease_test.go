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

// TestProcessLeases has many leases of one second end at once: no key is gone before its lease is over, by the clock of who was
// granted it, and all are gone soon behind it. With QKV_FULL=1 it is 100,000, and a put's p99 is measured.
func TestProcessLeases(t *testing.T) {
	testlong.Skip(t)
	alongside(t)
	leases, ahead := 2_000, 6*time.Second
	full := os.Getenv("QKV_FULL") != ""
	if full {
		leases, ahead = 100_000, 45*time.Second
	}
	c := startProcesses(t, 3)
	c.level()
	ends := make([]atomic.Int64, leases) // when its lease may end at the earliest
	gone := make([]atomic.Int64, leases) // when its key was seen to be deleted
	ctx, cancel := context.WithCancel(t.Context())
	var left atomic.Int64
	left.Store(int64(leases))
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	w, err := c.open(1, processWait).Watch(ctx, kv.Watch{Key: []byte("lease/"), End: client.Prefix([]byte("lease/")), NoPut: true})
	must(t, err)
	watching.Go(func() {
		for response, err := range w.All() {
			if err != nil {
				if ctx.Err() == nil {
					t.Error(err)
				}
				return
			}
			for _, e := range response.Events {
				var i int
				_, err := fmt.Sscanf(string(e.KV.Key), "lease/%d", &i)
				if end := ends[i].Load(); err != nil || end == 0 || time.Now().UnixNano() < end {
					t.Errorf("%s is gone %v before its lease is over", e.KV.Key, time.Until(time.Unix(0, end)))
				}
				gone[i].Store(time.Now().UnixNano())
				left.Add(-1)
			}
		}
	})
	over := time.Now().Add(ahead)
	var next atomic.Int64
	var granting sync.WaitGroup
	for n := range 256 {
		s := c.open(n%8, processWait)
		granting.Go(func() {
			for i := next.Add(1) - 1; i < int64(leases); i = next.Add(1) - 1 {
				for granted := false; !granted; {
					begun := time.Now()
					l, err := s.Grant(t.Context(), max(5*time.Second, over.Sub(begun)), client.GrantOptions{})
					if err != nil {
						t.Error(err)
						return
					}
					end := begun.Add(l.TTL)
					ends[i].Store(end.UnixNano())
					_, err = s.PutWith(t.Context(), kv.Put{Key: fmt.Appendf(nil, "lease/%d", i), Lease: l.ID})
					granted = err == nil
					answer, ok := errors.AsType[*kv.Error](err)
					if late := ok && answer.Code == kv.LeaseNotFound && time.Now().After(end); !granted && !late { // of a busy host: once more
						t.Error(err)
						return
					}
				}
			}
		})
	}
	granting.Wait()
	granted := time.Until(over)
	var calm, busy time.Duration
	if full {
		p := startProbe(c)
		_, calm = p.measure(min(5*time.Second, max(time.Second, time.Until(over)-2*time.Second)))
		time.Sleep(time.Until(over) - time.Second)
		p.begin(6 * time.Second)
		defer func() {
			_, busy = p.end()
			t.Logf("figures: p99 of a put %v before %d leases end, and %v meanwhile", calm, leases, busy)
			if busy > 2*calm {
				t.Errorf("p99 of a put was %v before and %v meanwhile, over twice as much", calm, busy)
			}
		}()
	}
	for deadline := time.Now().Add(ahead + processWait); left.Load() > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d keys are left\n%s", left.Load(), leases, c.tails())
		}
	}
	var late []time.Duration
	for i := range gone {
		late = append(late, time.Duration(gone[i].Load()-ends[i].Load()))
	}
	slices.Sort(late)
	all, err := c.open(2, processWait).Leases(t.Context())
	if must(t, err); len(all) > 0 {
		t.Errorf("%d leases are left", len(all))
	}
	t.Logf("figures: %d leases granted %v before the second in which they end; gone %v behind their ends at the median, %v at most",
		leases, granted.Round(time.Millisecond), late[len(late)/2].Round(time.Millisecond), late[len(late)-1].Round(time.Millisecond))
	if full && late[len(late)-1] > 5*time.Second {
		t.Errorf("the last was gone %v behind its end, 5 s are asked", late[len(late)-1])
	}
}

// TestProcessKeepAliveFigures measures what 20,000 keep-alives a second by followers cost puts.
func TestProcessKeepAliveFigures(t *testing.T) {
	if os.Getenv("QKV_FULL") == "" {
		t.Skip("figures of keep-alives: QKV_FULL=1; TestProcessLeases holds what must be true of leases")
	}
	const leases, rate = 20_000, 20_000
	c := startProcesses(t, 3)
	c.level()
	puts := c.open(0, processWait)
	ids := make([]int64, leases)
	var all sync.WaitGroup
	var next atomic.Int64
	for range 128 {
		all.Go(func() {
			for i := next.Add(1) - 1; i < leases; i = next.Add(1) - 1 {
				l, err := puts.Grant(t.Context(), 600*time.Second, client.GrantOptions{})
				if err != nil {
					t.Error(err)
					return
				}
				ids[i] = l.ID
			}
		})
	}
	all.Wait()
	leader := c.leader()
	var followers []*client.Client
	for i, m := range c.members {
		if m != leader {
			followers = append(followers, c.open(i, processWait), c.open(i, processWait))
		}
	}
	renew := func(ctx context.Context, renewed *atomic.Int64) {
		tokens := make(chan struct{}, rate/10)
		all.Go(func() {
			pace := time.NewTicker(time.Millisecond)
			defer pace.Stop()
			begun, given := time.Now(), int64(0)
			for {
				select {
				case <-ctx.Done():
					return
				case <-pace.C: // a full machine skips ticks; what is due is given all the same
				}
				for due := int64(time.Since(begun).Seconds() * rate); given < due; given++ {
					select {
					case tokens <- struct{}{}:
					case <-ctx.Done():
						return
					}
				}
			}
		})
		for n := range 1024 {
			s := followers[n%len(followers)]
			all.Go(func() {
				for {
					select {
					case <-ctx.Done():
						return
					case <-tokens:
						if _, err := s.Renew(context.Background(), ids[int(renewed.Add(1))%leases]); err != nil {
							t.Error(err)
							return
						}
					}
				}
			})
		}
	}
	measure := func() (rate float64) {
		begun := time.Now()
		n := putSteadily(t, puts, 3*time.Second, func(i int64) []byte { return fmt.Appendf(nil, "put/%d", i%1000) }, make([]byte, 256))
		return float64(n) / time.Since(begun).Seconds()
	}
	measure()
	var ratios []float64
	for range 5 {
		without := measure()
		ctx, cancel := context.WithCancel(t.Context())
		var renewed atomic.Int64
		begun := time.Now()
		renew(ctx, &renewed)
		with := measure()
		kept := float64(renewed.Load()) / time.Since(begun).Seconds()
		cancel()
		all.Wait()
		ratios = append(ratios, with/without)
		t.Logf("figures: %.0f puts/s, and %.0f beside %.0f keep-alives/s by followers", without, with, kept)
	}
	slices.Sort(ratios)
	if t.Logf("figures: %.3f at the median of %.3f", ratios[2], ratios); ratios[2] < 0.75 {
		t.Errorf("keep-alives cost puts %.0f %% of their rate, over 25 %%", (1-ratios[2])*100)
	}
}
