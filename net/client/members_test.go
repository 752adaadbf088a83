package client_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/testlong"
	"qkv/net/client"
	"qkv/net/server"
	"qkv/net/server/servertest"
)

// rolesOf lists the members, each with its role.
func rolesOf(t *testing.T, c *client.Client, serializable bool) (roles []string) {
	t.Helper()
	for _, m := range must[[]kv.Member](t)(c.Members(t.Context(), client.ReadOptions{Serializable: serializable})) {
		roles = append(roles, m.Name+" "+m.Role.String())
	}
	slices.Sort(roles)
	return roles
}

// A member is added, promoted in the place of another one, moved and removed.
func TestMembers(t *testing.T) {
	t.Parallel()
	trust := servertest.NewTrust(t)
	m := servertest.NewCluster(map[string]uint64{"n1": 1, "n2": 2})
	c := open(t, trust, servertest.Endpoint(servertest.Start(t, trust, m, nil)))
	ctx := t.Context()
	id := must[uint64](t)(c.Admin().AddMember(ctx, "n3", []string{"10.0.0.3:2380"}, client.AddOptions{Manual: true}))
	all := must[[]kv.Member](t)(c.Members(ctx, client.ReadOptions{}))
	i := slices.IndexFunc(all, func(m kv.Member) bool { return m.ID == id })
	if i < 0 || all[i].Name != "n3" || !all[i].Manual || all[i].Since == 0 || all[i].Started() || !slices.Equal(all[i].Peers, []string{"10.0.0.3:2380"}) {
		t.Fatalf("%+v", all)
	}
	if err := c.Admin().PromoteMember(ctx, id, 2); err != nil {
		t.Fatal(err)
	}
	if got := rolesOf(t, c, true); !slices.Equal(got, []string{"n1 voter", "n3 voter"}) {
		t.Errorf("%v", got)
	}
	if err := c.Admin().UpdateMember(ctx, id, []string{"10.0.0.9:2380"}); err != nil {
		t.Fatal(err)
	}
	if err := c.Admin().MoveLeader(ctx, id); err != nil || m.Status().Leader != id {
		t.Errorf("the leader is %x: %v", m.Status().Leader, err)
	}
	for code, change := range map[kv.Code]func() error{
		kv.MemberExists: func() error {
			_, err := c.Admin().AddMember(ctx, "n1", []string{"10.0.0.4:2380"}, client.AddOptions{})
			return err
		},
		kv.AddressExists: func() error {
			_, err := c.Admin().AddMember(ctx, "n4", []string{"10.0.0.9:2380"}, client.AddOptions{})
			return err
		},
		kv.NotLearner:     func() error { return c.Admin().PromoteMember(ctx, 1, 0) },
		kv.MemberNotFound: func() error { return c.Admin().RemoveMember(ctx, 2) },
		kv.BadRequest:     func() error { return c.Admin().UpdateMember(ctx, 1, []string{"nowhere"}) },
	} {
		var answer *kv.Error
		if err := change(); !errors.As(err, &answer) || answer.Code != code {
			t.Errorf("%v, wanted %v", err, code)
		}
	}
	if err := c.Admin().RemoveMember(ctx, id); err != nil {
		t.Fatal(err)
	}
	if got := rolesOf(t, c, false); !slices.Equal(got, []string{"n1 voter"}) {
		t.Errorf("%v", got)
	}
}

