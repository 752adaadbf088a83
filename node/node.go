package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"qkv/actor"
	"qkv/index"
	"qkv/log/disk"
	"qkv/net/peer"
	"qkv/net/server"
	"qkv/net/wire"
)

// Node is one running member with its endpoints. Its methods may be called from any goroutine.
type Node struct {
	member  *member
	runtime *actor.Runtime
	peers   *peer.Transport
	server  *server.Server

	done chan struct{} // closed when the member has ended by itself
	once sync.Once
	stop sync.Once
	err  error
}

// Start starts a member: checks, data folder, recovery, actors, endpoints, in this order. A configuration that is
// refused is a *UsageError, and nothing was started.
func Start(ctx context.Context, c Config) (*Node, error) {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if err := checkMode(c.DataDir); err != nil {
		return nil, err
	}
	id, credentials, err := identify(c)
	if err != nil {
		return nil, err
	}
	clients, peers, err := listen(c)
	if err != nil {
		return nil, err
	}
	if host, port, err := net.SplitHostPort(c.Advertise); err == nil && port == "0" { // the kernel has chosen one
		c.Advertise = net.JoinHostPort(host, fmt.Sprint(clients.LocalAddr().(*net.UDPAddr).Port))
	}
	n := &Node{runtime: actor.NewRuntime(), done: make(chan struct{})}
	n.member, err = build(c, id, environment{
		FS: disk.OS(), Driver: n.runtime, Random: rand.Reader, Yield: yieldFor(len(id.order)),
		Link: func(l links) (actor.Peers, error) { return n.link(c, id, peers, credentials, l) },
	}, n.ended)
	if err != nil {
		return nil, errors.Join(err, clients.Close(), closeIfOpen(peers))
	}
	n.server, err = server.Start(server.Config{
		Conn: clients, Credentials: credentials, ResetKey: n.member.folder.ResetKey, Member: endpoint{n.member},
		Logger: c.Logger, ValueBytes: int(c.ValueBytes),
	})
	if err != nil {
		return nil, errors.Join(err, n.Stop(ctx))
	}
	where := []any{"clients", c.Advertise}
	if peers != nil { // a member alone listens for none
		where = append(where, "peers", c.AdvertisePeer)
	}
	c.Logger.Info("qkv serves", append([]any{
		"member", c.Name, "version", c.Version, "cluster", fmt.Sprintf("%016x", id.cluster), "id", fmt.Sprintf("%016x", id.self),
	}, append(where, "members", len(id.order), "data", c.DataDir)...)...)
	return n, nil
}

// yieldFor returns what lets the goroutines that send to peers run before the disk is waited for. Measured: 1.17 x for
// one caller on three members. A member without peers has nothing to send.
func yieldFor(members int) func() {
	if members == 1 {
		return func() {}
	}
	return func() {
		runtime.Gosched()
		runtime.Gosched()
	}
}

// checkMode makes the data folder, and refuses one that others can look into.
func checkMode(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the data folder: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("look at the data folder: %w", err)
	}
	if !info.IsDir() {
		return usagef("--data-dir %s is no folder", dir)
	}
	if mode := info.Mode().Perm(); mode != 0o700 {
		return usagef("the data folder %s has mode %04o, and others could read or change the data: it must be 0700 (chmod 700 %s)", dir, mode, dir)
	}
	return nil
}

// identify finds out who this member is, and its credentials. The local CA's are made in the data folder, which must not
// be another member's.
func identify(c Config) (id ids, credentials *wire.Credentials, err error) {
	domain := wire.LocalCluster
	if c.CertsDir != "" {
		if credentials, err = wire.LoadMember(c.CertsDir, c.Name, time.Now); err != nil {
			return ids{}, nil, usagef("%v", err)
		}
		domain = credentials.Cluster()
	}
	id = idsOf(domain, c.InitialClusterToken, c.Name, c.InitialCluster)
	if err := refuseForeign(disk.OS(), c.DataDir, id); err != nil {
		return ids{}, nil, err
	}
	if credentials == nil {
		maker := wire.Maker{Now: time.Now, Rand: rand.Reader}
		switch credentials, err = maker.LocalMember(c.Home, c.DataDir, c.Name); {
		case errors.Is(err, syscall.ENOSPC):
			return ids{}, nil, err // nothing is wrong with the configuration
		case err != nil:
			return ids{}, nil, usagef("%v", err)
		}
	}
	return id, credentials, nil
}

// listen opens both sockets before anything is written, so that an address in use changes nothing.
func listen(c Config) (clients net.PacketConn, peers *net.UDPConn, err error) {
	at, err := net.ResolveUDPAddr("udp", c.Listen)
	if err != nil {
		return nil, nil, usagef("--listen %s: %v", c.Listen, err)
	}
	clients, err = wire.ListenUDP("clients", at)
	if err != nil {
		return nil, nil, err
	}
	if len(c.InitialCluster) > 1 {
		if peers, err = peer.Listen(c.ListenPeer); err != nil {
			return nil, nil, errors.Join(err, clients.Close())
		}
	}
	return clients, peers, nil
}

