// Package peerframe is what two members of a cluster say to each other, in bytes: the handshake that begins a
// connection, and the frames that follow it. How they travel is package peer's page; what they mean is package
// actor's, which declares the same messages and knows no bytes.
//
// It stands apart from package wire because it needs raft's message types, and everybody who imports the client
// library would carry those along.
//
// All of it is msgpack of the forms that package pack draws: integers in the fewest bytes, bytes as bin. A number
// without a sign is drawn uint, one that may be negative int.
//
// # Handshake
//
// The first frame on a connection, in either direction, of at most limits.PeerHandshakeBytes:
//
//	[1, cluster uint, from uint, to uint, dial uint, seen process bin, seen dial uint,
//	 folder bin, boot uint, process bin, past bin, last uint, last term uint, hard term uint]
//
//	1             the version of the handshake
//	cluster       the id of the cluster
//	from, to      the ids of the two members, as the sender knows them
//	dial          grows with each handshake that this process sends; 0 in an answer
//	seen          the process (16 bytes) and dial of the newest connection from this peer that was accepted; zeros for none
//	folder        16 bytes, random, made with the data folder
//	boot          how many processes were started on that folder, with this one
//	process       16 bytes, random, made at each start
//	past          of the processes of the last starts, this one last, the first 8 bytes of each; at most limits.PeerPastBytes
//	last          index of the newest entry that is on the disk, and its term
//	hard term     the term that is on the disk
//
// Fields that a later version adds stand behind these, and are skipped. What is not compatible is another ALPN.
//
// A member that refuses another one closes the connection with a code of [RefusalCode] and words for people:
//
//	2             of what the words say
//	4, 5          the other one has forgotten what it promised, says one who does not lead, and one who does
//	6, 7          the other one was removed from the cluster, says one who does not lead, and one who does
//	8             as 4, says one who takes no part itself, or has nothing of the log yet
//	9             who asks to join has the name of a member with another folder that is not there: it may ask again
//
// # Joining
//
// A member that was added to a cluster and has no folder yet asks who it is, on a connection of its own (ALPN
// "qkv-join/1") with its certificate. The request has at most limits.JoinRequestBytes, the answer limits.JoinAnswerBytes;
// who is not welcome is refused as above.
//
//	request  [1, name str, [address str ...], id uint]
//	welcome  [1, cluster uint, id uint, [[member id uint, name str, [address str ...]] ...]]
//
//	1             the version of both
//	name          of a request the asking member's, as in its certificate; 1 to limits.NameBytes bytes. Of a member that was added
//	              without one, and has not joined, it is empty; the id or the address that the request tells says which one it is
//	cluster, id   the ids of the cluster, and of the asking member, which is among the members; in a request the id that an
//	              earlier process was told, whose folder the asking one has, or 0
//	address       host:port (UDP) at which the others reach the member, 1 to limits.AddressBytes bytes; the first is
//	              to be tried first
//
// Here too fields that a later version adds stand behind these, those of a member behind the member's.
//
// # Frames
//
// A frame is an array whose first element says what it is; it is at most limits.PeerFrameBytes long. Raft's own
// protobuf is never on the wire: a frame is written once and read once on the hot path, so both are by hand.
//
//	raft     [1, type uint, term uint, log term uint, index uint, commit uint, durable uint, reject bool,
//	          reject hint uint, context bin, entries]
//	         durable: the newest entry on the disk of a leader, of an append or a heartbeat; in others 0
//	         entries: [[term uint, kind uint, data bin] ...], numbered from index+1
//	forward  [2, term uint, oldest uint, envelope bin]
//	offer    [3, index uint, term uint, size int, sha-256 bin, message term uint, conf state bin]
//	want     [4, index uint, term uint, offset int]         the receiver has what is before offset
//	chunk    [5, index uint, term uint, offset int, bytes bin]
//	result   [6, index uint, term uint, installed bool, damaged bool]    what came was not what was offered
//	accused  [7, by uint]                                   the member by refuses the sender as one that has forgotten
//	accepted [8, term uint, incarnation uint, next uint, commit uint, lost bool]    lost: a batch came, and not the one at next
//	room     [9, own uint, cluster uint, why string, holds int, free int, wall int]  what the sender's disk takes, and by a leader's word the
//	         cluster's: 0 everything, 1 deletions and reads, 2 reads; and how large a state its machine holds with ease,
//	         and what the disk has left, where it does not take everything; and its clock, in nanoseconds since 1970
//	asks     [10, [number uint, lease int, renew bool, ...]]        keep-alives and questions for leases, at most limits.LeaseAsks
//	told     [11, index uint, [number uint, ttl int, granted int, ...]]   the answers of the leader's clock, in any order; a
//	         lease is there from the entry index on
//	committed [12, index uint, term uint]                   an entry that the sender knows to be committed
//	copied   [13, why string]                               the sender has refused a second process of the receiver's data folder; at
//	         most limits.PeerReasonBytes
//
// type and kind are raft's numbers of message and entry types, and conf state is raft's protobuf. A read's one entry
// is its id of 8 bytes, and its term may be 0. A frame has the class of the stream that it travels on: raft's votes,
// heartbeats and their answers, accused, room, asks, told, committed and copied are Urgent, its appends, reads and their answers, forwarded batches and
// their answers Append, and all that moves a snapshot Bulk.
//
// raft trusts what it is given: [Read] lets no frame pass that says what a member may not say. Another kind, or a known
// one with another number of elements, comes of another version, and is refused.
package peerframe
