package stat

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"golang.org/x/perf/benchmath"
)

// confidence of every interval, and of every claim.
const confidence = 0.95

// sample copies the values: the library sorts them in place.
func sample(values []float64) *benchmath.Sample {
	return benchmath.NewSample(slices.Clone(values), &benchmath.DefaultThresholds)
}

// Median is the middle of values, or the mean of the two in the middle; 0 of none.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	return benchmath.AssumeNothing.Summary(sample(values), confidence).Center
}

// Interval bounds the median of the values' distribution with [confidence]. Too few values for that (below 6) have their range instead.
func Interval(values []float64) (low, high float64) {
	if len(values) == 0 {
		return 0, 0
	}
	s := benchmath.AssumeNothing.Summary(sample(values), confidence)
	return max(s.Lo, slices.Min(values)), min(s.Hi, slices.Max(values))
}

// Difference is the judgement on b compared with a.
type Difference struct {
	Ratio   float64 // of the medians, b to a; 0 where a's is 0
	P       float64 // by the U test, corrected for the other comparisons
	Claimed bool    // P is low enough, and the medians differ
}

// Pair are one figure's values on two sides.
type Pair struct{ A, B []float64 }

// compares tells whether the pair can be compared at all.
func (p Pair) compares() bool {
	return len(p.A) > 0 && len(p.B) > 0 && slices.Min(p.A) > 0 && slices.Min(p.B) > 0
}

// Testable tells whether the pair has enough values for a claim if it were the only one. A pair with fewer values cannot make a false
// claim either, and does not count among the comparisons (Tarone 1990).
func (p Pair) Testable() bool {
	return p.compares() && least(len(p.A), len(p.B)) <= 1-confidence
}

// CompareAll compares B with A in each of the pairs, which must be all comparisons of one report.
func CompareAll(pairs []Pair) []Difference {
	all := make([]Difference, len(pairs))
	var order []int // of the tested pairs, by P
	for i, p := range pairs {
		all[i].P = 1
		if !p.compares() {
			continue
		}
		all[i].Ratio = Median(p.B) / Median(p.A)
		// with ties the library may exceed 1
		all[i].P = min(1, benchmath.AssumeNothing.Compare(sample(p.A), sample(p.B)).P)
		if p.Testable() {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(all[i].P, all[j].P) })
	smallest := 1.0
	for at := len(order) - 1; at >= 0; at-- {
		i := order[at]
		smallest = min(smallest, all[i].P*float64(len(order))/float64(at+1))
		d := &all[i]
		d.P = smallest
		d.Claimed = d.P <= 1-confidence && d.Ratio != 1
	}
	return all
}

// least is the smallest P of samples of n and m values: all values of one below all of the other.
func least(n, m int) float64 {
	ways := 1.0 // n+m over n
	for i := 1; i <= n; i++ {
		ways *= float64(m+i) / float64(i)
	}
	return min(1, 2/ways)
}

// Together is how many of the compared figures must differ at once, as far as possible, for a claim with this number of runs on each side;
// more than figures if no claim is possible.
func Together(runs, figures int) int {
	return max(1, int(math.Ceil(least(runs, runs)*float64(figures)/(1-confidence)-1e-9)))
}

// RunsFor is how many runs on each side allow a claim about a single one of the compared figures.
func RunsFor(figures int) (runs int) {
	for runs = 1; Together(runs, figures) > 1 || least(runs, runs) > 1-confidence; runs++ {
	}
	return runs
}

// String is "~", or the change with its P: in percent, or as a multiple from twice or half on.
func (d Difference) String() string {
	switch {
	case !d.Claimed:
		return "~"
	case d.Ratio >= 2 || d.Ratio <= 0.5:
		return fmt.Sprintf("%.3g x (p=%.3f)", d.Ratio, d.P)
	}
	return fmt.Sprintf("%+.1f %% (p=%.3f)", 100*(d.Ratio-1), d.P)
}
