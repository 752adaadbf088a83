//go:build linux

package cli

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"qkv/bench"
	"qkv/bench/result"
	"qkv/cli/local"
)

func benchFailoverCommand() *cli.Command {
	return &cli.Command{
		Name: "failover", Usage: "measure for how long no put is acknowledged when members fail",
		Description: "Starts three members, and with --etcd three of etcd " + etcdVersion + ". Clients put every 5 ms, one that " +
			"begins at the leader and one that begins at a follower, by each protocol. The write gap is the longest time between " +
			"two acknowledged puts of a client around the failure. Each failure happens --tries times, in turns on both sides: the " +
			"leader is killed, stopped, or its host is lost; only its outgoing or only its incoming packets are lost; all members " +
			"restart one after the other; the leadership moves. As root each member has a network of its own. Otherwise members " +
			"are on loopback, and lost hosts and packets are reported as not measured.\n\n" +
			"With --endpoints, which neither a variable nor a file replaces here, the leadership of that cluster moves --tries times. " +
			"With --watch TIME as well nothing is done to it: each gap of 50 ms or more is reported. The keys of the benchmark are " +
			"removed in the end.",
		Flags: slices.Concat([]cli.Flag{
			&cli.StringFlag{Name: "data-dir", EnvVars: []string{"QKV_BENCH_FAILOVER_DATA_DIR"}, Value: ".", Usage: "`DIR` on the disk for all members' data; temporary folders are created in it"},
			&cli.StringFlag{Name: "etcd", EnvVars: []string{"QKV_BENCH_FAILOVER_ETCD"}, Usage: "`FILE` that is etcd's binary, to measure beside; the word build has it built from its module"},
			&cli.IntFlag{Name: "tries", EnvVars: []string{"QKV_BENCH_FAILOVER_TRIES"}, Value: 10, Usage: "`N` times each failure"},
			&cli.StringSliceFlag{Name: "failure", EnvVars: []string{"QKV_BENCH_FAILOVER_FAILURE"}, Usage: "`NAME` of a failure to measure, without the others: " + strings.Join(failureNames(), ", ")},
			&cli.DurationFlag{Name: "watch", EnvVars: []string{"QKV_BENCH_FAILOVER_WATCH"}, Usage: "with --endpoints, only watch for this `TIME`", Action: positive("watch")},
			&cli.IntFlag{Name: "port", EnvVars: []string{"QKV_BENCH_FAILOVER_PORT"}, Value: 2679, Usage: "first of twelve `PORT`s in a row, for members of its own on loopback"},
		}, benchFlags(clientFlags()), resultFlags()),
		Action: func(c *cli.Context) error {
			return interruptible(c, func(ctx context.Context) error { return benchFailover(ctx, c) })
		},
	}
}

func failureNames() (names []string) {
	for _, f := range bench.Failures() {
		names = append(names, f.Name)
	}
	return names
}

// checkFailover refuses unusable flags before anything is started, and returns the failures to measure.
func checkFailover(c *cli.Context) ([]bench.Failure, error) {
	running := len(c.StringSlice("endpoints")) > 0
	if n := c.Int("tries"); n < 1 {
		return nil, usagef("--tries %d: at least one is needed", n)
	}
	if p := c.Int("port"); p < 1 || p > 65535-4*demoMembers {
		return nil, usagef("--port %d must be 1 to %d", p, 65535-4*demoMembers)
	}
	if c.Duration("watch") > 0 && !running {
		return nil, usagef("--watch needs --endpoints: a cluster that runs")
	}
	wanted := c.StringSlice("failure")
	for _, name := range wanted {
		if !slices.Contains(failureNames(), name) {
			return nil, usagef("--failure %q is unknown: %s", name, strings.Join(failureNames(), ", "))
		}
		if running && name != bench.LeaderMoved.Name {
			return nil, usagef("--failure %q: at --endpoints only %q is possible: this command does not start those members",
				name, bench.LeaderMoved.Name)
		}
	}
	if running {
		return []bench.Failure{bench.LeaderMoved}, nil
	}
	return slices.DeleteFunc(bench.Failures(), func(f bench.Failure) bool {
		return len(wanted) > 0 && !slices.Contains(wanted, f.Name)
	}), nil
}

