package bench

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"qkv/bench/result"
)

// Metered is a cluster whose members say at /metrics what they count, as etcd's do.
type Metered interface {
	// Metrics are the URLs of the members that run.
	Metrics() []string
}

// counts are what one member has counted until a moment.
type counts struct {
	stages map[string]sum // of a write
	syncs  sum
	ends   []float64 // of the buckets of syncs, in seconds
	within []float64 // how many syncs took at most so long

	processor, resident float64 // seconds, bytes
}

// sum is of times in seconds.
type sum struct{ seconds, count float64 }

// The metrics that are read; the first is qkv's alone.
const (
	stageMetric     = "qkv_write_stage_seconds"
	syncMetric      = "etcd_disk_wal_fsync_duration_seconds"
	processorMetric = "process_cpu_seconds_total"
	residentMetric  = "process_resident_memory_bytes"
)

// metricsTime bounds one look at a member, and metricsMost what it may say.
const (
	metricsTime = 2 * time.Second
	metricsMost = 8 << 20
)

// metricsClient keeps no connection, which a member would have to wait for when it stops.
var metricsClient = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// readCounts asks a member.
func readCounts(ctx context.Context, url string) (c counts, err error) {
	ctx, cancel := context.WithTimeout(ctx, metricsTime)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return c, err
	}
	answer, err := metricsClient.Do(q)
	if err != nil {
		return c, err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return c, fmt.Errorf("%s answers %s", url, answer.Status)
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, metricsMost))
	if err != nil {
		return c, err
	}
	return parseCounts(text), nil
}

// parseCounts reads Prometheus' text format, as far as it is about these metrics.
func parseCounts(text []byte) counts {
	c := counts{stages: map[string]sum{}}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		name, labels, value, ok := metricLine(lines.Text())
		if !ok {
			continue
		}
		if part, is := strings.CutPrefix(name, stageMetric); is {
			stage := c.stages[labels["stage"]]
			switch part {
			case "_sum":
				stage.seconds = value
			case "_count":
				stage.count = value
			default:
				continue
			}
			c.stages[labels["stage"]] = stage
			continue
		}
		switch name {
		case processorMetric:
			c.processor = value
		case residentMetric:
			c.resident = value
		}
		switch strings.TrimPrefix(name, syncMetric) {
		case "_sum":
			c.syncs.seconds = value
		case "_count":
			c.syncs.count = value
		case "_bucket":
			if end, err := strconv.ParseFloat(labels["le"], 64); err == nil && !math.IsInf(end, 0) {
				c.ends, c.within = append(c.ends, end), append(c.within, value)
			}
		}
	}
	return c
}

// metricLine takes NAME{label="value",...} NUMBER apart; the labels that are read here have no quotes and commas in them.
func metricLine(line string) (name string, labels map[string]string, value float64, ok bool) {
	if !slices.ContainsFunc([]string{stageMetric, syncMetric, processorMetric, residentMetric}, func(m string) bool { return strings.HasPrefix(line, m) }) {
		return "", nil, 0, false
	}
	name, number, ok := strings.Cut(line, " ")
	if !ok {
		return "", nil, 0, false
	}
	name, inside, _ := strings.Cut(name, "{")
	labels = map[string]string{}
	for part := range strings.SplitSeq(strings.TrimSuffix(inside, "}"), ",") {
		if k, v, is := strings.Cut(part, "="); is {
			labels[k] = strings.Trim(v, `"`)
		}
	}
	value, err := strconv.ParseFloat(number, 64)
	return name, labels, value, err == nil
}

// processorTimes are what the machine's processors have done since its start.
type processorTimes struct{ busy, all float64 }

func readProcessors() (t processorTimes) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return t
	}
	line, _, _ := strings.Cut(string(text), "\n")
	for i, field := range strings.Fields(line) {
		v, err := strconv.ParseFloat(field, 64)
		if err != nil || i == 0 || i > 8 { // guests' time is in the user's as well
			continue
		}
		t.all += v
		if i != 4 && i != 5 { // idle, and idle with a disk at work
			t.busy += v
		}
	}
	return t
}

