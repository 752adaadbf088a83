package actor

import (
	"errors"
	"fmt"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"qkv/index"
	"qkv/internal/pack"
	"qkv/net/wire/peerframe"
)

// A leader claim is a message that only a leader sends: heartbeats, appends, offers of snapshots, and the answers to forwarded writes,
// reads and leases. raft takes a claim of the present term from any peer: one faulty member could stop all others with a single
// heartbeat. A member that takes part therefore applies this rule to every message before raft or a handler sees it:
//
//	a member that knows the leader of its term takes claims of that term from that leader only.
//
// A leader that the member has made raft forget (failover.go) is still the only leader of its term, for an election timeout.
// A leader drops all claims of its own term. A claim of a later term is believed, as raft must believe it: the member may have missed
// the election. The package's page lists the limits of the rule. A member that is suspended or held back listens to leaders without the
// rule (suspension.receive), since raft does not follow the elections of the others meanwhile.

// claimedTerm returns the term in which the sender of a message claims to lead. The answers to questions for leases name no term: 0.
func claimedTerm(m peerframe.Message) (term uint64, claims bool) {
	switch m := m.(type) {
	case peerframe.Raft:
		return m.GetTerm(), isLeaderMessage(m.GetType())
	case peerframe.SnapshotOffer:
		return m.MessageTerm, true
	case peerframe.Accepted:
		return m.Term, true
	case peerframe.LeaseTimes:
		return 0, true
	}
	return 0, false
}

// believes applies the rule to a message, and counts the claims of the present term that it drops.
func (e *elections) believes(c *core, from uint64, m peerframe.Message) bool {
	term, claims := claimedTerm(m)
	if !claims || from == c.soft.Lead && term == c.term {
		return true
	}
	now := c.raft.BasicStatus() // the leader may have changed since the last Ready
	leader := e.failover.leaderOf(c, now)
	if leader == raft.None || leader == from || term > now.GetTerm() {
		return true
	}
	if term < now.GetTerm() {
		_, answered := m.(peerframe.Raft) // raft tells a former leader the present term
		return answered
	}
	if n := c.Status.Observer.Counters.FalseClaims.Add(1); n&(n-1) == 0 { // the first, the second, the fourth ...
		c.Logger.Error("dropped a message that only the leader of the term may send: if this continues, stop that member and check its build and its host",
			"peer", c.Status.NameOf(from), "leader", c.Status.NameOf(leader), "term", term, "message", fmt.Sprintf("%T", m), "times", n)
	}
	return false
}

// mayLead applies the rule to a refusal, which names no term: a peer that says that it leads is believed if this member knows no other
// leader.
func (c *core) mayLead(peer uint64) bool {
	leader := c.leader()
	return leader == raft.None || leader == peer
}

// decodable tells whether all entries of an append can be applied. An entry that cannot be decoded would stop this member at every
// start once it is in the log. The append is dropped; its sender sends it again. The log line tells an entry of a newer qkv, which this
// member takes after an upgrade, from any other entry, which is damaged or forged.
func (c *core) decodable(from uint64, entries []*raftpb.Entry) bool {
	for _, e := range entries {
		data, err := EnvelopeOf(e)
		if err == nil && len(data) > 0 {
			_, err = index.CheckEnvelope(data)
		}
		if err == nil {
			continue
		}
		if n := c.Status.Observer.Counters.Undecodable.Add(1); n&(n-1) == 0 {
			why := "an entry cannot be decoded, and is refused before it is written to the log: stop its sender and check its build and its host"
			if errors.Is(err, pack.ErrNewer) {
				why = "an entry of a newer qkv is refused before it is written to the log: upgrade this member; if its sender runs no newer version, stop the sender and check its build and its host"
			}
			c.Logger.Error(why, "peer", c.Status.NameOf(from), "index", e.GetIndex(), "term", e.GetTerm(), "error", err, "times", n)
		}
		return false
	}
	return true
}
