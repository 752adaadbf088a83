package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"qkv/bench"
	"qkv/bench/result"
)

// KubeSearch searches for the largest number of nodes that each side holds. Each step has a new cluster, and the sides
// take turns.
type KubeSearch struct {
	Kube                    // of each step, apart from Nodes and Kill
	Sides      []bench.Side // their clusters must be a KubeCluster
	Members    int
	From, Most int
	Within     float64
	Tries      int   // a step that does not hold is repeated until it was tried so often
	Steps      []int // numbers of nodes that are all measured Tries times, in place of a search
	Progress   func(what string)
}

// Written is a cluster that knows the processes of its members, to count the bytes that they write.
type Written interface{ Pids() []int }

// kubeSide is one side's search.
type kubeSide struct {
	bench.Side
	find nodesFinder
	rows map[string]int
}

// kubeSearch is the state of a search.
type kubeSearch struct {
	KubeSearch
	rows  []result.Row
	notes []string
}

// Run searches on all sides. After a failure it returns the results so far, too.
func (k KubeSearch) Run(ctx context.Context) ([]result.Row, []string, error) {
	s := &kubeSearch{KubeSearch: k}
	s.describe()
	var sides []*kubeSide
	for _, side := range k.Sides {
		find := nodesFinder{from: k.From, most: k.Most, within: k.Within, tries: k.Tries}
		sides = append(sides, &kubeSide{side, find, map[string]int{}})
	}
	measure := s.search
	if len(k.Steps) > 0 {
		measure = s.fixed
	}
	if err := measure(ctx, sides); err != nil {
		return s.rows, s.notes, err
	}
	least := sides[0].find.good // held by all sides
	for _, side := range sides {
		s.conclude(side)
		least = min(least, side.find.good)
	}
	if least == 0 && len(k.Steps) > 0 { // the step is not judged
		least = slices.Min(k.Steps)
	}
	if k.Members < 3 || least == 0 {
		s.note("no member was killed: that needs three members, and a number of nodes that all sides hold")
		return s.rows, s.notes, nil
	}
	for _, side := range sides {
		if _, err := s.step(ctx, side, least, true); err != nil {
			return s.rows, s.notes, err
		}
	}
	return s.rows, s.notes, nil
}

// search finds each side's largest number.
func (s *kubeSearch) search(ctx context.Context, sides []*kubeSide) error {
	for more := true; more; slices.Reverse(sides) {
		more = false
		for _, side := range sides {
			n, next := side.find.next()
			if !next {
				continue
			}
			more = true
			v, err := s.step(ctx, side, n, false)
			if err != nil {
				return err
			}
			side.find.note(n, v)
		}
	}
	return nil
}

// fixed measures all sides with the same numbers of nodes.
func (s *kubeSearch) fixed(ctx context.Context, sides []*kubeSide) error {
	for range s.Tries {
		for _, n := range s.Steps {
			for _, side := range sides {
				v, err := s.step(ctx, side, n, false)
				if err != nil {
					return err
				}
				side.find.mark(n, v)
			}
			slices.Reverse(sides)
		}
	}
	return nil
}

// describe notes the settings on which the figures depend.
func (s *kubeSearch) describe() {
	s.note("each step lasts %v on a new cluster, with a compaction each %v and LISTs at the start and after each "+
		"compaction; the clients run on the servers' processors, and their processor time is given",
		s.Step, s.CompactEvery)
	if s.Listers > 0 {
		s.note("%d more clients list all pods again and again, in pages and by RangeStream", s.Listers)
	}
	if s.Held < 1 {
		s.note("SCALED DOWN: %.3g of the %d pods a node are held; all rates are those of the number of nodes",
			s.Held, kubePodsOfNode)
	}
}

