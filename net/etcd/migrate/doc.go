// Package migrate reads a source, which is an etcd: a snapshot file, or a running cluster through its API. From the source it makes
// commands with which a qkv state adopts the source's revisions unchanged (package index, "Following"). The caller decides where the
// commands go.
//
//	File     a snapshot file of etcd 3.4 to 3.7 or of qkv: opens and checks it, and reads its records in order
//	Feed     packs records into commands of bounded size, each of which says whether its last revision is complete
//	Source   a member of a running etcd, or qkv's port for etcd's clients; Group is several members of one cluster
//	Live     follows a running etcd: its snapshot, watch, leases and compactions; and the cutover
//
// # A file
//
// A file is trusted if it matches its SHA-256, which `etcdctl snapshot save` appends; a file without a SHA-256 is not trusted. The content
// is checked in any case: [File.Check] verifies keys, versions, and the order of the revisions without gaps, and the state verifies the
// sequence of records. The file is read through a memory map, in revision order. Even a large file needs only 8 bytes of memory for each
// key with a version at or below the compacted revision.
//
// Records that etcd has compacted but not yet dropped are filtered as etcd would: of each key only the newest version is adopted, and a
// tombstone only if it is from the compacted revision itself.
//
// The content that qkv cannot store is listed completely before any command is made.
//
// # A running etcd
//
// The progress of following is stored only in the cluster's replicated state: the position of the newest record, and whether the snapshot
// is loaded. Each stage first queries this progress, and each command names the record before it. After a kill of this process, a change of
// leader or a lost answer, it is therefore enough to query the progress and continue.
//
// Leases and compactions do not appear in a watch: they are polled once a second, or less often if polls take long. If a record has an
// unknown lease, the state grants the lease for a limited time. The next poll sets its TTL or removes it. The cutover requires that, at one
// revision, the leases, the compacted revision and the hashes of both sides are equal, and that the source is still reachable.
//
// Invariants:
//
//  1. A revision is sent only after all earlier revisions were accepted.
//  2. Following ends only after equal hashes at the source's newest revision.
package migrate
