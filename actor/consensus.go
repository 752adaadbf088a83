package actor

import (
	"fmt"
	"log/slog"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"qkv/index"
	"qkv/internal/limits"
	"qkv/log"
)

// TickInterval is raft's clock: 10 ms, so that an election timeout has many steps and split votes are rare.
const TickInterval = 10 * time.Millisecond

// ConsensusConfig is what consensus is built from.
type ConsensusConfig struct {
	Member            uint64
	Incarnation       uint64 // random, new with each start: replayed entries never answer new requests
	HeartbeatInterval time.Duration
	ElectionTimeout   time.Duration
	HardState         log.HardState
	Applied           uint64 // the snapshot's index that the state was loaded from
	ConfState         *raftpb.ConfState
	Snapshot          *raftpb.Snapshot // the newest published one; nil before the first
	Window            *log.Window
	Inbox             *Mailbox[ConsensusMessage]
	LogWriter         *Mailbox[LogWriterMessage]
	LogReader         *Mailbox[ReadLog]
	Applier           *Mailbox[ApplierMessage]
	Snapshotter       *Mailbox[SnapshotterMessage]
	Peers             Peers
	Status            *Status
	Members           index.Members
	Fail              func(error)            // ends the member
	Quarantine        func(Quarantine) error // makes durable whether this member takes part
	Quarantined       Quarantine             // what Quarantine wrote in an earlier life
	Removed           func() error           // makes durable that this member was removed
	Logger            *slog.Logger
	Limits            limits.Tunable
}

// Consensus agrees with the other members on the order of entries. It owns raft's RawNode and the window of recent
// entries; design rules are numbered in the package comment.
//
// Invariants:
//
//  1. RawNode.Ready is called after every batch, whatever is full or stalled.
//  2. A MsgVote leaves only as a response of the MsgStorageAppend that makes its term and the own vote durable.
//  3. Orders to the log writer and the applier are never dropped and never reordered.
//  4. ReadIndex is called only on a follower with a leader, or on a leader that has handed a committed entry of its
//     term to the applier; every attempt is void when (term, leader) changes.
//  5. Commands of a client are in at most one proposal, and that proposal is valid in one term only.
type Consensus struct {
	// Constant after construction.
	ConsensusConfig
	electionTicks int

	// Owned by the actor.
	raft       *raft.RawNode
	now        Time            // of the batch that is being handled
	soft       raft.SoftState  // the newest that a Ready told
	leaderless int             // ticks since there was a leader last
	silence    int             // ticks since the leader was heard last
	term       uint64          // the newest that a Ready told; forwards, accepted and reads belong to it
	last       uint64          // index of the newest entry that was handed to the log writer
	handedTerm uint64          // term of the newest entry that was handed to the applier
	fileBytes  int64           // the log's size on the disk
	covered    uint64          // up to here snapshots hold what the log does
	keptSince  time.Duration   // when none of that was kept for a follower last
	connected  map[uint64]bool // the peers that can be reached
	membership membership
	proposals  proposals
	noRoomFor  RefusedWrites // in this turn
	forwards   forwards
	accepted   accepted
	ownWasLast bool // of what this leader proposed: what waits here, and not what was accepted of followers
	reads      reads
	asks       leaseAsks
	clock      leaseClock
	disk       diskWatch
	elections  elections
	readLog    readWatch
	pace       pace
	sending    map[uint64]bool // the peers that a snapshot is on its way to
	saveWait   saveWait
	lag        lag
	spaces     spaces
	clocks     clocks
	hardStates hardStates
	quarantine quarantine
	leaders    leaderWatch
	failover   failover
	ends       leaderEnds
	unordered  int64             // bytes of entries that raft was handed since the last Ready
	lastExpire time.Duration     // when the applier was last told to look for clients that do not wait any longer
	received   *SnapshotReceived // handed to raft; nil as soon as raft takes it
	replayed   bool              // a single voter has campaigned after replay
	failed     bool              // the member ends

	refusedForwards uint64 // batches of followers that were not proposed
}

