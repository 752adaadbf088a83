package actor

import (
	"slices"
	"sort"
	"time"

	"qkv/internal/limits"
	"qkv/net/wire/peerframe"
)

// leaseAsks are the keep-alives and lease queries of this member's own clients. They go to the leader once per tick, a leader's own in
// the same way, and are repeated until answered: renewing a lease is idempotent. They share neither queue nor frame with writes: a busy
// log does not let leases end.
//
// Invariants:
//
//  1. Each ask is in waiting or in sent.
//  2. sent is ordered by number. No process reuses a number: numbers begin at random.
type leaseAsks struct {
	waiting []ownAsk
	sent    []ownAsk
	next    uint64
}

type ownAsk struct {
	peerframe.LeaseAsk
	request Request
	since   time.Duration // when it was last sent
	until   time.Duration // when its client's timeout expires
	done    bool          // it was answered
}

func (a *leaseAsks) add(m AskLeases, now time.Duration) {
	if m.Timeout <= 0 || m.Timeout > limits.RequestTimeout {
		m.Timeout = limits.RequestTimeout
	}
	for i, ask := range m.Asks {
		a.waiting = append(a.waiting, ownAsk{
			LeaseAsk: peerframe.LeaseAsk{LeaseAsk: ask}, request: Request{ReplyTo: m.ReplyTo, Number: m.Requests[i]}, until: now + m.Timeout,
		})
	}
}

// send numbers the waiting asks, and returns them.
func (a *leaseAsks) send(now time.Duration) []peerframe.LeaseAsk {
	all := make([]peerframe.LeaseAsk, len(a.waiting))
	for i := range a.waiting {
		one := &a.waiting[i]
		a.next++
		one.Number, one.since = a.next, now
		all[i] = one.LeaseAsk
	}
	a.sent = append(a.sent, a.waiting...)
	clear(a.waiting)
	a.waiting = a.waiting[:0]
	return all
}

// takeAnswered removes the ask for an answer, and returns it.
func (a *leaseAsks) takeAnswered(number uint64) (ask ownAsk, ok bool) {
	i := sort.Search(len(a.sent), func(i int) bool { return a.sent[i].Number >= number })
	if i == len(a.sent) || a.sent[i].Number != number || a.sent[i].done {
		return ownAsk{}, false
	}
	ask = a.sent[i]
	a.sent[i] = ownAsk{LeaseAsk: peerframe.LeaseAsk{Number: number}, done: true}
	for len(a.sent) > 0 && a.sent[0].done {
		a.sent = a.sent[1:]
	}
	return ask, true
}

// void makes all asks wait again: there is another leader.
func (a *leaseAsks) void() { a.retry(forever, 0) }

// retry makes asks wait again that were sent long ago: the query or its answer may be lost.
func (a *leaseAsks) retry(now, after time.Duration) {
	a.sent = slices.DeleteFunc(a.sent, func(one ownAsk) bool {
		late := !one.done && now-one.since >= after
		if late {
			a.waiting = append(a.waiting, one)
		}
		return late || one.done
	})
}

// takeExpired removes the asks whose clients' timeouts have expired.
func (a *leaseAsks) takeExpired(now time.Duration) (expired []ownAsk) {
	take := func(one ownAsk) bool {
		late := !one.done && now >= one.until
		if late {
			expired = append(expired, one)
		}
		return late || one.done
	}
	a.waiting, a.sent = slices.DeleteFunc(a.waiting, take), slices.DeleteFunc(a.sent, take)
	return expired
}