// A change is sent again only when it certainly did not happen.
func TestMemberChangeAtMostOnce(t *testing.T) {
	t.Parallel()
	trust := servertest.NewTrust(t)
	m := servertest.NewMember()
	c := open(t, trust, servertest.Endpoint(servertest.Start(t, trust, m, nil)))
	fail := func(times int64, code kv.Code) {
		from := m.Proposals.Load() + m.Moves.Load()
		m.SetBefore(func(writes, _ int) *kv.Error {
			if writes > 0 && m.Proposals.Load()+m.Moves.Load() <= from+times {
				return kv.Errorf(code, "it is not to be")
			}
			return nil
		})
	}
	fail(2, kv.Unavailable)
	id := must[uint64](t)(c.Admin().AddMember(t.Context(), "n2", []string{"10.0.0.2:2380"}, client.AddOptions{}))
	if n := m.Proposals.Load(); n != 3 {
		t.Errorf("%d proposals, the first two of which were refused for a moment", n)
	}
	for _, code := range []kv.Code{kv.LearnerBehind, kv.QuorumAtRisk, kv.TooManyMembers} {
		before := m.Proposals.Load()
		fail(1, code)
		var answer *kv.Error
		if err := c.Admin().PromoteMember(t.Context(), id, 0); !errors.As(err, &answer) || answer.Code != code || m.Proposals.Load() != before+1 {
			t.Errorf("%v: %v after %d proposals", code, err, m.Proposals.Load()-before)
		}
	}
	for name, change := range map[string]func(context.Context) error{
		"list the members":         func(ctx context.Context) error { return c.Admin().PromoteMember(ctx, id, 0) },
		"check which member leads": func(ctx context.Context) error { return c.Admin().MoveLeader(ctx, id) },
	} {
		before := m.Proposals.Load() + m.Moves.Load()
		fail(1, kv.Unknown)
		err := change(t.Context())
		if !errors.Is(err, client.ErrOutcomeUnknown) || m.Proposals.Load()+m.Moves.Load() != before+1 {
			t.Errorf("an unknown outcome: %v", err)
		}
		hold := make(chan struct{})
		m.SetBefore(func(int, int) *kv.Error { <-hold; return nil })
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- change(ctx) }()
		await(t, "the change is asked for", func() bool { return m.Proposals.Load()+m.Moves.Load() == before+2 })
		cancel()
		if err := <-ended; !errors.Is(err, client.ErrOutcomeUnknown) || !strings.Contains(err.Error(), name+" to find out") {
			t.Errorf("no answer in time: %v", err)
		}
		close(hold)
	}
}

