package migrate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/etcd"
	"qkv/net/server/servertest"
	"qkv/net/wire"
)

// wait is for how long a test waits for what must come.
const wait = time.Minute

// member is an in-memory member with etcd's API: the source.
type member struct{ *servertest.Member }

func (member) RaftStatus() etcd.RaftStatus { return etcd.RaftStatus{Term: 7, Leader: 1} }
func (m member) Metrics() etcd.Metrics     { return etcd.Metrics{Status: m.Status()} }

// serve serves a member until the test ends, and returns a group of it alone.
func serve(t *testing.T, m *servertest.Member, cluster uint64) *Group {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	trust := servertest.NewTrust(t)
	s := etcd.Start(etcd.Config{
		Listeners: []etcd.Listener{{Listener: listener, TLS: wire.EtcdTLS(trust.Member), Plain: true}}, PeerScheme: "http", Member: member{m},
		Cluster: cluster, ID: 1, Logger: slog.New(slog.DiscardHandler),
		Scratch: t.TempDir() + "/scratch", Room: func() (int64, error) { return 1 << 40, nil },
		MaxRequestBytes: limits.RequestBytesWritten, LeaseLeast: 2, Timeout: wait, Limits: limits.Defaults().Etcd,
	})
	t.Cleanup(s.Close)
	one, err := Dial(s.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	g := NewGroup(fmt.Sprintf("cluster %x", cluster), one)
	t.Cleanup(func() { _ = g.Close() })
	return g
}

// said is what a migration has said.
type said struct {
	mu    sync.Mutex
	lines []string
}

func (s *said) say(format string, values ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, fmt.Sprintf(format, values...))
}

func (s *said) has(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Contains(strings.Join(s.lines, "\n"), text)
}

// until waits for something.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(wait); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s does not happen", what)
		}
	}
}

// scenario is a source, and the state that is built from it.
type scenario struct {
	t      *testing.T
	source *servertest.Member
	from   *Group
	live   *Live
	work   string
}

func newScenario(t *testing.T) *scenario {
	s := &scenario{t: t, source: servertest.NewMember(), work: t.TempDir()}
	s.from = serve(t, s.source, 0xa)
	return s
}

func (s *scenario) kv() pb.KVClient       { return pb.NewKVClient(s.from.all[0].conn) }
func (s *scenario) lease() pb.LeaseClient { return pb.NewLeaseClient(s.from.all[0].conn) }

func (s *scenario) put(key, value string, lease int64) int64 {
	s.t.Helper()
	a, err := s.kv().Put(s.t.Context(), &pb.PutRequest{Key: []byte(key), Value: []byte(value), Lease: lease})
	if err != nil {
		s.t.Fatal(err)
	}
	return a.Header.Revision
}

