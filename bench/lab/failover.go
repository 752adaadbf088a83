package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"qkv/bench"
	"qkv/bench/result"
	"qkv/net/client"
)

// FailoverCluster is a cluster whose members can be made to fail. Members are counted from 0 on and around: after
// the last comes the first.
type FailoverCluster interface {
	// Healthy returns the leader when all members run, follow it, and have applied the same.
	Healthy(ctx context.Context) (leader int, err error)
	// Clients connects clients that begin at a member and know all others.
	Clients(ctx context.Context, first int) ([]FailoverClient, error)
	// Signal sends a signal to a member. After SIGKILL and SIGTERM it returns when the member has ended.
	Signal(member int, s syscall.Signal) error
	// Start starts a member that has ended.
	Start(member int) error
	// Cut drops the outgoing and the incoming packets of a member's host without an answer; neither: it drops none any
	// more.
	Cut(member int, outgoing, incoming bool) error
	// Move hands the leadership over to a member.
	Move(ctx context.Context, from, to int) error
	Stop() error
}

// FailoverSide starts clusters for [Failover].
type FailoverSide struct {
	Name  string
	Start func(ctx context.Context, members int) (FailoverCluster, error)
}

// FailoverClient is a client by one of the protocols of a cluster. Each protocol is a side of the result.
type FailoverClient struct {
	Side  string
	Put   func(ctx context.Context, key, value []byte) error
	Close func() error
}

// Failure is one way in which members fail, and its end.
type Failure struct {
	Name    string
	Network bool // the members need networks of their own
	cause   func(ctx context.Context, c FailoverCluster, leader int) error
	undo    func(c FailoverCluster, leader int) error
}

// nativeClient is a client by qkv's own protocol.
func nativeClient(one *client.Client) FailoverClient {
	put := func(ctx context.Context, key, value []byte) error { _, err := one.Put(ctx, key, value); return err }
	return FailoverClient{Side: "qkv", Put: put, Close: one.Close}
}

// etcdClient is a client by etcd's API, that begins at the first address.
func etcdClient(side string, addresses []string) (FailoverClient, error) {
	one, err := dial(addresses, patient)
	if err != nil {
		return FailoverClient{}, err
	}
	put := func(ctx context.Context, key, value []byte) error {
		_, err := etcdserverpb.NewKVClient(one).Put(ctx, &etcdserverpb.PutRequest{Key: key, Value: value})
		return err
	}
	return FailoverClient{Side: side, Put: put, Close: one.Close}, nil
}

// failoverMembers is the number of members of each cluster.
const failoverMembers = 3

// Failures are all failures that are measured, in order.
func Failures() []Failure {
	signal := func(s syscall.Signal) func(context.Context, FailoverCluster, int) error {
		return func(_ context.Context, c FailoverCluster, leader int) error { return c.Signal(leader, s) }
	}
	cut := func(outgoing, incoming bool) func(context.Context, FailoverCluster, int) error {
		return func(_ context.Context, c FailoverCluster, leader int) error { return c.Cut(leader, outgoing, incoming) }
	}
	resume := func(c FailoverCluster, leader int) error { return c.Signal(leader, syscall.SIGCONT) }
	heal := func(c FailoverCluster, leader int) error { return c.Cut(leader, false, false) }
	move := func(ctx context.Context, c FailoverCluster, leader int) error { return c.Move(ctx, leader, leader+1) }
	return []Failure{
		{"leader killed", false, signal(syscall.SIGKILL), FailoverCluster.Start},
		{"leader stopped", false, signal(syscall.SIGSTOP), resume},
		{"leader's host lost", true, cut(true, true), heal},
		{"leader's outgoing packets lost", true, cut(true, false), heal},
		{"leader's incoming packets lost", true, cut(false, true), heal},
		{"rolling restart", false, rollingRestart, nil},
		{"leadership moved", false, move, nil},
	}
}

// rollingRestart restarts one member after the other. The next one waits until the last has been up for failoverRest.
func rollingRestart(ctx context.Context, c FailoverCluster, _ int) error {
	for member := range failoverMembers {
		err := errors.Join(c.Signal(member, syscall.SIGTERM), c.Start(member), bench.Pause(ctx, failoverRest))
		if err != nil {
			return err
		}
	}
	return nil
}

const (
	failoverEvery    = 5 * time.Millisecond // between the puts of a client: the resolution of a gap
	failoverDeadline = 2 * time.Second      // of each put
	failoverRest     = 3 * time.Second      // of puts before a failure, after it, and after its end
	failoverMost     = 30 * time.Second     // for writes to go on; a gap that has not ended counts up to then
	failoverKeys     = 1000                 // keys of a client
	failoverBytes    = 256                  // of a value
)

