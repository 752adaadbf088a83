package result

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strings"

	"qkv/bench/machine"
	"qkv/bench/stat"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// page is the data of page.html.
type page struct {
	Title string
	Files []pageFile
}

type pageFile struct {
	Facts    []fact
	First    []Table // open; with it the charts are folded
	Tables   []Table
	Charts   []chart
	Verdicts []string
	Remarks  []string // on the tables
	Notes    []string
}

type fact struct{ Name, Value string }

// chart is one drawing, in units of its view box.
type chart struct {
	Title, X, Y string
	Said        []string // what the drawing shows, a short sentence for each side
	Lines       []chartLine
	XTicks      []tick
	YTicks      []tick
	Cells       []cell // of a heat map
	Bars        []bar
}

type chartLine struct {
	Name   string
	Class  int // of its colour
	Points string
}

type tick struct {
	At   float64
	Text string
}

// bar is a coloured part of a bar.
type bar struct {
	X, Y, Width, Height float64
	Class               int
}

type cell struct{ X, Y, Width, Height, Opacity float64 }

// The view box of a chart is 640 by 300; the axes leave this area.
const (
	chartLeft, chartTop     = 70.0, 12.0
	chartWidth, chartHeight = 550.0, 230.0
	chartBottom             = chartTop + chartHeight
	mostSeries              = 6 // number of distinct colours
	heatColumns             = 60
	spectrumPoints          = 120
	shortestShown           = 1e3 // ns
)

// Page writes a self-contained page of files.
func Page(w io.Writer, files []*File) error {
	p := page{Title: "qkv bench"}
	for _, f := range files {
		p.Files = append(p.Files, f.page())
	}
	return pageTemplate.Execute(w, p)
}

func (f *File) page() pageFile {
	e := f.Environment
	p := pageFile{First: f.first(), Tables: f.Tables(), Verdicts: slices.Concat(f.effects(), f.Verdicts()), Remarks: f.remarks(), Notes: f.Notes}
	add := func(name, value string) {
		if value != "" {
			p.Facts = append(p.Facts, fact{name, value})
		}
	}
	add("begun", f.Begun.Format("2006-01-02 15:04 MST"))
	add("command", CommandLine(f.Command))
	add("program", e.Program+", "+e.Go)
	add("machine", fmt.Sprintf("%d processors, %s, %d MiB of memory", e.Processors, e.CPU, e.MemoryBytes>>20))
	add("kernel", e.Kernel)
	add("governor", e.Governor)
	add("limits of the cgroup", strings.TrimSpace(e.CgroupCPU+" "+e.CgroupBytes))
	for _, at := range []struct {
		name string
		p    *machine.Pressure
	}{{"load before", e.Pressure}, {"load after", e.After}} {
		if at.p != nil {
			add(at.name, fmt.Sprintf("%.1f; waiting for processors %.0f %%, for disks %.0f %% of the time", at.p.Load, at.p.CPU, at.p.IO))
		}
	}
	for _, s := range f.Sides {
		switch {
		case s.Device != nil:
			add(s.Name, s.Device.String()+"; "+s.Device.Options)
		default:
			add(s.Name, s.Target)
		}
	}
	for _, load := range loads(f.Rows) {
		var rows []Row
		for _, s := range f.Sides {
			if r := find(f.Rows, s.Name, load); len(r.Runs) > 0 {
				rows = append(rows, r)
			}
		}
		if len(rows) > 0 && rows[0].Mode != Probe {
			p.Charts = append(p.Charts, f.charts(load, rows)...)
		}
	}
	if len(p.First) == 0 { // it says the same
		p.Charts = slices.Concat(f.disks(), p.Charts)
	}
	p.Charts = append(f.gaps(), p.Charts...)
	if c, ok := f.probes(); ok {
		p.Charts = append(p.Charts, c)
	}
	return p
}

// charts draws a load's spectrum of latencies, and the stages of its writes.
func (f *File) charts(load string, rows []Row) (all []chart) {
	if c, ok := f.spectrum(load, rows); ok {
		all = append(all, c)
	}
	if c, ok := f.stages(load, rows); ok {
		all = append(all, c)
	}
	return all
}

// stages draws the stages of a write's time: a bar for each side.
func (f *File) stages(load string, rows []Row) (chart, bool) {
	c := chart{Title: load + ": where a write's mean time goes", X: "since the client asked"}
	rows = slices.DeleteFunc(slices.Clone(rows), func(r Row) bool { return len(parts(r)) == 0 })
	longest := 0.0
	for _, r := range rows {
		longest = max(longest, stat.Median(mean.values(r)))
	}
	if longest == 0 {
		return c, false
	}
	height := min(chartHeight/float64(len(rows)), 60)
	for i, r := range rows {
		x, y := 0.0, chartTop+height*float64(i)
		all := parts(r)[1:]
		for class, m := range all {
			width := stat.Median(m.values(r)) / longest * chartWidth
			c.Bars = append(c.Bars, bar{chartLeft + x, y + 4, max(0, min(width, chartWidth-x)), height - 8, class})
			x = min(x+width, chartWidth)
			if i == 0 {
				name := append(slices.Clone(Stages), outside)[class]
				c.Lines = append(c.Lines, chartLine{name + ": " + stageMeanings[name], class, ""})
			}
		}
		c.YTicks = append(c.YTicks, tick{y + height/2, short(r.Side)})
		if j := judge(r); j.word != "" {
			c.Said = append(c.Said, fmt.Sprintf("%s: %s", r.Side, j.short))
		}
	}
	for _, part := range []float64{0, 0.25, 0.5, 0.75, 1} {
		c.XTicks = append(c.XTicks, tick{chartLeft + chartWidth*part, duration(longest * part)})
	}
	return c, true
}

