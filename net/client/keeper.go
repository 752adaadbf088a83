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
	// tickEvery is the keeper's interval while calls are under way: it is the precision of timeouts.
	tickEvery = 25 * time.Millisecond
	// switchLeast is the minimum time between two changes of the member because a member said that it cannot serve.
	switchLeast = time.Second
	// leftFor is for how long an endpoint that was left is dialled after the others, while more endpoints are left. It is longer
	// than the client stays with a member that serves no calls.
	leftFor = 30 * time.Second
)

// keep is the keeper goroutine. It retries calls when their backoff is over, ends calls at their deadline, detects silent
// connections, and closes retired connections that have finished. It sleeps while no call is under way.
func (l *link) keep() {
	timer := time.NewTimer(tickEvery)
	defer timer.Stop()
	for {
		next := l.tick(time.Now())
		if next == 0 {
			l.asleep.Store(true)
			if next = l.tick(time.Now()); next == 0 { // again, for calls that came before asleep was visible
				next = time.Hour
			}
		}
		timer.Reset(next)
		select {
		case <-l.ctx.Done():
			return
		case <-l.wake:
		case <-timer.C:
		}
		l.asleep.Store(false)
	}
}

// tick does all due work and returns when to look again; 0: no call is under way.
func (l *link) tick(now time.Time) time.Duration {
	due, expired, next, open := l.takeDue(now)
	alone := len(open) > 0 && l.alternatives() < 2
	for _, x := range due {
		l.submit(x)
	}
	for _, x := range expired {
		x.giveUp(l.unavailable(x.op, x.begun, x.where.Load(), l.timeout(x)))
	}
	busy := false
	for _, k := range open {
		busy = k.tick(now, alone) || busy
	}
	if busy {
		next = min(next, tickEvery)
		l.lookForPreferred(now)
	}
	l.pump()
	if next == forever {
		return 0
	}
	return max(next, time.Millisecond)
}

const forever = time.Duration(1<<63 - 1)

// takeDue takes the calls whose retry is due, and the waiting calls past their deadline. It drops abandoned calls, with their
// bodies.
func (l *link) takeDue(now time.Time) (due, expired []*call, next time.Duration, open []*conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	next = forever
	keep := l.delayed[:0]
	for _, x := range l.delayed {
		if wait := x.retryAt.Sub(now); x.abandoned() {
			x.recycle()
		} else if wait <= 0 {
			due = append(due, x)
		} else {
			next = min(next, wait)
			keep = append(keep, x)
		}
	}
	clear(l.delayed[len(keep):])
	l.delayed = keep
	keep = l.waiting[:0]
	for _, x := range l.waiting {
		if x.abandoned() {
			x.recycle()
		} else if now.Before(x.deadline) {
			keep = append(keep, x)
		} else {
			expired = append(expired, x)
		}
	}
	clear(l.waiting[len(keep):])
	l.waiting = keep
	l.queued.Store(int64(len(keep)))
	if len(keep) > 0 {
		next = min(next, tickEvery)
	}
	return due, expired, next, l.openLocked()
}

// timeout returns the cause of a call's end at its deadline.
func (l *link) timeout(x *call) error {
	return &timeoutError{x.deadline.Sub(x.begun).Round(time.Millisecond).String()}
}

// tick does the due work of one connection, whose client may know no other member, and reports whether any call is under way on it.
func (k *conn) tick(now time.Time, alone bool) bool {
	busy := false
	for _, s := range k.streams {
		busy = s.expire(now) || busy
	}
	if !busy {
		k.silence.rest()
		if k.retired.Load() && (!k.avoided.Load() || k.link.current.Load() != nil || k.broken()) {
			k.fail(errDone)
		}
		return false
	}
	silent, probe := k.silence.look(now, k.qc.ConnectionStats(), alone)
	if probe {
		k.probe()
	}
	if silent > 0 && !k.retired.Load() {
		err := fmt.Errorf("no packet received for %v", silent.Round(time.Millisecond))
		k.link.note(k.endpoint, err)
		k.retire(err)
		k.moveCalls(err)
		k.link.start(k.askHost)
	}
	return true
}

// probe sends a request that every living member answers at once. Otherwise a member that died after it had acknowledged all
// packets would be noticed only at the connection's idle timeout. The request is longer than QUIC's stateless reset: a restarted
// member sends a reset only in answer to a longer packet.
func (k *conn) probe() {
	x := k.link.newCall(k.link.ctx, wire.OpRange)
	x.attempts = attemptsLast
	x.body = kv.AppendRange(x.body[:0], &kv.Range{Key: probeKey[:], Limit: 1, Serializable: true, CountOnly: true})
	x.done = func(*call) {}
	if !k.streams[smallStream].send(x) {
		x.recycle()
	}
}

// askHost asks a silent member's host whether the port is open. If it is closed, the member is dead, and its calls do not wait any
// longer; QUIC would wait for the connection's idle timeout. It asks repeatedly until then: a host answers only a few times a
// second, and possibly to other senders.
func (k *conn) askHost() {
	addr, ok := k.qc.RemoteAddr().(*net.UDPAddr)
	for ok && k.qc.Context().Err() == nil {
		ctx, cancel := context.WithTimeout(k.qc.Context(), silenceMost)
		err := probePort(ctx, addr)
		cancel()
		if errors.Is(err, syscall.ECONNREFUSED) {
			k.fail(ErrConnectionRefused)
			return
		}
	}
}

// probeKey is an arbitrary key that makes the probe long enough.
var probeKey [64]byte

// avoid turns to another member, because this one said that it cannot serve now. The requests under way stay, and so does the
// connection until there is another: an irreplaceable connection, as after the expiry of a certificate, is kept.
func (k *conn) avoid(now time.Time, err *kv.Error) {
	l := k.link
	l.mu.Lock()
	alone := len(l.endpointsLocked()) < 2 || now.Sub(l.switchedAt) < switchLeast || l.current.Load() != k
	if !alone {
		l.switchedAt = now
	}
	l.mu.Unlock()
	if !alone {
		k.avoided.Store(true)
		k.retire(err)
	}
}
