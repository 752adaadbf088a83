package actor

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"qkv/index"
)

// Refusal is why a member does not let another one take part.
type Refusal struct {
	Forgot  bool // it has forgotten what it promised; nothing follows from a refusal for another reason but
	Removed bool // it was removed from the cluster
	Leads   bool // the one who refuses leads
	Refused bool // the one who refuses takes no part itself, or has nothing of the cluster's log yet
	Text    string
}

func (r *Refusal) Error() string { return r.Text }

// Quarantine is why a member takes no part in the cluster: it has forgotten what it promised, and what it would vote for
// or acknowledge could contradict that; or its state is not what the others have, and what it would answer is wrong.
type Quarantine struct {
	Reason  string // empty while the member takes part
	By      uint64 // the member on whose word alone it is held back; 0: until an operator lifts it
	Differs bool   // its state does, and nothing was forgotten
}

// Alarm is what an operator is told of it.
func (q Quarantine) Alarm() Alarm {
	if q.Differs {
		return Alarm{Name: Corrupt, Subject: StateSubject, Text: q.Reason}
	}
	return Alarm{Name: Amnesia, Text: q.Reason}
}

// StateSubject is the subject of alarms that say that members' states differ.
const StateSubject = "state"

// quarantine decides whether this member takes part, by what others say of it.
//
// One word is never enough to end a member's part, and never ignored by one that has no quorum: it may come from the
// only member that knows. So who is refused as forgetful by one member that does not lead is *held back* until
//
//   - a leader says the same, or a second member that takes part: then it is quarantined until an operator lifts it;
//   - the accuser admits it: it sends something, since a connection may stand on this side before the other has judged;
//   - a leader goes on to send it heartbeats though it says nothing: others are a quorum, and admit it;
//   - so many voters are accused by the same member that the rest is no quorum: what that member knows of cannot come back. A
//     learner that is accused, too, is no part of that; one that accuses them may be a learner. But who has nothing of the cluster's
//     log is held back all the same: with others like it, it would serve an empty cluster beside the one that has the data.
//
// Who commits with a quorum without the accuser overrules it.
//
// Who takes no part itself may have learned what it says from a copy of the accused one's folder, which met it first after its own
// was lost. But it may also be the only one that is up and knows: so its word holds back, and is none of the two that end a part.
// A leader's quorum shows who is right: what it has committed it has without the accused.
//
// Invariants:
//
//  1. Reason is empty while the member takes part.
//  2. What is decided is durable before anything follows from it, so that no later start forgets it.
//  3. What By = 0 says ends only by an operator.
type quarantine struct {
	Quarantine
	record func(Quarantine) error

	// accusers are the peers that refuse this member as one that has forgotten, by what they said last: whether they take part
	// themselves. While there are any, the others are told.
	accusers map[uint64]bool
	// accused are the accusations of the last three election timeouts that the accused have told of, one of each kind.
	accused []accusation
	// A leader that sends heartbeats while this member is held back: since when without a break, and the newest.
	leader, term  uint64
	since, newest time.Duration
}

// accusation is a member's refusal of another one, told by that one at a moment.
type accusation struct {
	by, of uint64
	at     time.Duration
}

func newQuarantine(q Quarantine, record func(Quarantine) error) quarantine {
	return quarantine{Quarantine: q, record: record, accusers: map[uint64]bool{}}
}

// active tells that this member takes no part.
func (q *quarantine) active() bool { return q.Reason != "" }

// held tells that it takes no part on one member's word.
func (q *quarantine) held() bool { return q.active() && q.By != 0 }

// set makes a decision durable, and takes it.
func (q *quarantine) set(next Quarantine) error {
	if err := q.record(next); err != nil {
		return err
	}
	q.Quarantine, q.leader = next, 0
	return nil
}

// accuse judges the word of a member that this one has forgotten what it promised, serving when this one commits with a
// quorum without that member. It returns what is to be decided, or that the word is overruled.
func (q *quarantine) accuse(by uint64, r Refusal, serving bool) (next Quarantine, overruled bool) {
	q.accusers[by] = !r.Refused
	switch {
	case q.active() && !q.held():
		return q.Quarantine, false
	case serving:
		return q.Quarantine, true
	case r.Leads, !r.Refused && q.held() && q.seconded(by):
		return Quarantine{Reason: r.Text}, false
	case r.Refused && q.held():
		return q.Quarantine, false
	default:
		return Quarantine{Reason: r.Text, By: by}, false
	}
}

// seconded tells whether another member that takes part says the same as one does.
func (q *quarantine) seconded(by uint64) bool {
	return slices.ContainsFunc(slices.Sorted(maps.Keys(q.accusers)), func(other uint64) bool { return other != by && q.accusers[other] })
}

// admitted tells whether what a peer sends ends that this member is held back: who refuses it sends nothing.
func (q *quarantine) admitted(by uint64) bool { return q.held() && q.By == by }

// hear notes a heartbeat or an append of a leader, and tells whether this member is not held back any longer: a leader
// that goes on for three election timeouts has a quorum without it.
func (q *quarantine) hear(leader, term uint64, now, electionTimeout time.Duration) bool {
	if leader != q.leader || term != q.term || now-q.newest > electionTimeout {
		q.leader, q.term, q.since = leader, term, now
	}
	q.newest = now
	return q.held() && leader != q.By && now-q.since >= 3*electionTimeout
}

