// Package actor holds every goroutine of a member's core, and the state that each goroutine owns.
//
//	              Send                   MustPost                sync, then the responses
//	clients ────────────► ┌───────────┐  append  ┌────────────┐ ────────────► Peers (MsgAppResp, MsgVote, votes)
//	peers   ────Offer───► │ consensus │ ───────► │ log writer │ ◄──► segment maker (makeSpare, spareMade, recycle, nextSegments)
//	clock   ────Offer───► │  RawNode  │ ◄─────── │  *log.Log  │
//	 log reader ◄───────► │  Window   │ appended └────────────┘
//	  Peers ◄──────────── └───────────┘              ▲ stateRestored
//	 (MsgApp, heartbeats)   │       ▲ applied        │
//	                  apply ▼       │                │
//	                      ┌───────────┐ ─────────────┘        ┌─────────────┐
//	                      │  applier  │ ──── save(View) ────► │ snapshotter │ ◄──► Peers (offers, progress)
//	                      │  *State   │ ◄─── saveEnded ────── │   folder    │ ───► consensus (snapshotSaved,
//	                      └───────────┘                       └─────────────┘      snapshotReceived, snapshotSent)
//	                        │                                   ▲ snapshot reader: pulls files, and builds the state
//	                        │    └── viewPublished ──► watch hub ──► the streams that watch (kv.WatchStream)
//	                        └── results ──► the client's stream (kv.ReplyTo)
//
// The sections:
//
//	every message    An actor; Mailboxes
//	a request        A write; Leases; Watches
//	agreement        Consensus; Membership; Loss of a leader; Start of a member
//	trust            Amnesia; What members believe of each other
//	catching up      Members that lag; Snapshots between members; Snapshots of a member's state
//	disk             Which actors write files; A slow disk; Space on the disk
//
// # An actor
//
// An actor is a [Mailbox] and a [Handler]. A handler is a state and one function that processes a batch of messages. It starts no
// goroutine and uses no lock, channel, select, clock, randomness or visible map order. The driver passes the time in with the batch, and
// the handler's output goes into other mailboxes. A test reads the sources and enforces this rule. Other goroutines, too, call Mailbox,
// Status, Observer, Admission and kv.ReplyTo, which have short locks of their own. Observer and the log writer read the driver's clock for
// measurements; no decision depends on them. The same handlers therefore run under two drivers: [Runtime] runs them in goroutines, and
// the tests of package node run the handlers of many members in one seeded loop. A seed that has shown a fault shows it at every run.
//
// Besides the mailboxes there is [Status]: values that an actor publishes to every reader, such as the View, the end of the synced log, the
// role in raft, and the use of the disk (package actor/space). A reader may miss a value, because the next value serves as well. News that
// must not be lost or reordered is a message. Only two values are both, the View and the end of the synced log: they are published before
// the message that announces them. Measurements and counters for people are in [Observer]. No actor decides by them.
//
// Runtime does not tie an actor to one goroutine. After postAndYield the receiving actor runs next in the same goroutine: a single write
// goes from consensus to the log writer and back through consensus to the applier without waking a thread.
//
// # Mailboxes
//
// An actor takes its whole mailbox at once: a thousand messages cost one wake-up. Each way to put a message in defines what happens when
// the mailbox is full:
//
//	Send          waits. Only clients send: this is the backpressure, and QUIC's flow control passes it on to them
//	Offer         drops. Peers and clocks offer: raft sends again, and the next tick follows
//	MustPost      neither waits nor drops. raft bounds its output, an endpoint its input, and an actor its orders, to the
//	              capacity; a full mailbox is a bug and panics with the numbers
//	postAndYield  is MustPost by a handler that is nearly done: the receiver runs next in the same goroutine
//	postQuiet     is MustPost without a wake-up: the applier reads expectations together with the next order
//
// # A write
//
// The way of a client's commands through a leader, by message and function:
//
//	Propose   waits in the mailbox. Handle refuses commands for which the cluster lacks space or the feature level (refuseCommands)
//	envelope  proposeOwn packs the waiting commands into one envelope, the data of one raft entry, and proposes it
//	expect    goes to the applier: the number of the envelope's first command, and the requests that wait for the commands
//	append    carryOut takes raft's Ready. The entries go to the log writer and, at the same time, to the peers (MsgApp)
//	appended  comes when the log writer has synced a group. Responses to peers leave the log writer itself, such as MsgAppResp
//	apply     follows when raft, by appended and MsgAppResp, knows a quorum, and has moved the commit index
//	results   the applier applies the entry, finds the requests by the envelope's member, incarnation and first number
//	          (pending.go), publishes the View, and completes the requests
//
// A follower sends the envelope to the leader (Forward), and an expect to its own applier. The leader accepts the envelope (Accepted) and
// proposes it. The entry comes back by MsgApp, and the follower's applier answers its clients. The leader does not delay the commit index
// for which they wait (takeAwaited).
//
// A forwarded envelope, or batch, is valid in one term. The leader of that term accepts it once, and in the order of the follower's batches.
// The follower can therefore send it again until it is acknowledged, or in the follower's log (forwarding.go). The terms in a log never
// decrease. If an entry of a later term is applied before the batch, the batch will never be applied: its clients learn that their writes
// certainly did not happen, without an answer from any peer. Two outcomes remain unknown: a batch without a quorum when its clients'
// timeouts expire, and a batch that a snapshot may have carried in.
//
// # Leases
//
// Grants and revocations are commands in the log. Only the leader's clock decides when a lease expires (leaseclock.go). The clock is a part
// of consensus, learns of leases from the applier (leasesChanged), and uses the monotonic time of its process and no other clock. A lease
// never ends before its TTL has passed since its client sent the last answered request, its grant or a keep-alive:
//
//		keep-alive  AskLeases ──► leaseAsks, until the next tick ──► LeaseAsks to the leader ──► a ReadIndex round for all of a tick's queries
//		            ──► answerAsks ──► LeaseTimes to the asking member ──► the client; lost queries are sent again
//		expiry      leaseClock.tick ──► a ReadIndex round ──► revocable ──► proposeLeases: revocations in the log ──► every member's state
//
//	 1. The clock starts anew with each leader, when the state holds an entry of the leader's term. Each lease then has the remaining time of
//	    its last checkpoint in the log, plus an election timeout. A failover extends a lease by the time without a leader, and by at most L
//	    more. L is 30 seconds or a tenth of the TTL, whichever is more, but never more than the TTL. A lease is checkpointed when two thirds
//	    of L have passed since its last checkpoint or, if that is later, L less two election timeouts and two seconds. If very many leases
//	    need a checkpoint at the same time, some get it later (5). Leases that end meanwhile are revoked after those checkpoints. Before a
//	    planned stop or transfer, up to leaseCheckpointsInflight leases are checkpointed at once. If leaders are killed before each
//	    checkpoint, the lease ends at most one TTL and one election timeout after the last change.
//	 2. A keep-alive is answered after two conditions: a round of heartbeats that began after its arrival has shown that this member leads,
//	    and the state has all entries that were committed when that round began. A member that may already be superseded promises nothing.
//	    If the last checkpoint is less than the TTL, a full one is applied first.
//	 3. Expired leases are revoked after such a round, too. Leases are not charged for the time of a stop of this process, of an election
//	    timeout or more. The stop is noticed before the messages that waited in it: a keep-alive among them is in time. The revocation
//	    carries the term, and has no effect in another term.
//	 4. Once a lease has expired, a keep-alive waits until the revocation is applied. Its answer says that the lease does not exist.
//	 5. Revocations and checkpoints are proposed in batches. The size of a batch, and the number in flight, are bounded: a write never waits
//	    for all leases that end, or need a checkpoint, at the same time. Once raft has accepted a batch it stands in the leader's log; if its
//	    term ends, the next leader's clock decides.
//	 6. Client writes take precedence (leaserevoke.go). Leases that end together are revoked at leaseRevocationRate, in
//	    small entries that share the syncs of these writes. Entries are smaller where leases have many keys. Ids are revoked in
//	    rising order, since neighboring leases cost every member an eighth of the work of as many scattered leases.
//
// # Watches
//
// The watch hub owns the registered watches and each watch's position in the history. Package watch (index/watch) describes how a watch is
// created, gets its events from the history, is resumed, and is canceled when its position is compacted. Any member serves watches, from
// its own View. The actor decides when the hub works:
//
//  1. The applier gives the hub no data. After each published View it sends a signal, if there are watches and no signal waits yet
//     ([watchSignal]); the hub takes the newest View itself. So no write waits for a watch. Without watches the applier sends nothing.
//  2. The hub is paced. A step is about limits.Watches.StepWork of work for live watches and as much for lagging ones, half a millisecond
//     each, including the streams' work for it. While a watch lags, each step is followed by a pause of watchRest times the step. While
//     there are writes, the hub also pauses for the events sent (watchSentRate), because they cost streams and clients more. Requests
//     and new Views are taken meanwhile.
//  3. A stream whose buffer is full refuses events, and posts a request when it has capacity again (kv.WatchRoom).
//  4. A member that has known no leader for three election timeouts ends its watches, and so does a suspended
//     member: other members have newer state, and watches resume there.
//  5. The hub reads no file. The value reader reads values that are in parts, one list at a time (ReadValues, valuesRead).
//
// # Consensus
//
// [Consensus] is a small core and parts over it. The core is the state that several parts read: raft, the time, the role and term, the
// members, the suspension, and the reachable peers (core.go). A part holds its own state, gets the core with each call, and returns
// messages. A part can therefore be tested without a cluster:
//
//	elections   elections.go, failover.go, linkwatch.go, founding.go, leaderwatch.go, leaderclaim.go
//	members     membership.go, suspension.go, committed.go, leaderpositions.go
//	clients     proposals.go, forwarding.go, reads.go; leases.go, leaseasks.go, leaseclock.go, leaserevoke.go
//	own log     hardstate.go, diskwatch.go, replicationlag.go, logretention.go
//	catch-up    pace.go, catchup.go, snapshottransfers.go
//	machine     space.go, clocks.go
//
// consensus.go hands messages to the parts, and ready.go carries out raft's orders.
//
// The agreement itself is go.etcd.io/raft/v3 v3.7.0: RawNode with AsyncStorageWrites. Its MsgStorageAppend and MsgStorageApply are the
// orders to the log writer and the applier. The library leaves these rules to its user:
//
//  1. Consensus acts only on Ready.Messages, ReadStates and SoftState, and never calls Advance. A MsgStorageAppend is durable
//     before any of its responses leaves. Local orders are neither dropped nor reordered (ready.go, logwriter.go).
//  2. MsgVote leaves as a response of the same Ready's MsgStorageAppend: the term and the own vote are durable before a peer is
//     asked. Otherwise a candidate with a stalled disk would win, replicate, crash with nothing on its disk, and win the same
//     term again (ready.go).
//  3. Ready is called after every batch, also when queues are full: heartbeats leave only through it (consensus.go).
//  4. raft reads its log through log.Window. The window contains an entry before the response that reports the entry durable is stepped
//     (consensus.go, appended). Consensus never waits for a disk: for entries that are not in memory the window returns nothing. raft
//     treats that as a size limit, and sends or applies these entries after the log reader has read them. raft's scan for membership
//     changes before a campaign needs only each entry's kind (catchup.go).
//  5. A read is confirmed by a ReadIndex round of its own attempt. The round begins only after the leader has handed a committed
//     entry of its term to the applier, and is void when (term, leader) changes (reads.go).
//  6. A membership change takes effect in raft before its apply response is stepped, and the next change waits for that response
//     (membership.go). At the start, Commit is limited to the last entry. A single voter campaigns at once, and again after replay.
//  7. Ticks are 10 ms, and missed ticks are coalesced. Consensus hands entries to the log writer in orders of about a megabyte, and a few
//     orders become a group. Each group is reported separately: a slow disk visibly makes progress. A leader moves its leadership
//     away from a stalled disk only if a quorum of the others, and the chosen follower, have synced since the stalled call began
//     (diskwatch.go).
//  8. Peers may send only the message types that raft expects from a network (package peerframe). A message that only a leader sends is
//     accepted only from the leader that this member knows in its term (leaderclaim.go). An entry that cannot be decoded never reaches the
//     log. A heartbeat with a commit index beyond the own log raises AMNESIA (consensus.go; "Amnesia" below).
//  9. Everything is batched: commands into entries, entries into groups, results by receiver. No batch waits for more to arrive.
//  10. A MsgSnap reaches raft only after its file is verified and published, in the name of the leader at that time. The log
//     writer's reset marker is synced before the applier restores, and all later orders wait for that (snapshotreceive.go,
//     ready.go, logwriter.go).
//
// # Membership
//
// The members and their roles are records of the replicated state (package index). raft's configuration follows from the records, and so
// do the transport's links. A change travels like every command. Its outcome comes back the same way in every member, and again at every
// replay:
//
//	client ── change ──► leader: is it wise? ── ConfChangeV2, its context the envelope with this one command ──► the log
//	                        │ no: an error, nothing has changed                                                   │ committed
//	                        ▼                                                                                     ▼
//	                      client ◄── result: done, or impossible by the records ── applier: State.ApplyChange
//	                                                                                  │ membersChanged{records, difference}
//	    transport ◄── Peers.SetMembers ── consensus: raft.ApplyConfChange ◄───────────┘ then applied
//
// The rules:
//
//  1. A change is alone in its envelope, and at most one is under way: from its proposal until raft has its apply response.
//     A new leader accepts none before it has applied an entry of its term. raft would replace a second change by an empty entry.
//  2. The leader judges whether a change is wise. It checks the limits of voters and learners, whether a learner has caught up,
//     and whether a quorum of the new voters has answered within two election timeouts. A leader that is to be removed hands
//     leadership over first, and the change is requested again. A forwarded change is judged likewise, and refused through the log.
//  3. The records decide whether a change is possible, and are the same in every member. raft gets the difference between the records'
//     configurations before and after the entry, whatever the entry's own changes say. Then raft's configuration must equal the records'.
//     If they differ, the member panics, because no later decision would be correct.
//  4. Replacing one voter by another uses a joint configuration. raft's leader ends it by an empty ConfChangeV2, which the applier treats
//     as the command that ends the exchange. A learner's record names the voter that it replaces. The leader exchanges the two when the
//     learner has caught up. If the learner is to have that voter's name, the leader first removes the voter, once it has had no connection
//     to it for limits.ReplaceSilence. An only voter stays beside the promoted learner until it has handed leadership over.
//  5. A new member is a learner with an empty log. It gets the newest existing snapshot, and then the log, which holds its addition. A
//     snapshot is saved for it only if none exists yet. raft rejects a snapshot whose configuration does not list the receiver, and an
//     older snapshot does not list the new member. Until the addition is applied, the new member's own raft therefore treats it as a
//     learner. It becomes a voter by itself after two heartbeats within learnerLevelEntries, unless it is to remain a learner.
//  6. A snapshot holds the records and raft's configuration, and the two must agree. When raft accepts a snapshot, it has the snapshot's
//     configuration at once; the records follow when the applier has restored it. Older entries applied in between do not change raft's
//     configuration.
//  7. The others neither accept messages from a removed member nor connect to it. The removed member ends when a leader reports the
//     removal, or two members do, or its own log and one member. Not counted are a learner's report, and a report by a claimed leader while
//     the receiver commits with another leader. Before the removed member ends, it writes its removal into its folder, and the folder never
//     starts again. Its id is never reused. A voter reports the removal only when its own disk has the commit: after a restart it can then
//     lead without the removed member's vote.
//  8. A learner never campaigns. A leader that was silent for two election timeouts is no leader to it (core.leader).
//  9. A member that denies a vote, and has no vote itself, reports its commit index to the candidate. A higher commit index comes back as
//     the answer (committed.go).
//
// # Loss of a leader
//
// A leader sends heartbeats at each interval, whatever the disk does. raft's own rule for a silent leader is slow: a follower waits for one
// to two election timeouts before it campaigns, and grants no vote before one of them is over. Two kinds of evidence let a voter make raft
// forget its leader sooner (failover.go):
//
//   - Death of the process. If a voter's leader is silent for one and a half heartbeat intervals, the voter asks the leader's host
//     ([Peers], CheckAlive). The kernel of a host without the process refuses the connection. No other voter has to confirm this.
//   - Suspicion, if the host is lost, stopped or cut off. A voter suspects a leader that is silent for longer than the lateness of its
//     earlier heartbeats explains, at most an election timeout (linkwatch.go). It tells the other voters, and follows the leader as before.
//     It forgets the leader once another voter suspects the same leader of the same term, too.
//     A leader that is heard again within an election timeout was suspected by mistake. The voter then waits longer with every leader.
//
// The first kind is a fact, the second a judgement by this member's clock. Neither makes a leader, and no read trusts them: votes make a
// leader, and each read asks a quorum. Wrong evidence costs one pre-vote, which no member grants while it hears the leader.
//
// Voters that have forgotten their leader campaign in turns, in the order of their ids, 50 ms apart (campaignApart), so that two candidates
// do not split the votes. A campaign is raft's: pre-vote, then vote. The evidence counts in its term only. Once a candidate has begun the
// next term, or an election timeout has passed, raft's own clock decides, which gives slow disks their time (elections.go).
//
// A leader may hear nothing while the others hear it. raft then ends its term after one to two election timeouts. Such a leader orders the
// voter with most of the log to campaign (MsgTimeoutNow).
//
// # Start of a member
//
// A member starts in steps, and each lets it do more:
//
//  1. Package node reads the log, and loads the newest snapshot beside it. Before both are done, no actor runs, and the member does not count
//     for a quorum (docs/decisions/state-before-votes.md).
//  2. The peers connect. Each judges the other's folder, boot and process by its handshake ([Admission], "Amnesia" below). A member that its
//     peers admit appends, acknowledges and votes. A founder without data asks for no vote before it has met all founders (founding.go).
//  3. If there is a leader, its first heartbeat makes the member its follower. If there is none, voters do not wait for an election timeout.
//     One heartbeat interval after a quorum is connected, they campaign in turns as above. A founder with data that has not met all others,
//     of a restored cluster, waits for raft's clock.
//  4. The member applies its log, and asks for a read index. Once a quorum has confirmed it and the member has applied that far, it has
//     every acknowledged write, and serves clients (package node, starting.go).
//
// # Amnesia
//
// A member that has forgotten its promises must not vote. Three signs reveal it. The first is its handshake: folder id, boot counter and
// process id, compared with the announcement in the replicated state and with the values seen by this process. The second is a log that
// ends before the entries that the leader has counted as acknowledged, or that the member itself reported durable while it led. The third
// is a heartbeat with a commit index beyond its log ([Admission], suspension.go). A leader sends the end of its own log with appends and
// heartbeats (leaderpositions.go): its disk may be one of the two that hold an acknowledged write, and a leader sends no acknowledgements.
//
// A refusal says its reason ([Refusal]), and one member's word is never enough to exclude another member (suspension.go). A member that is
// refused as forgetful is suspended by the word of a leader, or of a second member. The word of one non-leader holds it back: it takes no
// part until the word is confirmed or refuted. A heartbeat with a commit index beyond its log holds it back, too. The member overrules that
// word while it commits with a quorum without the accuser. A decision is durable before the member acts on it, and later starts read it.
// Only an operator ends a suspension.
//
// Not detectable: a folder restored to an earlier point of the same run, while every member that saw the later state is down. Peers keep
// the positions that a leader has counted or reported in memory only. After a restart a peer knows only the entry for whose lack it refused
// a member before. Not detectable either: the loss of a leader's last entries, if no peer has heard of them.
//
// # What members believe of each other
//
// Raft assumes that members are slow, silent or restarted, but never wrong. A member can still be wrong: a faulty build, bad memory, a
// stolen certificate. One wrong member must not stop the others. Heartbeats, appends, offers of snapshots and the answers to forwarded
// writes, reads and leases are claims to lead. A member that knows the leader of its term accepts claims of that term from that leader
// only, before raft or a handler sees them (leaderclaim.go). Other claims are dropped and counted. A leader bounds the wall clocks of
// forwarded batches by its own clock and limits.ClocksApart. It judges each forwarded membership change like its own. An append with an
// entry that cannot be decoded is dropped before it is written, even if a leader sent it.
//
// These limits remain, because raft has no proof of an election:
//
//   - A claim of a later term is believed. A wrong member can raise the term: it deposes leaders, and while it goes on the cluster may
//     elect again and again. A member that knows no leader of its term, as during an election, believes the first claim of the term.
//     It knows no leader either from an election timeout after it has forgotten one.
//   - A believed claim is obeyed. A wrong member that is believed can replace entries that its receiver does not know to be
//     committed, and can have the receiver commit entries of its own. It cannot change entries that the receiver knows to be
//     committed. The digest finds states that differ (CORRUPT).
//   - The leader's commands, and a follower's own writes, votes and acknowledgements, are believed if they can be decoded. A follower
//     that acknowledges entries which it does not store takes one disk from the quorum of each write.
//
// # Members that lag
//
// Followers and learners that lack older entries or a snapshot are sent them at a limited rate (pace.go), since that takes processors,
// network and disk from writes:
//
//  1. Each lagging member gets catchUpGain times the rate of writes, and at least limits.CatchUpLeast. It therefore gains on the writers,
//     however busy the leader is. To catch up with S bytes of log, or of a snapshot with the log behind it, takes at most the time in
//     which clients write S bytes. Without writes there is no limit.
//  2. Consensus gives reads of older entries to the log reader as the rate allows. No other part of the log is paced:
//     entries in memory are sent at once, and so are entries that the own applier needs. The rate is also that of each file
//     of a snapshot that a member pulls (Status.SentPiece).
//
// A member that lags by more than an election timeout, or receives a snapshot, does not save one because of the size of its records. Such
// a snapshot would be old when it is saved, and would take disk bandwidth from the entries to come. The member saves one if its log's
// space requires it. Its allowed log space is meanwhile that of a leader that keeps its log for a follower (below).
//
// # Snapshots between members
//
// The leader's snapshotter offers a snapshot: its name, its size, its SHA-256 and the list of its parts. The receiver's snapshotter orders
// its snapshot reader to pull the parts that are missing here, and then the snapshot, one piece at a time (package net/peer, "Parts"). The
// snapshot reader writes each piece, reads it back, checks it, and builds the state. So little remains to do after the last piece, and
// damage is found in the piece that holds it. The applier gets the built state and reads no file. The receiver tells the sender now and then
// that the snapshot comes. A silent receiver gets the offer again after half a second, and asks for the next piece if none came before. An
// interrupted transfer continues at its last offset, also after a restart. A transfer is given up if the log has brought its entries first.
//
// While a snapshot is offered, its sender keeps the snapshot's files. A receiver that says nothing for snapshotSendTimeout ends that.
//
// The leader keeps the log behind a snapshot in transfer, and from the lowest match of the reachable followers, up to a bound. A follower
// that comes back under load therefore needs one snapshot, and then gets the log (logretention.go; for the bound see "Space on the disk").
//
// # Snapshots of a member's state
//
// A snapshot is a small file and the parts that it lists: the range files of the base, and the extents (package index, "Extents"). Each part is
// written once, with the same name on all members. The snapshotter writes one file at a time, in this order:
//
//	an extent of the published View that is in no file      without an order; the state keeps its changes until then
//	the snapshot that the applier has ordered               it has the changes of the open extent, and leases, users, members and sessions
//	a part again, from memory                               if it was damaged, and no other member gave it
//	the next range file of a newer base                     also after each of the files above; snapshots list the older base until all are there
//
// The applier orders a snapshot if the log behind the last one has become large ([space.Disk.SaveDue]), or if one is wanted: a file is
// damaged, a new member needs one, or a newer base is complete. Two snapshots that list a newer base free the space of the older one.
//
// One list says which parts the present state has on the disk: the snapshotter's Shelf. The next snapshot lists them, the applier
// hears of them (stored), and the state then drops compacted changes, and lets the values of superseded versions go (package index, "Values
// in files"). Readers read these values from the Shelf, in their own goroutines: they may wait for the disk, and the applier and consensus
// never do. A part stays while a snapshot lists it, and while values may be read from it by an older Shelf.
//
// A newer base is due when the extents that it replaces weigh enough ([space.BaseAfter]); the leader proposes it. A member writes it once its state
// has dropped what that base lacks, and only if the disk keeps its space for writes; a full disk may give all its space to it. A member that was late
// may lack extents that are now behind the newer base: it saves no snapshot until it has written that base.
//
// A damaged part is found by a reader of its values, or by a check of the newest snapshot. The snapshotter raises CORRUPT, and has the
// snapshot reader fetch the part from another member, under the same name (repairPart, partRepaired). If no member gives the part, it is
// written again from memory. If memory does not have all of it, the part is lost: no snapshot is saved, the log is kept, and the other
// members are asked again and again, until a newer base takes the place of the part. A restart fetches a newer state from another member
// instead (package node).
//
// An entry may need a value that only a damaged part has: a transaction compares it, or a put keeps it. The applier then begins nothing of
// the entry, and tries again each second and whenever the list of parts changes (Status.Waits). The member still acknowledges entries and
// votes. It hands leadership over if another member applies, campaigns in no election, and serves no client. A member that is alone ends.
//
// # Which actors write files
//
// Four actors write files: the log writer, the segment maker, the snapshotter, and the snapshot reader when it pulls a file or fetches a damaged part. The
// segment maker also writes the last page of a segment that the log writer has left; the page names the next segment. Package node writes
// the data folder's small files, rarely. Such a write is durable before the member acts on it.
//
// # A slow disk
//
// Log writer, snapshotter and segment maker share the disk, which serves requests in order: a sync waits for the requests of the others
// before it. Each of the three writes in turns. A turn of the log writer is a group, of limits.GroupBytes under load. A turn of the
// snapshotter is 1 MiB, a turn of the segment maker one step. After each turn, the snapshotter and the segment maker
// rest for as long as the turn took, including its wait. The snapshotter hardly rests after a turn of at most snapshotStepQuick. On
// such a fast disk it writes little at a time, limits.SnapshotPieceBytes, unless the log grows too fast for it: a sync of the log waits for
// everything that the disk was given before. On a disk kept busy by the log, every two groups see one turn of each, and the log has
//
//	2·GroupBytes / (2·GroupBytes + snapshotSyncBytes + a step) = 8 / (8 + 1 + 1/4) = 86 %
//
// of the disk while a snapshot is saved, and no group waits for more than one turn of each. A rest is at most five seconds, which lets
// snapshotter and segment maker progress on an even slower disk. If the segment maker does not zero a segment in time, the log writer only
// reserves its space. A group that waits for another actor's turn does not count as late, however long it takes: completed calls show that
// the disk makes progress (diskwatch.go). A group also has the time that its bytes would take at diskBytesLeast a second, so a disk
// of that speed never ends a member.
//
// A vote counts only after two syncs, the candidate's and the voter's. If these take longer than an election timeout, each vote would
// arrive in a term that is already over. While there is no leader, raft's clock therefore stops in a member whose disk is busy, and slows
// down in a member that got a vote too late (elections.go). A cluster whose syncs take one second, or ten, elects in the second attempt.
//
// # Space on the disk
//
// Each member keeps two snapshots, and the log behind the older one: one bad file loses nothing. A snapshot is read back from the medium
// before it is published, and before any log is deleted because of it. Both list mostly the same parts. space.Needs is the formula of the
// space that a state takes. These rules keep the files within it:
//
//  1. A snapshot is due by space.Disk.SaveDue. It costs the extents that are in no file yet, and the changes of the open
//     extent. Its size does not depend on the state's.
//  2. The leader proposes a newer base when compacted extents weigh space.BaseAfter. A member writes a newer base only where there is space
//     for it. Elsewhere its snapshots list the older one, and it tries again.
//  3. The log may take space.Disk.LogBudget. From three quarters of that on, the older snapshot goes with the log behind it and the parts
//     that only this snapshot lists. The newer one must have been found sound on the medium within snapshotSound. The same happens
//     on a full disk, or before a save for which there is no space.
//  4. The log is kept for a reachable follower up to space.Disk.FollowerLogBudget.
//  5. While the log fills its budget, a save rests less on a slow disk, and makes haste on a fast one (diskuse.go).
//
// History is bounded by space.Disk.Holds: each member reports how large a state its disk and memory hold. The leader uses the largest size
// that a quorum of the voters holds, and has older history compacted (package node). Overwriting therefore never fills the disks of a
// quorum. The disk of a minority may fill: that member raises NOSPACE, and the others go on.
//
// A full disk ends no member. The segment maker checks the free space once in limits.SpaceCheck, and with each new segment. Below the low
// mark the member is full, above the high mark no longer. New segments never use the space of the next snapshot. A full member saves
// sooner and deletes the older snapshot, so it recovers by itself. An order that needs another file is then a group of its own, so all groups
// before it can be applied.
//
// NOSPACE concerns one member until a quorum is full; in a joint configuration, a quorum of either half. Members report their free space to
// each other, and the leader judges (space.go). Commands that enlarge the state are refused, and the error says that nothing happened. A
// repeated write of a session still gets its earlier answer. Deletions continue while a quorum's logs have spare segments. Without spares
// no write is accepted. Half of the last segment is for terms, votes and a new leader's first entry, so there is a leader for reads. A
// quarter is for entries that a new leader's log has and this log lacks. A full leader hands over to a member with space.
//
// If other files take the last space, the log writer keeps its group until there is space. The disk watch does not count that as a stall.
// A full member that cannot save reports how much space it has. When a snapshot of the leader fits there, because keys were deleted, the
// leader sends it (relieveFullFollowers). Starts need no space.
package actor
