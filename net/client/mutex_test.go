package client_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"qkv/index/kv"
	"qkv/internal/election"
	"qkv/net/client"
	"qkv/net/server/servertest"
)

// rig is one member, and a client of it.
type rig struct {
	*testing.T
	member *servertest.Member
	trust  servertest.Trust
	at     string
	client *client.Client
}

func newRig(t *testing.T) *rig {
	t.Helper()
	b := &rig{T: t, member: servertest.NewMember(), trust: servertest.NewTrust(t)}
	b.at = servertest.Endpoint(servertest.Start(t, b.trust, b.member, nil))
	b.client = b.open()
	return b
}

func (b *rig) open() *client.Client {
	b.Helper()
	c, err := client.Open(b.Context(), client.Config{Endpoints: []string{b.at}, Credentials: b.trust.Client, Timeout: time.Minute})
	b.must(err)
	b.Cleanup(func() { _ = c.Close() })
	return c
}

func (b *rig) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *rig) session() *client.LockSession {
	b.Helper()
	s, err := client.NewLockSession(b.Context(), b.client, client.LockSessionOptions{TTL: 600 * time.Second})
	b.must(err)
	b.Cleanup(func() { _ = s.Close(context.Background()) })
	return s
}

func (b *rig) count(key string) int64 {
	b.Helper()
	found, err := b.client.Range(b.Context(), kv.Range{Key: []byte(key), End: client.Prefix([]byte(key)), CountOnly: true})
	b.must(err)
	return found.Count
}

// waiting waits until n keys stand in the line for a name.
func (b *rig) waiting(name string, n int64) {
	b.Helper()
	for b.count(name+"/") != n {
		time.Sleep(time.Millisecond)
	}
}

