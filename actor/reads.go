package actor

import (
	"encoding/binary"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"qkv/log/limits"
)

// readAttemptsInflight is how many ReadIndex rounds are on their way at once: one, and one more so that reads which
// come during a round do not wait for its end.
const readAttemptsInflight = 2

// heldReadsMost bounds the peers' reads that wait for the first entry of a leader's term.
const heldReadsMost = 1024

// reads are linearizable reads that wait for a confirmation.
//
// An attempt is one ReadIndex round for all reads that waited when it began. Its id is never used again, and it is
// void at every change of (term, leader): the reads then wait for the next attempt. A confirmation of an unknown id
// is ignored (etcd bug 20418).
type reads struct {
	waiting  []waitingRead
	attempts []readAttempt // oldest first
	next     uint64
	held     []*raftpb.Message // MsgReadIndex of peers
}

type waitingRead struct {
	Confirm
	until time.Duration
}

type readAttempt struct {
	id    uint64
	since time.Duration
	reads []waitingRead
}

func (r *reads) add(m Confirm, now time.Duration) {
	if m.Timeout <= 0 || m.Timeout > limits.RequestTimeout {
		m.Timeout = limits.RequestTimeout
	}
	r.waiting = append(r.waiting, waitingRead{Confirm: m, until: now + m.Timeout})
}

// requestReads begins an attempt for all reads that wait, if raft would answer it.
func (c *Consensus) requestReads() {
	r := &c.reads
	if c.gone != "" || len(r.waiting) == 0 || len(r.attempts) >= readAttemptsInflight {
		return
	}
	status := c.raft.BasicStatus()
	switch {
	case status.Lead == raft.None, status.GetTerm() != c.term:
		return
	case status.RaftState == raft.StateLeader && c.apply.handedTerm != c.term:
		return // rule 5: the commit index may be one that a crash has set back
	case status.RaftState != raft.StateLeader && status.RaftState != raft.StateFollower:
		return
	}
	r.next++
	r.attempts = append(r.attempts, readAttempt{id: r.next, since: c.now.Now, reads: r.waiting})
	r.waiting = nil
	c.raft.ReadIndex(binary.BigEndian.AppendUint64(nil, r.next))
}

// confirmed returns the requests of an attempt that a quorum has confirmed.
func (r *reads) confirmed(context []byte) (asks []Ask, until time.Duration, ok bool) {
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
		asks = make([]Ask, 0, n)
		for _, w := range a.reads {
			for _, request := range w.Requests {
				asks = append(asks, Ask{From: w.From, Request: request})
			}
		}
		return asks, until, true
	}
	return nil, 0, false
}

// void takes all attempts back: their reads wait again.
func (r *reads) void() {
	for _, a := range r.attempts {
		r.waiting = append(r.waiting, a.reads...)
	}
	r.attempts = nil
}

// retry takes attempts back that a lost message may have ended.
func (r *reads) retry(now, after time.Duration) {
	for len(r.attempts) > 0 && now-r.attempts[0].since >= after {
		r.waiting = append(r.waiting, r.attempts[0].reads...)
		r.attempts = r.attempts[1:]
	}
}

// takeExpired removes the reads whose clients do not wait any longer, those of attempts that may go on for ever, too.
func (r *reads) takeExpired(now time.Duration) (expired []waitingRead) {
	r.waiting, expired = splitExpired(r.waiting, now, expired)
	for i := range r.attempts {
		a := &r.attempts[i]
		a.reads, expired = splitExpired(a.reads, now, expired)
	}
	return expired
}

func splitExpired(reads []waitingRead, now time.Duration, expired []waitingRead) (kept, all []waitingRead) {
	kept = reads[:0]
	for _, w := range reads {
		if now >= w.until {
			expired = append(expired, w)
		} else {
			kept = append(kept, w)
		}
	}
	clear(reads[len(kept):])
	return kept, expired
}

// hold keeps a peer's read until this leader knows its commit index to be right.
func (r *reads) hold(m *raftpb.Message) {
	if len(r.held) < heldReadsMost {
		r.held = append(r.held, m)
	}
}

func (r *reads) takeHeld() []*raftpb.Message {
	held := r.held
	r.held = nil
	return held
}

func (r *reads) dropHeld() { r.held = nil }
