// Package audit is a member's audit log: files of JSON lines, which tell the refusals, the logins, and the changes of users, roles, members
// and alarms. Reads and writes of keys are not recorded.
//
// # Lines
//
// A file has one JSON object a line, with these fields; a field that is 0 or empty is left out:
//
//	time         RFC 3339 with nanoseconds, in UTC
//	member       the name of the member that recorded the event
//	user         the user, or the claimed user of a failed login
//	proof        how the user was authenticated: certificate, token, password, or none
//	remote       HOST:PORT of the client; HOST alone of a client of etcd's API
//	api          native, etcd or http; without it the member recorded the event by itself
//	operation    the operation
//	ranges       the first limits.AuditRanges key ranges of the request: key, end, or key_base64, end_base64 if it is not UTF-8; key_bytes
//	             and end_bytes are the lengths of texts that were cut to limits.AuditTextBytes
//	more_ranges  the number of further ranges
//	revision     the revision of a change
//	result       ok, or the name of the refusal's code (package kv)
//	message      text for people
//	repeated     on a summary: the number of further equal events
//	lost         on the line of the operation "audit lost": the number of events that were not recorded
//	previous     on a file's first line, whose operation is "audit file": the name of the file before it
//	torn, after  on the line of the operation "audit torn": the bytes of a torn write before the line, and the SHA-256 of the last whole line
//	seq          the number of the line: 1, 2, 3, over all files
//	prev         SHA-256, in hexadecimal digits, of the line before with its newline; of the first line of all: zeros
//
// No field holds a value, a password or a token, and neither may a message.
//
// # Chain
//
// The field prev chains the lines, also over files: the first line of a file has the hash of the last line of the file before it. [Verify]
// therefore finds a line that was changed, removed, inserted or moved, and a file that is missing, cut or swapped. Two losses leave no trace
// in the files: the newest lines, and the oldest files, which the rotation removes as well. Against the first, keep the newest hash
// elsewhere, or send the lines to another host. The chain has no key: a program that can write the files can forge a new chain.
//
// # Files
//
// FILE has the newest lines. When it has Config.FileBytes, it is renamed to FILE.1, FILE.2 and so on, and the oldest are removed. All files
// are for the owner only (0600). The lock file FILE.lock also locks the folder: two members that wrote one file would break its chain. If
// another program removes, cuts or extends FILE, the next line begins a new file, and its message tells the change.
//
// # Durability
//
// [Log.Record] puts an event into a bounded queue and never waits. One goroutine calls [Log.Flush] each limits.AuditInterval, which writes
// all waiting events by one write and one sync. No request waits for that sync, with Config.Strict neither: an event tells something that
// has happened, so a crash between a change and its line could lose the line in any case. The replicated log, not the audit log, is the
// durable record of each change. A killed member loses the events of the last limits.AuditInterval.
//
// A write that a crash has torn is closed off at the next start: a line tells its bytes, and the chain continues. No byte is removed.
//
// After a failed write the batch is kept and written again each limits.AuditRetry, at the same place, until it succeeds. Meanwhile the queue
// fills, then events are counted. [Log.Problem] is the text for the alarm. With Config.Strict, [Log.Refuses] is the answer to all changes
// until then.
package audit
