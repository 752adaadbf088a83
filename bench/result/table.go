package result

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"qkv/bench/stat"
)

// Table is a table of a file: a line for each figure of each load. All its rows have one mode.
type Table struct {
	Title string
	Head  []string
	Lines [][]string
}

// modeTitles explain the latencies above a table.
var modeTitles = map[string]string{
	Closed: "Closed loop: a number of requests is always in flight. Latency belongs to that number.",
	Open:   "Open loop: requests begin when planned. Latency counts from then, with all the time a request had to wait to begin.",
	Probe:  "Probes: one operation after the other.",
	Event:  "Events: each run is one.",
}

// modes are in the order of the tables.
var modes = []string{Closed, Open, Event, Probe}

// Tables returns a file's tables, one for each mode.
func (f *File) Tables() (all []Table) {
	if len(f.Rows) == 0 {
		return nil
	}
	differ := f.differences()
	for _, mode := range modes {
		if rows := f.inMode(mode); len(rows) > 0 {
			all = append(all, f.table(mode, rows, differ))
		}
	}
	return all
}

// table has a column for each side, and after each but the first one its difference to the first.
func (f *File) table(mode string, rows []Row, differ differences) Table {
	t := Table{Title: modeTitles[mode], Head: []string{"load", "figure"}}
	for i, side := range f.Sides {
		t.Head = append(t.Head, side.Name)
		if i > 0 {
			t.Head = append(t.Head, fmt.Sprintf("%s to %s", side.Name, f.Sides[0].Name))
		}
	}
	for _, load := range loads(rows) {
		of := Row{Mode: mode} // with the runs of all sides: one side may have figures that another lacks
		for _, r := range rows {
			if r.load() == load {
				of.Runs = append(of.Runs, r.Runs...)
			}
		}
		for _, m := range metricsOf(of) {
			line, any := []string{load, m.Name}, false
			for i, side := range f.Sides {
				row := find(rows, side.Name, load)
				cell := m.figure(row)
				any = any || cell != "-"
				line = append(line, cell)
				if i > 0 {
					line = append(line, differ.of[comparison{side.Name, mode, load, m.Name}].String())
				}
			}
			if any {
				t.Lines = append(t.Lines, line)
			}
		}
		for _, side := range f.Sides {
			if s := failures(find(rows, side.Name, load)); s != "" {
				t.Lines = append(t.Lines, []string{load, side.Name + ": " + s})
			}
		}
	}
	return t
}

// figure is the figure of all runs, with the interval of the runs' own if there are enough of them.
func (m Metric) figure(row Row) string {
	whole, ok := m.whole(row)
	if !ok {
		return m.missing(row)
	}
	if values := m.values(row); len(values) > 2 {
		low, high := stat.Interval(values)
		return fmt.Sprintf("%s (%s to %s)", m.form(whole), m.form(low), m.form(high))
	}
	return m.form(whole)
}

// failures describes the failures of a row.
func failures(r Row) string {
	failed, unknown := r.failures()
	if failed+unknown == 0 {
		return ""
	}
	return fmt.Sprintf("%d failed and %d of unknown outcome, first: %s", failed, unknown, r.firstError())
}

// failed is a short count of a row's failures; empty if there are none.
func (r Row) failed() string {
	switch failed, unknown := r.failures(); {
	case failed+unknown == 0:
		return ""
	case unknown == 0:
		return fmt.Sprintf("%d failed", failed)
	case failed == 0:
		return fmt.Sprintf("%d unknown", unknown)
	default:
		return fmt.Sprintf("%d failed, %d unknown", failed, unknown)
	}
}

// failures counts a row's failed requests, and its requests of unknown outcome.
func (r Row) failures() (failed, unknown int64) {
	for _, run := range r.Runs {
		failed, unknown = failed+run.Failed, unknown+run.Unknown
	}
	return failed, unknown
}

// load is a row's name with its parameters: the key shared by rows of several sides.
func (r Row) load() string {
	s := r.Name
	for _, name := range slices.Sorted(maps.Keys(r.Parameters)) {
		s += ", " + name + " " + r.Parameters[name]
	}
	return s
}

// loads are the distinct loads, in the order of the rows.
func loads(rows []Row) (all []string) {
	for _, r := range rows {
		if !slices.Contains(all, r.load()) {
			all = append(all, r.load())
		}
	}
	return all
}

func find(rows []Row, side, load string) Row {
	for _, r := range rows {
		if r.Side == side && r.load() == load {
			return r
		}
	}
	return Row{Side: side}
}

// Text prints the table in aligned columns.
func (t Table) Text(w io.Writer) error {
	if _, err := fmt.Fprintln(w, t.Title); err != nil {
		return err
	}
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tab, strings.Join(t.Head, "\t"))
	for _, line := range t.Shown() {
		fmt.Fprintln(tab, strings.Join(line, "\t"))
	}
	return tab.Flush()
}

// Shown returns the lines for people: each load is named once.
func (t Table) Shown() (all [][]string) {
	before := ""
	for _, line := range t.Lines {
		shown := slices.Clone(line)
		if line[0] == before {
			shown[0] = ""
		}
		before = line[0]
		all = append(all, shown)
	}
	return all
}

// Rest is the number of columns after the load's name: a line without figures has one cell of that width.
func (t Table) Rest() int { return len(t.Head) - 1 }

// Report writes the file's tables as text, the environment before them and the notes after them.
func (f *File) Report(w io.Writer) error {
	var b bytes.Buffer
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	e := f.Environment
	line("%s, %s", f.Begun.Format("2006-01-02 15:04 MST"), CommandLine(f.Command))
	line("%s, %s, %d processors (%s), kernel %s", e.Program, e.Go, e.Processors, e.CPU, e.Kernel)
	for _, s := range f.Sides {
		switch {
		case s.Device != nil:
			line("%s: %v", s.Name, s.Device)
		default:
			line("%s: %s", s.Name, s.Target)
		}
	}
	for _, t := range slices.Concat(f.first(), f.Tables()) {
		b.WriteByte('\n')
		if err := t.Text(&b); err != nil {
			return err
		}
	}
	notes := slices.Concat(f.remarks(), f.effects(), f.Verdicts(), f.Notes)
	if len(notes) > 0 {
		b.WriteByte('\n')
	}
	for _, note := range notes {
		line("%s", note)
	}
	_, err := b.WriteTo(w)
	return err
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
