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
//	boot          the number of processes that were started on that folder, including this one
//	process       16 bytes, random, made at each start
//	past          the boot history: the first 8 bytes of the process of each recent start, this one last; at most limits.PeerPastBytes
//	last          index of the newest entry that is on the disk, and its term
//	hard term     the term that is on the disk
//
// An incompatible change needs another ALPN.
//
// A member that refuses another member closes the connection with a [RefusalCode] and a text for the operator:
//
//	2             the text has the reason
//	4, 5          the other member lost votes or entries that it had promised; 4: the refusing member does not lead, 5: it leads
//	6, 7          the other member was removed from the cluster; 6: the refusing member does not lead, 7: it leads
//	8             as 4; the refusing member takes no part itself, or has nothing of the log yet
//	9             the joining member has the name of a member with another folder that is not there: it asks again
//	10            the joining member cannot be answered yet, or is being added by the cluster secret: it asks again;
//	              or the asked member sends as many parts as it may: the asking member asks again
//
// # Joining
//
// A member that was added to a cluster, or has the cluster secret, and has no folder yet asks for its identity, on a connection of its own
// (ALPN "qkv-join/2") with its certificate. The request has at most limits.JoinRequestBytes, the answer limits.JoinAnswerBytes. A member that may not
// join is refused as above.
//
//	request  [1, name str, [address str ...], id uint, folder bin]
//	welcome  [1, cluster uint, id uint, [[member id uint, name str, [address str ...]] ...]]
//
//	1             the version of both
//	name          in a request, the asking member's name, as in its certificate; 1 to limits.NameBytes bytes. In a welcome, empty for a
//	              member that was added without a name and has not joined; the request's id or address says which member it is
//	cluster, id   the ids of the cluster, and of the asking member, which is among the members; in a request the id that an
//	              earlier process with the same folder was given, or 0
//	folder        the id of the asking member's data folder, 16 bytes; the answer comes once the log has bound the member's id to it
//	address       host:port (UDP) at which the others reach the member, 1 to limits.AddressBytes bytes; the others try the
//	              first one first
//
// # Parts
//
// A member that has lost a part of its snapshots asks another member for that file (package snapshot, "Parts"), on a connection of its own
// (ALPN "qkv-part/2") with its certificate. The request has at most limits.PartRequestBytes, the answer limits.PartAnswerBytes. The bytes of
// the file follow the answer, from the offset to the end of the file. A member that may not have the file, or asks for a file that the other
// member does not have, is refused as above.
//
//	request  [1, cluster uint, from uint, name str, part str, offset int]
//	answer   [1, size int]
//
//	1             the version of both
//	cluster, from the ids of the cluster and of the asking member
//	name          the asking member's name, as in its certificate
//	part          the name of the file, which decides its content
//	offset        the first byte that the asking member lacks
//	size          of the whole file
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
//	offer    [3, index uint, term uint, size int, sha-256 bin, message term uint, conf state bin]
//	want     [4, index uint, term uint, offset int]         the receiver has the bytes before offset
//	chunk    [5, index uint, term uint, offset int, bytes bin]
//	result   [6, index uint, term uint, installed bool, damaged bool]    damaged: the bytes differ from the offer
//	accused  [7, by uint]                                   the member by refuses the sender: it has forgotten promises
//	accepted [8, term uint, incarnation uint, next uint, commit uint, lost bool]    lost: a batch arrived that is not the one at next
//	room     [9, own uint, cluster uint, why string, holds int, free int, wall int, holds now int]   own: the operations that the
//	         sender's disk accepts; cluster: those that the disks of a quorum accept, by the leader's word; both 0 everything,
//	         1 deletions and reads, 2 reads; why: the reason. holds: the largest state in bytes that the sender's machine holds with
//	         ease; holds now: the same without the space that files of other programs take. free: bytes left on a disk that does not
//	         accept everything. wall: the sender's clock, in nanoseconds since 1970
//	asks     [10, [[number uint, lease int, renew bool]...]]        keep-alives and questions for leases, at most limits.LeaseAsks
//	told     [11, index uint, [[number uint, ttl int, granted int]...]]   the answers of the leader's clock, in any order; a
//	         lease exists from the entry index on
//	committed [12, index uint, term uint]                   an entry that the sender knows to be committed
//	copied   [13, why string]                               the sender has refused a second process of the receiver's data folder; at
//	         most limits.PeerReasonBytes
//
// type and kind are raft's numbers of message and entry types, and conf state is raft's protobuf. A read (MsgReadIndex) has one entry,
// whose data is the read's id of 8 bytes, and its term may be 0. The class of a frame ([Class]) selects its stream:
//
//   - urgent: raft's votes, heartbeats and their answers, and accused, room, asks, told, committed and copied;
//   - append: raft's appends, reads and their answers, forwarded batches and their answers;
//   - bulk: all frames that transfer a snapshot.
//
// raft trusts its input. Therefore [Read] refuses a frame that a member may not send, and a frame of an unknown kind, which is from another
// version.
package peerframe
