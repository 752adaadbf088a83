// Package server is a member's native endpoint: QUIC, protocol "qkv/1" of package wire. It turns the frames of many
// clients into proposals and reads for the member behind it, and outcomes into answers. It holds no state of the
// store, decides nothing about it, and knows the member only as [Member].
//
// # How a request goes
//
//	         reader goroutine                                         writer goroutine
//	stream ─► frames that came together ─► one Proposal, one ReadIndex ► Member
//	             │                                                        │ Complete
//	             ├─► reads that need no confirmation ──► ready ◄── done ◄─┘
//	             ├─► such reads of one key: encoded ───► now    │
//	             └─► refusals, statuses: encoded ──────► out    └──► one Write for all that waits ─► stream
//
// Each stream has two goroutines, and no request has one; pages of a streamed range are written by a third, while the next are
// read. The reader decodes all frames that one Read brought, hands
// all their writes to the member as one proposal and all their linearizable reads as one confirmation, and answers what
// needs no room (status, requests that are refused). The writer is woken once for whatever
// arrived since it last looked, lets others run first so that more may arrive, and encodes all of it into one
// Write. Reads are read from the View by the writer, linearizable ones when they are ready, straight
// into its buffer. Serializable reads of one key the reader answers itself, into a buffer that the writer takes as it is (measured:
// a tenth less CPU than to hand the request over); once the writer has one that it has not taken, its client is slow, and
// such reads wait for the writer as the others do. Who reads many keys has the View touch all of them first
// ([index.View.Prefetch]; measured: half of what a read of the state costs).
//
// # Watches
//
// A stream whose first frame asks for a watch carries watches alone ([watches]). Its reader hands requests to the member's
// watch hub, and its writer sends what that delivers, in one order. The hub encodes an event once for all streams; here
// a delivery gets its head, with the ids of the watches that it is for. Events beyond limits.WatchBytesWaiting are refused, and
// the hub is told when there is room again. Each watch counts for its client's share, and until its end has been written.
// While it watches, a connection does not count as idle. A member that stops ends its streams of watches at once: their
// clients resume them elsewhere.
//
// # Answers with bodies
//
// The previous values of a write, what a transaction has read, and a range that is sorted are one answer each ([body]), read
// from one View, because the pieces must fit each other. For a write that is the first View that holds it: the member
// completes a write before it publishes the next View, so that Complete takes the one that is there. What was compacted
// right behind the write is still in it. A read takes the newest View when it begins; a transaction that changes nothing is
// one, and makes no entry. What may look at many keys is read in turns, as a range is. When there is no room for the answer to
// a write, or no time, the answer says that the write was made.
//
// A write that has a name is put into the log like any other; the state says whether it was applied before. Then what else its
// answer has is read from the history, as of its own revision, or the answer says that this is compacted ([index.View.Recall]).
//
// Keep-alives and questions for leases are answered by the leader's lease clock: those that one Read brought go to the member
// together, and come back as each is answered. They take none of the room that writes wait for. What a lease has for keys is read
// from the View.
//
// # Streamed ranges
//
// A range that is asked for as pages is written one page after the other, each in a turn of its own, by the writer of its
// stream ([pages], [index.PagesReader]): Write waits where the client does not read, without a turn. All of it is read from the
// View of the first page, so that no compaction overtakes it; once that is let go of, newer ones are read, as long as
// they have the revision. Such a stream carries nothing else while it lasts, so that its client opens one for each.
//
// # Invariants
//
//  1. Complete never waits: its room was reserved when the request was admitted.
//  2. Each request that was admitted is answered once, or its stream is gone. It counts as under way until its answer
//     is about to be written, also when its stream is gone and only the member's outcome is missing.
//  3. What a client can make the member keep is bounded, by the table of package limits, in two ways. Connections have
//     places: in a full server a newcomer gets that of the connection that was idle for longest, of the identity that
//     has most ([place]). Bytes have shares: parts of large requests, requests under way, answers and the streams
//     themselves are taken from limits.ClientBytes, of which an identity, a connection of it and a stream of that may
//     each have what it leaves to others ([share]). Requests without room are answered Overloaded before anything
//     was done with them, also those whose frame finds none, which is skipped; pages become smaller.
//  4. A stream whose client takes nothing of the answers, or brings no more of a large request, is reset after
//     limits.ClientWriteTimeout, and after limits.ClientStall when it keeps more than its share. Its connection's
//     other streams do not notice.
//  5. A stream is ended in good order only when all requests that were handed to the member are answered on it: the
//     client takes the others for not done, and sends them elsewhere.
//  6. Writes of one stream are proposed in the order in which they came.
//  7. A View is held for one Write's worth of encoding, or for one turn of a range, never while a Write waits: a slow
//     client does not keep old versions of the state in memory. Only a body has one for longer, until it is encoded, and a
//     streamed range: for limits.PagesHeld, and less when more than limits.PagesRetired waits for it; the body ends then, behind
//     limits.ClientStall.
//  8. Ranges, and bodies, that may look at many keys are read in turns of limits.RangeTurn, by one of limits.RangeShare processors
//     for all clients together, behind all that is short ([turns]). Before each turn is asked whether anybody waits for
//     the range: not when its client is gone, its time is over, or the member stops.
//  9. The member has one long write at a time (limits.LongWriteRows), until it has answered that. Others are Overloaded meanwhile:
//     each holds up all writes behind it.
//
// # Who the members are
//
// A client asks for a status first, and keeps what that says of the members. The endpoint looks for a change ten times
// a second, and sends each client a status with it, on a stream of its own: so no client is left with addresses of
// members only that were all removed.
//
// # Who may come in
//
// Whoever shows a client's or a member's certificate of the own trust domain (package wire). 0-RTT is off and no
// session is resumed, so that every connection is as new as its certificates. When many handshakes are under
// way, a client must first show that its address is its own (QUIC's Retry), and when a quarter of their places is taken, those that
// are silent lose theirs after limits.HandshakeHurry.
package server
