package node

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"qkv/actor"
	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/audit"
	"qkv/internal/limits"
	"qkv/internal/meter"
	"qkv/log/disk"
	"qkv/net/etcd"
	"qkv/net/peer"
	"qkv/net/server"
	"qkv/net/wire"
	"qkv/net/wire/peerframe"
)

// Node is one running member with its endpoints. Its methods may be called from any goroutine.
type Node struct {
	member   *member
	runtime  *actor.Runtime
	peers    *peer.Transport
	pulls    *pulls
	server   *server.Server
	etcd     *etcd.Server
	scrubber *scrubDuty

	trips roundTrips

	operations *meter.Operations // of this member's clients
	recent     *meter.Recent
	routes     routes
	overview   *overview

	// collects and retired are owned by their clocks.
	collects collectWatch
	retired  retiredWatch

	done chan struct{} // closed when the member has ended by itself
	once sync.Once
	stop sync.Once
	err  error
}

// Start starts a member: checks, data folder, recovery, actors, endpoints, in this order. A configuration that is
// refused is a *UsageError, and nothing was started.
func Start(ctx context.Context, c Config) (*Node, error) {
	return start(ctx, c, disk.OS(), limits.Defaults(), nil)
}

const (
	// recentInterval is the interval of the rates and latencies of a member's clients, and recentPoints is how many of them are kept: 15
	// minutes in 13 KiB. They are the only cost of the dashboard without a viewer.
	recentInterval = 5 * time.Second
	recentPoints   = 180
	// etcdRequestTime is how long a request of etcd's API may wait, in addition to two election timeouts, as in etcd.
	etcdRequestTime = 5 * time.Second
	// drainTimeout bounds a stopping member's wait for requests in flight: without a quorum they would not end.
	drainTimeout = 2 * time.Second
	// partTimeout is how long a starting member goes on without a further piece of a part that it has lost. Other members that start at the
	// same time serve within seconds. Then the start fails with a reason, and a service manager starts the member again.
	partTimeout = time.Minute
)

// prepare gives the configuration its logger and checks it: all of it where a member begins, and else what a member with data needs.
func (c *Config) prepare() error {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	err := c.Validate()
	if whose := (&folder{fs: disk.OS(), dir: c.DataDir}).whose(); err == nil && errors.Is(whose, fs.ErrNotExist) {
		err = c.CheckBeginning()
	}
	return err
}

