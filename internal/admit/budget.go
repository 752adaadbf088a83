package admit

import (
	"context"
	"sync"
	"time"

	"qkv/internal/limits"
)

// Budget is a memory budget. Requests reserve bytes in it before they allocate them.
//
//  1. left is the unallocated budget in bytes; never negative.
//  2. A reservation that exceeds the budget waits. Meanwhile holders that transfer too little per stall interval are evicted: a client that
//     sends half a request, or does not read its answer, blocks others for one stall interval at most.
type Budget struct {
	total   int64
	stall   time.Duration
	collect func(func()) // collects garbage in the background, and then calls a function; nil: no large reservations

	mu      sync.Mutex
	left    int64
	holders map[*Reservation]struct{} // with bytes
	changed chan struct{}             // closed when bytes are released
}

// Reservation is the part of a budget that one request has reserved, empty at first. The methods of a nil Reservation do nothing, for
// requests that need no memory of the budget.
type Reservation struct {
	of    *Budget
	evict func() // ends the user
	pace  int64  // least bytes to transfer per stall interval

	// Guarded by of.mu.
	bytes    int64
	moved    int64     // bytes transferred
	mark     int64     // moved at the last check
	since    time.Time // time of the last check
	building bool      // there is nothing to transfer: no progress is required
}

// NewBudget returns a budget. collect collects garbage in the background, and then calls a function: the memory of a large answer is
// collected before others get it.
func NewBudget(bytes int64, stall time.Duration, collect func(func())) *Budget {
	return &Budget{total: bytes, stall: stall, collect: collect, left: bytes, holders: map[*Reservation]struct{}{}, changed: make(chan struct{})}
}

// Total returns the whole budget in bytes.
func (b *Budget) Total() int64 { return b.total }

// Reserved returns the bytes of all reservations.
func (b *Budget) Reserved() (bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for r := range b.holders {
		bytes += r.bytes
	}
	return bytes
}

// Message returns an empty reservation for messages whose transfer Moved counts. evict ends their connection.
func (b *Budget) Message(evict func()) *Reservation {
	return &Reservation{of: b, evict: evict, pace: limits.EtcdGatewayPace}
}

// Answer returns an empty reservation for an answer that is built first: no progress is required before Transfer.
func (b *Budget) Answer(evict func(), pace int64) *Reservation {
	return &Reservation{of: b, evict: evict, pace: max(pace, limits.EtcdGatewayPace), building: true}
}

// Set replaces the reserved bytes. It waits until the budget allows them, or ctx ends. It never waits while it holds bytes.
func (r *Reservation) Set(ctx context.Context, bytes int64) error {
	if r == nil {
		return nil
	}
	b := r.of
	look := time.NewTimer(b.stall)
	defer look.Stop()
	for r.Shrink(0); ; {
		b.mu.Lock()
		if bytes <= b.left {
			b.left -= bytes
			r.bytes = bytes
			if bytes > 0 {
				r.mark, r.since = r.moved, time.Now()
				b.holders[r] = struct{}{}
			}
			b.mu.Unlock()
			return nil
		}
		b.evictSlowLocked(time.Now())
		changed := b.changed
		b.mu.Unlock()
		look.Reset(b.stall / 4)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		case <-look.C:
		}
	}
}

// Shrink reduces the reserved bytes.
func (r *Reservation) Shrink(bytes int64) {
	if r == nil {
		return
	}
	b := r.of
	b.mu.Lock()
	defer b.mu.Unlock()
	if r.bytes <= bytes {
		return
	}
	b.left += r.bytes - bytes
	if r.bytes = bytes; bytes == 0 {
		delete(b.holders, r)
	}
	close(b.changed)
	b.changed = make(chan struct{})
}

// Moved counts bytes received or sent.
func (r *Reservation) Moved(n int) {
	r.of.mu.Lock()
	defer r.of.mu.Unlock()
	r.moved += int64(n)
}

// Transfer records that an answer is built: while others wait, its client has to take the reserved bytes within etcdBuiltTime, at the pace
// that Moved shows.
func (r *Reservation) Transfer() {
	r.of.mu.Lock()
	defer r.of.mu.Unlock()
	r.building = false
	r.pace = max(r.pace, int64(float64(r.bytes)*float64(r.of.stall)/float64(etcdBuiltTime)))
	r.mark, r.since = r.moved, time.Now()
}

const (
	// etcdCollected is the size from which a written answer is garbage-collected before others get its memory. Go's collector would run
	// later, and both answers would be in memory.
	etcdCollected = 64 << 20
	// etcdBuiltTime is the time in which a client must read a whole large answer while others wait for its memory.
	etcdBuiltTime = time.Minute
)

// Release ends the reservation of an answer. The bytes of a large one that was transferred return to the budget when its memory is free.
func (r *Reservation) Release() {
	if r == nil {
		return
	}
	r.of.mu.Lock()
	large := !r.building && r.bytes >= etcdCollected
	r.building = true
	r.of.mu.Unlock()
	if large {
		r.of.collect(func() { r.Shrink(0) })
		return
	}
	r.Shrink(0)
}

// evictSlowLocked evicts the holders without enough progress. Their bytes are released when their requests end.
func (b *Budget) evictSlowLocked(now time.Time) {
	for r := range b.holders {
		if r.building || now.Sub(r.since) < b.stall {
			continue
		}
		if r.moved-r.mark < r.pace {
			r.evict()
		}
		r.mark, r.since = r.moved, now
	}
}
