//go:build linux

package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"qkv/bench"
	"qkv/bench/result"
	"qkv/cli/local"
)

// etcdVersion is the version of etcd in comparisons.
const etcdVersion = "v3.7.3"

func benchVsEtcdCommand() *cli.Command {
	return &cli.Command{
		Name: "vs-etcd", Usage: "measure members beside etcd " + etcdVersion + ", in turns",
		Description: "Builds etcd " + etcdVersion + " from its module with this machine's Go (in a module of its own, in the user's cache), or takes " +
			"the binary that --etcd names, and makes the standard loads on etcd, on members by etcd's API with the same client, " +
			"and on members by qkv's own client, in turns, on the same disk. `-w ratios` prints one table in Markdown.",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "data-dir", EnvVars: []string{"QKV_BENCH_VS_ETCD_DATA_DIR"}, Value: ".", Usage: "`DIR` on the disk for all members' data; temporary folders are created in it"},
			&cli.StringFlag{Name: "etcd", EnvVars: []string{"QKV_BENCH_VS_ETCD_ETCD"}, Usage: "`FILE` that is etcd's binary, in place of building it"},
		}, append(suiteFlags(0.1), resultFlags()...)...),
		Action: func(c *cli.Context) error {
			return interruptible(c, func(ctx context.Context) error { return benchVsEtcd(ctx, c) })
		},
	}
}

func benchVsEtcd(ctx context.Context, c *cli.Context) error {
	suite, err := suiteOf(c, append(bench.WorkNames(bench.Works(1, 1)), "values of 4 KiB", "values of 64 KiB", "watch fan-out", "put while quiet", "put in maintenance", "many keys")...)
	if err != nil {
		return err
	}
	dir := c.String("data-dir")
	f, err := newResult(c, "run", []sideDir{{"etcd", dir}})
	if err != nil {
		return err
	}
	binary, version, err := etcdProgram(ctx, c)
	if err != nil {
		return err
	}
	f.Notes = append(f.Notes, version+", with its defaults, but for a quota of 8 GiB: it syncs every write, too")
	device := f.Sides[0].Device
	f.Sides = append(f.Sides, result.Side{Name: "qkv by etcd's API", Device: device}, result.Side{Name: "qkv", Device: device})
	own := memberSide{describe: f.Sides[2], dir: dir, port: c.Int("port")}
	api := own
	api.describe, api.api = f.Sides[1], true
	suite.Sides = []bench.Side{&etcdSide{f.Sides[0], dir, binary, c.Int("port"), nil}, &api, &own}
	return runSuite(ctx, c, suite, f)
}

// etcdBuilt stands for a binary of etcd that is built from its module, for commands that measure etcd only on request.
const etcdBuilt = "build"

// etcdProgram returns the etcd to measure, which it builds if --etcd names none, and its version.
func etcdProgram(ctx context.Context, c *cli.Context) (binary, version string, err error) {
	if binary = c.String("etcd"); binary == "" || binary == etcdBuilt {
		fmt.Fprintln(c.App.ErrWriter, "building etcd", etcdVersion, "from its module, unless that was done before")
		if binary, err = buildEtcd(ctx); err != nil {
			return "", "", fmt.Errorf("bench: %w", err)
		}
	}
	all, err := exec.CommandContext(ctx, binary, "--version").Output()
	if err != nil {
		return "", "", fmt.Errorf("bench: %s --version: %w", binary, err)
	}
	version, _, _ = strings.Cut(string(all), "\n")
	return binary, version, nil
}

