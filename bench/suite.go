package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"qkv/bench/machine"
	"qkv/bench/result"
)

// Side is one of the compared systems.
type Side interface {
	Describe() result.Side
	// Start starts an empty cluster with the given number of members.
	Start(ctx context.Context, members int) (Cluster, error)
}

// Prober is a side that can measure its disk's sync latency without members.
type Prober interface {
	Probe(ctx context.Context) (Latencies, error)
}

// Cluster is a running cluster of a side.
type Cluster interface {
	// Stores are connections that begin at different members.
	Stores() []Store
	// KillLeader kills the leader like kill -9; ErrNotPossible if the side cannot.
	KillLeader(ctx context.Context) error
	// Stop ends the cluster and removes its files.
	Stop() error
}

// Watched is a cluster that detects the end of a member by itself or from outside.
type Watched interface {
	// Ended names a member that should run but does not, and the reason.
	Ended() error
}

// Work is one load of a suite.
type Work struct {
	Name     string
	Mode     string // of result
	Op       Op
	InFlight int
	Rate     float64 // of an open loop
	Least    int     // minimum of members; 0: any number
	kind     workKind
	special  int  // index in specials
	alone    bool // needs a cluster of its own
	most     int  // maximum of members; 0: any number
}

type workKind uint8

const (
	plainWork workKind = iota
	killWork
	specialWork
)

// SpecialWorks are loads of several kinds of requests; a suite runs them only on request.
func SpecialWorks() (all []Work) {
	for i, s := range specials {
		mode := result.Closed
		if s.event {
			mode = result.Event
		}
		all = append(all, Work{Name: s.name, Mode: mode, most: s.most, alone: s.alone, kind: specialWork, special: i})
	}
	return all
}

// Maintains tells whether the load compacts and defragments its cluster.
func (w Work) Maintains() bool { return w.kind == specialWork && specials[w.special].harms }

// fits tells whether the load is meaningful with this number of members.
func (w Work) fits(members int) bool { return w.Least <= members && (w.most == 0 || members <= w.most) }

// Works are the standard loads of a suite. Loads of one caller come first, while disk and machine are quietest; the kill of the leader
// comes last, since a member is missing afterwards.
func Works(inFlight int, rate float64) []Work {
	return []Work{
		{Name: "put by one caller", Mode: result.Closed, Op: Put, InFlight: 1},
		{Name: "put", Mode: result.Closed, Op: Put, InFlight: inFlight},
		{Name: "linearizable get", Mode: result.Closed, Op: Get, InFlight: inFlight},
		{Name: "serializable get", Mode: result.Closed, Op: GetSerializable, InFlight: inFlight},
		{Name: "put", Mode: result.Open, Op: Put, InFlight: inFlight, Rate: rate},
		{Name: "linearizable get", Mode: result.Open, Op: Get, InFlight: inFlight, Rate: rate},
		{Name: "serializable get", Mode: result.Open, Op: GetSerializable, InFlight: inFlight, Rate: rate},
		{Name: "leader killed", Mode: result.Event, Op: Put, InFlight: min(inFlight, 100), Least: 3, kind: killWork},
	}
}

// WorkNames returns the names of works without duplicates.
func WorkNames(works []Work) (names []string) {
	for _, w := range works {
		if !slices.Contains(names, w.Name) {
			names = append(names, w.Name)
		}
	}
	return names
}

// Suite measures works on sides, each side equally often and in turns: A B, B A, A B, ... The drift of the machine thus affects all sides
// alike.
type Suite struct {
	Sides    []Side
	Members  []int // cluster sizes to measure
	Works    []Work
	Runs     int
	Duration time.Duration // of each load
	WarmUp   time.Duration
	// duration of the load after the kill; 8 s. A cluster that has not recovered by then has a gap of this length.
	KillRest   time.Duration
	ValueBytes int
	Keys       int
	Scale      float64 // of special loads' sizes; 1
	// Prefix of all keys; empty: bench's default.
	Prefix string
	// Round is called after each of Runs except the last with the results so far; its error ends the suite.
	Round func(round int, rows []result.Row, notes []string) error
	// Progress is called at the start of each step, with its number and the total.
	Progress func(what string, step, of int)
}

const (
	// touchMost limits the bytes touched before a suite: the members of one cluster take less, and touching this many takes 20 s.
	touchMost = 8 << 30
	// touchSecond is the bytes touched for each second of a load: three members write less in a second.
	touchSecond = 2 << 30
)

// Into touches memory, runs the suite, and keeps its results in a file, also those before an early end. save is called after each of
// Runs but the last.
func (s *Suite) Into(ctx context.Context, f *result.File, save func() error) error {
	before := f.Notes
	keep := func(rows []result.Row, notes []string) { f.Rows, f.Notes = rows, slices.Concat(before, notes) }
	s.Round = func(round int, rows []result.Row, notes []string) error {
		keep(rows, append(slices.Clone(notes), fmt.Sprintf("INCOMPLETE: run %d of %d is the last one in here", round, s.Runs)))
		return save()
	}
	wanted := int64((s.WarmUp + s.Duration).Seconds() * touchSecond)
	if err := TouchMemory(ctx, min(machine.Host{}.FreeBytes()*3/4, wanted, touchMost)); err != nil {
		return err
	}
	rows, notes, err := s.Run(ctx)
	keep(rows, notes)
	return err
}

