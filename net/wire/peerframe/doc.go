// Package peerframe is the byte format between two members of a cluster: the handshake that begins a connection, and the frames
// after it. Package peer documents how frames travel, and package actor how the messages are used.
//
// It is separate from package wire because it needs raft's message types: every program that imports the client library would link
// them.
//
// Frames, and the structs in them, grow at their end: a receiver skips unknown fields, and reads the fields that an older sender left out
// as zero ([pack.Reader.Struct]). Every appended field must therefore be safe to ignore.
//
// All msgpack here has the forms that package pack defines: integers in the fewest bytes, bytes as bin. In the tables, uint is an
// unsigned number, int a number that may be negative.
//
// # Handshake
//
// The first frame on a connection, in either direction, is a [Handshake], a value of package codec of at most 16 KiB.
// An incompatible change needs another ALPN.
//
// A member that refuses another member closes the connection with a [RefusalCode] and a text for the operator.
//
// # Joining
//
// A member that was added to a cluster, or has the cluster secret, and has no folder yet asks for its identity, on a connection of its own
// (ALPN "qkv-join/2") with its certificate. It sends a [JoinRequest] of at most 1 KiB, and the answer is a [Welcome] of at most 256 KiB. A
// member that may not join is refused as above.
//
// # Parts
//
// A member that has lost a part of its snapshots asks another member for that file (package snapshot, "Parts"), on a connection of its own
// (ALPN "qkv-part/2") with its certificate. It sends a [PartRequest] of at most limits.PartRequestBytes. The answer is a [PartAnswer] of at
// most limits.PartAnswerBytes, with the bytes of the file behind it, from the offset to the end. A member that may not have the file, or
// asks for a file that the other member does not have, is refused as above.
//
// # Frames
//
// A frame is a msgpack array of at most limits.PeerFrameBytes. Its first element is its kind. Raft's own protobuf encoding is not used:
// frames are on the hot path, and hand-written code encodes and decodes each of them once.
//
//	raft     [1, type uint, term uint, log term uint, index uint, commit uint, durable uint, reject bool,
//	          reject hint uint, context bin, entries, [[member uint, folder bin] ...]]
//	         durable: in an append or a heartbeat, the newest entry on the leader's disk; in others 0
//	         entries: [[term uint, kind uint, data bin] ...], numbered from index+1
//	         the data folders that the sender knows of: in a request for a vote, and in an append from the founding entry on
//	forward  [2, term uint, oldest uint, envelope bin]
//	offer    [3, SnapshotOffer]                             this and the other frames with a name are values of package codec
//	progress [4, SnapshotProgress]                          the offered snapshot comes
//	suspects [5, Suspects]                                  the sender, a voter, suspects the leader of a term
//	result   [6, SnapshotResult]
//	accused  [7, Accused]                                   a member refuses the sender: it has forgotten promises
//	accepted [8, term uint, incarnation uint, next uint, commit uint, lost bool]    lost: a batch arrived that is not the one at next
//	room     [9, DiskSpace]
//	asks     [10, [[number uint, lease int, renew bool]...]]        keep-alives and questions for leases, at most limits.LeaseAsks
//	told     [11, index uint, [[number uint, ttl int, granted int]...]]   the answers of the leader's clock, in any order; a
//	         lease exists from the entry index on
//	committed [12, Committed]                               an entry that the sender knows to be committed
//	copied   [13, Copied]                                   the reason has at most limits.PeerReasonBytes
//
// type and kind are raft's numbers of message and entry types. A read (MsgReadIndex) has one entry,
// whose data is the read's id of 8 bytes, and its term may be 0. The class of a frame ([Class]) selects its stream:
//
//   - urgent: raft's votes, heartbeats and their answers, and accused, room, asks, told, committed, copied and suspects;
//   - append: raft's appends, reads and their answers, forwarded batches and their answers;
//   - bulk: all frames that transfer a snapshot.
//
// raft trusts its input. Therefore [Read] refuses a frame that a member may not send, and a frame of an unknown kind, which is from another
// version.
package peerframe
