package node_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"qkv/internal/testlong"
	"qkv/net/client"
)

// Large values through a follower, more than the way to the leader holds: they wait, and none is refused or of unknown
// outcome.
// All must be through before their time is over, which takes a machine at its full speed some seconds.
func TestFollowerUnderLargeWrites(t *testing.T) {
	testlong.Skip(t)
	if testing.Short() {
		t.Skip("the race detector makes a tenth of the speed of this")
	}
	withCluster(t, 3, largeWrites)
}

func largeWrites(t testing.TB, c *cluster) {
	l := c.leader()
	f := (l + 1) % 3
	var unknown, ok, other atomic.Int64
	var wg sync.WaitGroup
	value := make([]byte, 1<<20)
	begun := time.Now()
	for k := range 5 {
		cl := c.client(f)
		for i := range 20 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), 5*wait)
				defer cancel()
				_, err := cl.Put(ctx, fmt.Appendf(nil, "k%d-%d", k, i), value)
				switch {
				case err == nil:
					ok.Add(1)
				case errors.Is(err, client.ErrOutcomeUnknown):
					if unknown.Add(1) == 1 {
						t.Log(err)
					}
				default:
					if other.Add(1) == 1 {
						t.Log(err)
					}
				}
			})
		}
	}
	wg.Wait()
	t.Logf("%d ok, %d unknown, %d other in %v", ok.Load(), unknown.Load(), other.Load(), time.Since(begun))
	if unknown.Load() > 0 || other.Load() > 0 {
		t.Errorf("%d writes of unknown outcome and %d refused without any fault", unknown.Load(), other.Load())
	}
}