// start is Start on any disk, with limits that tests may set. state is that of the folder's newest snapshot; nil: it is loaded.
func start(ctx context.Context, c Config, on disk.FS, bounds limits.Tunable, state *index.State) (*Node, error) {
	if err := c.prepare(); err != nil {
		return nil, err
	}
	connections, err := connectionsFor(openFiles(), bounds.Etcd.Connections)
	if err != nil {
		return nil, err
	}
	users, err := c.proofs()
	if err != nil {
		return nil, err
	}
	if err := checkMode(c.DataDir, c.Logger); err != nil {
		return nil, err
	}
	trust, err := identify(&c)
	if err != nil {
		return nil, err
	}
	at, err := listen(&c, &trust)
	if err != nil {
		return nil, err
	}
	// the kernel has chosen one
	if host, port, err := net.SplitHostPort(c.Advertise); err == nil && port == "0" && at.clients != nil {
		c.Advertise = net.JoinHostPort(host, fmt.Sprint(at.clients.LocalAddr().(*net.UDPAddr).Port))
	}
	n, memory := &Node{runtime: actor.NewRuntime(), done: make(chan struct{})}, machineMemory()
	n.pulls = newPulls(ctx, peer.PartConfig{Trust: trust.peers, Name: c.Name, Timeout: partTimeout, Logger: c.Logger})
	n.operations = meter.NewOperations()
	n.recent = meter.NewRecent(n.operations, recentPoints)
	n.bound(memory)
	n.member, err = build(c, trust.domain, environment{
		FS: on, Driver: n.runtime, Random: rand.Reader, Yield: n.yield, Idle: debug.FreeOSMemory, Background: func(do func()) { go do() }, Limits: bounds, Memory: memory, Machine: thisMachine(c.DataDir), Load: n.load, State: state,
		Transport: func(f *folder, process [16]byte) (transport, error) {
			return n.transport(c, at, trust.peers, f, process)
		},
		Join: func(addresses []string, id uint64, folder [16]byte) (peerframe.Welcome, error) {
			c.Logger.Info("asking to join", "members", strings.Join(addresses, ","))
			return peer.Ask(ctx, peer.AskConfig{Trust: trust.peers, Addresses: addresses, Name: c.Name, At: []string{c.AdvertisePeer}, ID: id, Folder: folder, Logger: c.Logger})
		},
		FetchPart: n.pulls.fetch, Pull: n.pulls.next,
		Backup: c.backup(ctx),
		Audit:  func() (*audit.Log, error) { return openAudit(&c) },
	}, n.ended)
	if err != nil {
		if n.peers != nil { // parts were served
			err = errors.Join(err, n.peers.Close())
		}
		return nil, errors.Join(err, at.close())
	}
	n.runtime.Every(tripInterval, func() { n.trips.look(n.member.transport.Status()) })
	n.watchCertificates(&trust, c.Logger)
	n.runtime.Every(recentInterval, func() { n.recent.Look(time.Now(), recentInterval) })
	n.startDuties()
	proofs := users.of(n.member.status.View)
	if at.clients != nil {
		n.server, err = server.Start(server.Config{
			Conn: at.clients, Credentials: trust.credentials, ResetKey: n.member.folder.ResetKey, Member: endpoint{n.member}, Start: n.member.startup,
			Hasher: proofs.hasher, Tokens: proofs.tokens, Audit: n.member.audit, Operations: n.operations, Backups: n.member.backup.asked(),
			Logger: c.Logger, MaxRequestBytes: int(c.MaxRequestBytes), LeaseLeast: leaseLeast(c.ElectionTimeout), Limits: n.member.env.Limits.Clients,
		})
	}
	if err != nil {
		return nil, errors.Join(err, n.Stop(ctx), at.close())
	}
	if err := n.serveHTTP(&c, at, &trust, proofs, connections); err != nil {
		return nil, errors.Join(err, n.Stop(ctx), at.close())
	}
	n.collect()
	f := n.member.folder
	c.Logger.Info("qkv serves", "name", c.Name, "version", c.Version, "cluster", fmt.Sprintf("%016x", f.Cluster), "id", fmt.Sprintf("%016x", f.Member),
		"clients", strings.Join(append(c.native(), c.web()...), ","), "peers", c.AdvertisePeer, "members", max(len(n.member.status.View().Members().All()), len(n.member.welcome.Members)), "data", c.DataDir)
	return n, nil
}

// serveHTTP starts the endpoint of etcd's clients, of metrics and of the dashboard, with at most so many connections.
func (n *Node) serveHTTP(c *Config, at *sockets, t *trust, proofs proofs, connections int) error {
	n.overview = &overview{member: n.member, recent: n.recent, credentials: t.credentials}
	f := n.member.folder
	etcdLimits := n.member.env.Limits.Etcd
	if connections < etcdLimits.Connections {
		etcdLimits.Connections = connections
		c.Logger.Warn("the limit of open files reduces the number of connections for etcd's clients: raise it (ulimit -n, LimitNOFILE=)", "connections", etcdLimits.Connections, "files", openFiles())
	}
	if c.Etcd.Streams > 0 {
		etcdLimits.Streams = int(min(int64(c.Etcd.Streams), int64(etcdLimits.Streams)))
	}
	if err := os.RemoveAll(filepath.Join(c.DataDir, etcdScratch)); err != nil { // left by a killed process
		return fmt.Errorf("remove the temporary files of an etcd snapshot: %w", err)
	}
	if c.Native {
		return nil
	}
	n.etcd = etcd.Start(etcd.Config{
		Audit: n.member.audit, Hasher: proofs.hasher, Tokens: proofs.tokens, CertificateUsers: c.certificateUsers(),
		Operations: n.operations, Listeners: at.web, Metrics: at.metrics, Dashboard: etcd.Dashboard{
			Listeners: at.dashboard, AtClients: c.webAtClients(), Insecure: c.InsecureClients, Certified: !c.plain(), Clients: n.clients, Cluster: n.overview.cluster,
		},
		Profiles: c.Profiles, Names: c.names(), Hosts: c.Etcd.Hosts, NoGateway: c.Etcd.NoGateway, PeerScheme: c.peerScheme(), Member: etcdMember{endpoint{n.member}, n, t.first()}, Trusted: func() error { return n.member.trusted(t.first()) }, Stuck: n.member.stuck, Start: n.member.startup, Cluster: f.Cluster, ID: f.Member, Logger: c.Logger,
		MaxRequestBytes: int(c.MaxRequestBytes), TxnOperations: c.Etcd.TxnOperations, LeaseLeast: leaseLeast(c.ElectionTimeout), Timeout: etcdRequestTime + 2*c.ElectionTimeout,
		Limits: etcdLimits, Scratch: filepath.Join(c.DataDir, etcdScratch),
		Room: func() (int64, error) { return disk.OS().Free(c.DataDir) },
	})
	return nil
}

