package actor

import (
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"qkv/internal/limits"
	"qkv/log"
)

// snapshotTransfers are the snapshots on their way to or from this member.
type snapshotTransfers struct {
	sending  map[uint64]bool   // the peers to which a snapshot is being sent
	received *SnapshotReceived // handed to raft; nil as soon as raft takes it
	wait     snapshotWait
	pace     pace
}

// raftStorage is raft's Storage. A follower that needs a snapshot gets the one that is nearly saved.
type raftStorage struct {
	*log.Window
	core *core
	wait *snapshotWait
}

// Snapshot implements raft.Storage. raft asks again with each answered heartbeat.
func (s raftStorage) Snapshot() (*raftpb.Snapshot, error) {
	newest, err := s.Window.Snapshot()
	if c := s.core; err == nil && s.wait.waits(c.Status.Disk().Saves, newest.GetMetadata().GetIndex(), c.now.Now, c.ElectionTimeout) {
		c.Limits.Reach("snapshot wait")
		return nil, raft.ErrSnapshotTemporarilyUnavailable
	}
	return newest, err
}

// snapshotWait makes followers that need a snapshot wait for the one being saved, once more than half of it is written. Under load, catching
// up with the log between the newest snapshot and that one takes longer than the rest of the save.
//
// Invariants:
//
//  1. asked is the last time at which raft wanted a snapshot; since is when it began to, without a pause.
//  2. newest was the index of the newest snapshot at since.
type snapshotWait struct {
	since, asked time.Duration
	newest       uint64
}

// waits reports whether a newer snapshot is expected soon.
func (w *snapshotWait) waits(saves bool, newest uint64, now, pause time.Duration) bool {
	if now-w.asked >= pause {
		w.since, w.newest = now, newest
	}
	w.asked = now
	return saves && newest == w.newest && now-w.since < limits.SnapshotWait
}
