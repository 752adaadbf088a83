package etcd

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"qkv/index"
	"qkv/index/kv"
	"qkv/net/etcd/front"
)

// A snapshot for etcd is the database file of an etcd member: bbolt buckets, schema 3.7, with all versions that etcd would have kept. It
// is written beside the running member from one View, in transactions of bounded size, to a file that is deleted after the transfer.
//
//	key              17 bytes of revision (then 't' for a tombstone) → the pair
//	lease            8 bytes of the id → the lease
//	members          the id in hexadecimal digits → JSON
//	cluster          clusterVersion
//	meta             consistent_index, term, confState, storageVersion, finishedCompactRev, scheduledCompactRev
//	auth             authRevision, and authEnabled if authentication is on
//	authUsers        the name → the user, with the hash of its password
//	authRoles        the name → the role
//	alarm, members_removed     empty
var snapshotBuckets = []string{"key", "lease", "members", "members_removed", "cluster", "meta", "alarm", "auth", "authUsers", "authRoles"}

const (
	// etcdSnapshotChunk is one message of a snapshot for etcd, as in etcd. etcdSnapshotBytes is one write transaction of its file, which is
	// in memory until then. etcdSnapshotRoom is the free disk space required in addition to twice the state's bytes, because the log's
	// segments continue to grow. A small state needs etcdSnapshotLeast, which fits bbolt's smallest file twice, and four times the state's
	// bytes: it is written in a moment. etcdSnapshots bounds the concurrent snapshots. etcdSnapshotPace is the least that a client must
	// take of its snapshot in limits.EtcdStall while others wait: half a mebibyte a second.
	etcdSnapshots     = 2
	etcdSnapshotPace  = 1 << 20
	etcdSnapshotChunk = 32 << 10
	etcdSnapshotBytes = 4 << 20
	etcdSnapshotRoom  = 512 << 20
	etcdSnapshotLeast = 32 << 20
)

// snapshot sends the file in pieces, and then its SHA-256. Few are in transfer at a time, since each takes as much disk space as the
// state; a client that takes less than etcdSnapshotPace of its snapshot is evicted for others.
func (s maintenanceService) snapshot(stream grpc.ServerStream) error {
	ctx := stream.Context()
	if err := stream.RecvMsg(&pb.SnapshotRequest{}); err != nil {
		return err
	}
	first, err := takeWholeState(ctx)
	if err != nil {
		return err
	}
	defer first()
	place := s.admission.snapshots.Answer(front.AccountOf(ctx).Close, etcdSnapshotPace)
	if err := place.Set(ctx, 1); err != nil {
		return err
	}
	defer place.Release()
	ctx, cancel := until(s.alive, ctx)
	defer cancel()
	defer func(began time.Time) { s.metrics.copies.Observe(since(began)) }(time.Now())
	if err := s.admission.hashing.Take(ctx); err != nil {
		return err
	}
	file, err := s.writeSnapshot(ctx)
	s.admission.hashing.Release()
	if err != nil {
		return statusOf(err)
	}
	defer file.Close()
	place.Transfer()
	info, err := file.Stat()
	if err != nil {
		return statusOf(err)
	}
	sum := sha256.New()
	for left := info.Size(); left > 0; {
		blob := make([]byte, min(left, etcdSnapshotChunk)) // gRPC keeps it
		if _, err := io.ReadFull(file, blob); err != nil {
			return statusOf(fmt.Errorf("read a snapshot's file: %w", err))
		}
		_, _ = sum.Write(blob)
		left -= int64(len(blob))
		if err := stream.SendMsg(&pb.SnapshotResponse{RemainingBytes: uint64(left), Blob: blob, Version: clusterVersion}); err != nil {
			return err
		}
		place.Moved(len(blob))
	}
	return stream.SendMsg(&pb.SnapshotResponse{Blob: sum.Sum(nil), Version: clusterVersion})
}