// NewConsensus builds the actor and raft's state from what was recovered.
func NewConsensus(c ConsensusConfig) (*Consensus, error) {
	c.HardState.Commit = max(c.Applied, min(c.HardState.Commit, lastIndex(c.Window))) // raft panics otherwise
	c.Window.SetInitial(c.HardState, c.ConfState)
	if c.Snapshot != nil {
		c.Window.SetSnapshot(c.Snapshot)
	}
	a := &Consensus{
		ConsensusConfig: c,
		electionTicks:   int(c.ElectionTimeout / TickInterval),
		term:            c.HardState.Term,
		last:            lastIndex(c.Window),
		membership:      newMembership(c.Members, c.ConfState),
		connected:       map[uint64]bool{},
		sending:         map[uint64]bool{},
		pace:            pace{least: c.Limits.CatchUpLeast},
		spaces:          spaces{rooms: map[uint64]Room{}, held: map[uint64]int64{}},
		clocks:          newClocks(),
		hardStates:      hardStates{ordered: c.HardState, commit: c.HardState.Commit, fenced: true},
		disk:            diskWatch{groupBytes: c.Limits.GroupBytes},
		quarantine:      newQuarantine(c.Quarantined, c.Quarantine),
		leaders:         leaderWatch{grace: 10 * c.ElectionTimeout},
	}
	a.ends = leaderEnds{durable: a.last, heard: map[uint64]leaderEnd{}}
	a.proposals.next = 1
	a.accepted.reset()
	a.reads.next = c.Incarnation
	a.asks.next = c.Incarnation
	n, err := raft.NewRawNode(&raft.Config{
		ID:                        c.Member,
		ElectionTick:              a.electionTicks,
		HeartbeatTick:             int(c.HeartbeatInterval / TickInterval),
		Storage:                   raftStorage{c.Window, a},
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
	a.Peers.SetMembers(a.membership.records)
	a.campaignAlone()
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

// Handle implements Handler.
func (c *Consensus) Handle(t Time, batch []ConsensusMessage) bool {
	if c.failed {
		return false
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
		c.tick(min(ticks, 2)) // a pause must not look like an election timeout
	}
	c.answerForwards()
	c.propose()
	c.requestReads()
	c.proposeLeases()
	for c.turn() {
		c.propose()
		c.requestReads()
		c.proposeLeases()
	}
	c.tellLeases()
	for _, order := range c.Window.TakeWanted(c.mayRead) {
		c.readLog.ordered(c.now.Now)
		c.LogReader.MustPost(ReadLog{Order: order})
	}
	c.publish()
	if len(c.noRoomFor.Requests) > 0 {
		c.Applier.PostAndYield(c.noRoomFor)
		c.noRoomFor = RefusedWrites{}
	}
	c.Inbox.Hold(c.proposals.bytes)
	return false
}

func (c *Consensus) handle(m ConsensusMessage) {
	switch m := m.(type) {
	case Propose:
		if c.refuse(&m.Proposal); len(m.Proposal.Commands) > 0 {
			c.proposals.add(m, c.now.Now)
		} else if m.Followed != 0 {
			c.Status.Stages.drop()
		}
	case ReadIndex:
		c.reads.add(m, c.now.Now)
	case AskLeases:
		c.asks.add(m, c.now.Now)
	case LeasesChanged:
		c.leasesChanged(m.Changes)
	case Received:
		c.receive(m)
	case Appended:
		c.appended(m)
	case LogRead:
		c.logRead(m)
	case Restoring:
		c.disk.restoring()
	case MembersChanged:
		c.membersChanged(m)
	case Applied:
		c.applied(m)
	case Connected:
		c.connected[m.Peer] = true
		c.spaces.toldAt = c.now.Now - limits.SpaceCheck
		if m.Peer == c.raft.BasicStatus().Lead {
			c.forwards.tries = 0
			c.forwardAgain() // what the connection before it has lost
		}
		c.linked(m.Peer)
	case Disconnected:
		delete(c.connected, m.Peer)
		delete(c.spaces.rooms, m.Peer)
		c.raft.ReportUnreachable(m.Peer)
	case PeerDied:
		c.peerDied(m.Peer)
	case Refused:
		c.refused(m.Peer, m.Refusal)
	case Differs:
		c.differs(m.Reason)
	case Unban:
		c.leaveQuarantine("an operator says so")
	case Transfer:
		c.transferLeadership("it was asked to", func(id uint64, p tracker.Progress) bool { return p.RecentActive && (m.To == 0 || m.To == id) })
	case SnapshotSaved:
		c.snapshotSaved(m)
	case LogCovered:
		c.covered = max(c.covered, m.UpTo)
		c.release()
	case SnapshotReceived:
		c.snapshotReceived(m)
	case SnapshotSent:
		status, count := raft.SnapshotFailure, &c.Status.Counters.SendsFailed
		if m.Installed {
			status, count = raft.SnapshotFinish, &c.Status.Counters.SendsDone
		}
		count.Add(1)
		delete(c.sending, m.Peer)
		c.raft.ReportSnapshot(m.Peer, status)
	default:
		panic(fmt.Sprintf("consensus takes no %T", m))
	}
}

// tick lets raft's clock go on, and looks at everything that has a time.
func (c *Consensus) tick(n int) {
	if !c.quarantine.active() {
		c.Window.ScanKinds(func() { // an election begins here
			for range c.electionTicksOf(n) {
				c.raft.Tick()
			}
		})
	}
	c.Status.Stages.lost(c.now.Now)
	c.silence += n
	c.watchLeader(n)
	if c.leaderless += n; c.leader() != raft.None {
		c.leaderless = 0
	}
	c.readLog.stood(c.disk.tick(c.now.Now, c.ElectionTimeout), c.now.Now) // a pause of this process is held against neither writes nor reads
	c.lag.tick(c.raft.BasicStatus().Applied, c.now.Now, c.ElectionTimeout)
	c.Status.lags.Store(c.soft.RaftState == raft.StateFollower && c.lag.catchesUp(c.raft.BasicStatus().Applied, c.now.Now, c.ElectionTimeout))
	c.watchDisk()
	c.sendMissing()
	c.tellSpace()
	c.ends.publish(c.Status)
	c.expire()
	c.Status.Counters.ReadsSlow.Add(uint64(c.reads.retry(c.now.Now, c.ElectionTimeout)))
	c.Status.Counters.Renewals.Add(c.clock.renewals)
	c.clock.renewals = 0
	c.tickLeases()
	switch {
	case c.forwards.due(c.now.Now, c.ElectionTimeout):
		c.forwardAgain()
	case c.forwards.probeDue(c.now.Now, c.HeartbeatInterval) && c.mayForward():
		c.forward(c.raft.BasicStatus().Lead, c.forwards.probe(c.now.Now))
	}
	if c.disk.idle() {
		if commit, due := c.hardStates.fence(c.now.Now); due {
			c.LogWriter.MustPost(Fence{Commit: commit})
		}
	}
	if c.soft.RaftState == raft.StateLeader {
		c.Status.publishMatches(c.raft)
		c.helpFull()
		c.release()
		c.nudgeExchange()
		c.tendLearners()
		c.partFromRemoved()
	}
}

// electionTicksOf returns how many of n ticks raft's clock goes on.
func (c *Consensus) electionTicksOf(n int) int {
	if c.soft.Lead != raft.None {
		return n
	}
	disk := time.Duration(0)
	if !c.disk.idle() {
		disk = c.now.Now - c.disk.begun()
	}
	return c.elections.ticks(n, disk, c.ElectionTimeout)
}

// leader is whom this member follows, or raft.None. Who has no vote never campaigns, and raft goes on to name the leader
// that it heard last: for a learner that one is none any more when it was silent for as long as the longest wait of a
// voter. Else one whose leader has been replaced by a member that it does not know would never take that one's connection.
func (c *Consensus) leader() uint64 {
	if c.silence >= 2*c.electionTicks && c.role(c.soft.RaftState) == roleLearner {
		return raft.None
	}
	return c.soft.Lead
}

func (c *Consensus) expire() {
	c.expireWaiting()
	if c.now.Now-c.lastExpire >= limits.ExpireInterval {
		c.lastExpire = c.now.Now
		c.Window.DropUnused()
		c.Applier.MustPost(Expire{Why: c.why()})
		c.tellAccusers()
	}
}

// receive hands a peer's message to raft, unless it must wait or would hurt.
func (c *Consensus) receive(r Received) {
	if m, ok := r.Message.(Accused); ok {
		alike := c.quarantine.note(accusation{by: m.By, of: r.From, at: c.now.Now}, c.ElectionTimeout, c.Member, c.membership.confState.GetVoters())
		if alike && c.last > foundingIndex {
			c.leaveQuarantine("a quorum is accused by " + c.Status.NameOf(m.By) + " alone")
		}
		return
	}
	if c.quarantine.active() {
		c.receiveHeld(r)
		return
	}
	if c.membership.records.Removed(r.From) {
		return // what it said before its connection ended
	}
	switch m := r.Message.(type) {
	case Forward:
		c.acceptForward(r.From, m)
	case Accepted:
		c.forwardsAccepted(r.From, m)
	case Committed:
		c.committed(r.From, m)
	case LeaseAsks:
		c.takeAsks(r.From, m.Asks)
	case LeasesTold:
		c.leasesTold(m)
	case Room:
		if c.clocks.heard(r.From, m.Wall, c.now) {
			c.judgeClocks() // what this member says of itself at its start is by their time already
		}
		c.spaces.rooms[r.From] = m
		c.spaces.held[r.From] = m.Holds
		if c.soft.RaftState == raft.StateLeader {
			c.tellSpace() // what comes next is refused already
		}
	case RaftMessage:
		c.membership.spoke[r.From] = c.now.Now
		if !c.absurd(m.GetTerm()) && m.GetTerm() >= c.term {
			c.ends.hear(r.From, m)
		}
		if r.From == c.soft.Lead && saidByLeader(m.GetType()) {
			c.heardLeader()
		}
		switch m.GetType() {
		case raftpb.MsgHeartbeat:
			if c.beyondLog(m.Message) {
				c.forgot(r.From, m.GetCommit())
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
			if c.soft.RaftState == raft.StateLeader && c.handedTerm != c.term {
				c.reads.postpone(m.Message)
				return
			}
		case raftpb.MsgApp:
			c.lag.heard(m.GetCommit())
			if !c.takes(m.GetEntries()) {
				return // the disk is full; the leader sends again
			}
			if c.disk.bytes() > int64(c.Limits.UncommittedBytes) {
				c.Limits.Reach("append bytes")
				return // the disk cannot follow; the leader sends again
			}
		}
		c.step(m.Message)
		c.handed(entryBytes(m.GetEntries()))
	}
}

// step hands raft a message. A term that no cluster comes to is a fault of its sender: raft would take it over for ever,
// and has none to go on to.
func (c *Consensus) step(m *raftpb.Message) {
	if c.absurd(m.GetTerm()) {
		c.Logger.Debug("a message of an absurd term is dropped", "type", m.GetType(), "from", c.Status.NameOf(m.GetFrom()), "term", m.GetTerm())
		return
	}
	// Step refuses what an earlier configuration or term left over; there is nothing to do about it.
	if err := c.raft.Step(m); err != nil {
		c.Logger.Debug("raft refused a message", "type", m.GetType(), "from", c.Status.NameOf(m.GetFrom()), "error", err)
	}
}

// absurd tells whether a term is so far ahead that no elections can have led there.
func (c *Consensus) absurd(term uint64) bool {
	return term > c.term && term-c.term > limits.TermsAhead
}

// beyondLog tells whether a leader believes that this member has acknowledged what it does not have. An append that
// was stepped just before the heartbeat must have been handed to the log writer first.
func (c *Consensus) beyondLog(m *raftpb.Message) bool {
	if m.GetCommit() <= c.hardStates.commit || m.GetTerm() < c.term || c.absurd(m.GetTerm()) {
		return false // what is known to be committed is never replaced
	}
	c.drain()
	return m.GetCommit() > c.last && m.GetTerm() >= c.term
}

// handed notes that raft got entries. It makes an order of them before they become too many: the disk acknowledges an
// order as a whole.
func (c *Consensus) handed(bytes int64) {
	if c.unordered += bytes; c.unordered >= c.Limits.OrderBytes {
		c.Limits.Reach("order bytes")
		c.drain()
	}
}

// turn carries out what raft wants done now, and tells whether there was anything: committed entries that are still read
// from the disk are not.
func (c *Consensus) turn() bool {
	if !c.raft.HasReady() {
		return false
	}
	rd := c.raft.Ready()
	if rd.SoftState == nil && len(rd.Messages) == 0 && len(rd.ReadStates) == 0 {
		return false
	}
	c.ready(rd)
	return true
}

// drain carries out all that raft wants done.
func (c *Consensus) drain() {
	for c.turn() {
	}
}

// appended makes entries visible to raft's storage, then lets raft know.
func (c *Consensus) appended(m Appended) {
	c.ends.synced(m)
	if m.Marker != nil {
		c.installed(*m.Marker)
	}
	if len(m.Entries) > 0 {
		c.Window.Append(m.Entries, m.Positions)
	}
	if m.Segments != nil {
		c.Window.Publish(m.Segments)
	}
	c.fileBytes = m.FileBytes
	c.disk.reported(m.Orders, c.now.Now)
	for _, r := range m.Responses {
		c.step(r)
	}
	c.membership.durable = max(c.membership.durable, m.Commit)
	c.partFromRemoved()
}

// applied lets raft know, after the changes of the membership among them have taken effect (rule 6).
func (c *Consensus) applied(m Applied) {
	if entries := m.Response.GetEntries(); len(entries) > 0 {
		c.membership.appliedTerm = entries[len(entries)-1].GetTerm()
	}
	c.step(m.Response)
	c.startClock()
	c.answerAsks()
	c.campaignAlone()
}

// campaignAlone makes a single voter a candidate at once, and again after replay: raft ignores it while a committed
// membership entry is not applied yet.
func (c *Consensus) campaignAlone() {
	voters := c.membership.confState.GetVoters()
	if c.replayed || len(voters) != 1 || voters[0] != c.Member || c.quarantine.active() {
		return
	}
	switch c.raft.BasicStatus().RaftState {
	case raft.StateLeader:
		c.replayed = true
		return
	case raft.StateFollower:
	default:
		return // on its way
	}
	c.Window.ScanKinds(func() {
		if err := c.raft.Campaign(); err != nil {
			c.Logger.Debug("campaign", "error", err)
		}
	})
}
