package result

import (
	"fmt"
	"math"
	"slices"

	"qkv/bench/stat"
)

// Stages are the stages of a write through the leader, in order.
var Stages = []string{"queue", "batch", "sync", "replicate", "apply", "reply"}

// stageMeanings explains the time of each stage.
var stageMeanings = map[string]string{
	"queue": "waiting to be put into a batch", "batch": "waiting for the sync before", "sync": "writing it to the disk and syncing",
	"replicate": "waiting for a quorum of members", "apply": "applying it", "reply": "writing the answer",
	outside: "the way between client and member, and the client itself",
}

// outside is the part of a write's latency outside its stages.
const outside = "outside"

// StageTime is the mean time of a stage. Means add up, percentiles do not.
type StageTime struct {
	Name  string  `json:"name"`
	Mean  float64 `json:"mean_seconds"`
	Count int64   `json:"count"` // sampled writes
}

// stage is a metric of one stage.
func stage(name string) Metric {
	return Metric{"mean in " + name, func(r Run) (float64, bool) {
		for _, s := range r.Stages {
			if s.Name == name {
				return s.Mean * 1e9, true
			}
		}
		return 0, false
	}, duration, 0, 0, nil}
}

// mean is the mean latency, the sum of the stages.
var mean = Metric{"mean", func(r Run) (float64, bool) {
	if r.Histogram == nil || r.Histogram.Histogram == nil || r.Histogram.TotalCount() == 0 {
		return 0, false
	}
	return r.Histogram.Mean(), true
}, duration, 0, 0, nil}

// outsideOf is a metric of the time outside all stages.
var outsideOf = Metric{"mean " + outside, func(r Run) (float64, bool) {
	all, ok := mean.of(r)
	if !ok || len(r.Stages) == 0 {
		return 0, false
	}
	for _, s := range r.Stages {
		all -= s.Mean * 1e9
	}
	return max(all, 0), true
}, duration, 0, 0, nil}

// parts returns the metrics of a row with sampled writes; none for other rows.
func parts(row Row) (all []Metric) {
	if !slices.ContainsFunc(row.Runs, func(r Run) bool { return len(r.Stages) > 0 }) {
		return nil
	}
	all = append(all, mean)
	for _, name := range Stages {
		all = append(all, stage(name))
	}
	return append(all, outsideOf)
}

// Thresholds of a verdict: a resource bounds a load if it takes this share.
const (
	boundShare = 0.45 // of the mean latency
	busyShare  = 0.9  // of the processors
	ownShare   = 0.6  // of the processors, for members and benchmark
	syncShare  = 0.8  // of the time, in syncs of the busiest disk
)

// Verdicts names the bottleneck of each load with sampled writes, with its evidence; and for each side after the first the stages in which
// it differs.
func (f *File) Verdicts() (all []string) {
	for _, row := range f.Rows {
		if v := verdict(row); v != "" {
			all = append(all, fmt.Sprintf("%s, %s: %s", row.Side, row.load(), v))
		}
	}
	if len(f.Rows) == 0 {
		return nil
	}
	differ := f.differences()
	for i := 1; i < len(f.Sides); i++ {
		for _, row := range f.Rows {
			if row.Side != f.Sides[i].Name {
				continue
			}
			if v := explain(find(f.Rows, f.Sides[0].Name, row.load()), row, differ); v != "" {
				all = append(all, fmt.Sprintf("%s beside %s, %s: %s", f.Sides[i].Name, f.Sides[0].Name, row.load(), v))
			}
		}
	}
	return all
}

// judgement is the bottleneck of a load: the word for it, the share that decides in one short sentence, and all evidence.
type judgement struct{ word, short, evidence string }

func verdict(row Row) string {
	j := judge(row)
	if j.word == "" {
		return ""
	}
	return j.word + ": " + j.evidence
}

