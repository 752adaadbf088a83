package compat

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc"

	"qkv/net/etcd/compat/member"
)

// migration is a process of `qkv migrate from-etcd --endpoints`.
type migration struct {
	words []string
	cmd   *exec.Cmd
	lines chan string
	stop  func()
}

func startMigration(t testing.TB, arguments ...string) *migration {
	t.Helper()
	cmd := member.Command(t, member.QKV, append([]string{"migrate", "from-etcd"}, arguments...)...)
	out, in := io.Pipe()
	cmd.Stdout, cmd.Stderr = in, in
	if err := member.Spawn(cmd); err != nil {
		t.Fatal(err)
	}
	m := &migration{words: arguments, cmd: cmd, lines: make(chan string, 1024)}
	var once sync.Once
	m.stop = func() {
		once.Do(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			_ = in.Close()
		})
	}
	t.Cleanup(m.stop)
	go func() {
		defer close(m.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			select {
			case m.lines <- s.Text():
			default: // what it says again and again
			}
		}
	}()
	return m
}

// order runs the command once more, to let the process cut over. The function waits until both have ended.
func (m *migration) order(t testing.TB) func() {
	t.Helper()
	second := startMigration(t, append(slices.Clone(m.words), "--cut-over")...)
	second.await(t, "cuts over")
	return func() {
		t.Helper()
		m.await(t, "start it: qkv serve")
		second.await(t, "it has cut over")
		for _, one := range []*migration{m, second} {
			if err := one.cmd.Wait(); err != nil {
				t.Errorf("the cut over: %v", err)
			}
		}
	}
}

// await waits until the process has said something.
func (m *migration) await(t testing.TB, text string) {
	t.Helper()
	var said []string
	for {
		select {
		case line, open := <-m.lines:
			if !open {
				t.Fatalf("the migration ended before it said %q:\n%s", text, strings.Join(said, "\n"))
			}
			if said = append(said, line); strings.Contains(line, text) {
				return
			}
		case <-time.After(timeout):
			t.Fatalf("the migration does not say %q:\n%s", text, strings.Join(said, "\n"))
		}
	}
}

// writer writes to the source, two thousandths of a second after each other: puts, deletions, leases, transactions, compactions.
type writer struct {
	mu     sync.Mutex
	newest int64
	writes int
	oldest int64 // up to there it is compacted, in a while
	err    error
}

func (w *writer) at() (newest int64, writes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.newest, w.writes
}

func (w *writer) run(ctx context.Context, stop <-chan struct{}, conn *grpc.ClientConn) {
	kv, lease := pb.NewKVClient(conn), pb.NewLeaseClient(conn)
	random := rand.New(rand.NewPCG(7, 7))
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	var leases []int64
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		key := fmt.Appendf(nil, "live/%03d", random.IntN(300))
		var header *pb.ResponseHeader
		var err error
		w.mu.Lock()
		oldest := w.oldest
		w.oldest = 0
		w.mu.Unlock()
		if oldest > 0 {
			if _, err := kv.Compact(ctx, &pb.CompactionRequest{Revision: oldest}); err != nil {
				w.mu.Lock()
				w.err = err
				w.mu.Unlock()
			}
		}
		switch i := random.IntN(100); {
		case i < 3:
			var a *pb.LeaseGrantResponse
			if a, err = lease.LeaseGrant(ctx, &pb.LeaseGrantRequest{TTL: 600 + int64(n)}); err == nil {
				leases = append(leases, a.ID)
			}
		case i < 5 && len(leases) > 5:
			_, err = lease.LeaseRevoke(ctx, &pb.LeaseRevokeRequest{ID: leases[0]})
			leases = leases[1:]
		case i < 15:
			var a *pb.DeleteRangeResponse
			if a, err = kv.DeleteRange(ctx, &pb.DeleteRangeRequest{Key: key, RangeEnd: fmt.Appendf(nil, "live/%03d", random.IntN(300))}); err == nil {
				header = a.Header
			}
		case i < 20:
			var a *pb.TxnResponse
			if a, err = kv.Txn(ctx, &pb.TxnRequest{Success: []*pb.RequestOp{
				{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte("live/1"), RangeEnd: []byte("live/2")}}},
				{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte("live/000"), Value: key}}},
			}}); err == nil {
				header = a.Header
			}
		default:
			q := &pb.PutRequest{Key: key, Value: fmt.Appendf(nil, "%d %0*d", n, random.IntN(300), 0)}
			if i < 40 && len(leases) > 0 {
				q.Lease = leases[random.IntN(len(leases))]
			}
			var a *pb.PutResponse
			if a, err = kv.Put(ctx, q); err == nil {
				header = a.Header
			}
		}
		w.mu.Lock()
		if header != nil {
			w.newest = header.Revision
		}
		w.writes++
		if err != nil && ctx.Err() == nil {
			w.err = err
		}
		w.mu.Unlock()
	}
}

// compact lets the source be compacted up to its newest revision.
func (w *writer) compact() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.oldest = w.newest
}

// more waits until so many writes more were made.
func (w *writer) more(t testing.TB, n int) {
	t.Helper()
	_, before := w.at()
	for end := time.Now().Add(timeout); ; time.Sleep(10 * time.Millisecond) {
		if _, now := w.at(); now >= before+n {
			return
		}
		if time.Now().After(end) {
			t.Fatal("nothing is written any more")
		}
	}
}

