package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"qkv/net/wire"
)

const (
	// tick is how often the keeper looks while calls are under way, and so how exact timeouts are.
	tick = 100 * time.Millisecond
	// silenceLeast is for how long a connection may leave packets without any answer: a living host acknowledges
	// them within 25 ms. Four round trips, where that is more.
	silenceLeast = 500 * time.Millisecond
	// prodAfter is for how long a connection may be silent before the member is asked something.
	prodAfter = silenceLeast / 2
	// switchLeast is the least time between two changes to another member because one said that it cannot serve.
	switchLeast = time.Second
)

// keep is the keeper goroutine: it sends calls again when their delay is over, gives up those whose time is,
// notices connections that fell silent, and closes those that have finished what they had. It sleeps while
// nothing is under way.
func (c *Client) keep() {
	timer := time.NewTimer(tick)
	defer timer.Stop()
	for {
		next := c.look(time.Now())
		if next == 0 {
			c.asleep.Store(true)
			if next = c.look(time.Now()); next == 0 { // again, for what came before asleep was seen
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

// look does what is due and returns when to look again; 0: there is nothing to watch.
func (c *Client) look(now time.Time) time.Duration {
	due, expired, next, open := c.takeDue(now)
	for _, x := range due {
		c.submit(x)
	}
	for _, x := range expired {
		x.fail(c.unavailable(x.op, x.begun, x.where.Load(), c.timeout(x)))
	}
	for _, k := range open {
		if k.look(now) {
			next = min(next, tick)
		}
	}
	c.pump()
	if next == forever {
		return 0
	}
	return max(next, time.Millisecond)
}

const forever = time.Duration(1<<63 - 1)

// takeDue takes the calls that are to be sent again, and those whose time is over while they wait.
func (c *Client) takeDue(now time.Time) (due, expired []*call, next time.Duration, open []*conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next = forever
	keep := c.delayed[:0]
	for _, x := range c.delayed {
		if wait := x.retryAt.Sub(now); wait <= 0 {
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
		if now.Before(x.deadline) {
			keep = append(keep, x)
		} else {
			expired = append(expired, x)
		}
	}
	clear(c.waiting[len(keep):])
	c.waiting = keep
	c.queued.Store(int64(len(keep)))
	if len(keep) > 0 {
		next = min(next, tick)
	}
	return due, expired, next, c.openLocked()
}

// timeout is the cause of a call's end when its time is over.
func (c *Client) timeout(x *call) error {
	return &timeoutError{x.deadline.Sub(x.begun).Round(time.Millisecond).String()}
}

// look does what is due on one connection, and says whether anything is under way on it.
func (k *conn) look(now time.Time) bool {
	busy := false
	for _, s := range k.streams {
		busy = s.expire(now) || busy
	}
	// Nothing is known of a time in which nobody looked: this process may have been stopped itself.
	knew := k.busy && now.Sub(k.lookedAt) < silenceLeast/2
	k.busy, k.lookedAt = busy, now
	if !busy {
		if k.retired.Load() {
			k.fail(errDone)
		}
		return false
	}
	stats := k.qc.ConnectionStats()
	if stats.PacketsReceived != k.heard || !knew {
		k.heard, k.sent, k.heardAt, k.prodded = stats.PacketsReceived, stats.PacketsSent, now, false
		return true
	}
	// Who has nothing to say is silent too, so that it is asked. QUIC repeats what is not acknowledged, so that packets
	// go out meanwhile.
	silence := now.Sub(k.heardAt)
	if silence >= prodAfter && !k.prodded {
		k.prodded = true
		k.prod()
	}
	if stats.PacketsSent >= k.sent+2 && silence >= max(silenceLeast, 4*stats.SmoothedRTT) && !k.retired.Load() {
		err := fmt.Errorf("no sign of life for %v", silence.Round(time.Millisecond))
		k.client.note(k.endpoint, err)
		k.retire(err)
		k.moveReads(err)
		k.client.running.Go(k.askHost)
	}
	return true
}

// prod asks the member something that every living one answers at once: a member that died when it had acknowledged
// all packets would otherwise not be missed before the connection's idle timeout. The question is longer than QUIC's
// stateless reset, which a member that was started again answers only to packets that are.
func (k *conn) prod() {
	x := k.client.newCall(k.client.ctx, wire.OpRange)
	x.attempts = attemptsLast
	x.body = wire.AppendRangeBody(x.body[:0], prodKey[:], nil, 0, 1, wire.Serializable|wire.CountOnly)
	x.done = func(*call) {}
	if !k.streams[smallStream].send(x) {
		x.recycle()
	}
}

// askHost asks a silent member's host whether anybody listens there. When nobody does the member is dead, and nothing
// that it had is waited for any longer; QUIC would wait for the connection's idle timeout.
func (k *conn) askHost() {
	addr, ok := k.qc.RemoteAddr().(*net.UDPAddr)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(k.qc.Context(), handshakeTimeout)
	defer cancel()
	if errors.Is(probe(ctx, addr), syscall.ECONNREFUSED) {
		k.fail(ErrNobody)
	}
}

// prodKey is any key of some length.
var prodKey [64]byte

// shun turns to another member, because this one said that it cannot serve now. What is under way stays.
func (k *conn) shun(now time.Time, err *wire.Error) {
	c := k.client
	c.mu.Lock()
	alone := len(c.endpointsLocked()) < 2 || now.Sub(c.switchedAt) < switchLeast || c.current.Load() != k
	if !alone {
		c.switchedAt = now
	}
	c.mu.Unlock()
	if !alone {
		k.retire(err)
	}
}