// buildEtcd builds etcd from its module into the user's cache, and returns the path of the binary. It needs Go, and for the first
// build the module proxy.
func buildEtcd(ctx context.Context) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "qkv", "etcd-"+etcdVersion)
	binary := filepath.Join(dir, "etcd")
	if _, err := os.Stat(binary); err == nil {
		return binary, nil
	}
	if _, err := exec.LookPath("go"); err != nil {
		return "", fmt.Errorf("etcd is built with Go, which is not installed: name a binary with --etcd: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	const module = "module etcd\n\ngo 1.26\n\nrequire go.etcd.io/etcd/server/v3 " + etcdVersion + "\n"
	const program = "package etcd\n\nimport _ \"go.etcd.io/etcd/server/v3/etcdmain\"\n"
	for name, text := range map[string]string{"go.mod": module, "etcd.go": program} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	for _, args := range [][]string{{"mod", "tidy"}, {"build", "-o", binary + ".tmp", "go.etcd.io/etcd/server/v3"}} {
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
		}
	}
	return binary, os.Rename(binary+".tmp", binary)
}

// etcdSide starts etcds.
type etcdSide struct {
	describe result.Side
	dir      string
	binary   string
	port     int
	network  *benchNetwork // in which each member has a host; nil: loopback
}

// Describe implements bench.Side.
func (s *etcdSide) Describe() result.Side { return s.describe }

// etcdQuota is etcd's recommended maximum: a million keys, each overwritten six times, do not fit into its default of 2 GiB.
const etcdQuota = 8 << 30

// etcds are the members of one etcd cluster.
type etcds struct {
	etcdCluster
	addresses []string
	dir       string
	members   []*etcdProcess
	network   *benchNetwork
	places    []place
	killed    *etcdProcess // the leader, after a load that killed it
}

// Start implements bench.Side.
func (s *etcdSide) Start(ctx context.Context, members int) (_ bench.Cluster, err error) {
	dir, err := os.MkdirTemp(s.dir, "qkv-bench-")
	if err != nil {
		return nil, err
	}
	c := &etcds{dir: dir, network: s.network}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Stop())
		}
	}()
	if c.places, err = s.network.places(members, s.port); err != nil {
		return nil, err
	}
	var cluster, addresses []string
	for i, p := range c.places {
		cluster = append(cluster, fmt.Sprintf("e%d=http://%s", i+1, p.listenPeer))
		addresses = append(addresses, p.listen)
		if p.network != "" { // nothing else is there
			continue
		}
		// otherwise the clients would reach the process that has the port
		if err := portsFree(p.listen, p.listenPeer); err != nil {
			return nil, err
		}
	}
	for i, p := range c.places {
		client, peer := "http://"+p.listen, "http://"+p.listenPeer
		m := newEtcd("e"+strconv.Itoa(i+1), s.binary, p, "--data-dir", c.folder(i),
			"--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer,
			"--initial-advertise-peer-urls", peer, "--initial-cluster", strings.Join(cluster, ","), "--log-level", "error",
			"--quota-backend-bytes", strconv.Itoa(etcdQuota))
		if err := m.Start(); err != nil {
			return nil, err
		}
		c.members = append(c.members, m)
	}
	c.prefix, c.addresses = "qkv-bench/", addresses
	for _, share := range spread(etcdConnections, addresses) {
		connections, err := dialWhenReady(ctx, share.address, share.connections, c.Ended)
		if err != nil {
			return nil, err
		}
		c.connections = append(c.connections, connections...)
	}
	return c, nil
}

// Ended implements bench.Watched.
func (c *etcds) Ended() error {
	for _, m := range c.members {
		if err := m.Ended(); err != nil && m != c.killed {
			return fmt.Errorf("etcd %w; its last line: %s", err, m.said)
		}
	}
	return nil
}

// etcdProcess is one etcd process.
type etcdProcess struct {
	local.Process
	arguments []string
	said      *lastLine // of the latest start
}

// newEtcd plans an etcd at a place.
func newEtcd(name, binary string, at place, arguments ...string) *etcdProcess {
	m := &etcdProcess{arguments: append([]string{"--name", name}, arguments...)}
	m.Name, m.Command = name, func() *exec.Cmd {
		cmd := at.command(binary, m.arguments...)
		m.said = &lastLine{}
		cmd.Stdout, cmd.Stderr = m.said, m.said
		return cmd
	}
	return m
}

