// Package actor holds every goroutine of a member's core, and what each of them owns.
//
//	              Send                   MustPost                sync, then the responses
//	clients ────────────► ┌───────────┐  Append  ┌────────────┐ ────────────► Peers (MsgAppResp, MsgVote, votes)
//	peers   ────Offer───► │ consensus │ ───────► │ log writer │ ◄──► segment maker (MakeSpare, SpareMade, Recycle, NextSegments)
//	clock   ────Offer───► │  RawNode  │ ◄─────── │  *log.Log  │
//	 log reader ◄───────► │  Window   │ Appended └────────────┘
//	  Peers ◄──────────── └───────────┘              ▲ Restored
//	 (MsgApp, heartbeats)   │       ▲ Applied        │
//	                  Apply ▼       │                │
//	                      ┌───────────┐ ─────────────┘        ┌─────────────┐
//	                      │  applier  │ ──── Save(View) ────► │ snapshotter │ ◄──► Peers (offers, pieces)
//	                      │  *State   │ ◄─── SaveEnded ────── │   folder    │ ───► consensus (SnapshotSaved,
//	                      └───────────┘                       └─────────────┘      SnapshotReceived, SnapshotSent)
//	                        │                                   ▲ snapshot reader: builds the state of what comes
//	                        │    └── ViewPublished ──► watch hub ──► the streams that watch (kv.WatchStream)
//	                        └── results ──► the connection that asked (kv.ReplyTo)
//
// # An actor
//
// An actor is a [Mailbox] and a [Handler]. The handler is a state and one function that works off a batch of messages.
// It starts no goroutine and uses no lock, channel, select, clock, randomness or map order that shows: time is handed in
// with the batch, and what it sends goes into other mailboxes. A test reads the sources and holds that rule. So the
// same handlers run under two drivers: [Runtime] runs them in goroutines, [Sim] runs those of many members in one
// seeded loop, and what a seed has shown once it shows again.
//
// Beside the mailboxes there is [Status]: single words that an actor publishes for anybody, other actors too. Those go by how much
// there is of something (room on the disk, the log's size, what was sent of a snapshot), or by whether something goes on (a save, a
// follower that the log is kept for), whose next value is as good as this one. What must not be missed, or come before something
// else, is a message. Only the View and the durable end are both: they are published before anybody is told of them.
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
//	Send          waits. Only clients send; that is the backpressure, and QUIC's flow control carries it on to them
//	Offer         drops. Peers and clocks offer; raft sends again, the next tick comes
//	MustPost      cannot fail. The room was reserved: raft bounds what it hands out, an endpoint bounds what it lets in;
//	              a full box is a bug and panics with the numbers
//	PostAndYield  is MustPost by a handler that is nearly done: the receiver's turn follows in the same goroutine
//	PostQuiet     is MustPost without a wake-up: what the applier expects is looked at when it comes
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
//     Consensus waits for no disk: what is not in memory is not there yet. raft takes that for a limit, and sends or applies
//     it when the log reader has brought it; the scan before a campaign needs no more than each entry's kind (catchup.go).
//  5. A read is confirmed by a ReadIndex round of its own attempt, only after the leader has handed a committed entry of
//     its term to the applier, and is void when (term, leader) changes (reads.go).
//  6. A change of the membership takes effect in raft before its apply response is stepped, and the next one waits for that
//     response (membership.go); Commit is clamped at the start; a single voter campaigns at once and after replay.
//  7. Ticks are 10 ms and missed ones are coalesced. Entries become orders to the log writer of about a megabyte and groups
//     of a few, each reported by itself, so that a slow disk shows as one that makes progress. Leadership moves away from
//     a disk that stands, to a follower whose disk has done since what this one is at, and only where a quorum of others has:
//     else nobody would do better, and the next leader would wait for the votes of slow disks (diskwatch.go).
//  8. From peers only what raft expects from a network passes; a heartbeat that commits beyond the own log is AMNESIA
//     (package peerframe, consensus.go).
//  9. Everything is batched: commands into entries, entries into groups, results into connections. Nothing lingers: a
//     batch is what came during the last sync (proposals.go, logwriter.go, applier.go).
//  10. A MsgSnap reaches raft only when its file is verified and published, in the name of the leader that there is by then; the log
//     writer's reset marker is synced before the applier restores, and everything waits for that (snapshotreceive.go, ready.go,
//     logwriter.go).
//
// # Membership
//
// Who is a member, and with what part, is a record of the replicated state (package index); raft's configuration follows
// from the records, and the transport's links do too. A change goes the way of every command, and what became of it comes
// back the same way at every start, in every member:
//
//	client ── change ──► leader: is it wise? ── ConfChangeV2, its context the envelope with this one command ──► the log
//	                        │ no: an error, nothing has changed                                                   │ committed
//	                        ▼                                                                                     ▼
//	                      client ◄── result: done, or impossible by the records ── applier: State.ApplyChange
//	                                                                                  │ MembersChanged{records, difference}
//	    transport ◄── Peers.SetMembers ── consensus: raft.ApplyConfChange ◄───────────┘ then Applied
//
// The rules:
//
//  1. A change is alone in its envelope, and one is under way at a time: from its proposal until raft has its apply response,
//     and not before a new leader has applied an entry of its term. raft would replace another one by an empty entry.
//  2. The leader judges whether a change is wise: the limits of voters and learners, a learner that is not level, voters of
//     which no quorum has answered within two election timeouts. A leader that is to go hands leadership over first, and the
//     change is asked for again. What a follower has forwarded is judged likewise, and refused through the log.
//  3. The records decide whether it is possible, and are the same everywhere. raft is told the difference between the
//     configuration before and after the entry, whatever the entry's own changes say; then both must be equal, or the member
//     panics: nothing is right any more.
//  4. One voter in another one's place is a joint configuration; raft's leader ends it by an empty ConfChangeV2, which stands
//     for the command that ends the exchange.
//  5. A new member is a learner with an empty log. It gets the newest snapshot that there is, and then the log, which has its
//     addition: nobody saves one for it, unless there is none yet. raft takes no snapshot in which it has no part; so until
//     the addition is applied, the new member's raft, and it alone, takes it for a learner. That is what it is: it has no vote,
//     whatever is in the log before its addition, and its records and its disk say what was. It becomes a voter by itself when
//     it was level for two heartbeats (within limits.LearnerLevelEntries), unless it is to remain a learner.
//  6. A snapshot holds the records and raft's configuration, which must say the same. As soon as raft has taken one, what is
//     applied below it changes raft no more; the snapshot's records follow.
//  7. A removed member is not heard, and not connected to. It ends when a leader says that it was removed (not one that claims
//     to lead while this member commits with another leader), or two members, or its own log and one; it writes that into its
//     folder first, and the folder does not start again. Its id is never used again. A learner's word is not counted: who says
//     so has the removal committed on its disk, and so can lead without the vote of who was removed; of two voters the one that
//     is left could not, if it starts again before its own disk knows.
//  8. A learner never campaigns, and raft goes on to name the leader that it heard last. One that was silent for two election
//     timeouts is none any more: to clients, to watches, and to members that were added meanwhile and lead now.
//  9. Who denies a vote and has none itself says what it knows to be committed, and hears it from who knows more (committed.go):
//     else one voter whose log is shorter, and one whose log is longer and who knows that it is none, would wait for each other.
//
// # The fate of a write
//
// A batch of commands is proposed, or forwarded to the leader, in one term; a leader accepts a forwarded batch only in
// that term, once, and behind those before it, so that it can be sent again until the leader has said that it has it,
// or it stands in the follower's log (forwarding.go). A log's terms never fall. So when an entry of a later term is
// applied and the batch has not been, it never will be: its clients learn that their writes certainly did not happen,
// without any answer from anybody. This decides sooner and needs fewer messages than to watch for another term at the
// index that a proposal was given, which only the leader knows. What remains unknown is a batch that no quorum has
// agreed on when its clients' time is over, and one that a snapshot may have carried in.
//
// # Leases
//
// A lease ends through the log only, and only the leader's clock says when (leaseclock.go). It is a part of consensus, follows
// what the applier reports of the leases, goes by the monotonic time of its process, and asks no other clock. A lease never
// ends before its TTL has passed since its client has sent what was answered last, its grant or a keep-alive:
//
//  1. The clock begins anew with each leader, when the state holds an entry of its term. Each lease has all that the log says
//     is left of it, and an election timeout. What is left is noted in the log often enough that a failover lengthens a lease by
//     at most 30 seconds or a tenth of its TTL, whichever is more, beside the time without a leader.
//  2. A keep-alive is answered after a round of heartbeats that began behind it has shown that this member leads, and the state
//     has what was committed then: who may be followed by another leader does not promise anything. Where the log says that less
//     is left than the TTL, it is corrected before.
//  3. What has expired is revoked after such a round, too, which lets the keep-alives go first that waited while this process
//     stood still; for that time no lease is charged. The revocation carries the term, and has no effect in another one.
//  4. Renewal and revocation are one state: from when a revocation is in the log a keep-alive waits for it, and is answered that
//     there is no such lease.
//  5. Revocations and notes are proposed in batches. What raft has taken stands in the leader's log, and where its term ends,
//     another clock decides.
//  6. Others' writes go first (leaserevoke.go): leases that end together are revoked at a pace, limits.LeaseRevocationRate, in
//     small entries that share the syncs of these writes, and smaller ones where leases have many keys; and by rising id, since
//     those that are neighbours cost every member an eighth of what as many cost that are scattered.
//
// Keep-alives and questions for leases wait for a tick, go to the leader in one frame of their own, and share one round
// (leaseasks.go). Lost ones are sent again: nothing is wrong with a lease that is renewed twice.
//
// # Snapshots between members
//
// The leader's snapshotter offers a file; the receiver's answers from where on it wants it; pieces follow, a bounded
// number at a time, each answered. What is lost is sent again after half a second, an interrupted file is continued
// where it ended, also after a restart. What has come is read back, checked, and made a state by the snapshot reader, while
// the snapshotter writes the rest: neither waits for the other, and when the last piece has come, nearly all is done. What
// is damaged is so found with the piece that it is in. The applier gets that state, and reads no file. A snapshot is given up
// when the log has brought what it holds first.
//
// The log behind a snapshot on its way, and from the lowest Match of the followers that can be reached, is kept up to a bound:
// one that comes back under load needs one snapshot, and then gets the log (catchup.go; the bound: Space on the disk). Where
// more than half of the next snapshot is written when a follower needs one, it gets that, if it is there within
// limits.SnapshotWait: under load a save is begun when the log behind the one before has become as large as the state, and the
// follower would get all of that, too.
//
// # Who is behind
//
// Followers and learners that lack older entries, or a snapshot, are sent these at a pace (pace.go). Writes share
// whatever that needs: processors, network and disk. All of it shows in one figure, how long the leader's orders wait until they are
// committed:
//
//  1. Each member that is behind gets at least limits.CatchUpGain times what is written, and limits.CatchUpLeast: it gains on
//     those who write as fast as they do, however busy the leader is. What was written while it was away, or S bytes of a
//     snapshot and the log behind that, take it at most as long as to write four times as much. It is limits.CatchUpGainMost times
//     while the log has taken half of the room in which it is kept: past that it would need one snapshot after the other.
//  2. Above that the rate grows by a quarter each limits.CatchUpWindow while it is used and commits take at most
//     limits.CatchUpCost times as long as before anybody was behind, or limits.CatchUpCostLeast longer, and is three quarters of
//     what was sent when they take longer; it doubles while nobody writes.
//  3. What commits took before is forgotten within a minute: another load has other times, and nobody is held back for ever. It is
//     forgotten sooner where they take less now, but not at once: the fastest commits of an uneven load are not its norm.
//  4. Consensus gives reads of older entries to the log reader as the rate allows, and nothing else is paced of the log: what
//     is in memory is sent at once, and so is what the own applier lacks. The snapshotter gets what it may send with each tick.
//
// A member that is behind by more than an election timeout, or gets a snapshot, does not save one for what its records are
// worth: that is old when it is saved, and takes the disk from what comes. It does so where its log's room asks for it, and that
// is for so long the one of a leader that keeps its log for a follower (below).
//
// # Amnesia
//
// A member that has forgotten what it promised must not vote. Three things show it: its handshake (folder id, boot counter,
// process id, against the announcement in the replicated state and against what this process has seen), its log ending
// before what the leader has counted as acknowledged, or before what it has told to be on its disk while it led itself, and a
// heartbeat that commits what it does not have ([Admission], Consensus.forgot). A leader tells that with appends and heartbeats
// (leaderends.go): its disk may be one of the two that an acknowledged write is on, and nobody acknowledges to others what a
// leader has. Refusals have a type, and one word is never enough to end a member's part: who is refused as
// forgetful is quarantined by the word of a leader or of a second member, is held back by the word of one that does not
// lead, and overrules it while it commits with a quorum without that member (quarantine.go). What is decided is written
// down before anything follows from it, and later starts read it; a quarantine ends only by an operator. What nobody can
// notice is a folder that was put back to an earlier moment of the run that the others know while no member that knows
// better is up: what a leader has counted, or told, its peers' processes know, and their next ones do not, but for what a member was
// refused for. Nor does anybody know what a leader has written in its last moment, if it was not heard any more.
//
// # Watches
//
// The watch hub owns who watches what and how far each has been told; package watch (index/watch) says how that is kept, and
// what holds for a watch. Here is how it comes to know, and to have the time:
//
//  1. The applier gives it no data. Behind each View that it shows it says that there is one, if anybody watches and no such word
//     waits yet ([WatchSignal]); the hub takes the newest View itself. So no write waits for a watch, and a member on which
//     nobody watches does nothing for watches.
//  2. It is paced: a step is limits.WatchStepWork of work, about half a millisecond, with what the streams have to do for it, and
//     while anybody is behind there is a rest limits.WatchRest times as long after each, and beside writes one for what it sent
//     (limits.WatchSentRate): streams and clients have more work with that. Requests and new Views are taken meanwhile.
//  3. A stream that has no room refuses events, and says when it has room again: what a client does not read costs the
//     member the stream's buffer and no more, and holds up no other stream.
//  4. A snapshot that is installed is a View as any other: cursors stay where they are, and where its history does not reach back
//     to a watch, that is canceled with the oldest revision that there is.
//  5. A member that knows of no leader for limits.WatchAlone election timeouts ends its watches, and so does one that is
//     quarantined: others know more than it does, and watches resume there.
//
// # A leader that has died
//
// raft's followers wait for one to two election timeouts before they campaign, and give no vote before one is over. That is for
// hosts and networks that fail. A process that dies on a host that lives is known to have died: a voter whose leader is silent for
// one and a half heartbeats has its host asked ([Peers], CheckAlive), and when that says so lets raft forget the leader and
// campaigns when it is its turn (failover.go). Evidence that is wrong costs a pre-vote that nobody grants who hears the leader;
// what makes a leader is its votes, as ever. Measured with three members at 1,000 puts a second: no put is acknowledged for some
// 0.2 to 0.6 s after the kill of a leader on a busy machine, 1.1 to 2.5 s without.
//
// # Who writes files
//
// Three actors: the log writer, the segment maker and the snapshotter, each its own files; the segment maker also the last page of
// a segment that the log writer has left, which says which one follows. Beside them the data folder's small
// files (identity, peers, amnesia, callers) are written by package node: at the start, when a peer's new process is admitted or
// the log tells of it, when one calls from where nobody knew it, and when this member is quarantined or removed. They are rare,
// and must be durable before anything follows from them.
//
// # A slow disk
//
// Log, snapshotter and segment maker share the disk, which serves them in turn: a sync waits for what the others gave it
// before. A turn of the log is a group, limits.GroupBytes while it is behind, one of the snapshotter
// limits.SnapshotSyncBytes and one of the maker a step; and after each turn those two rest for as long as it took, with
// its waiting (the snapshotter hardly at all where that was no longer than limits.SnapshotStepQuick; there it asks for small pieces,
// limits.SnapshotPieceBytes, since what a disk was given at once the log waits for, unless the log outruns it). So on a disk that
// the log keeps busy, of every two groups there is one turn of each, and the log has
//
//	2·GroupBytes / (2·GroupBytes + SnapshotSyncBytes + a step) = 8 / (8 + 1 + 1/4) = 86 %
//
// of the disk while a snapshot is saved, and no group waits for more than one turn of each. A rest is at most five seconds,
// so that a disk that is slower still gets on with them. What the maker does not fill in time the log only reserves. A group
// that waits for a turn of another one is not late, however long it takes: what is finished shows that the disk goes on
// (diskwatch.go); and it has the time that limits.DiskBytesLeast a second would take, so that no such disk ends a member.
//
// A vote is on two disks before it counts, its candidate's and its voter's. Where that takes longer than an election timeout, each
// would come too late, in a term that is over, and nobody would lead for as long as the disks are slow. So while nobody leads,
// raft's clock stands in a member whose disk is at something, and goes slower in one that was sent a vote too late
// (elections.go): a cluster whose quorum needs a second for a sync, or ten, has a leader after the second election.
//
// # Memory
//
// What was compacted is given back in steps (index.State.Reclaim): in proportion to what is applied, and while nothing is,
// one step each time the applier is called. When that is done it publishes another View, so that none holds what went.
//
// # Space on the disk
//
// Two snapshots are kept, and the log behind the older one, so that one bad file loses nothing. A snapshot is read back from
// the medium before it is published, and before any log goes on its account; by then the state that it was written from is
// let go of, so that writes do not go on copying it. One that is not as it was written is a failed save. All files together, that of
// a snapshot that is being saved included, take at most
//
//	U = max(4S, limits.DiskUseLeast)
//
// of which S is the state, live keys and values with the history that is kept: four times that from 384 MiB on, and 1.5 GiB
// below; but never what the disk has not got beside the upper mark of its free space (below), as far as its capacity goes: what
// is free, and what this member's files take. With X, limits.SparesMost segments, the log's own segments have room for U - X -
// 2S, or U - X - 3S while the next snapshot is saved. What keeps them in it (diskuse.go, applier.go, catchup.go):
//
//  1. A snapshot is ordered when records of seven to nine eighths of S were written, but of at most half of U - X - 2S; or
//     at least about 64 MiB: one half is before the order, the other one for what comes until the file is published.
//  2. From three quarters of its room on the older snapshot goes with the log behind it, if the newer one was found sound on
//     the medium within limits.SnapshotSound, and else as soon as it is found so; it does so before a save, too, when the
//     disk itself has no room for a third.
//  3. The log that a follower needs, which can be reached and gets a snapshot or catches up behind one, is kept while it is no
//     larger than limits.CatchUpBytes, or limits.CatchUpSnapshots times the newest snapshot where that is more, and all files
//     take at most U and limits.DiskUseCatchUp times S. Else the next snapshot, saved while one is sent, would take the room of what is written
//     meanwhile, and the follower would need one after the other.
//  4. The snapshotter's rests on a slow disk shrink as the log takes its room; from half of it on they are just long enough for the
//     log's next group to come first. On a quick one a save asks for whole steps at once, and does not rest, where the log would
//     have taken more than three quarters of its room by the save's end.
//
// So two snapshots, and three while one is saved, are there as long as 3S + X and three quarters of the log's room allow it:
// of a state between about 180 MiB and a GiB the older one goes while the next one is saved beside much writing, since U cannot
// hold three and the log of two. The bound is exceeded where more than half of the room is written
// while one snapshot is saved: on a disk that is so slow, and kept so busy, that the log has the share above.
// A snapshot is not begun on a disk that has no room for it.
//
// How much history there is to be kept is decided by the leader (package node), by what all members hold: each tells all others how
// large a state its machine holds with ease, a part in limits.StateOfDisk of its disk's capacity, less what is kept free for the log
// and the spares, or in limits.StateOfMemory of its memory where that is less. The least that any member has said last counts, also of
// one that is away: it comes back to what there is then. So overwriting never fills a disk, however small it is.
//
// A full disk ends nobody. The segment maker looks at the free space once in limits.SpaceCheck, and with each segment that is
// made. A member with less than what its log must leave, limits.SpaceMargin, and what the next snapshot takes more than the one
// that can go before it has no room: NOSPACE. What the next snapshot takes counts all that is written and not applied yet. An
// order that needs another file then is a group of its own: what it waits with for room can all be applied. Its log, whoever
// feeds it, makes no segment of the snapshot's room, nor of that for what the segments that it has may add to it; and the older
// snapshot goes with all log behind the newer one when that is sound, so that it gets well by itself.
//
// It is the member's affair until a quorum has no room, of either half while voters are exchanged: members tell each other, the
// leader judges, and what makes the state larger is refused with an error that names the full members and says that nothing
// happened (space.go); but a write of a session that was made before, and is sent again, gets its answer from the applier.
// Deletions go on as long as a quorum's logs have spare segments, which are the reserve that somebody else's files cannot take,
// and a snapshot of less lets go of the log. From then on no write is taken.
//
// A log with less than half a segment is given no command either, whoever has proposed it: what raft once has must be written
// before any term or vote. So these, and the entry with which a leader begins, find room, and there is a leader for reads; a
// quarter of the segment is also for what a new leader's log has and this one lacks, once nothing is proposed any more. A
// leader without room hands over to a member that has some, where a quorum has.
//
// A group that finds no room all the same, because all that was left went between two looks, is kept by the log writer until a
// spare or room comes, and nobody takes that for a disk that does not answer; until then nothing is put behind it, and its
// member cannot vote. With one segment of room more everything is taken again.
//
// A full disk that holds no second snapshot can let go of nothing, and takes no deletion either: its member says how much it
// has left, and when the leader has a snapshot that finds room there, since keys were deleted, or saves one, the log goes up to
// that, and it is sent. It supersedes a group that waits for room (space.go, helpFull). Starts take no room: small files are
// written in place, and a log that has to begin a segment waits.
package actor
