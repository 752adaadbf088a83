package admit

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
		all := NewFairQueue(new(atomic.Int64))
		ctx, cancel := context.WithCancel(context.Background())
		reading, hold := make(chan struct{}, 100), make(chan struct{})
		ended := make(chan struct{})
		for range cap(reading) {
			go func() {
				_ = all.Read(ctx, func() (bool, error) {
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

// has says that a turn has come, without taking its token.
func (one *Turn) has() bool { return len(one.ready) > 0 }

func TestTurns(t *testing.T) {
	all := &FairQueue{free: 1, requests: new(atomic.Int64)}
	a, b, c := all.Ask(), all.Ask(), all.Ask()
	want := func(when string, of ...*Turn) {
		t.Helper()
		for name, one := range map[string]*Turn{"a": a, "b": b, "c": c} {
			is := false
			for _, other := range of {
				is = is || other == one
			}
			if one.has() != is {
				t.Fatalf("%s: %s has a turn: %v", when, name, one.has())
			}
		}
	}
	want("at first", a)
	a.Pause()
	want("a does not use it", b)
	a.Resume()
	want("a wants it again", b)
	<-b.ready
	b.Done(0)
	want("b is done", a)
	a.Cancel()
	<-a.ready
	want("a gives up", c)
	b = all.Ask()
	b.Cancel()
	<-c.ready
	c.Done(0)
	if all.free != 1 || len(all.waiting) != 0 {
		t.Errorf("%d turns are free, %d wait", all.free, len(all.waiting))
	}
	a = all.Ask()
	a.Pause()
	b = all.Ask()
	b.Pause()
	want("nobody uses it")
	b.Resume()
	want("b does", b)
	a.Resume()
	b.Pause()
	want("b does not", a)
}