func benchFailover(ctx context.Context, c *cli.Context) error {
	failures, err := checkFailover(c)
	if err != nil {
		return err
	}
	f := &bench.Failover{Failures: failures, Tries: c.Int("tries"), Prefix: fmt.Sprintf("qkv-bench/%016x/", rand.Uint64())}
	if len(c.StringSlice("endpoints")) > 0 {
		return failoverOfRunning(ctx, c, f)
	}
	var network *benchNetwork
	var notes []string
	reason := noNetworks()
	switch {
	case os.Getenv(benchApart) != "":
		if network, err = newBenchNetwork(); err != nil {
			return fmt.Errorf("bench: %w", err)
		}
	case reason == "":
		if c.String("etcd") == etcdBuilt { // there is no way to the module proxy from there
			if _, _, err := etcdProgram(ctx, c); err != nil {
				return err
			}
		}
		return runApart(ctx)
	default:
		f.Failures = slices.DeleteFunc(f.Failures, func(one bench.Failure) bool {
			if one.Network {
				notes = append(notes, fmt.Sprintf("NOT MEASURED: %s: it %s", one.Name, reason))
			}
			return one.Network
		})
	}
	return failoverOfOwn(ctx, c, f, network, notes)
}

// failoverOfOwn measures members that it starts.
func failoverOfOwn(ctx context.Context, c *cli.Context, f *bench.Failover, network *benchNetwork, notes []string) error {
	dir := c.String("data-dir")
	file, err := newResult(c, "run", []sideDir{{"qkv", dir}})
	if err != nil {
		return err
	}
	device := file.Sides[0].Device
	file.Sides = []result.Side{{Name: "qkv by etcd's API", Device: device}, {Name: "qkv", Device: device}}
	file.Notes = append(file.Notes, notes...)
	own := memberSide{describe: file.Sides[1], dir: dir, port: c.Int("port"), network: network}
	f.Sides = []bench.FailoverSide{{Name: "qkv", Start: startsToFail(&own)}}
	if c.String("etcd") != "" {
		binary, version, err := etcdProgram(ctx, c)
		if err != nil {
			return err
		}
		file.Sides = slices.Insert(file.Sides, 0, result.Side{Name: "etcd", Device: device})
		file.Notes = append(file.Notes, version+", with its defaults, but for a quota of 8 GiB")
		etcd := etcdSide{file.Sides[0], dir, binary, c.Int("port") + 2*demoMembers, network}
		f.Sides = append(f.Sides, bench.FailoverSide{Name: "etcd", Start: startsToFail(&etcd)})
	}
	file.Notes = append(file.Notes, "Clients by etcd's API have one gRPC connection, with keepalives of etcdctl (2 s and 6 s). They try the "+
		"members in turn, and repeat no put.")
	bar := newSlowProgress(c.App.ErrWriter, "tries", f.Tries*len(f.Failures)*len(f.Sides))
	f.Progress = func(what string) { bar.describe(what); bar.add(1) }
	rows, said, err := f.Run(ctx)
	bar.end()
	file.Rows, file.Notes = rows, slices.Concat(file.Notes, said)
	return finishResult(c, file, err)
}

// startsToFail starts the clusters of a side.
func startsToFail(s bench.Side) func(context.Context, int) (bench.FailoverCluster, error) {
	return func(ctx context.Context, members int) (bench.FailoverCluster, error) {
		c, err := s.Start(ctx, members)
		if err != nil {
			return nil, err
		}
		return c.(bench.FailoverCluster), nil
	}
}

// around returns a list that begins at a number, counted around.
func around[T any](all []T, first int) []T {
	first %= len(all)
	return slices.Concat(all[first:], all[:first])
}

// nativeClient connects by qkv's own protocol.
func nativeClient(ctx context.Context, t target, first int) (bench.FailoverClient, error) {
	t.inOrder, t.endpoints = true, around(t.endpoints, first)
	one, err := t.open(ctx)
	if err != nil {
		return bench.FailoverClient{}, err
	}
	put := func(ctx context.Context, key, value []byte) error { _, err := one.Put(ctx, key, value); return err }
	return bench.FailoverClient{Side: "qkv", Put: put, Close: one.Close}, nil
}