func (s *scenario) grant(id, ttl int64) {
	s.t.Helper()
	if _, err := s.lease().LeaseGrant(s.t.Context(), &pb.LeaseGrantRequest{ID: id, TTL: ttl}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *scenario) compact(revision int64) {
	s.t.Helper()
	if _, err := s.kv().Compact(s.t.Context(), &pb.CompactionRequest{Revision: revision}); err != nil {
		s.t.Fatal(err)
	}
}

// run lets a migration run until it is stopped or ends. The order makes it cut over.
func (s *scenario) run() (told *said, order chan<- struct{}, stop func() error) {
	told = &said{}
	ctx, cancel := context.WithCancel(s.t.Context())
	ordered := make(chan struct{}, 1)
	from := *s.from
	s.live = &Live{
		From: &from, WorkDir: s.work, State: index.NewState(limits.Defaults().Index), Clock: func() int64 { return 1e18 }, Hash: etcd.HashKV,
		CutOver: ordered, Timeout: wait, Say: told.say, Bar: func(int, int) {},
	}
	ended := make(chan error, 1)
	go func() { ended <- s.live.Run(ctx) }()
	return told, ordered, func() error {
		defer cancel()
		select {
		case err := <-ended:
			return err
		case <-time.After(wait):
			s.t.Fatalf("the migration does not end:\n%s", strings.Join(told.lines, "\n"))
			return nil
		}
	}
}

// cutOver lets a migration run to its end, after the source did something while it was followed.
func (s *scenario) cutOver(followed func()) *said {
	s.t.Helper()
	told, order, stop := s.run()
	if followed != nil {
		until(s.t, "to follow", func() bool { return told.has("following cluster a") })
		followed()
	}
	order <- struct{}{}
	if err := stop(); err != nil {
		s.t.Fatalf("cut over: %v\n%s", err, strings.Join(told.lines, "\n"))
	}
	a, b := s.source.View(), s.live.State.View()
	if a.Revision() != b.Revision() || a.Compacted() != b.Compacted() || leasesText(a) != leasesText(b) || s.live.Revision != a.Revision() {
		s.t.Fatalf("revision %d, compacted %d, leases %s\nat the source %d, %d, %s", b.Revision(), b.Compacted(), leasesText(b), a.Revision(), a.Compacted(), leasesText(a))
	}
	sums := [2]uint32{}
	for i, v := range []*index.View{a, b} {
		var err error
		if sums[i], err = etcd.HashKV(s.t.Context(), v, v.Revision()); err != nil {
			s.t.Fatal(err)
		}
	}
	if sums[0] != sums[1] || !told.has(fmt.Sprintf("the hash is %d on both sides at revision %d", sums[0], a.Revision())) {
		s.t.Fatalf("the hashes are %d and %d:\n%s", sums[0], sums[1], strings.Join(told.lines, "\n"))
	}
	if err := s.live.State.Check(); err != nil {
		s.t.Error(err)
	}
	if all, err := os.ReadDir(s.work); err != nil || len(all) > 0 {
		s.t.Errorf("the work folder has %v %v", all, err)
	}
	return told
}

// TestLive takes over a source while it is written to.
func TestLive(t *testing.T) {
	s := newScenario(t)
	ctx := t.Context()
	s.grant(5, 100)
	s.grant(-6, 200)
	s.put("a", "1", 5)
	s.put("b", "1", -6)
	s.put("b", "2", -6)
	s.compact(3)
	s.put("c", "1", 0)

	// A process that was killed while it loaded.
	stale := filepath.Join(s.work, "etcd-000000000000000a.db")
	for _, path := range []string{stale, stale + ".part"} {
		if err := os.WriteFile(path, []byte("a part"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	told := s.cutOver(func() {
		s.put("d", "1", 0)
		s.grant(7, 300)
		s.put("e", "1", 7)
		if _, err := s.lease().LeaseRevoke(ctx, &pb.LeaseRevokeRequest{ID: 5}); err != nil {
			t.Fatal(err)
		}
		s.grant(9, 300) // a lease that is granted, used and revoked
		s.put("f", "1", 9)
		if _, err := s.lease().LeaseRevoke(ctx, &pb.LeaseRevokeRequest{ID: 9}); err != nil {
			t.Fatal(err)
		}
		s.grant(11, 400) // a lease without keys
		s.put("g", "1", 0)
		s.compact(7)
		var ops []*pb.RequestOp
		for i := range 5 {
			ops = append(ops, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: fmt.Appendf(nil, "part %d", i)}}})
		}
		if _, err := s.kv().Txn(ctx, &pb.TxnRequest{Success: ops}); err != nil {
			t.Fatal(err)
		}
	})
	if !told.has("following cluster a from revision 6 on") {
		t.Error(told.lines)
	}
	if wall, known := s.live.State.View().TimeOf(5); known {
		t.Errorf("a loaded revision has the time %d", wall)
	}
}

// TestLiveLeaseGrantedAnew: a lease that is revoked at the source and granted again with its id has the new TTL after the cutover.
func TestLiveLeaseGrantedAnew(t *testing.T) {
	s := newScenario(t)
	s.grant(5, 100)
	s.put("a", "1", 5)
	s.cutOver(func() {
		if _, err := s.lease().LeaseRevoke(t.Context(), &pb.LeaseRevokeRequest{ID: 5}); err != nil {
			t.Fatal(err)
		}
		s.grant(5, 900)
		s.put("b", "1", 5)
	})
	if got := leasesText(s.live.State.View()); got != "5 900: b\n" {
		t.Errorf("the leases are %q", got)
	}
}

// TestLiveReconnects: a source whose connections end within its revisions is followed without a gap.
func TestLiveReconnects(t *testing.T) {
	s := newScenario(t)
	s.put("a", "1", 0)
	proxy := newProxy(t, s.from.all[0].Endpoint)
	direct := s.from
	through, err := Dial(proxy.listener.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	s.from = NewGroup("cluster a", through)
	defer s.from.Close()
	told, order, stop := s.run()
	until(t, "to follow", func() bool { return told.has("following cluster a") })
	s.from = direct
	for i := range 20 {
		s.put("k", fmt.Sprint(i), 0)
		proxy.cut()
	}
	until(t, "to lose a connection", func() bool { proxy.cut(); return told.has("trying again") }) // the watch may begin after the first cuts
	order <- struct{}{}
	if err := stop(); err != nil || s.live.State.View().Revision() != s.source.View().Revision() {
		t.Errorf("it ends with %v\n%s", err, strings.Join(told.lines, "\n"))
	}
}

// TestLiveBrokenRevision: a watch that fails within a revision begins again with the whole revision.
func TestLiveBrokenRevision(t *testing.T) {
	s := newScenario(t)
	var ops []*pb.RequestOp
	var part []*mvccpb.Event
	for i := range 4 {
		key := fmt.Appendf(nil, "k%d", i)
		ops = append(ops, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: key}}})
		part = append(part, &mvccpb.Event{Kv: &mvccpb.KeyValue{Key: key, ModRevision: 2, CreateRevision: 2, Version: 1}})
	}
	if _, err := s.kv().Txn(t.Context(), &pb.TxnRequest{Success: ops}); err != nil {
		t.Fatal(err)
	}
	ordered := make(chan struct{}, 1)
	ordered <- struct{}{}
	clock := func() int64 { return 1e18 }
	l := &Live{From: s.from, WorkDir: s.work, Clock: clock, Hash: etcd.HashKV, CutOver: ordered, Say: t.Logf}
	state := index.NewState(limits.Defaults().Index)
	var err error
	if l.imported, err = index.NewImport(state, 0, clock); err != nil {
		t.Fatal(err)
	}
	if err := l.takeEvents(&pb.WatchResponse{Events: part[:2], Fragment: true}); err != nil || state.View().Revision() != 1 {
		t.Fatalf("a part of revision 2: %v, revision %d", err, state.View().Revision())
	}
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	if err := l.follow(ctx); err != nil || state.View().Keys() != 4 || l.Revision != 2 {
		t.Errorf("%v: %d keys, revision %d", err, state.View().Keys(), l.Revision)
	}
}

