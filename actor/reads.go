package actor

import (
	"encoding/binary"
	"slices"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/internal/limits"
)

// readsDeferred bounds the peers' reads that wait for the first entry of a leader's term; reads beyond it are retried.
const readsDeferred = 1024

// readAttemptsInflight is the maximum number of concurrent ReadIndex rounds: one, and one more for reads that arrive during a round.
// These need not wait for its end.
const readAttemptsInflight = 2

// reads are the linearizable reads that wait for a ReadIndex round.
//
// An attempt is one round for all reads that waited when it began. A lost message ends an attempt without notice, and raft drops it at
// any change of (term, leader). Its reads then wait for the next attempt. The answer to an unknown attempt is ignored (etcd bug 20418).
//
// Invariants:
//
//  1. Each read is in waiting or in one attempt.
//  2. attempts is in the order of the ids, at most readAttemptsInflight, and all of the present (term, leader).
//  3. next is the newest attempt's id. No process reuses an id: it begins at a random number.
//  4. deferred are MsgReadIndex of peers that wait for the first entry of this leader's term.
type reads struct {
	waiting  []waitingRead
	attempts []readAttempt
	next     uint64
	deferred []*raftpb.Message
}

type waitingRead struct {
	ReadIndex
	until time.Duration // when its clients' timeouts expire
}

type readAttempt struct {
	id    uint64        // raft returns it with the round's answer
	since time.Duration // when it began
	reads []waitingRead
}

func (r *reads) add(m ReadIndex, now time.Duration) {
	if m.Timeout <= 0 || m.Timeout > limits.RequestTimeout {
		m.Timeout = limits.RequestTimeout
	}
	r.waiting = append(r.waiting, waitingRead{ReadIndex: m, until: now + m.Timeout})
}

// begin makes one attempt of all waiting reads, if there are any and another round may begin. It returns the context that raft returns
// with its answer.
func (r *reads) begin(now time.Duration) (context []byte, begun bool) {
	if len(r.waiting) == 0 || len(r.attempts) >= readAttemptsInflight {
		return nil, false
	}
	r.next++
	r.attempts = append(r.attempts, readAttempt{id: r.next, since: now, reads: r.waiting})
	r.waiting = nil
	return binary.BigEndian.AppendUint64(nil, r.next), true
}

// confirmed returns the requests of an attempt whose round a quorum has answered.
func (r *reads) confirmed(context []byte) (requests []Request, until time.Duration, ok bool) {
	if len(context) != 8 {
		return nil, 0, false
	}
	id := binary.BigEndian.Uint64(context)
	for i, a := range r.attempts {
		if a.id != id {
			continue
		}
		r.attempts = append(r.attempts[:i:i], r.attempts[i+1:]...)
		n := 0
		for _, w := range a.reads {
			n += len(w.Requests)
			until = max(until, w.until)
		}
		requests = make([]Request, 0, n)
		for _, w := range a.reads {
			for _, number := range w.Requests {
				requests = append(requests, Request{ReplyTo: w.ReplyTo, Number: number})
			}
		}
		return requests, until, true
	}
	return nil, 0, false
}

// void ends all attempts: their reads wait again.
func (r *reads) void() {
	for _, a := range r.attempts {
		r.waiting = append(r.waiting, a.reads...)
	}
	r.attempts = nil
}

// retry ends the attempts that a lost message may have ended, and returns their number. Their reads wait again.
func (r *reads) retry(now, after time.Duration) (late int) {
	for len(r.attempts) > 0 && now-r.attempts[0].since >= after {
		r.waiting = append(r.waiting, r.attempts[0].reads...)
		r.attempts = r.attempts[1:]
		late++
	}
	return late
}

// takeExpired removes the reads whose clients' timeouts have expired, also from attempts that may never be answered.
func (r *reads) takeExpired(now time.Duration) (expired []waitingRead) {
	take := func(w waitingRead) bool {
		if now >= w.until {
			expired = append(expired, w)
		}
		return now >= w.until
	}
	r.waiting = slices.DeleteFunc(r.waiting, take)
	for i := range r.attempts {
		r.attempts[i].reads = slices.DeleteFunc(r.attempts[i].reads, take)
	}
	return expired
}

// deferRead keeps a peer's read until this leader knows that its commit index is current.
func (r *reads) deferRead(m *raftpb.Message) {
	if len(r.deferred) < readsDeferred {
		r.deferred = append(r.deferred, m)
	}
}

// requestReads begins an attempt for all waiting reads.
func (c *Consensus) requestReads() {
	if len(c.reads.waiting) > 0 && c.own.lag.farBehind(&c.core) {
		c.refuseWaiting()
	}
	if !c.readable() {
		return
	}
	if context, begun := c.reads.begin(c.now.Now); begun {
		c.raft.ReadIndex(context)
	}
}
