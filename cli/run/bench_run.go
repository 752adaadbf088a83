//go:build linux

package run

// This file is `qkv bench run`: measure members on disks, or an etcd v3 server.

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"qkv/bench"
	"qkv/bench/result"
	"qkv/cli/cluster"
	"qkv/cli/form"
	"qkv/cli/local"
	"qkv/internal/limits"
	"qkv/net/client"
)

// suiteOf returns the suite of the flags, without its sides. If no load is named, all run except the special ones.
func suiteOf(c *cli.Context) (*bench.Suite, error) {
	s := &bench.Suite{
		Runs: c.Int("runs"), Members: c.IntSlice("members"), Duration: c.Duration("duration"), WarmUp: c.Duration("duration") * 2 / 3,
		ValueBytes: int(form.SizeOf(c, "value-bytes")), Keys: c.Int("keys"), Scale: c.Float64("scale"), Works: bench.Works(c.Int("in-flight"), c.Float64("rate")),
		Prefix: fmt.Sprintf("qkv-bench/%016x/", rand.Uint64()),
	}
	return s, checkSuite(c, s)
}

// runSuite runs a suite, and prints and saves its results.
func runSuite(ctx context.Context, c *cli.Context, s *bench.Suite, f *result.File) error {
	bar := form.NewSlowProgress(c.App.ErrWriter, "loads", s.Steps())
	s.Progress = func(what string, _, _ int) { bar.Describe(what); bar.Add(1) }
	bar.Describe("touch free memory")
	err := s.Into(ctx, f, func() error { return writeReportFile(c.String("output"), []*result.File{f}) })
	bar.End()
	return finishResult(c, f, err)
}

func benchRun(ctx context.Context, c *cli.Context) error {
	suite, err := suiteOf(c)
	if err != nil {
		return err
	}
	targets, err := etcdTargets(c.StringSlice("target"))
	if err != nil {
		return err
	}
	if err := checkMaintenance(c, suite.Works, targets); err != nil {
		return err
	}
	var dirs []sideDir
	if len(targets) == 0 || len(c.StringSlice("dir")) > 0 {
		if dirs, err = sideDirs(c); err != nil {
			return err
		}
	}
	f, err := newResult(c, "run", dirs)
	if err != nil {
		return err
	}
	for i, d := range dirs {
		suite.Sides = append(suite.Sides, &memberSide{describe: f.Sides[i], dir: d.dir, port: c.Int("port")})
	}
	for _, t := range targets {
		t.prefix = suite.Prefix
		suite.Sides = append(suite.Sides, t)
		f.Sides = append(f.Sides, t.Describe())
	}
	if len(dirs) == 0 {
		suite.Members = suite.Members[:1] // a running server has a fixed number of members
	}
	return runSuite(ctx, c, suite, f)
}

// checkMaintenance refuses maintenance of another owner's server without --allow-maintenance: a compaction there removes history of
// all its clients.
func checkMaintenance(c *cli.Context, works []bench.Work, targets []*etcdTarget) error {
	at := slices.IndexFunc(works, bench.Work.Maintains)
	if at < 0 || len(targets) == 0 || c.Bool("allow-maintenance") {
		return nil
	}
	return form.Usagef("--load %q compacts and defragments %s: its history would be lost for all its clients, and it serves none meanwhile; "+
		"leave the load out, or allow it with --allow-maintenance", works[at].Name, targets[0].url)
}

// mostMembers limits the members of a suite; each has two ports.
const mostMembers = 5

func checkSuite(c *cli.Context, s *bench.Suite) error {
	if s.Runs < 1 {
		return form.Usagef("--runs %d: at least one is needed", s.Runs)
	}
	if r := c.Float64("rate"); !(r >= bench.LeastRate && r <= bench.MostRate) { // also refuses NaN
		return form.Usagef("--rate %v: %v to %.0f are possible", r, bench.LeastRate, bench.MostRate)
	}
	for i, n := range s.Members {
		if n < 1 || n > mostMembers || slices.Contains(s.Members[:i], n) {
			return form.Usagef("--members %d: 1 to %d are possible, each once", n, mostMembers)
		}
	}
	if n := c.Float64("scale"); !(n > 0 && n <= 1000) {
		return form.Usagef("--scale %v: it must be above zero, and 1000 at most", n)
	}
	if err := checkLoad(c); err != nil {
		return err
	}
	if err := checkPort(c.Int("port"), 2*mostMembers); err != nil {
		return err
	}
	names := c.StringSlice("load")
	if len(names) == 0 {
		return nil
	}
	// the load that kills the leader comes last
	s.Works = slices.Concat(s.Works[:len(s.Works)-1], bench.SpecialWorks(), s.Works[len(s.Works)-1:])
	if slices.Equal(names, []string{"all"}) {
		return nil
	}
	known := bench.WorkNames(s.Works)
	for _, n := range names {
		if !slices.Contains(known, n) {
			return form.Usagef("--load %q is unknown: %s", n, strings.Join(known, ", "))
		}
	}
	s.Works = slices.DeleteFunc(s.Works, func(w bench.Work) bool { return !slices.Contains(names, w.Name) })
	return nil
}

// checkLoad refuses unusable request sizes and counts.
func checkLoad(c *cli.Context) error {
	for _, name := range []string{"in-flight", "keys"} {
		if n := c.Int(name); n < 1 {
			return form.Usagef("--%s %d: at least one is needed", name, n)
		}
	}
	if n := form.SizeOf(c, "value-bytes"); n < 1 || n > limits.RequestBytesWritten {
		return form.Usagef("--value-bytes %d: a value has at least 1 byte, and a member takes requests of %d bytes at most", n, limits.RequestBytesWritten)
	}
	return nil
}

