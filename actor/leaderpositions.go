package actor

import (
	"maps"

	"go.etcd.io/raft/v3/raftpb"

	"qkv/net/wire/peerframe"
)

// leaderPositions holds how far a leader's log is on its own disk, as this member reports while it leads and as it has heard from other
// leaders. A follower's acknowledgement tells the leader what the follower's disk holds. The leader's own sync may complete a quorum,
// too, but no acknowledgement reports it. Without this report, a former leader with a folder restored to an earlier point could vote for,
// or become, a leader without the acknowledged entries.
//
// The position travels with appends and heartbeats, after the sync. All receivers of the message that commits an entry then know whether
// the leader's disk has it. Lagging followers learn it from heartbeats.
//
// Invariants:
//
//  1. durable is the newest entry of the log on this member's disk.
//  2. reported[m] is of the newest term in which m led, as far as this process knows, except committed, which never decreases.
type leaderPositions struct {
	durable     uint64
	reported    map[uint64]leaderPosition
	unpublished bool // reported has changes that Admission does not see yet
}

// leaderPosition is the durable position that a member reported while it led.
type leaderPosition struct {
	term, durable uint64 // within a term a leader's log only grows; in a later term it may be truncated
	committed     uint64 // the committed part of it, which is never truncated
}

// synced notes the durable position of the own log.
func (l *leaderPositions) synced(m appended) {
	if m.Marker != nil {
		l.durable = m.Marker.Index
	}
	if n := len(m.Entries); n > 0 {
		l.durable = m.Entries[n-1].GetIndex()
	}
}

// toSend returns the durable position to send with a message: only leaders send appends and heartbeats.
func (l *leaderPositions) toSend(m *raftpb.Message) uint64 {
	if carriesPosition(m) {
		return l.durable
	}
	return 0
}

func carriesPosition(m *raftpb.Message) bool {
	return m.GetType() == raftpb.MsgApp || m.GetType() == raftpb.MsgHeartbeat
}

// record notes a leader's durable position, in a term that is not over.
func (l *leaderPositions) record(from uint64, m peerframe.Raft) {
	if !carriesPosition(m.Message) || m.Durable == 0 {
		return
	}
	end := l.reported[from]
	if m.GetTerm() > end.term {
		end.term, end.durable = m.GetTerm(), 0
	}
	end.durable = max(end.durable, m.Durable) // appends and heartbeats overtake each other
	end.committed = max(end.committed, min(m.Durable, m.GetCommit()))
	if end != l.reported[from] {
		l.reported[from], l.unpublished = end, true
	}
}

// publish makes the reported positions visible to Admission.
func (l *leaderPositions) publish(s *Status) {
	if l.unpublished {
		s.leaderPositions.Store(new(maps.Clone(l.reported)))
		l.unpublished = false
	}
}

// leaderPosition returns a member's durable position as reported while it led.
func (s *Status) leaderPosition(member uint64) leaderPosition {
	if all := s.leaderPositions.Load(); all != nil {
		return (*all)[member]
	}
	return leaderPosition{}
}
