package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"qkv/bench"
	"qkv/bench/result"
	"qkv/cli/local"
	"qkv/net/client"
)

const (
	mostMembers = 5 // of a cluster; each has two ports
	// kubeNice is the nice value of this process under the load of Kubernetes: its requests must start in time on
	// processors that it shares with the members.
	kubeNice = -10
)

// vsEtcd makes the standard loads on etcd, on qkv by etcd's API with the same client, and on qkv by its own client, in
// turns.
func vsEtcd(ctx context.Context, args []string) error {
	const explains = "Makes the standard loads on etcd " + etcdVersion + ", on qkv by etcd's API with the same\n" +
		"client, and on qkv by its own client, in turns."
	s := newSettings("vs-etcd", explains, 2579, 2*mostMembers)
	var members, loads list
	suite := &bench.Suite{Prefix: prefix()}
	s.IntVar(&suite.Runs, "runs", 5, "`N` times everything, in turns")
	s.Var(&members, "members", "`N,...` members to measure with, 1 to 5 (default: 1,3)")
	s.Var(&loads, "load", "`NAME` of a load to run, without the others; a wrong one lists all")
	s.Float64Var(&suite.Scale, "scale", 0.1, "`N` times the size of large loads: 0.01 has 10,000 keys, not 1,000,000")
	s.IntVar(&suite.ValueBytes, "value-bytes", 256, "`N` bytes of a value")
	s.IntVar(&suite.Keys, "keys", 100_000, "`N` different keys")
	s.DurationVar(&suite.Duration, "duration", 3*time.Second, "`TIME` of each load")
	s.DurationVar(&suite.WarmUp, "warm-up", 2*time.Second, "`TIME` of each load before the measurement")
	inFlight := s.Int("in-flight", 1000, "`N` requests at a time in closed loops")
	rate := s.Float64("rate", 1000, "`N` requests a second of the open loop")
	if err := s.parse(args); err != nil {
		return err
	}
	all := bench.Works(*inFlight, *rate)
	kill := all[len(all)-1:] // the load that kills the leader comes last
	all = slices.Concat(all[:len(all)-1], bench.SpecialWorks(), kill)
	wanted, err := named("load", loads, bench.WorkNames(all))
	if err != nil {
		return err
	}
	suite.Works = slices.DeleteFunc(all, func(w bench.Work) bool { return !slices.Contains(wanted, w.Name) })
	for _, text := range cmpOr(members, list{"1", "3"}) {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > mostMembers {
			return fmt.Errorf("-members %s: 1 to %d are possible: %w", text, mostMembers, errUsage)
		}
		suite.Members = append(suite.Members, n)
	}
	err = within(bounds{"runs", float64(suite.Runs), 1, 1000}, bounds{"rate", *rate, bench.LeastRate, bench.MostRate},
		bounds{"scale", suite.Scale, 1e-6, 1000}, bounds{"in-flight", float64(*inFlight), 1, 1e6},
		bounds{"keys", float64(suite.Keys), 1, 1e9}, bounds{"value-bytes", float64(suite.ValueBytes), 1, 1 << 20},
		bounds{"duration", suite.Duration.Seconds(), 1e-3, 1e6})
	if err != nil {
		return err
	}
	return s.runSuite(ctx, suite)
}

func cmpOr(given, otherwise list) list {
	if len(given) > 0 {
		return given
	}
	return otherwise
}

