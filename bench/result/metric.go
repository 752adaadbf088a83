package result

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"qkv/bench/stat"
)

// Metric is one figure of a run.
type Metric struct {
	Name string
	// of is the figure of one run; false if the run does not have it.
	of func(Run) (float64, bool)
	// form formats a figure for people.
	form func(float64) string
	// samples is the minimum of a run's samples to show the figure; 0: any number.
	samples int64
	percent float64 // of a percentile; 0: another figure
	// all is the figure of all runs together, which no single run has; nil: it follows from the runs' figures.
	all func(Row) (float64, bool)
}

// tailSamples is the minimum of samples beyond a percentile to show it: with fewer, it is chance.
const tailSamples = 10

// Enough tells whether a percentile of this number of samples may be shown.
func Enough(samples int64, percent float64) bool {
	return float64(samples)*(100-percent)/100 >= tailSamples
}

// SamplesFor is the number of samples that a percentile needs.
func SamplesFor(percent float64) int64 { return int64(math.Round(tailSamples * 100 / (100 - percent))) }

// percentile is a metric of a run's histogram.
func percentile(name string, percent float64) Metric {
	return Metric{name, func(r Run) (float64, bool) {
		if r.Histogram == nil || r.Histogram.Histogram == nil || !Enough(r.Histogram.TotalCount(), percent) {
			return 0, false
		}
		return float64(r.Histogram.ValueAtQuantile(percent)), true
	}, duration, SamplesFor(percent), percent, nil}
}

// metricsOf returns the metrics by which a row is judged, in order.
func metricsOf(row Row) []Metric {
	rate := Metric{"rate", func(r Run) (float64, bool) { return r.Rate, r.Count > 0 }, perSecond, 0, 0, nil}
	longest := Metric{"max", func(r Run) (float64, bool) {
		if r.Histogram == nil || r.Histogram.Histogram == nil || r.Histogram.TotalCount() == 0 {
			return 0, false
		}
		return float64(r.Histogram.Max()), true
	}, duration, 0, 0, nil}
	var all []Metric
	if row.Mode == Closed { // an open loop's rate is its setting, and a probe's is the inverse of its latency
		all = append(all, rate)
	}
	if has(row, ServerCPU) { // in addition to the rate: on shared processors the client bounds the rate
		all = append(all, valueMetric(ServerCPU))
	}
	if row.Mode != Event {
		all = append(all, percentile("p50", 50), percentile("p90", 90), percentile("p99", 99), percentile("p99.9", 99.9), longest)
	}
	all = append(all, parts(row)...)
	all = append(all, valuesWithout(row, ServerCPU)...)
	if has(row, WriteGap) && len(row.Runs) > 1 {
		all = append(all, largestGap)
		if len(row.Runs) >= gapTail {
			all = append(all, gapP99)
		}
	}
	return all
}

// WriteGap names a run's value of the longest time without an acknowledged write around an event, in seconds.
const WriteGap = "write_gap_seconds"

// gapTail is the least number of events for their 99th percentile: with fewer it is the largest.
const gapTail = 100

// largestGap and gapP99 are of all events of a row.
var (
	largestGap = gapAt("largest write gap", 1)
	gapP99     = gapAt("p99 of the write gaps", 0.99)
)

func gapAt(name string, share float64) Metric {
	return Metric{name, func(Run) (float64, bool) { return 0, false }, duration, 0, 0, func(r Row) (float64, bool) {
		gaps := valueMetric(WriteGap).values(r)
		if len(gaps) == 0 {
			return 0, false
		}
		slices.Sort(gaps)
		return 1e9 * gaps[int(math.Ceil(share*float64(len(gaps))))-1], true
	}}
}

