package result

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/cockroachdb/datadriven"

	"qkv/bench/machine"
)

// sample is a file of two sides, of which the second is slower by a factor in everything.
func sample(runs int, slower float64) *File {
	draw := rand.New(rand.NewPCG(3, 3))
	f := &File{
		Version: Version, Kind: "run", Command: []string{"qkv", "bench", "run"}, Begun: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Environment: machine.Environment{Program: "qkv 0.1.0", Go: "go1", CPU: "a CPU", Processors: 2, Kernel: "6.1"},
		Sides:       []Side{{Name: "nvme", Device: &machine.Device{FileSystem: "ext4", Source: "/dev/nvme0n1p1"}}, {Name: "ssd", Device: &machine.Device{FileSystem: "xfs", Source: "/dev/sda1"}}},
		Notes:       []string{"a <note>"},
	}
	for i, side := range f.Sides {
		put := Row{Side: side.Name, Name: "put", Mode: Closed, Parameters: map[string]string{"members": "3", "in flight": "1000"}}
		open := Row{Side: side.Name, Name: "put", Mode: Open, Parameters: map[string]string{"a second": "1000"}}
		event := Row{Side: side.Name, Name: "leader killed", Mode: Event}
		probe := Row{Side: side.Name, Name: "4 KiB zero-filled", Mode: Probe}
		factor := 1.0
		if i == 1 {
			factor = slower
		}
		for range runs {
			h := hdrhistogram.New(1000, int64(2*time.Minute), 3)
			for range 20_000 {
				_ = h.RecordValue(int64(factor * (1e6 + 2e5*draw.ExpFloat64())))
			}
			run := Run{Seconds: 2, Count: 20_000, Rate: 10_000 / factor * (1 + 0.01*draw.NormFloat64()), Histogram: &Latency{h}}
			var stages Run
			for n, name := range Stages {
				stages.Stages = append(stages.Stages, StageTime{name, 1e-4 * (1 + 0.01*draw.Float64()), 1000})
				if n == 2 {
					stages.Stages[n].Mean += (factor - 1) * 1e-3
				}
			}
			followed := run
			followed.Stages, followed.Values = stages.Stages, map[string]float64{"processors_busy_share": 0.5, "processors_by_these_share": 0.4, "disk_syncing_share": 0.4, ServerCPU: factor * 4e-5}
			put.Runs, open.Runs, probe.Runs = append(put.Runs, followed), append(open.Runs, run), append(probe.Runs, run)
			event.Runs = append(event.Runs, Run{Count: 1, Values: map[string]float64{"write_gap_seconds": factor * (1 + 0.05*draw.Float64())}})
		}
		put.Runs[0].Failed, put.Runs[0].FirstError = 2, "the disk is full"
		f.Rows = append(f.Rows, put, open, event, probe)
	}
	return f
}

// TestForms: each form of one file, in testdata/forms.
func TestForms(t *testing.T) {
	f := sample(5, 1.5)
	datadriven.RunTest(t, "testdata/forms", func(t *testing.T, d *datadriven.TestData) string {
		var b bytes.Buffer
		var err error
		switch d.Cmd {
		case "text":
			err = f.Report(&b)
		case "ratios":
			err = f.Ratios(&b)
		}
		if err != nil {
			t.Fatal(err)
		}
		return b.String()
	})
}

// TestRoundTrip: what is written is read, with all latencies.
func TestRoundTrip(t *testing.T) {
	f := sample(2, 1.1)
	var first, second bytes.Buffer
	if err := f.Write(&first); err != nil {
		t.Fatal(err)
	}
	written := first.String()
	again, err := Read(&first)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Write(&second); err != nil || second.String() != written {
		t.Errorf("%v: what was read is written otherwise", err)
	}
	was, is := f.Rows[0].Merged(), again.Rows[0].Merged()
	if was.TotalCount() != 40_000 || is.TotalCount() != 40_000 || was.ValueAtQuantile(99) != is.ValueAtQuantile(99) {
		t.Errorf("%d and %d latencies, p99 %d and %d", was.TotalCount(), is.TotalCount(), was.ValueAtQuantile(99), is.ValueAtQuantile(99))
	}
}

func TestReadRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                 "no file of `qkv bench`",
		"[]":               "no file of `qkv bench`",
		`{"rows": []}`:     "has no version",
		`{"version": 99}`:  "the file has version 99, and this qkv reads version 1",
		`{"version": "1"}`: "no file of `qkv bench`",
		`{"version": 1, "rows": [{"side": "x", "name": "put", "mode": "closed"}]}`:                                                                            `the side "x", which it does not name`,
		`{"version": 1, "sides": [{"name": "x"}], "rows": [{"side": "y", "name": "put", "mode": "closed"}]}`:                                                  `the side "y", which it does not name`,
		`{"version": 1, "sides": [{"name": "x"}], "rows": [{"side": "x", "name": "put", "mode": "half"}]}`:                                                    `"put" in the mode "half"`,
		`{"version": 1, "sides": [{"name": "x"}], "rows": [{"side": "x", "name": "p", "mode": "open", "runs": [{"histogram": "HISTFAAAAC94nJNpm"}]}]}`:        "the file is damaged",
		`{"version": 1, "sides": [{"name": "x"}], "rows": [{"side": "x", "name": "p", "mode": "open", "runs": [{"histogram": "not base64 at all, is it"}]}]}`: "the file is damaged",
	} {
		if _, err := Read(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, not %s", text, err, want)
		}
	}
	if _, err := Read(strings.NewReader(`{"version": 1}`)); err == nil || !strings.Contains(err.Error(), "names no side") {
		t.Errorf("a file without sides: %v", err)
	}
}

// TestPage: a page loads nothing, and quotes what it was given.
func TestPage(t *testing.T) {
	var b bytes.Buffer
	if err := Page(&b, []*File{sample(5, 1.5)}); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, never := range []string{"http:", "https:", "src=", "url(", "@import", "<script", "<note>", "ZgotmplZ", "NaN", "Inf"} {
		if strings.Contains(page, never) {
			t.Errorf("the page contains %s", never)
		}
	}
	for _, always := range []string{"<polyline", "class=\"heat\"", "put, in flight 1000, members 3: latency", "a &lt;note&gt;"} {
		if !strings.Contains(page, always) {
			t.Errorf("the page does not contain %s", always)
		}
	}
	// A narrow screen scrolls a table in its own box, where a figure stays on one line; what failed is a line of words.
	if tables := strings.Count(page, "<table>"); tables == 0 || strings.Count(page, `<div class="scroll"><table>`) != tables {
		t.Errorf("of %d tables some have no box of their own", tables)
	}
	if !strings.Contains(page, ".scroll td { white-space: nowrap; }") || !strings.Contains(page, `<td class="said" colspan="4">nvme: 2 failed`) {
		t.Error("a table's lines wrap where its figures are")
	}
	if err := Page(&b, []*File{{Version: Version}}); err != nil {
		t.Errorf("a file without anything: %v", err)
	}
}

// TestChartsFirst: the page begins with charts: the write gap and a bar for each disk before all others. Each sentence beside a chart is
// short, and tables are folded below.
func TestChartsFirst(t *testing.T) {
	f := sample(5, 1.5)
	var b bytes.Buffer
	if err := Page(&b, []*File{f}); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	last := 0
	for _, part := range []string{"leader killed: how long no write succeeds", "nvme: writes stop for", "time of a write with its sync", ": latency", "<details><summary>Tables", "<details><summary>What bounds each load", "Machine, command and disks"} {
		at := strings.Index(page, part)
		if at < last {
			t.Errorf("%q is not where it should be", part)
		}
		last = max(last, at)
	}
	if strings.Index(page, "<table") < strings.Index(page, "<details") {
		t.Error("a table is not folded")
	}
	said := 0
	for _, c := range f.page().Charts {
		for _, sentence := range c.Said {
			said++
			if words := len(strings.Fields(sentence)); words > 25 {
				t.Errorf("%d words: %s", words, sentence)
			}
		}
	}
	if said < 10 {
		t.Errorf("%d sentences beside the charts", said)
	}
}

// TestPercentileNeedsSamples: one that would rest on fewer than ten is not shown.
func TestPercentileNeedsSamples(t *testing.T) {
	h := hdrhistogram.New(1000, int64(time.Minute), 3)
	for range 999 {
		_ = h.RecordValue(5000)
	}
	run := Run{Histogram: &Latency{h}}
	if _, ok := percentile("p99", 99).of(run); ok {
		t.Error("p99 of 999 is shown")
	}
	_ = h.RecordValue(5000)
	if v, ok := percentile("p99", 99).of(run); !ok || v < 5000 || v > 5119 {
		t.Errorf("p99 of 1000: %v %v", v, ok)
	}
}

