package stat

import (
	"math"
	"math/rand/v2"
	"testing"

	"qkv/internal/testlong"
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

// TestPExact holds the library's test against values that can be counted by hand: of the 20 orders of 3 and 3 values,
// two are as far apart as "all of a below all of b".
func TestPExact(t *testing.T) {
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
		if got := compare(c.a, c.b).P; math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%v and %v: %v, not %v", c.a, c.b, got, c.want)
		}
	}
}

// compare is a comparison that is the only one.
func compare(a, b []float64) Difference { return CompareAll([]Pair{{a, b}})[0] }

// TestNoDifference: of two sides that are alike, at most about one in twenty comparisons claims a difference; of two
// that differ by a fifth with a spread of 5 %, nearly all do.
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
	claimed, found := 0, 0
	for range rounds {
		if compare(sample(100), sample(100)).Claimed {
			claimed++
		}
		d := compare(sample(100), sample(120))
		if d.Claimed && d.Ratio > 1 {
			found++
		}
	}
	if claimed > rounds/10 || found < rounds*9/10 {
		t.Errorf("of %d: %d differences claimed where there was none, %d found of those there were", rounds, claimed, found)
	}
}

func TestCompareOfNothing(t *testing.T) {
	for _, d := range []Difference{compare(nil, nil), compare([]float64{1}, nil), compare([]float64{0, 1}, []float64{1, 2})} {
		if d.Claimed || d.String() != "~" {
			t.Errorf("%+v is a difference", d)
		}
	}
	if s := compare([]float64{100, 101, 102, 103, 104}, []float64{90, 91, 92, 93, 94}).String(); s != "-9.8 % (p=0.008)" {
		t.Error(s)
	}
}

// TestAlikeSidesOfManyFigures compares a build with itself as reports do, with many figures: of all such reports one in
// twenty claims anything at most, whether the figures of a run go up and down together or each by itself, and with ties.
func TestAlikeSidesOfManyFigures(t *testing.T) {
	testlong.Skip(t)
	const rounds, most = 100, 100/20 + 7 // three standard deviations above one in twenty
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
				if d := CompareAll(pairs)[3]; d.Claimed && runs == needed && d.Ratio > 1.1 && d.Ratio < 1.3 {
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

// TestInterval: six values and more have an interval of their median, and fewer have their range.
func TestInterval(t *testing.T) {
	for _, c := range []struct {
		values    []float64
		low, high float64
	}{
		{nil, 0, 0},
		{[]float64{3}, 3, 3},
		{[]float64{5, 1, 2, 3, 4}, 1, 5},
		{[]float64{12, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, 3, 10}, // below the third of 12 are fewer than 1 in 40: 79 of 4096 orders
	} {
		if low, high := Interval(c.values); low != c.low || high != c.high {
			t.Errorf("%v: %v to %v, not %v to %v", c.values, low, high, c.low, c.high)
		}
	}
}

// TestEqualMedians: two sides with one median are claimed to differ in nothing, whatever the test says of their spread.
func TestEqualMedians(t *testing.T) {
	a := []float64{100, 100, 100, 100, 100, 100, 1, 1, 1, 1, 1}
	b := []float64{100, 100, 100, 100, 100, 100, 900, 900, 900, 900, 900}
	if d := compare(a, b); d.P > 1-confidence || d.Claimed {
		t.Errorf("%+v", d)
	}
}