// valuesWithout are the metrics of the other figures of a row's runs, except those whose names end so.
func valuesWithout(row Row, suffix string) (all []Metric) {
	names := map[string]bool{}
	for _, run := range row.Runs {
		for name := range run.Values {
			names[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if !strings.HasSuffix(name, suffix) {
			all = append(all, valueMetric(name))
		}
	}
	return all
}

// ServerCPU names a run's value of the servers' processor time per operation, in seconds: user and system time of all members, clients
// excluded. Runs on servers that the benchmark did not start do not have it.
const ServerCPU = "server_cpu_per_operation_seconds"

// has tells whether a run of the row has the value.
func has(row Row, name string) bool {
	return slices.ContainsFunc(row.Runs, func(r Run) bool { _, is := r.Values[name]; return is })
}

// valueMetric is a metric of a run's other figures.
func valueMetric(name string) Metric {
	m := Metric{strings.ReplaceAll(name, "_", " "), func(r Run) (float64, bool) {
		v, ok := r.Values[name]
		return v, ok
	}, func(v float64) string { return fmt.Sprintf("%.4g", v) }, 0, 0, nil}
	switch {
	case strings.HasSuffix(name, "_seconds"):
		m.Name = strings.TrimSuffix(m.Name, " seconds")
		m.form = func(v float64) string { return duration(v * 1e9) }
	case strings.HasSuffix(name, "_bytes"):
		m.Name = strings.TrimSuffix(m.Name, " bytes")
		m.form = func(v float64) string { return fmt.Sprintf("%.0f MiB", v/(1<<20)) }
	case strings.HasSuffix(name, "_rate"):
		m.Name, m.form = strings.TrimSuffix(m.Name, " rate"), perSecond
	case strings.HasSuffix(name, "_most"):
		m.form = func(v float64) string { return fmt.Sprintf("%.0f", v) }
	case strings.HasSuffix(name, "_share"):
		m.form = func(v float64) string { return fmt.Sprintf("%.0f %%", 100*v) }
	}
	return m
}

// tooFew replaces a figure with too few samples.
const tooFew = "too few"

// tooFewMeans is the footnote about it.
var tooFewMeans = fmt.Sprintf("%s: a percentile is shown where %d requests of all runs lie beyond it: p50 needs %d, p90 %d, p99 %d and p99.9 %d.",
	tooFew, tailSamples, SamplesFor(50), SamplesFor(90), SamplesFor(99), SamplesFor(99.9))

// missing replaces a figure that a row does not have.
func (m Metric) missing(row Row) string {
	if m.samples > 0 && slices.ContainsFunc(row.Runs, func(r Run) bool {
		return r.Histogram != nil && r.Histogram.Histogram != nil && r.Histogram.TotalCount() > 0
	}) {
		return tooFew
	}
	return "-"
}

// values are a metric's figures of a row's runs. A percentile has none if a run with samples has too few for it: the runs with few are the
// slow ones, and the others alone would flatter.
func (m Metric) values(row Row) (all []float64) {
	for _, run := range row.Runs {
		v, ok := m.of(run)
		switch {
		case ok:
			all = append(all, v)
		case m.percent > 0 && run.Histogram != nil && run.Histogram.Histogram != nil && run.Histogram.TotalCount() > 0:
			return nil
		}
	}
	return all
}

// whole is the figure of all runs of a row: a percentile of all samples together, or the median of the runs' figures.
func (m Metric) whole(row Row) (float64, bool) {
	if m.all != nil {
		return m.all(row)
	}
	if m.percent > 0 {
		h := row.Merged()
		if h == nil || !Enough(h.TotalCount(), m.percent) {
			return 0, false
		}
		return float64(h.ValueAtQuantile(m.percent)), true
	}
	values := m.values(row)
	return stat.Median(values), len(values) > 0
}

func perSecond(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f/s", v)
	default:
		return fmt.Sprintf("%.3g/s", v)
	}
}

// duration formats nanoseconds with three digits.
func duration(ns float64) string {
	d := time.Duration(ns)
	if d == 0 {
		return "0s"
	}
	digits := math.Pow(10, math.Floor(math.Log10(math.Abs(float64(d))))-2)
	return d.Round(time.Duration(max(1, digits))).String()
}
