package actor

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
	"google.golang.org/protobuf/proto"

	"qkv/index"
	"qkv/index/kv"
	"qkv/internal/limits"
)

// A change of the membership travels like every command, alone in its envelope, to the leader. The leader judges whether it is wise, and
// puts it into an entry of raft's type for such changes. Its effect is decided when it is applied, by the records (package index), and
// raft gets the difference:
//
//	consensus (leader)   judge, ConfChangeV2 with the envelope as its context
//	applier              ApplyChange; the configuration before and after is the change ─► membersChanged
//	consensus            raft.ApplyConfChange, in the order of the entries and before their response is stepped;
//	                     then Peers.SetMembers ─► the transport's connections
//
// Records that change without a change of the configuration (an address), and the records of an installed snapshot, travel the same way,
// without the step in raft.

// learnerLevelEntries is the lag, in entries, up to which a learner counts as caught up, as in etcd: less than it receives in one heartbeat
// interval.
const learnerLevelEntries = 1000

// membership is consensus's knowledge of the members.
//
// Invariants:
//
//  1. records and confState are as of the newest membersChanged; they agree with each other and with raft. The exception: while
//     this member is early, it is a learner for raft, and no member yet by the records.
//  2. changeAt is, in this term, the newest entry that raft treats as a change of the configuration, or the index that such an
//     entry would have had if raft had no space for it. Until raft knows it to be applied, raft silently drops another change.
//  3. appliedTerm is the term of the newest entry that raft knows to be applied. A leader of that term has applied
//     every change that was in its log when it was elected.
//  4. While restoring, raft already has a snapshot's configuration, and the records follow. Entries applied before that are
//     older than raft's configuration.
//  5. A removed member stays a peer, and takes part without being counted, until a power loss cannot undo the removal.
//     A member may know the removal to be applied while its disk does not; after a power loss it comes back with the configuration
//     before, and may need the removed member's vote. A member therefore parts from it when its own disk knows the removal to
//     be committed. A leader parts from it when it has committed a later entry, which tells the disks of a quorum of the
//     remaining members. The removed member ends by another member's word, never because of its own log alone.
type membership struct {
	records     index.Members
	confState   *raftpb.ConfState
	changeAt    uint64
	restoring   bool
	early       bool // this member's initial snapshot is older than its addition
	appliedTerm uint64
	durable     uint64 // the own disk knows entries up to here to be committed
	removedAt   uint64 // of the newest removal whose member is still a peer; 0: none
	partAt      uint64 // a leader's entry after it; 0: none yet

	lastMessage map[uint64]time.Duration // by peer, the time of its last raft message
	level       map[uint64]time.Duration // by learner, since when it is level, while this member leads
	// by member whose name a learner takes over, since when it is not connected to this leader
	unlinked          map[uint64]time.Duration
	snapshotNotBefore time.Duration   // no other snapshot for a new member is ordered before
	removedBy         map[uint64]bool // the peers that report this member's removal, each by its last report
	// when raft was last made to end an exchange of voters, or to continue after a change
	nudged        time.Duration
	recordRemoval func() error // makes the removal of this member durable
}

func newMembership(members index.Members, confState *raftpb.ConfState, recordRemoval func() error) membership {
	return membership{
		records: members, confState: confState, recordRemoval: recordRemoval,
		lastMessage: map[uint64]time.Duration{}, level: map[uint64]time.Duration{}, unlinked: map[uint64]time.Duration{}, removedBy: map[uint64]bool{},
	}
}

// ConfStateOf returns a configuration as raft's ConfState.
func ConfStateOf(c index.Configuration) *raftpb.ConfState {
	return &raftpb.ConfState{Voters: c.Voters, VotersOutgoing: c.Outgoing, Learners: c.Learners, AutoLeave: new(c.Joint())}
}

// ConfStateBytes encodes a configuration for snapshots: equal configurations are equal byte for byte.
func ConfStateBytes(c *raftpb.ConfState) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(c)
	if err != nil {
		panic(fmt.Sprintf("a ConfState cannot be marshalled: %v", err))
	}
	return b
}