// lastLine keeps the last line of etcd's log among all its output. The lines after it are Go's report of the exit. It is read after
// etcd has ended.
type lastLine struct {
	part       []byte // the beginning of an unfinished line
	log, plain string // the last line of the log, and the first line that is not of the log
}

// Write implements io.Writer.
func (l *lastLine) Write(p []byte) (int, error) {
	l.part = append(l.part, p...)
	for {
		line, rest, ended := bytes.Cut(l.part, []byte("\n"))
		if !ended {
			return len(p), nil
		}
		if bytes.HasPrefix(line, []byte("{")) {
			l.log = string(line)
		} else if l.plain == "" {
			l.plain = string(line)
		}
		l.part = rest
	}
}

// String returns the message of the line, without the position in etcd's source.
func (l *lastLine) String() string {
	var fields struct{ Msg, Error string }
	if err := json.Unmarshal([]byte(l.log), &fields); err != nil || fields.Msg == "" {
		return cmp.Or(l.log, l.plain, "it wrote none")
	}
	if fields.Error == "" {
		return fields.Msg
	}
	return fields.Msg + ": " + fields.Error
}

// connectionShare is the number of connections to one member.
type connectionShare struct {
	address     string
	connections int
}

// spread distributes connections evenly.
func spread(connections int, addresses []string) (all []connectionShare) {
	for i, a := range addresses {
		n := connections / len(addresses)
		if i < connections%len(addresses) {
			n++
		}
		all = append(all, connectionShare{a, n})
	}
	return all
}

// dialWhenReady dials until the server answers or has ended.
func dialWhenReady(ctx context.Context, address string, connections int, ended func() error) (all []*bench.Etcd, err error) {
	ctx, cancel := context.WithTimeout(ctx, localWait)
	defer cancel()
	for {
		if all, err = bench.DialEtcd(ctx, address, connections, nil); err == nil {
			return all, nil
		}
		if gone := ended(); gone != nil {
			return nil, gone
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Metrics implements bench.Metered.
func (c *etcds) Metrics() (all []string) {
	for _, a := range c.addresses {
		all = append(all, "http://"+a+"/metrics")
	}
	return all
}

// Folders implements bench.Housed.
func (c *etcds) Folders() (all []string) {
	for i := range c.members {
		all = append(all, c.folder(i))
	}
	return all
}

func (c *etcds) folder(i int) string { return filepath.Join(c.dir, strconv.Itoa(i)) }

// Restart implements bench.Restarter.
func (c *etcds) Restart(ctx context.Context) (time.Duration, error) {
	begun := time.Now()
	for _, m := range c.members {
		err := m.Kill()
		if err == nil {
			err = m.Start()
		}
		if err != nil {
			return 0, err
		}
	}
	one, err := dialWhenReady(ctx, c.addresses[0], 1, c.Ended)
	if err != nil {
		return 0, err
	}
	defer func() { _ = one[0].Close() }()
	_, err = one[0].Read(ctx, bench.Read{From: []byte("x")})
	return time.Since(begun), err
}

// KillLeader implements bench.Cluster.
func (c *etcds) KillLeader(ctx context.Context) error {
	at := 0 // index of the member's first connection
	for i, share := range spread(len(c.connections), make([]string, len(c.members))) {
		leads, err := c.connections[at].Leads(ctx)
		if err != nil {
			return err
		}
		if leads {
			c.killed = c.members[i]
			return c.killed.Kill()
		}
		at += share.connections
	}
	return errors.New("nobody leads")
}

// Stop implements bench.Cluster.
func (c *etcds) Stop() error {
	for _, e := range c.connections {
		_ = e.Close()
	}
	for _, m := range c.members {
		m.Signal(syscall.SIGTERM)
	}
	for _, m := range c.members {
		m.Await(stopTime)
	}
	return os.RemoveAll(c.dir)
}