// proxy forwards connections, and can cut them.
type proxy struct {
	listener net.Listener
	mu       sync.Mutex
	open     []net.Conn
	held     bool // new connections are closed
}

func newProxy(t *testing.T, to string) *proxy {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener}
	t.Cleanup(func() {
		_ = listener.Close()
		p.cut()
	})
	go func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			p.mu.Lock()
			held := p.held
			if p.open = append(p.open, in, out); held {
				_, _ = in.Close(), out.Close()
			}
			p.mu.Unlock()
			go func() { _, _ = io.Copy(in, out); _ = in.Close() }()
			go func() { _, _ = io.Copy(out, in); _ = out.Close() }()
		}
	}()
	return p
}

// hold cuts the connections, and accepts none until release.
func (p *proxy) hold() {
	p.mu.Lock()
	p.held = true
	p.mu.Unlock()
	p.cut()
}

func (p *proxy) release() {
	p.mu.Lock()
	p.held = false
	p.mu.Unlock()
}

func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.open {
		_ = c.Close()
	}
	p.open = nil
}

// TestWriteBetweenHashAndCutOver: the source is written to after it was hashed, or a lease is granted there. The cutover notices that.
func TestWriteBetweenHashAndCutOver(t *testing.T) {
	for name, change := range map[string]func(s *scenario, n int64){
		"write": func(s *scenario, n int64) { s.put("a", fmt.Sprint(n), 0) },
		"grant": func(s *scenario, n int64) { s.grant(n, 60) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newScenario(t)
			s.put("a", "1", 0)
			told, order, stop := s.run()
			until(t, "to follow", func() bool { return told.has("following") })
			var hashed atomic.Int64
			hash := s.live.Hash
			s.live.Hash = func(ctx context.Context, v *index.View, revision int64) (uint32, error) {
				sum, err := hash(ctx, v, revision)
				if n := hashed.Add(1); n < 3 {
					time.Sleep(50 * time.Millisecond) // the source has hashed, too
					change(s, n)
				}
				return sum, err
			}
			order <- struct{}{}
			err := stop()
			a, b := s.source.View(), s.live.State.View()
			if err != nil || hashed.Load() < 3 || a.Revision() != b.Revision() || leasesText(a) != leasesText(b) {
				t.Errorf("the cutover ends with %v after %d hashes at revision %d of %d\n%s", err, hashed.Load(), b.Revision(), a.Revision(), strings.Join(told.lines, "\n"))
			}
		})
	}
}

