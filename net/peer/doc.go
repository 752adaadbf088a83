// Package peer is the transport between the members of a cluster: it carries the frames that package peerframe defines. Delivery is not
// guaranteed: frames that are lost with a connection, or that do not fit a queue, are dropped, and raft sends them again. Every delivered
// frame is complete and from an authenticated member, and the frames of one class come in the order in which they were sent.
//
// # One connection for a pair
//
// Members listen on UDP and dial each other from the same socket: QUIC, TLS 1.3 with certificates on both sides, ALPN "qkv-peer/2". A pair
// uses one connection, whichever side dialled it, and both send on it: acknowledgements then share packets with data (measured: 11 packets
// a put instead of 14). Both sides dial if they have no connection. So two connections may exist for a moment, and both sides must drop the
// same one. The handshake, the first frame on each connection, contains what this decision needs. Its fields process and dial (a number
// that only grows) identify the connection. Its field seen identifies the newest connection from the receiver that the sender has accepted.
//
// The dialling side opens a bidirectional stream and sends its handshake. The other side answers with its own handshake, whose dial is 0,
// or closes the connection. When the dialling side has admitted the answer, it ends its side of the stream, and both use the connection.
// The [Handler] never learns of a connection that one side refuses. The rules, as one side (I) applies them to the other (the peer):
//
//  1. I send no handshake while a connection is in use. Between my handshake and its answer, that connection is *pending*.
//  2. A connection whose dial is not above that of an accepted one from the same process is late, and refused.
//  3. A connection from another process than that of the connection in use is accepted: the peer was restarted.
//  4. While a connection that the peer dialled is in use, a new connection is accepted: by rule 1, the peer has lost the old one.
//  5. While a connection that I dialled is in use, a new connection is accepted if its seen names the old one: the peer has lost the old
//     one since. Otherwise the peer dialled the new connection before it saw the old one, and the new connection is late.
//  6. While a connection of mine is pending, the member with the lower id keeps its own, and refuses the new one unless the peer has seen
//     and lost the pending one. The member with the higher id gives up its own. So of two connections, the one that the lower id dialled
//     stays.
//  7. An accepted connection replaces the other connection to that peer, which is closed.
//
// A connection is served only after the connection before it has ended and its last frame was handed over. So frames within a class
// keep their order, and [Handler.Connected] and [Handler.Disconnected] alternate.
//
// # Streams
//
// Each side opens three unidirectional streams, one for each class of frames, with QUIC priorities 0, 1 and 7: votes and heartbeats
// never wait behind appends, and appends never wait behind a snapshot. A stream is one byte, its class, and then frames:
//
//	+--------+-----------------+---------+-----------------+---------+----
//	| class  | length, 4 bytes | frame   | length, 4 bytes | frame   | ...
//	| 1 byte | big endian      | n bytes |                 |         |
//	+--------+-----------------+---------+-----------------+---------+----
//
// A stream begins with a flow-control window of peerStreamBytes. The window grows with the measured round trip and the rate at which
// frames are read, up to peerStreamBytesMost. The connection's window holds all three streams' windows at their largest: a class
// that is read slowly does not block another class.
//
// A length of 0 or over limits.PeerFrameBytes, an unknown class, a second stream of a class, and any other deviation from this page
// close the connection. A handshake is framed in the same way, with peerHandshakeBytes.
//
// One goroutine writes a stream. It takes all queued frames at once, after it has yielded to other goroutines once: frames coalesce
// only if the writer yields (measured: 1.5 x). A lazy frame waits up to a millisecond for the next frame to that peer, of any
// class, to share its packet (measured: 14.2 packets a put become 8.1). One goroutine reads a stream, and hands over slices of 64
// KiB pieces that are never reused.
//
// # Members come and go
//
// [Transport.SetPeers] sets the peers, at any time. A peer is an id and a name. A connection belongs to the peer whose id its handshake
// has, if the certificate has that peer's name. If certificates do not name members, the certificate must contain the host of one of the
// peer's addresses ([Trust]). A removed member and a member added later under the same name are two peers. So are a member and its
// replacement under the same name. A member that is not a peer is refused with the answer of [Handler.Stranger]. A peer whose handshake
// expects another id here is refused with that reason. A member that stops being a peer loses its connection with a refusal, too: the
// refusal is the last message to it, and its queued frames are dropped. Each peer has a link with a goroutine of its own. If a peer is set
// again, its new link does nothing before its old link has ended: the handler's calls for the two come in order. The dial number counts the
// handshakes of this process to all peers together, so a new link's dials are never late at the peer.
//
// A peer's addresses are tried in turn, one for each dial. After a change of the addresses the next dial uses the new ones at once;
// a connection in use stays.
//
// # Joining
//
// A member that was added but never started knows only an address and its own name, and so does a new host with the cluster secret. It
// asks for its identity on a connection of its own to the peers' port, ALPN "qkv-join/2", with a member's certificate. It uses one
// bidirectional stream with one frame each way, framed as a handshake is, with joinRequestBytes and joinAnswerBytes:
//
//	joiner                                member
//	length, 4 bytes | request, end  -->
//	                                <--   length, 4 bytes | welcome, end     or a close with a refusal's code
//	close with 0                    -->
//
// Package peerframe defines both. The name in the request must be the certificate's. If the certificate names no member, it must hold the
// host of an address with which the member was added. The whole exchange has a time limit of peerHandshakeTimeout, and counts as a
// handshake until its end. [Ask] is the joining member's side. A permanent refusal ends Ask. The exception is a name that belongs to a lost
// member: then Ask waits until that member is replaced, without a time limit.
//
// # Parts
//
// A member that lacks a file of a snapshot (package snapshot, "Parts") fetches it from another member: a part that is missing or damaged, or
// the files of a snapshot that a leader offers. It asks on a connection of its own to the peers' port, ALPN "qkv-part/2", with its
// certificate. It uses one bidirectional stream, with frames as for joining, of at most limits.PartRequestBytes and
// limits.PartAnswerBytes:
//
//	asking member                         member
//	length, 4 bytes | request, end  -->
//	                                <--   length, 4 bytes | answer, the file's bytes from the offset on, end
//	                                      or a close with a refusal's code
//	close with 0                    -->
//
// The rules for a peer's connection apply: the cluster must be this one, and the id in the request that of a peer, whose name or addresses
// the certificate has. The request names the file, which [Handler.Part] opens: a part, a snapshot, or the description of the newest one,
// which a member needs if no other one has its part any more. A member sends partTransfers files at a time, and
// asks a further member to wait (code 10). A transfer holds one piece of partPieceBytes on each side. A piece that takes longer than
// partStall ends the transfer, on either side. The sender waits between pieces as [PartFile.Sent] says: clients need the disk and the network.
//
// A member that fetches parts itself gives others, from [Transport.ServeParts] on: each of two starting members may have what the other one
// has lost. Other connections wait until it is started.
//
// [FetchPart] and [Puller] are the asking side. A Puller returns one piece after another of the files of the member at the address that its
// offer has. FetchPart asks several addresses in turn, and after a break goes on at the offset reached, perhaps at another member.
// The bytes are checked against the name, which contains their SHA-256: a member that sends other bytes, all from the first one on, is not
// asked again.
//
// # Unauthenticated connections
//
// At most peerHandshakes connections may be unauthenticated at a time, and one source address has a share of them: a flood
// from one address does not shut out the others. The log reports both limits. When many handshakes are under way, altogether or
// from one address, a new connection must prove its source address by one more round trip. When a quarter of the limit is in use, a
// silent connection is dropped after limits.HandshakeHurry.
//
// # When connections end
//
// A peer gets a keep-alive each second, and its connection is given up after three seconds of silence. A restarted peer reveals itself by
// dialling, and by a stateless reset in answer to a packet with a frame in it (not to a bare keep-alive: QUIC answers no packet of less
// than 43 bytes). A lost connection is dialled again after 50 ms, with a backoff that doubles up to a second, less a random part. After a
// refusal, both sides wait some seconds before they dial.
//
// # A process that has died
//
// QUIC detects a dead process only by the idle timeout. So a member also listens for TCP at the address for its peers. It accepts
// connections and closes them at once; as soon as the process is gone, its kernel refuses them. When a connection comes into use, the link
// tests whether the other end accepts such TCP connections (a firewall may block them, or the peer's process may not listen). If it does,
// [Transport.CheckAlive] later connects there. A refusal is reported by [Handler.Died]. Every other outcome, silence above all, proves
// nothing. CheckAlive is called only when a problem exists already: a healthy cluster has no additional packets. TCP's refusal is not rate
// limited, unlike ICMP's for UDP, and is hard to forge for an attacker who is not on the path. No data is exchanged, which is why no
// certificate is needed.
//
// The same probe distinguishes a copied folder from a member that has moved. If a connection is in use, and the probe shows that the
// process at its other end is alive, a second process of that member at another address is refused.
//
//	code  closes a connection because
//	0     the member stops
//	1     another connection between the two is in use
//	2     the text has the reason: a refusal
//	3     the text has the reason: the other side broke the rules of this page
//	4, 5  the other side has forgotten votes or entries that it had promised; 4: the refusing member does not lead, 5: it leads
//	6, 7  the other side was removed from the cluster; 6: the refusing member does not lead, 7: it leads
//	8     as 4; the refusing member takes no part itself, or has nothing of the log yet
//	9     the joining member has the name of a member with another folder that is not there: it asks again
//	10    the joining member cannot be answered yet, or is being added by the cluster secret: it asks again; or the asked member sends as
//	      many parts as it may: the asking member asks again
package peer