// Run measures everything. After a failure it returns the results so far, too.
func (s *Suite) Run(ctx context.Context) (rows []result.Row, notes []string, err error) {
	r := &suiteRun{Suite: s, ctx: ctx, index: map[string]int{}}
	for round := range s.Runs {
		for _, members := range s.Members {
			sides := slices.Clone(s.Sides)
			if round%2 == 1 {
				slices.Reverse(sides)
			}
			for _, side := range sides {
				if err := r.clusters(side, members); err != nil {
					return r.rows, r.notes, fmt.Errorf("%s, %s, run %d: %w", side.Describe().Name, memberCount(members), round+1, err)
				}
			}
		}
		if s.Round != nil && round+1 < s.Runs {
			if err := s.Round(round+1, r.rows, r.notes); err != nil {
				return r.rows, r.notes, err
			}
		}
	}
	return r.rows, r.notes, nil
}

// suiteRun is the state of a suite's run.
type suiteRun struct {
	*Suite
	ctx   context.Context
	rows  []result.Row
	index map[string]int // index of a row, by side, members and work
	notes []string
	step  int
}

// groups returns indices of works that share a cluster. Each work that needs its own cluster comes alone, after the others.
func (s *Suite) groups(members int) (all [][]int) {
	var shared []int
	for i, w := range s.Works {
		switch {
		case !w.fits(members):
		case w.alone:
			all = append(all, []int{i})
		default:
			shared = append(shared, i)
		}
	}
	return slices.Insert(all, 0, shared)
}

// clusters measures all works, on as many new clusters as needed.
func (r *suiteRun) clusters(side Side, members int) error {
	for _, works := range r.groups(members) {
		if err := r.cluster(side, members, works); err != nil {
			return err
		}
	}
	return nil
}

// cluster measures works on one new cluster.
func (r *suiteRun) cluster(side Side, members int, works []int) (err error) {
	if len(works) == 0 {
		return nil
	}
	name := side.Describe().Name
	r.progress("start " + memberCount(members) + " of " + name)
	if err := r.probe(side); err != nil {
		return err
	}
	c, err := side.Start(r.ctx, members)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	for _, i := range works {
		w := r.Works[i]
		r.progress(fmt.Sprintf("%s: %s, %s", name, w.Name, memberCount(members)))
		run, err := r.work(c, w)
		ended := endedOf(c)
		switch {
		case r.ctx.Err() != nil:
			return context.Cause(r.ctx)
		case ended != nil: // the figures of fewer members do not count
			return fmt.Errorf("%s: %w", w.Name, errors.Join(ended, err))
		case errors.Is(err, ErrNotPossible):
			r.note(fmt.Sprintf("%s: %s is not possible there", name, w.Name))
		case err != nil:
			return fmt.Errorf("%s: %w", w.Name, err)
		default:
			r.add(name, members, i, w, run)
		}
	}
	return nil
}

func endedOf(c Cluster) error {
	if w, can := c.(Watched); can {
		return w.Ended()
	}
	return nil
}

// probeName is the row of a side's disk probe.
const probeName = "fdatasync of 4 KiB, rested"

// probe measures the disk before members start on it.
func (r *suiteRun) probe(side Side) error {
	p, can := side.(Prober)
	if !can {
		return nil
	}
	begun := time.Now()
	l, err := p.Probe(r.ctx)
	if err != nil {
		return fmt.Errorf("probe the disk: %w", err)
	}
	run := l.Run(time.Since(begun))
	run.Begun = begun.UTC()
	name := side.Describe().Name
	at, known := r.index[name]
	if !known {
		at = len(r.rows)
		r.index[name] = at
		r.rows = append(r.rows, result.Row{Side: name, Name: probeName, Mode: result.Probe})
	}
	r.rows[at].Runs = append(r.rows[at].Runs, run)
	return nil
}

func memberCount(n int) string {
	if n == 1 {
		return "1 member"
	}
	return fmt.Sprintf("%d members", n)
}

func (r *suiteRun) progress(what string) {
	r.step++
	if r.Progress != nil {
		r.Progress(what, r.step, r.Steps())
	}
}

// Steps is the number of calls of Progress.
func (s *Suite) Steps() (n int) {
	for _, members := range s.Members {
		for _, works := range s.groups(members) {
			if len(works) > 0 {
				n += 1 + len(works)
			}
		}
	}
	return n * s.Runs * len(s.Sides)
}

func (r *suiteRun) note(s string) {
	if !slices.Contains(r.notes, s) {
		r.notes = append(r.notes, s)
	}
}

