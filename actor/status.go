package actor

import (
	"sync"
	"sync/atomic"
	"time"

	"qkv/index/kv"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/tracker"

	"qkv/actor/space"
	"qkv/index"
	"qkv/log"
)

// Status holds the values that a member's actors publish for every goroutine, including other actors. Each value has one writer, except
// diskDone and the parts guarded by a mutex. Readers see each part whole, and parts of slightly different moments.
type Status struct {
	delay func(show func()) // in the simulator: published values become visible when the earlier disk calls are over

	view      atomic.Pointer[index.View] // the applier's
	consensus atomic.Pointer[RaftStatus] // consensus'
	durable   atomic.Pointer[Durable]    // the log writer's
	parts     atomic.Pointer[Parts]      // the snapshotter's
	pieceRate atomic.Int64               // consensus': bytes a second to each peer; 0: it is not known yet
	// the snapshotter's and the segment maker's: when the disk last completed one of their steps
	diskDone        atomic.Int64
	matches         atomic.Pointer[map[uint64]uint64]         // consensus', while it leads
	minMatches      atomic.Pointer[map[uint64]uint64]         // consensus', for ever
	leaderPositions atomic.Pointer[map[uint64]leaderPosition] // consensus', of members that have led, for ever

	watch watchSignal // the watch hub's

	// Observer has the measurements for people.
	Observer Observer

	backedUp atomic.Uint64 // the newest entry in the backup, of this leader or as the leader says; 0: it is unknown

	fullMember atomic.Bool // consensus': the disk of a reachable member is full; this member leads

	// consensus': why a quorum has no space, while it leads; nil or empty: it has
	fullDisks atomic.Pointer[string]
	capacity  atomic.Pointer[QuorumCapacity] // consensus': by a quorum of the voters
	waits     atomic.Pointer[string]         // the applier's: see Waits
	clockText atomic.Pointer[string]         // consensus': how this member's clock differs; nil or empty: it does not
	ticked    atomic.Int64                   // consensus': when it last advanced raft's clock

	diskMu sync.Mutex
	disk   space.Disk // of several actors, without the state's sizes; guarded by diskMu

	// Guarded by mu: rarely used.
	mu       sync.Mutex
	alarms   map[kv.Alarm]string // texts, by an alarm without its text
	refusals map[uint64]Refusal  // peers that refuse this member
	refused  map[uint64]Refusal  // peers that this member refuses
}

// SentPiece returns how long a piece of a file that was sent to a peer may take at least.
func (s *Status) SentPiece(bytes int) time.Duration {
	if rate := s.pieceRate.Load(); rate > 0 {
		return time.Duration(float64(bytes) / float64(rate) * float64(time.Second))
	}
	return 0
}

// NewStatus returns the status of a member whose actors a driver runs.
func NewStatus(d Driver) *Status {
	s := &Status{delay: d.Delay()}
	s.Observer.begin(d.Time)
	return s
}

// show makes a value visible, now or when the simulator decides.
func (s *Status) show(f func()) {
	if s.delay != nil {
		s.delay(f)
	} else {
		f()
	}
}

// RaftStatus is a member's role, leader, term and indexes in raft.
type RaftStatus struct {
	Role    string // leader, follower, candidate, learner, or suspended: it takes no part
	Leader  uint64 // 0 when none is known
	Term    uint64
	Commit  uint64
	Applied uint64
}

// RoleSuspended is the role of a member that takes no part.
const RoleSuspended = "suspended"

// roleLearner is the role of a member without a vote.
const roleLearner = "learner"

// Durable is how far the own log is synced.
type Durable struct {
	Last, LastTerm uint64
	HardTerm       uint64
	FileBytes      int64
	RecordBytes    int64 // synced since the start
}

// Parts are the files that the next snapshot lists.
type Parts struct {
	Base        int64  // the revision up to which all is in the base
	BaseFiles   uint64 // its pieces
	BaseBytes   int64
	Extents     uint64 // files behind the base
	ExtentBytes int64
	Lost        int64 // the last revision that needs a lost part: only a newer base can be without it; 0: none is lost

	// Values of superseded versions that are in these files, and not in memory.
	Reads       uint64 // values that were read from these files since the start
	ReadsFailed uint64 // that could not be read
}

// Parts returns what this member has of the base and the extents.
func (s *Status) Parts() Parts {
	if p := s.parts.Load(); p != nil {
		return *p
	}
	return Parts{}
}

// Disk returns this member's disk, as far as it is known, with the sizes of the newest state.
func (s *Status) Disk() space.Disk {
	s.diskMu.Lock()
	d := s.disk
	s.diskMu.Unlock()
	if view := s.View(); view != nil {
		d.Live, d.Next = view.LiveUsedBytes(), unwritten(view, d.Stored)
	}
	return d
}

