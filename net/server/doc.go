// Package server is a member's native endpoint: QUIC, protocol "qkv/1" of package wire. It turns the frames of many
// clients into proposals and reads for the member behind it, and outcomes into answers. It holds no state of the
// store, decides nothing about it, and knows the member only as [Member].
//
// # How a request goes
//
//	         reader goroutine                                         writer goroutine
//	stream ─► frames that came together ─► one Proposal, one Confirm ─► Member
//	             │                                                        │ Deposit([]Done)
//	             └─► what needs no waiting: answered ─► out ◄── done ◄────┘
//	                                                     └──► one Write for all that waits ─► stream
//
// Each stream has two goroutines, and no request has one. The reader decodes all frames that one Read brought, hands
// all their writes to the member as one proposal and all their linearizable reads as one confirmation, and answers what
// needs neither (serializable reads, status, requests that are refused). The writer is woken once for whatever
// arrived since it last looked, lets others run first so that more may arrive, and encodes all of it into one
// Write. Linearizable reads are read from the View by the writer when their confirmation is there, straight
// into its buffer.
//
// # Invariants
//
//  1. Deposit never waits: its room was reserved when the request was admitted.
//  2. Each request that was admitted is answered once, or its stream is gone. It counts as under way until its answer
//     is about to be written, also when its stream is gone and only the member's outcome is missing.
//  3. What a client can make the member keep is bounded, by limits.go of package limits: connections, handshakes,
//     streams, requests and bytes under way, answers that wait, one frame's size. Requests past a limit are answered
//     Overloaded, before anything was done with them; a client that does not read is not read from either, and is
//     closed when it takes nothing for limits.ClientWriteTimeout.
//  4. A stream is ended in good order only when all requests that were handed to the member are answered on it: the
//     client takes the others for not done, and sends them elsewhere.
//  5. Writes of one stream are proposed in the order in which they came.
//  6. A View is held for one Write's worth of encoding, never while a Write waits: a slow client does not keep old
//     versions of the state in memory.
//
// # Who may come in
//
// Whoever shows a client's or a member's certificate of the own trust domain (package wire). 0-RTT is off and no
// session is resumed, so that every connection is as new as its certificates. When many handshakes are under
// way, a client must first show that its address is its own (QUIC's Retry).
package server
