package meter

import (
	"sync"
	"sync/atomic"
	"time"
)

// Kinds of operations.
const (
	Puts   = iota // writes: puts, deletions, transactions
	Gets          // reads of keys
	Events        // watch events that were delivered
	Kinds
)

// Operations counts the operations of a member's clients, and measures the durations of some of them. All methods may be called by any
// goroutine, and a nil Operations counts nothing.
type Operations struct {
	counts [Kinds]atomic.Uint64
	times  [Kinds]*Histogram
}

// NewOperations returns empty counters.
func NewOperations() *Operations {
	o := &Operations{}
	for i := range o.times {
		o.times[i] = NewHistogram(10 * time.Microsecond)
	}
	return o
}

// Count counts n operations of a kind.
func (o *Operations) Count(kind, n int) {
	if o != nil && n > 0 {
		o.counts[kind].Add(uint64(n))
	}
}

// Observe measures one operation of a kind, which [Operations.Count] counts.
func (o *Operations) Observe(kind int, took time.Duration) {
	if o != nil {
		o.times[kind].Observe(took)
	}
}

// Recent keeps the rates and latencies of the last minutes in a ring of points.
type Recent struct {
	of *Operations

	mu     sync.Mutex
	ring   []Point // oldest at next once it is full
	next   int
	last   [Kinds]uint64
	before [Kinds]Times
}

// Point has the operations of one interval.
type Point struct {
	End   time.Time
	Rates [Kinds]float64       // per second
	P99   [Kinds]time.Duration // 0: none was measured
}

// NewRecent returns a ring of at most size points.
func NewRecent(of *Operations, size int) *Recent {
	r := &Recent{of: of, ring: make([]Point, 0, size)}
	for i := range r.before {
		r.before[i] = of.times[i].Times()
	}
	return r
}

// Look ends an interval.
func (r *Recent) Look(now time.Time, interval time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := Point{End: now}
	for kind := range Kinds {
		count, times := r.of.counts[kind].Load(), r.of.times[kind].Times()
		p.Rates[kind] = float64(count-r.last[kind]) / interval.Seconds()
		added := times.since(&r.before[kind])
		p.P99[kind] = added.quantile(0.99)
		r.last[kind], r.before[kind] = count, times
	}
	if len(r.ring) < cap(r.ring) {
		r.ring = append(r.ring, p)
		return
	}
	r.ring[r.next] = p
	r.next = (r.next + 1) % len(r.ring)
}

// Since returns the points that end after a time, oldest first.
func (r *Recent) Since(after time.Time) (all []Point) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.ring {
		if p := &r.ring[(r.next+i)%len(r.ring)]; p.End.After(after) {
			all = append(all, *p)
		}
	}
	return all
}

// Newest returns the last complete interval; the zero Point before the first one.
func (r *Recent) Newest() Point {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.ring) == 0 {
		return Point{}
	}
	return r.ring[(r.next+len(r.ring)-1)%len(r.ring)]
}

// since returns the durations that were added after before.
func (t *Times) since(before *Times) (added Times) {
	added = *t
	added.Count -= before.Count
	added.Sum -= before.Sum
	for i := range added.Through {
		added.Through[i] -= min(before.Through[i], added.Through[i])
	}
	return added
}

// quantile returns the duration below which the share q of all durations lies, with the accuracy of the buckets; 0 if there are none.
func (t *Times) quantile(q float64) time.Duration {
	if t.Count == 0 {
		return 0
	}
	wanted := q * float64(t.Count)
	start, through := time.Duration(0), uint64(0)
	for i, end := range t.Ends {
		if in := t.Through[i] - through; float64(t.Through[i]) >= wanted && in > 0 {
			return start + time.Duration(float64(end-start)*(wanted-float64(through))/float64(in))
		}
		start, through = end, t.Through[i]
	}
	return t.Ends[buckets-1]
}
