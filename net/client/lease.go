package client

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"time"

	"qkv/index/kv"
	"qkv/net/wire"
)

// Lease is the lifetime of keys that were put with its id, which is never 0.
type Lease struct {
	ID  int64
	TTL time.Duration // as granted
}

// LeaseTime is the remaining time of a lease.
type LeaseTime struct {
	TTL     time.Duration // remaining, in whole seconds; negative: the lease does not exist
	Granted time.Duration // the full TTL, to which a renewal returns
	Keys    [][]byte      // in ascending order; nil if they were not requested
}

// GrantOptions are the options of [Client.Grant].
type GrantOptions struct {
	// ID is the id of the new lease; 0: the member chooses one. After an unknown outcome, Grant can be repeated with the same ID: if the
	// lease exists already, the error's code is LeaseExists.
	ID int64
}

// LeaseOptions are the options of [Client.TimeToLive].
type LeaseOptions struct {
	Keys bool // return the lease's keys, too
}

// Grant makes a lease. Leases have whole seconds: ttl is rounded up. The least TTL is one and a half election timeouts, 2 s by default. A
// shorter ttl, also one of 0 or less, is raised to it: the returned lease has the granted TTL. A TTL over 9,000,000,000 s is an Error with
// the code LeaseTooLong.
//
// The lease lives at least as long as its TTL, from the call of Grant on. It may live longer, because each new leader counts its TTL anew
// or from a checkpoint. Nothing renews it by itself: see [Client.KeepAlive].
func (c *Client) Grant(ctx context.Context, ttl time.Duration, o GrantOptions) (Lease, error) {
	x := c.newLeaseCall(ctx, wire.OpGrant, &wire.LeaseRequest{ID: o.ID, TTL: wholeSeconds(ttl)})
	if err := c.do(ctx, x); err != nil {
		return Lease{}, err
	}
	defer x.recycle()
	p, err := wire.ReadResponse(x.answer)
	var l kv.Lease
	if err == nil {
		_, l, err = p.Granted()
	}
	if err != nil {
		return Lease{}, unknown(x.op, x.where.Load(), err)
	}
	return Lease{ID: l.ID, TTL: seconds(l.TTL)}, nil
}

// Revoke ends a lease and deletes its keys, in one revision; [Written.Deleted] is their number. If the lease does not exist, the result is
// an Error with the code LeaseNotFound.
func (c *Client) Revoke(ctx context.Context, id int64) (Written, error) {
	return c.written(ctx, c.newLeaseCall(ctx, wire.OpRevoke, &wire.LeaseRequest{ID: id}))
}

// Renew restarts the TTL of a lease once, from the call of Renew on, and returns the TTL. It is retried as a read, since another renewal
// does no harm: after any error the lease may have been renewed. If the lease has ended, the result is an Error with the code
// LeaseNotFound.
func (c *Client) Renew(ctx context.Context, id int64) (ttl time.Duration, err error) {
	x := c.newLeaseCall(ctx, wire.OpKeepAlive, &wire.LeaseRequest{ID: id})
	if err := c.do(ctx, x); err != nil {
		return 0, err
	}
	defer x.recycle()
	p, err := wire.ReadResponse(x.answer)
	var left kv.LeaseTime
	if err == nil {
		left, err = p.LeaseTime()
	}
	if err == nil && left.TTL <= 0 {
		err = kv.Errorf(kv.LeaseNotFound, "there is no lease %016x: it has expired, or was revoked", uint64(id))
	}
	return seconds(left.TTL), err
}

// TimeToLive returns the remaining time of a lease, by the leader's clock, with its keys if they are requested. A missing lease is not an
// error: [LeaseTime.TTL] is negative then.
func (c *Client) TimeToLive(ctx context.Context, id int64, o LeaseOptions) (LeaseTime, error) {
	q := wire.Ask{Lease: wire.LeaseRequest{ID: id, Keys: o.Keys}}
	var all [][]byte
	for {
		page, err := asked[wire.LeaseKeys](ctx, c, wire.OpTimeToLive, q)
		if err != nil {
			return LeaseTime{}, err
		}
		all = append(all, page.Keys...)
		if page.More && len(page.Keys) > 0 {
			q.Lease.From = following(all[len(all)-1])
		}
		if !page.More || len(page.Keys) == 0 || q.Lease.From == nil {
			return LeaseTime{TTL: seconds(page.TTL), Granted: seconds(page.Granted), Keys: all}, nil
		}
	}
}

// Leases returns the ids of leases in ascending order. It is serializable: the answer is the state of this client's
// member, which may lag. With authentication, it returns the user's own leases, and leases with a key that the user may
// read. An administrator gets all.
func (c *Client) Leases(ctx context.Context) (all []int64, err error) {
	q := wire.Ask{Lease: wire.LeaseRequest{ID: math.MinInt64}}
	for {
		page, err := asked[wire.List[int64]](ctx, c, wire.OpLeases, q)
		if err != nil {
			return nil, err
		}
		all = append(all, page.All...)
		if !page.More || len(page.All) == 0 || all[len(all)-1] == math.MaxInt64 {
			return all, nil
		}
		q.Lease.ID = all[len(all)-1] + 1
	}
}

