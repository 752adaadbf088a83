package migrate

import (
	"context"
	"errors"
	"fmt"
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

// member is an in-memory member with etcd's API: here both what is followed and what follows.
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

// scenario is a source with a few keys, leases and compactions, and a target that is empty.
type scenario struct {
	t            *testing.T
	source, here *servertest.Member
	from, to     *Group
	work         string
}

func newScenario(t *testing.T) *scenario {
	s := &scenario{t: t, source: servertest.NewMember(), here: servertest.NewMember(), work: t.TempDir()}
	s.from, s.to = serve(t, s.source, 0xa), serve(t, s.here, 0xb)
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

// run lets a migration run until it is stopped or ends.
func (s *scenario) run(cutOver bool) (told *said, stop func() error) {
	told = &said{}
	ctx, cancel := context.WithCancel(s.t.Context())
	l := &Live{From: s.from, To: s.to, WorkDir: s.work, CutOver: cutOver, Timeout: wait, Say: told.say, Bar: func(int, int) {}}
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	return told, func() error {
		if !cutOver {
			cancel()
		}
		defer cancel()
		select {
		case err := <-ended:
			return err
		case <-time.After(wait):
			s.t.Fatal("the migration does not end")
			return nil
		}
	}
}

// same waits until both have the same.
func (s *scenario) same() {
	s.t.Helper()
	until(s.t, "the same state", func() bool {
		a, b := s.source.View(), s.here.View()
		return a.Revision() == b.Revision() && a.Compacted() == b.Compacted() && leasesText(a) == leasesText(b)
	})
	a, err := pb.NewMaintenanceClient(s.from.all[0].conn).HashKV(s.t.Context(), &pb.HashKVRequest{})
	if err != nil {
		s.t.Fatal(err)
	}
	b, err := pb.NewMaintenanceClient(s.to.all[0].conn).HashKV(s.t.Context(), &pb.HashKVRequest{})
	if err != nil || a.Hash != b.Hash || a.HashRevision != b.HashRevision {
		s.t.Fatalf("%v and %v: %v", a, b, err)
	}
}

// TestLive takes over a source while it is written to, interrupted where it can be: before it has begun, while it loads, within a
// revision, and while it follows.
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

	// What began before, and was killed within the load.
	stale := filepath.Join(s.work, "etcd-000000000000000a.db")
	if err := os.WriteFile(stale, []byte("a part"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(stale+".part", []byte("a part"), 0o600); err != nil {
		t.Fatal(err)
	}
	told, stop := s.run(false)
	until(t, "to follow", func() bool { return told.has("following cluster a from revision 6 on") })
	s.same()
	if _, err := os.Stat(stale); err == nil {
		t.Error("the snapshot is still there")
	}
	if _, err := pb.NewKVClient(s.to.all[0].conn).Put(ctx, &pb.PutRequest{Key: []byte("k")}); status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "follows the etcd cluster a") {
		t.Errorf("a client's write: %v", err)
	}

	s.put("d", "1", 0)
	s.grant(7, 300)
	s.put("e", "1", 7)
	if _, err := s.lease().LeaseRevoke(ctx, &pb.LeaseRevokeRequest{ID: 5}); err != nil {
		t.Fatal(err)
	}
	s.same()
	if err := stop(); err == nil || ctx.Err() != nil {
		t.Errorf("it was stopped: %v", err)
	}
	// A lease that is granted, used and revoked while nobody looks, and a compaction.
	s.grant(9, 300)
	s.put("f", "1", 9)
	if _, err := s.lease().LeaseRevoke(ctx, &pb.LeaseRevokeRequest{ID: 9}); err != nil {
		t.Fatal(err)
	}
	s.put("g", "1", 0)
	s.compact(s.here.View().Revision())
	// The next revision is there in part: it was too large for one command, and the sender was killed.
	var ops []*pb.RequestOp
	for i := range 5 {
		ops = append(ops, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: fmt.Appendf(nil, "part %d", i)}}})
	}
	told, stop = s.run(false)
	until(t, "to follow", func() bool { return told.has("following") })
	s.same()
	_ = stop()
	if _, err := s.kv().Txn(ctx, &pb.TxnRequest{Success: ops}); err != nil {
		t.Fatal(err)
	}
	at := s.here.View().Following().At
	next := s.source.View().Revision()
	var part [][]byte
	for i := range int64(2) {
		one := index.FollowedRecord{Key: fmt.Appendf(nil, "part %d", i), Version: index.Version{Mod: next, Sub: i, Create: next, Version: 1}}
		part = append(part, index.AppendRecord(nil, &one))
	}
	if err := s.to.take(ctx, index.AppendFollowRecords(nil, 0xa, at, false, unknownTTL, part)); err != nil {
		t.Fatal(err)
	}
	told, stop = s.run(true)
	if err := stop(); err != nil || !told.has("cut over at revision") {
		t.Fatalf("cut over: %v\n%s", err, strings.Join(told.lines, "\n"))
	}
	s.same()
	a, err := pb.NewKVClient(s.to.all[0].conn).Put(ctx, &pb.PutRequest{Key: []byte("k")})
	if err != nil || a.Header.Revision != next+1 {
		t.Errorf("a client's first write: %v %v", a, err)
	}
	if _, again := s.run(true); again() == nil {
		t.Error("a cluster that was written to follows")
	}
}

