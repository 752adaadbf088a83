package actor

import (
	"errors"
	"fmt"
	"sort"
	"strings"
	"time"

	"go.etcd.io/raft/v3"

	"qkv/index"
	"qkv/log/limits"
)

// proposals are commands of this member's clients that are not in an entry yet, and what is known of commands that
// followers forwarded.
//
// A batch envelope is proposed or forwarded once, in one term. Its commands' fate is known when an entry of a later
// term is applied: a log's terms never fall, so what is not there by then never comes. That is why a follower that
// forwards needs no answer, and why an answer that was lost costs nothing.
type proposals struct {
	waiting      []waitingProposal
	waitingBytes int64
	next         uint64 // number of the next command
	// Newest batch that each follower forwarded in this term: a frame that comes twice is taken once.
	forwarded map[uint64]forwardedUpTo
	// Batches of followers that raft has no room for now, in order.
	deferred      []deferredBatch
	deferredBytes int64
	// What followers forwarded since the last order to the log writer, and the newest entry with each one's commands:
	// a follower whose clients wait is told of the commit at once, not with the next frame to it.
	fresh   []uint64
	awaited map[uint64]uint64
}

type waitingProposal struct {
	index.Proposal
	until time.Duration
	taken int // commands that are in a batch already
}

type forwardedUpTo struct{ incarnation, next uint64 }

func (p *proposals) add(proposal index.Proposal, now time.Duration) {
	if proposal.Timeout <= 0 || proposal.Timeout > limits.RequestTimeout {
		proposal.Timeout = limits.RequestTimeout
	}
	p.waiting = append(p.waiting, waitingProposal{Proposal: proposal, until: now + proposal.Timeout})
	p.waitingBytes += weightOf(proposal.Commands)
}

func weightOf(commands [][]byte) int64 {
	n := int64(0)
	for _, c := range commands {
		n += int64(len(c))
	}
	return n
}

type deferredBatch struct {
	from uint64
	index.Envelope
	data []byte
}

func (p *proposals) forgetForwarded() {
	clear(p.forwarded)
	p.deferred, p.deferredBytes = nil, 0
	clear(p.awaited)
	p.fresh = p.fresh[:0]
}

// placed notes that what was forwarded since the last time ends with an entry.
func (p *proposals) placed(last uint64) {
	for _, from := range p.fresh {
		if p.awaited == nil {
			p.awaited = map[uint64]uint64{}
		}
		p.awaited[from] = last
	}
	p.fresh = p.fresh[:0]
}

// awaits tells whether a follower's clients wait for a commit index, and forgets it.
func (p *proposals) awaits(follower, commit uint64) bool {
	last := p.awaited[follower]
	if last == 0 || commit < last {
		return false
	}
	delete(p.awaited, follower)
	return true
}

// propose packs all that waits into as few entries as the limits allow. A leader proposes them, a follower forwards
// them to its leader; without a leader they wait.
func (c *Consensus) propose() {
	c.proposeDeferred()
	if c.gone != "" || len(c.proposals.waiting) == 0 {
		return
	}
	status := c.raft.BasicStatus()
	leads := status.RaftState == raft.StateLeader
	if status.Lead == raft.None || (leads && status.LeadTransferee != raft.None) || (!leads && !c.connected[status.Lead]) {
		return
	}
	for len(c.proposals.waiting) > 0 {
		commands, asks, until, rest := c.proposals.pack()
		first := c.proposals.next
		envelope := index.AppendEnvelope(make([]byte, 0, weightOf(commands)+64), index.Envelope{
			Level: c.Status.Level(), Member: c.Member, Incarnation: c.Incarnation, First: first, Wall: c.now.Wall,
		}, commands)
		expect := Expect{Term: status.GetTerm(), First: first, Until: until, Asks: asks}
		if leads {
			if err := c.raft.Propose(envelope); errors.Is(err, raft.ErrProposalDropped) {
				return // over raft's limit of uncommitted bytes: they wait, and so do the clients
			} else if err != nil {
				panic(fmt.Sprintf("raft refused a proposal of %d bytes: %v", len(envelope), err))
			}
			c.Applier.Deposit(expect)
		} else {
			c.Applier.Deposit(expect)
			frame := make([]byte, 0, len(envelope)+32)
			c.Peers.Send(status.Lead, Replication, AppendPeerMessage(frame, Forward{Term: status.GetTerm(), Envelope: envelope}), false)
		}
		c.proposals.next += uint64(len(commands))
		c.proposals.waiting = rest
		c.proposals.waitingBytes -= weightOf(commands)
	}
}

