package client

import (
	"context"
	"errors"
	"time"

	"qkv/index/kv"
	"qkv/internal/election"
)

var (
	// ErrLocked: another lock session has the lock.
	ErrLocked = errors.New("another lock session holds the lock")
	// ErrNotHeld: the lock or leadership to release is not held.
	ErrNotHeld = errors.New("the lock or leadership is not held")
	// ErrLost: the key of the lock or leadership, held or awaited, does not exist any more: its lease ended, or the key was
	// deleted.
	ErrLost = election.ErrLost
)

// withdrawTime bounds how long an abandoned wait tries to leave the queue; otherwise the lock session's end removes it.
const withdrawTime = 5 * time.Second

// Mutex is a lock of a whole cluster. It is for one goroutine. The cluster cannot distinguish two Mutexes of one session and name:
// the second one gets ErrInUse.
type Mutex struct {
	session *LockSession
	name    string
	place   election.Candidate // Revision is 0 while the lock or leadership is not held
}

// NewMutex returns the lock of a name.
func NewMutex(s *LockSession, name string) *Mutex { return &Mutex{session: s, name: name} }

// Lock waits until the lock session has the lock. After an error it neither has the lock nor waits in the queue.
func (m *Mutex) Lock(ctx context.Context) (err error) {
	return m.acquire(ctx, election.Candidate.Wait)
}

// TryLock takes the lock if it is free, and otherwise returns ErrLocked.
func (m *Mutex) TryLock(ctx context.Context) (err error) {
	return m.acquire(ctx, func(c election.Candidate, ctx context.Context, s election.Store) error {
		owns, _, _, err := c.Owns(ctx, s)
		if err == nil && !owns {
			err = ErrLocked
		}
		return err
	})
	return err
}

// acquire enters the queue for a name and waits there. After an error it has left the queue.
func acquire(ctx context.Context, session *LockSession, name string, value []byte, wait waitFunc) (election.Candidate, error) {
	if !session.take(name) {
		return election.Candidate{}, ErrInUse
}

func (m *Mutex) acquire(ctx context.Context, wait waitFunc) (err error) {
	if m.place.Revision != 0 {
		return ErrInUse // and the place stays known: without it, Unlock could not release the lock
	}
	m.place, err = acquire(ctx, m.session, m.name, nil, wait)
	}
	s := store{session.client}
	var place election.Candidate
// waitFunc waits in the queue for a name until the candidate owns the name, or gives up.
type waitFunc func(election.Candidate, context.Context, election.Store) error

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
	if place.Revision != 0 {
		_ = place.Withdraw(ctx, s)
		return
	}
	_, _ = s.Txn(ctx, kv.Txn{ // the outcome of Enter is unknown
		Compares: []kv.Compare{{Key: place.Key, Target: kv.CompareLease, Number: place.Lease}},
		Success:  []kv.Op{{Delete: &kv.Delete{Key: place.Key}}},
	})
}

// Unlock releases the lock. If its outcome is unknown, Session.Close releases the lock as well.
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

// Key returns the key of the held lock.
func (m *Mutex) Key() []byte { return m.place.Key }

// Token returns the fencing token of the held lock: larger than those of all earlier holders. It is 0 while the lock is not held.
func (m *Mutex) Token() int64 { return m.place.Revision }

// Guard returns a comparison that holds while the lock is held, for transactions that only its holder may make.
func (m *Mutex) Guard() kv.Compare { return m.place.Guard() }