// ownProcessor is how many seconds of processor time this process has used.
func ownProcessor() float64 {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// observer looks at the members while a load is made.
type observer struct {
	urls []string
	stop context.CancelFunc
	over sync.WaitGroup

	first, last []counts // by member
	processors  [2]processorTimes
	own         [2]float64 // seconds of processor time of this process
	begun       time.Time
	took        time.Duration
	windows     []result.SyncWindow
}

// observe begins to look when the warm-up is over. Of members that do not answer nothing is known.
func observe(ctx context.Context, c Cluster, warmUp time.Duration) *observer {
	m, can := c.(Metered)
	if !can {
		return nil
	}
	o := &observer{urls: m.Metrics()}
	ctx, o.stop = context.WithCancel(ctx)
	o.over.Go(func() {
		if pause(ctx, warmUp) != nil {
			return
		}
		o.first, o.processors[0], o.own[0], o.begun = o.look(context.WithoutCancel(ctx)), readProcessors(), ownProcessor(), time.Now()
		before := o.first
		for {
			ended := pause(ctx, windowTime) != nil
			o.last, o.processors[1], o.own[1], o.took = o.look(context.WithoutCancel(ctx)), readProcessors(), ownProcessor(), time.Since(o.begun)
			if len(o.windows) < mostWindows {
				o.windows = append(o.windows, syncsBetween(before, o.last, o.took))
			}
			before = o.last
			if ended {
				return
			}
		}
	})
	return o
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

func (o *observer) look(ctx context.Context) []counts {
	all := make([]counts, len(o.urls))
	for i, url := range o.urls {
		all[i], _ = readCounts(ctx, url) // one that is killed says nothing
	}
	return all
}

// syncsBetween are the syncs of all members that ended between two looks.
func syncsBetween(before, after []counts, at time.Duration) result.SyncWindow {
	w := result.SyncWindow{At: at.Seconds()}
	for i := range after {
		if len(after[i].ends) == 0 || len(before[i].ends) != len(after[i].ends) {
			continue
		}
		if w.Ends == nil {
			w.Ends, w.Counts = after[i].ends, make([]float64, len(after[i].ends))
		}
		if !slices.Equal(w.Ends, after[i].ends) {
			continue
		}
		below := 0.0
		for b := range w.Counts {
			through := after[i].within[b] - before[i].within[b]
			w.Counts[b] += max(0, through-below)
			below = through
		}
	}
	return w
}

// end stops looking, and notes in the run what was seen.
func (o *observer) end(run *result.Run) {
	if o == nil {
		return
	}
	o.stop()
	o.over.Wait()
	if o.took <= 0 {
		return
	}
	run.Syncs = o.windows
	if run.Values == nil {
		run.Values = map[string]float64{}
	}
	if all := o.processors[1].all - o.processors[0].all; all > 0 {
		run.Values["processors_busy_share"] = (o.processors[1].busy - o.processors[0].busy) / all
	}
	busiest, used := 0.0, o.own[1]-o.own[0]
	stages := map[string]sum{}
	for i := range o.last {
		was, is := o.first[i], o.last[i]
		busiest = max(busiest, (is.syncs.seconds-was.syncs.seconds)/o.took.Seconds())
		used += max(0, is.processor-was.processor)
		for name, s := range is.stages {
			t := stages[name]
			stages[name] = sum{t.seconds + s.seconds - was.stages[name].seconds, t.count + s.count - was.stages[name].count}
		}
	}
	run.Values["processors_by_these_share"] = min(used/o.took.Seconds()/float64(runtime.NumCPU()), 1)
	if busiest > 0 {
		run.Values["disk_syncing_share"] = min(busiest, 1)
	}
	for _, name := range result.Stages {
		if s := stages[name]; s.count > 0 {
			run.Stages = append(run.Stages, result.StageTime{Name: name, Mean: s.seconds / s.count, Count: int64(s.count)})
		}
	}
}
