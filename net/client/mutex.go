package client

import (
	"context"
	"errors"
	"time"

	"qkv/index/kv"
	"qkv/internal/election"
)

var (
	// ErrLocked: another lock session holds the lock, or was in the queue for it before.
	ErrLocked = errors.New("another lock session holds the lock")
	// ErrNotHeld: the lock or leadership to release or to proclaim is not held: it was never acquired, or is released already.
	ErrNotHeld = errors.New("the lock or leadership is not held")
	// ErrLost: the key of the lock or leadership, held or awaited, does not exist any more: its lease ended, or a client deleted
	// the key. Another lock session may hold the name by now.
	ErrLost = election.ErrLost
)

// withdrawTime bounds how long an abandoned wait tries to leave the queue; otherwise the lock session's end removes it.
const withdrawTime = 5 * time.Second

// Mutex is a lock of a whole cluster by name, first come, first served. It is for one goroutine. The cluster cannot distinguish two Mutexes
// of one lock session and name: the second one gets [ErrInUse].
//
// The holder loses the lock without a call when its lock session ends: wait for [LockSession.Done] beside the protected work.
type Mutex struct {
	session *LockSession
	name    string
	place   election.Candidate // Revision is 0 while the lock or leadership is not held
}

// NewMutex returns the lock of a name, and sends nothing. The keys of the lock begin with NAME/. Therefore a lock or election must not have
// the name of another one with a slash and more behind it: the queue for "a" contains the keys of "a/b".
func NewMutex(s *LockSession, name string) *Mutex { return &Mutex{session: s, name: name} }

// Lock waits until the lock session holds the lock. It waits as long as ctx and the lock session last, through failovers; Config.Timeout
// does not bound it. The error is the cause of ctx, the [LockSession.Err] of a lock session that is over, [ErrLost], or a member's
// [kv.Error]. After these the lock session neither holds the lock nor waits in the queue. Leaving the queue may take 5 s after the end of
// ctx; if it fails, the key stays until the lock session ends.
//
// A Mutex that holds the lock gets [ErrInUse], and still holds it. That includes a Mutex whose key was deleted: Unlock it first.
func (m *Mutex) Lock(ctx context.Context) (err error) {
	return m.acquire(ctx, election.Candidate.Wait)
}

// TryLock takes the lock if it is free, and otherwise returns [ErrLocked]. It does not wait for other holders, but as [Mutex.Lock] for
// members that serve. Its other errors are those of Lock.
func (m *Mutex) TryLock(ctx context.Context) (err error) {
	return m.acquire(ctx, func(c election.Candidate, ctx context.Context, s election.Store) error {
		owns, _, _, err := c.Owns(ctx, s)
		if err == nil && !owns {
			err = ErrLocked
		}
		return err
	})
}

func (m *Mutex) acquire(ctx context.Context, wait waitFunc) (err error) {
	if m.place.Revision != 0 {
		return ErrInUse // and the place stays known: without it, Unlock could not release the lock
	}
	m.place, err = acquire(ctx, m.session, m.name, nil, wait)
	return err
}

// waitFunc waits in the queue for a name until the candidate owns the name, or gives up.
type waitFunc func(election.Candidate, context.Context, election.Store) error

// acquire enters the queue for a name and waits there. After an error it has left the queue.
func acquire(ctx context.Context, session *LockSession, name string, value []byte, wait waitFunc) (election.Candidate, error) {
	if over := session.Err(); over != nil { // its lease may be another's, and the place that it has
		return election.Candidate{}, over
	}
	if !session.take(name) {
		return election.Candidate{}, ErrInUse
	}
	s := store{session.client}
	var place election.Candidate
	entered := false
	err := session.within(ctx, func(ctx context.Context) (err error) {
		entered = true // whatever its outcome is
		if place, err = election.Enter(ctx, s, name, session.lease.ID, value); err != nil {
			return err
		}
		return wait(place, ctx, s)
	})
	if err == nil {
		return place, nil
	}
	if entered && !errors.Is(err, ErrLost) {
		leave(ctx, s, place)
	}
	session.release(name)
	return election.Candidate{}, err
}

// leave leaves the queue after an abandoned wait, even after ctx has ended. If that fails, the lock session's end does it.
func leave(ctx context.Context, s store, place election.Candidate) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), withdrawTime)
	defer cancel()
	_ = place.Withdraw(ctx, s)
}

// Unlock releases the lock. A lock that was lost before is no error; [ErrNotHeld] is that of a lock that was never acquired, or is released
// already. Unlock is repeated as long as ctx lasts, even after the end of the lock session. After any other error the Mutex can no longer
// release the lock: [LockSession.Close] does, and so does the end of the lease.
func (m *Mutex) Unlock(ctx context.Context) error {
	place := m.place
	m.place = election.Candidate{}
	return giveUp(ctx, m.session, place)
}

// giveUp releases a lock or leadership of a session.
func giveUp(ctx context.Context, s *LockSession, place election.Candidate) error {
	if place.Revision == 0 {
		return ErrNotHeld
	}
	defer s.release(place.Name)
	return place.Withdraw(ctx, store{s.client})
}

// Key returns the key of the held lock; nil while the lock is not held.
func (m *Mutex) Key() []byte { return m.place.Key }

// Token returns the fencing token of the held lock: larger than those of all earlier holders. It is 0 before Lock and after Unlock. It does
// not change when the lock is lost: only the protected resource, or [Mutex.Guard], can tell.
func (m *Mutex) Token() int64 { return m.place.Revision }

// Guard returns a comparison that holds while the lock is held, for transactions that only its holder may make. A transaction with the
// Guard of a Mutex that does not hold its lock is refused with the code EmptyKey.
func (m *Mutex) Guard() kv.Compare { return m.place.Guard() }
