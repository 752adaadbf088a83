package actor

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"
	"time"

	"go.etcd.io/raft/v3"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
)

// proposals are commands of this member's clients that are not in a batch yet.
//
// A batch envelope is valid in one term. Its commands' fate is known when an entry of a later term is applied: a log's
// terms never fall, so what is not there by then never comes.
//
// Invariants:
//
//  1. waiting is in the order of arrival, but for the member's own, which goes first: it is little, and clients wait for what it
//     is about, the end of NOSPACE, say. waiting[i].Commands[waiting[i].packed:] are in no batch.
//  2. bytes is the sum of those commands' lengths.
//  3. next is the number of the command that is packed next; a number is given once in the life of a process.
type proposals struct {
	waiting []waitingProposal
	bytes   int64
	next    uint64

	// Scratch, of one call.
	commands [][]byte // of the newest batch
	envelope []byte   // of the newest one that raft was given, and has copied
}

type waitingProposal struct {
	kv.Proposal
	until  time.Duration // when its client does not wait any longer
	packed int           // commands that are in a batch

	followed bool // by Stages
}

// batch is what fits into one entry.
type batch struct {
	first    uint64 // number of the first command
	commands [][]byte
	requests []Request // requests[i] is who waits for commands[i]
	change   bool      // the one command changes the membership
	until    time.Duration
	rest     []waitingProposal // what waits when this is taken
	followed kv.ReplyTo        // of a write that Stages follow; nil: there is none in it
}

func (p *proposals) add(m Propose, now time.Duration) {
	w := waitingProposal{Proposal: m.Proposal, followed: m.Followed != 0}
	if w.Timeout <= 0 || w.Timeout > limits.RequestTimeout {
		w.Timeout = limits.RequestTimeout
	}
	w.until = now + w.Timeout
	if p.bytes += weightOf(w.Commands); m.Own {
		p.waiting = slices.Insert(p.waiting, 0, w)
	} else {
		p.waiting = append(p.waiting, w)
	}
}

func weightOf(commands [][]byte) int64 {
	n := int64(0)
	for _, c := range commands {
		n += int64(len(c))
	}
	return n
}

// pack fills a batch with commands in their order. Nothing is changed: the batch may yet be refused.
func (p *proposals) pack(most limits.Tunable) batch {
	clear(p.commands) // of the batch before
	b, bytes := batch{first: p.next, commands: p.commands[:0]}, 0
	defer func() { p.commands = b.commands }()
	waiting := 0
	for i := range p.waiting {
		waiting += len(p.waiting[i].Commands) - p.waiting[i].packed
	}
	b.requests = make([]Request, 0, min(waiting, most.BatchCommands))
	for i := range p.waiting {
		w := p.waiting[i]
		b.until = max(b.until, w.until)
		if w.followed {
			b.followed = w.ReplyTo // should another batch be full before its first command, that is one more wait of the queue
		}
		for j := w.packed; j < len(w.Commands); j++ {
			full := len(b.commands) == most.BatchCommands || bytes+len(w.Commands[j]) > most.BatchBytes
			change := index.ChangesMembership(w.Commands[j])
			if (full || change || b.change) && len(b.commands) > 0 {
				if full {
					most.Reach("batch")
				}
				b.rest = append([]waitingProposal{}, p.waiting[i:]...)
				b.rest[0].packed = j
				return b
			}
			b.change = change
			bytes += len(w.Commands[j])
			b.commands = append(b.commands, w.Commands[j])
			b.requests = append(b.requests, Request{ReplyTo: w.ReplyTo, Number: w.Requests[j]})
		}
	}
	return b
}

// take removes the commands of a batch that was packed just now: they are on their way, and nobody refers to them any more.
func (p *proposals) take(b batch) {
	p.next += uint64(len(b.commands))
	p.bytes -= weightOf(b.commands)
	packed := p.waiting[:len(p.waiting)-len(b.rest)]
	for i := range packed {
		if packed[i].Release != nil {
			packed[i].Release.Release()
		}
	}
	clear(packed)
	if len(b.rest) == 0 {
		p.waiting = p.waiting[:0]
		return
	}
	p.waiting = b.rest
}

// takeExpired removes what no client waits for any longer.
func (p *proposals) takeExpired(now time.Duration) (expired []waitingProposal) {
	kept := p.waiting[:0]
	for _, w := range p.waiting {
		if now < w.until {
			kept = append(kept, w)
			continue
		}
		expired = append(expired, w)
		p.bytes -= weightOf(w.Commands[w.packed:])
	}
	clear(p.waiting[len(kept):])
	p.waiting = kept
	return expired
}

