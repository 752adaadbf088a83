package etcd_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"qkv/net/etcd"
)

// snapshotOf takes a snapshot, and checks its sum and what is said of its size.
func snapshotOf(ctx context.Context, t testing.TB, c *grpc.ClientConn) []byte {
	t.Helper()
	stream, err := pb.NewMaintenanceClient(c).Snapshot(ctx, &pb.SnapshotRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var all []byte
	var messages []*pb.SnapshotResponse
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		messages = append(messages, m)
		all = append(all, m.Blob...)
	}
	if len(all)%512 != 32 {
		t.Fatalf("a snapshot of %d bytes, which etcd's client takes for one without a sum", len(all))
	}
	file, sum := all[:len(all)-32], all[len(all)-32:]
	if own := sha256.Sum256(file); !bytes.Equal(own[:], sum) {
		t.Fatal("the sum is another one")
	}
	sent := 0
	for _, m := range messages[:len(messages)-1] {
		if sent += len(m.Blob); int(m.RemainingBytes) != len(file)-sent || m.Version != "3.7.0" || m.Header != nil {
			t.Fatalf("a message says %d bytes remain, version %s, of %d", m.RemainingBytes, m.Version, len(file)-sent)
		}
	}
	return file
}

// snapshotText is what is in a snapshot's buckets.
func snapshotText(ctx context.Context, t testing.TB, c *grpc.ClientConn) string {
	t.Helper()
	name := filepath.Join(t.(*testing.T).TempDir(), "db")
	if err := os.WriteFile(name, snapshotOf(ctx, t, c), 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(name, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var out strings.Builder
	err = db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(bucket []byte, b *bbolt.Bucket) error {
			fmt.Fprintf(&out, "%s\n", bucket)
			return b.ForEach(func(k, v []byte) error {
				switch string(bucket) {
				case "key":
				case "authUsers", "authRoles":
					return writeAuthText(&out, string(bucket), k, v)
				default:
					fmt.Fprintf(&out, "  %q %q\n", k, v)
					return nil
				}
				pair := &mvccpb.KeyValue{}
				if err := proto.Unmarshal(v, pair); err != nil {
					return err
				}
				fmt.Fprintf(&out, "  %d.%d%s %s", binary.BigEndian.Uint64(k), binary.BigEndian.Uint64(k[9:]), k[17:], seen(pair, nil))
				return nil
			})
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// writeAuthText writes a user, with the kind and cost of its password's hash, or a role.
func writeAuthText(out *strings.Builder, bucket string, name, value []byte) error {
	user, role := &authpb.User{}, &authpb.Role{}
	to := proto.Message(user)
	if bucket == "authRoles" {
		to = role
	}
	if err := proto.Unmarshal(value, to); err != nil {
		return err
	}
	user.Password = user.Password[:min(len(user.Password), 7)]
	fmt.Fprintf(out, "  %q %s", name, seen(to, nil))
	return nil
}

// TestSnapshotLeavesNothing looks whether a snapshot's file is gone when it was sent: one that is open takes room on the disk, although it
// has no name any more.
func TestSnapshotLeavesNothing(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // which closes what was forgotten, some time
	scratch := t.TempDir() + "/scratch"
	s := start(t, newMember(), func(c *etcd.Config) { c.Scratch = scratch })
	snapshotOf(t.Context(), t, dial(t, s))
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	for _, name := range names {
		if to, err := os.Readlink("/proc/self/fd/" + name.Name()); err == nil && strings.HasPrefix(to, scratch) {
			t.Errorf("%s is open", to)
		}
	}
	if _, err := os.Stat(scratch); err == nil {
		t.Error("its folder is there")
	}
}

// TestSnapshotFull has no room on the disk: nothing is written.
func TestSnapshotFull(t *testing.T) {
	scratch := t.TempDir() + "/none"
	s := start(t, newMember(), func(c *etcd.Config) {
		c.Scratch, c.Room = scratch, func() (int64, error) { return 1 << 20, nil }
	})
	stream, err := pb.NewMaintenanceClient(dial(t, s)).Snapshot(t.Context(), &pb.SnapshotRequest{})
	if err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "has 1048576 free") {
		t.Errorf("a full disk: %v", err)
	}
	if _, err := os.Stat(scratch); err == nil {
		t.Error("something was written")
	}
}

// TestSnapshotRoom asks for a small state's snapshot on disks of which little is free: what it needs follows its size.
func TestSnapshotRoom(t *testing.T) {
	var free atomic.Int64
	s := start(t, newMember(), func(c *etcd.Config) { c.Room = func() (int64, error) { return free.Load(), nil } })
	c := dial(t, s)
	take := func() error {
		stream, err := pb.NewMaintenanceClient(c).Snapshot(t.Context(), &pb.SnapshotRequest{})
		for err == nil {
			_, err = stream.Recv()
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	}
	const tight = 48 << 20
	free.Store(tight)
	if err := take(); err != nil {
		t.Errorf("an empty state, and %d bytes are free: %v", tight, err)
	}
	for i := range 8 {
		if _, err := pb.NewKVClient(c).Put(t.Context(), &pb.PutRequest{Key: []byte{byte('a' + i)}, Value: make([]byte, 1<<20)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := take(); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("8 MiB, and %d bytes are free: %v", tight, err)
	}
	free.Store(2 * tight)
	if err := take(); err != nil {
		t.Errorf("8 MiB, and %d bytes are free: %v", 2*tight, err)
	}
}

// TestSnapshotsUnread asks for snapshots on many connections, and reads none: another client's snapshot, and hash, come nevertheless.
func TestSnapshotsUnread(t *testing.T) {
	s := start(t, newMember(), func(c *etcd.Config) { c.Limits.Stall = 500 * time.Millisecond })
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	c := dial(t, s)
	for i := range 4 {
		if _, err := pb.NewKVClient(c).Put(ctx, &pb.PutRequest{Key: fmt.Appendf(nil, "big/%d", i), Value: make([]byte, 1<<20)}); err != nil {
			t.Fatal(err)
		}
	}
	for range 4 {
		h := attack(t, s)
		defer h.Close()
		for range 20 {
			id, err := h.begin("/etcdserverpb.Maintenance/Snapshot")
			if err == nil {
				err = h.frames.WriteData(id, true, message(&pb.SnapshotRequest{}))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	time.Sleep(100 * time.Millisecond) // they are there before
	if _, err := pb.NewMaintenanceClient(c).HashKV(ctx, &pb.HashKVRequest{}); err != nil {
		t.Error(err)
	}
	if all := snapshotOf(ctx, t, c); len(all) < 4<<20 {
		t.Errorf("a snapshot of %d bytes", len(all))
	}
}
