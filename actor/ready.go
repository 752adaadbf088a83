package actor

import (
	"fmt"
	"slices"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"qkv/index"
	"qkv/log"
	"qkv/net/wire/peerframe"
)

// carryOut carries out a Ready of raft: MsgStorageAppend goes to the log writer, MsgStorageApply to the applier, other messages to the
// peers. Local orders leave in raft's order.
func (c *Consensus) carryOut(rd raft.Ready) {
	c.own.unorderedBytes = 0
	if rd.SoftState != nil {
		if lead := rd.SoftState.Lead; lead != raft.None && lead != c.soft.Lead {
			c.Status.Observer.Counters.LeaderChanges.Add(1)
		}
		if c.soft, c.silence = *rd.SoftState, 0; c.soft.Lead != raft.None {
			c.elections.ended()
		}
	}
	if term := c.raft.BasicStatus().GetTerm(); term != c.term || rd.SoftState != nil {
		c.newTermOrLeader(term)
	}
	var votes []*raftpb.Message
	for _, m := range rd.Messages {
		if m.GetType() == raftpb.MsgVote {
			votes = append(votes, m)
		}
	}
	if len(votes) > 0 {
		c.elections.begun(c.term, c.now.Now)
		// the own vote establishes a founder
		if err := c.Admission.agree(c.Admission.Folders(), false, true); err != nil {
			c.failed = true
			c.Fail(fmt.Errorf("%w: it cannot keep with which founders this member votes: %w", ErrDisk, err))
		}
	}
	for _, m := range rd.Messages {
		switch m.GetType() {
		case raftpb.MsgStorageAppend:
			m.Responses, votes = append(m.Responses, votes...), nil
			c.orderAppend(m)
		case raftpb.MsgStorageApply:
			c.orderApply(m)
		case raftpb.MsgVote: // rule 2: it leaves with the responses above
		case raftpb.MsgSnap:
			c.transfers.sending[m.GetTo()] = true
			c.Snapshotter.MustPost(sendSnapshot{Peer: m.GetTo(), Message: m})
		default:
			c.send(m)
		}
	}
	if len(votes) > 0 {
		panic(fmt.Sprintf("member %d requests for votes in term %d without anything to make durable", c.Member, c.term))
	}
	for _, rs := range rd.ReadStates {
		if requests, until, ok := c.reads.confirmed(rs.RequestCtx); ok {
			c.Applier.postAndYield(readReady{Index: rs.Index, Until: until, Requests: requests})
		} else if c.leases.clock.confirm(rs.RequestCtx, rs.Index) {
			c.leases.answerAsks(&c.core)
		}
	}
}

// send gives a message to the peers' streams at once, before the own disk has synced: all disks then work at the same time.
func (c *Consensus) send(m *raftpb.Message) {
	if c.elections.founding.premature(&c.core, peerframe.Raft{Message: m}) {
		return
	}
	prompt := m.GetType() == raftpb.MsgApp && c.accepted.takeAwaited(m.GetTo(), m.GetCommit())
	sendRaftMessage(c.Peers, m, c.elections.positions.toSend(m), prompt)
}

// newTermOrLeader gives up everything that belonged to the old term or leader.
func (c *Consensus) newTermOrLeader(term uint64) {
	if term != c.term {
		c.forwards.reset()
		c.accepted.reset()
		c.membership.changeAt, c.membership.partAt = 0, 0
	}
	c.term = term
	c.reads.void()
	c.leases.asks.void()
	c.leases.clock.stop()
	c.own.lag.changed(c.raft.BasicStatus().GetCommit())
	if c.soft.RaftState != raft.StateLeader {
		clear(c.membership.level)
		clear(c.membership.unlinked)
		c.reads.deferred = nil
		c.Status.clearMatches()
	}
}

