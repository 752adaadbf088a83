package actor

import (
	"slices"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"qkv/net/wire/peerframe"
)

// failover makes raft forget a leader that has died, or that two voters suspect, and campaigns in this member's turn. The package comment
// ("Loss of a leader") describes both kinds of evidence.
//
// The death of a process is a fact: its host refuses a packet that the process would accept, or a later process of the peer has called. A
// silence of one and a half heartbeats must come on top, so an attacker that can forge only the evidence cannot depose a live leader.
//
// A suspicion was a mistake if the leader is heard again within an election timeout: its host, or the network, paused. The voter then waits
// for twice that silence with every leader, until no silence would have been another mistake for mistakeKept. Otherwise hosts that pause
// now and then would depose each leader in turn: each is judged by its own heartbeats, and is deposed before a pause can count among them.
//
// A cluster that starts has no leader to forget. A voter without a leader since its start campaigns in its turn once it is
// connected to a quorum.
//
// Invariants:
//
//  1. died is the leader of the term diedIn, if this member knows that the leader's process has ended; otherwise raft.None. A message
//     from it as the leader disproves the evidence.
//  2. A member campaigns by evidence only in a term in which it has forgotten the leader before.
//  3. seconded is above 0 while another voter's suspicion of the present leader, in the present term, is fresh.
//  4. doubt is how long the leader that this member has last forgotten by a suspicion is silent; at least an election timeout if it has been
//     heard again, or another evidence came after it. doubted is that leader while doubt is shorter and the connection lasts, or raft.None.
type failover struct {
	died      uint64
	diedIn    uint64 // the term in which it leads
	ticks     int    // since this member has forgotten its leader, or since it is connected to a quorum
	next      int    // the tick at which this member campaigns
	queriedAt int    // ticks of silence at the last query of its host; 0: none in this silence

	link      linkWatch
	watched   leadership // the one of link
	seconded  int        // ticks
	reportIn  int        // ticks until the others are told of this member's suspicion
	forgotten leadership // that this member has made raft forget; zeros: none
	startTerm uint64     // the term at the start, until an election has begun or a leader is known; then 0

	doubted     uint64
	doubt       int // ticks
	mistaken    int // after a mistake, the least silence in ticks that is suspicious; 0: there was none
	mistakenFor int // ticks until mistaken is 0 again
}

// leadership is a leader in its term.
type leadership struct{ leader, term uint64 }

// campaignApart is the number of ticks between the campaigns of two voters: one has usually won before the next begins. campaignFirst is
// the tick of the first campaign: the other voters heard the leader last at the same time, and have forgotten it by then.
const (
	campaignApart = 5
	campaignFirst = 2
	// suspectsApart is the number of ticks between two reports of a suspicion, suspectsFresh how long a report counts.
	suspectsApart = 5
	suspectsFresh = 2 * suspectsApart
	// mistakeKept is the number of ticks for which a mistake counts.
	mistakeKept = int(10 * time.Minute / TickInterval)
)

// isLeaderMessage reports whether only a leader sends this type.
func isLeaderMessage(t raftpb.MessageType) bool {
	switch t {
	case raftpb.MsgApp, raftpb.MsgHeartbeat, raftpb.MsgSnap, raftpb.MsgTimeoutNow, raftpb.MsgReadIndexResp:
		return true
	}
	return false
}

// recordLeaderMessage notes a message from the leader, and the end of its silence.
func (f *failover) recordLeaderMessage(c *core, t raftpb.MessageType) {
	f.queriedAt, f.died, f.seconded, f.reportIn = 0, raft.None, 0, 0
	if now := (leadership{c.soft.Lead, c.term}); f.watched != now {
		f.link, f.watched = linkWatch{}, now // this member may have led since
	}
	if f.mistaken > 0 && c.silence >= f.link.timeout(c.heartbeatTicks(), c.electionTicks()) {
		f.recordMistake(c, c.silence)
	}
	if t == raftpb.MsgHeartbeat {
		f.link.heartbeat(c.heartbeatTicks(), c.electionTicks())
	}
}

// peerDied handles the report that a process of a peer has ended.
func (f *failover) peerDied(c *core, peer uint64) {
	if now := c.raft.BasicStatus(); peer == now.Lead {
		f.died, f.diedIn = peer, now.GetTerm()
		f.forgetDeadLeader(c)
	}
}

// leaderOf returns the only member that may lead a term, as far as this member knows, or raft.None. A forgotten leader is that for an election
// timeout: raft itself believes any leader of the term after one, and the forgotten leader may have been a false one.
func (f *failover) leaderOf(c *core, now raft.BasicStatus) uint64 {
	if now.Lead == raft.None && f.forgotten.term == now.GetTerm() && f.ticks < c.electionTicks() {
		return f.forgotten.leader
	}
	return now.Lead
}

