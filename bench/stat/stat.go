package stat

import (
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
	// exactMost is the largest product of sample sizes for which the U test counts all orders in place of the normal
	// approximation: 400 is 20 runs on each side.
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

// Interval is where the median of what values were drawn from lies with [Confidence]. Of fewer than two values nothing is
// known: both ends are the median.
func Interval(values []float64) (low, high float64) {
	if len(values) < 2 {
		return Median(values), Median(values)
	}
	return bootstrap(func(draw *rand.Rand) float64 { return Median(resample(draw, values)) })
}

// RatioInterval is where the ratio of b's median to a's lies with [Confidence]. All values must be above 0.
func RatioInterval(a, b []float64) (low, high float64) {
	return bootstrap(func(draw *rand.Rand) float64 { return Median(resample(draw, b)) / Median(resample(draw, a)) })
}

// bootstrap is the middle [Confidence] of what a statistic comes to on resamples.
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
	u, ties := rank(a, b)
	if ties == 0 && len(a)*len(b) <= exactMost {
		return exact(len(a), len(b), u)
	}
	return approximate(len(a), len(b), u, ties)
}

// rank returns a's U: how many pairs its values win, a tie being half a win; and the sum of t^3-t over groups of t equal
// values.
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
		j := i
		for j < len(all) && all[j] == all[i] {
			j++
		}
		t := float64(j - i)
		ties += t*t*t - t
		i = j
	}
	return u, ties
}

// exact counts, of all orders of n and m values, those whose U is as far from the middle as u.
func exact(n, m int, u float64) float64 {
	// ways[i][j][v]: orders of i and j values in which the i win v pairs. The last value is one of the i, which then
	// wins against all j, or one of the j, which changes nothing.
	ways := make([][][]float64, n+1)
	for i := range ways {
		ways[i] = make([][]float64, m+1)
		for j := range ways[i] {
			ways[i][j] = make([]float64, i*j+1)
			if i == 0 || j == 0 {
				ways[i][j][0] = 1
				continue
			}
			for v := range ways[i][j] {
				if v >= j && v-j < len(ways[i-1][j]) {
					ways[i][j][v] += ways[i-1][j][v-j]
				}
				if v < len(ways[i][j-1]) {
					ways[i][j][v] += ways[i][j-1][v]
				}
			}
		}
	}
	middle := float64(n*m) / 2
	var as, all float64
	for v, count := range ways[n][m] {
		all += count
		if math.Abs(float64(v)-middle) >= math.Abs(u-middle) {
			as += count
		}
	}
	return as / all
}

// approximate is the normal approximation, corrected for ties and for U being a whole number.
func approximate(n, m int, u, ties float64) float64 {
	count := float64(n + m)
	variance := float64(n*m) / 12 * (count + 1 - ties/(count*(count-1)))
	if variance == 0 {
		return 1
	}
	z := max(0, math.Abs(u-float64(n*m)/2)-0.5) / math.Sqrt(variance)
	return math.Erfc(z / math.Sqrt2)
}

// Difference is what can be said of b beside a.
type Difference struct {
	Ratio     float64 // of the medians, b to a; 0 where a's is 0
	Low, High float64 // of the ratio, with Confidence
	P         float64 // by MannWhitney
	Claimed   bool    // the test and the interval both say that there is a difference
}

// Compare says how b differs from a.
func Compare(a, b []float64) Difference {
	d := Difference{P: MannWhitney(a, b)}
	if len(a) == 0 || len(b) == 0 || slices.Min(a) <= 0 || slices.Min(b) <= 0 {
		return d
	}
	d.Ratio = Median(b) / Median(a)
	d.Low, d.High = RatioInterval(a, b)
	d.Claimed = d.P < 1-Confidence && (d.Low > 1 || d.High < 1)
	return d
}

// String is "~", or the change with its interval: in percent, or as a multiple where it is twice or half.
func (d Difference) String() string {
	if !d.Claimed {
		return "~"
	}
	if d.Ratio >= 2 || d.Ratio <= 0.5 {
		return fmt.Sprintf("%.3g x (%.3g to %.3g)", d.Ratio, d.Low, d.High)
	}
	return fmt.Sprintf("%+.1f %% (%+.1f to %+.1f)", 100*(d.Ratio-1), 100*(d.Low-1), 100*(d.High-1))
}
