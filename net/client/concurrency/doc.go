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
// A [Session] is a lease that is kept alive; what it holds is given up when it ends, at the latest a TTL after its process has
// died. [Session.Done] is closed when the lease has ended, or may have: what the session held may be another one's then.
//
// No lock over a network can keep its holder from going on for a while after it was lost: a process stands still, and does not
// know for how long. So each holder has a fencing token, [Mutex.Token] or [Election.Token], which is larger than those of all
// before it. What the lock protects should refuse a token below the largest that it has seen. What it protects in qkv itself is
// written by transactions that compare [Mutex.Guard].
//
// The keys are those of etcd's recipes, so that its clients and this package's exclude each other: package internal/election.
// The calls wait for as long as their context and the session last, through members that come and go.
package concurrency
