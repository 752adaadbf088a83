package actor

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"qkv/log"
	"qkv/log/limits"
)

// TickInterval is raft's clock: 10 ms, so that an election timeout has many steps and split votes are rare.
const TickInterval = 10 * time.Millisecond

// ConsensusConfig is what consensus is built from.
type ConsensusConfig struct {
	Member, Cluster   uint64
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
	Applier           *Mailbox[ApplierMessage]
	Snapshotter       *Mailbox[SnapshotterMessage]
	Peers             Peers
	Status            *Status
	NameOf            func(member uint64) string
	Fail              func(error)            // ends the member
	Leave             func(why string) error // writes down that this member must not vote any more
	Gone              string                 // what Leave wrote in an earlier life
	Logger            *slog.Logger
	MessageEntryBytes uint64 // raft's MaxSizePerMsg; 0 is limits.MessageEntriesBytes
	ApplyingBytes     uint64 // raft's MaxCommittedSizePerReady; 0 is limits.ApplyingBytes
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
	raft      *raft.RawNode
	now       Time
	soft      raft.SoftState
	term      uint64
	commit    uint64
	last      uint64 // index of the newest entry that was handed to the log writer
	confState *raftpb.ConfState
	proposals proposals
	away      away
	taken     taken
	reads     reads
	appends   []appendOrder // handed to the log writer, not reported yet
	ordered   log.HardState // of the newest of them
	riding    bool          // a newer commit index waits for the next one
	apply     applyState
	connected map[uint64]bool
	gone      string        // why this member takes no part any more (amnesia); empty while it does
	muted     bool          // gives up leadership without a successor: appends and heartbeats are dropped
	lastWork  time.Duration // when the log writer last got something to write
	fenced    bool
	lastPrune time.Duration
	lastTick  time.Duration
	ownSnap   *raftpb.Snapshot // handed to raft, waiting to see whether it is taken
	replayed  bool             // a single voter has campaigned after replay
	failed    bool             // the log cannot be read: nothing is known any more
}

// appendOrder is an order that the log writer works on.
type appendOrder struct {
	since   time.Duration // when it was given, or when those before it were done
	bytes   int64
	loading bool // its snapshot is being loaded: the disk has done its part
}

// applyState is what consensus knows of the applier.
type applyState struct {
	handedTerm uint64 // term of the newest entry that was handed over
	fileBytes  int64  // the log's size on disk
}

