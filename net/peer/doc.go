// Package peer carries frames between the members of a cluster; package peerframe draws them. It promises
// no delivery: what is lost with a connection, or does not fit a queue, is gone, and raft sends again. What it does
// deliver came from the member that it names, whole, and within one class in the order in which it was sent.
//
// # One connection for a pair
//
// Members listen on UDP and dial each other from the same socket: QUIC, TLS 1.3 with certificates on both sides, ALPN
// "qkv-peer/1". A pair uses one connection, whoever dialled it, and both send on it, so that acknowledgements go
// along (measured: 11 packets a put in place of 14). Both dial when they have none; so there may be two for a
// moment, and both sides must drop the same one. What decides stands in the handshake, the first frame on each
// connection: process and dial, which only grows, name the connection, and seen the newest one from this peer that was
// accepted.
//
// The one who dialled opens a stream in both directions and sends its handshake; the other answers with its own, which
// says yes (its dial is 0), or closes the connection. When the first has admitted that too, it ends its side of the
// stream, and both use the connection. Nobody is told of a connection that one of them refuses.
//
//  1. A handshake is not sent while a connection is in use. From then until its answer its connection is *pending*.
//  2. One that is no newer than one that was accepted from that process is late, and refused.
//  3. Of another process than that of the connection in use, it is accepted: the peer was restarted.
//  4. On top of a connection that the peer dialled, it is accepted: the peer has lost that one (by rule 1).
//  5. On top of one that I dialled, it is accepted if the peer has seen that one, and so has lost it since; if
//     not, it was sent before, and is late.
//  6. On top of a pending one: the lower id holds on to its own, and refuses unless the peer has seen and lost
//     it; the higher one gives its own up. So of two the one that the lower id dialled stays.
//  7. What is accepted takes the place of the other connection to that peer, which is closed.
//
// A connection is served only after the one before it has ended and its last frame was handed over, so frames never
// come out of order within a class, and [Handler.Connected] and [Handler.Disconnected] alternate.
//
// # Streams
//
// Each side opens three streams in one direction, one for each class of frames, with QUIC priorities 0, 1 and 7: votes and
// heartbeats never wait behind appends, nor these behind a snapshot. A stream is one byte, its class, and then frames:
//
//	+--------+-----------------+---------+-----------------+---------+----
//	| class  | length, 4 bytes | frame   | length, 4 bytes | frame   | ...
//	| 1 byte | big endian      | n bytes |                 |         |
//	+--------+-----------------+---------+-----------------+---------+----
//
// A stream begins with a window of limits.PeerStreamBytes, which follows the measured round trip and the rate at which
// frames are taken up to limits.PeerStreamBytesMost; the connection's holds all three at their largest, so that a class
// that is taken slowly holds up no other.
//
// A length of 0 or over limits.PeerFrameBytes, another class, a second stream of a class and anything else that is not
// drawn here closes the connection. A handshake is framed in the same way, with limits.PeerHandshakeBytes.
//
// One goroutine writes a stream. It takes all that waits at once, after letting others run once, because writers
// coalesce only if they wait their turn (measured: 1.5 x). A frame sent as lazy waits up to a millisecond for the next
// frame to that peer, of any class, to share its packet (measured: 14.2 packets a put become 8.1). One goroutine
// reads a stream, and hands over slices of 64 KiB pieces that are never used again.
//
// # Members come and go
//
// Who is a peer is said by [Transport.SetPeers] and may change at any time. A peer is an id and a name. A connection is for
// the one whose id its handshake says, if the certificate is of that one's name (or, where certificates name nobody,
// holds the host of one of its addresses: [Trust]): a member that was removed and one that
// was added under the same name are two, and so are a member and what is started again under its name with an
// empty disk. Who is no peer is told what [Handler.Stranger] says, a peer that looks for another id here is told
// that, and one that stops being a peer loses its connection in the same way: what it is told is the end of it, and
// what was queued for it is dropped. Each peer has a link with a goroutine of its own; the link of one that comes back
// does nothing before the one that it had has ended, so that the handler is told of one after the other. Where a
// handshake stands among those that this process has sent is counted for all peers together, so that a new link's
// dials are not taken for late ones of the old.
//
// A peer's addresses are tried in turn, one for each dial. When others are set, the next dial takes those, without
// waiting; a connection in use stays.
//
// # Joining
//
// A member that was added, but never started, knows an address and its own name only. It asks who it is on a connection
// of its own to the peers' port, ALPN "qkv-join/1", with a member's certificate: one stream in both directions, and on it
// one frame each way, framed as a handshake is, with limits.JoinRequestBytes and limits.JoinAnswerBytes:
//
//	joiner                                member
//	length, 4 bytes | request, end  -->
//	                                <--   length, 4 bytes | welcome, end     or a close with a refusal's code
//	close with 0                    -->
//
// Package peerframe draws both. The name in the request must be the certificate's; where that names nobody, it must hold the
// host of an address with which the member was added. All of it has
// limits.PeerHandshakeTimeout, and keeps its place among the handshakes until the end. [Ask] is the joiner's side. A refusal
// that lasts ends it, but not that its name is a lost member's: then it waits until that one was replaced, however long that takes.
//
// # Who is nobody yet
//
// A connection takes one of limits.PeerHandshakes places until its handshake was judged, and one source address has a
// share of them, so that what floods the port from one address keeps nobody else out; of both the log tells. Who claims an
// address must show it by one more round trip when many are under way, altogether or from there, and who is silent when a quarter of
// the places is taken loses its own after limits.HandshakeHurry.
//
// # When things end
//
// A peer is asked for a sign of life each second and given up after three; a restarted one says so itself by
// dialling, and by a stateless reset when it gets a packet with a frame in it (not to a bare sign of life: QUIC answers
// no packet of less than 43 bytes). A lost connection is dialled again after 50 ms, then twice as late each time up to
// a second, less a random part. When one side refused the other, both wait some seconds.
//
// # A process that has died
//
// QUIC says nothing of a process that has died before its idle timeout, and answers nothing for it. So a member also listens
// for TCP at its peers' address, and does nothing there but take connections and end them: its kernel refuses them as soon as
// the process is gone. When a connection comes into use, it is tried whether its other end does so (a firewall may not let it,
// and an earlier process may not have); if it does, [Transport.CheckAlive] asks there, and a refusal is [Handler.Died].
// Everything else, silence above all, says nothing. It is only asked where something is wrong already, so that a cluster in
// which nothing is has no connection and no packet more; TCP's refusal is an answer that no rate limits, unlike ICMP's for UDP,
// and is hard to forge for who is not on the way. Nothing is said there, so that it needs no certificate.
//
// The same question tells a folder that was copied from a member that has moved: while a connection is in use and the host at its
// other end says that the process is there, a process of that member that calls from elsewhere is refused.
//
//	code  closes a connection because
//	0     the member stops
//	1     another connection between the two is in use
//	2     of what the text says: a refusal
//	3     of what the text says: the other side broke the rules of this page
//	4, 5  the other side has forgotten what it promised, says one who does not lead, and one who does
//	6, 7  the other side was removed from the cluster, says one who does not lead, and one who does
//	8     as 4, says one who takes no part itself, or has nothing of the log yet
//	9     who asks to join has the name of a member with another folder that is not there
package peer
