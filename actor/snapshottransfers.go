package actor

// snapshotTransfers are the snapshots on their way to or from this member.
type snapshotTransfers struct {
	sending  map[uint64]bool   // the peers to which a snapshot is being sent
	received *snapshotReceived // handed to raft; nil as soon as raft takes it
	pace     pace
}
