package bench

import (
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Latencies are how long each of many things took.
type Latencies struct {
	Count               int64
	Mean, P50, P90, P99 time.Duration
	P999, Max           time.Duration
	Histogram           *hdrhistogram.Histogram // in nanoseconds, to be merged with others
}

// The histograms' range and digits: a microsecond to two minutes, exact to a thousandth.
const (
	shortest = int64(time.Microsecond)
	longest  = int64(2 * time.Minute)
	digits   = 3
)

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(shortest, longest, digits) }

// record adds one latency; one out of the range counts as the range's end.
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

// LatenciesOf are the latencies of a histogram that was merged; none of nil.
func LatenciesOf(h *hdrhistogram.Histogram) Latencies {
	if h == nil {
		h = newHistogram()
	}
	return latencies(h)
}

func (l Latencies) String() string {
	return fmt.Sprintf("p50 %s p99 %s max %s", short(l.P50), short(l.P99), short(l.Max))
}

// Report is what a load came to.
type Report struct {
	Done      int64 // requests that succeeded after the warm-up
	Elapsed   time.Duration
	Rate      float64 // of those, a second
	Latencies Latencies

	// Failed requests certainly changed nothing; of unknown ones that is not known. Both include the warm-up's.
	Failed, Unknown int64
	FirstError      string
	// LongestGap is the longest time in which nothing succeeded, from the first success to the last.
	LongestGap time.Duration
	// Last is when something succeeded last; zero: never.
	Last time.Time
	// Lag is the longest that a request of an open loop was begun after it was due.
	Lag time.Duration
	// Windows are the run's course, a second each.
	Windows []Latencies
}

func (r Report) String() string {
	s := fmt.Sprintf("%.0f/s, %v, %d in %.1f s", r.Rate, r.Latencies, r.Done, r.Elapsed.Seconds())
	if r.Failed+r.Unknown > 0 {
		s += fmt.Sprintf("; %d failed and %d of unknown outcome, longest gap %s, first: %s", r.Failed, r.Unknown, short(r.LongestGap), r.FirstError)
	}
	return s
}

// short writes a time with three digits.
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