// collector is a client's watch, of which each event is kept.
type collector struct {
	mu     sync.Mutex
	events []*mvccpb.Event
	err    error
}

func (c *collector) watch(ctx context.Context, conn *grpc.ClientConn, from int64) {
	stream, err := pb.NewWatchClient(conn).Watch(ctx)
	if err == nil {
		err = stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{
			Key: []byte("live/"), RangeEnd: []byte("live0"), StartRevision: from,
		}}})
	}
	for err == nil {
		var m *pb.WatchResponse
		if m, err = stream.Recv(); err == nil {
			c.mu.Lock()
			c.events = append(c.events, m.Events...)
			if m.Canceled {
				err = fmt.Errorf("the watch from %d was cancelled: %v", from, m)
			}
			c.mu.Unlock()
		}
	}
	c.mu.Lock()
	if ctx.Err() == nil {
		c.err = err
	}
	c.mu.Unlock()
}

// newest is the revision of the last event.
func (c *collector) newest() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.events) == 0 {
		return 0
	}
	return c.events[len(c.events)-1].Kv.ModRevision
}

func (c *collector) await(t testing.TB, revision int64) {
	t.Helper()
	for end := time.Now().Add(timeout); c.newest() < revision; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("a watch is at %d and does not come to %d: %v", c.newest(), revision, c.err)
		}
	}
}

// TestMigrateLive follows an etcd to which 500 writes a second go, kills the command on its way, begins again, and cuts over. Then both
// have the same hash, and a watch that goes on at the other side has each event once.
func TestMigrateLive(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	old := member.Start(t, member.Etcd, 1)
	source := connect(t, old.Endpoints()[0])
	fill(ctx, t, source, min(*migrateKeys, 50_000), min(*migrateGone, 5000), *migrateLeases)
	first, err := pb.NewKVClient(source).Range(ctx, &pb.RangeRequest{Key: []byte("x")})
	if err != nil {
		t.Fatal(err)
	}
	var all, moving collector
	watching, ended := context.WithCancel(ctx)
	defer ended()
	go all.watch(ctx, source, first.Header.Revision+1)
	go moving.watch(watching, source, first.Header.Revision+1)
	stop, stopped := make(chan struct{}), make(chan struct{})
	var w writer
	go func() {
		defer close(stopped)
		w.run(ctx, stop, source)
	}()
	w.more(t, 50)

	var at int64
	here := member.StartOn(t, member.QKV, 1, func(m *member.Member) {
		arguments := []string{
			"--endpoints", "http://" + old.Endpoints()[0], "--data-dir", m.Dir, "--name", m.Name, "--work-dir", filepath.Join(dir, "work"), "--timeout", "60s",
		}
		for _, text := range []string{"taking a snapshot", "following"} {
			killed := startMigration(t, arguments...)
			killed.await(t, text)
			w.more(t, 100)
			killed.stop()
		}
		p := startMigration(t, arguments...)
		p.await(t, "following")
		w.more(t, 200)
		w.compact()
		w.more(t, 200)
		if _, err := os.Stat(m.Dir); err == nil {
			t.Error("the data folder is there before the cut over")
		}
		// Where a client's watch changes sides, it goes on from its revision.
		moving.await(t, first.Header.Revision+200)
		ended()
		at = moving.newest()
		done := p.order(t)
		w.more(t, 200)
		close(stop)
		<-stopped
		if w.err != nil {
			t.Fatal(w.err)
		}
		done()
	}, "--quota-bytes", "0")
	target := connect(t, here.Endpoints()[0])
	var moved collector
	go moved.watch(ctx, target, at+1)
	want, got := pictureOf(ctx, t, source), pictureOf(ctx, t, target)
	got.same(t, &want, "qkv from a running etcd")
	newest, _ := w.at()
	all.await(t, newest)
	put, err := pb.NewKVClient(target).Put(ctx, &pb.PutRequest{Key: []byte("live/new"), Value: []byte("here")})
	if err != nil || put.Header.Revision != want.hash.HashRevision+1 {
		t.Fatalf("the first write here: %v %v", put, err)
	}
	moved.await(t, put.Header.Revision)
	moving.mu.Lock()
	joined := append([]*mvccpb.Event(nil), moving.events...)
	moving.mu.Unlock()
	for len(joined) > 0 && joined[len(joined)-1].Kv.ModRevision > at { // what came after it was asked
		joined = joined[:len(joined)-1]
	}
	joined = append(joined, moved.events[:len(moved.events)-1]...)
	if len(joined) != len(all.events) {
		t.Errorf("a watch that changed sides has %d events, one that did not has %d", len(joined), len(all.events))
	}
	for i := range min(len(joined), len(all.events)) {
		if a, b := oneLine(joined[i]), oneLine(all.events[i]); a != b {
			t.Fatalf("event %d of a watch that changed sides is\n%s\nand of one that did not\n%s", i, a, b)
		}
	}
	_, writes := w.at()
	t.Logf("%d writes, %d events, %d of them on the other side", writes, len(joined), len(moved.events))
}
