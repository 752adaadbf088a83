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
	"time"

	"github.com/urfave/cli/v2"

	"qkv/bench"
	"qkv/bench/result"
	"qkv/cli/local"
	"qkv/index/kv"
	"qkv/net/client"
)

// The sides of `qkv bench kube` that it starts itself.
const (
	kubeEtcd = "etcd"
	kubeOwn  = "qkv"
)

// kubeNice is the nice value of this process: its requests must start in time on processors that it shares with the members.
const kubeNice = -10

func benchKubeCommand() *cli.Command {
	return &cli.Command{
		Name: "kube", Usage: "measure how many Kubernetes nodes members and etcd " + etcdVersion + " can serve",
		Description: "Makes the requests of three kube-apiservers for a number of nodes, by etcd's API, in an open loop: for each 1,000 nodes and " +
			"second 100 lease renewals of 400 B, 5 pods of 10 KB that are created, updated three times and deleted, 20 events of " +
			"1 KB with leases, and 2 Endpoints of 2 KB. Each API server watches each resource, lists it in pages and by RangeStream at " +
			"the start and after each compaction, and makes consistent reads. The result is the largest number of nodes at which p99 " +
			"of renewals is within 50 ms and p99 of watch delivery within 100 ms. Each step has new members; the sides take " +
			"turns. In a last step the leader is killed and replaced. A step whose requests start late is invalid.",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "data-dir", EnvVars: []string{"QKV_BENCH_KUBE_DATA_DIR"}, Value: ".", Usage: "`DIR` on the disk for all members' data; temporary folders are created in it"},
			&cli.StringFlag{Name: "etcd", EnvVars: []string{"QKV_BENCH_KUBE_ETCD"}, Usage: "`FILE` that is etcd's binary, in place of building it"},
			&cli.StringSliceFlag{Name: "side", EnvVars: []string{"QKV_BENCH_KUBE_SIDE"}, Value: cli.NewStringSlice(kubeEtcd, kubeOwn), Usage: "`NAME,...` of the members to start: etcd, qkv, or none"},
			&cli.StringSliceFlag{Name: "target", EnvVars: []string{"QKV_BENCH_KUBE_TARGET"}, Usage: "`NAME=URL` of a running server to measure as well; once for each member, with the same name"},
			&cli.BoolFlag{Name: "allow-maintenance", EnvVars: []string{"QKV_BENCH_KUBE_ALLOW_MAINTENANCE"}, Usage: "let the load compact a --target, whose history is lost"},
			&cli.IntFlag{Name: "members", EnvVars: []string{"QKV_BENCH_KUBE_MEMBERS"}, Value: demoMembers, Usage: fmt.Sprintf("`N` members of each side, 1 to %d", mostMembers)},
			&cli.IntFlag{Name: "from", EnvVars: []string{"QKV_BENCH_KUBE_FROM"}, Value: 1000, Usage: "`N` nodes of the first step; it is doubled as long as a step holds"},
			&cli.IntFlag{Name: "most", EnvVars: []string{"QKV_BENCH_KUBE_MOST"}, Value: 200_000, Usage: "`N` nodes that are tried at most"},
			&cli.IntSliceFlag{Name: "nodes", EnvVars: []string{"QKV_BENCH_KUBE_NODES"}, Usage: "`N,...` nodes that are all measured, each --tries times, in place of the search"},
			&cli.Float64Flag{Name: "within", EnvVars: []string{"QKV_BENCH_KUBE_WITHIN"}, Value: 0.05, Usage: "`SHARE` of the result that the search may be off"},
			&cli.Float64Flag{Name: "held", EnvVars: []string{"QKV_BENCH_KUBE_HELD"}, Value: 1, Usage: "`SHARE` of the 30 pods a node that exist: below 1 the result is marked SCALED DOWN"},
			&cli.IntFlag{Name: "listers", EnvVars: []string{"QKV_BENCH_KUBE_LISTERS"}, Usage: "`N` more clients that list all pods during the whole step, 0 to 100"},
			&cli.IntFlag{Name: "tries", EnvVars: []string{"QKV_BENCH_KUBE_TRIES"}, Value: 1, Usage: "`N` times a step is tried until it holds, on a machine that others use"},
			&cli.DurationFlag{Name: "step", EnvVars: []string{"QKV_BENCH_KUBE_STEP"}, Value: 2 * time.Minute, Usage: "`TIME` of each step", Action: positive("step")},
			&cli.DurationFlag{Name: "compact-every", EnvVars: []string{"QKV_BENCH_KUBE_COMPACT_EVERY"}, Value: 30 * time.Second, Usage: "`TIME` between compactions", Action: positive("compact-every")},
			&cli.IntFlag{Name: "port", EnvVars: []string{"QKV_BENCH_KUBE_PORT"}, Value: 2579, Usage: "first of ten `PORT`s in a row, for members of its own"},
		}, resultFlags()...),
		Action: func(c *cli.Context) error {
			return interruptible(c, func(ctx context.Context) error { return benchKube(ctx, c) })
		},
	}
}

