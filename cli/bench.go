//go:build linux

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"qkv/bench"
	"qkv/internal/limits"
	"qkv/net/client"
)

func benchCommand() *cli.Command {
	return &cli.Command{
		Name: "bench", Category: "program", Usage: "measure disks, members and clusters",
		Description: "`qkv bench disk` measures a disk as a log uses it. `qkv bench run` measures clients' requests to members on one or " +
			"several disks, in turns. `qkv bench vs-etcd` compares qkv with etcd, and `qkv bench kube` by the load of Kubernetes. `qkv bench failover` measures failures of members. `qkv bench quick` takes a minute. Results are " +
			"saved as JSON (-o); `qkv bench report` makes tables and pages of them, and `qkv bench gate` fails when a result is " +
			"worse than a baseline.",
		Subcommands: []*cli.Command{benchQuickCommand(), benchDiskCommand(), benchRunCommand(), benchVsEtcdCommand(), benchKubeCommand(), benchFailoverCommand(), benchReportCommand(), benchGateCommand(), benchMemberCommand()},
	}
}

func benchQuickCommand() *cli.Command {
	return &cli.Command{
		Name: "quick", Usage: "measure puts and gets, in a minute",
		Description: "Without --endpoints: starts members of its own on loopback, first one, then three, and measures for comparison the " +
			"limits of this machine: fdatasync back to back and after a pause (as between the puts of a single client), and a bare " +
			"QUIC echo. With --endpoints, which neither a variable nor a file replaces here: loads that cluster, under keys of its " +
			"own, and removes these keys. Compare only figures of the same run. Each load keeps a fixed number of requests in " +
			"flight: the next request begins when one ends.",
		Flags: benchFlags(clientFlags(
			&cli.IntFlag{Name: "in-flight", EnvVars: []string{"QKV_BENCH_IN_FLIGHT"}, Value: 1000, Usage: "`N` requests at a time"},
			sizeFlag("value-bytes", "QKV_BENCH_VALUE_BYTES", 256, "256B", "`SIZE` of a value"),
			&cli.IntFlag{Name: "keys", EnvVars: []string{"QKV_BENCH_KEYS"}, Value: 100_000, Usage: "`N` different keys"},
			&cli.IntFlag{Name: "clients", EnvVars: []string{"QKV_BENCH_CLIENTS"}, Value: 2, Usage: "`N` connections that share the requests"},
			&cli.DurationFlag{Name: "duration", EnvVars: []string{"QKV_BENCH_DURATION"}, Value: 5 * time.Second, Usage: "`TIME` of each load", Action: positive("duration")},
			&cli.DurationFlag{Name: "warm-up", EnvVars: []string{"QKV_BENCH_WARM_UP"}, Value: 5 * time.Second, Usage: "`TIME` of each load before the measurement, in which members allocate memory and files; a single caller needs a second at most"},
			&cli.StringFlag{Name: "data-dir", EnvVars: []string{"QKV_BENCH_DATA_DIR"}, Value: ".", Usage: "`DIR` on the disk to measure; a temporary folder is created in it"},
			&cli.IntFlag{Name: "memory-keys", EnvVars: []string{"QKV_BENCH_MEMORY_KEYS"}, Value: 1_000_000, Usage: "`N` keys to measure memory and restart with; 0 skips that"},
			&cli.BoolFlag{Name: "check", EnvVars: []string{"QKV_BENCH_CHECK"}, Usage: "fail when one of qkv's goals for two cores is missed"},
			&cli.IntFlag{Name: "port", EnvVars: []string{"QKV_BENCH_PORT"}, Value: 2479, Usage: "first of six UDP `PORT`s in a row, for members of its own"},
		)),
		Action: runBench,
	}
}

// benchFlags adapts the help of two shared flags to the benchmark. A profile must not receive a benchmark's load by accident.
func benchFlags(flags []cli.Flag) []cli.Flag {
	for _, f := range flags {
		switch f := f.(type) {
		case *cli.StringSliceFlag:
			f.Usage, f.EnvVars = "`HOST:PORT,...` of a cluster to load (default: members of its own)", nil
		case *cli.DurationFlag:
			if f.Name == "timeout" {
				f.Usage = "how long to wait for a request: `TIME`"
			}
		}
	}
	return slices.DeleteFunc(flags, func(f cli.Flag) bool { return f.Names()[0] == "profile" })
}

