package actor

import (
	"fmt"
	"slices"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
	"google.golang.org/protobuf/proto"

	"qkv/log"
	"qkv/log/limits"
)

type progress = tracker.Progress

// ready carries out what raft wants done. Local orders leave in raft's order.
func (c *Consensus) ready(rd raft.Ready) {
	if rd.SoftState != nil {
		c.soft = *rd.SoftState
	}
	if term := c.raft.BasicStatus().GetTerm(); term != c.term || rd.SoftState != nil {
		c.newTermOrLeader(term)
	}
	votes := slices.ContainsFunc(rd.Messages, func(m *raftpb.Message) bool { return m.GetType() == raftpb.MsgVote })
	for _, m := range rd.Messages {
		switch m.GetType() {
		case raftpb.MsgStorageAppend:
			if votes {
				m.Responses = append(m.Responses, ofType(rd.Messages, raftpb.MsgVote)...)
				votes = false
			}
			c.orderAppend(m)
		case raftpb.MsgStorageApply:
			c.orderApply(m)
		case raftpb.MsgVote: // rule 2: it leaves with the responses above
		case raftpb.MsgSnap:
			c.Snapshotter.Deposit(SendSnapshot{Peer: m.GetTo(), Message: m})
		default:
			c.send(m)
		}
	}
	if votes {
		panic(fmt.Sprintf("member %d asks for votes in term %d without anything to make durable", c.Member, c.term))
	}
	for _, rs := range rd.ReadStates {
		if asks, until, ok := c.reads.confirmed(rs.RequestCtx); ok {
			c.Applier.Pass(Confirmed{Index: rs.Index, Until: until, Asks: asks})
		}
	}
}

func ofType(messages []*raftpb.Message, t raftpb.MessageType) []*raftpb.Message {
	var found []*raftpb.Message
	for _, m := range messages {
		if m.GetType() == t {
			found = append(found, m)
		}
	}
	return found
}

// send gives a message to the peers' streams at once, before the own disk has synced, so that all disks work at the
// same time.
func (c *Consensus) send(m *raftpb.Message) {
	if c.muted && (m.GetType() == raftpb.MsgApp || m.GetType() == raftpb.MsgHeartbeat) {
		return
	}
	prompt := m.GetType() == raftpb.MsgApp && c.taken.awaits(m.GetTo(), m.GetCommit())
	sendRaftMessage(c.Peers, m, prompt)
}

// newTermOrLeader voids what was bound to the old term or leader.
func (c *Consensus) newTermOrLeader(term uint64) {
	if term != c.term {
		c.away.clear()
		c.taken.clear()
	}
	c.term = term
	c.muted = false
	c.reads.void()
	if c.soft.RaftState != raft.StateLeader {
		c.reads.dropHeld()
		c.Status.clearMatches()
	}
}

func (c *Consensus) orderAppend(m *raftpb.Message) {
	if c.rides(m) {
		return
	}
	bytes := int64(0)
	for _, e := range m.GetEntries() {
		bytes += int64(len(e.GetData()))
	}
	if s := m.GetSnapshot(); s != nil {
		c.ownSnap = nil // raft takes it
		c.last = s.GetMetadata().GetIndex()
		c.away.clear() // it does not say what it holds, and the applier says so to those who wait
	}
	if n := len(m.GetEntries()); n > 0 {
		c.last = m.GetEntries()[n-1].GetIndex()
		c.taken.placed(c.last)
		c.seeForwarded(m.GetEntries())
	}
	c.appends = append(c.appends, appendOrder{since: c.now.Now, bytes: bytes})
	c.lastWork, c.fenced = c.now.Now, false
	c.LogWriter.Pass(Append{Message: m})
}

// rides keeps an order back that only tells a new commit index, to which nobody waits for an answer: it rides with the
// next one, or with a fence. It would wake the log writer for nothing, twice for each write of a lone client.
func (c *Consensus) rides(m *raftpb.Message) bool {
	if m.Commit != nil {
		c.commit = m.GetCommit()
	}
	alone := len(m.GetEntries()) == 0 && m.GetSnapshot() == nil && len(m.GetResponses()) == 0
	turned := m.Term != nil && (m.GetTerm() != c.ordered.Term || m.GetVote() != c.ordered.Vote)
	if alone && !turned {
		c.riding = c.riding || m.Commit != nil
		return true
	}
	switch {
	case m.Term != nil:
		c.ordered = log.HardState{Term: m.GetTerm(), Vote: m.GetVote(), Commit: m.GetCommit()}
	case c.riding:
		c.ordered.Commit = c.commit
		hard := c.ordered
		m.Term, m.Vote, m.Commit = &hard.Term, &hard.Vote, &hard.Commit
	}
	c.riding = false
	return false
}

