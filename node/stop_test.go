package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"qkv/actor"
	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/testport"
	"qkv/net/peer"
)

// stuck is an actor that is in the middle of something until it is let go.
type stuck struct{ begun, until chan struct{} }

func (s stuck) Handle(actor.Time, []int) bool {
	select {
	case <-s.begun: // it was let go before it was told to stop, which is another turn
	default:
		close(s.begun)
	}
	<-s.until
	return false
}

// newStuck is a node with such an actor at work.
func newStuck(name string) (n *Node, until chan struct{}) {
	n = &Node{runtime: actor.NewRuntime(), done: make(chan struct{}), pulls: newPulls(context.Background(), peer.PartConfig{})}
	s := stuck{begun: make(chan struct{}), until: make(chan struct{})}
	box := actor.NewMailbox[int](name, actor.Capacity{MustPost: 1})
	actor.Spawn(n.runtime, box, s)
	box.MustPost(1)
	<-s.begun
	return n, s.until
}

// A member that has ended because of its disk says so once, also when the disk holds up its end.
func TestStopSaysOnceThatTheDiskFailed(t *testing.T) {
	n, until := newStuck(logWriterName)
	defer close(until)
	why := fmt.Errorf("%w: it has not finished a write for 31s", ErrDisk)
	n.ended(why)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := n.Stop(ctx); err == nil || err.Error() != why.Error() {
		t.Errorf("stop: %v\nits end was: %v", err, why)
	}
}

// A member that does not come to its end says what it is at: only the log writer's work is the disk's fault.
func TestStopSaysWhatItWaitsFor(t *testing.T) {
	for name, disk := range map[string]bool{"applier": false, logWriterName: true} {
		n, until := newStuck(name)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		err := n.stopActors(ctx)
		cancel()
		if err == nil || errors.Is(err, ErrDisk) != disk || !disk && !strings.Contains(err.Error(), name) {
			t.Errorf("while the %s works: %v", name, err)
		}
		close(until)
	}
}

// Whoever waits for another leader does so no longer than its request: a member that stops would wait for that.
func TestMoveLeaderEndsWithItsRequest(t *testing.T) {
	a, err := startAlone(t, t.TempDir()+"/data")
	if err != nil {
		t.Fatal(err)
	}
	defer a.stop(t)
	for a.m.status.Raft().Role != "leader" {
		time.Sleep(time.Millisecond)
	}
	a.m.config.ElectionTimeout = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (endpoint{a.m}).MoveLeader(ctx, 0); err == nil || err.Certain() {
		t.Errorf("there is nobody else, and it said %v", err)
	}
}

// links is a transport with these connections.
type links struct {
	nobody
	all []peer.PeerStatus
}

func (l links) Status() []peer.PeerStatus { return l.all }

// The last member that stops waits for nobody who could lead.
func TestWhoCouldLeadWhenThisOneStops(t *testing.T) {
	n := &Node{member: memberWith(t, new(index.Head).AppendMemberChange(nil, &kv.MemberChange{Kind: kv.AddLearner, ID: 8, Name: "n8", Peers: []string{"h8:1"}}).Bytes)}
	link := func(id uint64, connected bool) peer.PeerStatus {
		return peer.PeerStatus{Peer: peer.Peer{ID: id}, Connected: connected}
	}
	for name, c := range map[string]struct {
		all  []peer.PeerStatus
		want bool
	}{
		"a voter":               {[]peer.PeerStatus{link(2, false), link(3, true)}, true},
		"a learner":             {[]peer.PeerStatus{link(2, false), link(8, true)}, false},
		"one that is no member": {[]peer.PeerStatus{link(9, true)}, false},
		"nobody":                {nil, false},
	} {
		n.member.transport = links{all: c.all}
		if got := n.votersConnected(); got != c.want {
			t.Errorf("connected to %s: %v", name, got)
		}
	}
}

// A member with clients of etcd alone takes no more of them when it stops, and has those finish, before its actors end.
func TestStopDrainsEtcdAlone(t *testing.T) {
	free, err := testport.Listen("", func(address string) (net.Listener, error) { return net.Listen("tcp", address) })
	if err != nil {
		t.Fatal(err)
	}
	at := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	n, err := Start(t.Context(), Config{
		Name: "n1", DataDir: t.TempDir() + "/data", Home: t.TempDir(), Found: true, ListenPeer: "127.0.0.1:0", HeartbeatInterval: 50 * time.Millisecond, ElectionTimeout: 500 * time.Millisecond,
		Etcd:            Etcd{Listen: []EtcdListen{{Address: at}}, URLs: []string{"http://" + at}, PeerScheme: "http", TxnOperations: limits.TxnOperations},
		MaxRequestBytes: 1 << 20, SegmentBytes: 1 << 20, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)), Version: "t",
	})
	if err != nil {
		t.Fatal(err)
	}
	if n.server != nil {
		t.Fatal("it serves native clients, too")
	}
	if held := n.held(); held != 0 {
		t.Errorf("nobody has connected, and clients hold %d bytes", held)
	}
	s := stuck{begun: make(chan struct{}), until: make(chan struct{})}
	box := actor.NewMailbox[int]("stuck", actor.Capacity{MustPost: 1})
	actor.Spawn(n.runtime, box, s)
	box.MustPost(1)
	<-s.begun
	stopped := make(chan error, 1)
	go func() { stopped <- n.Stop(t.Context()) }()
	closed := false
	for range 1000 {
		one, err := net.Dial("tcp", at)
		if closed = err != nil; closed {
			break
		}
		_ = one.Close()
		time.Sleep(10 * time.Millisecond)
	}
	close(s.until)
	if err := <-stopped; err != nil || !closed {
		t.Errorf("stop: %v; the port was closed before the actors ended: %v", err, closed)
	}
}
