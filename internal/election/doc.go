// Package election is the recipe by which one of many that want a name has it: a lock's holder, an election's leader. It is
// etcd's own, key for key, so that users of etcd's libraries and qkv's exclude each other. It needs no more of a store
// than [Store] says, and has no goroutine: the Go client and the etcd endpoint run the same steps.
//
// # The recipe
//
// Who wants the name puts a key of its own under it, which lives as long as its lease:
//
//	NAME/LEASE        the lease's id in hexadecimal digits; the value is an election's proposal, and a lock's is empty
//
// The keys are a line in the order of their create revisions. Its first one has the name. Everybody else waits until the key
// just before its own is deleted, and then looks again, so that one deletion wakes one waiter.
//
// The rules:
//
//  1. Who has the name is decided in one linearizable transaction, which compares the key's create revision, its lease, and
//     the create revisions of the whole line. A key that went with its lease meanwhile is no owner's (Jepsen's finding in
//     etcd 3.4: the lease was not looked at after the wait).
//  2. A key's create revision is its fencing token: of two that have the name one after the other, the later one has the
//     larger token. What the name protects must refuse tokens below the largest that it has seen, since who has lost the name
//     may not know yet. What it protects in the store itself compares the create revision of the key ([Candidate.Guard]).
//  3. Every transaction can be made again when its outcome is unknown.
package election
