package stat

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 2, 9}, 3}} {
		if got := Median(c.values); got != c.want {
			t.Errorf("median of %v: %v, not %v", c.values, got, c.want)
		}
	}
}

// TestMannWhitneyExact holds the test against values that can be counted by hand: of the 20 orders of 3 and 3 values,
// two are as far apart as "all of a below all of b".
func TestMannWhitneyExact(t *testing.T) {
	for _, c := range []struct {
		a, b []float64
		want float64
	}{
		{[]float64{1, 2, 3}, []float64{4, 5, 6}, 2.0 / 20},
		{[]float64{4, 5, 6}, []float64{1, 2, 3}, 2.0 / 20},
		{[]float64{1, 2, 4}, []float64{3, 5, 6}, 4.0 / 20},
		{[]float64{1, 2, 3, 4, 5}, []float64{6, 7, 8, 9, 10}, 2.0 / 252},
		{[]float64{1}, []float64{2}, 1},
		{nil, []float64{2}, 1},
		{[]float64{7, 7, 7}, []float64{7, 7, 7}, 1},
		// of the 70 ways to take four of these, one is four ones, and one the four others
		{[]float64{1, 1, 1, 1}, []float64{2, 2, 2, 2}, 2.0 / 70},
		{[]float64{2, 2, 2, 2}, []float64{1, 1, 1, 1}, 2.0 / 70},
		// three ones among four: 4*4 ways, the same of three twos, and the two from above
		{[]float64{1, 1, 1, 2}, []float64{2, 2, 2, 1}, 34.0 / 70},
		{[]float64{1, 1}, []float64{1, 1, 2}, 1}, // the two alone is as far as no two: 6 and 4 ways of 10
	} {
		if got := MannWhitney(c.a, c.b); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%v and %v: %v, not %v", c.a, c.b, got, c.want)
		}
	}
}

// TestMannWhitneyAgree: the approximation is near what counting says where both can be had.
func TestMannWhitneyAgree(t *testing.T) {
	draw := rand.New(rand.NewPCG(1, 1))
	for range 50 {
		a, b := make([]float64, 12), make([]float64, 12)
		shift := draw.Float64()
		for i := range a {
			a[i], b[i] = draw.NormFloat64(), draw.NormFloat64()+shift
		}
		u, ties := rank(a, b)
		counted, near := exact(a, b), approximate(12, 12, u, ties)
		if math.Abs(counted-near) > 0.02 {
			t.Errorf("U %v: counted %v, approximated %v", u, counted, near)
		}
	}
}

// TestMannWhitneyTies holds the approximation against a value that was reckoned by hand: of ten and ten, eight of each are equal and so
// are the two others of each, U is 20, its variance 100/12 * (21 - 1980/380).
func TestMannWhitneyTies(t *testing.T) {
	a, b := []float64{1, 1, 1, 1, 1, 1, 1, 1, 2, 2}, []float64{2, 2, 2, 2, 2, 2, 2, 2, 1, 1}
	for _, pair := range [][2][]float64{{a, b}, {b, a}} {
		u, ties := rank(pair[0], pair[1])
		if got := approximate(10, 10, u, ties); math.Abs(got-0.010118) > 1e-5 {
			t.Errorf("%v, not 0.010118", got)
		}
	}
}

// compare is a comparison that is the only one.
func compare(a, b []float64) Difference { return CompareAll([]Pair{{a, b}})[0] }

// TestNoDifference: of two sides that are alike, at most about one in twenty comparisons claims a difference; of two
// that differ by a fifth with a spread of 5 %, nearly all do, and their interval holds the truth.
func TestNoDifference(t *testing.T) {
	draw := rand.New(rand.NewPCG(7, 7))
	sample := func(centre float64) []float64 {
		values := make([]float64, 7)
		for i := range values {
			values[i] = centre * (1 + 0.05*draw.NormFloat64())
		}
		return values
	}
	const rounds = 200
	claimed, found, inside := 0, 0, 0 // the intervals of those that were found
	for range rounds {
		if compare(sample(100), sample(100)).Claimed {
			claimed++
		}
		d := compare(sample(100), sample(120))
		if d.Claimed && d.Ratio > 1 {
			found++
		}
		if d.Low <= 1.2 && 1.2 <= d.High {
			inside++
		}
	}
	if claimed > rounds/10 || found < rounds*9/10 || inside < rounds*8/10 {
		t.Errorf("of %d: %d differences claimed where there was none, %d found of those there were, %d intervals with the truth", rounds, claimed, found, inside)
	}
}

func TestCompareOfNothing(t *testing.T) {
	for _, d := range []Difference{compare(nil, nil), compare([]float64{1}, nil), compare([]float64{0, 1}, []float64{1, 2})} {
		if d.Claimed || d.String() != "~" {
			t.Errorf("%+v is a difference", d)
		}
	}
	if s := compare([]float64{100, 101, 102, 103, 104}, []float64{90, 91, 92, 93, 94}).String(); s != "-9.8 % (-12.5 to -7.0)" {
		t.Error(s)
	}
}

