// Package backuprun keeps a backup of a running cluster up to date: the loop of `qkv backup run`, and of a member with --backup.
//
// A [Run] makes a base of a member's newest snapshot and the parts that the backup lacks, and then appends every committed entry of the log
// to the backup (package snapshot/backup). After every interval it makes a new base, and removes data that is older than allowed. A
// [Source] is the member that is read: over the network, or in the same process.
//
// The run ends with its context, or with an error that only another configuration can help. After any other error it closes the backup,
// opens the next source and the folder again, and goes on where the backup ends. A slow or failing folder therefore delays only the run.
// Its memory is bounded: a few blocks of a file of a base, or one part of the log (limits.BackupLogBytes).
package backuprun