// runSuite runs a suite, and prints and saves its results, also after each round.
func (s *settings) runSuite(ctx context.Context, suite *bench.Suite) error {
	program, version, err := s.program(ctx)
	if err != nil {
		return err
	}
	f, device, err := s.begin(version)
	if err != nil {
		return err
	}
	etcd, err := s.etcdSide(ctx, f, device)
	if err != nil {
		return err
	}
	own := side{
		describe: result.Side{Name: "qkv", Device: device}, program: program, dir: s.dir, port: s.port,
		own: true, native: true,
	}
	api := own
	api.describe.Name, api.native = "qkv by etcd's API", false
	suite.Sides = []bench.Side{etcd, &api, &own}
	for _, one := range suite.Sides {
		f.Sides = append(f.Sides, one.Describe())
	}
	suite.Progress = func(what string, step, of int) { progress(fmt.Sprintf("%d of %d: %s", step, of, what)) }
	return s.finish(f, suite.Into(ctx, f, func() error { return s.write(f) }))
}

const kubeExplains = `Makes the requests of three kube-apiservers for a number of nodes, by etcd's API, in an open loop.
The result is the largest number of nodes at which p99 of renewals is within 50 ms and p99 of
watch delivery within 100 ms. Each step has new members, and the sides take turns. In a last step
the leader is killed and replaced. A step whose requests start late is invalid.`

// kube searches for the number of Kubernetes nodes that etcd and qkv can serve.
func kube(ctx context.Context, args []string) error {
	s := newSettings("kube", kubeExplains, 2579, 2*mostMembers)
	var sides, targets, nodes list
	k := KubeSearch{Kube: Kube{Prefix: prefix()}, Progress: progress}
	s.Var(&sides, "side", "`NAME,...` of the members to start: etcd, qkv, or none (default: etcd,qkv)")
	s.Var(&targets, "target", "`NAME=URL` of a running server to measure, too; once a member, with the same name")
	maintain := s.Bool("allow-maintenance", false, "let the load compact a -target, whose history is lost")
	s.IntVar(&k.Members, "members", 3, "`N` members of each side, 1 to 5")
	s.IntVar(&k.From, "from", 1000, "`N` nodes of the first step; it is doubled as long as a step holds")
	s.IntVar(&k.Most, "most", 200_000, "`N` nodes that are tried at most")
	s.Var(&nodes, "nodes", "`N,...` nodes that are all measured, each -tries times, in place of the search")
	s.Float64Var(&k.Within, "within", 0.05, "`SHARE` of the result that the search may be off")
	s.Float64Var(&k.Held, "held", 1, "`SHARE` of the 30 pods a node that exist; below 1: marked SCALED DOWN")
	s.IntVar(&k.Listers, "listers", 0, "`N` more clients that list all pods during the whole step, 0 to 100")
	s.IntVar(&k.Tries, "tries", 1, "`N` times a step is tried until it holds, on a machine that others use")
	s.DurationVar(&k.Step, "step", 2*time.Minute, "`TIME` of each step")
	s.DurationVar(&k.CompactEvery, "compact-every", 30*time.Second, "`TIME` between compactions")
	if err := s.parse(args); err != nil {
		return err
	}
	for _, text := range nodes {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 1_000_000 {
			return fmt.Errorf("-nodes %s: 1 to 1000000 are possible: %w", text, errUsage)
		}
		k.Steps = append(k.Steps, n)
	}
	err := within(bounds{"from", float64(k.From), 1, 1e6}, bounds{"most", float64(k.Most), float64(k.From), 1e6},
		bounds{"tries", float64(k.Tries), 1, 1000}, bounds{"members", float64(k.Members), 1, mostMembers},
		bounds{"listers", float64(k.Listers), 0, 100},
		bounds{"within", k.Within, 0.01, 1}, bounds{"held", k.Held, 0, 1},
		bounds{"step", k.Step.Seconds(), 1e-3, 1e6}, bounds{"compact-every", k.CompactEvery.Seconds(), 1e-3, 1e6})
	if err != nil {
		return err
	}
	names, err := named("side", sides, []string{"etcd", "qkv", "none"})
	if err != nil {
		return err
	}
	running, err := targetsOf(targets, *maintain, k.Prefix)
	if err != nil {
		return err
	}
	if slices.Contains(sides, "none") {
		if names = nil; len(running) == 0 {
			return fmt.Errorf("-side none needs a -target: %w", errUsage)
		}
	}
	return s.runKube(ctx, k, names, running)
}