// refuse takes the commands out of a proposal that the cluster has no feature level for, or no room, and answers them: a
// member of an earlier version would stop when it applies one, and a full disk when it is written. What the state refuses for
// an alarm that is raised need not be in the log.
func (c *Consensus) refuse(p *kv.Proposal) {
	space, why := c.clusterSpace()
	view := c.Status.View()
	kept := 0
	for i, command := range p.Commands {
		err := index.CheckLevel(command, c.Status.Level())
		if err == nil {
			if full := noRoom(command, space, why); full != nil {
				c.refuseForRoom(p.ReplyTo, p.Requests[i], command, full)
				continue
			}
			err = view.Refuses(command)
		}
		if err != nil {
			kv.Refuse(p.ReplyTo, p.Requests[i:i+1], kv.CommandDone, err)
			continue
		}
		p.Commands[kept], p.Requests[kept] = command, p.Requests[i]
		kept++
	}
	p.Commands, p.Requests = p.Commands[:kept], p.Requests[:kept]
}

// propose packs all that waits into as few entries as the limits allow. A leader proposes them, a follower forwards
// them to its leader; without a leader they wait.
func (c *Consensus) propose() {
	if c.quarantine.active() || (len(c.proposals.waiting) == 0 && len(c.accepted.deferred) == 0) {
		return
	}
	if c.farBehind() {
		c.refuseWaiting()
		return
	}
	status := c.raft.BasicStatus()
	leads := status.RaftState == raft.StateLeader
	switch {
	case status.Lead == raft.None, status.GetTerm() != c.term: // the new term's Ready comes first
		return
	case leads && !c.Status.logTakes(limits.LogKept):
		c.refuseFull()
		return
	case leads && status.LeadTransferee != raft.None:
		return
	case leads:
		c.proposeInTurn()
		return
	case !c.connected[status.Lead]:
		return
	}
	for len(c.proposals.waiting) > 0 && c.forwards.bytes < c.Limits.ForwardBytesInflight {
		b := c.proposals.pack(c.Limits)
		c.Applier.PostQuiet(Expect{Term: status.GetTerm(), First: b.first, Until: b.until, Requests: b.requests})
		c.forward(status.Lead, c.forwards.add(b.first, c.envelope(b.first, b.commands), c.now.Now))
		c.take(b, false)
	}
	if len(c.proposals.waiting) > 0 {
		c.Limits.Reach("forwarded bytes")
	}
}

// proposeInTurn lets a leader propose what waits here and what it has accepted of followers, a batch of each in turn, until it
// has all or raft has no room. Where there is never room for all, neither may wait for ever: what waits here may be what ends
// NOSPACE. Nor may the lease clock, which comes behind writes: where raft had no room left for it, it goes first.
func (c *Consensus) proposeInTurn() {
	if c.clock.waits {
		if c.proposeLeases(); c.clock.waits {
			return
		}
	}
	for room := true; room; {
		own, deferred := len(c.proposals.waiting) > 0, len(c.accepted.deferred) > 0
		switch {
		case own && (!deferred || !c.ownWasLast):
			room = c.proposeOwn()
			c.ownWasLast = room
		case deferred:
			room = c.proposeDeferred()
			c.ownWasLast = c.ownWasLast && !room
		default:
			return
		}
	}
	c.Limits.Reach("uncommitted bytes") // they wait, and so do the clients
}

// proposeOwn proposes a batch of what waits here, and tells whether raft had room for it.
func (c *Consensus) proposeOwn() bool {
	b := c.proposals.pack(c.Limits)
	c.proposals.envelope = c.appendEnvelope(c.proposals.envelope[:0], b.first, b.commands)
	envelope := c.proposals.envelope // raft copies what it is given
	if cap(envelope) > 2*limits.BatchBytes {
		c.proposals.envelope = nil // of one large command
	}
	change, refused := c.changeIn(envelope, b.change)
	if refused != nil {
		kv.Refuse(b.requests[0].ReplyTo, []uint64{b.requests[0].Number}, kv.CommandDone, refused)
		c.proposals.take(b)
		return true
	}
	if err := c.proposeEnvelope(envelope, change); errors.Is(err, raft.ErrProposalDropped) {
		return false
	} else if err != nil {
		panic(fmt.Sprintf("raft refused a proposal of %d bytes: %v", len(envelope), err))
	}
	c.Applier.PostQuiet(Expect{Term: c.term, First: b.first, Until: b.until, Requests: b.requests})
	c.take(b, true)
	c.handed(int64(len(envelope)))
	return true
}