// checkKube refuses unusable flags before anything is started.
func checkKube(c *cli.Context) error {
	for _, b := range []struct {
		name        string
		least, most int
	}{
		{"from", 1, 1_000_000},
		{"most", c.Int("from"), 1_000_000},
		{"tries", 1, 1000},
		{"members", 1, mostMembers},
		{"listers", 0, 100},
		{"port", 1, 65535 - 2*mostMembers},
	} {
		if n := c.Int(b.name); n < b.least || n > b.most {
			return usagef("--%s %d: %d to %d are possible", b.name, n, b.least, b.most)
		}
	}
	for _, n := range c.IntSlice("nodes") {
		if n < 1 || n > 1_000_000 {
			return usagef("--nodes %d: 1 to 1000000 are possible", n)
		}
	}
	if v := c.Float64("within"); !(v >= 0.01 && v <= 1) {
		return usagef("--within %v: 0.01 to 1 are possible", v)
	}
	if v := c.Float64("held"); !(v >= 0 && v <= 1) {
		return usagef("--held %v: 0 to 1 are possible", v)
	}
	for _, name := range c.StringSlice("side") {
		if !slices.Contains([]string{kubeEtcd, kubeOwn, "none"}, name) {
			return usagef("--side %q is unknown: etcd, qkv, or none", name)
		}
	}
	return nil
}

func benchKube(ctx context.Context, c *cli.Context) error {
	if err := checkKube(c); err != nil {
		return err
	}
	prefix := fmt.Sprintf("qkv-bench/%016x/", rand.Uint64())
	targets, err := kubeTargets(c, prefix)
	if err != nil {
		return err
	}
	dir := c.String("data-dir")
	f, err := newResult(c, "run", []sideDir{{kubeOwn, dir}})
	if err != nil {
		return err
	}
	device := f.Sides[0].Device
	f.Sides = nil
	search := bench.KubeSearch{
		Kube:    bench.Kube{Held: c.Float64("held"), Step: c.Duration("step"), CompactEvery: c.Duration("compact-every"), Listers: c.Int("listers"), Prefix: prefix},
		Members: c.Int("members"), From: c.Int("from"), Most: c.Int("most"), Within: c.Float64("within"), Tries: c.Int("tries"),
		Steps: c.IntSlice("nodes"),
	}
	if slices.Contains(c.StringSlice("side"), kubeEtcd) {
		binary, version, err := etcdProgram(ctx, c)
		if err != nil {
			return err
		}
		f.Notes = append(f.Notes, version+", with its defaults, but for a quota of 8 GiB")
		search.Sides = append(search.Sides, &etcdSide{result.Side{Name: kubeEtcd, Device: device}, dir, binary, c.Int("port"), nil})
	}
	if slices.Contains(c.StringSlice("side"), kubeOwn) {
		search.Sides = append(search.Sides, &memberSide{describe: result.Side{Name: kubeOwn, Device: device}, dir: dir, port: c.Int("port"), api: true})
	}
	for _, t := range targets {
		search.Sides = append(search.Sides, t)
	}
	for _, s := range search.Sides {
		f.Sides = append(f.Sides, s.Describe())
	}
	if len(search.Sides) == 0 {
		return usagef("--side none needs a --target")
	}
	if !slices.ContainsFunc(targets, func(t *kubeTarget) bool { return t.name == "t4" }) {
		f.Notes = append(f.Notes, "NOT MEASURED: T4 (github.com/t4db/t4): several of its nodes need an S3 store, which this command does not start; "+
			"start them, and name each by --target t4=URL")
	}
	if err := local.Prefer(kubeNice); err != nil {
		f.Notes = append(f.Notes, fmt.Sprintf("the clients have no priority over the servers, and may be late: nice %d: %v", kubeNice, err))
	} else {
		f.Notes = append(f.Notes, fmt.Sprintf("the clients have priority over the servers: nice %d", kubeNice))
	}
	bar := newSlowProgress(c.App.ErrWriter, "steps", 0)
	search.Progress = func(what string) { bar.describe(what); bar.add(1) }
	rows, notes, err := search.Run(ctx)
	bar.end()
	f.Rows, f.Notes = rows, slices.Concat(f.Notes, notes)
	return finishResult(c, f, err)
}

// kubeTarget is a running cluster, by the addresses of its members.
type kubeTarget struct {
	etcdTarget
	addresses []string
}

