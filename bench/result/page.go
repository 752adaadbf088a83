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

// page is what page.html shows.
type page struct {
	Title string
	Files []pageFile
}

type pageFile struct {
	Facts    []fact
	Tables   []Table
	Charts   []chart
	Notes    []string
	Emulated []string // names of sides
}

type fact struct{ Name, Value string }

// chart is one drawing, in units of its view box.
type chart struct {
	Title, X, Y string
	Emulated    bool
	Lines       []chartLine
	XTicks      []tick
	YTicks      []tick
	Cells       []cell // of a heat map
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

type cell struct{ X, Y, Width, Height, Opacity float64 }

// The view box of a chart: 640 by 300, of which the axes leave this.
const (
	chartLeft, chartTop     = 70.0, 12.0
	chartWidth, chartHeight = 550.0, 230.0
	chartBottom             = chartTop + chartHeight
	mostSeries              = 6 // colours that can be told apart
	heatColumns             = 60
	spectrumPoints          = 120
	shortestShown           = 1e3 // ns
)

// Page writes a page of files that needs nothing but itself.
func Page(w io.Writer, files []*File) error {
	p := page{Title: "qkv bench"}
	for _, f := range files {
		p.Files = append(p.Files, f.page())
	}
	return pageTemplate.Execute(w, p)
}

func (f *File) page() pageFile {
	e := f.Environment
	p := pageFile{Tables: f.Tables(), Notes: f.Notes}
	add := func(name, value string) {
		if value != "" {
			p.Facts = append(p.Facts, fact{name, value})
		}
	}
	add("begun", f.Begun.Format("2006-01-02 15:04 MST"))
	add("command", strings.Join(f.Command, " "))
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
		case s.Emulated != "":
			add(s.Name, "EMULATED: "+s.Emulated)
			p.Emulated = append(p.Emulated, s.Name)
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
	if c, ok := f.probes(); ok {
		p.Charts = append(p.Charts, c)
	}
	return p
}

// charts are a load's spectrum of latencies, its course, and where its latencies lay at what time.
func (f *File) charts(load string, rows []Row) (all []chart) {
	emulated := slices.ContainsFunc(rows, func(r Row) bool { return f.side(r.Side).Emulated != "" })
	if c, ok := f.spectrum(load, rows); ok {
		c.Emulated = emulated
		all = append(all, c)
	}
	if c, ok := f.course(load, rows); ok {
		c.Emulated = emulated
		all = append(all, c)
	}
	return all
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
		c.Lines = append(c.Lines, chartLine{f.label(f.side(r.Side)), i % mostSeries, strings.Join(points, " ")})
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

// course draws the rate over time, of each side's first run.
func (f *File) course(load string, rows []Row) (chart, bool) {
	c := chart{Title: load + ": rate over time, each side's first run", X: "seconds", Y: "a second"}
	longest, most := 0, 0.0
	for _, r := range rows {
		longest = max(longest, len(r.Runs[0].Windows))
		for _, w := range r.Runs[0].Windows {
			most = max(most, float64(w.Count)/w.Seconds)
		}
	}
	if longest < 2 {
		return c, false
	}
	for i, r := range rows {
		var points []string
		for at, w := range r.Runs[0].Windows {
			points = append(points, fmt.Sprintf("%.1f,%.1f", chartLeft+chartWidth*float64(at)/float64(longest-1), chartBottom-chartHeight*float64(w.Count)/w.Seconds/most))
		}
		c.Lines = append(c.Lines, chartLine{f.label(f.side(r.Side)), i % mostSeries, strings.Join(points, " ")})
	}
	step := max(1, longest/10)
	for at := 0; at < longest; at += step {
		c.XTicks = append(c.XTicks, tick{chartLeft + chartWidth*float64(at)/float64(longest-1), fmt.Sprint(at)})
	}
	for _, part := range []float64{0, 0.25, 0.5, 0.75, 1} {
		c.YTicks = append(c.YTicks, tick{chartBottom - chartHeight*part, strings.TrimSuffix(perSecond(most*part), "/s")})
	}
	return c, true
}

// probes draws the sides' probes of a disk: a row each, and how many of its writes took how long.
func (f *File) probes() (chart, bool) {
	c := chart{Title: "writes and syncs: the darker, the more of them took that long", X: "latency"}
	var rows []Row
	low, high := math.Inf(1), 0.0
	for _, r := range f.Rows {
		if h := r.Merged(); r.Mode == Probe && h != nil && h.TotalCount() > 0 {
			rows = append(rows, r)
			low, high = min(low, max(shortestShown, float64(h.Min()))), max(high, float64(h.ValueAtQuantile(99.9)))
			c.Emulated = c.Emulated || f.side(r.Side).Emulated != ""
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
		c.Lines = append(c.Lines, chartLine{fmt.Sprintf("%d: %s, %s, median %s", i+1, f.label(f.side(r.Side)), r.Name, duration(stat.Median(percentile("p50", 50).values(r)))), -1, ""})
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

// logTicks are at 1, 2 and 5 of each power of ten; at the powers alone where those would be too many.
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
