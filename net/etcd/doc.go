// Package etcd is a member's endpoint for etcd's clients: the gRPC API of etcd 3.7 over TCP, at the same address and port number as the
// native endpoint over UDP. The package only translates. Requests become requests of package kv, the member's answers become etcd's
// messages, and errors get the codes and texts that etcd's clients compare. The package holds no state of the store.
//
// # The path of a request
//
//	connection ──► port: TLS or plain text, gRPC or HTTP/1.1, detected once
//	                │
//	                ├─► HTTP/2 ► h2 ─┬─► handler: checks, translation ─┬─► calls: batches of waiting calls ► Member
//	                │                ├─► batched: plain requests ──────┘                                      │
//	                │                └── answer, encoded from a View ◄──────── calls.Complete ◄───────────────┘
//	                └─► HTTP/1.1 ► net/web: /health, /livez, /readyz, /version, /metrics; gateway.go: /v3/
//
// A member that takes no part in the cluster, or has not started yet, serves no gRPC (Server.begin): an etcd client stays with a connection
// whose requests fail, and uses other members if HTTP/2 does not begin. HTTP/1.1 stays, for probes and metrics.
//
// Each gRPC service is a type of its own, with one method for each RPC; Server.services lists them all. Type core is what they share: the
// configuration, the way to the member, and the bounds on requests.
//
// Package net/etcd/h2 serves gRPC, and gives other requests over HTTP/2 to the pages. While authentication is off, plain requests have no
// goroutine: puts, gets and deletions of one key without options, and small transactions that write. Their connection's reader translates
// them, and they are answered together (batched.go). Every other request has a goroutine, its handler, which [method] wraps in the checks
// of all RPCs: the member's start, the user, and the audit log. Type [calls] collects what all requests ask of the member: waiting writes
// become one proposal, and linearizable reads share one confirmation, as at the native endpoint. Answers with keys and values are encoded
// by hand (message.go), straight from the View. Large answers are encoded in pieces, without an intermediate copy.
//
// Reads that may visit many keys take turns, as on the native endpoint ([admit.FairQueue]). etcd's API has no pages: the answer to a range
// is one message of one revision, and etcdAnswerBytes bounds its size. For a large range, the first read only measures the answer.
// The answer is encoded while gRPC writes it (deferredanswer.go): a client that does not read costs the memory of one piece. A streamed
// range (RangeStream) pins its revision with the first chunk and reads each chunk from the newest View. A slow client therefore keeps no
// old state in memory.
//
// Some answers cannot be read twice: sorted or filtered ranges, and answers of transactions. These are held in memory
// as a whole, under one memory budget of limits.EtcdBuiltBytes (buffered.go). An answer that exceeds the remaining
// budget waits, at most for the timeout of a request. Meanwhile connections that hold budget, but do not read their
// answers, are closed ([admit.Budget]). Values may be in files, and take memory when they are read. The first read only
// measures such values: their size is known. The values are read once, when the memory is reserved, or while a large range
// is written. A handler may wait for the disk; a connection's reader, and the goroutine that answers batched requests, may not.
//
// # A snapshot
//
// The snapshot that etcdctl saves is an etcd member's database file, in bbolt's format (snapshot.go shows its buckets). The endpoint writes
// it from one View to a folder in the data folder, in transactions of etcdSnapshotBytes with a pause after each. The file is deleted
// before it is sent: only the open handle keeps it. A snapshot is refused if the disk has too little space for it and the log.
//
// # Memory that clients hold
//
// A connection's streams may hold partial messages, and answers that the client does not read. The connection's
// account, the ledger of package h2, counts open and unanswered streams, their metadata and data, and answers until
// they are written (front/account.go). While too many answers of a watch stream wait, its requests are not read. When
// all connections together hold more than limits.EtcdBytes, the largest connection of the client that holds most is
// closed; a client is an address, with all its connections. A client that completes its requests and reads its answers
// holds little, and keeps its connections.
//
// Requests in service (complete, and not yet answered) are throttled, too (front/throttle.go). If there are more than 4096, or
// if they have more than 32 MiB together, clients with many of them are read more slowly. This prevents
// head-of-line blocking of other clients. The parts of a transaction, its comparisons and operations, are counted before it is decoded
// (txnparts.go): they take up to 200 times their encoded size.
//
// A stream that is reset holds no memory, but has cost as much as a request. A rate limit bounds the resets of all clients per
// second, in fair shares; a connection that exceeds its share is read more slowly (front/resetlimit.go). A request that waits for a lock or
// an election takes one of limits.EtcdLocks slots; one host holds at most as many slots as are still free ([admit.FairSlots]). Calls that
// wait for the member, watches and their events have bounds of their own.
//
// # JSON
//
// The port serves etcd's JSON gateway at /v3/ (gateway.go). It uses the code generated in etcd's modules, and the library that this code
// needs (grpc-gateway). The code for locks and elections is in the module of etcd's server; only its generated packages are linked. A
// gateway written by hand would repeat the table of paths in that code. The gateway calls the gRPC handlers in this process, without a
// connection.
//
// # Metrics
//
// The endpoint counts its own events where they happen (metrics.go), with counters of Prometheus' library that are created at the start.
// The member's figures are kept by its actors and its state without that library, and collected at each scrape ([Member].Metrics,
// collect.go). Each [Server] has its own registry: two servers in one process do not conflict. The library adds its formats and a small
// reader of /proc; it starts no goroutine.
//
// # Differences from etcd
//
// The left column is a request or a condition, the right one qkv's behavior. The differential test (net/etcd/compat) allows for these
// differences; its doc.go lists the requests that it does not send.
//
//	key over limits.KeyBytes       refused with "request is too large"
//	Compact(0) on a fresh store    refused as compacted; in etcd it succeeds once
//	keys_only                      keeps the lease in the answer, which etcd 3.7.3 loses
//	transaction that compares and  refused with "too many operations" if its ranges cover more than limits.TxnRows keys, and more
//	  deletes many keys by range   than all existing keys
//	range that takes long to read  continues from a newer state, and ends if its revision was compacted meanwhile. A sorted or
//	                               filtered range, and the answer of a transaction, fails instead; the error for a write says that
//	                               the write was done
//	ties of a sort                 come in key order
//	stream with a sort target      each chunk is sorted by itself, as in etcd, and the stream is complete. etcd continues after the
//	  and no order                 last pair of a sorted chunk: of more than ten keys some come twice or never
//	request that is too large      refused with "request is too large", even if it has other faults
//	HashKV of the compacted        is computed like any other; etcd answers with the hash that it stored at the compaction
//	  revision
//	CORRUPT, found by comparing    the member that differs answers "corrupt cluster", and is not ready; in etcd all members do,
//	  the members' states          since etcd cannot tell which member is right
//	CORRUPT, raised by a client    is listed, and its member is not ready, but still serves requests. The alarm ends by a disarm,
//	                               or when the states of several members are compared and equal
//	alarm without a member         refused with NotFound; etcd accepts it
//	HEAD of /health, /version      answered as GET without a body; etcd answers 405
//	learner that cannot reach      answers "no leader", because it may have been promoted meanwhile; etcd's learner answers from
//	  the leader                   its last knowledge
//	progress request on a stream   answered once the watched revision exists; etcd never answers it
//	  that watches a future revision
//
// # Access
//
// With TLS, clients need the same certificates as at the native endpoint; changed files are used from the next handshake on. Plain-text
// connections are accepted if the member has no certificates of its own, which is possible only on loopback, or if the operator allowed
// them. If the member was started with etcd's command line, each address has TLS or plain text, with certificates of etcd's kind
// (wire.FileTrust). A plain-text connection to a member that requires TLS, or to a full port, is refused with an answer in its own
// protocol.
//
// The addresses of metrics and those of the dashboard have a [front.Port] each, with a connection limit of its own. If it is full, a new
// connection immediately evicts an idle connection of any client.
//
// # Users
//
// While authentication is enabled, each RPC needs what its class says (access.go). The caller is known by a token, or else by the name in
// its certificate, but not through a gateway (identity.go). A read is checked in the View that answers it, and a write when it is applied.
// If users or roles change in between, the write is proposed again. The section "Users and roles" of docs/etcd.md has the differences from
// etcd.
//
// # Invariants
//
//  1. [calls].Complete never waits: each call has a channel with a buffer for its one outcome, or is handed to [batched].
//  2. A call counts against the limit of calls until the member has answered it, even if its client has gone.
//  3. Memory of a View is never used after the View becomes unreachable: an answer is encoded before that. While Views keep more than
//     limits.PagesRetired bytes from being freed, no reader keeps a View for longer than limits.EtcdStall.
//  4. Long writes (limits.LongWriteRows) go to the member one after the other: each of them delays all writes after it.
//  5. A connection counts against the limit from its acceptance until it is closed. It must identify its protocol within
//     limits.EtcdHandshakeTimeout.
package etcd
