package actor

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"qkv/actor/space"
	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
)

// proposals are the commands of this member's clients that are not in a batch yet. A batch envelope is valid in one term. The fate of its
// commands is known when an entry of a later term is applied: the terms in a log never decrease, so a command that is missing then never
// follows.
//
// Invariants:
//
//  1. waiting is in the order of arrival, except that the member's own commands go first: they are few, and clients wait for
//     their effect, such as the end of NOSPACE. waiting[i].Commands[waiting[i].packed:] are in no batch.
//  2. bytes is the sum of those commands' lengths.
//  3. next is the number of the next packed command. Each number is given once per process.
type proposals struct {
	waiting []waitingProposal
	bytes   int64
	next    uint64
	refused refusedWrites // for lack of space, in this turn

	// Scratch, of one call.
	commands [][]byte // of the newest batch
	envelope []byte   // the newest one given to raft, which has copied it
}

type waitingProposal struct {
	kv.Proposal
	until  time.Duration // when its client's timeout expires
	packed int           // number of commands that are in a batch

	followed bool // by Stages
}

// batch is the content of one entry.
type batch struct {
	first    uint64 // number of the first command
	commands [][]byte
	bytes    int64            // of the commands
	requests []Request        // requests[i] waits for commands[i]
	change   *kv.MemberChange // of the one command; otherwise nil
	until    time.Duration
	rest     []waitingProposal // the rest of the queue after this batch
	followed kv.ReplyTo        // of a write that Stages follow; nil if the batch holds none
}

func (p *proposals) add(m Propose, now time.Duration) {
	w := waitingProposal{Proposal: m.Proposal, followed: m.Followed != 0}
	if w.Timeout <= 0 || w.Timeout > limits.RequestTimeout {
		w.Timeout = limits.RequestTimeout
	}
	w.until = now + w.Timeout
	if p.bytes += kv.CommandBytes(w.Commands); m.Own {
		p.waiting = slices.Insert(p.waiting, 0, w)
	} else {
		p.waiting = append(p.waiting, w)
	}
}

// pack fills a batch with waiting commands in their order. They stay in the queue until take: raft may still refuse the batch.
func (p *proposals) pack(most limits.Tunable) batch {
	clear(p.commands) // of the previous batch
	b := batch{first: p.next, commands: p.commands[:0]}
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
			// if another batch is full before its first command, the stage of waiting includes one more wait
			b.followed = w.ReplyTo
		}
		for j := w.packed; j < len(w.Commands); j++ {
			command := &w.Commands[j]
			size := int64(len(command.Bytes))
			full := len(b.commands) == most.BatchCommands || b.bytes+size > int64(most.BatchBytes)
			if (full || command.Change != nil || b.change != nil) && len(b.commands) > 0 {
				if full {
					most.Reach("batch")
				}
				b.rest = append([]waitingProposal{}, p.waiting[i:]...)
				b.rest[0].packed = j
				return b
			}
			b.change = command.Change
			b.bytes += size
			b.commands = append(b.commands, command.Bytes)
			b.requests = append(b.requests, Request{ReplyTo: w.ReplyTo, Number: w.Requests[j]})
		}
	}
	return b
}

// follow lets Stages follow a write in a batch that is proposed or forwarded.
func (b *batch) follow(stages *Stages, leads bool) {
	if b.followed == nil {
		return
	}
	for i := range b.rest {
		b.rest[i].followed = false
	}
	stages.propose(b.first, leads, b.followed)
}

