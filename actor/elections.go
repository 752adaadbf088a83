package actor

import (
	"time"

	"qkv/internal/limits"
)

// elections gives votes the time that disks take for them. A vote is on the disks of both its candidate and its voter before it counts
// (rule 2), and raft begins a new election, in a new term, when an election timeout has passed: where disks take longer, each vote
// would come too late, and nobody would ever lead.
//
// A member knows how long its own disk is at a vote: until that is done its clock for elections stands. And it notices when a vote
// comes after it has given up its election: from then on it waits longer, until there is a leader.
//
// Invariants:
//
//  1. asked are this member's newest elections, by rising term, at most limits.ElectionsKept.
//  2. slow is the longest that a vote took which came too late since there was a leader.
//  3. kept are ticks that raft has not got yet, fewer than one of its ticks takes.
type elections struct {
	asked []election
	slow  time.Duration
	kept  int
}

// election is when this member has begun to ask for votes in a term.
type election struct {
	term uint64
	at   time.Duration
}

// begun notes an election.
func (e *elections) begun(term uint64, now time.Duration) {
	if len(e.asked) == limits.ElectionsKept {
		e.asked = append(e.asked[:0], e.asked[1:]...)
	}
	e.asked = append(e.asked, election{term, now})
}

// late hears of a vote for this member in a term of which it is no candidate any more. One that took longer than disks may was not
// held up by a disk: this process stood still, or a connection did.
func (e *elections) late(term uint64, now time.Duration) {
	for _, one := range e.asked {
		if took := now - one.at; one.term == term && took <= limits.DiskStall {
			e.slow = max(e.slow, took)
		}
	}
}

// ended hears that somebody leads.
func (e *elections) ended() { *e = elections{} }

// ticks returns how many of n ticks raft's clock is to go on while nobody leads, when the disk has been at something for a time.
func (e *elections) ticks(n int, disk, electionTimeout time.Duration) int {
	if disk > electionTimeout/2 {
		return 0
	}
	each := 1 + int(e.slow/electionTimeout)
	e.kept += n
	n = e.kept / each
	e.kept %= each
	return n
}
