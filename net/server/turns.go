package server

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"qkv/internal/limits"
)

// turns is the part of the processors that ranges may have, whoever asks for them. A range is read in turns of
// limits.RangeTurn at most; who wants one waits behind all others, and those that wait are streams with one range each.
// While anything but ranges is under way, a turn is followed by a rest of limits.RangeRest times as long: what became ready
// meanwhile would else wait for one turn after the other.
type turns struct {
	mu      sync.Mutex
	free    int     // turns that nobody has
	waiting []*turn // in the order in which they were asked for

	reading atomic.Int64 // ranges under way
	rows    atomic.Int64 // that were looked at since the start
}

// turn is one that was asked for. It is for one goroutine.
//
//	waiting ──► come ──done──► over
//	  ▲ └─cancel──┼─────────► over
//	  └───pause───┘               paused: it keeps its place, and does not come
type turn struct {
	of *turns
	// ready has a token when it has come.
	ready chan struct{}

	// Guarded by of.mu.
	come, paused bool
}

// newTurns lets ranges use one of limits.RangeShare processors, and one at least.
func newTurns() *turns { return &turns{free: max(1, runtime.GOMAXPROCS(0)/limits.RangeShare)} }

// ask waits in the queue. The turn is given back by done, or by cancel.
func (t *turns) ask() *turn {
	one := &turn{of: t, ready: make(chan struct{}, 1)}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting = append(t.waiting, one)
	t.dealLocked()
	return one
}

// dealLocked gives the turns that nobody has to those that wait for longest.
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

// done gives a turn back that has come, after a rest.
func (one *turn) done(rest time.Duration) {
	if rest > 0 {
		time.AfterFunc(rest, one.cancel)
		return
	}
	one.cancel()
}

// cancel gives a turn back, whether it has come or not.
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

// pause lets others go before this one, which is not ready to use its turn, until resume.
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
