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
	TTL     time.Duration // negative: the lease does not exist
	Granted time.Duration // its TTL
	Keys    [][]byte      // if they were requested
}

// GrantOptions are the options of [Client.Grant].
type GrantOptions struct {
	ID int64 // of the new lease; 0: the member chooses one
}

// LeaseOptions are the options of [Client.TimeToLive].
type LeaseOptions struct {
	Keys bool // return the lease's keys, too
}

// Grant makes a lease. Leases have whole seconds: ttl is rounded up. A TTL shorter than an election is raised, and the returned lease has the
// granted TTL. A TTL over [limits.LeaseSeconds] is an Error with the code LeaseTooLong. The lease lives at least as long as its TTL, from the
// call of Grant on.
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

// Revoke ends a lease and deletes its keys.
func (c *Client) Revoke(ctx context.Context, id int64) (Written, error) {
	return c.written(ctx, c.newLeaseCall(ctx, wire.OpRevoke, &wire.LeaseRequest{ID: id}))
}

// Renew restarts the TTL of a lease, from the call of Renew on, and returns the TTL. If the lease has ended, the result
// is an Error with the code LeaseNotFound.
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

// TimeToLive returns the remaining time of a lease, with its keys if they are requested. A missing lease is not an error.
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

// Leases returns the ids of all leases in ascending order, from the state of this client's member.
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

// KeepAlive renews a lease, three times in its TTL, until it is stopped or the lease is lost.
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

// KeepAlive starts to renew a lease whose TTL was granted or renewed at since. It goes on after ctx, until Stop.
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

// Lost is closed when the lease has ended, or may have: no renewal succeeded within its TTL, or the user may not renew it any more. Its
// keys may be deleted, and another client may hold the locks that they stand for. It is also closed when the client is closed.
func (k *KeepAlive) Lost() <-chan struct{} { return k.lost }

// Until returns when the lease may end if it is not renewed, by this process's clock: protected work must end before.
func (k *KeepAlive) Until() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.until
}

// Err returns why the lease is lost.
func (k *KeepAlive) Err() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.err
}

// Stop ends the renewals. The lease lives on for the rest of its TTL.
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

// isLost reports whether a lease has certainly ended, or will end because this client's user may not renew it any more.
func isLost(err error) bool {
	answer, ok := errors.AsType[*kv.Error](err)
	return ok && slices.Contains([]kv.Code{kv.LeaseNotFound, kv.NotAllowed, kv.UserEmpty, kv.AuthFailed, kv.BadToken}, answer.Code)
}