func closeIfOpen(c *net.UDPConn) error {
	if c == nil {
		return nil
	}
	if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// link starts the transport to the other members; a member alone has none.
func (n *Node) link(c Config, id ids, socket *net.UDPConn, credentials *wire.Credentials, l links) (actor.Peers, error) {
	if socket == nil {
		return nobody{}, nil
	}
	var others []peer.Peer
	for _, member := range id.order {
		others = append(others, peer.Peer{ID: member, Name: id.members[member].Name, Address: id.members[member].Address})
	}
	t, err := peer.Start(peer.Config{
		Cluster: fmt.Sprintf("%016x", id.cluster), Name: c.Name, Member: id.self, Listen: socket, Peers: others,
		Credentials: credentials, ResetKey: l.ResetKey, Seed: l.Seed,
		Hello: l.Hello, Admit: l.Admit,
		Receive:   func(from uint64, class peer.Class, frame []byte) { l.Receive(from, actor.Class(class), frame) },
		Connected: l.Connected, Disconnected: l.Disconnected, Refused: l.Refused, Logger: c.Logger,
	})
	if err != nil {
		return nil, err
	}
	n.peers = t
	return transport{t}, nil
}

// transport makes the actors' classes the transport's.
type transport struct{ t *peer.Transport }

func (t transport) Send(to uint64, class actor.Class, frame []byte, lazy bool) {
	t.t.Send(to, peer.Class(class), frame, lazy)
}

// nobody is the way to the others of a member that has none.
type nobody struct{}

func (nobody) Send(uint64, actor.Class, []byte, bool) {}

// ended is told why the member has ended by itself.
func (n *Node) ended(err error) {
	n.once.Do(func() {
		n.err = err
		close(n.done)
	})
}

// Done is closed when the member has ended by itself; Err says why. Nothing it had not acknowledged before is promised.
func (n *Node) Done() <-chan struct{} { return n.done }

// Err is why the member has ended by itself.
func (n *Node) Err() error {
	select {
	case <-n.done:
		return n.err
	default:
		return nil
	}
}

// ErrDisk is in the chain of errors of a disk that failed a write or a sync, or does not answer.
var ErrDisk = actor.ErrDisk

// Stop ends the member: it hands leadership over, lets requests finish until ctx ends, and says on the disk how far it
// is synced. A member that has ended by itself only lets go of its sockets.
func (n *Node) Stop(ctx context.Context) (err error) {
	n.stop.Do(func() { err = n.shutdown(ctx) })
	return err
}

func (n *Node) shutdown(ctx context.Context) error {
	failed := n.Err() != nil
	if !failed {
		n.handOver(ctx)
	}
	var errs []error
	if n.server != nil && !failed {
		draining, done := context.WithTimeout(ctx, drainTime)
		n.server.Drain(draining)
		done()
	}
	if err := n.stopActors(ctx); err != nil {
		if why := n.Err(); errors.Is(why, ErrDisk) {
			return why // that is what the actors wait for
		}
		return errors.Join(err, n.Err())
	}
	if n.server != nil {
		errs = append(errs, n.server.Close())
	}
	if n.peers != nil {
		errs = append(errs, n.peers.Close())
	}
	if n.member != nil {
		errs = append(errs, n.member.close())
	}
	return errors.Join(append(errs, n.Err())...)
}

// stopActors waits for the actors, but not for a disk that does not answer, nor for the end of a large snapshot that is
// being loaded. Who waits for room in a mailbox is let go of, so that the server can close.
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
	// Before any actor it is a clock, whose only long work is to write what is known of the peers.
	if at := n.runtime.Ending(); at != logWriterName && at != "" {
		return fmt.Errorf("the %s has not finished what it does while this member stops; what was acknowledged is safe", at)
	}
	return fmt.Errorf("%w: it has not finished a write while this member stops; what was acknowledged is safe", ErrDisk)
}

// drainTime bounds the wait for requests that are under way: without a quorum they would not end.
const drainTime = 2 * time.Second

// handOver waits until another member leads, if this one does and another one can. Leadership that comes back, from a
// member that stops too, stays: the two would pass it to and fro.
func (n *Node) handOver(ctx context.Context) {
	if n.member == nil || len(n.member.ids.order) == 1 {
		return
	}
	const look = 10 * time.Millisecond
	began := n.member.status.Standing()
	for deadline := time.Now().Add(2 * n.member.config.ElectionTimeout); time.Now().Before(deadline); {
		if now := n.member.status.Standing(); now.Role != "leader" || now.Term != began.Term {
			return
		}
		n.member.consensus.Offer(actor.Transfer{})
		select {
		case <-ctx.Done():
			return
		case <-time.After(look):
		}
	}
}

// Status is the member's own status.
func (n *Node) Status() wire.Status { return n.member.Status() }

// endpoint is the member as the native endpoint sees it.
type endpoint struct{ *member }

// Propose implements server.Member.
func (e endpoint) Propose(p index.Proposal) {
	weight := int64(0)
	for _, c := range p.Commands {
		weight += int64(len(c))
	}
	if !e.consensus.Send(actor.Propose{Proposal: p}, weight) {
		answer(p.From, p.Requests, index.Applied, "the write certainly did not happen")
	}
}

// Confirm implements server.Member.
func (e endpoint) Confirm(from index.Asker, requests []uint64, timeout time.Duration) {
	if !e.consensus.Send(actor.Confirm{From: from, Requests: requests, Timeout: timeout}, 0) {
		answer(from, requests, index.Confirmed, "the read was not answered")
	}
}

// View implements server.Member.
func (e endpoint) View() *index.View { return e.status.View() }

// answer tells that the member is stopping.
func answer(to index.Asker, requests []uint64, kind index.DoneKind, what string) {
	done := make([]index.Done, len(requests))
	for i, r := range requests {
		done[i] = index.Done{Request: r, Kind: kind, Err: &index.Error{Code: index.CodeUnavailable, Message: "this member is stopping; " + what + ": ask another one"}}
	}
	to.Deposit(done)
}