// short truncates a name to the width beside a chart.
func short(name string) string {
	if r := []rune(name); len(r) > 11 {
		return string(r[:10]) + "\u2026"
	}
	return name
}

// spectrum draws latency over percentiles, both on logarithmic axes: each step to the right is a tenth of the requests.
func (f *File) spectrum(load string, rows []Row) (chart, bool) {
	c := chart{Title: load + ": latency", X: "percentile", Y: "latency"}
	low, high, nines := math.Inf(1), 0.0, 1.0
	for _, r := range rows {
		if h := r.Merged(); h != nil && h.TotalCount() >= tailSamples {
			low = min(low, max(shortestShown, float64(h.ValueAtQuantile(1))))
			high = max(high, float64(h.Max()))
			nines = max(nines, math.Floor(math.Log10(float64(h.TotalCount())/tailSamples)))
		}
	}
	if high == 0 {
		return c, false
	}
	y := logAxis(low, high)
	for i, r := range rows {
		h := r.Merged()
		if h == nil || h.TotalCount() < tailSamples {
			continue
		}
		var points []string
		for at := range spectrumPoints + 1 {
			n := nines * float64(at) / spectrumPoints
			v := float64(h.ValueAtQuantile(100 * (1 - math.Pow(10, -n))))
			points = append(points, fmt.Sprintf("%.1f,%.1f", chartLeft+chartWidth*n/nines, y(v)))
		}
		c.Lines = append(c.Lines, chartLine{r.Side, i % mostSeries, strings.Join(points, " ")})
		c.Said = append(c.Said, fmt.Sprintf("%s: half take up to %s, 99 %% up to %s.", r.Side, duration(float64(h.ValueAtQuantile(50))), duration(float64(h.ValueAtQuantile(99)))))
	}
	for n := 0.0; n <= nines; n++ {
		text := "0"
		if n > 0 {
			text = "p" + strings.TrimSuffix(fmt.Sprintf("%.*f", int(max(0, n-2)), 100*(1-math.Pow(10, -n))), ".")
		}
		c.XTicks = append(c.XTicks, tick{chartLeft + chartWidth*n/nines, text})
	}
	c.YTicks = logTicks(low, high, y)
	return c, true
}

// probes draws the sides' disk probes: a row each, with the distribution of its write times.
func (f *File) probes() (chart, bool) {
	c := chart{Title: "writes and syncs: the darker, the more of them took that long", X: "latency"}
	var rows []Row
	low, high := math.Inf(1), 0.0
	for _, r := range f.Rows {
		if h := r.Merged(); r.Mode == Probe && h != nil && h.TotalCount() > 0 {
			rows = append(rows, r)
			low, high = min(low, max(shortestShown, float64(h.Min()))), max(high, float64(h.ValueAtQuantile(99.9)))
		}
	}
	if len(rows) == 0 || high <= low {
		return c, false
	}
	from, to := math.Log10(low), math.Log10(high)
	height := chartHeight / float64(len(rows))
	for i, r := range rows {
		h := r.Merged()
		counts := make([]float64, heatColumns)
		for _, b := range h.Distribution() {
			if b.Count > 0 {
				at := int((math.Log10(max(low, float64(b.From))) - from) / (to - from) * heatColumns)
				counts[min(max(at, 0), heatColumns-1)] += float64(b.Count)
			}
		}
		most := slices.Max(counts)
		for at, n := range counts {
			if n > 0 {
				c.Cells = append(c.Cells, cell{chartLeft + chartWidth*float64(at)/heatColumns, chartTop + height*float64(i), chartWidth / heatColumns, max(1, height-1), 0.1 + 0.9*math.Sqrt(n/most)})
			}
		}
	}
	for i, r := range rows {
		c.YTicks = append(c.YTicks, tick{chartTop + height*(float64(i)+0.5), fmt.Sprintf("%d", i+1)})
		c.Lines = append(c.Lines, chartLine{fmt.Sprintf("%d: %s, %s, median %s", i+1, r.Side, r.Name, percentile("p50", 50).figure(r)), -1, ""})
	}
	c.XTicks = append(c.XTicks, logTicks(low, high, func(v float64) float64 {
		return chartLeft + chartWidth*(math.Log10(v)-from)/(to-from)
	})...)
	return c, true
}

// logAxis maps values between low and high to the height of a chart.
func logAxis(low, high float64) func(float64) float64 {
	from, to := math.Log10(low), math.Log10(max(high, low*1.01))
	return func(v float64) float64 {
		return chartBottom - chartHeight*(math.Log10(min(max(v, low), high))-from)/(to-from)
	}
}

// logTicks are at 1, 2 and 5 of each power of ten; only at the powers if those would be too many.
func logTicks(low, high float64, at func(float64) float64) (all []tick) {
	steps := []float64{1, 2, 5}
	if math.Log10(high/low) > 3 {
		steps = steps[:1]
	}
	for power := math.Floor(math.Log10(low)); power <= math.Ceil(math.Log10(high)); power++ {
		for _, s := range steps {
			if v := s * math.Pow(10, power); v >= low && v <= high {
				all = append(all, tick{at(v), duration(v)})
			}
		}
	}
	return all
}
