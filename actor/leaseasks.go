package actor

import (
	"sort"
	"time"

	"go.etcd.io/raft/v3"

	"qkv/index/kv"
	"qkv/internal/limits"
)

// leaseAsks are the keep-alives and questions for leases of this member's own clients. They go to the leader once a tick,
// those of a leader to itself in the same way, and are asked again until there is an answer: a lease that is renewed twice
// is renewed. They have neither queue nor frame with writes in common, so that what waits for the log does not let leases
// end.
//
// Invariants:
//
//  1. Each ask is in waiting or in sent.
//  2. sent is ordered by number. A number is used once, also by another process: they begin at random.
type leaseAsks struct {
	waiting []ownAsk
	sent    []ownAsk
	next    uint64
}

type ownAsk struct {
	NumberedAsk
	request Request
	since   time.Duration // when it was sent last
	until   time.Duration // when its client does not wait any longer
	done    bool          // it was answered
}

func (a *leaseAsks) add(m AskLeases, now time.Duration) {
	if m.Timeout <= 0 || m.Timeout > limits.RequestTimeout {
		m.Timeout = limits.RequestTimeout
	}
	for i, ask := range m.Asks {
		a.waiting = append(a.waiting, ownAsk{
			NumberedAsk: NumberedAsk{LeaseAsk: ask}, request: Request{ReplyTo: m.ReplyTo, Number: m.Requests[i]}, until: now + m.Timeout,
		})
	}
}

// send numbers what waits, and returns it.
func (a *leaseAsks) send(now time.Duration) []NumberedAsk {
	all := make([]NumberedAsk, len(a.waiting))
	for i := range a.waiting {
		one := &a.waiting[i]
		a.next++
		one.Number, one.since = a.next, now
		all[i] = one.NumberedAsk
	}
	a.sent = append(a.sent, a.waiting...)
	clear(a.waiting)
	a.waiting = a.waiting[:0]
	return all
}

// told removes the ask that an answer is for, and returns it.
func (a *leaseAsks) told(number uint64) (ask ownAsk, ok bool) {
	i := sort.Search(len(a.sent), func(i int) bool { return a.sent[i].Number >= number })
	if i == len(a.sent) || a.sent[i].Number != number || a.sent[i].done {
		return ownAsk{}, false
	}
	ask = a.sent[i]
	a.sent[i] = ownAsk{NumberedAsk: NumberedAsk{Number: number}, done: true}
	for len(a.sent) > 0 && a.sent[0].done {
		a.sent = a.sent[1:]
	}
	return ask, true
}

// void lets all wait again: there is another leader.
func (a *leaseAsks) void() { a.retry(forever, 0) }

// retry lets wait again what was sent a time ago: question or answer may be lost.
func (a *leaseAsks) retry(now, after time.Duration) {
	kept := a.sent[:0]
	for _, one := range a.sent {
		switch {
		case one.done:
		case now-one.since >= after:
			a.waiting = append(a.waiting, one)
		default:
			kept = append(kept, one)
		}
	}
	clear(a.sent[len(kept):])
	a.sent = kept
}

// takeExpired removes what no client waits for any longer.
func (a *leaseAsks) takeExpired(now time.Duration) (expired []ownAsk) {
	split := func(all []ownAsk) []ownAsk {
		kept := all[:0]
		for _, one := range all {
			switch {
			case one.done:
			case now >= one.until:
				expired = append(expired, one)
			default:
				kept = append(kept, one)
			}
		}
		clear(all[len(kept):])
		return kept
	}
	a.waiting, a.sent = split(a.waiting), split(a.sent)
	return expired
}

// askLeader sends what waits to the leader.
func (c *Consensus) askLeader() {
	c.asks.retry(c.now.Now, c.ElectionTimeout)
	status := c.raft.BasicStatus()
	if len(c.asks.waiting) == 0 || c.quarantine.active() || status.Lead == raft.None || status.GetTerm() != c.term {
		return
	}
	if status.RaftState == raft.StateLeader {
		if c.clock.running {
			c.takeAsks(c.Member, c.asks.send(c.now.Now))
		}
		return
	}
	if !c.connected[status.Lead] {
		return
	}
	for all := c.asks.send(c.now.Now); len(all) > 0; {
		n := min(len(all), limits.LeaseAsks)
		c.Peers.Send(status.Lead, LeaseAsks{Asks: all[:n]}, false)
		all = all[n:]
	}
}

// leasesTold answers clients. What is said of a lease's keys is read from this member's state, and waits for it; a renewal
// does not.
func (c *Consensus) leasesTold(m LeasesTold) {
	var done completions
	ready := ReadReady{Index: m.Index}
	for i := range m.Told {
		ask, ok := c.asks.told(m.Told[i].Number)
		switch {
		case !ok: // it was answered, or nobody waits for it any more
		case ask.Renew:
			done.add(ask.request.ReplyTo, kv.Completion{Request: ask.request.Number, Kind: kv.LeaseTold, Lease: &m.Told[i].LeaseTime})
		default:
			ready.Requests = append(ready.Requests, ask.request)
			ready.Leases = append(ready.Leases, m.Told[i].LeaseTime)
			ready.Until = max(ready.Until, ask.until)
		}
	}
	done.handOut()
	if len(ready.Requests) > 0 {
		c.Applier.PostAndYield(ready)
	}
}
