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

// proposals are commands of this member's clients that are not in an entry yet.
//
// A batch envelope is valid in one term. Its commands' fate is known when an entry of a later term is applied: a log's
// terms never fall, so what is not there by then never comes.
type proposals struct {
	waiting      []waitingProposal
	waitingBytes int64
	next         uint64 // number of the next command
}

type waitingProposal struct {
	index.Proposal
	until time.Duration
	taken int // commands that are in a batch already
}

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

// propose packs all that waits into as few entries as the limits allow. A leader proposes them, a follower forwards
// them to its leader; without a leader they wait.
func (c *Consensus) propose() {
	if c.gone != "" || (len(c.proposals.waiting) == 0 && len(c.taken.held) == 0) {
		return
	}
	status := c.raft.BasicStatus()
	leads := status.RaftState == raft.StateLeader
	switch {
	case status.Lead == raft.None, status.GetTerm() != c.term: // the new term's Ready comes first
		return
	case leads && (status.LeadTransferee != raft.None || !c.proposeHeld()):
		return
	case !leads && !c.connected[status.Lead]:
		return
	}
	for len(c.proposals.waiting) > 0 && (leads || c.away.bytes < limits.ForwardBytesInflight) {
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
			c.Applier.Leave(expect)
		} else {
			c.Applier.Leave(expect)
			c.forward(status.Lead, awayBatch{first: first, envelope: envelope})
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