// TestLiveIsCutOverElsewhere has one follow while another one cuts over, and nobody write to the source any more: the first one ends.
func TestLiveIsCutOverElsewhere(t *testing.T) {
	s := newScenario(t)
	s.put("a", "1", 0)
	from, to := *s.from, *s.to
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	told := &said{}
	l := &Live{From: &from, To: &to, WorkDir: t.TempDir(), Timeout: wait, Say: told.say, Bar: func(int, int) {}}
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	until(t, "to follow", func() bool { return told.has("following") })
	if _, stop := s.run(true); stop() != nil {
		t.Fatal("it is not cut over")
	}
	if err := <-ended; !errors.Is(err, ErrEnded) {
		t.Errorf("who has followed ends with %v", err)
	}
}

// TestWriteBetweenHashAndCutOver: the source is written to after it has told its hash. The cutover notices that, waits for the write, and
// then cuts over with it.
func TestWriteBetweenHashAndCutOver(t *testing.T) {
	s := newScenario(t)
	s.put("a", "1", 0)
	told, stop := s.run(false)
	until(t, "to follow", func() bool { return told.has("following") })
	s.same()
	_ = stop()
	// The target is read once when the command begins, and then by each cutover, between the hashes of both sides.
	var reads atomic.Int64
	s.here.SetBefore(func(_, n int) *kv.Error {
		if n > 0 && reads.Add(1) == 2 {
			s.put("a", "2", 0)
		}
		return nil
	})
	told, stop = s.run(true)
	if err := stop(); err != nil || reads.Load() < 3 || told.has("WARNING") {
		t.Errorf("the cutover ends with %v after %d reads of the target, and says\n%s", err, reads.Load(), strings.Join(told.lines, "\n"))
	}
	s.here.SetBefore(nil)
	s.same()
}

