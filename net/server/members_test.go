package server_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/server"
	"qkv/net/server/servertest"
	"qkv/net/wire"
)

func changeMember(id uint64, c kv.MemberChange) []byte {
	return wire.AppendRequest(nil, id, wire.OpChangeMember, wait, ask(wire.Ask{Change: c}))
}

func members(id uint64, serializable bool) []byte {
	return wire.AppendRequest(nil, id, wire.OpMembers, wait, ask(wire.Ask{Serializable: serializable}))
}

func moveLeader(id, to uint64) []byte {
	return wire.AppendRequest(nil, id, wire.OpMoveLeader, wait, ask(wire.Ask{Member: to}))
}

func namesIn(t *testing.T, p wire.Response) (names []string) {
	t.Helper()
	answer, err := wire.ReadAnswer[wire.List[kv.Member]](&p)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range answer.All {
		names = append(names, m.Name+" "+m.Role.String())
	}
	slices.Sort(names)
	return names
}

// A change of the membership has a proposal of its own among puts that came with it, and all keep their order.
func TestMemberChange(t *testing.T) {
	e := newEndpoint(t, nil)
	sizes := make(chan int, 10)
	e.member.SetBefore(func(writes, _ int) *kv.Error {
		sizes <- writes
		return nil
	})
	r := e.raw(t)
	add := kv.MemberChange{Kind: kv.AddLearner, ID: 7, Name: "n2", Peers: []string{"10.0.0.2:2380"}}
	r.send(slices.Concat(put(1, "k", "1"), put(2, "k", "2"), changeMember(3, add), put(4, "k", "3")))
	for id, revision := range []int64{2, 3, 3, 4} {
		p := r.want(uint64(id)+1, kv.OK)
		if got, _, _, err := p.Written(); err != nil || got != revision {
			t.Errorf("answer %d: revision %d, %v", id+1, got, err)
		}
	}
	var all []int
	for len(sizes) > 0 {
		all = append(all, <-sizes)
	}
	if !slices.Equal(all, []int{2, 1, 1}) && !slices.Equal(all, []int{1, 1, 1, 1}) {
		t.Errorf("proposals of %d requests", all)
	}
	r.send(changeMember(5, add))
	r.want(5, kv.MemberExists)
	r.send(changeMember(6, kv.MemberChange{Kind: kv.RemoveMember, ID: 8}))
	r.want(6, kv.MemberNotFound)
	before := e.member.Proposals.Load()
	r.send(changeMember(7, kv.MemberChange{Kind: kv.AddLearner, ID: 8, Name: "n\t3", Peers: []string{"10.0.0.3:2380"}}))
	r.want(7, kv.BadRequest)
	if e.member.Proposals.Load() != before {
		t.Error("a change with a bad name was proposed")
	}
	e.idle(t)
}

// A list of the members is confirmed like a range, unless it is serializable.
func TestMembers(t *testing.T) {
	e := newEndpoint(t, nil)
	r := e.raw(t)
	r.send(changeMember(1, kv.MemberChange{Kind: kv.AddLearner, ID: 7, Name: "n2", Peers: []string{"10.0.0.2:2380"}}))
	r.want(1, kv.OK)
	want := []string{"n2 learner", "test voter"}
	r.send(members(2, false))
	if got := namesIn(t, r.want(2, kv.OK)); !slices.Equal(got, want) {
		t.Errorf("%v, wanted %v", got, want)
	}
	if n := e.member.ReadIndexes.Load(); n != 1 {
		t.Errorf("%d confirmations for a linearizable list", n)
	}
	e.member.SetBefore(func(int, int) *kv.Error { return kv.Errorf(kv.Unavailable, "no quorum") })
	r.send(members(3, false))
	r.want(3, kv.Unavailable)
	r.send(members(4, true))
	if got := namesIn(t, r.want(4, kv.OK)); !slices.Equal(got, want) {
		t.Errorf("serializable: %v, wanted %v", got, want)
	}
	e.member.SetRefuse(kv.Errorf(kv.Amnesia, "it has forgotten"))
	r.send(members(5, true))
	r.want(5, kv.Amnesia)
	e.idle(t)
}

// While the leader is moved, the stream goes on, and nobody else moves it.
func TestMoveLeader(t *testing.T) {
	e := newEndpoint(t, nil)
	e.member = servertest.NewCluster(map[string]uint64{"n1": 1, "n2": 2})
	e.server = servertest.Start(t, e.trust, e.member, func(*server.Config) {})
	hold := make(chan struct{})
	e.member.SetBefore(func(writes, _ int) *kv.Error {
		if e.member.Moves.Load() == 1 && writes == 1 && e.member.Proposals.Load() == 0 {
			<-hold
		}
		return nil
	})
	r := e.raw(t)
	r.send(moveLeader(1, 2))
	for e.member.Moves.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	r.send(moveLeader(2, 1))
	p := r.want(2, kv.Overloaded)
	if err := p.Failed(); !strings.Contains(err.Message, "moved already") {
		t.Error(err)
	}
	r.send(getSerializable(3, "k"))
	r.want(3, kv.OK)
	close(hold)
	r.want(1, kv.OK)
	if leader := e.member.Status().Leader; leader != 2 {
		t.Errorf("the leader is %d", leader)
	}
	r.send(moveLeader(4, 9))
	r.want(4, kv.MemberNotFound)
	r.send(moveLeader(5, 0))
	r.want(5, kv.OK)
	if leader := e.member.Status().Leader; leader != 1 {
		t.Errorf("the leader is %d", leader)
	}
	e.idle(t)
}

