package result

import (
	"fmt"
	"strings"
	"time"

	"qkv/bench/machine"
	"qkv/bench/stat"
)

// KindDisk is the kind of a file about disks.
const KindDisk = "disk"

// The loads of a disk by which it is judged. Package bench measures them.
const (
	ProbeLog    = "4 KiB zero-filled"                               // the log's own write, with its sync
	ProbeRested = "4 KiB zero-filled, rested"                       // the same for a lone caller
	ProbeBatch  = "256 KiB zero-filled"                             // batchCallers puts of 256 bytes in one sync
	ProbeGrown  = "4 KiB growing"                                   // what segments that are filled ahead save
	ProbeThree  = "4 KiB zero-filled, 3 writers"                    // three members on one disk
	ProbeEtcd   = "2300 B allocated"                                // the write of etcd's own advice
	ProbeDirect = "4 KiB zero-filled, O_DIRECT O_DSYNC"             // fio --direct=1 --sync=dsync --iodepth=1
	ProbeDeep   = "4 KiB zero-filled, O_DIRECT O_DSYNC, 16 writers" // the same with a queue depth of DeepWriters
	LoadSteady  = "256 KiB recycled, steady"                        // for minutes, which fill a drive's cache
)

const (
	batchCallers = 1000
	DeepWriters  = 16
	etcdMost     = float64(10 * time.Millisecond) // etcd's own advice for p99 of ProbeEtcd
)

var (
	probeP50 = percentile("p50", 50)
	probeP99 = percentile("p99", 99)
)

// first returns the first screen of a file about disks: a row for each, with a title that says which one to buy. Other files have none.
func (f *File) first() []Table {
	if f.Kind != KindDisk || len(f.Rows) == 0 {
		return nil
	}
	title, factors := f.fastest()
	t := Table{Title: title, Head: []string{
		"disk", "class", "log write p50", "p99", "to the best", "puts of 1 caller, at most", fmt.Sprintf("of %d callers", batchCallers), "after steady writes",
		"etcd's 10 ms", "IOPS at queue depth 1", fmt.Sprintf("at %d", DeepWriters),
	}}
	for i, s := range f.Sides {
		log := find(f.Rows, s.Name, ProbeLog)
		t.Lines = append(t.Lines, []string{
			s.Name, f.class(s).Name, probeP50.cell(log), probeP99.cell(log), factors[i], f.puts(s, ProbeRested, 1), f.puts(s, ProbeBatch, batchCallers),
			steady(find(f.Rows, s.Name, LoadSteady)), etcdTakes(find(f.Rows, s.Name, ProbeEtcd)), f.iops(s, ProbeDirect, 1), f.iops(s, ProbeDeep, DeepWriters),
		})
	}
	return []Table{t}
}

// cell is the figure of all runs of a row.
func (m Metric) cell(row Row) string {
	if v, ok := m.whole(row); ok {
		return m.form(v)
	}
	return m.missing(row)
}

// class is the class of a side's disk by its log writes.
func (f *File) class(s Side) machine.Class {
	p50, ok := probeP50.whole(find(f.Rows, s.Name, ProbeLog))
	if !ok || s.Device == nil {
		return machine.Class{Name: "-"}
	}
	return machine.ClassOf(*s.Device, time.Duration(p50))
}

// puts bounds the rate of callers whose puts share a sync.
func (f *File) puts(s Side, load string, callers float64) string {
	row := find(f.Rows, s.Name, load)
	p50, ok := probeP50.whole(row)
	if !ok || p50 == 0 {
		return probeP50.missing(row)
	}
	return perSecond(callers * 1e9 / p50)
}

// iops is the rate of writers that never pause: by Little's law, their number through the mean latency.
func (f *File) iops(s Side, load string, depth float64) string {
	h := find(f.Rows, s.Name, load).Merged()
	if h == nil || h.TotalCount() == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f", depth*1e9/h.Mean())
}

// etcdTakes answers whether a disk is as fast as etcd asks. Half of the writes above the bound are a no with fewer samples than p99 needs.
func etcdTakes(row Row) string {
	p50, some := probeP50.whole(row)
	p99, enough := probeP99.whole(row)
	switch {
	case some && p50 > etcdMost, enough && p99 > etcdMost:
		return "no"
	case enough:
		return "yes"
	}
	return probeP99.missing(row)
}

// steadyShare is the share of a steady load's windows that its first and last rate are the medians of.
const steadyShare = 10

