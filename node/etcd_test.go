package node_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// TestEtcd writes by one member's etcd endpoint, and reads and watches by all others': each takes every request.
func TestEtcd(t *testing.T) {
	withCluster(t, 3, func(t testing.TB, c *cluster) {
		ctx, cancel := context.WithTimeout(context.Background(), wait)
		defer cancel()
		var conns []*grpc.ClientConn
		for _, config := range c.configs {
			conn, err := grpc.NewClient(config.Listen, grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close() })
			conns = append(conns, conn)
		}
		var watches []pb.Watch_WatchClient
		for _, conn := range conns {
			w, err := pb.NewWatchClient(conn).Watch(ctx)
			if err != nil {
				t.Fatal(err)
			}
			create := &pb.WatchCreateRequest{Key: []byte("k"), RangeEnd: []byte("l"), StartRevision: 2, PrevKv: true}
			if err := w.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: create}}); err != nil {
				t.Fatal(err)
			}
			watches = append(watches, w)
		}
		granted, err := pb.NewLeaseClient(conns[0]).LeaseGrant(ctx, &pb.LeaseGrantRequest{TTL: 600})
		if err != nil {
			t.Fatal(err)
		}
		const puts = 9
		for i := range puts {
			p := &pb.PutRequest{Key: fmt.Appendf(nil, "k%d", i%4), Value: fmt.Appendf(nil, "%d", i), Lease: granted.ID, PrevKv: true}
			r, err := pb.NewKVClient(conns[i%3]).Put(ctx, p)
			if err != nil {
				t.Fatal(err)
			}
			if want := int64(i + 2); r.Header.Revision != want || (r.PrevKv != nil) != (i >= 4) {
				t.Fatalf("put %d: %v, want revision %d", i, r, want)
			}
		}
		for i, conn := range conns {
			found, err := pb.NewKVClient(conn).Range(ctx, &pb.RangeRequest{Key: []byte("k"), RangeEnd: []byte("l")})
			if err != nil || found.Count != 4 || found.Header.Revision != puts+1 {
				t.Fatalf("member %d reads %v %v", i, found, err)
			}
			left, err := pb.NewLeaseClient(conn).LeaseTimeToLive(ctx, &pb.LeaseTimeToLiveRequest{ID: granted.ID, Keys: true})
			if err != nil || left.GrantedTTL != 600 || len(left.Keys) != 4 {
				t.Fatalf("member %d says of the lease %v %v", i, left, err)
			}
			for revision := int64(2); revision < puts+2; {
				r, err := watches[i].Recv()
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range r.Events {
					if e.Kv.ModRevision != revision || (e.PrevKv != nil) != (revision >= 6) {
						t.Fatalf("member %d tells of %v, want revision %d", i, e, revision)
					}
					revision++
				}
			}
		}
		listed, err := pb.NewClusterClient(conns[1]).MemberList(ctx, &pb.MemberListRequest{Linearizable: true})
		if err != nil || len(listed.Members) != 3 {
			t.Fatalf("the members: %v %v", listed, err)
		}
		hashes := map[uint32]bool{}
		leader, others := -1, []uint64(nil)
		for i, conn := range conns {
			hash, err := pb.NewMaintenanceClient(conn).HashKV(ctx, &pb.HashKVRequest{Revision: puts + 1})
			if err != nil {
				t.Fatal(err)
			}
			hashes[hash.Hash] = true
			status, err := pb.NewMaintenanceClient(conn).Status(ctx, &pb.StatusRequest{})
			if err != nil || status.DbSize == 0 || status.Leader == 0 {
				t.Fatalf("member %d: %v %v", i, status, err)
			}
			if status.Leader == status.Header.MemberId {
				leader = i
			} else {
				others = append(others, status.Header.MemberId)
			}
		}
		if len(hashes) != 1 {
			t.Fatalf("the members' hashes are %v", hashes)
		}
		if leader < 0 {
			t.Fatal("no member says that it leads")
		}
		if _, err := pb.NewMaintenanceClient(conns[leader]).MoveLeader(ctx, &pb.MoveLeaderRequest{TargetID: others[0]}); err != nil {
			t.Fatal(err)
		}
		for {
			status, err := pb.NewMaintenanceClient(conns[leader]).Status(ctx, &pb.StatusRequest{})
			if err != nil {
				t.Fatal(err)
			}
			if status.Leader == others[0] {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
}
