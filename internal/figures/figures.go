// Package figures is the table of the numbers by which a member describes itself. A member's status carries them by their ids;
// `qkv status`, its JSON, /metrics, the dashboard and docs/metrics.md print the table, in its order. Code that decides by a figure names it.
//
// A new figure is one line here, and the line in package node that sets it.
package figures

import (
	"strconv"
	"time"
)

// ID identifies a figure on the wire. It is never used for another figure.
type ID int64

// Kind tells how a figure is printed.
type Kind uint8

// The kinds.
const (
	Gauge    Kind = iota
	Known         // a gauge whose 0 means that it is not known: /metrics does not show it then
	Counter       // since the member's start
	Internal      // for programs; not printed
)

// Unit tells how a figure is spelt and scaled.
type Unit uint8

// The units. A value of Milliseconds or Seconds is a time.Duration; the unit is that of `qkv status`, and /metrics has seconds.
const (
	Number Unit = iota
	Bytes
	Milliseconds
	Seconds
)

// Figure is one line of the table.
type Figure struct {
	ID   ID
	Kind Kind
	Unit Unit
	Name string // without its unit: see Field and Metric
	Help string
}

var table []Figure

// Table returns all figures, in the order in which they are printed.
func Table() []Figure { return table }

func add(id ID, kind Kind, unit Unit, name, help string) ID {
	table = append(table, Figure{id, kind, unit, name, help})
	return id
}

// The figures. Those behind Host describe the process and its host.
var (
	Term          = add(1, Gauge, Number, "term", "The current term of raft.")
	Commit        = add(2, Gauge, Number, "commit_index", "Index of the last committed entry of the log.")
	Applied       = add(3, Gauge, Number, "applied_index", "Index of the last applied entry of the log.")
	Revision      = add(4, Gauge, Number, "revision", "The newest revision.")
	Keys          = add(5, Gauge, Number, "keys", "Live keys.")
	Leases        = add(6, Gauge, Number, "leases", "Live leases.")
	WriteSessions = add(7, Gauge, Number, "write_sessions", "Sessions of clients, by which a write that is sent again is applied once.")
	SessionClock  = add(8, Internal, Number, "session_clock", "The opened value of a session that begins now: more than 0.")
	Watches       = add(9, Gauge, Number, "watches", "Watches of this member's clients.")

	Oldest       = add(10, Gauge, Number, "oldest_revision", "The oldest revision that can be read; 0: all can.")
	Dropped      = add(11, Internal, Number, "dropped", "1 if all data below oldest_revision is freed.")
	HistoryBytes = add(12, Gauge, Bytes, "history", "Bytes of superseded versions that can be read.")
	HistoryAge   = add(13, Gauge, Seconds, "history_age", "Age of the oldest revision that can be read.")
	Used         = add(14, Gauge, Bytes, "used", "Bytes that the quota counts.")
	Quota        = add(15, Gauge, Bytes, "quota", "Used bytes at which NOSPACE is raised while this member leads; 0: never.")
	Refuses      = add(53, Internal, Number, "puts_refused", "1 while the cluster refuses puts: the quota is reached, or the disks of a quorum are full.")
	Log          = add(16, Gauge, Bytes, "log", "Bytes of the log's files.")
	Snapshot     = add(17, Gauge, Bytes, "snapshot", "Bytes of the newest snapshot, with its parts.")
	SyncP99      = add(18, Gauge, Milliseconds, "sync_p99", "The 99th percentile of the log's syncs of the last minute; 0: there was none.")

	BaseRevision = add(19, Gauge, Number, "base_revision", "The revision up to which the next snapshot has all data in its base; 0: it has no base.")
	BaseFiles    = add(20, Gauge, Number, "base_files", "Files of the base that the next snapshot lists.")
	BaseBytes    = add(21, Gauge, Bytes, "base", "Bytes of the base that the next snapshot lists.")
	Extents      = add(22, Gauge, Number, "extents", "Extents that the next snapshot lists behind its base.")
	ExtentBytes  = add(23, Gauge, Bytes, "extent", "Bytes of the extents that the next snapshot lists.")
	Cold         = add(24, Gauge, Number, "cold_versions", "Versions whose value is in parts and not in memory.")
	ColdBytes    = add(25, Gauge, Bytes, "cold", "Bytes of the values that are in parts and not in memory.")
	Reads        = add(26, Counter, Number, "value_reads", "Values that were read from parts.")
	ReadsFailed  = add(27, Counter, Number, "value_reads_failed", "Values that could not be read from parts.")

	Level           = add(28, Gauge, Number, "feature_level", "The cluster's feature level.")
	LevelMost       = add(29, Gauge, Number, "feature_level_most", "The highest feature level of this member's program.")
	ElectionTimeout = add(30, Known, Milliseconds, "election_timeout", "The election timeout.")
	BackupAge       = add(31, Gauge, Seconds, "backup_age", "Time since the leader's backup last had every change; 0: a new leader does not know yet.")
	ScrubAge        = add(50, Gauge, Seconds, "scrub_age", "Time since this member last had read all of its snapshots and its log from the disk; 0: it never has.")
	Damaged         = add(51, Gauge, Number, "damaged_files", "Damaged files that this member found when it last read all of them.")

	Host     = add(32, Internal, Number, "host", "Equal for two members on one running kernel; a digest that does not identify the host otherwise.")
	Device   = add(33, Internal, Number, "device", "The device of the data folder's file system; to compare on one host only.")
	Wall     = add(34, Internal, Number, "wall", "The member's clock, in microseconds since 1970.")
	DiskFree = add(35, Known, Bytes, "disk_free", "Free bytes of the data folder's file system.")
	DiskWant = add(52, Known, Bytes, "disk_wanted", "Free bytes that this member may need: for a newer base, its next snapshot and the log.")
	Disk     = add(36, Known, Bytes, "disk", "Bytes of the data folder's file system.")
	Files    = add(37, Known, Number, "open_files_limit", "The limit of open files.")
	MTU      = add(38, Known, Number, "mtu", "The smallest MTU of the interfaces towards the other members, in bytes.")
	Memory   = add(39, Known, Bytes, "memory", "Resident memory.")

	PutRate   = add(40, Gauge, Number, "puts_per_s", "Puts of this member's clients a second, in the last seconds.")
	PutP99    = add(41, Gauge, Milliseconds, "put_p99", "The 99th percentile of these puts' durations.")
	GetRate   = add(42, Gauge, Number, "gets_per_s", "Gets of this member's clients a second, in the last seconds.")
	GetP99    = add(43, Gauge, Milliseconds, "get_p99", "The 99th percentile of these gets' durations.")
	EventRate = add(44, Gauge, Number, "watch_events_per_s", "Events to watches of this member's clients a second, in the last seconds.")
	EventP99  = add(45, Gauge, Milliseconds, "watch_event_p99", "The 99th percentile of the time from an event's commit until it is sent.")

	LeaderChanges = add(46, Counter, Number, "leader_changes", "Leader changes that this member has seen.")
	FalseClaims   = add(47, Counter, Number, "false_claims", "Dropped messages that only the leader of the term may send, from another member.")
	Undecodable   = add(48, Counter, Number, "undecodable_appends", "Appends that were dropped because they contain an entry that cannot be decoded.")
	AuditLost     = add(54, Counter, Number, "audit_lines_lost", "Audit lines that could not be written to the file of --audit-log.")
	PathStalls    = add(49, Counter, Number, "path_stalls", "Connections to other members that were dialled again because large packets were lost while small ones passed.")
)