// configurationChange returns the change that takes raft from one configuration to the next; nil if they are equal.
func configurationChange(before, after index.Configuration) *raftpb.ConfChangeV2 {
	if before.Joint() && !after.Joint() {
		return &raftpb.ConfChangeV2{}
	}
	change := &raftpb.ConfChangeV2{Transition: raftpb.ConfChangeTransitionAuto.Enum()}
	add := func(kind raftpb.ConfChangeType, ids, not []uint64) {
		for _, id := range ids {
			if !slices.Contains(not, id) {
				change.Changes = append(change.Changes, &raftpb.ConfChangeSingle{Type: &kind, NodeId: &id})
			}
		}
	}
	add(raftpb.ConfChangeAddNode, after.Voters, before.Voters)
	add(raftpb.ConfChangeAddLearnerNode, after.Learners, before.Learners)
	add(raftpb.ConfChangeRemoveNode, slices.Concat(before.Voters, before.Learners), slices.Concat(after.Voters, after.Learners))
	if len(change.Changes) == 0 {
		return nil
	}
	return change
}

// changeEnvelope returns the envelope in an entry for a change of the configuration. For the entry with which raft's leader ends an
// exchange of voters, it returns an envelope that says so.
func changeEnvelope(e *raftpb.Entry) ([]byte, error) {
	var change raftpb.ConfChangeV2
	if e.GetType() != raftpb.EntryConfChangeV2 {
		return nil, fmt.Errorf("an entry of type %v: it was written by another qkv", e.GetType())
	}
	if err := proto.Unmarshal(e.GetData(), &change); err != nil {
		return nil, err
	}
	if len(change.Changes) == 0 && len(change.Context) == 0 {
		return index.AppendEnvelope(nil, index.Envelope{Level: index.FirstLevel}, [][]byte{index.AppendEndExchange(nil).Bytes}), nil
	}
	return change.Context, nil
}

// EnvelopeOf returns an entry's envelope; it is empty for the entry that begins a leader's term.
func EnvelopeOf(e *raftpb.Entry) ([]byte, error) {
	if e.GetType() == raftpb.EntryNormal {
		return e.GetData(), nil
	}
	return changeEnvelope(e)
}

// facts are a leader's knowledge of the members when it judges a change.
type facts struct {
	leader           uint64 // itself
	changing         bool   // another change is under way
	records          index.Members
	voters, learners []uint64
	answers          map[uint64]bool // the members that have sent a message lately
	missing          uint64          // how many entries the member to change lacks
	level            bool            // it has lacked none for long enough
}

// judge returns the reason why a leader does not propose a change, or nil. If the leader is to be removed itself, it first hands
// leadership over to one of the successors.
func judge(change *kv.MemberChange, f facts) (refused *kv.Error, successors []uint64) {
	const not = "; the membership did not change"
	if err := change.Check(); err != nil {
		return err, nil
	}
	if f.changing {
		return kv.Errorf(kv.Unavailable, "another change of the membership is under way"+not+": try again when it has ended"), nil
	}
	one := f.records.Get(change.ID)
	switch change.Kind {
	case kv.AddLearner:
		if i := slices.IndexFunc(f.records.All(), func(m kv.Member) bool { return m.Role.Votes() && !m.Bound() }); i >= 0 {
			return kv.Errorf(kv.Unavailable, "the log does not know yet which data folder belongs to %s"+not+": try again in a moment", f.records.NameOf(f.records.All()[i].ID)), nil
		}
		if len(f.learners) >= limits.Learners {
			return kv.Errorf(kv.TooManyMembers, "there are %d learners, at most %d are supported: each takes the leader's time to bring it up to date"+not+"; promote or remove one", len(f.learners), limits.Learners), nil
		}
		taken := func(address string) bool { return slices.Contains(change.Peers, address) }
		if old := f.records.Get(change.Instead); old != nil && f.answers[old.ID] && (change.Name == "" || slices.ContainsFunc(old.Peers, taken)) {
			return kv.Errorf(kv.MemberRuns, "%s runs, and answers the leader, %s: it is not lost"+not+"; to replace it under its name or address, stop it first", old.Name, f.records.NameOf(f.leader)), nil
		}
	case kv.PromoteMember:
		if one == nil || one.Role != kv.Learner {
			return nil, nil // refused by the records
		}
		next := slices.DeleteFunc(append(slices.Clone(f.voters), change.ID), func(id uint64) bool { return id == change.Instead })
		if len(next) > limits.Members {
			return kv.Errorf(kv.TooManyMembers, "there are %d voters, at most %d are supported: each write would wait for more disks and be no safer"+not, len(f.voters), limits.Members), nil
		}
		if f.missing > 0 {
			if !one.Started() && !f.answers[one.ID] {
				return kv.Errorf(kv.LearnerBehind, "%s has never started, and would hold up writes as a voter"+not+": start it with --join, and try again when it is level", f.records.NameOf(one.ID)), nil
			}
			return kv.Errorf(kv.LearnerBehind, "%s has %d entries to catch up with, and would hold up writes as a voter"+not+": try again when it is level", one.Name, f.missing), nil
		}
		if !one.Started() {
			return kv.Errorf(kv.LearnerBehind, "%s has not announced itself yet"+not+": try again in a moment", f.records.NameOf(one.ID)), nil
		}
		if !f.level {
			return kv.Errorf(kv.LearnerBehind, "%s is level only just now"+not+": try again in a moment", one.Name), nil
		}
		return judgeVoters(next, change.Instead, f)
	case kv.RemoveMember:
		if one != nil && one.Role.Votes() {
			return judgeVoters(slices.DeleteFunc(slices.Clone(f.voters), func(id uint64) bool { return id == change.ID }), change.ID, f)
		}
	}
	return nil, nil
}

