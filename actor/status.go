package actor

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/tracker"

	"qkv/index"
	"qkv/internal/limits"
	"qkv/log"
)

// Status is what a member's actors publish for any goroutine to read, and for each other. Each part has one writer, but for diskDone
// and what a mutex guards; readers see each part whole, and parts of slightly different moments.
type Status struct {
	hold func(show func()) // in the simulator: what is published is seen when the disk calls before it are over

	view       atomic.Pointer[index.View]           // the applier's
	consensus  atomic.Pointer[RaftStatus]           // consensus'
	durable    atomic.Pointer[Durable]              // the log writer's
	snapBytes  atomic.Int64                         // the snapshotter's: of the newest one
	snapshots  atomic.Int64                         // the snapshotter's: of all its files, and of the one being saved at its end
	nextHas    atomic.Int64                         // the snapshotter's: of what the next one takes, what is written, or what can go for it
	snapFiles  atomic.Int64                         // the snapshotter's: what is written of all its files
	piecesSent atomic.Int64                         // the snapshotter's: bytes, to all peers
	spareBytes atomic.Int64                         // the segment maker's: of the spares, at most; constant
	capacity   atomic.Int64                         // the segment maker's: of the disk, what is free and what this member's files take; 0: not known
	memory     atomic.Int64                         // of the machine; 0: not known; constant
	diskDone   atomic.Int64                         // the snapshotter's and the segment maker's: when the disk had done a step of theirs
	matches    atomic.Pointer[map[uint64]uint64]    // consensus', while it leads
	minMatches atomic.Pointer[map[uint64]uint64]    // consensus', for ever
	leaderEnds atomic.Pointer[map[uint64]leaderEnd] // consensus', of members that have led, for ever

	watch WatchSignal // the watch hub's

	// Stages are how long the parts of a write take.
	Stages Stages

	// Counters are for anybody to read.
	Counters Counters

	logKept  atomic.Bool  // consensus': the log is kept for a follower
	lags     atomic.Bool  // consensus': this member is behind its leader
	receives atomic.Bool  // the snapshotter's: a snapshot comes
	saves    atomic.Bool  // the snapshotter's: a snapshot is being saved, and more than half of it is written
	helps    atomic.Bool  // consensus': the newest snapshot makes room on the disk of a follower that is full
	free     atomic.Int64 // the segment maker's: what the disk had left when it was looked at last
	noSpace  atomic.Bool  // the segment maker's: the disk is nearly full
	spares   atomic.Int64 // the log writer's: how many it has
	logWaits atomic.Bool  // the log writer's: it waits for room

	syncSince atomic.Int64 // the log writer's: when the sync that it is at began; 0: it is at none

	unapplied atomic.Int64 // the log writer's: bytes of entries that it has and the state has not

	fullDisks atomic.Pointer[string] // consensus': why a quorum has no room, while it leads; nil or empty: it has
	leastHeld atomic.Pointer[Held]   // consensus': of all members
	clockText atomic.Pointer[string] // consensus': how this member's clock differs; nil or empty: it does not

	logQuarters atomic.Int32 // the log writer's: of a segment, that it has without another file

	clock   func() Time // of the driver; nil in tests that need none
	syncsMu sync.Mutex
	syncs   syncTimes // the log writer's; guarded by syncsMu

	// Guarded by mu: rare.
	mu       sync.Mutex
	alarms   map[Alarm]string   // texts, by an alarm without its own
	refusals map[uint64]Refusal // peers that refuse this member
	refused  map[uint64]Refusal // peers that this member refuses
}

// NewStatus returns the status of a member whose actors a driver runs.
func NewStatus(d Driver) *Status {
	s := &Status{hold: d.hold(), clock: d.Time, Counters: newCounters()}
	s.Stages.begin(s.moment)
	return s
}

// show makes something visible, now or when the simulator says so.
func (s *Status) show(f func()) {
	if s.hold != nil {
		s.hold(f)
	} else {
		f()
	}
}

// RaftStatus is a member's place in raft.
type RaftStatus struct {
	Role    string // leader, follower, candidate, learner, or refused: it takes no part
	Leader  uint64 // 0 when none is known
	Term    uint64
	Commit  uint64
	Applied uint64
}

// RoleRefused is the role of a member that takes no part.
const RoleRefused = "refused"

// roleLearner is the role of a member without a vote.
const roleLearner = "learner"

// Durable is how far the own log is synced.
type Durable struct {
	Last, LastTerm uint64
	HardTerm       uint64
	FileBytes      int64
}

// Space is how much a member may write.
type Space int

const (
	// SpaceLeft: everything is taken.
	SpaceLeft Space = iota
	// SpaceLow: the disk is nearly full, nothing that makes the state larger is taken.
	SpaceLow
	// SpaceNone: the log has no spare either. What is left of its segment is for what was proposed before a leader knew,
	// and for terms, votes and the entry with which a leader begins, so that there is one and reads go on; no write is
	// taken until a snapshot, or somebody else, has made room.
	SpaceNone
)

// Space tells how much may be written.
func (s *Status) Space() Space {
	switch {
	case s.logWaits.Load():
		return SpaceNone
	case !s.noSpace.Load():
		return SpaceLeft
	case s.spares.Load() == 0:
		return SpaceNone
	default:
		return SpaceLow
	}
}

// FullDisks says why a quorum of members has no room on their disks, as far as this member leads and knows; empty when it has.
func (s *Status) FullDisks() string {
	if why := s.fullDisks.Load(); why != nil {
		return *why
	}
	return ""
}

// WrongClock says how this member's clock differs from the others', as far as that is known; empty when it does not.
func (s *Status) WrongClock() string {
	if text := s.clockText.Load(); text != nil {
		return *text
	}
	return ""
}

