// Package index is the replicated state machine: revisioned keys with their history, leases, the outcomes of named writes, users and
// roles, alarms, the cluster's members and its feature level. It is a deterministic function of the log: the same entries produce the
// same state and the same results on every member. Goroutines, locks, clocks, randomness, map order and a member's
// settings cannot influence it. Build constants cannot influence it either: the limits that Apply enforces belong to
// the feature level (level_test.go).
//
// A [State] belongs to one goroutine, which calls [State.Apply] for each entry and [State.View] once per batch. A [View]
// is an immutable snapshot of the state at one applied index; any goroutine may read it.
//
// # A put, file by file
//
//	Apply             apply.go      decodes the whole envelope (envelope.go, command.go)
//	applyAll          apply.go      moves the session clock (sessionclock.go), prefetches (keys.go), and ends silent sessions (sessions.go)
//	apply             apply.go      permits (auth.go), and the author's number (authors.go)
//	applyOnce         sessions.go   only of a write with a name: returns the recorded outcome, or performs the write and records it
//	perform           apply.go      limits and NOSPACE; then the apply of the command's kind (kinds.go), here putAlone
//	put, addVersion   apply.go      record and version (slab.go, record.go), table (keys.go), the key's lease (leases.go)
//	endRevision       apply.go      appends the change to the history (history.go), and counts it for its extent (extents.go)
//	finishBatch       apply.go      tree and times; then bounded steps of drop (history.go), evictValues (cold.go), evacuate (slab.go)
//	View              state.go      the actor publishes it, then hands out the results; package watch reads its Changes (events.go)
//
// # Revisions
//
// Revisions are dense, except that a cluster that begins with the state of another one goes on far above it
// ([State.SkipRevisions]): the revisions between were left out, and are a gap. Clients may have seen some of them in the
// history that was thrown away, so no read and no watch begins there. The first revision behind a gap has no changes. It
// follows from the time of a restore, so that a later restore of the same state goes on above it.
//
// Revisions work as in etcd. An empty store is at revision 1. Each put, and each delete or transaction that changes
// something, makes the next revision. All changes of one command share its revision. Their sub revisions number them in
// the order in which they happened; a delete removes its keys in key order. A key may change twice in one revision.
//
// A key has a create revision, a mod revision (its last change) and a version. The version is 1 when the key is created,
// and each put adds 1. A delete leaves a tombstone, and the next put creates the key again with version 1. Announcements
// and feature levels make no revision.
//
// # Commands
//
// The data of a log entry are a batch envelope, encoded in msgpack as vmihailenco/msgpack v5 encodes with compact
// integers:
//
//	envelope   97 version=1 level member incarnation first wall [command...]
//	command    97 kind version=1 principal auth session sequence body
//	           the principal is the name of the user, auth the auth revision at which the user was authenticated; a
//	           command that a member proposes by itself has "" and 2^64-1
//	session    0                                                               no write name; sequence is then 0
//	           93 id window opened                                             as in kv.WriteName; kinds 1, 2, 10 to 13, 16 only
//	body 1     94 key value lease flags                                        put; flags as in kv/codec.go
//	body 2     93 key end previous                                             delete
//	body 3     member                                                          announce
//	body 4     91 level                                                        feature level
//	body 5     92 code message                                                 refused
//	body 6     90                                                              check
//	body 7     93 member entry digest                                          digest
//	body 8     97 kind id name [peer...] manual instead folder                 membership change
//	body 9     90                                                              end of an exchange of voters
//	body 10    91 transaction                                                  transaction as in kv/codec.go
//	body 11    91 revision                                                     compact
//	body 12    92 lease ttl                                                    grant
//	body 13    93 lease term granted                                           revoke; term 0: by a client
//	body 14    92 term [93 lease remaining granted...]                         checkpoint of leases
//	body 15    93 raise member name                                            alarm; raise false: disarm, 0 or no name is every
//	body 16    99 kind user role password flags key end type secret            change of users, as in kv/authcodec.go
//	body 17    91 revision                                                     new base, which ends an extent
//	body 18    91 key                                                          key of the names in encrypted backups
//
//	member     as in kv/codec.go
//
//	97 01 01 02 03 04 05 92                      version 1, level 1, member 2, incarnation 3, first 4, wall 5, two commands:
//	   97 01 01 a0 00 00 00 94 c4 01 61 c4 01 62 00 00                          put "a" "b"
//	   97 02 01 a0 00 00 00 92 c4 01 61 c4 00                                   delete "a"
//
//	97 01 01 a0 00 93 ce 12 34 56 78 02 00 05 94 c4 01 61 c4 01 62 00 00        put "a" "b" under the write name 12345678/5,
//	                                                                            window 2: writes 4 and 5 may come again
//
// The table of kinds.go declares each kind.
//
// Keys, values and range ends are binaries; names and addresses are strings. Apply decodes the whole envelope before any
// command of it has an effect. A version, kind, level, principal or field that this qkv does not know is never skipped:
// it is an error that says that a newer qkv wrote it ([pack.ErrNewer]). A member refuses an append that contains such an
// entry before it writes the entry (package actor). If such an entry is already in the log, or in a snapshot, the member
// stops.
//
// A field that is not written reads as zero ([pack.Reader.Struct]). Commands, and each section of the state, are
// therefore extended by fields at their end, which are written from a feature level on. An extended envelope
// gets a new version. A membership change is the only command of its envelope.
//
// A command that breaks a rule gets a [kv.Result] with an error. Examples are a limit, a missing lease, a feature level
// that falls, an announcement of a member that lost its data, and an impossible membership change. Command and state
// alone decide this, and every member gets the same result.
//
// Commands with a kind or a field above the cluster's feature level are not proposed ([CheckLevel]), so a member of an
// earlier version never receives such a command. If a leader nevertheless receives one in a batch from a follower, it
// proposes another batch in its place: the same number of commands of kind 5 (refused), each of which results in the
// error that it contains. The refusal then reaches the client in the same way as any other result.
//
// # Members
//
// The state has a record of each member ([kv.Member]). Raft's configuration follows from the records alone
// ([Members.Configuration]); a snapshot's ConfState is compared with it.
//
// A membership change is in an entry that raft treats as a configuration change; the entry's context is the envelope
// ([State.ApplyChange]). The records decide whether the change is possible:
//
//   - a new member is a learner, with an id, a name and an address that no other member has; an id is never reused;
//   - a new member replaces at most one voter, which no other member replaces, and takes over its addresses; without a name it gets
//     that voter's name when the voter is removed;
//   - only a learner can be promoted;
//   - the last voter cannot be removed.
//
// Whether the change is safe is decided by the leader before it proposes the change.
//
// When a learner is promoted in place of a voter, both are voters for a while, each in one half of a joint
// configuration: the learner becomes incoming, the voter leaving. An entry that raft itself proposes ends the exchange;
// it is empty, and Apply treats it as a command of kind 9. Until then no other change is possible.
//
// A member's announcement does not change its role. It does not change its name either, except that a member that was
// added without a name announces one. The announced addresses become its own, and the previous owner loses them. An
// announcement is refused if it comes from an unknown member, or from a member that has lost data according to the
// state.
//
// # Transactions
//
// A comparison over a range walks the whole range in one step, because an entry is applied as a whole. A million keys
// take about a tenth of a second. As in etcd, Apply has no limit on this: a limit would have to be equal on all
// members, forever. The exact cost depends on the keys that exist when the entry is applied. An endpoint bounds the
// cost by the keys in its newest View ([View.RowsOfTxn]).
//
// The branch of a transaction is decided before any change: all comparisons, including those of nested transactions, see
// the state before the transaction. All checks of the chosen branch run next. Changes are made only if every check passes
// ([State.Apply]). The result contains the branches taken ([kv.TxnOutcome]).
//
// The other parts of the answer are the previous values of keys and the results of ranges. Only the member that the
// client asked reads them, from the first View that contains the transaction ([AnswerReader]). Each is read as of a
// position: the revision, and the number of the transaction's changes that were made before.
//
// # Names of writes
//
// A client that gets no answer to a write cannot know whether the write happened. It sends the write again, to another
// member, which puts it into the log a second time. A name makes the write idempotent ([kv.WriteName]): the number of a series,
// which the client draws at random, and the write's sequence in it. In the code, and below, a series is a session.
//
// The state keeps the outcome of each named write, also an error of the write. A refusal of the user, or of the name, is
// not recorded. If a write arrives whose outcome is known, the state
// returns that outcome and does not apply the write again: [kv.Result.Resent]. An outcome holds only code, revision and
// counts. The member that the client asked reads the rest of the answer from the history, as of the write's revision
// ([View.RecoverAnswer]). If that history is compacted, the answer is AnswerGone.
//
// Each write has a window: the number of sequences, up to its own, that the client may still send again. The state
// forgets the outcomes before the window, and refuses a write from before the window. The table of outcomes therefore
// grows only with the writes under way.
//
// A session begins with its first write; no extra write or round trip is needed. A late copy of that write must not begin
// the session again after the session has ended and its outcomes are forgotten. To prevent this the state keeps a session
// clock and a floor:
//
//   - A write that may begin its session carries the newest session clock that its client knew when it drew the session.
//     If that value is ahead of the clock, or below the floor, the session does not begin.
//   - When a session ends, the floor rises above the clock of its newest write. That clock is at or after the session's
//     beginning, which is at or after the value that its client knew. Every write that could begin the session carries an
//     older value, and is below the floor forever.
//
// This holds however late a copy arrives, whatever clock the client has, and whenever a session ends. Sessions therefore
// end by their TTL, a few in each entry. Idle ones are evicted earlier if others need the space. If none is idle, a
// write that needs space is refused as Overloaded. While authentication is enabled, a user may have at most three times as
// many sessions and outcomes as are free. A refusal of the name itself (NameEnded, Overloaded, BadRequest) is not recorded: it
// says only that this copy of the write had no effect.
//
// The session clock derives from the wall clocks in the envelopes. For each member it adds up the time between two entries
// of that member, and it follows the member that is furthest ahead. Differences between the members' clocks therefore do not
// matter. A jump ahead counts as one pause, and a jump back as nothing. (A single monotonic clock would stand still for as long as one
// wrong clock was ahead.) A pause between two entries counts as limits.SessionPause at most: an hour without a quorum,
// in which no client can write, is not an hour of idle sessions. A member whose sum lags continues at most one such pause behind the
// furthest member, so that time reported late is not counted twice.
//
// A View has only the clock, the floor and the counts of the sessions. A View to be saved has a copy of all sessions
// ([State.ViewToSave]).
//
// # Leases
//
// A lease is granted with a time to live. The state has no clock that ends it: a revocation ends it, and deletes its keys
// at one revision. A key has at most one lease, the lease of its newest version; a deleted key has none.
//
// The remaining time is with the leader's clock (package actor). A renewal is no command, and changes nothing in the state. A
// checkpoint records the remaining times from which the next leader's clock begins ([kv.Lease]). When a lease has expired by its
// clock, the leader proposes the revocation. Checkpoints and such revocations carry the leader's term: in a later term another clock
// decides, and they have no effect. The revocation also names the entry that granted the lease, so it cannot revoke a lease that
// was granted later with the same id.
//
// # Users and roles
//
// The state has users with their roles and password hashes, roles with their permissions, and the auth revision, which
// grows with each change of them ([Auth]). They work as in etcd. The permissions of a user's roles are merged: adjacent
// ranges permit the range over both. A change of a role compiles the permissions of its users only.
//
// While authentication is enabled, [State.Apply] decides for each command, by the state alone, whether its author may make
// it. The decision comes before the outcome of a named write and before the alarms. It goes by the list of accesses that the
// request itself makes ([kv.Put.Touches] and its siblings): keys, previous values, the keys of a lease, both branches of
// transactions. Endpoints check reads in the same way, in the View that they read ([View.Permits]), and the watch hub
// checks watches again whenever users or roles have changed.
//
// A command has the auth revision at which an endpoint authenticated its user. If users or roles have changed since, the
// command is refused with AuthOld: the user may have been deleted, and added again by another person. A command that a
// member proposes by itself needs no user.
//
// A cluster that begins with the state of another one, after a restore or a recovery, goes on far above its auth revision
// ([State.Refound]), and so does an import. The history that was thrown away made fewer changes, so an epoch or auth revision
// of it is never counted again. The key of the tokens follows from the old key and the new cluster's id.
//
// A series of write names belongs to the user who began it. No other user gets an outcome of it.
//
// A lease belongs to the user who granted it. A write access to a lease without keys (its first key, a renewal, a
// revocation) needs that user or an administrator, and a list shows the lease to no other user. Otherwise another user
// could attach a key that the owner may not write, and the owner could neither renew nor revoke the lease. With keys,
// the lease needs write access to all of them, as in etcd. A lease without an author belongs to the administrators
// until it has a key.
//
// # Authors
//
// Each version has the number of the user who made the change ([View.AuthorOf]), also while authentication is off: the
// user is then the name in the client's certificate. A name gets its number with its first change, lease or series of write
// names. Leases that expire, and
// imported changes, have no author.
//
// # Alarms
//
// An alarm has a member and a name, NOSPACE or CORRUPT, as in etcd. Commands raise and disarm it; the member that
// observes the quota or the disk proposes them. While NOSPACE is raised for any member, exactly puts, grants and
// transactions that contain a put are refused. The size that a quota limits, [View.UsedBytes], is equal on all members.
//
// The state itself raises CORRUPT for each member whose state differs from the majority's (see Digest). It disarms the
// alarm when a later comparison finds the member's state equal, or when the member is removed. CORRUPT makes no member
// refuse requests, because the affected member stops serving by itself, and the other members' states are right.
//
// # Import
//
// An [Import] builds a state outside the log from another store, an etcd: with every revision, version and lease equal to the
// source's. The state must be empty. The versions that the source keeps of its compacted revisions come first, then each
// later revision as a whole. The state derives a key's create revision and version from its own keys; a record of the
// source that says otherwise is refused.
//
// For a change of the compacted revision itself, the source no longer has the previous version. The import makes a version
// that no client can read. Changes of a compacted revision have no prev_kv ([Change.Before]).
//
// If a record names an unknown lease, the import grants it. When all revisions are there, the list of the source's leases
// replaces all leases.
//
// # Compaction
//
// A compact command sets the oldest revision that can be read from then on. Only compact commands drop history: no
// member's setting and no build limit decides which revisions can be read. Details:
//
//   - The compacted revision itself can be read, and its changes can be watched, including tombstones. If a key changed
//     twice at that revision, a watch that begins there receives only the last change ([Change.Superseded]), as in etcd.
//   - The previous version of a key is kept for every change that can be watched. Answers to writes of the compacted
//     revision are read from it. Events of that revision come without it, as in etcd ([Change.Before]).
//   - The newest revision may be compacted.
//
// Each member drops unreadable versions at its own pace, in bounded steps at the end of Apply and while it is idle
// ([State.Reclaim]). It drops the version before each compacted change, and compacted tombstones, with the key if there
// is no newer version. Dropping starts after the first View with the new compacted revision, because answers to earlier
// writes are read from that View. The progress of dropping is not part of the digest; a snapshot contains it for its
// reader only.
//
// The weight of a superseded version, or of a tombstone, is 64 bytes plus its key and value. The total weight of all
// versions ever superseded only grows. The total before a revision is recorded with the revision's time, so the weight
// of the readable history is a difference of two totals. The leader uses this difference when it proposes a compaction
// ([View.RevisionOfHistory]).
//
// # Time
//
// An envelope contains its proposer's clock. The state's own clock is the newest proposer's clock seen so far; it never
// goes back. For each millisecond in which a revision was made, a time point records the first such revision.
//
// If a member's clock was ahead, recorded time stands still until the other clocks reach that value. If a member's
// clock is behind, time stands still while that member proposes. Apply cannot know which clock is right. It therefore
// also records how far the proposers' clocks were behind the recorded time (the field behind, in seconds).
// [View.RevisionAt] refuses a time at which the clocks contradict each other, and a time that is more than a moment in
// the future. If the state was imported from a store without times ([Import.Loaded]), it refuses a time before the import, and the
// times of the imported revisions are unknown. An [Import] forgets the times when the source's data are loaded. Revisions
// that are copied later have the times of the copying. Nothing else depends on these times. The weight
// of the history is also recorded while time stands still, and the proposer of a compaction measures the history's age
// itself (package node).
//
// # Digest
//
// Each version has a checksum, the xxhash64 of all its fields that clients can read. The digest covers the sum of the
// checksums of all versions that ever existed, the sum of the time points' checksums, and the rest of the replicated
// state. A change adds one checksum; dropping a version changes nothing.
//
// Members compare their states. A check command begins a comparison after the entry that contains it. Each member that
// applies that entry computes its digest at once, and proposes a digest command with the result. The digests are
// replicated, so all members reach the same judgement; each applies it to the digest that it has computed itself
// ([View.Compare]):
//
//   - a member whose state differs from a majority's stops;
//   - if no state can have a majority any more, all members stop.
//
// A process that did not apply the entry, because it received a snapshot instead, waits for the next check. A digest does
// not detect memory corruption after a version's checksum was computed. For that a [Verifier] recomputes the checksums of
// all versions, a few at a time.
//
// # Memory layout
//
//	     hash of the key                     key order
//	          │                                  │
//	   ┌──────▼──────┐                   ┌───────▼───────┐  ┌────────────┐
//	   │    table    │                   │     tree      │  │ tombstoned │  the deleted keys
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
// Records and versions are in slabs outside the garbage collector's heap. A slab has up to 4 MiB, or holds one large
// object. Objects in slabs refer to each other by address. Table slots, tree items and the history also contain such
// addresses, so the collector follows none of them. A put of an existing key writes a new version and swaps the head of
// its record: neither table nor trees change. A batch that neither adds nor removes keys needs no new copy of the trees.
//
//	record, a multiple of 8 bytes
//	 0  8  head: the newest version
//	 8  2  bytes of the key
//	10  2  flags that only the owner uses: removed, relocated
//	12  4  1: a point read came since the clock's hand
//	16     key
//
//	version, a multiple of 8 bytes
//	 0  8  mod revision
//	 8  8  checksum
//	16  4  sub revision
//	20  4  flags (8 bits) and bytes of the value
//	24  8  prev: the previous version
//	32  8  record
//	40  8  the next newer version, and flags that only the owner uses: dropped, previous version dropped
//	48 16  create revision and version; if created over a tombstone: mod and sub revision of the tombstone; absent
//	       if created over nothing, and in a tombstone
//	    8  lease, if there is one
//	    4  number of the author, if there is one
//	       value, unless it is cold: then only its length and the checksum are here
//
// # Views
//
// A View has the numbers of one moment, copies of the trees and of the history's ends, and the table and slabs, which it
// shares with the owner. It reads while the owner continues to write, without a lock. Four rules make this safe:
//
//   - Every change in shared memory is an atomic change of one aligned word, to a value that reads the same for every
//     older View. The new value is the head of a list with newer versions, which the View skips; or another copy of the
//     same version or record; or another segment of the table with the same keys and more.
//   - If a View does not find a key in the table, or finds no version old enough, it checks whether keys were removed
//     since it was made. If so, it looks in its own copy of the tree.
//   - A View never follows a link to a version that was dropped before the View was made: at or below its compacted
//     revision it needs no older version (see version.at and history.keepsBefore).
//   - A slab is retired only when none of its objects is in use, and unmapped only when no View from before the
//     retirement remains. Each such View keeps the slab alive through its epoch. Every object that a View can reach was
//     in use when the View was made or later, so its slab is retired after the View was made, or never.
//
// A slab of which less than a third is in use is evacuated, in bounded steps at the end of Apply; while the member is
// idle, the threshold is a half. Copies are complete before anything refers to them, and the old objects are not written
// to again.
//
// A range is read in steps ([RangeReader]). Other work can run between two steps, and each step uses the newest View,
// so a long read keeps no old View. A page that continues a range looks only at its own keys. The first page also has
// the count of the whole range. At the newest revision, the trees know the count. At an older revision, the reader
// computes it from the newest count and the changes since then that created or deleted a key. If walking the range is
// cheaper, the reader walks it instead.
//
// A streamed range ([PagesReader]) keeps the View of its first step until the caller releases it, so a compaction
// cannot overtake it. A sorted range ([SortedReader]) keeps its View, too: it notes the locations of its pairs, sorts
// them in runs, and merges the runs into pages. All its steps take about the same time, and only one page of the data
// is in memory at a time.
//
// # A snapshot
//
// A snapshot consists of the output of [View.AppendMeta], the whole state except the keys, and of [View.OpenChanges]. Both come from a View of
// [State.ViewToSave]. All other keys are in part files (package snapshot): a [BaseRange] or the changes of an extent in each. A [Builder]
// makes the same state from them, and validates everything.
//
//	meta     92 version=2 [section...]         all of them, by number
//	section  93 kind version=1 content         content, a binary, has
//	  1  9a applied term revision compacted wall level live bytes weight sum
//	     9b ... [after next...]                 with gaps of revisions: the last one before each, and the first one behind
//	  2  94 first sub kept kept-sum
//	  3  92 [member...] [removed id...]
//	  4  92 behind [point...]                  behind: at the newest point
//	     point    94 revision step, time step, weight step, behind: at the point before
//	  5  92 check's entry [92 member digest...]
//	  6  [95 lease ttl remaining granted author...]
//	  7  94 clock [93 member wall clock...] floor [session...]
//	     session  95 id used first author [96 offset revision deleted kind code flags...]       author 0: none
//	  8  [92 alarm's member name...]
//	  9  96 enabled revision secret [user...] [role...] [author...]
//	     user     95 name password no-password [role...] epoch
//	     role     92 name [permission...]; permission: 93 key end type
//	 10  95 base history-from next extent [extent...]                      the open extent, and the cuts
//	     extent   96 number from to versions weight bytes
//	 11  91 key                                of the names in encrypted backups
//
// first and sub are the position of the oldest change that is kept. kept is the number of versions, and kept-sum the sum
// of their checksums. live and bytes are the number of keys and their bytes. A session's outcomes belong to the sequences
// first+offset; their flags say whether a transaction's comparisons held (1) and whether the revision is the write's own
// (2). Checksums are binaries of 8 bytes.
//
// # Extents
//
// A state divides its changes by their revisions. The base has those up to a revision; a new state has an empty base, of EmptyBase. The
// changes behind it are cut into extents: an extent ends with the revision at which the weight of its changes reaches
// limits.ExtentBytes. The changes behind the last extent are open. The log alone decides where a cut is, so all members have the same
// extents, and an extent's file has the same bytes on all of them, whenever a member writes it.
//
//	│◄───── base ─────►│◄─ extent 7 ─►│◄─ extent 8 ─►│◄ open ►
//	1                 900            1300           1750     newest revision
//
// An extent has every change of its revisions, also those that were compacted since. Therefore a state drops no change that is in no
// file yet ([State.Stored]). The leader proposes a new base: the end of an extent. The new base replaces the base before, and the extents
// up to there. It has only the versions that a history needs: from the compacted revision on, or from the open extent on, which is kept
// whole. Until the new base is stored, none of these versions is dropped.
//
// # Values in files
//
// Keys and all kept versions are in memory, and values as far as limits.Index.MemoryBytes allows. The value of a superseded version is
// evicted when the change that superseded it is in a file: then the version is in a file, too. Until then it is likely to be read, as the
// change's previous pair. Below the budget that waits for Reclaim, so it takes no time of entries under load. Values below coldLeast stay. A
// version without its value is marked as cold. It takes 48 to 80 bytes, and 8 bytes for its slot in the history.
//
// Above the budget, when no superseded value is left to evict, the values of live keys that are in files leave (live.go). This is a part of
// evacuation: a slab that is evacuated leaves such values behind. A clock chooses full slabs: its hand goes round, and passes over those
// whose values point reads have used since it came last.
//
// [State.Stored] says what is in files, and gives the state [Values] to read them. Apply and Reclaim evict values in bounded steps. An
// eviction replaces the version by a copy without the value. Views that reach the old copy keep its slab. A View refers to the files of the
// moment when it was made, and from there to all later ones. So it can read each value, whether the value was evicted before the View was
// made or after.
//
// Commands read no file. The values of live keys that an entry compares or keeps are read before its first command is applied. If one
// cannot be read, nothing of the entry is begun (ErrUnread): a value that is not known must not decide. Other reads may wait for the disk.
// Ranges, answers and Events read values themselves; [View.Peek], and readers that measure, leave them out. Changes and Versions come without
// them: the caller calls [Unread.Read] or [Version.Read]. The values of a page, of the next versions of a walk, and of the window of a
// [BaseRange] are read together, in the order of the files ([ReadTogether]). The checksum of the version is compared with what was read, so
// a wrong value is never answered. A value that cannot be read is kv.Unavailable for the reader, or kv.AnswerGone for the answer of a write
// that did happen. Digest, keys and revisions stay as they are, and a later read tries again.
//
// # Invariants, checked by [State.Check] under these numbers
//
//  1. The tree has each key once. The table has the same records, except keys that overflow a segment, which only the
//     tree has. tombstoned has the records whose newest version is a tombstone.
//  2. A key's versions are linked both ways, newest first, with falling revisions and sub revisions, and refer to the
//     key's record. None of them is dropped.
//  3. A version continues the previous one: same create revision and the next version number, or created over a
//     tombstone. A key's oldest version is not a tombstone.
//  4. The numbers of keys, bytes and versions, and the sum of checksums, equal those of the existing versions. So do the number and the
//     bytes of the values that are cold. Check reads these values.
//  5. Each revision from the history's first to the newest, but those in gaps and the first one behind each, has its
//     changes in the history, by sub revision without a gap.
//     Every version is such a change, or the oldest put of its key. The version before a change is kept.
//  6. The history begins at the revision after the compacted one at the latest. A compaction leaves it at the compacted
//     one or before. It begins inside a revision only before the compacted one.
//  7. Each slab counts the bytes of its objects that are in use.
//  8. Times rise with revisions. Only time points that a readable revision needs are kept.
//  9. The invariants of [Members].
//  10. The invariants of leases.
//  11. The invariants of [sessions].
//  12. The invariants of [accounts].
//  13. Each author has one number, and each number one author.
//
// # Assumptions
//
// Addresses have at most 48 bits (Linux on amd64 and arm64). If the kernel cannot provide memory, the member ends.
// Entries come in order, each once; otherwise Apply panics with the numbers.
package index