// Field returns the figure's name in JSON.
func (f *Figure) Field() string {
	return f.Name + [...]string{Number: "", Bytes: "_bytes", Milliseconds: "_ms", Seconds: "_s"}[f.Unit]
}

// Metric returns the figure's name in /metrics.
func (f *Figure) Metric() string {
	name := "qkv_" + f.Name + [...]string{Number: "", Bytes: "_bytes", Milliseconds: "_seconds", Seconds: "_seconds"}[f.Unit]
	if f.Kind == Counter {
		name += "_total"
	}
	return name
}

// Shown returns a value as JSON has it: an int64, or a float64 in the figure's unit of time.
func (f *Figure) Shown(value int64) any {
	switch f.Unit {
	case Milliseconds:
		return InMilliseconds(time.Duration(value))
	case Seconds:
		return float64(time.Duration(value).Microseconds()) / 1e6
	}
	return value
}

// InMilliseconds returns a duration in milliseconds, in whole microseconds.
func InMilliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// RTT is a round trip, which JSON has in milliseconds.
type RTT time.Duration

// MarshalJSON implements json.Marshaler.
func (m RTT) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, InMilliseconds(time.Duration(m)), 'f', -1, 64), nil
}

// Values are the figures of a member that are not 0, as its status carries them: an id, its value, the next id, and so on. Those of a newer
// member may have ids that this program does not know. The zero value has no figures. A copy shares memory: only the owner may set.
type Values []int64

// Get returns a figure; 0 if it was not set.
func (v Values) Get(id ID) int64 {
	for i := 0; i+1 < len(v); i += 2 {
		if v[i] == int64(id) {
			return v[i+1]
		}
	}
	return 0
}

// Count is Get for what cannot be negative.
func (v Values) Count(id ID) uint64 { return uint64(v.Get(id)) }

// Duration is Get for a time.
func (v Values) Duration(id ID) time.Duration { return time.Duration(v.Get(id)) }

// Set sets a figure, which may be set already.
func Set[N ~int | ~int64 | ~uint64](v *Values, id ID, value N) {
	for i := 0; i+1 < len(*v); i += 2 {
		if (*v)[i] == int64(id) {
			(*v)[i+1] = int64(value)
			return
		}
	}
	if value != 0 {
		*v = append(*v, int64(id), int64(value))
	}
}