// conclude adds the result of a side's search.
func (s *kubeSearch) conclude(side *kubeSide) {
	name, f := side.Describe().Name, side.find
	values := map[string]float64{"nodes_most": float64(f.good)}
	run := result.Run{Begun: time.Now().UTC(), Count: 1, Values: values}
	s.add(side, "largest number of nodes", result.Event, 0, run)
	switch {
	case f.good == 0 && f.invalid:
		s.note("%s: NOT DETERMINED: the generator was late in each step, so that none could hold", name)
	case f.bad == 0:
		s.note("%s: %d nodes held; more were not tried", name, f.good)
	case f.invalid:
		s.note("%s: at least %d nodes; the generator was late at %d, so the servers' bound is not known",
			name, f.good, f.bad)
	default:
		s.note("%s: %d nodes held, %d did not", name, f.good, f.bad)
	}
}

func (s *kubeSearch) note(format string, args ...any) {
	s.notes = append(s.notes, fmt.Sprintf(format, args...))
}

func (s *kubeSearch) add(side *kubeSide, name, mode string, nodes int, run result.Run) {
	key := fmt.Sprintf("%s/%d", name, nodes)
	at, known := side.rows[key]
	if !known {
		at = len(s.rows)
		side.rows[key] = at
		parameters := map[string]string{"members": strconv.Itoa(s.Members)}
		if nodes > 0 {
			parameters["nodes"] = strconv.Itoa(nodes)
		}
		s.rows = append(s.rows, result.Row{Side: side.Describe().Name, Name: name, Mode: mode, Parameters: parameters})
	}
	s.rows[at].Runs = append(s.rows[at].Runs, run)
}

// step measures one step on a new cluster.
func (s *kubeSearch) step(ctx context.Context, side *kubeSide, nodes int, kill bool) (v kubeVerdict, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s, %d nodes: %w", side.Describe().Name, nodes, err)
		}
	}()
	k := s.Kube
	k.Nodes, k.Kill = nodes, kill
	if err := k.check(); err != nil {
		return "", err
	}
	name := side.Describe().Name
	s.Progress(fmt.Sprintf("%s: %d nodes", name, nodes))
	c, err := side.Start(ctx, s.Members)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	cluster, can := c.(KubeCluster)
	if !can {
		return "", bench.ErrNotPossible
	}
	if _, can := c.(replacer); kill && !can {
		s.note("%s: no member was replaced: it is not possible here", name)
		return "", nil
	}
	r, err := newKubeRun(k, cluster.Addresses())
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	if err := r.fill(ctx); err != nil {
		return "", fmt.Errorf("create the held objects: %w", err)
	}
	values, missed, replaced, err := r.measure(ctx, c)
	if err != nil {
		return "", err
	}
	if w, can := c.(bench.Watched); can && w.Ended() != nil {
		return "", w.Ended()
	}
	return s.record(side, r, values, missed, replaced), ctx.Err()
}

// record adds a step's rows and judges it.
func (s *kubeSearch) record(
	side *kubeSide, r *kubeRun, values map[string]float64, missed int64, replaced error,
) kubeVerdict {
	renewal, write, watch, late := r.renewal.report(), r.write.report(), r.watch.report(), r.late.report()
	figures := kubeFigures{
		renewal.Latencies.P99, watch.Latencies.P99, late.Latencies.P99,
		r.requests.Load(), renewal.Failed + renewal.Unknown + write.Failed + write.Unknown, missed,
	}
	v, why := figures.verdict()
	suffix := ""
	if r.Kill {
		suffix = ", member replaced"
	}
	values["late_p99_seconds"] = late.Latencies.P99.Seconds()
	main := renewal.Run()
	main.Values = values
	name := fmt.Sprintf("%s: %d nodes%s", side.Describe().Name, r.Nodes, suffix)
	if why != "" {
		why = "; " + why
	}
	s.note("%s: %s%s", name, v, why)
	if replaced != nil {
		s.note("%s: the member was not replaced: %v", name, replaced)
	}
	if n := r.unstreamed.Load(); n > 0 {
		s.note("%s: the server has no RangeStream: %d LISTs were made in pages in its place", name, n)
	}
	s.add(side, "lease renewal"+suffix, result.Open, r.Nodes, main)
	for _, part := range []struct {
		name   string
		report bench.Report
	}{
		{"other writes", write},
		{"watch delivery", watch},
		{"LIST in pages", r.pages.report()},
		{"LIST by RangeStream", r.stream.report()},
		{"consistent read", r.read.report()},
	} {
		if failed := part.report.Failed + part.report.Unknown; failed > 0 {
			s.note("%s: %s: %d failed, first: %s", name, part.name, failed, part.report.FirstError)
		}
		if part.report.Done > 0 {
			s.add(side, part.name+suffix, result.Open, r.Nodes, part.report.Run())
		}
	}
	return v
}

