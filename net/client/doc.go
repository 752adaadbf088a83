// Package client is qkv's client library for Go: one [Client] for a whole cluster, over QUIC, always encrypted.
//
//	c, err := client.Open(ctx, client.Config{Endpoints: []string{"10.0.0.1:2379", "10.0.0.2:2379"}, Credentials: credentials})
//	defer c.Close()
//	_, err = c.Put(ctx, []byte("greeting"), []byte("hello"))
//	pair, found, err := c.Get(ctx, []byte("greeting"))
//
// Credentials come from a folder of certificates ([LoadCredentials]) or, on a member's own host, from the local CA ([LocalCredentials]).
//
// Requests and answers are the types of package index/kv: [kv.Range], [kv.Txn], [kv.KeyValue], [kv.Error] with its [kv.Code]. Its page says
// which of its names applications use. Package clienttest gives an application's tests a member in memory. `go doc -http ./net/client`
// shows examples of each part: a watch, transactions, leases, locks, elections, reads of the past, and writes that happen exactly once.
//
// Times to live and timeouts are of type [time.Duration]. A key has at most 32 KiB, and the request of a write at most 1.5 MiB, unless the
// members' --max-request-bytes says otherwise. The first write of a store has revision 2, and each later one the next revision.
//
// # Concurrency
//
// A Client is safe for any number of goroutines, and a program needs only one: thousands of callers share one connection, and their
// requests are coalesced into few packets. A call has no goroutine of its own inside the client. Programs that keep many requests under way
// from few goroutines use [Client.PutAsync] and [Client.GetAsync]. A [Mutex], an [Election] and the reading side of a [Watcher] are for one
// goroutine at a time; all other types here are for any number.
//
// Concurrent calls have no order between them. A call that begins after another call has returned sees its effect, unless it is
// serializable. That also holds for the calls of other clients. These are serializable: reads that ask for it, [Client.Leases], and
// [Admin.Status]. A watch is not a read: it may begin at a member that lags.
//
// # Endpoints and failover
//
// A client begins with a random endpoint, which spreads many clients over the members, or with the first endpoint (Config.InOrder).
// Endpoints are dialled 200 ms apart, or as soon as the earlier ones have failed. The client uses the first endpoint that answers; a member
// that is starting has to wait for the others, 200 ms each. It keeps
// the other endpoints, and the endpoints that the member reports, for failover; endpoints known to be a member's come first. After half a
// minute or more, the client returns to the endpoint that it began with, if that serves again. If all endpoints have failed, the client
// pauses for 0.1 to 1 s before the next round. While all members refuse the client's certificate, it dials once in 1 to 15 s, and calls
// fail at once in between.
//
// The client switches to another member in three cases: the connection breaks; the member reports that it cannot serve; or the member's
// host answers no packet while calls are under way. It waits for eight times the lateness of earlier answers, 125 ms to half a second, or
// four round trips, if that is more; half a second until a connection has had 40 answers. Before it gives up a silent member,
// the client sends it a request, and probes whether the host's port is still open. Each connection has a UDP port of its own.
//
// The members may change while the client runs. The client asks for them on each new connection, and its member pushes every change at
// once. So an idle client, too, finds added members and forgets removed ones. The configured endpoints stay, because the client may need
// one of them to find the others again. With Config.NoDiscovery it uses only the configured endpoints.
//
// # Failures and retries
//
//	failure                                                 read             write
//	no connection, or it broke before the request was sent  retried          retried
//	the member ended the stream instead of an answer        retried          retried
//	the connection broke after the request was sent         retried          retried, in doubt
//	the member reset the stream after that                  retried          retried, in doubt
//	the member does not answer in its part of the time      retried          retried, in doubt
//	the member is late, and says that it has no leader, is
//	starting or does not apply committed entries            -                retried, in doubt
//	the member: Unavailable, Overloaded, Amnesia, Corrupt,
//	Removed, AuthOld                                        retried          retried
//	the member: BadToken (the login has ended)              retried once after another login
//	the member: Unknown                                     retried          retried, in doubt
//	the member: Internal                                    Error            retried, in doubt
//	the member: AnswerTooLarge, AnswerGone                  Error            Error, certainly happened
//	the member: NameEnded                                   -                retried under another name,
//	                                                                         or OutcomeUnknownError when in doubt
//	the member: any other error                             Error            Error, certainly not happened; if in doubt, and the error
//	                                                                         depends on this member, retried
//	the login is refused                                    Error            Error, certainly not happened
//	another cluster is in place of the client's             UnavailableError UnavailableError, certainly not happened,
//	(ErrClusterReplaced); watches and leases end with it                     or OutcomeUnknownError when sent or in doubt
//	the deadline passed                                     UnavailableError UnavailableError, certainly not happened,
//	                                                                         or OutcomeUnknownError when sent or in doubt
//	the context was canceled                                its cause        its cause, certainly not happened,
//	                                                                         or OutcomeUnknownError when sent or in doubt
//	the client was closed                                   ErrClosed        ErrClosed, certainly not happened,
//	                                                                         or OutcomeUnknownError when sent or in doubt
//
// A write is in doubt when an attempt of it may have happened. It is retried nevertheless, because it is idempotent: the members
// know it by its name. It is applied once, and every retry is answered with the outcome of that application,
// including errors. So an outcome is unknown only if no member that knows it could be reached before the deadline. A retry reads
// the reads of a transaction, and previous values, from the history again; if that history is compacted, the result is an Error
// with the code AnswerGone, and the write was applied. Changes of the members and of the leader have no name, and with
// Config.NoNames no write has one. If such a write is in doubt, it ends with an OutcomeUnknownError. The backoff before a retry is
// 5 to 250 ms, longer each time.
//
// # Errors
//
// The error says whether a write has happened. The first row that fits counts:
//
//	err == nil                                      it has happened
//	errors.Is(err, ErrOutcomeUnknown)               it may have happened, or may happen yet: the text says which question tells
//	errors.Is(err, ErrUnavailable)                  it has not happened and will not: call again later
//	kv.Error with AnswerTooLarge or AnswerGone      it has happened; only its answer is missing: read the keys
//	kv.Error with any other code                    it has not happened and will not: call again only if the code's reason has changed
//	a context's cause, ErrClosed, ErrOverloaded     it has not happened and will not
//
// An [UnavailableError] lists the reason of each endpoint. Use errors.Is for errors that come from a context: context.DeadlineExceeded,
// context.Canceled, or the cause. Ask for a [kv.Error] with errors.As only after ErrOutcomeUnknown and ErrUnavailable: both can contain a
// member's answer. The example Errors shows the order. These codes come, and their texts name numbers and remedies:
//
//	every call              NotAllowed, UserEmpty, AuthFailed: an administrator must add or permit the user, see Config.User
//	                        FeatureLevel: upgrade all members first. Internal: a fault of a member; a read may help elsewhere
//	every write of keys     NoSpace: delete keys, compact, or raise the quota. Deletions, revocations and compactions are accepted
//	every key               EmptyKey, KeyTooLarge, ValueTooLarge
//	Put                     LeaseNotFound; KeyNotFound, ValueProvided, LeaseProvided for a put that keeps the value or the lease
//	Range, Pages, Txn       Compacted: read a newer revision. FutureRevision. AnswerTooLarge, InvalidSort, BadRequest
//	Txn                     DuplicateKey, TooManyOperations, and the codes of its operations
//	Watch, Next             a CompactedError, BadRequest for an empty range, Overloaded for too many watches of one connection
//	Grant, Revoke, Renew    LeaseExists, LeaseTooLong, LeaseNotFound
//	Compact                 Compacted: it is compacted already. FutureRevision
//
// The methods of [Admin] name their codes.
//
// # Contexts
//
// A call ends at its context's deadline, or after Config.Timeout (5 s) if the context has none, and at once when the context is canceled.
// There are three exceptions. Iterators, calls that read in pages, and [Admin.WaitDropped] may take Config.Timeout for each request. A
// watch, once begun, and the calls of locks and elections wait as long as their context lasts. Requests to one given endpoint, as by
// [Admin.Status], take Config.Timeout at most.
//
// The client sends the member the remaining time, less a margin. If there are several endpoints, one attempt gets half of the remaining
// time, which leaves time for another endpoint. An attempt to read one key gets one second, until every endpoint was tried. A write with a
// name may take all of the time at its member. It is also sent elsewhere when half of the time has passed, or when the member reports that
// it is not healthy. The client asks the member for its health once a second, after the write has waited for two seconds. On slow disks,
// early retries elsewhere would make all writes slower still.
//
// If a call ends early, a request that was already sent is not canceled: a write may still happen. A request that was not sent is dropped,
// with its key and value.
//
// # Ranges
//
// A range is all keys from Key up to End, without End: [Prefix] and [From] give the End. [Client.Range] returns
// a whole range, however large, from one revision. [Client.Pages] returns it in pages of up to 2 MiB, for ranges
// that should not be in memory at once. The pages after the first come on a stream of their own, with backpressure. If the caller does not
// read for 30 s, the member ends the stream, and the client requests the rest again. No compaction overtakes the stream for a minute. After
// that, or when the range continues at another member, the next page may be an Error with the code Compacted.
//
// # Watches
//
//	w, err := c.Watch(ctx, kv.Watch{Key: []byte("config/"), End: client.Prefix([]byte("config/"))})
//	for response, err := range w.All() { ... }
//
// [Client.Watch] returns when a member has registered the watch. The watch delivers every later write: each event once, in order, and all
// events of one revision together. It ends with its context, not with Config.Timeout. If the connection is lost, or the member has no
// leader, all watches are resumed at another member, each after its last delivery. A silent member is probed after two seconds. A later
// process of the program resumes with Watch.Revision, one above the last [WatchResponse.Revision].
//
// All watches of a client share one stream. A watch whose events are not read does not block the others: beyond 1 MiB of unread events the
// client cancels it at the member, and resumes it when the events are read. If a watch lags until its changes are compacted, it ends with a
// [CompactedError]. A watch that a member refuses ends with that [kv.Error].
//
// # Transactions
//
// [Client.Txn] makes an atomic transaction. Its comparisons with the state before it decide which of two lists of operations is applied.
// All its changes have one revision. A transaction that only reads is a read in the table above, others are writes.
//
//	outcome, err := c.Txn(ctx, kv.Txn{
//		Compares: []kv.Compare{{Key: key, Target: kv.CompareMod, Number: seen.ModRevision}},
//		Success:  []kv.Op{{Put: &kv.Put{Key: key, Value: value}}},
//		Failure:  []kv.Op{{Range: &kv.Range{Key: key}}},
//	})
//
// # Operators
//
// [Client.Admin] has what an operator needs: members, users and roles, compactions, backups, and the state of each member.
// [Client.Members] lists the members. [Admin.AddMember], [Admin.PromoteMember], [Admin.RemoveMember] and [Admin.UpdateMember]
// change them, and [Admin.MoveLeader] moves the leader: these are writes in the table above.
//
// # Leases
//
// [Client.Grant] makes a lease, and a key that is put with it lives as long as the lease. The lease ends with [Client.Revoke], or
// when its TTL has passed since the last call of [Client.Grant] or [Client.Renew]. [Client.KeepAlive] renews a lease in the
// background, and reports its loss. Keep-alives are retried like reads, and do not wait for writes.
//
// # Locks and elections
//
//	s, err := client.NewLockSession(ctx, c, client.LockSessionOptions{TTL: 10 * time.Second})
//	defer s.Close(ctx)
//
//	m := client.NewMutex(s, "jobs/nightly")
//	err = m.Lock(ctx)
//	storage.Write(m.Token(), data)
//	err = m.Unlock(ctx)
//
// A [LockSession] is a lease with keep-alives. Its locks and leaderships are released when it ends, about a TTL after its process has died;
// a change of the leader meanwhile adds to that. [LockSession.Done] is closed when the lease has ended or may have ended: another lock
// session may then hold the locks.
//
// A distributed lock cannot stop its holder from continuing for a while after the lock was lost: a process may have been paused, and cannot
// know for how long. So each holder has a fencing token, [Mutex.Token] or [Election.Token], which is larger than the tokens of all earlier
// holders. The protected resource should refuse a token below the largest that it has seen. If the protected data is in qkv itself, write
// it by transactions that compare [Mutex.Guard].
//
// The keys are those of etcd's recipes: etcd's clients and this package exclude each other (package internal/election). A lock and an
// election of one name exclude each other, too. The calls wait for as long as their context and the lock session last, through failover and
// changes of the members: Config.Timeout does not bound them.
//
// # Stability
//
// Stable are this package, package clienttest, and what the page of package index/kv lists for applications. A program that compiles
// against a version compiles against all later ones of the same major version, and the codes of errors keep their numbers. Fields and
// methods may be added: give literals of structs with names of fields, and implement no interface of this package but [Credentials].
//
// Experimental are the calls that serve qkv's own tools: [Admin.BackUpNow] and [Admin.Usage]. They may change in any version, and CHANGELOG.md says how.
//
// A stable name that has a better one is marked with a paragraph that begins with "Deprecated:" and names the other. It goes on working
// until the next major version. CHANGELOG.md lists both steps.
//
// # UDP buffers
//
// quic-go asks the system for UDP buffers of 7 MiB and says so on standard error, once, when it gets less (on Linux: sysctl
// net.core.rmem_max and wmem_max). QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING=true in the environment silences it.
package client