// kubeTargets reads --target, of which those with one name are members of one cluster.
func kubeTargets(c *cli.Context, prefix string) (all []*kubeTarget, err error) {
	given, err := etcdTargets(c.StringSlice("target"))
	if err != nil {
		return nil, err
	}
	if len(given) > 0 && !c.Bool("allow-maintenance") {
		return nil, usagef("--target: the load compacts %s: its history would be lost for all its clients; allow it with --allow-maintenance", given[0].url)
	}
	for _, t := range given {
		at := slices.IndexFunc(all, func(k *kubeTarget) bool { return k.name == t.name })
		if at < 0 {
			t.prefix = prefix
			at, all = len(all), append(all, &kubeTarget{etcdTarget: *t})
		}
		all[at].addresses = append(all[at].addresses, t.address)
	}
	return all, nil
}

// Start implements bench.Side.
func (t *kubeTarget) Start(ctx context.Context, members int) (bench.Cluster, error) {
	c, err := t.etcdTarget.Start(ctx, members)
	if err != nil {
		return nil, err
	}
	return &kubeTargetCluster{c.(*etcdCluster), t.addresses}, nil
}

// kubeTargetCluster is a running cluster in one step, whose end removes the step's keys.
type kubeTargetCluster struct {
	*etcdCluster
	addresses []string
}

// Addresses implements bench.KubeCluster.
func (c *kubeTargetCluster) Addresses() []string { return c.addresses }

// Metrics implements bench.Metered.
func (c *kubeTargetCluster) Metrics() (all []string) {
	for _, a := range c.addresses {
		all = append(all, "http://"+a+"/metrics")
	}
	return all
}

// Addresses implements bench.KubeCluster.
func (c *etcds) Addresses() []string { return c.addresses }

// Addresses implements bench.KubeCluster.
func (c *memberCluster) Addresses() []string { return c.endpoints() }

// Pids implements bench.Written.
func (c *etcds) Pids() (all []int) {
	for _, m := range c.members {
		all = append(all, m.PID())
	}
	return all
}

// Pids implements bench.Written.
func (c *memberCluster) Pids() (all []int) {
	for _, m := range c.members {
		all = append(all, m.PID())
	}
	return all
}

// replaceTime limits the replacement of a member, and replacePause is the time between its tries: a cluster that has just lost its leader
// refuses changes of its members.
const (
	replaceTime  = 2 * time.Minute
	replacePause = 200 * time.Millisecond
)

// until repeats a step of a replacement until it succeeds.
func until(ctx context.Context, step func() error) error {
	ctx, cancel := context.WithTimeout(ctx, replaceTime)
	defer cancel()
	for {
		err := step()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(replacePause):
		}
	}
}

// Replace implements bench's replacer.
func (c *etcds) Replace(ctx context.Context) error {
	at := slices.Index(c.members, c.killed)
	other := (at + 1) % len(c.members)
	one, err := dialWhenReady(ctx, c.addresses[other], 1, c.Ended)
	if err != nil {
		return err
	}
	defer func() { _ = one[0].Close() }()
	if err := until(ctx, func() error { return one[0].Readmit(ctx, c.killed.Name) }); err != nil {
		return err
	}
	if err := os.RemoveAll(c.folder(at)); err != nil {
		return err
	}
	c.killed.arguments = append(c.killed.arguments, "--initial-cluster-state", "existing")
	if err := c.killed.Start(); err != nil {
		return err
	}
	c.killed = nil
	added, err := dialWhenReady(ctx, c.addresses[at], 1, c.Ended)
	if err != nil {
		return err
	}
	defer func() { _ = added[0].Close() }()
	return until(ctx, func() error { _, err := added[0].Read(ctx, []byte("x"), nil); return err })
}

// Replace implements bench's replacer.
func (c *memberCluster) Replace(ctx context.Context) error {
	m := c.killed
	one, err := c.target().open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = one.Close() }()
	var added uint64
	err = until(ctx, func() error {
		members, err := one.Members(ctx, client.ReadOptions{})
		if err != nil {
			return err
		}
		at := slices.IndexFunc(members, func(k kv.Member) bool { return k.Name == m.Name })
		if at < 0 {
			return fmt.Errorf("there is no member %s", m.Name)
		}
		added, err = one.Admin().AddMember(ctx, "", []string{m.listenPeer}, client.AddOptions{Instead: members[at].ID})
		return err
	})
	if err != nil {
		return err
	}
	if err := os.RemoveAll(m.dataDir); err != nil {
		return err
	}
	var others []string
	for _, k := range c.members {
		if k != m {
			others = append(others, k.listenPeer)
		}
	}
	m.join = strings.Join(others, ",")
	if err := m.Start(); err != nil {
		return err
	}
	c.killed = nil
	return until(ctx, func() error {
		members, err := one.Members(ctx, client.ReadOptions{})
		if err == nil && !slices.ContainsFunc(members, func(k kv.Member) bool { return k.ID == added && k.Role == kv.Voter }) {
			err = errors.New("the new member does not vote yet")
		}
		return err
	})
}
