package actor

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/index"
	"qkv/index/kv"
	"qkv/net/wire/peerframe"
)

// Refusal is the error with which a member refuses another member's connection.
type Refusal struct {
	Forgot    bool // it has forgotten its promises; other reasons have no consequence, except Removed
	Removed   bool // it was removed from the cluster
	Leads     bool // the refusing member leads
	Suspended bool // the refusing member takes no part itself, or has nothing of the cluster's log yet
	Text      string
}

func (r *Refusal) Error() string { return r.Text }

// Suspension is the reason why a member takes no part in the cluster. Either it has forgotten its promises, and its votes and
// acknowledgements could contradict them; or its state differs from the others', and its answers would be wrong.
type Suspension struct {
	Reason  string `msgpack:"r"` // empty while the member takes part
	By      uint64 `msgpack:"b"` // the member on whose word alone it is held back; 0: until an operator lifts it
	Differs bool   `msgpack:"d"` // its state differs, and it has forgotten nothing
}

// Alarm returns the operator's alarm for it.
func (q Suspension) Alarm() kv.Alarm {
	if q.Differs {
		return kv.Alarm{Name: kv.CorruptAlarm, Subject: StateSubject, Text: q.Reason}
	}
	return kv.Alarm{Name: kv.AmnesiaAlarm, Text: q.Reason}
}

// StateSubject is the subject of alarms that say that members' states differ.
const StateSubject = "state"

// suspension decides whether this member takes part, by the reports of others.
//
// One member's word is never enough to end another member's part. But a member without a quorum never ignores it: it may come from the
// only member that knows. A member that one non-leader refuses as forgetful is therefore *held back* until
//
//   - a leader says the same, or a second member that takes part: then it is suspended until an operator lifts it;
//   - the accuser admits it by sending a message; a connection alone may exist on this side before the other side has judged. An accuser
//     that is connected and claims a commit index beyond this member's log admits it by a heartbeat with an index within the log, or
//     by asking for a vote, in a later term, with a log that ends before the claim: it does not have the entry that it called committed;
//   - a leader continues to send it heartbeats despite its silence: the others are a quorum, and admit it;
//   - the same member accuses so many voters that the rest is no quorum: the state that the accuser knows cannot come back.
//     Accused learners are not counted; the accuser may be a learner. But a member with nothing of the cluster's
//     log stays held back: with others like it, it would serve an empty cluster beside the member that has the data.
//
// A member that commits with a quorum without the accuser overrules it.
//
// A member that takes no part itself may repeat what a copy of the accused member's folder has told it; the copy met it first after its
// own folder was lost. It may also be the only running member that knows. Its word therefore holds back, and does not count as one of the
// two words that end a part. A leader's quorum shows which side is right: the quorum has its committed entries without the accused
// member.
//
// Invariants:
//
//  1. Reason is empty while the member takes part.
//  2. A decision is durable before the member acts on it: no later start forgets it.
//  3. Only an operator ends a suspension with By = 0.
type suspension struct {
	Suspension
	record func(Suspension) error

	// accusers are the peers that refuse this member as forgetful, by their last report; the value says whether they take part
	// themselves. While there are any, the others are told.
	accusers map[uint64]bool
	// accused are the accusations that accused members have reported in the last three election timeouts, one of each kind.
	accused []accusation
	// claim is the commit index beyond this member's log because of which it is held back, with the term of the heartbeat. It is zero if
	// this member is held back because of a refusal, and when the sender has judged this member's log in a handshake since.
	claim struct{ index, term uint64 }
	// A leader that sends heartbeats while this member is held back: the start of the unbroken sequence, and the newest.
	leader, term  uint64
	since, newest time.Duration
}

// accusation is a member's refusal of another one, reported by the refused member at a time.
type accusation struct {
	by, of uint64
	at     time.Duration
}

func newSuspension(q Suspension, record func(Suspension) error) suspension {
	return suspension{Suspension: q, record: record, accusers: map[uint64]bool{}}
}

// active reports that this member takes no part.
func (q *suspension) active() bool { return q.Reason != "" }

// heldBack reports that it takes no part on one member's word.
func (q *suspension) heldBack() bool { return q.active() && q.By != 0 }

// set makes a decision durable, and then adopts it.
func (q *suspension) set(next Suspension) error {
	if err := q.record(next); err != nil {
		return err
	}
	q.Suspension, q.leader, q.claim.index = next, 0, 0
	return nil
}

