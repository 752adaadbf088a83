package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"qkv/bench"
	"qkv/bench/result"
	"qkv/cli/local"
	"qkv/index/kv"
	"qkv/net/client"
	"qkv/net/wire"
)

const (
	localWait   = 30 * time.Second // for steps that usually take a second or two
	stopTime    = 10 * time.Second // for a member to end, before it is killed
	replaceTime = 2 * time.Minute  // for the replacement of a member
	// between its tries: who has just lost its leader refuses changes of its members
	replacePause    = 200 * time.Millisecond
	nativeClients   = 2   // connections of qkv's own protocol that share a load
	etcdConnections = 100 // connections of etcd's API that share a load, like many clients
	// etcdQuota is etcd's recommended maximum: a million keys, each overwritten six times, do not fit into its default
	// of 2 GiB.
	etcdQuota = 8 << 30
)

// side starts clusters of processes of one program: members of qkv, or etcds.
type side struct {
	describe result.Side
	program  string
	dir      string
	port     int
	own      bool // members of qkv
	native   bool // loads by qkv's own client
	network  *network
}

// Describe implements bench.Side.
func (s *side) Describe() result.Side { return s.describe }

// Probe implements bench.Prober.
func (s *side) Probe(ctx context.Context) (bench.Latencies, error) {
	return bench.ProbeDisk(ctx, bench.LogSyncs(s.dir))
}

// cluster is a cluster that a side has started.
type cluster struct {
	*side
	folder      string
	members     []*member
	killed      *member // the leader, after a load that killed it
	connections []*bench.Etcd
	clients     []*client.Client
	credentials *wire.Credentials
}

// member is one process.
type member struct {
	local.Process
	place
	folder    string
	arguments []string
	said      local.Tail
}

