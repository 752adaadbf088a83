package actor

import (
	"fmt"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"qkv/index"
	"qkv/internal/limits"
	"qkv/log"
	"qkv/net/wire/peerframe"
)

// TickInterval is raft's clock: 10 ms. An election timeout then has many steps, and split votes are rare.
const TickInterval = 10 * time.Millisecond

const expireInterval = time.Second // between two looks for expired requests: the longest delay of their answers

// ConsensusConfig is the configuration and the recovered state of consensus.
type ConsensusConfig struct {
	CoreConfig
	ConsensusMailboxes
	HardState log.HardState
	Applied   uint64 // index of the snapshot from which the state was loaded
	ConfState *raftpb.ConfState
	Snapshot  *raftpb.Snapshot // the newest published one; nil before the first
	Members   index.Members
	Suspend   func(Suspension) error // makes a change of the suspension durable
	Suspended Suspension             // as written by Suspend in an earlier run
	Removed   func() error           // makes the removal of this member durable
}

// ConsensusMailboxes are consensus's own mailbox, and the actors and peers to which it sends.
type ConsensusMailboxes struct {
	Inbox       *Mailbox[ConsensusMessage]
	LogWriter   *Mailbox[LogWriterMessage]
	LogReader   *Mailbox[ReadLog]
	Applier     *Mailbox[ApplierMessage]
	Snapshotter *Mailbox[SnapshotterMessage]
	Peers       Peers
}

// Consensus agrees with the other members on the order of entries. It owns raft's RawNode and the window of recent entries. The package
// comment has its parts and its rules. Invariant: a client's command is in at most one proposal, and the proposal is valid in one term
// only.
type Consensus struct {
	core
	ConsensusMailboxes

	elections elections

	// Clients.
	proposals proposals
	forwards  forwards
	accepted  acceptedBatches
	reads     reads
	leases    leases

	own       ownLog
	transfers snapshotTransfers

	// The machines.
	spaces spaces
	clocks clocks
}

// ownLog is what consensus knows of this member's own log and its disk.
type ownLog struct {
	hardStates     hardStates
	unorderedBytes int64 // bytes of the entries that raft got since the last Ready
	disk           diskWatch
	lag            replicationLag
	retention      logRetention
}

// NewConsensus builds the actor and raft's state from the recovered data.
func NewConsensus(c ConsensusConfig) (*Consensus, error) {
	c.HardState.Commit = max(c.Applied, min(c.HardState.Commit, lastIndex(c.Window))) // raft panics otherwise
	c.Window.SetInitial(c.HardState, c.ConfState)
	if c.Snapshot != nil {
		c.Window.SetSnapshot(c.Snapshot)
	}
	a := &Consensus{
		core: core{
			CoreConfig: c.CoreConfig,
			term:       c.HardState.Term,
			last:       lastIndex(c.Window),
			connected:  map[uint64]bool{},
			membership: newMembership(c.Members, c.ConfState, c.Removed),
			suspension: newSuspension(c.Suspended, c.Suspend),
		},
		ConsensusMailboxes: c.ConsensusMailboxes,
		transfers:          snapshotTransfers{sending: map[uint64]bool{}, pace: pace{least: c.Limits.CatchUpLeast}},
		spaces:             spaces{ofPeer: map[uint64]peerframe.DiskSpace{}, capacities: map[uint64]peerframe.DiskSpace{}},
		clocks:             newClocks(),
		own: ownLog{
			hardStates: hardStates{ordered: c.HardState, commit: c.HardState.Commit, fenced: true},
			disk:       diskWatch{groupBytes: c.Limits.GroupBytes},
		},
		elections: elections{
			failover:  failover{startTerm: c.HardState.Term},
			founding:  newFounding(&c),
			leaders:   leaderWatch{grace: 10 * c.ElectionTimeout},
			positions: leaderPositions{durable: lastIndex(c.Window), reported: map[uint64]leaderPosition{}},
		},
	}
	a.proposals.next = 1
	a.accepted.reset()
	a.reads.next = c.Incarnation
	a.leases.asks.next = c.Incarnation
	n, err := raft.NewRawNode(&raft.Config{
		ID:                        c.Member,
		ElectionTick:              c.electionTicks(),
		HeartbeatTick:             c.heartbeatTicks(),
		Storage:                   c.Window,
		Applied:                   c.Applied,
		AsyncStorageWrites:        true,
		MaxSizePerMsg:             c.Limits.MessageEntriesBytes,
		MaxCommittedSizePerReady:  c.Limits.ApplyingBytes,
		MaxUncommittedEntriesSize: c.Limits.UncommittedBytes,
		MaxInflightMsgs:           c.Limits.InflightMessages,
		MaxInflightBytes:          c.Limits.InflightBytes,
		CheckQuorum:               true,
		PreVote:                   true,
		StepDownOnRemoval:         true,
		DisableProposalForwarding: true,
		Logger:                    raftLogger{c.Logger},
	})
	if err != nil {
		return nil, fmt.Errorf("build raft from the recovered log: %w", err)
	}
	a.raft = n
	a.bind()
	a.Peers.SetMembers(a.membership.records)
	a.elections.campaignAlone(&a.core)
	a.publish()
	return a, nil
}

