// Package disk is every file call that qkv makes: [FS] and [File], the real ones ([OS]), and [Mem], a disk that
// forgets.
//
// Paths are joined by slashes. Nothing else opens, writes, syncs, renames or removes what a member's data are made of (log,
// snapshots, small files, the lock), so that every promise about the disk can be tested by replacing this package's one interface.
// What nothing is promised of goes past it: certificates, the file of a snapshot for etcd, files of the commands and of benchmarks.
//
// # What is assumed of a disk
//
//  1. Datasync returns without an error only when the bytes written before it, and as much metadata as it takes to
//     read them back, are on the medium. Sync adds the rest of the metadata.
//  2. A directory entry (made, renamed or removed) is durable only after SyncDir of its directory. Sync of a new file
//     does not make its entry durable.
//  3. Rename is atomic: after a crash the old name or the new name is there, or, until SyncDir, either.
//  4. Without a sync, any part of what was written may survive a crash, in any order, torn anywhere, or as zeros or
//     garbage inside the range that was written; names and sizes may be lost independently of contents.
//  5. After a failed sync the pages count as clean: a second sync says nothing about them, and reads show what is not
//     on the medium. So a failed sync is final, and DropCache comes before the first read after a restart.
//  6. Bytes that were synced and not written again do not change, except by rot, which checksums above must find.
//
// # The disk that forgets
//
// Mem keeps, of each file, the bytes that are durable and the operations that are not yet, in order; directory entries
// and sizes have unsynced operations of their own. [Mem.Crash] makes the operations meet one of the fates of rule 4 by
// a seed; [Mem.Kill] ends the process only and keeps the page cache. The n-th call can be made to fail, space can run
// out, a bit can rot, and every call can be written down as a line of text.
//
// A simulator gives disk calls a duration by a [Batch]: its calls take effect at once for who made them, but until
// Finish they may turn out not to have happened, syncs included.
package disk
