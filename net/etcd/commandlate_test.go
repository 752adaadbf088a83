package etcd_test

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/status"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/etcd"
)

// put changes the member's state, whoever has asked it for something meanwhile.
func (m *member) put(key string) {
	m.Propose(kv.Proposal{ReplyTo: discard{}, Requests: []uint64{1}, Commands: []kv.Command{new(index.Head).AppendPut(nil, &kv.Put{Key: []byte(key)})}})
}

// The header of a keep-alive's answer is from before the renewal: else the revision in it may be that of a revocation, of which a
// client would conclude that its lease has outlived it.
func TestKeepAliveHasAnEarlierHeader(t *testing.T) {
	m := newMember()
	c := dial(t, start(t, m, nil))
	if got := call(t.Context(), t, c, "Lease", "LeaseGrant", "ID: 7 TTL: 60"); got != "header:{cluster_id:12 member_id:1 revision:1 raft_term:7} ID:7 TTL:60\n" {
		t.Fatal(got)
	}
	m.SetBefore(func(_, reads int) *kv.Error {
		if reads > 0 {
			m.SetBefore(nil)
			m.put("k")
		}
		return nil
	})
	s := open(t, c, "Lease.LeaseKeepAlive")
	for _, want := range []string{"revision:1", "revision:2"} {
		s.send(t, "ID: 7")
		if got := s.receive(t); got != "header:{cluster_id:12 member_id:1 "+want+" raft_term:7} ID:7 TTL:60\n" {
			t.Errorf("%s, wanted %s", got, want)
		}
	}
}

// A revision that is not here yet may be one that another member has told: it is asked for there before it is called the future,
// also by who asks for what this member has.
func TestRevisionThatAnotherMemberTold(t *testing.T) {
	m := newMember()
	c := pb.NewKVClient(dial(t, start(t, m, nil)))
	m.SetBefore(func(_, reads int) *kv.Error {
		if reads > 0 {
			m.SetBefore(nil)
			m.put("k")
		}
		return nil
	})
	for _, x := range []struct {
		revision int64
		want     string
	}{{2, ""}, {3, "etcdserver: mvcc: required revision is a future revision"}} {
		_, err := c.Range(t.Context(), &pb.RangeRequest{Key: []byte("k"), Revision: x.revision, Serializable: true})
		if got := status.Convert(err).Message(); got != x.want {
			t.Errorf("revision %d: %q, want %q", x.revision, got, x.want)
		}
	}
}

// dropping is a member that has not dropped yet what it has compacted.
type dropping struct {
	*member
	before *index.View // what everybody sees until done
	looked atomic.Int64
	done   atomic.Bool
}

func (d *dropping) View() *index.View {
	if d.done.Load() {
		return d.member.View()
	}
	d.looked.Add(1)
	return d.before
}

// A physical compaction is answered when it is done.
func TestPhysicalCompaction(t *testing.T) {
	m := newMember()
	state := index.NewState(limits.Defaults().Index)
	state.Found(index.Founders(map[string]uint64{"n1": 1}))
	var commands [][]byte
	for range 5 {
		commands = append(commands, new(index.Head).AppendPut(nil, &kv.Put{Key: []byte("k")}).Bytes)
		m.put("k")
	}
	commands = append(commands, new(index.Head).AppendCompact(nil, 5).Bytes)
	if _, err := state.Apply(1, 1, index.AppendEnvelope(nil, index.Envelope{Level: index.FirstLevel, Wall: 1}, commands), nil); err != nil {
		t.Fatal(err)
	}
	d := &dropping{member: m, before: state.View()}
	if d.before.Dropped() || d.before.Compacted() != 5 {
		t.Fatal("the View is not one of what is compacted and not dropped")
	}
	c := pb.NewKVClient(dial(t, start(t, d, nil)))
	answered := make(chan error, 1)
	go func() {
		_, err := c.Compact(t.Context(), &pb.CompactionRequest{Revision: 5, Physical: true})
		if err == nil && !d.done.Load() {
			err = context.DeadlineExceeded
		}
		answered <- err
	}()
	for begun := time.Now(); d.looked.Load() < 20 && len(answered) == 0 && time.Since(begun) < wait; {
		time.Sleep(time.Millisecond)
	}
	if len(answered) > 0 {
		t.Error("it is answered before it is done")
	}
	d.done.Store(true)
	if err := <-answered; err != nil {
		t.Error(err)
	}
}

// Who waits for a lock no more leaves the line, and is not in the way of who comes behind.
func TestLockThatIsGivenUp(t *testing.T) {
	m := newMember()
	c := dial(t, start(t, m, nil))
	for _, q := range []string{"ID: 31 TTL: 60", "ID: 32 TTL: 60"} {
		call(t.Context(), t, c, "Lease", "LeaseGrant", q)
	}
	call(t.Context(), t, c, "Lock", "Lock", `name: "l" lease: 31`)
	before := m.Watches()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan string, 1)
	go func() { ended <- call(ctx, t, c, "Lock", "Lock", `name: "l" lease: 32`) }()
	eventually(t, func() bool { return m.Watches() > before })
	cancel()
	<-ended
	eventually(t, func() bool {
		_, found, err := m.View().Get([]byte("l/20"), 0)
		return err == nil && !found
	})
}

// TestHashWaitsWithoutAView asks for a hash while a snapshot is written: who waits for that keeps no View, with all that is given up
// meanwhile, and answers of what is there when its turn has come.
func TestHashWaitsWithoutAView(t *testing.T) {
	m := newMember()
	writes, goOn := make(chan struct{}), make(chan struct{})
	s := start(t, m, func(c *etcd.Config) {
		c.Room = func() (int64, error) {
			close(writes)
			<-goOn
			return 1 << 40, nil
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	copied, err := pb.NewMaintenanceClient(dial(t, s)).Snapshot(ctx, &pb.SnapshotRequest{})
	if err != nil {
		t.Fatal(err)
	}
	<-writes
	begun := s.Stats().Serving
	asks := pb.NewMaintenanceClient(dial(t, s))
	hashed := make(chan *pb.HashKVResponse, 1)
	go func() {
		answer, _ := asks.HashKV(ctx, &pb.HashKVRequest{})
		hashed <- answer
	}()
	eventually(t, func() bool { return s.Stats().Serving == begun+1 })
	time.Sleep(20 * time.Millisecond) // it waits by now
	m.put("k")
	close(goOn)
	if got := <-hashed; got.GetHashRevision() != 2 {
		t.Errorf("the hash is %v: what was written while it waited is not in it", got)
	}
	for err = nil; err == nil; {
		_, err = copied.Recv()
	}
	if !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}