// add adds a run to its row.
func (r *suiteRun) add(side string, members, work int, w Work, run result.Run) {
	key := fmt.Sprintf("%s/%d/%d", side, members, work)
	at, known := r.index[key]
	if !known {
		at = len(r.rows)
		r.index[key] = at
		parameters := map[string]string{"members": strconv.Itoa(members)}
		if w.InFlight > 1 && w.Mode == result.Closed {
			parameters["in flight"] = strconv.Itoa(w.InFlight)
		}
		if w.Rate > 0 {
			parameters["a second"] = strconv.FormatFloat(w.Rate, 'f', -1, 64)
		}
		if r.ValueBytes > 0 && w.Op != Get && w.Op != GetSerializable {
			parameters["value bytes"] = strconv.Itoa(r.ValueBytes)
		}
		r.rows = append(r.rows, result.Row{Side: side, Name: w.Name, Mode: w.Mode, Parameters: parameters})
	}
	r.rows[at].Runs = append(r.rows[at].Runs, run)
}

// inFlight is the maximum of the suite's requests in flight.
func (s *Suite) inFlight() (most int) {
	for _, w := range s.Works {
		most = max(most, w.InFlight)
	}
	return most // 0: the default
}

// work runs one load.
func (r *suiteRun) work(c Cluster, w Work) (result.Run, error) {
	begun := time.Now().UTC()
	config := Config{
		Stores: c.Stores(), Op: w.Op, InFlight: w.InFlight, Keys: r.Keys, ValueBytes: r.ValueBytes, Prefix: r.Prefix,
		Duration: r.Duration, WarmUp: r.WarmUp, Seed: 1, Rate: w.Rate, Scale: r.Scale,
	}
	var run result.Run
	var err error
	looking := Observe(r.ctx, c)
	config.begins = looking.Begin
	if w.Mode == result.Event { // its parts have their own warm-ups, or none
		looking.Begin(time.Now())
	}
	switch w.kind {
	case specialWork:
		config.InFlight = r.inFlight()
		run, err = runSpecial(r.ctx, c, specials[w.special], config)
	case killWork:
		run, err = kill(r.ctx, c, config, cmp.Or(r.KillRest, 8*time.Second))
	default:
		var report Report
		report, err = Load(r.ctx, config)
		if err == nil && report.Done == 0 {
			err = fmt.Errorf("of %d requests none succeeded, first: %s", report.Failed+report.Unknown, report.FirstError)
		}
		run = report.Run()
	}
	looking.End(&run)
	if w.Mode != result.Event {
		looking.charge(&run)
	}
	if w.kind == specialWork && !specials[w.special].writes {
		run.Stages = nil // a request is more than one write, or none
	}
	run.Begun = begun
	return run, err
}

// Run returns the report in the form of a file.
func (r Report) Run() result.Run {
	run := result.Run{
		Seconds: r.Elapsed.Seconds(), Count: r.Done, Failed: r.Failed, Unknown: r.Unknown, FirstError: r.FirstError,
		Rate: r.Rate, LongestGap: r.LongestGap.Seconds(), Histogram: &result.Latency{Histogram: r.Latencies.Histogram},
	}
	if r.Lag > 0 {
		run.Values = map[string]float64{"begun_late_seconds": r.Lag.Seconds()}
	}
	for _, n := range r.Windows {
		run.Windows = append(run.Windows, result.Window{Seconds: windowTime.Seconds(), Count: n})
	}
	return run
}

// Run returns a probe's result in the form of a file.
func (l Latencies) Run(elapsed time.Duration) result.Run {
	run := result.Run{Seconds: elapsed.Seconds(), Count: l.Count, Histogram: &result.Latency{Histogram: l.Histogram}}
	if elapsed > 0 {
		run.Rate = float64(l.Count) / elapsed.Seconds()
	}
	return run
}

const (
	killAfter = time.Second // of load, then the leader is killed
	killMost  = 30 * time.Second
)

// kill kills the leader under load, and measures the longest time without an acknowledged write.
func kill(ctx context.Context, c Cluster, config Config, rest time.Duration) (result.Run, error) {
	loading, stop := context.WithTimeout(ctx, killMost)
	defer stop()
	killed, over := make(chan error, 1), make(chan time.Time, 1)
	timer := time.AfterFunc(killAfter, func() {
		err := c.KillLeader(ctx)
		if err != nil {
			stop()
		}
		killed <- err
		time.AfterFunc(rest, func() { over <- time.Now(); stop() })
	})
	config.WarmUp, config.Duration = 0, 2*killMost
	report, err := Load(loading, config)
	if timer.Stop() {
		return result.Run{}, err // the load ended before the leader did
	}
	if err := <-killed; err != nil {
		return result.Run{}, err
	}
	if ctx.Err() != nil {
		return result.Run{}, ctx.Err()
	}
	run := report.Run()
	run.Histogram = nil
	gap := report.LongestGap
	select {
	case at := <-over: // a gap that has not ended counts up to now
		gap = max(gap, at.Sub(report.Last))
	default: // the load ended by itself
	}
	run.Values = map[string]float64{result.WriteGap: gap.Seconds()}
	return run, nil
}
