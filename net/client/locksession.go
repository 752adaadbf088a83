package client

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"qkv/index/kv"
)

// ErrLockSessionLost: the lock session's lease has ended, or may have. Its locks and leaderships may be another's by now: end the protected
// work, and begin again with a new lock session.
var ErrLockSessionLost = errors.New("the lock session is lost: its lease has ended, or may have ended")

// ErrLockSessionClosed: the lock session was ended by its owner, with [LockSession.Close] or [LockSession.Orphan].
var ErrLockSessionClosed = errors.New("the lock session is closed")

// ErrInUse: the lock session holds the lock or leadership of this name already, or waits for it. Another goroutine that must exclude this
// one needs a lock session of its own.
var ErrInUse = errors.New("the lock session already holds this name, or waits for it")

// DefaultTTL is the default TTL of a lock session, as in etcd.
const DefaultTTL = 60 * time.Second

// LockSessionOptions configure a lock session. The zero value means a new lease of DefaultTTL.
type LockSessionOptions struct {
	// TTL is the TTL of the new lease, as in Client.Grant: how long others wait for the locks after this process has died. 0: DefaultTTL.
	TTL time.Duration
	// Lease is an existing lease to use instead of a new one: it is renewed, with its own TTL, and Close revokes it. 0: a new lease.
	Lease int64
}

// LockSession is a lease with keep-alives, for locks and leaderships. It is safe for any number of goroutines; its Mutexes and Elections
// are not. Within a lock session, each name can be held once.
type LockSession struct {
	// Constant.
	client *Client
	lease  Lease
	keep   *KeepAlive
	ctx    context.Context // over when the lock session is, with the reason as its cause
	end    context.CancelCauseFunc

	mu    sync.Mutex
	names map[string]bool // that it has or waits for: the lock session has one key for each name
}

// NewLockSession grants a lease, or takes over an existing one, and renews it until Close, Orphan or the end of the client. ctx bounds this
// call alone, which is repeated as long as ctx lasts: without a deadline it waits until a member serves. If o.Lease does not exist, the
// result is an Error with the code LeaseNotFound.
func NewLockSession(ctx context.Context, c *Client, o LockSessionOptions) (*LockSession, error) {
	id, ttl := o.Lease, o.TTL
	var begun time.Time
	var err error
	if id == 0 {
		if ttl == 0 {
			ttl = DefaultTTL
		}
		id, begun, ttl, err = grant(ctx, c, ttl)
	} else {
		begun, ttl, err = renew(ctx, c, id)
	}
	if err != nil {
		return nil, err
	}
	l := Lease{ID: id, TTL: ttl}
	s := &LockSession{client: c, lease: l, keep: c.KeepAlive(l.ID, l.TTL, begun), names: map[string]bool{}}
	s.ctx, s.end = context.WithCancelCause(context.Background())
	go func() {
		select {
		case <-s.keep.Lost():
			s.end(fmt.Errorf("%w (%w)", ErrLockSessionLost, s.keep.Err()))
		case <-s.ctx.Done():
		}
	}()
	return s, nil
}

// grant grants a lease with a unique random id: after an unknown outcome it can be requested again.
func grant(ctx context.Context, c *Client, ttl time.Duration) (id int64, begun time.Time, granted time.Duration, err error) {
	id = 1 + rand.Int64N(math.MaxInt64)
	for {
		begun = time.Now()
		l, err := c.Grant(ctx, ttl, GrantOptions{ID: id})
		if answer, ok := errors.AsType[*kv.Error](err); ok && answer.Code == kv.LeaseExists {
			begun, ttl, err = renew(ctx, c, id)
			return id, begun, ttl, err
		}
		if !again(ctx, err) {
			return id, begun, l.TTL, err
		}
	}
}

// renew renews a lease, and returns the start of the renewal and the TTL.
func renew(ctx context.Context, c *Client, id int64) (begun time.Time, ttl time.Duration, err error) {
	for {
		begun = time.Now()
		ttl, err = c.Renew(ctx, id)
		if !again(ctx, err) {
			return begun, ttl, err
		}
	}
}

// Lease returns the lock session's lease. Keys that are put with its ID are deleted when the lock session ends.
func (s *LockSession) Lease() Lease { return s.lease }

// Done returns a channel that is closed when the lock session is over: its lease has ended, or may have, or Close or Orphan was called.
func (s *LockSession) Done() <-chan struct{} { return s.ctx.Done() }

// Err returns why the lock session is over: [ErrLockSessionLost] with the reason, or [ErrLockSessionClosed]. It is nil before Done is
// closed.
func (s *LockSession) Err() error { return context.Cause(s.ctx) }

// Until returns when the lease may end unless it is renewed again, by this process's clock: protected work must end before. Each renewal
// moves it on.
func (s *LockSession) Until() time.Time { return s.keep.Until() }

// Orphan ends the renewals, and thereby the lock session. The lease, with its keys and locks, lives on for the rest of its TTL: another
// process can take it over with LockSessionOptions.Lease.
func (s *LockSession) Orphan() {
	s.end(ErrLockSessionClosed)
	s.keep.Stop()
}

// Close ends the lock session and revokes its lease, which releases its locks and leaderships and deletes its keys. A lease that has ended
// already is no error, and neither is a second call. Close repeats the revocation as long as ctx lasts: give ctx a deadline if no member
// may be reachable. After an error the locks are released when the TTL has passed.
func (s *LockSession) Close(ctx context.Context) error {
	s.Orphan()
	for {
		_, err := s.client.Revoke(ctx, s.lease.ID)
		if answer, ok := errors.AsType[*kv.Error](err); ok && answer.Code == kv.LeaseNotFound {
			return nil
		}
		if !again(ctx, err) {
			return err
		}
	}
}

// within runs f with a context that also ends with the lock session, and then returns the lock session's error.
func (s *LockSession) within(ctx context.Context, f func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(s.ctx, func() { cancel(context.Cause(s.ctx)) })()
	err := f(ctx)
	if over := s.Err(); over != nil {
		return over // even after a success: another lock session may hold it by now
	}
	return err
}

// take records that the lock session wants a name. It returns false if the lock session has the name already, or waits for it.
func (s *LockSession) take(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.names[name] {
		return false
	}
	s.names[name] = true
	return true
}

func (s *LockSession) release(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.names, name)
}