// TestRemovalOfTheMemberThatIsAsked: a removed member stops before it has answered. The client reads the list of members at another member,
// and the removal is no unknown outcome. It stays unknown if the list still has the member, or if no other member answers.
func TestRemovalOfTheMemberThatIsAsked(t *testing.T) {
	t.Parallel()
	trust := servertest.NewTrust(t)
	for _, c := range []struct {
		what         string
		lose, others bool
		unknown      bool
	}{
		{"it is removed, and does not answer", true, true, false},
		{"it stops before it has removed itself", false, true, true},
		{"no other member is known", true, false, true},
	} {
		first := servertest.NewCluster(map[string]uint64{"n1": 1, "n2": 2})
		other := servertest.NewMember(first)
		stops := servertest.Start(t, trust, first, nil)
		endpoints := []string{servertest.Endpoint(stops)}
		if c.others {
			endpoints = append(endpoints, servertest.Endpoint(servertest.Start(t, trust, other, nil)))
		}
		s := open(t, trust, endpoints[0])
		if _, err := s.Members(t.Context(), client.ReadOptions{}); err != nil { // it is connected
			t.Fatal(err)
		}
		tells(first, 2, endpoints...)
		if c.others {
			knows(t, s, endpoints...)
		}
		first.Lose.Store(c.lose)
		first.SetBefore(func(writes, _ int) *kv.Error {
			if writes > 0 {
				go func() { _ = stops.Close() }()
				if !c.lose {
					return kv.Errorf(kv.Unknown, "it stops")
				}
			}
			return nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		err := s.Admin().RemoveMember(ctx, 1)
		cancel()
		if errors.Is(err, client.ErrOutcomeUnknown) != c.unknown || !c.unknown && err != nil {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}

// tells makes a member say who is a member, and whether there is a leader.
func tells(m *servertest.Member, leader uint64, clients ...string) {
	s := kv.Status{Name: "n1", Leader: leader, Role: "follower"}
	for i, address := range clients {
		s.Members = append(s.Members, kv.Member{ID: uint64(i) + 1, Clients: []string{address}})
	}
	m.SetStatus(s)
}

// working puts until the test ends, so that there are calls under way.
func working(t *testing.T, c *client.Client) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			_, _ = c.Put(ctx, []byte("k"), []byte("v"))
		}
	}()
	t.Cleanup(func() { cancel(); <-ended })
}

// knows waits until the client knows these endpoints.
func knows(t *testing.T, c *client.Client, want ...string) {
	t.Helper()
	await(t, fmt.Sprintf("it knows %v", want), func() bool { return slices.Equal(c.Endpoints(), want) })
}

// The client follows the list of the members, without a new connection and while it asks for nothing: it learns who was
// added, forgets who is gone, and keeps what it was given. A member without a leader makes it forget nobody.
func TestFollowsTheMembers(t *testing.T) {
	t.Parallel()
	trust := servertest.NewTrust(t)
	m := servertest.NewMember()
	given := servertest.Endpoint(servertest.Start(t, trust, m, nil))
	tells(m, 1, given, "10.0.0.2:2379")
	c := must[*client.Client](t)(client.Open(ctxOf(t, wait), client.Config{Endpoints: []string{given}, Credentials: trust.Client}))
	t.Cleanup(func() { _ = c.Close() })
	knows(t, c, given, "10.0.0.2:2379")
	tells(m, 1, given, "10.0.0.2:2379", "10.0.0.3:2379")
	knows(t, c, given, "10.0.0.2:2379", "10.0.0.3:2379")
	tells(m, 1, "10.0.0.3:2379")
	knows(t, c, given, "10.0.0.3:2379")
	tells(m, 0, "10.0.0.4:2379")
	knows(t, c, given, "10.0.0.4:2379", "10.0.0.3:2379")
	tells(m, 3, "10.0.0.4:2379")
	knows(t, c, given, "10.0.0.4:2379")
}

// A member that the client has left, and which still has something to answer, tells it nothing of the members any more: it may be behind.
func TestFollowsWhoServes(t *testing.T) {
	t.Parallel()
	trust := servertest.NewTrust(t)
	a := servertest.NewMember()
	b := servertest.NewMember(a)
	first, second := servertest.Endpoint(servertest.Start(t, trust, a, nil)), servertest.Endpoint(servertest.Start(t, trust, b, nil))
	tells(a, 1, first, second)
	tells(b, 1, first, second)
	c := must[*client.Client](t)(client.Open(ctxOf(t, wait), client.Config{Endpoints: []string{first, second}, InOrder: true, Credentials: trust.Client, DialStagger: wait}))
	t.Cleanup(func() { _ = c.Close() })
	hold, release := context.WithCancel(t.Context())
	a.SetBefore(func(writes, _ int) *kv.Error {
		if writes > 0 {
			<-hold.Done()
			return nil
		}
		return kv.Errorf(kv.Unavailable, "it is cut off")
	})
	t.Cleanup(release) // before anything waits for its end
	written := make(chan error, 1)
	go func() {
		_, err := c.Put(ctxOf(t, wait), []byte("k"), []byte("v"))
		written <- err
	}()
	await(t, "the write is there", func() bool { return a.Proposals.Load() == 1 })
	if _, _, err := c.Get(ctxOf(t, wait), []byte("k")); err != nil {
		t.Fatal(err)
	}
	if now := c.Serving(); now != second {
		t.Fatalf("%s serves, not %s", now, second)
	}
	tells(b, 1, first, second, "10.0.0.9:2379")
	knows(t, c, first, second, "10.0.0.9:2379")
	tells(a, 1, first, second, "10.0.0.8:2379")                                                  // which was removed
	for begun := time.Now(); time.Since(begun) < time.Second; time.Sleep(5 * time.Millisecond) { // more than it takes to tell it
		if now := c.Endpoints(); !slices.Contains(now, "10.0.0.9:2379") {
			t.Fatalf("it knows %v", now)
		}
	}
	release()
	if err := <-written; err != nil {
		t.Error(err)
	}
}

// All members that a client was given may be replaced, one after the other, while it works.
func TestOutlivesItsEndpoints(t *testing.T) {
	t.Parallel()
	trust := servertest.NewTrust(t)
	old := servertest.NewMember()
	first := servertest.Start(t, trust, old, nil)
	c := must[*client.Client](t)(client.Open(ctxOf(t, wait), client.Config{Endpoints: []string{servertest.Endpoint(first)}, Credentials: trust.Client}))
	t.Cleanup(func() { _ = c.Close() })
	working(t, c)
	next := servertest.NewMember(old)
	second := servertest.Endpoint(servertest.Start(t, trust, next, nil))
	tells(old, 1, second)
	knows(t, c, servertest.Endpoint(first), second)
	_ = first.Close()
	if _, found, err := c.Get(ctxOf(t, wait), []byte("k")); !found || err != nil {
		t.Errorf("found %v, %v", found, err)
	}
	if next.ReadIndexes.Load() == 0 {
		t.Error("nothing came to the new member")
	}
}

// When the client needs another member, it does not begin with addresses that members have moved away from, nor end with
// them: a given one that no member calls its own may be the name of one.
func TestDialsMembersFirst(t *testing.T) {
	t.Parallel()
	trust := servertest.NewTrust(t)
	m := servertest.NewMember()
	given := servertest.Endpoint(servertest.Start(t, trust, m, nil))
	tells(m, 1, given, "10.0.0.2:2379", "10.0.0.3:2379")
	c := must[*client.Client](t)(client.Open(ctxOf(t, 20*time.Second), client.Config{
		Endpoints: []string{given, "127.0.0.1:1", "10.0.0.3:2379", "127.0.0.1:2"}, InOrder: true, Credentials: trust.Client,
	}))
	t.Cleanup(func() { _ = c.Close() })
	if got, want := c.DialOrder(), []string{given, "10.0.0.3:2379", "10.0.0.2:2379", "127.0.0.1:1", "127.0.0.1:2"}; !slices.Equal(got, want) {
		t.Errorf("%v, wanted %v", got, want)
	}
	tells(m, 1, "10.0.0.4:2379", "10.0.0.5:2379")
	knows(t, c, given, "127.0.0.1:1", "10.0.0.3:2379", "127.0.0.1:2", "10.0.0.4:2379", "10.0.0.5:2379")
	if got, want := c.DialOrder(), []string{"10.0.0.4:2379", given, "10.0.0.5:2379", "127.0.0.1:1", "10.0.0.3:2379", "127.0.0.1:2"}; !slices.Equal(got, want) {
		t.Errorf("%v, wanted %v", got, want)
	}
}

// A client that is told to keep to its list does, also when that is gone.
func TestNoDiscovery(t *testing.T) {
	t.Parallel()
	trust := servertest.NewTrust(t)
	m := servertest.NewMember()
	server := servertest.Start(t, trust, m, nil)
	given := servertest.Endpoint(server)
	other := servertest.NewMember(m)
	tells(m, 1, given, servertest.Endpoint(servertest.Start(t, trust, other, nil)))
	c := must[*client.Client](t)(client.Open(ctxOf(t, wait), client.Config{Endpoints: []string{given}, NoDiscovery: true, Credentials: trust.Client}))
	t.Cleanup(func() { _ = c.Close() })
	if got := c.Endpoints(); !slices.Equal(got, []string{given}) {
		t.Errorf("it knows %v", got)
	}
	_ = server.Close()
	if _, err := c.Put(ctxOf(t, time.Second), []byte("k"), []byte("v")); !errors.Is(err, client.ErrUnavailable) && !errors.Is(err, client.ErrOutcomeUnknown) {
		t.Errorf("a put when the only endpoint is gone: %v", err)
	}
	if other.Proposals.Load() != 0 {
		t.Error("a member was asked that was not given")
	}
}

// One that was removed sends its clients to the others.
func TestRemovedMember(t *testing.T) {
	t.Parallel()
	trust := servertest.NewTrust(t)
	removed := servertest.NewMember()
	other := servertest.NewMember(removed)
	c := open(t, trust, servertest.Endpoint(servertest.Start(t, trust, removed, nil)), servertest.Endpoint(servertest.Start(t, trust, other, nil)))
	removed.SetRefuse(kv.Errorf(kv.Removed, "this member was removed from its cluster"))
	must[client.Written](t)(c.Put(ctxOf(t, wait), []byte("k"), []byte("v")))
	if removed.Proposals.Load() != 0 || other.Proposals.Load() != 1 {
		t.Errorf("%d proposals at the removed one, %d at the other", removed.Proposals.Load(), other.Proposals.Load())
	}
}

// Only the leader can be told to hand over: the client finds it, and asks again only when it certainly did nothing.
func TestMoveLeaderAsksTheLeader(t *testing.T) {
	t.Parallel()
	trust := servertest.NewTrust(t)
	follower, leader := servertest.NewCluster(map[string]uint64{"n1": 1, "n2": 2}), servertest.NewCluster(map[string]uint64{"n1": 1, "n2": 2})
	there := servertest.Endpoint(servertest.Start(t, trust, leader, nil))
	here := servertest.Endpoint(servertest.Start(t, trust, follower, nil))
	of := func(id uint64) kv.Status {
		return kv.Status{ID: id, Leader: 2, Members: []kv.Member{{ID: 1, Name: "n1", Clients: []string{here}}, {ID: 2, Name: "n2", Clients: []string{there}}}}
	}
	follower.SetStatus(of(1))
	leader.SetStatus(of(2))
	leader.SetBefore(func(int, int) *kv.Error {
		if leader.Moves.Load() < 3 {
			return kv.Errorf(kv.Overloaded, "in a moment")
		}
		return nil
	})
	c := open(t, trust, here)
	if err := c.Admin().MoveLeader(t.Context(), 1); err != nil || leader.Moves.Load() != 3 || follower.Moves.Load() != 0 || leader.Status().Leader != 1 {
		t.Errorf("%v; %d moves at the leader, %d at the follower", err, leader.Moves.Load(), follower.Moves.Load())
	}
	leader.SetStatus(of(2))
	hold := make(chan struct{})
	leader.SetBefore(func(int, int) *kv.Error { <-hold; return nil })
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Admin().MoveLeader(ctx, 1) }()
	await(t, "the leader is asked", func() bool { return leader.Moves.Load() == 4 })
	cancel()
	if err := <-ended; !errors.Is(err, client.ErrOutcomeUnknown) || leader.Moves.Load() != 4 {
		t.Errorf("no answer in time: %v after %d moves", err, leader.Moves.Load())
	}
	close(hold)
}

