package etcd

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
)

// TestTurnsAtATime: of eight processors two are for reads of many keys, however many ask, and of one or two that one.
func TestTurnsAtATime(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for processors, want := range map[int]int{1: 1, 2: 1, 8: 2} {
		runtime.GOMAXPROCS(processors)
		all := newTurns(new(atomic.Int64))
		ctx, cancel := context.WithCancel(context.Background())
		reading, hold := make(chan struct{}, 100), make(chan struct{})
		ended := make(chan struct{})
		for range cap(reading) {
			go func() {
				_ = all.read(ctx, func() (bool, error) {
					reading <- struct{}{}
					<-hold
					return true, nil
				})
				ended <- struct{}{}
			}()
		}
		for range want {
			<-reading
		}
		cancel()
		for range cap(reading) - want { // those that wait for a turn end, while those that have one keep it
			<-ended
		}
		close(hold)
		for range want {
			<-ended
		}
		if more := len(reading); more > 0 {
			t.Errorf("%d processors: %d of 100 reads had a turn at a time, not %d", processors, want+more, want)
		}
	}
}
