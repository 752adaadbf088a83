// Package election is the recipe by which one of many candidates owns a name: the holder of a lock, the leader of an
// election. It uses etcd's own keys, so users of etcd's libraries and users of qkv exclude each other. It needs only a
// [Store], and has no goroutine: the Go client and the etcd endpoint run the same steps.
//
// # The recipe
//
// A candidate puts a key of its own under the name, which lives as long as the candidate's lease:
//
//	NAME/LEASE        the lease's id in hexadecimal digits; the value is an election's proposal, and a lock's is empty
//
// The keys form a queue in the order of their create revisions. The first one owns the name. Every other candidate
// waits until the key just before its own is deleted, and then checks again. One deletion therefore wakes only one
// waiter.
//
// The rules:
//
//  1. One linearizable transaction decides ownership. It compares the key's create revision, its lease, and the create
//     revisions of the whole queue. A key that was deleted with its lease meanwhile owns nothing (Jepsen found that
//     etcd 3.4 did not check the lease after the wait).
//  2. A key's create revision is its fencing token: of two successive owners, the later one has the larger token. The
//     resource that the name protects must refuse tokens below the largest that it has seen, since a former owner may
//     not know yet that it lost the name. A resource in the store itself compares the create revision of the key
//     ([Candidate.Guard]).
//  3. Every transaction can be repeated if its outcome is unknown.
package election
