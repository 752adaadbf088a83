// Package node is one running member. docs/architecture.md follows a Put, file by file; this page has the layers, and the rules of a member.
//
// # The idea
//
// State and goroutines are separate. log, index and snapshot are plain libraries: they hold state, and start no goroutine. Every goroutine
// of the core runs an actor (package actor), and each actor alone owns its part of those libraries. The packages below net turn bytes into
// messages and back. node connects the parts; cli and bench are the programs.
//
//	5   main.go  cli  bench                         programs
//	    cli/keys  cli/cluster  cli/data  cli/run    commands: on keys; about members; on files; that run members
//	    cli/form  cli/local                         what all commands use; processes on this host
//	4   node                                        one member: build, start, stop
//	    node/roster                                 describes members by their answers, for the dashboard and for commands on any system
//	3   actor    net/peer  net/server  net/etcd  net/client   know each other only as interfaces; node connects them
//	    actor/space                                 which writes a member's disk accepts
//	    net/etcd/migrate  net/etcd/front            builds a state of an etcd's content; the TCP port of etcd's API
//	    snapshot/backup                             states and log outside of the cluster; the state of any moment
//	    snapshot/backup/store                       the objects of a backup: in a folder, or in a bucket of S3
//	2   snapshot  net/wire  index/watch             net/wire/peerframe: the messages between members, in bytes
//	    net/etcd/h2                                 serves gRPC over HTTP/2, for etcd's API
//	    net/web  net/auth                           health, metrics, version and the dashboard over HTTP; passwords and tokens of users
//	1   log      index                              no goroutine, lock, clock, socket or randomness
//	    internal/audit                              audit lines, and the file that gets them
//	    internal/checks                             the table of checks of status and doctor, and the verdict on a cluster
//	    internal/election                           etcd's recipe of locks and elections, for client and endpoint
//	0   log/disk  index/kv                          the file system; the types of requests, answers and errors
//	    internal/pack  internal/damage              hand-written msgpack; damage of files, and the prelude of their formats
//	    internal/codec  internal/figures            msgpack by the library, for what is rare; the table of a member's figures
//	    internal/meter  internal/etcdflags          counters of durations; etcd's command line
//	    internal/buffers  internal/logx             the pool of large buffers; the rate-limited log
//	    internal/settings  internal/limits          configuration files: YAML with the names of flags; the table of limits
//	    internal/admit                              memory budgets, semaphores and the fair queue of both endpoints
//	    log/disk/simdisk  index/authmodel           the simulated disk, and a naive model of users and roles, for tests only
//
// No package imports a package of its own or a higher layer. Exceptions are cli, whose packages have an order of their own, and import bench;
// net/etcd, which imports net/etcd/front; and node, which imports node/roster. A test in cli enforces the layers.
//
// # This package
//
//	config.go      Config and its validation; the ids of founders
//	folder.go      the data folder: lock, identity, boot counter, known peers; slots.go: its small files
//	bootstrap.go   loads log, state and raft's initial state from the data folder; readahead.go: reads a snapshot ahead
//	repair.go      fetches lost and damaged parts of snapshots from another member, and gives others all files of snapshots
//	member.go      build, the constructor that the simulator calls, too; a member's own proposals; its status
//	actors.go      the actors, their mailboxes, and the connections between them
//	node.go        Node: endpoints; start and stop; sockets.go: the listening sockets; trust.go: certificates, and which peers it trusts
//	peers.go       the actors' messages to other members as frames, and incoming frames; strangers
//	join.go        judgement of members that ask to join; a member with the cluster secret is added
//	recover.go     one member's data as a new cluster
//	migrate.go     a data folder from another store's content
//	backup.go      the run that makes the backup of --backup while the member leads; backupduty.go: when, and the alarm
//	branch.go      a member that begins with a state that this process has restored
//	seed.go        parts of the state from a backup: for a member that joins, or that has lost one
//	restore.go     a data folder of a new cluster from a restored state
//	starting.go    the stages of a start: what both endpoints serve until a read index is confirmed
//	status.go      the alarms of an operator's status; figures.go: its figures; metrics.go: the counters
//	settings.go    the settings that a running member can change
//	retention.go   the bound of history; quota.go: NOSPACE; verify.go: checksums of the state in memory; verifyfiles.go: of the files, each week
//	idle.go        an idle member returns memory to the system; the garbage collector's limit
//	machine.go     the machine's limits: memory, and the size of the log's files; refusedsends.go: what its kernel does not send
//	dashboard.go   the state of all members for the dashboard, and the load of this one
//	audit.go       opens the audit log; changes of members, which a member records by itself
//	certificate.go the warning before a certificate expires
//	auth.go        the passwords and tokens of users, for both endpoints
//
// # Identity
//
// The data folder holds the member's identity, and the replicated state holds the identities of all members. The flags below count only
// while the folder is empty. The table says what each of them does, and where both ids come from:
//
//	an empty folder                                   cluster id                            member id
//	--initial-cluster n1=..,n2=..   founds            trust domain, token, secret's CA,     cluster id, name
//	                                                  sorted names
//	--found; on loopback nothing    founds            the same of this name alone, random   cluster id, name
//	--join HOST:PORT,...            asks to join      from the member that it asks          random, made by `member add`, or
//	                                                                                        with the secret by the asked member
//	anything else                   refused, with the three commands to choose from
//
// The rules:
//
//  1. Ids are made once, never from addresses, and used once. A removed id never comes back; a reused name is another member. The ids stand
//     in the folder, in each segment and snapshot, and in every handshake. Several founders must find the same ids without communication.
//     If a minority of founders loses its folders and founds again with the same flags, it cannot lead without the votes of the others,
//     which know the earlier founding or were removed. A single founder needs no other vote, so its ids are random. If it founds again in
//     the empty folder of a grown cluster's first member, the result is another cluster: neither the members of the grown cluster nor a
//     client that has met one of them accepts it as theirs.
//  2. The content of a non-empty folder overrides the flags. Flags that contradict it are ignored, and logged once.
//     A folder belongs to one name in one trust domain, and starts for no other.
//  3. A founder's log begins with a marker at index 1 and all founders as voters. A joiner's log begins without members, at a
//     term that no log continues. The joiner knows nothing before a snapshot arrives, and until then asks the addresses of
//     --join at each start.
//  4. A joiner gets its id by asking, if it was added and has not joined yet ([peer.Handler]). With the cluster secret, the asked member
//     proposes to add an unknown joiner, which asks again until it is added (join.go, addBySecret). Two kinds of members are added without a
//     name of their own: a member added through etcd's API, and the replacement of a lost member, which takes over its name. Such a member
//     is recognized by the address given when it was added, and has the name that it reports at its first start, or the lost member's. The
//     join request carries the joiner's data folder. The asked member has the log bind the id to that folder, and answers with the id once
//     its own applied state shows this binding: of two processes that join under one name, one gets the id (actor.Admission). If the folder
//     is lost, also before the first start has ended, the member must be replaced, or removed and added again. If its host starts with an
//     empty folder under that name before that, the start waits, and says what to run. The start is refused for good only while the
//     member of that name runs.
//  5. A member announces addresses, version and folder at each start. The others dial its last announced addresses, and its address in
//     --initial-cluster. All members may therefore change their addresses at once, if that flag names the new ones. If a founder has never
//     announced itself, the leader writes the founder's address in --initial-cluster to the log. A moved member announces itself only to a
//     leader that it reaches: a leader added meanwhile needs `qkv member update`.
//  6. A member that hears of no leader accepts a connection from every member of its cluster, except members that it knows to be
//     removed: a member added during its absence may lead. Its log names the members (peers.go, contacts).
//  7. A removed member's folder never starts again, on any host, and its handshake is refused for its id.
//  8. A recovery makes a new folder with new ids next to the old one. The new folder lists all old ids as removed (recover.go).
//
// # Proposals of a member itself
//
// Five times a second a member compares the replicated state with its own situation (member.go, look), and proposes the missing commands,
// one of each kind at a time. A lost command is proposed again, since the state still holds the old value.
//
//	announcement    this member's identity and addresses, when its record differs
//	binding         the leader, of a founder whose id is not bound to its data folder yet
//	addresses       of a founder that was never started
//	digest          each member, of its own state right after the entry of a check
//	check           the leader, once in limits.CheckInterval, if anything has changed, or CORRUPT is raised
//	feature level   the leader, when the records of all members report support for a higher one
//	compaction      the leader, when there is more history than its flags keep (retention.go)
//	alarm           the leader, when NOSPACE is to be raised or disarmed (quota.go); any member its own CORRUPT, when a checksum
//	                of its state in memory is wrong (verify.go)
//
// # Retention of history
//
// The leader has the oldest history beyond its bound compacted. The bound is --history-bytes. By default it is limits.HistoryBytes or the
// size of the live data, whichever is more. A GiB is five minutes of 10,000 small writes a second, on which Kubernetes and other clients
// that resume a watch rely. If the live data is larger than that, history takes no more memory than live data. These bounds are settings.
// The quota is a setting, too: live data and history together may take quotaHistory hundredths of it, and history is compacted to
// make space for live data.
//
// Disk and memory limits of members outside a quorum never make the cluster drop history that its settings keep. The leader uses the state
// size that a quorum of the voters holds, by their disks (space.Disk.Holds) and at most half of their memory (package actor, Space on the
// disk). Learners and the minority of voters with the smallest machines do not count. A voter that is down counts with its last report.
// A member whose memory is small for the state raises the notice MEMORY (machine.go). The default bound is reduced to what the machines of
// that quorum hold. Space taken on the disks by files of other programs never changes a bound.
//
// If no quorum can hold the history that the settings keep, the leader raises the alarm RETENTION, from three quarters of the size that
// fits on. It drops what does not fit once in limits.HistoryEvery, and what is written beyond the size at once (retention.go): losing
// history costs less than refusing writes. A new leader begins with what there is. --history-bytes 0 means no bound, and no history is
// dropped.
//
// --history-age, and etcd's own compaction, use the age that the leader's process has measured since its start (historyage.go), not wall
// clocks: a clock that jumps would make all history old.
//
// At least an eighth of the state that a quorum holds, or quotaHistoryLeast hundredths of the quota, is left to history.
//
// # Order of start and stop
//
// Start: configuration, folder mode, certificates, sockets, lock and identity (an empty folder gets its initial content; a joiner asks),
// log and in parallel the newest snapshot, state, boot counter, actors, peers, clients. An early refusal has changed nothing. Stop:
// leadership is handed over, clients of both endpoints finish, actors end in the order of the data (consensus, log writer, applier, …), the
// log's last fence is synced, the lock is released.
//
// # The simulator
//
// build takes an environment: file system, driver, randomness, and the transport to the other members. The simulation campaign in this
// package's tests replaces these four and nothing else: the members that it crashes, partitions and stalls run the production code.
package node
