// Package etcd is a member's endpoint for etcd's clients: the gRPC API of etcd 3.7 on TCP, at the address at which the native
// endpoint has UDP. It translates. It holds no state of the store and adds nothing to what the member can do: requests become
// those of package kv, what the member answers becomes etcd's messages, and errors get the codes and texts that clients of
// etcd compare.
//
// # How a request goes
//
//	connection ──► port: TLS or none, gRPC or HTTP/1.1, told apart once
//	                │
//	                ├─► gRPC ──► handler: checks, translation ──► calls: batches of all that waits ──► Member
//	                │               ▲                                                                    │
//	                │               └── answer, encoded from a View ◄─────────── Complete ◄──────────────┘
//	                └─► HTTP ──► web.go: /health, /livez, /readyz, /version, /metrics; gateway.go: /v3/
//
// gRPC has a goroutine for each request. What these ask of the member is collected ([calls]) and handed over as one proposal of
// all writes, and one confirmation of all linearizable reads, as the native endpoint does with the frames that came together.
// Answers that hold keys and values are encoded here (message.go), straight from the View: large ones in pieces, without a copy
// in between.
//
// Reads that may look at many keys are read in turns, as on the native endpoint ([turns]). Etcd has no pages: a range is one
// message, read from one View, whose size limits.EtcdAnswerBytes bounds. A large one is only measured at first, and encoded as it is
// written (later.go): who does not read costs a piece of it. A stream of a range pins its revision with the first
// chunk, and reads each chunk from the newest View: a slow client keeps no old state in memory.
//
// What cannot be read twice is in memory as a whole: what is sorted or filtered, and answers of transactions. All of those together
// have limits.EtcdBuiltBytes (room.go). What has no place waits, for as long as a request may last, and who has one and does not take
// its answer is closed in favour of those who wait.
//
// # A snapshot
//
// etcdctl's snapshot is the file that a member of etcd would have (snapshot.go draws its buckets): written from one View to a
// folder in the data folder, in transactions of limits.EtcdSnapshotBytes with a rest behind each, and deleted before it is sent, so
// that only the open file is left of it. It is refused where the disk has not room enough beside the log.
//
// # What clients hold
//
// gRPC bounds neither what the beginnings of messages take on all streams of a connection, nor the answers that nobody reads. Here
// each connection's bytes are looked at as they pass (memory.go): streams that are open or not answered, their metadata and data, and
// answers until they are written. A stream of watches whose answers wait is not read. When all hold more than limits.EtcdBytes, the
// connection that holds most is closed, which is never one that sends and reads. While more than limits.EtcdServed requests are
// served, or more bytes of them than limits.EtcdServedBytes, a connection that has many of them is read slower, so that others do not
// stand behind all that it can ask at once (served.go). The parts of a transaction are counted before it is decoded (parts.go).
// A stream that its client resets holds nothing any more, and has cost what a request costs: all clients together may reset so many a
// second, in fair parts, and who does more is read slower (resets.go). Who waits for a lock or an election has one of limits.EtcdLocks
// places, of which a host gets no more than are left. What waits for the member, watches and their events have bounds of their own.
//
// # JSON
//
// At /v3/ there is etcd's JSON gateway (gateway.go): the code that etcd's module of messages has for it, and the library that this
// needs, which brings little beside itself. An own translation would be that table again, written by hand. It calls the same
// handlers in this process, without a connection to itself.
//
// # Metrics
//
// What the endpoint does is counted where it happens (metrics.go), by counters of Prometheus' library that are found when it
// starts; what the member does is counted by its actors and its state without a library, and asked for when somebody looks
// ([Member].Metrics, collect.go). The registry is the server's own, so that two of them in one process do not meet. The library brings its
// formats and a reader of /proc, which are small; nothing of it has a goroutine.
//
// # What differs from etcd
//
// The differential test (net/etcd/compat) passes over these; its doc.go says which of them it does not send:
//
//	keys over limits.KeyBytes      "request is too large"
//	Compact(0) on a fresh store    compacted, where etcd succeeds once
//	keys_only                      keeps the lease, which etcd 3.7.3 loses
//	a transaction that compares    is "too many operations" past limits.TxnRows of them, or as many as there are
//	  and deletes many keys
//	a range that takes long to     goes on from a newer state, and may then be one that was compacted; one that is
//	  read                         sorted or filtered, and the answer of a transaction, ends. A write whose answer
//	                               is missing says that it was done
//	ties of a sort                 come in the order of the keys
//	a stream with a sort target    is sorted chunk by chunk, as in etcd, and whole; etcd goes on behind the last pair of a
//	  and no order                 sorted chunk, so that of more than ten keys some come twice or never
//	a request that is too large    "request is too large", whatever else is wrong with it
//	HashKV of a revision that      is computed as for any other; etcd answers with what it noted when it compacted
//	  was compacted up to
//	prev_kv of an event at the     is there, on all members; etcd's is gone
//	  compacted revision
//	CORRUPT of a member            has that member answer "corrupt cluster" and be not ready; in etcd all members do, since
//	                               nobody knows who is right
//	a learner that reaches no      answers "no leader": it may have been promoted, and etcd's learner goes by what it knew
//	  leader
//	progress of a stream with a    comes when the future has come; etcd's never does
//	  watch of the future
//
// # Who may come in
//
// With TLS whoever may come to the native endpoint: the same certificates, looked at anew with each handshake. Connections
// without TLS are taken where the member has no certificates of its own, which is on loopback only, or where the operator said
// so. By etcd's own command line each address has TLS or has none, with certificates of etcd's kind (wire.FileTrust).
// Who comes without TLS to a member that does not take that, or in a full server, is told so in its own protocol.
//
// # Invariants
//
//  1. Complete never waits: each call has room for its outcome.
//  2. A call counts until the member has answered it, also when its client has gone.
//  3. Nothing that lies in a View's memory is used when the View is not reachable any more: what an answer holds is encoded
//     before. Nobody keeps a View for longer than limits.EtcdStall while more than limits.PagesRetired waits to be given back.
//  4. Long writes (limits.LongWriteRows) are handed to the member one after the other: each of them holds up all writes behind it.
//  5. A connection counts from its acceptance until it is closed, and until it has said what it is, it has
//     limits.EtcdHandshakeTimeout.
package etcd