// Failover measures for how long no put is acknowledged while members fail.
type Failover struct {
	Sides    []FailoverSide
	Failures []Failure
	Tries    int
	Prefix   string
	Progress func(what string)

	rest  time.Duration // failoverRest
	late  time.Duration // the longest delay of a put by this process
	rows  []result.Row
	notes []string
}

// Run causes each failure so often on each side, in turns. After an error it returns the results so far, too.
func (f *Failover) Run(ctx context.Context) (rows []result.Row, notes []string, err error) {
	clusters := make([]FailoverCluster, len(f.Sides))
	defer func() {
		for _, c := range clusters {
			if c != nil {
				err = errors.Join(err, c.Stop())
			}
		}
	}()
	for i, s := range f.Sides {
		if clusters[i], err = s.Start(ctx, failoverMembers); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	f.rest = cmp.Or(f.rest, failoverRest)
	defer func() {
		notes = append(f.notes, fmt.Sprintf("The clients sent no put more than %s late.", round(f.late)))
	}()
	for n := range f.Tries {
		for _, failure := range f.Failures {
			order := []int{0, 1}[:len(f.Sides)]
			if n%2 == 1 {
				slices.Reverse(order)
			}
			for _, i := range order {
				f.Progress(fmt.Sprintf("%s: %s", f.Sides[i].Name, failure.Name))
				if err := f.try(ctx, clusters[i], failure); err != nil {
					return f.rows, nil, fmt.Errorf("%s: %s, try %d: %w", f.Sides[i].Name, failure.Name, n+1, err)
				}
			}
		}
	}
	return f.rows, nil, nil
}

// gapProbe is one client that puts in an open loop, and the times of its acknowledgements.
type gapProbe struct {
	FailoverClient
	at     string // the member at which it begins
	prefix string

	mu     sync.Mutex
	acks   []time.Time
	newest time.Time     // when the newest acknowledged put was sent
	late   time.Duration // the longest delay of a put
	run    result.Run    // failures
}

// clientAt is the parameter of a row that names the member at which its client begins.
const clientAt = "client at"

// failoverClients are the members at which clients begin, counted from the leader on.
var failoverClients = []string{"the leader", "a follower"}

// probes connects the clients of one try, and starts their puts. stop ends them.
func (f *Failover) probes(
	ctx context.Context, c FailoverCluster, leader int,
) (all []*gapProbe, stop func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		for _, p := range all {
			_ = p.Close()
		}
	})
	for i, at := range failoverClients {
		clients, err := c.Clients(ctx, leader+i)
		if err != nil {
			stop()
			return nil, nil, err
		}
		for _, one := range clients {
			all = append(all, &gapProbe{FailoverClient: one, at: at, prefix: fmt.Sprintf("%s%d/", f.Prefix, len(all))})
		}
	}
	for _, p := range all {
		running.Go(func() { p.puts(ctx) })
	}
	return all, stop, nil
}

// puts puts until ctx ends.
func (p *gapProbe) puts(ctx context.Context) {
	var inFlight sync.WaitGroup
	value := make([]byte, failoverBytes)
	begun := time.Now()
	for n := 0; ; n++ {
		due := begun.Add(time.Duration(n) * failoverEvery)
		bench.SleepUntil(ctx, due)
		if ctx.Err() != nil {
			break
		}
		p.mu.Lock()
		p.late = max(p.late, time.Since(due))
		p.mu.Unlock()
		inFlight.Go(func() {
			sent := time.Now()
			within, cancel := context.WithTimeout(ctx, failoverDeadline)
			defer cancel()
			if err := p.Put(within, keyOf(p.prefix, n%failoverKeys), value); ctx.Err() == nil {
				p.note(sent, err)
			}
		})
	}
	inFlight.Wait()
}

// note records the end of a put.
func (p *gapProbe) note(sent time.Time, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err == nil:
		p.acks = append(p.acks, time.Now())
		if sent.After(p.newest) {
			p.newest = sent
		}
		p.run.Count++
		return
	case errors.Is(err, client.ErrOutcomeUnknown), errors.Is(err, context.DeadlineExceeded),
		status.Code(err) == codes.DeadlineExceeded:
		p.run.Unknown++
	default:
		p.run.Failed++
	}
	if p.run.FirstError == "" {
		p.run.FirstError = err.Error()
	}
}

// gap is the longest time between two acknowledgements of which the later one came after from. If none came up to to,
// it counts up to then.
func (p *gapProbe) gap(from, to time.Time) (longest time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := from
	for _, at := range p.acks {
		if at.After(to) {
			break
		}
		if at.After(from) {
			longest = max(longest, at.Sub(before))
		}
		before = at
	}
	return max(longest, to.Sub(before))
}

