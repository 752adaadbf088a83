package bench

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
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

// Metered is a cluster whose members serve /metrics as etcd does.
type Metered interface {
	// Metrics lists the URLs of the running members.
	Metrics() []string
}

// counts are a member's counters at one time.
type counts struct {
	stages map[string]sum // of a write
	syncs  float64        // in seconds

	processor, resident float64 // seconds, bytes
}

// sum is a sum of times in seconds.
type sum struct{ seconds, count float64 }

// The metrics that are read; only qkv has the first.
const (
	stageMetric     = "qkv_write_stage_seconds"
	syncMetric      = "etcd_disk_wal_fsync_duration_seconds_sum"
	processorMetric = "process_cpu_seconds_total"
	residentMetric  = "process_resident_memory_bytes"
)

// metricsTime is the timeout of one scrape, and metricsMost its largest size.
const (
	metricsTime = 2 * time.Second
	metricsMost = 8 << 20
)

// metricsClient keeps no connections, which would delay a member's shutdown.
var metricsClient = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// readCounts scrapes a member.
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

// parseCounts parses these metrics in Prometheus' text format.
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
		case syncMetric:
			c.syncs = value
		}
	}
	return c
}

// metricLine parses NAME{label="value",...} NUMBER; the labels read here contain no quotes or commas.
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

// processorTimes are the times of the machine's processors since its start.
type processorTimes struct{ busy, all float64 }

func readProcessors() (t processorTimes) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return t
	}
	line, _, _ := strings.Cut(string(text), "\n")
	for i, field := range strings.Fields(line) {
		v, err := strconv.ParseFloat(field, 64)
		if err != nil || i == 0 || i > 8 { // guests' time is part of the user's
			continue
		}
		t.all += v
		if i != 4 && i != 5 { // idle, and idle with a pending disk request
			t.busy += v
		}
	}
	return t
}

// OwnProcessor returns this process's processor time in seconds.
func OwnProcessor() float64 {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// Observer reads the members' counters during a load.
type Observer struct {
	urls   []string
	starts chan time.Time // buffer of one: the end of the load's warm-up
	stop   context.CancelFunc
	over   sync.WaitGroup

	first, last []counts // by member
	processors  [2]processorTimes
	own         [2]float64 // processor time of this process, in seconds
	begun       time.Time

	// Set by End.
	Servers, Resident float64 // processor time of all members in seconds, and the largest one's memory in bytes
	Took              time.Duration
}

// Observe returns an Observer that is idle until Begin is called; nil for a cluster without counters. A member that does not
// answer adds nothing.
func Observe(ctx context.Context, c Cluster) *Observer {
	m, can := c.(Metered)
	if !can {
		return nil
	}
	o := &Observer{urls: m.Metrics(), starts: make(chan time.Time, 1)}
	ctx, o.stop = context.WithCancel(ctx)
	o.over.Go(func() {
		select {
		case at := <-o.starts:
			if Pause(ctx, time.Until(at)) != nil {
				return
			}
		case <-ctx.Done():
			return
		}
		o.first, o.processors[0], o.own[0], o.begun = o.look(context.WithoutCancel(ctx)), readProcessors(), OwnProcessor(), time.Now()
		<-ctx.Done()
		o.last, o.processors[1], o.own[1], o.Took = o.look(context.WithoutCancel(ctx)), readProcessors(), OwnProcessor(), time.Since(o.begun)
	})
	return o
}

// Begin makes the Observer read the counters from a time on: a load calls it when it knows the end of its warm-up. Only the first call has
// an effect: a load of several parts is observed from its first part on.
func (o *Observer) Begin(at time.Time) {
	if o == nil {
		return
	}
	select {
	case o.starts <- at:
	default:
	}
}

// Pause waits, and returns the context's error if that ends first.
func Pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

func (o *Observer) look(ctx context.Context) []counts {
	all := make([]counts, len(o.urls))
	for i, url := range o.urls {
		all[i], _ = readCounts(ctx, url) // a killed member adds nothing
	}
	return all
}

// End stops the scrapes, and records the results in the run.
func (o *Observer) End(run *result.Run) {
	if o == nil {
		return
	}
	o.stop()
	o.over.Wait()
	if o.Took <= 0 {
		return
	}
	if run.Values == nil {
		run.Values = map[string]float64{}
	}
	if all := o.processors[1].all - o.processors[0].all; all > 0 {
		run.Values["processors_busy_share"] = (o.processors[1].busy - o.processors[0].busy) / all
	}
	busiest := 0.0
	stages := map[string]sum{}
	for i := range o.last {
		was, is := o.first[i], o.last[i]
		busiest = max(busiest, (is.syncs-was.syncs)/o.Took.Seconds())
		o.Servers += max(0, is.processor-was.processor)
		o.Resident = max(o.Resident, is.resident)
		for name, s := range is.stages {
			t := stages[name]
			stages[name] = sum{t.seconds + s.seconds - was.stages[name].seconds, t.count + s.count - was.stages[name].count}
		}
	}
	run.Values["processors_by_these_share"] = min((o.Servers+o.own[1]-o.own[0])/o.Took.Seconds()/float64(runtime.NumCPU()), 1)
	if busiest > 0 {
		run.Values["disk_syncing_share"] = min(busiest, 1)
	}
	for _, name := range result.Stages {
		if s := stages[name]; s.count > 0 {
			run.Stages = append(run.Stages, result.StageTime{Name: name, Mean: s.seconds / s.count, Count: int64(s.count)})
		}
	}
}

// charge records the members' processor time per operation: their total during the load, divided by the operations of the load's rate. It
// is called after End.
func (o *Observer) charge(run *result.Run) {
	rate := run.Rate
	if events := run.Values["events_rate"]; events > 0 {
		rate = events
	}
	if o != nil && o.Servers > 0 && rate > 0 {
		run.Values[result.ServerCPU] = o.Servers / o.Took.Seconds() / rate
	}
}