// note takes down that a peer says who accuses it, and tells whether this member, self, is not held back any longer: of the
// voters a quorum is accused by the same member.
func (q *quarantine) note(a accusation, electionTimeout time.Duration, self uint64, voters []uint64) bool {
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
	return q.held() && alike > len(voters)/2
}

// refused hears that a peer refuses this member.
func (c *Consensus) refused(peer uint64, r Refusal) {
	if r.Removed {
		c.refusedAsRemoved(peer, r)
		return
	}
	if r.Forgot {
		next, overruled := c.quarantine.accuse(peer, r, c.serves(peer))
		if overruled {
			r.Forgot = false
			r.Text = fmt.Sprintf("it says that this member has forgotten what it promised, and is overruled: this member commits with a quorum that %s is not in. "+
				"If its folder holds what was lost, stop the others before they write more; otherwise remove its folder. Its words: %s", c.Status.NameOf(peer), r.Text)
		} else {
			c.enterQuarantine(next)
		}
		c.tellAccusers()
	}
	c.Status.refusal(peer, &r)
}

// linked hears that there is a connection to a peer, which does not refuse this member, or has not yet: what it said before counts no
// more.
func (c *Consensus) linked(peer uint64) {
	c.Status.refusal(peer, nil)
	delete(c.quarantine.accusers, peer)
	delete(c.membership.removedBy, peer)
	c.tellAccusers()
}

// forgetRemoved forgets what members have said of this one that were removed since: they are not heard any more, and their words are
// none of the two that end a part.
func forgetRemoved(members index.Members, said ...map[uint64]bool) {
	for _, by := range said {
		maps.DeleteFunc(by, func(id uint64, _ bool) bool { return members.Removed(id) })
	}
}

// serves tells whether this member commits with a quorum without another one, as far as it can know.
func (c *Consensus) serves(without uint64) bool {
	return !c.quarantine.active() && c.leader() != raft.None && c.leader() != without && c.handedTerm == c.term
}

// tellAccusers tells the voters who accuses this one: also when that is a learner, or one that was added after what this member's
// folder knows. Where all voters were put back to an earlier moment, nobody else is left to accuse them.
func (c *Consensus) tellAccusers() {
	for _, by := range slices.Sorted(maps.Keys(c.quarantine.accusers)) {
		if !c.quarantine.accusers[by] {
			continue
		}
		for _, to := range c.membership.confState.GetVoters() {
			if to != c.Member && to != by && c.connected[to] {
				c.Peers.Send(to, Accused{By: by}, false)
			}
		}
	}
}

// receiveHeld listens to peers while this member takes no part.
func (c *Consensus) receiveHeld(r Received) {
	if c.connected[r.From] && c.quarantine.admitted(r.From) {
		c.leaveQuarantine(c.Status.NameOf(r.From) + " admits it")
		return
	}
	m, ok := r.Message.(RaftMessage)
	if !ok || (m.GetType() != raftpb.MsgHeartbeat && m.GetType() != raftpb.MsgApp) || m.GetTerm() < c.term {
		return
	}
	if c.quarantine.hear(r.From, m.GetTerm(), c.now.Now, c.ElectionTimeout) {
		c.leaveQuarantine(c.Status.NameOf(r.From) + " leads a quorum, and admits it")
	}
}

// differs stops this member from taking part: its state is not what the others have.
func (c *Consensus) differs(why string) {
	if !c.quarantine.active() || c.quarantine.held() {
		c.enterQuarantine(Quarantine{Reason: why, Differs: true})
	}
}

// forgot stops this member from taking part: a leader counts entries as acknowledged here that are not here.
func (c *Consensus) forgot(leader, commit uint64) {
	c.enterQuarantine(Quarantine{Reason: fmt.Sprintf(amnesiaWord+": %s has committed entry %d with this member's acknowledgement, but its log ends at %d; "+
		"its data folder was replaced or restored from an old copy: put back exactly the folder that it last ran with, or "+
		replaceHow, c.Status.NameOf(leader), commit, c.last, c.Status.NameOf(c.Member))})
}

// enterQuarantine ends this member's part in the cluster, or says more of why it has ended.
func (c *Consensus) enterQuarantine(next Quarantine) {
	if next == c.quarantine.Quarantine {
		return
	}
	if !c.setQuarantine(next) {
		return
	}
	how := "this member takes no part until an operator lifts it"
	if next.By != 0 {
		how = "this member takes no part on the word of one member, until another one says the same or a quorum admits it"
	}
	c.Logger.Error(how, "because", next.Reason)
	c.Status.Alarm(next.Alarm())
}

// leaveQuarantine lets this member take part again.
func (c *Consensus) leaveQuarantine(why string) {
	before := c.quarantine.Quarantine
	if !c.quarantine.active() || !c.setQuarantine(Quarantine{}) {
		return
	}
	before.Reason = ""
	c.Logger.Warn("this member takes part again", "because", why)
	c.Status.Alarm(before.Alarm())
}

func (c *Consensus) setQuarantine(next Quarantine) bool {
	if err := c.quarantine.set(next); err != nil {
		c.failed = true
		c.Fail(fmt.Errorf("%w: it cannot keep whether this member takes part: %w", ErrDisk, err))
		return false
	}
	return true
}