// A move of the leader lasts until the deadline of its context, also over Config.Timeout.
func TestMoveLeaderUntilItsDeadline(t *testing.T) {
	t.Parallel()
	trust := servertest.NewTrust(t)
	leader, follower := servertest.NewCluster(map[string]uint64{"n1": 1, "n2": 2}), servertest.NewCluster(map[string]uint64{"n1": 1, "n2": 2})
	there := servertest.Endpoint(servertest.Start(t, trust, leader, nil))
	here := servertest.Endpoint(servertest.Start(t, trust, follower, nil))
	members := []kv.Member{{ID: 1, Name: "n1", Clients: []string{here}}, {ID: 2, Name: "n2", Clients: []string{there}}}
	follower.SetStatus(kv.Status{ID: 1, Leader: 2, Members: members})
	leader.SetStatus(kv.Status{ID: 2, Leader: 2, Members: members})
	const timeout = 2 * time.Second
	c, err := client.Open(ctxOf(t, wait), client.Config{Endpoints: []string{here}, Credentials: trust.Client, Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	begun := time.Now()
	leader.SetBefore(func(int, int) *kv.Error {
		if time.Since(begun) < timeout+timeout/2 {
			return kv.Errorf(kv.Overloaded, "in a moment")
		}
		return nil
	})
	if err := c.Admin().MoveLeader(ctxOf(t, wait), 1); err != nil || leader.Status().Leader != 1 {
		t.Errorf("after %v: %v", time.Since(begun), err)
	}
}

// A request to the member at one endpoint ends as every call does: with the cause of its context, or because the client was closed.
func TestEndOfARequestToOneEndpoint(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	trust := servertest.NewTrust(t)
	here := servertest.Endpoint(servertest.Start(t, trust, servertest.NewMember(), nil))
	silent, err := net.ListenPacket("udp", "127.0.0.1:0") // takes packets, and answers none
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	at := silent.LocalAddr().String()
	why := errors.New("the caller's reason")
	for what, want := range map[string]error{"canceled": why, "closed": client.ErrClosed, "late": client.ErrUnavailable} {
		c := open(t, trust, here)
		ctx, cancel := context.WithCancelCause(t.Context())
		switch what {
		case "canceled":
			time.AfterFunc(50*time.Millisecond, func() { cancel(why) })
		case "closed":
			time.AfterFunc(50*time.Millisecond, func() { _ = c.Close() })
		}
		for call, err := range map[string]error{
			"Status":  second(c.Admin().Status(ctx, at)),
			"Readmit": c.Admin().Readmit(ctx, at, 1),
		} {
			if !errors.Is(err, want) {
				t.Errorf("%s, %s: %v, want %v", call, what, err, want)
			}
		}
		cancel(nil)
	}
}

func second[T any](_ T, err error) error { return err }

// deaf is a member that does not answer a readmit before a test lets it.
type deaf struct {
	*servertest.Member
	asked, goOn chan struct{}
}

func (m deaf) Readmit(uint64) *kv.Error {
	m.asked <- struct{}{}
	<-m.goOn
	return nil
}

// A readmit that was sent and not answered is of unknown outcome, however it ends: the member may take part again.
func TestReadmitWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	trust := servertest.NewTrust(t)
	for name, end := range map[string]func(cancel func(), s *server.Server){
		"deadline":   func(func(), *server.Server) {},
		"cancel":     func(cancel func(), _ *server.Server) { cancel() },
		"connection": func(_ func(), s *server.Server) { go func() { _ = s.Close() }() },
	} {
		m := deaf{servertest.NewMember(), make(chan struct{}, 1), make(chan struct{})}
		s := servertest.Start(t, trust, m, nil)
		t.Cleanup(func() { close(m.goOn) })
		c := open(t, trust, servertest.Endpoint(s))
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		ended := make(chan error, 1)
		go func() { ended <- c.Admin().Readmit(ctx, servertest.Endpoint(s), 1) }()
		select {
		case <-m.asked:
		case err := <-ended:
			t.Fatalf("%s: it was not sent: %v", name, err)
		}
		end(cancel, s)
		if err := <-ended; !errors.Is(err, client.ErrOutcomeUnknown) || errors.Is(err, client.ErrUnavailable) || !strings.Contains(err.Error(), "role in its status") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
