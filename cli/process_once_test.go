package cli

import (
	"context"
	"fmt"
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
