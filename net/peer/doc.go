// Package peer carries frames between the members of a cluster: what they mean is for its user to know. It promises
// no delivery: what is lost with a connection, or does not fit a queue, is gone, and raft sends again. What it does
// deliver came from the member that it names, whole, and within one class in the order in which it was sent.
//
// # One connection for a pair
//
// Members listen on UDP and dial each other from the same socket: QUIC, TLS 1.3 with certificates on both sides, ALPN
// "qkv-peer/1". A pair uses one connection, whoever dialled it, and both send on it, so that acknowledgements ride
// along (measured: 11 packets a put in place of 14). Both dial when they have none; so there may be two for a
// moment, and both sides must drop the same one. What decides is said in the first frame on each connection:
//
//	hello = [version, cluster str, from uint, to uint, process uint, dial uint, seen process uint, seen dial uint, hello bin]
//
//	process     a random number of the process
//	dial        how many hellos this process has sent to this peer, with this one: it names the connection
//	seen        the process and dial of the newest connection from this peer that was accepted
//	hello       the user's own part, which the other side's user admits or refuses
//
// The one who dialled opens a stream in both directions and sends its hello; the other answers with its own, which
// says yes (its dial is 0), or closes the connection. When the first has admitted that too, it ends its side of the
// stream, and both use the connection. Nobody is told of a connection that one of them refuses.
//
//  1. A hello is not sent while a connection is in use. From then until its answer its connection is *pending*.
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
// come out of order within a class, and [Config.Connected] and [Config.Disconnected] alternate.
//
// # Streams
//
// Each side opens three streams in one direction, one for each [Class], with QUIC priorities 0, 1 and 7: votes and
// heartbeats never wait behind appends, nor these behind a snapshot. A stream is one byte, its class, and then frames:
//
//	+--------+-----------------+---------+-----------------+---------+----
//	| class  | length, 4 bytes | frame   | length, 4 bytes | frame   | ...
//	| 1 byte | big endian      | n bytes |                 |         |
//	+--------+-----------------+---------+-----------------+---------+----
//
// A length of 0 or over limits.PeerFrameBytes, another class, a second stream of a class and anything else that is not
// drawn here closes the connection. A hello is framed in the same way, with limits.PeerHelloBytes.
//
// One goroutine writes a stream. It takes all that waits at once, after letting others run once, because writers
// coalesce only if they wait their turn (measured: 1.5 x). A frame sent as lazy waits up to a millisecond for the next
// frame to that peer, of any class, to share its packet (measured: 14.2 packets a put become 8.1). One goroutine
// reads a stream, and hands over slices of 64 KiB pieces that are never used again.
//
// # When things end
//
// A peer is asked for a sign of life each second and given up after three; a restarted one says so itself by
// dialling, and by a stateless reset when it gets a packet with a frame in it (not to a bare sign of life: QUIC answers
// no packet of less than 43 bytes). A lost connection is dialled again after 50 ms, then twice as late each time up to
// a second, less a random part. When one side refused the other, both wait some seconds.
//
//	code  closes a connection because
//	0     the member stops
//	1     another connection between the two is in use
//	2     of what the text says: a refusal
//	3     of what the text says: the other side broke the rules of this page
package peer
