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
//	ranges       the first auditRanges key ranges of the request: key, end, or key_base64, end_base64 if it is not UTF-8; key_bytes
//	             and end_bytes are the lengths of texts that were cut to auditTextBytes
//	more_ranges  the number of further ranges
//	revision     the revision of a change
//	result       ok, or the name of the refusal's code (package kv)
//	message      text for people
//	repeated     on a summary: the number of further equal events
//	lost         on the line of the operation "audit lost": the number of events that were not recorded
//
// No field holds a value, a password or a token, and neither may a message.
//
// # Files
//
// FILE has the newest lines. When it has Config.FileBytes, it is renamed to its name with the time, as in audit-2026-11-26T14-05-03.123.jsonl,
// and the oldest are removed. All files are for the owner only (0600). The lock file FILE.lock locks the folder: two members do not write
// one file. Another program may remove or rename FILE: the next line begins a new one.
//
// A program that can write the files can forge lines. Send them to another host where that matters.
//
// # Durability
//
// [Log.Record] puts an event into a bounded queue and never waits. One goroutine calls [Log.Flush] each limits.AuditInterval, which writes
// all waiting events by one write and one sync. No request waits for that sync, with Config.Strict neither: an event tells something that
// has happened, so a crash between a change and its line could lose the line in any case. The replicated log, not the audit log, is the
// durable record of each change. A killed member loses the events of the last limits.AuditInterval.
//
// After a failed write the batch is kept and written again each auditRetry until it succeeds: then lines may stand twice. A line that
// a crash or a failed write has torn stays, and the next line begins behind a newline. Meanwhile the queue fills, then events are counted.
// [Log.Problem] is the text for the alarm. With Config.Strict, [Log.Refuses] is the answer to all changes until then.
package audit