// etcdClient connects by etcd's API.
func etcdClient(side string, addresses []string, first int) (bench.FailoverClient, error) {
	one, err := bench.EtcdInOrder(around(addresses, first))
	if err != nil {
		return bench.FailoverClient{}, err
	}
	return bench.FailoverClient{Side: side, Put: one.Put, Close: one.Close}, nil
}

// Healthy implements bench.FailoverCluster.
func (c *memberCluster) Healthy(ctx context.Context) (int, error) {
	all, err := c.healthy(ctx)
	if err != nil {
		return 0, fmt.Errorf("%w\n%s", err, c.said)
	}
	return slices.IndexFunc(c.members, func(m *process) bool { return m.Name == leaderOf(all).Name }), nil
}

// Clients implements bench.FailoverCluster.
func (c *memberCluster) Clients(ctx context.Context, first int) ([]bench.FailoverClient, error) {
	native, err := nativeClient(ctx, c.target(), first)
	if err != nil {
		return nil, err
	}
	api, err := etcdClient("qkv by etcd's API", c.endpoints(), first)
	return []bench.FailoverClient{native, api}, err
}

// Signal implements bench.FailoverCluster.
func (c *memberCluster) Signal(member int, s syscall.Signal) error {
	return signalMember(&c.members[member].Process, s)
}

// signalMember sends a signal, and waits for the end of the process if the signal ends it.
func signalMember(m *local.Process, s syscall.Signal) error {
	m.Signal(s)
	if s == syscall.SIGKILL || s == syscall.SIGTERM {
		m.Await(stopTime)
	}
	return nil
}

// Start implements bench.FailoverCluster.
func (c *memberCluster) Start(member int) error { return c.members[member].Start() }

// Cut implements bench.FailoverCluster.
func (c *memberCluster) Cut(member int, outgoing, incoming bool) error {
	var places []place
	for _, m := range c.members {
		places = append(places, m.place)
	}
	return c.network.cut(places, member, outgoing, incoming)
}

// Move implements bench.FailoverCluster. The leader chooses the member that is most up to date.
func (c *memberCluster) Move(ctx context.Context, _, _ int) error { return c.target().moveLeader(ctx) }

// moveLeader has the leader hand over to another member.
func (t target) moveLeader(ctx context.Context) error {
	one, err := t.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = one.Close() }()
	return one.Admin().MoveLeader(ctx, 0)
}

// Healthy implements bench.FailoverCluster.
func (c *etcds) Healthy(ctx context.Context) (leader int, err error) {
	err = until(ctx, func() error {
		if err := c.Ended(); err != nil {
			return err
		}
		ids, leads, applied, err := c.positions(ctx)
		if err == nil {
			leader = slices.Index(ids, leads[0])
			for i := range ids {
				if leader < 0 || leads[i] != leads[0] || applied[i] != applied[0] {
					err = fmt.Errorf("etcd's members do not agree: leaders %x, applied %d", leads, applied)
				}
			}
		}
		return err
	})
	return leader, err
}

// positions asks each member of etcd for its id, its leader, and its applied index.
func (c *etcds) positions(ctx context.Context) (ids, leads, applied []uint64, err error) {
	for _, a := range c.addresses {
		one, err := dialWhenReady(ctx, a, 1, c.Ended)
		if err != nil {
			return nil, nil, nil, err
		}
		id, leader, at, err := one[0].Position(ctx)
		_ = one[0].Close()
		if err != nil {
			return nil, nil, nil, err
		}
		ids, leads, applied = append(ids, id), append(leads, leader), append(applied, at)
	}
	return ids, leads, applied, nil
}

// Clients implements bench.FailoverCluster.
func (c *etcds) Clients(_ context.Context, first int) ([]bench.FailoverClient, error) {
	one, err := etcdClient("etcd", c.addresses, first)
	return []bench.FailoverClient{one}, err
}

// Signal implements bench.FailoverCluster.
func (c *etcds) Signal(member int, s syscall.Signal) error {
	return signalMember(&c.members[member].Process, s)
}

// Start implements bench.FailoverCluster.
func (c *etcds) Start(member int) error { return c.members[member].Start() }

// Cut implements bench.FailoverCluster.
func (c *etcds) Cut(member int, outgoing, incoming bool) error {
	return c.network.cut(c.places, member, outgoing, incoming)
}