// A client that goes while the leader is moved leaves nothing behind.
func TestMoveLeaderOfOneWhoLeaves(t *testing.T) {
	e := newEndpoint(t, nil)
	hold := make(chan struct{})
	e.member.SetBefore(func(int, int) *kv.Error { <-hold; return nil })
	r := e.raw(t)
	r.send(moveLeader(1, 0))
	for e.member.Moves.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	_ = r.conn.CloseWithError(0, "")
	close(hold)
	e.idle(t)
}

// A client that goes before its move of the leader has begun holds up nobody else's.
func TestMoveLeaderOfOneWhoHasLeft(t *testing.T) {
	e := newEndpoint(t, nil)
	hold := make(chan struct{})
	e.member.SetBefore(func(int, int) *kv.Error { <-hold; return nil })
	r := e.raw(t)
	r.send(slices.Concat(put(1, "k", "v"), moveLeader(2, 0))) // the member is asked for the write first
	e.until(t, "nothing is proposed", func() bool { return e.member.Proposals.Load() > 0 })
	_ = r.conn.CloseWithError(0, "")
	e.until(t, "the connection stays", func() bool { return e.server.Stats().Connections == 0 })
	close(hold)
	e.idle(t)
	if n := e.member.Moves.Load(); n != 0 {
		t.Fatalf("%d moves", n)
	}
	r = e.raw(t)
	r.send(moveLeader(3, 9))
	r.want(3, kv.MemberNotFound)
}

// readPush reads a status that the member pushes.
func readPush(ctx context.Context, conn *quic.Conn) (kv.Status, error) {
	stream, err := conn.AcceptUniStream(ctx)
	if err != nil {
		return kv.Status{}, err
	}
	b, err := io.ReadAll(stream)
	if err != nil {
		return kv.Status{}, err
	}
	frame, rest, ok, err := wire.SplitFrame(b, limits.ResponseBytes)
	if err != nil || !ok || len(rest) > 0 {
		return kv.Status{}, fmt.Errorf("%x: %w", b, err)
	}
	p, err := wire.ReadResponse(frame)
	if err != nil || p.ID != 0 {
		return kv.Status{}, fmt.Errorf("%+v: %w", p, err)
	}
	return wire.ReadAnswer[kv.Status](&p)
}

// A member that stops tells its clients of a change that is just made. They would not find the other members, if they know it alone.
func TestMembersAreToldAtTheEnd(t *testing.T) {
	for range 4 {
		e := newEndpoint(t, nil)
		r := e.raw(t)
		r.do(wire.OpStatus, nil)
		told := make(chan error, 1)
		go func() {
			for {
				got, err := readPush(t.Context(), r.conn)
				if err != nil || len(got.Members) == 1 && got.Members[0].Name == "n9" {
					told <- err
					return
				}
			}
		}()
		e.member.SetStatus(kv.Status{Leader: 9, Members: []kv.Member{{ID: 9, Name: "n9"}}})
		ctx, cancel := context.WithTimeout(t.Context(), 25*time.Millisecond)
		e.server.Drain(ctx)
		cancel()
		if err := e.server.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-told; err != nil {
			t.Fatal(err)
		}
	}
}

// A client that asks for nothing is told who the members are when that has changed, and when it has become what the
// cluster decided.
func TestMembersAreTold(t *testing.T) {
	e := newEndpoint(t, nil)
	r := e.raw(t)
	for _, status := range []kv.Status{
		{Leader: 1, Members: []kv.Member{{ID: 1, Name: "n1"}}},
		{Leader: 1, Members: []kv.Member{{ID: 1, Name: "n1", Clients: []string{"10.0.0.1:2379"}}}},
		{Members: []kv.Member{{ID: 2, Name: "n2"}}},
		{Leader: 2, Members: []kv.Member{{ID: 2, Name: "n2"}}},
	} {
		e.member.SetStatus(status)
		for {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			got, err := readPush(ctx, r.conn)
			cancel()
			if err != nil {
				t.Fatalf("%+v: %v", status, err)
			}
			if got.Leader == status.Leader && slices.EqualFunc(got.Members, status.Members, func(a, b kv.Member) bool {
				return a.ID == b.ID && a.Name == b.Name && slices.Equal(a.Clients, b.Clients)
			}) {
				break // else it was told before, of what was then
			}
		}
	}
}