// startDuties begins the backup that this member makes while it leads, and the scrub of its files.
func (n *Node) startDuties() {
	n.member.backup = newBackupDuty(n.member)
	n.member.backup.start()
	n.scrubber = newScrubDuty(n.member)
	n.scrubber.start()
	n.runtime.Every(lookInterval, n.scrubber.look)
}

// watchCertificates starts the clocks that warn before a certificate expires.
func (n *Node) watchCertificates(t *trust, logger *slog.Logger) {
	if t.credentials != nil {
		n.runtime.Every(certificateClock, newCertificateWatch(t.credentials, t.credentials.Source, n.member.status, logger).look)
	}
	if t.derived != nil && t.derived != t.credentials {
		watch := newCertificateWatch(t.derived, t.derived.Source, n.member.status, logger)
		watch.subject = t.derived.Source
		n.runtime.Every(certificateClock, watch.look)
	}
	for _, files := range t.files {
		watch := newCertificateWatch(files, files.Source(), n.member.status, logger)
		watch.subject = files.Source()
		n.runtime.Every(certificateClock, watch.look)
	}
}

// yield lets the goroutines that send to peers run before the wait for the disk. Measured: 1.17 x for one caller on three members. A
// member without peers has nothing to send.
func (n *Node) yield() {
	if n.peers.Peers() > 0 {
		runtime.Gosched()
		runtime.Gosched()
	}
}

// OwnFolder returns the folder for a member's data: dir, or qkv in it if dir belongs to another user, as the root of a volume does in
// Kubernetes. That folder cannot be closed to its owner and its group. If dir itself has a member's data, it stays dir, which checkMode
// refuses: a member that begins anew beside its data would serve an empty cluster.
func OwnFolder(dir string) string { return ownFolder(dir, os.Geteuid()) }

func ownFolder(dir string, uid int) string {
	info, err := os.Stat(dir)
	if err != nil || !info.IsDir() || uid == 0 || int(info.Sys().(*syscall.Stat_t).Uid) == uid {
		return dir
	}
	for _, name := range memberFiles {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			return dir
		}
	}
	return filepath.Join(dir, "qkv")
}

// memberFiles are in the data folder of a member: of qkv, and of etcd.
var memberFiles = []string{"identity", "wal", "member"}

// checkMode creates the data folder, and closes this user's folder to other users: a volume's fsGroup in Kubernetes opens it at each start.
func checkMode(dir string, logger *slog.Logger) error {
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make the data folder: %w", danglingLink(err))
		}
		info, err = os.Stat(dir)
	}
	if err != nil {
		return fmt.Errorf("look at the data folder: %w", err)
	}
	if !info.IsDir() {
		return usagef("--data-dir %s is not a folder", dir)
	}
	mode := info.Mode().Perm()
	if err := CheckOwner(dir, mode); err != nil {
		return err
	}
	if mode == 0o700 {
		return nil
	}
	err = fs.ErrPermission // root could close another user's folder to that user
	owner, uid := int(info.Sys().(*syscall.Stat_t).Uid), os.Geteuid()
	if owner == uid {
		err = os.Chmod(dir, 0o700)
	} else if uid != 0 {
		return usagef("the data folder %s belongs to user %d, and qkv runs as user %d: run it as that user, or give the folder to this one: `chown -R %d %s`",
			dir, owner, uid, uid, dir)
	}
	if err != nil {
		return usagef("the data folder %s has mode %04o, so other users could read or change the data: it must be 0700 (chmod 700 %s): %w", dir, mode, dir, err)
	}
	logger.Warn("the mode of the data folder is set to 0700: only this user may open it", "data-dir", dir, "mode", fmt.Sprintf("%04o", mode))
	return nil
}