// reportDisk changes the figures of the disk. A field has one reporter.
func (s *Status) reportDisk(change func(*space.Disk)) {
	s.diskMu.Lock()
	defer s.diskMu.Unlock()
	change(&s.disk)
}

// SetMachine sets the memory of this member's machine, and the size of its log's segments, both in bytes.
func (s *Status) SetMachine(memory, segmentBytes int64) {
	s.reportDisk(func(d *space.Disk) { d.Memory, d.SegmentBytes = memory, segmentBytes })
}

// BackedUp notes the newest entry in the backup.
func (s *Status) BackedUp(entry uint64) { s.backedUp.Store(entry) }

// FullDisks returns why a quorum of members has no space on their disks, as far as this member leads and knows; empty if it has space.
func (s *Status) FullDisks() string {
	if why := s.fullDisks.Load(); why != nil {
		return *why
	}
	return ""
}

// Waits returns why this member applies no further entry: the next one needs a value that cannot be read. Empty: it applies. Meanwhile it
// votes and acknowledges entries, but does not lead if another member can, and serves no client.
func (s *Status) Waits() string {
	if why := s.waits.Load(); why != nil {
		return *why
	}
	return ""
}

func (s *Status) setWaits(why string) {
	if why != s.Waits() {
		s.waits.Store(&why)
		s.Alarm(kv.Alarm{Name: kv.CorruptAlarm, Subject: "entries", Text: why})
	}
}

// FullMember reports whether the disk of a member that this member reaches is full: a newer base may let it free space.
func (s *Status) FullMember() bool { return s.fullMember.Load() }

// WrongClock returns how this member's clock differs from the others', as far as that is known; empty if it does not.
func (s *Status) WrongClock() string {
	if text := s.clockText.Load(); text != nil {
		return *text
	}
	return ""
}

// QuorumCapacity is the state size in bytes that a quorum of the voters holds with ease; 0 is not known.
type QuorumCapacity struct {
	Bytes  int64  // by the sizes of the disks and memories
	Now    int64  // the same without the space that files of other programs take
	Member uint64 // the voter that limits Now
}

// QuorumCapacity returns the state size that a quorum of the voters holds, as far as this member knows.
func (s *Status) QuorumCapacity() QuorumCapacity {
	if h := s.capacity.Load(); h != nil {
		return *h
	}
	return QuorumCapacity{}
}

// View returns the newest state.
func (s *Status) View() *index.View { return s.view.Load() }

// NameOf returns a member's name, or its id if it has none.
func (s *Status) NameOf(member uint64) string { return s.view.Load().Members().NameOf(member) }

// Level returns the cluster's feature level.
func (s *Status) Level() uint64 { return s.view.Load().Level() }

// Raft returns the member's role in raft.
func (s *Status) Raft() RaftStatus {
	if p := s.consensus.Load(); p != nil {
		return *p
	}
	return RaftStatus{Role: "follower"}
}

// Durable returns how far the own log is synced.
func (s *Status) Durable() Durable {
	if p := s.durable.Load(); p != nil {
		return *p
	}
	return Durable{}
}

// diskGoesOn notes that the disk has completed a request.
func (s *Status) diskGoesOn(now time.Duration) { s.diskDone.Store(int64(now)) }

// Ticked returns when consensus last advanced raft's clock, as the driver's monotonic time. It advances the clock every TickInterval,
// unless it is stuck.
func (s *Status) Ticked() time.Duration { return time.Duration(s.ticked.Load()) }

// LogReserve returns the space that a new segment must leave free; 0 while the state is being loaded.
func (s *Status) LogReserve() int64 {
	if s.View() == nil {
		return 0
	}
	d := s.Disk()
	return d.LogReserve()
}

// match returns the index acknowledged by a peer to this member, if this member leads, as of its last tick.
func (s *Status) match(peer uint64) uint64 {
	if m := s.matches.Load(); m != nil {
		return (*m)[peer]
	}
	return 0
}

// minMatch returns the entry that a peer must have for ever: the highest committed entry that it has acknowledged to this member.
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

// publish publishes the member's role in raft when it has changed.
func (c *Consensus) publish() {
	b := c.raft.BasicStatus()
	next := RaftStatus{Role: c.role(b.RaftState), Leader: c.leader(), Term: b.GetTerm(), Commit: b.GetCommit(), Applied: b.Applied}
	if c.suspension.active() {
		next.Role, next.Leader = RoleSuspended, raft.None
	}
	before := c.Status.consensus.Load()
	if before == nil || *before != next {
		c.Status.consensus.Store(&next)
	}
	c.elections.leaders.logChange(&c.core, before, next)
}

// publishDurable publishes the log's synced end, before the synced entries are reported.
func (s *Status) publishDurable(stats log.Stats) {
	d := &Durable{Last: stats.Index, LastTerm: stats.Term, HardTerm: stats.HardState.Term, FileBytes: stats.Bytes, RecordBytes: stats.RecordBytes}
	s.show(func() { s.durable.Store(d) })
}
