package result

import (
	"fmt"
	"slices"

	"qkv/bench/stat"
)

// GateRuns is the minimum of runs on each side at which a test can claim a difference: with three and three, even the largest distance
// occurs by chance once in ten.
const GateRuns = 4

// regression is a figure that became worse.
type regression struct {
	Side, Load, Figure string
	Was, Is            string
	Difference         stat.Difference
}

func (r regression) String() string {
	return fmt.Sprintf("%s, %s, %s: %s became %s, %v", r.Side, r.Load, r.Figure, r.Was, r.Is, r.Difference)
}

// Gated is the result of a gate.
type Gated struct {
	Worse    []regression
	Compared int      // figures
	Missing  []string // loads of the baseline only
	Blind    string   // why a single worse figure would not have been found; empty if it would
}

// Gate compares a file with a baseline. It returns the figures that became worse significantly and by more than most, a fraction, and the
// number of compared figures. It is an error if there are too few runs for any claim, or nothing in common, and if a load with figures in
// the baseline has none now.
func Gate(baseline, now *File, most float64) (Gated, error) {
	var pairs []stat.Pair
	var figures []figure
	common := ""
	for _, r := range now.Rows {
		before := find(baseline.Rows, r.Side, r.load())
		if len(before.Runs) == 0 || before.Mode != r.Mode || r.Name == LoadSteady { // which is measured once: no test can judge it
			continue
		}
		if a, b := len(before.Runs), len(r.Runs); a < GateRuns || b < GateRuns {
			return Gated{}, fmt.Errorf("%s of %s has %d runs in the baseline and %d now: a difference needs %d of each to be one", r.load(), r.Side, a, b, GateRuns)
		}
		common = fmt.Sprintf("%s of %s", r.load(), r.Side)
		if before.succeeded() && !r.succeeded() { // no figure exists that could be worse
			return Gated{}, fmt.Errorf("of %s nothing succeeded in any run, and in the baseline it did: %s", common, r.firstError())
		}
		for _, m := range metricsOf(r) {
			was, is := m.values(before), m.values(r)
			if m.Better != 0 && len(was) >= GateRuns && len(is) >= GateRuns {
				pairs, figures = append(pairs, stat.Pair{A: was, B: is}), append(figures, figure{r, m})
			}
		}
	}
	if len(pairs) == 0 && common != "" {
		return Gated{}, fmt.Errorf("no figure rests on enough requests in %d runs of both files, %s among them: measure for longer, --duration says how long", GateRuns, common)
	}
	if len(pairs) == 0 {
		return Gated{}, fmt.Errorf("the two files have no load in common: sides %v and %v", sides(baseline), sides(now))
	}
	g := gated(pairs, figures, most)
	for _, r := range baseline.Rows {
		if len(r.Runs) > 0 && len(find(now.Rows, r.Side, r.load()).Runs) == 0 {
			g.Missing = append(g.Missing, fmt.Sprintf("%s of %s", r.load(), r.Side))
		}
	}
	return g, nil
}

// figure is a figure of a row.
type figure struct {
	row    Row
	metric Metric
}

// gated judges all figures at once: a build equal to the baseline passes with any number of figures.
func gated(pairs []stat.Pair, figures []figure, most float64) Gated {
	g := Gated{Compared: len(pairs)}
	var can power
	for i, d := range stat.CompareAll(pairs) {
		was, is, r, m := pairs[i].A, pairs[i].B, figures[i].row, figures[i].metric
		if pairs[i].Testable() {
			can.count(pairs[i])
		}
		loss := 1 - d.Ratio
		if m.Better < 0 {
			loss = d.Ratio - 1
		}
		if d.Claimed && loss > most {
			g.Worse = append(g.Worse, regression{r.Side, r.load(), m.Name, m.form(stat.Median(was)), m.form(stat.Median(is)), d})
		}
	}
	g.Blind = can.String()
	return g
}

// succeeded tells whether any run had a success.
func (r Row) succeeded() bool {
	return slices.ContainsFunc(r.Runs, func(run Run) bool { return run.Count > 0 })
}

// firstError is the first reported failure of the runs.
func (r Row) firstError() string {
	for _, run := range r.Runs {
		if run.FirstError != "" {
			return run.FirstError
		}
	}
	return "no run says why"
}

func sides(f *File) (names []string) {
	for _, s := range f.Sides {
		names = append(names, s.Name)
	}
	slices.Sort(names)
	return names
}