// pack takes commands in order until a batch is full, and returns what is left. Nothing is changed: the batch may yet
// be refused.
func (p *proposals) pack() (commands [][]byte, asks []Ask, until time.Duration, rest []waitingProposal) {
	bytes := 0
	for i := range p.waiting {
		w := p.waiting[i]
		until = max(until, w.until)
		for j := w.taken; j < len(w.Commands); j++ {
			full := len(commands) == limits.BatchCommands || bytes+len(w.Commands[j]) > limits.BatchBytes
			if full && len(commands) > 0 {
				rest = append([]waitingProposal{}, p.waiting[i:]...)
				rest[0].taken = j
				return commands, asks, until, rest
			}
			bytes += len(w.Commands[j])
			commands = append(commands, w.Commands[j])
			asks = append(asks, Ask{From: w.From, Request: w.Requests[j]})
		}
	}
	return commands, asks, until, nil
}

// takeForward proposes a follower's batch, if it is meant for this leadership and was not taken before.
func (c *Consensus) takeForward(from uint64, f Forward) {
	status := c.raft.BasicStatus()
	if status.RaftState != raft.StateLeader || status.GetTerm() != f.Term {
		return // void: the follower learns it from the first entry of the later term
	}
	e, err := index.ReadEnvelope(f.Envelope)
	if err != nil || e.Member != from {
		c.Logger.Warn("a forwarded batch is refused", "from", c.NameOf(from), "error", err)
		return
	}
	before := c.proposals.forwarded[from]
	if before.incarnation == e.Incarnation && e.First < before.next {
		return
	}
	batch := deferredBatch{from: from, Envelope: e, data: f.Envelope}
	if len(c.proposals.deferred) == 0 && c.proposeForwarded(batch) {
		return
	}
	if c.proposals.deferredBytes+int64(len(f.Envelope)) > limits.ForwardedBytesWaiting {
		return // its clients learn from the next term, or when their time is over
	}
	c.proposals.deferred = append(c.proposals.deferred, batch)
	c.proposals.deferredBytes += int64(len(f.Envelope))
}

// proposeForwarded proposes a follower's batch, and reports false when raft has no room for it now.
func (c *Consensus) proposeForwarded(b deferredBatch) bool {
	if c.raft.Propose(b.data) != nil {
		return false
	}
	if c.proposals.forwarded == nil {
		c.proposals.forwarded = map[uint64]forwardedUpTo{}
	}
	c.proposals.fresh = append(c.proposals.fresh, b.from)
	c.proposals.forwarded[b.from] = forwardedUpTo{incarnation: b.Incarnation, next: b.First + uint64(b.Count)}
	return true
}

// proposeDeferred proposes what raft had no room for, in order.
func (c *Consensus) proposeDeferred() {
	p := &c.proposals
	if len(p.deferred) == 0 || c.raft.BasicStatus().GetTerm() != c.term {
		return // in another term they are void
	}
	for len(p.deferred) > 0 {
		b := p.deferred[0]
		before := p.forwarded[b.from]
		twice := before.incarnation == b.Incarnation && b.First < before.next
		if !twice && !c.proposeForwarded(b) {
			return
		}
		p.deferredBytes -= int64(len(b.data))
		p.deferred = p.deferred[1:]
	}
}

// expireWaiting answers clients whose time is over while their commands or reads wait for a leader.
func (c *Consensus) expireWaiting() {
	kept := c.proposals.waiting[:0]
	for _, w := range c.proposals.waiting {
		if c.now.Now < w.until {
			kept = append(kept, w)
			continue
		}
		answer(w.From, w.Requests[w.taken:], index.Applied, c.unavailable("the write was not proposed and certainly did not happen"))
		c.proposals.waitingBytes -= weightOf(w.Commands[w.taken:])
	}
	clear(c.proposals.waiting[len(kept):])
	c.proposals.waiting = kept
	for _, r := range c.reads.takeExpired(c.now.Now) {
		answer(r.From, r.Requests, index.Confirmed, c.unavailable("the read was not answered"))
	}
}

// unavailable says why nothing goes on here.
func (c *Consensus) unavailable(what string) *index.Error {
	var away []string
	for _, id := range c.confState.GetVoters() {
		if id != c.Member && !c.connected[id] {
			away = append(away, c.NameOf(id))
		}
	}
	sort.Strings(away)
	why := "there is no leader"
	switch {
	case c.gone != "":
		return &index.Error{Code: index.CodeAmnesia, Message: c.gone + "; " + what}
	case c.soft.Lead == c.Member:
		why = "no quorum has answered"
	case c.soft.Lead != raft.None:
		why = fmt.Sprintf("the leader %s has not answered", c.NameOf(c.soft.Lead))
	}
	if len(away) > 0 {
		why += fmt.Sprintf("; %s cannot reach %s", c.NameOf(c.Member), strings.Join(away, ", "))
	}
	return &index.Error{Code: index.CodeUnavailable, Message: why + "; " + what}
}

// answer gives all requests of one message the same outcome.
func answer(to index.Asker, requests []uint64, kind index.DoneKind, err *index.Error) {
	done := make([]index.Done, len(requests))
	for i, r := range requests {
		done[i] = index.Done{Request: r, Kind: kind, Err: err}
	}
	to.Deposit(done)
}
