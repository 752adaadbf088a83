package actor

import (
	"time"

	"go.etcd.io/raft/v3"
)

// leaderWatch detects when a member loses its leader, and for how long: one event each, however many elections fail in between.
//
// Invariants:
//
//  1. leader is the last known leader; raft.None before the first.
//  2. lost reports that no leader is known from since on: after a known one, or if none came within grace.
type leaderWatch struct {
	grace time.Duration // how long a start may take before it is logged

	leader uint64
	began  bool
	since  time.Duration
	lost   bool
}

type leaderEvent uint8

const (
	leaderSame leaderEvent = iota
	leaderLost
	leaderNever   // none since the start
	leaderChanged // from one to the next, or the first one
	leaderRegained
)

// update compares the known leader with the previous one, and returns the event. without is the time without a leader.
func (w *leaderWatch) update(now time.Duration, leader uint64) (event leaderEvent, without time.Duration) {
	if !w.began {
		w.began, w.since = now > 0, now // the actor is built before its first turn
	}
	switch {
	case leader == raft.None && w.lost:
		return leaderSame, 0
	case leader == raft.None && w.leader != raft.None:
		w.lost, w.since = true, now
		return leaderLost, 0
	case leader == raft.None && now-w.since >= w.grace:
		w.lost = true
		return leaderNever, now - w.since
	case leader == raft.None:
		return leaderSame, 0
	}
	before, lost := w.leader, w.lost
	w.leader, w.lost = leader, false
	switch {
	case lost:
		return leaderRegained, now - w.since
	case before != leader:
		return leaderChanged, 0
	}
	return leaderSame, 0
}

// logChange logs changes of the leader.
func (w *leaderWatch) logChange(c *core, before *RaftStatus, now RaftStatus) {
	event, without := w.update(c.now.Now, now.Leader)
	name := func(id uint64) string { return c.Status.NameOf(id) }
	switch {
	case event == leaderLost && before.Role == "leader" && now.Term == before.Term:
		c.Logger.Warn("the quorum is lost: too few members answer this leader; writes wait until enough of them do", "term", now.Term)
	case event == leaderLost:
		c.Logger.Warn("the leader is lost", "leader", name(before.Leader), "term", now.Term, "role", now.Role)
	case event == leaderNever:
		c.Logger.Warn("no leader since the start: fewer than a quorum of members answer", "for", without.Round(time.Millisecond).String(), "role", now.Role)
	case event == leaderRegained:
		c.Logger.Info("leader", "leader", name(now.Leader), "term", now.Term, "role", now.Role, "none_for", without.Round(time.Millisecond).String())
	case event == leaderChanged, before != nil && before.Role != now.Role && now.Leader != raft.None:
		c.Logger.Info("leader", "leader", name(now.Leader), "term", now.Term, "role", now.Role)
	}
}