func lastIndex(w *log.Window) uint64 {
	last, err := w.LastIndex()
	if err != nil {
		panic(fmt.Sprintf("the window has no last index: %v", err))
	}
	return last
}

// Handle implements Handler. A turn takes all waiting messages. Then it proposes and begins reads, and carries out one Ready of raft after
// the other until there is none. A Ready may name a new leader or free space in raft, so each is followed by proposals and reads.
func (c *Consensus) Handle(t Time, batch []ConsensusMessage) bool {
	if c.failed {
		return false
	}
	// A stop of this process, alone or with its whole host, shows as a gap between two turns, which ticks otherwise prevent. It is excluded
	// from these times before the turn's messages, which may have waited during the stop.
	if stop := t.Now - c.now.Now; stop >= c.ElectionTimeout {
		c.leases.clock.stopped += stop
		c.own.disk.excludeStop(stop, t.Now)
		c.own.lag.excludeStop(t.Now)
		c.elections.asked = nil
		clear(c.membership.unlinked)
	}
	c.now = t
	ticks := 0
	for _, m := range batch {
		if _, ok := m.(Tick); ok {
			ticks++
			continue
		}
		c.handle(m)
	}
	if ticks > 0 {
		c.tick(min(ticks, c.ticksMost()))
	}
	c.answerForwards()
	for again := true; again; again = c.handleReady() {
		c.propose()
		c.requestReads()
		c.proposeLeases()
	}
	c.sendLeaseTimes()
	for _, order := range c.Window.TakeWanted(func(first uint64, bytes int64) bool { return c.transfers.pace.mayRead(&c.core, first, bytes) }) {
		c.own.disk.reads.ordered(c.now.Now)
		c.LogReader.MustPost(ReadLog{Order: order})
	}
	c.publish()
	if len(c.proposals.refused.Requests) > 0 {
		c.Applier.postAndYield(c.proposals.refused)
		c.proposals.refused = refusedWrites{}
	}
	c.Inbox.setBacklog(c.proposals.bytes)
	return false
}

// ticksMost is the most ticks that count of one turn: a pause must not look like an election timeout. A leader counts an interval of
// heartbeats. Otherwise a leader with long turns would send one heartbeat in several turns, and its followers would suspect it.
func (c *core) ticksMost() int {
	if c.soft.RaftState == raft.StateLeader {
		return max(c.heartbeatTicks(), 2)
	}
	return 2
}

func (c *Consensus) handle(m ConsensusMessage) {
	switch m := m.(type) {
	case Propose:
		if c.refuseCommands(&m.Proposal); len(m.Proposal.Commands) > 0 {
			c.proposals.add(m, c.now.Now)
		} else if m.Followed != 0 {
			c.Status.Observer.Stages.drop()
		}
	case ReadIndex:
		c.reads.add(m, c.now.Now)
	case AskLeases:
		c.leases.asks.add(m, c.now.Now)
	case leasesChanged:
		c.leases.changed(&c.core, m.Changes)
	case Received:
		c.receive(m)
	case appended:
		c.appended(m)
	case logRead:
		c.logRead(m)
	case AskLog:
		m.To.LogTold(c.Window.Ask(m.After+1, min(m.UpTo, c.last)+1, m.Bytes))
	case restoring:
		c.own.disk.restoring()
	case membersChanged:
		if c.membership.changed(&c.core, m) {
			c.bind()
			c.setMembers()
		}
	case applied:
		c.applied(m)
	case Connected:
		c.peerConnected(m)
	case Disconnected:
		delete(c.connected, m.Peer)
		delete(c.spaces.ofPeer, m.Peer)
		c.raft.ReportUnreachable(m.Peer)
		c.elections.failover.disconnected(m.Peer)
	case PeerDied:
		c.elections.failover.peerDied(&c.core, m.Peer)
	case Refused:
		if m.Refusal.Removed {
			c.membership.refusedAsRemoved(&c.core, m.Peer, m.Refusal)
		} else {
			c.sendAll(c.suspension.refused(&c.core, m.Peer, m.Refusal))
		}
	case Differs:
		c.suspension.differs(&c.core, m.Reason)
	case Readmit:
		c.suspension.lift(&c.core, "an operator says so")
	case Transfer:
		// The remaining times of leases go first: a transfer waits until the next leader has these entries, and no renewal is answered
		// behind them with less than a full checkpoint. During a transfer raft takes no proposals.
		if c.raft.BasicStatus().LeadTransferee == raft.None {
			c.leases.clock.queueCheckpoints(c.leases.clock.time(c.now.Now))
			for range leaseCheckpointsInflight / limits.LeaseCheckpoints {
				c.proposeLeases()
			}
		}
		c.transferLeadership("it was asked to", func(id uint64, p tracker.Progress) bool { return p.RecentActive && (m.To == 0 || m.To == id) })
	case snapshotSaved:
		c.snapshotSaved(m)
	case logCovered:
		c.own.retention.cover(m.UpTo)
		c.release()
	case snapshotReceived:
		c.snapshotReceived(m)
	case snapshotSent:
		status, count := raft.SnapshotFailure, &c.Status.Observer.Counters.SendsFailed
		if m.Installed {
			status, count = raft.SnapshotFinish, &c.Status.Observer.Counters.SendsDone
		}
		count.Add(1)
		delete(c.transfers.sending, m.Peer)
		c.raft.ReportSnapshot(m.Peer, status)
	default:
		panic(fmt.Sprintf("consensus takes no %T", m))
	}
}

