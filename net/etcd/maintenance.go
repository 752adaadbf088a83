package etcd

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/figures"
	"qkv/internal/limits"
	"qkv/net/etcd/front"
)

// maintenanceService is etcdserverpb.Maintenance.
type maintenanceService struct{ *core }

func (s maintenanceService) status(context.Context, *pb.StatusRequest) (*pb.StatusResponse, error) {
	own, v := s.config.Member.Status(), s.config.Member.View()
	learner, _ := s.learner()
	answer := &pb.StatusResponse{
		Header: s.header(own.Get(figures.Revision)), Version: Version, StorageVersion: clusterVersion, Leader: own.Leader,
		RaftIndex: own.Count(figures.Commit), RaftTerm: own.Count(figures.Term), RaftAppliedIndex: own.Count(figures.Applied),
		DbSize: max(own.Get(figures.Used), 1), DbSizeInUse: min(max(v.LiveUsedBytes(), 1), max(own.Get(figures.Used), 1)), DbSizeQuota: own.Get(figures.Quota),
		IsLearner: learner, DowngradeInfo: &pb.DowngradeInfo{},
	}
	if own.Leader == 0 {
		answer.Errors = append(answer.Errors, "etcdserver: no leader")
	}
	if word := s.config.Start.Word(); word != "" {
		answer.Errors = append(answer.Errors, "etcdserver: "+word)
	}
	for _, a := range own.Alarms {
		answer.Errors = append(answer.Errors, string(a.Name)+": "+a.Text)
	}
	return answer, nil
}

// alarmsOf returns the alarms of the replicated state.
func alarmsOf(v *index.View) (all []*pb.AlarmMember) {
	for _, a := range v.Alarms() {
		all = append(all, &pb.AlarmMember{MemberID: a.Member, Alarm: pb.AlarmType(pb.AlarmType_value[string(a.Name)])})
	}
	return all
}

// alarm lists alarms, raises one, or disarms one; as in etcd, a list filters by kind alone. The answer lists the changed alarms. Raising an
// alarm twice, or disarming an absent one, is no error.
func (s maintenanceService) alarm(ctx context.Context, q *pb.AlarmRequest) (*pb.AlarmResponse, error) {
	need := kv.AccessAdmin
	if q.Action == pb.AlarmRequest_GET {
		need = kv.AccessNone
	}
	if err := s.permits(ctx, s.config.Member.View(), need, nil); err != nil {
		return nil, err
	}
	answer := &pb.AlarmResponse{}
	before := alarmsOf(s.config.Member.View())
	there := slices.ContainsFunc(before, func(a *pb.AlarmMember) bool { return a.MemberID == q.MemberID && a.Alarm == q.Alarm })
	switch raise := q.Action == pb.AlarmRequest_ACTIVATE; {
	case q.Action == pb.AlarmRequest_GET:
		for _, a := range before {
			if q.Alarm == pb.AlarmType_NONE || q.Alarm == a.Alarm {
				answer.Alarms = append(answer.Alarms, a)
			}
		}
	case (raise || q.Action == pb.AlarmRequest_DEACTIVATE) && q.Alarm != pb.AlarmType_NONE && raise != there:
		change := kv.AlarmChange{Raise: raise, Member: q.MemberID, Name: kv.AlarmName(q.Alarm.String())}
		if err := change.Check(); err != nil {
			return nil, statusOf(err)
		}
		if _, err := s.propose(ctx, proposal{}, func(h index.Head) kv.Command { return h.AppendAlarm(nil, change) }); err != nil {
			return nil, err
		}
		answer.Alarms = []*pb.AlarmMember{{MemberID: q.MemberID, Alarm: q.Alarm}}
	}
	answer.Header = s.newest()
	return answer, nil
}