// runKube starts the sides, and searches.
func (s *settings) runKube(ctx context.Context, k KubeSearch, names []string, running []*target) error {
	program, version := "", "qkv-lab"
	var err error
	if slices.Contains(names, "qkv") {
		if program, version, err = s.program(ctx); err != nil {
			return err
		}
	}
	f, device, err := s.begin(version)
	if err != nil {
		return err
	}
	if slices.Contains(names, "etcd") {
		etcd, err := s.etcdSide(ctx, f, device)
		if err != nil {
			return err
		}
		k.Sides = append(k.Sides, etcd)
	}
	if program != "" {
		own := result.Side{Name: "qkv", Device: device}
		k.Sides = append(k.Sides, &side{describe: own, program: program, dir: s.dir, port: s.port, own: true})
	}
	for _, t := range running {
		k.Sides = append(k.Sides, t)
	}
	for _, one := range k.Sides {
		f.Sides = append(f.Sides, one.Describe())
	}
	if !slices.ContainsFunc(running, func(t *target) bool { return t.name == "t4" }) {
		f.Notes = append(f.Notes, "NOT MEASURED: T4 (github.com/t4db/t4): several of its nodes need an S3 store, "+
			"which this command does not start; start them, and name each by -target t4=URL")
	}
	if err := local.Prefer(kubeNice); err != nil {
		f.Notes = append(f.Notes,
			fmt.Sprintf("the clients have no priority over the servers, and may be late: nice %d: %v", kubeNice, err))
	} else {
		f.Notes = append(f.Notes, fmt.Sprintf("the clients have priority over the servers: nice %d", kubeNice))
	}
	rows, notes, err := k.Run(ctx)
	f.Rows, f.Notes = rows, slices.Concat(f.Notes, notes)
	return s.finish(f, err)
}

const failoverExplains = `Starts three members, and with -etcd three of etcd. Clients put every 5 ms, one that begins at
the leader and one that begins at a follower, by each protocol. The write gap is the longest
time between two acknowledged puts of a client around the failure. Each failure happens -tries
times, in turns on both sides. As root each member has a network of its own. Otherwise members
are on loopback, and lost hosts and packets are reported as not measured. With -endpoints and
-watch a running cluster is watched, while you do something to it.`

// failover measures for how long no put is acknowledged when members fail.
func failover(ctx context.Context, args []string) error {
	s := newSettings("failover", failoverExplains, 2679, 4*failoverMembers)
	var failures, endpoints list
	f := &Failover{Prefix: prefix(), Progress: progress}
	s.IntVar(&f.Tries, "tries", 10, "`N` times each failure")
	s.Var(&failures, "failure", "`NAME` of a failure to measure alone: "+strings.Join(failureNames(), ", "))
	s.Var(&endpoints, "endpoints", "`HOST:PORT,...` of a running cluster to watch")
	watch := s.Duration("watch", 0, "`TIME` for which -endpoints are watched")
	certs := s.String("certs-dir", "", "`DIR` with certificates for -endpoints (default: the local CA's)")
	if err := s.parse(args); err != nil {
		return err
	}
	if len(endpoints) > 0 || *watch != 0 {
		if len(endpoints) == 0 || *watch <= 0 {
			return fmt.Errorf("-endpoints and -watch TIME belong together: %w", errUsage)
		}
		return s.watchRunning(ctx, f, endpoints, *certs, *watch)
	}
	if err := within(bounds{"tries", float64(f.Tries), 1, 1e6}); err != nil {
		return err
	}
	names, err := named("failure", failures, failureNames())
	if err != nil {
		return err
	}
	f.Failures = slices.DeleteFunc(Failures(), func(one Failure) bool { return !slices.Contains(names, one.Name) })
	if os.Getenv(benchApart) == "" && noNetworks() == "" {
		if s.etcd == etcdBuilt { // there is no way to the module proxy from there
			if _, _, err := etcdProgram(ctx, s.etcd); err != nil {
				return err
			}
		}
		return runApart(ctx)
	}
	return s.runFailover(ctx, f)
}

