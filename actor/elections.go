package actor

import (
	"time"

	"go.etcd.io/raft/v3"

	"qkv/internal/limits"
)

const electionsKept = 8 // elections whose late votes a member recognises: disks lag by a few

// elections gives votes the time that disks need for them. A vote is on the disks of both its candidate and its voter before it counts
// (rule 2), and raft begins a new election, in a new term, after an election timeout. If disks take longer, each vote would come too
// late, and the cluster would never get a leader.
//
// A member knows how long its own disk has been at a vote: until it is done, the member's clock for elections stops. The member also
// notices a vote that arrives after it has given up the election: from then on it waits longer, until there is a leader.
//
// Invariants:
//
//  1. asked are this member's newest elections, by rising term, at most electionsKept.
//  2. slow is the longest time of a late vote since there was a leader.
//  3. kept are ticks not yet given to raft, fewer than one of its ticks takes.
type elections struct {
	failover  failover
	founding  founding
	leaders   leaderWatch
	positions leaderPositions

	asked      []election
	slow       time.Duration
	kept       int
	leaderless int  // ticks since the last time with a leader
	alone      bool // as the only voter, this member has led: its replay is over
}

// election is the time at which this member began to request votes in a term.
type election struct {
	term uint64
	at   time.Duration
}

// begun notes an election.
func (e *elections) begun(term uint64, now time.Duration) {
	if len(e.asked) == electionsKept {
		e.asked = append(e.asked[:0], e.asked[1:]...)
	}
	e.asked = append(e.asked, election{term, now})
}

// late handles a vote for this member in a term in which it is no longer a candidate. A vote slower than disks may be was not delayed by
// a disk: this process was stopped, or a connection was.
func (e *elections) late(term uint64, now time.Duration) {
	for _, one := range e.asked {
		if took := now - one.at; one.term == term && took <= limits.DiskStall {
			e.slow = max(e.slow, took)
		}
	}
}

// ended handles the news of a leader.
func (e *elections) ended() { e.asked, e.slow, e.kept, e.leaderless = nil, 0, 0, 0 }

// ticks returns by how many of n ticks raft's clock advances. Without a leader, it stops for a member whose disk is busy, and for one that
// applies nothing. disk is the duration of the disk's current work.
func (e *elections) ticks(n int, leader uint64, disk, electionTimeout time.Duration, waits bool) int {
	if leader != raft.None {
		return n
	}
	if waits || disk > electionTimeout/2 {
		return 0
	}
	each := 1 + int(e.slow/electionTimeout)
	e.kept += n
	n = e.kept / each
	e.kept %= each
	return n
}

// count counts the ticks without a leader.
func (e *elections) count(ticks int, leader uint64) {
	if e.leaderless += ticks; leader != raft.None {
		e.leaderless = 0
	}
}

// campaignAlone makes a single voter a candidate at once, and again after replay: raft ignores a campaign while a committed membership
// entry is not applied yet.
func (e *elections) campaignAlone(c *core) {
	voters := c.membership.confState.GetVoters()
	if e.alone || len(voters) != 1 || voters[0] != c.Member || c.suspension.active() {
		return
	}
	switch c.raft.BasicStatus().RaftState {
	case raft.StateLeader:
		e.alone = true
		return
	case raft.StateFollower:
	default:
		return // on its way
	}
	c.campaign()
}
