package server

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"qkv/internal/limits"
)

// turns is a fair queue that limits the processor time of ranges, over all clients. A range is read in turns of at most
// limits.RangeTurn. A new request for a turn goes to the end of the queue, and each stream queues at most one range. While anything
// but ranges is under way, a turn is followed by a rest of limits.RangeRest times its length. Without the rest, newly ready work
// would wait for one turn after the other.
type turns struct {
	mu      sync.Mutex
	free    int     // unused turns
	waiting []*turn // in the order of the requests

	reading atomic.Int64 // ranges under way
	rows    atomic.Int64 // keys read since the start
}

// turn is a requested turn. It is for one goroutine.
//
//	waiting ──► come ──done──► over
//	  ▲ └─cancel──┼─────────► over
//	  └───pause───┘               paused: it keeps its place, and does not come
type turn struct {
	of *turns
	// ready has a token when the turn has come.
	ready chan struct{}

	// Guarded by of.mu.
	come, paused bool
}

// newTurns lets ranges use one of limits.RangeShare processors, and at least one.
func newTurns() *turns { return &turns{free: max(1, runtime.GOMAXPROCS(0)/limits.RangeShare)} }

// ask enters the queue. done or cancel must return the turn.
func (t *turns) ask() *turn {
	one := &turn{of: t, ready: make(chan struct{}, 1)}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting = append(t.waiting, one)
	t.dealLocked()
	return one
}

// dealLocked gives unused turns to the longest-waiting requests.
func (t *turns) dealLocked() {
	for i := 0; t.free > 0 && i < len(t.waiting); {
		one := t.waiting[i]
		if one.paused {
			i++
			continue
		}
		t.waiting = slices.Delete(t.waiting, i, i+1)
		t.free--
		one.come = true
		one.ready <- struct{}{}
	}
}

// done returns a turn that has come, after a rest.
func (one *turn) done(rest time.Duration) {
	if rest > 0 {
		time.AfterFunc(rest, one.cancel)
		return
	}
	one.cancel()
}

// cancel returns a turn, whether it has come or not.
func (one *turn) cancel() {
	t := one.of
	t.mu.Lock()
	defer t.mu.Unlock()
	if one.come {
		t.free++
		t.dealLocked()
	} else {
		t.waiting = slices.DeleteFunc(t.waiting, func(other *turn) bool { return other == one })
	}
}

// pause lets other turns go before this one, whose stream is not ready to use it, until resume.
func (one *turn) pause() {
	t := one.of
	t.mu.Lock()
	defer t.mu.Unlock()
	one.paused = true
	if one.come {
		select {
		case <-one.ready:
		default: // it was taken
		}
		one.come = false
		t.waiting = slices.Insert(t.waiting, 0, one)
		t.free++
		t.dealLocked()
	}
}

func (one *turn) resume() {
	t := one.of
	t.mu.Lock()
	defer t.mu.Unlock()
	one.paused = false
	t.dealLocked()
}
