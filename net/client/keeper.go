package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"qkv/index/kv"
	"qkv/net/wire"
)

const (
	// tickEvery is how often the keeper looks while calls are under way, and so how exact timeouts are.
	tickEvery = 100 * time.Millisecond
	// silenceLeast is for how long a connection may leave packets without any answer: a living host acknowledges
	// them within 25 ms. Four round trips, where that is more.
	silenceLeast = 500 * time.Millisecond
	// probeAfter is for how long a connection may be silent before the member is asked something.
	probeAfter = silenceLeast / 2
	// switchLeast is the least time between two changes to another member because one said that it cannot serve.
	switchLeast = time.Second
	// leftFor is for how long members that were left are dialled behind the others, while others are left: longer than a
	// member is stayed with that serves nothing.
	leftFor = 30 * time.Second
)

// keep is the keeper goroutine: it sends calls again when their delay is over, gives up those whose time is,
// notices connections that fell silent, and closes those that have finished what they had. It sleeps while
// nothing is under way.
func (c *Client) keep() {
	timer := time.NewTimer(tickEvery)
	defer timer.Stop()
	for {
		next := c.tick(time.Now())
		if next == 0 {
			c.asleep.Store(true)
			if next = c.tick(time.Now()); next == 0 { // again, for what came before asleep was seen
				next = time.Hour
			}
		}
		timer.Reset(next)
		select {
		case <-c.ctx.Done():
			return
		case <-c.wake:
		case <-timer.C:
		}
		c.asleep.Store(false)
	}
}

// tick does what is due and returns when to look again; 0: there is nothing to watch.
func (c *Client) tick(now time.Time) time.Duration {
	due, expired, next, open := c.takeDue(now)
	for _, x := range due {
		c.submit(x)
	}
	for _, x := range expired {
		x.giveUp(c.unavailable(x.op, x.begun, x.where.Load(), c.timeout(x)))
	}
	busy := false
	for _, k := range open {
		busy = k.tick(now) || busy
	}
	if busy {
		next = min(next, tickEvery)
		c.lookForPreferred(now)
	}
	c.pump()
	if next == forever {
		return 0
	}
	return max(next, time.Millisecond)
}

const forever = time.Duration(1<<63 - 1)

// takeDue takes the calls that are to be sent again, and those whose time is over while they wait. Those that their callers
// gave up are forgotten, with their bodies.
func (c *Client) takeDue(now time.Time) (due, expired []*call, next time.Duration, open []*conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next = forever
	keep := c.delayed[:0]
	for _, x := range c.delayed {
		if wait := x.retryAt.Sub(now); x.abandoned() {
			x.recycle()
		} else if wait <= 0 {
			due = append(due, x)
		} else {
			next = min(next, wait)
			keep = append(keep, x)
		}
	}
	clear(c.delayed[len(keep):])
	c.delayed = keep
	keep = c.waiting[:0]
	for _, x := range c.waiting {
		if x.abandoned() {
			x.recycle()
		} else if now.Before(x.deadline) {
			keep = append(keep, x)
		} else {
			expired = append(expired, x)
		}
	}
	clear(c.waiting[len(keep):])
	c.waiting = keep
	c.queued.Store(int64(len(keep)))
	if len(keep) > 0 {
		next = min(next, tickEvery)
	}
	return due, expired, next, c.openLocked()
}

// timeout is the cause of a call's end when its time is over.
func (c *Client) timeout(x *call) error {
	return &timeoutError{x.deadline.Sub(x.begun).Round(time.Millisecond).String()}
}

// tick does what is due on one connection, and says whether anything is under way on it.
func (k *conn) tick(now time.Time) bool {
	busy := false
	for _, s := range k.streams {
		busy = s.expire(now) || busy
	}
	// Nothing is known of a time in which nobody looked: this process may have been stopped itself.
	knew := k.busy && now.Sub(k.tickedAt) < silenceLeast/2
	k.busy, k.tickedAt = busy, now
	if !busy {
		if k.retired.Load() && (!k.avoided.Load() || k.client.current.Load() != nil || k.broken()) {
			k.fail(errDone)
		}
		return false
	}
	stats := k.qc.ConnectionStats()
	if stats.PacketsReceived != k.heard || !knew {
		k.heard, k.sent, k.heardAt, k.probed = stats.PacketsReceived, stats.PacketsSent, now, false
		return true
	}
	// Who has nothing to say is silent too, so that it is asked. QUIC repeats what is not acknowledged, so that packets
	// go out meanwhile.
	silence := now.Sub(k.heardAt)
	if silence >= probeAfter && !k.probed {
		k.probed = true
		k.probe()
	}
	if stats.PacketsSent >= k.sent+2 && silence >= max(silenceLeast, 4*stats.SmoothedRTT) && !k.retired.Load() {
		err := fmt.Errorf("no sign of life for %v", silence.Round(time.Millisecond))
		k.client.note(k.endpoint, err)
		k.retire(err)
		k.moveCalls(err)
		k.client.start(k.askHost)
	}
	return true
}

// probe asks the member something that every living one answers at once: a member that died when it had acknowledged
// all packets would otherwise not be missed before the connection's idle timeout. The question is longer than QUIC's
// stateless reset, which a member that was started again answers only to packets that are.
func (k *conn) probe() {
	x := k.client.newCall(k.client.ctx, wire.OpRange)
	x.attempts = attemptsLast
	x.body = wire.AppendRangeBody(x.body[:0], &kv.Range{Key: probeKey[:], Limit: 1, Serializable: true, CountOnly: true})
	x.done = func(*call) {}
	if !k.streams[smallStream].send(x) {
		x.recycle()
	}
}

// askHost asks a silent member's host whether anybody listens there. When nobody does the member is dead, and nothing
// that it had is waited for any longer; QUIC would wait for the connection's idle timeout. It asks until then: a host
// says so a few times a second at most, and may say it to others.
func (k *conn) askHost() {
	addr, ok := k.qc.RemoteAddr().(*net.UDPAddr)
	for ok && k.qc.Context().Err() == nil {
		ctx, cancel := context.WithTimeout(k.qc.Context(), silenceLeast)
		err := probePort(ctx, addr)
		cancel()
		if errors.Is(err, syscall.ECONNREFUSED) {
			k.fail(ErrNobody)
			return
		}
	}
}

// probeKey is any key of some length.
var probeKey [64]byte

// avoid turns to another member, because this one said that it cannot serve now. What is under way stays, and so does the
// connection until there is another: one that cannot be made again, as behind the end of a certificate, is not given away.
func (k *conn) avoid(now time.Time, err *kv.Error) {
	c := k.client
	c.mu.Lock()
	alone := len(c.endpointsLocked()) < 2 || now.Sub(c.switchedAt) < switchLeast || c.current.Load() != k
	if !alone {
		c.switchedAt = now
	}
	c.mu.Unlock()
	if !alone {
		k.avoided.Store(true)
		k.retire(err)
	}
}
