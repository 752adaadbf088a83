package etcd

import (
	"context"
	"runtime"
	"sync/atomic"
	"time"

	"qkv/internal/limits"
)

// turns is a fair queue for reads that may visit many keys, on a part of the processors. Each read gets turns of limits.RangeTurn, and
// queues behind all others for its next one. While other requests are in flight, a pause follows each turn.
type turns struct {
	free   chan struct{} // has a token for each free turn
	others *atomic.Int64 // requests in flight
	reads  atomic.Int64  // reads among them
}

// newTurns lets reads use one of limits.RangeShare processors, and at least one.
func newTurns(others *atomic.Int64) *turns {
	t := &turns{free: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/limits.RangeShare)), others: others}
	for range cap(t.free) {
		t.free <- struct{}{}
	}
	return t
}

// read calls step until it is done, fails, or ctx ends.
func (t *turns) read(ctx context.Context, step func() (done bool, err error)) error {
	t.reads.Add(1)
	defer t.reads.Add(-1)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.free:
		}
		done, err := false, error(nil)
		begun := time.Now()
		for !done && err == nil && time.Since(begun) < limits.RangeTurn {
			done, err = step()
		}
		if took := time.Since(begun); !done && err == nil && t.others.Load() > t.reads.Load() {
			time.AfterFunc(limits.RangeRest*took, t.give)
		} else {
			t.give()
		}
		if err != nil {
			return statusOf(err)
		}
		if done {
			return nil
		}
	}
}

func (t *turns) give() { t.free <- struct{}{} }
