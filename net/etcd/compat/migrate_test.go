package compat

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"qkv/net/etcd/compat/member"
)

// How large what is migrated is. The whole of it, with QKV_FULL=1, takes some minutes.
var (
	migrateKeys   = flag.Int("migrate-keys", share(1_000_000, 5000), "keys that are migrated")
	migrateGone   = flag.Int("migrate-tombstones", share(100_000, 500), "keys that were deleted")
	migrateLeases = flag.Int("migrate-leases", share(1000, 100), "leases that are migrated")
)

func share(whole, part int) int {
	if os.Getenv("QKV_FULL") != "" {
		return whole
	}
	return part
}

// command runs a program and returns what it has printed.
func command(t testing.TB, name string, arguments ...string) string {
	t.Helper()
	out, err := tryCommand(t, name, arguments...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func tryCommand(t testing.TB, name string, arguments ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), member.Program(t, name), arguments...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "QKV_") || strings.HasPrefix(s, "ETCD") })
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s %s: %w\n%s", name, strings.Join(arguments, " "), err, out)
	}
	return string(out), nil
}

func connect(t testing.TB, endpoint string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1<<30)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// fill writes keys, deletes some of them, grants leases and compacts: what is left has each kind of record.
func fill(ctx context.Context, t testing.TB, conn *grpc.ClientConn, keys, gone, leases int) {
	t.Helper()
	kv, lease := pb.NewKVClient(conn), pb.NewLeaseClient(conn)
	random := rand.New(rand.NewPCG(uint64(keys), uint64(gone)))
	var ids []int64
	for i := range leases {
		q := &pb.LeaseGrantRequest{ID: int64(i + 1), TTL: 3600 + int64(i)}
		if i%3 == 0 {
			q.ID = -q.ID
		}
		if _, err := lease.LeaseGrant(ctx, q); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, q.ID)
	}
	newest := int64(1)
	put := func(from, to int) {
		var ops []*pb.RequestOp
		for i := from; i < to; i++ {
			p := &pb.PutRequest{Key: fmt.Appendf(nil, "key/%07d", i), Value: fmt.Appendf(nil, "value %d %d", i, random.Uint64())}
			if i%7 == 0 && i < keys && len(ids) > 0 {
				p.Lease = ids[random.IntN(len(ids))]
			}
			ops = append(ops, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: p}})
		}
		a, err := kv.Txn(ctx, &pb.TxnRequest{Success: ops})
		if err != nil {
			t.Fatal(err)
		}
		newest = a.Header.Revision
	}
	all := keys + gone
	for from := 0; from < all; from += 100 {
		put(from, min(from+100, all))
	}
	remove := func(from, to int) {
		q := &pb.DeleteRangeRequest{Key: fmt.Appendf(nil, "key/%07d", from), RangeEnd: fmt.Appendf(nil, "key/%07d", to)}
		a, err := kv.DeleteRange(ctx, q)
		if err != nil || a.Deleted != int64(to-from) {
			t.Fatal(a, err)
		}
		newest = a.Header.Revision
	}
	remove(keys, keys+gone/2)
	for i := range 30 {
		put(i, i+1)
	}
	if _, err := lease.LeaseRevoke(ctx, &pb.LeaseRevokeRequest{ID: ids[0]}); err != nil {
		t.Fatal(err)
	}
	remove(keys+gone/2, keys+gone/2+1)
	if _, err := kv.Compact(ctx, &pb.CompactionRequest{Revision: newest, Physical: true}); err != nil {
		t.Fatal(err)
	}
	if gone/2+1 < gone {
		remove(keys+gone/2+1, keys+gone)
	}
	for i := range 50 {
		put(i*2, i*2+3)
	}
	if _, err := lease.LeaseRevoke(ctx, &pb.LeaseRevokeRequest{ID: ids[1]}); err != nil {
		t.Fatal(err)
	}
	nested := func(op *pb.RequestOp) *pb.RequestOp {
		return &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: &pb.TxnRequest{Success: []*pb.RequestOp{op}}}}
	}
	_, err := kv.Txn(ctx, &pb.TxnRequest{Success: []*pb.RequestOp{
		nested(&pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte("twice")}}}),
		nested(&pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte("twice")}}}),
	}})
	if err != nil {
		t.Fatal(err)
	}
}

// picture is all that a client can find out of a store: its hash, leases with their keys, and what a watch from the compacted revision
// sees.
type picture struct {
	hash   *pb.HashKVResponse
	leases string
	events []*mvccpb.Event
}

func pictureOf(ctx context.Context, t testing.TB, conn *grpc.ClientConn) (p picture) {
	t.Helper()
	var err error
	if p.hash, err = pb.NewMaintenanceClient(conn).HashKV(ctx, &pb.HashKVRequest{}); err != nil {
		t.Fatal(err)
	}
	lease := pb.NewLeaseClient(conn)
	a, err := lease.LeaseLeases(ctx, &pb.LeaseLeasesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, l := range a.Leases {
		one, err := lease.LeaseTimeToLive(ctx, &pb.LeaseTimeToLiveRequest{ID: l.ID, Keys: true})
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(one.Keys, slices.Compare)
		lines = append(lines, fmt.Sprintf("%d granted %d s: %q", l.ID, one.GrantedTTL, one.Keys))
	}
	slices.Sort(lines)
	p.leases = strings.Join(lines, "\n")
	p.events = eventsFrom(ctx, t, conn, max(p.hash.CompactRevision, 1), p.hash.HashRevision)
	return p
}

// eventsFrom are all events from one revision to another.
func eventsFrom(ctx context.Context, t testing.TB, conn *grpc.ClientConn, from, to int64) (all []*mvccpb.Event) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	stream, err := pb.NewWatchClient(conn).Watch(ctx)
	if err == nil {
		err = stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{
			Key: []byte{0}, RangeEnd: []byte{0}, StartRevision: from, PrevKv: true,
		}}})
	}
	for err == nil {
		var m *pb.WatchResponse
		if m, err = stream.Recv(); err != nil {
			break
		}
		if m.Canceled {
			t.Fatalf("the watch from %d was cancelled: %v", from, m)
		}
		all = append(all, m.Events...)
		if n := len(all); n > 0 && all[n-1].Kv.ModRevision >= to {
			return all
		}
	}
	t.Fatalf("watch from %d to %d: %v", from, to, err)
	return nil
}