// TestLiveRefuses: a target that is not empty, or follows another one, and a source that has compacted what is missing.
func TestLiveRefuses(t *testing.T) {
	refused := func(s *scenario, why string) {
		t.Helper()
		_, stop := s.run(true)
		if err := stop(); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%v, not %q", err, why)
		}
	}
	s := newScenario(t)
	s.put("a", "1", 0)
	if _, err := pb.NewKVClient(s.to.all[0].conn).Put(t.Context(), &pb.PutRequest{Key: []byte("k")}); err != nil {
		t.Fatal(err)
	}
	refused(s, "only a cluster to which nobody has written")

	s = newScenario(t)
	if err := s.to.take(t.Context(), index.AppendFollowBegin(nil, 0xc, "other", 0)); err != nil {
		t.Fatal(err)
	}
	refused(s, "follows the etcd cluster c (other), and cluster a is of cluster a")

	s = newScenario(t)
	s.put("a", "1", 0)
	told, stop := s.run(false)
	until(t, "to follow", func() bool { return told.has("following") })
	_ = stop()
	s.put("a", "2", 0)
	s.put("a", "3", 0)
	s.compact(4)
	refused(s, "etcd compacted its history up to revision 4, and the changes before it are lost")

	s = newScenario(t)
	s.put("a", "1", 0)
	s.put("b", "1", 0)
	if err := s.to.take(t.Context(), index.AppendFollowBegin(nil, 0xa, "cluster a", 0)); err != nil {
		t.Fatal(err)
	}
	one := index.FollowedRecord{Key: []byte("a"), Version: index.Version{Mod: 2, Create: 2, Version: 1, Value: []byte("1")}}
	if err := s.to.take(t.Context(), index.AppendFollowRecords(nil, 0xa, index.Position{}, true, 9, [][]byte{index.AppendRecord(nil, &one)})); err != nil {
		t.Fatal(err)
	}
	refused(s, "is not there any more: run this on the host where it began")

	// What is not the source's: the hashes differ, and nothing is cut over.
	s = newScenario(t)
	s.put("a", "1", 0)
	if err := s.to.take(t.Context(), index.AppendFollowBegin(nil, 0xa, "cluster a", 0)); err != nil {
		t.Fatal(err)
	}
	one.Value = []byte("changed")
	if err := s.to.take(t.Context(), index.AppendFollowRecords(nil, 0xa, index.Position{}, true, 9, [][]byte{index.AppendRecord(nil, &one)})); err != nil {
		t.Fatal(err)
	}
	if err := s.to.take(t.Context(), index.AppendFollowLoaded(nil, 0xa, 2)); err != nil {
		t.Fatal(err)
	}
	refused(s, "one of them is damaged; nothing was cut over")
	if s.here.View().Following() == nil {
		t.Error("it was cut over")
	}
	if err := s.to.take(t.Context(), []byte{0x97, 1}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("another command: %v", err)
	}
	nobody, _ := Dial("127.0.0.1:1", nil)
	l := &Live{From: s.from, To: NewGroup("nobody", nobody), WorkDir: s.work, Say: t.Logf, Bar: func(int, int) {}}
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

// TestLiveSourceWithUsers: a running source with authentication is refused, whether or not its data may be read, and nothing is changed.
func TestLiveSourceWithUsers(t *testing.T) {
	s := newScenario(t)
	s.put("a", "1", 0)
	propose := func(commands ...[]byte) {
		s.source.Propose(kv.Proposal{ReplyTo: discard{}, Requests: make([]uint64, len(commands)), Commands: commands})
	}
	propose(index.AppendFeatureLevel(nil, index.MaxLevel))
	h := index.Head{By: s.source.View().By("")}
	for _, c := range []kv.AuthChange{
		{Kind: kv.UserAdd, User: kv.Root}, {Kind: kv.UserGrantRole, User: kv.Root, Role: kv.Root}, {Kind: kv.AuthEnable, Secret: make([]byte, limits.AuthSecretBytes)},
	} {
		propose(h.AppendAuthChange(nil, &c))
	}
	if !s.source.View().Auth().Enabled() {
		t.Fatal("the source has no authentication")
	}
	_, stop := s.run(true)
	if err := stop(); !errors.Is(err, ErrFile) || !strings.Contains(err.Error(), "authentication is enabled at the source") {
		t.Errorf("%v", err)
	}
	if v := s.here.View(); v.Following() != nil || v.Revision() != 1 {
		t.Error("the target has begun")
	}
}

type discard struct{}

func (discard) Complete([]kv.Completion) {}