// goOn returns when each client has an acknowledgement of a put that was sent some time after a moment, and false if it
// has waited too long.
func (f *Failover) goOn(ctx context.Context, probes []*gapProbe, since time.Time) bool {
	since = since.Add(f.rest)
	ctx, cancel := context.WithTimeout(ctx, failoverMost)
	defer cancel()
	for _, p := range probes {
		for again := func() bool { p.mu.Lock(); defer p.mu.Unlock(); return p.newest.After(since) }; !again(); {
			if bench.Pause(ctx, failoverEvery) != nil {
				return false
			}
		}
	}
	return true
}

// try causes a failure once, and adds a run for each client.
func (f *Failover) try(ctx context.Context, c FailoverCluster, failure Failure) error {
	leader, err := c.Healthy(ctx)
	if err != nil {
		return err
	}
	probes, stop, err := f.probes(ctx, c, leader)
	if err != nil {
		return err
	}
	defer stop()
	if !f.goOn(ctx, probes, time.Now()) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("not all clients had a put acknowledged within %v before the failure; the first error: %s",
			failoverMost, firstError(probes))
	}
	begun := time.Now()
	err = failure.cause(ctx, c, leader)
	ended := err != nil || f.goOn(ctx, probes, time.Now())
	undone := time.Now()
	if failure.undo != nil {
		err = errors.Join(err, failure.undo(c, leader))
		ended = err == nil && f.goOn(ctx, probes, time.Now()) && ended
	}
	if err = errors.Join(err, context.Cause(ctx)); err != nil {
		return err
	}
	over := time.Now()
	stop()
	if !ended {
		f.notes = append(f.notes, fmt.Sprintf("%s: a gap did not end within %v", failure.Name, failoverMost))
	}
	for _, p := range probes {
		f.late = max(f.late, p.late)
		run := p.run
		run.Begun, run.Seconds = begun.UTC(), over.Sub(begun).Seconds()
		run.Values = map[string]float64{result.WriteGap: p.gap(begun, undone).Seconds()}
		if failure.undo != nil {
			run.Values["gap_at_the_return_seconds"] = p.gap(undone, over).Seconds()
		}
		f.add(p.Side, failure.Name, p.at, run)
	}
	return nil
}

// firstError is the first error that a client got; empty: there was none.
func firstError(probes []*gapProbe) (text string) {
	for _, p := range probes {
		p.mu.Lock()
		text = cmp.Or(text, p.run.FirstError)
		p.mu.Unlock()
	}
	return text
}

// add adds a run to its row.
func (f *Failover) add(side, name, at string, run result.Run) {
	i := slices.IndexFunc(f.rows, func(r result.Row) bool {
		return r.Side == side && r.Name == name && r.Parameters[clientAt] == at
	})
	if i < 0 {
		row := result.Row{Side: side, Name: name, Mode: result.Event, Parameters: map[string]string{clientAt: at}}
		i, f.rows = len(f.rows), append(f.rows, row)
	}
	f.rows[i].Runs = append(f.rows[i].Runs, run)
}

// watchedGap is the length from which WatchGaps reports a gap.
const watchedGap = 50 * time.Millisecond

// WatchGaps puts by a client until ctx ends, and reports each time of watchedGap or more without an acknowledgement,
// when it has ended. The row has a run for each, or one for the longest shorter one.
func (f *Failover) WatchGaps(
	ctx context.Context, one FailoverClient, said func(at time.Time, gap time.Duration),
) []result.Row {
	p := &gapProbe{FailoverClient: one, prefix: f.Prefix}
	begun := time.Now()
	over := make(chan struct{})
	go func() { defer close(over); p.puts(ctx) }()
	row := result.Row{Side: p.Side, Name: "watched", Mode: result.Event}
	longest, from := time.Duration(0), begun
	look := func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, at := range p.acks {
			gap := at.Sub(from)
			longest = max(longest, gap)
			if gap >= watchedGap {
				said(from, gap)
				row.Runs = append(row.Runs, gapRun(from, gap))
			}
			from = at
		}
		p.acks = p.acks[:0]
	}
	for bench.Pause(ctx, failoverRest) == nil {
		look()
	}
	<-over
	look()
	if open := time.Since(from); open >= watchedGap {
		said(from, open)
		row.Runs = append(row.Runs, gapRun(from, open))
	}
	if len(row.Runs) == 0 {
		row.Runs = []result.Run{gapRun(begun, longest)}
	}
	first := row.Runs[0]
	p.run.Begun, p.run.Seconds, p.run.Values = first.Begun, first.Seconds, first.Values
	row.Runs[0] = p.run // it has the puts of the whole watch
	return []result.Row{row}
}

func gapRun(at time.Time, gap time.Duration) result.Run {
	values := map[string]float64{result.WriteGap: gap.Seconds()}
	return result.Run{Begun: at.UTC(), Seconds: gap.Seconds(), Values: values}
}
