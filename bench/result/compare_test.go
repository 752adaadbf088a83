package result

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// alike is a file whose figures are drawn alike on both sides, except for one of them that is lower by a factor on the second.
func alike(draw *rand.Rand, figures, runs int, lone float64) *File {
	f := &File{Version: Version, Kind: "run", Sides: []Side{{Name: "a"}, {Name: "b"}}}
	for i, s := range f.Sides {
		for load := range figures {
			row := Row{Side: s.Name, Name: fmt.Sprintf("load %d", load), Mode: Event}
			for range runs {
				v := 100 + draw.NormFloat64()
				if i == 1 && load == 3 {
					v *= lone
				}
				row.Runs = append(row.Runs, Run{Count: 1, Values: map[string]float64{"write_gap_seconds": v}})
			}
			f.Rows = append(f.Rows, row)
		}
	}
	return f
}

// claims are the lines of the tables and of the ratios that claim a difference.
func claims(t *testing.T, f *File) (tables, ratios int) {
	for _, table := range f.Tables() {
		for _, line := range table.Lines {
			if line[len(line)-1] != "~" {
				tables++
			}
		}
	}
	var b strings.Builder
	if err := f.Ratios(&b); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(b.String()) {
		if strings.Contains(line, " x") && strings.HasPrefix(line, "| ") && !strings.Contains(line, "~") {
			ratios++
		}
	}
	return tables, ratios
}

// TestAlikeReports: a file of two sides that are alike claims nothing more often than once in twenty times, in its tables
// and ratios, however many figures it has.
func TestAlikeReports(t *testing.T) {
	draw := rand.New(rand.NewPCG(2, 2))
	const rounds, most = 20, 5
	for _, runs := range []int{4, 8} {
		tables, ratios := 0, 0
		for range rounds {
			f := alike(draw, 40, runs, 1)
			inTables, inRatios := claims(t, f)
			if inTables > 0 {
				tables++
			}
			if inRatios > 0 {
				ratios++
			}
			if inTables != inRatios {
				t.Fatalf("the tables claim %d differences, the ratios %d", inTables, inRatios)
			}
		}
		if tables > most || ratios > most {
			t.Errorf("%d runs: of %d reports %d tables and %d ratios claim a difference", runs, rounds, tables, ratios)
		}
	}
}

// TestLoneDifference: where there are too few runs for a single figure that differs, tables, ratios and page say so,
// and how many there must be; with those it is found.
func TestLoneDifference(t *testing.T) {
	draw := rand.New(rand.NewPCG(4, 4))
	const want = "With 5 runs of 20 compared figures a single one that differs cannot be told from chance: at least 4 must differ together, or 6 runs be made."
	for _, c := range []struct {
		runs int
		said bool
	}{{5, true}, {6, false}} {
		f := alike(draw, 20, c.runs, 1.2)
		var text, ratios, page strings.Builder
		if err := f.Report(&text); err != nil {
			t.Fatal(err)
		}
		if err := f.Ratios(&ratios); err != nil {
			t.Fatal(err)
		}
		if err := Page(&page, []*File{f}); err != nil {
			t.Fatal(err)
		}
		for name, s := range map[string]string{"table": text.String(), "ratios": ratios.String(), "page": page.String()} {
			if n := strings.Count(s, want); (n == 1) != c.said || n > 1 {
				t.Errorf("%d runs: it stands %d times in the %s", c.runs, n, name)
			}
		}
		if tables, _ := claims(t, f); tables > 0 == c.said {
			t.Errorf("%d runs: %d claimed", c.runs, tables)
		}
	}
}

// TestMissingAndFailed: a percentile that is missing for want of samples says so where it is missing, with a footnote that says how
// many it needs; and what failed stands beside the ratios.
func TestMissingAndFailed(t *testing.T) {
	f := sample(5, 1)
	for i := range f.Rows {
		for j := range f.Rows[i].Runs {
			if h := f.Rows[i].Runs[j].Histogram; h != nil && f.Rows[i].Side == "ssd" && f.Rows[i].Mode == Open {
				h.Reset()
				for range 199 { // 995 in all runs
					_ = h.RecordValue(1e6)
				}
			}
		}
	}
	f.Rows[0].Runs[1].Unknown = 1
	var text, ratios, page strings.Builder
	if err := f.Report(&text); err != nil {
		t.Fatal(err)
	}
	if err := f.Ratios(&ratios); err != nil {
		t.Fatal(err)
	}
	if err := Page(&page, []*File{f}); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]string{"table": text.String(), "ratios": ratios.String(), "page": page.String()} {
		if !strings.Contains(s, tooFew) || strings.Count(s, "p50 needs 20, p90 100, p99 1000 and p99.9 10000") != 1 {
			t.Errorf("the %s does not say what is missing:\n%s", name, s)
		}
	}
	for _, want := range []string{
		"| put, in flight 1000, members 3 | rate | 9979/s, 2 failed, 1 unknown |", "| put, a second 1000 | p99 | 1.92ms | too few |",
		"What failed, in all runs and their warm-ups, is in no figure: nvme, put, in flight 1000, members 3: 2 failed and 1 of unknown outcome, first: the disk is full; ssd",
	} {
		if !strings.Contains(ratios.String(), want) {
			t.Errorf("%q is not in the ratios:\n%s", want, ratios.String())
		}
	}
}