// Many want one lock: one at a time has it, each with a larger token than the one before, and nobody is forgotten.
func TestMutexExcludes(t *testing.T) {
	t.Parallel()
	b := newRig(t)
	const lockers, rounds = 8, 5
	var all sync.WaitGroup
	var inside, last atomic.Int64
	for range lockers {
		m := client.NewMutex(b.session(), "one")
		all.Go(func() {
			for range rounds {
				if err := m.Lock(t.Context()); err != nil {
					t.Error(err)
					return
				}
				if n := inside.Add(1); n != 1 {
					t.Errorf("%d have the lock", n)
				}
				if before := last.Swap(m.Token()); before >= m.Token() {
					t.Errorf("token %d comes after %d", m.Token(), before)
				}
				outcome, err := b.client.Txn(t.Context(), kv.Txn{
					Compares: []kv.Compare{m.Guard()}, Success: []kv.Op{{Put: &kv.Put{Key: []byte("guarded"), Value: m.Key()}}},
				})
				if err != nil || !outcome.Succeeded {
					t.Errorf("the holder is refused: %v %v", outcome, err)
				}
				inside.Add(-1)
				if err := m.Unlock(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if n := b.count("one/"); n != 0 {
		t.Errorf("%d keys are left in the line", n)
	}
	for begun := time.Now(); b.member.Watches() > 0; time.Sleep(time.Millisecond) { // nobody waits for their ends
		if time.Since(begun) > time.Minute {
			t.Fatalf("%d watches are left", b.member.Watches())
		}
	}
}

// Who has waited for a lock is not its holder when his lease ended meanwhile, and the others do not wait for him.
func TestMutexLeaseEnds(t *testing.T) {
	t.Parallel()
	b := newRig(t)
	first, second, third := b.session(), b.session(), b.session()
	m := client.NewMutex(first, "one")
	b.must(m.Lock(t.Context()))
	lost := make(chan error, 1)
	go func() { lost <- client.NewMutex(second, "one").Lock(t.Context()) }()
	b.waiting("one", 2)
	got := make(chan error, 1)
	last := client.NewMutex(third, "one")
	go func() { got <- last.Lock(t.Context()) }()
	b.waiting("one", 3)
	_, err := b.client.Revoke(t.Context(), second.Lease().ID)
	b.must(err)
	select {
	case err := <-got:
		t.Fatalf("the third one has the lock of the first: %v", err)
	case err := <-lost: // while the first one still has it
		if !errors.Is(err, client.ErrLost) {
			t.Errorf("a lock is taken with a lease that has ended: %v", err)
		}
	case <-time.After(wait):
		t.Fatal("the second one waits on without a lease")
	}
	b.must(m.Unlock(t.Context()))
	b.must(<-got)
	if last.Token() == 0 || string(last.Key()) != string(election.Key("one", third.Lease().ID)) {
		t.Errorf("%q %d", last.Key(), last.Token())
	}
	b.must(last.Unlock(t.Context()))
	if err := last.Unlock(t.Context()); !errors.Is(err, client.ErrNotHeld) {
		t.Errorf("unlocked twice: %v", err)
	}
}

// A waiter whose key was put without its lease does not get the lock: the key outlives the lease, and would hold the lock for ever.
func TestMutexKeyWithoutItsLease(t *testing.T) {
	t.Parallel()
	b := newRig(t)
	first, second := b.session(), b.session()
	m := client.NewMutex(first, "one")
	b.must(m.Lock(t.Context()))
	lost := make(chan error, 1)
	go func() { lost <- client.NewMutex(second, "one").Lock(t.Context()) }()
	b.waiting("one", 2)
	_, err := b.client.Put(t.Context(), election.Key("one", second.Lease().ID), nil)
	b.must(err)
	b.must(m.Unlock(t.Context()))
	select {
	case err := <-lost:
		if !errors.Is(err, client.ErrLost) {
			t.Errorf("a key without its lease holds the lock: %v", err)
		}
	case <-time.After(wait):
		t.Fatal("the waiter waits on although the lock is free")
	}
}

// Keys as etcd's libraries make them count, and a wait that is given up leaves nothing behind.
func TestMutexBesideOthers(t *testing.T) {
	t.Parallel()
	b := newRig(t)
	s := b.session()
	foreign, err := b.client.Grant(t.Context(), 600*time.Second, client.GrantOptions{ID: 0x1234})
	b.must(err)
	_, err = b.client.PutWith(t.Context(), kv.Put{Key: []byte("one/1234"), Lease: foreign.ID})
	b.must(err)
	m := client.NewMutex(s, "one")
	if err := m.TryLock(t.Context()); !errors.Is(err, client.ErrLocked) || m.Token() != 0 {
		t.Errorf("the lock of another library's user is taken: %v", err)
	}
	if n := b.count("one/"); n != 1 {
		t.Errorf("%d keys in the line", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	given := make(chan error, 1)
	go func() { given <- m.Lock(ctx) }()
	b.waiting("one", 2)
	if err := client.NewMutex(s, "one").TryLock(t.Context()); !errors.Is(err, client.ErrInUse) {
		t.Errorf("two of one session: %v", err)
	}
	cancel()
	if err := <-given; !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	if n := b.count("one/"); n != 1 {
		t.Errorf("%d keys in the line", n)
	}
	go func() { given <- m.Lock(t.Context()) }()
	b.waiting("one", 2)
	_, err = b.client.Delete(t.Context(), []byte("one/1234"))
	b.must(err)
	b.must(<-given)
	b.must(m.Unlock(t.Context()))
}

// A session that is over holds nothing: its lock is not taken any more, and its owner is told.
func TestSessionEnds(t *testing.T) {
	t.Parallel()
	b := newRig(t)
	s := b.session()
	m := client.NewMutex(s, "one")
	b.must(m.Lock(t.Context()))
	if s.Err() != nil || time.Until(s.Until()) < time.Minute {
		t.Errorf("%v until %v", s.Err(), s.Until())
	}
	b.must(s.Close(t.Context()))
	<-s.Done()
	if !errors.Is(s.Err(), client.ErrLockSessionClosed) || b.count("one/") != 0 {
		t.Errorf("closed: %v, %d keys", s.Err(), b.count("one/"))
	}
	if err := client.NewMutex(s, "two").Lock(t.Context()); !errors.Is(err, client.ErrLockSessionClosed) || b.count("two/") != 0 {
		t.Errorf("locked by a session that is over: %v", err)
	}
	b.must(s.Close(t.Context()))

	// One that has a lease already, which ends: the renewal, at a third of its time, finds that it is gone.
	l, err := b.client.Grant(t.Context(), 3*time.Second, client.GrantOptions{})
	b.must(err)
	s, err = client.NewLockSession(t.Context(), b.client, client.LockSessionOptions{Lease: l.ID})
	b.must(err)
	_, err = b.client.Revoke(t.Context(), l.ID)
	b.must(err)
	<-s.Done()
	if !errors.Is(s.Err(), client.ErrLockSessionLost) {
		t.Errorf("lost: %v", s.Err())
	}
	// And one whose client is closed is not renewed any more.
	c := b.open()
	s, err = client.NewLockSession(t.Context(), c, client.LockSessionOptions{})
	b.must(err)
	b.must(c.Close())
	<-s.Done()
	if !errors.Is(s.Err(), client.ErrLockSessionLost) || !errors.Is(s.Err(), client.ErrClosed) {
		t.Errorf("lost: %v", s.Err())
	}
	if _, err := client.NewLockSession(t.Context(), b.client, client.LockSessionOptions{Lease: 77}); err == nil {
		t.Error("a session of a lease that is not there")
	}
}

// Leaders come one after the other, and those that look on see each.
func TestElection(t *testing.T) {
	t.Parallel()
	b := newRig(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	seen := make(chan string, 100)
	go func() {
		for leader, err := range client.Observe(ctx, b.client, "chair") {
			if err != nil {
				seen <- err.Error()
				return
			}
			seen <- string(leader.Value)
		}
	}()
	if _, found, err := client.Leader(ctx, b.client, "chair"); found || err != nil {
		t.Errorf("somebody leads: %v", err)
	}
	one, two := client.NewElection(b.session(), "chair"), client.NewElection(b.session(), "chair")
	b.must(one.Campaign(ctx, []byte("ann")))
	var all []string
	all = append(all, <-seen)
	elected := make(chan error, 1)
	go func() { elected <- two.Campaign(ctx, []byte("bob")) }()
	b.waiting("chair", 2)
	b.must(one.Proclaim(ctx, []byte("ann again")))
	all = append(all, <-seen)
	if err := one.Campaign(ctx, []byte("ann for ever")); err != nil {
		t.Error(err)
	}
	all = append(all, <-seen)
	before := one.Token()
	b.must(one.Resign(ctx))
	b.must(<-elected)
	all = append(all, <-seen)
	if two.Token() <= before {
		t.Errorf("token %d after %d", two.Token(), before)
	}
	leader, found, err := client.Leader(ctx, b.client, "chair")
	if err != nil || !found || leader.CreateRevision != two.Token() || string(leader.Key) != string(two.Key()) {
		t.Errorf("%v %v %v", leader, found, err)
	}
	outcome, err := b.client.Txn(ctx, kv.Txn{Compares: []kv.Compare{two.Guard()}})
	if err != nil || !outcome.Succeeded {
		t.Errorf("the leader's guard: %v %v", outcome, err)
	}
	if err := one.Proclaim(ctx, nil); !errors.Is(err, client.ErrNotHeld) {
		t.Errorf("who resigned proclaims: %v", err)
	}
	_, err = b.client.Delete(ctx, two.Key())
	b.must(err)
	if err := two.Proclaim(ctx, nil); !errors.Is(err, client.ErrLost) {
		t.Errorf("who was deposed proclaims: %v", err)
	}
	b.must(two.Resign(ctx))
	cancel()
	all = append(all, <-seen)
	if want := []string{"ann", "ann again", "ann for ever", "bob", context.Canceled.Error()}; !slices.Equal(all, want) {
		t.Errorf("seen: %q", all)
	}
}

// Who comes back with a lease that stands in the line has the same place and token there, although its value is another one by now.
func TestElectionIsGoneOnWith(t *testing.T) {
	t.Parallel()
	b := newRig(t)
	before := b.session()
	first := client.NewElection(before, "chair")
	b.must(first.Campaign(t.Context(), []byte("ann")))
	b.must(first.Proclaim(t.Context(), []byte("ann again")))
	after, err := client.NewLockSession(t.Context(), b.client, client.LockSessionOptions{Lease: before.Lease().ID})
	b.must(err)
	defer after.Orphan()
	second := client.NewElection(after, "chair")
	b.must(second.Campaign(t.Context(), []byte("ann")))
	if second.Token() != first.Token() || second.Token() == 0 {
		t.Errorf("token %d, and before %d", second.Token(), first.Token())
	}
	b.must(second.Proclaim(t.Context(), []byte("ann for ever")))
}

// A lock session that is over does not release the locks of the one that took over its lease.
func TestMutexOfAnOrphan(t *testing.T) {
	t.Parallel()
	b := newRig(t)
	before := b.session()
	before.Orphan()
	after, err := client.NewLockSession(t.Context(), b.client, client.LockSessionOptions{Lease: before.Lease().ID})
	b.must(err)
	defer after.Orphan()
	m := client.NewMutex(after, "one")
	b.must(m.Lock(t.Context()))
	for name, lock := range map[string]func(context.Context) error{"Lock": client.NewMutex(before, "one").Lock, "TryLock": client.NewMutex(before, "one").TryLock} {
		if err := lock(t.Context()); !errors.Is(err, client.ErrLockSessionClosed) {
			t.Errorf("%s: %v", name, err)
		}
		held, err := b.client.Txn(t.Context(), kv.Txn{Compares: []kv.Compare{m.Guard()}})
		if b.must(err); !held.Succeeded {
			t.Fatalf("%s of a lock session that is over has released another's lock", name)
		}
	}
}

// A lock is taken in spite of members that cannot serve, and of answers that get lost.
func TestMutexThroughFaults(t *testing.T) {
	t.Parallel()
	b := newRig(t)
	opening, cancel := context.WithTimeout(t.Context(), time.Minute) // the host may be busy
	defer cancel()
	c, err := client.Open(opening, client.Config{Endpoints: []string{b.at}, Credentials: b.trust.Client, Timeout: 300 * time.Millisecond})
	b.must(err)
	defer c.Close()
	b.member.Lose.Store(true) // what is proposed happens, and nobody is told
	session := make(chan *client.LockSession, 1)
	go func() {
		s, err := client.NewLockSession(t.Context(), c, client.LockSessionOptions{TTL: 600 * time.Second})
		if err != nil {
			t.Error(err)
		}
		session <- s
	}()
	for {
		if all, err := b.client.Leases(t.Context()); err != nil || len(all) > 0 {
			b.must(err)
			break
		}
		time.Sleep(time.Millisecond)
	}
	b.member.Lose.Store(false)
	s := <-session
	defer s.Orphan()
	var asked atomic.Int64
	b.member.SetBefore(func(writes, _ int) *kv.Error {
		if writes > 0 && asked.Add(1) <= 3 {
			return kv.Errorf(kv.Unavailable, "not yet")
		}
		return nil
	})
	m := client.NewMutex(s, "one")
	b.must(m.Lock(t.Context()))
	b.member.Lose.Store(true)
	unlocked := make(chan error, 1)
	go func() { unlocked <- m.Unlock(t.Context()) }()
	b.waiting("one", 0)
	b.member.Lose.Store(false)
	b.must(<-unlocked)
	if fmt.Sprint(m.Token()) != "0" {
		t.Errorf("token %d of nothing", m.Token())
	}
}

// A mutex that holds the lock refuses a second Lock, and still releases the lock afterwards.
func TestMutexLockedTwice(t *testing.T) {
	t.Parallel()
	b := newRig(t)
	m := client.NewMutex(b.session(), "one")
	b.must(m.Lock(t.Context()))
	token := m.Token()
	for name, lock := range map[string]func(context.Context) error{"Lock": m.Lock, "TryLock": m.TryLock} {
		if err := lock(t.Context()); !errors.Is(err, client.ErrInUse) || m.Token() != token || token == 0 {
			t.Errorf("%s of a held lock: %v, token %d, before %d", name, err, m.Token(), token)
		}
	}
	b.must(m.Unlock(t.Context()))
	if n := b.count("one/"); n != 0 {
		t.Errorf("%d keys in the queue of a released lock", n)
	}
	b.must(m.TryLock(t.Context()))
	if m.Token() <= token {
		t.Errorf("token %d, before %d", m.Token(), token)
	}
}

// A leader whose key was deleted is elected again by Campaign, with a larger token.
func TestElectionAfterItsKeyIsDeleted(t *testing.T) {
	t.Parallel()
	b := newRig(t)
	e := client.NewElection(b.session(), "chair")
	b.must(e.Campaign(t.Context(), []byte("ann")))
	token := e.Token()
	_, err := b.client.Delete(t.Context(), e.Key())
	b.must(err)
	b.must(e.Campaign(t.Context(), []byte("ann again")))
	leader, found, err := client.Leader(t.Context(), b.client, "chair")
	b.must(err)
	if !found || string(leader.Value) != "ann again" || leader.CreateRevision != e.Token() || e.Token() <= token {
		t.Errorf("%v %+v, token %d, before %d", found, leader, e.Token(), token)
	}
	b.must(e.Resign(t.Context()))
	if n := b.count("chair/"); n != 0 {
		t.Errorf("%d keys in the queue of a resigned leader", n)
	}
}

// A lock session whose place in a queue was deleted may wait in that queue again.
func TestMutexAfterItsPlaceIsDeleted(t *testing.T) {
	t.Parallel()
	b := newRig(t)
	first, second := b.session(), b.session()
	m := client.NewMutex(first, "one")
	b.must(m.Lock(t.Context()))
	lost := make(chan error, 1)
	go func() { lost <- client.NewMutex(second, "one").Lock(t.Context()) }()
	b.waiting("one", 2)
	_, err := b.client.Delete(t.Context(), election.Key("one", second.Lease().ID))
	b.must(err)
	if err := <-lost; !errors.Is(err, client.ErrLost) {
		t.Errorf("the wait of a deleted key: %v", err)
	}
	b.must(m.Unlock(t.Context()))
	again := client.NewMutex(second, "one")
	b.must(again.Lock(t.Context()))
	b.must(again.Unlock(t.Context()))
}