// kubeDrain is how long events may come after the last answer.
const kubeDrain = 5 * time.Second

// measure runs the step, and returns its values, the missed events, and why the killed member was not replaced.
func (r *kubeRun) measure(
	ctx context.Context, c bench.Cluster,
) (values map[string]float64, missed int64, replaced, err error) {
	following, stop := context.WithCancel(ctx)
	defer stop()
	r.begun = time.Now()
	stopFollowing, err := r.follow(following)
	if err != nil {
		return nil, 0, nil, err
	}
	defer stopFollowing()
	looking := bench.Observe(ctx, c)
	written := writtenBytes(c)
	r.begun = time.Now()
	looking.Begin(r.begun)
	for _, m := range []*meter{&r.renewal, &r.write, &r.watch, &r.read, &r.pages, &r.stream, &r.late} {
		m.begun = r.begun
	}
	own := bench.OwnProcessor()
	r.do(ctx, func(ctx context.Context) { replaced = replaceMember(ctx, c) })
	took := time.Since(r.begun).Seconds()
	missed = r.deliveries.await(ctx, kubeDrain)
	var run result.Run
	looking.End(&run)
	if values = run.Values; values == nil {
		values = map[string]float64{}
	}
	values["generator_processors"] = (bench.OwnProcessor() - own) / took
	values["generator_memory_bytes"] = float64(ownMemory())
	values["conflicts"] = float64(r.conflicts.Load())
	if looking != nil && looking.Took > 0 {
		values["server_cpu_per_node_seconds"] = looking.Servers / looking.Took.Seconds() / float64(r.Nodes)
		values["largest_member_memory_bytes"] = looking.Resident
	}
	if after := writtenBytes(c); written > 0 && !r.Kill { // a replaced member's counter starts anew
		values["written_bytes"] = float64(after - written)
	}
	return values, missed, replaced, ctx.Err()
}

// replaceMember kills the leader, and replaces it.
func replaceMember(ctx context.Context, c bench.Cluster) error {
	p, can := c.(replacer)
	if !can {
		return bench.ErrNotPossible
	}
	if err := c.KillLeader(ctx); err != nil {
		return err
	}
	return p.Replace(ctx)
}

// writtenBytes returns how many bytes the members' processes have sent to disks; 0 if that is unknown.
func writtenBytes(c bench.Cluster) (all int64) {
	w, can := c.(Written)
	if !can {
		return 0
	}
	for _, pid := range w.Pids() {
		all += procNumber(fmt.Sprintf("/proc/%d/io", pid), "write_bytes: ")
	}
	return all
}

// ownMemory returns this process's largest resident memory in bytes.
func ownMemory() int64 { return procNumber("/proc/self/status", "VmHWM:") << 10 }

// procNumber returns the number after a name at the beginning of a line; 0 if there is none.
func procNumber(file, name string) (n int64) {
	text, _ := os.ReadFile(file)
	for line := range bytes.Lines(text) {
		if rest, is := bytes.CutPrefix(line, []byte(name)); is {
			_, _ = fmt.Sscan(string(rest), &n)
		}
	}
	return n
}