func runBench(c *cli.Context) error {
	if err := checkQuick(c); err != nil {
		return err
	}
	return interruptible(c, func(ctx context.Context) error {
		b := &benchmark{c: c, out: c.App.Writer}
		measure := b.machine
		if len(c.StringSlice("endpoints")) > 0 {
			measure = b.cluster
		}
		err := measure(ctx)
		if err != nil && ctx.Err() != nil {
			return fmt.Errorf("bench: %w", context.Cause(ctx))
		}
		return err
	})
}

// checkQuick refuses unusable flags before the measurement begins.
func checkQuick(c *cli.Context) error {
	if err := checkLoad(c); err != nil {
		return err
	}
	if n := c.Int("clients"); n < 1 {
		return usagef("--clients %d: at least one is needed", n)
	}
	if n, most := c.Int("in-flight"), c.Int("clients")*limits.RequestsInflight; n > most {
		return usagef("--in-flight %d: %d are possible over %d clients", n, most, c.Int("clients"))
	}
	if n := c.Int("memory-keys"); n < 0 {
		return usagef("--memory-keys %d must not be below zero", n)
	}
	if p := c.Int("port"); p < 1 || p > 65535-2*demoMembers {
		return usagef("--port %d must be 1 to %d", p, 65535-2*demoMembers)
	}
	return nil
}

// checkLoad refuses unusable request sizes and counts.
func checkLoad(c *cli.Context) error {
	for _, name := range []string{"in-flight", "keys"} {
		if n := c.Int(name); n < 1 {
			return usagef("--%s %d: at least one is needed", name, n)
		}
	}
	if n := sizeOf(c, "value-bytes"); n < 1 || n > limits.RequestBytesWritten {
		return usagef("--value-bytes %d: a value has at least 1 byte, and a member takes requests of %d bytes at most", n, limits.RequestBytesWritten)
	}
	return nil
}

// benchmark prints a line for each measurement.
type benchmark struct {
	c      *cli.Context
	out    io.Writer
	echo   float64       // frames a second
	sync   time.Duration // median, of a disk that rests between syncs
	prefix string        // of the keys; empty: the default of package bench

	lone   time.Duration // latency above one fdatasync of a single caller's puts on one member; of the best setup
	missed []string      // missed goals
}

// cluster loads a cluster that other clients may use: it prints which cluster that is, and removes all its keys.
func (b *benchmark) cluster(ctx context.Context) error {
	t, err := targetOf(b.c)
	if err != nil {
		return err
	}
	members, err := t.status(ctx)
	if err != nil {
		return err
	}
	b.prefix = fmt.Sprintf("qkv-bench/%016x/", rand.Uint64())
	fmt.Fprintf(b.out, "cluster %s of %s: %d keys %s... are written, and removed in the end\n",
		members[0].Cluster, strings.Join(memberNames(members), ", "), b.c.Int("keys"), b.prefix)
	err = b.loads(ctx, setup{loads: allLoads}, t)
	return errors.Join(err, b.removeKeys(context.WithoutCancel(ctx), t))
}

// removeKeys deletes the keys of the loads, in batches.
func (b *benchmark) removeKeys(ctx context.Context, t target) error {
	const part = 10_000
	t.timeout = max(t.timeout, localWait)
	s, err := t.open(ctx)
	if err != nil {
		return fmt.Errorf("the keys %s... are left: %w", b.prefix, err)
	}
	defer func() { _ = s.Close() }()
	for first := 0; first < b.c.Int("keys"); first += part {
		if _, err := s.DeleteRange(ctx, bench.Key(b.prefix, first), bench.Key(b.prefix, first+part)); err != nil {
			return fmt.Errorf("some keys %s... are left: %w", b.prefix, err)
		}
	}
	return nil
}

func memberNames(members []memberStatus) (names []string) {
	for _, m := range members {
		names = append(names, m.Name)
	}
	return names
}

// setup is a cluster that the benchmark starts itself.
type setup struct {
	name        string
	members     int
	environment []string // of each member
	loads       []load
}

