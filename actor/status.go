package actor

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/raft/v3"

	"qkv/index"
	"qkv/log"
)

// Status is what a member's actors publish for any goroutine to read. Each part has one writer; readers see each part
// whole, and parts of slightly different moments.
type Status struct {
	view      atomic.Pointer[index.View]        // the applier's
	consensus atomic.Pointer[Standing]          // consensus'
	durable   atomic.Pointer[Durable]           // the log writer's
	snapBytes atomic.Int64                      // the snapshotter's
	matches   atomic.Pointer[map[uint64]uint64] // consensus', while it leads
	floors    atomic.Pointer[map[uint64]uint64] // consensus', for ever
	unheard   atomic.Int64                      // ticks since consensus' last turn

	// Guarded by mu: rare.
	mu       sync.Mutex
	alarms   map[string]string // by matter
	refusals map[uint64]string // peers that refuse this member
	refused  map[uint64]string // peers that this member refuses
}

// Tick counts a tick of the clock, and returns for how long consensus has had no turn: it is in the middle of one, and
// the only thing there that takes time is to read old entries from the log. A pause of the whole process counts as one
// tick.
func (s *Status) Tick() time.Duration { return time.Duration(s.unheard.Add(1)) * TickInterval }

// turn says that consensus has begun another turn.
func (s *Status) turn() { s.unheard.Store(0) }

// Standing is a member's place in raft.
type Standing struct {
	Role    string // leader, follower, candidate, learner
	Leader  uint64 // 0 when none is known
	Term    uint64
	Commit  uint64
	Applied uint64
}

// Durable is how far the own log is synced.
type Durable struct {
	Last, LastTerm uint64
	HardTerm       uint64
	FileBytes      int64
}

// View returns the newest state.
func (s *Status) View() *index.View { return s.view.Load() }

// Level returns the cluster's feature level.
func (s *Status) Level() uint64 { return s.view.Load().Level() }

// Standing returns the member's place in raft.
func (s *Status) Standing() Standing {
	if p := s.consensus.Load(); p != nil {
		return *p
	}
	return Standing{Role: "follower"}
}

// Durable returns how far the own log is synced.
func (s *Status) Durable() Durable {
	if p := s.durable.Load(); p != nil {
		return *p
	}
	return Durable{}
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

// floor returns what a peer must have for ever: what it had acknowledged to this member of what was committed.
func (s *Status) floor(peer uint64) uint64 {
	if m := s.floors.Load(); m != nil {
		return (*m)[peer]
	}
	return 0
}

// Problems returns what an operator must know: alarms, with those of the peers that this member refuses now, and the
// peers that refuse this member.
func (s *Status) Problems() (alarms []string, refusals map[uint64]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	alarms = append(slices.Collect(maps.Values(s.alarms)), slices.Collect(maps.Values(s.refused))...)
	slices.Sort(alarms)
	return alarms, maps.Clone(s.refusals)
}

// Refuse notes why this member refuses a peer; an empty reason says that it is admitted.
func (s *Status) Refuse(peer uint64, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	keep(&s.refused, peer, reason)
}

// Alarm says what an operator must know of a matter, in place of what was said of it before; an empty text says that
// all is well again. Matters are few, texts are not: each failure may have its own numbers.
func (s *Status) Alarm(matter, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	keep(&s.alarms, matter, text)
}

// The matters of alarms.
const (
	matterAmnesia   = "amnesia"
	matterSaving    = "saving snapshots"
	matterReceiving = "receiving snapshots"
)

func (s *Status) refusal(peer uint64, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	keep(&s.refusals, peer, reason)
}

// keep keeps a text, or forgets it where it is empty.
func keep[K comparable](texts *map[K]string, of K, text string) {
	if text == "" {
		delete(*texts, of)
		return
	}
	if *texts == nil {
		*texts = map[K]string{}
	}
	(*texts)[of] = text
}

func (s *Status) publishMatches(n *raft.RawNode) {
	m, floors := map[uint64]uint64{}, map[uint64]uint64{}
	commit := n.BasicStatus().GetCommit()
	n.WithProgress(func(id uint64, _ raft.ProgressType, p progress) {
		m[id] = p.Match
		floors[id] = max(s.floor(id), min(p.Match, commit))
	})
	s.matches.Store(&m)
	s.floors.Store(&floors)
}

func (s *Status) clearMatches() { s.matches.Store(nil) }

// publish makes the standing visible when it has changed.
func (c *Consensus) publish() {
	b := c.raft.BasicStatus()
	next := Standing{Role: roleOf(b.RaftState), Leader: b.Lead, Term: b.GetTerm(), Commit: b.GetCommit(), Applied: b.Applied}
	if c.gone != "" {
		next.Role, next.Leader = "follower", raft.None
	}
	before := c.Status.consensus.Load()
	if before == nil || *before != next {
		c.Status.consensus.Store(&next)
		if before != nil && (before.Role != next.Role || before.Leader != next.Leader) && next.Leader != raft.None {
			c.Logger.Info("leader", "leader", c.NameOf(next.Leader), "term", next.Term, "role", next.Role)
		}
	}
}

func roleOf(s raft.StateType) string {
	switch s {
	case raft.StateLeader:
		return "leader"
	case raft.StateFollower:
		return "follower"
	default:
		return "candidate"
	}
}

// publishDurable makes the log's synced end visible, before anyone is told of what was synced.
func (s *Status) publishDurable(stats log.Stats) {
	s.durable.Store(&Durable{Last: stats.Index, LastTerm: stats.Term, HardTerm: stats.HardState.Term, FileBytes: stats.Bytes})
}
