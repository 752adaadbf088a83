package actor

import (
	"maps"

	"go.etcd.io/raft/v3/raftpb"
)

// leaderEnds is what a leader tells of its disk, and what this member has heard of the leaders that there were. A follower's
// acknowledgement tells its leader what it has. Of the leader's own disk, whose sync may be the one that makes a quorum, nobody would
// know: if its folder was put back to an earlier moment it could vote for, or lead with, one that lacks what was acknowledged.
//
// It goes with appends and heartbeats, behind the sync: with the one that says that an entry is committed, all who hear it know that
// the leader has it, if it does. Who lags hears it, too, by heartbeats.
//
// Invariants:
//
//  1. durable is the newest entry of the log that is on this member's disk.
//  2. heard[m] is of the newest term that m led in, as far as this process knows, but kept, which never gets less.
type leaderEnds struct {
	durable uint64
	heard   map[uint64]leaderEnd
	fresh   bool // heard has something that is not published
}

// leaderEnd is what a member that led has told of its disk.
type leaderEnd struct {
	term, durable uint64 // in that term a leader's log only grows; in a later one it may be cut
	kept          uint64 // what of that is committed, and so is never cut
}

// synced notes what is on the own disk.
func (l *leaderEnds) synced(m Appended) {
	if m.Marker != nil {
		l.durable = m.Marker.Index
	}
	if n := len(m.Entries); n > 0 {
		l.durable = m.Entries[n-1].GetIndex()
	}
}

// told is what a message says of the own disk: only leaders send appends and heartbeats.
func (l *leaderEnds) told(m *raftpb.Message) uint64 {
	if saysEnd(m) {
		return l.durable
	}
	return 0
}

func saysEnd(m *raftpb.Message) bool {
	return m.GetType() == raftpb.MsgApp || m.GetType() == raftpb.MsgHeartbeat
}

// hear notes what a leader says, of a term that is not over.
func (l *leaderEnds) hear(from uint64, m RaftMessage) {
	if !saysEnd(m.Message) || m.Durable == 0 {
		return
	}
	end := l.heard[from]
	if m.GetTerm() > end.term {
		end.term, end.durable = m.GetTerm(), 0
	}
	end.durable = max(end.durable, m.Durable) // appends and heartbeats overtake each other
	end.kept = max(end.kept, min(m.Durable, m.GetCommit()))
	if end != l.heard[from] {
		l.heard[from], l.fresh = end, true
	}
}

// publish shows what was heard to those who admit members.
func (l *leaderEnds) publish(s *Status) {
	if l.fresh {
		heard := maps.Clone(l.heard)
		s.leaderEnds.Store(&heard)
		l.fresh = false
	}
}

// leaderEnd returns what a member has told of its disk while it led.
func (s *Status) leaderEnd(member uint64) leaderEnd {
	if all := s.leaderEnds.Load(); all != nil {
		return (*all)[member]
	}
	return leaderEnd{}
}
