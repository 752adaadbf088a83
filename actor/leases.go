package actor

import (
	"encoding/binary"
	"slices"

	"go.etcd.io/raft/v3"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/net/wire/peerframe"
)

// leaseAsksWaiting bounds the keep-alives and lease queries that wait at the leader; further ones are dropped and retried. 60,000 clients
// send as many at once.
const leaseAsksWaiting = 1 << 16

// leases are consensus's part in leases: the queries of this member's clients, and the clock that answers every member's queries while
// this member leads.
type leases struct {
	asks  leaseAsks
	clock leaseClock
}

// sendAsks returns the messages to the leader with the waiting queries. A leader takes its own queries at once.
func (l *leases) sendAsks(c *core) (all []toPeer) {
	l.asks.retry(c.now.Now, c.ElectionTimeout)
	status := c.raft.BasicStatus()
	if len(l.asks.waiting) == 0 || c.suspension.active() || status.Lead == raft.None || status.GetTerm() != c.term {
		return nil
	}
	if status.RaftState == raft.StateLeader {
		if l.clock.running {
			l.takeAsks(c, c.Member, l.asks.send(c.now.Now))
		}
		return nil
	}
	if !c.connected[status.Lead] {
		return nil
	}
	for asks := range slices.Chunk(l.asks.send(c.now.Now), limits.LeaseAsks) {
		all = append(all, toPeer{status.Lead, peerframe.LeaseAsks{Asks: asks}})
	}
	return all
}

// answered hands the leader's answers to clients. A keep-alive is answered at once. The answer to any other query waits for this member's
// state, from which its client reads the lease's keys. answered returns the answers that wait.
func (l *leases) answered(m peerframe.LeaseTimes) (ready readReady) {
	var done completions
	ready.Index = m.Index
	for i := range m.Times {
		ask, ok := l.asks.takeAnswered(m.Times[i].Number)
		switch {
		case !ok: // it was answered, or its client does not wait any more
		case ask.Renew:
			done.add(ask.request.ReplyTo, kv.Completion{Request: ask.request.Number, Kind: kv.LeaseTold, Lease: &m.Times[i].LeaseTime})
		default:
			ready.Requests = append(ready.Requests, ask.request)
			ready.Leases = append(ready.Leases, m.Times[i].LeaseTime)
			ready.Until = max(ready.Until, ask.until)
		}
	}
	done.deliver()
	return ready
}

// startClock starts the clock of a leader whose state holds an entry of its term.
func (l *leases) startClock(c *core) {
	if !l.clock.running && c.soft.RaftState == raft.StateLeader && c.membership.appliedTerm == c.term && c.raft.BasicStatus().GetTerm() == c.term {
		l.clock.start(c.Status.View(), c.now.Now, c.leaseTiming())
	}
}

// changed passes changes of leases in the state to the running clock.
func (l *leases) changed(c *core, changes []index.LeaseChange) {
	if l.clock.running {
		l.clock.applyChanges(changes, l.clock.time(c.now.Now), c.leaseTiming())
	}
}

// takeAsks accepts a member's queries if this member leads. Otherwise, or without capacity, it drops them: they are sent again.
func (l *leases) takeAsks(c *core, from uint64, asks []peerframe.LeaseAsk) {
	if !l.clock.running {
		return
	}
	for _, ask := range asks {
		if l.clock.openAsks >= leaseAsksWaiting {
			c.Limits.Reach("lease asks")
			return
		}
		l.clock.openAsks++
		l.clock.unproven = append(l.clock.unproven, clockAsk{LeaseAsk: ask, from: from, at: l.clock.time(c.now.Now)})
	}
}

// tick advances the lease clock, and begins a round for all queries since the last tick. The clock's rounds share their ids with the
// reads'.
func (l *leases) tick(c *core, reads *reads) {
	if !l.clock.running {
		return
	}
	l.clock.tick(c.now.Now, c.leaseTiming())
	l.clock.retry(c.now.Now, c.ElectionTimeout)
	if c.readable() && l.clock.begin(c.now.Now, reads.next+1) {
		reads.next++
		c.raft.ReadIndex(binary.BigEndian.AppendUint64(nil, reads.next))
	}
}

// answerAsks answers the queries of confirmed rounds, once the state has everything that was committed when the round began.
func (l *leases) answerAsks(c *core) {
	k, applied, now := &l.clock, c.raft.BasicStatus().Applied, l.clock.time(c.now.Now)
	for len(k.confirmed) > 0 && k.confirmed[0].index <= applied {
		round := k.confirmed[0]
		k.confirmed = k.confirmed[1:]
		for _, ask := range round.asks {
			k.answer(ask, now, round.index)
		}
		k.prove(round.since, now, c.leaseTiming())
	}
}