// Start implements bench.Side.
func (s *side) Start(ctx context.Context, members int) (bench.Cluster, error) {
	c, err := s.start(ctx, members)
	if err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

func (s *side) start(ctx context.Context, members int) (c *cluster, err error) {
	c = &cluster{side: s}
	if c.folder, err = os.MkdirTemp(s.dir, "qkv-bench-"); err != nil {
		return c, err
	}
	places, err := s.network.places(members, s.port)
	if err != nil {
		return c, err
	}
	for i, p := range places {
		c.members = append(c.members, c.newMember(i, p))
	}
	if err := c.plan(); err != nil {
		return c, err
	}
	for _, m := range c.members {
		if err := m.start(); err != nil {
			return c, err
		}
	}
	if _, err := c.Healthy(ctx); err != nil {
		return c, err
	}
	return c, c.connect(ctx)
}

func (c *cluster) newMember(i int, p place) *member {
	m := &member{place: p}
	m.Name = fmt.Sprintf("%c%d", c.describe.Name[0], i+1)
	m.folder = filepath.Join(c.folder, m.Name)
	m.Command = func() *exec.Cmd {
		cmd := p.command(c.program, m.arguments...)
		for _, variable := range os.Environ() { // settings of other members
			if !strings.HasPrefix(variable, "QKV_") && !strings.HasPrefix(variable, "ETCD_") {
				cmd.Env = append(cmd.Env, variable)
			}
		}
		cmd.Stdout, cmd.Stderr = &m.said, &m.said
		return cmd
	}
	return m
}

// start starts a member, unless another process has its port: clients would reach that one.
func (m *member) start() error {
	for _, address := range []string{m.listen, m.listenPeer} {
		if m.network != "" { // nothing else is there
			continue
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			return fmt.Errorf("%w: is another demo, member or benchmark running? --port chooses other ports", err)
		}
		if err := l.Close(); err != nil {
			return err
		}
	}
	return m.Start()
}

// plan gives the members their command lines and, with a network, certificates.
func (c *cluster) plan() (err error) {
	var all []string
	for _, m := range c.members {
		if c.own {
			all = append(all, m.Name+"="+m.listenPeer)
		} else {
			all = append(all, m.Name+"=http://"+m.listenPeer)
		}
	}
	maker := wire.Maker{Now: time.Now, Rand: rand.Reader}
	home, certs := filepath.Join(c.folder, "home"), filepath.Join(c.folder, "certs")
	trust := []string{"--home", home}
	switch {
	case c.own && c.network != nil:
		trust = append(trust, "--certs-dir", certs, "--insecure-clients")
		if _, err = maker.CreateCA(certs, "bench"); err == nil {
			_, err = maker.CreateClient(certs, "bench")
		}
		for _, m := range c.members {
			if err == nil {
				_, err = maker.CreateMember(certs, m.Name, nil)
			}
		}
		if err == nil {
			c.credentials, err = wire.LoadClient(certs, "bench", time.Now)
		}
	case c.own:
		c.credentials, err = maker.LocalClient(home)
	}
	for _, m := range c.members {
		if m.arguments = etcdArguments(m); c.own {
			m.arguments = append([]string{
				"serve", "--name", m.Name, "--data-dir", m.folder, "--listen", m.listen, "--listen-peer", m.listenPeer,
				"--log-format", "text",
			}, trust...)
		}
		m.arguments = append(m.arguments, "--initial-cluster", strings.Join(all, ","))
	}
	return err
}

func etcdArguments(m *member) []string {
	clients, peers := "http://"+m.listen, "http://"+m.listenPeer
	return []string{
		"--name", m.Name, "--data-dir", m.folder, "--listen-client-urls", clients, "--advertise-client-urls", clients,
		"--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers, "--log-level", "error",
		"--quota-backend-bytes", strconv.Itoa(etcdQuota),
	}
}

// connect opens the connections that share the loads: they begin at the members in turn.
func (c *cluster) connect(ctx context.Context) error {
	if c.native {
		for i := range nativeClients {
			one, err := c.open(ctx, i)
			if err != nil {
				return err
			}
			c.clients = append(c.clients, one)
		}
		return nil
	}
	for i, address := range c.Addresses() {
		n := etcdConnections / len(c.members)
		if i < etcdConnections%len(c.members) {
			n++
		}
		connections, err := bench.DialEtcd(ctx, address, n)
		if err != nil {
			return err
		}
		c.connections = append(c.connections, connections...)
	}
	return nil
}

// open connects by qkv's own protocol, first to a member.
func (c *cluster) open(ctx context.Context, first int) (*client.Client, error) {
	return client.Open(ctx, client.Config{
		Endpoints: around(c.Addresses(), first), InOrder: true, Credentials: c.credentials, Timeout: localWait,
	})
}

// around returns a list that begins at a number, counted around.
func around[T any](all []T, first int) []T {
	first %= len(all)
	return slices.Concat(all[first:], all[:first])
}

// until repeats a step until it succeeds.
func until(ctx context.Context, most time.Duration, step func() error) error {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	for {
		err := step()
		if err == nil {
			return nil
		}
		if bench.Pause(ctx, replacePause) != nil {
			return err
		}
	}
}

// Healthy implements FailoverCluster.
func (c *cluster) Healthy(ctx context.Context) (leader int, err error) {
	var ended error
	err = until(ctx, localWait, func() error {
		if ended = c.Ended(); ended != nil { // it answers no more
			return nil
		}
		all, err := c.positions(ctx)
		if err != nil {
			return err
		}
		leader = slices.IndexFunc(all, func(p position) bool { return p.self == p.leader })
		for _, p := range all {
			if leader < 0 || p.leader != all[leader].self || p.applied != all[0].applied {
				return fmt.Errorf("the members do not agree: %+v", all)
			}
		}
		return nil
	})
	return leader, errors.Join(ended, err)
}

func (c *cluster) positions(ctx context.Context) (all []position, err error) {
	for _, address := range c.Addresses() {
		p, err := positionOf(ctx, address)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// Stores implements bench.Cluster.
func (c *cluster) Stores() (all []bench.Store) {
	for _, e := range c.connections {
		all = append(all, e)
	}
	return append(all, bench.Natives(c.clients)...)
}

// Addresses implements KubeCluster.
func (c *cluster) Addresses() (all []string) {
	for _, m := range c.members {
		all = append(all, m.listen)
	}
	return all
}

// Metrics implements bench.Metered.
func (c *cluster) Metrics() (all []string) {
	for _, m := range c.members {
		all = append(all, "http://"+m.listen+"/metrics")
	}
	return all
}

// Folders implements bench.Housed.
func (c *cluster) Folders() (all []string) {
	for _, m := range c.members {
		all = append(all, m.folder)
	}
	return all
}

// Pids implements Written.
func (c *cluster) Pids() (all []int) {
	for _, m := range c.members {
		all = append(all, m.PID())
	}
	return all
}

// Ended implements bench.Watched.
func (c *cluster) Ended() error {
	for _, m := range c.members {
		if err := m.Ended(); err != nil && m != c.killed {
			return fmt.Errorf("%w; its last lines:\n%s", err, &m.said)
		}
	}
	return nil
}

// Restart implements bench.Restarter.
func (c *cluster) Restart(ctx context.Context) (time.Duration, error) {
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
	ctx, cancel := context.WithTimeout(ctx, replaceTime)
	defer cancel()
	for {
		err := reads(ctx, c.members[0].listen)
		if err == nil {
			return time.Since(begun), nil
		}
		if ended := c.Ended(); ended != nil || bench.Pause(ctx, errorPause) != nil {
			return 0, errors.Join(ended, err)
		}
	}
}

// KillLeader implements bench.Cluster.
func (c *cluster) KillLeader(ctx context.Context) error {
	for _, m := range c.members {
		p, err := positionOf(ctx, m.listen)
		if err != nil {
			return err
		}
		if p.self == p.leader {
			c.killed = m
			return m.Kill()
		}
	}
	return errors.New("nobody leads")
}

// Replace implements replacer.
func (c *cluster) Replace(ctx context.Context) error {
	at := slices.Index(c.members, c.killed)
	replace := c.replaceEtcd
	if c.own {
		replace = c.replaceOwn
	}
	return replace(ctx, c.killed, around(c.members, at+1)[:len(c.members)-1])
}

// restartEmpty starts the killed member without its data, with more arguments.
func (c *cluster) restartEmpty(m *member, more ...string) error {
	m.arguments = append(m.arguments, more...)
	err := os.RemoveAll(m.folder)
	if err == nil {
		err = m.Start()
	}
	c.killed = nil
	return err
}

func (c *cluster) replaceEtcd(ctx context.Context, m *member, others []*member) error {
	err := until(ctx, replaceTime, func() error { return readmit(ctx, others[0].listen, m.Name) })
	if err == nil {
		err = c.restartEmpty(m, "--initial-cluster-state", "existing")
	}
	if err != nil {
		return err
	}
	return until(ctx, replaceTime, func() error { return reads(ctx, m.listen) })
}

func (c *cluster) replaceOwn(ctx context.Context, m *member, others []*member) error {
	one, err := c.open(ctx, slices.Index(c.members, m)+1)
	if err != nil {
		return err
	}
	defer func() { _ = one.Close() }()
	var added uint64
	err = until(ctx, replaceTime, func() error {
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
	m.arguments = m.arguments[:len(m.arguments)-2] // without --initial-cluster
	var peers []string
	for _, o := range others {
		peers = append(peers, o.listenPeer)
	}
	if err := c.restartEmpty(m, "--join", strings.Join(peers, ",")); err != nil {
		return err
	}
	return until(ctx, replaceTime, func() error {
		members, err := one.Members(ctx, client.ReadOptions{})
		votes := func(k kv.Member) bool { return k.ID == added && k.Role == kv.Voter }
		if err == nil && !slices.ContainsFunc(members, votes) {
			err = errors.New("the new member does not vote yet")
		}
		return err
	})
}

// Clients implements FailoverCluster.
func (c *cluster) Clients(ctx context.Context, first int) (all []FailoverClient, err error) {
	name := "etcd"
	if c.own {
		one, err := c.open(ctx, first)
		if err != nil {
			return nil, err
		}
		all, name = append(all, nativeClient(one)), "qkv by etcd's API"
	}
	one, err := etcdClient(name, around(c.Addresses(), first))
	return append(all, one), err
}

// Signal implements FailoverCluster.
func (c *cluster) Signal(at int, s syscall.Signal) error {
	m := c.members[at]
	m.Signal(s)
	if s == syscall.SIGKILL || s == syscall.SIGTERM {
		m.Await(stopTime)
	}
	return nil
}

// Start implements FailoverCluster.
func (c *cluster) Start(at int) error { return c.members[at].Start() }

// Cut implements FailoverCluster.
func (c *cluster) Cut(at int, outgoing, incoming bool) error {
	var places []place
	for _, m := range c.members {
		places = append(places, m.place)
	}
	return c.network.cut(places, at, outgoing, incoming)
}

// Move implements FailoverCluster.
func (c *cluster) Move(ctx context.Context, from, to int) error {
	all, err := c.positions(ctx)
	if err != nil {
		return err
	}
	return moveLeader(ctx, c.members[from].listen, around(all, to)[0].self)
}

// Stop implements bench.Cluster.
func (c *cluster) Stop() error {
	for _, e := range c.connections {
		_ = e.Close()
	}
	for _, one := range c.clients {
		_ = one.Close()
	}
	for _, m := range c.members {
		m.Signal(syscall.SIGTERM)
	}
	for _, m := range c.members {
		m.Await(stopTime)
	}
	return os.RemoveAll(c.folder)
}
