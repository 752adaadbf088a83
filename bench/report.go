package bench

import (
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Latencies summarizes a latency distribution.
type Latencies struct {
	Count               int64
	Mean, P50, P90, P99 time.Duration
	P999, Max           time.Duration
	Histogram           *hdrhistogram.Histogram // in nanoseconds, for merging
}

// The histograms' range and digits: a microsecond to two minutes, exact to a thousandth.
const (
	shortest = int64(time.Microsecond)
	longest  = int64(2 * time.Minute)
	digits   = 3
)

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(shortest, longest, digits) }

// record adds one latency, clamped to the range.
func record(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(min(max(int64(d), shortest), longest)) // cannot fail within the range
}

func latencies(h *hdrhistogram.Histogram) Latencies {
	at := func(percent float64) time.Duration { return time.Duration(h.ValueAtQuantile(percent)) }
	return Latencies{
		Count: h.TotalCount(), Mean: time.Duration(h.Mean()), P50: at(50), P90: at(90), P99: at(99), P999: at(99.9),
		Max: time.Duration(h.Max()), Histogram: h,
	}
}

// LatenciesOf summarizes a merged histogram; empty for nil.
func LatenciesOf(h *hdrhistogram.Histogram) Latencies {
	if h == nil {
		h = newHistogram()
	}
	return latencies(h)
}

func (l Latencies) String() string {
	return fmt.Sprintf("p50 %s p99 %s max %s", short(l.P50), short(l.P99), short(l.Max))
}

// Report is the result of a load.
type Report struct {
	Done      int64 // successful requests after the warm-up
	Elapsed   time.Duration
	Rate      float64 // of Done, per second
	Latencies Latencies

	// Failed requests certainly changed nothing; the effect of unknown ones is uncertain. Both include the warm-up's.
	Failed, Unknown int64
	FirstError      string
	// LongestGap is the longest time without a success, between the first success and the last.
	LongestGap time.Duration
	// Last is the time of the last success; zero: none.
	Last time.Time
	// Lag is the longest delay of an open loop's request after its due time.
	Lag time.Duration
	// Windows are the run's course, one second each.
	Windows []Latencies
}

// short formats a time with three digits.
func short(d time.Duration) string {
	switch {
	case d < 10*time.Microsecond:
		return d.Round(10 * time.Nanosecond).String()
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < 10*time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	default:
		return d.Round(10 * time.Millisecond).String()
	}
}