func (c *Client) newLeaseCall(ctx context.Context, op wire.Op, q *wire.LeaseRequest) *call {
	x := c.newCall(ctx, op)
	x.body = wire.AppendLeaseBody(x.body[:0], op, q)
	return x
}

// KeepAlive renews a lease in the background, three times in its TTL, until it is stopped or the lease is lost. Its methods are safe for
// any number of goroutines.
type KeepAlive struct {
	// Constant.
	client *Client
	id     int64
	stop   context.CancelFunc
	lost   chan struct{}
	ended  chan struct{}

	mu    sync.Mutex
	until time.Time
	err   error
}

// KeepAlive starts to renew a lease in the background, until [KeepAlive.Stop] or the end of the client. ttl is the TTL as granted:
// [Lease.TTL]. since is a time before the call of [Client.Grant] or [Client.Renew] that began this TTL: a later one makes [KeepAlive.Until]
// promise too much.
func (c *Client) KeepAlive(id int64, ttl time.Duration, since time.Time) *KeepAlive {
	ctx, stop := context.WithCancel(c.ctx)
	k := &KeepAlive{client: c, id: id, stop: stop, lost: make(chan struct{}), ended: make(chan struct{}), until: since.Add(ttl)}
	c.start(func() { k.run(ctx, ttl) })
	return k
}

// wholeSeconds rounds a TTL up to seconds.
func wholeSeconds(ttl time.Duration) int64 {
	n := int64(ttl / time.Second)
	if ttl%time.Second > 0 {
		n++
	}
	return n
}

// seconds converts n seconds to a duration, limited to the longest duration.
func seconds(n int64) time.Duration {
	if n > int64(math.MaxInt64/time.Second) {
		return math.MaxInt64
	}
	return time.Duration(n) * time.Second
}

// Lost returns a channel that is closed when the lease has ended, or may have: no renewal succeeded within its TTL, or the user may not
// renew it any more. Its keys may be deleted, and another client may hold the locks that they stand for. The channel is also closed when
// the client is closed, but not by Stop.
func (k *KeepAlive) Lost() <-chan struct{} { return k.lost }

// Until returns when the lease may end unless it is renewed again, by this process's clock: protected work must end before. Each renewal
// moves it on.
func (k *KeepAlive) Until() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.until
}

// Err returns why the lease is lost: a [kv.Error], such as one with the code LeaseNotFound, the error of the last renewal, or [ErrClosed].
// It is nil before [KeepAlive.Lost] is closed.
func (k *KeepAlive) Err() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.err
}

// Stop ends the renewals, and waits until none is under way. The lease lives on for the rest of its TTL; [Client.Revoke] ends it at once. A
// second call does nothing.
func (k *KeepAlive) Stop() {
	k.stop()
	<-k.ended
}

func (k *KeepAlive) run(ctx context.Context, ttl time.Duration) {
	defer close(k.ended)
	defer k.stop()
	var last error
	wait := time.NewTimer(time.Until(k.until) - ttl/3*2)
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			k.closed()
			return
		case <-wait.C:
		}
		begun, until := time.Now(), k.until
		within, cancel := context.WithDeadline(ctx, until)
		renewed, err := k.client.Renew(within, k.id)
		cancel()
		switch {
		case ctx.Err() != nil:
			k.closed()
			return
		case err == nil:
			ttl = renewed
			k.mu.Lock()
			k.until = begun.Add(ttl)
			k.mu.Unlock()
			wait.Reset(ttl / 3)
		case isLost(err) || !time.Now().Before(until):
			if !isLost(err) && last != nil {
				err = last
			}
			k.lose(err)
			return
		default:
			last = err
			wait.Reset(min(keepAliveAgain, time.Until(until)))
		}
	}
}

// lose records that the lease may have ended, or will end.
func (k *KeepAlive) lose(err error) {
	k.mu.Lock()
	k.err = err
	k.mu.Unlock()
	close(k.lost)
}

// closed loses the lease if the client was closed; Stop alone does not lose it.
func (k *KeepAlive) closed() {
	if k.client.ctx.Err() != nil {
		k.lose(ErrClosed)
	}
}

// keepAliveAgain is the pause before a failed renewal is retried.
const keepAliveAgain = 100 * time.Millisecond

// isLost reports whether a lease has certainly ended, or will end because this client's user may not renew it any more, or because the
// client's cluster was replaced.
func isLost(err error) bool {
	answer, ok := errors.AsType[*kv.Error](err)
	return errors.Is(err, ErrClusterReplaced) || ok && slices.Contains([]kv.Code{kv.LeaseNotFound, kv.NotAllowed, kv.UserEmpty, kv.AuthFailed, kv.BadToken}, answer.Code)
}