// Move implements bench.FailoverCluster.
func (c *etcds) Move(ctx context.Context, from, to int) error {
	ids, _, _, err := c.positions(ctx)
	if err != nil {
		return err
	}
	one, err := dialWhenReady(ctx, c.addresses[from], 1, c.Ended)
	if err != nil {
		return err
	}
	defer func() { _ = one[0].Close() }()
	return one[0].MoveLeader(ctx, around(ids, to)[0])
}

// runningMembers are a cluster that this command has not started.
type runningMembers struct{ target }

// failoverOfRunning moves the leadership of a cluster that runs, or only watches it.
func failoverOfRunning(ctx context.Context, c *cli.Context, f *bench.Failover) error {
	t, err := targetOf(c)
	if err != nil {
		return err
	}
	t.timeout = max(t.timeout, localWait) // a stall must be measured
	file, err := newResult(c, "run", nil)
	if err != nil {
		return err
	}
	file.Sides = []result.Side{{Name: "qkv", Target: strings.Join(t.endpoints, ",")}}
	cluster := &runningMembers{t}
	if most := c.Duration("watch"); most > 0 {
		within, cancel := context.WithTimeout(ctx, most)
		defer cancel()
		file.Rows, err = f.WatchGaps(within, cluster, func(at time.Time, gap time.Duration) {
			when := at.UTC().Format("2006-01-02T15:04:05.000Z")
			fmt.Fprintf(c.App.ErrWriter, "%s no put was acknowledged for %v\n", when, gap.Round(time.Millisecond))
		})
	} else {
		bar := newSlowProgress(c.App.ErrWriter, "tries", f.Tries)
		f.Progress = func(what string) { bar.describe(what); bar.add(1) }
		start := func(context.Context, int) (bench.FailoverCluster, error) { return cluster, nil }
		f.Sides = []bench.FailoverSide{{Name: "qkv", Start: start}}
		var said []string
		file.Rows, said, err = f.Run(ctx)
		bar.end()
		file.Notes = append(file.Notes, said...)
	}
	return errors.Join(finishResult(c, file, err), cluster.remove(f.Prefix))
}

// remove removes the keys of the benchmark.
func (r *runningMembers) remove(prefix string) error {
	ctx, cancel := context.WithTimeout(context.Background(), localWait)
	defer cancel()
	one, err := r.open(ctx)
	if err == nil {
		_, err = one.DeleteRange(ctx, []byte(prefix), []byte(strings.TrimSuffix(prefix, "/")+"0"))
		err = errors.Join(err, one.Close())
	}
	if err != nil {
		return fmt.Errorf("the keys %s... are left: %w", prefix, err)
	}
	return nil
}

// Healthy implements bench.FailoverCluster. The members that answer are numbered in the order of their answers.
func (r *runningMembers) Healthy(ctx context.Context) (int, error) {
	all, err := r.status(ctx)
	if err != nil {
		return 0, err
	}
	all = slices.DeleteFunc(all, func(m memberStatus) bool { return !m.Answers || len(m.Clients) == 0 })
	r.endpoints = nil
	for _, m := range all {
		r.endpoints = append(r.endpoints, m.Clients[0])
	}
	leader := slices.IndexFunc(all, func(m memberStatus) bool { return m.State == "leader" })
	if leader < 0 {
		return 0, errors.New("no member that answers leads")
	}
	return leader, nil
}

// Clients implements bench.FailoverCluster.
func (r *runningMembers) Clients(ctx context.Context, first int) ([]bench.FailoverClient, error) {
	one, err := nativeClient(ctx, r.target, first)
	return []bench.FailoverClient{one}, err
}

// Move implements bench.FailoverCluster.
func (r *runningMembers) Move(ctx context.Context, _, _ int) error { return r.moveLeader(ctx) }

// Signal implements bench.FailoverCluster: these members belong to another owner.
func (r *runningMembers) Signal(int, syscall.Signal) error { return bench.ErrNotPossible }

// Start implements bench.FailoverCluster.
func (r *runningMembers) Start(int) error { return bench.ErrNotPossible }

// Cut implements bench.FailoverCluster.
func (r *runningMembers) Cut(int, bool, bool) error { return bench.ErrNotPossible }

// Stop implements bench.FailoverCluster: the members go on.
func (r *runningMembers) Stop() error { return nil }