// CheckOwner refuses two kinds of data folder: a folder with the data of an etcd member, and a folder that is open to other users and holds
// files of another program (closing /var/lib to other users would stop that host's programs). A folder that cannot be read is left to later
// checks.
func CheckOwner(dir string, mode fs.FileMode) error {
	entries, _ := os.ReadDir(dir)
	var other string
	for _, entry := range entries {
		switch name := entry.Name(); name {
		case "identity", "wal":
			return nil
		case "member":
			return usagef("%s holds the data of an etcd member, which qkv does not read in place: `qkv migrate from-etcd` migrates it into another folder", dir)
		case "lost+found": // in an empty file system
		default:
			other = cmp.Or(other, name)
		}
	}
	if mode == 0o700 || other == "" {
		return nil
	}
	return usagef("the data folder %s has mode %04o and holds files of other programs, such as %s: give --data-dir a folder for this member only, such as %s",
		dir, mode, other, filepath.Join(dir, "qkv"))
}

// danglingLink says where a link leads that stands in place of a folder that cannot be created.
func danglingLink(err error) error {
	place, ok := errors.AsType[*fs.PathError](err)
	if !ok {
		return err
	}
	to, failed := os.Readlink(place.Path)
	if failed != nil {
		return err
	}
	return fmt.Errorf("%s is a symbolic link to %s, which does not exist: mount its disk, or make that folder with mode 0700", place.Path, to)
}

// etcdScratch is the folder in the data folder for the files of snapshots for etcd, while they are sent.
const etcdScratch = "etcd-snapshot"

// transport makes the transport to the other members.
func (n *Node) transport(c Config, at *sockets, trust peer.Trust, f *folder, process [16]byte) (transport, error) {
	t, err := peer.New(peer.Config{
		Cluster: f.Cluster, Name: c.Name, Member: f.Member, Process: process, Listen: at.peers, Alive: at.alive,
		Trust: trust, ResetKey: f.ResetKey, Seed: binary.BigEndian.Uint64(process[:]), Logger: c.Logger,
	})
	n.peers = t
	return t, err
}

// ended handles the reason when the member has ended by itself.
func (n *Node) ended(err error) {
	n.once.Do(func() {
		n.err = err
		close(n.done)
	})
}

// Ready returns when the member's start is over: it serves every request, and the members list it. Otherwise it returns the reason.
func (n *Node) Ready(ctx context.Context) error {
	for !n.member.startup.Reached(wire.StageListed) {
		raised := n.member.startup.Raised()
		if n.member.startup.Reached(wire.StageListed) {
			break
		}
		select {
		case <-n.done:
			return n.err
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-raised:
		}
	}
	return nil
}

// Working reports whether consensus has advanced raft's clock within the last d. It does so every 10 ms, also without a quorum: if it has not,
// the process hangs, or is starved of CPU time.
func (n *Node) Working(d time.Duration) bool {
	return n.runtime.Time().Now-n.member.status.Ticked() < d
}

// Done is closed when the member has ended by itself; Err returns the reason. Only writes acknowledged before are promised.
func (n *Node) Done() <-chan struct{} { return n.done }

// Err returns why the member has ended by itself.
func (n *Node) Err() error {
	select {
	case <-n.done:
		return n.err
	default:
		return nil
	}
}

// ErrRemoved is in the chain of errors of a member that was removed from its cluster.
var ErrRemoved = actor.ErrRemoved

// ErrDisk is in the chain of errors of a disk that failed a write or a sync, or does not respond.
var ErrDisk = actor.ErrDisk

// Stop ends the member: it hands leadership over, lets requests finish until ctx ends, and records on the disk how far the log is synced.
// A member that has ended by itself only closes its sockets. If it was removed, it tells its clients of the members first.
func (n *Node) Stop(ctx context.Context) (err error) {
	n.stop.Do(func() { err = n.shutdown(ctx) })
	return err
}

func (n *Node) shutdown(ctx context.Context) error {
	switch err := n.Err(); {
	case err == nil:
		n.handOver(ctx)
		n.drain(ctx, drainTimeout)
	case errors.Is(err, ErrRemoved): // it answers no more, but its clients may not know the other members yet
		n.drain(ctx, limits.DrainLinger)
	}
	var errs []error
	n.pulls.stop()
	if err := n.stopActors(ctx); err != nil {
		if why := n.Err(); errors.Is(why, ErrDisk) {
			return why // the actors wait for exactly that
		}
		return errors.Join(err, n.Err())
	}
	n.pulls.close()
	if n.overview != nil {
		n.overview.close()
	}
	if n.etcd != nil {
		n.etcd.Close()
	}
	if n.server != nil {
		errs = append(errs, n.server.Close())
	}
	if n.peers != nil {
		errs = append(errs, n.peers.Close())
	}
	if n.scrubber != nil {
		n.member.backup.stop()
		n.scrubber.close()
	}
	if n.member != nil {
		errs = append(errs, n.member.close())
	}
	return errors.Join(append(errs, n.Err())...)
}