// steady is the rate at the end of a steady load, and its share of the rate at the beginning.
func steady(row Row) string {
	if len(row.Runs) == 0 || len(row.Runs[0].Windows) < 2 {
		return "-"
	}
	var rates []float64
	for _, w := range row.Runs[0].Windows {
		rates = append(rates, float64(w.Count)/w.Seconds)
	}
	n := max(1, len(rates)/steadyShare)
	began, ends := stat.Median(rates[:n]), stat.Median(rates[len(rates)-n:])
	if began == 0 {
		return perSecond(ends * batchCallers)
	}
	return fmt.Sprintf("%s, %.0f %% of the first", perSecond(ends*batchCallers), 100*ends/began)
}

// fastest says which disk to buy. For each side it also returns the time of a log write as a multiple of the fastest disk's, with the test's
// answer. Memory is no disk to buy.
func (f *File) fastest() (title string, factors []string) {
	const none = -1
	best, next := none, none
	p50s, factors := make([]float64, len(f.Sides)), make([]string, len(f.Sides))
	for i, s := range f.Sides {
		factors[i] = "-"
		p50s[i], _ = probeP50.whole(find(f.Rows, s.Name, ProbeLog))
		switch {
		case p50s[i] == 0 || f.class(s).Name == machine.ClassMemory:
		case best == none || p50s[i] < p50s[best]:
			best, next = i, best
		case next == none || p50s[i] < p50s[next]:
			next = i
		}
	}
	if next == none {
		return "Disks as a member's log uses them:", factors
	}
	var pairs []stat.Pair
	values := func(i int) []float64 { return probeP50.values(find(f.Rows, f.Sides[i].Name, ProbeLog)) }
	for i := range f.Sides {
		pairs = append(pairs, stat.Pair{A: values(best), B: values(i)})
	}
	pairs[best].B = nil // no comparison of a disk with itself
	differ := stat.CompareAll(pairs)
	for i, d := range differ {
		if factors[i] = fmt.Sprintf("%.2f x ~", p50s[i]/p50s[best]); d.Claimed {
			factors[i] = fmt.Sprintf("%.2f x (p=%.3f)", p50s[i]/p50s[best], d.P)
		}
		if p50s[i] == 0 {
			factors[i] = "-"
		}
	}
	factors[best] = "best"
	one, other := f.Sides[best].Name, f.Sides[next].Name
	switch {
	case differ[next].Claimed:
		title = fmt.Sprintf("Buy %s: a log write takes %s there, and %s on %s.", one, duration(p50s[best]), strings.Replace(factors[next], " x (", " times that (", 1), other)
	case pairs[next].Testable():
		title = fmt.Sprintf("Buy the cheaper one of %s and %s: no test tells their log writes apart.", one, other)
	default:
		title = fmt.Sprintf("%s and %s cannot be told apart by so few runs: %d of each are needed, with %d writes.", one, other, testRuns, SamplesFor(probeP50.percent))
	}
	if etcdTakes(find(f.Rows, f.Sides[best].Name, ProbeEtcd)) == "no" {
		title += " None of the disks is fast enough for etcd: expect SLOWDISK alarms and changes of the leader."
	}
	return title, factors
}

// effects are sentences on what a disk does to a member.
func (f *File) effects() (all []string) {
	if f.Kind != KindDisk {
		return nil
	}
	all = append(all, fmt.Sprintf("Puts a second are the disk's bound: 1 caller waits for each log write, and %d share one. Processors and network allow less: `qkv bench run` measures it.", batchCallers))
	for _, s := range f.Sides {
		if c := f.class(s); c.Meaning != "" {
			all = append(all, fmt.Sprintf("%s: %s: %s.", s.Name, c.Name, c.Meaning))
		}
		p50, ok := probeP50.whole(find(f.Rows, s.Name, ProbeLog))
		for _, e := range []struct{ load, sentence string }{
			{ProbeGrown, "%s: A growing file is %.1f times a zero-filled one: what filling segments ahead is worth here."},
			{ProbeThree, "%s: Three members on this one disk sync in %.1f times the time of one."},
			{ProbeDirect, "%s: O_DIRECT with O_DSYNC takes %.2f times the time of fdatasync."},
		} {
			if other, known := probeP50.whole(find(f.Rows, s.Name, e.load)); ok && known && p50 > 0 {
				all = append(all, fmt.Sprintf(e.sentence, s.Name, other/p50))
			}
		}
	}
	return all
}
