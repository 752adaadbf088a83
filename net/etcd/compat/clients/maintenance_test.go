package clients

import (
	"crypto/sha256"
	"io"
	"slices"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

func TestMaintenance(t *testing.T) {
	each(t, []story{
		{"status", func(t *testing.T, e *env) {
			e.put("a", "1")
			leaders := map[uint64]bool{}
			for _, endpoint := range e.Endpoints() {
				s, err := e.Status(e.ctx, endpoint)
				must(t, err)
				leaders[s.Leader] = true
				if s.Version == "" || s.DbSize == 0 || s.RaftTerm == 0 || s.RaftAppliedIndex == 0 || s.IsLearner || len(s.Errors) > 0 {
					t.Fatalf("the status of %s: %v", endpoint, s)
				}
			}
			want(t, "the members' leaders", len(leaders), 1)
		}},
		{"hash", func(t *testing.T, e *env) {
			rev := e.put("a", "1")
			hashes := map[uint32]bool{}
			for _, endpoint := range e.Endpoints() {
				one := e.another(endpoint)
				_, err := one.Get(e.ctx, "level")
				must(t, err)
				h, err := one.HashKV(e.ctx, endpoint, rev)
				must(t, err)
				hashes[h.Hash] = true
				want(t, "its revision", h.HashRevision, rev)
			}
			want(t, "the members' hashes", len(hashes), 1)
		}},
		{"snapshot", func(t *testing.T, e *env) {
			e.put("a", "1")
			s, err := e.SnapshotWithVersion(e.ctx)
			must(t, err)
			defer s.Snapshot.Close()
			data, err := io.ReadAll(s.Snapshot)
			must(t, err)
			want(t, "its length", len(data)%512, sha256.Size)
			sum := sha256.Sum256(data[:len(data)-sha256.Size])
			want(t, "its sum", sum[:], data[len(data)-sha256.Size:])
		}},
		{"defragment, alarms", func(t *testing.T, e *env) {
			for _, endpoint := range e.Endpoints() {
				_, err := e.Defragment(e.ctx, endpoint)
				must(t, err)
			}
			a, err := e.AlarmList(e.ctx)
			must(t, err)
			want(t, "alarms", len(a.Alarms), 0)
			a, err = e.AlarmDisarm(e.ctx, &clientv3.AlarmMember{})
			must(t, err)
			want(t, "disarmed", len(a.Alarms), 0)
		}},
		{"the leader moves", func(t *testing.T, e *env) {
			if len(e.Endpoints()) == 1 {
				return
			}
			m, err := e.MemberList(e.ctx)
			must(t, err)
			var leader, other uint64
			var at string
			for _, endpoint := range e.Endpoints() {
				s, err := e.Status(e.ctx, endpoint)
				must(t, err)
				if leader = s.Leader; s.Header.MemberId == leader {
					at = endpoint
				}
			}
			for _, one := range m.Members {
				if one.ID != leader {
					other = one.ID
				}
			}
			_, err = e.another(at).MoveLeader(e.ctx, other)
			must(t, err)
			for {
				s, err := e.Status(e.ctx, at)
				must(t, err)
				if s.Leader == other {
					break
				}
			}
			_, err = e.another(at).MoveLeader(e.ctx, leader)
			fails(t, "asked of one that does not lead", err, rpctypes.ErrNotLeader)
		}},
		{"members", func(t *testing.T, e *env) {
			m, err := e.MemberList(e.ctx)
			must(t, err)
			want(t, "their number", len(m.Members), len(e.Endpoints()))
			for slices.ContainsFunc(m.Members, func(one *pb.Member) bool { return one.Name == "" }) { // they tell it soon
				m, err = e.MemberList(e.ctx)
				must(t, err)
			}
			for _, one := range m.Members {
				if len(one.ClientURLs) == 0 || len(one.PeerURLs) == 0 || one.IsLearner {
					t.Fatalf("a member: %v", one)
				}
			}
			must(t, e.Sync(e.ctx))
			e.put("a", "1") // by the addresses that it was told
			_, err = e.MemberRemove(e.ctx, 4711)
			fails(t, "remove nobody", err, rpctypes.ErrMemberNotFound)
			_, err = e.MemberPromote(e.ctx, 4711)
			fails(t, "promote nobody", err, rpctypes.ErrMemberNotFound)
		}},
		{"downgrade", func(t *testing.T, e *env) {
			_, err := e.Downgrade(e.ctx, clientv3.DowngradeAction(pb.DowngradeRequest_VALIDATE), "3.5.0")
			fails(t, "two versions down", err, rpctypes.ErrInvalidDowngradeTargetVersion)
		}},
		{"no users", func(t *testing.T, e *env) {
			_, err := e.Authenticate(e.ctx, "root", "x")
			fails(t, "authenticate", err, rpctypes.ErrAuthNotEnabled)
			s, err := e.AuthStatus(e.ctx)
			must(t, err)
			want(t, "it is on", s.Enabled, false)
		}},
	})
}
