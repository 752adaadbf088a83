// Package node is one running member. It is the place to begin: this page is the map of the program.
//
// # The idea
//
// State without goroutines, goroutines without state. log, index and snapshot are plain libraries for one goroutine;
// every goroutine of the core is an actor's (package actor), and each actor owns its part of those libraries alone. The
// packages below net turn bytes into messages and back; node connects the parts; cli and bench are the programs.
//
//	5   main.go  cli  bench                         programs
//	4   node                                        one member: build, start, stop
//	    net/client/concurrency                      locks and elections, for programs
//	3   actor    net/peer  net/server  net/etcd  net/client   meet only in node, through interfaces that their user declares
//	    net/etcd/migrate                            what an etcd has, as commands
//	2   snapshot  net/wire  index/watch             net/wire/peerframe: what members say to each other, in bytes
//	1   log      index                              no goroutine, lock, clock, socket or randomness
//	    internal/election                           the recipe of a lock, for client and endpoint
//	0   log/disk  index/kv                          file calls; the vocabulary of requests, answers and errors
//	    internal/pack  internal/limits              msgpack by hand; the table of bounds
//	    internal/meter  internal/etcdflags          counted times; etcd's command line
//
// Nothing imports upwards, and nothing sideways but cli, which has bench; a test in cli holds the floors.
//
// # One Put, file by file
//
//	cli/put.go            parses, and calls the client library
//	net/client            picks a member, and appends a frame to a stream (formats: net/wire)
//	net/server            reads many frames at once: one kv.Proposal for all writes among them
//	node/node.go          endpoint.Propose sends it to consensus; a full mailbox makes the stream wait
//	actor/proposals.go    packs what waits into one batch envelope (index), proposes it, tells the applier what to expect;
//	                      a follower forwards the envelope to the leader instead
//	actor/ready.go        raft's orders: Append to the log writer, and MsgApp to the peers in the same turn
//	actor/logwriter.go    one group and one sync for all that waits (log), then the responses
//	net/peer              carries frames; the follower's consensus and log writer do the same, and answer
//	actor/consensus.go    Appended and a peer's MsgAppResp make a quorum: the commit index moves, Apply to the applier
//	actor/applier.go      applies the envelope (index), publishes the View, then hands out the results
//	net/server            each connection gets its results at once; its writer frames them
//	net/client            wakes the caller
//
// A linearizable read goes cli, net/client, net/server, actor/reads.go (one ReadIndex round for all that wait), applier
// (until its index is applied), and is answered by net/server from the View. A serializable read is answered by
// net/server from the View at once.
//
// Etcd's clients come by TCP to net/etcd, which translates: from endpoint.Propose and ReadIndex on, their requests go like all
// others.
//
// # This package
//
//	config.go      Config, what is refused and why; the ids of founders
//	folder.go      the data folder: lock, identity, boot counter, what is known of others; slots.go: its small files
//	bootstrap.go   from the data folder to a log, a state and raft's beginning; readahead.go: a snapshot, while it is loaded
//	member.go      build, the constructor that the simulator calls too; what a member proposes by itself
//	actors.go      the actors, their mailboxes, and what connects them
//	node.go        Node: endpoints; start and stop; sockets.go: what it listens at; trust.go: by what it is known, and whom it believes
//	peers.go       what the actors say to other members, as frames, and what comes from there; strangers and joiners
//	recover.go     one member's data as a new cluster
//	migrate.go     a data folder of what another store had, by commands
//	status.go      what an operator must know; metrics.go: what is counted
//	retention.go   how much history there is; quota.go: NOSPACE; verify.go: whether memory holds what was written to it
//	idle.go        an idle member gives memory back; how much garbage there may be
//	machine.go     what the machine has: the size of the log's files, memory
//	certificate.go the warning before a certificate's end
//	emulated.go    a member on a disk that is not there, for benchmarks
//
// # Identity
//
// Who a member is stands in its data folder, and who all of them are in the replicated state: flags matter once.
//
//	an empty folder                                   cluster id                            member id
//	--initial-cluster n1=..,n2=..   it is founded     trust domain, token, sorted names     cluster id, name
//	--found; on loopback nothing    it is founded     the same of this name alone, random   cluster id, name
//	--join HOST:PORT,...            it is asked for   as the member that was asked says     random, made by `member add`
//	anything else                   refused, with the three commands to choose from
//
// The rules:
//
//  1. Ids are made once, never from addresses, and used once: an id that was removed never comes back, and a name that does is
//     another member. They stand in the folder, in each segment and snapshot, and in every handshake. Several founders must find
//     the same ids without a word; a minority of them that has lost its folders, and founds anew with the same flags, cannot
//     lead without the votes of others that know better, or were removed. One that founds alone needs no vote: its ids are
//     random, so that what it founds in the empty folder of the first member of a cluster that has grown is another cluster,
//     which neither that one's members nor a client that has met one of them takes for theirs.
//  2. A folder that is not empty knows better than the flags: what they say of another beginning is ignored, and logged once.
//     It belongs to one name in one trust domain, and starts for no other.
//  3. A founder's log begins with a marker at index 1 and all founders as voters, a joiner's with nobody and a term that no
//     log continues: it knows nothing before a snapshot comes, and until then asks the addresses of --join at each start.
//  4. A joiner is told its id when it was added and has not joined yet: [peer.Handler]. One that was added without a name, as
//     etcd does it, or in the place of a lost one whose name it will have, is known by the address that it was added with, and
//     has the name that it says when it first starts. Who was added and has announced a folder is that folder: where it is lost,
//     the member is replaced. An empty folder of that name whose host starts it before waits for that, and says what to run; it
//     is refused for good only where the member of that name runs.
//  5. A member announces addresses, version and folder at each start. Others dial what it announced last and, beside that,
//     where it has called from since, and what --initial-cluster gives for its name, so that all may have changed their
//     addresses at once. Where a founder that was never started is reached by that, the leader writes to the log; and where
//     one is that has moved and hears of no leader, whoever it has called, or who has reached it, does: a leader that was added
//     meanwhile knows no more than the log, and the one that has moved does not know of it. An address that the log has for
//     another member goes to who is there ([kv.LocateMember]).
//  6. A member that hears of no leader takes the connection of every member of its cluster but of those that it knows to be
//     removed: one that was added while it was away may lead. Its log says who that is (peers.go, contacts).
//  7. A removed member's folder starts no more, whoever brings it back, and its handshake is refused for its id.
//  8. A recovery makes a new folder with new ids beside the old one, and all old ids are removed ones in it: recover.go.
//
// # What a member proposes by itself
//
// Five times a second it compares the state with what is true (member.go, look), and proposes what is missing, one command of
// a kind at a time; what is lost is proposed again, since the state still says the old.
//
//	announcement    who this member is, when the records say otherwise
//	addresses       of a founder that was never started, and of a member that has moved and hears of no leader
//	digest          its own, behind the entry of a check
//	check           the leader, once in limits.CheckInterval, if anything has changed, or CORRUPT is raised
//	feature level   the leader, when the records of all members say that they know a higher one
//	compaction      the leader, when more history is there than its flags say should stay (retention.go)
//	alarm           the leader, when NOSPACE is to be raised, or to be disarmed (quota.go); CORRUPT of its own, when memory does
//	                not hold what was written to it (verify.go)
//
// # How much history there is
//
// The leader has the oldest history compacted that is beyond its bound: --history-bytes, and by default limits.HistoryBytes or as
// much as is live, whichever is more. A GiB is five minutes of 10,000 small writes a second, which is what Kubernetes and others
// that resume a watch count on; and where more is live than that, the past costs no more than the present. But the bound gives
// way, since history is cheaper to lose than writes:
//
//	to the quota       live data and history have limits.QuotaHistory hundredths of it
//	to the machines    live data and history are what the least member holds with ease: a fifth of its disk, half of its
//	                   memory (package actor, Space on the disk)
//
// By --history-age, and as etcd does it, history goes when it is old by what the leader's process has measured since it began
// (historyage.go), not by clocks: one that jumps would make all of it old.
//
// What is left to it at any rate is an eighth of that, or limits.QuotaHistoryLeast hundredths of the quota. So what files take of a
// disk under overwriting is at most four times the live data and the history that was asked for; and a disk that has less than
// that has less history.
//
// # Order of start and stop
//
// Start: configuration, folder mode, certificates, sockets, lock and identity (of an empty folder: what it begins with, where a
// joiner asks), log and beside it the newest snapshot, state, boot counter, actors, peers, clients. What is refused early has
// changed nothing. Stop: leadership is handed over, clients of both endpoints finish, actors end in the order of the data
// (consensus, log writer, applier, …), the log's last fence is synced, the lock goes.
//
// # The simulator
//
// build takes an environment: file system, driver, randomness, and the way to the other members. The campaign in this
// package's tests puts simulated ones in their place, and nothing else: the members that it crashes, partitions and
// stalls run the code that production runs.
package node
