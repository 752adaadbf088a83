package etcd

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
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
	"qkv/internal/limits"
)

func (s *Server) status(context.Context, *pb.StatusRequest) (any, error) {
	own, v := s.config.Member.Status(), s.config.Member.View()
	learner, _ := s.learner()
	answer := &pb.StatusResponse{
		Header: s.header(own.Revision), Version: Version, StorageVersion: ClusterVersion, Leader: own.Leader,
		RaftIndex: own.Commit, RaftTerm: own.Term, RaftAppliedIndex: own.Applied,
		DbSize: max(own.UsedBytes, 1), DbSizeInUse: min(max(v.LiveUsedBytes(), 1), max(own.UsedBytes, 1)), DbSizeQuota: own.QuotaBytes,
		IsLearner: learner, DowngradeInfo: &pb.DowngradeInfo{},
	}
	if own.Leader == 0 {
		answer.Errors = append(answer.Errors, "etcdserver: no leader")
	}
	for _, a := range own.Alarms {
		answer.Errors = append(answer.Errors, a.Name+": "+a.Text)
	}
	return answer, nil
}

// alarmsOf returns the alarms of the replicated state.
func alarmsOf(v *index.View) (all []*pb.AlarmMember) {
	for _, a := range v.Alarms() {
		all = append(all, &pb.AlarmMember{MemberID: a.Member, Alarm: pb.AlarmType(a.Kind)})
	}
	return all
}

// alarm lists alarms, as etcd does by their kind alone, raises one, or disarms one. What was changed is told; an alarm that was
// raised already, or was not there, is no error.
func (s *Server) alarm(ctx context.Context, q *pb.AlarmRequest) (any, error) {
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
		change := kv.AlarmChange{Raise: raise, Alarm: kv.Alarm{Member: q.MemberID, Kind: kv.AlarmKind(q.Alarm)}}
		if err := change.Check(); err != nil || q.Alarm > math.MaxUint8 || q.Alarm < 0 {
			return nil, refusedAlarm(err)
		}
		if _, err := s.calls.write(ctx, index.AppendAlarm(nil, change), false); err != nil {
			return nil, err
		}
		answer.Alarms = []*pb.AlarmMember{{MemberID: q.MemberID, Alarm: q.Alarm}}
	}
	answer.Header = s.newest()
	return answer, nil
}

func refusedAlarm(err *kv.Error) error {
	if err == nil {
		err = kv.Errorf(kv.BadRequest, "an alarm of a kind that is not known")
	}
	return statusOf(err)
}

