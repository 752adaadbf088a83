// Package index is the replicated state machine: revisioned keys with their history, leases, clients' sessions, the cluster's
// members and its feature level. It is a pure function of the log: the same entries make the same state and the same results on every
// member. No goroutine, lock, clock, randomness, map order or setting of one member has part in it, and no constant of a build: the
// bounds that apply goes by belong to the feature level (level_test.go).
//
// A [State] belongs to one goroutine, which calls [State.Apply] for each entry and [State.View] once a batch. A [View]
// is the state at one applied index, immutable, for any goroutine.
//
// # Revisions
//
// As in etcd. The store begins at revision 1; each put, and each delete or transaction that changes something, is the
// next revision. What one command changes shares its revision and is told apart by sub revision, in the order in which it
// happened: the keys of a delete in key order. A key may change twice in one revision. It has the revision that created it,
// the one that changed it last, and a version: 1 when created, one more with each put, and from 1 again after a delete,
// which leaves a tombstone. Announcements and feature levels make no revision.
//
// # Commands
//
// An entry's data are a batch envelope, in msgpack, written as vmihailenco/msgpack v5 with compact integers would:
//
//	envelope   97 version=1 level member incarnation first wall [command...]
//	command    97 kind version=1 principal="" auth=0 session sequence body
//	session    0                                                               none; sequence is 0 then, too
//	           93 id window opened                                             as in kv.SessionWrite; kinds 1, 2, 10 to 13 only
//	body 1     94 key value lease flags                                        put; flags as in kv/codec.go
//	body 2     92 key end                                                      delete
//	body 3     member                                                          announce
//	body 4     91 level                                                        feature level
//	body 5     92 code message                                                 refused
//	body 6     90                                                              check
//	body 7     93 member entry digest                                          digest
//	body 8     96 kind id name [peer...] manual instead                        change of the membership
//	body 9     90                                                              end of an exchange of members
//	body 10    92 verdict transaction                                          transaction as in kv/codec.go; no verdict
//	body 11    91 revision                                                     compact
//	body 12    92 lease ttl                                                    grant
//	body 13    93 lease term granted                                           revoke; term 0: a client's
//	body 14    9n term [lease remaining granted]...                            checkpoint of leases
//	body 15    93 raise member kind                                            alarm; not raised: disarmed, 0 is all
//	body 16    9n step source ...                                              a step of following source; steps:
//	             1 name compacted        begin
//	             2 revision sub complete ttl record...   records behind a place
//	             3 from to [id ttl remaining]...         its leases between two ids
//	             4 revision              all is there up to it
//	             5 revision              compact as it has
//	             6 revision              the end
//	record     98 mod sub tombstone create version lease key value             in a binary
//
//	member     9d id name role manual since [peer...] [client...] [web...] version level folder boot process
//
//	97 01 01 02 03 04 05 92                      version 1, level 1, member 2, incarnation 3, first 4, wall 5, two:
//	   97 01 01 a0 00 00 00 94 c4 01 61 c4 01 62 00 00                          put "a" "b"
//	   97 02 01 a0 00 00 00 92 c4 01 61 c4 00                                   delete "a"
//
//	97 01 01 a0 00 93 ce 12 34 56 78 02 00 05 94 c4 01 61 c4 01 62 00 00        put "a" "b" as write 5 of session 12345678,
//	                                                                            of which writes 4 and 5 may come again
//
// Keys, values and ends are binaries; names and addresses are strings. A whole envelope is read before anything
// of it has an effect. What this qkv does not know (a version, a kind, a level, a principal) is an error that stops
// the member: it is never skipped. What a command may not do (limits, a lease, a level that falls, an announcement of
// a member that forgot, a change of the membership) is a [kv.Result] with an error, the same everywhere: it is decided by
// the command and the state.
//
// What the cluster's feature level does not have is not proposed ([CheckLevel]), so that no member of an earlier version
// meets it. A leader that gets such a batch from a follower all the same proposes another one in its place: as many
// commands of kind 5, whose result is the error that they hold. So the refusal finds its client as every result does.
//
// # Members
//
// The state has a record of each member ([kv.Member]), and raft's configuration follows from the records alone
// ([Members.Configuration]); the snapshot's ConfState is compared with them. A change of the membership stands in an entry
// that raft holds for one, whose context is the envelope ([State.ApplyChange]); whether it can be done is decided here, by
// the records: who is added is a learner, with an id, a name and an address that nobody has, and no id comes back; only a
// learner is promoted; the last voter stays; where another member says that one is holds while that one has not said otherwise,
// and may be where the log has another one. Whether it is wise is decided by the leader before it proposes it.
//
// When one is promoted in a voter's place, both are voters for a while, each of one half of a joint configuration: the one
// is incoming, the other leaving, until an entry of raft's own, which is empty and stands for a command of kind 9, ends the
// exchange. No other change is possible before.
//
// What a member says of itself changes neither role nor name, and its addresses are its own from then on, whoever had them
// before. One that is not known, or has forgotten what is known of it, is refused.
//
// # Transactions
//
// A comparison over a range is a walk of the range, in one go, since an entry is applied as a whole: a million keys take about a
// tenth of a second. There is no bound on it, as etcd has none: what it costs depends on the keys that are there, so that no
// endpoint could tell a cheap one from another, and a bound that apply goes by would have to be the same everywhere, for ever.
//
// Which way a transaction goes is decided before any of it happens: all comparisons, those of the transactions in it too,
// are of the state before. Then all that can be wrong on that way is looked for, and only then something is changed
// ([State.Apply]). Its result says the way ([kv.TxnOutcome]). What else its answer has, the previous values of its keys and
// its ranges, only the member that was asked reads, from the first View that holds the transaction ([AnswerReader]): each
// as of a position, a revision and how many of its changes were made before. A verdict, of comparisons of values that are
// not in memory, has its place in the command and is refused as yet.
//
// # Sessions
//
// A client that has no answer to a write cannot know whether it was made, and sends it again: to another member, which puts it
// into the log a second time. So that it is made once, a write has a name ([kv.SessionWrite]): a session, which the client has
// drawn at random, and a sequence in it. The state keeps the outcome of each ([session]), and answers a write whose outcome it
// has with that, errors too, and not by making it: [kv.Result.Resent]. It keeps code, revision and numbers only. What else the
// answer has, the member that was asked reads from the history as it was then ([View.Recall]), or says that it is compacted:
// AnswerGone.
//
// Each write says how many before it may still come again, its window. What is before the window is forgotten, and refused
// should it come. So the table is as large as what is under way.
//
// No write is needed to begin a session: the first that comes does. Then one that comes late, when its session has ended and
// its outcome is forgotten, must not begin it again. For this the state has a clock of sessions, and a floor:
//
//   - a write that may begin its session says since when that is open: the newest clock that its client had been told of when it
//     drew the session. When the clock is not there yet, or is below the floor, the session does not begin;
//   - when a session ends, the floor rises above the clock of its newest write. That was at or after its beginning, which was at
//     or after the clock that its client had been told of. So whatever could begin it is below the floor for ever.
//
// It matters neither how late a copy comes, nor which clock a client has, nor when a session ends. So sessions end by their TTL,
// a few in each entry, or earlier, when there is no room for others and they are idle; where none is idle, a write that needs
// room is refused as Overloaded. A refusal for the sake of the session (SessionEnded, Overloaded, BadRequest) is no outcome: it
// says that this copy did nothing.
//
// The clock goes with the envelopes' wall clocks, each member's for itself: it counts the time between two entries of one
// member, and follows the one that is furthest. So it matters neither how much the clocks differ nor that one of them jumps:
// ahead, it is a pause, and back, nothing. A pause between two entries counts as limits.SessionPause at most: a cluster that
// had no quorum for an hour has not kept its clients from writing again for that long. Whoever was behind goes on from a pause
// behind, so that what comes late is not counted twice. (One clock for all that never goes back would stand for as long as a
// wrong one was ahead once; no session would be idle then, and when there are as many as there may be, nobody could begin
// another one.)
//
// Clients could also ask for a session before the first write, as other systems do, and the state could remember who was
// there. The first is a round trip more, the second never ends.
//
// Views have the numbers of the sessions only, and so cost nothing for them; one that is to be saved has a copy of all
// ([State.ViewToSave]).
//
// # Leases
//
// A lease is granted with a time to live, and no clock of the state ends it: a revocation does, which deletes its keys at
// one revision. A key has at most one lease, that of its newest version, and a deleted key has none. The leader's clock
// decides that a lease has expired, and its revocation, like its notes of what is left of leases, carries the term: in a
// later one another clock decides, and it has no effect. It also names the entry that granted the lease, so that one that was
// revoked and granted again meanwhile, with the same id, is another one.
//
// # Alarms
//
// An alarm is of a member and a kind, NOSPACE or CORRUPT, as etcd's. Commands raise and disarm it: whoever knows of a quota or a
// disk proposes them. While NOSPACE is raised, whoever it is of, puts, grants and transactions in which there
// is a put are refused, and nothing else. What a quota counts, [View.UsedBytes], is equal on all members.
//
// CORRUPT is also raised by the state itself, of each member whose state differs from a majority's (see Digest), and
// disarmed when a later comparison finds that member's equal, or the member is removed. Nothing is refused for it: the
// member that it is of takes no part by itself, and the others are right.
//
// # Following
//
// A state can take over the revisions of another store, an etcd, as they are, so that every revision, version and lease is the same
// there and here. It must be one to which nobody has written. What the source keeps of its compacted revisions comes first, then
// each revision behind it, whole: create revision and version of a key follow from what is there, and where the source says something
// else, the record is refused. The state says up to which record it is, and takes only what comes next, so that whoever sends
// may end at any time, and send again what may have arrived.
//
// The records of a revision that is too large for one command wait in the state until all are there. A change of the compacted
// revision itself, which has no version before it any more at the source, gets one here that nobody can read: that revision is
// noted as inherited, and has no prev_kv ([Change.Before]).
//
// Until it is said that all is loaded there are no reads, and until the end no writes but the source's: no client's, and no
// revocation or note of the leader's clock, which does not run. A lease that a record names and nobody has granted is granted,
// because the source has revoked it since: its keys go in a revision to come, and it in the next list of leases.
//
// # Compaction
//
// A command says which revision is the oldest that can be read from then on. Nothing else gives up history: no bound of
// a member or of a build decides what can be read. So
//
//   - the compacted revision itself can be read, and its changes can be watched, tombstones included; who begins a watch with it
//     is told of what a key became there in the end, if it has changed twice ([Change.Superseded]), as in etcd;
//   - of every change that can be watched, one at the compacted revision too, the version before it is kept as well, so that
//     all members tell it alike (etcd has it from the next revision on);
//   - the newest revision may be compacted.
//
// What nobody can read any more, each member drops when it can, in bounded steps at the end of Apply and while it is idle
// ([State.Reclaim]): the version before each compacted change, and its tombstones, with the key when nothing newer is
// there. It begins behind the first View that says so, because answers to the writes before are read from that View. How
// far it is, is no part of the digest, and stands in a snapshot for its reader only.
//
// Versions that are superseded, and tombstones, weigh 64 bytes each and their key and value. That weight is a sum that only
// grows; what was weighed before a revision is noted with its time, so that the weight of what can be read is a difference.
// The leader goes by it when it proposes a compaction ([View.RevisionOfHistory]).
//
// # Time
//
// An envelope has its proposer's clock. The state's own never goes back: it is the newest one seen. For each
// millisecond in which there was a revision the first one is noted, in history's bounds.
//
// So behind a clock that was ahead the times stand until the others are there, and behind one that is behind they stand as long as
// it writes. Apply cannot know which clock is right, and notes how far those that have proposed were behind the times ("behind", in
// seconds); [View.RevisionAt] tells no revision for a time of which clocks contradict each other, or that lies beyond a moment
// in the future. Nothing else goes by the times: what history weighs is noted while they stand, too, and how old it is is
// measured by those who propose that it be compacted (package node).
//
// # Digest
//
// Each version has a sum, the xxhash64 of all that can be read of it. The sums of all versions that ever were are added
// up, and so are those of the times' points; with the remaining replicated state they are the digest. One change costs one
// sum, and dropping one nothing.
//
// Members compare their states. A check command begins a comparison behind the entry that holds it: whoever applies that
// entry computes its digest there and then, and says it by a digest command. What was said is replicated too, so that
// all members judge alike, each by the digest that it has computed ([View.Compare]): who has another state than a
// majority stops; when no state can have a majority any more, all stop. A process that did not apply the entry, because
// it came by a snapshot, waits for the next check. What a digest does not find is what rots in memory after it was summed: for
// this a [Verifier] sums all versions anew, a few at a time.
//
// # Where things lie
//
//	     hash of the key                     key order
//	          │                                  │
//	   ┌──────▼──────┐                   ┌───────▼───────┐  ┌────────────┐
//	   │    table    │                   │     tree      │  │ tombstoned │  the keys that are deleted
//	   └──────┬──────┘                   └───────┬───────┘  └─────┬──────┘
//	          └───────────────┬──────────────────┴────────────────┘
//	                    ┌─────▼─────┐
//	slabs of records    │  record   │ head, key
//	                    └─────┬─────┘
//	                    ┌─────▼─────┐ prev  ┌───────────┐ prev
//	slabs of versions   │  newest   ├──────►│   older   ├──────► ...
//	                    └─────▲─────┘       └─────▲─────┘
//	history, by revision ─────┴───────────────────┘
//
// Records and versions lie in slabs of up to 4 MiB, or of one large object, outside of the garbage collector's heap, and refer
// to each other by address; slots, items of the trees and the history are such addresses, so that nothing of them is followed by the
// collector. A put of a key that is there fills a version and swaps the head of its record: neither table nor trees
// are touched, and batches that add no key and remove none need no new copy of the trees.
//
//	record, a multiple of 8 bytes
//	 0  8  head: the newest version
//	 8  2  bytes of the key
//	10  2  flags that only the owner touches: removed, relocated
//	12  4  unused
//	16     key
//
//	version, a multiple of 8 bytes
//	 0  8  mod revision
//	 8  8  sum
//	16  4  sub revision
//	20  4  flags (8 bits) and bytes of the value
//	24  8  prev: the version before it
//	32  8  record
//	40  8  the next newer version, and flags that only the owner touches: dropped, the version before it dropped
//	48 16  create revision and version; or, when it was created over a tombstone, that one's mod and sub revision; not
//	       there when it was created over nothing, nor in a tombstone
//	    8  lease, if there is one
//	       value
//
// # Views
//
// A View is the numbers of one moment, copies of the trees and of the ends of the history, and the table and slabs,
// which it shares with the owner. It reads while the owner goes on, without a lock, because
//
//   - whatever is changed in a shared place is one aligned word, changed atomically, to something that reads the same
//     for every older View: a head that begins with versions newer than the View, which it skips; another copy of the
//     same version or record; another segment of the table with the same keys and more;
//   - whoever finds nothing in the table, or nothing old enough, looks whether keys were taken out since the View was
//     made, and if so asks the View's tree, which is its own;
//   - a View never steps to a version that was dropped before it was made: at or below its compacted revision it
//     needs no older one (see version.at and View.keepsBefore);
//   - a slab is given up only when nothing in use is left in it, and is unmapped only when no View is left that was
//     made before that: each such View holds the slab through its epoch. What a View reaches was in use at some time
//     since it was made, so that its slab is given up later than the View was made, or not at all.
//
// Slabs of which less than a third is in use are evacuated, in bounded steps at the end of Apply, and those of which less than
// half is while the member is idle. Copies are complete before anything refers to them, and the old ones are not written to
// again.
//
// A range is read in steps ([RangeReader]): what takes long lets others work between two steps, and takes the newest
// View for each, so that no old one is kept. A page that continues looks at its own keys only. The first one has the
// count: of the newest revision the trees know it; of an older one it follows from that by the changes since, of which only
// those that make or delete a key are looked at, or the range is walked where that is less. A range that is streamed
// ([PagesReader]) keeps the View of its first step, so that no compaction overtakes it, until it is told to let go of it.
// So does one in another order ([SortedReader]), which notes where its pairs are, sorts that in runs, and merges them into pages: no
// step of it is longer than any other, and of all that it reads only a page is there at a time.
//
// The collector does not see memory outside of its heap. What Get, Range, Events and Scan hand out are parts of it:
// keep the View reachable until the last use, with runtime.KeepAlive(view).
//
// # A snapshot
//
// [View.AppendMeta], of a View to be saved, is all that is not a key, [View.Scan] all keys with all versions that are kept; a
// [Builder] makes the same state of them, and trusts neither.
//
//	meta     92 version=1 [section...]         all of them, in this order
//	section  93 kind version=1 content         content, a binary, has
//	  1  applied term revision compacted wall level live bytes weight sum
//	  2  first sub kept kept-sum
//	  3  92 [member...] [removed id...]
//	  4  [behind, revision step, time step, weight step, behind, ...]    of the newest point, then of the one before each
//	  5  [check entry, member, digest, ...]
//	  6  [lease, ttl, remaining, granted, ...]
//	  7  [clock [member wall clock, ...] floor session...]
//	     session  95 id used first length [place revision deleted kind code flags, ...]
//	  8  [alarm's member, kind, ...]
//	  9  92 inherited [source name revision sub loaded record...]    up to which record it follows, and those that wait; none: []
//
// first and sub are the position of the oldest change that is kept; kept and kept-sum how many versions there are and the sum
// of their sums; a session's outcomes are those of the sequences first+place, and its flags whether a transaction's comparisons
// held (1) and whether the revision is its own (2); live and bytes the number of keys and their bytes. Sums are binaries of 8
// bytes.
//
// # Invariants, checked by [State.Check] under these numbers
//
//  1. The tree has each key once; the table has the same records, but for keys that overflow a segment, which only
//     the tree has; tombstoned has those whose newest version is a tombstone.
//  2. A key's versions are linked both ways, newest first with falling revisions and sub revisions, and refer to its
//     record. None of them is dropped.
//  3. A version continues the one before it: same create revision and the next version, or created over a tombstone.
//     A key's oldest version is no tombstone.
//  4. Keys, bytes, the number of versions and their sum are those of the versions that are there.
//  5. Each revision from the first one of the history to the newest has its changes in it, by sub revision without a
//     gap; every version is such a change, or the oldest put of its key. The version before a change is kept.
//  6. The history begins right behind the compacted revision, at the latest, and inside a revision only before it.
//  7. Each slab counts the bytes of what is in use in it.
//  8. Times rise with revisions, and none is kept that no readable revision needs.
//  9. Those of [Members].
//  10. Those of leases.
//  11. Those of [sessions].
//
// # Assumptions
//
// Addresses have at most 48 bits (Linux on amd64 and arm64). Memory that is mapped is there: when the kernel gives
// none, the member ends. Entries come in order, each once: anything else panics with the numbers.
package index