// writeSnapshot writes the file, and returns it open and already unlinked.
func (s maintenanceService) writeSnapshot(ctx context.Context) (file *os.File, err error) {
	v := s.config.Member.View()
	if err := s.permits(ctx, v, kv.AccessAdmin, nil); err != nil { // once more: it has waited for its turn
		return nil, err
	}
	need := snapshotSpace(v.LiveBytes() + v.HistoryBytes())
	if free, err := s.config.Room(); err == nil && free < need { // the log needs the space
		return nil, status.Errorf(codes.ResourceExhausted, "etcdserver: a snapshot's file may take %d bytes of this member's disk, which has %d free: free some, or ask another member", need, free)
	}
	if err := os.MkdirAll(s.config.Scratch, 0o700); err != nil {
		return nil, fmt.Errorf("make a folder for a snapshot: %w", err)
	}
	name := filepath.Join(s.config.Scratch, "db")
	defer os.RemoveAll(s.config.Scratch)
	db, err := bbolt.Open(name, 0o600, &bbolt.Options{NoSync: true, NoFreelistSync: true, NoGrowSync: true, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return nil, fmt.Errorf("make a snapshot's file: %w", err)
	}
	w := &snapshotWriter{ctx: ctx, s: s.core, v: v, db: db}
	err = errors.Join(w.write(), db.Close())
	runtime.KeepAlive(v)
	if err != nil {
		return nil, fmt.Errorf("write a snapshot's file: %w", err)
	}
	if file, err = os.Open(name); err != nil {
		return nil, fmt.Errorf("open a snapshot's file: %w", err)
	}
	return file, nil
}

// snapshotSpace is the free disk space required for a snapshot of a state: for the file, and for the log's growth meanwhile, which is
// larger for a longer write.
func snapshotSpace(state int64) int64 {
	return 2*state + min(etcdSnapshotRoom, etcdSnapshotLeast+4*state)
}

// snapshotWriter writes a View to a file.
type snapshotWriter struct {
	ctx context.Context
	s   *core
	v   *index.View
	db  *bbolt.DB

	tx    *bbolt.Tx
	keys  *bbolt.Bucket
	bytes int // of the transaction
}

func (w *snapshotWriter) write() error {
	err := w.db.Update(func(tx *bbolt.Tx) error {
		for _, name := range snapshotBuckets {
			if _, err := tx.CreateBucket([]byte(name)); err != nil {
				return err
			}
		}
		return errors.Join(w.writeMeta(tx), w.writeMembers(tx), w.writeLeases(tx), w.writeAuth(tx))
	})
	if err != nil {
		return err
	}
	return w.writeKeys()
}

// writeKeys writes all versions, in transactions of etcdSnapshotBytes.
func (w *snapshotWriter) writeKeys() (err error) {
	if err := w.begin(); err != nil {
		return err
	}
	compacted := w.v.Compacted()
	var buf []byte
	begun := time.Now()
	w.v.Records(func(key []byte, one *index.Version) bool {
		if one.Mod <= compacted && !w.kept(key, one, compacted) {
			return true
		}
		if err = one.Read(); err != nil {
			return false
		}
		buf = appendRecord(buf[:0], key, one)
		n := revisionBytes
		if one.Tombstone {
			n++
		}
		// bbolt keeps both until the transaction ends.
		record := append([]byte(nil), buf...)
		if err = w.keys.Put(record[:n:n], record[n:]); err != nil {
			return false
		}
		if w.bytes += len(record); w.bytes >= etcdSnapshotBytes {
			if err = errors.Join(w.tx.Commit(), w.ctx.Err()); err == nil {
				time.Sleep(time.Since(begun)) // leave half of the time to other work
				begun = time.Now()
				err = w.begin()
			}
		}
		return err == nil
	})
	if err != nil {
		_ = w.tx.Rollback()
		return err
	}
	return w.tx.Commit()
}

// revisionBytes is the length of a revision, without a tombstone's mark.
const revisionBytes = 17

func (w *snapshotWriter) begin() (err error) {
	if w.tx, err = w.db.Begin(true); err != nil {
		return err
	}
	w.bytes = 0
	w.keys = w.tx.Bucket([]byte("key"))
	w.keys.FillPercent = 0.95 // keys are ascending
	return nil
}

// kept tells whether etcd would still have a version at or below the compacted revision: the version current at that revision, or a
// tombstone of that very revision.
func (w *snapshotWriter) kept(key []byte, one *index.Version, compacted int64) bool {
	if one.Tombstone {
		return one.Mod == compacted
	}
	return w.v.ModifiedAt(key, compacted) == one.Mod
}

func (w *snapshotWriter) writeMeta(tx *bbolt.Tx) error {
	applied, term := w.v.Applied()
	meta := tx.Bucket([]byte("meta"))
	c := w.v.Members().Configuration()
	configuration, err := json.Marshal(struct {
		Voters    []uint64 `json:"voters"`
		Learners  []uint64 `json:"learners,omitempty"`
		AutoLeave bool     `json:"auto_leave"`
	}{c.Voters, c.Learners, false})
	if err != nil {
		return err
	}
	all := map[string][]byte{
		"consistent_index": binary.BigEndian.AppendUint64(nil, applied), "term": binary.BigEndian.AppendUint64(nil, term),
		"storageVersion": []byte(clusterVersion), "confState": configuration,
	}
	if compacted := w.v.Compacted(); compacted > 0 {
		at := append(binary.BigEndian.AppendUint64(nil, uint64(compacted)), '_')
		at = binary.BigEndian.AppendUint64(at, 0)
		all["scheduledCompactRev"], all["finishedCompactRev"] = at, at
	}
	for name, value := range all {
		if err := meta.Put([]byte(name), value); err != nil {
			return err
		}
	}
	return tx.Bucket([]byte("cluster")).Put([]byte("clusterVersion"), []byte(clusterVersion))
}

func (w *snapshotWriter) writeMembers(tx *bbolt.Tx) error {
	for _, one := range w.s.members(w.v) {
		text, err := json.Marshal(struct {
			ID      uint64   `json:"id"`
			Peers   []string `json:"peerURLs"`
			Learner bool     `json:"isLearner,omitempty"`
			Name    string   `json:"name,omitempty"`
			Clients []string `json:"clientURLs,omitempty"`
		}{one.ID, one.PeerURLs, one.IsLearner, one.Name, one.ClientURLs})
		if err == nil {
			err = tx.Bucket([]byte("members")).Put([]byte(strconv.FormatUint(one.ID, 16)), text)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *snapshotWriter) writeLeases(tx *bbolt.Tx) (err error) {
	w.v.Leases(-1<<63, func(l kv.Lease) bool {
		value := appendInt(appendInt(appendInt(nil, leaseID, l.ID), leaseTTL, l.TTL), leaseRemaining, l.Remaining)
		err = tx.Bucket([]byte("lease")).Put(binary.BigEndian.AppendUint64(nil, uint64(l.ID)), value)
		return err == nil
	})
	return err
}

// writeAuth writes the users and roles as etcd stores them. The secret of qkv's tokens is left out: etcd has its own tokens.
func (w *snapshotWriter) writeAuth(tx *bbolt.Tx) (err error) {
	a := w.v.Auth()
	put := func(bucket, key string, value []byte) bool {
		err = tx.Bucket([]byte(bucket)).Put([]byte(key), value)
		return err == nil
	}
	encode := func(bucket, name string, m proto.Message) bool {
		var value []byte
		if value, err = proto.Marshal(m); err != nil {
			return false
		}
		return put(bucket, name, value)
	}
	if a.Enabled() && !put("auth", "authEnabled", []byte{1}) || !put("auth", "authRevision", binary.BigEndian.AppendUint64(nil, a.Revision())) {
		return err
	}
	a.Users(func(u *kv.UserRecord) bool {
		return encode("authUsers", u.Name, &authpb.User{
			Name: []byte(u.Name), Password: u.Password, Roles: u.Roles, Options: &authpb.UserAddOptions{NoPassword: u.NoPassword},
		})
	})
	if err == nil {
		a.Roles(func(r *kv.UserRole) bool {
			return encode("authRoles", r.Name, &authpb.Role{Name: []byte(r.Name), KeyPermission: permissionsOf(r)})
		})
	}
	return err
}