// TestVerdicts: what bounds a load is said with its reasons, and what is slower is found where it is.
func TestVerdicts(t *testing.T) {
	all := strings.Join(sample(5, 2).Verdicts(), "\n")
	for _, want := range []string{
		"nvme, put, in flight 1000, members 3: bound by the way to the client: ", // 0.3 of its 1.2 ms are in no other stage
		"ssd, put, in flight 1000, members 3: disk-bound: ",
		"ssd beside nvme, put, in flight 1000, members 3: a write takes 1.2ms more, of which 1ms are in sync: writing it to the disk and syncing",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not said:\n%s", want, all)
		}
	}
	f := sample(5, 2)
	for i := range f.Rows[0].Runs {
		f.Rows[0].Runs[i].Values = map[string]float64{"processors_busy_share": 0.97, "processors_by_these_share": 0.9}
	}
	if v := verdict(f.Rows[0]); !strings.HasPrefix(v, "CPU-bound: ") {
		t.Error(v)
	}
	remote := sample(5, 1).Rows[0]
	for i := range remote.Runs {
		remote.Runs[i].Stages[3].Mean = 6e-4 // replicate
	}
	if v := verdict(remote); !strings.HasPrefix(v, "network-bound: ") {
		t.Error(v)
	}
	for i := range f.Rows[0].Runs {
		f.Rows[0].Runs[i].Values["processors_by_these_share"] = 0.2
	}
	if v := verdict(f.Rows[0]); !strings.HasPrefix(v, "CPU-bound by what else runs on this machine: ") {
		t.Error(v)
	}
	if all := sample(5, 1).Verdicts(); strings.Contains(strings.Join(all, ""), "beside") {
		t.Errorf("equal sides differ: %v", all)
	}
}

// TestCommandLine: what a report gives as its command, a shell takes as the words that were given.
func TestCommandLine(t *testing.T) {
	words := []string{"qkv", "--dir", "a=/mnt/my disk", "it's", "", "$HOME", "~", "*", "a;b", "\"", "\\", "grün", "--rate=1"}
	f := sample(1, 1)
	f.Command = append([]string{"printf", "%s\n"}, words...)
	for name, write := range map[string]func(io.Writer) error{
		"report": f.Report,
		"ratios": f.Ratios,
	} {
		var b strings.Builder
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(b.String(), CommandLine(f.Command)) {
			t.Errorf("the %s has another command than %s", name, CommandLine(f.Command))
		}
	}
	out, err := exec.CommandContext(t.Context(), "sh", "-c", CommandLine(f.Command)).Output()
	if got := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n"); err != nil || !slices.Equal(got, words) {
		t.Errorf("%v: %q, not %q", err, got, words)
	}
	if plain := CommandLine([]string{"qkv", "bench", "run", "--dir", "a=/mnt/x"}); plain != "qkv bench run --dir a=/mnt/x" {
		t.Error(plain)
	}
}

// TestServerCPU: tables and ratios have the servers' processor time per operation beside the rate, and a dash on a side whose
// servers the benchmark did not start, also where that is the first side.
func TestServerCPU(t *testing.T) {
	f := sample(5, 1.5)
	for _, run := range f.Rows[0].Runs {
		delete(run.Values, ServerCPU)
	}
	lines := f.Tables()[0].Lines
	if lines[0][1] != "rate" || lines[1][1] != "server cpu per operation" || lines[1][2] != "-" || lines[1][3] != "60µs (60µs to 60µs)" {
		t.Errorf("%q\n%q", lines[0], lines[1])
	}
	var b bytes.Buffer
	if err := f.Ratios(&b); err != nil || !strings.Contains(b.String(), "| server cpu per operation | -, 2 failed | 60µs, 2 failed |") {
		t.Errorf("%v\n%s", err, &b)
	}
}

// TestPercentilesOfAllRuns: a slow run has fewer requests, and may have too few for its own tail. It counts in the percentiles of all runs:
// they never fall with the percent, and such a figure is not compared by the other runs alone.
func TestPercentilesOfAllRuns(t *testing.T) {
	run := func(samples int, latency time.Duration) Run {
		h := hdrhistogram.New(1000, int64(time.Minute), 3)
		for range samples {
			if err := h.RecordValue(int64(latency)); err != nil {
				t.Fatal(err)
			}
		}
		return Run{Count: int64(samples), Histogram: &Latency{h}}
	}
	row := Row{Mode: Closed, Runs: []Run{run(120, 2*time.Millisecond), run(90, 3*time.Millisecond), run(90, 3*time.Millisecond)}}
	before := 0.0
	for _, m := range []Metric{percentile("p50", 50), percentile("p90", 90)} {
		v, ok := m.whole(row)
		if !ok || v < before || v < float64(2990*time.Microsecond) {
			t.Errorf("%s is %s of 120 samples of 2 ms and 180 of 3 ms", m.Name, m.figure(row))
		}
		before = v
	}
	if p90 := percentile("p90", 90); len(p90.values(row)) > 0 {
		t.Errorf("p90 is compared by %v, without the slow runs", p90.values(row))
	}
	if _, ok := percentile("p99", 99).whole(row); ok {
		t.Error("a p99 of 300 samples")
	}
}
