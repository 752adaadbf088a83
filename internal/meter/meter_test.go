package meter

import (
	"math"
	"testing"
	"time"
)

// Each time is in the first bucket whose end it does not exceed, as a counter of another kind says.
func TestBuckets(t *testing.T) {
	const first = 100 * time.Microsecond
	h := NewHistogram(first)
	times := []time.Duration{-time.Second, 0, 1, first - 1, first, first + 1, 2 * first, 2*first + 1, 3 * first, 4 * first, time.Second, time.Hour, math.MaxInt64 / 2}
	var sum time.Duration
	for _, took := range times {
		h.Observe(took)
		sum += max(took, 0)
	}
	got := h.Times()
	if got.Count != uint64(len(times)) || got.Sum != sum {
		t.Errorf("%d times, %v together; want %d and %v", got.Count, got.Sum, len(times), sum)
	}
	for i, end := range got.Ends {
		want := uint64(0)
		for _, took := range times {
			if took <= end {
				want++
			}
		}
		if end != first<<i || got.Through[i] != want {
			t.Errorf("bucket %d: %d up to %v, want %d", i, got.Through[i], end, want)
		}
	}
	if n := testing.AllocsPerRun(100, func() { h.Observe(time.Millisecond) }); n != 0 {
		t.Errorf("a time costs %v allocations", n)
	}
}