// drain lets the clients of both endpoints finish, and accepts no new ones.
func (n *Node) drain(ctx context.Context, most time.Duration) {
	ctx, done := context.WithTimeout(ctx, most)
	defer done()
	var both sync.WaitGroup
	if n.etcd != nil {
		both.Go(func() { n.etcd.Drain(ctx) })
	}
	if n.server != nil {
		both.Go(func() { n.server.Drain(ctx) })
	}
	both.Wait()
}

// stopActors waits for the actors, but not for a disk that does not respond or is busy for long. Goroutines that wait for a mailbox's
// capacity are released, which lets the server close.
func (n *Node) stopActors(ctx context.Context) error {
	stopped := make(chan struct{})
	go func() {
		n.runtime.Stop()
		close(stopped)
	}()
	select {
	case <-stopped:
		return nil
	case <-ctx.Done():
	}
	// Before any actor it waits for a clock, whose only long work is to write the known facts about the peers.
	if at := n.runtime.Ending(); at != logWriterName && at != "" {
		return fmt.Errorf("timeout at shutdown: the %s has not finished its work; acknowledged writes are safe", at)
	}
	return fmt.Errorf("%w: timeout at shutdown: it has not finished a write; acknowledged writes are safe", ErrDisk)
}

// handOver waits until another member leads, if this member leads and another one can. Leadership that returns from a member that is
// stopping, too, stays: otherwise the two would pass it back and forth.
func (n *Node) handOver(ctx context.Context) {
	if n.member == nil {
		return
	}
	if len(n.member.status.View().Members().Configuration().Voters) == 1 {
		n.member.actors.consensus.Offer(actor.Transfer{}) // for the leases: their remaining times outlive the stop
		return
	}
	const poll = 10 * time.Millisecond
	began := n.member.status.Raft()
	if began.Role != "leader" {
		return
	}
	for deadline := time.Now().Add(2 * n.member.config.ElectionTimeout); time.Now().Before(deadline); {
		// The next leader may need this member's vote: this member stays until it has heard of a leader.
		now := n.member.status.Raft()
		if now.Role == "leader" && now.Term != began.Term || now.Role != "leader" && now.Leader != 0 {
			return
		}
		if !n.votersConnected() {
			return
		}
		n.member.actors.consensus.Offer(actor.Transfer{})
		select {
		case <-ctx.Done():
			return
		case <-time.After(poll):
		}
	}
}

// votersConnected reports whether a voter could take leadership over: if all members stop, the last one need not wait for that.
func (n *Node) votersConnected() bool {
	members := n.member.status.View().Members()
	return slices.ContainsFunc(n.member.transport.Status(), func(s peer.PeerStatus) bool {
		one := members.Get(s.ID)
		return s.Connected && one != nil && one.Role.Votes()
	})
}

// Status is the member's own status.
func (n *Node) Status() kv.Status { return n.member.Status() }

// endpoint is the member as the native endpoint and, within etcdMember, etcd's endpoint see it.
type endpoint struct{ *member }

// Propose implements server.Member.
func (e endpoint) Propose(p kv.Proposal) {
	if !e.actors.consensus.Send(actor.Propose{Proposal: p, Followed: e.status.Observer.Stages.Arrive()}, kv.CommandBytes(p.Commands)) {
		kv.Refuse(p.ReplyTo, p.Requests, kv.CommandDone, stopping("the write certainly did not happen"))
	}
}

// ReadIndex implements server.Member.
func (e endpoint) ReadIndex(to kv.ReplyTo, requests []uint64, timeout time.Duration) {
	if !e.actors.consensus.Send(actor.ReadIndex{ReplyTo: to, Requests: requests, Timeout: timeout}, 0) {
		kv.Refuse(to, requests, kv.ReadReady, stopping("the read was not answered"))
	}
}

