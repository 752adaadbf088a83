package result

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// keyFigures are the summary figures of a load in a mode.
func keyFigures(row Row) (all []Metric) {
	switch {
	case row.Mode == Probe:
		return nil
	case row.Mode == Open, strings.HasPrefix(row.Name, "put while"), strings.HasPrefix(row.Name, "put in"):
		all = append(all, percentile("p99", 99))
	case row.Mode == Closed && slices.ContainsFunc(row.Runs, func(r Run) bool { return r.Values["events_rate"] > 0 }):
		all = append(all, valueMetric("events_rate"))
	case row.Mode == Closed:
		all = append(all, metricsOf(row)[0])
	}
	if row.Mode != Event && has(row, ServerCPU) {
		all = append(all, valueMetric(ServerCPU))
	}
	if row.Mode == Event {
		all = append(all, valuesWithout(row, "_share")...)
	}
	return all
}

// Ratios writes one Markdown table with the most important figures. It shows the medians of each side, and for all sides except the first
// the multiple of the first's. Losses are shown like gains. Footnotes follow the table.
func (f *File) Ratios(w io.Writer) error {
	var b strings.Builder
	e := f.Environment
	fmt.Fprintf(&b, "%s, `%s`: %s, %d processors (%s). Medians; x is the multiple of %s's, ~ that no test tells them apart.\n\n",
		f.Begun.Format("2006-01-02"), CommandLine(f.Command), e.Program, e.Processors, e.CPU, f.Sides[0].Name)
	for _, note := range f.Notes { // most important: a note about an early end
		fmt.Fprintf(&b, "%s\n\n", note)
	}
	head := "| load | figure |"
	for _, s := range f.Sides {
		head += " " + s.Name + " |"
	}
	fmt.Fprintf(&b, "%s\n|---|---|%s\n", head, strings.Repeat("---|", len(f.Sides)))
	differ := f.differencesOf(func(first Row) []Metric { return f.keyFigures(first.load()) })
	short := false
	var failed []string
	for _, load := range loads(f.Rows) {
		for i, m := range f.keyFigures(load) {
			line := fmt.Sprintf("| %s | %s |", strings.TrimSuffix(load, ", value bytes 256"), m.Name)
			for _, s := range f.Sides {
				row := find(f.Rows, s.Name, load)
				cell := f.ratio(m, row, differ)
				short = short || cell == tooFew
				if count := row.failed(); count != "" {
					cell += ", " + count
					if i == 0 {
						failed = append(failed, fmt.Sprintf("%s, %s: %s", s.Name, load, failures(row)))
					}
				}
				line += " " + cell + " |"
			}
			fmt.Fprintln(&b, line)
		}
	}
	foot := func(s string) { fmt.Fprintf(&b, "\n%s\n", s) }
	if s := differ.power.String(); s != "" {
		foot(s)
	}
	if short {
		foot(tooFewMeans)
	}
	if len(failed) > 0 {
		foot("What failed, in all runs and their warm-ups, is in no figure: " + strings.Join(failed, "; ") + ".")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// keyFigures returns a load's summary figures, from the side that has most of them.
func (f *File) keyFigures(load string) (most []Metric) {
	for _, s := range f.Sides {
		if all := keyFigures(find(f.Rows, s.Name, load)); len(all) > len(most) {
			most = all
		}
	}
	return most
}

// ratio returns a row's figure, with the multiple of the first side's.
func (f *File) ratio(m Metric, row Row, differ differences) string {
	whole, ok := m.whole(row)
	if !ok {
		return m.missing(row)
	}
	cell, first := m.form(whole), find(f.Rows, f.Sides[0].Name, row.load())
	than, known := m.whole(first)
	if row.Side == f.Sides[0].Name || !known || than <= 0 {
		return cell
	}
	cell += fmt.Sprintf(" (%.2f x", whole/than)
	if values, base := m.values(row), m.values(first); len(values) >= testRuns && len(base) >= testRuns && !differ.of[comparison{row.Side, row.Mode, row.load(), m.Name}].Claimed {
		cell += " ~"
	}
	return cell + ")"
}