// take removes a batch from what waits, which was proposed or forwarded. A write in it may be followed.
func (c *Consensus) take(b batch, leads bool) {
	if b.followed != nil {
		for i := range b.rest {
			b.rest[i].followed = false
		}
		c.Status.Stages.propose(b.first, leads, b.followed)
	}
	c.proposals.take(b)
}

// envelope is what an entry holds of this member's commands, the first of which has a number.
func (c *Consensus) envelope(first uint64, commands [][]byte) []byte {
	return c.appendEnvelope(make([]byte, 0, weightOf(commands)+64), first, commands)
}

func (c *Consensus) appendEnvelope(dst []byte, first uint64, commands [][]byte) []byte {
	return index.AppendEnvelope(dst, index.Envelope{
		Level: c.Status.Level(), Member: c.Member, Incarnation: c.Incarnation, First: first, Wall: c.clocks.wall(c.now),
	}, commands)
}

// expireWaiting answers clients whose time is over while their commands or reads wait for a leader, and all others when
// there was none for as long as an election takes: this member may be cut off, and another one may serve them.
func (c *Consensus) expireWaiting() {
	now := c.now.Now
	if c.leaderless >= c.electionTicks {
		now = math.MaxInt64
	}
	for _, w := range c.proposals.takeExpired(now) {
		c.Status.Counters.WritesFailed.Add(counted(w.ReplyTo, len(w.Requests)-w.packed))
		kv.Refuse(w.ReplyTo, w.Requests[w.packed:], kv.CommandDone, c.unavailable("the write was not proposed and certainly did not happen"))
	}
	for _, r := range c.reads.takeExpired(now) {
		c.Status.Counters.ReadsFailed.Add(counted(r.ReplyTo, len(r.Requests)))
		kv.Refuse(r.ReplyTo, r.Requests, kv.ReadReady, c.unavailable("the read was not answered"))
	}
	for _, a := range c.asks.takeExpired(now) {
		kv.Refuse(a.request.ReplyTo, []uint64{a.request.Number}, kv.LeaseTold, c.unavailable("the leader's lease clock has not answered"))
	}
}

// unavailable says why nothing goes on here.
func (c *Consensus) unavailable(what string) *kv.Error {
	if c.quarantine.active() {
		return &kv.Error{Code: kv.Amnesia, Message: c.quarantine.Reason + "; " + what}
	}
	return &kv.Error{Code: kv.Unavailable, Message: c.why() + "; " + what}
}

// why says what requests wait for.
func (c *Consensus) why() string {
	var unreachable []string
	for _, id := range c.membership.confState.GetVoters() {
		if id != c.Member && !c.connected[id] {
			unreachable = append(unreachable, c.Status.NameOf(id))
		}
	}
	sort.Strings(unreachable)
	why := "there is no leader"
	switch missing, leader := c.lag.missing(c.raft.BasicStatus().Applied), c.leader(); {
	case leader == c.Member:
		why = "no quorum has answered"
	case leader != raft.None && missing > 0:
		why = fmt.Sprintf("%s is %d entries behind the leader %s", c.Status.NameOf(c.Member), missing, c.Status.NameOf(leader))
	case leader != raft.None:
		why = fmt.Sprintf("the leader %s has not answered", c.Status.NameOf(leader))
	}
	if len(unreachable) > 0 {
		why += fmt.Sprintf("; %s cannot reach %s", c.Status.NameOf(c.Member), strings.Join(unreachable, ", "))
	}
	return why
}

// farBehind tells that this member follows a leader whose log it will not have caught up with while its clients wait.
func (c *Consensus) farBehind() bool {
	return c.soft.RaftState == raft.StateFollower && c.leader() != raft.None && c.lag.far(c.raft.BasicStatus().Applied, c.now.Now, 2*c.ElectionTimeout)
}

// refuseWaiting answers at once what other members can do in less time.
func (c *Consensus) refuseWaiting() {
	for _, w := range c.proposals.takeExpired(forever) {
		kv.Refuse(w.ReplyTo, w.Requests[w.packed:], kv.CommandDone, c.unavailable("the write was not proposed and certainly did not happen: ask another member"))
	}
	for _, r := range c.reads.takeWaiting() {
		kv.Refuse(r.ReplyTo, r.Requests, kv.ReadReady, c.unavailable("the read was not answered: ask another member"))
	}
}

const forever = time.Duration(math.MaxInt64)
