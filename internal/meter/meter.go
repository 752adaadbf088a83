// Package meter measures durations without locks and allocations. The code that does the work observes them, and
// /metrics reads them at any time.
package meter

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// buckets is the number of buckets of a Histogram, without the overflow bucket.
const buckets = 20

// Histogram counts durations in buckets. Each bucket ends at twice the end of the one before: bucket i holds durations
// up to first<<i. A nil Histogram counts nothing; the zero value is not usable.
type Histogram struct {
	first  time.Duration
	counts [buckets + 1]atomic.Uint64
	sum    atomic.Int64
}

// NewHistogram returns a Histogram whose first bucket holds durations up to first.
func NewHistogram(first time.Duration) *Histogram { return &Histogram{first: first} }

// Observe counts a duration. A negative one, which a clock adjustment may produce, counts as zero.
func (h *Histogram) Observe(took time.Duration) {
	if h == nil {
		return
	}
	took = max(took, 0)
	bucket := 0
	if took > h.first {
		bucket = min(bits.Len64(uint64((took-1)/h.first)), buckets)
	}
	h.counts[bucket].Add(1)
	h.sum.Add(int64(took))
}

// Times are the counts of a Histogram.
type Times struct {
	Count   uint64
	Sum     time.Duration
	Ends    [buckets]time.Duration
	Through [buckets]uint64 // durations up to the bucket's end
}

// Times returns the counts. They are read one after the other while others may be added; Count is the sum of all
// buckets.
func (h *Histogram) Times() (t Times) {
	if h == nil {
		return t
	}
	t.Sum = time.Duration(h.sum.Load())
	for i := range h.counts {
		t.Count += h.counts[i].Load()
		if i < buckets {
			t.Ends[i], t.Through[i] = h.first<<i, t.Count
		}
	}
	return t
}
