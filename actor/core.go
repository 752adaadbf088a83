package actor

import (
	"log/slog"
	"slices"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"qkv/internal/limits"
	"qkv/log"
)

const termsAhead = 1 << 32 // another member's term may be ahead by so many: an election a second for a century

// CoreConfig is the constant configuration of a member that every part of consensus may read.
type CoreConfig struct {
	Member            uint64
	Incarnation       uint64 // random, new with each start: replayed entries never answer new requests
	HeartbeatInterval time.Duration
	ElectionTimeout   time.Duration
	BacksUp           bool // the leaders make a backup: the log behind it is kept
	Window            *log.Window
	Status            *Status
	Admission         *Admission
	Fail              func(error) // ends the member
	Logger            *slog.Logger
	Limits            limits.Tunable
}

// core is the state of consensus that several of its parts read: raft, the time, the role, and the members. A part gets a pointer to it
// with each call. Only [Consensus], the membership and the suspension change it.
type core struct {
	CoreConfig

	raft         *raft.RawNode
	now          Time           // of the batch being handled
	soft         raft.SoftState // as of the newest Ready
	silence      int            // ticks since the last message from the leader
	term         uint64         // as of the newest Ready; forwards, accepted batches and read attempts belong to it
	last         uint64         // index of the newest entry handed to the log writer
	applyingTerm uint64         // term of the newest entry that the applier was ordered to apply
	failed       bool           // the member ends

	connected  map[uint64]bool // the reachable peers
	membership membership
	suspension suspension
}

// electionTicks is the election timeout in ticks.
func (c *CoreConfig) electionTicks() int { return int(c.ElectionTimeout / TickInterval) }

func (c *core) role(s raft.StateType) string {
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

// leader returns the member that this member follows, or raft.None. A learner never campaigns, and raft continues to name the last leader
// that it heard. For a learner, that leader no longer counts after it was silent for a voter's longest wait. Otherwise a learner whose
// leader was replaced by a member unknown to it would never accept that member's connection.
func (c *core) leader() uint64 {
	if c.silence >= 2*c.electionTicks() && c.role(c.soft.RaftState) == roleLearner {
		return raft.None
	}
	return c.soft.Lead
}

// step hands raft a message. An absurd term, which no cluster reaches by elections, is its sender's fault: raft would keep that term for
// ever, and could not advance past it. A member that applies nothing does not campaign.
func (c *core) step(m *raftpb.Message) {
	if m.GetType() == raftpb.MsgTimeoutNow && c.Status.Waits() != "" {
		return
	}
	if c.absurd(m.GetTerm()) {
		c.Logger.Debug("a message of an absurd term is dropped", "type", m.GetType(), "from", c.Status.NameOf(m.GetFrom()), "term", m.GetTerm())
		return
	}
	// Step refuses messages of an earlier configuration or term. No action is needed.
	if err := c.raft.Step(m); err != nil {
		c.Logger.Debug("raft refused a message", "type", m.GetType(), "from", c.Status.NameOf(m.GetFrom()), "error", err)
	}
}

// absurd reports whether a term is so far ahead that elections cannot have led there.
func (c *core) absurd(term uint64) bool {
	return term > c.term && term-c.term > termsAhead
}

// transferLeadership hands leadership to the most advanced reachable and fit follower, if there is one.
func (c *core) transferLeadership(why string, fit func(id uint64, p tracker.Progress) bool) {
	if c.soft.RaftState != raft.StateLeader {
		return
	}
	best, match := uint64(0), uint64(0)
	c.raft.WithProgress(func(id uint64, kind raft.ProgressType, p tracker.Progress) {
		if id != c.Member && kind == raft.ProgressTypePeer && p.Match > match && c.connected[id] && fit(id, p) {
			best, match = id, p.Match
		}
	})
	if best != 0 && c.raft.BasicStatus().LeadTransferee != best {
		c.Logger.Info("handing leadership over", "to", c.Status.NameOf(best), "because", why)
		c.raft.TransferLeader(best)
	}
}

// votersOfBoth returns the voters, including the old half of a joint configuration: their votes are requested as well.
func (c *core) votersOfBoth() []uint64 {
	voters := slices.Clone(c.membership.confState.GetVoters())
	for _, id := range c.membership.confState.GetVotersOutgoing() {
		if !slices.Contains(voters, id) {
			voters = append(voters, id)
		}
	}
	return voters
}

// serves reports whether this member commits with a quorum without another one, as far as it can know.
func (c *core) serves(without uint64) bool {
	return !c.suspension.active() && c.leader() != raft.None && c.leader() != without && c.applyingTerm == c.term
}

// readable reports whether raft would answer a ReadIndex now.
func (c *core) readable() bool {
	status := c.raft.BasicStatus()
	switch {
	case c.suspension.active(), status.Lead == raft.None, status.GetTerm() != c.term:
		return false
	case status.RaftState == raft.StateLeader:
		return c.applyingTerm == c.term // rule 5: a crash may have set the commit index back
	default:
		return status.RaftState == raft.StateFollower
	}
}

// mayForward reports whether this member takes part, and is connected to the leader of its batches' term.
func (c *core) mayForward() bool {
	status := c.raft.BasicStatus()
	return !c.suspension.active() && status.GetTerm() == c.term && c.connected[status.Lead]
}

// campaign makes this member a candidate, unless it could not serve.
func (c *core) campaign() {
	if c.Status.Waits() != "" {
		return
	}
	c.Window.ScanKinds(func() {
		if err := c.raft.Campaign(); err != nil {
			c.Logger.Debug("campaign", "error", err)
		}
	})
}

// lateTicks is the silence after which a leader is late.
func (c *CoreConfig) lateTicks() int { return c.heartbeatTicks() * 3 / 2 }

// heartbeatTicks is the interval of heartbeats in ticks.
func (c *CoreConfig) heartbeatTicks() int { return int(c.HeartbeatInterval / TickInterval) }

func (c *CoreConfig) leaseTiming() leaseTiming {
	return leaseTiming{c.ElectionTimeout, c.Limits.LeaseLengthening}
}
