// Package disk holds every file call of qkv: the interfaces [FS] and [File], and the real file system ([OS]). Package
// simdisk is the simulated disk of the tests.
//
// Paths are joined by slashes. Nothing else opens, writes, syncs, renames or removes a member's data (log, snapshots,
// small files, the lock). Every promise about the disk can therefore be tested by replacing one interface. Files
// without durability promises bypass this package: certificates, a snapshot file for etcd, files of the commands and of
// benchmarks.
//
// # What is assumed of a disk
//
//  1. Datasync returns without an error only when the bytes written before it, and as much metadata as it takes to read
//     them back, are on the medium. Sync adds the rest of the metadata.
//  2. A directory entry (made, renamed or removed) is durable only after SyncDir of its directory. Sync of a new file
//     does not make its entry durable.
//  3. Rename is atomic: after a crash the old name or the new name exists. Until SyncDir, either may.
//  4. Without a sync, any part of the written data may survive a crash, in any order, torn anywhere, or as zeros or
//     garbage inside the written range. Names and sizes may be lost independently of contents.
//  5. After a failed sync the pages count as clean: a second sync says nothing about them, and reads show data that is
//     not on the medium. A failed sync is therefore final, and DropCache comes before the first read after a restart.
//  6. Bytes that were synced and not written again do not change, except by bit rot, which the checksums of the formats
//     must find.
package disk