func (p *picture) same(t testing.TB, other *picture, where string) {
	t.Helper()
	if a, b := p.hash, other.hash; a.Hash != b.Hash || a.HashRevision != b.HashRevision || a.CompactRevision != b.CompactRevision {
		t.Errorf("%s: hash %d of revision %d compacted %d, and %d of %d, %d", where, a.Hash, a.HashRevision, a.CompactRevision, b.Hash, b.HashRevision, b.CompactRevision)
	}
	if p.leases != other.leases {
		t.Errorf("%s: the leases are\n%s\nand\n%s", where, p.leases, other.leases)
	}
	if len(p.events) != len(other.events) {
		t.Errorf("%s: %d events and %d", where, len(p.events), len(other.events))
		return
	}
	for i := range p.events {
		if a, b := oneLine(p.events[i]), oneLine(other.events[i]); a != b {
			t.Errorf("%s: event %d is\n%s\nand\n%s", where, i, a, b)
			return
		}
	}
}

// save takes a snapshot through the API.
func save(ctx context.Context, t testing.TB, conn *grpc.ClientConn, path string) {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	stream, err := pb.NewMaintenanceClient(conn).Snapshot(ctx, &pb.SnapshotRequest{})
	for err == nil {
		var m *pb.SnapshotResponse
		if m, err = stream.Recv(); err == nil {
			_, err = file.Write(m.Blob)
		}
	}
	if !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
}

// restored starts an etcd from a file.
func restored(t testing.TB, path string) *member.Cluster {
	t.Helper()
	return member.StartOn(t, member.Etcd, 1, func(m *member.Member) {
		command(t, member.Etcdutl, "snapshot", "restore", path, "--data-dir", m.Dir, "--name", m.Name,
			"--initial-cluster", m.Name+"=http://"+m.Peer, "--initial-advertise-peer-urls", "http://"+m.Peer)
	})
}

// migrated starts a qkv from a file.
func migrated(t testing.TB, path string) *member.Cluster {
	t.Helper()
	return member.StartOn(t, member.QKV, 1, func(m *member.Member) {
		command(t, member.QKV, "migrate", "from-etcd", "--snapshot", path, "--data-dir", m.Dir, "--name", m.Name)
	}, "--quota-bytes", "0")
}

// TestMigrateFiles takes what an etcd has into qkv by a file, and what qkv has into an etcd by another one: hashes, leases and all that
// a watch from the compacted revision sees are the same, on every way, and stay so with what is written afterwards.
func TestMigrateFiles(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	old := member.Start(t, member.Etcd, 1)
	source := connect(t, old.Endpoints()[0])
	fill(ctx, t, source, *migrateKeys, *migrateGone, *migrateLeases)
	first := filepath.Join(dir, "first.db")
	save(ctx, t, source, first)
	want := pictureOf(ctx, t, source)
	again := restored(t, first)
	reference := pictureOf(ctx, t, connect(t, again.Endpoints()[0]))
	again.Stop()
	reference.same(t, &want, "etcd and its own restore")

	here := migrated(t, first)
	conn := connect(t, here.Endpoints()[0])
	got := pictureOf(ctx, t, conn)
	got.same(t, &reference, "qkv from a file of etcd, and etcd restored from it")
	fillMore(ctx, t, source)
	fillMore(ctx, t, conn)
	want, got = pictureOf(ctx, t, source), pictureOf(ctx, t, conn)
	got.same(t, &want, "both after the same writes")

	here.Members[0].Kill()
	here.Members[0].Start()
	if err := here.Members[0].Await(); err != nil {
		t.Fatal(err)
	}
	got = pictureOf(ctx, t, conn)
	got.same(t, &want, "qkv after kill -9")

	second := filepath.Join(dir, "second.db")
	t.Log(command(t, member.QKV, "migrate", "to-etcd", "--snapshot", second, "--endpoints", here.Endpoints()[0], "--home", filepath.Join(filepath.Dir(here.Members[0].Dir), "home")))
	t.Log(command(t, member.Etcdutl, "snapshot", "status", second))
	back := pictureOf(ctx, t, connect(t, restored(t, second).Endpoints()[0]))
	back.same(t, &got, "etcd from a file of qkv, and qkv")
}

// fillMore writes what depends on leases, versions and revisions that were there before.
func fillMore(ctx context.Context, t testing.TB, conn *grpc.ClientConn) {
	t.Helper()
	kv := pb.NewKVClient(conn)
	for i := range 20 {
		q := &pb.PutRequest{Key: fmt.Appendf(nil, "key/%07d", i*3), Value: []byte("more"), Lease: int64(5), IgnoreLease: false}
		if _, err := kv.Put(ctx, q); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := pb.NewLeaseClient(conn).LeaseRevoke(ctx, &pb.LeaseRevokeRequest{ID: 3}); err != nil {
		t.Fatal(err)
	}
	if _, err := kv.DeleteRange(ctx, &pb.DeleteRangeRequest{Key: []byte("key/"), RangeEnd: []byte("key/0000010")}); err != nil {
		t.Fatal(err)
	}
}