func failureNames() (names []string) {
	for _, f := range Failures() {
		names = append(names, f.Name)
	}
	return names
}

// runFailover measures members that it starts.
func (s *settings) runFailover(ctx context.Context, f *Failover) error {
	program, version, err := s.program(ctx)
	if err != nil {
		return err
	}
	file, device, err := s.begin(version)
	if err != nil {
		return err
	}
	var hosts *network
	if reason := noNetworks(); os.Getenv(benchApart) != "" {
		if hosts, err = newNetwork(); err != nil {
			return err
		}
	} else {
		f.Failures = slices.DeleteFunc(f.Failures, func(one Failure) bool {
			if one.Network {
				file.Notes = append(file.Notes, fmt.Sprintf("NOT MEASURED: %s: it %s", one.Name, reason))
			}
			return one.Network
		})
	}
	file.Sides = []result.Side{{Name: "qkv by etcd's API", Device: device}, {Name: "qkv", Device: device}}
	own := side{
		describe: file.Sides[1], program: program, dir: s.dir, port: s.port, own: true, native: true, network: hosts,
	}
	f.Sides = []FailoverSide{{"qkv", own.startToFail}}
	if s.etcd != "" {
		etcd, err := s.etcdSide(ctx, file, device)
		if err != nil {
			return err
		}
		etcd.port, etcd.network = s.port+2*failoverMembers, hosts
		file.Sides = slices.Insert(file.Sides, 0, etcd.describe)
		f.Sides = append(f.Sides, FailoverSide{"etcd", etcd.startToFail})
	}
	file.Notes = append(file.Notes, "Clients by etcd's API have one gRPC connection, with keepalives of etcdctl "+
		"(2 s and 6 s). They try the members in turn, and repeat no put.")
	rows, said, err := f.Run(ctx)
	file.Rows, file.Notes = rows, slices.Concat(file.Notes, said)
	return s.finish(file, err)
}

// startToFail starts a cluster whose members are made to fail.
func (s *side) startToFail(ctx context.Context, members int) (FailoverCluster, error) {
	c, err := s.Start(ctx, members)
	if err != nil {
		return nil, err
	}
	return c.(*cluster), nil
}

// watchRunning reports the gaps of a cluster that this command has not started, and removes its keys in the end.
func (s *settings) watchRunning(
	ctx context.Context, f *Failover, endpoints list, certs string, most time.Duration,
) error {
	credentials, err := client.LocalCredentials("")
	if certs != "" {
		credentials, err = client.LoadCredentials(certs, "")
	}
	if err != nil {
		return err
	}
	// a stall must be measured
	config := client.Config{Endpoints: endpoints, Credentials: credentials, Timeout: localWait}
	one, err := client.Open(ctx, config)
	if err != nil {
		return err
	}
	defer func() { _ = one.Close() }()
	file, _, err := s.begin("qkv-lab")
	if err != nil {
		return err
	}
	file.Sides = []result.Side{{Name: "qkv", Target: endpoints.String()}}
	watching, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	file.Rows = f.WatchGaps(watching, nativeClient(one), func(at time.Time, gap time.Duration) {
		from := at.UTC().Format("15:04:05.000Z")
		progress(fmt.Sprintf("from %s on no put was acknowledged for %v", from, gap.Round(time.Millisecond)))
	})
	removing, stop := context.WithTimeout(context.WithoutCancel(ctx), localWait)
	defer stop()
	_, err = one.DeleteRange(removing, []byte(f.Prefix), prefixEnd(f.Prefix))
	return errors.Join(s.finish(file, nil), err)
}