// load is one load on a cluster.
type load struct {
	name  string
	op    bench.Op
	alone bool // one caller instead of --in-flight requests
}

var (
	loneLoad = load{"puts, one caller", bench.Put, true}
	// The load of a single caller comes first: its disk must be as quiet as in the measurement of the disk.
	allLoads = []load{
		loneLoad, {"puts", bench.Put, false}, {"linearizable gets", bench.Get, false}, {"serializable gets", bench.GetSerializable, false},
	}
	// With several processors, Go wakes idle threads whenever there is work. A single caller waits for those wake-ups. Therefore the
	// first setup shows a member without them.
	setups = []setup{
		{"1 member, GOMAXPROCS=1: ", 1, []string{"GOMAXPROCS=1"}, []load{loneLoad}},
		{"1 member: ", 1, nil, allLoads},
		{"3 members: ", demoMembers, nil, allLoads},
	}
)

// machine measures this machine, then members on it.
func (b *benchmark) machine(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp(b.c.String("data-dir"), "qkv-bench-")
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	busy, err := bench.ProbeDisk(ctx, bench.LogSyncs(dir, 0))
	if err != nil {
		return err
	}
	b.line("", "fdatasync, back to back", busy.String())
	rested, err := bench.ProbeDisk(ctx, bench.LogSyncs(dir, bench.LoneRest))
	if err != nil {
		return err
	}
	b.sync = rested.P50
	b.line("", fmt.Sprintf("fdatasync, after %v", bench.LoneRest), rested.String())
	echo, err := bench.Echo(ctx, bench.EchoConfig{InFlight: b.c.Int("in-flight"), FrameBytes: int(sizeOf(b.c, "value-bytes")) + 24})
	if err != nil {
		return err
	}
	b.echo = echo.Rate
	b.line("", "bare QUIC echo", echo.String())
	for i, s := range setups {
		if err := b.own(ctx, filepath.Join(dir, fmt.Sprint(i)), s); err != nil {
			return err
		}
	}
	b.goal(b.lone <= goalAboveFdatasync, fmt.Sprintf("one caller: %v above one fdatasync, not %v", b.lone, goalAboveFdatasync))
	if err := b.memory(ctx, filepath.Join(dir, "memory")); err != nil {
		return err
	}
	if b.c.Bool("check") && len(b.missed) > 0 {
		return fmt.Errorf("bench: %d goals were missed: %s", len(b.missed), strings.Join(b.missed, "; "))
	}
	return nil
}

// Goals of --check for a machine of two cores. Machines differ and drift: a goal in puts a second is also met by a share of the bare
// QUIC rate of the same run.
const (
	goalPutsOfThree    = 120_000.0
	goalPutsOfOne      = 300_000.0
	goalGetsOfThree    = 300_000.0
	goalShareOfEcho    = 0.15 // for puts of three members
	goalAboveFdatasync = 150 * time.Microsecond
	goalMemoryBytes    = 600 << 20
	goalRestart        = 1500 * time.Millisecond
	goalWorstRestart   = 3800 * time.Millisecond
	// referenceEcho is the bare QUIC rate of the machine for which the rates above were set. On another machine the goals scale in
	// proportion.
	referenceEcho = 800_000.0
)

// goal records a missed goal.
func (b *benchmark) goal(met bool, what string) {
	if !met {
		b.missed = append(b.missed, what)
	}
}

// scaled lowers a goal in proportion on a machine that is slower than the reference machine.
func (b *benchmark) scaled(rate float64) float64 { return rate * min(1, b.echo/referenceEcho) }

// judge compares a load with its goal.
func (b *benchmark) judge(members int, op bench.Op, inFlight int, r bench.Report) {
	switch {
	case b.echo == 0:
	case inFlight == 1 && members == 1:
		if above := r.Latencies.P50 - b.sync; b.lone == 0 || above < b.lone {
			b.lone = above
		}
	case inFlight == 1:
	case members == 1 && op == bench.Put:
		b.goal(r.Rate >= b.scaled(goalPutsOfOne), fmt.Sprintf("1 member: %.0f puts/s, not %.0f", r.Rate, b.scaled(goalPutsOfOne)))
	case members > 1 && op == bench.Put:
		b.goal(r.Rate >= min(goalPutsOfThree, goalShareOfEcho*b.echo), fmt.Sprintf("3 members: %.0f puts/s, not %.0f", r.Rate, min(goalPutsOfThree, goalShareOfEcho*b.echo)))
	case members > 1 && op == bench.Get:
		b.goal(r.Rate >= b.scaled(goalGetsOfThree), fmt.Sprintf("3 members: %.0f gets/s, not %.0f", r.Rate, b.scaled(goalGetsOfThree)))
	}
}

