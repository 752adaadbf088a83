package speed

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"qkv/net/etcd/compat/member"
)

var (
	connections = flag.Int("connections", 100, "how many connections")
	flight      = flag.Int("flight", 1000, "how many requests are under way")
	rounds      = flag.Int("rounds", 0, "how many rounds; 0: 3, and 7 in full")
	requests    = flag.Int("requests", 0, "how many requests a round has; 0: 20,000, and 200,000 in full")
	full        = os.Getenv("QKV_FULL") != ""
)

func TestMain(m *testing.M) {
	flag.Parse()
	if *rounds == 0 {
		*rounds = 3
		if full {
			*rounds = 7
		}
	}
	if *requests == 0 {
		*requests = 20_000
		if full {
			*requests = 200_000
		}
	}
	code := m.Run()
	member.Forget()
	os.Exit(code)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// side is one program's member, and its clients.
type side struct {
	program string
	clients []*clientv3.Client
	member  *member.Member
	watched *atomic.Int64 // events that its watchers were told of
}

func sides(t *testing.T, arguments map[string][]string) (both [2]*side) {
	for i, program := range []string{member.Etcd, member.QKV} {
		own := arguments[program]
		switch program { // as both are by default
		case member.Etcd:
			own = append(own, "--unsafe-no-fsync=false")
		case member.QKV:
			own = append(own, "--segment-bytes", "67108864")
		}
		cluster := member.Start(t, program, 1, own...)
		s := &side{program: program, member: cluster.Members[0]}
		for range *connections {
			c, err := clientv3.New(clientv3.Config{Endpoints: cluster.Endpoints(), Logger: zap.NewNop()})
			must(t, err)
			t.Cleanup(func() { _ = c.Close() })
			_, err = c.Get(context.Background(), "x")
			must(t, err)
			s.clients = append(s.clients, c)
		}
		both[i] = s
	}
	return both
}

// rate is how many requests a second there are with all in flight.
func (s *side) rate(t *testing.T, do func(c *clientv3.Client, i int) error) float64 {
	var next atomic.Int64
	var done sync.WaitGroup
	begun := time.Now()
	for i := range *flight {
		c := s.clients[i%len(s.clients)]
		done.Go(func() {
			for {
				n := int(next.Add(1))
				if n > *requests {
					return
				}
				if err := do(c, n); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	done.Wait()
	return float64(*requests) / time.Since(begun).Seconds()
}

func median(all []float64) float64 {
	all = slices.Sorted(slices.Values(all))
	return all[len(all)/2]
}

// compare takes turns, and prints medians: a ratio over one says that qkv is better.
func compare(t *testing.T, what, unit string, both [2]*side, measure func(s *side) float64) {
	var of, used [2][]float64 // used is what the members' processors did, whatever the clients cost beside them
	var ratios []float64
	for round := range *rounds {
		var now [2]float64
		for i := range both {
			at := (i + round) % 2
			before, begun := both[at].member.Processor(), time.Now()
			now[at] = measure(both[at])
			of[at] = append(of[at], now[at])
			done := now[at] * time.Since(begun).Seconds()
			used[at] = append(used[at], (both[at].member.Processor()-before).Seconds()/done*1e6)
		}
		ratios = append(ratios, now[1]/now[0])
	}
	t.Logf("%s: etcd %.4g, qkv %.4g %s, %.2f times (median of %d rounds, %.2f to %.2f); the members' processor %.3g and %.3g us each",
		what, median(of[0]), median(of[1]), unit, median(ratios), *rounds, slices.Min(ratios), slices.Max(ratios), median(used[0]), median(used[1]))
}

var value = strings.Repeat("v", 256)

func name(i int) string { return fmt.Sprintf("key-%07d", i%100_000) }

// bothWays measures with members and clients on the same processors, and on their own.
func bothWays(t *testing.T, both [2]*side, measure func(t *testing.T)) {
	t.Run("together", measure)
	t.Run("apart", func(t *testing.T) {
		apart(t, both)
		measure(t)
	})
}

func TestRequests(t *testing.T) {
	both := sides(t, nil)
	bothWays(t, both, func(t *testing.T) { requestRates(t, both) })
}

func requestRates(t *testing.T, both [2]*side) {
	ctx := context.Background()
	compare(t, "puts", "a second", both, func(s *side) float64 {
		return s.rate(t, func(c *clientv3.Client, i int) error {
			_, err := c.Put(ctx, name(i), value)
			return err
		})
	})
	compare(t, "linearizable gets", "a second", both, func(s *side) float64 {
		return s.rate(t, func(c *clientv3.Client, i int) error {
			_, err := c.Get(ctx, name(i))
			return err
		})
	})
	compare(t, "serializable gets", "a second", both, func(s *side) float64 {
		return s.rate(t, func(c *clientv3.Client, i int) error {
			_, err := c.Get(ctx, name(i), clientv3.WithSerializable())
			return err
		})
	})
}

func TestRange(t *testing.T) {
	keys := 50_000
	if full {
		keys = 1_000_000
	}
	both := sides(t, map[string][]string{member.Etcd: {"--quota-backend-bytes", "8589934592"}})
	ctx := context.Background()
	for _, s := range both {
		var done sync.WaitGroup
		for w := range 10 {
			done.Go(func() {
				for i := w * 100; i < keys; i += 1000 {
					ops := make([]clientv3.Op, 100)
					for j := range ops {
						ops[j] = clientv3.OpPut(fmt.Sprintf("key-%07d", i+j), value)
					}
					if _, err := s.clients[w].Txn(ctx).Then(ops...).Commit(); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		done.Wait()
	}
	compare(t, fmt.Sprintf("one range of %d keys", keys), "times a second", both, func(s *side) float64 {
		begun := time.Now()
		r, err := s.clients[0].Get(ctx, "key-", clientv3.WithPrefix())
		must(t, err)
		if len(r.Kvs) != keys {
			t.Fatalf("%d of %d keys", len(r.Kvs), keys)
		}
		return 1 / time.Since(begun).Seconds()
	})
}

// TestWatch: puts, and 1000 watchers on 10 connections that are told of each.
func TestWatch(t *testing.T) {
	both := sides(t, nil)
	ctx := context.Background()
	const watchers = 1000
	for _, s := range both {
		events := new(atomic.Int64)
		for i := range watchers {
			w := s.clients[i%10].Watch(ctx, "watched", clientv3.WithPrefix(), clientv3.WithCreatedNotify())
			<-w
			go func() {
				for r := range w {
					events.Add(int64(len(r.Events)))
				}
			}()
		}
		s.watched = events
	}
	bothWays(t, both, func(t *testing.T) { eventRate(t, both, watchers) })
}

func eventRate(t *testing.T, both [2]*side, watchers int) {
	ctx := context.Background()
	puts := *requests / 100
	compare(t, fmt.Sprintf("events of %d watchers on 10 connections", watchers), "a second", both, func(s *side) float64 {
		until := s.watched.Load() + int64(puts*watchers)
		begun := time.Now()
		var done sync.WaitGroup
		const writers = 200
		for w := range writers {
			c := s.clients[10+w%90]
			done.Go(func() {
				for i := w; i < puts; i += writers {
					if _, err := c.Put(ctx, fmt.Sprintf("watched-%d", i), value); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		done.Wait()
		for s.watched.Load() < until {
			if time.Since(begun) > 5*time.Minute {
				t.Fatalf("%d events are missing", until-s.watched.Load())
			}
			time.Sleep(100 * time.Microsecond)
		}
		return float64(puts*watchers) / time.Since(begun).Seconds()
	})
}