// accuse judges a member's word that this one has forgotten its promises; serving says that this one commits with a quorum without that
// member. It returns the decision, or that the word is overruled.
func (q *suspension) accuse(by uint64, r Refusal, serving bool) (next Suspension, overruled bool) {
	q.accusers[by] = !r.Suspended
	switch {
	case q.active() && !q.heldBack():
		return q.Suspension, false
	case serving:
		return q.Suspension, true
	case r.Leads, !r.Suspended && q.heldBack() && q.seconded(by):
		return Suspension{Reason: r.Text}, false
	case r.Suspended && q.heldBack():
		return q.Suspension, false
	default:
		return Suspension{Reason: r.Text, By: by}, false
	}
}

// seconded reports whether another member that takes part says the same.
func (q *suspension) seconded(by uint64) bool {
	return slices.ContainsFunc(slices.Sorted(maps.Keys(q.accusers)), func(other uint64) bool { return other != by && q.accusers[other] })
}

// admitted reports whether a peer's message admits this member, which is held back: a peer that refuses it sends none. within: the
// message shows that the peer knows of no committed entry beyond this member's log.
func (q *suspension) admitted(by uint64, within bool) bool {
	return q.heldBack() && q.By == by && (within || q.claim.index == 0)
}

// recordHeartbeat notes a leader's heartbeat or append, and reports whether this member is no longer held back: a leader that continues for
// three election timeouts has a quorum without it.
func (q *suspension) recordHeartbeat(leader, term uint64, now, electionTimeout time.Duration) bool {
	if leader != q.leader || term != q.term || now-q.newest > electionTimeout {
		q.leader, q.term, q.since = leader, term, now
	}
	q.newest = now
	return q.heldBack() && leader != q.By && now-q.since >= 3*electionTimeout
}

// recordAccusation records a peer's report of its accuser, and reports whether this member, self, is no longer held back: the same member
// accuses a quorum of the voters.
func (q *suspension) recordAccusation(a accusation, electionTimeout time.Duration, self uint64, voters []uint64) bool {
	q.accused = slices.DeleteFunc(q.accused, func(old accusation) bool {
		return a.at-old.at > 3*electionTimeout || old.by == a.by && old.of == a.of
	})
	q.accused = append(q.accused, a)
	alike := 0
	for _, voter := range voters {
		if voter == self || slices.ContainsFunc(q.accused, func(one accusation) bool { return one.of == voter && one.by == q.By }) {
			alike++
		}
	}
	return q.heldBack() && alike > len(voters)/2
}

// refused handles a peer's refusal of this member, for another reason than its removal. It returns what the voters are told.
func (q *suspension) refused(c *core, peer uint64, r Refusal) (messages []toPeer) {
	r.Leads = r.Leads && c.mayLead(peer)
	if r.Forgot {
		next, overruled := q.accuse(peer, r, c.serves(peer))
		if overruled {
			r.Forgot = false
			r.Text = fmt.Sprintf("it reports that this member has lost acknowledged data, and is overruled: this member commits with a quorum without %s. "+
				"If its folder holds what was lost, stop the others before they write more; otherwise remove its folder. Its words: %s", c.Status.NameOf(peer), r.Text)
		} else {
			q.suspend(c, next)
		}
		messages = q.accusations(c)
	}
	c.Status.refusal(peer, &r)
	return messages
}

// linked handles a connection to a peer that does not refuse this member, or has not yet: its earlier report no longer counts.
func (q *suspension) linked(peer uint64) {
	delete(q.accusers, peer)
	if q.By == peer {
		q.claim.index = 0 // it has judged this member's log anew
	}
}

// forgetRemoved forgets the reports of members that were removed since: they are no longer heard, and their words do not count among the
// two that end a part.
func forgetRemoved(members index.Members, reports ...map[uint64]bool) {
	for _, by := range reports {
		maps.DeleteFunc(by, func(id uint64, _ bool) bool { return members.Removed(id) })
	}
}

// accusations returns the messages that tell the voters which members accuse this one. The accuser may be a learner, or a member added
// after the state of this member's folder. If all voters were restored to an earlier point, no other member is left to accuse them.
func (q *suspension) accusations(c *core) (all []toPeer) {
	for _, by := range slices.Sorted(maps.Keys(q.accusers)) {
		if !q.accusers[by] {
			continue
		}
		for _, to := range c.membership.confState.GetVoters() {
			if to != c.Member && to != by && c.connected[to] {
				all = append(all, toPeer{to, peerframe.Accused{By: by}})
			}
		}
	}
	return all
}