// own measures a cluster that is started for this measurement and stopped after it.
func (b *benchmark) own(ctx context.Context, dir string, s setup) error {
	return b.onMembers(ctx, dir, s, func(l *localCluster) error { return b.loads(ctx, s, l.target()) })
}

// onMembers runs f on a healthy cluster, which it starts and stops.
func (b *benchmark) onMembers(ctx context.Context, dir string, s setup, f func(l *localCluster) error) error {
	messages := &tail{}
	l, err := newLocalCluster("n", s.members, b.c.Int("port"), dir, filepath.Join(dir, "home"), newTerminal(messages))
	if err != nil {
		return err
	}
	for _, m := range l.members {
		m.environment = s.environment
	}
	defer l.stop()
	if err := l.start(); err != nil {
		return err
	}
	if _, err := l.healthy(ctx); err != nil {
		return fmt.Errorf("bench: %w\n%s", err, messages)
	}
	return f(l)
}

// loads runs the loads of a setup, one after the other.
func (b *benchmark) loads(ctx context.Context, s setup, t target) error {
	t.timeout = max(t.timeout, localWait) // a stall must be measured, not reported as an error
	clients, err := b.clients(ctx, t)
	if err != nil {
		return err
	}
	defer func() {
		for _, one := range clients {
			_ = one.Close()
		}
	}()
	for _, l := range s.loads {
		inFlight := b.c.Int("in-flight")
		if l.alone {
			inFlight = 1
		}
		r, err := b.load(ctx, clients, l.op, inFlight)
		if err != nil {
			return err
		}
		b.line(s.name, l.name, r.String()+b.compare(inFlight, r))
		b.judge(s.members, l.op, inFlight, r)
	}
	return nil
}

// load runs one load. With a single caller this process runs on one processor: the threads that Go would wake otherwise would take
// CPU time of the members.
func (b *benchmark) load(ctx context.Context, clients []*client.Client, op bench.Op, inFlight int) (bench.Report, error) {
	warmUp := max(b.c.Duration("warm-up"), 0)
	if inFlight == 1 {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
		warmUp = min(warmUp, time.Second)
	}
	return bench.Load(ctx, bench.Config{
		Stores: bench.Natives(clients), Op: op, InFlight: inFlight, Keys: b.c.Int("keys"), ValueBytes: int(sizeOf(b.c, "value-bytes")),
		Prefix: b.prefix, Duration: b.c.Duration("duration"), WarmUp: warmUp, Seed: 1,
	})
}

// clients returns connections that begin at different members.
func (b *benchmark) clients(ctx context.Context, t target) (clients []*client.Client, err error) {
	for _, one := range t.inTurn(b.c.Int("clients")) {
		s, err := one.open(ctx)
		if err != nil {
			return clients, err
		}
		clients = append(clients, s)
	}
	return clients, nil
}

// compare relates a load to the limits of the machine.
func (b *benchmark) compare(inFlight int, r bench.Report) string {
	switch {
	case b.echo == 0:
		return ""
	case inFlight == 1:
		return fmt.Sprintf("; median %v above one fdatasync", (r.Latencies.P50 - b.sync).Round(time.Microsecond))
	default:
		return fmt.Sprintf("; %.0f %% of the echo", 100*r.Rate/b.echo)
	}
}

func (b *benchmark) line(what, name, result string) {
	fmt.Fprintf(b.out, "%-42s %s\n", what+name, result)
}

// tail keeps the last lines of the members, for the case that they do not start.
type tail struct {
	mu    sync.Mutex
	lines []string
}

func (t *tail) Write(p []byte) (int, error) {
	const most = 20
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, string(p))
	t.lines = t.lines[max(0, len(t.lines)-most):]
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.lines, "")
}
