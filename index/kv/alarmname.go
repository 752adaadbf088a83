package kv

import "slices"

// AlarmName names an alarm or a notice of a member in one word, for scripts and for alerting rules: a name keeps its meaning for ever.
// An alarm needs action: `qkv status --check` fails while one is raised. A notice needs none now.
type AlarmName string

// The names of alarms.
const (
	// NoSpaceAlarm: the disk is full, or nearly, or the quota is reached. While the replicated state has it, requests that would make
	// the state larger are refused.
	NoSpaceAlarm AlarmName = "NOSPACE"
	// CorruptAlarm: a file, or the state, differs from the data that was written. The replicated state has it for a member whose state
	// differs from the majority's, or from its own earlier state: that member stops by itself.
	CorruptAlarm AlarmName = "CORRUPT"
	// AmnesiaAlarm: a member has forgotten its promises; the others do not let it vote.
	AmnesiaAlarm AlarmName = "AMNESIA"
	// SlowDiskAlarm: syncs are slow enough to delay the cluster.
	SlowDiskAlarm AlarmName = "SLOWDISK"
	// CertAlarm: a certificate ends soon, is not valid, or cannot be read, or another member refuses it.
	CertAlarm AlarmName = "CERT"
	// SnapshotAlarm: no snapshot can be saved, sent or received, for another reason than those above.
	SnapshotAlarm AlarmName = "SNAPSHOT"
	// RefusedAlarm: one member refuses another, for another reason than those above.
	RefusedAlarm AlarmName = "REFUSED"
	// FailedAlarm: the member has failed, and its process ends.
	FailedAlarm AlarmName = "FAILED"
	// RetentionAlarm: no quorum of the voters has disks and memory for the history that the settings keep; the oldest history will be
	// dropped.
	RetentionAlarm AlarmName = "RETENTION"
	// BackupAlarm: the leader's backup (--backup) fails, or is old.
	BackupAlarm AlarmName = "BACKUP"
)

// The names of notices.
const (
	// TornNotice: the log's last group was cut off at the start. After a power cut that is normal, but bit rot in that one place looks
	// the same.
	TornNotice AlarmName = "TORN"
	// QuotaNotice: the quota is nearly reached.
	QuotaNotice AlarmName = "QUOTA"
	// HistoryNotice: the history reaches back for less than limits.HistoryShort.
	HistoryNotice AlarmName = "HISTORY"
	// MemoryNotice: the state is larger than the member's memory holds with ease.
	MemoryNotice AlarmName = "MEMORY"
	// NetworkNotice: the kernel of the member's host refuses to send datagrams.
	NetworkNotice AlarmName = "NETWORK"
	// ClockNotice: the member's clock differs from the others'.
	ClockNotice AlarmName = "CLOCK"
	// JoinNotice: a host asks to join the cluster, and may not yet.
	JoinNotice AlarmName = "JOIN"
	// FoundingNotice: a founder of a new cluster waits for the others.
	FoundingNotice AlarmName = "FOUNDING"
	// InsecureNotice: other hosts can guess the secret of the members' certificates (--insecure-peers).
	InsecureNotice AlarmName = "INSECURE"
)

var alarms = []AlarmName{NoSpaceAlarm, CorruptAlarm, AmnesiaAlarm, SlowDiskAlarm, CertAlarm, SnapshotAlarm, RefusedAlarm, FailedAlarm, RetentionAlarm, BackupAlarm}

var notices = []AlarmName{TornNotice, QuotaNotice, HistoryNotice, MemoryNotice, NetworkNotice, ClockNotice, JoinNotice, FoundingNotice, InsecureNotice}

// AlarmNames returns the names of all alarms, then of all notices.
func AlarmNames() []AlarmName { return slices.Concat(alarms, notices) }

// Replicated tells whether the replicated state may have alarms of this name.
func (n AlarmName) Replicated() bool { return n == NoSpaceAlarm || n == CorruptAlarm }

// Severity returns "notice" for the name of a notice, and "alarm" for every other name, unknown ones included: a newer member may
// report an alarm that this version does not know.
func (n AlarmName) Severity() string {
	if slices.Contains(notices, n) {
		return "notice"
	}
	return "alarm"
}