func (c *Consensus) peerConnected(m Connected) {
	c.connected[m.Peer] = true
	c.spaces.reportedAt = c.now.Now - limits.SpaceCheck
	if m.Peer == c.raft.BasicStatus().Lead {
		c.forwards.tries = 0
		c.forwardAgain() // messages that the previous connection has lost
	}
	c.Status.refusal(m.Peer, nil)
	c.suspension.linked(m.Peer)
	c.membership.linked(m.Peer)
	c.sendAll(c.suspension.accusations(&c.core))
	c.elections.founding.met(m.Peer, m.Last)
}

// tick advances raft's clock, and runs every periodic check. Each check uses the results of the checks before it:
//
//  1. raft's clock and the leader's silence. Here an election begins, or a leader loses its quorum; all later checks ask which member leads.
//  2. The lag, and the own disk. A stalled disk may hand leadership over.
//  3. The rate for lagging members, and the reports to the others.
//  4. Clients. Expired requests are answered before the others are sent again.
//  5. The fence of an idle log.
//  6. A leader's work for its followers, on what all of this has changed.
func (c *Consensus) tick(n int) {
	last := time.Duration(c.Status.ticked.Swap(int64(c.now.Now)))
	if c.soft.RaftState == raft.StateLeader && c.now.Now-last > 2*time.Duration(c.heartbeatTicks())*TickInterval {
		c.Status.Observer.Counters.LateBeats.Add(1)
	}
	if !c.suspension.active() {
		c.elections.failover.leaveElection(&c.core, n)
		c.Window.ScanKinds(func() { // an election begins here
			for range c.elections.ticks(n, c.raft.BasicStatus().Lead, c.own.disk.busy(c.now.Now), c.ElectionTimeout, c.Status.Waits() != "") {
				c.raft.Tick()
			}
		})
	}
	c.Status.Observer.Stages.dropOverdue(c.now.Now)
	if order := c.elections.failover.orderSuccessor(&c.core); order != nil {
		c.send(order)
	}
	c.silence += n
	c.elections.founding.publishWait(&c.core)
	late, suspicion := c.elections.failover.tick(&c.core, n, c.last <= foundingIndex || len(c.elections.founding.unmet) == 0)
	if c.sendAll(suspicion); late != raft.None {
		c.Peers.CheckAlive(late)
	}
	c.elections.count(n, c.leader())
	c.own.lag.watch(&c.core)
	c.own.disk.watch(&c.core)
	c.transfers.pace.allow(&c.core)
	c.sendSpace()
	c.elections.positions.publish(c.Status)
	c.expireWaiting()
	if c.now.Now-c.clocks.lastExpire >= expireInterval {
		c.clocks.lastExpire = c.now.Now
		c.Window.DropUnused()
		c.Applier.MustPost(expire{Why: c.blockedReason()})
		c.sendAll(c.suspension.accusations(&c.core))
	}
	c.Status.Observer.Counters.ReadsSlow.Add(uint64(c.reads.retry(c.now.Now, c.ElectionTimeout)))
	c.Status.Observer.Counters.Renewals.Add(c.leases.clock.renewals)
	c.leases.clock.renewals = 0
	c.sendAll(c.leases.sendAsks(&c.core))
	c.leases.tick(&c.core, &c.reads)
	switch {
	case c.forwards.due(c.now.Now, c.ElectionTimeout):
		c.forwardAgain()
	case c.forwards.probeDue(c.now.Now, c.HeartbeatInterval) && c.mayForward():
		c.forward(c.raft.BasicStatus().Lead, c.forwards.probe(c.now.Now))
	}
	if c.own.disk.idle() {
		if commit, due := c.own.hardStates.fence(c.now.Now); due {
			c.LogWriter.MustPost(fence{Commit: commit})
		}
	}
	if c.soft.RaftState == raft.StateLeader {
		c.Status.publishMatches(c.raft)
		if c.spaces.relieveFullFollowers(&c.core) {
			c.Applier.MustPost(SnapshotWanted{Saves: 1})
		}
		c.release()
		c.membership.nudgeExchange(&c.core)
		c.tendMembers()
		c.partFromRemoved()
	}
}

