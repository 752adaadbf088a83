package result

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// Metric is one figure of a run.
type Metric struct {
	Name   string
	Better int // 1 where more is better, -1 where less is, 0 where neither
	// of is the figure of one run; false where the run does not have it.
	of func(Run) (float64, bool)
	// form writes a figure for people.
	form func(float64) string
	// samples is how many a run must have for the figure to be shown; 0: any number.
	samples int64
}

// tailSamples is how many samples must lie beyond a percentile for it to be shown: of fewer, it is an accident.
const tailSamples = 10

// Enough tells whether a percentile of so many samples may be shown.
func Enough(samples int64, percent float64) bool {
	return float64(samples)*(100-percent)/100 >= tailSamples
}

// SamplesFor is how many samples a percentile needs.
func SamplesFor(percent float64) int64 { return int64(math.Round(tailSamples * 100 / (100 - percent))) }

// percentile is a metric of a run's histogram.
func percentile(name string, percent float64) Metric {
	return Metric{name, -1, func(r Run) (float64, bool) {
		if r.Histogram == nil || r.Histogram.Histogram == nil || !Enough(r.Histogram.TotalCount(), percent) {
			return 0, false
		}
		return float64(r.Histogram.ValueAtQuantile(percent)), true
	}, duration, SamplesFor(percent)}
}

// metricsOf are the metrics that a row in a mode is judged by, in their order.
func metricsOf(row Row) []Metric {
	rate := Metric{"rate", 1, func(r Run) (float64, bool) { return r.Rate, r.Count > 0 }, perSecond, 0}
	longest := Metric{"max", 0, func(r Run) (float64, bool) {
		if r.Histogram == nil || r.Histogram.Histogram == nil || r.Histogram.TotalCount() == 0 {
			return 0, false
		}
		return float64(r.Histogram.Max()), true
	}, duration, 0}
	var all []Metric
	switch row.Mode {
	case Event:
	case Open, Probe: // an open loop's rate is what was asked, and a probe's is the inverse of its latency
		all = append(all, percentile("p50", 50), percentile("p90", 90), percentile("p99", 99), percentile("p99.9", 99.9), longest)
	default:
		all = append(all, rate, percentile("p50", 50), percentile("p90", 90), percentile("p99", 99), percentile("p99.9", 99.9), longest)
	}
	all = append(all, parts(row)...)
	names := map[string]bool{}
	for _, run := range row.Runs {
		for name := range run.Values {
			names[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		all = append(all, valueMetric(name))
	}
	return all
}

// valueMetric is one of a run's other figures. Of all that there are, less is better but for rates.
func valueMetric(name string) Metric {
	m := Metric{strings.ReplaceAll(name, "_", " "), -1, func(r Run) (float64, bool) {
		v, ok := r.Values[name]
		return v, ok
	}, func(v float64) string { return fmt.Sprintf("%.4g", v) }, 0}
	switch {
	case strings.HasSuffix(name, "_seconds"):
		m.Name = strings.TrimSuffix(m.Name, " seconds")
		m.form = func(v float64) string { return duration(v * 1e9) }
	case strings.HasSuffix(name, "_bytes"):
		m.Name = strings.TrimSuffix(m.Name, " bytes")
		m.form = func(v float64) string { return fmt.Sprintf("%.0f MiB", v/(1<<20)) }
	case strings.HasSuffix(name, "_rate"):
		m.Name, m.Better, m.form = strings.TrimSuffix(m.Name, " rate"), 1, perSecond
	case strings.HasSuffix(name, "_share"):
		m.Better = 0
		m.form = func(v float64) string { return fmt.Sprintf("%.0f %%", 100*v) }
	}
	return m
}

// tooFew stands for a figure that a row has too few samples for.
const tooFew = "too few"

// tooFewMeans is the footnote on it.
var tooFewMeans = fmt.Sprintf("%s: a percentile is shown where %d requests of a run lie beyond it: p50 needs %d in a run, p90 %d, p99 %d and p99.9 %d.",
	tooFew, tailSamples, SamplesFor(50), SamplesFor(90), SamplesFor(99), SamplesFor(99.9))

// missing is what stands for a figure that a row does not have.
func (m Metric) missing(row Row) string {
	if m.samples > 0 && slices.ContainsFunc(row.Runs, func(r Run) bool {
		return r.Histogram != nil && r.Histogram.Histogram != nil && r.Histogram.TotalCount() > 0
	}) {
		return tooFew
	}
	return "-"
}

// values are a metric's figures over a row's runs.
func (m Metric) values(row Row) (all []float64) {
	for _, run := range row.Runs {
		if v, ok := m.of(run); ok {
			all = append(all, v)
		}
	}
	return all
}

func perSecond(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f/s", v)
	default:
		return fmt.Sprintf("%.3g/s", v)
	}
}

// duration writes nanoseconds with three digits.
func duration(ns float64) string {
	d := time.Duration(ns)
	if d == 0 {
		return "0s"
	}
	digits := math.Pow(10, math.Floor(math.Log10(math.Abs(float64(d))))-2)
	return d.Round(time.Duration(max(1, digits))).String()
}