// memberSide starts members of this program in a folder.
type memberSide struct {
	describe result.Side
	dir      string
	port     int
}

// Describe implements bench.Side.
func (s *memberSide) Describe() result.Side { return s.describe }

// Probe implements bench.Prober.
func (s *memberSide) Probe(ctx context.Context) (bench.Latencies, error) {
	return bench.ProbeDisk(ctx, bench.LogSyncs(s.dir))
}

// memberCluster is a cluster that a memberSide has started.
type memberCluster struct {
	*localCluster
	dir     string
	clients []*client.Client
	said    *local.Tail
	killed  *process // the leader, after a load that killed it
}

// benchClients is the number of connections that share a suite's requests.
const benchClients = 2

// Start implements bench.Side.
func (s *memberSide) Start(ctx context.Context, members int) (_ bench.Cluster, err error) {
	dir, err := os.MkdirTemp(s.dir, "qkv-bench-")
	if err != nil {
		return nil, err
	}
	c := &memberCluster{dir: dir, said: &local.Tail{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Stop())
		}
	}()
	l, err := newLocalCluster("n", members, s.port, dir, filepath.Join(dir, "home"), c.said)
	if err != nil {
		return nil, err
	}
	c.localCluster = l
	if err := l.start(); err != nil {
		return nil, err
	}
	if _, err := l.healthy(ctx); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, c.said)
	}
	for _, t := range l.target().InTurn(benchClients) {
		one, err := t.Open(ctx)
		if err != nil {
			return nil, err
		}
		c.clients = append(c.clients, one)
	}
	return c, nil
}

// Stores implements bench.Cluster.
func (c *memberCluster) Stores() []bench.Store { return bench.Natives(c.clients) }

// Metrics implements bench.Metered.
func (c *memberCluster) Metrics() (all []string) {
	for _, m := range c.members {
		all = append(all, "http://"+m.listen+"/metrics")
	}
	return all
}

// Folders implements bench.Housed.
func (c *memberCluster) Folders() (all []string) {
	for _, m := range c.members {
		all = append(all, m.dataDir)
	}
	return all
}

// Ended implements bench.Watched.
func (c *memberCluster) Ended() error {
	for _, m := range c.members {
		if err := m.Ended(); err != nil && m != c.killed {
			return fmt.Errorf("%w; the members' last lines:\n%s", err, c.said)
		}
	}
	return nil
}

// Restart implements bench.Restarter.
func (c *memberCluster) Restart(ctx context.Context) (time.Duration, error) {
	begun := time.Now()
	for _, m := range c.members {
		if err := m.Kill(); err != nil {
			return 0, err
		}
	}
	for _, m := range c.members {
		if err := m.Start(); err != nil {
			return 0, err
		}
	}
	one, err := c.target().Open(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { _ = one.Close() }()
	_, _, err = one.Get(ctx, []byte("x"))
	return time.Since(begun), err
}

// KillLeader implements bench.Cluster.
func (c *memberCluster) KillLeader(ctx context.Context) error {
	all, err := cluster.AskMembers(ctx, c.target())
	if err != nil {
		return err
	}
	leader := LeaderOf(all)
	if leader == nil {
		return errors.New("nobody leads")
	}
	for _, m := range c.members {
		if m.Name == leader.Name {
			c.killed = m
			return m.Kill()
		}
	}
	return fmt.Errorf("%s leads, which is none of these members", leader.Name)
}

// Stop implements bench.Cluster.
func (c *memberCluster) Stop() error {
	for _, one := range c.clients {
		_ = one.Close()
	}
	if c.localCluster != nil {
		c.stop()
	}
	return os.RemoveAll(c.dir)
}

// etcdTarget is a server that already runs.
type etcdTarget struct{ name, url, address, prefix string }

// etcdTargets reads --target NAME=URL.
func etcdTargets(given []string) (all []*etcdTarget, err error) {
	for _, g := range given {
		name, text, named := strings.Cut(g, "=")
		if !named {
			return nil, form.Usagef("--target %q: NAME=URL is needed, as in --target etcd=http://127.0.0.1:12379", g)
		}
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "http" || u.Port() == "" {
			return nil, form.Usagef("--target %q: the URL of an etcd v3 server in plain text is needed, as in http://127.0.0.1:12379", g)
		}
		all = append(all, &etcdTarget{name: name, url: text, address: u.Host})
	}
	return all, nil
}

// Describe implements bench.Side.
func (t *etcdTarget) Describe() result.Side { return result.Side{Name: t.name, Target: t.url} }

// etcdConnections is the number of connections that share an etcd's requests, like many clients.
const etcdConnections = 100

// Start implements bench.Side.
func (t *etcdTarget) Start(ctx context.Context, _ int) (bench.Cluster, error) {
	connections, err := bench.DialEtcd(ctx, t.address, etcdConnections)
	if err != nil {
		return nil, err
	}
	return &etcdCluster{connections, t.prefix}, nil
}

// etcdCluster is a server that was already running.
type etcdCluster struct {
	connections []*bench.Etcd
	prefix      string
}

// Stores implements bench.Cluster.
func (c *etcdCluster) Stores() (all []bench.Store) {
	for _, e := range c.connections {
		all = append(all, e)
	}
	return all
}

// KillLeader implements bench.Cluster. It is not possible: the server belongs to another owner.
func (c *etcdCluster) KillLeader(context.Context) error { return bench.ErrNotPossible }

// Stop implements bench.Cluster.
func (c *etcdCluster) Stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), localWait)
	defer cancel()
	err := c.connections[0].Remove(ctx, c.prefix)
	for _, e := range c.connections {
		err = errors.Join(err, e.Close())
	}
	return err
}
