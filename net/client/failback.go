package client

import (
	"errors"
	"math/rand/v2"
	"time"
)

// failback is the state of the return to the client's first endpoint. The client's mu guards it.
type failback struct {
	looking bool          // a goroutine checks whether that endpoint serves again
	wait    time.Duration // the minimum time until the next check; 0: the endpoint was never left
	lookAt  time.Time     // the time of the next check
	backAt  time.Time     // when the client last returned to it
}

// failbackMost is the maximum factor on Config.ReturnAfter for an endpoint that fails often.
const failbackMost = 16

var errReturned = errors.New("the preferred member serves again")

// preferred returns the endpoint that the client began with.
func (c *Client) preferred() string { return c.config.Endpoints[c.first] }

// failedOverLocked is called with a new connection. If it leads to another member, the next check is scheduled.
func (c *Client) failedOverLocked(k *conn, now time.Time) {
	if k.endpoint == c.preferred() {
		return
	}
	b := &c.failback
	least, most := c.config.ReturnAfter, failbackMost*c.config.ReturnAfter
	if b.wait == 0 || now.Sub(b.backAt) > most {
		b.wait = least
	} else {
		b.wait = min(2*b.wait, most)
	}
	b.lookAt = now.Add(b.wait + rand.N(b.wait))
}

// lookForPreferred starts a check of the client's first endpoint, when it is due. It is called while calls are under way.
func (c *Client) lookForPreferred(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.current.Load()
	if c.closed || c.failback.looking || k == nil || k.endpoint == c.preferred() || now.Before(c.failback.lookAt) {
		return
	}
	c.failback.looking = true
	c.start(func() { c.failBack(k) })
}

// failBack connects to the client's first endpoint and makes that connection the current one, if its member serves.
func (c *Client) failBack(from *conn) {
	k, err := c.dialEndpoint(c.ctx, c.preferred())
	if err == nil && (c.sameCluster(k) != nil || !serves(&k.member) || c.logIn(c.ctx, k) != nil) {
		k.fail(errDone)
		k = nil
	}
	now := time.Now()
	c.mu.Lock()
	c.failback.looking = false
	if k == nil {
		c.failedOverLocked(from, now)
		c.mu.Unlock()
		return
	}
	if c.closed || k.failed.Load() || !c.current.CompareAndSwap(from, k) {
		c.mu.Unlock()
		k.fail(errDone)
		return
	}
	c.conns[k] = struct{}{}
	c.failback.backAt = now
	c.mu.Unlock()
	from.retire(errReturned)
	c.learn(&k.member)
	c.connected(k)
}
