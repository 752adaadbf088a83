package concurrency

import (
	"context"
	"errors"
	"time"

	"qkv/index/kv"
	"qkv/internal/election"
	"qkv/net/client"
)

var (
	// ErrLocked: another one has the lock.
	ErrLocked = errors.New("another one has the lock")
	// ErrNotHeld: what was to be given up is not held.
	ErrNotHeld = errors.New("it is not held")
	// ErrLost: the key that stands for what is held, or waited for, is not there any more: its lease ended, or somebody deleted it.
	ErrLost = election.ErrLost
)

// withdrawTime bounds how long a wait that was given up tries to leave the line; the session's end does it otherwise.
const withdrawTime = 5 * time.Second

// Mutex is a lock of a whole cluster. It is for one goroutine. Two of one session and name are not told apart by the cluster:
// the second one is ErrInUse.
type Mutex struct {
	session *Session
	name    string
	place   election.Candidate // Revision is 0 while it is not held
}

// NewMutex returns the lock of a name.
func NewMutex(s *Session, name string) *Mutex { return &Mutex{session: s, name: name} }

// Lock waits until the session has the lock. After an error it does not, nor does it wait in the line.
func (m *Mutex) Lock(ctx context.Context) (err error) {
	m.place, err = acquire(ctx, m.session, m.name, nil, election.Candidate.Wait)
	return err
}

// TryLock takes the lock if nobody has it, and is ErrLocked otherwise.
func (m *Mutex) TryLock(ctx context.Context) (err error) {
	m.place, err = acquire(ctx, m.session, m.name, nil, func(c election.Candidate, ctx context.Context, s election.Store) error {
		owns, _, _, err := c.Owns(ctx, s)
		if err == nil && !owns {
			err = ErrLocked
		}
		return err
	})
	return err
}

// acquire enters the line for a name and waits there. After an error the place is given up.
func acquire(
	ctx context.Context, session *Session, name string, value []byte, wait func(election.Candidate, context.Context, election.Store) error,
) (election.Candidate, error) {
	if !session.take(name) {
		return election.Candidate{}, ErrInUse
	}
	s := store{session.client}
	var place election.Candidate
	entered := false
	err := session.within(ctx, func(ctx context.Context) (err error) {
		entered = true // whatever comes of it
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

// leave gives a place up that was not waited for to the end, also after ctx. Where it fails, the session's end does it.
func leave(ctx context.Context, s store, place election.Candidate) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), withdrawTime)
	defer cancel()
	if place.Revision != 0 {
		_ = place.Withdraw(ctx, s)
		return
	}
	_, _ = s.Txn(ctx, kv.Txn{ // the outcome of Enter is not known
		Compares: []kv.Compare{{Key: place.Key, Target: kv.CompareLease, Number: place.Lease}},
		Success:  []kv.Op{{Delete: &kv.Delete{Key: place.Key}}},
	})
}

// Unlock gives the lock up. When its outcome is not known, Session.Close gives it up as well.
func (m *Mutex) Unlock(ctx context.Context) error {
	place := m.place
	m.place = election.Candidate{}
	return giveUp(ctx, m.session, place)
}

// giveUp gives up what a session has.
func giveUp(ctx context.Context, s *Session, place election.Candidate) error {
	if place.Revision == 0 {
		return ErrNotHeld
	}
	defer s.release(place.Name)
	return place.Withdraw(ctx, store{s.client})
}

// Key is the key that stands for the lock that is held.
func (m *Mutex) Key() []byte { return m.place.Key }

// Token is the fencing token of the lock that is held: larger than that of everybody who had it before. It is 0 when the lock
// is not held.
func (m *Mutex) Token() int64 { return m.place.Revision }

// Guard holds while the lock is held: a comparison for transactions that only its holder may make.
func (m *Mutex) Guard() client.Compare { return m.place.Guard() }