// moveLeader is asked of the leader.
func (s *Server) moveLeader(ctx context.Context, q *pb.MoveLeaderRequest) (any, error) {
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

// defragment gives memory back to the system, as far as Go's own has some; the state's does so all the time.
func (s *Server) defragment(context.Context, *pb.DefragmentRequest) (any, error) {
	began := time.Now()
	s.metrics.defragmenting.Inc()
	defer func() {
		s.metrics.defragmenting.Dec()
		s.metrics.defragment.Observe(since(began))
	}()
	debug.FreeOSMemory()
	return &pb.DefragmentResponse{}, nil
}

// downgrade answers as an etcd of Version that has no downgrade under way, and begins none.
func (s *Server) downgrade(_ context.Context, q *pb.DowngradeRequest) (any, error) {
	answer := &pb.DowngradeResponse{Header: s.header(s.config.Member.View().Revision()), Version: minorOf(ClusterVersion)}
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
	if fmt.Sprintf("%d.%d", numbers[0], numbers[1]+1) != minorOf(ClusterVersion) {
		return nil, rpctypes.ErrGRPCInvalidDowngradeTargetVersion
	}
	if q.Action != pb.DowngradeRequest_VALIDATE {
		return nil, status.Error(codes.Unimplemented, "etcdserver: this is qkv, which cannot be made an older etcd in place")
	}
	return answer, nil
}

func minorOf(version string) string { return version[:strings.LastIndexByte(version, '.')] }

// firstOf waits until no other request of its connection reads all that there is, so that nobody stands behind all that one can ask at
// once.
func firstOf(ctx context.Context) (done func(), err error) {
	own := whoseShare(ctx)
	if own == nil {
		return func() {}, nil
	}
	return take(ctx, own.whole)
}

// take waits for a place, until nobody waits for the request.
func take(ctx context.Context, places chan struct{}) (done func(), err error) {
	select {
	case places <- struct{}{}:
		return func() { <-places }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// hash is that of all there is. In etcd it is of the whole file, and differs from one member to the next.
func (s *Server) hash(ctx context.Context, _ *pb.HashRequest) (any, error) {
	began := time.Now()
	done, err := s.placeForHash(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	v := s.config.Member.View()
	sum, err := sumOf(ctx, v, v.Revision())
	s.metrics.hash.Observe(since(began))
	if err != nil {
		return nil, err
	}
	return &pb.HashResponse{Header: s.header(v.Revision()), Hash: sum}, nil
}

func (s *Server) hashKV(ctx context.Context, q *pb.HashKVRequest) (any, error) {
	began := time.Now()
	done, err := s.placeForHash(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	v := s.config.Member.View()
	revision := q.Revision
	if revision == 0 {
		revision = v.Revision()
	}
	switch {
	case 0 <= revision && revision < v.Compacted(): // before the first one etcd hashes nothing
		return nil, rpctypes.ErrGRPCCompacted
	case revision > v.Revision():
		return nil, rpctypes.ErrGRPCFutureRev
	}
	sum, err := sumOf(ctx, v, revision)
	s.metrics.hashRevision.Observe(since(began))
	if err != nil {
		return nil, err
	}
	return &pb.HashKVResponse{Header: s.header(v.Revision()), Hash: sum, CompactRevision: compactedOf(v), HashRevision: revision}, nil
}

// placeForHash waits until no other request has all there is hashed. Who waits has no View yet: it would keep in memory all that is
// given up meanwhile.
func (s *Server) placeForHash(ctx context.Context) (done func(), err error) {
	first, err := firstOf(ctx)
	if err != nil {
		return nil, err
	}
	alone, err := take(ctx, s.hashing)
	if err != nil {
		first()
		return nil, err
	}
	return func() {
		alone()
		first()
	}, nil
}

// compactedOf is the compacted revision as etcd tells it: -1 where nothing was.
func compactedOf(v *index.View) int64 {
	if c := v.Compacted(); c > 0 {
		return c
	}
	return -1
}

// emptied is whether a revision has no key by etcd's index: one that it deleted and put again is gone there.
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
	all.KeysOnly = true // what one revision made: as many as a transaction may put
	made, err := v.Range(all, 0)
	if err != nil {
		return false, err
	}
	for i := range made.KVs {
		if _, before, err := v.Get(made.KVs[i].Key, revision-1); err != nil || !before {
			return false, nil
		}
	}
	return true, nil
}

// sumOf is etcd's number for all records up to a revision: the CRC-32C of the name of their bucket, and of each one's key and value
// there, in their order. Of those at or below the compacted revision it has the ones that are still what the revision reads;
// where that has no key at all, those that the compacted revision reads.
func sumOf(ctx context.Context, v *index.View, revision int64) (uint32, error) {
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
			runtime.Gosched() // what is short goes first
			if err = ctx.Err(); err != nil {
				return false
			}
		}
		if one.Mod > revision {
			return false
		}
		if one.Mod <= compacted {
			pair, found, _ := v.Get(key, keep)
			if one.Tombstone || !found || pair.ModRevision != one.Mod {
				return true
			}
		}
		buf = appendRecord(buf[:0], key, one)
		_, _ = hash.Write(buf)
		return true
	})
	return hash.Sum32(), err
}

// appendRecord appends a version as etcd keeps it: the key of its bucket, and the pair.
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