// Held is how large a state a member's machine holds with ease.
type Held struct {
	Bytes  int64 // 0: not known
	Member uint64
}

// SetMemory says how much memory this member's machine has.
func (s *Status) SetMemory(bytes int64) { s.memory.Store(bytes) }

// holds is how large a state this machine holds with ease, in MiB so that it is not another number all the time; 0 is not known.
func (s *Status) holds() int64 {
	least := s.memory.Load() / limits.StateOfMemory
	if capacity := s.capacity.Load(); capacity > 0 { // less what is no state's: what is kept free beside the next snapshot, and the spares
		_, high := s.spaceMarks()
		held := max((capacity-high-s.spareBytes.Load())/limits.StateOfDisk, 1)
		if least == 0 || held < least {
			least = held
		}
	}
	if least == 0 {
		return 0
	}
	return max(least>>20<<20, 1)
}

// LeastHeld is the least that a member of the cluster holds, as far as this one knows.
func (s *Status) LeastHeld() Held {
	if h := s.leastHeld.Load(); h != nil {
		return *h
	}
	return Held{}
}

// logTakes tells whether the log may be given commands: on a full disk only while it has so many quarters of a segment
// without another file (limits.LogKept).
func (s *Status) logTakes(quarters int32) bool {
	return !s.logWaits.Load() && (!s.noSpace.Load() || s.logQuarters.Load() >= quarters)
}

// View returns the newest state.
func (s *Status) View() *index.View { return s.view.Load() }

// NameOf returns the name of a member, or its id where there is none.
func (s *Status) NameOf(member uint64) string { return s.view.Load().Members().NameOf(member) }

// Level returns the cluster's feature level.
func (s *Status) Level() uint64 { return s.view.Load().Level() }

// Raft returns the member's place in raft.
func (s *Status) Raft() RaftStatus {
	if p := s.consensus.Load(); p != nil {
		return *p
	}
	return RaftStatus{Role: "follower"}
}

// Refused says that the member takes no part.
func (s *Status) Refused() bool {
	p := s.consensus.Load()
	return p != nil && p.Role == RoleRefused
}

// Durable returns how far the own log is synced.
func (s *Status) Durable() Durable {
	if p := s.durable.Load(); p != nil {
		return *p
	}
	return Durable{}
}

// SnapshotNeeds returns how much of the disk's free space the next snapshot takes: a state's size, with all that the log may add to
// it, less the older snapshot, which can go before, or less what is written of it.
func (s *Status) SnapshotNeeds() int64 {
	view := s.View()
	return max(view.LiveBytes()+view.HistoryBytes()+s.unapplied.Load()-s.nextHas.Load(), 0)
}

// DiskGoesOn says that the disk has done something that it was given.
func (s *Status) DiskGoesOn(now time.Duration) { s.diskDone.Store(int64(now)) }

// LogReserve returns what a new segment must leave free: what the next snapshot takes, and what entries may add to that until
// the segment that is being written and the spares are full.
func (s *Status) LogReserve(segmentBytes int64) int64 {
	if s.View() == nil {
		return 0 // it is being loaded
	}
	return s.SnapshotNeeds() + s.logKeeps(segmentBytes)
}

// SnapshotBytes returns the size of the newest published snapshot.
func (s *Status) SnapshotBytes() int64 { return s.snapBytes.Load() }

// Match returns what a peer had acknowledged to this member, if this member leads, at its last tick.
func (s *Status) Match(peer uint64) uint64 {
	if m := s.matches.Load(); m != nil {
		return (*m)[peer]
	}
	return 0
}

// minMatch returns what a peer must have for ever: what it had acknowledged to this member of what was committed.
func (s *Status) minMatch(peer uint64) uint64 {
	if m := s.minMatches.Load(); m != nil {
		return (*m)[peer]
	}
	return 0
}

func (s *Status) publishMatches(n *raft.RawNode) {
	m, minMatches := map[uint64]uint64{}, map[uint64]uint64{}
	commit := n.BasicStatus().GetCommit()
	n.WithProgress(func(id uint64, _ raft.ProgressType, p tracker.Progress) {
		m[id] = p.Match
		minMatches[id] = max(s.minMatch(id), min(p.Match, commit))
	})
	s.matches.Store(&m)
	s.minMatches.Store(&minMatches)
}

func (s *Status) clearMatches() { s.matches.Store(nil) }

// publish makes the member's place in raft visible when it has changed.
func (c *Consensus) publish() {
	b := c.raft.BasicStatus()
	next := RaftStatus{Role: c.role(b.RaftState), Leader: c.leader(), Term: b.GetTerm(), Commit: b.GetCommit(), Applied: b.Applied}
	if c.quarantine.active() {
		next.Role, next.Leader = RoleRefused, raft.None
	}
	before := c.Status.consensus.Load()
	if before == nil || *before != next {
		c.Status.consensus.Store(&next)
	}
	c.tellLeader(before, next)
}

func (c *Consensus) role(s raft.StateType) string {
	switch {
	case s == raft.StateLeader:
		return "leader"
	case s == raft.StateFollower && !slices.Contains(c.membership.confState.GetVoters(), c.Member) && !slices.Contains(c.membership.confState.GetVotersOutgoing(), c.Member):
		return roleLearner
	case s == raft.StateFollower:
		return "follower"
	default:
		return "candidate"
	}
}

// publishDurable makes the log's synced end visible, before anyone is told of what was synced.
func (s *Status) publishDurable(stats log.Stats) {
	d := &Durable{Last: stats.Index, LastTerm: stats.Term, HardTerm: stats.HardState.Term, FileBytes: stats.Bytes}
	s.show(func() { s.durable.Store(d) })
}
