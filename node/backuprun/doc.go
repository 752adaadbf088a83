// Package backuprun keeps a backup of a running cluster up to date: the loop of `qkv backup run`, and of a member with --backup.
//
// A [Run] makes a base of a member's newest snapshot and the parts that the backup lacks, and then appends every committed entry of the log
// to the backup (package snapshot/backup). After every interval it makes a new base, and removes data that is older than allowed. A
// [Source] is the member that is read: over the network, or in the same process.
//
// The run ends with its context, or with an error that only another configuration can help. After any other error it closes the backup,
// opens the next source and the folder again, and goes on where the backup ends. A slow or failing folder therefore delays only the run.
// Its memory is bounded: a few blocks of a file of a base, or one part of the log of half a MiB.
//
// # Who publishes and deletes
//
// Several runners may make one backup: a leader and its predecessor, or `qkv backup run` beside a member. Their copies can only repeat
// each other. A deletion could take a file that another runner then lists. So only the holder ([Hold]) publishes bases and deletes,
// and the cluster's log decides which runner of each backup that is (kv.BackupHold):
//
//	take      when a base is to be published; it always succeeds, and ends the hold of the runner before. A runner that was refused takes
//	          it again a minute later: the holder has published by then
//	ask       before each call that publishes or deletes: a command in the log; the call must end within backupCall of its begin
//	drain     a runner that took the hold from another lists nothing that it relies on for backupDrain: calls of the other one
//	          have ended then, also in the store's server
//	leave     a runner that ends with no call under way, so that the next one need not drain
//
// The list of files before a base is published comes behind the draining, and so does the list of bases before files are deleted. No time is
// compared with that of another host. A process that stops between an ask and its call, for nearly backupDrain or longer, and
// goes on, could still delete a file that a newer base lists: the next base finds that, and copies the file again.
package backuprun