// judgeVoters refuses voters without a responding quorum, and voters without the leader while it leads.
func judgeVoters(next []uint64, leaving uint64, f facts) (refused *kv.Error, successors []uint64) {
	var silent []string
	for _, id := range next {
		if f.answers[id] {
			successors = append(successors, id)
		} else {
			silent = append(silent, f.records.NameOf(id))
		}
	}
	if need := len(next)/2 + 1; len(next) > 0 && len(successors) < need {
		sort.Strings(silent)
		return kv.Errorf(kv.QuorumAtRisk, "the change would lose the quorum: it leaves %d voters, of which %d must answer, and %s would not; the membership did not change: start %s first, or remove it",
			len(next), need, strings.Join(silent, " and "), silent[0]), nil
	}
	if leaving == f.leader && len(next) > 0 {
		if !slices.ContainsFunc(successors, func(id uint64) bool { return slices.Contains(f.voters, id) }) {
			return kv.Errorf(kv.QuorumAtRisk, "the change would lose the quorum: %s is the leader, and no other voter could take over; the membership did not change: promote a learner first", f.records.NameOf(f.leader)), nil
		}
		return kv.Errorf(kv.Unavailable, "%s leads, and hands leadership over before it is removed; the membership did not change: try again", f.records.NameOf(f.leader)), successors
	}
	return nil, nil
}

// judgeChange judges a change by this leader's present knowledge, and begins to hand leadership over if the change waits for that.
// It judges nothing if there is none.
func (m *membership) judgeChange(c *core, change *kv.MemberChange) *kv.Error {
	if change == nil {
		return nil
	}
	f := facts{
		leader: c.Member, changing: m.changing(c), records: m.records, voters: m.confState.GetVoters(), learners: m.confState.GetLearners(),
		answers: map[uint64]bool{}, missing: m.behind(c, change.ID),
	}
	for _, id := range slices.Concat(f.voters, f.learners) {
		f.answers[id] = m.answers(c, id)
	}
	since, level := m.level[change.ID]
	f.level = level && c.now.Now-since >= 2*c.HeartbeatInterval
	refused, successors := judge(change, f)
	if len(successors) > 0 {
		c.transferLeadership("it is to be removed", func(id uint64, _ tracker.Progress) bool { return slices.Contains(successors, id) })
	}
	return refused
}

// changing reports whether a change of the configuration may be under way.
func (m *membership) changing(c *core) bool {
	return m.appliedTerm != c.term || c.raft.BasicStatus().Applied < m.changeAt || len(m.confState.GetVotersOutgoing()) > 0
}

// answers reports whether a member has sent a raft message within the last two election timeouts.
func (m *membership) answers(c *core, id uint64) bool {
	at, ever := m.lastMessage[id]
	return id == c.Member || c.connected[id] && ever && c.now.Now-at < 2*c.ElectionTimeout
}

// behind returns how many entries a follower lacks; 0 if it is level.
func (m *membership) behind(c *core, id uint64) (missing uint64) {
	c.raft.WithProgress(func(i uint64, _ raft.ProgressType, p tracker.Progress) {
		if i == id {
			missing = max(c.last, p.Match) - p.Match
			if p.State == tracker.StateReplicate && missing <= learnerLevelEntries && m.answers(c, id) {
				missing = 0
			} else {
				missing = max(missing, 1)
			}
		}
	})
	return missing
}

// linked handles a peer's connection: it has withdrawn its report of this member's removal, and it is not lost.
func (m *membership) linked(peer uint64) {
	delete(m.removedBy, peer)
	delete(m.unlinked, peer)
}

