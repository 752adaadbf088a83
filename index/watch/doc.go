// Package watch is the state of a member's watch hub: all watches and the progress of each. It has no goroutine, clock
// or lock. The actor that owns the hub ([qkv/actor], WatchHub) passes in requests, the newest View and the time. The
// hub passes deliveries to the streams ([kv.WatchStream]).
//
//	requests ──► Hub ──► streams: created, events, progress, canceled, in one order
//	              ▲
//	            View: the history, and the versions of a key
//
// # A cursor
//
// A subscription is the set of equal watches of one stream. It has a cursor: the position in the history after the last
// event that was delivered. The cursor never passes an event that the stream has not accepted. The hub buffers no events
// for a watch that lags: such a watch later receives its events from the history, and a stream that reads nothing costs
// only its cursors. A new View never moves a cursor, not even the View of an installed snapshot. If a
// compaction passes a cursor, the watches are canceled, with the oldest available revision.
//
// # Passes
//
//	created ──► live                        its cursor is where the live pass is
//	        ──► keys ──► live               it lags, and watches a single key
//	        ──► waiting ──► sweep ──► live  it lags, and watches a range, or a key of very many versions
//	        ──► waiting ──► live            it begins in the future
//	keys, sweep, live ──► blocked           its stream is full; once the stream has space: as created
//
// A pass is a walk through the history: a position, and the subscriptions at that position, indexed by keys and ranges.
// There are two passes. The live pass has the subscriptions that have caught up. The sweep brings lagging subscriptions
// up to the live pass. Waiting subscriptions are in the order of their cursors, and a pass picks each up when it reaches
// its position. Any number of watches with different lags therefore cost one walk through the history. A watch of a
// single key catches up by that key's versions.
//
// Subscriptions with equal ranges and options form a group. A group collects one body of encoded events for all its
// subscriptions. An event is encoded once for each format, with and without its previous value. The live pass delivers
// its bodies at the end of each walk. The sweep delivers when its bodies reach limits.Watches.PendingBytes together, or
// when it has reached the live pass. For 10,000 watches that lag far behind, this reduces the number of deliveries to a
// tenth.
//
// A large body is delivered early, but only after the last event of a revision. If the events of one revision are too
// large for one delivery, they are delivered in fragments. The last fragment is followed by a delivery that is not a
// fragment, without events if necessary.
//
// # Steps
//
// Each call of Step does a bounded amount of work: limits.Watches.StepWork, about half a millisecond, for the live pass, and
// the same for lagging subscriptions. The delay that lagging watches cause to a put, or to another watch, therefore does
// not depend on their number. Deliveries to lagging watches are charged at their cost to the streams, which exceeds the
// cost to the hub. Otherwise one step could produce work that keeps all processors busy for long.
//
// # Values in files
//
// The hub never waits for a disk. Where a lagging watch needs a value that is in a file ([index.Unread]), its pass stops before that
// change, looks ahead for other values that will be needed, and lists them: [Hub.Missing]. The actor's value reader reads them, and
// [Hub.Bring] hands them back. A list ends with the value that reaches readBytes or readValues. The
// hub keeps the values until as many bytes or values have come after them. Other passes, and watches of single keys, go on meanwhile.
//
// If a value cannot be read, the watches that want it receive all events before it and are canceled with that error. After
// kv.Unavailable, clients resume them behind the last event, here or at another member. The error is kept for readAgain, and the
// value is then read again.
//
// # Guarantees for a watch
//
//  1. Created comes first, canceled last. Events come in order of revision and sub revision, each exactly once, complete
//     from the first requested revision on.
//  2. After a delivery that is not a fragment, nothing at or below its Revision follows: a client can resume after that
//     Revision.
//  3. Progress is delivered, after the events, when all watches that it concerns have caught up. Its revision is at
//     least the revision at which each of these watches begins.
//  4. A stream that accepts no deliveries delays no other stream.
//
// # Cost
//
// An event without watches costs its slot in the history, a lookup in a table of keys, and a descent into a tree of
// ranges (a treap in which each node knows the largest end below it).
package watch
