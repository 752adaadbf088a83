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
func (l *link) preferred() string { return l.config.Endpoints[l.first] }

// failedOverLocked is called with a new connection. If it leads to another member, the next check is scheduled.
func (l *link) failedOverLocked(k *conn, now time.Time) {
	if k.endpoint == l.preferred() {
		return
	}
	b := &l.failback
	least, most := l.config.ReturnAfter, failbackMost*l.config.ReturnAfter
	if b.wait == 0 || now.Sub(b.backAt) > most {
		b.wait = least
	} else {
		b.wait = min(2*b.wait, most)
	}
	b.lookAt = now.Add(b.wait + rand.N(b.wait))
}

// lookForPreferred starts a check of the client's first endpoint, when it is due. It is called while calls are under way.
func (l *link) lookForPreferred(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.current.Load()
	if l.closed || l.failback.looking || k == nil || k.endpoint == l.preferred() || now.Before(l.failback.lookAt) {
		return
	}
	l.failback.looking = true
	l.start(func() { l.failBack(k) })
}

// failBack connects to the client's first endpoint and makes that connection the current one, if its member serves.
func (l *link) failBack(from *conn) {
	k, err := l.dialEndpoint(l.ctx, l.preferred())
	if err == nil && (l.sameCluster(k) != nil || !serves(&k.member) || l.logIn(l.ctx, k) != nil) {
		k.fail(errDone)
		k = nil
	}
	now := time.Now()
	l.mu.Lock()
	l.failback.looking = false
	if k == nil {
		l.failedOverLocked(from, now)
		l.mu.Unlock()
		return
	}
	if l.closed || k.failed.Load() || !l.current.CompareAndSwap(from, k) {
		l.mu.Unlock()
		k.fail(errDone)
		return
	}
	l.conns[k] = struct{}{}
	l.failback.backAt = now
	l.mu.Unlock()
	from.retire(errReturned)
	l.learn(&k.member)
	l.connected(k)
}
