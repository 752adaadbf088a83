package stat

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

const (
	// Confidence of every interval.
	Confidence = 0.95
	// resamples of one bootstrap: the ends of a 95 % interval then vary by a hundredth of its width.
	resamples = 2000
	// exactMost is the largest product of sample sizes for an exact U test instead of the normal approximation: 400 is 20 runs on each
	// side, and a million additions.
	exactMost = 400
)

// Median is the middle of values, or the mean of the two in the middle; 0 of none.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// Interval bounds the median of the values' distribution with [Confidence]. With fewer than two values both ends are the median.
func Interval(values []float64) (low, high float64) {
	if len(values) < 2 {
		return Median(values), Median(values)
	}
	return bootstrap(func(draw *rand.Rand) float64 { return Median(resample(draw, values)) })
}

// RatioInterval bounds the ratio of b's median to a's with [Confidence]. All values must be above 0.
func RatioInterval(a, b []float64) (low, high float64) {
	return bootstrap(func(draw *rand.Rand) float64 { return Median(resample(draw, b)) / Median(resample(draw, a)) })
}

// bootstrap is the middle [Confidence] of a statistic's values on resamples.
func bootstrap(statistic func(draw *rand.Rand) float64) (low, high float64) {
	draw := rand.New(rand.NewPCG(1, 2))
	all := make([]float64, resamples)
	for i := range all {
		all[i] = statistic(draw)
	}
	slices.Sort(all)
	tail := int(math.Round((1 - Confidence) / 2 * resamples))
	return all[tail], all[resamples-1-tail]
}

func resample(draw *rand.Rand, values []float64) []float64 {
	drawn := make([]float64, len(values))
	for i := range drawn {
		drawn[i] = values[draw.IntN(len(values))]
	}
	return drawn
}

// MannWhitney is the probability, two-sided, that samples as far apart as a and b come from one distribution: 1 where
// either is empty or all values are equal.
func MannWhitney(a, b []float64) float64 {
	if len(a) == 0 || len(b) == 0 {
		return 1
	}
	if len(a)*len(b) <= exactMost {
		return exact(a, b)
	}
	u, ties := rank(a, b)
	return approximate(len(a), len(b), u, ties)
}

// rank returns a's U, the number of pairs that its values win, a tie being half a win; and the sum of t^3-t over groups of t equal values.
func rank(a, b []float64) (u, ties float64) {
	for _, x := range a {
		for _, y := range b {
			switch {
			case x > y:
				u++
			case x == y:
				u += 0.5
			}
		}
	}
	all := slices.Concat(a, b)
	slices.Sort(all)
	for i := 0; i < len(all); {
		j := equals(all, i)
		t := float64(j - i)
		ties += t*t*t - t
		i = j
	}
	return u, ties
}

// equals is the end of the values that equal the one at i.
func equals(sorted []float64, i int) (end int) {
	for end = i; end < len(sorted) && sorted[end] == sorted[i]; end++ {
	}
	return end
}

// exact enumerates all ways to take one sample out of both, and counts the ways whose rank sum is as far from its mean as the sample's is.
// Equal values share the mean of their ranks; ranks are doubled here, to be integers.
func exact(a, b []float64) float64 {
	if len(a) > len(b) {
		a, b = b, a
	}
	all := slices.Concat(a, b)
	slices.Sort(all)
	ranks, place := make([]int, len(all)), map[float64]int{}
	for i := 0; i < len(all); {
		end := equals(all, i)
		for at := i; at < end; at++ {
			ranks[at] = i + 1 + end // (i+1) to end, their mean doubled
		}
		place[all[i]] = i + 1 + end
		i = end
	}
	sum, most := 0, 0
	for i, x := range a {
		sum += place[x]
		most += ranks[len(ranks)-1-i]
	}
	// ways[k][s]: how many sets of k of the ranks so far have the sum s
	ways := make([][]float64, len(a)+1)
	for k := range ways {
		ways[k] = make([]float64, most+1)
	}
	ways[0][0] = 1
	for _, r := range ranks {
		for k := len(a); k > 0; k-- {
			for s := most; s >= r; s-- {
				ways[k][s] += ways[k-1][s-r]
			}
		}
	}
	middle := len(a) * (len(all) + 1) // the mean, doubled
	var as, of float64
	for s, count := range ways[len(a)] {
		of += count
		if max(s-middle, middle-s) >= max(sum-middle, middle-sum) {
			as += count
		}
	}
	return as / of
}

// approximate is the normal approximation, corrected for ties and for U being an integer.
func approximate(n, m int, u, ties float64) float64 {
	count := float64(n + m)
	variance := float64(n*m) / 12 * (count + 1 - ties/(count*(count-1)))
	if variance == 0 {
		return 1
	}
	z := max(0, math.Abs(u-float64(n*m)/2)-0.5) / math.Sqrt(variance)
	return math.Erfc(z / math.Sqrt2)
}

// Difference is the judgement on b compared with a.
type Difference struct {
	Ratio     float64 // of the medians, b to a; 0 where a's is 0
	P         float64 // by MannWhitney, corrected for the other comparisons
	Low, High float64 // of the ratio, with Confidence; set if P shows a difference
	Claimed   bool    // the test and the interval both show a difference
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
	return p.compares() && least(len(p.A), len(p.B)) <= 1-Confidence
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
		all[i].P = MannWhitney(p.A, p.B)
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
		if d.P <= 1-Confidence {
			d.Low, d.High = RatioInterval(pairs[i].A, pairs[i].B)
			d.Claimed = d.Low > 1 || d.High < 1
		}
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
	return max(1, int(math.Ceil(least(runs, runs)*float64(figures)/(1-Confidence)-1e-9)))
}

// RunsFor is how many runs on each side allow a claim about a single one of the compared figures.
func RunsFor(figures int) (runs int) {
	for runs = 1; Together(runs, figures) > 1 || least(runs, runs) > 1-Confidence; runs++ {
	}
	return runs
}

// String is "~", or the change with its interval: in percent, or as a multiple from twice or half on.
func (d Difference) String() string {
	if !d.Claimed {
		return "~"
	}
	if d.Ratio >= 2 || d.Ratio <= 0.5 {
		return fmt.Sprintf("%.3g x (%.3g to %.3g)", d.Ratio, d.Low, d.High)
	}
	return fmt.Sprintf("%+.1f %% (%+.1f to %+.1f)", 100*(d.Ratio-1), 100*(d.Low-1), 100*(d.High-1))
}