// recordSuspicion handles another voter's suspicion.
func (f *failover) recordSuspicion(c *core, by uint64, m peerframe.Suspects) {
	now := c.raft.BasicStatus()
	if m.Leader == now.Lead && m.Term == now.GetTerm() && by != m.Leader && slices.Contains(c.votersOfBoth(), by) {
		f.seconded = suspectsFresh
	}
}

// recordPeerMessage handles any message of a peer.
func (f *failover) recordPeerMessage(c *core, peer uint64) {
	if peer != f.doubted || peer == raft.None {
		return
	}
	f.recordMistake(c, f.doubt)
	c.Logger.Info("a leader was suspected by mistake: it was silent, and is heard again", "leader", c.Status.NameOf(peer),
		"silent_for", time.Duration(f.doubt)*TickInterval, "suspects_after", time.Duration(f.mistaken)*TickInterval)
	f.doubted, f.doubt = raft.None, c.electionTicks()
}

// recordMistake makes this member wait for twice a silence.
func (f *failover) recordMistake(c *core, silence int) {
	f.mistaken, f.mistakenFor = max(f.mistaken, min(2*silence, c.electionTicks())), mistakeKept
}

// disconnected handles the end of a peer's connection: the next one may be of another process.
func (f *failover) disconnected(peer uint64) {
	if peer == f.doubted {
		f.doubted = raft.None
	}
}

// age lets mistakes and doubts grow older.
func (f *failover) age(c *core, ticks int) {
	if f.doubt += ticks; f.doubt >= c.electionTicks() {
		f.doubted = raft.None
	}
	if f.mistakenFor = max(f.mistakenFor-ticks, 0); f.mistakenFor == 0 {
		f.mistaken = 0
	}
}

// tick drives the election of another leader. It returns a late leader, whose host is to be asked, or raft.None; and what the other voters
// are told. met says that no founder with data has founders to meet.
func (f *failover) tick(c *core, ticks int, met bool) (late uint64, tell []toPeer) {
	now := c.raft.BasicStatus()
	f.link.passed(ticks)
	f.age(c, ticks)
	if now.Lead != raft.None || now.GetTerm() != f.startTerm {
		f.startTerm = 0
	}
	switch {
	case now.Lead == c.Member:
	case c.suspension.active():
		f.watched = leadership{} // this member drops what its leader says: it learns the link anew
	case now.Lead != raft.None:
		f.forgotten = leadership{}
		f.forgetDeadLeader(c)
		tell = f.suspect(c, ticks)
		if most := c.lateTicks(); f.died == raft.None && c.silence >= most && (f.queriedAt == 0 || c.silence-f.queriedAt >= most) {
			f.queriedAt, late = c.silence, now.Lead
		}
	case f.forgotten.term == now.GetTerm() && f.forgotten.term != 0:
		if f.doubt < c.electionTicks() { // the first report may be lost, and the other one's vote is needed
			tell = f.reportSuspicion(c, ticks, f.forgotten)
		}
		f.campaignEarly(c, ticks)
	case f.startTerm != 0:
		f.campaignAtStart(c, ticks, met)
	}
	return late, tell
}

// suspect tells the other voters while the leader is silent for longer than its link explains. raft forgets the leader once another voter
// says the same.
func (f *failover) suspect(c *core, ticks int) (tell []toPeer) {
	now := c.raft.BasicStatus()
	f.seconded = max(f.seconded-ticks, 0)
	silent := c.silence >= max(f.link.timeout(c.heartbeatTicks(), c.electionTicks()), f.mistaken)
	if now.Lead == raft.None || f.watched != (leadership{now.Lead, now.GetTerm()}) || !silent || !mayForget(c) {
		return nil
	}
	if f.seconded > 0 {
		f.reportIn = 0
	}
	tell = f.reportSuspicion(c, ticks, f.watched)
	if f.seconded > 0 {
		silence := c.silence
		f.forgetLeader(c, "two members have not heard the leader for longer than the lateness of its heartbeats explains: starting an election")
		f.doubted, f.doubt, f.reportIn = now.Lead, silence, suspectsApart
	}
	return tell
}

// reportSuspicion tells the other voters that this member suspects a leader, when it is time.
func (f *failover) reportSuspicion(c *core, ticks int, of leadership) (tell []toPeer) {
	if f.reportIn -= ticks; f.reportIn > 0 {
		return nil
	}
	f.reportIn = suspectsApart
	for _, id := range c.votersOfBoth() {
		if id != c.Member && id != of.leader {
			tell = append(tell, toPeer{id, peerframe.Suspects{Leader: of.leader, Term: of.term}})
		}
	}
	return tell
}

