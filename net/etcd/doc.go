// Package etcd is a member's endpoint for etcd's clients: the gRPC API of etcd 3.7 over TCP, at the address where the native endpoint has
// UDP. The package only translates. Requests become those of package kv, the member's answers become etcd's messages, and errors get the
// codes and texts that etcd's clients compare. It holds no state of the store.
//
// # The path of a request
//
//	connection ──► port: TLS or plain text, gRPC or HTTP/1.1, detected once
//	                │
//	                ├─► gRPC ──► handler: checks, translation ──► calls: batches of waiting calls ────► Member
//	                │               ▲                                                                    │
//	                │               └── answer, encoded from a View ◄─────────── Complete ◄──────────────┘
//	                └─► HTTP ──► web.go: /health, /livez, /readyz, /version, /metrics; gateway.go: /v3/
//
// gRPC runs a goroutine for each request. Type calls ([calls]) collects their calls to the member. All collected writes become one
// proposal and all linearizable reads share one confirmation, like the frames that reach the native endpoint together. Answers with keys
// and values are encoded here (message.go) straight from the View. Large answers are encoded in pieces, without an intermediate copy.
//
// Reads that may visit many keys take turns, as on the native endpoint ([admit.FairQueue]). etcd has no pages: a range is one message, read
// from one View, and limits.EtcdAnswerBytes bounds its size. A large range is only measured at first and encoded while it is written
// (deferredanswer.go), thus a client that does not read costs one piece of it. A streamed range pins its revision with the first chunk and
// reads each chunk from the newest View: a slow client keeps no old state in memory.
//
// Some answers cannot be read twice: sorted or filtered ranges, and answers of transactions. These are held in memory as a whole, under
// one memory budget of limits.EtcdBuiltBytes (buffered.go). An answer that exceeds the remaining budget waits, at most for the timeout of a
// request. Meanwhile connections whose clients hold budget and do not take their answers are closed.
//
// # A snapshot
//
// The snapshot of etcdctl is the database file of an etcd member (snapshot.go draws its buckets). It is written from one View to a folder
// in the data folder, in transactions of limits.EtcdSnapshotBytes with a pause after each. The file is deleted before it is sent: only the
// open handle keeps it. A snapshot is refused if the disk has too little space for it and the log.
//
// # Memory that clients hold
//
// gRPC bounds neither the partial messages of a connection's streams nor the answers that a client does not read. This package therefore
// inspects each connection's bytes as they pass (front/account.go). It counts open and unanswered streams, their metadata and data, and
// answers until they are written. A watch stream whose answers wait is not read. When all connections hold more than limits.EtcdBytes, the
// connection that holds most is closed. A client that sends and reads never holds most.
//
// Requests in service are throttled, too (front/throttle.go). The thresholds are limits.EtcdServed requests and limits.EtcdServedBytes
// bytes of them. Above either, connections with many such requests are read more slowly: this prevents head-of-line blocking of other clients. The
// parts of a transaction are counted before it is decoded (txnparts.go).
//
// A stream that its client resets holds no memory, but has cost as much as a request. A rate limit bounds the resets of all clients per
// second, in fair shares; connections beyond it are read more slowly (front/resetlimit.go). A request that waits for a lock or an election
// takes one of limits.EtcdLocks slots; one host gets at most as many as are still free ([admit.FairSlots]). Calls that wait for the member,
// watches and their events have bounds of their own.
//
// # JSON
//
// The port serves etcd's JSON gateway at /v3/ (gateway.go), with the generated code of etcd's modules and the library that this code
// needs. The code for locks and elections is in the module of etcd's server; only its generated packages are linked. A translation written
// by hand would repeat their table. The gateway calls the gRPC handlers in this process, without a connection.
//
// # Metrics
//
// The endpoint counts its own events where they happen (metrics.go), with counters of Prometheus' library that are created at the start.
// The member's figures are kept by its actors and its state without a library, and collected at each scrape ([Member].Metrics,
// collect.go). Each server has its own registry: two servers in one process do not conflict. The library brings its formats and a small
// reader of /proc; it starts no goroutine.
//
// # Differences from etcd
//
// The differential test (net/etcd/compat) allows for these; its doc.go lists the requests that it does not send:
//
//	keys over limits.KeyBytes      "request is too large"
//	Compact(0) on a fresh store    compacted, where etcd succeeds once
//	keys_only                      keeps the lease, which etcd 3.7.3 loses
//	a transaction that compares    is "too many operations" past limits.TxnRows of them, or as many as there are
//	  and deletes many keys
//	a range that takes long to     continues from a newer state, which may be compacted meanwhile; a sorted or filtered
//	  read                         range, and the answer of a transaction, ends instead. A write whose answer is
//	                               missing reports that it was done
//	ties of a sort                 come in key order
//	a stream with a sort target    is sorted chunk by chunk, as in etcd, and complete; etcd continues after the last pair
//	  and no order                 of a sorted chunk: of more than ten keys some come twice or never
//	a request that is too large    "request is too large", even if it has other faults
//	HashKV of a revision that      is computed like any other; etcd answers with the hash it stored at compaction
//	  was compacted up to
//	CORRUPT, found by comparison   makes that member answer "corrupt cluster" and not ready; in etcd all members do, since
//	                               etcd cannot tell which member is right
//	CORRUPT that a client raises   is listed, and its member is not ready, but still serves requests. It ends by a disarm,
//	                               or when the states of several members are compared and equal
//	an alarm without a member      is refused with NotFound; etcd accepts it
//	HEAD of /health, /version      is answered as GET without a body; etcd says 405
//	a learner that cannot reach    answers "no leader": it may have been promoted meanwhile; etcd's learner answers from
//	  the leader                   its own last knowledge
//	progress of a stream with a    is sent once the watched revision exists; etcd never sends it
//	  watch of a future revision
//
// # Access
//
// With TLS, clients need the same certificates as at the native endpoint; they are read anew at each handshake. Plain-text connections are
// accepted if the member has no certificates of its own, which is possible only on loopback, or if the operator allowed them. With etcd's
// own command line each address has TLS or has none, with certificates of etcd's kind (wire.FileTrust). A plain-text connection to a
// member that requires TLS, or to a full server, is refused with an answer in its own protocol.
//
// The metrics-only addresses share a port with a connection limit of its own (limits.EtcdMetricsConnections). If that port is full, a new
// connection immediately takes the place of an idle connection of any client (front.Port).
//
// # Pages in browsers
//
// A browser on a machine that reaches this port runs pages of any site (guard.go). Requests over HTTP are therefore refused if
// their Origin or Sec-Fetch-Site names another site, and at /v3/ if they have either header. --cors has no effect.
// Browsers alone send these headers: etcdctl, curl, Prometheus and probes are not concerned.
//
// Without TLS, the name in Host is checked against DNS rebinding. etcd has --host-whitelist for that, whose default is any name;
// given here, it means the same. Without the flag, addresses, names without a dot, the private top-level domains (localhost, local,
// internal, svc) and the names that the member advertises are always taken. Any other name is taken as in etcd, with two exceptions:
// on loopback, where no such name belongs, and from browsers by their User-Agent. A proxy on the member's own machine that keeps
// the Host of its clients needs the flag. Names without a dot and private names are no protection where the local network's DNS or
// mDNS is hostile: it can give such a name to a page. There the flag, with the names in use, or TLS is needed.
//
// # Invariants
//
//  1. Complete never waits: each call has a buffered place for its outcome.
//  2. A call counts until the member has answered it, even if its client has gone.
//  3. Memory of a View is never used after the View becomes unreachable: an answer is encoded before that. While more than
//     limits.PagesRetired bytes wait to be released, no reader keeps a View for longer than limits.EtcdStall.
//  4. Long writes (limits.LongWriteRows) go to the member one after the other: each of them delays all writes after it.
//  5. A connection counts from its acceptance until it is closed. It must identify its protocol within limits.EtcdHandshakeTimeout.
package etcd