// nudgeExchange helps raft in two cases. It lets raft end an exchange of voters that raft did not end when the change was applied,
// because leadership was being handed over. It also lets raft take the next change after one that it had no space for. raft checks again
// with each applied entry, and an idle cluster has none.
func (m *membership) nudgeExchange(c *core) {
	if len(m.confState.GetVotersOutgoing()) == 0 && m.changeAt <= c.last {
		m.nudged = c.now.Now
	} else if c.now.Now-m.nudged >= c.ElectionTimeout {
		m.nudged = c.now.Now
		_ = c.raft.Propose(nil) // if raft drops it, it is proposed again
	}
}

// tendMembers proposes this leader's own changes: a learner becomes a voter when it is level, and a replacement takes its next step. It
// ensures that a snapshot exists for learners with an empty log.
func (c *Consensus) tendMembers() {
	for _, one := range c.membership.records.All() {
		change, save := c.membership.tend(&c.core, &one)
		if save {
			c.Applier.MustPost(SnapshotWanted{Saves: 1})
		}
		if change != nil && c.changeMembers(change) {
			c.Logger.Info("this leader changes the membership", "change", change.String(), "member", c.membership.records.NameOf(one.ID))
			return
		}
	}
}

// tend returns the next change for a member, or whether a snapshot is to be saved for it. A learner is promoted, in the place of the member
// that it replaces, when it has been level for two heartbeats. If it has no name, that of a lost member is freed for it first. The only
// voter leads, and cannot leave in the same change: for a moment both vote.
func (m *membership) tend(c *core, one *kv.Member) (change *kv.MemberChange, save bool) {
	learner, old := one.Role == kv.Learner, one.Replaces
	behind := learner && m.behind(c, one.ID) > 0
	level := m.lasts(c, m.level, one.ID, learner && !behind, 2*c.HeartbeatInterval)
	lost := old != 0 && one.Name == "" && m.lasts(c, m.unlinked, old, old != c.Member && !c.connected[old], limits.ReplaceSilence)
	switch {
	case lost, old != 0 && one.Role == kv.Voter:
		change = &kv.MemberChange{Kind: kv.RemoveMember, ID: old}
	case level && !one.Manual:
		change = &kv.MemberChange{Kind: kv.PromoteMember, ID: one.ID, Instead: old}
		if len(m.confState.GetVoters()) == 1 {
			change.Instead = 0
		}
	}
	if change == nil || m.changing(c) || m.judgeChange(c, change) != nil {
		return nil, behind && m.wantSnapshotFor(c, one.ID)
	}
	return change, false
}

// lasts reports whether something holds of a member for some time. since keeps when that began.
func (m *membership) lasts(c *core, since map[uint64]time.Duration, id uint64, holds bool, d time.Duration) bool {
	began, held := since[id]
	switch {
	case !holds:
		delete(since, id)
	case !held:
		since[id] = c.now.Now
	default:
		return c.now.Now-began >= d
	}
	return false
}

// changeMembers proposes this leader's own change, and reports whether raft took it; otherwise it is retried.
func (c *Consensus) changeMembers(change *kv.MemberChange) bool {
	status := c.raft.BasicStatus()
	if c.suspension.active() || status.LeadTransferee != raft.None || status.GetTerm() != c.term || !c.Status.Disk().LogTakes(limits.LogKept) {
		return false
	}
	envelope := c.envelope(c.proposals.next, [][]byte{index.Own().AppendMemberChange(nil, change).Bytes})
	if c.proposeEnvelope(envelope, change) != nil {
		return false
	}
	c.proposals.next++
	c.orderIfLarge(int64(len(envelope)))
	return true
}

// wantSnapshotFor reports whether a snapshot is to be saved: none exists yet, and a member has an empty log.
func (m *membership) wantSnapshotFor(c *core, id uint64) bool {
	if _, err := c.Window.Snapshot(); err == nil || c.now.Now < m.snapshotNotBefore || !c.connected[id] {
		return false
	}
	nothing := false
	c.raft.WithProgress(func(i uint64, _ raft.ProgressType, p tracker.Progress) { nothing = nothing || i == id && p.Match == 0 })
	if nothing {
		m.snapshotNotBefore = c.now.Now + limits.SnapshotRetry
	}
	return nothing
}