// receive handles peers' messages while this member takes no part; beyondLog tells whether a heartbeat's commit index is beyond the log.
// receive returns what the voters are told.
func (q *suspension) receive(c *core, r Received, beyondLog func(*raftpb.Message) bool) []toPeer {
	m, ok := r.Message.(peerframe.Raft)
	leads := ok && carriesPosition(m.Message) && m.GetTerm() >= c.term
	heartbeat := leads && m.GetType() == raftpb.MsgHeartbeat
	if heartbeat && beyondLog(m.Message) {
		return q.judgeCommitBeyondLog(c, r.From, m.GetCommit(), m.GetTerm())
	}
	if c.connected[r.From] && q.admitted(r.From, heartbeat || ok && q.withdrawn(m.Message)) {
		q.lift(c, c.Status.NameOf(r.From)+" admits it")
		return nil
	}
	if leads && q.recordHeartbeat(r.From, m.GetTerm(), c.now.Now, c.ElectionTimeout) {
		q.lift(c, c.Status.NameOf(r.From)+" leads a quorum, and admits it")
	}
	return nil
}

// withdrawn reports whether a candidate's message shows that the candidate does not have the entry of its claim. A member never loses what
// it has committed. A request of the claim's term or an earlier one may have been sent before the claim.
func (q *suspension) withdrawn(m *raftpb.Message) bool {
	asks := m.GetType() == raftpb.MsgPreVote || m.GetType() == raftpb.MsgVote
	return asks && m.GetTerm() > q.claim.term && m.GetIndex() < q.claim.index
}

// receiveAccusation handles a peer's report that another member refuses it.
func (q *suspension) receiveAccusation(c *core, from, by uint64) {
	alike := q.recordAccusation(accusation{by: by, of: from, at: c.now.Now}, c.ElectionTimeout, c.Member, c.membership.confState.GetVoters())
	if alike && c.last > foundingIndex {
		q.lift(c, "a quorum is accused by "+c.Status.NameOf(by)+" alone")
	}
}

// differs ends this member's part: its state differs from the state of the others.
func (q *suspension) differs(c *core, why string) {
	if !q.active() || q.heldBack() {
		q.suspend(c, Suspension{Reason: why, Differs: true})
	}
}

// judgeCommitBeyondLog judges a leader's heartbeat with a commit index beyond this member's log: the leader counts entries as acknowledged
// by this member that it does not have. The leader may be wrong. Its claim therefore counts as one member's word, like a refusal, and only
// holds this member back. judgeCommitBeyondLog returns the messages to the voters.
func (q *suspension) judgeCommitBeyondLog(c *core, leader, commit, term uint64) []toPeer {
	if q.heldBack() && q.By == leader {
		q.accusers[leader] = true
		q.claim.index, q.claim.term = min(q.claim.index, commit), max(q.claim.term, term)
		return nil
	}
	next, _ := q.accuse(leader, Refusal{Text: fmt.Sprintf(amnesiaWord+": %s has committed entry %d with this member's acknowledgement, but its log ends at %d; "+
		"its data folder was replaced or restored from an old copy: put back exactly the folder that it last ran with, or "+
		replaceHow, c.Status.NameOf(leader), commit, c.last, c.Status.NameOf(c.Member))}, false)
	q.suspend(c, next)
	if q.By == leader {
		q.claim.index, q.claim.term = commit, term
	}
	return q.accusations(c)
}

// suspend ends this member's part in the cluster, or extends the reason.
func (q *suspension) suspend(c *core, next Suspension) {
	if next == q.Suspension {
		return
	}
	if !q.change(c, next) {
		return
	}
	how := "this member takes no part until an operator lifts it"
	if next.By != 0 {
		how = "this member takes no part on the word of one member, until another one says the same or a quorum admits it"
	}
	c.Logger.Error(how, "because", next.Reason)
	c.Status.Alarm(next.Alarm())
}

// lift lets this member take part again.
func (q *suspension) lift(c *core, why string) {
	before := q.Suspension
	if !q.active() || !q.change(c, Suspension{}) {
		return
	}
	before.Reason = ""
	c.Logger.Warn("this member takes part again", "because", why)
	c.Status.Alarm(before.Alarm())
}

// change makes a decision durable and adopts it. If the disk fails, the member ends.
func (q *suspension) change(c *core, next Suspension) bool {
	if err := q.set(next); err != nil {
		c.failed = true
		c.Fail(fmt.Errorf("%w: it cannot keep whether this member takes part: %w", ErrDisk, err))
		return false
	}
	return true
}
