// Package actor holds every goroutine of a member's core, and what each of them owns.
//
//	              Send                   Deposit                 sync, then the responses
//	clients ────────────► ┌───────────┐  Append  ┌────────────┐ ────────────► Peers (MsgAppResp, MsgVote, votes)
//	peers   ────Offer───► │ consensus │ ───────► │ log writer │ ◄──► segment maker (MakeSpare, SpareMade, Recycle)
//	clock   ────Offer───► │  RawNode  │ ◄─────── │  *log.Log  │
//	                      │  Window   │ Appended └────────────┘
//	  Peers ◄──────────── └───────────┘              ▲ Restored
//	 (MsgApp, heartbeats)   │       ▲ Applied        │
//	                  Apply ▼       │                │
//	                      ┌───────────┐ ─────────────┘        ┌─────────────┐
//	                      │  applier  │ ──── Save(View) ────► │ snapshotter │ ◄──► Peers (offers, pieces)
//	                      │  *State   │ ◄─── SaveEnded ────── │   folder    │ ───► consensus (SnapshotSaved,
//	                      └───────────┘                       └─────────────┘      SnapshotReceived, SnapshotSent)
//	                        └── results ──► the connection that asked (index.Asker)
//
// # An actor
//
// An actor is a [Mailbox] and a [Handler]. The handler is a state and one function that works off a batch of messages.
// It starts no goroutine and uses no lock, channel, select, clock, chance or map order that shows: time is handed in
// with the batch, and what it sends goes into other mailboxes. A test reads the sources and holds that rule. So the
// same handlers run under two drivers: [Runtime] runs them in goroutines, [Sim] runs those of many members in one
// seeded loop, and what a seed has shown once it shows again.
//
// Runtime does not tie an actor to one goroutine: the actor that a handler passes its work to follows it in the same
// one, so that a lone write goes from consensus to the log writer and back through consensus to the applier without
// waking a thread. An actor that is busy, or has more to do, gets another goroutine.
//
// # Mailboxes
//
// A mailbox is taken whole: a thousand messages cost one wake-up. Each way of putting a message in says what happens
// when there is no room:
//
//	Send     waits. Only clients send; that is the backpressure, and QUIC's flow control carries it on to them
//	Offer    drops. Peers and clocks offer; raft sends again, the next tick comes
//	Deposit  cannot fail. The room was reserved: raft bounds what it hands out, an endpoint bounds what it lets in;
//	         a full box is a bug and panics with the numbers
//	Pass     is Deposit by a handler that is nearly done: the receiver's turn follows in the same goroutine
//	Leave    is Deposit without a wake-up: what the applier expects is looked at when it comes
//
// # Consensus
//
// go.etcd.io/raft/v3 v3.7.0, RawNode with AsyncStorageWrites: its MsgStorageAppend and MsgStorageApply are the orders to
// the log writer and the applier. The rules that the library leaves to its user, and where they are kept:
//
//  1. Only Ready.Messages, ReadStates and SoftState are acted on, Advance is never called; a MsgStorageAppend is durable
//     before any of its responses leaves, and local orders are neither dropped nor reordered (ready.go, logwriter.go).
//  2. MsgVote leaves as a response of the same Ready's MsgStorageAppend: term and own vote are durable before anybody is
//     asked. A candidate whose disk stalls would else win, replicate, crash with nothing on its disk, and win the same
//     term again (ready.go).
//  3. Ready is called after every batch, whatever is full: heartbeats leave only through it (consensus.go).
//  4. raft reads its log through log.Window, which shows an entry before its response is stepped (consensus.go, appended).
//  5. A read is confirmed by a ReadIndex round of its own attempt, only after the leader has handed a committed entry of
//     its term to the applier, and is void when (term, leader) changes (reads.go).
//  6. Membership entries take effect in raft before their apply response is stepped; Commit is clamped at the start; a
//     single voter campaigns at once and after replay (consensus.go).
//  7. Ticks are 10 ms and missed ones are coalesced; leadership is given up by a transfer, or, where nobody can take it,
//     by silence, so that CheckQuorum ends it (ready.go, watchDisk).
//  8. From peers only what raft expects from a network passes; a heartbeat that commits beyond the own log is AMNESIA
//     (peermessage.go, consensus.go).
//  9. Everything is batched: commands into entries, entries into groups, results into connections. Nothing lingers: a
//     batch is what came during the last sync (proposals.go, logwriter.go, applier.go).
//  10. A MsgSnap reaches raft only when its file is verified and published; the log writer's reset marker is synced
//     before the applier restores, and everything waits for that (snapshotter.go, logwriter.go).
//
// # The fate of a write
//
// A batch of commands is proposed, or forwarded to the leader, in one term; a leader takes a forwarded
// batch only in that term, once, and behind those before it, so that it can be sent again until it stands in the
// follower's log (forward.go). A log's terms never fall. So when an entry of a later term is applied and the batch
// has not been, it never will be: its clients learn that their writes certainly did not happen, without any answer
// from anybody. This decides sooner and needs fewer messages than to watch for another term at the index that a
// proposal was given, which only the leader knows. What remains unknown is a batch that no quorum has agreed on when
// its clients' time is over, and one that a snapshot may have carried in.
//
// # Snapshots between members
//
// The leader's snapshotter offers a file; the receiver's answers from where on it wants it; pieces follow, a bounded
// number at a time, each answered. What is lost is sent again after half a second, an interrupted file is continued
// where it ended, also after a restart. The log behind a snapshot on its way is kept as long as that snapshot is at
// most one older than the two that are kept: a snapshot is taken when the records outweigh the state, so that is about
// twice the live data.
//
// # Amnesia
//
// A member that has forgotten what it promised must not vote. Three things show it: its hello (folder id, boot counter,
// process id, against the announcement in the replicated state and against what this process has seen), its log ending
// before what the leader has counted as acknowledged, and a heartbeat that commits what it does not have ([Admission],
// Consensus.forgot). Who is told so, or finds it out, takes no part any more: it writes that down before anything else,
// and its later starts read it (Consensus.leave). What nobody can notice is a folder that was put back to an earlier
// moment of the run that the others know while no member that knows better is up.
//
// # Who writes files
//
// Three actors: the log writer, the segment maker and the snapshotter, each its own files. Beside them the data
// folder's small files (identity, peers, amnesia) are written by package node: at the start, when a peer's new process
// is admitted, and when this member leaves. They are rare, and must be durable before anything follows from them.
package actor
