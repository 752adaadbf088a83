package client

import (
	"errors"
	"math/rand/v2"
	"time"
)

// failback is about the return to the member that the client began with. It is under the client's mu.
type failback struct {
	looking bool          // a goroutine looks whether that one serves again
	wait    time.Duration // the least time until it is looked for; 0: it was never left
	lookAt  time.Time     // when it is looked for
	backAt  time.Time     // when it was returned to
}

// failbackMost is how many times longer than Config.ReturnAfter the client stays away from a member that fails often.
const failbackMost = 16

var errReturned = errors.New("the member that this client began with serves again")

// preferred is the endpoint that the client began with.
func (c *Client) preferred() string { return c.config.Endpoints[c.first] }

// failedOverLocked is called with a new connection: when it is to another member, it says for how long.
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

// lookForPreferred looks for the member that the client began with, when it is time. It is called while calls are under way.
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

// failBack makes a connection to the member that the client began with the current one in place of another, if that
// member serves.
func (c *Client) failBack(from *conn) {
	k, err := c.dialEndpoint(c.ctx, c.preferred())
	if err == nil && (c.sameCluster(k) != nil || !led(&k.member)) {
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