// TestAlikeSidesOfManyFigures compares a build with itself as reports do, with many figures: of all such reports one in
// twenty claims anything at most, whether the figures of a run go up and down together or each by itself, and with ties.
func TestAlikeSidesOfManyFigures(t *testing.T) {
	const rounds, most = 200, 200/20 + 9 // three standard deviations above one in twenty
	draw := rand.New(rand.NewPCG(9, 9))
	for _, figures := range []int{1, 20, 60} {
		for _, runs := range []int{4, 5, 8} {
			for _, shared := range []float64{0, 0.7} { // of a figure's variance, what is its run's
				claims := 0
				for range rounds {
					for _, d := range CompareAll(pairsOf(draw, figures, runs, shared)) {
						if d.Claimed {
							claims++
							break
						}
					}
				}
				if claims > most {
					t.Errorf("%d runs of %d figures, %v shared: %d of %d reports claim a difference", runs, figures, shared, claims, rounds)
				}
			}
		}
	}
}

// pairsOf are figures of two sides that are alike: rounded, so that some are equal.
func pairsOf(draw *rand.Rand, figures, runs int, shared float64) []Pair {
	pairs := make([]Pair, figures)
	side := func(add func(p *Pair, v float64)) {
		for range runs {
			common := draw.NormFloat64()
			for i := range pairs {
				add(&pairs[i], math.Round(1000+50*(math.Sqrt(shared)*common+math.Sqrt(1-shared)*draw.NormFloat64())))
			}
		}
	}
	side(func(p *Pair, v float64) { p.A = append(p.A, v) })
	side(func(p *Pair, v float64) { p.B = append(p.B, v) })
	return pairs
}

// TestOneOfManyFigures: a figure that is worse by a fifth is found among others that are not, with as many runs as
// RunsFor says, and not with one less.
func TestOneOfManyFigures(t *testing.T) {
	draw := rand.New(rand.NewPCG(5, 5))
	for _, figures := range []int{20, 60} {
		needed, found, early := RunsFor(figures), 0, 0
		const rounds = 50
		for range rounds {
			for _, runs := range []int{needed, needed - 1} {
				pairs := pairsOf(draw, figures, runs, 0)
				for i := range pairs[3].B {
					pairs[3].A[i], pairs[3].B[i] = 1000+10*draw.NormFloat64(), 1200+10*draw.NormFloat64()
				}
				if d := CompareAll(pairs)[3]; d.Claimed && runs == needed && d.Low > 1.1 && d.High < 1.3 {
					found++
				} else if d.Claimed && runs < needed {
					early++
				}
			}
		}
		if found < rounds*9/10 || early > rounds/4 { // another one that is far by chance may make two of them
			t.Errorf("%d figures: of %d found with %d runs %d, with one less %d", figures, rounds, needed, found, early)
		}
	}
}

// TestTogether holds what few runs can show against what was reckoned by hand: 5 of 10 can be chosen in 252 ways.
func TestTogether(t *testing.T) {
	for _, c := range []struct{ runs, figures, want int }{{4, 1, 1}, {5, 1, 1}, {5, 20, 4}, {6, 20, 1}, {4, 20, 12}, {8, 200, 1}, {7, 200, 3}} {
		if got := Together(c.runs, c.figures); got != c.want {
			t.Errorf("%d runs of %d figures: %d together, not %d", c.runs, c.figures, got, c.want)
		}
		pairs := make([]Pair, c.figures)
		for i := range pairs {
			for r := range c.runs {
				higher := 0.0
				if i < c.want {
					higher = 100
				}
				pairs[i].A = append(pairs[i].A, float64(100+r))
				pairs[i].B = append(pairs[i].B, float64(100+r)+higher)
			}
		}
		if !CompareAll(pairs)[0].Claimed {
			t.Errorf("%d runs of %d figures: %d that differ are not claimed", c.runs, c.figures, c.want)
		}
		if c.want > 1 {
			pairs[0].B = pairs[0].A
			if CompareAll(pairs)[1].Claimed {
				t.Errorf("%d runs of %d figures: %d that differ are claimed", c.runs, c.figures, c.want-1)
			}
		}
	}
	for figures, want := range map[int]int{1: 4, 20: 6, 60: 7, 200: 8} {
		if got := RunsFor(figures); got != want {
			t.Errorf("%d figures: %d runs are needed, not %d", figures, got, want)
		}
	}
	few := []Pair{{[]float64{1, 2, 3}, []float64{4, 5, 6}}, {[]float64{1, 2, 3, 4}, []float64{11, 12, 13, 14}}}
	if d := CompareAll(few); d[0].Claimed || !d[1].Claimed {
		t.Errorf("one that could never be claimed counts among the comparisons: %+v", d)
	}
}

// TestIntervalThatHoldsOne: the U test alone claims no difference. Each pair of samples has a P below 0.05, and an interval that holds 1,
// begins at 1 or ends at 1.
func TestIntervalThatHoldsOne(t *testing.T) {
	for _, c := range []struct{ a, b []float64 }{
		{[]float64{91, 104, 96, 106, 109}, []float64{110, 110, 97, 113, 111}},
		{[]float64{111, 114, 115, 109, 107}, []float64{96, 98, 96, 96, 112}},
		{[]float64{99, 103, 92, 91, 91}, []float64{110, 101, 106, 117, 99}},
		{[]float64{97, 96, 118, 118, 99, 113}, []float64{94, 93, 96, 93, 95, 106}},
	} {
		d := compare(c.a, c.b)
		if d.P > 1-Confidence || d.Low > 1 || d.High < 1 {
			t.Fatalf("%v and %v: P %v, interval %v to %v: the samples are not what this test needs", c.a, c.b, d.P, d.Low, d.High)
		}
		if d.Claimed || d.String() != "~" {
			t.Errorf("%v and %v: a difference is claimed although the interval is %v to %v", c.a, c.b, d.Low, d.High)
		}
	}
}