// TestLiveRefuses: a source that has compacted what is missing, and a state that is not the source's.
func TestLiveRefuses(t *testing.T) {
	s := newScenario(t)
	s.put("a", "1", 0)
	told, order, stop := s.run()
	until(t, "to follow", func() bool { return told.has("following") })
	s.live.Hash = func(context.Context, *index.View, int64) (uint32, error) { return 7, nil }
	order <- struct{}{}
	if err := stop(); err == nil || !strings.Contains(err.Error(), "this side has 7, compacted 0: one of them is damaged; nothing was written") {
		t.Errorf("another hash: %v", err)
	}

	// The source compacts revisions while no connection is there.
	s = newScenario(t)
	s.put("a", "1", 0)
	proxy := newProxy(t, s.from.all[0].Endpoint)
	direct := s.from
	through, err := Dial(proxy.listener.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	s.from = NewGroup("cluster a", through)
	defer s.from.Close()
	told, _, stop = s.run()
	until(t, "to follow", func() bool { return told.has("following") })
	s.from = direct
	proxy.hold()
	until(t, "the loss of the connection", func() bool { return told.has("trying again") })
	s.put("a", "2", 0)
	s.put("a", "3", 0)
	s.compact(4)
	proxy.release()
	if err := stop(); err == nil || !strings.Contains(err.Error(), "etcd compacted its history up to revision 4, and the changes before it are lost; start the migration again") {
		t.Errorf("compacted: %v", err)
	}

	nobody, _ := Dial("127.0.0.1:1", nil)
	l := &Live{From: NewGroup("nobody", nobody), WorkDir: s.work, Say: t.Logf, Bar: func(int, int) {}}
	if err := l.Run(t.Context()); status.Code(err) != codes.Unavailable {
		t.Errorf("nobody: %v", err)
	}
}

// leasesText is the leases of a state, with what they were granted for and their keys.
func leasesText(v *index.View) string {
	var out strings.Builder
	v.Leases(-1<<63, func(l kv.Lease) bool {
		fmt.Fprintf(&out, "%d %d:", l.ID, l.TTL)
		v.LeaseKeys(l.ID, nil, func(key []byte) bool {
			fmt.Fprintf(&out, " %s", key)
			return true
		})
		out.WriteString("\n")
		return true
	})
	return out.String()
}

// users makes users at the source.
func (s *scenario) users(all ...kv.AuthChange) {
	s.t.Helper()
	h := index.Head{By: s.source.View().By("")}
	for i := range all {
		s.source.Propose(kv.Proposal{ReplyTo: discard{}, Requests: make([]uint64, 1), Commands: []kv.Command{h.AppendAuthChange(nil, &all[i])}})
	}
}

// TestLiveSourceWithUsers: a running source with authentication is refused, also if it is enabled while the source is followed.
func TestLiveSourceWithUsers(t *testing.T) {
	for _, late := range []bool{false, true} {
		s := newScenario(t)
		s.put("a", "1", 0)
		enable := func() {
			s.users(kv.AuthChange{Kind: kv.UserAdd, User: kv.Root}, kv.AuthChange{Kind: kv.UserGrantRole, User: kv.Root, Role: kv.Root}, kv.AuthChange{Kind: kv.AuthEnable, Secret: make([]byte, limits.AuthSecretBytes)})
			if !s.source.View().Auth().Enabled() {
				t.Fatal("the source has no authentication")
			}
		}
		if !late {
			enable()
		}
		told, order, stop := s.run()
		if late {
			until(t, "to follow", func() bool { return told.has("following") })
			enable()
		}
		order <- struct{}{}
		if err := stop(); !errors.Is(err, ErrFile) || !strings.Contains(err.Error(), "authentication is enabled at the source") {
			t.Errorf("late %v: %v", late, err)
		}
	}
}

// TestLiveUsers: users and roles move while authentication is off, also those made while the source is followed.
func TestLiveUsers(t *testing.T) {
	s := newScenario(t)
	s.put("a", "1", 0)
	s.users(kv.AuthChange{Kind: kv.UserAdd, User: "alice", Password: []byte("hash of alice")}, kv.AuthChange{Kind: kv.RoleAdd, Role: "app"})
	told := s.cutOver(func() {
		s.users(kv.AuthChange{Kind: kv.UserAdd, User: "bob", Password: []byte("hash of bob")}, kv.AuthChange{Kind: kv.UserGrantRole, User: "bob", Role: "app"})
	})
	a := s.live.Auth
	if len(a.Users) != 2 || a.Users[0].Name != "alice" || string(a.Users[0].Password) != "hash of alice" || a.Users[1].Name != "bob" || string(a.Users[1].Password) != "hash of bob" ||
		len(a.Users[1].Roles) != 1 || a.Enabled || len(a.Roles) == 0 {
		t.Errorf("the users are %+v", a)
	}
	if !told.has("taking another snapshot for them") {
		t.Error(told.lines)
	}
}

// TestUsersBetweenHashAndCutOver: users that are made after the source was hashed move, too.
func TestUsersBetweenHashAndCutOver(t *testing.T) {
	s := newScenario(t)
	s.put("a", "1", 0)
	told, order, stop := s.run()
	until(t, "to follow", func() bool { return told.has("following") })
	hash := s.live.Hash
	s.live.Hash = func(ctx context.Context, v *index.View, revision int64) (uint32, error) {
		s.users(kv.AuthChange{Kind: kv.UserAdd, User: "alice", Password: []byte("hash of alice")})
		return hash(ctx, v, revision)
	}
	order <- struct{}{}
	if err := stop(); err != nil || len(s.live.Auth.Users) != 1 {
		t.Errorf("the cutover ends with %v and has the users %+v", err, s.live.Auth.Users)
	}
}

type discard struct{}

func (discard) Complete([]kv.Completion) {}