// receive hands a peer's message to raft, unless the message must wait or would do harm.
func (c *Consensus) receive(r Received) {
	if m, ok := r.Message.(peerframe.Accused); ok {
		c.suspension.receiveAccusation(&c.core, r.From, m.By)
		return
	}
	if c.suspension.active() {
		c.sendAll(c.suspension.receive(&c.core, r, c.beyondLog))
		return
	}
	if c.membership.records.Removed(r.From) {
		return // sent before its connection ended
	}
	c.elections.failover.recordPeerMessage(&c.core, r.From)
	if c.elections.founding.premature(&c.core, r.Message) || !c.elections.believes(&c.core, r.From, r.Message) || !c.elections.founding.agrees(&c.core, r.From, r.Message) {
		return
	}
	switch m := r.Message.(type) {
	case peerframe.SnapshotOffer:
		if !c.Snapshotter.Offer(FromPeer{From: r.From, Message: m}) {
			c.Limits.Reach("snapshot frames") // the sender offers again
		}
	case peerframe.Forward:
		c.accepted.receive(&c.core, &c.clocks, r.From, m)
	case peerframe.Accepted:
		c.forwardsAccepted(r.From, m)
	case peerframe.Committed:
		c.sendAll(c.adoptCommit(r.From, m))
	case peerframe.LeaseAsks:
		c.leases.takeAsks(&c.core, r.From, m.Asks)
	case peerframe.LeaseTimes:
		c.receiveLeaseTimes(m)
	case peerframe.DiskSpace:
		c.receiveSpace(r.From, m)
	case peerframe.Suspects:
		c.elections.failover.recordSuspicion(&c.core, r.From, m)
	case peerframe.Raft:
		c.membership.lastMessage[r.From] = c.now.Now
		if !c.absurd(m.GetTerm()) && m.GetTerm() >= c.term {
			c.elections.positions.record(r.From, m)
		}
		if r.From == c.soft.Lead && isLeaderMessage(m.GetType()) {
			c.elections.failover.recordLeaderMessage(&c.core, m.GetType())
			c.silence = 0
		}
		switch m.GetType() {
		case raftpb.MsgHeartbeat:
			if c.beyondLog(m.Message) {
				c.sendAll(c.suspension.judgeCommitBeyondLog(&c.core, r.From, m.GetCommit(), m.GetTerm()))
				return
			}
		case raftpb.MsgTimeoutNow:
			c.Window.ScanKinds(func() { c.step(m.Message) }) // and an election here
			return
		case raftpb.MsgVoteResp:
			if status := c.raft.BasicStatus(); !m.GetReject() && (status.RaftState != raft.StateCandidate || status.GetTerm() != m.GetTerm()) {
				c.elections.late(m.GetTerm(), c.now.Now)
			}
		case raftpb.MsgReadIndex:
			if c.soft.RaftState == raft.StateLeader && c.applyingTerm != c.term {
				c.reads.deferRead(m.Message)
				return
			}
		case raftpb.MsgApp:
			if !c.decodable(r.From, m.GetEntries()) {
				return
			}
			c.own.lag.recordCommit(m.GetCommit())
			if !c.spaces.acceptsEntries(&c.core, c.own.disk.idle(), m.GetEntries()) {
				return // the disk is full; the leader sends again
			}
			if c.own.disk.bytes() > int64(c.Limits.UncommittedBytes) {
				c.Limits.Reach("append bytes")
				return // the disk is too slow; the leader sends again
			}
		}
		c.step(m.Message)
		c.orderIfLarge(entryBytes(m.GetEntries()))
	}
}

