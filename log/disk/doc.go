// Package disk is the file system of a member: the interfaces [FS] and [File], and the real file system ([OS]). Package
// simdisk is the simulated disk of the tests.
//
// Paths are joined by slashes. No other package opens, writes, syncs, renames or removes a member's data (log,
// snapshots, small files, the lock). Every durability guarantee can therefore be tested by replacing one interface.
// Files without such guarantees bypass this package: certificates, a snapshot file for etcd, files of the commands and
// of benchmarks.
//
// # Assumptions about a disk
//
//  1. Datasync returns without an error only when the bytes written before it, and the metadata needed to read them
//     back, are on the medium. Sync adds the rest of the metadata.
//  2. A directory entry (made, renamed or removed) is durable only after SyncDir of its directory. Sync of a new file
//     does not make its entry durable.
//  3. Rename is atomic: after a crash the old name or the new name exists. Until SyncDir, either may.
//  4. Without a sync, any part of the written data may survive a crash, in any order, torn anywhere, or as zeros or
//     garbage inside the written range. Names and sizes may be lost independently of contents.
//  5. After a failed sync the kernel marks the pages clean: a second sync may succeed without writing them, and reads
//     show data that is not on the medium. A failed sync is therefore final, and DropCache is called before the first
//     read after a restart.
//  6. Bytes that were synced and not written again do not change, except by bit rot, which the checksums of the formats
//     must find.
package disk
