package result

import (
	"fmt"
	"slices"

	"qkv/bench/stat"
)

// testRuns is the minimum of runs on each side at which a test can claim a difference: with three and three, even the largest distance
// occurs by chance once in ten.
const testRuns = 4

// comparison identifies a figure of a side that is compared with the same figure of the file's first side.
type comparison struct{ side, mode, load, figure string }

// differences are all comparisons in one report, whose number the test must know. A file's tables, pages and verdicts use all figures, and
// agree; its ratios show a few figures of each load, and use only these.
type differences struct {
	of    map[comparison]stat.Difference
	power power
}

// power is the statistical power of a number of comparisons.
type power struct {
	runs    int // on a side; some figures may have fewer
	figures int // compared figures
}

func (p *power) count(pair stat.Pair) {
	runs := min(len(pair.A), len(pair.B))
	p.runs = max(p.runs, runs)
	p.figures++
}

// String explains that a lone difference could not be claimed; empty if it could.
func (p power) String() string {
	together := stat.Together(p.runs, p.figures)
	if p.figures == 0 || together == 1 {
		return ""
	}
	return fmt.Sprintf("With %d runs of %d compared figures a single one that differs cannot be told from chance: at least %d must differ together, or %d runs be made.",
		p.runs, p.figures, together, stat.RunsFor(p.figures))
}

// differences compares each figure of each side with the first side's.
func (f *File) differences() differences { return f.differencesOf(metricsOf) }

// differencesOf does so for some of a row's figures.
func (f *File) differencesOf(figures func(Row) []Metric) differences {
	all := differences{of: map[comparison]stat.Difference{}}
	var names []comparison
	var pairs []stat.Pair
	for _, mode := range modes {
		rows := f.inMode(mode)
		for _, load := range loads(rows) {
			first := find(rows, f.Sides[0].Name, load)
			for _, m := range figures(first) {
				for _, s := range f.Sides[1:] {
					pair := stat.Pair{A: m.values(first), B: m.values(find(rows, s.Name, load))}
					if pair.Testable() {
						all.power.count(pair)
						names, pairs = append(names, comparison{s.Name, mode, load, m.Name}), append(pairs, pair)
					}
				}
			}
		}
	}
	for i, d := range stat.CompareAll(pairs) {
		all.of[names[i]] = d
	}
	return all
}

// inMode returns the rows of a mode.
func (f *File) inMode(mode string) []Row {
	return slices.DeleteFunc(slices.Clone(f.Rows), func(r Row) bool { return r.Mode != mode })
}

// remarks lists the limits of the file's figures.
func (f *File) remarks() (all []string) {
	if len(f.Sides) == 0 {
		return nil
	}
	if s := f.differences().power.String(); s != "" {
		all = append(all, s)
	}
	if slices.ContainsFunc(f.Tables(), func(t Table) bool {
		return slices.ContainsFunc(t.Lines, func(line []string) bool { return slices.Contains(line[2:], tooFew) })
	}) {
		all = append(all, tooFewMeans)
	}
	return all
}