func (c *Consensus) orderAppend(m *raftpb.Message) {
	c.sendAll(c.denied(m.Responses))
	// of an append by adoptCommit
	m.Responses = slices.DeleteFunc(m.Responses, func(r *raftpb.Message) bool { return r.GetTo() == raft.None })
	if c.own.hardStates.absorb(m) {
		return
	}
	var state *index.State
	if s := m.GetSnapshot(); s != nil {
		// with the snapshot's own configuration
		m.Snapshot, state = c.transfers.received.Message.GetSnapshot(), c.transfers.received.State
		c.transfers.received = nil // raft takes it
		c.membership.restoring = true
		c.last = s.GetMetadata().GetIndex()
		c.forwards.reset() // the snapshot does not list the batches that it holds; the applier tells their clients
	}
	if n := len(m.GetEntries()); n > 0 {
		c.last = m.GetEntries()[n-1].GetIndex()
		c.accepted.recordEntry(c.last)
		c.dropForwardsInLog(m.GetEntries())
		for _, e := range m.GetEntries() {
			if e.GetType() != raftpb.EntryNormal {
				c.membership.changeAt = e.GetIndex()
			}
		}
	}
	c.Status.Observer.Stages.order(c.Member, c.Incarnation, m.GetEntries())
	c.own.disk.ordered(entryBytes(m.GetEntries()), c.last, c.now.Now)
	c.transfers.pace.written += entryBytes(m.GetEntries())
	c.own.hardStates.recordOrder(c.now.Now)
	c.LogWriter.postAndYield(appendOrder{Message: m, State: state})
}

// entryBytes is the length of entries' data.
func entryBytes(entries []*raftpb.Entry) int64 {
	n := int64(0)
	for _, e := range entries {
		n += int64(len(e.GetData()))
	}
	return n
}

func (c *Consensus) orderApply(m *raftpb.Message) {
	entries := m.GetEntries()
	c.applyingTerm = entries[len(entries)-1].GetTerm()
	c.Applier.postAndYield(apply{Message: m, FileBytes: c.own.retention.fileBytes})
	if c.soft.RaftState == raft.StateLeader && c.applyingTerm == c.term {
		for _, m := range c.reads.deferred {
			c.step(m)
		}
		c.reads.deferred = nil
	}
}

// snapshotSaved offers the new snapshot to slow followers. No other member needs the log behind the older snapshot.
func (c *Consensus) snapshotSaved(m snapshotSaved) {
	if now, err := c.Window.Snapshot(); err == nil && now.GetMetadata().GetIndex() > m.Snapshot.GetMetadata().GetIndex() {
		return // a leader's snapshot was installed meanwhile, and is newer
	}
	c.Window.SetSnapshot(m.Snapshot)
	c.own.retention.cover(m.KeepFrom)
	c.release()
}

// snapshotReceived hands a complete snapshot to raft (rule 10).
func (c *Consensus) snapshotReceived(m snapshotReceived) {
	meta := m.Message.GetSnapshot().GetMetadata()
	if c.suspension.active() {
		c.Snapshotter.MustPost(discard{Index: meta.GetIndex(), Term: meta.GetTerm()})
		return
	}
	c.transfers.received = &m
	message := c.inPresentTerm(m.Message)
	early := !listsMember(message.GetSnapshot(), c.Member) && c.membership.records.Get(c.Member) == nil && !c.membership.records.Removed(c.Member)
	if early { // raft rejects a snapshot whose configuration does not list this member
		confState := message.GetSnapshot().GetMetadata().GetConfState()
		confState.Learners = append(confState.Learners, c.Member)
	}
	c.step(message)
	c.drain()
	if c.transfers.received != nil { // raft did not take it
		c.transfers.received = nil
		c.Snapshotter.MustPost(discard{Index: meta.GetIndex(), Term: meta.GetTerm()})
		return
	}
	c.membership.early = early
}

// inPresentTerm returns a snapshot's message in the name of the present leader, if another term has begun since the offer: raft ignores
// messages of an earlier term. A snapshot holds only committed entries, so every later leader has them, whichever leader sent it.
func (c *core) inPresentTerm(m *raftpb.Message) *raftpb.Message {
	m = proto.CloneOf(m)
	if now := c.raft.BasicStatus(); now.Lead != raft.None && now.Lead != c.Member && now.GetTerm() > m.GetTerm() {
		m.From, m.Term = proto.Uint64(now.Lead), proto.Uint64(now.GetTerm())
	}
	return m
}

// installed handles the log writer's reset: the log now begins behind the snapshot.
func (c *Consensus) installed(m log.Marker) {
	c.Window.Reset(m)
	if err := ConfStateOf(c.membership.records.Configuration()).Equivalent(m.ConfState); err != nil {
		c.failed = true
		c.Fail(fmt.Errorf("the snapshot at index %d that the leader sent has other members than it said: %w", m.Index, err))
		return
	}
	c.Window.SetSnapshot(snapshotAt(m.Index, m.Term, m.ConfState))
	c.Snapshotter.MustPost(installed{Index: m.Index, Term: m.Term})
}
