// Package watch is who watches what, and how far each has been told: the state of a member's watch hub. It has no
// goroutine, clock or lock; the actor around it ([qkv/actor], WatchHub) gives it requests, the newest View and the time, and
// it hands deliveries to the streams ([kv.WatchStream]).
//
//	requests ──► Hub ──► streams: created, events, progress, canceled, in one order
//	              ▲
//	            View: the history, and the versions of a key
//
// # A cursor
//
// A subscription is the equal watches of one stream, and its cursor: the place in the history behind all that was
// delivered to them. It moves only when a stream has taken a delivery. No event is kept for anybody: who is behind gets it from
// the history again, and who reads nothing holds a cursor. A View, whichever it is and however it came to be, never moves a
// cursor; when the history begins behind it, the watches are canceled with the oldest revision that there is.
//
// # Passes
//
//	                     ┌──────────── refused: the stream is full ───────────┐
//	                     │                                                    ▼
//	created ──► waiting ──► sweep ──► live ◄── by its key's versions ◄──── blocked ──room──► (as created)
//
// A pass is a place in the history and the subscriptions that are there, in an index by keys and ranges. Two passes walk: live,
// where all are that have been told of everything, and the sweep, which brings those that are behind to it. All others
// wait in the order of their cursors, and a pass takes them on when it comes to their place: so any number of watches that are
// behind by different lengths cost one walk over the history, and one that begins in the future joins when its revision
// comes. A watch of one key is brought up by the versions of that key, unless they are very many.
//
// Subscriptions with equal ranges and options are a group, which collects one body of encoded events for all of them; an event is
// encoded once for each format, with and without what was before. Live delivers its bodies at the end of each walk, the sweep
// when they are limits.WatchPendingBytes in all, or when it has come to live: 10,000 watches that are far behind get a tenth of the
// deliveries by that. A body that is large goes at once, but only behind the last event of a revision; one revision that is too
// large for that comes in fragments, behind the last of which there is a delivery that is none, without events if need be.
//
// # Steps
//
// Each call of Step does a bounded amount of work, limits.WatchStepWork, about half a millisecond, for live and as much for the
// others. So the time that a put, or another watch, waits for those that are behind does not depend on how many they are. What they
// are sent counts for what it costs the streams, which is more than it costs the hub: else one step would hand out what
// keeps every processor busy for long.
//
// # What holds for a watch
//
//  1. Created comes first, canceled last. Events come by revision and sub revision, each once, all of them, from the first
//     revision that was asked for on.
//  2. Behind a delivery that is no fragment, nothing at or below its Revision follows: it is where to resume behind.
//  3. Progress is delivered when all that it speaks of are level, and is behind their events in the same order. It
//     is never below the revision that a watch begins with.
//  4. What one stream does not take delays no other.
//
// # Where the time goes
//
// An event that nobody watches costs its place in the history, a look into a table of keys, and a descent into a tree of
// ranges (a treap in which each node knows the largest end below it).
package watch