// take removes the commands of a batch that raft or the forwards have got: their memory is no longer referenced.
func (p *proposals) take(b batch) {
	p.next += uint64(len(b.commands))
	p.bytes -= b.bytes
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

// takeExpired removes the commands whose clients' timeouts have expired.
func (p *proposals) takeExpired(now time.Duration) (expired []waitingProposal) {
	p.waiting = slices.DeleteFunc(p.waiting, func(w waitingProposal) bool {
		if now >= w.until {
			expired = append(expired, w)
			p.bytes -= kv.CommandBytes(w.Commands[w.packed:])
		}
		return now >= w.until
	})
	return expired
}

// refuseCommands takes commands out of a proposal and refuses them, if the cluster lacks their feature level or the space for them. A
// member of an earlier version would stop on applying such a command, and a full disk on writing it. Commands that the state refuses
// because of a raised alarm need not be in the log.
func (c *Consensus) refuseCommands(p *kv.Proposal) {
	level, why := c.spaces.cluster(&c.core)
	view := c.Status.View()
	kept := 0
	for i := range p.Commands {
		command := &p.Commands[i]
		err := index.CheckLevel(command, c.Status.Level())
		if err == nil {
			if full := spaceError(command.Grows, level, why); full != nil {
				c.proposals.refuseForSpace(p.ReplyTo, p.Requests[i], command, full)
				continue
			}
			err = view.Refuses(command)
		}
		if err != nil {
			kv.Refuse(p.ReplyTo, p.Requests[i:i+1], kv.CommandDone, err)
			continue
		}
		p.Commands[kept], p.Requests[kept] = *command, p.Requests[i]
		kept++
	}
	p.Commands, p.Requests = p.Commands[:kept], p.Requests[:kept]
}

// refuseFull answers the requests that wait for a leader whose log accepts nothing.
func (p *proposals) refuseFull(why string) {
	for _, w := range p.takeExpired(forever) {
		for i := w.packed; i < len(w.Requests); i++ {
			p.refuseForSpace(w.ReplyTo, w.Requests[i], &w.Commands[i], spaceError(true, space.None, why))
		}
	}
}

// refuseForSpace answers a write that the cluster has no space for. An earlier copy of a session's write may have been applied: the
// applier knows.
func (p *proposals) refuseForSpace(to kv.ReplyTo, request uint64, command *kv.Command, why *kv.Error) {
	if !command.Named {
		kv.Refuse(to, []uint64{request}, kv.CommandDone, why)
		return
	}
	p.refused.Requests = append(p.refused.Requests, Request{ReplyTo: to, Number: request})
	// after release, the sender reuses the bytes
	p.refused.Commands = append(p.refused.Commands, bytes.Clone(command.Bytes))
	p.refused.Why = append(p.refused.Why, why)
}

// propose packs all waiting commands into as few entries as the limits allow. A leader proposes them, and a follower forwards them to its
// leader. Without a leader they wait.
func (c *Consensus) propose() {
	if c.suspension.active() || (len(c.proposals.waiting) == 0 && len(c.accepted.deferred) == 0) {
		return
	}
	if c.own.lag.farBehind(&c.core) {
		c.refuseWaiting()
		return
	}
	status := c.raft.BasicStatus()
	leads := status.RaftState == raft.StateLeader
	switch {
	case status.Lead == raft.None, status.GetTerm() != c.term: // the new term's Ready comes first
		return
	case leads && !c.Status.Disk().LogTakes(limits.LogKept):
		// otherwise a member with space can take over leadership
		if level, why := c.spaces.judge(&c.core); level != space.Left {
			c.proposals.refuseFull(why)
		}
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
		c.Applier.postQuiet(expect{Term: status.GetTerm(), First: b.first, Until: b.until, Requests: b.requests})
		c.forward(status.Lead, c.forwards.add(b.first, c.envelope(b.first, b.commands), c.now.Now))
		b.follow(&c.Status.Observer.Stages, false)
		c.proposals.take(b)
	}
	if len(c.proposals.waiting) > 0 {
		c.Limits.Reach("forwarded bytes")
	}
}

// proposeInTurn makes a leader alternate between batches of its own clients and accepted batches of followers, until none is left or
// raft's limit of uncommitted bytes is reached. If that limit is always reached, neither side may starve: the own batch may hold the
// command that ends NOSPACE. The lease clock comes after writes and may not starve either: if the limit left no space for it, it goes
// first.
func (c *Consensus) proposeInTurn() {
	if c.leases.clock.retryFirst {
		if c.proposeLeases(); c.leases.clock.retryFirst {
			return
		}
	}
	for accepted := true; accepted; {
		own, deferred := len(c.proposals.waiting) > 0, len(c.accepted.deferred) > 0
		switch {
		case own && (!deferred || !c.accepted.ownWasLast):
			accepted = c.proposeOwn()
			c.accepted.ownWasLast = accepted
		case deferred:
			accepted = c.proposeDeferred()
			c.accepted.ownWasLast = c.accepted.ownWasLast && !accepted
		default:
			return
		}
	}
	c.Limits.Reach("uncommitted bytes") // the batches wait, and so do the clients
}

// proposeOwn proposes a batch of this member's clients, and reports whether raft had space for it.
func (c *Consensus) proposeOwn() bool {
	b := c.proposals.pack(c.Limits)
	c.proposals.envelope = c.appendEnvelope(c.proposals.envelope[:0], b.first, c.clocks.wall(c.now), b.commands)
	envelope := c.proposals.envelope // raft copies it
	if cap(envelope) > 2*limits.BatchBytes {
		c.proposals.envelope = nil // made for one large command
	}
	if refused := c.membership.judgeChange(&c.core, b.change); refused != nil {
		kv.Refuse(b.requests[0].ReplyTo, []uint64{b.requests[0].Number}, kv.CommandDone, refused)
		c.proposals.take(b)
		return true
	}
	if err := c.proposeEnvelope(envelope, b.change); errors.Is(err, raft.ErrProposalDropped) {
		return false
	} else if err != nil {
		panic(fmt.Sprintf("raft refused a proposal of %d bytes: %v", len(envelope), err))
	}
	c.Applier.postQuiet(expect{Term: c.term, First: b.first, Until: b.until, Requests: b.requests})
	b.follow(&c.Status.Observer.Stages, true)
	c.proposals.take(b)
	c.orderIfLarge(int64(len(envelope)))
	return true
}

// proposeEnvelope proposes an envelope to raft; an envelope with a membership change goes in an entry of raft's type for it.
func (c *Consensus) proposeEnvelope(envelope []byte, change *kv.MemberChange) error {
	if change == nil {
		return c.raft.Propose(envelope)
	}
	entry := &raftpb.ConfChangeV2{Context: envelope, Transition: raftpb.ConfChangeTransitionAuto.Enum()}
	if next, err := c.membership.records.Change(change, 0); err == nil {
		if difference := configurationChange(c.membership.records.Configuration(), next.Configuration()); difference != nil {
			entry.Changes = difference.Changes
		}
	}
	// it will be refused, or changes no configuration; raft must not take it for an exchange's end
	if len(entry.Changes) == 0 {
		entry.Changes = []*raftpb.ConfChangeSingle{{Type: raftpb.ConfChangeUpdateNode.Enum(), NodeId: new(uint64)}}
	}
	c.drain() // c.last is raft's last entry then
	c.membership.changeAt = c.last + 1
	return c.raft.ProposeConfChange(entry)
}

// proposeLeases proposes revocations and checkpoints of leases. If raft has no space for them, they are retried before any other proposal.
func (c *Consensus) proposeLeases() {
	k, now := &c.leases.clock, c.leases.clock.time(c.now.Now)
	if !k.running {
		return
	}
	most := k.mayRevoke(now, c.own.unorderedBytes > 0 || k.retryFirst)
	k.retryFirst = false
	if most == 0 && len(k.checkpointQueue) == 0 {
		return
	}
	status := c.raft.BasicStatus()
	if status.RaftState != raft.StateLeader || status.GetTerm() != c.term || status.LeadTransferee != raft.None || !c.Status.Disk().LogTakes(limits.LogKept) {
		return
	}
	var commands [][]byte
	revoke := k.toRevoke(now, c.leaseTiming(), keysOf(c.Status.View()), most)
	for _, l := range revoke {
		commands = append(commands, index.AppendRevoke(nil, l.id, c.term, l.granted).Bytes)
	}
	checkpoints := k.takeCheckpoints(now)
	if len(checkpoints) > 0 {
		commands = append(commands, index.AppendCheckpoint(nil, checkpoints, c.term).Bytes)
	}
	if len(commands) == 0 {
		return
	}
	envelope := c.envelope(c.proposals.next, commands)
	if err := c.proposeEnvelope(envelope, nil); errors.Is(err, raft.ErrProposalDropped) {
		c.Limits.Reach("uncommitted bytes")
		k.revocable.add(revoke...)
		for _, one := range checkpoints {
			k.queueCheckpoint(k.leases[one.ID])
		}
		k.retryFirst = true
		return
	} else if err != nil {
		panic(fmt.Sprintf("raft refused revocations and checkpoints of leases, of %d bytes: %v", len(envelope), err))
	}
	c.proposals.next += uint64(len(commands))
	k.revocationsProposed(revoke)
	k.checkpointsProposed(checkpoints)
	c.orderIfLarge(int64(len(envelope)))
}

// envelope returns an entry's data: this member's commands, numbered from first.
func (c *Consensus) envelope(first uint64, commands [][]byte) []byte {
	return c.appendEnvelope(nil, first, c.clocks.wall(c.now), commands)
}

func (c *core) appendEnvelope(dst []byte, first uint64, wall int64, commands [][]byte) []byte {
	return index.AppendEnvelope(dst, index.Envelope{
		Level: c.Status.Level(), Member: c.Member, Incarnation: c.Incarnation, First: first, Wall: wall,
	}, commands)
}

// expireWaiting answers clients whose timeouts expire while their commands or reads wait for a leader. If there was no leader for as long
// as an election takes, it answers all other clients, too: this member may be cut off, and another member may serve them.
func (c *Consensus) expireWaiting() {
	now := c.now.Now
	if c.elections.leaderless >= c.electionTicks() {
		now = math.MaxInt64
	}
	for _, w := range c.proposals.takeExpired(now) {
		c.Status.Observer.Counters.WritesFailed.Add(counted(w.ReplyTo, len(w.Requests)-w.packed))
		kv.Refuse(w.ReplyTo, w.Requests[w.packed:], kv.CommandDone, c.unavailable("the write was not proposed and certainly did not happen"))
	}
	for _, r := range c.reads.takeExpired(now) {
		c.Status.Observer.Counters.ReadsFailed.Add(counted(r.ReplyTo, len(r.Requests)))
		kv.Refuse(r.ReplyTo, r.Requests, kv.ReadReady, c.unavailable("the read was not answered"))
	}
	for _, a := range c.leases.asks.takeExpired(now) {
		kv.Refuse(a.request.ReplyTo, []uint64{a.request.Number}, kv.LeaseTold, c.unavailable("the leader's lease clock has not answered"))
	}
}

// unavailable returns the error of a request that cannot make progress here.
func (c *Consensus) unavailable(what string) *kv.Error {
	if c.suspension.active() {
		return &kv.Error{Code: kv.Amnesia, Message: c.suspension.Reason + "; " + what}
	}
	return &kv.Error{Code: kv.Unavailable, Message: c.blockedReason() + "; " + what}
}

// blockedReason says why requests make no progress here.
func (c *Consensus) blockedReason() string {
	var unreachable []string
	for _, id := range c.membership.confState.GetVoters() {
		if id != c.Member && !c.connected[id] {
			unreachable = append(unreachable, c.Status.NameOf(id))
		}
	}
	sort.Strings(unreachable)
	why := "there is no leader"
	if founders := c.elections.founding.awaits(&c.core); founders != "" {
		why += ": " + founders
	}
	switch missing, leader := c.own.lag.missing(c.raft.BasicStatus().Applied), c.leader(); {
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

// refuseWaiting answers all waiting requests at once: other members can serve them sooner.
func (c *Consensus) refuseWaiting() {
	for _, w := range c.proposals.takeExpired(forever) {
		kv.Refuse(w.ReplyTo, w.Requests[w.packed:], kv.CommandDone, c.unavailable("the write was not proposed and certainly did not happen: ask another member"))
	}
	for _, r := range c.reads.waiting {
		kv.Refuse(r.ReplyTo, r.Requests, kv.ReadReady, c.unavailable("the read was not answered: ask another member"))
	}
	c.reads.waiting = nil
}

const forever = time.Duration(math.MaxInt64)
