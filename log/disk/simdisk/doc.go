// Package simdisk is a simulated disk in memory, which forgets unsynced data: the file system of tests.
//
// For each file, a [Disk] keeps the durable bytes and, in order, the operations that are not durable yet. Directory
// entries and sizes have unsynced operations of their own. [Disk.Crash] applies one of the fates of package disk's rule 4
// to these operations, chosen by a seed. [Disk.Kill] ends only the process and keeps the page cache. The n-th call can be
// made to fail, space can run out, a bit can rot, and every call can be traced as a line of text.
//
// A simulator gives disk calls a duration by a [Batch]. Its calls take effect at once for the actor that made them.
// Until Finish, a crash may still undo them, including syncs.
package simdisk
