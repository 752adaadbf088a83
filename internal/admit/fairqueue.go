package admit

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"qkv/internal/limits"
)

// FairQueue is a queue of turns that limits the processor time of reads that may visit many keys, over all clients. A read gets turns of
// about limits.RangeTurn. A new request for a turn goes to the end of the queue. While requests other than such reads are in flight, each
// turn is followed by a rest of rangeRest times its length. Without the rest, newly ready work would wait for one turn after the
// other.
type FairQueue struct {
	requests *atomic.Int64 // in flight, reads included
	reads    atomic.Int64  // in flight

	mu      sync.Mutex
	free    int     // unused turns
	waiting []*Turn // in the order of the requests
}

// Turn is a requested turn. It is for one goroutine.
//
//	waiting ──► come ──Done──► over
//	  ▲ └─Cancel──┼─────────► over
//	  └───Pause───┘               paused: it keeps its place, and does not come
type Turn struct {
	of    *FairQueue
	ready chan struct{} // has a token when the turn has come

	// Guarded by of.mu.
	come, paused bool
}

// NewFairQueue lets reads use one of limits.RangeShare processors, and at least one. requests counts the requests in flight.
func NewFairQueue(requests *atomic.Int64) *FairQueue {
	return &FairQueue{requests: requests, free: max(1, runtime.GOMAXPROCS(0)/limits.RangeShare)}
}

// Begin counts a read in flight, until End.
func (q *FairQueue) Begin() { q.reads.Add(1) }

// End is the counterpart of Begin.
func (q *FairQueue) End() { q.reads.Add(-1) }

// Read calls step in turns until it is done, fails, or ctx ends.
func (q *FairQueue) Read(ctx context.Context, step func() (done bool, err error)) error {
	q.Begin()
	defer q.End()
	for {
		if err := q.await(ctx); err != nil {
			return err
		}
		done, err := false, error(nil)
		begun := time.Now()
		for !done && err == nil && time.Since(begun) < limits.RangeTurn {
			done, err = step()
		}
		if done || err != nil {
			q.release()
			return err
		}
		q.rest(time.Since(begun))
	}
}

// await takes a turn, or returns an error if ctx ends first.
func (q *FairQueue) await(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	q.mu.Lock()
	if q.free > 0 {
		q.free--
		q.mu.Unlock()
		return nil
	}
	t := q.askLocked()
	q.mu.Unlock()
	select {
	case <-t.ready:
		return nil
	case <-ctx.Done():
		t.Cancel()
		return ctx.Err()
	}
}

// Ask enters the queue. Done or Cancel must return the turn.
func (q *FairQueue) Ask() *Turn {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.askLocked()
}

func (q *FairQueue) askLocked() *Turn {
	t := &Turn{of: q, ready: make(chan struct{}, 1)}
	q.waiting = append(q.waiting, t)
	q.dealLocked()
	return t
}

// dealLocked gives unused turns to the longest-waiting requests.
func (q *FairQueue) dealLocked() {
	for i := 0; q.free > 0 && i < len(q.waiting); {
		t := q.waiting[i]
		if t.paused {
			i++
			continue
		}
		q.waiting = slices.Delete(q.waiting, i, i+1)
		q.free--
		t.come = true
		t.ready <- struct{}{}
	}
}

// rangeRest is the ratio of the pause after a turn to the turn itself while other requests are in flight. Results must also be sent and
// received, which costs the machine more than reading them.
const rangeRest = 4

// rest returns a turn of the given length, after its rest.
func (q *FairQueue) rest(took time.Duration) {
	if q.requests.Load() > q.reads.Load() {
		time.AfterFunc(rangeRest*took, q.release)
		return
	}
	q.release()
}

func (q *FairQueue) release() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.free++
	q.dealLocked()
}

// Ready has a token when the turn has come.
func (t *Turn) Ready() <-chan struct{} { return t.ready }

// Done returns a turn that has come, after it was used for the given time.
func (t *Turn) Done(took time.Duration) { t.of.rest(took) }

// Cancel returns a turn, whether it has come or not.
func (t *Turn) Cancel() {
	q := t.of
	q.mu.Lock()
	defer q.mu.Unlock()
	if t.come {
		q.free++
		q.dealLocked()
		return
	}
	q.waiting = slices.DeleteFunc(q.waiting, func(other *Turn) bool { return other == t })
}

// Pause lets other turns go before this one, which cannot be used now, until Resume.
func (t *Turn) Pause() {
	q := t.of
	q.mu.Lock()
	defer q.mu.Unlock()
	t.paused = true
	if t.come {
		select {
		case <-t.ready:
		default: // it was taken
		}
		t.come = false
		q.waiting = slices.Insert(q.waiting, 0, t)
		q.free++
		q.dealLocked()
	}
}

// Resume is the counterpart of Pause.
func (t *Turn) Resume() {
	q := t.of
	q.mu.Lock()
	defer q.mu.Unlock()
	t.paused = false
	q.dealLocked()
}
