// Package migrate reads a source, which is an etcd: a snapshot file, or a running cluster through its API. From the source it builds a qkv
// state outside the log, with the source's revisions unchanged (package index, [index.Import]). The caller writes the state to a data folder.
//
//	File     a snapshot file of etcd 3.4 to 3.7 or of qkv: opens and checks it, and loads its records in order
//	Source   a member of a running etcd, or qkv's port for etcd's clients; Group is several members of one cluster
//	Live     follows a running etcd: its snapshot, watch and compactions; and the cutover
//
// # A file
//
// A file is trusted if it matches its SHA-256, which `etcdctl snapshot save` appends; a file without a SHA-256 is not trusted. The content
// is checked in any case: [File.Check] verifies keys, versions, and the order of the revisions without gaps, and the state verifies the
// sequence of records. The file is read through a memory map, in revision order. Even a large file needs only 8 bytes of memory for each
// key with a version at or below the compacted revision, in addition to the state.
//
// Records that etcd has compacted but not yet dropped are filtered as etcd would: of each key only the newest version is adopted, and a
// tombstone only if it is from the compacted revision itself.
//
// The content that qkv cannot store is listed completely before the state is built.
//
// # A running etcd
//
// The state is in the memory of this process until the cutover; a killed process begins again. If a connection is lost, the watch begins
// again after the newest complete revision.
//
// Compactions do not appear in a watch: they are polled once a second, or less often if polls take long. Leases and users do not appear
// there either, and are read at the cutover. Until then, a record's unknown lease has a TTL of an hour, which no clock counts. The cutover
// requires that, at one revision, the leases, the users, the compacted revision and the hashes of both sides are equal, and that the
// source is still reachable.
//
// Invariants:
//
//  1. A revision is added only as a whole, after all earlier revisions.
//  2. Following ends only after equal hashes at the source's newest revision.
package migrate
