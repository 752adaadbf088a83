// Package migrate reads what an etcd has: the file of a snapshot, and a running cluster through its API. It makes of it the commands
// with which a state takes over the source's revisions as they are (package index, "Following"), and knows nothing of where these go.
//
//	File     a snapshot's file, of etcd 3.4 to 3.7 or of qkv: opened, checked, and its records in their order
//	Feed     records to commands, whole revisions as far as they fit
//	Source   a member of a running etcd, or qkv's port for etcd's clients; Group is several of one cluster
//	Live     follows a running etcd: its snapshot, its watch, its leases, what it compacts; and the cut over
//
// # A file
//
// A file is trusted as far as its SHA-256 goes, which `etcdctl snapshot save` has put behind it; without one nothing is. What it says
// is checked all the same: order and gaps of the revisions, keys and versions, and by the state what follows what. It is read through
// a memory map, in the order of its revisions, so that a large one needs no memory of its own but 8 bytes for each key that has a
// version at or below the compacted revision.
//
// Of what etcd has compacted but not dropped yet only what it would keep is taken: of each key the newest version, and no tombstone
// but one of the compacted revision itself.
//
// What qkv cannot hold is listed, all of it, before anything is made of the file.
//
// # A running etcd
//
// How far a cluster follows stands in its replicated state alone: the place of the newest record, and whether the snapshot is
// loaded. Each stage begins with asking for it, and each command says behind which record it comes, so that a kill of the
// sender, a leader that goes or an answer that is lost needs nothing but another look.
//
// No watch tells of leases and compactions: they are looked at once a second, or less often where that takes long. A lease that
// a record has and nobody knows is granted by the state for a while, and gets its TTL, or goes, with the next look. The end
// needs all of it at one revision: the leases, the compacted revision, the hash of both sides, and that the source is still
// there.
//
// Invariants:
//
//  1. Nothing is sent of a revision before all before it were taken.
//  2. What ends the following was preceded by equal hashes at the source's newest revision.
package migrate