// listsMember reports whether a member is in a snapshot's configuration.
func listsMember(s *raftpb.Snapshot, id uint64) bool {
	c := s.GetMetadata().GetConfState()
	return slices.Contains(c.GetVoters(), id) || slices.Contains(c.GetLearners(), id) || slices.Contains(c.GetVotersOutgoing(), id)
}

// changed follows the records, and reports whether it did: they are older than the configuration of a snapshot that raft has taken.
func (m *membership) changed(c *core, news membersChanged) bool {
	if m.restoring && !news.Restored {
		return false
	}
	if !news.Restored && slices.ContainsFunc(m.records.All(), func(one kv.Member) bool { return news.Members.Get(one.ID) == nil }) {
		m.removedAt, m.partAt = news.At, 0
	}
	m.records = news.Members
	forgetRemoved(news.Members, c.suspension.accusers, m.removedBy)
	want := ConfStateOf(news.Members.Configuration())
	if m.early = m.early && news.Members.Get(c.Member) == nil; m.early {
		want.Learners = append(want.Learners, c.Member)
	}
	switch {
	case news.Change != nil:
		m.confState = c.raft.ApplyConfChange(news.Change)
	case news.Restored:
		m.confState, m.restoring = want, false
	}
	if m.confState.Equivalent(want) != nil {
		panic(fmt.Sprintf("raft's configuration is %v, and the members' records say %v", m.confState, want))
	}
	if news.Restored {
		m.removedAt = 0
	}
	return true
}

// partFromRemoved ends the connections to removed members, once their votes can no longer be needed.
func (c *Consensus) partFromRemoved() {
	if c.membership.removedAt == 0 || c.failed {
		return
	}
	if c.soft.RaftState == raft.StateLeader {
		if c.membership.partAt == 0 {
			c.drain()
			if c.raft.Propose(nil) == nil { // otherwise it is retried
				c.membership.partAt = c.last + 1
			}
		}
		if c.membership.partAt == 0 || c.raft.BasicStatus().GetCommit() < c.membership.partAt {
			return
		}
	}
	if c.membership.durable >= c.membership.removedAt {
		c.membership.removedAt = 0
		c.setMembers()
	}
}

// Configuration returns raft's present configuration.
func (c *core) Configuration() index.Configuration {
	now := c.raft.Status().Config
	return index.Configuration{
		Voters: slices.Sorted(maps.Keys(now.Voters[0])), Outgoing: slices.Sorted(maps.Keys(now.Voters[1])),
		Learners: slices.Sorted(maps.Keys(now.Learners)),
	}
}

// bind takes over to which data folders the log has bound the members' ids. A member whose id is bound to another folder takes no part.
func (c *Consensus) bind() {
	if err := c.Admission.bind(c.membership.records); err != nil && c.suspension.Reason != err.Error() {
		c.suspension.suspend(&c.core, Suspension{Reason: err.Error()})
	}
}

// setMembers sets the transport's peers.
func (c *Consensus) setMembers() {
	if c.membership.removedAt == 0 {
		c.Peers.SetMembers(c.membership.records)
	}
}

// refusedAsRemoved handles a peer's report that this member was removed. It is true if a leader reports it, if two members do, or if one
// member confirms the own log. A learner's report is not enough: the learner may know of the removal when no voter's disk does, and
// voters that restart without knowing it may need this member's vote. While this member commits with another leader's quorum, a peer that
// claims to lead counts like any other peer: an ended folder never starts again, and one stolen certificate must not end all members. A
// leader unknown to this member repeats the report with the next connection.
func (m *membership) refusedAsRemoved(c *core, peer uint64, r Refusal) {
	r.Leads = r.Leads && !c.serves(peer)
	if one := m.records.Get(peer); one != nil && one.Role == kv.Learner && !r.Leads {
		return
	}
	m.removedBy[peer] = true
	if r.Leads || len(m.removedBy) > 1 || m.records.Removed(c.Member) {
		m.removed(c, c.Status.NameOf(peer)+" says so")
	}
}

// removed ends this member: it is no longer a member, and its id is never used again.
func (m *membership) removed(c *core, why string) {
	if c.failed {
		return
	}
	c.failed = true
	if err := m.recordRemoval(); err != nil {
		c.Logger.Error("it cannot be written down that this member was removed", "error", err)
	}
	c.Fail(fmt.Errorf("%w (%s)", ErrRemoved, why))
}

// ErrRemoved is the end of a member that was removed from its cluster.
var ErrRemoved = errors.New("this member was removed from its cluster; its data folder is of no use any more, and its id never comes back: a new member with an empty folder can be added under its name")