// moveLeader works only at the leader.
func (s maintenanceService) moveLeader(ctx context.Context, q *pb.MoveLeaderRequest) (*pb.MoveLeaderResponse, error) {
	if s.config.Member.RaftStatus().Leader != s.config.ID {
		return nil, rpctypes.ErrGRPCNotLeader
	}
	to := s.config.Member.View().Members().Get(q.TargetID)
	if to == nil || !to.Role.Votes() {
		return nil, rpctypes.ErrGRPCBadLeaderTransferee
	}
	if err := s.config.Member.MoveLeader(ctx, q.TargetID); err != nil {
		return nil, statusOf(err)
	}
	return &pb.MoveLeaderResponse{}, nil
}

// defragment returns unused memory of Go's heap to the system; the state's memory is returned continuously.
func (s maintenanceService) defragment(context.Context, *pb.DefragmentRequest) (*pb.DefragmentResponse, error) {
	began := time.Now()
	s.metrics.defragmenting.Inc()
	defer func() {
		s.metrics.defragmenting.Dec()
		s.metrics.defragment.Observe(since(began))
	}()
	debug.FreeOSMemory()
	return &pb.DefragmentResponse{}, nil
}

// downgrade answers like an etcd of Version without a downgrade, and never starts one.
func (s maintenanceService) downgrade(_ context.Context, q *pb.DowngradeRequest) (*pb.DowngradeResponse, error) {
	answer := &pb.DowngradeResponse{Header: s.header(s.config.Member.View().Revision()), Version: minorOf(clusterVersion)}
	switch q.Action {
	case pb.DowngradeRequest_VALIDATE, pb.DowngradeRequest_ENABLE:
	case pb.DowngradeRequest_CANCEL:
		return answer, nil
	default:
		return nil, status.Error(codes.Unknown, "etcdserver: unknown method")
	}
	parts := strings.Split(q.Version, ".")
	numbers := make([]int, len(parts))
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 31)
		if err != nil || len(parts) < 2 || len(parts) > 3 {
			return nil, rpctypes.ErrGRPCWrongDowngradeVersionFormat
		}
		numbers[i] = int(n)
	}
	if fmt.Sprintf("%d.%d", numbers[0], numbers[1]+1) != minorOf(clusterVersion) {
		return nil, rpctypes.ErrGRPCInvalidDowngradeTargetVersion
	}
	if q.Action != pb.DowngradeRequest_VALIDATE {
		return nil, status.Errorf(codes.Unimplemented, "etcdserver: this is qkv: the data has the feature level %d, which never falls, and no format of etcd. "+
			"An older qkv works until the level has risen; `qkv migrate to-etcd` writes a snapshot for etcd", s.config.Member.View().Level())
	}
	return answer, nil
}

func minorOf(version string) string { return version[:strings.LastIndexByte(version, '.')] }

// takeWholeState gives the request its connection's one slot for reads of the whole state, to prevent head-of-line blocking of other
// clients.
func takeWholeState(ctx context.Context) (done func(), err error) {
	own := front.AccountOf(ctx)
	return own.Whole.Release, own.Whole.Take(ctx)
}