// receiveSpace notes the space on a peer's disk and the time of its clock.
func (c *Consensus) receiveSpace(peer uint64, m peerframe.DiskSpace) {
	if c.clocks.record(peer, m.Wall, c.now) {
		c.clocks.judge(&c.core) // this member's own report at its start already uses their time
	}
	c.spaces.record(peer, m)
	if c.BacksUp && m.Backup > 0 && peer == c.soft.Lead {
		c.Status.BackedUp(m.Backup)
	}
	if c.soft.RaftState == raft.StateLeader {
		c.sendSpace() // before the next write is accepted
	}
}

// sendSpace sends the report of the own space to the peers when it is due.
func (c *Consensus) sendSpace() {
	report, due := c.spaces.report(&c.core)
	if !due {
		return
	}
	c.clocks.judge(&c.core)
	report.Wall = c.now.Wall
	for _, m := range c.membership.records.All() {
		if c.connected[m.ID] {
			c.Peers.Send(m.ID, report, true)
		}
	}
}

func (c *Consensus) sendAll(messages []toPeer) {
	for _, one := range messages {
		c.Peers.Send(one.to, one.message, false)
	}
}

// beyondLog reports whether a leader counts entries as acknowledged by this member that it does not have. An append stepped just before
// the heartbeat must be handed to the log writer first.
func (c *Consensus) beyondLog(m *raftpb.Message) bool {
	if m.GetCommit() <= c.own.hardStates.commit || m.GetTerm() < c.term || c.absurd(m.GetTerm()) {
		return false // entries known to be committed are never replaced
	}
	c.drain()
	return m.GetCommit() > c.last && m.GetTerm() >= c.term
}

// orderIfLarge counts entries that raft got, and has them ordered before the order becomes too large: the disk acknowledges an order as a
// whole.
func (c *Consensus) orderIfLarge(bytes int64) {
	if c.own.unorderedBytes += bytes; c.own.unorderedBytes >= c.Limits.OrderBytes {
		c.Limits.Reach("order bytes")
		c.drain()
	}
}

// handleReady carries out raft's next Ready, and reports whether there was one. raft also reports a Ready while committed entries are still
// being read from the disk. It is then empty, and does not count.
func (c *Consensus) handleReady() bool {
	if !c.raft.HasReady() {
		return false
	}
	rd := c.raft.Ready()
	if rd.SoftState == nil && len(rd.Messages) == 0 && len(rd.ReadStates) == 0 {
		return false
	}
	c.carryOut(rd)
	return true
}

// drain carries out every Ready that raft has.
func (c *Consensus) drain() {
	for c.handleReady() {
	}
}

// appended makes entries visible to raft's storage, then reports them to raft.
func (c *Consensus) appended(m appended) {
	c.elections.positions.synced(m)
	if m.Marker != nil {
		c.installed(*m.Marker)
	}
	if len(m.Entries) > 0 {
		c.Window.Append(m.Entries, m.Positions)
	}
	if m.Segments != nil {
		c.Window.Publish(m.Segments)
	}
	c.own.retention.fileBytes = m.FileBytes
	c.own.disk.reported(m.Orders, c.now.Now)
	for _, r := range m.Responses {
		c.step(r)
	}
	c.membership.durable = max(c.membership.durable, m.Commit)
	c.partFromRemoved()
}

// sendLeaseTimes sends the lease clock's answers of this turn, to other members and to this member's own clients.
func (c *Consensus) sendLeaseTimes() {
	for _, t := range c.leases.clock.unsent {
		if t.member == c.Member {
			c.receiveLeaseTimes(t.LeaseTimes)
		} else {
			c.Peers.Send(t.member, t.LeaseTimes, false)
		}
	}
	c.leases.clock.unsent = nil
}

// receiveLeaseTimes answers clients, at once or when the state has what they ask for.
func (c *Consensus) receiveLeaseTimes(m peerframe.LeaseTimes) {
	if ready := c.leases.answered(m); len(ready.Requests) > 0 {
		c.Applier.postAndYield(ready)
	}
}

// release deletes the log that no member needs any more.
func (c *Consensus) release() {
	if upTo, due := c.own.retention.release(&c.core, &c.spaces); due {
		c.LogWriter.MustPost(release{UpTo: upTo})
	}
}

// applied reports applied entries to raft, after their membership changes have taken effect (rule 6).
func (c *Consensus) applied(m applied) {
	if entries := m.Response.GetEntries(); len(entries) > 0 {
		c.membership.appliedTerm = entries[len(entries)-1].GetTerm()
	}
	c.step(m.Response)
	c.leases.startClock(&c.core)
	c.leases.answerAsks(&c.core)
	c.elections.campaignAlone(&c.core)
}
