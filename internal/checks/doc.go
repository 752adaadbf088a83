// Package checks is the table of the checks that qkv makes of a cluster, of its members and of a host. `qkv status` and
// `qkv doctor` use it, and each row has a section in docs/doctor.md. [Alarms] are the alarms and notices with their remedies, and
// [Probes] the checks of /livez and /readyz, which share these remedies.
//
// The package is pure: [Facts] go in, and findings come out. It asks no member, reads no file, and starts no goroutine. The caller
// collects the facts; package cli does so for the commands.
//
// # Results
//
// A check returns one [Result] or several, and each has one of four levels:
//
//	ok           the checked property holds
//	warning      needs no immediate action: a notice of a member is a warning
//	failure      needs action: an alarm of a member is a failure
//	not checked  a fact is missing, and the text says why; this is no failure
//
// # Verdict
//
// [Judge] reduces the members' answers to one verdict. A voter takes part if it answers and knows a leader, or if it does not answer
// this host and a member that answers is connected to it. A suspended member does not take part.
//
//	HEALTHY    all members take part, and no member raises an alarm
//	DEGRADED   a quorum serves, but a member does not take part, or an alarm is raised
//	NO SPACE   a quorum serves, but it refuses puts: the quota is reached, or the disks of a quorum are full
//	NO LEADER  a quorum of the voters answers, and none knows a leader
//	NO QUORUM  fewer voters than a quorum take part: the cluster accepts no writes
//
// While voters are exchanged (joint consensus), both configurations need a quorum.
package checks
