package result

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"qkv/bench/stat"
)

// keyFigures are what a load in a mode is summed up by.
func keyFigures(row Row) (all []Metric) {
	switch {
	case row.Mode == Probe:
		return nil
	case row.Mode == Open, strings.HasPrefix(row.Name, "put while"), strings.HasPrefix(row.Name, "put in"):
		all = append(all, percentile("p99", 99))
	case row.Mode == Closed:
		all = append(all, valueMetric("events_rate"))
		if !slices.ContainsFunc(row.Runs, func(r Run) bool { return r.Values["events_rate"] > 0 }) {
			all = all[:0]
			for _, m := range metricsOf(row) {
				if m.Name == "rate" {
					all = append(all, m)
				}
			}
		}
		return all
	}
	if row.Mode != Event {
		return all
	}
	names := map[string]bool{}
	for _, run := range row.Runs {
		for name := range run.Values {
			names[name] = !strings.HasSuffix(name, "_share")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if names[name] {
			all = append(all, valueMetric(name))
		}
	}
	return all
}

// Ratios writes one table in Markdown, with the figures that a reader asks for first: medians of each side, and behind those of
// all sides but the first what multiple of the first's they are. Losses are in it like gains.
func (f *File) Ratios(w io.Writer) error {
	var b strings.Builder
	e := f.Environment
	fmt.Fprintf(&b, "%s, `%s`: %s, %d processors (%s). Medians; x is the multiple of %s's, ~ that no test tells them apart.\n\n",
		f.Begun.Format("2006-01-02"), strings.Join(f.Command, " "), e.Program, e.Processors, e.CPU, f.Sides[0].Name)
	for _, note := range slices.Concat(f.remarks(), f.Notes) { // above all, that it ended early
		fmt.Fprintf(&b, "%s\n\n", note)
	}
	differ := f.differences()
	head := "| load | figure |"
	for _, s := range f.Sides {
		head += " " + f.label(s) + " |"
	}
	fmt.Fprintf(&b, "%s\n|---|---|%s\n", head, strings.Repeat("---|", len(f.Sides)))
	for _, load := range loads(f.Rows) {
		first := find(f.Rows, f.Sides[0].Name, load)
		var metrics []Metric
		mode := ""
		for _, s := range f.Sides {
			row := find(f.Rows, s.Name, load)
			if metrics, mode = keyFigures(row), row.Mode; len(metrics) > 0 {
				break
			}
		}
		for _, m := range metrics {
			line, base := fmt.Sprintf("| %s | %s |", strings.TrimSuffix(load, ", value bytes 256"), m.Name), m.values(first)
			for i, s := range f.Sides {
				values := m.values(find(f.Rows, s.Name, load))
				cell := "-"
				if len(values) > 0 {
					cell = m.form(stat.Median(values))
				}
				if i > 0 && len(values) > 0 && len(base) > 0 && stat.Median(base) > 0 {
					cell += fmt.Sprintf(" (%.2f x", stat.Median(values)/stat.Median(base))
					if len(values) >= GateRuns && len(base) >= GateRuns && !differ.of[comparison{s.Name, mode, load, m.Name}].Claimed {
						cell += " ~"
					}
					cell += ")"
				}
				line += " " + cell + " |"
			}
			fmt.Fprintln(&b, line)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