// hash returns a hash of the whole state. etcd hashes its file, which differs between members.
func (s maintenanceService) hash(ctx context.Context, _ *pb.HashRequest) (*pb.HashResponse, error) {
	began := time.Now()
	done, err := s.takeHash(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	v := s.config.Member.View()
	if err := s.permits(ctx, v, kv.AccessAdmin, nil); err != nil { // once more: it has waited for its turn
		return nil, err
	}
	sum, err := HashKV(ctx, v, v.Revision())
	s.metrics.hash.Observe(since(began))
	if err != nil {
		return nil, err
	}
	return &pb.HashResponse{Header: s.header(v.Revision()), Hash: sum}, nil
}

func (s maintenanceService) hashKV(ctx context.Context, q *pb.HashKVRequest) (*pb.HashKVResponse, error) {
	began := time.Now()
	done, err := s.takeHash(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	v := s.config.Member.View()
	if err := s.permits(ctx, v, kv.AccessAdmin, nil); err != nil {
		return nil, err
	}
	revision := q.Revision
	if revision == 0 {
		revision = v.Revision()
	}
	switch {
	case 0 <= revision && revision < v.Compacted(): // before the first revision etcd hashes nothing
		return nil, rpctypes.ErrGRPCCompacted
	case revision > v.Revision():
		return nil, rpctypes.ErrGRPCFutureRev
	}
	sum, err := HashKV(ctx, v, revision)
	s.metrics.hashRevision.Observe(since(began))
	if err != nil {
		return nil, err
	}
	return &pb.HashKVResponse{Header: s.header(v.Revision()), Hash: sum, CompactRevision: compactedOf(v), HashRevision: revision}, nil
}

// takeHash waits until no other request hashes the state. The waiting request holds no View, which would keep all memory released
// meanwhile.
func (s maintenanceService) takeHash(ctx context.Context) (done func(), err error) {
	first, err := takeWholeState(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.admission.hashing.Take(ctx); err != nil {
		first()
		return nil, err
	}
	return func() {
		s.admission.hashing.Release()
		first()
	}, nil
}

// compactedOf returns the compacted revision as etcd reports it: -1 before the first compaction.
func compactedOf(v *index.View) int64 {
	if c := v.Compacted(); c > 0 {
		return c
	}
	return -1
}

// emptied tells whether etcd's index has no key at a revision. Keys that the revision's transaction deletes and puts again are absent from
// that index.
func emptied(v *index.View, revision int64) (bool, error) {
	all := kv.Range{Key: []byte{0}, End: []byte{0}, Revision: revision}
	older := all
	older.Limit, older.KeysOnly, older.MaxCreate = 1, true, revision-1
	if revision > 1 {
		found, err := v.Range(older, 0)
		if err != nil || len(found.KVs) > 0 || found.Count == 0 {
			return err == nil && found.Count == 0, err
		}
	}
	all.KeysOnly = true // the pairs made by one revision: at most the puts of a transaction
	made, err := v.Range(all, 0)
	if err != nil {
		return false, err
	}
	for i := range made.KVs {
		if v.ModifiedAt(made.KVs[i].Key, revision-1) == 0 {
			return false, nil
		}
	}
	return true, nil
}

// HashKV returns etcd's hash of all records up to a revision: the CRC-32C of their bucket's name and of each record's key and value, in
// order. At or below the compacted revision it includes the versions that are current at the given revision. If that revision has no key
// at all, it includes those current at the compacted revision.
func HashKV(ctx context.Context, v *index.View, revision int64) (uint32, error) {
	hash := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	_, _ = hash.Write([]byte("key"))
	if revision < 0 {
		return hash.Sum32(), nil
	}
	compacted, keep := compactedOf(v), revision
	none, err := emptied(v, revision)
	if err != nil {
		return 0, statusOf(err)
	}
	if none {
		keep = max(compacted, 1)
	}
	var buf []byte
	n := 0
	v.Records(func(key []byte, one *index.Version) bool {
		if n++; n%limits.RangeRows == 0 {
			runtime.Gosched() // short requests go first
			if err = ctx.Err(); err != nil {
				return false
			}
		}
		if one.Mod > revision {
			return false
		}
		if one.Mod <= compacted {
			if one.Tombstone || v.ModifiedAt(key, keep) != one.Mod {
				return true
			}
		}
		if err = one.Read(); err != nil {
			err = statusOf(err)
			return false
		}
		buf = appendRecord(buf[:0], key, one)
		_, _ = hash.Write(buf)
		return true
	})
	return hash.Sum32(), err
}

// appendRecord appends a version in etcd's stored form: the key in its bucket, and the pair.
func appendRecord(dst []byte, key []byte, one *index.Version) []byte {
	dst = append(binary.BigEndian.AppendUint64(dst, uint64(one.Mod)), '_')
	dst = binary.BigEndian.AppendUint64(dst, uint64(one.Sub))
	if one.Tombstone {
		return appendBytes(append(dst, 't'), pairKey, key)
	}
	return appendFields(dst, &kv.KeyValue{
		Key: key, Value: one.Value, CreateRevision: one.Create, ModRevision: one.Mod, Version: one.Version, Lease: one.Lease,
	})
}
