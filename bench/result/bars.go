package result

import (
	"fmt"
	"slices"

	"qkv/bench/stat"
)

// spread is the values behind one bar: the bar ends at the middle one, and a line reaches from the lowest to the highest.
type spread struct {
	label             string
	low, middle, high float64
}

// barClass and lineClass are the colours of a bar and of its spread.
const (
	barClass  = 0
	lineClass = 5
)

// spreads draws one bar for each spread.
func spreads(title string, all []spread) (chart, bool) {
	c := chart{Title: title, X: "the line is the spread"}
	most := 0.0
	for _, s := range all {
		most = max(most, s.high)
	}
	if most == 0 {
		return c, false
	}
	height := min(chartHeight/float64(len(all)), 40)
	for i, s := range all {
		y := chartTop + height*float64(i)
		at := func(v float64) float64 { return v / most * chartWidth }
		c.Bars = append(c.Bars, bar{chartLeft, y + 4, max(1, at(s.middle)), height - 8, barClass}, bar{chartLeft + at(s.low), y + height/2 - 1, max(1, at(s.high)-at(s.low)), 2, lineClass})
		c.YTicks = append(c.YTicks, tick{y + height/2, short(s.label)})
	}
	for _, part := range []float64{0, 0.25, 0.5, 0.75, 1} {
		c.XTicks = append(c.XTicks, tick{chartLeft + chartWidth*part, duration(most * part)})
	}
	return c, true
}

// spreadOf returns the spread of a metric over a row's runs.
func (f *File) spreadOf(r Row, m Metric) (spread, bool) {
	values := m.values(r)
	if len(values) == 0 {
		return spread{}, false
	}
	s := f.side(r.Side)
	return spread{s.Name, slices.Min(values), stat.Median(values), slices.Max(values)}, true
}

// described adds a chart of bars, if there are any, with a sentence of each bar: its label, its middle and its highest value.
func described(all []chart, title string, bars []spread, sentence string) []chart {
	c, ok := spreads(title, bars)
	if !ok {
		return all
	}
	for _, b := range bars {
		c.Said = append(c.Said, fmt.Sprintf(sentence, b.label, duration(b.middle), duration(b.high)))
	}
	return append(all, c)
}

// disks draws a bar for each disk: the median time of a write with its sync, with a line to the 99th percentile.
func (f *File) disks() (all []chart) {
	for _, load := range loads(f.Rows) {
		var bars []spread
		for _, r := range f.Rows {
			h := r.Merged()
			if r.load() != load || r.Mode != Probe || h == nil || h.TotalCount() == 0 {
				continue
			}
			s := f.side(r.Side)
			q := func(q float64) float64 { return float64(h.ValueAtQuantile(q)) }
			bars = append(bars, spread{s.Name, q(1), q(50), q(99)})
		}
		all = described(all, load+": time of a write with its sync", bars, "%s: half take up to %s, 99 %% up to %s.")
	}
	return all
}

// gaps draws how long writes stop in each event, such as the leader's end.
func (f *File) gaps() (all []chart) {
	gap := Metric{"write gap", func(r Run) (float64, bool) {
		v, ok := r.Values[WriteGap]
		return v * 1e9, ok
	}, duration, 0, 0, nil}
	for _, load := range loads(f.Rows) {
		var bars []spread
		for _, r := range f.Rows {
			if one, ok := f.spreadOf(r, gap); ok && r.load() == load {
				bars = append(bars, one)
			}
		}
		all = described(all, load+": how long no write succeeds", bars, "%s: writes stop for %s, at most %s.")
	}
	return all
}
