// Package watch is the state of a member's watch hub: the watches and the progress of each. It has no goroutine, clock or
// lock. The actor around it ([qkv/actor], WatchHub) passes in requests, the newest View and the time. The hub passes
// deliveries to the streams ([kv.WatchStream]).
//
//	requests ──► Hub ──► streams: created, events, progress, canceled, in one order
//	              ▲
//	            View: the history, and the versions of a key
//
// # A cursor
//
// A subscription is the equal watches of one stream, with a cursor: the position in the history after everything that was
// delivered to them. The cursor moves only when a stream has accepted a delivery. The hub buffers no events for a watch
// that lags: such a watch receives its events from the history again, and a stream that reads nothing costs only its
// cursors. No View ever moves a cursor, not even a View of a loaded snapshot. If the history begins after a cursor, the
// watches are canceled, with the oldest available revision.
//
// # Passes
//
//	                     ┌──────────── refused: the stream is full ───────────┐
//	                     │                                                    ▼
//	created ──► waiting ──► sweep ──► live ◄── by its key's versions ◄──── blocked ──room──► (as created)
//
// A pass is a position in the history and the subscriptions at that position, indexed by keys and ranges. Two passes walk
// through the history. The live pass has the subscriptions that have caught up. The sweep brings lagging subscriptions up
// to the live pass. All other subscriptions wait in the order of their cursors, and a pass picks them up when it reaches
// their position. Any number of watches with different lags therefore cost one walk through the history, and a watch that
// begins in the future joins when its revision exists. A watch of a single key catches up by the versions of that key,
// unless they are very many.
//
// Subscriptions with equal ranges and options form a group. A group collects one body of encoded events for all its
// subscriptions. An event is encoded once for each format, with and without its previous value. The live pass delivers
// its bodies at the end of each walk. The sweep delivers when its bodies reach limits.WatchPendingBytes together, or when
// it has reached the live pass. For 10,000 watches that lag far behind, this cuts the number of deliveries to a tenth.
//
// A large body is delivered early, but only after the last event of a revision. If one revision is too large for that, it
// is delivered in fragments. The last fragment is followed by a delivery that is not a fragment, without events if
// necessary.
//
// # Steps
//
// Each call of Step does a bounded amount of work: limits.WatchStepWork, about half a millisecond, for the live pass, and
// the same for lagging subscriptions. The delay that lagging watches cause to a put, or to another watch, therefore does
// not depend on their number. Deliveries to lagging watches are charged at their cost to the streams, which exceeds the
// cost to the hub. Otherwise one step could produce work that keeps all processors busy for long.
//
// # Guarantees for a watch
//
//  1. Created comes first, canceled last. Events come in order of revision and sub revision, each exactly once, complete
//     from the first requested revision on.
//  2. After a delivery that is not a fragment, nothing at or below its Revision follows: a client can resume after that
//     Revision.
//  3. Progress is delivered when all its watches have caught up, after their events, in the same order. It is never below
//     the revision at which a watch begins.
//  4. A stream that accepts no deliveries delays no other stream.
//
// # Cost
//
// An event without watches costs its slot in the history, a lookup in a table of keys, and a descent into a tree of
// ranges (a treap in which each node knows the largest end below it).
package watch