// forgetDeadLeader makes raft forget a leader that has died and is silent.
func (f *failover) forgetDeadLeader(c *core) {
	now := c.raft.BasicStatus()
	if now.Lead != raft.None && f.died == now.Lead && f.diedIn == now.GetTerm() && c.silence >= c.lateTicks() && mayForget(c) {
		f.forgetLeader(c, "the leader's process has died, as its host reports: starting an election at once")
	}
}

// leaveElection makes raft forget a leader that was silent for an election timeout, if this member applies nothing: raft's clock would make
// it a candidate now, and as long as it knew a leader it would deny others its vote.
func (f *failover) leaveElection(c *core, ticks int) {
	if c.Status.Waits() != "" && c.soft.Lead != raft.None && c.silence+ticks >= c.electionTicks() && mayForget(c) {
		f.forgetLeader(c, "the leader is silent: this member applies nothing, and leaves the election to the others")
	}
}

// mayForget reports whether this member is a voter that follows.
func mayForget(c *core) bool {
	return c.raft.BasicStatus().RaftState == raft.StateFollower && slices.Contains(c.votersOfBoth(), c.Member)
}

// forgetLeader makes raft forget the leader. The member's turn to campaign comes by its id.
func (f *failover) forgetLeader(c *core, why string) {
	now := c.raft.BasicStatus()
	silent := time.Duration(c.silence) * TickInterval
	c.Logger.Info(why, "leader", c.Status.NameOf(now.Lead), "term", now.GetTerm(), "silent_for", silent.String())
	f.forgotten = leadership{now.Lead, now.GetTerm()}
	f.doubted, f.doubt = raft.None, c.electionTicks()
	f.died, f.seconded, f.reportIn, f.ticks, f.next = raft.None, 0, 0, 0, firstCampaign(c.votersOfBoth(), c.Member, now.Lead)
	if err := c.raft.ForgetLeader(); err != nil {
		c.Logger.Debug("forget the leader", "error", err)
	}
}

// orderSuccessor returns an order to campaign at once, for the voter that has most of the log, when this leader has just ended its own
// term: no quorum has answered it for an election timeout. Voters that still hear it would wait for another one. Otherwise it returns nil.
func (f *failover) orderSuccessor(c *core) *raftpb.Message {
	now, best := c.raft.BasicStatus(), uint64(raft.None)
	if c.soft.RaftState != raft.StateLeader || now.RaftState != raft.StateFollower || now.GetTerm() != c.term {
		return nil
	}
	for _, id := range c.votersOfBoth() {
		if id != c.Member && c.connected[id] && c.Status.match(id) > c.Status.match(best) {
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

// campaignAtStart campaigns in this member's turn when a cluster starts: one interval of heartbeats after a quorum was connected, since a
// leader that exists would have been heard. Once a candidate has begun a term, votes wait for disks, and raft's own clock decides.
//
// A founder with data that has not met all others, of a restored cluster, leaves the election to raft's clock. Members that vote refuse the
// folder of a founder that they have not met ([Admission]). Founders without data wait for each other anyway (founding.go).
func (f *failover) campaignAtStart(c *core, ticks int, met bool) {
	voters := c.votersOfBoth()
	if !met || !slices.Contains(voters, c.Member) || !quorumConnected(c) {
		f.ticks, f.next = 0, 0
		return
	}
	if f.next == 0 {
		f.next = c.heartbeatTicks() + firstCampaign(voters, c.Member, raft.None)
	}
	f.campaignEarly(c, ticks)
}

// quorumConnected reports whether this member and those that it is connected to are a quorum, in both halves of a joint configuration.
func quorumConnected(c *core) bool {
	state := c.membership.confState
	for _, half := range [][]uint64{state.GetVoters(), state.GetVotersOutgoing()} {
		n := 0
		for _, id := range half {
			if id == c.Member || c.connected[id] {
				n++
			}
		}
		if len(half) > 0 && n <= len(half)/2 {
			return false
		}
	}
	return true
}

// campaignEarly campaigns in this member's turn, and again after all other voters had theirs. A voter that has not forgotten the leader
// yet does not answer, and a candidate whose log lags is refused. A candidate has begun the next term, where it waits for its votes, which
// disks may delay. After an election timeout raft's own clock takes over.
func (f *failover) campaignEarly(c *core, ticks int) {
	if f.ticks += ticks; f.ticks < f.next || f.ticks >= c.electionTicks() {
		return
	}
	f.next += max(len(c.votersOfBoth())-1, 1) * campaignApart
	c.campaign()
}
