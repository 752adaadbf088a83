// Package concurrency has locks and elections for programs that use net/client.
//
//	session, err := concurrency.NewSession(ctx, c, concurrency.Options{TTL: 10})
//	defer session.Close(ctx)
//
//	m := concurrency.NewMutex(session, "jobs/nightly")
//	err = m.Lock(ctx)
//	storage.Write(m.Token(), data)
//	err = m.Unlock(ctx)
//
// A [Session] is a lease with keep-alives. Its locks and leaderships are released when it ends, at the latest a TTL after its process has
// died. [Session.Done] is closed when the lease has ended or may have ended: another session may then hold the locks.
//
// A distributed lock cannot stop its holder from continuing for a while after the lock was lost: a process may have been paused, and cannot
// know for how long. So each holder has a fencing token, [Mutex.Token] or [Election.Token], which is larger than the tokens of all earlier
// holders. The protected resource should refuse a token below the largest that it has seen. If the protected data is in qkv itself, write
// it by transactions that compare [Mutex.Guard].
//
// The keys are those of etcd's recipes: etcd's clients and this package exclude each other (package internal/election). The calls
// wait for as long as their context and the session last, through failover and changes of the members.
package concurrency
