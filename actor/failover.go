package actor

import (
	"slices"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// failover lets voters elect another leader as soon as they know that their leader's process has died. Otherwise raft's followers wait
// for one to two election timeouts, and grant no vote until one of them is over.
//
// The evidence is a fact, not a clock's promise: the peer's host refuses a packet that a process of the peer would accept, or a later
// process of the peer has called. A silence of one and a half heartbeats must come on top, so an attacker that can forge only the
// evidence cannot depose a live leader. A voter with wrong evidence forgets its leader until the next heartbeat: its pre-vote gets no
// answer from members that hear the leader.
//
// Invariants:
//
//  1. died is the leader of the term diedIn, if this member knows that the leader's process has ended; otherwise raft.None. A message
//     from it as the leader disproves the evidence.
//  2. A member campaigns by this rule only in a term in which it has forgotten died before.
type failover struct {
	died      uint64
	diedIn    uint64 // the term in which it leads
	forgotten uint64 // the term in which raft was made to forget the leader; 0: none
	ticks     int    // since then
	next      int    // the tick at which this member campaigns
	asked     int    // ticks of silence at the last query of its host; 0: none in this silence
}

// campaignApart is the number of ticks between the campaigns of two voters: one has usually won before the next begins. campaignFirst is
// the tick of the first campaign: the other voters heard the leader last at the same time, and have forgotten it by then.
const (
	campaignApart = 5
	campaignFirst = 2
)

// saidByLeader reports whether only a leader sends this type.
func saidByLeader(t raftpb.MessageType) bool {
	switch t {
	case raftpb.MsgApp, raftpb.MsgHeartbeat, raftpb.MsgSnap, raftpb.MsgTimeoutNow, raftpb.MsgReadIndexResp:
		return true
	}
	return false
}

// heard notes a message from the leader.
func (f *failover) heard() { f.asked, f.died = 0, raft.None }

// peerDied handles the report that a process of a peer has ended.
func (f *failover) peerDied(c *core, peer uint64) {
	if now := c.raft.BasicStatus(); peer == now.Lead {
		f.died, f.diedIn = peer, now.GetTerm()
		f.forgetLeader(c)
	}
}

// tick drives the election of another leader. It returns a late leader, whose host is to be asked, or raft.None.
func (f *failover) tick(c *core, ticks int) (late uint64) {
	now := c.raft.BasicStatus()
	switch {
	case now.Lead == c.Member || c.suspension.active():
	case now.Lead != raft.None:
		f.forgotten = 0
		f.forgetLeader(c)
		if most := c.lateTicks(); f.died == raft.None && c.silence >= most && (f.asked == 0 || c.silence-f.asked >= most) {
			f.asked = c.silence
			return now.Lead
		}
	case f.forgotten == now.GetTerm() && f.forgotten != 0:
		f.campaignEarly(c, ticks)
	}
	return raft.None
}

// forgetLeader makes raft forget a leader that has died and is silent.
func (f *failover) forgetLeader(c *core) {
	now := c.raft.BasicStatus()
	voters := c.votersOfBoth()
	if now.Lead == raft.None || f.died != now.Lead || f.diedIn != now.GetTerm() || c.silence < c.lateTicks() || now.RaftState != raft.StateFollower || !slices.Contains(voters, c.Member) {
		return
	}
	c.Logger.Info("the leader's process has died, as its host reports: starting an election at once", "leader", c.Status.NameOf(f.died), "term", now.GetTerm())
	*f = failover{forgotten: now.GetTerm(), next: firstCampaign(voters, c.Member, f.died)}
	if err := c.raft.ForgetLeader(); err != nil {
		c.Logger.Debug("forget the leader", "error", err)
	}
}

// succession returns an order to campaign at once, for the voter that has most of the log, when this leader has just ended its own term:
// no quorum has answered it for an election timeout. Voters that still hear it would wait for another one. Otherwise it returns nil.
func (f *failover) succession(c *core) *raftpb.Message {
	now, best := c.raft.BasicStatus(), uint64(raft.None)
	if c.soft.RaftState != raft.StateLeader || now.RaftState != raft.StateFollower || now.GetTerm() != c.term {
		return nil
	}
	for _, id := range c.votersOfBoth() {
		if id != c.Member && c.connected[id] && c.Status.Match(id) > c.Status.Match(best) {
			best = id
		}
	}
	if best == raft.None {
		return nil
	}
	c.Logger.Warn("no quorum has answered this leader for an election timeout: it ends its term, and asks another voter to lead", "to", c.Status.NameOf(best), "term", c.term)
	return &raftpb.Message{Type: raftpb.MsgTimeoutNow.Enum(), From: new(c.Member), To: &best, Term: new(c.term)}
}

// firstCampaign returns after how many ticks a voter campaigns first: in the order of the ids.
func firstCampaign(voters []uint64, member, died uint64) int {
	ticks := campaignFirst
	for _, id := range voters {
		if id < member && id != died {
			ticks += campaignApart
		}
	}
	return ticks
}

// campaignEarly campaigns in this member's turn, and again after all other voters had theirs. A voter that has not forgotten the leader
// yet does not answer, and a candidate whose log lags is refused. After an election timeout raft's own clock takes over.
func (f *failover) campaignEarly(c *core, ticks int) {
	if f.ticks += ticks; f.ticks < f.next || f.ticks >= c.electionTicks() {
		return
	}
	f.next += max(len(c.votersOfBoth())-1, 1) * campaignApart
	c.campaign()
}
