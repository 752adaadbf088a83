package bench

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Latencies summarizes a latency distribution.
type Latencies struct {
	Count         int64
	P50, P99, Max time.Duration
	Histogram     *hdrhistogram.Histogram // in nanoseconds, for merging
}

// The histograms' range and digits: a microsecond to two minutes, exact to a thousandth.
const (
	shortest = int64(time.Microsecond)
	longest  = int64(2 * time.Minute)
	digits   = 3
)

// NewHistogram returns an empty histogram of that range.
func NewHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(shortest, longest, digits) }

// record adds one latency, clamped to the range.
func record(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(min(max(int64(d), shortest), longest)) // cannot fail within the range
}

// LatenciesOf summarizes a histogram; nil is empty.
func LatenciesOf(h *hdrhistogram.Histogram) Latencies {
	if h == nil {
		h = NewHistogram()
	}
	at := func(percent float64) time.Duration { return time.Duration(h.ValueAtQuantile(percent)) }
	return Latencies{Count: h.TotalCount(), P50: at(50), P99: at(99), Max: time.Duration(h.Max()), Histogram: h}
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
	// Windows are the writes of each second of a steady load.
	Windows []int64
}
