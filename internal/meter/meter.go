// Package meter counts how long things take, without a lock and without an allocation: whoever does a thing observes it, and
// /metrics reads it at any time.
package meter

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Buckets is how many buckets a Histogram has, beside that of all that is longer.
const Buckets = 20

// Histogram counts times in buckets, of which each ends at twice what the one before does: bucket i has the times up to First<<i.
// Nil counts nothing; the zero value is not usable.
type Histogram struct {
	first  time.Duration
	counts [Buckets + 1]atomic.Uint64
	sum    atomic.Int64
}

// NewHistogram returns one whose first bucket has the times up to first.
func NewHistogram(first time.Duration) *Histogram { return &Histogram{first: first} }

// Observe counts a time. One that is negative, as clocks that are set may make it, counts as none.
func (h *Histogram) Observe(took time.Duration) {
	if h == nil {
		return
	}
	took = max(took, 0)
	bucket := 0
	if took > h.first {
		bucket = min(bits.Len64(uint64((took-1)/h.first)), Buckets)
	}
	h.counts[bucket].Add(1)
	h.sum.Add(int64(took))
}

// Times are what a Histogram has counted.
type Times struct {
	Count   uint64
	Sum     time.Duration
	Ends    [Buckets]time.Duration
	Through [Buckets]uint64 // how many were at most as long as the bucket's end
}

// Times returns what was counted, each part of about this moment: Count is that of all buckets.
func (h *Histogram) Times() (t Times) {
	if h == nil {
		return t
	}
	t.Sum = time.Duration(h.sum.Load())
	for i := range h.counts {
		t.Count += h.counts[i].Load()
		if i < Buckets {
			t.Ends[i], t.Through[i] = h.first<<i, t.Count
		}
	}
	return t
}