// shares returns the median share of some stages in a write's mean time.
func shares(row Row, names ...string) float64 {
	var of []float64 // of each run
	for _, run := range row.Runs {
		whole, ok := mean.of(run)
		if !ok || whole == 0 || len(run.Stages) == 0 {
			continue
		}
		sum := 0.0
		for _, n := range names {
			m := stage(n)
			if n == outside {
				m = outsideOf
			}
			v, _ := m.of(run)
			sum += v
		}
		of = append(of, min(sum/whole, 1)) // only a sample of the writes was followed
	}
	return stat.Median(of)
}

// judge finds the bottleneck of a load with sampled writes.
func judge(row Row) (j judgement) {
	all := stat.Median(mean.values(row))
	if len(parts(row)) == 0 || all == 0 {
		return j
	}
	percent := func(s float64) string { return fmt.Sprintf("%.0f %%", 100*s) }
	value := func(name string) float64 { return stat.Median(valueMetric(name).values(row)) }
	disk, network, busy, syncing := shares(row, "batch", "sync"), shares(row, "replicate", outside), value("processors_busy_share"), value("disk_syncing_share")
	own := value("processors_by_these_share")
	j.evidence = fmt.Sprintf("%s of a write's %s are sync and the wait for the sync before, %s are replication and the way to the client; the processors were %s busy, %s with these members and the benchmark; the busiest disk was syncing %s of the time",
		percent(disk), duration(all), percent(network), percent(busy), percent(own), percent(syncing))
	processors := fmt.Sprintf(", the processors were %s busy.", percent(busy))
	way := fmt.Sprintf(", %s of a write's %s are on the way.", percent(network), duration(all))
	switch {
	case syncing >= syncShare || disk >= boundShare && own < ownShare:
		j.word, j.short = "disk-bound", fmt.Sprintf("disk-bound, %s of a write's %s are syncs.", percent(disk), duration(all))
	case busy >= busyShare && own >= ownShare:
		j.word, j.short = "CPU-bound", "CPU-bound"+processors
	case busy >= busyShare:
		j.word, j.short = "CPU-bound by what else runs on this machine", "CPU-bound by other programs"+processors
	// with one member there is no other network
	case network >= boundShare && shares(row, outside) >= shares(row, "replicate"):
		j.word, j.short = "bound by the way to the client", "bound by the way to the client"+way
	case network >= boundShare:
		j.word, j.short = "network-bound", "network-bound"+way
	default:
		most := slices.MaxFunc(append(slices.Clone(Stages), outside), func(a, b string) int {
			return int(math.Copysign(1, shares(row, a)-shares(row, b)))
		})
		j.word = fmt.Sprintf("bound by no single thing, most of all by %s (%s)", most, stageMeanings[most])
		j.short = fmt.Sprintf("no single bottleneck, %s takes most, %s of a write's %s.", most, percent(shares(row, most)), duration(all))
	}
	return j
}

// explain names the stage of a write that holds the difference of b to a, if a test shows a difference.
func explain(a, b Row, differ differences) string {
	claimed := func(m Metric) bool { return differ.of[comparison{b.Side, b.Mode, b.load(), m.Name}].Claimed }
	if !claimed(mean) || len(parts(a)) == 0 || len(parts(b)) == 0 {
		return ""
	}
	difference := func(m Metric) float64 { return stat.Median(m.values(b)) - stat.Median(m.values(a)) }
	whole := difference(mean)
	var most Metric
	for _, m := range parts(b)[1:] {
		if difference(m)/whole > 0 && (most.Name == "" || math.Abs(difference(m)) > math.Abs(difference(most))) {
			most = m
		}
	}
	if most.Name == "" || !claimed(most) {
		return ""
	}
	more := "more"
	if whole < 0 {
		more = "less"
	}
	name := most.Name[len("mean "):]
	if len(name) > 3 && name[:3] == "in " {
		name = name[3:]
	}
	return fmt.Sprintf("a write takes %s %s, of which %s are in %s: %s", duration(math.Abs(whole)), more, duration(math.Abs(difference(most))), name, stageMeanings[name])
}