// NewConsensus builds the actor and raft's state from what was recovered.
func NewConsensus(c ConsensusConfig) (a *Consensus, err error) {
	defer func() {
		if unreadable := logError(recover()); unreadable != nil {
			a, err = nil, unreadable
		}
	}()
	c.HardState.Commit = max(c.Applied, min(c.HardState.Commit, lastIndex(c.Window))) // raft panics otherwise
	c.Window.SetInitial(c.HardState, c.ConfState)
	if c.Snapshot != nil {
		c.Window.SetSnapshot(c.Snapshot)
	}
	a = &Consensus{
		ConsensusConfig: c,
		electionTicks:   int(c.ElectionTimeout / TickInterval),
		term:            c.HardState.Term,
		commit:          c.HardState.Commit,
		last:            lastIndex(c.Window),
		confState:       c.ConfState,
		connected:       map[uint64]bool{},
		ordered:         c.HardState,
		fenced:          true,
	}
	a.gone = c.Gone
	a.proposals.next = 1
	a.taken.clear()
	a.reads.next = c.Incarnation
	n, err := raft.NewRawNode(&raft.Config{
		ID:                        c.Member,
		ElectionTick:              a.electionTicks,
		HeartbeatTick:             int(c.HeartbeatInterval / TickInterval),
		Storage:                   c.Window,
		Applied:                   c.Applied,
		AsyncStorageWrites:        true,
		MaxSizePerMsg:             orDefault(c.MessageEntryBytes, limits.MessageEntriesBytes),
		MaxCommittedSizePerReady:  orDefault(c.ApplyingBytes, limits.ApplyingBytes),
		MaxUncommittedEntriesSize: limits.UncommittedBytes,
		MaxInflightMsgs:           limits.InflightMessages,
		MaxInflightBytes:          limits.InflightBytes,
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
	a.campaignAlone()
	a.publish()
	return a, nil
}

func orDefault(n, fallback uint64) uint64 {
	if n == 0 {
		return fallback
	}
	return n
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
	defer c.unreadable()
	c.Status.turn()
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
	c.propose()
	c.requestReads()
	for c.raft.HasReady() {
		c.ready(c.raft.Ready())
		c.propose()
		c.requestReads()
	}
	c.publish()
	c.Inbox.Hold(c.proposals.waitingBytes)
	return false
}

// unreadable ends the member when entries cannot be read back from the log: raft then panics with the log's error.
// Everything else that raft panics with is a bug, and goes on.
func (c *Consensus) unreadable() {
	if err := logError(recover()); err != nil {
		c.failed = true
		c.Fail(err)
	}
}

// logError returns the log's error that raft panicked with, nil when it did not panic.
func logError(panicked any) error {
	switch p := panicked.(type) {
	case nil:
		return nil
	case interface{ RuntimeError() }: // a nil pointer, an index out of range
		panic(p)
	case error:
		return fmt.Errorf("entries cannot be read back from the log: %w", p)
	default:
		panic(p)
	}
}

func (c *Consensus) handle(m ConsensusMessage) {
	switch m := m.(type) {
	case Propose:
		c.proposals.add(m.Proposal, c.now.Now)
	case Confirm:
		c.reads.add(m, c.now.Now)
	case Received:
		c.receive(m)
	case Appended:
		c.appended(m)
	case Restoring:
		c.appends[0].loading = true
	case Applied:
		c.applied(m)
	case Connected:
		c.connected[m.Peer] = true
		if m.Peer == c.raft.BasicStatus().Lead {
			c.away.tries = 0
			c.forwardAgain() // what the connection before it has lost
		}
		c.Status.refusal(m.Peer, "")
	case Disconnected:
		delete(c.connected, m.Peer)
		c.raft.ReportUnreachable(m.Peer)
	case Refused:
		c.Status.refusal(m.Peer, m.Reason)
		if strings.HasPrefix(m.Reason, amnesiaWord) && c.gone == "" {
			c.leave(m.Reason)
		}
	case Transfer:
		c.transferLeadership("it was asked to")
	case SnapshotSaved:
		c.snapshotSaved(m)
	case SnapshotReceived:
		c.snapshotReceived(m)
	case SnapshotSent:
		status := raft.SnapshotFailure
		if m.Installed {
			status = raft.SnapshotFinish
		}
		c.raft.ReportSnapshot(m.Peer, status)
	default:
		panic(fmt.Sprintf("consensus takes no %T", m))
	}
}

// tick lets raft's clock go on, and looks at everything that has a time.
func (c *Consensus) tick(n int) {
	if c.gone == "" {
		for range n {
			c.raft.Tick()
		}
	}
	c.forgivePause()
	c.watchDisk()
	c.expire()
	c.reads.retry(c.now.Now, c.ElectionTimeout)
	if c.now.Now-c.away.since >= c.away.patience(c.ElectionTimeout) {
		c.forwardAgain()
	}
	if !c.fenced && len(c.appends) == 0 && c.now.Now-c.lastWork >= fenceAfter {
		c.fenced = true
		c.riding = false
		c.LogWriter.Deposit(Fence{Commit: c.commit})
	}
	if c.soft.RaftState == raft.StateLeader {
		c.Status.publishMatches(c.raft)
	}
}

// fenceAfter is how long the log is idle before the disk is told how far it is synced.
const fenceAfter = 100 * time.Millisecond

// expireEvery is how often the applier looks for clients that do not wait any longer.
const expireEvery = time.Second

func (c *Consensus) expire() {
	c.expireWaiting()
	if c.now.Now-c.lastPrune >= expireEvery {
		c.lastPrune = c.now.Now
		c.Applier.Deposit(Expire{})
	}
}

// receive hands a peer's message to raft, unless it must wait or would hurt.
func (c *Consensus) receive(r Received) {
	if c.gone != "" {
		return
	}
	switch m := r.Message.(type) {
	case Forward:
		c.takeForward(r.From, m)
	case RaftMessage:
		switch m.GetType() {
		case raftpb.MsgHeartbeat:
			if c.beyondLog(m.Message) {
				c.forgot(r.From, m.GetCommit())
				return
			}
		case raftpb.MsgReadIndex:
			if c.soft.RaftState == raft.StateLeader && c.apply.handedTerm != c.term {
				c.reads.hold(m.Message)
				return
			}
		case raftpb.MsgApp:
			if c.appendBytes() > limits.UncommittedBytes {
				return // the disk cannot follow; the leader sends again
			}
		}
		c.step(m.Message)
	}
}

func (c *Consensus) step(m *raftpb.Message) {
	// Step refuses what an earlier configuration or term left over; there is nothing to do about it.
	if err := c.raft.Step(m); err != nil {
		c.Logger.Debug("raft refused a message", "type", m.GetType(), "from", c.NameOf(m.GetFrom()), "error", err)
	}
}

// beyondLog tells whether a leader believes that this member has acknowledged what it does not have. An append that
// was stepped just before the heartbeat must have been handed to the log writer first.
func (c *Consensus) beyondLog(m *raftpb.Message) bool {
	if m.GetCommit() <= c.commit || m.GetTerm() < c.term {
		return false // what is known to be committed is never replaced
	}
	c.drain()
	return m.GetCommit() > c.last && m.GetTerm() >= c.term
}

// drain carries out all that raft wants done.
func (c *Consensus) drain() {
	for c.raft.HasReady() {
		c.ready(c.raft.Ready())
	}
}

// forgot stops this member from taking part: a leader counts entries as acknowledged here that are not here.
func (c *Consensus) forgot(leader, commit uint64) {
	c.leave(fmt.Sprintf(amnesiaWord+": %s has committed entry %d with this member's acknowledgement, but its log ends at %d; "+
		"its data folder was replaced or restored from an old copy: put back exactly the folder that it last ran with; "+
		"the README says under \"When a member has lost its disk\" what else is left", c.NameOf(leader), commit, c.last))
}

// leave ends this member's part in the cluster for good: what it would vote for or acknowledge now could contradict
// what it has forgotten. That is written down first, so that no later start takes part again.
func (c *Consensus) leave(why string) {
	if err := c.Leave(why); err != nil {
		c.failed = true
		c.Fail(fmt.Errorf("%w: it cannot keep that this member must not vote: %w", ErrDisk, err))
		return
	}
	c.gone = why
	c.Logger.Error("this member takes no part any more", "because", why)
	c.Status.Alarm(matterAmnesia, why)
}

// appended makes entries visible to raft's storage, then lets raft know.
func (c *Consensus) appended(m Appended) {
	if m.Marker != nil {
		c.installed(*m.Marker)
	}
	if len(m.Entries) > 0 {
		c.Window.Append(m.Entries, m.Positions)
	}
	if m.Segments != nil {
		c.Window.Publish(m.Segments)
	}
	c.apply.fileBytes = m.FileBytes
	c.appends = c.appends[m.Orders:]
	if m.Orders > 0 && len(c.appends) > 0 {
		c.appends[0].since = c.now.Now // its turn begins now
	}
	for _, r := range m.Responses {
		c.step(r)
	}
}

// applied lets raft know, after the membership entries among them have taken effect (rule 6).
func (c *Consensus) applied(m Applied) {
	for _, e := range m.Response.GetEntries() {
		if e.GetType() != raftpb.EntryNormal {
			c.applyConfChange(e)
		}
	}
	c.step(m.Response)
	c.campaignAlone()
}

func (c *Consensus) applyConfChange(e *raftpb.Entry) {
	change, err := confChangeOf(e)
	if err != nil {
		c.Fail(fmt.Errorf("membership entry %d cannot be read: %w", e.GetIndex(), err))
		return
	}
	c.confState = c.raft.ApplyConfChange(change)
	c.Applier.Deposit(ConfStateChanged{Index: e.GetIndex(), ConfState: c.confState})
}

// campaignAlone makes a single voter a candidate at once, and again after replay: raft ignores it while a committed
// membership entry is not applied yet.
func (c *Consensus) campaignAlone() {
	voters := c.confState.GetVoters()
	if c.replayed || len(voters) != 1 || voters[0] != c.Member || c.gone != "" {
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
	if err := c.raft.Campaign(); err != nil {
		c.Logger.Debug("campaign", "error", err)
	}
}