// Watch implements server.Member.
func (e endpoint) Watch(to kv.WatchStream, r kv.WatchRequest) {
	message := actor.Watch{Stream: to, Request: r}
	switch {
	case r.Kind == kv.WatchRoom || r.Kind == kv.WatchEnd:
		e.actors.watches.MustPost(message)
	case !e.actors.watches.Send(message, int64(limits.RequestOverhead+len(r.Watch.Key)+len(r.Watch.End))):
		to.Deliver(&kv.WatchDelivery{Kind: kv.WatchEnded, Err: stopping("its watches end")})
	}
}

// AskLeases implements server.Member.
func (e endpoint) AskLeases(to kv.ReplyTo, requests []uint64, asks []kv.LeaseAsk, timeout time.Duration) {
	if !e.actors.consensus.Send(actor.AskLeases{ReplyTo: to, Requests: requests, Asks: asks, Timeout: timeout}, 0) {
		kv.Refuse(to, requests, kv.LeaseTold, stopping("the leader's lease clock was not asked"))
	}
}

// leaseLeast is the shortest TTL in seconds, as etcd has it: a lease is to outlive an election.
func leaseLeast(electionTimeout time.Duration) int64 {
	return int64((electionTimeout*3/2 + time.Second - 1) / time.Second)
}

// Refuse implements server.Member.
func (e endpoint) Refuse() *kv.Error {
	if e.status.Raft().Role == actor.RoleSuspended {
		code, why := kv.Amnesia, e.status.Suspended()
		if why.Name == kv.CorruptAlarm {
			code = kv.Corrupt
		}
		return kv.Errorf(code, "this member takes no part in the cluster, and answers only status requests: %s", why.Text)
	}
	if why := e.status.Waits(); why != "" {
		return kv.Errorf(kv.Unavailable, "this member answers only status requests, ask another one: %s", why)
	}
	return nil
}

// Readmit implements server.Member.
func (e endpoint) Readmit(member uint64) *kv.Error {
	switch {
	case member != e.folder.Member:
		return kv.Errorf(kv.BadRequest, "this is the member %s, not %s", e.config.Name, e.status.NameOf(member))
	case e.status.Raft().Role != actor.RoleSuspended:
		return kv.Errorf(kv.BadRequest, "%s is not suspended: it takes part", e.config.Name)
	case !e.actors.consensus.Offer(actor.Readmit{}):
		return kv.Errorf(kv.Overloaded, "%s is overloaded, and its suspension was not lifted: try again", e.config.Name)
	}
	return nil
}

// MoveLeader implements server.Member. Only the leader can do it.
func (e endpoint) MoveLeader(ctx context.Context, to uint64) *kv.Error {
	now := e.status.Raft()
	if to != 0 {
		one := e.View().Members().Get(to)
		switch {
		case one == nil:
			return kv.Errorf(kv.MemberNotFound, "there is no member %016x", to)
		case !one.Role.Votes():
			return kv.Errorf(kv.BadRequest, "%s is a learner, and cannot lead: promote it first", one.Name)
		case now.Leader == to:
			return nil
		}
	}
	if now.Role != "leader" {
		return kv.Errorf(kv.Unavailable, "%s is not the leader, and the leader was not moved: ask %s", e.config.Name, e.status.NameOf(now.Leader))
	}
	if !e.actors.consensus.Offer(actor.Transfer{To: to}) {
		return kv.Errorf(kv.Overloaded, "%s is overloaded, and the leader was not moved: try again", e.config.Name)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*e.config.ElectionTimeout)
	defer cancel()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for ctx.Err() == nil {
		if after := e.status.Raft(); after.Leader != 0 && after.Leader != e.folder.Member && after.Term > now.Term {
			return nil
		}
		select {
		case <-ctx.Done():
		case <-poll.C:
		}
	}
	return kv.Errorf(kv.Unknown, "timeout: %s is still the leader: the other member lags or does not answer; it may still take over", e.config.Name)
}

// RaftStatus implements etcd.Member.
func (e endpoint) RaftStatus() etcd.RaftStatus {
	raft := e.status.Raft()
	return etcd.RaftStatus{Term: raft.Term, Leader: raft.Leader}
}

// View implements server.Member.
func (e endpoint) View() *index.View { return e.status.View() }

// stopping is the error of requests that come while the member ends.
func stopping(what string) *kv.Error {
	return kv.Errorf(kv.Unavailable, "this member is shutting down; %s: ask another member", what)
}
