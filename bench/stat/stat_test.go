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
		counted, near := exact(12, 12, u), approximate(12, 12, u, ties)
		if math.Abs(counted-near) > 0.02 {
			t.Errorf("U %v: counted %v, approximated %v", u, counted, near)
		}
	}
}

// TestMannWhitneyTies holds the approximation against a value that was reckoned by hand: of ten and ten, eight of each are equal and so
// are the two others of each, U is 20, its variance 100/12 * (21 - 1980/380).
func TestMannWhitneyTies(t *testing.T) {
	a, b := []float64{1, 1, 1, 1, 1, 1, 1, 1, 2, 2}, []float64{2, 2, 2, 2, 2, 2, 2, 2, 1, 1}
	for _, got := range []float64{MannWhitney(a, b), MannWhitney(b, a)} {
		if math.Abs(got-0.010118) > 1e-5 {
			t.Errorf("%v, not 0.010118", got)
		}
	}
}

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
	claimed, found, inside := 0, 0, 0
	for range rounds {
		if Compare(sample(100), sample(100)).Claimed {
			claimed++
		}
		d := Compare(sample(100), sample(120))
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
	for _, d := range []Difference{Compare(nil, nil), Compare([]float64{1}, nil), Compare([]float64{0, 1}, []float64{1, 2})} {
		if d.Claimed || d.String() != "~" {
			t.Errorf("%+v is a difference", d)
		}
	}
	if s := Compare([]float64{100, 101, 102, 103, 104}, []float64{90, 91, 92, 93, 94}).String(); s != "-9.8 % (-12.5 to -7.0)" {
		t.Error(s)
	}
}
