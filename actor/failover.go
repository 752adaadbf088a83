package actor

import (
	"slices"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// failover lets voters elect another leader as soon as they know that the process of theirs has died. raft's followers else
// wait for one to two election timeouts, and until one of them is over grant no vote.
//
// What they go by is no promise of a clock but a fact: the peer's host refuses what a process of it would take, or a later process
// of the peer has called. It must come to a silence of one and a half heartbeats, so that who can only forge the first of the two
// moves no leader that lives. A voter that is wrong all the same, forgets its leader until the next heartbeat: a pre-vote
// has no answer from those that hear the leader.
//
// Invariants:
//
//  1. died is the leader of the term diedIn, if this member knows that its process has ended; raft.None else. What that one says as
//     a leader shows that it is not so.
//  2. Nobody campaigns by this in a term in which it has not forgotten died before.
type failover struct {
	died      uint64
	diedIn    uint64 // the term in which it leads
	forgotten uint64 // the term whose leader raft was let forget because of it; 0: none
	ticks     int    // since then
	next      int    // of them, when this member campaigns
	asked     int    // ticks of silence when its host was asked last; 0: not in this silence
}

// campaignApart is how many ticks lie between the campaigns of two voters, so that one usually has won before the next one begins;
// campaignFirst is when the first one begins: the others have forgotten the leader by then, who heard it last at the same time.
const (
	campaignApart = 5
	campaignFirst = 2
)

// saidByLeader tells whether only a leader says so.
func saidByLeader(t raftpb.MessageType) bool {
	switch t {
	case raftpb.MsgApp, raftpb.MsgHeartbeat, raftpb.MsgSnap, raftpb.MsgTimeoutNow, raftpb.MsgReadIndexResp:
		return true
	}
	return false
}

// heardLeader notes that the leader has said something.
func (c *Consensus) heardLeader() {
	c.silence, c.failover.asked, c.failover.died = 0, 0, raft.None
}

// peerDied is told that a process of a peer has ended.
func (c *Consensus) peerDied(peer uint64) {
	if now := c.raft.BasicStatus(); peer == now.Lead {
		c.failover.died, c.failover.diedIn = peer, now.GetTerm()
		c.forgetLeader()
	}
}

// watchLeader asks after a leader that is late, and goes on with the election of another one.
func (c *Consensus) watchLeader(ticks int) {
	f, now := &c.failover, c.raft.BasicStatus()
	switch {
	case now.Lead == c.Member || c.quarantine.active():
	case now.Lead != raft.None:
		f.forgotten = 0
		c.forgetLeader()
		if late := c.lateTicks(); f.died == raft.None && c.silence >= late && (f.asked == 0 || c.silence-f.asked >= late) {
			f.asked = c.silence
			c.Peers.CheckAlive(now.Lead)
		}
	case f.forgotten == now.GetTerm() && f.forgotten != 0:
		c.campaignEarly(ticks)
	}
}

// lateTicks is how long a leader is silent that is late.
func (c *ConsensusConfig) lateTicks() int { return int(c.HeartbeatInterval/TickInterval) * 3 / 2 }

// forgetLeader lets raft forget a leader that has died and is silent.
func (c *Consensus) forgetLeader() {
	f, now := &c.failover, c.raft.BasicStatus()
	voters := c.votersOfBoth()
	if now.Lead == raft.None || f.died != now.Lead || f.diedIn != now.GetTerm() || c.silence < c.lateTicks() || now.RaftState != raft.StateFollower || !slices.Contains(voters, c.Member) {
		return
	}
	c.Logger.Info("the leader's process has died, as its host says: another one is elected at once", "leader", c.Status.NameOf(f.died), "term", now.GetTerm())
	*f = failover{forgotten: now.GetTerm(), next: firstCampaign(voters, c.Member, f.died)}
	if err := c.raft.ForgetLeader(); err != nil {
		c.Logger.Debug("forget the leader", "error", err)
	}
}

// votersOfBoth are the voters, also of the configuration that an exchange of voters leaves: their votes are asked for as well.
func (c *Consensus) votersOfBoth() []uint64 {
	voters := slices.Clone(c.membership.confState.GetVoters())
	for _, id := range c.membership.confState.GetVotersOutgoing() {
		if !slices.Contains(voters, id) {
			voters = append(voters, id)
		}
	}
	return voters
}

// firstCampaign is after how many ticks a voter campaigns first: in the order of the ids.
func firstCampaign(voters []uint64, member, died uint64) int {
	ticks := campaignFirst
	for _, id := range voters {
		if id < member && id != died {
			ticks += campaignApart
		}
	}
	return ticks
}

// campaignEarly campaigns when it is this member's turn, and again after all others had theirs: who has not forgotten the leader yet
// when it is asked does not answer, and whose log is behind is refused. After an election timeout raft's own clock takes over.
func (c *Consensus) campaignEarly(ticks int) {
	f := &c.failover
	if f.ticks += ticks; f.ticks < f.next || f.ticks >= c.electionTicks {
		return
	}
	f.next += max(len(c.votersOfBoth())-1, 1) * campaignApart
	c.Window.ScanKinds(func() {
		if err := c.raft.Campaign(); err != nil {
			c.Logger.Debug("campaign", "error", err)
		}
	})
}
