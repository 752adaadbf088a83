// Package server is a member's endpoint for qkv's own clients (the native endpoint): QUIC, protocol "qkv/2" of package wire. It turns the
// frames of many clients into proposals and reads for the member, and outcomes into answers. It holds no state of the store, makes no
// decisions about the store, and knows the member only as [Member].
//
// # The path of a request
//
//	         reader goroutine                                         writer goroutine
//	stream ─► frames that came together ─► one Proposal, one ReadIndex ► Member
//	             │                                                        │ Complete
//	             ├─► reads that need no confirmation ──► ready ◄── done ◄─┘
//	             ├─► such reads of one key ─────────► immediate │
//	             └─► refusals, statuses: encoded ──────► out    └──► one Write for all queued answers ─► stream
//
// The table of ops (package wire) has the path of each request through the member, which reader.start takes. What this endpoint does for an
// op stands in a second table (table.go), and nowhere else: its command, its answer, its body and its line in the audit log. A request is
// decoded once. Each stream has two goroutines. Only a request for a password, a move of the leader or a backup has one of its own
// ([reader.runInBackground]). Another goroutine writes the pages of a streamed range while the next pages are read, and one wakes the
// reader for requests that wait for the member's start (starting.go). A few answer short requests whose values are in files ([fileReads]):
// neither reader nor writer waits for the disk for one key. The reader decodes all frames of one Read. It hands all their writes to the
// member as one proposal and all their linearizable reads as one confirmation. It answers status requests and refused requests itself. One
// token wakes the writer for everything that has arrived since it last ran. If other requests are under way, the writer yields once for
// more outcomes. It encodes all into one Write. It executes reads on the View, linearizable reads after their confirmation, and encodes the
// results straight into its buffer. The reader answers serializable reads of one key, into a buffer that the writer sends unchanged
// (measured: a tenth less CPU). If the writer has not taken the previous such buffer, its client is slow, and such reads wait for the
// writer. Before many keys are read, the View prefetches all of them ([index.View.Prefetch]; measured: half of a read's cost).
//
// # Watches
//
// A stream whose first frame is a request for a watch carries only watches ([watchStream]). Its reader hands requests to the member's watch
// hub, and its writer sends the hub's deliveries in their order. The hub encodes an event once for all streams; this package adds the
// header of a delivery, with the ids of its watches. If a stream's buffer has more than limits.WatchBytesWaiting, further events are
// refused, and the hub is notified when the buffer has space again. Each watch counts against its client's share until its end has been
// written. A connection with watches does not count as idle. A member that stops ends its streams of watches at once: their clients resume
// them elsewhere.
//
// # Answers with bodies
//
// Three kinds of answers have a [body], which is read from one View because its pieces must be consistent: the previous values of a write,
// the reads of a transaction, and a sorted range. For a write, it is the first View that includes the write. The member completes a write
// before it publishes the next View, so Complete takes the current one. That View still has revisions that were compacted right after the
// write. A read takes the newest View when it begins; a transaction that changes nothing is a read, and makes no log entry. A body that may
// look at many keys is read in turns, as a range is. If the body of a write exceeds the memory budget or its time limit, the answer is an
// error that says that the write was applied.
//
// A write with a name (a session and a sequence number) goes into the log like any other; the state knows whether it was applied before. If
// it was, its body is read from the history, as of its own revision, or the answer says that this history is compacted
// ([index.View.RecoverAnswer]).
//
// The leader's lease clock answers keep-alives and lease queries. The keep-alives and queries of one Read go to the member together, and
// each completes on its own. They do not wait for the queue of writes. The keys of a lease are read from the View.
//
// # Streamed ranges
//
// The writer of a stream writes a range with pages one page after the other, each in a turn of its own ([pages],
// [index.PagesReader]). While the client does not read, Write waits without holding a turn. All pages are read from the View of the
// first page, which keeps compaction from overtaking them. Once that View is released, newer Views are read, as long as they have
// the revision. Such a stream carries nothing else until it ends: clients open one stream for each such range.
//
// A range with the usage of its keys is streamed likewise ([index.UsageReader]), from newer Views as long as no more is compacted.
//
// # Invariants
//
//  1. Complete never waits: admission of the request reserved its space.
//  2. Each admitted request is answered once, or its stream is gone. It counts against the limits until its answer is about to be written,
//     and, if its stream is gone, until the member's outcome arrives.
//  3. The memory that a client can make the member use is bounded, by the table of package limits, in two ways. Connections are limited in
//     number: in a full server a new connection replaces the longest idle connection of the identity with the most connections
//     ([admit.Evict]). Bytes are limited by shares: parts of large requests, requests under way, answers and the streams themselves reserve
//     memory from limits.ClientBytes. An identity, a connection and a stream may each reserve at most as many bytes as they leave free
//     ([memoryBudget]). A request that exceeds its share is answered Overloaded before any work on it. That includes a request whose frame
//     does not fit: the frame is skipped. Pages become smaller instead.
//  4. A stream whose client reads no answers, or does not complete a large request, is reset after limits.ClientWriteTimeout, and after
//     limits.ClientStall if it uses more than its share. Its connection's other streams are not affected.
//  5. A stream is closed cleanly only when all requests that were handed to the member are answered on it: the client assumes that
//     unanswered requests were not carried out, and sends them elsewhere.
//  6. Writes of one stream are proposed in the order in which they came, also after a wait for the member's start (starting.go).
//  7. A View is held for the encoding of one Write, or for one turn of a range, never while a Write waits: a slow client does not keep old
//     versions of the state in memory. There are two exceptions. A body holds its View until it is encoded, also while it waits for the
//     disk. A streamed range holds its View for limits.PagesHeld. If Views keep more than limits.PagesRetired bytes from being freed, a
//     range releases its View earlier, and a body ends after limits.ClientStall.
//  8. Ranges and bodies that may look at many keys are read in turns of limits.RangeTurn, by one of limits.RangeShare processors for all
//     clients together, after all short work ([admit.FairQueue]). Before each turn a range is dropped if its client is gone, its time is
//     over, or the member stops.
//  9. The endpoint hands one long write at a time (limits.LongWriteRows) to the member. Until it is answered, other long writes are
//     Overloaded: each would block all writes after it.
//
// # Changes of the members
//
// A client first asks for a status, and remembers the members in it. The endpoint checks for a change ten times a second, and then
// pushes a status to each client, on a stream of its own. So no client is left with addresses of removed members only.
//
// # Users
//
// The user of a connection is the name in its client certificate, or that of its [login]. Every request has the class that its op declares
// ([wire.Op.Access]). Where it is checked depends on its path, once authentication is enabled:
//
//   - Writes carry their user and its auth revision into the log, and the state refuses them when it applies them. Deletions and
//     transactions over ranges, and changes of users, are checked before that as well: a refusal for their size would tell how many keys
//     there are, and a password costs much to hash.
//   - Reads are checked in the View that is read, a read in steps again in each View whose users or roles have changed. The member's own
//     answers, moves of the leader and keep-alives are checked in the newest View before anything is done for them.
//   - Watches are checked by the watch hub, when they begin and after each change of users or roles.
//
// While authentication is disabled, a request costs one more load of a pointer.
//
// A password is hashed in the background: later writes of the stream may overtake its change of users, as the one exception to invariant 6.
// The [auth.Hasher] bounds the hashes of both endpoints. Refusals of this kind, logins and changes go to the audit log (audit.go).
//
// # Access
//
// A client must present a client's or a member's certificate of the member's trust domain (package wire). 0-RTT and session resumption are
// off: every connection uses current certificates. When many handshakes are under way, a client must first prove its source address (QUIC's
// Retry). When a quarter of the limit of handshakes is in use, silent handshakes are dropped after limits.HandshakeHurry.
package server