func (c *Consensus) orderApply(m *raftpb.Message) {
	entries := m.GetEntries()
	c.apply.handedTerm = entries[len(entries)-1].GetTerm()
	c.Applier.Pass(Apply{Message: m, FileBytes: c.apply.fileBytes})
	if c.soft.RaftState == raft.StateLeader && c.apply.handedTerm == c.term {
		for _, held := range c.reads.takeHeld() {
			c.step(held)
		}
	}
}

func (c *Consensus) appendBytes() int64 {
	n := int64(0)
	for _, a := range c.appends {
		n += a.bytes
	}
	return n
}

// forgivePause does not hold it against the disk that this process stood still, stopped or with its whole host.
func (c *Consensus) forgivePause() {
	still := c.now.Now - c.lastTick
	c.lastTick = c.now.Now
	if still < c.ElectionTimeout {
		return
	}
	for i := range c.appends {
		c.appends[i].since = min(c.appends[i].since+still, c.now.Now)
	}
}

// watchDisk gives leadership up when a write takes longer than two election timeouts, and ends the member when the
// disk does not answer at all.
func (c *Consensus) watchDisk() {
	if len(c.appends) == 0 {
		c.muted = false
		return
	}
	if c.appends[0].loading {
		return // a large snapshot is being loaded, which is no sign of the disk
	}
	stalled := c.now.Now - c.appends[0].since
	if stalled > limits.DiskStall {
		c.Fail(fmt.Errorf("%w: it has not finished a write for %v; what was acknowledged is safe, anything else is unknown", ErrDisk, stalled.Round(time.Millisecond)))
		return
	}
	if c.soft.RaftState == raft.StateLeader && stalled > 2*c.ElectionTimeout && !c.muted {
		if !c.transferLeadership(fmt.Sprintf("its disk has been writing for %v", stalled.Round(time.Millisecond))) {
			c.muted = true // CheckQuorum ends it now
		}
	}
}

// transferLeadership hands leadership to the most advanced active follower, if there is one.
func (c *Consensus) transferLeadership(why string) bool {
	if c.soft.RaftState != raft.StateLeader {
		return false
	}
	best, match := uint64(0), uint64(0)
	c.raft.WithProgress(func(id uint64, kind raft.ProgressType, p progress) {
		if id != c.Member && kind == raft.ProgressTypePeer && p.RecentActive && p.Match > match && c.connected[id] {
			best, match = id, p.Match
		}
	})
	if best == 0 {
		return false
	}
	if c.raft.BasicStatus().LeadTransferee != best {
		c.Logger.Info("handing leadership over", "to", c.NameOf(best), "because", why)
		c.raft.TransferLeader(best)
	}
	return true
}

// snapshotSaved offers the new snapshot to slow followers, and lets go of the log behind the older one.
func (c *Consensus) snapshotSaved(m SnapshotSaved) {
	if now, err := c.Window.Snapshot(); err == nil && now.GetMetadata().GetIndex() > m.Snapshot.GetMetadata().GetIndex() {
		return // one that a leader sent was installed meanwhile
	}
	c.Window.SetSnapshot(m.Snapshot)
	if m.KeepFrom == 0 {
		return
	}
	if term, err := c.Window.Term(m.KeepFrom); err == nil {
		c.Window.Release(m.KeepFrom, term)
		c.LogWriter.Deposit(Release{UpTo: m.KeepFrom})
	}
}

// snapshotReceived hands a complete snapshot to raft (rule 10).
func (c *Consensus) snapshotReceived(m SnapshotReceived) {
	meta := m.Message.GetSnapshot().GetMetadata()
	if c.gone != "" {
		c.Snapshotter.Deposit(Discard{Index: meta.GetIndex(), Term: meta.GetTerm()})
		return
	}
	c.ownSnap = m.Message.GetSnapshot()
	c.step(m.Message)
	c.drain()
	if c.ownSnap != nil { // raft had no use for it
		c.ownSnap = nil
		c.Snapshotter.Deposit(Discard{Index: meta.GetIndex(), Term: meta.GetTerm()})
	}
}

// installed follows the log writer's reset: the log begins behind the snapshot now.
func (c *Consensus) installed(m log.Marker) {
	c.Window.Reset(m)
	c.confState = m.ConfState
	c.Window.SetSnapshot(snapshotAt(m.Index, m.Term, m.ConfState))
	c.Snapshotter.Deposit(Installed{Index: m.Index, Term: m.Term})
}

// confChangeOf reads a membership entry; an empty one is a refused change.
func confChangeOf(e *raftpb.Entry) (raftpb.ConfChangeI, error) {
	if e.GetType() == raftpb.EntryConfChange {
		var change raftpb.ConfChange
		if err := proto.Unmarshal(e.GetData(), &change); err != nil {
			return nil, err
		}
		return &change, nil
	}
	var change raftpb.ConfChangeV2
	if err := proto.Unmarshal(e.GetData(), &change); err != nil {
		return nil, err
	}
	return &change, nil
}
